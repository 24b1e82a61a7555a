"""The player: drives a trainer in the background, records what happens, and goes back in time exactly."""

import atexit
import copy
import math
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from labkit.errors import DivergedError, SettingError
from labkit.train.recorder import Recorder
from labkit.train.trainer import Trainer
from labkit.train.turns import QuickSwitching, Turns

Probe = Callable[[Trainer], dict[str, np.ndarray]]

# Share of the time that the later evaluations take.
EVALUATION_SHARE = 0.01

# Share of the time that probes take at full speed; costly ones are asked less often than there are frames.
PROBE_SHARE = 0.015

# A checkpoint at most twice a second and for at most 2 % of the time: replaying from one never takes long.
CHECKPOINT_SECONDS = 0.5
CHECKPOINT_SHARE = 0.02

# A run of limited speed may be this far ahead of its time: waiting before each of 1,500 steps a second would cost more
# than the steps. And this far behind, it catches up.
AHEAD_SECONDS = 0.008
BEHIND_SECONDS = 0.05

# How often a run that waits for the one beside it looks where that is.
LOOK_SECONDS = 0.001

_TURNS = Turns()
_SWITCHING = QuickSwitching()
_PLAYERS: "weakref.WeakSet[Player]" = weakref.WeakSet()


class Player:
    """Plays a trainer like a film: play, pause, step, seek, rewind, fork.

    probes: {name: probe}; each is called for a frame and what it returns is kept under "name.key". At full speed they
        get 1.5 % of the time; costly ones then make fewer frames, while the curves go on. One that has a context
        manager `watching(trainer)` is around each training step.
    evaluate_every: steps between two evaluations. By default at steps 1, 2, 4, 8, ... and then so seldom that they
        take about a hundredth of the time.
    fps: frames a second at most.
    frame_every: steps after which a frame is recorded whatever the time, so that these steps can be shown exactly.

    `beside` another player it begins no epoch before that one, if it plays too, has done the epoch before.

    Training runs in a daemon thread that lives only while it plays. Everything here may be called from any thread;
    listeners are called from whichever thread acts. Whoever else touches the model does so `with player.paused():`.
    """

    def __init__(
        self,
        trainer: Trainer,
        probes: Mapping[str, Probe] | None = None,
        evaluate_every: int | None = None,
        fps: float = 30,
        frame_every: int | None = None,
    ) -> None:
        for name, every in (("evaluate_every", evaluate_every), ("frame_every", frame_every)):
            if every is not None and every < 1:
                raise SettingError(f"Expected {name} of at least 1 step, received {every!r}.")
        self.trainer = trainer
        self.probes = dict(probes or {})
        self._watches = [probe.watching for probe in self.probes.values() if hasattr(probe, "watching")]
        self.fps = fps
        self.frame_every = frame_every
        self.recorder = Recorder()
        self.parent: Player | None = None
        self.beside: Player | None = None
        self.forked_at: int | None = None
        self.status = "ready"
        self.reason = "Press Play to train."
        self.error: Exception | None = None
        self._early, self._evaluate_every = _evaluation_steps(trainer, evaluate_every)
        self._set_up()
        self._record_evaluation()
        self._record_frame()
        self._record_checkpoint()

    def _set_up(self) -> None:
        """What a player has of its own, and a fork therefore anew."""
        self._model = threading.RLock()  # held by whoever touches the model
        self._changed = threading.Condition()  # of all that follows
        self._thread: threading.Thread | None = None
        self._stop: tuple[str, str] | None = None  # status and reason to stop with at the next chance
        self._ending = False  # no step will follow in this thread
        self._holds = 0  # callers inside `paused()`, or waiting to be
        self._target: tuple[int, str] | None = None  # the step to stop at, and the status to stop with
        self._stop_when: dict[str, float] = {}
        self._armed: dict[str, float] = {}
        self._speed: float | None = None
        self._shown: int | None = None  # None: follow the run
        self._listeners: list[Callable[[str], None]] = []
        self._settings_log: list[tuple[int, dict[str, float]]] = []
        self._edits: list[int] = []
        self._pace: deque[tuple[float, int]] = deque(maxlen=30)
        self._next_frame = self._next_probe = self._next_step = self._next_checkpoint = 0.0

    def __repr__(self) -> str:
        return f"Player(step {self.trainer.step_count}, {self.status}: {self.reason})"

    # Playing

    def play(self) -> None:
        """Train in the background until it is paused, a stop condition holds, or something fails."""
        with self._changed:
            self._changed.wait_for(lambda: not self._ending)
            if self._thread is not None:
                self._stop = None
                return
            self.status, self.reason, self.error = "playing", "Training.", None
            self._armed = self._not_yet(self._stop_when)
            self._shown = None
            self._pace.clear()
            self._next_step = 0.0
            self._thread = threading.Thread(target=self._run, name="labkit-player", daemon=True)
            _PLAYERS.add(self)
            self._thread.start()
        self._tell("status")

    def pause(self) -> None:
        """Stop after the step in progress, and return when it is done."""
        self.request_pause()
        self._join()

    def request_pause(self) -> None:
        """Stop after the step in progress; returns at once. To pause several runs together, ask each first."""
        self._request_stop("paused", "Paused.")

    def step(self, n: int = 1) -> None:
        """Train `n` steps, then pause."""
        if n < 1:
            raise SettingError(f"Expected at least 1 step, received {n!r}.")
        self.pause()
        self._play_to(self.trainer.step_count + n, "paused", None, False)

    def wait(self, steps: int | None = None, timeout: float | None = None, progress: bool = False) -> int:
        """Play up to step `steps` and return when the run has stopped, there or earlier: at a stop condition, by

        pause, or by an error, which is raised here. Returns the step it stands at.

        Without `steps` it waits for whatever is playing. `timeout` in seconds pauses the run and raises TimeoutError;
        so does an interrupt, as KeyboardInterrupt. `progress` shows a bar.
        """
        return self._play_to(steps, "finished", timeout, progress)

    def _play_to(self, steps: int | None, status: str, timeout: float | None, progress: bool) -> int:
        with self._changed:
            self._target = None if steps is None else (steps, status)
        if steps is not None and steps > self.trainer.step_count:
            self.play()
        try:
            if progress:
                self._show_progress(steps)
            finished = self._wait_in_slices(timeout)
        except KeyboardInterrupt:
            self._request_stop("paused", "Interrupted.")
            raise
        finally:
            self._target = None
        if not finished:
            self.pause()
            raise TimeoutError(
                f"Expected the run to stop within {timeout} s, it stands at step {self.trainer.step_count}. It is "
                "paused; wait longer or for fewer steps."
            )
        if self.error is not None:
            raise self.error
        return self.trainer.step_count

    @contextmanager
    def paused(self) -> Iterator[Trainer]:
        """The trainer between two steps, for as long as the block takes; the run goes on after it.

        Weights and settings may be changed in it (in place, under torch.no_grad()): a rewind knows of it.
        """
        event = None
        try:
            with self._between_steps():
                before = self._versions()
                try:
                    yield self.trainer
                finally:
                    if self._versions() != before:
                        event = self._note_edit()
        finally:
            if event is not None:
                self._tell(event)

    @contextmanager
    def looking(self) -> Iterator[Trainer]:
        """As `paused`, to look only: a change made in it would not be noticed."""
        with self._between_steps():
            yield self.trainer

    def note_edit(self) -> None:
        """Take the model as it is now as part of the run: call it after changing weights outside of `paused()`."""
        with self._between_steps():
            event = self._note_edit()
        self._tell(event)

    # Looking back

    def seek(self, step: int | None) -> None:
        """Show a recorded step; changes nothing. None, or the newest step, follows the run again."""
        with self._changed:
            follow = step is None or step >= self.trainer.step_count
            self._shown = None if follow or step is None else max(0, int(step))
        self._tell("seek")

    @property
    def following(self) -> bool:
        return self._shown is None

    @property
    def position(self) -> int:
        """The step that is shown."""
        return self.trainer.step_count if self._shown is None else self._shown

    def rewind(self, step: int) -> None:
        """Go back to the state after `step` steps, exactly: the checkpoint before it is loaded and replayed.

        What came after is forgotten, and the run is paused.
        """
        self.pause()
        if not 0 <= step <= self.trainer.step_count:
            raise SettingError(
                f"Expected a step of 0 to {self.trainer.step_count}, received {step!r}: rewinding only goes back."
            )
        # In a thread of its own an interrupt cannot leave the replay half done.
        _apart(lambda: self._rewind(step))
        self._tell("history")
        self._tell("status")

    def fork(self, step: int | None = None, **settings: Any) -> "Player":
        """A run of its own from here, or from an earlier `step`, with changed settings (Trainer.settings).

        This run is left as it is. The new one knows its `parent` and `forked_at`, and is not playing.
        """
        with self.paused() as trainer:
            twin = copy.copy(self)
            twin._set_up()
            twin._settings_log, twin._edits = list(self._settings_log), list(self._edits)
            twin._speed, twin._stop_when = self._speed, dict(self._stop_when)
            twin.trainer, twin.recorder = trainer.clone(), self.recorder.copy()
        if step is not None:
            twin.rewind(step)
        twin.trainer = twin.trainer.clone(**settings)
        twin.parent, twin.forked_at, twin.error, twin.beside = self, twin.trainer.step_count, None, None
        twin.status, twin.reason = "paused", f"Forked at step {twin.forked_at}."
        # States from before the fork belong to the parent's settings.
        twin.recorder.checkpoints = Recorder().checkpoints
        twin._settings_log, twin._edits = [], []
        twin._record_checkpoint()
        return twin

    @property
    def last_good(self) -> int | None:
        """After a loss that became NaN or infinite: the newest step whose state still gave a finite one."""
        if isinstance(self.error, DivergedError) and self.trainer.step_count > 0:
            return self.trainer.step_count - 1
        return None

    # What was recorded

    @property
    def history(self) -> list[dict[str, float]]:
        """A dict a step: step, epoch, loss, lr, and at evaluated steps the scores of Trainer.evaluate."""
        return self.recorder.history

    def columns(self, after: int = -1, evaluated_after: int | None = None) -> dict[str, np.ndarray]:
        """What was recorded after step `after`, as `Recorder.columns` has it."""
        return self.recorder.columns(after, evaluated_after)

    def frame(self, step: int | None = None) -> dict[str, Any]:
        """The newest frame at or before a step (by default the one shown): {"step": ..., "probe.key": array}."""
        found = self.recorder.frames.at(self.position if step is None else step)
        return {} if found is None else {"step": found[0], **found[1]}

    def listen(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call `callback(event)` from now on; returns a function that ends it.

        Events: "frame" (new rows and a new frame), "edit" (somebody changed the model at this step), "status" (play,
        pause, a setting), "seek", and "history" (what was recorded has been replaced: read all of it again).
        """
        self._listeners.append(callback)

        def remove() -> None:
            if callback in self._listeners:
                self._listeners.remove(callback)

        return remove

    # Settings

    def set(self, *, lr: float) -> None:
        """Change the learning rate between two steps, also while it plays."""
        with self._between_steps():
            self.trainer.lr = lr
            self._settings_log.append((self.trainer.step_count, {"lr": lr}))
        self._tell("status")

    @property
    def speed(self) -> float | None:
        """The most steps a second; None for as many as the machine can."""
        return self._speed

    @speed.setter
    def speed(self, value: float | None) -> None:
        if value is not None and not (math.isfinite(value) and value > 0):
            raise SettingError(f"Expected a speed above 0 steps a second, or None, received {value!r}.")
        with self._changed:
            self._speed, self._next_step = value, 0.0
            self._changed.notify_all()
        self._tell("status")

    @property
    def stop_when(self) -> dict[str, float]:
        """Stop conditions: {"step": 500, "test_accuracy": 0.95, "test_loss": 0.1}; the first that holds stops the run.

        An accuracy and the step must be reached, a loss fallen to. What holds already when the run is played is left
        out, so that one can play on.
        """
        return dict(self._stop_when)

    @stop_when.setter
    def stop_when(self, conditions: Mapping[str, float]) -> None:
        newest = self.recorder.evaluations.at(self.trainer.step_count)
        known = {"step", *(key for key in (newest[1] if newest else {}) if key.endswith(("_loss", "_accuracy")))}
        unknown = set(conditions) - known
        if unknown:
            raise SettingError(
                f"Expected stop conditions on {', '.join(sorted(known))}, received {', '.join(sorted(unknown))}."
            )
        with self._changed:
            self._stop_when = {key: float(value) for key, value in conditions.items()}
            self._armed = self._not_yet(self._stop_when)
        self._tell("status")

    @property
    def rate(self) -> float:
        """Steps a second, measured over about the last second; 0 while it does not play."""
        if self.status != "playing" or len(self._pace) < 2:
            return 0.0
        (then, first), (now, last) = self._pace[0], self._pace[-1]
        return (last - first) / (now - then) if now > then else 0.0

    # In the thread

    def _run(self) -> None:
        error: Exception | None = None
        try:
            with _SWITCHING:
                while self._ready():
                    _TURNS.enter(self)  # before the model is held: who has the turn may look at the models of others
                    with self._model:
                        self._advance()
                    _TURNS.pass_on(self)
                    self._show_if_due()
            if self._stop is not None and self._stop[0] == "finished":
                self._evaluate_here()
            with self._model:
                self._record_frame()
                self._record_checkpoint()
            self._tell("frame")
        except Exception as caught:  # kept: shown by the view, raised by wait()
            error = caught
            with self._changed:
                self._ending = True
        finally:
            _TURNS.leave(self)
        with self._changed:
            self.error = error
            status, reason = self._stop or ("paused", "Paused.")
            self.reason = str(error) or type(error).__name__ if error else reason
            self.status = "failed" if error else status  # last: who sees it finds the reason beside it
        try:
            self._tell("status")
        finally:  # only now, so that who waits for the end finds the listeners done as well
            with self._changed:
                self._thread, self._stop, self._ending = None, None, False
                self._changed.notify_all()

    def _ready(self) -> bool:
        """Wait for the next step's time; False when it is time to stop."""
        with self._changed:
            while self._stop is None:
                delay = self._next_step - time.perf_counter() if self._speed else 0.0
                if self._target is not None and self.trainer.step_count >= self._target[0]:
                    step, status = self._target
                    self._stop = status, f"Reached step {step}."
                elif self._is_ahead():
                    _TURNS.leave(self)
                    self._changed.wait(LOOK_SECONDS)
                elif self._holds or delay > self._may_be_ahead():
                    _TURNS.leave(self)
                    self._changed.wait(None if self._holds else delay)
                else:
                    if self._speed:
                        now, gap = time.perf_counter(), 1 / self._speed
                        late = self._next_step < now - max(gap, BEHIND_SECONDS)
                        self._next_step = (now if late else self._next_step) + gap
                    return True
            self._ending = True
            return False

    def _may_be_ahead(self) -> float:
        """Seconds that a run of limited speed may be ahead of its time; none where its steps are far apart."""
        return AHEAD_SECONDS if self._speed and 2 / self._speed < AHEAD_SECONDS else 0.0

    def _is_ahead(self) -> bool:
        other = self.beside
        return (
            other is not None
            and other.status == "playing"
            and self.trainer.epoch >= math.floor(other.trainer.epoch) + 1
        )

    def _advance(self) -> None:
        """One step, and what is due after it."""
        row = self._watched_step()
        step = self.trainer.step_count
        self.recorder.rows.add(step, row)
        scores = self._record_evaluation() if self._evaluation_due(step) else {}
        if self._armed:
            self._check_stop({"step": step, **scores})
        if self.frame_every and step % self.frame_every == 0:
            self._record_frame()
        if time.perf_counter() >= self._next_checkpoint:
            self._record_checkpoint()

    def _watched_step(self) -> dict[str, float]:
        with ExitStack() as watching:
            for watch in self._watches:
                watching.enter_context(watch(self.trainer))
            return self.trainer.step()

    def _show_if_due(self) -> None:
        now = time.perf_counter()
        if now < self._next_frame:
            return
        # A frame that came late does not move the ones after it.
        self._next_frame = max(self._next_frame + 1 / self.fps, now)
        self._pace.append((now, self.trainer.step_count))
        if now >= self._next_probe or self._speed:
            with self._model:
                self._record_frame()
            self._next_probe = now + (time.perf_counter() - now) / PROBE_SHARE
        self._tell("frame")

    def _evaluation_due(self, step: int) -> bool:
        return step in self._early or step % self._evaluate_every == 0

    def _evaluate_here(self) -> None:
        newest = self.recorder.evaluations.at(self.trainer.step_count)
        if newest is None or newest[0] != self.trainer.step_count:
            self._record_evaluation()

    def _record_evaluation(self) -> dict[str, float]:
        scores = self.trainer.evaluate()
        step = self.trainer.step_count
        self.recorder.evaluations.add(step, {"step": step, "epoch": self.trainer.epoch, **scores})
        return scores

    def _record_frame(self) -> None:
        frame = {
            f"{name}.{key}": np.asarray(array)
            for name, probe in self.probes.items()
            for key, array in probe(self.trainer).items()
        }
        self.recorder.add_frame(self.trainer.step_count, frame)

    def _record_checkpoint(self) -> None:
        started = time.perf_counter()
        state = self.trainer.state_dict()
        self.recorder.checkpoints.add(self.trainer.step_count, state)
        took = time.perf_counter() - started
        self._next_checkpoint = started + max(CHECKPOINT_SECONDS, took / CHECKPOINT_SHARE)

    def _not_yet(self, conditions: Mapping[str, float]) -> dict[str, float]:
        newest = self.recorder.evaluations.at(self.trainer.step_count)
        here = {**(newest[1] if newest else {}), "step": self.trainer.step_count}
        return {key: value for key, value in conditions.items() if not _holds(key, value, here)}

    def _check_stop(self, here: dict[str, float]) -> None:
        for key, value in self._armed.items():
            if _holds(key, value, here):
                words = key.replace("_", " ").capitalize()
                self._request_stop("finished", f"{words} reached {here[key]:.4g}.")
                return

    # Going back

    def _rewind(self, step: int) -> None:
        with self._model:
            found = self.recorder.checkpoints.at(step)
            if found is None:
                raise SettingError(
                    f"Expected a step of {self.forked_at} or later, received {step}: this run was forked at step "
                    f"{self.forked_at}. Rewind or fork its parent to go further back."
                )
            start, state = found
            if any(start < edit <= step for edit in self._edits):
                raise SettingError(
                    f"Expected a step that can be replayed, received {step}: the model was edited by hand after step "
                    f"{start}. Rewind to {start} or earlier."
                )
            changes = [(at, settings) for at, settings in self._settings_log if at < step]
            self.trainer.load_state_dict(state)
            # Frames up to the step stay: the replay gives the same ones.
            self.recorder.cut(step)
            self.recorder.rows.cut(start)
            self.recorder.evaluations.cut(start)
            while self.trainer.step_count < step:
                self._replay_settings(changes, self.trainer.step_count)
                row = self._watched_step()
                self.recorder.rows.add(self.trainer.step_count, row)
                if self._evaluation_due(self.trainer.step_count):
                    self._record_evaluation()
            self._settings_log = changes
            self._edits = [edit for edit in self._edits if edit <= step]
            self._record_frame()
            self._record_checkpoint()
            self._shown = None
        with self._changed:
            self.error = None
            self.status, self.reason = "paused", f"Rewound to step {step}."

    def _replay_settings(self, changes: list[tuple[int, dict[str, float]]], step: int) -> None:
        for at, settings in changes:
            if at == step:
                self.trainer.lr = settings["lr"]

    def _note_edit(self) -> str:
        """Keep what somebody made of the model, or loaded into it, and return the event that tells of it."""
        step = self.trainer.step_count
        newest = self.recorder.rows.at(sys.maxsize)
        went_back = newest is not None and newest[0] > step
        self.recorder.cut(step)
        self._edits = [*(edit for edit in self._edits if edit < step), step]
        self._record_frame()
        self._record_checkpoint()
        return "history" if went_back else "edit"

    def _versions(self) -> list[Any]:
        """What changes when somebody edits the model in place, or a setting."""
        tensors = [*self.trainer.model.parameters(), *self.trainer.model.buffers()]
        return [self.trainer.lr, self.trainer.step_count, *((id(t), t._version) for t in tensors)]

    # Between threads

    @contextmanager
    def _between_steps(self) -> Iterator[None]:
        """Hold the model. The thread, which would take it again at once, waits while anybody else wants it."""
        with self._changed:
            self._holds += 1
        try:
            with self._model:
                yield
        finally:
            with self._changed:
                self._holds -= 1
                self._changed.notify_all()

    def _tell(self, event: str) -> None:
        for callback in list(self._listeners):
            callback(event)

    def _request_stop(self, status: str, reason: str) -> None:
        with self._changed:
            if self._thread is not None and self._stop is None:
                self._stop = status, reason
                self._changed.notify_all()

    def _join(self, timeout: float | None = None) -> bool:
        """Wait until nothing plays; True unless the timeout came first. The thread never waits for its own end."""
        with self._changed:
            if self._thread is threading.current_thread():
                return True
            return self._changed.wait_for(lambda: self._thread is None, timeout)

    def _wait_in_slices(self, timeout: float | None) -> bool:
        """As `_join`, but the main thread wakes up often enough to be interrupted wherever a signal is delivered."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            if self._join(min(0.1, left)):
                return True
        return self._join(0)

    def _show_progress(self, steps: int | None) -> None:
        from tqdm.auto import tqdm  # only here: it looks for a notebook when it is imported

        with tqdm(total=steps, initial=self.trainer.step_count, unit="step") as bar:
            while not self._join(timeout=0.1):
                bar.update(self.trainer.step_count - bar.n)
            bar.update(self.trainer.step_count - bar.n)


def _holds(key: str, value: float, here: Mapping[str, float]) -> bool:
    if key not in here:
        return False
    return here[key] <= value if key.endswith("_loss") else here[key] >= value


def _evaluation_steps(trainer: Trainer, every: int | None) -> tuple[frozenset[int], int]:
    """(early steps to evaluate at, steps between two later evaluations).

    An example's evaluation costs about a third of its training, so evaluating n examples every
    n / (3 * share * batch_size) steps takes that share of the time.
    """
    if every is not None:
        return frozenset(), every
    tested = 0 if trainer.test is None else len(getattr(trainer.test, "dataset", trainer.test))
    trained = min(trainer.train_sample, trainer.steps_per_epoch * trainer.batch_size)
    every = math.ceil((tested + trained) / (3 * EVALUATION_SHARE * trainer.batch_size))
    every = max(trainer.steps_per_epoch, every)
    return frozenset(2**i for i in range(every.bit_length()) if 2**i < every), every


def _apart(call: Callable[[], None]) -> None:
    """Run a call in a thread of its own to its end, and raise what it raised."""
    caught: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:  # handed over to the caller
            caught.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if caught:
        raise caught[0]


@atexit.register
def _pause_all() -> None:
    # A thread inside torch while the interpreter is taken down can crash the process.
    for player in list(_PLAYERS):
        player.pause()
