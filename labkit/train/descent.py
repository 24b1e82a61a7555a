"""Optimisers on functions of two variables: torch.optim moves a point, and its path is kept."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.errors import DataError, SettingError
from labkit.train.landscape import Landscape, on_plane
from labkit.train.weights import Loss

Place = tuple[float, float]

# A path has diverged when its loss is this many times that of the start (or this large, where that is below 1).
LEFT = 1e6
# A path has arrived when this part of the way down is left.
NEAR = 1e-3
# What `best_rates` tries: 0.0001, 0.0002, 0.0005, 0.001, ... 10.
RATES = tuple(float(f"{digit}e{power}") for power in range(-4, 1) for digit in (1, 2, 5)) + (10.0,)


@dataclass(frozen=True, eq=False)
class Function:
    """A function of two variables to descend on: `function(points)` takes (..., 2) and gives (...), row by row.

    limits: ((least x, greatest x), (least y, greatest y)) of the part that is shown. start: where a path begins.
    minima: the places of its minima, as far as they are known. least: its value there; None where it is not known.
    rates: usual learning rates here: of those in PLAIN, whose step is the rate times a gradient, and of the others,
        whose rate is about the length of a step.
    columns: of the grid on which it is drawn; few where it is dear.
    formula: as a person writes it. about: one sentence. source: where it comes from.
    """

    name: str
    values: Callable[[Tensor], Tensor]
    limits: tuple[Place, Place]
    start: Place
    rates: tuple[float, float] = (0.01, 0.1)
    minima: tuple[Place, ...] = ()
    least: float | None = None
    columns: int = 129
    formula: str = ""
    about: str = ""
    source: str = ""

    def __call__(self, points: Tensor) -> Tensor:
        return self.values(points)


@dataclass(frozen=True, eq=False)
class Path:
    """Where an optimiser went. points: (steps + 1, 2) float64, from the start; losses: (steps + 1,) there.

    A path whose loss became infinite, not a number, or more than a million times the first, ends before that step,
    which is `diverged_at` (else None).
    """

    points: np.ndarray
    losses: np.ndarray
    diverged_at: int | None = None

    def reached(self, level: float) -> int | None:
        """The step from which on the loss is at most `level`, to the path's end; None where it never is for good."""
        above = np.flatnonzero(self.losses > level)
        step = int(above[-1]) + 1 if len(above) else 0
        return None if self.diverged_at is not None or step == len(self.losses) else step


@dataclass(frozen=True, eq=False)
class Survey:
    """A function on a grid. x: (n,), y: (m,), ascending; losses: (m, n).

    Heights are losses - floor, which are positive; `low` and `high` limit the logarithmic scale that shows them.
    """

    x: np.ndarray
    y: np.ndarray
    losses: np.ndarray
    floor: float
    low: float
    high: float


# ---- the functions


def bowl(points: Tensor) -> Tensor:
    return points.square().sum(-1) / 2


def ravine(points: Tensor) -> Tensor:
    return (points.square() * points.new_tensor([1.0, 100.0])).sum(-1) / 2


def tilted(points: Tensor) -> Tensor:
    x, y = points.unbind(-1)
    return ((0.8 * x + 0.6 * y) ** 2 + 100 * (0.8 * y - 0.6 * x) ** 2) / 2


def rosenbrock(points: Tensor) -> Tensor:
    x, y = points.unbind(-1)
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def saddle(points: Tensor) -> Tensor:
    x, y = points.unbind(-1)
    return x**2 / 2 + (y**2 - 1) ** 2 / 4


def beale(points: Tensor) -> Tensor:
    x, y = points.unbind(-1)
    return (1.5 - x * (1 - y)) ** 2 + (2.25 - x * (1 - y**2)) ** 2 + (2.625 - x * (1 - y**3)) ** 2


