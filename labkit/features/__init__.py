"""What a unit looks for: preferred images, top patches, the parts that it detects, and how layers compare."""

from labkit.features.objectives import Objective, channel, direction, neuron, pair

__all__ = ["Objective", "channel", "direction", "neuron", "pair"]
