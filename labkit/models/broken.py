"""Break it: settings with which a network does not learn, each with its illness, and the same network made well."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from labkit.models.mlp import MLP


@dataclass(frozen=True)
class Recipe:
    """A multilayer perceptron for 8 x 8 digits and how it is trained.

    `Trainer(recipe.model(), train, **recipe.training)` with the digits of `labkit.data.digits().split()`.
    """

    why: str
    settings: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)

    def model(self, seed: int = 0) -> nn.Module:
        """A new model with weights drawn from `seed`."""
        return MLP((1, 8, 8), 10, **self.settings, seed=seed)


def _hidden(layers: int, activation: str, initial: str, **more: Any) -> dict[str, Any]:
    return {"widths": (32,) * layers, "activation": activation, "initial": initial, **more}


# Each shows its illness within 100 steps of 64 digits, whatever the seed.
BROKEN = {
    "dead_relus": Recipe(
        "The first steps are so large that most ReLUs end up below zero for every example, where nothing moves them.",
        _hidden(6, "relu", "he"),
        {"optimizer": "adam", "lr": 0.1},
    ),
    "exploding": Recipe(
        "Weights four times too large: activations and gradients grow fourfold from layer to layer.",
        _hidden(12, "relu", "large"),
        {"optimizer": "adam", "lr": 1e-3},
    ),
    "vanishing": Recipe(
        "A sigmoid's slope is at most 1/4: the gradient shrinks at least fourfold from layer to layer.",
        _hidden(12, "sigmoid", "xavier"),
        {"optimizer": "sgd", "lr": 0.03},
    ),
    "saturated": Recipe(
        "Large weights and large steps drive the sigmoids to 0 or 1, where they are flat and pass no gradient on.",
        _hidden(6, "sigmoid", "large"),
        {"optimizer": "adam", "lr": 0.1},
    ),
}

# One change to each: the same names, and a network that learns.
CURED = {
    "dead_relus": Recipe("Smaller steps.", BROKEN["dead_relus"].settings, {"optimizer": "adam", "lr": 1e-3}),
    "exploding": Recipe("He's initial weights.", _hidden(12, "relu", "he"), BROKEN["exploding"].training),
    "vanishing": Recipe("ReLUs with He's weights.", _hidden(12, "relu", "he"), BROKEN["vanishing"].training),
    "saturated": Recipe(
        "Layer normalisation before each sigmoid, and smaller steps.",
        _hidden(6, "sigmoid", "xavier", norm="layer"),
        {"optimizer": "adam", "lr": 3e-3},
    ),
}
