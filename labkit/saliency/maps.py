"""From an attribution to a map: one number for each place."""

from torch import Tensor

from labkit.errors import DataError


def as_map(attribution: Tensor, signed: bool = False) -> Tensor:
    """(n, channels, ...) -> (n, ...): how much each place counts, over all its channels.

    signed: the sum over the channels, above zero for the target, below zero against it. Otherwise the magnitude, the
    sum of the absolute values. Rows of numbers (n, d) have no channels: they stay, or their absolute values.
    Errors: DataError for a tensor without examples and places, or with NaN or infinite values.
    """
    if attribution.ndim < 2 or attribution.numel() == 0:
        raise DataError(
            f"Expected an attribution (n, channels, ...) or (n, d), received shape {tuple(attribution.shape)}."
        )
    if not attribution.isfinite().all():
        raise DataError(
            "Expected finite attributions, received NaN or infinite ones. Look at the model's outputs for these inputs."
        )
    values = attribution.detach() if signed else attribution.detach().abs()
    return values if values.ndim == 2 else values.sum(1)
