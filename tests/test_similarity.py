"""CKA against the plain formula, what it must not change with, and maps of pictures against scikit-learn."""

import copy

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from labkit import data, features
from labkit.errors import DataError, SettingError
from labkit.features import probes
from labkit.models import LeNet, ResNet, TinyVGG
from labkit.train import Trainer

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 7)), RNG.normal(size=(40, 11))
Y[:, :7] += X @ RNG.normal(size=(7, 7))


def plain(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al. 2019, eq. 3 with linear kernels, every matrix written out."""
    n = len(x)
    h = np.eye(n) - np.ones((n, n)) / n

    def hsic(k, m):
        return np.trace(k @ h @ m @ h) / (n - 1) ** 2

    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def unbiased(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. 2012, eq. 5, as Nguyen et al. 2021 use it."""
    n, one = len(x), np.ones(len(x))

    def hsic(k, m):
        k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
        middle = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
        return (np.trace(k @ m) + middle - 2 / (n - 2) * (one @ k @ m @ one)) / (n * (n - 3))

    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def test_cka_is_the_plain_formula():
    assert features.cka(X, Y) == pytest.approx(plain(X, Y), abs=1e-12)
    assert features.cka(X, Y, unbiased=True) == pytest.approx(unbiased(X, Y), abs=1e-12)
    assert 0.2 < features.cka(X, Y) < 0.9


def test_cka_does_not_change_with_turning_scaling_and_shifting():
    turn = np.linalg.qr(RNG.normal(size=(7, 7)))[0]
    for form in (False, True):
        expected = features.cka(X, Y, unbiased=form)
        assert features.cka(3.5 * X @ turn + RNG.normal(size=7), Y, unbiased=form) == pytest.approx(expected, abs=1e-12)
        assert features.cka(Y, X, unbiased=form) == pytest.approx(expected, abs=1e-12)
        assert features.cka(X, 2 * X @ turn, unbiased=form) == pytest.approx(1, abs=1e-12)
        assert abs(features.cka(X @ np.diag(np.arange(1, 8)), Y, unbiased=form) - expected) > 1e-3  # not any linear map


def test_the_unbiased_form_is_about_zero_for_what_is_unrelated():
    wide = [RNG.normal(size=(30, 400)) for _ in range(2)]
    assert features.cka(*wide) > 0.8 and abs(features.cka(*wide, unbiased=True)) < 0.1


def test_similarity_of_layers_in_one_batch_and_in_several():
    model, other = LeNet(seed=0).eval(), LeNet(seed=1).eval()
    ds = data.digits().subset(range(120))
    layers = ["conv1", "conv2", "output"]
    found = features.similarity(model, layers, ds, other=other, batch_size=120)
    with torch.no_grad():
        values = [_outputs(net, layers, ds.inputs) for net in (model, other)]
    expected = [[unbiased(values[0][a], values[1][b]) for b in layers] for a in layers]
    assert found.layers == found.other_layers == tuple(layers) and np.allclose(found.cka, expected, atol=1e-9)
    own = features.similarity(model, layers, ds, batch_size=30)
    assert np.allclose(own.cka, own.cka.T) and np.allclose(np.diag(own.cka), 1)
    one = features.similarity(model, ["conv1"], ds, other_layers="output", batch_size=30)
    assert one.cka.shape == (1, 1) and one.cka[0, 0] == pytest.approx(own.cka[0, 2])
    assert abs(one.cka[0, 0] - features.similarity(model, layers, ds, batch_size=120).cka[0, 2]) < 0.1


def _outputs(model, layers, x):
    found = {}
    for name, module in model.named_children():
        x = module(x)
        if name in layers:
            found[name] = x.flatten(1).double().numpy()
    return found


def test_principal_components_are_those_of_scikit_learn():
    model, ds = LeNet().eval(), data.digits().subset(range(100))
    found = features.embedding(model, ["conv1", "output"], ds, n=60)
    assert np.array_equal(found.examples, np.unique(np.linspace(0, 99, 60).round().astype(int)))
    with torch.no_grad():
        values = _outputs(model, ["conv1", "output"], ds.inputs[found.examples])
    for layer, expected in values.items():
        pca = PCA(2, svd_solver="full").fit(expected)
        places = pca.transform(expected)
        assert np.allclose(np.abs(found.places[layer]), np.abs(places), atol=1e-4)
        assert found.explained[layer] == pytest.approx(pca.explained_variance_ratio_.sum(), abs=1e-5)
        assert (np.take_along_axis(places := found.places[layer], np.abs(places).argmax(0)[None], 0) > 0).all()


def test_tsne_keeps_neighbours_and_its_seed():
    pictures = torch.cat([torch.full((20, 1, 8, 8), v) + 0.01 * torch.rand(20, 1, 8, 8) for v in (0.0, 1.0)])
    ds = data.Dataset(pictures, [0] * 20 + [1] * 20)
    first, second = (features.embedding(LeNet().eval(), "conv1", ds, method="tsne", seed=3) for _ in range(2))
    places = first.places["conv1"]
    assert np.array_equal(places, second.places["conv1"]) and first.explained == {}
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.diag(np.full(40, np.inf))
    assert (distance.argmin(1) // 20 == np.arange(40) // 20).all()


def test_probes_read_and_leave_no_trace():
    train, test = data.objects(n=60, size=32).split(0.5)
    trainer = Trainer(TinyVGG(inputs=(3, 32, 32), channels=(4, 6)), train, test, batch_size=16)
    layers = ["relu1_1", "output"]
    start = copy.deepcopy(trainer.model)
    watched = {
        "top": probes.top_patches(test, layers, k=3),
        "dissection": probes.dissection(test, layers),
        "similarity": probes.similarity(start, test, layers),
        "embedding": probes.embedding(test, layers, n=20),
    }
    before = trainer.state_dict()
    first = {name: probe(trainer) for name, probe in watched.items()}
    again = {name: probe(trainer) for name, probe in watched.items()}
    assert all(np.array_equal(again[p][k], value) for p, found in first.items() for k, value in found.items())
    assert _same(before, trainer.state_dict()) and all(m.training for m in trainer.model.modules())
    assert first["top"]["relu1_1/boxes"].shape == (4, 3, 4) and first["top"]["output/examples"].shape == (10, 3)
    assert first["dissection"]["relu1_1/iou"].shape == (4, 22)
    assert np.allclose(first["similarity"]["cka"], 1)
    assert first["embedding"]["output/places"].shape == (20, 2)
    chosen = np.linspace(0, len(test) - 1, 20).round().astype(int)
    assert np.array_equal(first["embedding"]["target"], test.targets[chosen].numpy())
    for _ in range(8):
        trainer.step()
    assert (watched["similarity"](trainer)["cka"] < 0.9999).all()
    assert not np.array_equal(watched["top"](trainer)["output/activations"], first["top"]["output/activations"])


def _same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(np.array_equal(one, other))


def test_the_models_are_given_back():
    model, other, ds = ResNet(depth=8), ResNet(depth=8, seed=1), data.digits().subset(range(20))
    state = torch.get_rng_state()
    features.similarity(model, "relu0", ds, other=other)
    features.embedding(model, "relu0", ds)
    assert torch.equal(state, torch.get_rng_state())
    for net in (model, other):
        assert all(m.training and not m._forward_hooks for m in net.modules())


def test_what_cannot_be_asked():
    ds = data.digits().subset(range(10))
    with pytest.raises(DataError, match="same 2 or more"):
        features.cka(X, Y[:-1])
    with pytest.raises(DataError, match="at least 4"):
        features.similarity(LeNet(), "conv1", ds, batch_size=3)
    with pytest.raises(DataError, match="at least 4"):
        features.embedding(LeNet(), "conv1", ds, n=3)
    with pytest.raises(SettingError, match="pca, tsne"):
        features.embedding(LeNet(), "conv1", ds, method="umap")
    with pytest.raises(SettingError, match="conv1"):
        features.similarity(LeNet(), "nowhere", ds)
    assert np.isnan(features.cka(np.ones((5, 2)), X[:5]))
