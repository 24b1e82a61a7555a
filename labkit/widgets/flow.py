"""The view of what flows through the layers of a network that trains."""

from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.errors import SettingError
from labkit.train import GradientFlow, Player, diagnose
from labkit.train.layerstats import LOWEST
from labkit.widgets.played import PlayedView
from labkit.widgets.runs import Run

if TYPE_CHECKING:
    from labkit.plots.figure import Figure


class FlowView(PlayedView):
    """Activations, gradients and updates of each layer over training: `FlowView(player)`.

    The player has a probe `labkit.train.GradientFlow()`. Layers stand from the input on the left to the output on the
    right. While the run stands still, what `labkit.train.diagnose` finds is said. `text` says what is shown, `figure()`
    draws it with Matplotlib. Raises SettingError for a player without the probe.
    """

    asset = "flow"

    def __init__(self, player: Player) -> None:
        probes = getattr(player, "probes", {})
        name = next((name for name, probe in probes.items() if isinstance(probe, GradientFlow)), None)
        if name is None:
            raise SettingError(
                "Expected a player with a GradientFlow probe, received "
                f"{'one without' if isinstance(player, Player) else type(player).__name__}. "
                'Make it with labkit.train.Player(trainer, probes={"flow": labkit.train.GradientFlow()}).'
            )
        self._probe = name
        with player.looking() as trainer:
            self._layers = [{"name": x.name, "kind": x.kind} for x in probes[name].layers(trainer)]
        self._findings = self._found(player)
        super().__init__(Run(player, 0))

    def figure(self) -> "Figure":
        from labkit import plots  # matplotlib is imported when a figure is asked for

        state, arrays = self._frame()
        names = [layer["name"] for layer in self._layers]
        values = {name.removeprefix("flow."): array for name, array in arrays.items()}
        return plots.flow(names, values, step=state["frame_step"], lowest=LOWEST)

    # ---- what is sent

    def everything(self) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
        frame, arrays = self._frame()
        state = {**self._state(), "layers": self._layers, "lowest": LOWEST}
        return {**state, **frame}, arrays, self._columns()

    def _frame(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        frame, start = self.player.frame(), f"{self._probe}."
        arrays = {f"flow.{key.removeprefix(start)}": a for key, a in frame.items() if key.startswith(start)}
        return {"frame_step": frame.get("step", 0)}, arrays

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "findings": self._findings}

    def _heard(self, run: Run, event: str) -> None:
        if event in ("status", "history", "edit"):  # before this view is locked: who has the model may ask this view
            self._findings = self._found(run.player)
        super()._heard(run, event)

    def _found(self, player: Player) -> list[dict[str, str]] | None:
        if player.status == "playing":
            return None
        return [{"name": f.name, "text": str(f), "advice": f.advice} for f in diagnose(player)]

    def _describe(self) -> str:
        run, player = self._run, self.player
        at, status = player.position, player.status if player.following else f"{player.status}, looking back"
        words = f"Step {at} of {player.trainer.step_count}, epoch {run.epoch(at):.3g}, {status}."
        _, arrays = self._frame()
        gradients = arrays["flow.gradient_rms"]
        first, last = self._layers[0]["name"], self._layers[-1]["name"]
        words += f" Gradients of the outputs are {gradients[0]:.2g} in {first} and {gradients[-1]:.2g} in {last}."
        if self._findings is not None and player.following:
            words += " " + (" ".join(finding["text"] for finding in self._findings) or "Nothing suspicious.")
        return words

    # ---- what the browser asks for

    def on_set(self, lr: float) -> None:
        self.player.set(lr=lr)
