"""Class activation maps: where in a layer's maps the evidence is, brought to the size of the input."""

from collections.abc import Callable
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from labkit.activations.outputs import main_tensor
from labkit.errors import UnsuitableError
from labkit.saliency.borrow import borrowed
from labkit.saliency.gradients import no_gradient
from labkit.saliency.method import Method, Request
from labkit.saliency.places import Layer, Layout, layers_watched
from labkit.saliency.rules import check_rectified, guided_backprop

_last: WeakKeyDictionary[nn.Module, dict[tuple[object, ...], str]] = WeakKeyDictionary()


def cam_layers(model: nn.Module, x: Tensor) -> tuple[str, ...]:
    """The layers that a class activation map can be made of, first to last.

    x: a batch (n, ...). These are the calls, named as `activations.capture` does, whose output has more than one place
    and whose places change the model's output: in a vision transformer that reads its class token alone, none after
    the last attention do. Modules with children may be named to `attribute` as well, but are not listed.
    The model is given back as it was.
    """
    with borrowed(model):
        x = x.detach().clone().requires_grad_()
        with layers_watched(model, x) as found:
            outputs = main_tensor(model(x.clone()), "model")
        found = {name: layer for name, layer in found.items() if prod(layer.layout.sides) > 1}
        score = _any_output(outputs)
        if not found or not score.requires_grad:
            return ()
        edges: list[Any] = [layer.edge for layer in found.values()]
        gradients = torch.autograd.grad(score, edges, allow_unused=True)
    read = zip(found.items(), gradients, strict=True)
    return tuple(name for (name, layer), gradient in read if _arrives(gradient, layer.layout))


def _any_output(outputs: Tensor) -> Tensor:
    """A score that every output changes, each in its own measure: the sum of shares (softmax) never changes."""
    weights = torch.arange(1, outputs.shape[-1] + 1, device=outputs.device, dtype=outputs.dtype)
    return (outputs * weights).sum()


def _arrives(gradient: Tensor | None, layout: Layout) -> bool:
    return gradient is not None and bool(layout.maps(gradient).any())


