"""Guided backpropagation, deconvolution, DeepLift and LRP: against captum on nets of modules, whatever the net is
written like, and against the definitions, layer by layer."""

import warnings

import pytest
import torch
from captum import attr
from torch import nn
from torch.nn import functional as F

from labkit import saliency
from labkit.errors import UnsuitableError
from labkit.models import MLP, TinyVGG

RULES = ("guided_backprop", "deconvolution", "deep_lift", "lrp")
TARGET = torch.tensor([0, 3, 1])


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


X = draw(3, 2, 8, 8)


class Net(nn.Module):
    """Convolutions, batch normalisation, average pooling, and ReLUs as modules, each called once."""

    def __init__(self, activation=nn.ReLU):
        super().__init__()
        torch.manual_seed(1)
        self.conv1, self.conv2 = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.act1, self.act2, self.act3 = activation(), activation(), activation()
        self.pool = nn.AvgPool2d(2)
        self.hidden, self.output = nn.Linear(96, 12), nn.Linear(12, 4)
        self.norm.running_mean.uniform_(-0.5, 0.5)
        self.norm.running_var.uniform_(0.5, 2)
        self.eval()

    def forward(self, x):
        x = self.act1(self.conv1(x))
        x = self.pool(self.act2(self.norm(self.conv2(x))))
        return self.output(self.act3(self.hidden(x.flatten(1))))


class Functional(Net):
    """The same net with functions in the place of modules."""

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.avg_pool2d(torch.clamp(self.norm(self.conv2(x)), min=0), 2)
        return self.output(self.hidden(x.flatten(1)).relu())


class Reused(Net):
    """The same net with one module for all ReLUs."""

    def forward(self, x):
        x = self.act1(self.conv1(x))
        x = self.pool(self.act1(self.norm(self.conv2(x))))
        return self.output(self.act1(self.hidden(x.flatten(1))))


class InPlace(Net):
    """The same net with ReLUs that write over their inputs."""

    def forward(self, x):
        x = F.relu(self.conv1(x), inplace=True)
        x = self.norm(self.conv2(x))
        torch.relu_(x)
        return self.output(self.hidden(self.pool(x).flatten(1)).relu_())


TWINS = {"modules": Net, "functions": Functional, "reused": Reused, "in_place": InPlace}


def captums(method, model, x, baseline=None):
    """captum's map, of a net of modules."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method == "guided_backprop":
            return attr.GuidedBackprop(model).attribute(x.clone(), TARGET)
        if method == "deconvolution":
            return attr.Deconvolution(model).attribute(x.clone(), TARGET)
        if method == "deep_lift":
            return attr.DeepLift(model).attribute(x.clone(), baseline, TARGET).detach()
        return attr.LRP(model).attribute(x.clone(), TARGET).detach()


def ours(method, model, x, **options):
    if method == "lrp":
        options = {"gamma": 0, "epsilon": 1e-9} | options  # the rule that captum has for every layer
    return saliency.attributed(model, x, TARGET, method, **options)


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-3)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("method", RULES)
def test_as_captum_has_it_however_the_net_is_written(method, twin):
    found = ours(method, TWINS[twin](), X, **({"baseline": "mean"} if method == "deep_lift" else {}))
    close(found.values, captums(method, Net(), X, saliency.baseline(X, "mean")))
    assert found.notes == ()


def test_why_hooks_on_modules_do_not_do():
    """captum's maps of the functional twin are others than those of the net, without a word; ours are not."""
    for method in ("guided_backprop", "deconvolution", "deep_lift"):
        right = captums(method, Net(), X, torch.zeros_like(X))
        wrong = captums(method, Functional(), X, torch.zeros_like(X))
        assert (wrong - right).abs().max() > 0.1 * right.abs().max()
    with pytest.raises(RuntimeError, match="more than once"):
        captums("deep_lift", Reused(), X, torch.zeros_like(X))


