"""Attributions against closed forms, and a model that is given back untouched."""

import numpy as np
import pytest
import torch
from captum import attr
from torch import nn

from labkit import saliency
from labkit.errors import DataError, SettingError, UnsuitableError
from labkit.models import LeNet
from labkit.saliency.baselines import KINDS
from labkit.saliency.borrow import Scores
from labkit.saliency.rows import row_bytes, rows_for


class Quadratic(nn.Module):
    """f0 = w·x, f1 = Σ w x²: gradients and path integrals are known."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))

    def forward(self, x):
        return torch.stack([x @ self.weight, (x**2) @ self.weight], dim=1)


X = torch.tensor([[1.0, 2.0, -1.0], [0.5, 0.0, 4.0]])
W = torch.tensor([1.0, -2.0, 3.0])


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("gradient", 0, W.expand(2, 3)),
        ("gradient", 1, 2 * W * X),
        ("integrated_gradients", 0, W * X),
        ("integrated_gradients", 1, W * X**2),
        ("gradient", torch.tensor([0, 1]), torch.stack([W, 2 * W * X[1]])),
    ],
)
def test_closed_forms(method, target, expected):
    result = saliency.attribute(Quadratic(), X, target, method=method)
    assert result.shape == X.shape and result.dtype == X.dtype
    assert torch.allclose(result, expected, atol=1e-4)


def test_integrated_gradients_are_complete():
    """They add up to f(x) - f(0) (Sundararajan et al. 2017, proposition 1)."""
    model = LeNet().eval()
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    result = saliency.attribute(model, x, 4)
    difference = (model(x) - model(torch.zeros_like(x)))[:, 4]
    error = (result.sum((1, 2, 3)) - difference).abs()
    assert (error <= 0.01 * result.abs().sum((1, 2, 3))).all()


@pytest.mark.parametrize("method", saliency.METHODS)
@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_given_back(method, fails):
    model = LeNet()
    model.relu2.eval()
    model.conv1.weight.requires_grad_(False)
    model.output.bias.grad = torch.ones(10)
    x = torch.rand(2, 1, 8, 8)
    if fails and saliency.METHODS[method].family != "control":  # they do not ask the model
        with pytest.raises(DataError, match="0 to 9"):
            saliency.attribute(model, x, 10, method=method)
    else:
        saliency.attributed(model, x, 1, method=method)
    assert model.training and model.conv1.training and not model.relu2.training
    assert not model.conv1.weight.requires_grad and model.conv2.weight.requires_grad
    assert torch.equal(model.output.bias.grad, torch.ones(10)) and model.conv2.weight.grad is None
    assert not x.requires_grad and x.grad is None
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in model.modules())


def test_unknown_method():
    with pytest.raises(SettingError, match="gradient, integrated_gradients"):
        saliency.attribute(Quadratic(), X, 0, method="magic")


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


DIGITS = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TARGET = torch.tensor([1, 7, 0])


def slopes(model, x, target):
    """One example at a time, one backward pass each."""
    found = []
    for row, t in zip(x, target, strict=True):
        row = row[None].clone().requires_grad_()
        model(row)[0, t].backward()
        found.append(row.grad[0])
    return torch.stack(found)


# The methods, against slow loops


def test_gradient_and_input_x_gradient_by_a_loop():
    model = LeNet().eval()
    expected = slopes(model, DIGITS, TARGET)
    torch.testing.assert_close(saliency.attribute(model, DIGITS, TARGET, "gradient"), expected)
    torch.testing.assert_close(saliency.attribute(model, DIGITS, TARGET, "input_x_gradient"), DIGITS * expected)


def test_smoothgrad_by_a_loop():
    """Noise of a share of each example's own range; the same draws for all examples."""
    model, x = LeNet().eval(), DIGITS * torch.tensor([1.0, 2.0, 5.0])[:, None, None, None]
    generator = torch.Generator().manual_seed(3)
    noise = torch.stack([torch.randn(1, 8, 8, generator=generator) for _ in range(6)])
    span = (x.amax((1, 2, 3)) - x.amin((1, 2, 3)))[:, None, None, None]
    expected = torch.stack([slopes(model, x + 0.2 * span * draws, TARGET) for draws in noise]).mean(0)
    found = saliency.attribute(model, x, TARGET, "smoothgrad", seed=3, samples=6, noise=0.2)
    torch.testing.assert_close(found, expected)
    other = saliency.attribute(model, x, TARGET, "smoothgrad", seed=4, samples=6, noise=0.2)
    assert not torch.allclose(found, other)


