"""Card payments made here, with fraud of three kinds planted in them, and the aggregates that experts compute."""

import numpy as np
from numpy.typing import NDArray

from labkit.data.dataset import Dataset
from labkit.errors import DataError, SettingError

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

KINDS = ("groceries", "transport", "restaurant", "clothes", "electronics", "travel")
# What each channel of `transactions` holds; after these, one channel for each kind of merchant.
FIELDS = ("amount", "gap", "hour", "distance", "online", *KINDS)
PATTERNS = ("genuine", "card testing", "impossible travel", "unusual hour")
AGGREGATES = (
    "amount",
    "amount / usual",
    "payments in 1 h",
    "payments in 24 h",
    "small payments in 1 h",
    "sum of 1 h",
    "sum of 24 h",
    "speed needed",
    "distance",
    "hours from habit",
    "online",
)
_SMALL = 3.0  # euros; a payment to test a card is below

_KIND_SHARE = np.array([0.36, 0.2, 0.2, 0.1, 0.08, 0.06])
_KIND_PRICE = np.array([1.0, 0.4, 0.9, 1.8, 3.0, 3.5])  # relative to what the card usually pays
_KIND_ONLINE = np.array([0.1, 0.3, 0.1, 0.5, 0.6, 0.7])


def transactions(n: int = 20_000, length: int = 32, fraud: float = 0.008, seed: int = 0) -> Dataset:
    """The last payments of n cards: inputs (n, 11, length) in the order of time, and what the last payment is.

    length  payments of each card, at least 16.
    fraud   share of the cards whose last payment is a fraud, at least 0 and below 0.5; real data have 0.001 to 0.01.

    Channels are `FIELDS`: amount (euros), gap (hours since the payment before), hour (of the day, 0 to 24), distance
    (km from the card's home; 0 where online), online (0 or 1), and a 1 at the kind of merchant.
    Targets are an index into `PATTERNS`, the classes:

    0 genuine            among them look-alikes: small payments in a row, one large payment, journeys, late evenings
    1 card testing       within an hour three to six online payments below 3 euros, then one of many times the usual
    2 impossible travel  in a shop hundreds of km away, sooner after one near home than an aircraft can be
    3 unusual hour       more than is usual, at least seven hours away from when this card is used

    Each kind of fraud joins two things of which either alone is common. Raises SettingError.
    """
    if n < 1:
        raise SettingError(f"Expected at least one card; received n={n!r}.")
    if length < 16:
        raise SettingError(f"Expected at least 16 payments of each card; received length={length!r}.")
    if not 0 <= fraud < 0.5:
        raise SettingError(f"Expected a share of fraud of at least 0 and below 0.5; received fraud={fraud!r}.")
    rng = np.random.default_rng(seed)
    frauds = round(n * fraud)
    targets = rng.permutation(np.concatenate([np.zeros(n - frauds, np.int64), 1 + np.arange(frauds) % 3]))

    usual = np.exp(rng.normal(np.log(22), 0.5, n))  # euros
    habit = np.where(rng.random(n) < 0.1, rng.normal(0.5, 1, n), rng.normal(14, 1.5, n)) % 24  # some live by night
    kind = rng.choice(len(KINDS), (n, length), p=_KIND_SHARE)
    amount = usual[:, None] * _KIND_PRICE[kind] * np.exp(rng.normal(0, 0.5, (n, length)))
    online = rng.random((n, length)) < _KIND_ONLINE[kind]
    distance = np.exp(rng.normal(np.log(4), 0.8, (n, length)))
    # One more than asked for, so that the first has a gap too. A payment falls on a day, at an hour near the habit.
    days = rng.integers(0, rng.integers(8, 60, n)[:, None], (n, length + 1))
    time = np.sort(24.0 * days + habit[:, None] + rng.normal(0, 2, (n, length + 1)), axis=1)
    gap = np.maximum(np.diff(time, axis=1), 0.02)

    innocent = targets == 0
    _journeys(innocent & (rng.random(n) < 0.06), rng, gap, distance)
    row = innocent & (rng.random(n) < 0.06)
    _small_payments(row, rng, amount, gap)
    small = row & (rng.random(n) < 0.8)
    amount[small, -1] = rng.uniform(0.8, 6, small.sum())
    large = innocent & ~row & (rng.random(n) < 0.05)
    amount[large, -1] = usual[large] * rng.uniform(5, 20, large.sum())
    late = innocent & ~row & ~large & (rng.random(n) < 0.05)
    _at(late, rng, time[:, 0], gap, habit)

    testing, travel, hour = (targets == pattern for pattern in (1, 2, 3))
    _small_payments(testing, rng, amount, gap)
    online[testing, -7:] = True
    amount[testing, -1] = usual[testing] * rng.uniform(5, 20, testing.sum())
    online[travel, -2:] = False
    distance[travel, -1] = np.exp(rng.uniform(np.log(400), np.log(8000), travel.sum()))
    gap[travel, -1] = distance[travel, -1] / rng.uniform(1500, 8000, travel.sum())
    amount[travel, -1] = usual[travel] * rng.uniform(1.5, 6, travel.sum())
    _at(hour, rng, time[:, 0], gap, habit)
    amount[hour, -1] = usual[hour] * rng.uniform(4, 12, hour.sum())

    distance = np.where(online, 0.0, distance)
    at = (time[:, :1] + np.cumsum(gap, axis=1)) % 24
    channels = [amount, gap, at, distance, online, *(kind == k for k in range(len(KINDS)))]
    return Dataset(np.stack([np.asarray(c, np.float32) for c in channels], axis=1), targets, classes=PATTERNS)


