"""A training step as a graph: numbers in boxes from the inputs to the loss, or layers as heatmaps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path

from labkit.plots.figure import Figure
from labkit.plots.look import ACCENT, DIVERGING, GREY, LINE, SOFT, number, picture

Beats = Sequence[tuple[str, Sequence[Any]]]

WIDE, HIGH = 1.0, 0.8  # of a box, where columns and rows are 1.3 and 1 apart
APART = 1.3


def backprop(
    nodes: Sequence[Mapping[str, Any]],
    links: Sequence[Sequence[int]],
    beats: Beats,
    values: np.ndarray,
    gradients: np.ndarray,
    after: np.ndarray,
    caption: str = "",
) -> Figure:
    """Every number of a training step, as far as the film has come.

    nodes: each with label, kind, column, row and moves (whether it is given, and not computed). links: (from, to).
    beats: (stage, numbers of nodes) of the film up to now, the last one lit. values, gradients, after: (nodes,).
    """
    columns, rows = [node["column"] for node in nodes], [node["row"] for node in nodes]
    span = max(rows) - min(rows)
    figure = Figure(figsize=(max(7.0, 1.05 * (max(columns) + 1)), 1.3 + 0.56 * (span + 1)), layout="constrained")
    figure.set_facecolor("white")
    axes = figure.subplots()
    seen = {stage: {k for name, part in beats if name == stage for k in part} for stage in ("backward", "update")}
    known = {k for name, part in beats if name in ("forward", "loss") for k in part}
    stage, lit = beats[-1]
    strongest = max((abs(values[k]) for k, node in enumerate(nodes) if node["kind"] == "weight"), default=1.0) or 1.0
    for start, end in links:
        _link(axes, nodes, links, start, end, values, strongest)
    steepest = float(np.nanmax(np.abs(gradients), initial=1e-12))
    for k, node in enumerate(nodes):
        x, y = _place(node)
        updated, shown = k in seen["update"], node["moves"] or k in known
        axes.add_patch(
            FancyBboxPatch(
                (x, y - HIGH / 2), WIDE, HIGH, boxstyle=f"round,pad=0,rounding_size={0.06 if node['moves'] else 0.25}",
                facecolor="white", edgecolor=ACCENT if k in lit else GREY if node["moves"] else LINE,
                linewidth=2 if k in lit else 0.9, linestyle="--" if k in lit and stage == "backward" else "-", zorder=2,
            )
        )  # fmt: skip
        axes.text(x + WIDE / 2, y + 0.24, node["label"], ha="center", va="center", fontsize=7, color=SOFT, zorder=4)
        if shown:
            text = number(float(after[k] if updated else values[k]))
            colour = ACCENT if updated else "black"
            axes.text(
                x + WIDE / 2, y, text, ha="center", va="center", fontsize=9, weight="bold", color=colour, zorder=4
            )
        if k in seen["backward"] and np.isfinite(gradients[k]):
            strength = 0.5 + 0.3 * float(np.sign(gradients[k]) * np.sqrt(abs(gradients[k]) / steepest))
            text = f"◂ {number(float(gradients[k]))}"
            box = {"facecolor": DIVERGING(strength), "edgecolor": "none", "pad": 1}
            axes.text(x + WIDE / 2, y - 0.26, text, ha="center", va="center", fontsize=7.5, bbox=box, zorder=4)
    axes.set(xlim=(-0.1, APART * max(columns) + WIDE + 0.1), ylim=(-max(rows) - 0.6, -min(rows) + 0.6))
    axes.axis("off")
    _words(
        figure,
        caption,
        "Lines: as wide as the weight is large, dashed orange below 0, blue above. ◂ gradient of the loss.",
    )
    return figure


def backprop_tensors(
    layers: Sequence[Mapping[str, Any]], beats: Beats, arrays: Mapping[str, np.ndarray], caption: str = ""
) -> Figure:
    """Each layer's output, its parameters and their gradients as heatmaps, as far as the film has come.

    layers: each with name, kind and the names of its parameters. beats: (stage, names) up to now.
    arrays: "value NAME", "gradient NAME" and, of a parameter, "after NAME".
    """
    seen = {
        stage: {k for name, part in beats if name == stage for k in part} for stage in ("forward", "backward", "update")
    }
    lit = beats[-1][1]
    columns = [{"name": "x", "kind": "input", "parameters": []}, *layers]
    maps = 2 * (1 + max(len(layer["parameters"]) for layer in columns))
    figure = Figure(figsize=(max(6.0, 1.35 * len(columns)), 1.0 + 1.25 * maps), layout="constrained", facecolor="white")
    grid = figure.subplots(maps, len(columns), squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for column, layer in zip(grid.T, columns, strict=True):
        name = layer["name"]
        updated = name in seen["update"]
        for row, part in enumerate([name, *layer["parameters"]]):
            own = row == 0
            key = f"after {part}" if updated and not own else f"value {part}"
            if not own or name in seen["forward"]:
                _heatmap(column[2 * row], arrays[key], "output" if own else part.rsplit(".", 1)[-1])
            if name in seen["backward"] and f"gradient {part}" in arrays:
                _heatmap(column[2 * row + 1], arrays[f"gradient {part}"], "◂ gradient")
        title = f"{name}\n{layer['kind']}\n{column[0].get_title()}"
        column[0].set_title(title, fontsize=8, color=ACCENT if name in lit else "black")
    _words(figure, caption, "Each heatmap has its own scale, symmetric about 0: orange below, blue above.")
    return figure


def tiled(array: np.ndarray) -> np.ndarray:
    """An array of any shape as one picture (rows, columns); NaN between its tiles and where nothing is left."""
    array = np.asarray(array, float)
    if array.ndim <= 1:
        flat = array.reshape(-1)
        columns = len(flat) if len(flat) <= 16 else int(np.ceil(np.sqrt(2 * len(flat))))
        whole = np.full(-(-len(flat) // columns) * columns, np.nan)
        whole[: len(flat)] = flat
        return whole.reshape(-1, columns)
    height, width = array.shape[-2:]
    tiles = array.reshape(-1, height, width)
    across = 1 if array.ndim == 2 else array.shape[-3] if array.ndim > 3 else int(np.ceil(np.sqrt(len(tiles))))
    down = -(-len(tiles) // across)
    whole = np.full((down * (height + 1) - 1, across * (width + 1) - 1), np.nan)
    for k, tile in enumerate(tiles):
        y, x = k // across * (height + 1), k % across * (width + 1)
        whole[y : y + height, x : x + width] = tile
    return whole


def _place(node: Mapping[str, Any]) -> tuple[float, float]:
    """The middle of a box's left side; a product follows its weight at once."""
    return APART * node["column"] - (APART - WIDE if node["kind"] == "product" else 0), -node["row"]


