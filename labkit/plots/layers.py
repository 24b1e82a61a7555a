"""A model as boxes from its input to its output."""

from collections.abc import Mapping, Sequence
from math import log2, prod
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Polygon, Rectangle

from labkit.errors import DataError
from labkit.plots.figure import Figure
from labkit.plots.look import ACCENT, GREY, LINE, SOFT, number

ACROSS = 8  # boxes in a row of the picture, at most
CELL = (1.0, 1.42)  # width and height that one box with its text takes, in units of the largest box
FACE, SIDE, PLAIN = "#d3e5f4", "#a9cbe6", "#f4f5f6"
FLOPS = "#e69f00"


def layers(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Boxes in the order of the calls, as large as what each layer puts out, with its share of parameters and work.

    rows: dicts with "name", "kind", "input_shape", "output_shape" (with the batch; or a tuple of shapes, of which the
        first is drawn), "parameters", "flops", as `labkit.activations.layers(model, x).as_data()` gives them.
    Sides are on a logarithmic scale: height and width of a picture, its channels in depth; a vector is a column.
    Boxes of layers with parameters are filled.
    """
    if not rows:
        raise DataError("Expected at least one layer, received none.")
    shapes = [_first(rows[0]["input_shape"]), *(_first(row["output_shape"]) for row in rows)]
    longest = max((side for shape in shapes for side in shape), default=1)
    down = -(-(len(rows) + 1) // ACROSS)
    across = -(-(len(rows) + 1) // down)
    figure = Figure(figsize=(1.16 * across + 0.3, 1.62 * down + 0.75), facecolor="white")
    axes = figure.add_axes((0.01, 0.0, 0.98, 1 - 0.6 / (1.62 * down + 0.75)))
    axes.set_xlim(0, across * CELL[0])
    axes.set_ylim(-down * CELL[1], 0)
    axes.axis("off")
    totals = {what: sum(row[what] for row in rows) for what in ("parameters", "flops")}
    for place, shape in enumerate(shapes):
        row = rows[place - 1] if place else None
        corner = (place % across * CELL[0], -(place // across) * CELL[1])
        _box(axes, corner, shape, longest, filled=bool(row and row["parameters"]))
        if place % across:
            _arrow(axes, corner)
        names = ["input"] if row is None else [str(row["name"]), str(row["kind"])]
        _words(axes, corner, [*names, _shape(shape)])
        if row is not None:
            _shares(axes, corner, row, totals)
    figure.alt = _finding(rows, totals)
    figure.suptitle(figure.alt, x=0.01, y=0.995, ha="left", va="top", fontsize=11, fontweight="bold")
    legend = "Sides on a log scale. Bars: share of the parameters (blue, above) and of the FLOPs (orange, below)."
    figure.text(0.01, 1 - 0.36 / figure.get_figheight(), legend, fontsize=8.5, color=SOFT, va="top")
    return figure


def _first(shape: Any) -> tuple[int, ...]:
    """A shape without the batch, of the first where there are several."""
    while shape and isinstance(shape[0], tuple | list):
        shape = shape[0]
    return tuple(int(side) for side in shape)[1:]


def _finding(rows: Sequence[Mapping[str, Any]], totals: Mapping[str, int]) -> str:
    words = [f"{len(rows)} layer{'s' if len(rows) > 1 else ''}"]
    for what, name in (("parameters", "parameters"), ("flops", "FLOPs")):
        most = max(rows, key=lambda row: row[what])
        share = f" ({most[what] / totals[what]:.0%} in {most['name']})" if totals[what] else ""
        words.append(f"{number(totals[what]) if totals[what] >= 1000 else totals[what]} {name}{share}")
    return ", ".join(words)


def _box(axes: Axes, corner: tuple[float, float], shape: tuple[int, ...], longest: int, filled: bool) -> None:
    """The front face in the middle of its cell, its depth going up to the right."""
    width, height, depth = _sides(shape, longest)
    left, bottom = corner[0] + (CELL[0] - width - depth) / 2, corner[1] - 0.4 - (height + depth) / 2
    right, top = left + width, bottom + height
    face, side = (FACE, SIDE) if filled else (PLAIN, LINE)
    parts = [([(left, bottom), (right, bottom), (right, top), (left, top)], face)]
    if depth:
        back = (right + depth, top + depth)
        parts.append(([(left, top), (left + depth, top + depth), back, (right, top)], side))
        parts.append(([(right, bottom), (right + depth, bottom + depth), back, (right, top)], side))
    for corners, colour in parts:
        edge = ACCENT if filled else GREY
        axes.add_patch(Polygon(corners, closed=True, facecolor=colour, edgecolor=edge, linewidth=0.8))


def _arrow(axes: Axes, corner: tuple[float, float]) -> None:
    x, y = corner[0], corner[1] - 0.4
    look = {"arrowstyle": "-|>", "color": GREY, "linewidth": 0.8, "mutation_scale": 7}
    axes.annotate("", (x + 0.055, y), (x - 0.055, y), arrowprops=look)


def _sides(shape: tuple[int, ...], longest: int) -> tuple[float, float, float]:
    """(width, height, depth) of the box in units of a cell."""

    def scaled(side: int) -> float:
        return 0.06 + 0.42 * log2(max(side, 1)) / max(log2(longest), 1)

    if len(shape) >= 3:
        return scaled(shape[-1]), scaled(shape[-2]), scaled(prod(shape[:-2])) * 0.55
    if len(shape) == 2:  # steps of a sequence, each a vector; or channels along one side
        return scaled(shape[0]), scaled(shape[1]), 0.0
    return 0.09, scaled(shape[0] if shape else 1) * 1.3, 0.0


def _words(axes: Axes, corner: tuple[float, float], lines: Sequence[str]) -> None:
    x, y = corner[0] + CELL[0] / 2, corner[1] - 0.8
    for i, text in enumerate(lines):
        look: dict[str, Any] = {"fontsize": 8, "color": SOFT} if i else {"fontsize": 8.5, "fontweight": "bold"}
        axes.text(x, y - 0.13 * i, _short(text), ha="center", va="top", parse_math=False, **look)


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one number"


def _short(text: str, most: int = 18) -> str:
    """A long name keeps its end, which tells it from its neighbours."""
    return text if len(text) <= most else f"…{text[1 - most :]}"


def _shares(
    axes: Axes, corner: tuple[float, float], row: Mapping[str, Any], totals: Mapping[str, int], wide: float = 0.5
) -> None:
    for i, (what, colour) in enumerate((("parameters", ACCENT), ("flops", FLOPS))):
        share = row[what] / totals[what] if totals[what] else 0
        x, y = corner[0] + 0.12, corner[1] - 1.24 - 0.085 * i
        axes.add_patch(Rectangle((x, y), wide, 0.05, facecolor=LINE, linewidth=0))
        axes.add_patch(Rectangle((x, y), wide * share, 0.05, facecolor=colour, linewidth=0))
        if share:
            axes.text(x + wide + 0.03, y + 0.025, _percent(share), fontsize=7, color=SOFT, va="center")


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "<1%"
