"""Exercises of notebook 04."""

import math
from typing import Any

import torch

from labkit.exercises.compare import compare, tensor, tensors
from labkit.exercises.exercise import Exercise, call


def _limit(answer: Any) -> None:
    x = torch.tensor([[1, 0, -1], [2, 1, 0], [0, 1, 0], [1, -1, 0.5], [1, 1, 0.5]])
    n, largest, middle, smallest = 5, 8.0, 3.0, 1.5  # examples; the eigenvalues of x.T @ x
    sharpness = 2 * largest / n
    centred = x - x.mean(0)
    compare(
        "The limit",
        tensor(call(answer, x), "The limit"),
        2 / sharpness,
        (
            (sharpness, "That is the sharpness. The limit is 2 divided by it."),
            (
                1 / sharpness,
                "That rate goes straight to the bottom of the steepest direction. The limit is twice as far.",
            ),
            (2 / (2 * largest), "The loss is a mean: divide x.T @ x by the number of examples."),
            (2 / largest, "The Hessian is 2 · x.T @ x / n. Your matrix has no factor 2, and no division by n."),
            (2 / (largest / n), "The square brings a factor of 2: the Hessian is 2 · x.T @ x / n."),
            (
                2 / (largest / len(x.flatten())),
                "The mean is over the examples. Divide by len(x), not by all numbers in x.",
            ),
            (
                2 / (2 * largest / len(x.flatten())),
                "Divide x.T @ x by the number of examples, not of all numbers in x.",
            ),
            (
                2 / (2 * smallest / n),
                "That is for the flattest direction. The steepest diverges first: take the largest.",
            ),
            (2 / (2 * (largest + middle + smallest) / n), "You added all eigenvalues. The largest alone decides."),
            (2 / (2 * math.sqrt(largest) / n), "Singular values of x must be squared to be eigenvalues of x.T @ x."),
            (
                2 / (2 * torch.linalg.eigvalsh(centred.T @ centred)[-1] / n),
                "Do not subtract the mean from x: this model has no bias that would take care of it.",
            ),
        ),
    )


def _momentum(answer: Any) -> None:
    w, v, gradient, lr, momentum = 1.0, 0.5, 2.0, 0.1, 0.9
    new = momentum * v + gradient
    result = tensors(call(answer, w, v, gradient, lr, momentum), "w", "v")
    compare(
        "The velocity v",
        result[1],
        new,
        (
            (
                momentum * v + (1 - momentum) * gradient,
                "That is a running mean. torch.optim.SGD adds the whole gradient to v.",
            ),
            (momentum * v - lr * gradient, "That puts lr into v. torch.optim.SGD leaves it out, and applies lr to w."),
            (momentum * v + lr * gradient, "That puts lr into v. torch.optim.SGD leaves it out, and applies lr to w."),
            (v + gradient, "The old velocity must fade: multiply it by momentum."),
            (v, "v is the old one. Make the new velocity first, then the step."),
            (w - lr * new, "You gave v and w. Give w first, then v."),
        ),
    )
    compare(
        "The weight w",
        result[0],
        w - lr * new,
        (
            (w - lr * gradient, "w moved by the gradient alone. It moves by the velocity: w − lr · v."),
            (w - lr * v, "w moved by the old velocity. torch.optim.SGD takes the new one."),
            (w + lr * new, "That climbs. Subtract lr · v."),
            (w - new, "The learning rate is missing: w − lr · v."),
            (
                w - lr * (gradient + momentum * new),
                "That is Nesterov's step, which looks ahead. Plain momentum is asked.",
            ),
        ),
    )


