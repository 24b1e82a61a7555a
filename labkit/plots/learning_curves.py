"""Accuracy against the number of examples, for several methods."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from numpy.typing import ArrayLike

from labkit.plots.figure import Figure
from labkit.plots.look import CLASSES, GREY, MARKERS, SOFT, number, plain_axes
from labkit.plots.training import End, label_ends

_COLOURS = [CLASSES[i] for i in (4, 5, 2, 0, 1)]  # those that are readable as text on white come first


def learning_curves(
    sizes: Sequence[int],
    curves: Mapping[str, ArrayLike],
    crossings: Mapping[str, float | None] | None = None,
    what: str = "accuracy",
) -> Figure:
    """A line of means for each method over the number of examples (log axis), and a dot for each seed.

    curves: {name: (sizes, seeds)}, as `labkit.train.learning_curve` gives them; crossings: {"a over b": examples}, each
    a dotted line; None for one that does not happen.
    """
    scores = {name: np.asarray(values, float) for name, values in curves.items()}
    figure = Figure(figsize=(7.2, 3.6), layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.set_xscale("log")
    ends = []
    for i, (name, values) in enumerate(scores.items()):
        colour, marker = _COLOURS[i % len(_COLOURS)], MARKERS[i % len(MARKERS)]
        axes.plot(sizes, values.mean(1), color=colour, marker=marker, markersize=5, linewidth=1.8, label=name)
        axes.scatter(np.repeat(sizes, values.shape[1]), values.ravel(), s=9, color=colour, alpha=0.5, linewidths=0)
        ends.append(End(f"{name} {number(values[-1].mean())}", float(values[-1].mean()), colour))
    plain_axes(axes)
    axes.xaxis.set_major_locator(FixedLocator(list(sizes)))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{size:,}" for size in sizes]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("examples to learn from, log scale", color=SOFT, fontsize=9)
    happened = {name: at for name, at in (crossings or {}).items() if at is not None}
    for row, (name, at) in enumerate(happened.items()):
        axes.axvline(at, color=GREY, linestyle=":", linewidth=1.2)
        axes.text(
            at, 0.03 + 0.08 * row, f" {name}: {rounded(at)}",
            transform=axes.get_xaxis_transform(), color=SOFT, fontsize=9, va="bottom",
        )  # fmt: skip
    axes.set_title(f"Test {what}", loc="left", fontsize=10, fontweight="bold")
    label_ends(axes, ends, gap=0.08)
    few, many = ({name: float(values[row].mean()) for name, values in scores.items()} for row in (0, -1))
    at_first, at_last = max(few, key=few.__getitem__), max(many, key=many.__getitem__)
    figure.alt = (
        f"{what.capitalize()} against the number of examples: with {sizes[0]:,}, {at_first} is best "
        f"({number(few[at_first])}); with {sizes[-1]:,}, {at_last} ({number(many[at_last])})."
    )
    for name, at in happened.items():
        figure.alt += f" {name[0].upper()}{name[1:]} from about {rounded(at)} examples on."
    return figure


def rounded(count: float) -> str:
    """Two digits are all that such a number is good for: 420, 1,300."""
    return f"{float(f'{count:.1e}'):,.0f}"
