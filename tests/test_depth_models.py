"""Deep models: any depth, initial weights by rule, residual blocks, LSUV, and the recipes that break."""

import json
import math

import pytest
import torch
from torch import nn

from labkit.data import digits
from labkit.errors import DataError, SettingError
from labkit.models import MLP, ResNet, build, lsuv
from labkit.models.broken import BROKEN, CURED
from labkit.models.residual import Downsample, Residual
from labkit.train import Trainer

MODELS = [
    (MLP(2, 3, widths=(), norm="batch"), (2,)),
    (MLP((1, 8, 8), 3, widths=[16] * 100, activation="relu", initial="he", norm="layer", residual=True), (1, 8, 8)),
    (MLP(4, 3, widths=(4, 5, 5), initial="xavier", norm="batch", residual=True, dropout=0.1), (4,)),
    (MLP(2, 3, initial="small"), (2,)),
    (ResNet((1, 8, 8), 3, depth=2), (1, 8, 8)),
    (ResNet((3, 9, 12), 3, depth=20, channels=(2, 3, 4), norm="layer", initial="xavier"), (3, 9, 12)),
    (ResNet((1, 8, 8), 3, depth=110, channels=(2, 2, 4), residual=False, initial="default"), (1, 8, 8)),
    (ResNet((1, 16, 16), 3, depth=8, norm="none", initial="large"), (1, 16, 16)),
]


def values(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("model", "shape"), MODELS)
def test_config_rebuilds_the_same_model(model, shape):
    x = values(5, *shape)
    assert model.eval()(x).shape == (5, 3)
    twin = build(json.loads(json.dumps(model.config)))
    assert torch.equal(model(x), twin.eval()(x))
    assert not torch.equal(model(x), build({**model.config, "seed": 99}).eval()(x))


def test_an_old_configuration_still_builds():
    old = {"architecture": "MLP", "inputs": 2, "outputs": 1, "widths": [4, 4], "activation": "tanh", "seed": 3}
    assert [name for name, _ in build(old).named_children()] == ["linear1", "tanh1", "linear2", "tanh2", "output"]


@pytest.mark.parametrize(("model", "shape"), MODELS)
def test_each_module_is_used_once_and_not_in_place(model, shape):
    calls = []
    leaves = [m for m in model.modules() if not any(m.children())]
    handles = [m.register_forward_hook(lambda m, a, b: calls.append(m)) for m in leaves]
    before = values(3, *shape)
    kept = before.clone()
    model.train()(before)
    for handle in handles:
        handle.remove()
    assert [id(m) for m in calls] == [id(m) for m in leaves]
    assert torch.equal(before, kept)
    assert not any(getattr(m, "inplace", False) for m in leaves)


@pytest.mark.parametrize("depth", [2, 8, 20, 56, 110])
@pytest.mark.parametrize("residual", [True, False])
def test_the_depth_counts_layers_with_weights(depth, residual):
    model = ResNet(depth=depth, residual=residual, channels=(2, 2, 2))
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules()) == depth


def test_plain_and_residual_networks_have_the_same_weights():
    plain, residual = ResNet(depth=14, residual=False), ResNet(depth=14)
    for ours, other in zip(plain.parameters(), residual.parameters(), strict=True):
        assert torch.equal(ours, other)
    plain, residual = MLP(4, 2, [4] * 3, norm="layer"), MLP(4, 2, [4] * 3, norm="layer", residual=True)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), residual.parameters(), strict=True))


def test_a_plain_network_is_a_chain_of_its_leaves():
    model, x = ResNet(depth=8, residual=False).eval(), values(2, 1, 8, 8)
    expected = x
    for module in model.modules():
        if not any(module.children()):
            expected = module(expected)
    assert torch.equal(model(x), expected)


def test_a_residual_block_against_hand_arithmetic():
    """He et al. 2016, fig. 2: relu(x + conv2(relu(conv1(x)))), norms left out."""
    model, x = ResNet(depth=8, norm="none", channels=(3, 3, 3)).eval(), values(2, 1, 8, 8)
    first = torch.relu(model.conv0(x))
    body = model.block1_1.body
    expected = torch.relu(first + body.conv2(torch.relu(body.conv1(first))))
    torch.testing.assert_close(nn.Sequential(*list(model)[:4])(x), expected)


