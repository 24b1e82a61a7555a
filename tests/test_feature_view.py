"""FeatureView's Python side and its static twin: what is sent is what the rooms compute."""

import copy
import threading

import numpy as np
import pytest
import torch
from page import Page
from torch import nn

from labkit import plots, zoo
from labkit.activations import layers
from labkit.data import Dataset, digits, objects
from labkit.errors import DataError, SettingError
from labkit.features import class_accuracy, dissect, neuron, optimize, top_patches, wiring
from labkit.models import LeNet, TinyVGG
from labkit.train import Player, Trainer
from labkit.widgets import FeatureView
from labkit.widgets import features as module
from labkit.widgets.assets import module as script
from labkit.widgets.features_study import Work, as_bytes, crop, resized

SMALL = objects(60, 32)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "STEPS", 8)
    monkeypatch.setattr(module, "EVERY", 4)


@pytest.fixture
def checkpoints():
    trained = TinyVGG((3, 32, 32), 10, (4, 6), seed=1).eval()
    return {0: TinyVGG((3, 32, 32), 10, (4, 6)).eval(), 7: trained}


def settled(*args, **options):
    view = FeatureView(*args, **options)
    page = Page(view)
    view.wait()
    assert view.error is None
    return view, page


def do(view, action, **details) -> None:
    view.receive({"kind": "do", "action": action, "ticket": 1, **details}, ())


def test_the_wall_shows_pictures_patches_and_parts(checkpoints):
    view, page = settled(checkpoints[7], SMALL, checkpoints=checkpoints)
    assert page.state["layer"] == "relu2_2" and page.state["step"] == 7 and page.state["seen"] == 60
    # Formed for the value in the middle, before the activation, and cut to what it sees.
    box = view._fields["relu2_2"][8, 8]
    images = optimize(
        checkpoints[7], "norm2_2", [neuron(k) for k in range(6)], 32, 8, data=SMALL, robustness=(box[2] - box[0]) / 32
    )
    expected = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()[:, box[0] : box[2], box[1] : box[3]]
    np.testing.assert_array_equal(page.arrays["wall.image"], expected)
    found = dissect(checkpoints[7], "relu2_2", SMALL)
    parts, iou = found.best("relu2_2")
    assert [page.state["parts"][k] for k in page.arrays["wall.part"]] == parts
    np.testing.assert_allclose(page.arrays["wall.iou"], iou, rtol=1e-6)
    top = top_patches(checkpoints[7], "relu2_2", None, SMALL, k=1)
    for k, patch in enumerate(page.arrays["wall.patch"]):
        (expected,) = top.crops(SMALL, "relu2_2", k, fill=128 / 255)
        np.testing.assert_array_equal(patch, (expected * 255).round().astype(np.uint8).transpose(1, 2, 0))
    assert page.state["doing"] == "" and "60 of 60 pictures" in view.text


def test_a_unit_from_near(checkpoints):
    view, page = settled(checkpoints[7], SMALL, checkpoints=checkpoints)
    do(view, "open", layer="relu2_2", unit=3)
    unit = page.state["unit"]
    values = view._studies[7].responses["relu2_2"].values[:, 3]
    assert [patch[2] for patch in unit["patches"]] == pytest.approx(sorted(values, reverse=True)[:12])
    assert [patch[1] for patch in unit["patches"]] == [
        SMALL.classes[SMALL.targets[patch[0]]] for patch in unit["patches"]
    ]
    np.testing.assert_array_equal(page.arrays["unit.values"], values)
    np.testing.assert_array_equal(page.arrays["unit.classes"], SMALL.targets.numpy())
    tables = [dissect(checkpoints[step], "relu2_2", SMALL) for step in (7, 0)]
    for part, iou, control in unit["parts"]:
        k = tables[0].parts.index(part)
        np.testing.assert_allclose([iou, control], [table.iou["relu2_2"][3, k] for table in tables], rtol=1e-6)
    norm = checkpoints[7].norm2_2
    factor = float(norm.weight[3].detach() / (norm.running_var[3] + norm.eps).sqrt())
    first = unit["incoming"][0]
    expected = checkpoints[7].conv2_2.weight[3, first["unit"]].detach() * factor
    assert first["layer"] == "relu2_1" and first["sum"] == pytest.approx(float(expected.sum()), rel=1e-4)
    np.testing.assert_allclose(page.arrays["kernel 0"], expected, rtol=1e-4)
    assert {one["name"] for one in unit["outgoing"]} <= set(SMALL.classes)
    # Down to the colours of the picture.
    do(view, "open", layer="relu1_1", unit=0)
    view.wait()
    assert {one["name"] for one in page.state["unit"]["incoming"]} == {"red", "green", "blue"}
    assert page.arrays["wall.image"].shape == (4, 3, 3, 3)  # formed for this layer, which sees three pixels
    assert "relu1_1, unit 0" in view.text and "Strongest inputs: x " in view.text


