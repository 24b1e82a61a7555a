"""What there is to see: ten things, each built from parts that others have too.

A thing is a function (pen, colours, dice). It throws the dice equally often whatever the pen leaves out.
Coordinates are the thing's own: about -1..1, y points down.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

from labkit.data.pictures import shapes as s
from labkit.data.pictures.pen import Pen
from labkit.data.pictures.shapes import Array, Shape

T = TypeVar("T")


class Dice:
    """Random numbers of one picture, drawn in blocks (one number at a time is slow)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.numbers: list[float] = []

    def __call__(self, low: float, high: float) -> float:
        if not self.numbers:
            self.numbers = self.rng.random(128).tolist()
        return low + (high - low) * self.numbers.pop()

    def chance(self, p: float) -> bool:
        return self(0, 1) < p

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self(0, len(options)))]


@dataclass(frozen=True)
class Colours:
    """The colours of one thing, each (3, 1, 1) in 0..1."""

    main: Array
    second: Array
    accent: Array
    dark: Array
    light: Array
    pattern: Shape | None  # of the body


# --- parts that several things share


def wheel(pen: Pen, c: Colours, x: float, y: float, r: float) -> None:
    pen.paint("wheel", s.circle(r), c.dark, (r, r), (x, y))
    pen.paint("wheel", s.circle(0.52 * r), c.light, (0.52 * r, 0.52 * r), (x, y))
    pen.paint("wheel", s.circle(0.18 * r), c.dark, (0.18 * r, 0.18 * r), (x, y), relief=0)


def window(pen: Pen, c: Colours, x: float, y: float, w: float, h: float, round_: bool = False) -> None:
    frame, pane = (
        (s.ellipse(w, h), s.ellipse(0.68 * w, 0.68 * h))
        if round_
        else (s.box(w, h, 0.3 * w), s.box(w - 0.045, h - 0.045, 0.2 * w))
    )
    pen.paint("window", frame, c.light, (w, h), (x, y), relief=0.5)
    pen.paint("window", pane, GLASS, (w, h), (x, y), pattern=(_gleam, GLEAM), relief=0)
    if not round_ and w > 0.14:
        bars = s.union(s.box(0.018, h), s.box(w, 0.018))
        pen.paint("window", bars, c.light, (w, h), (x, y), relief=0)


def eye(pen: Pen, x: float, y: float, r: float, look: tuple[float, float]) -> None:
    pen.paint("eye", s.circle(r), WHITE, (r, r), (x, y), relief=0.5)
    px, py = x + 0.35 * r * look[0], y + 0.35 * r * look[1]
    pen.paint("eye", s.circle(0.6 * r), INK, (0.6 * r, 0.6 * r), (px, py), relief=0)
    pen.paint("eye", s.circle(0.2 * r), WHITE, (0.2 * r, 0.2 * r), (px + 0.2 * r, py - 0.22 * r), relief=0)


def smile(pen: Pen, x: float, y: float, r: float, open_: bool) -> None:
    if open_:
        pen.paint("mouth", s.below(s.circle(r), 0.0), MOUTH, (r, r), (x, y), relief=0)
        teeth = s.box(0.62 * r, 0.13 * r, 0.05 * r)
        pen.paint("mouth", teeth, WHITE, (r, 0.2 * r), (x, y + 0.16 * r), relief=0)
    else:
        pen.paint("mouth", s.below(s.ring(r, 0.045), 0.3 * r), MOUTH, (1.2 * r, 1.2 * r), (x, y), relief=0)


def lamp(pen: Pen, x: float, y: float, r: float) -> None:
    pen.paint("light", s.circle(r), LAMP, (r, r), (x, y), pattern=(_glow(r), WHITE), relief=0.4)


def leaf(pen: Pen, colour: Array, x: float, y: float, length: float, turn: float) -> None:
    w = 0.42 * length
    pen.paint("leaves", s.lens(w, length), colour, (w, length), (x, y), turn)


def chimney(pen: Pen, c: Colours, x: float, y: float, w: float, h: float) -> None:
    pen.paint("chimney", s.box(w, h, 0.02), c.accent, (w, h), (x, y))
    pen.paint("chimney", s.box(1.35 * w, 0.055, 0.025), c.dark, (1.35 * w, 0.055), (x, y - h))


