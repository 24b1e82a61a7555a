"""What a layer gave, as one map a channel, whatever kind of layer it is."""

from math import isqrt
from typing import Any

from torch import Tensor, nn

from labkit.errors import SettingError

# Class and register tokens that stand before a picture's patches: one in ViT, two in DeiT, five in DINOv2.
EXTRA_TOKENS = 8


def main_tensor(output: Any, layer: str) -> Tensor:
    """The tensor that an output is about: itself; a dict's "logits", or else its first; the first of a tuple.

    Errors: SettingError where there is none.
    """
    if isinstance(output, Tensor):
        return output
    parts: list[Any] = []
    if isinstance(output, dict):
        parts = [output["logits"]] if isinstance(output.get("logits"), Tensor) else list(output.values())
    elif isinstance(output, tuple | list):
        parts = list(output)
    for part in parts:
        if isinstance(part, Tensor | dict | tuple | list) and len(part):
            return main_tensor(part, layer)
    raise SettingError(f"Expected a layer that gives a tensor, received {type(output).__name__} from {layer}.")


def as_maps(values: Tensor, module: nn.Module, layer: str) -> Tensor:
    """A layer's output on square pictures as (n, channels, height, width).

    (n, channels) is one place; (n, tokens, channels) are the patches of a vision transformer, row by row, without the
    class tokens before them; (n, channels, h, w) stays, and (n, h, w, channels) is turned. Which of the two it is, the
    equal sides tell; where all three are equal, the kind of the layer does.
    Errors: SettingError for other numbers of dimensions.
    """
    if values.ndim == 2:
        return values[:, :, None, None]
    if values.ndim == 3:
        tokens = values.transpose(1, 2)
        side = isqrt(values.shape[1])
        extra = values.shape[1] - side * side
        if extra > EXTRA_TOKENS:
            return tokens[:, :, None, :]
        return tokens[:, :, extra:].unflatten(2, (side, side))
    if values.ndim == 4:
        _, first, second, third = values.shape
        last = channels_last(module) if first == second == third else first == second
        return values.permute(0, 3, 1, 2) if last else values
    raise SettingError(
        f"Expected a layer that gives (n, channels), (n, tokens, channels) or (n, channels, height, width), received "
        f"shape {tuple(values.shape)} from {layer}. Choose another layer."
    )


def channels_last(module: nn.Module) -> bool:
    """Whether a layer is of a kind that has its channels at the end."""
    # The layer norms of ConvNeXt say on which side they work; torchvision's LayerNorm2d, a subclass, is for the other.
    return (
        isinstance(module, nn.Linear)
        or getattr(module, "data_format", None) == "channels_last"
        or (type(module) is nn.LayerNorm)
    )
