"""The views' Python side, without a browser: what is sent, what comes back, and what happens when something fails."""

import re
import threading
import time

import numpy as np
import pytest
import torch
from page import Page
from torch import nn

import labkit.widgets.view as view_module
from labkit.data import Dataset, digits
from labkit.errors import SettingError
from labkit.train import Player, Trainer, probes
from labkit.widgets import DrawPad, TrainingView, View
from labkit.widgets.assets import STATIC, module, style
from labkit.widgets.strokes import draw
from labkit.widgets.wire import narrow, pack, unpack

CIRCLE = [(0.5 + 0.22 * np.cos(t / 10), 0.5 + 0.35 * np.sin(t / 10)) for t in range(64)]


def player(seed: int = 0, **options) -> Player:
    """A tiny run on planted data: two classes that a line parts."""
    generator = torch.Generator().manual_seed(7)
    inputs = torch.randn(60, 2, generator=generator)
    data = Dataset(inputs, (inputs.sum(1) > 0).long(), classes=("below", "above"))
    torch.manual_seed(seed)
    trainer = Trainer(nn.Linear(2, 2), data, data, lr=0.1, optimizer="sgd", batch_size=20, seed=seed)
    return Player(trainer, **options)


def do(view: View, action: str, buffers=(), **details) -> None:
    view.receive({"kind": "do", "action": action, "ticket": 1, **details}, buffers)


def until(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def assert_shows(page: Page, number: int, run: Player) -> None:
    """The page has exactly the run's history."""
    expected = run.columns()
    got = page.columns(number)
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-6, err_msg=name)


# ---- what travels


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.uint8).reshape(3, 4),
        np.arange(24, dtype=np.float32).reshape(2, 3, 4)[:, ::-1],
        np.array([1.5, np.nan, np.inf, -np.inf]),
        np.linspace(-1, 1, 7).astype(np.float16),
        np.zeros((0, 2), np.float32),
        np.array(3, np.int16),
        np.arange(4, dtype=">f8"),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_travel_unchanged(array):
    header, arrays = unpack(pack({"n": 1}, {"first": array, "second": np.ones(3)}))
    assert header == {"n": 1}
    np.testing.assert_array_equal(arrays["first"], array)
    assert arrays["first"].dtype == array.dtype.newbyteorder("<")
    np.testing.assert_array_equal(arrays["second"], np.ones(3))


def test_types_that_javascript_lacks_are_converted_without_loss():
    assert narrow(np.array([True, False])).dtype == np.uint8
    assert narrow(np.array([-5, 2**31 - 1])).dtype == np.int32
    large = np.array([2**40, -3])
    assert narrow(large).dtype == np.float64
    np.testing.assert_array_equal(narrow(large), large)
    with pytest.raises(TypeError, match="complex128 cannot be sent"):
        narrow(np.ones(2, complex))


def test_every_array_begins_at_a_multiple_of_eight_bytes():
    block = pack({"a": "bc"}, {"x": np.ones(3, np.uint8), "y": np.arange(2.0)})
    assert block.index(np.arange(2.0).tobytes()) % 8 == 0
    assert len(block) % 8 == 0


def test_headers_hold_what_json_lacks_as_null():
    header, _ = unpack(pack({"a": [np.float32(0.5), float("nan"), np.int64(3)], "b": {"c": float("inf")}}, {}))
    assert header == {"a": [0.5, None, 3], "b": {"c": None}}


# ---- the modules


@pytest.mark.parametrize("name", ["training", "drawpad"])
def test_a_module_is_self_contained_and_declares_every_name_once(name):
    text = module(name)
    assert "import " not in re.sub(r"import\(", "", "\n".join(re.findall(r"^import .*$", text, re.MULTILINE)))
    assert len(re.findall(r"^export ", text, re.MULTILINE)) == 1
    names = re.findall(r"^(?:const|let|class|(?:async )?function) (\w+)", text, re.MULTILINE)
    assert sorted(names) == sorted(set(names))
    assert "@container" in style(name)


