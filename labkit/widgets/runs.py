"""One run of a training view: its player, and what of its history has already been sent."""

from array import array
from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np

from labkit.train import Player

# The recorder thins long runs; beyond this many rows the view reads the thinned ones again.
MOST_ROWS = 100_000


class Run:
    """A player with a number, a name (A, B, ...) and a copy of its history's columns."""

    def __init__(self, player: Player, number: int) -> None:
        self.player = player
        self.number = number
        self.name = chr(ord("A") + number) if number < 26 else f"Run {number + 1}"
        self.columns: dict[str, array[float]] = {}
        with player.paused():  # so that no step stands there without its evaluation
            self.reload()

    def reload(self) -> dict[str, np.ndarray]:
        """Read the whole history again; returns its columns as they are sent."""
        self.columns = {}
        return self._take(self.player.columns())

    def fetch(self) -> dict[str, np.ndarray]:
        """The rows since the last call, as they are sent. Called by the thread that trains, between two steps."""
        # The scores of a run's last step are recorded after a frame may have shown that step.
        return self._take(self.player.columns(self._last("step"), self._last("eval_step")))

    def _last(self, axis: str) -> int:
        column = self.columns.get(axis)
        return int(column[-1]) if column else -1

    @property
    def long(self) -> bool:
        return len(self.columns["step"]) > MOST_ROWS

    def sendable(self) -> dict[str, np.ndarray]:
        """All columns that `fetch` has returned so far."""
        return {name: _narrow(name, np.array(column)) for name, column in self.columns.items()}

    def describe(self) -> dict[str, Any]:
        """What the view shows beside the curves; changes only when something was clicked or the run stopped."""
        player, trainer = self.player, self.player.trainer
        return {
            "id": self.number,
            "name": self.name,
            "settings": trainer.settings,
            "status": player.status,
            "reason": player.reason,
            "speed": player.speed,
            "stop_when": player.stop_when,
            "last_good": player.last_good,
            "forked_at": player.forked_at,
            "steps_per_epoch": trainer.steps_per_epoch,
        }

    def live(self) -> dict[str, Any]:
        """What changes from frame to frame."""
        player = self.player
        return {
            "position": player.position,
            "following": player.following,
            "step": player.trainer.step_count,
            "epoch": player.trainer.epoch,
            "rate": player.rate,
        }

    def before(self, step: int) -> int:
        """The newest recorded step before `step`, at least 0."""
        steps = self.columns["step"]
        place = bisect_left(steps, step) - 1
        return int(steps[place]) if place >= 0 else 0

    def after(self, step: int) -> int | None:
        """The first recorded step after `step`, or None."""
        steps = self.columns["step"]
        place = bisect_right(steps, step)
        return int(steps[place]) if place < len(steps) else None

    def value(self, name: str, step: int) -> float | None:
        """The newest value of a column at or before a step."""
        axis = "eval_step" if name.startswith(("train_", "test_")) else "step"
        place = bisect_right(self.columns[axis], step) - 1
        column = self.columns.get(name)
        return column[place] if column and 0 <= place < len(column) else None

    def epoch(self, step: int) -> float:
        trainer = self.player.trainer
        if step == trainer.step_count:
            return trainer.epoch
        recorded = self.value("epoch", step)
        return step / trainer.steps_per_epoch if recorded is None else recorded

    def _take(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, values in rows.items():
            self.columns.setdefault(name, array("d")).frombytes(np.ascontiguousarray(values, np.float64).tobytes())
        return {name: _narrow(name, values) for name, values in rows.items()}


def _narrow(name: str, values: np.ndarray) -> np.ndarray:
    """Half the bytes where nothing is lost that could be seen: steps as whole numbers, the rest as float32."""
    return values.astype(np.int32 if name in ("step", "eval_step") else np.float32)
