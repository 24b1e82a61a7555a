"""Methods that only ask the model again: what its score does when parts of the input are taken away."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from math import ceil, comb, prod

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.errors import SettingError
from labkit.saliency.method import Method, Request
from labkit.saliency.places import layers_watched
from labkit.saliency.segments import segments

# Occlusion: the window's side, as a share of the longest side of the input.
WINDOW = 1 / 8

# RISE: masks that are enlarged at once when they are added up.
MASKS = 64

# (first, last) -> masks (last - first, *sides) of 0 to 1: 1 keeps the value, 0 puts the baseline's there.
Masks = Callable[[int, int], Tensor]


def occlusion(request: Request) -> Tensor:
    axes = input_axes(request)
    sides = [request.x.shape[axis] for axis in axes]
    windows = _windows(sides, *_window(request, sides))

    def masks(first: int, last: int) -> Tensor:
        kept = torch.ones(last - first, *sides, device=request.x.device, dtype=request.x.dtype)
        for mask, window in zip(kept, windows[first:last], strict=True):
            mask[window] = 0
        return kept

    scores = _scores(request, slice(0, len(request.x)), axes, len(windows), masks)
    drops = _score(request, request.x, request.target)[:, None] - scores
    total, covered = drops.new_zeros(len(drops), *sides), drops.new_zeros(sides)
    for window, drop in zip(windows, drops.T, strict=True):
        total[:, *window] += drop.reshape(-1, *(1,) * len(sides))
        covered[window] += 1
    return shared(total / covered, axes, request.x)


def rise(request: Request) -> Tensor:
    axes = input_axes(request)
    sides = [request.x.shape[axis] for axis in axes]
    count, masks = request.options["masks"], _soft_masks(request, sides)
    scores = _scores(request, slice(0, len(request.x)), axes, count, masks)
    above = scores - scores.mean(1, keepdim=True)
    total = scores.new_zeros(len(scores), prod(sides))
    for first in range(0, count, MASKS):
        last = min(first + MASKS, count)
        total += above[:, first:last] @ masks(first, last).flatten(1)
    total = total.unflatten(1, sides) / (count * request.options["keep"])
    return shared(total, axes, request.x)


def kernel_shap(request: Request) -> Tensor:
    axes, samples = input_axes(request), _whole(request, "samples")
    full, empty = (_score(request, x, request.target) for x in (request.x, request.baseline))
    maps = []
    for i, parts in enumerate(_labels(request, axes)):
        # Drawn anew for each example: where the number of parts is the same, so are the draws.
        kept, weights = coalitions(int(parts.max()) + 1, samples, request.generator())
        masks = partial(_of_parts, kept.to(request.x), parts)
        scores = _scores(request, slice(i, i + 1), axes, len(kept), masks)[0]
        values = shapley_values(kept, weights, scores - empty[i], full[i] - empty[i]).to(request.x)
        maps.append((values / parts.flatten().bincount())[parts])
    return shared(torch.stack(maps), axes, request.x)


def _of_parts(kept: Tensor, parts: Tensor, first: int, last: int) -> Tensor:
    return kept[first:last, parts]


def coalitions(count: int, samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Which of `count` parts are kept, bool (samples, count), and how much each choice counts, float64 (samples,).

    Neither all nor none. Where there are no more than `samples` such choices, all of them with Shapley's kernel
    (count - 1) / (C(count, k) k (count - k)) (Lundberg and Lee 2017, theorem 2); otherwise they are drawn by it, each
    with its complement (Covert and Lee 2021, section 3.3), with equal weights.
    Errors: SettingError for fewer samples than twice the parts, of which no values could be told.
    """
    if count == 1:
        return torch.zeros(0, 1, dtype=torch.bool), torch.zeros(0, dtype=torch.double)
    if count < 30 and 2**count - 2 <= samples:
        kept = (torch.arange(1, 2**count - 1)[:, None] >> torch.arange(count)) & 1 == 1
        sizes = kept.sum(1)
        choices = torch.tensor([comb(count, k) for k in range(count + 1)], dtype=torch.double)
        return kept, (count - 1) / (choices[sizes] * sizes * (count - sizes))
    if samples < 2 * count:
        raise SettingError(
            f"Expected samples of at least {2 * count} for {count} parts, received {samples}. Pass more."
        )
    sizes = torch.arange(1, count, dtype=torch.double)
    drawn = torch.multinomial(1 / (sizes * (count - sizes)), samples // 2, replacement=True, generator=generator) + 1
    order = torch.rand(samples // 2, count, generator=generator).argsort(1).argsort(1)
    kept = order < drawn[:, None]
    return torch.cat([kept, ~kept]), torch.ones(2 * len(kept), dtype=torch.double)


def shapley_values(kept: Tensor, weights: Tensor, gains: Tensor, total: Tensor) -> Tensor:
    """The values (count,), float64 on the CPU, whose sums over the parts kept come nearest to `gains` (samples,).

    By weighted least squares, under the condition that all of them add up to `total` (Lundberg and Lee 2017, eq. 2 and
    theorem 2): with all choices and Shapley's kernel these are the Shapley values themselves.
    """
    design, gains, total = (value.detach().cpu().double() for value in (kept, gains, total))
    # The last value is what the others leave of the total.
    last, root = design[:, -1:], weights.sqrt()[:, None]
    found = torch.linalg.lstsq(root * (design[:, :-1] - last), root * (gains[:, None] - last * total), driver="gelsd")
    return torch.cat([found.solution[:, 0], total - found.solution.sum(0)])


def input_axes(request: Request) -> tuple[int, ...]:
    """The axes of the input that have its places: all but the batch's and the channels'.

    (n, values), (n, channels, ...); of series also (n, length, channels), where the model's first layer takes them so.
    """
    x = request.x
    if x.ndim == 2:
        return (1,)
    if x.ndim == 3:
        with layers_watched(request.net, x[:1]) as found, torch.enable_grad():
            request.model(x[:1])
        return next((layer.layout.axes for layer in found.values()), (2,))
    return tuple(range(2, x.ndim))


def shared(maps: Tensor, axes: Sequence[int], x: Tensor) -> Tensor:
    """Maps (n, *sides) as a tensor like `x`: every channel has an equal share."""
    large = _spread(maps, axes, x)
    return large.expand_as(x) / (x[0].numel() / maps[0].numel())


def _spread(maps: Tensor, axes: Sequence[int], x: Tensor) -> Tensor:
    """Maps (n, *sides) with an axis of 1 where `x` has its channels."""
    for axis in range(1, x.ndim):
        if axis not in axes:
            maps = maps.unsqueeze(axis)
    return maps


def _scores(request: Request, some: slice, axes: Sequence[int], count: int, masks: Masks) -> Tensor:
    """The targets' scores (examples, count) of some examples under each mask, in passes of at most `rows` rows."""
    x, start, target = request.x.detach()[some], request.baseline[some], request.target[some]
    result = x.new_empty(len(x), count)
    width = min(len(x), request.rows)
    at_once = max(1, request.rows // width)
    done = some.start * count
    for begin in range(0, len(x), width):
        few = slice(begin, begin + width)
        for first in range(0, count, at_once):
            last = min(first + at_once, count)
            kept = _spread(masks(first, last), axes, x)[:, None]
            inputs = (kept * x[few] + (1 - kept) * start[few]).flatten(0, 1)
            found = _score(request, inputs, target[few].repeat(last - first))
            result[few, first:last] = found.reshape(last - first, -1).T
            done += len(found)
            request.progress(done, len(request.x) * count)
    return result


def _score(request: Request, x: Tensor, target: Tensor) -> Tensor:
    """Each example's score of its target (n,), in passes of at most `rows` rows."""
    with torch.no_grad():
        parts = zip(x.split(request.rows), target.split(request.rows), strict=True)
        return torch.cat([request.model(some).gather(1, wanted[:, None])[:, 0] for some, wanted in parts])


def _window(request: Request, sides: Sequence[int]) -> tuple[int, int]:
    """(side, stride) of occlusion's window."""
    usual = 1 if request.x.ndim == 2 else min(max(1, round(WINDOW * max(sides))), *sides)
    size = usual if request.options["window"] is None else _whole(request, "window")
    if size > min(sides):
        raise SettingError(f"Expected a window of at most the input's shortest side, {min(sides)}, received {size}.")
    step = max(1, size // 2) if request.options["stride"] is None else _whole(request, "stride")
    if step > size:
        raise SettingError(
            f"Expected a stride of at most the window, {size}, received {step}: what lies between is never hidden."
        )
    return size, step


def _windows(sides: Sequence[int], size: int, step: int) -> list[tuple[slice, ...]]:
    """All windows; the last of each side may reach over the border."""
    starts = [[i * step for i in range(ceil((side - size) / step) + 1)] for side in sides]
    return [tuple(slice(i, i + size) for i in corner) for corner in product(*starts)]


def _soft_masks(request: Request, sides: Sequence[int]) -> Masks:
    """RISE's masks: coarse random grids, enlarged and shifted; of rows, each value is kept or not on its own."""
    count, keep, cells = _whole(request, "masks"), request.options["keep"], _whole(request, "cells")
    if not 0 < keep < 1:
        raise SettingError(f"Expected a share to keep between 0 and 1, received {keep!r}.")
    generator = request.generator()
    if request.x.ndim == 2:
        rows = (torch.rand(count, *sides, generator=generator) < keep).to(request.x)
        return lambda first, last: rows[first:last]
    many = [min(cells, side) for side in sides]
    lengths = [ceil(side / cells) for side, cells in zip(sides, many, strict=True)]
    grids = (torch.rand(count, *many, generator=generator) < keep).to(request.x)
    shifts = torch.stack([torch.randint(length, (count,), generator=generator) for length in lengths], 1).tolist()
    size = [(cells + 1) * length for cells, length in zip(many, lengths, strict=True)]
    mode = ("linear", "bilinear", "trilinear")[len(sides) - 1]

    def masks(first: int, last: int) -> Tensor:
        large = F.interpolate(grids[first:last, None], size=size, mode=mode, align_corners=False)[:, 0]
        places = ([slice(i, i + side) for i, side in zip(shift, sides, strict=True)] for shift in shifts[first:last])
        return torch.stack([mask[tuple(place)] for mask, place in zip(large, places, strict=True)])

    return masks


def _labels(request: Request, axes: Sequence[int]) -> Tensor:
    """The parts (n, *sides) of kernel_shap."""
    x, count = request.x.detach(), _whole(request, "segments")
    return segments(x.transpose(1, 2) if axes == (1,) and x.ndim == 3 else x, count)


def _whole(request: Request, option: str) -> int:
    value = request.options[option]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SettingError(f"Expected {option} as a whole number of 1 or more, received {value!r}.")
    return value


PERTURBATIONS = {
    "occlusion": Method(
        compute=occlusion,
        formula="mean of f(x) − f(x with x₀ in the window), over the windows that cover the place",
        source="Zeiler and Fergus 2014, Visualizing and Understanding Convolutional Networks, section 4.2",
        assumes="That x₀ in a window stands for nothing to see, and that what counts is as large as the window.",
        family="perturbation",
        baseline=True,
        slow=True,
        options={"window": None, "stride": None},
    ),
    "rise": Method(
        compute=rise,
        formula="1/(N p) · Σ (f(x ⊙ Mᵢ) − mean f) Mᵢ, Mᵢ: N random masks that keep a share p",
        source="Petsiuk et al. 2018, RISE, eq. 6, there without the mean: probabilities are never below zero",
        assumes="That the score falls when what counts is hidden, together with whatever else.",
        family="perturbation",
        baseline=True,
        random=True,
        slow=True,
        options={"masks": 500, "cells": 7, "keep": 0.5},
    ),
    "kernel_shap": Method(
        compute=kernel_shap,
        formula="Shapley value of each part, in equal shares for its values; they add up to f(x) − f(x₀)",
        source="Lundberg and Lee 2017, A Unified Approach to Interpreting Model Predictions, theorem 2",
        assumes="That the parts are the players, and that a part is absent when x₀ stands in its place.",
        family="perturbation",
        baseline=True,
        random=True,
        slow=True,
        options={"segments": 30, "samples": 300},
    ),
}