def test_nothing_is_loaded_from_elsewhere():
    for file in STATIC.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text, file.name
        assert "@import" not in text, file.name


def test_every_import_between_the_files_is_one_that_the_assembly_understands():
    for file in STATIC.glob("*.js"):
        text = file.read_text(encoding="utf-8")
        plain = re.findall(r'^import \{[^}]*\} from "\./[\w.]+";$', text, re.MULTILINE)
        assert len(plain) == len(re.findall(r"^import\b", text, re.MULTILINE)), file.name
        assert " as " not in " ".join(plain), file.name


# ---- the training view


def test_a_page_follows_a_run_row_by_row():
    run = player(evaluate_every=7)
    view = TrainingView(run)
    page = Page(view)
    run.wait(steps=50)
    run.wait(steps=130)
    assert_shows(page, 0, run)
    assert page.state["runs"][0]["status"] == run.status
    assert page.state["live"]["0"]["step"] == 130


def test_the_last_scores_are_sent_also_after_a_frame_of_their_step():
    run = player(evaluate_every=7, fps=10**9)  # a frame at every step
    page = Page(TrainingView(run))
    run.wait(steps=40)
    assert page.columns(0)["eval_step"][-1] == 40
    assert_shows(page, 0, run)


def test_a_snapshot_holds_what_the_messages_held():
    run = player(evaluate_every=7)
    view = TrainingView(run)
    page = Page(view)
    run.wait(steps=40)
    fresh = Page(view)
    assert fresh.state.keys() >= page.state.keys() - {"answered"}
    assert_shows(fresh, 0, run)
    assert fresh.number == page.number


def test_the_trait_is_the_snapshot_and_made_only_when_it_is_asked_for():
    view = TrainingView(player())
    header, _ = unpack(view.get_state(["frame"])["frame"])
    assert header["whole"]
    assert header["state"]["classes"] == ["below", "above"]
    assert view.frame == b""


def test_a_page_with_a_gap_gets_everything():
    run = player()
    view = TrainingView(run)
    sent = []
    view.send = lambda content, buffers=None: sent.append(unpack(buffers[0])[0])
    run.wait(steps=5)
    sent.clear()
    view.receive({"kind": "hello", "number": view._number})
    assert sent == []
    view.receive({"kind": "hello", "number": view._number - 1})
    assert [header["whole"] for header in sent] == [True]


def test_pictures_that_stay_the_same_travel_once():
    data = digits().subset(range(40))
    torch.manual_seed(0)
    trainer = Trainer(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), data, data, lr=0.1)
    run = Player(trainer, probes={"predictions": probes.predictions(data, n=6)})
    page = Page(TrainingView(run))
    assert page.arrays["frame.predictions.pictures"].shape == (6, 8, 8)
    run.step()
    page.fresh.clear()
    for _ in range(5):
        run.step()
    assert page.fresh.count("frame.predictions.confidence") == 5
    assert "frame.predictions.pictures" not in page.fresh
    np.testing.assert_array_equal(page.arrays["frame.predictions.confidence"], run.frame()["predictions.confidence"])


def test_a_frame_costs_little():
    run = player()
    page = Page(TrainingView(run))
    run.wait(steps=20)
    before = page.bytes, page.messages
    run.step()
    assert (page.bytes - before[0]) / (page.messages - before[1]) < 1200


def test_the_controls_do_what_they_say():
    run = player()
    view = TrainingView(run)
    page = Page(view)
    do(view, "play")
    until(lambda: run.trainer.step_count > 20)
    do(view, "set", lr=0.02)
    do(view, "pause")
    assert (run.status, run.trainer.lr) == ("paused", 0.02)
    last = run.trainer.step_count
    do(view, "back")
    assert (run.position, run.following) == (last - 1, False)
    do(view, "step")
    assert (run.position, run.following, run.trainer.step_count) == (last, True, last)
    do(view, "step")
    assert run.trainer.step_count == last + 1
    do(view, "seek", step=3)
    assert page.state["live"]["0"]["position"] == 3
    do(view, "speed", value=10)
    assert run.speed == 10
    do(view, "speed", value=None)
    do(view, "stop_when", conditions={"step": 400})
    do(view, "play")
    until(lambda: run.status == "finished")
    assert run.trainer.step_count == 400
    assert page.state["runs"][0]["stop_when"] == {"step": 400.0}
    assert page.state["answered"] == 1
    assert view.error is None
    assert_shows(page, 0, run)


