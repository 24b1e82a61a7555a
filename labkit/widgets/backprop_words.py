"""The arithmetic of a graph's numbers in words: one sentence for a beat, all lines and the PyTorch for a node."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from labkit.activations.graph import Graph
from labkit.activations.graph_build import Node
from labkit.plots.look import MINUS
from labkit.plots.look import number as rounded
from labkit.widgets.backprop_film import Beat

number = lru_cache(maxsize=4096)(rounded)  # each stands in several sentences

MOST_TERMS = 5  # of a sum that are written out
MOST_LETTERS = 170  # of a caption with several parts


class Wording:
    """Sentences about one example of a graph.

    shown: the example in words. after: of each parameter its value after the update with learning rate lr, else NaN.
    """

    def __init__(self, graph: Graph, example: int, shown: str, after: np.ndarray, lr: float) -> None:
        self.graph, self.nodes, self.example, self.shown = graph, graph.nodes, example, shown
        self.after, self.lr = after, lr

    # ---- sentences

    def sentence(self, beat: Beat) -> str:
        """What happens at a beat, with its numbers."""
        if beat.stage == "update":
            return "; ".join(self.shortened([self.update(k) for k in beat.nodes]))
        if beat.layer == "input" and beat.stage == "forward":
            shown = ", ".join(f"{self.nodes[k].label} = {self.v(k)}" for k in beat.nodes)
            return f"{self.shown}: {shown}"
        if beat.stage == "backward":
            return self._backward_sentence(beat)
        main = self._main(beat.nodes)
        if beat.layer == "loss":  # of the whole loss the end matters most
            main = main[-2:]
        return "; ".join(self.shortened([self.forward(k) for k in main]))

    def _backward_sentence(self, beat: Beat) -> str:
        main = [k for k in self._main(beat.nodes) if self.nodes[k].kind != "class"]
        if beat.layer == "loss" and len(main) > 1:
            return f"{self.backward(main[-1])}; then {self.backward(main[0])}"
        sums = [k for k in main if self.nodes[k].kind == "sum" and beat.layer != "loss"]
        if len(sums) > 1:
            weights = [k for k in beat.nodes if self.nodes[k].kind == "weight"]
            most = max(weights, key=lambda k: abs(self.graph.gradient(k, self.example)))
            return f"{self.backward(sums[0])} and so on; steepest weight: {self.backward(most)}"
        return "; ".join(self.shortened([self.backward(k) for k in main]))

    def _main(self, nodes: Sequence[int]) -> list[int]:
        """Of a whole layer, what it hands on; of a few nodes, those that the others only accompany."""
        kinds = {self.nodes[k].kind for k in nodes}
        if kinds & {"sum"} and kinds & {"product"}:
            return [k for k in nodes if self.nodes[k].kind == "sum"]
        return [k for k in nodes if not self.nodes[k].is_leaf] or list(nodes)

    @staticmethod
    def shortened(lines: list[str]) -> list[str]:
        """As many lines as a caption has room for, and how many there are besides."""
        shown = 1
        while shown < len(lines) and sum(map(len, lines[: shown + 1])) <= MOST_LETTERS:
            shown += 1
        return lines if shown == len(lines) else [*lines[:shown], f"and {len(lines) - shown} more"]

    # ---- one node

    def forward(self, k: int) -> str:
        """How its value comes about: h₁ = tanh(0.178) = 0.176."""
        node, value = self.nodes[k], self.v(k)
        a = [self.v(parent) for parent in node.links]
        if node.is_leaf:
            return f"{node.label} = {value}"
        name = node.label
        if node.kind == "product":
            return f"{name} = {a[0]} · {_factor(a[1])} = {value}"
        if node.kind == "sum":
            return f"{name} = {self._terms(node)} = {value}"
        if node.kind == "activation":
            inside = f"max(0, {a[0]})" if node.function == "ReLU" else f"{node.function}({a[0]})"
            return f"{name} = {inside} = {value}"
        if node.kind in ("difference", "cross_entropy"):
            return f"{name} = {a[0]} {MINUS} {_factor(a[1])} = {value}"
        if node.kind == "square":
            shown = f"({self.nodes[node.parents[0]].label})² = " if name in ("L", "Lᵢ") else ""
            return f"{name} = {shown}({a[0]})² = {value}"
        if node.kind == "mean":
            return f"{name} = ({self._terms(node)}) / {len(a)} = {value}"
        if node.kind == "batch_mean":
            return f"L = mean of the {self.graph.examples} examples' losses = {value}; this one's is {a[0]}"
        if node.kind == "exp":
            z, m = self.nodes[node.parents[0]].label, number(max(self._value(parent) for parent in node.parents))
            return f"{name} = exp({z} {MINUS} m) = exp({a[0]} {MINUS} {_factor(m)}) = {value}"
        if node.kind == "pick":
            chosen = node.parents[1 + int(self._value(node.parents[0]))]
            m = number(max(self._value(parent) for parent in node.parents[1:]))
            return f"{name} = {self.nodes[chosen].label} {MINUS} m = {self.v(chosen)} {MINUS} {_factor(m)} = {value}"
        return f"{name} = ln {a[0]} = {value}"

    def backward(self, k: int) -> str:
        """How its gradient comes about: ∂L/∂w₁₂ = ∂L/∂z₁ · x₂ = −0.310 · 2.00 = −0.620."""
        node, graph = self.nodes[k], self.graph
        head, gradient = f"∂L/∂{self._named(node)}", number(graph.gradient(k, self.example))
        if k == len(self.nodes) - 1:
            return "∂L/∂L = 1: backward begins at the loss"
        if node.kind == "class":
            return f"{node.label} is a class's number: it has no derivative"
        uses = graph.uses[k]
        if not uses:
            return f"{head} = 0: nothing uses it"
        symbols, numbers = zip(*(self._use(k, j) for j in uses), strict=True)
        if len(uses) > 1:
            shown, worth = " + ".join(symbols[:3]), _joined(list(numbers[:3]))
            more = f" + … ({len(uses) - 3} more)" if len(uses) > 3 else ""
            return f"{head} = sum over {len(uses)} uses = {shown}{more} = {worth}{more} = {gradient}"
        if node.parameter and graph.examples > 1:
            own = number(float(graph.gradients[k, self.example]))
            adds = f"this example adds {symbols[0]} = {numbers[0]} = {own}"
            return f"{head}: {adds}; the sum over all {graph.examples} is {gradient}"
        return f"{head} = {symbols[0]} = {numbers[0]} = {gradient}"

    def update(self, k: int) -> str:
        """w₁₂: 0.500 − 0.1 · (−0.620) = 0.562."""
        node, gradient = self.nodes[k], number(self.graph.gradient(k, self.example))
        if self.after[k] == self._value(k) and self.graph.gradient(k):
            return f"{node.label} stays {self.v(k)}"
        shown = f"{self.v(k)} {MINUS} {self.lr:g} · {_factor(gradient)}"
        return f"{node.label} {MINUS} η · ∂L/∂{node.label} = {shown} = {number(self.after[k])}"

    def title(self, k: int) -> str:
        node = self.nodes[k]
        words = {
            "input": "Input", "weight": "Weight", "bias": "Bias", "target": "Target", "class": "True class",
            "product": "Product", "sum": "Sum", "activation": f"Activation ({node.function})", "difference": "Error",
            "square": "Squared error", "mean": "Loss", "exp": "Exponential", "log": "Logarithm",
            "pick": "Output of the true class", "cross_entropy": "Loss: cross-entropy",
            "batch_mean": "Loss: mean over the minibatch",
        }[node.kind]  # fmt: skip
        where = "" if node.layer in ("input", "loss") else f" · layer {node.layer}"
        return f"{words} {node.label}{where}"

    # ---- parts

    def v(self, k: int) -> str:
        return f"{self._value(k):.0f}" if self.nodes[k].kind == "class" else number(self._value(k))

    def _value(self, k: int) -> float:
        return float(self.graph.values[k, self.example])

    def _named(self, node: Node) -> str:
        return f"({node.label})" if node.kind in ("product", "difference") or node.label.startswith("(") else node.label

    def _terms(self, node: Node) -> str:
        """The addends with their signs: the largest where there are many."""
        values = [self._value(parent) for parent in node.parents]
        if len(values) <= MOST_TERMS + 1:
            return _joined([number(value) for value in values])
        order = sorted(values, key=abs, reverse=True)
        rest = number(sum(order[MOST_TERMS:]))
        return f"{_joined([number(v) for v in order[:MOST_TERMS]] + [rest])} ({len(values) - MOST_TERMS} smaller)"

    def _use(self, k: int, user: int) -> tuple[str, str]:
        """(symbols, numbers) of what one use hands back: its gradient times the local derivative."""
        node = self.nodes[user]
        local = float(self.graph.local[user][node.parents.index(k), self.example])
        # A product's gradient is that of the sum it goes into.
        above = self.graph.uses[user][0] if node.kind == "product" else user
        gradient = number(float(self.graph.gradients[above, self.example]))
        return (
            f"∂L/∂{self._named(self.nodes[above])} · {self._local(k, node, local)}",
            f"{gradient} · {_whole(local)}",
        )

    def _local(self, k: int, node: Node, local: float) -> str:
        """The local derivative's name."""
        if node.kind == "product":
            other = next(parent for parent in node.parents if parent != k)
            return self.nodes[other].label
        if node.kind == "activation":
            return f"{node.function}′({self.nodes[node.parents[0]].label})"
        if node.kind == "square":
            return f"2({self.nodes[node.parents[0]].label})"
        if node.kind == "mean":
            return f"1/{len(node.parents)}"
        if node.kind == "batch_mean":
            return f"1/{self.graph.examples}"
        if node.kind == "exp":
            return node.label
        if node.kind == "log":
            return f"1/{self.nodes[node.parents[0]].label}"
        return _whole(local)


def _factor(text: str) -> str:
    """A number as a factor: negative ones in brackets."""
    return f"({text})" if text.startswith(MINUS) else text


def _whole(value: float) -> str:
    """A factor; 1 and -1 without decimals."""
    return _factor(f"{MINUS if value < 0 else ''}{abs(value):.0f}" if value in (-1, 0, 1) else number(value))


def _joined(terms: list[str]) -> str:
    """Terms with their signs between them."""
    text = terms[0]
    for term in terms[1:]:
        text += f" {MINUS} {term[1:]}" if term.startswith(MINUS) else f" + {term}"
    return text
