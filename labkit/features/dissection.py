"""Network dissection: how well where a unit fires agrees with where a part, an edge or a colour is."""

import math
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

# A unit counts as a detector from this IoU on (Bau et al. 2017).
DETECTOR = 0.04
# It fires at the highest 2 % of its values. They take 0.5 %, which lets no IoU with a part of 2 % of all pixels come
# above 0.25; in small pictures parts, edges and colours take up that much and more.
TOP = 0.02
# A threshold is found from at most this many values of a unit, spread evenly over examples and places.
VALUES = 2**17


@dataclass(frozen=True)
class Dissection:
    """iou: {layer: (units, parts) 0 to 1}, over the whole data set. thresholds: {layer: (units,)}: where each fires."""

    parts: tuple[str, ...]
    iou: Mapping[str, np.ndarray]
    thresholds: Mapping[str, np.ndarray]

    def best(self, layer: str) -> tuple[list[str], np.ndarray]:
        """For each unit of a layer (the part with the highest IoU, that IoU)."""
        table = self._table(layer)
        return [self.parts[i] for i in table.argmax(1)], table.max(1)

    def detectors(self, layer: str, at_least: float = DETECTOR) -> dict[str, list[int]]:
        """{part: the units that it is the best part of, with an IoU of `at_least`, the best unit first}.

        Parts that no unit detects have no entry.
        """
        table = self._table(layer)
        best = table.argmax(1)
        found = {}
        for i, part in enumerate(self.parts):
            units = np.flatnonzero((best == i) & (table[:, i] >= at_least))
            if len(units):
                found[part] = units[np.argsort(-table[units, i], kind="stable")].tolist()
        return found

    def where_best(self, parts: Sequence[str]) -> dict[str, np.ndarray]:
        """{layer: (units, these parts)}: the IoU of each unit's best part of all, if it is one of these; else 0."""
        unknown = [part for part in parts if part not in self.parts]
        if unknown:
            raise SettingError(f"Expected parts of {', '.join(self.parts)}, received {unknown[0]!r}.")
        columns = [self.parts.index(part) for part in parts]
        found = {}
        for layer, table in self.iou.items():
            best = np.arange(len(self.parts)) == table.argmax(1)[:, None]
            found[layer] = np.where(best, table, 0)[:, columns]
        return found

    def _table(self, layer: str) -> np.ndarray:
        if layer not in self.iou:
            raise SettingError(f"Expected a layer of {', '.join(self.iou)}, received {layer!r}.")
        return self.iou[layer]


@one_core_spared()
def dissect(
    model: nn.Module,
    layers: str | Sequence[str],
    ds: Any,
    masks: Mapping[str, Any] | None = None,
    top: float = TOP,
    batch_size: int = BATCH_SIZE,
) -> Dissection:
    """The intersection over union of where each unit fires and where each part is (Bau et al. 2017, eq. 1).

    layers: one name or several. ds: a data set of pictures. masks: {name: bool (n, H, W)}, by default the data set's
    own; those of `concepts(ds)` may be added. top: the share of all its values at which a unit fires, 0 to 1; a unit
    that is above 0 less often fires there.
    A unit's map is brought to the picture's size between the centres of its receptive fields, bilinearly. Two passes:
    one for the thresholds, one for the overlaps. The model runs in evaluation mode and is left as it was.
    Errors: SettingError for a layer that is not there or another share; DataError without masks, or where they or the
    pictures do not fit.
    """
    names = layer_names(layers)
    if not 0 < top < 1:
        raise SettingError(
            f"Expected the share of values at which a unit fires, between 0 and 1, received top={top!r}."
        )
    chosen = _masks(ds, masks)
    device = device_of(model)
    samples = _Samples(len(ds))
    seen = 0
    with reading(model, names, lambda layer, maps: samples.add(layer, maps, seen)) as run:
        for x in batches(ds, batch_size):
            run(x.to(device))
            seen += len(x)
    thresholds = {name: samples.threshold(name, top) for name in names}
    size = tuple(input_of(ds, 0).shape[1:])
    fields = receptive_fields(model, input_of(ds, 0)[None], names, read_maps)
    upsampling = {name: _upsampling(fields[name], size) for name in names}
    overlaps, fired = ({name: torch.zeros(1, dtype=torch.double) for name in names} for _ in range(2))
    there = torch.zeros(len(chosen), dtype=torch.double)
    labels = torch.empty(0)

    def overlap(layer: str, maps: Tensor) -> None:
        rows, columns = (matrix.to(maps) for matrix in upsampling[layer])
        where = rows @ maps @ columns.T > thresholds[layer].to(maps)[:, None, None]
        units = where.transpose(0, 1).flatten(1).float()
        overlaps[layer] = overlaps[layer] + (units @ labels).cpu().double()
        fired[layer] = fired[layer] + units.sum(1).cpu().double()

    seen = 0
    with reading(model, names, overlap) as run:
        for x in batches(ds, batch_size):
            stacked = torch.stack([mask[seen : seen + len(x)].flatten() for mask in chosen.values()], dim=1)
            labels = stacked.to(device, torch.float32)
            run(x.to(device))
            there += stacked.sum(0)
            seen += len(x)
    iou = {}
    for name in names:
        union = fired[name][:, None] + there - overlaps[name]
        iou[name] = (overlaps[name] / union.clamp(min=1)).numpy()
    return Dissection(tuple(chosen), iou, {name: value.cpu().numpy() for name, value in thresholds.items()})


