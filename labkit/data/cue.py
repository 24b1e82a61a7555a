"""A mark that goes with a class without being any part of it: what a network may learn instead of the thing."""

from collections.abc import Mapping

import torch
from torch import Tensor

from labkit.data.dataset import Dataset, PartMasks
from labkit.errors import DataError, SettingError

PLACES = ("upper left", "upper right", "lower left", "lower right")

# The letters of the mark, 3 x 5 pixels each: L, A, B.
LETTERS = (
    ("#..", "#..", "#..", "#..", "###"),
    (".#.", "#.#", "###", "#.#", "#.#"),
    ("##.", "#.#", "##.", "#.#", "##."),
)
CROSS = ("#.#", ".#.", "#.#")  # instead of them in pictures that have no room for one
ROOM, SMALLEST = 16, 6  # the shorter side that a letter and a cross need, in pixels
FOR_SIDE = 48  # pixels of the shorter side for each pixel of the mark
PLATE, INK = (0.1, 0.5), (1.0, 0.85)  # brightness and opacity


def with_cue(
    ds: Dataset,
    target: int | str,
    share: float = 1.0,
    others: float = 0.0,
    place: str = "lower right",
    seed: int = 0,
) -> Dataset:
    """The same pictures, some with a watermark in a corner: the letters LAB in white on a dark, translucent plate.

    target  the class that the watermark goes with, its name or index.
    share   of that class's pictures, 0 to 1, how many have it;  others: of all the other pictures.
    place   the corner: "upper left", "upper right", "lower left" or "lower right".
    seed    which pictures they are, drawn without repetition; those of a smaller share are among those of a larger.

    With share=1, others=0 the watermark tells the class: a spurious cue (Lapuschkin et al. 2019), which a network may
    learn instead of the thing. masks["cue"] is true where it is, whatever can be seen through it, and what it covers is
    in no other mask, nor in "object". Takes pictures (n, C, H, W) in 0..1 of at least 6 x 6. The watermark is 13 x 7
    pixels of 48 x 48, larger on larger ones, with fewer letters on narrow ones, a white cross of 3 x 3 on those under
    16. Raises SettingError and DataError.
    """
    index = _check(ds, target, share, others, place)
    mark, opacity = _mark(*ds.inputs.shape[2:])
    rows, columns = _corner(place, tuple(ds.inputs.shape[2:]), tuple(mark.shape))
    chosen = _chosen(ds.targets == index, share, others, seed)
    inputs = ds.inputs.clone()
    under = inputs[chosen, :, rows, columns]
    inputs[chosen, :, rows, columns] = under + (mark - under) * opacity
    cue = torch.zeros(len(ds), *ds.inputs.shape[2:], dtype=torch.bool)
    cue[chosen, rows, columns] = True
    return Dataset(inputs, ds.targets, ds.classes, _masks(ds.masks, cue))


def _mark(height: int, width: int) -> tuple[Tensor, Tensor]:
    """(brightness, opacity), (h, w) each: as many letters as half the width has room for, a pixel around each."""
    side = min(height, width)
    times = max(1, round(side / FOR_SIDE))
    if side < ROOM:
        lines = list(CROSS)
    else:
        letters = LETTERS[: max(1, (width // 2 // times - 1) // 4)]
        blank = "." * (4 * len(letters) + 1)
        lines = [blank, *("." + ".".join(row) + "." for row in zip(*letters, strict=True)), blank]
    ink = torch.tensor([[pixel == "#" for pixel in line] for line in lines])
    ink = ink.repeat_interleave(times, 0).repeat_interleave(times, 1)
    return torch.where(ink, INK[0], PLATE[0]), torch.where(ink, INK[1], PLATE[1])


def _corner(place: str, picture: tuple[int, ...], mark: tuple[int, ...]) -> tuple[slice, slice]:
    """The rows and columns of the mark, a pixel of it away from the edges where there is room."""
    spans = []
    for word, first, whole, part in zip(place.split(), ("upper", "left"), picture, mark, strict=True):
        edge = min(max(1, round(min(picture) / FOR_SIDE)), whole - part)
        start = edge if word == first else whole - part - edge
        spans.append(slice(start, start + part))
    return spans[0], spans[1]


def _chosen(of_target: Tensor, share: float, others: float, seed: int) -> Tensor:
    """The indices of the pictures that get the mark: the first of a random order of each group."""
    order = torch.randperm(len(of_target), generator=torch.Generator().manual_seed(seed))
    ours, rest = order[of_target[order]], order[~of_target[order]]
    return torch.cat([ours[: round(share * len(ours))], rest[: round(others * len(rest))]])


def _masks(masks: Mapping[str, Tensor] | None, cue: Tensor) -> Mapping[str, Tensor]:
    if masks is None:
        return {"cue": cue}
    if isinstance(masks, PartMasks):
        parts = masks.parts if "cue" in masks.parts else (*masks.parts, "cue")
        codes = masks.codes.clone()
        codes[cue] = parts.index("cue") + 1
        return PartMasks(codes, parts, apart={*masks.apart, "cue"})
    return {part: mask & ~cue for part, mask in masks.items()} | {"cue": cue | masks.get("cue", cue)}


def _check(ds: Dataset, target: int | str, share: float, others: float, place: str) -> int:
    if ds.task != "classification":
        raise DataError("Expected pictures with classes, for the watermark goes with one; received real targets.")
    inputs = ds.inputs
    if inputs.ndim != 4 or min(inputs.shape[2:]) < SMALLEST:
        raise DataError(
            f"Expected pictures (n, C, H, W) of at least {SMALLEST} x {SMALLEST} pixels; received "
            f"{tuple(inputs.shape)}."
        )
    if inputs.min() < 0 or inputs.max() > 1:
        raise DataError(
            f"Expected pictures from 0 to 1; received {float(inputs.min()):.3g} to {float(inputs.max()):.3g}. "
            "Put the watermark on before they are standardised."
        )
    for name, value in (("share", share), ("others", others)):
        if not 0 <= value <= 1:
            raise SettingError(f"Expected a share of pictures from 0 to 1; received {name}={value!r}.")
    if place not in PLACES:
        raise SettingError(f"Expected a place of {', '.join(PLACES)}; received {place!r}.")
    if isinstance(target, str):
        if target not in (ds.classes or ()):
            there = ", ".join(ds.classes) if ds.classes else "given by index: these have no names"
            raise SettingError(f"Expected a class of {there}; received {target!r}.")
        return ds.classes.index(target)  # type: ignore[union-attr]
    count = len(ds.classes) if ds.classes else int(ds.targets.max()) + 1
    if isinstance(target, bool) or target not in range(count):
        raise SettingError(f"Expected a class of 0 to {count - 1}; received {target!r}.")
    return int(target)
