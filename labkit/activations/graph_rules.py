"""What the nodes of a graph of numbers compute, and their derivatives in closed form.

A rule takes its parents' values (parents, n) for n examples and gives its own value (n,) with its derivative by each
parent (parents, n). Everything is float64.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from labkit.activations.elementwise import ELEMENTWISE

Rule = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def product(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return parents[0] * parents[1], parents[::-1].copy()


def total(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return parents.sum(axis=0), np.ones_like(parents)


def mean(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return parents.mean(axis=0), np.full_like(parents, 1 / len(parents))


def batch_mean(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = parents.shape[1]
    return np.full(n, parents[0].mean()), np.full_like(parents, 1 / n)


def difference(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ones = np.ones(parents.shape[1])
    return parents[0] - parents[1], np.stack([ones, -ones])


def square(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return parents[0] ** 2, 2 * parents


def log(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.log(parents[0]), 1 / parents


def shifted_exp(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """exp(z - m) of the first parent, m the largest of all. m counts as a constant: what it adds to a softmax's

    logarithm it takes away again, so its derivatives cancel.
    """
    value = np.exp(parents[0] - parents.max(axis=0))
    local = np.zeros_like(parents)
    local[0] = value
    return value, local


def pick(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The output of the true class, less the largest; the first parent is the class's number."""
    chosen = parents[0].astype(int)
    local = np.zeros_like(parents)
    local[chosen + 1, np.arange(len(chosen))] = 1
    return (parents[1:] * local[1:]).sum(axis=0) - parents[1:].max(axis=0), local


# How activations are written; others by their class.
_NAMES = {nn.Tanh: "tanh", nn.Sigmoid: "σ", nn.Softplus: "softplus"}


def is_activation(module: nn.Module) -> bool:
    return type(module) in ELEMENTWISE and not isinstance(module, nn.Identity)


def activation(module: nn.Module) -> tuple[str, Rule]:
    """(name, rule) of an elementwise activation."""
    curve = ELEMENTWISE[type(module)]

    def rule(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = torch.from_numpy(parents[0])
        return curve.value(module, z).numpy(), curve.derivative(module, z).numpy()[None]

    return _NAMES.get(type(module), type(module).__name__), rule
