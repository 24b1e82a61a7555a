"""Changes to a picture that ask what a decision hangs on: a part of it replaced, or laid elsewhere."""

import torch
from torch import Tensor

from labkit.errors import DataError


def replaced(x: Tensor, share: Tensor, by: Tensor) -> Tensor:
    """`x` (..., H, W) with `by` (broadcast to x) in its place: wholly where `share` (H, W) is 1, by half where it is
    0.5, not at all where it is 0.

    `by` is a baseline to erase, a blurred picture to blur, a colour (C, 1, 1) to paint.
    Errors: DataError for a share of another size than the pictures, or outside of 0..1.
    """
    _check(x, share)
    share = share.to(x)
    return x * (1 - share) + by.to(x) * share


def moved(x: Tensor, share: Tensor, by: tuple[int, int], fill: Tensor) -> Tensor:
    """`x` (..., H, W) with what `share` (H, W) covers laid `by` (down, right) pixels off; `fill` stays in its place.

    What leaves the picture is lost. Errors as for `replaced`.
    """
    without = replaced(x, share, fill)
    return replaced(without, shifted(share, by), shifted(x, by))


def moved_mask(mask: Tensor, share: Tensor, by: tuple[int, int]) -> Tensor:
    """Where a part `mask` (..., H, W) bool is seen after `moved`: what more than half is covered goes along."""
    _check(mask, share)
    lifted = share > 0.5
    laid = shifted(lifted, by)
    return mask & ~lifted & ~laid | shifted(mask & lifted, by)


def shifted(x: Tensor, by: tuple[int, int]) -> Tensor:
    """`x` (..., H, W), `by` (down, right) pixels off; zeros, or False, come in at the border."""
    result = torch.zeros_like(x)
    (to_rows, from_rows), (to_columns, from_columns) = (
        (slice(max(0, d), max(0, side + min(0, d))), slice(max(0, -d), max(0, side - max(0, d))))
        for d, side in zip(by, x.shape[-2:], strict=True)
    )
    result[..., to_rows, to_columns] = x[..., from_rows, from_columns]
    return result


def _check(x: Tensor, share: Tensor) -> None:
    if share.shape != x.shape[-2:]:
        raise DataError(f"Expected a share of each pixel {tuple(x.shape[-2:])}, received shape {tuple(share.shape)}.")
    if not (share.min() >= 0 and share.max() <= 1):
        raise DataError(f"Expected shares of 0 to 1, received {float(share.min()):g} to {float(share.max()):g}.")
