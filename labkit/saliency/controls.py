"""Maps that know nothing of the model: what every method has to beat."""

import torch
from torch import Tensor

from labkit.errors import UnsuitableError
from labkit.saliency.method import Method, Request

# Standard deviation of the blob in the middle, as a part of each side.
SPREAD = 1 / 4


def edge(request: Request) -> Tensor:
    places = _places(request.x, "edge")
    grey = request.x.detach().mean(1)
    total = torch.zeros_like(grey)
    for side in range(1, grey.ndim):
        slope = grey
        for other in range(1, grey.ndim):
            before, after = _neighbours(slope, other)
            slope = (after - before) / 2 if other == side else (before + 2 * slope + after) / 4
        total += slope**2
    return shared((total / places).sqrt(), request.x)


def centre(request: Request) -> Tensor:
    _places(request.x, "centre")
    sides = request.x.shape[2:]
    distance = torch.zeros(sides, device=request.x.device, dtype=request.x.dtype)
    for side, length in enumerate(sides):
        steps = torch.arange(length, device=request.x.device, dtype=request.x.dtype) - (length - 1) / 2
        shape = [length if other == side else 1 for other in range(len(sides))]
        distance += (steps / (SPREAD * length)).reshape(shape) ** 2
    return shared((-distance / 2).exp().expand(len(request.x), *sides), request.x)


def random(request: Request) -> Tensor:
    noise = torch.randn(1, *request.x.shape[1:], generator=request.generator())
    return noise.to(request.x).expand_as(request.x).clone()


def shared(maps: Tensor, x: Tensor) -> Tensor:
    """Maps (n, ...) of places as a tensor like `x` (n, channels, ...): every channel has an equal share."""
    return maps[:, None].expand_as(x) / x.shape[1]


def _neighbours(values: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The values one place before and one after; at the border a place is its own neighbour."""
    length = values.shape[side]
    first, last = values.narrow(side, 0, 1), values.narrow(side, length - 1, 1)
    before = torch.cat([first, values.narrow(side, 0, length - 1)], side)
    return before, torch.cat([values.narrow(side, 1, length - 1), last], side)


def _places(x: Tensor, method: str) -> int:
    """How many sides the inputs have beside their channels."""
    if x.ndim < 3:
        raise UnsuitableError(
            f"Expected inputs with places for {method}, (n, channels, ...), received shape {tuple(x.shape)}, which has "
            "none. Use the control random."
        )
    return x.ndim - 2


CONTROLS = {
    "edge": Method(
        compute=edge,
        formula="√(½ (∂ₕx² + ∂ᵥx²)) of the grey picture, by Sobel's filters",
        source="Adebayo et al. 2018, Sanity Checks for Saliency Maps, section 5, where it is an edge detector",
        assumes="Nothing of the model: a method whose maps look like this one may know as little.",
        family="control",
        signed=False,
    ),
    "centre": Method(
        compute=centre,
        formula="exp(−d²/2), d: distance from the middle in quarters of a side",
        source="A control: photographers put what matters in the middle",
        assumes="Nothing of the model or the input: what stands in the middle counts.",
        family="control",
        signed=False,
    ),
    "random": Method(
        compute=random,
        formula="ε, drawn from N(0, 1) for each value",
        source="A control: chance",
        assumes="Nothing: all it shows is what chance scores.",
        family="control",
        random=True,
    ),
}
