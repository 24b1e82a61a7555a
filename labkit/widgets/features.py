"""What the units of a network look for, what they are fed by, and what depends on them."""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from labkit.activations import receptive_fields
from labkit.activations.calls import module_of
from labkit.activations.capture import generator_of, generators_left_alone
from labkit.device import device_of, threads, threads_for
from labkit.errors import DataError, SettingError
from labkit.features import DETECTOR, class_accuracy, dissect, neuron, optimizing, responses, strongest, wiring
from labkit.features.reading import read_maps
from labkit.features.wiring import INPUT, UnitLayer, Wire, Wiring
from labkit.plots.look import number
from labkit.train import Player
from labkit.train.trainer import evaluation_mode
from labkit.widgets.beside import Beside
from labkit.widgets.features_study import Study, Work, as_bytes, crop, resized
from labkit.widgets.layer_picture import Pictures
from labkit.widgets.layer_source import model_at_rest
from labkit.widgets.played import PlayedView
from labkit.widgets.runs import Run
from labkit.widgets.view import View, sentence

if TYPE_CHECKING:
    from labkit.plots.figure import Figure

PICTURES = 500  # of the data set, evenly spaced: what patches, parts and accuracies are found on
BATCH = 50
WALL = 64  # units at once
STEPS, EVERY = 128, 8  # of a preferred picture's making, and how often it is shown
PATCHES = 12
CONNECTIONS = 6  # of each direction
THUMB, TILE, LARGE = 32, 64, 128  # pixels of pictures as they are sent
SMALL_PICTURE = 96  # up to here receptive fields are found first, since they take a moment only
UPSAMPLED = 2**25  # numbers of a dissection in memory at once
KEPT = 12  # studies
TELL_SECONDS = 0.3


