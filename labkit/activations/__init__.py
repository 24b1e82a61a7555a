"""What happens inside a model: values and gradients of every layer, and the arithmetic of one value."""

from labkit.activations.capture import Capture, capture
from labkit.activations.check import GradientCheck, check_gradient
from labkit.activations.explain import Derivative, Explanation, ValueGradient, explain_value
from labkit.activations.layers import Layer, Layers, layers
from labkit.activations.receptive import ReceptiveField, output_size, receptive_field, receptive_fields

__all__ = [
    "Capture",
    "Derivative",
    "Explanation",
    "GradientCheck",
    "Layer",
    "Layers",
    "ReceptiveField",
    "ValueGradient",
    "capture",
    "check_gradient",
    "explain_value",
    "layers",
    "output_size",
    "receptive_field",
    "receptive_fields",
]
