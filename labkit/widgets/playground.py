"""The playground: a small network on points in the plane, all of it in view while it learns."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from labkit.errors import SettingError
from labkit.models import ACTIVATIONS
from labkit.playground import Settings, microstep, share, surfaces
from labkit.playground import settings as names
from labkit.playground.build import PlaygroundTrainer
from labkit.widgets.cells import after_each_cell
from labkit.widgets.experiment import Experiment
from labkit.widgets.played import PlayedView
from labkit.widgets.runs import Run

if TYPE_CHECKING:
    from labkit.data import Dataset
    from labkit.plots.figure import Figure

EPOCHS_A_SECOND = 60  # at first
PICTURE_SHARE = 0.4  # of the time at most, while it trains
BYTES_A_SECOND = 10e6  # of pictures at most: they go through a notebook server, and perhaps a network

OPTIONS = {
    "data": list(names.CLASSIFICATION),
    "regression": list(names.REGRESSION),
    "features": list(names.FEATURES),
    "activations": list(ACTIVATIONS),
    "optimizers": list(names.OPTIMIZERS),
    "schedules": list(names.SCHEDULES),
    "most_layers": names.MOST_LAYERS,
    "most_width": names.MOST_WIDTH,
    "classes": list("ABCDEF"),
}


class Playground(PlayedView):
    """A neural-network playground: `Playground()`, `Playground(data="xor", widths=(4,), activation="relu")`.

    settings: a labkit.playground.Settings or the string that `string` gave, then changed by the keywords, which are its
        fields (and `activation` for all layers). points=Dataset or rows (x, y, class) with data="own" takes own points.

    `model` is the network of the run that has the controls, a plain nn.Module: what a cell changes in it is drawn when
    the cell ends; while it plays, change it `with playground.player.paused():`. Every setting but the learning rate
    begins anew from the same start, so `model`, `player` and `trainer` are then others.
    """

    asset = "playground"
    _runs: list[Experiment]  # type: ignore[assignment]  # the base knows them as runs

    def __init__(self, settings: Settings | str | None = None, **changes: Any) -> None:
        start = share.from_string(settings) if isinstance(settings, str) else settings
        start = Settings() if start is None else start
        if not isinstance(start, Settings):
            raise SettingError(f"Expected Settings or a playground's string, received {type(settings).__name__}.")
        self._probe = (1.0, 2.0)
        self._program: str | None = None
        self._micro = False  # slow motion is on
        self._promoted: int | None = None  # the neuron that is looked at, by its number among the maps
        self._new_points: set[int] = set()  # numbers of the runs whose points the page does not have yet
        self._next_picture = 0.0
        self._speed: float | None = EPOCHS_A_SECOND
        run = Experiment(_changed(start, changes), 0)
        self._pace(run)
        super().__init__(run)
        self._play_all = True
        after_each_cell(self, Playground._look)

    # ---- from Python

    @property
    def settings(self) -> Settings:
        return self._run.settings

    @property
    def model(self) -> nn.Sequential:
        return self._run.trainer.model

    @property
    def trainer(self) -> PlaygroundTrainer:
        return self._run.trainer

    @property
    def speed(self) -> float | None:
        """The most epochs a second; None for as many as the machine can."""
        return self._speed

    @speed.setter
    def speed(self, value: float | None) -> None:
        self._speed = value
        for run in self._runs:
            self._pace(run)

    @property
    def code(self) -> str:
        """A PyTorch program that builds and trains the same network, with what was changed by hand."""
        return self._run.program

    @property
    def string(self) -> str:
        """The settings in one line: `Playground(string)` makes the same start again."""
        return share.to_string(self._run.settings)

    def change(self, **changes: Any) -> None:
        """Change settings of the run that has the controls. A learning rate takes effect at once, weights stay; else

        the run begins anew from the same start, and plays on if it played.
        """
        self._change(_changed(self._run.settings, changes))

    def reset(self) -> None:
        """Back to the same start: same points, same weights. With two runs, both."""
        for run in self._runs:
            self._restart(run, run.settings)

    def compare(self, **changes: Any) -> None:
        """A second run beside the first, both from the same start, the second with some settings changed."""
        first = self._runs[0]
        other = Experiment(_changed(first.settings, changes), 1 - first.number)
        self._drop_second()
        self._restart(first, first.settings)
        self._add(other)

    def wait(self, epochs: int) -> None:
        """Play until `epochs` epochs are done in all (both runs, where there are two), and return when they are.

        Returns earlier when a run was stopped by a condition or by hand, and raises what made one fail.
        """
        try:
            _together([partial(run.player.wait, epochs * run.trainer.steps_per_epoch) for run in self._runs])
        except KeyboardInterrupt:
            self.on_pause()
            raise

    def figure(self) -> "Figure":
        """What the playground shows now of the run that has the controls, as a Matplotlib figure."""
        from labkit import plots

        return plots.playground(**self._run.drawing(self._probe))

    # ---- what is sent

    def everything(self) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
        state, arrays = self._frame()
        maps, reach = surfaces.feature_maps()
        arrays |= {"feature_maps": maps, "feature_reach": reach}
        for run in self._runs:
            arrays |= run.points_shown()
        return {**self._state(), "options": OPTIONS, **state}, arrays, self._columns()

    def _state(self) -> dict[str, Any]:
        state = {**super()._state(), "share": self.string, "code": self._program, "probe": list(self._probe)}
        return state if self._micro else {**state, "micro": None}

    def _frame(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        live: dict[str, Any] = {}
        arrays: dict[str, np.ndarray] = {}
        for run in self._runs:
            coarse = run.player.status == "playing" and run.player.following
            live[str(run.number)], seen = run.picture(self._probe, coarse, self._promoted)
            arrays |= seen
            if run.number in self._new_points:
                arrays |= run.points_shown()
        self._new_points = set()
        state, opened = self._opened()
        return {"live": live, **state}, arrays | self._difference() | opened

    def _difference(self) -> dict[str, np.ndarray]:
        if len(self._runs) < 2 or len({(run.settings.kind, run.settings.outputs) for run in self._runs}) > 1:
            return {}
        a, b = self._runs
        grids = a.grid(self._probe), b.grid(self._probe)
        values = surfaces.difference(a.shown().model, grids[0], b.shown().model, grids[1])
        reach = float(np.abs(values).max()) or 1.0
        scaled = np.clip(values / reach * 127.5 + 128, 0, 255)
        return {"difference": np.nan_to_num(scaled).astype(np.uint8), "difference_reach": np.array([reach], np.float32)}

    def _opened(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The next step in slow motion, where that is on."""
        if not self._micro:
            return {"micro": None}, {}
        run = self._run
        try:
            with run.player.looking():
                step = microstep.open_step(run.trainer)
        except Exception:
            self._micro = False
            raise
        told = ("batch", "batches", "size", "example", "loss", "example_loss", "target", "output", "lr")
        state = {name: getattr(step, name) for name in told} | {"step": run.trainer.step_count + 1}
        arrays = {name: getattr(step, name) for name in ("values", "gradients", "parameter_gradients", "after")}
        arrays["inputs"] = run.points[0].inputs[step.index].numpy()
        return {"micro": state}, {f"micro.{name}": array for name, array in arrays.items()}

    def _heard(self, run: Run, event: str) -> None:
        if isinstance(run, Experiment):
            if event == "history":
                run.follow_history()
            if event == "edit":
                run.heard_edit()
            elif run.player.status != "playing":
                run.changed_unheard()  # what training did is no change by hand
        if event != "frame":
            self._program = None
        if event == "status" and run.player.status != "playing":
            event = "frame"  # the last picture of a run that stopped may have come too soon after the one before
            self._next_text = 0.0
        super()._heard(run, event)

    def _send_frame(self, run: Run) -> None:
        for name, values in run.fetch().items():
            self._rows.setdefault(f"{run.number}.{name}", []).append(values)
        playing = run.player.status == "playing"
        now = time.perf_counter()
        if playing and (now < self._next_picture or (run is not self._run and self.player.status == "playing")):
            return  # its rows go with the next picture
        state, arrays = self._frame()
        self.update(state if playing else {**self._state(), **state}, arrays, append=self._take_rows())
        size = sum(array.nbytes for array in arrays.values())
        took = time.perf_counter() - now
        self._next_picture = now + max(took / PICTURE_SHARE, size / BYTES_A_SECOND)

    def _describe(self) -> str:
        run = self._run
        player, settings = run.player, run.settings
        live = run.live()
        epoch = run.epoch(player.position)
        words = f"Epoch {epoch:.4g}, {player.status if player.following else 'looking back'}. "
        words += f"Training loss {live['train_loss']:.3g}"
        words += f", test loss {live['test_loss']:.3g}" if live["test_loss"] is not None else ""
        words += f", test accuracy {live['test_accuracy']:.3g}" if live["test_accuracy"] is not None else ""
        shape = " - ".join(map(str, [len(settings.features), *settings.widths, settings.outputs]))
        kinds = ", ".join(dict.fromkeys(settings.activations)) or "no hidden layer"
        words += f". Network {shape} ({kinds}) on {settings.data}."
        if player.status in ("failed", "finished"):
            words += f" {run.describe()['reason']}"
        if len(self._runs) > 1:
            words += f" This is run {run.name} of two."
        return words

    # ---- what the browser asks for

    def on_play(self) -> None:
        self._micro = False
        super().on_play()

    def on_step(self) -> None:
        """Train to the end of the epoch; while looking back, show the end of the epoch."""
        if not self.player.following:
            epoch = self._run.trainer.steps_per_epoch
            self.on_seek((self.player.position // epoch + 1) * epoch)
            return
        failed = None
        for run in self._runs:
            player, trainer = run.player, run.trainer
            try:
                player.step(trainer.steps_per_epoch - trainer.step_count % trainer.steps_per_epoch)
            except Exception as error:
                if player.status != "failed":  # what made the run fail is shown with it
                    failed = error
        if failed is not None:
            raise failed

    def on_back(self) -> None:
        """Show the end of the epoch before."""
        epoch = self._run.trainer.steps_per_epoch
        self.on_seek(max(0, (self.player.position - 1) // epoch * epoch))

    def on_seek(self, step: int | None) -> None:
        """Show the recorded step at or before this one, of two runs the same epoch."""
        for run in self._runs:
            there = None if step is None else self._same_epoch(run, step)
            if there is None or there >= run.trainer.step_count:
                run.player.seek(None)
            else:
                run.player.seek(run.player.frame(there)["step"])

    def _same_epoch(self, run: Experiment, step: int) -> int:
        return step * run.trainer.steps_per_epoch // self._run.trainer.steps_per_epoch

    def on_speed(self, value: float | None) -> None:
        self.speed = None if value is None else value / self._run.trainer.steps_per_epoch

    def on_rewind(self, step: int | None = None) -> None:
        step = self.player.position if step is None else step
        steps = [(run, min(run.trainer.step_count, self._same_epoch(run, step))) for run in self._runs]

        def rewind() -> None:
            for run, there in steps:
                run.player.rewind(there)

        self._apart(f"Rewinding to epoch {self._run.epoch(step):.4g}", rewind)

    def on_fork(self) -> None:
        """From the step that is shown."""
        first, step = self._run, self.player.position

        def fork() -> None:
            other = Experiment(first.settings, 1 - first.number, fork_of=first, step=step)
            self._drop_second()
            self._add(other)

        self._apart(f"Forking at epoch {first.epoch(step):.4g}", fork)

    def on_compare(self) -> None:
        self.compare()

    def on_reset(self) -> None:
        self.reset()

    def on_change(self, settings: Mapping[str, Any]) -> None:
        self.change(**settings)

    def on_paste(self, text: str) -> None:
        self._restart(self._run, share.from_string(text))

    def on_code(self) -> None:
        self._program = self.code
        self.update(self._state())

    def on_edit(self, parameter: str, index: Sequence[int], value: float) -> None:
        self._live_run("change a weight").edit(parameter, tuple(index), value)

    def on_freeze(self, parameter: str, index: Sequence[int], on: bool) -> None:
        self._live_run("freeze a weight").freeze(parameter, tuple(index), on)

    def _live_run(self, wish: str) -> Experiment:
        if not self.player.following:
            raise SettingError(
                f"Expected the newest step to {wish}, you are looking back at step {self.player.position}. Press Live, "
                "or Rewind here."
            )
        return self._run

    def on_probe(self, x: float, y: float) -> None:
        self._probe = _inside(x), _inside(y)
        self._redraw()

    def on_promote(self, unit: int | None) -> None:
        """From now on send this neuron's map as fine as it is, also while it plays."""
        self._promoted = unit

    def on_add_point(self, x: float, y: float, target: int) -> None:
        point = (_inside(x), _inside(y), int(target))
        self.change(points=[*self.settings.points, point])

    def on_remove_point(self, index: int) -> None:
        points = list(self.settings.points)
        if not 0 <= index < len(points):
            raise SettingError(f"Expected one of {len(points)} own points, received number {index}.")
        self.change(points=points[:index] + points[index + 1 :])

    def on_clear_points(self) -> None:
        self.change(points=())

    def on_micro(self, on: bool) -> None:
        """Slow motion: show the next step opened, with nothing trained yet."""
        for run in self._runs:
            run.player.pause()
            run.player.seek(None)
        self._micro = on
        self._redraw()

    def on_micro_step(self) -> None:
        for run in self._runs:
            run.player.step()

    # ---- runs

    @property
    def _run(self) -> Experiment:
        return self._find(self._active)  # type: ignore[return-value]

    def _redraw(self) -> None:
        with self._lock:
            state, arrays = self._frame()
            self.update({**self._state(), **state}, arrays)

    def _change(self, settings: Settings) -> None:
        run = self._run
        if settings == run.settings:
            self.update(self._state())
        elif settings.change(lr=run.settings.lr) == run.settings:
            run.set_lr(settings.lr)
        else:
            self._restart(run, settings)

    def _restart(self, run: Experiment, settings: Settings) -> None:
        """Put a run at the start of `settings` in this one's place; it plays if this one did."""
        fresh = Experiment(settings, run.number)
        playing = run.player.status == "playing"
        run.player.pause()
        with self._lock:
            self._removers.pop(run.number)()
            self._runs[self._runs.index(run)] = fresh
            known = {"step", *fresh.scores()}
            conditions = {key: value for key, value in run.player.stop_when.items() if key in known}
            if "step" in conditions:  # the same epoch
                conditions["step"] *= fresh.trainer.steps_per_epoch / run.trainer.steps_per_epoch
            fresh.player.stop_when = conditions
            self._show_new(fresh)
        if playing:
            fresh.player.play()

    def _add(self, run: Experiment) -> None:
        with self._lock:
            self._runs = sorted([*self._runs, run], key=lambda one: one.number)
            self._active = run.number
            self._show_new(run)

    def _show_new(self, run: Experiment) -> None:
        self._pace(run)
        self._listen(run)
        self._program = None
        for one in self._runs:
            one.player.beside = next((other.player for other in self._runs if other is not one), None)
        self._new_points.add(run.number)
        self._send_history(run)
        self.text = self._describe()

    def _drop_second(self) -> None:
        for run in self._runs[1:]:
            self.on_remove(run.number)

    def on_remove(self, run: int) -> None:
        super().on_remove(run)
        for one in self._runs:
            one.player.beside = None

    def _pace(self, run: Experiment) -> None:
        run.player.speed = None if self._speed is None else self._speed * run.trainer.steps_per_epoch

    def _look(self) -> None:
        """A cell has ended: draw what it changed in a network that does not play."""
        for run in self._runs:
            if run.changed_unheard():
                run.player.note_edit()


def _changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Settings with some changed; `points` may be a Dataset or an array."""
    changes = dict(changes)
    if "points" in changes:
        changes["points"] = _rows(changes["points"])
    return settings.change(**changes)


def _rows(points: "Dataset | np.ndarray | Sequence[Sequence[float]]") -> list[tuple[float, ...]]:
    inputs, targets = getattr(points, "inputs", None), getattr(points, "targets", None)
    table = np.asarray(points if inputs is None else np.column_stack([inputs, np.asarray(targets).reshape(-1)]), float)
    if table.size and (table.ndim != 2 or table.shape[1] != 3):
        raise SettingError(
            f"Expected points as rows of x, y and class, or a Dataset of them; received the shape {table.shape}."
        )
    return [tuple(row) for row in table.tolist()]


def _inside(coordinate: float) -> float:
    return round(min(names.REACH, max(-names.REACH, float(coordinate))), 2)


def _together(works: Sequence[Callable[[], object]]) -> None:
    """Do all at once and return when all are done; raises the first error."""
    errors: list[Exception] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # raised below, when all are done
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=[work], daemon=True) for work in works[1:]]
    for thread in threads:
        thread.start()
    guarded(works[0])
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
