"""The view of an ensemble: all members' losses over the steps, and how they depend on a setting."""

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from labkit.errors import SettingError
from labkit.train import Ensemble, Player
from labkit.widgets.played import PlayedView
from labkit.widgets.race import METRICS, WORDS, Race

if TYPE_CHECKING:
    from labkit.plots.figure import Figure


class EnsembleView(PlayedView):
    """Watch many models train at once: `EnsembleView(player)` of a Player that plays an Ensemble.

    metric: "loss" (of the batches), or a score of Trainer.evaluate such as "test_loss" or "test_accuracy".
    A click on a member, or `open_member(member)`, makes it a run of its own: `opened`, a Player of a plain Trainer.
    `text` says what is shown, `figure()` draws it with Matplotlib.
    """

    asset = "ensemble"

    def __init__(self, player: Player, metric: str = "loss") -> None:
        if not (isinstance(player, Player) and isinstance(player.trainer, Ensemble)):
            raise SettingError("Expected a player of an ensemble: EnsembleView(Player(Ensemble(...))).")
        self.opened: Player | None = None
        self._opened: dict[str, int] | None = None
        super().__init__(Race(player, 0, _check_metric(metric, player.trainer)))

    @property
    def _race(self) -> Race:
        return cast(Race, self._run)

    def open_member(self, member: int) -> Player:
        """A member as a run of its own, from the newest step on; the ensemble goes on as it was."""
        with self.player.looking() as ensemble:
            trainer = cast(Ensemble, ensemble).extract(member)
        self.opened = Player(trainer)
        self._opened = {"member": member, "step": trainer.step_count}
        self.update({"opened": self._opened})
        return self.opened

    def figure(self) -> "Figure":
        from labkit import plots  # matplotlib is imported when a figure is asked for

        race = self._race
        with self.player.looking():
            steps, values = race.cells()
            shown = steps <= self.player.position
            return plots.ensemble(
                steps[shown],
                values[shown],
                settings=np.array([member[race.axis] for member in race.ensemble.members]),
                curve=race.curve(),
                diverged_at=race.diverged_at(),
                best=race.best(),
                setting=WORDS[race.axis],
                metric=METRICS[race.metric],
                logarithmic=not race.largest_is_best,
                title=self._finding(),
            )

    # ---- what is sent

    def everything(self) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
        race = self._race
        state = {
            **self._state(),
            "members": race.ensemble.members,
            "axis": race.axis,
            "axes": race.axes or ["seed"],
            "words": WORDS,
            "metric_words": METRICS,
            "opened": self._opened,
        }
        frame, arrays = self._frame()
        return {**state, **frame}, arrays, self._columns()

    def _frame(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        race = self._race
        state = {
            "metric": race.metric,
            "metrics": race.ensemble.record.metrics,
            "best": race.best(),
            "finding": self._finding(),
            "over": race.ensemble.steps_per_epoch,
        }
        arrays = {"now": race.now(), "diverged_at": race.diverged_at()}
        return state, arrays | {f"curve.{name}": column for name, column in race.curve().items()}

    def _finding(self) -> str:
        """What one sees, in one line."""
        race, step = self._race, self.player.position
        members, best = race.ensemble.members, race.best()
        if step == 0 or best is None:
            return f"{len(members)} models about to train"
        told = ", ".join(f"{WORDS[name]} {members[best][name]:.3g}" for name in race.axes)
        value = f"{METRICS[race.metric]} {race.now()[best]:.3g}"
        return (
            f"Best of {len(members)} after {step:,} step{'s' if step > 1 else ''}: {told + ', ' if told else ''}{value}"
        )

    def _describe(self) -> str:
        race, player = self._race, self.player
        status = player.status if player.following else f"{player.status}, looking back"
        words = (
            f"Step {player.position} of {player.trainer.step_count}, epoch {race.epoch(player.position):.3g}, {status}."
        )
        words += f" {self._finding()}."
        diverged, curve = race.diverged_at(), race.curve()
        if diverged.any():
            words += f" {int((diverged > 0).sum())} of {len(diverged)} have diverged."
        if len(curve["setting"]) > 1:
            low, high = curve["setting"][[0, -1]]
            words += f" Rows are sorted by {WORDS[race.axis]}, {low:.3g} to {high:.3g}."
        if self._opened is not None:
            words += f" Member {self._opened['member']} is opened at step {self._opened['step']}."
        return f"{words} {player.reason}" if player.status in ("failed", "finished") else words

    # ---- what the browser asks for

    def on_metric(self, name: str) -> None:
        race = self._race
        race.metric = _check_metric(name, race.ensemble)
        with self._lock:
            self._send_history(race)
        self.text = self._describe()

    def on_open(self, member: int) -> None:
        self.open_member(member)
        self.text = self._describe()


def _check_metric(name: str, ensemble: Ensemble) -> str:
    known = ensemble.record.metrics
    if name not in known or name not in METRICS:
        raise SettingError(f"Expected a metric of {', '.join(known)}, received {name!r}.")
    return name
