"""Where a layer's values stand in the input, and maps of those places brought to the input's size."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import log, prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge
from torch.nn import functional as F

from labkit.activations.calls import module_of
from labkit.activations.capture import choose_layers
from labkit.activations.outputs import EXTRA_TOKENS, channels_last

_CHANNELS_FIRST = (
    *(nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.InstanceNorm1d, nn.InstanceNorm2d),
)
_CHANNELS_LAST = (nn.RNNBase, nn.MultiheadAttention)


@dataclass(frozen=True)
class Layout:
    """How to read a layer's output as maps.

    last: whether its channels are at the end. extra: how many of its places stand for none of the input (class
    tokens). sides: of its maps. axes: the axes of the input that these sides divide.
    """

    last: bool
    extra: int
    sides: tuple[int, ...]
    axes: tuple[int, ...]

    def maps(self, values: Tensor) -> Tensor:
        """The layer's output, or its gradient, as (n, channels, *sides)."""
        first = values.movedim(-1, 1) if self.last else values
        return first.flatten(2)[:, :, self.extra :].unflatten(2, self.sides)

    def like(self, maps: Tensor, x: Tensor) -> Tensor:
        """Maps (n, *sides) as a tensor like `x`: linearly interpolated, every channel with an equal share."""
        size = [x.shape[axis] for axis in self.axes]
        mode = "bilinear" if len(size) == 2 else "linear"
        large = F.interpolate(maps[:, None], size=size, mode=mode, align_corners=False)
        channels = 2 if self.axes == (1,) else 1
        return large.movedim(1, channels).expand_as(x) / x.shape[channels]


@dataclass(frozen=True)
class Layer:
    """One call of a layer: its output, how to read it, and where its gradient is found."""

    values: Tensor
    layout: Layout
    edge: GradientEdge | Tensor
    version: int

    @property
    def overwritten(self) -> bool:
        """Whether the model has written over the output since, in place."""
        return self.values._version != self.version


@contextmanager
def layers_watched(model: nn.Module, x: Tensor, only: str | None = None) -> Iterator[dict[str, Layer]]:
    """{call, named as `activations.capture` does: its Layer} of the layers with maps that run within the block.

    Of a tuple or dict the first tensor is meant. only: this call alone, which may be of a module with children; its
    output is copied, those of all layers are not. Where that output is a tensor, the copy stands for it from there on:
    a leaf, so that nothing before it needs a graph.
    """
    found: dict[str, Layer] = {}
    calls: dict[str, int] = {}
    last = False  # a layer that works on each value alone has its channels where the layer before had them

    def watch(layer: str) -> Any:
        def hook(module: nn.Module, _: object, output: Any) -> Any:
            nonlocal last
            calls[layer] = calls.get(layer, 0) + 1
            name = layer if calls[layer] == 1 else f"{layer}:{calls[layer]}"
            values = output
            while isinstance(values, tuple | list | dict) and values:
                values = next(iter(values.values())) if isinstance(values, dict) else values[0]
            layout = layout_of(values, module, x, last) if isinstance(values, Tensor) else None
            if layout is None:
                return output
            last = layout.last
            if name == only and values is output and torch.is_grad_enabled():
                leaf = values.detach().clone().requires_grad_()
                found[name] = Layer(leaf.detach(), layout, leaf, leaf._version)
                return leaf.clone()  # what follows may write over it in place
            if values.requires_grad and only in (None, name):
                maker = values.grad_fn
                edge = GradientEdge(maker, values.output_nr) if maker else values
                kept = values.detach() if only is None else values.detach().clone()
                found[name] = Layer(kept, layout, edge, kept._version)
                if values is output and values._is_view():  # written over in place, a view would lose its edge
                    return values.clone()
            return output

        return hook

    chosen = choose_layers(model)
    if only is not None:
        chosen = chosen | choose_layers(model, [module_of(model, only)])
    handles = [module.register_forward_hook(watch(name)) for name, module in chosen.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def layout_of(values: Tensor, module: nn.Module, x: Tensor, last: bool = False) -> Layout | None:
    """How to read a layer's output on inputs x (n, channels, height, width), (n, channels, length) or (n, length,
    channels); None where it has no places.

    Which side has the channels, the layer's kind tells; where it does not, the shape; where that is ambiguous, `last`.
    """
    if len(values) != len(x) or x.ndim not in (3, 4) or values.ndim not in (3, x.ndim):
        return None
    if x.ndim == 3:
        return _of_series(values, _known(module, last), x)
    if values.ndim == 3:
        return _of_tokens(values, x)
    _, first, second, third = values.shape
    wrong = _stretch((second, third), x), _stretch((first, second), x)
    at_end = _known(module, last if wrong[0] == wrong[1] else wrong[1] < wrong[0])
    return Layout(at_end, 0, (first, second) if at_end else (second, third), (2, 3))


def _known(module: nn.Module, otherwise: bool) -> bool:
    """Whether the channels are at the end, as far as the layer's kind says it."""
    if channels_last(module) or isinstance(module, _CHANNELS_LAST):
        return True
    return False if isinstance(module, _CHANNELS_FIRST) else otherwise


def _stretch(sides: tuple[int, int], x: Tensor) -> float:
    """How far these sides are from the proportions of the picture."""
    return abs(log(sides[0] * x.shape[3]) - log(sides[1] * x.shape[2]))


def _of_series(values: Tensor, last: bool, x: Tensor) -> Layout:
    length = values.shape[1 if last else 2]
    turned = last and length == x.shape[1]
    return Layout(last, 0, (length,), (1,) if turned else (2,))


def _of_tokens(values: Tensor, x: Tensor) -> Layout | None:
    """The patches of a vision transformer, row by row, in the proportions of the picture, after its class tokens."""
    height, width = x.shape[2:]
    tokens = values.shape[1]
    grids = [(rows, max(1, round(rows * width / height))) for rows in range(1, tokens + 1)]
    fitting = [grid for grid in grids if 0 <= tokens - prod(grid) <= EXTRA_TOKENS]
    if not fitting:
        return None
    sides = max(fitting, key=prod)
    return Layout(True, tokens - prod(sides), sides, (2, 3))
