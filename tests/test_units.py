"""Links between layers, maps of units, what a unit is the sum of, units switched off: against oracles."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.activations import (
    Link,
    altered,
    capture,
    contributions,
    explain_value,
    links,
    unit_axes,
    unit_maps,
    windows_of,
)
from labkit.errors import SettingError
from labkit.models import LeNet, ResNet


class Branches(nn.Module):
    """Two branches that are added, one that is concatenated; functions instead of layers between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.left = nn.Conv2d(4, 4, 3, padding=1)
        self.right = nn.Conv2d(4, 4, 1)
        self.last = nn.Linear(8 * 16, 5)

    def forward(self, x):
        a = F.relu(self.first(x))
        b = F.max_pool2d(self.left(a) + a, 2)
        c = self.right(F.avg_pool2d(a, 2))
        return self.last(torch.cat([b, c], 1).flatten(1))


def pairs(found):
    return {(link.source, link.target): link.through for link in found}


def test_links_go_through_functions_additions_and_concatenations():
    torch.manual_seed(0)
    found = pairs(links(Branches(), torch.rand(1, 3, 8, 8)))
    assert found == {
        ("x", "first"): (),
        ("first", "left"): ("relu",),
        ("first", "right"): ("relu", "avg_pool2d"),
        ("left", "last"): ("add", "max_pool2d", "cat", "flatten"),
        ("first", "last"): ("relu", "add", "max_pool2d", "cat", "flatten"),
        ("right", "last"): ("cat", "flatten"),
        ("last", None): (),
    }


def test_links_of_a_residual_net_have_the_skips_and_a_plain_one_has_none():
    x = torch.rand(1, 1, 8, 8)
    found = links(ResNet(depth=8).eval(), x)
    skips = [link for link in found if link.through == ("add",)]
    assert [(link.source, link.target) for link in skips] == [
        (source, f"relu{k}_1") for k in (1, 2, 3) for source in (f"block{k}_1.shortcut", f"block{k}_1.body.norm2")
    ]
    assert Link("relu0", "block1_1.shortcut") in found and Link("relu0", "block1_1.body.conv1") in found
    names = ["x", *capture(LeNet(), x), None]
    assert links(LeNet(), x) == [Link(a, b) for a, b in zip(names, names[1:], strict=False)]


def test_links_leave_the_model_as_it_was():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(2))
    before = copy.deepcopy(model.state_dict())
    assert pairs(links(model, torch.rand(2, 1, 5, 5)))["1", "2"] == ()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    model.append(nn.Linear(99, 1))
    with pytest.raises(ValueError, match="inputs that fit"):
        links(model, torch.rand(2, 1, 5, 5))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


CONVOLUTIONS = {
    "plain": nn.Conv2d(4, 6, 3),
    "strided": nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=1, dilation=(1, 2)),
    "same": nn.Conv2d(4, 6, 3, padding="same", dilation=2),
    "circular": nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"),
    "reflect": nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect", bias=False),
    "groups": nn.Conv2d(4, 6, 3, padding=1, groups=2),
    "depthwise": nn.Conv2d(4, 4, 3, padding=1, groups=4),
    "transposed": nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1),
    "transposed groups": nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_what_the_input_channels_add_is_the_units_map(kind):
    module = CONVOLUTIONS[kind]
    x = torch.rand(2, 4, 9, 8)
    expected = module(x)[0]
    for unit in range(len(expected)):
        made = contributions(module, x, unit)
        total = made.products.sum(0) + made.bias
        torch.testing.assert_close(total, expected[unit].detach().double(), atol=1e-6, rtol=0)
        torch.testing.assert_close(made.inputs, x[0, list(made.channels)].double())
        assert len(made.kernels) == len(made.products) == 4 // module.groups


def test_each_product_is_what_the_layer_gives_for_that_channel_alone():
    module, x = nn.Conv2d(3, 2, 3, padding=1), torch.rand(1, 3, 6, 6)
    made = contributions(module, x, 1)
    for channel in range(3):
        alone = torch.zeros_like(x)
        alone[:, channel] = x[:, channel]
        expected = module(alone)[0, 1].detach().double() - made.bias
        torch.testing.assert_close(made.products[channel], expected, atol=1e-6, rtol=0)


def test_a_linear_layer_reads_what_was_flattened_as_maps():
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 4, 5)), torch.rand(1, 2, 3, 4)
    made = contributions(model[1], x.flatten(1), 2, shape=(2, 3, 4))
    assert made.kernels.shape == (2, 3, 4) and made.products.shape == (2, 1, 1)
    torch.testing.assert_close(
        float(made.products.sum() + made.bias), float(model(x)[0, 2].detach()), atol=1e-6, rtol=0
    )
    plain = contributions(model[1], x.flatten(1), 2)
    assert plain.products.shape == (24, 1, 1)
    torch.testing.assert_close(plain.products.sum(), made.products.sum())
    assert contributions(nn.ReLU(), x, 0) is None


