"""Colours and habits that all figures share, the same as in the live views (widgets/static/colours.js, lab.css)."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

ACCENT, GREY, SOFT, LINE, BAD = "#0b6bb8", "#70757a", "#5f6368", "#dadce0", "#b3261e"

# Signed values: orange below zero, near the background at zero, blue above. Symmetric limits belong to it.
DIVERGING = LinearSegmentedColormap.from_list("labkit", ["#f59322", "#e8eaeb", "#0877bd"])
MINUS = "\N{MINUS SIGN}"

# Classes: Okabe and Ito's colours that people with any colour vision can tell apart, and never colour alone.
CLASSES = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00")
MARKERS = ("s", "o", "^", "D", "v", "*")  # as in widgets/static/plane.js


def number(value: float) -> str:
    """Three significant digits, a true minus sign: 0.941, 1.23 k, 1.2e-5."""
    if value == 0:
        return "0"
    sign, size = MINUS if value < 0 else "", abs(value)
    if not np.isfinite(size):
        return "NaN" if np.isnan(size) else f"{sign}∞"
    if size < 9.995e-4:
        mantissa, power = f"{size:.1e}".split("e")
        return f"{sign}{mantissa}e{int(power)}"
    for unit, letter in ((1.0, ""), (1e3, " k"), (1e6, " M"), (1e9, " G")):
        if size < 999.5 * unit:
            scaled = size / unit
            digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            if scaled < 0.9995:
                digits = 3 if scaled >= 0.09995 else 4 if scaled >= 0.009995 else 5
            return f"{sign}{scaled:.{digits}f}{letter}"
    return f"{sign}{size:.1e}"


def plain_axes(axes: Axes) -> None:
    """Few, quiet lines: a grid behind, no box."""
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(colors=SOFT, length=0, labelsize=9)


def picture(axes: Axes, values: np.ndarray, **options: Any) -> None:
    """An image with sharp pixels and no axes."""
    axes.imshow(values, interpolation="nearest", **options)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(LINE)
