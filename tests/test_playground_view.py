"""The playground's Python side, without a browser: every action, what it sends, and what it does to the model."""

import threading
import time
import weakref

import numpy as np
import pytest
import torch
from page import Page
from torch import nn

from labkit.data import Dataset
from labkit.errors import DivergedError, SettingError
from labkit.playground import Settings, build, surfaces
from labkit.widgets import Playground


@pytest.fixture
def playground():
    view = Playground()
    view.speed = None
    yield view
    for player in view.players:
        player.pause()


def do(view, action, **details):
    """Ask as the page does; returns what went wrong, or None."""
    view.error = None
    view.receive({"kind": "do", "action": action, "ticket": 1, **details})
    return view.error


def flat(model):
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def run_code(view, epochs):
    """The shown program's network after so many epochs."""
    names = {}
    exec(view.code.replace("range(1, 50 + 1)", f"range(1, {epochs} + 1)"), names)
    return flat(names["model"])


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_a_page_gets_at_first(playground):
    page = Page(playground)
    arrays, state = page.arrays, page.state
    assert arrays["maps.0"].shape == (7, 100, 100)
    assert arrays["feature_maps"].shape == (7, 100, 100)
    assert np.array_equal(arrays["parameters.0"], flat(playground.model).numpy())
    assert arrays["train.0"].shape == arrays["test.0"].shape == (250, 3)
    assert set(arrays["train.0"][:, 2]) == {-1, 1}
    layers = state["runs"][0]["layers"]
    assert [(layer["name"], layer["width"], layer["activation"]) for layer in layers] == [
        ("input", 2, "linear"), ("linear1", 4, "tanh"), ("linear2", 2, "tanh"), ("output", 1, "tanh"),
    ]  # fmt: skip
    for layer in layers[1:]:  # the offsets say where in the row each parameter stands
        module = getattr(playground.model, layer["name"])
        size = module.weight.numel()
        row = arrays["parameters.0"]
        assert np.array_equal(row[layer["weight"] : layer["weight"] + size], module.weight.detach().numpy().ravel())
        assert np.array_equal(row[layer["bias"] : layer["bias"] + layer["width"]], module.bias.detach().numpy())
    scores = playground.trainer.evaluate()
    assert {name: state["live"]["0"][name] for name in scores} == scores


def test_each_picture_is_of_the_step_it_names(playground):
    page = Page(playground)
    playground.wait(epochs=3)
    seen = surfaces.look(playground.model, surfaces.grid(("x1", "x2"), (1.0, 2.0)))
    assert np.array_equal(page.arrays["maps.0"], seen.maps)
    assert np.array_equal(page.arrays["values.0"], seen.values)
    assert page.state["live"]["0"]["step"] == 75
    assert page.state["live"]["0"]["test_loss"] == playground.trainer.evaluate()["test_loss"]
    assert page.state["runs"][0]["status"] == "finished"
    assert page.state["runs"][0]["reason"] == "Reached epoch 3."
    assert "Epoch 3, finished" in playground.text


def test_step_trains_one_epoch_and_back_shows_the_one_before(playground):
    page = Page(playground)
    for _ in range(3):
        assert do(playground, "step") is None
    assert playground.trainer.step_count == 75
    third, row = flat(playground.model), page.arrays["parameters.0"]
    do(playground, "back")
    assert playground.player.position == 50
    second = page.arrays["parameters.0"]
    assert not np.array_equal(row, second)
    assert torch.equal(flat(playground.model), third)  # nothing was changed
    assert page.state["live"]["0"]["position"] == 50
    do(playground, "step")
    assert np.array_equal(page.arrays["parameters.0"], row)
    playground.player.rewind(50)
    assert np.array_equal(flat(playground.model).numpy(), second)


def test_while_it_plays_maps_are_coarse_but_the_one_looked_at(playground):
    page = Page(playground)
    playground.speed = 40
    do(playground, "promote", unit=2)
    do(playground, "play")
    until(lambda: page.arrays["maps.0"].shape == (7, 50, 50))
    assert page.state["live"]["0"]["fine"] == [2, 6]  # and the output
    assert page.arrays["fine.0"].shape == (2, 100, 100)
    do(playground, "pause")
    full = page.arrays["maps.0"]
    seen = surfaces.look(playground.model, surfaces.grid(("x1", "x2"), (1.0, 2.0)))
    assert np.array_equal(full, seen.maps)
    assert "fine" not in page.state["live"]["0"]
    with playground._lock:
        arrays = playground._run.picture((1.0, 2.0), coarse=True, promoted=2)[1]
    assert np.array_equal(arrays["maps.0"], full[:, ::2, ::2])
    assert np.array_equal(arrays["fine.0"], full[[2, 6]])


