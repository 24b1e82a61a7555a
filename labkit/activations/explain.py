"""The arithmetic of one value of a model, forward and backward, with the real numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit.activations.arithmetic import Arithmetic, Index, Term, arithmetic_of, short
from labkit.activations.calls import call_of, dropout_states, index_within, module_of, precise
from labkit.activations.capture import Capture, Inputs, capture, choose_layers
from labkit.activations.chain import Call, backward
from labkit.activations.loss_rules import known_loss, loss_arithmetic, loss_backward
from labkit.activations.losses import Loss
from labkit.activations.words import added, entry, label, number
from labkit.errors import SettingError

# Of the derivatives to inputs and to parameters, how many the text shows of each.
SHOWN = 6


@dataclass(frozen=True)
class Derivative:
    """One link of the chain rule: outgoing = incoming · local.

    of: "input", or the name of a parameter of the layer; index: into it; local: ∂value/∂(that entry); outgoing: what
    this one value adds to ∂loss/∂(that entry).
    """

    of: str
    index: Index
    label: str
    local: float
    outgoing: float


@dataclass(frozen=True)
class ValueGradient:
    """incoming: ∂loss/∂value, from the layers after it. derivatives: to everything that the value depends on."""

    incoming: float
    derivatives: tuple[Derivative, ...]
    text: str
    code: str


@dataclass(frozen=True)
class Explanation:
    """How one value came about. The terms' products add up to `value`; `code` sets `value` as well.

    code, gradient.code: PyTorch that runs where `model`, `x`, `labkit`, `torch` (and `target`, `loss`) are defined.
    known: False for a kind of layer that is not opened: then there are no terms and no derivatives.
    """

    layer: str
    index: Index
    kind: str
    value: float
    terms: tuple[Term, ...]
    text: str
    code: str
    known: bool
    gradient: ValueGradient | None

    def __str__(self) -> str:
        return self.text if self.gradient is None else f"{self.text}\n{self.gradient.text}"


def explain_value(
    model: nn.Module,
    x: Inputs,
    layer: str,
    index: int | Sequence[int],
    target: Tensor | None = None,
    loss: Loss = None,
) -> Explanation:
    """The arithmetic of one value: `capture(model, x)[layer][index]`, batch first.

    layer: a name as `capture` gives it, such as "conv1" or "relu:2"; or "loss" (with a target; index ()).
    With a target, also its part in the chain rule: gradient incoming, local derivatives in closed form, outgoing.
    Computed in float64 from the values that the model gave, so that it agrees to the model's own rounding.
    The model is left as it was (see `capture`). Errors: SettingError for a layer or index that is not there, and those
    of `capture`.
    """
    place = (index,) if isinstance(index, int) else tuple(index)
    if layer == "loss" and "loss" not in dict(model.named_modules()):
        return _explain_loss(model, x, place, target, loss)
    name = module_of(model, layer)
    with dropout_states(model, [name]) as states:
        captured = capture(model, x, [name], target is not None, target, loss, inputs=True)
    if layer not in captured:
        raise SettingError(f"Expected a layer of {', '.join(captured)}, received {layer!r}.")
    place = index_within(place, captured[layer], layer)
    module = choose_layers(model, [name])[name]
    incoming = None
    if target is not None:
        gradient = captured.gradients.get(layer)
        incoming = 0.0 if gradient is None else float(gradient[place])
    call = call_of(module, captured, layer, states.get(layer))
    where = _Where(name, layer, place, loss, captured.sources.get(layer) == "x")
    if call is None:
        return _unknown(module, captured, where, incoming)
    return _known(call, where, incoming)


@dataclass(frozen=True)
class _Where:
    """Which value is meant, and how to get at it in code."""

    name: str
    layer: str
    index: Index
    loss: Loss
    of_x: bool

    def forward(self, expression: str) -> list[str]:
        captured = f"labkit.activations.capture(model, x, [{self.name!r}], inputs=True)"
        given = "x" if self.of_x else f"{captured}.inputs[{self.layer!r}]"
        return [f"given = {given}", *self.module(expression), f"value = {expression}"]

    def module(self, expression: str) -> list[str]:
        layer = f"model.get_submodule({self.name!r})" if self.name != "model" else "model"
        return [f"layer = {layer}"] if "layer." in expression else []

    def backward(self, expression: str, learns: bool, parameters: Sequence[str]) -> list[str]:
        sources = [*(["given"] if learns else []), *(f"layer.{name}" for name in parameters)]
        lines = [
            f"captured = {_capture(f'[{self.name!r}], gradients=True', self.loss, 'inputs=True')}",
            f"given = captured.inputs[{self.layer!r}]{'.requires_grad_()' if learns else ''}",
            *self.module(expression),
            f"value = {expression}",
            f"incoming = {entry(f'captured.gradients[{self.layer!r}]', self.index)}",
        ]
        return (
            [*lines, f"outgoing = torch.autograd.grad(value, [{', '.join(sources)}], incoming)"] if sources else lines
        )


def _capture(options: str, loss: Loss, last: str = "") -> str:
    """The call of `capture` with a target, as code."""
    chosen = "" if loss is None else f"loss={loss!r}" if isinstance(loss, str) else "loss=loss"
    parts = ("model, x", options, "target=target", chosen, last)
    return f"labkit.activations.capture({', '.join(part for part in parts if part)})"


def _known(call: Call, where: _Where, incoming: float | None) -> Explanation:
    made = arithmetic_of(call, where.index)
    gradient = None
    if incoming is not None:
        one = torch.zeros_like(call.output)
        one[where.index] = 1
        to_input, to_parameters = backward(call, one)
        trained = [name for name in to_parameters if getattr(call.module, name).requires_grad]
        code = where.backward(made.code, to_input is not None, trained)
        gradient = _gradient(
            label(where.layer, where.index), incoming, _links(call, made, to_input, to_parameters), code
        )
    return _explanation(where.layer, where.index, type(call.module).__name__, made, where.forward(made.code), gradient)


def _links(
    call: Call, made: Arithmetic, to_input: Tensor | None, to_parameters: dict[str, Tensor]
) -> list[tuple[str, Index, str, float]]:
    """(of, index, label, local derivative) for everything that a value depends on."""
    norm = isinstance(call.module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm)
    symbols = {"weight": "γ", "bias": "β"} if norm else {"weight": "w", "bias": "b"}
    several = len({place[:1] for place in made.inputs}) > 1
    links = []
    if to_input is not None:
        for place in made.inputs:
            name = label("x", place if several else short(place, call.given))
            links.append(("input", place, name, float(to_input[place])))
    for of, place in made.parameters:
        links.append((of, place, label(symbols[of], place), float(to_parameters[of][place])))
    return links


def _gradient(
    name: str, incoming: float, links: Sequence[tuple[str, Index, str, float]], code: Sequence[str]
) -> ValueGradient:
    derivatives = tuple(Derivative(of, index, symbol, local, incoming * local) for of, index, symbol, local in links)
    lines = [f"∂L/∂{name} = {number(incoming)}, incoming"]
    groups = [[d for d in derivatives if (d.of == "input") == whether] for whether in (True, False)]
    for group in groups:
        largest = sorted(group, key=lambda d: -abs(d.local))[:SHOWN]
        for d in sorted(largest, key=group.index):
            lines.append(f"to {d.label}: {number(incoming)} · {number(d.local, within=True)} = {number(d.outgoing)}")
        if len(group) > SHOWN:
            lines.append(f"and {len(group) - SHOWN} more, with smaller derivatives")
    return ValueGradient(incoming, derivatives, "\n".join(lines), "\n".join(code))


def _explanation(
    layer: str, index: Index, kind: str, made: Arithmetic, code: Sequence[str], gradient: ValueGradient | None
) -> Explanation:
    value = math.fsum(term.product for term in made.terms)
    numbers = made.numbers or added([term.factors for term in made.terms])
    lines = [f"{label(layer, index)} = {made.formula}"]
    lines += [f"= {part}" for part in dict.fromkeys((numbers, number(value)))]
    lines += made.notes
    return Explanation(layer, index, kind, value, tuple(made.terms), "\n".join(lines), "\n".join(code), True, gradient)


def _explain_loss(model: nn.Module, x: Inputs, index: Index, target: Tensor | None, loss: Loss) -> Explanation:
    if target is None:
        raise SettingError('Expected a target to explain the loss. Give target= as well as layer="loss".')
    if index != ():
        raise SettingError(f"Expected the index () of the loss, which is one number, received {index}.")
    captured = capture(model, x, [], target=target, loss=loss)
    assert captured.loss is not None
    kind = known_loss(loss, captured.output, target)
    if kind is None:
        value = float(captured.loss)
        text = f"loss = {number(value)}\nThis loss is not one that is opened here (cross_entropy, mse)."
        code = f"value = {_capture('', loss)}.loss"
        gradient = ValueGradient(1.0, (), "∂L/∂L = 1", code)
        return Explanation("loss", (), "loss", value, (), text, code, False, gradient)
    output, wanted = precise(captured.output), precise(target)
    made = loss_arithmetic(kind, output, wanted)
    local = loss_backward(kind, output, wanted)
    links = [("input", place, label("ŷ", place), float(local[place])) for place in made.inputs]
    captured_code, value_code = "output = labkit.activations.capture(model, x).output", f"value = {made.code}"
    back = [f"{captured_code}.requires_grad_()", value_code, "outgoing = torch.autograd.grad(value, [output])"]
    return _explanation("loss", (), kind, made, [captured_code, value_code], _gradient("L", 1.0, links, back))


def _unknown(module: nn.Module, captured: Capture, where: _Where, incoming: float | None) -> Explanation:
    value = float(captured[where.layer][where.index])
    given = captured.inputs.get(where.layer.partition("[")[0], ())
    name, kind = label(where.layer, where.index), type(module).__name__
    lines = [f"{name} = {number(value)}", f"The arithmetic of {kind} is not opened here."]
    lines += [f"given: {_summary(part)}" for part in ((given,) if isinstance(given, Tensor) else given)]
    lines.append(f"gave: {_summary(captured[where.layer])}")
    shown = f"[{where.name!r}]"
    code = f"value = {entry(f'labkit.activations.capture(model, x, {shown})[{where.layer!r}]', where.index)}"
    gradient = None
    if incoming is not None:
        text = f"∂L/∂{name} = {number(incoming)}, as autograd gives it"
        captured_code = f"captured = {_capture(f'{shown}, gradients=True', where.loss)}"
        incoming_code = f"incoming = {entry(f'captured.gradients[{where.layer!r}]', where.index)}"
        gradient = ValueGradient(incoming, (), text, f"{captured_code}\n{incoming_code}")
    return Explanation(where.layer, where.index, kind, value, (), "\n".join(lines), code, False, gradient)


def _summary(value: Tensor) -> str:
    values = value.double()
    return f"shape {tuple(value.shape)}, from {number(float(values.min()))} to {number(float(values.max()))}"
