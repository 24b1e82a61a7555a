"""Dissection against planted detectors and the definition written out."""

import numpy as np
import pytest
import torch
from scipy.ndimage import sobel
from torch import nn
from torch.nn import functional as F

from labkit import data, features
from labkit.errors import DataError, SettingError
from labkit.models import LeNet, TinyVGG


def planted() -> tuple[nn.Module, data.Dataset]:
    """Red and blue squares on grey; units that fire on red, on blue, everywhere alike, and never."""
    rng = np.random.default_rng(0)
    pictures = torch.full((30, 3, 24, 24), 0.3)
    masks = {name: torch.zeros(30, 24, 24, dtype=torch.bool) for name in ("red", "blue")}
    for i in range(30):
        name, channel = (("red", 0), ("blue", 2))[i % 2]
        row, column = (int(v) for v in rng.integers(0, 16, 2))
        masks[name][i, row : row + 8, column : column + 8] = True
        pictures[i, :, row : row + 8, column : column + 8] = torch.eye(3)[channel][:, None, None]
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.MaxPool2d(2))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.copy_(torch.tensor([-0.1, -0.1, 1.0, -1.0]))
        model[0].weight[0, :, 0, 0] = torch.tensor([1.0, -1.0, 0.0])
        model[0].weight[1, :, 0, 0] = torch.tensor([0.0, -1.0, 1.0])
    return model, data.Dataset(pictures, [0, 1] * 15, masks=masks)


def test_planted_detectors_are_found():
    model, ds = planted()
    found = features.dissect(model, ["1", "2"], ds, top=0.3)
    assert found.parts == ("red", "blue")
    assert np.allclose(found.iou["1"], [[1, 0], [0, 1], [0, 0], [0, 0]])
    assert found.best("1")[0][:2] == ["red", "blue"] and np.allclose(found.best("1")[1], [1, 1, 0, 0])
    assert found.detectors("1") == {"red": [0], "blue": [1]}
    assert found.iou["2"][0, 0] > 0.5 and found.detectors("2") == {"red": [0], "blue": [1]}
    assert (found.thresholds["1"] == [0, 0, 1, 0]).all()


def test_where_a_part_is_the_best_of_all():
    table = np.array([[0.1, 0.3, 0.2], [0.5, 0.0, 0.4], [0.0, 0.2, 0.6]])
    found = features.Dissection(("a", "b", "c"), {"1": table}, {"1": np.zeros(3)})
    assert found.where_best(["c", "a"])["1"].tolist() == [[0, 0], [0, 0.5], [0.6, 0]]
    with pytest.raises(SettingError, match="Expected parts of a, b, c, received 'd'"):
        found.where_best(["a", "d"])


def test_masks_of_other_pictures_agree_by_chance_only():
    model, ds = planted()
    turned = {name: mask.roll(2, 0) for name, mask in ds.masks.items()}
    assert features.dissect(model, "1", ds, masks=turned, top=0.3).iou["1"].max() < 0.3


@pytest.mark.parametrize("batch_size", [5, 64])
def test_equal_to_the_definition(batch_size):
    """A threshold by sorting, maps stretched by torch where its centres are the fields' centres, sets counted."""
    model, ds = TinyVGG(channels=(4, 6), seed=1), data.objects(n=12, seed=5)
    parts = [part for part in ds.masks if part != "object"]
    found = features.dissect(model, ["conv1_2", "pool1"], ds, top=0.02, batch_size=batch_size)
    assert found.parts == tuple(parts)
    with torch.no_grad():
        outputs = {"conv1_2": nn.Sequential(*list(model.eval())[:4])(ds.inputs)}
        outputs["pool1"] = nn.Sequential(*list(model)[4:7])(outputs["conv1_2"])
    for layer, maps in outputs.items():
        big = F.interpolate(maps, size=(48, 48), mode="bilinear", align_corners=False)
        for u in range(maps.shape[1]):
            values = np.sort(maps[:, u].numpy().ravel())
            threshold = values[len(values) - 1 - int(0.02 * len(values))]
            assert np.isclose(found.thresholds[layer][u], threshold, atol=1e-6)
            fires = big[:, u].numpy() > threshold
            for p, part in enumerate(parts):
                mask = ds.masks[part].numpy()
                iou = (fires & mask).sum() / max((fires | mask).sum(), 1)
                assert abs(found.iou[layer][u, p] - iou) < 2e-3


