"""The playground's settings, network and maps against the trained network itself and hand-computed values."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from labkit import data, models, train
from labkit.errors import CheckpointError, SettingError
from labkit.playground import Settings, build, microstep, surfaces

ALL = ("x1", "x2", "x1_squared", "x2_squared", "x1_x2", "sin_x1", "sin_x2")
CASES = {
    "default": Settings(),
    "large": Settings.of(features=ALL, widths=(8,) * 6, activation="relu"),
    "mixed": Settings.of(widths=(3, 5, 2), activations=("sigmoid", "leaky_relu", "linear"), data="xor"),
    "classes": Settings.of(data="spiral", classes=4, widths=(5,)),
    "regression": Settings.of(data="plane", widths=()),
    "dropout": Settings.of(dropout=0.4, widths=(6, 6), optimizer="adam", l2=0.01),
}


def trained(settings: Settings, steps: int = 30) -> build.PlaygroundTrainer:
    trainer = build.trainer(settings)
    for _ in range(steps):
        trainer.step()
    return trainer


# Settings


def test_the_defaults_are_tensorflow_playgrounds():
    settings = Settings()
    learned, kept = build.datasets(settings)
    assert (len(learned), len(kept)) == (250, 250)
    assert set(learned.targets.flatten().tolist()) == {-1.0, 1.0}
    model = build.network(settings)
    assert [tuple(p.shape) for p in model.parameters()] == [(4, 2), (4,), (2, 4), (2,), (1, 2), (1,)]
    assert [type(m).__name__ for m in model] == ["Linear", "Tanh"] * 3
    for parameter in model.parameters():
        if parameter.ndim == 1:
            assert (parameter == 0.1).all()
        else:
            assert parameter.abs().max() <= 0.5


def test_start_weights_are_uniform_within_a_half():
    wide = models.MLP(200, 100, (300,), initial="playground", seed=3)
    weights = torch.cat([p.detach().flatten() for p in wide.parameters() if p.ndim == 2])
    assert weights.abs().max() <= 0.5
    assert abs(weights.mean()) < 0.01
    assert abs(weights.var() - 1 / 12) < 0.001  # of a uniform distribution of width 1


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"data": "moons"}, "data"),
        ({"data": ["xor"]}, "data"),
        ({"classes": 7}, "classes"),
        ({"classes": 2.5}, "classes"),
        ({"noise": -1}, "noise"),
        ({"noise": math.nan}, "noise"),
        ({"n": 10**9}, "n"),
        ({"train_share": 0}, "train_share"),
        ({"lr": 0}, "learning rate"),
        ({"lr": math.inf}, "lr"),
        ({"lr": "fast"}, "lr"),
        ({"lr": True}, "lr"),
        ({"widths": [17]}, "width"),
        ({"widths": [1] * 9}, "8 hidden layers"),
        ({"widths": [0]}, "width"),
        ({"activations": ["tanh"]}, "one activation"),
        ({"activation": "sin"}, "activations"),
        ({"features": []}, "at least one feature"),
        ({"features": ["x1", "x1"]}, "each once"),
        ({"features": ["x3"]}, "features"),
        ({"optimizer": "lbfgs"}, "optimizer"),
        ({"dropout": 1.0}, "dropout"),
        ({"batch_size": 0}, "batch_size"),
        ({"points": [(0, 7, 1)]}, "coordinate"),
        ({"points": [(0, 0, 2)]}, "class"),
        ({"points": [(0, 0)]}, "rows of 3"),
        ({"points": 3}, "list"),
        ({"start_weights": [("linear9.weight", (0, 0), 1.0)]}, "parameter"),
        ({"start_weights": [("linear1.weight", (0, 2), 1.0)]}, "index"),
        ({"start_weights": [("linear1.weight", (0, 0), math.nan)]}, "weight"),
        ({"frozen": [("linear1.bias", (0, 0))]}, "index"),
        ({"speed": 3}, "settings of"),
        ({"data": "plane", "classes": 3}, "regression"),
    ],
)
def test_what_is_out_of_range_is_refused(changes, word):
    with pytest.raises(SettingError, match=word):
        Settings.of(**changes)


def test_changes_keep_what_fits():
    settings = Settings.of(widths=(4, 3), activations=("relu", "tanh"))
    assert settings.change(widths=(4,)).activations == ("relu",)
    assert settings.change(widths=(4, 3, 2)).activations == ("relu", "tanh", "tanh")
    assert Settings.of(widths=()).change(widths=(2,)).activations == ("tanh",)
    assert settings.change(activation="sigmoid").activations == ("sigmoid", "sigmoid")
    by_hand = settings.change(start_weights=[("linear1.weight", (3, 1), 0.5)], frozen=[("output.bias", (0,))])
    assert by_hand.change(lr=1).start_weights == by_hand.start_weights
    assert by_hand.change(widths=(2, 3)).start_weights == by_hand.change(seed=1).frozen == ()
    own = Settings.of(data="own", classes=3, points=[(1, 1, 2), (0, 0.123, 0)])
    assert own.points == ((1.0, 1.0, 2.0), (0.0, 0.12, 0.0))
    assert own.change(classes=2).points == ((0.0, 0.12, 0.0),)
    assert own.change(data="plane").points == own.change(data="circle").points == ()


def test_features_are_what_they_are_called():
    x, y = 1.5, -2.0
    values = build.features(torch.tensor([[x, y]]), ALL)[0].tolist()
    assert values == pytest.approx([x, y, x**2, y**2, x * y, math.sin(x), math.sin(y)])


def test_own_points_join_the_training_points_or_are_all_there_is():
    learned, kept = build.points(Settings.of(points=[(1, 2, 1), (3, 4, 0)]))
    assert (len(learned), len(kept)) == (252, 250)
    assert learned.inputs[-2:].tolist() == [[1, 2], [3, 4]]
    learned, kept = build.points(Settings.of(data="own", points=[(i / 4, 0, i % 2) for i in range(9)]))
    assert (len(learned), kept) == (9, None)
    learned, kept = build.points(Settings.of(data="own", points=[(i / 4, 0, i % 2) for i in range(20)]))
    assert (len(learned), len(kept)) == (10, 10)


# Training


def test_schedules_against_torchs_own():
    """torch.optim.lr_scheduler, stepped once an epoch of one step."""
    weight = nn.Parameter(torch.zeros(1))
    oracles = {
        "step": lambda o: torch.optim.lr_scheduler.StepLR(o, 10, 0.5),
        "exponential": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.1 ** (1 / 10)),
        "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
    }
    for name, make in oracles.items():
        settings = Settings.of(schedule=name, schedule_epochs=10, batch_size=250, lr=0.5)
        trainer = build.trainer(settings)
        optimizer = torch.optim.SGD([weight], lr=0.5)
        scheduler = make(optimizer)
        for _ in range(10):
            assert trainer.step()["lr"] == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-5), name
            optimizer.step()
            scheduler.step()
        assert trainer.lr == 0.5  # the base, as a person set it
    warm = build.trainer(Settings.of(schedule="warmup", schedule_epochs=4, batch_size=250, lr=0.4))
    assert [round(warm.step()["lr"], 6) for _ in range(6)] == [0.01, 0.1, 0.2, 0.3, 0.4, 0.4]


def test_a_schedule_moves_the_weights_as_torch_would():
    settings = Settings.of(schedule="step", schedule_epochs=1, batch_size=50, widths=())
    trainer, model = build.trainer(settings), build.network(settings)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03)
    learned, _ = build.datasets(settings)
    for step in range(12):
        optimizer.param_groups[0]["lr"] = 0.03 * 0.5 ** (step // 5)
        place = step % 5 * 50
        loss = 0.5 * ((model(learned.inputs[place : place + 50]) - learned.targets[place : place + 50]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trainer.step()
    for mine, theirs in zip(trainer.model.parameters(), model.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-7)


def test_accuracy_is_counted_by_sign():
    trainer = build.trainer(Settings())
    learned, _ = build.datasets(Settings())
    right = (trainer.model(learned.inputs) > 0) == (learned.targets > 0)
    assert trainer.evaluate()["train_accuracy"] == pytest.approx(right.float().mean().item())


def test_frozen_entries_stay_and_the_others_move():
    entries = (("linear1.weight", (1, 0)), ("output.bias", (0,)))
    for optimizer in ("sgd", "momentum", "adamw"):
        settings = Settings.of(frozen=entries, optimizer=optimizer, l2=0.1, l1=0.01)
        trainer = trained(settings)
        born = dict(build.network(settings).named_parameters())
        for name, now in trainer.model.named_parameters():
            same = now == born[name]
            assert same.sum() == sum(entry[0] == name for entry in entries), name
        for name, index in entries:
            assert trainer.model.get_parameter(name)[index] == born[name][index]


def test_a_clone_has_its_own_frozen_entries():
    trainer = build.trainer(Settings())
    twin = trainer.clone()
    twin.freeze("linear1.weight", (0, 0), True)
    assert not trainer.frozen
    twin.freeze("linear1.weight", (0, 0), False)
    trainer.step()
    twin.step()
    assert torch.equal(trainer.model[0].weight, twin.model[0].weight)


def test_frozen_entries_are_part_of_the_state(tmp_path):
    trainer = build.trainer(Settings())
    trainer.freeze("linear1.weight", (0, 1), True)
    trainer.save(tmp_path / "run.safetensors")
    other = build.trainer(Settings())
    other.load(tmp_path / "run.safetensors")
    assert other.frozen["linear1.weight"].nonzero().tolist() == [[0, 1]]
    state = trainer.state_dict()
    for wrong in ({"linear9.weight": torch.zeros(4, 2).bool()}, {"linear1.weight": torch.zeros(2, 2).bool()}):
        with pytest.raises(CheckpointError, match="frozen"):
            other.load_state_dict({**state, "frozen": wrong})


def test_a_rewind_across_a_thaw_is_exact():
    trainer = build.trainer(Settings())
    player = train.Player(trainer, evaluate_every=25)
    for steps, on in ((100, True), (300, False)):
        player.wait(steps=steps)
        trainer.freeze("linear1.weight", (0, 1), on)
        player.note_edit()
    player.wait(steps=500)
    after = nn.utils.parameters_to_vector(trainer.model.parameters()).detach().clone()
    player.rewind(200)  # frozen again
    kept = trainer.model.linear1.weight[0, 1].item()
    trainer.step()
    assert trainer.model.linear1.weight[0, 1] == kept
    player.rewind(100)
    player.wait(steps=300)
    trainer.freeze("linear1.weight", (0, 1), False)
    player.note_edit()
    player.wait(steps=500)
    assert torch.equal(nn.utils.parameters_to_vector(trainer.model.parameters()), after)


def test_losses_are_of_all_points():
    trainer = build.trainer(Settings.of(n=2000, noise=20))
    learned, _ = build.datasets(Settings.of(n=2000, noise=20))
    with torch.no_grad():
        expected = 0.5 * ((trainer.model(learned.inputs) - learned.targets) ** 2).mean()
    assert trainer.evaluate()["train_loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_l1_makes_weights_exactly_zero():
    trainer = trained(Settings.of(l1=0.3, widths=(4,)), 2000)
    weights = torch.cat([p.detach().flatten() for p in trainer.model.parameters() if p.ndim > 1])
    assert (weights == 0).sum() > 4


def test_a_run_with_schedule_dropout_and_frozen_entries_is_rewound_exactly():
    settings = Settings.of(schedule="cosine", dropout=0.3, frozen=(("linear1.bias", (0,)),), optimizer="adam", l1=0.001)
    player = train.Player(build.trainer(settings), evaluate_every=25)
    player.wait(steps=300)
    before, history = player.trainer.state_dict()["model"], player.history
    player.rewind(40)
    player.wait(steps=300)
    assert player.history == history
    assert all(
        torch.equal(a, b) for a, b in zip(before.values(), player.trainer.model.state_dict().values(), strict=True)
    )


# Maps


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_maps_are_what_the_network_computes(settings):
    """Against forward hooks of the real model on some places of the plane."""
    trainer = trained(settings)
    at = (1.25, -2.5)
    seen = surfaces.look(trainer.model, surfaces.grid(settings.features, at))
    rows, columns = torch.tensor([0, 0, 37, 99, 99]), torch.tensor([0, 99, 61, 0, 50])
    places = torch.stack([(columns + 0.5) * 0.12 - 6, 6 - (rows + 0.5) * 0.12], 1)
    outputs: list[torch.Tensor] = []
    for i, module in enumerate(trainer.model):
        follows = trainer.model[i + 1] if i + 1 < len(trainer.model) else None
        source = isinstance(module, nn.Linear) and not (
            follows is not None and not isinstance(follows, nn.Linear | nn.Dropout)
        )
        if source or not isinstance(module, nn.Linear | nn.Dropout):
            module.register_forward_hook(lambda m, _, out: outputs.append(out.detach()))
    trainer.model.eval()
    with torch.no_grad():
        trainer.model(build.features(places, settings.features))
    if settings.kind == "classes":
        outputs[-1] = outputs[-1].softmax(1)
    expected = torch.cat(outputs, 1).T.numpy()
    bytes_ = seen.maps[:, rows, columns].astype(float)
    found = (bytes_ / 127.5 - 1) * seen.reach[:, None]
    if settings.kind == "classes":
        found[-4:] = bytes_[-4:] / 255
        winner = torch.from_numpy(expected[-4:]).argmax(0).numpy()
        assert (seen.decision[rows, columns] == winner).all()
        assert np.abs(seen.confidence[rows, columns] / 255 - expected[-4:].max(0)).max() < 1 / 250
    limit = seen.reach[:, None]
    assert np.abs(found - np.clip(expected, -limit, limit)).max() <= seen.reach.max() / 127

    outputs.clear()
    with torch.no_grad():
        trainer.model(build.features(torch.tensor([at]), settings.features))
    if settings.kind == "classes":
        outputs[-1] = outputs[-1].softmax(1)
    inputs = len(settings.features)
    assert seen.values[1, inputs:] == pytest.approx(torch.cat(outputs, 1)[0].numpy(), abs=1e-5)
    assert seen.values[0, :inputs] == pytest.approx(build.features(torch.tensor([at]), settings.features)[0].numpy())


def test_a_neurons_map_has_its_up_above():
    """A neuron that is x2 itself is blue (255) in the first row and orange (0) in the last."""
    model = build.network(Settings.of(widths=(), data="plane"))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.0, 1.0]]))
        model[0].bias.zero_()
    seen = surfaces.look(model, surfaces.grid(("x1", "x2"), (0.0, 0.0)))
    assert (seen.maps[0, 0] == 255).all() and (seen.maps[0, -1] == 0).all()
    middle = seen.maps[0, 49:51].astype(int)
    assert (middle[0] > 127).all() and (middle[1] < 128).all()


def test_the_reach_of_an_unbounded_neuron_is_its_largest_value():
    model = build.network(Settings.of(widths=(1,), activation="linear"))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[2.0, 0.0]]))
        model[0].bias.fill_(1.0)
    seen = surfaces.look(model, surfaces.grid(("x1", "x2"), (0.0, 0.0)))
    assert seen.reach[0] == pytest.approx(2 * 5.94 + 1)
    assert seen.maps[0, :, -1].min() == 255


def test_looking_at_a_broken_network_does_not_fail():
    model = build.network(Settings.of(activation="relu"))
    with torch.no_grad():
        model[0].weight.fill_(math.nan)
    seen = surfaces.look(model, surfaces.grid(("x1", "x2"), (0.0, 0.0)))
    assert (seen.maps == 0).all() and (seen.reach == 1).all()


def test_the_difference_of_two_networks():
    settings = Settings()
    a, b = trained(settings, 50), trained(settings.change(seed=1), 50)
    grid = surfaces.grid(settings.features, (0.0, 0.0))
    found = surfaces.difference(a.model, grid, b.model, grid)
    with torch.no_grad():
        inputs = surfaces.plane()
        assert found == pytest.approx((a.model(inputs) - b.model(inputs)).reshape(100, 100).numpy(), abs=1e-6)
    settings = CASES["classes"]
    a, b = trained(settings, 50), trained(settings.change(seed=1), 50)
    found = surfaces.difference(a.model, grid, b.model, grid)
    with torch.no_grad():
        assert (found.flatten() == (a.model(inputs).argmax(1) != b.model(inputs).argmax(1)).numpy()).all()
        assert 0 < found.mean() < 1


# Slow motion


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_an_opened_step_is_the_step_that_is_then_made(settings):
    trainer = trained(settings)
    before = nn.utils.parameters_to_vector(trainer.model.parameters()).detach().clone()
    opened = microstep.open_step(trainer, example=3)
    assert torch.equal(before, nn.utils.parameters_to_vector(trainer.model.parameters()))
    row = trainer.step()
    after = nn.utils.parameters_to_vector(trainer.model.parameters()).detach()
    assert torch.equal(torch.from_numpy(opened.after), after)
    assert opened.loss == row["loss"]
    assert (opened.example, opened.size, opened.batches) == (3, 10, trainer.steps_per_epoch)
    assert opened.batch == 30 % trainer.steps_per_epoch + 1
    if settings.optimizer == "sgd":
        moved = before - opened.lr * torch.from_numpy(opened.parameter_gradients)
        assert torch.allclose(moved, after, atol=1e-6)


@pytest.mark.parametrize("name", ["default", "mixed", "classes", "regression"])
def test_gradients_of_the_example_are_finite_differences(name):
    """The loss of the example when a unit's value before its activation is moved a little, in float64."""
    settings = CASES[name]
    trainer = trained(settings)
    opened = microstep.open_step(trainer, example=2)
    inputs, targets = (part[2:3] for part in trainer.next_batch())
    model = trainer.model.double()
    inputs = inputs.double()
    targets = targets.double() if targets.is_floating_point() else targets

    def loss(layer: int | None, unit: int, by: float) -> float:
        value, seen = inputs, 0
        for module in model:
            value = module(value)
            if isinstance(module, nn.Linear):
                if seen == layer:
                    value = value + by * nn.functional.one_hot(torch.tensor([unit]), value.shape[1])
                seen += 1
        return trainer.loss(value, targets).item()

    assert opened.example_loss == pytest.approx(loss(None, 0, 0), rel=1e-5)
    at = inputs.shape[1]
    assert (opened.gradients[:at] == 0).all()
    for layer, width in enumerate([*settings.widths, settings.outputs]):
        for unit in range(width):
            slope = (loss(layer, unit, 1e-5) - loss(layer, unit, -1e-5)) / 2e-5
            assert opened.gradients[at + unit] == pytest.approx(slope, abs=1e-5)
        at += width


def test_an_opened_step_tells_output_and_target_of_its_example():
    trainer = trained(CASES["classes"])
    opened = microstep.open_step(trainer)
    inputs, targets = trainer.next_batch()
    with torch.no_grad():
        chances = trainer.model(inputs[:1]).softmax(1)[0]
    assert opened.target == targets[0]
    assert opened.output == pytest.approx(chances[targets[0]].item(), abs=1e-6)
    assert opened.example_loss == pytest.approx(-math.log(opened.output), rel=1e-4)
    assert opened.index == 30 * 10 % 250
    assert data.toy("spiral", 500, 0, 0, 4).split(0.5, 0)[0].inputs[opened.index].tolist() == pytest.approx(
        inputs[0].tolist()
    )
