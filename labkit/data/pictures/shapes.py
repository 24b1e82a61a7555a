"""Signed distances: how far a point lies outside of a shape (negative: inside), in the units of x and y.

A shape takes NumPy arrays x and y (y points down) and gives an array like them. Formulas after I. Quilez,
"2D distance functions" (iquilezles.org); polygons round their corners, cheaply, and are exact inside.
"""

from collections.abc import Callable

import numpy as np

Array = np.ndarray
Shape = Callable[[Array, Array], Array]


def circle(r: float, cx: float = 0.0, cy: float = 0.0) -> Shape:
    return lambda x, y: np.hypot(x - cx, y - cy) - r


def ellipse(a: float, b: float, cx: float = 0.0, cy: float = 0.0) -> Shape:
    def distance(x: Array, y: Array) -> Array:
        u, v = (x - cx) / a, (y - cy) / b
        k = np.hypot(u, v)
        return (k + 1e-6) * (k - 1) / (np.hypot(u / a, v / b) + 1e-6 / min(a, b))

    return distance


def box(hw: float, hh: float, r: float = 0.0, cx: float = 0.0, cy: float = 0.0) -> Shape:
    """A rectangle of half width hw and half height hh whose corners have radius r."""

    def distance(x: Array, y: Array) -> Array:
        u, v = np.abs(x - cx) - (hw - r), np.abs(y - cy) - (hh - r)
        return np.hypot(np.maximum(u, 0), np.maximum(v, 0)) + np.minimum(np.maximum(u, v), 0) - r

    return distance


def polygon(points: list[tuple[float, float]], r: float = 0.0) -> Shape:
    """A convex polygon, its points clockwise on the screen, its corners rounded by about r."""
    p = np.array(points, np.float32)
    edge = np.roll(p, -1, axis=0) - p
    normal = np.stack([edge[:, 1], -edge[:, 0]], axis=1) / np.linalg.norm(edge, axis=1, keepdims=True)
    offset = ((normal * p).sum(axis=1) - r)[:, None, None]
    nx, ny = normal[:, :1, None], normal[:, 1:, None]

    def distance(x: Array, y: Array) -> Array:
        sides = nx * x + ny * y
        sides -= offset
        inside = np.minimum(sides.max(axis=0), 0)
        np.maximum(sides, 0, out=sides)
        return np.sqrt(np.einsum("shw,shw->hw", sides, sides)) + inside - r

    return distance


def capsule(x1: float, y1: float, x2: float, y2: float, r: float) -> Shape:
    """A line from (x1, y1) to (x2, y2), 2 r thick, with round ends."""
    dx, dy = x2 - x1, y2 - y1
    length = dx * dx + dy * dy

    def distance(x: Array, y: Array) -> Array:
        u, v = x - x1, y - y1
        along = np.clip((u * dx + v * dy) / length, 0, 1)
        return np.hypot(u - along * dx, v - along * dy) - r

    return distance


def ring(r: float, thick: float, cx: float = 0.0, cy: float = 0.0) -> Shape:
    return lambda x, y: np.abs(np.hypot(x - cx, y - cy) - r) - thick


def lens(hw: float, hh: float) -> Shape:
    """Two arcs that meet in points at (0, -hh) and (0, hh), 2 hw wide: a leaf, a fish, a rocket."""
    centre = (hh * hh - hw * hw) / (2 * hw)
    r = centre + hw
    return lambda x, y: np.hypot(np.abs(x) + centre, y) - r


def blossom(petals: int, reach: float, width: float, length: float) -> Shape:
    """Ellipses around a centre, `reach` away from it, 2 width wide and 2 length long."""
    sector = 2 * np.pi / petals
    one = ellipse(length, width, reach, 0)

    def distance(x: Array, y: Array) -> Array:
        angle = np.arctan2(y, x)
        angle -= sector * np.round(angle / sector)
        r = np.hypot(x, y)
        return one(r * np.cos(angle), r * np.sin(angle))

    return distance


def union(*shapes: Shape) -> Shape:
    def distance(x: Array, y: Array) -> Array:
        d = shapes[0](x, y)
        for shape in shapes[1:]:
            d = np.minimum(d, shape(x, y))
        return d

    return distance


def blobs(circles: list[tuple[float, float, float]]) -> Shape:
    """The union of circles (cx, cy, r): a cloud, a tree's crown, curls."""
    cx, cy, r = (np.array(v, np.float32)[:, None, None] for v in zip(*circles, strict=True))
    return lambda x, y: (np.hypot(x - cx, y - cy) - r).min(axis=0)


def above(shape: Shape, y0: float) -> Shape:
    """What of the shape lies above the line y = y0."""
    return lambda x, y: np.maximum(shape(x, y), y - y0)


def below(shape: Shape, y0: float) -> Shape:
    return lambda x, y: np.maximum(shape(x, y), y0 - y)