def test_guided_backpropagation_by_its_definition():
    """With a ReLU whose gradient is written by hand (Springenberg et al. 2015, figure 1)."""

    class Guided(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clamp(min=0)

        @staticmethod
        def backward(ctx, arrived):
            (x,) = ctx.saved_tensors
            return arrived * (x > 0) * (arrived > 0)

    class Act(nn.Module):
        def forward(self, x):
            return Guided.apply(x)

    x = X.clone().requires_grad_()
    Net(Act)(x).gather(1, TARGET[:, None]).sum().backward()
    close(saliency.attribute(Net(), X, TARGET, "guided_backprop"), x.grad)


def test_relu6_is_a_relu():
    """As captum has it not: there guided backpropagation of such a net is the plain gradient."""
    scale = 100  # far enough for the ceiling to be met
    found = saliency.attribute(Net(nn.ReLU6), scale * X, TARGET, "guided_backprop")
    assert (found - saliency.attribute(Net(nn.ReLU6), scale * X, TARGET, "gradient")).abs().max() > 0


@pytest.mark.parametrize("method", ["guided_backprop", "deconvolution"])
def test_a_net_without_relu_gives_the_gradient_and_says_so(method):
    found = saliency.attributed(Net(nn.GELU), X, TARGET, method)
    close(found.values, saliency.attribute(Net(nn.GELU), X, TARGET, "gradient"))
    assert len(found.notes) == 1 and "no ReLU" in found.notes[0]
    assert saliency.examine(Net(nn.GELU), X, method).notes == found.notes
    assert saliency.examine(Net(), X, method) == saliency.Suitability(None, ())


def test_a_net_with_relu_and_others_says_what_is_not_guided():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 4)).eval()
    note, *_ = saliency.attributed(model, draw(3, 3), TARGET, "guided_backprop").notes
    assert "GELU" in note and "gradient" in note


def test_relus_that_cannot_be_seen_are_refused():
    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clamp(min=0)

        @staticmethod
        def backward(ctx, arrived):
            return arrived

    class Model(nn.Module):
        def forward(self, x):
            return Own.apply(x.flatten(1)[:, :4])

    for method in RULES:
        with pytest.raises(UnsuitableError, match="Own"):
            saliency.attribute(Model(), X, TARGET, method)
        assert "Own" in saliency.examine(Model(), X, method).refusal


# DeepLift


def difference(model, x, start):
    with torch.no_grad():
        return (model(x) - model(start)).gather(1, TARGET[:, None])[:, 0]


class Copy(nn.Module):
    def forward(self, x):
        return x.clone()


@pytest.mark.parametrize("size", [2, 3])
def test_deep_lift_through_max_pooling_is_complete(size):
    """captum's is not where a pooling follows a ReLU: its hook there sees the gradient before the pooling's changed it.

    With a copy between the two captum's is right, as long as windows do not overlap: then it is the oracle.
    """

    def net(*between):
        torch.manual_seed(0)
        conv, conv2, pool = nn.Conv2d(2, 5, 3), nn.Conv2d(5, 5, 2), nn.MaxPool2d(size, stride=2)
        return nn.Sequential(conv, nn.ReLU(), *between, pool, conv2, nn.ReLU(), nn.Flatten(), nn.LazyLinear(4)).eval()

    model = net()
    model(X)
    found = saliency.attributed(model, X, TARGET, "deep_lift", baseline="noise")
    start = saliency.baseline(X, "noise")
    expected = difference(model, X, start)
    torch.testing.assert_close(found.values.flatten(1).sum(1), expected, atol=1e-5, rtol=1e-4)
    assert found.notes == ()
    theirs = captums("deep_lift", model, X, start)
    assert ((theirs.flatten(1).sum(1) - expected).abs() > 0.01 * expected.abs()).any()
    if size == 2:
        parted = net(Copy())
        parted(X)
        close(found.values, captums("deep_lift", parted, X, start))


@pytest.mark.parametrize("activation", [nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.LeakyReLU, nn.Hardswish])
def test_deep_lift_is_complete_for_every_function_of_one_value(activation):
    model = Net(activation)
    found = saliency.attributed(model, X, TARGET, "deep_lift", baseline="blur")
    expected = difference(model, X, saliency.baseline(X, "blur"))
    torch.testing.assert_close(found.values.flatten(1).sum(1), expected, atol=1e-5, rtol=1e-3)
    assert found.notes == ()


def test_deep_lift_of_a_linear_model():
    model = nn.Linear(5, 4)
    x, start = draw(3, 5), draw(5, seed=1)
    found = saliency.attribute(model, x, TARGET, "deep_lift", baseline=start)
    torch.testing.assert_close(found, (x - start) * model.weight[TARGET].detach())


def test_deep_lift_of_a_square():
    """Δy/Δx = x + x₀ where the slope is 2x."""

    class Square(nn.Module):
        def forward(self, x):
            return (x**2).sum(1, keepdim=True)

    x, start = draw(3, 5), draw(3, 5, seed=1)
    found = saliency.attribute(Square(), x, 0, "deep_lift", baseline=start)
    torch.testing.assert_close(found, x**2 - start**2, atol=1e-5, rtol=1e-4)


