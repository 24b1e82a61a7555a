"""Running somebody's model up to a layer, and leaving it as it was."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from labkit.activations.capture import choose_layers, random_numbers_given_back
from labkit.activations.outputs import as_maps, main_tensor
from labkit.device import one_core_spared
from labkit.errors import DataError, SettingError

# Activations whose gradient can be exactly zero for every place of a channel.
RECTIFIERS = (nn.ReLU, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Threshold)


class _Reached(BaseException):
    """The layer has given its output; what comes after it is not needed. No model's `except Exception` stops it."""


class Borrowed:
    """A model in evaluation mode, of which `maps` reads one layer; made by `borrowed`.

    Its parameters take no gradients here, and what it writes into its buffers is thrown away.
    """

    def __init__(self, model: nn.Module, layer: str) -> None:
        self.model, self.layer = model, layer
        self.module, self.call = find_layer(model, layer)
        # Copies with the channels last in memory: convolutions and poolings of small pictures are a quarter faster so.
        self._parameters = {name: _channels_last(value.detach().clone()) for name, value in model.named_parameters()}
        self._buffers = dict(model.named_buffers())

    def maps(self, x: Tensor, redirected: bool = False) -> Tensor:
        """The layer's output on a batch of square pictures, (n, channels, height, width); nothing after it runs.

        redirected: see `redirected_gradients`.
        Errors: DataError for pictures that the model does not take, SettingError where the layer is not called.
        """
        found: list[Any] = []
        calls = 0

        def reached(_: nn.Module, __: object, output: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == self.call:
                found.append(output)
                raise _Reached

        handles: list[torch.utils.hooks.RemovableHandle] = []
        try:
            if redirected:
                handles += [hook for module in self.model.modules() for hook in redirected_gradients(module)]
            handles.append(self.module.register_forward_hook(reached))  # the last: no hook runs after it
            with suppress(_Reached):
                self._run(x)
        finally:
            for handle in handles:
                handle.remove()
        if not found:
            raise SettingError(f"Expected a layer that the model calls, received {self.layer!r}, which it does not.")
        return as_maps(main_tensor(found[0], self.layer), self.module, self.layer)

    def _run(self, x: Tensor) -> None:
        state = self._parameters | {name: value.clone() for name, value in self._buffers.items()}
        try:
            torch.func.functional_call(self.model, state, (_channels_last(x),))
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError) as error:
            raise DataError(
                f"Expected pictures that fit the model, received shape {tuple(x.shape)}: {error}. Pass `size` and "
                "`channels` as it takes them; a model of flat vectors needs nn.Flatten() in front."
            ) from error


@contextmanager
def borrowed(model: nn.Module, layer: str) -> Iterator[Borrowed]:
    """The model for one block, in evaluation mode. Modes and torch's random numbers are given back, errors or not."""
    training = [module for module in model.modules() if module.training]
    with (
        one_core_spared(),
        random_numbers_given_back(model.parameters()),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        model.eval()
        try:
            yield Borrowed(model, layer)
        finally:
            for module in training:
                module.training = True


def _channels_last(value: Tensor) -> Tensor:
    return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value


def find_layer(model: nn.Module, layer: str) -> tuple[nn.Module, int]:
    """The module of a layer and which of its calls is meant: 2 for "relu:2", as `activations.capture` names them.

    "model" is the model's own output. Errors: SettingError for a layer that is not there.
    """
    named = re.fullmatch(r"(.+):(\d+)", layer, flags=re.DOTALL)
    known = "model" if layer == "model" else layer
    call = 1
    if named and layer not in dict(model.named_modules(remove_duplicate=False)):
        known, call = named[1], int(named[2])
    return choose_layers(model, [known])[known], call


def redirected_gradients(module: nn.Module) -> list[torch.utils.hooks.RemovableHandle]:
    """Hooks that let the gradient through a rectifier wherever it stops all of it for a channel of an example.

    A unit that is silent at all places has no gradient, and a picture could never come to excite it (Olah et al. 2017,
    appendix; Lucid, `redirected_relu_grad`). Other modules get no hooks.
    """
    if not isinstance(module, RECTIFIERS):
        return []
    arrived: list[Tensor] = []

    # Two hooks on the tensors: the first is set before an operation in place could write over its input.
    def before(_: nn.Module, args: tuple[Any, ...]) -> None:
        if args[0].requires_grad:
            args[0].register_hook(_through(arrived))

    def after(_: nn.Module, __: object, output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(arrived.append)

    return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


def _through(arrived: list[Tensor]) -> Callable[[Tensor], Tensor]:
    def hook(gradient: Tensor) -> Tensor:
        # A module that is called twice goes backwards in the opposite order: the last that arrived belongs here.
        wanted = arrived.pop()
        places = tuple(range(2, gradient.ndim))
        stopped = gradient.abs().amax(places, keepdim=True) == 0 if places else gradient == 0
        return torch.where(stopped, wanted, gradient)

    return hook
