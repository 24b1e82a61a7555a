"""Values and gradients of every layer against those that torch gives itself, and a model that is left as it was."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit import LabkitError
from labkit.activations import capture
from labkit.errors import DataError, SettingError
from labkit.models import MLP, LeNet


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labels(n, classes=3, seed=1):
    return torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed))


def reference(model, x, target, steps):
    """Outputs and their gradients where each step's result is kept with retain_grad, on a copy without in-place."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    x = x.clone().requires_grad_(x.is_floating_point())
    outputs = steps(model, x)
    for value in outputs.values():
        value.retain_grad()
    loss = F.cross_entropy(list(outputs.values())[-1], target)
    loss.backward()
    return model, x, outputs, loss


def chain(model, x):
    outputs = {}
    for name, layer in model.named_children():
        x = outputs[name] = layer(x)
    return outputs


def agrees(captured, reference):
    model, x, outputs, loss = reference
    assert list(captured) == list(outputs)
    for name, value in outputs.items():
        torch.testing.assert_close(captured[name], value.detach())
        torch.testing.assert_close(captured.gradients[name], value.grad)
    torch.testing.assert_close(captured.loss, loss.detach())
    assert (captured.input_gradient is None) == (x.grad is None)
    if x.grad is not None:
        torch.testing.assert_close(captured.input_gradient, x.grad)
    expected = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    assert captured.parameter_gradients.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(captured.parameter_gradients[name], value)


CHAINS = {
    "linear": lambda: nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)),
    "in place": lambda: nn.Sequential(
        nn.Linear(6, 4), nn.ReLU(inplace=True), nn.Linear(4, 4), nn.ELU(inplace=True), nn.Linear(4, 3)
    ),
    "a view, then in place": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 3, 3), nn.Flatten(), nn.ReLU(inplace=True), nn.Linear(12, 3)
    ),
    "in place first": lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 3)),
    "the same tensor on": lambda: nn.Sequential(
        nn.Linear(6, 3), nn.Identity(), nn.Dropout(0.5).eval(), nn.ReLU(inplace=True), nn.Linear(3, 3)
    ),
    "batchnorm": lambda: nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Linear(4, 3)),
}


@pytest.mark.parametrize("make", CHAINS.values(), ids=CHAINS)
def test_a_chain_gives_what_autograd_gives(make):
    torch.manual_seed(0)
    model, x, target = make(), draw(5, 6), labels(5)
    captured = capture(model, x, gradients=True, target=target)
    agrees(captured, reference(model, x, target, chain))
    torch.testing.assert_close(captured.output, captured[list(captured)[-1]])
    without = capture(model, x)
    for name, value in without.items():
        torch.testing.assert_close(value, captured[name])
    assert (without.loss, without.input_gradient, without.gradients) == (None, None, {})


@pytest.mark.parametrize("training", [True, False])
def test_a_convolutional_network_in_both_modes(training):
    model, x, target = LeNet().train(training), draw(4, 1, 8, 8), labels(4, 10)
    agrees(capture(model, x, gradients=True, target=target), reference(model, x, target, chain))


