"""The nodes of a small network's graph of numbers, added layer by layer, with their places and names."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from labkit.activations import graph_rules as rules
from labkit.errors import DataError, SettingError

MOST_WEIGHTS = 32  # more would not be read
# Passed on as they are: they change no number.
_TRANSPARENT = (nn.Identity, nn.Flatten)


@dataclass(frozen=True)
class Node:
    """One number of the computation.

    id: "x[0]", "0.weight[1,0]", "0.product[1,0]", "0[1]" (entry 1 of what module 0 gives), "y[0]", "L" ...
    label: as it is written: x₁, w₁₂, h₁, ŷ.
    kind: input, weight, bias, target, class, product, sum, activation, difference, square, mean, exp, log, pick,
        cross_entropy, batch_mean.
    parents: numbers of the nodes that it is computed from.
    layer: the name of the module that it belongs to, "input" or "loss"; position: that module's place in the model.
    index: of the entry, in the input, the module's output or the parameter (without the batch).
    column, row: where it stands, in units; rows are centred about 0.
    """

    id: str
    label: str
    kind: str
    layer: str
    parents: tuple[int, ...] = ()
    position: int = -1
    index: tuple[int, ...] = ()
    column: int = 0
    row: float = 0.0
    function: str = ""
    parameter: str | None = None
    rule: rules.Rule | None = field(default=None, repr=False, compare=False)

    @property
    def links(self) -> tuple[int, ...]:
        """The parents that matter to it; what the largest output is matters to no derivative of exp(z − m)."""
        return self.parents[:1] if self.kind == "exp" else self.parents

    @property
    def is_leaf(self) -> bool:
        """Whether it is given (an input, a parameter, a target) and not computed."""
        return self.rule is None


class Builder:
    """Adds the nodes of a model layer by layer, from left to right."""

    def __init__(self, model: nn.Module, loss: str, names: list[str] | None) -> None:
        self.model, self.loss, self.names = model, loss, names
        self.modules = _openable(model, loss)
        self.linear = [module for module in self.modules if isinstance(module, nn.Linear)]
        self.nodes: list[Node] = []
        self.column = 0
        self.layer, self.position = "input", -1  # what the next nodes belong to
        self.number = 0  # of the linear layer, from 1
        self.primes = 0  # activations since that

    def build(self, x: Tensor, y: Tensor) -> list[Node]:
        width = x.flatten(1).shape[1]
        outputs = self.linear[-1].out_features if self.linear else width
        _check_data(x, y, self.loss, self.linear[0].in_features if self.linear else width, outputs)
        current = self._inputs(width)
        computing = [k for k, module in enumerate(self.modules) if not isinstance(module, _TRANSPARENT)]
        for position, (name, module) in enumerate(zip(_names(self.model), self.modules, strict=True)):
            self.layer, self.position = name, position
            # What the mean squared error sees is the prediction; a cross-entropy sees logits.
            predicts = self.loss == "mse" and computing[-1:] == [position]
            if isinstance(module, nn.Linear):
                current = self._linear(module, current, predicts)
            elif position in computing:
                current = self._activation(module, current, predicts)
        self.layer, self.position = "loss", -1
        if self.loss == "mse":
            self._squares(current)
        else:
            self._cross_entropy(current)
        if len(x) > 1:
            self._batch_mean()
        return self.nodes

    def add(
        self, kind: str, name: str, label: str, row: float, index: tuple[int, ...] = (), parents: Sequence[int] = (),
        rule: rules.Rule | None = None, parameter: str | None = None, function: str = "",
    ) -> int:  # fmt: skip
        """A node in the column and the layer that is being built; returns its number."""
        node = Node(
            id=name, label=label, kind=kind, layer=self.layer, parents=tuple(parents), position=self.position,
            index=index, column=self.column, row=row, function=function, parameter=parameter, rule=rule,
        )  # fmt: skip
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _inputs(self, count: int) -> list[int]:
        """Beside the blocks of the first layer, spread over their height."""
        names = self.names or (["x"] if count == 1 else [f"x{_below(i)}" for i in range(count)])
        if len(names) != count:
            raise SettingError(f"Expected {count} names, one for each input, received {len(names)}.")
        units = self.linear[0].out_features if self.linear else 1
        gap = max(1.0, min(2.0, _block(count) * units / count))
        return [self.add("input", f"x[{i}]", names[i], gap * (i - (count - 1) / 2), (i,)) for i in range(count)]

    def _linear(self, module: nn.Linear, before: list[int], predicts: bool) -> list[int]:
        """Columns of weights, products, and sums with their biases below."""
        self.number += 1
        self.primes = 0
        start, units = self.column, module.out_features
        sums = []
        for i in range(units):
            middle, only = _block(len(before)) * (i - (units - 1) / 2), units == 1
            parts = [
                self._product(i, j, parent, start, middle + j - (len(before) - 1) / 2)
                for j, parent in enumerate(before)
            ]
            self.column, bias = start + 3, f"{self.layer}.bias"
            if module.bias is not None:
                label = f"b{self._above()}{'' if only else _below(i)}"
                parts.append(self.add("bias", f"{bias}[{i}]", label, middle + 0.5, (i,), parameter=bias))
            row = middle - (0.5 if module.bias is not None else 0)
            label = self._named("ŷ" if predicts else "z", i, units)
            sums.append(self.add("sum", f"{self.layer}[{i}]", label, row, (i,), parts, rules.total))
        return sums

    def _product(self, i: int, j: int, parent: int, start: int, row: float) -> int:
        place, label = f"[{i},{j}]", f"w{self._above()}{_below(i, j)}"
        parameter = f"{self.layer}.weight"
        self.column = start + 1
        weight = self.add("weight", parameter + place, label, row, (i, j), parameter=parameter)
        self.column = start + 2
        product = f"{label}·{self.nodes[parent].label}"
        return self.add(
            "product", f"{self.layer}.product{place}", product, row, (i, j), [weight, parent], rules.product
        )

    def _activation(self, module: nn.Module, before: list[int], predicts: bool) -> list[int]:
        function, rule = rules.activation(module)
        self.column += 1
        after = []
        for i, parent in enumerate(before):
            label = (
                self._named("ŷ", i, len(before)) if predicts else self._named("h", i, len(before)) + "′" * self.primes
            )
            row, name = self.nodes[parent].row, f"{self.layer}[{i}]"
            after.append(self.add("activation", name, label, row, (i,), [parent], rule, function=function))
        self.primes += 1
        return after

    def _squares(self, outputs: list[int]) -> None:
        """Mean squared error: torch.nn.functional.mse_loss."""
        self.column += 1
        differences, several = [], len(outputs) > 1
        for i, output in enumerate(outputs):
            row, y = self.nodes[output].row, f"y{_below(i) if several else ''}"
            target = self.add("target", f"y[{i}]", y, row + 1, (i,))
            label = f"{self.nodes[output].label}−{y}"
            pair = [output, target]
            differences.append(self.add("difference", f"difference[{i}]", label, row, (i,), pair, rules.difference))
        self.column += 1
        squares = []
        for i, k in enumerate(differences):
            name, label = (f"square[{i}]", f"({self.nodes[k].label})²") if several else ("L", "L")
            squares.append(self.add("square", name, label, self.nodes[k].row, (i,), [k], rules.square))
        if several:
            self.column += 1
            self.add("mean", "L", "L", 0.0, (), squares, rules.mean)

    def _cross_entropy(self, outputs: list[int]) -> None:
        """−log softmax of the true class as ln Σ exp(z − m) − (z_true − m), m the largest z: exp cannot overflow."""
        self.column += 1
        exps = []
        for i, z in enumerate(outputs):
            parents = [z, *(other for other in outputs if other != z)]
            label, row = f"e{_below(i)}", self.nodes[z].row
            exps.append(self.add("exp", f"exp[{i}]", label, row, (i,), parents, rules.shifted_exp))
        self.column += 1
        total = self.add("sum", "exp_sum", "Σe", -1.0, (), exps, rules.total)
        chosen = self.add("class", "y", "y", 2.0)
        picked = self.add("pick", "pick", "z_y", 1.0, (), [chosen, *outputs], rules.pick)
        self.column += 1
        log = self.add("log", "log", "ln Σe", -1.0, (), [total], rules.log)
        self.column += 1
        self.add("cross_entropy", "L", "L", 0.0, (), [log, picked], rules.difference)

    def _batch_mean(self) -> None:
        """What stood last is the loss of one example; the mean over the batch comes after it."""
        one = len(self.nodes) - 1
        self.nodes[one] = replace(self.nodes[one], id="L_example", label="Lᵢ")
        self.column += 1
        self.add("batch_mean", "L", "L", self.nodes[one].row, (), [one], rules.batch_mean)

    def _above(self) -> str:
        """The linear layer's number, where there are several: ⁽²⁾."""
        return f"⁽{str(self.number).translate(_SUPERSCRIPT)}⁾" if len(self.linear) > 1 else ""

    def _named(self, letter: str, i: int, count: int) -> str:
        """z⁽¹⁾₂; the prediction needs no layer, and what is alone in its layer no place."""
        return f"{letter}{'' if letter == 'ŷ' else self._above()}{'' if count == 1 else _below(i)}"


