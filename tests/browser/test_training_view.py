"""TrainingView and DrawPad in a real JupyterLab, by mouse and keyboard; afterwards the kernel is asked what is true."""

import re

import pytest
from playwright.sync_api import expect

from labkit.bench.jupyter import (
    eventually,
    execute,
    kernel,
    late,
    press_at_once,
    reload,
    run_all,
    run_cell,
    start_cell,
)

MAKE = """
import labkit, torch, threading
train, test = labkit.data.digits().split()
trainer = labkit.train.Trainer(labkit.models.LeNet(), train, test, batch_size=32)
probes = {"digits": labkit.train.probes.predictions(test), "first layer": labkit.train.probes.weights("conv1")}
player = labkit.train.Player(trainer, probes=probes, evaluate_every=10)
player.wait(steps=100)
"""
# Computes until the run is paused from outside, and at most for 30 seconds.
BUSY = """
import time
began = time.time()
while player.status == "playing" and time.time() < began + 30:
    sum(range(1000))
waited = time.time() - began
"""
SHOW = "view = labkit.widgets.TrainingView(player)\nview"
VIEW = "() => document.querySelector('.labkit-view[data-view=training]')?.labkit"
RUNS = "sum(thread.name == 'labkit-player' for thread in threading.enumerate())"


@pytest.fixture
def page(open_notebook):
    page = open_notebook(cells=[MAKE, SHOW, BUSY])
    run_all(page)
    until(page, "v => v.step === 100 && v.frames > 0")
    return page


def state(page):
    return page.evaluate(VIEW)


def until(page, condition, which=0):
    """Wait until the view's own state fulfils a JS condition."""
    page.wait_for_function(
        f"i => {{ const v = document.querySelectorAll('.labkit-view[data-view=training]')[i]?.labkit;"
        f" return v && ({condition})(v); }}",
        arg=which,
    )


def button(page, name):
    return page.locator(".labkit-view[data-view=training]").first.get_by_role("button", name=re.compile(f"^{name}"))


def scrub(page, step):
    page.get_by_label("Step shown").first.fill(str(step))
    until(page, f"v => v.shown === {step} && !v.following")


def test_play_and_pause(page):
    button(page, "Play").click()
    until(page, "v => v.status === 'playing' && v.step > 110")
    assert kernel(page, "player.status") == "'playing'"
    button(page, "Pause").click()
    until(page, "v => v.status === 'paused'")
    at = int(kernel(page, "player.trainer.step_count"))
    eventually(page, f"player.status, {RUNS}", "('paused', 0)")
    until(page, f"v => v.step === {at} && v.shown === {at}")


def test_step_and_step_back(page):
    button(page, "One step on").click()
    until(page, "v => v.step === 101")
    assert kernel(page, "player.trainer.step_count") == "101"
    button(page, "One step back").click()
    until(page, "v => v.shown < 101 && !v.following")
    assert kernel(page, "player.trainer.step_count, player.position < 101") == "(101, True)"


def test_scrubbing_shows_and_changes_nothing(page):
    before = kernel(page, "player.trainer.model.conv1.weight.sum().item()")
    scrub(page, 40)
    assert kernel(page, "player.position, player.trainer.step_count") == "(40, 100)"
    assert kernel(page, "player.trainer.model.conv1.weight.sum().item()") == before
    expect(page.locator(".lk-title").first).to_contain_text("after 40 steps")
    button(page, "Show the newest step").click()
    until(page, "v => v.following && v.shown === 100")


def test_rewind_is_exact(page):
    remembered = kernel(page, "remembered = player.history; len(remembered)")
    scrub(page, 40)
    button(page, "Rewind here").click()
    until(page, "v => v.step === 40 && v.status === 'paused'")
    assert kernel(page, "player.history == remembered[:41], player.trainer.step_count") == "(True, 40)"
    scrubber = page.get_by_label("Step shown").first
    with late(page):  # each key goes on from the one before, and "here" is where they led
        scrubber.focus()
        for _ in range(3):
            page.keyboard.press("ArrowLeft")
        expect(scrubber).to_have_value("37")
        press_at_once(page.locator(".lk-title").first, "r")
    eventually(page, "player.trainer.step_count, view._busy", "(37, None)")
    assert remembered == "101"
    assert kernel(page, "player.wait(steps=100); player.history == remembered") == "True"


