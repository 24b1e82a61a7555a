"""Own pretrained models: their weights, over their training where that is kept, and how each was made.

Every file's hash is verified; a broken or foreign one is refused. `labkit zoo build NAME` makes a model again.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from labkit.errors import SettingError
from labkit.zoo import files
from labkit.zoo.recipes import RECIPES, Recipe

__all__ = ["Training", "card", "load", "names", "training"]

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The models that there are."""
    return list(RECIPES)


def card(name: str) -> dict[str, Any]:
    """How a model was made and how good it is.

    {"recipe", "parameters", "classes", "checkpoints": {step: {"accuracy", "loss" (both on the recipe's held-out data),
    "dtype", "sha256", "bytes"}}, "versions", "licence"}. Errors as `load`.
    """
    return files.read_card(recipe_of(name), FOLDER)


def load(name: str, step: int | None = None) -> nn.Module:
    """A model as it was at a step of its training (None: at the end), in evaluation mode, in float32 on the CPU.

    Errors: SettingError for a name or step that there is not; CheckpointError for a file that is broken, changed, or of
    another model; UnavailableError for one that is missing.
    """
    kept = training(name)
    if step is None:
        return kept[max(kept)]
    if step not in kept:
        raise SettingError(f"Expected a step that was kept, {', '.join(map(str, kept))}, received {step!r}.")
    return kept[step]


def training(name: str) -> "Training":
    """A model over its training: {step: model}, each loaded when it is looked up. Errors as `load`."""
    return Training(recipe_of(name), FOLDER)


class Training(Mapping[int, nn.Module]):
    """{step: model in evaluation mode} from the first kept step to the last; each lookup makes a new model."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe, self.folder = recipe, folder
        self.card = files.read_card(recipe, folder)

    def __getitem__(self, step: int) -> nn.Module:
        if step not in self:
            raise KeyError(f"no step {step!r}; there are {', '.join(map(str, self))}")
        return files.read_model(self.recipe, self.card, step, self.folder)

    def __contains__(self, step: object) -> bool:
        return step in list(self)

    def __iter__(self) -> Iterator[int]:
        return iter(self.card["checkpoints"])

    def __len__(self) -> int:
        return len(self.card["checkpoints"])

    def __repr__(self) -> str:
        return f"Training({self.recipe.name} at steps {', '.join(map(str, self))})"


def recipe_of(name: str) -> Recipe:
    if name not in names():
        raise SettingError(f"Expected a model of the zoo, {', '.join(RECIPES)}, received {name!r}.")
    return RECIPES[name]