def test_an_answer_is_one_message_with_its_effect():
    """And is pushed out of the server's socket by a full segment after it."""
    view = TrainingView(player())
    page = Page(view)
    view.receive({"kind": "do", "action": "speed", "ticket": 7, "value": 10})
    assert page.kinds == ["update", "push"]
    assert (page.state["answered"], page.state["runs"][0]["speed"]) == (7, 10)
    view.receive({"kind": "do", "action": "nothing", "ticket": 8})
    assert page.kinds[2:] == ["update", "push"]
    assert page.state["answered"] == 8
    assert "on_nothing" in page.state["error"]


def test_what_another_thread_sends_during_an_answer_stays_in_order():
    view = TrainingView(player())
    page = Page(view)

    def on_two() -> None:
        view.update({"a": 1})
        thread = threading.Thread(target=lambda: view.update({"a": 2}))
        thread.start()
        thread.join()

    view.on_two = on_two
    view.receive({"kind": "do", "action": "two", "ticket": 3})
    assert page.state["a"] == 2
    assert page.state["answered"] == 3


def test_rewinding_gives_the_page_the_shorter_history():
    run = player(evaluate_every=5)
    view = TrainingView(run)
    page = Page(view)
    run.wait(steps=60)
    do(view, "rewind", step=20)
    until(lambda: view._busy is None and run.trainer.step_count == 20)
    assert page.columns(0)["step"][-1] == 20
    assert_shows(page, 0, run)
    run.wait(steps=33)
    assert_shows(page, 0, run)


def test_a_fork_joins_the_view_with_its_settings_and_both_are_drawn():
    run = player(evaluate_every=5)
    view = TrainingView(run)
    page = Page(view)
    run.wait(steps=40)
    do(view, "fork", step=25, settings={"lr": 0.5, "batch_size": 10.0})
    until(lambda: view._busy is None and len(view.players) == 2)
    other = view.player
    assert other is not run
    assert other.trainer.settings == {"lr": 0.5, "batch_size": 10, "optimizer": "sgd", "seed": 0}
    assert (page.state["active"], page.state["runs"][1]["forked_at"]) == (1, 25)
    do(view, "play_all", on=True)
    do(view, "play")
    until(lambda: run.trainer.step_count > 60 and other.trainer.step_count > 60)
    do(view, "pause")
    assert (run.status, other.status) == ("paused", "paused")
    assert_shows(page, 0, run)
    assert_shows(page, 1, other)
    assert "run B" in view.text
    do(view, "activate", run=0)
    assert view.player is run
    do(view, "remove", run=1)
    assert view.players == (run,)
    other.step()
    assert page.columns(1)["step"][-1] < other.trainer.step_count


def test_two_given_runs_are_compared():
    first, second = player(0), player(1)
    view = TrainingView(first, second)
    page = Page(view)
    second.play()
    until(lambda: len(page.columns(1)["step"]) > 5)  # while it plays and the one with the controls does not
    second.pause()
    assert_shows(page, 1, second)
    assert view.player is first


def test_a_run_that_fails_says_why_and_where_to_go_back_to():
    run = player()
    view = TrainingView(run)
    page = Page(view)
    run.wait(steps=10)
    with run.paused() as trainer, torch.no_grad():
        trainer.model.weight.fill_(float("nan"))
    do(view, "step")
    assert page.state["runs"][0]["status"] == "failed"
    assert "loss became nan" in page.state["runs"][0]["reason"]
    assert page.state["runs"][0]["last_good"] == 9
    assert view.error is None  # said once, not twice
    assert "failed" in view.text


