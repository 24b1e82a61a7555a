"""The examples that excite a unit most and least, and a spread between, with the part of each that the unit saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.activations import receptive_fields
from labkit.device import device_of, one_core_spared
from labkit.errors import DataError, SettingError
from labkit.features.reading import BATCH_SIZE, batches, input_of, layer_names, read_maps, reading

# Of a spread of k, the examples looked at are this many times k, evenly spaced in the data set.
SAMPLE = 8
RANKINGS = ("most", "least", "spread")


@dataclass(frozen=True)
class Patches:
    """For each unit of a layer k examples in the order of a ranking, each with its strongest place.

    units (u,): their numbers. examples (u, k): places in the data set. activations (u, k) float32: of the unit at
    `places` (u, k, 2), row and column of its map, where it is highest in this example (of equal ones the first).
    boxes (u, k, 4): what that place sees, top, left, bottom, right in pixels, as `labkit.activations.receptive_field`.
    """

    units: np.ndarray
    examples: np.ndarray
    places: np.ndarray
    activations: np.ndarray
    boxes: np.ndarray

    def row(self, unit: int) -> int:
        """Where a unit stands in these arrays."""
        found = np.flatnonzero(self.units == unit)
        if not len(found):
            raise SettingError(f"Expected a unit of {_listed(self.units)}, received {unit!r}.")
        return int(found[0])


@dataclass(frozen=True)
class TopPatches:
    """{layer: Patches} in three rankings.

    most: the highest activations, highest first; least: the lowest, lowest first; of equal ones the earlier example.
    spread: from low to high at evenly spaced ranks of a sample of examples evenly spaced in the data set.
    """

    most: Mapping[str, Patches]
    least: Mapping[str, Patches]
    spread: Mapping[str, Patches]

    def crops(self, ds: Any, layer: str, unit: int, ranking: str = "most", fill: float = 0.5) -> np.ndarray:
        """(k, C, H, W): what the unit saw of these pictures, cut out of the data set that they were found in.

        All as large as the largest; where a field reaches over the picture's edge stands `fill`.
        """
        if ranking not in RANKINGS:
            raise SettingError(f"Expected a ranking of {', '.join(RANKINGS)}, received {ranking!r}.")
        ranked: Mapping[str, Patches] = getattr(self, ranking)
        if layer not in ranked:
            raise SettingError(f"Expected a layer of {', '.join(ranked)}, received {layer!r}.")
        patches = ranked[layer]
        row = patches.row(unit)
        pictures = [input_of(ds, int(i)).detach().cpu().numpy() for i in patches.examples[row]]
        return cropped(pictures, patches.boxes[row], fill)


@one_core_spared()
def top_patches(
    model: nn.Module,
    layers: str | Sequence[str],
    units: Sequence[int] | None,
    ds: Any,
    k: int = 9,
    batch_size: int = BATCH_SIZE,
) -> TopPatches:
    """What excites units most, in one pass over a data set: each example gives its strongest place to each unit.

    layers: one name or several. units: their numbers in each of the layers; None is all. ds: a labkit Dataset of
    pictures, or a map-style data set of x or (x, ...) with x (C, H, W). k: patches for each unit and ranking, at most
    one for each example.
    The model runs in evaluation mode and is left as it was. Kept are only the k best of each unit and ranking and
    8 k numbers a unit, however large the data set is.
    Errors: SettingError for a layer or unit that is not there; DataError for data that do not fit the model, or
    activations that are NaN.
    """
    names = layer_names(layers)
    if k < 1:
        raise SettingError(f"Expected k of at least 1, received {k!r}.")
    n = len(ds)
    sample = np.unique(np.linspace(0, n - 1, min(SAMPLE * k, n)).round().astype(np.int64))
    rankings = {name: _Rankings(name, units, min(k, n), sample) for name in names}
    seen = 0
    with reading(model, names, lambda layer, maps: rankings[layer].add(maps, seen)) as run:
        for x in batches(ds, batch_size):
            run(x.to(device_of(model)))
            seen += len(x)
    fields = receptive_fields(model, input_of(ds, 0)[None], names, read_maps)
    found = {name: ranking.finish(fields[name]) for name, ranking in rankings.items()}
    return TopPatches(*({name: found[name][i] for name in names} for i in range(len(RANKINGS))))


class _Rankings:
    """The best of one layer's units so far: tensors (units, k), and the sample (units, SAMPLE k)."""

    def __init__(self, layer: str, units: Sequence[int] | None, k: int, sample: np.ndarray) -> None:
        self.layer, self.units, self.k, self.sample = layer, units, k, sample
        self.most: _Best | None = None

    def add(self, maps: Tensor, first: int) -> None:
        """maps: (n, units, h, w) of the examples from `first` on."""
        if self.most is None:
            self._start(maps)
        assert self.most is not None
        if self.units is not None:
            maps = maps[:, self.chosen]
        flat = maps.flatten(2)
        strongest = flat.amax(2).float()
        if strongest.isnan().any():
            raise DataError(f"Expected finite activations, received NaN from {self.layer}. Mend the weights or inputs.")
        self.most.add(strongest, flat, first)
        self.least.add(-strongest, flat, first)
        low, high = np.searchsorted(self.sample, [first, first + len(maps)])
        if low < high:
            rows = torch.as_tensor(self.sample[low:high] - first, device=flat.device)
            self.values[:, low:high] = strongest[rows].T
            self.places[:, low:high] = flat[rows].argmax(2).T

    def _start(self, maps: Tensor) -> None:
        count, self.width = maps.shape[1], maps.shape[3]
        numbers = list(range(count)) if self.units is None else list(self.units)
        wrong = [unit for unit in numbers if not 0 <= unit < count]
        if wrong:
            raise SettingError(f"Expected units of {self.layer} of 0 to {count - 1}, received {wrong[0]!r}.")
        self.numbers = np.array(numbers, dtype=np.int64)
        self.chosen = torch.tensor(numbers, device=maps.device)
        self.most, self.least = (_Best(len(numbers), self.k, maps.device) for _ in range(2))
        self.values = torch.zeros(len(numbers), len(self.sample), device=maps.device)
        self.places = torch.zeros(len(numbers), len(self.sample), dtype=torch.long, device=maps.device)

    def finish(self, fields: np.ndarray) -> tuple[Patches, Patches, Patches]:
        assert self.most is not None
        order = self.values.sort(dim=1, stable=True).indices
        ranks = np.linspace(0, len(self.sample) - 1, self.k).round().astype(np.int64)
        picked = order[:, torch.as_tensor(ranks, device=order.device)]
        sample = torch.as_tensor(self.sample, device=order.device)
        return (
            self._patches(self.most.examples, self.most.places, self.most.values, fields),
            self._patches(self.least.examples, self.least.places, -self.least.values, fields),
            self._patches(sample[picked], self.places.gather(1, picked), self.values.gather(1, picked), fields),
        )

    def _patches(self, examples: Tensor, places: Tensor, values: Tensor, fields: np.ndarray) -> Patches:
        flat = places.cpu().numpy()
        grid = np.stack([flat // self.width, flat % self.width], axis=-1)
        boxes = fields[grid[..., 0], grid[..., 1]]
        return Patches(self.numbers, examples.cpu().numpy(), grid, values.cpu().numpy(), boxes)


class _Best:
    """The k highest values of each unit so far with their examples and places, all (units, k), highest first."""

    def __init__(self, units: int, k: int, device: torch.device) -> None:
        self.values = torch.full((units, k), -torch.inf, device=device)
        self.examples = torch.full((units, k), -1, device=device)
        self.places = torch.full((units, k), -1, device=device)

    def add(self, values: Tensor, flat: Tensor, first: int) -> None:
        """values: (n, units), what is ranked; flat: (n, units, places)."""
        k = self.values.shape[1]
        # Stable, and the earlier examples stand first: of equal values the earlier example wins.
        ranked, order = torch.cat([self.values, values.T], dim=1).sort(dim=1, descending=True, stable=True)
        order = order[:, :k]
        unit, rank = (order >= k).nonzero(as_tuple=True)  # those that are new
        row = order[unit, rank] - k
        old = order.clamp(max=k - 1)
        self.values = ranked[:, :k].clone()
        self.examples, self.places = self.examples.gather(1, old), self.places.gather(1, old)
        self.examples[unit, rank] = row + first
        self.places[unit, rank] = flat[row, unit].argmax(1)


def cropped(pictures: Sequence[np.ndarray], boxes: np.ndarray, fill: float = 0.5) -> np.ndarray:
    """(k, C, H, W): the box (top, left, bottom, right) of each picture (C, height, width), all as the largest box.

    Outside of a picture, and of a box that is smaller than the largest, stands `fill`.
    """
    heights, widths = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    size = (max(1, int(heights.max())), max(1, int(widths.max())))
    result = np.full((len(pictures), len(pictures[0]), *size), fill, dtype=np.float32)
    for crop, picture, (top, left, bottom, right) in zip(result, pictures, boxes, strict=True):
        rows = slice(max(top, 0), min(bottom, picture.shape[1]))
        columns = slice(max(left, 0), min(right, picture.shape[2]))
        seen = picture[:, rows, columns]
        crop[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = seen
    return result


def _listed(units: np.ndarray) -> str:
    whole = np.array_equal(units, np.arange(len(units)))
    return f"0 to {len(units) - 1}" if whole else ", ".join(map(str, units))
