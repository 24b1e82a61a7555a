"""Exercises of notebook 03."""

import math
from typing import Any

import numpy as np
import torch

from labkit.exercises.compare import compare, tensor, tensors
from labkit.exercises.exercise import Exercise, Mistake, call, number


def _chain_rule(answer: Any) -> None:
    x, b = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([0.3, -0.2])
    w = torch.tensor([[0.5, 0.25, -1.0], [0.25, 0.5, -0.8]])
    dy = torch.tensor([1.0, -2.0])
    z = w @ x + b  # 0.55 and -0.6
    y = torch.tanh(z)
    dz = dy * (1 - y**2)
    arguments = [value.clone() for value in (x, w, b, dy)]
    dw, db, dx = tensors(call(answer, *arguments), "dw", "db", "dx")
    compare(
        "db",
        db,
        dz,
        (
            (dy, "db: the activation is missing. Through tanh the gradient is multiplied by its slope, 1 − y²."),
            (1 - y**2, "db: that is the slope of tanh alone. Multiply it by dy, the gradient that comes in."),
            (dy * (1 - y), "db: the slope of tanh is 1 − y², not 1 − y."),
            (dy * (1 - z**2), "db: the slope of tanh is 1 − y² with y = tanh(z). You took z itself."),
            (dy * (1 - dy**2), "db: the slope of tanh is 1 − y² with y = tanh(z). You took dy in place of y."),
            (
                torch.ones(2),
                "db: z grows by 1 with b, that is the local slope. Multiply it by the gradient that comes in.",
            ),
            (dz.sum(), "db: each output has a bias of its own, so nothing is added up here."),
        ),
    )
    compare(
        "dw",
        dw,
        torch.outer(dz, x),
        (
            (
                torch.outer(x, dz),
                "dw is turned: it needs the shape of w, a row for each output and a column for each input.",
            ),
            (
                torch.outer(dy, x),
                "dw: the activation is missing. Start from dz, which you have in db, and not from dy.",
            ),
            (x.expand(2, 3), "dw: x is the local slope. Multiply it by the gradient of z."),
            (dz[:, None] * w, "dw: the slope of w · x with respect to w is x, not w."),
        ),
    )
    compare(
        "dx",
        dx,
        w.T @ dz,
        (
            (w.T @ dy, "dx: the activation is missing. Start from dz, which you have in db, and not from dy."),
            (w.sum(0), "dx: w is the local slope. Multiply it by the gradient of z, then add over the outputs."),
            (w.T * dz, "dx: each input feeds both outputs. Add what comes back from them."),
            (dz[:, None] * w, "dx: each input feeds both outputs. Add what comes back from them, over the rows."),
            (w[0] * dz[0], "dx: that comes back from output 0 only. Each input feeds both outputs: add both."),
        ),
    )


