"""The trainer against plain torch, and its promise of exactness."""

import copy
import functools
import os
import signal
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from labkit.errors import CheckpointError, DataError, DivergedError, OutOfMemoryError, SettingError
from labkit.models import MLP, LeNet
from labkit.train import Trainer
from labkit.train.batches import order

torch.set_num_threads(1)


def examples(n=150, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, 4, generator=generator)
    targets = (inputs @ torch.randn(4, classes, generator=generator)).argmax(1)
    return SimpleNamespace(inputs=inputs, targets=targets)


def dropout_mlp(seed=0):
    return MLP(4, 3, widths=(16, 16), activation="relu", dropout=0.2, seed=seed)


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def train(trainer, steps):
    return [trainer.step()["loss"] for _ in range(steps)]


def test_equals_a_plain_loop():
    ds = examples()
    trainer = Trainer(MLP(4, 3), ds, optimizer="momentum", lr=0.05, batch_size=32, seed=5)
    losses = train(trainer, 12)

    model = MLP(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    expected = []
    for epoch in range(3):
        for batch in order(150, True, 5, epoch).split(32):
            loss = nn.functional.cross_entropy(model(ds.inputs[batch]), ds.targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            expected.append(loss.item())
    assert trainer.steps_per_epoch == 5
    assert losses == pytest.approx(expected[:12], rel=1e-5)


def test_an_epoch_is_every_example_once():
    ds = SimpleNamespace(inputs=torch.arange(10.0)[:, None], targets=torch.zeros(10, 1))
    trainer = Trainer(nn.Linear(1, 1), ds, batch_size=4)
    seen = [trainer._batches.get(epoch, at, 0)[0].flatten() for epoch in (0, 1) for at in (0, 4, 8)]
    first, second = torch.cat(seen[:3]), torch.cat(seen[3:])
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(10))
    assert first.tolist() != second.tolist()
    train(trainer, 3)
    assert trainer.epoch == 1.0
    assert Trainer(nn.Linear(1, 1), ds, shuffle=False, batch_size=4)._batches.get(3, 4, 0)[0].flatten().tolist() == [
        4.0,
        5.0,
        6.0,
        7.0,
    ]


SOURCES = {
    "tensors": lambda ds: ds,
    "map-style": lambda ds: TensorDataset(ds.inputs, ds.targets),
    "loader": lambda ds: DataLoader(TensorDataset(ds.inputs, ds.targets), batch_size=16, shuffle=True),
    "loader with a generator": lambda ds: DataLoader(
        TensorDataset(ds.inputs, ds.targets), batch_size=16, shuffle=True, generator=torch.Generator()
    ),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad"])
def test_saved_and_loaded_runs_are_bit_identical(tmp_path, optimizer, source):
    def trainer(seed=3):
        made = SOURCES[source](examples())
        return Trainer(dropout_mlp(seed), made, optimizer=optimizer, lr=0.01, batch_size=16, seed=seed)

    whole = trainer()
    losses = train(whole, 200)
    first = trainer()
    train(first, 100)
    first.save(tmp_path / "half.safetensors")
    second = trainer(seed=9)  # other weights, other order: all of it must come from the file
    second.load(tmp_path / "half.safetensors")
    assert train(second, 100) == losses[100:]
    assert torch.equal(weights(second), weights(whole))
    assert second.step_count == 200


def test_a_loader_with_workers_gives_the_same_run():
    ds = examples(40)

    def trainer(workers):
        loader = DataLoader(TensorDataset(ds.inputs, ds.targets), 16, shuffle=True, num_workers=workers)
        return Trainer(dropout_mlp(), loader)

    assert train(trainer(0), 4) == train(trainer(1), 4)


def test_the_global_generator_is_neither_used_up_nor_listened_to():
    trainer, twin = (Trainer(dropout_mlp(), examples()) for _ in range(2))
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    train(trainer, 3)
    trainer.evaluate()
    assert torch.equal(torch.rand(3), expected)
    for _ in range(3):
        torch.rand(7)
        twin.step()
    assert torch.equal(weights(trainer), weights(twin))


def test_dropout_really_draws():
    with_dropout = Trainer(dropout_mlp(), examples())
    without = Trainer(MLP(4, 3, widths=(16, 16), activation="relu"), examples())
    assert train(with_dropout, 3) != train(without, 3)


def test_each_step_and_each_seed_draws_another_mask():
    class Masked(nn.Linear):
        def forward(self, x):
            if self.training:
                masks.append(nn.functional.dropout(torch.ones(64)).tolist())
            return super().forward(x)

    masks = []
    for seed in (0, 1):
        train(Trainer(Masked(4, 3), examples(), seed=seed), 4)
    assert len({tuple(mask) for mask in masks}) == len(masks) == 8


def test_evaluate_is_the_mean_and_leaves_the_modes():
    ds, test = examples(), examples(60, seed=4)
    trainer = Trainer(dropout_mlp(), ds, test)
    trainer.model.dropout1.eval()
    scores = trainer.evaluate()
    modes = [trainer.model.training, trainer.model.dropout1.training, trainer.model.dropout2.training]
    assert modes == [True, False, True]
    model = trainer.model.eval()
    for part, data in (("train", ds), ("test", test)):
        logits = model(data.inputs)
        assert scores[f"{part}_loss"] == pytest.approx(
            nn.functional.cross_entropy(logits, data.targets).item(), rel=1e-5
        )
        assert scores[f"{part}_accuracy"] == pytest.approx((logits.argmax(1) == data.targets).float().mean().item())


def test_regression_has_no_accuracy():
    ds = SimpleNamespace(inputs=torch.rand(8, 2), targets=torch.rand(8, 1))
    assert set(Trainer(MLP(2, 1), ds, ds).evaluate()) == {"train_loss", "test_loss"}


def test_a_state_is_a_copy():
    trainer = Trainer(dropout_mlp(), examples(), lr=0.01)
    train(trainer, 5)
    state = trainer.state_dict()
    kept = copy.deepcopy(state)
    after = train(trainer, 5)
    for _ in range(2):
        trainer.load_state_dict(state)
        assert train(trainer, 5) == after
    assert torch.equal(state["model"]["linear1.weight"], kept["model"]["linear1.weight"])
    assert torch.equal(state["optimizer"]["state"][0]["exp_avg"], kept["optimizer"]["state"][0]["exp_avg"])


def test_clone_changes_only_what_is_asked():
    parent = Trainer(dropout_mlp(), examples(), lr=0.01)
    train(parent, 5)
    before = weights(parent)
    twin, faster = parent.clone(), parent.clone(lr=0.5)
    other = parent.clone(optimizer="sgd", batch_size=8, seed=7)
    assert other.settings == {"lr": 0.01, "batch_size": 8, "optimizer": "sgd", "seed": 7}
    assert faster.lr == 0.5 and parent.lr == 0.01
    losses = train(twin, 5)
    train(faster, 5), train(other, 5)
    assert torch.equal(weights(parent), before)
    assert train(parent, 5) == losses
    with pytest.raises(SettingError, match="received colour"):
        parent.clone(colour=1)


@pytest.mark.parametrize("damage", ["truncated", "empty", "not safetensors", "huge header", "foreign", "bad json"])
def test_a_broken_file_is_refused_and_changes_nothing(tmp_path, damage):
    from safetensors.torch import save_file

    path = tmp_path / "state.safetensors"
    trainer = Trainer(dropout_mlp(), examples())
    train(trainer, 3)
    trainer.save(path)
    whole = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "not safetensors":
        path.write_bytes(b"\x80\x04\x95" + b"pickle" * 100)
    elif damage == "huge header":
        path.write_bytes((2**62).to_bytes(8, "little") + whole[8:])
    elif damage == "foreign":
        save_file({"weight": torch.zeros(2)}, path)
    else:
        save_file({"weight": torch.zeros(2)}, path, metadata={"format": "labkit-trainer-1", "state": "{]"})
    before = weights(trainer)
    with pytest.raises(CheckpointError, match="Expected"):
        trainer.load(path)
    assert torch.equal(weights(trainer), before) and trainer.step_count == 3
    with pytest.raises(CheckpointError, match="no file"):
        trainer.load(tmp_path / "missing")


def _spoil(state, what):
    if what == "layer":
        state["model"]["extra.weight"] = torch.zeros(1)
    elif what == "shape":
        state["model"]["linear1.weight"] = torch.zeros(2, 2)
    elif what == "optimizer":
        state["optimizer"] = torch.optim.SGD([torch.zeros(1)], lr=1).state_dict()
    elif what == "memory":
        state["optimizer"]["state"][0]["exp_avg"] = torch.zeros(1, 1)
    elif what == "memory of no parameter":
        state["optimizer"]["state"][99] = {"exp_avg": torch.zeros(1, 1)}
    elif what == "examples":
        state["progress"]["examples"] = 7
    elif what == "step":
        state["progress"]["step"] = -1
    elif what == "part":
        del state["optimizer"]


@pytest.mark.parametrize(
    "what", ["layer", "shape", "optimizer", "memory", "memory of no parameter", "examples", "step", "part"]
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(what):
    trainer = Trainer(dropout_mlp(), examples())
    train(trainer, 3)
    state, before = trainer.state_dict(), weights(trainer)
    train(trainer, 1)
    after = weights(trainer)
    _spoil(state, what)
    with pytest.raises(CheckpointError, match="Expected"):
        trainer.load_state_dict(state)
    assert torch.equal(weights(trainer), after) and not torch.equal(before, after)


class Poison(nn.Module):
    """Gives NaN from the third training batch on."""

    def __init__(self):
        super().__init__()
        self.batches = 0

    def forward(self, x):
        self.batches += self.training
        return x * (float("nan") if self.batches >= 3 else 1.0)


def test_a_nan_stops_before_the_update_and_names_the_layer():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), Poison(), nn.Linear(8, 3))
    trainer = Trainer(model, examples())
    train(trainer, 2)
    before = weights(trainer)
    with pytest.raises(DivergedError, match=r"nan at step 3, first in the output of layer 2 \(Poison\)"):
        trainer.step()
    assert torch.equal(weights(trainer), before) and trainer.step_count == 2
    assert not any(module._forward_hooks for module in model.modules())


def test_a_nan_in_data_or_weights_is_named():
    ds = examples()
    ds.inputs[3, 0] = float("nan")
    with pytest.raises(DivergedError, match="the inputs of the batch"):
        train(Trainer(MLP(4, 3), ds), 3)
    trainer = Trainer(MLP(4, 3), examples())
    with torch.no_grad():
        trainer.model.linear2.bias[0] = float("nan")
    with pytest.raises(DivergedError, match=r"layer linear2 \(Linear\), whose bias"):
        trainer.step()


class Small(nn.Module):
    """A device that holds no more than 20 examples."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        if len(x) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return self.norm(self.linear(x))


def test_out_of_memory_names_a_batch_that_fits():
    trainer = Trainer(Small(), examples(), batch_size=64)
    before = trainer.state_dict()
    with pytest.raises(OutOfMemoryError, match=r"A batch of 64 does not fit .*20 GiB.*A batch of 16 fits"):
        trainer.step()
    after = trainer.state_dict()
    assert all(torch.equal(before["model"][key], after["model"][key]) for key in before["model"])
    assert trainer.clone(batch_size=16).step()["step"] == 1


class Interrupted(torch.optim.SGD):
    def step(self, closure=None):
        super().step()
        os.kill(os.getpid(), signal.SIGINT)
        for group in self.param_groups:
            group["after"] = True


def test_an_interrupt_leaves_no_half_step():
    trainer = Trainer(MLP(4, 3), examples(), optimizer=Interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.step()
    assert trainer.step_count == 1 and trainer.epoch > 0
    assert trainer.optimizer.param_groups[0]["after"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_exception_of_the_model_leaves_the_state():
    class Fails(nn.Linear):
        fail = False

        def forward(self, x):
            if self.fail:
                raise ZeroDivisionError
            return super().forward(x)

    trainer, twin = (Trainer(Fails(4, 3), examples()) for _ in range(2))
    twin.model.load_state_dict(trainer.model.state_dict())
    train(trainer, 3)
    trainer.model.fail = True
    with pytest.raises(ZeroDivisionError):
        trainer.step()
    trainer.model.fail = False
    train(trainer, 3)
    train(twin, 6)
    assert torch.equal(weights(trainer), weights(twin))


def relabelled(old, new):
    targets = examples().targets
    return _data(targets=targets.where(targets != old, new))


def _data(**changes):
    ds = examples()
    for key, value in changes.items():
        setattr(ds, key, value)
    return ds


@pytest.mark.parametrize(
    ("error", "match", "make"),
    [
        (DataError, "labels of 0 to 1 .* received labels of 0 to 2", lambda: Trainer(MLP(4, 2), examples())),
        (DataError, "received labels of -1 to 2", lambda: Trainer(MLP(4, 3), relabelled(0, -1))),
        (DataError, "at least one", lambda: Trainer(MLP(4, 3), examples(0))),
        (DataError, "149 targets", lambda: Trainer(MLP(4, 3), _data(targets=examples().targets[1:]))),
        (DataError, "fit the model", lambda: Trainer(MLP(5, 3), examples())),
        (DataError, "targets shaped like", lambda: Trainer(MLP(4, 1), _data(targets=torch.rand(150)))),
        (DataError, "one tensor", lambda: Trainer(nn.LSTM(4, 3), examples())),
        (DataError, "received int", lambda: Trainer(MLP(4, 3), 7)),
        (DataError, "no epochs", lambda: Trainer(MLP(4, 3), DataLoader(Stream()))),
        (DataError, "inputs, targets", lambda: Trainer(MLP(4, 3), [1, 2, 3])),
        (SettingError, "batch_size", lambda: Trainer(MLP(4, 3), examples(), batch_size=0)),
        (SettingError, "learning rate", lambda: Trainer(MLP(4, 3), examples(), lr=-1)),
        (SettingError, "learning rate", lambda: Trainer(MLP(4, 3), examples(), lr=float("nan"))),
        (SettingError, "'adamm'", lambda: Trainer(MLP(4, 3), examples(), optimizer="adamm")),
        (SettingError, "torch.optim.Optimizer", lambda: Trainer(MLP(4, 3), examples(), optimizer=lambda p, lr: 3)),
        (SettingError, "'hinge'", lambda: Trainer(MLP(4, 3), examples(), loss="hinge")),
        (SettingError, "0-d tensor", lambda: Trainer(MLP(4, 3), examples(), loss=lambda o, t: o)),
        (SettingError, "precision", lambda: Trainer(MLP(4, 3), examples(), precision="int8")),
        (SettingError, "parameters to train", lambda: Trainer(nn.Flatten(), examples())),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused_at_once(error, match, make):
    with pytest.raises(error, match=match):
        make()


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        yield torch.zeros(4), 0


def test_own_losses_and_optimizers():
    ds = examples()
    trainer = Trainer(
        MLP(4, 3),
        ds,
        loss=lambda output, target: nn.functional.multi_margin_loss(output, target),
        optimizer=functools.partial(torch.optim.SGD, momentum=0.5),
        lr=0.1,
    )
    assert trainer.settings["optimizer"] == "SGD"
    losses = train(trainer, 60)
    assert losses[-1] < losses[0] / 2


def test_half_precision_trains():
    trainer = Trainer(LeNet(), _pictures(), precision="bfloat16", lr=0.01)
    losses = train(trainer, 20)
    assert losses[-1] < losses[0] / 2
    assert next(trainer.model.parameters()).dtype == torch.float32


def _pictures():
    targets = torch.arange(64) % 2
    inputs = torch.zeros(64, 1, 8, 8)
    inputs[targets == 1, :, 2:6] = 1.0
    return SimpleNamespace(inputs=inputs, targets=targets)


@pytest.mark.gpu
def test_on_a_gpu_data_stay_on_the_device():
    trainer = Trainer(LeNet(), _pictures(), lr=0.01)
    assert trainer.device.type in ("cuda", "mps")
    assert trainer._batches.get(0, 0, 0)[0].device.type == trainer.device.type
    losses = train(trainer, 30)
    assert losses[-1] < losses[0] / 2
