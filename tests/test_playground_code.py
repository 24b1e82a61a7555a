"""The shown code is run, and its weights after 50 epochs are the playground's, to the last bit."""

import ast
import contextlib
import io
import random
import re
import subprocess
import sys
import time

import pytest
import torch
from test_playground_share import any_settings

from labkit.playground import Settings, build
from labkit.playground.code import Change, program
from labkit.widgets import Playground


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(code):
    """(what the program leaves behind, what it prints)."""
    space, said = {}, io.StringIO()
    with contextlib.redirect_stdout(said), torch.random.fork_rng():
        exec(compile(code, "program", "exec"), space)
    return space, said.getvalue()


def same_weights(model, other):
    pairs = list(zip(model.parameters(), other.parameters(), strict=True))
    return bool(pairs) and all(torch.equal(a, b) for a, b in pairs)


def trained(settings, changes=(), epochs=50):
    """The playground's trainer after some epochs, changed by hand on the way."""
    trainer = build.trainer(settings)
    for step in range(epochs * trainer.steps_per_epoch):
        for change in (change for change in changes if change.step == step):
            if change.name == "lr":
                trainer.lr = change.value
            elif change.frozen is not None:
                trainer.freeze(change.name, change.index, change.frozen)
            else:
                with torch.no_grad():
                    trainer.model.get_parameter(change.name)[change.index] = change.value
        trainer.step()
    return trainer