def _adam(answer: Any) -> None:
    w, gradient, m, v, t, lr, beta1, beta2, eps = 1.0, 0.5, 0.2, 0.04, 3, 0.1, 0.9, 0.99, 0.05
    m1, v1 = beta1 * m + (1 - beta1) * gradient, beta2 * v + (1 - beta2) * gradient**2

    def step(m: float, v: float, t: float = t) -> float:
        return w - lr * (m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t)) + eps)

    mean, square = m1 / (1 - beta1**t), v1 / (1 - beta2**t)
    new_w, new_m, new_v = tensors(call(answer, w, gradient, m, v, t, lr, beta1, beta2, eps), "w", "m", "v")
    compare(
        "m",
        new_m,
        m1,
        (
            (
                mean,
                "m was stored with its correction, so the next step corrects twice. Return m as it was.",
            ),
            (beta1 * m + gradient, "m is a running mean: the new gradient counts 1 − β₁, not 1."),
            ((1 - beta1) * m + beta1 * gradient, "β₁ is the share of the old m. You gave it to the new gradient."),
            (beta2 * m + (1 - beta2) * gradient, "m takes β₁, v takes β₂. You have them the other way round."),
            (m, "m is the old one. Mix the new gradient in first."),
        ),
    )
    compare(
        "v",
        new_v,
        v1,
        (
            (
                square,
                "v was stored with its correction, so the next step corrects twice. Return v as it was.",
            ),
            (beta2 * v + (1 - beta2) * gradient, "v is the running mean of the squares: use the gradient squared."),
            (beta2 * v + gradient**2, "v is a running mean: the new square counts 1 − β₂, not 1."),
            ((1 - beta2) * v + beta2 * gradient**2, "β₂ is the share of the old v. You gave it to the new square."),
            (beta1 * v + (1 - beta1) * gradient**2, "v takes β₂, m takes β₁. You have them the other way round."),
            (v, "v is the old one. Mix the new square in first."),
        ),
    )
    compare(
        "w",
        new_w,
        step(m1, v1),
        (
            (
                w - lr * m1 / (math.sqrt(v1) + eps),
                "The bias correction is missing: divide m by 1 − β₁ᵗ and v by 1 − β₂ᵗ.",
            ),
            (w - lr * mean / (math.sqrt(v1) + eps), "Only m is corrected. Divide v by 1 − β₂ᵗ before the root."),
            (w - lr * m1 / (math.sqrt(square) + eps), "Only v is corrected. Divide m by 1 − β₁ᵗ."),
            (w - lr * mean / math.sqrt(square + eps), "ε stands inside the root. Add it after the root."),
            (
                w - lr * mean / math.sqrt(square),
                "ε is missing. Without it the step divides by 0 where all gradients were 0.",
            ),
            (w - lr * mean / (square + eps), "The root is missing: divide by √v̂ + ε."),
            (
                w - lr * mean / (math.sqrt(v1) / (1 - beta2**t) + eps),
                "You took the root before the correction. Correct v, then take the root.",
            ),
            (
                w - lr * mean * (math.sqrt(square) + eps),
                "You multiplied by √v̂ + ε. Divide by it: steep weights take smaller steps.",
            ),
            (step(m1, v1, t + 1), "t is one too large. Steps count from 1, so t is right as it is given."),
            (step(m1, v1, t - 1), "t is one too small. Steps count from 1, so t is right as it is given."),
            (step(m, v), "The step uses the old m and v. Take the new ones."),
            (2 * w - step(m1, v1), "That climbs. Subtract the step."),
        ),
    )


EXERCISES = (
    Exercise(
        name="descent.limit",
        question="Give the learning rate above which gradient descent diverges on this linear regression.",
        examine=_limit,
        hints=(
            "The loss is a quadratic in w. Its matrix of second derivatives, the Hessian, is 2 · x.T @ x / n.",
            "The sharpness is its largest eigenvalue: torch.linalg.eigvalsh(hessian)[-1]. The limit is 2 / sharpness.",
        ),
        code=(
            "import torch\n\ndef limit(x):\n    hessian = 2 * x.T @ x / len(x)\n"
            "    return 2 / torch.linalg.eigvalsh(hessian)[-1]"
        ),
        praise="Right. The targets do not matter: they move the valley, and leave its shape.",
    ),
    Exercise(
        name="descent.momentum",
        question="Give the weight and the velocity after one step of torch.optim.SGD with momentum.",
        examine=_momentum,
        hints=(
            "First the new velocity: the old one times momentum, plus the gradient.",
            "Then the weight: w − lr · v, with the new v. Return w, v.",
        ),
        code=("def momentum(w, v, gradient, lr, momentum):\n    v = momentum * v + gradient\n    return w - lr * v, v"),
        praise="Right. Where gradients agree, the velocity grows up to 1 / (1 − momentum) times as large.",
    ),
    Exercise(
        name="descent.adam",
        question="Give the weight, m and v after step t of Adam.",
        examine=_adam,
        hints=(
            "m is the running mean of gradients with β₁, v that of squared gradients with β₂.",
            "Both began at 0 and are too small at first. Divide m by 1 − β₁ᵗ and v by 1 − β₂ᵗ, in copies.",
            "The step is lr · m̂ / (√v̂ + ε), with the corrected ones. Return w, m, v.",
        ),
        code=(
            "import math\n\ndef adam(w, gradient, m, v, t, lr, beta1, beta2, eps):\n"
            "    m = beta1 * m + (1 - beta1) * gradient\n    v = beta2 * v + (1 - beta2) * gradient**2\n"
            "    mean, square = m / (1 - beta1**t), v / (1 - beta2**t)\n"
            "    return w - lr * mean / (math.sqrt(square) + eps), m, v"
        ),
        praise="Right. Each weight has a step of its own size, about lr, whatever the size of its gradients.",
    ),
)
