"""Exercises of notebook 06."""

from collections.abc import Callable
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from labkit.exercises.compare import compare, tensor
from labkit.exercises.exercise import Exercise, Mistake, call, number

if TYPE_CHECKING:
    from labkit.plots.figure import Figure


def _convolve(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """torch's convolution of one channel with one kernel, in double precision."""
    picture, kernel = (torch.from_numpy(np.ascontiguousarray(array))[None, None] for array in (x, w))
    return torch.nn.functional.conv2d(picture, kernel, stride=stride, padding=padding)[0, 0].numpy()


def _conv2d(answer: Any) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.integers(0, 10, (6, 8)).astype(float), rng.integers(-3, 4, (3, 3)).astype(float)
    for stride, padding in ((1, 0), (1, 1), (2, 1), (3, 2)):
        given = tensor(call(answer, x.copy(), w.copy(), stride, padding), "The output")
        right = _convolve(x, w, stride, padding)
        one_side = _convolve(np.pad(x, (padding, 0)), w, stride, 0)
        mistakes = [
            (_convolve(x, w[::-1, ::-1], stride, padding), "You flipped the kernel. A layer's convolution does not."),
            (_convolve(x, w.T, stride, padding), "Rows and columns of the kernel have changed places."),
            (right / w.size, "You took the mean of the products. Take their sum."),
            (right.T, "The output is transposed: its rows belong to the rows of the picture."),
        ]
        if padding:
            mistakes += [
                (_convolve(x, w, stride, 0), "The padding is missing: put zeros around the picture first."),
                (
                    _convolve(np.pad(x, padding, "edge"), w, stride, 0),
                    "The padding repeats the border. Put zeros there.",
                ),
                (one_side, "The padding goes on all four sides: you have it above and to the left alone."),
            ]
        if stride > 1:
            dense = _convolve(x, w, 1, padding)
            mistakes += [
                (dense, f"The window moves by 1. With stride {stride} it moves by {stride}."),
                (dense[::stride], "The stride holds downwards alone. It holds to the right as well."),
                (dense[:, ::stride], "The stride holds to the right alone. It holds downwards as well."),
            ]
        compare(f"The output with stride {stride} and padding {padding}", given, right, mistakes)


# Planted edges: what a 3x3 window sees of a straight border through its middle pixel.
_EDGES: dict[str, list[list[float]]] = {
    "A: bright above the falling diagonal": [[0.5, 1, 1], [0, 0.5, 1], [0, 0, 0.5]],
    "B: bright below the rising diagonal": [[0, 0, 0.5], [0, 0.5, 1], [0.5, 1, 1]],
    "C: bright to the right": [[0, 0.5, 1], [0, 0.5, 1], [0, 0.5, 1]],
    "D: bright above": [[1, 1, 1], [0.5, 0.5, 0.5], [0, 0, 0]],
}
_CLEARLY = 1.2  # times the answer to any other edge


def planted_edges() -> "Figure":
    """The four edges of `convolution.edge`, as a 3x3 window sees them."""
    from labkit.plots.figure import Figure  # matplotlib is imported when a figure is asked for
    from labkit.plots.look import picture

    figure = Figure(figsize=(8, 3), layout="constrained", facecolor="white")
    for axes, (name, edge) in zip(figure.subplots(1, len(_EDGES)), _EDGES.items(), strict=True):
        picture(axes, np.array(edge), cmap="gray", vmin=0, vmax=1)
        letter, words = name.split(": ")
        axes.set_title(f"{letter}\n{fill(words, 18)}", fontsize=9)
    figure.alt = "Four windows of 3 by 3 pixels with a bright and a dark side. " + ". ".join(_EDGES) + "."
    return figure


def _edge(answer: Any) -> None:
    kernel = tensor(call(answer), "The kernel").numpy()
    if kernel.shape != (3, 3) or not np.isfinite(kernel).all():
        raise Mistake(f"Give 3 rows of 3 finite numbers; received the shape {kernel.shape}.")
    size = np.abs(kernel).max()
    if size == 0:
        raise Mistake("All entries are 0, so it answers nothing at all.")
    kernel = kernel / size
    if abs(kernel.sum()) > 1e-3:
        raise Mistake(
            f"On a flat area of brightness 1 it answers {kernel.sum() * size:.3g}, where there is no edge. What must "
            "the entries add up to?"
        )
    answers = {name[0]: float((kernel * np.array(edge)).sum()) for name, edge in _EDGES.items()}
    wanted, others = answers.pop("A"), {name: abs(value) for name, value in answers.items()}
    if wanted < 0:
        raise Mistake("To edge A it answers with a negative number: bright and dark have changed places.")
    if wanted < 1e-3:
        raise Mistake(
            "To edge A it answers 0. Put positive entries where A is bright, and negative ones where it is dark."
        )
    name = max(others, key=others.__getitem__)
    if wanted < _CLEARLY * others[name]:
        words = {
            "B": "B runs along the other diagonal. Which entries should be alike: those along A's border.",
            "C": "C is upright. Entries along A's border, from the upper left to the lower right, should be alike.",
            "D": "D lies flat. Entries along A's border, from the upper left to the lower right, should be alike.",
        }
        raise Mistake(
            f"It answers {wanted * size:.3g} to A, but {others[name] * size:.3g} to {name} (or its opposite), which is "
            f"not clearly less. {words[name]}"
        )


def _whole(value: Any, what: str) -> torch.Tensor:
    return torch.tensor(number(value, what), dtype=torch.float64)


def _field(layers: list[tuple[int, int, int]], step: Callable[..., float] | None = None) -> float:
    """The receptive field of (kernel, stride, dilation) layers; `step(k, s, d, jump)` is what one layer adds to it."""
    field, jump = 1.0, 1
    for k, s, d in layers:
        field += (k - 1) * d * jump if step is None else step(k, s, d, jump)
        jump *= s
    return field


def _receptive_field(answer: Any) -> None:
    stacks = (
        [(3, 1, 1)],
        [(3, 1, 1), (3, 1, 1)],
        [(5, 2, 1), (3, 2, 1), (3, 1, 1)],
        [(3, 1, 1), (3, 1, 2), (3, 1, 4)],
        [(7, 2, 1), (3, 2, 2), (2, 2, 1), (3, 1, 3)],
    )
    for layers in stacks:
        name = f"The receptive field of {layers}"
        given = _whole(call(answer, list(layers)), name)
        product = float(np.prod([k for k, _, _ in layers]))
        mistakes = [
            (product, "Kernel sizes do not multiply. Each layer adds to the field."),
            (
                float(sum(k for k, _, _ in layers)),
                "Windows of neighbours overlap: a layer adds its kernel size minus 1, and the first pixel counts once.",
            ),
            (_field(layers) - 1, "The pixel that one starts with is missing: begin with 1."),
            (
                _field(layers, lambda k, s, d, jump: (k - 1) * d),
                "The strides are missing: after a stride of 2, a step in the layer is two pixels of the input.",
            ),
            (
                _field(layers, lambda k, s, d, jump: (k - 1) * d * jump * s),
                "A layer's own stride moves the windows of later layers, not its own.",
            ),
            (
                _field(layers, lambda k, s, d, jump: (k - 1) * d * s),
                "All strides before a layer multiply, not the layer's own.",
            ),
            (
                _field(layers, lambda k, s, d, jump: (k - 1) * jump),
                "The dilation is missing: it puts its distance between the pixels of the window.",
            ),
            (
                _field(layers, lambda k, s, d, jump: (k * d - 1) * jump),
                "A kernel of k pixels has k − 1 gaps. Dilation makes each gap longer: (k − 1) · d.",
            ),
        ]
        compare(name, given, _field(layers), mistakes)


def _after(n: int, layers: list[tuple[int, int, int]], one: Callable[[float, int, int, int], float]) -> float:
    size: float = n
    for k, s, p in layers:
        size = one(size, k, s, p)
    return size


def _output_size(answer: Any) -> None:
    for n, layers in (
        (8, [(3, 1, 0)]),
        (8, [(3, 1, 1)]),
        (9, [(3, 2, 1)]),
        (28, [(5, 1, 2), (2, 2, 0), (5, 2, 0)]),
        (224, [(7, 2, 3), (3, 2, 1), (1, 1, 0), (3, 2, 1)]),
    ):
        name = f"The size after {layers} on {n} pixels"
        right = _after(n, layers, lambda m, k, s, p: (m + 2 * p - k) // s + 1)
        mistakes = [
            (
                _after(n, layers, lambda m, k, s, p: (m + 2 * p - k + 1) // s),
                "The 1 is added after the division: count the moves, then add the first window.",
            ),
            (_after(n, layers, lambda m, k, s, p: (m - k) // s + 1), "The padding is missing."),
            (_after(n, layers, lambda m, k, s, p: (m + p - k) // s + 1), "The padding stands on both sides: 2 · p."),
            (_after(n, layers, lambda m, k, s, p: m + 2 * p - k + 1), "The stride is missing: divide by it."),
            (
                _after(n, layers, lambda m, k, s, p: (m + 2 * p - k) // s),
                "One too few at each layer: the first window counts before the first move. Add 1.",
            ),
            (
                _after(n, layers, lambda m, k, s, p: (m + 2 * p - k) / s + 1),
                "A window fits or it does not: round down at each layer.",
            ),
            (
                _after(n, layers, lambda m, k, s, p: -(-(m + 2 * p - k) // s) + 1),
                "Round down, not up: a window that no longer fits gives no output.",
            ),
            (
                _after(n, layers[:1], lambda m, k, s, p: (m + 2 * p - k) // s + 1),
                "That is the first layer's output. It is the next layer's input: go on through the list.",
            ),
        ]
        compare(name, _whole(call(answer, n, list(layers)), name), right, mistakes)


EXERCISES = (
    Exercise(
        name="convolution.conv2d",
        question="Give the convolution of the picture x with the kernel w, in NumPy.",
        examine=_conv2d,
        hints=(
            "Pad first: np.pad(x, padding). Then output row i, column j belongs to the window that begins in row "
            "i · stride, column j · stride.",
            "The window is x[i * stride : i * stride + k, j * stride : j * stride + k]. Multiply by w, sum.",
        ),
        code=(
            "import numpy as np\n\n"
            "def conv2d(x, w, stride, padding):\n"
            "    x = np.pad(x, padding)\n"
            "    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape)\n"
            "    return (windows[::stride, ::stride] * w).sum((2, 3))"
        ),
        praise="Right: the same numbers as torch's conv2d. All that a convolutional layer does is in these lines.",
    ),
    Exercise(
        name="convolution.edge",
        question="Give a 3×3 kernel that answers to edge A with a positive number, and clearly less to the others.",
        examine=_edge,
        hints=(
            "Its entries add up to 0, so that flat areas give 0. Those on A's bright side are positive.",
            "Sobel's kernel has 0 along the border of its edge. Turn it by 45 degrees.",
        ),
        code="def edge():\n    return [[0, 1, 2], [-1, 0, 1], [-2, -1, 0]]",
        praise="Right. You have written a feature detector. A network finds such kernels by gradient descent.",
    ),
    Exercise(
        name="convolution.receptive_field",
        question="Give the receptive field, in pixels along a side, of a stack of (kernel, stride, dilation) layers.",
        examine=_receptive_field,
        hints=(
            "Begin with 1 pixel. Each layer adds (kernel − 1) steps. How long is a step, in pixels of the input?",
            "A step is the product of all strides before the layer, times the layer's dilation.",
        ),
        code=(
            "def receptive_field(layers):\n"
            "    field, step = 1, 1\n"
            "    for kernel, stride, dilation in layers:\n"
            "        field += (kernel - 1) * dilation * step\n"
            "        step *= stride\n"
            "    return field"
        ),
        praise="Right. Depth adds to the field, strides multiply what each layer adds.",
    ),
    Exercise(
        name="convolution.output_size",
        question="Give the size of the output, along a side, of (kernel, stride, padding) layers on n pixels.",
        examine=_output_size,
        hints=(
            "One layer: how many moves of the window fit, plus the place where it starts.",
            "(n + 2 · padding − kernel) // stride + 1. The output of one layer is the input of the next.",
        ),
        code=(
            "def output_size(n, layers):\n"
            "    for kernel, stride, padding in layers:\n"
            "        n = (n + 2 * padding - kernel) // stride + 1\n"
            "    return n"
        ),
        praise="Right. Now you can read the shapes of any convolutional network.",
    ),
)
