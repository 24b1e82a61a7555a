"""The view of networks that train: curves, controls, and what the probes see."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.errors import SettingError
from labkit.train import OPTIMIZERS, Player
from labkit.widgets.runs import Run
from labkit.widgets.view import View, sentence

if TYPE_CHECKING:
    from labkit.plots.figure import Figure

# `text` is a trait: it follows a run that plays once a second, everything else at once.
TEXT_SECONDS = 1.0


class TrainingView(View):
    """Watch and steer one or several runs: `TrainingView(player)`, or `TrainingView(player, other)` to compare.

    The first run has the controls and the accent colour; `player` is the one that has them now and `players` are all.
    A run forked in the view joins them. `text` says what is shown, `figure()` draws it with Matplotlib.
    Running a notebook cell again pauses the runs of the views that its last execution made.
    """

    asset = "training"

    def __init__(self, *players: Player) -> None:
        if not players or not all(isinstance(player, Player) for player in players):
            raise SettingError("Expected one or more players: TrainingView(labkit.train.Player(trainer)).")
        self._runs: list[Run] = []
        self._count = 0
        self._active = 0
        self._busy: str | None = None
        self._play_all = False
        self._next_text = 0.0
        self._rows: dict[str, list[np.ndarray]] = {}
        self._removers: dict[int, Callable[[], None]] = {}
        for player in players:
            self._join(player)
        super().__init__()
        for run in self._runs:
            self._listen(run)
        self.text = self._describe()
        self.claim_cell()

    @property
    def players(self) -> tuple[Player, ...]:
        return tuple(run.player for run in self._runs)

    @property
    def player(self) -> Player:
        """The player that the controls act on."""
        return self._run.player

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
        columns = {f"{run.number}.{name}": c for run in self._runs for name, c in run.sendable().items()}
        return {**state, **frame}, arrays, columns

    def _state(self) -> dict[str, Any]:
        return {
            "runs": [run.describe() for run in self._runs],
            "active": self._active,
            "play_all": self._play_all,
            "busy": self._busy,
            "live": self._live(),
        }

    def _live(self) -> dict[str, Any]:
        return {str(run.number): run.live() for run in self._runs}

    def _frame(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        frame = dict(self.player.frame())
        step = frame.pop("step", 0)
        arrays = {name: np.asarray(array) for name, array in frame.items()}
        return {"frame": list(arrays), "frame_step": step}, {f"frame.{name}": a for name, a in arrays.items()}

    def _heard(self, run: Run, event: str) -> None:
        """A player's event, in whichever thread it happened. What fails here must not stop the training."""
        try:
            with self._lock:
                if event == "history" or run.long:
                    self._send_history(run)
                elif event == "frame":
                    self._send_frame(run)
                elif event == "seek" and run is self._run:
                    state, arrays = self._frame()
                    self.update({"live": self._live(), **state}, arrays)
                else:
                    self.update(self._state(), append=self._take_rows())
            if event != "frame" or time.monotonic() >= self._next_text:
                self._next_text = time.monotonic() + TEXT_SECONDS
                self.text = self._describe()
        except Exception as error:
            self.fail(sentence(error))

    def _send_frame(self, run: Run) -> None:
        for name, values in run.fetch().items():
            self._rows.setdefault(f"{run.number}.{name}", []).append(values)
        if run is self._run:
            state, arrays = self._frame()
            self.update({"live": self._live(), **state}, arrays, append=self._take_rows())
        elif self.player.status != "playing":  # else its rows go with the active run's next frame
            self.update({"live": self._live()}, append=self._take_rows())

    def _take_rows(self) -> dict[str, np.ndarray]:
        """The rows of all runs that wait to be sent."""
        rows = {name: np.concatenate(parts) for name, parts in self._rows.items()}
        self._rows = {}
        return rows

    def _send_history(self, run: Run) -> None:
        self.update(append=self._take_rows())
        rows = {f"{run.number}.{name}": values for name, values in run.reload().items()}
        state, arrays = self._frame()
        self.update({**self._state(), **state}, arrays, append=rows, anew=True)

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

    def on_play(self) -> None:
        for player in self._played():
            player.play()

    def on_pause(self) -> None:
        for player in self._played():
            player.pause()

    def on_step(self) -> None:
        run, player = self._run, self.player
        if not player.following:
            player.seek(run.after(player.position))
            return
        try:
            player.step()
        except Exception:
            if player.status != "failed":  # what made the run fail is shown with it
                raise

    def on_back(self) -> None:
        self.player.seek(self._run.before(self.player.position))

    def on_seek(self, step: int | None) -> None:
        self.player.seek(step)

    def on_speed(self, value: float | None) -> None:
        for player in self._played():
            player.speed = value

    def on_set(self, lr: float) -> None:
        self.player.set(lr=lr)

    def on_stop_when(self, conditions: Mapping[str, float]) -> None:
        self.player.stop_when = conditions

    def on_rewind(self, step: int) -> None:
        player = self.player
        self._apart(f"Rewinding to step {step}", lambda: player.rewind(step))

    def on_fork(self, step: int, settings: Mapping[str, Any]) -> None:
        parent = self.player
        whole = {k: int(v) if k in ("batch_size", "seed") and float(v).is_integer() else v for k, v in settings.items()}

        def fork() -> None:
            self.add(parent.fork(step, **whole))

        self._apart(f"Forking at step {step}", fork)

    def add(self, player: Player) -> None:
        """Show one more run and give it the controls."""
        with self._lock:
            run = self._join(player)
            self._active = run.number
            self._listen(run)
            self._send_history(run)
        self.text = self._describe()

    def on_activate(self, run: int) -> None:
        with self._lock:
            self._active = self._find(run).number
            frame, arrays = self._frame()
            self.update({**self._state(), **frame}, arrays)
        self.text = self._describe()

    def on_remove(self, run: int) -> None:
        gone = self._find(run)
        gone.player.pause()
        with self._lock:
            self._removers.pop(gone.number)()
            self._runs.remove(gone)
            self._active = self._active if gone.number != self._active else self._runs[0].number
            self._play_all = self._play_all and len(self._runs) > 1
            self.update(self._state())

    def on_play_all(self, on: bool) -> None:
        playing = self.player.status == "playing"
        self._play_all = on
        for other in self.players:
            if other is not self.player and (playing or not on):
                other.play() if on else other.pause()
        self.update(self._state())

    # ---- runs

    def retire(self, successor: View) -> None:
        kept = getattr(successor, "players", ())
        for remove in self._removers.values():
            remove()
        for player in self.players:
            if not any(player is other for other in kept):
                player.pause()
        super().retire(successor)

    @property
    def _run(self) -> Run:
        return self._find(self._active)

    def _find(self, number: int) -> Run:
        for run in self._runs:
            if run.number == number:
                return run
        raise SettingError(f"Expected a run of this view, received number {number}.")

    def _join(self, player: Player) -> Run:
        run = Run(player, self._count)
        self._count += 1
        self._runs.append(run)
        return run

    def _listen(self, run: Run) -> None:
        self._removers[run.number] = run.player.listen(lambda event: self._heard(run, event))

    def _played(self) -> list[Player]:
        """The runs that Play, Pause and the speed act on."""
        return [p for p in self.players if p is self.player or (self._play_all and p.status != "failed")]

    def _apart(self, what: str, work: Callable[[], None]) -> None:
        """Do `work` beside the thread that handles all widgets' messages, because it may take a while."""
        if self._busy:
            raise SettingError(f"{self._busy}: wait until that is done.")
        self._busy = what
        self.update({"busy": what})

        def run() -> None:
            try:
                work()
            except Exception as error:
                self.fail(sentence(error))
            finally:
                self._busy = None
                self.update({"busy": None})

        threading.Thread(target=run, name="labkit-view", daemon=True).start()


def _names(classes: Any) -> list[str] | None:
    return None if classes is None else [str(name) for name in classes]
