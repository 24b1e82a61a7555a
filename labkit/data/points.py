"""Points in the plane: the six data sets of TensorFlow Playground, for two to six classes.

Formulas: https://github.com/tensorflow/playground, src/dataset.ts (Smilkov and Carter, 2016).
"""

import numpy as np

from labkit.data.dataset import Dataset
from labkit.errors import SettingError

RADIUS = 5.0


def toy(name: str, n: int = 500, noise: float = 0.0, seed: int = 0, classes: int = 2) -> Dataset:
    """n points (n, 2) of a set of TensorFlow Playground, shuffled; x and y lie within about -6..6.

    name     "circle", "xor", "gauss", "spiral" to classify, "plane", "multigauss" for regression.
    noise    0..50, in percent as in the Playground (25 is much).
    classes  2..6 for the sets to classify. 2 are the Playground's own; more of them are rings, a board of
             squares, blobs around a circle, arms of a spiral.

    Targets are int64 class indices, where 1 is the Playground's +1 (blue) and 0 its -1 (orange); or floats
    (n, 1) in -1..1 for regression. With noise, circle, xor and the regression sets keep their points and
    jitter the answers; gauss and spiral move the points. Raises SettingError for what is not there.
    """
    known = {**CLASSIFICATION, **REGRESSION}
    if name not in known:
        raise SettingError(f"Expected one of {', '.join(known)}; received {name!r}.")
    if not 0 <= noise <= 50:
        raise SettingError(f"Expected noise in percent, 0 to 50; received {noise!r}.")
    if not 2 <= classes <= 6 or (name in REGRESSION and classes != 2):
        raise SettingError(
            f"Expected 2 to 6 classes (regression sets have none to choose); received classes={classes!r}."
        )
    if n < classes:
        raise SettingError(f"Expected at least one point a class, {classes}; received n={n!r}.")
    rng = np.random.default_rng(seed)
    if name in REGRESSION:
        points = rng.uniform(-6, 6, (n, 2))
        jitter = rng.uniform(-6, 6, (n, 2)) * noise / 100
        return Dataset(points, REGRESSION[name](points + jitter)[:, None])
    points, targets = CLASSIFICATION[name](n, noise / 100, classes, rng)
    order = rng.permutation(n)
    return Dataset(points[order], targets[order], classes=list("ABCDEF"[:classes]))


def _counts(n: int, classes: int) -> np.ndarray:
    return np.full(classes, n // classes) + (np.arange(classes) < n % classes)


def _polar(r: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return np.stack([r * np.sin(angle), r * np.cos(angle)], axis=1)


def _circle(n: int, noise: float, classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rings with gaps between them, the innermost the last class; labels are read at a jittered place."""
    ring = np.repeat(np.arange(classes), _counts(n, classes))
    r = rng.uniform(ring + 0.4 * (ring > 0), ring + 1) * RADIUS / classes
    points = _polar(r, rng.uniform(0, 2 * np.pi, n))
    jitter = rng.uniform(-RADIUS, RADIUS, (n, 2)) * noise
    seen = np.floor(np.hypot(*(points + jitter).T) * classes / RADIUS).astype(int)
    return points, classes - 1 - np.minimum(seen, classes - 1)


def _xor(n: int, noise: float, classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A board of classes x classes squares, 0.6 apart; each class once in every row and column."""
    points = rng.uniform(-5, 5, (n, 2))
    width = 10 / classes
    square = np.minimum((points + 5) // width, classes - 1)
    points = points + 0.3 * (2 * square - (classes - 1))
    half = 5 + 0.3 * classes
    jitter = rng.uniform(-5, 5, (n, 2)) * noise
    seen = np.clip((points + jitter + half) // (width + 0.6), 0, classes - 1).astype(int)
    return points * 5.3 / (half - 0.3), (seen.sum(axis=1) + 1) % classes


def _gauss(n: int, noise: float, classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Normal blobs of variance 0.5 + 7 noise, their centres on the circle through (2, 2)."""
    targets = np.repeat(np.arange(classes), _counts(n, classes))
    centres = _polar(np.full(n, np.sqrt(8)), np.pi / 4 + 2 * np.pi * (targets + 1) / classes)
    return centres + rng.normal(0, np.sqrt(0.5 + 7 * noise), (n, 2)), targets


def _spiral(n: int, noise: float, classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Arms of 1.75 turns with r from 0 to 5; noise moves each coordinate by at most `noise`."""
    counts = _counts(n, classes)
    targets = np.repeat(np.arange(classes), counts)
    along = np.concatenate([np.arange(count) / count for count in counts])
    start = 2 * np.pi * ((targets + 1) % classes) / classes
    points = _polar(RADIUS * along, 1.75 * along * 2 * np.pi + start)
    return points + rng.uniform(-1, 1, (n, 2)) * noise, targets


def _plane(points: np.ndarray) -> np.ndarray:
    return points.sum(axis=1) / 10


def _multigauss(points: np.ndarray) -> np.ndarray:
    """Six cones of radius 2 and height +1 or -1; where none is near, 0."""
    centres = np.array([[-4, 2.5], [0, 2.5], [4, 2.5], [-4, -2.5], [0, -2.5], [4, -2.5]])
    signs = np.array([1, -1, 1, -1, 1, -1])
    distance = np.linalg.norm(points[:, None] - centres, axis=2)
    return (signs * np.clip(1 - distance / 2, 0, 1)).sum(axis=1)


CLASSIFICATION = {"circle": _circle, "xor": _xor, "gauss": _gauss, "spiral": _spiral}
REGRESSION = {"plane": _plane, "multigauss": _multigauss}
