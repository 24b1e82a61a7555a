"""Networks drawn anew layer by layer, shifted inputs, completeness: against SciPy, scikit-image and planted cases."""

import copy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity
from torch import nn

from labkit import data, saliency, zoo
from labkit.errors import DataError, SettingError
from labkit.models import LeNet, TinyVGG
from labkit.saliency import randomization


@pytest.fixture(scope="module")
def objects():
    """The zoo's network with 12 pictures that it has not seen: (model, pictures, classes)."""
    ds = data.objects(n=12, seed=0)
    return zoo.load("objects_cnn"), ds.inputs, ds.targets


def changed(model, twin):
    """The names of the modules of which a parameter is not the same."""
    return {
        name.rpartition(".")[0]
        for (name, one), other in zip(model.named_parameters(), twin.parameters(), strict=True)
        if not torch.equal(one, other)
    }


LAYERS = ["output", "conv3_2", "conv3_1", "conv2_2", "conv2_1", "conv1_2", "conv1_1"]


def norms(layers):
    return {layer.replace("conv", "norm") for layer in layers if layer.startswith("conv")}


def test_cascading_draws_each_layer_and_all_above_it(objects):
    model, x, _ = objects
    found = list(saliency.randomized(model, x))
    assert [layer for layer, _ in found] == LAYERS == list(saliency.randomized_layers(model, x))
    for number, (_, net) in enumerate(found, start=1):
        drawn = set(LAYERS[:number])
        assert changed(model, net) == drawn | norms(drawn)
    assert len({id(net) for _, net in found}) == 7  # a list of them is what it seems to be
    with torch.no_grad():
        first, second = (list(saliency.randomized(model, x, seed=seed))[-1][1](x) for seed in (0, 0))
        other = list(saliency.randomized(model, x, seed=1))[-1][1](x)
    assert torch.equal(first, second) and not torch.allclose(first, other)


def test_independent_draws_one_layer_alone(objects):
    model, x, _ = objects
    for layer, net in saliency.randomized(model, x, kind="independent"):
        assert changed(model, net) == {layer} | norms([layer])


@pytest.mark.parametrize("kind", ["cascading", "independent"])
def test_batch_normalisation_is_measured_again(objects, kind):
    """What comes out of a normalisation that sees other values has a mean of 0 and a variance of 1 before γ and β."""
    model, x, _ = objects
    for layer, net in saliency.randomized(model, x, kind=kind):
        at = LAYERS.index(layer)
        for name in norms(LAYERS[: at + 1]):
            norm, seen = net.get_submodule(name), []
            handle = norm.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
            with torch.no_grad():
                net(x)
            handle.remove()
            values = seen[0].transpose(0, 1).flatten(1)
            assert torch.allclose(norm.running_mean, values.mean(1), atol=1e-3 * float(values.std()))
            assert torch.allclose(norm.running_var, values.var(1), rtol=0.02)
            assert norm.momentum == 0.1 and not norm.training
        for name in norms(LAYERS[at + 1 :]):  # what is nearer to the input sees what it saw
            assert torch.equal(net.get_submodule(name).running_var, model.get_submodule(name).running_var)


