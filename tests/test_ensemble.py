"""The ensemble against trainers that train each member alone, and what a player needs of it."""

import copy
import functools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from labkit.errors import CheckpointError, DivergedError, SettingError
from labkit.models import MLP
from labkit.train import OPTIMIZERS, Ensemble, Player, Trainer
from labkit.train.ensemble import members
from labkit.train.members import MOST_COLUMNS, MOST_EVALUATIONS, MemberHistory, by_setting, median_of_finite

torch.set_num_threads(1)


def examples(n=70, classes=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, 2, generator=generator)
    targets = torch.sin(2 * inputs.sum(1, keepdim=True))
    return SimpleNamespace(inputs=inputs, targets=targets if classes is None else (inputs.sum(1) > 0).long())


def mlp(seed=0):
    return MLP(2, 1, (8, 8), seed=seed)


class Gated(nn.Module):
    """Not a Sequential: functional calls, a parameter of its own, a buffer, a frozen parameter, tied weights."""

    def __init__(self, seed=0):
        super().__init__()
        self.first, self.second = MLP(2, 8, (), seed=seed), MLP(8, 8, (), seed=seed + 100)
        generator = torch.Generator().manual_seed(seed)
        self.gate = nn.Parameter(torch.randn(8, generator=generator))
        self.still = nn.Parameter(torch.randn(8, generator=generator), requires_grad=False)
        self.register_buffer("shift", torch.randn(8, generator=generator))
        self.norm, self.last = nn.LayerNorm(8), MLP(8, 1, (), seed=seed)

    def forward(self, x):
        x = nn.functional.gelu(self.norm(self.first(x)) * self.gate) + self.shift + self.still
        return self.last(self.second(torch.tanh(self.second(x))))


def alone(ensemble, member, data, optimizer, make=mlp, batch_size=16, test=None, seed=None):
    settings = ensemble.members[member]
    model = make(seed=settings["seed"])
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(settings["initial_scale"])
    kinds = {"sgd": torch.optim.SGD, "momentum": functools.partial(torch.optim.SGD, momentum=0.9),
             "adagrad": torch.optim.Adagrad, "rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam,
             "adamw": torch.optim.AdamW}  # fmt: skip
    return Trainer(
        model, data, test, optimizer=functools.partial(kinds[optimizer], weight_decay=settings["weight_decay"]),
        lr=settings["lr"], batch_size=batch_size, precision="float32", seed=ensemble.seed if seed is None else seed,
    )  # fmt: skip


def row(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters() if p.requires_grad])


def run(trainer, steps):
    return [trainer.step() for _ in range(steps)]


GRID = {"lr": [0.003, 0.02], "seed": [0, 3], "initial_scale": [0.5, 1.5], "weight_decay": [0.0, 0.05]}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_member_does_what_it_would_do_alone(optimizer):
    data = examples()
    ensemble = Ensemble(mlp, data, optimizer=optimizer, batch_size=16, seed=4, grid=GRID)
    assert len(ensemble) == 16
    assert ensemble.members[3] == {"lr": 0.003, "seed": 0, "initial_scale": 1.5, "weight_decay": 0.05}
    assert ensemble.members[-1] == {"lr": 0.02, "seed": 3, "initial_scale": 1.5, "weight_decay": 0.05}
    rows = run(ensemble, 100)
    for i in range(16):
        trainer = alone(ensemble, i, data, optimizer)
        last = run(trainer, 100)[-1]
        torch.testing.assert_close(ensemble.model.weights[i], row(trainer), rtol=0, atol=1e-4)
        assert ensemble.losses[i] == pytest.approx(last["loss"], abs=1e-4)
    assert rows[-1]["step"] == 100
    assert rows[-1]["epoch"] == pytest.approx(last["epoch"])
    assert rows[-1]["loss"] == pytest.approx(np.median(ensemble.losses))
    assert rows[-1]["lr"] == pytest.approx(0.0115)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_weight_decay_is_the_optimizers_own_by_default(optimizer):
    ensemble = Ensemble(mlp, examples(), optimizer=optimizer, batch_size=16, grid={"lr": [0.1, 0.2]})
    assert [member["weight_decay"] for member in ensemble.members] == [0.01 if optimizer == "adamw" else 0] * 2
    trainer = Trainer(mlp(), examples(), optimizer=optimizer, lr=0.2, batch_size=16)
    run(ensemble, 30), run(trainer, 30)
    torch.testing.assert_close(ensemble.model.weights[1], row(trainer), rtol=0, atol=1e-5)


