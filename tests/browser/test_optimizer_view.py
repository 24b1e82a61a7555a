"""The optimisers' view in a real JupyterLab: the kernel is asked what its controls did."""

import pytest
from playwright.sync_api import expect

from labkit.bench.jupyter import kernel, late, reload, run_all

SHOW = "import labkit\nview = labkit.widgets.OptimizerView()\nview"
VIEW = "document.querySelector('.labkit-view[data-view=optimizers]')"


@pytest.fixture
def page(open_notebook):
    page = open_notebook(cells=[SHOW])
    run_all(page)
    until(page, "v => v.frames > 0 && v.step === 150")
    return page


def until(page, condition):
    page.wait_for_function(f"() => {{ const v = {VIEW}?.labkit; return v && ({condition})(v); }}")


def map_box(page):
    plot = page.locator(".opt-plot")
    plot.scroll_into_view_if_needed()
    return plot.bounding_box()


def place(page, x, y):
    """Where (x, y) of the ravine's map is on the screen."""
    box = map_box(page)
    west, east, north, south = box["x"] + 36, box["x"] + box["width"] - 8, box["y"] + 6, box["y"] + box["height"] - 36
    return west + (x + 4) / 8 * (east - west), south - (y + 3) / 6 * (south - north)


def test_a_click_sets_the_start_and_a_drag_takes_it_along(page):
    page.mouse.click(*place(page, 2, -1))
    until(page, "v => Math.abs(v.start[0] - 2) < 0.1 && Math.abs(v.start[1] + 1) < 0.1")
    assert kernel(page, "[round(v) for v in view.start], view.paths['sgd'].points[0].tolist() == list(view.start)") == (
        "([2, -1], True)"
    )
    page.mouse.move(*place(page, 2, -1))
    page.mouse.down()
    page.mouse.move(*place(page, -1, 1), steps=5)
    page.mouse.move(*place(page, -3, 2), steps=5)
    page.mouse.up()
    until(page, "v => Math.abs(v.start[0] + 3) < 0.1 && Math.abs(v.start[1] - 2) < 0.1")
    assert kernel(page, "[round(v) for v in view.start]") == "[-3, 2]"


def test_the_start_by_keyboard_and_typed(page):
    page.locator(".opt-plot").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    until(page, "v => v.start[0] === -3.18 && v.start[1] === 1.38")
    assert kernel(page, "view.start") == "(-3.18, 1.38)"
    page.get_by_label("Start, y").fill("0.5")
    page.keyboard.press("Enter")
    until(page, "v => v.start[1] === 0.5")
    assert kernel(page, "view.start") == "(-3.18, 0.5)"
    page.get_by_label("Start, y").fill("1e400")
    page.keyboard.press("Enter")
    assert kernel(page, "view.start, view.error") == "((-3.18, 0.5), None)"
    page.get_by_label("Start, y").blur()
    expect(page.get_by_label("Start, y")).to_have_value("0.5")  # no number: what is in force is back
    page.get_by_label("Start, y").fill("99")
    page.keyboard.press("Enter")
    until(page, "v => v.start[1] === 3")  # the edge of the map
    with late(page):  # the second goes on from the first, which has no answer yet
        for name, value in (("Start, x", "2"), ("Start, y", "1")):
            page.get_by_label(name).fill(value)
            page.keyboard.press("Enter")
    assert kernel(page, "view.start") == "(2.0, 1.0)"
    page.get_by_label("Start, x").fill("-3")
    page.keyboard.press("Enter")
    page.mouse.click(*place(page, 1, -2))  # leaves the field, which has nothing new to say
    assert kernel(page, "[round(v) for v in view.start]") == "[1, -2]"


