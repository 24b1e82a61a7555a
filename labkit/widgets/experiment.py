"""One run of a playground: its settings, what was changed by hand since, and the picture of the step that is shown."""

import copy
import dataclasses
import re
from bisect import bisect_right
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from labkit.playground import Settings, build, code, surfaces
from labkit.playground.code import Change
from labkit.train import Player, Trainer
from labkit.widgets.runs import Run

# Pictures a second at most.
FPS = 60


def network(trainer: Trainer) -> dict[str, np.ndarray]:
    """All parameters in one row, "parameters" (P,): a probe. Pictures of former steps are computed from them again."""
    return {"parameters": nn.utils.parameters_to_vector(trainer.model.parameters()).detach().numpy()}


class Experiment(Run):
    """A run that knows the settings it started from (`start`), those of now, and the changes between them."""

    def __init__(self, settings: Settings, number: int, fork_of: "Experiment | None" = None, step: int = 0) -> None:
        self.start: Settings = settings if fork_of is None else fork_of.start
        self.settings = settings
        self.changes: list[Change] = [] if fork_of is None else list(fork_of.changes)
        self._editing = False
        self._seen: tuple[Any, ...] = ()
        self._former: tuple[int, build.PlaygroundTrainer, dict[str, float]] | None = None
        self._grid: tuple[Any, Tensor] = (None, torch.empty(0))
        self.points = build.points(settings)
        if fork_of is None:
            trainer = build.trainer(settings)
            epoch = trainer.steps_per_epoch
            player = Player(trainer, {"network": network}, evaluate_every=epoch, fps=FPS, frame_every=epoch)
        else:
            player = fork_of.player.fork(step)
        super().__init__(player, number)
        self.follow_history()

    @property
    def trainer(self) -> build.PlaygroundTrainer:
        return cast(build.PlaygroundTrainer, self.player.trainer)

    # ---- changes by hand

    def set_lr(self, lr: float) -> None:
        self.settings = self.settings.change(lr=lr)
        self.note(Change(self.player.trainer.step_count, "lr", value=lr))
        self.player.set(lr=lr)

    def edit(self, name: str, index: tuple[int, ...], value: float) -> None:
        """Set one entry of the network; before the first step it becomes part of the settings."""
        checked = self.settings.change(start_weights=[(name, index, value)]).start_weights[0]
        self._editing = True
        try:
            with self.player.paused() as trainer, torch.no_grad():
                trainer.model.get_parameter(name)[checked[1]] = checked[2]
                if trainer.step_count == 0:
                    others = [w for w in self.settings.start_weights if w[:2] != checked[:2]]
                    self.settings = self.start = self.settings.change(start_weights=[*others, checked])
                else:
                    self.note(Change(trainer.step_count, name, checked[1], checked[2]))
        finally:
            self._editing = False

    def freeze(self, name: str, index: tuple[int, ...], on: bool) -> None:
        """Have training leave one entry alone, or not."""
        entry = self.settings.change(frozen=[(name, index)]).frozen[0]
        others = [other for other in self.settings.frozen if other != entry]
        self._editing = True
        try:
            with self.player.paused() as trainer:
                self.settings = self.settings.change(frozen=[*others, entry] if on else others)
                self.trainer.freeze(*entry, on)
                if trainer.step_count == 0:
                    self.start = self.settings
                else:
                    self.note(Change(trainer.step_count, *entry, frozen=on))
                self.player.note_edit()  # so that a rewind does not replay across it
        finally:
            self._editing = False

    def note(self, change: Change) -> None:
        """Keep a change; a former one of the same thing at the same step gives way."""
        key = (change.step, change.name, change.index, change.frozen is None)
        self.changes = [c for c in self.changes if (c.step, c.name, c.index, c.frozen is None) != key] + [change]

    def heard_edit(self) -> None:
        """The network was changed at this step. Not by this class's own hand: then keep all of it as it is now."""
        self.changed_unheard()
        if self._editing:
            return
        trainer = self.trainer
        step, values = trainer.step_count, network(trainer)["parameters"]
        if step == 0:
            born = build.network(self.settings.change(start_weights=()))
            by_hand = _differing(born, trainer.model)
            self.settings = self.start = self.settings.change(lr=trainer.lr, start_weights=by_hand)
            return
        self.changes = [c for c in self.changes if c.step < step or c.name == "lr" or c.frozen is not None]
        self.changes.append(Change(step, "all", values=tuple(values.tolist())))
        if trainer.lr != self.settings.lr:
            self.settings = self.settings.change(lr=trainer.lr)
            self.note(Change(step, "lr", value=trainer.lr))

    def changed_unheard(self) -> bool:
        """Whether somebody changed the network at this very step without telling the player."""
        trainer = self.player.trainer
        now = (trainer.model, trainer.step_count, [parameter._version for parameter in trainer.model.parameters()])
        before, self._seen = self._seen, now
        return bool(before) and before[0] is now[0] and before[1] == now[1] and before[2] != now[2]

    def follow_history(self) -> None:
        """After the run went back: forget what was changed later, and take learning rate and frozen entries of then."""
        self._former = None
        step, lr = self.player.trainer.step_count, self.player.trainer.lr
        self.changes = [c for c in self.changes if c.step < step or (c.step == step and c.name != "lr")]
        last = next((c.value for c in reversed(self.changes) if c.name == "lr"), self.start.lr)
        if lr != last:
            self.note(Change(step, "lr", value=lr))
        masks = self.trainer.frozen
        frozen = [(name, tuple(place)) for name, mask in masks.items() for place in mask.nonzero().tolist()]
        self.settings = self.settings.change(lr=lr, frozen=frozen)

    @property
    def program(self) -> str:
        return code.program(self.start, sorted(self.changes, key=lambda change: change.step))

    # ---- what is shown

    def shown(self) -> build.PlaygroundTrainer:
        """A trainer in the state of the step that is shown: the run's own, or a twin in a former state."""
        player = self.player
        if player.following:
            return self.trainer
        frame = player.frame()
        if self._former is None or self._former[0] != frame["step"]:
            twin = copy.copy(self.trainer)
            twin.model = copy.deepcopy(self.trainer.model)
            with torch.no_grad():
                flat = torch.from_numpy(frame["network.parameters"])
                nn.utils.vector_to_parameters(flat.clone(), twin.model.parameters())
            self._former = (frame["step"], twin, twin.evaluate())
        return self._former[1]

    def live(self) -> dict[str, Any]:
        """With the losses and accuracies of the step that is shown, and its learning rate as the schedule has it."""
        with self.player.looking():
            scores = self.scores()
            known = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
            return {**super().live(), **{name: scores.get(name) for name in known}, "lr": self._rate()}

    def _rate(self) -> float:
        """The learning rate of the next step; while looking back, that of the step shown."""
        recorded = None if self.player.following else self.value("lr", self.player.position)
        if recorded is not None:
            return recorded
        trainer = self.trainer
        return trainer.lr * (1.0 if trainer.schedule is None else trainer.schedule(trainer.step_count))

    def scores(self) -> dict[str, float]:
        """Losses and accuracies of the step that is shown."""
        trainer = self.shown()
        return trainer.evaluate() if trainer is self.trainer or self._former is None else self._former[2]

    def grid(self, at: tuple[float, float]) -> Tensor:
        key = (self.settings.features, at)
        if self._grid[0] != key:
            self._grid = (key, surfaces.grid(self.settings.features, at))
        return self._grid[1]

    def picture(
        self, at: tuple[float, float], coarse: bool = False, promoted: int | None = None
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(live state, arrays) of the step that is shown; `at` is the point whose values are told.

        Coarse, the maps of hidden neurons but the `promoted` one have every second row and column: a quarter of the
        bytes. The others are then in "fine", in the order of live["fine"], their numbers.
        """
        with self.player.looking():
            trainer = self.shown()
            seen = surfaces.look(trainer.model, self.grid(at))
            parameters = network(trainer)["parameters"]
            live = self.live()
        fine = [u for u in range(len(seen.maps)) if u >= len(seen.maps) - self.settings.outputs or u == promoted]
        maps = {"maps": seen.maps}
        if coarse:
            maps = {"maps": np.ascontiguousarray(seen.maps[:, ::2, ::2]), "fine": seen.maps[fine]}
            live["fine"] = fine
        arrays = {**maps, "reach": seen.reach, "parameters": parameters, "values": seen.values}
        if seen.decision is not None and seen.confidence is not None:
            arrays |= {"decision": seen.decision, "confidence": seen.confidence}
        return live, {f"{name}.{self.number}": array for name, array in arrays.items()}

    def points_shown(self) -> dict[str, np.ndarray]:
        """Train, test and own points as (n, 3): x, y, target."""
        learned, kept = self.points
        own = np.array(self.settings.points, np.float32).reshape(-1, 3)
        if self.settings.kind == "binary" and len(own):
            own[:, 2] = 2 * own[:, 2] - 1
        arrays = {
            "train": build.labelled(self.settings, learned),
            "test": build.labelled(self.settings, kept),
            "own": own,
        }
        return {f"{name}.{self.number}": array for name, array in arrays.items()}

    def drawing(self, at: tuple[float, float]) -> dict[str, Any]:
        """What labkit.plots.playground takes."""
        arrays = {name.partition(".")[0]: array for name, array in self.picture(at)[1].items()}
        points = {name.partition(".")[0]: array for name, array in self.points_shown().items()}
        chosen = [surfaces.NAMES.index(name) for name in self.settings.features]
        weights = [p.detach().numpy() for p in self.shown().model.parameters() if p.ndim > 1]
        columns, past = self.columns, bisect_right(self.columns["eval_step"], self.player.position)
        names = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
        history = {name: np.array(columns[name][:past]) for name in names if name in columns}
        steps = np.array(columns["eval_step"][:past])
        return {
            "layers": [(layer["activation"], layer["width"]) for layer in self.describe()["layers"][1:]],
            "maps": arrays["maps"],
            "reach": arrays["reach"],
            "features": self.settings.features,
            "feature_maps": surfaces.feature_maps()[0][chosen],
            "weights": weights,
            "kind": self.settings.kind,
            "train": points["train"],
            "test": points["test"] if len(points["test"]) else None,
            "history": {"epoch": steps / self.trainer.steps_per_epoch, **history},
            "decision": arrays.get("decision"),
            "confidence": arrays.get("confidence"),
        }

    def describe(self) -> dict[str, Any]:
        settings = self.settings
        sizes = [len(settings.features), *settings.widths, settings.outputs]
        names = ["input", *(f"linear{i + 1}" for i in range(len(settings.widths))), "output"]
        last = "tanh" if settings.kind == "binary" else "softmax" if settings.kind == "classes" else "linear"
        layers: list[dict[str, Any]] = []
        at = 0
        for i, (name, width) in enumerate(zip(names, sizes, strict=True)):
            activation = "linear" if i == 0 else [*settings.activations, last][i - 1]
            weight = None if i == 0 else at
            at += 0 if i == 0 else sizes[i - 1] * width
            bias = None if i == 0 else at
            at += 0 if i == 0 else width
            layers.append({"name": name, "width": width, "activation": activation, "weight": weight, "bias": bias})
        told = super().describe()
        reached = re.fullmatch(r"(?:Reached step|Step reached) (\d+)\.", told["reason"])
        if reached:  # a playground counts epochs
            told["reason"] = f"Reached epoch {int(reached[1]) / self.trainer.steps_per_epoch:g}."
        return {
            **told,
            "settings": dataclasses.asdict(settings),
            "layers": layers,
            "kind": settings.kind,
        }


def _differing(born: nn.Module, now: nn.Module) -> tuple[tuple[str, tuple[int, ...], float], ...]:
    """The entries of a network that are not as it was born."""
    found = []
    for (name, before), after in zip(born.named_parameters(), now.parameters(), strict=True):
        for place in (before != after).nonzero().tolist():
            found.append((name, tuple(place), after[tuple(place)].item()))
    return tuple(found)
