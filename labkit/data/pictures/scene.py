"""One picture: a background, clutter, a thing with its shadow, light and grain, all from one seed."""

import math
from collections.abc import Collection
from functools import lru_cache

import numpy as np

from labkit.data.pictures import shapes as s
from labkit.data.pictures.pen import Pen
from labkit.data.pictures.shapes import Array, Shape
from labkit.data.pictures.things import (
    PARTS,
    THINGS,
    Colours,
    Dice,
    eye,
    flag,
    lamp,
    leaf,
    rgb,
    wheel,
    window,
)

# Each palette: backgrounds that go together, then colours for things on them.
PALETTES = [
    (("#d9efe2", "#b5ddc8", "#f5f0d7"), ("#2f7f73", "#e76f51", "#f4a261", "#e9b93c", "#2d5d77", "#a8465a")),
    (("#d6edf7", "#a6d5ec", "#fdf1d6"), ("#1f6fa8", "#f2545b", "#ffb020", "#22b3a5", "#7b5ea7", "#e88aa8")),
    (("#ffe3ea", "#fbd0cb", "#e4edea"), ("#d6417b", "#6a55d8", "#2f86d6", "#f29d1d", "#17a884", "#8c4a86")),
    (("#f2e2c9", "#e3c397", "#dbe5dd"), ("#a53b26", "#cf5f45", "#4f8a8b", "#ef8f2f", "#40606b", "#7d8f3c")),
    (("#ece7f6", "#cfc4ea", "#f9e6dd"), ("#5c4fb0", "#e0699a", "#f5a65b", "#3aa6b9", "#86b049", "#b0477f")),
    (("#e7ebee", "#c6cfd6", "#f4f1ea"), ("#d9483b", "#2a9d8f", "#f2b134", "#3d6fb6", "#8a5aa8", "#e8845c")),
    (("#1e2a4f", "#31457c", "#4a3f78"), ("#fcb045", "#ef6f6c", "#7ed3c4", "#9cc7f5", "#f3d9a4", "#e39be0")),
    (("#17343c", "#22545a", "#2d4a66"), ("#f6c453", "#f0826a", "#a6dd8c", "#8fd4e8", "#f2e3c6", "#f29bb2")),
    (("#53386b", "#8a4d7d", "#e08a85"), ("#ffd166", "#8fe0c8", "#ffb4a2", "#a5c8ff", "#fff0d0", "#ff8fab")),
    (("#6fb3c9", "#4d94b3", "#bfe0d8"), ("#fff1cf", "#f25f5c", "#ffe066", "#24406b", "#f7a072", "#5b2a58")),
]  # fmt: skip
DARKS, LIGHTS = ("#2b2d42", "#33333f", "#3a2e39", "#22333b"), ("#fffaf0", "#f3f6fa", "#fff1e0")


class Palette:
    def __init__(self, t: Dice) -> None:
        ground, things = t.pick(PALETTES)
        shift = np.array([t(-0.035, 0.035) for _ in range(3)], np.float32)[:, None, None]
        self.ground = [rgb(code) + shift for code in ground]
        self.things = [rgb(code) + shift for code in things]
        self.dark, self.light = rgb(t.pick(DARKS)), rgb(t.pick(LIGHTS))


def draw(
    size: int, rng: np.random.Generator, thing: str, difficulty: float, skip: Collection[str] = ()
) -> tuple[Array, Array]:
    """A picture float32 (3, size, size) in 0..1 and the code of the part in each pixel, uint8 (size, size).

    Parts named in skip are left out of the thing; all the rest is the same.
    """
    t = Dice(rng)
    palette = Palette(t)
    light = (t(-0.8, 0.8), -0.8)
    picture = background(size, palette, t, difficulty)
    ground = picture.mean(axis=(1, 2), keepdims=True)
    for _ in range(round(t(0, 9) * difficulty)):
        clutter(picture, palette, t, light, t(0.12, 0.26), (t(-0.95, 0.95), t(-0.95, 0.95)))
    colours = choose_colours(palette, ground, t, difficulty)

    spread = math.radians(4 + 26 * difficulty) * (1.6 if thing in ("rocket", "fish") else 1)
    scale = t(0.9 - 0.56 * difficulty, 0.9)
    room = (0.2 + 0.8 * difficulty) * (1.0 - 0.8 * scale)
    at = (t(-room, room), t(-room, room))
    pen = Pen(size, at, scale, t(-spread, spread), t.chance(0.5), 1.35, light, skip)
    THINGS[thing](pen, colours, Dice(rng))
    cast_shadow(picture, pen, t(0.25, 0.45))
    codes = put(picture, pen)
    if t.chance(0.6 * difficulty):
        near = (at[0] + t(-0.7, 0.7) * scale, at[1] + t(-0.7, 0.7) * scale)
        clutter(picture, palette, t, light, t(0.1, 0.18), near, codes)
    finish(picture, t, rng, difficulty)
    return picture, codes