class FeatureView(PlayedView):
    """The units of each layer as a wall of what they look for; open one for its patches, part, weights and classes.

    model: any nn.Module that takes pictures, copied as it is now; or a Player, whose training is followed.
    ds: a Dataset of pictures (n, C, H, W); with `masks` the part that each unit detects is found. 500 of them at most,
        evenly spaced, are looked at.
    layers: names; by default those of `labkit.features.wiring`.
    checkpoints: {step: model} over a training, such as `labkit.zoo.training(name)`: then a slider goes through them,
        and the untrained net of step 0 is the control of what units detect.

    Everything is computed by one thread beside the notebook, and shown as it comes; `wait()` waits for it. `look_at`,
    `at_step`, `switch_off` do from Python what clicks do. `text` says what is seen, `figure()` draws it.
    Errors: SettingError for what is no model or no such layer, DataError for data that are no pictures.
    """

    asset = "features"

    def __init__(
        self,
        model: nn.Module | Player,
        ds: Any,
        layers: Sequence[str] | None = None,
        checkpoints: Mapping[int, nn.Module] | None = None,
    ) -> None:
        _check(model, ds, checkpoints)
        self._source, self._checkpoints = model, checkpoints or {}
        pictures = Pictures(ds.inputs, ds.targets, ds.classes)
        chosen = np.unique(np.linspace(0, len(ds) - 1, min(PICTURES, len(ds))).round().astype(np.int64))
        self._total, self._ds = len(ds), ds.subset(chosen)
        self._low, self._high = pictures.low, pictures.high
        self._shown_pictures = as_bytes(self._ds.inputs, self._low, self._high)
        first = self._ds.inputs[:1]
        with model_at_rest(model) as (resting, step):
            now = copy.deepcopy(resting).eval()
        on_device = first.to(device_of(now))
        alone = not _draws(now, on_device)
        with evaluation_mode(now):
            self._wiring = wiring(now, on_device, layers)
        self._by_name = {one.name: one for one in self._wiring.layers}
        many = _operations(now, self._wiring) * BATCH
        self._steps = sorted(self._checkpoints)
        self._step = step if isinstance(model, Player) else self._steps[-1] if self._steps else None
        self._studies: dict[int | None, Study] = {} if self._checkpoints else {self._step: Study(now, self._step)}
        self._layer = self._opening_layer()
        self._unit: int | None = None
        self._first = 0
        self._fields: dict[str, np.ndarray] = {}
        self._off: dict[str, list[int]] = {}
        self._ablation: dict[str, np.ndarray] = {}
        self._doing = ""
        self._no_images = ""
        self._told = 0.0
        quiet = generators_left_alone if alone else nullcontext
        self._work = Work(self._failed, lambda: threads(threads_for(many)), quiet)
        self._beside = Beside(self._failed)
        self._quiet = quiet
        super().__init__(*([Run(model, 0)] if isinstance(model, Player) else []))
        self._work.start(self._parts())

    # ---- from Python

    @property
    def layers(self) -> list[str]:
        return list(self._by_name)

    @property
    def step(self) -> int | None:
        """The step of the training that is shown."""
        return self._step

    def look_at(self, layer: str | None = None, unit: int | None = None) -> None:
        """Show another layer's units, and one of them from near."""
        layer = self._layer if layer is None else layer
        one = self._wiring.layer(layer)
        if unit is not None and not 0 <= unit < one.units:
            raise SettingError(f"Expected a unit of {layer} of 0 to {one.units - 1}, received {unit}.")
        with self._lock:
            first = self._first if layer == self._layer else 0
            if unit is not None:
                first = unit // WALL * WALL
            moved = (layer, first) != (self._layer, self._first)
            self._layer, self._unit, self._first = layer, unit, first
        self._show()
        if moved:
            self._work.start(self._parts())

    def at_step(self, step: int) -> None:
        """Show the model of another checkpoint."""
        if step not in self._steps:
            there = ", ".join(map(str, self._steps)) or "none: there are no checkpoints"
            raise SettingError(f"Expected a step of {there}, received {step!r}.")
        with self._lock:
            self._step, self._ablation = step, {}
        self._show()
        self._work.start(self._parts())
        self._ask_ablation()

    def switch_off(self, layer: str, unit: int, off: bool = True) -> None:
        """Set a unit's values to 0 wherever they are used, and measure what each class loses; or end that."""
        if not 0 <= unit < self._wiring.layer(layer).units:
            raise SettingError(f"Expected a unit of {layer}, received {unit}.")
        with self._lock:
            units = set(self._off.get(layer, [])) - {unit} | ({unit} if off else set())
            self._off = {name: list(found) for name, found in self._off.items() if name != layer}
            if units:
                self._off[layer] = sorted(units)
            self._ablation = {}
        self._show()
        self._ask_ablation()

    def wait(self) -> None:
        """Until everything that is computed for what is shown has been."""
        self._work.wait()
        self._beside.wait()

    def figure(self) -> "Figure":
        from labkit import plots  # matplotlib is imported when a figure is asked for

        with self._lock:
            wall, arrays = self._wall()
            unit, more = self._opened()
            parts = [wall["parts"][k] if k >= 0 else None for k in arrays["wall.part"]]
            detects = [(part, float(iou)) for part, iou in zip(parts, arrays["wall.iou"], strict=True)]
            pictures = arrays["wall.image"] if len(arrays["wall.image"]) else arrays["wall.patch"]
            if unit is not None:
                size = tuple(self._ds.inputs.shape[2:])
                unit |= {"first": self._first, "classes": self._ds.classes, "size": size}
            return plots.features(pictures, wall["names"], detects, self._finding(), unit, more)

    def retire(self, successor: View) -> None:
        self._work.end()
        super().retire(successor)

    # ---- what is computed, in small parts

    def _parts(self) -> Iterator[None]:
        """What is shown now, the quickest first: patches, receptive fields, parts, pictures, the control."""
        self._do("Loading the model")
        study, layer = self._current(), self._by_name[self._layer]
        yield
        yield from self._respond(study)
        if max(self._ds.inputs.shape[2:]) <= SMALL_PICTURE:
            yield from self._find_fields(study)
        yield from self._dissect(study, layer)
        yield from self._form(study, layer, self._first)
        yield from self._find_fields(study)
        if (control := self._control()) is not None:
            yield from self._dissect(control, layer)
        self._do("")

    def _do(self, what: str) -> None:
        self._doing = what
        self._show()

    def _current(self) -> Study:
        """The study of the step shown, with its model; of a player that of the moment."""
        if isinstance(self._source, Player):
            with model_at_rest(self._source) as (model, step):
                twin = copy.deepcopy(model).eval()
            with self._lock:
                self._step = step
                self._studies = {step: Study(twin, step)}
            return self._studies[step]
        return self._study_of(self._step)

    def _study_of(self, step: int | None) -> Study:
        if step not in self._studies:
            model = copy.deepcopy(self._checkpoints[step]).eval()  # type: ignore[index]
            missing = [wire.weights for wire in self._wiring.wires if wire.weights and not _has(model, wire.weights)]
            if missing:
                raise SettingError(f"Expected checkpoints of the same model, that of step {step} has no {missing[0]}.")
            with self._lock:
                while len(self._studies) >= KEPT:
                    self._studies.pop(next(iter(self._studies)))
                self._studies[step] = Study(model, step)
        return self._studies[step]

    def _control(self) -> Study | None:
        untrained = self._steps and self._steps[0] == 0 and self._ds.masks
        return self._study_of(0) if untrained else None

    def _respond(self, study: Study) -> Iterator[None]:
        if study.seen == len(self._ds):
            return
        for found in responses(study.model, self.layers, self._ds, BATCH):
            study.responses = found
            study.seen = len(found[self._layer].values)
            self._doing = f"Looking at {study.seen} of {len(self._ds)} pictures"
            if study.seen == BATCH or time.monotonic() > self._told + TELL_SECONDS:
                self._show()
            yield
        self._show()

    def _find_fields(self, study: Study) -> Iterator[None]:
        if not self._fields:
            self._do("Finding what each place of the layers sees")
            self._fields = receptive_fields(study.model, self._ds.inputs[:1], self.layers, read_maps)
            self._show()
            yield

    def _dissect(self, study: Study, layer: UnitLayer) -> Iterator[None]:
        if not self._ds.masks or layer.name in study.dissections:
            return
        whose = "" if study.step == self._step else " of the untrained net"
        self._do(f"Comparing {layer.name}{whose} with the masks of the parts")
        height, width = self._ds.inputs.shape[2:]
        at_once = max(1, min(BATCH, UPSAMPLED // (layer.units * height * width)))
        study.dissections[layer.name] = dissect(study.model, layer.name, self._ds, batch_size=at_once)
        self._show()
        yield

    def _form(self, study: Study, layer: UnitLayer, first: int) -> Iterator[None]:
        made = study.forming.get((layer.name, first))
        if made is not None and made.step == STEPS:
            return
        self._no_images = ""
        units = range(first, min(first + WALL, layer.units))
        inputs = self._ds.inputs
        within = bool(inputs.min() >= 0 and inputs.max() <= 1)
        try:
            for forming in optimizing(
                study.model,
                layer.before,
                [neuron(k) for k in units],
                size=min(inputs.shape[2:]),
                steps=STEPS,
                every=EVERY,
                channels=int(inputs.shape[1]),
                data=inputs if within else None,
                robustness=min(1.0, self._share(layer.name)),
            ):
                study.forming[layer.name, first] = forming
                self._do(f"Forming pictures of {layer.name}, step {forming.step} of {STEPS}")
                yield
        except (SettingError, DataError) as error:  # a model or data that such pictures cannot be made for
            self._no_images = f"No pictures can be formed here: {error}"
            self._show()

    def _ask_ablation(self) -> None:
        if self._off:
            self._beside.ask("ablation", self._ablate)

    def _ablate(self) -> None:
        with self._lock:
            study, off = self._studies.get(self._step), copy.deepcopy(self._off)
        if study is None:  # its model is being loaded
            self._work.wait()
            study = self._studies[self._step]
        with self._quiet():
            if study.accuracy is None:
                study.accuracy = class_accuracy(study.spare, self._ds)
            axes = {one.name: one.axis for one in self._by_name.values()}
            after = class_accuracy(study.spare, self._ds, off, axes)
        if off == self._off and study.step == self._step:
            self._ablation = {"before": study.accuracy, "after": after}
            self._show()

    def _failed(self, error: Exception) -> None:
        self._doing = ""
        self.update({"doing": ""})
        self.fail(sentence(error))

    # ---- what is sent

    def everything(self) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
        masks = self._ds.masks
        fixed = {
            "layers": [
                {"name": one.name, "kind": one.kind, "units": one.units, "size": list(one.size)}
                for one in self._by_name.values()
            ],
            "classes": list(self._ds.classes) if self._ds.classes else None,
            "total": self._total,
            "count": len(self._ds),
            "picture": list(self._ds.inputs.shape[2:]),
            "steps": self._steps,
            "masks": bool(masks),
            "detector": DETECTOR,
            "formed_of": STEPS,
        }
        state, arrays = self._frame()
        return {**(self._state() if self._runs else {}), **fixed, **state}, arrays, self._columns()

    def _frame(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        with self._lock:
            state, arrays = self._wall()
            unit, more = self._opened()
            for name in ("before", "after"):
                arrays[name] = self._ablation.get(name, np.zeros(0)).astype(np.float32)
            state |= {
                "step": self._step,
                "layer": self._layer,
                "first": self._first,
                "unit": unit,
                "doing": self._doing,
                "no_images": self._no_images,
                "off": [[layer, unit] for layer, units in self._off.items() for unit in units],
                "finding": self._finding(),
            }
            return state, arrays | more

    def _show(self) -> None:
        with self._lock:
            self._told = time.monotonic()
            self.update(*self._frame())
        self.say(self._describe())

    def _wall(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What stands on the wall: for each unit its picture as far as it is formed, its top patch, and its part."""
        layer, study = self._by_name[self._layer], self._studies.get(self._step)
        units = list(range(self._first, min(self._first + WALL, layer.units)))
        state: dict[str, Any] = {"names": [self._name(layer.name, k) for k in units], "seen": 0, "formed": None}
        state["parts"] = []
        arrays: dict[str, np.ndarray] = {
            "wall.image": np.zeros((0, 1, 1), np.uint8),
            "wall.patch": np.zeros((0, 1, 1), np.uint8),
            "wall.most": np.zeros(0, np.float32),
            "wall.part": np.full(len(units), -1, np.int16),
            "wall.iou": np.zeros(len(units), np.float32),
        }
        if study is None:
            return state, arrays
        state["seen"] = study.seen
        forming = study.forming.get((layer.name, self._first))
        if forming is not None:
            state["formed"] = forming.step
            arrays["wall.image"] = resized(self._formed(study, layer.name, self._first), TILE)
        if layer.name in study.responses:
            arrays["wall.patch"] = np.stack([self._thumb(study, layer.name, k, TILE) for k in units])
            arrays["wall.most"] = study.responses[layer.name].values[:, units].max(0)
        found = study.dissections.get(layer.name)
        if found is not None:
            state["parts"] = list(found.parts)
            arrays["wall.part"] = found.iou[layer.name][units].argmax(1).astype(np.int16)
            arrays["wall.iou"] = found.iou[layer.name][units].max(1).astype(np.float32)
        return state, arrays

    def _opened(self) -> tuple[dict[str, Any] | None, dict[str, np.ndarray]]:
        """The unit that is seen from near."""
        layer, unit, study = self._layer, self._unit, self._studies.get(self._step)
        if unit is None:
            return None, {}
        state: dict[str, Any] = {"layer": layer, "unit": unit, "name": self._name(layer, unit), "patches": []}
        state |= {"parts": [], "incoming": [], "outgoing": [], "off": unit in self._off.get(layer, []), "excited": None}
        arrays: dict[str, np.ndarray] = {
            "unit.image": np.zeros((0, 1, 1), np.uint8),
            "unit.values": np.zeros(0, np.float32),
        }
        if study is None:
            return state, arrays
        if (layer, self._first) in study.forming:
            arrays["unit.image"] = resized(self._formed(study, layer, self._first), LARGE)[unit - self._first][None]
            state["excited"] = float(study.forming[layer, self._first].activations[unit - self._first])
        if layer in study.responses:
            self._add_patches(state, arrays, study, layer, unit)
        found = study.dissections.get(layer)
        if found is not None:
            control = self._studies[0].dissections.get(layer) if 0 in self._studies and self._steps else None
            for k in np.argsort(-found.iou[layer][unit])[:4]:
                before = None if control is None else float(control.iou[layer][unit, k])
                state["parts"].append([found.parts[k], float(found.iou[layer][unit, k]), before])
        state["incoming"], inward, thumbs = self._connections(study, self._wiring.into(layer), unit, inward=True)
        state["outgoing"], outward, more = self._connections(study, self._wiring.out_of(layer), unit, inward=False)
        for k, kernel in enumerate([*inward, *outward]):
            arrays[f"kernel {k}"] = kernel
        if thumbs or more:
            arrays["unit.thumbs"] = np.stack([*thumbs, *more])
        return state, arrays

    def _add_patches(
        self, state: dict[str, Any], arrays: dict[str, np.ndarray], study: Study, layer: str, unit: int
    ) -> None:
        made = study.responses[layer]
        top = made.top([unit], PATCHES, self._fields.get(layer))
        arrays["unit.pictures"] = resized(self._shown_pictures[top.examples[0]], LARGE)
        arrays["unit.values"] = made.values[:, unit]
        if self._ds.task == "classification":
            arrays["unit.classes"] = self._ds.targets[: len(made.values)].numpy().astype(np.int32)
        for example, value, box in zip(top.examples[0], top.activations[0], top.boxes[0], strict=True):
            known = bool(self._fields) and box[2] > box[0]
            label = self._class(int(self._ds.targets[example])) if self._ds.task == "classification" else None
            state["patches"].append([int(example), label, float(value), [int(edge) for edge in box] if known else None])

    def _connections(
        self, study: Study, wires: Sequence[Wire], unit: int, inward: bool
    ) -> tuple[list[dict[str, Any]], list[np.ndarray], list[np.ndarray]]:
        """(what each connects to and how strongly, kernels, thumbnails), the strongest first."""
        found = []
        for wire in wires:
            other = wire.source if inward else wire.target
            if wire.weights is None:
                found.append((1.0, other, unit, np.ones((1, 1), np.float32), True))
                continue
            weights = study.kernels(wire)
            mine = weights[unit] if inward else weights[:, unit]
            for k in strongest(mine, CONNECTIONS):
                size = float(mine[k].square().sum().sqrt())
                found.append((size, other, k, mine[k].numpy(), False))
        found.sort(key=lambda one: -one[0])
        chosen = found[: CONNECTIONS + sum(one[4] for one in found)]
        listed = [
            {"layer": other, "unit": k, "name": self._name(other, k), "sum": float(kernel.sum()), "carried": carried}
            for _, other, k, kernel, carried in chosen
        ]
        thumbs = [self._thumb(study, other, k, THUMB, exact=True) for _, other, k, _, _ in chosen]
        return listed, [np.ascontiguousarray(kernel) for _, _, _, kernel, _ in chosen], thumbs

    # ---- pieces of it

    def _opening_layer(self) -> str:
        """The last layer whose units are no classes yet: what is found there is worth most."""
        hidden = [one.name for one in self._wiring.layers if one.size != (1, 1)] or self.layers
        return hidden[-1]

    def _formed(self, study: Study, layer: str, first: int) -> np.ndarray:
        """The pictures formed for a wall's units, cut to what the place in the middle sees of them."""
        made = as_bytes(study.forming[layer, first].images, torch.zeros(1, 1, 1), torch.ones(1, 1, 1))
        box = self._middle(layer)
        return made if box is None else np.stack([crop(one, box) for one in made])

    def _middle(self, layer: str) -> np.ndarray | None:
        """The receptive field of the place in the middle of a layer's maps, where it is known."""
        fields = self._fields.get(layer)
        return None if fields is None else fields[fields.shape[0] // 2, fields.shape[1] // 2]

    def _share(self, layer: str) -> float:
        """Of the picture's side, what the place in the middle sees: small fields take small shifts and turns."""
        box = self._middle(layer)
        return 1.0 if box is None else float(max(box[2] - box[0], box[3] - box[1]) / max(self._ds.inputs.shape[2:]))

    def _thumb(self, study: Study, layer: str, unit: int, side: int, exact: bool = False) -> np.ndarray:
        """What a unit saw of the picture that excites it most, or the picture formed for it where `exact`."""
        blank = np.full((1, *self._shown_pictures.shape[1:]), 128, np.uint8)
        if layer == INPUT:
            return resized(blank, side, exact)[0]
        first = unit // WALL * WALL
        if exact and (layer, first) in study.forming:
            return resized(self._formed(study, layer, first)[unit - first][None], side, exact)[0]
        if layer not in study.responses:
            return resized(blank, side, exact)[0]
        fields = self._fields.get(layer)
        top = study.responses[layer].top([unit], 1, fields)
        size = (0, 0) if fields is None else (fields[..., 2:] - fields[..., :2]).reshape(-1, 2).max(0)
        seen = crop(self._shown_pictures[top.examples[0, 0]], top.boxes[0, 0], size)
        return resized(seen[None], side, exact)[0]

    def _name(self, layer: str, unit: int) -> str | None:
        """A name where there is one: of a class, or of a colour of the picture."""
        if layer == INPUT:
            return ("red", "green", "blue")[unit] if self._ds.inputs.shape[1] == 3 else "the picture"
        classes = self._ds.classes
        last = self._wiring.layers[-1]
        return classes[unit] if classes and layer == last.name and last.units == len(classes) else None

    def _class(self, k: int) -> str:
        return self._ds.classes[k] if self._ds.classes else f"class {k}"

    def _finding(self) -> str:
        """What is seen, in a line."""
        layer, study = self._by_name[self._layer], self._studies.get(self._step)
        when = "" if self._step is None else f" after {self._step:,} steps"
        found = None if study is None else study.dissections.get(layer.name)
        if self._unit is not None:
            name = self._name(layer.name, self._unit)
            words = f"{layer.name}, unit {self._unit}{f' ({name})' if name else ''}{when}"
            if found is None:
                return words
            parts, iou = found.best(layer.name)
            if iou[self._unit] < DETECTOR:
                return f"{words} detects none of the parts"
            return f"{words} detects {parts[self._unit]}, IoU {number(float(iou[self._unit]))}"
        if found is None:
            return f"{layer.units} units of {layer.name}{when}"
        detecting = int((found.iou[layer.name].max(1) >= DETECTOR).sum())
        return f"{detecting} of {layer.units} units of {layer.name} detect a part{when}"

    def _describe(self) -> str:
        study = self._studies.get(self._step)
        words = f"{self._finding()}."
        if study is not None and study.seen:
            words += f" Top patches, parts and classes are those of {study.seen} of {self._total} pictures."
        if not self._ds.masks:
            words += " The data have no masks of parts, so no part can be named."
        if self._unit is not None and study is not None:
            for way, wires, inward in (
                ("Strongest inputs", self._wiring.into(self._layer), True),
                ("Strongest outputs", self._wiring.out_of(self._layer), False),
            ):
                listed, _, _ = self._connections(study, wires, self._unit, inward)
                if listed:
                    named = [
                        f"{one['layer']} {one['name'] or one['unit']} ({number(one['sum'])})" for one in listed[:3]
                    ]
                    words += f" {way}: {', '.join(named)}."
        if self._ablation:
            change = self._ablation["after"] - self._ablation["before"]
            worst = int(np.nanargmin(change))
            mean = [number(float(np.nanmean(self._ablation[name]))) for name in ("before", "after")]
            count = sum(map(len, self._off.values()))
            words += f" With {count} {'unit' if count == 1 else 'units'} off the mean accuracy of the classes goes from"
            words += f" {mean[0]} to {mean[1]}"
            words += f"; {self._class(worst)} loses most, {number(float(change[worst]))}." if change[worst] < 0 else "."
        return words + (f" {self._doing}." if self._doing else "")

    # ---- while it trains

    def _heard(self, run: Run, event: str) -> None:
        moved = self._step != self.player.position
        if event in ("edit", "history") or (moved and (self.player.status != "playing" or self._work.resting)):
            self._work.start(self._parts())
        super()._heard(run, event)

    # ---- what the browser asks for

    def on_open(self, layer: str | None = None, unit: int | None = None) -> None:
        self.look_at(layer, unit)

    def on_time(self, step: int) -> None:
        self.at_step(step)

    def on_off(self, layer: str, unit: int, off: bool) -> None:
        self.switch_off(layer, unit, off)

    def on_restore(self) -> None:
        self._off, self._ablation = {}, {}
        self._show()

    def on_page(self, first: int) -> None:
        units = self._by_name[self._layer].units
        with self._lock:
            self._first, self._unit = max(0, min(first, (units - 1) // WALL * WALL)) // WALL * WALL, None
        self._show()
        self._work.start(self._parts())


def _check(model: Any, ds: Any, checkpoints: Any) -> None:
    if not isinstance(model, nn.Module | Player):
        raise SettingError(f"Expected an nn.Module or a Player, received {type(model).__name__}.")
    if not all(hasattr(ds, name) for name in ("inputs", "targets", "subset", "task")):
        raise DataError(f"Expected a labkit Dataset of pictures, received {type(ds).__name__}.")
    if isinstance(model, Player) and checkpoints:
        raise SettingError("Expected either a player or checkpoints: a player has its own timeline.")


def _operations(model: nn.Module, found: Wiring) -> int:
    """Of a forward pass with one picture, about: a multiplication and an addition for each weight and place.

    torch's own counter takes a second to load.
    """
    weights = {wire.weights: found.layer(wire.target).size for wire in found.wires if wire.weights}
    numbers = {name: sum(p.numel() for p in _layer(model, name).parameters()) for name in weights}
    return sum(2 * numbers[name] * height * width for name, (height, width) in weights.items())


def _layer(model: nn.Module, layer: str) -> nn.Module:
    name = module_of(model, layer)
    return model if name == "model" else model.get_submodule(name)


def _has(model: nn.Module, layer: str) -> bool:
    return module_of(model, layer) in {"model", *dict(model.named_modules())}


def _draws(model: nn.Module, x: torch.Tensor) -> bool:
    """Whether a pass in evaluation mode draws random numbers."""
    generator = generator_of(x.device)
    before = generator.get_state()
    try:
        with torch.no_grad():
            model(x)
        return not torch.equal(before, generator.get_state())
    finally:
        generator.set_state(before)
