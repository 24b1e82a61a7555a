"""Activations that act on each value alone: formula, value and derivative in closed form, by kind of module."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Elementwise:
    """value, derivative: of (module, float64 tensor). formula: to read, code: PyTorch; both with {x} for the input."""

    formula: Callable[[Any], str]
    code: Callable[[Any], str]
    value: Callable[[Any, Tensor], Tensor]
    derivative: Callable[[Any, Tensor], Tensor]


def _normal_density(x: Tensor) -> Tensor:
    return torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _normal_share(x: Tensor) -> Tensor:
    return (1 + torch.erf(x / math.sqrt(2))) / 2


def _gelu(module: nn.GELU, x: Tensor) -> Tensor:
    """Hendrycks and Gimpel 2016, Gaussian Error Linear Units: x Φ(x), or its approximation by tanh."""
    if module.approximate == "none":
        return x * _normal_share(x)
    return x / 2 * (1 + torch.tanh(_gelu_inner(x)))


def _gelu_inner(x: Tensor) -> Tensor:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def _gelu_derivative(module: nn.GELU, x: Tensor) -> Tensor:
    if module.approximate == "none":
        return _normal_share(x) + x * _normal_density(x)
    t = torch.tanh(_gelu_inner(x))
    return (1 + t) / 2 + x / 2 * (1 - t**2) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)


def _elu(module: nn.ELU, x: Tensor) -> Tensor:
    return torch.where(x > 0, x, module.alpha * torch.expm1(x.clamp(max=0)))


def _softplus(module: nn.Softplus, x: Tensor) -> Tensor:
    scaled = module.beta * x
    return torch.where(
        scaled > module.threshold, x, torch.log1p(torch.exp(scaled.clamp(max=module.threshold))) / module.beta
    )


def _softplus_derivative(module: nn.Softplus, x: Tensor) -> Tensor:
    scaled = module.beta * x
    return torch.where(scaled > module.threshold, 1.0, torch.sigmoid(scaled))


ELEMENTWISE: dict[type[nn.Module], Elementwise] = {
    nn.ReLU: Elementwise(
        lambda m: "max(0, {x})",
        lambda m: "torch.relu({x})",
        lambda m, x: x.clamp(min=0),
        lambda m, x: (x > 0).double(),
    ),
    nn.LeakyReLU: Elementwise(
        lambda m: f"{{x}} if {{x}} > 0 else {m.negative_slope} · {{x}}",
        lambda m: f"torch.nn.functional.leaky_relu({{x}}, {m.negative_slope!r})",
        lambda m, x: torch.where(x > 0, x, m.negative_slope * x),
        lambda m, x: torch.where(x > 0, 1.0, m.negative_slope).double(),
    ),
    nn.Tanh: Elementwise(
        lambda m: "tanh({x})",
        lambda m: "torch.tanh({x})",
        lambda m, x: torch.tanh(x),
        lambda m, x: 1 - torch.tanh(x) ** 2,
    ),
    nn.Sigmoid: Elementwise(
        lambda m: "1 / (1 + e^−({x}))",
        lambda m: "torch.sigmoid({x})",
        lambda m, x: torch.sigmoid(x),
        lambda m, x: torch.sigmoid(x) * torch.sigmoid(-x),
    ),
    nn.GELU: Elementwise(
        lambda m: (
            "{x} · Φ({x})" if m.approximate == "none" else "{x} / 2 · (1 + tanh(√(2/π) · ({x} + 0.0447 · ({x})³)))"
        ),
        lambda m: f"torch.nn.functional.gelu({{x}}, approximate={m.approximate!r})",
        _gelu,
        _gelu_derivative,
    ),
    nn.SiLU: Elementwise(
        lambda m: "{x} / (1 + e^−({x}))",
        lambda m: "torch.nn.functional.silu({x})",
        lambda m, x: x * torch.sigmoid(x),
        lambda m, x: torch.sigmoid(x) * (1 + x * torch.sigmoid(-x)),
    ),
    nn.ELU: Elementwise(
        lambda m: f"{{x}} if {{x}} > 0 else {m.alpha} · (e^{{x}} − 1)",
        lambda m: f"torch.nn.functional.elu({{x}}, {m.alpha!r})",
        _elu,
        lambda m, x: torch.where(x > 0, 1.0, m.alpha * torch.exp(x.clamp(max=0))),
    ),
    nn.Softplus: Elementwise(
        lambda m: "log(1 + e^({x}))" if m.beta == 1 else f"log(1 + e^({m.beta} · {{x}})) / {m.beta}",
        lambda m: f"torch.nn.functional.softplus({{x}}, {m.beta!r}, {m.threshold!r})",
        _softplus,
        _softplus_derivative,
    ),
}  # fmt: skip
