"""One convolution or pooling: the input, the kernel, the output, and the arithmetic of one of its pixels."""

from collections.abc import Mapping, Sequence

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
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(3.6, 2.1 * len(window)))[:, 0]
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
    picture(axes, np.ma.masked_where(np.isnan(values), values.clip(low, high)), cmap=cmap, vmin=low, vmax=high)
    axes.set_title(title, fontsize=9, color=SOFT)
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            text = "·" if np.isnan(value) else f"{MINUS}∞" if np.isinf(value) else f"{value:.2f}".replace("-", MINUS)
            dark = value < 0.5 if cmap == GREY else value > 0.6 * high  # the grey or the blue below the number
            colour = "white" if dark else "#111"
            size = 9 if len(values) <= 3 else 7 if len(values) <= 5 else 5
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)


def filtered(photo: np.ndarray, results: Mapping[str, np.ndarray]) -> Figure:
    """A photo (3, H, W) in 0..1 and what kernels make of it: {name: (h, w) signed values}, each on its own scale."""
    count = 1 + len(results)
    down = -(-count // 3)
    figure = Figure(figsize=(9, 2.3 * down), layout="constrained", facecolor="white")
    grid = list(figure.subplots(down, 3, squeeze=False).flat)
    for axes in grid[count:]:
        axes.axis("off")
    picture(grid[0], photo.transpose(1, 2, 0))
    grid[0].set_title("Photo", fontsize=10)
    for axes, (name, values) in zip(grid[1:], results.items(), strict=False):
        most = float(np.abs(values).max()) or 1.0
        picture(axes, values, cmap=DIVERGING, vmin=-most, vmax=most)
        axes.set_title(f"{name}: {number(-most)} to {number(most)}", fontsize=10)
    listed = ", ".join(results)
    figure.alt = f"A photo and what {len(results)} kernels make of it: {listed}. Orange is negative, blue positive."
    return figure


def matrix(values: np.ndarray, rows: str, columns: str) -> Figure:
    """A matrix of signed values, zeros near the background; `rows` and `columns` name its axes."""
    figure = Figure(figsize=(4.6, 4.4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    most = float(np.abs(values).max()) or 1.0
    picture(axes, values, cmap=DIVERGING, vmin=-most, vmax=most)
    axes.set_ylabel(rows, fontsize=9, color=SOFT)
    axes.set_xlabel(columns, fontsize=9, color=SOFT)
    share = float((values == 0).mean())
    axes.set_title(f"{values.shape[0]}×{values.shape[1]}, {100 * share:.0f} % zeros", loc="left", fontsize=10)
    different = len(np.unique(values[values != 0]))
    figure.alt = (
        f"A matrix, {rows} by {columns}, {values.shape[0]} by {values.shape[1]}: {100 * share:.0f} % of its entries "
        f"are 0, the others are {different} different numbers, the largest of size {number(most)}."
    )
    return figure
