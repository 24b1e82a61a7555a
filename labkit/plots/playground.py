"""A network of the playground: what each neuron answers over the plane, the links between them, and the losses."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb

from labkit.plots.figure import Figure
from labkit.plots.look import ACCENT, CLASSES, DIVERGING, LINE, MARKERS, MINUS, SOFT, number, plain_axes
from labkit.plots.training import End, label_ends

SPAN = 6.0  # the plane is [-6, 6] x [-6, 6]
# A region of a sure class has this much of the class's colour, so that its points stand out; as in static/surface.js.
SURE = 0.75
FEATURES = {
    "x1": "x₁",
    "x2": "x₂",
    "x1_squared": "x₁²",
    "x2_squared": "x₂²",
    "x1_x2": "x₁x₂",
    "sin_x1": "sin x₁",
    "sin_x2": "sin x₂",
}


def playground(
    layers: Sequence[tuple[str, int]],
    maps: np.ndarray,
    reach: np.ndarray,
    features: Sequence[str],
    feature_maps: np.ndarray,
    weights: Sequence[np.ndarray],
    kind: str,
    train: np.ndarray,
    test: np.ndarray | None = None,
    history: Mapping[str, Any] | None = None,
    decision: np.ndarray | None = None,
    confidence: np.ndarray | None = None,
    classes: Sequence[str] | None = None,
) -> Figure:
    """The network on the left; its output with the points, and the losses by epoch, on the right.

    layers: (name, width) of the hidden layers and of the output. maps: (units, H, W) uint8 of all of them in order, the
        first row at the top (y = 6); byte b stands for (b / 127.5 - 1) * reach; reach: (units,).
    features: names. feature_maps: (len(features), H, W) uint8, each over its own range.
    weights: of each layer (width, inputs).
    kind: "binary" (targets -1 and +1), "regression" (values), or "classes" (class indices): there the output's maps are
        probabilities, 0 to 255, and `decision` and `confidence`, (H, W) uint8, are the winning class and its
        probability.
    train, test: (n, 3) of x, y, target. history: columns of equal length, "epoch" and any of "train_loss", "test_loss",
        "train_accuracy", "test_accuracy".
    """
    history = history or {}
    figure = Figure(figsize=(11, 5.6), layout="constrained", facecolor="white")
    left, right = figure.subfigures(1, 2, width_ratios=(1.75, 1), squeeze=False)[0]
    network = left.subplots()
    _network(network, layers, maps, reach, features, feature_maps, weights, kind)
    output, losses = right.subplots(2, 1, height_ratios=(2, 1))
    names = [str(name) for name in classes] if classes else list("ABCDEF")
    if decision is not None and confidence is not None:
        colours = np.array([to_rgb(colour) for colour in CLASSES])[decision]
        _plane(output, _paled(colours, confidence / 255))
        said = "Output, the fuller the surer"
    else:
        values = (maps[-1] / 127.5 - 1) * reach[-1]
        _plane(output, values, cmap=DIVERGING, vmin=-reach[-1], vmax=reach[-1])
        said = f"Output, {_range(float(reach[-1]))}"
    output.set_title(said, loc="left", fontsize=10, fontweight="bold")
    for points, hollow in ((train, False), (test, True)):
        if points is not None:
            _points(output, points[:, :2], points[:, 2], kind, float(reach[-1]), hollow)
    _legend(output, kind, names[: layers[-1][1]], test is not None)
    _losses(losses, history)
    figure.alt = playground_text(history)
    figure.suptitle(figure.alt, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


def playground_text(history: Mapping[str, Any]) -> str:
    """The finding in one line: "Test loss 0.021, accuracy 0.99 after 120 epochs"."""
    epochs = history.get("epoch", ())
    if not len(epochs) or epochs[-1] == 0:
        return "A network about to train"
    part = "test" if len(history.get("test_loss", ())) else "train"
    words = f"{'Test' if part == 'test' else 'Training'} loss {number(float(history[f'{part}_loss'][-1]))}"
    if len(history.get(f"{part}_accuracy", ())):
        words += f", accuracy {number(float(history[f'{part}_accuracy'][-1]))}"
    count = f"{float(epochs[-1]):,.1f}".removesuffix(".0")
    return f"{words} after {count} epoch{'' if count == '1' else 's'}"


def surface(
    values: np.ndarray,
    points: np.ndarray | None = None,
    targets: np.ndarray | None = None,
    classes: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """What a model answers over the plane [-6, 6] x [-6, 6], and the points it learned from.

    values: (H, W), the first row at the top (y = 6): one number at each place; or (classes, H, W): probabilities, of
        which the largest gives the colour.
    points: (n, 2). targets: (n,) or (n, 1), whole numbers for class indices, real ones for values.
    """
    values = np.asarray(values, float)
    figure = Figure(figsize=(4.4, 4.7), layout="constrained", facecolor="white")
    axes = figure.subplots()
    kind, most = "classes", 1.0
    if values.ndim == 3:
        colours = np.array([to_rgb(colour) for colour in CLASSES])[values.argmax(axis=0)]
        _plane(axes, _paled(colours, values.max(axis=0)))
        said, count = "Colour: the class it answers, the fuller the surer", len(values)
    else:
        kind, count = "binary", 2
        finite = np.abs(values[np.isfinite(values)])
        most = float(finite.max(initial=0)) or 1.0
        _plane(axes, values, cmap=DIVERGING, vmin=-most, vmax=most)
        said = f"Colour: what it answers, {_range(most)}"
    if points is not None and targets is not None:
        points, targets = np.asarray(points), np.asarray(targets).reshape(len(points))
        if kind == "binary" and targets.dtype.kind in "iub":
            targets = 2.0 * targets - 1
        elif kind == "binary" and not np.isin(targets, (-1, 1)).all():
            kind = "regression"
        _points(axes, points, targets, kind, most, hollow=False)
        _legend(axes, kind, [str(name) for name in classes] if classes else list("ABCDEF"[:count]), test=False)
    figure.alt = title or "What the model answers over the plane"
    figure.suptitle(figure.alt, fontsize=12, fontweight="bold")
    axes.set_title(said, fontsize=10, color=SOFT)
    return figure


NEGATIVE, POSITIVE = DIVERGING(0.0), DIVERGING(1.0)


def _range(most: float) -> str:
    return f"orange {MINUS}{number(most)} to blue {number(most)}"


def _paled(colours: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Between the middle of the scale and the colours (H, W, 3)."""
    back, part = np.array(DIVERGING(0.5)[:3]), SURE * share[..., None]
    return back + part * (colours - back)