def test_without_noise_smoothgrad_is_the_gradient():
    found = saliency.attribute(LeNet(), DIGITS, TARGET, "smoothgrad", samples=2, noise=0)
    torch.testing.assert_close(found, saliency.attribute(LeNet(), DIGITS, TARGET, "gradient"))


@pytest.mark.parametrize("kind", KINDS)
def test_integrated_gradients_by_a_fine_sum(kind):
    """2,000 midpoints; and captum's, at the same points."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 10)).double().eval()
    x = DIGITS.double()
    start = saliency.baseline(x, kind, seed=5)
    places = (torch.arange(2000) + 0.5) / 2000
    total = sum(slopes(model, start + float(place) * (x - start), TARGET) for place in places[::20])
    found = saliency.attribute(model, x, TARGET, baseline=kind, seed=5)
    torch.testing.assert_close(found, (x - start) * total / 100, atol=2e-4, rtol=2e-3)
    theirs = attr.IntegratedGradients(model).attribute(x, start, TARGET)
    torch.testing.assert_close(found, theirs, atol=1e-6, rtol=1e-5)


def test_expected_gradients_by_a_loop():
    model, background = LeNet().eval(), torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    which, places = torch.randint(4, (7,), generator=generator), torch.rand(7, generator=generator)
    expected = torch.zeros_like(DIGITS)
    for start, place in zip(background[which], places, strict=True):
        expected += (DIGITS - start) * slopes(model, start + place * (DIGITS - start), TARGET) / 7
    found = saliency.attribute(model, DIGITS, TARGET, "expected_gradients", seed=2, samples=7, background=background)
    torch.testing.assert_close(found, expected)


def test_expected_gradients_of_one_baseline_come_to_integrated_gradients():
    model, start = LeNet().double(), torch.zeros(1, 1, 8, 8)
    found = saliency.attribute(model, DIGITS.double(), TARGET, "expected_gradients", samples=2000, background=start)
    expected = saliency.attribute(model, DIGITS.double(), TARGET)
    assert (found - expected).norm() < 0.05 * expected.norm()


def test_expected_gradients_without_a_background_draw_from_the_kinds_of_baselines():
    """Of a linear model they are w (x - the mean of what was drawn)."""
    model, x = nn.Linear(6, 3), draw(3, 6)
    found = saliency.attribute(model, x, 2, "expected_gradients", samples=9, seed=1)
    which = torch.randint(3, (9,), generator=torch.Generator().manual_seed(1))
    starts = torch.stack([saliency.baseline(x, kind, 1) for kind in ("black", "mean", "noise")])[which]
    torch.testing.assert_close(found, (x - starts.mean(0)) * model.weight[2].detach())


# What is asked


DIVIDED = [name for name, method in saliency.METHODS.items() if not method.slow]


@pytest.mark.parametrize("method", DIVIDED)
def test_a_map_is_the_same_alone_in_a_batch_and_in_small_passes(method, monkeypatch):
    def run(x, target):
        return saliency.attributed(model, x, target, method, seed=1).values

    model = LeNet()
    together = run(DIGITS, TARGET)
    assert torch.equal(together, run(DIGITS, TARGET))
    alone = [run(DIGITS[i : i + 1], int(TARGET[i])) for i in range(3)]
    torch.testing.assert_close(torch.cat(alone), together, atol=1e-6, rtol=1e-4)
    monkeypatch.setattr("labkit.saliency.attribution.rows_for", lambda *_: 2)
    torch.testing.assert_close(run(DIGITS, TARGET), together, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("method", saliency.METHODS)
def test_against_another_output_is_the_model_of_differences(method):
    class Difference(LeNet):
        def forward(self, x):
            scores = super().forward(x)
            return scores - scores[:, 3:4]

    found = saliency.attributed(LeNet(), DIGITS, TARGET, method, against=3)
    torch.testing.assert_close(found.values, saliency.attributed(Difference(), DIGITS, TARGET, method).values)


@pytest.mark.parametrize("method", saliency.METHODS)
def test_logits_are_found_in_a_dict(method):
    class Dict(LeNet):
        def forward(self, x):
            return {"loss": None, "hidden": x, "logits": super().forward(x)}

    found = saliency.attributed(Dict(), DIGITS, TARGET, method)
    expected = saliency.attributed(LeNet(), DIGITS, TARGET, method)
    torch.testing.assert_close(found.values, expected.values)
    assert found.notes == expected.notes


def test_progress_is_told_and_may_interrupt():
    told = []
    saliency.attribute(LeNet(), DIGITS, TARGET, progress=lambda done, of: told.append((done, of)), points=500)
    assert [of for _, of in told] == [1500] * len(told) and len(told) > 1
    assert told[-1][0] == 1500 and told == sorted(told)

    def interrupt(done, of):
        raise KeyboardInterrupt

    model = LeNet()
    with pytest.raises(KeyboardInterrupt):
        saliency.attribute(model, DIGITS, TARGET, progress=interrupt)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())


class Counting(nn.Module):
    """Writes into a buffer, replaces another, draws, and writes into its input, whenever it runs."""

    def __init__(self, fails=False):
        super().__init__()
        self.linear, self.fails = nn.Linear(64, 10), fails
        self.register_buffer("runs", torch.zeros(()))
        self.register_buffer("last", None)

    def forward(self, x):
        self.runs += 1
        self.last = x.detach().mean()
        x.mul_(1 + 0 * torch.rand(()))
        if self.fails and self.runs > 1:
            raise KeyError("broken")
        return self.linear(x.flatten(1))


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("method", ["gradient", "smoothgrad", "integrated_gradients", "deep_lift", "lrp"])
def test_buffers_and_random_numbers_are_given_back(method, fails):
    model, x = Counting(fails), DIGITS.clone()
    runs, state = model.runs, torch.get_rng_state()
    if fails:
        with pytest.raises(KeyError):
            saliency.attribute(model, x, TARGET, method)
    else:
        saliency.attribute(model, x, TARGET, method)
    assert model.runs is runs and runs == 0 and model.last is None
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(x, DIGITS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_kind_of_number_stays(dtype):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).to(dtype)
    for method in ("gradient", "smoothgrad", "integrated_gradients", "expected_gradients", "deep_lift", "lrp"):
        assert saliency.attribute(model, DIGITS.to(dtype), TARGET, method).dtype == dtype


def test_under_inference_mode():
    model = LeNet()
    with torch.inference_mode():
        found = saliency.attribute(model, DIGITS * 1, TARGET, "gradient")
    torch.testing.assert_close(found, saliency.attribute(model, DIGITS, TARGET, "gradient"))


# Not only pictures


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.mix, self.output = nn.Linear(6, 8), nn.Linear(8, 10)

    def forward(self, x):
        return self.output(self.mix(x).tanh().mean(1))


OTHERS = {
    "series": (
        lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(36, 10)),
        draw(3, 2, 20),
    ),
    "tokens": (Tokens, draw(3, 5, 6)),
    "rows": (lambda: nn.Sequential(nn.Linear(7, 8), nn.ReLU(), nn.Linear(8, 10)), draw(3, 7)),
}
ANYTHING = [name for name, m in saliency.METHODS.items() if m.family in ("gradient", "path", "rule")]


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("method", ANYTHING)
def test_series_tokens_and_rows(method, kind):
    make, x = OTHERS[kind]
    found = saliency.attributed(make(), x, TARGET, method)
    assert found.values.shape == x.shape and found.values.isfinite().all() and found.values.any()
    assert saliency.examine(make(), x, method).refusal is None


@pytest.mark.parametrize("method", ["integrated_gradients", "deep_lift"])
@pytest.mark.parametrize("kind", OTHERS)
def test_they_are_complete_too(method, kind):
    make, x = OTHERS[kind]
    model = make()
    found = saliency.attribute(model, x, TARGET, method, baseline="mean", **({"points": 300} if "_g" in method else {}))
    with torch.no_grad():
        difference = (model(x) - model(saliency.baseline(x, "mean"))).gather(1, TARGET[:, None])[:, 0]
    torch.testing.assert_close(found.flatten(1).sum(1), difference, atol=2e-3, rtol=1e-2)


# Baselines


def test_baselines():
    x = torch.stack([torch.full((2, 6, 4), 3.0), draw(2, 6, 4)])
    assert torch.equal(saliency.baseline(x), torch.zeros_like(x))
    mean = saliency.baseline(x, "mean")
    torch.testing.assert_close(mean, x.mean((2, 3), keepdim=True).expand_as(x))
    blur = saliency.baseline(x, "blur")
    torch.testing.assert_close(blur[0], x[0])
    assert blur[1].std() < 0.5 * x[1].std()
    noise = saliency.baseline(x, "noise", seed=1)
    assert torch.equal(noise[1], saliency.baseline(x[1:], "noise", seed=1)[0])
    assert noise[1].min() >= x[1].min() and noise[1].max() <= x[1].max() and torch.equal(noise[0], x[0])
    assert not torch.equal(noise, saliency.baseline(x, "noise", seed=2))
    assert torch.equal(saliency.baseline(x, x[1]), x[1].expand_as(x)) and torch.equal(saliency.baseline(x, x), x)
    rows = draw(3, 7)
    torch.testing.assert_close(saliency.baseline(rows, "mean"), rows.mean(1, keepdim=True).expand_as(rows))
    with pytest.raises(SettingError, match="black, mean, blur, noise"):
        saliency.baseline(x, "white")
    with pytest.raises(SettingError, match="to blur"):
        saliency.baseline(rows, "blur")
    with pytest.raises(DataError, match=r"\(2, 2, 6, 4\)"):
        saliency.baseline(x, draw(3, 3))


def test_the_blur_is_scipys():
    from scipy import ndimage

    x = draw(1, 1, 16, 24).double()
    expected = ndimage.gaussian_filter(x[0, 0].numpy(), 3, mode="nearest", truncate=3)
    np.testing.assert_allclose(saliency.baseline(x, "blur")[0, 0].numpy(), expected, atol=1e-6)


# What does not make sense


@pytest.mark.parametrize(
    ("x", "target", "more", "error", "says"),
    [
        (DIGITS, 10, {}, DataError, "0 to 9"),
        (DIGITS, -1, {}, DataError, "received -1"),
        (DIGITS, 1.5, {}, DataError, "whole number"),
        (DIGITS, torch.tensor([1, 2]), {}, DataError, "3 examples"),
        (DIGITS, 1, {"against": 10}, DataError, "`against` of 0 to 9"),
        (DIGITS[:0], 1, {}, DataError, "batch"),
        (DIGITS * float("nan"), 1, {}, DataError, "NaN"),
        (torch.ones(3, 1, 8, 8, dtype=torch.int64), 1, {}, DataError, "embeddings"),
        (draw(3, 5), 1, {}, DataError, "fit the model"),
        ("picture", 1, {}, DataError, "received str"),
        (DIGITS, 1, {"point": 3}, SettingError, "options of points for integrated_gradients, received point"),
        (DIGITS, 1, {"method": "gradient", "points": 3}, SettingError, "no options for gradient"),
        (DIGITS, 1, {"points": 0}, SettingError, "points as a whole number"),
        (DIGITS, 1, {"method": "smoothgrad", "noise": -1}, SettingError, "noise"),
        (DIGITS, 1, {"method": "smoothgrad", "samples": 2.5}, SettingError, "samples as a whole number"),
        (DIGITS, 1, {"method": "lrp", "gamma": -1}, SettingError, "gamma of 0 or more"),
        (DIGITS, 1, {"method": "expected_gradients", "background": draw(3, 5)}, DataError, "background"),
        (DIGITS, 1, {"baseline": "white"}, SettingError, "black"),
    ],
)
def test_mistakes_are_explained(x, target, more, error, says):
    with pytest.raises(error, match=says):
        saliency.attribute(LeNet(), x, target, **more)


def test_a_model_that_gives_no_row_of_scores():
    with pytest.raises(DataError, match="one row of scores"):
        saliency.attribute(nn.Conv2d(1, 2, 3), DIGITS, 0)


def test_a_model_without_a_gradient_is_refused():
    class Rounds(nn.Module):
        def forward(self, x):
            with torch.no_grad():
                return x.flatten(1)[:, :3].round()

    for method in ("gradient", "integrated_gradients", "smoothgrad", "guided_backprop", "deep_lift"):
        with pytest.raises(UnsuitableError, match="occlusion, rise or kernel_shap"):
            saliency.attribute(Rounds(), DIGITS, 0, method)
        assert "occlusion" in saliency.examine(Rounds(), DIGITS, method).refusal
        assert saliency.examine(LeNet(), DIGITS, method).refusal is None


def test_notes_become_warnings():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.warns(saliency.AttributionWarning, match="no ReLU"):
        saliency.attribute(model, DIGITS, 1, "guided_backprop")


# Rows


def test_what_a_row_keeps_is_counted():
    """A linear layer keeps nothing for its input's gradient but the weight; tanh keeps what it gave."""
    model = nn.Sequential(nn.Linear(8, 1000), nn.Tanh(), nn.Linear(1000, 2)).requires_grad_(False).eval()
    assert row_bytes(model, draw(3, 8)) == 4 * (8 + 1000)


