"""Receptive fields against the closed formula, and sizes against torch's own layers."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from labkit.activations import output_size, receptive_field, receptive_fields
from labkit.errors import DataError, SettingError
from labkit.models import LeNet, ResNet, TinyVGG

Step = tuple[int, int, int, int]  # kernel, stride, padding, dilation


def closed_form(chain: list[Step], place: int) -> tuple[int, int]:
    """(first, one after the last) input place: r += (k - 1) d j, start -= p j, j *= s."""
    size, jump, start = 1, 1, 0
    for kernel, stride, padding, dilation in chain:
        size += (kernel - 1) * dilation * jump
        start -= padding * jump
        jump *= stride
    return start + place * jump, start + place * jump + size


def stack(rng: np.random.Generator) -> tuple[list[nn.Module], list[Step], list[Step]]:
    """Some layers with their steps along the rows and along the columns."""
    layers: list[nn.Module] = []
    rows: list[Step] = []
    columns: list[Step] = []
    channels = 2
    for _ in range(int(rng.integers(1, 5))):
        kernel = tuple(int(k) for k in rng.integers(1, 5, 2))
        stride = tuple(int(k) for k in rng.choice([1, 1, 2, 3], 2))
        if rng.random() < 0.7:
            dilation = tuple(int(k) for k in rng.integers(1, 3, 2))
            padding = tuple(int(rng.integers(0, (k - 1) * d + 1)) for k, d in zip(kernel, dilation, strict=True))
            layers += [nn.Conv2d(channels, 3, kernel, stride, padding, dilation), nn.BatchNorm2d(3), nn.ReLU()]
            channels = 3
        else:
            dilation = (1, 1)
            padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
            pool = nn.MaxPool2d if rng.random() < 0.5 else nn.AvgPool2d
            layers.append(pool(kernel, stride, padding))
        rows.append((kernel[0], stride[0], padding[0], dilation[0]))
        columns.append((kernel[1], stride[1], padding[1], dilation[1]))
    return layers, rows, columns


@pytest.mark.parametrize("seed", range(12))
def test_random_stacks_see_what_the_formula_says(seed):
    rng = np.random.default_rng(seed)
    layers, rows, columns = stack(rng)
    model = nn.Sequential(*layers)
    x = torch.rand(1, 2, 61, 53)
    height, width = 61, 53
    for step in rows:
        height = output_size(height, *step)
    for step in columns:
        width = output_size(width, *step)
    last = str(len(layers) - 1)
    fields = receptive_fields(model, x, [last])[last]
    assert fields.shape == (height, width, 4) and fields.shape[:2] == model(x).shape[2:]
    for i, j in itertools.product(range(height), range(width)):
        top, bottom = closed_form(rows, i)
        left, right = closed_form(columns, j)
        assert tuple(fields[i, j]) == (top, left, bottom, right)


def test_a_network_whose_values_overflow_single_precision_has_its_fields_all_the_same():
    model = nn.Sequential(*(nn.Conv2d(2, 2, 3, padding=1, bias=False) for _ in range(3)))
    with torch.no_grad():
        for conv in model:
            conv.weight.copy_(1e30 * (-1.0) ** torch.arange(36).reshape(2, 2, 3, 3))
    x = torch.rand(1, 2, 24, 20)
    assert not model(x).isfinite().all()
    fields = receptive_fields(model, x, ["2"])["2"]
    for i, j in itertools.product(range(24), range(20)):
        assert tuple(fields[i, j]) == (i - 3, j - 3, i + 4, j + 4)


def test_a_field_larger_than_the_picture_reaches_beyond_it():
    """Three 7 x 7 convolutions on 8 x 8 pixels: no place's field ends inside on both sides."""
    model = nn.Sequential(*[nn.Conv2d(1, 1, 7, padding=3) for _ in range(3)])
    found = receptive_field(model, torch.rand(1, 1, 8, 8), "2", (4, 1))
    assert found.box == (-5, -8, 14, 11) and found.inside == (0, 0, 8, 8)


def test_a_flat_layer_sees_the_whole_picture():
    model, x = LeNet(), torch.rand(2, 1, 8, 8)
    for layer in ("flatten", "output"):
        found = receptive_field(model, x, layer)
        assert found.position == () and found.box == found.inside == (0, 0, 8, 8)
    pooled = receptive_field(ResNet(depth=8), x, "pool")
    assert pooled.position == (0, 0) and pooled.box == (0, 0, 8, 8)


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_a_residual_net_sees_as_far_as_its_longest_path(norm):
    model = ResNet(inputs=(3, 32, 32), depth=14, norm=norm)
    chain = [(3, 1, 1, 1)] * 5 + [(3, 2, 1, 1)]
    top, bottom = closed_form(chain, 7)
    found = receptive_field(model, torch.rand(1, 3, 32, 32), "block2_1.body.conv1", (7, 8))
    assert found.box == (top, top + 2, bottom, bottom + 2)


