"""Where the evidence is: how much each input value counts for a model's decision, and by which method."""

from labkit.saliency.attribution import (
    METHODS,
    Attribution,
    AttributionWarning,
    Suitability,
    attribute,
    attributed,
    examine,
)
from labkit.saliency.baselines import baseline
from labkit.saliency.cams import cam_layers
from labkit.saliency.faithfulness import (
    Curve,
    completeness,
    curve,
    deletion,
    infidelity,
    insertion,
    sensitivity,
)
from labkit.saliency.grid import Mosaics, grid_game, mosaics
from labkit.saliency.leaderboard import Leaderboard, leaderboard
from labkit.saliency.maps import as_map
from labkit.saliency.method import Method
from labkit.saliency.randomization import Randomization, randomization_check, randomized, randomized_layers
from labkit.saliency.sanity import (
    Completeness,
    InputShift,
    LabelRandomization,
    completeness_check,
    input_shift_check,
    label_randomization_check,
)
from labkit.saliency.scores import SCORES, Score, score
from labkit.saliency.verdict import verdicts

__all__ = [
    "METHODS",
    "SCORES",
    "Attribution",
    "AttributionWarning",
    "Completeness",
    "Curve",
    "InputShift",
    "LabelRandomization",
    "Leaderboard",
    "Method",
    "Mosaics",
    "Randomization",
    "Score",
    "Suitability",
    "as_map",
    "attribute",
    "attributed",
    "baseline",
    "cam_layers",
    "completeness",
    "completeness_check",
    "curve",
    "deletion",
    "examine",
    "grid_game",
    "infidelity",
    "input_shift_check",
    "insertion",
    "label_randomization_check",
    "leaderboard",
    "mosaics",
    "randomization_check",
    "randomized",
    "randomized_layers",
    "score",
    "sensitivity",
    "verdicts",
]
