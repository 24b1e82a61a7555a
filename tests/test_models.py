"""The small models: shapes, seeds, configurations, and one module for each use."""

import json

import pytest
import torch
from torch import nn

from labkit.errors import SettingError
from labkit.models import MLP, LeNet, TinyVGG, build

MODELS = [
    (MLP(2, 3, widths=(4, 5), activation=("tanh", "relu"), dropout=0.1, seed=2), (2,)),
    (MLP((1, 8, 8), 3, widths=()), (1, 8, 8)),
    (MLP(2, 3, activation="linear", output_activation="sigmoid", initial="playground"), (2,)),
    (LeNet((1, 8, 8), 3), (1, 8, 8)),
    (LeNet((3, 29, 31), 3, channels=(2, 4), hidden=7), (3, 29, 31)),
    (TinyVGG((3, 32, 48), 3, channels=(4, 8)), (3, 32, 48)),
]


@pytest.mark.parametrize(("model", "shape"), MODELS)
def test_config_rebuilds_the_same_model(model, shape):
    x = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0))
    assert model.eval()(x).shape == (5, 3)
    twin = build(json.loads(json.dumps(model.config)))
    assert torch.equal(model(x), twin.eval()(x))
    other = build({**model.config, "seed": 99})
    assert not torch.equal(model(x), other.eval()(x))


@pytest.mark.parametrize(("model", "shape"), MODELS)
def test_each_module_is_used_once_and_not_in_place(model, shape):
    calls = []
    leaves = [m for m in model.modules() if not any(m.children())]
    handles = [
        m.register_forward_hook(lambda m, a, b: calls.append((m, a[0].data_ptr(), b.data_ptr()))) for m in leaves
    ]
    before = torch.rand(2, *shape)
    kept = before.clone()
    model.train()(before)
    for handle in handles:
        handle.remove()
    assert [id(m) for m, *_ in calls] == [id(m) for m in leaves]
    assert torch.equal(before, kept)
    assert not any(getattr(m, "inplace", False) for m in leaves)
    graph = torch.fx.symbolic_trace(model).graph
    assert {node.op for node in graph.nodes} == {"placeholder", "call_module", "output"}


def test_weights_draw_nothing_from_the_global_generator():
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    MLP(), LeNet(), TinyVGG()
    assert torch.equal(torch.rand(2), expected)


def test_every_activation_follows_a_layer_of_its_own():
    names = ["linear", "relu", "linear"]
    model = MLP(2, 1, widths=(3, 4, 5), activation=names, output_activation="tanh")
    assert [type(m).__name__ for m in model] == [
        "Linear",
        "Identity",
        "Linear",
        "ReLU",
        "Linear",
        "Identity",
        "Linear",
        "Tanh",
    ]
    assert model(torch.zeros(6, 2)).shape == (6, 1)


def test_a_part_of_an_mlp_is_a_plain_sequential_of_the_same_modules():
    model = MLP(2, 1, widths=(3, 4))
    part = model[:2]
    assert type(part) is nn.Sequential
    assert part[0] is model[0] is model.linear1
    assert list(dict(part.named_children())) == ["linear1", "tanh1"]


def test_mlp_against_hand_arithmetic():
    model = MLP(2, 1, widths=(2,), activation="relu")
    with torch.no_grad():
        model.linear1.weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, 0.5]]))
        model.linear1.bias.copy_(torch.tensor([0.5, -1.0]))
        model.output.weight.copy_(torch.tensor([[3.0, -2.0]]))
        model.output.bias.copy_(torch.tensor([0.25]))
    # hidden: 1*1 + 2*2 + 0.5 = 5.5; -1*1 + 0.5*2 - 1 = -1 -> 0; output: 3*5.5 + 0.25
    assert model(torch.tensor([[1.0, 2.0]])).item() == 16.75


def test_he_initialisation_keeps_the_scale():
    model = TinyVGG((3, 32, 32), channels=(32, 32))
    fan_in = 32 * 9
    assert model.conv2_1.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
    assert isinstance(model.relu2_1, nn.ReLU)


@pytest.mark.parametrize(
    ("match", "make"),
    [
        ("one activation for each of the 2", lambda: MLP(widths=(3, 3), activation=("tanh",))),
        ("received swish", lambda: MLP(activation="swish")),
        ("at least 1", lambda: MLP(widths=(0,))),
        ("dropout", lambda: MLP(dropout=1.0)),
        ("4 pixels", lambda: LeNet((1, 3, 3))),
        ("two convolutions", lambda: LeNet(channels=(4,))),
        ("8 pixels", lambda: TinyVGG((3, 6, 6))),
        ("received 'VGG'", lambda: build({"architecture": "VGG"})),
        ("settings of MLP", lambda: build({"architecture": "MLP", "depth": 3})),
    ],
)
def test_wrong_settings_are_named(match, make):
    with pytest.raises(SettingError, match=match):
        make()
