"""Preferred pictures against a plain loop of Lucid's recipe (Olah et al. 2017), written out: one channel at a time."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit import device, features
from labkit.bench.training import ratios, seconds
from labkit.models import TinyVGG

CHANNELS, SIZE, STEPS, LAYER = 16, 64, 128, "conv2_2"


def over_plain(rounds: int = 3) -> list[float]:
    """`features.optimize` over the plain loop: 16 channels of the second block, 64 x 64, 128 steps, one thread."""
    model = TinyVGG((3, SIZE, SIZE)).eval()
    with device.threads(1):
        return ratios(lambda: ours(model), lambda: plain(model), rounds)


def by_the_clock(rounds: int = 3) -> list[float]:
    model = TinyVGG((3, SIZE, SIZE)).eval()
    with device.threads(1):
        return [seconds(lambda: ours(model)) for _ in range(rounds)]


def excited_channels() -> list[float]:
    """Channels, of 16, that our pictures excite at least as much: the mean over places in one clean forward pass."""
    model = TinyVGG((3, SIZE, SIZE)).eval()
    with device.threads(1):
        return [float((excited(model, ours(model)) >= excited(model, plain(model))).sum())]


def ours(model: nn.Module) -> Tensor:
    return features.optimize(model, LAYER, range(CHANNELS), size=SIZE, steps=STEPS)


def excited(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return up_to_layer(model)(images).mean((2, 3)).diagonal()


def up_to_layer(model: nn.Module) -> nn.Sequential:
    names = [name for name, _ in model.named_children()]
    return nn.Sequential(*list(model.children())[: names.index(LAYER) + 1])


def plain(model: nn.Module) -> Tensor:
    """The plain loop for all channels; like ours it runs the layers up to the one sought, with frozen weights."""
    layers = up_to_layer(model).requires_grad_(False)
    return torch.cat([plain_channel(layers, channel) for channel in range(CHANNELS)])


def plain_channel(layers: nn.Module, channel: int) -> Tensor:
    """One channel by Lucid's defaults, at SIZE instead of 128: coefficients, sigmoid, transformations, Adam at 0.05."""
    rng, generator = np.random.default_rng(channel), torch.Generator().manual_seed(channel)
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE))
    scale = torch.tensor(SIZE / np.maximum(frequency, 1 / SIZE), dtype=torch.float32)
    spectrum = (0.01 * torch.randn(1, 3, SIZE, SIZE // 2 + 1, 2, generator=generator)).requires_grad_()
    optimizer = torch.optim.Adam([spectrum], lr=0.05)

    def image() -> Tensor:
        values = torch.fft.irfft2(torch.view_as_complex(spectrum) * scale, s=(SIZE, SIZE)) / 4
        return torch.sigmoid(values)

    for _ in range(STEPS):
        x = jitter(F.pad(image(), (12,) * 4, value=0.5), 8, rng)
        zoom = 1 + (int(rng.integers(11)) - 5) / 50
        x = F.interpolate(x, scale_factor=zoom, mode="bilinear", recompute_scale_factor=True)
        x = jitter(rotate(x, float(rng.choice([*range(-10, 11), *[0] * 5]))), 4, rng)
        loss = -layers(x)[0, channel].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return image().detach()


def jitter(x: Tensor, d: int, rng: np.random.Generator) -> Tensor:
    down, across = rng.integers(0, d + 1, 2)
    return x[:, :, down : down + x.shape[2] - d, across : across + x.shape[3] - d]


def rotate(x: Tensor, degrees: float) -> Tensor:
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = torch.tensor([[[cosine, -sine, 0], [sine, cosine, 0]]], dtype=torch.float32)
    return F.grid_sample(x, F.affine_grid(matrix, list(x.shape), align_corners=False), align_corners=False)
