"""The card payments: they hang together, the planted fraud is there and nothing else gives it away, rules find it."""

import numpy as np
import pytest
import torch

from labkit.data import aggregates, transactions
from labkit.data.payments import AGGREGATES, FIELDS, KINDS, PATTERNS
from labkit.errors import DataError, SettingError


@pytest.fixture(scope="module")
def ds():
    return transactions(n=12_000, seed=0)


@pytest.fixture(scope="module")
def table(ds):
    features, names = aggregates(ds.inputs.numpy())
    assert names == AGGREGATES
    return dict(zip(names, features.T, strict=True))


def last(ds, field):
    return ds.inputs[:, FIELDS.index(field), -1].numpy()


def test_what_comes_back(ds):
    assert ds.inputs.shape == (12_000, 11, 32) and ds.inputs.dtype == torch.float32
    assert ds.classes == PATTERNS
    assert np.bincount(ds.targets).tolist() == [11_904, 32, 32, 32]  # 0.8 %, each kind as often
    kinds = ds.inputs[:, -len(KINDS) :]
    assert (kinds.sum(1) == 1).all() and set(kinds.unique().tolist()) == {0.0, 1.0}
    assert (ds.inputs[:, 0] > 0).all() and (ds.inputs[:, 1] > 0).all()
    assert ds.inputs[:, 2].min() >= 0 and ds.inputs[:, 2].max() <= 24
    online = ds.inputs[:, 4] == 1
    assert (ds.inputs[:, 3][online] == 0).all() and (ds.inputs[:, 3][~online] > 0).all()


def test_hours_and_gaps_tell_the_same_time(ds):
    gap, hour = ds.inputs[:, 1, 1:].double(), ds.inputs[:, 2].double()
    off = (hour[:, 1:] - hour[:, :-1] - gap + 12) % 24 - 12
    assert off.abs().max() < 0.01


def test_depends_on_the_seed_only(ds):
    again = transactions(n=12_000, seed=0)
    assert torch.equal(again.inputs, ds.inputs) and torch.equal(again.targets, ds.targets)
    assert not torch.equal(transactions(n=12_000, seed=1).inputs, ds.inputs)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    transactions(n=100)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("fraud", [0.0, 0.005, 0.2])
def test_the_imbalance_is_the_one_asked_for(fraud):
    few = transactions(n=2_000, length=16, fraud=fraud)
    assert (few.targets > 0).sum() == round(2_000 * fraud)
    assert few.inputs.shape[2] == 16


RULES = {
    "card testing": lambda t: (t["small payments in 1 h"] >= 3) & (t["amount / usual"] > 3) & (t["online"] == 1),
    "impossible travel": lambda t: t["speed needed"] > 1000,
    "unusual hour": lambda t: (t["hours from habit"] > 6) & (t["amount / usual"] > 2.5) & (t["speed needed"] < 1000),
}


@pytest.mark.parametrize("pattern", RULES)
def test_a_rule_of_two_conditions_recovers_the_planted_fraud(ds, table, pattern):
    is_so = ds.targets.numpy() == PATTERNS.index(pattern)
    alarm = RULES[pattern](table)
    assert alarm[is_so].mean() > 0.8
    # Of the genuine payments few; the most are those of a late evening that happen to be dear.
    assert alarm[ds.targets.numpy() == 0].mean() < (0.012 if pattern == "unusual hour" else 0.002)


def test_either_condition_alone_is_common_among_the_genuine(ds, table):
    genuine = ds.targets.numpy() == 0
    for alone in (
        table["small payments in 1 h"] >= 3,
        table["amount / usual"] > 5,
        table["distance"] > 300,
        table["hours from habit"] > 6,
    ):
        assert alone[genuine].mean() > 3 * 0.008  # so most of its alarms would be false


def test_aggregates_of_payments_written_by_hand():
    x = np.zeros((2, 11, 4), np.float32)
    x[:, 0] = [10, 2, 1, 60]  # euros
    x[:, 1] = [5, 30, 0.5, 0.25]  # hours since the one before
    x[:, 2] = [23, 1, 0, 12]  # the circular mean of the first three is midnight
    x[:, 3] = [5, 4, 0, 600]  # km; the third is online
    x[:, 4] = [0, 0, 1, 0]
    x[1, 4] = [0, 0, 0, 1]  # another card: the last is online
    features, names = aggregates(x)
    expected = {
        "amount": 60,
        "amount / usual": 30,
        "payments in 1 h": 3,
        "payments in 24 h": 3,
        "small payments in 1 h": 2,
        "sum of 1 h": 63,
        "sum of 24 h": 63,
        "speed needed": 596 / 0.75,
        "distance": 600,
        "hours from habit": 12,
        "online": 0,
    }
    for name, value in zip(names, features[0], strict=True):
        assert value == pytest.approx(expected[name], rel=1e-4), name
    assert features[1, names.index("speed needed")] == 0 and features[1, names.index("online")] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"n": 0}, "n=0"), ({"length": 8}, "length=8"), ({"fraud": 0.7}, "fraud=0.7"), ({"fraud": -0.1}, "fraud=-0.1")],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(SettingError, match=message):
        transactions(**settings)


def test_aggregates_of_another_shape():
    with pytest.raises(DataError, match=r"\(n, 11, 2 or more payments\); received \(3, 5, 9\)"):
        aggregates(np.zeros((3, 5, 9)))