def flag(pen: Pen, colour: Array, x: float, y: float, length: float) -> None:
    points = [(-length, -0.12), (length, 0.0), (-length, 0.12)]
    pen.paint("flag", s.polygon(points, 0.02), colour, (length, 0.13), (x + length, y))


def _gleam(x: Array, y: Array) -> Array:
    return np.clip(0.5 - 4 * (x + y), 0, 1)


def _glow(r: float) -> Shape:
    return lambda x, y: np.clip(1 - np.hypot(x, y) / r, 0, 1)


# --- things


def house(pen: Pen, c: Colours, t: Dice) -> None:
    w, h, roof = t(0.56, 0.78), t(0.34, 0.52), t(0.42, 0.66)
    base = h + roof / 2
    top = base - 2 * h
    if t.chance(0.6):
        chimney(pen, c, t.pick((-0.55, 0.5)) * w, top - 0.5 * roof, 0.09, 0.24)
    body(pen, c, s.box(w, h, 0.04), (w, h), (0, base - h))
    eaves, kind, ridge = w + t(0.08, 0.18), t(0, 1), t(0.25, 0.6) * w
    if kind < 0.7:
        gable = [(-eaves, roof / 2), (0.0, -roof / 2), (eaves, roof / 2)]
    else:
        gable = [(-eaves, roof / 2), (-ridge, -roof / 2), (ridge, -roof / 2), (eaves, roof / 2)]
    reach = (eaves + 0.05, roof / 2 + 0.05)
    pen.paint("roof", s.polygon(gable, 0.05), c.second, reach, (0, top - roof / 2 + 0.05))
    if t.chance(0.4) and kind < 0.7:
        window(pen, c, 0, top - 0.3 * roof + 0.05, 0.12, 0.12, round_=True)
    place, dw, dh = t.pick((-0.5, 0.0, 0.5)), t(0.13, 0.17), t(0.22, 0.29)
    arched = t.chance(0.4)
    if t.chance(0.9):
        x, y = place * w, base - dh
        shape = s.box(dw, dh, dw if arched else 0.02)
        pen.paint("door", shape, c.accent, (dw, dh), (x, y))
        pen.paint("door", s.circle(0.028), c.light, (0.03, 0.03), (x + 0.55 * dw, y + 0.05), relief=0)
    size, round_ = t(0.14, 0.19), t.chance(0.25)
    spots = [spot for spot in (-0.52, 0.0, 0.52) if abs(spot - place) > 0.3]
    if t.chance(0.2):
        spots = spots[:1]
    for spot in spots:
        window(pen, c, spot * w, base - 1.15 * h, size, size, round_)


def body(
    pen: Pen, c: Colours, shape: Shape, reach: tuple[float, float], at: tuple[float, float], turn: float = 0.0
) -> None:
    pattern = None if c.pattern is None else (c.pattern, c.light)
    pen.paint("body", shape, c.main, reach, at, turn, pattern)


def face(pen: Pen, c: Colours, t: Dice) -> None:
    a, b = t(0.62, 0.76), t(0.7, 0.82)
    style = t.pick(("cap", "curls", "long", "tuft", "bald"))
    lift = t(-0.4, -0.25)
    if style == "long":
        shape = s.polygon([(-0.62, -0.75), (0.62, -0.75), (0.9, 0.75), (-0.9, 0.75)], 0.22)
        pen.paint("hair", shape, c.second, (1.1, 0.98), (0, 0.0))
    if style == "curls":
        curls = [
            (0.98 * a * math.cos(k), 0.12 - b * math.sin(k), 0.26) for k in np.linspace(0.1, math.pi - 0.1, 7).tolist()
        ]
        pen.paint("hair", s.blobs(curls), c.second, (a + 0.27, 0.8 * b), (0, -0.12 - 0.3 * b))
    for side in (-1, 1):
        pen.paint("head", s.circle(0.14), c.main, (0.14, 0.14), (side * a, 0.05))
    pen.paint("head", s.ellipse(a, b), c.main, (a, b))
    if style in ("cap", "long"):
        fringe = s.above(s.ellipse(a + 0.04, b + 0.05), lift * b)
        pen.paint("hair", fringe, c.second, (a + 0.04, b + 0.05))
    if style == "tuft":
        tuft = s.blobs([(-0.2, 0.03, 0.16), (0.0, -0.05, 0.19), (0.2, 0.03, 0.16)])
        pen.paint("hair", tuft, c.second, (0.37, 0.25), (0, -b))
    apart, high, r = t(0.24, 0.32), t(-0.12, 0.0), t(0.12, 0.17)
    look = (t(-0.9, 0.9), t(-0.5, 0.5))
    cheeks, open_, grin, nose = t.chance(0.6), t.chance(0.5), t(0.2, 0.3), t.chance(0.75)
    blush = 0.6 * c.main + 0.4 * BLUSH
    for side in (-1, 1):
        eye(pen, side * apart, high, r, look)
        if cheeks:
            pen.paint("head", s.circle(0.12), blush, (0.12, 0.12), (side * 0.62 * a, 0.3), relief=0)
    if nose:
        pen.paint("nose", s.ellipse(0.075, 0.1), 0.9 * blush, (0.075, 0.1), (0, high + 0.24))
    smile(pen, 0, 0.55 * b - 0.6 * grin if not open_ else 0.5 * b, grin, open_)