FUNCTIONS: dict[str, Function] = {
    function.name: function
    for function in (
        Function(
            name="bowl",
            values=bowl,
            limits=((-4.0, 4.0), (-3.0, 3.0)),
            start=(-3.0, 2.0),
            rates=(0.1, 0.2),
            minima=((0.0, 0.0),),
            least=0.0,
            formula="(x² + y²) / 2",
            about="Equally steep in every direction: curvature 1.",
            source="the quadratic model of a minimum; Goodfellow, Bengio, Courville 2016, section 4.3",
        ),
        Function(
            name="ravine",
            values=ravine,
            limits=((-4.0, 4.0), (-3.0, 3.0)),
            start=(-3.5, 1.5),
            rates=(0.012, 0.1),
            minima=((0.0, 0.0),),
            least=0.0,
            formula="(x² + 100 y²) / 2",
            about="100 times as curved across as along: condition number 100.",
            source="the ill-conditioned quadratic; Goodfellow, Bengio, Courville 2016, figure 4.6",
        ),
        Function(
            name="tilted ravine",
            values=tilted,
            limits=((-4.0, 4.0), (-3.0, 3.0)),
            start=(-3.7, -0.9),
            rates=(0.012, 0.1),
            minima=((0.0, 0.0),),
            least=0.0,
            formula="((0.8 x + 0.6 y)² + 100 (0.8 y − 0.6 x)²) / 2",
            about="The same ravine and start, turned by 37 degrees: it no longer lies along an axis.",
            source="the ravine in turned coordinates",
        ),
        Function(
            name="rosenbrock",
            values=rosenbrock,
            limits=((-2.0, 2.0), (-0.75, 2.25)),
            start=(-1.2, 1.0),
            rates=(0.001, 0.1),
            minima=((1.0, 1.0),),
            least=0.0,
            formula="(1 − x)² + 100 (y − x²)²",
            about="A bent, flat valley: it is easy to get in, and far to the minimum.",
            source="Rosenbrock 1960, The Computer Journal 3, equation 12",
        ),
        Function(
            name="saddle",
            values=saddle,
            limits=((-2.0, 2.0), (-1.5, 1.5)),
            start=(-1.6, 0.01),
            rates=(0.1, 0.05),
            minima=((0.0, -1.0), (0.0, 1.0)),
            least=0.0,
            formula="x² / 2 + (y² − 1)² / 4",
            about="A saddle at (0, 0) between two minima: the gradient is 0 there, and it goes down on both sides.",
            source="the double well; Strogatz 1994, section 5.2 for its saddle",
        ),
        Function(
            name="beale",
            values=beale,
            limits=((-1.0, 4.6), (-2.1, 2.1)),
            start=(1.0, 1.5),
            rates=(0.003, 0.1),
            minima=((3.0, 0.5),),
            least=0.0,
            formula="(1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²",
            about="Steep at the corners, nearly flat in the middle.",
            source="Beale 1958; Moré, Garbow, Hillstrom 1981, ACM TOMS 7, function 5",
        ),
    )
}

# ---- the optimisers

Groups = list[dict[str, object]]

# optimizer(groups, momentum). `momentum` is also Adam's beta 1, which plays the same part there.
OPTIMIZERS: dict[str, Callable[[Groups, float], torch.optim.Optimizer]] = {
    "sgd": lambda groups, _: torch.optim.SGD(groups, fused=True),
    "momentum": lambda groups, momentum: torch.optim.SGD(groups, momentum=momentum, fused=True),
    "nesterov": lambda groups, momentum: torch.optim.SGD(groups, momentum=momentum, nesterov=momentum > 0, fused=True),
    "adagrad": lambda groups, _: torch.optim.Adagrad(groups, fused=True),
    "rmsprop": lambda groups, _: torch.optim.RMSprop(groups),
    "adam": lambda groups, momentum: torch.optim.Adam(groups, betas=(momentum, 0.999), fused=True),
    "adamw": lambda groups, momentum: torch.optim.AdamW(groups, betas=(momentum, 0.999), fused=True),
}

# Their step is the learning rate times a (running sum of) gradients; the others divide by the gradients' size.
PLAIN = ("sgd", "momentum", "nesterov")


def descend(
    function: Callable[[Tensor], Tensor],
    start: Sequence[float],
    optimizer: str = "sgd",
    lr: float = 0.01,
    momentum: float = 0.9,
    steps: int = 150,
) -> Path:
    """The path of one optimiser on `function`, which takes points (..., 2) and gives their losses (...), row by row.

    optimizer: a name of OPTIMIZERS, with torch's own settings but for `lr` and `momentum` (SGD's and Nesterov's
        momentum, and beta 1 of Adam and AdamW; the others have none). Everything is float64.

    Raises SettingError for settings out of range, DataError where the start's loss is not a finite number.
    """
    return race(function, start, {optimizer: lr}, momentum, steps)[optimizer]


