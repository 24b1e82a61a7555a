"""Pictures that excite units, against closed forms, NumPy and SciPy; and a model that is left as it was."""

import copy

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

from labkit import LabkitError, data, features
from labkit.activations import outputs
from labkit.features import pictures
from labkit.features.optimized import likeness
from labkit.features.running import borrowed, find_layer
from labkit.models import MLP, LeNet, TinyVGG
from labkit.train import Trainer


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small(**settings):
    return TinyVGG(**({"inputs": (3, 16, 16), "outputs": 4, "channels": (6, 8)} | settings))


def cosine(a, b):
    return float(F.cosine_similarity(a.flatten(), b.flatten(), dim=0))


# What is found


@pytest.mark.parametrize("parameterization", ["fft", "pixels"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_linear_filter_is_its_own_preferred_picture(parameterization, channels):
    """Of all pictures of a given contrast w itself excites w·x most (Cauchy and Schwarz)."""
    model = nn.Conv2d(channels, 2, 16, bias=False)
    with torch.no_grad():
        model.weight.copy_(draw(2, channels, 16, 16))
    settings = {"parameterization": parameterization, "robustness": 0, "contrast": 0.1}
    images = features.optimize(model, "model", [1, 0], size=16, **settings)
    for image, weight in zip(images, model.weight.detach().flip(0), strict=True):
        assert cosine(image - 0.5, weight) >= 0.999
        assert float((image - 0.5).square().mean().sqrt()) == pytest.approx(
            0.1, rel=0.02
        )  # the ends are cut off at 0 and 1


def test_each_is_what_it_would_be_alone():
    model = small()
    units = [3, 0, features.neuron(3), features.pair(1, 2), features.direction(draw(8)), 3]
    together = features.optimize(model, "relu2_1", units, size=16, steps=24)
    for i, unit in enumerate(units[:-1]):
        alone = features.optimize(model, "relu2_1", [unit], size=16, steps=24)
        torch.testing.assert_close(together[i], alone[0], atol=1e-3, rtol=0)
    both = features.optimize(model, "relu2_1", [3, 3], size=16, steps=24)
    torch.testing.assert_close(together[[0, 5]], both, atol=1e-3, rtol=0)
    assert (both[0] - both[1]).abs().max() > 0.05


def test_the_seed_decides():
    model = small()
    first, again, other = (features.optimize(model, "conv2_1", [0], size=16, steps=4, seed=s) for s in (5, 5, 6))
    assert torch.equal(first, again) and not torch.allclose(first, other, atol=1e-3)


@pytest.mark.parametrize("layer", ["conv1_2", "relu2_2", "output"])
def test_the_unit_is_excited_more_than_by_any_of_many_pictures(layer):
    model = small(inputs=(3, 32, 32)).eval()
    shown = data.objects(n=200, size=32, seed=0).inputs
    units = [0, 1, 2]
    *_, last = features.optimizing(model, layer, units, size=32, steps=64)
    with borrowed(model, layer) as running, torch.no_grad():
        natural = running.maps(shown).mean((2, 3))[:, units].amax(0)
        reached = running.maps(last.images).mean((2, 3))[range(3), units]
    assert (reached > natural).all()
    torch.testing.assert_close(reached, last.activations)


def test_it_is_seen_forming():
    seen = list(features.optimizing(small(), "conv2_2", [0, 1], size=16, steps=20, every=8))
    assert [forming.step for forming in seen] == [0, 8, 16, 20]
    assert all(forming.images.shape == (2, 3, 16, 16) and not forming.images.requires_grad for forming in seen)
    assert all(forming.images.min() >= 0 and forming.images.max() <= 1 for forming in seen)
    assert (seen[-1].activations > seen[1].activations).all() and (seen[1].activations > seen[0].activations).all()
    assert torch.equal(seen[-1].images, features.optimize(small(), "conv2_2", [0, 1], size=16, steps=20))


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("layer", ["2", "4"])
def test_a_silent_unit_comes_to_speak(layer, inplace):
    """No place of it is above zero for the picture of the start, so that the plain gradient is zero everywhere."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Identity(), nn.ReLU(inplace), nn.Conv2d(2, 2, 3), nn.ReLU(inplace))
    with torch.no_grad():  # grey leaves every unit of the first layer a little below zero
        model[0].bias.copy_(-0.5 * model[0].weight.sum((1, 2, 3)) - 0.05)
        model[3].weight.abs_()
        model[3].bias.fill_(-0.01)
    seen = list(features.optimizing(model, layer, [0, 1], size=12, steps=48))
    assert (seen[0].activations == 0).all() and (seen[-1].activations > 0).all()


def test_diversity_and_variation():
    model = small()
    plain = features.optimize(model, "conv2_2", [1, 1, 2], size=16, steps=32)
    diverse = features.optimize(model, "conv2_2", [1, 1, 2], size=16, steps=32, diversity=20.0)
    smooth = features.optimize(model, "conv2_2", [1, 1, 2], size=16, steps=32, variation=20.0)
    with borrowed(model, "conv2_2") as running, torch.no_grad():
        assert likeness(running.maps(diverse[:2])) < likeness(running.maps(plain[:2]))
    torch.testing.assert_close(diverse[2], plain[2], atol=1e-3, rtol=0)  # it has no twin
    assert (pictures.total_variation(smooth) < pictures.total_variation(plain)).all()


def test_likeness_is_the_cosine_of_gram_matrices():
    maps = draw(3, 4, 2, 5)
    grams = [np.ravel(m @ m.T) for m in maps.flatten(2).numpy()]
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a in grams for b in grams if a is not b]
    assert float(likeness(maps)) == pytest.approx(sum(cosines) / 2, rel=1e-5)
    assert float(likeness(maps[:1])) == 0


def test_total_variation():
    image = torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])
    assert pictures.total_variation(image).tolist() == [0.5 + 0.5]


# Pictures


@pytest.mark.parametrize("size", [8, 9])
def test_fourier_coefficients_are_numpys(size):
    coefficients = draw(2, 3, size, size // 2 + 1, 2)
    vertical, horizontal = np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij")
    scale = 1 / np.maximum(np.sqrt(vertical**2 + horizontal**2), 1 / size) / 2
    numbers = coefficients.double().numpy()
    expected = np.fft.irfft2((numbers[..., 0] + 1j * numbers[..., 1]) * scale, s=(size, size), norm="ortho")
    np.testing.assert_allclose(pictures.decoded(coefficients, size).numpy(), expected, atol=1e-5)


def test_colours_are_those_of_the_data():
    mixing = np.array([[0.1, 0.05, 0.0], [0.02, 0.08, 0.03], [0.0, 0.01, 0.05]])
    values = np.random.default_rng(0).uniform(-1, 1, (20, 8, 8, 3)) @ mixing + [0.3, 0.5, 0.6]
    given = values.transpose(0, 3, 1, 2)
    colours = pictures.colours_of(given, 3)
    flat = values.reshape(-1, 3)
    np.testing.assert_allclose(colours.mean.numpy(), flat.mean(0), atol=1e-6)
    np.testing.assert_allclose((colours.root @ colours.root).numpy(), np.cov(flat.T), atol=1e-7)
    np.testing.assert_allclose(colours.root.numpy(), colours.root.T.numpy(), atol=1e-7)
    # White noise, coloured, has them again; to first order only, so little noise.
    noise = 0.1 * draw(50, 3, 16, 16)
    made = pictures.coloured(noise, colours).transpose(0, 1).flatten(1).numpy()
    np.testing.assert_allclose(made.mean(1), flat.mean(0), atol=2e-3)
    np.testing.assert_allclose(np.cov(made) / 0.01, np.cov(flat.T), atol=2e-4)
    ds = data.Dataset(given.astype(np.float32), np.zeros(20, np.int64))
    torch.testing.assert_close(pictures.colours_of(ds, 3).root, colours.root)


def test_pictures_take_the_colours_of_the_data():
    # All of the data is grey: red, green and blue go together.
    grey = draw(40, 1, 8, 8).sigmoid().expand(-1, 3, -1, -1)
    image = features.optimize(small(), "conv2_2", [0], size=16, steps=16, data=grey)[0]
    assert image.std(0).max() < 0.01 < image.std((1, 2)).min()
    assert features.optimize(small(), "conv2_2", [0], size=16, steps=16)[0].std(0).max() > 0.05


def moved(image, draws, robustness=1.0):
    """By SciPy: at each output place the input place is scale·rotation·(place + second shift) + first shift."""
    side = image.shape[-1]
    turn, zoom, *shifts = np.asarray(draws, dtype=float) * robustness
    angle = np.deg2rad(10 * turn)
    # SciPy's axes are (row, column): a turn of (x, y) by an angle is one of (y, x) by its opposite.
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / (1 + 0.1 * zoom)
    first, second = (np.array(pair)[::-1] * side for pair in ((np.array(shifts[:2]) / 16), np.array(shifts[2:]) / 32))
    centre = (side - 1) / 2
    offset = first + centre + matrix @ (second - centre)
    return (
        np.stack([ndimage.affine_transform(c - 0.5, matrix, offset, order=1, mode="grid-constant") for c in image])
        + 0.5
    )


@pytest.mark.parametrize(
    "draws",
    [(0, 0, 0, 0, 0, 0), (1, 0, 0, 0, 0, 0), (0, -1, 0, 0, 0, 0), (0, 0, 1, -0.5, 0, 0), (0.6, -0.7, 0.3, 1, -1, 0.4)],
)
def test_transformations_are_scipys(draws):
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    both = torch.tensor([draws, (0,) * 6], dtype=torch.float32)
    for robustness in (1.0, 0.5):
        seen = pictures.transformed(images, both, robustness, pictures.plain_colours(3))
        np.testing.assert_allclose(seen[0].numpy(), moved(images[0].numpy(), draws, robustness), atol=2e-4)
        torch.testing.assert_close(seen[1], images[1], atol=1e-4, rtol=0)


def test_a_shift_is_a_shift():
    """To the right by 2 of 32 pixels, and the mean colour comes in."""
    images = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    seen = pictures.transformed(images, torch.tensor([[0, 0, -1.0, 0, 0, 0]]), 1.0, pictures.plain_colours(1))
    torch.testing.assert_close(seen[..., 2:], images[..., :-2], atol=1e-4, rtol=0)
    torch.testing.assert_close(seen[..., :2], torch.full((1, 1, 32, 2), 0.5))


# Units and layers


def up_to_relu1_2(model, x):
    for layer in list(model)[:6]:
        x = layer(x)
    return x.detach()


def test_what_objectives_measure():
    model = small().eval()
    image = torch.rand(1, 3, 16, 16)
    maps = up_to_relu1_2(model, image)[0]
    vector = draw(6)
    expected = {
        2: maps[2].mean(),
        features.channel(2): maps[2].mean(),
        features.neuron(2): maps[2, 8, 8],
        features.pair(1, 4): maps[1].mean() + maps[4].mean(),
        features.direction(vector): maps.mean((1, 2)) @ vector / vector.norm(),
    }
    *_, last = features.optimizing(model, "relu1_2", list(expected), size=16, steps=3)
    found = up_to_relu1_2(model, last.images)
    for i, value in enumerate([found[0, 2].mean(), found[1, 2].mean(), found[2, 2, 8, 8],
                               found[3, [1, 4]].mean((1, 2)).sum(),
                               found[4].mean((1, 2)) @ vector / vector.norm()]):  # fmt: skip
        torch.testing.assert_close(last.activations[i], value)


@pytest.mark.parametrize(
    ("shape", "module", "expected"),
    [
        ((2, 5), nn.Linear(1, 1), lambda v: v[:, :, None, None]),
        ((2, 5, 4, 4), nn.Conv2d(1, 1, 1), lambda v: v),
        ((2, 4, 4, 4), nn.Conv2d(1, 1, 1), lambda v: v),
        ((2, 4, 4, 5), nn.GELU(), lambda v: v.permute(0, 3, 1, 2)),
        ((2, 4, 4, 4), nn.Linear(1, 1), lambda v: v.permute(0, 3, 1, 2)),
        ((2, 4, 4, 4), nn.LayerNorm(4), lambda v: v.permute(0, 3, 1, 2)),
        ((2, 17, 3), nn.GELU(), lambda v: v[:, 1:].transpose(1, 2).reshape(2, 3, 4, 4)),
        ((2, 16, 3), nn.GELU(), lambda v: v.transpose(1, 2).reshape(2, 3, 4, 4)),
        ((2, 115, 3), nn.GELU(), lambda v: v.transpose(1, 2)[:, :, None]),
    ],
)
def test_outputs_of_all_kinds_as_maps(shape, module, expected):
    values = draw(*shape)
    assert torch.equal(outputs.as_maps(values, module, "layer"), expected(values))


def test_the_tensor_of_an_output():
    a, b = draw(2), draw(3)
    assert outputs.main_tensor({"loss": None, "hidden": b, "logits": a}, "x") is a
    assert outputs.main_tensor((None, {"hidden": b}), "x") is b
    with pytest.raises(LabkitError, match="gives a tensor, received NoneType from x"):
        outputs.main_tensor(None, "x")


def test_the_second_call_of_a_layer():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.relu = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3), nn.ReLU(inplace=True)

        def forward(self, x):
            return self.relu(self.b(self.relu(self.a(x))))

    model, x = Twice(), draw(1, 1, 8, 8)
    with borrowed(model, "relu") as running:
        assert running.maps(x).shape[2:] == (6, 6)
    with borrowed(model, "relu:2") as running:
        torch.testing.assert_close(running.maps(x), model(x))
    with borrowed(model, "relu:3") as running, pytest.raises(LabkitError, match="'relu:3', which it does not"):
        running.maps(x)
    assert find_layer(model, "relu:2") == (model.relu, 2)


# The model is borrowed


class Failing(nn.Module):
    def __init__(self, after):
        super().__init__()
        self.left = after

    def forward(self, x):
        self.left -= 1
        if self.left < 0:
            raise KeyError("as planned")
        return x


def state(model):
    return (
        [module.training for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        [parameter._version for parameter in (*model.parameters(), *model.buffers())],
        [id(parameter) for parameter in (*model.parameters(), *model.buffers())],
        [None if p.grad is None else p.grad.clone().tolist() for p in model.parameters()],
        [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()],
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        torch.is_grad_enabled(),
        copy.deepcopy({name: value.tolist() for name, value in model.state_dict().items()}),
    )


@pytest.mark.parametrize("after", [0, 1, 5, 1000])
def test_nothing_is_left_on_the_model(after):
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.5), Failing(after),
        nn.Conv2d(4, 4, 3),
    )  # fmt: skip
    model[1].eval()
    model[0].bias.requires_grad_(False)
    model[5].weight.grad = torch.ones_like(model[5].weight)
    model.train()
    model[1].eval()
    before = state(model)
    if after < 1000:
        with pytest.raises(KeyError):
            features.optimize(model, "5", [0, 1], size=12, steps=6)
    else:
        features.optimize(model, "5", [0, 1], size=12, steps=6)
    assert state(model) == before


def test_the_model_is_free_whenever_a_picture_is_given_out():
    """So it may train in between, and a view that is closed half way has nothing to give back."""
    model = small().train()
    before = state(model)
    forming = features.optimizing(model, "relu2_2", [0], size=16, steps=8, every=2)
    for _ in range(3):
        next(forming)
        assert state(model) == before
    forming.close()
    assert state(model) == before


def test_the_model_runs_only_up_to_the_layer():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), Failing(0))
    features.optimize(model, "1", [0], size=8, steps=2)


def test_gradients_are_made_even_where_they_are_switched_off():
    expected = features.optimize(small(), "conv2_1", [0], size=16, steps=4)
    with torch.no_grad():
        assert torch.equal(features.optimize(small(), "conv2_1", [0], size=16, steps=4), expected)
    with torch.inference_mode():
        assert torch.equal(features.optimize(small(), "conv2_1", [0], size=16, steps=4), expected)
    assert torch.equal(features.optimize(small().requires_grad_(False), "conv2_1", [0], size=16, steps=4), expected)


def test_precisions():
    assert features.optimize(small().double(), "conv2_1", [0], size=16, steps=2).dtype == torch.float32
    image = features.optimize(small().bfloat16(), "conv2_1", [0], size=16, steps=8)
    assert cosine(image - 0.5, features.optimize(small(), "conv2_1", [0], size=16, steps=8) - 0.5) > 0.9


# Errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, o: o(m, "conv9", [0]), "Expected layers of conv1_1, .*received conv9"),
        (lambda m, o: o(m, "conv1_1", []), "at least one unit"),
        (lambda m, o: o(m, "conv1_1", [6]), "channels of 0 to 5 for this layer, received 6"),
        (lambda m, o: o(m, "conv1_1", [-1]), "number from 0 on, received -1"),
        (lambda m, o: o(m, "conv1_1", [True]), "received True"),
        (lambda m, o: o(m, "conv1_1", [features.direction([1, 2])]), "direction of 6 numbers.*received 2"),
        (lambda m, o: o(m, "conv1_1", [features.direction([0, 0])]), "not all zero"),
        (lambda m, o: o(m, "output", [0], size=32), r"fit the model, received shape \(1, 3, 32, 32\).*`size`"),
        (lambda m, o: o(m, "conv1_1", [0], size=0), "size as a whole number of at least 2, received 0"),
        (lambda m, o: o(m, "conv1_1", [0], steps=0), "steps as a whole number of at least 1"),
        (lambda m, o: o(m, "conv1_1", [0], seed=-1), "seed as a whole number of at least 0"),
        (lambda m, o: o(m, "conv1_1", [0], channels=2), "1 or 3 channels, received 2"),
        (lambda m, o: o(m, "conv1_1", [0], contrast=0.6), "contrast above 0"),
        (lambda m, o: o(m, "conv1_1", [0], parameterization="dct"), "fft or pixels, received 'dct'"),
        (lambda m, o: o(m, "conv1_1", [0], data=np.zeros((4, 1, 8, 8))), r"\(n, 3, height, width\) as.*\(4, 1, 8, 8\)"),
        (lambda m, o: o(m, "conv1_1", [0], data=np.full((4, 3, 8, 8), 255)), "values of 0 to 1, received 255 to 255"),
        (lambda m, o: o(nn.Sequential(nn.Linear(64, 3)), "0", [0]), r"one with no convolution\. .*nn\.Flatten"),
        (lambda m, o: o(nn.Sequential(nn.Linear(64, 3)), "0", [0], channels=1, size=16), r"vectors needs nn\.Flatten"),
        (lambda m, o: o(nn.Conv2d(4, 3, 1), "model", [0]), "first convolution of 4 channels"),
        (lambda m, o: o(nn.Sequential(nn.Conv2d(3, 3, 3), nn.Flatten(0)), "1", [0]), r"^Expected a layer that gives"),
    ],
)  # fmt: skip
def test_errors_say_what_to_do(call, message):
    for function in (features.optimize, features.optimizing):  # both at once, not when the first picture is asked for
        with pytest.raises(LabkitError, match=message):
            call(small(), function)


def test_a_model_that_gives_no_gradient():
    class Flat(nn.Module):
        def forward(self, x):
            return (x > 0).float()

    with pytest.raises(LabkitError, match="depends on the pictures by a gradient"):
        features.optimize(nn.Sequential(nn.Conv2d(1, 1, 1), Flat()), "1", [0], size=8, steps=1)


def test_flat_models_with_a_flatten_and_grey_models():
    assert features.optimize(
        MLP((1, 8, 8), 3, widths=(5,)), "output", [0, 1, 2], size=8, steps=2, channels=1
    ).shape == (3, 1, 8, 8)
    assert features.optimize(LeNet(), "output", [0], size=8, steps=2).shape == (1, 1, 8, 8)


@pytest.mark.gpu
def test_on_a_gpu_as_on_the_cpu(monkeypatch):
    # In TF32, torch's usual precision for convolutions there, Adam's first steps turn on the sign of tiny gradients.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    images = features.optimize(small().cuda(), "relu2_1", [0, 1], size=16, steps=8)
    assert images.is_cuda
    expected = features.optimize(small(), "relu2_1", [0, 1], size=16, steps=8)
    torch.testing.assert_close(images.cpu(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_probe_leaves_no_trace(channels):
    """With it the training takes the same course, and shows how the pictures follow what is learned."""
    generator = torch.Generator().manual_seed(0)
    ds = data.Dataset(torch.rand(40, channels, 16, 16, generator=generator), np.arange(40) % 4)

    def trainer():
        return Trainer(small(inputs=(channels, 16, 16)), ds, batch_size=8, device="cpu", precision="float32", seed=0)

    probe = features.probes.optimized("relu2_2", [0, 1], size=16, steps=4)
    watched, alone = trainer(), trainer()
    frames = []
    for _ in range(3):
        frames.append(probe(watched)["images"])
        assert watched.step() == alone.step()
    for mine, other in zip(watched.model.parameters(), alone.model.parameters(), strict=True):
        assert torch.equal(mine, other)
    assert frames[0].dtype == np.uint8 and frames[0].shape == ((2, 16, 16) if channels == 1 else (2, 16, 16, 3))
    expected = features.optimize(small(inputs=(channels, 16, 16)), "relu2_2", [0, 1], size=16, steps=4)
    np.testing.assert_allclose(
        frames[0].reshape(2, 16, 16, channels) / 255, expected.permute(0, 2, 3, 1).numpy(), atol=1e-2
    )
    assert (frames[0] != frames[2]).any()
