"""Loss landscapes and sharpness against closed forms, full Hessians, SVD, and the models' own losses."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from labkit.data import Dataset, toy
from labkit.errors import DataError, SettingError
from labkit.models import MLP, LeNet
from labkit.train import Player, Trainer, probes
from labkit.train.curvature import sharpness, stability_limit
from labkit.train.directions import filter_normalised, gaussian, orthonormal, principal
from labkit.train.landscape import Trajectory, line, on_plane, plane, project, share, trajectory
from labkit.train.weights import flatten, loss_at, trained, unflatten


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def loaded(model: nn.Module, weights) -> nn.Module:
    """A copy of a model with other weights, set one by one."""
    twin = copy.deepcopy(model).eval()
    at = 0
    with torch.no_grad():
        for p in twin.parameters():
            p.copy_(torch.as_tensor(weights[at : at + p.numel()]).reshape(p.shape))
            at += p.numel()
    return twin


def loss_of(model: nn.Module, ds: Dataset) -> float:
    criterion = nn.functional.mse_loss if ds.targets.is_floating_point() else nn.functional.cross_entropy
    with torch.no_grad():
        return float(criterion(copy.deepcopy(model).eval()(ds.inputs), ds.targets))


class Exact:
    """A data set in double precision; labkit's own keeps float32."""

    def __init__(self, inputs, targets) -> None:
        self.inputs = inputs.double()
        self.targets = targets.double() if targets.is_floating_point() else targets


def pictures(n: int = 40, seed: int = 1) -> Dataset:
    inputs = torch.rand(n, 1, 8, 8, generator=rng(seed))
    return Dataset(inputs, torch.randint(10, (n,), generator=rng(seed + 1)))


class Normed(nn.Sequential):
    """With every kind of parameter that a direction treats in its own way, dropout, and a flag that in-place uses."""

    def __init__(self) -> None:
        torch.manual_seed(3)
        super().__init__(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(144, 10),
            nn.LayerNorm((10,)),
        )


MODELS = {
    "mlp": (lambda: MLP(2, 2, (5, 4)), lambda: toy("circle", n=60)),
    "regression": (
        lambda: MLP(3, 2, (5,)),
        lambda: Dataset(torch.randn(30, 3, generator=rng()), torch.randn(30, 2, generator=rng(1))),
    ),
    "cnn": (LeNet, pictures),
    "normed": (Normed, pictures),
}


@pytest.fixture
def run() -> Player:
    trainer = Trainer(MLP(2, 2, (6, 6)), toy("circle", n=100), optimizer="sgd", lr=0.1, batch_size=20)
    player = Player(trainer, probes={"parameters": probes.parameters()}, frame_every=1)
    player.wait(steps=60)
    return player


# ---- the loss as a function of the weights


