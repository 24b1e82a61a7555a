"""The playground's data, network and training as one set of settings: built, shared as a string, written as code."""

from labkit.playground.settings import Settings

__all__ = ["Settings"]