def test_the_shortcut_takes_every_second_pixel_and_adds_zeros():
    x = values(2, 3, 5, 4)
    y = Downsample(3, 5)(x)
    assert y.shape == (2, 5, 3, 2)
    assert torch.equal(y[:, :3], x[:, :, [0, 2, 4]][:, :, :, [0, 2]])
    assert not y[:, 3:].any()


def test_blocks_stand_where_the_width_stays():
    model = MLP(4, 2, widths=(4, 6, 6, 3), activation="relu", norm="batch", residual=True)
    assert [name for name, _ in model.named_children()] == [
        "block1", "linear2", "norm2", "relu2", "block3", "linear4", "norm4", "relu4", "output",
    ]  # fmt: skip
    assert list(dict(model.block3.body.named_children())) == ["linear3", "norm3", "relu3"]
    x = values(5, 6)
    torch.testing.assert_close(model.eval().block3(x), x + model.block3.body(x))
    assert isinstance(model.block3, Residual)


def test_initial_weights_by_rule():
    def weight(initial):
        return MLP(200, 2, [400], initial=initial).linear1

    he = math.sqrt(2 / 200)
    for initial, std in (("he", he), ("large", 4 * he), ("small", 0.01), ("xavier", math.sqrt(2 / 600))):
        layer = weight(initial)
        assert layer.weight.std().item() == pytest.approx(std, rel=0.02), initial
        assert layer.weight.mean().item() == pytest.approx(0, abs=3 * std / math.sqrt(80_000))
        assert not layer.bias.any()
    assert weight("xavier").weight.abs().max().item() <= math.sqrt(6 / 600)
    convolution = ResNet(depth=8, channels=(16, 32, 64)).block3_1.body.conv2
    assert convolution.weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.02)


@pytest.mark.parametrize(
    "model",
    [MLP((1, 8, 8), 10, [24] * 20, "tanh"), ResNet(depth=14, norm="none", residual=False), ResNet(depth=14)],
)
def test_lsuv_gives_each_layer_unit_variance(model):
    x = digits().inputs[:200]
    model.train()
    assert lsuv(model, x) is model
    assert all(m.training for m in model.modules())
    assert not any(m._forward_hooks for m in model.modules())
    stds = []
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    handles = [m.register_forward_hook(lambda m, a, b: stds.append(b.std().item())) for m in layers]
    model.eval()(x)
    for handle in handles:
        handle.remove()
    assert stds == pytest.approx([1] * len(layers), rel=1e-3)


def test_lsuv_draws_from_its_seed_and_refuses_a_constant_batch():
    x = digits().inputs[:20]
    once, again, other = (lsuv(MLP((1, 8, 8), 10), x, seed) for seed in (0, 0, 1))
    assert torch.equal(once.output.weight, again.output.weight)
    assert not torch.equal(once.output.weight, other.output.weight)
    with pytest.raises(DataError, match="standard deviation 0"):
        lsuv(MLP((1, 8, 8), 10), torch.zeros(20, 1, 8, 8))


def test_deep_models_draw_nothing_from_the_global_generator():
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    ResNet(depth=8), MLP(initial="large", norm="batch", residual=True)
    lsuv(MLP((1, 8, 8)), digits().inputs[:20])
    assert torch.equal(torch.rand(2), expected)


def test_recipes_are_one_line_to_train():
    train, _ = digits().split()
    assert BROKEN.keys() == CURED.keys()
    for recipe in (*BROKEN.values(), *CURED.values()):
        trainer = Trainer(recipe.model(seed=1), train, **recipe.training)
        assert math.isfinite(trainer.step()["loss"])
        assert trainer.model.config["seed"] == 1


@pytest.mark.parametrize(
    ("match", "make"),
    [
        ("6n \\+ 2", lambda: ResNet(depth=9)),
        ("6n \\+ 2", lambda: ResNet(depth=1)),
        ("three stages", lambda: ResNet(channels=(8, 4, 2))),
        ("three stages", lambda: ResNet(channels=(8, 16))),
        ("channels, height", lambda: ResNet((8, 8))),
        ("norm of none, batch, layer", lambda: ResNet(norm="group")),
        ("norm of none, batch, layer", lambda: MLP(norm="group")),
        ("initial weights", lambda: ResNet(initial="playground")),
        ("initial weights of default, playground, xavier, he", lambda: MLP(initial="lsuv")),
    ],
)
def test_wrong_settings_are_named(match, make):
    with pytest.raises(SettingError, match=match):
        make()
