"""Top patches against all activations sorted, in one go and in pieces."""

import gc

import numpy as np
import pytest
import torch
from torch import nn

from labkit import data, features
from labkit.activations import receptive_fields
from labkit.errors import DataError, SettingError
from labkit.features.patches import SAMPLE, cropped
from labkit.models import LeNet, ResNet, TinyVGG

LAYERS = ["conv1_1", "relu1_2", "pool2", "output"]


@pytest.fixture(scope="module")
def small() -> tuple[nn.Module, data.Dataset]:
    return TinyVGG(channels=(4, 6), seed=2), data.objects(n=90, size=48, seed=3)


def all_values(model: nn.Module, ds: data.Dataset, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """(examples, units) highest activations and their places (examples, units, 2), by a plain pass over everything."""
    found = []
    model = model.eval()
    handle = model.get_submodule(layer).register_forward_hook(lambda _, __, out: found.append(out.detach().clone()))
    with torch.no_grad():
        model(ds.inputs)
    handle.remove()
    maps = found[0] if found[0].ndim == 4 else found[0][:, :, None, None]
    flat = maps.flatten(2).numpy()
    places = np.stack(np.unravel_index(flat.argmax(2), maps.shape[2:]), axis=-1)
    return flat.max(2), places


@pytest.mark.parametrize("batch_size", [7, 64])
def test_equal_to_sorting_all_activations(small, batch_size):
    model, ds = small
    k = 5
    found = features.top_patches(model, LAYERS, None, ds, k=k, batch_size=batch_size)
    fields = receptive_fields(model, ds.inputs, LAYERS[:-1])
    sample = np.unique(np.linspace(0, len(ds) - 1, SAMPLE * k).round().astype(int))
    for layer in LAYERS:
        values, places = all_values(model, ds, layer)
        for u in range(values.shape[1]):
            chosen = {
                "most": np.argsort(-values[:, u], kind="stable")[:k],
                "least": np.argsort(values[:, u], kind="stable")[:k],
                "spread": sample[np.argsort(values[sample, u], kind="stable")][
                    np.linspace(0, len(sample) - 1, k).round().astype(int)
                ],
            }
            for ranking, expected in chosen.items():
                patches = getattr(found, ranking)[layer]
                assert np.array_equal(patches.units, np.arange(values.shape[1]))
                # Sums of another batch may differ in the last digit, and swap two that are as good as equal.
                assert np.allclose(patches.activations[u], values[expected, u], atol=1e-5)
                distinct = np.abs(np.diff(values[expected, u], prepend=np.inf, append=np.inf)) > 1e-5
                sure = distinct[:-1] & distinct[1:]
                assert np.array_equal(patches.examples[u][sure], expected[sure])
                same = patches.examples[u] == expected
                assert np.array_equal(patches.places[u][same], places[expected, u][same])
                if layer in fields:
                    assert np.array_equal(patches.boxes[u], fields[layer][tuple(patches.places[u].T)])
                else:
                    assert (patches.boxes[u] == (0, 0, 48, 48)).all()


def test_equal_activations_rank_the_earlier_example_and_place_first():
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU())
    ds = data.Dataset(torch.ones(10, 1, 4, 5), torch.zeros(10, dtype=torch.long))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
    for batch_size in (1, 3, 10):
        found = features.top_patches(model, "1", None, ds, k=4, batch_size=batch_size)
        for ranked in (found.most["1"], found.least["1"]):
            assert ranked.examples.tolist() == [[0, 1, 2, 3]] * 2
            assert (ranked.places == 0).all() and (ranked.activations == 1).all()


def test_crops_show_what_the_unit_saw():
    """A bright pixel at a known place: the crop of the 3 x 3 detector has it in its middle, over the edge too."""
    model = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    with torch.no_grad():
        model.weight.zero_()
        model.weight[0, 0, 1, 1] = 1
    pictures = torch.zeros(3, 1, 6, 6)
    for i, (row, column) in enumerate([(2, 3), (0, 0), (5, 1)]):
        pictures[i, 0, row, column] = 1 + i
    ds = data.Dataset(pictures, [0, 1, 2])
    found = features.top_patches(model, "model", [0], ds, k=9)
    patches = found.most["model"]
    assert patches.examples.tolist() == [[2, 1, 0]] and patches.places.tolist() == [[[5, 1], [0, 0], [2, 3]]]
    assert patches.boxes[0].tolist() == [[4, 0, 7, 3], [-1, -1, 2, 2], [1, 2, 4, 5]]
    crops = found.crops(ds, "model", 0, fill=-1)
    assert crops.shape == (3, 1, 3, 3) and crops[:, 0, 1, 1].tolist() == [3, 2, 1]
    assert (crops[0, 0, 2] == -1).all() and (crops[1, 0, :, 0] == -1).all() and (crops[2] >= 0).all()


