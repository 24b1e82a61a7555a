"""Where layers put pictures: a map of points for each layer, coloured and marked by class."""

from collections.abc import Mapping, Sequence

import numpy as np

from labkit.plots.figure import Figure
from labkit.plots.look import CLASSES, LINE, MARKERS

ACROSS = 4


def embedding(places: Mapping[str, np.ndarray], targets: np.ndarray, classes: Sequence[str] | None = None) -> Figure:
    """places: {layer: (n, 2)}, targets: (n,) whole numbers. The title of a map says how many points have a nearest

    neighbour of their own class.
    """
    targets = np.asarray(targets)
    present = np.unique(targets)
    across = min(len(places), ACROSS)
    down = -(-len(places) // across)
    figure = Figure(figsize=(2.5 * across, 2.75 * down + 0.55), layout="constrained", facecolor="white")
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat[len(places) :]:
        axes.axis("off")
    said = []
    for axes, (layer, points) in zip(grid.flat, places.items(), strict=False):
        for k in present:
            chosen = points[targets == k]
            # Six colours and six markers; the second six classes take other pairs of them.
            colour, marker = CLASSES[k % 6], MARKERS[(k + k // 6) % 6]
            name = str(classes[k]) if classes else str(k)
            axes.scatter(
                *chosen.T, s=14, color=colour, marker=marker, linewidths=0.3, edgecolors="black", alpha=0.85, label=name
            )
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color(LINE)
        share = neighbours(points, targets)
        axes.set_title(f"{layer}: {share:.0%} beside\none of their class", fontsize=9)
        said.append(f"{layer} {share:.0%}")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower left", ncols=min(len(labels), 3 * across), frameon=False, fontsize=8
    )
    figure.alt = (
        f"Share of {len(targets)} pictures whose nearest neighbour on the map is of their class: {', '.join(said)}"
    )
    return figure


def neighbours(points: np.ndarray, targets: np.ndarray) -> float:
    """The share of points whose nearest other point has the same target."""
    distance = ((points[:, None] - points[None]) ** 2).sum(-1)
    np.fill_diagonal(distance, np.inf)
    return float((targets[distance.argmin(1)] == targets).mean())
