"""What flows through the layers of a network: activations forward, gradients back, updates."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.ticker import PercentFormatter

from labkit.errors import DataError
from labkit.plots.figure import Figure
from labkit.plots.look import SOFT, plain_axes

DEAD, SATURATED = "#d55e00", "#0072b2"
NAMED = 12  # layers that have room for their names


def flow(layers: Sequence[str], values: Mapping[str, np.ndarray], step: int = 0, lowest: int = -64) -> Figure:
    """The frame of a gradient-flow probe: each layer's distributions, sizes, dead and saturated shares, updates.

    layers: L names. values: "activations", "gradients" (L, bins), shares of magnitudes by powers of two from
    2 ** lowest on; "activation_rms", "gradient_rms", "weight_gradient_rms", "dead", "saturated", "update_ratio" (L,),
    NaN where unknown. What a row of shares lacks to 1 are zeros.
    """
    if len(layers) == 0 or any(len(array) != len(layers) for array in values.values()):
        raise DataError(
            f"Expected one row for each of the {len(layers)} layers, received "
            f"{ {name: len(array) for name, array in values.items()} }. Give the names of the same model's layers."
        )
    shares = [name for name in ("dead", "saturated") if np.isfinite(values[name]).any()]
    heights = [2.2, 2.4, *([0.9] if shares else []), 1.3]
    figure = Figure(figsize=(7.6, 1.3 * sum(heights) + 0.9), layout="constrained", facecolor="white")
    rows = list(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights))
    _strip(rows[0], values["activations"], lowest, {"root mean square": (values["activation_rms"], "-")})
    rows[0].set_title("Size of the outputs", loc="left", fontsize=10, fontweight="bold")
    gradients = {
        "of the outputs, root mean square": (values["gradient_rms"], "-"),
        "of the weights": (values["weight_gradient_rms"], "--"),
    }
    _strip(rows[1], values["gradients"], lowest, gradients)
    rows[1].set_title("Size of the gradients", loc="left", fontsize=10, fontweight="bold")
    if shares:
        _bars(rows[2], values, shares)
    _updates(rows[-1], values["update_ratio"])
    count = len(layers)
    rows[-1].set_xlim(-0.5, count - 0.5)
    if count <= NAMED:
        rows[-1].set_xticks(range(count), [name.rpartition(".")[2] for name in layers], rotation=30, ha="right")
    else:
        every = next(step for step in (1, 2, 5, 10, 20, 50, count) if count / step <= 20)
        places = sorted({0, *range(every - 1, count, every)})
        rows[-1].set_xticks(places, [str(place + 1) for place in places])
    rows[-1].set_xlabel("layer, from the input to the output", color=SOFT, fontsize=9)
    figure.alt = flow_text(values["gradient_rms"], step)
    figure.suptitle(figure.alt, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


def flow_text(gradients: np.ndarray, step: int) -> str:
    """The finding in one line: "Gradients shrink 1.2e+06-fold from the last layer to the first, at step 100"."""
    first, last = float(gradients[0]), float(gradients[-1])
    if not (first > 0 and last > 0 and np.isfinite([first, last]).all()):
        return f"Activations and gradients by layer, at step {step:,}"
    if 0.5 <= first / last <= 2:
        return f"Gradients reach the first layer about as large as the last, at step {step:,}"
    way, factor = ("shrink", last / first) if first < last else ("grow", first / last)
    return f"Gradients {way} {factor:.3g}-fold from the last layer to the first, at step {step:,}"


def _strip(axes: Axes, histogram: np.ndarray, lowest: int, lines: Mapping[str, tuple[np.ndarray, str]]) -> None:
    """Columns of shares over magnitude (log scale), with lines over them; zeros in a row of their own at the bottom."""
    table = histogram.astype(np.float64)
    used = np.flatnonzero(table.sum(0) > 0)
    low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (lowest * -1 - 10, lowest * -1 + 3)
    count = len(table)
    look: dict[str, Any] = {"cmap": "cividis_r", "norm": PowerNorm(0.5, 0, 0.5), "rasterized": True}
    edges, sides = 2.0 ** np.arange(lowest + low, lowest + high + 1), np.arange(count + 1) - 0.5
    shown = np.ma.masked_equal(table[:, low:high].T, 0)
    axes.pcolormesh(sides, edges, shown, **look)
    zeros = np.clip(1 - table.sum(1), 0, 1)
    floor = edges[0] / 2.0 ** (0.1 * (high - low) + 0.6)
    zero_row = np.ma.masked_less(zeros[None], 0.002)
    axes.pcolormesh(sides, [floor, floor * 2.0 ** (0.08 * (high - low))], zero_row, **look)
    axes.set_yscale("log")
    for label, (values, style) in lines.items():
        seen = np.where(values > 0, values, np.nan)
        axes.plot(range(count), seen, style, color="white", linewidth=3.5)
        marker = "o" if count <= 40 else None
        axes.plot(range(count), seen, style, color="black", linewidth=1.5, marker=marker, markersize=3.5, label=label)
    axes.text(-0.012, 0.045, "0", transform=axes.transAxes, ha="right", va="center", color=SOFT, fontsize=9)
    axes.set_yticks([tick for tick in axes.get_yticks() if edges[0] <= tick <= axes.get_ylim()[1]])
    axes.minorticks_off()
    tallest = max((v for values, _ in lines.values() for v in values[np.isfinite(values)]), default=0.0)
    axes.set_ylim(floor, max(edges[-1], 1.6 * tallest))
    axes.legend(loc="upper center", bbox_to_anchor=(0.7, 1.13), ncols=2, fontsize=8, frameon=False, borderpad=0)
    plain_axes(axes)


def _bars(axes: Axes, values: Mapping[str, np.ndarray], shares: Sequence[str]) -> None:
    looks: dict[str, dict[str, Any]] = {
        "dead": {"color": DEAD},
        "saturated": {"color": "#cfe3f0", "edgecolor": SATURATED, "hatch": "///"},
    }
    for name in shares:
        axes.bar(range(len(values[name])), np.nan_to_num(values[name]), width=0.7, **looks[name])
    words = {"dead": "Dead units", "saturated": "Saturated outputs"}
    title = words[shares[0]] if len(shares) == 1 else "Dead units (filled) and saturated outputs (hatched)"
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    plain_axes(axes)


def _updates(axes: Axes, ratios: np.ndarray) -> None:
    known = ratios[np.isfinite(ratios) & (ratios > 0)]
    axes.set_ylim(min([1e-4, *(0.5 * known)]), max([1e-2, *(2 * known)]))
    axes.set_yscale("log")
    axes.axhline(1e-3, color=SOFT, linestyle=":", linewidth=1.2)
    seen = np.where(ratios > 0, ratios, np.nan)
    axes.plot(range(len(ratios)), seen, color="black", linewidth=1.5, marker="o", markersize=3, scaley=False)
    title = "Update over weights (dotted: 1e-3 is usual)" if len(known) else "Update over weights: after the first step"
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axes.minorticks_off()
    plain_axes(axes)
