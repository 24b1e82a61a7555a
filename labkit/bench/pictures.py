"""The lab's own pictures: how fast they are drawn, and how fast a small network learns them."""

import time

from labkit import data
from labkit.models import TinyVGG
from labkit.train import Trainer

GIVE_UP_SECONDS = 240


def drawn_a_second(rounds: int = 7) -> list[float]:
    """Pictures of 48 x 48 for each second of one core's time."""
    data.objects(n=20)
    return [200 / cpu_seconds(round_) for round_ in range(rounds)]


def cpu_seconds(seed: int) -> float:
    start = time.process_time()
    data.objects(n=200, size=48, seed=seed)
    return time.process_time() - start


def seconds_to_95() -> list[float]:
    """Seconds until a TinyVGG that learns from 3,000 pictures reads 95 % of 1,000 others, at the default difficulty."""
    train, test = data.objects(n=4000, size=48, seed=0).split(test=0.25)
    trainer = Trainer(TinyVGG(), train, test, lr=0.002)
    start = time.perf_counter()
    while (spent := time.perf_counter() - start) < GIVE_UP_SECONDS:
        for _ in range(trainer.steps_per_epoch):
            trainer.step()
        if trainer.evaluate()["test_accuracy"] >= 0.95:
            return [time.perf_counter() - start]
    return [spent]