@pytest.mark.parametrize("same", [True, False])
def test_batches_of_all_or_of_each_own_seed(same):
    data = examples()
    ensemble = Ensemble(mlp, data, batch_size=16, same_batches=same, seed=9, grid={"seed": [1, 2, 5], "lr": [0.01]})
    run(ensemble, 40)
    for i, member in enumerate(ensemble.members):
        trainer = alone(ensemble, i, data, "adam", seed=9 if same else member["seed"])
        run(trainer, 40)
        torch.testing.assert_close(ensemble.model.weights[i], row(trainer), rtol=0, atol=1e-5)


def image_mlp(seed=0):
    return nn.Sequential(
        MLP((1, 2, 3), 5, (7,), activation="relu", seed=seed), nn.LeakyReLU(), MLP(5, 3, (), seed=seed)
    )


@pytest.mark.parametrize(
    ("make", "inputs", "targets"),
    [
        (mlp, (2,), None),
        (image_mlp, (1, 2, 3), 3),
        (Gated, (2,), None),
        (functools.partial(MLP, 4, 3), (6, 4), None),  # a Linear layer over the last of three dimensions
    ],
    ids=["multiplied", "flattened", "vmap", "sequences"],
)
@pytest.mark.parametrize("own", [False, True])
def test_any_model_by_products_or_by_vmap(make, inputs, targets, own):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(50, *inputs, generator=generator)
    y = make(seed=7)(x).detach() if targets is None else torch.randint(targets, (50,), generator=generator)
    data = SimpleNamespace(inputs=x, targets=y)
    grid = {"seed": [1, 2], "lr": [0.01, 0.03]}
    ensemble = Ensemble(make, data, batch_size=16, same_batches=not own, grid=grid)
    run(ensemble, 30)
    for i, member in enumerate(ensemble.members):
        trainer = alone(ensemble, i, data, "adam", make, seed=member["seed"] if own else 0)
        run(trainer, 30)
        torch.testing.assert_close(ensemble.model.weights[i], row(trainer), rtol=0, atol=1e-4)


def test_a_loss_of_ones_own():
    def huber(output, target):
        return nn.functional.smooth_l1_loss(output, target)

    data = examples()
    ensemble = Ensemble(mlp, data, loss=huber, batch_size=16, grid={"lr": [0.01, 0.02]})
    trainer = Trainer(mlp(), data, loss=huber, lr=0.02, batch_size=16)
    run(ensemble, 20), run(trainer, 20)
    torch.testing.assert_close(ensemble.model.weights[1], row(trainer), rtol=0, atol=1e-5)


def test_dropout_is_drawn_for_each_member_and_at_each_step_alike():
    make = functools.partial(MLP, 2, 1, (8,), dropout=0.5)
    for build in (make, lambda seed: nn.Sequential(nn.LayerNorm(2), make(seed=seed))):
        ensemble = Ensemble(build, examples(), batch_size=16, grid={"lr": [0.01, 0.01]})
        ensemble.model.train()
        first, second = ensemble.model(torch.randn(5, 2))
        assert not torch.equal(first, second)
        twin = Ensemble(build, examples(), batch_size=16, grid={"lr": [0.01, 0.01]})
        torch.manual_seed(123)  # what else is drawn changes nothing
        assert run(ensemble, 5) == run(twin, 5)
        ensemble.evaluate()
        ensemble.model.eval()
        first, second = Ensemble(build, examples(), grid={"lr": [0.01, 0.01]}).model.eval()(torch.randn(5, 2))
        assert torch.equal(first, second)


