"""What the units of a layer look for, and one of them from near: the static twin of FeatureView."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.patches import Rectangle

from labkit.errors import DataError
from labkit.plots.figure import Figure
from labkit.plots.look import ACCENT, DIVERGING, SOFT, number, picture, plain_axes

MARK = "#d6006c"
ACROSS = 10  # pictures in a row
FEW = 6  # connections of each direction


def features(
    pictures: np.ndarray,
    names: Sequence[str | None],
    detects: Sequence[tuple[str | None, float]],
    finding: str,
    unit: Mapping[str, Any] | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
    detector: float = 0.04,
) -> Figure:
    """A wall of pictures, one for each unit, with the part that it detects; below it a unit from near.

    pictures: (units, H, W) or (units, H, W, 3) uint8, of one channel 0 is paper. names: of units that have one.
    detects: (part, IoU) of each; a part is named from an IoU of `detector` on. finding: the title.
    unit: {"first": number of the wall's first unit, "patches": [(example, class or None, activation, (top, left,
    bottom, right) or None)], "size": (height, width) that these boxes are in, "incoming", "outgoing": [{"layer",
    "unit", "name", "sum"}], "classes": names or None}.
    arrays: "unit.pictures" (patches, H, W[, 3]), and "unit.values" with "unit.classes" (n,): the unit's highest
    activation in each picture. Error: DataError without pictures, or for other numbers of names.
    """
    if not len(pictures):
        raise DataError("Expected the pictures of at least one unit, received none. Call view.wait() first.")
    if not len(pictures) == len(names) == len(detects):
        raise DataError(
            f"Expected a picture, name and part for each unit, received {len(pictures)}, {len(names)}, {len(detects)}."
        )
    down = -(-len(pictures) // ACROSS)
    wall_height = 1.02 * down
    figure = Figure(figsize=(8.4, wall_height + 0.5 + (4.6 if unit else 0)), layout="constrained", facecolor="white")
    rows = figure.subfigures(2 if unit else 1, 1, height_ratios=[wall_height, 4.6][: 2 if unit else 1], squeeze=False)
    if unit:
        _near(rows[1, 0], unit, arrays or {})
    grid = rows[0, 0].subplots(down, ACROSS, squeeze=False).flat
    first = 0 if unit is None else int(unit.get("first", 0))
    for i, axes in enumerate(grid):
        if i >= len(pictures):
            axes.axis("off")
            continue
        picture(axes, pictures[i], **_scale(pictures))
        part, iou = detects[i]
        word = names[i] or str(first + i)
        axes.set_title(f"{word} {part}" if part and iou >= detector else word, fontsize=7, pad=2)
    named = [part for part, iou in detects if part and iou >= detector]
    counted = [f"{part} ({named.count(part)})" for part in sorted(set(named), key=lambda part: -named.count(part))]
    figure.alt = f"{finding}. Detected are: {', '.join(counted)}" if counted else finding
    figure.suptitle(finding, fontsize=12, fontweight="bold")
    return figure


def _near(figure: SubFigure, unit: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    patches = list(unit["patches"])[:ACROSS]
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.2, 3), squeeze=False)[:, 0]
    if patches:
        row = top.subplots(1, ACROSS, squeeze=False)[0]
        shown = arrays["unit.pictures"]
        for axes, (patch, values) in zip(row, zip(patches, shown, strict=False), strict=False):
            example, label, activation, box = patch
            picture(axes, values, **_scale(shown))
            axes.set_title(f"{label or example}\n{number(activation)}", fontsize=7, pad=2)
            if box is not None:
                factor = shown.shape[1] / unit["size"][0]
                upper, left, lower, right = (edge * factor for edge in box)
                size = (right - left, lower - upper)
                axes.add_patch(Rectangle((left - 0.5, upper - 0.5), *size, fill=False, edgecolor=MARK, linewidth=1.4))
        for axes in row[len(patches) :]:
            axes.axis("off")
    incoming, outgoing, by_class = bottom.subplots(1, 3)
    _weights(incoming, unit["incoming"], "Fed by")
    _weights(outgoing, unit["outgoing"], "Feeds")
    _classes(by_class, arrays, unit.get("classes"))


def _weights(axes: Axes, listed: Sequence[Mapping[str, Any]], title: str) -> None:
    axes.set_title(title, fontsize=10, loc="left", fontweight="bold")
    if not listed:
        axes.text(0, 0.5, "not followed", color=SOFT, fontsize=9)
        axes.axis("off")
        return
    few = listed[:FEW]
    sums = [one["sum"] for one in few]
    words = [f"{str(one['layer']).rpartition('.')[2]} {one['name'] or one['unit']}" for one in few]
    most = max(map(abs, sums)) or 1.0
    axes.barh(range(len(few)), sums, color=[DIVERGING(1.0 if value > 0 else 0.0) for value in sums])
    axes.set_yticks(range(len(few)), words)
    axes.invert_yaxis()
    axes.set_xlim(-1.5 * most, 1.5 * most)
    plain_axes(axes)
    for i, value in enumerate(sums):
        side = "left" if value >= 0 else "right"
        axes.text(value + (0.05 if value >= 0 else -0.05) * most, i, number(value), va="center", ha=side, fontsize=8)
    axes.set_xlabel("sum of the weights", fontsize=9, color=SOFT)


def _classes(axes: Axes, arrays: Mapping[str, np.ndarray], names: Sequence[str] | None) -> None:
    values, classes = arrays.get("unit.values", np.zeros(0)), arrays.get("unit.classes")
    axes.set_title("By class", fontsize=10, loc="left", fontweight="bold")
    if classes is None or not len(values):
        axes.axis("off")
        return
    there = [int(k) for k in np.unique(classes)]
    there.sort(key=lambda k: float(values[classes == k].mean()))
    for row, k in enumerate(there):
        mine = values[classes == k]
        axes.plot(mine, np.full(len(mine), row), ".", color=ACCENT, alpha=0.35, markersize=4, markeredgewidth=0)
        axes.plot([mine.mean()], [row], "|", color="black", markersize=9, markeredgewidth=1.6)
    axes.set_yticks(range(len(there)), [names[k] if names else f"class {k}" for k in there])
    plain_axes(axes)
    axes.set_xlabel("highest activation; | mean", fontsize=9, color=SOFT)


def _scale(pictures: np.ndarray) -> dict[str, Any]:
    return {} if pictures.ndim == 4 else {"cmap": "gray_r", "vmin": 0, "vmax": 255}
