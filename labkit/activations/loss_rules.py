"""Cross entropy and mean squared error: the arithmetic of the loss, and its gradient in closed form."""

from typing import Any

import torch
from torch import Tensor, nn

from labkit.activations.arithmetic import Arithmetic, Index, Term
from labkit.activations.losses import LOSSES, Loss, loss_function
from labkit.activations.words import label


def known_loss(loss: Loss, output: Any, target: Tensor) -> str | None:
    """ "cross_entropy" or "mse" where the rules below hold, or None: the function of that name, or torch's own module

    without options.
    """
    function = loss_function(loss, target)
    name = next((name for name, known in LOSSES.items() if function is known), None)
    if type(function) is nn.MSELoss and function.reduction == "mean":
        name = "mse"
    if type(function) is nn.CrossEntropyLoss and vars(function).items() >= _PLAIN.items() and function.weight is None:
        name = "cross_entropy"
    if not isinstance(output, Tensor) or (name == "cross_entropy" and target.is_floating_point()):
        return None
    if name == "cross_entropy" and (output.ndim < 2 or int(target.min()) < 0):
        return None
    return None if name == "mse" and output.shape != target.shape else name


_PLAIN = {"reduction": "mean", "label_smoothing": 0.0}


def loss_backward(name: str, output: Tensor, target: Tensor) -> Tensor:
    """∂loss/∂output, like the output: (softmax − one-hot) / number of examples, or 2 (ŷ − y) / number of values."""
    if name == "mse":
        return 2 * (output - target) / output.numel()
    shares = output.softmax(1)
    chosen = nn.functional.one_hot(target.long(), output.shape[1]).movedim(-1, 1)
    return (shares - chosen) / target.numel()


def loss_arithmetic(name: str, output: Tensor, target: Tensor) -> Arithmetic:
    return _squares(output, target) if name == "mse" else _cross_entropy(output, target)


def _squares(output: Tensor, target: Tensor) -> Arithmetic:
    places = _places(output)
    terms = []
    for place in places:
        difference = float(output[place] - target[place])
        terms.append(
            Term(f"(ŷ{_in(place)} − y{_in(place)})² / {len(places)}", (1 / len(places), difference, difference))
        )
    code = "((output - target) ** 2).mean()"
    return Arithmetic(f"1/{len(places)} · Σ (ŷ − y)²", terms, code, places)


def _cross_entropy(output: Tensor, target: Tensor) -> Arithmetic:
    logs = output.log_softmax(1)
    count, terms = target.numel(), []
    for place in _places(target):
        k = int(target[place])
        chosen = (*place[:1], k, *place[1:])
        terms.append(Term(f"−log p{_in(chosen)} / {count}", (1 / count, -float(logs[chosen]))))
    code = "-output.log_softmax(1).gather(1, target.unsqueeze(1)).mean()"
    note = "p = softmax of the model's output; of each example only its target's class counts"
    return Arithmetic(f"1/{count} · Σ −log p", terms, code, _places(output), notes=(note,))


def _places(values: Tensor) -> list[Index]:
    return [tuple(place) for place in torch.ones(values.shape).nonzero().tolist()] if values.ndim else [()]


def _in(place: Index) -> str:
    return label("", place)
