"""The playground in a real JupyterLab, by mouse and keyboard; afterwards the kernel is asked what is true."""

import json
import re

import pytest
from playwright.sync_api import expect

from labkit.bench import jupyter
from labkit.bench.jupyter import kernel, late, press_at_once, reload, run_cell

SHOW = """
import labkit, torch
from labkit.widgets import Playground
view = Playground({})
view.speed = None
view
"""
SET = "with torch.no_grad():\n    view.model.output.weight.fill_(2.5)"
STATE = "() => document.querySelector('.labkit-view[data-view=playground]')?.labkit"
FLAT = "torch.nn.utils.parameters_to_vector({}.parameters()).tolist()"
# The first place on the network's canvas with this cursor: a link's or a bias's ("ns-resize"), or a unit's ("pointer").
FIND = """([cursor, from]) => {
    const canvas = document.querySelector('.lk-net-canvas');
    canvas.scrollIntoView({ block: 'center', behavior: 'instant' });
    const box = canvas.getBoundingClientRect();
    const at = (clientX, clientY) =>
        canvas.dispatchEvent(new PointerEvent('pointermove', { clientX, clientY, bubbles: true }));
    for (let x = box.left + from * box.width; x < box.right; x += 4) {
        for (let y = box.top; y < box.bottom; y += 4) {
            at(x, y);
            if (canvas.style.cursor === cursor) return [x, y];
        }
    }
    return null;
}"""


@pytest.fixture
def make(open_notebook):
    def made(settings="", cells=()):
        page = open_notebook(cells=[SHOW.format(settings), *cells])
        run_cell(page, 0)
        until(page, "v => v.frames > 0")
        return page

    return made


@pytest.fixture
def page(make):
    return make(cells=[SET])


def until(page, condition):
    """Wait until the view's own state fulfils a JS condition."""
    page.wait_for_function(f"() => {{ const v = ({STATE})(); return v && ({condition})(v); }}")


def eventually(page, code, expected):
    jupyter.eventually(page, code, repr(expected))


def action(page, name):
    return page.locator(f".labkit-view [data-action={name}]").first


def setting(page, name):
    return page.locator(f".labkit-view [data-setting={name}]").first


def named(page, pattern):
    return page.locator(".labkit-view").get_by_role("button", name=re.compile(pattern))


def step(page, epochs=1):
    for _ in range(epochs):
        before = page.evaluate(STATE)["step"]
        action(page, "step").click()
        until(page, f"v => v.step > {before} && v.status === 'paused'")


def flat(page, model="view.model"):
    return json.loads(kernel(page, FLAT.format(model)))


# Playing


