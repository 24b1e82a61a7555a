"""Exercises of notebook 00."""

import math
from typing import Any

import torch

from labkit.exercises.exercise import Exercise, Mistake, call, number


def _accuracy(answer: Any) -> None:
    target = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])
    predicted = torch.tensor([3, 1, 4, 0, 5, 9, 7, 0])  # five of eight
    result = number(call(answer, predicted, target), "The accuracy")
    if math.isclose(result, 5 / 8, abs_tol=1e-6):
        if not math.isclose(number(call(answer, target, target), "The accuracy"), 1.0):
            raise Mistake("With every prediction right the accuracy is 1. Yours is not: look at how you divide.")
        return
    if math.isclose(result, 5):
        raise Mistake("That counts the right ones: 5 of 8. The accuracy is their share. Divide by how many there are.")
    if math.isclose(result, 3 / 8, abs_tol=1e-6):
        raise Mistake("That is the share of wrong predictions. Compare with == and not with !=.")
    if math.isclose(result, 62.5, abs_tol=1e-3):
        raise Mistake("That is a percentage. The accuracy is a number from 0 to 1 here.")
    raise Mistake(f"5 of 8 predictions are right, so 0.625 is expected; received {result:.4g}.")


def _steps_per_epoch(answer: Any) -> None:
    for examples, batch_size in ((1437, 64), (128, 64), (10, 64)):
        result = number(call(answer, examples, batch_size), "The number of steps")
        expected = math.ceil(examples / batch_size)
        if result == expected:
            continue
        said = f"For {examples:,} examples in batches of {batch_size}"
        if result != int(result):
            raise Mistake(f"{said} you have {result:.4g}. A step is done or not: give a whole number.")
        if result == examples // batch_size:
            raise Mistake(f"{said} the last batch is not full, but it is a step too. Round up, not down.")
        if result == expected + 1:
            raise Mistake(f"{said} the batches come out even, and there is no last small one. Round up only if needed.")
        raise Mistake(f"{said} {expected} steps are expected; received {result:.4g}.")


def _gradient_step(answer: Any) -> None:
    w, gradient, lr = 2.0, 0.5, 0.1
    result = number(call(answer, w, gradient, lr), "The new weight")
    if math.isclose(result, 1.95):
        return
    if math.isclose(result, 2.05):
        raise Mistake("That climbs: the loss would grow. The gradient points uphill, so subtract it.")
    if math.isclose(result, 1.5):
        raise Mistake("That is the whole gradient. The learning rate says which part of it to go.")
    if math.isclose(result, -0.05) or math.isclose(result, 0.05):
        raise Mistake("That is the change of the weight. The new weight is the old one with this change.")
    raise Mistake(f"For w = 2, a gradient of 0.5 and a learning rate of 0.1, 1.95 is expected; received {result:.4g}.")


EXERCISES = (
    Exercise(
        name="start.accuracy",
        question="Give the share of predictions that are right, from 0 to 1.",
        examine=_accuracy,
        hints=(
            "predicted == target compares all pairs at once.",
            "The mean of a list of zeros and ones is the share of ones. Booleans become numbers by .float().",
        ),
        code="def accuracy(predicted, target):\n    return (predicted == target).float().mean()",
        praise="Right. This is the number that the lab draws as accuracy.",
    ),
    Exercise(
        name="start.steps_per_epoch",
        question="Give the number of steps in which each example is seen once.",
        examine=_steps_per_epoch,
        hints=(
            "Each step sees one batch. How many batches hold all examples?",
            "10 examples in batches of 4 make 3 steps: 4, 4 and 2. math.ceil rounds up.",
        ),
        code="import math\n\ndef steps_per_epoch(examples, batch_size):\n    return math.ceil(examples / batch_size)",
        praise="Right. One such round is called an epoch.",
    ),
    Exercise(
        name="start.gradient_step",
        question="Give the new weight after one step of gradient descent.",
        examine=_gradient_step,
        hints=(
            "The gradient says in which direction the loss grows. You want it to fall.",
            "Go against the gradient, and only a small part of it: the learning rate times as far.",
        ),
        code="def gradient_step(w, gradient, lr):\n    return w - lr * gradient",
        praise="Right. Every weight of the network made this step, each time you pressed Step.",
    ),
)
