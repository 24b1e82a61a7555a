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
from labkit.saliency.maps import as_map
from labkit.saliency.method import Method
from labkit.saliency.scores import SCORES, Score, score

__all__ = [
    "METHODS",
    "SCORES",
    "Attribution",
    "AttributionWarning",
    "Method",
    "Score",
    "Suitability",
    "as_map",
    "attribute",
    "attributed",
    "baseline",
    "cam_layers",
    "examine",
    "score",
]
