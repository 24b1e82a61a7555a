"""What BackpropView is given, made fit: inputs and targets as tensors of its own, the loss by its name."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.errors import DataError

MOST_EXAMPLES = 512


def as_tensor(values: Any, name: str, like: Tensor) -> Tensor:
    """A copy on the model's device; real numbers in the model's type."""
    try:
        made = values.detach().clone() if isinstance(values, Tensor) else torch.tensor(np.asarray(values))
    except (TypeError, ValueError) as error:
        raise DataError(f"Expected {name} as a tensor, an array or a list of numbers: {error}.") from error
    if made.ndim == 0 or not 1 <= len(made) <= MOST_EXAMPLES:
        raise DataError(f"Expected {name} of 1 to {MOST_EXAMPLES} examples, received shape {tuple(made.shape)}.")
    if made.is_floating_point():
        if not bool(made.isfinite().all()):
            raise DataError(f"Expected finite {name}, received NaN or infinity. Mend the data.")
        made = made.to(like.dtype)
    return made.to(like.device)


def fitting(targets: Tensor, inputs: Tensor, model: nn.Module) -> Tensor:
    """Where the model has one output, targets (n,) become (n, 1); whole numbers shaped like the output become real."""
    if len(targets) != len(inputs):
        raise DataError(f"Expected as many targets as inputs ({len(inputs)}), received {len(targets)}.")
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            output = model.eval()(inputs[:1])
    except RuntimeError as error:
        raise DataError(f"Expected inputs that fit the model, received {tuple(inputs.shape)}: {error}.") from error
    finally:
        for module, mode in modes:
            module.training = mode
    if not isinstance(output, Tensor):
        return targets
    if output.shape[1:] == (1,) and targets.ndim == 1:
        targets = targets.reshape(-1, 1)
    return targets.to(output.dtype) if targets.shape[1:] == output.shape[1:] else targets


def name_of(loss: Callable[[Tensor, Tensor], Tensor]) -> str | None:
    """ "mse" or "cross_entropy" where it is one of them as torch has them by default."""
    plain = {"mse": nn.functional.mse_loss, "cross_entropy": nn.functional.cross_entropy}
    for name, function in plain.items():
        if loss is function:
            return name
    if type(loss) is nn.MSELoss and loss.reduction == "mean":
        return "mse"
    if type(loss) is nn.CrossEntropyLoss and (loss.reduction, loss.weight, loss.label_smoothing) == ("mean", None, 0):
        return "cross_entropy"
    return None