def _plane(axes: Axes, values: np.ndarray, **scale: Any) -> None:
    axes.imshow(values, extent=(-SPAN, SPAN, -SPAN, SPAN), interpolation="nearest", **scale)
    axes.set(xlim=(-SPAN, SPAN), ylim=(-SPAN, SPAN), xticks=(-6, -3, 0, 3, 6), yticks=(-6, -3, 0, 3, 6))
    axes.set_xlabel("x₁", color=SOFT, fontsize=9, labelpad=1)
    axes.set_ylabel("x₂", color=SOFT, fontsize=9, labelpad=0, rotation=0)
    axes.tick_params(colors=SOFT, length=0, labelsize=8)
    axes.xaxis.set_major_formatter(lambda x, _: number(x).removesuffix(".00"))
    axes.yaxis.set_major_formatter(lambda x, _: number(x).removesuffix(".00"))
    for spine in axes.spines.values():
        spine.set_color(LINE)


def _points(axes: Axes, places: np.ndarray, targets: np.ndarray, kind: str, most: float, hollow: bool) -> None:
    if kind == "regression":  # values near zero are nearly white: a white rim would hide them
        _mark(axes, places, DIVERGING(0.5 + 0.5 * targets / most), "o", hollow, rim=SOFT)
        return
    for marker, (target, colour) in zip(MARKERS, _colours(kind), strict=False):
        chosen = places[targets == target]
        if len(chosen):
            _mark(axes, chosen, [colour], marker, hollow)


def _mark(axes: Axes, places: np.ndarray, colours: Any, marker: str, hollow: bool, rim: str = "white") -> None:
    """Points to learn from are full; those that are only tested on are hollow with a dark rim."""
    x, y = places.T
    if hollow:
        axes.scatter(x, y, s=13, marker=marker, facecolors="none", edgecolors="#202124", linewidths=2.4, zorder=3)
        axes.scatter(x, y, s=13, marker=marker, facecolors="none", edgecolors=colours, linewidths=1.2, zorder=3)
    else:
        axes.scatter(x, y, s=15, marker=marker, facecolors=colours, edgecolors=rim, linewidths=0.6, zorder=3)


def _colours(kind: str) -> list[tuple[int, Any]]:
    """(target, its colour): squares are the first, -1 or class A."""
    return [(-1, NEGATIVE), (1, POSITIVE)] if kind == "binary" else list(enumerate(CLASSES))


def _legend(axes: Axes, kind: str, names: Sequence[str], test: bool) -> None:
    """Beside the plane: what the markers are."""
    handles = []
    if kind != "regression":
        shown = [f"{MINUS}1", "+1"] if kind == "binary" else names
        for (_, colour), marker, name in zip(_colours(kind), MARKERS, shown, strict=False):
            handles.append(axes.scatter([], [], color=[colour], marker=marker, s=28, label=name))
    if test:
        handles.append(axes.scatter([], [], s=28, color=SOFT, label="training"))
        handles.append(axes.scatter([], [], s=24, facecolors="none", edgecolors=SOFT, linewidths=1.6, label="test"))
    if handles:
        beside = {"bbox_to_anchor": (1.01, 1.02), "borderaxespad": 0.0}
        axes.legend(handles=handles, loc="upper left", frameon=False, fontsize=9, handletextpad=0.1, **beside)


