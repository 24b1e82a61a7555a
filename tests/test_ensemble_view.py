"""EnsembleView's Python side and its static twin, without a browser."""

import functools
import re
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from page import Page
from test_ensemble import Blows
from torch import nn

from labkit import plots
from labkit.data import Dataset
from labkit.errors import DataError, SettingError
from labkit.models import MLP
from labkit.train import Ensemble, Player, Trainer
from labkit.train.members import MOST_COLUMNS
from labkit.widgets import EnsembleView
from labkit.widgets.assets import module, style

torch.set_num_threads(1)

RATES = [0.3, 0.001, 50.0, 0.03]


def data(seed=0, classes=False):
    inputs = torch.randn(48, 2, generator=torch.Generator().manual_seed(seed))
    targets = (inputs.sum(1) > 0).long() if classes else 20 * inputs.sum(1, keepdim=True)
    return Dataset(inputs, targets)


def player(classes=False, **grid):
    make = functools.partial(MLP, 2, 2 if classes else 1, (), seed=0)
    ensemble = Ensemble(
        make, data(0, classes), data(1, classes), optimizer="sgd", batch_size=16, grid=grid or {"lr": RATES}
    )
    return Player(ensemble, evaluate_every=4)


def do(view, action, **details):
    view.receive({"kind": "do", "action": action, "ticket": 1, **details})


def cells(page):
    return page.arrays["0.cell_step"], page.arrays["0.cells"].reshape(len(page.arrays["0.cell_step"]), -1)


def test_the_page_has_every_members_losses_and_where_they_stand():
    run = player()
    losses = []
    view = EnsembleView(run)
    page = Page(view)
    assert page.state["finding"] == "4 models about to train"
    assert page.state["best"] is None
    for _ in range(30):
        run.step()
        losses.append(run.trainer.losses)
    steps, values = cells(page)
    assert steps.tolist() == list(range(1, 31))
    np.testing.assert_array_equal(values, np.array(losses))
    np.testing.assert_allclose(page.arrays["now"], np.mean(losses[-3:], 0), rtol=1e-6)  # an epoch: three batches
    assert page.state["over"] == 3
    assert page.state["best"] == int(np.nanargmin(page.arrays["now"]))
    assert [member["lr"] for member in page.state["members"]] == RATES
    assert page.arrays["curve.setting"].tolist() == sorted(RATES)
    np.testing.assert_allclose(page.arrays["curve.median"][:3], page.arrays["now"][[1, 3, 0]], rtol=1e-6)
    fresh = Page(EnsembleView(run))
    np.testing.assert_array_equal(cells(fresh)[1], values)


def test_members_that_diverged_are_told_from_their_step_on():
    run = player()
    view = EnsembleView(run)
    page = Page(view)
    run.wait(steps=200)
    at = run.trainer.diverged_at
    assert (at > 0).tolist() == [False, False, True, False]
    assert page.arrays["diverged_at"].tolist() == at.tolist()
    assert "1 of 4 have diverged" in view.text
    assert page.arrays["curve.diverged"].tolist() == [0, 0, 0, 1]
    do(view, "seek", step=int(at[2]) - 1)
    assert page.arrays["diverged_at"].tolist() == [0] * 4
    assert "diverged" not in view.text


def test_looking_back_shows_what_was_known_then():
    run = player(classes=True)
    view = EnsembleView(run, metric="test_accuracy")
    page = Page(view)
    run.wait(steps=8)
    before = page.arrays["now"].copy()
    np.testing.assert_array_equal(before, run.trainer.record.at("test_accuracy", 8))
    finding = page.state["finding"]
    run.wait(steps=40)
    do(view, "seek", step=9)
    np.testing.assert_array_equal(page.arrays["now"], before)
    assert page.state["finding"] == finding.replace("after 8 steps", "after 9 steps")
    assert cells(page)[0].tolist() == [0, *range(4, 41, 4)]
    do(view, "rewind", step=9)
    deadline = time.monotonic() + 30
    while view._busy:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert cells(page)[0].tolist() == [0, 4, 8]


def test_another_metric_replaces_the_table():
    run = player(classes=True)
    view = EnsembleView(run)
    page = Page(view)
    run.wait(steps=12)
    assert page.state["metrics"] == ["loss", "train_loss", "train_accuracy", "test_loss", "test_accuracy"]
    do(view, "metric", name="test_accuracy")
    steps, values = cells(page)
    np.testing.assert_array_equal(values, run.trainer.record.table("test_accuracy")[1])
    assert steps.tolist() == [0, 4, 8, 12]
    assert page.state["best"] == int(np.argmax(values[-1]))
    assert "test accuracy" in page.state["finding"]
    do(view, "metric", name="f1")
    assert "Expected a metric of loss" in page.state["error"]
    with pytest.raises(SettingError, match="Expected a metric of loss"):
        EnsembleView(run, metric="f1")


def test_joined_stretches_are_sent_anew():
    run = player(lr=[0.001, 0.01])
    page = Page(EnsembleView(run))
    run.wait(steps=2 * MOST_COLUMNS + 30)
    assert run.trainer.record.stretch > 1
    steps, values = cells(page)
    expected = run.trainer.record.table("loss")
    np.testing.assert_array_equal(steps, expected[0])
    np.testing.assert_array_equal(values, expected[1])


