"""Exercises of notebook 05."""

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from labkit.exercises.compare import compare, tensor, tensors
from labkit.exercises.exercise import Exercise, Mistake, call

if TYPE_CHECKING:
    from labkit.plots.figure import Figure


def _he(answer: Any) -> None:
    for shape in ((50, 200), (16, 8, 3, 5)):
        outputs, inputs, *kernel = shape
        field = math.prod(kernel)
        fan_in, fan_out = inputs * field, outputs * field
        mistakes = [
            (2 / fan_in, "That is the variance. The standard deviation is its root."),
            (
                math.sqrt(1 / fan_in),
                "That is for a linear layer. ReLU drops half of the signal, so the variance is 2 / fan-in.",
            ),
            (
                math.sqrt(2 / fan_out),
                "That is fan-out: what leaves an input. Going forward, count what enters an output.",
            ),
            (math.sqrt(2 / (fan_in + fan_out)), "That is Xavier's, made for tanh. He's has fan-in alone below the 2."),
            (math.sqrt(6 / fan_in), "That is the bound of the uniform distribution. The standard deviation is asked."),
            (math.sqrt(2 / math.prod(shape)), "You counted all weights. Only those that enter one output count."),
            (2 / math.sqrt(fan_in), "The 2 belongs under the root: √(2 / fan-in)."),
        ]
        if kernel:
            mistakes += [
                (
                    math.sqrt(2 / inputs),
                    "Right for a linear layer. In a convolution each input channel enters by a whole kernel.",
                ),
                (math.sqrt(2 / field), "An output sees the kernel on every input channel: multiply by the channels."),
                (math.sqrt(2 / (inputs * kernel[0])), "The kernel has a height and a width. Multiply by both."),
            ]
        name = f"The standard deviation for weights of the shape {shape}"
        compare(name, tensor(call(answer, shape), name), math.sqrt(2 / fan_in), mistakes)


def _residual(answer: Any) -> None:
    x, w = 0.8, 1.5
    f = math.tanh(w * x)
    bend = w * (1 - f**2)
    y, slope = tensors(call(answer, x, w), "y", "slope")
    compare(
        "y",
        y,
        x + f,
        (
            (f, "y: that is a plain layer. A residual block adds its input: x + tanh(w · x)."),
            (math.tanh(x + w * x), "y: x is added after tanh, not before. Nothing bends the way past the layer."),
            (x * f, "y: x is added, not multiplied."),
            (1 + bend, "You gave the slope and y. Give y first, then the slope."),
        ),
    )
    compare(
        "slope",
        slope,
        1 + bend,
        (
            (bend, "The slope is that of tanh(w · x) alone. The added x brings 1 more."),
            (1 - bend, "The slopes of x and of tanh(w · x) add."),
            (2 - f**2, "The slope misses w: inside tanh stands w · x, which grows by w with x."),
            (1 + x * (1 - f**2), "That is with respect to w. With respect to x, w · x grows by w."),
            (1 + w, "The slope misses that of tanh, 1 − tanh²."),
            (1 - f**2, "The slope of tanh must be multiplied by w, and the added x brings 1 more."),
        ),
    )


# Four ten-layer nets before their first step, one illness each: activation, standard deviation of the weights as a
# multiple of 1 / √fan-in, and the biases that its units take in turn.
_LAYERS, _WIDTH, _EXAMPLES = 10, 64, 256
_PATIENTS: dict[str, tuple[str, nn.Module, float, tuple[float, float]]] = {
    "A": ("vanishing", nn.Tanh(), 0.4, (0, 0)),
    "B": ("dead", nn.ReLU(), math.sqrt(2), (-2.5, -2.5)),
    "C": ("exploding", nn.ReLU(), 4.0, (0, 0)),
    "D": ("saturated", nn.Sigmoid(), 4.0, (-6, 6)),
}


