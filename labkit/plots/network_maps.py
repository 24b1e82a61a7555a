"""What the units of a network's layers make of one picture."""

from collections.abc import Mapping, Sequence

import numpy as np

from labkit.plots.figure import Figure
from labkit.plots.look import DIVERGING, SOFT, number, picture


def network_maps(
    maps: Mapping[str, np.ndarray],
    units: Mapping[str, Sequence[str]],
    counts: Mapping[str, int],
    given: np.ndarray,
    probabilities: np.ndarray | None = None,
    classes: Sequence[str] | None = None,
) -> Figure:
    """A row of unit maps for each layer, from the picture downwards; each layer has its own scale, symmetric about 0.

    maps: {layer: (units shown, H, W)}; units: their names; counts: how many units each layer has. given: the picture,
    (H, W) or (H, W, 3) uint8. probabilities (classes,): the model's, for the title.
    """
    across = max(2, *(len(values) for values in maps.values()))
    rows = len(maps) + 1
    figure = Figure(figsize=(1.9 + 0.8 * across, 0.95 * rows + 0.4), layout="constrained", facecolor="white")
    grid = figure.subplots(rows, across, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    grid[0, 0].axis("on")
    picture(grid[0, 0], given, **({"cmap": "gray_r", "vmin": 0, "vmax": 255} if given.ndim == 2 else {}))
    _beside(grid[0, 0], "the picture")
    for row, (name, values) in enumerate(maps.items(), start=1):
        finite = np.abs(values[np.isfinite(values)])
        most = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
        for column, values_of_one in enumerate(values):
            axes = grid[row, column]
            axes.axis("on")
            picture(axes, values_of_one, cmap=DIVERGING, vmin=-most, vmax=most)
            axes.set_title(units[name][column], fontsize=8, pad=2, color=SOFT)
        more = counts[name] - len(values)
        _beside(grid[row, 0], f"{name}\n±{number(most)}" + (f"\n+{more} units" if more else ""))
    figure.alt = _said(maps, counts, probabilities, classes)
    figure.suptitle(figure.alt, fontsize=11, fontweight="bold", wrap=True)
    return figure


def _beside(axes: object, text: str) -> None:
    axes.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=8)  # type: ignore[attr-defined]


def _said(
    maps: Mapping[str, np.ndarray],
    counts: Mapping[str, int],
    probabilities: np.ndarray | None,
    classes: Sequence[str] | None,
) -> str:
    what = f"The maps of {len(maps)} layers" if len(maps) > 1 else f"The maps of {next(iter(maps))}"
    shown, there = sum(map(len, maps.values())), sum(counts.values())
    words = f"{what}, {shown} of {there} units"
    if probabilities is None:
        return words
    best = int(np.argmax(probabilities))
    name = classes[best] if classes else f"class {best}"
    return f"{words}; the model reads {name}, probability {number(float(probabilities[best]))}"
