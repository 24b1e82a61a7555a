"""All that decides a playground's run, from its first step on."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from labkit.errors import SettingError
from labkit.models import ACTIVATIONS

CLASSIFICATION = ("circle", "xor", "gauss", "spiral")
REGRESSION = ("plane", "multigauss")
OWN = "own"
DATA = (*CLASSIFICATION, *REGRESSION, OWN)
FEATURES = ("x1", "x2", "x1_squared", "x2_squared", "x1_x2", "sin_x1", "sin_x2")
OPTIMIZERS = ("sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw")
SCHEDULES = ("constant", "step", "exponential", "cosine", "warmup")

REACH = 6.0  # the plane goes from -REACH to REACH in both directions
MOST_LAYERS = 8
MOST_WIDTH = 16
MOST_POINTS = 2000

# What "own" data begin with: one point of each of two classes.
OWN_START = ((-2.0, -2.0, 0.0), (2.0, 2.0, 1.0))

Point = tuple[float, float, float]
Entry = tuple[str, tuple[int, ...]]
Weight = tuple[str, tuple[int, ...], float]


@dataclass(frozen=True)
class Settings:
    """A playground from its start: data, network, training. The defaults are TensorFlow Playground's.

    data            circle, xor, gauss, spiral (to classify), plane, multigauss (regression), or own.
    classes         2..6. With 2 the network has one output (tanh; targets -1 and 1; half the squared error), with more
                    one a class (softmax, cross-entropy).
    noise           percent, 0..50.  n: points drawn, 20..2000.  train_share: percent that it learns from, 10..90.
    data_seed       another number, other points.
    points          own points (x, y, class), within -6..6 and rounded to 0.01, at most 2000: added to the training
                    points or, with data "own", all there are.
    features        what the network is given of a point, of FEATURES.
    widths          0..8 hidden layers of 1..16 neurons.  activations: one for each, of labkit.models.ACTIVATIONS.
    dropout         0..0.9, after each hidden layer.
    optimizer, lr   of OPTIMIZERS; a learning rate above 0, at most 100.
    schedule        how the learning rate changes over `schedule_epochs` (see labkit.playground.build.SCHEDULES).
    batch_size      1..2000.  l1, l2: weight of the penalty, 0..10.
    seed            of the start weights and of dropout.
    start_weights   entries of the network set by hand before the first step: ("linear1.weight", (0, 1), 0.5).
    frozen          entries that training leaves alone: ("linear1.weight", (0, 1)).

    Raises SettingError for what is out of range or does not fit together.
    """

    data: str = "circle"
    classes: int = 2
    noise: int = 0
    n: int = 500
    train_share: int = 50
    data_seed: int = 0
    points: tuple[Point, ...] = ()
    features: tuple[str, ...] = ("x1", "x2")
    widths: tuple[int, ...] = (4, 2)
    activations: tuple[str, ...] = ("tanh", "tanh")
    dropout: float = 0.0
    optimizer: str = "sgd"
    lr: float = 0.03
    schedule: str = "constant"
    schedule_epochs: int = 100
    batch_size: int = 10
    l1: float = 0.0
    l2: float = 0.0
    seed: int = 0
    start_weights: tuple[Weight, ...] = ()
    frozen: tuple[Entry, ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in (("data", DATA), ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            _one_of(name, getattr(self, name), allowed)
        for name, (low, high) in _WHOLE.items():
            self._set(name, _whole(name, getattr(self, name), low, high))
        for name, (least, most) in _REAL.items():
            self._set(name, _real(name, getattr(self, name), least, most))
        if self.lr == 0:
            raise SettingError("Expected a learning rate above 0, received 0: nothing would change.")
        self._set("features", _features(self.features))
        self._set("widths", _widths(self.widths))
        self._set("activations", _activations(self.activations, len(self.widths)))
        if self.data in REGRESSION and (self.classes != 2 or self.points):
            raise SettingError(
                f"Expected 2 classes and no own points with the regression set {self.data!r}; received "
                f"classes={self.classes} and {len(_rows(self.points, 3))} points. Choose a set to classify."
            )
        self._set("points", _points(self.points, self.classes))
        if self.data == OWN and not self.points:
            self._set("points", OWN_START)
        shapes = self.shapes
        self._set("start_weights", tuple((*_entry(w[:2], shapes), _weight(w[2])) for w in _rows(self.start_weights, 3)))
        self._set("frozen", tuple(dict.fromkeys(_entry(entry, shapes) for entry in _rows(self.frozen, 2))))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @property
    def kind(self) -> str:
        """ "binary" (one tanh output), "classes" (one output a class) or "regression" (one linear output)."""
        return "regression" if self.data in REGRESSION else "binary" if self.classes == 2 else "classes"

    @property
    def outputs(self) -> int:
        return self.classes if self.kind == "classes" else 1

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The network's parameters by name, in its own order."""
        sizes = [len(self.features), *self.widths, self.outputs]
        names = [*(f"linear{i}" for i in range(1, len(self.widths) + 1)), "output"]
        shapes: dict[str, tuple[int, ...]] = {}
        for name, before, after in zip(names, sizes[:-1], sizes[1:], strict=True):
            shapes |= {f"{name}.weight": (after, before), f"{name}.bias": (after,)}
        return shapes

    def change(self, **changes: Any) -> "Settings":
        """The same with some settings changed.

        `activation` changes all layers at once. Where the number of layers changes, activations follow; weights set by
        hand or frozen are forgotten where they no longer fit.
        """
        check_names(changes)
        changes = _with_activations(changes, self.activations, self.widths)
        if changes.get("data") in REGRESSION:
            changes = {"classes": 2, "points": (), **changes}
        elif changes.get("data", OWN) != OWN and self.data == OWN and "points" not in changes:
            changes = {"points": (), **changes}
        if "classes" in changes and "points" not in changes and self.points and isinstance(changes["classes"], int):
            changes = {"points": tuple(p for p in self.points if p[2] < changes["classes"]), **changes}
        if set(changes) & {"seed", "features", "widths", "classes", "data"}:
            changes = {"start_weights": (), "frozen": (), **changes}
        return dataclasses.replace(self, **changes)

    @classmethod
    def of(cls, **changes: Any) -> "Settings":
        """The defaults with some settings changed; takes `activation` for all layers as well."""
        return cls().change(**changes)


