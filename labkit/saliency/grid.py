"""The grid pointing game: of a mosaic of four pictures, does the evidence for one class lie in its own quarter?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.errors import DataError
from labkit.saliency.attribution import attributed
from labkit.saliency.borrow import borrowed
from labkit.saliency.maps import as_map


@dataclass(frozen=True)
class Mosaics:
    """pictures (n, channels, H, W): mosaic i has picture i in quarter quarters[i], and three of other classes.

    quarters (n,): 0 top left, 1 top right, 2 bottom left, 3 bottom right. halved: whether the pictures were brought to
    half their size (means of 2 x 2 pixels), because the model takes no larger input than them.
    """

    pictures: Tensor
    quarters: Tensor
    halved: bool


def mosaics(model: nn.Module, x: Tensor, targets: Tensor, seed: int = 0) -> Mosaics:
    """One mosaic for each picture of x (n, channels, H, W); its neighbours and quarter are drawn from the seed.

    Twice as large as the pictures where the model takes that, as Böhle et al. have it; else as large as they are.
    Errors: DataError for what are no pictures with even sides, or fewer than 4 classes.
    """
    if x.ndim != 4 or x.shape[2] % 2 or x.shape[3] % 2:
        raise DataError(
            f"Expected pictures (n, channels, height, width) with even sides, received shape {tuple(x.shape)}."
        )
    if len(targets.unique()) < 4:
        raise DataError(f"Expected pictures of at least 4 classes, received {len(targets.unique())}.")
    generator = torch.Generator().manual_seed(seed)
    x, classes = x.detach(), targets.tolist()
    tiles = x if _takes(model, x[:1].repeat(1, 1, 2, 2)) else F.avg_pool2d(x, 2)
    quarters = torch.randint(4, (len(x),), generator=generator)
    pictures = []
    for i, quarter in enumerate(quarters.tolist()):
        chosen = [i]
        for other in torch.randperm(len(x), generator=generator).tolist():
            if classes[other] not in [classes[k] for k in chosen]:
                chosen.append(other)
            if len(chosen) == 4:
                break
        chosen[0], chosen[quarter] = chosen[quarter], chosen[0]
        a, b, c, d = (tiles[k] for k in chosen)
        pictures.append(torch.cat([torch.cat([a, b], dim=2), torch.cat([c, d], dim=2)], dim=1))
    return Mosaics(torch.stack(pictures), quarters, tiles is not x)


def grid_game(
    model: nn.Module, x: Tensor, target: int | Tensor, method: str = "grad_cam", seed: int = 0, **more: Any
) -> Tensor:
    """(n,) float64, 0 to 1, higher is better, 0.25 by chance: the share of the positive evidence in the own quarter.

    Böhle et al. 2021 (localisation metric), on `mosaics`. target: the pictures' classes (n,). more: as `attributed`.
    NaN where no evidence is positive. Errors: those of `mosaics` and `attributed`.
    """
    targets = torch.as_tensor(target, device=x.device).expand(len(x))
    made = mosaics(model, x, targets, seed)
    values = attributed(model, made.pictures, targets, method, seed=seed, **more).values
    return quarter_share(values, made.quarters)


def quarter_share(attribution: Tensor, quarters: Tensor) -> Tensor:
    """(n,): the share of the positive part of the signed map that lies in each example's quarter."""
    positive = as_map(attribution, signed=True).clamp(min=0).cpu().double()
    height, width = (side // 2 for side in positive.shape[1:])
    parts = positive.reshape(len(positive), 2, height, 2, width).sum((2, 4)).flatten(1)
    return parts.gather(1, quarters[:, None])[:, 0] / parts.sum(1)


def _takes(model: nn.Module, x: Tensor) -> bool:
    run: Callable[[Tensor], Any] = model
    with borrowed(model), torch.no_grad():
        try:
            run(x.clone())
        except (RuntimeError, ValueError):
            return False
    return True
