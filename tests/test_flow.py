"""The gradient-flow probe: against plain hooks and hand arithmetic, on the step itself, without a trace."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from labkit.data import Dataset, digits
from labkit.errors import SettingError
from labkit.models import MLP, LeNet, ResNet, TinyVGG
from labkit.train import GradientFlow, Player, Trainer
from labkit.train.layerstats import BINS, LOWEST, magnitudes
from labkit.train.trainer import evaluation_mode

DIGITS = digits()
MODELS = {
    "relu": lambda: MLP((1, 8, 8), 10, (32, 24, 24), "relu", initial="he"),
    "tanh": lambda: MLP((1, 8, 8), 10, (32, 24), "tanh", initial="large"),
    "sigmoid": lambda: MLP((1, 8, 8), 10, (32, 24), "sigmoid", initial="large", dropout=0.2),
    "norm": lambda: MLP((1, 8, 8), 10, [16] * 5, "relu", norm="batch", residual=True),
    "lenet": LeNet,
    "tinyvgg": lambda: TinyVGG((1, 8, 8), channels=(4, 8)),
    "resnet": lambda: ResNet(depth=14, channels=(4, 4, 8)),
}


def trainer(model, **settings) -> Trainer:
    return Trainer(model, DIGITS, device="cpu", batch_size=30, **settings)


def by_hooks(run: Trainer) -> dict[str, list[float]]:
    """One step, read with plain hooks: the numbers of each layer's output, gradient, weights."""
    seen: list[tuple[str, torch.Tensor, list[torch.Tensor]]] = []
    kinds = (nn.ReLU, nn.Tanh, nn.Sigmoid)

    def keep(module, _, output):
        gradients: list[torch.Tensor] = []
        output.register_hook(lambda g: gradients.append(g.clone()))
        seen.append((module, output.detach().clone(), gradients))

    modules = [m for m in run.model.modules() if isinstance(m, (*kinds, nn.Linear, nn.Conv2d))]
    handles = [m.register_forward_hook(keep) for m in modules]
    before = {id(m): m.weight.detach().clone() for m in modules if hasattr(m, "weight")}
    run.step()
    for handle in handles:
        handle.remove()
    layers = []
    for module, output, gradients in seen:
        if hasattr(module, "weight"):
            layers.append([module, None, output, gradients])
        elif layers[-1][1] is None:
            layers[-1][1:] = [module, output, gradients]
    rows = []
    for module, activation, output, (gradient,) in layers:
        weight, old = module.weight.detach(), before[id(module)]
        unit_dims = [0, 2, 3] if output.ndim == 4 else [0]
        dead = (output == 0).all(dim=tuple(unit_dims)).float().mean().item()
        flat = {nn.Tanh: output.abs() > 0.97, nn.Sigmoid: (output < 0.03) | (output > 0.97)}.get(type(activation))
        rows.append(
            {
                "activation_rms": output.square().mean().sqrt().item(),
                "gradient_rms": gradient.square().mean().sqrt().item(),
                "weight_gradient_rms": module.weight.grad.square().mean().sqrt().item(),
                "dead": dead if isinstance(activation, nn.ReLU) else np.nan,
                "saturated": np.nan if flat is None else flat.float().mean().item(),
                "update_ratio": ((weight - old).norm() / old.norm()).item(),
                "activation_std": output.std().item(),
                "size": weight.numel(),
                "values": output.numel(),
            }
        )
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


@pytest.mark.parametrize("name", MODELS)
def test_a_watched_step_is_what_hooks_see(name):
    run, twin, probe = trainer(MODELS[name]()), trainer(MODELS[name]()), GradientFlow()
    for _ in range(3):
        expected = by_hooks(twin)
        with probe.watching(run):
            run.step()
        found = probe(run)
        for key in ("activation_rms", "gradient_rms", "weight_gradient_rms", "dead", "saturated"):
            np.testing.assert_allclose(found[key], expected[key], rtol=2e-5, err_msg=key)
        exact = expected["size"] <= 512
        np.testing.assert_allclose(found["update_ratio"][exact], expected["update_ratio"][exact], rtol=1e-4)
        np.testing.assert_allclose(found["update_ratio"], expected["update_ratio"], rtol=0.35)
        few = expected["values"] <= 256
        np.testing.assert_allclose(found["activation_std"][few], expected["activation_std"][few], rtol=0.01)
        np.testing.assert_allclose(found["activation_std"], expected["activation_std"], rtol=0.35)


def test_training_is_bit_identical_with_the_probe():
    def run(probes):
        player = Player(trainer(MODELS["sigmoid"](), lr=0.01), probes=probes, frame_every=2)
        player.wait(steps=20)
        player.rewind(7)
        player.wait(steps=25)
        return player

    plain, probed = run({}), run({"flow": GradientFlow()})
    assert plain.history == probed.history
    for ours, other in zip(plain.trainer.model.parameters(), probed.trainer.model.parameters(), strict=True):
        assert torch.equal(ours, other)


