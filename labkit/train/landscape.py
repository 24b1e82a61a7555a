"""The loss on a plane or a line through a model's weights, and the path that training took, seen on it.

Losses are the mean over all examples of the data set given, of the model in evaluation mode (no dropout, the stored
batch statistics), so they differ from a minibatch's training loss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from labkit import device as devices
from labkit.errors import SettingError
from labkit.train.directions import filter_normalised, gaussian, orthonormal, principal
from labkit.train.weights import Loss, flatten, loss_at

if TYPE_CHECKING:
    from labkit.train.player import Player

DIRECTIONS = {"filter": filter_normalised, "random": gaussian}

# A plane through a path reaches this much further than the path itself.
MARGIN = 1.25


class Trajectory(NamedTuple):
    """Where training went: steps (k,) and the trained weights there (k, P)."""

    steps: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Landscape:
    """Losses over a plane: losses[i, j] is that of weights = centre + a[j] * directions[0] + b[i] * directions[1].

    losses: (n, n), NaN and inf as they came. a, b: (n,) ascending. directions: (2, P). centre: (P,).
    kind: "filter", "random", "pca" or "runs". The first two are measured in lengths of the filters or of all weights;
        the other two are orthonormal, so that their places are distances between weights.
    steps, path: (k,) and (k, 2), the trajectory projected onto the plane (at right angles), or None.
    share: the share of the path's squared distance from the centre that the plane holds, 0 to 1, or None. In a plane by
        chance it is about 2 / P: such a plane shows next to nothing of where training went.
    marks: (3, 2), where the three models lie in a plane through "runs", or None.
    """

    losses: np.ndarray
    a: np.ndarray
    b: np.ndarray
    directions: np.ndarray
    centre: np.ndarray
    kind: str
    steps: np.ndarray | None = None
    path: np.ndarray | None = None
    share: float | None = None
    marks: np.ndarray | None = None

    def project(self, weights: np.ndarray) -> np.ndarray:
        """(k, P) -> (k, 2): the nearest places of the plane."""
        return project(np.asarray(weights) - self.centre, self.directions)

    def held(self, weights: np.ndarray) -> float:
        """The share of the squared distances of `weights` (k, P) from the centre that the plane holds, 0 to 1."""
        return share(np.asarray(weights) - self.centre, self.directions)

    def weights_at(self, a: float, b: float) -> np.ndarray:
        """(P,): the weights at a place."""
        return self.centre + a * self.directions[0] + b * self.directions[1]


@dataclass(frozen=True)
class Line:
    """Losses along a line: losses[i] is that of weights = centre + at[i] * direction. All (n,), (P,)."""

    losses: np.ndarray
    at: np.ndarray
    direction: np.ndarray
    centre: np.ndarray
    kind: str


def plane(
    model: nn.Module,
    ds: Any,
    directions: str | Sequence[nn.Module] = "filter",
    trajectory: Trajectory | None = None,
    loss: str | Loss | None = None,
    n: int = 41,
    span: float = 1.0,
    seed: int = 0,
) -> Landscape:
    """The loss of `model` on a plane through its weights, at n x n places.

    directions: "filter", drawn from `seed` and scaled to each filter's norm (Li et al. 2018, arXiv 1712.09913, section
        4); "random", drawn and scaled as a whole to the length of the weights; "pca", the two directions that hold
        most of the `trajectory` (there, section 7; where it is a straight line, the second is a filter direction); or
        two other models of the same architecture, whose plane with this one is shown.
    trajectory: `trajectory(player)`, to be projected onto the plane.
    loss: as Trainer takes it. By default cross-entropy for integer targets, else the mean squared error.
    span: how far to look. Drawn directions: from -span to span. Otherwise 1 shows the whole path, or all three models,
        and a quarter more.

    The model is left as it is, and no random number is drawn from the global generators. The same arguments give the
    same losses. Models without convolutions or recurrent layers are evaluated many at once (vmap), in bounded memory.
    Errors: SettingError for settings out of range, DataError for data, models or a path that do not fit.
    """
    _check(n, span)
    value, centre = loss_at(model, ds, loss), flatten(model)
    movement = _movement(centre, trajectory)
    others = [] if isinstance(directions, str) else [_vector(other, centre) for other in directions]
    basis, kind = _basis(model, centre, directions, others, movement, seed)
    chosen = _numpy(basis)
    marks = _numpy(torch.stack([centre, *others]) - centre) @ chosen.T if others else None
    path = None if movement is None else project(_numpy(movement), chosen)
    a, b = _axes(kind, path if kind == "pca" else marks, n, span)
    grid = torch.cartesian_prod(*(torch.from_numpy(axis).to(centre) for axis in (b, a))).flip(1)
    return Landscape(
        losses=_on_grid(value, centre, basis, grid).reshape(n, n),
        a=a,
        b=b,
        directions=chosen,
        centre=_numpy(centre),
        kind=kind,
        steps=None if trajectory is None else np.asarray(trajectory.steps),
        path=path,
        share=None if movement is None else share(_numpy(movement), chosen),
        marks=marks,
    )


def line(
    model: nn.Module,
    ds: Any,
    to: nn.Module | None = None,
    directions: str = "filter",
    loss: str | Loss | None = None,
    n: int = 81,
    span: float = 1.0,
    seed: int = 0,
) -> Line:
    """The loss of `model` along a line through its weights, at n places.

    Without `to`, along a drawn direction ("filter" or "random", as in `plane`), from -span to span. With `to`, another
    model of the same architecture, from half their distance before this one (at 0) to half of it beyond the other (at
    1), times `span` (Goodfellow et al. 2015, arXiv 1412.6544, section 3); buffers, such as the batch statistics, are
    mixed alike, and with n = 4 k + 1 both ends are among the places.
    Errors and promises as in `plane`.
    """
    _check(n, span)
    centre = flatten(model)
    if to is None:
        direction, kind = _drawn(model, directions, seed), directions
        at, start, value = np.linspace(-span, span, n), centre, loss_at(model, ds, loss)
    else:
        _vector(to, centre)
        start = flatten(model, buffers=True)
        direction, kind = flatten(to, buffers=True).to(start) - start, "runs"
        at, value = 0.5 + span * np.linspace(-1, 1, n), loss_at(model, ds, loss, buffers=True)
    places = torch.from_numpy(at).to(start)[:, None]
    losses = _on_grid(value, start, direction[None], places)
    return Line(losses, at, _numpy(direction[: len(centre)]), _numpy(centre), kind)


def on_plane(model: nn.Module, ds: Any, landscape: Landscape, loss: str | Loss | None = None) -> Callable[..., Tensor]:
    """The function (..., 2) -> (...): the exact loss at any places of a plane, to be differentiated by autograd.

    It works on a copy of the model.
    """
    value, like = loss_at(model, ds, loss), flatten(model)
    centre = torch.from_numpy(landscape.centre).to(like)
    directions = torch.from_numpy(landscape.directions).to(like)

    def losses(places: Tensor) -> Tensor:
        flat = places.reshape(-1, 2).to(like)
        return value(centre + flat @ directions).reshape(places.shape[:-1])

    return losses


def trajectory(player: "Player", probe: str = "parameters") -> Trajectory:
    """The recorded steps of a player and its weights there, up to the newest step.

    The player needs `probes={"parameters": labkit.train.probes.parameters()}`; with `frame_every` it records at
    just these steps. Steps whose weights are not finite are left out.
    """
    found = [(step, frame[key]) for step, frame in player.recorder.frames if (key := f"{probe}.weights") in frame]
    finite = [(step, weights) for step, weights in found if np.isfinite(weights).all()]
    if not finite:
        raise SettingError(
            f"Expected a player that records its weights under {probe!r}. Make it with "
            'labkit.train.Player(trainer, probes={"parameters": labkit.train.probes.parameters()}).'
        )
    return Trajectory(np.array([step for step, _ in finite]), np.stack([weights for _, weights in finite]))


def project(movement: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(k, P) on (m, P) -> (k, m): coordinates of the nearest places, by least squares."""
    return np.linalg.solve((directions @ directions.T).astype(np.float64), directions @ movement.T).T