def _two_layers(answer: Any) -> None:
    x = np.array([[1.0, 2.0], [-1.0, 0.5], [0.5, -1.0], [2.0, 1.0]])
    y = np.array([[1.0], [0.0], [-1.0], [2.0]])
    w1, b1 = np.array([[0.5, -0.5], [1.0, 0.5], [-1.0, 0.25]]), np.array([0.1, -0.2, 0.3])
    w2, b2 = np.array([[1.0, -0.5, 2.0]]), np.array([0.4])
    z = x @ w1.T + b1  # each neuron is on for some examples and off for others
    h = np.maximum(z, 0)
    error = h @ w2.T + b2 - y
    dout = 2 * error / len(x)
    dh = dout @ w2
    dz = dh * (z > 0)
    arguments = [array.copy() for array in (x, y, w1, b1, w2, b2)]
    dw1, db1, dw2, db2 = tensors(call(answer, *arguments), "dw1", "db1", "dw2", "db2")
    compare(
        "db2",
        db2,
        dout.sum(0),
        (
            (-dout.sum(0), "db2 has the wrong sign. The slope of (out − y)² is 2 (out − y), not 2 (y − out)."),
            (dout.sum(0) / 2, "db2 is half of it. The square brings a factor of 2."),
            (dout.sum(0) * len(x), "db2 is 4 times too large. The loss is the mean over 4 examples: divide by 4."),
            (error.sum(0), "db2: the loss is the mean of the squares. That brings a factor of 2 and a division by 4."),
            (dout.mean(0), "db2 was divided by the 4 examples twice. The mean in the loss has done it: add up here."),
            (dout, "db2: all examples use the same bias. Add their gradients: .sum(axis=0)."),
        ),
    )
    compare(
        "dw2",
        dw2,
        dout.T @ h,
        (
            ((dout.T @ h).T, "dw2 is turned: it needs the shape of w2, a row for each output."),
            (dout.T @ z, "dw2: w2 was multiplied by h, what is left after ReLU, and not by z."),
        ),
    )
    compare(
        "db1",
        db1,
        dz.sum(0),
        (
            (dh.sum(0), "db1: ReLU is missing. Where z is not above 0 it stops the gradient: multiply by (z > 0)."),
            ((dh * h).sum(0), "db1: the slope of ReLU is 1 or 0, not its value. Multiply by (z > 0), not by h."),
            (np.maximum(dh, 0).sum(0), "db1: ReLU's slope asks for the sign of z, not of the gradient: use (z > 0)."),
            (dz.mean(0), "db1 was divided by the 4 examples twice. The mean in the loss has done it: add up here."),
            (dz, "db1: all examples use the same bias. Add their gradients: .sum(axis=0)."),
        ),
    )
    compare(
        "dw1",
        dw1,
        dz.T @ x,
        (
            (x.T @ dz, "dw1 is turned: it needs the shape of w1, a row for each hidden neuron."),
            (dh.T @ x, "dw1: ReLU is missing. Start from the gradient of z, which you have in db1."),
            (dz.T @ h, "dw1: w1 was multiplied by x, not by h."),
        ),
    )


_STEP = 0.1


def _finite_difference(answer: Any) -> None:
    w = torch.tensor([2.0, 3.0], dtype=torch.float64)

    def loss(w: torch.Tensor) -> torch.Tensor:
        return w[0] ** 3 * w[1]

    def at(nudge: float) -> float:
        return (2 + nudge) ** 3 * 3

    mine = w.clone()
    result = number(call(answer, loss, mine, 0, _STEP), "The finite difference")
    if mine.tolist() != w.tolist():
        raise Mistake("Your function left w changed, so the next one starts elsewhere. Nudge a copy: w.clone().")
    both = (2.1**3 * 3.1 - 1.9**3 * 2.9) / (2 * _STEP)
    compare(
        "The finite difference",
        tensor(result, "The finite difference"),
        (at(_STEP) - at(-_STEP)) / (2 * _STEP),
        (
            ((at(_STEP) - at(0)) / _STEP, "That looks to one side only. Step to both sides: its error falls with h²."),
            ((at(0) - at(-_STEP)) / _STEP, "That looks back only. Step to both sides: its error falls with h²."),
            ((at(_STEP) - at(-_STEP)) / _STEP, "From w − h to w + h it is 2h. You divided by h."),
            (at(_STEP) - at(-_STEP), "That is the difference of the losses. Divide by the distance, 2h."),
            ((at(_STEP) - at(-_STEP)) / 2 * _STEP, "/ 2 * h divides by 2, then multiplies by h. Write / (2 * h)."),
            ((at(-_STEP) - at(_STEP)) / (2 * _STEP), "The sign is turned: first w + h, then minus w − h."),
            ((at(_STEP / 2) - at(-_STEP / 2)) / (2 * _STEP), "You stepped h / 2 to each side and divided by 2h."),
            (both, "You nudged every weight. The derivative with respect to w[i] moves w[i] alone."),
            (36, "That is the derivative itself, or a far smaller h. Use the h that is given."),
        ),
    )
    second = number(call(answer, loss, w.clone(), 1, _STEP), "The finite difference")
    if not math.isclose(second, 8, rel_tol=1e-6):
        raise Mistake(
            f"Right for i = 0, but for i = 1 you have {second:.4g} in place of 8. Nudge w[i], whichever i is."
        )