def test_a_member_opens_as_a_run_of_its_own():
    run = player()
    view = EnsembleView(run)
    page = Page(view)
    run.wait(steps=20)
    assert view.opened is None
    do(view, "open", member=3)
    opened = view.opened
    assert type(opened.trainer) is Trainer
    assert (opened.trainer.step_count, opened.trainer.lr) == (20, 0.03)
    assert page.state["opened"] == {"member": 3, "step": 20}
    assert "Member 3 is opened" in view.text
    losses = []
    for _ in range(10):
        run.step()
        losses.append(run.trainer.losses[3])
    opened.wait(steps=30)
    np.testing.assert_allclose([row["loss"] for row in opened.history[1:]], losses, rtol=1e-5)
    assert view.open_member(0) is view.opened
    do(view, "open", member=9)
    assert "0 to 3, received 9" in page.state["error"]
    assert Page(view).state["opened"] == {"member": 0, "step": 30}


def test_all_diverged_is_a_failure_that_can_be_undone():
    same = SimpleNamespace(inputs=torch.zeros(8, 1), targets=torch.full((8, 1), 5.0))
    run = Player(Ensemble(Blows, same, optimizer="sgd", batch_size=8, grid={"lr": [0.3, 0.4]}))
    view = EnsembleView(run)
    page = Page(view)
    run.play()
    run._join()
    assert run.status == "failed"
    assert "All 2 members have diverged" in view.text
    assert page.state["runs"][0]["last_good"] == run.trainer.step_count - 1


@pytest.mark.parametrize(
    ("grid", "axis", "axes"),
    [
        ({"lr": [0.1, 0.2]}, "lr", ["lr"]),
        ({"seed": [0, 1], "lr": [0.1, 0.2]}, "lr", ["lr", "seed"]),
        ({"seed": [0, 1], "weight_decay": [0, 0.1], "lr": [0.1]}, "weight_decay", ["seed", "weight_decay"]),
        ({"seed": [4, 5]}, "seed", ["seed"]),
        ({"lr": [0.1]}, "seed", ["seed"]),
    ],
)
def test_rows_are_sorted_by_the_first_setting_that_differs(grid, axis, axes):
    page = Page(EnsembleView(player(**grid)))
    assert (page.state["axis"], page.state["axes"]) == (axis, axes)


def test_only_a_player_of_an_ensemble_is_taken():
    with pytest.raises(SettingError, match="player of an ensemble"):
        EnsembleView(Player(Trainer(nn.Linear(2, 1), data())))
    with pytest.raises(SettingError, match="player of an ensemble"):
        EnsembleView(player().trainer)


def test_the_module_declares_every_name_once():
    text = module("ensemble")
    assert len(re.findall(r"^export ", text, re.MULTILINE)) == 1
    names = re.findall(r"^(?:const|let|class|(?:async )?function) (\w+)", text, re.MULTILINE)
    assert sorted(names) == sorted(set(names))
    assert "lk-rows-plot" in style("ensemble")


# ---- the static twin


def test_the_figure_shows_the_same():
    run = player(lr=[0.01, 0.1, 50.0], seed=[0, 1])
    view = EnsembleView(run)
    assert "about to train" in view.figure().alt
    run.wait(steps=120)
    figure = view.figure()
    assert figure.alt.startswith("Best of 6 after 120 steps: learning rate ")
    assert figure.alt.endswith("(hatched: 2 of 6 diverged)")
    rows, curve = figure.axes[:2]
    shown = rows.collections[0].get_array()
    table = run.trainer.record.table("loss")[1]
    assert shown.shape == (6, 120)
    np.testing.assert_allclose(shown[:4], table[:, :4].T)
    assert shown[4:].mask[:, -1].all()
    assert len([p for p in rows.patches if p.get_hatch()]) == 2
    assert curve.lines[0].get_ydata().tolist() == view._race.curve()["median"][:2].tolist()
    assert any(text.get_text() == "diverged" for text in curve.texts)
    assert any(text.get_text() == "◀" for text in rows.texts)
    figure.canvas.draw()
    run.seek(60)
    figure = view.figure()
    assert "after 60 steps" in figure.alt
    assert figure.axes[0].collections[0].get_array().shape == (6, 60)


def test_the_figures_rows_are_sorted_by_the_setting():
    values = np.array([[3.0, 1, 2], [30, 10, 20]])
    curve = {"setting": [0.1, 0.2, 0.3], "median": [10, 20, 30], "low": [10, 20, 30], "high": [10, 20, 30]}
    figure = plots.ensemble(np.array([5, 10]), values, np.array([0.3, 0.1, 0.2]), curve, best=1)
    rows = figure.axes[0]
    assert rows.collections[0].get_array().tolist() == [[1, 10], [2, 20], [3, 30]]
    assert [text.get_text() for text in rows.get_yticklabels()] == ["0.1", "0.2", "0.3"]
    assert [text.xy[1] for text in rows.texts] == [0]  # the best one, in the lowest row
    assert figure.alt == "training loss of 3 models by learning rate"


def test_the_figure_refuses_arrays_that_do_not_fit():
    with pytest.raises(DataError, match=r"\(3, 2\), received \(2, 3\)"):
        plots.ensemble(np.arange(1, 4), np.ones((2, 3)), np.array([0.1, 0.2]), {})
