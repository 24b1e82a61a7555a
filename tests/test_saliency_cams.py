"""Class activation maps against captum and against what is worked out by hand, and controls against scikit-image."""

import warnings

import captum.attr
import numpy as np
import pytest
import skimage.filters
import torch
from torch import nn
from torch.nn import functional as F

from labkit import saliency
from labkit.errors import UnsuitableError
from labkit.models import LeNet, TinyVGG

CAMS = ("grad_cam", "hires_cam", "layer_cam")


def drawn(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def seeded(make):
    torch.manual_seed(0)
    return make().eval()


class ClassMaps(nn.Module):
    """A convolution, the mean of each map, one linear layer (Zhou et al. 2016, fig. 2)."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 5, 3, padding=1), nn.Linear(5, 4)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))


class Sequence(nn.Module):
    """(n, channels, length) through convolutions that halve the length."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(2, 6, 3, stride=2, padding=1), nn.Conv1d(6, 5, 3, padding=1)
        self.relu, self.fc = nn.ReLU(), nn.Linear(5, 3)

    def forward(self, x):
        return self.fc(self.relu(self.conv2(self.relu(self.conv1(x)))).mean(2))


class Words(nn.Module):
    """(n, length, width), as embeddings of words come."""

    def __init__(self):
        super().__init__()
        self.mix, self.drop, self.fc = nn.Linear(6, 8), nn.Dropout(), nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.drop(self.mix(x).relu()).mean(1))


class Turned(nn.Module):
    """Channels last inside, as ConvNeXt has it, on pictures that are not square."""

    def __init__(self):
        super().__init__()
        self.patches, self.norm, self.act = nn.Conv2d(3, 6, 2, stride=2), nn.LayerNorm(6), nn.GELU()
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(self.act(self.norm(self.patches(x).permute(0, 2, 3, 1))).mean((1, 2)))


class Tokens(nn.Module):
    """Patches of 4 x 4 pixels as a row of tokens behind two others."""

    def __init__(self):
        super().__init__()
        self.patches, self.extra = nn.Conv2d(3, 6, 4, stride=4), nn.Parameter(torch.randn(1, 2, 6))
        self.norm, self.fc = nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, x):
        patches = self.patches(x).flatten(2).transpose(1, 2)
        return self.fc(self.norm(torch.cat([self.extra.expand(len(x), -1, -1), patches], 1)).mean(1))


def values_and_gradients(forward, start, target):
    """(A, ∂score/∂A) of a layer whose output is `start` and after which `forward` follows."""
    start = start.detach().requires_grad_()
    scores = forward(start)
    return start.detach(), torch.autograd.grad(scores[:, target].sum(), start)[0]


def map_of(model, x, target, method, layer=None):
    return saliency.as_map(saliency.attributed(model, x, target, method, layer).values, signed=True)


def test_grad_cam_is_the_class_activation_map():
    """Where means of maps and one linear layer follow, the gradient is the layer's weight over the number of places."""
    model, x = seeded(ClassMaps), drawn(4, 3, 8, 12)
    for target in range(4):
        by_hand = torch.einsum("k,nkhw->nhw", model.fc.weight[target], model.conv(x)).clamp(min=0) / (8 * 12)
        for method in ("grad_cam", "hires_cam"):
            torch.testing.assert_close(map_of(model, x, target, method, "conv"), by_hand.detach())


@pytest.mark.parametrize("layer", ["relu1_2", "conv2_1", "relu3_2", "pool3"])
def test_grad_cam_is_captums(layer):
    model, x = TinyVGG((3, 24, 32)).eval(), drawn(3, 3, 24, 32)
    targets = torch.tensor([1, 0, 7])
    expected = captum.attr.LayerGradCam(model, getattr(model, layer)).attribute(x, targets, relu_attributions=True)
    expected = F.interpolate(expected, size=(24, 32), mode="bilinear")[:, 0].detach()
    result = saliency.attributed(model, x, targets, "grad_cam", layer).values
    torch.testing.assert_close(saliency.as_map(result, signed=True), expected, atol=1e-6, rtol=1e-4)
    assert torch.equal(result[:, 0], result[:, 2])  # each channel has an equal share


