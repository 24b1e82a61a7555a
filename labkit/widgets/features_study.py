"""What FeatureView has found out about a model so far, and the thread in which it finds out more."""

import copy
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack

import numpy as np
import torch
from torch import Tensor, nn

from labkit.features import Dissection, Forming
from labkit.features.responses import Responses
from labkit.features.wiring import Wire, kernels


class Study:
    """A model at one step of its training (None where there are no steps), and what is known of it.

    model: for the thread that works; spare: the same for everything else, since two passes at once would meet in it.
    responses, seen: of the first `seen` pictures. dissections: {layer: Dissection}. forming: {(layer, first unit):
    Forming}. accuracy: of each class, with all units.
    """

    def __init__(self, model: nn.Module, step: int | None) -> None:
        self.model, self.spare, self.step = model, copy.deepcopy(model), step
        self.responses: Mapping[str, Responses] = {}
        self.seen = 0
        self.dissections: dict[str, Dissection] = {}
        self.forming: dict[tuple[str, int], Forming] = {}
        self.accuracy: np.ndarray | None = None
        self._kernels: dict[Wire, Tensor] = {}

    def kernels(self, wire: Wire) -> Tensor:
        if wire not in self._kernels:
            self._kernels[wire] = kernels(self.spare, wire)
        return self._kernels[wire]


class Work:
    """One thread that goes through one piece of work after another, in small parts; a newer piece replaces an older.

    around: contexts that the thread is in while it works. `failed` is told what a piece raised.
    """

    def __init__(
        self, failed: Callable[[Exception], None], *around: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._failed, self._around = failed, around
        self._next: Iterator[None] | None = None
        self._running = self._ended = False
        self._changed = threading.Condition()

    @property
    def resting(self) -> bool:
        return not self._running

    @property
    def _replaced(self) -> bool:
        return self._next is not None

    def start(self, parts: Iterator[None]) -> None:
        """Go through `parts` as soon as the part that runs now is done; what is left of that work is dropped."""
        with self._changed:
            if self._ended:
                return
            self._next = parts
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="labkit-features", daemon=True).start()

    def end(self) -> None:
        """Stop after the part that runs now, for good."""
        with self._changed:
            self._ended = True
            self._next = iter(())

    def wait(self) -> None:
        """Until everything that was started is done."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running)

    def _run(self) -> None:
        with ExitStack() as stack:
            for context in self._around:
                stack.enter_context(context())
            while True:
                with self._changed:
                    parts, self._next = self._next, None
                    if parts is None:
                        self._running = False
                        self._changed.notify_all()
                        return
                try:
                    for _ in parts:
                        if self._replaced:
                            break
                except Exception as error:  # shown in the view
                    self._failed(error)


def as_bytes(pictures: Tensor, low: Tensor, high: Tensor) -> np.ndarray:
    """To show them: (n, C, H, W) as uint8 (n, H, W, 3) or, of other than three channels, (n, H, W), their mean.

    low, high (C, 1, 1): what stands for black and white, or with one channel for paper and ink.
    """
    shares = ((pictures.detach().cpu().float() - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
    if shares.shape[1] != 3:
        shares = shares.mean(1, keepdim=True)
    found = (shares * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return found if found.shape[3] == 3 else found[..., 0]


def resized(pictures: np.ndarray, side: int, enlarge: bool = False) -> np.ndarray:
    """(n, H, W) or (n, H, W, 3) with the longer side at most `side` pixels; `enlarge`: exactly square ones of it."""
    height, width = pictures.shape[1:3]
    if not enlarge and max(height, width) <= side:
        return pictures
    factor = side / max(height, width)
    size = (side, side) if enlarge else (max(1, round(height * factor)), max(1, round(width * factor)))
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, (height, width), strict=True)
    )
    return np.ascontiguousarray(pictures[:, rows][:, :, columns])


def crop(picture: np.ndarray, box: np.ndarray, size: Sequence[int] | None = None, fill: int = 128) -> np.ndarray:
    """(h, w) or (h, w, 3): what a box (top, left, bottom, right) holds of a picture, `fill` where it reaches over.

    size: (h, w) of the result, by default the box's. Where that is nothing, or as large as the picture along a side,
    the whole picture.
    """
    top, left, bottom, right = (int(edge) for edge in box)
    height, width = picture.shape[:2]
    tall, wide = (bottom - top, right - left) if size is None else size
    if not (0 < tall < height and 0 < wide < width):
        return picture
    made = np.full((tall, wide, *picture.shape[2:]), fill, np.uint8)
    rows, columns = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    made[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = picture[rows, columns]
    return made
