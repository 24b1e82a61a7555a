"""Kernels, sliding windows and their view without a browser, against torch, SciPy and scikit-image."""

import itertools
import re
from dataclasses import fields

import numpy as np
import pytest
import torch
from page import Page
from scipy import ndimage
from torch import nn

from labkit import plots
from labkit.activations.kernels import KERNELS, gabor, kernel
from labkit.activations.operation import Operation
from labkit.data import photo
from labkit.errors import DataError, SettingError
from labkit.widgets import ConvolutionView
from labkit.widgets.assets import module

F = nn.functional


def do(view, action, **details):
    view.receive({"kind": "do", "action": action, "ticket": 7, **details})


# ---- kernels


def test_kernels_have_the_sums_that_are_promised():
    for name, size in itertools.product(KERNELS, range(2, 8)):
        made = kernel(name, size)
        assert made.shape == (size, size) and made.dtype == torch.float32
        bright = name in ("identity", "box", "gaussian", "sharpen", "emboss")
        assert made.sum() == pytest.approx(float(bright), abs=1e-5), name


def test_kernels_are_the_ones_of_the_books():
    assert kernel("sobel_x").tolist() == [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    assert kernel("sobel_y").tolist() == [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]
    assert kernel("laplace").tolist() == [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]
    assert kernel("emboss").tolist() == [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]
    assert (16 * kernel("gaussian")).tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    assert kernel("sobel_x", 5)[2].tolist() == [-6, -12, 0, 12, 6]  # as OpenCV's getDerivKernels gives it
    for size in (3, 4, 5, 7):
        assert torch.allclose(kernel("sharpen", size), 2 * kernel("identity", size) - kernel("gaussian", size))


@pytest.mark.parametrize(("name", "axis"), [("sobel_x", 1), ("sobel_y", 0)])
def test_sobel_answers_as_scipys(name, axis):
    grey = photo("temple", 64).mean(0)
    ours = F.conv2d(grey[None, None], kernel(name)[None, None])[0, 0]
    np.testing.assert_allclose(ours, ndimage.sobel(grey.numpy(), axis)[1:-1, 1:-1], atol=1e-5)


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0])
def test_gabor_is_scikit_images_without_its_mean(angle):
    from skimage.filters import gabor_kernel

    ours = gabor(7, angle, 5.0)
    spread = 0.56 * 5
    # Its y axis points down, so that its angles run clockwise.
    theirs = gabor_kernel(1 / 5, np.radians(-angle), sigma_x=spread, sigma_y=spread, n_stds=5).real
    middle = len(theirs) // 2
    cut = theirs[middle - 3 : middle + 4, middle - 3 : middle + 4] * 2 * np.pi * spread**2
    np.testing.assert_allclose(ours, cut - cut.mean(), atol=1e-5)


def test_gabor_answers_most_to_stripes_of_its_angle_and_wavelength():
    y, x = torch.meshgrid(torch.arange(41.0), torch.arange(41.0), indexing="ij")

    def answer(angle, wavelength):
        turned = np.radians(45)
        stripes = torch.cos(2 * np.pi * (x * np.cos(turned) - y * np.sin(turned)) / 5)
        return F.conv2d(stripes[None, None], gabor(7, angle, wavelength)[None, None]).abs().max()

    best = answer(45, 5)
    assert all(best > 1.2 * answer(angle, 5) for angle in (0, 90, 135))
    assert best > 1.2 * answer(45, 9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("edge",), "Expected a kernel of identity, box"),
        (("box", 0), "size of 1 or more"),
        (("box", 2.5), "size of 1 or more"),
        (("laplace", 1), "laplace needs a size of 2"),
        (("gabor", 3, 0.0, 1.0), "wavelength above 1"),
    ],
)
def test_bad_kernels_are_named(arguments, message):
    with pytest.raises(SettingError, match=message):
        kernel(*arguments)


# ---- operations


