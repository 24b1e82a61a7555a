"""A captured call of a layer, made ready for the rules: its module, its input in float64, what its dropout drew."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from labkit.activations.capture import Capture, choose_layers, generator_of, random_numbers_given_back
from labkit.activations.chain import Call, known_kind
from labkit.errors import SettingError

Index = tuple[int, ...]


def module_of(model: nn.Module, layer: str) -> str:
    """The module's name in the name of a call: "lstm" of "lstm:2[0]"."""
    if layer in dict(model.named_modules()):
        return layer
    return re.sub(r"(:\d+)?(\[.*\])?$", "", layer, flags=re.DOTALL)


def index_within(index: Index, values: Tensor, layer: str) -> Index:
    shape = tuple(values.shape)
    fits = len(index) == len(shape) and all(
        isinstance(i, int) and -length <= i < length for i, length in zip(index, shape, strict=True)
    )
    if not fits:
        raise SettingError(f"Expected an index into {layer}, whose shape is {shape}, received {index}.")
    return tuple(i % length for i, length in zip(index, shape, strict=True))


@contextmanager
def dropout_states(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """{call, named as `capture` does: the generator's state before it} of the dropout layers named that drop now."""
    found: dict[str, Tensor] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        calls = count(1)

        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            call = next(calls)
            found[name if call == 1 else f"{name}:{call}"] = generator_of(args[0].device).get_state()

        return hook

    chosen = [(name, module) for name, module in choose_layers(model, names).items() if isinstance(module, nn.Dropout)]
    handles = [module.register_forward_pre_hook(watch(name)) for name, module in chosen if module.training]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def call_of(module: nn.Module, captured: Capture, layer: str, state: Tensor | None = None) -> Call | None:
    """What the rules need of a captured call; None where the layer's kind is not known."""
    given = captured.inputs.get(layer)
    if layer not in captured or known_kind(module, given) is None:
        return None
    assert isinstance(given, Tensor)
    kept = None if state is None else precise(_kept(module, given, state))
    return Call(module, precise(given), precise(captured[layer]), kept)


def _kept(module: Any, given: Tensor, state: Tensor) -> Tensor:
    """What a dropout multiplied by: the same draw again, on ones."""
    with torch.no_grad(), random_numbers_given_back([given]):
        generator_of(given.device).set_state(state)
        return nn.functional.dropout(torch.ones_like(given), module.p)


def precise(value: Tensor) -> Tensor:
    value = value.detach().cpu()
    return value.double() if value.is_floating_point() else value
