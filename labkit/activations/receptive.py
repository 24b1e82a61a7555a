"""What part of a picture a value of a layer can see, and which pixels it does depend on; sizes of outputs."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.backends import nnpack

from labkit.activations.calls import module_of
from labkit.activations.capture import choose_layers, random_numbers_given_back
from labkit.errors import DataError, SettingError

Box = tuple[int, int, int, int]
Place = tuple[int, ...]
Read = Callable[[Any, nn.Module, str], Tensor]

AT_ONCE = 16  # pictures in a pass
# To find where a field ends that is larger than the picture, it is made twice as long, a small one up to this length.
LONGEST = 128
# Normalisations that mix all places of a channel: not counted, as is usual for receptive fields.
MIXING = (nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)


@dataclass(frozen=True)
class ReceptiveField:
    """What one place of a layer sees of the picture; boxes are (top, left, bottom, right), half-open, in input pixels.

    box: the theoretical field. It reaches over the picture's edge where padding is seen. Where there is no such field,
        as after a fully connected layer or a global pooling, it is the whole picture.
    inside: the part of it within the picture.
    gradient: (H, W) float, measured: |∂value/∂pixel| for this picture, summed over the colours, the mean over the
        layer's units at this place (Luo et al. 2016, "Understanding the effective receptive field").
    layer, position: of the values meant; position is (row, column), (token,) or () for a layer without places.
    """

    layer: str
    position: Place
    box: Box
    inside: Box
    gradient: np.ndarray


def output_size(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, transposed: bool = False
) -> int:
    """Places along one side that a convolution or pooling gives for `size` places (Dumoulin and Visin 2016, rel. 15).

    ⌊(size + 2 padding − dilation (kernel − 1) − 1) / stride⌋ + 1; transposed:
    (size − 1) stride − 2 padding + dilation (kernel − 1) + 1. Error: SettingError where nothing is left.
    """
    if min(size, kernel, stride, dilation) < 1 or padding < 0:
        raise SettingError(
            f"Expected size, kernel, stride and dilation of at least 1 and padding of at least 0, received "
            f"size={size}, kernel={kernel}, stride={stride}, padding={padding}, dilation={dilation}."
        )
    reach = dilation * (kernel - 1) + 1
    result = (size - 1) * stride - 2 * padding + reach if transposed else (size + 2 * padding - reach) // stride + 1
    if result < 1:
        raise SettingError(
            f"Expected a kernel that fits: it reaches over {reach} places, and {size} with a padding of {padding} on "
            "both sides leave no output. Use a smaller kernel or dilation, or another padding."
        )
    return result


def by_unit(output: Any, module: nn.Module, layer: str) -> Tensor:
    """A layer's output as (n, units, *places): (n, units, rows, columns), (n, units, tokens) or (n, units).

    Outputs (n, tokens, units), and what linear layers and LayerNorm give, have their units last; others at place 1.
    """
    if not isinstance(output, Tensor) or output.ndim < 2:
        shown = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise SettingError(f"Expected a layer that gives one tensor (n, units, ...), received {shown} from {layer}.")
    return output.movedim(-1, 1) if output.ndim == 3 or isinstance(module, nn.Linear | nn.LayerNorm) else output


def receptive_field(model: nn.Module, x: Tensor, layer: str, position: int | Place | None = None) -> ReceptiveField:
    """What the value at `position` of a layer's output can see of a picture, and what it does depend on.

    x: pictures (n, C, H, W); the first is meant. layer: a layer as `capture` names it. position: (row, column), of
        tokens their number; by default the middle.
    The model is left as it was. Errors: SettingError for a layer or place that is not there, DataError for inputs that
    are not pictures or do not fit the model.
    """
    fields = receptive_fields(model, x, [layer])[layer]
    place = _position(position, fields.shape[:-1], layer)
    box = tuple(map(int, fields[place]))
    height, width = x.shape[2:]
    inside = tuple(int(np.clip(edge, 0, (height, width)[i % 2])) for i, edge in enumerate(box))
    return ReceptiveField(layer, place, box, inside, _gradient(model, x[:1], layer, place))  # type: ignore[arg-type]


def receptive_fields(model: nn.Module, x: Tensor, layers: Sequence[str], read: Read = by_unit) -> dict[str, np.ndarray]:
    """{layer: (*places, 4) int64: the box of every place of its output}, as in ReceptiveField; 0, 0, 0, 0 sees nothing.

    Found by running a copy of the model on the first picture of `x` (n, C, H, W) with one row or column after the other
    made NaN: NaN comes out wherever the row can be seen, whatever the weights. Batch, group and instance normalisation
    are not counted as seeing.
    read(output, module, layer) -> (n, units, *places): how a layer's output is read.
    Errors: those of `receptive_field`.
    """
    if not (isinstance(x, Tensor) and x.ndim == 4 and x.numel() and x.is_floating_point()):
        shown = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise DataError(f"Expected pictures (n, channels, height, width), received {shown}.")
    names = list(layers)
    choose_layers(model, [module_of(model, name) for name in names])
    twin, base = copy.deepcopy(model).cpu().float().eval(), x[:1].detach().cpu().float()
    # NNPACK computes a convolution by tiles, in all of which one NaN would show.
    with torch.no_grad(), random_numbers_given_back([base]), _unmixed(twin), nnpack.flags(enabled=False):
        if not all(values.isfinite().all() for values in _outputs(twin, base, names, read).values()):
            twin, base = twin.double(), base.double()  # several times slower, and does not overflow
        ends = [_beyond(twin, base, side, _seen(twin, base, names, side, read), read) for side in (0, 1)]
    rows, columns = ends
    return {
        name: np.stack([rows[name][..., 0], columns[name][..., 0], rows[name][..., 1], columns[name][..., 1]], axis=-1)
        for name in names
    }


def _seen(twin: nn.Module, base: Tensor, names: list[str], side: int, read: Read) -> dict[str, np.ndarray]:
    """{layer: (rows or columns of the input, *places) bool: whether the place sees it}."""

    def blind(output: Any, module: nn.Module, layer: str) -> Tensor:
        return read(output, module, layer).amax(1).isnan()  # the largest of numbers one of which is NaN is NaN

    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    length = base.shape[2 + side]
    for start in range(0, length, AT_ONCE):
        lines = range(start, min(start + AT_ONCE, length))
        batch = base.repeat(len(lines), 1, 1, 1)
        for i, line in enumerate(lines):
            batch[i].select(1 + side, line).fill_(torch.nan)
        for name, values in _outputs(twin, batch, names, blind).items():
            found[name].append(values.numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _ends(seen: np.ndarray) -> np.ndarray:
    """(*places, 3): the first line seen, the one after the last, and how many are seen; 0, 0, 0 where none is."""
    count = seen.sum(0, dtype=np.int64)
    ends = np.stack([seen.argmax(0), len(seen) - seen[::-1].argmax(0), count], axis=-1)
    return np.where(count[..., None] > 0, ends, 0)


def _beyond(twin: nn.Module, base: Tensor, side: int, seen: dict[str, np.ndarray], read: Read) -> dict[str, np.ndarray]:
    """{layer: (*places, 2) ends of fields}; over the edge as far as the steps between the fields that lie within say.

    If too few do, longer pictures are tried, which begin with this one. Without regular steps the ends stay as seen.
    """
    ends = {name: _ends(values) for name, values in seen.items()}
    length = base.shape[2 + side]
    lines = {}
    for name, values in ends.items():
        line = np.unique(values, axis=1 - side) if values.ndim == 3 else values
        if values.ndim == 3 and line.shape[1 - side] == 1:  # rows and columns, and in each column the same rows
            lines[name] = line.squeeze(1 - side)
    result = {name: values[..., :2] for name, values in ends.items()}
    waiting, times = lines, 1
    while waiting:
        last = 2 * times * length > max(2 * length, LONGEST)
        found = {name: _straight(line, length * times, last) for name, line in waiting.items()}
        for name, rule in found.items():
            if rule is not None:
                result[name] = _along(rule, result[name], lines[name], length, side)
        waiting = {name: line for name, line in waiting.items() if found[name] is None}
        if last or not waiting:
            break
        times *= 2
        longer = torch.cat([base] * times, dim=2 + side)
        try:
            again = _seen(twin, longer, list(waiting), side, read)
        except (RuntimeError, ValueError, AssertionError):  # a model that takes pictures of one size only
            break
        waiting = {name: _ends(values).take(0, axis=1 - side) for name, values in again.items()}
    return result


def _along(rule: tuple[int, int, int], ends: np.ndarray, line: np.ndarray, length: int, side: int) -> np.ndarray:
    """Ends by a rule, (start at place 0, size, step); as they were if it does not hold for a field that lies within."""
    first, size, step = rule
    start = first + step * np.arange(len(line))
    straight = np.stack([start, start + size], axis=-1)
    within = (start >= 0) & (start + size <= length)
    if not np.array_equal(straight[within], line[within, :2]):
        return ends
    return np.broadcast_to(np.expand_dims(straight, 1 - side), ends.shape)


def _straight(ends: np.ndarray, length: int, last: bool) -> tuple[int, int, int] | None:
    """(start at place 0, size, step) by at least three places whose fields lie within, of the full size."""
    sizes = ends[:, 1] - ends[:, 0]
    size = sizes.max()
    free = np.flatnonzero((sizes == size) & (ends[:, 0] > 0) & (ends[:, 1] < length))
    steps = np.diff(ends[free, 0])
    if len(free) < 3 or len(set(steps)) != 1 or len(set(np.diff(free))) != 1:
        return None
    # With gaps (dilation), one that has lost its outer part ends within too: room for two tells it from a whole one.
    if (ends[free, 2] < size).any() and length < 2 * size and not last:
        return None
    step = steps[0] // (free[1] - free[0])
    return int(ends[free[0], 0] - step * free[0]), int(size), int(step)


class _Reached(BaseException):
    """Every layer asked for has given its output. No model's `except Exception` stops it."""


