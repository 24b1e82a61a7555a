"""The convolution's view in a real JupyterLab: the kernel is asked what its controls did."""

import io

import pytest
from PIL import Image
from playwright.sync_api import expect

from labkit.bench.jupyter import kernel, late, press_at_once, reload, run_all

SHOW = "import labkit\nview = labkit.widgets.ConvolutionView()\nview"
VIEW = "document.querySelector('.labkit-view[data-view=convolution]')"


@pytest.fixture
def page(open_notebook):
    page = open_notebook(cells=[SHOW])
    run_all(page)
    until(page, "v => v.frames > 0 && v.on === 'output'")
    return page


def until(page, condition):
    page.wait_for_function(f"() => {{ const v = {VIEW}?.labkit; return v && ({condition})(v); }}")


def state(page):
    return page.evaluate(f"() => ({{...{VIEW}.labkit}})")


def over(page, label, row, column, rows, border=0):
    """Move the pointer over a pixel of a map."""
    place = page.locator(f".conv-map[aria-label^={label}]")
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    side = box["height"] / (rows + 2 * border)
    page.mouse.move(box["x"] + (column + border + 0.5) * side, box["y"] + (row + border + 0.5) * side)


def test_pointing_shows_torchs_numbers_and_leaving_restores(page):
    before = state(page)
    for row, column in ((0, 0), (3, 9), (15, 15)):
        over(page, "Output", row, column, 16)
        until(page, f"v => v.pixel.row === {row} && v.pixel.column === {column}")
        shown = state(page)
        value = float(kernel(page, f"print(float(view.output[0, {row}, {column}]))"))
        assert shown["value"] == pytest.approx(value, abs=1e-6) and shown["total"] == pytest.approx(value, abs=1e-5)
        cells = page.locator(".conv-product figure:last-child .conv-grid span").all_inner_texts()
        assert sum(float(text.replace("−", "-")) for text in cells) == pytest.approx(value, abs=0.05)
    over(page, "Input", 5, 0, 16, border=1)
    until(page, "v => v.on === 'input' && v.reaches === 6")
    expect(page.locator(".conv-total")).to_contain_text("goes to 6 outputs")
    page.mouse.move(5, 5)
    until(page, "v => v.on === 'output'")
    assert state(page)["pixel"] == before["pixel"]
    assert kernel(page, "view.pixel") == "(8, 8)"  # pointing has changed nothing
    over(page, "Output", 2, 11, 16)
    page.mouse.down()
    page.mouse.up()
    until(page, "v => v.pixel.row === 2 && v.answered > 0")
    press_at_once(page.locator(".conv-map[aria-label^=Output]"), "ArrowDown", "ArrowRight")
    until(page, "v => v.pixel.row === 3 && v.pixel.column === 12")
    page.mouse.move(5, 5)
    expect(page.locator(".conv-sum h4")).to_have_text("Output in row 3, column 12")
    assert kernel(page, "view.pixel") == "(3, 12)"  # also the second key, which waited until the first was answered


def test_the_sweep_plays_hides_what_is_to_come_and_scrubs(page):
    page.get_by_label("Output shown").fill("20")
    until(page, "v => v.sweep && v.pixel.row === 1 && v.pixel.column === 4")
    page.get_by_role("button", name="One output on").click()
    until(page, "v => v.pixel.column === 5 && v.answered > 0")
    assert kernel(page, "view.pixel") == "(1, 5)"
    assert state(page)["sweep"]  # also when Python has heard of it
    page.get_by_label("Speed").select_option("60")
    page.get_by_role("button", name="Play").click()
    until(page, "v => v.playing && v.pixel.row >= 2")
    page.get_by_role("button", name="Pause").click()
    until(page, "v => !v.playing && v.sweep")
    page.locator(".conv-map[aria-label^=Output]").click()
    until(page, "v => !v.sweep")