_WHOLE = {
    "classes": (2, 6),
    "noise": (0, 50),
    "n": (20, 2000),
    "train_share": (10, 90),
    "data_seed": (0, 2**31 - 1),
    "schedule_epochs": (1, 100_000),
    "batch_size": (1, 2000),
    "seed": (0, 2**31 - 1),
}
_REAL = {"dropout": (0.0, 0.9), "lr": (0.0, 100.0), "l1": (0.0, 10.0), "l2": (0.0, 10.0)}

NAMES = tuple(field.name for field in dataclasses.fields(Settings))


def check_names(changes: Iterable[str]) -> None:
    unknown = sorted(set(changes) - {*NAMES, "activation"})
    if unknown:
        raise SettingError(f"Expected settings of {', '.join(NAMES)}; received {', '.join(map(repr, unknown))}.")


def _with_activations(changes: dict[str, Any], known: tuple[str, ...], widths: tuple[int, ...]) -> dict[str, Any]:
    """Activations as long as the widths: the last one is repeated, what is too much left out."""
    changes = dict(changes)
    layers = len(_widths(changes.get("widths", widths)))
    every = changes.pop("activation", None)
    if every is not None:
        changes["activations"] = (every,) * layers
    elif "activations" not in changes:
        changes["activations"] = (known + (known[-1:] or ("tanh",)) * layers)[:layers]
    return changes


def _one_of(name: str, value: Any, allowed: Iterable[str]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise SettingError(f"Expected {name} of {', '.join(allowed)}; received {value!r:.80}.")
    return value


def _whole(name: str, value: Any, low: int, high: int) -> int:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high or int(value) != value:  # NaN is in no range
        raise SettingError(f"Expected {name} as a whole number of {low} to {high}; received {value!r:.80}.")
    return int(value)


def _real(name: str, value: Any, low: float, high: float) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # False for NaN as well
        raise SettingError(f"Expected {name} as a number of {low:g} to {high:g}; received {value!r:.80}.")
    return float(value)


def _rows(values: Any, length: int) -> list[tuple[Any, ...]]:
    if not isinstance(values, tuple | list) or len(values) > MOST_POINTS:
        raise SettingError(f"Expected a list of at most {MOST_POINTS} rows; received {values!r:.80}.")
    rows = [tuple(row) if isinstance(row, tuple | list) else () for row in values]
    for row, value in zip(rows, values, strict=True):
        if len(row) != length:
            raise SettingError(f"Expected rows of {length} values; received {value!r:.80}.")
    return rows


def _features(values: Any) -> tuple[str, ...]:
    if not isinstance(values, tuple | list) or not values or len(set(map(str, values))) != len(values):
        raise SettingError(f"Expected at least one feature, each once; received {values!r:.80}.")
    chosen = {_one_of("features", value, FEATURES) for value in values}
    return tuple(name for name in FEATURES if name in chosen)


def _widths(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or len(values) > MOST_LAYERS:
        raise SettingError(f"Expected widths of 0 to {MOST_LAYERS} hidden layers; received {values!r:.80}.")
    return tuple(_whole("a layer's width", value, 1, MOST_WIDTH) for value in values)


def _activations(values: Any, layers: int) -> tuple[str, ...]:
    if not isinstance(values, tuple | list) or len(values) != layers:
        raise SettingError(f"Expected one activation for each of {layers} hidden layers; received {values!r:.80}.")
    return tuple(_one_of("activations", value, ACTIVATIONS) for value in values)


def _points(values: Any, classes: int) -> tuple[Point, ...]:
    points = []
    for x, y, label in _rows(values, 3):
        x, y = (round(_real("a point's coordinate", v, -REACH, REACH), 2) + 0.0 for v in (x, y))  # no -0.0
        points.append((x, y, float(_whole("a point's class", label, 0, classes - 1))))
    return tuple(points)


def _entry(entry: tuple[Any, ...], shapes: dict[str, tuple[int, ...]]) -> Entry:
    name, index = entry
    shape = shapes.get(name) if isinstance(name, str) else None
    if shape is None:
        raise SettingError(f"Expected a parameter of {', '.join(shapes)}; received {name!r:.80}.")
    fits = isinstance(index, tuple | list) and len(index) == len(shape)
    if not fits:
        raise SettingError(f"Expected an index of {len(shape)} numbers for {name}; received {index!r:.80}.")
    places = tuple(_whole(f"an index of {name}", i, 0, size - 1) for i, size in zip(index, shape, strict=True))
    return name, places


def _weight(value: Any) -> float:
    return _real("a weight", value, -1e6, 1e6)
