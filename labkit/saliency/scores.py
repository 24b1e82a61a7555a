"""How good a map is: what each score means, and those that compare a map with where the truth is (masks)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from labkit.errors import DataError, SettingError
from labkit.saliency.maps import as_map

# The pointing game's blur, as a share of the picture's shorter side: 4 pixels of 48.
BLUR = 1 / 12


@dataclass(frozen=True)
class Score:
    """What a score measures, in words.

    better: which direction. needs: "mask" for those of `score`, "model" for those that run the model again, "method"
    for those that attribute again. chance: what a map that knows nothing gets on average; "share" is the mask's share
    of the picture, None where it depends on the model.
    """

    label: str
    formula: str
    source: str
    better: Literal["higher", "lower"]
    needs: Literal["mask", "model", "method"]
    chance: float | Literal["share"] | None = None


SCORES = {
    "pointing": Score(
        "pointing game",
        "1 if the blurred map's maximum is in the mask, else 0",
        "Zhang et al. 2016, Top-down Neural Attention by Excitation Backprop (there without the blur)",
        "higher",
        "mask",
        "share",
    ),
    "mass": Score(
        "mass in the mask",
        "Σ|a| in the mask / Σ|a|",
        "Arras et al. 2022, CLEVR-XAI (relevance mass accuracy)",
        "higher",
        "mask",
        "share",
    ),
    "top_k": Score(
        "top-k precision",
        "share of the k highest places that are in the mask, k = places in the mask",
        "Arras et al. 2022, CLEVR-XAI (relevance rank accuracy)",
        "higher",
        "mask",
        "share",
    ),
    "auc": Score(
        "AUC",
        "how often a place in the mask is above one outside, a tie counts half",
        "Fawcett 2006, An introduction to ROC analysis, section 7",
        "higher",
        "mask",
        0.5,
    ),
    "deletion": Score(
        "deletion",
        "area under the target's probability while the places of highest |a| are removed first",
        "Petsiuk et al. 2018, RISE (causal metrics)",
        "lower",
        "model",
    ),
    "insertion": Score(
        "insertion",
        "area under the target's probability while the places of highest |a| are put in first",
        "Petsiuk et al. 2018, RISE (causal metrics)",
        "higher",
        "model",
    ),
    "infidelity": Score(
        "infidelity",
        "mean of (β Iᵀa − (f(x) − f(x − I)))² / mean of (f(x) − f(x − I))², I removes a square, β the best factor",
        "Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations, definition 2.1 (square removal)",
        "lower",
        "model",
    ),
    "sensitivity": Score(
        "max-sensitivity",
        "max of ‖a(x + δ) − a(x)‖ / ‖a(x)‖ over small δ",
        "Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations, definition 3.1",
        "lower",
        "method",
    ),
    "completeness": Score(
        "completeness error",
        "|Σa − (f(x) − f(x₀))| / |f(x) − f(x₀)|",
        "Sundararajan et al. 2017, Axiomatic Attribution for Deep Networks, proposition 1",
        "lower",
        "model",
    ),
    "grid": Score(
        "grid pointing game",
        "share of the positive evidence that is in the target's quarter of a mosaic of four classes",
        "Böhle et al. 2021, Convolutional Dynamic Alignment Networks (localisation metric)",
        "higher",
        "method",
        0.25,
    ),
}


def score(attribution: Tensor, mask: Tensor, sigma: float | None = None) -> dict[str, Tensor]:
    """{"pointing", "mass", "top_k", "auc": (n,) float64, 0 to 1}: how well where the map is high agrees with the mask.

    attribution: like the pictures (n, channels, ...), of which the magnitude counts, or a map (n, ...) like the mask.
    mask: bool (n, ...), where the truth is. sigma: the pointing game looks for the maximum after a Gaussian blur of so
    many places, at the edges mirrored; by default 1/12 of the shorter side, 0 for none.
    Of places that tie, each counts as if drawn by chance: a map that is the same everywhere gets what chance gets.
    NaN for all four where nothing can be said: a map of zeros, a mask that is empty or everywhere.
    Errors: DataError for shapes that do not fit, a mask that is not bool, values that are not finite; SettingError for
    a sigma below zero.
    """
    if mask.dtype != torch.bool or mask.ndim < 2:
        raise DataError(f"Expected a mask as bool (n, ...), received {mask.dtype} of shape {tuple(mask.shape)}.")
    values = attribution.detach().abs() if attribution.shape == mask.shape else as_map(attribution)
    if values.shape != mask.shape or not values.isfinite().all():
        raise DataError(
            f"Expected a mask like the attribution's places {tuple(values.shape)} and finite values, received a mask "
            f"{tuple(mask.shape)} and {int((~values.isfinite()).sum())} values that are not."
        )
    maps, there = values.cpu().double().numpy(), mask.cpu().numpy()
    flat, inside = maps.reshape(len(maps), -1), there.reshape(len(there), -1)
    count = inside.sum(1)
    undefined = (count == 0) | (count == inside.shape[1]) | (flat.max(1) == 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "pointing": _pointing(blurred(maps, sigma).reshape(flat.shape), inside),
            "mass": (flat * inside).sum(1) / flat.sum(1),
            "top_k": _top_k(flat, inside),
            "auc": _auc(flat, inside),
        }
    return {name: torch.from_numpy(np.where(undefined, np.nan, one)) for name, one in found.items()}


def blurred(maps: np.ndarray, sigma: float | None = None) -> np.ndarray:
    """Maps (n, ...) after a Gaussian blur of all axes but the first; sigma as in `score`."""
    sides = maps.shape[1:]
    width = min(sides) * BLUR if sigma is None else sigma
    if not width >= 0:
        raise SettingError(f"Expected a blur of 0 or more places, received sigma={sigma!r}.")
    for axis in range(1, maps.ndim) if width > 0 else ():
        maps = gaussian_filter1d(maps, width, axis=axis, mode="reflect")
    return maps


def _pointing(flat: np.ndarray, inside: np.ndarray) -> np.ndarray:
    highest = flat.max(1, keepdims=True)
    tied = flat >= highest - 1e-9 * np.abs(highest)  # a blurred constant differs in its last digits
    return (tied & inside).sum(1) / tied.sum(1)


def _top_k(flat: np.ndarray, inside: np.ndarray) -> np.ndarray:
    places = np.arange(len(flat))
    k = inside.sum(1)
    threshold = np.sort(flat, axis=1)[places, np.minimum(flat.shape[1] - k, flat.shape[1] - 1)][:, None]
    above, tied = flat > threshold, flat == threshold
    left = (k - above.sum(1)) * (tied & inside).sum(1) / tied.sum(1)
    return ((above & inside).sum(1) + left) / k


def _auc(flat: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The Mann-Whitney statistic of the ranks, those of ties averaged."""
    from scipy.stats import rankdata  # half a second to load, which views need not wait for

    ranks = rankdata(flat, axis=1)
    there = inside.sum(1)
    return ((ranks * inside).sum(1) - there * (there + 1) / 2) / (there * (flat.shape[1] - there))
