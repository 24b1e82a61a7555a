"""Which parts units detect: the agreement of one layer's units, and how many units of each layer detect something."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from labkit.plots.figure import Figure
from labkit.plots.look import ACCENT, GREY, LINE, SOFT, number, plain_axes

DETECTOR = 0.04  # as labkit.features.dissect counts (Bau et al. 2017)
MOST = 24  # units shown of a layer: those that agree best


def dissection(
    iou: np.ndarray, parts: Sequence[str], layer: str = "", at_least: float = DETECTOR, what: str = "a part"
) -> Figure:
    """A table of one layer: iou (units, parts), 0 to 1; the units that agree best first, parts that one agrees with.

    The best part of a unit is framed where it reaches `at_least`. what: what the parts are, in words.
    """
    iou = np.asarray(iou, float)
    best = iou.max(1)
    units = np.argsort(-best, kind="stable")[:MOST]
    order = np.argsort(-iou.max(0), kind="stable")
    shown = [int(i) for i in order if iou[:, i].max() >= at_least] or [int(order[0])]
    table = iou[units][:, shown]
    figure = Figure(figsize=(1.6 + 0.33 * len(units), 1.5 + 0.26 * len(shown)), layout="constrained", facecolor="white")
    axes = figure.subplots()
    image = axes.imshow(table.T, cmap="cividis", vmin=0, vmax=max(float(table.max()), at_least), aspect="auto")
    axes.set_yticks(range(len(shown)), [parts[i] for i in shown], fontsize=9)
    axes.set_xticks(range(len(units)), [str(u) for u in units], fontsize=8)
    axes.set_xlabel("unit, those that agree best first", color=SOFT, fontsize=9)
    axes.tick_params(colors=SOFT, length=0)
    for column, unit in enumerate(units):
        row = int(table[column].argmax())
        if iou[unit].max() >= at_least:
            frame = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="white", linewidth=1.2)
            frame.set_path_effects([withStroke(linewidth=3, foreground="black")])  # to be seen on every colour
            axes.add_patch(frame)
    for spine in axes.spines.values():
        spine.set_color(LINE)
    bar = figure.colorbar(image, ax=axes, pad=0.01)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=SOFT, length=0, labelsize=8)
    bar.set_label("IoU", color=SOFT, fontsize=9)
    count = int((best >= at_least).sum())
    top = int(best.argmax())
    where = f" of {layer}" if layer else ""
    figure.alt = (
        f"{count} of {len(iou)} units{where} detect {what} (IoU {at_least:g} or more); "
        f"unit {top} agrees best, with {parts[int(iou[top].argmax())]}, {number(float(best[top]))}"
    )
    figure.suptitle(figure.alt.replace("; ", "\n"), x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure


def detectors(
    networks: Mapping[str, Mapping[str, np.ndarray]], at_least: float = DETECTOR, what: str = "a part"
) -> Figure:
    """How many of a layer's units reach an IoU of `at_least` with any part: bars by layer, one colour a network.

    networks: {network: {layer: (units, parts)}}, such as trained and untrained; all with the same layers. `what`: what
    the parts are, in words.
    """
    names = list(networks)
    layers = list(networks[names[0]])
    figure = Figure(figsize=(1.6 + 1.1 * len(layers), 3.2), layout="constrained", facecolor="white")
    axes = figure.subplots()
    plain_axes(axes)
    width = 0.8 / len(names)
    said = []
    for i, name in enumerate(names):
        counts = [int((np.asarray(networks[name][layer]).max(1) >= at_least).sum()) for layer in layers]
        sizes = [len(networks[name][layer]) for layer in layers]
        at = np.arange(len(layers)) + (i - (len(names) - 1) / 2) * width
        shares = [100 * count / size for count, size in zip(counts, sizes, strict=True)]
        style = {"color": ACCENT} if i == 0 else {"color": "white", "edgecolor": GREY, "hatch": ("///", "...")[i % 2]}
        axes.bar(at, shares, width * 0.92, label=name, **style)  # type: ignore[arg-type]
        for x, share, count, size in zip(at, shares, counts, sizes, strict=True):
            axes.annotate(
                f"{count}/{size}", (x, share), (0, 2), textcoords="offset points", ha="center", fontsize=8, color=SOFT
            )
        listed = ", ".join(f"{c} of {s} in {layer}" for c, s, layer in zip(counts, sizes, layers, strict=True))
        said.append(f"{name}: {listed}")
    axes.set_xticks(range(len(layers)), layers, fontsize=9)
    axes.set_title(f"Share of units that detect {what}, %", loc="left", fontsize=10, fontweight="bold")
    figure.legend(frameon=False, fontsize=9, ncols=len(names), loc="outside lower left")
    axes.margins(y=0.12)
    figure.alt = f"Units that detect {what} (IoU {at_least:g} or more). {'; '.join(said)}."
    return figure