def test_the_film_plays_steps_and_scrubs(page):
    at = page.locator(".lk-where b")
    page.get_by_label("Step shown").fill("20")
    until(page, "v => v.step === 20 && !v.playing")
    loss = float(kernel(page, "print(view.paths['sgd'].losses[20])"))
    shown = page.locator(".opt-table tbody tr").first.locator("td").nth(1).inner_text()
    assert float(shown) == pytest.approx(loss, 0.01)
    page.get_by_role("button", name="One step on").click()
    expect(at).to_have_text("Step 21")
    page.get_by_label("Speed").select_option("5")  # time enough to pause it before its end
    page.get_by_role("button", name="Play").click()
    until(page, "v => v.playing && v.step > 22")
    page.get_by_role("button", name="Pause").click()
    until(page, "v => !v.playing && v.step < 150")
    page.get_by_label("Speed").select_option("60")
    page.locator(".opt-plot").focus()
    page.keyboard.press("End")
    until(page, "v => v.step === 150")
    page.keyboard.press(" ")  # from the start again
    until(page, "v => v.playing && v.step < 150")
    until(page, "v => !v.playing && v.step === 150")


def test_rates_momentum_and_function(page):
    page.get_by_label("Rate × gradient, as a number").fill("0.03")
    page.keyboard.press("Enter")
    expect(page.locator(".opt-table tbody tr").first.locator("td").nth(2)).to_have_text("✕ 11")
    assert kernel(page, "view.rates['sgd'], view.rates['adam'], view.paths['sgd'].diverged_at") == "(0.03, 0.1, 11)"
    page.get_by_role("slider", name="Momentum").fill("0.5")
    expect(page.get_by_label("Momentum, as a number")).to_have_value("0.5")
    assert kernel(page, "view.momentum") == "0.5"
    page.get_by_role("slider", name="Momentum").fill("0")
    expect(page.get_by_label("Momentum, as a number")).to_have_value("0")
    assert kernel(page, "view.momentum, view.error") == "(0, None)"
    with late(page):  # none of these takes another's place, and each key goes on from the one before
        page.get_by_role("slider", name="Momentum").focus()
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        page.get_by_label("Rate ≈ step length, as a number").fill("0.2")
        page.keyboard.press("Enter")
        page.get_by_label("Rate × gradient, as a number").fill("0.01")
        page.keyboard.press("Enter")
        expect(page.get_by_role("slider", name="Momentum")).to_have_value("0.03")
    assert kernel(page, "view.momentum, view.rates['adam'], view.rates['sgd']") == "(0.03, 0.2, 0.01)"
    page.get_by_label("Function", exact=True).select_option("saddle")
    until(page, "v => v.function === 'saddle'")
    page.get_by_role("button", name="Best rates").click()
    expect(page.locator(".opt-left > .lk-note")).to_contain_text("best of 16 rates")
    assert kernel(page, "view.function.name, view.rates['sgd']") == "('saddle', 1.0)"


def test_hiding_one_and_a_reload_keep_what_is_shown(page):
    page.locator("[data-optimizer=rmsprop]").uncheck()
    expect(page.locator(".lk-title")).not_to_contain_text("RMSProp")
    title = page.locator(".lk-title").inner_text()
    assert title == kernel(page, "print(view.text.split('. ')[0])").strip()
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    reload(page)
    until(page, "v => v.frames > 0")
    assert page.locator(".lk-title").inner_text() == title
    assert not page.locator("[data-optimizer=rmsprop]").is_checked()
    page.mouse.click(*place(page, 2, 1))
    until(page, "v => v.start[0] > 1")
    assert kernel(page, "view.start[0] > 1") == "True"


def test_a_lost_kernel_is_said_and_the_film_goes_on(page, tab):
    page.get_by_label("Step shown").fill("10")
    until(page, "v => v.step === 10")
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.shutdown()")
    expect(page.locator(".lk-notice")).to_contain_text("The kernel that ran this is gone")
    page.get_by_label("Step shown").fill("30")  # the film needs no kernel
    until(page, "v => v.step === 30")
    assert page.get_by_role("button", name="Best rates").is_disabled()
    tab.console.clear()