def race(
    function: Callable[[Tensor], Tensor],
    start: Sequence[float],
    rates: Mapping[str, float],
    momentum: float = 0.9,
    steps: int = 150,
) -> dict[str, Path]:
    """The paths of several optimisers from one start. rates: {name of OPTIMIZERS: learning rate}. See `descend`."""
    return dict(zip(rates, _paths(function, start, list(rates.items()), momentum, steps), strict=True))


def usual_rates(function: Function, optimizers: Sequence[str] = tuple(OPTIMIZERS)) -> dict[str, float]:
    """{optimiser: the function's usual learning rate for its kind}."""
    return {name: function.rates[name not in PLAIN] for name in optimizers}


def best_rates(
    function: Function,
    start: Sequence[float] | None = None,
    optimizers: Sequence[str] = tuple(OPTIMIZERS),
    momentum: float = 0.9,
    steps: int = 150,
) -> dict[str, float]:
    """For each optimiser the learning rate of RATES with which it arrives first, or comes lowest where none arrives.

    A path has arrived where its loss stays below `goal`. Paths that leave the function's limits come last. Where its
    `least` is not known, the lowest loss that any of these paths met stands for it.
    """
    runs = [(optimizer, lr) for optimizer in dict.fromkeys(optimizers) for lr in RATES]
    paths = _paths(function, function.start if start is None else start, runs, momentum, steps)
    bottom = function.least if function.least is not None else min(float(path.losses.min()) for path in paths)
    low, high = np.array(function.limits).T

    def order(path: Path) -> tuple[bool, float, float]:
        left = path.diverged_at is not None or bool(((path.points < low) | (path.points > high)).any())
        reached = path.reached(goal(float(path.losses[0]), bottom))
        return left, math.inf if reached is None else reached, float(path.losses[-1])

    found: dict[str, float] = {}
    for name in optimizers:
        tried = [(order(path), lr) for (of, lr), path in zip(runs, paths, strict=True) if of == name]
        found[name] = min(tried)[1]
    return found


_PLANES = {
    "pca": "the plane of its path",
    "runs": "the plane of the given runs",
    "filter": "a plane by chance",
    "random": "a plane by chance",
}


def of_network(model: nn.Module, ds: Any, landscape: Landscape, loss: str | Loss | None = None) -> Function:
    """The loss of a real network on a plane through its weights, as a function of the place on that plane.

    landscape: made by labkit.train.landscape.plane from the same model, data and loss. An optimiser that descends on it
    moves in the plane alone: its gradient is the part of the network's that lies in it. It starts where the recorded
    path began, or near a corner where there is none.
    """
    losses = on_plane(model, ds, landscape, loss)
    limits = tuple((float(axis[0]), float(axis[-1])) for axis in (landscape.a, landscape.b))
    first = landscape.path[0] if landscape.path is not None else (0.8 * landscape.a[0], 0.8 * landscape.b[-1])
    place = torch.tensor(first, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(losses(place), place)
    stride = 0.02 * (limits[0][1] - limits[0][0])  # a first step of a fiftieth of the map, for all
    rates = stride / max(float(gradient.norm()), 1e-12), stride
    return Function(
        name="network",
        values=losses,
        limits=limits,  # type: ignore[arg-type]
        start=(float(first[0]), float(first[1])),
        rates=(float(f"{rates[0]:.1e}"), float(f"{rates[1]:.1e}")),
        columns=len(landscape.a),
        formula=f"loss of the network at (x, y) of {_PLANES[landscape.kind]}",
        about="A real network: every place of the plane is a set of weights. The optimisers move in this plane only.",
        source="labkit.train.landscape; Li et al. 2018, arXiv 1712.09913",
    )


def goal(first: float, least: float) -> float:
    """The loss at which a path that began at loss `first` has arrived: all but a thousandth of the way down."""
    return least + NEAR * (first - least)


def survey(function: Function) -> Survey:
    """The function on a grid over its limits, with squares as high as wide."""
    n = function.columns
    (left, right), (bottom, top) = function.limits
    rows = max(2, round((n - 1) * (top - bottom) / (right - left)) + 1)
    x, y = np.linspace(left, right, n), np.linspace(bottom, top, rows)
    grid = torch.from_numpy(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2))
    with torch.no_grad():
        losses = _losses(function, grid).numpy().reshape(rows, n)
    finite = losses[np.isfinite(losses)]
    if not len(finite):
        raise DataError(f"Expected finite losses of {function.name} within its limits, found none.")
    floor = function.least if function.least is not None else min(0.0, float(finite.min()))
    heights = finite - floor
    high = float(heights.max()) or 1.0
    low = max(float(np.quantile(heights, 0.005)), 1e-4 * high)
    return Survey(x, y, losses, floor, low, high)


