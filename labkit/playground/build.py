"""From settings to data, network and trainer."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit import data, device, models, train
from labkit.errors import CheckpointError, DataError
from labkit.playground.settings import MOST_POINTS, OWN, Settings

# Features of a point (x1, x2), columns of a tensor.
FEATURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "x1": lambda x1, x2: x1,
    "x2": lambda x1, x2: x2,
    "x1_squared": lambda x1, x2: x1**2,
    "x2_squared": lambda x1, x2: x2**2,
    "x1_x2": lambda x1, x2: x1 * x2,
    "sin_x1": lambda x1, x2: torch.sin(x1),
    "sin_x2": lambda x1, x2: torch.sin(x2),
}

# The factor on the learning rate after a number of epochs, of a schedule over `period` epochs.
SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "step": lambda epoch, period: 0.5 ** (epoch // period),  # halved after each period
    "exponential": lambda epoch, period: 0.1 ** (epoch / period),  # a tenth after each period
    "cosine": lambda epoch, period: 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / period))),  # to zero, and stays
    "warmup": lambda epoch, period: min(1.0, max(epoch, 0.1) / period),  # rises to its full value
}

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": partial(torch.optim.SGD, foreach=False),  # the default on a CPU; said, it need not be found out each time
    "momentum": partial(torch.optim.SGD, momentum=0.9, foreach=False),
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
}

# Fewer own points than this are all learned from; of more, some are kept for the test.
FEWEST_TO_SPLIT = 10


def features(points: Tensor, names: tuple[str, ...]) -> Tensor:
    """(n, 2) -> (n, len(names))."""
    return torch.stack([FEATURES[name](points[:, 0], points[:, 1]) for name in names], 1)


def points(settings: Settings) -> tuple[data.Dataset, data.Dataset | None]:
    """(train, test) with inputs (n, 2); test is None where there are too few own points to keep some back."""
    rows = settings.points
    own = data.Dataset([row[:2] for row in rows], [int(row[2]) for row in rows]) if rows else None
    share = 1 - settings.train_share / 100
    if settings.data == OWN:
        if own is None or len(own) < FEWEST_TO_SPLIT:
            return _given(own), None
        return own.split(test=share, seed=settings.data_seed)
    drawn = data.toy(settings.data, settings.n, settings.noise, settings.data_seed, settings.classes)
    learned, kept = drawn.split(test=share, seed=settings.data_seed)
    if own is None:
        return learned, kept
    joined = data.Dataset(torch.cat([learned.inputs, own.inputs]), torch.cat([learned.targets, own.targets]))
    return joined, kept


def _given(own: data.Dataset | None) -> data.Dataset:
    if own is None:
        raise DataError("Expected at least one own point, received none. Place one, or choose a data set.")
    return own


def as_input(settings: Settings, raw: data.Dataset) -> data.Dataset:
    """The points as the network takes them: their features; of two classes the targets -1 and 1."""
    targets = raw.targets
    if settings.kind == "binary":
        targets = 2.0 * targets[:, None].float() - 1
    return data.Dataset(features(raw.inputs, settings.features), targets)


def datasets(settings: Settings) -> tuple[data.Dataset, data.Dataset | None]:
    """(train, test or None) with the features as inputs."""
    learned, kept = points(settings)
    return as_input(settings, learned), None if kept is None else as_input(settings, kept)


def network(settings: Settings) -> models.MLP:
    """The network before its first step: the same for the same settings."""
    model = models.MLP(
        len(settings.features),
        settings.outputs,
        settings.widths,
        settings.activations,
        settings.dropout,
        settings.seed,
        output_activation="tanh" if settings.kind == "binary" else "linear",
        initial="playground",
    )
    with torch.no_grad():
        for name, index, value in settings.start_weights:
            model.get_parameter(name)[index] = value
    return model


def half_squared_error(output: Tensor, target: Tensor) -> Tensor:
    return 0.5 * nn.functional.mse_loss(output, target)


def same_sign(output: Tensor, target: Tensor) -> Tensor:
    return (output > 0)[:, 0] == (target > 0)[:, 0]


def optimizer(parameters: list[nn.Parameter], lr: float, name: str, l2: float) -> torch.optim.Optimizer:
    """L2 is a penalty on weights, not on biases: l2 / 2 times the sum of their squares (for adamw, its own decay)."""
    if l2 == 0:  # one group: each costs time
        return OPTIMIZERS[name](parameters, lr=lr, weight_decay=0.0)
    weights, biases = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim == 1]
    groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": l2}, {"params": biases, "weight_decay": 0.0}]
    return OPTIMIZERS[name](groups, lr=lr)


class PlaygroundTrainer(train.Trainer):
    """A trainer that also shrinks weights (L1) and leaves frozen entries alone.

    frozen: {parameter name: bool tensor of its shape, true where training changes nothing}; may change between steps.
    """

    model: models.MLP
    train_sample = 2 * MOST_POINTS  # an evaluation looks at all points

    def __init__(self, settings: Settings) -> None:
        self.frozen: dict[str, Tensor] = {}
        self.draws = True
        learned, kept = datasets(settings)
        kind = settings.kind
        steps = math.ceil(len(learned) / settings.batch_size)
        super().__init__(
            network(settings),
            learned,
            kept,
            loss="cross_entropy" if kind == "classes" else half_squared_error,
            optimizer=partial(optimizer, name=settings.optimizer, l2=settings.l2),
            lr=settings.lr,
            batch_size=settings.batch_size,
            shuffle=False,  # the points were shuffled when they were drawn
            device="cpu",  # such small networks are fastest there
            seed=settings.seed,
            schedule=_schedule(settings, steps),
            accuracy=same_sign if kind == "binary" else None,
        )
        self.l1, self.l2, self.shapes = settings.l1, settings.l2, settings.shapes
        self.draws = settings.dropout > 0
        for name, index in settings.frozen:
            self.freeze(name, index, True)

    def freeze(self, name: str, index: tuple[int, ...], on: bool) -> None:
        parameter = self.model.get_parameter(name)
        mask = self.frozen.get(name, torch.zeros(parameter.shape, dtype=torch.bool)).clone()
        mask[index] = on
        self.frozen[name] = mask

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "frozen": dict(self.frozen)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        frozen = state.get("frozen", {})
        for name, mask in frozen.items():
            if name not in self.shapes or tuple(mask.shape) != self.shapes[name] or mask.dtype != torch.bool:
                raise CheckpointError(f"Expected frozen entries of this network's parameters, received {name!r:.80}.")
        super().load_state_dict({**state, "frozen": frozen})
        self.frozen = dict(frozen)

    @contextmanager
    def session(self) -> Iterator[None]:
        """Without dropout nothing is drawn, and there is no random number to keep or to give back."""
        with super().session() if self.draws else device.threads(self.threads):
            yield

    def update(self) -> float:
        if not self.frozen and not self.l1:
            return super().update()
        kept = [(self.model.get_parameter(name), mask) for name, mask in self.frozen.items()]
        before = [parameter.detach()[mask] for parameter, mask in kept]
        lr = super().update()
        with torch.no_grad():
            if self.l1:
                for weight in self.model.parameters():
                    if weight.ndim > 1:
                        weight.copy_(nn.functional.softshrink(weight, lr * self.l1))
            for (parameter, mask), values in zip(kept, before, strict=True):
                parameter[mask] = values
        return lr


def trainer(settings: Settings) -> PlaygroundTrainer:
    """A trainer before its first step. One epoch is `trainer.steps_per_epoch` steps, in the same order each time."""
    return PlaygroundTrainer(settings)


def _schedule(settings: Settings, steps_per_epoch: int) -> Callable[[int], float] | None:
    if settings.schedule == "constant":
        return None
    factor = SCHEDULES[settings.schedule]
    return lambda step: factor(step / steps_per_epoch, settings.schedule_epochs)


def labelled(settings: Settings, raw: data.Dataset | None) -> np.ndarray:
    """(n, 3) float32: x, y, and the target as the network has it (-1 or 1, a class, or a value)."""
    if raw is None:
        return np.zeros((0, 3), np.float32)
    return torch.cat([raw.inputs, as_input(settings, raw).targets.reshape(-1, 1).float()], 1).numpy()
