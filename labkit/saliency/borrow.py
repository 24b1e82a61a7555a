"""Somebody's model for as long as a block lasts, and its scores as a tensor."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from labkit.activations.capture import random_numbers_given_back
from labkit.activations.outputs import main_tensor
from labkit.device import one_core_spared
from labkit.errors import DataError, LabkitError


class Scores(nn.Module):
    """A model's outputs (n, outputs), found in a dict's "logits" where it gives a dict.

    against: an output which is subtracted from all others: then output t says why t and not that.
    targets: (lowest, highest) output that will be asked for.
    Errors: DataError in the forward pass, for inputs that the model does not take and outputs that are not there.
    """

    def __init__(self, net: nn.Module, against: int | None, targets: tuple[int, int]) -> None:
        super().__init__()
        self.net, self.against, self.targets = net, against, targets

    def forward(self, x: Tensor) -> Tensor:
        try:
            output = self.net(x.clone())  # a model may write into its input
        except (torch.OutOfMemoryError, LabkitError):
            raise
        except (RuntimeError, ValueError) as error:
            raise DataError(f"Expected inputs that fit the model, received shape {tuple(x.shape)}: {error}") from error
        scores = main_tensor(output, "the model")
        if scores.ndim != 2 or len(scores) != len(x):
            raise DataError(
                f"Expected a model that gives ({len(x)}, outputs) for {len(x)} examples, received "
                f"{tuple(scores.shape)}. Wrap it in a module that gives one row of scores for each example."
            )
        outputs, (lowest, highest) = scores.shape[1], self.targets
        if lowest < 0 or highest >= outputs:
            raise DataError(
                f"Expected targets of 0 to {outputs - 1} for a model with {outputs} outputs, received "
                f"{lowest if lowest < 0 else highest}."
            )
        if self.against is None:
            return scores
        if not 0 <= self.against < outputs:
            raise DataError(f"Expected `against` of 0 to {outputs - 1}, received {self.against}.")
        return scores - scores[:, self.against : self.against + 1]


@contextmanager
def borrowed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients for the parameters, for one block, errors or not.

    Modes, requires_grad, buffers and torch's random numbers are given back. One core is left to the browser.
    """
    training = [module for module in model.modules() if module.training]
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    buffers = [
        (module, name, buffer, None if buffer is None else (buffer._version, buffer.clone()))
        for module in model.modules()
        for name, buffer in module._buffers.items()
    ]
    with (
        one_core_spared(),
        random_numbers_given_back(model.parameters()),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        try:
            model.eval()
            for parameter in wanted:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in wanted:
                parameter.requires_grad_(True)
            for module in training:
                module.training = True
            with torch.no_grad():
                for module, name, buffer, before in buffers:
                    module._buffers[name] = buffer
                    if buffer is not None and before is not None and buffer._version != before[0]:
                        buffer.copy_(before[1])
