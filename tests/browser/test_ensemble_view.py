"""EnsembleView in a real JupyterLab, by mouse and keyboard; afterwards the kernel is asked what is true."""

import json
import re

import pytest
from playwright.sync_api import expect

from labkit.bench.jupyter import kernel, reload, run_all

MAKE = """
import functools, labkit, numpy as np
train, test = labkit.data.toy("plane", n=200, noise=0.1, seed=0).split()
make = functools.partial(labkit.models.MLP, 2, 1, (8,))
grid = {"lr": np.geomspace(1e-3, 30, 12), "seed": [0, 1]}
ensemble = labkit.train.Ensemble(make, train, test, optimizer="sgd", batch_size=20, grid=grid)
player = labkit.train.Player(ensemble, evaluate_every=20)
player.wait(steps=100)
view = labkit.widgets.EnsembleView(player)
view
"""
# Focus and a key in one go: between them nothing is drawn.
AT_ONCE = "e => { e.focus(); e.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft', bubbles: true })); }"
VIEW = "document.querySelector('.labkit-view[data-view=ensemble]')?.labkit"


@pytest.fixture
def page(open_notebook):
    page = open_notebook(cells=[MAKE])
    run_all(page)
    until(page, "v => v.step === 100 && v.frames > 0")
    return page


def until(page, condition):
    """Wait until the view's own state fulfils a JS condition."""
    page.wait_for_function(f"() => {{ const v = {VIEW}; return v && ({condition})(v); }}")


def button(page, name):
    return page.locator(".labkit-view").first.get_by_role("button", name=re.compile(f"^{name}"))


def rows(page):
    return page.locator(".lk-rows-plot").first


def shown(page):
    return page.evaluate(f"() => {VIEW}")


def test_what_is_shown_is_what_the_kernel_has(page):
    state = shown(page)
    assert (state["rows"], state["columns"], state["metric"]) == (24, 100, "loss")
    assert kernel(page, "view._race.best()") == str(state["best"])
    assert kernel(page, "int((ensemble.diverged_at > 0).sum())") == str(state["diverged"])
    assert state["diverged"] > 0
    expect(page.locator(".lk-fallen-key").first).to_contain_text(f"diverged ({state['diverged']})")
    expect(page.locator(".lk-title").first).to_contain_text("Best of 24 after 100 steps: learning rate")
    # The lowest row, of the least rate, is dark or bright as its loss says; the top one is hatched.
    painted = "([x, y]) => { const c = document.querySelector('.lk-rows-plot canvas'), r = c.width / c.clientWidth;"
    painted += " return [...c.getContext('2d').getImageData(x * r, y * r, 1, 1).data]; }"
    box = rows(page).bounding_box()
    bottom = page.evaluate(painted, [box["width"] / 2, box["height"] - 40])
    assert bottom[2] < max(bottom[:2]) + 60 and bottom[3] == 255


def test_play_and_pause_and_step(page):
    button(page, "Play").click()
    until(page, "v => v.status === 'playing' && v.step > 200")
    button(page, "Pause").click()
    until(page, "v => v.status === 'paused'")
    at = int(kernel(page, "player.trainer.step_count"))
    until(page, f"v => v.step === {at} && v.shown === {at}")
    button(page, "One step on").click()
    until(page, f"v => v.step === {at + 1}")


def test_hovering_reads_a_cell_and_changes_nothing(page):
    before = kernel(page, "ensemble.model.weights.sum().item()")
    box = rows(page).bounding_box()
    rows(page).hover(position={"x": box["width"] / 2, "y": box["height"] - 45})
    tip = page.locator(".lk-tip").first
    expect(tip).to_contain_text("Learning rate 0.001 · seed 0")
    step = int(re.search(r"step (\d+)", tip.inner_text())[1])
    value = tip.inner_text().split()[-1]
    recorded = float(
        kernel(page, f"ensemble.record.table('loss')[1][{step} - 1, 0]").removeprefix("np.float32(").rstrip(")")
    )
    assert float(value) == pytest.approx(recorded, rel=0.01)
    page.mouse.move(0, 0)
    expect(tip).to_be_hidden()
    assert kernel(page, "ensemble.model.weights.sum().item(), player.trainer.step_count") == f"({before}, 100)"


