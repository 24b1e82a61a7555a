"""The grid of an ensemble: which settings its members differ in, and a member as it begins."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.errors import SettingError

# setting: (what a value must be, in words, and as a test)
SETTINGS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "lr": ("learning rates above 0", lambda value: value > 0),
    "seed": ("whole numbers", lambda value: isinstance(value, int)),
    "initial_scale": ("factors above 0", lambda value: value > 0),
    "weight_decay": ("numbers of at least 0", lambda value: value >= 0),
}


def born(make: Callable[..., nn.Module], member: Mapping[str, Any]) -> nn.Module:
    """A member as it begins."""
    try:
        model = make(seed=member["seed"])
    except TypeError as error:
        raise SettingError(
            f"Expected make(seed=...) to build a model, received {error}. For example "
            "functools.partial(labkit.models.MLP, 2, 1, (16, 16))."
        ) from error
    if not isinstance(model, nn.Module):
        raise SettingError(f"Expected make(seed=...) to build a torch module, received {type(model).__name__}.")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(member["initial_scale"])
    return model


def check_grid(grid: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The grid with plain numbers (a tensor's or an array's values as well)."""
    unknown = set(grid) - set(SETTINGS)
    if unknown:
        raise SettingError(f"Expected a grid over {', '.join(SETTINGS)}, received {', '.join(map(str, unknown))}.")
    checked = {}
    for name, given in grid.items():
        words, holds = SETTINGS[name]
        try:
            values = given.tolist() if isinstance(given, Tensor | np.ndarray) else list(given)
        except TypeError as error:
            raise SettingError(f"Expected a list of {words} for {name}, received {given!r}.") from error
        values = [value.item() if isinstance(value, np.generic) else value for value in values]
        numbers = all(isinstance(value, int | float) and math.isfinite(value) for value in values)
        if not (values and numbers and all(map(holds, values))):
            raise SettingError(f"Expected {words} for {name}, at least one, received {str(values)[:200]}.")
        checked[name] = values
    return checked
