"""Feature visualisation: pictures that excite a unit, found by gradient ascent (Olah et al. 2017, Distill)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.errors import SettingError
from labkit.features.objectives import Objective, objectives
from labkit.features.pictures import (
    Colours,
    check_parameterization,
    coloured,
    colours_of,
    decoded,
    plain_colours,
    start,
    total_variation,
    transformed,
)
from labkit.features.running import Borrowed, borrowed

LEARNING_RATE = 0.05  # Adam's, as in Lucid


@dataclass(frozen=True)
class Forming:
    """Pictures on their way.

    step: steps taken. images: (units, C, H, W) with values 0..1. activations: (units,) what each excites of its unit in
    one forward pass of the picture as it is.
    """

    step: int
    images: Tensor
    activations: Tensor


def optimize(
    model: nn.Module,
    layer: str,
    units: Sequence[int | Objective],
    size: int = 64,
    steps: int = 128,
    seed: int = 0,
    **options: Any,
) -> Tensor:
    """The pictures that `optimizing` ends with, (units, C, size, size) with values 0..1. Its arguments and errors."""
    images = torch.empty(0)
    for forming in optimizing(model, layer, units, size, steps, seed, every=steps, **options):
        images = forming.images
    return images


def optimizing(
    model: nn.Module,
    layer: str,
    units: Sequence[int | Objective],
    size: int = 64,
    steps: int = 128,
    seed: int = 0,
    *,
    channels: int | None = None,
    data: Any = None,
    parameterization: str = "fft",
    robustness: float = 1.0,
    diversity: float = 0.0,
    variation: float = 0.0,
    contrast: float | None = None,
    every: int = 8,
) -> Iterator[Forming]:
    """Pictures that excite units of a layer, as they form: the start, every `every` steps, and the end.

    layer: a module's name, "relu:2" for its second call, "model" for the model's output.
    units: channels as whole numbers (mean over all places; a class is a channel of the output layer), or what
        `channel`, `neuron`, `pair` and `direction` make. A unit named twice gets two pictures from two starts.
    size: side in pixels. channels: 1 or 3, by default what the model's first convolution takes.
    seed: every picture has random numbers of its own by (seed, unit), so each is what it would be alone.
    data: pictures or a data set, whose colours the pictures are to have: channels' mean and covariance; by default mean
        1/2, standard deviation 1/4 and no correlation.
    parameterization: "fft" or "pixels". robustness: how far each step moves the picture before the model sees it, 0 for
        not at all, 1 for 10 degrees, 10 % and 3/32 of the side.
    diversity: weight of the cosine between the layer's Gram matrices for pictures of the same unit (Olah et al. 2017,
        "Diversity"), in the unit's activation. variation: weight of the pictures' total variation, likewise.
    contrast: root-mean-square deviation from the mean colour that pictures are held to (Erhan et al. 2009, eq. 1: the
        most exciting one of a given norm); by default it is free.

    The model runs in evaluation mode, only up to the layer, and is as it was whenever a picture is given out.
    Errors: SettingError for layers, units and settings that are not there; DataError for a model that does not take
    such pictures and for data that are none.
    """
    depth = _first_channels(model) if channels is None else channels
    check_parameterization(parameterization)
    _check(size, steps, seed, depth, every, contrast)
    with borrowed(model, layer) as running:  # what does not fit is said now, not when the first picture is asked for
        colours = plain_colours(depth) if data is None else colours_of(data, depth)
        recipe = _Recipe(size, depth, steps, parameterization, robustness, diversity, variation, contrast, colours)
        ascent = Ascent(recipe, objectives(units), seed, next(model.parameters(), torch.empty(0)))
        start = ascent.forming(running)
    return _form(model, layer, ascent, start, every)


def _form(model: nn.Module, layer: str, ascent: "Ascent", start: Forming, every: int) -> Iterator[Forming]:
    """The model is borrowed anew for each stretch of steps, and given back before a picture is given out."""
    yield start
    while ascent.step < ascent.recipe.steps:
        with borrowed(model, layer) as running:
            for _ in range(min(every, ascent.recipe.steps - ascent.step)):
                ascent.climb(running)
            forming = ascent.forming(running)
        yield forming


@dataclass(frozen=True)
class _Recipe:
    """What `optimizing` was told."""

    size: int
    channels: int
    steps: int
    parameterization: str
    robustness: float
    diversity: float
    variation: float
    contrast: float | None
    colours: Colours


class Ascent:
    """Gradient ascent on one picture an objective, all in one batch; none has an effect on another.

    Adam moves every number by its own gradient alone, and each picture draws from its own stream.
    """

    def __init__(self, recipe: _Recipe, sought: Sequence[Objective], seed: int, like: Tensor) -> None:
        self.recipe, self.sought, self.step = recipe, sought, 0
        self._dtype = like.dtype
        streams = [objective.stream for objective in sought]
        times = [streams[:i].count(stream) for i, stream in enumerate(streams)]
        generators = [np.random.default_rng([seed, *key]) for key in zip(streams, times, strict=True)]
        starts = [start(recipe.parameterization, recipe.channels, recipe.size, g) for g in generators]
        moves = [g.uniform(-1, 1, (recipe.steps, 6)) for g in generators]
        self._moves = torch.tensor(np.stack(moves), dtype=torch.float32, device=like.device)
        self._parameters = torch.stack(starts).to(like.device).requires_grad_()
        self._adam = torch.optim.Adam([self._parameters], lr=LEARNING_RATE)
        self._twins = [[j for j, other in enumerate(streams) if other == stream] for stream in dict.fromkeys(streams)]
        self._scale: Tensor | None = None
        self._weights: Tensor | None = None
        self._centred = torch.tensor([objective.centre for objective in sought], device=like.device)

    def images(self) -> Tensor:
        """(n, C, size, size) with values 0..1."""
        recipe = self.recipe
        return coloured(decoded(self._parameters, recipe.size), recipe.colours, recipe.contrast)

    def forming(self, running: Borrowed) -> Forming:
        with torch.no_grad():
            images = self.images()
            return Forming(self.step, images.clone(), self.scores(running.maps(images.to(self._dtype))))

    def climb(self, running: Borrowed) -> None:
        """One step."""
        recipe = self.recipe
        images = self.images()
        seen = images
        if recipe.robustness:
            seen = transformed(images, self._moves[:, self.step], recipe.robustness, recipe.colours)
        # The model is differentiated by itself, from a leaf: a picture that gets no gradient at all from it is one of a
        # silent unit, whatever else is asked of the picture.
        leaf = seen.detach().to(self._dtype).requires_grad_()
        gradient = self._gradient(running, leaf)
        silent = gradient.flatten(1).abs().amax(1) == 0
        if silent.any():
            gradient = torch.where(silent[:, None, None, None], self._gradient(running, leaf, True), gradient)
        cost = -(seen * gradient.to(seen.dtype)).sum()
        if recipe.variation:
            cost = cost + recipe.variation * total_variation(images).sum()
        (slope,) = torch.autograd.grad(cost, self._parameters)
        if self._scale is None:
            # Adam does not see gradients far below 1e-8, as an untrained deep net may have: the first one counts as 1.
            largest = slope.abs().amax(tuple(range(1, slope.ndim)), keepdim=True)
            self._scale = torch.where(largest > 0, largest, 1)
        self._parameters.grad = slope / self._scale
        self._adam.step()
        self.step += 1

    def _gradient(self, running: Borrowed, leaf: Tensor, redirected: bool = False) -> Tensor:
        """Of the scores with respect to what the model sees, and of the likeness of pictures of the same unit."""
        maps = running.maps(leaf, redirected)
        gain = self.scores(maps).sum()
        if self.recipe.diversity:
            gain = gain - self.recipe.diversity * torch.stack([likeness(maps[twins]) for twins in self._twins]).sum()
        if not gain.requires_grad:
            raise SettingError(
                f"Expected a layer that depends on the pictures by a gradient, received {running.layer!r}."
            )
        (gradient,) = torch.autograd.grad(gain, leaf, allow_unused=True)
        return torch.zeros_like(leaf) if gradient is None else gradient

    def scores(self, maps: Tensor) -> Tensor:
        """(n,) how much each picture excites of what it is to excite, from the layer's maps (n, channels, h, w)."""
        if self._weights is None:
            self._weights = channel_weights(self.sought, maps)
        height, width = maps.shape[2:]
        # Means of long sums in half precision would lose their digits.
        pooled = torch.where(self._centred[:, None], maps[:, :, height // 2, width // 2], maps.mean((2, 3))).float()
        return (self._weights * pooled).sum(1)


def channel_weights(sought: Sequence[Objective], maps: Tensor) -> Tensor:
    """(n, channels) how much each channel counts. Errors: SettingError for a channel that the layer does not have."""
    count = maps.shape[1]
    weights = torch.zeros(len(sought), count, device=maps.device)
    for row, objective in zip(weights, sought, strict=True):
        if max(objective.channels) >= count:
            raise SettingError(
                f"Expected channels of 0 to {count - 1} for this layer, received {max(objective.channels)}."
            )
        if objective.whole and len(objective.channels) != count:
            raise SettingError(
                f"Expected a direction of {count} numbers, one for each channel, received {len(objective.channels)}."
            )
        row.index_add_(
            0, torch.tensor(objective.channels, device=maps.device), torch.tensor(objective.weights, device=maps.device)
        )
    return weights


def likeness(maps: Tensor) -> Tensor:
    """How alike pictures are to a layer: the cosine of their Gram matrices, summed over the pictures, mean over others.

    maps: (k, channels, h, w) of the pictures of one unit; 0 for one picture. Olah et al. 2017, "Diversity".
    """
    if len(maps) == 1:
        return maps.new_zeros(())
    flat = maps.flatten(2)
    gram = nn.functional.normalize((flat @ flat.transpose(1, 2)).flatten(1), dim=1)
    cosines = gram @ gram.T
    return (cosines.sum() - cosines.diagonal().sum()) / (len(maps) - 1)


def _first_channels(model: nn.Module) -> int:
    """What the model's first convolution takes. Errors: SettingError where that is no picture."""
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.in_channels not in (1, 3):
        found = "no convolution" if first is None else f"a first convolution of {first.in_channels} channels"
        raise SettingError(
            f"Expected a model of pictures, received one with {found}. Pass channels=1 or channels=3 if it takes "
            "pictures (n, channels, height, width); put nn.Flatten() before a model that takes them as flat vectors."
        )
    return first.in_channels


def _check(size: int, steps: int, seed: int, channels: int, every: int, contrast: float | None) -> None:
    for name, value, least in (("size", size, 2), ("steps", steps, 1), ("seed", seed, 0), ("every", every, 1)):
        if not isinstance(value, int) or value < least:
            raise SettingError(f"Expected {name} as a whole number of at least {least}, received {value!r}.")
    if channels not in (1, 3):
        raise SettingError(f"Expected 1 or 3 channels, received {channels!r}.")
    if contrast is not None and not 0 < contrast <= 0.5:
        raise SettingError(f"Expected a contrast above 0 and up to 0.5, received {contrast!r}.")
