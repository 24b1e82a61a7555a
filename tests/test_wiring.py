"""The weights between units, against the layers' own outputs; responses and ablation against brute force."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit import zoo
from labkit.activations import capture, receptive_fields
from labkit.data import Dataset, objects
from labkit.errors import DataError, SettingError
from labkit.features import class_accuracy, kernels, responses, strongest, top_patches, wiring
from labkit.features.reading import read_maps
from labkit.models import ResNet, TinyVGG


def pictures(n: int, *shape: int) -> torch.Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))


def trained_norms(model: nn.Module) -> nn.Module:
    """Batch normalisations with averages and factors of their own."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight.data, module.running_var, module.running_mean, module.bias.data):
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    return model.eval()


def assert_explains(model: nn.Module, x: torch.Tensor, wire, before: str, given: str | None = None, **options) -> None:
    """What the kernels make of the source's maps is what the layer gives, but for a number for each unit."""
    captured = capture(model, x)
    source = x if wire.source == "x" else captured[given or wire.source]
    difference = captured[before] - F.conv2d(source, kernels(model, wire), **options)
    constant = difference.mean((0, 2, 3), keepdim=True) if difference.ndim == 4 else difference.mean(0)
    torch.testing.assert_close(difference, constant.expand_as(difference), atol=1e-4, rtol=1e-4)


def test_kernels_with_the_norms_factor_make_what_the_norm_gives() -> None:
    model, x = trained_norms(TinyVGG((3, 16, 16), 5, (4, 6))), pictures(3, 3, 16, 16)
    found = wiring(model, x)
    assert [one.name for one in found.layers] == ["relu1_1", "relu1_2", "relu2_1", "relu2_2", "output"]
    assert [one.before for one in found.layers[:2]] == ["norm1_1", "norm1_2"]
    assert [wire.source for wire in found.wires] == ["x", "relu1_1", "relu1_2", "relu2_1", "relu2_2"]
    assert_explains(model, x, found.wires[0], "norm1_1", padding=1)
    assert_explains(model, x, found.wires[1], "norm1_2", padding=1)
    assert_explains(model, x, found.wires[2], "norm2_1", given="pool1", padding=1)
    # The linear layer's rows, as maps over what the last pooling gives.
    last = found.into("output")[0]
    captured = capture(model, x)
    made = torch.einsum("ncij,ucij->nu", captured["pool2"], kernels(model, last)) + model.output.bias
    torch.testing.assert_close(made, captured["output"])


def test_a_residual_network_hands_units_on() -> None:
    model, x = trained_norms(ResNet((1, 8, 8), 10, 8, (4, 8, 8))), pictures(2, 1, 8, 8)
    found = wiring(model, x)
    summed = {wire.source: wire.weights for wire in found.into("relu1_1")}
    assert summed == {"block1_1.body.norm2": None, "relu0": None}
    assert found.layer("relu1_1").kind == "sum"
    # Around the second stage lead other channels: that way is not followed.
    assert [wire.source for wire in found.into("relu2_1")] == ["block2_1.body.norm2"]
    assert_explains(
        model, x, found.into("block2_1.body.relu1")[0], "block2_1.body.norm1", "relu1_1", padding=1, stride=2
    )
    (last,) = found.into("output")
    assert (last.source, last.size) == ("relu3_1", (1, 1))
    torch.testing.assert_close(kernels(model, last)[:, :, 0, 0], model.output.weight.detach())
    with pytest.raises(SettingError, match="hands each unit on"):
        kernels(model, found.into("relu1_1")[0])


def test_a_published_architecture_is_followed_from_the_picture_to_the_classes() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
    model, x = trained_norms(transformers.ResNetForImageClassification(config)), pictures(2, 3, 32, 32)
    found = wiring(model, x)
    assert all(found.into(one.name) for one in found.layers)
    assert all(found.out_of(one.name) for one in found.layers[:-1])
    stem = "resnet.embedder.embedder"
    assert_explains(model, x, found.wires[0], f"{stem}.normalization", stride=2, padding=3)