def share(movement: np.ndarray, directions: np.ndarray) -> float:
    """The share of the squared length of `movement` (k, P) that lies in the plane; 1 where nothing moved."""
    places = project(movement, directions)
    whole = float(np.vdot(movement, movement))
    held = float(np.einsum("ki,ij,kj->", places, directions @ directions.T, places))
    return min(1.0, held / whole) if whole > 0 else 1.0


# Which plane


def _basis(
    model: nn.Module,
    centre: Tensor,
    directions: str | Sequence[nn.Module],
    others: list[Tensor],
    movement: Tensor | None,
    seed: int,
) -> tuple[Tensor, str]:
    """((2, P) directions, their kind)."""
    if not isinstance(directions, str):
        if len(others) != 2:
            raise SettingError(f"Expected two other models for a plane, received {len(others)}. For one, use `line`.")
        return orthonormal(others[0] - centre, others[1] - centre), "runs"
    if directions == "pca":
        if movement is None:
            raise SettingError('Expected a trajectory for directions="pca": pass trajectory=trajectory(player).')
        found = principal(movement)
        return found if len(found) == 2 else orthonormal(found[0], _drawn(model, "filter", seed)), "pca"
    generator = torch.Generator().manual_seed(seed)
    draw = _drawing(directions)
    return torch.stack([draw(model, generator), draw(model, generator)]), directions


