"""A small convolutional network in the manner of LeNet-5 (LeCun et al. 1998, fig. 2)."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from labkit.errors import SettingError
from labkit.models.initial import conv3x3, linear


class LeNet(nn.Sequential):
    """Two stages of convolution, ReLU and pooling, then two linear layers.

    Input (batch, *inputs) with inputs = (channels, height, width), both sides at least 4; output (batch, outputs)
    logits. Unlike the original it pads (so that 8 x 8 digits fit), pools by maximum and uses ReLU.
    """

    def __init__(
        self,
        inputs: Sequence[int] = (1, 8, 8),
        outputs: int = 10,
        channels: Sequence[int] = (8, 16),
        hidden: int = 64,
        seed: int = 0,
    ) -> None:
        if len(inputs) != 3 or min(inputs[1:]) < 4:
            raise SettingError(
                f"Expected inputs as (channels, height, width), at least 4 pixels a side, received {tuple(inputs)}."
            )
        if len(channels) != 2:
            raise SettingError(f"Expected the channels of two convolutions, received {tuple(channels)}.")
        depth, height, width = inputs
        first, second = channels
        generator = torch.Generator().manual_seed(seed)
        super().__init__(
            OrderedDict(
                conv1=conv3x3(depth, first, generator),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(2),
                conv2=conv3x3(first, second, generator),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(2),
                flatten=nn.Flatten(),
                linear1=linear(second * (height // 4) * (width // 4), hidden, generator),
                relu3=nn.ReLU(),
                output=linear(hidden, outputs, generator),
            )
        )
        self.config: dict[str, Any] = {
            "architecture": "LeNet",
            "inputs": list(inputs),
            "outputs": outputs,
            "channels": list(channels),
            "hidden": hidden,
            "seed": seed,
        }
