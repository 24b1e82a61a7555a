"""Many models of one architecture as one module, whose weights are the rows of one matrix."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from labkit.errors import SettingError

# Layers that treat each number by itself, so that they take the outputs of all members at once.
ELEMENTWISE = (
    nn.Identity, nn.Tanh, nn.ReLU, nn.Sigmoid, nn.GELU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.SiLU, nn.Softplus,
    nn.Hardtanh, nn.ReLU6, nn.Dropout,
)  # fmt: skip

Chain = list[tuple[nn.Module, str, str]]  # (layer, name of its weight, name of its bias), "" where there is none


class Stacked(nn.Module):
    """`models`, which differ in nothing but their weights, as one: (batch, ...) -> (members, batch, ...).

    `weights` (members, P): all trainable parameters of a member in a row, in the order of `named_parameters()`.
    A Sequential of Linear and elementwise layers is computed by batched matrix products, any other module by
    torch.func.vmap; dropout is drawn for each member by itself. Errors: SettingError for models that differ in their
    parameters and for layers that vmap cannot take (LSTM, GRU, BatchNorm with running statistics).
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        first = models[0]
        self.shapes = _trainable(first)
        if not self.shapes:
            raise SettingError("Expected a model with parameters to train, received one that has none.")
        if any(_trainable(model) != self.shapes for model in models):
            raise SettingError(
                "Expected make(seed=...) to build models that differ in nothing but their weights, received "
                "parameters of other names or shapes. Let the seed choose the weights only."
            )
        _refuse_what_keeps_state(first)
        rows = [[p.detach().flatten() for p in model.parameters() if p.requires_grad] for model in models]
        self.weights = nn.Parameter(torch.stack([torch.cat(row) for row in rows]))
        self._sizes = [shape.numel() for shape in self.shapes.values()]
        self._constants: dict[str, str] = {}  # a member's own name of it: its name here, which may hold no dot
        for i, name in enumerate(_constants(first)):
            self._constants[name] = f"constant{i}"
            self.register_buffer(f"constant{i}", torch.stack([_constants(model)[name] for model in models]))
        # In a tuple it is no submodule: its own weights are not used, it only says how to compute.
        self._one = (copy.deepcopy(first),)
        self._chain = chain(self._one[0])

    def __len__(self) -> int:
        return len(self.weights)

    def forward(self, inputs: Tensor, own: bool = False) -> Tensor:
        """Outputs (members, batch, ...) for one batch (batch, ...), or `own` ones (members, batch, ...)."""
        one = self._one[0]
        if one.training != self.training:
            one.train(self.training)
        parts = self.weights.split(self._sizes, 1)
        values = {
            name: part.view(len(self), *shape) for part, (name, shape) in zip(parts, self.shapes.items(), strict=True)
        }
        if self._chain is not None and takes(self._chain, inputs.ndim - own):
            return multiplied(self._chain, values, inputs if own else inputs.expand(len(self), *inputs.shape))
        values |= {name: getattr(self, attribute) for name, attribute in self._constants.items()}
        call = torch.vmap(
            lambda values, batch: functional_call(one, values, (batch,)),
            in_dims=(0, 0 if own else None),
            randomness="different",
        )
        return call(values, inputs)

    def parts(self, row: Tensor) -> dict[str, Tensor]:
        """{parameter's name: its part, a copy} of one row (P,) of `weights` or of a matrix like it."""
        pieces = zip(row.detach().split(self._sizes), self.shapes.items(), strict=True)
        return {name: piece.reshape(shape).clone() for piece, (name, shape) in pieces}


def multiplied(layers: Chain, values: dict[str, Tensor], x: Tensor) -> Tensor:
    """x (members, batch, ...), of a number of dimensions that the `chain` `takes` -> its outputs (members, batch, ...).

    values: {parameter's name: (members, *shape)}.
    """
    for layer, weight, bias in layers:
        if isinstance(layer, nn.Flatten):
            x = x.flatten(2)
        elif isinstance(layer, nn.Linear):
            x = _linear(x, values[weight], values[bias] if bias else None)
        elif isinstance(layer, nn.Tanh) and x.device.type == "cpu" and not torch.is_grad_enabled():
            x = _tanh(x)
        else:
            x = layer(x)
    return x


def takes(layers: Chain, dimensions: int) -> bool:
    """Whether inputs of so many dimensions can be `multiplied`: (batch, features), or any that are flattened first."""
    return dimensions == 2 or isinstance(layers[0][0], nn.Flatten)


def _tanh(x: Tensor) -> Tensor:
    """tanh x = 2 sigmoid(2 x) - 1: on a CPU torch's sigmoid takes a fifth of the time of its tanh. No gradient."""
    return (2 * x).sigmoid_().mul_(2).sub_(1)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(members, batch, inputs) by weights (members, outputs, inputs) and biases (members, outputs)."""
    if weight.shape[1] == 1:  # a batched product with vectors takes three times as long as this
        x = (x * weight).sum(2, keepdim=True)
        return x if bias is None else x + bias.unsqueeze(1)
    turned = weight.transpose(1, 2)
    return torch.bmm(x, turned) if bias is None else torch.baddbmm(bias.unsqueeze(1), x, turned)


def chain(model: nn.Module) -> Chain | None:
    """The layers of a Sequential of trained Linear and elementwise ones, perhaps flattened first; None for others."""
    layers = [model]
    while any(map(_is_sequential, layers)):
        layers = [part for layer in layers for part in (layer.children() if _is_sequential(layer) else (layer,))]
    names = {id(parameter): name for name, parameter in model.named_parameters() if parameter.requires_grad}
    found: Chain = []
    for place, layer in enumerate(layers):
        # The inputs, which all members share, are not to be written over.
        inside = getattr(layer, "inplace", False) and not any(isinstance(one, nn.Linear) for one, _, _ in found)
        known = type(layer) in ELEMENTWISE and not inside
        known |= type(layer) is nn.Linear and all(id(p) in names for p in layer.parameters())
        known |= type(layer) is nn.Flatten and place == 0 and (layer.start_dim, layer.end_dim) == (1, -1)
        if not known:
            return None
        weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
        found.append((layer, names.get(id(weight), ""), names.get(id(bias), "")))
    return found


def _is_sequential(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Sequential) and type(layer).forward is nn.Sequential.forward


def _trainable(model: nn.Module) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in model.named_parameters() if parameter.requires_grad}


def _constants(model: nn.Module) -> dict[str, Tensor]:
    """What a member computes with and does not train: frozen parameters and buffers."""
    frozen = {name: parameter for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return {name: value.detach() for name, value in {**frozen, **dict(model.named_buffers())}.items()}


def _refuse_what_keeps_state(model: nn.Module) -> None:
    for name, layer in model.named_modules():
        counting = isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.track_running_stats
        if isinstance(layer, nn.RNNBase) or counting:
            raise SettingError(
                f"Expected layers that torch.func.vmap can take, received {type(layer).__name__} as "
                f"{name or 'the model'}. Train such models in turn, each with its own Trainer"
                f"{', or use LayerNorm' if counting else ''}."
            )
