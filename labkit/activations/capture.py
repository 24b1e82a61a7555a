"""The values between the layers of any module, and the gradients of a loss with respect to them."""

import copy
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge
from torch.nn.utils.parametrize import is_parametrized

from labkit.activations.losses import Loss, loss_of
from labkit.errors import DataError, SettingError

Inputs = Tensor | tuple[Tensor, ...]


class Capture(dict[str, Tensor]):
    """{layer: its output}, in the order of the calls; every tensor is a detached copy of its own.

    output: what the model returned. loss: 0-d tensor, or None without a target.
    gradients: {layer: ∂loss/∂output}, like the output. input_gradient: like x (None for integers).
    parameter_gradients: {parameter: ∂loss/∂parameter}. What the loss does not depend on, and what is frozen, has no
        entry. Without gradients=True the two are empty and `input_gradient` is None.
    inputs: {layer: what it was given}: a tensor, or a tuple where a layer takes several; empty without inputs=True.
    sources: {layer: the layer whose output it was given as it is; "x" for the model's own input; None for the result of
        something else, such as an addition between two layers}; output_source: the same for the model's output. Both
        only with inputs=True.
    """

    output: Any
    output_source: str | None
    loss: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.inputs: dict[str, Inputs] = {}
        self.sources: dict[str, str | None] = {}
        self.gradients: dict[str, Tensor] = {}
        self.input_gradient: Tensor | tuple[Tensor | None, ...] | None = None
        self.parameter_gradients: dict[str, Tensor] = {}


def capture(
    model: nn.Module,
    x: Inputs,
    layers: Sequence[str] | None = None,
    gradients: bool = False,
    target: Tensor | None = None,
    loss: Loss = None,
    inputs: bool = False,
) -> Capture:
    """Run `model` on a batch once and keep what every layer gave.

    x: a tensor (n, ...), or a tuple of them for a model that takes several. layers: names of modules; by default all
        that have no children. A second call of the same module is named "relu:2"; the parts of a tuple or dict
        "lstm[0]", "lstm[1][0]", "encoder[hidden]"; a model that is one layer "model".
    target, loss: loss(output, target) -> scalar, or "cross_entropy" or "mse"; by default the first for integer targets.
    gradients: also the gradients of the loss with respect to outputs, the model's input and parameters.
    inputs: also what each layer was given, and by which.

    The model runs in the mode that it is in, and is left as it was, also after an error: modes, buffers, gradients and
    requires_grad; torch's random numbers too. Operations in place are seen as they were before them.
    Errors: SettingError for layers that are not there, gradients without a target or a loss that is not one number;
    DataError for inputs that the model does not take and targets that do not fit its output.
    """
    if gradients and target is None:
        raise SettingError("Expected a target with gradients=True: gradients are those of a loss.")
    if not isinstance(target, Tensor | None):
        raise DataError(f"Expected the target as a tensor, received {type(target).__name__}.")
    if torch.is_inference_mode_enabled():
        with torch.inference_mode(False):
            return capture(model, x, layers, gradients, target, loss, inputs)
    modules = dict(model.named_modules())
    chosen = (_leaves(modules) or {"model": model}) if layers is None else choose_layers(model, layers)
    given = _check_inputs(x)
    parameters, buffers = _held(modules)
    tensors = (*parameters.values(), *buffers.values(), *given)
    with torch.set_grad_enabled(gradients), random_numbers_given_back(tensors):
        recording = _Recording(given, gradients, inputs, alone=isinstance(x, Tensor))
        with recording.hooks(chosen):
            output = _run(model, buffers, recording.args)
        value = None if target is None else loss_of(output, target.clone(), loss)
        return recording.finish(parameters, output, value)


def choose_layers(model: nn.Module, layers: Sequence[str] | None = None) -> dict[str, nn.Module]:
    """{name: module} of the layers named, or of all modules without children."""
    if layers is None:
        return _leaves(dict(model.named_modules())) or {"model": model}
    names = [layers] if isinstance(layers, str) else list(layers)
    known = {"model": model} | dict(model.named_modules(remove_duplicate=False))
    unknown = [name for name in names if name not in known]
    if unknown:
        there = ", ".join(choose_layers(model))
        raise SettingError(f"Expected layers of {there}, received {', '.join(map(str, unknown))}.")
    return {name: known[name] for name in names}


def _leaves(modules: dict[str, nn.Module]) -> dict[str, nn.Module]:
    leaves: dict[str, nn.Module] = {}
    whole = ""  # the last layer that computes by itself though it has children, which are not called then
    for name, module in modules.items():
        if name and not (whole and name.startswith(whole)) and _is_leaf(module):
            leaves[name] = module
            whole = f"{name}."
    return leaves


