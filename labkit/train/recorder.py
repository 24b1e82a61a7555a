"""What a run leaves behind, in bounded memory however long it is: rows, frames and checkpoints by step."""

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from labkit.train.checkpoint import nbytes

# A row is a dict of a few floats; this is what CPython needs for one.
ROW_BYTES = 500


class Series:
    """Items by rising step, within a budget of bytes.

    When the budget is full, buckets of steps double in width and only the first item of each bucket stays: what is
    left is evenly spread over the run and depends on its steps alone. The first and the last item always stay.

    `size(item, before)` is what an item adds to the one before it (None for the first). One thread may add while others
    read.
    """

    def __init__(self, budget: int, size: Callable[[Any, Any], int]) -> None:
        self.budget = budget
        self.width = 1
        self.nbytes = 0
        self._size = size
        self._steps: list[int] = []
        self._items: list[Any] = []
        self._sizes: list[int] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return iter(self.after(-1))

    def add(self, step: int, item: Any) -> None:
        """Add an item after all others; one of the same step, and a last one not first in its bucket, give way."""
        with self._lock:
            steps = self._steps
            if steps and (steps[-1] == step or (len(steps) > 1 and self._bucket(steps[-1]) == self._bucket(steps[-2]))):
                self._pop()
            size = self._size(item, self._items[-1] if steps else None)
            steps.append(step)
            self._items.append(item)
            self._sizes.append(size)
            self.nbytes += size
            while self.nbytes > self.budget and len(self._steps) > 2:
                self._thin()

    def at(self, step: int) -> tuple[int, Any] | None:
        """The newest (step, item) at or before `step`, or None."""
        with self._lock:
            place = bisect_right(self._steps, step) - 1
            return None if place < 0 else (self._steps[place], self._items[place])

    def after(self, step: int) -> list[tuple[int, Any]]:
        """All (step, item) after `step`."""
        with self._lock:
            place = bisect_right(self._steps, step)
            return list(zip(self._steps[place:], self._items[place:], strict=True))

    def cut(self, step: int) -> None:
        """Forget what came after `step`."""
        with self._lock:
            while self._steps and self._steps[-1] > step:
                self._pop()

    def copy(self) -> "Series":
        twin = Series(self.budget, self._size)
        with self._lock:
            twin.width, twin.nbytes = self.width, self.nbytes
            twin._steps, twin._items, twin._sizes = list(self._steps), list(self._items), list(self._sizes)
        return twin

    def _bucket(self, step: int) -> int:
        return step // self.width

    def _pop(self) -> None:
        self._steps.pop()
        self._items.pop()
        self.nbytes -= self._sizes.pop()

    def _thin(self) -> None:
        self.width *= 2
        steps: list[int] = []
        items: list[Any] = []
        sizes: list[int] = []
        for step, item in zip(self._steps, self._items, strict=True):
            if not steps or step == self._steps[-1] or self._bucket(step) > self._bucket(steps[-1]):
                sizes.append(self._size(item, items[-1] if items else None))
                steps.append(step)
                items.append(item)
        self._steps, self._items, self._sizes = steps, items, sizes
        self.nbytes = sum(sizes)


class Recorder:
    """The history of a run: a row a step, evaluations, frames and checkpoints, together within `budget` bytes.

    Two checkpoints are kept even where they alone are larger than that: without one, nothing could be rewound.
    """

    def __init__(self, budget: int = 256 * 2**20) -> None:
        self.budget = budget
        self.rows = Series(budget // 16, lambda row, before: ROW_BYTES)
        self.evaluations = Series(budget // 16, lambda row, before: ROW_BYTES)
        self.frames = Series(3 * budget // 8, frame_bytes)
        self.checkpoints = Series(budget // 2, lambda state, before: nbytes(state))

    @property
    def nbytes(self) -> int:
        return sum(series.nbytes for series in self._all)

    @property
    def history(self) -> list[dict[str, float]]:
        """A dict a step, with the evaluation's scores where there was one."""
        rows = {step: dict(row) for step, row in self.rows}
        for step, scores in self.evaluations:
            rows.setdefault(step, {"step": step, "epoch": scores["epoch"]}).update(scores)
        return [rows[step] for step in sorted(rows)]

    def columns(self, after: int = -1, evaluated_after: int | None = None) -> dict[str, np.ndarray]:
        """What was recorded after step `after`: "step", "epoch", "loss", "lr"; and "eval_step" with each score.

        evaluated_after: the same for the scores (by default `after`), which may come later than their step's row.
        """
        evaluations = self.evaluations.after(after if evaluated_after is None else evaluated_after)
        rows = self.rows.after(after)
        columns = {name: _column(rows, name) for name in ("step", "epoch", "loss", "lr")}
        columns["eval_step"] = _column(evaluations, "step")
        scores = [name for name in (evaluations[-1][1] if evaluations else {}) if name not in ("step", "epoch")]
        return columns | {name: _column(evaluations, name) for name in scores}

    def add_frame(self, step: int, frame: dict[str, np.ndarray]) -> None:
        """Keep a frame; arrays that did not change since the last one are kept once."""
        before = self.frames.at(step)
        if before is not None:
            for key, array in before[1].items():
                if key in frame and np.array_equal(frame[key], array):
                    frame[key] = array
        self.frames.add(step, frame)

    def cut(self, step: int) -> None:
        """Forget what came after `step`."""
        for series in self._all:
            series.cut(step)

    def copy(self) -> "Recorder":
        """A recorder of its own with the same past; what is recorded is shared, and never changed."""
        twin = Recorder(self.budget)
        twin.rows, twin.evaluations = self.rows.copy(), self.evaluations.copy()
        twin.frames, twin.checkpoints = self.frames.copy(), self.checkpoints.copy()
        return twin

    @property
    def _all(self) -> tuple[Series, ...]:
        return self.rows, self.evaluations, self.frames, self.checkpoints


def _column(rows: list[tuple[int, dict[str, float]]], name: str) -> np.ndarray:
    return np.array([row[name] for _, row in rows], dtype=np.float64)


def frame_bytes(frame: dict[str, np.ndarray], before: dict[str, np.ndarray] | None) -> int:
    """What a frame adds to the one before it, with which it may share arrays."""
    shared = before or {}
    return sum(array.nbytes for key, array in frame.items() if shared.get(key) is not array)