def put(picture: Array, pen: Pen) -> Array:
    """Lays the pen's layer over the picture; gives the codes of its parts in the whole picture."""
    area = picture[:, pen.y0 : pen.y1, pen.x0 : pen.x1]
    area *= 1 - pen.alpha
    area += pen.rgb
    codes = np.zeros(picture.shape[1:], np.uint8)
    names = np.array([0] + [PARTS.index(part) + 1 for part in pen.parts], np.uint8)
    codes[pen.y0 : pen.y1, pen.x0 : pen.x1] = names[pen.codes]
    return codes


def cast_shadow(picture: Array, pen: Pen, depth: float) -> None:
    size = picture.shape[1]
    whole = np.zeros((size, size), np.float32)
    whole[pen.y0 : pen.y1, pen.x0 : pen.x1] = pen.alpha
    down, aside = _blur(size, 0.05), _blur(size, -0.03 if pen.light[0] > 0 else 0.03)
    picture *= 1 - depth * (down @ whole @ aside.T)


@lru_cache
def _blur(size: int, shift: float) -> Array:
    """A matrix that blurs (sigma 3.5% of the picture) and shifts along one axis."""
    place = np.arange(size, dtype=np.float32) / size
    weight = np.exp(-0.5 * ((place[:, None] - place[None] - shift) / 0.035) ** 2)
    return (weight / weight[size // 2].sum()).astype(np.float32)


@lru_cache
def _stretch(size: int, knots: int) -> Array:
    """A matrix (size, knots) that interpolates smoothly between values at evenly spaced places."""
    place = np.linspace(0, knots - 1, size)
    near = np.clip(1 - np.abs(place[:, None] - np.arange(knots)), 0, 1)
    return (near * near * (3 - 2 * near)).astype(np.float32)


def choose_colours(palette: Palette, ground: Array, t: Dice, difficulty: float) -> Colours:
    """Colours of the palette that stand out from the ground, the main colour most."""
    order = sorted(palette.things, key=lambda c: t(0, 1))
    contrast = 0.34 - 0.12 * difficulty
    clear = [c for c in order if _distance(c, ground) > contrast] or order
    main = clear[0]
    rest = [c for c in order if c is not main]
    rest = sorted(rest, key=lambda c: _distance(c, main) < 0.25)
    return Colours(main, rest[0], rest[1], palette.dark, palette.light, texture(t, difficulty))


def _distance(a: Array, b: Array) -> float:
    d = (a - b).ravel().tolist()
    return math.sqrt(0.3 * d[0] ** 2 + 0.5 * d[1] ** 2 + 0.2 * d[2] ** 2)


def texture(t: Dice, difficulty: float) -> Shape | None:
    kind, amount = t(0, 1), t(0.25, 0.6)
    turn, step, phase = t(0, math.pi), t(12, 20), t(0, 6)
    if kind > 0.3 + 0.4 * difficulty:
        return None
    c, k = step * math.cos(turn), step * math.sin(turn)
    if kind < 0.25:
        return lambda x, y: amount * np.clip(1.5 * np.sin(c * x + k * y + phase), 0, 1)
    return lambda x, y: amount * np.clip(3 * np.sin(c * x + k * y) * np.sin(c * y - k * x) - 0.9, 0, 1)


def background(size: int, palette: Palette, t: Dice, difficulty: float) -> Array:
    one, two, three = sorted(palette.ground, key=lambda c: t(0, 1))
    kind = t.pick(("sky", "hills", "slope", "clouds", "wall", "glow"))
    v = ((np.arange(size, dtype=np.float32) + 0.5) / size)[:, None]
    u = v.T
    turn, depth = t(0, 2 * math.pi), t(0.15, 0.35)
    if kind in ("sky", "hills"):
        picture = one + (two - one) * np.broadcast_to(v, (size, size))
    elif kind == "slope":
        along = math.cos(turn) * (u - 0.5) + math.sin(turn) * (v - 0.5)
        picture = one + (two - one) * np.clip(0.5 + along, 0, 1)
    else:
        picture = one + 0.6 * (two - one) * np.broadcast_to(v, (size, size))
    if kind == "hills":
        line = t(0.55, 0.8) + t(0.03, 0.09) * np.sin(t(2, 6) * u + turn)
        picture += (three - picture) * np.clip((v - line) * size + 0.5, 0, 1)
    elif kind == "clouds":
        knots = 5
        grid = np.array([t(0, 1) for _ in range(knots * knots)], np.float32).reshape(knots, knots)
        picture += (three - picture) * (_stretch(size, knots) @ grid @ _stretch(size, knots).T)
    elif kind == "glow":
        far = np.hypot(u - t(0.25, 0.75), v - t(0.2, 0.6))
        picture += (three - picture) * np.clip(1.1 - 1.6 * far, 0, 1)
    elif kind == "wall":
        step = t(10, 22)
        wave = np.sin(step * (math.cos(turn) * u + math.sin(turn) * v))
        picture += (three - picture) * ((0.4 + difficulty) * depth * np.clip(2 * wave + 0.5, 0, 1))
    return picture


def clutter(
    picture: Array,
    palette: Palette,
    t: Dice,
    light: tuple[float, float],
    scale: float,
    at: tuple[float, float],
    codes: Array | None = None,
) -> None:
    """A stray part or a plain shape somewhere; with codes it lies in front and hides the parts behind it."""
    size = picture.shape[1]
    pen = Pen(size, at, scale, t(-0.7, 0.7), False, 1.3, light)
    first, second, third = palette.things[:3]
    colours = Colours(first, second, third, palette.dark, palette.light, None)
    stray(pen, colours, t.pick(palette.things), t)
    if codes is None:
        faint = t(0.5, 0.95)
        pen.alpha *= faint
        pen.rgb *= faint
    put(picture, pen)
    if codes is not None:
        codes[pen.y0 : pen.y1, pen.x0 : pen.x1][pen.alpha > 0.5] = 0


def stray(pen: Pen, c: Colours, colour: Array, t: Dice) -> None:
    plain = {
        "fin": s.polygon([(-0.7, 0.6), (0.2, -0.8), (0.7, 0.5)], 0.08),
        "sail": s.polygon([(-0.6, 0.8), (-0.6, -0.9), (0.7, 0.8)], 0.05),
        "petal": s.blossom(5, 0.5, 0.36, 0.4),
        "disc": s.circle(0.8),
        "box": s.box(0.8, 0.6, 0.15),
        "ring": s.ring(0.7, 0.18),
        "bar": s.capsule(-0.9, 0.0, 0.9, 0.0, 0.16),
        "cloud": s.blobs([(-0.5, 0.1, 0.4), (0.0, -0.1, 0.5), (0.5, 0.1, 0.4)]),
    }
    kind = t.pick(("wheel", "window", "eye", "leaf", "lamp", "flag", *plain))
    if kind in plain:
        pen.paint("body", plain[kind], colour, (1.1, 1.1))
    elif kind == "wheel":
        wheel(pen, c, 0, 0, 0.9)
    elif kind == "window":
        window(pen, c, 0, 0, 0.8, 0.8)
    elif kind == "eye":
        eye(pen, 0, 0, 0.8, (t(-1, 1), t(-1, 1)))
    elif kind == "leaf":
        leaf(pen, colour, 0, 0, 1.0, t(0, 3))
    elif kind == "lamp":
        lamp(pen, 0, 0, 0.6)
    else:
        flag(pen, colour, -0.5, 0, 0.7)


def finish(picture: Array, t: Dice, rng: np.random.Generator, difficulty: float) -> None:
    """A soft light from one side, brightness, contrast and grain."""
    size = picture.shape[1]
    place = np.linspace(-1, 1, size, dtype=np.float32)
    slope, side, level = t(0, 0.12), t(-0.1, 0.1), t(-0.08, 0.08) * difficulty
    picture *= (1 + level) + side * place + (-slope * place)[:, None]
    grain = 0.018 * difficulty * t(0.2, 1)
    picture += grain * rng.standard_normal((size, size), np.float32)
    np.clip(picture, 0, 1, out=picture)
