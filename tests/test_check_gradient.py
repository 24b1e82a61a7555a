"""Three ways to one gradient: they agree on every kind of model, and a wrong one is seen."""

import copy
import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.activations import chain, check_gradient
from labkit.errors import DataError, SettingError
from labkit.models import MLP, LeNet


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labels(n, classes=3, seed=1):
    return torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed))


def seeded(make):
    torch.manual_seed(0)
    return make()


CHAINS = {
    "mlp": (lambda: MLP(4, 3, (5, 4), "gelu"), draw(6, 4), labels(6)),
    "mlp, squares": (lambda: MLP(4, 2, (5,), "sigmoid"), draw(6, 4), draw(6, 2, seed=3)),
    "cnn": (lambda: LeNet((1, 8, 8), 3, (2, 3), 6), draw(3, 1, 8, 8), labels(3)),
    "dropout": (lambda: MLP(4, 3, (8, 8), dropout=0.5), draw(6, 4), labels(6)),
    "in place": (
        lambda: nn.Sequential(nn.Linear(4, 5), nn.ELU(inplace=True), nn.Dropout(0.3), nn.Linear(5, 3)),
        draw(6, 4), labels(6),
    ),
    "norms": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2), nn.BatchNorm2d(4), nn.SiLU(), nn.AvgPool2d(2), nn.Flatten(),
            nn.LayerNorm(4), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3), nn.LogSoftmax(1),
        ),
        draw(4, 2, 6, 6), labels(4),
    ),
    "tokens": (
        lambda: nn.Sequential(nn.Embedding(5, 4, padding_idx=0), nn.Flatten(), nn.Linear(12, 3), nn.Softmax(1)),
        labels(12, 5).reshape(4, 3), labels(4),
    ),
    "one layer": (lambda: nn.Linear(4, 3), draw(6, 4), labels(6)),
}  # fmt: skip


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", CHAINS)
def test_all_three_agree_without_help(name, training):
    make, x, y = CHAINS[name]
    model = seeded(make).train(training)
    torch.manual_seed(7)
    expected = gradients(model, x, y)
    for parameter, gradient in expected.items():
        for place in gradient.abs().flatten().topk(2 if gradient.numel() > 1 else 1).indices:
            index = tuple(int(i) for i in torch.unravel_index(place, gradient.shape))
            torch.manual_seed(7)
            found = check_gradient(model, x, y, parameter, index)
            assert found.agrees and found.borrowed == "", found.text
            assert found.chain_rule == pytest.approx(found.autograd, rel=1e-9, abs=1e-12)
            assert found.autograd == pytest.approx(gradient[index].item(), rel=1e-6, abs=1e-9)
            assert "They agree." in str(found) and parameter in found.text


def gradients(model, x, y):
    """By a plain backward pass in float64."""
    model = copy.deepcopy(model).double()
    x = x.double().requires_grad_() if x.is_floating_point() else x
    output = model(x)
    loss = F.mse_loss(output, y.double()) if y.is_floating_point() else F.cross_entropy(output, y)
    loss.backward()
    found = {name: value.grad for name, value in model.named_parameters()}
    return found | ({"input": x.grad} if x.is_floating_point() else {})


def test_every_entry_of_a_small_net():
    model, x, y = MLP(2, 1, (3,)), draw(4, 2), draw(4, 1, seed=1)
    for name, value in (*model.named_parameters(), ("input", x)):
        for place in torch.ones(value.shape).nonzero().tolist():
            assert check_gradient(model, x, y, name, place).agrees


def test_a_wrong_chain_rule_is_seen(monkeypatch):
    model, x, y = MLP(4, 3, (5,)), draw(6, 4), labels(6)
    right = chain.RULES[nn.Tanh]
    monkeypatch.setitem(chain.RULES, nn.Tanh, lambda call, gradient: right(call, 1.001 * gradient))
    found = check_gradient(model, x, y, "linear1.weight", (0, 0))
    assert not found.agrees and not found.at_a_kink and "They differ." in found.text
    assert found.chain_rule == pytest.approx(1.001 * found.autograd)
    assert check_gradient(model, x, y, "output.weight", (0, 0)).agrees  # after the wrong one


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.inner, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.tensor([2.0]))

    def forward(self, x):
        h = torch.relu(self.first(x))
        return self.head(h + self.scale * self.inner(h))


def test_between_layers_autograd_is_asked_and_said_to_be():
    model, x, y = seeded(Residual), draw(5, 4), labels(5)
    assert check_gradient(model, x, y, "head.weight", (0, 0)).borrowed == ""
    for name in ("first", "inner"):
        found = check_gradient(model, x, y, f"{name}.weight", (1, 2))
        assert found.agrees and found.chain_rule == pytest.approx(found.autograd)
        assert found.borrowed == f"What follows {name} is not opened: autograd's gradient there is taken."
        assert found.borrowed in found.text
    alone = check_gradient(model, x, y, "scale", 0)
    assert alone.chain_rule is None and alone.agrees and "not to be had" in alone.text
    assert check_gradient(model, x, y, "input", (0, 0)).chain_rule is None