def _held(modules: dict[str, nn.Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(parameters, buffers) of these modules by name, each once, without another two walks through the model."""
    parameters: dict[str, Tensor] = {}
    buffers: dict[str, Tensor] = {}
    seen: set[int] = set()
    for prefix, module in modules.items():
        for found, own in ((parameters, module._parameters), (buffers, module._buffers)):
            for name, tensor in own.items():
                if tensor is not None and id(tensor) not in seen:
                    seen.add(id(tensor))
                    found[f"{prefix}.{name}" if prefix else name] = tensor
    return parameters, buffers


def _is_leaf(module: nn.Module) -> bool:
    """A module that computes by itself: what MultiheadAttention and weight normalisation hold is not called."""
    children = any(child is not None for child in module._modules.values())
    return not children or isinstance(module, nn.MultiheadAttention) or is_parametrized(module)


def _check_inputs(x: Inputs) -> tuple[Tensor, ...]:
    given = (x,) if isinstance(x, Tensor) else x
    if not (isinstance(given, tuple | list) and given and all(isinstance(value, Tensor) for value in given)):
        raise DataError(f"Expected a tensor or a tuple of tensors, received {type(x).__name__}.")
    if any(value.numel() == 0 for value in given):
        raise DataError(f"Expected a batch with examples, received shape {_shapes(given)}.")
    return tuple(given)


def _run(model: nn.Module, buffers: dict[str, Tensor], args: tuple[Tensor, ...]) -> Any:
    """The model's output; what it writes into its buffers (BatchNorm's averages) is thrown away."""
    copies = {name: buffer.clone() for name, buffer in buffers.items()}
    try:
        return torch.func.functional_call(model, copies, args) if copies else model(*args)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise DataError(f"Expected inputs that fit the model, received shape {_shapes(args)}: {error}") from error


def _shapes(values: Sequence[Tensor]) -> str:
    return ", ".join(str(tuple(value.shape)) for value in values)


@contextmanager
def random_numbers_given_back(tensors: Iterable[Tensor]) -> Iterator[None]:
    """torch's generators, of the CPU and of the devices of these tensors, as they were."""
    if getattr(_THREAD, "draws_nothing", False):
        yield
        return
    others = {value.device for value in tensors if value.device.type != "cpu"}
    generators = [torch.default_generator, *map(generator_of, others)]
    before = [generator.get_state() for generator in generators]
    try:
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)


_THREAD = threading.local()


@contextmanager
def generators_left_alone() -> Iterator[None]:
    """In this thread `random_numbers_given_back` does nothing for as long as the block lasts.

    For models that draw nothing, run beside a thread that draws: giving back would take its draws back as well.
    """
    _THREAD.draws_nothing = True
    try:
        yield
    finally:
        _THREAD.draws_nothing = False


def generator_of(device: torch.device) -> torch.Generator:
    """The global generator that a layer on this device draws from."""
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index]
    return torch.mps._get_default_mps_generator() if device.type == "mps" else torch.default_generator


