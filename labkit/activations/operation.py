"""What slides a window over a picture: a convolution, a transposed one, or pooling, as torch computes it."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.activations.receptive import output_size
from labkit.errors import SettingError

KINDS = ("convolution", "transposed", "max", "average")
MODES = ("zeros", "reflect", "circular")


@dataclass(frozen=True)
class Operation:
    """What a layer does, without its weights. `Operation("max", size=2, stride=2, padding=0)(picture)`.

    kind: one of KINDS. size: of the window, in pixels along each side. mode: what stands in the padding, one of MODES;
    in max pooling "zeros" stands for minus infinity, as in torch. depthwise: each channel has its own output, with
    groups equal to the number of channels, else all are summed into one; pooling never sums over channels.
    """

    kind: str = "convolution"
    size: int = 3
    stride: int = 1
    padding: int = 1
    mode: str = "zeros"
    dilation: int = 1
    depthwise: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SettingError(f"Expected an operation of {', '.join(KINDS)}, received {self.kind!r}.")
        if self.mode not in MODES:
            raise SettingError(f"Expected a padding mode of {', '.join(MODES)}, received {self.mode!r}.")
        least = {"size": 1, "stride": 1, "padding": 0, "dilation": 1}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in least and (not isinstance(value, int) or value < least[field.name]):
                raise SettingError(
                    f"Expected a {field.name} of {least[field.name]} or more, as a whole number; received {value!r}."
                )
        if self.kind == "transposed" and self.mode != "zeros":
            raise SettingError("A transposed convolution has no padding with the picture's own values: choose zeros.")
        if self.kind == "average" and self.dilation > 1:
            raise SettingError(f"Average pooling has no dilation in torch; received {self.dilation}, expected 1.")
        if self.pools and self.mode == "zeros" and self.padding > self.size // 2:
            raise SettingError(
                f"Pooling takes a padding of at most half its window, here {self.size // 2}; received {self.padding}."
            )

    @property
    def pools(self) -> bool:
        return self.kind in ("max", "average")

    def output_size(self, length: int) -> int:
        """The pixels along a side that come out of `length`. Raises SettingError where nothing does."""
        if self.mode == "reflect" and self.padding >= length or self.mode == "circular" and self.padding > length:
            most = length - 1 if self.mode == "reflect" else length
            raise SettingError(
                f"Padding by {self.mode} takes at most {most} pixels of {length}; received padding={self.padding}."
            )
        return output_size(
            length, self.size, self.stride, self.padding, self.dilation, transposed=self.kind == "transposed"
        )

    def formula(self, length: int) -> str:
        """The output size along a side, with its numbers: "⌊(16 + 2·1 − 1·(3 − 1) − 1) / 1⌋ + 1 = 16"."""
        n, k, s, p, d = length, self.size, self.stride, self.padding, self.dilation
        if self.kind == "transposed":
            return f"({n} − 1)·{s} − 2·{p} + {d}·({k} − 1) + 1 = {self.output_size(n)}"
        return f"⌊({n} + 2·{p} − {d}·({k} − 1) − 1) / {s}⌋ + 1 = {self.output_size(n)}"

    def __call__(self, picture: Tensor, weight: Tensor | None = None) -> Tensor:
        """The output (outputs, h, w) for a picture (channels, H, W) and a weight (channels, size, size).

        Pooling takes no weight. Raises SettingError where the padding or the window does not fit.
        """
        for length in picture.shape[1:]:
            self.output_size(length)
        x, padding, p = picture[None], self.padding, self.padding
        if self.mode != "zeros" and p:
            x, padding = F.pad(x, (p, p, p, p), mode=self.mode), 0
        if self.kind == "max":
            return F.max_pool2d(x, self.size, self.stride, padding, self.dilation)[0]
        if self.kind == "average":
            return F.avg_pool2d(x, self.size, self.stride, padding)[0]
        if weight is None or weight.shape != (len(picture), self.size, self.size):
            received = None if weight is None else tuple(weight.shape)
            raise SettingError(f"Expected a weight {(len(picture), self.size, self.size)}, received {received}.")
        groups = len(picture) if self.depthwise else 1
        if self.kind == "transposed":
            return F.conv_transpose2d(x, weight[:, None], None, self.stride, padding, 0, groups, self.dilation)[0]
        filters = weight[:, None] if self.depthwise else weight[None]
        return F.conv2d(x, filters, None, self.stride, padding, self.dilation, groups)[0]

    def places(self, position: int) -> list[int | None]:
        """Along one side: for each entry of the kernel, the input pixel that meets it at an output position.

        A place below 0 or past the end lies in the padding. None: no pixel meets this entry (transposed alone).
        """
        if self.kind != "transposed":
            return [position * self.stride - self.padding + k * self.dilation for k in range(self.size)]
        found = [position + self.padding - k * self.dilation for k in range(self.size)]
        return [at // self.stride if at % self.stride == 0 else None for at in found]

    def source(self, place: int, length: int) -> int | None:
        """The pixel whose value stands at a place, also in the padding; None where it is no pixel's."""
        if 0 <= place < length:
            return place
        if self.mode == "circular":
            return place % length
        if self.mode == "reflect":
            return -place if place < 0 else 2 * (length - 1) - place
        return None

    def window(self, picture: Tensor, row: int, column: int) -> Tensor:
        """What meets each entry of the kernel at an output position: (channels, size, size).

        Padding is 0 (minus infinity in max pooling); NaN where a transposed convolution has no pixel for an entry.
        """
        empty = -torch.inf if self.kind == "max" else 0.0
        missing = torch.nan if self.kind == "transposed" else empty
        found = picture.new_full((len(picture), self.size, self.size), missing)
        for i, y in enumerate(self.places(row)):
            for j, x in enumerate(self.places(column)):
                if y is None or x is None:
                    continue
                source = self.source(y, picture.shape[1]), self.source(x, picture.shape[2])
                if None not in source:
                    found[:, i, j] = picture[:, source[0], source[1]]
        return found
