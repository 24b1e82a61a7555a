"""What a picture is to excite: weights over a layer's channels, at all places or at the one in the middle."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from labkit.errors import SettingError


@dataclass(frozen=True)
class Objective:
    """A weighted sum of a layer's channels; make one with `channel`, `neuron`, `pair` or `direction`.

    channels, weights: which channels, and how much each counts. centre: the value at the place in the middle of the
    map, instead of the mean over all places. whole: the weights are those of all the layer's channels.
    """

    name: str
    channels: tuple[int, ...]
    weights: tuple[float, ...]
    centre: bool = False
    whole: bool = False

    @property
    def stream(self) -> int:
        """A number of its own for the random draws: it depends on what is sought, not on what else is sought."""
        sought = np.array([self.centre, *self.channels, *self.weights], dtype="<f8")
        return zlib.crc32(sought.tobytes())


def channel(index: int) -> Objective:
    """One channel's mean over all places; of an output layer, a class's logit."""
    return Objective(f"channel {index}", (_whole(index),), (1.0,))


def neuron(index: int) -> Objective:
    """One channel at the place in the middle: a single unit, with the receptive field it has."""
    return Objective(f"neuron {index}", (_whole(index),), (1.0,), centre=True)


def pair(first: int, second: int) -> Objective:
    """Two channels together: the sum of their means (Olah et al. 2017, "The Enemy of Feature Vis", interactions)."""
    return Objective(f"channels {first} and {second}", (_whole(first), _whole(second)), (1.0, 1.0))


def direction(vector: Sequence[float] | np.ndarray | Tensor) -> Objective:
    """The mean of the channels' vector along a direction, a number for each channel; its length does not count."""
    values = np.asarray(vector.detach().cpu() if isinstance(vector, Tensor) else vector, dtype=float)
    length = float(np.linalg.norm(values)) if values.ndim == 1 else 0.0
    if not 0 < length < np.inf:
        raise SettingError(
            f"Expected a direction as one number for each channel, not all zero, received shape {values.shape}."
        )
    return Objective("direction", tuple(range(len(values))), tuple((values / length).tolist()), whole=True)


def objectives(units: Sequence[int | Objective]) -> list[Objective]:
    """Whole numbers read as channels. Errors: SettingError for an empty list or other entries."""
    listed = [unit if isinstance(unit, Objective) else channel(unit) for unit in units]
    if not listed:
        raise SettingError("Expected at least one unit, received none.")
    return listed


def _whole(index: int) -> int:
    # numpy's whole numbers count too; booleans do not.
    if isinstance(index, bool) or not hasattr(index, "__index__") or index < 0:
        raise SettingError(f"Expected a channel's number from 0 on, received {index!r}.")
    return int(index)
