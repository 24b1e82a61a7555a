"""What a loss may be: a name or a function, as the trainer takes it; and targets that fit it."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from labkit.errors import DataError, SettingError

Loss = str | Callable[[Any, Tensor], Tensor] | None

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": nn.functional.cross_entropy,
    "mse": nn.functional.mse_loss,
}


def loss_function(loss: Loss, target: Tensor) -> Callable[[Any, Tensor], Tensor]:
    """The function that a `loss` stands for; None is cross entropy for integer targets, else the mean squared error."""
    if loss is None:
        loss = "mse" if target.is_floating_point() else "cross_entropy"
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise SettingError(f"Expected a loss of {', '.join(LOSSES)} or a function, received {loss!r}.")
        return LOSSES[loss]
    if not callable(loss):
        raise SettingError(f"Expected loss(output, target) or a name, received {type(loss).__name__}.")
    return loss


def loss_of(output: Any, target: Tensor, loss: Loss) -> Tensor:
    """The loss as a 0-d tensor. Errors: DataError for a target that does not fit the output, SettingError.

    Of an output that is a dict, as the models of transformers give, a named loss takes the "logits".
    """
    function = loss_function(loss, target)
    if function in LOSSES.values():
        if isinstance(output, dict):
            output = output.get("logits", output)
        _check(output, target, named_cross_entropy=function is LOSSES["cross_entropy"])
    value = function(output, target)
    if not (isinstance(value, Tensor) and value.ndim == 0):
        shown = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise SettingError(f"Expected loss(output, target) to give one number (a 0-d tensor), received {shown}.")
    return value


def _check(output: Any, target: Tensor, named_cross_entropy: bool) -> None:
    if not isinstance(output, Tensor):
        raise SettingError(
            f"Expected a model that returns one tensor, received {type(output).__name__}. Give a loss(output, target) "
            "that takes what it returns."
        )
    if not named_cross_entropy:
        if output.shape != target.shape:  # they would be broadcast against each other, to another loss
            raise DataError(
                f"Expected a target shaped like the model's output {tuple(output.shape)}, received "
                f"{tuple(target.shape)}. Reshape the target."
            )
    elif not target.is_floating_point():
        expected = (*output.shape[:1], *output.shape[2:])
        if output.ndim < 2 or target.shape != expected:
            raise DataError(
                f"Expected a class number for each example, shaped {expected}, received {tuple(target.shape)}."
            )
        low, high = map(int, target.aminmax())
        if low < 0 or high >= output.shape[1]:  # on a GPU torch would give up the whole device
            raise DataError(
                f"Expected labels of 0 to {output.shape[1] - 1} for a model with {output.shape[1]} outputs, received "
                f"labels of {low} to {high}. Give the model more outputs or mend the labels."
            )
