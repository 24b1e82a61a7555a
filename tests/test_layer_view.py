"""LayerView's Python side and its static twin: what is sent is what the model gives; the model is left as it was."""

import copy

import numpy as np
import pytest
import torch
from page import Page
from torch import nn

from labkit import plots
from labkit.activations import capture, explain_value, receptive_field
from labkit.data import Dataset, digits, objects
from labkit.errors import DataError, SettingError
from labkit.models import LeNet, ResNet, TinyVGG
from labkit.train import Player, Trainer, probes
from labkit.widgets import LayerView
from labkit.widgets.assets import module, style

PICTURES = objects(n=6, size=32, seed=0)


@pytest.fixture
def vgg():
    return TinyVGG((3, 32, 32), len(PICTURES.classes), (4, 6), seed=1).eval()


def do(view, action, buffers=(), **details):
    view.receive({"kind": "do", "action": action, "ticket": 1, **details}, buffers)
    assert view.error is None


def maps_sent(page, k):
    """The maps of layer k as the browser reads them."""
    return (page.arrays[f"maps {k}"].astype(float) - 128) / 127 * page.arrays[f"reach {k}"][:, None, None]


def test_sends_the_maps_of_all_layers(vgg):
    view = LayerView(vgg, PICTURES)
    page = Page(view)
    captured = capture(vgg, PICTURES.inputs[:1])
    assert [layer["name"] for layer in page.state["structure"]["layers"]] == list(captured) == view.layers
    assert page.state["classes"] == list(PICTURES.classes)
    for k, (name, values) in enumerate(captured.items()):
        own = values.reshape(*values.shape, 1, 1)[0] if values.ndim == 2 else values[0]
        own = own[page.state["chosen"][k]].numpy()
        np.testing.assert_allclose(maps_sent(page, k), own, atol=1e-6 + np.abs(own).max() / 200, err_msg=name)
        assert page.arrays["reach"][k] == pytest.approx(float(values.abs().max()))
    np.testing.assert_allclose(page.arrays["scores"], vgg(PICTURES.inputs[:1])[0].softmax(0).detach(), atol=1e-6)
    assert view.text.startswith("16 layers on picture 1. Most probable is ")


def test_a_unit_is_the_sum_of_what_is_sent(vgg):
    view = LayerView(vgg, PICTURES)
    page = Page(view)
    for layer, unit in (("conv1_1", 3), ("conv2_1", 5), ("output", 2)):
        do(view, "open", layer=layer, unit=unit)
        state, arrays = page.state["unit"], page.arrays
        rest = arrays["unit.rest"] if state["more"] else 0
        total = arrays["unit.products"].sum(0) + rest + state["bias"]
        np.testing.assert_allclose(total, arrays["unit.out"], atol=1e-5)
        expected = capture(vgg, PICTURES.inputs[:1])[layer][0, unit].reshape(total.shape)
        np.testing.assert_allclose(arrays["unit.out"], expected, atol=1e-6)
    assert page.arrays["unit.kernels"].shape[1:] == (8, 8)  # of the maps that were flattened
    do(view, "open", layer="conv1_2", unit=1)
    after = [one["layer"] for one in page.state["unit"]["after"]]
    assert after == ["norm1_2", "relu1_2"]
    for k, layer in enumerate(after):
        expected = capture(vgg, PICTURES.inputs[:1])[layer][0, 1]
        np.testing.assert_allclose(page.arrays[f"unit.after {k}"], expected, atol=1e-6)


def test_a_place_is_explained_and_its_receptive_field_measured(vgg):
    view = LayerView(vgg, PICTURES)
    page = Page(view)
    do(view, "open", layer="conv2_1", unit=5)
    do(view, "pin", row=3, column=4)
    explained = explain_value(vgg, PICTURES.inputs[:1], "conv2_1", (0, 5, 3, 4))
    assert page.state["explained"]["text"] == explained.text
    assert page.state["explained"]["value"] == pytest.approx(float(page.arrays["unit.out"][3, 4]), abs=1e-5)
    field = receptive_field(vgg, PICTURES.inputs[:1], "conv2_1", (3, 4))
    assert view.measured.box == field.box == tuple(page.state["measured"]["box"])
    np.testing.assert_allclose(page.arrays["field"], field.gradient, rtol=1e-5)
    k = view.layers.index("conv2_1")
    top, bottom = page.arrays[f"rows {k}"][3]
    left, right = page.arrays[f"columns {k}"][4]
    assert (top, left, bottom, right) == field.box
    do(view, "pin", row=None)
    assert page.state["explained"] is page.state["measured"] is None


