"""Initial weights from an explicit seed: the process's global generator is neither used nor disturbed."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from labkit.errors import DataError


def kaiming_uniform(weight: Tensor, generator: torch.Generator) -> None:
    """torch's own default for linear and convolutional layers (He et al. 2015, with a = sqrt 5)."""
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)


def he_normal(weight: Tensor, generator: torch.Generator) -> None:
    """Keeps the scale of activations through a stack of ReLUs (He et al. 2015, eq. 10)."""
    nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)


def xavier_uniform(weight: Tensor, generator: torch.Generator) -> None:
    """Keeps the scale of activations and gradients where units are nearly linear (Glorot and Bengio 2010, eq. 16)."""
    nn.init.xavier_uniform_(weight, generator=generator)


def small_normal(weight: Tensor, generator: torch.Generator) -> None:
    """Standard deviation 0.01 whatever the fan-in, as it once was usual (Krizhevsky et al. 2012, section 5)."""
    nn.init.normal_(weight, std=0.01, generator=generator)


def large_normal(weight: Tensor, generator: torch.Generator) -> None:
    """Four times the standard deviation of He's rule."""
    he_normal(weight, generator)
    with torch.no_grad():
        weight.mul_(4)


RULES = {"xavier": xavier_uniform, "he": he_normal, "small": small_normal, "large": large_normal}


def by_rule(layer: nn.Module, initial: str, generator: torch.Generator) -> nn.Module:
    """Fill an empty linear or convolutional layer by one of RULES, biases with zeros; or as torch does ("default")."""
    if initial == "default":
        return draw(layer, generator, kaiming_uniform)
    RULES[initial](layer.get_parameter("weight"), generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.get_parameter("bias"))
    return layer


def draw(layer: nn.Module, generator: torch.Generator, rule: Callable[[Tensor, torch.Generator], None]) -> nn.Module:
    """Fill an empty linear or convolutional layer: weights by the rule, biases uniform within 1 / sqrt(fan-in)."""
    weight = layer.get_parameter("weight")
    rule(weight, generator)
    if layer.bias is not None:
        bound = 1 / math.sqrt(weight[0].numel())
        nn.init.uniform_(layer.get_parameter("bias"), -bound, bound, generator=generator)
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


def _linear_by(initial: str) -> Callable[[int, int, torch.Generator], nn.Module]:
    return lambda inputs, outputs, generator: by_rule(
        nn.utils.skip_init(nn.Linear, inputs, outputs), initial, generator
    )


LINEAR = {"default": linear, "playground": playground_linear, **{name: _linear_by(name) for name in RULES}}


def conv3x3(
    inputs: int,
    outputs: int,
    generator: torch.Generator,
    rule: Callable[[Tensor, torch.Generator], None] = kaiming_uniform,
) -> nn.Module:
    return draw(nn.utils.skip_init(nn.Conv2d, inputs, outputs, 3, padding=1), generator, rule)


@torch.no_grad()
def lsuv(model: nn.Module, x: Tensor, seed: int = 0) -> nn.Module:
    """Give each linear and convolutional layer of `model` outputs of variance 1 on the batch `x`, one after the other.

    Layer-sequential unit variance (Mishkin and Matas 2016, algorithm 1): orthogonal weights drawn from `seed`, biases
    0, then each layer's weights divided by the standard deviation of its outputs. Changes `model` in place, in
    evaluation mode, and returns it. Raises DataError for a batch on which a layer gives the same value everywhere.
    """
    generator = torch.Generator().manual_seed(seed)
    done: set[nn.Module] = set()

    def scale(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if layer in done:  # used more than once: its first use decides
            return None
        done.add(layer)
        weight = layer.get_parameter("weight")
        drawn = torch.empty(weight.shape)
        weight.copy_(nn.init.orthogonal_(drawn.flatten(1), generator=generator).view_as(weight))
        if layer.bias is not None:
            nn.init.zeros_(layer.get_parameter("bias"))
        std = float(layer.forward(*inputs).std())
        if not (math.isfinite(std) and std > 0):
            raise DataError(
                f"Expected inputs that differ, received a batch on which {layer} has outputs of standard deviation "
                f"{std:.3g}. Give a batch of real examples."
            )
        weight.div_(std)
        return layer.forward(*inputs)

    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d)]
    handles = [layer.register_forward_hook(scale) for layer in layers]
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        model(x)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    return model
