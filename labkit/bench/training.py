"""The trainer against the loop that everybody writes: DataLoader, zero_grad, backward, step, loss.item()."""

import time
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from labkit import data, device
from labkit.models import MLP, LeNet
from labkit.train import Trainer

BATCH_SIZE = 64


def small_cnn() -> nn.Module:
    return LeNet()


def small_mlp() -> nn.Module:
    return MLP((1, 8, 8), 10, widths=(64, 32))


def loop_cnn() -> list[float]:
    return loop_ratios(small_cnn)


def loop_mlp() -> list[float]:
    return loop_ratios(small_mlp)


def loop_ratios(make: Callable[[], nn.Module], rounds: int = 51, epochs: int = 2) -> list[float]:
    """Trainer's time over the plain loop's, a pair a round: digits, Adam, batches of 64, the same number of threads."""
    train, _ = data.digits().split()
    trainer = Trainer(make(), train, batch_size=BATCH_SIZE, device="cpu")
    loader = DataLoader(TensorDataset(train.inputs, train.targets), batch_size=BATCH_SIZE, shuffle=True)
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def plain() -> None:
        with device.threads(trainer.threads):
            for _ in range(epochs):
                plain_epoch(model, loader, optimizer)

    def ours() -> None:
        for _ in range(epochs * trainer.steps_per_epoch):
            trainer.step()

    return ratios(ours, plain, rounds)


def plain_epoch(model: nn.Module, loader: DataLoader, optimizer: torch.optim.Optimizer) -> float:
    model.train()
    total = 0.0
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def ratios(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> list[float]:
    """Seconds of `ours` over seconds of `theirs`, in turns; the first round of each only warms up."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds + 1)]
    return [mine / other for mine, other in pairs[1:]]


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
