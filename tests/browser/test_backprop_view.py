"""BackpropView in a real JupyterLab, by mouse and keyboard; afterwards the kernel is asked what is true."""

import json

import pytest
from playwright.sync_api import expect

from labkit.bench.jupyter import eventually, kernel, late, press_at_once, reload, run_cell

SHOW = """
import torch
from torch import nn
from labkit.widgets import BackpropView
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
view = BackpropView(model, [[1.0, -2.0], [0.5, 0.25], [-1.0, 0.5]], [1.0, 0.0, -1.0])
view
"""
LAYERS = """
import torch, labkit.models
from labkit.widgets import BackpropView
torch.manual_seed(0)
view = BackpropView(labkit.models.LeNet(seed=0), torch.randn(3, 1, 8, 8), torch.tensor([0, 3, 9]))
view
"""
STATE = "() => document.querySelector('.labkit-view[data-view=backprop]')?.labkit"
SET = "with torch.no_grad():\n    model[0].bias.fill_(0.25)"


@pytest.fixture
def make(open_notebook):
    def made(*cells):
        page = open_notebook(cells=list(cells))
        run_cell(page, 0)
        until(page, "v => v.frames > 0")
        return page

    return made


def until(page, condition):
    """Wait until the view's own state fulfils a JS condition."""
    page.wait_for_function(f"() => {{ const v = ({STATE})(); return v && ({condition})(v); }}")


def action(page, name):
    return page.locator(f".labkit-view [data-action={name}]")


def box(page, key):
    return page.locator(f'.bp-node[data-key="{key}"]')


def ask(page, code):
    return json.loads(kernel(page, f"__import__('json').dumps({code})").strip("'"))


def test_the_film_plays_steps_and_scrubs(make):
    page = make(SHOW)
    expect(box(page, "L").locator("b")).to_be_empty()
    page.get_by_label("Speed").select_option("4")
    action(page, "play").click()
    until(page, "v => v.playing && v.beat > 2")
    action(page, "play").click()
    until(page, "v => !v.playing")
    at = page.evaluate(STATE)["beat"]
    action(page, "step").click()
    until(page, f"v => v.beat === {at + 1}")
    page.get_by_label("Beat", exact=True).fill("0")
    until(page, "v => v.beat === 0")
    action(page, "stage-loss").click()
    page.locator(".bp-caption").click()
    box(page, "L").focus()
    page.keyboard.press("ArrowRight")
    until(page, "v => v.stage === 'loss'")
    loss = kernel(page, "format(view.node('L')['value'], '.3f')").strip("'")
    expect(box(page, "L").locator("b")).to_have_text(loss)
    page.keyboard.press("End")
    until(page, "v => v.beat === v.beats - 1 && v.stage === 'update'")
    beat = page.evaluate(STATE)["beat"]
    eventually(page, f"'Beat {beat + 1} of' in view.text", "True")  # Python's figure shows the same beat


def test_a_drag_reaches_the_model_and_everything_follows(make):
    page = make(SHOW)
    key = "0.weight[1,0]"
    before = ask(page, f"view.node('{key}')['value']")
    handle = box(page, key)
    handle.hover()
    place = handle.bounding_box()
    page.mouse.down()
    page.mouse.move(place["x"] + 20, place["y"] - 40, steps=5)
    page.mouse.up()
    until(page, "v => v.stage === 'backward' && v.unanswered === 0")
    after = ask(page, "model[0].weight[1, 0].item()")
    assert after > before + 0.2
    loss = ask(page, "view.node('L')['value']")
    until(page, f"v => Math.abs(v.loss - {loss}) < 1e-6")
    with late(page):  # each key goes on from the one before; another number takes nothing's place
        press_at_once(box(page, "x[0]"), "ArrowUp", "ArrowUp")
        press_at_once(box(page, "x[1]"), "ArrowDown", "ArrowDown")
        press_at_once(box(page, "x[0]"), "ArrowUp")
    expect(box(page, "x[0]").locator("b")).to_have_text("1.30")
    assert ask(page, "view.inputs[0].tolist()") == pytest.approx([1.3, -2.2])


def test_the_arithmetic_opens_is_edited_and_closes(make):
    page = make(SHOW)
    box(page, "0.weight[0,1]").focus()
    page.keyboard.press("Enter")
    until(page, "v => v.opened === '0.weight[0,1]'")
    card = page.locator(".bp-card")
    expect(card.locator(".bp-verdict")).to_contain_text("They agree")
    expect(card.locator(".bp-code")).to_contain_text("model[0].weight[0, 1]")
    card.get_by_label("Value").fill("0.5")
    page.keyboard.press("Enter")
    assert ask(page, "model[0].weight[0, 1].item()") == 0.5
    expect(box(page, "0.weight[0,1]").locator("b")).to_have_text("0.500")
    page.keyboard.press("Escape")
    until(page, "v => v.opened === null")
    expect(card).to_be_hidden()
    with late(page):
        box(page, "L").dblclick()  # opened and closed
    until(page, "v => v.unanswered === 0")
    assert kernel(page, "view._opened") == ""


def test_steps_minibatch_and_reload(make):
    page = make(SHOW, SET)
    shown = ask(page, "view.node('2.weight[0,0]')['after']")
    action(page, "take").click()
    until(page, "v => v.steps === 1 && v.beat === 0")
    assert ask(page, "model[2].weight[0, 0].item()") == shown
    action(page, "minibatch-true").click()
    until(page, "v => v.minibatch")
    expect(page.locator(".bp-legend")).to_contain_text("minibatch's mean loss")
    expect(action(page, "minibatch-true")).to_have_attribute("aria-pressed", "true")
    expect(action(page, "minibatch-false")).to_have_attribute("aria-pressed", "false")
    run_cell(page, 1)
    page.wait_for_function("() => document.querySelector('.bp-node[data-key=\"0.bias[1]\"] b').textContent === '0.250'")
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    reload(page)
    until(page, "v => v.frames > 0 && v.steps === 1 && v.minibatch")
    action(page, "reset").click()
    until(page, "v => v.steps === 0")


def test_layers_are_read_and_opened(make):
    page = make(LAYERS)
    assert page.evaluate(STATE)["kind"] == "tensor"
    expect(action(page, "view-scalar")).to_be_disabled()
    action(page, "stage-update").click()
    heat = page.locator(".bp-layer[aria-label=conv1] canvas").nth(2)
    heat.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".bp-readout")).to_contain_text("conv1.weight[0,0,0,1]")
    page.keyboard.press("Enter")
    until(page, "v => v.opened === 'conv1.weight[0,0,0,1]'")
    page.locator(".bp-card").get_by_label("Value").fill("0.25")
    page.keyboard.press("Enter")
    eventually(page, "view.model.conv1.weight[0, 0, 0, 1].item()", "0.25")


@pytest.mark.parametrize("tab", [{"width": 420, "reduced_motion": True}], indirect=True)
def test_narrow_and_without_motion(make):
    page = make(SHOW)
    page.evaluate("() => jupyterapp.shell.collapseLeft()")
    page.wait_for_function("() => document.querySelector('.labkit-view').clientWidth > 200")
    assert page.evaluate(
        "() => document.querySelector('.labkit-view').scrollWidth <= document.querySelector('.labkit-view').clientWidth"
    )
    action(page, "play").click()  # one beat on
    until(page, "v => v.beat === 1 && !v.playing")
    action(page, "stage-update").click()
    until(page, "v => v.stage === 'update'")
