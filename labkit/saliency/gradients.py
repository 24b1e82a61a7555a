"""Methods that read the gradient at the input, or at many inputs: around it, or on paths to it."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from labkit.errors import DataError, SettingError, UnsuitableError
from labkit.saliency.baselines import KINDS, baseline
from labkit.saliency.method import Method, Request

# Integrated gradients: with 50 points the completeness error of a small ReLU network is far below one per cent.
POINTS = 50
SAMPLES = 25
# SmoothGrad's noise, as a share of each example's range: the middle of what its authors recommend (10 to 20 %).
NOISE = 0.15

# (sample, which examples) -> the inputs of that sample for these examples, and the weight of their gradients.
Sample = Callable[[int, slice], tuple[Tensor, Tensor | float]]


def gradient(request: Request) -> Tensor:
    parts = zip(request.x.split(request.rows), request.target.split(request.rows), strict=True)
    return torch.cat([input_gradient(request.model, x, target) for x, target in parts])


def input_x_gradient(request: Request) -> Tensor:
    return request.x * gradient(request)


def smoothgrad(request: Request) -> Tensor:
    samples, x = _count(request, "samples"), request.x.detach()
    share = request.options["noise"]
    if not share >= 0:
        raise SettingError(f"Expected noise as a share of the range, 0 or more, received {share!r}.")
    values, shape = x.flatten(1), (-1, *(1,) * (x.ndim - 1))
    scale = share * (values.amax(1) - values.amin(1)).reshape(shape)
    generator = request.generator()
    draws = torch.stack([torch.randn(x.shape[1:], generator=generator) for _ in range(samples)])

    def sample(i: int, some: slice) -> tuple[Tensor, float]:
        return x[some] + scale[some] * draws[i].to(x), 1 / samples

    return _summed(request, samples, sample)


def integrated_gradients(request: Request) -> Tensor:
    points, x, start = _count(request, "points"), request.x.detach(), request.baseline
    places, weights = np.polynomial.legendre.leggauss(points)  # Gauss-Legendre, on -1 to 1

    def sample(i: int, some: slice) -> tuple[Tensor, float]:
        return start[some] + float(places[i] + 1) / 2 * (x[some] - start[some]), float(weights[i]) / 2

    return (x - start) * _summed(request, points, sample)


def expected_gradients(request: Request) -> Tensor:
    samples, x = _count(request, "samples"), request.x.detach()
    starts = _starts(request)
    generator = request.generator()
    which = torch.randint(len(starts), (samples,), generator=generator).tolist()
    places = torch.rand(samples, generator=generator).tolist()

    def sample(i: int, some: slice) -> tuple[Tensor, Tensor]:
        difference = x[some] - starts[which[i]][some]
        return x[some] - (1 - places[i]) * difference, difference / samples

    return _summed(request, samples, sample)


def input_gradient(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """The gradient of each example's target score with respect to that example.

    Errors: UnsuitableError where the scores do not hang on the input by anything that has a gradient.
    """
    x = x.detach().requires_grad_()
    scores = model(x).gather(1, target[:, None]).sum()
    found = torch.autograd.grad(scores, x, allow_unused=True)[0] if scores.requires_grad else None
    if found is None:
        raise no_gradient()
    return found


def has_gradient(request: Request) -> None:
    """The guard of all methods that need one."""
    if not request.model(request.x).requires_grad:
        raise no_gradient()


def no_gradient() -> UnsuitableError:
    return UnsuitableError(
        "Expected scores that have a gradient at the input, received scores without: the model detaches it, rounds it "
        "or runs under torch.no_grad(). Take a method that needs no gradient: occlusion, rise or kernel_shap."
    )


def _summed(request: Request, samples: int, sample: Sample) -> Tensor:
    """The weighted sum of the gradients at all samples, in passes of at most `request.rows` rows."""
    examples = len(request.x)
    width = min(examples, request.rows)
    at_once = max(1, request.rows // width)
    total = torch.zeros_like(request.x, requires_grad=False)
    done = 0
    for first in range(0, examples, width):
        some = slice(first, min(first + width, examples))
        target = request.target[some]
        for begin in range(0, samples, at_once):
            inputs, weights = zip(*(sample(i, some) for i in range(begin, min(begin + at_once, samples))), strict=True)
            gradients = input_gradient(request.model, torch.cat(inputs), target.repeat(len(inputs)))
            for weight, part in zip(weights, gradients.split(len(target)), strict=True):
                total[some] += weight * part
            done += len(gradients)
            request.progress(done, examples * samples)
    return total


def _count(request: Request, option: str) -> int:
    value = request.options[option]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SettingError(f"Expected {option} as a whole number of 1 or more, received {value!r}.")
    return value


def _starts(request: Request) -> list[Tensor]:
    """The baselines to draw from, each like x: the examples of a background, or the lab's kinds of baselines."""
    x, background = request.x.detach(), request.options["background"]
    if background is None:
        kinds = [kind for kind in KINDS if kind != "blur" or x.ndim in (3, 4)]
        return [baseline(x, kind, request.seed) for kind in kinds]
    if not isinstance(background, Tensor) or background.shape[1:] != x.shape[1:] or len(background) == 0:
        received = tuple(background.shape) if isinstance(background, Tensor) else type(background).__name__
        raise DataError(f"Expected a background of examples like x, (k, *{tuple(x.shape[1:])}), received {received}.")
    return [example.detach().to(x).expand_as(x) for example in background]


GRADIENTS = {
    "gradient": Method(
        compute=gradient,
        formula="∂f/∂x",
        source="Simonyan et al. 2014, Deep Inside Convolutional Networks, section 3 (there with its absolute value)",
        assumes="That the score near this input is a plane: what a very small change of each value would do.",
        family="gradient",
        guard=has_gradient,
    ),
    "smoothgrad": Method(
        compute=smoothgrad,
        formula="mean of ∂f/∂x at x + ε, ε drawn from N(0, σ²)",
        source="Smilkov et al. 2017, SmoothGrad: removing noise by adding noise, section 3",
        assumes="That the gradient's fast changes are noise, and that noisy inputs still are inputs to the model.",
        family="gradient",
        guard=has_gradient,
        random=True,
        options={"samples": SAMPLES, "noise": NOISE},
    ),
    "input_x_gradient": Method(
        compute=input_x_gradient,
        formula="x · ∂f/∂x",
        source="Shrikumar et al. 2016, Not Just a Black Box, section 2",
        assumes="That the score is a plane all the way from zero to this input, and that zero stands for nothing.",
        family="gradient",
        guard=has_gradient,
    ),
    "integrated_gradients": Method(
        compute=integrated_gradients,
        formula="(x − x₀) · mean of ∂f/∂x on the way from x₀ to x",
        source="Sundararajan et al. 2017, Axiomatic Attribution for Deep Networks, eq. 1",
        assumes="That the baseline x₀ stands for nothing to see, and that the straight way to it is fair.",
        family="path",
        guard=has_gradient,
        baseline=True,
        options={"points": POINTS},
    ),
    "expected_gradients": Method(
        compute=expected_gradients,
        formula="mean of (x − x₀) · ∂f/∂x at x₀ + α (x − x₀), x₀ and α drawn",
        source="Erion et al. 2021, Improving performance of deep learning models with axiomatic attribution priors, "
        "eq. 3; GradientShap of Lundberg and Lee 2017",
        assumes="That the baselines drawn from stand for what is usual; without a `background`, the lab's four kinds.",
        family="path",
        guard=has_gradient,
        random=True,
        options={"samples": POINTS, "background": None},
    ),
}
