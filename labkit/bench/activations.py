"""Reading every layer against the bare forward and backward pass."""

import torch
from torch import nn

from labkit import data, device
from labkit.activations import capture
from labkit.bench.training import BATCH_SIZE, ratios, small_cnn


def capture_cnn() -> list[float]:
    """`capture` of all layers with gradients over forward and backward to the same gradients (parameters and input).

    A small CNN, a batch of digits, one thread.
    """
    return capture_ratios(small_cnn())


def capture_ratios(model: nn.Module, rounds: int = 51, passes: int = 20) -> list[float]:
    train, _ = data.digits().split()
    x, target = train.inputs[:BATCH_SIZE], train.targets[:BATCH_SIZE]
    leaf = x.clone().requires_grad_()

    def ours() -> None:
        for _ in range(passes):
            capture(model, x, gradients=True, target=target)

    def bare() -> None:
        for _ in range(passes):
            model.zero_grad()
            leaf.grad = None
            nn.functional.cross_entropy(model(leaf), target).backward()

    with device.threads(1), torch.enable_grad():
        return ratios(ours, bare, rounds)
