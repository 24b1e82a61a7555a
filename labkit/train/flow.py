"""How activations and gradients flow through the layers, read from the training step itself."""

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.errors import SettingError
from labkit.train.layerstats import ACTIVATIONS, Layer, WeightSample, layer_statistics, weight_of
from labkit.train.trainer import Trainer

Call = tuple[nn.Module, Tensor]


class GradientFlow:
    """A probe: activations and gradients of each layer, and how far the step moved its weights.

    `Player(trainer, probes={"flow": GradientFlow()})`. A layer is a module with a weight of two dimensions or more
    (linear, convolutional, recurrent, embedding), together with the activation module that follows it; its output is
    that of the activation, or its own where none follows. Calls of functions such as F.relu are not seen.

    The player lets it watch each training step, so that what it shows is what the step computed. Asked without that, it
    makes a forward and backward pass on the trainer's next batch and leaves no trace; update ratios are then NaN.

    Arrays of a frame, with L layers in the order in which they were called:
        "activation_rms", "activation_std" (L,): root mean square and standard deviation of the outputs.
        "gradient_rms", "weight_gradient_rms" (L,): of the gradient of the loss (the batch's mean) with respect to the
            outputs and to the weights.
        "dead" (L,): share of units (channels) that are 0 for all examples of the batch; NaN without a ReLU.
        "saturated" (L,): share of outputs with |tanh| > 0.97, or a sigmoid within 0.03 of 0 or 1; NaN for others.
        "update_ratio" (L,): norm of the step's change of the weights over the norm of the weights.
        "activations", "gradients" (L, BINS) float16: shares of magnitudes by powers of two (layerstats.magnitudes).
    Distributions and "activation_std" look at up to 256 values a layer, "update_ratio" at up to 512 weights, evenly
    spaced; the rest looks at every value.
    """

    def __init__(self) -> None:
        self._plans: weakref.WeakKeyDictionary[Trainer, _Plan] = weakref.WeakKeyDictionary()
        self._steps: weakref.WeakKeyDictionary[Trainer, _Step] = weakref.WeakKeyDictionary()

    @contextmanager
    def watching(self, trainer: Trainer) -> Iterator[None]:
        """Watch the training step that is done inside the block."""
        plan = self._plan(trainer)
        self._steps.pop(trainer, None)
        seen = _Step(trainer.step_count + 1, [], plan.weights.copy(), trainer._scaler.get_scale())
        with _outputs_kept(plan.modules, seen.calls):
            yield
        if trainer.step_count == seen.number:
            seen.versions = _versions(trainer)
            self._steps[trainer] = seen

    def __call__(self, trainer: Trainer) -> dict[str, np.ndarray]:
        plan, step = self._plan(trainer), self._steps.get(trainer)
        if step is not None and step.is_newest(trainer) and plan.fits(step.calls):
            return {**plan.read(step.calls, step.scale), "update_ratio": plan.weights.ratios(step.before)}
        with _own_pass(trainer, plan.modules) as calls:
            if plan.fits(calls):
                return {**plan.read(calls), "update_ratio": np.full(len(plan.layers), np.nan, np.float32)}
        del self._plans[trainer]  # the model took another way than when it was first seen
        self._steps.pop(trainer, None)
        return self(trainer)

    def layers(self, trainer: Trainer) -> list[Layer]:
        """The layers that the arrays' rows stand for."""
        return self._plan(trainer).layers

    def _plan(self, trainer: Trainer) -> "_Plan":
        plan = self._plans.get(trainer)
        if plan is None or not plan.weights.current:
            plan = self._plans[trainer] = _Plan.of(trainer)
        return plan


@dataclass
class _Step:
    """What a training step leaves: its number, what the watched modules gave, and the weights before the update."""

    number: int
    calls: list[Call]
    before: Tensor
    scale: float  # of the loss in the backward pass
    versions: list[int] = field(default_factory=list)  # of the parameters, once the step is done

    def is_newest(self, trainer: Trainer) -> bool:
        """Whether no other step, and nobody by hand, has changed the parameters since."""
        return self.number == trainer.step_count and self.versions == _versions(trainer)


