"""`attribute`: one call for every method, which borrows the model and gives it back as it was."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from labkit.errors import DataError, SettingError
from labkit.saliency.borrow import borrowed
from labkit.saliency.controls import CONTROLS
from labkit.saliency.gradients import GRADIENTS
from labkit.saliency.method import Method, Request

METHODS: dict[str, Method] = {**GRADIENTS, **CONTROLS}

# Rows of a forward pass: captum's own choice for whole batches is three times slower on a CPU.
ROWS = 50


class AttributionWarning(UserWarning):
    """A map that should not be taken at its face value; the message says why."""


@dataclass(frozen=True)
class Attribution:
    """`values`, a tensor like x, and `notes`: sentences about what to doubt in them."""

    values: Tensor
    notes: tuple[str, ...]


def attribute(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    method: str = "integrated_gradients",
    layer: str | None = None,
    seed: int = 0,
    **more: Any,
) -> Tensor:
    """How much each value of `x` speaks for (positive) or against (negative) the output `target`; a tensor like `x`.

    As `attributed`, which takes the same arguments; each of its notes is given as an AttributionWarning.
    """
    found = attributed(model, x, target, method, layer, seed, **more)
    for note in found.notes:
        warnings.warn(AttributionWarning(note), stacklevel=2)
    return found.values


def attributed(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    method: str = "integrated_gradients",
    layer: str | None = None,
    seed: int = 0,
    *,
    against: int | None = None,
    baseline: str | Tensor = "black",
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Attribution:
    """The attribution of `method`, with what there is to say against it.

    x: a batch (n, ...). target: an output's index, or one for each example (n,). layer: for the CAMs, None: the last
    with a spatial map. against: another output, which is subtracted: why the target and not that. baseline: for
    methods that have one. options: the method's own (`METHODS[method].options`). progress: called with (done, of).
    The model is run in evaluation mode and given back as it was (modes, gradients, requires_grad), also after an error.
    Errors: SettingError for an unknown method or option, DataError for a target that the model does not have.
    """
    if method not in METHODS:
        raise SettingError(f"Expected a method of {', '.join(METHODS)}, received {method!r}.")
    chosen = METHODS[method]
    targets = torch.as_tensor(target, device=x.device).expand(len(x))
    notes: list[str] = []
    with borrowed(model):
        with torch.no_grad():
            outputs = model(x[:1]).shape[1]
        if int(targets.min()) < 0 or int(targets.max()) >= outputs:
            raise DataError(
                f"Expected targets of 0 to {outputs - 1} for a model with {outputs} outputs, received {target}."
            )
        request = Request(
            model=model,
            x=x.detach().clone().requires_grad_(),
            target=targets,
            layer=layer,
            baseline=torch.zeros_like(x),
            seed=seed,
            rows=ROWS,
            options={**chosen.options, **options},
            progress=progress or (lambda done, of: None),
            note=notes.append,
        )
        return Attribution(chosen.compute(request).detach().to(x.dtype), tuple(notes))
