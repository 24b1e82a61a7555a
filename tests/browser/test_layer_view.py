"""LayerView in a real JupyterLab: opened, read, altered, painted on, swept and trained; then the kernel is asked."""

import io
import json

import pytest
from PIL import Image
from playwright.sync_api import expect

from labkit.bench.jupyter import kernel, late, press_at_once, run_all

MAKE = """
import json
import labkit
from labkit.train import probes
ds = labkit.data.objects(n=5, size=32, seed=0)
model = labkit.models.TinyVGG((3, 32, 32), len(ds.classes), (4, 8), seed=1).eval()
"""
SHOW = "view = labkit.widgets.LayerView(model, ds)\nview"
PLAYER = """
import labkit
from labkit.train import probes
train, test = labkit.data.digits().split()
trainer = labkit.train.Trainer(labkit.models.LeNet(), train, test, device="cpu")
player = labkit.train.Player(trainer, probes={"state": probes.state()}, frame_every=5)
player.wait(steps=20)
"""


@pytest.fixture
def page(open_notebook):
    page = open_notebook(cells=[MAKE, SHOW])
    run_all(page)
    until(page, "v => v.frames > 0 && v.fields")
    return page


def until(page, condition):
    page.wait_for_function(
        "() => { const v = document.querySelector('.labkit-view[data-view=layer]')?.labkit;"
        f" return v && ({condition})(v); }}"
    )


def state(page):
    return page.evaluate("() => document.querySelector('.labkit-view[data-view=layer]').labkit")


def asked(page, expression):
    return json.loads(kernel(page, f"print(json.dumps({expression}))"))


def over(page, element, row, column, rows, columns):
    """Point at a place of a map."""
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    page.mouse.move(box["x"] + box["width"] * (column + 0.5) / columns, box["y"] + box["height"] * (row + 0.5) / rows)


def test_from_the_network_to_one_value_and_back(page):
    view = page.locator(".labkit-view")
    expect(view.locator(".ly-column")).to_have_count(16)
    page.get_by_role("button", name="conv2_1", exact=False).first.click()
    until(page, "v => v.page === 'layer' && v.layer === 'conv2_1'")
    expect(view.locator(".ly-tile")).to_have_count(8)
    expect(view.locator(".ly-wall .ly-what")).to_contain_text("Conv2d (4, 8, kernel_size=(3, 3)")
    view.locator(".ly-tile").nth(5).click()
    until(page, "v => v.page === 'unit' && v.unit === 5")
    view.get_by_role("button", name="channel 2").click()  # down to what it is made of
    until(page, "v => v.layer === 'pool1' && v.unit === 2")
    view.get_by_role("button", name="pool1").click()
    until(page, "v => v.page === 'layer' && v.layer === 'pool1'")
    page.keyboard.press("Escape")
    until(page, "v => v.page === 'network'")
    first = view.locator(".ly-head").first
    first.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    until(page, "v => v.page === 'unit' && v.layer === 'norm1_1' && v.unit === 1")
    expect(view.locator(".ly-plot")).to_be_focused()
    before = state(page)["place"]
    page.keyboard.press("ArrowRight" if before[1] < 31 else "ArrowLeft")
    page.keyboard.press("Enter")
    until(page, "v => v.pinned && v.measured")
    row, column = state(page)["pinned"]
    assert abs(column - before[1]) == 1 and row == before[0]
    expect(view.locator(".ly-pinned")).to_contain_text(
        kernel(page, "print(view.explanation.text.splitlines()[0])").strip()
    )
    with late(
        page
    ):  # each goes on from the one before: pinned elsewhere, let go, the next unit but one, up to the layer
        press_at_once(view.locator(".ly-plot"), "ArrowDown", "Enter", "Escape")
        for name in ("Next unit", "Next unit"):
            view.get_by_role("button", name=name).click()
    until(page, "v => v.page === 'unit' && v.unit === 3 && !v.pinned")
    assert kernel(page, "view._opened, view._pinned") == "(('norm1_1', 3), None)"
    for page_ in ("layer", "network"):
        page.keyboard.press("Escape")
        until(page, f"v => v.page === '{page_}'")
    view.locator(".ly-unit").first.click()
    until(page, "v => v.page === 'unit'")
    with late(page):
        press_at_once(view.locator(".ly-plot"), "Escape", "Escape")
    until(page, "v => v.page === 'network'")
    view.locator(".ly-unit").first.click()
    until(page, "v => v.page === 'unit'")
    box = view.locator(".ly-actions").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 4, box["y"] + 8)  # beside what is open
    until(page, "v => v.page === 'layer'")