def car(pen: Pen, c: Colours, t: Dice) -> None:
    length, high, r = t(0.85, 0.98), t(0.2, 0.27), t(0.19, 0.25)
    cab, kind = t(0.36, 0.5), t.pick(("sedan", "van", "beetle"))
    back, front = {"sedan": (0.62, 0.5), "van": (0.92, 0.45), "beetle": (0.6, 0.6)}[kind]
    top = 0.12 - high - cab
    if kind == "beetle":
        roof = s.above(s.ellipse(0.66, cab + 0.1), 0.1)
        pen.paint("roof", roof, c.second, (0.66, cab + 0.1), (-0.05, 0.12 - high))
    else:
        b, f = back * length, front * length
        slope = 0.04 if kind == "van" else 0.2
        points = [(-b, cab / 2), (-b + slope, -cab / 2), (f - 0.14, -cab / 2), (f + 0.12, cab / 2)]
        reach = (length, cab / 2 + 0.1)
        pen.paint("roof", s.polygon(points, 0.08), c.second, reach, (0, top + cab / 2 + 0.04))
    glass_y, glass_h = 0.12 - high - 0.42 * cab, 0.27 * cab + 0.03
    spots = {"sedan": (-0.28, 0.18), "van": (-0.55, -0.16, 0.22), "beetle": (-0.26, 0.18)}[kind]
    for spot in spots:
        window(pen, c, spot, glass_y, 0.16, glass_h)
    body(pen, c, s.box(length, high, 0.75 * high), (length, high), (0, 0.15))
    if t.chance(0.6):
        x = t(-0.06, 0.02)
        pen.paint("door", s.box(0.17, 0.8 * high, 0.05), c.accent, (0.17, high), (x, 0.14))
        pen.paint("door", s.box(0.05, 0.018), c.light, (0.05, 0.02), (x - 0.06, 0.06), relief=0)
    if t.chance(0.8):
        lamp(pen, length - 0.1, 0.08, 0.085)
    apart = t(0.48, 0.56)
    for x in (-apart, apart):
        wheel(pen, c, x, 0.15 + 0.85 * high, r)


def tree(pen: Pen, c: Colours, t: Dice) -> None:
    w, kind = t(0.09, 0.14), t.pick(("round", "fir", "oval", "cloud"))
    stem = [(-1.3 * w, 0.5), (-0.8 * w, -0.5), (0.8 * w, -0.5), (1.3 * w, 0.5)]
    pen.paint("stem", s.polygon(stem, 0.02), c.second, (1.4 * w, 0.55), (0, 0.45))
    if t.chance(0.35):
        leaf(pen, c.main, 0.24, 0.52, 0.2, 1.0)
    wide, tall = t(0.55, 0.72), t(0.6, 0.72)
    pattern = None if c.pattern is None else (c.pattern, c.light)
    if kind == "fir":
        tiers = 3 if t.chance(0.6) else 2
        for k in range(tiers):
            half, width = 0.36, wide * (1.05 - 0.26 * k)
            points = [(-width, half), (0.0, -half), (width, half)]
            y = 0.1 - 0.42 * k
            reach = (width + 0.06, half + 0.06)
            pen.paint("leaves", s.polygon(points, 0.06), c.main, reach, (0, y), 0, pattern)
    else:
        crown = {
            "round": s.circle(wide),
            "oval": s.ellipse(0.78 * wide, tall + 0.08),
            "cloud": s.blobs(
                [
                    (-0.36, 0.14, 0.34),
                    (0.36, 0.14, 0.34),
                    (-0.22, -0.22, 0.36),
                    (0.22, -0.22, 0.36),
                    (0.0, 0.0, 0.4),
                ]
            ),
        }[kind]
        pen.paint("leaves", crown, c.main, (0.74, 0.82), (0, -0.28), 0, pattern)
    if t.chance(0.5):
        start, r = t(0, 2), 0.085
        for k in range(5):
            angle, far = start + 1.257 * k, t(0.26, 0.34)
            x, y = far * math.cos(angle) * (0.6 if kind == "fir" else 1), -0.22 + far * math.sin(angle)
            pen.paint("fruit", s.circle(r), c.accent, (r, r), (x, y))