def test_rows_are_fewer_for_larger_models():
    def rows(width):
        model = nn.Sequential(nn.Linear(8, width), nn.Tanh(), nn.Linear(width, 2)).requires_grad_(False)
        return rows_for(model, Scores(model, None, (0, 0)), draw(3, 8))

    assert rows(10) == 400 and rows(1_000_000) == 16 and rows(10_000_000) == 8


def test_a_map_of_zeros_is_noted_unless_there_is_nothing_to_explain():
    class Dead(nn.Module):
        def forward(self, x):
            return (x.flatten(1)[:, :3] - 100).relu()

    (note,) = saliency.attributed(Dead(), DIGITS, 0).notes
    assert "zero everywhere for 3 of 3" in note
    assert saliency.attributed(LeNet(), torch.zeros(1, 1, 8, 8), 0).notes == ()


@pytest.mark.gpu
@pytest.mark.parametrize("method", saliency.METHODS)
def test_on_a_gpu_as_on_the_cpu(method, monkeypatch):
    # In TF32, torch's usual precision for convolutions there, maps agree to three digits only.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    model, x, target = LeNet(), DIGITS[:2], torch.tensor([1, 7])
    here = saliency.attributed(model, x, target, method).values
    there = saliency.attributed(model.cuda(), x.cuda(), target.cuda(), method).values
    assert there.is_cuda
    torch.testing.assert_close(there.cpu(), here, atol=1e-4 * float(here.abs().max()), rtol=1e-3)