def test_a_click_opens_a_member_as_a_run_of_its_own(page):
    box = rows(page).bounding_box()
    rows(page).click(position={"x": box["width"] / 2, "y": box["height"] - 45})
    until(page, "v => v.opened?.member === 0")
    assert kernel(page, "type(view.opened.trainer).__name__, view.opened.trainer.step_count") == "('Trainer', 100)"
    same = "torch.equal(view.opened.trainer.model.output.weight.flatten(), ensemble.model.weights[0, 24:32])"
    kernel(page, "import torch")
    assert kernel(page, same) == "True"
    expect(page.locator(".lk-member").first).to_contain_text("TrainingView(view.opened)")


def test_the_keyboard_reads_and_opens(page):
    rows(page).focus()
    best = shown(page)["best"]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    until(page, f"v => v.opened?.member === {best}")
    assert kernel(page, "player.trainer.step_count") == "100"
    lowest = int(kernel(page, "print(view._race.curve()['median'].argmin())"))
    rates = "(format(ensemble.members[2 * i]['lr'], '.3g') for i in"
    rate, less = kernel(page, f"print(*{rates} ({lowest}, {lowest} - 1)))").split()
    read = page.locator(".lk-setting .lk-note").first
    page.locator(".lk-setting-plot").first.evaluate(AT_ONCE)
    expect(read).to_contain_text(f"Learning rate {rate}: ")  # the best first, wherever another picture stood
    page.keyboard.press("ArrowLeft")
    expect(read).to_contain_text(f"Learning rate {less}: ")
    page.keyboard.press("Enter")
    until(page, f"v => Math.floor(v.opened.member / 2) === {lowest - 1}")
    page.keyboard.press("Space")
    until(page, "v => v.step > 100")


def test_another_metric_looking_back_and_rewinding(page):
    page.get_by_label("Colour").first.select_option("test_loss")
    until(page, "v => v.metric === 'test_loss' && v.columns === 6")
    page.get_by_label("Step shown").first.fill("40")
    until(page, "v => v.shown === 40 && !v.following")
    expect(page.locator(".lk-title").first).to_contain_text("after 40 steps")
    button(page, "Rewind here").click()
    until(page, "v => v.step === 40 && v.columns === 3")
    assert kernel(page, "player.trainer.step_count, len(ensemble.record.table('loss')[0])") == "(40, 40)"


def test_a_reload_brings_everything_back(page):
    before = shown(page)
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    reload(page)
    until(page, "v => v.step === 100 && v.frames > 0")
    after = shown(page)
    assert [after[key] for key in ("rows", "columns", "best", "diverged")] == [
        before[key] for key in ("rows", "columns", "best", "diverged")
    ]


@pytest.mark.parametrize("tab", [{"width": w, "dark": d} for w in (1400, 480) for d in (0, 1)], indirect=True)
def test_nothing_is_cut_off(page, tab):
    rows(page).focus()
    page.keyboard.press("Enter")
    until(page, "v => v.opened")
    over, width = page.evaluate(
        "() => (v => [v.scrollWidth - v.clientWidth, v.clientWidth])(document.querySelector('.labkit-view'))"
    )
    assert over <= 0 and width > 250
    kinds = ".labkit-view :is(button, input, select, canvas, p, h3, h4, code)"
    outside = f"""() => [...document.querySelectorAll('{kinds}')]
        .filter(e => e.offsetParent && !e.classList.contains('lk-hidden'))
        .map(e => [e, e.getBoundingClientRect(), e.closest('.labkit-view').getBoundingClientRect()])
        .filter(([e, a, b]) => a.left < b.left - 1 || a.right > b.right + 1).map(([e]) => e.outerHTML)"""
    assert json.dumps(page.evaluate(outside)) == "[]"
