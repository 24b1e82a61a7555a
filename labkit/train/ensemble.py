"""Many small models trained at once: the same data, other learning rates, seeds, initial scales, weight decays."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.errors import CheckpointError, DivergedError, SettingError
from labkit.train import checkpoint
from labkit.train.batches import TensorBatches, order
from labkit.train.grid import born, check_grid
from labkit.train.members import MemberHistory, median_of_finite
from labkit.train.stacked import Stacked
from labkit.train.trainer import LOSSES, OPTIMIZERS, Trainer

DEFAULT_LR = 1e-3  # as Trainer's


class Ensemble(Trainer):
    """Trains many models of one architecture at once; to a Player it is a trainer.

    make: make(seed=...) -> a fresh module, such as functools.partial(MLP, 2, 1, (16, 16)).
    grid: {"lr": [...], "seed": [...], "initial_scale": [...], "weight_decay": [...]}, any of them; the members are the
        product of its values, in the order given. initial_scale is a factor on the initial weights (not the biases).
        By default the learning rate is 1e-3, the seed `seed`, the weight decay the optimiser's own.
    train, test, loss, optimizer, batch_size, device: as a Trainer takes them; the optimizer by its name.
    same_batches: every member sees the batches of Trainer(..., seed=seed); else each those of its own seed.

    A member does what Trainer(make(seed=...), ...) with its settings would do alone, in float32 (with dropout: it draws
    other numbers). A member whose loss becomes NaN or infinite is left as it was before that step, and the others go
    on. `weights` (members, P) of `model` holds all trainable parameters. Rates and decays differ by member, so it is
    extract(i) that gives a trainer whose learning rate can be changed.
    Errors: as Trainer's; SettingError for a grid out of range and for what torch.func.vmap cannot take; DivergedError
    when the last member has diverged.
    """

    model: Any  # a Stacked

    def __init__(
        self,
        make: Callable[..., nn.Module],
        train: Any,
        test: Any = None,
        loss: str | Callable[[Tensor, Tensor], Tensor] | None = None,
        optimizer: str = "adam",
        batch_size: int = 64,
        same_batches: bool = True,
        seed: int = 0,
        device: str | torch.device | None = None,
        grid: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        self.make = make
        self.grid = check_grid(grid or {})
        self.same_batches = same_batches
        given = [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]
        decay = _default_decay(optimizer)
        standard = {"lr": DEFAULT_LR, "seed": seed, "initial_scale": 1.0, "weight_decay": decay}
        self.members: list[dict[str, Any]] = [{**standard, **settings} for settings in given]
        self._losses = np.full(len(given), np.nan, np.float32)
        self._stopped = np.full((len(given), 3), -1)  # (step, epoch, position) of those that have diverged
        self.record = MemberHistory(len(given))
        self._scores: dict[str, np.ndarray] = {}
        self._orders: tuple[int, Tensor] = (-1, torch.empty(0))
        super().__init__(
            Stacked([born(make, member) for member in self.members]),
            train, test, loss, optimizer, batch_size=batch_size, device=device, precision="float32", seed=seed,
        )  # fmt: skip
        if not (same_batches or isinstance(self._batches, TensorBatches)):
            raise SettingError(
                "Expected same_batches=True for data that are loaded, received False. Give a data set with `.inputs` "
                "and `.targets` tensors, or let all members see the same batches."
            )
        self._try_out()

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        axes = " x ".join(f"{len(values)} {name}" for name, values in self.grid.items())
        return f"Ensemble({len(self)} members ({axes}) at step {self.step_count}, {self._optimizer_choice})"

    # What it trains with

    @property
    def settings(self) -> dict[str, Any]:
        """What a fork can change: batch_size, optimizer, seed (of the order of the batches)."""
        return {"batch_size": self.batch_size, "optimizer": self._optimizer_choice, "seed": self.seed}

    @property
    def lr(self) -> float:
        """The median of the members' learning rates."""
        return self._median_lr

    @lr.setter
    def lr(self, value: float) -> None:
        raise SettingError(
            "Expected the members' learning rates to stay as the grid gives them, received a new one for all. "
            "extract(i) gives a member as a trainer of its own, whose rate can be changed."
        )

    # How it stands

    @property
    def losses(self) -> np.ndarray:
        """(members,) float32: the losses of the last step's batches, before the update; NaN once diverged."""
        return self._losses.copy()

    @property
    def diverged_at(self) -> np.ndarray:
        """(members,): the step at which a member's loss became NaN or infinite; 0 for those that go on."""
        return self._stopped[:, 0] + 1

    # What it does

    def extract(self, member: int) -> Trainer:
        """A member as a trainer of its own, with its weights and the optimiser's memory, at its place in the data.

        It goes on as the member would; one that has diverged stands before the step that made it diverge.
        """
        if not 0 <= member < len(self):
            raise SettingError(f"Expected a member of 0 to {len(self) - 1}, received {member!r}.")
        settings, seed = self.members[member], self._order_seeds[member]
        trainer = Trainer(
            born(self.make, settings), self.train, self.test, self.loss, self._optimizer_choice, settings["lr"],
            self.batch_size, device=self.device, precision="float32", seed=seed, accuracy=self._accuracy,
        )  # fmt: skip
        for group in trainer.optimizer.param_groups:
            group["weight_decay"] = settings["weight_decay"]
        state = trainer.state_dict()
        state["model"] |= self.model.parts(self.model.weights[member])
        memory = self.optimizer.state.get(self._moves, {})
        parts = {k: self.model.parts(v[member]) for k, v in memory.items() if v.shape == self._moves.shape}
        if memory:
            state["optimizer"]["state"] = {
                i: {
                    key: parts[key][name] if key in parts else checkpoint.copy_of(value)
                    for key, value in memory.items()
                }
                for i, name in enumerate(self.model.shapes)
            }
        stopped = self._stopped[member]
        here = stopped if stopped[0] >= 0 else (self.step_count, self._epoch, self._position)
        state["progress"] |= zip(("step", "epoch", "position"), map(int, here), strict=True)
        trainer.load_state_dict(state)
        return trainer

    def update(self) -> float:
        """Move every member by its own learning rate, as torch's optimiser would; those that diverged stay."""
        weights, moves = self.model.weights, self._moves
        losses, alive = self._learned
        with torch.no_grad():
            gradients = weights.grad
            if not alive.all():
                gradients.masked_fill_(self._column(~alive), 0)
            if self._decays is not None and not self._decoupled:
                gradients.addcmul_(self._decays, weights)
            # The optimiser works on zeros at a rate of 1: what it makes of them is the step, before the rate.
            moves.zero_()
            moves.grad = gradients
            self.optimizer.step()
            rates = self._rates if alive.all() else self._rates * self._column(alive)
            if self._decays is not None and self._decoupled:
                weights.mul_(1 - rates * self._decays)
            weights.addcmul_(rates, moves)
        fallen = ~alive & (self._stopped[:, 0] < 0)
        self._stopped[fallen] = self.step_count, self._epoch, self._position
        self._losses = losses
        self.record.add(losses)
        return self.lr

    def evaluate(self) -> dict[str, float]:
        """As Trainer.evaluate, of each member; returns the medians of those that have not diverged.

        The members' own scores are kept in `record`.
        """
        self._scores = {}
        medians = super().evaluate()
        self.record.evaluated(self.step_count, self._scores)
        return medians

    def state_dict(self) -> dict[str, Any]:
        members = {"losses": torch.from_numpy(self.losses), "stopped": torch.from_numpy(self._stopped.copy())}
        return {**super().state_dict(), "members": members | self.record.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As Trainer.load_state_dict."""
        if isinstance(state, dict) and set(state.get("members", ())) != set(self.state_dict()["members"]):
            raise CheckpointError("Expected an ensemble's state, received another's. Give one of an equal ensemble.")
        super().load_state_dict(state)
        members = state["members"]
        self._losses, self._stopped = members["losses"].numpy().copy(), members["stopped"].numpy().copy()
        self.record = MemberHistory.of(members)

    # How it does it

    def _learn(self, inputs: Tensor, targets: Tensor) -> float:
        own = not self.same_batches
        if own:
            inputs, targets = self._own_batches()
        losses = self._losses_of(self.model(inputs, own), targets, own)
        values = losses.detach().cpu().numpy().astype(np.float32)
        alive = np.isfinite(values) & (self._stopped[:, 0] < 0)
        if not alive.any():
            raise DivergedError(
                f"All {len(self)} members have diverged, the last at step {self.step_count + 1}. Rewind to an earlier "
                "step to look, and give the grid lower learning rates."
            )
        values[~alive] = np.nan
        self._learned = values, alive
        self.model.weights.grad = None
        losses.sum().backward()  # the members do not touch each other: each row gets its own loss's gradient
        return median_of_finite(values)

    def _own_batches(self) -> tuple[Tensor, Tensor]:
        """(members, batch, ...) inputs and targets: what each member's own seed draws next."""
        batches = self._batches
        assert isinstance(batches, TensorBatches)
        if self._orders[0] != self._epoch:
            orders = [order(batches.examples, True, seed, self._epoch) for seed in self._order_seeds]
            self._orders = self._epoch, torch.stack(orders).to(self.device)
        chosen = self._orders[1][:, self._position : self._position + self.batch_size]
        return batches.inputs[chosen], batches.targets[chosen]

    def _losses_of(self, output: Tensor, targets: Tensor, own: bool) -> Tensor:
        """(members,) losses of outputs (members, batch, ...)."""
        if self.loss is LOSSES["mse"]:
            return (output - targets).square().flatten(1).mean(1)
        if self.loss is LOSSES["cross_entropy"] and output.ndim == 3 and targets.ndim == 1 + own:
            labels = targets.expand(output.shape[:2]).flatten()
            each = nn.functional.cross_entropy(output.flatten(0, 1), labels, reduction="none")
            return each.view(len(self), -1).mean(1)
        return torch.vmap(self.loss, in_dims=(0, 0 if own else None))(output, targets)

    def _loss_of(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return self._losses_of(self.model(inputs), targets, False).sum()

    def _score(self, part: str, batches: Iterator[tuple[Tensor, Tensor]]) -> dict[str, float]:
        nothing = torch.zeros(len(self), device=self.device)
        totals = {f"{part}_loss": nothing}
        examples = 0
        for inputs, targets in batches:
            output = self.model(inputs)
            losses = self._losses_of(output, targets, False)
            totals[f"{part}_loss"] = totals[f"{part}_loss"] + losses * len(inputs)
            if self._accuracy is not None:
                right = torch.vmap(self._accuracy, in_dims=(0, None))(output, targets).float().flatten(1).mean(1)
                totals[f"{part}_accuracy"] = totals.get(f"{part}_accuracy", nothing) + right * len(inputs)
            examples += len(inputs)
        scores = {name: (total / examples).cpu().numpy() for name, total in totals.items()}
        medians = {}
        for name, values in scores.items():
            values[(self._stopped[:, 0] >= 0) | ~np.isfinite(values)] = np.nan
            medians[name] = median_of_finite(values)
        self._scores |= scores
        return medians

    def _make_optimizer(self, choice: Any, lr: float) -> torch.optim.Optimizer:
        """The optimiser of all members, and what belongs to it: rates, decays, and the matrix of their steps."""
        self._decoupled = choice == "adamw"
        self._moves = nn.Parameter(torch.zeros_like(self.model.weights))
        rates, decays = ([member[name] for member in self.members] for name in ("lr", "weight_decay"))
        self._rates = self._column(np.array(rates))
        self._decays = self._column(np.array(decays)) if any(decays) else None
        self._median_lr = float(np.median(rates))
        made = OPTIMIZERS[_check_optimizer(choice)]([self._moves], lr=1.0)
        for group in made.param_groups:
            group["weight_decay"] = 0.0  # each member's own is added in `update`
        return made

    def _column(self, values: np.ndarray) -> Tensor:
        """(members, 1) of the members' values, for the rows of `weights`."""
        dtype = torch.bool if values.dtype == bool else self.model.weights.dtype
        return torch.tensor(values, dtype=dtype, device=self.device)[:, None]

    @property
    def _order_seeds(self) -> list[int]:
        """The seed of each member's batches."""
        return [self.seed if self.same_batches else member["seed"] for member in self.members]

    def _inspect(self, loss: Any) -> float:
        # Task, loss and shapes are those of one member.
        stacked, self.model = self.model, born(self.make, self.members[0]).to(self.device)
        try:
            return super()._inspect(loss) * len(self)
        finally:
            self.model = stacked

    def _try_out(self) -> None:
        """Raise for what vmap cannot take before anything has run; draws nothing and changes nothing."""
        inputs, targets = self._batches.get(0, 0, self.seed)
        try:
            with self.session(), torch.no_grad():
                self._losses_of(self.model(inputs[:2]), targets[:2], False)
        except (RuntimeError, ValueError) as error:
            raise SettingError(
                f"Expected a model and a loss that torch.func.vmap can take, received: {str(error).splitlines()[0]} "
                "Train such models in turn, each with its own Trainer."
            ) from error


def members(ensemble: Ensemble) -> dict[str, np.ndarray]:
    """A probe, each array (members,): "loss" of the last step, "diverged_at" (a step, or 0), and the newest scores."""
    step, record = ensemble.step_count, ensemble.record
    scores = {name: record.at(name, step) for name in record.metrics if name != "loss"}
    return {"loss": ensemble.losses, "diverged_at": ensemble.diverged_at.astype(np.int32), **scores}


def _check_optimizer(name: Any) -> str:
    if name not in OPTIMIZERS:
        raise SettingError(f"Expected an optimizer of {', '.join(OPTIMIZERS)}, received {name!r}.")
    return name


def _default_decay(optimizer: Any) -> float:
    """The weight decay of an optimizer unless one is given; AdamW has one."""
    made = OPTIMIZERS[_check_optimizer(optimizer)]([torch.zeros(1, requires_grad=True)], lr=1.0)
    return float(made.param_groups[0]["weight_decay"])