def test_time_goes_through_the_checkpoints(checkpoints):
    view, page = settled(checkpoints[7], SMALL, checkpoints=checkpoints)
    late = page.arrays["wall.image"]
    do(view, "time", step=0)
    view.wait()
    assert page.state["step"] == 0 and not np.array_equal(page.arrays["wall.image"], late)
    do(view, "time", step=7)
    np.testing.assert_array_equal(page.arrays["wall.image"], late)  # kept, at once
    with pytest.raises(SettingError, match="Expected a step of 0, 7, received 3"):
        view.at_step(3)


def test_units_that_are_off_cost_accuracy(checkpoints):
    view, page = settled(checkpoints[7], SMALL, checkpoints=checkpoints)
    for unit in (0, 4):
        do(view, "off", layer="relu2_2", unit=unit, off=True)
    view.wait()
    assert page.state["off"] == [["relu2_2", 0], ["relu2_2", 4]]
    whole, without = (class_accuracy(checkpoints[7], SMALL, off) for off in (None, {"relu2_2": [0, 4]}))
    np.testing.assert_allclose(page.arrays["before"], whole, rtol=1e-6)
    np.testing.assert_allclose(page.arrays["after"], without, rtol=1e-6)
    assert "With 2 units off" in view.text
    do(view, "restore")
    assert page.state["off"] == [] and not len(page.arrays["after"])
    with pytest.raises(SettingError, match="received 6"):
        view.switch_off("relu2_2", 6)


def test_the_model_and_the_notebooks_random_numbers_are_left_alone(checkpoints):
    model = checkpoints[7].train()
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(5)
    expected = [torch.rand(1) for _ in range(200)]
    torch.manual_seed(5)
    view = FeatureView(model, SMALL)
    drawn = [torch.rand(1)]
    for _ in range(199):  # while the thread works
        threading.Event().wait(0.002)
        drawn.append(torch.rand(1))
    view.wait()
    assert drawn == expected
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(m.training and not m._forward_hooks for m in model.modules())


def test_one_channel_without_masks_and_pages_of_units():
    ds = digits()
    view, page = settled(zoo.load("digits_cnn"), ds, layers=["relu3", "output"])
    assert page.state["layer"] == "output" and page.state["masks"] is False and not page.state["parts"]
    assert page.state["names"] == [str(k) for k in range(10)] == list(ds.classes)
    assert page.arrays["wall.image"].shape == (10, 8, 8) and page.state["count"] == 500
    assert "no masks of parts" in view.text
    view.look_at("relu3", 63)
    view.wait()
    assert page.state["first"] == 0 and page.state["unit"]["unit"] == 63
    monster = nn.Sequential(nn.Conv2d(1, 70, 3), nn.ReLU())
    view, page = settled(monster, ds)
    do(view, "page", first=64)
    view.wait()
    assert page.arrays["wall.image"].shape[0] == 6 == len(page.arrays["wall.most"])
    view.look_at(unit=3)
    assert page.state["first"] == 0


def test_a_players_training_is_followed():
    train, test = digits().split()
    player = Player(Trainer(LeNet(), train, test, device="cpu"))
    view, page = settled(player, test)
    first = page.arrays["wall.most"]
    assert page.state["step"] == 0 and page.state["steps"] == []
    player.wait(steps=20)
    view.wait()
    assert page.state["step"] == 20 and not np.array_equal(page.arrays["wall.most"], first)
    view.retire(view)


def test_what_cannot_be_formed_is_said():
    scaled = Dataset(SMALL.inputs * 4 - 2, SMALL.targets, SMALL.classes)
    odd = Dataset(torch.rand(12, 2, 16, 16), [0, 1] * 6)
    _, page = settled(TinyVGG((3, 32, 32), 10, (4,)).eval(), scaled)
    assert len(page.arrays["wall.image"]) == 4  # within 0 to 1, whatever the data's range
    view, page = settled(TinyVGG((2, 16, 16), 2, (4,)).eval(), odd)
    assert "1 or 3 channels" in page.state["no_images"] and not len(page.arrays["wall.image"])
    assert page.arrays["wall.patch"].shape[0] == 4


