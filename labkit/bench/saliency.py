"""Attributions against the same calls of captum: batch 16, TinyVGG, 64 x 64, one thread."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from captum.attr import (
    LRP,
    Deconvolution,
    DeepLift,
    GuidedBackprop,
    GuidedGradCam,
    InputXGradient,
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    Occlusion,
    Saliency,
)
from torch import Tensor, nn

from labkit import data, device, saliency
from labkit.bench.training import ratios, seconds
from labkit.models import TinyVGG

BATCH = 16
# captum's `internal_batch_size`, of which the best is taken.
CHUNKS = (16, 32, 50)
# captum's `perturbations_per_eval`, likewise.
WINDOWS = (1, 2, 4, 8)
ROUNDS, SLOW_ROUNDS = 15, 5


class _Flattened(nn.Module):
    """TinyVGG without nn.Flatten, for which captum's LRP has no rule."""

    def __init__(self, model: nn.Sequential) -> None:
        super().__init__()
        *before, _, output = model
        self.features, self.output = nn.Sequential(*before), output

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.output(self.features(x).flatten(1))
        return scores


def _batch() -> tuple[_Flattened, Tensor, Tensor]:
    model = _Flattened(TinyVGG(inputs=(3, 64, 64))).eval()
    ds = data.objects(n=BATCH, size=64)
    return model, ds.inputs, ds.targets


def _compared(
    method: str, theirs: Callable[[nn.Module, Tensor, Tensor], Tensor], rounds: int = ROUNDS, **options: Any
) -> list[float]:
    """Seconds of ours over seconds of captum's."""
    model, x, target = _batch()

    def ours() -> None:
        saliency.attribute(model, x, target, method, **options)

    def captum() -> None:
        theirs(model, x, target)

    with device.threads(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum's, of the hooks that it sets
        return ratios(ours, captum, rounds)


def gradient() -> list[float]:
    return _compared("gradient", lambda model, x, target: Saliency(model).attribute(x, target, abs=False))


def input_x_gradient() -> list[float]:
    return _compared("input_x_gradient", lambda model, x, target: InputXGradient(model).attribute(x, target))


def guided_backprop() -> list[float]:
    return _compared("guided_backprop", lambda model, x, target: GuidedBackprop(model).attribute(x, target))


def deconvolution() -> list[float]:
    return _compared("deconvolution", lambda model, x, target: Deconvolution(model).attribute(x, target))


def deep_lift() -> list[float]:
    return _compared("deep_lift", lambda model, x, target: DeepLift(model).attribute(x, target=target))


def lrp() -> list[float]:
    """By the rule that captum has for every layer: γ = 0."""
    return _compared("lrp", lambda model, x, target: LRP(model).attribute(x, target), gamma=0.0)


def _chunked(rows: int | None) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
    def call(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        values: Tensor = IntegratedGradients(model).attribute(x, target=target, internal_batch_size=rows)
        return values

    return call


def _best(call: Callable[[int], Callable[[nn.Module, Tensor, Tensor], Tensor]], choices: Sequence[int]) -> int:
    """The choice with which captum's call is fastest."""
    model, x, target = _batch()
    took: dict[int, list[float]] = {choice: [] for choice in choices}
    with device.threads(1):
        for _ in range(2):
            for choice in choices:
                took[choice].append(seconds(partial(call(choice), model, x, target)))
    return min(choices, key=lambda choice: min(took[choice]))


def integrated_gradients() -> list[float]:
    """Over captum's at the best of CHUNKS, found first."""
    return _compared("integrated_gradients", _chunked(_best(_chunked, CHUNKS)), SLOW_ROUNDS)


def integrated_gradients_default() -> list[float]:
    """captum's time at its defaults over ours."""
    return [1 / ratio for ratio in _compared("integrated_gradients", _chunked(None), SLOW_ROUNDS)]


def _last_with_places(model: nn.Module) -> nn.Module:
    return list(model.get_submodule("features").children())[-1]


def _cam(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """The last layer's, enlarged."""
    small = LayerGradCam(model, _last_with_places(model)).attribute(x, target, relu_attributions=True)
    large: Tensor = LayerAttribution.interpolate(small, x.shape[2:], "bilinear")
    return large


def grad_cam() -> list[float]:
    return _compared("grad_cam", _cam)


def guided_grad_cam() -> list[float]:
    return _compared(
        "guided_grad_cam", lambda model, x, target: GuidedGradCam(model, _last_with_places(model)).attribute(x, target)
    )


def _hidden(windows: int) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
    def call(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        values: Tensor = Occlusion(model).attribute(
            x, (3, 16, 16), (3, 16, 16), target=target, perturbations_per_eval=windows
        )
        return values

    return call


def occlusion() -> list[float]:
    """16 windows; over captum's at the best of WINDOWS, found first."""
    return _compared("occlusion", _hidden(_best(_hidden, WINDOWS)), SLOW_ROUNDS, window=16, stride=16)
