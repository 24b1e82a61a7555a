"""Arrays in, a Matplotlib figure out: pure functions, no torch, nothing shown. The static twins of the live views."""

from labkit.plots.backprop import backprop, backprop_tensors
from labkit.plots.by_layer import by_layer
from labkit.plots.convolution import convolution, filtered, matrix
from labkit.plots.descent import descent
from labkit.plots.dissection import detectors, dissection
from labkit.plots.drawing import drawing
from labkit.plots.embedding import embedding
from labkit.plots.ensemble import ensemble
from labkit.plots.features import features
from labkit.plots.flow import flow
from labkit.plots.handmade import filters, handmade
from labkit.plots.landscape import landscape, landscape_line
from labkit.plots.landscape_plotly import landscape_contour, landscape_surface
from labkit.plots.layers import layers
from labkit.plots.leaderboard import leaderboard
from labkit.plots.learning_curves import learning_curves
from labkit.plots.network_maps import network_maps
from labkit.plots.patches import patches
from labkit.plots.pictures import pictures
from labkit.plots.playground import playground, surface
from labkit.plots.precision_recall import precision_recall
from labkit.plots.randomization import randomization
from labkit.plots.saliency import saliency
from labkit.plots.similarity import similarity, similarity_over_steps
from labkit.plots.training import predictions, training

__all__ = [
    "backprop",
    "backprop_tensors",
    "by_layer",
    "convolution",
    "descent",
    "detectors",
    "dissection",
    "drawing",
    "embedding",
    "ensemble",
    "filtered",
    "filters",
    "features",
    "flow",
    "handmade",
    "landscape",
    "landscape_contour",
    "landscape_line",
    "landscape_surface",
    "layers",
    "leaderboard",
    "learning_curves",
    "matrix",
    "network_maps",
    "patches",
    "pictures",
    "playground",
    "precision_recall",
    "predictions",
    "randomization",
    "saliency",
    "similarity",
    "similarity_over_steps",
    "surface",
    "training",
]
