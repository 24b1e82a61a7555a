"""One convolution or pooling: the input, the kernel, the output, and the arithmetic of one of its pixels."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.patches import Rectangle

from labkit.plots.figure import Figure
from labkit.plots.look import DIVERGING, MINUS, SOFT, number, picture

MARK = "#d6006c"  # as in widgets/static/convmap.js
GREY = "gray"


def convolution(
    given: np.ndarray,
    output: np.ndarray,
    window: np.ndarray,
    kernel: np.ndarray | None = None,
    pixel: tuple[int, int] = (0, 0),
    channel: int = 0,
    places: tuple[Sequence[int | None], Sequence[int | None]] = ((), ()),
    bright: bool = False,
    pooling: str | None = None,
    title: str = "",
) -> Figure:
    """Above the input and the output with `pixel` marked, below its window, times the kernel, with the products.

    given: (1 or 3, H, W) in 0..1; output: (outputs, h, w), drawn as brightness where `bright`, else as signed values of
    one `channel`. window, kernel: (channels that are summed, size, size), NaN where nothing meets an entry; pooling has
    no kernel. pixel: (row, column) of the output; places: (rows, columns) of the input in its window. pooling: "max" or
    "average". title: the finding.
    """
    grids = 1 if kernel is None else 3
    figure = Figure(figsize=(8.4, 4.2 + 2.1 * len(window)), layout="constrained", facecolor="white")
    above, below = figure.subfigures(2, 1, height_ratios=(3.6, 2.1 * len(window)))
    left, right = above.subplots(1, 2)
    _map(left, given, given.shape[0] == 3, True, 0)
    left.set_title(f"Input, {given.shape[1]}×{given.shape[2]}", fontsize=10)
    _map(right, output, bright and output.shape[0] == 3, bright, channel)
    value = float(output[channel, pixel[0], pixel[1]])
    right.set_title(f"Output, {output.shape[1]}×{output.shape[2]}", fontsize=10)
    for row in places[0]:
        for column in places[1]:
            if row is not None and column is not None:
                _box(left, row, column, 1.2)
    _box(right, *pixel, 2.4)
    drawn = below.subplots(len(window), grids, squeeze=False)
    for r, seen in enumerate(window):
        _grid(drawn[r][0], seen, "Window", GREY, 0, 1)
        if kernel is not None:
            most = float(np.abs(kernel).max()) or 1.0
            _grid(drawn[r][1], kernel[r], "× kernel", DIVERGING, -most, most)
            products = seen * kernel[r]
            reach = float(np.nanmax(np.abs(np.where(np.isfinite(products), products, 0)))) or 1.0
            _grid(drawn[r][2], products, "= products", DIVERGING, -reach, reach)
    made = {"max": "largest value", "average": "mean"}.get(pooling or "", "sum of the products")
    sentence = f"row {pixel[0]}, column {pixel[1]}: {made} {number(value)}"
    below.suptitle(sentence[0].upper() + sentence[1:], fontsize=10)
    figure.alt = f"{title}. At {sentence}" if title else f"At {sentence}"
    figure.suptitle(title, fontsize=12, fontweight="bold")
    return figure


def _map(axes: Axes, values: np.ndarray, coloured: bool, bright: bool, channel: int) -> None:
    if coloured:
        picture(axes, np.clip(values, 0, 1).transpose(1, 2, 0))
        return
    one = values[channel]
    most = float(np.abs(one).max()) or 1.0
    if bright:
        picture(axes, one, cmap=GREY, vmin=0, vmax=1)
    else:
        picture(axes, one, cmap=DIVERGING, vmin=-most, vmax=most)
        axes.set_xlabel(f"{number(-most)} (orange) to {number(most)} (blue)", fontsize=9, color=SOFT)


def _box(axes: Axes, row: int, column: int, width: float) -> None:
    axes.add_patch(
        Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=MARK, linewidth=width, clip_on=False)
    )


def _grid(axes: Axes, values: np.ndarray, title: str, cmap: str | Colormap, low: float, high: float) -> None:
    """Numbers in coloured squares; a dot where there is none."""
    picture(axes, np.where(np.isfinite(values), values, (low + high) / 2), cmap=cmap, vmin=low, vmax=high)
    axes.set_title(title, fontsize=9, color=SOFT)
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            text = "·" if np.isnan(value) else f"{MINUS}∞" if np.isinf(value) else f"{value:.2f}".replace("-", MINUS)
            dark = cmap == GREY and np.isfinite(value) and value < 0.5
            colour = "white" if dark else "#111"
            size = 9 if len(values) <= 3 else 7 if len(values) <= 5 else 5
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
