"""Training as something to look at: a trainer, its recorded history, and a player that drives it."""

from labkit.train import descent, fit, landscape, probes
from labkit.train.curvature import sharpness, stability_limit
from labkit.train.ensemble import Ensemble
from labkit.train.flow import GradientFlow
from labkit.train.learning_curve import crossing, learning_curve
from labkit.train.player import Player
from labkit.train.recorder import Recorder
from labkit.train.symptoms import Diagnosis, diagnose
from labkit.train.trainer import LOSSES, OPTIMIZERS, Trainer

__all__ = [
    "Diagnosis",
    "Ensemble",
    "GradientFlow",
    "LOSSES",
    "OPTIMIZERS",
    "Player",
    "Recorder",
    "Trainer",
    "crossing",
    "descent",
    "diagnose",
    "fit",
    "landscape",
    "learning_curve",
    "probes",
    "sharpness",
    "stability_limit",
]
