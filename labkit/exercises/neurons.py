"""Exercises of notebook 02."""

import math
from typing import TYPE_CHECKING, Any

import torch

from labkit.errors import SettingError
from labkit.exercises.exercise import Exercise, Mistake, call, number

if TYPE_CHECKING:
    from labkit.plots.figure import Figure


def _weighted_sum(answer: Any) -> None:
    x, w, b = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([0.5, 0.25, -1.0]), 0.3
    products = w * x  # 1, -0.25 and -0.5
    weighted, expected = 0.25, math.tanh(0.55)
    result = number(call(answer, x, w, b), "What a neuron answers")
    for wrong, why in (
        (weighted + b, "That is the sum before the activation. Put it through tanh."),
        (math.tanh(weighted), "The bias is missing: add b before tanh."),
        (math.tanh(weighted) + b, "The bias came after tanh. It belongs to the sum, before tanh."),
        (float(products.tanh().sum()) + b, "That is tanh of each product. Add the products first, then one tanh."),
        (float((products + b).tanh().sum()), "That is one tanh for each input. A neuron adds up first, then one tanh."),
        (math.tanh(weighted + len(x) * b), "The bias was added once for each input. It is added once."),
        (math.tanh(float((w + x).sum()) + b), "That adds weights and inputs. Multiply each input by its weight."),
        (math.tanh(float(x.sum()) + b), "The weights are missing. Multiply each input by its weight."),
    ):
        if math.isclose(result, wrong, abs_tol=1e-5):
            raise Mistake(why)
    if not math.isclose(result, expected, abs_tol=1e-5):
        raise Mistake(
            f"For x = (2, −1, 0.5), w = (0.5, 0.25, −1) and b = 0.3 the sum is 0.55 and its tanh {expected:.4f}; "
            f"received {result:.4g}."
        )


# A net solves XOR when it is right on this share of 1,700 test points, from at least one of these starts. From 60
# starts, two neurons whose activation only rises came to 0.884 at most; three of them got there from more than half.
_SOLVED = 0.92
_STARTS = range(8)
_FEWEST = 3
_NOTEBOOK = 8  # hidden neurons of the net that solves it there


def _xor(answer: Any) -> None:
    widths, activation = _layers(call(answer))
    if activation == "gelu":
        raise Mistake(
            "GELU falls before it rises, so one such neuron can draw two borders, and counts for more than one. "
            "Stay with activations that only rise, such as tanh or relu."
        )
    if not widths:
        raise Mistake("Without a hidden layer the net draws one straight line. That is no XOR: add a hidden layer.")
    if activation == "linear":
        raise Mistake(
            "Linear neurons, however many, add up to one weighted sum, and so to one straight line. "
            "Choose an activation that bends, such as tanh or relu."
        )
    if sum(widths) > _NOTEBOOK:
        raise Mistake(f"In the notebook {_NOTEBOOK} hidden neurons solved XOR; you have {sum(widths)}. Look for fewer.")
    accuracies = _trained(widths, activation)
    best, solved = max(accuracies), sum(accuracy >= _SOLVED for accuracy in accuracies)
    trained = f"Trained from {len(accuracies)} starts, the best was right on {100 * best:.0f} % of the test points."
    if not solved:
        if sum(widths) == 1:
            raise Mistake(f"{trained} One neuron draws one line. You need a region for each of four corners.")
        if widths == [2]:
            raise Mistake(f"{trained} Two neurons draw two lines: a band across the middle, but no cross.")
        if widths[0] < _FEWEST:
            raise Mistake(
                f"{trained} Only neurons of the first layer see the plane, and it has {widths[0]}. "
                "Put all your neurons there."
            )
        raise Mistake(f"{trained} That is not enough. Try other widths, or another activation.")
    if sum(widths) > _FEWEST:
        raise Mistake(
            f"It solves XOR, from {solved} of {len(accuracies)} starts, with {sum(widths)} hidden neurons. "
            "Fewer can do it."
        )


def _layers(answer: Any) -> tuple[list[int], str]:
    try:
        widths, activation = answer
        widths = [int(width) for width in widths]
    except (TypeError, ValueError):
        raise Mistake('Give the widths of the hidden layers and an activation, such as [8, 4], "tanh".') from None
    return widths, activation


def _trained(widths: list[int], activation: str) -> list[float]:
    """The accuracy on the test points after training, one for each start."""
    from labkit.playground import Settings, build  # here, since the check alone needs it

    try:
        settings = Settings.of(
            **{"data": "xor", "n": 2000, "train_share": 15, "data_seed": 3, "batch_size": 30},
            **{"widths": widths, "activation": activation, "optimizer": "momentum", "lr": 0.1},
        )
    except SettingError as error:
        raise Mistake(str(error)) from None
    trainers = [build.trainer(settings.change(seed=seed)) for seed in _STARTS]
    for trainer in trainers:
        for _ in range(40 * trainer.steps_per_epoch):
            trainer.step()
    return [trainer.evaluate()["test_accuracy"] for trainer in trainers]


