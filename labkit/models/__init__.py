"""Small models, one architecture a file. Each use of a layer is a module of its own, none works in place,

so that every value can be captured, explained and attributed. `model.config` is JSON that `build` takes back.
"""

from typing import Any

from torch import nn

from labkit.errors import SettingError
from labkit.models import broken
from labkit.models.initial import lsuv
from labkit.models.lenet import LeNet
from labkit.models.mlp import ACTIVATIONS, MLP
from labkit.models.resnet import ResNet
from labkit.models.tinyvgg import TinyVGG

__all__ = ["ACTIVATIONS", "MLP", "LeNet", "ResNet", "TinyVGG", "broken", "build", "lsuv"]

_ARCHITECTURES: dict[str, type[nn.Module]] = {"MLP": MLP, "LeNet": LeNet, "ResNet": ResNet, "TinyVGG": TinyVGG}


def build(config: dict[str, Any]) -> nn.Module:
    """A new model with the configuration of another (`model.config`) and the same initial weights."""
    settings = dict(config)
    architecture = settings.pop("architecture", None)
    if architecture not in _ARCHITECTURES:
        raise SettingError(
            f'Expected config["architecture"] to be one of {", ".join(_ARCHITECTURES)}, received {architecture!r}.'
        )
    try:
        return _ARCHITECTURES[architecture](**settings)
    except TypeError as error:
        raise SettingError(f"Expected the settings of {architecture}, received {settings}: {error}") from error