@pytest.mark.parametrize("name", MODELS)
def test_losses_are_those_of_a_model_with_these_weights(name):
    make, data = MODELS[name]
    model, ds = make(), data()
    centre = flatten(model)
    weights = centre + 0.1 * torch.randn(7, len(centre), generator=rng())
    expected = [loss_of(loaded(model, w), ds) for w in weights]
    torch.testing.assert_close(loss_at(model, ds)(weights), torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_losses_over_many_examples_and_models_in_parts(monkeypatch):
    ds = toy("spiral", n=1100, seed=2)
    model = MLP(2, 2, (16, 16))
    weights = flatten(model) + torch.randn(9, sum(p.numel() for p in model.parameters()), generator=rng())
    whole = loss_at(model, ds)(weights)
    monkeypatch.setattr("labkit.train.weights.CHUNK_BYTES", {"cpu": 1})
    torch.testing.assert_close(loss_at(model, ds)(weights), whole)
    expected = torch.tensor([loss_of(loaded(model, w), ds) for w in weights])
    torch.testing.assert_close(whole, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("targets", ["numbers", "classes"])
@pytest.mark.parametrize(
    "layers",
    [
        lambda: [nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 3))],
        lambda: [nn.Flatten(), nn.Tanh(), nn.Linear(6, 4, bias=False), nn.Dropout(0.5), nn.Linear(4, 3)],
        lambda: [nn.ReLU(inplace=True), nn.Linear(6, 1), nn.ReLU(inplace=True), nn.Linear(1, 3), nn.Softplus()],
        lambda: [nn.Linear(6, 3).requires_grad_(False), nn.Tanh(), nn.Linear(3, 3)],
    ],
)
def test_a_chain_of_layers_gives_the_losses_of_a_plain_loop(layers, targets):
    torch.manual_seed(5)
    model = nn.Sequential(*layers()).double()
    inputs = torch.randn(40, 6, generator=rng())
    wanted = torch.randn(40, 3, generator=rng(1)) if targets == "numbers" else torch.randint(3, (40,), generator=rng(1))
    ds = Exact(inputs, wanted)
    grid = plane(model, ds, n=4, span=2.0)
    own = copy.deepcopy(model).eval()
    for (i, j), loss in np.ndenumerate(grid.losses):
        parts = unflatten(torch.from_numpy(grid.weights_at(grid.a[j], grid.b[i])), trained(own))
        with torch.no_grad():
            for name, part in parts.items():
                own.get_parameter(name).copy_(part)
        assert math.isclose(loss, loss_of(own, ds), rel_tol=1e-12)


def test_unflatten_is_the_inverse_and_frozen_weights_stay_out():
    model = MLP(2, 2, (3,))
    model.linear1.requires_grad_(False)
    assert list(trained(model)) == ["output.weight", "output.bias"]
    back = unflatten(flatten(model), trained(model))
    assert all(torch.equal(back[name], p) for name, p in trained(model).items())
    with pytest.raises(SettingError, match="none requires a gradient"):
        flatten(model.requires_grad_(False))


def test_the_model_the_mode_and_the_random_numbers_stay_as_they_are():
    model, ds = Normed().train(), pictures()
    before, numbers = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    plane(model, ds, n=3)
    line(model, ds, n=3)
    sharpness(model, ds, steps=2)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(m.training for m in model.modules())
    assert torch.equal(torch.get_rng_state(), numbers)
    assert not any(m._forward_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())


# ---- directions


def test_filters_have_the_norm_of_the_models_own_and_the_rest_is_zero():
    model = Normed()
    parts = unflatten(filter_normalised(model, rng()), trained(model))
    for name, p in model.named_parameters():
        if name in ("0.weight", "5.weight"):
            torch.testing.assert_close(parts[name].flatten(1).norm(dim=1), p.detach().flatten(1).norm(dim=1))
        else:
            assert not parts[name].any(), name


def test_a_norms_matrix_of_gains_is_left_alone_too():
    model = nn.Sequential(nn.LayerNorm((4, 3)), nn.Flatten(), nn.Linear(12, 2))
    assert not unflatten(filter_normalised(model, rng()), trained(model))["0.weight"].any()


def test_directions_follow_their_seed():
    model = MLP(2, 2, (4,))
    for draw in (filter_normalised, gaussian):
        assert torch.equal(draw(model, rng(5)), draw(model, rng(5)))
        assert not torch.equal(draw(model, rng(5)), draw(model, rng(6)))
    torch.testing.assert_close(gaussian(model, rng()).norm(), flatten(model).norm())


@pytest.mark.parametrize("shape", [(6, 40), (40, 6)])
def test_principal_directions_are_the_singular_vectors(shape):
    movement = torch.randn(shape, generator=rng(), dtype=torch.float64)
    found = principal(movement).numpy()
    _, _, expected = np.linalg.svd(movement.numpy(), full_matrices=False)
    np.testing.assert_allclose(np.abs(found @ expected[:2].T), np.eye(2), atol=1e-8)
    places = movement.numpy() @ found.T
    assert places[0, 0] < 0
    assert places[np.abs(places[:, 1]).argmax(), 1] > 0


