"""SaliencyView in a real JupyterLab: a picture changed by hand and by keys; then the kernel is asked what it has."""

import json

import pytest
from playwright.sync_api import expect

from labkit.bench.jupyter import kernel, late, press_at_once, run_all

MAKE = """
import json
import labkit
ds = labkit.data.objects(12, 32)
model = labkit.models.TinyVGG((3, 32, 32), 10, (4, 6)).eval()
"""
SHOW = "view = labkit.widgets.SaliencyView(model, ds, ['gradient', 'grad_cam', 'occlusion'])\nview"


@pytest.fixture
def page(open_notebook):
    page = open_notebook(cells=[MAKE, SHOW])
    run_all(page)
    settled(page)
    return page


def until(page, condition):
    page.wait_for_function(
        "() => { const v = document.querySelector('.labkit-view[data-view=saliency]')?.labkit;"
        f" return v && ({condition})(v); }}"
    )


def settled(page, condition="() => true"):
    until(page, f"v => v.content && v.settled && v.doing === '' && ({condition})(v)")


def asked(page, expression):
    return json.loads(kernel(page, f"print(json.dumps({expression}))"))


def pixels(page, method):
    return page.evaluate(
        """method => { const c = document.querySelector(`.sal-tile[data-method=${method}] .sal-half:last-child canvas`);
        return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; }""",
        method,
    )


def test_by_hand_and_by_keys_all_follows(page):
    before = {method: pixels(page, method) for method in ("gradient", "occlusion")}
    box = page.locator(".sal-paper").bounding_box()
    at = [(box["x"] + part * box["width"], box["y"] + 0.5 * box["height"]) for part in (0.3, 0.45, 0.6)]
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1])
    page.mouse.move(*at[2])
    page.mouse.up()
    settled(page, "v => v.edits === 1")
    found = asked(page, "[[s.tool, s.points.tolist()] for s in view._scene.strokes]")
    assert found[0][0] == "erase" and found[0][1][0] == pytest.approx([0.3, 0.5], abs=0.02)
    assert found[0][1][-1] == pytest.approx([0.6, 0.5], abs=0.02)
    for method, earlier in before.items():
        assert pixels(page, method) != earlier
    tile = page.locator(".sal-tile[data-method=gradient]")
    mass = asked(page, "view.scores['gradient']['mass']")
    shown = tile.locator("[data-score=mass] .sal-value").inner_text()
    assert float(shown.replace("\u2212", "-")) == pytest.approx(mass, rel=0.01)

    # Keys faster than any answer: what lies under the brush is laid 8 pixels up, and then all is taken back.
    paper = page.locator(".sal-paper")
    paper.focus()
    page.keyboard.press("m")
    with late(page):
        press_at_once(paper, " ", "Shift+ArrowUp", " ", "u", "u")
    settled(page, "v => v.edits === 0")
    assert asked(page, "bool((view.picture == ds.inputs[:1]).all())")
    page.keyboard.press("e")
    with late(page):
        press_at_once(paper, "n", "n", "n", "p", "s", "s", "s", " ", "ArrowRight", " ")
    settled(page, "v => v.edits === 1 && v.settings.index === 2 && v.settings.signed === false")
    assert asked(page, "[view._scene.index, len(view._scene.strokes[0].points)]") == [2, 2]


def test_a_method_from_near_the_difference_of_two_classes_and_every_way_to_look(page):
    tile = page.locator(".sal-tile[data-method=gradient]")
    tile.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    settled(page, "v => v.opened === 'grad_cam'")
    expect(page.locator(".sal-detail h4")).to_be_focused()
    expect(page.locator(".sal-about").first).to_contain_text(asked(page, "labkit.saliency.METHODS['grad_cam'].formula"))
    expect(page.locator(".sal-score")).to_have_count(6)  # with deletion and insertion
    page.get_by_label("and not", exact=True).select_option("3")
    page.get_by_label("CAM layer").select_option(index=1)
    settled(page, "v => v.settings.against === 3 && v.settings.layer !== null")
    layer = asked(page, "view._layers[0]")
    expect(page.locator(".sal-code")).to_contain_text(f'layer="{layer}", against=3')
    seen = [pixels(page, "gradient")]
    for way in ("map", "contour", "overlay"):
        page.get_by_label("Show", exact=True).select_option(way)
        until(page, f"v => v.mode === '{way}'")
        seen.append(pixels(page, "gradient"))
    assert seen[1] != seen[0] and seen[2] not in seen[:2] and seen[3] == seen[0]
    page.locator(".sal-detail h4").focus()
    page.keyboard.press("Escape")
    until(page, "v => v.opened === null")
    expect(page.locator(".sal-tile[data-method=grad_cam]")).to_be_focused()
    page.get_by_label("Slow ones by themselves").uncheck()
    page.locator("[data-action=next]").click()
    settled(page, "v => v.settings.index === 1")
    expect(page.locator(".sal-tile[data-method=occlusion] .sal-status")).to_have_text("On request")
    page.locator(".sal-tile[data-method=occlusion]").click()
    page.get_by_role("button", name="Compute it").click()
    settled(page, "v => v.fresh === 6")


@pytest.mark.parametrize("tab", [{"width": w, "dark": d} for w, d in ((1400, 0), (400, 1))], indirect=True)
def test_nothing_is_cut_off(page):
    for method in ("None", "'occlusion'"):
        kernel(page, f"view.show({method})")
        settled(page, f"v => v.opened === {'null' if method == 'None' else method}")
        wrong = page.evaluate(
            """() => { const v = document.querySelector('.labkit-view'), b = v.getBoundingClientRect();
            const seen = [...v.querySelectorAll('*')].filter(e => !e.closest('.lk-hidden, [hidden], .sal-layer'));
            const over = seen.map(e => [e, e.getBoundingClientRect()])
                .filter(([, a]) => a.width && (a.left < b.left - 1 || a.right > b.right + 1));
            const small = seen.filter(e => e.matches('button, select') && e.getBoundingClientRect().height < 23);
            return [...over.map(([e]) => e), ...small].map(e => e.outerHTML.slice(0, 120)); }"""
        )
        assert wrong == []