class Functional(nn.Module):
    """Functions between the layers, groups, and a concatenation that is not followed."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.grouped = nn.Conv2d(4, 6, 3, padding=1, groups=2)
        self.mixed = nn.Conv2d(10, 5, 1)
        self.head = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = F.relu(self.first(x))
        two = self.grouped(F.max_pool2d(one, 2))
        three = self.mixed(torch.cat([F.max_pool2d(one, 2), two], 1))
        return self.head(F.relu(three).mean((2, 3)))


def test_functions_between_layers_are_seen_through_and_what_mixes_channels_is_not() -> None:
    torch.manual_seed(0)
    model, x = Functional(), pictures(2, 3, 8, 8)
    found = wiring(model, x)
    assert {(wire.source, wire.target) for wire in found.wires} == {
        ("x", "first"),
        ("first", "grouped"),
        ("mixed", "head"),
    }
    made = kernels(model, found.into("grouped")[0])
    given = F.max_pool2d(F.relu(model.first(x)), 2)
    torch.testing.assert_close(F.conv2d(given, made, model.grouped.bias, padding=1), model.grouped(given))
    assert found.into("head")[0].size == (1, 1)


def test_layers_of_ones_own_choice_and_what_is_not_there() -> None:
    model, x = zoo.load("digits_cnn"), pictures(1, 1, 8, 8)
    found = wiring(model, x, ["relu1", "relu3"])
    assert [(wire.source, wire.target) for wire in found.wires] == [("x", "relu1")]
    with pytest.raises(SettingError, match="Expected layers of .* received relu9"):
        wiring(model, x, ["relu9"])
    with pytest.raises(SettingError, match="without"):
        wiring(nn.Sequential(nn.ReLU()), x)
    with pytest.raises(SettingError, match="Expected a layer of relu1, relu3, received 'output'"):
        found.layer("output")


def test_the_strongest_kernels_have_the_largest_sums_of_squares() -> None:
    weights = torch.tensor([[[1.0, 1.0]], [[-3.0, 0.0]], [[0.0, 0.0]], [[2.0, 2.0]]])
    assert strongest(weights, 4) == [1, 3, 0]
    assert strongest(weights, 1) == [1]


# ---- responses and ablation


def test_responses_are_each_pictures_highest_activations() -> None:
    model, ds = TinyVGG((3, 32, 32), 10, (4, 6)).eval(), objects(30, 32)
    before = copy.deepcopy(model.state_dict())
    stages = list(responses(model, ["relu1_2", "output"], ds, batch_size=8))
    assert [len(stage["output"].values) for stage in stages] == [8, 16, 24, 30]
    captured = capture(model, ds.inputs, ["relu1_2", "output"])
    np.testing.assert_array_equal(stages[-1]["relu1_2"].values, captured["relu1_2"].amax((2, 3)).numpy())
    np.testing.assert_array_equal(stages[-1]["output"].values, captured["output"].numpy())
    fields = receptive_fields(model, ds.inputs[:1], ["relu1_2"], read_maps)["relu1_2"]
    mine, theirs = stages[-1]["relu1_2"].top([3, 1], 5, fields), top_patches(model, "relu1_2", [3, 1], ds, 5)
    for name in ("units", "examples", "places", "activations", "boxes"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(theirs.most["relu1_2"], name))
    assert (stages[0]["relu1_2"].top([0], 3).boxes == 0).all()
    with pytest.raises(SettingError, match="units of 0 to 3"):
        stages[-1]["relu1_2"].top([4], 3)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_unit_that_is_off_is_one_whose_weights_lead_nowhere() -> None:
    model, ds = zoo.load("objects_cnn"), objects(80, seed=3)
    whole = class_accuracy(model, ds)
    for k in range(10):
        mine = ds.inputs[ds.targets == k]
        expected = (
            (capture(model, mine, []).output.argmax(1) == k).double().mean() if len(mine) else torch.tensor(np.nan)
        )
        np.testing.assert_allclose(whole[k], expected)
    units = list(range(0, 64, 2))
    cut = copy.deepcopy(model)
    cut.output.weight.data.reshape(10, 64, 36)[:, units] = 0
    off = class_accuracy(model, ds, {"relu3_2": units})
    np.testing.assert_array_equal(off, class_accuracy(cut, ds))
    assert np.nanmean(off) < np.nanmean(whole)
    assert not any(module._forward_hooks for module in model.modules())
    with pytest.raises(SettingError, match="Expected a unit of relu3_2 of 0 to 63, received 64"):
        class_accuracy(model, ds, {"relu3_2": [64]})
    assert not any(module._forward_hooks for module in model.modules())
    with pytest.raises(SettingError, match="class index"):
        class_accuracy(model, Dataset(ds.inputs, torch.rand(80)))
    with pytest.raises(DataError, match="fit the model"):
        class_accuracy(model, Dataset(torch.rand(4, 1, 48, 48), [0, 1, 2, 3]))