def test_a_straight_path_has_one_direction_and_one_that_stands_still_none():
    way = torch.randn(1, 30, generator=rng())
    np.testing.assert_allclose(principal(torch.linspace(-1, 0, 9)[:, None] * way), way / way.norm(), atol=1e-6)
    with pytest.raises(DataError, match="stays in one place"):
        principal(torch.zeros(4, 30))
    with pytest.raises(DataError, match="NaN"):
        principal(torch.full((4, 30), math.nan))


def test_orthonormal_spans_the_same_plane():
    first, second = torch.randn(2, 20, generator=rng(), dtype=torch.float64)
    basis = orthonormal(first, second)
    torch.testing.assert_close(basis @ basis.T, torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close((second @ basis.T) @ basis, second)
    with pytest.raises(DataError, match="on one line"):
        orthonormal(first, -2 * first)


# ---- planes


def test_a_quadratic_has_the_landscape_of_its_closed_form():
    """Linear regression: L(w + d) = L(w) + g d + d H d / 2 with H = 2 X^T X / n, exactly."""
    x = torch.randn(50, 3, generator=rng(), dtype=torch.float64)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64) + 0.1
    model = nn.Linear(3, 1, bias=False).double()
    found = plane(model, Exact(x, y), "random", n=7, span=1.5)
    hessian = (2 * x.T @ x / len(x)).numpy()
    at = model.weight.detach().numpy().ravel()
    slope = (2 * x.T @ (x @ model.weight.detach().T - y) / len(x)).numpy().ravel()
    start = float(nn.functional.mse_loss(x @ model.weight.detach().T, y))
    for i, b in enumerate(found.b):
        for j, a in enumerate(found.a):
            d = a * found.directions[0] + b * found.directions[1]
            np.testing.assert_allclose(found.losses[i, j], start + slope @ d + d @ hessian @ d / 2, rtol=1e-9)
            np.testing.assert_allclose(found.weights_at(a, b), at + d)


@pytest.mark.parametrize("kind", ["filter", "random"])
@pytest.mark.parametrize("name", MODELS)
def test_the_centre_has_the_models_loss_and_each_place_that_of_its_weights(name, kind):
    make, data = MODELS[name]
    model, ds = make(), data()
    found = plane(model, ds, kind, n=5, span=0.5, seed=4)
    assert found.losses.shape == (5, 5) and found.kind == kind
    np.testing.assert_allclose(found.losses[2, 2], loss_of(model, ds), rtol=1e-5)
    there = loaded(model, found.weights_at(found.a[3], found.b[0]))
    np.testing.assert_allclose(found.losses[0, 3], loss_of(there, ds), rtol=1e-4)
    np.testing.assert_array_equal(found.losses, plane(model, ds, kind, n=5, span=0.5, seed=4).losses)


def test_losses_that_are_not_finite_are_shown_as_such():
    model, ds = nn.Linear(1, 1, bias=False), Dataset(torch.ones(1, 1), torch.ones(1, 1))
    with torch.no_grad():
        model.weight.fill_(1.0)
    found = plane(model, ds, "filter", loss=lambda output, _: (output - 1).sum().log(), n=3)
    step = found.directions[:, 0]  # each 1 or -1, as long as the only filter
    with np.errstate(all="ignore"):
        expected = [[np.log(a * step[0] + b * step[1]) for a in (-1, 0, 1)] for b in (-1, 0, 1)]
    assert np.isnan(expected).any() and np.isinf(expected).any()
    np.testing.assert_allclose(found.losses, expected)