def test_the_text_follows_the_answer_unless_something_newer_was_said():
    view = TrainingView(player())
    order = []
    view.send = lambda content, buffers: order.append(content["kind"])
    view.observe(lambda change: order.append(change["new"]), "text")

    def on_talk(newer: bool) -> None:
        view.say("old")
        if newer:
            other = threading.Thread(target=view.say, args=["new"])
            other.start()
            other.join()

    view.on_talk = on_talk
    do(view, "talk", newer=False)
    assert order == ["update", "push", "old"]
    order.clear()
    do(view, "talk", newer=True)
    assert order == ["new", "update", "push"]
    view.say("later")  # outside of an answer: at once
    assert order[-1] == "later"


def test_what_can_wait_is_done_when_the_answer_has_gone():
    view = TrainingView(player())
    order = []
    view.send = lambda content, buffers: order.append(content["kind"])

    def on_talk(broken: bool) -> None:
        view.later(lambda: order.append("never"))
        view.later(lambda: order.append("later") if not broken else 1 / 0)
        view.update({"loss": 1.0})

    view.on_talk = on_talk
    do(view, "talk", broken=False)
    assert order == ["update", "push", "later"]
    view.later(lambda: order.append("at once"))
    assert order[-1] == "at once"
    do(view, "talk", broken=True)
    assert "ZeroDivisionError" in view.error


def test_an_error_in_a_callback_surfaces_as_a_sentence_and_goes_away():
    view = TrainingView(player())
    page = Page(view)
    do(view, "set", lr=-1)
    assert page.state["error"] == view.error
    assert "Expected a learning rate" in view.error
    assert view.player.status == "ready"
    do(view, "back")
    assert page.state["error"] is None


def test_an_error_apart_surfaces_too():
    view = TrainingView(player())
    page = Page(view)
    do(view, "rewind", step=99)
    until(lambda: page.state.get("error"))
    assert "rewinding only goes back" in view.error
    assert page.state["busy"] is None


def test_an_error_of_the_page_reaches_python():
    view = TrainingView(player())
    do(view, "broken", message="x is undefined")
    assert view.error == "The picture could not be drawn: x is undefined"


def test_an_unknown_action_is_an_error_and_not_a_way_in():
    view = TrainingView(player())
    do(view, "nonsense")
    assert "on_nonsense" in view.error


def test_an_error_while_sending_does_not_stop_the_training():
    run = player()
    view = TrainingView(run)
    page = Page(view)
    view._frame = lambda: 1 / 0
    run.wait(steps=30)
    assert run.status == "finished"
    assert "ZeroDivisionError" in page.state["error"]


def test_the_text_says_what_is_shown():
    run = player(evaluate_every=10)
    view = TrainingView(run)
    assert view.text.startswith("Step 0 of 0, epoch 0, ready.")
    run.wait(steps=30)
    accuracy = run.history[-1]["test_accuracy"]
    assert view.text.startswith("Step 30 of 30, epoch 10, finished. Training loss ")
    assert f"test accuracy {accuracy:.3g}" in view.text
    run.seek(15)
    assert view.text.startswith("Step 15 of 30")
    assert "looking back" in view.text
    assert repr(view) == f"<TrainingView: {view.text}>"


def test_it_takes_players_only():
    with pytest.raises(SettingError, match="Expected one or more players"):
        TrainingView()
    with pytest.raises(SettingError, match="Expected one or more players"):
        TrainingView(player().trainer)


def test_a_long_run_is_thinned_in_the_page_as_well(monkeypatch):
    monkeypatch.setattr("labkit.widgets.runs.MOST_ROWS", 100)
    run = player(fps=100_000)
    view = TrainingView(run)
    page = Page(view)
    run.recorder.rows.budget = 60 * 500
    for stop in range(20, 241, 20):
        run.wait(steps=stop)
    assert len(page.columns(0)["step"]) <= 121
    assert page.columns(0)["step"][-1] == 240