def test_the_rate_shown_is_the_one_in_force(playground):
    do(playground, "change", settings={"schedule": "step", "schedule_epochs": 1, "lr": 0.4})
    page = Page(playground)
    assert page.state["live"]["0"]["lr"] == 0.4
    do(playground, "step")
    assert page.state["live"]["0"]["lr"] == pytest.approx(0.2)
    do(playground, "step")
    do(playground, "seek", step=25)
    assert page.state["live"]["0"]["lr"] == 0.4  # step 25 was still of the first epoch
    assert playground.settings.lr == 0.4


def test_looking_back_shows_the_scores_of_then(playground):
    page = Page(playground)
    do(playground, "step")
    first = page.state["live"]["0"]["test_loss"]
    do(playground, "step")
    assert page.state["live"]["0"]["test_loss"] != first
    do(playground, "seek", step=25)
    assert page.state["live"]["0"]["test_loss"] == pytest.approx(first, abs=1e-7)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": "xor"}, {"data": "plane"}, {"data": "own"}, {"noise": 20}, {"n": 100}, {"train_share": 80},
        {"data_seed": 3}, {"classes": 4}, {"features": ["x1", "sin_x2"]}, {"widths": [3, 3, 3]}, {"widths": []},
        {"activation": "relu"}, {"activations": ["relu", "tanh"]}, {"dropout": 0.2}, {"optimizer": "adam"},
        {"schedule": "cosine"}, {"batch_size": 25}, {"l1": 0.01}, {"l2": 0.01}, {"seed": 9},
    ],
    ids=str,
)  # fmt: skip
def test_a_changed_setting_begins_anew_from_the_same_start(playground, changes):
    page = Page(playground)
    do(playground, "step")
    assert do(playground, "change", settings=changes) is None
    assert playground.trainer.step_count == 0
    assert playground.settings == Settings().change(**changes)
    assert torch.equal(flat(playground.model), flat(build.network(playground.settings)))
    assert np.array_equal(page.arrays["parameters.0"], flat(playground.model).numpy())
    assert page.arrays["maps.0"].shape[0] == sum(playground.settings.widths) + playground.settings.outputs
    assert page.state["share"] == playground.string
    assert list(page.arrays["0.step"]) == []


def test_it_plays_on_after_a_change(playground):
    do(playground, "play")
    until(lambda: playground.trainer.step_count > 50)
    do(playground, "change", settings={"widths": [3]})
    until(lambda: playground.trainer.step_count > 50)
    assert playground.player.status == "playing"
    assert sum(thread.name == "labkit-player" for thread in threading.enumerate()) == 1
    do(playground, "pause")


def test_the_learning_rate_changes_at_once_and_weights_stay(playground):
    do(playground, "step")
    before, model = flat(playground.model), playground.model
    do(playground, "change", settings={"lr": 0.3})
    assert playground.model is model and torch.equal(flat(model), before)
    assert playground.trainer.lr == playground.settings.lr == 0.3


def test_a_change_that_is_refused_loses_nothing(playground):
    do(playground, "step")
    model = playground.model
    for settings in ({"widths": [99]}, {"lr": -1}, {"nothing": 1}, {"data": "x" * 500}, {"points": [[0, 0, 9]]}):
        assert "Expected" in do(playground, "change", settings=settings)
    assert playground.model is model and playground.trainer.step_count == 25


def test_reset_is_the_same_start_and_another_seed_another(playground):
    page = Page(playground)
    start = page.arrays["parameters.0"]
    points = page.arrays["train.0"]
    playground.wait(epochs=5)
    do(playground, "reset")
    assert np.array_equal(page.arrays["parameters.0"], start)
    assert np.array_equal(page.arrays["train.0"], points)
    do(playground, "change", settings={"seed": 1})
    assert not np.array_equal(page.arrays["parameters.0"], start)
    assert np.array_equal(page.arrays["train.0"], points)
    do(playground, "change", settings={"data_seed": 1})
    assert not np.array_equal(page.arrays["train.0"], points)


