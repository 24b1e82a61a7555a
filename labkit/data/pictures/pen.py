"""Paints shapes with smooth edges on a layer of its own, and remembers which part is where."""

import math
from collections.abc import Collection

import numpy as np

from labkit.data.pictures.shapes import Array, Shape


class Pen:
    """One thing of a picture: a layer in the thing's own coordinates (about -1..1, y points down).

    size     the picture's height and width in pixels
    at       where the thing's origin stands, in -1..1 over the picture
    scale    the thing's unit in units of half a picture
    angle    clockwise, in radians;  flip: mirrored from left to right
    reach    nothing is painted further than this from the origin
    light    direction towards the light in the picture
    skip     parts that are left out
    """

    def __init__(
        self,
        size: int,
        at: tuple[float, float],
        scale: float,
        angle: float = 0.0,
        flip: bool = False,
        reach: float = 1.3,
        light: tuple[float, float] = (-0.5, -0.85),
        skip: Collection[str] = (),
    ) -> None:
        self.px = scale * size / 2
        self.cos, self.sin = math.cos(angle), math.sin(angle)
        self.mirror = -1.0 if flip else 1.0
        self.light, self.skip = light, skip
        self.cx, self.cy = (at[0] + 1) * size / 2, (at[1] + 1) * size / 2
        self.y0, self.y1 = _span(self.cy, reach * self.px, size)
        self.x0, self.x1 = _span(self.cx, reach * self.px, size)
        u = (np.arange(self.x0, self.x1, dtype=np.float32) + (0.5 - self.cx)) / self.px
        v = (np.arange(self.y0, self.y1, dtype=np.float32) + (0.5 - self.cy))[:, None] / self.px
        self.x = (self.cos * u + self.sin * v) * self.mirror
        self.y = self.cos * v - self.sin * u
        self.rgb = np.zeros((3, *self.x.shape), np.float32)  # premultiplied by alpha
        self.alpha = np.zeros(self.x.shape, np.float32)
        self.codes = np.zeros(self.x.shape, np.uint8)
        self.parts: list[str] = []

    def paint(
        self,
        part: str,
        shape: Shape,
        colour: Array,
        reach: tuple[float, float],
        at: tuple[float, float] = (0.0, 0.0),
        turn: float = 0.0,
        pattern: tuple[Shape, Array] | None = None,
        relief: float = 1.0,
    ) -> None:
        """Paints a shape over what is there.

        reach is half the width and height of the shape's box, `at` its middle, turn its angle (clockwise);
        pattern: a function of x and y that mixes in (0..1) a second colour; relief: how much light models it.
        """
        if part in self.skip:
            return
        cos, sin = math.cos(turn), math.sin(turn)
        rows, columns = self._box(at, reach, cos, sin)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        x, y = self.x[rows, columns] - at[0], self.y[rows, columns] - at[1]
        if turn:
            x, y = cos * x + sin * y, cos * y - sin * x
        inside = shape(x, y)
        inside *= -self.px
        cover = np.clip(inside + 0.5, 0, 1)
        paint = colour
        if pattern is not None:
            paint = colour + (pattern[1] - colour) * pattern[0](x, y)
        if relief:
            paint = paint * self._shade(x, y, inside, reach, cos, sin, relief)
        rgb, alpha = self.rgb[:, rows, columns], self.alpha[rows, columns]
        rgb += (paint - rgb) * cover
        alpha += (1 - alpha) * cover
        if part not in self.parts:
            self.parts.append(part)
        self.codes[rows, columns][cover > 0.5] = self.parts.index(part) + 1

    def _box(self, at: tuple[float, float], reach: tuple[float, float], cos: float, sin: float) -> tuple[slice, slice]:
        """The rows and columns of the layer that a turned box can touch."""
        ax, ay = at[0] * self.mirror, at[1]
        cx = self.cx + self.px * (self.cos * ax - self.sin * ay)
        cy = self.cy + self.px * (self.sin * ax + self.cos * ay)
        c = self.cos * cos - self.mirror * self.sin * sin
        s = self.sin * cos + self.mirror * self.cos * sin
        half_x = self.px * (abs(c) * reach[0] + abs(s) * reach[1])
        half_y = self.px * (abs(s) * reach[0] + abs(c) * reach[1])
        height, width = self.x.shape
        rows = slice(*(min(max(k - self.y0, 0), height) for k in _ends(cy, half_y)))
        return rows, slice(*(min(max(k - self.x0, 0), width) for k in _ends(cx, half_x)))

    def _shade(
        self,
        x: Array,
        y: Array,
        inside: Array,
        reach: tuple[float, float],
        cos: float,
        sin: float,
        relief: float,
    ) -> Array:
        """Brighter towards the light, darker at the rim: a soft, rounded look."""
        lx = (self.cos * self.light[0] + self.sin * self.light[1]) * self.mirror
        ly = self.cos * self.light[1] - self.sin * self.light[0]
        lx, ly = cos * lx + sin * ly, cos * ly - sin * lx
        rim = np.minimum(inside * (1 / (0.09 * self.px + 0.6)), 1)
        return (1 - 0.13 * relief) + (0.15 * relief / max(reach)) * (lx * x + ly * y) + (0.13 * relief) * rim


def _ends(centre: float, half: float) -> tuple[int, int]:
    return math.floor(centre - half - 0.5), math.ceil(centre + half + 0.5)


def _span(centre: float, half: float, size: int) -> tuple[int, int]:
    start, stop = _ends(centre, half)
    start = min(max(start, 0), size - 1)
    return start, min(max(stop, start + 1), size)
