"""The path of a run on a plane, as the run goes on."""

import numpy as np

from labkit.train.landscape import Landscape, Trajectory


class Path:
    """Where a run went, projected onto a plane and extended step by step.

    steps: (k,), places: (k, 2), share: (k,), the share of the squared distances from the plane's centre, up to each
    step, that the plane holds, 0 to 1.
    """

    def __init__(self, landscape: Landscape, trajectory: Trajectory) -> None:
        self._landscape = landscape
        self._sums = np.zeros(2)
        self.steps = np.zeros(0, int)
        self.places = np.zeros((0, 2))
        self.share = np.zeros(0)
        self.extend(trajectory)

    def extend(self, trajectory: Trajectory) -> int:
        """Add the steps that come after the last one; returns how many."""
        after = self.steps[-1] if len(self.steps) else -1
        new = trajectory.steps > after
        if not new.any():
            return 0
        movement = trajectory.weights[new] - self._landscape.centre
        places = self._landscape.project(trajectory.weights[new])
        held = np.square(places @ self._landscape.directions).sum(axis=1)
        whole = np.square(movement, dtype=np.float64).sum(axis=1)
        sums = self._sums + np.stack([held, whole], axis=1).cumsum(axis=0)
        self._sums = sums[-1]
        ratio = np.divide(sums[:, 0], sums[:, 1], out=np.ones(len(sums)), where=sums[:, 1] > 0)
        self.steps = np.concatenate([self.steps, trajectory.steps[new]])
        self.places = np.concatenate([self.places, places])
        self.share = np.concatenate([self.share, np.minimum(ratio, 1)])
        return int(new.sum())

    @property
    def inside(self) -> bool:
        """Whether the newest step lies on the part of the plane that was measured."""
        a, b = self.places[-1]
        on = self._landscape
        return bool(on.a[0] <= a <= on.a[-1] and on.b[0] <= b <= on.b[-1])
