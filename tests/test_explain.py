"""The arithmetic of single values against the values themselves, against autograd, and as code that is run."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import labkit
from labkit.activations import capture, explain_value
from labkit.errors import DataError, SettingError


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tokens(*shape, most=7, seed=0):
    return torch.randint(most, shape, generator=torch.Generator().manual_seed(seed))


def stirred(module):
    """With parameters and stored averages unlike those at the start, where a wrong rule might pass."""
    generator = torch.Generator().manual_seed(5)
    for value in (*module.parameters(), *module.buffers()):
        if value.is_floating_point():
            value.data = torch.rand(value.shape, generator=generator) + 0.2
    for value in module.parameters():
        value.data -= 0.7
    return module


# (layer, its input)
KINDS = {
    "Linear": (nn.Linear(3, 4), draw(2, 3)),
    "Linear, no bias": (nn.Linear(3, 4, bias=False), draw(2, 5, 3)),
    "Linear, alone": (nn.Linear(3, 4), draw(3)),
    "Conv1d": (nn.Conv1d(2, 3, 3, stride=2, padding=1), draw(2, 2, 8)),
    "Conv1d, dilated groups": (nn.Conv1d(4, 6, 3, dilation=2, groups=2, bias=False), draw(2, 4, 9)),
    "Conv1d, same": (nn.Conv1d(2, 3, 4, padding="same"), draw(2, 2, 6)),
    "Conv2d": (nn.Conv2d(2, 3, 3, padding=1), draw(2, 2, 5, 4)),
    "Conv2d, strides": (nn.Conv2d(2, 3, (2, 3), stride=(2, 3), padding=(1, 2)), draw(2, 2, 6, 7)),
    "Conv2d, same": (nn.Conv2d(2, 2, (2, 4), padding="same", dilation=(1, 2)), draw(2, 2, 5, 7)),
    "Conv2d, valid": (nn.Conv2d(2, 2, 2, padding="valid"), draw(2, 2, 3, 3)),
    "Conv2d, groups": (nn.Conv2d(4, 8, 3, dilation=2, groups=4, padding=2), draw(1, 4, 5, 5)),
    "ReLU": (nn.ReLU(), draw(3, 5)),
    "ReLU in place": (nn.ReLU(inplace=True), draw(3, 5)),
    "LeakyReLU": (nn.LeakyReLU(0.2), draw(3, 5)),
    "Tanh": (nn.Tanh(), draw(3, 5)),
    "Sigmoid": (nn.Sigmoid(), 3 * draw(3, 5)),
    "GELU": (nn.GELU(), draw(3, 5)),
    "GELU, tanh": (nn.GELU("tanh"), draw(3, 5)),
    "SiLU": (nn.SiLU(), draw(3, 5)),
    "ELU": (nn.ELU(0.7), draw(3, 5)),
    "Softplus": (nn.Softplus(), draw(3, 5)),
    "Softplus, steep": (nn.Softplus(3.0, threshold=2.0), draw(3, 5)),
    "Identity": (nn.Identity(), draw(3, 5)),
    "Flatten": (nn.Flatten(), draw(2, 3, 2, 2)),
    "Flatten, some": (nn.Flatten(2), draw(2, 3, 2, 2)),
    "Dropout": (nn.Dropout(0.4), F.relu(draw(4, 9))),
    "Dropout, all": (nn.Dropout(1.0), draw(2, 3)),
    "Dropout, evaluation": (nn.Dropout(0.4).eval(), draw(2, 3)),
    "MaxPool1d": (nn.MaxPool1d(3, 2, padding=1), draw(2, 2, 8)),
    "MaxPool2d": (nn.MaxPool2d(2), draw(2, 2, 4, 6)),
    "MaxPool2d, equal values": (nn.MaxPool2d(2), F.relu(draw(2, 2, 4, 6))),
    "MaxPool2d, options": (nn.MaxPool2d((2, 3), 2, (1, 1), (2, 1), ceil_mode=True), draw(1, 2, 6, 6)),
    "AvgPool1d": (nn.AvgPool1d(3, 2, padding=1), draw(2, 2, 8)),
    "AvgPool2d": (nn.AvgPool2d(2), draw(2, 2, 4, 6)),
    "AvgPool2d, ceil": (nn.AvgPool2d((3, 2), 2, (1, 0), ceil_mode=True), draw(1, 2, 6, 5)),
    "AvgPool2d, inside": (nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), draw(1, 2, 6, 6)),
    "AvgPool2d, divisor": (nn.AvgPool2d(2, divisor_override=3), draw(1, 2, 4, 4)),
    "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d((2, 3)), draw(1, 2, 5, 7)),
    "AdaptiveAvgPool2d, one": (nn.AdaptiveAvgPool2d(1), draw(1, 2, 3, 3)),
    "AdaptiveAvgPool2d, wider": (nn.AdaptiveAvgPool2d((None, 5)), draw(1, 2, 3, 3)),
    "BatchNorm1d": (nn.BatchNorm1d(3), draw(5, 3)),
    "BatchNorm1d, sequence": (nn.BatchNorm1d(3), draw(2, 3, 4)),
    "BatchNorm1d, evaluation": (nn.BatchNorm1d(3).eval(), draw(5, 3)),
    "BatchNorm2d": (nn.BatchNorm2d(2, eps=1e-2), draw(2, 2, 3, 2)),
    "BatchNorm2d, evaluation": (nn.BatchNorm2d(2).eval(), draw(2, 2, 3, 2)),
    "BatchNorm2d, plain": (nn.BatchNorm2d(2, affine=False, track_running_stats=False).eval(), draw(2, 2, 3, 2)),
    "LayerNorm": (nn.LayerNorm(4), draw(2, 3, 4)),
    "LayerNorm, two": (nn.LayerNorm((3, 4), bias=False), draw(2, 3, 4)),
    "LayerNorm, plain": (nn.LayerNorm(4, elementwise_affine=False), draw(3, 4)),
    "Embedding": (nn.Embedding(7, 3), tokens(2, 4)),
    "Embedding, padding": (nn.Embedding(7, 3, padding_idx=2), tokens(3, 6)),
    "Softmax": (nn.Softmax(1), draw(3, 4)),
    "Softmax, last of three": (nn.Softmax(-1), 30 * draw(2, 3, 4)),
    "LogSoftmax": (nn.LogSoftmax(1), draw(3, 4, 2)),
}


def functional(module):
    """The layer as a function of its input, drawing what it drew, for autograd; a copy, so that it changes nothing."""
    module = copy.deepcopy(module)

    def apply(x):
        torch.manual_seed(3)
        return module(x)

    return module, apply


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(kind):
    module, given = copy.deepcopy(KINDS[kind])
    stirred(module)
    # The layer stands between another and a weighted sum, so that its gradients are none of 1.
    before = nn.Identity() if not given.is_floating_point() else nn.ELU(1.0)
    model = nn.Sequential(before, module)
    x = given if not given.is_floating_point() else torch.where(given > 0, given, torch.log1p(given.clamp(-0.9, 0)))
    torch.manual_seed(3)
    reached = before(x).detach()
    twin, apply = functional(module)
    leaf = reached.clone().requires_grad_(reached.is_floating_point())
    output = apply(leaf.clone())
    weights = draw(*output.shape, seed=8)

    def loss(output, target):
        return (output * weights).sum()

    targets = torch.zeros(1)
    torch.manual_seed(3)
    places = [tuple(place) for place in torch.ones(output.shape).nonzero().tolist()]
    step = max(1, len(places) // 40)
    sources = [*([leaf] if leaf.requires_grad else []), *twin.parameters()]
    totals = {}
    for number, place in enumerate(places):
        found = explain_value(model, x, "1", place, targets, loss)
        assert found.known and found.kind == type(module).__name__
        entry = output[place]
        assert found.value == pytest.approx(entry.item(), rel=1e-4, abs=1e-5)
        assert sum(term.product for term in found.terms) == pytest.approx(found.value, abs=1e-12)
        assert found.gradient.incoming == pytest.approx(weights[place].item(), rel=1e-5)
        for d in found.gradient.derivatives:
            totals.setdefault(d.of, {}).setdefault(d.index, []).append(d.outgoing)
            assert d.outgoing == pytest.approx(d.local * found.gradient.incoming)
        if number % step == 0:
            check_locals(found, torch.autograd.grad(entry, sources, retain_graph=True, allow_unused=True), leaf, twin)
            check_code(found, model, x, targets, loss)
    # What all values send out adds up to what autograd sends back.
    whole = torch.autograd.grad(output, sources, weights, allow_unused=True)
    for (name, _), expected in zip(names_of(leaf, twin), whole, strict=True):
        summed = torch.zeros(expected.shape)
        for index, parts in totals.get(name, {}).items():
            summed[index] = sum(parts)
        torch.testing.assert_close(summed, expected, rtol=1e-4, atol=1e-5)


def names_of(leaf, twin):
    return [*([("input", leaf)] if leaf.requires_grad else []), *twin.named_parameters()]


def check_locals(found, expected, leaf, twin):
    """Each local derivative is autograd's, and where none is named autograd's is zero."""
    for (name, tensor), gradient in zip(names_of(leaf, twin), expected, strict=True):
        mine = torch.zeros(tensor.shape)
        for d in found.gradient.derivatives:
            if d.of == name:
                mine[d.index] = d.local
        gradient = torch.zeros(tensor.shape) if gradient is None else gradient
        torch.testing.assert_close(mine, gradient, rtol=1e-4, atol=1e-5)


def check_code(found, model, x, target, loss):
    names = {"model": model, "x": x, "target": target, "loss": loss, "torch": torch, "labkit": labkit}
    exec(found.code, names)
    assert names["value"].item() == pytest.approx(found.value, rel=1e-4, abs=1e-5)
    exec(found.gradient.code, names)
    assert names["value"].item() == pytest.approx(found.value, rel=1e-4, abs=1e-5)
    assert names["incoming"].item() == pytest.approx(found.gradient.incoming, rel=1e-5)
    parts = {}
    for d in found.gradient.derivatives:
        parts.setdefault(d.of, []).append(d)
    for part, outgoing in zip(parts.values(), names["outgoing"], strict=True):
        for d in part:
            assert float(outgoing[d.index]) == pytest.approx(d.outgoing, rel=1e-4, abs=1e-5)


LOSSES = {
    "cross entropy": (draw(4, 3), tokens(4, most=3), None),
    "cross entropy by name": (draw(4, 3), tokens(4, most=3), "cross_entropy"),
    "cross entropy as a module": (draw(4, 3), tokens(4, most=3), nn.CrossEntropyLoss()),
    "cross entropy of sequences": (draw(2, 3, 5), tokens(2, 5, most=3), F.cross_entropy),
    "squares": (draw(4, 3), draw(4, 3, seed=1), None),
    "squares of single values": (draw(4), draw(4, seed=1), nn.MSELoss()),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss(name):
    x, target, loss = LOSSES[name]
    model = nn.Sequential(nn.Tanh())
    found = explain_value(model, x, "loss", (), target, loss)
    output = model(x).requires_grad_()
    expected = loss if callable(loss) else F.mse_loss if target.is_floating_point() else F.cross_entropy
    value = expected(output, target)
    assert found.known and found.value == pytest.approx(value.item(), rel=1e-5)
    assert sum(term.product for term in found.terms) == pytest.approx(found.value)
    gradient = torch.autograd.grad(value, output)[0]
    assert found.gradient.incoming == 1 and len(found.gradient.derivatives) == output.numel()
    for d in found.gradient.derivatives:
        assert d.local == d.outgoing == pytest.approx(gradient[d.index].item(), abs=1e-6)
    names = {"model": model, "x": x, "target": target, "torch": torch, "labkit": labkit}
    exec(found.code, names)
    assert names["value"].item() == pytest.approx(found.value, rel=1e-5)
    exec(found.gradient.code, names)
    torch.testing.assert_close(names["outgoing"][0], gradient)


def test_a_value_to_read():
    """By hand: 0.5 · 2 + (−1) · 4 + 0.25 = −2.75; the loss is (z − 1)² = 14.0625, ∂L/∂z = 2 · (−3.75) = −7.5."""
    model = nn.Sequential(nn.Linear(2, 1))
    model[0].weight.data, model[0].bias.data = torch.tensor([[0.5, -1.0]]), torch.tensor([0.25])
    found = explain_value(model, torch.tensor([[2.0, 4.0]]), "0", (0, 0), torch.tensor([[1.0]]))
    assert found.text.splitlines() == [
        "0[0,0] = Σ w[0,j] · x[j] + b[0]", "= 0.5 · 2 + (−1) · 4 + 0.25", "= −2.75",
    ]  # fmt: skip
    assert [(term.label, term.factors, term.product) for term in found.terms] == [
        ("w[0,0] · x[0]", (0.5, 2.0), 1.0), ("w[0,1] · x[1]", (-1.0, 4.0), -4.0), ("b[0]", (0.25,), 0.25),
    ]  # fmt: skip
    assert found.gradient.text.splitlines() == [
        "∂L/∂0[0,0] = −7.5, incoming", "to x[0]: −7.5 · 0.5 = −3.75", "to x[1]: −7.5 · (−1) = 7.5",
        "to w[0,0]: −7.5 · 2 = −15", "to w[0,1]: −7.5 · 4 = −30", "to b[0]: −7.5 · 1 = −7.5",
    ]  # fmt: skip
    assert str(found) == f"{found.text}\n{found.gradient.text}"


def test_a_long_sum_is_shortened_to_its_largest_terms():
    model = nn.Sequential(nn.Linear(50, 1, bias=False))
    model[0].weight.data = torch.arange(50.0)[None] - 25
    text = explain_value(model, torch.ones(1, 50), "0", (0, 0)).text
    # −25, −24, −23 and 24, 23, −22, 22, −21 are the largest; all are −25 together, those eight −46.
    assert text.splitlines()[1].endswith("+ (−22) · 1 + (−21) · 1 + 22 · 1 + 23 · 1 + 24 · 1 + 21 from 42 more")
    assert text.splitlines()[2] == "= −25"


def test_calls_are_told_apart_and_several_inputs_taken():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.relu, self.drop = nn.Linear(3, 3), nn.ReLU(inplace=True), nn.Dropout(0.5)

        def forward(self, a, b):
            return self.drop(self.relu(self.fc(self.drop(self.relu(self.fc(a) + b))) * 2))

    torch.manual_seed(1)
    model, x = Twice(), (draw(4, 3), draw(4, 3, seed=1))
    captured = capture(model, x)
    assert list(captured) == ["fc", "relu", "drop", "fc:2", "relu:2", "drop:2"]
    for name, values in captured.items():
        for place in torch.ones(4, 3).nonzero().tolist():
            found = explain_value(model, x, name, place)
            assert found.value == pytest.approx(values[tuple(place)].item(), abs=1e-5)
            names = {"model": model, "x": x, "labkit": labkit, "torch": torch}
            exec(found.code, names)
            assert names["value"].item() == pytest.approx(found.value, abs=1e-5)


class Doubling(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


UNKNOWN = {
    "lstm[0]": (nn.Sequential(nn.LSTM(3, 4)), draw(5, 2, 3), (1, 1, 2)),
    "0": (nn.Sequential(Doubling(3, 4)), draw(5, 3), (1, 2)),
    "model": (nn.Bilinear(3, 3, 2), (draw(5, 3), draw(5, 3)), (1, 1)),
    "circular": (nn.Sequential(nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular")), draw(1, 1, 5), (0, 0, 2)),
    "weight norm": (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))), draw(2, 3), (0, 1)),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_a_layer_that_is_not_known_is_said_to_be(case):
    model, x, index = UNKNOWN[case]
    layer = {"lstm[0]": "0[0]", "model": "model"}.get(case, "0")

    def loss(output, target):
        return (output[0] if isinstance(output, tuple) else output).square().sum()

    found = explain_value(model, x, layer, index, torch.zeros(1), loss)
    captured = capture(model, x)
    assert not found.known and found.terms == () and found.gradient.derivatives == ()
    assert found.value == captured[layer][index].item()
    assert found.gradient.incoming == pytest.approx(2 * found.value)
    assert "is not opened here" in found.text and "given: shape" in found.text and "autograd" in found.gradient.text
    names = {"model": model, "x": x, "target": torch.zeros(1), "loss": loss, "labkit": labkit, "torch": torch}
    exec(found.code, names)
    exec(found.gradient.code, names)
    assert names["value"].item() == found.value and names["incoming"].item() == found.gradient.incoming


def test_an_unknown_loss_is_said_to_be():
    model, x, target = nn.Sequential(nn.Linear(3, 3)), draw(4, 3), tokens(4, most=3)
    for loss in (nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss(weight=torch.ones(3)), nn.L1Loss()):
        wanted = target if isinstance(loss, nn.CrossEntropyLoss) else draw(4, 3)
        found = explain_value(model, x, "loss", (), wanted, loss)
        assert not found.known and found.value == pytest.approx(loss(model(x), wanted).item())


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    x, target = draw(4, 3), tokens(4, most=3)
    for layer in "012":
        explain_value(model, x, layer, (0, 0), target)
    assert torch.equal(torch.get_rng_state(), random) and torch.equal(x, draw(4, 3))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(value.grad is None for value in model.parameters())


@pytest.mark.parametrize(
    ("layer", "index", "target", "error", "message"),
    [
        ("1", (0, 0), None, SettingError, "layers of 0, received 1"),
        ("0:2", (0, 0), None, SettingError, "Expected a layer of 0, received '0:2'"),
        ("0", (0, 3), None, SettingError, r"shape is \(4, 3\), received \(0, 3\)"),
        ("0", 0, None, SettingError, r"shape is \(4, 3\), received \(0,\)"),
        ("0", ("a", 0), None, SettingError, "received"),
        ("loss", (), None, SettingError, "Give target= as well"),
        ("loss", (0,), tokens(4, most=3), SettingError, r"Expected the index \(\)"),
        ("0", (0, 0), tokens(4) + 9, DataError, "labels of 0 to 2"),
    ],
)
def test_errors_say_what_to_do(layer, index, target, error, message):
    with pytest.raises(error, match=message):
        explain_value(nn.Sequential(nn.Linear(3, 3)), draw(4, 3), layer, index, target)


def test_a_negative_index_counts_from_the_end():
    model, x = nn.Sequential(nn.Linear(3, 3)), draw(4, 3)
    assert explain_value(model, x, "0", (-1, -2)).index == (3, 1)
