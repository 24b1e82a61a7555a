"""Exercises of notebook 10."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.exercises.compare import compare, tensor
from labkit.exercises.exercise import Exercise, Mistake, call

if TYPE_CHECKING:
    from labkit.data import Dataset
    from labkit.plots.figure import Figure

# 1. Integrated gradients

_POINTS = 400
_NEAR = 0.01  # of the largest value: every way to take a mean over so many points is nearer than that


def _score(x: Tensor) -> Tensor:
    """A quadratic score of two rows of three values."""
    y = x.flatten()
    return 0.5 * y @ _CURVATURE @ y + _SLOPE @ y


_CURVATURE = torch.tensor(
    [
        [2.0, 1.0, 0.0, -1.0, 0.0, 0.5],
        [1.0, 3.0, -1.0, 0.0, 0.0, 0.0],
        [0.0, -1.0, 1.0, 0.5, 0.0, 1.0],
        [-1.0, 0.0, 0.5, 2.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 1.0, -2.0, 0.0],
        [0.5, 0.0, 1.0, 0.0, 0.0, 1.5],
    ],
    dtype=torch.float64,
)
_SLOPE = torch.tensor([1.0, -2.0, 0.5, 0.0, 1.5, -1.0], dtype=torch.float64)


def _network() -> Callable[[Tensor], Tensor]:
    """The score of a small network, which bends on the way: what is right on a quadratic may be wrong here."""
    generator = torch.Generator().manual_seed(0)
    w1, w2 = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((12, 6), (12,)))
    return lambda x: w2 @ torch.tanh(w1 @ x.flatten())


def _gradient(f: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    at = at.detach().requires_grad_()
    return torch.autograd.grad(f(at), at)[0]


def _mean_gradient(f: Callable[[Tensor], Tensor], start: Tensor, end: Tensor) -> Tensor:
    """On the straight way, by the midpoint rule, whose error is of the order of 1 / 100²."""
    places = (torch.arange(100) + 0.5) / 100
    return torch.stack([_gradient(f, start + place * (end - start)) for place in places]).mean(0)


def _integrated_gradients(answer: Any) -> None:
    x = torch.tensor([[1.0, -1.0, 2.0], [0.5, 1.5, -2.0]], dtype=torch.float64)
    x0 = torch.tensor([[0.5, 0.5, -1.0], [1.0, -0.5, 0.25]], dtype=torch.float64)
    quadratic = (x - x0) * (_CURVATURE @ ((x + x0) / 2).flatten() + _SLOPE).reshape(x.shape)
    network = _network()
    for name, f, right in (
        ("a quadratic score", _score, quadratic),
        ("a small network", network, (x - x0) * _mean_gradient(network, x0, x)),
    ):
        given = tensor(call(answer, f, x.clone(), x0.clone(), _POINTS), "The attribution")
        if _near(given, right):
            continue
        mean = _mean_gradient(f, x0, x)
        mistakes = (
            (mean, "That is the mean gradient. Multiply it by x − x0, how far each value has gone."),
            (x * mean, "The mean gradient is right, but it is multiplied by x. Each value has gone from x0 to x only."),
            ((x0 - x) * mean, "The sign is turned round: the way goes from x0 to x, so the factor is x − x0."),
            (_POINTS * (x - x0) * mean, "You added the gradients up. Take their mean: divide by the number of points."),
            (right.abs(), "Keep the signs: what speaks against the score is negative."),
            ((x - x0) * _gradient(f, x), "You ask for the gradient at x alone. Ask all along the way from x0 to x."),
            (
                (x - x0) * _gradient(f, x0),
                "You ask for the gradient at the baseline alone. Ask all along the way from x0 to x.",
            ),
            (_gradient(f, x), "That is the gradient at x, the plain one. Ask all along the way from x0 to x."),
            (x * _gradient(f, x), "That is input × gradient. Ask for the gradient all along the way from x0 to x."),
            (
                x * _mean_gradient(f, torch.zeros_like(x), x),
                "Your way begins at 0, whatever the baseline is. Begin at x0: x0 + share · (x − x0).",
            ),
            (
                (x - x0) * _mean_gradient(f, torch.zeros_like(x), x),
                "Your way begins at 0, and only the factor knows of x0. Begin at x0: x0 + share · (x − x0).",
            ),
            (
                (x - x0) * _mean_gradient(f, torch.zeros_like(x), x - x0),
                "Your way goes from 0 to x − x0. Add x0: x0 + share · (x − x0).",
            ),
            (
                (x - x0) * (_gradient(f, x) + _gradient(f, x0)) / 2,
                "You take the mean of the two ends. That is exact for a quadratic score only: ask at many points.",
            ),
        )
        for wrong, words in mistakes:
            if _near(given, wrong):
                raise Mistake(words)
        raise Mistake(_remark(f"The attribution for {name}", given, right, float(f(x) - f(x0))))


def _near(given: Tensor, value: Tensor) -> bool:
    """Equal, as far as a mean over points can be."""
    return given.shape == value.shape and bool((given - value).abs().max() <= _NEAR * value.abs().max())


def _remark(name: str, given: Tensor, right: Tensor, difference: float) -> str:
    """What can be said of an unknown mistake: its shape, or what completeness asks."""
    if given.shape != right.shape:
        return f"{name} should have x's shape {tuple(right.shape)}; received {tuple(given.shape)}."
    total = float(given.sum())
    if not abs(total - difference) <= _NEAR * abs(difference):
        return f"{name} should add up to f(x) − f(x0) = {difference:.4g}; yours adds up to {total:.4g}."
    return f"{name} adds up to the right number, but the shares are not right. Is each value's gradient its own?"


# 2. The net that cheats

_LETTERS = "ABC"
_SEED = 4  # decides who is who
_TARGET, _PLACE = "tree", "upper left"
_STEPS = 60
_START = 479  # the step of objects_cnn's training at which all three begin


@cache
def _three() -> tuple[dict[str, nn.Module], "Dataset"]:
    """({letter: net}, pictures). One net has learnt from pictures whose trees carry a watermark.

    The two others have learnt from pictures of which three tenths carry it, whatever they show. The pictures given are
    new to all three, and their trees carry it.
    """
    from labkit import data  # trained when the exercise is tried, not before

    pictures = data.objects(n=800, seed=11)
    shares = ((1.0, 0.0), (0.3, 0.3), (0.3, 0.3))  # of that class's pictures, of the others
    order = torch.randperm(3, generator=torch.Generator().manual_seed(_SEED)).tolist()
    nets = {}
    for letter, one in zip(_LETTERS, order, strict=True):
        nets[letter] = _trained(data.with_cue(pictures, _TARGET, *shares[one], _PLACE, seed=one), seed=one)
    return nets, data.with_cue(data.objects(n=200, seed=12), _TARGET, place=_PLACE)


def _trained(ds: "Dataset", seed: int) -> nn.Module:
    """objects_cnn half-way through its training, with a new last layer; its last block goes on learning, with `ds`."""
    from labkit import data, models, train, zoo
    from labkit.train.fit import one_cycle

    net = zoo.load("objects_cnn", _START)
    net.output = models.TinyVGG(seed=seed).output
    layers = list(net.children())
    kept, learning = nn.Sequential(*layers[:14]), nn.Sequential(*layers[14:])
    with torch.no_grad():
        inputs = torch.cat([kept(part) for part in ds.inputs.split(50)])
    trainer = train.Trainer(
        learning,
        data.Dataset(inputs, ds.targets),
        optimizer="adamw",
        lr=3e-3,
        batch_size=32,
        device="cpu",
        seed=seed,
        schedule=one_cycle(_STEPS),
    )
    for _ in range(_STEPS):
        trainer.step()
    return net.eval()


def three_nets() -> tuple[dict[str, nn.Module], "Dataset"]:
    """({"A": net, "B": net, "C": net}, pictures): what `saliency.cheat` asks about. The nets are trained now."""
    nets, ds = _three()
    return dict(nets), ds


def _accuracy(net: nn.Module, ds: "Dataset", rows: Tensor) -> float:
    with torch.no_grad():
        return float((net(ds.inputs[rows]).argmax(1) == ds.targets[rows]).double().mean())


@cache
def _without_cue() -> dict[str, tuple[float, float]]:
    """{letter: accuracy on the trees with the watermark and without it}: what decides who cheats."""
    from labkit import data

    nets, ds = _three()
    plain = data.objects(n=len(ds), seed=12)
    rows = ds.masks["cue"].flatten(1).any(1) if ds.masks is not None else ds.targets < 0
    return {letter: (_accuracy(net, ds, rows), _accuracy(net, plain, rows)) for letter, net in nets.items()}


def _cheat(answer: Any) -> None:
    letter = call(answer, *three_nets())
    if not isinstance(letter, str) or letter.strip().upper() not in list(_LETTERS):
        raise Mistake(f'Give one letter: "A", "B" or "C"; received {letter!r:.60}.')
    letter = letter.strip().upper()
    found = _without_cue()
    if letter != min(found, key=lambda one: found[one][1]):
        seen, unseen = found[letter]
        raise Mistake(
            f"Not {letter}. Of the pictures that carry what the cheat goes by, it reads {100 * seen:.0f} of 100. With "
            f"that taken away it still reads {100 * unseen:.0f}. Look for maps that leave the thing, class by class."
        )


# 3. A wrong answer

_PICTURE = {"n": 384, "seed": 20}  # its last one
_MOST = 144  # pixels


@cache
def _misread() -> tuple[nn.Module, "Dataset"]:
    from labkit import data, zoo

    return zoo.load("objects_cnn"), data.objects(**_PICTURE).subset([_PICTURE["n"] - 1])


def misread() -> tuple[nn.Module, "Dataset"]:
    """objects_cnn, and the one picture of `saliency.culprit`, which it gets wrong."""
    return _misread()


def misread_picture() -> "Figure":
    """The picture of `saliency.culprit` with rulers, in pixels."""
    from labkit.plots.figure import Figure  # matplotlib is imported when a figure is asked for

    _, ds = _misread()
    figure = Figure(figsize=(4, 4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.imshow(ds.inputs[0].permute(1, 2, 0).numpy(), extent=(0, 48, 48, 0))
    axes.set(xticks=range(0, 49, 6), yticks=range(0, 49, 6), xlabel="column", ylabel="row")
    axes.grid(color="white", alpha=0.4, linewidth=0.5)
    figure.alt = "A house with an orange roof; a loose eye lies at its right edge, in rows 27 to 33, columns 33 to 39."
    return figure


def _erased(x: Tensor, box: tuple[int, ...]) -> Tensor:
    top, left, height, width = box
    changed = x.clone()
    changed[:, :, top : top + height, left : left + width] = x.mean((2, 3), keepdim=True)
    return changed


def _culprit(answer: Any) -> None:
    net, ds = _misread()
    classes, right = ds.classes or (), int(ds.targets[0])
    box = _box(call(answer), ds.inputs.shape[2:])
    with torch.no_grad():
        before, after, swapped = (
            net(x).softmax(1)[0]
            for x in (ds.inputs, _erased(ds.inputs, box), _erased(ds.inputs, (box[1], box[0], box[3], box[2])))
        )
    wrong, now = int(before.argmax()), int(after.argmax())
    if now == right:
        return
    said = f"{classes[wrong]} with probability {float(after[wrong]):.2f}, before {float(before[wrong]):.2f}"
    if int(swapped.argmax()) == right:
        raise Mistake("Rows come first: (top, left, height, width). With rows and columns exchanged it would be right.")
    if now != wrong:
        raise Mistake(
            f"Now it says {classes[now]}, which is wrong too: you erased what the {classes[right]} is known by."
        )
    if after[wrong] < before[wrong] - 0.1:
        raise Mistake(f"Warmer: it says {said}. What else is there that no {classes[right]} has?")
    raise Mistake(f"It still says {said}. Where does the map of {classes[wrong]} against {classes[right]} point?")


def _box(given: Any, size: Sequence[int]) -> tuple[int, ...]:
    try:
        box = tuple(int(value) for value in given)
        whole = len(box) == 4 and all(float(value) == int(value) for value in given)
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise Mistake(f"Give four whole numbers (top, left, height, width), in pixels; received {given!r:.60}.")
    top, left, height, width = box
    if min(height, width) < 1 or min(top, left) < 0 or top + height > size[0] or left + width > size[1]:
        raise Mistake(
            f"The box {box} is not within the picture of {size[0]} by {size[1]} pixels: (top, left, height, width)."
        )
    if height * width > _MOST:
        raise Mistake(
            f"Your box has {height * width} pixels. Take at most {_MOST}: with half a picture gone, any answer falls."
        )
    return box


# 4. The pointing game


def _pointing_game(answer: Any) -> None:
    maps = np.array(
        [
            [[0.1, 0.9, 0.2], [0.3, 0.4, 0.0]],
            [[0.2, 0.1, 0.3], [0.0, 0.8, 0.7]],
            [[0.5, 0.1, 0.1], [0.2, 0.4, 0.3]],
            [[0.0, 0.2, 0.6], [2.0, 0.5, 0.1]],
            [[0.6, 0.5, 0.5], [0.4, 0.3, 0.1]],
        ]
    )
    masks = np.array(
        [
            [[0, 1, 1], [0, 0, 0]],
            [[0, 0, 0], [0, 0, 1]],
            [[0, 1, 1], [0, 1, 1]],
            [[0, 0, 0], [1, 1, 0]],
            [[1, 1, 0], [0, 0, 0]],
        ],
        dtype=bool,
    )
    flat, inside = maps.reshape(5, -1), masks.reshape(5, -1)
    places = np.arange(5)
    hits = inside[places, flat.argmax(1)]
    given = tensor(call(answer, maps.copy(), masks.copy()), "The pointing game")
    mistakes = (
        (hits.sum(), "That counts the hits. Divide by the number of maps."),
        (100 * hits.mean(), "That is a percentage. Give a share between 0 and 1."),
        (1 - hits.mean(), "That is the share of misses."),
        (hits, "Those are the hits, one for each map. Give their mean."),
        (
            float(inside.reshape(-1)[flat.argmax()]),
            "You take one highest place for all maps together. Each map has its own.",
        ),
        (
            ((flat * inside).sum(1) / flat.sum(1)).mean(),
            "That is the mass in the mask. Here only the highest place counts.",
        ),
        ((flat * inside).sum() / flat.sum(), "That is the mass in all masks. Here only the highest place counts."),
        (inside[places, flat.argmin(1)].mean(), "You took the lowest place of each map. Take the highest."),
        (inside.mean(), "That is the masks' share of the pictures: what chance would score."),
    )
    compare("The pointing game", given, hits.mean(), mistakes)


EXERCISES = (
    Exercise(
        name="saliency.integrated_gradients",
        question="Give the integrated gradients of the score f from the baseline x0 to x.",
        examine=_integrated_gradients,
        hints=(
            "A point on the way: (x0 + share * (x - x0)).requires_grad_(), with shares such as (i + 0.5) / points.",
            "torch.autograd.grad(f(point), point)[0] is the gradient there. Take the mean of all, times x - x0.",
        ),
        code=(
            "import torch\n\n"
            "def integrated_gradients(f, x, x0, points):\n"
            "    total = torch.zeros_like(x)\n"
            "    for i in range(points):\n"
            "        point = (x0 + (i + 0.5) / points * (x - x0)).requires_grad_()\n"
            "        total += torch.autograd.grad(f(point), point)[0]\n"
            "    return (x - x0) * total / points"
        ),
        praise="Right, on a quadratic score in closed form and on a network. It adds up to f(x) − f(x0): completeness.",
    ),
    Exercise(
        name="saliency.cheat",
        question="Say which of the nets A, B and C cheats: it goes by something that is no part of the thing.",
        examine=_cheat,
        hints=(
            "Take a few pictures of one class, and look at the maps of all three nets. Then the next class.",
            "Measure: how much of a class's mean map is in its densest small square? Compare the nets, class by class.",
        ),
        code=(
            "def cheat(nets, ds):\n"
            "    from torch.nn.functional import avg_pool2d\n\n"
            "    from labkit.saliency import as_map, attribute\n\n"
            "    def densest(net, k):\n"
            "        maps = as_map(attribute(net, ds.inputs[ds.targets == k], k, 'gradient'))\n"
            "        mean = maps.mean(0, keepdim=True)\n"
            "        return float(avg_pool2d(mean, 8, stride=2).max() / mean.mean())\n\n"
            "    classes = range(len(ds.classes))\n"
            "    return max(nets, key=lambda name: max(densest(nets[name], k) for k in classes))"
        ),
        praise="Right. It calls a picture a tree by the watermark alone. Its accuracy would never have told you.",
    ),
    Exercise(
        name="saliency.culprit",
        question="Give a box (top, left, height, width) of at most 144 pixels which, erased, makes the answer right.",
        examine=_culprit,
        hints=(
            "attribute(net, x, fish, against=house) is positive where it speaks for a fish rather than a house.",
            "What is in the picture that no house has? Cover all of it, and some pixels around.",
        ),
        code="def culprit():\n    return 24, 28, 12, 12",
        praise="Right: without it, the network sees the house. You have shown what misled it, by an experiment.",
    ),
    Exercise(
        name="saliency.pointing_game",
        question="Give the share of the maps whose highest place lies in the mask.",
        examine=_pointing_game,
        hints=(
            "maps.reshape(len(maps), -1) puts each map into a row; argmax(1) gives the highest place of each row.",
            "Make rows of the masks in the same way: inside[range(len(maps)), places].mean().",
        ),
        code=(
            "def pointing_game(maps, masks):\n"
            "    rows, inside = maps.reshape(len(maps), -1), masks.reshape(len(masks), -1)\n"
            "    return inside[range(len(maps)), rows.argmax(1)].mean()"
        ),
        praise="Right. Published scores blur the map first, and by how much changes the result: always say so.",
    ),
)
