"""How many rows a forward and backward pass should take: as many as are fast, and fit."""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from labkit.device import free_memory

MB = 1 << 20
# On a CPU passes are fastest while what they keep for the way back stays near the size of the caches: a TinyVGG on
# 64 x 64 pictures (2.7 MB a row) takes 3.3 ms a row with 8 to 50 rows, 4.2 with 100; an 8 x 8 LeNet (a few KB) gains up
# to some hundred rows.
FAST = 64 * MB
MOST = 400
# Of larger models a few rows at once are still faster than one; as long as they fit into this.
FEW = 8
BUDGET = 1024 * MB

_bytes: WeakKeyDictionary[nn.Module, dict[tuple[object, ...], int]] = WeakKeyDictionary()


def rows_for(net: nn.Module, model: nn.Module, x: Tensor) -> int:
    """For a batch like `x`, of `net` as `model` runs it. The first time an example is run; later it is remembered."""
    known = _bytes.setdefault(net, {})
    kind = (x.shape[1:], x.dtype, x.device)
    if kind not in known:
        known[kind] = row_bytes(model, x)
    memory = free_memory(x.device)
    if memory is not None:  # what is free on a GPU, half of it: the methods keep tensors of their own
        return max(1, min(MOST, memory[0] // 2 // known[kind]))
    return max(1, min(MOST, max(FAST // known[kind], min(FEW, BUDGET // known[kind]))))


def row_bytes(model: nn.Module, x: Tensor) -> int:
    """What a forward pass keeps of one example for the way back, its input counted too."""
    held = {value.untyped_storage().data_ptr() for value in (*model.parameters(), *model.buffers())}
    total = 0

    def keep(value: Tensor) -> Tensor:
        nonlocal total
        storage = value.untyped_storage()
        if storage.data_ptr() not in held:
            held.add(storage.data_ptr())
            total += storage.nbytes()
        return value

    row = x[:1].detach().clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        model(row)
    return total + row.nbytes