def test_the_path_of_a_run_on_its_best_plane(run):
    path = trajectory(run)
    np.testing.assert_array_equal(path.steps, np.arange(61))
    np.testing.assert_array_equal(path.weights[-1], flatten(run.trainer.model))
    found = plane(run.trainer.model, run.trainer.train, "pca", path, n=9)
    movement = (path.weights - path.weights[-1]).astype(np.float64)
    _, sizes, rows = np.linalg.svd(movement, full_matrices=False)
    assert found.share == pytest.approx((sizes[:2] ** 2).sum() / (sizes**2).sum(), rel=1e-5)
    assert found.held(path.weights) == pytest.approx(found.share, rel=1e-6)
    np.testing.assert_allclose(np.abs(found.path), np.abs(movement @ rows[:2].T), atol=1e-5)
    np.testing.assert_allclose(found.path[-1], 0, atol=1e-6)
    np.testing.assert_allclose(found.project(path.weights), found.path, atol=1e-6)
    assert found.a[0] < found.path[:, 0].min() and found.path[:, 0].max() < found.a[-1]
    assert np.ptp(found.a) == pytest.approx(np.ptp(found.b))
    reach = np.ptp(found.path, axis=0).max()
    assert np.ptp(found.a) == pytest.approx(1.25 * reach)
    by_chance = plane(run.trainer.model, run.trainer.train, "filter", path, n=3)
    assert by_chance.share < found.share


def test_a_planar_path_is_held_whole():
    model, ds = MLP(2, 2, (4,)), toy("gauss", n=20)
    centre = flatten(model)
    basis = torch.randn(2, len(centre), generator=rng())
    weights = centre + torch.randn(12, 2, generator=rng(1)) @ basis
    found = plane(model, ds, "pca", Trajectory(np.arange(12), weights.numpy()), n=3)
    assert found.share == pytest.approx(1, abs=1e-5)
    back = found.centre + found.path @ found.directions
    np.testing.assert_allclose(back, weights, atol=1e-4)


def test_a_straight_path_gets_a_second_direction_by_chance():
    model, ds = MLP(2, 2, (4,)), toy("gauss", n=20)
    centre = flatten(model).numpy()
    weights = centre + np.linspace(-1, 0, 5)[:, None] * np.ones_like(centre)
    found = plane(model, ds, "pca", Trajectory(np.arange(5), weights.astype(np.float32)), n=3)
    np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(2), atol=1e-5)
    np.testing.assert_allclose(found.path[:, 1], 0, atol=1e-5)


def test_projection_is_the_nearest_place():
    directions = np.random.default_rng(0).normal(size=(2, 8))
    movement = np.random.default_rng(1).normal(size=(5, 8))
    expected = np.linalg.lstsq(directions.T, movement.T, rcond=None)[0].T
    np.testing.assert_allclose(project(movement, directions), expected)
    held = np.square(expected @ directions).sum() / np.square(movement).sum()
    assert share(movement, directions) == pytest.approx(held)
    assert share(np.zeros((3, 8)), directions) == 1