def test_guided_grad_cam_is_captums():
    model, x = TinyVGG((3, 16, 16)).eval(), drawn(2, 3, 16, 16)
    oracle = captum.attr.GuidedGradCam(model, model.relu3_2)
    with warnings.catch_warnings(action="ignore"):
        expected = oracle.attribute(x.clone().requires_grad_(), 3, interpolate_mode="bilinear")
    result = saliency.attributed(model, x, 3, "guided_grad_cam", "relu3_2").values
    assert expected.abs().max() > 0
    torch.testing.assert_close(result, expected.detach(), atol=1e-7, rtol=1e-4)


def test_hires_and_layer_cam_by_hand():
    model, x = LeNet().eval(), drawn(3, 1, 8, 8)
    parts = list(model.children())
    values, gradients = values_and_gradients(nn.Sequential(*parts[3:]), nn.Sequential(*parts[:3])(x), 2)
    assert bool((gradients < 0).any()) and bool((gradients > 0).any())
    by_hand = {
        "hires_cam": (values * gradients).sum(1).clamp(min=0),
        "layer_cam": (values * gradients.clamp(min=0)).sum(1).clamp(min=0),
        "grad_cam": (values * gradients.mean((2, 3), keepdim=True)).sum(1).clamp(min=0),
    }
    for method, small in by_hand.items():
        large = F.interpolate(small[:, None], size=(8, 8), mode="bilinear")[:, 0]
        torch.testing.assert_close(map_of(model, x, 2, method, "pool1"), large)


@pytest.mark.parametrize("method", CAMS)
def test_tokens_are_folded_to_the_picture(method):
    """Tokens 2 to 7 are the 2 x 3 patches of an 8 x 12 picture, row by row."""
    model, x = seeded(Tokens), drawn(2, 3, 8, 12)
    given = torch.cat([model.extra.expand(2, -1, -1), model.patches(x).flatten(2).transpose(1, 2)], 1)
    values, gradients = values_and_gradients(lambda v: model.fc(v.mean(1)), model.norm(given), 1)
    values, gradients = values[:, 2:], gradients[:, 2:]
    weights = {"grad_cam": gradients.mean(1, keepdim=True), "layer_cam": gradients.clamp(min=0)}.get(method, gradients)
    small = (values * weights).sum(2).clamp(min=0).reshape(2, 1, 2, 3)
    expected = F.interpolate(small, size=(8, 12), mode="bilinear")[:, 0]
    torch.testing.assert_close(map_of(model, x, 1, method, "norm"), expected)
    assert saliency.cam_layers(model, x) == ("patches", "norm")


@pytest.mark.parametrize("layer", ["norm", "act"])
def test_channels_at_the_end(layer):
    model, x = seeded(Turned), drawn(2, 3, 8, 12)
    normed = model.norm(model.patches(x).permute(0, 2, 3, 1))
    start, after = (normed, model.act) if layer == "norm" else (model.act(normed), nn.Identity())
    values, gradients = values_and_gradients(lambda v: model.fc(after(v).mean((1, 2))), start, 1)
    small = (values * gradients).sum(3).clamp(min=0)[:, None]
    expected = F.interpolate(small, size=(8, 12), mode="bilinear")[:, 0]
    torch.testing.assert_close(map_of(model, x, 1, "hires_cam", layer), expected)


def test_a_layer_called_again():
    model, x = seeded(Sequence), drawn(2, 2, 20)
    values, gradients = values_and_gradients(
        lambda v: model.fc(v.mean(2)), model.relu(model.conv2(model.relu(model.conv1(x)))), 0
    )
    expected = F.interpolate((values * gradients).sum(1, keepdim=True).clamp(min=0), size=20, mode="linear")[:, 0]
    result = saliency.attributed(model, x, 0, "hires_cam", "relu:2").values
    torch.testing.assert_close(result.sum(1), expected)
    assert not torch.allclose(result, saliency.attributed(model, x, 0, "hires_cam", "relu").values)
    assert saliency.cam_layers(model, x) == ("conv1", "relu", "conv2", "relu:2")
    assert torch.equal(result, saliency.attributed(model, x, 0, "hires_cam").values)  # the last one