def test_thresholds_of_many_values_come_from_an_even_sample(monkeypatch):
    model, ds = TinyVGG(channels=(4, 6), seed=1), data.objects(n=40, seed=5)
    exact = features.dissect(model, "relu1_1", ds, top=0.05)
    monkeypatch.setattr("labkit.features.dissection.VALUES", 5000)
    sampled = features.dissect(model, "relu1_1", ds, top=0.05, batch_size=7)
    assert not np.array_equal(sampled.thresholds["relu1_1"], exact.thresholds["relu1_1"])
    assert np.allclose(sampled.thresholds["relu1_1"], exact.thresholds["relu1_1"], rtol=0.1)


def test_flat_layers_and_tokens_have_tables_too():
    model, ds = TinyVGG(channels=(4, 6)), data.objects(n=8)
    table = features.dissect(model, "output", ds, top=0.2).iou["output"]
    assert table.shape == (10, 22) and (table >= 0).all() and (table <= 1).all() and table.max() > 0


def test_edges_and_colours_of_known_pictures():
    pictures = torch.zeros(4, 3, 20, 20)
    pictures[0, 0] = 1  # red
    pictures[1, :, :, 10:] = 1  # a vertical edge
    pictures[2, :, 10:] = 1  # a horizontal one
    row, column = torch.meshgrid(torch.arange(20), torch.arange(20), indexing="ij")
    pictures[3, :, row + column > 19] = 1  # a line to the upper right
    found = features.concepts(data.Dataset(pictures, [0, 0, 0, 0]))
    assert found["red"][0].all() and not found["red"][1:].any() and not found["blue"].any()
    assert found["dark"][1, :, :10].all() and found["bright"][1, :, 10:].all()
    edges = {name: mask for name, mask in found.items() if name.endswith("edge")}
    for i, name in ((1, "vertical edge"), (2, "horizontal edge"), (3, "rising edge")):
        assert edges[name][i].sum() >= 36
        assert sum(int(mask[i].sum()) for other, mask in edges.items() if other != name) <= 4
    assert edges["vertical edge"][1, :, 9:11].all() and edges["vertical edge"][1].sum() == 40


def test_hues_against_the_colour_circle_and_edges_against_scipy():
    ds = data.objects(n=6, seed=2)
    found = features.concepts(ds)
    x = ds.inputs.numpy()
    chroma = x.max(1) - x.min(1)
    names = ("red", "yellow", "green", "cyan", "blue", "magenta")
    assert np.array_equal(sum(found[name].numpy().astype(int) for name in names), chroma >= np.float32(0.2))
    corners = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1]]).float()
    wheel = features.concepts(corners[:, :, None, None].expand(6, 3, 3, 3).clone())
    assert [[name for name in names if wheel[name][i].all()] for i in range(6)] == [[name] for name in names]
    luma = np.tensordot(x, np.array([0.299, 0.587, 0.114], np.float32), axes=(1, 0))
    slope = np.stack([np.hypot(sobel(p, 0, mode="nearest"), sobel(p, 1, mode="nearest")) for p in luma])
    edges = sum(mask.numpy().astype(int) for name, mask in found.items() if name.endswith("edge"))
    steep = slope > np.quantile(slope, 0.9)
    assert (edges <= 1).all() and (edges != steep).mean() < 1e-3


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_given_back(fails):
    model, ds = TinyVGG(channels=(4, 6)), data.objects(n=6)
    model.norm1_1.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    if fails:
        with pytest.raises(DataError, match="fit the model"):
            features.dissect(model, "conv1_1", data.Dataset(ds.inputs[:, :2], ds.targets), masks=dict(ds.masks))
    else:
        features.dissect(model, "conv1_1", ds)
    assert model.training and model.conv1_1.training and not model.norm1_1.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_what_cannot_be_asked():
    model, ds = TinyVGG(channels=(4, 6)), data.objects(n=6)
    with pytest.raises(DataError, match="masks of parts"):
        features.dissect(LeNet(), "conv1", data.digits())
    with pytest.raises(DataError, match="mask of wheel as bool"):
        features.dissect(model, "conv1_1", ds, masks={"wheel": torch.zeros(6, 9, 9, dtype=torch.bool)})
    with pytest.raises(SettingError, match="between 0 and 1"):
        features.dissect(model, "conv1_1", ds, top=1)
    with pytest.raises(SettingError, match="conv1_1"):
        features.dissect(model, "conv1_1", ds).best("pool1")
    with pytest.raises(DataError, match="pictures"):
        features.concepts(data.toy("circle"))