def test_evaluation_is_each_members_own():
    train, test = examples(90, classes=2), examples(40, classes=2, seed=1)
    make = functools.partial(MLP, 2, 2, (8,))
    ensemble = Ensemble(make, train, test, batch_size=16, grid={"lr": [0.001, 0.1, 0.01]})
    run(ensemble, 30)
    medians = ensemble.evaluate()
    for i in range(3):
        trainer = alone(ensemble, i, train, "adam", make, test=test)
        run(trainer, 30)
        for name, value in trainer.evaluate().items():
            assert ensemble.record.at(name, 30)[i] == pytest.approx(value, abs=1e-4)
            assert medians[name] == pytest.approx(np.median(ensemble.record.at(name, 30)))
    assert set(medians) == {"train_loss", "train_accuracy", "test_loss", "test_accuracy"}
    seen = members(ensemble)
    assert set(seen) == {"loss", "diverged_at", *medians}
    np.testing.assert_array_equal(seen["loss"], ensemble.losses)


# ---- divergence


def test_a_member_that_diverges_stays_out_and_the_others_do_not_notice():
    data = examples()
    rates = [0.01, 50.0, 0.02]
    ensemble = Ensemble(mlp, data, optimizer="sgd", batch_size=16, grid={"lr": rates, "weight_decay": [0.0, 0.1]})
    run(ensemble, 60)
    fallen = ensemble.diverged_at
    assert (fallen > 0).tolist() == [False, False, True, True, False, False]
    for i, stop in enumerate(fallen):
        trainer = alone(ensemble, i, data, "sgd")
        run(trainer, stop - 1 if stop else 60)
        rtol = 0.1 if stop else 0  # exploding weights multiply every difference
        torch.testing.assert_close(ensemble.model.weights[i], row(trainer), rtol=rtol, atol=1e-4)
        if stop:
            assert np.isnan(ensemble.losses[i])
            again = ensemble.extract(i)
            assert (again.step_count, again.position) == (trainer.step_count, trainer.position)
            for stopped in (trainer, again):
                with pytest.raises(DivergedError):
                    stopped.step()
    row_now = ensemble.step()
    assert np.isfinite(row_now["loss"])
    assert np.isfinite(ensemble.evaluate()["train_loss"])


class Blows(nn.Module):
    """Learns a constant; its loss becomes infinite once that is above 3."""

    def __init__(self, seed=0):
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return torch.where(self.value > 3, torch.inf, self.value).expand(len(x), 1)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_diverged_members_weights_stay_as_they_were(optimizer):
    data = SimpleNamespace(inputs=torch.zeros(8, 1), targets=torch.full((8, 1), 5.0))
    grid = {"lr": [1e-3, 0.9], "weight_decay": [0.01]}
    ensemble = Ensemble(Blows, data, optimizer=optimizer, batch_size=8, grid=grid)
    while not ensemble.diverged_at[1]:
        assert ensemble.step_count < 200
        ensemble.step()
    before = ensemble.model.weights[1].clone()
    slow = ensemble.model.weights[0].clone()
    run(ensemble, 5)
    assert before > 3
    assert torch.equal(ensemble.model.weights[1], before)
    assert ensemble.model.weights[0] != slow


def test_when_all_have_diverged_it_stops_before_the_step():
    data = SimpleNamespace(inputs=torch.zeros(8, 1), targets=torch.full((8, 1), 5.0))
    player = Player(Ensemble(Blows, data, optimizer="sgd", batch_size=8, grid={"lr": [0.1, 0.4]}))
    with pytest.raises(DivergedError, match="All 2 members have diverged"):
        player.wait(steps=100)
    assert player.last_good == player.trainer.step_count - 1
    assert (player.trainer.diverged_at > 0).tolist() == [False, True]  # the last one's step was not done
    player.rewind(player.last_good)
    assert player.status == "paused"


