"""What excites units: for each a row of the crops that it saw, with its activation."""

from collections.abc import Sequence

import numpy as np

from labkit.errors import DataError
from labkit.plots.figure import Figure
from labkit.plots.look import SOFT, number, picture

TALLEST = 0.85  # inches of a crop


def patches(
    crops: Sequence[np.ndarray],
    activations: Sequence[np.ndarray] | np.ndarray,
    names: Sequence[str],
    what: str = "most",
) -> Figure:
    """One row a unit, its crops in the order given, each with the activation below.

    crops: for each unit (k, C, H, W) with C of 1 or 3, from 0 to 1, as `labkit.features.TopPatches.crops` gives them.
    activations: for each unit (k,). names: of the units. what: the ranking, as the title says it.
    """
    if not len(crops) or not len(crops) == len(activations) == len(names):
        raise DataError(
            f"Expected crops, activations and a name for each unit, received {len(crops)}, {len(activations)} and "
            f"{len(names)}."
        )
    across = max(len(row) for row in crops)
    figure = Figure(figsize=(TALLEST * across + 1.3, (TALLEST + 0.25) * len(crops) + 0.45), facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
    grid = figure.subplots(len(crops), across, squeeze=False)
    for row, unit, values, name in zip(grid, crops, activations, names, strict=True):
        for axes in row:
            axes.axis("off")
        for axes, crop, value in zip(row, unit, values, strict=False):
            axes.axis("on")
            shown = np.clip(crop, 0, 1)
            scale = {"cmap": "gray_r", "vmin": 0, "vmax": 1} if len(shown) == 1 else {}
            picture(axes, shown[0] if len(shown) == 1 else shown.transpose(1, 2, 0), **scale)
            axes.set_xlabel(number(float(value)), fontsize=8, color=SOFT, labelpad=2)
        row[0].set_ylabel(str(name), rotation=0, ha="right", va="center", fontsize=9, labelpad=8)
    said = "; ".join(
        f"{' '.join(str(name).split())} {number(float(values[0]))} to {number(float(values[-1]))}"
        for name, values in zip(names, activations, strict=True)
    )
    title = {
        "most": "What excites each unit most",
        "least": "What excites each unit least",
        "spread": "From what excites each unit least to most",
    }.get(what, what)
    figure.suptitle(f"{title}, with its activation", x=0.01, ha="left", fontsize=11, fontweight="bold")
    figure.alt = f"{title}, {across} crops a unit. Activations: {said}."
    return figure
