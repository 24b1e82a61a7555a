"""How sharply the loss is curved at a model's weights, and how sharp it may be for a learning rate."""

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad, jvp, vjp

from labkit.errors import SettingError
from labkit.train.trainer import LOSSES
from labkit.train.weights import (
    BatchLoss,
    Loss,
    batches,
    check_output,
    choose_loss,
    examples,
    flatten,
    mean_loss,
    trained,
)

Product = Callable[[Tensor], Tensor]


def sharpness(
    model: nn.Module,
    ds: Any,
    loss: str | Loss | None = None,
    steps: int = 100,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> float:
    """The largest eigenvalue of the Hessian of the mean loss over `ds`, with respect to the trained weights.

    Gradient descent at a rate above 2 / sharpness moves away from a minimum of such a curvature; see `stability_limit`.

    Power iteration on Hessian-vector products (`jvp` of `grad`; Pearlmutter 1994), from a start drawn from `seed`,
    until the estimate changes by less than `tolerance` of itself, at most `steps` products. It finds the eigenvalue of
    the largest magnitude; where that one is negative, a second iteration, on the Hessian minus it, finds the largest.
    Every estimate is a Rayleigh quotient: it is never above the true value, and below it where `steps` ran out.

    The model is copied, in evaluation mode; no random number is drawn from the global generators. NaN where the
    loss's curvature is not finite. Errors: as `labkit.train.weights.loss_at`; SettingError for settings out of range.
    """
    if steps < 1 or not 0 < tolerance < 1:
        raise SettingError(
            f"Expected at least 1 step and a tolerance between 0 and 1, received {steps!r} and {tolerance!r}."
        )
    twin = copy.deepcopy(model).eval()
    weights = flatten(twin)
    inputs, targets = examples(ds, weights.device)
    chosen = choose_loss(loss, targets)
    check_output(twin, inputs, targets, chosen)
    slope: BatchLoss = grad(mean_loss(twin, _squared if chosen is LOSSES["mse"] else chosen, trained(twin)))

    def product(vector: Tensor) -> Tensor:
        total = torch.zeros_like(vector)
        for x, y in batches(inputs, targets):
            total += hessian_product(slope, weights, vector, x, y) * (len(x) / len(inputs))
        return total

    start = torch.randn(len(weights), generator=torch.Generator().manual_seed(seed)).to(weights)
    with warnings.catch_warnings():
        # torch's own: the first `jvp` of a process loads rules that are still written for torch.jit.
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        most = dominant(product, start, steps, tolerance)
        if not most < 0:  # also where it is NaN
            return most
        return dominant(lambda vector: product(vector) - most * vector, start, steps, tolerance) + most


def hessian_product(slope: BatchLoss, weights: Tensor, vector: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
    """The Hessian times a vector (P,): the derivative along it of the gradient, slope(weights, inputs, targets)."""

    def gradient(at: Tensor) -> Tensor:
        return slope(at, inputs, targets)

    try:
        return jvp(gradient, (weights,), (vector,))[1]
    except RuntimeError:
        # Some operations lack forward rules. The Hessian is symmetric: backward gives the same, somewhat slower.
        return vjp(gradient, weights)[1](vector)[0]


def dominant(product: Product, start: Tensor, steps: int, tolerance: float) -> float:
    """The eigenvalue of the largest magnitude of a symmetric matrix that is given by its `product` with a vector."""
    vector = start / start.norm()
    estimate = math.nan
    for _ in range(steps):
        image = product(vector)
        former, estimate = estimate, float(vector @ image)
        length = image.norm()
        if not torch.isfinite(length):
            return math.nan
        if length == 0 or abs(estimate - former) <= tolerance * abs(estimate):
            break
        vector = image / length
    return estimate


def stability_limit(optimizer: torch.optim.Optimizer) -> float | None:
    """The largest sharpness at which the optimiser's steps still shrink along that direction; inf at a rate of 0.

    2 / lr for gradient descent, (2 + 2 b) / lr with momentum b, and (2 + 2 b) / ((1 + 2 b) lr) after Nesterov
    (Cohen et al. 2021, "Gradient descent on neural networks typically occurs at the edge of stability", arXiv
    2103.00065, section 2 and appendix B). None for optimisers that scale each weight on its own (Adam ...) or damp
    momentum: there is no such number for them.
    """
    group = optimizer.param_groups[0]
    if not isinstance(optimizer, torch.optim.SGD) or group.get("dampening"):
        return None
    lr, momentum = float(group["lr"]), float(group["momentum"])
    ahead = 1 + 2 * momentum if group["nesterov"] else 1.0
    return math.inf if lr == 0 else (2 + 2 * momentum) / (ahead * lr)


def _squared(output: Tensor, target: Tensor) -> Tensor:
    """mse_loss, whose own forward rule fails in torch 2.13."""
    return (output - target).square().mean()