def _sum_over_uses(answer: Any) -> None:
    w, x = 0.5, 2.0
    u = math.tanh(w * x)
    first, second = u, w * (1 - u**2) * x
    compare(
        "The derivative",
        tensor(call(answer, w, x), "The derivative"),
        first + second,
        (
            (first, "That is one path: w as the factor of u. But u holds w too. Add the path through u."),
            (second, "That is the path through u. w is a factor as well: add that path, it gives u."),
            (first * second, "Along one path you multiply. Two paths add."),
            (first + second / x, "The path through u misses x: w · x grows by x with w."),
            (first + second / w, "The path through u misses w: y = w · u grows by w with u."),
            (first + w * x, "The path through u misses the slope of tanh, 1 − u²."),
            (w * u, "That is y itself. Its derivative with respect to w is asked."),
        ),
    )


EXERCISES = (
    Exercise(
        name="backprop.chain_rule",
        question="Give the gradients of the loss with respect to w, b and x, in this order.",
        examine=_chain_rule,
        hints=(
            "First go back through tanh: dz = dy * (1 - y**2), with y = tanh(w @ x + b).",
            "b is added to z, so its gradient is dz. w[i, j] reached z[i] multiplied by x[j]: dz[i] * x[j].",
            "torch.outer(dz, x) gives all dz[i] * x[j] at once. x[j] feeds every output: add up w[i, j] * dz[i].",
        ),
        code=(
            "import torch\n\ndef chain_rule(x, w, b, dy):\n    y = torch.tanh(w @ x + b)\n    dz = dy * (1 - y**2)\n"
            "    return torch.outer(dz, x), dz, w.T @ dz"
        ),
        praise="Right. Every linear layer does this on the way back, and hands dx to the layer before it.",
    ),
    Exercise(
        name="backprop.two_layers",
        question="Give the gradients of the loss with respect to w1, b1, w2 and b2, in this order.",
        examine=_two_layers,
        hints=(
            "Run forward first and keep z, h and out. The gradient of out is 2 * (out - y) / len(x).",
            "Through the second layer: dw2 = dout.T @ h, db2 = dout.sum(axis=0), dh = dout @ w2.",
            "Through ReLU: dz = dh * (z > 0). The first layer is then like the second, with x in place of h.",
        ),
        code=(
            "import numpy as np\n\ndef two_layers(x, y, w1, b1, w2, b2):\n    z = x @ w1.T + b1\n"
            "    h = np.maximum(z, 0)\n    out = h @ w2.T + b2\n    dout = 2 * (out - y) / len(x)\n"
            "    dz = (dout @ w2) * (z > 0)\n    return dz.T @ x, dz.sum(axis=0), dout.T @ h, dout.sum(axis=0)"
        ),
        praise="Right. This is backpropagation: for more layers, repeat the two lines.",
    ),
    Exercise(
        name="backprop.finite_difference",
        question="Give the central finite difference of loss at w with respect to w[i], with steps of h.",
        examine=_finite_difference,
        hints=(
            "Compute the loss with w[i] a little larger, and with w[i] a little smaller. The rest of w stays.",
            "plus = w.clone(); plus[i] += h. Make minus the same way, and divide the difference by 2 * h.",
        ),
        code=(
            "def finite_difference(loss, w, i, h):\n    plus, minus = w.clone(), w.clone()\n    plus[i] += h\n"
            "    minus[i] -= h\n    return (loss(plus) - loss(minus)) / (2 * h)"
        ),
        praise="Right. It needs no calculus, only the loss, and so it checks any gradient.",
    ),
    Exercise(
        name="backprop.sum_over_uses",
        question="Give the derivative of y = w · tanh(w · x) with respect to w.",
        examine=_sum_over_uses,
        hints=(
            "w reaches y on two paths: as the factor in front, and inside tanh. Take each alone, then add.",
            "With u = tanh(w · x): the first path gives u, the second w · (1 − u²) · x.",
        ),
        code=("import math\n\ndef sum_over_uses(w, x):\n    u = math.tanh(w * x)\n    return u + w * (1 - u**2) * x"),
        praise="Right. So it is with every weight used often: in a convolution, in a recurrent net, in a batch.",
    ),
)
