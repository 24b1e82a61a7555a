"""`attribute`: one call for every method, which borrows the model and gives it back as it was."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from labkit.errors import DataError, SettingError, UnsuitableError
from labkit.saliency.baselines import baseline as baseline_of
from labkit.saliency.borrow import Scores, borrowed
from labkit.saliency.cams import CAMS
from labkit.saliency.controls import CONTROLS
from labkit.saliency.gradients import GRADIENTS
from labkit.saliency.method import Method, Request
from labkit.saliency.perturbation import PERTURBATIONS
from labkit.saliency.rows import rows_for
from labkit.saliency.rules import RULES

METHODS: dict[str, Method] = {**GRADIENTS, **RULES, **CAMS, **PERTURBATIONS, **CONTROLS}


class AttributionWarning(UserWarning):
    """A map that should not be taken at its face value; the message says why."""


@dataclass(frozen=True)
class Attribution:
    """`values`, a tensor like x, and `notes`: sentences about what to doubt in them."""

    values: Tensor
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Suitability:
    """Whether a method works on a model: `refusal` says why not (None: it does), `notes` what to doubt in its maps."""

    refusal: str | None
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
    methods that have one, a kind or a tensor (`labkit.saliency.baseline`). options: the method's own
    (`METHODS[method].options`). progress: called with (done, of); what it raises ends the method.
    The model gives (n, outputs), or a dict with them as "logits". It is run in evaluation mode and given back as it
    was (modes, gradients, requires_grad, buffers), also after an error.
    Errors: SettingError for an unknown method or option, UnsuitableError for a method that this model breaks,
    DataError for inputs that cannot be attributed and for a target that the model does not have.
    """
    notes: list[str] = []
    with _request(model, x, target, method, layer, seed, against, baseline, progress, options, notes) as request:
        values = METHODS[method].compute(request)
        # An example that is its own baseline has nothing to explain.
        empty = (x == request.baseline).flatten(1).all(1)
        silent = int(((values == 0).flatten(1).all(1) & ~empty).sum())
        told = any("zero everywhere" in note for note in notes)  # with a reason of the method's own
        if silent and not told and METHODS[method].family != "control":
            notes.append(
                f"The map is zero everywhere for {silent} of {len(x)}: the score does not hang on the input there, or "
                "by so little that it is lost in rounding."
            )
        return Attribution(values.detach().to(x.dtype), tuple(notes))


def examine(model: nn.Module, x: Tensor, method: str, layer: str | None = None) -> Suitability:
    """Whether `method` works on this model and inputs like `x`, by one example's forward pass; nothing is attributed.

    What shows only in the result (a Grad-CAM that is all zero, an error of completeness) is among `attributed`'s notes.
    Errors: as `attributed`, but for UnsuitableError, which becomes the refusal.
    """
    notes: list[str] = []
    try:
        with _request(model, x[:1], 0, method, layer, 0, None, "black", None, {}, notes) as request:
            guard = METHODS[method].guard
            if guard is not None:
                guard(request)
    except UnsuitableError as error:
        return Suitability(str(error), ())
    return Suitability(None, tuple(notes))


@contextmanager
def _request(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    method: str,
    layer: str | None,
    seed: int,
    against: int | None,
    baseline: str | Tensor,
    progress: Callable[[int, int], None] | None,
    options: dict[str, Any],
    notes: list[str],
) -> Iterator[Request]:
    """The model borrowed for one request, once all that was asked is known to make sense."""
    if method not in METHODS:
        raise SettingError(f"Expected a method of {', '.join(METHODS)}, received {method!r}.")
    chosen = METHODS[method]
    unknown = sorted(options.keys() - chosen.options.keys())
    if unknown:
        there = f"options of {', '.join(chosen.options)}" if chosen.options else "no options"
        raise SettingError(f"Expected {there} for {method}, received {', '.join(unknown)}.")
    _check_inputs(x)
    if chosen.pictures and x.ndim != 4:
        raise UnsuitableError(
            f"Expected pictures (n, channels, height, width) for {method}, received shape {tuple(x.shape)}. Take a "
            "method that needs no places, such as integrated_gradients."
        )
    targets = _targets(target, x)
    with borrowed(model):
        scores = Scores(model, against, (int(targets.min()), int(targets.max()))).eval()
        yield Request(
            model=scores,
            net=model,
            x=x.detach().clone().requires_grad_(),
            target=targets,
            layer=layer,
            baseline=baseline_of(x, baseline if chosen.baseline else "black", seed),
            seed=seed,
            rows=len(x) if chosen.family == "control" else rows_for(model, scores, x),
            options={**chosen.options, **options},
            progress=progress or (lambda done, of: None),
            note=notes.append,
        )


def _check_inputs(x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise DataError(f"Expected a tensor (n, ...), received {type(x).__name__}.")
    if x.numel() == 0 or x.ndim < 2:
        raise DataError(f"Expected a batch of examples (n, ...), received shape {tuple(x.shape)}.")
    if not x.is_floating_point():
        raise DataError(
            f"Expected floating-point inputs, received {x.dtype}. Whole numbers cannot be changed a little: pass "
            "pictures as x.float(); of token ids their embeddings (n, tokens, width), to a model that takes those."
        )
    if not torch.isfinite(x).all():
        raise DataError("Expected inputs that are numbers, received NaN or infinite values. Replace them first.")


def _targets(target: int | Tensor, x: Tensor) -> Tensor:
    targets = torch.as_tensor(target, device=x.device)
    if targets.is_floating_point() or targets.dtype == torch.bool or targets.shape not in ((), (1,), (len(x),)):
        raise DataError(
            f"Expected a target as a whole number, or one for each of {len(x)} examples, received "
            f"{targets.dtype}, shape {tuple(targets.shape)}."
        )
    return targets.long().expand(len(x))