# ---- state


def state_equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a.nan_to_num(-1), b.nan_to_num(-1))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(state_equal(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(state_equal, a, b))
    return a == b


def race(optimizer="adam", seed=0, **options):
    grid = {"lr": [0.001, 0.05, 20.0], "seed": [0, 1]}
    return Ensemble(
        mlp, examples(), examples(seed=1), optimizer=optimizer, batch_size=16, seed=seed, grid=grid, **options
    )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("same", [True, False])
def test_saved_and_loaded_runs_are_bit_identical(tmp_path, optimizer, same):
    whole, first = (race(optimizer, same_batches=same) for _ in range(2))
    run(whole, 37), run(first, 37)
    first.evaluate(), whole.evaluate()
    first.save(tmp_path / "half.safetensors")
    second = race(optimizer, seed=8, same_batches=same)
    run(second, 5)
    second.load(tmp_path / "half.safetensors")
    assert state_equal(second.state_dict(), first.state_dict())
    assert run(second, 30) == run(whole, 30)
    assert state_equal(second.state_dict(), whole.state_dict())
    state = second.state_dict()
    kept = copy.deepcopy(state)
    second.step()
    assert state_equal(state, kept)  # a copy


def test_a_state_that_does_not_fit_changes_nothing():
    ensemble = race()
    run(ensemble, 3)
    before = ensemble.state_dict()
    states = [
        Trainer(mlp(), examples()).state_dict(),
        Ensemble(mlp, examples(), batch_size=16, grid={"lr": [0.1] * 4}).state_dict(),
        {**before, "members": {}},
        race("sgd").state_dict(),
    ]
    for state in states:
        with pytest.raises(CheckpointError):
            ensemble.load_state_dict(state)
        assert state_equal(ensemble.state_dict(), before)
    with pytest.raises(CheckpointError):
        Trainer(mlp(), examples()).load_state_dict(before)


def test_a_clone_is_a_run_of_its_own():
    ensemble = race()
    run(ensemble, 10)
    state = ensemble.state_dict()
    twin = ensemble.clone()
    assert run(twin, 10) == run(ensemble.clone(), 10)
    assert state_equal(ensemble.state_dict(), state)
    other = ensemble.clone(optimizer="sgd", batch_size=8, seed=3)
    run(other, 4)
    assert other.settings == {"optimizer": "sgd", "batch_size": 8, "seed": 3}
    assert state_equal(ensemble.state_dict(), state)
    with pytest.raises(SettingError, match="received lr"):
        ensemble.clone(lr=0.1)
    with pytest.raises(SettingError, match="extract"):
        ensemble.lr = 0.1


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("same", [True, False])
def test_an_extracted_member_goes_on_as_it_would_have(optimizer, same):
    make = functools.partial(MLP, 2, 1, (8,))
    test = examples(seed=1)
    grid = {"lr": [0.001, 0.05], "seed": [0, 1], "weight_decay": [0.02]}
    ensemble = Ensemble(make, examples(), test, optimizer=optimizer, batch_size=16, same_batches=same, grid=grid)
    for steps in (0, 13):
        run(ensemble, steps)
        others = [ensemble.extract(i) for i in range(4)]
        assert [type(other) for other in others] == [Trainer] * 4
        assert others[3].step_count == ensemble.step_count == steps
        assert others[3].settings == {"lr": 0.05, "batch_size": 16, "optimizer": optimizer, "seed": 0 if same else 1}
        fresh = ensemble.clone()
        run(fresh, 20)
        for i, other in enumerate(others):
            run(other, 20)
            torch.testing.assert_close(fresh.model.weights[i], row(other), rtol=0, atol=1e-5)
    with pytest.raises(SettingError, match="0 to 3, received 4"):
        ensemble.extract(4)


def test_an_extracted_member_keeps_what_is_frozen_and_its_buffers():
    data = examples()
    ensemble = Ensemble(Gated, data, batch_size=16, grid={"seed": [3, 4]})
    run(ensemble, 10)
    model, born = ensemble.extract(1).model, Gated(seed=4)
    assert torch.equal(model.still, born.still)
    assert torch.equal(model.shift, born.shift)
    torch.testing.assert_close(model(data.inputs), ensemble.model(data.inputs)[1])


# ---- a player drives it


def test_a_player_plays_rewinds_and_forks_it_exactly():
    player = Player(race(), probes={"members": members}, evaluate_every=7, frame_every=5)
    player.wait(steps=60)
    history, state = player.history, player.trainer.state_dict()
    frame = player.frame()
    np.testing.assert_array_equal(frame["members.loss"], player.trainer.losses)
    player.rewind(23)
    assert player.trainer.step_count == player.trainer.record.step == 23
    assert player.trainer.record.table("loss")[0].max() == 23
    assert player.trainer.record.table("test_loss")[0].max() == 21
    fork = player.fork(10)
    assert fork.trainer.record.step == 10
    player.wait(steps=60)
    assert player.history == history
    assert state_equal(player.trainer.state_dict(), state)
    assert fork.trainer.step_count == 10
    fork.wait(steps=60)
    assert state_equal(fork.trainer.state_dict(), state)


# ---- what is kept


def test_losses_are_means_over_stretches_that_double():
    history, rng = MemberHistory(3), np.random.default_rng(0)
    losses = rng.random((3 * MOST_COLUMNS + 5, 3)).astype(np.float32)
    for step, values in enumerate(losses, start=1):
        history.add(values)
        assert history.step == step
    ends, table = history.table("loss")
    assert history.stretch == 4
    assert len(ends) <= MOST_COLUMNS
    assert ends.tolist() == list(range(4, 3 * MOST_COLUMNS + 5, 4))
    expected = losses[: len(ends) * 4].reshape(-1, 4, 3).mean(1)
    np.testing.assert_allclose(table, expected, rtol=1e-5)
    np.testing.assert_allclose(history.at("loss", history.step, over=9), losses[-9:].mean(0), rtol=1e-5)
    np.testing.assert_allclose(history.at("loss", 400, over=40), losses[360:400].mean(0), rtol=1e-5)
    np.testing.assert_allclose(history.at("loss", 4), losses[:4].mean(0), rtol=1e-5)
    assert np.isnan(history.at("loss", 0)).all()
    assert state_equal(MemberHistory.of(history.state_dict()).state_dict(), history.state_dict())


def test_evaluations_are_kept_by_step_and_thinned():
    history = MemberHistory(2)
    for step in range(0, 5 * MOST_EVALUATIONS, 2):
        history.evaluated(step, {"test_loss": np.array([step, -step], np.float32)})
    steps, table = history.table("test_loss")
    assert len(steps) <= MOST_EVALUATIONS
    assert steps[0] == 0
    np.testing.assert_array_equal(table, np.stack([steps, -steps], 1))
    assert history.at("test_loss", steps[5] + 1).tolist() == [steps[5], -steps[5]]
    history.evaluated(100, {"test_loss": np.zeros(2, np.float32)})
    assert history.table("test_loss")[0].max() == 100


def test_values_by_setting_with_diverged_ones_as_the_worst():
    values = np.array([3.0, np.nan, 1.0, np.nan, np.nan, 2.0, np.inf, 8.0, 4.0])
    settings = [0.1, 0.1, 0.1, 10, 10, 1, 1, 1, 1]
    found = by_setting(values, settings)
    assert found["setting"].tolist() == [0.1, 1, 10]
    assert found["median"].tolist() == [3, 6, np.inf]
    assert found["low"].tolist() == [1, 2, np.inf]
    assert found["high"].tolist() == [3, 8, np.inf]
    assert found["diverged"].tolist() == [1, 1, 2]
    found = by_setting(values, settings, largest_is_best=True)
    assert [found[name].tolist() for name in ("median", "low", "high")] == [
        [1, 3, -np.inf], [1, 2, -np.inf], [3, 8, -np.inf]]  # fmt: skip
    assert median_of_finite(values) == 3.0
    assert np.isnan(median_of_finite(np.array([np.nan])))


# ---- what is refused


class Recurrent(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        self.lstm, self.out = nn.LSTM(2, 4), nn.Linear(4, 1)

    def forward(self, x):
        return self.out(self.lstm(x)[0])


class Branches(nn.Linear):
    def forward(self, x):
        return super().forward(x) if x.mean() > self.bias.sum().item() else super().forward(-x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": {"lr": []}}, "learning rates above 0 for lr"),
        ({"grid": {"lr": 0.1}}, "a list of learning rates above 0 for lr, received 0.1"),
        ({"grid": {"lr": [0.1, -1]}}, "learning rates above 0 for lr"),
        ({"grid": {"lr": [float("nan")]}}, "learning rates above 0"),
        ({"grid": {"lr": ["fast"]}}, "learning rates above 0"),
        ({"grid": {"seed": [0.5]}}, "whole numbers for seed"),
        ({"grid": {"weight_decay": [-0.1]}}, "at least 0 for weight_decay"),
        ({"grid": {"width": [8]}}, "lr, seed, initial_scale, weight_decay, received width"),
        ({"optimizer": "adem"}, "Expected an optimizer of sgd"),
        ({"make": lambda: mlp()}, r"make\(seed=\.\.\.\)"),
        ({"make": lambda seed: 3}, "build a torch module, received int"),
        ({"make": lambda seed: MLP(2, 1, (4 + seed,)), "grid": {"seed": [0, 1]}}, "differ in nothing but"),
        ({"make": lambda seed: nn.Identity()}, "parameters to train"),
        ({"make": lambda seed: nn.Sequential(mlp(), nn.BatchNorm1d(1))}, "BatchNorm1d as 1.*LayerNorm"),
        ({"make": Recurrent}, "LSTM as lstm"),
        ({"make": lambda seed: Branches(2, 1)}, "vmap can take"),
        ({"batch_size": 0}, "batch_size of at least 1"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(options, message):
    with pytest.raises(SettingError, match=message):
        Ensemble(**{"make": mlp, "train": examples(), **options})


def test_own_batches_need_tensors():
    data = [(torch.zeros(2), torch.zeros(1))] * 8
    assert run(Ensemble(mlp, data, batch_size=4, grid={"lr": [0.1, 0.2]}), 3)[-1]["epoch"] == 1.5
    with pytest.raises(SettingError, match="same_batches=True"):
        Ensemble(mlp, data, same_batches=False)


def test_values_may_come_as_arrays_and_without_a_grid_it_is_one_trainer():
    ensemble = Ensemble(mlp, examples(), grid={"lr": np.geomspace(0.1, 1, 3), "seed": torch.arange(2)})
    assert ensemble.members[1] == {"lr": 0.1, "seed": 1, "initial_scale": 1.0, "weight_decay": 0.0}
    assert type(ensemble.members[1]["lr"]) is float
    single = Ensemble(mlp, examples(), seed=2)
    trainer = Trainer(mlp(seed=2), examples(), seed=2)
    run(single, 10), run(trainer, 10)
    torch.testing.assert_close(single.model.weights[0], row(trainer), rtol=0, atol=1e-6)


@pytest.mark.gpu
def test_on_a_gpu_as_on_the_cpu():
    grid = {"lr": [0.01, 0.03], "seed": [0, 1]}
    ours = [Ensemble(mlp, examples(), examples(seed=1), batch_size=16, device=d, grid=grid) for d in ("cpu", "cuda")]
    for ensemble in ours:
        run(ensemble, 30)
        ensemble.evaluate()
    torch.testing.assert_close(ours[0].model.weights, ours[1].model.weights.cpu(), rtol=0, atol=1e-4)
    other = ours[1].extract(3)
    assert other.device.type == "cuda"
    other.step()
