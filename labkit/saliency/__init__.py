"""Where the evidence is: how much each input value counts for a model's decision, and by which method."""

from labkit.saliency.attribution import METHODS, Method, attribute

__all__ = ["METHODS", "Method", "attribute"]