def operations():
    for size, stride, padding, mode, dilation in itertools.product(
        (1, 2, 3, 5), (1, 2, 3), (0, 1, 2), ("zeros", "reflect", "circular"), (1, 2)
    ):
        for kind in ("convolution", "transposed", "max", "average"):
            try:
                yield Operation(kind, size, stride, padding, mode, dilation)
            except SettingError:
                continue


def layer_of(operation, channels):
    """torch.nn's layer that does the same, with the padding's values where it has them."""
    o, groups = operation, channels if operation.depthwise else 1
    outputs = channels if o.depthwise else 1
    options = {"bias": False, "stride": o.stride, "padding": o.padding, "dilation": o.dilation, "groups": groups}
    if o.kind == "convolution":
        return nn.Conv2d(channels, outputs, o.size, padding_mode=o.mode, **options)
    if o.kind == "transposed":
        return nn.ConvTranspose2d(channels, outputs, o.size, **options)
    if o.kind == "max":
        return nn.MaxPool2d(o.size, o.stride, o.padding, o.dilation)
    return nn.AvgPool2d(o.size, o.stride, o.padding)


@pytest.mark.parametrize("depthwise", [False, True])
def test_operations_are_those_of_torchs_layers(depthwise):
    picture, generator = torch.rand(3, 9, 10), torch.Generator().manual_seed(0)
    seen = 0
    for o in operations():
        if o.pools and o.mode != "zeros":
            continue
        o = Operation(o.kind, o.size, o.stride, o.padding, o.mode, o.dilation, depthwise)
        layer = layer_of(o, 3)
        weight = torch.randn(3, o.size, o.size, generator=generator)
        if not o.pools:
            layer.weight.data.copy_(weight[:, None] if depthwise or o.kind == "transposed" else weight[None])
        try:
            sizes = o.output_size(9), o.output_size(10)
        except SettingError:  # torch refuses too
            with pytest.raises(RuntimeError):
                layer(picture[None])
            continue
        expected = layer(picture[None])[0]
        assert torch.allclose(o(picture, None if o.pools else weight), expected, atol=1e-5), o
        assert tuple(expected.shape[1:]) == sizes
        assert o.formula(9).endswith(f"= {sizes[0]}")
        seen += 1
    assert seen > 120


def test_a_window_times_the_kernel_is_the_output():
    generator = torch.Generator().manual_seed(1)
    picture, checked = torch.randn(2, 7, 8, generator=generator), 0
    for o in operations():
        try:
            o.output_size(7), o.output_size(8)
        except SettingError:
            continue
        weight = torch.randn(2, o.size, o.size, generator=generator)
        output = o(picture, None if o.pools else weight)
        _, height, width = output.shape
        for row, column in {(0, 0), (height // 2, width // 3), (height - 1, width - 1)}:
            window = o.window(picture, row, column)
            if o.kind == "max":
                expected = window.amax((1, 2))
            elif o.kind == "average":
                expected = window.mean((1, 2))
            else:
                expected = (window * weight).nansum()[None]
            assert torch.allclose(output[:, row, column], expected, atol=1e-5), (o, row, column)
            checked += 1
    assert checked > 300


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "blur"}, "operation of convolution"),
        ({"mode": "same"}, "padding mode of zeros"),
        ({"stride": 0}, "stride of 1 or more"),
        ({"padding": 1.5}, "padding of 0 or more"),
        ({"kind": "transposed", "mode": "reflect"}, "choose zeros"),
        ({"kind": "average", "dilation": 2}, "no dilation"),
        ({"kind": "max", "size": 2, "padding": 2}, "at most half"),
    ],
)
def test_operations_that_torch_does_not_have_are_refused(options, message):
    with pytest.raises(SettingError, match=message):
        Operation(**options)