def test_an_own_pass_sees_the_next_step_and_leaves_no_trace():
    run, probe = trainer(MODELS["norm"]()), GradientFlow()
    run.step()
    run.model.block3.eval()
    before = copy.deepcopy(run.state_dict())
    gradients = [p.grad for p in run.model.parameters()]
    modes = [m.training for m in run.model.modules()]
    rng = torch.get_rng_state()
    found = probe(run)
    assert np.isnan(found["update_ratio"]).all()
    for key, value in run.state_dict()["model"].items():
        assert torch.equal(value, before["model"][key]), key
    assert all(p.grad is g for p, g in zip(run.model.parameters(), gradients, strict=True))
    assert [m.training for m in run.model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), rng)
    assert not any("forward" in m.__dict__ or m._forward_hooks for m in run.model.modules())
    run.model.train()
    expected = by_hooks(run)
    found_then = {**found}
    np.testing.assert_allclose(found_then["gradient_rms"], expected["gradient_rms"], rtol=2e-5)
    np.testing.assert_allclose(found_then["activation_rms"], expected["activation_rms"], rtol=2e-5)


def test_an_own_pass_in_evaluation_mode_and_without_gradients_around_it():
    run, probe = trainer(LeNet()), GradientFlow()
    with torch.no_grad(), evaluation_mode(run.model):
        assert (probe(run)["gradient_rms"] > 0).all()


def test_nothing_is_left_when_the_step_fails():
    class Breaks(nn.Module):
        broken = False

        def forward(self, x):
            if self.broken:
                raise RuntimeError("broken")
            return x

    last = Breaks()
    run, probe = trainer(nn.Sequential(nn.Flatten(), nn.Linear(64, 10), last)), GradientFlow()
    probe.layers(run)
    last.broken = True
    with pytest.raises(RuntimeError, match="broken"), probe.watching(run):
        run.step()
    assert "forward" not in run.model[1].__dict__
    last.broken = False
    assert np.isnan(probe(run)["update_ratio"]).all()  # its own pass: no step was watched


def test_a_forward_of_the_instances_own_is_given_back():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    own = model[1].forward
    model[1].forward = own
    run, probe = trainer(model), GradientFlow()
    with probe.watching(run):
        run.step()
    assert model[1].__dict__["forward"] is own


def test_layers_in_the_order_of_their_calls():
    class Shared(nn.Module):
        """One linear layer used twice, one ReLU for all, a tuple, and a weight of its own beside the layers."""

        def __init__(self):
            super().__init__()
            self.places = nn.Parameter(torch.zeros(1, 64))
            self.last = nn.Linear(64, 10)
            self.twice = nn.Linear(64, 64)
            self.relu = nn.ReLU()
            self.rnn = nn.RNN(8, 64, batch_first=True)

        def forward(self, x):
            x = x.flatten(1) + self.places
            x = self.relu(self.twice(self.relu(self.twice(x))))
            out, _ = self.rnn(x.unflatten(1, (8, 8)))
            return self.last(out[:, -1])

    run, probe = trainer(Shared()), GradientFlow()
    assert [(layer.name, layer.kind) for layer in probe.layers(run)] == [
        ("twice", "Linear, ReLU"),
        ("twice (2)", "Linear, ReLU"),
        ("rnn", "RNN"),
        ("last", "Linear"),
    ]
    with probe.watching(run):
        run.step()
    found = probe(run)
    assert (found["gradient_rms"] > 0).all() and np.isfinite(found["update_ratio"]).all()
    assert np.isfinite(found["dead"]).tolist() == [True, True, False, False]


def test_a_model_that_takes_another_way():
    class Changes(nn.Module):
        both = True

        def __init__(self):
            super().__init__()
            self.one, self.two, self.relu = nn.Linear(64, 64), nn.Linear(64, 10), nn.ReLU()

        def forward(self, x):
            x = x.flatten(1)
            return self.two(self.relu(self.one(x)) if self.both else x)

    run, probe = trainer(Changes()), GradientFlow()
    assert len(probe(run)["dead"]) == 2
    run.model.both = False
    with probe.watching(run):
        run.step()
    assert len(probe(run)["dead"]) == 1
    assert [layer.name for layer in probe.layers(run)] == ["two"]


def test_what_changed_since_the_watched_step_is_seen():
    run, probe = trainer(MODELS["relu"]()), GradientFlow()
    with probe.watching(run):
        run.step()
    assert np.isfinite(probe(run)["update_ratio"]).all()
    with torch.no_grad():
        run.model.output.weight.mul_(3)
    assert np.isnan(probe(run)["update_ratio"]).all()
    with probe.watching(run):
        run.step()
    run.step()  # by itself, without the probe
    found = probe(run)
    assert np.isnan(found["update_ratio"]).all()
    expected = by_hooks(run)  # of the step that the probe's own pass looked ahead to
    np.testing.assert_allclose(found["gradient_rms"], expected["gradient_rms"], rtol=2e-5)


