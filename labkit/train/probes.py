"""Probes: functions probe(trainer) -> {name: array} that read a trainer and leave no trace."""

from typing import Any

import numpy as np
import torch

from labkit.errors import SettingError
from labkit.train.batches import spread
from labkit.train.player import Probe
from labkit.train.trainer import Trainer, evaluation_mode
from labkit.train.weights import flatten


def predictions(ds: Any, n: int = 24) -> Probe:
    """What the model says of `n` evenly spaced examples of a data set of pictures.

    "pictures" (n, H, W) or (n, H, W, 3) uint8, "target" (n,), "predicted" (n,) classes, "confidence" (n,) float16: the
    softmax probability of the predicted class.
    """
    chosen = spread(len(ds), n)
    inputs, targets = ds.inputs[chosen], ds.targets[chosen]
    if inputs.ndim != 4 or inputs.shape[1] not in (1, 3):
        raise SettingError(
            f"Expected pictures of shape (n, 1 or 3, height, width), received inputs of {tuple(ds.inputs.shape)}."
        )
    pictures = (inputs.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    if inputs.shape[1] == 1:
        pictures = pictures[..., 0]
    target = targets.cpu().numpy()

    def probe(trainer: Trainer) -> dict[str, np.ndarray]:
        with evaluation_mode(trainer.model), torch.inference_mode():
            probabilities = trainer.model(inputs.to(trainer.device)).float().softmax(1)
        confidence, predicted = probabilities.max(1)
        return {
            "pictures": pictures,
            "target": target,
            "predicted": predicted.cpu().numpy().astype(np.int16),
            "confidence": confidence.cpu().numpy().astype(np.float16),
        }

    return probe


def weights(layer: str) -> Probe:
    """The weights of a layer, "weight": its kernels as (n, height, width) or its matrix as (outputs, inputs)."""

    def probe(trainer: Trainer) -> dict[str, np.ndarray]:
        found = dict(trainer.model.named_modules()).get(layer)
        weight = getattr(found, "weight", None)
        if not isinstance(weight, torch.Tensor):
            with_weights = [name for name, m in trainer.model.named_modules() if hasattr(m, "weight")]
            raise SettingError(f"Expected a layer with weights ({', '.join(with_weights)}), received {layer!r}.")
        values = weight.detach().cpu().numpy().copy()
        return {"weight": values.reshape(-1, *values.shape[2:]) if values.ndim == 4 else values}

    return probe


def parameters() -> Probe:
    """All trained weights as one vector, "weights" (P,) float32: what `labkit.train.landscape.trajectory` reads."""

    def probe(trainer: Trainer) -> dict[str, np.ndarray]:
        return {"weights": flatten(trainer.model).float().cpu().numpy()}

    return probe


def state() -> Probe:
    """Every parameter and buffer of the model, under its name in `model.state_dict()`: the model of then, whole."""

    def probe(trainer: Trainer) -> dict[str, np.ndarray]:
        return {name: value.detach().cpu().numpy().copy() for name, value in trainer.model.state_dict().items()}

    return probe
