"""The chain rule, layer by layer and in closed form: from ∂loss/∂output to ∂loss/∂input and ∂loss/∂parameters.

No autograd is used here, so that the two can be held against each other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import is_parametrized

from labkit.activations.elementwise import ELEMENTWISE
from labkit.activations.windows import averages, padding_of, pair, sides


@dataclass(frozen=True)
class Call:
    """One call of a layer, on the CPU in float64: what it was given (integers stay) and what it gave.

    kept: of a dropout that drops: what each value was multiplied by, 0 or 1/(1 − p).
    """

    module: Any
    given: Tensor
    output: Tensor
    kept: Tensor | None = None

    def parameter(self, name: str) -> Tensor | None:
        value: Tensor | None = getattr(self.module, name, None)
        return None if value is None else value.detach().cpu().double()


Gradients = tuple[Tensor | None, dict[str, Tensor]]
Backward = Callable[[Call, Tensor], Gradients]


def backward(call: Call, gradient: Tensor) -> Gradients:
    """(∂loss/∂input, {parameter: ∂loss/∂parameter}) from ∂loss/∂output, for a layer of a known kind."""
    kind = known_kind(call.module, call.given)
    assert kind is not None
    to_input, to_parameters = RULES[kind](call, gradient)
    return to_input, {name: value for name, value in to_parameters.items() if call.parameter(name) is not None}


def known_kind(module: nn.Module, given: Any) -> type[nn.Module] | None:
    """The kind whose rules hold for this module and input, or None: a subclass may compute something else."""
    if not isinstance(given, Tensor) or is_parametrized(module):
        return None
    for kind in type(module).__mro__:
        if kind in RULES:
            same = type(module).forward is kind.forward
            return kind if same and _within_rules(module, given) else None
    return None


def _within_rules(module: Any, given: Tensor) -> bool:
    """Whether a module keeps to the options that the rules cover."""
    match module:
        case nn.Conv1d() | nn.Conv2d():
            return module.padding_mode == "zeros" and given.ndim == len(module.kernel_size) + 2
        case nn.MaxPool1d() | nn.MaxPool2d():
            return not module.return_indices and given.ndim == sides(module) + 2
        case nn.AvgPool1d() | nn.AvgPool2d() | nn.AdaptiveAvgPool2d():
            return given.ndim == sides(module) + 2
        case nn.Embedding():
            return module.max_norm is None and not module.scale_grad_by_freq and not module.sparse
        case nn.Softmax() | nn.LogSoftmax():
            return module.dim is not None
        case nn.BatchNorm2d():
            return given.ndim == 4
    return True


def _elementwise(call: Call, gradient: Tensor) -> Gradients:
    kind = next(kind for kind in type(call.module).__mro__ if kind in ELEMENTWISE)
    return gradient * ELEMENTWISE[kind].derivative(call.module, call.given), {}


def _linear(call: Call, gradient: Tensor) -> Gradients:
    weight = call.parameter("weight")
    assert weight is not None
    rows, given = gradient.reshape(-1, gradient.shape[-1]), call.given.reshape(-1, call.given.shape[-1])
    return gradient @ weight, {"weight": rows.T @ given, "bias": rows.sum(0)}


def _convolution(call: Call, gradient: Tensor) -> Gradients:
    """As a matrix product over windows: each column of `windows` is what one output position sees."""
    module, weight = call.module, call.parameter("weight")
    assert weight is not None
    if gradient.ndim == 3:  # along one side: a picture of height 1
        weight = weight.unsqueeze(2)
    gradient, given = (value.reshape(*value.shape[:2], -1, value.shape[-1]) for value in (gradient, call.given))
    before, after = padding_of(module)
    padded = F.pad(given, (before[1], after[1], before[0], after[0]))
    options = {"dilation": pair(module, "dilation"), "stride": pair(module, "stride")}
    kernel, groups, n = weight.shape[2:], module.groups, len(given)
    windows = F.unfold(padded, kernel, **options).reshape(n, groups, -1, prod(gradient.shape[2:]))
    grouped = gradient.reshape(n, groups, -1, windows.shape[-1])
    matrix = weight.reshape(groups, grouped.shape[2], -1)
    to_windows = torch.einsum("gok,ngol->ngkl", matrix, grouped).reshape(n, -1, windows.shape[-1])
    to_padded = F.fold(to_windows, padded.shape[2:], kernel, **options)
    height, width = given.shape[2:]
    to_input = to_padded[..., before[0] : before[0] + height, before[1] : before[1] + width]
    to_weight = torch.einsum("ngol,ngkl->gok", grouped, windows)
    return to_input.reshape(call.given.shape), {
        "weight": to_weight.reshape(module.weight.shape),
        "bias": gradient.sum((0, 2, 3)),
    }


def _largest(call: Call, gradient: Tensor) -> Gradients:
    """The gradient goes to the largest value of each window; of equal ones to the first."""
    module = call.module
    pool = F.max_pool1d if gradient.ndim == 3 else F.max_pool2d
    _, places = pool(
        call.given, module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode, True
    )
    flat = torch.zeros_like(call.given).flatten(2)
    return flat.scatter_add(2, places.flatten(2), gradient.flatten(2)).reshape(call.given.shape), {}


def _average(call: Call, gradient: Tensor) -> Gradients:
    rows, columns, counts = averages(call.module, call.given.shape, call.output.shape)
    grid = gradient.reshape(*gradient.shape[:2], len(rows), len(columns)) / counts
    return torch.einsum("ncij,ih,jw->nchw", grid, rows, columns).reshape(call.given.shape), {}


def normalised(call: Call) -> tuple[Tensor, Tensor, Tensor, tuple[int, ...] | None]:
    """(mean, 1/σ, x̂, the dimensions whose own mean and variance these are, None for stored ones) of a norm layer."""
    module, x = call.module, call.given
    if isinstance(module, nn.LayerNorm):
        over = tuple(range(x.ndim - len(module.normalized_shape), x.ndim))
    elif module.training or module.running_mean is None:
        over = tuple(d for d in range(x.ndim) if d != 1)
    else:
        shape = [1, -1] + [1] * (x.ndim - 2)
        mean, variance = (value.cpu().double().reshape(shape) for value in (module.running_mean, module.running_var))
        scale = (variance + module.eps).rsqrt()
        return mean, scale, (x - mean) * scale, None
    mean = x.mean(over, keepdim=True)
    scale = (x.var(over, unbiased=False, keepdim=True) + module.eps).rsqrt()
    return mean, scale, (x - mean) * scale, over


def _norm(call: Call, gradient: Tensor) -> Gradients:
    """Ioffe and Szegedy 2015, section 3, for a mean and variance that depend on the input themselves."""
    _, scale, standard, over = normalised(call)
    weight = call.parameter("weight")
    if isinstance(call.module, nn.LayerNorm):
        shape, summed = (-1, *call.module.normalized_shape), 0
        to_weight = (gradient * standard).reshape(shape).sum(summed)
        to_bias = gradient.reshape(shape).sum(summed)
        inner = gradient if weight is None else gradient * weight
    else:
        others = [d for d in range(gradient.ndim) if d != 1]
        to_weight, to_bias = (gradient * standard).sum(others), gradient.sum(others)
        inner = gradient if weight is None else gradient * weight.reshape([-1] + [1] * (gradient.ndim - 2))
    if over is not None:
        inner = inner - inner.mean(over, keepdim=True) - standard * (inner * standard).mean(over, keepdim=True)
    return inner * scale, {"weight": to_weight, "bias": to_bias}


def _embedding(call: Call, gradient: Tensor) -> Gradients:
    tokens, width = call.given.flatten().long(), gradient.shape[-1]
    rows = torch.zeros(call.module.weight.shape, dtype=torch.double)
    rows.index_add_(0, tokens, gradient.reshape(-1, width))
    if call.module.padding_idx is not None:
        rows[call.module.padding_idx] = 0
    return None, {"weight": rows}


def _softmax(call: Call, gradient: Tensor) -> Gradients:
    share = call.given.softmax(call.module.dim)
    return share * (gradient - (gradient * share).sum(call.module.dim, keepdim=True)), {}


def _log_softmax(call: Call, gradient: Tensor) -> Gradients:
    share = call.given.softmax(call.module.dim)
    return gradient - share * gradient.sum(call.module.dim, keepdim=True), {}


def _dropout(call: Call, gradient: Tensor) -> Gradients:
    return gradient if call.kept is None else gradient * call.kept, {}


def _same_values(call: Call, gradient: Tensor) -> Gradients:
    return gradient.reshape(call.given.shape), {}


RULES: dict[type[nn.Module], Backward] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.MaxPool1d: _largest,
    nn.MaxPool2d: _largest,
    nn.AvgPool1d: _average,
    nn.AvgPool2d: _average,
    nn.AdaptiveAvgPool2d: _average,
    nn.BatchNorm1d: _norm,
    nn.BatchNorm2d: _norm,
    nn.LayerNorm: _norm,
    nn.Embedding: _embedding,
    nn.Softmax: _softmax,
    nn.LogSoftmax: _log_softmax,
    nn.Dropout: _dropout,
    nn.Identity: _same_values,
    nn.Flatten: _same_values,
}
