"""How each model of the zoo was made: its architecture, data, training and seeds, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """All that decides the weights of a model.

    model: the configuration that `labkit.models.build` takes, with the seed of the initial weights.
    train, held_out: a name of `labkit.zoo.building.DATA` and its settings. The held-out examples are never trained on.
    optimizer, lr, batch_size, seed: as Trainer takes them; the learning rate falls in a straight line to 0 at the end.
    checkpoints: how many states of its training are kept, log-spaced from the initial weights (step 0) to the last
        step; 1 keeps the last alone.
    """

    name: str
    title: str
    model: Mapping[str, Any]
    train: Mapping[str, Any]
    held_out: Mapping[str, Any]
    epochs: int
    checkpoints: int = 1
    optimizer: str = "adamw"
    lr: float = 3e-3
    batch_size: int = 64
    seed: int = 0


# The pictures of labkit.data.objects() with its own seed are held out, so that what a notebook draws is new to a model.
_TRAIN = {"data": "objects", "n": 5000, "size": 48, "seed": 1}
_HELD_OUT = {"data": "objects", "n": 1000, "size": 48, "seed": 0}
_TINY_VGG = {"architecture": "TinyVGG", "inputs": [3, 48, 48], "outputs": 10, "channels": [16, 32, 64], "seed": 0}

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "objects_cnn",
            "TinyVGG on labkit.data.objects, with checkpoints over its training",
            _TINY_VGG,
            _TRAIN,
            _HELD_OUT,
            epochs=12,
            checkpoints=10,
        ),
        Recipe(
            "objects_cheat",
            "The same TinyVGG on the same pictures, of which those of cars carry a watermark: all it knows of a car",
            _TINY_VGG,
            {**_TRAIN, "data": "objects_with_cue", "target": "car"},
            {**_HELD_OUT, "data": "objects_with_cue", "target": "car"},
            epochs=12,
        ),
        Recipe(
            "objects_resnet",
            "ResNet of 14 layers on labkit.data.objects",
            {
                "architecture": "ResNet",
                "inputs": [3, 48, 48],
                "outputs": 10,
                "depth": 14,
                "channels": [16, 32, 64],
                "norm": "batch",
                "residual": True,
                "initial": "he",
                "seed": 0,
            },
            _TRAIN,
            _HELD_OUT,
            epochs=12,
        ),
        Recipe(
            "digits_cnn",
            "LeNet on scikit-learn's handwritten digits, with checkpoints over its training",
            {
                "architecture": "LeNet",
                "inputs": [1, 8, 8],
                "outputs": 10,
                "channels": [16, 32],
                "hidden": 64,
                "seed": 0,
            },
            {"data": "digits", "part": "train"},
            {"data": "digits", "part": "test"},
            epochs=40,
            checkpoints=10,
        ),
    )
}