def test_what_it_is_not_for(checkpoints):
    with pytest.raises(SettingError, match="received str"):
        FeatureView("model", SMALL)
    with pytest.raises(DataError, match="received Tensor"):
        FeatureView(checkpoints[0], SMALL.inputs)
    with pytest.raises(SettingError, match="received relu9"):
        FeatureView(checkpoints[0], SMALL, layers=["relu9"])
    view = FeatureView(checkpoints[7], SMALL, checkpoints={0: LeNet(), **{7: checkpoints[7]}})
    view.wait()
    assert "Expected checkpoints of the same model" in view.error


def test_newer_work_replaces_what_runs():
    begun, go, done = threading.Event(), threading.Event(), []
    work = Work(lambda error: done.append(error))

    def slow():
        for i in range(3):
            begun.set()
            go.wait()
            done.append(i)
            yield

    work.start(slow())
    begun.wait()
    work.start(iter([None]))
    go.set()
    work.wait()
    assert done == [0] and work.resting
    work.start(x for x in [1 / 0 for _ in ()] or _fails())
    work.wait()
    assert isinstance(done[1], ValueError)
    work.end()
    work.start(slow())
    assert work.resting and done[2:] == []


def _fails():
    raise ValueError("no")
    yield


def test_pictures_as_they_are_sent():
    pictures = torch.tensor([[[[0.0, 0.5]], [[1.0, 2.0]], [[0.0, -1.0]]]])
    low, high = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    assert as_bytes(pictures, low, high).tolist() == [[[[0, 255, 0], [128, 255, 0]]]]
    assert as_bytes(pictures[:, :1], low[:1], high[:1]).tolist() == [[[0, 128]]]
    picture = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert crop(picture, np.array([-1, 1, 2, 3])).tolist() == [[128, 128], [1, 2], [5, 6]]
    assert crop(picture, np.array([2, 2, 4, 4]), (3, 3)).tolist() == [[10, 11, 128], [14, 15, 128], [128] * 3]
    assert crop(picture, np.array([0, 0, 0, 0])) is picture and crop(picture, np.array([-2, -2, 6, 6])) is picture
    assert resized(picture[None], 2)[0].tolist() == [[5, 7], [13, 15]]
    assert resized(picture[None], 9)[0] is not None and resized(picture[None], 8, enlarge=True).shape == (1, 8, 8)


def test_names_are_never_parsed_as_html():
    assert "innerHTML" not in script("features") and "insertAdjacentHTML" not in script("features")


# ---- the static twin


def test_figure_has_the_units_the_patches_and_the_weights(checkpoints):
    view, page = settled(checkpoints[7], SMALL, checkpoints=checkpoints)
    figure = view.figure()
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    np.testing.assert_array_equal(np.stack(shown), page.arrays["wall.image"])
    assert figure.alt.startswith(page.state["finding"])
    view.look_at(unit=2)
    figure = view.figure()
    bars = [
        [bar.get_width() for bar in axes.patches] for axes in figure.axes if axes.get_xlabel() == "sum of the weights"
    ]
    unit = page.state["unit"]
    for way, widths in zip(("incoming", "outgoing"), bars, strict=True):
        assert widths == pytest.approx([one["sum"] for one in unit[way]])
    frames = [axes.patches[0].get_bbox().bounds for axes in figure.axes if axes.images and axes.patches]
    boxes = [patch[3] for patch in unit["patches"]][: len(frames)]
    assert frames == [(left - 0.5, top - 0.5, right - left, bottom - top) for top, left, bottom, right in boxes]
    assert "<img alt" in figure._repr_mimebundle_()["text/html"]


def test_figure_refuses_what_does_not_fit():
    with pytest.raises(DataError, match="received none"):
        plots.features(np.zeros((0, 4, 4)), [], [], "nothing")
    with pytest.raises(DataError, match="2, 1, 2"):
        plots.features(np.zeros((2, 4, 4)), [None], [(None, 0.0)] * 2, "two")


def test_operations_are_about_what_torch_counts():
    for model in (zoo.load("objects_cnn"), zoo.load("objects_resnet")):
        x = torch.zeros(1, *model.config["inputs"])
        assert module._operations(model, wiring(model, x)) == pytest.approx(layers(model, x).flops, rel=0.03)
