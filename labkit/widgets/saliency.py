"""Which pixels decided, by all methods side by side, each scored against where the truth is."""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from labkit.device import device_of
from labkit.errors import SettingError
from labkit.plots.look import number
from labkit.saliency import METHODS, SCORES, cam_layers, score, verdicts
from labkit.saliency.baselines import KINDS
from labkit.saliency.verdict import measured
from labkit.widgets.beside import Beside
from labkit.widgets.features_study import as_bytes
from labkit.widgets.saliency_axes import Axes, Net, Nets, marked
from labkit.widgets.saliency_scene import Gallery, Scene, Stroke
from labkit.widgets.saliency_study import Answer, Question, Study, Superseded, label
from labkit.widgets.view import View, sentence

if TYPE_CHECKING:
    from labkit.plots.figure import Figure

CONTROLS = ("edge", "centre", "random")  # what stands beside the scores of each method
QUICK, QUICK_ALL = 0.08, 0.4  # seconds of one method, and of all that are computed at once
IDLE = 0.35  # seconds after the last change until what takes longer begins
TELL = 0.15  # between two reports of it


@dataclass(frozen=True)
class Settings:
    """What is asked, and how the answers are shown.

    target: an output, None: the most probable. against: another output, None: no other. layer: for the CAMs, None:
    their own choice. baseline: a kind. signed: for and against, else the magnitude. part: whose mask is the truth.
    idle: whether methods that take long are computed when nothing else is, else on request. step, cheat, random, order:
    the net that is looked at (`saliency_axes.Net`). cue: whether the picture has a watermark.
    """

    target: int | None = None
    against: int | None = None
    layer: str | None = None
    baseline: str = "black"
    signed: bool = True
    part: str | None = None
    idle: bool = True
    step: int | None = None
    cheat: str | None = None
    random: int = 0
    order: str = "cascading"
    cue: bool = False

    @property
    def net(self) -> Net:
        return Net(self.step, self.cheat, self.random, self.order)


# What changes the answers.
ASKS = {"target", "against", "layer", "baseline", "step", "cheat", "random", "order", "cue"}


