"""What all views of runs share: several players, one of them with the controls, and what the timeline asks for."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from labkit.errors import SettingError
from labkit.train import Player
from labkit.widgets.runs import Run
from labkit.widgets.view import View, sentence

# `text` is a trait: it follows a run that plays once a second, everything else at once.
TEXT_SECONDS = 1.0


class PlayedView(View):
    """A view of one or several runs; `player` is the one that has the controls now, `players` are all.

    Without a run it is a view of something that stands still.

    A subclass gives `_frame()` (what the picture needs of the active run), `_describe()` (its text), and what `View`
    asks for. Running a notebook cell again pauses the runs of the views that its last execution made.
    """

    def __init__(self, *runs: Run) -> None:
        self._runs = list(runs)
        self._active = runs[0].number if runs else -1
        self._busy: str | None = None
        self._play_all = False
        self._next_text = 0.0
        self._rows: dict[str, list[np.ndarray]] = {}
        self._removers: dict[int, Callable[[], None]] = {}
        super().__init__()
        for run in self._runs:
            self._listen(run)
        self.say(self._describe())
        self.claim_cell()

    @property
    def players(self) -> tuple[Player, ...]:
        return tuple(run.player for run in self._runs)

    @property
    def player(self) -> Player:
        """The player that the controls act on."""
        return self._run.player

    def _frame(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(state, arrays) of what is shown now."""
        raise NotImplementedError

    def _describe(self) -> str:
        raise NotImplementedError

    # ---- what is sent

    def _columns(self) -> dict[str, np.ndarray]:
        return {f"{run.number}.{name}": c for run in self._runs for name, c in run.sendable().items()}

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

    def _heard(self, run: Run, event: str) -> None:
        """A player's event, in whichever thread it happened. What fails here must not stop the training."""
        try:
            with self._lock:
                if event == "history" or run.long:
                    self._send_history(run)
                elif event in ("frame", "edit"):
                    self._send_frame(run)
                elif event == "seek" and run is self._run:
                    state, arrays = self._frame()
                    self.update({"live": self._live(), **state}, arrays)
                else:
                    self.update(self._state(), append=self._take_rows())
            if event != "frame" or time.monotonic() >= self._next_text:
                self._next_text = time.monotonic() + TEXT_SECONDS
                self.say(self._describe())
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

    # ---- what the browser asks for

    def on_play(self) -> None:
        for player in self._played():
            player.play()

    def on_pause(self) -> None:
        for player in self._played():
            player.request_pause()
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

    def on_stop_when(self, conditions: Mapping[str, float]) -> None:
        self.player.stop_when = conditions

    def on_rewind(self, step: int | None = None) -> None:
        """To a step, or (None) to the one that is shown now: what the page shows may be older."""
        player = self.player
        step = player.position if step is None else step
        self._apart(f"Rewinding to step {step}", lambda: player.rewind(step))

    def on_activate(self, run: int) -> None:
        with self._lock:
            self._active = self._find(run).number
            frame, arrays = self._frame()
            self.update({**self._state(), **frame}, arrays)
        self.say(self._describe())

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
