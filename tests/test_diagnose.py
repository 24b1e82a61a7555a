"""What `diagnose` finds in each broken recipe, and that it is silent on healthy runs."""

import html

import numpy as np
import pytest
import torch

from labkit.data import Dataset, digits, toy
from labkit.errors import DivergedError, SettingError
from labkit.models import MLP, LeNet, ResNet, TinyVGG
from labkit.models.broken import BROKEN, CURED
from labkit.train import Diagnosis, GradientFlow, Player, Trainer, diagnose

TRAIN, TEST = digits().split()
SHAPE = (1, 8, 8)
NAMES = {
    "dead_relus": "dead ReLUs",
    "exploding": "exploding gradients",
    "vanishing": "vanishing gradients",
    "saturated": "saturated units",
}


def played(model, data=TRAIN, steps=100, probe=True, **training) -> Player:
    trainer = Trainer(model, data, device="cpu", **training)
    player = Player(trainer, probes={"flow": GradientFlow()} if probe else {}, frame_every=10)
    player.wait(steps=steps)
    return player


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("recipe", BROKEN)
def test_each_recipe_shows_its_illness_and_is_cured(recipe, seed):
    ill = diagnose(played(BROKEN[recipe].model(seed), seed=seed, **BROKEN[recipe].training))
    assert NAMES[recipe] in ill.names
    assert set(ill.names) <= {NAMES[recipe], "exploding activations", "vanishing gradients"}
    well = played(CURED[recipe].model(seed), seed=seed, **CURED[recipe].training)
    assert diagnose(well) == ()
    assert well.history[-1]["train_loss"] < 0.85 * well.history[0]["train_loss"]


HEALTHY = {
    "tanh on a circle": lambda seed: (MLP(2, 2, (8, 8), "tanh", seed=seed), toy("circle"), {"lr": 0.03}),
    "xor, ten examples": lambda seed: (
        MLP(2, 2, (4, 2), "tanh", seed=seed),
        toy("xor"),
        {"lr": 0.03, "optimizer": "sgd", "batch_size": 10},
    ),
    "relu on a spiral": lambda seed: (MLP(2, 2, (16,) * 3, "relu", seed=seed), toy("spiral"), {"lr": 0.01}),
    "sigmoid, learned": lambda seed: (MLP(2, 2, (8,), "sigmoid", seed=seed), toy("gauss"), {"lr": 0.03, "steps": 400}),
    "regression": lambda seed: (MLP(2, 1, (8, 8), "tanh", seed=seed), toy("plane"), {"lr": 0.01}),
    "digits": lambda seed: (MLP(SHAPE, 10, (64, 32), "relu", seed=seed), TRAIN, {}),
    "digits, momentum": lambda seed: (
        MLP(SHAPE, 10, (64, 32), "relu", seed=seed),
        TRAIN,
        {"optimizer": "momentum", "lr": 0.05},
    ),
    "a few steps": lambda seed: (MLP(SHAPE, 10, (64, 32), "gelu", seed=seed, dropout=0.2), TRAIN, {"steps": 20}),
    "xavier": lambda seed: (MLP(SHAPE, 10, (32,) * 4, "tanh", initial="xavier", seed=seed), TRAIN, {}),
    "LeNet": lambda seed: (LeNet(seed=seed), TRAIN, {}),
    "TinyVGG": lambda seed: (TinyVGG(SHAPE, 10, (8, 16), seed=seed), TRAIN, {}),
    "residual MLP": lambda seed: (
        MLP(SHAPE, 10, [32] * 30, "relu", initial="he", norm="layer", residual=True, seed=seed),
        TRAIN,
        {},
    ),
    "residual MLP, batch norm": lambda seed: (
        MLP(SHAPE, 10, [32] * 30, "relu", initial="he", norm="batch", residual=True, seed=seed),
        TRAIN,
        {},
    ),
    "ResNet-20": lambda seed: (ResNet(depth=20, channels=(4, 8, 16), seed=seed), TRAIN, {"steps": 60}),
}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", HEALTHY)
def test_silent_on_healthy_runs(name, seed):
    model, data, training = HEALTHY[name](seed)
    assert diagnose(played(model, data, seed=seed, **training)) == ()