def test_the_static_twin_shows_every_run():
    run = player(evaluate_every=5)
    view = TrainingView(run)
    assert len(view.figure().axes) == 2
    run.wait(steps=20)
    view.add(run.fork(10, lr=0.2))
    figure = view.figure()
    colours = {text.get_text()[:2]: text.get_color() for axes in figure.axes for text in axes.texts}
    assert colours == {"A ": "#70757a", "B ": "#0b6bb8"}


def test_many_threads_at_once_leave_the_page_with_the_history():
    run = player(evaluate_every=3)
    view = TrainingView(run)
    page = Page(view)
    do(view, "play")
    stop = threading.Event()

    def scrub() -> None:
        while not stop.is_set():
            do(view, "seek", step=3)
            do(view, "seek", step=None)
            view.snapshot()

    threads = [threading.Thread(target=scrub) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: run.trainer.step_count > 200)
    stop.set()
    for thread in threads:
        thread.join()
    do(view, "pause")
    assert_shows(page, 0, run)
    assert view.error is None


# ---- one run per view and cell


def test_running_a_cell_again_stops_its_former_runs(monkeypatch):
    execution = ["cell", "first"]
    monkeypatch.setattr(view_module, "_cell", lambda: tuple(execution))
    monkeypatch.setattr(view_module, "_CELLS", {})
    first, second, kept = player(), player(), player()
    views = [TrainingView(first), TrainingView(second, kept)]
    for run in (first, second, kept):
        run.play()
    assert [run.status for run in (first, second)] == ["playing", "playing"]  # two views of one execution live
    execution[1] = "second"
    again = TrainingView(kept)
    assert [run.status for run in (first, second, kept)] == ["paused", "paused", "playing"]
    kept.pause()
    assert views[0].comm is None
    execution[0] = "another cell"
    TrainingView(player())
    assert again.comm is not None


def test_outside_of_a_notebook_there_is_no_cell():
    assert view_module._cell() == (None, "")


# ---- the drawing pad


@pytest.fixture(scope="module")
def reader() -> Player:
    """A digits model, trained for a few seconds."""
    train, test = digits().split()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    run = Player(Trainer(model, train, test, lr=0.01, batch_size=64))
    run.wait(steps=300)
    return run


def test_a_stroke_covers_what_lies_within_half_its_width():
    ink = np.zeros((50, 100), np.uint8)
    draw(ink, np.array([(0.2, 0.5), (0.8, 0.5)]), 0.1)
    y, x = np.mgrid[:50, :100] + 0.5
    distance = np.hypot(x - np.clip(x, 20, 80), y - 25)
    assert (ink[distance < 4.5] == 255).all()
    assert (ink[distance > 5.5] == 0).all()
    assert ink.sum() / 255 == pytest.approx(60 * 10 + np.pi * 25, rel=0.02)


def test_a_dot_is_round_and_outside_the_pad_is_nothing():
    ink = np.zeros((64, 64), np.uint8)
    draw(ink, np.array([(0.5, 0.5)]), 0.25)
    assert ink.sum() / 255 == pytest.approx(np.pi * 64, rel=0.03)
    np.testing.assert_array_equal(ink, ink.T)
    before = ink.copy()
    draw(ink, np.array([(3.0, -2.0), (4.0, -2.0)]), 0.1)
    np.testing.assert_array_equal(ink, before)


def test_a_circle_is_read_as_zero(reader):
    pad = DrawPad(reader)
    assert (pad.prediction, pad.probabilities, pad.tensor) == (None, None, None)
    assert pad.text == "Nothing is drawn yet."
    pad.draw([CIRCLE])
    assert pad.prediction == "0"
    assert pad.tensor.shape == (1, 1, 8, 8)
    assert pad.text.startswith("The model reads 0, probability ")
    with torch.no_grad():
        expected = reader.trainer.model(pad.tensor).softmax(1)[0].numpy()
    np.testing.assert_allclose(pad.probabilities, expected, rtol=1e-5)
    assert pad.evidence.shape == (8, 8)
    pad.clear()
    assert (pad.prediction, pad.ink.any(), pad.evidence) == (None, False, None)


