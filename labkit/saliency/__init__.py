"""Where the evidence is: how much each input value counts for a model's decision, and by which method."""

from labkit.saliency.attribution import METHODS, Attribution, AttributionWarning, attribute, attributed
from labkit.saliency.method import Method

__all__ = ["METHODS", "Attribution", "AttributionWarning", "Method", "attribute", "attributed"]