def test_what_is_pointed_at_is_what_python_computes(page):
    view = page.locator(".labkit-view")
    kernel(page, "view.show('conv2_1', 5)")
    until(page, "v => v.page === 'unit'")
    plot = view.locator(".ly-plot")
    view.locator(".ly-row").first.hover()  # its channel is written out
    channel = asked(page, "view._shown[0]['unit']['channels'][0]")
    for row, column in ((0, 0), (7, 9)):
        over(page, plot, row, column, 16, 16)
        until(page, f"v => v.place[0] === {row} && v.place[1] === {column}")
        shown = state(page)
        made = f"labkit.activations.explain_value(model, view.picture, 'conv2_1', (0, 5, {row}, {column}))"
        assert shown["sum"]["total"] == pytest.approx(asked(page, f"{made}.value"), abs=1e-5)
        own = asked(page, f"sum(t.product for t in {made}.terms if t.label.startswith('w[5,{channel},'))")
        assert shown["sum"]["channel_sum"] == pytest.approx(own, abs=1e-5)
        field = f"labkit.activations.receptive_field(model, view.picture, 'conv2_1', ({row}, {column}))"
        assert [shown["box"][side] for side in ("top", "left", "bottom", "right")] == asked(page, f"{field}.box")
    over(page, view.locator(".ly-in").first, 0, 5, 16, 16)  # a corner pixel goes to fewer places
    until(page, "v => v.reached === 6")
    over(page, view.locator(".ly-in").first, 5, 5, 16, 16)
    until(page, "v => v.reached === 9")
    plot.click(position={"x": 60, "y": 60})
    until(page, "v => v.measured && v.pinned")
    place = state(page)["pinned"]
    assert asked(page, "view.measured.position") == place
    expect(view.locator(".ly-heat")).to_be_visible()
    kernel(page, "view.show()")
    until(page, "v => v.page === 'network'")
    over(page, view.locator(".ly-paper"), 3, 30, 32, 32)
    until(page, "v => v.pixel && v.pixel[0] === 3 && v.pixel[1] === 30")
    assert view.locator(".ly-unit .ly-mark:visible").count() > 20


def test_a_unit_is_switched_off_and_scaled_and_the_scores_follow(page):
    view = page.locator(".labkit-view")
    kernel(page, "view.show('relu1_2', 1)")
    until(page, "v => v.page === 'unit'")
    plain = state(page)["scores"]
    with late(page):
        view.get_by_role("button", name="Switch off").dblclick()  # off and on again
    assert asked(page, "view._factors") == {}
    view.get_by_role("button", name="Switch off").click()
    until(page, "v => v.altered.length === 1 && v.before.length === 10")
    shown = state(page)
    assert shown["altered"] == [["relu1_2", 1, 0]] and shown["before"] == pytest.approx(plain, abs=1e-6)
    assert shown["scores"] == pytest.approx(asked(page, "view.probabilities.tolist()"), abs=1e-6)
    assert shown["scores"] != pytest.approx(plain, abs=1e-4)
    expect(view.locator(".ly-changed")).to_contain_text("relu1_2 unit 1 off")
    view.get_by_label("Multiply the unit by").fill("2.5")
    until(page, "v => v.altered[0]?.[2] === 2.5")
    assert kernel(page, "print(any(m._forward_hooks for m in model.modules()))").strip() == "False"
    view.get_by_role("button", name="Undo all").click()
    until(page, "v => v.altered.length === 0 && v.before.length === 0")
    assert state(page)["scores"] == pytest.approx(plain, abs=1e-6)


