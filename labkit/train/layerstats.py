"""The state of each layer in a few numbers, for all layers in one pass: nothing waits for the device layer by layer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

# Histograms count magnitudes by powers of two, from 2 ** LOWEST on.
LOWEST, BINS = -64, 96

# At most so many values of a layer's output (and of its gradient) make its histogram, and so many weights its update
# ratio; evenly spaced, and all of them where there are fewer.
SAMPLED_VALUES = 256
SAMPLED_WEIGHTS = 512

# Units that give nothing below zero, and units that are on the flat part of their curve when so far from its centre.
RECTIFIERS: tuple[type[nn.Module], ...] = (nn.ReLU, nn.ReLU6)
SATURATING: dict[type, tuple[float, float]] = {nn.Tanh: (0.0, 0.97), nn.Sigmoid: (0.5, 0.47)}
ACTIVATIONS: tuple[type[nn.Module], ...] = (
    *RECTIFIERS, *SATURATING, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus,
    nn.Softsign, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish,
)  # fmt: skip

_CONVOLUTIONS = (nn.modules.conv._ConvNd,)

NUMBERS = ("activation_rms", "gradient_rms", "dead", "saturated")


@dataclass(frozen=True)
class Layer:
    """A module with a weight (its largest parameter) and, where one follows before the next weight, the activation."""

    name: str
    module: nn.Module
    parameter: str
    activation: nn.Module | None = None

    @property
    def kind(self) -> str:
        """In words: "Linear, ReLU"."""
        parts = [self.module] if self.activation is None else [self.module, self.activation]
        return ", ".join(type(part).__name__ for part in parts)

    @property
    def weight(self) -> Tensor:
        return self.module._parameters[self.parameter]  # type: ignore[return-value]


def weight_of(module: nn.Module) -> str | None:
    """The name of a module's own largest parameter of two dimensions or more, None where it has none."""
    sizes = {name: p.numel() for name, p in module._parameters.items() if p is not None and p.ndim >= 2}
    return max(sizes, key=sizes.__getitem__, default=None)


