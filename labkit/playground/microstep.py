"""The next training step of a playground's network, opened: every value on its way, before anything is trained."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from labkit.playground.build import PlaygroundTrainer


@dataclass(frozen=True)
class Microstep:
    """Of a network with F inputs, U hidden and output neurons and P parameters; the batch has `size` examples.

    values      (2, F + U) of the example shown: before and after the activation (and dropout). A softmax's outputs are
                probabilities after it.
    gradients   (F + U,) of that example's own loss by the values before the activation; 0 for the inputs.
    parameter_gradients   (P,) of the batch's mean loss, with the penalties of L1 and L2, by each parameter.
    after       (P,) the parameters after the update.
    output, target   of the example: of several classes, the probability of the true one, and its number.
    """

    values: np.ndarray
    gradients: np.ndarray
    parameter_gradients: np.ndarray
    after: np.ndarray
    index: int
    example: int
    size: int
    batch: int
    batches: int
    loss: float
    example_loss: float
    output: float
    target: float
    lr: float


def open_step(trainer: PlaygroundTrainer, example: int = 0) -> Microstep:
    """What `trainer.step()` will do next, seen on one example of its batch. The trainer is left as it is."""
    twin = trainer.clone()
    with twin.session():
        inputs, targets = twin.next_batch()
        twin.model.train()
        example = example % len(inputs)
        before, after, loss = _forward(twin, inputs, targets, example)
        gradients = torch.autograd.grad(loss, before[1:])
    row = twin.step()
    penalised = _penalised(trainer, twin)
    several = after[-1].shape[1] > 1
    final = after[-1][example]
    target = targets[example].item()
    return Microstep(
        values=_rows(before, after, example),
        gradients=torch.cat([torch.zeros(inputs.shape[1]), *(g[example] for g in gradients)]).numpy(),
        parameter_gradients=penalised.numpy(),
        after=nn.utils.parameters_to_vector(twin.model.parameters()).detach().numpy(),
        index=trainer.position + example,
        example=example,
        size=len(inputs),
        batch=trainer.position // trainer.batch_size + 1,
        batches=trainer.steps_per_epoch,
        loss=row["loss"],
        example_loss=loss.item(),
        output=final[int(target)].item() if several else final.item(),
        target=target,
        lr=row["lr"],
    )


def _forward(
    trainer: PlaygroundTrainer, inputs: Tensor, targets: Tensor, example: int
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Values of each layer before and after its activation, and the loss of one example."""
    before, after, value = [inputs], [inputs], inputs
    for module in trainer.model:
        value = module(value)
        if isinstance(module, nn.Linear):
            before.append(value)
            after.append(value)
        else:
            after[-1] = value
    loss = trainer.loss(value[example : example + 1], targets[example : example + 1])
    if value.shape[1] > 1:
        after[-1] = value.softmax(1)
    return before, after, loss


def _penalised(trainer: PlaygroundTrainer, stepped: PlaygroundTrainer) -> Tensor:
    parts = []
    for now, later in zip(trainer.model.parameters(), stepped.model.parameters(), strict=True):
        gradient = torch.zeros_like(now) if later.grad is None else later.grad.detach().clone()
        if now.ndim > 1:
            gradient += trainer.l2 * now.detach() + trainer.l1 * now.detach().sign()
        parts.append(gradient.flatten())
    return torch.cat(parts)


def _rows(before: list[Tensor], after: list[Tensor], example: int) -> np.ndarray:
    return np.stack([torch.cat([value[example].detach() for value in values]).numpy() for values in (before, after)])
