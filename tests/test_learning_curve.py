"""Learning curves: who sees which examples, what is scored, and where two curves cross."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from labkit import plots
from labkit.data import Dataset, digits
from labkit.errors import DataError, SettingError
from labkit.models import LeNet
from labkit.train import Trainer, crossing, fit, learning_curve

TRAIN = Dataset(np.arange(40.0)[:, None], np.arange(40) % 2)
TEST = Dataset(np.arange(10.0)[:, None], np.arange(10) % 2)


def odd(inputs):
    return np.stack([1 - inputs[:, 0] % 2, inputs[:, 0] % 2], axis=1)


def test_each_method_sees_the_same_examples_and_more_of_them():
    seen = []

    def method(part, seed):
        seen.append((seed, len(part), part.inputs.flatten().tolist()))
        return odd

    assert (learning_curve(method, TRAIN, TEST, (5, 20, 40), seeds=(3, 8)) == 1).all()
    assert [call[:2] for call in seen] == [(s, n) for s in (3, 8) for n in (5, 20, 40)]
    first, again = seen, []
    seen = again
    learning_curve(method, TRAIN, TEST, (5, 20, 40), seeds=(3, 8))
    assert again == first
    for few, some, all_ in (first[:3], first[3:]):
        assert few[2] == some[2][:5] and some[2] == all_[2][:20]
        assert sorted(all_[2]) == list(range(40))
    assert first[0][2] != first[3][2]


def test_accuracy_is_the_share_of_right_ones():
    scores = learning_curve(lambda part, seed: lambda x: odd(x * (x < len(part))), TRAIN, TEST, (4, 7))
    assert scores.shape == (2, 3)
    np.testing.assert_allclose(scores, [[0.7] * 3, [0.8] * 3])  # odd ones from 4 (5, 7, 9) and 7 (7, 9) on are missed


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([0.5, 0.6, 0.7], [0.3, 0.6, 0.9], 100.0),  # equal at 100
        ([0.5, 0.6, 0.7], [0.3, 0.5, 0.8], 10**2.5),  # behind by 0.1, then ahead by 0.1: half way on the log axis
        ([0.5, 0.6, 0.7], [0.4, 0.9, 0.8], 10 ** (1 + 0.25)),
        ([0.5, 0.6, 0.7], [0.6, 0.5, 0.8], 10**2.5),  # the last time counts
        ([0.5, 0.6, 0.7], [0.6, 0.7, 0.8], 10.0),
        ([0.5, 0.6, 0.7], [0.6, 0.7, 0.7], None),
    ],
)
def test_crossing_against_lines_drawn_by_hand(first, second, expected):
    spread = np.array([[-0.1, 0.1]])  # two seeds, whose mean counts
    first, second = (np.array(scores)[:, None] + spread for scores in (first, second))
    assert crossing((10, 100, 1000), first, second) == pytest.approx(expected)


def test_refusals():
    def method(part, seed):
        return odd

    with pytest.raises(SettingError, match="1 to 40"):
        learning_curve(method, TRAIN, TEST, (10, 41))
    with pytest.raises(SettingError, match="at least one seed"):
        learning_curve(method, TRAIN, TEST, (10,), seeds=())
    with pytest.raises(SettingError, match=r"each of 10 inputs, received \(10,\)"):
        learning_curve(lambda part, seed: lambda x: x[:, 0], TRAIN, TEST, (10,))
    with pytest.raises(DataError, match=r"for 2 sizes; received \(3, 1\)"):
        crossing((1, 2), np.zeros((3, 1)), np.zeros((2, 1)))


# ---- methods


def test_logistic_is_scikit_learns():
    part = digits().subset(range(300))
    expected = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    expected.fit(part.inputs.flatten(1), part.targets)
    others = digits().inputs[300:320]
    np.testing.assert_allclose(fit.logistic(part)(others), expected.predict_proba(others.flatten(1)), rtol=1e-4)


@pytest.mark.parametrize("method", [fit.logistic, fit.boosting])
def test_classes_keep_their_numbers_where_some_are_missing(method):
    ds = digits()
    part = ds.subset((ds.targets == 3) | (ds.targets == 7))
    probabilities = method(part, 0)(part.inputs)
    assert probabilities.shape == (len(part), 8)
    assert (probabilities.argmax(1) == part.targets.numpy()).mean() > 0.99
    assert (probabilities[:, [0, 1, 2, 4, 5, 6]] == 0).all()


def test_boosting_depends_on_its_seed_only():
    part = digits().subset(range(200))
    one, same, other = (fit.boosting(part, seed)(part.inputs) for seed in (0, 0, 1))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_a_network_is_trained_for_its_steps_at_the_rates_of_the_cycle():
    part = digits().subset(range(200))
    made = []

    def make(seed):
        made.append(LeNet(seed=seed))
        return made[-1]

    settings = {"lr": 0.01, "batch_size": 32, "device": "cpu"}
    probabilities = fit.network(make, lambda examples: examples // 20, **settings)(part, 5)
    twin = Trainer(LeNet(seed=5), part, seed=5, **settings)
    for rate in (1, 1, 1, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6):
        twin.lr = 0.01 * rate
        twin.step()
    torch.testing.assert_close(made[0].output.weight, twin.model.output.weight)
    expected = twin.model(part.inputs).softmax(1).detach().numpy()
    np.testing.assert_allclose(probabilities(part.inputs), expected, atol=1e-6)
    assert made[0].training
    assert [fit.one_cycle(40)(step) for step in (0, 1, 3, 15, 16, 28, 40, 50)] == [0.25, 0.5, 1, 1, 1, 0.5, 0, 0]


# ---- the figure


SIZES = (100, 300, 1000)
CURVES = {
    "written": np.array([[0.6, 0.62], [0.7, 0.7], [0.75, 0.77]]),
    "learned": np.array([[0.3, 0.34], [0.6, 0.66], [0.9, 0.92]]),
}


def test_figure_has_the_scores_and_says_who_wins_where():
    figure = plots.learning_curves(SIZES, CURVES, crossings={"learned over written": 420.0})
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    means = {line.get_label(): line for line in axes.lines}
    for name, scores in CURVES.items():
        np.testing.assert_array_equal(means[name].get_xdata(), SIZES)
        np.testing.assert_allclose(means[name].get_ydata(), scores.mean(1))
    dots = {tuple(np.round(p, 3)) for c in axes.collections for p in c.get_offsets()}
    assert (1000.0, 0.92) in dots and (100.0, 0.3) in dots and len(dots) == 11  # two of them fall together
    assert figure.alt == (
        "Accuracy against the number of examples: with 100, written is best (0.610); with 1,000, learned (0.910). "
        "Learned over written from about 420 examples on."
    )
    assert figure._repr_mimebundle_()["text/html"].startswith("<img alt")
