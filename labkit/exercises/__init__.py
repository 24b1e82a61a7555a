"""Exercises that check themselves: `labkit.exercise("start.accuracy")`, then `check`, `hint` and `solution`."""

from labkit.errors import SettingError
from labkit.exercises import backprop, convolution, depth, descent, features, hierarchy, neurons, saliency, start
from labkit.exercises.exercise import Exercise, Mistake, Outcome

__all__ = ["EXERCISES", "Exercise", "Mistake", "Outcome", "exercise"]

_NOTEBOOKS = (start, features, neurons, backprop, descent, depth, convolution, hierarchy, saliency)
EXERCISES: dict[str, Exercise] = {each.name: each for notebook in _NOTEBOOKS for each in notebook.EXERCISES}


def exercise(name: str) -> Exercise:
    """The exercise of that name; an unknown one raises SettingError with the names there are."""
    if name not in EXERCISES:
        raise SettingError(f"Expected an exercise of {', '.join(EXERCISES)}, received {name!r}.")
    return EXERCISES[name]
