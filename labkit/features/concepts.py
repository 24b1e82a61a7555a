"""Where a picture has edges and colours: concepts that need no labels, computed from the pixels."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.errors import DataError
from labkit.features.reading import batches

HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")
LINES = ("horizontal edge", "rising edge", "vertical edge", "falling edge")
EDGES = 0.1  # the share of all pixels, those with the steepest change of brightness
CHROMA, DARK, BRIGHT = 0.2, 0.25, 0.85
_LUMINANCE = (0.299, 0.587, 0.114)
_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def concepts(ds: Any) -> dict[str, Tensor]:
    """{name: bool (n, H, W)} of the pictures (C, H, W) of a data set, values 0 to 1, for `dissect`.

    Edges: the tenth of all pixels of the data set with the steepest brightness (Sobel's gradient of ITU-R BT.601 luma),
    by the direction of the edge's line: "horizontal edge", "rising edge" (to the upper right), "vertical edge",
    "falling edge", each ± 22.5 degrees.
    Colours: pixels with a chroma (the largest of red, green, blue less the smallest) of at least 0.2, by hue: "red",
    "yellow", "green", "cyan", "blue", "magenta", each ± 30 degrees. Of the others "dark" below a luma of 0.25 and
    "bright" above 0.85. Pictures with another number of channels than 3 have edges, dark and bright only.
    Error: DataError for data that are not pictures.
    """
    parts = [_of(x.detach().cpu().float()) for x in batches(ds)]
    slope = torch.cat([part["slope"] for part in parts])
    steep = slope > np.quantile(slope.numpy(), 1 - EDGES)
    found = {name: torch.cat([part[name] for part in parts]) for name in parts[0] if name != "slope"}
    return {name: mask & steep if name in LINES else mask for name, mask in found.items()}


def _of(x: Tensor) -> dict[str, Tensor]:
    if x.ndim != 4:
        raise DataError(f"Expected pictures (n, channels, height, width), received {tuple(x.shape)}.")
    colour = x.shape[1] == 3
    luma = (x * torch.tensor(_LUMINANCE)[:, None, None]).sum(1) if colour else x.mean(1)
    kernel = torch.tensor(_SOBEL)
    padded = F.pad(luma[:, None], (1, 1, 1, 1), mode="replicate")
    across, down = F.conv2d(padded, torch.stack([kernel, kernel.T])[:, None] / 8).unbind(1)
    # The line of an edge stands at a right angle to its gradient; angles count upwards, pixels' rows downwards.
    angle = torch.rad2deg(torch.atan2(-down, across)) + 90
    sector = torch.round(angle / 45) % 4
    found = {name: sector == i for i, name in enumerate(LINES)}
    found["slope"] = torch.hypot(across, down)
    chroma = x.amax(1) - x.amin(1) if colour else torch.zeros_like(luma)
    if colour:
        hue = _hue(x, chroma)
        found |= {name: (chroma >= CHROMA) & (torch.round(hue) % 6 == i) for i, name in enumerate(HUES)}
    found["dark"] = (chroma < CHROMA) & (luma < DARK)
    found["bright"] = (chroma < CHROMA) & (luma > BRIGHT)
    return found


def _hue(x: Tensor, chroma: Tensor) -> Tensor:
    """In sixths of the circle: 0 red, 2 green, 4 blue (Smith 1978)."""
    red, green, blue = x.unbind(1)
    c = chroma.clamp(min=1e-12)
    most = x.argmax(1)
    sixths = torch.stack([(green - blue) / c % 6, (blue - red) / c + 2, (red - green) / c + 4])
    return sixths.gather(0, most[None])[0]