def boat(pen: Pen, c: Colours, t: Dice) -> None:
    length, deep, deck = t(0.8, 0.95), t(0.36, 0.48), 0.3
    kind = t.pick(("sail", "sail", "steamer"))
    tilt = t(0.15, 0.4)
    if kind == "sail":
        mast, x = t(1.05, 1.25), t(-0.12, 0.08)
        pole = s.capsule(0, -mast / 2, 0, mast / 2, 0.03)
        pen.paint("mast", pole, c.dark, (0.04, mast / 2), (x, deck - mast / 2))
        w, h = t(0.5, 0.66), mast - 0.16
        points = [(-w / 2, h / 2), (-w / 2, -h / 2), (w / 2, h / 2)]
        pattern = None if c.pattern is None else (c.pattern, c.accent)
        at = (x + w / 2 + 0.05, deck - 0.06 - h / 2)
        pen.paint("sail", s.polygon(points, 0.03), c.light, (w / 2 + 0.03, h / 2 + 0.03), at, 0, pattern)
        if t.chance(0.65):
            w, h = t(0.36, 0.5), 0.8 * h
            points = [(-w / 2, h / 2), (w / 2, -h / 2), (w / 2, h / 2)]
            at = (x - w / 2 - 0.06, deck - 0.06 - h / 2)
            pen.paint("sail", s.polygon(points, 0.03), c.second, (w / 2 + 0.03, h / 2 + 0.03), at)
        if t.chance(0.5):
            flag(pen, c.accent, x, deck - mast + 0.02, 0.14)
    else:
        chimney(pen, c, t(-0.25, 0.0), -0.42, 0.11, 0.28)
        if t.chance(0.5):
            chimney(pen, c, 0.28, -0.36, 0.1, 0.24)
        pen.paint("roof", s.box(0.56, 0.06, 0.04), c.second, (0.56, 0.06), (0, -0.2))
        pen.paint("body", s.box(0.5, 0.24, 0.03), c.light, (0.5, 0.24), (0, 0.08))
        for x in (-0.3, 0.0, 0.3):
            window(pen, c, x, 0.03, 0.1, 0.1, round_=True)
    half = deep / 2
    hull = [(-length, -half), (length, -half), (length - tilt, half), (-length + 0.6 * tilt, half)]
    body(pen, c, s.polygon(hull, 0.06), (length + 0.06, half + 0.06), (0, deck + half))
    if t.chance(0.5):
        strip = s.box(length - 0.1, 0.045, 0.04)
        pen.paint("body", strip, c.second, (length, 0.05), (0, deck + 0.08), relief=0.3)


def rocket(pen: Pen, c: Colours, t: Dice) -> None:
    w, h = t(0.3, 0.4), t(0.78, 0.9)
    flame = t(0.3, 0.5)
    if t.chance(0.8):
        pen.paint("flame", s.lens(0.7 * w, flame), FLAME, (0.7 * w, flame), (0, 0.62 * h), relief=0)
        pen.paint("flame", s.lens(0.36 * w, 0.62 * flame), LAMP, (w, flame), (0, 0.6 * h), relief=0)
    span = t(0.2, 0.34)
    for side in (-1, 1):
        points = [(-span, 0.3), (0.12, -0.32), (0.12, 0.14)]
        if side > 0:
            points = [(-x, y) for x, y in reversed(points)]
        pen.paint("fin", s.polygon(points, 0.05), c.second, (span + 0.08, 0.42), (side * 0.82 * w, 0.42 * h))
    hull = s.above(s.lens(w, 1.15 * h), 0.66 * h)
    body(pen, c, hull, (w, h), (0, -0.08))
    tip = t(-0.62, -0.45) * h
    pen.paint("nose", s.above(s.lens(w, 1.15 * h), tip), c.second, (w, 1.2 * h), (0, -0.08))
    if t.chance(0.4):
        pen.paint("fin", s.lens(0.055, 0.28), c.second, (0.06, 0.28), (0, 0.46 * h))
    r = t(0.14, 0.18)
    if t.chance(0.92):
        window(pen, c, 0, -0.25 * h, r, r, round_=True)
        if t.chance(0.4):
            window(pen, c, 0, 0.16 * h, 0.75 * r, 0.75 * r, round_=True)


