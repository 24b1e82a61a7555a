"""FlowView's Python side and its static twin: what is sent is what the probe recorded."""

import threading

import numpy as np
import pytest
from page import Page

from labkit import plots
from labkit.data import digits
from labkit.errors import DataError, SettingError
from labkit.models import MLP
from labkit.models.broken import BROKEN
from labkit.train import GradientFlow, Player, Trainer, diagnose
from labkit.widgets import FlowView
from labkit.widgets.assets import module, style

TRAIN, _ = digits().split()


def player(recipe="vanishing", steps=20, name="flow", **options) -> Player:
    chosen = BROKEN[recipe]
    trainer = Trainer(chosen.model(), TRAIN, device="cpu", **chosen.training)
    made = Player(trainer, probes={name: GradientFlow()}, frame_every=5, **options)
    if steps:
        made.wait(steps=steps)
    return made


def do(view, action, **details) -> None:
    view.receive({"kind": "do", "action": action, "ticket": 1, **details}, ())


def assert_shows(page: Page, run: Player, step: int) -> None:
    frame = run.frame(step)
    assert page.state["frame_step"] == frame.pop("step")
    sent = {name.removeprefix("flow."): array for name, array in page.arrays.items() if name.startswith("flow.")}
    assert sent.keys() == {name.partition(".")[2] for name in frame}
    for name, array in frame.items():
        np.testing.assert_array_equal(sent[name.partition(".")[2]], array)


def test_sends_the_recorded_frames_and_follows_the_scrubber():
    run = player(name="by layer")
    view = FlowView(run)
    page = Page(view)
    assert_shows(page, run, 20)
    assert [layer["name"] for layer in page.state["layers"]] == [f"linear{i}" for i in range(1, 13)] + ["output"]
    assert page.state["layers"][0]["kind"] == "Linear, Sigmoid"
    do(view, "seek", step=11)
    assert_shows(page, run, 10)
    assert "looking back" in view.text
    do(view, "rewind", step=10)
    for thread in threading.enumerate():
        if thread.name == "labkit-view":
            thread.join()
    assert run.trainer.step_count == 10
    do(view, "set", lr=0.5)
    assert run.trainer.lr == 0.5


def test_findings_stand_there_while_the_run_does():
    run = player(steps=0)
    view = FlowView(run)
    page = Page(view)
    seen = []
    run.listen(lambda event: seen.append((event, run.status, page.state["findings"])))
    run.wait(steps=30)
    expected = [{"name": f.name, "text": str(f), "advice": f.advice} for f in diagnose(run)]
    assert page.state["findings"] == expected and expected
    assert all(findings is None for event, status, findings in seen if (event, status) == ("frame", "playing"))
    assert expected[0]["text"] in view.text


def test_a_steps_message_is_small():
    run = player(steps=0)
    page = Page(FlowView(run))
    before = page.bytes
    run.step()
    assert page.bytes - before < 20_000


def test_the_text_says_the_numbers():
    run = player()
    view = FlowView(run)
    gradients = run.frame()["flow.gradient_rms"]
    assert f"Gradients of the outputs are {gradients[0]:.2g} in linear1 and {gradients[-1]:.2g} in output." in view.text
    assert view.text.startswith("Step 20 of 20, epoch 0.89, finished.")


def test_without_the_probe_it_says_what_to_do():
    trainer = Trainer(MLP((1, 8, 8), 10), TRAIN, device="cpu")
    with pytest.raises(SettingError, match="received one without.*GradientFlow\\(\\)"):
        FlowView(Player(trainer))
    with pytest.raises(SettingError, match="received Trainer"):
        FlowView(trainer)


def test_layer_names_are_never_parsed_as_html():
    for text in (module("flow"), style("flow")):
        assert "innerHTML" not in text and "insertAdjacentHTML" not in text


# ---- the static twin


@pytest.mark.parametrize("recipe", BROKEN)
def test_figure_has_the_frames_numbers(recipe):
    run = player(recipe)
    figure = FlowView(run).figure()
    frame = run.frame()
    lines = {line.get_label(): line for part in figure.axes for line in part.lines}
    np.testing.assert_allclose(lines["root mean square"].get_ydata(), frame["flow.activation_rms"])
    np.testing.assert_allclose(lines["of the weights"].get_ydata(), frame["flow.weight_gradient_rms"])
    shares = "dead" if np.isfinite(frame["flow.dead"]).any() else "saturated"
    bars = [patch.get_height() for part in figure.axes for patch in part.patches]
    np.testing.assert_allclose(bars, np.nan_to_num(frame[f"flow.{shares}"]), rtol=1e-6)
    assert figure.alt.endswith("at step 20")
    assert "<img alt" in figure._repr_mimebundle_()["text/html"]


def test_figure_of_a_hundred_layers_and_before_any_step():
    trainer = Trainer(MLP((1, 8, 8), 10, [8] * 100, "relu", norm="layer", residual=True), TRAIN, device="cpu")
    figure = FlowView(Player(trainer, probes={"flow": GradientFlow()})).figure()
    labels = [label.get_text() for label in figure.axes[-1].get_xticklabels()]
    assert labels[0] == "1" and labels[-1] == "100" and len(labels) <= 21
    assert figure._repr_mimebundle_()["text/html"]


def test_figure_says_what_gradients_do():
    values = player().frame()
    values.pop("step")
    values = {name.partition(".")[2]: array for name, array in values.items()}
    names = [f"layer {i}" for i in range(13)]

    def alt(first, last):
        gradients = np.full(13, last, np.float32)
        gradients[0] = first
        return plots.flow(names, {**values, "gradient_rms": gradients}, step=7).alt

    assert alt(1e-3, 1.0) == "Gradients shrink 1e+03-fold from the last layer to the first, at step 7"
    assert alt(4.0, 1.0) == "Gradients grow 4-fold from the last layer to the first, at step 7"
    assert alt(1.0, 1.0) == "Gradients reach the first layer about as large as the last, at step 7"
    assert alt(0.0, 1.0) == alt(np.nan, 1.0) == "Activations and gradients by layer, at step 7"
    with pytest.raises(DataError, match="one row for each of the 2 layers"):
        plots.flow(names[:2], values)