class Odd(nn.Module):
    """Weights of its own, a layer called twice, weights without `reset_parameters`, a normalisation of ones, a module
    that is never called, and the order of calls not that of the attributes."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(6, 3)
        self.scale = nn.Parameter(torch.rand(6) + 1)
        self.twice = nn.Linear(6, 6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.norm = nn.LayerNorm(6)
        self.weighted = nn.utils.parametrizations.weight_norm(nn.Linear(6, 6))

    def forward(self, x):
        x = self.norm(self.twice(self.twice(x * self.scale)))
        x = self.attention(x[:, None], x[:, None], x[:, None])[0][:, 0]
        return self.last(self.weighted(x))


def test_layers_of_an_odd_model():
    torch.manual_seed(0)
    model, x = Odd().eval(), torch.rand(4, 6)
    before = copy.deepcopy(model.state_dict())
    found = dict(saliency.randomized(model, x, kind="independent"))
    assert list(found)[0] == "last" and list(found)[-1] == "model"
    assert changed(model, found["attention"]) == {"attention", "attention.out_proj"}
    assert changed(model, found["model"]) == {""} and changed(model, found["twice"]) == {"twice"}
    cascade = list(saliency.randomized(model, x))[-1][1]
    untouched = {
        name
        for (name, one), other in zip(model.named_parameters(), cascade.parameters(), strict=True)
        if torch.equal(one, other)
    }
    assert untouched <= {"norm.weight", "norm.bias", "attention.in_proj_bias", "attention.out_proj.bias"}  # constants
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_randomized_refuses():
    model = TinyVGG(inputs=(3, 16, 16))
    with pytest.raises(SettingError, match="cascading"):
        next(saliency.randomized(model, torch.rand(4, 3, 16, 16), kind="all"))
    with pytest.raises(DataError, match="at least 2 examples"):
        list(saliency.randomized(model, torch.rand(1, 3, 16, 16)))
    with pytest.raises(DataError, match="without"):
        next(saliency.randomized(nn.Flatten(), torch.rand(4, 3, 16, 16)))
    assert len(list(saliency.randomized(LeNet(), torch.rand(1, 1, 8, 8)))) == len(
        saliency.randomized_layers(LeNet(), torch.rand(1, 1, 8, 8))
    )  # without batch normalisation one example is enough


def test_similarities_are_scipys_and_scikit_images():
    rng = np.random.default_rng(0)
    first, second = (torch.from_numpy(rng.normal(size=(3, 2, 16, 12)).round(1)) for _ in range(2))
    second += first
    found = randomization.similar(first, second)
    for i in range(3):
        magnitudes = [one[i].abs().sum(0).numpy() for one in (first, second)]
        signs = [one[i].sum(0).numpy() for one in (first, second)]
        assert found["rank"][i] == pytest.approx(spearmanr(*(one.ravel() for one in magnitudes)).statistic)
        assert found["signed"][i] == pytest.approx(spearmanr(*(one.ravel() for one in signs)).statistic)
        scaled = [one / one.max() for one in magnitudes]
        assert found["ssim"][i] == pytest.approx(structural_similarity(*scaled, data_range=1))
    first[0] = 0
    empty = randomization.similar(first, second)
    assert all(np.isnan(value[0]) and np.isfinite(value[1:]).all() for value in empty.values())
    small = randomization.similar(torch.rand(1, 1, 2, 9), torch.rand(1, 1, 2, 9))
    assert np.isnan(small["ssim"][0]) and np.isfinite(small["rank"][0])


def test_edge_survives_what_the_gradient_does_not(objects):
    model, x, target = objects
    edge = saliency.randomization_check(model, x, target, "edge")
    assert np.allclose(edge.rank, 1) and np.allclose(edge.ssim, 1) and edge.passed is False
    gradient = saliency.randomization_check(model, x, target, "gradient")
    assert gradient.layers == tuple(LAYERS) and gradient.rank.shape == gradient.ssim.shape == (7, 12)
    assert gradient.maps.shape == (8, 12, 48, 48) and gradient.passed is True
    first = saliency.as_map(saliency.attribute(model, x, target, "gradient"), signed=True)
    assert np.array_equal(gradient.maps[0], first.numpy())
    for layer, (_, net) in enumerate(saliency.randomized(model, x), start=1):
        values = saliency.attribute(net, x, target, "gradient")
        assert np.array_equal(gradient.maps[layer], saliency.as_map(values, signed=True).numpy())
    assert abs(np.nanmean(gradient.signed)) < 0.1 and np.nanmean(gradient.ssim[-1]) < 0.3
    guided = saliency.randomization_check(model, x, target, "guided_backprop")
    assert (np.nanmean(guided.rank, 1) > np.nanmean(gradient.rank, 1) + 0.1).all()


def test_independent_has_no_verdict():
    steps = []
    result = saliency.randomization_check(
        LeNet(),
        torch.rand(3, 1, 8, 8),
        1,
        "edge",
        kind="independent",
        progress=lambda done, of: steps.append((done, of)),
    )
    assert result.passed is None and steps == [(i + 1, len(result.layers)) for i in range(len(result.layers))]


def test_labels_at_random():
    """The same net twice does not pass; two that have nothing in common do."""
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    model = LeNet(seed=0).eval()
    same = saliency.label_randomization_check(model, copy.deepcopy(model), x, 3)
    assert np.allclose(same.rank, 1) and not same.passed
    other = saliency.label_randomization_check(model, LeNet(seed=7).eval(), x, 3)
    assert np.nanmean(other.rank) < 0.5 and other.passed


def test_input_shift(objects):
    """A shift that the network makes up for leaves the gradient and changes what multiplies by the input."""
    model, x, target = objects
    gradient = saliency.input_shift_check(model, x, target, "gradient")
    assert gradient.passed and gradient.change.max() < 1e-6 and gradient.outputs < 1e-4
    product = saliency.input_shift_check(model, x, target, "input_x_gradient")
    assert not product.passed and product.change.min() > 0.1 and product.outputs < 1e-4
    by_picture = saliency.input_shift_check(model, x, target, "input_x_gradient", shift=x[0])
    assert not by_picture.passed
    # (x + c) times the gradient: the change is c times the gradient.
    first = saliency.attribute(model, x, target, "input_x_gradient").flatten(1).norm(dim=1)
    expected = saliency.attribute(model, x, target, "gradient").flatten(1).norm(dim=1) / first
    assert np.allclose(product.change, expected, rtol=1e-3)
    cam = saliency.input_shift_check(model, x, target, "layer_cam", layer="relu2_2")
    assert cam.passed
    with pytest.raises(DataError, match="shift"):
        saliency.input_shift_check(model, x, target, shift=x)


def test_completeness_falls_with_the_points(objects):
    model, x, target = objects
    x, target = x[:6], target[:6]
    found = saliency.completeness_check(model, x, target)
    assert found.points == (8, 32, 128) and found.errors.shape == (3, 6) and found.passed
    assert np.median(found.errors[-1]) < 0.01 < np.median(found.errors[0])
    straight = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))  # complete with any number: nothing is left to fall
    assert saliency.completeness_check(straight, torch.rand(3, 1, 2, 2), 1, points=(2, 4)).errors.max() < 1e-4
    with pytest.raises(SettingError, match="rising"):
        saliency.completeness_check(model, x, target, points=(32, 8))


@pytest.mark.parametrize("method", ["gradient", "grad_cam"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_given_back(method, fails):
    model = TinyVGG(inputs=(1, 8, 8))
    model.norm1_1.eval()
    model.conv1_1.weight.requires_grad_(False)
    state = copy.deepcopy(model.state_dict())
    before = torch.get_rng_state()
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    checks = [saliency.randomization_check, saliency.input_shift_check]
    for check in checks:
        if fails:
            with pytest.raises(DataError, match="0 to 9"):
                check(model, x, 10, method)
        else:
            check(model, x, 1, method)
    assert model.training and model.conv1_1.training and not model.norm1_1.training
    assert not model.conv1_1.weight.requires_grad and model.conv2_1.weight.requires_grad
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