def test_what_does_not_fit_is_said():
    with pytest.raises(SettingError, match="reflect takes at most 3 pixels of 4"):
        Operation(padding=4, mode="reflect", size=3).output_size(4)
    with pytest.raises(SettingError, match="kernel that fits"):
        Operation(size=7, padding=0).output_size(5)
    with pytest.raises(SettingError, match=r"weight \(1, 3, 3\)"):
        Operation()(torch.rand(1, 8, 8))


# ---- the photo


def test_photos_are_scikit_learns_averaged_down():
    from sklearn.datasets import load_sample_image

    small = photo("flower", 61)  # 427 is seven times 61
    assert small.shape == (3, 61, 91) and small.dtype == torch.float32
    whole = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1) / 255
    assert small.mean() == pytest.approx(float(whole.mean()), abs=1e-3)
    for arguments in (("cat",), ("flower", 8), ("flower", 500)):
        with pytest.raises(SettingError):
            photo(*arguments)


# ---- the view


def assert_shows(page, view):
    """The page has torch's output of the page's own input and weights."""
    state, arrays = page.state, page.arrays
    o = Operation(**{field.name: state[field.name] for field in fields(Operation)})
    assert o == view.operation
    weight = torch.tensor(arrays["weight"])
    expected = o(torch.tensor(arrays["input"]), None if o.pools else weight)
    np.testing.assert_allclose(arrays["output"], expected, atol=1e-6)
    row, column = state["place"]
    piece = arrays["photo"][row : row + view.piece, column : column + view.piece].transpose(2, 0, 1) / 255
    piece = piece.mean(0, keepdims=True) if state["colours"] == "grey" else piece
    np.testing.assert_allclose(arrays["input"], piece, atol=2e-3)
    assert arrays["whole"].dtype == np.uint8


def test_a_page_gets_the_photo_the_piece_and_both_outputs():
    view = ConvolutionView()
    page = Page(view)
    assert_shows(page, view)
    assert page.arrays["photo"].shape == (128, 192, 3) and page.arrays["whole"].shape == (1, 128, 192)
    assert page.state["formula"] == "⌊(16 + 2·1 − 1·(3 − 1) − 1) / 1⌋ + 1 = 16"
    assert page.state["code"] == "F.conv2d(x, w, stride=1, padding=1, dilation=1, groups=1)"
    assert view.text.startswith("Sobel x, 3×3: 16×16 becomes 16×16. Picture: flower.")


def test_each_setting_changes_what_is_computed():
    view = ConvolutionView()
    page = Page(view)
    for changes in (
        {"size": 5},
        {"stride": 2},
        {"padding": 3, "mode": "reflect"},
        {"dilation": 2, "mode": "circular"},
        {"colours": "separate"},
        {"colours": "together"},
        {"kernel": "gabor", "angle": 30, "wavelength": 3.0},
        {"operation": "transposed"},
        {"operation": "max"},
        {"operation": "average"},
        {"operation": "convolution", "picture": "temple", "piece": 24},
        {"picture": "car"},
    ):
        do(view, "set", **changes)
        assert page.state["error"] is None and page.state["answered"] == 7
        assert_shows(page, view)
        for name, value in changes.items():
            assert page.state["kind" if name == "operation" else name] == value


def test_the_code_that_is_shown_computes_the_output():
    for settings in (
        {},
        {"padding": 2, "mode": "circular", "stride": 2},
        {"colours": "separate", "dilation": 2},
        {"colours": "together", "operation": "transposed"},
        {"operation": "max", "padding": 1, "size": 3, "dilation": 2},
        {"operation": "average", "padding": 1, "mode": "reflect"},
    ):
        view = ConvolutionView(**settings)
        o, kernel_ = view.operation, view.kernel
        w = kernel_[:, None] if o.depthwise or o.kind == "transposed" else kernel_[None]
        given = {"F": F, "pad": F.pad, "x": view.input[None], "w": w}
        assert torch.equal(eval(view.code, given)[0], view.output), settings


