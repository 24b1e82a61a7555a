"""How a method's maps change while a network's layers are drawn anew: curves, and the maps themselves."""

from collections.abc import Mapping, Sequence

import numpy as np

from labkit.plots.figure import Figure
from labkit.plots.look import CLASSES, DIVERGING, MARKERS, SOFT, number, picture, plain_axes
from labkit.plots.training import End, label_ends

_COLOURS = [CLASSES[i] for i in (4, 5, 2, 0, 1)]
LABELS = {"rank": "rank correlation of magnitudes", "signed": "rank correlation, signed", "ssim": "SSIM of magnitudes"}


def randomization(
    curves: Mapping[str, np.ndarray],
    layers: Sequence[str],
    measure: str = "rank",
    maps: Mapping[str, np.ndarray] | None = None,
) -> Figure:
    """curves: {method: (layers, n)} of a `labkit.saliency.Randomization`; the mean over the n examples is drawn.

    layers: from the output down. measure: "rank", "signed" or "ssim". maps: {method: (layers + 1, H, W)}, signed maps
    of one example, the trained network's first: a row of pictures a method, each map scaled by its own largest
    magnitude.
    """
    shown = dict(maps or {})
    rows = len(shown)
    wide = max(6.6, 1.6 + 0.95 * (len(layers) + 1))
    figure = Figure(figsize=(wide, 3.3 + 0.95 * rows), layout="constrained", facecolor="white")
    grid = figure.add_gridspec(2 if rows else 1, 1, height_ratios=[3.3, 0.95 * rows] if rows else None)
    parts = [figure.add_subfigure(grid[i]) for i in range(grid.nrows)]
    axes = parts[0].subplots()
    ends = []
    places = np.arange(len(layers) + 1)
    for i, (method, values) in enumerate(curves.items()):
        colour, marker = _COLOURS[i % len(_COLOURS)], MARKERS[i % len(MARKERS)]
        line = np.concatenate([[1.0], _means(np.asarray(values, float))])
        axes.plot(places, line, color=colour, marker=marker, markersize=4.5)
        if np.isfinite(line[-1]):
            ends.append(End(method.replace("_", " "), float(line[-1]), colour))
    plain_axes(axes)
    axes.set_xticks(places, ["trained", *layers], fontsize=8, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_xlabel("layers drawn anew, from the output down to this one", color=SOFT, fontsize=9)
    low = min((float(np.nanmin(_means(np.asarray(v, float)))) for v in curves.values()), default=0)
    axes.set_ylim(min(-0.05, low - 0.05), 1.05)
    title = f"Is the map still the trained network's? {LABELS[measure].capitalize()}"
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    label_ends(axes, ends, gap=0.09)
    if rows:
        _draw_maps(parts[1].subplots(rows, len(layers) + 1, squeeze=False), shown, ["trained", *layers])
    said = ", ".join(
        f"{method.replace('_', ' ')} {number(float(_means(np.asarray(values, float))[-1]))}"
        for method, values in curves.items()
    )
    figure.alt = (
        f"{LABELS[measure].capitalize()} with the trained network's map once {layers[-1]} is drawn anew: {said}"
    )
    return figure


def _draw_maps(axes: np.ndarray, maps: Mapping[str, np.ndarray], stages: Sequence[str]) -> None:
    for at, (row, (method, values)) in enumerate(zip(axes, maps.items(), strict=True)):
        for place, one, stage in zip(row, np.asarray(values, float), stages, strict=True):
            most = float(np.abs(one).max()) or 1.0
            picture(place, one, cmap=DIVERGING, vmin=-most, vmax=most)
            if at == 0:
                place.set_title(stage, fontsize=8, color=SOFT)
        row[0].set_ylabel(method.replace("_", "\n"), fontsize=8, color=SOFT, rotation=0, ha="right", va="center")


def _means(values: np.ndarray) -> np.ndarray:
    """(layers,): over the examples that have a value; NaN where none has."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(1) / known.sum(1)
