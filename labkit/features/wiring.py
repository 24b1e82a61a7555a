"""Which units of a layer feed which of another, and how strongly: found by running the model once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit.activations import Capture, Link, capture, links, unit_axes, unit_maps
from labkit.activations.calls import module_of
from labkit.activations.capture import choose_layers
from labkit.errors import SettingError

INPUT = "x"
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Linear)
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
_POOLS = (
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.Upsample,
)
# Activations work on each value alone; the modules of torch.nn.modules.activation that mix values are not among them.
_MIXING = (nn.MultiheadAttention, nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin, nn.GLU)
_SILENT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)
# Operations between layers that leave unit k unit k; the second kind may also put maps into one long row.
_KEEPING = {"add", "iadd", "relu", "gelu", "silu", "tanh", "sigmoid", "dropout", "mean", "max_pool2d", "avg_pool2d"}
_KEEPING |= {"adaptive_avg_pool2d", "hardtanh", "leaky_relu", "elu"}
_ROWS = {"flatten", "view", "reshape", "squeeze"}


@dataclass(frozen=True)
class UnitLayer:
    """A layer whose units are worth a look: what a convolution or linear layer gives, after norm and activation.

    name: where the units are read. before: the last layer before the activation, for pictures that are to excite a
    unit. kind: of the module with the weights, "sum" for units that are the sum of several layers'.
    units: how many. size: (height, width) of their maps. axis: the axis of the layer's output that counts them.
    """

    name: str
    before: str
    kind: str
    units: int
    size: tuple[int, int]
    axis: int


@dataclass(frozen=True)
class Wire:
    """From the units of `source` ("x": the picture's channels) to those of `target`.

    weights: the layer whose weights are meant; None where unit k is handed on to unit k, as by a residual connection.
    norms: batch normalisations between it and the target. size: of the source's maps, where they are put into one row.
    """

    source: str
    target: str
    weights: str | None
    norms: tuple[str, ...] = ()
    size: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Wiring:
    """layers: in the order of their calls. wires: from one of them, or "x", to the next."""

    layers: tuple[UnitLayer, ...]
    wires: tuple[Wire, ...]

    def into(self, layer: str) -> list[Wire]:
        return [wire for wire in self.wires if wire.target == layer]

    def out_of(self, layer: str) -> list[Wire]:
        return [wire for wire in self.wires if wire.source == layer]

    def layer(self, name: str) -> UnitLayer:
        for one in self.layers:
            if one.name == name:
                return one
        raise SettingError(f"Expected a layer of {', '.join(one.name for one in self.layers)}, received {name!r}.")


def wiring(model: nn.Module, x: Tensor, layers: Sequence[str] | None = None) -> Wiring:
    """The layers of units of a model of pictures (n, C, H, W), and the weights between them.

    layers: names, as `labkit.activations.capture` gives them; by default each convolution and linear layer, read behind
    its normalisation and activation, and each sum of layers (residual connections) that a layer takes.
    A wire leads from layer to layer through normalisation, activation, pooling, dropout, flattening and additions. What
    is cut or put together between two layers is not followed. The model runs in the mode it is in, on the first
    picture, and is left as it was. Errors: SettingError for layers that are not there, those of `capture`.
    """
    found = links(model, x[:1])
    captured = capture(model, x[:1], inputs=True)
    walk = _Walk(model, captured, unit_axes(model, captured), found)
    if layers is not None:
        choose_layers(model, [module_of(model, name) for name in layers])
        missing = [name for name in layers if name not in walk.axes]
        if missing:
            raise SettingError(f"Expected layers that give units (n, units, ...), received {', '.join(missing)}.")
        names = [name for name in captured if name in set(layers)]
    else:
        names = walk.default()
    if not names:
        raise SettingError("Expected a model with a convolution or linear layer, received one without.")
    wires = [wire for name in names for wire in walk.wires(name, set(names))]
    return Wiring(tuple(walk.describe(name) for name in names), tuple(dict.fromkeys(wires)))


def kernels(model: nn.Module, wire: Wire) -> Tensor:
    """(units of the target, units of the source, h, w) float32: the weights of a wire.

    Times the factor γ / √(σ² + ε) of a batch normalisation behind them, as it is in evaluation mode. Where a linear
    layer takes maps in one row, h and w are the maps'. Errors: SettingError for a wire that hands units on.
    """
    if wire.weights is None:
        raise SettingError("Expected a wire with weights; this one hands each unit on as it is.")
    module = model.get_submodule(module_of(model, wire.weights)) if wire.weights != "model" else model
    weight: Tensor = module.weight.detach().float().cpu()  # type: ignore[operator]
    if isinstance(module, nn.Linear):
        made = weight.reshape(len(weight), -1, *wire.size)
    else:
        made = unit_maps(weight, 1)
        groups = int(module.groups)  # type: ignore[arg-type]
        if groups > 1:
            made = _grouped(made, groups)
    for name in wire.norms:
        norm = model.get_submodule(module_of(model, name))
        made = made * _factor(norm)[:, None, None, None]
    return made


def strongest(weights: Tensor, k: int) -> list[int]:
    """The k of (units, h, w) kernels with the largest root of summed squares, the largest first."""
    sizes = weights.square().sum((1, 2))
    return [int(i) for i in sizes.argsort(descending=True, stable=True)[:k] if sizes[i] > 0]


def _grouped(weight: Tensor, groups: int) -> Tensor:
    """Kernels of groups (out, in / groups, h, w) as (out, in, h, w), 0 where nothing leads."""
    count, width, *size = weight.shape
    made = torch.zeros(count, width * groups, *size)
    for g in range(groups):
        rows = slice(g * count // groups, (g + 1) * count // groups)
        made[rows, g * width : (g + 1) * width] = weight[rows]
    return made


def _factor(norm: nn.Module) -> Tensor:
    variance: Tensor = norm.running_var.detach().float().cpu()  # type: ignore[operator]
    factor = (variance + norm.eps).rsqrt()  # type: ignore[operator]
    weight = norm.weight
    return factor if weight is None else factor * weight.detach().float().cpu()  # type: ignore[operator]


class _Walk:
    """What a walk from layer to layer needs to know."""

    def __init__(self, model: nn.Module, captured: Capture, axes: dict[str, int], found: Sequence[Link]) -> None:
        self.captured, self.axes = captured, axes
        self.modules = {
            name: module
            for name in captured
            for module in [choose_layers(model, [module_of(model, name)])[module_of(model, name)]]
        }
        self.into: dict[str, list[Link]] = {}
        self.out: dict[str, list[Link]] = {}
        for link in found:
            self.into.setdefault(str(link.target), []).append(link)
            self.out.setdefault(link.source, []).append(link)

    def default(self) -> list[str]:
        heads = [name for name in self.axes if isinstance(self.modules[name], WEIGHTED) or self._sums(name)]
        return list(dict.fromkeys(self.chain(name)[-1] for name in heads))

    def describe(self, name: str) -> UnitLayer:
        back = self._back(name)
        head = self.modules[back[-1]]
        kind = type(head).__name__ if isinstance(head, WEIGHTED) else "sum" if self._sums(back[-1]) else ""
        before = next((one for one in back if not _activates(self.modules[one])), name)
        if self._sums(back[-1]):
            before = name  # what is added has no name of its own
        _, units, height, width = unit_maps(self.captured[name], self.axes[name]).shape
        return UnitLayer(name, before, kind or type(head).__name__, units, (height, width), self.axes[name])

    def chain(self, name: str) -> list[str]:
        """A layer and the normalisations and activations that directly follow and that nothing else follows."""
        chain = [name]
        while True:
            following = self.out.get(chain[-1], [])
            if len(following) != 1 or following[0].through or following[0].target not in self.axes:
                return chain
            target = str(following[0].target)
            same = self.captured[target].shape == self.captured[name].shape
            if not (same and self._alone(self.modules[target]) and len(self.into[target]) == 1):
                return chain
            chain.append(target)

    def _back(self, name: str) -> list[str]:
        """The same, from its end back to its head."""
        back = [name]
        while not isinstance(self.modules[back[-1]], WEIGHTED) and self._alone(self.modules[back[-1]]):
            given = self.into.get(back[-1], [])
            same = len(given) == 1 and not given[0].through and given[0].source in self.axes
            if not same or self.captured[given[0].source].shape != self.captured[name].shape:
                break
            back.append(given[0].source)
        return back

    def wires(self, target: str, known: set[str]) -> list[Wire]:
        """All that lead to a layer from the next known ones before it."""
        found: list[Wire] = []
        for head, norms in self._heads(target, known):
            if head != target and head in known:
                found.append(Wire(head, target, None))
                continue
            module = self.modules[head]
            for source, (units, height, width) in self._sources(head, known):
                if isinstance(module, nn.Linear) and module.in_features == units * height * width:
                    found.append(Wire(source, target, head, norms, (height, width)))
                elif units == (module.in_features if isinstance(module, nn.Linear) else module.in_channels):
                    found.append(Wire(source, target, head, norms))
        return found

    def _heads(self, target: str, known: set[str]) -> list[tuple[str, tuple[str, ...]]]:
        """(weighted layer or known layer, batch normalisations on the way) that a layer's units come from."""
        found: list[tuple[str, tuple[str, ...]]] = []
        waiting: list[tuple[str, tuple[str, ...]]] = [(target, ())]
        while waiting:
            name, norms = waiting.pop()
            module = self.modules[name]
            if name != target and name in known or isinstance(module, WEIGHTED):
                found.append((name, norms))
            elif self._keeps(name):
                if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is not None:
                    norms = (*norms, name)
                waiting += [
                    (link.source, norms)
                    for link in self.into.get(name, [])
                    if link.source in self.axes
                    and set(link.through) <= _KEEPING
                    and self._same_units(link.source, name)
                ]
        return found

    def _sources(self, head: str, known: set[str]) -> list[tuple[str, tuple[int, int, int]]]:
        """(known layer or "x", (units, height, width) as they arrive) that a weighted layer's input is made from."""
        found: list[tuple[str, tuple[int, int, int]]] = []
        waiting: list[tuple[str, tuple[int, int, int] | None]] = [(head, None)]
        seen = set()
        while waiting:
            name, arriving = waiting.pop()
            for link in self.into.get(name, []):
                if not set(link.through) <= _KEEPING | _ROWS or link.source in seen:
                    continue
                seen.add(link.source)
                passes = link.source in self.axes and self._passes(link.source)
                size = arriving
                if size is None and not (passes and isinstance(self.modules[link.source], nn.Flatten)):
                    size = self._size_of(link.source)
                if size is not None and (link.source == INPUT or link.source in known):
                    found.append((link.source, size))
                elif passes:
                    waiting.append((link.source, size))
        return found

    def _passes(self, name: str) -> bool:
        return isinstance(self.modules[name], nn.Flatten) or self._keeps(name)

    def _keeps(self, name: str) -> bool:
        """Whether unit k of a layer comes from unit k before it alone."""
        module = self.modules[name]
        if not (self._alone(module) or isinstance(module, _POOLS)):
            return False
        given = self.captured.inputs.get(name)
        return (
            isinstance(given, Tensor)
            and given.shape[: 1 + self.axes[name]] == self.captured[name].shape[: 1 + self.axes[name]]
        )

    @staticmethod
    def _alone(module: nn.Module) -> bool:
        return isinstance(module, (*_NORMS, *_SILENT)) or _activates(module)

    def _same_units(self, source: str, target: str) -> bool:
        return self._size_of(source)[0] == self._size_of(target)[0]

    def _size_of(self, name: str) -> tuple[int, int, int]:
        if name == INPUT:
            first = next(link.target for link in self.out[INPUT])
            values, axis = self.captured.inputs[str(first)], 1
        else:
            values, axis = self.captured[name], self.axes[name]
        assert isinstance(values, Tensor)
        shape = unit_maps(values, axis).shape
        return shape[1], shape[2], shape[3]

    def _sums(self, name: str) -> bool:
        module = self.modules[name]
        return not isinstance(module, WEIGHTED) and any(
            {"add", "iadd"} & set(link.through) for link in self.into.get(name, [])
        )


def _activates(module: nn.Module) -> bool:
    named = type(module).__module__ in ("torch.nn.modules.activation", "transformers.activations")
    return named and not isinstance(module, _MIXING)