class _Recording:
    """What the hooks of one run write down, with the edges of the graph where gradients are to be read.

    An edge names the value as it was when the hook saw it, whatever is written over it later.
    """

    def __init__(self, given: tuple[Tensor, ...], gradients: bool, inputs: bool, alone: bool) -> None:
        self.capture = Capture()
        self._gradients = gradients
        self._inputs = inputs
        self._alone = alone
        self._running: list[tuple[tuple[Tensor, ...], list[str | None]]] = []
        self._edges: dict[str, GradientEdge | Tensor] = {}
        # {id of a tensor on its way: (itself, its version, whose output it is)}: tells what a layer was given.
        self._seen: dict[int, tuple[weakref.ref[Tensor], int, str]] = {}
        self._x: dict[str, Tensor] = {}
        self.args = tuple(self._take(value, i) for i, value in enumerate(given))

    def _take(self, value: Tensor, place: int) -> Tensor:
        """A copy of an input that the model may write into, hanging on a leaf for its gradient."""
        name = "x" if self._alone else f"x[{place}]"
        leaf = value.detach().clone()
        self._x[name] = leaf
        if self._gradients and _differentiable(leaf):
            leaf.requires_grad_()
            self._edges[name] = leaf
        working = leaf.clone()
        self._note(name, working)
        return working

    @contextmanager
    def hooks(self, chosen: dict[str, nn.Module]) -> Iterator[None]:
        handles, hooked = [], []
        try:
            for name, module in chosen.items():
                if self._inputs:
                    handles.append(module.register_forward_pre_hook(self._before, with_kwargs=True))
                # Put there by hand: the handles of register_forward_hook cost some 3 % of a small CNN's pass. Their
                # keys count up from 0, so ours are negative.
                hook = self._after(name)
                hooked.append((module._forward_hooks, -id(hook)))
                module._forward_hooks[-id(hook)] = hook
            yield
        finally:
            for handle in handles:
                handle.remove()
            for hooks, key in hooked:
                hooks.pop(key, None)

    def _before(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        sources = [self.source_of(value) for value in given]
        self._running.append((tuple(map(self._value, given, sources)), sources))

    def _after(self, layer: str) -> Callable[[nn.Module, object, Any], Any]:
        calls = 0

        def hook(_: nn.Module, __: object, output: Any) -> Any:
            nonlocal calls
            calls += 1
            name = layer if calls == 1 else f"{layer}:{calls}"
            if self._inputs:
                values, sources = self._running.pop()
                self.capture.inputs[name] = values[0] if len(values) == 1 else values
                self.capture.sources[name] = sources[0] if len(values) == 1 else None
            return self._keep(output, name) if isinstance(output, Tensor) else _replace(output, self._keep, name)

        return hook

    def _keep(self, value: Tensor, name: str) -> Tensor:
        """Copy an output, and give what goes on to the next layer."""
        self.capture[name] = value.detach().clone()
        if self._gradients and torch.is_grad_enabled():
            if value.requires_grad:
                # A layer may give a parameter itself, which has no edge.
                maker = value.grad_fn
                self._edges[name] = GradientEdge(maker, value.output_nr) if maker else value
                if value._is_view():  # written over in place, a view would lose its edge
                    value = value.clone()
            elif _differentiable(value):  # nothing before it learns: the graph begins here
                value = value.detach().requires_grad_()
                self._edges[name] = value
                value = value.clone()
        if self._inputs:
            self._note(name, value)
        return value

    def _note(self, name: str, value: Tensor) -> None:
        if self._inputs:
            self._seen[id(value)] = (weakref.ref(value), value._version, name)

    def source_of(self, value: Tensor) -> str | None:
        """The name of what gave this very tensor, unless it was written over since."""
        known, version, name = self._seen.get(id(value), (lambda: None, 0, ""))
        return name if known() is value and value._version == version else None

    def _value(self, given: Tensor, source: str | None) -> Tensor:
        if source is None:
            return given.detach().clone()
        return self._x[source].detach() if source in self._x else self.capture[source]

    def finish(self, parameters: dict[str, Tensor], output: Any, loss: Tensor | None) -> Capture:
        result = self.capture
        result.output = _replace(output, lambda value, _: value.detach())
        result.output_source = self.source_of(output) if self._inputs and isinstance(output, Tensor) else None
        result.loss = None if loss is None else loss.detach()
        if self._gradients and loss is not None and loss.requires_grad:
            self._differentiate(parameters, loss)
        return result

    def _differentiate(self, parameters: dict[str, Tensor], loss: Tensor) -> None:
        parameters = {name: value for name, value in parameters.items() if value.requires_grad}
        sought: list[Any] = [*self._edges.values(), *parameters.values()]
        found = torch.autograd.grad(loss, sought, allow_unused=True)
        edges = len(self._edges)
        outputs = dict(zip(self._edges, found[:edges], strict=True))
        inputs = tuple(outputs.pop(name, None) for name in self._x)
        self.capture.input_gradient = inputs[0] if self._alone else inputs
        self.capture.gradients = {name: value for name, value in outputs.items() if value is not None}
        self.capture.parameter_gradients = {
            name: value for name, value in zip(parameters, found[edges:], strict=True) if value is not None
        }


def _differentiable(value: Tensor) -> bool:
    return value.is_floating_point() or value.is_complex()


def _replace(value: Any, change: Callable[[Tensor, str], Tensor], name: str = "") -> Any:
    """`change(tensor, its name)` for every tensor in tuples, lists and dicts; what does not change stays the object."""
    if isinstance(value, Tensor):
        return change(value, name)
    if isinstance(value, dict):
        changed = {key: _replace(part, change, f"{name}[{key}]") for key, part in value.items()}
        if all(changed[key] is part for key, part in value.items()):
            return value
        twin = copy.copy(value)
        for key, part in changed.items():  # `update` is forbidden to the outputs of transformers
            twin[key] = part
        return twin
    if isinstance(value, tuple | list):
        parts = [_replace(part, change, f"{name}[{i}]") for i, part in enumerate(value)]
        if all(new is old for new, old in zip(parts, value, strict=True)):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value
