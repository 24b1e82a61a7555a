"""The optimisers' view without a browser: what a page is sent, and what its messages do."""

import re

import numpy as np
import pytest
from page import Page

from labkit.errors import SettingError
from labkit.train.descent import FUNCTIONS, OPTIMIZERS, Function, best_rates, descend, race, survey, usual_rates
from labkit.widgets import OptimizerView
from labkit.widgets.assets import module


def do(view, action, **details):
    view.receive({"kind": "do", "action": action, "ticket": 7, **details})


def assert_shows(page, view):
    """The page has the view's paths, as torch.optim goes them."""
    expected = race(view.function, view.start, view.rates, view.momentum, view.steps)
    assert list(expected) == [row["name"] for row in page.state["optimizers"]]
    for i, (name, path) in enumerate(expected.items()):
        got, losses = page.arrays["paths"][i], page.arrays["losses"][i]
        assert got.shape == (view.steps + 1, 2)
        np.testing.assert_allclose(got[: len(path.points)], path.points, rtol=1e-6, atol=1e-30, err_msg=name)
        np.testing.assert_allclose(losses[: len(path.losses)], path.losses, rtol=1e-6, atol=1e-30, err_msg=name)
        assert np.isnan(got[len(path.points) :]).all() and np.isnan(losses[len(path.losses) :]).all()
        row = page.state["optimizers"][i]
        assert row["lr"] == view.rates[name] and row["diverged_at"] == path.diverged_at
        assert row["reached"] == path.reached(view.level)


def test_a_page_gets_the_map_and_all_paths():
    view = OptimizerView("beale")
    page = Page(view)
    assert_shows(page, view)
    assert view.rates == usual_rates(FUNCTIONS["beale"])
    map_ = page.arrays["map"]
    (left, right), (low, high) = page.state["limits"]
    assert map_.shape[1] == 129 and (left, right, low, high) == (-1.0, 4.6, -2.1, 2.1)
    assert map_[0, 0] == pytest.approx(((1.5 + 3.1) ** 2) + (2.25 + (1 - 2.1**2)) ** 2 + (2.625 + 1 + 2.1**3) ** 2)
    assert page.state["functions"] == list(FUNCTIONS)


def test_a_new_start_moves_the_paths_and_leaves_the_rest():
    view = OptimizerView(lr={"adam": 0.3}, steps=40)
    page = Page(view)
    rates = dict(view.rates)
    do(view, "set", start=[2.0, -1.0])
    assert view.start == (2.0, -1.0) and page.state["start"] == [2.0, -1.0] and page.state["answered"] == 7
    assert_shows(page, view)
    assert view.rates == rates and rates["adam"] == 0.3 and rates["sgd"] == FUNCTIONS["ravine"].rates[0]
    assert page.fresh[-2:] == ["paths", "losses"]  # the map is not sent again


def test_rates_change_for_one_kind_at_a_time():
    view = OptimizerView(steps=20)
    page = Page(view)
    do(view, "rate", plain=True, lr=0.002)
    do(view, "rate", plain=False, lr=0.5)
    assert view.rates == {n: 0.002 if n in ("sgd", "momentum", "nesterov") else 0.5 for n in OPTIMIZERS}
    assert_shows(page, view)
    do(view, "rate", plain=True, lr=0.03)
    assert page.state["optimizers"][0]["diverged_at"] == 11
    assert_shows(page, view)
    do(view, "usual")
    assert view.rates == usual_rates(FUNCTIONS["ravine"])
    view.set(lr=0.01)
    assert set(view.rates.values()) == {0.01}
    assert_shows(page, view)


def test_momentum_changes_live():
    view = OptimizerView(optimizers=("momentum", "adam"), steps=20)
    page = Page(view)
    do(view, "set", momentum=0.5)
    assert_shows(page, view)
    path = descend(FUNCTIONS["ravine"], view.start, "adam", view.rates["adam"], 0.5, 20)
    assert np.array_equal(view.paths["adam"].points, path.points)


def test_another_function_brings_its_start_rates_and_map():
    view = OptimizerView(lr=0.01, start=(1.0, 1.0), steps=20)
    page = Page(view)
    do(view, "set", function="rosenbrock")
    assert view.start == FUNCTIONS["rosenbrock"].start and view.rates == usual_rates(FUNCTIONS["rosenbrock"])
    np.testing.assert_allclose(page.arrays["map"], survey(FUNCTIONS["rosenbrock"]).losses, rtol=1e-6)
    assert page.state["minima"] == [[1.0, 1.0]]
    assert_shows(page, view)