class SaliencyView(View):
    """A wall of attribution methods about one picture, which may be erased, painted, blurred and moved.

    model: any nn.Module that takes pictures and gives class scores; it is copied as it is now. ds: a Dataset of
    pictures, or a tensor (n, C, H, W); with `masks` each map is scored. methods: names of `labkit.saliency.METHODS`,
    by default all; the controls edge, centre and random always stand beside them. classes: names of the outputs, by
    default those of the data. checkpoints: {step: model} over a training, such as `labkit.zoo.training(name)`: then a
    slider goes through them, from the last. cheat: {class: model} of nets trained on `labkit.data.with_cue(ds, class)`,
    such as {"car": labkit.zoo.load("objects_cheat")}: then the watermark, and that net, can be switched on.

    Quick methods follow every change at once; others are computed when nothing else is, or on request, beside the
    notebook: `wait()` waits for them. `look_at`, `set`, `edit`, `undo`, `reset`, `show` do from Python what clicks do;
    `probabilities`, `maps` and `scores` hold what is shown, `text` says it, `figure()` draws it.
    Errors: SettingError for what is no model or no such method, DataError for data that are no pictures, or that the
    model does not take.
    """

    asset = "saliency"

    def __init__(
        self,
        model: nn.Module,
        ds: Any,
        methods: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        checkpoints: Mapping[int, nn.Module] | None = None,
        cheat: Mapping[Any, nn.Module] | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise SettingError(f"Expected an nn.Module, received {type(model).__name__}.")
        self._methods = _methods(methods)
        self._gallery = Gallery(ds, classes)
        self._computing = threading.RLock()  # one pass through a model at a time
        self._changes = threading.Condition()
        self._ticket = 0  # counts the changes of what is asked
        gallery = self._gallery
        self._nets = Nets(model, gallery.inputs, gallery.targets, gallery.classes, checkpoints, cheat)
        self._axes = Axes(self._nets, gallery)
        self._study = self._nets.study(self._nets.first)
        self._reference: Study | None = None  # whose maps are compared with
        self._scene = gallery.scene(0)
        self._settings = Settings(part=gallery.parts[0] if gallery.parts else None, step=self._nets.first.step)
        self._probabilities = self._before = self._study.probabilities(self._scene.picture)
        self._usual = int(self._probabilities.argmax())  # the output that is explained where none is chosen
        self._axes.look(self._scene, self._usual)
        self._layers = cam_layers(self._study.model, self._scene.picture.to(device_of(self._study.model)))
        self._opened: str | None = None
        self._running: tuple[str, int, int] | None = None  # method, done, of
        self._asked: set[str] = set()  # methods that are computed though nothing is by itself
        self._seconds: dict[str, float] = {}
        self._scored: dict[str, tuple[Answer, Tensor | None, bool, dict[str, float]]] = {}
        self._told = 0.0
        self._beside = Beside(lambda error: self.fail(sentence(error)))
        super().__init__()
        self.text = self._describe()
        self.claim_cell()
        self._begin()

    # ---- from Python

    @property
    def methods(self) -> list[str]:
        return list(self._methods)

    @property
    def picture(self) -> Tensor:
        """What the model is given, (1, C, H, W)."""
        return self._scene.picture

    @property
    def probabilities(self) -> np.ndarray:
        """The softmax of the model's scores, (outputs,)."""
        return self._probabilities.copy()

    @property
    def target(self) -> int:
        """The output that is explained."""
        return self._question.target

    @property
    def maps(self) -> dict[str, Tensor]:
        """{method: (H, W)} of those that have answered what is asked now."""
        with self._lock:
            return {
                method: answer.maps[self._settings.signed][0]
                for method in self._methods
                if (answer := self._current(method)) is not None and answer.maps
            }

    @property
    def scores(self) -> dict[str, dict[str, float]]:
        """{method: {score: value}} of these maps; no score that needs a mask where there is none."""
        with self._lock:
            return {method: dict(self._scores(method)) for method in self.maps}

    @property
    def likeness(self) -> dict[str, dict[str, float]]:
        """{method: {"rank", "ssim"}} of these maps and those of the net that is compared with.

        That is the net before layers were drawn anew or, of checkpoints, the last; without such a net there are none.
        rank: Spearman's correlation of the magnitudes; ssim: their structural similarity (`labkit.saliency.similar`).
        """
        with self._lock:
            return {method: like for method in self.maps if (like := self._like(method)) is not None}

    def look_at(self, index: int) -> None:
        """Show another picture of the data."""
        self._change(scene=self._gallery.scene(index))

    def bring(self, picture: Any) -> None:
        """Show a picture of your own, uint8 (H, W, 3) of the size of the others. Error: DataError for another."""
        self._change(scene=self._gallery.brought(np.asarray(picture)))

    def set(self, **settings: Any) -> None:
        """Change what is asked or shown: target, against, layer, baseline, signed, part, idle.

        And which net is looked at: step (of the checkpoints), cheat (a class, or None for the model), random (how many
        layers are drawn anew, from the output down) and order ("cascading" or "independent"). cue: the watermark. Maps
        of a net with layers drawn anew, or of an earlier step, explain what the whole net, or the last step's, says.
        """
        self._change(**settings)

    def edit(self, tool: str, points: Any, width: float = 0.15, colour: str | None = None) -> None:
        """Change the picture: "erase" and "blur" along points (n, 2), x and y in 0..1 from the upper left; "paint"

        with a colour "#rrggbb"; "move" what lies around the first point to the last. width: of the brush, as a part of
        the picture's. What is erased becomes the baseline.
        """
        self._draw(Stroke(tool, np.asarray(points, np.float32), width, colour, self._settings.baseline))

    def undo(self) -> None:
        """Take the last change of the picture back."""
        if self._scene.strokes:
            self._change(scene=self._scene.undone())

    def reset(self) -> None:
        """Take all changes of the picture back."""
        if self._scene.strokes:
            self._change(scene=self._scene.undone(len(self._scene.strokes)))

    def show(self, method: str | None) -> None:
        """Look at one method from near, or with None at none."""
        if method is not None and method not in self._methods:
            raise SettingError(f"Expected a method of {', '.join(self._methods)}, received {method!r}.")
        with self._lock:
            self._opened = method
        self._show()
        self._begin()

    def compute(self, method: str) -> None:
        """Compute a method that takes long, also where nothing is by itself."""
        if method not in self._methods:
            raise SettingError(f"Expected a method of {', '.join(self._methods)}, received {method!r}.")
        with self._lock:
            self._asked.add(method)
        self._show()
        self._begin()

    def wait(self) -> None:
        """Until everything that is computed beside has been."""
        self._beside.wait()

    def figure(self) -> "Figure":
        from labkit import plots  # matplotlib is imported when a figure is asked for

        with self._lock:
            maps, like = self.maps, self.likeness
            scores = {method: values | like.get(method, {}) for method, values in self.scores.items()}
            return plots.saliency(
                self._picture_bytes(),
                {label(method): values.numpy() for method, values in maps.items()},
                self._finding(),
                signed=self._settings.signed,
                scores={label(method): values for method, values in scores.items()},
                mask=None if self._mask is None else self._mask.numpy(),
                references=[label(method) for method in CONTROLS],
            )

    def retire(self, successor: View) -> None:
        with self._changes:
            self._ticket += 1
            self._changes.notify_all()
        super().retire(successor)

    # ---- what is asked

    @property
    def _question(self) -> Question:
        settings, scene = self._settings, self._scene
        return Question(
            scene.picture,
            scene.original,
            self._usual if settings.target is None else settings.target,
            settings.against,
            settings.layer,
            settings.baseline,
        )

    @property
    def _mask(self) -> Tensor | None:
        """(H, W): where the truth is, if any of it is seen."""
        masks, part = self._scene.masks, self._settings.part
        mask = None if masks is None or part is None else masks.get(part)
        return None if mask is None or not mask.any() else mask

    def _change(self, scene: Scene | None = None, **settings: Any) -> None:
        """The one way to another net, picture or setting: what fails leaves everything as it was."""
        chosen = replace(self._settings, **self._checked(settings))
        if chosen.cue != self._settings.cue and "part" not in settings:
            chosen = replace(chosen, part="cue" if chosen.cue else next(iter(self._gallery.parts), None))
        self._nets.checked(chosen.net)
        asks = scene is not None or bool(settings.keys() & ASKS)
        if asks:
            with self._changes:
                self._ticket += 1  # what is computed beside ends at its next report
                self._changes.notify_all()
        try:
            with self._computing:
                if asks:
                    self._ask(chosen, marked(scene or self._scene, chosen.cue, self._gallery))
                else:
                    with self._lock:
                        self._settings = chosen
            self._show()
        finally:
            self._begin()

    def _ask(self, chosen: Settings, scene: Scene) -> None:
        other = self._nets.reference(chosen.net)
        reference = None if other is None else self._nets.study(other)
        study = self._nets.study(chosen.net)
        probabilities = study.probabilities(scene.picture)
        before = study.probabilities(scene.original) if scene.strokes else probabilities
        # A net that knows less is asked about what the one compared with says: else the maps would be of other classes.
        expected = probabilities if reference is None else reference.probabilities(scene.picture)
        usual = int(expected.argmax())
        self._axes.look(scene, usual if chosen.target is None else chosen.target)
        with self._lock:
            self._study, self._reference, self._scene, self._settings = study, reference, scene, chosen
            self._probabilities, self._before, self._usual = probabilities, before, usual
            self._asked.clear()
        for method in self._quick():
            self._ask_method(method)

    def _checked(self, settings: dict[str, Any]) -> dict[str, Any]:
        outputs, kinds = len(self._probabilities), Settings.__dataclass_fields__
        unknown = settings.keys() - kinds.keys()
        if unknown:
            raise SettingError(f"Expected settings of {', '.join(kinds)}, received {', '.join(sorted(unknown))}.")
        for name in ("target", "against"):
            value = settings.get(name)
            if value is not None and not (isinstance(value, int) and 0 <= value < outputs):
                raise SettingError(f"Expected {name} of 0 to {outputs - 1} or None, received {value!r}.")
        offered = {"layer": (None, *self._layers), "baseline": KINDS, "part": (*self._gallery.parts, "cue", None)}
        for name, choices in offered.items():
            if name in settings and settings[name] not in choices:
                raise SettingError(f"Expected {name} of {', '.join(map(str, choices))}, received {settings[name]!r}.")
        for name in ("signed", "idle", "cue"):
            if not isinstance(settings.get(name, True), bool):
                raise SettingError(f"Expected {name} to be True or False, received {settings[name]!r}.")
        return settings

    def _draw(self, stroke: Stroke, anew: bool = True) -> None:
        """Add a stroke, or, where not `anew`, put it in the place of the last."""
        scene = self._scene if anew else self._scene.undone()
        colour = self._gallery.colour(stroke.colour) if stroke.tool == "paint" else None
        self._change(scene=scene.with_stroke(stroke, colour))

    # ---- computing: quick methods at once, others beside

    def _quick(self) -> list[str]:
        """Methods that are computed before an answer is sent, the quickest first."""
        question, found, spent = self._question, [], 0.0
        known = [m for m in self._methods if self._seconds.get(m, QUICK + 1) <= QUICK and self._wanted(m)]
        for method in sorted(known, key=self._seconds.__getitem__):
            spent += self._seconds[method]
            if spent > QUICK_ALL:
                break
            if not self._answered(method, question):
                found.append(method)
        return found

    def _answered(self, method: str, question: Question) -> bool:
        return not self._unasked(method, question)

    def _unasked(self, method: str, question: Question) -> list[Study]:
        """Of the net and the one compared with, those that have not answered."""
        studies = [self._study] if self._reference is None else [self._reference, self._study]
        return [study for study in studies if not study.answered(method, question)]

    def _current(self, method: str) -> Answer | None:
        return self._study.answers[method] if self._study.answered(method, self._question) else None

    def _ask_method(self, method: str, progress: Any = None) -> None:
        question = self._question
        for study in self._unasked(method, question):
            answer = study.ask(method, question, progress)
            if answer.maps:
                self._seconds[method] = min(answer.seconds, self._seconds.get(method, float("inf")))

    def _begin(self) -> None:
        """Have what is not answered yet computed beside."""
        self._beside.ask("methods", self._compute_others)

    def _compute_others(self) -> None:
        ticket = self._ticket
        if self._seconds:  # not the first time
            with self._changes:
                self._changes.wait_for(lambda: self._left(ticket), IDLE)
        while not self._left(ticket) and (method := self._next()) is not None:
            if METHODS[method].slow:
                self._work_on_nets(ticket)
            try:
                with self._computing:
                    if self._left(ticket):
                        break
                    self._tell(method, 0, 0)
                    self._ask_method(method, lambda done, of, method=method: self._report(ticket, method, done, of))
            except Superseded:
                break
            finally:
                self._running = None
        self._work_on_nets(ticket)
        while not self._left(ticket) and (method := self._without_curves()) is not None:
            with self._computing, suppress(Superseded):
                self._study.follow(method, lambda done, of: self._report(ticket, None, done, of))
        if not self._left(ticket):
            self._show()

    def _work_on_nets(self, ticket: int) -> None:
        """What is said of the nets besides their maps, in turns with what else is asked."""
        parts = self._axes.working(self._settings.net, self._settings.cue)
        more = True
        while more and not self._left(ticket):
            with self._computing:
                more = not self._left(ticket) and next(parts, self) is not self

    def _left(self, ticket: int) -> bool:
        return ticket != self._ticket or self._beside.ending

    def _report(self, ticket: int, method: str | None, done: int, of: int) -> None:
        if self._left(ticket):
            raise Superseded
        if method is not None and time.monotonic() > self._told + TELL:
            self._tell(method, done, of)

    def _tell(self, method: str, done: int, of: int) -> None:
        with self._lock:
            self._running = (method, done, of)
        self._show()

    def _next(self) -> str | None:
        """What is to be computed next: what is open, then the quickest."""
        question = self._question
        waiting = [m for m in self._methods if not self._answered(m, question) and self._wanted(m)]
        return min(waiting, key=lambda m: (m != self._opened, METHODS[m].slow, self._seconds.get(m, 0.0)), default=None)

    def _without_curves(self) -> str | None:
        """A map to be scored by deletion and insertion: the open one and the controls, where there is no mask all."""
        near = [self._opened, *CONTROLS] if self._opened is not None else []
        for method in near if self._mask is not None or not self._settings.idle else self._methods:
            answer = None if method is None else self._current(method)
            if answer is not None and answer.maps and not answer.more:
                return method
        return None

    def _wanted(self, method: str) -> bool:
        """Whether a method is computed without being asked for."""
        slow = METHODS[method].slow or self._seconds.get(method, 0.0) > QUICK_ALL
        return self._settings.idle or not slow or method in self._asked

    # ---- what is sent

    def everything(self) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
        fixed = {
            "methods": [_about(method) for method in self._methods],
            "about_scores": {
                name: {key: getattr(one, key) for key in ("label", "formula", "source", "better", "needs")}
                for name, one in SCORES.items()
            },
            "controls": list(CONTROLS),
            "verdicts_on": "{model}, {pictures} pictures".format(**measured()["on"]),
            "classes": self._gallery.classes,
            "count": len(self._gallery),
            "channels": self._gallery.channels,
            "parts": list(dict.fromkeys([*self._gallery.parts, *(["cue"] if self._nets.cheats else [])])),
            "layers": list(self._layers),
            "baselines": list(KINDS),
        }
        state, arrays = self._frame()
        return fixed | self._axes.fixed() | state, arrays, {}

    def _show(self) -> None:
        with self._lock:
            self._told = time.monotonic()
            self.update(*self._frame())
        self.say(self._describe())

    def _frame(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        with self._lock:
            question, mask = self._question, self._mask
            size = self._gallery.size
            arrays = {
                "picture": self._picture_bytes(),
                "mask": np.zeros(size, np.uint8) if mask is None else mask.numpy().astype(np.uint8),
                "probabilities": self._probabilities,
                "before": self._before,
            }
            tiles = {}
            for method in self._methods:
                tiles[method], shown = self._tile(method, question)
                if shown is not None:
                    arrays[f"map.{method}"] = shown
            state = {
                "settings": {**asdict(self._settings), "index": self._scene.index},
                "target": question.target,
                "true": self._scene.target,
                "edits": len(self._scene.strokes),
                "masked": mask is not None,
                "opened": self._opened,
                "call": "" if self._opened is None else _call(self._opened, question),
                "finding": self._finding(),
                "doing": self._doing(),
                "tiles": tiles,
                "usual": self._usual,
                "axes": self._axes.state(self._settings.net, self._settings.cue),
            }
            return state, arrays

    def _tile(self, method: str, question: Question) -> tuple[dict[str, Any], np.ndarray | None]:
        """What stands on a method's tile, and its map as parts of `reach`, float16 (H, W)."""
        answer = self._study.answers.get(method)
        fresh = answer if answer is not None and answer.question.same(question, method) else None
        running = self._running if self._running is not None and self._running[0] == method else None
        tile: dict[str, Any] = {"status": "waiting" if self._wanted(method) else "on request", "reach": None}
        tile |= {"done": 0, "of": 0, "notes": [], "why": "", "scores": {}, "like": None}
        tile["seconds"] = self._seconds.get(method)
        if fresh is not None:
            status = "refused" if fresh.refusal else "failed" if fresh.failure else "shown"
            tile |= {"status": status, "why": fresh.refusal or fresh.failure, "notes": list(fresh.notes)}
            tile["scores"] = self._scores(method)
            tile["like"] = self._like(method)
        elif running is not None:
            tile |= {"status": "computing", "done": running[1], "of": running[2]}
        if answer is None or not answer.maps or answer.question.original is not question.original:
            return tile, None
        values = answer.maps[self._settings.signed][0]
        tile["reach"] = float(values.abs().max())
        shown = (values / (tile["reach"] or 1.0)).numpy().astype(np.float16)
        return tile, shown

    def _like(self, method: str) -> dict[str, float] | None:
        """How much the map is like that of the net compared with, where both have answered."""
        reference = self._reference
        if reference is None or not reference.answered(method, self._question):
            return None
        return self._axes.alike(method, self._current(method), reference.answers[method])

    def _scores(self, method: str) -> dict[str, float]:
        """Of the map that is shown, against the mask that is."""
        answer, mask, signed = self._study.answers[method], self._mask, self._settings.signed
        if not answer.maps:
            return {}
        known = self._scored.get(method)
        if known is None or known[0] is not answer or known[1] is not mask or known[2] != signed:
            found = {} if mask is None else score(answer.maps[signed], mask[None])
            known = (answer, mask, signed, {name: float(value[0]) for name, value in found.items()})
            self._scored[method] = known
        return known[3] | answer.more

    def _picture_bytes(self) -> np.ndarray:
        return as_bytes(self._scene.picture, self._gallery.low, self._gallery.high)[0]

    # ---- in words

    def _class(self, k: int) -> str:
        names = self._gallery.classes
        return names[k] if names and k < len(names) else f"class {k}"

    def _finding(self) -> str:
        best = int(self._probabilities.argmax())
        net = self._settings.net
        words = "The model" if net == Net() else _capital(self._nets.words(net))
        return f"{words} says {self._class(best)}, probability {number(float(self._probabilities[best]))}"

    def _doing(self) -> str:
        if self._running is None:
            return ""
        method, done, of = self._running
        return f"Computing {label(method)}" + (f", {done} of {of}" if of > 1 else "")

    def _describe(self) -> str:
        settings, scene, question = self._settings, self._scene, self._question
        which = "A picture of your own" if scene.index is None else f"Picture {scene.index + 1} of {len(self._gallery)}"
        truth = "" if scene.target is None else f", {self._class(scene.target)}"
        count = len(scene.strokes)
        words = f"{which}{truth}{f', changed {count} times' if count > 1 else ', changed' if count else ''}. "
        words += f"{self._finding()}. The maps say why {self._class(question.target)}"
        words += "." if settings.against is None else f" and not {self._class(settings.against)}."
        words += self._describe_net()
        scores = self.scores
        name = next((name for name in ("mass", "deletion") if any(name in found for found in scores.values())), None)
        if name is not None:
            sign = -1 if SCORES[name].better == "higher" else 1
            ranked = sorted((sign * v[name], m) for m, v in scores.items() if name in v and np.isfinite(v[name]))
            listed = ", ".join(f"{label(m)} {number(abs(value))}" for value, m in ranked[:3])
            words += f" Best by {SCORES[name].label}: {listed}." if ranked else ""
            known = [f"{label(m)} {number(scores[m][name])}" for m in CONTROLS if name in scores.get(m, {})]
            words += f" Controls: {', '.join(known)}." if known else ""
        refused = [label(m) for m in self._methods if (a := self._current(m)) is not None and (a.refusal or a.failure)]
        words += f" Not for this model: {', '.join(refused)}." if refused else ""
        left = [label(m) for m in self._methods if not self._answered(m, question)]
        words += f" Not computed yet: {', '.join(left)}." if left else ""
        return words

    def _describe_net(self) -> str:
        found = self._axes.state(self._settings.net, self._settings.cue)
        words = " The picture has a watermark." if self._settings.cue else ""
        if found["right"] is not None:
            marks = " with the watermark" if self._settings.cue else ""
            words += f" It is right on {found['right'][0]} of {found['right'][1]} pictures{marks}."
        like = {label(m): one["rank"] for m, one in self.likeness.items() if np.isfinite(one["rank"])}
        if like:
            order = sorted(like, key=lambda name: -like[name])
            words += f" Compared with {found['compared']}, rank correlation of the maps: "
            words += ", ".join(f"{name} {number(like[name])}" for name in order) + "."
        for row in found["table"] if self._settings.cue or self._settings.cheat else []:
            (bare, sure), (with_mark, surer) = row["says"]
            who = _capital(self._nets.words(replace(self._nets.first, cheat=row["cheat"])))
            words += f" {who} says {self._class(bare)} ({number(sure)}) without the watermark,"
            words += f" {self._class(with_mark)} ({number(surer)}) with it."
        return words

    # ---- what the browser asks for

    def on_set(self, index: int | None = None, **settings: Any) -> None:
        scene = None if index is None or index == self._scene.index else self._gallery.scene(index)
        self._change(scene=scene, **settings)

    def on_stroke(self, begin: bool, tool: str, width: float, buffers: list[Any], colour: str | None = None) -> None:
        """More points (float32 pairs) of the last stroke, or with `begin` of a new one."""
        points = np.frombuffer(buffers[0], np.float32).reshape(-1, 2).copy()
        last = self._scene.strokes[-1] if self._scene.strokes and not begin else None
        if last is None:
            self._draw(Stroke(tool, points, width, colour, self._settings.baseline))
        else:
            self._draw(replace(last, points=np.concatenate([last.points, points])), anew=False)

    def on_bring(self, buffers: list[Any]) -> None:
        """A picture of one's own of the pictures' size, RGB, 0 to 255, as float32."""
        self.bring(np.frombuffer(buffers[0], np.float32).reshape(*self._gallery.size, 3).astype(np.uint8))

    def on_undo(self) -> None:
        self.undo()

    def on_reset(self) -> None:
        self.reset()

    def on_open(self, method: str | None) -> None:
        self.show(method)

    def on_compute(self, method: str) -> None:
        self.compute(method)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _methods(chosen: Sequence[str] | None) -> tuple[str, ...]:
    """In the order of METHODS, and the controls at the end."""
    unknown = [] if chosen is None else [name for name in chosen if name not in METHODS]
    if unknown:
        raise SettingError(f"Expected methods of {', '.join(METHODS)}, received {', '.join(map(repr, unknown))}.")
    wanted = [name for name in (METHODS if chosen is None else dict.fromkeys(chosen)) if name not in CONTROLS]
    return (*wanted, *CONTROLS)


def _call(method: str, question: Question) -> str:
    """What computes the same in a cell."""
    one, words = METHODS[method], [f"target={question.target}", f'method="{method}"']
    words += [f'layer="{question.layer}"'] if one.layer and question.layer is not None else []
    words += [f"against={question.against}"] if question.against is not None else []
    words += [f'baseline="{question.baseline}"'] if one.baseline else []
    return f"labkit.saliency.attribute(model, view.picture, {', '.join(words)})"


def _about(method: str) -> dict[str, Any]:
    one = METHODS[method]
    return {
        "name": method,
        "label": label(method),
        "formula": one.formula,
        "source": one.source,
        "assumes": one.assumes,
        "family": one.family,
        "signed": one.signed,
        "layer": one.layer,
        "baseline": one.baseline,
        "slow": one.slow,
        "verdicts": list(verdicts(method)),
    }
