"""Photos to compute on: two that come with scikit-learn."""

import torch
from torch import Tensor

from labkit.errors import SettingError

PHOTOS = {"flower": "flower.jpg", "temple": "china.jpg"}
LARGEST = 427  # the shorter side of both files, in pixels


def photo(name: str = "flower", size: int = 128) -> Tensor:
    """A photo (3, size, 1.5 · size), red, green and blue in 0..1: "flower" or "temple", each averaged down.

    size: its height in pixels, 16 to 427. Source: sklearn.datasets.load_sample_image (Creative Commons Attribution 2.0,
    by Vultilion and Daniel Büchele). Raises SettingError for another name or size.
    """
    if name not in PHOTOS:
        raise SettingError(f"Expected a photo of {', '.join(PHOTOS)}, received {name!r}.")
    if not 16 <= size <= LARGEST:
        raise SettingError(f"Expected a height of 16 to {LARGEST} pixels, received size={size!r}.")
    from sklearn.datasets import load_sample_image

    pixels = torch.from_numpy(load_sample_image(PHOTOS[name]).copy()).permute(2, 0, 1).float() / 255
    width = round(size * pixels.shape[2] / pixels.shape[1])
    return torch.nn.functional.interpolate(pixels[None], (size, width), mode="area")[0]