def test_all_colours_together_begin_with_what_grey_gives():
    grey, together = ConvolutionView(), ConvolutionView(colours="together")
    assert together.kernel.shape == (3, 3, 3) and together.output.shape == (1, 16, 16)
    assert torch.allclose(grey.output, together.output, atol=1e-5)
    assert ConvolutionView(colours="together", operation="max").colours == "separate"


def test_an_entry_is_edited_in_one_channel_or_in_all():
    view = ConvolutionView(colours="together")
    page = Page(view)
    before = view.kernel.clone()
    do(view, "edit", row=0, column=2, value=5.0, channel=1)
    assert view.kernel_name == "own" and view.text.startswith("Your own, 3×3")
    before[1, 0, 2] = 5
    assert torch.equal(view.kernel, before)
    do(view, "edit", row=1, column=1, value=-0.5)
    assert view.kernel[:, 1, 1].tolist() == [-0.5, -0.5, -0.5]
    assert_shows(page, view)
    middle = view.kernel.clone()
    do(view, "set", size=5)  # the own kernel stays, in the middle
    assert torch.equal(view.kernel[:, 1:4, 1:4], middle) and view.kernel.count_nonzero() == middle.count_nonzero()
    do(view, "edit", row=0, column=0, value=float("nan"))
    assert "finite number" in page.state["error"]


def test_own_pictures_and_kernels():
    own = np.zeros((20, 30), np.uint8)
    own[:, 15:] = 255
    view = ConvolutionView(own, kernel=[[-1.0, 1.0]] * 2, padding=0)
    assert view.operation.size == 2 and view.whole.shape == (1, 19, 29)
    assert view.whole[0, 3].nonzero().tolist() == [[14]] and float(view.whole.max()) == 2
    coloured = ConvolutionView(torch.rand(3, 20, 20), colours="separate", kernel=torch.rand(3, 3, 3))
    expected = F.conv2d(coloured.input[None], coloured.kernel[:, None], padding=1, groups=3)[0]
    assert torch.equal(coloured.output, expected)
    assert ConvolutionView(own, colours="together").colours == "grey"  # it has no colours


def test_an_upload_is_the_picture():
    view = ConvolutionView()
    page = Page(view)
    pixels = np.arange(3 * 20 * 24, dtype=np.uint8).reshape(20, 24, 3)
    sent = {"kind": "do", "action": "upload", "ticket": 1, "name": "me.png", "height": 20, "width": 24}
    view.receive(sent, [pixels.tobytes()])
    assert np.array_equal(page.arrays["photo"], pixels) and page.state["picture"] == "me.png"
    assert_shows(page, view)
    view.receive(sent, [b"abc"])
    assert "Expected 1440 bytes" in page.state["error"]
    view.receive({**sent, "height": 999}, [b""])
    assert "at most 256 pixels" in page.state["error"]
    do(view, "unreadable", name="notes.txt")
    assert "this browser can read" in page.state["error"]
    assert page.state["picture"] == "me.png"


