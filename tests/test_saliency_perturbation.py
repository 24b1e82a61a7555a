"""Occlusion, RISE and KernelShap against captum, slow loops and closed forms."""

from itertools import combinations
from math import factorial

import captum.attr
import pytest
import torch
from torch import nn

from labkit import saliency
from labkit.errors import SettingError, UnsuitableError
from labkit.models import LeNet
from labkit.saliency.perturbation import PERTURBATIONS, coalitions, shapley_values
from labkit.saliency.segments import segments

# Options that make each method quick.
FEW = {"occlusion": {}, "rise": {"masks": 60}, "kernel_shap": {"segments": 8, "samples": 40}}


def drawn(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


class Linear(nn.Module):
    """Σ w x over all values of a picture, series or row; the second output is its negative."""

    def __init__(self, *shape):
        super().__init__()
        self.weight = nn.Parameter(drawn(*shape, seed=1) - 0.5)

    def forward(self, x):
        total = (self.weight * x).flatten(1).sum(1)
        return torch.stack([total, -total], 1)


class Pairs(nn.Module):
    """Products of neighbours: values act together."""

    def forward(self, x):
        x = x.flatten(1)
        total = (x[:, 1:] * x[:, :-1]).sum(1) + x[:, 0] * x[:, 2] * x[:, 3] + x[:, 0] ** 2
        return torch.stack([total, total**2], 1)


class Words(nn.Module):
    """(n, length, width)."""

    def __init__(self):
        super().__init__()
        self.mix, self.fc = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.mix(x).relu().mean(1))


def test_occlusion_is_captums():
    model, x = LeNet((2, 9, 12)).eval(), drawn(3, 2, 9, 12)
    start, targets = drawn(3, 2, 9, 12, seed=3), torch.tensor([4, 0, 9])
    for window, stride in ((3, 2), (4, 4), (5, 3), (1, 1)):
        oracle = captum.attr.Occlusion(model).attribute(x, (2, window, window), (2, stride, stride), start, targets)
        result = saliency.attribute(model, x, targets, "occlusion", baseline=start, window=window, stride=stride)
        # captum gives every channel the whole, and here they share it.
        torch.testing.assert_close(2 * result, oracle, atol=1e-6, rtol=1e-4)


def test_occlusion_of_a_linear_model():
    """A window's drop is Σ w (x − x₀) in it; a place has the mean of those that cover it."""
    model, x, start = Linear(3, 6, 8), drawn(2, 3, 6, 8), drawn(2, 3, 6, 8, seed=5)
    effect = (model.weight * (x - start)).sum(1).detach()
    total, covered = torch.zeros(2, 6, 8), torch.zeros(6, 8)
    for top in (0, 2, 4):
        for left in (0, 2, 4, 6):
            window = (slice(top, top + 3), slice(left, left + 3))
            total[:, *window] += effect[:, *window].sum((1, 2), keepdim=True)
            covered[window] += 1
    result = saliency.attribute(model, x, 0, "occlusion", baseline=start, window=3, stride=2)
    torch.testing.assert_close(result.sum(1), total / covered, atol=1e-5, rtol=1e-4)
    against = saliency.attribute(model, x, 0, "occlusion", baseline=start, window=3, stride=2, against=1)
    torch.testing.assert_close(against, 2 * result, atol=1e-5, rtol=1e-4)


