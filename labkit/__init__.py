"""labkit: an interactive, notebook-based visual learning lab for deep learning.

`import labkit` is light: torch is imported when a room that needs it is entered.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from labkit.errors import LabkitError

if TYPE_CHECKING:
    from labkit import (
        activations,
        data,
        device,
        exercises,
        features,
        models,
        playground,
        plots,
        saliency,
        train,
        widgets,
        zoo,
    )
    from labkit.device import setup
    from labkit.exercises import exercise

__version__ = "0.1.0"

_ROOMS = (
    "activations",
    "data",
    "device",
    "exercises",
    "features",
    "models",
    "playground",
    "plots",
    "saliency",
    "train",
    "widgets",
    "zoo",
)
_CALLS = {"setup": "labkit.device", "exercise": "labkit.exercises"}

__all__ = [
    "LabkitError",
    "activations",
    "data",
    "device",
    "exercise",
    "exercises",
    "features",
    "models",
    "playground",
    "plots",
    "saliency",
    "setup",
    "train",
    "widgets",
    "zoo",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"labkit.{name}")
    if name in _CALLS:
        return getattr(import_module(_CALLS[name]), name)
    raise AttributeError(f"labkit has no {name!r}; its rooms are {', '.join(_ROOMS)}")


def __dir__() -> list[str]:
    return __all__
