"""What BackpropView shows of a small network: every number of one training step as a node of a graph."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor, nn

from labkit.activations import capture
from labkit.activations.graph import finite_difference, read_model, scalar_graph
from labkit.activations.graph_build import Node
from labkit.widgets import backprop_film as film
from labkit.widgets.backprop_words import Wording

Loss = Callable[[Tensor, Tensor], Tensor]


class ScalarPicture:
    """One training step on a batch, seen on one of its examples.

    shown: that example in words. stepped: the parameters after the update, by name.
    """

    def __init__(
        self, model: nn.Module, x: Tensor, y: Tensor, loss: Loss, loss_name: str, example: int, shown: str,
        names: list[str] | None, lr: float, stepped: Mapping[str, Tensor],
    ) -> None:  # fmt: skip
        self.model, self.x, self.y, self.loss, self.loss_name, self.example = model, x, y, loss, loss_name, example
        self.graph = scalar_graph(model, x, y, loss_name, names)
        self.captured = capture(model, x, gradients=True, target=y, loss=loss)
        self.after = np.array(
            [float(stepped[n.parameter][n.index]) if n.parameter else np.nan for n in self.graph.nodes]
        )
        self.words = Wording(self.graph, example, shown, self.after, lr)
        self.beats = {"node": film.by_node(self.graph), "layer": film.by_layer(self.graph)}

    @property
    def loss_value(self) -> float:
        """The loss that the real model has on this batch."""
        assert self.captured.loss is not None
        return float(self.captured.loss)

    @cached_property
    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """(values, gradients) as the model and autograd have them; only an opened number and a check ask for them."""
        return read_model(self.graph, self.captured, self.loss, self.y, self.example)

    @cached_property
    def structure(self) -> dict[str, Any]:
        """What changes only with the model: nodes, links, heads over columns, beats."""
        nodes = self.graph.nodes
        return {
            "nodes": [
                {"id": n.id, "label": n.label, "kind": n.kind, "column": n.column, "row": n.row, "moves": n.is_leaf}
                for n in nodes
            ],
            "links": [[parent, k] for k, node in enumerate(nodes) for parent in node.links],
            "heads": self._heads(),
            "beats": {name: [[b.stage, list(b.nodes)] for b in beats] for name, beats in self.beats.items()},
        }  # fmt: skip

    def _heads(self) -> list[dict[str, Any]]:
        heads = []
        for name in dict.fromkeys(node.layer for node in self.graph.nodes):
            columns = [node.column for node in self.graph.nodes if node.layer == name]
            label = {"input": "Input", "loss": "Loss"}.get(name, name)
            kind = "" if name in ("input", "loss") else type(self.model.get_submodule(name)).__name__
            heads.append({"name": label, "kind": kind, "from": min(columns), "to": max(columns)})
        return heads

    @cached_property
    def captions(self) -> dict[str, list[str]]:
        """A sentence for each beat."""
        return {name: [self.caption(name, at) for at in range(len(beats))] for name, beats in self.beats.items()}

    def caption(self, detail: str, beat: int) -> str:
        """One of them."""
        return self.words.sentence(self.beats[detail][beat])

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """(nodes,): values, gradients by the chain rule, values after the update (NaN: none)."""
        gradients = np.array([self.graph.gradient(k, self.example) for k in range(len(self.graph.nodes))])
        return {"values": self.graph.values[:, self.example], "gradients": gradients, "after": self.after}

    def find(self, key: str) -> str:
        return self.graph.nodes[self.graph.find(key)].id

    def place(self, key: str) -> tuple[str, str | None, tuple[int, ...]]:
        """(kind, parameter, index) of a number that can be changed."""
        node = self.graph.nodes[self.graph.find(key)]
        return node.kind, node.parameter, node.index

    def node(self, key: str) -> dict[str, Any]:
        """All that is known of one node: value, gradient by the chain rule, by autograd and by finite differences."""
        k = self.graph.find(key)
        node, gradient = self.graph.nodes[k], self.graph.gradient(k, self.example)
        finite = finite_difference(self.graph, k, self.model, self.x, self.y, self.loss, self.example)
        return {
            "id": node.id,
            "label": node.label,
            "kind": node.kind,
            "value": float(self.graph.values[k, self.example]),
            "gradient": _or_none(gradient),
            "autograd": _or_none(float(self.read[1][k])),
            "finite_difference": _or_none(finite),
            "after": _or_none(float(self.after[k])),
        }

    def open(self, key: str) -> dict[str, Any]:
        """The card of one node."""
        k, data = self.graph.find(key), self.node(key)
        node = self.graph.nodes[k]
        forward = None if node.is_leaf else self.words.forward(k)
        update = self.words.update(k) if node.parameter else None
        return {
            "key": node.id,
            "title": self.words.title(k),
            "value": data["value"],
            "moves": node.is_leaf,
            "lines": [
                ["Forward", forward],
                ["Backward", self.words.backward(k)],
                ["Update", update],
            ],
            "note": "x, y = view.batch; F is torch.nn.functional",
            "code": [line for line in (self._code(node), self._gradient_code(node)) if line],
            "check": None if node.kind == "class" else check_of(data),
        }

    def check(self) -> float:
        """The largest disagreement over every number shown: the model's values with the graph's, and gradients by

        autograd, by the chain rule and by finite differences; each relative to its size where that is above 1. At a
        kink, where there is no derivative, finite differences are left out.
        """
        worst = _gap(self.read[0], self.graph.values[:, self.example])
        for node in self.graph.nodes:
            data = self.node(node.id)
            found = [data[name] for name in ("gradient", "autograd", "finite_difference") if data[name] is not None]
            worst = max(worst, (max(found) - min(found)) / max(1.0, *map(abs, found)) if found else 0.0)
        return worst

    # ---- the lines of PyTorch

    def _code(self, node: Node) -> str:
        """The line that recomputes its value; x and y are the batch (view.batch)."""
        e, i = self.example, node.index[0] if node.index else 0
        loss = f"F.{'mse_loss' if self.loss_name == 'mse' else 'cross_entropy'}"
        shifted = f"(model(x)[{e}] - model(x)[{e}].max())"
        one = f"x[{e}:{e + 1}]), y[{e}:{e + 1}]"
        if node.parameter:
            return self._parameter_code(node)
        if node.kind in ("sum", "activation") and node.position >= 0:
            return f"model[:{node.position + 1}](x)[{e}, {i}]"
        if node.kind == "product":
            weight, before = (self.graph.nodes[parent] for parent in node.parents)
            return f"{self._parameter_code(weight)} * {self._code(before)}"
        return {
            "input": f"x[{e}, {i}]" if self.x.ndim == 2 else f"x.flatten(1)[{e}, {i}]",
            "target": f"y[{e}, {i}]",
            "class": f"y[{e}]",
            "difference": f"(model(x) - y)[{e}, {i}]",
            "square": f"((model(x) - y) ** 2)[{e}, {i}]",
            "exp": f"{shifted}.exp()[{i}]",
            "sum": f"{shifted}.exp().sum()",
            "log": f"{shifted}.exp().sum().log()",
            "pick": f"{shifted}[y[{e}]]",
            "batch_mean": f"{loss}(model(x), y)",
            "mean": f"{loss}(model({one})",
            "cross_entropy": f"{loss}(model({one})",
        }[node.kind]

    def _gradient_code(self, node: Node) -> str:
        """The line with which autograd gives its gradient; "" for a number that the model keeps no tensor of."""
        e, i = self.example, node.index[0] if node.index else 0
        loss = f"F.{'mse_loss' if self.loss_name == 'mse' else 'cross_entropy'}"
        if node.parameter:
            tensor = self._parameter_code(node).split("[")
            index = f"[{tensor.pop()}"
            return f"torch.autograd.grad({loss}(model(x), y), {'['.join(tensor)})[0]{index}"
        if node.kind in ("sum", "activation", "product") and node.position >= 0:
            place = node.position + 1
            return f"h = model[:{place}](x); torch.autograd.grad({loss}(model[{place}:](h), y), h)[0][{e}, {i}]"
        if node.kind == "input":
            index = f"[{e}, {i}]" if self.x.ndim == 2 else f".flatten(1)[{e}, {i}]"
            return f"u = x.clone().requires_grad_(); torch.autograd.grad({loss}(model(u), y), u)[0]{index}"
        if node.kind == "target":
            return f"u = y.clone().requires_grad_(); torch.autograd.grad({loss}(model(x), u), u)[0][{e}, {i}]"
        if node.kind == "difference":
            return f"d = model(x) - y; torch.autograd.grad((d ** 2).mean(), d)[0][{e}, {i}]"
        return ""

    @staticmethod
    def _parameter_code(node: Node) -> str:
        assert node.parameter is not None
        layer, name = node.parameter.split(".")
        owner = f"model[{layer}]" if layer.isdigit() else f"model.{layer}"
        return f"{owner}.{name}[{', '.join(map(str, node.index))}]"


def check_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Three ways to one gradient side by side, and whether they agree."""
    found = [data[name] for name in ("gradient", "autograd", "finite_difference") if data[name] is not None]
    gap = max(found) - min(found)
    size = max(1e-12, *map(abs, found))
    return {
        "autograd": data["autograd"],
        "chain": data["gradient"],
        "finite": data["finite_difference"],
        "gap": gap,
        "agrees": bool(gap <= 1e-6 + 1e-4 * size),
    }


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


def _gap(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference, relative where values are above 1; NaN in `a` is nothing to compare."""
    known = ~np.isnan(a)
    return float(np.max(np.abs(a - b)[known] / np.maximum(1, np.abs(b[known])), initial=0))
