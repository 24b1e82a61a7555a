"""Exercises of notebook 01."""

from typing import Any

import numpy as np

from labkit.exercises.compare import compare, tensor, tensors
from labkit.exercises.exercise import Exercise, Mistake, call, number


def _orientations(answer: Any) -> None:
    # Directions of 20, 80, 140 degrees, turned round 200, 260 and 320, of different sizes; bins of 60 degrees.
    degrees = np.array([[20.0, 80.0, 140.0], [200.0, 260.0, 350.0]])
    size = np.array([[1.0, 2.0, 4.0], [3.0, 0.5, 2.5]])
    dx, dy = size * np.cos(np.radians(degrees)), size * np.sin(np.radians(degrees))
    bins = 3

    def counted(angle: Any, weights: Any, whole: float = 180.0) -> Any:
        place = (angle % whole / (whole / bins)).astype(int).ravel()
        return np.bincount(place, weights.ravel(), minlength=bins)

    expected = counted(degrees, size)  # 4, 2.5 and 6.5
    ones = np.ones_like(size)
    compare(
        "The histogram",
        tensor(call(answer, dx.copy(), dy.copy(), bins), "The histogram"),
        expected,
        (
            (counted(degrees, ones), "You counted pixels. Weight each by the size of its gradient: np.hypot(dx, dy)."),
            (
                counted(degrees, size, 360.0),
                "Those are directions over 360°. A step from dark to light and one from light to dark are the same "
                "edge: take the angle modulo 180°.",
            ),
            (counted(90 - degrees, size), "dx and dy are the other way round: np.arctan2(dy, dx)."),
            (
                counted(degrees + 90, size),
                "That is the direction of the edge. Asked is the gradient's, at right angles to it.",
            ),
            (counted(np.radians(degrees), size), "The angles are in radians, the bins in degrees: use np.degrees."),
            (expected / expected.sum(), "Do not normalise: each bin is the sum of the gradients' sizes."),
            (counted(degrees, size**2), "The size is a root: np.hypot(dx, dy), not dx² + dy²."),
            (counted(degrees + 30, size), "You rounded to the nearest border. Bin i goes from i to i + 1: cut off."),
        ),
    )


# For the exercise's stripes: how well a feature must tell them apart, as the area under the ROC curve.
_APART = 0.97


def _stripes(answer: Any) -> None:
    pictures, upright = stripes()
    values = tensor(call(answer, pictures.copy()), "The feature").numpy()
    if values.shape != (len(pictures),):
        raise Mistake(f"Give one number for each of the {len(pictures)} pictures; received the shape {values.shape}.")
    if not np.isfinite(values).all():
        raise Mistake("Some values are not finite. Do you divide by 0 where a picture has no edge of one direction?")
    apart = _area(values, upright)
    apart = max(apart, 1 - apart)
    if apart >= _APART:
        return
    said = f"A threshold on it tells the two classes apart in {100 * apart:.0f} of 100 pairs. "
    for wrong, why in (
        (pictures.mean((1, 2)), "It is the brightness, which both classes share."),
        (pictures.std((1, 2)), "It is the contrast, which both classes share."),
        (pictures.max((1, 2)), "It is the brightest pixel, which both classes share."),
        (np.diff(pictures, axis=2).mean((1, 2)), _CANCEL),
        (np.diff(pictures, axis=1).mean((1, 2)), _CANCEL),
        (
            np.abs(np.diff(pictures, axis=2)).mean((1, 2)),
            "It measures one direction, and grows with the contrast too. Compare it with the other direction.",
        ),
        (
            np.abs(np.diff(pictures, axis=1)).mean((1, 2)),
            "It measures one direction, and grows with the contrast too. Compare it with the other direction.",
        ),
    ):
        if np.ptp(values) > 0 and abs(np.corrcoef(values, wrong)[0, 1]) > 0.999:
            raise Mistake(said + why)
    raise Mistake(
        said + "Both classes have the same brightness, contrast and places. In which direction does a picture change?"
    )


_CANCEL = "Steps up and steps down cancel out. Take their size, np.abs, before the mean."