class Branches(nn.Module):
    """A module used twice, F. calls, an addition in place, a tuple and a dict as outputs, several inputs."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.relu = nn.ReLU(inplace=True)
        self.split = Split()
        self.out = nn.Linear(4, 3)

    def forward(self, x, scale):
        h = self.relu(self.fc(x))
        h = F.relu_(self.fc(h)) * scale
        h += x
        parts = self.split(h)
        return self.out(torch.cat([parts["halves"][0], self.relu(parts["halves"][1])], 1)) + parts["sum"]


class Split(nn.Module):
    def forward(self, h):
        return {"halves": h.chunk(2, 1), "sum": h.sum(1, keepdim=True), "note": "text"}


def test_branches_reuse_and_structured_outputs():
    torch.manual_seed(0)
    model, x, scale, target = Branches(), draw(5, 4), draw(5, 1, seed=2), labels(5)
    captured = capture(model, (x, scale), gradients=True, target=target, inputs=True)
    x, scale = x.requires_grad_(), scale.requires_grad_()
    first = model.fc(x)
    second = model.fc(F.relu(first))
    h = F.relu(second) * scale + x
    left, right = (part.contiguous() for part in h.chunk(2, 1))
    rectified, total = F.relu(right), h.sum(1, keepdim=True)
    out = model.out(torch.cat([left, rectified], 1))
    expected = {
        "fc": first, "relu": F.relu(first), "fc:2": second, "split[halves][0]": left, "split[halves][1]": right,
        "split[sum]": total, "relu:2": rectified, "out": out,
    }  # fmt: skip
    assert list(captured) == list(expected)
    kept = {name: value for name, value in expected.items() if name != "relu"}
    loss = F.cross_entropy(out + total, target)
    gradients = torch.autograd.grad(loss, [*kept.values(), x, scale, *model.parameters()])
    for (name, value), gradient in zip(kept.items(), gradients, strict=False):
        torch.testing.assert_close(captured[name], value.detach())
        torch.testing.assert_close(captured.gradients[name], gradient)
    torch.testing.assert_close(captured.input_gradient, gradients[len(kept) : len(kept) + 2])
    torch.testing.assert_close(
        captured.parameter_gradients, dict(zip(dict(model.named_parameters()), gradients[len(kept) + 2 :], strict=True))
    )
    assert captured.sources["fc"] == "x[0]" and captured.sources["relu"] == "fc" and captured.sources["fc:2"] == "relu"
    assert captured.sources["split"] is None and captured.sources["relu:2"] == "split[halves][1]"
    torch.testing.assert_close(captured.inputs["split"], h.detach())
    torch.testing.assert_close(captured.inputs["relu:2"], right.detach())


def test_sources_know_what_was_written_over():
    class Over(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.b(self.a(x).mul_(2))

    captured = capture(Over(), draw(2, 4), inputs=True)
    assert captured.sources == {"a": "x", "b": None} and captured.output_source == "b"
    torch.testing.assert_close(captured.inputs["b"], 2 * captured["a"])


def test_tokens_recurrence_and_attention():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(7, 4)
            self.lstm = nn.LSTM(4, 4, batch_first=True)
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
            self.out = nn.Linear(4, 3)

        def forward(self, tokens):
            h = self.lstm(self.embed(tokens))[0]
            return self.out(self.attention(h, h, value=h, need_weights=False)[0].mean(1))

    model, tokens, target = Reader(), labels(3 * 5, 7).reshape(3, 5), labels(3)
    captured = capture(model, tokens, gradients=True, target=target)
    assert list(captured) == ["embed", "lstm[0]", "lstm[1][0]", "lstm[1][1]", "attention[0]", "out"]
    assert captured.input_gradient is None
    # The LSTM's last states lead nowhere.
    assert list(captured.gradients) == ["embed", "lstm[0]", "attention[0]", "out"]
    F.cross_entropy(model(tokens), target).backward()
    for name, value in model.named_parameters():
        torch.testing.assert_close(captured.parameter_gradients[name], value.grad)
    # Of the embedding's rows each gradient is the sum over the places where the token stands.
    rows = torch.zeros(7, 4).index_add_(0, tokens.flatten(), captured.gradients["embed"].reshape(-1, 4))
    torch.testing.assert_close(rows, model.embed.weight.grad)


def test_a_transformer_layer_in_evaluation_is_seen():
    """Its fused path would call none of its parts."""
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    assert list(capture(model, draw(2, 3, 8))) == [
        "self_attn[0]", "dropout1", "norm1", "linear1", "dropout", "linear2", "dropout2", "norm2",
    ]  # fmt: skip


def test_frozen_and_detached_parts():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.Flatten(0, 1), nn.Linear(3, 3)).requires_grad_(False)
    model[3].requires_grad_()
    captured = capture(model, labels(4, 5).reshape(2, 2), gradients=True, target=labels(4))
    assert list(captured.parameter_gradients) == ["3.weight", "3.bias"]
    assert list(captured.gradients) == ["0", "1", "2", "3"]  # also those before the first that learns
    torch.testing.assert_close(captured.gradients["0"], (captured.gradients["1"] @ model[1].weight))

    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x):
            with torch.no_grad():
                h = self.a(x)
            return self.b(h)

    captured = capture(Detached(), draw(2, 4), gradients=True, target=labels(2))
    assert list(captured) == ["a", "b"] and list(captured.gradients) == ["b"]
    assert captured.input_gradient is None


def test_chosen_layers_containers_and_models_of_one_layer():
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True)), nn.Linear(4, 3))
    assert list(capture(model, draw(2, 4))) == ["0.0", "0.1", "1"]
    chosen = capture(model, draw(2, 4), ["1", "0"], gradients=True, target=labels(2))
    assert list(chosen) == ["0", "1"]
    torch.testing.assert_close(chosen.gradients["0"], chosen.gradients["1"] @ model[1].weight)
    with pytest.raises(SettingError, match=r"layers of 0\.0, 0\.1, 1, received 3"):
        capture(model, draw(2, 4), ["0", "3"])
    assert list(capture(nn.Linear(4, 3), draw(2, 4))) == ["model"]
    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.ReLU())
    assert list(capture(normed, draw(2, 4))) == ["0", "1"]


@pytest.mark.parametrize(
    ("loss", "target", "expected"),
    [
        (None, draw(5, 3, seed=3), lambda o, t: ((o - t) ** 2).mean()),
        (None, labels(5), lambda o, t: -o.log_softmax(1)[range(5), t].mean()),
        ("mse", draw(5, 3, seed=3), lambda o, t: ((o - t) ** 2).mean()),
        (lambda o, t: (o * t[:, None]).sum(), labels(5), lambda o, t: (o * t[:, None]).sum()),
    ],
)
def test_losses(loss, target, expected):
    model = nn.Sequential(nn.Linear(4, 3))
    captured = capture(model, draw(5, 4), target=target, loss=loss)
    torch.testing.assert_close(captured.loss, expected(captured.output, target))
    assert captured.gradients == {} and captured.loss.shape == ()


class Failing(nn.Module):
    def forward(self, x):
        raise KeyError("as planned")


@pytest.mark.parametrize("where", ["nowhere", "model", "loss", "target", "shape"])
@pytest.mark.parametrize("gradients", [False, True])
def test_nothing_is_left_behind(where, gradients):
    torch.manual_seed(0)
    layers = [nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.ReLU(inplace=True), nn.Linear(4, 3)]
    model = nn.Sequential(*layers, *([Failing()] if where == "model" else []))
    model[0].eval()
    model[4].bias.requires_grad_(False)
    model[0].weight.grad = torch.ones(4, 4)
    before = copy.deepcopy(model)
    versions = [value._version for value in (*model.parameters(), *model.buffers())]
    x = draw(6, 4 if where != "shape" else 5).requires_grad_()
    random = torch.get_rng_state()

    def wrong(output, target):
        raise KeyError("as planned")

    def run():
        loss = wrong if where == "loss" else None
        target = labels(6) + (3 if where == "target" else 0)
        return capture(model, x, gradients=gradients, target=target, loss=loss)

    if where == "nowhere":
        run()
    else:
        with pytest.raises((KeyError, DataError)):
            run()
    assert torch.equal(torch.get_rng_state(), random)
    assert x.grad is None and torch.equal(x, draw(*x.shape))
    assert torch.equal(model[0].weight.grad, torch.ones(4, 4)) and model[4].weight.grad is None
    for old, new in zip(before.modules(), model.modules(), strict=True):
        assert new.training == old.training
        assert not new._forward_hooks and not new._forward_pre_hooks and not new._backward_hooks
    assert model.state_dict().keys() == before.state_dict().keys()
    for name, value in before.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert [value._version for value in (*model.parameters(), *model.buffers())] == versions
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in before.parameters()]
    assert torch.is_grad_enabled()


def test_one_pass_even_without_gradients_around_it():
    calls = []

    class Counting(nn.Module):
        def forward(self, x):
            calls.append(torch.is_grad_enabled())
            return x

    model, x, target = nn.Sequential(nn.Linear(4, 3), Counting()), draw(5, 4), labels(5)
    expected = capture(model, x, gradients=True, target=target).gradients["0"]
    with torch.no_grad():
        torch.testing.assert_close(capture(model, x, gradients=True, target=target).gradients["0"], expected)
    with torch.inference_mode():
        captured = capture(model, x.clone(), gradients=True, target=target.clone())
        torch.testing.assert_close(captured.gradients["0"], expected)
        assert not captured["0"].is_inference()
    capture(model, x, target=target)
    assert calls == [True, True, True, False]
    assert not any(value.requires_grad for value in (*captured.values(), captured.output, captured.loss))


def test_dropout_draws_what_the_model_would_draw():
    model, x = nn.Sequential(nn.Dropout(0.5), nn.Identity()), torch.ones(3, 50)
    torch.manual_seed(4)
    captured = capture(model, x)["0"]
    assert torch.equal(captured, model(x)) and not torch.equal(captured, model(x))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: capture(m, draw(2, 4), gradients=True), "Expected a target"),
        (lambda m: capture(m, draw(0, 4)), r"Expected a batch with examples, received shape \(0, 4\)"),
        (lambda m: capture(m, "x"), "Expected a tensor or a tuple of tensors, received str"),
        (lambda m: capture(m, draw(2, 5)), r"Expected inputs that fit the model, received shape \(2, 5\)"),
        (lambda m: capture(m, draw(2, 4), target=labels(2) + 3), "labels of 0 to 2 for a model with 3 outputs"),
        (lambda m: capture(m, draw(2, 4), target=labels(3)), r"shaped \(2,\), received \(3,\)"),
        (lambda m: capture(m, draw(2, 4), target=draw(2)), r"output \(2, 3\), received \(2,\)"),
        (lambda m: capture(m, draw(2, 4), target=labels(2), loss="mae"), "cross_entropy, mse or a function"),
        (lambda m: capture(m, draw(2, 4), target=labels(2), loss=lambda o, t: o), r"one number .*received \(2, 3\)"),
        (lambda m: capture(m, draw(2, 4), target=labels(2), loss=3), "received int"),
        (lambda m: capture(nn.Sequential(Split()), draw(2, 4), target=labels(2)), "returns one tensor, received dict"),
    ],
)
def test_errors_say_what_to_do(call, message):
    with pytest.raises(LabkitError, match=message):
        call(nn.Sequential(nn.Linear(4, 3)))


@pytest.mark.gpu
def test_on_a_gpu_nothing_is_left_behind_either():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)).cuda()
    x, target = draw(6, 4).cuda(), labels(6).cuda()
    random, buffers = torch.cuda.get_rng_state(), copy.deepcopy(dict(model.named_buffers()))
    captured = capture(model, x, gradients=True, target=target)
    assert torch.equal(torch.cuda.get_rng_state(), random)
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())
    torch.testing.assert_close(captured.output, model(x).detach())
    assert captured.gradients["0"].is_cuda


def test_it_is_there_by_name():
    import labkit

    assert list(labkit.activations.capture(MLP(2, 2, (3,)), draw(4, 2))) == ["linear1", "tanh1", "output"]