def test_an_altered_unit_is_as_if_its_weights_were_and_the_model_stays(vgg):
    before = copy.deepcopy(vgg.state_dict())
    view = LayerView(vgg, PICTURES)
    page = Page(view)
    plain = page.arrays["scores"].copy()
    do(view, "alter", layer="relu1_2", unit=2, factor=0.0)
    by_hand = nn.Sequential(*list(vgg)[:6], Without(2), *list(vgg)[6:]).eval()
    np.testing.assert_allclose(page.arrays["scores"], by_hand(PICTURES.inputs[:1])[0].softmax(0).detach(), atol=1e-6)
    np.testing.assert_allclose(page.arrays["before"], plain, atol=1e-6)
    assert not np.array_equal(page.arrays["scores"], plain)
    assert "Altered: relu1_2 unit 2 × 0." in view.text
    assert not any(module._forward_hooks for module in vgg.modules())
    assert all(torch.equal(before[name], value) for name, value in vgg.state_dict().items())
    do(view, "alter", layer="relu1_2", unit=2, factor=1.0)
    np.testing.assert_allclose(page.arrays["scores"], plain, atol=1e-6)
    assert len(page.arrays["before"]) == 0


class Without(nn.Module):
    def __init__(self, unit):
        super().__init__()
        self.unit = unit

    def forward(self, x):
        kept = torch.ones(x.shape[1])
        kept[self.unit] = 0
        return x * kept[:, None, None]


def test_the_explanation_of_an_altered_unit_says_so(vgg):
    view = LayerView(vgg, PICTURES)
    view.alter("conv1_2", 0, 0.5)
    view.show("conv1_2", 0)
    view.pin(3, 3)
    state = view._shown[0]["explained"]
    assert "0.5" in state["text"].splitlines()[-1]
    assert state["value"] == pytest.approx(float(view.captured["conv1_2"][0, 0, 3, 3]), abs=1e-5)
    view.show("norm1_2", 0)
    view.pin(3, 3)
    assert view._shown[0]["explained"]["value"] == pytest.approx(float(view.captured["norm1_2"][0, 0, 3, 3]), abs=1e-5)


def test_pictures_are_stepped_through_painted_on_and_brought(vgg):
    view = LayerView(vgg, PICTURES)
    page = Page(view)
    do(view, "look", index=3)
    assert torch.equal(view.picture, PICTURES.inputs[3:4]) and page.state["target"] == int(PICTURES.targets[3])
    do(view, "paint", [np.float32([0.5, 0.5]).tobytes()], width=0.25, colour="#ff0000")
    assert view.picture[0, :, 16, 16].tolist() == [1, 0, 0]
    assert torch.equal(view.picture[..., 0], PICTURES.inputs[3:4][..., 0])
    assert page.arrays["picture"][16, 16].tolist() == [255, 0, 0]
    np.testing.assert_allclose(page.arrays["scores"], vgg(view.picture)[0].softmax(0).detach(), atol=1e-6)
    do(view, "paint", [np.float32([0.5, 0.5]).tobytes()], width=0.25, colour=None)
    torch.testing.assert_close(view.picture[0, :, 16, 16], PICTURES.inputs[3].mean((1, 2)))
    do(view, "restore")
    assert torch.equal(view.picture, PICTURES.inputs[3:4]) and not page.state["painted"]
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 4), dtype=np.uint8)
    do(view, "bring", [pixels.tobytes()])
    np.testing.assert_array_equal(page.arrays["picture"], pixels[..., :3])
    assert page.state["brought"] and page.state["target"] is None
    np.testing.assert_allclose(view.picture[0].permute(1, 2, 0), pixels[..., :3] / 255, atol=1e-6)


