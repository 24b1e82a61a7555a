"""The view of a loss landscape, on which the path of training grows while it plays."""

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from labkit.data import Dataset
from labkit.errors import SettingError
from labkit.train import OPTIMIZERS, Player, Trainer
from labkit.train.curvature import sharpness, stability_limit
from labkit.train.landscape import Landscape, Trajectory, plane, trajectory
from labkit.train.path import Path
from labkit.widgets.beside import Beside
from labkit.widgets.runs import Run
from labkit.widgets.training import TrainingView
from labkit.widgets.view import sentence

if TYPE_CHECKING:
    from labkit.plots.figure import Figure

DIRECTIONS = ("pca", "filter", "random")
# Examples that the losses of the map are the mean of, and steps of the paths that a plane is fitted to, at most.
EXAMPLES, FITTED_STEPS = 500, 300
# Accurate enough to be read off a curve.
PRODUCTS, TOLERANCE = 60, 0.005


class Sharpness(NamedTuple):
    step: int
    value: float
    limit: float  # of the optimiser's settings then, NaN where it has none


class LandscapeView(TrainingView):
    """The loss on a plane through the weights, and where training goes on it: `LandscapeView(player)`.

    The player records its weights: `Player(trainer, probes={"parameters": labkit.train.probes.parameters()})`.
    directions: "pca", the plane that holds most of the path (fitted again when the path leaves the map or the run
        stops; by chance until there is a path), or "filter" or "random", by chance from `seed`, through the newest
        weights whenever the run stops. n: places along each side. span: as in labkit.train.landscape.plane.
    ds: what the losses are the mean of; by default 500 examples of the training set.

    `landscape` is the plane shown, `text` says what is seen, `figure()` draws it with Matplotlib. The losses and the
    sharpness are those of a copy of the model in evaluation mode.
    """

    asset = "landscape"

    def __init__(
        self, *players: Player, directions: str = "pca", n: int = 41, span: float = 1.0, seed: int = 0, ds: Any = None
    ) -> None:
        for player in players:
            if isinstance(player, Player):
                trajectory(player)  # raises where the weights are not recorded
        self._directions, self._n, self._span, self._seed = _known(directions), n, span, seed
        self._landscape: Landscape | None = None
        self._measuring = False
        self._fitted: tuple[int, int] | None = None  # the run and the step of the plane's centre
        self._paths: dict[int, Path] = {}
        self._sharpness: dict[int, list[Sharpness]] = {}
        self._ds = ds
        self._beside = Beside(lambda error: self.fail(sentence(error)))
        super().__init__(*players)
        if ds is None:
            self._ds = _sample(self.player.trainer)
        self._ask_fit()
        self._ask_sharpness()

    @property
    def landscape(self) -> Landscape:
        """The plane shown; waits until one that was asked for has been measured."""
        self._beside.wait()
        if self._landscape is None:
            raise SettingError(f"Expected a plane to show, received none. {self.error or ''}")
        return self._landscape

    @property
    def sharpness(self) -> list[Sharpness]:
        """What was measured of the active run, by step."""
        self._beside.wait()
        return list(self._sharpness.get(self._active, ()))

    def add(self, player: Player) -> None:
        """Show one more run on the same plane and give it the controls."""
        super().add(player)
        self._ask_sharpness()

    def figure(self) -> "Figure":
        from labkit import plots  # matplotlib is imported when a figure is asked for

        found = self.landscape
        with self._lock:
            path = self._paths[self._active]
            shown = path.steps <= self.player.position
            others = {f"run {run.name}": self._paths[run.number].places for run in self._runs if run is not self._run}
            steps, places, held = path.steps[shown], path.places[shown], float(path.share[shown][-1])
        return plots.landscape(found.losses, found.a, found.b, places, steps, held, found.kind, others)

    # ---- what is sent

    def everything(self) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
        frame, arrays = self._frame()
        state = {**self._state(), **frame, "optimizers": list(OPTIMIZERS)}
        return {**state, **self._plane_state()}, {**arrays, **self._map()}, {**self._columns(), **self._path_columns()}

    def _frame(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        trainer = self.player.trainer
        limit = stability_limit(trainer.optimizer)
        # The browser knows the rate of each step, and divides by it.
        return {"share": self._share(), "limit_times_rate": limit and limit * trainer.lr}, {}

    def _plane_state(self) -> dict[str, Any]:
        found, fitted = self._landscape, self._fitted
        return {
            "directions": self._directions,
            "kind": found.kind if found else None,
            "centre_step": fitted[1] if fitted else None,
            "span": self._span,
            "measuring": self._measuring,
            "examples": len(self._ds.inputs) if self._ds is not None else 0,
        }

    def _map(self) -> dict[str, np.ndarray]:
        found = self._landscape
        if found is None:
            return {}
        return {"losses": found.losses.astype(np.float32), "a": found.a, "b": found.b}

    def _path_columns(self) -> dict[str, np.ndarray]:
        columns: dict[str, np.ndarray] = {}
        for run in self._runs:
            columns |= _path_rows(run.number, self._paths.get(run.number), 0)
            columns |= _sharp_rows(run.number, self._sharpness.get(run.number, []))
        return columns

    def _send_frame(self, run: Run) -> None:
        path = self._paths.get(run.number)
        if path is not None:
            added = path.extend(_since(run.player, int(path.steps[-1]) if len(path.steps) else -1))
            for name, values in _path_rows(run.number, path, len(path.steps) - added).items():
                self._rows.setdefault(name, []).append(values)
        super()._send_frame(run)
        if run is self._run and run.player.status == "playing":
            left = path is not None and self._directions == "pca" and not (path.inside and self._is("pca"))
            if left and self._beside.rested("plane"):
                self._ask_fit()
            if self._beside.rested("sharpness"):
                self._ask_sharpness()

    def _send_history(self, run: Run) -> None:
        last = run.player.trainer.step_count
        parent = next((r for r in self._runs if r.player is run.player.parent), None)
        known = self._sharpness.get(run.number)
        if known is None:  # a fork has its parent's past
            known = self._sharpness.get(parent.number, []) if parent else []
        self._sharpness[run.number] = [row for row in known if row.step <= last]
        if self._landscape is not None:
            self._paths[run.number] = Path(self._landscape, trajectory(run.player))
        super()._send_history(run)
        self.update(append=self._path_columns(), anew=True)

    def _heard(self, run: Run, event: str) -> None:
        # An edited model has another place at the same step: its path is read again.
        super()._heard(run, "history" if event == "edit" else event)
        if run is self._run and event in ("status", "history", "edit") and run.player.status != "playing":
            if event == "edit" or self._fitted != (run.number, run.player.trainer.step_count):
                self._ask_fit()
            self._ask_sharpness()

    # ---- what is measured beside

    def _ask_fit(self) -> None:
        self._say_measuring(True)
        self._beside.ask("plane", self._fit)

    def _ask_sharpness(self) -> None:
        step, known = self.player.trainer.step_count, self._sharpness.get(self._active, [])
        if not (known and known[-1].step == step):
            self._beside.ask("sharpness", self._measure_sharpness)

    def _fit(self) -> None:
        """Measure a plane through the newest weights of the active run, and put all runs' paths on it."""
        try:
            run = self._run
            with run.player.looking() as trainer:
                model, step, loss = copy.deepcopy(trainer.model), trainer.step_count, trainer.loss
            paths = {r.number: trajectory(r.player) for r in self._runs}
            union = _thinned(list(paths.values()))
            kind = "filter" if self._directions == "pca" and not _moved(union) else self._directions
            found = plane(model, self._ds, kind, union, loss, self._n, self._span, self._seed)
            with self._lock:
                self._landscape, self._fitted = found, (run.number, step)
                self._paths = {r.number: Path(found, trajectory(r.player)) for r in self._runs}
                state = {**self._plane_state(), "share": self._share()}
                self._rows = {name: rows for name, rows in self._rows.items() if ".path_" not in name}
                self.update(state, self._map(), self._path_columns(), anew=True)
            self.text = self._describe()
        finally:
            self._say_measuring(False)

    def _say_measuring(self, yes: bool) -> None:
        self._measuring = yes
        self.update({"measuring": yes})

    def _measure_sharpness(self) -> None:
        run = self._run
        with run.player.looking() as trainer:
            model, step, loss = copy.deepcopy(trainer.model), trainer.step_count, trainer.loss
            limit = _limit(trainer)
        value = sharpness(model, self._ds, loss, PRODUCTS, TOLERANCE)
        row = Sharpness(step, value, limit)
        with self._lock:
            rows = self._sharpness.setdefault(run.number, [])
            if (rows and rows[-1].step >= step) or run.player.trainer.step_count < step:
                return  # it was rewound meanwhile
            rows.append(row)
            self.update(append=_sharp_rows(run.number, [row]))
        self.text = self._describe()

    # ---- what the browser asks for

    def on_directions(self, name: str) -> None:
        self._directions = _known(name)
        self._ask_fit()

    def on_span(self, value: float) -> None:
        if not 0.05 <= value <= 20:
            raise SettingError(f"Expected a span of 0.05 to 20, received {value!r}.")
        self._span = float(value)
        self._ask_fit()

    def on_another(self) -> None:
        """Another plane by chance."""
        self._seed += 1
        self._ask_fit()

    def on_refit(self) -> None:
        self._ask_fit()

    def on_activate(self, run: int) -> None:
        super().on_activate(run)
        self._ask_sharpness()

    def on_remove(self, run: int) -> None:
        super().on_remove(run)
        self._paths.pop(run, None)
        self._sharpness.pop(run, None)

    # ---- in words

    def _is(self, kind: str) -> bool:
        return self._landscape is not None and self._landscape.kind == kind

    def _share(self) -> float | None:
        path = self._paths.get(self._active)
        if path is None or len(path.steps) < 2:
            return None
        return float(path.share[max(0, int(np.searchsorted(path.steps, self.player.position, "right")) - 1)])

    def _describe(self) -> str:
        words = super()._describe()
        if self._landscape is None:
            return f"{words} The map is being measured."
        found, held = self._landscape.losses, self._share()
        finite = found[np.isfinite(found)]
        if finite.size:
            words += f" Losses on the plane shown: {finite.min():.3g} to {finite.max():.3g}."
        if held is not None:
            words += f" It holds {100 * held:.3g} % of the movement."
        rows = [row for row in self._sharpness.get(self._active, ()) if row.step <= self.player.position]
        if rows:
            limit = f", the limit of the learning rate {rows[-1].limit:.3g}" if np.isfinite(rows[-1].limit) else ""
            words += f" Sharpness at step {rows[-1].step} {rows[-1].value:.3g}{limit}."
        return words


def _known(directions: str) -> str:
    if directions not in DIRECTIONS:
        raise SettingError(f"Expected directions of {', '.join(DIRECTIONS)}, received {directions!r}.")
    return directions


def _sample(trainer: Trainer) -> Dataset:
    inputs, targets = getattr(trainer.train, "inputs", None), getattr(trainer.train, "targets", None)
    if not (isinstance(inputs, torch.Tensor) and isinstance(targets, torch.Tensor)):
        raise SettingError(
            "Expected a trainer whose training set has `.inputs` and `.targets` tensors, or ds=..., a data set that "
            f"has them; received {type(trainer.train).__name__}."
        )
    chosen = torch.linspace(0, len(inputs) - 1, min(len(inputs), EXAMPLES)).round().long()
    return Dataset(inputs.cpu()[chosen], targets.cpu()[chosen])


def _limit(trainer: Trainer) -> float:
    """The largest stable sharpness at the rate of the next step; NaN where the optimiser has none."""
    limit = stability_limit(trainer.optimizer)
    if limit is None:
        return float("nan")
    factor = trainer.schedule(trainer.step_count) if trainer.schedule else 1.0
    return limit / factor if factor > 0 else float("inf")


def _since(player: Player, step: int) -> Trajectory:
    """The recorded weights after a step."""
    frames = [(at, frame["parameters.weights"]) for at, frame in player.recorder.frames.after(step)]
    finite = [(at, weights) for at, weights in frames if np.isfinite(weights).all()]
    if not finite:
        return Trajectory(np.zeros(0, int), np.zeros((0, 0)))
    return Trajectory(np.array([at for at, _ in finite]), np.stack([weights for _, weights in finite]))


def _thinned(paths: list[Trajectory]) -> Trajectory:
    """All paths as one, of at most FITTED_STEPS steps."""
    steps, weights = (np.concatenate(parts) for parts in zip(*paths, strict=True))
    chosen = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), FITTED_STEPS)).round().astype(int))
    return Trajectory(steps[chosen], weights[chosen])


def _moved(path: Trajectory) -> bool:
    return bool((path.weights != path.weights[0]).any())


def _path_rows(number: int, path: Path | None, start: int) -> dict[str, np.ndarray]:
    if path is None:
        return {}
    return {
        f"{number}.path_step": path.steps[start:].astype(np.int32),
        f"{number}.path_a": path.places[start:, 0].astype(np.float32),
        f"{number}.path_b": path.places[start:, 1].astype(np.float32),
    }


def _sharp_rows(number: int, rows: list[Sharpness]) -> dict[str, np.ndarray]:
    return {
        f"{number}.sharp_step": np.array([row.step for row in rows], np.int32),
        f"{number}.sharp": np.array([row.value for row in rows], np.float32),
    }
