"""What a unit looks for: preferred images, top patches, the parts that it detects, and how layers compare."""

from labkit.features import probes
from labkit.features.concepts import concepts
from labkit.features.dissection import Dissection, dissect
from labkit.features.embedding import Embedding, embedding
from labkit.features.objectives import Objective, channel, direction, neuron, pair
from labkit.features.optimized import Forming, optimize, optimizing
from labkit.features.patches import Patches, TopPatches, top_patches
from labkit.features.similarity import Similarity, cka, similarity

__all__ = [
    "Dissection",
    "Embedding",
    "Forming",
    "Objective",
    "Patches",
    "Similarity",
    "TopPatches",
    "channel",
    "cka",
    "concepts",
    "direction",
    "dissect",
    "embedding",
    "neuron",
    "optimize",
    "optimizing",
    "pair",
    "probes",
    "similarity",
    "top_patches",
]
