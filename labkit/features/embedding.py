"""Where a layer puts the pictures of a data set, drawn in two dimensions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.device import device_of, one_core_spared
from labkit.errors import DataError, SettingError
from labkit.features.reading import BATCH_SIZE, batches, input_of, layer_names, reading

METHODS = ("pca", "tsne")
EXAMPLES = 500
BEFORE_TSNE = 50  # principal components that t-SNE is given (van der Maaten and Hinton 2008, section 4)


@dataclass(frozen=True)
class Embedding:
    """places: {layer: (n, 2)}. explained: {layer: the share of variance that they keep, 0 to 1}, of "pca" only.

    examples (n,): which of the data set's they are.
    """

    examples: np.ndarray
    places: Mapping[str, np.ndarray]
    explained: Mapping[str, float]


@one_core_spared()
def embedding(
    model: nn.Module,
    layers: str | Sequence[str],
    ds: Any,
    method: str = "pca",
    n: int = EXAMPLES,
    seed: int = 0,
) -> Embedding:
    """Each example's activations in a layer, as one vector, brought to two dimensions, for layer after layer.

    method: "pca", the two directions of most variance, their signs such that the largest deviation is positive; "tsne"
    keeps neighbours together (van der Maaten and Hinton 2008), drawn from `seed`. n: examples at most, evenly spaced.
    Errors: SettingError for another method or a layer that is not there; DataError for fewer than 4 examples.
    """
    if method not in METHODS:
        raise SettingError(f"Expected a method of {', '.join(METHODS)}, received {method!r}.")
    names = layer_names(layers)
    chosen = np.unique(np.linspace(0, len(ds) - 1, min(n, len(ds))).round().astype(np.int64))
    if len(chosen) < 4:
        raise DataError(f"Expected at least 4 examples, received {len(chosen)}.")
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    inputs = torch.stack([input_of(ds, int(i)) for i in chosen])
    with reading(model, names, lambda layer, maps: found[layer].append(maps.flatten(1).float().cpu())) as run:
        for x in batches(inputs, BATCH_SIZE):
            run(x.to(device_of(model)))
    components = {name: principal_components(torch.cat(values)) for name, values in found.items()}
    if method == "pca":
        places = {name: values[:, :2] for name, (values, _) in components.items()}
        return Embedding(chosen, places, {name: float(shares[:2].sum()) for name, (_, shares) in components.items()})
    return Embedding(chosen, {name: _tsne(values, seed) for name, (values, _) in components.items()}, {})


def principal_components(values: Tensor, most: int = BEFORE_TSNE) -> tuple[np.ndarray, np.ndarray]:
    """((n, at most `most`) coordinates, each one's share of the variance), the largest first, of (n, ...) values.

    From the products of all pairs of examples, so that many units cost no more than few.
    """
    flat = values.flatten(1).double()
    flat = flat - flat.mean(0)
    variances, vectors = torch.linalg.eigh(flat @ flat.T)
    variances = variances.flip(0).clamp(min=0)[:most]
    coordinates = (vectors.flip(1)[:, :most] * variances.sqrt()).numpy()
    largest = np.take_along_axis(coordinates, np.abs(coordinates).argmax(0)[None], axis=0)
    total = float((flat**2).sum())
    return coordinates * np.where(largest < 0, -1, 1), variances.numpy() / max(total, 1e-300)


def _tsne(values: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE  # slow to import

    perplexity = min(30.0, (len(values) - 1) / 3)
    places = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(values)
    return np.asarray(places, dtype=np.float64)
