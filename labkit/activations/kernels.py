"""Kernels that people wrote before networks learned them, each for any size."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from labkit.errors import SettingError


def _row(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _binomial(size: int) -> Tensor:
    """1, 2, 1; 1, 4, 6, 4, 1; ...: a Gaussian in whole numbers."""
    return _row([math.comb(size - 1, k) for k in range(size)])


def _difference(size: int) -> Tensor:
    """−1, 1; −1, 0, 1; −1, −2, 0, 2, 1; ...: the slope of what a binomial has smoothed."""
    row = [float(value) for value in _binomial(max(size - 2, 1))]
    if size == 2:
        return _row([-1, 1])
    padded = [0.0, 0.0, *row, 0.0, 0.0]
    return _row([padded[k] - padded[k + 2] for k in range(size)])


def _identity(size: int) -> Tensor:
    kernel = torch.zeros(size, size)
    kernel[size // 2, size // 2] = 1
    return kernel


def _box(size: int) -> Tensor:
    return torch.full((size, size), 1 / size**2)


def _gaussian(size: int) -> Tensor:
    row = _binomial(size) / 2 ** (size - 1)
    return torch.outer(row, row)


def _sharpen(size: int) -> Tensor:
    return 2 * _identity(size) - _gaussian(size)  # the picture, plus what a blur takes away


def _laplace(size: int) -> Tensor:
    return size**2 * _identity(size) - 1


def _sobel_x(size: int) -> Tensor:
    return torch.outer(_binomial(size), _difference(size))


def _sobel_y(size: int) -> Tensor:
    return _sobel_x(size).T.contiguous()


def _emboss(size: int) -> Tensor:
    places = torch.arange(size) - (size - 1) / 2
    return places[:, None] + places + _identity(size)


_PLAIN: dict[str, Callable[[int], Tensor]] = {
    "identity": _identity,
    "box": _box,
    "gaussian": _gaussian,
    "sharpen": _sharpen,
    "laplace": _laplace,
    "sobel_x": _sobel_x,
    "sobel_y": _sobel_y,
    "emboss": _emboss,
}
KERNELS = (*_PLAIN, "gabor")
SINGLE = ("identity", "box", "gaussian")  # what makes sense with one entry


def kernel(name: str, size: int = 3, angle: float = 0.0, wavelength: float = 4.0) -> Tensor:
    """The kernel of that name, (size, size) float32, as torch.nn.functional.conv2d takes it (it is not flipped).

    name: one of KERNELS. "sobel_x" answers with a positive number where it gets brighter to the right, "sobel_y" where
    it gets brighter downwards. identity, box, gaussian, sharpen and emboss have the sum 1, all others the sum 0.
    angle in degrees, anticlockwise, and wavelength in pixels, above 1: of "gabor" alone, see `gabor`.

    Sources: I. Sobel, G. Feldman 1968 (the 3x3 operator; larger sizes by smoothing with binomials, as OpenCV does).
    Raises SettingError for an unknown name, and for a size that the kernel cannot have.
    """
    if name not in KERNELS:
        raise SettingError(f"Expected a kernel of {', '.join(KERNELS)}, received {name!r}.")
    if not isinstance(size, int) or size < 1:
        raise SettingError(f"Expected a kernel size of 1 or more, received {size!r}.")
    if size == 1 and name not in SINGLE:
        raise SettingError(f"A kernel with one entry has no neighbours to compare: {name} needs a size of 2 or more.")
    return gabor(size, angle, wavelength) if name == "gabor" else _PLAIN[name](size)


def gabor(size: int, angle: float = 0.0, wavelength: float = 4.0) -> Tensor:
    """A Gabor filter (size, size): a cosine wave under a Gaussian, with its mean taken off, so that flat areas give 0.

    angle: of the direction in which the wave runs, in degrees from the x axis, anticlockwise. wavelength: in pixels.
    The Gaussian's standard deviation is 0.56 wavelengths, a bandwidth of one octave (D. Gabor 1946; J. Daugman, Journal
    of the Optical Society of America A 2, 1985, for two dimensions). Raises SettingError for a wavelength of 1 or less.
    """
    if not (math.isfinite(wavelength) and wavelength > 1 and math.isfinite(angle)):
        raise SettingError(
            f"Expected a wavelength above 1 pixel and a finite angle, received {wavelength!r} and {angle!r}."
        )
    places = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    turned = math.radians(angle)
    along = places * math.cos(turned) - places[:, None] * math.sin(turned)  # rows count downwards
    across = places * math.sin(turned) + places[:, None] * math.cos(turned)
    envelope = torch.exp(-(along**2 + across**2) / (2 * (0.56 * wavelength) ** 2))
    wave = envelope * torch.cos(2 * math.pi * along / wavelength)
    return (wave - wave.mean()).float()
