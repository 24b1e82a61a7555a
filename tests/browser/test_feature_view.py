"""FeatureView in a real JupyterLab: walked, scrubbed over training, a unit switched off; then the kernel is asked."""

import json

import pytest
from playwright.sync_api import expect

from labkit.bench.jupyter import kernel, late, press_at_once, run_all

# A small net, so that all is computed at once; its training's checkpoints are the zoo's kind, {step: model}.
MAKE = """
import json
import labkit
import labkit.widgets.features as of_features
of_features.STEPS = 16
ds = labkit.data.objects(60, 32)
trainer = labkit.train.Trainer(labkit.models.TinyVGG((3, 32, 32), 10, (4, 8)), ds, device="cpu", batch_size=20)
import copy
checkpoints = {0: copy.deepcopy(trainer.model)}
for _ in range(6):
    trainer.step()
checkpoints[6] = copy.deepcopy(trainer.model)
"""
SHOW = "view = labkit.widgets.FeatureView(checkpoints[6], ds, checkpoints=checkpoints)\nview"


@pytest.fixture
def page(open_notebook):
    page = open_notebook(cells=[MAKE, SHOW])
    run_all(page)
    settled(page)
    return page


def until(page, condition):
    page.wait_for_function(
        "() => { const v = document.querySelector('.labkit-view[data-view=features]')?.labkit;"
        f" return v && ({condition})(v); }}"
    )


def settled(page, condition="() => true"):
    until(page, f"v => v.content && v.formed !== null && v.doing === '' && ({condition})(v)")


def asked(page, expression):
    return json.loads(kernel(page, f"print(json.dumps({expression}))"))


def pixels(page, selector):
    return page.evaluate(
        """s => { const c = document.querySelector(s), d = c.getContext('2d').getImageData(0, 0, c.width, c.height);
        return [c.width, c.height, [...d.data].filter((_, i) => i % 4 !== 3)]; }""",
        selector,
    )


def test_the_wall_shows_what_python_computed(page):
    images = asked(page, "view._frame()[1]['wall.image'].tolist()")
    for unit in (0, 7):
        width, height, seen = pixels(page, f".fv-tile[data-unit='{unit}'] canvas")
        assert [len(images[unit]), len(images[unit][0])] == [height, width]
        assert seen == [value for row in images[unit] for place in row for value in place]
    page.get_by_role("button", name="Found in the data").click()
    until(page, "v => v.kind === false")
    patch = asked(page, "view._frame()[1]['wall.patch'][3].tolist()")
    assert pixels(page, ".fv-tile[data-unit='3'] canvas")[2] == [v for row in patch for place in row for v in place]
    expect(page.locator(".fv-what")).to_contain_text("of 60 of 60 pictures")
    expect(page.locator(".lk-title")).to_have_text(asked(page, "view._finding()"))


def test_by_keys_to_a_unit_down_its_weights_and_back(page):
    page.locator(".fv-tile[data-unit='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    until(page, "v => v.unit === 2 && v.patches === 12 && v.boxes")
    unit = asked(page, "view._frame()[0]['unit']")
    top = page.locator(".fv-patch").first
    expect(top.locator("b")).to_have_text(unit["patches"][0][1])
    upper, left, lower, right = unit["patches"][0][3]
    box, frame = top.locator(".fv-box").bounding_box(), top.locator(".fv-frame").bounding_box()
    assert box["height"] / frame["height"] == pytest.approx((min(32, lower) - max(0, upper)) / 32, abs=0.05)
    assert (box["x"] - frame["x"]) / frame["width"] == pytest.approx(max(0, left) / 32, abs=0.05)
    went = unit["incoming"][0]
    page.locator(".fv-way[data-way=incoming] .fv-go").first.click()
    settled(page, f"v => v.layer === '{went['layer']}' && v.unit === {went['unit']}")
    with late(page):
        page.get_by_role("button", name="Next unit").dblclick()
        page.get_by_role("button", name="Previous unit").dblclick()
    settled(page, f"v => v.layer === '{went['layer']}' && v.unit === {went['unit']}")
    expect(page.locator(".fv-name")).to_have_text(f"{went['layer']} › unit {went['unit']}")
    page.locator(".fv-way[data-way=outgoing] .fv-go").first.focus()
    page.keyboard.press("Escape")
    until(page, "v => v.unit === null")
    expect(page.locator(f".fv-tile[data-unit='{went['unit']}']")).to_be_visible()


def test_over_training_with_the_untrained_net_as_control(page):
    trained = pixels(page, ".fv-tile[data-unit='1'] canvas")
    page.locator(".fv-wall").get_by_role("button").first.focus()
    page.keyboard.press("[")
    settled(page, "v => v.step === 0")
    assert pixels(page, ".fv-tile[data-unit='1'] canvas") != trained
    expect(page.locator(".fv-time .lk-where")).to_contain_text("untrained")
    page.get_by_label("Step of the training").fill("1")
    settled(page, "v => v.step === 6")
    assert pixels(page, ".fv-tile[data-unit='1'] canvas") == trained
    with late(page):  # there and back: each key goes on from the one before
        press_at_once(page.locator(".fv-wall").get_by_role("button").first, "[", "]")
        expect(page.get_by_label("Step of the training")).to_have_value("1")
    settled(page, "v => v.step === 6")
    page.locator(".fv-tile[data-unit='1']").click()
    until(page, "v => v.unit === 1")
    parts = asked(page, "view._frame()[0]['unit']['parts']")
    expect(page.locator(".fv-iou")).to_have_count(len(parts))
    assert all(control is not None for _, _, control in parts)


def test_a_unit_is_switched_off_and_on(page):
    page.locator(".fv-tile[data-unit='5']").click()
    until(page, "v => v.unit === 5")
    with late(page):
        press_at_once(page.locator(".fv-name"), "o", "o", "o")  # off, on, off
    until(page, "v => v.off === 1 && v.before === 10")
    found = asked(page, "{k: view._ablation[k].tolist() for k in ('before', 'after')}".replace("'", '"'))
    changes = sorted(b - a for a, b in zip(found["before"], found["after"], strict=True) if a == a)
    rows = page.locator(".fv-loss")
    expect(rows).to_have_count(len(changes))
    kind = "less" if changes[0] < 0 else "more" if changes[0] > 0 else "same"
    expect(rows.first).to_have_attribute("data-change", kind)
    page.get_by_role("button", name="Switch all on again").click()
    until(page, "v => v.off === 0")
    assert asked(page, "view._off") == {}


@pytest.mark.parametrize("tab", [{"width": w, "dark": d} for w, d in ((1400, 0), (480, 1))], indirect=True)
def test_nothing_is_cut_off(page):
    for unit in (None, 4):
        kernel(page, f"view.look_at(unit={unit})" + ("" if unit is None else f"; view.switch_off(view._layer, {unit})"))
        until(
            page, f"v => v.unit === {'null' if unit is None else unit}" + ("" if unit is None else " && v.before > 0")
        )
        wrong = page.evaluate(
            """() => { const v = document.querySelector('.labkit-view'), b = v.getBoundingClientRect();
            const seen = [...v.querySelectorAll('*')].filter(e => !e.closest('.lk-hidden, [hidden]'));
            const over = seen.map(e => [e, e.getBoundingClientRect()])
                .filter(([, a]) => a.width && (a.left < b.left - 1 || a.right > b.right + 1));
            const small = seen.filter(e => e.matches('button, input') && e.getBoundingClientRect().height < 23);
            return [...over.map(([e]) => e), ...small].map(e => e.outerHTML.slice(0, 120)); }"""
        )
        assert wrong == []
