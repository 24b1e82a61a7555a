"""How many alarms are right, against how much is found."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from labkit.plots.figure import Figure
from labkit.plots.look import CLASSES, GREY, SOFT, number, plain_axes

_COLOURS = [CLASSES[i] for i in (4, 5, 2, 0, 1)]  # those that are readable as text on white come first
_STYLES = ("-", "--", "-.", ":")


def precision_recall(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    base: float,
    chosen: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Precision over recall for each method, with its average precision.

    curves: {name: (precision, recall)}, arrays from the most alarms to the fewest, as scikit-learn's
    `precision_recall_curve` gives them; base: the share of positives, the precision of alarms at random;
    chosen: {name: (precision, recall)} of a threshold, drawn as a point.
    """
    figure = Figure(figsize=(7.2, 4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    said = []
    for i, (name, (precision, recall)) in enumerate(curves.items()):
        precision, recall = np.asarray(precision, float), np.asarray(recall, float)
        average = float(-(np.diff(recall) * precision[:-1]).sum())
        colour = _COLOURS[i % len(_COLOURS)]
        label = f"{name}, average {number(average)}"
        axes.step(recall, precision, _STYLES[i % len(_STYLES)], where="post", color=colour, linewidth=1.8, label=label)
        if chosen and name in chosen:
            axes.plot(chosen[name][1], chosen[name][0], "o", color=colour, markersize=8, markeredgecolor="white")
        said.append(f"{name} {number(average)}")
    axes.axhline(base, color=GREY, linewidth=1, linestyle=":", label=f"alarms at random, {number(base)}")
    plain_axes(axes)
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("recall: the share of frauds that raise an alarm", color=SOFT, fontsize=9)
    axes.set_title("Precision: the share of alarms that are right", loc="left", fontsize=10, fontweight="bold")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=9, frameon=False)
    figure.alt = f"Precision over recall; average precision: {', '.join(said)}, alarms at random {number(base)}."
    for name, (precision, recall) in (chosen or {}).items():
        figure.alt += f" At its threshold, {name} has precision {number(precision)} and recall {number(recall)}."
    return figure
