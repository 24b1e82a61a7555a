"""What a unit looks for: preferred images, top patches, the parts that it detects, and how layers compare."""

from labkit.features.objectives import Objective, channel, direction, neuron, pair
from labkit.features.optimized import Forming, optimize, optimizing
from labkit.features.patches import Patches, TopPatches, top_patches

__all__ = [
    "Forming",
    "Objective",
    "Patches",
    "TopPatches",
    "channel",
    "direction",
    "neuron",
    "optimize",
    "optimizing",
    "pair",
    "top_patches",
]