def fish(pen: Pen, c: Colours, t: Dice) -> None:
    a, b = t(0.62, 0.74), t(0.36, 0.5)
    tail, spread = t(0.3, 0.4), t(0.28, 0.42)
    lobes = [
        [(-tail, -spread - 0.05), (tail, -0.06), (tail, 0.06), (-0.4 * tail, 0.02)],
        [(-0.4 * tail, -0.02), (tail, -0.06), (tail, 0.06), (-tail, spread + 0.05)],
    ]
    fan = s.union(*(s.polygon(lobe, 0.04) for lobe in lobes))
    pen.paint("fin", fan, c.second, (tail + 0.05, spread + 0.1), (0.16 - a - 0.6 * tail, 0))
    if t.chance(0.85):
        lean = t(-0.2, 0.05)
        sail = [(-0.3, 0.2), (-0.14 + lean, -0.2), (0.16, -0.05), (0.28, 0.2)]
        pen.paint("fin", s.polygon(sail, 0.05), c.second, (0.4, 0.27), (0.1, -b))
    if t.chance(0.6):
        keel = [(-0.2, 0.13), (0.0, -0.13), (0.15, -0.1)]
        pen.paint("fin", s.polygon(keel, 0.04), c.second, (0.26, 0.2), (0.1, b))
    body(pen, c, s.ellipse(a, b), (a, b), (0.16, 0))
    if t.chance(0.6):
        pen.paint("fin", s.lens(0.1, 0.2), c.second, (0.1, 0.2), (0.02, 0.12), 1.1)
    eye(pen, 0.16 + 0.56 * a, -0.22 * b, t(0.11, 0.15), (t(0, 0.9), t(-0.5, 0.5)))
    if t.chance(0.75):
        mouth = s.capsule(-0.07, 0.05, 0.09, -0.02, 0.032)
        pen.paint("mouth", mouth, MOUTH, (0.14, 0.1), (0.1 + 0.84 * a, 0.3 * b), relief=0)


def flower(pen: Pen, c: Colours, t: Dice) -> None:
    bend = t(-0.12, 0.12)
    stalk = s.capsule(bend, 0.5, 0, -0.5, 0.045)
    green = c.second
    pen.paint("stem", stalk, green, (0.2, 0.56), (0, 0.42))
    sides = t.pick(((-1,), (1,), (-1, 1), (-1, 1)))
    low = t(0.35, 0.55)
    for side in sides:
        leaf(pen, green, side * 0.24 + 0.5 * bend, low, t(0.24, 0.3), side * t(0.7, 1.1))
    if t.chance(0.35):
        pot = [(-0.42, -0.2), (0.42, -0.2), (0.3, 0.2), (-0.3, 0.2)]
        body(pen, c, s.polygon(pot, 0.04), (0.46, 0.24), (bend, 0.78))
    count, reach = t.pick((5, 6, 7, 8)), t(0.3, 0.36)
    width = reach * math.sin(math.pi / count) * t(1.0, 1.25)
    petals = s.blossom(count, reach, width, t(0.24, 0.3))
    pattern = None if c.pattern is None else (c.pattern, c.light)
    pen.paint("petal", petals, c.main, (0.68, 0.68), (0, -0.3), t(0, 1.2), pattern)
    r = t(0.17, 0.23)
    pen.paint("core", s.circle(r), c.accent, (r, r), (0, -0.3))


