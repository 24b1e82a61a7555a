"""Arrays in, a Matplotlib figure out: pure functions, no torch, nothing shown. The static twins of the live views."""

from labkit.plots.drawing import drawing
from labkit.plots.pictures import pictures
from labkit.plots.playground import playground, surface
from labkit.plots.training import predictions, training

__all__ = ["drawing", "pictures", "playground", "predictions", "surface", "training"]
