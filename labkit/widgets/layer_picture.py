"""The picture that LayerView gives to the network: one of several, brought by hand, painted on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.errors import DataError, SettingError
from labkit.widgets.strokes import draw

# How bright red, green and blue are (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)


class Pictures:
    """`inputs` (n, C, H, W) to step through, and `now` (1, C, H, W), which may be painted on.

    low, high (C, 1, 1): the values that stand for black and white, or with one channel for paper and ink: 0 and 1, or
    the least and the largest of each channel where the pictures are not within 0..1.
    """

    def __init__(self, inputs: Any, targets: Any, classes: Sequence[str] | None) -> None:
        if not (isinstance(inputs, Tensor) and inputs.ndim == 4 and inputs.numel() and inputs.is_floating_point()):
            shown = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
            raise DataError(
                f"Expected pictures (n, channels, height, width) as a tensor or a data set, received {shown}."
            )
        self.inputs = inputs.detach().cpu()
        self.targets = targets if isinstance(targets, Tensor) and targets.ndim == 1 else None
        self.classes = None if classes is None else [str(name) for name in classes]
        if self.inputs.min() >= 0 and self.inputs.max() <= 1:
            self.low = torch.zeros(self.channels, 1, 1)
            self.high = torch.ones(self.channels, 1, 1)
        else:
            self.low = self.inputs.amin((0, 2, 3))[:, None, None]
            self.high = self.inputs.amax((0, 2, 3))[:, None, None]
        self.now: Tensor
        self.look_at(0)

    @property
    def channels(self) -> int:
        return int(self.inputs.shape[1])

    @property
    def target(self) -> int | None:
        """The class of the picture shown, where there is one and it is not brought by hand."""
        return None if self.targets is None or self.brought else int(self.targets[self.index])

    def look_at(self, index: int) -> None:
        if not (isinstance(index, int) and 0 <= index < len(self.inputs)):
            raise SettingError(f"Expected a picture of 0 to {len(self.inputs) - 1}, received {index!r}.")
        self.index, self.brought = index, False
        self._set(self.inputs[index : index + 1])

    def bring(self, picture: np.ndarray) -> None:
        """Take a picture (H, W, 3) uint8 of the network's own size; with one channel, what is dark becomes ink."""
        if picture.shape != (*self.inputs.shape[2:], 3) or picture.dtype != np.uint8:
            raise DataError(
                f"Expected a picture of shape {(*self.inputs.shape[2:], 3)} in uint8, received {picture.shape} in "
                f"{picture.dtype}."
            )
        if self.channels not in (1, 3):
            raise SettingError(f"Expected pictures of 1 or 3 channels to bring one, these have {self.channels}.")
        shares = torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)
        if self.channels == 1:
            shares = 1 - (shares * torch.tensor(LUMA)[:, None, None]).sum(0, keepdim=True)
        self.brought = True
        self._set((self.low + shares * (self.high - self.low)).to(self.inputs.dtype)[None])

    def paint(self, points: np.ndarray, width: float, colour: str | None) -> None:
        """Draw a stroke: points (n, 2) in 0..1 from the upper left, width as a part of the picture's.

        colour: "#rrggbb" (with one channel any colour is ink); None erases: to paper, or to the picture's mean colour.
        """
        if not (len(points) and np.isfinite(points).all()):
            raise SettingError("Expected a stroke of at least one point, all of them finite numbers in 0..1.")
        mask = np.zeros(self.inputs.shape[2:], np.uint8)
        draw(mask, points, width)
        share = torch.from_numpy(mask.astype(np.float32) / 255)
        value = self._erased if colour is None else self._coloured(colour)
        self.now = (self.now + share * (value - self.now)).to(self.inputs.dtype)
        self.painted = True

    def restore(self) -> None:
        """As it was before it was painted on."""
        self._set(self._before)

    def as_bytes(self) -> np.ndarray:
        """To show it: (H, W, 3) uint8 or, of pictures that do not have three channels, (H, W), their mean."""
        shares = ((self.now[0] - self.low) / (self.high - self.low).clamp_min(1e-12)).clamp(0, 1)
        found = (shares * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        return found if self.channels == 3 else found.mean(2).round().astype(np.uint8)

    def _set(self, picture: Tensor) -> None:
        self.now = self._before = picture
        self.painted = False

    @property
    def _erased(self) -> Tensor:
        return self.low if self.channels == 1 else self._before[0].mean((1, 2), keepdim=True)

    def _coloured(self, colour: str) -> Tensor:
        if self.channels == 1:
            return self.high
        if self.channels != 3:
            raise SettingError(f"Expected pictures of 1 or 3 channels to paint on, these have {self.channels}.")
        shares = torch.tensor([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])[:, None, None]
        return self.low + shares * (self.high - self.low)