def test_rows_and_series_are_occluded_value_by_value():
    row, x, start = Linear(7), drawn(4, 7), drawn(4, 7, seed=5)
    expected = (row.weight * (x - start)).detach()
    result = saliency.attribute(row, x, 0, "occlusion", baseline=start)
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=1e-4)
    series, x = Linear(2, 10), drawn(3, 2, 10)
    result = saliency.attribute(series, x, 0, "occlusion", window=1)
    torch.testing.assert_close(result.sum(1), (series.weight * x).sum(1).detach(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("method", PERTURBATIONS)
def test_places_of_words_come_first(method):
    """Embeddings (n, length, width) are taken away word by word."""
    torch.manual_seed(0)
    model, x = Words().eval(), drawn(2, 5, 3)
    options = {"occlusion": {"window": 1}}.get(method, {})
    result = saliency.attribute(model, x, 0, method, **options)
    assert torch.equal(result[:, :, 0], result[:, :, 2]) and not torch.allclose(result[:, 0], result[:, 1])
    if method == "occlusion":
        for word in range(5):
            without = x.clone()
            without[:, word] = 0
            drop = (model(x) - model(without))[:, 0].detach()
            torch.testing.assert_close(result[:, word].sum(1), drop, atol=1e-6, rtol=1e-4)


def slow_masks(count, cells, keep, height, width, seed):
    """RISE's masks one at a time, with skimage's `resize` as the authors' code has it."""
    from skimage.transform import resize

    generator = torch.Generator().manual_seed(seed)
    grids = (torch.rand(count, cells, cells, generator=generator) < keep).double()
    tall, wide = -(-height // cells), -(-width // cells)
    down = torch.randint(tall, (count,), generator=generator)
    right = torch.randint(wide, (count,), generator=generator)
    size = ((cells + 1) * tall, (cells + 1) * wide)
    for grid, i, j in zip(grids, down, right, strict=True):
        large = resize(grid.numpy(), size, order=1, mode="edge", anti_aliasing=False)
        yield torch.as_tensor(large[i : i + height, j : j + width]).float()


def test_rise_is_its_slow_loop():
    model, x, start = LeNet((2, 9, 12)).eval(), drawn(2, 2, 9, 12), drawn(2, 2, 9, 12, seed=3)
    masks = list(slow_masks(70, 4, 0.3, 9, 12, seed=2))
    scores = torch.stack([model(x * mask + start * (1 - mask))[:, 3] for mask in masks]).detach()
    above = scores - scores.mean(0)
    expected = sum(score[:, None, None] * mask for score, mask in zip(above, masks, strict=True)) / (70 * 0.3)
    result = saliency.attribute(model, x, 3, "rise", baseline=start, seed=2, masks=70, cells=4, keep=0.3)
    torch.testing.assert_close(result.sum(1), expected, atol=1e-6, rtol=1e-3)


def test_rise_of_a_linear_model_is_its_contributions():
    """Of rows the masks are independent: the expectation is (1 − p) w (x − x₀)."""
    model, x, start = Linear(6), drawn(2, 6), drawn(2, 6, seed=5)
    result = saliency.attribute(model, x, 0, "rise", baseline=start, masks=40_000, keep=0.3)
    expected = (0.7 * model.weight * (x - start)).detach()
    torch.testing.assert_close(result, expected, atol=0.01, rtol=0)
    assert float(expected.abs().max()) > 0.1


def shapley_by_definition(value, players):
    """Shapley 1953: the mean of what a player adds, over all orders of arrival."""
    found = []
    for player in range(players):
        others = [i for i in range(players) if i != player]
        total = 0.0
        for size in range(players):
            share = factorial(size) * factorial(players - size - 1) / factorial(players)
            for some in combinations(others, size):
                total += share * (value({*some, player}) - value(set(some)))
        found.append(total)
    return found


def test_kernel_shap_gives_shapley_values_where_all_choices_are_tried():
    model, x, start = Pairs(), drawn(2, 6), drawn(2, 6, seed=5)
    for target in (0, 1):
        result = saliency.attribute(model, x, target, "kernel_shap", baseline=start, samples=62)
        for row in range(2):

            def value(kept, row=row, target=target):
                chosen = torch.tensor([i in kept for i in range(6)])
                return float(model(torch.where(chosen, x[row], start[row])[None])[0, target])

            assert result[row].tolist() == pytest.approx(shapley_by_definition(value, 6), abs=1e-5)


@pytest.mark.parametrize("samples", [60, 200])
def test_kernel_shap_of_a_linear_model_is_its_contributions(samples):
    model, x, start = Linear(20), drawn(3, 20), drawn(3, 20, seed=5)
    result = saliency.attribute(model, x, 0, "kernel_shap", baseline=start, samples=samples)
    torch.testing.assert_close(result, (model.weight * (x - start)).detach(), atol=1e-5, rtol=1e-3)


def test_kernel_shap_of_a_picture_shares_out_the_difference_to_the_baseline():
    model, x = LeNet((3, 16, 16)).eval(), drawn(2, 3, 16, 16)
    result = saliency.attribute(model, x, 5, "kernel_shap", baseline="mean", segments=12, samples=100)
    start = saliency.baseline(x, "mean")
    torch.testing.assert_close(result.sum((1, 2, 3)), (model(x) - model(start))[:, 5].detach(), atol=1e-4, rtol=1e-3)
    labels = segments(x, 12)
    for part in range(int(labels[0].max()) + 1):
        assert result[0][:, labels[0] == part].unique().numel() == 1


def test_kernel_shap_is_captums():
    """Of a sampled estimate too: both come to the same values as samples are added."""
    model, x = Pairs(), drawn(1, 9)
    torch.manual_seed(0)
    oracle = captum.attr.KernelShap(model).attribute(x, target=0, n_samples=1500, perturbations_per_eval=250)
    exact = saliency.attribute(model, x, 0, "kernel_shap", samples=510)
    sampled = saliency.attribute(model, x, 0, "kernel_shap", samples=500, seed=3)
    torch.testing.assert_close(exact, oracle, atol=0.06, rtol=0)
    torch.testing.assert_close(exact, sampled, atol=0.06, rtol=0)
    assert float(exact.std()) > 0.1


def test_coalitions_are_drawn_by_shapleys_kernel():
    kept, weights = coalitions(40, 40_000, torch.Generator().manual_seed(0))
    sizes = torch.arange(1, 40)
    expected = 1 / (sizes * (40 - sizes))
    found = kept.sum(1).bincount(minlength=41)[1:40] / len(kept)
    torch.testing.assert_close(found, expected / expected.sum(), atol=0.005, rtol=0)
    assert bool((weights == 1).all()) and torch.equal(kept[:20_000], ~kept[20_000:])
    torch.testing.assert_close(kept.double().mean(0), torch.full((40,), 0.5, dtype=torch.double), atol=1e-9, rtol=0)
    all_of_them, weights = coalitions(4, 14, torch.Generator())
    assert len({tuple(row) for row in all_of_them.tolist()}) == 14
    assert weights[all_of_them.sum(1) == 2].tolist() == pytest.approx([3 / (6 * 2 * 2)] * 6)
    assert weights[all_of_them.sum(1) == 3].tolist() == pytest.approx([3 / (4 * 3 * 1)] * 4)


def test_one_part_has_all():
    kept, weights = coalitions(1, 10, torch.Generator())
    assert shapley_values(kept, weights, torch.zeros(0), torch.tensor(2.5)).tolist() == [2.5]


def test_segments():
    picture = torch.zeros(1, 3, 24, 36)
    picture[:, :, 5:19, 9:20] = torch.tensor([1.0, 0.2, 0.1])[:, None, None]
    labels = segments(picture, 20)[0]
    inside = torch.zeros(24, 36, dtype=torch.bool)
    inside[5:19, 9:20] = True
    assert not set(labels[inside].tolist()) & set(labels[~inside].tolist())  # no part crosses the outline
    for x, count in ((picture, 20), (drawn(2, 3, 30, 20), 24), (drawn(2, 1, 8, 8), 30), (drawn(2, 5, 1, 9), 4)):
        for labels in segments(x, count):
            many = int(labels.max()) + 1
            assert labels.unique().tolist() == list(range(many)) and count / 2 <= many <= 2 * count
    assert segments(drawn(1, 2, 10), 4).tolist() == [[0, 0, 0, 1, 1, 2, 2, 2, 3, 3]]
    assert segments(drawn(1, 2, 3), 4).tolist() == [[0, 1, 2]]
    assert segments(drawn(2, 3), 1).tolist() == [[0, 1, 2], [0, 1, 2]]
    with pytest.raises(UnsuitableError, match="no parts"):
        segments(drawn(1, 1, 2, 2, 2), 3)


@pytest.mark.parametrize("method", PERTURBATIONS)
def test_the_same_alone_and_in_a_batch_and_with_other_rows(method, monkeypatch):
    model, x, few = LeNet().eval(), drawn(5, 1, 8, 8), FEW[method]
    state = torch.get_rng_state()
    whole = saliency.attribute(model, x, 3, method, seed=4, **few)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(saliency.attribute(model, x, 3, method, seed=4, **few), whole)
    alone = torch.cat([saliency.attribute(model, row[None], 3, method, seed=4, **few) for row in x])
    torch.testing.assert_close(alone, whole, atol=1e-5, rtol=1e-3)
    monkeypatch.setattr("labkit.saliency.attribution.rows_for", lambda *_: 3)
    passes = []
    handle = model.register_forward_pre_hook(lambda _, args: passes.append(len(args[0])))
    found = saliency.attribute(model, x, 3, method, seed=4, **few)
    handle.remove()
    assert max(passes) == 3
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-3)
    if PERTURBATIONS[method].random:
        assert not torch.allclose(saliency.attribute(model, x, 3, method, seed=5, **few), whole, atol=1e-4)


@pytest.mark.parametrize("method", PERTURBATIONS)
def test_progress_and_an_interrupt_in_it(method, monkeypatch):
    monkeypatch.setattr("labkit.saliency.attribution.rows_for", lambda *_: 50)
    model, x = LeNet(), drawn(3, 1, 8, 8)
    told = []
    saliency.attribute(model, x, 3, method, progress=lambda done, of: told.append((done, of)))
    assert told == sorted(told) and told[-1][0] == told[-1][1] and len(told) > 1 and len({of for _, of in told}) == 1

    def stop(done, of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        saliency.attribute(model, x, 3, method, progress=stop)
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("occlusion", {"window": 9}, "shortest side, 8, received 9"),
        ("occlusion", {"window": 2, "stride": 3}, "at most the window, 2, received 3"),
        ("occlusion", {"window": 0}, "window as a whole number of 1 or more, received 0"),
        ("rise", {"masks": 2.5}, "masks as a whole number"),
        ("rise", {"keep": 1}, "between 0 and 1, received 1"),
        ("rise", {"cells": 0}, "cells as a whole number"),
        ("kernel_shap", {"segments": 0}, "segments as a whole number"),
        ("kernel_shap", {"samples": 10}, "at least 60 for 30 parts, received 10"),
    ],
)
def test_options_that_make_no_sense(method, options, message):
    with pytest.raises(SettingError, match=message):
        saliency.attribute(LeNet(), drawn(1, 1, 8, 8), 0, method, **options)
