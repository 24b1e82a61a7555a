"""Optimisers side by side on one function of two variables."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.errors import SettingError
from labkit.train.descent import (
    FUNCTIONS,
    OPTIMIZERS,
    PLAIN,
    RATES,
    Function,
    Path,
    best_rates,
    check_start,
    goal,
    race,
    survey,
    usual_rates,
)
from labkit.widgets.view import View

if TYPE_CHECKING:
    from labkit.plots.figure import Figure

LABELS = {
    "sgd": "SGD",
    "momentum": "Momentum",
    "nesterov": "Nesterov",
    "adagrad": "Adagrad",
    "rmsprop": "RMSProp",
    "adam": "Adam",
    "adamw": "AdamW",
}


class OptimizerView(View):
    """torch.optim's optimisers descend from one start; choose it with a click, and change the rates and the momentum.

    function: a name of labkit.train.descent.FUNCTIONS, or a Function of your own, such as
        labkit.train.descent.of_network(...).
    optimizers: names of labkit.train.descent.OPTIMIZERS.
    lr: one learning rate for all, or {name: rate}; by default, and for those not named, the function's usual ones.
    momentum: of SGD with momentum and of Nesterov; beta 1 of Adam and AdamW.
    start: (x, y); by default the function's own.

    `paths` is {name: Path} with every place and loss; `set(...)` changes settings, `best()` looks for the best rates.
    """

    asset = "optimizers"

    def __init__(
        self,
        function: str | Function = "ravine",
        optimizers: Sequence[str] = tuple(OPTIMIZERS),
        lr: float | Mapping[str, float] | None = None,
        momentum: float = 0.9,
        start: Sequence[float] | None = None,
        steps: int = 150,
    ) -> None:
        self._functions = dict(FUNCTIONS)
        if isinstance(function, Function):
            self._functions[function.name] = function
        self.optimizers = tuple(dict.fromkeys([optimizers] if isinstance(optimizers, str) else optimizers))
        unknown = [name for name in self.optimizers if name not in OPTIMIZERS]
        if unknown or not self.optimizers:
            raise SettingError(f"Expected optimizers of {', '.join(OPTIMIZERS)}, received {optimizers!r}.")
        self._hidden: set[str] = set()
        self._tuned = False
        self._settle(self._named(function), lr, momentum, start, steps)
        super().__init__()
        self.say(self._describe())
        self.claim_cell()

    # ---- from Python

    def set(
        self,
        function: str | Function | None = None,
        start: Sequence[float] | None = None,
        lr: float | Mapping[str, float] | None = None,
        momentum: float | None = None,
        steps: int | None = None,
    ) -> None:
        """Change some settings; the paths follow at once. Another function brings its own start and usual rates."""
        chosen = self.function if function is None else self._named(function)
        moved = chosen is not self.function
        self._settle(
            chosen,
            lr if isinstance(lr, int | float) else {**({} if moved else self.rates), **(lr or {})},
            self.momentum if momentum is None else momentum,
            (None if moved else self.start) if start is None else start,
            self.steps if steps is None else steps,
        )
        self._tuned = self._tuned and not moved and lr is None and start is None and momentum is None
        self._show()

    def best(self) -> dict[str, float]:
        """Give each optimiser the best of the rates that are tried from this start, and return these."""
        found = best_rates(self.function, self.start, self.optimizers, self.momentum, self.steps)
        self._settle(self.function, found, self.momentum, self.start, self.steps)
        self._tuned = True
        self._show()
        return found

    @property
    def level(self) -> float:
        """The loss at which an optimiser has arrived: a thousandth of the way down is left."""
        return goal(float(self._first.losses[0]), self._least)

    def figure(self) -> "Figure":
        from labkit import plots

        shown = {LABELS[name]: path for name, path in self.paths.items() if name not in self._hidden}
        map_ = self._survey
        return plots.descent(
            *(map_.x, map_.y, map_.losses),
            paths={label: path.points for label, path in shown.items()},
            by_step={label: path.losses for label, path in shown.items()},
            floor=map_.floor,
            low=map_.low,
            high=map_.high,
            minima=self.function.minima,
            styles={LABELS[name]: style for style, name in enumerate(OPTIMIZERS)},
            diverged={label: path.diverged_at for label, path in shown.items() if path.diverged_at is not None},
            title=self._finding(),
        )

    # ---- what is sent

    def everything(self) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
        state, arrays = self._state()
        fixed = {"functions": list(self._functions), "tried": [RATES[0], RATES[-1], len(RATES)]}
        return {**state, **fixed}, arrays, {}

    def _show(self) -> None:
        self.update(*self._state())
        self.say(self._describe())

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        function, level = self.function, self.level
        rows = [
            {
                "name": name,
                "label": LABELS[name],
                "lr": self.rates[name],
                "plain": name in PLAIN,
                "style": list(OPTIMIZERS).index(name),
                "shown": name not in self._hidden,
                "reached": path.reached(level),
                "diverged_at": path.diverged_at,
                "last": float(path.losses[-1]),
            }
            for name, path in self.paths.items()
        ]
        state = {
            "function": function.name,
            "formula": function.formula,
            "about": function.about,
            "limits": function.limits,
            "minima": function.minima,
            "floor": self._survey.floor,
            "low": self._survey.low,
            "high": self._survey.high,
            "start": self.start,
            "first": float(self._first.losses[0]),
            "steps": self.steps,
            "momentum": self.momentum,
            "tuned": self._tuned,
            "optimizers": rows,
            "finding": self._finding(),
        }
        paths = [_filled(path.points, self.steps + 1) for path in self.paths.values()]
        losses = [_filled(path.losses, self.steps + 1) for path in self.paths.values()]
        arrays = {"map": self._survey.losses, "paths": np.stack(paths), "losses": np.stack(losses)}
        return state, {name: array.astype(np.float32) for name, array in arrays.items()}

    # ---- what the browser asks for

    def on_set(self, **changes: Any) -> None:
        self.set(**changes)

    def on_rate(self, plain: bool, lr: float) -> None:
        """One rate for all of a kind: those whose rate is a factor on the gradient, or those whose rate is a length."""
        self.set(lr={name: lr for name in self.optimizers if (name in PLAIN) == plain})

    def on_usual(self) -> None:
        self.set(lr=usual_rates(self.function, self.optimizers))

    def on_best(self) -> None:
        self.best()

    def on_show(self, name: str, on: bool) -> None:
        (self._hidden.discard if on else self._hidden.add)(name)
        self._show()

    # ---- the paths

    def _settle(
        self,
        function: Function,
        lr: float | Mapping[str, float] | None,
        momentum: float,
        start: Sequence[float] | None,
        steps: int,
    ) -> None:
        """Compute with these settings, and only then keep them: what cannot be computed changes nothing."""
        given = dict.fromkeys(self.optimizers, lr) if isinstance(lr, int | float) else dict(lr or {})
        strange = sorted(given.keys() - set(self.optimizers))
        if strange:
            raise SettingError(f"Expected rates of {', '.join(self.optimizers)}, received one of {', '.join(strange)}.")
        rates = {**usual_rates(function, self.optimizers), **given}
        x, y = check_start(function.start if start is None else start).tolist()
        paths = race(function, (x, y), rates, momentum, steps)
        if getattr(self, "function", None) is not function:
            self._survey = survey(function)
        self.function, self.rates, self.momentum, self.start, self.steps = function, rates, momentum, (x, y), steps
        self.paths: dict[str, Path] = paths
        self._first = next(iter(paths.values()))
        met = min(float(path.losses.min()) for path in paths.values())
        self._least = min(met, float(np.nanmin(self._survey.losses))) if function.least is None else function.least

    def _named(self, function: str | Function) -> Function:
        if isinstance(function, Function):
            self._functions[function.name] = function
            return function
        if not isinstance(function, str) or function not in self._functions:
            names = ", ".join(self._functions)
            raise SettingError(f"Expected a function of {names}, or a labkit.train.descent.Function; got {function!r}.")
        return self._functions[function]

    # ---- in words

    def _finding(self) -> str:
        """What came of it in one line: who arrived first, or who came lowest."""
        shown = {name: path for name, path in self.paths.items() if name not in self._hidden}
        if not shown:
            return "No optimiser is shown"
        arrived = {name: step for name, path in shown.items() if (step := path.reached(self.level)) is not None}
        if arrived:
            name = min(arrived, key=arrived.__getitem__)
            return f"{LABELS[name]} arrives first, after {_steps(arrived[name])}"
        going = {name: path for name, path in shown.items() if path.diverged_at is None}
        if not going:
            return "All diverge: lower the learning rates"
        name = min(going, key=lambda name: going[name].losses[-1])
        return (
            f"None arrives within {_steps(self.steps)}; {LABELS[name]} comes lowest, loss {going[name].losses[-1]:.3g}"
        )

    def _describe(self) -> str:
        x, y = self.start
        words = []
        for name, path in self.paths.items():
            step = path.reached(self.level)
            if path.diverged_at is not None:
                came = f"diverges at step {path.diverged_at}"
            else:
                came = "does not arrive" if step is None else f"arrives after {_steps(step)}"
                came += f", last loss {path.losses[-1]:.3g}"
            words.append(f"{LABELS[name]} at rate {self.rates[name]:.3g} {came}")
        named = ", ".join(filter(None, (self.function.name, self.function.formula)))
        head = f"{self._finding()}. {named}, from ({x:.3g}, {y:.3g})"
        return f"{head}, momentum {self.momentum:g}, {_steps(self.steps)}: {'; '.join(words)}."


def _steps(count: int) -> str:
    return f"{count} step{'' if count == 1 else 's'}"


def _filled(values: np.ndarray, length: int) -> np.ndarray:
    """`values` with NaN after their end, up to `length` rows."""
    filled = np.full((length, *values.shape[1:]), np.nan)
    filled[: len(values)] = values
    return filled
