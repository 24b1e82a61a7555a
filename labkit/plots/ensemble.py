"""Many models trained at once: each one's loss over the steps, and how it depends on a setting."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import LogLocator, NullLocator

from labkit.errors import DataError
from labkit.plots.figure import Figure
from labkit.plots.look import ACCENT, BAD, GREY, LINE, SOFT, number, plain_axes

# A loss above this many times the first steps' median has the last colour, so that one that explodes hides no other.
MOST_OVER_FIRST = 3.0


def ensemble(
    steps: np.ndarray,
    values: np.ndarray,
    settings: np.ndarray,
    curve: Mapping[str, np.ndarray],
    diverged_at: np.ndarray | None = None,
    best: int | None = None,
    setting: str = "learning rate",
    metric: str = "training loss",
    logarithmic: bool = True,
    title: str = "",
) -> Figure:
    """A row of colours for each member, sorted by a setting; beside it their last values over that setting.

    steps: (K,) ascending, the last step of each column; values: (K, members); settings: (members,).
    curve: "setting", "median", "low", "high", "diverged", each (n,): the last values of the members by setting.
    diverged_at: (members,) the step at which a member diverged, 0 for none; from there on its row is hatched.
    Errors: DataError for arrays that do not fit together.
    """
    steps, values, settings = np.asarray(steps), np.asarray(values, float), np.asarray(settings, float)
    if values.shape != (len(steps), len(settings)):
        raise DataError(
            f"Expected values of shape (steps, members) = {(len(steps), len(settings))}, received {values.shape}."
        )
    fallen = np.zeros(len(settings), int) if diverged_at is None else np.asarray(diverged_at)
    figure = Figure(figsize=(9.2, 4.4), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2, width_ratios=(1.7, 1))
    order = np.argsort(settings, kind="stable")
    if len(steps):
        scale = _scale(values, logarithmic)
        _rows(left, steps, values[:, order], fallen[order], scale)
        mesh = left.collections[0]
        bar = figure.colorbar(mesh, ax=left, location="top", aspect=50, pad=0.01)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=SOFT, length=0, labelsize=9)
        bar.set_label(f"{metric}{', log scale' if logarithmic else ''}", fontsize=10, fontweight="bold")
        if isinstance(scale, LogNorm):
            _plain_ticks(bar.ax.xaxis, *mesh.get_clim())
    _name_rows(left, settings[order], setting)
    if best is not None:
        row = int(np.flatnonzero(order == best)[0])
        left.annotate(
            "◀", (1.0, row), xycoords=("axes fraction", "data"), xytext=(2, 0), textcoords="offset points",
            va="center", color=ACCENT, annotation_clip=False,
        )  # fmt: skip
    lost = f" (hatched: {int((fallen > 0).sum())} of {len(fallen)} diverged)" if fallen.any() else ""
    left.set_xlabel(f"training step{lost}", color=SOFT, fontsize=9)
    _curve(right, curve, setting, metric, logarithmic)
    figure.alt = title or f"{metric} of {len(settings)} models by {setting}"
    figure.suptitle(figure.alt, x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.alt += lost
    return figure


def _scale(values: np.ndarray, logarithmic: bool) -> Normalize:
    usable = values[np.isfinite(values) & (values > 0)] if logarithmic else values[np.isfinite(values)]
    if not len(usable):
        return Normalize(0, 1)
    if not logarithmic:
        return Normalize(usable.min(), usable.max())
    first = values[0][np.isfinite(values[0])]
    high = min(usable.max(), MOST_OVER_FIRST * np.median(first)) if len(first) else usable.max()
    low = min(usable.min(), high)
    return LogNorm(low, high if high > low else 1.1 * low)


def _rows(axes: Axes, steps: np.ndarray, values: np.ndarray, fallen: np.ndarray, scale: Normalize) -> None:
    # A loss stands for the steps before it, a score (known from step 0 on) for those after.
    edges = np.append(0, steps) if steps[0] > 0 else np.append(steps, steps[-1] + max(1, steps[-1] // 50))
    shown = np.ma.masked_invalid(np.where(values > 0, values, np.nan) if isinstance(scale, LogNorm) else values)
    axes.pcolormesh(edges, np.arange(values.shape[1] + 1) - 0.5, shown.T, cmap="cividis", norm=scale, rasterized=True)
    for row in np.flatnonzero(fallen):
        start = edges[min(len(steps) - 1, np.searchsorted(edges[1:], fallen[row]))]
        axes.barh(
            row, edges[-1] - start, left=start, height=1, facecolor="#f1f3f4", edgecolor=GREY, hatch="////", linewidth=0
        )
        if len(fallen) <= 40:
            axes.text(start, int(row), "✕", color=BAD, fontsize=8, va="center")
    axes.set_xlim(edges[0], max(1, edges[-1]))


def _name_rows(axes: Axes, settings: np.ndarray, setting: str) -> None:
    """A tick in the middle of the rows that share a setting, at most a dozen."""
    values = np.unique(settings)
    middles = np.array([np.flatnonzero(settings == value).mean() for value in values])
    chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), 12)).round().astype(int))
    axes.set_yticks(middles[chosen], [_short(values[i]) for i in chosen])
    axes.set_ylim(-0.5, len(settings) - 0.5)
    axes.set_ylabel(setting, color=SOFT, fontsize=9)
    axes.tick_params(colors=SOFT, length=0, labelsize=9)
    for spine in axes.spines.values():
        spine.set_color(LINE)


def _curve(axes: Axes, curve: Mapping[str, np.ndarray], setting: str, metric: str, logarithmic: bool) -> None:
    plain_axes(axes)
    x, median = np.asarray(curve["setting"], float), np.asarray(curve["median"], float)
    good = np.isfinite(median)
    if good.any():
        low, high = np.asarray(curve["low"])[good], np.asarray(curve["high"])[good]
        if (high > low).any():
            axes.fill_between(x[good], low, high, color=ACCENT, alpha=0.2, linewidth=0)
        axes.plot(
            x[good], median[good], "o" if setting == "seed" else "o-", color=ACCENT, markersize=3.5, linewidth=1.5
        )
        at = int(np.nanargmin(median[good]) if logarithmic else np.nanargmax(median[good]))
        axes.plot(x[good][at], median[good][at], "o", markersize=10, markerfacecolor="none", color=ACCENT)
        axes.annotate(
            f"best {_short(x[good][at])}", (x[good][at], median[good][at]), xytext=(0, -16),
            textcoords="offset points", ha="center", fontsize=9, color=ACCENT,
        )  # fmt: skip
        if logarithmic and (median[good] > 0).all():
            axes.set_yscale("log")
            _plain_ticks(axes.yaxis, low.min(), high.max())
    if (x > 0).all() and len(x) > 1 and setting != "seed":
        axes.set_xscale("log")
        _plain_ticks(axes.xaxis, x[0], x[-1])
    lost = x[~good] if good.any() else []
    for place in lost:
        axes.plot(place, 0.97, "x", color=BAD, transform=axes.get_xaxis_transform(), markersize=6)
    if len(lost):
        axes.text(lost[0], 0.9, "diverged", color=BAD, fontsize=9, ha="left", transform=axes.get_xaxis_transform())
    axes.margins(y=0.2)
    axes.set_title(f"{metric[0].upper()}{metric[1:]} now", loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel(setting, color=SOFT, fontsize=9)


def _plain_ticks(axis: Axis, low: float, high: float) -> None:
    """Ticks of a logarithmic axis as plain numbers: powers of ten, with 2 and 5 where there are few of them."""
    axis.set_major_locator(LogLocator(subs=(1.0,) if high > 100 * low else (1.0, 2.0, 5.0), numticks=8))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: _short(value))


def _short(value: float) -> str:
    text = number(float(value))
    return text.rstrip("0").rstrip(".") if "." in text and text[-1] == "0" else text