def _statistics(patient: str) -> tuple[list[torch.Tensor], list[float]]:
    """By layer: the activations, (examples, units), and the norm of the gradient of the loss with respect to them."""
    _, activation, scale, biases = _PATIENTS[patient]
    bias = torch.tensor(biases, dtype=torch.float32).repeat(_WIDTH // 2)
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(_EXAMPLES, _WIDTH, generator=generator).requires_grad_()
    outputs = []
    for _ in range(_LAYERS):
        weight = torch.randn(_WIDTH, _WIDTH, generator=generator) * scale / math.sqrt(_WIDTH)
        value = activation(value @ weight.T + bias)
        outputs.append(value)
    direction = torch.randn(_WIDTH, generator=generator) / math.sqrt(_WIDTH)
    gradients = torch.autograd.grad((value @ direction).mean(), outputs)
    return [output.detach() for output in outputs], [float(gradient.norm()) for gradient in gradients]


def four_patients() -> "Figure":
    """Activations and gradients by layer of four nets that will not train: A to D of `depth.diagnose`."""
    import numpy as np

    from labkit.plots.figure import Figure  # matplotlib is imported when a figure is asked for
    from labkit.plots.look import ACCENT, SOFT, number, plain_axes

    figure = Figure(figsize=(9, 4), layout="constrained", facecolor="white")
    above, below = figure.subplots(2, len(_PATIENTS))
    places = np.arange(1, _LAYERS + 1)
    for name, top, bottom in zip(_PATIENTS, above, below, strict=True):
        outputs, gradients = _statistics(name)
        values = torch.stack(outputs).flatten(1).numpy()
        low, high = min(float(values.min()), 0.0), float(values.max())
        shares = np.stack([np.histogram(layer, bins=20, range=(low, high))[0] for layer in values], 1) / values.shape[1]
        top.imshow(shares, cmap="Blues", vmin=0, vmax=0.6, aspect="auto", origin="lower", extent=(0.5, 10.5, low, high))
        top.set_title(name, fontsize=11)
        ticks = sorted({low, 0.0, high})
        top.set_yticks(ticks, [number(tick) for tick in ticks])
        bottom.plot(places, [gradient or np.nan for gradient in gradients], "o-", color=ACCENT, markersize=4)
        for place in places[np.array(gradients) == 0]:
            bottom.text(place, 0.05, "0", ha="center", color=SOFT, fontsize=8, transform=bottom.get_xaxis_transform())
        bottom.set_yscale("log")
        bottom.set_ylim(1e-9, 1e4)
        bottom.set_yticks([1e-8, 1e-4, 1, 1e4])
        for axes in (top, bottom):
            plain_axes(axes)
            axes.set_xlim(0.5, _LAYERS + 0.5)
            axes.set_xticks([1, 5, 10])
        bottom.set_xlabel("layer", fontsize=9)
    above[0].set_ylabel("activations", fontsize=9)
    below[0].set_ylabel("size of gradients", fontsize=9)
    figure.alt = (
        "Four nets of ten layers: above the activations of each layer, darker where there are more, below the size of "
        "its gradients. A: activations shrink to 0, and gradients fall from 0.05 in layer 10 to 1e-5 in layer 1. "
        "B: from layer 2 on every activation is exactly 0, and so is each gradient below layer 10. C: activations grow "
        "to 158 k, gradients grow from layer 10 to layer 1. D: activations lie at 0 or at 1, and gradients fall from "
        "0.05 to 1e-8."
    )
    return figure


_ILLNESSES = {patient: illness for patient, (illness, *_) in _PATIENTS.items()}
_CLUES = {
    "B": {
        "vanishing": "Look at B: a gradient that vanishes gets smaller and smaller. Here it is exactly 0. Why?",
        "exploding": "Look at B: nothing grows. Every activation is 0 from layer 2 on.",
        "saturated": "Look at B: all lie at 0, none at an upper end. Which activation gives exactly 0?",
    },
    "C": {
        "vanishing": "Look at C's numbers: which way do the gradients change, going back from layer 10 to layer 1?",
        "dead": "Look at C: at the scale of the last layer the first look like 0, but their gradients are not.",
        "saturated": "Look at C: activations up to 158 k. A saturated unit cannot leave its ends.",
    },
    "D": {
        "vanishing": "Look at D: the gradients do vanish, but the activations say why. Where do they lie?",
        "dead": "Look at D: half of the activations are 1. A dead unit gives 0.",
        "exploding": "Look at D: activations stay between 0 and 1, and gradients fall.",
    },
    "A": {
        "dead": "Look at A: the activations get small, but its gradients are nowhere exactly 0.",
        "exploding": "Look at A: going back from layer 10, do the gradients grow or shrink?",
        "saturated": "Look at A: the activations leave the ends and gather in the middle, where tanh is steep.",
    },
}


def _diagnose(answer: Any) -> None:
    given = call(answer)
    if isinstance(given, str) or not hasattr(given, "__iter__"):
        raise Mistake('Give four words, for A, B, C and D, such as ["dead", "vanishing", ...].')
    said = [str(illness).lower() for illness in given]
    if len(said) != len(_ILLNESSES) or not set(said) <= set(_ILLNESSES.values()):
        raise Mistake(
            f"Give one of {', '.join(sorted(_ILLNESSES.values()))} for each of A, B, C and D; received {said}."
        )
    illnesses = dict(zip(_ILLNESSES, said, strict=True))
    for patient, clues in _CLUES.items():
        if illnesses[patient] != _ILLNESSES[patient]:
            raise Mistake(clues[illnesses[patient]])


EXERCISES = (
    Exercise(
        name="depth.he",
        question="Give the standard deviation of He's initialisation for a weight of this shape.",
        examine=_he,
        hints=(
            "Fan-in is how many numbers enter one output: for a linear layer its inputs, shape[1].",
            "In a convolution one output sees its kernel on every input channel. The variance is 2 / fan-in.",
        ),
        code="import math\n\ndef he(shape):\n    fan_in = math.prod(shape[1:])\n    return math.sqrt(2 / fan_in)",
        praise="Right. ReLU drops half of the signal and the 2 makes up for it, so it keeps its size at any depth.",
    ),
    Exercise(
        name="depth.residual",
        question="Give the output y of the residual block x + tanh(w · x), and its slope dy/dx.",
        examine=_residual,
        hints=(
            "Two paths lead from x to y: one through tanh, and one past it. Their outputs add, and so do their slopes.",
            "The path past the layer has slope 1. The other has w · (1 − tanh²(w · x)).",
        ),
        code="import math\n\ndef residual(x, w):\n    f = math.tanh(w * x)\n    return x + f, 1 + w * (1 - f**2)",
        praise="Right. However small the slope of the layer, the gradient has a way past it: that 1.",
    ),
    Exercise(
        name="depth.diagnose",
        question="Give what A, B, C and D suffer from: dead, exploding, saturated or vanishing.",
        examine=_diagnose,
        hints=(
            "First look at the gradients, from layer 10 back to layer 1: do they grow, shrink, or stop at exactly 0?",
            "Two of them shrink. Look at their activations: in one they gather at 0, in the other at both ends.",
        ),
        code='def diagnose():\n    return ["vanishing", "dead", "exploding", "saturated"]',
        praise="Right. The gradients say that something is wrong, the activations say what.",
    ),
)
