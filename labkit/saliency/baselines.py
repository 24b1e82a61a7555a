"""Inputs that stand for "nothing to see": where paths begin, and what parts of an input are replaced by."""

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.errors import DataError, SettingError

KINDS = ("black", "mean", "blur", "noise")
# Standard deviation of the blur, as a share of the longer side: shapes are gone, and broad colours stay.
BLUR = 1 / 8


def baseline(x: Tensor, kind: str | Tensor = "black", seed: int = 0) -> Tensor:
    """A baseline for each example of `x` (n, ...): a tensor like x, without gradients.

    "black": zeros. "mean": each channel's mean over the places of its own example; of rows (n, values) the row's mean.
    "blur": pictures (n, channels, H, W) or series (n, channels, L), blurred by a Gaussian whose standard deviation is
    1/8 of the longer side. "noise": uniform within the example's range, the same draws for every example. A tensor
    like x, or like x[0] for all examples, is taken as it is.
    Errors: SettingError for another kind or a blur of rows; DataError for a tensor of another shape.
    """
    x = x.detach()
    if isinstance(kind, Tensor):
        return _own(x, kind)
    if kind not in KINDS:
        raise SettingError(f"Expected a baseline of {', '.join(KINDS)} or a tensor like x, received {kind!r}.")
    if kind == "black":
        return torch.zeros_like(x)
    if kind == "mean":
        places = tuple(range(2, x.ndim)) if x.ndim > 2 else tuple(range(1, x.ndim))
        return (x.mean(places, keepdim=True) if places else x).expand_as(x).clone()
    if kind == "blur":
        return blurred(x)
    draws = torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(seed)).to(x)
    values = x.flatten(1) if x.ndim > 1 else x[:, None]
    shape = (-1, *(1,) * (x.ndim - 1))
    low, high = values.amin(1).reshape(shape), values.amax(1).reshape(shape)
    return low + (high - low) * draws


def blurred(x: Tensor, sigma: float | None = None) -> Tensor:
    """Pictures (n, channels, H, W) or series (n, channels, L) under a Gaussian; sigma in places, by default as above.

    Beyond the border stands the border's own value. Errors: SettingError for other numbers of dimensions.
    """
    if x.ndim not in (3, 4):
        raise SettingError(
            f"Expected pictures (n, channels, H, W) or series (n, channels, L) to blur, received shape "
            f'{tuple(x.shape)}. Take "black" or "mean" instead.'
        )
    sigma = BLUR * max(x.shape[2:]) if sigma is None else sigma
    result = x
    for dimension in range(2, x.ndim):
        result = _smooth(result.movedim(dimension, -1), sigma).movedim(-1, dimension)
    return result


def _smooth(x: Tensor, sigma: float) -> Tensor:
    """Along the last axis; three standard deviations to each side."""
    reach = max(1, round(3 * sigma))
    distances = torch.arange(-reach, reach + 1, device=x.device, dtype=torch.float32)
    weights = torch.exp(-0.5 * (distances / max(sigma, 1e-6)) ** 2)
    rows = F.pad(x.reshape(-1, 1, x.shape[-1]), (reach, reach), mode="replicate")
    return F.conv1d(rows, (weights / weights.sum()).to(x.dtype)[None, None]).reshape(x.shape)


def _own(x: Tensor, given: Tensor) -> Tensor:
    if given.shape not in (x.shape, x.shape[1:]):
        raise DataError(
            f"Expected a baseline like x {tuple(x.shape)} or like one example {tuple(x.shape[1:])}, received shape "
            f"{tuple(given.shape)}."
        )
    return given.detach().to(x).expand_as(x).clone()
