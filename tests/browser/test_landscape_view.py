"""LandscapeView in a real JupyterLab; afterwards the kernel is asked what is true."""

import pytest
from playwright.sync_api import expect

from labkit.bench.jupyter import eventually, kernel, late, reload, run_all

MAKE = """
import labkit
from labkit.train import Player, Trainer, probes
ds = labkit.data.toy("gauss", n=100)
trainer = Trainer(labkit.models.MLP(2, 2, (4,)), ds, lr=0.1, optimizer="sgd", batch_size=20)
player = Player(trainer, probes={"parameters": probes.parameters()}, frame_every=5)
player.wait(steps=100)
"""
SHOW = "view = labkit.widgets.LandscapeView(player, n=15)\nview"
VIEW = "() => document.querySelector('.labkit-view[data-view=landscape]')?.labkit"
IDLE = "!v.measuring && v.sharp > 0"


def until(page, condition):
    page.wait_for_function(f"() => {{ const v = ({VIEW})(); return v && ({condition}); }}")


@pytest.fixture
def page(open_notebook):
    page = open_notebook(cells=[MAKE, SHOW])
    run_all(page)
    until(page, f"v.step === 100 && v.kind === 'pca' && {IDLE}")
    return page


def part(page, name):
    return page.locator(".labkit-view[data-view=landscape]").first.locator(name)


def test_the_path_grows_while_it_plays_and_the_plane_is_fitted_again(page):
    assert kernel(page, "len(view._paths[0].steps)") == str(page.evaluate(VIEW)["path"])
    part(page, ".lk-play").click()
    until(page, "v.status === 'playing' && v.step > 200")
    part(page, ".lk-play").click()
    until(page, f"v.status === 'paused' && {IDLE}")
    step = page.evaluate(VIEW)["step"]
    page.wait_for_function(
        f"n => document.querySelector('.ls-measuring').textContent.includes('step ' + n) && !({VIEW})().measuring",
        arg=f"{step:,}",
    )
    assert kernel(page, "view._fitted == (0, player.trainer.step_count), view.landscape.kind") == "(True, 'pca')"
    assert kernel(page, "len(view._paths[0].steps)") == str(page.evaluate(VIEW)["path"])


def test_scrubbing_goes_along_the_path(page):
    page.get_by_label("Step shown").first.fill("40")
    until(page, "v.shown === 40 && !v.following")
    expect(part(page, ".lk-title")).to_contain_text("after 40 steps")
    assert float(kernel(page, "view._share()")) == pytest.approx(page.evaluate(VIEW)["share"])


def test_other_planes_are_chosen_and_drawn_again(page):
    page.get_by_label("Plane", exact=True).select_option("filter")
    until(page, f"v.kind === 'filter' && {IDLE}")
    kernel(page, "first = view.landscape")
    part(page, "button:has-text('Another plane')").click()
    eventually(page, "bool((view.landscape.losses != first.losses).any())", "True")
    assert kernel(page, "view._seed, view.landscape.kind") == "(1, 'filter')"
    reach = page.get_by_label("How far to look, on a log scale")
    with late(page):  # each key goes on from the one before
        reach.focus()
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        expect(reach).to_have_value("0.2")
    assert kernel(page, "view._span") == "1.6"


def test_the_map_is_read_by_hover_and_by_keys(page):
    box = part(page, ".ls-map").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.3 * box["height"])
    tip = part(page, ".ls-tip")
    expect(tip).to_contain_text("bilinear")
    part(page, ".ls-map").focus()
    for _ in range(9):
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowDown")
    expect(tip).to_contain_text("as measured here")
    shown = tip.locator("b").inner_text().removeprefix("Loss ")
    lowest = kernel(page, "from labkit.plots.look import number; number(float(view.landscape.losses[0, 0]))")
    assert shown == lowest.strip("'")
    assert kernel(page, "player.position, player.trainer.step_count") == "(100, 100)"


def test_a_click_on_the_path_goes_to_its_step(page):
    box = part(page, ".ls-map").bounding_box()
    at = kernel(
        page,
        "on = view.landscape; a, b = view._paths[0].places[0]; print((a - on.a[0]) / (on.a[-1] - on.a[0]),"
        " (b - on.b[0]) / (on.b[-1] - on.b[0]))",
    )
    across, up = (float(part) for part in at.split())
    left, top = 52 + across * (box["width"] - 60), 6 + (1 - up) * (box["height"] - 42)
    page.mouse.click(box["x"] + left, box["y"] + top)
    until(page, "!v.following")
    assert int(kernel(page, "player.position")) <= 5


def test_a_fork_joins_the_map(page):
    page.get_by_label("Step shown").first.fill("50")
    until(page, "v.shown === 50")
    part(page, "button:has-text('Fork here')").click()
    form = page.locator("form.lk-form")
    form.get_by_label("Learning rate").fill("0.5")
    form.get_by_role("button", name="Make the fork").click()
    until(page, f"v.runs === 2 && v.step === 50 && {IDLE}")
    part(page, ".lk-play").click()
    until(page, "v.step > 80")
    part(page, ".lk-play").click()
    until(page, f"v.status === 'paused' && {IDLE}")
    assert kernel(page, "len(view.players), sorted(view._paths)") == "(2, [0, 1])"


def test_a_reload_brings_the_map_back(page):
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    reload(page)
    until(page, f"v.frames > 0 && v.kind === 'pca' && v.step === 100 && {IDLE}")
    assert kernel(page, "len(view._paths[0].steps)") == str(page.evaluate(VIEW)["path"])


@pytest.mark.parametrize("tab", [{"width": w, "dark": d} for w, d in ((1400, 0), (480, 1))], indirect=True)
def test_nothing_is_cut_off(page, tab):
    view = part(page, ".lk-card")
    assert view.evaluate("v => v.scrollWidth - v.clientWidth") <= 0
    outside = """v => [...v.querySelectorAll('button, input, select, canvas')].filter(e => e.offsetParent)
        .filter(e => e.getBoundingClientRect().right > v.getBoundingClientRect().right + 1).map(e => e.outerHTML)"""
    assert view.evaluate(outside) == []
