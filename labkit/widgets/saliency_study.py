"""What SaliencyView asks a model, and what each method answered."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from labkit.device import device_of
from labkit.errors import UnsuitableError
from labkit.saliency import METHODS, as_map, attributed, deletion, insertion
from labkit.saliency.borrow import Scores, borrowed
from labkit.widgets.view import sentence

# How methods are called in their papers; others are called as in METHODS.
LABELS = {
    "smoothgrad": "SmoothGrad",
    "input_x_gradient": "Input × gradient",
    "grad_cam": "Grad-CAM",
    "hires_cam": "HiResCAM",
    "layer_cam": "LayerCAM",
    "guided_grad_cam": "Guided Grad-CAM",
    "rise": "RISE",
    "deep_lift": "DeepLift",
    "lrp": "LRP",
    "kernel_shap": "KernelShap",
}


def label(method: str) -> str:
    return LABELS.get(method) or method.replace("_", " ").capitalize()


class Superseded(Exception):
    """What is computed is not wanted any more."""


@dataclass(frozen=True, eq=False)
class Question:
    """Why `target`, and not `against` (None: no other): what all methods are asked about a picture (1, C, H, W).

    original: the picture before it was changed. layer: for methods that look at one, None: their own choice.
    baseline: for methods that have one.
    """

    picture: Tensor
    original: Tensor
    target: int
    against: int | None
    layer: str | None
    baseline: str

    def same(self, other: "Question", method: str) -> bool:
        """Whether `method` has to answer both alike."""
        needs = METHODS[method]
        return (
            self.picture is other.picture
            and (self.target, self.against) == (other.target, other.against)
            and (self.layer == other.layer or not needs.layer)
            and (self.baseline == other.baseline or not needs.baseline)
        )


@dataclass(frozen=True, eq=False)
class Answer:
    """What a method said to a question, in `seconds`.

    maps: {signed: (1, H, W)}, empty where there is none: then `refusal` says why this model or picture does not go with
    the method, or `failure` what it raised. notes: what to doubt. more: scores that took longer.
    """

    question: Question
    seconds: float
    values: Tensor | None = None
    maps: dict[bool, Tensor] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    refusal: str = ""
    failure: str = ""
    more: dict[str, float] = field(default_factory=dict)


class Study:
    """A model, copied as it is now, and the last answer of each method about it. For one thread at a time."""

    def __init__(self, model: nn.Module) -> None:
        self.model = copy.deepcopy(model).eval()
        self.answers: dict[str, Answer] = {}

    def probabilities(self, picture: Tensor) -> np.ndarray:
        """The softmax of the model's scores, (outputs,). Errors: DataError for a model that gives no such scores."""
        with borrowed(self.model), torch.no_grad():
            scores = Scores(self.model, None, (0, 0))(picture.to(device_of(self.model)))
            return scores[0].float().softmax(0).cpu().numpy()

    def answered(self, method: str, question: Question) -> bool:
        answer = self.answers.get(method)
        return answer is not None and answer.question.same(question, method)

    def ask(self, method: str, question: Question, progress: Callable[[int, int], None] | None = None) -> Answer:
        """The answer, which is also kept. An exception of `progress` goes through and leaves the last answer."""
        began = time.perf_counter()
        try:
            found = attributed(
                self.model,
                question.picture.to(device_of(self.model)),
                question.target,
                method,
                question.layer if METHODS[method].layer else None,
                against=question.against,
                baseline=question.baseline,
                progress=progress,
            )
            values = found.values.cpu()
            maps = {signed: as_map(values, signed) for signed in (True, False)}
            answer = Answer(question, time.perf_counter() - began, values, maps, found.notes)
        except Superseded:
            raise
        except UnsuitableError as error:
            answer = Answer(question, time.perf_counter() - began, refusal=str(error))
        except Exception as error:  # shown on the method's tile
            answer = Answer(question, time.perf_counter() - began, failure=sentence(error))
        self.answers[method] = answer
        return answer

    def follow(self, method: str, progress: Callable[[int, int], None]) -> None:
        """Score a method's map by what the model says while pixels go by it: adds "deletion" and "insertion"."""
        answer = self.answers[method]
        if answer.values is None:
            return
        picture, values = answer.question.picture.to(device_of(self.model)), answer.values.to(device_of(self.model))
        found = {}
        for name, way in (("deletion", deletion), ("insertion", insertion)):
            found[name] = float(way(self.model, picture, answer.question.target, values, progress=progress)[0])
        answer.more.update(found)
