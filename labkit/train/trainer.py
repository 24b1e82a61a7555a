"""The trainer: model, optimiser, sampler and random numbers, one step at a time, exactly repeatable."""

import copy
import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from labkit import device as devices
from labkit.errors import DataError, DivergedError, OutOfMemoryError, SettingError
from labkit.train import checkpoint, diagnosis
from labkit.train.batches import Batches, LoaderBatches, TensorBatches, mix

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": nn.functional.cross_entropy,
    "mse": nn.functional.mse_loss,
}


def _momentum(params: Any, lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=lr, momentum=0.9, fused=True)


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda params, lr: torch.optim.SGD(params, lr=lr, fused=True),
    "momentum": _momentum,
    "adagrad": lambda params, lr: torch.optim.Adagrad(params, lr=lr),
    "rmsprop": lambda params, lr: torch.optim.RMSprop(params, lr=lr),
    "adam": lambda params, lr: torch.optim.Adam(params, lr=lr, fused=True),
    "adamw": lambda params, lr: torch.optim.AdamW(params, lr=lr, fused=True),
}

_GLOBAL_GENERATORS = threading.RLock()


class Trainer:
    """Trains any module on (inputs, targets), one `step()` at a time.

    train, test: a labkit Dataset (anything with `.inputs` and `.targets` tensors, which are then kept on the device and
        indexed), or, for data too large for that, any map-style torch Dataset or DataLoader.
    loss: "cross_entropy", "mse", or loss(output, target) -> scalar mean; by default the first for integer targets.
    optimizer: a name of OPTIMIZERS, or optimizer(parameters, lr=lr), such as
        functools.partial(torch.optim.SGD, momentum=0.5).
    device: as labkit.device.choose takes it. precision: "auto" (the device's), "float32", "bfloat16", "float16".
    seed: fixes the order of the examples and what dropout draws. Step k draws the same numbers whatever was drawn
        elsewhere, and the global generator is given back as it was.
    schedule: schedule(steps done) -> the factor on the learning rate for the next step. It depends on the step alone,
        so that a rewound run goes on as before.
    accuracy: accuracy(output, target) -> a bool for each example, where the largest output does not name the class.

    From the same state on a CPU the same steps are bit-identical. Errors: DataError for data that do not fit together,
    SettingError for settings out of range, DivergedError, OutOfMemoryError.
    """

    # Examples of the training set that an evaluation looks at, at most: accuracy to two digits.
    train_sample = 500

    def __init__(
        self,
        model: nn.Module,
        train: Any,
        test: Any = None,
        loss: str | Callable[[Tensor, Tensor], Tensor] | None = None,
        optimizer: str | Callable[..., torch.optim.Optimizer] = "adam",
        lr: float = 1e-3,
        batch_size: int = 64,
        shuffle: bool = True,
        device: str | torch.device | None = None,
        precision: str = "auto",
        seed: int = 0,
        schedule: Callable[[int], float] | None = None,
        accuracy: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        if not (isinstance(batch_size, int) and batch_size >= 1):
            raise SettingError(f"Expected a batch_size of at least 1, received {batch_size!r}.")
        chosen = devices.choose(device)
        self.device = chosen.device
        self.dtype = chosen.dtype if precision == "auto" else devices.parse_dtype(precision)
        self.seed = seed
        self.step_count = 0
        self.model = model.to(self.device)
        self.train, self.test = train, test
        self.classes = getattr(train, "classes", None)
        self.schedule = schedule
        self.threads = 1
        self._accuracy = accuracy
        self._shuffle = shuffle
        self._epoch = 0
        self._position = 0
        self._batches = self._make_batches(train, batch_size, shuffle)
        self._test_batches = None if test is None else self._make_batches(test, batch_size, shuffle=False)
        with self.session():
            flops = self._inspect(loss)
        if self._accuracy is None and self.task == "classification":
            self._accuracy = _largest_is_right
        self.threads = devices.threads_for(flops)
        self._optimizer_choice = optimizer
        self.optimizer = self._make_optimizer(optimizer, lr)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        return f"Trainer({type(self.model).__name__} at step {self.step_count}, {settings})"

    # What it trains with

    @property
    def settings(self) -> dict[str, Any]:
        """What a fork can change, printable: lr, batch_size, optimizer, seed."""
        choice = self._optimizer_choice
        name = choice if isinstance(choice, str) else type(self.optimizer).__name__
        return {"lr": self.lr, "batch_size": self.batch_size, "optimizer": name, "seed": self.seed}

    @property
    def lr(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = _check_lr(value)

    @property
    def batch_size(self) -> int:
        return self._batches.batch_size

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self._batches.examples / self._batches.batch_size)

    @property
    def position(self) -> int:
        """Examples of this epoch that are done."""
        return self._position

    @property
    def epoch(self) -> float:
        """Epochs done so far, with the fraction of the one that runs."""
        return self._epoch + self._position / self._batches.examples

    # What it does

    def step(self) -> dict[str, float]:
        """One optimisation step on the next batch: {"step", "epoch", "loss", "lr"}, the loss before the update.

        A loss that is NaN or infinite raises DivergedError before anything is updated; so does an error of the model:
        the state is that of the step before, and the same step can be tried again.
        """
        with self.session():
            inputs, targets = self.next_batch()
            if not self.model.training:
                self.model.train()
            try:
                value = self._learn(inputs, targets)
            except torch.OutOfMemoryError as error:
                raise self._out_of_memory(inputs, targets, error) from error
            with _uninterrupted():
                lr = self.update()
                self.step_count += 1
                self._position += len(inputs)
                if self._position >= self._batches.examples:
                    self._epoch, self._position = self._epoch + 1, 0
        return {"step": self.step_count, "epoch": self.epoch, "loss": value, "lr": lr}

    def _learn(self, inputs: Tensor, targets: Tensor) -> float:
        """The loss of a batch, whose gradients then lie at the parameters."""
        loss = self._loss_of(inputs, targets)
        value = loss.item()
        if not math.isfinite(value):
            where = diagnosis.first_nonfinite(self.model, inputs)
            raise DivergedError(
                f"The loss became {value} at step {self.step_count + 1}, first in {where}. "
                "Rewind to an earlier step and lower the learning rate, or look at the data."
            )
        self._backward(loss)
        return value

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """The (inputs, targets) that the next step will learn from, on the device."""
        return self._batches.get(self._epoch, self._position, self.seed)

    def _backward(self, loss: Tensor) -> None:
        for group in self.optimizer.param_groups:  # as zero_grad() does, a few microseconds faster
            for parameter in group["params"]:
                parameter.grad = None
        (self._scaler.scale(loss) if self._scaler.is_enabled() else loss).backward()

    def update(self) -> float:
        """Let the optimiser move the parameters by their gradients; returns the learning rate that it used.

        The last part of a step; a subclass adds what follows each update.
        """
        base = [group["lr"] for group in self.optimizer.param_groups]
        if self.schedule is not None:
            factor = self.schedule(self.step_count)
            for group, lr in zip(self.optimizer.param_groups, base, strict=True):
                group["lr"] = lr * factor
        used = float(self.optimizer.param_groups[0]["lr"])
        try:
            if self._scaler.is_enabled():
                self._scaler.step(self.optimizer)
                self._scaler.update()
            else:
                self.optimizer.step()
        finally:
            for group, lr in zip(self.optimizer.param_groups, base, strict=True):
                group["lr"] = lr
        return used

    def evaluate(self) -> dict[str, float]:
        """Loss and, where there is one, accuracy on the test set and on at most 500 training examples.

        {"train_loss", "train_accuracy", "test_loss", "test_accuracy"}; in evaluation mode, which is given back after.
        """
        scores: dict[str, float] = {}
        with self.session(), evaluation_mode(self.model), torch.no_grad():
            scores |= self._score("train", self._batches.sample(self.train_sample))
            if self._test_batches is not None:
                scores |= self._score("test", self._test_batches.sample(self._test_batches.examples))
        return scores

    def state_dict(self) -> dict[str, Any]:
        """A copy of all that the next steps depend on: model, optimiser, scaler, and the place in the data."""
        return {
            "model": checkpoint.copy_of(self.model.state_dict()),
            "optimizer": checkpoint.copy_of(self.optimizer.state_dict()),
            "scaler": self._scaler.state_dict(),
            "progress": {
                "step": self.step_count,
                "epoch": self._epoch,
                "position": self._position,
                "seed": self.seed,
                "examples": self._batches.examples,
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of this or an equal trainer. A state that does not fit raises CheckpointError, and

        nothing is changed.
        """
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        checkpoint.check(state, self.state_dict(), parameters)
        # Copies: torch keeps what it is given, and the next step would write into the caller's state.
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(checkpoint.copy_of(state["optimizer"]))
        self._scaler.load_state_dict(state["scaler"])
        progress = state["progress"]
        self.step_count, self.seed = progress["step"], progress["seed"]
        self._epoch, self._position = progress["epoch"], progress["position"]

    def save(self, path: str | Path) -> None:
        """Write the state as a safetensors file (whole or not at all)."""
        checkpoint.write(self.state_dict(), Path(path))

    def load(self, path: str | Path) -> None:
        """Read what `save` wrote; a broken, foreign or hostile file raises CheckpointError and changes nothing."""
        self.load_state_dict(checkpoint.read(Path(path)))

    def clone(self, **settings: Any) -> Self:
        """A trainer of its own in the same state, with some `settings` changed: lr, batch_size, optimizer, seed.

        A new optimizer starts without the old one's memory (momentum, averages).
        """
        unknown = set(settings) - set(self.settings)
        if unknown:
            raise SettingError(
                f"Expected settings of {', '.join(self.settings)}, received {', '.join(sorted(unknown))}."
            )
        twin = copy.copy(self)
        twin.model = copy.deepcopy(self.model)
        twin._scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        twin._batches = self._with_batch_size(settings.get("batch_size", self.batch_size))
        twin._optimizer_choice = settings.get("optimizer", self._optimizer_choice)
        twin.optimizer = twin._make_optimizer(twin._optimizer_choice, settings.get("lr", self.lr))
        state = self.state_dict()
        if "optimizer" in settings:
            state["optimizer"] = twin.optimizer.state_dict()
        twin.load_state_dict(state)
        if "lr" in settings:
            twin.lr = settings["lr"]
        twin.seed = settings.get("seed", self.seed)
        return twin

    # How it does it

    def _make_batches(self, source: Any, batch_size: int, shuffle: bool) -> Batches:
        inputs, targets = getattr(source, "inputs", None), getattr(source, "targets", None)
        if isinstance(inputs, Tensor) and isinstance(targets, Tensor):
            return TensorBatches(inputs, targets, batch_size, shuffle, self.device)
        if isinstance(source, DataLoader) or hasattr(source, "__getitem__"):
            return LoaderBatches(source, batch_size, shuffle, self.device)
        raise DataError(
            "Expected a data set with `.inputs` and `.targets` tensors, a map-style torch Dataset or a DataLoader, "
            f"received {type(source).__name__}."
        )

    def _with_batch_size(self, batch_size: int) -> Batches:
        if not (isinstance(batch_size, int) and batch_size >= 1):
            raise SettingError(f"Expected a batch_size of at least 1, received {batch_size!r}.")
        if isinstance(self._batches, TensorBatches):
            return self._make_batches(self._batches, batch_size, self._shuffle)
        if batch_size != self.batch_size and isinstance(self.train, DataLoader):
            raise SettingError("Expected a DataLoader's own batch_size; make a new DataLoader to change it.")
        return self._make_batches(self.train, batch_size, self._shuffle)

    def _make_optimizer(self, choice: str | Callable[..., torch.optim.Optimizer], lr: float) -> torch.optim.Optimizer:
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        if not parameters:
            raise SettingError("Expected a model with parameters to train, received one that has none.")
        if isinstance(choice, str) and choice not in OPTIMIZERS:
            raise SettingError(f"Expected an optimizer of {', '.join(OPTIMIZERS)}, received {choice!r}.")
        build = OPTIMIZERS[choice] if isinstance(choice, str) else choice
        made = build(parameters, lr=_check_lr(lr))
        if not isinstance(made, torch.optim.Optimizer):
            raise SettingError(
                f"Expected optimizer(parameters, lr=lr) to make a torch.optim.Optimizer, received "
                f"{type(made).__name__}. For a prepared one use functools.partial(torch.optim.SGD, momentum=0.9)."
            )
        return made

    def _inspect(self, loss: str | Callable[[Tensor, Tensor], Tensor] | None) -> float:
        """Settle task and loss on a first batch, and refuse what cannot be trained before anything has run.

        Returns the floating-point operations of a forward pass on a batch.
        """
        inputs, targets = self._batches.get(0, 0, self.seed)
        integer = not targets.is_floating_point()
        choice = loss or ("cross_entropy" if integer else "mse")
        if isinstance(choice, str) and choice not in LOSSES:
            raise SettingError(f"Expected a loss of {', '.join(LOSSES)} or a function, received {choice!r}.")
        self.loss = LOSSES[choice] if isinstance(choice, str) else choice
        counter = FlopCounterMode(display=False)
        with evaluation_mode(self.model), torch.no_grad():
            try:
                with counter:
                    output = self._forward(inputs[:2])
            except RuntimeError as error:
                raise DataError(
                    f"Expected inputs that fit the model, received {tuple(inputs.shape)}: {error}"
                ) from error
            if not isinstance(output, Tensor):
                raise DataError(
                    f"Expected the model to return one tensor, received {type(output).__name__}. "
                    "Wrap it in a module that returns the logits."
                )
            logits = output.ndim >= 2 and output[:, 0].shape == targets[:2].shape
            self.task = "classification" if integer and logits else "regression"
            self._check_targets(output, targets)
            value = self.loss(output, targets[:2])
        if not (isinstance(value, Tensor) and value.ndim == 0):
            raise SettingError(
                f"Expected loss(output, target) to give one number (a 0-d tensor), received "
                f"{tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__}."
            )
        return counter.get_total_flops() / len(inputs[:2]) * self.batch_size

    def _check_targets(self, output: Tensor, targets: Tensor) -> None:
        if self.task == "classification" and targets.ndim == 1:
            known = self._batches.targets if isinstance(self._batches, TensorBatches) else targets
            low, high = int(known.min()), int(known.max())
            if low < 0 or high >= output.shape[1]:
                raise DataError(
                    f"Expected labels of 0 to {output.shape[1] - 1} for a model with {output.shape[1]} outputs, "
                    f"received labels of {low} to {high}. Give the model more outputs or mend the labels."
                )
        elif self.loss is LOSSES["mse"] and output.shape[1:] != targets.shape[1:]:
            raise DataError(  # broadcast against each other they would train, to something else
                f"Expected targets shaped like the model's output {tuple(output.shape[1:])} (after the batch), "
                f"received {tuple(targets.shape[1:])}."
            )

    def _forward(self, inputs: Tensor) -> Any:
        if self.dtype == torch.float32:
            return self.model(inputs)
        with torch.autocast(self.device.type, self.dtype):
            return self.model(inputs)

    def _loss_of(self, inputs: Tensor, targets: Tensor) -> Tensor:
        output = self._forward(inputs)
        return self.loss(output.float() if output.dtype in (torch.bfloat16, torch.float16) else output, targets)

    def _score(self, part: str, batches: Iterator[tuple[Tensor, Tensor]]) -> dict[str, float]:
        loss = right = torch.zeros((), device=self.device)
        examples = 0
        for inputs, targets in batches:
            output = self._forward(inputs)
            loss = loss + self.loss(output.float(), targets) * len(inputs)
            if self._accuracy is not None:
                right = right + self._accuracy(output, targets).float().mean() * len(inputs)
            examples += len(inputs)
        scores = {f"{part}_loss": loss.item() / examples}
        if self._accuracy is not None:
            scores[f"{part}_accuracy"] = right.item() / examples
        return scores

    @contextmanager
    def session(self) -> Iterator[None]:
        """The trainer's own threads and the random numbers of its next step; both are given back as they were.

        Models draw from the process's global generators, so only one trainer works at a time.
        """
        with _GLOBAL_GENERATORS, devices.threads(self.threads):
            generators = _generators(self.device)
            before = [generator.get_state() for generator in generators]
            number = mix(self.seed, self.step_count)
            try:
                for generator in generators:
                    generator.manual_seed(number)
                yield
            finally:
                for generator, state in zip(generators, before, strict=True):
                    generator.set_state(state)

    def _out_of_memory(self, inputs: Tensor, targets: Tensor, error: Exception) -> OutOfMemoryError:
        size = diagnosis.batch_that_fits(self.model, self._loss_of, inputs, targets)
        self.optimizer.zero_grad()
        memory = devices.free_memory(self.device)
        there = "" if memory is None else f" {memory[0] / 2**30:.1f} of {memory[1] / 2**30:.1f} GiB are free."
        advice = (
            f"A batch of {size} fits: fork or build the trainer with batch_size={size}."
            if size
            else "Not even one example fits: use a smaller model, smaller inputs, or the CPU."
        )
        return OutOfMemoryError(
            f"A batch of {len(inputs)} does not fit on {devices.name(self.device)} at step {self.step_count + 1} "
            f"({str(error).splitlines()[0][:160]}).{there} {advice}"
        )


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Run a block with the model in evaluation mode, then give each module its own mode back."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold an interrupt (Ctrl-C, the notebook's stop button) back to the end of the block: no step is left half done.

    Only the main thread is ever interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
        if held and callable(before):
            before(*held[-1])


def _largest_is_right(output: Tensor, targets: Tensor) -> Tensor:
    return output.argmax(1) == targets


def _generators(device: torch.device) -> list[torch.Generator]:
    """The global generators that a model on this device may draw from."""
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        return [torch.default_generator, torch.cuda.default_generators[index]]
    if device.type == "mps":
        return [torch.default_generator, torch.mps._get_default_mps_generator()]
    return [torch.default_generator]


def _check_lr(lr: float) -> float:
    if not (isinstance(lr, int | float) and math.isfinite(lr) and lr >= 0):
        raise SettingError(f"Expected a learning rate of at least 0, received {lr!r}.")
    return float(lr)
