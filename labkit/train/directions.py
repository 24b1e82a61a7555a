"""Directions in the space of a model's weights, along which a loss landscape is looked at."""

import torch
from torch import Tensor, nn

from labkit.errors import DataError
from labkit.train.weights import flatten, trained

# A path whose second direction has less than this of the first one's length is a straight line, to float32's rounding.
STRAIGHT = 1e-4

_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)


def gaussian(model: nn.Module, generator: torch.Generator) -> Tensor:
    """(P,): drawn from a normal distribution, then scaled as a whole to the length of the weights."""
    weights = flatten(model)
    drawn = _draw(weights, generator)
    return drawn * (weights.norm() / drawn.norm())


def filter_normalised(model: nn.Module, generator: torch.Generator) -> Tensor:
    """(P,): drawn from a normal distribution, then each filter scaled to the norm of the model's own filter.

    A filter is what makes one output: a kernel of a convolution, a row of a linear layer's matrix. Biases and the
    parameters of normalisation layers are left as they are (0 here). Without it, a network whose weights are large
    looks flatter than the same function with small ones. Li et al. 2018, "Visualizing the loss landscape of neural
    nets", arXiv 1712.09913, section 4.
    """
    norms = {id(p) for m in model.modules() if isinstance(m, _NORMS) for p in m.parameters(recurse=False)}
    parts = []
    for parameter in trained(model).values():
        drawn = _draw(parameter.detach(), generator)
        if parameter.ndim < 2 or id(parameter) in norms:
            parts.append(torch.zeros_like(drawn).reshape(-1))
            continue
        rows, own = drawn.flatten(1), parameter.detach().flatten(1)
        parts.append((rows * (own.norm(dim=1) / rows.norm(dim=1))[:, None]).reshape(-1))
    return torch.cat(parts)


def principal(movement: Tensor) -> Tensor:
    """(steps, P) weights minus those at the plane's centre -> (k, P), k of 1 or 2: orthonormal directions that hold

    the largest share of the movement's squared length. k is 1 where the path is a straight line.

    The right singular vectors of the matrix, as in Li et al. 2018, section 7: its mean is not taken away, so that the
    plane through the centre is the best one. The first step has a negative first coordinate, and the largest
    second coordinate is positive, so that the same path always gives the same picture.
    """
    matrix = movement.double()
    if not torch.isfinite(matrix).all():
        raise DataError("Expected finite weights, received a path with NaN or infinity. Leave these steps out.")
    wide = matrix.shape[0] <= matrix.shape[1]
    # The smaller of M Mt and Mt M: a path has hundreds of steps, and weights there are many.
    squares, vectors = torch.linalg.eigh(matrix @ matrix.T if wide else matrix.T @ matrix)
    squares, vectors = squares.flip(0)[:2].clamp(min=0), vectors.flip(1)[:, :2].T
    if squares[0] == 0:
        raise DataError("Expected weights that moved, received a path that stays in one place. Train some steps first.")
    kept = 2 if len(squares) > 1 and squares[1] > STRAIGHT**2 * squares[0] else 1
    found = vectors[:kept] @ matrix if wide else vectors[:kept]
    found = found / found.norm(dim=1, keepdim=True)
    places = found @ matrix.T
    towards = [-places[0, _first_moved(places[0])], *(row[row.abs().argmax()] for row in places[1:])]
    return (found * torch.stack(towards).sign()[:, None]).to(movement.dtype)


def orthonormal(first: Tensor, second: Tensor) -> Tensor:
    """(P,), (P,) -> (2, P): unit length, at a right angle, in the plane of both (Gram-Schmidt)."""
    one = first.double() / first.double().norm()
    rest = second.double() - (second.double() @ one) * one
    if not rest.norm() > STRAIGHT * second.double().norm():
        raise DataError(
            "Expected three weight vectors that span a plane, received three on one line. Use `line` instead."
        )
    return torch.stack([one, rest / rest.norm()]).to(first.dtype)


def _draw(like: Tensor, generator: torch.Generator) -> Tensor:
    """Drawn on the CPU, so that a seed gives the same direction on every device."""
    return torch.randn(like.shape, generator=generator, dtype=torch.float32).to(like)


def _first_moved(places: Tensor) -> int:
    return int((places.abs() > STRAIGHT * places.abs().max()).nonzero()[0])
