"""What a unit looks for: preferred images, top patches, the parts that it detects, and how layers compare."""

from labkit.features import probes
from labkit.features.concepts import concepts
from labkit.features.dissection import DETECTOR, Dissection, dissect
from labkit.features.embedding import Embedding, embedding
from labkit.features.objectives import Objective, channel, direction, neuron, pair
from labkit.features.optimized import Forming, optimize, optimizing
from labkit.features.patches import Patches, TopPatches, top_patches
from labkit.features.responses import Responses, class_accuracy, responses
from labkit.features.similarity import Similarity, cka, similarity
from labkit.features.wiring import UnitLayer, Wire, Wiring, kernels, strongest, wiring

__all__ = [
    "DETECTOR",
    "Dissection",
    "Embedding",
    "Forming",
    "Objective",
    "Patches",
    "Responses",
    "Similarity",
    "TopPatches",
    "UnitLayer",
    "Wire",
    "Wiring",
    "channel",
    "cka",
    "class_accuracy",
    "concepts",
    "direction",
    "dissect",
    "embedding",
    "kernels",
    "neuron",
    "optimize",
    "optimizing",
    "pair",
    "probes",
    "responses",
    "similarity",
    "strongest",
    "top_patches",
    "wiring",
]