def test_fork_with_another_learning_rate_and_both_run(page):
    scrub(page, 40)
    button(page, "Fork here").click()
    form = page.locator("form.lk-form")
    form.get_by_label("Learning rate").fill("0.02")
    form.get_by_role("button", name="Make the fork").click()
    until(page, "v => v.runs === 2 && v.step === 40")
    kernel(page, "fork = view.player")
    assert kernel(page, "fork.trainer.lr, fork.forked_at, fork.parent is player") == "(0.02, 40, True)"
    page.get_by_label("Play all").click()
    button(page, "Play").click()
    until(page, "v => v.step > 80")
    button(page, "Pause").click()
    until(page, "v => v.status === 'paused'")
    at = [int(n) for n in kernel(page, "print(fork.trainer.step_count, player.trainer.step_count)").split()]
    assert at[0] > 80 and at[1] > 100
    eventually(page, f"fork.history[:40] == player.history[:40], {RUNS}", "(True, 0)")


def test_settings_change_while_it_plays(page):
    button(page, "Play").click()
    field = page.get_by_label("Learning rate", exact=True).first
    field.fill("0.004")
    field.press("Enter")
    page.get_by_label("Speed").first.select_option("10")
    page.wait_for_function(f"() => ({VIEW})()?.status === 'playing'")
    expect(page.locator(".lk-pace").first).to_contain_text("steps/s")
    page.wait_for_function("() => document.querySelector('[aria-label=Speed]').value === '10'")
    eventually(page, "player.trainer.lr, player.speed, player.status", "(0.004, 10, 'playing')")
    button(page, "Pause").click()
    until(page, "v => v.status === 'paused'")


def test_stop_conditions_stop_it(page):
    button(page, "Stop when").click()
    page.get_by_label("Stop at step").fill("130")
    page.get_by_role("button", name="Set", exact=True).click()
    button(page, "Play").click()
    until(page, "v => v.status === 'finished' && v.step > 100")  # it was finished at 100 before
    assert kernel(page, "player.trainer.step_count, player.reason") == "(130, 'Step reached 130.')"


def test_pause_while_another_cell_computes(page):
    button(page, "Play").click()
    until(page, "v => v.status === 'playing'")
    start_cell(page, 2)
    page.wait_for_function("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'")
    button(page, "Pause").click()
    until(page, "v => v.status === 'paused'")
    assert kernel(page, "player.status, waited < 30") == "('paused', True)"


def test_a_reload_brings_everything_back_while_it_plays(page):
    page.get_by_label("Speed").first.select_option("10")
    button(page, "Play").click()
    until(page, "v => v.step > 102")
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    reload(page)
    until(page, "v => v.status === 'playing' && v.frames > 1")
    count = state(page)["step"]
    until(page, f"v => v.step > {count}")
    button(page, "Pause").click()
    until(page, "v => v.status === 'paused'")
    assert int(kernel(page, "player.trainer.step_count")) > 103
    scrub(page, 40)
    expect(page.locator(".lk-title").first).to_contain_text("after 40 steps")


def test_the_keyboard_does_all_of_it_and_no_cell_is_edited(page):
    cells = page.evaluate("() => jupyterapp.shell.currentWidget.content.widgets.length")
    with late(page):
        press_at_once(page.locator(".lk-title").first, " ", " ")  # played and paused, before the first is answered
    assert kernel(page, "player.status, player.trainer.step_count < 200") == "('paused', True)"
    rate = page.get_by_label("Learning rate, on a log scale").first
    rate.fill("-2")
    with late(page):
        rate.focus()
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        expect(rate).to_have_value("-1.8")
    assert kernel(page, "player.trainer.lr") == "0.016"
    button(page, "Play").focus()
    page.keyboard.press("Space")
    until(page, "v => v.status === 'playing'")
    page.keyboard.press("Space")
    until(page, "v => v.status === 'paused'")
    at = int(kernel(page, "player.trainer.step_count"))
    for key, condition in (
        ("ArrowRight", f"v => v.step === {at + 1}"),
        ("Home", "v => v.shown === 0"),
        ("End", "v => v.following"),
    ):
        page.keyboard.press(key)
        until(page, condition)
    for key in "abmxzdd00":  # JupyterLab's own keys, which cut, delete and insert cells
        page.keyboard.press(key)
    assert page.evaluate("() => jupyterapp.shell.currentWidget.content.widgets.length") == cells
    assert kernel(page, "player.trainer.step_count") == str(at + 1)
    page.keyboard.press("?")
    expect(page.locator(".lk-keys").first).to_be_visible()


