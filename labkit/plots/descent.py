"""Paths of optimisers on a map of the loss, and their losses by step."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from labkit.plots.figure import Figure
from labkit.plots.look import LINE, SOFT, number, plain_axes
from labkit.plots.training import End, label_ends

WASH = 0.5  # of the map's colours, so that the paths stand out
LOWEST, HIGHEST = 1e-6, 100.0  # of the first height: the chart of losses ends there


class Style(NamedTuple):
    colour: str
    dashed: bool
    marker: str


# One for each path, in order, as in widgets/static/optpaths.js. Relatives have the same hue, and the second is dashed.
STYLES = (
    Style("#212121", False, "o"),
    Style("#b25400", False, "s"),
    Style("#8a6a00", True, "D"),
    Style("#00754f", False, "^"),
    Style("#a3457c", False, "v"),
    Style("#0a62a8", False, "P"),
    Style("#0a79ad", True, "X"),
)


def descent(
    x: np.ndarray,
    y: np.ndarray,
    losses: np.ndarray,
    paths: Mapping[str, np.ndarray],
    by_step: Mapping[str, np.ndarray],
    floor: float = 0.0,
    low: float | None = None,
    high: float | None = None,
    minima: Sequence[tuple[float, float]] = (),
    diverged: Mapping[str, int] | None = None,
    styles: Mapping[str, int] | None = None,
    title: str = "",
) -> Figure:
    """The map with the paths on the left, the loss of each path by step on the right; both on a log scale.

    x: (n,), y: (m,), ascending; losses: (m, n), in colour as losses - floor, from `low` to `high` (by default all).
    paths: {name: (steps + 1, 2)}; by_step: {name: (steps + 1,)} losses there. minima: places, marked by a star.
    diverged: {name: step} of the paths that ended early. styles: {name: which of STYLES}, by default in order.
    title: the finding.
    """
    figure = Figure(figsize=(11, 4.4), layout="constrained", facecolor="white")
    plane, chart = figure.subplots(1, 2, width_ratios=(1.35, 1))
    heights = np.asarray(losses, float) - floor
    positive = heights[np.isfinite(heights) & (heights > 0)]
    most = high or float(positive.max(initial=1e-300))
    least = low or max(float(positive.min(initial=most)), 1e-4 * most)
    _map(plane, x, y, heights, least, most)
    looks = {name: STYLES[(styles or {}).get(name, i) % len(STYLES)] for i, name in enumerate(paths)}
    diverged = diverged or {}
    for name, path in paths.items():
        _path(plane, path, looks[name], name in diverged)
    for place in minima:
        plane.plot(*place, "*", color="white", markeredgecolor="#212121", markersize=11, zorder=3)
    _by_step(chart, by_step, floor, looks, diverged)
    figure.alt = title or f"The paths of {', '.join(paths)}"
    figure.suptitle(figure.alt, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


def _map(axes: Axes, x: np.ndarray, y: np.ndarray, heights: np.ndarray, low: float, high: float) -> None:
    norm = LogNorm(low, high)
    shown = np.clip(heights, low, high)
    half = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2
    extent = (x[0] - half[0], x[-1] + half[0], y[0] - half[1], y[-1] + half[1])
    axes.imshow(shown, origin="lower", extent=extent, cmap="cividis", norm=norm, alpha=WASH, interpolation="bilinear")
    levels = np.geomspace(low, high, 13)[1:-1]
    lines = axes.contour(x, y, shown, levels=levels, colors="#5f6368", linewidths=0.6, alpha=0.7)
    axes.clabel(lines, levels=levels[1::3], fmt=lambda value: number(float(value)), fontsize=7)
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), aspect="auto")
    axes.set_xlabel("x", color=SOFT, fontsize=9)
    axes.set_ylabel("y", color=SOFT, fontsize=9, rotation=0)
    axes.tick_params(colors=SOFT, length=0, labelsize=8)
    for spine in axes.spines.values():
        spine.set_color(LINE)


def _path(axes: Axes, path: np.ndarray, style: Style, diverged: bool) -> None:
    halo = [patheffects.Stroke(linewidth=3.4, foreground="white"), patheffects.Normal()]
    axes.plot(*path.T, "--" if style.dashed else "-", color=style.colour, linewidth=1.5, path_effects=halo, zorder=2)
    axes.plot(*path[0], "o", color="white", markeredgecolor="#212121", markersize=8, zorder=3)
    marker = "x" if diverged else style.marker
    axes.plot(*path[-1], marker, color=style.colour, markeredgecolor=style.colour if diverged else "white", zorder=4)


def _by_step(
    axes: Axes,
    by_step: Mapping[str, np.ndarray],
    floor: float,
    looks: Mapping[str, Style],
    diverged: Mapping[str, int],
) -> None:
    plain_axes(axes)
    axes.set_yscale("log")
    ends: list[End] = []
    met: list[np.ndarray] = []
    for name, losses in by_step.items():
        heights = np.asarray(losses, float) - floor
        heights = np.where(heights > 0, heights, np.nan)
        style = looks[name]
        axes.plot(heights, "--" if style.dashed else "-", color=style.colour, linewidth=1.5)
        last = number(float(losses[-1]))
        label = f"{name} diverged at {diverged[name]}" if name in diverged else f"{name} {last}"
        shown = heights[np.isfinite(heights)]
        met.append(shown)
        ends.append(End(label, float(shown[-1]) if len(shown) else 1e-300, style.colour))
    everything = np.concatenate([*met, np.empty(0)])
    first = max((float(shown[0]) for shown in met if len(shown)), default=1.0)
    low, high = everything.min(initial=first) / 1.5, everything.max(initial=first) * 1.5
    axes.set_ylim(max(low, LOWEST * first), min(high, HIGHEST * first))
    axes.set_xlim(left=0)
    axes.set_xlabel("step", color=SOFT, fontsize=9)
    axes.set_title("Loss" if floor == 0 else f"Loss above {number(floor)}", loc="left", fontsize=10, fontweight="bold")
    label_ends(axes, ends, gap=0.062)
