"""Sanity checks of a method: what a map should depend on, and what it should not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.errors import DataError, SettingError
from labkit.saliency.attribution import attributed
from labkit.saliency.faithfulness import completeness, rows_for, running, targets_of
from labkit.saliency.randomization import SURVIVED, similar

# A relative change of a map that is taken for none: what float32's rounding does to means over noisy inputs is less.
UNCHANGED = 0.01
POINTS = (8, 32, 128)


@dataclass(frozen=True)
class LabelRandomization:
    """rank, signed, ssim (n,): of the maps of a net trained on true and one on random labels, as in `Randomization`.

    passed: whether the mean rank correlation is below 0.5.
    """

    rank: np.ndarray
    signed: np.ndarray
    ssim: np.ndarray

    @property
    def passed(self) -> bool:
        return bool(np.nanmean(self.rank) < SURVIVED)


@dataclass(frozen=True)
class InputShift:
    """change (n,): ‖a' - a‖ / ‖a‖ of the maps of two networks whose outputs are the same (NaN for a map of zeros).

    outputs: the largest difference between their outputs. passed: whether every change is below 0.01.
    """

    change: np.ndarray
    outputs: float

    @property
    def passed(self) -> bool:
        return bool(np.nanmax(self.change) < UNCHANGED)


@dataclass(frozen=True)
class Completeness:
    """errors (numbers of points, n): |Σa - (f(x) - f(x₀))| / |f(x) - f(x₀)| of integrated gradients.

    passed: whether their median falls from each number of points to the next.
    """

    points: tuple[int, ...]
    errors: np.ndarray

    @property
    def passed(self) -> bool:
        return bool((np.diff(np.median(self.errors, axis=1)) < 0).all())


class _Shifted(nn.Module):
    """What a network becomes when its inputs come with `shift` added: the same outputs for x + shift as it had for x.

    Kindermans et al. put the shift into the first layer's bias; taking it from the input is the same in exact
    arithmetic, and right also where a convolution pads with zeros.
    """

    def __init__(self, net: nn.Module, shift: Tensor) -> None:
        super().__init__()
        self.net, self.shift = net, shift

    def forward(self, x: Tensor) -> Any:
        return self.net(x - self.shift)


def label_randomization_check(
    model: nn.Module,
    other: nn.Module,
    x: Tensor,
    target: int | Tensor,
    method: str = "gradient",
    seed: int = 0,
    **more: Any,
) -> LabelRandomization:
    """Whether a method tells a network that learnt from one that learnt by heart (Adebayo et al. 2018, section 3.3).

    other: the same architecture trained on the same inputs with their labels shuffled. more: as `attributed`.
    Errors: those of `attributed`.
    """
    maps = [attributed(net, x, target, method, seed=seed, **more).values for net in (model, other)]
    return LabelRandomization(**similar(*maps))


def input_shift_check(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    method: str = "gradient",
    shift: float | Tensor = 1.0,
    seed: int = 0,
    layer: str | None = None,
    **more: Any,
) -> InputShift:
    """Whether a map stays when inputs are shifted and the network makes up for it (Kindermans et al. 2017, section 2).

    The second network gives f(x) for x + shift, so that it decides by the same; a map that changes depends on where
    the inputs' zero is. shift: a number, or a tensor like one example. layer, more: as `attributed`.
    Errors: DataError for a shift that does not fit, those of `attributed`.
    """
    given = torch.as_tensor(shift, dtype=x.dtype, device=x.device)
    if given.shape not in ((), x.shape[1:]):
        raise DataError(
            f"Expected a shift as a number or like one example {tuple(x.shape[1:])}, received shape "
            f"{tuple(given.shape)}."
        )
    moved = _Shifted(model, given)
    moved.training = model.training
    first = attributed(model, x, target, method, seed=seed, layer=layer, **more).values.double()
    second = attributed(
        moved, x + given, target, method, seed=seed, layer=None if layer is None else f"net.{layer}", **more
    ).values.double()
    size = first.flatten(1).norm(dim=1)
    change = torch.where(size > 0, (second - first).flatten(1).norm(dim=1) / size, torch.nan)
    return InputShift(change.cpu().numpy(), _difference(model, moved, x, given, target))


def completeness_check(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    points: Sequence[int] = POINTS,
    baseline: str | Tensor = "black",
    seed: int = 0,
) -> Completeness:
    """How the error of integrated gradients' sum falls with the points on its path (Sundararajan et al. 2017, prop. 1).

    Errors: SettingError for no or falling numbers of points, those of `attributed`.
    """
    if not points or list(points) != sorted(set(points)):
        raise SettingError(f"Expected rising numbers of points such as {POINTS}, received {tuple(points)}.")
    method = "integrated_gradients"
    errors = []
    for count in points:
        values = attributed(model, x, target, method, seed=seed, baseline=baseline, points=count).values
        errors.append(completeness(model, x, target, values, baseline).numpy())
    return Completeness(tuple(points), np.stack(errors))


def _difference(model: nn.Module, moved: nn.Module, x: Tensor, shift: Tensor, target: int | Tensor) -> float:
    targets = targets_of(target, x)
    largest = 0.0
    for part in x.detach().split(rows_for(x)):
        with running(model, targets) as run, running(moved, targets) as run_moved:
            largest = max(largest, float((run(part) - run_moved(part + shift)).abs().max()))
    return largest
