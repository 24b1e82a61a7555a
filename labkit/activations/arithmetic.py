"""The arithmetic of one value, kind by kind: what is multiplied and added, and what the value depends on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from math import prod

import torch
from torch import Tensor, nn

from labkit.activations.chain import RULES, Call, normalised
from labkit.activations.elementwise import ELEMENTWISE
from labkit.activations.windows import averages, sides, spans
from labkit.activations.words import at, entry, label, number

Index = tuple[int, ...]


@dataclass(frozen=True)
class Term:
    """One of the products that add up to a value: "w[2,0] · x[0]", (0.5, 2.0), 1.0."""

    label: str
    factors: tuple[float, ...]

    @property
    def product(self) -> float:
        return prod(self.factors)


@dataclass(frozen=True)
class Arithmetic:
    """formula: in symbols; numbers: the same with numbers, where it is more than the terms added up.

    code: PyTorch for the value, of `given` (the layer's input) and `layer`. inputs, parameters: the entries that the
    value depends on. notes: lines that say what a symbol stands for here.
    """

    formula: str
    terms: list[Term]
    code: str
    inputs: list[Index]
    parameters: list[tuple[str, Index]] = field(default_factory=list)
    numbers: str | None = None
    notes: tuple[str, ...] = ()


def arithmetic_of(call: Call, index: Index) -> Arithmetic:
    """What made `call.output[index]`, for a layer of a known kind."""
    kind = next(kind for kind in type(call.module).__mro__ if kind in RULES)
    return ARITHMETIC[kind](call, index)


def short(index: Index, tensor: Tensor) -> Index:
    """An index without the place in the batch."""
    return index[1:] if tensor.ndim > 1 else index


def _elementwise(call: Call, index: Index) -> Arithmetic:
    kind = next(kind for kind in type(call.module).__mro__ if kind in ELEMENTWISE)
    rule, x = ELEMENTWISE[kind], call.given[index]
    formula = rule.formula(call.module)
    symbols = formula.format(x=label("x", short(index, call.given)))
    return Arithmetic(
        symbols,
        [Term(symbols, (float(rule.value(call.module, x)),))],
        rule.code(call.module).format(x=entry("given", index)),
        [index],
        numbers=formula.format(x=number(float(x))),
    )


def _linear(call: Call, index: Index) -> Arithmetic:
    *lead, i = index
    weight, bias = call.parameter("weight"), call.parameter("bias")
    assert weight is not None
    places = [(*lead, j) for j in range(weight.shape[1])]
    terms = [
        Term(
            f"{label('w', (i, j))} · {label('x', short(place, call.given))}",
            (float(weight[i, j]), float(call.given[place])),
        )
        for j, place in enumerate(places)
    ]
    parameters: list[tuple[str, Index]] = [("weight", (i, j)) for j in range(weight.shape[1])]
    code = f"(layer.weight[{i}] * {entry('given', lead)}).sum()"
    x = label("x", (*short((*lead, 0), call.given)[:-1], "j"))
    return _with_bias(Arithmetic(f"Σ w[{i},j] · {x}", terms, code, places, parameters), bias, i)


def _with_bias(sum_: Arithmetic, bias: Tensor | None, i: int) -> Arithmetic:
    if bias is None:
        return sum_
    return Arithmetic(
        f"{sum_.formula} + b[{i}]",
        [*sum_.terms, Term(f"b[{i}]", (float(bias[i]),))],
        f"{sum_.code} + layer.bias[{i}]",
        sum_.inputs,
        [*sum_.parameters, ("bias", (i,))],
    )


def _places(span: slice) -> range:
    return range(span.start, span.stop, span.step or 1)


def _window(call: Call, index: Index) -> tuple[list[tuple[slice, slice]], list[tuple[Index, Index]]]:
    """The (input, kernel) slices of a window, and the (input, kernel) places in it, along the layer's own sides."""
    one = sides(call.module) == 1
    spread = (0, *index[2:]) if one else index[2:]
    lengths = (1, *call.given.shape[2:]) if one else tuple(call.given.shape[2:])
    found = spans(call.module, spread, lengths)[1 if one else 0 :]
    given = product(*(_places(places) for places, _ in found))
    kernel = product(*(_places(places) for _, places in found))
    return found, list(zip(given, kernel, strict=True))


def _convolution(call: Call, index: Index) -> Arithmetic:
    n, o = index[:2]
    weight, bias = call.parameter("weight"), call.parameter("bias")
    assert weight is not None
    width = weight.shape[1]
    first = o // (weight.shape[0] // call.module.groups) * width
    found, pairs = _window(call, index)
    terms, inputs, parameters = [], [], []
    for c, (place, offset) in product(range(width), pairs):
        x, w = (n, first + c, *place), (o, c, *offset)
        terms.append(Term(f"{label('w', w)} · {label('x', x[1:])}", (float(weight[w]), float(call.given[x]))))
        inputs.append(x)
        parameters.append(("weight", w))
    given = at(n, slice(first, first + width), *(places for places, _ in found))
    kernel = at(o, slice(0, width), *(places for _, places in found))
    code = f"(layer.weight[{kernel}] * given[{given}]).sum()"
    return _with_bias(Arithmetic(f"Σ w[{o},…] · x over the window", terms, code, inputs, parameters), bias, o)


def _largest(call: Call, index: Index) -> Arithmetic:
    found, pairs = _window(call, index)
    inputs = [(*index[:2], *place) for place, _ in pairs]
    values = [float(call.given[place]) for place in inputs]
    best = values.index(max(values))
    terms = [
        Term(f"{label('x', place[1:])} · {'1' if k == best else '0'}", (value, float(k == best)))
        for k, (place, value) in enumerate(zip(inputs, values, strict=True))
    ]
    # max(0), unlike max(), gives the gradient to the first of equal values, as pooling does.
    code = f"given[{at(*index[:2], *(places for places, _ in found))}].flatten().max(0).values"
    shown = ", ".join(map(number, values[:9])) + (", …" if len(values) > 9 else "")
    where = f"the largest is {label('x', inputs[best][1:])}"
    return Arithmetic("max of the window", terms, code, inputs, numbers=f"max({shown})", notes=(where,))


def _average(call: Call, index: Index) -> Arithmetic:
    rows, columns, counts = averages(call.module, call.given.shape, call.output.shape)
    i, j = (0, index[2]) if call.output.ndim == 3 else index[2:]
    ranges = [row.nonzero().flatten().tolist() for row in (rows[i], columns[j])][2 - (call.output.ndim - 2) :]
    inputs = [(*index[:2], *place) for place in product(*ranges)]
    count = float(counts[i, j])
    terms = [Term(f"{label('x', place[1:])} · 1/{count:g}", (float(call.given[place]), 1 / count)) for place in inputs]
    window = at(*index[:2], *(slice(span[0], span[-1] + 1) if span else slice(0, 0) for span in ranges))
    return Arithmetic(f"Σ x / {count:g} over the window", terms, f"given[{window}].sum() / {count:g}", inputs)


def _batch_norm(call: Call, index: Index) -> Arithmetic:
    c = index[1]
    code = f"(given[{at(*index)}] - {{mean}}) / ({{variance}} + {call.module.eps!r}).sqrt()"
    over = normalised(call)[3]
    if over is None:
        return _norm(
            call, index, (c,), [index], code.format(mean=f"layer.running_mean[{c}]", variance=f"layer.running_var[{c}]")
        )
    channel = f"given[:, {c}]"
    ranges = [range(length) if d != 1 else [c] for d, length in enumerate(call.given.shape)]
    code = code.format(mean=f"{channel}.mean()", variance=f"{channel}.var(unbiased=False)")
    return _norm(call, index, (c,), list(product(*ranges)), code)


def _layer_norm(call: Call, index: Index) -> Arithmetic:
    lead = len(index) - len(call.module.normalized_shape)
    ranges = [[i] if d < lead else range(call.given.shape[d]) for d, i in enumerate(index)]
    row = entry("given", index[:lead])
    code = f"({entry('given', index)} - {row}.mean()) / ({row}.var(unbiased=False) + {call.module.eps!r}).sqrt()"
    return _norm(call, index, index[lead:], list(product(*ranges)), code)


def _norm(call: Call, index: Index, place: Index, inputs: list[Index], code: str) -> Arithmetic:
    """γ · (x − mean) / σ + β, with the scale and shift at `place` of the parameters."""
    mean, scale, _, over = normalised(call)
    weight, bias = call.parameter("weight"), call.parameter("bias")
    m, s = (float(value.expand_as(call.given)[index]) for value in (mean, scale))
    x = float(call.given[index])
    name = label("x", short(index, call.given))
    factors, symbols, parameters = [x - m, s], f"({name} − mean) · 1/σ", []
    numbers = f"({number(x)} − {number(m, within=True)}) · {number(s)}"
    if weight is not None:
        factors.insert(0, float(weight[place]))
        symbols, numbers = f"{label('γ', place)} · {symbols}", f"{number(factors[0])} · {numbers}"
        parameters.append(("weight", place))
        code = f"{entry('layer.weight', place)} * {code}"
    terms = [Term(symbols, tuple(factors))]
    if bias is not None:
        terms.append(Term(label("β", place), (float(bias[place]),)))
        symbols, numbers = f"{symbols} + {label('β', place)}", f"{numbers} + {number(float(bias[place]), within=True)}"
        parameters.append(("bias", place))
        code = f"{code} + {entry('layer.bias', place)}"
    whose = "stored with the layer" if over is None else f"of {len(inputs)} values of this pass"
    notes = (f"mean = {number(m)} and σ = √(variance + {call.module.eps:g}) = {number(1 / s)}, {whose}",)
    return Arithmetic(symbols, terms, code, inputs, parameters, numbers, notes)


def _embedding(call: Call, index: Index) -> Arithmetic:
    *lead, j = index
    token = int(call.given[tuple(lead)])
    code = f"layer.weight[{entry('given', lead)}, {j}]"
    if token == call.module.padding_idx:  # a row that never learns
        code = f"torch.nn.functional.embedding({entry('given', lead)}, layer.weight, {token})[{j}]"
    return Arithmetic(
        label("w", (token, j)),
        [Term(label("w", (token, j)), (float(call.module.weight[token, j].detach()),))],
        code,
        [],
        [("weight", (token, j))],
        notes=(f"{label('x', tuple(lead))} is the token {token}: its row of the table",),
    )


def _along(call: Call, index: Index) -> tuple[list[Index], str, int]:
    """The entries that a softmax shares out, the code of their vector, and which of them is meant."""
    dim = call.module.dim % call.given.ndim
    inputs = [(*index[:dim], k, *index[dim + 1 :]) for k in range(call.given.shape[dim])]
    return inputs, f"given[{at(*index[:dim], slice(None), *index[dim + 1 :])}]", index[dim]


def _softmax(call: Call, index: Index) -> Arithmetic:
    inputs, vector, k = _along(call, index)
    x = torch.stack([call.given[place] for place in inputs])
    most = float(x.max())  # taken off all, so that none overflows; the share stays
    total = float((x - most).exp().sum())
    name = label("x", short(index, call.given))
    above = float((x[k] - most).exp())
    return Arithmetic(
        f"e^{name} / Σ e^x",
        [Term(f"e^({name} − max) · 1/Σ e^(x − max)", (above, 1 / total))],
        f"({vector}[{k}] - {vector}.logsumexp(0)).exp()",
        inputs,
        numbers=f"{number(above)} / {number(total)}",
        notes=(f"the largest, {number(most)}, is taken off every x first",),
    )


def _log_softmax(call: Call, index: Index) -> Arithmetic:
    inputs, vector, k = _along(call, index)
    x = torch.stack([call.given[place] for place in inputs])
    name = label("x", short(index, call.given))
    terms = [Term(name, (float(x[k]),)), Term("−log Σ e^x", (-1.0, float(x.logsumexp(0))))]
    return Arithmetic(f"{name} − log Σ e^x", terms, f"{vector}[{k}] - {vector}.logsumexp(0)", inputs)


def _dropout(call: Call, index: Index) -> Arithmetic:
    if call.kept is None:
        return _same_value(call, index)
    name, kept, p = label("x", short(index, call.given)), float(call.kept[index]), call.module.p
    note = f"this pass {'kept' if kept else 'dropped'} it" + (
        f", and 1 / (1 − {p:g}) makes up for the others" if kept else ""
    )
    code = f"{entry('given', index)} * {kept!r}  # {'kept' if kept else 'dropped'} in this pass"
    return Arithmetic(
        f"{name} · {number(kept)}",
        [Term(f"{name} · kept", (float(call.given[index]), kept))],
        code,
        [index],
        notes=(note,),
    )


def _same_value(call: Call, index: Index) -> Arithmetic:
    """A value that only moves: its place counts the same in what was given and what came out."""
    flat = sum(i * step for i, step in zip(index, _steps(call.output.shape), strict=True))
    place = tuple(
        flat // step % length for step, length in zip(_steps(call.given.shape), call.given.shape, strict=True)
    )
    name = label("x", short(place, call.given))
    return Arithmetic(name, [Term(name, (float(call.given[place]),))], entry("given", place), [place])


def _steps(shape: torch.Size) -> list[int]:
    return [prod(shape[d + 1 :]) for d in range(len(shape))]


ARITHMETIC: dict[type[nn.Module], Callable[[Call, Index], Arithmetic]] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.MaxPool1d: _largest,
    nn.MaxPool2d: _largest,
    nn.AvgPool1d: _average,
    nn.AvgPool2d: _average,
    nn.AdaptiveAvgPool2d: _average,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.Embedding: _embedding,
    nn.Softmax: _softmax,
    nn.LogSoftmax: _log_softmax,
    nn.Dropout: _dropout,
    nn.Identity: _same_value,
    nn.Flatten: _same_value,
}