def test_a_plane_through_three_models_has_their_losses():
    ds = toy("circle", n=50)
    models = [MLP(2, 2, (4,), seed=seed) for seed in range(3)]
    found = plane(models[0], ds, directions=models[1:], n=4)
    assert found.kind == "runs"
    value = on_plane(models[0], ds, found)
    expected = torch.tensor([loss_of(model, ds) for model in models])
    torch.testing.assert_close(value(torch.tensor(found.marks)).float(), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(SettingError, match="two other models"):
        plane(models[0], ds, directions=models[1:2])
    with pytest.raises(SettingError, match="same architecture"):
        plane(models[0], ds, directions=[models[1], MLP(2, 2, (5,))])


def test_the_exact_loss_on_a_plane_has_autograds_slope():
    model, ds = MLP(2, 2, (4,)).double(), toy("circle", n=30)
    ds = Exact(ds.inputs, ds.targets)
    found = plane(model, ds, n=3)
    value = on_plane(model, ds, found)
    torch.testing.assert_close(
        value(torch.cartesian_prod(*(torch.tensor(x) for x in (found.b, found.a))).flip(1).reshape(3, 3, 2)),
        torch.tensor(found.losses),
    )
    assert torch.autograd.gradcheck(value, torch.tensor([[0.3, -0.2]], dtype=torch.float64, requires_grad=True))


# ---- lines


def test_a_line_between_two_runs_has_their_losses_at_its_ends():
    ds, models = pictures(), [Normed(), Normed()]
    with torch.no_grad():  # trained apart: other weights, and other batch statistics
        for p in models[1].parameters():
            p.add_(0.1)
        models[1].train()(torch.randn(20, 1, 8, 8, generator=rng()))
    found = line(models[0], ds, to=models[1], n=9)
    np.testing.assert_allclose(found.at[[0, 2, 6, 8]], [-0.5, 0, 1, 1.5])
    np.testing.assert_allclose(found.losses[[2, 6]], [loss_of(m, ds) for m in models], rtol=1e-4)
    np.testing.assert_allclose(found.centre + found.direction, flatten(models[1]), atol=1e-6)


def test_a_line_by_chance_is_a_row_of_the_plane():
    model, ds = MLP(2, 2, (4,)), toy("gauss", n=20)
    found, on = line(model, ds, n=5, seed=3), plane(model, ds, n=5, seed=3)
    np.testing.assert_allclose(found.losses, on.losses[2], rtol=1e-6)
    np.testing.assert_array_equal(found.direction, on.directions[0])


# ---- sharpness


@pytest.mark.parametrize("name", ["mlp", "regression"])
def test_sharpness_is_the_largest_eigenvalue_of_the_whole_hessian(name):
    make, data = MODELS[name]
    model, ds = make().double(), data()
    ds = Exact(ds.inputs, ds.targets)
    like, targets = trained(model), ds.targets

    def value(weights):
        criterion = nn.functional.mse_loss if targets.is_floating_point() else nn.functional.cross_entropy
        return criterion(functional_call(model, unflatten(weights, like), (ds.inputs,)), targets)

    whole = torch.autograd.functional.hessian(value, flatten(model))
    expected = float(torch.linalg.eigvalsh(whole)[-1])
    found = sharpness(model, ds, steps=3000, tolerance=1e-9)
    assert found == pytest.approx(expected, rel=1e-4)
    assert sharpness(model, ds, steps=3) <= expected
    assert sharpness(model, ds, steps=3) == sharpness(model, ds, steps=3)


def test_sharpness_of_a_linear_regression():
    x = torch.randn(600, 4, generator=rng())
    model = nn.Linear(4, 1, bias=False)
    expected = float(torch.linalg.eigvalsh(2 * x.T @ x / len(x))[-1])
    found = sharpness(model, Dataset(x, torch.zeros(600, 1)), tolerance=1e-6, steps=500)
    assert found == pytest.approx(expected, rel=1e-3)


def test_a_dominant_negative_curvature_is_not_taken_for_the_sharpness():
    """Loss w0^2 - 5 w1^2: eigenvalues 2 and -10."""

    def loss(output, target):
        return output[0, 0] ** 2 - 5 * output[0, 1] ** 2

    model = nn.Linear(1, 2, bias=False)
    found = sharpness(model, Dataset(torch.ones(1, 1), torch.zeros(1, 2)), loss, steps=500, tolerance=1e-7)
    assert found == pytest.approx(2, rel=1e-4)


def test_an_operation_without_a_forward_rule_is_derived_backward():
    """mse_loss's rule fails in torch 2.13; its own name is replaced, a function that uses it goes the other way."""
    x, model = torch.randn(9, 2, generator=rng()), nn.Linear(2, 1)
    ds = Dataset(x, torch.ones(9, 1))
    assert sharpness(model, ds, lambda o, t: nn.functional.mse_loss(o, t)) == pytest.approx(sharpness(model, ds))


def test_sharpness_that_is_not_finite_is_nan():
    def loss(output, target):
        return (output * torch.inf).mean() ** 2

    assert math.isnan(sharpness(nn.Linear(1, 1), Dataset(torch.ones(1, 1), torch.ones(1, 1)), loss))
    with pytest.raises(SettingError, match="tolerance"):
        sharpness(nn.Linear(1, 1), Dataset(torch.ones(1, 1), torch.ones(1, 1)), tolerance=0)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}], ids=str)
