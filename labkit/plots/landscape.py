"""The loss over a plane or a line through a model's weights, with the path of training on it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from labkit.plots.figure import Figure
from labkit.plots.look import ACCENT, BAD, LINE, SOFT, number, plain_axes

MOST_DOTS = 40
INK = "#202124"
# Losses that span this factor are shown on a log scale; as in static/contours.js.
LOG_FROM = 3.0
FEWEST_LEVELS, MOST_LEVELS = 7, 14
_PARTS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
AXES = {
    "filter": ("direction 1, in filter norms", "direction 2, in filter norms"),
    "random": ("direction 1, in lengths of the weights", "direction 2, in lengths of the weights"),
    "pca": ("main direction of the movement", "second direction"),
    "runs": ("distance between weights", "distance at a right angle"),
}


def landscape(
    losses: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    path: np.ndarray | None = None,
    steps: np.ndarray | None = None,
    share: float | None = None,
    kind: str = "",
    others: Mapping[str, np.ndarray] | None = None,
    marks: np.ndarray | None = None,
) -> Figure:
    """A map of the loss: colours (smoothed between the places) and contour lines, on a log scale where it spans much.

    losses: (len(b), len(a)); what is not finite is red. path: (k, 2) with its `steps` (k,), drawn with a dot a step, at
    most 40. share: of the movement that the plane holds, 0 to 1. kind: of the plane, names the axes. others: paths
    (k, 2) of other runs by their names. marks: (m, 2) places of models. All of it is what
    `labkit.train.landscape.Landscape` has.
    """
    losses = np.asarray(losses, float)
    values, levels, log = scaled(losses)
    figure = Figure(figsize=(6.4, 5.7), layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.set_facecolor(BAD)
    extent = (float(a[0]), float(a[-1]), float(b[0]), float(b[-1]))
    image = axes.imshow(values, extent=extent, origin="lower", cmap="cividis", interpolation="bicubic", aspect="equal")
    if len(levels):
        places = np.log10(levels) if log else np.asarray(levels)
        lines = axes.contour(a, b, values, levels=places, colors="white", linewidths=0.7, linestyles="-", alpha=0.75)
        axes.clabel(lines, fontsize=7.5, fmt=lambda place: short(10**place if log else place))
        bar = figure.colorbar(image, ax=axes, shrink=0.85, ticks=places)
        bar.ax.set_yticklabels([short(level) for level in levels])
        bar.ax.tick_params(colors=SOFT, length=0, labelsize=8.5)
        bar.outline.set_visible(False)
        bar.set_label("loss, log scale" if log else "loss", color=SOFT, fontsize=9)
    axes.set(xlim=extent[:2], ylim=extent[2:])
    axes.autoscale(False)
    for name, other in (others or {}).items():
        _path(axes, other, None, name, main=False)
    for k, place in enumerate(() if marks is None else marks):
        _mark(axes, place, "D", f"model {k + 1}")
    if path is not None and len(path):
        _path(axes, path, steps, "", main=True)
    across, up = AXES.get(kind, ("direction 1", "direction 2"))
    axes.set_xlabel(across, color=SOFT, fontsize=9)
    axes.set_ylabel(up, color=SOFT, fontsize=9)
    axes.tick_params(colors=SOFT, length=0, labelsize=8.5)
    axes.xaxis.set_major_formatter(lambda x, _: short(x))
    axes.yaxis.set_major_formatter(lambda x, _: short(x))
    for spine in axes.spines.values():
        spine.set_color(LINE)
    figure.alt = landscape_text(losses, steps, share)
    figure.suptitle(figure.alt.replace("; ", "\n"), fontsize=11, fontweight="bold", x=0.01, ha="left")
    return figure


def landscape_text(losses: np.ndarray, steps: np.ndarray | None = None, share: float | None = None) -> str:
    """The finding in one line: "400 steps on a plane that holds 99.8 % of their movement; loss 0.0115 to 1.19"."""
    finite = losses[np.isfinite(losses)]
    words = f"oss {number(float(finite.min()))} to {number(float(finite.max()))}" if finite.size else "oss: not finite"
    words += "" if finite.size == losses.size or not finite.size else ", not finite in the red"
    if steps is None or not len(steps) or share is None:
        return f"L{words} on this plane"
    count = int(steps[-1] - steps[0])
    held = f"{number(100 * share)} % of their movement"
    return f"{count:,} steps on a plane that holds {held}; l{words}"


def landscape_line(losses: np.ndarray, at: np.ndarray, kind: str = "") -> Figure:
    """The loss along a line: losses and at (n,); kind "runs" marks the two models, at 0 and 1, others the one at 0."""
    losses = np.asarray(losses, float)
    _, _, log = scaled(losses)
    figure = Figure(figsize=(6.4, 3.4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    plain_axes(axes)
    axes.plot(at, losses, color=ACCENT, linewidth=1.8)
    if log:
        axes.set_yscale("log")
    ends = [(0.0, "this model"), (1.0, "the other")] if kind == "runs" else [(0.0, "this model")]
    for place, name in ends:
        loss = float(np.interp(place, at, losses))
        axes.plot(place, loss, "o", color=ACCENT, markersize=6)
        axes.annotate(
            f"{name}\n{number(loss)}", (place, loss), (0, -8), textcoords="offset points", ha="center", va="top"
        )
    axes.margins(y=0.2)
    axes.set_xlabel("from this model (0) to the other (1)" if kind == "runs" else "along the direction", color=SOFT)
    axes.set_title("Loss, log scale" if log else "Loss", loc="left", fontsize=10, fontweight="bold")
    figure.alt = _line_text(losses, np.asarray(at), kind)
    figure.suptitle(figure.alt, fontsize=11, fontweight="bold", x=0.01, ha="left")
    return figure


def interpolate(values: np.ndarray, a: np.ndarray, b: np.ndarray, places: np.ndarray) -> np.ndarray:
    """values (len(b), len(a)) at `places` (k, 2), bilinear; NaN outside."""
    column = np.interp(places[:, 0], a, np.arange(len(a)), left=np.nan, right=np.nan)
    row = np.interp(places[:, 1], b, np.arange(len(b)), left=np.nan, right=np.nan)
    inside = np.isfinite(column) & np.isfinite(row)
    j = np.clip(np.where(inside, column, 0).astype(int), 0, len(a) - 2)
    i = np.clip(np.where(inside, row, 0).astype(int), 0, len(b) - 2)
    s, t = column - j, row - i
    low = (1 - s) * values[i, j] + s * values[i, j + 1]
    return (1 - t) * low + t * ((1 - s) * values[i + 1, j] + s * values[i + 1, j + 1])


def scaled(losses: np.ndarray) -> tuple[np.ma.MaskedArray, list[float], bool]:
    """(the values to draw, with what is not finite masked; the levels of the contour lines; whether it is the log)."""
    finite = losses[np.isfinite(losses)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    log = low > 0 and high >= LOG_FROM * low
    with np.errstate(all="ignore"):
        values = np.ma.masked_invalid(np.log10(losses) if log else losses)
    return values, contour_levels(low, high, log), log


def contour_levels(low: float, high: float, log: bool) -> list[float]:
    """Round losses between low and high, 5 to 14 of them."""
    if not high > low:
        return []
    found: list[float] = []
    if log:
        powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        for parts in _PARTS:
            found = [part * 10.0**power for power in powers for part in parts if low < part * 10.0**power < high]
            if len(found) >= FEWEST_LEVELS:
                break
    if len(found) < FEWEST_LEVELS:
        rough = (high - low) / MOST_LEVELS
        power = 10 ** np.floor(np.log10(rough))
        step = power * next(size for size in (1, 2, 5, 10) if rough / power <= size)
        steps = step * np.arange(np.floor(low / step), np.ceil(high / step))
        found = [float(level) for level in steps if low < level < high]
    every = -(-len(found) // MOST_LEVELS)
    return found[::every]


def _path(axes: Axes, path: np.ndarray, steps: np.ndarray | None, name: str, main: bool) -> None:
    outline = [withStroke(linewidth=3.6, foreground=INK)]
    axes.plot(*path.T, color="white", linewidth=1.6, linestyle="-" if main else (0, (4, 2)), path_effects=outline)
    if not main:
        axes.annotate(name, (path[-1, 0], path[-1, 1]), (6, 0), textcoords="offset points", **_words())
        return
    chosen = np.unique(np.linspace(0, len(path) - 1, min(len(path), MOST_DOTS)).round().astype(int))
    axes.scatter(path[chosen, 0], path[chosen, 1], s=11, color="white", edgecolors=INK, linewidths=0.7, zorder=3)
    last = f"step {int(steps[-1]):,}" if steps is not None and len(steps) else "now"
    _mark(axes, path[0], "o", "start")
    if len(path) > 1:
        _mark(axes, path[-1], "*", last)


def _mark(axes: Axes, place: np.ndarray, marker: str, word: str) -> None:
    size = 190 if marker == "*" else 60
    face = INK if marker == "o" else "white"
    edge = "white" if marker == "o" else INK
    axes.scatter(place[0], place[1], s=size, marker=marker, color=face, edgecolors=edge, linewidths=1.3, zorder=4)
    right = axes.transData.transform(place)[0] > axes.bbox.x0 + 0.75 * axes.bbox.width
    side = {"xytext": (-8, 6), "ha": "right"} if right else {"xytext": (8, 6)}
    axes.annotate(word, (place[0], place[1]), textcoords="offset points", zorder=5, **side, **_words())


def _words() -> dict[str, Any]:
    return {"fontsize": 9, "color": "white", "path_effects": [withStroke(linewidth=2.6, foreground=INK)]}


def short(value: float) -> str:
    """As `number`, without trailing zeros: 0.02, 1, 50."""
    text = number(float(f"{value:.3g}"))
    digits, unit = text.split(" ") if " " in text else (text, "")
    digits = digits.rstrip("0").rstrip(".") if "." in digits and "e" not in digits else digits
    return f"{digits} {unit}" if unit else digits


def _line_text(losses: np.ndarray, at: np.ndarray, kind: str) -> str:
    centre = float(np.interp(0, at, losses))
    if kind != "runs":
        return f"Loss {number(centre)} at the model, up to {number(float(np.nanmax(losses)))} along the line"
    other, between = float(np.interp(1, at, losses)), losses[(at >= 0) & (at <= 1)]
    barrier = float(np.nanmax(between)) - max(centre, other)
    if barrier <= 0.05 * max(centre, other):
        return f"No barrier between the two models: loss {number(centre)} and {number(other)}"
    return f"A barrier of {number(barrier)} between the two models: loss {number(centre)} and {number(other)}"
