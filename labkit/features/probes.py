"""Probes: functions probe(trainer) -> {name: array} that watch what units look for, and leave no trace."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from labkit.device import device_of
from labkit.errors import DataError
from labkit.features.dissection import TOP, dissect
from labkit.features.embedding import EXAMPLES
from labkit.features.embedding import embedding as embed
from labkit.features.objectives import Objective
from labkit.features.optimized import optimize
from labkit.features.patches import top_patches as rank
from labkit.features.reading import input_of, layer_names
from labkit.features.similarity import BATCH, compared, grams

Probe = Callable[[Any], dict[str, np.ndarray]]


def optimized(
    layer: str, units: Sequence[int | Objective], size: int = 32, steps: int = 64, seed: int = 0, **options: Any
) -> Probe:
    """The units' preferred pictures, "images" (units, H, W) or (units, H, W, 3) uint8; `labkit.features.optimize`.

    They start from the same noise every time, so that what changes from frame to frame is what the model has learned.
    """

    def probe(trainer: Any) -> dict[str, np.ndarray]:
        images = optimize(trainer.model, layer, units, size, steps, seed, **options)
        pixels = (images.cpu() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return {"images": pixels[..., 0] if pixels.shape[3] == 1 else pixels}

    return probe


def top_patches(ds: Any, layers: str | Sequence[str], units: Sequence[int] | None = None, k: int = 9) -> Probe:
    """What excites units most: of each layer "<layer>/examples" (units, k), "<layer>/places" (units, k, 2),

    "<layer>/boxes" (units, k, 4) and "<layer>/activations" (units, k), as `labkit.features.top_patches` gives them.
    """
    names = layer_names(layers)

    def probe(trainer: Any) -> dict[str, np.ndarray]:
        most = rank(trainer.model, names, units, ds, k).most
        found: dict[str, np.ndarray] = {}
        for name in names:
            found[f"{name}/examples"] = most[name].examples.astype(np.int32)
            found[f"{name}/places"] = most[name].places.astype(np.int16)
            found[f"{name}/boxes"] = most[name].boxes.astype(np.int16)
            found[f"{name}/activations"] = most[name].activations
        return found

    return probe


def dissection(ds: Any, layers: str | Sequence[str], masks: Mapping[str, Any] | None = None, top: float = TOP) -> Probe:
    """How well units agree with parts: of each layer "<layer>/iou" (units, parts), see `labkit.features.dissect`.

    The parts are those of the masks, in their order.
    """
    names = layer_names(layers)

    def probe(trainer: Any) -> dict[str, np.ndarray]:
        found = dissect(trainer.model, names, ds, masks, top)
        return {f"{name}/iou": found.iou[name].astype(np.float32) for name in names}

    return probe


def similarity(reference: nn.Module, ds: Any, layers: str | Sequence[str], n: int = BATCH) -> Probe:
    """How alike each layer is to that of `reference` as it is now: "cka" (layers,), see `labkit.features.cka`

    (unbiased). reference: such as a copy of the model at the start, or with the weights of the end. n: examples at
    most, evenly spaced.
    """
    names = layer_names(layers)
    chosen = np.unique(np.linspace(0, len(ds) - 1, min(n, len(ds))).round().astype(np.int64))
    if len(chosen) < 4:
        raise DataError(f"Expected at least 4 examples, received {len(chosen)}.")
    x = torch.stack([input_of(ds, int(i)) for i in chosen])
    then = grams(reference, names, x.to(device_of(reference)))

    def probe(trainer: Any) -> dict[str, np.ndarray]:
        return {"cka": compared(grams(trainer.model, names, x), then).astype(np.float32)}

    return probe


def embedding(ds: Any, layers: str | Sequence[str], n: int = EXAMPLES) -> Probe:
    """Where layers put pictures, by principal components: of each "<layer>/places" (n, 2) float32, and "target" (n,).

    See `labkit.features.embedding`.
    """
    names = layer_names(layers)

    def probe(trainer: Any) -> dict[str, np.ndarray]:
        found = embed(trainer.model, names, ds, n=n)
        targets = np.array([int(ds[int(i)][1]) for i in found.examples], dtype=np.int16)
        return {f"{name}/places": found.places[name].astype(np.float32) for name in names} | {"target": targets}

    return probe
