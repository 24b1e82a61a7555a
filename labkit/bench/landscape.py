"""How long a map of the loss takes."""

import torch

from labkit import data
from labkit.bench.training import seconds
from labkit.models import MLP, LeNet
from labkit.train.landscape import plane


def mlp(rounds: int = 21) -> list[float]:
    """Seconds for 41 x 41 losses of an MLP (2-16-16-1, tanh, squared error) on 500 points."""
    points = data.toy("circle", n=500)
    ds = data.Dataset(points.inputs, 2.0 * points.targets - 1)
    model = MLP(2, 1, (16, 16))
    return [seconds(lambda: plane(model, ds, n=41)) for _ in range(rounds + 1)][1:]


def cnn(rounds: int = 5) -> list[float]:
    """Seconds for 21 x 21 losses of a small CNN (LeNet) on 256 handwritten digits of 8 x 8."""
    digits = data.digits()
    chosen = torch.arange(256)
    ds = data.Dataset(digits.inputs[chosen], digits.targets[chosen])
    model = LeNet()
    return [seconds(lambda: plane(model, ds, n=21)) for _ in range(rounds + 1)][1:]