_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _below(*indices: int) -> str:
    """Places from 0 as subscripts from 1: (0, 1) -> ₁₂; with a comma where one has two digits."""
    written = [str(i + 1).translate(_SUBSCRIPT) for i in indices]
    return ("," if max(indices) > 8 else "").join(written)


def _names(model: nn.Module) -> list[str]:
    """Of the modules of a Sequential, in order; one that comes twice has two."""
    return [name for name, _ in model.named_modules(remove_duplicate=False) if name and "." not in name]


def _block(fan_in: int) -> float:
    """Rows that a unit's products take, with air below."""
    return max(fan_in, 2) + 0.4


def _openable(model: nn.Module, loss: str) -> list[nn.Module]:
    """The model's modules, where every number of theirs can be a node."""
    instead = "Use the tensor view, which takes any model."
    if not isinstance(model, nn.Sequential):
        raise SettingError(
            f"Expected an nn.Sequential for the scalar view, received a {type(model).__name__}. {instead}"
        )
    if loss not in ("mse", "cross_entropy"):
        raise SettingError(f"Expected the loss mse or cross_entropy for the scalar view, received {loss!r}. {instead}")
    modules = list(model)
    strange = [m for m in modules if not isinstance(m, (nn.Linear, *_TRANSPARENT)) and not rules.is_activation(m)]
    if strange:
        raise SettingError(
            f"Expected Linear layers and elementwise activations for the scalar view, received a "
            f"{type(strange[0]).__name__}. {instead}"
        )
    linear = [m for m in modules if isinstance(m, nn.Linear)]
    if len({id(m) for m in linear}) < len(linear):
        raise SettingError(f"Expected each Linear layer once for the scalar view, received one twice. {instead}")
    weights = sum(m.weight.numel() for m in linear)
    if weights > MOST_WEIGHTS:
        raise SettingError(
            f"Expected at most {MOST_WEIGHTS} weights for the scalar view, received a model with {weights}. {instead}"
        )
    return modules


def _check_data(x: Tensor, y: Tensor, loss: str, inputs: int, outputs: int) -> None:
    if x.flatten(1).shape[1] != inputs:
        raise DataError(f"Expected inputs (n, {inputs}) for this model, received {tuple(x.shape)}.")
    expected = (len(x), outputs) if loss == "mse" else (len(x),)
    if tuple(y.shape) != expected:
        raise DataError(f"Expected targets of shape {expected} for this model and {loss}, received {tuple(y.shape)}.")
    if loss == "cross_entropy" and (int(y.min()) < 0 or int(y.max()) >= outputs):
        raise DataError(
            f"Expected classes of 0 to {outputs - 1}, received {int(y.min())} to {int(y.max())}. "
            "Give the model more outputs or mend the labels."
        )
