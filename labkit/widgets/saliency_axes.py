"""What SaliencyView can change besides the picture: which net it looks at, and a mark that goes with a class.

The nets: those of a training's steps; each of them with layers drawn anew; and nets that have learned to cheat.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.data import Dataset, with_cue
from labkit.device import device_of
from labkit.errors import SettingError
from labkit.saliency import randomized, randomized_layers
from labkit.saliency.borrow import Scores, borrowed
from labkit.saliency.randomization import similar
from labkit.widgets.saliency_scene import Gallery, Scene, State
from labkit.widgets.saliency_study import Answer, Study

ORDERS = ("cascading", "independent")
EXAMPLES, AT_ONCE = 100, 10  # pictures on which accuracy is counted and batch normalisation measured
PATIENCE = 1.0  # seconds, after which accuracy is counted on fewer
KEPT, MOST_BYTES = 24, 2**28  # of nets in memory


@dataclass(frozen=True)
class Net:
    """One of the nets.

    step: of the training, None where there are no steps. cheat: the class whose mark it has learned, None: it is the
    net itself. random: how many layers with weights are drawn anew, from the output down; with the order "independent"
    the last of these alone.
    """

    step: int | None = None
    cheat: str | None = None
    random: int = 0
    order: str = "cascading"


class Nets:
    """Makes the nets, and keeps those last looked at.

    inputs (n, C, H, W), targets (n,) or None: of the data, of which some are taken. checkpoints: {step: model}. cheat:
    {class: model}. All are of the model's shapes.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        targets: Tensor | None,
        classes: Sequence[str] | None,
        checkpoints: Mapping[int, nn.Module] | None,
        cheat: Mapping[Any, nn.Module] | None,
    ) -> None:
        self._checkpoints = checkpoints or {}
        self._cheats = {_class(name, classes): one for name, one in (cheat or {}).items()}
        self._shapes = _shapes(model)
        for name, other in self._cheats.items():
            self._check(other, f"a net that cheats at {name}")
        self.steps = sorted(self._checkpoints)
        self.first = Net(self.steps[-1] if self.steps else None)
        chosen = np.unique(np.linspace(0, len(inputs) - 1, min(EXAMPLES, len(inputs))).round().astype(np.int64))
        self._inputs, self._targets = inputs[chosen], None if targets is None else targets[chosen]
        self._right: dict[tuple[Net, bool], tuple[int, int]] = {}
        self.kept = max(2, min(KEPT, MOST_BYTES // max(1, sum(one.nbytes for one in model.state_dict().values()))))
        self._studies = {} if self.steps else {self.first: Study(model)}
        self._walk: tuple[Net, Iterator[tuple[str, nn.Module]]] | None = None  # the last drawn anew, and what follows
        self._stages: tuple[str, ...] | None = None

    @property
    def cheats(self) -> tuple[str, ...]:
        return tuple(self._cheats)

    @property
    def stages(self) -> tuple[str, ...]:
        """The layers that can be drawn anew, from the output down."""
        if self._stages is None:
            model = self.study(self.first).model
            learned = any(True for _ in model.parameters())
            self._stages = randomized_layers(model, self._inputs[:1].to(device_of(model))) if learned else ()
        return self._stages

    def checked(self, net: Net) -> Net:
        """Error: SettingError for a net that there is not."""
        if net.cheat is not None and net.cheat not in self._cheats:
            raise SettingError(f"Expected cheat of {_listed(self._cheats)} or None, received {net.cheat!r}.")
        if net.step != self.first.step and net.step not in self.steps:
            raise SettingError(f"Expected a step of {_listed(self.steps)}, received {net.step!r}.")
        if net.random and not (isinstance(net.random, int) and 0 <= net.random <= len(self.stages)):
            raise SettingError(f"Expected random of 0 to {len(self.stages)} layers, received {net.random!r}.")
        if net.order not in ORDERS:
            raise SettingError(f"Expected an order of {', '.join(ORDERS)}, received {net.order!r}.")
        return net

    def reference(self, net: Net) -> Net | None:
        """What a net's maps are compared with: itself before layers were drawn anew, or the net at the last step."""
        if net.random:
            return replace(net, random=0)
        if net.cheat is None and net.step != self.first.step:
            return replace(net, step=self.first.step)
        return None

    def study(self, net: Net) -> Study:
        """The net, and what it has answered; errors of one that cannot be made go through."""
        net = _plain(net)
        if net in self._studies:
            self._studies[net] = self._studies.pop(net)  # the last looked at
        elif net.random:
            self._draw_anew(net)
        elif net.cheat is not None:
            self._keep(net, self._cheats[net.cheat])
        else:
            model = self._checkpoints[net.step]  # type: ignore[index]
            self._check(model, f"the checkpoint of step {net.step}")
            self._keep(net, model)
        return self._studies[net]

    def _keep(self, net: Net, model: nn.Module) -> None:
        self._studies[net] = Study(model)
        # The model itself cannot be made again.
        others = [one for one in self._studies if self.steps or one != self.first]
        for old in others[: -self.kept]:
            del self._studies[old]

    def _draw_anew(self, net: Net) -> None:
        """One layer after another, up to those wanted: a slider comes by all of them."""
        last, left = self._walk or (net, iter(()))
        if replace(last, random=net.random) != net or last.random >= net.random:
            last = replace(net, random=0)
            model = self.study(last).model
            left = randomized(model, self._inputs.to(device_of(model)), net.order)  # type: ignore[arg-type]
        while last != net:
            _, model = next(left)
            last = replace(last, random=last.random + 1)
            self._keep(last, model)
            self._walk = last, left

    def _check(self, model: nn.Module, what: str) -> None:
        found = _shapes(model)
        differ = [name for name in {**self._shapes, **found} if self._shapes.get(name) != found.get(name)]
        if differ:
            raise SettingError(f"Expected {what} to have the weights of the model, it differs in {differ[0]}.")

    def words(self, net: Net) -> str:
        """What `net` is, as it is said of it."""
        words = "the model as it was given"
        if net.cheat is not None:
            words = f"a net that learned where a watermark went with {net.cheat}"
        elif net.step is not None:
            words = "the untrained net" if net.step == 0 else f"the net after {net.step} steps"
        if net.random == 0:
            return words
        layer = self.stages[net.random - 1]
        if net.order == "independent" or net.random == 1:
            return f"{words}, with layer {layer} drawn anew"
        if net.random == len(self.stages):
            return f"{words}, with all layers drawn anew"
        return f"{words}, with the layers from {self.stages[0]} down to {layer} drawn anew"

    def accuracy(self, net: Net, marked: bool) -> tuple[int, int] | None:
        """(right, of) as far as `counting` has come; None where it has not begun."""
        return self._right.get((_plain(net), marked))

    def counting(self, net: Net, marked: bool, low: Tensor, high: Tensor) -> Iterator[None]:
        """Count how many pictures spread over the data, as they are or `marked`, the net takes for what they are.

        In small parts, for a second at most; nothing where classes are not known.
        """
        key = (_plain(net), marked)
        if self._targets is None or self._targets.is_floating_point() or key in self._right:
            return
        model, right, of, spent = self.study(net).model, 0, 0, 0.0
        for x, y in zip(self._inputs.split(AT_ONCE), self._targets.split(AT_ONCE), strict=True):
            began = time.perf_counter()
            shown = with_mark(x, None, low, high)[0] if marked else x
            with borrowed(model), torch.no_grad():
                found = Scores(model, None, (0, 0))(shown.to(device_of(model))).argmax(1).cpu()
            right, of, spent = right + int((found == y).sum()), of + len(x), spent + time.perf_counter() - began
            if spent > PATIENCE or of == len(self._inputs):
                break
            yield
        self._right[key] = right, of


@dataclass(frozen=True, eq=False)
class Seen:
    """What all nets are looked at with: a scene, and the output that is explained."""

    scene: Scene
    target: int


class Axes:
    """What SaliencyView says about the other nets: of the picture that it shows, each as far as it is known."""

    def __init__(self, nets: Nets, gallery: Gallery) -> None:
        self.nets, self._gallery = nets, gallery
        self._seen: Seen | None = None
        self._curve: dict[int, float] = {}
        self._table: list[dict[str, Any]] = []
        self._alike: dict[str, tuple[Answer, Answer, dict[str, float]]] = {}

    def look(self, scene: Scene, target: int) -> None:
        """Another picture, or another output."""
        if self._seen is not None and self._seen.scene.picture is scene.picture and self._seen.target == target:
            return
        self._seen, self._curve = Seen(scene, target), {}
        if self.nets.cheats:
            scenes = [marked(scene, on, self._gallery) for on in (False, True)]
            nets = [self.nets.first, *(replace(self.nets.first, cheat=name) for name in self.nets.cheats)]
            self._table = [{"cheat": net.cheat, "says": [self._says(net, shown) for shown in scenes]} for net in nets]

    def _says(self, net: Net, scene: Scene) -> tuple[int, float]:
        probabilities = self.nets.study(net).probabilities(scene.picture)
        return int(probabilities.argmax()), float(probabilities.max())

    def working(self, net: Net, cue: bool) -> Iterator[None]:
        """What takes longer, in small parts: how often the net is right, and the target's probability at each step."""
        yield from self.nets.counting(net, cue, self._gallery.low, self._gallery.high)
        seen = self._seen
        if seen is None or len(self.nets.steps) > self.nets.kept:  # each would be loaded again for each picture
            return
        for step in self.nets.steps:
            if step not in self._curve:
                study = self.nets.study(Net(step))
                self._curve[step] = float(study.probabilities(seen.scene.picture)[seen.target])
                yield

    def alike(self, method: str, answer: Answer | None, other: Answer | None) -> dict[str, float] | None:
        """{"rank", "ssim"}: how much a method's map is like that of the net compared with; None where one lacks."""
        if answer is None or other is None or answer.values is None or other.values is None:
            return None
        known = self._alike.get(method)
        if known is None or known[0] is not answer or known[1] is not other:
            found = similar(other.values, answer.values)
            known = answer, other, {name: float(found[name][0]) for name in ("rank", "ssim")}
            self._alike[method] = known
        return known[2]

    def fixed(self) -> dict[str, Any]:
        return {"steps": self.nets.steps, "stages": list(self.nets.stages), "cheats": list(self.nets.cheats)}

    def state(self, net: Net, cue: bool) -> dict[str, Any]:
        reference = self.nets.reference(net)
        return {
            "net": self.nets.words(net),
            "compared": None if reference is None else self.nets.words(reference),
            "right": self.nets.accuracy(net, cue),
            "curve": [self._curve.get(step) for step in self.nets.steps],
            "table": self._table,
        }


def marked(scene: Scene, on: bool, gallery: Gallery) -> Scene:
    """The scene with a watermark, or without; what else was done to the picture is done again."""
    if on == (scene.bare is not None):
        return scene
    bare = scene.states[0] if scene.bare is None else scene.bare
    first = State(*with_mark(bare.picture, bare.masks, gallery.low, gallery.high)) if on else bare
    begun = replace(scene, bare=bare if on else None, states=(first,), strokes=())
    for stroke in scene.strokes:
        begun = begun.with_stroke(stroke, gallery.colour(stroke.colour) if stroke.tool == "paint" else None)
    return begun


def with_mark(
    pictures: Tensor, masks: Mapping[str, Tensor] | None, low: Tensor, high: Tensor
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """The watermark of `labkit.data.with_cue` on pictures (n, C, H, W); low, high (C, 1, 1): their black and white.

    masks {part: (H, W)}: of one picture. They come back without what is covered, and with "cue".
    """
    reach = (high - low).clamp_min(1e-12)
    shares = ((pictures - low) / reach).clamp(0, 1)
    of_one = None if masks is None else {part: mask[None] for part, mask in masks.items()}
    made = with_cue(Dataset(shares, torch.zeros(len(pictures), dtype=torch.long), masks=of_one), 0)
    found: Mapping[str, Tensor] = made.masks or {}
    shown = torch.where(found["cue"][:, None], low + made.inputs * reach, pictures)
    return shown.to(pictures.dtype), {part: mask[0] for part, mask in found.items()}


def _plain(net: Net) -> Net:
    """One name for each net: a cheating one has no steps, and where nothing is drawn anew there is no order."""
    return replace(net, step=None if net.cheat else net.step, order=net.order if net.random else ORDERS[0])


def _class(name: Any, classes: Sequence[str] | None) -> str:
    known = list(classes or ())
    if isinstance(name, int) and 0 <= name < len(known):
        return known[name]
    if known and name not in known:
        raise SettingError(f"Expected cheat as {{class: model}}, a class of {', '.join(known)}, received {name!r}.")
    return str(name)


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    if not isinstance(model, nn.Module):
        raise SettingError(f"Expected an nn.Module, received {type(model).__name__}.")
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def _listed(names: Any) -> str:
    return ", ".join(map(str, names)) or "none: there are none"
