"""Accuracy against the number of examples, and where one method overtakes another."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labkit.errors import DataError, SettingError
from labkit.train.fit import Fit


def learning_curve(
    fit: Fit, train: Any, test: Any, sizes: Sequence[int], seeds: Sequence[int] = range(3)
) -> NDArray[np.float64]:
    """The accuracy on `test` of what `fit` learns from few and from many examples: (sizes, seeds), 0 to 1.

    fit         fit(part, seed) learns from a Dataset and gives probabilities(inputs) -> (n, classes), as those of
                `labkit.train.fit` do.
    train, test labkit Datasets with classes as targets.
    sizes       numbers of examples, at most as many as `train` has.

    With each seed, the examples of `train` are shuffled once, and the first of them are given: a larger size holds the
    smaller ones, and all methods with that seed see the same. Raises SettingError.
    """
    if not sizes or min(sizes) < 1 or max(sizes) > len(train):
        raise SettingError(f"Expected sizes from 1 to {len(train)}, the examples to learn from; received {sizes!r}.")
    if not len(seeds):
        raise SettingError("Expected at least one seed; received none.")
    target = np.asarray(test.targets)
    scores = np.empty((len(sizes), len(seeds)))
    for column, seed in enumerate(seeds):
        order = np.random.default_rng(seed).permutation(len(train))
        for row, size in enumerate(sizes):
            outputs = np.asarray(fit(train.subset(order[:size]), seed)(test.inputs))
            if outputs.ndim != 2 or len(outputs) != len(target):
                raise SettingError(
                    f"Expected probabilities(inputs) to give a row of classes for each of {len(target)} inputs, "
                    f"received {outputs.shape}."
                )
            scores[row, column] = (outputs.argmax(1) == target).mean()
    return scores


def crossing(sizes: Sequence[int], first: ArrayLike, second: ArrayLike) -> float | None:
    """The number of examples from which on the second method's mean accuracy is above the first's, up to the last size.

    first, second  (sizes, seeds) as `learning_curve` gives them.

    Between two sizes the difference is a straight line over the logarithm of the number. None where the second is not
    above at the last size; the first size where it is above from the start.
    """
    one, two = (np.asarray(scores, float) for scores in (first, second))
    if one.ndim != 2 or two.ndim != 2 or not len(one) == len(two) == len(sizes):
        raise DataError(f"Expected scores (sizes, seeds) for {len(sizes)} sizes; received {one.shape} and {two.shape}.")
    ahead = two.mean(1) - one.mean(1)
    if ahead[-1] <= 0:
        return None
    behind = np.flatnonzero(ahead <= 0)
    if not len(behind):
        return float(sizes[0])
    i = behind[-1]
    part = -ahead[i] / (ahead[i + 1] - ahead[i])
    return float(np.exp(np.interp(part, (0, 1), np.log(sizes[i : i + 2]))))