def stripes(n: int = 120, side: int = 12, seed: int = 0) -> tuple[Any, Any]:
    """Pictures (n, side, side) from 0 to 1 with stripes, and whether the strong ones are upright (n,), half of all.

    Weak stripes cross them. Both classes have the same brightness, contrast, width of stripes and noise, picture by
    picture at random.
    """
    rng = np.random.default_rng(seed)
    upright = np.arange(n) % 2 == 0
    strong, weak = (
        np.sin(2 * np.pi * (rng.uniform(1.2, 2.5, (n, 1)) * np.arange(side) / side + rng.random((n, 1))))
        for _ in range(2)
    )
    pictures = strong[:, None, :] + 0.35 * weak[:, :, None]
    pictures[~upright] = pictures[~upright].transpose(0, 2, 1)
    pictures = pictures * rng.uniform(0.03, 0.25, n)[:, None, None] + rng.uniform(0.4, 0.6, n)[:, None, None]
    return np.clip(pictures + rng.normal(0, 0.003, pictures.shape), 0, 1), upright


def _area(values: Any, positive: Any) -> float:
    """The share of pairs of a positive and a negative where the positive's value is larger; equal ones count half."""
    above = values[positive][:, None] - values[~positive]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def _precision_recall(answer: Any) -> None:
    alarm = np.array([True, True, True, True, False, False, False, False, False, True, False])
    fraud = np.array([True, True, False, False, True, False, False, False, False, False, False])
    precision, recall = (float(x) for x in tensors(call(answer, alarm.copy(), fraud.copy()), "precision", "recall"))
    expected = (2 / 5, 2 / 3)
    for pair, why in (
        ((2 / 3, 2 / 5), "They are the other way round: precision asks of the alarms, recall of the frauds."),
        ((40, 200 / 3), "Those are percentages. Precision and recall go from 0 to 1 here."),
        ((2, 2), "That counts the frauds found: 2. Divide by the alarms for precision, by the frauds for recall."),
    ):
        if np.allclose((precision, recall), pair, atol=1e-4):
            raise Mistake(why)
    for name, given, right, mistakes in (
        (
            "Precision",
            precision,
            expected[0],
            (
                (7 / 11, "is the accuracy: the share of all that are right. Count the alarms only."),
                (2 / 11, "divides by all payments. Divide by the alarms."),
                (3 / 5, "is the share of false alarms. Precision is the share of right ones."),
            ),
        ),
        (
            "Recall",
            recall,
            expected[1],
            (
                (7 / 11, "is the accuracy: the share of all that are right. Count the frauds only."),
                (2 / 11, "divides by all payments. Divide by the frauds."),
                (1 / 3, "is the share of missed frauds. Recall is the share of found ones."),
                (3 / 8, "is the share of genuine payments that raise an alarm. Ask of the frauds."),
            ),
        ),
    ):
        for wrong, why in mistakes:
            if np.isclose(given, wrong, atol=1e-4):
                raise Mistake(f"{name}: {given:.3g} {why}")
        if not np.isclose(given, right, atol=1e-4):
            raise Mistake(
                f"{name}: of 5 alarms and 3 frauds, 2 are both, so {right:.3g} is right; received {given:.4g}."
            )


