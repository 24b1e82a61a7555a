"""What an attribution method is, and what it is asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Request:
    """One batch for one method.

    model: gives the scores (n, outputs), as a tensor, less those of the output to explain against; it is in evaluation
    mode, and its parameters take no gradients. net: the model as it was brought, for the names of its layers.
    x: (n, ...), a leaf that takes gradients; baseline: like x; target: (n,). rows: how many rows a forward
    pass should take at most.
    `generator()` starts anew from the seed each time, so that what is drawn does not depend on the batch's division.
    `progress(done, of)` is called by methods of many passes; what it raises ends the method.
    `note(sentence)` is called with what to doubt in the values.
    """

    model: nn.Module
    net: nn.Module
    x: Tensor
    target: Tensor
    layer: str | None
    baseline: Tensor
    seed: int
    rows: int
    options: Mapping[str, Any]
    progress: Callable[[int, int], None]
    note: Callable[[str], None]

    def generator(self) -> torch.Generator:
        """On the CPU, so that every device sees the same draws."""
        return torch.Generator().manual_seed(self.seed)


@dataclass(frozen=True)
class Method:
    """One way to attribute: `compute(request)` gives a tensor like x.

    formula: one line. assumes: what it takes for granted, one sentence. family: "gradient", "path", "rule", "cam",
    "perturbation" or "control". signed: whether values below zero speak against the target. layer, baseline, random:
    whether it depends on a layer, a baseline, the seed. slow: whether it needs far more passes than a training step.
    pictures: whether it takes (n, channels, height, width) only. options: name -> usual value.
    guard: raises UnsuitableError, or notes what to doubt, before anything is computed: a forward pass at most.
    """

    compute: Callable[[Request], Tensor]
    formula: str
    source: str
    assumes: str
    family: str
    signed: bool = True
    layer: bool = False
    baseline: bool = False
    random: bool = False
    slow: bool = False
    pictures: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    guard: Callable[[Request], None] | None = None
