"""A small network's loss as a graph of single numbers: every multiplication, sum and activation is a node.

Values and gradients are computed here node by node, by the chain rule and without autograd, in float64, for all
examples of a batch at once (Rumelhart, Hinton and Williams 1986; reverse accumulation, Griewank and Walther 2008,
chapter 3).
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.activations.graph_build import Builder, Node
from labkit.errors import SettingError

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which each comes after its parents, with their numbers for a batch of n examples.

    values (nodes, n); local: for each node (parents, n), its derivative by each parent; gradients (nodes, n): the
    derivative of the loss L by the node in each example. L is the mean over the batch. NaN: there is no derivative (by
    the number of a class).
    """

    nodes: tuple[Node, ...]
    values: np.ndarray
    local: tuple[np.ndarray, ...]
    gradients: np.ndarray

    @property
    def examples(self) -> int:
        return int(self.values.shape[1])

    def find(self, key: str) -> int:
        """The number of the node with this id or label."""
        for name in ("id", "label"):
            for k, node in enumerate(self.nodes):
                if getattr(node, name) == key:
                    return k
        known = ", ".join(node.id for node in self.nodes if node.is_leaf or node.kind in ("sum", "activation"))
        raise SettingError(f"Expected the id or label of a node, received {key!r}. There are, among others: {known}.")

    def gradient(self, k: int, example: int = 0) -> float:
        """∂L/∂(node k): of a parameter the sum over the batch's examples, of another node that of one example."""
        return float(self.gradients[k].sum() if self.nodes[k].parameter else self.gradients[k, example])

    @cached_property
    def uses(self) -> list[list[int]]:
        """For each node the nodes that are computed from it."""
        uses: list[list[int]] = [[] for _ in self.nodes]
        for j, node in enumerate(self.nodes):
            for parent in node.links:
                uses[parent].append(j)
        return uses


def scalar_graph(model: nn.Module, x: Tensor, y: Tensor, loss: str = "mse", names: list[str] | None = None) -> Graph:
    """The loss of `model` on a batch as a graph of numbers.

    model: an nn.Sequential of Linear layers and elementwise activations with at most 32 weights.
    x (n, inputs); y (n, outputs) for "mse", (n,) class numbers for "cross_entropy". names: of the inputs.
    Raises SettingError for a model that cannot be opened like this, DataError for data that do not fit it.
    """
    nodes = Builder(model, loss, names).build(x, y)
    values, local = _forward(nodes, _leaves(nodes, model, x, y))
    return Graph(tuple(nodes), values, tuple(local), _backward(nodes, values, local))


def finite_difference(
    graph: Graph, k: int, model: nn.Module, x: Tensor, y: Tensor, loss: Loss, example: int = 0
) -> float:
    """∂L/∂(node k) by a central difference in float64, without any derivative.

    An input, a parameter or a target is moved in a float64 copy of the model's own computation; another node in the
    graph, where everything that depends on it is computed again. NaN where the function has a kink (a ReLU at exactly
    zero): there both sides differ.
    """
    node = graph.nodes[k]
    if node.kind == "class":
        return float("nan")
    step = 1e-6 * max(1.0, abs(float(graph.values[k, example])))
    if node.is_leaf:
        lower, middle, upper = _moved_leaf(node, model, x, y, loss, example, step)
    else:
        lower, middle, upper = (_moved(graph, k, example, by) for by in (-step, 0.0, step))
    central = (upper - lower) / (2 * step)
    if abs((upper - middle) - (middle - lower)) > 1e-3 * step * (1 + abs(central)):
        return float("nan")
    return central


