"""Live views: arrays in, an interactive picture in the notebook out. One class a file; static/ holds JS and CSS."""

from labkit.widgets.backprop import BackpropView
from labkit.widgets.convolution import ConvolutionView
from labkit.widgets.drawpad import DrawPad
from labkit.widgets.ensemble import EnsembleView
from labkit.widgets.features import FeatureView
from labkit.widgets.flow import FlowView
from labkit.widgets.landscape import LandscapeView
from labkit.widgets.layer import LayerView
from labkit.widgets.optimizers import OptimizerView
from labkit.widgets.playground import Playground
from labkit.widgets.saliency import SaliencyView
from labkit.widgets.training import TrainingView
from labkit.widgets.view import View

__all__ = [
    "BackpropView",
    "ConvolutionView",
    "DrawPad",
    "EnsembleView",
    "FeatureView",
    "FlowView",
    "LandscapeView",
    "LayerView",
    "OptimizerView",
    "Playground",
    "SaliencyView",
    "TrainingView",
    "View",
]