def test_places_of_words_come_first():
    model, x = seeded(Words), drawn(2, 9, 6)
    for layer in ("mix", "drop"):
        after = torch.relu if layer == "mix" else nn.Identity()
        start = model.mix(x) if layer == "mix" else model.mix(x).relu()
        values, gradients = values_and_gradients(lambda v, after=after: model.fc(after(v).mean(1)), start, 2)
        expected = (values * gradients).sum(2).clamp(min=0)
        result = saliency.attributed(model, x, 2, "hires_cam", layer).values
        torch.testing.assert_close(result.sum(2), expected)
        assert torch.equal(result[:, :, 0], result[:, :, 5])


class InPlace(nn.Module):
    """What the convolution gave is written over, or a view of it."""

    def __init__(self, folded):
        super().__init__()
        self.conv, self.fold, self.fc = nn.Conv2d(3, 4, 3), nn.Unflatten(2, (6, 6)), nn.Linear(144, 2)
        self.folded = folded

    def forward(self, x):
        maps = self.conv(x)
        return self.fc((self.fold(maps.flatten(2)) if self.folded else maps).relu_().flatten(1))


@pytest.mark.parametrize(("folded", "layer"), [(True, "conv"), (True, "fold"), (True, None), (False, None)])
def test_a_value_is_read_before_it_is_written_over(folded, layer):
    model, x = seeded(lambda: InPlace(folded)), drawn(2, 3, 8, 8)
    values, gradients = values_and_gradients(lambda v: model.fc(v.relu().flatten(1)), model.conv(x), 1)
    small = (values * gradients.mean((2, 3), keepdim=True)).sum(1, keepdim=True).clamp(min=0)
    expected = F.interpolate(small, size=(8, 8), mode="bilinear")[:, 0]
    assert bool((values < 0).any())
    torch.testing.assert_close(map_of(model, x, 1, "grad_cam", layer), expected)


def test_a_layer_without_places_is_refused_with_those_that_have_some():
    model, x = LeNet().eval(), drawn(2, 1, 8, 8)
    for method in (*CAMS, "guided_grad_cam"):
        with pytest.raises(UnsuitableError, match=r"received 'linear1'.*conv1, relu1, pool1, conv2, relu2, pool2\."):
            saliency.attribute(model, x, 0, method, "linear1")
        refusal = saliency.examine(model, x, method, "relu3").refusal
        assert refusal is not None and "pool2" in refusal
        assert saliency.examine(model, x, method, "relu2").refusal is None
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    assert saliency.cam_layers(flat, x) == ()
    with pytest.raises(UnsuitableError, match=r"has none for inputs \(2, 1, 8, 8\)"):
        saliency.attribute(flat, x, 0, "grad_cam")


def test_what_comes_after_the_last_places_that_count_is_not_listed():
    """A model that reads its first token alone: of a layer that works on every token by itself, no patch matters."""
    model = seeded(Tokens)
    model.forward = lambda x: model.fc(model.norm(model.patches(x).flatten(2).mean(2))[:, None].repeat(1, 7, 1))[:, 0]
    x = drawn(2, 3, 8, 12)
    assert saliency.cam_layers(model, x) == ("patches",)
    assert float(saliency.attributed(model, x, 0, "layer_cam").values.sum()) > 0


