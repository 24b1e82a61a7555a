"""Initial weights from an explicit seed: the process's global generator is neither used nor disturbed."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


def kaiming_uniform(weight: Tensor, generator: torch.Generator) -> None:
    """torch's own default for linear and convolutional layers (He et al. 2015, with a = sqrt 5)."""
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)


def he_normal(weight: Tensor, generator: torch.Generator) -> None:
    """Keeps the scale of activations through a stack of ReLUs (He et al. 2015, eq. 10)."""
    nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)


def draw(layer: nn.Module, generator: torch.Generator, rule: Callable[[Tensor, torch.Generator], None]) -> nn.Module:
    """Fill an empty linear or convolutional layer: weights by the rule, biases uniform within 1 / sqrt(fan-in)."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    rule(weight, generator)
    bound = 1 / math.sqrt(weight[0].numel())
    nn.init.uniform_(bias, -bound, bound, generator=generator)
    return layer


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Module:
    """As torch.nn.Linear begins."""
    return draw(nn.utils.skip_init(nn.Linear, inputs, outputs), generator, kaiming_uniform)


def playground_linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Module:
    """As TensorFlow Playground begins (nn.ts): weights uniform within 0.5, each bias 0.1."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    nn.init.uniform_(layer.get_parameter("weight"), -0.5, 0.5, generator=generator)
    nn.init.constant_(layer.get_parameter("bias"), 0.1)
    return layer


LINEAR = {"default": linear, "playground": playground_linear}


def conv3x3(
    inputs: int,
    outputs: int,
    generator: torch.Generator,
    rule: Callable[[Tensor, torch.Generator], None] = kaiming_uniform,
) -> nn.Module:
    return draw(nn.utils.skip_init(nn.Conv2d, inputs, outputs, 3, padding=1), generator, rule)
