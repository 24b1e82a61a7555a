"""How figures are measured and judged. The measurements themselves run by `make bench`."""

from importlib import import_module

import pytest
import torch

from labkit import bench
from labkit.bench import imports, training
from labkit.train import Trainer


@pytest.mark.parametrize(
    ("samples", "at_least", "met"),
    [([1.0, 2.0, 9.0], False, True), ([1.0, 3.0, 3.1], False, False), ([2.9, 3.0], True, True), ([3, 2, 9], True, True),
     ([2.0], True, False)],
)  # fmt: skip
def test_a_figure_is_judged_by_its_median(samples: list[float], at_least: bool, met: bool) -> None:
    figure = bench.Figure("name", "what", 2.95, "s", "file:function", at_least)
    assert bench.Result(figure, samples).met is met


def test_every_figure_names_a_function() -> None:
    for name, figure in bench.FIGURES.items():
        file, function = figure.where.split(":")
        assert name == figure.name
        assert callable(getattr(import_module(f"labkit.bench.{file}"), function))


def test_measure_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "heavy", lambda: [3.0])
    assert bench.measure("import_heavy").value == 3.0
    assert not bench.measure("import_heavy").met


def test_importtime_is_read_at_labkit_itself() -> None:
    text = "import time: self [us] | cumulative | imported package\n"
    text += "import time:       100 |        200 |   labkit.errors\nimport time:       50 |       2550 | labkit\n"
    assert imports.cumulative(text) == 2550


def test_labkit_itself_loads_nothing_heavy() -> None:
    assert imports.heavy() == [0.0]


def test_what_is_compared_takes_turns() -> None:
    calls = []
    ratios = training.ratios(lambda: calls.append("ours"), lambda: calls.append("theirs"), rounds=3)
    assert calls == ["ours", "theirs"] * 4  # the first pair warms up
    assert len(ratios) == 3


def test_ratio_is_ours_over_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "seconds", lambda call: call())
    assert training.ratios(lambda: 1.0, lambda: 4.0, rounds=2) == [0.25, 0.25]


@pytest.mark.parametrize("make", [training.small_cnn, training.small_mlp])
def test_the_plain_loop_learns_what_the_trainer_learns(make) -> None:
    """Both do the same work: two epochs from the same weights, in the order of the data, end in the same weights."""
    from torch.utils.data import DataLoader, TensorDataset

    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(200, 1, 8, 8, generator=generator)
    targets = torch.randint(10, (200,), generator=generator)
    train = type("Data", (), {"inputs": inputs, "targets": targets})
    ours, plain = make(), make()
    trainer = Trainer(ours, train, batch_size=64, shuffle=False, device="cpu")
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=64)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3)
    for _ in range(2):
        training.plain_epoch(plain, loader, optimizer)
    for _ in range(2 * trainer.steps_per_epoch):
        trainer.step()
    for mine, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, other)
