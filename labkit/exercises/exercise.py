"""What an exercise is: a question, a check that never raises, hints, and a solution in the open."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from typing import Any

_COLOURS = {"right": "var(--jp-success-color1, #2e7d32)", "wrong": "var(--jp-warn-color1, #b45f06)"}
_SIGNS = {"right": "✓", "wrong": "✗", "unattempted": "…", "hint": "?"}


class Mistake(Exception):
    """Raised by an examination; its text names the likely mistake and what to look at."""


@dataclass(frozen=True)
class Outcome:
    """What a check or a hint says: `state` ("right", "wrong", "unattempted" or "hint") and `message`."""

    state: str
    message: str

    def __str__(self) -> str:
        return f"{_SIGNS[self.state]} {self.message}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        colour = _COLOURS.get(self.state, "var(--jp-brand-color1, #1565c0)")
        return (
            f'<div role="status" style="border-left: 4px solid {colour}; padding: 4px 12px; '
            f'white-space: pre-wrap">{escape(str(self))}</div>'
        )


@dataclass
class Exercise:
    """One exercise. `examine(answer)` raises Mistake when the answer is wrong."""

    name: str
    question: str
    examine: Callable[[Any], None]
    hints: tuple[str, ...]
    code: str
    praise: str
    _hints_given: int = field(default=0, repr=False)

    def check(self, answer: Any = None) -> Outcome:
        """Right, wrong with the likely mistake, or not tried yet (None or a function that returns it). Never raises."""
        try:
            self.examine(answer)
        except Unattempted:
            return Outcome("unattempted", f"Not tried yet. {self.question}")
        except Mistake as mistake:
            return Outcome("wrong", str(mistake))
        except Exception as error:  # the learner's own code: told, not raised, so that the notebook runs on
            line = _own_line(answer, error)
            where = f"\nin the line: {line}" if line else ""
            return Outcome("wrong", f"Your code stopped with {type(error).__name__}: {error}{where}")
        return Outcome("right", self.praise)

    def hint(self) -> Outcome:
        """The next hint; after the last one, the last again."""
        place = min(self._hints_given, len(self.hints) - 1)
        self._hints_given += 1
        return Outcome("hint", f"Hint {place + 1} of {len(self.hints)}: {self.hints[place]}")

    def solution(self) -> Outcome:
        """One solution, as code."""
        return Outcome("hint", f"One solution:\n\n{self.code}")


class Unattempted(Exception):
    """The stub is as it was."""


def call(function: Any, *arguments: Any) -> Any:
    """The learner's function on some arguments; Unattempted while it is a stub, Mistake where it is no function."""
    if function is None or function is ...:
        raise Unattempted
    if not callable(function):
        raise Mistake(f"Give check the function itself, without calling it; received {_brief(function)}.")
    result = function(*arguments)
    if result is None or result is ...:
        raise Unattempted
    return result


def _own_line(function: Any, error: Exception) -> str | None:
    """The learner's own line that led to the error; None where the call itself failed, as with a missing argument."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    own = [frame.line for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return own[-1] if own else None


def number(value: Any, what: str) -> float:
    """A learner's result as a number; a tensor with one value counts as one."""
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError):
        raise Mistake(f"{what} should be one number; received {_brief(value)}.") from None


def _brief(value: Any) -> str:
    text = f"{type(value).__name__} {value!r}"
    return text if len(text) <= 120 else text[:117] + "..."
