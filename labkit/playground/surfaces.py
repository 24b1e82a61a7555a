"""What each neuron computes, over the whole plane: maps of 100 x 100, and all values at one point."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from labkit import device
from labkit.playground.build import FEATURES, features
from labkit.playground.settings import REACH

SIDE = 100
NAMES = tuple(FEATURES)


@dataclass(frozen=True)
class Picture:
    """Of a network with F inputs, U hidden and output neurons.

    maps      (U, 100, 100) uint8, row 0 at the top (x2 = 6). Byte b stands for (b / 127.5 - 1) * reach; the outputs
              of a softmax are probabilities, 255 times.
    reach     (U,) float32: 1 where a neuron cannot leave -1..1 and for outputs, else its largest magnitude here.
    values    (2, F + U) float32 at the point looked at: before and after the activation.
    decision, confidence   (100, 100) uint8: the most probable class, 255 times its probability; None with one output.
    """

    maps: np.ndarray
    reach: np.ndarray
    values: np.ndarray
    decision: np.ndarray | None
    confidence: np.ndarray | None


def plane() -> Tensor:
    """(10000, 2): the middles of 100 x 100 squares that fill the plane, row by row from the top."""
    middles = (torch.arange(SIDE) + 0.5) / SIDE * 2 * REACH - REACH
    return torch.stack([middles.repeat(SIDE), (-middles).repeat_interleave(SIDE)], 1)


def grid(names: tuple[str, ...], at: tuple[float, float]) -> Tensor:
    """(F, 10001): the features of the plane's middles and, last, of the point looked at; what `look` takes."""
    return features(torch.cat([plane(), torch.tensor([at], dtype=torch.float32)]), names).T.contiguous()


def feature_maps() -> tuple[np.ndarray, np.ndarray]:
    """(maps (7, 100, 100) uint8, reach (7,) float32) of all features, in the order of FEATURES."""
    values = features(plane(), NAMES).T
    reach = values.abs().amax(1)
    return _bytes(values / reach[:, None]), reach.numpy()


def look(model: nn.Sequential, inputs: Tensor) -> Picture:
    """What the neurons of a Sequential of Linear layers and activations compute on a `grid`; dropout is left out."""
    with device.threads(1), torch.inference_mode():  # a second thread would fight with the browser for its core
        return _look(model, inputs)


def _look(model: nn.Sequential, inputs: Tensor) -> Picture:
    place = inputs.shape[1] - 1
    before, after = [inputs[:, -1]], [inputs[:, -1]]
    maps: list[np.ndarray] = []
    reaches: list[Tensor] = []
    value = inputs
    modules = [module for module in model if not isinstance(module, nn.Dropout)]
    last = max(i for i, module in enumerate(modules) if isinstance(module, nn.Linear))
    for i, module in enumerate(modules):
        if not isinstance(module, nn.Linear):
            continue
        value = torch.addmm(module.bias[:, None], module.weight, value)
        before.append(value[:, -1])
        follows = modules[i + 1] if i + 1 < len(modules) and not isinstance(modules[i + 1], nn.Linear) else None
        if i == last and len(value) > 1:
            value = value.softmax(0)
            maps.append((value[:, :place] * 255).round_().to(torch.uint8).reshape(-1, SIDE, SIDE).numpy())
            reaches.append(torch.ones(len(value)))
        else:
            value = value if follows is None else follows(value)
            bounded = i == last or isinstance(follows, nn.Tanh | nn.Sigmoid)
            reach = torch.ones(len(value)) if bounded else _reach(value[:, :place])
            maps.append(_bytes(value[:, :place] if bounded else value[:, :place] / reach[:, None]))
            reaches.append(reach)
        after.append(value[:, -1])
    several = len(value) > 1
    confidence, decision = value[:, :place].max(0) if several else (None, None)
    return Picture(
        maps=np.concatenate(maps),
        reach=torch.cat(reaches).numpy(),
        values=torch.stack([torch.cat(before), torch.cat(after)]).numpy(),
        decision=None if decision is None else _square(decision),
        confidence=None if confidence is None else _square(confidence * 255),
    )


def difference(model_a: nn.Sequential, inputs_a: Tensor, model_b: nn.Sequential, inputs_b: Tensor) -> np.ndarray:
    """(100, 100) float32: the first output of one network minus that of another; -2..2 for two tanh outputs.

    With several outputs: 1 where the most probable classes differ, else 0.
    """
    with device.threads(1), torch.inference_mode():
        a, b = _outputs(model_a, inputs_a), _outputs(model_b, inputs_b)
    if a.shape[1] > 1:
        return (a.argmax(1) != b.argmax(1)).float().reshape(SIDE, SIDE).numpy()
    return (a - b).reshape(SIDE, SIDE).numpy()


def _outputs(model: nn.Sequential, inputs: Tensor) -> Tensor:
    value = inputs[:, :-1].T
    for module in model:
        if not isinstance(module, nn.Dropout):
            value = module(value)
    return value


def _reach(values: Tensor) -> Tensor:
    reach = values.abs().amax(1)
    return torch.where(torch.isfinite(reach) & (reach > 0), reach, torch.ones(()))


def _bytes(values: Tensor) -> np.ndarray:
    """-1..1 as 0..255; what lies beyond is cut, what is not a number is 0."""
    return values.mul(127.5).add_(128).clamp_(0, 255).nan_to_num_(0).to(torch.uint8).reshape(-1, SIDE, SIDE).numpy()


def _square(values: Tensor) -> np.ndarray:
    return values.to(torch.uint8).reshape(SIDE, SIDE).numpy()
