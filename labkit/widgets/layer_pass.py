"""One forward pass, as LayerView sends it: what layers there are, their units' maps as bytes, one unit in full."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.activations import (
    Capture,
    Link,
    altered,
    capture,
    contributions,
    modules_called,
    unit_axes,
    unit_maps,
    windows_of,
)
from labkit.activations.calls import call_of
from labkit.activations.elementwise import ELEMENTWISE
from labkit.errors import SettingError

Factors = Mapping[tuple[str, int], float]

SIDE = 32  # of a thumbnail, at most
KERNELS = 3  # shown of a unit beside its map
# What gives a unit's map from that unit's map alone and keeps its size: shown after the sum, as its activation.
_AFTER = (*ELEMENTWISE, nn.BatchNorm2d, nn.BatchNorm1d, nn.Dropout, nn.Identity)
_MIXING = (nn.modules.conv._ConvNd, nn.Linear)
_FLATTENING = {"flatten", "view", "reshape"}


@dataclass(frozen=True)
class Pass:
    """What one picture gave: maps {layer: (units, H, W)}, the class scores (None where there are none).

    modules: the layers' own.
    """

    captured: Capture
    axes: dict[str, int]
    maps: dict[str, Tensor] = field(repr=False)
    probabilities: np.ndarray | None
    modules: dict[str, nn.Module] = field(repr=False)

    @property
    def layers(self) -> list[str]:
        return list(self.maps)

    def mixes(self, layer: str) -> bool:
        """Whether each unit of a layer reads several of the layer before."""
        return isinstance(self.modules[layer], _MIXING)


def run(model: nn.Module, x: Tensor, factors: Factors, axes: Mapping[str, int]) -> Pass:
    """Run the model on one picture (1, C, H, W), some units' values multiplied (`labkit.activations.altered`)."""
    first = next(model.parameters(), None)
    x = x if first is None else x.to(first.device)
    with altered(model, factors, axes):
        captured = capture(model, x, inputs=True)
    found = unit_axes(model, captured)
    maps = {name: unit_maps(captured[name], axis)[0].cpu() for name, axis in found.items()}
    return Pass(captured, found, maps, class_probabilities(captured.output), modules_called(model, list(maps)))


def class_probabilities(output: Any) -> np.ndarray | None:
    """The softmax of a model's output (1, classes), which may be in a tuple or a dict (`logits`); else None."""
    if isinstance(output, Mapping):
        output = output.get("logits", next(iter(output.values()), None))
    elif isinstance(output, tuple | list):
        output = output[0] if output else None
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != 1 or output.shape[1] < 2:
        return None
    scores: np.ndarray = output[0].detach().float().softmax(0).cpu().numpy()
    return scores


def structure(found: Pass, links: Sequence[Link]) -> dict[str, Any]:
    """The layers in the order of their calls, and the links between them by their numbers (−1 is the picture)."""
    layers = []
    for name in found.layers:
        module = found.modules[name]
        units, height, width = found.maps[name].shape
        layers.append(
            {
                "name": name,
                "kind": type(module).__name__,
                "options": module.extra_repr(),
                "mixing": found.mixes(name),
                "parameters": sum(value.numel() for value in module.parameters()),
                "units": units,
                "size": [height, width],
            }
        )
    places = {name: k for k, name in enumerate(found.layers)} | {"x": -1}
    kept = [link for link in links if link.source in places and link.target in places]
    return {
        "layers": layers,
        "links": [[places[k.source], places[str(k.target)], list(dict.fromkeys(k.through))] for k in kept],
    }


def strongest(maps: Tensor, most: int) -> list[int]:
    """The units (units, H, W) with the largest mean size, at most so many, in the order of their numbers."""
    if len(maps) <= most:
        return list(range(len(maps)))
    sizes = maps.abs().mean((1, 2)).nan_to_num(torch.inf)
    return sorted(sizes.topk(most).indices.tolist())


def strongest_by_layer(found: Pass, links: Sequence[Link], most: int) -> dict[str, list[int]]:
    """{layer: its units to show}: the strongest; of a layer that works on each unit alone those of the one before."""
    chosen: dict[str, list[int]] = {}
    for name, maps in found.maps.items():
        sources = [link for link in links if link.target == name]
        same = len(sources) == 1 and not sources[0].through and not found.mixes(name)
        before = chosen.get(sources[0].source) if same else None
        alike = before is not None and len(found.maps[sources[0].source]) == len(maps)
        chosen[name] = list(before) if alike and before is not None else strongest(maps, most)
    return chosen


