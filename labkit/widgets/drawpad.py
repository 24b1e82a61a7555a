"""A pad to draw on, and what a model makes of the drawing."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.errors import SettingError
from labkit.train import Player
from labkit.train.trainer import evaluation_mode
from labkit.widgets.strokes import draw
from labkit.widgets.view import View, sentence

if TYPE_CHECKING:
    from labkit.plots.figure import Figure

SIDE = 128  # of the ink in pixels
PEN = 0.075  # its width, as a part of the pad
FOLLOW_SECONDS = 0.33  # between two predictions while the model trains


class DrawPad(View):
    """Draw, and see at once what the model sees, says, and goes by: `DrawPad(player)` or `DrawPad(model)`.

    source: a player, whose model is read between two of its steps and followed while it trains, or any nn.Module.
    to_input: what makes the model's input, a tensor (1, ...), of the ink (128, 128) uint8 (0 is paper); by default
        `labkit.data.ink_to_digit`. classes: their names; by default the player's.

    `ink`, `tensor`, `probabilities`, `prediction` and `evidence` hold what the pad shows (None while nothing is drawn);
    `draw(strokes)` and `clear()` do from Python what a hand does; `figure()` draws it with Matplotlib.
    """

    asset = "drawpad"

    def __init__(
        self,
        source: Player | nn.Module,
        to_input: Callable[[np.ndarray], Tensor] | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        if not isinstance(source, Player | nn.Module):
            raise SettingError(
                f"Expected a player or an nn.Module to read the drawing, received {type(source).__name__}."
            )
        from labkit.data import ink_to_digit

        self._source = source
        self._to_input = to_input or ink_to_digit
        self._hint = "Draw a digit here" if to_input is None else "Draw here"
        names = classes if classes is not None else source.trainer.classes if isinstance(source, Player) else None
        self._classes = None if names is None else [str(name) for name in names]
        self._strokes: list[np.ndarray] = []
        self.ink = np.zeros((SIDE, SIDE), np.uint8)
        self.tensor: Tensor | None = None
        self.probabilities: np.ndarray | None = None
        self.evidence: np.ndarray | None = None
        self.step: int | None = None
        self._reading = threading.Lock()  # one prediction at a time
        self._wanted = False
        self._worker: threading.Thread | None = None
        self._next = 0.0
        super().__init__()
        self._remove = source.listen(self._heard) if isinstance(source, Player) else None
        self.text = self._describe()
        self.claim_cell()

    @property
    def prediction(self) -> str | None:
        """The name of the most probable class."""
        return None if self.probabilities is None else self._name(int(self.probabilities.argmax()))

    def draw(self, strokes: Iterable[Any]) -> None:
        """Draw strokes, each a list of (x, y) in 0..1 from the upper left, and read them; returns when that is done."""
        added = [np.asarray(stroke, np.float32).reshape(-1, 2) for stroke in strokes]
        if not all(len(stroke) and np.isfinite(stroke).all() for stroke in added):
            raise SettingError("Expected strokes of at least one point each, all of them finite numbers in 0..1.")
        with self._lock:
            self._strokes += added
            for stroke in added:
                draw(self.ink, stroke, PEN)
        self._read()
        self._show(drawing=True)

    def clear(self) -> None:
        """Take everything off the pad."""
        self._keep([])
        self._read()
        self._show(drawing=True)

    def figure(self) -> "Figure":
        from labkit import plots

        tensor = None if self.tensor is None else as_picture(self.tensor)
        names = None if self.probabilities is None else [self._name(k) for k in range(len(self.probabilities))]
        return plots.drawing(self.ink, tensor, self.probabilities, names, self.evidence)

    # ---- what is sent

    def everything(self) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
        state, arrays = self._result()
        drawing, points = self._drawing()
        return {**state, **drawing, "hint": self._hint, "pen": PEN}, {**arrays, **points}, {}

    def _result(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        if self.probabilities is None or self.tensor is None:
            names = self._classes
            return {"read": False, "classes": names, "step": self.step, "has_evidence": False}, {}
        names = [self._name(k) for k in range(len(self.probabilities))]
        arrays = {"probabilities": self.probabilities, "tensor": as_picture(self.tensor)}
        if self.evidence is not None:
            arrays["evidence"] = self.evidence
        return {"read": True, "classes": names, "step": self.step, "has_evidence": self.evidence is not None}, arrays

    def _drawing(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        points = np.concatenate([np.zeros((0, 2), np.float32), *self._strokes])
        return {"strokes": [len(stroke) for stroke in self._strokes]}, {"points": points}

    def _show(self, drawing: bool = False) -> None:
        with self._lock:
            state, arrays = self._result()
            if drawing:
                lengths, points = self._drawing()
                state, arrays = {**state, **lengths}, {**arrays, **points}
            self.update(state, arrays)
        self.text = self._describe()

    def _describe(self) -> str:
        if self.probabilities is None:
            return "Nothing is drawn yet." if not self._strokes else "The drawing has not been read yet."
        order = np.argsort(self.probabilities)[::-1]
        best = f"The model reads {self._name(int(order[0]))}, probability {self.probabilities[order[0]]:.3g}"
        if len(order) > 1:
            best += f"; next {self._name(int(order[1]))} at {self.probabilities[order[1]]:.3g}"
        return f"{best}."

    def _name(self, k: int) -> str:
        return self._classes[k] if self._classes and k < len(self._classes) else str(k)

    # ---- what the browser asks for

    def on_stroke(self, index: int, done: bool, buffers: list[Any]) -> None:
        """More points (float32 pairs) of stroke `index`, which may be new."""
        points = np.frombuffer(buffers[0], np.float32).reshape(-1, 2).copy()
        with self._lock:
            if index < len(self._strokes):
                joined = np.concatenate([self._strokes[index], points])
                draw(self.ink, joined[-len(points) - 1 :], PEN)
                self._strokes[index] = joined
            elif len(points):
                self._strokes.append(points)
                draw(self.ink, points, PEN)
            if done:
                lengths, drawing = self._drawing()
                self.update(lengths, drawing)
        self._want()

    def on_undo(self) -> None:
        self._keep(self._strokes[:-1])
        self.update(*self._drawing())
        self._want()

    def on_clear(self) -> None:
        self._keep([])
        self.update(*self._drawing())
        self._want()

    def _keep(self, strokes: list[np.ndarray]) -> None:
        with self._lock:
            self._strokes = strokes
            self.ink = np.zeros((SIDE, SIDE), np.uint8)
            for stroke in strokes:
                draw(self.ink, stroke, PEN)

    # ---- reading the drawing

    def _heard(self, event: str) -> None:
        now = time.monotonic()
        if event in ("status", "history", "edit") or (event == "frame" and now >= self._next):
            self._next = now + FOLLOW_SECONDS
            self._want()

    def _want(self) -> None:
        """Have the newest drawing read by a thread that lives only while there is something to read."""
        with self._lock:
            self._wanted = True
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="labkit-drawpad", daemon=True)
                self._worker.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._wanted:
                    self._worker = None
                    return
                self._wanted = False
            try:
                self._read()
                self._show()
            except Exception as error:
                self.fail(sentence(error))

    def _read(self) -> None:
        """Read the drawing with the model as it is now."""
        with self._reading:
            with self._lock:
                ink = self.ink.copy()
            if not ink.any():
                self.tensor = self.probabilities = self.evidence = None
                return
            with self._model() as model:
                first = next(model.parameters(), None)
                x = self._to_input(ink).to("cpu" if first is None else first.device)
                with evaluation_mode(model):
                    probabilities = self._classify(model, x)
                    evidence = self._attribute(model, x, int(probabilities.argmax()))
            with self._lock:
                self.tensor, self.probabilities, self.evidence = x.cpu(), probabilities, evidence
                self.step = self._source.trainer.step_count if isinstance(self._source, Player) else None

    @contextmanager
    def _model(self) -> Iterator[nn.Module]:
        if isinstance(self._source, Player):
            with self._source.paused() as trainer:
                yield trainer.model
        else:
            yield self._source

    def _classify(self, model: nn.Module, x: Tensor) -> np.ndarray:
        with torch.no_grad():
            output = model(x)
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != 1:
            raise SettingError(
                f"Expected the model to give one row of class scores (1, classes) for the drawing, received "
                f"{tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__}."
            )
        return output[0].float().softmax(0).cpu().numpy()

    def _attribute(self, model: nn.Module, x: Tensor, target: int) -> np.ndarray | None:
        from labkit import saliency

        return as_picture(saliency.attribute(model, x, target))

    def retire(self, successor: View) -> None:
        if self._remove is not None:
            self._remove()
        super().retire(successor)


def as_picture(x: Tensor) -> np.ndarray:
    """(1, ...) as one picture (H, W): channels are summed, a vector becomes a square if it can, else a row."""
    values = x.detach()[0].float().cpu().numpy()
    if values.ndim == 1:
        side = int(len(values) ** 0.5)
        return values.reshape(side, side) if side * side == len(values) else values[None]
    return values.reshape(-1, *values.shape[-2:]).sum(0)
