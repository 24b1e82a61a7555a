"""One training step of a network, opened: forward, loss, backward and update as a film of real numbers."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from labkit.activations.losses import loss_function
from labkit.errors import DataError, LabkitError, SettingError
from labkit.plots.look import number
from labkit.train import Trainer
from labkit.widgets.backprop_data import as_tensor, fitting, name_of
from labkit.widgets.backprop_film import STAGES
from labkit.widgets.backprop_scalar import ScalarPicture
from labkit.widgets.backprop_tensor import TensorPicture
from labkit.widgets.cells import after_each_cell
from labkit.widgets.view import View

if TYPE_CHECKING:
    from labkit.plots.figure import Figure

MOST = 1e6  # a number typed or dragged


class BackpropView(View):
    """One training step as a computation graph: `BackpropView(model, inputs, targets)`.

    model: used as it is, not copied. inputs (n, ...); targets (n, ...) or (n,): tensors, arrays or lists; copies of
        them are `inputs` and `targets`. loss: as the Trainer takes it. lr: of plain SGD. names: of the inputs.

    A small nn.Sequential of Linear layers and activations (at most 32 weights) is shown number by number
    (`kind == "scalar"`), any other model layer by layer ("tensor"). The step is on one example, or with
    `minibatch = True` on all of them; the update is what a real Trainer does. What a cell changes in `model`, `inputs`
    or `targets` is drawn when the cell ends.
    Errors: DataError for data that do not fit the model, SettingError for settings out of range.
    """

    asset = "backprop"

    def __init__(
        self,
        model: nn.Module,
        inputs: Any,
        targets: Any,
        loss: str | Callable[[Tensor, Tensor], Tensor] | None = None,
        lr: float = 0.1,
        names: Sequence[str] | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise SettingError(
                f"Expected a torch module first, then inputs and targets; received {type(model).__name__}."
            )
        self.model, self._names = model, list(names) if names is not None else None
        first = next(model.parameters(), None)
        if first is None:
            raise SettingError("Expected a model with parameters to train, received one that has none.")
        self.inputs = as_tensor(inputs, "inputs", first)
        if not any(isinstance(module, nn.Embedding) for module in model.modules()):
            self.inputs = self.inputs.to(first.dtype)
        features = self.inputs[0].numel()
        if self._names is not None and len(self._names) != features:
            raise SettingError(f"Expected {features} names, one for each input, received {len(self._names)}.")
        self.targets = fitting(as_tensor(targets, "targets", first), self.inputs, model)
        self._loss = loss_function(loss, self.targets)
        self._loss_name = name_of(self._loss)
        self._start = (copy.deepcopy(model.state_dict()), self.inputs.clone(), self.targets.clone())
        self._lr, self._example, self._minibatch = float(lr), 0, False
        self._steps, self._losses = 0, list[float]()
        self._detail, self._beat, self._sought = "node", 0, 0
        self._opened: str | None = None
        self._drawn_structure: dict[str, Any] = {}
        self._seen = self._fingerprint()
        self._trainer = self._new_trainer()
        self._why_not_scalar = ""
        self._kind = "scalar"
        try:
            self._picture: ScalarPicture | TensorPicture = self._look_at()
        except SettingError as error:
            self._why_not_scalar, self._kind = str(error), "tensor"
            self._picture = self._look_at()
        self._fit_detail()
        super().__init__()
        self.say(self._describe())
        self.claim_cell()
        after_each_cell(self, BackpropView._notice)

    # ---- from Python

    @property
    def kind(self) -> str:
        """ "scalar" (number by number) or "tensor" (layer by layer)."""
        return self._kind

    @kind.setter
    def kind(self, value: Literal["scalar", "tensor"]) -> None:
        if value not in ("scalar", "tensor"):
            raise SettingError(f"Expected scalar or tensor, received {value!r}.")
        if value == "scalar" and self._why_not_scalar:
            raise SettingError(self._why_not_scalar)
        with self._lock:
            self._change("_kind", value)
            self._fit_detail()
            self._seek(0)

    @property
    def example(self) -> int:
        """The example that is looked at, from 0."""
        return self._example

    @example.setter
    def example(self, value: int) -> None:
        if not (isinstance(value, int) and 0 <= value < len(self.inputs)):
            raise SettingError(f"Expected an example of 0 to {len(self.inputs) - 1}, received {value!r}.")
        self._change("_example", value)

    @property
    def minibatch(self) -> bool:
        """Whether the step is on all examples (the loss is their mean) and not on one."""
        return self._minibatch

    @minibatch.setter
    def minibatch(self, value: bool) -> None:
        self._change("_minibatch", bool(value))

    @property
    def lr(self) -> float:
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        if not (np.isfinite(value) and 0 < value <= MOST):
            raise SettingError(f"Expected a learning rate above 0 and at most {MOST:g}, received {value!r}.")
        self._change("_lr", float(value))

    @property
    def batch(self) -> tuple[Tensor, Tensor]:
        """(x, y) that the step is on: the example looked at, or with `minibatch` all."""
        if self._minibatch:
            return self.inputs, self.targets
        chosen = slice(self._example, self._example + 1)
        return self.inputs[chosen], self.targets[chosen]

    @property
    def steps(self) -> int:
        """Training steps that were taken here."""
        return self._steps

    @property
    def losses(self) -> list[float]:
        """The loss before each of them."""
        return list(self._losses)

    def step(self, n: int = 1) -> None:
        """Take n training steps. A step that diverges raises DivergedError and changes nothing."""
        if not (isinstance(n, int) and n >= 1):
            raise SettingError(f"Expected at least 1 step, received {n!r}.")
        with self._lock:
            try:
                for _ in range(n):
                    row = self._trainer.step()
                    self._steps += 1
                    self._losses.append(row["loss"])
            finally:
                self._redraw()
            self._seek(0)

    def show(self, beat: Literal["forward", "loss", "backward", "update"] | int) -> None:
        """Go to the end of a stage, where all its numbers are seen, or to a beat by its number from 0."""
        stages = [stage for stage, _ in self._beats()]
        if isinstance(beat, str) and beat in STAGES:
            self._seek(max((k for k, stage in enumerate(stages) if stage == beat), default=len(stages) - 1))
        elif isinstance(beat, int) and 0 <= beat < len(stages):
            self._seek(beat)
        else:
            raise SettingError(f"Expected {', '.join(STAGES)} or a beat of 0 to {len(stages) - 1}, received {beat!r}.")

    def set(self, key: str, value: float) -> None:
        """Change an input, a parameter or the target by its id or label: set("0.weight[1,0]", 0.5), set("x₁", 2)."""
        self._edit(key, value)

    def node(self, key: str) -> dict[str, Any]:
        """One number by its id or label ("L", "0.weight[1,0]", "ŷ"): value, gradient (by the chain rule), autograd,

        finite_difference, and after (a parameter's value after the update). None: there is none.
        """
        return self._picture.node(key)

    def check(self) -> float:
        """The largest disagreement between autograd, the chain rule and finite differences over the numbers shown."""
        with self._as_in_training():
            return self._picture.check()

    def reset(self) -> None:
        """Back to the weights and data of the start."""
        with self._lock:
            state, inputs, targets = self._start
            self.model.load_state_dict(state)
            self.inputs.copy_(inputs)
            self.targets.copy_(targets)
            self._steps, self._losses = 0, []
            self._trainer = self._new_trainer()
            self._redraw()
            self._seek(0)

    def figure(self) -> "Figure":
        """What the view shows now, as a Matplotlib figure."""
        from labkit import plots

        picture = self._picture
        beats = [(stage, nodes) for stage, nodes in self._beats()][: self._beat + 1]
        caption = picture.caption(self._detail, self._beat)
        if isinstance(picture, ScalarPicture):
            nodes, links = picture.structure["nodes"], picture.structure["links"]
            return plots.backprop(nodes, links, beats, caption=caption, **picture.arrays)
        return plots.backprop_tensors(picture.structure["layers"], beats, picture.arrays, caption=caption)

    # ---- what is sent

    def everything(self) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
        picture = self._picture
        self._drawn_structure = self._picture.structure
        state = {**self._state(), "captions": picture.captions, "structure": picture.structure}
        return state, picture.arrays, {}

    def _state(self) -> dict[str, Any]:
        return {
            "kind": self._kind,
            "why_not_scalar": self._why_not_scalar,
            "loss": self._picture.loss_value,
            "loss_name": self._loss_name or "loss",
            "losses": self._losses[-200:],
            "steps": self._steps,
            "example": self._example,
            "examples": len(self.inputs),
            "minibatch": self._minibatch,
            "lr": self._lr,
            "seek": {"beat": self._beat, "detail": self._detail, "number": self._sought},
            "opened": self._open_card(),
        }

    def _redraw(self) -> None:
        """Compute the step anew and send what changed."""
        with self._lock:
            self._picture = self._look_at()
            structure = self._picture.structure
            if self._detail not in structure["beats"]:
                self._detail = "layer"
            self._beat = min(self._beat, len(self._beats()) - 1)
            # The caption that is seen; all others, which take a third of the time, when the answer has gone.
            captions = {self._detail: {str(self._beat): self._picture.caption(self._detail, self._beat)}}
            state = {**self._state(), "captions": captions}
            if structure != self._drawn_structure:
                self._drawn_structure = state["structure"] = structure
            self._seen = self._fingerprint()
            self.update(state, self._picture.arrays)
            self.later(lambda: self.update({"captions": self._picture.captions}))
            self.say(self._describe())

    def _describe(self) -> str:
        stages, beat = self._beats(), self._beat
        caption = self._picture.caption(self._detail, beat)
        what = (
            f"the mean over {len(self.inputs)} examples"
            if self._minibatch
            else f"example {self._example + 1} of {len(self.inputs)}"
        )
        return (
            f"Training step {self._steps + 1} on {what}, loss {number(self._picture.loss_value)}. "
            f"Beat {beat + 1} of {len(stages)}, {stages[beat][0]}: {caption}."
        )

    # ---- the step

    def _look_at(self) -> ScalarPicture | TensorPicture:
        x, y = self.batch
        for values, name in ((x, "inputs"), (y, "targets")):
            if values.is_floating_point() and not bool(values.isfinite().all()):
                raise DataError(f"Expected finite {name}, received NaN or infinity. Mend them, or press Reset.")
        example = self._example if self._minibatch else 0
        shown = f"Example {self._example + 1} of {len(self.inputs)}" if len(self.inputs) > 1 else "The example"
        with self._as_in_training():
            stepped = self._stepped()
            if self._kind == "tensor":
                return TensorPicture(self.model, x, y, self._loss, self._loss_name, example, shown, self._lr, stepped)
            return ScalarPicture(
                self.model,
                x,
                y,
                self._loss,
                self._loss_name or "another",
                example,
                shown,
                self._names,
                self._lr,
                stepped,
            )

    def _stepped(self) -> dict[str, Tensor]:
        """The parameters after the step, which a twin of the trainer takes."""
        twin = self._trainer.clone()
        twin.step()
        return {name: parameter.detach() for name, parameter in twin.model.named_parameters()}

    def _new_trainer(self) -> Trainer:
        x, y = self.batch
        device = next(self.model.parameters()).device
        trainer = Trainer(
            self.model, SimpleNamespace(inputs=x, targets=y), loss=self._loss, optimizer="sgd", lr=self._lr,
            batch_size=len(x), shuffle=False, device=device, precision="float32",
        )  # fmt: skip
        trainer.step_count = self._steps  # dropout draws by it
        return trainer

    @contextmanager
    def _as_in_training(self) -> Iterator[None]:
        """The mode and the random numbers of the next step."""
        modes = [(module, module.training) for module in self.model.modules()]
        try:
            with self._trainer.session():
                self.model.train()
                yield
        finally:
            for module, mode in modes:
                module.training = mode

    # ---- changes

    def _change(self, name: str, value: Any) -> None:
        """Set an attribute and draw anew; what cannot be drawn changes nothing."""
        with self._lock:
            before, trainer, opened = getattr(self, name), self._trainer, self._opened
            setattr(self, name, value)
            if name == "_kind":
                self._opened = None  # what is open has another name there
            try:
                self._trainer = self._new_trainer()
                self._redraw()
            except Exception:
                setattr(self, name, before)
                self._trainer, self._opened = trainer, opened
                raise

    def _edit(self, key: str, value: float) -> None:
        with self._lock:
            kind, parameter, index = self._picture.place(key)
            tensor, place = self._where(kind, parameter, index, key)
            value = self._checked_value(kind, value)
            before = tensor[place].clone()
            tensor[place] = value
            try:
                if kind == "class":
                    self._trainer = self._new_trainer()  # which knows what classes there can be
                self._redraw()
            except Exception:
                tensor[place] = before
                raise

    def _where(
        self, kind: str, parameter: str | None, index: tuple[int, ...], key: str
    ) -> tuple[Tensor, tuple[Any, ...]]:
        if parameter:
            return self.model.get_parameter(parameter).data, index
        if kind == "input":
            return self.inputs, (self._example, *self._unflat(self.inputs, index))
        if kind in ("target", "class"):
            return self.targets, (self._example, *(self._unflat(self.targets, index) if kind == "target" else index))
        raise SettingError(f"Expected an input, a parameter or the target to change, received {key!r}: it is computed.")

    @staticmethod
    def _unflat(values: Tensor, index: tuple[int, ...]) -> tuple[Any, ...]:
        """A scalar graph numbers an example's entries in one row."""
        shape = values.shape[1:]
        return index if len(index) == len(shape) else tuple(int(i) for i in np.unravel_index(index[0], shape))

    def _checked_value(self, kind: str, value: float) -> float | int:
        if not (isinstance(value, int | float) and np.isfinite(value) and abs(value) <= MOST):
            raise SettingError(f"Expected a number of at most {MOST:g} in size, received {value!r}.")
        if kind != "class":
            return float(value)
        return round(value)

    def _fingerprint(self) -> list[Tensor]:
        return [t.detach().clone() for t in (*self.model.parameters(), self.inputs, self.targets)]

    def _notice(self) -> None:
        """Draw anew where a cell has changed the model or the data."""
        if any(not torch.equal(a, b) for a, b in zip(self._seen, self._fingerprint(), strict=True)):
            try:
                self._redraw()
            except LabkitError as error:
                self.fail(str(error))

    def _fit_detail(self) -> None:
        self._detail = "node" if "node" in self._picture.structure["beats"] else "layer"

    def _beats(self) -> list[tuple[str, list[Any]]]:
        return [(stage, nodes) for stage, nodes in self._picture.structure["beats"][self._detail]]

    def _seek(self, beat: int) -> None:
        with self._lock:
            self._beat, self._sought = beat, self._sought + 1
            self.update({"seek": {"beat": beat, "detail": self._detail, "number": self._sought}})
            self.say(self._describe())

    def _open_card(self) -> dict[str, Any] | None:
        if self._opened is None:
            return None
        with self._as_in_training():
            return self._picture.open(self._opened)

    # ---- what the browser asks for

    def on_at(self, beat: int, detail: str) -> None:
        """The film stands at this beat."""
        if detail not in self._picture.structure["beats"]:
            raise SettingError(f"Expected node or layer, received {detail!r}.")
        with self._lock:
            self._detail = detail
            self._beat = max(0, min(beat, len(self._beats()) - 1))
            self.say(self._describe())

    def on_edit(self, key: str, value: float) -> None:
        self._edit(key, value)

    def on_open(self, key: str | None) -> None:
        with self._lock:
            self._opened = None if key is None else self._picture.find(key)
            self.update({"opened": self._open_card()})

    def on_take(self) -> None:
        self.step()

    def on_reset(self) -> None:
        self.reset()

    def on_set(self, **settings: Any) -> None:
        """view ("scalar" or "tensor"; a message's own kind is another), example, minibatch, lr."""
        for name, attribute in (("view", "kind"), ("example", "example"), ("minibatch", "minibatch"), ("lr", "lr")):
            if name in settings:
                setattr(self, attribute, settings[name])
