"""A quantity of each layer as a line over depth, for several networks."""

from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from labkit.plots.figure import Figure
from labkit.plots.look import CLASSES, MARKERS, SOFT, number, plain_axes
from labkit.plots.training import End, label_ends

_COLOURS = [CLASSES[i] for i in (4, 5, 2, 0, 1)]  # those that are readable as text on white come first


def by_layer(networks: Mapping[str, ArrayLike], what: str) -> Figure:
    """One line for each network, {name: (layers,) values above 0}, on a log scale.

    Values that are 0 or not finite leave a gap; `what` names the quantity.
    """
    curves = {name: np.asarray(values, dtype=float) for name, values in networks.items()}
    figure = Figure(figsize=(7.2, 3.2), layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.set_yscale("log")
    ends = []
    for i, (name, values) in enumerate(curves.items()):
        colour, marker = _COLOURS[i % len(_COLOURS)], MARKERS[i % len(MARKERS)]
        shown = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        every = max(1, len(shown) // 20)
        axes.plot(np.arange(1, len(shown) + 1), shown, color=colour, marker=marker, markersize=4, markevery=every)
        seen = shown[~np.isnan(shown)]
        if len(seen):
            ends.append(End(name, float(seen[-1]), colour))
    plain_axes(axes)
    axes.margins(x=0.02)
    depth = max((len(values) for values in curves.values()), default=1)
    ticks = MaxNLocator(integer=True).tick_values(1, depth)
    axes.set_xticks([tick for tick in ticks if 1 <= tick <= depth])
    axes.set_xlabel("layer", color=SOFT, fontsize=9)
    axes.set_title(f"{what[0].upper()}{what[1:]}, log scale", loc="left", fontsize=10, fontweight="bold")
    label_ends(axes, ends, gap=0.08)
    said = ", ".join(f"{name} from {number(float(v[0]))} to {number(float(v[-1]))}" for name, v in curves.items())
    figure.alt = f"{what[0].upper()}{what[1:]} from the first layer to the last: {said}"
    return figure
