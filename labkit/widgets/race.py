"""An ensemble's run as a view shows it: its history, and a table of the members' values over the steps."""

from typing import cast

import numpy as np

from labkit.train import Ensemble, Player
from labkit.train.members import by_setting
from labkit.widgets.runs import Run

WORDS = {"lr": "learning rate", "seed": "seed", "initial_scale": "initial scale", "weight_decay": "weight decay"}
METRICS = {
    "loss": "training loss",
    "train_loss": "loss on training examples",
    "train_accuracy": "training accuracy",
    "test_loss": "test loss",
    "test_accuracy": "test accuracy",
}


class Race(Run):
    """A run with two more columns: "cell_step" (K,), and "cells", K rows of the members' values of `metric`."""

    def __init__(self, player: Player, number: int, metric: str) -> None:
        self.metric = metric
        super().__init__(player, number)

    @property
    def ensemble(self) -> Ensemble:
        return cast(Ensemble, self.player.trainer)

    @property
    def axes(self) -> list[str]:
        """The settings that the members differ in, the one that is looked at first."""
        several = [name for name, values in self.ensemble.grid.items() if len(set(values)) > 1]
        return sorted(several, key=list(WORDS).index) if several != ["seed"] else several

    @property
    def axis(self) -> str:
        """The setting that the rows are sorted by, and that the curve is drawn over."""
        others = [name for name in self.axes if name != "seed"]
        return (others or ["seed"])[0]

    @property
    def largest_is_best(self) -> bool:
        return self.metric.endswith("accuracy")

    def cells(self) -> tuple[np.ndarray, np.ndarray]:
        """(steps (K,), values (K, members)) of the metric."""
        return self.ensemble.record.table(self.metric)

    def now(self) -> np.ndarray:
        """(members,) at the step that is shown: the mean loss over an epoch, or the newest score."""
        ensemble = self.ensemble
        return ensemble.record.at(self.metric, self.player.position, over=ensemble.steps_per_epoch)

    def curve(self) -> dict[str, np.ndarray]:
        """`now` by the setting on the axis."""
        axis = self.axis
        settings = [member[axis] for member in self.ensemble.members]
        return by_setting(self.now(), settings, self.largest_is_best)

    def best(self) -> int | None:
        """The member that stands best; None before the first step."""
        now = self.now()
        if not np.isfinite(now).any():
            return None
        return int(np.nanargmax(now) if self.largest_is_best else np.nanargmin(now))

    def diverged_at(self) -> np.ndarray:
        """(members,) the step at which each diverged, 0 for those that had not by the step that is shown."""
        steps = self.ensemble.diverged_at
        return np.where(steps <= self.player.position, steps, 0).astype(np.int32)

    # ---- what is sent

    def reload(self) -> dict[str, np.ndarray]:
        rows = super().reload()
        return rows | self._take(self._cells_after(0))

    def fetch(self) -> dict[str, np.ndarray]:
        rows = super().fetch()
        return rows | self._take(self._cells_after(len(self.columns["cell_step"])))

    @property
    def long(self) -> bool:
        """Also where stretches of steps were joined, or evaluations thinned: then all columns are read again."""
        sent = np.array(self.columns["cell_step"])
        steps = self.cells()[0]
        return super().long or len(steps) < len(sent) or not np.array_equal(steps[: len(sent)], sent)

    def _cells_after(self, count: int) -> dict[str, np.ndarray]:
        steps, values = self.cells()
        return {"cell_step": steps[count:], "cells": values[count:].ravel()}
