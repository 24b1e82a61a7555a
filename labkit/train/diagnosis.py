"""What went wrong in a step: where the first NaN arose, and which batch would have fitted."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def first_nonfinite(model: nn.Module, inputs: Tensor) -> str:
    """In words, where a forward pass on `inputs` first meets NaN or infinity: inputs, a layer's weights, its output."""
    if not torch.isfinite(inputs).all():
        return "the inputs of the batch"
    found: list[str] = []

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, _: object, output: object) -> None:
            if found:
                return
            bad = [key for key, value in module.named_parameters(recurse=False) if not _finite(value)]
            if bad:
                found.append(f"layer {name} ({type(module).__name__}), whose {bad[0]} is no longer finite")
            elif not _finite(output):
                found.append(f"the output of layer {name} ({type(module).__name__})")

        return hook

    handles = [
        module.register_forward_hook(watch(name or "model"))
        for name, module in model.named_modules()
        if not any(module.children())
    ]
    try:
        with torch.no_grad():
            output = model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    if found:
        return found[0]
    return "the loss" if _finite(output) else "the model's output"


def _finite(value: object) -> bool:
    if isinstance(value, Tensor):
        return bool(torch.isfinite(value).all()) if value.is_floating_point() else True
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    return True


def batch_that_fits(model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, targets: Tensor) -> int:
    """The largest halving of a batch whose forward and backward pass fit in memory; 0 where none does.

    Leaves gradients behind (the caller clears them) and the buffers as they were.
    """
    buffers = [buffer.clone() for buffer in model.buffers()]
    size = len(inputs) // 2
    try:
        while size:
            model.zero_grad()
            if inputs.is_cuda:
                torch.cuda.empty_cache()
            try:
                loss(inputs[:size], targets[:size]).backward()
            except torch.OutOfMemoryError:
                size //= 2
            else:
                break
    finally:
        for buffer, value in zip(model.buffers(), buffers, strict=True):
            buffer.copy_(value)
    return size
