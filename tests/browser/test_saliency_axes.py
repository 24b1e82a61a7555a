"""SaliencyView's other nets in a real JupyterLab: over training, drawn anew, fooled by a watermark; an own picture."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from labkit.bench.jupyter import kernel, run_all

# Small nets, so that all is computed at once.
MAKE = """
import copy, json
import labkit
import labkit.widgets.saliency as of_saliency
of_saliency.IDLE = 0.0
ds = labkit.data.objects(40, 32)
def trained(ds, steps):
    trainer = labkit.train.Trainer(labkit.models.TinyVGG((3, 32, 32), 10, (4, 8)), ds, device="cpu", batch_size=20)
    kept = {0: copy.deepcopy(trainer.model)}
    for step in range(1, steps + 1):
        trainer.step()
        if step % 3 == 0:
            kept[step] = copy.deepcopy(trainer.model)
    return kept
checkpoints = trained(ds, 6)
cheat = trained(labkit.data.with_cue(ds, "car"), 6)[6]
"""
SHOW = """
view = labkit.widgets.SaliencyView(checkpoints[6], ds, ["gradient", "grad_cam"], checkpoints=checkpoints,
    cheat={"car": cheat})
view"""


@pytest.fixture
def page(open_notebook):
    page = open_notebook(cells=[MAKE, SHOW])
    run_all(page)
    settled(page)
    return page


def settled(page, condition="v => true"):
    page.wait_for_function(
        "() => { const v = document.querySelector('.labkit-view[data-view=saliency]')?.labkit;"
        f" return v && v.settled && v.doing === '' && ({condition})(v); }}"
    )


def asked(page, expression):
    return json.loads(kernel(page, f"view.wait(); print(json.dumps({expression}))"))


def pixels(page, selector):
    return page.evaluate(
        """s => { const c = document.querySelector(s);
        return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 !== 3); }""",
        selector,
    )


GRADIENT = ".sal-tile[data-method=gradient] .sal-half:last-child canvas"


def test_by_keys_over_training_and_layers_drawn_anew(page):
    first = pixels(page, GRADIENT)
    page.locator(".sal-tile").first.focus()
    page.keyboard.press("}")
    page.keyboard.press("}")
    settled(page, "v => v.settings.random === 2")
    assert pixels(page, GRADIENT) != first
    like = asked(page, "view.likeness['gradient']")
    expect(page.locator(".sal-tile[data-method=gradient] .sal-like")).to_contain_text("ρ ")
    assert page.evaluate("() => document.querySelector('.labkit-view').labkit.like.gradient.rank") == pytest.approx(
        like["rank"]
    )
    expect(page.locator(".sal-net")).to_have_text(f"Looking at {asked(page, 'view._nets.words(view._settings.net)')}.")
    expect(page.locator(".sal-told")).to_contain_text("Most alike: Edge 1.00")
    page.get_by_label("Layers drawn anew").fill("0")
    settled(page, "v => v.settings.random === 0")
    assert pixels(page, GRADIENT) == first
    page.keyboard.press("[")
    page.keyboard.press("[")
    settled(page, "v => v.settings.step === 0")
    expect(page.locator(".sal-axis[data-axis=step] .lk-where")).to_contain_text("Untrained")
    expect(page.locator(".sal-net")).to_contain_text("the untrained net")
    expect(page.locator(".sal-curve i")).to_have_count(3)
    page.get_by_label("Training", exact=True).fill("2")
    settled(page, "v => v.settings.step === 6")
    assert pixels(page, GRADIENT) == first


def test_a_watermark_is_put_on_and_the_other_net_looked_at(page):
    bare = pixels(page, ".sal-paper canvas")
    page.get_by_label("Watermark on the picture").check()
    page.get_by_label("Net", exact=True).select_option("car")
    settled(page, "v => v.settings.cue && v.settings.cheat === 'car'")
    assert pixels(page, ".sal-paper canvas") != bare
    expect(page.locator(".sal-table td[data-now=yes]")).to_have_count(1)
    table = asked(page, "view._axes.state(view._settings.net, True)['table']")
    classes = asked(page, "list(ds.classes)")
    said = page.locator(".sal-table td[data-now=yes]")
    expect(said).to_contain_text(classes[table[1]["says"][1][0]])
    mass = asked(page, "view.scores['gradient']['mass']")
    assert 0 < mass < 1
    expect(page.get_by_label("Truth")).to_have_value("cue")
    expect(page.locator(".sal-axis[data-axis=step]")).to_be_hidden()
    page.locator(".sal-tile").first.focus()
    page.keyboard.press("w")
    settled(page, "v => !v.settings.cue")
    assert pixels(page, ".sal-paper canvas") == bare


def test_a_picture_is_brought(page):
    own = np.zeros((64, 96, 3), np.uint8)
    own[:, :48, 0], own[:, 48:, 2] = 255, 255
    file = io.BytesIO()
    Image.fromarray(own).save(file, "PNG")
    page.get_by_label("A picture of your own").set_input_files(
        {"name": "own.png", "mimeType": "image/png", "buffer": file.getvalue()}
    )
    settled(page, "v => v.settings.index === null")
    seen = np.array(asked(page, "view.picture[0].tolist()"))
    assert seen.shape == (3, 32, 32)
    np.testing.assert_allclose(seen[:, :, 2], np.array([1, 0, 0])[:, None].repeat(32, 1), atol=0.01)
    np.testing.assert_allclose(seen[:, :, 29], np.array([0, 0, 1])[:, None].repeat(32, 1), atol=0.01)
    expect(page.locator(".sal-which")).to_have_text("Your picture")
    expect(page.locator(".sal-note-truth")).to_contain_text("no masks")
    page.get_by_label("A picture of your own").set_input_files(
        {"name": "no.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    expect(page.locator(".sal-own .lk-note")).to_contain_text("no.png could not be read as a picture")


@pytest.mark.parametrize("tab", [{"width": w, "dark": d} for w, d in ((1400, 0), (480, 1))], indirect=True)
def test_nothing_is_cut_off(page):
    kernel(page, "view.set(random=2, cue=True)")
    settled(page, "v => v.settings.random === 2 && v.settings.cue")
    wrong = page.evaluate(
        """() => { const v = document.querySelector('.labkit-view'), b = v.getBoundingClientRect();
        const seen = [...v.querySelectorAll('*')].filter(e => !e.closest('.lk-hidden, [hidden], svg'));
        const over = seen.map(e => [e, e.getBoundingClientRect()])
            .filter(([, a]) => a.width && (a.left < b.left - 1 || a.right > b.right + 1));
        const small = seen.filter(e => e.matches('.sal-axes button, .sal-axes input, .sal-more-in button'))
            .filter(e => e.getBoundingClientRect().height < 23 && e.getBoundingClientRect().height > 0);
        return [...over.map(([e]) => e), ...small].map(e => e.outerHTML.slice(0, 120)); }"""
    )
    assert wrong == []