def test_what_cannot_be_computed_is_said_and_changes_nothing():
    view = ConvolutionView()
    page = Page(view)
    before, text = view.output.clone(), view.text
    for changes, message in [
        ({"size": 1}, "sobel_x needs a size of 2"),
        ({"size": 3, "piece": 4, "padding": 6, "mode": "reflect"}, "at most 3 pixels of 4"),
        ({"kernel": "edge"}, "Expected a kernel of identity"),
        ({"picture": "cat"}, "Expected a picture of flower"),
        ({"colours": "red"}, "Expected colours of grey"),
        ({"piece": 200}, "Expected a piece of 4 to 32"),
        ({"operation": "blur"}, "Expected an operation"),
        ({"wavelength": 0.5, "kernel": "gabor"}, "wavelength above 1"),
        ({"depth": 3}, "Expected settings of"),
    ]:
        do(view, "set", **changes)
        assert message in page.state["error"], changes
        assert torch.equal(view.output, before) and view.text == text and view.kernel_name == "sobel_x"
        assert_shows(page, view)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"picture": np.zeros((4, 4, 2))}, DataError, "Expected a picture"),
        ({"picture": np.full((20, 20), 7.0)}, DataError, "values from 0 to 1"),
        ({"kernel": [[1.0, 2.0]]}, SettingError, "finite numbers"),
        ({"kernel": object()}, SettingError, "name or numbers"),
        ({"operation": "pool"}, SettingError, "Expected an operation"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        ConvolutionView(**arguments)


def test_the_piece_moves_and_stays_inside():
    view = ConvolutionView()
    page = Page(view)
    do(view, "move", row=5, column=7)
    assert page.state["place"] == [5, 7]
    assert_shows(page, view)
    do(view, "move", row=-3, column=999)
    assert page.state["place"] == [0, 192 - 16]
    do(view, "set", piece=32)
    assert page.state["place"] == [0, 192 - 32]
    assert_shows(page, view)


def test_a_chosen_pixel_is_told_in_text_and_in_the_figure():
    view = ConvolutionView(colours="together")
    view.edit(0, 0, 2.0, channel=1)  # each channel has its own kernel
    page = Page(view)
    do(view, "look", row=3, column=4, channel=2)
    value = float(view.output[0, 3, 4])
    assert page.state["pixel"] == [3, 4] and page.state["channel"] == 2
    assert f"row 3, column 4 is {value:.3g}, the sum of products of 27 values" in view.text
    figure = view.figure()
    grids = figure.axes[2:]
    assert len(grids) == 9
    products = np.stack([[float(text.get_text().replace("−", "-")) for text in axes.texts] for axes in grids[2::3]])
    assert products.sum() == pytest.approx(value, abs=0.005 * 27)
    assert figure.alt.startswith("Your own, 3×3: 3×16×16 becomes 16×16. At row 3, column 4: sum of the products")
    do(view, "look", row=30, column=4)
    assert "pixel of the 16x16 output" in page.state["error"]


def test_figures_of_pooling_and_of_a_transposed_convolution():
    view = ConvolutionView(operation="max", padding=1)
    view.look(0, 0)
    figure = view.figure()
    assert len(figure.axes) == 3 and figure.axes[2].texts[0].get_text() == "−∞"
    assert "largest value" in figure.alt
    view = ConvolutionView(operation="transposed")
    texts = [text.get_text() for text in view.figure().axes[2].texts]
    assert texts.count("·") == 9 - int(view.operation.window(view.input, *view.pixel).isfinite().sum())


def test_the_wall_of_filtered_photos_and_the_matrix():
    shown = photo("flower", 32)
    results = {name: F.conv2d(shown.mean(0)[None, None], kernel(name)[None, None])[0, 0] for name in ("box", "laplace")}
    figure = plots.filtered(shown.numpy(), {name: values.numpy() for name, values in results.items()})
    assert [axes.get_title().split(":")[0] for axes in figure.axes] == ["Photo", "box", "laplace"]
    for axes, values in zip(figure.axes[1:], results.values(), strict=True):
        assert np.array_equal(axes.images[0].get_array(), values)
        low, high = axes.images[0].get_clim()
        assert high == -low == pytest.approx(float(values.abs().max()))
    assert figure.alt.startswith("A photo and what 2 kernels make of it: box, laplace.")
    figure = plots.matrix(np.array([[0.0, 1, -2], [1, 0, 0]]), "outputs", "inputs")
    assert figure.axes[0].get_title(loc="left") == "2×3, 50 % zeros"
    assert "outputs by inputs, 2 by 3: 50 % of its entries are 0, the others are 2 different numbers" in figure.alt


def test_the_module_declares_every_name_once():
    names = re.findall(r"^(?:const|let|class|(?:async )?function) (\w+)", module("convolution"), re.MULTILINE)
    assert sorted(names) == sorted(set(names))
