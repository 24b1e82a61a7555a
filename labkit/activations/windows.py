"""Which input values a convolution or pooling layer looks at for one output value.

A layer along one side (Conv1d) is treated as one with two sides whose first is 1.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def sides(module: nn.Module) -> int:
    return 1 if isinstance(module, nn.Conv1d | nn.MaxPool1d | nn.AvgPool1d) else 2


def pair(module: Any, option: str) -> tuple[int, int]:
    """kernel_size, stride, padding or dilation as (vertical, horizontal)."""
    value = getattr(module, option)
    if isinstance(value, int):
        value = (value,) * sides(module)
    return (value[0], value[1]) if len(value) == 2 else (0 if option == "padding" else 1, value[0])


def padding_of(module: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """What a convolution adds (above, to the left), (below, to the right); "same" adds the odd one after."""
    if module.padding == "valid":
        return (0, 0), (0, 0)
    if module.padding == "same":
        total = [d * (k - 1) for d, k in zip(pair(module, "dilation"), pair(module, "kernel_size"), strict=True)]
        before = (total[0] // 2, total[1] // 2)
        return before, (total[0] - before[0], total[1] - before[1])
    return pair(module, "padding"), pair(module, "padding")


def spans(module: Any, position: Sequence[int], lengths: Sequence[int]) -> list[tuple[slice, slice]]:
    """For each side, (slice of the input, slice of the kernel) of what the window at an output position sees inside.

    position, lengths: of the output position and of the input, vertical and horizontal.
    """
    dilation = (1, 1) if isinstance(module, nn.AvgPool1d | nn.AvgPool2d) else pair(module, "dilation")
    before = padding_of(module)[0]
    found = []
    for side, (kernel, stride) in enumerate(zip(pair(module, "kernel_size"), pair(module, "stride"), strict=True)):
        start, step = position[side] * stride - before[side], dilation[side]
        inside = [k for k in range(kernel) if 0 <= start + k * step < lengths[side]]
        first, last = (inside[0], inside[-1]) if inside else (0, -1)
        places = slice(start + first * step, start + last * step + 1 if inside else start, step)
        found.append((places, slice(first, last + 1)))
    return found


def averages(module: Any, given: Sequence[int], output: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """An average pooling as matrices: (rows, columns, counts), so that output = rows · input · columnsᵀ / counts.

    rows (output height, height), columns (output width, width): 1 where a window reaches; counts like one output.
    """
    heights = (1, *given[2:]) if len(given) == 3 else given[2:]
    wanted = (1, *output[2:]) if len(output) == 3 else output[2:]
    members, sizes = [], []
    for side in range(2):
        inside, size = _side(module, side, heights[side], wanted[side])
        members.append(inside)
        sizes.append(size)
    counts = torch.outer(sizes[0], sizes[1])
    if getattr(module, "divisor_override", None):
        counts = torch.full_like(counts, module.divisor_override)
    return members[0], members[1], counts


def _side(module: Any, side: int, length: int, windows: int) -> tuple[Tensor, Tensor]:
    """(0 or 1 for each window and place, how many places each window counts)."""
    inside = torch.zeros(windows, length, dtype=torch.double)
    size = torch.zeros(windows, dtype=torch.double)
    for i in range(windows):
        if isinstance(module, nn.AdaptiveAvgPool2d):
            start, end = i * length // windows, -(-(i + 1) * length // windows)
            full = end - start
        else:
            padding = pair(module, "padding")[side]
            start = i * pair(module, "stride")[side] - padding
            end = min(start + pair(module, "kernel_size")[side], length + padding)
            full = end - start if module.count_include_pad else min(end, length) - max(start, 0)
        inside[i, max(start, 0) : end] = 1
        size[i] = full
    return inside, size