def _outputs(model: nn.Module, x: Tensor, names: Sequence[str], read: Read) -> dict[str, Tensor]:
    """{layer: its output as (n, units, *places)}; the pass ends when all are there."""
    found: dict[str, Tensor] = {}
    calls: dict[str, int] = {}

    def watch(layer: str) -> Any:
        def hook(module: nn.Module, _: object, output: Any) -> None:
            calls[layer] = calls.get(layer, 0) + 1
            name = layer if calls[layer] == 1 else f"{layer}:{calls[layer]}"
            if name in names:
                found[name] = read(output, module, name).clone()  # a later operation may write over it
                if len(found) == len(set(names)):
                    raise _Reached

        return hook

    handles = []
    try:
        for layer, module in choose_layers(model, [module_of(model, name) for name in names]).items():
            handles.append(module.register_forward_hook(watch(layer)))
        model(x)
    except _Reached:
        return {name: found[name] for name in names}
    finally:
        for handle in handles:
            handle.remove()
    missing = next(name for name in names if name not in found)
    raise SettingError(f"Expected layers that this pass calls, received {missing!r}.")


@contextmanager
def _unmixed(twin: nn.Module) -> Iterator[None]:
    """Normalisations over places hand on what they are given."""
    mixing = [module for module in twin.modules() if isinstance(module, MIXING)]
    handles = [module.register_forward_hook(lambda _, given, __: given[0]) for module in mixing]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _position(position: int | Place | None, places: Place, layer: str) -> Place:
    if position is None:
        return tuple(side // 2 for side in places)
    place = (position,) if isinstance(position, int) else tuple(position)
    fits = len(place) == len(places) and all(-side <= i < side for i, side in zip(place, places, strict=False))
    if not fits:
        raise SettingError(f"Expected a place of {layer}, whose output has places {places}, received {position}.")
    return tuple(int(i) % side for i, side in zip(place, places, strict=True))


def _gradient(model: nn.Module, x: Tensor, layer: str, place: Place) -> np.ndarray:
    twin = copy.deepcopy(model)  # the pass may write into buffers
    with torch.inference_mode(False), torch.enable_grad(), random_numbers_given_back([x]):
        leaf = x.detach().clone().requires_grad_()
        values = _outputs(twin, leaf.clone(), [layer], by_unit)[layer][0]
        for i in place:
            values = values[:, i]
        total = torch.zeros_like(leaf[0, 0])
        for value in values:
            (gradient,) = torch.autograd.grad(value, leaf, retain_graph=True, materialize_grads=True)
            total += gradient[0].abs().sum(0)
    return (total / len(values)).cpu().numpy()
