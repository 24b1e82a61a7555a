"""The multilayer perceptron."""

from collections import OrderedDict
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import nn

from labkit.errors import SettingError
from labkit.models.initial import LINEAR
from labkit.models.residual import NORMS, Residual, norm_layer

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "linear": nn.Identity,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
}


class MLP(nn.Sequential):
    """Linear layers with an activation (and normalisation before it, dropout after it) after each but the last.

    Input (batch, inputs), or (batch, *inputs) for a shape such as (1, 8, 8), which is flattened first.
    Output (batch, outputs): logits or, in a regression, values.

    `activation` is one name of ACTIVATIONS for all hidden layers or a sequence with one for each.
    `output_activation`, another such name, comes after the last layer.
    `initial` weights are drawn from `seed`: "default" as torch does it (Kaiming-uniform with a = sqrt 5), "playground"
    as TensorFlow Playground (uniform within 0.5, biases 0.1); "xavier", "he", "small" (standard deviation 0.01) and
    "large" (four times He's) with biases 0.
    `norm` is "none", "batch" (BatchNorm1d) or "layer" (LayerNorm). With `residual`, each hidden layer as wide as the
    one before it is a block x + f(x), where f is the linear layer, norm, activation and dropout (models.residual).
    """

    def __init__(
        self,
        inputs: int | Sequence[int] = 2,
        outputs: int = 2,
        widths: Sequence[int] = (8, 8),
        activation: str | Sequence[str] = "tanh",
        dropout: float = 0.0,
        seed: int = 0,
        output_activation: str = "linear",
        initial: str = "default",
        norm: str = "none",
        residual: bool = False,
    ) -> None:
        names = [activation] * len(widths) if isinstance(activation, str) else list(activation)
        _check(widths, names, outputs, dropout, output_activation, initial, norm)
        linear = LINEAR[initial]
        shape = [inputs] if isinstance(inputs, int) else list(inputs)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if len(shape) > 1:
            layers["flatten"] = nn.Flatten()
        generator = torch.Generator().manual_seed(seed)
        before = prod(shape)
        for i, (width, name) in enumerate(zip(widths, names, strict=True), start=1):
            hidden = OrderedDict({f"linear{i}": linear(before, width, generator)})
            if (normalisation := norm_layer(norm, width)) is not None:
                hidden[f"norm{i}"] = normalisation
            # "linear1" is the layer's own name already.
            hidden[f"{'identity' if name == 'linear' else name}{i}"] = ACTIVATIONS[name]()
            if dropout > 0:
                hidden[f"dropout{i}"] = nn.Dropout(dropout)
            if residual and width == before:
                layers[f"block{i}"] = Residual(hidden)
            else:
                layers |= hidden
            before = width
        layers["output"] = linear(before, outputs, generator)
        if output_activation != "linear":
            layers[f"output_{output_activation}"] = ACTIVATIONS[output_activation]()
        super().__init__(layers)
        self.config: dict[str, Any] = {
            "architecture": "MLP",
            "inputs": inputs if isinstance(inputs, int) else shape,
            "outputs": outputs,
            "widths": list(widths),
            "activation": activation if isinstance(activation, str) else names,
            "dropout": dropout,
            "seed": seed,
            "output_activation": output_activation,
            "initial": initial,
            "norm": norm,
            "residual": residual,
        }

    def __getitem__(self, place: slice | int) -> Any:
        """A module by its place, or some of them as a plain Sequential."""
        if isinstance(place, slice):
            return nn.Sequential(OrderedDict(list(self._modules.items())[place]))
        return super().__getitem__(place)


def _check(
    widths: Sequence[int],
    names: list[str],
    outputs: int,
    dropout: float,
    output_activation: str,
    initial: str,
    norm: str,
) -> None:
    if any(width < 1 for width in (*widths, outputs)):
        raise SettingError(
            f"Expected widths and outputs of at least 1, received widths {list(widths)}, outputs {outputs}."
        )
    if len(names) != len(widths):
        raise SettingError(
            f"Expected one activation for each of the {len(widths)} hidden layers, received {len(names)}: {names}."
        )
    unknown = [name for name in (*names, output_activation) if name not in ACTIVATIONS]
    if unknown:
        raise SettingError(f"Expected activations of {', '.join(ACTIVATIONS)}, received {', '.join(unknown)}.")
    if initial not in LINEAR:
        raise SettingError(f"Expected initial weights of {', '.join(LINEAR)}, received {initial!r}.")
    if norm not in NORMS:
        raise SettingError(f"Expected a norm of {', '.join(NORMS)}, received {norm!r}.")
    if not 0 <= dropout < 1:
        raise SettingError(f"Expected a dropout of at least 0 and below 1, received {dropout}.")