def _network(
    axes: Axes,
    layers: Sequence[tuple[str, int]],
    maps: np.ndarray,
    reach: np.ndarray,
    features: Sequence[str],
    feature_maps: np.ndarray,
    weights: Sequence[np.ndarray],
    kind: str,
) -> None:
    """Columns of maps, the features first; links as wide as their weight is large."""
    wide, high = 12.4, 7.4
    widths = [len(features), *(width for _, width in layers)]
    size = min(1.25, 0.84 * high / max(widths), 0.56 * wide / len(widths))
    across = np.linspace(0.75 + size / 2, wide - size / 2, len(widths))
    rows = [_spread(width, high, size) for width in widths]

    most = max((float(np.abs(weight).max(initial=0)) for weight in weights), default=0.0) or 1.0
    for at, weight in enumerate(weights):
        _links(axes, (across[at] + size / 2, rows[at]), (across[at + 1] - size / 2, rows[at + 1]), weight, most)

    unit, heads = 0, [("features", len(features)), *layers]
    for column, (name, width) in enumerate(heads):
        axes.text(across[column], high + 0.62, name, ha="center", fontsize=10, fontweight="bold")
        axes.text(across[column], high + 0.22, str(width), ha="center", fontsize=9, color=SOFT)
        for row in range(width):
            x, y = across[column], rows[column][row]
            shown = feature_maps[row] if column == 0 else maps[unit + row]
            chances = kind == "classes" and column == len(layers)
            extent = (x - size / 2, x + size / 2, y - size / 2, y + size / 2)
            colours = _probability(row, shown) if chances else shown
            scale: dict[str, Any] = {} if chances else {"cmap": DIVERGING, "vmin": 0, "vmax": 255}
            axes.imshow(colours, extent=extent, interpolation="nearest", zorder=2, **scale)
            if column == 0:
                axes.text(x - size / 2 - 0.08, y, FEATURES.get(features[row], features[row]), ha="right", va="center")
        unit += width if column else 0
    # imshow narrows the limits to its picture, so they are set last
    axes.set(xlim=(0, wide), ylim=(-0.9, high + 1.1), aspect="equal")
    axes.axis("off")
    hidden = reach[: unit - layers[-1][1]] if kind == "classes" else reach
    low, top = (float(hidden.min()), float(hidden.max())) if len(hidden) else (1.0, 1.0)
    spans = f"±{number(top)}" if np.isclose(low, top) else f"its own range, ±{number(low)} to ±{number(top)}"
    said = f"Maps: what each neuron answers over the plane, over {spans}.\n"
    said += f"Links: as wide as the weight is large, up to {number(most)}. Orange is below 0, blue above."
    axes.text(0, -0.25, said, fontsize=9, color=SOFT, va="top", in_layout=False)


def _spread(count: int, high: float, size: float) -> np.ndarray:
    """Middles of `count` rows, from the top, centred."""
    gap = min(high / count, 1.5 * size)
    return high / 2 + gap * ((count - 1) / 2 - np.arange(count))


def _links(
    axes: Axes, start: tuple[float, np.ndarray], end: tuple[float, np.ndarray], weight: np.ndarray, most: float
) -> None:
    (left, sources), (right, goals) = start, end
    along = np.linspace(0, 1, 25)
    bend = along * along * (3 - 2 * along)
    curves, share = [], weight.ravel() / most
    for goal in goals:
        for source in sources:
            curves.append(np.stack([left + (right - left) * along, source + (goal - source) * bend], axis=1))
    order = np.argsort(np.abs(share))  # the strongest on top
    collection = LineCollection(
        [curves[i] for i in order],
        linewidths=0.4 + 4 * np.abs(share[order]),
        colors=DIVERGING(0.5 + np.sign(share[order]) * (0.12 + 0.38 * np.abs(share[order]))),
        zorder=1,
    )
    axes.add_collection(collection)


def _probability(index: int, chances: np.ndarray) -> np.ndarray:
    return _paled(np.broadcast_to(np.array(to_rgb(CLASSES[index])), (*chances.shape, 3)), chances / 255)


def _losses(axes: Axes, history: Mapping[str, Any]) -> None:
    plain_axes(axes)
    ends, epochs = [], history.get("epoch", ())
    for part, word, style in (("train", "training", "-"), ("test", "test", "--")):
        values = np.asarray(history.get(f"{part}_loss", ()), float)
        if len(values):
            axes.plot(epochs, values, style, color=ACCENT, linewidth=1.8)
            axes.plot(epochs[-1], values[-1], "o", color=ACCENT, markersize=3.5, clip_on=False)
            ends.append(End(f"{word} {number(values[-1])}", values[-1], ACCENT))
    axes.margins(x=0)
    axes.set_ylim(bottom=0)
    if len(epochs) and epochs[-1] == epochs[0]:
        axes.set_xlim(epochs[0], epochs[0] + 1)
    label_ends(axes, ends, gap=0.2)
    axes.set_title("Loss", loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel("epoch", color=SOFT, fontsize=9, labelpad=1)
