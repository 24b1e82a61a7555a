"""The landscape's view without a browser, and its figures."""

import re
import threading

import numpy as np
import pytest
import torch
from page import Page

from labkit import plots
from labkit.data import Dataset, toy
from labkit.errors import SettingError
from labkit.models import MLP
from labkit.plots.landscape import contour_levels, interpolate, landscape_text
from labkit.train import Player, Trainer, landscape, probes, sharpness, stability_limit
from labkit.train.path import Path
from labkit.widgets import LandscapeView
from labkit.widgets.assets import module, style
from labkit.widgets.beside import Beside


def player(steps: int = 0, optimizer: str = "sgd", seed: int = 0) -> Player:
    trainer = Trainer(MLP(2, 2, (4,), seed=seed), toy("gauss", n=60), optimizer=optimizer, lr=0.1, batch_size=20)
    run = Player(trainer, probes={"parameters": probes.parameters()}, frame_every=1)
    if steps:
        run.wait(steps=steps)
    return run


def do(view: LandscapeView, action: str, **details) -> None:
    view.receive({"kind": "do", "action": action, "ticket": 1, **details})


@pytest.fixture
def run() -> Player:
    return player(30)


def assert_shows(page: Page, view: LandscapeView, run: Player, number: int = 0) -> None:
    """The page has the plane, and the run's whole path on it."""
    found, path = view.landscape, landscape.trajectory(run)
    np.testing.assert_array_equal(page.arrays["losses"], found.losses.astype(np.float32))
    np.testing.assert_array_equal(page.arrays["a"], found.a)
    columns = page.columns(number)
    np.testing.assert_array_equal(columns["path_step"], path.steps)
    places = np.stack([columns["path_a"], columns["path_b"]], axis=1)
    np.testing.assert_allclose(places, found.project(path.weights), atol=1e-5)


# ---- the path on a plane


def test_a_path_that_grows_is_the_path_projected_at_once(run):
    whole = landscape.trajectory(run)
    on = landscape.plane(run.trainer.model, run.trainer.train, "pca", whole, n=3)
    path = Path(on, landscape.Trajectory(whole.steps[:7], whole.weights[:7]))
    assert path.extend(whole) == 24
    assert path.extend(whole) == 0
    np.testing.assert_array_equal(path.steps, whole.steps)
    np.testing.assert_allclose(path.places, on.path, atol=1e-6)
    for k in (3, 30):
        assert path.share[k] == pytest.approx(on.held(whole.weights[: k + 1]), rel=1e-5)
    assert path.inside
    far = whole.weights[-1:] + 50 * on.directions[:1]
    path.extend(landscape.Trajectory(np.array([31]), far))
    assert not path.inside


# ---- the view


def test_before_the_first_step_there_is_a_plane_by_chance_and_after_it_the_paths_own():
    run = player()
    view = LandscapeView(run, n=9)
    page = Page(view)
    assert view.landscape.kind == "filter"
    assert page.state["kind"] in (None, "filter") and page.state["share"] is None
    run.wait(steps=20)
    assert view.landscape.kind == "pca"
    assert page.state["kind"] == "pca" and page.state["centre_step"] == 20
    assert page.state["measuring"] is False
    assert_shows(page, view, run)
    assert page.state["share"] == pytest.approx(view.landscape.share, rel=1e-5)


def test_the_losses_are_the_models_own(run):
    view = LandscapeView(run, n=5, directions="filter", seed=2)
    expected = landscape.plane(run.trainer.model, run.trainer.train, "filter", n=5, seed=2)
    np.testing.assert_allclose(view.landscape.losses, expected.losses, rtol=1e-5)
    score = run.trainer.evaluate()["train_loss"]
    assert view.landscape.losses[2, 2] == pytest.approx(score, rel=1e-5)


def test_sharpness_beside_its_limit(run):
    view = LandscapeView(run, n=3)
    page = Page(view)
    (row,) = view.sharpness
    assert row.step == 30
    assert row.value == pytest.approx(sharpness(run.trainer.model, run.trainer.train), rel=0.02)
    assert row.limit == stability_limit(run.trainer.optimizer) == 20
    assert page.state["limit_times_rate"] == pytest.approx(2)
    run.wait(steps=40)
    assert [row.step for row in view.sharpness] == [30, 40]
    np.testing.assert_array_equal(page.columns(0)["sharp_step"], [30, 40])
    np.testing.assert_allclose(page.columns(0)["sharp"], [row.value for row in view.sharpness], rtol=1e-6)
    assert "Sharpness at step 40" in view.text and "limit of the learning rate 20" in view.text


def test_an_adaptive_optimiser_has_no_limit():
    view = LandscapeView(player(3, "adam"), n=3)
    assert np.isnan(view.sharpness[-1].limit)
    assert Page(view).state["limit_times_rate"] is None
    assert "limit" not in view.text