def test_silent_before_the_first_step():
    player = Player(Trainer(MLP(SHAPE, 10, (32, 32)), TRAIN, device="cpu"))
    assert diagnose(player) == ()
    assert repr(diagnose(player)) == "Nothing suspicious at step 0."


def test_without_a_probe_it_makes_one_pass_that_leaves_no_trace():
    recipe = BROKEN["vanishing"]
    player = played(recipe.model(), probe=False, **recipe.training)
    before = [p.detach().clone() for p in player.trainer.model.parameters()]
    assert diagnose(player).names == ["vanishing gradients"]
    assert all(torch.equal(a, b) for a, b in zip(before, player.trainer.model.parameters(), strict=True))
    assert player.probes == {}


def test_where_and_evidence_are_what_the_frames_say():
    recipe = BROKEN["dead_relus"]
    player = played(recipe.model(), **recipe.training)
    (finding,) = diagnose(player)
    frames = [frame["flow.dead"] for step, frame in player.recorder.frames if step >= 75]
    dead = np.median(frames[-5:], axis=0)
    names = [layer.name for layer in player.probes["flow"].layers(player.trainer)]
    assert finding.where == tuple(name for name, share in zip(names, dead, strict=True) if share > 0.6)
    assert f"{100 * np.nanmax(dead):.0f} % of the units of {names[int(np.nanargmax(dead))]}" in finding.evidence


@pytest.mark.parametrize(
    ("name", "training"),
    [
        ("learning rate too high", {"optimizer": "momentum", "lr": 1.0}),
        ("learning rate too low", {"optimizer": "sgd", "lr": 1e-5}),
    ],
)
def test_learning_rates(name, training):
    assert name in diagnose(played(MLP(SHAPE, 10, (32, 32), "tanh"), **training)).names


def test_a_first_step_that_throws_the_weights_away_is_not_learning():
    player = played(MLP(SHAPE, 10, (32, 32), "relu"), optimizer="adam", lr=1.0)
    assert player.history[2]["loss"] > 100 > 3 > player.history[-1]["loss"]
    assert diagnose(player).names == ["dead ReLUs"]


def test_a_run_that_diverged():
    line = torch.linspace(-1, 1, 40)[:, None]
    trainer = Trainer(torch.nn.Linear(1, 1), Dataset(line, 2 * line), optimizer="sgd", lr=100.0, device="cpu")
    player = Player(trainer, probes={"flow": GradientFlow()})
    with pytest.raises(DivergedError):
        player.wait(steps=200)
    assert diagnose(player).names == ["learning rate too high"]
    assert "NaN" in repr(diagnose(player)) or "infinite" in repr(diagnose(player))


def test_names_from_users_are_escaped():
    model = torch.nn.Sequential()
    model.add_module("flat", torch.nn.Flatten())
    hostile = "<img src=x onerror=alert(1)>"
    model.add_module(hostile, torch.nn.Linear(64, 16))
    model.add_module("relu", torch.nn.ReLU())
    model.add_module("output", torch.nn.Linear(16, 10))
    with torch.no_grad():
        model[1].bias.fill_(-100)
    found = diagnose(played(model, steps=20))
    assert isinstance(found, Diagnosis) and found.names == ["dead ReLUs"]
    assert hostile in repr(found)
    assert hostile not in found._repr_html_() and html.escape(hostile) in found._repr_html_()


def test_a_trainer_without_a_player_is_named():
    trainer = Trainer(MLP(2, 2, (4,)), toy("xor", n=20))
    with pytest.raises(SettingError, match="Expected a player, such as .*received Trainer"):
        diagnose(trainer)
