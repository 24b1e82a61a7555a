"""Training curves, and what a model says of examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from labkit.plots.figure import Figure
from labkit.plots.look import ACCENT, BAD, GREY, SOFT, number, picture, plain_axes


def smooth(values: np.ndarray, weight: float) -> np.ndarray:
    """The exponential moving average with bias correction (Kingma and Ba 2015, section 3); `weight` in 0 to below 1.

    (n,) -> (n,). Values that are not finite stay out of the average and are NaN in the result.
    """
    out = np.full(len(values), np.nan)
    total, kept = 0.0, 1.0
    for i, value in enumerate(values):
        if np.isfinite(value):
            total = weight * total + (1 - weight) * value
            kept *= weight
            out[i] = total / (1 - kept)
    return out


def training(runs: Sequence[Mapping[str, Any]], active: int = 0, smoothing: float = 0.9, log: bool = False) -> Figure:
    """Loss and, where there is one, accuracy over the training steps, of one or several runs.

    runs: each a dict with "name" and columns (arrays of equal length): "step" and "loss"; "eval_step" and any of
        "test_loss", "train_accuracy", "test_accuracy". The run `active` is drawn in the accent colour, others in grey.
        Training is solid (the loss smoothed, over that of each batch), test is dashed.
    """
    accuracy = any(len(run.get(f"{part}_accuracy", ())) for run in runs for part in ("train", "test"))
    figure = Figure(figsize=(7.2, 5.4 if accuracy else 3.4), layout="constrained", facecolor="white")
    axes = figure.subplots(2 if accuracy else 1, 1, sharex=True, squeeze=False)[:, 0]
    order = [run for i, run in enumerate(runs) if i != active] + [runs[active]]
    ends: list[list[End]] = [[], []]
    for run in order:
        main = run is runs[active]
        ends[0] += _loss(axes[0], run, main, smoothing, len(runs) > 1)
        if accuracy:
            ends[1] += _accuracy(axes[1], run, main, len(runs) > 1)
    for part in axes:
        plain_axes(part)
        part.margins(x=0)
    axes[0].set_title("Loss, log scale" if log else "Loss", loc="left", fontsize=10, fontweight="bold")
    if log:
        axes[0].set_yscale("log")
    else:
        axes[0].set_ylim(bottom=min(0, axes[0].get_ylim()[0]))
    if accuracy:
        axes[1].set_title("Accuracy", loc="left", fontsize=10, fontweight="bold")
        axes[1].set_ylim(top=1)
    for part, names in zip(axes, ends, strict=False):
        label_ends(part, names, gap=0.085)
    axes[-1].set_xlabel("training step", color=SOFT, fontsize=9)
    figure.alt = training_text(runs[active])
    figure.suptitle(figure.alt, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


def training_text(run: Mapping[str, Any]) -> str:
    """The finding in one line: "Test accuracy 0.941 after 320 steps"."""
    steps = [int(run[name][-1]) for name in ("step", "eval_step") if len(run.get(name, ()))]
    if not steps or max(steps) == 0:
        return "A network about to train"
    for name in ("test_accuracy", "test_loss", "train_accuracy", "loss"):
        if len(run.get(name, ())):
            words = name.replace("_", " ").replace("train ", "training ")
            measured = words.capitalize() if name != "loss" else "Training loss"
            return f"{measured} {number(run[name][-1])} after {max(steps):,} steps"
    return f"{max(steps):,} steps"


def predictions(
    pictures: np.ndarray,
    predicted: np.ndarray,
    target: np.ndarray,
    classes: Sequence[str] | None = None,
    confidence: np.ndarray | None = None,
) -> Figure:
    """A wall of pictures with what a model takes them for.

    pictures: (n, H, W) or (n, H, W, 3) uint8; predicted, target: (n,) class numbers; confidence: (n,) probabilities of
    the class predicted. Wrong ones are framed, marked with a cross, and name the true class in brackets.
    """
    count = len(pictures)
    across = min(count, 8)
    down = -(-count // across)
    figure = Figure(figsize=(1.0 * across, 1.25 * down + 0.5), layout="constrained", facecolor="white")
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for i, axes in zip(range(count), grid.flat, strict=False):
        axes.axis("on")
        picture(axes, pictures[i], **({} if pictures.ndim == 4 else {"cmap": "gray_r", "vmin": 0, "vmax": 255}))
        right = predicted[i] == target[i]
        name, true = (str(classes[k]) if classes else str(k) for k in (int(predicted[i]), int(target[i])))
        words = f"✓ {name}" if right else f"✗ {name} ({true})"
        if confidence is not None:
            words += f"\n{number(float(confidence[i]))}"
        axes.set_title(words, fontsize=9, color="black" if right else BAD, pad=3)
        for spine in axes.spines.values():
            spine.set(color=BAD if not right else "#dadce0", linewidth=2 if not right else 0.8)
    good = int((np.asarray(predicted) == np.asarray(target)).sum())
    figure.alt = f"{good} of {count} right"
    figure.suptitle(figure.alt, fontsize=12, fontweight="bold")
    return figure


@dataclass
class End:
    """What stands at the end of a line."""

    label: str
    value: float
    colour: str


def _loss(axes: Axes, run: Mapping[str, Any], main: bool, smoothing: float, named: bool) -> list[End]:
    colour, width = (ACCENT, 1.8) if main else (GREY, 1.2)
    step, loss = run.get("step", ()), run.get("loss", ())
    ends = []
    if len(step):
        if main and smoothing:
            axes.plot(step, loss, color=colour, alpha=0.25, linewidth=0.8)
        values = smooth(np.asarray(loss), smoothing)
        ends.append(_line(axes, run, "training", step, values, colour, width, "-", named))
    if len(run.get("test_loss", ())):
        ends.append(_line(axes, run, "test", run["eval_step"], run["test_loss"], colour, width, "--", named))
    return ends


def _accuracy(axes: Axes, run: Mapping[str, Any], main: bool, named: bool) -> list[End]:
    colour, width = (ACCENT, 1.8) if main else (GREY, 1.2)
    return [
        _line(axes, run, word, run["eval_step"], run[f"{part}_accuracy"], colour, width, style, named)
        for part, word, style in (("train", "training", "-"), ("test", "test", "--"))
        if len(run.get(f"{part}_accuracy", ()))
    ]


def _line(
    axes: Axes, run: Mapping[str, Any], word: str, x: Any, y: Any, colour: str, width: float, style: str, named: bool
) -> End:
    axes.plot(x, y, style, color=colour, linewidth=width)
    axes.plot(x[-1], y[-1], "o", color=colour, markersize=3.5, clip_on=False)
    label = f"{run['name']} {word}" if named else word
    return End(f"{label} {number(float(y[-1]))}", float(y[-1]), colour)


def label_ends(axes: Axes, ends: list[End], gap: float) -> None:
    """Names beside the right edge, at their lines' heights but at least `gap` (a part of the height) apart."""
    low, high = axes.get_ylim()
    to_axes = axes.transScale.transform
    (_, bottom), (_, top) = to_axes((1, low)), to_axes((1, high))
    known = [end for end in ends if np.isfinite(to_axes((1, end.value))[1])]
    places = {id(end): float(np.clip((to_axes((1, end.value))[1] - bottom) / (top - bottom), 0, 1)) for end in known}
    at = -gap
    for end in sorted(known, key=lambda end: places[id(end)]):
        at = places[id(end)] = max(places[id(end)], at + gap)
    at = 1 + gap
    for end in sorted(known, key=lambda end: -places[id(end)]):
        at = places[id(end)] = min(places[id(end)], at - gap)
        axes.text(1.015, at, end.label, transform=axes.transAxes, color=end.colour, fontsize=9, va="center")
