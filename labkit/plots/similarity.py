"""How alike layers are (CKA): a table of layers by layers, and lines over training."""

from collections.abc import Sequence

import numpy as np

from labkit.plots.figure import Figure
from labkit.plots.look import CLASSES, LINE, MARKERS, SOFT, number, plain_axes
from labkit.plots.training import End, label_ends

_COLOURS = [CLASSES[i] for i in (4, 5, 2, 0, 1)]
_NUMBERED = 9  # a table of at most so many layers has its numbers written into it
_LIGHT = 0.47  # from here on black numbers are read better than white ones: on both sides their contrast is 4.5 or more


def similarity(
    cka: np.ndarray,
    layers: Sequence[str],
    other_layers: Sequence[str] | None = None,
    names: tuple[str, str] = ("layer", "layer"),
) -> Figure:
    """cka (layers, other layers), drawn from 0 to 1; names: what the rows and the columns are."""
    cka = np.asarray(cka, float)
    columns = list(layers if other_layers is None else other_layers)
    size = (2.3 + 0.52 * len(columns), 1.9 + 0.42 * len(layers))
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    axes = figure.subplots()
    image = axes.imshow(cka, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    axes.set_yticks(range(len(layers)), list(layers), fontsize=9)
    axes.set_xticks(range(len(columns)), columns, fontsize=9, rotation=40, ha="right", rotation_mode="anchor")
    axes.tick_params(colors=SOFT, length=0)
    axes.set_ylabel(names[0], color=SOFT, fontsize=9)
    axes.set_xlabel(names[1], color=SOFT, fontsize=9)
    for spine in axes.spines.values():
        spine.set_color(LINE)
    if max(cka.shape) <= _NUMBERED:
        for (i, j), value in np.ndenumerate(cka):
            if np.isfinite(value):
                colour = "k" if value >= _LIGHT else "w"
                axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=SOFT, length=0, labelsize=8)
    bar.set_label("CKA", color=SOFT, fontsize=9)
    figure.alt = _said(cka, list(layers), columns, same=other_layers is None and names[0] == names[1])
    figure.suptitle(figure.alt.replace("; ", "\n"), x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure


def _said(cka: np.ndarray, layers: list[str], columns: list[str], same: bool) -> str:
    pairs = [(i, j) for i, j in np.ndindex(cka.shape) if np.isfinite(cka[i, j]) and (not same or i < j)]
    if not pairs:
        return "CKA of no two different layers"
    most, least = max(pairs, key=lambda pair: cka[pair]), min(pairs, key=lambda pair: cka[pair])
    ends = [f"{layers[i]} and {columns[j]} {number(float(cka[i, j]))}" for i, j in (most, least)]
    return f"CKA: most alike {ends[0]}; least {ends[1]}"


def similarity_over_steps(
    cka: np.ndarray, steps: np.ndarray, layers: Sequence[str], reference: str = "the final network"
) -> Figure:
    """One line a layer: cka (steps, layers) with the same layer of a reference, at `steps` (steps,)."""
    cka, steps = np.asarray(cka, float), np.asarray(steps)
    figure = Figure(figsize=(7.2, 3.4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    ends = []
    for i, layer in enumerate(layers):
        colour, marker = _COLOURS[i % len(_COLOURS)], MARKERS[i % len(MARKERS)]
        every = max(1, len(steps) // 12)
        axes.plot(steps, cka[:, i], color=colour, marker=marker, markersize=4, markevery=(i % every, every))
        ends.append(End(layer, float(cka[-1, i]), colour))
    axes.set_ylim(min(0, float(np.nanmin(cka))), 1.03)
    plain_axes(axes)
    axes.margins(x=0.02)
    axes.set_xlabel("step", color=SOFT, fontsize=9)
    axes.set_title(f"CKA of each layer with {reference}", loc="left", fontsize=10, fontweight="bold")
    label_ends(axes, ends, gap=0.08)
    reached = [_reached(cka[:, i], steps) for i in range(len(layers))]
    said = ", ".join(f"{layer} {when}" for layer, when in zip(layers, reached, strict=True))
    figure.alt = f"Step from which each layer stays at a CKA of 0.9 or more with {reference}: {said}"
    return figure


def _reached(values: np.ndarray, steps: np.ndarray, level: float = 0.9) -> str:
    below = np.flatnonzero(~(values >= level))
    if not len(below):
        return str(steps[0])
    return str(steps[below[-1] + 1]) if below[-1] + 1 < len(steps) else "never"