class WeightSample:
    """At most SAMPLED_WEIGHTS evenly spaced weights of each layer: views, which follow the weights in training."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._weights = [layer.weight for layer in layers]
        self._views = [_evenly(weight.detach().flatten(), SAMPLED_WEIGHTS) for weight in self._weights]
        self._places = [weight.data_ptr() for weight in self._weights]
        self._starts = np.cumsum([0, *(len(view) for view in self._views[:-1])])

    @property
    def current(self) -> bool:
        """Whether the views still are of the weights: a model that is moved gets new ones."""
        return all(weight.data_ptr() == place for weight, place in zip(self._weights, self._places, strict=True))

    def copy(self) -> Tensor:
        """All of them, one layer after the other."""
        return torch.cat(self._views)

    def ratios(self, before: Tensor) -> np.ndarray:
        """Norm of the change since `before` over the norm then, for each layer."""
        squares = torch.stack([self.copy().sub_(before), before]).square_().cpu().numpy()
        change, size = np.add.reduceat(squares, self._starts, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.sqrt(change / size)


@torch.no_grad()
def layer_statistics(layers: Sequence[Layer], outputs: Sequence[Tensor], scale: float = 1.0) -> dict[str, np.ndarray]:
    """The arrays of `flow.GradientFlow` but for "update_ratio".

    outputs[i]: (batch, ...) of layers[i]; it holds the gradient of `scale` times the loss, None where the loss does not
    depend on it.
    """
    groups = _alike(layers, outputs)
    measured = [_measure(layers[places[0]], [outputs[i] for i in places]) for places in groups]
    table = torch.cat([part.flatten() for numbers in measured for part in numbers]).cpu().numpy()
    found = {name: np.full(len(layers), np.nan, np.float32) for name in (*NUMBERS, "activation_std")}
    shares = np.zeros((2, len(layers), BINS), np.float16)
    at = 0
    for places, (numbers, sample) in zip(groups, measured, strict=True):
        middle, end = at + numbers.numel(), at + numbers.numel() + sample.numel()
        for name, values in zip(NUMBERS, table[at:middle].reshape(numbers.shape), strict=True):
            found[name][places] = values
        sampled = table[middle:end].reshape(2, len(places), -1)
        found["activation_std"][places] = sampled[0].std(1)
        sampled[1] /= scale
        shares[:, places] = magnitudes(sampled.reshape(2 * len(places), -1)).reshape(2, len(places), BINS)
        at = end
    found["gradient_rms"] /= scale
    gradients = _rms_of([layer.weight.grad for layer in layers])
    return {**found, "weight_gradient_rms": gradients, "activations": shares[0], "gradients": shares[1]}


def _alike(layers: Sequence[Layer], outputs: Sequence[Tensor]) -> list[list[int]]:
    """Places of layers whose outputs can be stacked and are measured the same way."""
    groups: dict[object, list[int]] = {}
    for i, (layer, output) in enumerate(zip(layers, outputs, strict=True)):
        key = output.shape, output.dtype, type(layer.activation), isinstance(layer.module, _CONVOLUTIONS)
        groups.setdefault(key, []).append(i)
    return list(groups.values())


def _measure(first: Layer, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """(4, layers): rms, the gradient's rms, dead, saturated; and (2 * layers, n) samples of outputs and gradients."""
    count = len(outputs)
    gradients = [torch.zeros_like(output) if output.grad is None else output.grad for output in outputs]
    both = torch.stack([*outputs, *gradients]).float()
    activations, flat = both[:count], both.flatten(1)
    rms = torch.linalg.vector_norm(flat, dim=1).mul_(1 / math.sqrt(flat.shape[1]))
    dead = saturated = rms.new_full((count,), math.nan)
    if isinstance(first.activation, RECTIFIERS):
        unit = 2 if isinstance(first.module, _CONVOLUTIONS) else both.ndim - 1
        dead = (activations.amax([d for d in range(1, both.ndim) if d != unit]) <= 0).float().mean(1)
    elif type(first.activation) in SATURATING:
        centre, flat_part = SATURATING[type(first.activation)]
        saturated = ((activations - centre).abs() > flat_part).float().flatten(1).mean(1)
    return torch.cat([rms, dead, saturated]).view(4, count), _evenly(flat, SAMPLED_VALUES)


def _evenly(values: Tensor, most: int) -> Tensor:
    """At most `most` evenly spaced values along the last dimension."""
    size = values.shape[-1]
    if size <= most:
        return values
    # An odd distance: where a row has 2 ** n entries, each column has its share.
    return values[..., :: -(-size // most) | 1]


def _rms_of(gradients: Sequence[Tensor | None]) -> np.ndarray:
    known = [(i, g) for i, g in enumerate(gradients) if g is not None]
    found = np.zeros(len(gradients), np.float32)
    if known:
        norms = torch.stack(torch._foreach_norm([g for _, g in known])).float().cpu().numpy()
        found[[i for i, _ in known]] = norms / np.sqrt([g.numel() for _, g in known])
    return found


def magnitudes(sample: np.ndarray) -> np.ndarray:
    """How the magnitudes of each row are distributed: (n, values) float32 -> (n, BINS) shares.

    Bin i holds |v| in [2 ** (LOWEST + i), 2 ** (LOWEST + i + 1)). Zeros and what is smaller than the first bin are in
    none; what is larger than the last, infinite or NaN is in the last.
    """
    rows, size = sample.shape
    # The exponent of an IEEE float is floor(log2 |v|) + 127; infinity and NaN have 255.
    exponents = (np.ascontiguousarray(sample).view(np.int32) >> 23) & 255
    exponents += 256 * np.arange(rows, dtype=np.int32)[:, None]
    counts = np.bincount(exponents.ravel(), minlength=256 * rows).reshape(rows, 256)
    first = LOWEST + 127
    shares = counts[:, first : first + BINS] / size
    shares[:, -1] += counts[:, first + BINS :].sum(1) / size
    return shares.astype(np.float16)
