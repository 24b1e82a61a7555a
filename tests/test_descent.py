"""Optimisers on functions of two variables, against formulas written by hand."""

import math

import numpy as np
import pytest
import torch

from labkit import plots
from labkit.data import Dataset
from labkit.errors import DataError, SettingError
from labkit.models import MLP
from labkit.train import descent, landscape
from labkit.train.descent import FUNCTIONS, OPTIMIZERS, RATES, Function, best_rates, descend, goal, race, survey

CURVATURES = np.array([1.0, 100.0])  # of the ravine


# ---- the functions


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda function: function.name)
def test_minima_have_the_least_value_and_no_gradient_and_rise_all_around(function):
    for minimum in function.minima:
        at = torch.tensor(minimum, dtype=torch.float64, requires_grad=True)
        value = function(at)
        (gradient,) = torch.autograd.grad(value, at)
        assert value.item() == pytest.approx(function.least, abs=1e-12)
        assert gradient.abs().max() < 1e-12
        turns = torch.linspace(0, 2 * math.pi, 13, dtype=torch.float64)
        around = at.detach() + 0.01 * torch.stack([turns.cos(), turns.sin()], -1)
        assert (function(around) > function.least).all()


@pytest.mark.parametrize(
    ("name", "point", "value"),
    [
        ("bowl", (3, 4), 12.5),
        ("ravine", (2, 0.1), 2.5),
        ("tilted ravine", (0.8, 0.6), 0.5),  # one unit along the ravine
        ("tilted ravine", (-0.6, 0.8), 50.0),  # one across
        ("rosenbrock", (-1.2, 1.0), 24.2),
        ("saddle", (0, 0), 0.25),
        ("beale", (0, 0), 14.203125),
    ],
)
def test_functions_have_the_values_of_their_formulas(name, point, value):
    assert FUNCTIONS[name](torch.tensor(point, dtype=torch.float64)).item() == pytest.approx(value)


def test_the_saddle_goes_down_on_both_sides_where_its_gradient_is_zero():
    hessian = torch.autograd.functional.hessian(FUNCTIONS["saddle"], torch.zeros(2, dtype=torch.float64))
    assert torch.equal(hessian, torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64)))


# ---- the optimisers