def train(pen: Pen, c: Colours, t: Dice) -> None:
    r, boiler, cab = t(0.17, 0.22), t(0.25, 0.31), t(0.5, 0.62)
    floor = 0.38
    chimney(pen, c, t(0.48, 0.62), floor - 2 * boiler - 0.16, 0.1, 0.2)
    if t.chance(0.5):
        pen.paint("chimney", s.circle(0.13), c.accent, (0.13, 0.13), (0.15, floor - 2 * boiler))
    body(pen, c, s.box(0.6, boiler, 0.1), (0.6, boiler), (0.32, floor - boiler))
    pen.paint("body", s.box(0.34, cab, 0.04), c.main, (0.34, cab), (-0.5, floor - cab))
    over = t(0.42, 0.5)
    pen.paint("roof", s.box(over, 0.075, 0.07), c.second, (over, 0.075), (-0.5, floor - 2 * cab))
    window(pen, c, -0.5, floor - 1.45 * cab, 0.2, 0.19, round_=t.chance(0.2))
    if t.chance(0.6):
        pen.paint("door", s.box(0.14, 0.24, 0.03), c.accent, (0.14, 0.24), (-0.5, floor - 0.28))
    if t.chance(0.75):
        lamp(pen, 0.9, floor - 1.35 * boiler, 0.1)
    pen.paint("body", s.box(0.92, 0.06, 0.03), c.dark, (0.92, 0.06), (0.04, floor))
    for x in t.pick(((-0.55, 0.05, 0.6), (-0.55, 0.1, 0.55), (-0.6, -0.12, 0.3, 0.72))):
        wheel(pen, c, x, floor + 0.13, r)


def robot(pen: Pen, c: Colours, t: Dice) -> None:
    w, h = t(0.4, 0.52), t(0.3, 0.36)
    chin, feet = -0.08, t.pick(("wheels", "legs"))
    if t.chance(0.85):
        top = chin - 2 * h
        pen.paint("mast", s.capsule(0, 0.1, 0, -0.1, 0.03), c.dark, (0.04, 0.14), (0, top - 0.06))
        lamp(pen, 0, top - 0.18, 0.09)
    trunk = t(0.36, 0.5)
    arm = t(0.1, 0.5)
    for side in (-1, 1):
        limb = s.capsule(0, 0, 0, 0.36, 0.075)
        pen.paint("body", limb, c.second, (0.08, 0.46), (side * trunk, 0.12), -side * arm)
    if feet == "legs":
        for side in (-1, 1):
            pen.paint("body", s.box(0.11, 0.16, 0.05), c.second, (0.11, 0.16), (side * 0.2, 0.74))
    body(pen, c, s.box(trunk, 0.34, 0.12), (trunk, 0.34), (0, 0.32))
    if feet == "wheels":
        for side in (-1, 1):
            wheel(pen, c, side * 0.26, 0.72, 0.17)
    lights = t.pick((0, 1, 3))
    for k in range(lights):
        lamp(pen, 0.2 * (k - (lights - 1) / 2), 0.3, 0.075)
    pen.paint("head", s.box(w, h, 0.13), c.main, (w, h), (0, chin - h))
    r, look = t(0.12, 0.16), (t(-0.9, 0.9), t(-0.5, 0.5))
    for side in (-1, 1):
        eye(pen, side * 0.45 * w, chin - 1.2 * h, r, look)
    if t.chance(0.5):
        smile(pen, 0, chin - 0.66 * h, 0.16, False)
    else:
        slot = s.box(0.5 * w, 0.055, 0.02)
        pen.paint("mouth", slot, MOUTH, (0.5 * w, 0.06), (0, chin - 0.42 * h), relief=0)


@lru_cache
def rgb(code: str) -> Array:
    """ "#rrggbb" as a colour (3, 1, 1)."""
    values = [int(code[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    return np.array(values, np.float32)[:, None, None]


WHITE, INK, MOUTH = rgb("#fffdf8"), rgb("#2b2a3a"), rgb("#7a2b3a")
BLUSH = rgb("#ff4d5e")
GLASS, GLEAM, LAMP, FLAME = rgb("#8fc7e8"), rgb("#d9f1fb"), rgb("#ffe07a"), rgb("#ff8c42")

THINGS: dict[str, Callable[[Pen, Colours, Dice], None]] = {
    "house": house,
    "face": face,
    "car": car,
    "tree": tree,
    "boat": boat,
    "rocket": rocket,
    "fish": fish,
    "flower": flower,
    "train": train,
    "robot": robot,
}
PARTS = (
    "body", "head", "roof", "window", "door", "chimney", "wheel", "light", "mast", "sail", "flag",
    "hair", "eye", "nose", "mouth", "fin", "flame", "stem", "leaves", "fruit", "petal", "core",
)  # fmt: skip