def test_pictures_of_ink_and_of_other_ranges():
    ds = digits()
    view = LayerView(LeNet(), ds)
    pixels = np.full((8, 8, 4), 255, np.uint8)
    pixels[2:4, 3] = 0
    view.on_bring([pixels.tobytes()])
    assert view.picture[0, 0, 2:4, 3].tolist() == pytest.approx([1, 1])
    assert float(view.picture.sum()) == pytest.approx(2, abs=1e-3)
    assert Page(view).arrays["picture"].shape == (8, 8)
    shifted = Dataset(PICTURES.inputs * 4 - 2, PICTURES.targets)
    other = LayerView(TinyVGG((3, 32, 32), 10, (4,)), shifted)
    low, high = shifted.inputs.amin((0, 2, 3)), shifted.inputs.amax((0, 2, 3))
    other.on_bring([np.full((32, 32, 4), 255, np.uint8).tobytes()])
    torch.testing.assert_close(other.picture[0, :, 0, 0], high)
    other.on_bring([np.zeros((32, 32, 4), np.uint8).tobytes()])
    torch.testing.assert_close(other.picture[0, :, 5, 5], low)


class Functions(nn.Module):
    """Layers with functions between them, and a dict as output."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 12, 3, padding=1)
        self.conv2 = nn.Conv2d(12, 6, 3, stride=2, padding=1, padding_mode="reflect")
        self.fc = nn.Linear(6 * 16, 4)

    def forward(self, x):
        x = torch.relu(self.conv(x))
        x = nn.functional.gelu(self.conv2(x))
        return {"hidden": x, "logits": self.fc(x.flatten(1))}


def published(kind):
    transformers = pytest.importorskip("transformers")
    if kind == "resnet":
        config = transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=5
        )
        return transformers.ResNetForImageClassification(config)
    config = transformers.ConvNextConfig(hidden_sizes=[8, 16, 16, 24], depths=[1, 1, 1, 1], num_labels=5)
    return transformers.ConvNextForImageClassification(config)


@pytest.mark.parametrize("kind", ["functions", "lenet", "resnet", "published resnet", "published convnext"])
def test_every_unit_of_any_architecture_is_opened(kind):
    torch.manual_seed(0)
    models = {"functions": Functions, "lenet": LeNet, "resnet": lambda: ResNet(depth=8)}
    published_one = kind.startswith("published")
    model = published(kind.partition(" ")[2]) if published_one else models[kind]()
    x = torch.rand(2, 3, 32, 32) if published_one else torch.rand(2, 1, 8, 8)
    view = LayerView(model, x)
    assert view.probabilities is not None
    modes = [module.training for module in model.modules()]
    for name in view.layers:
        view.show(name)
        unit = len(view._pass.maps[name]) - 1
        view.show(name, unit)
        height, width = view._pass.maps[name].shape[1:]
        view.pin(height - 1, width // 2)
        state, arrays = view._shown
        here = float(arrays["unit.out"][height - 1, width // 2])
        assert state["explained"]["value"] == pytest.approx(here, abs=1e-4), name
        if "unit.products" in arrays:
            rest = arrays["unit.rest"] if state["unit"]["more"] else 0
            total = arrays["unit.products"].sum(0) + rest + state["unit"]["bias"]
            np.testing.assert_allclose(total, arrays["unit.out"], atol=1e-4, err_msg=name)
    view._beside.wait()
    assert view.error is None and [module.training for module in model.modules()] == modes


def player():
    train, test = digits().split()
    trainer = Trainer(LeNet(seed=2), train, test, device="cpu", batch_size=64)
    return Player(trainer, probes={"state": probes.state()}, frame_every=5)


def test_follows_training_and_looks_back_exactly():
    run = player()
    view = LayerView(run)
    page = Page(view)
    run.wait(steps=20)
    view._beside.wait()
    x = view.picture
    assert page.state["frame_step"] == 20
    assert torch.equal(view.captured["conv2"], capture(run.trainer.model, x)["conv2"])
    do(view, "seek", step=12)
    view._beside.wait()
    step = page.state["frame_step"]
    assert 10 <= step <= 12 and page.state["live"]["0"]["position"] == 12
    assert torch.equal(view.captured["conv2"], capture(run.fork(step).trainer.model, x)["conv2"])
    do(view, "alter", layer="conv1", unit=0, factor=0.0)
    assert not view.captured["conv1"][0, 0].any()
    do(view, "seek", step=None)
    view._beside.wait()
    assert page.state["frame_step"] == 20


def test_without_the_probe_it_looks_back_at_checkpoints():
    train, test = digits().split()
    run = Player(Trainer(LeNet(seed=2), train, test, device="cpu"))
    start = copy.deepcopy(run.trainer.model)
    view = LayerView(run)
    run.wait(steps=3)
    do(view, "seek", step=0)
    view._beside.wait()
    assert torch.equal(view.captured["output"], capture(start, view.picture)["output"])


def test_a_reloaded_page_gets_again_what_it_had_not_seen(vgg):
    view = LayerView(vgg, PICTURES)
    Page(view)
    do(view, "look", index=1)
    do(view, "open", layer="conv1_1", unit=0)
    page = Page(view)  # loaded anew: it knows the unit alone
    assert "maps 0" not in page.arrays
    do(view, "open", layer=None, unit=None)
    np.testing.assert_array_equal(page.arrays["maps 0"], view._shown[1]["maps 0"])


def test_says_what_is_wrong(vgg):
    with pytest.raises(SettingError, match="received int"):
        LayerView(3, PICTURES)
    with pytest.raises(SettingError, match=r"LayerView\(model, x\)"):
        LayerView(vgg)
    with pytest.raises(DataError, match=r"received \(2, 3\)"):
        LayerView(vgg, torch.rand(2, 3))
    with pytest.raises(DataError, match="inputs that fit the model"):
        LayerView(vgg, torch.rand(2, 1, 32, 32))
    view = LayerView(vgg, PICTURES)
    with pytest.raises(SettingError, match="Expected a layer of conv1_1.*received 'conv9'"):
        view.show("conv9")
    with pytest.raises(SettingError, match="a unit of conv1_1 of 0 to 3, received 4"):
        view.show("conv1_1", 4)
    with pytest.raises(SettingError, match="Open one first"):
        view.pin(0, 0)
    with pytest.raises(SettingError, match="a picture of 0 to 5"):
        view.look_at(6)
    with pytest.raises(SettingError, match="a factor of"):
        view.alter("conv1_1", 0, float("nan"))
    view.show("conv1_1", 0)
    with pytest.raises(SettingError, match="received 0 at 32, 0"):
        view.pin(32, 0)


def test_values_that_are_not_finite_are_told(vgg):
    with torch.no_grad():
        vgg.conv2_1.weight[0, 0, 0, 0] = float("nan")
    view = LayerView(vgg, PICTURES)
    page = Page(view)
    assert page.state["not_finite"][0] == "conv2_1"
    k = view.layers.index("conv2_1")
    place = page.state["chosen"][k].index(0)
    assert not page.arrays[f"maps {k}"][place].any() and page.arrays[f"maps {k}"][1 - place].all()


def test_layer_names_are_never_parsed_as_html():
    for text in (module("layer"), style("layer")):
        assert "innerHTML" not in text and "insertAdjacentHTML" not in text


# ---- the static twin


def test_figure_has_the_maps_and_says_what_is_read(vgg):
    view = LayerView(vgg, PICTURES)
    figure = view.figure()
    shown = [image.get_array() for axes in figure.axes for image in axes.images][1:]
    expected = [view.captured[name][0] for name in view.layers]
    np.testing.assert_allclose(shown[2], expected[0][2], atol=1e-6)
    best = view.probabilities.argmax()
    assert figure.alt.endswith(f"the model reads {PICTURES.classes[best]}, probability {view.probabilities[best]:.3g}")
    view.show("conv2_1")
    assert "The maps of conv2_1, 6 of 6 units" in view.figure().alt
    assert "<img alt" in view.figure()._repr_mimebundle_()["text/html"]


def test_figure_of_plain_arrays():
    figure = plots.network_maps(
        {"a": np.zeros((2, 3, 3)), "b": np.full((1, 1, 1), np.nan)},
        {"a": ["0", "1"], "b": ["4"]},
        {"a": 2, "b": 7},
        np.zeros((5, 5), np.uint8),
    )
    assert figure.alt == "The maps of 2 layers, 3 of 9 units"
    assert "+6 units" in figure.axes[4].get_ylabel()