def test_what_deep_lift_misses_is_noted_with_its_number():
    """A gate that the graph shows as a constant: a comparison has no gradient."""

    class Gated(nn.Module):
        def forward(self, x):
            return (x * (x > 0)).flatten(1)[:, :4]

    found = saliency.attributed(Gated(), X, TARGET, "deep_lift", baseline=-X.abs())
    expected = difference(Gated(), X, -X.abs())
    missed = (found.values.flatten(1).sum(1) - expected).abs().mean()
    note, *_ = found.notes
    assert f"miss it by {float(missed):.3g}" in note and f"{float(expected.abs().mean()):.3g}" in note


# LRP


@pytest.mark.parametrize("gamma", [0, 0.25, 2.0])
def test_lrp_layer_by_layer(gamma):
    """Relevance handed down by the definition, one sum after the other (Montavon et al. 2019, eq. 10.3 and table)."""
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 4, 3)
    leaky = nn.LeakyReLU(0.5)  # lets sums below zero have a part
    model = nn.Sequential(conv, leaky, nn.Flatten(), nn.Linear(144, 6), nn.ReLU(), nn.Linear(6, 4)).double().eval()
    x = X.double()
    hidden = model[:3](x)
    deep = model[3:5](hidden)
    relevance = model[5](deep).gather(1, TARGET[:, None])
    relevance = deep * model[5].weight[TARGET] / _off(relevance) * relevance
    shares = hidden[:, None] * model[3].weight  # (n, out, in)
    relevance = (shares / _off(shares.sum(2) + model[3].bias)[..., None] * relevance[..., None]).sum(1)
    # The convolution as one weight for each pair of places, with what has the sum's sign counted (1 + γ) times.
    weight = torch.func.jacrev(
        lambda one: conv(one[None])[0].flatten() - conv(torch.zeros_like(one)[None])[0].flatten()
    )
    shares = weight(x[0]).flatten(1)[None] * x.flatten(1)[:, None]
    bias = conv.bias.repeat_interleave(36)
    sums = shares.sum(2) + bias
    sign = torch.where(sums >= 0, 1.0, -1.0)
    favoured = shares + gamma * shares * (shares.sign() == sign[..., None])
    extra = bias + gamma * bias * (bias.sign() == sign)
    relevance = (favoured / _off(favoured.sum(2) + extra)[..., None] * relevance[..., None]).sum(1)
    found = saliency.attribute(model, x, TARGET, "lrp", gamma=gamma)
    torch.testing.assert_close(found, relevance.detach().reshape(x.shape), atol=1e-9, rtol=1e-6)


def _off(values):
    return values + torch.where(values < 0, -1e-6, 1e-6)


def test_without_gamma_lrp_of_a_relu_net_is_input_x_gradient():
    """Ancona et al. 2018, proposition 1."""
    found = saliency.attribute(Net(), X, TARGET, "lrp", gamma=0, epsilon=0)
    close(found, saliency.attribute(Net(), X, TARGET, "input_x_gradient"))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh])
def test_lrp_keeps_the_score_where_there_are_no_biases(activation):
    torch.manual_seed(0)
    model = (
        nn.Sequential(
            nn.Conv2d(2, 4, 3, bias=False), activation(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 2, bias=False), activation()
        )
        .append(nn.AdaptiveAvgPool2d(1))
        .append(nn.Flatten())
    )
    found = saliency.attributed(model.double().eval(), X.double(), TARGET, "lrp").values
    expected = model(X.double()).gather(1, TARGET[:, None])[:, 0]
    torch.testing.assert_close(found.flatten(1).sum(1), expected.detach(), atol=1e-4, rtol=1e-3)


class Attention(nn.Module):
    """One head over tokens, with a layer norm; the attention written out, or by torch's function."""

    def __init__(self, written):
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.LayerNorm(6, bias=False)
        self.query, self.key, self.value = (nn.Linear(6, 6, bias=False) for _ in range(3))
        self.output = nn.Linear(6, 4, bias=False)
        self.written = written

    def attend(self, x):
        return (self.query(x) @ self.key(x).mT / 6**0.5).softmax(-1)

    def forward(self, x):
        y = self.norm(x)
        if self.written:
            y = self.attend(y) @ self.value(y)
        else:
            heads = (part(y)[:, None] for part in (self.query, self.key, self.value))
            y = F.scaled_dot_product_attention(*heads)[:, 0]
        return self.output(x + y).mean(1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])  # torch has a kernel of its own for the second