def by_hand(name, start, lr, momentum, steps):
    """The path on the ravine by the formulas of the papers, in numpy."""
    w, path = np.array(start), [np.array(start)]
    v, m, s = np.zeros(2), np.zeros(2), np.zeros(2)
    for t in range(1, steps + 1):
        g = CURVATURES * w
        if name == "sgd":
            w = w - lr * g
        elif name == "momentum":
            v = momentum * v + g
            w = w - lr * v
        elif name == "nesterov":
            v = momentum * v + g
            w = w - lr * (g + momentum * v)
        elif name == "adagrad":
            s = s + g**2
            w = w - lr * g / (np.sqrt(s) + 1e-10)
        elif name == "rmsprop":
            s = 0.99 * s + 0.01 * g**2
            w = w - lr * g / (np.sqrt(s) + 1e-8)
        else:
            m, s = momentum * m + (1 - momentum) * g, 0.999 * s + 0.001 * g**2
            decayed = w * (1 - 0.01 * lr) if name == "adamw" else w
            w = decayed - lr * (m / (1 - momentum**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
        path.append(w)
    return np.stack(path)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("momentum", [0.9, 0.5, 0.0, 0])
def test_paths_are_those_of_the_formulas(name, momentum):
    lr = 0.005 if name in descent.PLAIN else 0.2
    path = descend(FUNCTIONS["ravine"], (-3.5, 1.5), name, lr=lr, momentum=momentum, steps=60)
    expected = by_hand(name, (-3.5, 1.5), lr, momentum, 60)
    np.testing.assert_allclose(path.points, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(path.losses, (CURVATURES * expected**2).sum(1) / 2, rtol=1e-9, atol=1e-15)


def test_a_race_is_each_alone():
    rates = {name: 0.01 * (i + 1) for i, name in enumerate(OPTIMIZERS)}
    together = race(FUNCTIONS["saddle"], (-1.0, 0.2), rates, momentum=0.8, steps=40)
    assert list(together) == list(rates)
    for name, lr in rates.items():
        alone = descend(FUNCTIONS["saddle"], (-1.0, 0.2), name, lr, 0.8, 40)
        assert np.array_equal(alone.points, together[name].points)
        assert np.array_equal(alone.losses, together[name].losses)


@pytest.mark.parametrize("lr", [0.1, 1.0, 1.9])
def test_gradient_descent_in_a_bowl_is_a_geometric_series(lr):
    path = descend(FUNCTIONS["bowl"], (-3.0, 2.0), lr=lr, steps=30)
    series = (1 - lr) ** np.arange(31)[:, None] * np.array([-3.0, 2.0])
    np.testing.assert_allclose(path.points, series, atol=1e-12)


@pytest.mark.parametrize("curvature", [1.0, 8.0])
def test_gradient_descent_diverges_above_two_over_the_curvature_and_only_there(curvature):
    def steeper(points):
        return curvature * points.square().sum(-1) / 2

    limit = 2 / curvature
    assert descend(steeper, (1.0, 1.0), lr=1.01 * limit, steps=1000).diverged_at is not None
    below = descend(steeper, (1.0, 1.0), lr=0.99 * limit, steps=1000)
    assert below.diverged_at is None and below.losses[-1] < 1e-12


def test_a_path_that_diverges_ends_before_that_step_and_the_others_go_on():
    paths = race(FUNCTIONS["ravine"], (1.0, 1.0), {"sgd": 0.03, "adam": 0.1}, steps=100)
    gone = paths["sgd"].diverged_at
    # The loss grows by (1 - 0.03 * 100)² = 4 a step along y: a million times its start takes 10 steps.
    assert gone == 10 and len(paths["sgd"].points) == len(paths["sgd"].losses) == 10
    assert np.isfinite(paths["sgd"].losses).all()
    assert paths["adam"].diverged_at is None and len(paths["adam"].losses) == 101


def test_a_path_into_what_is_not_a_number_ends_there():
    path = descend(lambda points: points[..., 0].log() + points[..., 1] ** 2, (0.1, 0.0), lr=0.1, steps=20)
    assert path.diverged_at == 1  # from 0.1 by 0.1 / 0.1 to -0.9
    assert path.points.tolist() == [[0.1, 0.0]]


def test_when_a_path_has_arrived():
    path = descent.Path(np.zeros((5, 2)), np.array([8.0, 1.0, 3.0, 2.0, 1.0]))
    assert [path.reached(level) for level in (9, 3, 2, 1, 0.5)] == [0, 1, 3, 4, None]
    assert descent.Path(np.zeros((2, 2)), np.array([8.0, 1.0]), diverged_at=2).reached(9) is None
    assert goal(first=11.0, least=1.0) == pytest.approx(1.01)


# ---- rates


def test_the_best_rate_is_the_best_of_all_that_are_tried():
    function = FUNCTIONS["ravine"]
    found = best_rates(function, optimizers=("sgd", "momentum", "rmsprop"), steps=80)
    level = goal(float(function(torch.tensor(function.start))), 0.0)
    low, high = np.array(function.limits).T
    for name, best in found.items():
        scores = {}
        for lr in RATES:
            path = descend(function, function.start, name, lr, steps=80)
            outside = path.diverged_at is not None or not ((path.points >= low) & (path.points <= high)).all()
            reached = path.reached(level)
            scores[lr] = (outside, math.inf if reached is None else reached, path.losses[-1])
        assert scores[best] == min(scores.values())


def test_in_the_ravine_momentum_beats_plain_descent_at_the_best_rate_of_each():
    function = FUNCTIONS["ravine"]
    rates = best_rates(function, optimizers=("sgd", "momentum"))
    paths = race(function, function.start, rates)
    assert paths["momentum"].losses[-1] < 1e-3 * paths["sgd"].losses[-1]


# ---- maps


def test_a_survey_has_the_function_at_each_place():
    function = FUNCTIONS["beale"]
    seen = survey(function)
    assert seen.losses.shape == (len(seen.y), len(seen.x)) and len(seen.x) == function.columns
    assert (seen.x[0], seen.x[-1]) == function.limits[0] and (seen.y[0], seen.y[-1]) == function.limits[1]
    assert seen.x[1] - seen.x[0] == pytest.approx(seen.y[1] - seen.y[0], rel=0.02)
    place = torch.tensor([seen.x[17], seen.y[40]])
    assert seen.losses[40, 17] == pytest.approx(function(place).item())
    assert seen.floor == 0 and 0 < seen.low < seen.high == seen.losses.max()


def test_a_survey_below_zero_is_measured_from_its_lowest_place():
    plane = Function("slope", lambda points: points[..., 0], ((-1.0, 1.0), (-1.0, 1.0)), (0.0, 0.0))
    seen = survey(plane)
    assert seen.floor == -1 and seen.high == 2 and seen.low > 0


# ---- a real network


@pytest.fixture(scope="module")
def network():
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(40, 2, generator=generator)
    ds = Dataset(inputs, (inputs[:, :1] * inputs[:, 1:]).contiguous())
    model = MLP(2, 1, (4,), seed=0)
    seen = landscape.plane(model, ds, "filter", n=9)
    return model, ds, seen, descent.of_network(model, ds, seen)


def test_a_networks_function_is_its_loss_at_the_weights_of_the_plane(network):
    model, ds, seen, function = network
    a, b = 0.3, -0.4
    twin = MLP(2, 1, (4,), seed=0)
    torch.nn.utils.vector_to_parameters(torch.from_numpy(seen.weights_at(a, b)), twin.parameters())
    expected = torch.nn.functional.mse_loss(twin(ds.inputs), ds.targets)
    assert function(torch.tensor([a, b])).item() == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(survey(function).losses, seen.losses, rtol=1e-5)


def test_descent_on_a_network_follows_the_part_of_its_gradient_in_the_plane(network):
    model, ds, seen, function = network
    path = descend(function, (0.0, 0.0), lr=0.1, steps=1)
    loss = torch.nn.functional.mse_loss(model(ds.inputs), ds.targets)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
    np.testing.assert_allclose(path.points[1], -0.1 * seen.directions @ gradient.numpy(), rtol=1e-4)
    assert descend(function, function.start, lr=function.rates[0], steps=20).losses[-1] < path.losses[0] * 10


# ---- what it refuses


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": (1.0,)}, "two finite numbers"),
        ({"start": (1.0, math.nan)}, "two finite numbers"),
        ({"start": "here"}, "two finite numbers"),
        ({"optimizer": "lion"}, "sgd, momentum, nesterov"),
        ({"lr": 0}, "learning rate above 0 for sgd, received 0"),
        ({"lr": math.inf}, "learning rate above 0"),
        ({"lr": True}, "learning rate above 0"),
        ({"momentum": 1.0}, "from 0 to below 1"),
        ({"steps": 0}, "1 to 10,000 steps"),
        ({"steps": 1.5}, "1 to 10,000 steps"),
        ({"function": lambda points: points}, "one loss for each of 1 points"),
        ({"function": lambda points: 3.0}, "received float"),
        ({"function": lambda points: torch.zeros(len(points))}, "do not depend on the points"),
    ],
)
def test_bad_settings_are_named(arguments, message):
    with pytest.raises(SettingError, match=message):
        descend(**{"function": FUNCTIONS["bowl"], "start": (1.0, 1.0), **arguments})


def test_a_start_without_a_loss_is_refused():
    with pytest.raises(DataError, match=r"finite loss at the start \(-1.0, 0.0\), received nan"):
        descend(lambda points: points[..., 0].log(), (-1.0, 0.0))
    nowhere = Function("nowhere", lambda points: points[..., 0] / 0, ((-1.0, -0.5), (0.0, 1.0)), (-1.0, 0.0))
    with pytest.raises(DataError, match="finite losses of nowhere"):
        survey(nowhere)


def test_callers_may_have_gradients_off():
    with torch.no_grad():
        path = descend(FUNCTIONS["bowl"], (1.0, 1.0), lr=0.5, steps=2)
    assert path.points[-1].tolist() == [0.25, 0.25]


# ---- the figure


def test_the_figure_shows_each_path_and_its_losses():
    function = FUNCTIONS["ravine"]
    seen, paths = survey(function), race(function, (1.0, 1.0), {"sgd": 0.03, "adam": 0.1}, steps=30)
    figure = plots.descent(
        *(seen.x, seen.y, seen.losses),
        paths={name: path.points for name, path in paths.items()},
        by_step={name: path.losses for name, path in paths.items()},
        minima=function.minima,
        diverged={"sgd": 10},
        title="Adam stays",
    )
    plane, chart = figure.axes
    drawn = [line.get_xydata() for line in plane.lines]
    assert any(np.array_equal(line, paths["adam"].points) for line in drawn)
    assert np.array_equal(chart.lines[1].get_ydata(), paths["adam"].losses)
    words = [text.get_text() for text in chart.texts]
    assert "sgd diverged at 10" in words and any(word.startswith("adam ") for word in words)
    assert chart.get_yscale() == "log"
    markers = {tuple(line.get_xydata()[-1]): line.get_marker() for line in plane.lines if len(line.get_xydata()) == 1}
    assert markers[tuple(paths["sgd"].points[-1])] == "x" and markers[tuple(paths["adam"].points[-1])] == "s"
    assert figure.alt == "Adam stays"
