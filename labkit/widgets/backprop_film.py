"""The beats of a training step's film: which nodes of a graph light up one after the other."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from labkit.activations.graph import Graph

STAGES = ("forward", "loss", "backward", "update")


@dataclass(frozen=True)
class Beat:
    """nodes: whose values (forward, loss), gradients (backward) or new values (update) appear now."""

    stage: str
    layer: str
    nodes: tuple[int, ...]


def by_node(graph: Graph) -> list[Beat]:
    """Number by number; the products of one unit are one beat, and so are the inputs."""
    layers = _layers(graph)
    beats = []
    for name, members in layers:
        stage = "loss" if name == "loss" else "forward"
        beats += [Beat(stage, name, nodes) for nodes in _forward(graph, name, members)]
    for name, members in reversed(layers):
        beats += [Beat("backward", name, nodes) for nodes in _backward(graph, name, members)]
    beats += [Beat("update", node.layer, (k,)) for k, node in enumerate(graph.nodes) if node.parameter]
    return beats


def by_layer(graph: Graph) -> list[Beat]:
    """Layer by layer."""
    layers = [(name, tuple(members)) for name, members in _layers(graph)]
    beats = [Beat("loss" if name == "loss" else "forward", name, members) for name, members in layers]
    beats += [Beat("backward", name, members) for name, members in reversed(layers)]
    parameters = [(name, tuple(k for k in members if graph.nodes[k].parameter)) for name, members in layers]
    return beats + [Beat("update", name, members) for name, members in parameters if members]


def _layers(graph: Graph) -> list[tuple[str, list[int]]]:
    order = range(len(graph.nodes))
    return [(name, list(members)) for name, members in groupby(order, key=lambda k: graph.nodes[k].layer)]


def _forward(graph: Graph, name: str, members: list[int]) -> Iterable[tuple[int, ...]]:
    if name == "input":
        yield tuple(members)
        return
    for k in members:
        node = graph.nodes[k]
        products = tuple(parent for parent in node.parents if graph.nodes[parent].kind == "product")
        if products:
            yield products
        if not node.is_leaf and node.kind != "product":
            yield (k,)


def _backward(graph: Graph, name: str, members: list[int]) -> Iterable[tuple[int, ...]]:
    """A sum hands its gradient to its products as it is, so that they appear with it; then each parameter."""
    if name == "input":
        yield tuple(members)
        return
    if name == "loss":
        for k in reversed(members):
            node = graph.nodes[k]
            if not node.is_leaf:
                yield (k, *(parent for parent in node.parents if graph.nodes[parent].kind == "target"))
        return
    for k in members:
        if graph.nodes[k].kind == "activation":
            yield (k,)
        elif graph.nodes[k].kind == "sum":
            parents = graph.nodes[k].parents
            products = [parent for parent in parents if graph.nodes[parent].kind == "product"]
            yield (k, *products)
            yield from ((graph.nodes[product].parents[0],) for product in products)
            yield from ((parent,) for parent in parents if graph.nodes[parent].kind == "bias")