def test_running_the_cell_again_stops_the_former_run(page):
    kernel(page, "former = player")
    button(page, "Play").click()
    until(page, "v => v.status === 'playing'")
    run_cell(page, 0)
    run_cell(page, 1)
    until(page, "v => v.step === 100 && v.frames > 0")
    eventually(page, f"former.status, former is player, {RUNS}", "('paused', False, 0)")


def test_two_copies_of_a_view_both_work(page):
    page.evaluate("() => jupyterapp.commands.execute('notebook:insert-cell-below')")
    kernel(page, "from IPython.display import display")
    page.evaluate(
        "() => { const n = jupyterapp.shell.currentWidget.content; n.activeCell.model.sharedModel.setSource('view');"
        " void jupyterapp.commands.execute('notebook:run-cell'); }"
    )
    until(page, "v => v.frames > 0", which=1)
    button(page, "One step on").click()
    for which in (0, 1):
        until(page, "v => v.step === 101 && v.shown === 101", which=which)


def test_a_failure_is_said_and_can_be_undone(page):
    kernel(page, "with player.paused(), torch.no_grad(): trainer.model.output.weight.mul_(float('inf'))")
    button(page, "Play").click()
    until(page, "v => v.status === 'failed'")
    expect(page.locator(".lk-failure").first).to_contain_text("layer output")
    page.get_by_role("button", name="Rewind to the last good step").first.click()
    until(page, "v => v.status === 'paused' && v.step === 99")
    assert kernel(page, "torch.isfinite(trainer.model.output.weight).all().item()") == "True"


def test_a_view_whose_kernel_is_gone_says_so(page, tab):
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(page.locator(".labkit-view").first).to_contain_text("kernel")
    expect(button(page, "Play")).to_be_disabled()
    expect(page.locator(".lk-title").first).to_contain_text("after 100 steps")  # it stays readable
    tab.console.clear()  # JupyterLab says there that nobody listens to the message


@pytest.mark.parametrize("tab", [{"width": w, "dark": d} for w in (1400, 900, 480) for d in (0, 1)], indirect=True)
def test_nothing_is_cut_off(page, tab):
    wide = """() => [...document.querySelectorAll('.labkit-view')]
        .map(v => [v.scrollWidth - v.clientWidth, v.clientWidth])"""
    for over, width in page.evaluate(wide):
        assert over <= 0 and width > 250
    outside = """() => ['button', 'input', 'select']
        .flatMap(kind => [...document.querySelectorAll(`.labkit-view ${kind}`)]).filter(e => e.offsetParent)
        .map(e => [e, e.getBoundingClientRect(), e.closest('.labkit-view').getBoundingClientRect()])
        .filter(([e, a, b]) => a.left < b.left - 1 || a.right > b.right + 1 || a.height < 14)
        .map(([e]) => e.outerHTML)"""
    assert page.evaluate(outside) == []


# The drawing pad

PAD = "pad = labkit.widgets.DrawPad(player)\npad"
# The pad reads what it has been sent of the second stroke, and not yet what comes after it.
SECOND = "passes = lambda message: message.get('index') == 1\nwith gate: gate.notify_all()"
DRAWN = "() => document.querySelector('.labkit-view[data-view=drawpad]')?.labkit"


@pytest.fixture
def pad_page(open_notebook):
    page = open_notebook(cells=[MAKE + "player.wait(steps=600)", PAD])
    run_all(page)
    page.wait_for_function(f"() => ({DRAWN})()?.frames > 0")
    return page


def draw(page, points):
    begin_to_draw(page, points)
    page.mouse.up()


def begin_to_draw(page, points):
    """The pen stays down."""
    page.locator("canvas.lk-pad").hover()  # waits until it stands still
    box = page.locator("canvas.lk-pad").bounding_box()
    x, y = zip(*((box["x"] + a * box["width"], box["y"] + b * box["height"]) for a, b in points), strict=True)
    page.mouse.move(x[0], y[0])
    page.mouse.down()
    for a, b in zip(x[1:], y[1:], strict=True):
        page.mouse.move(a, b, steps=12)