# Changed by hand


def test_a_weight_dragged_is_changed_in_the_model_and_drawn(playground):
    page = Page(playground)
    do(playground, "step")
    old = page.arrays["maps.0"]
    assert do(playground, "edit", parameter="linear1.weight", index=[2, 1], value=-1.5) is None
    assert playground.model.linear1.weight[2, 1] == -1.5
    assert page.arrays["parameters.0"][5] == -1.5
    assert not np.array_equal(page.arrays["maps.0"], old)
    for wrong in ({"parameter": "linear7.weight"}, {"index": [2, 2]}, {"index": [-1, 0]}, {"value": float("nan")}):
        assert "Expected" in do(
            playground, "edit", **{"parameter": "linear1.weight", "index": [0, 0], "value": 1, **wrong}
        )
    do(playground, "back")
    assert "looking back" in do(playground, "edit", parameter="linear1.weight", index=[0, 0], value=1)


def test_a_weight_set_in_a_cell_is_drawn_when_the_cell_ends(playground):
    page = Page(playground)
    do(playground, "step")
    playground._look()
    messages = page.messages
    playground._look()
    assert page.messages == messages  # a cell that changed nothing
    with torch.no_grad():
        playground.model.output.bias[0] = 0.75
    playground._look()
    assert page.arrays["parameters.0"][-1] == 0.75
    do(playground, "step")
    assert torch.equal(run_code(playground, 2), flat(playground.model))
    playground.player.rewind(25)
    assert playground.model.output.bias[0] == 0.75


def test_a_weight_set_in_a_paused_block_is_drawn_at_once(playground):
    page = Page(playground)
    with playground.player.paused() as trainer, torch.no_grad():
        trainer.model.linear1.weight[0, 0] = 0.125
    assert page.arrays["parameters.0"][0] == 0.125
    assert playground.settings.start_weights == (("linear1.weight", (0, 0), 0.125),)
    assert Playground(playground.string).model.linear1.weight[0, 0] == 0.125


def test_before_the_first_step_a_change_by_hand_belongs_to_the_start(playground):
    do(playground, "edit", parameter="linear2.bias", index=[1], value=0.5)
    do(playground, "freeze", parameter="linear2.bias", index=[1], on=True)
    playground.wait(epochs=4)
    assert playground.model.linear2.bias[1] == 0.5
    do(playground, "reset")
    assert playground.model.linear2.bias[1] == 0.5
    again = Playground(playground.string)
    assert torch.equal(flat(again.model), flat(playground.model))
    assert again.settings == playground.settings


def test_a_weight_frozen_in_the_middle_of_a_run_stays_and_is_let_go(playground):
    playground.wait(epochs=2)
    do(playground, "freeze", parameter="linear1.weight", index=[0, 1], on=True)
    kept = playground.model.linear1.weight[0, 1].item()
    playground.wait(epochs=4)
    assert playground.model.linear1.weight[0, 1] == kept
    do(playground, "freeze", parameter="linear1.weight", index=[0, 1], on=False)
    playground.wait(epochs=6)
    assert playground.model.linear1.weight[0, 1] != kept
    assert torch.equal(run_code(playground, 6), flat(playground.model))


def test_the_shown_code_makes_the_same_network_whatever_was_done_to_it(playground):
    do(playground, "edit", parameter="linear1.weight", index=[0, 0], value=0.9)
    playground.wait(epochs=5)
    do(playground, "change", settings={"lr": 0.1})
    do(playground, "edit", parameter="output.weight", index=[0, 1], value=-0.4)
    do(playground, "edit", parameter="output.weight", index=[0, 1], value=0.4)
    playground.wait(epochs=9)
    do(playground, "freeze", parameter="linear2.weight", index=[1, 1], on=True)
    playground.wait(epochs=12)
    assert torch.equal(run_code(playground, 12), flat(playground.model))
    do(playground, "rewind", step=200)  # epoch 8: what came later is forgotten
    until(lambda: playground.trainer.step_count == 200 and playground._busy is None)
    playground.wait(epochs=12)
    assert torch.equal(run_code(playground, 12), flat(playground.model))
    assert not playground.settings.frozen
    do(playground, "code")
    assert playground._state()["code"] == playground.code
    do(playground, "change", settings={"seed": 2})
    assert playground._state()["code"] is None


# Own points