def test_two_runs_share_a_probe():
    probe = GradientFlow()
    first, second = trainer(MODELS["relu"]()), trainer(MODELS["tanh"]())
    for run in (first, second):
        with probe.watching(run):
            run.step()
    alone = trainer(MODELS["relu"]())
    with GradientFlow().watching(alone):
        alone.step()
    np.testing.assert_array_equal(probe(first)["gradient_rms"], probe(first)["gradient_rms"])
    assert np.isfinite(probe(first)["dead"][0]) and np.isnan(probe(second)["dead"][0])
    fork = Player(first, probes={"flow": probe}).fork(lr=0.1)
    fork.step(2)
    assert np.isfinite(fork.frame()["flow.update_ratio"]).all()


def test_a_frame_belongs_to_the_step_that_was_just_done():
    player = Player(trainer(MODELS["relu"]()), probes={"flow": GradientFlow()}, frame_every=1)
    twin = trainer(MODELS["relu"]())
    player.wait(steps=5)
    for step in range(1, 6):
        expected = by_hooks(twin)
        np.testing.assert_allclose(player.frame(step)["flow.gradient_rms"], expected["gradient_rms"], rtol=2e-5)
    player.rewind(3)
    assert np.isfinite(player.frame()["flow.update_ratio"]).all()


def test_dead_and_saturated_units_that_were_planted():
    model = MLP(2, 2, (4,), "relu")
    with torch.no_grad():
        model.linear1.bias[:3] = -100.0
    data = Dataset(torch.rand(20, 2, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2)
    assert GradientFlow()(Trainer(model, data, device="cpu"))["dead"][0] == pytest.approx(0.75, abs=0.26)
    with torch.no_grad():
        model.linear1.bias[3] = 100.0
    run = Trainer(model, data, device="cpu")
    found = GradientFlow()(run)
    assert found["dead"].tolist() == [0.75, pytest.approx(np.nan, nan_ok=True)]
    saturated = MLP(2, 2, (4,), "sigmoid")
    with torch.no_grad():
        saturated.linear1.weight.zero_()
        saturated.linear1.bias[:] = torch.tensor([-3.6, -3.4, 3.4, 3.6])  # sigmoid(3.476) = 0.97
    assert GradientFlow()(Trainer(saturated, data, device="cpu"))["saturated"][0] == 0.5


def test_magnitudes_against_log2():
    generator = np.random.default_rng(0)
    values = (generator.normal(size=(3, 200)) * 10.0 ** generator.uniform(-18, 8, (3, 200))).astype(np.float32)
    values[0, :50] = 0
    values[1, 0], values[1, 1], values[1, 2] = np.inf, np.nan, 1e38
    shares = magnitudes(values)
    assert shares.shape == (3, BINS)
    for row, share in zip(values, shares, strict=True):
        with np.errstate(divide="ignore"):
            places = np.floor(np.log2(np.abs(row[np.isfinite(row) & (row != 0)]))).astype(int) - LOWEST
        counts = np.bincount(np.minimum(places[places >= 0], BINS - 1), minlength=BINS)
        counts[-1] += (~np.isfinite(row)).sum()
        np.testing.assert_allclose(share, counts / 200, atol=1e-3)


def test_gradients_of_a_scaled_loss_are_those_of_the_loss(monkeypatch):
    run, twin, probe = trainer(MODELS["relu"]()), trainer(MODELS["relu"]()), GradientFlow()
    expected = by_hooks(twin)
    probe.layers(run)
    monkeypatch.setattr(run._scaler, "get_scale", lambda: 8.0)
    monkeypatch.setattr(run, "_backward", lambda loss: Trainer._backward(run, 8 * loss))
    with probe.watching(run):
        run.step()
    np.testing.assert_allclose(probe(run)["gradient_rms"], expected["gradient_rms"], rtol=2e-5)


def test_a_model_without_layers_is_refused():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(64, 10))
            self.child = nn.Flatten()

        def forward(self, x):
            return self.child(x) @ self.weight

    with pytest.raises(SettingError, match="layers that have weights"):
        GradientFlow()(trainer(Functional()))


def test_a_bare_layer_is_a_model():
    data = Dataset(torch.rand(20, 2), torch.arange(20) % 2)
    assert [layer.name for layer in GradientFlow().layers(Trainer(nn.Linear(2, 2), data, device="cpu"))] == ["Linear"]


@pytest.mark.gpu
def test_on_a_gpu_in_its_own_precision():
    run, probe = Trainer(MODELS["norm"](), DIGITS, batch_size=30), GradientFlow()
    for _ in range(2):
        with probe.watching(run):
            run.step()
        found = probe(run)
    assert np.isfinite(found["update_ratio"]).all() and (found["gradient_rms"] > 0).all()
