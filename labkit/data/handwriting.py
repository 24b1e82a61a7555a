"""Real handwritten digits, and a drawing made to look like one of them."""

from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from labkit.data.dataset import Dataset
from labkit.errors import DataError

FIELD = 64  # the drawing is normalised on a field of 64 x 64, eight times the digits' pixels
COVERAGE = 0.32  # the part of the field that ink covers (0.30 to 0.32 for every class of the real digits)
WIDEST = 38  # a digit as tall as the field is at most this wide, as nearly all real ones are


def digits() -> Dataset:
    """scikit-learn's 1,797 handwritten digits: inputs (1797, 1, 8, 8) in 0..1 (ink is 1), targets 0..9.

    `digits().split()` is the fixed split (1,438 to train, 359 to test, every class in proportion).
    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998: bitmaps of
    32 x 32 as tall as the field, counted in blocks of 4 x 4.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pictures = bunch.images[:, None].astype(np.float32) / 16
    return Dataset(pictures, bunch.target.astype(np.int64), classes=[str(d) for d in range(10)])


def ink_to_digit(ink: Any) -> Tensor:
    """The ink of a drawing as `digits()` has it: float32 (1, 1, 8, 8) in 0..1.

    ink: (H, W), any size and number type; 0 is paper, the largest value full ink. The drawing is cropped,
    made as tall as the field, its stroke thinned or thickened until ink covers as much as in the real digits,
    centred from left to right, and averaged in blocks. Where and how large it was drawn, and with which pen,
    hardly matters. Raises DataError for an empty drawing, or for what is no drawing.
    """
    image = np.asarray(ink.detach().cpu() if isinstance(ink, Tensor) else ink)
    if image.ndim != 2 or image.size == 0 or image.dtype.kind not in "fiub":
        raise DataError(f"Expected the ink as numbers (H, W); received {image.dtype} of shape {image.shape}.")
    image = image.astype(np.float32)
    if not np.isfinite(image).all():
        raise DataError("Expected finite ink; received NaN or infinite values.")
    if image.max() <= 0:
        raise DataError("Expected a drawing; received an empty one. Draw a digit first.")
    field = image / image.max()
    for _ in range(3):  # a new stroke width changes the height, and the other way round
        field = _stroke(_fitted(field))
    pixels = _fitted(field)[FIELD // 2 : -FIELD // 2, FIELD // 2 : -FIELD // 2]
    blocks = pixels.reshape(8, FIELD // 8, 8, FIELD // 8).mean(axis=(1, 3))
    return torch.from_numpy(blocks.astype(np.float32))[None, None]


def _fitted(image: np.ndarray) -> np.ndarray:
    """The ink's bounding box as tall as the field, at most WIDEST wide, amid twice the field."""
    inked = image > 0.5 * image.max()
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    top, left = rows[0], columns[0]
    height, width = rows[-1] + 1 - top, columns[-1] + 1 - left
    scale_y = height / FIELD
    scale_x = max(scale_y, width / WIDEST)
    box = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    weight = box.sum(axis=0)
    centre = left + ((weight * np.arange(width)).sum() / weight.sum() + left + (width - 1) / 2 - left) / 2
    # output pixel (i, j) reads the input at (scale_y * i + offset_y, scale_x * j + offset_x)
    offset_y = top - 0.5 + scale_y * (0.5 - FIELD / 2)
    offset_x = centre - scale_x * (FIELD - 0.5)
    smooth = ndimage.gaussian_filter(image, (0.35 * max(scale_y - 1, 0), 0.35 * max(scale_x - 1, 0)))
    return ndimage.affine_transform(
        smooth, (scale_y, scale_x), (offset_y, offset_x), (2 * FIELD, 2 * FIELD), order=1, mode="constant"
    )


def _stroke(image: np.ndarray) -> np.ndarray:
    """The same drawing with its stroke thinned or thickened until it covers COVERAGE of the field."""
    inked = image > 0.5 * image.max()
    distance = ndimage.distance_transform_edt(~inked) - ndimage.distance_transform_edt(inked)
    thinner, thicker = -FIELD / 2, FIELD / 2
    for _ in range(12):
        edge = (thinner + thicker) / 2
        drawn = np.clip(0.5 + edge - distance, 0, 1)
        thinner, thicker = (thinner, edge) if drawn.sum() > COVERAGE * FIELD**2 else (edge, thicker)
    return drawn
