"""Plain and residual convolutional networks of any depth (He et al. 2016, section 4.2), small enough for a CPU."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from labkit.errors import SettingError
from labkit.models.initial import RULES, by_rule
from labkit.models.residual import NORMS, Downsample, Residual, norm_layer

INITIAL = ("default", *RULES)


class ResNet(nn.Sequential):
    """A 3 x 3 convolution, three stages of n blocks, the mean over all places, a linear layer: 6n + 2 layers in all.

    Input (batch, *inputs) with inputs = (channels, height, width); output (batch, outputs) logits.
    A block is two 3 x 3 convolutions, each followed by `norm` ("batch", "layer" or "none") and ReLU; with `residual`
    the block's input is added before its last ReLU, without it the same layers are a plain network. The second and
    third stage halve the sides and have `channels` of their own; the shortcut around such a step has no parameters
    (option A).
    `depth` is 6n + 2: 2, 8, 14, 20, 26, 32, 38, 44, 50, 56, ..., 110.
    Weights are drawn from `seed` by the rule `initial`, see MLP. The original has 16, 32 and 64 channels.
    """

    def __init__(
        self,
        inputs: Sequence[int] = (1, 8, 8),
        outputs: int = 10,
        depth: int = 20,
        channels: Sequence[int] = (8, 16, 32),
        norm: str = "batch",
        residual: bool = True,
        initial: str = "he",
        seed: int = 0,
    ) -> None:
        _check(inputs, depth, channels, norm, initial)
        generator = torch.Generator().manual_seed(seed)

        def part(name: str, before: int, width: int, stride: int = 1) -> OrderedDict[str, nn.Module]:
            convolution = nn.utils.skip_init(nn.Conv2d, before, width, 3, padding=1, stride=stride, bias=norm == "none")
            found = OrderedDict({f"conv{name}": by_rule(convolution, initial, generator)})
            if (normalisation := norm_layer(norm, width, images=True)) is not None:
                found[f"norm{name}"] = normalisation
            return found

        before = channels[0]
        layers = part("0", inputs[0], before) | {"relu0": nn.ReLU()}
        for stage, width in enumerate(channels, start=1):
            for block in range(1, (depth - 2) // 6 + 1):
                name, stride = f"{stage}_{block}", 2 if stage > 1 and block == 1 else 1
                body = part("1", before, width, stride) | {"relu1": nn.ReLU()} | part("2", width, width)
                shortcut = Downsample(before, width) if stride == 2 else None
                layers[f"block{name}"] = Residual(body, shortcut) if residual else nn.Sequential(body)
                layers[f"relu{name}"] = nn.ReLU()
                before = width
        layers["pool"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["output"] = by_rule(nn.utils.skip_init(nn.Linear, before, outputs), initial, generator)
        super().__init__(layers)
        self.config: dict[str, Any] = {
            "architecture": "ResNet",
            "inputs": list(inputs),
            "outputs": outputs,
            "depth": depth,
            "channels": list(channels),
            "norm": norm,
            "residual": residual,
            "initial": initial,
            "seed": seed,
        }


def _check(inputs: Sequence[int], depth: int, channels: Sequence[int], norm: str, initial: str) -> None:
    if len(inputs) != 3 or min(inputs) < 1:
        raise SettingError(f"Expected inputs as (channels, height, width), received {tuple(inputs)}.")
    if not isinstance(depth, int) or depth < 2 or (depth - 2) % 6:
        raise SettingError(f"Expected a depth of 6n + 2 layers (2, 8, 14, 20, 26, 32, ...), received {depth!r}.")
    if len(channels) != 3 or min(channels) < 1 or list(channels) != sorted(channels):
        raise SettingError(
            f"Expected the channels of three stages, each at least as many as before, received {tuple(channels)}."
        )
    if norm not in NORMS:
        raise SettingError(f"Expected a norm of {', '.join(NORMS)}, received {norm!r}.")
    if initial not in INITIAL:
        raise SettingError(f"Expected initial weights of {', '.join(INITIAL)}, received {initial!r}.")
