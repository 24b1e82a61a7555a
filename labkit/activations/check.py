"""One entry of a gradient, found in three ways that share nothing: autograd, the chain rule, a finite difference."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from labkit.activations.calls import call_of, dropout_states, index_within, module_of, precise
from labkit.activations.capture import Capture, capture, choose_layers
from labkit.activations.chain import Call, backward
from labkit.activations.loss_rules import known_loss, loss_backward
from labkit.activations.losses import Loss
from labkit.activations.words import label
from labkit.errors import DataError, SettingError

# Central differences in float64 are exact to about 1e-9 of the loss's size.
RELATIVE, ABSOLUTE = 1e-6, 1e-8


@dataclass(frozen=True)
class GradientCheck:
    """∂loss/∂entry by autograd, by the chain rule in closed form and by a central difference, all in float64.

    chain_rule: None where no layer that is opened uses the entry. borrowed: where the chain rule had to take autograd's
    gradient, because of a layer or loss that is not opened; empty if it went all the way from the loss by itself.
    slopes: the one-sided differences, below and above; step: the h of all differences.
    """

    name: str
    autograd: float
    chain_rule: float | None
    finite_difference: float
    borrowed: str
    slopes: tuple[float, float]
    step: float

    @property
    def agrees(self) -> bool:
        """Whether all are equal, to 1e-6 of their size."""
        chain = self.autograd if self.chain_rule is None else self.chain_rule
        return _equal(chain, self.autograd) and _equal(self.finite_difference, self.autograd)

    @property
    def at_a_kink(self) -> bool:
        """Whether the loss bends within the step, so that its difference is no derivative."""
        below, above = self.slopes
        bent = abs(above - below) > 1e-3 * max(abs(above), abs(below))
        return bent and not _equal(self.finite_difference, self.autograd)

    @property
    def text(self) -> str:
        chain = "not to be had here" if self.chain_rule is None else _shown(self.chain_rule)
        lines = [
            f"∂L/∂{self.name}",
            f"autograd           {_shown(self.autograd)}",
            f"chain rule         {chain}",
            f"finite difference  {_shown(self.finite_difference)}  (L(+h) − L(−h)) / 2h, h = {self.step:g}",
        ]
        lines += [self.borrowed] if self.borrowed else []
        lines.append("They agree." if self.agrees else "They differ.")
        if self.at_a_kink:
            lines.append(
                "The loss bends within ±h (a ReLU or a maximum switches): a difference is no derivative there."
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text


def _equal(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def _shown(value: float) -> str:
    return f"{value: .9g}".replace("-", "\N{MINUS SIGN}", 1) if value < 0 else f"{value: .9g}"


def check_gradient(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    parameter: str,
    index: int | Sequence[int],
    loss: Loss = None,
    step: float = 1e-5,
) -> GradientCheck:
    """∂loss/∂parameter[index] in three ways, in the mode that the model is in.

    parameter: a name of `model.named_parameters()`, or "input" for an entry of x. loss: as `capture` takes it.
    step: of the difference, times the entry's size where that is above 1. All runs draw the same random numbers. The
    model itself is not touched: a copy in float64 is. Errors: SettingError for a parameter or index that is not there.
    """
    if not (isinstance(step, float) and 0 < step < 1):
        raise SettingError(f"Expected a step between 0 and 1, received {step!r}.")
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        raise DataError(f"Expected x and y as tensors, received {type(x).__name__} and {type(y).__name__}.")
    twin, loss = _in_float64(model), _in_float64(loss) if isinstance(loss, nn.Module) else loss
    x, y = (_like_parameters(value, twin) for value in (x, y))
    entries = _entries(twin, x, parameter)
    place = index_within((index,) if isinstance(index, int) else tuple(index), entries, parameter)
    with dropout_states(twin, list(choose_layers(twin))) as states:
        captured = capture(twin, x, None, True, y, loss, inputs=True)
    found = captured.input_gradient if parameter == "input" else captured.parameter_gradients.get(parameter)
    chain, borrowed = _by_chain_rule(twin, captured, states, loss, y, parameter)
    entry = entries.detach()[place]
    size = step * max(1.0, abs(float(entry)))
    below, here, above = (_moved(twin, x, y, loss, entry, by) for by in (-size, 0.0, size))
    return GradientCheck(
        label(parameter, place),
        float(found[place]) if isinstance(found, Tensor) else 0.0,
        None if chain is None else float(chain[place]),
        (above - below) / (2 * size),
        borrowed,
        ((here - below) / size, (above - here) / size),
        size,
    )


def _in_float64(model: nn.Module) -> nn.Module:
    """A copy in float64, on the CPU where the device has no such numbers."""
    twin = copy.deepcopy(model)
    if any(value.device.type == "mps" for value in twin.parameters()):
        twin = twin.cpu()
    return twin.double()


def _like_parameters(value: Tensor, twin: nn.Module) -> Tensor:
    value = value.detach().clone().to(next(twin.parameters(), value).device)
    return value.double() if value.is_floating_point() else value


def _entries(model: nn.Module, x: Tensor, parameter: str) -> Tensor:
    """The tensor that is moved: a parameter, which must learn for autograd to see it, or the input."""
    if parameter == "input":
        if not x.is_floating_point():
            raise SettingError(f"Expected inputs that can be moved a little, received {x.dtype}.")
        return x
    parameters = dict(model.named_parameters())
    if parameter not in parameters:
        raise SettingError(f"Expected a parameter of {', '.join(parameters)} or input, received {parameter!r}.")
    return parameters[parameter].requires_grad_()


def _moved(model: nn.Module, x: Tensor, y: Tensor, loss: Loss, entry: Tensor, by: float) -> float:
    """The loss with one entry (a view of a parameter or of x) moved."""
    before = entry.clone()
    entry += by
    try:
        value = capture(model, x, [], target=y, loss=loss).loss
    finally:
        entry.copy_(before)
    assert value is not None
    return float(value)


def _by_chain_rule(
    model: nn.Module, captured: Capture, states: dict[str, Tensor], loss: Loss, y: Tensor, parameter: str
) -> tuple[Tensor | None, str]:
    """(∂loss/∂parameter, where autograd's gradient was taken instead, in words): back from the loss, call by call.

    The way goes on as long as each layer was given the very output of another; what it passes is then complete.
    """
    modules = {name: choose_layers(model).get(module_of(model, name)) for name in captured}
    uses = _uses(model, modules, parameter)
    borrowed: list[str] = []
    name, outgoing = captured.output_source, _loss_gradient(captured, loss, y, borrowed)
    found: list[Tensor] = []
    while name is not None and name in captured and (uses or parameter == "input"):
        source = captured.sources.get(name)
        call = _call(modules[name], captured, name, states)
        if call is not None and outgoing is not None:
            outgoing, gradients = backward(call, outgoing)
            found += [gradients[key] for key in uses.pop(name, [])]
        elif source in captured and name not in uses:
            outgoing = _borrow(captured, source, borrowed)
        else:
            outgoing = None
            break
        name = source
    if parameter == "input":
        return outgoing if name == "x" else None, _in_words(borrowed)
    for name, keys in uses.items():  # off that way: before an addition of layers, or a function
        call, incoming = _call(modules[name], captured, name, states), _borrow(captured, name, borrowed)
        if call is None:
            return None, ""
        if incoming is not None:
            gradients = backward(call, incoming)[1]
            found += [gradients[key] for key in keys]
    return (sum(found[1:], found[0]) if found else None), _in_words(borrowed)


def _uses(model: nn.Module, modules: dict[str, nn.Module | None], parameter: str) -> dict[str, list[str]]:
    """{call: the layer's own names of this parameter}; tied layers share one."""
    wanted = dict(model.named_parameters()).get(parameter)
    found = {}
    for call, module in modules.items():
        own = [] if module is None else module.named_parameters(recurse=False)
        names = [name for name, value in own if value is wanted]
        if names:
            found[call] = names
    return found


def _call(module: nn.Module | None, captured: Capture, name: str, states: dict[str, Tensor]) -> Call | None:
    return None if module is None else call_of(module, captured, name, states.get(name))


def _loss_gradient(captured: Capture, loss: Loss, y: Tensor, borrowed: list[str]) -> Tensor | None:
    kind = known_loss(loss, captured.output, y)
    if kind is None:
        return _borrow(captured, captured.output_source, borrowed)
    return loss_backward(kind, precise(captured.output), precise(y))


def _borrow(captured: Capture, name: str | None, borrowed: list[str]) -> Tensor | None:
    """Autograd's gradient at the output of a layer."""
    gradient = captured.gradients.get(name or "")
    if gradient is None:
        return None
    borrowed.append(str(name))
    return precise(gradient)


def _in_words(borrowed: list[str]) -> str:
    if not borrowed:
        return ""
    return f"What follows {' and '.join(borrowed)} is not opened: autograd's gradient there is taken."
