"""How strongly every picture of a data set excites every unit: from one pass that can be looked at on its way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.activations import altered
from labkit.activations.outputs import main_tensor
from labkit.device import device_of, one_core_spared
from labkit.errors import SettingError
from labkit.features.patches import Patches
from labkit.features.reading import BATCH_SIZE, batches, layer_names, reading


@dataclass(frozen=True)
class Responses:
    """values (n, units) float32: of each example the highest activation of each unit over all places of its map.

    places (n, units, 2): row and column where it is (of equal ones the first).
    """

    values: np.ndarray
    places: np.ndarray

    def top(self, units: Sequence[int], k: int, fields: np.ndarray | None = None) -> Patches:
        """The k examples that excite each of these units most, highest first; of equal ones the earlier.

        fields (h, w, 4): the boxes of the layer's places, as `labkit.activations.receptive_fields` gives them; without
        them boxes are 0, 0, 0, 0.
        """
        numbers = np.asarray(units, np.int64)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < self.values.shape[1]:
            raise SettingError(f"Expected units of 0 to {self.values.shape[1] - 1}, received {list(units)}.")
        examples = np.argsort(-self.values[:, numbers], axis=0, kind="stable")[:k].T
        places = self.places[examples, numbers[:, None]]
        boxes = np.zeros((*places.shape[:2], 4), np.int64)
        if fields is not None:
            boxes = fields[places[..., 0], places[..., 1]]
        return Patches(numbers, examples, places, self.values[examples, numbers[:, None]], boxes)


@one_core_spared()
def responses(
    model: nn.Module, layers: str | Sequence[str], ds: Any, batch_size: int = BATCH_SIZE
) -> Iterator[Mapping[str, Responses]]:
    """{layer: Responses} of the first examples, after each batch of one pass; the last is that of all.

    The model runs in evaluation mode, and is as it was whenever something is given out.
    Errors: SettingError for a layer that is not there, DataError for data that do not fit the model.
    """
    names = layer_names(layers)
    values: dict[str, list[np.ndarray]] = {name: [] for name in names}
    places: dict[str, list[np.ndarray]] = {name: [] for name in names}

    def read(layer: str, maps: Tensor) -> None:
        strongest, flat = maps.flatten(2).max(2)
        where = flat.cpu().numpy()
        values[layer].append(strongest.float().cpu().numpy())
        places[layer].append(np.stack([where // maps.shape[3], where % maps.shape[3]], axis=-1))

    for x in batches(ds, batch_size):
        with reading(model, names, read) as run:
            run(x.to(device_of(model)))
        yield {name: Responses(np.concatenate(values[name]), np.concatenate(places[name])) for name in names}


@one_core_spared()
def class_accuracy(
    model: nn.Module,
    ds: Any,
    off: Mapping[str, Sequence[int]] | None = None,
    axes: Mapping[str, int] | None = None,
    batch_size: int = BATCH_SIZE,
) -> np.ndarray:
    """(classes,): the share of each class's examples that the model's largest output is right about; NaN without any.

    ds: a labkit Dataset with class indices as targets. off: {layer: units} that are switched off, set to 0 wherever the
    layer gives them (Morcos et al. 2018, "On the importance of single directions for generalization", section 2.2).
    axes: {layer: which axis of its output counts units}, 1 where there is none (`labkit.activations.unit_axes`).
    The model runs in evaluation mode and is left as it was. Errors: SettingError for a layer or unit that is not there,
    or data without classes; DataError for data that do not fit.
    """
    targets = getattr(ds, "targets", None)
    if not isinstance(targets, Tensor) or targets.ndim != 1 or targets.is_floating_point():
        raise SettingError("Expected a data set with a class index for each example, received one without.")
    factors = {(layer, int(unit)): 0.0 for layer, units in (off or {}).items() for unit in units}
    predicted = []
    with reading(model, [], lambda *_: None) as run:
        for x in batches(ds, batch_size):
            with altered(model, factors, axes):
                output = run(x.to(device_of(model)))
            scores = main_tensor(output, "model")
            if scores.ndim != 2:
                raise SettingError(f"Expected scores (n, classes) from the model, received {tuple(scores.shape)}.")
            predicted.append(scores.argmax(1).cpu())
    right = (torch.cat(predicted) == targets.cpu()).numpy()
    classes = np.asarray(targets.cpu())
    count = max(int(classes.max()) + 1, len(getattr(ds, "classes", None) or ()))
    found = np.full(count, np.nan)
    for k in np.unique(classes):
        found[k] = right[classes == k].mean()
    return found