def test_the_best_rates_are_found_from_this_start_and_said_until_something_changes():
    view = OptimizerView("saddle", optimizers=("sgd", "adam"), start=(-1.0, 0.5), steps=40)
    page = Page(view)
    do(view, "best")
    assert view.rates == best_rates(FUNCTIONS["saddle"], (-1.0, 0.5), ("sgd", "adam"), steps=40)
    assert page.state["tuned"]
    assert_shows(page, view)
    do(view, "set", start=[-1.0, 0.4])
    assert not page.state["tuned"]


def test_what_cannot_be_computed_is_said_and_changes_nothing():
    view = OptimizerView(steps=20)
    page = Page(view)
    before = view.text
    for details, message in [
        ({"start": [1.0, float("nan")]}, "two finite numbers"),
        ({"momentum": 1.5}, "from 0 to below 1"),
        ({"function": "cliff"}, "Expected a function of bowl, ravine"),
    ]:
        do(view, "set", **details)
        assert message in page.state["error"]
        assert view.text == before
        assert_shows(page, view)
    do(view, "rate", plain=True, lr=-1)
    assert "learning rate above 0" in page.state["error"]
    do(view, "set", momentum=0.8)
    assert page.state["error"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizers": ("sgd", "lion")}, "Expected optimizers of sgd"),
        ({"optimizers": ()}, "Expected optimizers of sgd"),
        ({"function": 3}, "Expected a function of bowl"),
        ({"optimizers": ("sgd",), "lr": {"adam": 0.1}}, "rates of sgd, received one of adam"),
    ],
)
def test_bad_settings_are_named(arguments, message):
    with pytest.raises(SettingError, match=message):
        OptimizerView(**arguments)


def test_an_own_function_is_offered_beside_the_others():
    own = Function("valley", lambda p: p[..., 0] ** 2 + p[..., 1] ** 4 + 1, ((-1.0, 1.0), (-1.0, 1.0)), (0.5, 0.5))
    view = OptimizerView(own, steps=10)
    page = Page(view)
    assert page.state["functions"] == [*FUNCTIONS, "valley"] and page.state["function"] == "valley"
    assert view.level == pytest.approx(1 + 1e-3 * (0.25 + 0.0625), rel=1e-3)  # the least is read from the map
    assert_shows(page, view)


def test_words_say_who_arrives_who_diverges_and_who_is_lowest():
    view = OptimizerView("ravine", optimizers=("sgd", "momentum"), lr=0.01)
    assert view.text.startswith("Momentum arrives first, after 65 steps. ravine, (x² + 100 y²) / 2, from (-3.5, 1.5)")
    assert "SGD at rate 0.01 does not arrive, last loss 0.3;" in view.text
    view.set(lr={"sgd": 0.03})
    assert "SGD at rate 0.03 diverges at step 11" in view.text
    view.set(lr=0.01, steps=10)
    assert view.text.startswith("None arrives within 10 steps; SGD comes lowest, loss 5.01")
    view.set(lr=0.5, steps=150)
    assert view.text.startswith("All diverge: lower the learning rates")


def test_hidden_ones_are_not_in_the_figure_and_keep_the_others_looks():
    view = OptimizerView("ravine", steps=30)
    page = Page(view)
    do(view, "show", name="sgd", on=False)
    assert [row["shown"] for row in page.state["optimizers"]] == [False] + 6 * [True]
    plane, chart = view.figure().axes
    assert len(chart.lines) == 6
    momentum = chart.lines[0]
    assert np.array_equal(momentum.get_ydata(), view.paths["momentum"].losses)
    assert momentum.get_color() == "#b25400"
    do(view, "show", name="sgd", on=True)
    assert len(view.figure().axes[1].lines) == 7
    for name in OPTIMIZERS:
        do(view, "show", name=name, on=False)
    assert view.text.startswith("No optimiser is shown")
    assert len(view.figure().axes) == 2


def test_looks_are_the_same_in_the_page_and_in_the_figure():
    from labkit.plots.descent import STYLES
    from labkit.widgets.assets import STATIC

    source = (STATIC / "optpaths.js").read_text()
    looks = re.findall(r'\{ light: "(#\w+)", dark: "#\w+", dashed: (true|false)', source)
    assert looks == [(style.colour, str(style.dashed).lower()) for style in STYLES]
    assert len(STYLES) == len(OPTIMIZERS)


def test_the_module_declares_every_name_once():
    names = re.findall(r"^(?:const|let|class|(?:async )?function) (\w+)", module("optimizers"), re.MULTILINE)
    assert sorted(names) == sorted(set(names))
