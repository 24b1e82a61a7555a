"""The recorder's bounded memory, against what it promises."""

import random
import sys

import numpy as np
import pytest
import torch

from labkit.train import Player, Recorder
from labkit.train.recorder import ROW_BYTES, Series


def test_below_its_budget_a_series_keeps_everything():
    series = Series(1000, lambda item, before: 1)
    for step in range(500):
        series.add(step, str(step))
    assert [step for step, _ in series] == list(range(500))
    assert series.at(17) == (17, "17") and series.at(10_000) == (499, "499") and series.at(-1) is None
    assert [step for step, _ in series.after(496)] == [497, 498, 499]


@pytest.mark.parametrize("seed", range(5))
def test_a_thinned_series_depends_on_its_steps_alone(seed):
    """First of each bucket, and the last: what a direct count of the buckets gives."""
    draw = random.Random(seed)
    series, steps, step = Series(40, lambda item, before: 1), [], 0
    for _ in range(2000):
        series.add(step, step)
        steps.append(step)
        assert len(series) <= 40
        kept = [at for at, _ in series]
        firsts = {at // series.width: at for at in reversed(steps)}
        assert kept == sorted({*firsts.values(), step})
        step += draw.choice((1, 1, 1, 2, 9))
    assert series.width > 1


def test_cutting_and_adding_again_gives_the_same():
    straight, back = (Series(50, lambda item, before: 1) for _ in range(2))
    for step in range(1000):
        straight.add(step, step)
        back.add(step, step)
    back.cut(301)
    start = [step for step, _ in back][-1] + 1
    for step in range(start, 1000):
        back.add(step, step)
    assert list(straight) == list(back)


def test_an_item_of_the_same_step_replaces_the_former():
    series = Series(100, lambda item, before: len(item))
    series.add(0, "abc")
    series.add(0, "z")
    assert list(series) == [(0, "z")] and series.nbytes == 1


def test_two_items_stay_even_when_they_are_too_large():
    series = Series(10, lambda item, before: 100)
    for step in range(20):
        series.add(step, step)
    assert [step for step, _ in series] == [0, 19]


def test_unchanged_arrays_are_kept_and_counted_once():
    recorder = Recorder()
    still = np.zeros(1000)
    for step in range(10):
        recorder.add_frame(step, {"still": still.copy(), "moving": np.full(10, step)})
    assert len({id(frame["still"]) for _, frame in recorder.frames}) == 1
    assert recorder.frames.nbytes == 8000 + 10 * 80


class Trivial:
    """What a Player needs of a trainer, and nothing else."""

    steps_per_epoch = 1000
    batch_size = 1
    train_sample = 500
    test = None
    lr = 0.1

    def __init__(self):
        self.step_count = 0
        self.model = torch.nn.Flatten()

    @property
    def epoch(self):
        return self.step_count / 1000

    def step(self):
        self.step_count += 1
        return {"step": self.step_count, "epoch": self.epoch, "loss": 1.0 / self.step_count, "lr": self.lr}

    def evaluate(self):
        return {"train_loss": 1.0}

    def state_dict(self):
        return {"step": self.step_count, "weights": torch.zeros(2500)}

    def load_state_dict(self, state):
        self.step_count = state["step"]


def test_a_million_steps_stay_within_the_budget():
    player = Player(Trivial(), probes={"frame": lambda t: {"values": np.full(2500, t.step_count, np.float32)}})
    player.recorder = Recorder(budget=4 * 2**20)
    player.wait(steps=1_000_000)
    recorder = player.recorder
    assert recorder.nbytes <= 4 * 2**20
    rows = [step for step, _ in recorder.rows]
    assert rows[0] == 1 and rows[-1] == 1_000_000 and 200 < len(rows) <= 2**18 / ROW_BYTES
    gaps = np.diff(rows)
    assert gaps.max() <= 2 * recorder.rows.width
    frames = [step for step, _ in recorder.frames]
    assert frames[-1] == 1_000_000 and len(frames) <= 1.5 * 2**20 / 10_000 + 2
    row = recorder.rows.at(500_000)[1]
    assert sys.getsizeof(row) + sum(map(sys.getsizeof, row.values())) <= ROW_BYTES
