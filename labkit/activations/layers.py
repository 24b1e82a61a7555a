"""A model layer by layer: shapes, parameters, floating-point operations and the memory of its activations."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from labkit.activations.capture import Capture, Inputs, capture, choose_layers

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One call of a layer.

    kind: the module's class. input_shape, output_shape: with the batch; a tuple of shapes where there are several.
    parameters: numbers in it that no row before counted. shared: those that one did (a module called again, tied
    weights). flops: floating-point operations of this call, a multiplication and an addition being two; convolutions,
    matrix products and attention are counted, as torch does it. bytes: of its outputs.
    """

    name: str
    kind: str
    input_shape: Shape | tuple[Shape, ...]
    output_shape: Shape | tuple[Shape, ...]
    parameters: int
    shared: int
    flops: int
    bytes: int

    def as_data(self) -> dict[str, Any]:
        """A plain dict, as labkit.plots.layers takes it."""
        return dict(vars(self))


class Layers(Sequence[Layer]):
    """The rows in the order of their calls, with totals; `str()` and a notebook show them as a table.

    parameters: of the whole model. flops: of the whole forward pass. bytes: of all rows' outputs.
    not_called: layers that this forward pass did not use. not_counted: those whose operations torch does not count.
    """

    def __init__(
        self,
        rows: Sequence[Layer],
        parameters: int,
        flops: int,
        not_called: Sequence[str] = (),
        not_counted: Sequence[str] = (),
    ) -> None:
        self._rows = tuple(rows)
        self.parameters = parameters
        self.flops = flops
        self.bytes = sum(row.bytes for row in rows)
        self.not_called = tuple(not_called)
        self.not_counted = tuple(not_counted)

    @overload
    def __getitem__(self, index: int) -> Layer: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Layer]: ...
    def __getitem__(self, index: int | slice) -> Layer | Sequence[Layer]:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def as_data(self) -> list[dict[str, Any]]:
        """Plain dicts, as labkit.plots.layers takes them."""
        return [row.as_data() for row in self]

    def __str__(self) -> str:
        table = [HEAD, *self._cells()]
        widths = [max(len(cells[i]) for cells in table) for i in range(len(HEAD))]
        lines = ["  ".join(_aligned(cell, i, widths[i]) for i, cell in enumerate(cells)).rstrip() for cells in table]
        rule = "─" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], *self._notes()])

    def _repr_html_(self) -> str:
        rows = [f"<tr>{''.join(_cell('th', text, i) for i, text in enumerate(HEAD))}</tr>"]
        for cells in self._cells():
            rows.append(f"<tr>{''.join(_cell('td', text, i) for i, text in enumerate(cells))}</tr>")
        rows[-1] = rows[-1].replace("<tr>", '<tr style="font-weight: 600">')
        notes = "".join(f"<p>{escape(note)}</p>" for note in self._notes())
        return f'<table style="font-variant-numeric: tabular-nums">{"".join(rows)}</table>{notes}'

    def _cells(self) -> list[tuple[str, ...]]:
        rows = [
            (
                row.name,
                row.kind,
                _shape(row.input_shape),
                _shape(row.output_shape),
                f"{row.parameters:,}" + ("*" if row.shared else ""),
                f"{row.flops:,}",
                f"{row.bytes:,}",
            )
            for row in self
        ]
        parameters = self.parameters - sum(row.parameters for row in self)
        flops = self.flops - sum(row.flops for row in self)
        if parameters or flops:
            rows.append(("outside of these layers", "", "", "", f"{parameters:,}", f"{flops:,}", ""))
        return [*rows, ("all", "", "", "", f"{self.parameters:,}", f"{self.flops:,}", f"{self.bytes:,}")]

    def _notes(self) -> list[str]:
        notes = []
        if any(row.shared for row in self):
            notes.append("* shared with a row above, and counted there")
        if self.not_called:
            notes.append(f"not called: {', '.join(self.not_called)}")
        if self.not_counted:
            notes.append(f"torch does not count the FLOPs of {', '.join(self.not_counted)}")
        return notes


# Layers that torch may run as one operation of its own, of which its counter knows nothing.
FUSED = (nn.RNNBase, nn.MultiheadAttention)
HEAD = ("layer", "kind", "input", "output", "parameters", "FLOPs", "bytes")


def layers(model: nn.Module, x: Inputs) -> Layers:
    """Every layer that `model` calls on the batch `x`, as `capture` names them.

    The model runs once, in the mode that it is in, and is left as it was. Errors: those of `capture`.
    """
    chosen = choose_layers(model)
    with FlopCounterMode(display=False) as counter, _operations(chosen, counter) as flops:
        captured = capture(model, x, inputs=True)
    seen: set[int] = set()
    rows, called = [], set()
    for name, (first, count) in flops.items():
        called.add(first)
        outputs = _outputs(captured, name)
        own = list(chosen[first].parameters())
        new = {id(value): value.numel() for value in own if id(value) not in seen}
        seen |= new.keys()
        rows.append(
            Layer(
                name,
                type(chosen[first]).__name__,
                _shapes(captured.inputs.get(name, ())),
                _shapes(outputs),
                sum(new.values()),
                sum(value.numel() for value in own) - sum(new.values()),
                count,
                sum(value.numel() * value.element_size() for value in outputs),
            )
        )
    total = sum(value.numel() for value in model.parameters())
    unused = [name for name in chosen if name not in called]
    fused = [row.name for row in rows if not row.flops and isinstance(chosen[flops[row.name][0]], FUSED)]
    return Layers(rows, total, counter.get_total_flops(), unused, fused)


@contextmanager
def _operations(chosen: dict[str, nn.Module], counter: FlopCounterMode) -> Iterator[dict[str, tuple[str, int]]]:
    """{call, named as `capture` does: (layer, operations)}, in the order of the calls."""
    found: dict[str, tuple[str, int]] = {}
    calls: dict[str, int] = {}
    before: list[int] = []

    def start(*_: object) -> None:
        before.append(counter.get_total_flops())

    def end(layer: str) -> Any:
        def hook(*_: object) -> None:
            calls[layer] = calls.get(layer, 0) + 1
            name = layer if calls[layer] == 1 else f"{layer}:{calls[layer]}"
            found[name] = (layer, counter.get_total_flops() - before.pop())

        return hook

    handles = [module.register_forward_pre_hook(start) for module in chosen.values()]
    handles += [module.register_forward_hook(end(name)) for name, module in chosen.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _outputs(captured: Capture, name: str) -> tuple[Tensor, ...]:
    """All tensors that one call gave."""
    return tuple(value for key, value in captured.items() if key == name or key.startswith(f"{name}["))


def _shapes(values: Tensor | Sequence[Tensor]) -> Shape | tuple[Shape, ...]:
    given = (values,) if isinstance(values, torch.Tensor) else values
    shapes = tuple(tuple(value.shape) for value in given)
    return shapes[0] if len(shapes) == 1 else shapes


def _shape(shape: Shape | tuple[Shape, ...]) -> str:
    """64×8×8; several with commas."""
    if shape and isinstance(shape[0], tuple):
        return ", ".join(_shape(part) for part in shape if isinstance(part, tuple))
    return "×".join(map(str, shape)) or "one number"


def _aligned(text: str, column: int, width: int) -> str:
    return text.ljust(width) if column < NUMBERS else text.rjust(width)


def _cell(tag: str, text: str, column: int) -> str:
    side = "left" if column < NUMBERS else "right"
    return f'<{tag} style="text-align: {side}">{escape(text)}</{tag}>'


NUMBERS = HEAD.index("parameters")  # from here on the columns are numbers
