"""How alike two layers see a data set: linear centred kernel alignment (CKA)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.device import device_of, one_core_spared
from labkit.errors import DataError, SettingError
from labkit.features.reading import batches, layer_names, reading

BATCH = 256


@dataclass(frozen=True)
class Similarity:
    """cka (layers, other layers): 1 where both see the data alike up to turning and scaling, about 0 for unrelated."""

    layers: tuple[str, ...]
    other_layers: tuple[str, ...]
    cka: np.ndarray


def cka(x: Any, y: Any, unbiased: bool = False) -> float:
    """Linear CKA of two representations of the same n examples, (n, ...) each (Kornblith et al. 2019, section 3).

    ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of the centred matrices, 0 to 1. The plain form is too high where there are few examples for
    many units; unbiased: from the estimate of HSIC without that bias (Song et al. 2012, eq. 5), about 0 for what is
    unrelated, slightly below at times; at least 4 examples.
    Error: DataError for different numbers of examples or too few.
    """
    first, second = torch.as_tensor(x), torch.as_tensor(y)
    least = 4 if unbiased else 2
    if len(first) != len(second) or len(first) < least:
        raise DataError(
            f"Expected two representations of the same {least} or more examples, received {len(first)} and "
            f"{len(second)}."
        )
    grams = [centred(gram(value), unbiased) for value in (first, second)]
    return normalised(*(float((a * b).sum()) for a, b in ((grams[0], grams[1]), (grams[0],) * 2, (grams[1],) * 2)))


@one_core_spared()
def similarity(
    model: nn.Module,
    layers: str | Sequence[str],
    ds: Any,
    other: nn.Module | None = None,
    other_layers: str | Sequence[str] | None = None,
    batch_size: int = BATCH,
) -> Similarity:
    """CKA between layers of a model, or of two models, that are given the same data, each layer's values as one vector.

    other: the model of the other layers, by default the same; other_layers: by default the same names.
    In one pass by the unbiased minibatch form (Nguyen et al. 2021, eq. 2-3), its memory independent of the data set:
    the last examples are left out if they are fewer than 4. Models run in evaluation mode and are left as they were.
    Errors: SettingError for layers that are not there, DataError for data that do not fit or fewer than 4 examples.
    """
    rows = layer_names(layers)
    columns = rows if other_layers is None else layer_names(other_layers)
    if len(ds) < 4 or batch_size < 4:
        raise DataError(f"Expected at least 4 examples in a batch, received {min(len(ds), batch_size)}.")
    together = np.zeros((len(rows), len(columns)))
    own, others = np.zeros(len(rows)), np.zeros(len(columns))
    for x in batches(ds, batch_size):
        if len(x) < 4:
            continue
        first = grams(model, list(dict.fromkeys([*rows, *columns])) if other is None else rows, x)
        second = first if other is None else grams(other, columns, x)
        own += [float((first[name] ** 2).sum()) for name in rows]
        others += [float((second[name] ** 2).sum()) for name in columns]
        together += [[float((first[a] * second[b]).sum()) for b in columns] for a in rows]
    table = [[normalised(together[i, j], own[i], others[j]) for j in range(len(columns))] for i in range(len(rows))]
    return Similarity(tuple(rows), tuple(columns), np.array(table))


def grams(model: nn.Module, layers: Sequence[str], x: Tensor) -> dict[str, Tensor]:
    """{layer: (n, n) float64 products of all pairs of examples, centred without bias}."""
    found: dict[str, Tensor] = {}

    def read(layer: str, maps: Tensor) -> None:
        found[layer] = centred(gram(maps), unbiased=True)

    with reading(model, layers, read) as run:
        run(x.to(device_of(model)))
    return found


def gram(values: Tensor) -> Tensor:
    """(n, n) float64: the dot product of each pair of examples (n, ...)."""
    flat = values.detach().flatten(1).cpu().double()
    if not flat.isfinite().all():
        raise DataError("Expected finite activations, received NaN or infinite ones. Mend the weights or inputs.")
    flat = flat - flat.mean(0)  # changes no CKA, and keeps digits where the mean is large
    return flat @ flat.T


def centred(products: Tensor, unbiased: bool) -> Tensor:
    """The sum of the products of two of them is HSIC, up to a factor (unbiased: Székely and Rizzo 2014, def. 2)."""
    if not unbiased:
        return products - products.mean(0) - products.mean(1, keepdim=True) + products.mean()
    n = len(products)
    without = products - torch.diag(products.diagonal())
    rows = without.sum(1) / (n - 2)
    result = without - rows[:, None] - rows[None, :] + rows.sum() / (n - 1)
    return result.fill_diagonal_(0)


def normalised(together: float, first: float, second: float) -> float:
    """HSIC over the geometric mean of both with themselves; NaN where one of them is constant."""
    size = float(np.sqrt(first * second))
    return together / size if size > 0 else float("nan")


def compared(now: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> np.ndarray:
    """(layers,): CKA of each layer with the same one of the reference, from what `grams` gives."""
    if now.keys() != reference.keys():
        raise SettingError(f"Expected the layers {', '.join(reference)}, received {', '.join(now)}.")
    sums = [
        [float((a * b).sum()) for a, b in ((now[k], reference[k]), (now[k],) * 2, (reference[k],) * 2)] for k in now
    ]
    return np.array([normalised(*three) for three in sums])