def test_steps_grow_above_the_stability_limit_and_shrink_below(options):
    """On the parabola h w^2 / 2, whose sharpness is h."""
    limit = stability_limit(torch.optim.SGD([torch.zeros(1)], lr=0.1, **options))
    for factor, grows in ((0.98, False), (1.02, True)):
        w = torch.ones(1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1, **options)
        for _ in range(2000):
            optimizer.zero_grad()
            (factor * limit * w**2 / 2).sum().backward()
            optimizer.step()
        assert bool(w.abs() > 1) == grows


def test_there_is_no_limit_for_adaptive_optimisers():
    w = [torch.zeros(1)]
    assert stability_limit(torch.optim.Adam(w, lr=0.1)) is None
    assert stability_limit(torch.optim.SGD(w, lr=0.1, momentum=0.9, dampening=0.9)) is None
    assert stability_limit(torch.optim.SGD(w, lr=0.0)) == math.inf


# ---- bad input


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"directions": "up"}, SettingError, "filter, random or pca"),
        ({"directions": "pca"}, SettingError, "Expected a trajectory"),
        ({"n": 1}, SettingError, "n of at least 2"),
        ({"span": 0.0}, SettingError, "span above 0"),
        ({"span": math.nan}, SettingError, "span above 0"),
        ({"loss": "hinge"}, SettingError, "cross_entropy, mse"),
        ({"loss": lambda o, t: o}, SettingError, "one number"),
        ({"ds": [1, 2]}, DataError, "labkit.data.Dataset"),
        ({"ds": "empty"}, DataError, "at least one"),
        ({"ds": "nan"}, DataError, "finite inputs"),
        ({"ds": "shape"}, DataError, "fit the model"),
        ({"ds": "labels"}, DataError, "labels of 0 to 1"),
        ({"ds": "targets"}, DataError, "shaped like the model's output"),
        ({"trajectory": Trajectory(np.arange(2), np.ones((2, 3)))}, SettingError, "trajectory of this model"),
    ],
)
def test_bad_input_is_refused_in_words(change, error, message):
    class Bare:
        def __init__(self, inputs, targets):
            self.inputs, self.targets = inputs, targets

    two, zero = torch.ones(4, 2), torch.zeros(4, dtype=torch.long)
    sets = {
        "empty": Bare(two[:0], zero[:0]),
        "nan": Bare(two * math.nan, zero),
        "shape": Bare(torch.ones(4, 3), zero),
        "labels": Bare(two, zero + 2),
        "targets": Bare(two, torch.zeros(4)),
    }
    arguments = {"ds": Bare(two, zero), "n": 3, **change}
    if isinstance(arguments["ds"], str):
        arguments["ds"] = sets[arguments["ds"]]
    with pytest.raises(error, match=message):
        plane(MLP(2, 2, (3,)), **arguments)


def test_a_player_without_the_probe_is_told_how(run):
    with pytest.raises(SettingError, match="probes.parameters"):
        trajectory(Player(run.trainer))


@pytest.mark.gpu
def test_on_a_gpu_the_losses_are_the_same():
    model, ds = MLP(2, 2, (8, 8)), toy("circle", n=100)
    here = plane(model, ds, n=9)
    there = plane(copy.deepcopy(model).cuda(), ds, n=9)
    np.testing.assert_allclose(there.losses, here.losses, rtol=1e-3)
    assert sharpness(copy.deepcopy(model).cuda(), ds) == pytest.approx(sharpness(model, ds), rel=1e-2)