_RNG = random.Random(0)
FEW = tuple((float(x), float(-x), float(x > 0)) for x in range(-3, 4))
MANY = tuple(
    (round(_RNG.uniform(-6, 6), 2), round(_RNG.uniform(-6, 6), 2), float(_RNG.randrange(3))) for _ in range(57)
)
RUNS = {
    "default": {},
    "relu-adam": {"data": "xor", "activation": "relu", "optimizer": "adam"},
    "sgd-l1": {"l1": 0.003, "data": "gauss", "noise": 20},
    "l2": {"l2": 0.01, "batch_size": 7},
    "adamw-l1-l2": {"optimizer": "adamw", "l1": 0.001, "l2": 0.1},
    "momentum-step": {"optimizer": "momentum", "schedule": "step", "schedule_epochs": 7, "lr": 0.01},
    "adagrad-exponential": {"optimizer": "adagrad", "schedule": "exponential", "schedule_epochs": 30},
    "rmsprop-warmup": {"optimizer": "rmsprop", "schedule": "warmup", "schedule_epochs": 13, "batch_size": 33},
    "dropout": {"dropout": 0.3, "seed": 5, "activations": ("gelu", "leaky_relu")},
    "four-classes-cosine": {"data": "spiral", "classes": 4, "schedule": "cosine", "schedule_epochs": 40},
    "plane": {"data": "plane", "widths": (3,)},
    "linear-neurons": {"activations": ("linear", "tanh"), "dropout": 0.1},
    "no-hidden-layer": {"data": "multigauss", "widths": (), "lr": 0.001, "features": tuple(build.FEATURES)},
    "own-few": {"data": "own", "points": FEW, "batch_size": 3},
    "own-split": {"data": "own", "points": MANY, "classes": 3, "train_share": 70},
    "own-added": {"data": "circle", "points": FEW, "n": 60, "train_share": 30, "data_seed": 4},
    "frozen-and-set": {
        "start_weights": (("linear1.weight", (2, 1), -0.75), ("output.bias", (0,), 0.1 + 0.2)),
        "frozen": (("linear1.weight", (2, 1)), ("linear2.bias", (0,)), ("linear2.weight", (1, 3))),
        "l1": 0.001, "l2": 0.01, "optimizer": "momentum",
    },
    "frozen-with-dropout": {"frozen": (("linear2.weight", (0, 0)),), "dropout": 0.1, "widths": (5, 3, 2), "seed": 2},
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_the_program_ends_in_the_playgrounds_weights(name):
    settings = Settings.of(**RUNS[name])
    trainer = trained(settings)
    space, said = run(program(settings))
    assert same_weights(space["model"], trainer.model)
    assert not same_weights(space["model"], build.network(settings))
    printed = [float(number) for number in re.findall(r"loss (\d+\.\d+)", said.splitlines()[-1])]
    scores = trainer.evaluate()
    assert printed == pytest.approx([scores[name] for name in ("train_loss", "test_loss") if name in scores], abs=6e-5)


CHANGES = {
    "lr": [Change(30, "lr", value=0.1), Change(777, "lr", value=0.001)],
    "lr-of-a-schedule": [Change(100, "lr", value=0.2)],
    "edited": [Change(10, "linear1.weight", (0, 1), 2.5), Change(10, "output.bias", (0,), -1 / 3)],
    "frozen-and-thawed": [
        Change(5, "linear2.weight", (1, 2), frozen=True),
        Change(400, "linear2.weight", (1, 2), frozen=False),
        Change(500, "linear1.bias", (3,), 0.5),
        Change(500, "linear1.bias", (3,), frozen=True),
        Change(900, "lr", value=0.05),
    ],
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_in_the_middle_of_a_run_are_in_the_program(name):
    for more in ({}, {"optimizer": "adam", "dropout": 0.2, "l1": 0.001}):
        settings = Settings.of(**({"schedule": "cosine"} if "schedule" in name else {}), **more)
        model = run(program(settings, CHANGES[name]))[0]["model"]
        assert same_weights(model, trained(settings, CHANGES[name]).model)
        assert not same_weights(model, trained(settings).model)


def rewind(playground, epoch):
    """As the button does, which works beside the thread that handles messages."""
    playground.on_rewind(epoch * playground.trainer.steps_per_epoch)
    deadline = time.monotonic() + 30
    while playground.everything()[0]["busy"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_view_writes_down_what_was_done_in_it():
    playground = Playground(data="xor", widths=(3, 2), seed=3)
    playground.on_edit("linear1.weight", [0, 0], 0.75)  # before the first step: part of the start
    playground.wait(10)
    playground.change(lr=0.1)
    playground.on_edit("linear2.bias", [1], -0.5)
    playground.on_freeze("linear2.bias", [1], True)
    playground.wait(20)
    with playground.player.paused(), torch.no_grad():
        playground.model.output.weight.mul_(0.5)  # by a cell
    playground.wait(30)
    playground.on_freeze("linear2.bias", [1], False)
    playground.wait(50)
    assert same_weights(run(playground.code)[0]["model"], playground.model)

    rewind(playground, epoch=25)
    playground.wait(50)
    assert same_weights(run(playground.code)[0]["model"], playground.model)

    playground.reset()
    playground.wait(50)
    assert same_weights(run(playground.code)[0]["model"], playground.model)
    assert same_weights(run(Playground(playground.string).code)[0]["model"], playground.model)


def test_the_program_runs_by_itself(tmp_path):
    settings = Settings.of(data="own", points=MANY, classes=3, schedule="cosine", dropout=0.1)
    file = tmp_path / "program.py"
    file.write_text(program(settings) + '\ntorch.save(model.state_dict(), "weights.pt")\n', encoding="utf-8")
    ran = subprocess.run([sys.executable, "-W", "error", file], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 5
    saved = torch.load(tmp_path / "weights.pt").values()
    assert all(map(torch.equal, saved, trained(settings).model.parameters()))


NAMES = {
    "math", "torch", "nn", "labkit", "own", "train", "test", "features", "points", "x1", "x2", "answers", "data",
    "inputs", "targets", "test_inputs", "test_targets", "generator", "linear", "outputs", "layer", "model", "weights",
    "biases", "groups", "group", "optimizer", "loss_of", "output", "target", "step", "lr", "frozen", "passed", "x", "y",
    "epoch", "loss", "kept", "p", "i", "value", "weight", "range", "zip", "min", "max", "print",
}  # fmt: skip
WORDS = re.compile(r"circle|xor|gauss|spiral|plane|multigauss|params|weight_decay|lr|(linear\d|output)\.(weight|bias)")


def test_a_program_says_only_what_the_lab_wrote():
    """Whatever the settings, it is made of the same names, and no text of theirs is in it."""
    for seed in range(60):
        settings = any_settings(seed)
        if settings.data == "own" and len(settings.points) < 2:
            continue
        code = program(settings, [Change(3, "lr", value=1e-300), Change(4, "output.bias", (0,), -1e300)])
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Name):
                assert node.id in NAMES
            if isinstance(node, ast.Import):
                assert {name.name for name in node.names} <= {"math", "torch", "labkit"}
            if isinstance(node, ast.ImportFrom):
                assert (node.module, node.names[0].name) == ("torch", "nn")
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_")
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                shown = re.sub(r"epoch |: training loss |, test loss |\.4f", "", node.value)
                assert not shown or WORDS.fullmatch(shown), node.value


@pytest.mark.parametrize("hostile", ['x"); import os; ("', "linear1.weight'] = 0\nimport os", "__class__", "lr\n", ""])
def test_hostile_names_do_not_come_into_a_program(hostile):
    for change in (Change(1, hostile, (0, 0), 1.0), Change(1, hostile, (0, 0), frozen=True)):
        with pytest.raises((ValueError, TypeError)):
            program(Settings(), [change])
    for wrong in ({"data": hostile}, {"optimizer": hostile}, {"frozen": ((hostile, (0, 0)),)}):
        with pytest.raises(ValueError, match="Expected"):
            program(Settings(**wrong))
