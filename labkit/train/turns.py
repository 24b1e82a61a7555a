"""Runs that play at once take turns, so that they do not slow each other down in contention."""

import sys
import threading
import time
from collections import deque

TURN_SECONDS = 0.01
SWITCH_SECONDS = 0.001


class Turns:
    """A queue for one machine: who has the turn keeps it for 10 ms, then the next that waits gets it.

    Two small runs in two threads at once are several times slower than one after the other.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._ends = 0.0

    def enter(self, who: object) -> None:
        """Wait for the turn; at once when `who` still has it or nobody else does."""
        with self._changed:
            if who not in self._queue:
                self._queue.append(who)
                self._ends = time.perf_counter() + TURN_SECONDS
            self._changed.wait_for(lambda: self._queue[0] is who)

    def pass_on(self, who: object) -> None:
        """Give the turn to the next in the queue if this one's time is over."""
        if len(self._queue) > 1 and time.perf_counter() >= self._ends:
            with self._changed:
                if self._queue[0] is who:
                    self._queue.rotate(-1)
                    self._ends = time.perf_counter() + TURN_SECONDS
                    self._changed.notify_all()

    def leave(self, who: object) -> None:
        with self._changed:
            if who in self._queue:
                self._queue.remove(who)
                self._ends = time.perf_counter() + TURN_SECONDS
                self._changed.notify_all()


class QuickSwitching:
    """While anybody is in it, Python's threads hand over after 1 ms and not after 5.

    A cell that computes in pure Python would otherwise take 5 ms between any two operations of a training step, and a
    click on Pause would wait for them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0.0

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = sys.getswitchinterval()
                sys.setswitchinterval(SWITCH_SECONDS)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                sys.setswitchinterval(self._before)