@dataclass
class _Plan:
    """The layers of a model, and which outputs are theirs among the calls of the modules to be watched."""

    layers: list[Layer]
    weights: WeightSample
    modules: list[nn.Module]
    expected: list[nn.Module]
    places: list[int]

    @classmethod
    def of(cls, trainer: Trainer) -> "_Plan":
        names = {module: name for name, module in trainer.model.named_modules()}
        weighted = {m: weight for m in names if (weight := weight_of(m))}
        if any(trainer.model.children()):
            weighted.pop(trainer.model, None)  # a weight beside all layers, such as an embedding of places
        candidates = [m for m in names if m in weighted or isinstance(m, ACTIVATIONS)]
        with _own_pass(trainer, candidates) as calls:
            order = [module for module, _ in calls]
        layers: list[Layer] = []
        ends: list[int] = []
        for i, module in enumerate(order):
            if module in weighted:
                used = sum(layer.module is module for layer in layers)
                name = names[module] or type(module).__name__
                layers.append(Layer(f"{name} ({used + 1})" if used else name, module, weighted[module]))
                ends.append(i)
            elif isinstance(module, ACTIVATIONS) and layers and layers[-1].activation is None:
                layers[-1] = replace(layers[-1], activation=module)
                ends[-1] = i
        if not layers:
            raise SettingError(
                "Expected a model with layers that have weights (torch.nn modules), received "
                f"{type(trainer.model).__name__}, whose forward pass called none. Put its weights into modules."
            )
        modules = list({order[i]: None for i in ends})
        watched = set(modules)
        kept = [i for i, module in enumerate(order) if module in watched]
        return cls(layers, WeightSample(layers), modules, [order[i] for i in kept], [kept.index(i) for i in ends])

    def fits(self, calls: Sequence[Call]) -> bool:
        return [module for module, _ in calls] == self.expected

    def read(self, calls: Sequence[Call], scale: float = 1.0) -> dict[str, np.ndarray]:
        outputs = [calls[place][1] for place in self.places]
        return layer_statistics(self.layers, outputs, scale)


def _versions(trainer: Trainer) -> list[int]:
    return [p._version for group in trainer.optimizer.param_groups for p in group["params"]]


@contextmanager
def _outputs_kept(modules: Sequence[nn.Module], calls: list[Call]) -> Iterator[None]:
    """Note each output of these modules, which then keeps its gradient.

    Their `forward` is wrapped for the block: a hook would cost the step three times as much.
    """
    own = [module.__dict__.get("forward") for module in modules]
    for module in modules:
        module.__dict__["forward"] = _noting(module, module.forward, calls)
    try:
        yield
    finally:
        for module, forward in zip(modules, own, strict=True):
            if forward is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = forward


def _noting(module: nn.Module, forward: Any, calls: list[Call]) -> Any:
    def noted(*inputs: Any, **options: Any) -> Any:
        output = forward(*inputs, **options)
        first = output[0] if isinstance(output, tuple | list) else output
        if isinstance(first, Tensor):
            calls.append((module, first))
            if first.requires_grad:
                first.retain_grad()
        return output

    return noted


@contextmanager
def _own_pass(trainer: Trainer, modules: Sequence[nn.Module]) -> Iterator[list[Call]]:
    """A forward and backward pass on the next batch, as the next step would do it; afterwards all is as before."""
    model = trainer.model
    parameters, buffers = list(model.parameters()), list(model.buffers())
    gradients, values = [p.grad for p in parameters], [b.detach().clone() for b in buffers]
    modes = [(module, module.training) for module in model.modules()]
    calls: list[Call] = []
    try:
        with trainer.session(), torch.enable_grad(), _outputs_kept(modules, calls):
            inputs, targets = trainer.next_batch()
            model.train()
            for parameter in parameters:
                parameter.grad = None
            trainer._loss_of(inputs, targets).backward()
        yield calls
    finally:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        with torch.no_grad():
            for buffer, value in zip(buffers, values, strict=True):
                buffer.copy_(value)
        for module, training in modes:
            module.training = training