class Last(nn.Module):
    """A layer norm, linear layer and activation on the last axis between two convolutions, as in ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.norm = nn.LayerNorm(5)
        self.linear = nn.Linear(5, 7)
        self.act = nn.GELU()
        self.back = nn.Identity()

    def forward(self, x):
        x = self.conv(x).permute(0, 2, 3, 1)
        return self.back(self.act(self.linear(self.norm(x))).permute(0, 3, 1, 2))


def test_units_are_found_first_and_last():
    model = Last()
    captured = capture(model, torch.rand(1, 3, 8, 9), inputs=True)
    axes = unit_axes(model, captured)
    assert axes == {"conv": 1, "norm": 3, "linear": 3, "act": 3, "back": 1}
    shapes = {name: tuple(unit_maps(captured[name], axes[name]).shape) for name in captured}
    assert shapes["conv"] == (1, 5, 6, 7) and shapes["act"] == shapes["back"] == (1, 7, 6, 7)
    torch.testing.assert_close(unit_maps(captured["act"], 3), captured["back"])
    made = contributions(model.linear, captured.inputs["linear"], 6, axis=3)
    expected = unit_maps(captured["linear"], 3)[0, 6].double()
    torch.testing.assert_close(made.products.sum(0) + made.bias, expected, atol=1e-6, rtol=0)
    assert unit_maps(torch.rand(2, 6), 1).shape == (2, 6, 1, 1)
    assert unit_maps(torch.rand(2, 9, 6), 2).shape == (2, 6, 1, 9)


def test_an_altered_unit_changes_all_that_follows_and_nothing_stays():
    model, x = Branches(), torch.rand(1, 3, 8, 8)
    plain = capture(model, x)
    with altered(model, {("first", 1): 0.0, ("left", 2): 2.5}):
        changed = capture(model, x)
    by_hand = copy.deepcopy(model)
    with torch.no_grad():
        by_hand.first.weight[1] = by_hand.first.bias[1] = 0
        by_hand.left.weight[2] *= 2.5
        by_hand.left.bias[2] *= 2.5
    torch.testing.assert_close(changed.output, by_hand(x).detach())
    assert not changed["first"][:, 1].any() and torch.equal(changed["first"][:, 0], plain["first"][:, 0])
    assert torch.equal(capture(model, x).output, plain.output)
    assert not any(module._forward_hooks for module in model.modules())


def test_altered_counts_calls_and_refuses_what_is_not_there():
    relu = nn.ReLU()
    model, x = nn.Sequential(nn.Conv2d(1, 2, 1), relu, nn.Conv2d(2, 2, 1), relu), torch.rand(1, 1, 3, 3)
    with altered(model, {("1:2", 0): 0.0}):
        changed = capture(model, x)
    assert torch.equal(changed["1"], capture(model, x)["1"]) and not changed["1:2"][:, 0].any()
    with pytest.raises(SettingError, match="a unit of 0 of 0 to 1, received 5"), altered(model, {("0", 5): 0.0}):
        capture(model, x)
    with pytest.raises(SettingError, match="Expected layers of"), altered(model, {("nowhere", 0): 0.0}):
        pass
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(1, 1, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
        nn.Conv2d(1, 1, 5, padding="same"),
        nn.MaxPool2d(3, 2, padding=1),
        nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d(3),
    ],
)
def test_windows_are_where_the_gradient_goes(module):
    x = torch.rand(1, 1, 9, 9, requires_grad=True)
    if isinstance(module, nn.Conv2d):
        nn.init.ones_(module.weight)
    output = module(x)
    windows = windows_of(module, x.shape, output.shape)
    for i, j in ((0, 0), (1, 2), (output.shape[2] - 1, output.shape[3] - 1)):
        (gradient,) = torch.autograd.grad(output[0, 0, i, j], x, retain_graph=True)
        rows, columns = (
            [place * windows.stride[d] - windows.padding[d] + k * windows.dilation[d] for k in range(windows.kernel[d])]
            for d, place in enumerate((i, j))
        )
        inside = {(r, c) for r in rows for c in columns if 0 <= r < 9 and 0 <= c < 9}
        seen = {tuple(place) for place in gradient[0, 0].nonzero().tolist()}
        assert seen <= inside if isinstance(module, nn.MaxPool2d) else seen == inside
    assert windows_of(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), x.shape, x.shape) is None
    assert windows_of(nn.AdaptiveAvgPool2d(2), x.shape, (1, 1, 2, 2)) is None


def test_one_value_of_the_sum_is_the_value_that_is_explained():
    model, x = LeNet(seed=3), torch.rand(1, 1, 8, 8)
    captured = capture(model, x, inputs=True)
    made = contributions(model.conv2, captured.inputs["conv2"], 4)
    explained = explain_value(model, x, "conv2", (0, 4, 2, 1))
    assert float(made.products[:, 2, 1].sum() + made.bias) == pytest.approx(explained.value, abs=1e-9)
