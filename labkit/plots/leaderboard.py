"""All attribution methods by all scores: a table whose colours say how good each is among all."""

from collections.abc import Collection, Sequence

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from labkit.plots.figure import Figure
from labkit.plots.look import LINE, SOFT, number

_LIGHT = 0.47  # from here on black numbers are read better than white ones


def leaderboard(
    mean: np.ndarray,
    methods: Sequence[str],
    scores: Sequence[str],
    better: Sequence[str],
    interval: np.ndarray | None = None,
    controls: Collection[str] = (),
    pictures: int | None = None,
) -> Figure:
    """mean, interval (methods, scores): as `labkit.saliency.Leaderboard.arrays` gives them, NaN where there is none.

    better: "higher" or "lower" for each score. The colour of a cell runs from the worst (dark) to the best (light) of
    its column. The best of each score that is no control is framed. controls: methods set apart below.
    interval: half the width of the 95 % interval, written below the mean. pictures: how many there were.
    """
    mean = np.asarray(mean, float)
    order = sorted(range(len(methods)), key=lambda i: methods[i] in controls)  # stable
    names = [methods[i] for i in order]
    table = mean[order]
    spread = None if interval is None else np.asarray(interval, float)[order]
    sign = np.array([1 if direction == "higher" else -1 for direction in better])
    shade, best = _shades(table * sign), _best(table * sign, names, controls)
    figure = Figure(figsize=(2.2 + 1.12 * len(scores), 1.9 + 0.4 * len(names)), layout="constrained", facecolor="white")
    axes = figure.subplots()
    colours = np.ma.masked_invalid(shade)
    axes.imshow(colours, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    axes.set_facecolor("white")
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=9)
    arrows = {"higher": "↑ higher\nis better", "lower": "↓ lower\nis better"}
    heads = [f"{label}\n{arrows[way]}" for label, way in zip(scores, better, strict=True)]
    axes.set_xticks(range(len(scores)), heads, fontsize=8.5)
    axes.xaxis.tick_top()
    axes.tick_params(colors=SOFT, length=0)
    for (i, j), value in np.ndenumerate(table):
        said = "none" if np.isnan(value) else number(float(value))
        if spread is not None and np.isfinite(spread[i, j]):
            said += f"\n± {number(float(spread[i, j]))}"
        colour = "black" if np.isnan(shade[i, j]) or shade[i, j] >= _LIGHT else "white"
        weight = "bold" if best[j] == i else "normal"
        axes.text(j, i, said, ha="center", va="center", fontsize=7.5, color=colour, fontweight=weight, linespacing=1.1)
    for j, i in enumerate(best):
        if i is not None:
            frame = Rectangle((j - 0.48, i - 0.46), 0.96, 0.92, fill=False, edgecolor="white", linewidth=1.4)
            frame.set_path_effects([withStroke(linewidth=3.4, foreground="black")])  # to be seen on every colour
            axes.add_patch(frame)
    first = next((i for i, name in enumerate(names) if name in controls), None)
    if first:
        axes.axhline(first - 0.5, color="white", linewidth=7)
        axes.annotate(
            "controls",
            (1.0, (first + len(names) - 1) / 2),
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=8,
            color=SOFT,
            rotation=270,
            va="center",
        )
    for spine in axes.spines.values():
        spine.set_color(LINE)
    figure.alt = _said(table, names, scores, best, pictures)
    of = f" of {pictures} pictures" if pictures else ""
    figure.suptitle(f"Methods by scores, means{of}", x=0.01, ha="left", fontsize=10, fontweight="bold")
    figure.supxlabel(
        "each column from its worst (dark) to its best (light); framed: the best that is no control",
        x=0.01,
        ha="left",
        fontsize=8,
        color=SOFT,
    )
    return figure


def _shades(goodness: np.ndarray) -> np.ndarray:
    """Each column from 0 for its worst to 1 for its best; 0.5 where all are the same."""
    shade = np.full(goodness.shape, np.nan)
    for j, column in enumerate(goodness.T):
        known = np.isfinite(column)
        if known.any():
            low, high = column[known].min(), column[known].max()
            shade[known, j] = (column[known] - low) / (high - low) if high > low else 0.5
    return shade


def _best(goodness: np.ndarray, names: Sequence[str], controls: Collection[str]) -> list[int | None]:
    found: list[int | None] = []
    for column in goodness.T:
        rows = [i for i, name in enumerate(names) if name not in controls and np.isfinite(column[i])]
        found.append(max(rows, key=lambda i: column[i]) if rows else None)
    return found


def _said(
    table: np.ndarray, names: Sequence[str], scores: Sequence[str], best: Sequence[int | None], pictures: int | None
) -> str:
    ends = [
        f"{score} {names[i].replace('_', ' ')} {number(float(table[i, j]))}"
        for j, (score, i) in enumerate(zip(scores, best, strict=True))
        if i is not None
    ]
    over = f" over {pictures} pictures" if pictures else ""
    return f"Best of {len(names)} methods{over}, controls left out: {'; '.join(ends) or 'none has a score'}."
