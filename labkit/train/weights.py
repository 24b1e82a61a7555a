"""A model's trained weights as one flat vector, and the loss as a function of such vectors."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from labkit.errors import DataError, SettingError
from labkit.train.stacked import chain, multiplied, takes
from labkit.train.trainer import LOSSES

# Examples in one forward pass, and the activations of all models in one pass: what fits into a CPU's cache is fastest.
EXAMPLES = 512
CHUNK_BYTES = {"cpu": 2**21, "cuda": 2**28}
STACK_BYTES = 2**27  # of the models' weights in one pass
ITEM_BYTES = 4

# Under vmap a convolution becomes a grouped one, three times slower on a CPU; recurrent layers do not run at all.
_ONE_BY_ONE = (nn.modules.conv._ConvNd, nn.RNNBase, nn.RNNCellBase)

Loss = Callable[[Tensor, Tensor], Tensor]
BatchLoss = Callable[[Tensor, Tensor, Tensor], Tensor]  # of weights, inputs and targets


def trained(model: nn.Module) -> dict[str, Tensor]:
    """{name: parameter} of all that require a gradient, each once; SettingError where there is none."""
    found: dict[str, Tensor] = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not found:
        raise SettingError(
            "Expected a model with weights that are trained, received one in which none requires a gradient. "
            "Call model.requires_grad_(True) first."
        )
    return found


def with_buffers(model: nn.Module) -> dict[str, Tensor]:
    """`trained`, and then the buffers that are real numbers, such as a BatchNorm's stored statistics."""
    return {**trained(model), **{name: b for name, b in model.named_buffers() if b.is_floating_point()}}


def flatten(model: nn.Module, buffers: bool = False) -> Tensor:
    """The trained weights as one vector (P,), a copy, in the order of model.named_parameters().

    With `buffers` followed by those (`with_buffers`).
    """
    parts = with_buffers(model) if buffers else trained(model)
    return torch.cat([part.detach().reshape(-1) for part in parts.values()])


def unflatten(weights: Tensor, like: dict[str, Tensor]) -> dict[str, Tensor]:
    """(..., P) -> {name: (..., *shape)}, each in the type of its model's own."""
    parts = weights.split([p.numel() for p in like.values()], dim=-1)
    lead = weights.shape[:-1]
    return {n: v.reshape(*lead, *p.shape).to(p.dtype) for (n, p), v in zip(like.items(), parts, strict=True)}


def loss_at(
    model: nn.Module, ds: Any, loss: str | Loss | None = None, buffers: bool = False
) -> Callable[[Tensor], Tensor]:
    """The function weights (k, P) -> losses (k,): the mean loss over all examples of `ds` with these weights.

    The weights are as `flatten(model, buffers)` gives them.

    It works on a copy of the model in evaluation mode (no dropout, the stored batch statistics), draws no random
    number, and can be differentiated. `loss` as Trainer takes it: a name, or a function that gives the mean over a
    batch. A loss that is NaN or infinite is returned as it is.

    Errors: DataError for data that do not fit the model, SettingError for a loss that is not known.
    """
    twin = copy.deepcopy(model).eval()
    like = with_buffers(twin) if buffers else trained(twin)
    inputs, targets = examples(ds, next(iter(like.values())).device)
    chosen = choose_loss(loss, targets)
    check_output(twin, inputs, targets, chosen)
    together = not any(isinstance(module, _ONE_BY_ONE) for module in twin.modules())
    chunk = _models_at_once(twin, inputs, like) if together else 1
    values = _many_losses(twin, chosen, like) if together else _one_by_one(mean_loss(twin, chosen, like))

    def losses(weights: Tensor) -> Tensor:
        found = []
        for part in weights.to(inputs.device).split(chunk):
            total = part.new_zeros(len(part))
            for x, y in batches(inputs, targets):
                total = total + values(part, x, y) * (len(x) / len(inputs))
            found.append(total)
        return torch.cat(found)

    return losses


def _one_by_one(one: BatchLoss) -> BatchLoss:
    return lambda weights, inputs, targets: torch.stack([one(single, inputs, targets) for single in weights])