def read_model(graph: Graph, captured: Any, loss: Loss, y: Tensor, example: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(values, gradients) of the nodes as the real model and autograd have them; NaN for what has no tensor of its own.

    captured: labkit.activations.capture(model, x, gradients=True, target=y, loss=loss) of the graph's model and batch.
    """
    values, gradients = (np.full(len(graph.nodes), np.nan) for _ in range(2))
    calls = list(captured)  # one for each module of the Sequential, in order
    targets = _target_gradient(captured.output, y, loss)
    for k, node in enumerate(graph.nodes):
        if node.parameter:
            found = captured.parameter_gradients.get(node.parameter)
            gradients[k] = np.nan if found is None else float(found[node.index])
        elif node.kind in ("sum", "activation") and node.position >= 0:
            name, place = calls[node.position], (example, *node.index)
            values[k] = float(captured[name][place])
            gradients[k] = float(captured.gradients[name][place]) if name in captured.gradients else 0.0
        elif node.kind == "input":
            gradients[k] = float(captured.input_gradient[example].flatten()[node.index])
        elif node.kind == "target" and targets is not None:
            gradients[k] = float(targets[example].flatten()[node.index])
    values[-1], gradients[-1] = float(captured.loss), 1.0
    return values, gradients


def _target_gradient(output: Tensor, y: Tensor, loss: Loss) -> Tensor | None:
    if not y.is_floating_point():
        return None
    moved = y.detach().clone().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(loss(output.detach(), moved), moved)[0]


def _leaves(nodes: list[Node], model: nn.Module, x: Tensor, y: Tensor) -> np.ndarray:
    """(nodes, n) with the values of the leaves filled in."""
    values = np.full((len(nodes), len(x)), np.nan)
    inputs, targets = (t.detach().cpu().double().numpy() for t in (x.flatten(1), y))
    parameters = {name: p.detach().cpu().double().numpy() for name, p in model.named_parameters()}
    for k, node in enumerate(nodes):
        if node.parameter:
            values[k] = parameters[node.parameter][node.index]
        elif node.kind == "input":
            values[k] = inputs[:, node.index[0]]
        elif node.is_leaf:
            values[k] = targets[:, node.index[0]] if node.kind == "target" else targets
    return values


def _forward(
    nodes: list[Node] | tuple[Node, ...], values: np.ndarray, held: Mapping[int, np.ndarray] | None = None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Fill in the values of the nodes that are not leaves; with the derivatives of each by its parents."""
    local = []
    for k, node in enumerate(nodes):
        derivatives = np.zeros((0, values.shape[1]))
        if node.rule is not None:
            values[k], derivatives = node.rule(values[list(node.parents)])
        if held and k in held:
            values[k] = held[k]
        local.append(derivatives)
    return values, local


def _backward(nodes: list[Node], values: np.ndarray, local: list[np.ndarray]) -> np.ndarray:
    """∂L/∂node, from the loss backwards: the sum over a node's uses of (the use's gradient x its local derivative)."""
    gradients = np.zeros_like(values)
    gradients[-1] = 1.0
    for k in range(len(nodes) - 1, -1, -1):
        for parent, derivative in zip(nodes[k].parents, local[k], strict=True):
            gradients[parent] += gradients[k] * derivative
    for k, node in enumerate(nodes):
        if node.kind == "class":
            gradients[k] = np.nan
    return gradients


def _moved(graph: Graph, k: int, example: int, by: float) -> float:
    """The loss with node k of one example moved by `by`."""
    there = graph.values[k].copy()
    there[example] += by
    return float(_forward(graph.nodes, graph.values.copy(), {k: there})[0][-1, example])


def _moved_leaf(
    node: Node, model: nn.Module, x: Tensor, y: Tensor, loss: Loss, example: int, step: float
) -> list[float]:
    """The loss with a leaf moved down, not at all, and up, in a float64 copy of the model."""
    twin, inputs = copy.deepcopy(model).double(), x.detach().double().clone()
    targets = y.detach().double().clone() if y.is_floating_point() else y
    place: tuple[int, ...] = node.index
    if node.parameter:
        tensor = twin.get_parameter(node.parameter).data
    else:
        tensor = inputs if node.kind == "input" else targets
        place = (example, *(int(i) for i in np.unravel_index(node.index[0], tensor.shape[1:])))
    start, losses = float(tensor[place]), []
    with torch.no_grad():
        for moved in (start - step, start, start + step):
            tensor[place] = moved
            losses.append(float(loss(twin(inputs), targets)))
    return losses