def test_points_are_added_and_taken_away(playground):
    page = Page(playground)
    do(playground, "add_point", x=1.234, y=-9, target=0)
    assert playground.settings.points == ((1.23, -6.0, 0.0),)
    assert page.arrays["own.0"].tolist() == [[pytest.approx(1.23), -6, -1]]
    assert len(page.arrays["train.0"]) == 251
    do(playground, "add_point", x=0, y=0, target=1)
    do(playground, "remove_point", index=0)
    assert playground.settings.points == ((0.0, 0.0, 1.0),)
    assert "own points" in do(playground, "remove_point", index=5)
    do(playground, "clear_points")
    assert playground.settings == Settings()


def test_own_data_from_python():
    generator = np.random.default_rng(0)
    points = generator.uniform(-3, 3, (40, 2))
    targets = (points[:, 0] > 0).astype(int)
    from_dataset = Playground(data="own", points=Dataset(points, targets))
    from_rows = Playground(data="own", points=np.column_stack([points, targets]))
    assert from_dataset.settings == from_rows.settings
    assert len(from_dataset.settings.points) == 40
    from_dataset.wait(epochs=200)
    assert from_dataset.trainer.evaluate()["train_accuracy"] > 0.9
    assert torch.equal(flat(Playground(from_dataset.string).model), flat(build.network(from_rows.settings)))
    with pytest.raises(SettingError, match="rows of x, y and class"):
        Playground(data="own", points=np.zeros((4, 2)))


# Two runs


def test_two_runs_from_one_start_with_one_setting_changed(playground):
    page = Page(playground)
    playground.wait(epochs=3)
    playground.compare(lr=0.3)
    assert [run["name"] for run in page.state["runs"]] == ["A", "B"]
    assert np.array_equal(page.arrays["parameters.0"], page.arrays["parameters.1"])
    assert playground.settings.lr == 0.3  # B has the controls
    playground.wait(epochs=4)
    assert [player.trainer.step_count for player in playground.players] == [100, 100]
    assert not np.array_equal(page.arrays["parameters.0"], page.arrays["parameters.1"])
    grid = surfaces.grid(("x1", "x2"), (0.0, 0.0))
    a, b = (player.trainer.model for player in playground.players)
    values = surfaces.difference(a, grid, b, grid)
    reach = page.arrays["difference_reach"][0]
    assert reach == pytest.approx(np.abs(values).max())
    assert np.abs((page.arrays["difference"] / 127.5 - 1) * reach - values).max() <= reach / 127
    do(playground, "seek", step=25)
    assert [player.position for player in playground.players] == [25, 25]
    do(playground, "seek", step=None)
    do(playground, "remove", run=1)
    assert [run["name"] for run in page.state["runs"]] == ["A"]
    assert playground.settings.lr == 0.03


def test_both_runs_play_and_pause_together(playground):
    do(playground, "compare")
    do(playground, "change", settings={"batch_size": 50})
    do(playground, "play")
    until(lambda: all(player.trainer.step_count > 40 for player in playground.players))
    do(playground, "pause")
    assert {player.status for player in playground.players} == {"paused"}
    do(playground, "reset")
    assert [player.trainer.step_count for player in playground.players] == [0, 0]
    do(playground, "step")
    assert [player.trainer.step_count for player in playground.players] == [25, 5]


def test_both_runs_go_epoch_by_epoch(playground):
    playground.compare(optimizer="adam", widths=(8, 8, 8))
    do(playground, "play")
    gaps = []

    def far() -> bool:
        epochs = [player.trainer.epoch for player in playground.players]
        gaps.append(max(epochs) - min(epochs))
        return min(epochs) > 5

    until(far, seconds=30)
    do(playground, "pause")
    assert max(gaps) < 2.1  # each was read a moment after the other
    epochs = [player.trainer.epoch for player in playground.players]
    assert abs(epochs[0] - epochs[1]) <= 1.04  # paused together, each after the step in progress


def test_a_fork_goes_on_from_the_step_shown(playground):
    playground.wait(epochs=6)
    do(playground, "seek", step=100)
    do(playground, "fork")
    until(lambda: len(playground.players) == 2 and playground._busy is None)
    first, fork = playground.players
    assert (first.trainer.step_count, fork.trainer.step_count) == (150, 100)
    do(playground, "change", settings={"lr": 0.2})
    assert (first.trainer.lr, fork.trainer.lr) == (0.03, 0.2)
    fork.wait(steps=200)
    assert torch.equal(run_code(playground, 8), flat(fork.trainer.model))