@pytest.mark.parametrize("written", [True, False])
def test_lrp_of_tokens_takes_attention_and_deviation_as_fixed(written, dtype):
    """Ali et al. 2022, eq. 8 and 9: input x gradient of the model with these two held at their values; it conserves."""
    model, x = Attention(written).to(dtype).eval(), draw(3, 5, 6).to(dtype)
    given = x.clone().requires_grad_()
    with torch.no_grad():
        deviation = (x.var(-1, unbiased=False, keepdim=True) + model.norm.eps).sqrt()
        attention = model.attend(model.norm(x))
    y = (given - given.mean(-1, keepdim=True)) / deviation * model.norm.weight
    scores = model.output(given + attention @ model.value(y)).mean(1)
    scores.gather(1, TARGET[:, None]).sum().backward()
    found = saliency.attribute(model, x, TARGET, "lrp", epsilon=1e-12)
    torch.testing.assert_close(found, x * given.grad, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(
        found.flatten(1).sum(1), scores.gather(1, TARGET[:, None])[:, 0].detach(), atol=1e-5, rtol=1e-4
    )


REFUSED = {
    "softmax": (lambda: Attention(True), draw(3, 5, 6), ("deep_lift",)),
    "attention, layer normalisation": (lambda: Attention(False), draw(3, 5, 6), ("deep_lift",)),
    "layer normalisation": (lambda: nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 4)), draw(3, 6), ("deep_lift",)),
    "group normalisation": (
        lambda: nn.Sequential(nn.GroupNorm(2, 2), nn.Flatten(), nn.Linear(128, 4)),
        X,
        ("deep_lift", "lrp"),
    ),
    "normalisation by the batch's own": (
        lambda: nn.Sequential(nn.BatchNorm2d(2, track_running_stats=False), nn.Flatten(), nn.Linear(128, 4)),
        X,
        ("deep_lift", "lrp"),
    ),
}


@pytest.mark.parametrize("found", REFUSED)
def test_what_has_no_rule_is_refused_by_name(found):
    make, x, methods = REFUSED[found]
    for method in methods:
        with pytest.raises(UnsuitableError, match=f"{found}.*integrated_gradients"):
            saliency.attribute(make(), x, TARGET, method)
        assert found in saliency.examine(make(), x, method).refusal
        assert saliency.examine(MLP(inputs=6, outputs=4), draw(3, 6), method) == saliency.Suitability(None, ())


def test_a_gate_is_refused():
    class Gate(nn.Module):
        def forward(self, x):
            return (x * torch.sigmoid(x)).flatten(1)[:, :4]

    for method in ("deep_lift", "lrp"):
        with pytest.raises(UnsuitableError, match="product of two"):
            saliency.attribute(Gate(), X, TARGET, method)


def test_lrp_of_shares_is_refused():
    model = nn.Sequential(nn.Linear(6, 4), nn.Softmax(1))
    with pytest.raises(UnsuitableError, match="without the softmax at its end"):
        saliency.attribute(model, draw(3, 6), TARGET, "lrp")


@pytest.mark.parametrize("more_for", ["input", "baseline"])
def test_deep_lift_of_a_model_that_goes_other_ways_for_the_baseline(more_for):
    class Branches(nn.Module):
        def forward(self, x):
            once = x.flatten(1)[:, :4].relu()
            return once.relu() if bool((x == 0).all()) == (more_for == "baseline") else once

    with pytest.raises(UnsuitableError, match="step by step"):
        saliency.attribute(Branches(), X, TARGET, "deep_lift")


@pytest.mark.parametrize("method", RULES)
def test_nothing_is_left_on_the_model_when_it_is_interrupted(method):
    class Interrupted(Net):
        interrupts = False

        def forward(self, x):
            scores = super().forward(x)
            if self.interrupts:
                raise KeyboardInterrupt
            return scores

    model = Interrupted().train()
    saliency.attribute(model, X, TARGET, method)
    model.interrupts = True
    known = [set(module.__dict__) for module in model.modules()]
    with pytest.raises(KeyboardInterrupt):
        saliency.attribute(model, X, TARGET, method)
    assert model.training and model.conv1.weight.requires_grad and model.conv1.weight.grad is None
    assert known == [set(module.__dict__) for module in model.modules()]
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.relu(torch.tensor(-1.0)) == 0  # no mode is left on torch's functions


def test_the_lab_s_own_models_have_no_notes():
    model, x = TinyVGG(inputs=(3, 16, 16)), draw(3, 3, 16, 16)
    for method in RULES:
        assert saliency.examine(model, x, method) == saliency.Suitability(None, ())
        assert saliency.attribute(model, x, TARGET, method).isfinite().all()
