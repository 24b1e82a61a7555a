"""Scores that ask the model again: does it decide by what the map says it decides by?"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from labkit.errors import DataError, SettingError
from labkit.saliency.attribution import attributed
from labkit.saliency.baselines import baseline as baseline_of
from labkit.saliency.borrow import Scores, borrowed
from labkit.saliency.maps import as_map

# Rows of a forward pass. On a CPU a small convolutional network is fastest at about 16; a GPU wants many.
ROWS = {"cpu": 16}
ROWS_ELSEWHERE = 256
STEPS = 24  # parts in which the picture is removed: with twice as many the area changes by less than 0.01
SQUARES = 64
SQUARE_SIDES = (1 / 8, 1 / 3)  # of the picture's side
RADIUS, NEAR = 0.02, 10  # captum's: how far and how many neighbours of an input are looked at

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Curve:
    """shares (steps + 1,): of the places changed so far, 0 to 1. values (n, steps + 1): the target's probability.

    auc (n,): the area under them, 0 to 1 (trapezoids); NaN, as the values, where the map is zero everywhere.
    """

    shares: Tensor
    values: Tensor
    auc: Tensor


def deletion(model: nn.Module, x: Tensor, target: int | Tensor, attribution: Tensor, **more: Any) -> Tensor:
    """(n,) float64, lower is better: `curve(..., "deletion")`, which takes the same arguments, as one number."""
    return curve(model, x, target, attribution, "deletion", **more).auc


def insertion(model: nn.Module, x: Tensor, target: int | Tensor, attribution: Tensor, **more: Any) -> Tensor:
    """(n,) float64, higher is better: `curve(..., "insertion")`, which takes the same arguments, as one number."""
    return curve(model, x, target, attribution, "insertion", **more).auc


def curve(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    attribution: Tensor,
    kind: Literal["deletion", "insertion"] = "deletion",
    baseline: str | Tensor | None = None,
    steps: int = STEPS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Curve:
    """The target's probability while the places of highest attribution are taken from x, or put in, first.

    Petsiuk et al. 2018 (causal metrics). x: (n, channels, ...) or rows (n, d). attribution: like x, of which the
    magnitude counts (what speaks against the target also decides), or a map (n, ...); places of equal value are taken
    in an order drawn from the seed. baseline: what stands where nothing is, a kind or a tensor of
    `labkit.saliency.baseline`; by default each picture's "mean" colour for deletion and its "blur" for insertion
    ("mean" where there is nothing to blur). steps: in how many equal parts.
    The probability is the softmax of the outputs; of a model with a single output, that output itself.
    The model runs in evaluation mode and is given back as it was.
    Errors: SettingError for another kind or fewer than 1 or more steps than places, DataError for shapes that do not
    fit.
    """
    if kind not in ("deletion", "insertion"):
        raise SettingError(f'Expected "deletion" or "insertion", received {kind!r}.')
    targets = targets_of(target, x)
    order = _map_of(attribution, x).flatten(1)
    count = order.shape[1]
    if not 1 <= steps <= count:
        raise SettingError(f"Expected 1 to {count} steps for {count} places, received steps={steps!r}.")
    if baseline is None:
        baseline = "blur" if kind == "insertion" and x.ndim in (3, 4) else "mean"
    x = x.detach()
    start, end = x, baseline_of(x, baseline, seed)
    if kind == "insertion":
        start, end = end, start
    ranks = _ranks(order, seed).reshape(len(x), *_places(x)).to(x.device)
    cuts = torch.linspace(0, count, steps + 1).round().to(x.device)
    values = torch.empty(len(x) * len(cuts), dtype=torch.double)
    rows = rows_for(x)
    with running(model, targets) as run:
        for first in range(0, len(values), rows):
            index = torch.arange(first, min(first + rows, len(values)), device=x.device)
            example, step = index // len(cuts), index % len(cuts)
            changed = ranks[example] < cuts[step].reshape(-1, *(1,) * (ranks.ndim - 1))
            mixed = torch.where(changed.unsqueeze(1) if x.ndim > 2 else changed, end[example], start[example])
            outputs = run(mixed).double()
            chosen = outputs if outputs.shape[1] == 1 else outputs.softmax(1)
            values[index.cpu()] = chosen.gather(1, targets[example, None])[:, 0].cpu()
            if progress is not None:
                progress(int(index[-1]) + 1, len(values))
    values = values.reshape(len(x), -1)
    values[(order == 0).all(1).cpu()] = torch.nan
    shares = cuts.cpu().double() / count
    return Curve(shares, values, torch.trapezoid(values, shares, dim=1))


def infidelity(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    attribution: Tensor,
    baseline: str | Tensor = "mean",
    squares: int = SQUARES,
    scaled: bool = True,
    seed: int = 0,
) -> Tensor:
    """(n,) float64, lower is better: how badly the map's sums tell what removing a square does to the output.

    Yeh et al. 2019, definition 2.1, I = x - baseline within a square, else 0: the mean over the squares of
    (Iᵀa - (f(x) - f(x - I)))². scaled: a is multiplied by the factor that makes this least for the example (their
    section 4; methods differ in their units), and divided by the mean of (f(x) - f(x - I))²: 0 to 1, 1 for a map that
    tells nothing. attribution: like x. The squares' sides are drawn from 1/8 to 1/3 of the picture's and are the same
    for every example; of a series it is a stretch, of rows (n, d) a run of neighbours.
    NaN where scaled and no square changes the output, or the map is zero. Errors: as `curve`.
    """
    _like(attribution, x)
    if squares < 1:
        raise SettingError(f"Expected at least 1 square, received squares={squares!r}.")
    targets = targets_of(target, x)
    x, attribution = x.detach(), attribution.detach()
    removed = x - baseline_of(x, baseline, seed)
    masks = drawn_squares(_places(x), squares, seed).to(x.device)
    promised = torch.einsum("nd,sd->ns", as_map(removed * attribution, signed=True).flatten(1), masks.flatten(1).to(x))
    changes = torch.empty(len(x), squares, dtype=torch.double)
    rows = rows_for(x)
    with running(model, targets) as run:
        at_x = torch.cat([run(part) for part in x.split(rows)]).gather(1, targets[:, None])[:, 0]
        for i in range(len(x)):
            for first in range(0, squares, rows):
                part = masks[first : first + rows]
                where = part.unsqueeze(1) if x.ndim > 2 else part
                outputs = run(x[i] - where * removed[i])[:, targets[i]]
                changes[i, first : first + rows] = (at_x[i] - outputs).cpu().double()
    promised = promised.cpu().double()
    if not scaled:
        return (promised - changes).square().mean(1)
    own, together, whole = promised.square().mean(1), (promised * changes).mean(1), changes.square().mean(1)
    return 1 - together.square() / (own * whole)


def sensitivity(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    method: str = "gradient",
    radius: float = RADIUS,
    samples: int = NEAR,
    seed: int = 0,
    **more: Any,
) -> Tensor:
    """(n,) float64, lower is better: how much the map changes at most when the input changes a little.

    Yeh et al. 2019, definition 3.1: the maximum of ‖a(x + δ) - a(x)‖ / ‖a(x)‖ over `samples` draws of δ, each value
    uniform within ± radius, the same draws for every example; a lower bound of the true maximum. more: as `attributed`.
    NaN where the map is zero. Errors: SettingError for a radius that is not above 0 or no samples; those of
    `attributed`.
    """
    if not radius > 0 or samples < 1:
        raise SettingError(
            f"Expected a radius above 0 and at least 1 sample, received radius={radius!r}, samples={samples!r}."
        )
    at_x = attributed(model, x, target, method, seed=seed, **more).values.double()
    generator = torch.Generator().manual_seed(seed)
    worst = torch.zeros(len(x), dtype=torch.double)
    for _ in range(samples):
        draws = (torch.rand((1, *x.shape[1:]), generator=generator) * 2 - 1) * radius
        there = attributed(model, x + draws.to(x), target, method, seed=seed, **more).values.double()
        worst = torch.maximum(worst, (there - at_x).flatten(1).norm(dim=1).cpu())
    size = at_x.flatten(1).norm(dim=1).cpu()
    return torch.where(size > 0, worst / size, torch.nan)


def completeness(
    model: nn.Module, x: Tensor, target: int | Tensor, attribution: Tensor, baseline: str | Tensor = "black"
) -> Tensor:
    """(n,) float64, lower is better: |Σa - (f(x) - f(x₀))| / |f(x) - f(x₀)|, for the baseline that a was made with.

    Sundararajan et al. 2017, proposition 1. Infinite where the output is the same for both. Errors: as `curve`.
    """
    _like(attribution, x)
    targets = targets_of(target, x)
    rows = rows_for(x)
    with running(model, targets) as run:
        ends = [
            torch.cat([run(part) for part in one.split(rows)]).gather(1, targets[:, None])[:, 0].cpu().double()
            for one in (x.detach(), baseline_of(x, baseline))
        ]
    difference = ends[0] - ends[1]
    return (attribution.detach().cpu().double().flatten(1).sum(1) - difference).abs() / difference.abs()


@contextmanager
def running(model: nn.Module, targets: Tensor) -> Iterator[Callable[[Tensor], Tensor]]:
    """The model as a function from inputs to (n, outputs), without gradients, its weights in the fastest layout."""
    scores = Scores(model, None, (int(targets.min()), int(targets.max())))
    with borrowed(model), torch.no_grad():
        state = {name: _channels_last(value.detach()) for name, value in scores.named_parameters()}
        yield lambda x: torch.func.functional_call(scores, state, (_channels_last(x),))


def _channels_last(value: Tensor) -> Tensor:
    return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value


def rows_for(x: Tensor) -> int:
    return ROWS.get(x.device.type, ROWS_ELSEWHERE)


def targets_of(target: int | Tensor, x: Tensor) -> Tensor:
    """(n,) int64: one target for each example. Errors: DataError."""
    targets = torch.as_tensor(target, device=x.device)
    if targets.is_floating_point() or targets.dtype == torch.bool or targets.shape not in ((), (1,), (len(x),)):
        raise DataError(
            f"Expected a target as a whole number, or one for each of {len(x)} examples, received "
            f"{targets.dtype}, shape {tuple(targets.shape)}."
        )
    return targets.long().expand(len(x))


def drawn_squares(places: tuple[int, ...], count: int, seed: int = 0) -> Tensor:
    """(count, *places) bool: squares (of other shapes boxes) that lie wholly inside, of 1/8 to 1/3 of each side."""
    generator = torch.Generator().manual_seed(seed)
    low, high = SQUARE_SIDES
    sizes = low + (high - low) * torch.rand(count, generator=generator)
    inside = torch.ones(count, *places, dtype=torch.bool)
    for axis, length in enumerate(places):
        side = (sizes * length).round().clamp(min=1)
        start = (torch.rand(count, generator=generator) * (length - side + 1)).floor()
        at = torch.arange(length)
        along = (at >= start[:, None]) & (at < (start + side)[:, None])
        inside &= along.reshape(count, *(length if i == axis else 1 for i in range(len(places))))
    return inside


def _places(x: Tensor) -> tuple[int, ...]:
    return tuple(x.shape[2:] if x.ndim > 2 else x.shape[1:])


def _map_of(attribution: Tensor, x: Tensor) -> Tensor:
    if attribution.shape == x.shape:
        return as_map(attribution)
    if tuple(attribution.shape) == (len(x), *_places(x)) and attribution.isfinite().all():
        return attribution.detach().abs()
    raise DataError(
        f"Expected a finite attribution like x {tuple(x.shape)} or a map {(len(x), *_places(x))}, received shape "
        f"{tuple(attribution.shape)}."
    )


def _like(attribution: Tensor, x: Tensor) -> None:
    if attribution.shape != x.shape or not attribution.isfinite().all():
        raise DataError(
            f"Expected a finite attribution like x {tuple(x.shape)}, received shape {tuple(attribution.shape)}."
        )


def _ranks(values: Tensor, seed: int) -> Tensor:
    """(n, places): 0 for the highest, 1 for the next; ties in the same random order for every example."""
    mixed = torch.randperm(values.shape[1], generator=torch.Generator().manual_seed(seed)).to(values.device)
    order = mixed[values[:, mixed].argsort(dim=1, descending=True, stable=True)]
    ranks = torch.empty_like(order)
    return ranks.scatter_(1, order, torch.arange(values.shape[1], device=values.device).expand_as(order))