def test_a_scheduled_rate_has_its_own_limit():
    trainer = Trainer(MLP(2, 2, (4,)), toy("gauss", n=20), optimizer="sgd", lr=0.1, schedule=lambda step: 0.5)
    view = LandscapeView(Player(trainer, probes={"parameters": probes.parameters()}), n=3)
    assert view.sharpness[-1].limit == pytest.approx(40)


def test_what_the_browser_asks_for(run):
    view = LandscapeView(run, n=5)
    page = Page(view)
    reach = np.ptp(view.landscape.a)
    do(view, "span", value=2)
    assert np.ptp(view.landscape.a) == pytest.approx(2 * reach)
    do(view, "directions", name="random")
    first = view.landscape
    assert first.kind == "random" == page.state["kind"]
    do(view, "another")
    assert not np.array_equal(view.landscape.directions, first.directions)
    assert_shows(page, view, run)
    for action, details in (("span", {"value": 0}), ("directions", {"name": "up"})):
        do(view, action, **details)
        assert "Expected" in page.state["error"]
    do(view, "refit")
    view._beside.wait()
    assert page.state["error"] is None


def test_looking_back_shows_the_share_up_to_there(run):
    view = LandscapeView(run, n=5)
    page = Page(view)
    found, path = view.landscape, landscape.trajectory(run)
    run.seek(10)
    assert page.state["share"] == pytest.approx(found.held(path.weights[:11]), rel=1e-4)
    assert view.landscape is found
    assert "10 steps" in view.figure().alt


def test_a_rewind_cuts_the_path_and_the_sharpness(run):
    view = LandscapeView(run, n=5)
    page = Page(view)
    assert len(view.sharpness) == 1
    run.wait(steps=40)
    assert len(view.sharpness) == 2
    run.rewind(20)
    assert [row.step for row in view.sharpness] == [20]
    assert_shows(page, view, run)
    assert page.columns(0)["path_step"][-1] == 20


def test_an_edited_model_moves_the_path(run):
    view = LandscapeView(run, n=5)
    page = Page(view)
    assert view.landscape.kind == "pca"
    with run.paused() as trainer, torch.no_grad():
        trainer.model.output.weight.add_(1)
    assert_shows(page, view, run)
    np.testing.assert_allclose(view.landscape.centre, landscape.trajectory(run).weights[-1])


def test_a_fork_is_a_second_path_on_the_same_plane(run):
    view = LandscapeView(run, n=5)
    page = Page(view)
    fork = run.fork(10, lr=0.5)
    view.add(fork)
    assert [row.step for row in view.sharpness] == [10]
    fork.wait(steps=25)
    for number, one in enumerate((run, fork)):
        assert_shows(page, view, one, number)
    columns = [page.columns(number) for number in (0, 1)]
    np.testing.assert_allclose(columns[0]["path_a"][:11], columns[1]["path_a"][:11])
    assert "compared with A" in view.text
    assert view.figure().alt.startswith("25 steps")
    do(view, "remove", run=0)
    assert view.landscape.kind == "pca"


def test_a_page_loaded_later_sees_the_same(run):
    view = LandscapeView(run, n=5)
    view._beside.wait()
    assert_shows(Page(view), view, run)


def test_what_fails_beside_is_said_in_the_view(run):
    bad = Dataset(torch.zeros(3, 5), torch.zeros(3, dtype=torch.long))
    view = LandscapeView(run, n=5, ds=bad)
    page = Page(view)
    view._beside.wait()
    assert "fit the model" in page.state["error"]
    assert page.state["measuring"] is False
    with pytest.raises(SettingError, match="Expected a plane"):
        _ = view.landscape


def test_what_a_view_needs_is_said():
    with pytest.raises(SettingError, match="probes.parameters"):
        LandscapeView(Player(player().trainer))
    with pytest.raises(SettingError, match="pca, filter, random"):
        LandscapeView(player(), directions="up")
    with pytest.raises(SettingError, match="one or more players"):
        LandscapeView("player")


def test_work_beside_is_done_one_at_a_time_and_the_newest_wish_wins():
    failed, done = [], []
    beside, go, began = Beside(failed.append), threading.Event(), threading.Event()

    def first():
        began.set()
        go.wait()
        done.append("first")

    beside.ask("a", first)
    began.wait()
    assert not beside.rested("a")
    beside.ask("a", lambda: done.append("old"))
    beside.ask("a", lambda: done.append("new"))
    beside.ask("b", lambda: 1 / 0)
    go.set()
    beside.wait()
    assert done == ["first", "new"]
    assert [type(error) for error in failed] == [ZeroDivisionError]
    assert beside.rested("c")


def test_the_module_is_self_contained():
    text = module("landscape")
    names = re.findall(r"^(?:const|let|class|(?:async )?function) (\w+)", text, re.MULTILINE)
    assert sorted(names) == sorted(set(names))
    assert "class LossMap" in text and "export default view" in text
    assert ".ls-map" in style("landscape") and ".lk-body" in style("landscape")


# ---- figures


