"""What watching the flow through the layers costs a training step."""

import time

from labkit import data
from labkit.models import MLP
from labkit.train import GradientFlow, Player, Trainer

STEPS = 40


def gradient_flow(rounds: int = 15, width: int = 256) -> list[float]:
    """A run with the probe watching each step over one without: 20 layers of 256, digits, batch 64, Adam, in turns.

    In processor time, which what else runs on the machine disturbs less than the clock's.
    """
    train, _ = data.digits().split()

    def player(probes: dict[str, GradientFlow]) -> Player:
        model = MLP((1, 8, 8), 10, widths=(width,) * 19, activation="relu", initial="he")
        return Player(Trainer(model, train, device="cpu"), probes=probes, evaluate_every=10**9)

    watched, bare = player({"flow": GradientFlow()}), player({})
    pairs = [(_seconds(watched), _seconds(bare)) for _ in range(rounds + 1)]
    return [mine / other for mine, other in pairs[1:]]


def _seconds(player: Player) -> float:
    start = time.process_time()
    player.wait(steps=player.trainer.step_count + STEPS)
    return time.process_time() - start