def _link(
    axes: Axes, nodes: Sequence[Mapping[str, Any]], links: Sequence[Sequence[int]], start: int, end: int,
    values: np.ndarray, strongest: float,
) -> None:  # fmt: skip
    """A curve from one box to another; what a weight multiplies enters at the weight's left."""
    (x0, y0), (x1, y1) = _place(nodes[start]), _place(nodes[end])
    style: dict[str, Any] = {"edgecolor": GREY, "linewidth": 0.8}
    if nodes[end]["kind"] == "product":
        weight = next(a for a, b in links if b == end and nodes[a]["kind"] == "weight")
        if start == weight:
            return
        x1, y1 = _place(nodes[weight])
        share = float(values[weight] / strongest)
        style = {
            "edgecolor": DIVERGING(0.5 + np.sign(share) * (0.25 + 0.25 * abs(share))),
            "linewidth": 0.8 + 3.2 * abs(share),
        }
        style["linestyle"] = (0, (3, 1.5)) if share < 0 else "-"
    x0 += WIDE
    if nodes[start]["column"] == nodes[end]["column"]:
        x0 = x1 = x0 - WIDE / 2
    middle = (x0 + x1) / 2
    path = Path([(x0, y0), (middle, y0), (middle, y1), (x1, y1)], [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    axes.add_patch(PathPatch(path, facecolor="none", zorder=1, **style))


def _heatmap(axes: Axes, values: np.ndarray, name: str) -> None:
    most = float(np.nanmax(np.abs(values), initial=0)) or 1.0
    axes.axis("on")
    picture(axes, tiled(values), cmap=DIVERGING, vmin=-most, vmax=most)
    axes.set_title(f"{name} ±{number(most)}", fontsize=7, color=SOFT)


def _words(figure: Figure, caption: str, legend: str) -> None:
    figure.alt = caption or "One training step"
    figure.suptitle(figure.alt, x=0.01, ha="left", fontsize=10, fontweight="bold", wrap=True)
    figure.supxlabel(legend, x=0.01, ha="left", fontsize=8, color=SOFT)