def _masks(ds: Any, masks: Mapping[str, Any] | None) -> dict[str, Tensor]:
    if masks is None:
        masks = getattr(ds, "masks", None)
        if masks is not None and hasattr(masks, "parts"):  # without "object", the union of all
            masks = {part: masks[part] for part in masks.parts}
    if not masks:
        raise DataError("Expected masks of parts: give masks={name: bool (n, H, W)}, such as those of concepts(ds).")
    expected = (len(ds), *input_of(ds, 0).shape[1:])
    chosen = {part: torch.as_tensor(mask) for part, mask in masks.items()}
    for part, mask in chosen.items():
        if mask.dtype != torch.bool or tuple(mask.shape) != expected:
            raise DataError(
                f"Expected the mask of {part} as bool {expected}, received {mask.dtype} {tuple(mask.shape)}."
            )
    return chosen


class _Samples:
    """Values of each unit, {layer: (units, at most VALUES)}: every so many places of every example."""

    def __init__(self, examples: int) -> None:
        self.examples = examples
        self.every: dict[str, int] = {}
        self.values: dict[str, list[Tensor]] = {}

    def add(self, layer: str, maps: Tensor, first: int) -> None:
        places = maps.shape[2] * maps.shape[3]
        if layer not in self.every:
            every = max(1, -(-self.examples * places // VALUES))
            while math.gcd(every, places) > 1:  # so that no column of the map is left out
                every += 1
            self.every[layer] = every
            self.values[layer] = []
        every = self.every[layer]
        flat = maps.transpose(0, 1).flatten(1)
        self.values[layer].append(flat[:, -first * places % every :: every].float().clone())

    def threshold(self, layer: str, top: float) -> Tensor:
        """(units,): the least value that no more than the share `top` of all are above."""
        values = torch.cat(self.values.pop(layer), dim=1)
        if values.isnan().any():
            raise DataError(f"Expected finite activations, received NaN from {layer}. Mend the weights or inputs.")
        return values.kthvalue(values.shape[1] - int(top * values.shape[1]), dim=1).values


def _upsampling(fields: np.ndarray, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(H, h) and (W, w): rows @ map @ columnsᵀ is the map at the picture's size."""
    rows = _between((fields[:, 0, 0] + fields[:, 0, 2] - 1) / 2, size[0])
    columns = _between((fields[0, :, 1] + fields[0, :, 3] - 1) / 2, size[1])
    return rows, columns


def _between(centres: np.ndarray, length: int) -> Tensor:
    """Linear interpolation between values that stand at `centres`; evenly spread where they all see the same."""
    places = len(centres)
    if (np.diff(centres) <= 0).any():
        centres = (np.arange(places) + 0.5) * length / places - 0.5
    matrix = [np.interp(np.arange(length), centres, one) for one in np.eye(places)]
    return torch.tensor(np.stack(matrix, axis=1), dtype=torch.float32)
