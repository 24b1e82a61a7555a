"""The view of networks that train: curves, controls, and what the probes see."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.errors import SettingError
from labkit.train import OPTIMIZERS, Player
from labkit.widgets.played import PlayedView
from labkit.widgets.runs import Run

if TYPE_CHECKING:
    from labkit.plots.figure import Figure


class TrainingView(PlayedView):
    """Watch and steer one or several runs: `TrainingView(player)`, or `TrainingView(player, other)` to compare.

    The first run has the controls and the accent colour; `player` is the one that has them now and `players` are all.
    A run forked in the view joins them. `text` says what is shown, `figure()` draws it with Matplotlib.
    Running a notebook cell again pauses the runs of the views that its last execution made.
    """

    asset = "training"

    def __init__(self, *players: Player) -> None:
        if not players or not all(isinstance(player, Player) for player in players):
            raise SettingError("Expected one or more players: TrainingView(labkit.train.Player(trainer)).")
        self._count = len(players)
        super().__init__(*(Run(player, number) for number, player in enumerate(players)))

    def figure(self) -> "Figure":
        from labkit import plots  # matplotlib is imported when a figure is asked for

        names = ("step", "loss", "eval_step", "train_accuracy", "test_loss", "test_accuracy")
        runs = [
            {"name": run.name, **{name: np.array(run.columns[name]) for name in names if name in run.columns}}
            for run in self._runs
        ]
        return plots.training(runs, active=self._runs.index(self._run))

    # ---- what is sent

    def everything(self) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
        state = {
            **self._state(),
            "classes": _names(self.player.trainer.classes),
            "optimizers": list(OPTIMIZERS),
        }
        frame, arrays = self._frame()
        return {**state, **frame}, arrays, self._columns()

    def _frame(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        frame = dict(self.player.frame())
        step = frame.pop("step", 0)
        arrays = {name: np.asarray(array) for name, array in frame.items()}
        return {"frame": list(arrays), "frame_step": step}, {f"frame.{name}": a for name, a in arrays.items()}

    def _describe(self) -> str:
        run, player = self._run, self.player
        at, last = player.position, player.trainer.step_count
        status = player.status if player.following else f"{player.status}, looking back"
        words = f"Step {at} of {last}, epoch {run.epoch(at):.3g}, {status}."
        values = [
            f"{word} {value:.3g}"
            for name, word in (
                ("loss", "training loss"),
                ("test_loss", "test loss"),
                ("test_accuracy", "test accuracy"),
            )
            if (value := run.value(name, at)) is not None
        ]
        if values:
            listed = ", ".join(values)
            words += f" {listed[0].upper()}{listed[1:]}."
        if player.status in ("failed", "finished"):
            words += f" {player.reason}"
        others = [f"{other.name} at step {other.player.trainer.step_count}" for other in self._runs if other is not run]
        return f"{words} This is run {run.name}; compared with {', '.join(others)}." if others else words

    # ---- what the browser asks for

    def on_set(self, lr: float) -> None:
        self.player.set(lr=lr)

    def on_fork(self, step: int, settings: Mapping[str, Any]) -> None:
        parent = self.player
        whole = {k: int(v) if k in ("batch_size", "seed") and float(v).is_integer() else v for k, v in settings.items()}

        def fork() -> None:
            self.add(parent.fork(step, **whole))

        self._apart(f"Forking at step {step}", fork)

    def add(self, player: Player) -> None:
        """Show one more run and give it the controls."""
        with self._lock:
            run = Run(player, self._count)
            self._runs.append(run)
            self._count += 1
            self._active = run.number
            self._listen(run)
            self._send_history(run)
        self.text = self._describe()


def _names(classes: Any) -> list[str] | None:
    return None if classes is None else [str(name) for name in classes]