def _threshold(answer: Any) -> None:
    score = np.array([0.02, 0.05, 0.08, 0.10, 0.12, 0.20, 0.25, 0.30, 0.45, 0.55, 0.60, 0.70, 0.80, 0.90])
    fraud = np.isin(np.arange(14), (1, 5, 8, 11, 13))
    amount = np.array([18.0, 150, 11, 8, 60, 25, 30, 260, 40, 11, 8, 40, 30, 11])
    alarm_cost = 10.0

    def cost(threshold: float, false_alarm: Any = alarm_cost, missed: Any = amount) -> float:
        alarm = score >= threshold
        return float(np.sum((alarm & ~fraud) * false_alarm) + np.sum((~alarm & fraud) * missed))

    given = number(call(answer, score.copy(), fraud.copy(), amount.copy(), alarm_cost), "The threshold")
    possible = [*score, np.inf]
    least = min(map(cost, possible))
    if np.isnan(given):
        raise Mistake("The threshold should be a number; received NaN.")
    if np.isclose(cost(given), least):
        return
    if np.isclose(given, least):
        raise Mistake(f"{least:,.0f} € is the least cost. Asked is the threshold that reaches it.")
    said = f"With your threshold {given:.3g} the errors cost {cost(given):,.0f} €; {least:,.0f} € is possible. "

    def best(**costs: Any) -> float:
        return float(min(possible, key=lambda threshold: cost(threshold, **costs)))

    def f1(threshold: float) -> float:
        alarm = score >= threshold
        return float(2 * (alarm & fraud).sum() / max(alarm.sum() + fraud.sum(), 1))

    for wrong, why in (
        (0.5, "One half is right if both errors cost the same. Here a missed fraud costs its amount."),
        (best(false_alarm=1, missed=1), "That makes the fewest errors. But they do not cost the same."),
        (max(possible, key=f1), "That is the best F1 score, which knows no amounts."),
        (best(missed=0 * amount), "That avoids false alarms at any price. Missed frauds cost too."),
        (best(false_alarm=0), "That raises an alarm at everything. False ones cost too."),
        (best(false_alarm=amount), "A false alarm costs alarm_cost, not the amount of its payment."),
    ):
        if np.array_equal(score >= given, score >= wrong):
            raise Mistake(said + why)
    raise Mistake(said + "Try each score as a threshold, and keep the one of least cost.")


EXERCISES = (
    Exercise(
        name="features.orientations",
        question="Give the sum of the gradients' sizes in each of the bins of direction from 0° to 180°.",
        examine=_orientations,
        hints=(
            "The direction is np.degrees(np.arctan2(dy, dx)) % 180, the size np.hypot(dx, dy).",
            "np.histogram(angle, bins, (0, 180), weights=size)[0] adds the sizes up.",
        ),
        code=(
            "import numpy as np\n\ndef orientations(dx, dy, bins):\n"
            "    angle = np.degrees(np.arctan2(dy, dx)) % 180\n"
            "    return np.histogram(angle, bins, (0, 180), weights=np.hypot(dx, dy))[0]"
        ),
        praise="Right. HOG does this in every cell, and then evens out the contrast of neighbouring cells.",
    ),
    Exercise(
        name="features.stripes",
        question="Give one number for each picture that tells upright stripes from level ones by a threshold.",
        examine=_stripes,
        hints=(
            "np.diff(pictures, axis=2) is the change from column to column, axis=1 that from row to row.",
            "The size of a change is np.abs. Compare the mean size in one direction with that in the other.",
        ),
        code=(
            "import numpy as np\n\ndef stripes(pictures):\n"
            "    across = np.abs(np.diff(pictures, axis=2)).mean((1, 2))\n"
            "    down = np.abs(np.diff(pictures, axis=1)).mean((1, 2))\n    return across / down"
        ),
        praise="Right: with one good feature, one threshold is all that has to be learned.",
    ),
    Exercise(
        name="features.precision_recall",
        question="Give precision and recall of the alarms.",
        examine=_precision_recall,
        hints=(
            "(alarm & fraud).sum() counts the frauds that raised an alarm.",
            "Precision is their share of the alarms, recall their share of the frauds.",
        ),
        code=(
            "def precision_recall(alarm, fraud):\n    found = (alarm & fraud).sum()\n"
            "    return found / alarm.sum(), found / fraud.sum()"
        ),
        praise="Right. With few frauds, both say more than the accuracy.",
    ),
    Exercise(
        name="features.threshold",
        question="Give the threshold of least cost.",
        examine=_threshold,
        hints=(
            "For a threshold t, alarm = score >= t. False alarms are alarm & ~fraud, missed frauds ~alarm & fraud.",
            "Their cost is alarm_cost * (alarm & ~fraud).sum() + amount[~alarm & fraud].sum().",
            "With a function cost(t), min(score, key=cost) tries each score.",
        ),
        code=(
            "def threshold(score, fraud, amount, alarm_cost):\n    def cost(t):\n        alarm = score >= t\n"
            "        return alarm_cost * (alarm & ~fraud).sum() + amount[~alarm & fraud].sum()\n\n"
            "    return min(score, key=cost)"
        ),
        praise="Right: one dear fraud with a score of 0.05 is worth the false alarms above it.",
    ),
)
