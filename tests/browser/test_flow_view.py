"""FlowView in a real JupyterLab: plays, scrubs, reads a layer, says what it finds; then the kernel is asked."""

import pytest
from playwright.sync_api import expect

from labkit.bench.jupyter import kernel, run_all

MAKE = """
import labkit
from labkit.models.broken import BROKEN
train, test = labkit.data.digits().split()
recipe = BROKEN["vanishing"]
trainer = labkit.train.Trainer(recipe.model(), train, test, **recipe.training)
player = labkit.train.Player(trainer, probes={"flow": labkit.train.GradientFlow()}, frame_every=10)
player.wait(steps=100)
"""
SHOW = "view = labkit.widgets.FlowView(player)\nview"


@pytest.fixture
def page(open_notebook):
    page = open_notebook(cells=[MAKE, SHOW])
    run_all(page)
    until(page, "v => v.step === 100 && v.frames > 0")
    return page


def until(page, condition):
    page.wait_for_function(
        "() => { const v = document.querySelector('.labkit-view[data-view=flow]')?.labkit;"
        f" return v && ({condition})(v); }}"
    )


def reading(page, words):
    return page.locator(".fl-table tr", has_text=words).locator("td")


def spoken(page, code):
    """A number of the kernel as the view prints it: three digits, or 1.2e-5."""
    value = float(kernel(page, code))
    return f"{value:.1e}".replace("e-0", "e-") if abs(value) < 9.995e-4 else f"{value:#.3g}"


def test_what_it_finds_is_what_python_finds(page):
    until(page, "v => v.findings?.length === 1 && v.findings[0] === 'vanishing gradients'")
    expect(page.locator(".fl-findings")).to_contain_text("Vanishing gradients in")
    assert kernel(page, "labkit.train.diagnose(player).names") == "['vanishing gradients']"
    expect(page.locator(".lk-title")).to_contain_text("Gradients shrink")


def test_plays_and_pauses(page):
    page.get_by_role("button", name="Play").click()
    until(page, "v => v.status === 'playing' && v.step > 110 && v.findings === null")
    page.get_by_role("button", name="Pause").click()
    until(page, "v => v.status === 'paused' && v.findings?.length === 1 && v.frame_step === v.step")
    at = int(kernel(page, "player.trainer.step_count"))
    until(page, f"v => v.step === {at}")
    assert kernel(page, "player.frame()['step'] == player.trainer.step_count") == "True"


def test_scrubbing_shows_the_layers_of_then(page):
    page.get_by_label("Step shown", exact=True).fill("40")
    until(page, "v => v.shown === 40 && v.frame_step === 40 && !v.following")
    expect(reading(page, "Gradient of the output")).to_have_text(
        spoken(page, "float(player.frame(40)['flow.gradient_rms'][0])")
    )
    expect(page.locator(".fl-findings")).to_be_hidden()


def test_a_layer_is_read_by_keys_and_by_pointing(page):
    plot = page.locator(".fl-plot")
    plot.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    until(page, "v => v.layer === 2 && v.shown === 100")
    expect(page.locator(".fl-details h4")).to_have_text("3. linear3")
    for words, key in (("Gradient of the weights", "weight_gradient_rms"), ("Update over weights", "update_ratio")):
        expect(reading(page, words)).to_have_text(spoken(page, f"float(player.frame()['flow.{key}'][2])"))
    page.keyboard.press("Escape")
    until(page, "v => v.layer === null")
    box = plot.bounding_box()
    plot.hover(position={"x": box["width"] - 12, "y": 60})
    until(page, "v => v.layer === 12")
    expect(page.locator(".fl-details h4")).to_have_text("13. output")


def test_the_learning_rate_is_set_and_a_rewind_is_exact(page):
    kernel(page, "remembered = player.history")
    page.get_by_label("Step shown", exact=True).fill("40")
    until(page, "v => v.shown === 40")
    page.get_by_role("button", name="Rewind here").click()
    until(page, "v => v.step === 40 && v.status === 'paused'")
    assert kernel(page, "player.history == remembered[:len(player.history)], player.trainer.step_count") == "(True, 40)"
    field = page.get_by_label("Learning rate", exact=True)
    field.fill("0.5")
    field.press("Enter")
    page.get_by_role("button", name="One step on").click()
    until(page, "v => v.step === 41")
    assert kernel(page, "player.trainer.lr") == "0.5"


def test_fits_a_narrow_page(page):
    page.set_viewport_size({"width": 640, "height": 900})
    page.wait_for_function("() => document.querySelector('.labkit-view').clientWidth < 560")
    until(page, "v => v.frames > 0")
    wide = page.evaluate(
        "() => { const v = document.querySelector('.labkit-view');"
        " return [...v.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > "
        "v.getBoundingClientRect().right + 1 && !e.closest('.lk-hidden')).length; }"
    )
    assert wide == 0