class Functional(nn.Module):
    """No module but convolutions: the operations between are functions, one layer is called twice."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3)
        self.far = nn.Conv2d(1, 1, 3, dilation=4)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu_(self.conv(x)), 2)
        return torch.cat([self.conv(x), self.far(nn.functional.pad(x, (3, 3, 3, 3)))], dim=1)


def test_functions_branches_and_a_second_call():
    model, x = Functional(), torch.rand(1, 1, 20, 20)
    assert receptive_field(model, x, "conv", (0, 0)).box == (0, 0, 3, 3)
    assert receptive_field(model, x, "conv:2", (1, 2)).box == (2, 4, 10, 12)
    assert receptive_field(model, x, "far", (0, 0)).box == (-6, -6, 14, 14)
    assert receptive_field(model, x, "model", (0, 0)).box == (-6, -6, 14, 14)


def test_tokens_see_everything_after_attention():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(1, 8, 4, stride=4)
            self.tokens = nn.LayerNorm(8)
            self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, x):
            return self.block(self.tokens(self.patches(x).flatten(2).transpose(1, 2)))

    model, x = Tokens(), torch.rand(1, 1, 8, 12)
    token = receptive_field(model, x, "tokens", 4)
    assert token.position == (4,) and token.box == (4, 4, 8, 8)
    assert receptive_field(model, x, "block", 4).box == (0, 0, 8, 12)


def test_the_measured_field_lies_within_the_theoretical_one():
    model, x = TinyVGG(inputs=(3, 16, 16), channels=(4, 4), seed=1).eval(), torch.rand(1, 3, 16, 16)
    found = receptive_field(model, x, "conv2_1", (3, 4))
    rows, columns = found.gradient.any(1).nonzero()[0], found.gradient.any(0).nonzero()[0]
    top, left, bottom, right = found.box
    assert found.gradient.shape == (16, 16)
    assert (top <= rows.min()) and rows.max() < bottom and left <= columns.min() and columns.max() < right
    leaf = x.clone().requires_grad_()
    values = nn.Sequential(*list(model)[:8])(leaf)[0, :, 3, 4]
    expected = sum(torch.autograd.grad(v, leaf, retain_graph=True)[0][0].abs().sum(0) for v in values) / len(values)
    assert np.allclose(found.gradient, expected.numpy(), atol=1e-7)


def test_the_measured_field_of_one_convolution_is_its_weights():
    model = nn.Conv2d(3, 5, 3, padding=1)
    found = receptive_field(model, torch.rand(1, 3, 6, 6), "model", (0, 2))
    expected = model.weight.detach().abs().sum(1).mean(0)[1:]
    assert found.box == (-1, 1, 2, 4) and found.inside == (0, 1, 2, 4)
    assert np.allclose(found.gradient[0:2, 1:4], expected) and found.gradient[2:].sum() == 0


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_given_back(fails):
    model = ResNet(depth=8, norm="batch")
    model.relu0.eval()
    model.conv0.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state, x = torch.get_rng_state(), torch.rand(1, 1, 8, 8)
    state = torch.get_rng_state()
    if fails:
        with pytest.raises(SettingError, match="places"):
            receptive_field(model, x, "conv0", (8, 0))
    else:
        receptive_field(model, x, "conv0")
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training and not model.relu0.training and not model.conv0.weight.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(value.grad is None for value in model.parameters()) and not x.requires_grad


def test_what_cannot_be_asked():
    with pytest.raises(SettingError, match="conv1"):
        receptive_field(LeNet(), torch.rand(1, 1, 8, 8), "nowhere")
    with pytest.raises(SettingError, match="relu1:2"):
        receptive_field(LeNet(), torch.rand(1, 1, 8, 8), "relu1:2")
    with pytest.raises(DataError, match="pictures"):
        receptive_field(LeNet(), torch.rand(1, 8), "conv1")


@pytest.mark.parametrize("transposed", [False, True])
def test_output_sizes_are_those_of_torch(transposed):
    kind = nn.ConvTranspose1d if transposed else nn.Conv1d
    for size, kernel, stride, padding, dilation in itertools.product((5, 12), (1, 2, 3), (1, 2, 3), (0, 1), (1, 2)):
        layer = kind(1, 1, kernel, stride, padding, dilation=dilation)
        try:
            expected = layer(torch.zeros(1, 1, size)).shape[2]
        except RuntimeError:
            expected = 0
        if expected:
            assert output_size(size, kernel, stride, padding, dilation, transposed) == expected
        else:
            with pytest.raises(SettingError, match="leave no output"):
                output_size(size, kernel, stride, padding, dilation, transposed)


def test_output_size_refuses_what_is_no_layer():
    with pytest.raises(SettingError, match="leave no output"):
        output_size(3, 5)
    with pytest.raises(SettingError, match="at least 1"):
        output_size(3, 1, stride=0)