def _many_losses(model: nn.Module, loss: Loss, like: dict[str, Tensor]) -> BatchLoss:
    """The function (weights (k, P), inputs, targets) -> losses (k,) of a batch, all models in one pass."""
    layers = chain(model)
    mapped = vmap(lambda weights, inputs: functional_call(model, unflatten(weights, like), (inputs,)), (0, None))

    def outputs_of(weights: Tensor, inputs: Tensor) -> Tensor:
        if layers is None or not takes(layers, inputs.ndim):
            return mapped(weights, inputs)
        return multiplied(layers, unflatten(weights, like), inputs.expand(len(weights), *inputs.shape))

    def values(weights: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        outputs = outputs_of(weights, inputs)
        if loss is LOSSES["cross_entropy"] and outputs.ndim == 3 and targets.ndim == 1:
            # With the few classes not innermost: five times faster than vmap, the same numbers.
            each = nn.functional.cross_entropy(
                outputs.transpose(1, 2).contiguous(), targets.expand(len(weights), -1), reduction="none"
            )
            return each.mean(1)
        return vmap(loss, (0, None))(outputs, targets)

    return values


def mean_loss(model: nn.Module, loss: Loss, like: dict[str, Tensor]) -> BatchLoss:
    """The function (weights (P,), inputs, targets) -> loss () of a batch; `like` says which weights they are."""

    def value(weights: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        return loss(functional_call(model, unflatten(weights, like), (inputs,)), targets)

    return value


def examples(ds: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """The (inputs, targets) of a data set of tensors, on the device."""
    inputs, targets = getattr(ds, "inputs", None), getattr(ds, "targets", None)
    if not (isinstance(inputs, Tensor) and isinstance(targets, Tensor)):
        raise DataError(
            f"Expected a data set with `.inputs` and `.targets` tensors, received {type(ds).__name__}. "
            "labkit.data.Dataset(inputs, targets) makes one of tensors or arrays."
        )
    if len(inputs) == 0 or len(inputs) != len(targets):
        raise DataError(
            f"Expected as many targets as inputs and at least one, received {len(inputs)} inputs and "
            f"{len(targets)} targets."
        )
    if not torch.isfinite(inputs).all():
        raise DataError("Expected finite inputs, received NaN or infinity. Remove or replace these examples.")
    return inputs.to(device), targets.to(device)


def choose_loss(loss: str | Loss | None, targets: Tensor) -> Loss:
    choice = loss or ("mse" if targets.is_floating_point() else "cross_entropy")
    if callable(choice):
        return choice
    if choice not in LOSSES:
        raise SettingError(f"Expected a loss of {', '.join(LOSSES)} or a function, received {choice!r}.")
    return LOSSES[choice]


def check_output(model: nn.Module, inputs: Tensor, targets: Tensor, loss: Loss) -> None:
    """Refuse what does not fit together, before anything long is computed."""
    with torch.no_grad():
        try:
            output = model(inputs[:2])
        except RuntimeError as error:
            raise DataError(f"Expected inputs that fit the model, received {tuple(inputs.shape)}: {error}") from error
        if loss is LOSSES["mse"] and output.shape[1:] != targets.shape[1:]:
            raise DataError(
                f"Expected targets shaped like the model's output {tuple(output.shape[1:])} (after the batch), "
                f"received {tuple(targets.shape[1:])}."
            )
        if loss is LOSSES["cross_entropy"] and not targets.is_floating_point():
            low, high = int(targets.min()), int(targets.max())
            if low < 0 or high >= output.shape[1]:
                raise DataError(
                    f"Expected labels of 0 to {output.shape[1] - 1} for a model with {output.shape[1]} outputs, "
                    f"received labels of {low} to {high}. Give the model more outputs or mend the labels."
                )
        value = loss(output, targets[:2])
    if value.ndim != 0:
        raise SettingError(
            f"Expected loss(output, target) to give one number (a 0-d tensor), received shape {tuple(value.shape)}."
        )


def batches(inputs: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """All examples, as many in one pass as memory and cache like."""
    return zip(inputs.split(EXAMPLES), targets.split(EXAMPLES), strict=True)


def _models_at_once(model: nn.Module, inputs: Tensor, like: dict[str, Tensor]) -> int:
    """How many models go through one pass, so that memory stays bounded whatever their size."""
    widest = 0

    def measure(_module: nn.Module, _inputs: Any, output: Any) -> None:
        nonlocal widest
        if isinstance(output, Tensor):
            widest = max(widest, output[0].numel())

    hooks = [module.register_forward_hook(measure) for module in model.modules()]
    try:
        with torch.no_grad():
            model(inputs[:2])
    finally:
        for hook in hooks:
            hook.remove()
    activations = max(1, widest) * min(len(inputs), EXAMPLES) * ITEM_BYTES
    weights = sum(p.numel() for p in like.values()) * ITEM_BYTES
    budget = CHUNK_BYTES.get(inputs.device.type, CHUNK_BYTES["cpu"])
    return max(1, min(budget // activations, STACK_BYTES // weights))
