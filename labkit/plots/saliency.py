"""A wall of attribution maps of one picture with their scores: the static twin of SaliencyView."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from labkit.errors import DataError
from labkit.plots.figure import Figure
from labkit.plots.look import ACCENT, DIVERGING, GREY, SOFT, number, picture, plain_axes

ACROSS = 6  # pictures in a row
MARK = "#d6006c"
REFERENCES = (":", "--", "-.", "-")


def saliency(
    shown: np.ndarray,
    maps: Mapping[str, np.ndarray],
    finding: str,
    signed: bool = True,
    scores: Mapping[str, Mapping[str, float]] | None = None,
    mask: np.ndarray | None = None,
    references: Sequence[str] = (),
) -> Figure:
    """The picture, each method's map on its own scale, and below them what each scored.

    shown: (H, W) or (H, W, 3) uint8; of one channel 0 is paper. maps: {method: (H, W)}; signed: symmetric about zero,
    else from zero up. finding: the title. scores: {method: {score: value}}. mask: bool (H, W), outlined.
    references: methods whose scores are drawn as lines for all others to be compared with.
    Errors: DataError without maps, and for maps or a mask of another size than the picture.
    """
    if not maps:
        raise DataError("Expected the map of at least one method, received none. Call view.wait() first.")
    for name, values in {**maps, **({} if mask is None else {"the mask": mask})}.items():
        if values.shape != shown.shape[:2]:
            raise DataError(f"Expected {name} to be like the picture {shown.shape[:2]}, received {values.shape}.")
    scores = {method: dict(scores.get(method, {})) for method in maps} if scores else {}
    kinds = list(dict.fromkeys(kind for found in scores.values() for kind in found))
    down = -(-(len(maps) + 1) // ACROSS)
    heights = [1.75 * down + 0.4] + ([0.24 * len(maps) + 0.7] if kinds else [])
    figure = Figure(figsize=(8.8, sum(heights) + 0.4), layout="constrained", facecolor="white")
    rows = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _wall(rows[0], shown, maps, signed, mask, down)
    if kinds:
        _scores(rows[1], kinds, scores, references)
    figure.suptitle(fill(finding, 84), fontsize=12, fontweight="bold")
    figure.alt = f"{finding}. Maps by {', '.join(maps)}."
    for kind in kinds:
        known = [
            f"{method} {number(found[kind])}"
            for method, found in scores.items()
            if np.isfinite(found.get(kind, np.nan))
        ]
        figure.alt += f" {kind}: {', '.join(known)}." if known else ""
    return figure


def _wall(
    figure: SubFigure,
    shown: np.ndarray,
    maps: Mapping[str, np.ndarray],
    signed: bool,
    mask: np.ndarray | None,
    down: int,
) -> None:
    grid = figure.subplots(down, ACROSS, squeeze=False).flat
    first = next(grid)
    picture(first, shown, **({} if shown.ndim == 3 else {"cmap": "gray_r", "vmin": 0, "vmax": 255}))
    first.set_title("picture", fontsize=8, pad=3)
    if mask is not None and mask.any() and not mask.all():
        first.contour(mask, levels=[0.5], colors=MARK, linewidths=1.2)
        first.set_xlabel("outlined: the truth", fontsize=7, color=SOFT, labelpad=2)
    for (name, values), axes in zip(maps.items(), grid, strict=False):  # this order: no axes is taken for nothing
        most = float(np.nanmax(np.abs(values))) or 1.0
        scale: dict[str, Any] = {"cmap": DIVERGING, "vmin": -most} if signed else {"cmap": "cividis", "vmin": 0}
        picture(axes, values, **scale, vmax=most)
        axes.set_title(name, fontsize=8, pad=3)
        axes.set_xlabel(f"{'±' if signed else '0 to '}{number(most)}", fontsize=7, color=SOFT, labelpad=2)
    for axes in grid:
        axes.axis("off")


def _scores(
    figure: SubFigure, kinds: Sequence[str], scores: Mapping[str, Mapping[str, float]], references: Sequence[str]
) -> None:
    names = list(scores)
    grid = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    for axes, kind in zip(grid, kinds, strict=True):
        values = [scores[name].get(kind, np.nan) for name in names]
        colours = [GREY if name in references else ACCENT for name in names]
        axes.barh(range(len(names)), np.nan_to_num(values), color=colours, height=0.62)
        for i, value in enumerate(values):
            axes.text(value if np.isfinite(value) else 0, i, f" {number(value)}", va="center", fontsize=7)
        _reference_lines(axes, kind, scores, references)
        finite = [value for value in values if np.isfinite(value)]
        axes.set_xlim(min([0, *finite]), max([0, *finite]) * 1.3 or 1)
        axes.set_title(kind, fontsize=9, loc="left", fontweight="bold")
        axes.set_yticks(range(len(names)), names)
        plain_axes(axes)
        axes.tick_params(labelsize=8)
    grid[0].invert_yaxis()
    if references:
        grid[0].legend(loc="upper left", bbox_to_anchor=(0, -0.08), fontsize=7, frameon=False, ncols=len(references))


def _reference_lines(
    axes: Axes, kind: str, scores: Mapping[str, Mapping[str, float]], references: Sequence[str]
) -> None:
    for name, style in zip(references, REFERENCES, strict=False):
        value = scores.get(name, {}).get(kind, np.nan)
        if np.isfinite(value):
            axes.axvline(value, color="black", linewidth=0.9, linestyle=style, label=name)