def test_play_pause_step_and_back(page):
    expect(page.locator(".lk-title").first).to_have_text("A network that has not learned yet")
    action(page, "play").click()
    until(page, "v => v.status === 'playing' && v.step > 100")
    action(page, "play").click()
    until(page, "v => v.status === 'paused'")
    at = int(kernel(page, "view.trainer.step_count"))
    until(page, f"v => v.step === {at} && v.shown === {at}")
    action(page, "step").click()
    end = (at // 25 + 1) * 25
    until(page, f"v => v.step === {end}")
    loss = kernel(page, "format(view.trainer.evaluate()['test_loss'], '.3g')").strip("'")
    expect(page.locator(".lk-title").first).to_contain_text(f"Test loss {loss}"[:13])
    action(page, "back").click()
    until(page, f"v => v.shown === {end - 25} && !v.following")
    assert kernel(page, "view.trainer.step_count") == str(end)


def test_scrub_rewind_and_fork(page):
    kernel(page, "view.wait(epochs=12)")
    until(page, "v => v.step === 300")
    page.get_by_label("Step shown").first.fill("100")
    until(page, "v => v.shown === 100 && !v.following")
    action(page, "fork").click()
    until(page, "v => v.runs === 2")
    assert kernel(page, "[p.trainer.step_count for p in view.players], view.player.forked_at") == "([300, 100], 100)"
    page.locator(".labkit-view").get_by_role("button", name="Take run B away").click()
    until(page, "v => v.runs === 1")
    page.get_by_label("Step shown").first.fill("200")
    until(page, "v => v.shown === 200")
    action(page, "rewind").click()
    until(page, "v => v.step === 200 && v.following")
    assert kernel(page, "len(view.player.history)") == "201"


def test_reset_starts_the_same_again_and_a_new_seed_another(page):
    start = flat(page)
    step(page, 3)
    learned = flat(page)
    action(page, "reset").click()
    until(page, "v => v.step === 0")
    assert flat(page) == start
    step(page, 3)
    assert flat(page) == learned
    action(page, "new-seed").click()
    until(page, "v => v.step === 0")
    eventually(page, "view.settings.seed", 1)
    assert flat(page) != start


def test_a_reload_in_mid_run_brings_everything_back(page):
    kernel(page, "view.speed = 20")
    action(page, "play").click()
    until(page, "v => v.status === 'playing' && v.step > 50")
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    reload(page)
    until(page, "v => v.status === 'playing' && v.frames > 1")
    count = page.evaluate(STATE)["step"]
    until(page, f"v => v.step > {count}")
    action(page, "play").click()
    until(page, "v => v.status === 'paused'")
    page.get_by_label("Step shown").first.fill("25")
    until(page, "v => v.shown === 25 && !v.following")


def test_it_stops_by_itself(page):
    named(page, "^Stop when").click()
    page.get_by_label("Stop at test accuracy ≥").fill("0.7")
    page.get_by_role("button", name="Set", exact=True).click()
    action(page, "play").click()
    until(page, "v => v.status === 'finished'")
    assert (
        kernel(page, "view.trainer.evaluate()['test_accuracy'] >= 0.7, view.trainer.step_count < 12500")
        == "(True, True)"
    )


def test_a_run_that_breaks_down_says_so_and_can_be_undone(make):
    page = make('data="plane", widths=(4,), activation="relu", lr=50')
    action(page, "play").click()
    until(page, "v => v.status === 'failed'")
    expect(page.locator(".lk-failure").first).to_contain_text("Rewind to an earlier step")
    named(page, "^Rewind to the last good step").click()
    until(page, "v => v.status === 'paused'")
    assert kernel(page, "torch.isfinite(torch.tensor(" + FLAT.format("view.model") + ")).all().item()") == "True"


# Every setting


def choose(page, name, value):
    setting(page, name).select_option(value)


def fill(page, name, value):
    field = setting(page, name)
    field.fill(value)
    field.press("Enter")


def layer(page, number):
    return page.get_by_label(f"Activation of hidden layer {number}")


SETTINGS = [
    ("lr", lambda p: fill(p, "lr", "0.2"), 0.2),
    ("lr", lambda p: choose(p, "lr-usual", "0.01"), 0.01),
    ("activations", lambda p: choose(p, "activation", "relu"), ("relu", "relu")),
    ("l1", lambda p: choose(p, "regularisation", "l1"), 0.003),
    ("l1", lambda p: fill(p, "regularisation_rate", "0.05"), 0.05),
    ("l2", lambda p: choose(p, "regularisation", "l2"), 0.05),
    ("l2", lambda p: choose(p, "regularisation", "none"), 0.0),
    ("optimizer", lambda p: choose(p, "optimizer", "adam"), "adam"),
    ("batch_size", lambda p: fill(p, "batch_size", "25"), 25),
    ("dropout", lambda p: fill(p, "dropout", "0.1"), 0.1),
    ("schedule", lambda p: choose(p, "schedule", "cosine"), "cosine"),
    ("schedule_epochs", lambda p: fill(p, "schedule_epochs", "40"), 40),
    ("seed", lambda p: fill(p, "seed", "7"), 7),
    ("train_share", lambda p: setting(p, "train_share").fill("70"), 70),
    ("noise", lambda p: setting(p, "noise").fill("25"), 25),
    ("n", lambda p: setting(p, "n").fill("200"), 200),
    ("data_seed", lambda p: action(p, "new-data").click(), 1),
    ("data", lambda p: p.locator("[data-set=spiral]").click(), "spiral"),
    ("features", lambda p: p.locator("[data-feature=sin_x1]").click(), ("x1", "x2", "sin_x1")),
    ("features", lambda p: p.locator("[data-feature=x1]").click(), ("x2", "sin_x1")),
    ("widths", lambda p: named(p, "^One unit more in hidden layer 1").click(), (5, 2)),
    ("widths", lambda p: named(p, "^One unit less in hidden layer 2").click(), (5, 1)),
    ("widths", lambda p: named(p, "^Add a hidden layer").click(), (5, 1, 2)),
    ("activations", lambda p: layer(p, 2).select_option("sigmoid"), ("relu", "sigmoid", "relu")),
    ("widths", lambda p: named(p, "^Take the last hidden layer away").click(), (5, 1)),
    ("classes", lambda p: choose(p, "problem", "4"), 4),
    ("data", lambda p: choose(p, "problem", "regression"), "plane"),
    ("data", lambda p: p.locator("[data-set=multigauss]").click(), "multigauss"),
    ("classes", lambda p: choose(p, "problem", "2"), 2),
]  # fmt: skip


def test_every_setting_reaches_the_kernel_and_is_drawn(page):
    for name, act, expected in SETTINGS:
        act(page)
        eventually(page, f"view.settings.{name}", expected)
    asked = page.evaluate(STATE)["asked"]
    until(page, f"v => v.answered >= {asked}")
    assert kernel(page, "view.error") == ""
    step(page)
    rows = kernel(page, "[tuple(p.shape) for p in view.model.parameters()][:2]")
    assert rows == "[(5, 2), (5,)]"


def test_a_change_goes_on_from_the_one_before_it_though_that_has_no_answer_yet(page):
    with late(page):
        page.locator("[data-feature=sin_x1]").click()
        page.locator("[data-feature=x1]").click()
        layer(page, 1).select_option("relu")
        layer(page, 2).select_option("sigmoid")
        named(page, "^Add a hidden layer").click()
        named(page, "^One unit more in hidden layer 1").dblclick()
        action(page, "new-seed").dblclick()
        action(page, "new-data").dblclick()
        choose(page, "regularisation", "l2")
        setting(page, "noise").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
    settings = "view.settings."
    assert kernel(page, f"{settings}features, {settings}widths") == "(('x2', 'sin_x1'), (6, 2, 2))"
    assert kernel(page, f"{settings}activations") == "('relu', 'sigmoid', 'sigmoid')"
    assert kernel(page, f"{settings}seed, {settings}data_seed, {settings}l2, {settings}noise") == "(2, 2, 0.003, 10)"


def test_settings_change_while_it_plays_and_it_plays_on(page):
    action(page, "play").click()
    until(page, "v => v.step > 50")
    setting(page, "noise").fill("30")
    eventually(page, "view.settings.noise, view.player.status", (30, "playing"))
    until(page, "v => v.status === 'playing' && v.step > 50")
    fill(page, "lr", "0.3")
    eventually(page, "view.trainer.lr, view.player.status", (0.3, "playing"))
    page.get_by_label("Speed").first.select_option(label="10 epochs/s")
    eventually(page, "view.player.speed", 250.0)
    action(page, "play").click()
    until(page, "v => v.status === 'paused'")


def test_nonsense_in_a_field_is_refused_and_nothing_is_lost(page):
    step(page)
    fill(page, "batch_size", "0")
    expect(page.locator(".lk-notice").first).to_contain_text("batch_size")
    fill(page, "dropout", "much")
    setting(page, "dropout").blur()
    assert kernel(page, "view.trainer.step_count, view.settings.batch_size, view.settings.dropout") == "(25, 10, 0.0)"


def test_test_data_and_discretised_output_are_shown(page):
    pixels = "() => [...document.querySelectorAll('[data-plane] canvas')].map(canvas => canvas.toDataURL()).join()"
    for name in ("showTest", "discrete"):
        before = page.evaluate(pixels)
        setting(page, name).check()
        page.wait_for_function(f"before => ({pixels})() !== before", arg=before)


# The network


def find(page, cursor, start=0.0):
    place = page.evaluate(FIND, [cursor, start])
    assert place is not None
    return place


def test_a_weight_is_dragged_and_one_is_set_from_python(page):
    x, y = find(page, "ns-resize")
    before = flat(page)
    asked = page.evaluate(STATE)["asked"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 60, steps=6)
    page.mouse.up()
    until(page, f"v => v.asked > {asked} && v.unanswered === 0")
    after = flat(page)
    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert len(changed) == 1
    assert after[changed[0]] == pytest.approx(before[changed[0]] + 0.6, abs=0.002)
    with late(page):
        for _ in range(2):  # the second drag goes on from where the first one led
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.move(x, y - 20, steps=3)
            page.mouse.up()
    assert flat(page)[changed[0]] == pytest.approx(before[changed[0]] + 1.0, abs=0.002)
    picture = page.locator(".lk-net-canvas").screenshot()
    frames = page.evaluate(STATE)["frames"]
    run_cell(page, 1)
    until(page, f"v => v.frames > {frames}")
    assert page.locator(".lk-net-canvas").screenshot() != picture
    assert kernel(page, "view.settings.start_weights[-1][2]") == "2.5"


def test_a_click_on_a_link_types_its_weight_and_freezes_it(page):
    x, y = find(page, "ns-resize")
    page.mouse.click(x, y)
    editor = page.locator(".lk-net-editor")
    editor.locator("input[type=number]").fill("-1.25")
    editor.locator("input[type=checkbox]").check()
    editor.locator("input[type=number]").press("Enter")
    eventually(page, "[w[2] for w in view.settings.start_weights], len(view.settings.frozen)", ([-1.25], 1))
    step(page, 2)
    assert -1.25 in flat(page)


def test_a_unit_pointed_at_is_promoted_and_its_sum_is_true(page):
    step(page)
    x, y = (place + 8 for place in find(page, "pointer", 0.2))  # from the unit's edge into it
    page.mouse.move(x, y)
    until(page, "v => v.selected && !v.selected.pinned")
    unit = page.evaluate(STATE)["selected"]["unit"]
    page.mouse.click(x, y)
    until(page, "v => v.selected?.pinned")
    card = page.locator(".lk-neuron")
    expect(card).to_be_visible()
    said = card.inner_text().replace("−", "-")
    kernel(page, "seen = labkit.playground.surfaces.look(view.model, view._run.grid(view._probe))")
    value = float(kernel(page, f"seen.values[1, {unit}].item()"))
    numbers = [float(text) for text in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", said)]
    assert any(abs(number - value) <= 0.006 * max(abs(value), 0.01) for number in numbers), (value, said)
    card.locator("input[type=number]").first.fill("0.777")
    card.locator("input[type=number]").first.press("Enter")
    assert any(abs(value - 0.777) < 1e-6 for value in flat(page))
    page.keyboard.press("Escape")
    until(page, "v => !v.selected?.pinned")
    expect(card).to_be_hidden()


def test_slow_motion_shows_a_step_and_then_makes_it(page):
    action(page, "micro").click()
    panel = page.locator(".lk-micro")
    expect(panel).to_be_visible()
    kernel(page, "opened = labkit.playground.microstep.open_step(view.trainer)")
    said = set()
    for before in range(30):
        if kernel(page, "view.trainer.step_count") == "1":
            break
        expect(panel.locator(".lk-micro-dots [data-on]")).to_have_count(before + 1)
        said.add(re.match(r"\w+", panel.get_by_role("status").inner_text())[0])
        page.locator("[data-action=micro-next]").click()
    assert said >= {"Forward", "Loss", "Backward", "Update"}
    assert kernel(page, "view.trainer.step_count") == "1"
    assert kernel(page, "opened.after.tolist() == " + FLAT.format("view.model")) == "True"
    action(page, "micro").click()
    expect(panel).to_be_hidden()
    with late(page):  # on, two stages on and one back, before the step is opened
        press_at_once(page.locator(".lk-title").first, "s", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft")
    expect(panel.locator(".lk-micro-dots [data-on]")).to_have_count(3)
    assert kernel(page, "view.trainer.step_count") == "1"


# Own points


def test_points_are_placed_with_the_mouse_and_with_keys(page):
    page.locator("[data-set=own]").click()
    eventually(page, "len(view.settings.points)", 2)
    expect(action(page, "add-points")).to_have_attribute("aria-pressed", "true")  # own data are there to be placed
    plane = page.locator("[data-plane]").first
    canvas = plane.locator("canvas").first
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + 0.3 * box["height"])
    eventually(page, "len(view.settings.points)", 3)
    x, y = (float(n) for n in kernel(page, "print(*view.settings.points[-1][:2])").split())
    assert 1 < x < 4 and 1 < y < 4
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    eventually(page, "len(view.settings.points)", 4)
    points = kernel(page, "view.settings.points")
    with late(page):  # each is found again though none has been answered
        two, three = ("ArrowLeft", "ArrowLeft", "Enter"), ("ArrowUp", "ArrowUp", "Enter")
        press_at_once(page.locator(".pg-plot").first, *two, *three, "Delete", "ArrowDown", "ArrowDown", "Delete")
    assert kernel(page, "view.settings.points") == points
    action(page, "clear-points").click()
    eventually(page, "len(view.settings.points)", 2)


# Two runs, strings, code


def test_two_runs_side_by_side_with_one_setting_changed(page):
    action(page, "compare").click()
    until(page, "v => v.runs === 2 && v.active === 1")
    fill(page, "lr", "0.5")
    eventually(page, "[p.trainer.lr for p in view.players]", [0.03, 0.5])
    expect(page.locator(".pg-differ")).to_contain_text("One setting differs")
    assert kernel(page, "torch.equal(*(next(p.trainer.model.parameters()) for p in view.players))") == "True"
    action(page, "play").click()
    until(page, "v => v.step > 100")
    action(page, "play").click()
    until(page, "v => v.status === 'paused'")
    expect(page.locator("[data-plane]:visible")).to_have_count(3)
    expect(page.locator(".labkit-view")).to_contain_text("A − B, up to ±")
    until(page, "v => v.runs === 2")
    epochs = json.loads(kernel(page, "print([p.trainer.epoch for p in view.players])"))
    assert abs(epochs[0] - epochs[1]) <= 1.04  # each was paused after its step in progress
    named(page, "^A\\b").first.click()
    until(page, "v => v.active === 0")
    assert kernel(page, "view.settings.lr") == "0.03"


def test_the_string_goes_round_and_wrong_ones_are_refused(page):
    page.locator("[data-set=xor]").click()
    named(page, "^One unit more in hidden layer 1").click()
    eventually(page, "view.settings.data, view.settings.widths", ("xor", (5, 2)))
    action(page, "share").click()
    own = page.get_by_label("This playground as a string")
    expect(own).to_have_value(re.compile(r"^playground1\?data=xor&widths=5,2#"))
    text = own.input_value()
    kernel(page, "view.change(data='gauss', widths=(1,))")
    field = page.get_by_label("A string to load")

    def paste(value):
        field.fill(value)
        action(page, "paste").click()

    notice = page.locator(".lk-notice").first
    wrong = {
        text[:-3]: "Copy all of it",
        text.replace("5,2", "5,3"): "changed or cut",
        text.replace("playground1", "playground0"): "an older lab",
        "<img src=x onerror=alert(1)>": "Expected a string such as",
        "playground1?" + "widths=9" * 20000 + "#00000000": "characters",
    }
    for value, word in wrong.items():
        paste(value)
        expect(notice).to_contain_text(word)
        assert kernel(page, "view.settings.data") == "'gauss'"
    paste(text)
    eventually(page, "view.settings.data, view.settings.widths", ("xor", (5, 2)))
    expect(notice).to_be_hidden()


def test_the_shown_code_makes_the_same_weights_in_50_epochs(page):
    page.locator("[data-set=spiral]").click()
    choose(page, "optimizer", "adam")
    eventually(page, "view.settings.data, view.settings.optimizer", ("spiral", "adam"))
    action(page, "code").click()
    shown = page.locator(".pg-code")
    expect(shown).to_contain_text("torch.optim.Adam")
    program = shown.inner_text()
    kernel(page, f"names = {{}}\nexec({program!r}, names)")
    kernel(page, "view.wait(epochs=50)")
    mine, theirs = FLAT.format("view.model"), FLAT.format("names['model']")
    assert kernel(page, f"{mine} == {theirs}") == "True"


# Keys, ends, sizes


def test_the_keyboard_does_it_and_no_cell_is_edited(page):
    cells = page.evaluate("() => jupyterapp.shell.currentWidget.content.widgets.length")
    action(page, "play").focus()
    for key, condition in (
        ("Space", "v => v.status === 'playing' && v.step > 0"),
        ("Space", "v => v.status === 'paused'"),
        ("Home", "v => v.shown === 0"),
        ("End", "v => v.following"),
        ("r", "v => v.step === 0"),
        ("ArrowRight", "v => v.step === 25"),
        ("c", "v => v.runs === 2"),
        ("c", "v => v.runs === 1"),
    ):
        page.keyboard.press(key)
        until(page, condition)
    with late(page):  # the second of each takes back the first
        press_at_once(page.locator(".lk-title").first, "c", "c", "s", "s", " ", " ")
    assert kernel(page, "view.player.status, len(view.players), view._micro") == "('paused', 1, False)"
    page.locator(".lk-net-canvas").focus()
    page.keyboard.press("ArrowRight")
    until(page, "v => v.selected")
    page.keyboard.press("Enter")
    until(page, "v => v.selected?.pinned")
    page.keyboard.press("Escape")
    for key in "abmxzdd00":  # JupyterLab's own keys, which cut, delete and insert cells
        page.keyboard.press(key)
    assert page.evaluate("() => jupyterapp.shell.currentWidget.content.widgets.length") == cells


def test_running_the_cell_again_stops_the_former_run(page):
    kernel(page, "former = view.player")
    action(page, "play").click()
    until(page, "v => v.status === 'playing'")
    run_cell(page, 0)
    until(page, "v => v.step === 0 && v.frames > 0")
    eventually(page, "former.status, former is view.player", ("paused", False))


def test_a_playground_whose_kernel_is_gone_says_so(page, tab):
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(page.locator(".lk-notice").first).to_contain_text("kernel")
    expect(action(page, "play")).to_be_disabled()
    tab.console.clear()  # JupyterLab says there that nobody listens to the message


OUTSIDE = """() => ['button', 'input', 'select', 'canvas']
    .flatMap(kind => [...document.querySelectorAll(`.labkit-view ${kind}`)]).filter(e => e.offsetParent)
    .map(e => [e, e.getBoundingClientRect(), e.closest('.labkit-view').getBoundingClientRect()])
    .filter(([e, a, b]) => a.left < b.left - 1 || a.right > b.right + 1 || (a.height < 14 && e.tagName !== 'CANVAS'))
    .map(([e]) => e.outerHTML)"""
LARGEST = "widths=(16,) * 8, features=labkit.playground.settings.FEATURES, classes=6"


@pytest.mark.parametrize("tab", [{"width": width, "dark": True} for width in (1400, 900, 500)], indirect=True)
def test_nothing_is_cut_off(make, tab):
    page = make()
    for change in ("", f"view.change({LARGEST})", "view.compare(lr=1)"):
        frames = page.evaluate(STATE)["frames"]
        if change:
            kernel(page, change)
            until(page, f"v => v.frames > {frames}")
        over = page.evaluate(
            "() => { const v = document.querySelector('.labkit-view'); return v.scrollWidth - v.clientWidth; }"
        )
        assert over <= 0
        assert page.evaluate(OUTSIDE) == []
