"""How much faster many small models train at once than in turn."""

import functools
from types import SimpleNamespace

import numpy as np
import torch

from labkit import device
from labkit.bench.training import seconds
from labkit.models import MLP
from labkit.train import Ensemble, Trainer

MEMBERS, STEPS, ROUNDS = 64, 150, 7


def runs() -> tuple[Ensemble, Trainer]:
    """64 MLPs (2-16-16-1) at 64 learning rates, batch 32, Adam; and one of them alone."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(500, 2, generator=generator)
    data = SimpleNamespace(inputs=inputs, targets=torch.sin(inputs.sum(1, keepdim=True)))
    make = functools.partial(MLP, 2, 1, (16, 16))
    ensemble = Ensemble(
        make, data, batch_size=32, device="cpu", grid={"lr": np.geomspace(1e-5, 1e-2, MEMBERS).tolist()}
    )
    return ensemble, Trainer(make(), data, batch_size=32, device="cpu")


def faster() -> list[float]:
    """Seconds of training 64 models in turn (one model's, 64 times) over those of the ensemble, by turns."""
    return [MEMBERS * alone / together for together, alone in _times()]


def model_steps() -> list[float]:
    """Thousands of steps a second, each of one model, of the ensemble."""
    return [MEMBERS * STEPS / together / 1000 for together, _ in _times()]


def _times() -> list[tuple[float, float]]:
    """(seconds of the ensemble's steps, of one trainer's), each round; the first round only warms up."""
    ensemble, trainer = runs()
    with device.threads(1):
        rounds = [(seconds(lambda: take(ensemble)), seconds(lambda: take(trainer))) for _ in range(ROUNDS + 1)]
    return rounds[1:]


def take(run: Trainer) -> None:
    for _ in range(STEPS):
        run.step()