def test_what_a_hand_draws_arrives_piece_by_piece(reader):
    whole, pieces = DrawPad(reader), DrawPad(reader)
    page = Page(pieces)
    points = np.array(CIRCLE, np.float32)
    whole.draw([points])
    for start in range(0, 64, 8):
        buffer = memoryview(points[start : start + 8].tobytes())
        do(pieces, "stroke", [buffer], index=0, done=start == 56)
    until(lambda: pieces._worker is None)
    np.testing.assert_array_equal(pieces.ink, whole.ink)
    np.testing.assert_array_equal(pieces.probabilities, whole.probabilities)
    assert page.state["strokes"] == [64]
    np.testing.assert_array_equal(page.arrays["points"], points)
    assert page.arrays["probabilities"].argmax() == 0
    assert pieces.error is None


def test_undo_takes_the_last_stroke_back(reader):
    pad = DrawPad(reader)
    pad.draw([CIRCLE])
    one = pad.ink.copy()
    pad.draw([[(0.1, 0.1), (0.9, 0.9)]])
    assert (pad.ink != one).any()
    do(pad, "undo")
    np.testing.assert_array_equal(pad.ink, one)
    do(pad, "clear")
    do(pad, "undo")
    until(lambda: pad._worker is None)
    assert pad.prediction is None
    assert pad.error is None


def test_a_drawing_survives_a_reload(reader):
    pad = DrawPad(reader)
    pad.draw([CIRCLE])
    page = Page(pad)
    np.testing.assert_allclose(page.arrays["points"], CIRCLE, rtol=1e-6)
    np.testing.assert_array_equal(page.arrays["tensor"], pad.tensor[0, 0])
    assert page.state["classes"] == [str(k) for k in range(10)]


def test_the_prediction_follows_the_training(reader):
    run = reader.fork()
    pad = DrawPad(run)
    pad.draw([CIRCLE])
    before = pad.probabilities.copy()
    run.wait(steps=run.trainer.step_count + 50)
    until(lambda: pad._worker is None and pad.step == run.trainer.step_count)
    assert (pad.probabilities != before).any()


def test_any_module_can_be_asked_and_is_left_as_it_was():
    model = nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3))
    state = torch.get_rng_state()
    pad = DrawPad(model, classes=("a", "b", "c"))
    pad.draw([CIRCLE])
    assert pad.prediction in ("a", "b", "c")
    assert all(m.training for m in model.modules())
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in model.parameters())


def test_an_input_of_ones_own(reader):
    seen = []

    def to_input(ink):
        seen.append(ink)
        return torch.from_numpy(ink[::16, ::16].astype(np.float32) / 255).reshape(1, 64)

    pad = DrawPad(nn.Linear(64, 4), to_input=to_input)
    pad.draw([CIRCLE])
    assert seen[0].shape == (128, 128)
    assert seen[0].dtype == np.uint8
    assert pad.prediction in "0123"
    page = Page(pad)
    assert page.arrays["tensor"].shape == (8, 8)
    assert page.state["hint"] == "Draw here"


def test_what_cannot_be_read_is_said(reader):
    for model in (nn.Flatten(0), nn.Identity()):
        pad = DrawPad(model)
        page = Page(pad)
        do(pad, "stroke", [memoryview(np.array(CIRCLE, np.float32).tobytes())], index=0, done=True)
        until(lambda page=page: page.state.get("error"))
        assert "one row of class scores" in pad.error
    with pytest.raises(SettingError, match="at least one point"):
        pad.draw([[(0.5, float("nan"))]])
    with pytest.raises(SettingError, match="a player or an nn.Module"):
        DrawPad(reader.trainer)


def test_the_pads_static_twin(reader):
    pad = DrawPad(reader)
    assert len(pad.figure().axes) == 1
    pad.draw([CIRCLE])
    figure = pad.figure()
    assert len(figure.axes) == 4
    assert "reads 0" in figure.get_suptitle()
