"""The layers of a network, opened: every unit's map, what each is the sum of, and the arithmetic of every value."""

import copy
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from labkit.activations import Explanation, ReceptiveField, explain_value, links, receptive_field, receptive_fields
from labkit.activations import altered as altering
from labkit.errors import DataError, SettingError
from labkit.plots.look import number
from labkit.train import Player
from labkit.widgets import layer_pass as passes
from labkit.widgets.beside import Beside
from labkit.widgets.layer_picture import Pictures
from labkit.widgets.layer_source import model_at_rest
from labkit.widgets.played import PlayedView
from labkit.widgets.runs import Run
from labkit.widgets.view import View, sentence

if TYPE_CHECKING:
    from labkit.plots.figure import Figure

UNITS = 8  # of each layer in the overview: the strongest
WALL = 64  # units of an opened layer at once
CHANNELS = 6  # of an opened unit's input, one by one
MOST_FACTOR = 10.0


class LayerView(PlayedView):
    """The whole network, its layers, units and single values on one picture: `LayerView(model, x)`.

    source: any nn.Module that takes pictures, or a Player: then the view follows its training and looks back with it
        (exactly where it has a probe `labkit.train.probes.state()`, else from checkpoint to checkpoint).
    x: pictures (n, C, H, W), or a data set of them; by default of a player its test or training set.
    classes: names of the outputs; by default those of the data set.

    The model runs in evaluation mode on one picture. `show`, `pin`, `look_at`, `alter` do from Python what clicks do;
    `captured` holds the values shown, `text` says what is seen, `figure()` draws the maps with Matplotlib.
    Errors: SettingError, and DataError for what is no batch of pictures or does not fit the model.
    """

    asset = "layer"

    def __init__(self, source: nn.Module | Player, x: Any = None, classes: Sequence[str] | None = None) -> None:
        if not isinstance(source, nn.Module | Player):
            raise SettingError(f"Expected an nn.Module or a Player, received {type(source).__name__}.")
        self._source = source
        self._pictures = _pictures(source, x, classes)
        self._factors: dict[tuple[str, int], float] = {}
        self._opened: tuple[str, int | None] | None = None
        self._pinned: tuple[int, int] | None = None
        self._first = 0  # of an opened layer's units
        self._fields: dict[str, np.ndarray] = {}
        self._measured: ReceptiveField | None = None
        self._computing = threading.RLock()
        self._beside = Beside(lambda error: self.fail(sentence(error)))
        with model_at_rest(source) as (model, _):
            self._links = links(model, self._on_device(model))
            self._pass = passes.run(model, self._pictures.now, {}, {})
            if not self._pass.maps:
                raise DataError("Expected a model with layers that give real values of units, received none.")
            self._structure = passes.structure(self._pass, self._links)
        self._axes = self._pass.axes
        self._choose()
        self._compute()
        super().__init__(*([Run(source, 0)] if isinstance(source, Player) else []))
        twin = self._twin()
        self._beside.ask("fields", lambda: self._find_fields(twin))

    # ---- from Python

    @property
    def layers(self) -> list[str]:
        """The layers in the order of their calls, named as `labkit.activations.capture` does."""
        return self._pass.layers

    @property
    def captured(self) -> dict[str, Tensor]:
        """{layer: its output} on the picture shown, with the units that were altered."""
        return dict(self._pass.captured)

    @property
    def picture(self) -> Tensor:
        """What the network is given, (1, C, H, W)."""
        return self._pictures.now

    @property
    def probabilities(self) -> np.ndarray | None:
        """The softmax of the model's output; None where that is not one row of scores."""
        return self._pass.probabilities

    @property
    def altered(self) -> dict[tuple[str, int], float]:
        """{(layer, unit): what its values are multiplied by}."""
        return dict(self._factors)

    @property
    def explanation(self) -> Explanation | None:
        """The arithmetic of the value that is pinned."""
        return self._explanation

    @property
    def measured(self) -> ReceptiveField | None:
        """The receptive field of the value that is pinned; waits until it is measured."""
        self._beside.wait()
        return self._measured

    def look_at(self, index: int) -> None:
        """Show another picture of the data set."""
        self._pictures.look_at(index)
        self._show(anew=True)

    def alter(self, layer: str, unit: int, factor: float = 0.0) -> None:
        """Multiply a unit's values, whatever follows then follows: 0 switches it off, 1 leaves it as it is."""
        self._check(layer, unit)
        if not (np.isfinite(factor) and -MOST_FACTOR <= factor <= MOST_FACTOR):
            raise SettingError(f"Expected a factor of −{MOST_FACTOR:g} to {MOST_FACTOR:g}, received {factor!r}.")
        self._factors.pop((layer, unit), None)
        if factor != 1:
            self._factors[layer, unit] = float(factor)
        self._show()

    def restore(self) -> None:
        """All units as they are, the picture without what was painted on it."""
        self._factors.clear()
        self._pictures.restore()
        self._show()

    def show(self, layer: str | None = None, unit: int | None = None) -> None:
        """Open a layer, a unit of it, or without a layer the overview."""
        if layer is not None:
            self._check(layer, unit)
        self._first = 0
        self._opened = None if layer is None else (layer, unit)
        self._pinned = self._measured = None
        self._show()

    def pin(self, row: int, column: int) -> None:
        """Keep the value at a place of the opened unit's map: its arithmetic and its receptive field."""
        if self._opened is None or self._opened[1] is None:
            raise SettingError("Expected an opened unit to pin a value of. Open one first: view.show(layer, unit).")
        layer, unit = self._opened
        passes.index_of(self._pass, layer, int(unit or 0), (row, column))
        self._pinned, self._measured = (row, column), None
        self._show()
        twin = self._twin()
        self._beside.ask("field", lambda: self._measure(twin))

    def figure(self) -> "Figure":
        from labkit import plots  # matplotlib is imported when a figure is asked for

        with self._computing:
            shown = self._opened[:1] if self._opened else self.layers
            maps = {name: self._pass.maps[name][self._chosen[name]].float().numpy() for name in shown}
            names = {name: [str(k) for k in self._chosen[name]] for name in shown}
            return plots.network_maps(
                maps,
                names,
                {name: len(self._pass.maps[name]) for name in shown},
                self._pictures.as_bytes(),
                self._pass.probabilities,
                self._pictures.classes,
            )

    # ---- what is sent

    def everything(self) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
        state, arrays = self._frame()
        self._sent.clear()  # the page will know what is seen now, and nothing of what was sent before
        fixed = {"structure": self._structure, "classes": self._pictures.classes, "count": len(self._pictures.inputs)}
        return {**self._state(), **fixed, **state}, {**arrays, **self._fields}, self._columns()

    def _frame(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return self._shown

    def _show(self, anew: bool = False) -> None:
        """Compute what is shown, and send what changed. `anew`: choose the units of the overview again."""
        self._compute(anew)
        with self._lock:
            self.update(*self._shown)
        self.say(self._describe())

    def _choose(self) -> None:
        self._chosen = passes.strongest_by_layer(self._pass, self._links, UNITS)

    def _compute(self, anew: bool = False) -> None:
        with self._computing, model_at_rest(self._source) as (model, step):
            picture = self._pictures.now
            before = passes.run(model, picture, {}, self._axes).probabilities if self._factors else None
            self._pass = passes.run(model, picture, self._factors, self._axes)
            self._explanation = self._explain(model)
            if anew:
                self._choose()
            for layer, unit in self._factors:
                if unit not in self._chosen[layer]:
                    self._chosen[layer] = sorted([*self._chosen[layer], unit])
            self._shown = self._packed(step, before)

    def _packed(self, step: int | None, before: np.ndarray | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        pictures, maps = self._pictures, self._pass.maps
        arrays: dict[str, np.ndarray] = {"picture": pictures.as_bytes()}
        for k, (name, values) in enumerate(maps.items() if self._opened is None else ()):  # what is seen
            arrays[f"maps {k}"], arrays[f"reach {k}"] = passes.as_bytes(values[self._chosen[name]])
        arrays["reach"] = np.array([float(passes.reach(values.float()).max()) for values in maps.values()], np.float32)
        for name, scores in (("scores", self._pass.probabilities), ("before", before)):
            arrays[name] = np.zeros(0, np.float32) if scores is None else scores
        state: dict[str, Any] = {
            "frame_step": step,
            "chosen": list(self._chosen.values()),
            "index": pictures.index,
            "target": pictures.target,
            "brought": pictures.brought,
            "painted": pictures.painted,
            "altered": [[layer, unit, factor] for (layer, unit), factor in self._factors.items()],
            "opened": None if self._opened is None else list(self._opened),
            "wall": None,
            "unit": None,
            "pinned": None if self._pinned is None else list(self._pinned),
            "explained": None,
            "measured": None,
            "not_finite": [name for name, values in maps.items() if not values.isfinite().all()],
        }
        if self._opened is not None:
            layer, unit = self._opened
            if unit is None:
                last = min(self._first + WALL, len(maps[layer]))
                arrays["wall"], arrays["wall reach"] = passes.as_bytes(maps[layer][self._first : last], 2 * passes.SIDE)
                state["wall"] = {"first": self._first, "last": last}
                arrays["kernels"] = passes.kernels_of(self._pass, layer, range(self._first, last))
            else:
                state["unit"], more = passes.opened_unit(self._pass, self._links, layer, unit, CHANNELS)
                arrays |= more
        if self._explanation is not None:
            made = self._explanation
            state["explained"] = {"text": made.text, "code": made.code, "value": made.value, "known": made.known}
        if self._measured is not None:
            state["measured"] = {"box": list(self._measured.box), "inside": list(self._measured.inside)}
            arrays["field"] = self._measured.gradient.astype(np.float32)
        return state, arrays

    def _explain(self, model: nn.Module) -> Explanation | None:
        if self._opened is None or self._opened[1] is None or self._pinned is None:
            return None
        layer, unit = self._opened
        index = passes.index_of(self._pass, layer, int(unit or 0), self._pinned)
        with altering(model, self._factors, self._axes):
            made = explain_value(model, self._on_device(model), layer, index)
        factor = self._factors.get((layer, int(unit or 0)), 1.0)
        if factor == 1 or not made.known:
            return made
        changed = made.value * factor
        told = f"{made.text}\n× {number(factor)} by hand = {number(changed)}"
        return replace(made, value=changed, text=told, code=f"{made.code}\nvalue = value * {factor!r}")

    def _describe(self) -> str:
        pictures = self._pictures
        shown = "a picture brought here" if pictures.brought else f"picture {pictures.index + 1}"
        words = f"{len(self.layers)} layers on {shown}{', painted on' if pictures.painted else ''}."
        step = self._shown[0]["frame_step"]
        if step is not None:
            words = f"Step {step}: {words}"
        scores = self._pass.probabilities
        if scores is not None:
            best = int(scores.argmax())
            words += f" Most probable is {self._class(best)}, {number(float(scores[best]))}."
        if self._factors:
            listed = [f"{layer} unit {unit} × {factor:g}" for (layer, unit), factor in self._factors.items()]
            words += f" Altered: {', '.join(listed)}."
        if self._opened is not None:
            layer, unit = self._opened
            size = " × ".join(map(str, self._pass.maps[layer].shape[1:]))
            words += f" Open is {layer}, {len(self._pass.maps[layer])} units of {size}"
            words += "." if unit is None else f", unit {unit}."
        if self._explanation is not None:
            words += f" {self._explanation.text}"
        return words

    def _class(self, k: int) -> str:
        names = self._pictures.classes
        return names[k] if names and k < len(names) else f"class {k}"

    # ---- while it trains

    def _heard(self, run: Run, event: str) -> None:
        if event != "frame" or self.player.status != "playing" or self._beside.rested("maps"):
            self._beside.ask("maps", self._show)
        super()._heard(run, event)

    # ---- receptive fields, which take longer

    def _twin(self) -> nn.Module:
        """A copy, made here and not beside: hooks that a cell has on the model meanwhile would be copied as well."""
        with self._computing, model_at_rest(self._source) as (model, _):
            return copy.deepcopy(model)

    def _find_fields(self, twin: nn.Module) -> None:
        """Of all places of all layers: where each row and each column of places looks."""
        picture = self._pictures.now
        found = receptive_fields(twin, self._on_device(twin), self.layers)
        sides: dict[str, np.ndarray] = {}
        for k, (name, boxes) in enumerate(found.items()):
            rows, columns = passes.along_sides(boxes, self._pass.maps[name].shape[1:], picture.shape[2:])
            sides[f"rows {k}"], sides[f"columns {k}"] = rows, columns
        self._fields = sides
        self.update({"fields": True}, sides)

    def _measure(self, twin: nn.Module) -> None:
        opened, pinned = self._opened, self._pinned
        if opened is None or pinned is None:
            return
        place = passes.index_of(self._pass, opened[0], int(opened[1] or 0), pinned)
        axis = self._pass.axes[opened[0]]
        position = tuple(i for d, i in enumerate(place) if d not in (0, axis))
        found = receptive_field(twin, self._on_device(twin), opened[0], position)
        if (opened, pinned) == (self._opened, self._pinned):
            self._measured = found
            self._show()

    def _on_device(self, model: nn.Module) -> Tensor:
        first = next(model.parameters(), None)
        return self._pictures.now if first is None else self._pictures.now.to(first.device)

    def _check(self, layer: str, unit: int | None) -> None:
        if layer not in self._pass.maps:
            raise SettingError(f"Expected a layer of {', '.join(self.layers)}, received {layer!r}.")
        units = len(self._pass.maps[layer])
        if unit is not None and not (isinstance(unit, int) and 0 <= unit < units):
            raise SettingError(f"Expected a unit of {layer} of 0 to {units - 1}, received {unit!r}.")

    # ---- what the browser asks for

    def on_look(self, index: int) -> None:
        self.look_at(index)

    def on_bring(self, buffers: list[Any]) -> None:
        height, width = self._pictures.inputs.shape[2:]
        self._pictures.bring(np.frombuffer(buffers[0], np.uint8).reshape(height, width, -1)[..., :3].copy())
        self._show(anew=True)

    def on_paint(self, width: float, colour: str | None, buffers: list[Any]) -> None:
        self._pictures.paint(np.frombuffer(buffers[0], np.float32).reshape(-1, 2), width, colour)
        self._show()

    def on_restore(self) -> None:
        self.restore()

    def on_alter(self, layer: str, unit: int, factor: float) -> None:
        self.alter(layer, unit, factor)

    def on_open(self, layer: str | None, unit: int | None) -> None:
        self.show(layer, unit)

    def on_page(self, first: int) -> None:
        self._first = max(0, first)
        self._show()

    def on_pin(self, row: int | None, column: int | None = None) -> None:
        if row is None or column is None:
            self._pinned = self._measured = None
            self._show()
        else:
            self.pin(row, column)

    def retire(self, successor: View) -> None:
        super().retire(successor)
        self._factors.clear()


def _pictures(source: nn.Module | Player, x: Any, classes: Sequence[str] | None) -> Pictures:
    if x is None:
        if not isinstance(source, Player):
            raise SettingError("Expected pictures to show the layers on: LayerView(model, x).")
        trainer = source.trainer
        x = trainer.train if trainer.test is None else trainer.test
        x = getattr(x, "dataset", x)
    if isinstance(x, Tensor):
        return Pictures(x, None, classes)
    return Pictures(getattr(x, "inputs", x), getattr(x, "targets", None), classes or getattr(x, "classes", None))
