"""Which layer feeds which, found by running the model: also through additions and functions between the layers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from labkit.activations.capture import Inputs, capture, choose_layers

Origins = dict[str, tuple[str, ...]]

# What leaves the values as they are is not worth a word.
_SILENT = {"clone", "contiguous", "detach", "float", "to", "type", "view_as"}


@dataclass(frozen=True)
class Link:
    """source: a layer as `capture` names it, or "x"; target: one, or None for the model's output.

    through: the operations between the two that no layer does, in their order, such as ("add",) or ("relu", "flatten").
    """

    source: str
    target: str | None
    through: tuple[str, ...] = ()


def links(model: nn.Module, x: Inputs) -> list[Link]:
    """What each layer that `model` calls on `x` is given, and by which layers; in the order of the calls.

    A value that is made from several (the addition of a residual connection, a concatenation) links to each of them.
    The model runs once, in the mode that it is in, and is left as it was. Errors: those of `capture`.
    """
    chosen = choose_layers(model)
    given = (x,) if isinstance(x, Tensor) else tuple(x)
    origins = _Origins()
    for place, value in enumerate(given):
        origins.set(value, {"x" if len(given) == 1 else f"x[{place}]": ()})
    found: list[Link] = []
    with origins, _hooks(chosen, origins, found):
        captured = capture(model, x, [])
    for value in _tensors(captured.output):
        found += [Link(source, None, through) for source, through in origins.of(value).items()]
    return list(dict.fromkeys(found))


class _Origins(TorchFunctionMode):
    """For each tensor on its way the layers that it was made from, and by which operations."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, tuple[Tensor, Origins]] = {}  # the tensor is kept, so that no other takes its id

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        merged: Origins = {}
        for value in _tensors((args, kwargs)):
            for source, through in self.of(value).items():
                if source not in merged or len(through) < len(merged[source]):
                    merged[source] = through
        name = getattr(func, "__name__", "").strip("_")
        word = () if name in _SILENT or name == "get" or not name else (name,)
        if merged:
            for value in _tensors(result):
                self.set(value, {source: through + word for source, through in merged.items()})
        return result

    def of(self, value: Tensor) -> Origins:
        return self._known.get(id(value), (value, {}))[1]

    def set(self, value: Tensor, origins: Origins) -> None:
        self._known[id(value)] = (value, origins)


@contextmanager
def _hooks(chosen: dict[str, nn.Module], origins: _Origins, found: list[Link]) -> Iterator[None]:
    calls: dict[str, int] = {}
    given: list[list[Tensor]] = []

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given.append(list(_tensors((args, kwargs))))

    def after(layer: str) -> Callable[..., Any]:
        def hook(_: nn.Module, __: object, output: Any) -> Any:
            calls[layer] = calls.get(layer, 0) + 1
            name = layer if calls[layer] == 1 else f"{layer}:{calls[layer]}"
            inputs = given.pop()
            for value in inputs:
                found.extend(Link(source, name, through) for source, through in origins.of(value).items())
            if any(output is value for value in inputs):  # an identity: what comes out is told from what went in
                output = output.view_as(output)
            for value in _tensors(output):
                origins.set(value, {name: ()})
            return output

        return hook

    handles = []
    try:
        for name, module in chosen.items():
            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(module.register_forward_hook(after(name)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
