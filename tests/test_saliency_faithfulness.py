"""Scores that run the model again: closed forms on linear models, captum.metrics, borrowed models given back."""

import numpy as np
import pytest
import torch
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import sensitivity_max
from torch import nn

from labkit import saliency
from labkit.errors import DataError, SettingError
from labkit.models import LeNet
from labkit.saliency import faithfulness


def drawn(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def linear(weight):
    """A net with two outputs, 0 and the weighted sum of a picture's values: the softmax is a logistic function."""
    layer = nn.Linear(weight.numel(), 2)
    layer.weight.data = torch.stack([torch.zeros_like(weight), weight]).flatten(1)
    layer.bias.data.zero_()
    return nn.Sequential(nn.Flatten(), layer)


@pytest.mark.parametrize("kind", ["deletion", "insertion"])
def test_curves_of_a_linear_model_are_known(kind):
    """Removing the place with the i-th highest |w·x| takes its own w·x from the sum, one after the other."""
    weight, x = drawn(1, 3, 4) - 0.4, drawn(2, 1, 3, 4, seed=1)
    shares = x * weight
    order = shares.abs().flatten(1).argsort(dim=1, descending=True)
    taken = shares.flatten(1).gather(1, order).double().cumsum(1)
    taken = torch.cat([torch.zeros(2, 1, dtype=torch.double), taken], dim=1)
    sums = taken if kind == "insertion" else taken[:, -1:] - taken
    found = faithfulness.curve(linear(weight), x, 1, shares, kind, baseline="black", steps=12)
    assert torch.allclose(found.values, sums.sigmoid(), atol=1e-6)
    assert torch.allclose(found.shares, torch.arange(13).double() / 12)
    values = sums.sigmoid()
    expected = ((values[:, 1:] + values[:, :-1]) / 2).mean(1)
    assert torch.allclose(found.auc, expected, atol=1e-6)
    assert torch.equal(getattr(saliency, kind)(linear(weight), x, 1, shares, baseline="black", steps=12), found.auc)
    coarse = faithfulness.curve(linear(weight), x, 1, shares, kind, baseline="black", steps=3)
    assert torch.allclose(coarse.values, found.values[:, ::4])


def test_the_order_that_is_right_deletes_better_than_its_opposite():
    weight, x = drawn(1, 6, 6), drawn(4, 1, 6, 6, seed=1)
    right, wrong = x * weight, 1 - x * weight
    model = linear(weight)
    assert (saliency.deletion(model, x, 1, right) < saliency.deletion(model, x, 1, wrong)).all()
    assert (saliency.insertion(model, x, 1, right) > saliency.insertion(model, x, 1, wrong)).all()


def test_deletion_takes_maps_rows_and_models_with_one_output():
    model, x = LeNet().eval(), drawn(3, 1, 8, 8)
    values = saliency.attribute(model, x, 2, "gradient")
    as_given = saliency.deletion(model, x, torch.tensor([2, 2, 2]), values)
    assert torch.equal(saliency.deletion(model, x, 2, saliency.as_map(values)), as_given)
    assert torch.equal(saliency.deletion(model, x, 2, -values), as_given)  # magnitudes count
    alone = [saliency.deletion(model, x[i : i + 1], 2, values[i : i + 1]) for i in range(3)]
    assert torch.allclose(torch.cat(alone), as_given)
    row = nn.Linear(4, 1)
    rows = drawn(2, 4)
    found = faithfulness.curve(row, rows, 0, rows, "deletion", baseline="black", steps=4).values
    assert torch.allclose(found[:, 0], row(rows)[:, 0].double()) and torch.allclose(found[:, -1], row.bias.double())


def test_equal_places_go_in_a_drawn_order_and_maps_of_zeros_have_no_score():
    model, x = LeNet().eval(), drawn(2, 1, 8, 8)
    flat = torch.ones(2, 8, 8)
    first, same, other = (saliency.deletion(model, x, 2, flat, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)
    flat[0] = 0
    found = faithfulness.curve(model, x, 2, flat)
    assert found.auc[0].isnan() and found.values[0].isnan().all() and found.auc[1].isfinite()


def test_infidelity_is_captums():
    model, x = LeNet().eval(), drawn(3, 1, 8, 8)
    target = torch.tensor([1, 4, 7])
    values = saliency.attribute(model, x, target, "integrated_gradients")
    squares = faithfulness.drawn_squares((8, 8), 40, seed=3)
    removed = x - x.mean((2, 3), keepdim=True)
    for scaled in (False, True):
        drawn_next = iter(squares)

        def perturb(inputs, drawn_next=drawn_next):
            where = next(drawn_next)
            return where * removed, inputs - where * removed

        theirs = captum_infidelity(
            model, perturb, x, values, target=target, n_perturb_samples=40, max_examples_per_batch=3, normalize=scaled
        ).detach()
        ours = saliency.infidelity(model, x, target, values, squares=40, scaled=scaled, seed=3)
        if scaled:
            with torch.no_grad():
                outputs = torch.stack([model(x) - model(x - where * removed) for where in squares])
            changes = outputs[:, torch.arange(3), target]
            theirs = theirs / changes.square().mean(0)
            assert ((ours > 0) & (ours < 1)).all()
        assert torch.allclose(ours.float(), theirs, rtol=1e-3, atol=1e-6)


def test_infidelity_of_a_linear_models_own_map_is_none():
    weight, x = drawn(1, 9, 9), drawn(2, 1, 9, 9, seed=1)
    model, right = linear(weight), (weight * torch.ones_like(x))
    # Of the input's own values I is x - baseline, of which the weights tell all.
    assert torch.allclose(saliency.infidelity(model, x, 1, right, scaled=False), torch.zeros(2).double(), atol=1e-9)
    assert (saliency.infidelity(model, x, 1, 5 * right) < 1e-6).all()
    assert (saliency.infidelity(model, x, 1, drawn(2, 1, 9, 9, seed=2)) > 0.01).all()
    assert saliency.infidelity(model, x, 1, torch.zeros_like(x)).isnan().all()


def test_squares_lie_inside_and_differ():
    squares = faithfulness.drawn_squares((24, 48), 200, seed=0)
    sides = squares.any(2).sum(1), squares.any(1).sum(1)
    assert sides[0].min() >= 3 and sides[0].max() <= 8 and sides[1].min() >= 6 and sides[1].max() <= 16
    assert (squares.flatten(1).sum(1) == sides[0] * sides[1]).all()  # each is a full rectangle
    assert squares.any(0).float().mean() > 0.95 and len(squares.unique(dim=0)) > 150
    assert torch.equal(squares, faithfulness.drawn_squares((24, 48), 200, seed=0))


def test_sensitivity_is_captums():
    model, x = LeNet().eval(), drawn(3, 1, 8, 8)
    generator = torch.Generator().manual_seed(5)
    draws = iter([(torch.rand((1, 1, 8, 8), generator=generator) * 2 - 1) * 0.02 for _ in range(6)])

    def explain(inputs, target):
        (given,) = inputs
        return (saliency.attribute(model, given, target, "input_x_gradient"),)

    theirs = sensitivity_max(
        explain,
        x,
        perturb_func=lambda inputs, radius: (inputs + next(draws),),
        n_perturb_samples=6,
        max_examples_per_batch=3,
        target=2,
    )
    ours = saliency.sensitivity(model, x, 2, "input_x_gradient", samples=6, seed=5)
    assert torch.allclose(ours.float(), theirs, rtol=1e-4)
    weight = drawn(1, 4, 4)
    assert saliency.sensitivity(linear(weight), drawn(2, 1, 4, 4), 1, "gradient").max() < 1e-6


def test_completeness_error():
    weight, x = drawn(1, 4, 4), drawn(2, 1, 4, 4, seed=1)
    model = linear(weight)
    assert (saliency.completeness(model, x, 1, x * weight) < 1e-6).all()
    assert torch.allclose(saliency.completeness(model, x, 1, 1.25 * x * weight).float(), torch.tensor(0.25), atol=1e-5)
    # From the mean only differences to the mean count.
    from_mean = (x - x.mean((2, 3), keepdim=True)) * weight
    assert (saliency.completeness(model, x, 1, from_mean, baseline="mean") < 1e-4).all()
    assert saliency.completeness(model, x, 1, x * weight, baseline="mean").max() > 0.1


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_given_back(fails):
    model, x = LeNet(), drawn(2, 1, 8, 8)
    model.relu2.eval()
    model.conv1.weight.requires_grad_(False)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before = torch.get_rng_state()
    calls = [
        lambda target: saliency.deletion(model, x, target, x),
        lambda target: saliency.infidelity(model, x, target, x),
        lambda target: saliency.completeness(model, x, target, x),
        lambda target: saliency.sensitivity(model, x, target, samples=1),
    ]
    for call in calls:
        if fails:
            with pytest.raises(DataError, match="0 to 9"):
                call(10)
        else:
            assert call(1).shape == (2,)
    assert model.training and not model.relu2.training and model.conv2.training
    assert not model.conv1.weight.requires_grad and model.conv2.weight.requires_grad and model.conv2.weight.grad is None
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), before)


def test_refusals():
    model, x = LeNet().eval(), drawn(2, 1, 8, 8)
    with pytest.raises(SettingError, match="deletion"):
        faithfulness.curve(model, x, 1, x, "removal")
    with pytest.raises(SettingError, match="steps=65"):
        saliency.deletion(model, x, 1, x, steps=65)
    with pytest.raises(DataError, match="like x"):
        saliency.deletion(model, x, 1, x[:, :, :4])
    with pytest.raises(DataError, match="finite"):
        saliency.infidelity(model, x, 1, x * float("inf"))
    with pytest.raises(DataError, match="whole number"):
        saliency.deletion(model, x, torch.tensor([1.0, 2.0]), x)
    with pytest.raises(SettingError, match="radius=0"):
        saliency.sensitivity(model, x, 1, radius=0)
    with pytest.raises(SettingError, match="squares=0"):
        saliency.infidelity(model, x, 1, x, squares=0)


def test_progress_counts_every_row():
    seen = []
    model, x = LeNet().eval(), drawn(3, 1, 8, 8)
    saliency.deletion(model, x, 1, x, progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (75, 75) and np.all(np.diff([done for done, _ in seen]) > 0)
