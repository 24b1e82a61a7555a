"""The picture that SaliencyView asks about, with what was done to it; nothing in it is changed in place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.errors import DataError, SettingError
from labkit.saliency import baseline
from labkit.saliency.edits import moved, moved_mask, replaced
from labkit.widgets.layer_picture import Pictures
from labkit.widgets.strokes import draw

TOOLS = ("erase", "blur", "paint", "move")
LEAST_WIDTH, MOST_WIDTH = 0.01, 1.0


@dataclass(frozen=True, eq=False)
class Stroke:
    """What a hand did in one go.

    tool: of TOOLS. points (n, 2): x and y in 0..1 from the upper left; "move" lays the disc at the first point to the
    last. width: of the brush, as a part of the picture's. colour: "#rrggbb", for "paint". baseline: what "erase" puts
    in place, and "move" where it took something away.
    """

    tool: str
    points: np.ndarray
    width: float
    colour: str | None
    baseline: str

    def __post_init__(self) -> None:
        if self.tool not in TOOLS:
            raise SettingError(f"Expected a tool of {', '.join(TOOLS)}, received {self.tool!r}.")
        if not (self.points.ndim == 2 and self.points.shape[1] == 2 and len(self.points)):
            raise SettingError(f"Expected points (n, 2), at least one, received shape {self.points.shape}.")
        if not np.isfinite(self.points).all():
            raise SettingError("Expected points that are finite numbers in 0..1, received others.")
        if not LEAST_WIDTH <= self.width <= MOST_WIDTH:
            raise SettingError(
                f"Expected a width of {LEAST_WIDTH:g} to {MOST_WIDTH:g} of the picture's, received {self.width!r}."
            )


@dataclass(frozen=True, eq=False)
class State:
    """picture (1, C, H, W), and masks {part: bool (H, W)} of what is seen of each part; None where that is unknown."""

    picture: Tensor
    masks: Mapping[str, Tensor] | None


@dataclass(frozen=True, eq=False)
class Scene:
    """index: of the picture in the data, None of another. target: its class, None where it is not known.

    states: as it was, and after each of the strokes. bare: as it was without a watermark, None where it has none.
    """

    index: int | None
    target: int | None
    states: tuple[State, ...]
    strokes: tuple[Stroke, ...] = ()
    bare: State | None = None

    @property
    def picture(self) -> Tensor:
        return self.states[-1].picture

    @property
    def original(self) -> Tensor:
        return self.states[0].picture

    @property
    def masks(self) -> Mapping[str, Tensor] | None:
        return self.states[-1].masks

    def with_stroke(self, stroke: Stroke, colour: Tensor | None) -> "Scene":
        """colour (C, 1, 1): what "paint" puts in place."""
        after = _after(self.states[-1], stroke, colour)
        return replace(self, states=(*self.states, after), strokes=(*self.strokes, stroke))

    def undone(self, count: int = 1) -> "Scene":
        kept = max(0, len(self.strokes) - count)
        return replace(self, states=self.states[: kept + 1], strokes=self.strokes[:kept])


class Gallery:
    """The pictures to choose from, and what stands for colours in them."""

    def __init__(self, ds: Any, classes: Sequence[str] | None = None) -> None:
        inputs = ds if isinstance(ds, Tensor) else getattr(ds, "inputs", ds)
        self._pictures = Pictures(inputs, getattr(ds, "targets", None), classes or getattr(ds, "classes", None))
        if not self._pictures.inputs.isfinite().all():
            raise DataError("Expected pictures of finite numbers, received NaN or infinite values. Replace them first.")
        self._ds = ds if getattr(ds, "masks", None) else None
        self.classes, self.channels = self._pictures.classes, self._pictures.channels
        self.low, self.high = self._pictures.low, self._pictures.high
        self.size = tuple(self._pictures.inputs.shape[2:])
        self.parts = list(self._ds.masks) if self._ds is not None else []
        if "object" in self.parts:  # all of it comes first
            self.parts = ["object", *(part for part in self.parts if part != "object")]

    @property
    def inputs(self) -> Tensor:
        return self._pictures.inputs

    @property
    def targets(self) -> Tensor | None:
        return self._pictures.targets

    def __len__(self) -> int:
        return len(self.inputs)

    def scene(self, index: int) -> Scene:
        """Error: SettingError for an index that is not there."""
        if not (isinstance(index, int) and 0 <= index < len(self)):
            raise SettingError(f"Expected a picture of 0 to {len(self) - 1}, received {index!r}.")
        masks, targets = None, self._pictures.targets
        if self._ds is not None:
            found = self._ds.subset(torch.tensor([index])).masks
            masks = {part: found[part][0] for part in self.parts}
        target = None if targets is None or targets.is_floating_point() else int(targets[index])
        return Scene(index, target, (State(self._pictures.inputs[index : index + 1], masks),))

    def brought(self, picture: np.ndarray) -> Scene:
        """A picture (H, W, 3) uint8 of one's own. Error: DataError for another size."""
        self._pictures.bring(picture)
        return Scene(None, None, (State(self._pictures.now, None),))

    def colour(self, name: str | None) -> Tensor:
        """What a colour "#rrggbb" is in these pictures, (C, 1, 1); of one channel any is ink."""
        if self.channels == 1:
            return self.high
        if self.channels != 3:
            raise SettingError(f"Expected pictures of 1 or 3 channels to paint on, these have {self.channels}.")
        try:
            red, green, blue = (int(str(name)[i : i + 2], 16) / 255 for i in (1, 3, 5))
        except ValueError:
            raise SettingError(f"Expected a colour such as '#d22f27', received {name!r}.") from None
        return self.low + torch.tensor([red, green, blue])[:, None, None] * (self.high - self.low)


def _after(state: State, stroke: Stroke, colour: Tensor | None) -> State:
    picture = state.picture
    height, width = picture.shape[2:]
    ink = np.zeros((height, width), np.uint8)
    lifting = stroke.tool == "move"
    draw(ink, stroke.points[:1] if lifting else stroke.points, stroke.width)
    share = torch.from_numpy(ink.astype(np.float32) / 255)
    if lifting:
        across, down = ((stroke.points[-1] - stroke.points[0]) * (width, height)).round().astype(int).tolist()
        fill = baseline(picture, stroke.baseline)
        masks = state.masks and {part: moved_mask(mask, share, (down, across)) for part, mask in state.masks.items()}
        return State(moved(picture, share, (down, across), fill), masks)
    if stroke.tool == "paint":
        if colour is None:
            raise SettingError("Expected a colour to paint with, received none.")
        return State(replaced(picture, share, colour), state.masks)
    return State(
        replaced(picture, share, baseline(picture, "blur" if stroke.tool == "blur" else stroke.baseline)), state.masks
    )
