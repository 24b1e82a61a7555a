"""Inputs divided into parts that are kept or taken away as a whole."""

import torch
from skimage.segmentation import slic
from torch import Tensor

from labkit.errors import SettingError, UnsuitableError

# How much nearness counts beside likeness, for colours from 0 to 1: parts follow outlines and stay in one piece.
COMPACTNESS = 0.1


def segments(x: Tensor, count: int = 30) -> Tensor:
    """Labels 0, 1, ... of the parts of each example: (n, height, width) for pictures, (n, length) for series.

    x: pictures (n, channels, height, width): about `count` patches of like colour (SLIC; Achanta et al. 2012), or a
    grid where those come out fewer than half or more than twice as many (noise, very small pictures). Series
    (n, channels, length): `count` stretches of equal length, or every step a part where there are fewer. Rows (n,
    values): every value is a part, whatever `count` is. Every label from 0 to the example's largest is there.
    Errors: SettingError for a count below 1, UnsuitableError for other numbers of dimensions.
    """
    if not isinstance(count, int) or count < 1:
        raise SettingError(f"Expected a count of 1 or more, received {count!r}.")
    if x.ndim == 2:
        return torch.arange(x.shape[1], device=x.device).expand_as(x)
    if x.ndim == 3:
        length = x.shape[2]
        return (torch.arange(length, device=x.device) * min(count, length) // length).expand(len(x), -1)
    if x.ndim == 4:
        return torch.stack([_patches(picture, count) for picture in x.detach()]).to(x.device)
    raise UnsuitableError(
        f"Expected pictures (n, channels, height, width), series (n, channels, length) or rows (n, values), received "
        f"shape {tuple(x.shape)}, of which no parts are made. Take rise or occlusion."
    )


def _patches(picture: Tensor, count: int) -> Tensor:
    low, high = picture.amin(), picture.amax()
    colours = ((picture - low) / (high - low).clamp(min=torch.finfo(picture.dtype).tiny)).cpu()
    labels = slic(
        colours.movedim(0, -1).double().numpy(),
        n_segments=count,
        compactness=COMPACTNESS,
        convert2lab=False,
        start_label=0,
        channel_axis=-1,
    )
    found = torch.as_tensor(labels).unique(return_inverse=True)[1]
    return found if count / 2 <= int(found.max()) + 1 <= 2 * count else _grid(picture.shape[1], picture.shape[2], count)


def _grid(height: int, width: int, count: int) -> Tensor:
    """Rectangles, row by row, whose sides differ by one at most and are as equal as they can be."""
    rows = min(height, max(1, round((count * height / width) ** 0.5)))
    columns = min(width, max(1, round(count / rows)))
    row, column = torch.arange(height) * rows // height, torch.arange(width) * columns // width
    return row[:, None] * columns + column