def test_the_kernel_is_typed_dragged_and_stepped(page):
    entry = page.get_by_label("Row 1, column 2")
    entry.fill("-1.5")
    page.keyboard.press("Enter")
    until(page, "v => v.kernel === 'own'")
    assert kernel(page, "view.kernel[0, 0].tolist()") == "[-1.0, -1.5, 1.0]"
    press_at_once(entry, "ArrowUp", "ArrowUp", "ArrowDown", "Shift+ArrowUp")
    expect(entry).to_have_value("−0.4")
    page.locator(".lk-title").click()  # elsewhere
    box = page.get_by_label("Row 3, column 3").bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 10, box["y"] - 20, steps=4)  # 30 pixels up: 5 steps
    page.mouse.up()
    expect(page.get_by_label("Row 3, column 3")).to_have_value("1.5")
    assert kernel(page, "[round(v, 3) for v in view.kernel[0, [0, 2], [1, 2]].tolist()]") == "[-0.4, 1.5]"
    with late(page):  # a change of one entry takes no other's place, and none comes after what was chosen later
        for name in ("Row 1, column 1", "Row 2, column 1", "Row 1, column 1", "Row 2, column 1"):
            press_at_once(page.get_by_label(name), "ArrowUp")
    assert kernel(page, "[round(v, 3) for v in view.kernel[0, :2, 0].tolist()]") == "[-0.8, -1.8]"
    with late(page):
        press_at_once(entry, "ArrowUp", "ArrowUp")
        page.get_by_label("Begin with").select_option("gabor")
    with late(page):
        page.get_by_label("Angle").focus()
        for key in ("ArrowRight", "ArrowRight", "Home", "ArrowRight", "ArrowRight", "ArrowRight"):
            page.keyboard.press(key)
        page.get_by_label("Wavelength").fill("6")
        expect(page.get_by_label("Angle")).to_have_value("15")
    expect(page.locator(".conv-middle")).to_contain_text("15°")
    assert kernel(page, "view.kernel_name, view.angle, view.wavelength") == "('gabor', 15.0, 6.0)"


def test_options_colours_operations_upload_and_reload(page):
    page.get_by_label("Stride").fill("2")
    page.get_by_label("Padded with").select_option("circular")
    page.get_by_label("Channels").select_option("together")
    until(page, "v => v.shape[1] === 8 && v.shape[0] === 1 && v.unanswered === 0")
    assert kernel(page, "view.operation.stride, view.operation.mode, view.kernel.shape[0]") == "(2, 'circular', 3)"
    shown = state(page)
    assert shown["total"] == pytest.approx(shown["value"], abs=1e-5)  # 27 products
    assert page.locator(".conv-product").count() == 3
    with late(page):  # the channel that was chosen stays chosen where one then looks
        page.get_by_label("Colour", exact=True).select_option("2")
        press_at_once(page.locator(".conv-map[aria-label^=Output]"), "ArrowUp")
        expect(page.get_by_label("Colour", exact=True)).to_have_value("2")
    assert kernel(page, "view.channel, view.pixel") == "(2, (3, 4))"
    page.get_by_label("Operation", exact=True).select_option("transposed")
    until(page, "v => v.shape[1] === 31")
    assert state(page)["total"] == pytest.approx(state(page)["value"], abs=1e-5)
    page.get_by_label("Size", exact=True).fill("1")
    expect(page.locator(".lk-notice")).to_contain_text("sobel_x needs a size of 2")
    page.get_by_label("Operation", exact=True).select_option("max")
    until(page, "v => v.operation === 'max' && v.shape[0] === 3 && v.shape[1] === 8")
    expect(page.locator(".conv-total")).to_contain_text("the largest of 4")
    file = io.BytesIO()
    Image.new("RGB", (400, 200), (255, 0, 0)).save(file, "PNG")
    page.locator("input[type=file]").set_input_files(
        {"name": "red.png", "mimeType": "image/png", "buffer": file.getvalue()}
    )
    until(page, "v => v.picture === 'red.png'")
    assert kernel(page, "[round(v, 2) for v in view.whole.mean((1, 2)).tolist()], tuple(view.whole.shape)") == (
        "([1.0, 0.0, 0.0], (3, 48, 96))"
    )
    piece = page.get_by_role("application", name="Piece of 16 by 16")
    press_at_once(piece, "Shift+ArrowRight", "ArrowDown", "ArrowDown")
    until(page, "v => v.place[0] === 2 && v.place[1] === 8")
    page.locator("input[type=file]").set_input_files(
        {"name": "no.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    expect(page.locator(".lk-notice")).to_contain_text("this browser can read")
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    reload(page)
    until(page, "v => v.frames > 0 && v.picture === 'red.png' && v.operation === 'max'")
