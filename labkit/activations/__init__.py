"""What happens inside a model: values and gradients of every layer, and the arithmetic of one value."""

from labkit.activations.capture import Capture, capture
from labkit.activations.check import GradientCheck, check_gradient
from labkit.activations.explain import Derivative, Explanation, ValueGradient, explain_value
from labkit.activations.layers import Layer, Layers, layers
from labkit.activations.links import Link, links
from labkit.activations.receptive import ReceptiveField, output_size, receptive_field, receptive_fields
from labkit.activations.units import (
    Contributions,
    Windows,
    altered,
    contributions,
    modules_called,
    unit_axes,
    unit_maps,
    windows_of,
)

__all__ = [
    "Capture",
    "Contributions",
    "Derivative",
    "Explanation",
    "GradientCheck",
    "Layer",
    "Layers",
    "Link",
    "ReceptiveField",
    "ValueGradient",
    "Windows",
    "altered",
    "capture",
    "check_gradient",
    "contributions",
    "explain_value",
    "layers",
    "links",
    "modules_called",
    "output_size",
    "receptive_field",
    "receptive_fields",
    "unit_axes",
    "unit_maps",
    "windows_of",
]