def test_an_unknown_layer_on_the_way():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.PReLU(), nn.Linear(4, 3))
    x, y = draw(5, 4), labels(5)
    found = check_gradient(model, x, y, "0.weight", (1, 1))
    assert found.agrees and found.borrowed.startswith("What follows 1 is not opened")
    assert found.chain_rule == pytest.approx(found.autograd)
    assert check_gradient(model, x, y, "input", (1, 1)).chain_rule is not None
    assert check_gradient(model, x, y, "2.weight", 0).chain_rule is None
    first = nn.Sequential(nn.PReLU(), nn.Linear(4, 3))
    assert check_gradient(first, x, y, "input", (1, 1)).chain_rule is None


def test_an_unknown_loss():
    model, x, y = MLP(4, 3, (5,)), draw(6, 4), labels(6)
    found = check_gradient(model, x, y, "linear1.bias", 2, loss=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2, 3])))
    assert found.agrees and found.chain_rule == pytest.approx(found.autograd)
    assert found.borrowed.startswith("What follows output is not opened")


def test_a_layer_used_twice_and_tied_weights():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.fc, self.act = nn.Embedding(5, 3), nn.Linear(3, 3), nn.Tanh()
            self.out = nn.Linear(3, 5, bias=False)
            self.out.weight = self.embed.weight

        def forward(self, tokens):
            return self.out(self.act(self.fc(self.act(self.fc(self.embed(tokens))))))

    model, x, y = seeded(Tied), labels(6, 5), labels(6, 5, seed=2)
    for name, index in (("fc.weight", (1, 2)), ("fc.bias", 0), ("embed.weight", (int(x[0]), 1))):
        found = check_gradient(model, x, y, name, index)
        assert found.agrees and found.borrowed == ""
        assert found.chain_rule == pytest.approx(found.autograd)


def test_a_kink_is_told_from_a_mistake():
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    model[0].weight.data, model[0].bias.data = torch.tensor([[1.0]]), torch.tensor([0.0])
    found = check_gradient(model, torch.zeros(1, 1), torch.ones(1, 1), "0.bias", 0)
    assert (found.autograd, found.chain_rule) == (0, 0) and found.finite_difference == pytest.approx(-1, rel=1e-4)
    assert not found.agrees and found.at_a_kink and "bends within" in found.text
    bent_but_right = dataclasses.replace(found, autograd=found.finite_difference)
    wrong_but_straight = dataclasses.replace(found, slopes=(0.5, 0.5))
    assert not bent_but_right.at_a_kink and not wrong_but_straight.at_a_kink
    # Where the slope is zero without a kink, a small curvature is none.
    flat = check_gradient(nn.Sequential(nn.Linear(1, 1)), torch.zeros(1, 1), torch.zeros(1, 1), "0.weight", (0, 0))
    assert flat.agrees and not flat.at_a_kink


def test_the_model_is_not_touched():
    model, x, y = MLP(4, 3, (5,), dropout=0.5), draw(6, 4), labels(6)
    model.linear1.weight.requires_grad_(False)
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    wide = x.double()  # already in float64: must still be a copy that is moved
    assert check_gradient(model, wide, y, "linear1.weight", (0, 0)).agrees
    assert check_gradient(model, wide, y, "input", (0, 0)).agrees
    assert torch.equal(wide, x.double()) and wide._version == 0
    assert torch.equal(torch.get_rng_state(), random)
    assert not model.linear1.weight.requires_grad and model.linear1.weight.dtype == torch.float32
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(value.grad is None for value in model.parameters())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((draw(6, 4), labels(6), "weight", 0), SettingError, "linear1.weight, .* or input, received 'weight'"),
        ((draw(6, 4), labels(6), "linear1.weight", 0), SettingError, r"whose shape is \(5, 4\), received \(0,\)"),
        ((draw(6, 4), labels(6), "linear1.weight", (5, 0)), SettingError, r"shape is \(5, 4\), received \(5, 0\)"),
        ((draw(6, 4), labels(6), "linear1.bias", 0, None, 0.0), SettingError, "step between 0 and 1"),
        ((labels(6), labels(6), "input", 0), SettingError, "moved a little, received torch.int64"),
        (((draw(6, 4),), labels(6), "linear1.bias", 0), DataError, "received tuple and Tensor"),
        ((draw(6, 4), labels(6) + 3, "linear1.bias", 0), DataError, "labels of 0 to 2"),
    ],
)
def test_errors_say_what_to_do(arguments, error, message):
    with pytest.raises(error, match=message):
        check_gradient(MLP(4, 3, (5,)), *arguments)
