"""Pictures side by side."""

from collections.abc import Sequence

import numpy as np

from labkit.plots.figure import Figure
from labkit.plots.look import picture


def pictures(images: np.ndarray, names: Sequence[str] | None = None) -> Figure:
    """A wall of pictures, ten in a row, with a name above each.

    images: (n, H, W), (n, 1, H, W) or (n, 3, H, W), from 0 (paper) to 1; colours as (red, green, blue).
    """
    images = np.asarray(images)
    if images.ndim == 4:
        images = images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)
    across = min(len(images), 10)
    down = -(-len(images) // across)
    figure = Figure(figsize=(0.85 * across, (1.05 if names else 0.85) * down), layout="constrained", facecolor="white")
    grid = figure.subplots(down, across, squeeze=False)
    scale = {} if images.ndim == 4 else {"cmap": "gray_r", "vmin": 0, "vmax": 1}
    for axes in grid.flat[len(images) :]:
        axes.axis("off")
    for i, axes in zip(range(len(images)), grid.flat, strict=False):
        picture(axes, images[i], **scale)
        if names:
            axes.set_title(str(names[i]), fontsize=10, pad=3)
    listed = f": {', '.join(map(str, names))}" if names else ""
    figure.alt = f"{len(images)} pictures{listed}."
    return figure