def _cam(request: Request, name: str, weigh: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The positive part of the sum over channels that `weigh(maps, gradients)` gives, (n, channels, *sides) each."""
    layer, parts, silent = request.layer or _last_with_places(request), [], 0
    for start in range(0, len(request.x), request.rows):
        x, target = (value[start : start + request.rows] for value in (request.x.detach(), request.target))
        _, found, gradient = _read(request, x, target, layer)
        maps = weigh(found.layout.maps(found.values), found.layout.maps(gradient)).sum(1).clamp(min=0)
        silent += int((maps.flatten(1).amax(1) == 0).sum())
        parts.append(found.layout.like(maps, x))
        request.progress(start + len(x), len(request.x))
    if silent:
        request.note(
            f"{name} is zero everywhere for {silent} of {len(request.x)}: no channel's weighted sum is positive there; "
            "use a signed method or another layer."
        )
    return torch.cat(parts)


def _last_with_places(request: Request) -> str:
    """Found by one example: to watch every layer on all of them takes longer. Remembered for inputs of this shape
    and modules like these.
    """
    known = _last.setdefault(request.net, {})
    kind = (tuple(request.x.shape[1:]), *((name, type(module)) for name, module in request.net.named_modules()))
    if kind not in known:
        known[kind] = _read(request, request.x.detach()[:1], request.target[:1], None)[0]
    return known[kind]


def _read(request: Request, x: Tensor, target: Tensor, layer: str | None) -> tuple[str, Layer, Tensor]:
    """(name, output, gradient of the target's score) of the layer; None: of the last that `cam_layers` would name."""
    found: dict[str, Layer] = {}
    if layer is not None:
        found, outputs = _watched(request, x, layer)
    if not found:  # any layer, or one that gives a tuple or dict: no leaf, so that the graph begins at the input
        found, outputs = _watched(request, x.clone().requires_grad_(), layer)
    if not outputs.requires_grad:
        raise no_gradient()
    found = {name: layer for name, layer in found.items() if prod(layer.layout.sides) > 1}
    if not found:
        raise UnsuitableError(_no_map(request, x, layer))
    # A layer is taken that the outputs read, if any is: where all of them are silent, the last.
    read = (name for name in reversed(found) if len(found) == 1 or _is_read(outputs, found[name]))
    name = next(read, None) or list(found)[-1]
    if found[name].overwritten:
        return _read(request, x.detach(), target, name)
    (gradient,) = torch.autograd.grad(outputs.gather(1, target[:, None]).sum(), found[name].edge, allow_unused=True)
    return name, found[name], torch.zeros_like(found[name].values) if gradient is None else gradient


def _watched(request: Request, x: Tensor, layer: str | None) -> tuple[dict[str, Layer], Tensor]:
    with layers_watched(request.net, x, layer) as found:
        outputs = request.model(x)
    return found, outputs


def _is_read(outputs: Tensor, layer: Layer) -> bool:
    (gradient,) = torch.autograd.grad(_any_output(outputs), layer.edge, retain_graph=True, allow_unused=True)
    return _arrives(gradient, layer.layout)


def _no_map(request: Request, x: Tensor, layer: str | None) -> str:
    names = cam_layers(request.net, x[:1])
    instead = f"Layers that have one: {', '.join(names)}." if names else "Use a method that needs no layer: gradient."
    if layer is None:
        return (
            f"Expected a model with a layer whose output has places for a class activation map, received one that has "
            f"none for inputs {tuple(request.x.shape)}. {instead}"
        )
    return f"Expected a layer whose output has places for a class activation map, received {layer!r}. {instead}"


def has_map(request: Request) -> None:
    """The guard of all class activation maps: UnsuitableError where the layer, or every layer, has no places."""
    _read(request, request.x.detach()[:1], request.target[:1], request.layer)


def grad_cam(request: Request) -> Tensor:
    def weigh(maps: Tensor, gradients: Tensor) -> Tensor:
        return maps * gradients.mean(tuple(range(2, gradients.ndim)), keepdim=True)

    return _cam(request, "Grad-CAM", weigh)


def hires_cam(request: Request) -> Tensor:
    return _cam(request, "HiResCAM", lambda maps, gradients: maps * gradients)


def layer_cam(request: Request) -> Tensor:
    return _cam(request, "LayerCAM", lambda maps, gradients: maps * gradients.clamp(min=0))


def guided_grad_cam(request: Request) -> Tensor:
    return guided_backprop(request) * grad_cam(request) * request.x.shape[1]  # each channel has its share of the CAM


def has_map_and_rectifiers(request: Request) -> None:
    has_map(request)
    check_rectified(request, request.model(request.x), "guided backpropagation")


CAMS = {
    "grad_cam": Method(
        compute=grad_cam,
        formula="ReLU(Σₖ αₖ Aₖ), αₖ: mean of ∂f/∂Aₖ over the places",
        source="Selvaraju et al. 2017, Grad-CAM, eq. 1 and 2",
        assumes="That a channel means the same at every place, so that one weight for all of its places is fair.",
        family="cam",
        signed=False,
        layer=True,
        guard=has_map,
    ),
    "hires_cam": Method(
        compute=hires_cam,
        formula="ReLU(Σₖ ∂f/∂Aₖ ⊙ Aₖ)",
        source="Draelos and Carin 2020, Use HiResCAM instead of Grad-CAM, eq. 6",
        assumes="That the score is a plane in the layer's values; exact where one linear layer follows.",
        family="cam",
        signed=False,
        layer=True,
        guard=has_map,
    ),
    "layer_cam": Method(
        compute=layer_cam,
        formula="ReLU(Σₖ ReLU(∂f/∂Aₖ) ⊙ Aₖ)",
        source="Jiang et al. 2021, LayerCAM, eq. 5 to 7",
        assumes="That only values which a rise of would help count, each with its own weight.",
        family="cam",
        signed=False,
        layer=True,
        guard=has_map,
    ),
    "guided_grad_cam": Method(
        compute=guided_grad_cam,
        formula="guided backpropagation ⊙ Grad-CAM, enlarged to the input",
        source="Selvaraju et al. 2017, Grad-CAM, section 3.1",
        assumes="What both assume: Grad-CAM says where, guided backpropagation draws what is there in detail.",
        family="cam",
        layer=True,
        guard=has_map_and_rectifiers,
    ),
}