def test_a_difference_needs_two_of_a_kind(playground):
    page = Page(playground)
    playground.compare(data="plane")
    playground.wait(epochs=1)
    assert "difference" not in page.arrays


# Slow motion


def test_slow_motion_shows_the_step_that_comes(playground):
    page = Page(playground)
    do(playground, "micro", on=True)
    assert page.state["micro"]["step"] == 1
    after = page.arrays["micro.after"]
    start = flat(playground.model)
    assert playground.trainer.step_count == 0
    do(playground, "micro_step")
    assert np.array_equal(flat(playground.model).numpy(), after)
    assert page.state["micro"]["step"] == 2
    assert not torch.equal(flat(playground.model), start)
    assert page.arrays["micro.inputs"] == pytest.approx(playground._run.points[0].inputs[10].numpy())
    do(playground, "play")
    do(playground, "pause")
    assert page.state["micro"] is None


# Strings, failures, ends


def test_the_string_goes_round(playground):
    do(playground, "change", settings={"data": "spiral", "widths": [8, 8], "lr": 0.1})
    text = playground.string
    do(playground, "reset")
    other = Playground()
    assert do(other, "paste", text=text) is None
    assert other.settings == playground.settings
    for wrong in ("", "hello", text[:-1], text.replace("8,8", "8,9"), "playground0?#00000000"):
        assert "Expected" in do(other, "paste", text=wrong)
    assert other.settings == playground.settings


def test_a_run_that_diverges_says_so_and_can_be_undone():
    view = Playground(data="plane", lr=50, widths=(4,), activation="relu")
    with pytest.raises(DivergedError):
        view.wait(epochs=20)
    page = Page(view)
    assert page.state["runs"][0]["status"] == "failed"
    last = page.state["runs"][0]["last_good"]
    do(view, "rewind", step=last)
    until(lambda: view.player.status == "paused" and view._busy is None)
    assert torch.isfinite(flat(view.model)).all()


def test_of_two_runs_one_that_fails_does_not_leave_the_other_playing():
    view = Playground(data="plane", lr=0.3, widths=())
    view.speed = None
    view.compare(lr=0.03)
    with pytest.raises(DivergedError):
        view.wait(epochs=40)
    assert [player.status for player in view.players] == ["failed", "finished"]
    assert view.players[1].trainer.epoch == 40


def test_stop_conditions_stop_it_and_outlive_a_reset(playground):
    do(playground, "stop_when", conditions={"test_accuracy": 0.7})
    do(playground, "reset")
    assert playground.player.stop_when == {"test_accuracy": 0.7}
    playground.wait(epochs=500)
    assert playground.trainer.evaluate()["test_accuracy"] >= 0.7
    assert playground.trainer.step_count < 500 * 25
    do(playground, "change", settings={"data": "plane"})  # has no accuracy
    assert playground.player.stop_when == {}


def test_speed_is_in_epochs(playground):
    playground.speed = 40
    assert playground.player.speed == 1000
    do(playground, "change", settings={"batch_size": 50})
    assert playground.player.speed == 200
    do(playground, "speed", value=100)
    assert playground.speed == 20
    began = time.monotonic()
    playground.wait(epochs=10)
    assert time.monotonic() - began > 0.4  # 10 epochs at 20 a second, but for the few steps that it may be ahead


def test_a_view_that_is_gone_leaves_nothing_behind():
    view = Playground()
    view.wait(epochs=1)
    view.close()
    reference = weakref.ref(view)
    del view
    import gc

    gc.collect()
    assert reference() is None or reference().comm is None
    assert not any(thread.name == "labkit-player" for thread in threading.enumerate())


@pytest.mark.parametrize("wrong", [3, "playground", [], object()])
def test_what_is_no_playground_is_refused(wrong):
    with pytest.raises(SettingError):
        Playground(wrong)


@pytest.mark.parametrize("settings", [{}, {"data": "plane", "widths": ()}, {"data": "spiral", "classes": 3}], ids=str)
def test_its_figure_says_what_is_found(settings):
    view = Playground(**settings)
    view.speed = None
    view.wait(epochs=2)
    figure = view.figure()
    assert "after 2 epochs" in figure.alt
    figure.draw_without_rendering()