def test_the_picture_is_changed_painted_on_and_brought(page):
    view = page.locator(".labkit-view")
    with late(page):
        view.get_by_role("button", name="Next picture").dblclick()
        press_at_once(view.locator(".lk-sub"), ",")
    until(page, "v => v.index === 1")
    view.get_by_label("Number of the picture").fill("4")
    view.get_by_label("Number of the picture").press("Enter")
    until(page, "v => v.index === 3")
    assert kernel(page, "print(bool((view.picture[0] == ds.inputs[3]).all()))").strip() == "True"
    plain = state(page)["scores"]
    paper = view.locator(".ly-paper")
    view.get_by_role("button", name="Paint").click()
    over(page, paper, 16, 4, 32, 32)
    page.mouse.down()
    over(page, paper, 16, 28, 32, 32)
    page.mouse.up()
    until(page, "v => v.painted")
    assert asked(page, "view.picture[0, :, 16, 16].tolist()") == pytest.approx([0xD2 / 255, 0x2F / 255, 0x27 / 255])
    assert state(page)["scores"] == pytest.approx(asked(page, "view.probabilities.tolist()"), abs=1e-6)
    view.get_by_role("button", name="Undo all").click()
    until(page, "v => !v.painted")
    assert state(page)["scores"] == pytest.approx(plain, abs=1e-6)
    data = io.BytesIO()
    Image.new("RGB", (64, 40), (10, 200, 30)).save(data, format="PNG")
    view.locator("input[type=file]").set_input_files(
        {"name": "green.png", "mimeType": "image/png", "buffer": data.getvalue()}
    )
    until(page, "v => v.brought")
    assert asked(page, "view.picture[0, :, 9, 9].tolist()") == pytest.approx([10 / 255, 200 / 255, 30 / 255], abs=0.01)
    view.locator("input[type=file]").set_input_files(
        {"name": "words.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    )
    expect(view.locator(".ly-given .lk-note")).to_contain_text("words.txt could not be read")


@pytest.mark.parametrize("tab", [{}, {"reduced_motion": True}], indirect=True)
def test_the_window_sweeps_over_the_picture(page):
    view = page.locator(".labkit-view")
    kernel(page, "view.show('pool2', 0)")
    until(page, "v => v.page === 'unit'")
    calm = page.evaluate("() => matchMedia('(prefers-reduced-motion: reduce)').matches")
    if calm:
        view.get_by_role("button", name="Step").click()
        until(page, "v => v.sweep.at === 0 && !v.sweep.playing")
        view.get_by_role("button", name="Step").click()
        until(page, "v => v.sweep.at === 1 && v.place[1] === 1")
        return
    view.get_by_label("Speed of the sweep").select_option("8")
    view.get_by_role("button", name="Sweep").click()
    until(page, "v => v.sweep.playing && v.sweep.at > 1")
    view.get_by_role("button", name="Pause").click()
    until(page, "v => !v.sweep.playing")
    view.get_by_label("Place of the window").fill("19")
    until(page, "v => v.sweep.at === 19 && v.place[0] === 2 && v.place[1] === 3")
    view.get_by_label("Speed of the sweep").select_option("512")
    view.get_by_role("button", name="Sweep").click()
    until(page, "v => !v.sweep.playing && v.sweep.at === 63")


def test_follows_training_and_scrubs(open_notebook):
    page = open_notebook(cells=[PLAYER, "view = labkit.widgets.LayerView(player)\nview"])
    run_all(page)
    until(page, "v => v.frame_step === 20")
    page.get_by_label("Step shown", exact=True).fill("10")
    until(page, "v => v.frame_step >= 9 && v.frame_step <= 10")
    shown = state(page)
    assert shown["scores"] == pytest.approx(asked_now(page, "view.probabilities.tolist()"), abs=1e-6)
    page.get_by_role("button", name="Play").click()
    until(page, "v => v.status === 'playing' && v.frame_step > 30")
    page.get_by_role("button", name="Pause").click()
    until(page, "v => v.status === 'paused' && v.frame_step === v.step")
    assert state(page)["scores"] == pytest.approx(asked_now(page, "view.probabilities.tolist()"), abs=1e-6)


def asked_now(page, expression):
    return json.loads(kernel(page, f"import json; view._beside.wait(); print(json.dumps({expression}))"))


@pytest.mark.parametrize("tab", [{"width": w, "dark": d} for w, d in ((1400, 0), (480, 1))], indirect=True)
def test_nothing_is_cut_off(page):
    for opened in ("", "'conv1_2'", "'conv1_2', 3", "'flatten', 40", "'output', 2"):
        kernel(page, f"view.show({opened})")
        where = "unit" if "," in opened else "layer" if opened else "network"
        until(page, f"v => v.page === '{where}' && v.layer === {opened.split(',')[0] or 'null'}")
        over_, wide = page.evaluate(
            "() => { const v = document.querySelector('.labkit-view');"
            " return [v.scrollWidth - v.clientWidth, v.clientWidth]; }"
        )
        assert over_ <= 0 and wide > 250, opened
        outside = page.evaluate(
            """() => { const v = document.querySelector('.labkit-view'), b = v.getBoundingClientRect();
            return [...v.querySelectorAll('*')].filter(e => e.offsetParent && !e.closest('.ly-scroll, .lk-hidden'))
                .map(e => [e, e.getBoundingClientRect()])
                .filter(([, a]) => a.width && (a.left < b.left - 1 || a.right > b.right + 1))
                .map(([e]) => e.outerHTML.slice(0, 120)); }"""
        )
        assert outside == [], opened