def _small_payments(cards: Flags, rng: np.random.Generator, amount: Array, gap: Array) -> None:
    """Three to six payments below 3 euros before the last one, all within an hour."""
    for card in np.flatnonzero(cards):
        count = rng.integers(3, 7)
        amount[card, -1 - count : -1] = rng.uniform(0.5, _SMALL, count)
        short = rng.uniform(0.02, 0.9 / count, count)
        gap[card, -1 - count] += max(gap[card, -count:].sum() - short.sum(), 0.0)  # what was before stays when it was
        gap[card, -count:] = short


def _journeys(cards: Flags, rng: np.random.Generator, gap: Array, distance: Array) -> None:
    """Payments far away to the end, after as many days as the way there takes."""
    for card in np.flatnonzero(cards):
        start = -rng.integers(1, 7)
        far = np.exp(rng.uniform(np.log(300), np.log(8000)))
        gap[card, start] += 24 * np.ceil(far / rng.uniform(60, 500) / 24)
        distance[card, start:] = far + rng.normal(0, 5, -start)


def _at(cards: Flags, rng: np.random.Generator, start: Array, gap: Array, habit: Array) -> None:
    """Moves the last payment on to the next time that is 8 to 12 hours away from the habit."""
    wanted = habit + rng.choice([-1, 1], len(gap)) * rng.uniform(8, 12, len(gap))
    gap[cards, -1] += ((wanted - start - gap.sum(axis=1)) % 24)[cards]


def aggregates(inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """What an expert would compute of a card's payments: (n, 11) numbers about the last one, and `AGGREGATES`.

    inputs  (n, 11, length) as `transactions` has them.

    "amount / usual" divides by the median of the payments before; those "in 1 h" and "in 24 h" end with the last and
    count it (small ones are below 3 euros); "speed needed" is the km/h from the shop before, if both were in shops:
    the least, since both are known by their distance from home only; "hours from habit" is the distance on the clock
    from the circular mean of the hours before. (Such features: Bahnsen et al. 2016, sections 3.2 and 3.3.)
    Raises DataError for inputs of another shape.
    """
    x = np.asarray(inputs, np.float64)
    if x.ndim != 3 or x.shape[1] != len(FIELDS) or x.shape[2] < 2:
        raise DataError(f"Expected inputs (n, {len(FIELDS)}, 2 or more payments); received {x.shape}.")
    amount, gap, hour, distance, online = (x[:, i] for i in range(5))
    # Hours from each payment to the last: the gaps after it.
    before = np.concatenate([np.cumsum(gap[:, :0:-1], axis=1)[:, ::-1], np.zeros((len(x), 1))], axis=1)
    in_hour, in_day = before <= 1, before <= 24
    angle = hour[:, :-1] * np.pi / 12
    usual_hour = np.arctan2(np.sin(angle).mean(1), np.cos(angle).mean(1)) * 12 / np.pi
    away = np.abs((hour[:, -1] - usual_hour + 12) % 24 - 12)
    columns = (
        amount[:, -1],
        amount[:, -1] / np.median(amount[:, :-1], axis=1),
        in_hour.sum(1),
        in_day.sum(1),
        (in_hour & (amount < _SMALL)).sum(1),
        (amount * in_hour).sum(1),
        (amount * in_day).sum(1),
        _speed(before, distance, online),
        distance[:, -1],
        away,
        online[:, -1],
    )
    return np.stack(columns, axis=1).astype(np.float32), AGGREGATES


def _speed(before: Array, distance: Array, online: Array) -> Array:
    """km/h from the last shop before to the last payment's; 0 where that one is online or the first in a shop."""
    shops = online[:, :-1] == 0
    last = shops.shape[1] - 1 - np.argmax(shops[:, ::-1], axis=1)
    rows = np.arange(len(distance))
    way = np.abs(distance[:, -1] - distance[rows, last])
    known = shops.any(1) & (online[:, -1] == 0)
    return np.where(known, way / np.maximum(before[rows, last], 0.01), 0.0)