def test_a_crop_is_as_large_as_the_largest():
    pictures = [np.ones((2, 4, 4), np.float32)] * 2
    crops = cropped(pictures, np.array([[0, 0, 4, 4], [1, 1, 3, 2]]), fill=0)
    assert crops.shape == (2, 2, 4, 4) and crops[0].sum() == 32 and crops[1, :, :2, :1].sum() == crops[1].sum() == 4


def test_chosen_units_and_other_data_sets(small):
    model, ds = small
    whole = features.top_patches(model, "relu1_2", None, ds, k=3)
    listed = [(x, int(y)) for x, y in zip(ds.inputs, ds.targets, strict=True)]  # any map-style data set
    some = features.top_patches(model, "relu1_2", [3, 1], listed, k=3)
    assert some.most["relu1_2"].units.tolist() == [3, 1]
    assert np.array_equal(some.most["relu1_2"].examples, whole.most["relu1_2"].examples[[3, 1]])
    assert np.array_equal(some.crops(listed, "relu1_2", 1), whole.crops(ds, "relu1_2", 1))


def test_fewer_examples_than_patches(small):
    model, ds = small
    found = features.top_patches(model, "pool1", None, ds.subset(range(4)), k=9)
    assert found.most["pool1"].examples.shape == found.spread["pool1"].examples.shape == (4, 4)
    assert (np.sort(found.least["pool1"].examples) == np.arange(4)).all()


def test_tokens_of_a_transformer_are_places_on_the_picture():
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        image_size=16, patch_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    torch.manual_seed(0)
    model = transformers.ViTModel(config, add_pooling_layer=False)
    ds = data.Dataset(torch.rand(6, 3, 16, 16), [0, 1] * 3)
    found = features.top_patches(model, ["embeddings", "encoder.layer.0.layernorm_after"], None, ds, k=2)
    first = found.most["embeddings"]
    rows, columns = first.places[..., 0] * 4, first.places[..., 1] * 4
    assert np.array_equal(first.boxes, np.stack([rows, columns, rows + 4, columns + 4], axis=-1))
    assert (found.most["encoder.layer.0.layernorm_after"].boxes == (0, 0, 16, 16)).all()


def kept_after(model: nn.Module, pictures: torch.Tensor) -> int:
    """Bytes of the tensors that are alive as the last example is asked for, beyond those that were before."""
    gc.collect()
    before = {id(value) for value in gc.get_objects() if issubclass(type(value), torch.Tensor)}
    alive = []

    class Items:
        def __len__(self):
            return len(pictures)

        def __getitem__(self, i):
            if i == len(self) - 1:
                gc.collect()
                found = [v for v in gc.get_objects() if issubclass(type(v), torch.Tensor) and id(v) not in before]
                alive.append(sum(v.numel() * v.element_size() for v in found))
            return pictures[i]

    features.top_patches(model, ["relu1_1", "pool1"], None, Items(), k=4, batch_size=10)
    return alive[0]


def test_memory_does_not_grow_with_the_data_set(small):
    model, ds = small
    kept = [kept_after(model, ds.inputs[:n].clone()) for n in (40, 90)]
    assert kept[0] == kept[1] > 0


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_given_back(fails):
    model = ResNet(depth=8)
    model.relu0.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ds = data.digits().subset(range(20))
    state = torch.get_rng_state()
    if fails:
        with pytest.raises(SettingError, match="0 to 7"):
            features.top_patches(model, "relu0", [8], ds)
    else:
        features.top_patches(model, "relu0", [7], ds)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training and model.norm0.training and not model.relu0.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_what_cannot_be_asked(small):
    model, ds = small
    with pytest.raises(SettingError, match="conv1_1"):
        features.top_patches(model, "nowhere", None, ds)
    with pytest.raises(SettingError, match="at least one layer"):
        features.top_patches(model, [], None, ds)
    with pytest.raises(SettingError, match="k of at least 1"):
        features.top_patches(model, "conv1_1", None, ds, k=0)
    with pytest.raises(DataError, match="fit the model"):
        features.top_patches(LeNet(), "conv1", None, ds)
    broken = LeNet()
    with torch.no_grad():
        broken.conv1.weight[0] = torch.nan
    with pytest.raises(DataError, match="NaN from conv1"):
        features.top_patches(broken, "conv1", None, data.digits().subset(range(3)))
    found = features.top_patches(model, "conv1_1", [1], ds, k=1)
    with pytest.raises(SettingError, match="unit of 1,"):
        found.crops(ds, "conv1_1", 0)
    with pytest.raises(SettingError, match="most, least, spread"):
        found.crops(ds, "conv1_1", 1, ranking="best")
    with pytest.raises(SettingError, match="layer of conv1_1"):
        found.crops(ds, "relu1_1", 1)