def read_as(page, digit):
    page.wait_for_function(f"digit => ({DRAWN})()?.shown === digit", arg=digit)


ZERO = [(0.5, 0.15), (0.32, 0.27), (0.27, 0.5), (0.32, 0.73), (0.5, 0.85)]
ZERO += [(0.68, 0.73), (0.73, 0.5), (0.68, 0.27), (0.5, 0.15)]


def test_a_drawn_digit_is_read_undone_and_cleared(pad_page):
    page = pad_page
    draw(page, ZERO)
    read_as(page, "0")
    assert kernel(page, "pad.prediction, tuple(pad.tensor.shape), pad.evidence.shape") == "('0', (1, 1, 8, 8), (8, 8))"
    best = page.locator(".lk-odd[data-best=yes]")
    expect(best).to_contain_text("0")
    updates = page.evaluate(DRAWN)["updates"]
    with late(page, "pad"):  # Python has read the second stroke, and not the third, when the fifth is drawn
        for x in (0.4, 0.5, 0.6):
            draw(page, [(x, 0.4), (x, 0.6)])
        execute(page, SECOND)
        page.wait_for_function(f"updates => ({DRAWN})().updates > updates", arg=updates)
        draw(page, [(0.4, 0.5), (0.6, 0.5)])
    assert kernel(page, "len(pad._strokes)") == "5"
    for left in (4, 3, 2):
        page.get_by_role("button", name="Undo").click()
        eventually(page, "len(pad._strokes)", str(left))
    page.get_by_role("button", name="Undo").click()
    eventually(page, "len(pad._strokes)", "1")
    read_as(page, "0")
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function(f"() => ({DRAWN})()?.status === 'empty'")
    assert kernel(page, "int(pad.ink.sum()), pad.prediction") == "(0, None)"


EVIDENCE = """before => {
    const part = document.querySelector('.lk-seen[data-part=evidence]'), canvas = part?.querySelector('canvas');
    return part?.dataset.empty === 'no' && canvas.toDataURL() !== before && canvas.toDataURL();
}"""


def test_the_evidence_follows_the_pen_before_it_is_lifted(pad_page):
    page, (first, *rest) = pad_page, (ZERO[:4], ZERO[3:6], ZERO[5:8])
    begin_to_draw(page, first)
    seen = page.wait_for_function(EVIDENCE, arg=None).json_value()
    box = page.locator("canvas.lk-pad").bounding_box()
    for points in rest:
        for x, y in points:
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=12)
        seen = page.wait_for_function(EVIDENCE, arg=seen).json_value()
    # What is shown is of this drawing, as far as it has come, and the stroke is not done: it has not been sent back.
    drawn = f"() => ({DRAWN})()?.shown"
    eventually(page, "pad._worker is None", "True")
    assert kernel(page, "pad.prediction") == repr(page.evaluate(drawn))
    assert kernel(page, "len(pad._strokes), 'points' in pad._sent") == "(1, False)"
    page.mouse.up()
    eventually(page, "len(pad._sent.get('points', ())) == len(pad._strokes[0])", "True")


def test_drawing_with_the_keyboard(pad_page):
    page = pad_page
    page.locator("canvas.lk-pad").focus()
    for key in ["ArrowUp"] * 3 + ["Space"] + ["ArrowDown"] * 22 + ["Space"]:
        page.keyboard.press(key)
    read_as(page, "1")
    assert kernel(page, "pad.prediction") == "'1'"


@pytest.mark.parametrize("tab", [{"touch": True}], indirect=True)
def test_drawing_with_a_finger(pad_page, tab):
    page = pad_page
    page.locator("canvas.lk-pad").hover()  # waits until it stands still
    box = page.locator("canvas.lk-pad").bounding_box()
    session = page.context.new_cdp_session(page)
    middle = box["x"] + box["width"] / 2
    for i in range(13):
        point = {"x": middle, "y": box["y"] + box["height"] * (0.15 + 0.7 * i / 12)}
        kind = "touchStart" if i == 0 else "touchMove"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    read_as(page, "1")


def test_the_drawing_survives_a_reload(pad_page):
    page = pad_page
    draw(page, ZERO)
    read_as(page, "0")
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    reload(page)
    read_as(page, "0")
    assert kernel(page, "pad.prediction") == "'0'"
