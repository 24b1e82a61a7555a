"""Pictures as what is optimised: their Fourier coefficients or pixels, in colours without correlation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.errors import DataError, SettingError

PARAMETERIZATIONS = ("fft", "pixels")
# Standard deviation of the coefficients, or pixels, that a picture starts from (Lucid, `fft_image` and `pixel_image`).
START = 0.01
# Colours whose mean is at the end of the range could not move: the logit of 0 is infinite.
LEAST_MEAN = 0.05


@dataclass(frozen=True)
class Colours:
    """How channels lie around their mean: mean (C,), root (C, C), the symmetric square root of their covariance."""

    mean: Tensor
    root: Tensor


def plain_colours(channels: int) -> Colours:
    """Where no data tell: mean 1/2, standard deviation 1/4, no correlation."""
    return Colours(torch.full((channels,), 0.5), 0.25 * torch.eye(channels))


def colours_of(data: Any, channels: int) -> Colours:
    """The colours of pictures (n, C, H, W) with values 0..1, or of a data set's `inputs`.

    Errors: DataError for other shapes or values.
    """
    given = getattr(data, "inputs", data)
    pictures = given if isinstance(given, Tensor) else torch.as_tensor(np.asarray(given))
    if pictures.ndim != 4 or pictures.shape[1] != channels or not len(pictures):
        raise DataError(
            f"Expected pictures of shape (n, {channels}, height, width) as data, received {tuple(pictures.shape)}."
        )
    pixels = pictures.detach().cpu().double().transpose(0, 1).flatten(1)
    if pixels.min() < 0 or pixels.max() > 1:
        raise DataError(
            f"Expected pictures with values of 0 to 1, received {float(pixels.min()):.3g} to {float(pixels.max()):.3g}."
        )
    covariance = torch.cov(pixels).reshape(channels, channels)
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
    return Colours(pixels.mean(1).float(), root.float())


def amplitudes(size: int) -> Tensor:
    """(size, size // 2 + 1): each coefficient's scale, 1 / max(frequency, 1 / size), frequency in cycles a pixel.

    Natural pictures have such a spectrum (Olah et al. 2017, "Preconditioning and Parameterization";
    Lucid, `fft_image`).
    """
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    return torch.tensor(1 / np.maximum(frequency, 1 / size), dtype=torch.float32)


def start(parameterization: str, channels: int, size: int, generator: np.random.Generator) -> Tensor:
    """What a picture is made of before the first step: (C, size, size // 2 + 1, 2) or (C, size, size)."""
    shape = (channels, size, size // 2 + 1, 2) if parameterization == "fft" else (channels, size, size)
    return torch.from_numpy(generator.standard_normal(shape, dtype=np.float32) * START)


def decoded(parameters: Tensor, size: int) -> Tensor:
    """(n, C, size, size) uncorrelated values from Fourier coefficients (n, C, size, size // 2 + 1, 2) or pixels."""
    if parameters.ndim == 4:
        return parameters
    scaled = parameters * (amplitudes(size).to(parameters.device)[..., None] / FOURIER_GAIN)
    return torch.fft.irfft2(torch.view_as_complex(scaled), s=(size, size), norm="ortho")


# A picture is to form in 128 steps, not in Lucid's 512: its coefficients move it twice as far (there this is 4).
FOURIER_GAIN = 2.0


def coloured(values: Tensor, colours: Colours, contrast: float | None = None) -> Tensor:
    """Pictures with values 0..1 from uncorrelated ones: to first order with the mean and covariance of `colours`.

    contrast: the root-mean-square deviation from the mean that each picture is held to; None leaves it free.
    """
    mean = colours.mean.clamp(LEAST_MEAN, 1 - LEAST_MEAN).to(values.device)[:, None, None]
    deviation = torch.einsum("cd,ndhw->nchw", colours.root.to(values.device), values)
    if contrast is None:
        return torch.sigmoid(torch.logit(mean) + deviation / (mean * (1 - mean)))
    length = deviation.square().mean((1, 2, 3), keepdim=True).sqrt()
    return (mean + contrast * deviation / length).clamp(0, 1)


def transformed(pictures: Tensor, draws: Tensor, robustness: float, colours: Colours) -> Tensor:
    """Each picture turned, scaled and shifted a little, all by one bilinear sampling; around it is the mean colour.

    draws: (n, 6) of -1..1: turn by 10 degrees, scale by 10 %, shift by 1/16 of the side (two numbers) before and by
        1/32 after, all times `robustness`. This is pad, jitter, scale, rotate, jitter in one (Olah et al. 2017,
        "Transformation Robustness"; Lucid's `standard_transforms`, whose jitter of 8 and 4 is this at a side of 64).
    """
    turn, zoom, *_ = (draws * robustness).unbind(1)
    first, second = draws[:, 2:4] * (robustness / 8), draws[:, 4:6] * (robustness / 16)
    angle, scale = turn * (np.pi / 18), 1 / (1 + 0.1 * zoom)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    matrix = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
    shift = matrix @ second[:, :, None] + first[:, :, None]
    grid = F.affine_grid(torch.cat([matrix, shift], 2), list(pictures.shape), align_corners=False)
    mean = colours.mean.clamp(LEAST_MEAN, 1 - LEAST_MEAN).to(pictures.device)[:, None, None]
    return F.grid_sample(pictures - mean, grid, align_corners=False) + mean


def total_variation(pictures: Tensor) -> Tensor:
    """(n,) mean absolute difference of neighbouring pixels, down and across (Mahendran and Vedaldi 2015, eq. 5)."""
    down, across = pictures.diff(dim=2).abs(), pictures.diff(dim=3).abs()
    return down.mean((1, 2, 3)) + across.mean((1, 2, 3))


def check_parameterization(name: str) -> None:
    if name not in PARAMETERIZATIONS:
        raise SettingError(f"Expected a parameterization of {' or '.join(PARAMETERIZATIONS)}, received {name!r}.")
