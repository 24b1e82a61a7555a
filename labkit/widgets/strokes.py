"""Strokes of a pen as ink: pure numpy."""

import numpy as np


def draw(ink: np.ndarray, points: np.ndarray, width: float) -> None:
    """Draw a stroke into `ink` (H, W) uint8 in place, with smooth edges.

    points: (n, 2) x and y in 0..1, from the upper left; one point is a dot. width: of the pen, in the same unit.
    """
    height, wide = ink.shape
    places = np.asarray(points, np.float64).reshape(-1, 2) * (wide, height)
    radius = max(0.5, width * wide / 2)
    for start, end in zip(places[: max(1, len(places) - 1)], places[-max(1, len(places) - 1) :], strict=True):
        left, top = np.floor(np.minimum(start, end) - radius - 1).astype(int).clip(0)
        right, bottom = np.ceil(np.maximum(start, end) + radius + 1).astype(int)
        part = ink[top:bottom, left:right]
        y, x = np.mgrid[top : top + part.shape[0], left : left + part.shape[1]] + 0.5
        along = end - start
        length = along @ along
        share = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / length, 0, 1) if length else 0.0
        distance = np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1])
        np.maximum(part, np.clip(255 * (0.5 + radius - distance), 0, 255).astype(np.uint8), out=part)