A, B = np.linspace(-2, 2, 9), np.linspace(-1, 1, 5)
BOWL = 0.01 + A[None, :] ** 2 + B[:, None] ** 2


def test_the_map_draws_what_it_is_given():
    path = np.array([[-1.0, 0.5], [0.0, 0.0]])
    figure = plots.landscape(BOWL, A, B, path, np.array([0, 120]), 0.987, "pca", {"run B": path[::-1]})
    assert figure.alt == "120 steps on a plane that holds 98.7 % of their movement; loss 0.0100 to 5.01"
    image = figure.axes[0].images[0]
    np.testing.assert_allclose(image.get_array(), np.log10(BOWL))
    assert image.get_extent() == [-2, 2, -1, 1] and image.origin == "lower"
    words = {text.get_text() for text in figure.axes[0].texts}
    assert {"start", "step 120", "run B"} <= words
    assert figure.axes[0].get_xlabel() == "main direction of the movement"


def test_losses_that_are_not_finite_are_red_and_said():
    losses = BOWL.copy()
    losses[0, 0], losses[1, 1] = np.nan, np.inf
    figure = plots.landscape(losses, A, B)
    assert figure.axes[0].images[0].get_array().mask.sum() == 2
    assert figure.alt == "Loss 0.0100 to 5.01, not finite in the red on this plane"
    assert plots.landscape(np.full((5, 9), np.nan), A, B).alt == "Loss: not finite on this plane"
    assert plots.landscape_surface(np.full((5, 9), np.nan), A, B) is not None


def test_small_ranges_and_negative_losses_are_shown_linearly():
    for losses in (BOWL + 5, BOWL - 1):
        np.testing.assert_allclose(plots.landscape(losses, A, B).axes[0].images[0].get_array(), losses)


@pytest.mark.parametrize("ends", [(0.0012, 3.4, True), (0.2, 0.7, True), (1, 1e9, True), (-3, 4, False)])
def test_levels_lie_between_the_ends(ends):
    levels = contour_levels(*ends)
    assert 5 <= len(levels) <= 14 and levels == sorted(levels)
    assert ends[0] < levels[0] and levels[-1] < ends[1]
    assert contour_levels(1, 1, False) == []


def test_reading_between_the_places_is_bilinear():
    plane = 3 * A[None, :] - 2 * B[:, None] + 1
    places = np.array([[0.3, 0.7], [-2, -1], [2, 1], [2.1, 0]])
    np.testing.assert_allclose(interpolate(plane, A, B, places)[:3], 3 * places[:3, 0] - 2 * places[:3, 1] + 1)
    assert np.isnan(interpolate(plane, A, B, places)[3])


def test_the_contour_map_has_the_losses_and_the_path_on_it():
    path = np.array([[-1.0, 0.5], [0.0, 0.0]])
    figure = plots.landscape_contour(BOWL, A, B, path, np.array([0, 120]), 0.987, "pca")
    contour, line, ends = figure.data
    np.testing.assert_allclose(contour.z, np.log10(BOWL))
    np.testing.assert_allclose(contour.customdata, BOWL)
    np.testing.assert_allclose(np.stack([line.x, line.y], 1), path)
    assert list(line.text) == ["step 0", "step 120"]
    assert list(ends.text) == ["start", "step 120"]
    assert figure.layout.xaxis.title.text == "main direction of the movement"
    assert plots.landscape_contour(np.full((5, 9), np.nan), A, B) is not None


def test_the_surface_has_the_losses_and_the_path_on_it():
    path = np.array([[-1.0, 0.5], [0.0, 0.0]])
    figure = plots.landscape_surface(BOWL, A, B, path, np.array([0, 120]), 0.987, "pca")
    surface, line, ends = figure.data
    np.testing.assert_allclose(surface.z, np.log10(BOWL))
    np.testing.assert_allclose(surface.customdata, BOWL)
    lift = 0.01 * np.ptp(np.log10(BOWL))
    np.testing.assert_allclose(line.z, np.log10([BOWL[3, 2], BOWL[2, 4]]) + lift)
    assert list(ends.text) == ["start", "step 120"]
    assert "98.7 %" in figure.layout.title.text


def test_a_line_says_whether_there_is_a_barrier():
    at = np.linspace(-0.5, 1.5, 9)
    hill = plots.landscape_line(1 - (2 * (at - 0.5)) ** 2 + 2, at, "runs")
    assert hill.alt == "A barrier of 1.00 between the two models: loss 2.00 and 2.00"
    flat = plots.landscape_line(np.ones(9), at, "runs")
    assert flat.alt == "No barrier between the two models: loss 1.00 and 1.00"
    assert plots.landscape_line(at**2, at, "filter").alt == "Loss 0 at the model, up to 2.25 along the line"


def test_the_text_names_the_finding():
    assert landscape_text(BOWL, np.array([0, 1200]), 0.5).startswith("1,200 steps on a plane that holds 50.0 %")
    assert landscape_text(BOWL) == "Loss 0.0100 to 5.01 on this plane"
