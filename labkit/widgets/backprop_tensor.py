"""What BackpropView shows of any model: each layer's output, its weights and their gradients as heatmaps."""

from collections.abc import Callable, Mapping
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from torch import Tensor, nn

from labkit import activations
from labkit.errors import SettingError
from labkit.plots.look import number
from labkit.widgets.backprop_scalar import check_of

Loss = Callable[[Tensor, Tensor], Tensor]

MOST_NUMBERS = 500_000  # on one page
CHECKED = 2  # entries of each tensor that `check` compares


class TensorPicture:
    """One training step on a batch, seen on one of its examples. `stepped`: the parameters after the update, by name.

    Parts are named "layer", "layer.weight", "x" and "y"; a key is a part and a place: "conv1.weight[0,0,1,2]".
    """

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        loss: Loss,
        loss_name: str | None,
        example: int,
        shown: str,
        lr: float,
        stepped: Mapping[str, Tensor],
    ) -> None:
        self.model, self.x, self.y, self.loss, self.example = model, x, y, loss, example
        self.loss_name, self.shown, self.lr, self.stepped = loss_name, shown, lr, stepped
        self.captured = activations.capture(model, x, gradients=True, target=y, loss=loss)
        self.parameters = dict(model.named_parameters())
        self.layers = [self._layer(name) for name in self.captured]
        count = sum(array.size for array in self.arrays.values())
        if count > MOST_NUMBERS:
            raise SettingError(
                f"Expected a model with at most {MOST_NUMBERS:,} numbers to show, received one with {count:,}. Look at "
                "it with labkit.activations.layers and capture, or give a smaller model."
            )

    @property
    def loss_value(self) -> float:
        assert self.captured.loss is not None
        return float(self.captured.loss)

    def _layer(self, call: str) -> dict[str, Any]:
        """name of the call, of the module, its kind, and the parameters that its first call shows."""
        name = call.split("[")[0].split(":")[0]
        module = self.model if name == "model" and not _has(self.model, name) else self.model.get_submodule(name)
        prefix = "" if module is self.model else f"{name}."
        own = [f"{prefix}{key}" for key, _ in module.named_parameters(recurse=False)] if call == name else []
        return {"name": call, "kind": type(module).__name__, "parameters": own}

    # ---- what is sent

    @cached_property
    def structure(self) -> dict[str, Any]:
        """What changes only with the model: layers, shapes, beats."""
        stages = [("forward", "x"), *(("forward", layer["name"]) for layer in self.layers), ("loss", "L")]
        stages += [
            ("backward", "L"),
            *(("backward", layer["name"]) for layer in reversed(self.layers)),
            ("backward", "x"),
        ]
        stages += [("update", layer["name"]) for layer in self.layers if layer["parameters"]]
        shapes = {
            "x": list(self.x.shape[1:]),
            **{name: list(self._one(value).shape) for name, value in self.captured.items()},
        }
        return {"layers": self.layers, "shapes": shapes, "beats": {"layer": [[s, [name]] for s, name in stages]}}

    @cached_property
    def captions(self) -> dict[str, list[str]]:
        """A sentence for each beat."""
        return {"layer": [self.caption("layer", beat) for beat in range(len(self.structure["beats"]["layer"]))]}

    def caption(self, detail: str, beat: int) -> str:
        """One of them."""
        stage, (name,) = self.structure["beats"][detail][beat]
        return self._sentence(stage, name)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """ "value ...", "gradient ..." and "after ..." of x, y, each layer (of the example) and each parameter."""
        arrays = {"value x": self._one(self.x), "value y": self._one(self.y)}
        if isinstance(self.captured.input_gradient, Tensor):
            arrays["gradient x"] = self._one(self.captured.input_gradient)
        for name, value in self.captured.items():
            arrays[f"value {name}"] = self._one(value)
        for name, value in self.captured.gradients.items():
            arrays[f"gradient {name}"] = self._one(value)
        for name, value in self.parameters.items():
            arrays[f"value {name}"] = value
            arrays[f"after {name}"] = self.stepped[name]
        for name, value in self.captured.parameter_gradients.items():
            arrays[f"gradient {name}"] = value
        return {name: value.detach().cpu().float().numpy().copy() for name, value in arrays.items()}

    def _one(self, value: Tensor) -> Tensor:
        """Of a batch the example that is looked at."""
        return value[self.example] if value.ndim and len(value) == len(self.x) else value

    def _sentence(self, stage: str, name: str) -> str:
        if name == "L":
            ends = "backward begins here: ∂L/∂L = 1" if stage == "backward" else f"L = {number(self.loss_value)}"
            many = f", the mean over the {len(self.x)} examples" if len(self.x) > 1 and stage == "loss" else ""
            return f"Loss: {ends}{many}"
        if name == "x":
            gradient = self.captured.input_gradient
            if stage == "forward":
                return f"{self.shown}: {_shape(self._one(self.x))}, {_span(self._one(self.x))}"
            if not isinstance(gradient, Tensor):
                return "Input: it has no gradient"
            return f"Input: ∂L/∂x, {_span(self._one(gradient))}"
        layer = next(layer for layer in self.layers if layer["name"] == name)
        if stage == "forward":
            one = self._one(self.captured[name])
            return f"{name} ({layer['kind']}) gives {_shape(one)}, {_span(one)}"
        gradients = {
            key: self.captured.parameter_gradients[key]
            for key in layer["parameters"]
            if key in self.captured.parameter_gradients
        }
        if stage == "backward":
            own = self.captured.gradients.get(name)
            words = [f"∂L/∂output {_span(self._one(own))}"] if own is not None else ["the loss does not depend on it"]
            words += [f"∂L/∂{key.rsplit('.', 1)[-1]} {_span(value)}" for key, value in gradients.items()]
            return f"{name}: {'; '.join(words)}"
        moved = [
            f"{key} moves by up to {number(float((self.stepped[key] - self.parameters[key]).detach().abs().max()))}"
            for key in layer["parameters"]
        ]
        return f"Update with learning rate {self.lr:g}: {'; '.join(moved)}"

    # ---- one number

    def find(self, key: str) -> str:
        if key == "L":
            return key
        part, place = self._split(key)
        return f"{part}[{','.join(map(str, place))}]"

    def place(self, key: str) -> tuple[str, str | None, tuple[int, ...]]:
        part, place = self._split(key)
        if part in self.parameters:
            return "parameter", part, place
        return {"x": "input", "y": "target" if self.y.is_floating_point() else "class"}.get(part, "output"), None, place

    def node(self, key: str) -> dict[str, Any]:
        """All that is known of one number; key as "conv1[0,3,3]", "conv1.weight[0,0,1,2]", "x[0]" or "L"."""
        if key == "L":
            one = {"gradient": 1.0, "autograd": 1.0, "finite_difference": 1.0}
            return {"id": "L", "label": "L", "kind": "loss", "value": self.loss_value, "after": None, **one}
        part, place = self._split(key)
        kind, parameter, _ = self.place(key)
        data: dict[str, Any] = {"id": key, "label": key, "kind": kind, "value": float(self._tensor(part)[place])}
        data |= {"gradient": None, "autograd": None, "finite_difference": None, "after": None}
        if parameter or (kind == "input" and isinstance(self.captured.input_gradient, Tensor)):
            found = self._checked(key)
            data |= {
                "gradient": found.chain_rule,
                "autograd": found.autograd,
                "finite_difference": found.finite_difference,
            }
        elif part in self.captured.gradients:
            data["autograd"] = float(self._one(self.captured.gradients[part])[place])
        if parameter:
            data["after"] = float(self.stepped[parameter][place])
        return data

    def open(self, key: str) -> dict[str, Any]:
        """The card of one number: an output's or the loss's arithmetic, three ways to a parameter's gradient."""
        if key == "L":
            return self._explained(key, "loss", ())
        part, place = self._split(key)
        kind, parameter, _ = self.place(key)
        if kind == "output":
            return self._explained(key, part, self._batched(part, place))
        data = self.node(key)
        lines = [["Forward", f"{key} = {number(data['value'])}"]]
        if data["gradient"] is not None:
            lines.append(["Backward", self._checked(key).text])
        if parameter:
            lines.append(["Update", f"{number(data['value'])} → {number(data['after'])}"])
        check = None if data["gradient"] is None else check_of(data)
        return {
            "key": key,
            "title": key,
            "value": data["value"],
            "moves": True,
            "lines": lines,
            "code": [],
            "check": check,
        }

    def _explained(self, key: str, layer: str, index: tuple[int, ...]) -> dict[str, Any]:
        told = activations.explain_value(
            self.model, self.x, layer, index, target=self.y, loss=self.loss_name or self.loss
        )
        slope = told.gradient
        return {
            "key": key,
            "title": f"{key} · {told.kind}",
            "value": told.value,
            "moves": False,
            "lines": [["Forward", told.text], ["Backward", slope.text if slope else None]],
            "code": [told.code, *([slope.code] if slope else [])],
            "note": "x, target = view.batch" + ("" if self.loss_name else "; loss is yours"),
            "check": None,
        }

    def check(self) -> float:
        """The largest disagreement between autograd, the chain rule and finite differences over some entries of each

        parameter and of the input, evenly spaced; relative to their size where that is above 1.
        """
        worst = 0.0
        for part in ("x", *self.captured.parameter_gradients):
            tensor = self._tensor(part)
            for flat in np.linspace(0, tensor.numel() - 1, CHECKED).round().astype(int):
                place = ",".join(map(str, np.unravel_index(flat, tensor.shape)))
                data = self.node(f"{part}[{place}]")
                found = [data[name] for name in ("gradient", "autograd", "finite_difference") if data[name] is not None]
                worst = max(worst, (max(found) - min(found)) / max(1.0, *map(abs, found)) if found else 0.0)
        return worst

    def _checked(self, key: str) -> Any:
        part, place = self._split(key)
        inside = part in self.parameters
        index = place if inside else (self.example, *place)
        return activations.check_gradient(
            self.model, self.x, self.y, part if inside else "input", index, loss=self.loss
        )

    def _tensor(self, part: str) -> Tensor:
        if part in self.parameters:
            return self.parameters[part].detach()
        return self._one({"x": self.x, "y": self.y}[part] if part in ("x", "y") else self.captured[part])

    def _batched(self, part: str, place: tuple[int, ...]) -> tuple[int, ...]:
        whole = self.captured[part]
        return (self.example, *place) if whole.ndim and len(whole) == len(self.x) else place

    def _split(self, key: str) -> tuple[str, tuple[int, ...]]:
        """("conv1.weight", (0, 0, 1, 2)), checked."""
        part, bracket, rest = key.rpartition("[")
        if not bracket:
            part, rest = key, "]"
        known = part in self.parameters or part in self.captured or part in ("x", "y")
        if not known:
            raise SettingError(
                f"Expected an entry of x, y, {', '.join([*self.captured, *self.parameters])}, received {key!r}."
            )
        shape = tuple(self._tensor(part).shape)
        try:
            place = tuple(int(i) for i in rest.removesuffix("]").split(",") if i.strip())
        except ValueError:
            place = (-1,)
        if len(place) != len(shape) or any(not 0 <= i < n for i, n in zip(place, shape, strict=True)):
            raise SettingError(f"Expected a place in {part} of shape {shape}, received {key!r}.")
        return part, place


def _has(model: nn.Module, name: str) -> bool:
    return name in dict(model.named_modules())


def _shape(value: Tensor) -> str:
    return "×".join(map(str, value.shape)) or "one number"


def _span(value: Tensor) -> str:
    value = value.detach().float()
    if prod(value.shape) == 1:
        return number(float(value.reshape(-1)[0]))
    return f"from {number(float(value.min()))} to {number(float(value.max()))}"
