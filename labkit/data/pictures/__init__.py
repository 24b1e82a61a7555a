"""Pictures composed of parts, with the truth about where each part is."""

import numpy as np
import torch

from labkit.data.dataset import Dataset, PartMasks
from labkit.data.pictures.scene import draw
from labkit.data.pictures.things import PARTS, THINGS
from labkit.errors import SettingError


def objects(n: int = 2000, size: int = 48, seed: int = 0, difficulty: float = 0.5) -> Dataset:
    """n pictures of ten things made of parts: inputs (n, 3, size, size) in 0..1, and a mask for every part.

    size        height and width, 32 to 128 pixels; the same seed shows the same scenes at every size.
    difficulty  0 (large, upright, alone) to 1 (small, turned, far from the middle, crowded, partly hidden).

    The things share their parts (wheels: car, train, robot; windows: house, car, boat, rocket, train ...)
    and their colours, and stray parts lie about, so that neither a colour nor a single part tells the
    class. `masks[part]` (bool, n x size x size) is true where that part of the thing is seen: parts never
    overlap, what is hidden or stray is in none, and "object" is all of them together. Picture i depends on
    seed, i and difficulty only, not on n. About 1,000 pictures of 48 x 48 a second. Raises SettingError.
    """
    if n < 1:
        raise SettingError(f"Expected at least one picture; received n={n!r}.")
    if not 32 <= size <= 128:
        raise SettingError(f"Expected a size of 32 to 128 pixels; received size={size!r}.")
    if not 0 <= difficulty <= 1:
        raise SettingError(f"Expected a difficulty from 0 (easy) to 1 (hard); received {difficulty!r}.")
    names = list(THINGS)
    inputs = np.empty((n, 3, size, size), np.float32)
    codes = np.empty((n, size, size), np.uint8)
    targets = np.empty(n, np.int64)
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        targets[i] = rng.integers(len(names))
        inputs[i], codes[i] = draw(size, rng, names[targets[i]], difficulty)
    masks = PartMasks(torch.from_numpy(codes), PARTS)
    return Dataset(inputs, targets, names, masks)
