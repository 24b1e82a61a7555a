"""Work that takes longer than a frame, done beside the training and the messages."""

import atexit
import threading
import time
import weakref
from collections.abc import Callable

LEAST_REST = 0.4  # seconds
REST = 4.0

_ALL: "weakref.WeakSet[Beside]" = weakref.WeakSet()


class Beside:
    """One thread that does one thing at a time; of each kind only the newest wish waits.

    `failed` is told what a work raised.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._wishes: dict[str, Callable[[], None]] = {}
        self._rest: dict[str, float] = {}
        self._done: set[str] = set()
        self._running = False
        self.ending = False  # work that takes long looks here whether it should stop
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        _ALL.add(self)

    def ask(self, kind: str, work: Callable[[], None]) -> None:
        with self._changed:
            self._wishes[kind] = work
            if not self._running:
                self._running = True
                self._thread = threading.Thread(target=self._run, name="labkit-beside", daemon=True)
                self._thread.start()

    def rested(self, kind: str) -> bool:
        """Whether nothing of this kind waits or runs, and, once done, it has rested four times as long as it took.

        The first time does not count: what it needs was loaded then.
        """
        with self._changed:
            return kind not in self._wishes and time.monotonic() >= self._rest.get(kind, 0.0)

    def finish(self) -> None:
        """Forget what waits, and return when the thread has ended."""
        with self._changed:
            self.ending = True
            self._wishes.clear()
        if self._thread is not None:
            self._thread.join()

    def wait(self) -> None:
        """Until everything that was asked for is done."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._wishes:
                    self._running = False
                    self._changed.notify_all()
                    return
                kind = next(iter(self._wishes))
                work = self._wishes.pop(kind)
                self._rest[kind] = float("inf")
            began = time.monotonic()
            try:
                work()
            except Exception as error:  # shown in the view
                self._failed(error)
            ended = time.monotonic()
            took = ended - began if kind in self._done else 0.0
            self._done.add(kind)
            self._rest[kind] = ended + max(LEAST_REST, REST * took)


@atexit.register
def _finish_all() -> None:
    # A thread inside torch while the interpreter is taken down can crash the process.
    for one in list(_ALL):
        one.finish()