def reach(maps: Tensor) -> Tensor:
    """The largest size of a finite value in each map (units, H, W)."""
    largest = maps.abs().amax((1, 2))
    if largest.isfinite().all():
        return largest
    return torch.where(maps.isfinite(), maps.abs(), 0).amax((1, 2))


def as_bytes(maps: Tensor, side: int | None = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """(bytes (units, h, w), reach (units,)): a value is (byte − 128) / 127 · the unit's reach; 0 is not a number.

    A map longer than `side` is averaged down to it.
    """
    if side is not None and max(maps.shape[1:]) > side:
        scale = side / max(maps.shape[1:])
        shape = (max(1, round(maps.shape[1] * scale)), max(1, round(maps.shape[2] * scale)))
        small = F.adaptive_avg_pool2d(maps.float()[None], shape)[0]
    else:
        small = maps.float()
    most = reach(maps.float())
    shares = (small / most.clamp_min(1e-30)[:, None, None] * 127).round().clamp(-127, 127) + 128
    return shares.nan_to_num(0).to(torch.uint8).numpy(), most.numpy().astype(np.float32)


def opened_unit(found: Pass, links: Sequence[Link], layer: str, unit: int, most: int) -> Any:
    """(state, arrays) of one unit: its inputs, kernels, products and sum, and what the next layers make of it."""
    module = found.modules[layer]
    given = found.captured.inputs.get(layer)
    output = found.maps[layer][unit]
    state: dict[str, Any] = {"layer": layer, "unit": unit, "channels": [], "more": 0, "bias": None}
    state |= {"windows": None, "summed": False}
    arrays: dict[str, np.ndarray] = {"unit.out": output.float().numpy()}
    state["sources"] = [link.source for link in links if link.target == layer]
    state["known"] = call_of(module, found.captured, layer) is not None
    if isinstance(given, Tensor):
        windows = windows_of(module, given.shape, found.captured[layer].shape)
        state["windows"] = None if windows is None else {key: list(value) for key, value in vars(windows).items()}
        axis = _axis_given(module, found, layer, given)
        made = contributions(module, given, unit, axis, _flattened_from(found, links, layer, given))
        if made is not None:
            _add_contributions(state, arrays, made, most)
        else:
            _add_own_channel(state, arrays, module, given, axis, unit, found.maps[layer].shape)
    after = _after(found, links, layer)
    state["after"] = [{"layer": one, "kind": type(found.modules[one]).__name__} for one in after]
    for k, one in enumerate(after):
        arrays[f"unit.after {k}"] = found.maps[one][unit].float().numpy()
    return state, arrays


def _add_contributions(state: dict[str, Any], arrays: dict[str, np.ndarray], made: Any, most: int) -> None:
    shown = strongest(made.products, most)
    others = sorted(set(range(len(made.channels))) - set(shown))
    state |= {"channels": [made.channels[k] for k in shown], "more": len(others), "bias": made.bias, "summed": True}
    kernel = tuple(made.kernels.shape[1:])
    if state["windows"] is None and made.products.shape[1:] == (1, 1):  # a linear layer: it sees all of its input
        state["windows"] = {"kernel": list(kernel), "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1]}
    elif state["windows"] is None and kernel == (1, 1):
        state["windows"] = {"kernel": [1, 1], "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1]}
    arrays["unit.inputs"] = made.inputs[shown].float().cpu().numpy()
    arrays["unit.kernels"] = made.kernels[shown].float().cpu().numpy()
    arrays["unit.products"] = made.products[shown].float().cpu().numpy()
    arrays["unit.rest"] = made.products[others].sum(0).float().cpu().numpy()


def _add_own_channel(
    state: dict[str, Any],
    arrays: dict[str, np.ndarray],
    module: nn.Module,
    given: Tensor,
    axis: int,
    unit: int,
    shape: Sequence[int],
) -> None:
    """A layer that works on each channel alone: the channel that the unit comes from."""
    maps = unit_maps(given, axis)[0]
    if isinstance(module, nn.Flatten) and len(maps) != shape[0]:
        each = maps[0].numel()
        state["place"] = [unit % each // maps.shape[2], unit % maps.shape[2]]
        channel = unit // each
    elif len(maps) == shape[0]:
        channel = unit
    else:
        return
    state["channels"] = [channel]
    arrays["unit.inputs"] = maps[channel : channel + 1].float().cpu().numpy()
    same = tuple(maps.shape[1:]) == tuple(shape[1:])
    if state["windows"] is None and same:
        state["windows"] = {"kernel": [1, 1], "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1]}


def _axis_given(module: nn.Module, found: Pass, layer: str, given: Tensor) -> int:
    source = found.captured.sources.get(layer)
    if isinstance(module, nn.Linear):
        return given.ndim - 1
    if source in found.axes:
        return found.axes[str(source)]
    return found.axes[layer] if given.ndim == found.captured[layer].ndim else 1


def _flattened_from(found: Pass, links: Sequence[Link], layer: str, given: Tensor) -> Sequence[int] | None:
    """The (channels, H, W) that a layer's input (1, features) was made from, by a Flatten or a function."""
    if given.ndim != 2:
        return None
    source = next((link for link in links if link.target == layer), None)
    if source is None:
        return None
    before: Any = found.captured.get(source.source)
    if before is not None and before.ndim == 2 and not source.through:  # it may be a Flatten itself
        before = found.captured.inputs.get(source.source)
    elif not set(source.through) & _FLATTENING:
        return None
    fits = isinstance(before, Tensor) and before.ndim == 4 and before.numel() == given.numel()
    return tuple(before.shape[1:]) if fits and found.axes.get(source.source, 1) == 1 else None


def _after(found: Pass, links: Sequence[Link], layer: str) -> list[str]:
    """The layers that follow directly and work on each unit's map alone: normalisation, activation."""
    chain: list[str] = []
    while True:
        last = chain[-1] if chain else layer
        following = [link for link in links if link.source == last]
        if len(following) != 1 or following[0].through or following[0].target not in found.maps:
            return chain
        target = str(following[0].target)
        module = found.modules[target]
        same = found.maps[target].shape == found.maps[layer].shape and found.axes[target] == found.axes[layer]
        if not (isinstance(module, _AFTER) and same):
            return chain
        chain.append(target)


def index_of(found: Pass, layer: str, unit: int, position: Sequence[int]) -> tuple[int, ...]:
    """Where a map's value (row, column) stands in the layer's output."""
    shape, axis = tuple(found.captured[layer].shape), found.axes[layer]
    units, height, width = found.maps[layer].shape
    row, column = position
    if not (0 <= unit < units and 0 <= row < height and 0 <= column < width):
        raise SettingError(
            f"Expected a unit and place within {units} units of {height} × {width}, received {unit} at {row}, {column}."
        )
    place = row * width + column
    rest = [length for d, length in enumerate(shape) if d not in (0, axis)]
    indices: list[int] = []
    for length in reversed(rest):
        indices.insert(0, place % length)
        place //= length
    indices.insert(axis - 1, unit)
    return (0, *indices)


def kernels_of(found: Pass, layer: str, units: Sequence[int]) -> np.ndarray:
    """The kernels of a convolution's units, (units, channels, h, w): of at most 3 channels, the largest; or none."""
    module = found.modules[layer]
    if not isinstance(module, nn.Conv2d):
        return np.zeros((0, 0, 0, 0), np.float32)
    weight = module.weight.detach().float().cpu()[list(units)]
    if weight.shape[1] > KERNELS:
        largest = weight.abs().sum((2, 3)).topk(KERNELS, 1).indices.sort(1).values
        weight = weight.gather(1, largest[:, :, None, None].expand(-1, -1, *weight.shape[2:]))
    return weight.numpy()


def along_sides(boxes: np.ndarray, size: Sequence[int], picture: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of all places as (rows (H, 2), columns (W, 2)), int16: first and last + 1 of what each looks at.

    boxes (*places, 4) as `labkit.activations.receptive_fields` gives them; a layer without places sees the whole.
    """
    height, width = size
    whole = np.array([0, 0, picture[0], picture[1]])
    if boxes.size != height * width * 4:
        boxes = np.broadcast_to(whole, (height, width, 4))
    boxes = boxes.reshape(height, width, 4)
    return boxes[:, 0, [0, 2]].astype(np.int16), boxes[0, :, [1, 3]].T.astype(np.int16)
