"""The residual connection (He et al. 2016, "Deep residual learning for image recognition", eq. 1)."""

from collections import OrderedDict

from torch import Tensor, nn


class Residual(nn.Module):
    """x + f(x): `body` computes f, `shortcut` brings x to the shape of f(x); by default it leaves x as it is."""

    def __init__(self, body: OrderedDict[str, nn.Module], shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.shortcut = nn.Identity() if shortcut is None else shortcut
        self.body = nn.Sequential(body)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.body(x)


class Downsample(nn.Module):
    """(batch, channels, H, W) to (batch, outputs, ceil(H / 2), ceil(W / 2)): every second pixel, new channels of zeros.

    A shortcut without parameters (He et al. 2016, section 3.3, option A).
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.more = outputs - channels

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.more))

    def extra_repr(self) -> str:
        return f"{self.more} more channels"


def norm_layer(kind: str, width: int, images: bool = False) -> nn.Module | None:
    """A normalisation of `width` units or, with `images`, channels: "batch", "layer", or None for "none".

    Batch: Ioffe and Szegedy 2015. Layer: Ba et al. 2016; for images over channels and places, one scale a channel.
    """
    if kind == "batch":
        return nn.BatchNorm2d(width) if images else nn.BatchNorm1d(width)
    if kind == "layer":
        return nn.GroupNorm(1, width) if images else nn.LayerNorm(width)
    return None


NORMS = ("none", "batch", "layer")
