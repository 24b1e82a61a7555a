"""Layers read in one pass over a data set of any size: what each gives is seen as it is reached, and not kept."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from labkit.activations.capture import random_numbers_given_back
from labkit.activations.outputs import as_maps, main_tensor
from labkit.errors import DataError, SettingError
from labkit.features.running import find_layer

BATCH_SIZE = 64

Reader = Callable[[str, Tensor], None]


def read_maps(output: Any, module: nn.Module, layer: str) -> Tensor:
    """A layer's output as (n, units, height, width)."""
    return as_maps(main_tensor(output, layer), module, layer)


def batches(ds: Any, batch_size: int = BATCH_SIZE) -> Iterator[Tensor]:
    """The inputs of a data set, in order: a labkit Dataset, or anything with len() whose items are x or (x, ...)."""
    inputs = getattr(ds, "inputs", None)
    if len(ds) == 0:
        raise DataError("Expected a data set with examples, received an empty one.")
    for start in range(0, len(ds), batch_size):
        stop = min(start + batch_size, len(ds))
        if isinstance(inputs, Tensor):
            yield inputs[start:stop]
        else:
            yield torch.stack([input_of(ds, i) for i in range(start, stop)])


def input_of(ds: Any, i: int) -> Tensor:
    """The input of example i of a data set, a tensor without a batch."""
    item = ds[i]
    x = item[0] if isinstance(item, tuple | list) else item
    if not isinstance(x, Tensor):
        raise DataError(f"Expected examples of x or (x, ...) with a tensor x, received {type(x).__name__}.")
    return x


@contextmanager
def reading(model: nn.Module, layers: Sequence[str], reader: Reader) -> Iterator[Callable[[Tensor], Any]]:
    """run(x) -> the model's output, in evaluation mode and without gradients, for as long as the block lasts.

    `reader(layer, maps)` is called as each layer is reached, with its output as (n, units, height, width), which a
    later layer may write over. The model's hooks and modes and torch's random numbers are given back, after errors too.
    Errors: SettingError for layers that are not there, or that the pass does not call; DataError for inputs that do not
    fit the model.
    """
    wanted: dict[nn.Module, dict[int, str]] = {}
    for layer in layers:
        module, call = find_layer(model, layer)
        wanted.setdefault(module, {})[call] = layer
    calls: dict[nn.Module, int] = {}
    reached: set[str] = set()

    def hook(module: nn.Module, _: object, output: Any) -> None:
        calls[module] = calls.get(module, 0) + 1
        layer = wanted[module].get(calls[module])
        if layer is not None:
            reached.add(layer)
            reader(layer, read_maps(output, module, layer))

    def run(x: Tensor) -> Any:
        calls.clear()
        try:
            output = model(x)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise DataError(f"Expected inputs that fit the model, received shape {tuple(x.shape)}: {error}") from error
        if missing := [layer for layer in layers if layer not in reached]:
            raise SettingError(
                f"Expected layers that the model calls, received {', '.join(missing)}, which it does not."
            )
        return output

    training = [module for module in model.modules() if module.training]
    handles = []
    try:
        with random_numbers_given_back(model.parameters()), torch.inference_mode(False), torch.no_grad():
            handles += [module.register_forward_hook(hook) for module in wanted]
            model.eval()
            yield run
    finally:
        for handle in handles:
            handle.remove()
        for module in training:
            module.training = True


def layer_names(layers: str | Sequence[str]) -> list[str]:
    """One name or several, as a list; SettingError for none."""
    names = [layers] if isinstance(layers, str) else list(dict.fromkeys(layers))
    if not names:
        raise SettingError("Expected at least one layer, received none.")
    return names