def _paths(
    function: Callable[[Tensor], Tensor],
    start: Sequence[float],
    runs: Sequence[tuple[str, float]],
    momentum: float,
    steps: int,
) -> list[Path]:
    """The path of each (optimiser, learning rate), all moved together: one call of the function a step for all."""
    origin = check_start(start)
    _check(runs, momentum, steps)
    now = origin.repeat(len(runs), 1)
    rows = now.unbind(0)
    groups: dict[str, Groups] = {}
    for row, (name, lr) in zip(rows, runs, strict=True):
        groups.setdefault(name, []).append({"params": [row], "lr": lr})
    optimizers = [OPTIMIZERS[name](group, float(momentum)) for name, group in groups.items()]  # Adam refuses a whole 0
    points, losses = now.new_empty(steps + 1, *now.shape), now.new_empty(steps + 1, len(runs))
    for step in range(steps + 1):
        points[step] = now
        at = now.clone().requires_grad_()
        with torch.enable_grad():
            loss = _losses(function, at)
            total = loss.sum()
        losses[step] = loss.detach()
        if step == 0:
            _check_first(loss, origin)
        if step < steps:
            # Each loss depends on its own point alone, so the gradient of their sum holds the gradient of each.
            (gradient,) = torch.autograd.grad(total, at)
            for row, its in zip(rows, gradient.unbind(0), strict=True):
                row.grad = its
            for optimizer in optimizers:
                optimizer.step()
    return [_path(points[:, i].numpy(), losses[:, i].numpy()) for i in range(len(runs))]


def _path(points: np.ndarray, losses: np.ndarray) -> Path:
    with np.errstate(invalid="ignore"):
        kept = np.abs(losses) <= LEFT * max(1.0, abs(losses[0]))
    gone = np.flatnonzero(~kept)
    if not len(gone):
        return Path(points.copy(), losses.copy())
    end = int(gone[0])
    return Path(points[:end].copy(), losses[:end].copy(), end)


def _losses(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    losses = function(points)
    if not isinstance(losses, Tensor) or losses.shape != points.shape[:-1]:
        raise SettingError(
            f"Expected the function to give one loss for each of {len(points)} points (n, 2), that is, shape "
            f"({len(points)},), received "
            f"{tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__}. "
            "Write it with points[..., 0] and points[..., 1]."
        )
    return losses


def _check_first(loss: Tensor, origin: Tensor) -> None:
    if not bool(torch.isfinite(loss).all()):
        raise DataError(f"Expected a finite loss at the start {tuple(origin.tolist())}, received {loss[0]:g}.")
    if not loss.requires_grad:
        raise SettingError(
            "Expected a function whose losses have a gradient, received losses that do not depend on the points. "
            "Write it with torch operations on the points."
        )


def check_start(start: Sequence[float]) -> Tensor:
    """The start as a float64 tensor (2,). Raises SettingError for what is not two finite numbers."""
    try:
        origin = torch.as_tensor(start, dtype=torch.float64).detach().clone()
    except (TypeError, ValueError, RuntimeError):
        origin = torch.empty(0)
    if origin.shape != (2,) or not bool(torch.isfinite(origin).all()):
        raise SettingError(f"Expected a start of two finite numbers, such as (-1.0, 2.0), received {start!r}.")
    return origin


def _check(runs: Sequence[tuple[str, float]], momentum: float, steps: int) -> None:
    for name, lr in runs:
        if name not in OPTIMIZERS:
            raise SettingError(f"Expected an optimizer of {', '.join(OPTIMIZERS)}, received {name!r}.")
        if isinstance(lr, bool) or not isinstance(lr, int | float) or not 0 < lr < math.inf:
            raise SettingError(f"Expected a learning rate above 0 for {name}, received {lr!r}.")
    if isinstance(momentum, bool) or not isinstance(momentum, int | float) or not 0 <= momentum < 1:
        raise SettingError(f"Expected a momentum from 0 to below 1, received {momentum!r}.")
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= 10_000:
        raise SettingError(f"Expected 1 to 10,000 steps, received {steps!r}.")