def _dead_unit(answer: Any) -> None:
    # Unit 0 is on for one example, 1 for none, 2 barely for one, 3 for none (0 is off), 4 for all.
    z = torch.tensor(
        [
            [5.0, -0.4, -3.0, 0.0, 0.3],
            [-0.5, -1.1, -0.2, -2.0, 0.8],
            [-2.0, -0.3, -0.9, -1.0, 2.1],
            [-1.5, -2.2, 0.1, -0.5, 1.0],
        ]
    )
    examples, units = z.shape
    given = call(answer, z)
    try:
        flags = [bool(value) for value in given]
    except (TypeError, ValueError, RuntimeError):
        raise Mistake(f"Give True or False for each of the {units} units, such as a tensor of bools.") from None
    if len(flags) == examples:
        raise Mistake(f"That is one answer for each of {examples} examples. Ask each column, not each row: dim=0.")
    if len(flags) != units:
        raise Mistake(f"Give True or False for each of the {units} units; received {len(flags)} values.")
    for wrong, why in (
        ((z > 0).any(0), "Those are the units that live. Turn it round."),
        ((z <= 0).any(0), "Off for some examples is healthy: that is how ReLU bends. A dead unit is off for all."),
        (z.mean(0) < 0, "Below 0 on average is not dead: one example above 0 is enough to learn from."),
        ((z < 0).all(0), "A sum of exactly 0 gives 0 as well, and no gradient: count it as off."),
    ):
        if flags == wrong.tolist():
            raise Mistake(why)
    if flags != (z <= 0).all(0).tolist():
        raise Mistake(f"Units 1 and 3 of 0 to {units - 1} are dead: never above 0. You have {flags}.")


# Which net drew which surface: net 1 has no hidden layer, net 2 two tanh neurons, net 3 four ReLU neurons, net 4 no
# hidden layer but the product of both inputs.
_NETS: dict[int, dict[str, Any]] = {
    1: {"widths": ()},
    2: {"widths": (2,)},
    3: {"widths": (4,), "activation": "relu"},
    4: {"widths": (), "features": ("x1", "x2", "x1_x2")},
}
_DRAWN_BY = {"A": 4, "B": 2, "C": 1, "D": 3}


def four_surfaces() -> "Figure":
    """What four nets, trained on XOR, answer over the plane: the pictures A to D of `neurons.surface`."""
    from labkit.plots.figure import Figure  # matplotlib is imported when a figure is asked for
    from labkit.plots.look import DIVERGING, picture

    figure = Figure(figsize=(8, 2.3), layout="constrained", facecolor="white")
    for axes, (name, net) in zip(figure.subplots(1, len(_DRAWN_BY)), _DRAWN_BY.items(), strict=True):
        picture(axes, _surface_of(net), cmap=DIVERGING, vmin=-1, vmax=1)
        axes.set_title(name, fontsize=11)
    figure.alt = (
        "Four surfaces of nets trained on XOR. A: two opposite corners blue, two orange, between them curves. "
        "B: a straight band across the plane. C: one straight border. D: four corners with borders of straight pieces."
    )
    return figure


def _surface_of(net: int) -> Any:
    """(100, 100) from -1 to 1, the first row at the top."""
    from labkit.playground import Settings, build, surfaces

    settings = Settings.of(data="xor", lr=0.1, seed=3, **_NETS[net])
    trainer = build.trainer(settings)
    for _ in range(40 * trainer.steps_per_epoch):
        trainer.step()
    with torch.no_grad():
        values = trainer.model(build.features(surfaces.plane(), settings.features))
    return values.reshape(surfaces.SIDE, surfaces.SIDE).numpy()


def _surface(answer: Any) -> None:
    given = call(answer)
    try:
        nets = [int(net) for net in given]
    except (TypeError, ValueError):
        raise Mistake("Give four numbers, the nets that drew A, B, C and D, such as [1, 2, 3, 4].") from None
    if sorted(nets) != sorted(_NETS):
        raise Mistake(f"Each net drew one picture: give 1, 2, 3 and 4 in some order; received {nets}.")
    said = dict(zip(_DRAWN_BY, nets, strict=True))
    for name, why in (
        ("C", "Look at C: one straight border. Which net can draw nothing else?"),
        ("B", "Look at B: two borders, side by side. How many neurons draw two lines?"),
        ("A", "Look at A and D: curves in one, straight pieces with corners in the other. Which is ReLU?"),
    ):
        if said[name] != _DRAWN_BY[name]:
            raise Mistake(why)


EXERCISES = (
    Exercise(
        name="neurons.weighted_sum",
        question="Give what a tanh neuron with weights w and bias b answers to the inputs x.",
        examine=_weighted_sum,
        hints=(
            "Multiply each input by its weight, add all products, and add the bias.",
            "(w * x).sum() + b is the sum. torch.tanh of it is the answer.",
        ),
        code="import torch\n\ndef weighted_sum(x, w, b):\n    return torch.tanh((w * x).sum() + b)",
        praise="Right. Every neuron in the playground does this, and nothing else.",
    ),
    Exercise(
        name="neurons.xor",
        question="Give the widths of the hidden layers and the activation of the smallest net that solves XOR.",
        examine=_xor,
        hints=(
            "Each neuron of the first hidden layer draws one line. Make a playground with data='xor' and try.",
            "Two lines leave a band. How many lines are needed to separate all four corners?",
        ),
        code='def xor():\n    return [3], "tanh"',
        praise="Right: three. It was trained from eight starts. Not each arrives, but two neurons never do.",
    ),
    Exercise(
        name="neurons.dead_unit",
        question="Give, for each unit, whether it is dead: True or False.",
        examine=_dead_unit,
        hints=(
            "z has a row for each example and a column for each unit. A unit is off where z is not above 0.",
            "(z <= 0) says where units are off. .all(dim=0) asks this of a whole column.",
        ),
        code="def dead_unit(z):\n    return (z <= 0).all(dim=0)",
        praise="Right. No example moves its weights any more, so training alone cannot wake it.",
    ),
    Exercise(
        name="neurons.surface",
        question="Give the numbers of the nets that drew A, B, C and D.",
        examine=_surface,
        hints=(
            "Count the borders. A net without a hidden layer draws one; each hidden neuron can add one.",
            "ReLU draws straight pieces with corners. A product of the inputs draws curves.",
        ),
        code="def surface():\n    return [4, 2, 1, 3]",
        praise="Right. The surface shows what a net can draw, before you know how well it does.",
    ),
)
