"""Every exercise with its stub, its solution, and three wrong answers that each get their own message."""

import math

import pytest

import labkit
from labkit.errors import SettingError
from labkit.exercises import EXERCISES

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
