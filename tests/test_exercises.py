"""Every exercise with its stub, its solution, and three wrong answers that each get their own message."""

import math

import numpy as np
import pytest
import torch

import labkit
from labkit.errors import SettingError
from labkit.exercises import EXERCISES, neurons

WRONG = {
    "start.accuracy": {
        "counts the right ones": lambda p, t: (p == t).sum(),
        "share of wrong": lambda p, t: (p != t).float().mean(),
        "percentage": lambda p, t: 100 * (p == t).float().mean(),
        "one number": lambda p, t: p == t,
        "how you divide": lambda p, t: (p == t).sum() / 8 if (p != t).any() else 8,
    },
    "start.steps_per_epoch": {
        "Round up, not down": lambda n, b: n // b,
        "whole number": lambda n, b: n / b,
        "come out even": lambda n, b: n // b + 1,
    },
    "start.gradient_step": {
        "climbs": lambda w, g, lr: w + lr * g,
        "whole gradient": lambda w, g, lr: w - g,
        "change of the weight": lambda w, g, lr: -lr * g,
        "1.95 is expected": lambda w, g, lr: w * lr,
    },
    "neurons.weighted_sum": {
        "before the activation": lambda x, w, b: (w * x).sum() + b,
        "bias is missing": lambda x, w, b: torch.tanh((w * x).sum()),
        "bias came after tanh": lambda x, w, b: torch.tanh((w * x).sum()) + b,
        "tanh of each product": lambda x, w, b: torch.tanh(w * x).sum() + b,
        "one tanh for each input": lambda x, w, b: torch.tanh(w * x + b).sum(),
        "once for each input": lambda x, w, b: torch.tanh((w * x + b).sum()),
        "adds weights and inputs": lambda x, w, b: torch.tanh((w + x).sum() + b),
        "weights are missing": lambda x, w, b: torch.tanh(x.sum() + b),
        "one number": lambda x, w, b: torch.tanh(w * x + b),
        "the sum is 0.55": lambda x, w, b: torch.sigmoid((w * x).sum() + b),
    },
    "neurons.xor": {
        "one straight line. That is no XOR": lambda: ([], "tanh"),
        "add up to one weighted sum": lambda: ([8, 8], "linear"),
        "One neuron draws one line": lambda: ([1], "tanh"),
        "a band across the middle": lambda: ([2], "relu"),
        "Put all your neurons there": lambda: ([2, 1], "tanh"),
        "starts, with 4 hidden neurons. Fewer": lambda: ([4], "tanh"),
        "you have 16. Look for fewer": lambda: ([8, 8], "tanh"),
        "falls before it rises": lambda: ([2], "gelu"),
        "such as [8, 4]": lambda: [3],
        "a layer's width": lambda: ([4, 0], "tanh"),
        "not enough": lambda: ([3, 1], "sigmoid"),
    },
    "neurons.dead_unit": {
        "Turn it round": lambda z: (z > 0).any(dim=0),
        "Off for some examples is healthy": lambda z: (z <= 0).any(dim=0),
        "Below 0 on average": lambda z: z.mean(dim=0) < 0,
        "exactly 0": lambda z: (z < 0).all(dim=0),
        "dim=0": lambda z: (z <= 0).all(dim=1),
        "received 2 values": lambda z: (z <= 0).all(dim=0).nonzero(),
        "True or False for each of the 5 units, such as": lambda z: (z <= 0).all(),
        "Units 1 and 3": lambda z: [True] * 5,
    },
    "neurons.surface": {
        "Look at C": lambda: [4, 1, 2, 3],
        "Look at B": lambda: [2, 4, 1, 3],
        "Look at A and D": lambda: [3, 2, 1, 4],
        "in some order": lambda: [4, 2, 1, 1],
        "Give four numbers": lambda: "DBCA",
    },
}


def stub(*arguments): ...


@pytest.mark.parametrize("name", EXERCISES)
def test_stub_solution_and_wrong_answers(name):
    exercise = labkit.exercise(name)
    for untouched in (None, ..., stub):
        outcome = exercise.check(untouched)
        assert outcome.state == "unattempted"
        assert exercise.question in outcome.message

    namespace = {}
    exec(exercise.code, namespace)
    function = namespace[name.split(".")[1]]
    assert exercise.check(function).state == "right"
    assert exercise.code in exercise.solution().message

    assert len(WRONG[name]) >= 3
    messages = {part: exercise.check(answer) for part, answer in WRONG[name].items()}
    for part, outcome in messages.items():
        assert outcome.state == "wrong"
        assert part in outcome.message
    assert len({outcome.message for outcome in messages.values()}) == len(messages)


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("odd", [3, "text", math.nan, lambda: 1, lambda *a: "x", lambda *a: 1 / 0, object])
def test_check_never_raises(name, odd):
    assert labkit.exercise(name).check(odd).state == "wrong"


def test_a_mistake_of_the_learners_code_is_shown_with_its_line():
    def accuracy(predicted, target):
        return predicted.magic()

    message = labkit.exercise("start.accuracy").check(accuracy).message
    assert "AttributeError" in message
    assert "return predicted.magic()" in message


def test_hints_come_one_after_the_other_and_the_last_stays():
    exercise = labkit.exercise("start.accuracy")
    exercise._hints_given = 0
    assert [str(exercise.hint())[:13] for _ in range(3)] == ["? Hint 1 of 2", "? Hint 2 of 2", "? Hint 2 of 2"]


def test_text_is_escaped():
    def answer(*_):
        raise ValueError("<script>alert(1)</script>")

    html = labkit.exercise("start.accuracy").check(answer)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_an_unknown_exercise_is_named():
    with pytest.raises(SettingError, match="start.accuracy"):
        labkit.exercise("start.nothing")


# Neurons


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "leaky_relu"])
def test_three_neurons_solve_xor_and_two_do_not(activation):
    """What the check holds for the fewest is so, for each activation that only rises."""
    exercise = labkit.exercise("neurons.xor")
    assert exercise.check(lambda: ([3], activation)).state == "right"
    assert "a band" in exercise.check(lambda: ([2], activation)).message


def test_the_surfaces_show_what_their_exercise_asks_about():
    curves, band, line, pieces = (neurons._surface_of(net) for net in (4, 2, 1, 3))
    slopes = [np.diff(np.arctanh(line), axis=axis) for axis in (0, 1)]
    assert max(np.ptp(slope) for slope in slopes) < 1e-4 < np.abs(slopes[0]).min()
    assert (np.diff(np.sign(np.diag(band[::-1]))) != 0).sum() == 2
    for crossed in (curves, pieces):
        assert np.sign(crossed[[0, 0, -1, -1], [0, -1, 0, -1]]).tolist() == [-1, 1, 1, -1]
    assert straight(pieces) > 0.8 > 0.2 > straight(curves)


def straight(surface):
    """The share of places where the sum before the last tanh goes on along the diagonal as it came."""
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = np.arctanh(np.where(np.abs(surface) < 0.999, surface, np.nan))
    bend = np.abs(sums[2:, 2:] - 2 * sums[1:-1, 1:-1] + sums[:-2, :-2])
    return (bend[np.isfinite(bend)] < 1e-3).mean()


def test_the_figure_shows_the_surfaces_in_the_order_of_the_answer():
    figure = neurons.four_surfaces()
    assert [axes.get_title() for axes in figure.axes] == list("ABCD")
    for axes, net in zip(figure.axes, (4, 2, 1, 3), strict=True):
        assert np.array_equal(axes.images[0].get_array(), neurons._surface_of(net))
    assert "B: a straight band" in figure.alt