def test_a_grad_cam_of_zeros_is_noted(monkeypatch):
    monkeypatch.setattr("labkit.saliency.attribution.rows_for", lambda *_: 1)
    model, x = seeded(ClassMaps), drawn(3, 3, 6, 6)
    with torch.no_grad():
        model.conv.bias.fill_(50.0)  # every value is positive
        model.fc.weight[0], model.fc.weight[1] = -1.0, 1.0
    found = saliency.attributed(model, x, torch.tensor([0, 1, 0]), "grad_cam")
    assert found.notes[0].startswith("Grad-CAM is zero everywhere for 2 of 3:")
    assert [bool(values.any()) for values in found.values] == [False, True, False]
    assert saliency.attributed(model, x, 1, "grad_cam").notes == ()
    with pytest.warns(saliency.AttributionWarning, match="HiResCAM is zero everywhere for 3 of 3"):
        saliency.attribute(model, x, 0, "hires_cam")


@pytest.mark.parametrize("method", [*CAMS, "guided_grad_cam"])
def test_an_example_alone_has_the_map_it_has_in_a_batch(method, monkeypatch):
    model, x = LeNet().eval(), drawn(5, 1, 8, 8)
    whole = saliency.attributed(model, x, 3, method).values
    alone = torch.cat([saliency.attributed(model, row[None], 3, method).values for row in x])
    torch.testing.assert_close(alone, whole, atol=1e-7, rtol=1e-4)
    monkeypatch.setattr("labkit.saliency.attribution.rows_for", lambda *_: 2)
    torch.testing.assert_close(saliency.attributed(model, x, 3, method).values, whole, atol=1e-7, rtol=1e-4)


def test_the_layer_is_found_anew_in_a_model_that_was_changed():
    model = seeded(lambda: nn.Sequential(*ClassMaps().children()).insert(1, nn.Sequential(nn.AdaptiveAvgPool2d(1))))
    model.insert(2, nn.Flatten())
    x = drawn(2, 3, 8, 8)
    first = map_of(model, x, 1, "grad_cam")
    torch.manual_seed(1)
    model[1] = nn.Sequential(nn.Conv2d(5, 5, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    again = map_of(model, x, 1, "grad_cam")
    assert not torch.allclose(first, again)
    torch.testing.assert_close(again, map_of(model, x, 1, "grad_cam", "1.1"))


def test_controls():
    x = drawn(2, 3, 9, 14)
    model = seeded(ClassMaps)
    edge = saliency.attribute(model, x, 0, "edge")
    expected = [skimage.filters.sobel(picture.mean(0).numpy(), mode="reflect") for picture in x]
    torch.testing.assert_close(2 * edge.sum(1), torch.tensor(np.stack(expected)).float(), atol=1e-6, rtol=1e-4)
    centre = saliency.attribute(model, x, 0, "centre").sum(1)
    assert float(centre[0, 4, 6:8].mean()) == pytest.approx(float(centre.max())) == pytest.approx(1, abs=0.02)
    assert torch.allclose(centre, centre.flip(2)) and torch.allclose(centre, centre.flip(1))
    # 9/4 places from the middle the exponent is 1/2.
    series = saliency.attribute(seeded(Sequence), drawn(1, 2, 9), 0, "centre")[0].sum(0)
    assert float(series[0] / series[4]) == pytest.approx(float(np.exp(-((4 / 2.25) ** 2) / 2)))
    noise = saliency.attribute(model, x, 0, "random", seed=1)
    assert torch.equal(noise, saliency.attribute(model, x, 1, "random", seed=1)) and torch.equal(noise[0], noise[1])
    assert not torch.equal(noise, saliency.attribute(model, x, 0, "random", seed=2))


def test_edges_of_series_and_none_of_rows():
    x = torch.tensor([[[0.0, 0.0, 1.0, 1.0, 1.0, 5.0]]]).expand(1, 2, 6)
    edge = saliency.attribute(seeded(Sequence), x, 0, "edge")
    assert edge.sum(1).tolist() == [[0, 0.5, 0.5, 0, 2, 2]]
    for method in ("edge", "centre"):
        with pytest.raises(UnsuitableError, match=r"\(2, 4\)"):
            saliency.attribute(nn.Linear(4, 3), torch.rand(2, 4), 0, method)
