"""Live views: arrays in, an interactive picture in the notebook out. One class a file; static/ holds JS and CSS."""

from labkit.widgets.drawpad import DrawPad
from labkit.widgets.playground import Playground
from labkit.widgets.training import TrainingView
from labkit.widgets.view import View

__all__ = ["DrawPad", "Playground", "TrainingView", "View"]
