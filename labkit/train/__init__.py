"""Training as something to look at: a trainer, its recorded history, and a player that drives it."""

from labkit.train import probes
from labkit.train.player import Player
from labkit.train.recorder import Recorder
from labkit.train.trainer import LOSSES, OPTIMIZERS, Trainer

__all__ = ["LOSSES", "OPTIMIZERS", "Player", "Recorder", "Trainer", "probes"]