def _drawn(model: nn.Module, directions: str, seed: int) -> Tensor:
    return _drawing(directions)(model, torch.Generator().manual_seed(seed))


def _drawing(directions: str) -> Callable[[nn.Module, torch.Generator], Tensor]:
    if directions not in DIRECTIONS:
        raise SettingError(f"Expected directions of {', '.join(DIRECTIONS)} or pca, received {directions!r}.")
    return DIRECTIONS[directions]


def _axes(kind: str, places: np.ndarray | None, n: int, span: float) -> tuple[np.ndarray, np.ndarray]:
    """The same scale on both axes: a distance on the picture is one between weights."""
    if places is None or kind in DIRECTIONS:
        return np.linspace(-span, span, n), np.linspace(-span, span, n)
    low, high = places.min(axis=0), places.max(axis=0)
    middle, half = (low + high) / 2, float((high - low).max()) / 2 * MARGIN * span
    a, b = (np.linspace(at - half, at + half, n) for at in middle)
    return a, b


def _movement(centre: Tensor, path: Trajectory | None) -> Tensor | None:
    if path is None:
        return None
    weights = torch.as_tensor(np.asarray(path.weights)).to(centre)
    if weights.ndim != 2 or weights.shape[1] != len(centre) or len(weights) == 0:
        raise SettingError(
            f"Expected a trajectory of this model, with weights of shape (steps, {len(centre)}), received "
            f"{tuple(weights.shape)}."
        )
    return weights - centre


def _vector(model: nn.Module, centre: Tensor) -> Tensor:
    weights = flatten(model).to(centre)
    if len(weights) != len(centre):
        raise SettingError(
            f"Expected models of the same architecture with {len(centre)} trained weights, received one with "
            f"{len(weights)}."
        )
    return weights


def _check(n: int, span: float) -> None:
    if not (isinstance(n, int) and n >= 2):
        raise SettingError(f"Expected n of at least 2 places along an axis, received {n!r}.")
    if not (np.isfinite(span) and span > 0):
        raise SettingError(f"Expected a span above 0, received {span!r}.")


# The losses on it


def _on_grid(value: Callable[[Tensor], Tensor], centre: Tensor, directions: Tensor, places: Tensor) -> np.ndarray:
    """The losses (k,) at places (k, m); a few places at a time, so that their weights fit into memory."""
    with torch.no_grad(), devices.one_core_spared():
        rows = max(1, 2**24 // len(centre))
        return _numpy(torch.cat([value(centre + part @ directions) for part in places.split(rows)]))


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
