"""One picture, and what hand-made features say of it; the filters of both kinds side by side."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import ArrayLike

from labkit.plots.figure import Figure
from labkit.plots.look import ACCENT, DIVERGING, SOFT, number, picture


def handmade(
    image: ArrayLike, cells: ArrayLike, edges: ArrayLike, hues: ArrayLike | None = None, maps: ArrayLike | None = None
) -> Figure:
    """A picture, its oriented gradients as strokes, its edges, its hues, and below it feature maps of a network.

    image: (1 or 3, H, W) from 0 to 1; cells: (rows, columns, orientations), as `labkit.data.handmade.cells` gives them,
    drawn as strokes along the edge, longest where there is most; edges: (H, W); hues: (bins,), shares of the pixels;
    maps: (k, h, w), each on a scale of its own.
    """
    image, edges = np.asarray(image, float), np.asarray(edges, float)
    across = 4 if hues is not None else 3
    shown = np.zeros((0, 1, 1)) if maps is None else np.asarray(maps, float)
    per_row = 8
    rows = -(-len(shown) // per_row)
    figure = Figure(figsize=(2.3 * across, 2.6 + 1.15 * rows), layout="constrained", facecolor="white")
    heights = [2.6, 1.15 * rows] if rows else [2.6]
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    top = parts[0].subplots(1, across)
    _show(top[0], image)
    top[0].set_title("The picture", fontsize=10)
    _strokes(top[1], np.asarray(cells, float), image.shape[1:])
    top[1].set_title("Oriented gradients", fontsize=10)
    picture(top[2], edges, cmap="gray_r", vmin=0, vmax=float(edges.max()) or 1.0)
    top[2].set_title("Edges", fontsize=10)
    if hues is not None:
        _hues(top[3], np.asarray(hues, float))
    if rows:
        parts[1].suptitle("Feature maps that were learned", fontsize=10)
        grid = parts[1].subplots(rows, per_row, squeeze=False).flat
        for axes in grid:
            axes.axis("off")
        for axes, values in zip(parts[1].axes, shown, strict=False):
            axes.axis("on")
            picture(axes, values, cmap="viridis")
    figure.alt = f"A picture, its oriented gradients in {np.shape(cells)[0]} by {np.shape(cells)[1]} cells, its edges"
    if hues is not None:
        figure.alt += f", the shares of its hues (most: {number(float(np.max(hues)))})"
    figure.alt += f", and {len(shown)} feature maps of a network." if len(shown) else "."
    return figure


def filters(kernels: Mapping[str, ArrayLike]) -> Figure:
    """Rows of filters: {name: (k, h, w) or (k, 3, h, w)}, each scaled by its largest value.

    Those of one channel are orange below zero and blue above; those of colours are drawn about grey: grey is zero.
    """
    rows = {name: np.asarray(values, float) for name, values in kernels.items()}
    per_row = 8
    heights = [-(-len(values) // per_row) for values in rows.values()]
    figure = Figure(figsize=(7.2, 0.95 * sum(heights) + 0.35 * len(rows)), layout="constrained", facecolor="white")
    parts = figure.subfigures(len(rows), 1, height_ratios=[0.95 * h + 0.35 for h in heights], squeeze=False)[:, 0]
    for part, height, (name, values) in zip(parts, heights, rows.items(), strict=True):
        part.suptitle(name, fontsize=10, fontweight="bold", x=0.01, ha="left")
        for axes, kernel in zip(part.subplots(height, per_row, squeeze=False).flat, values, strict=False):
            most = float(np.abs(kernel).max()) or 1.0
            if kernel.ndim == 3:
                picture(axes, 0.5 + 0.5 * (kernel / most).transpose(1, 2, 0))
            else:
                picture(axes, kernel, cmap=DIVERGING, vmin=-most, vmax=most)
        for axes in part.axes[len(values) :]:
            axes.axis("off")
    figure.alt = "Filters: " + "; ".join(f"{len(values)}, {name}" for name, values in rows.items()) + "."
    return figure


def _show(axes: Axes, image: np.ndarray) -> None:
    scale: dict[str, Any] = {} if len(image) == 3 else {"cmap": "gray_r", "vmin": 0, "vmax": 1}
    picture(axes, image.transpose(1, 2, 0) if len(image) == 3 else image[0], **scale)


def _strokes(axes: Axes, cells: np.ndarray, shape: tuple[int, ...]) -> None:
    """A stroke for each cell and orientation, along the edge: at right angles to the gradient."""
    rows, columns, orientations = cells.shape
    high, wide = shape[0] / rows, shape[1] / columns
    angle = (np.arange(orientations) + 0.5) * np.pi / orientations + np.pi / 2
    most = float(cells.max()) or 1.0
    row, column, bin_ = np.nonzero(cells > 0.05 * most)
    strength = cells[row, column, bin_] / most
    middle = np.stack([(column + 0.5) * wide, (row + 0.5) * high], axis=1)
    half = 0.48 * min(high, wide) * strength[:, None] * np.stack([np.cos(angle[bin_]), np.sin(angle[bin_])], axis=1)
    strokes = list(np.stack([middle - half, middle + half], axis=1))
    axes.add_collection(LineCollection(strokes, colors=ACCENT, linewidths=1.3))
    axes.set_xlim(0, shape[1])
    axes.set_ylim(shape[0], 0)
    axes.set_aspect("equal")
    axes.set_xticks(np.arange(columns + 1) * wide, [])
    axes.set_yticks(np.arange(rows + 1) * high, [])
    axes.grid(color="#dadce0", linewidth=0.6)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_color("#dadce0")


def _hues(axes: Axes, shares: np.ndarray) -> None:
    from matplotlib.colors import hsv_to_rgb

    middle = (np.arange(len(shares)) + 0.5) / len(shares)
    axes.bar(middle, shares, width=0.9 / len(shares), color=[hsv_to_rgb((hue, 0.75, 0.85)) for hue in middle])
    axes.set_xticks([0, 1 / 3, 2 / 3], ["red", "green", "blue"])
    axes.set_yticks([])
    axes.tick_params(colors=SOFT, length=0, labelsize=9)
    axes.set_box_aspect(1)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.set_title("Hues, share of pixels", fontsize=10)
