"""What all views share on the Python side: how they reach the browser, come back at a reload, and fail in the open."""

import threading
import traceback
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import numpy as np
import traitlets as T

from labkit.widgets.assets import module, style
from labkit.widgets.wire import pack

if TYPE_CHECKING:
    from labkit.plots.figure import Figure


class View(anywidget.AnyWidget):
    """A live view: arrays and a small state in Python, drawn by an ES module in the browser.

    A subclass gives `asset` (its file in static/), `everything()`, `figure()`, and an `on_<action>` method for each
    message that its JS sends. `update(...)` sends what changed; `text` says what the view shows.
    """

    asset: ClassVar[str]
    _esm: Any = ""
    _css: Any = ""
    frame = T.Bytes(b"").tag(sync=True, to_json=lambda _value, view: view.snapshot())
    text = T.Unicode("").tag(sync=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "asset" in cls.__dict__:  # not in the classes that traitlets derives when it adds traits
            cls._esm, cls._css = module(cls.asset), style(cls.asset)
        super().__init_subclass__(**kwargs)

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._number = 0  # of the last message: the browser notices a gap and asks for everything
        self._sent: dict[str, np.ndarray] = {}
        self._held: tuple[dict[str, Any], dict[str, np.ndarray]] | None = None  # the next message
        self._answering: int | None = None  # the thread that handles an action, which holds its messages back
        self._said: str | None = None  # the text that waits for the answer to have gone
        self._later: Callable[[], None] | None = None  # the work that does
        self.error: str | None = None
        super().__init__()
        # ipykernel 7.4 sends a click to the shell that last published here; it would wait until a running cell ends.
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = None
        self.on_msg(lambda _view, content, _buffers: self.receive(content, _buffers))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.text}>"

    # ---- to the browser

    def everything(self) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
        """(state, arrays, columns): all that a page needs which has just been loaded. Columns are arrays that grow."""
        raise NotImplementedError

    def figure(self) -> "Figure":
        """What the view shows now, as a Matplotlib figure."""
        raise NotImplementedError

    def snapshot(self) -> bytes:
        """`everything()` in one block of bytes; the value of the trait `frame` whenever a page asks for it."""
        with self._lock:
            self._let_go()
            state, arrays, columns = self.everything()
            header = {"state": {**state, "error": self.error}, "number": self._number, "append": list(columns)}
            return pack({**header, "whole": True}, {**arrays, **columns})

    def update(
        self,
        state: Mapping[str, Any] | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
        append: Mapping[str, np.ndarray] | None = None,
        anew: bool = False,
    ) -> None:
        """One message: changed `state`, `arrays` that replace those of their name, and rows to `append` to columns.

        An array equal to the last one sent under its name stays here. With `anew` the columns begin with these rows.
        """
        with self._lock:
            fresh = {name: array for name, array in (arrays or {}).items() if not self._same(name, array)}
            self._sent.update(fresh)
            rows = {name: array for name, array in (append or {}).items() if anew or len(array)}
            if not (state or fresh or rows):
                return
            self._let_go()
            self._number += 1
            header = {"state": dict(state or {}), "number": self._number, "append": list(rows), "anew": anew}
            self._held = (header, {**fresh, **rows})
            if self._answering != threading.get_ident():
                self._let_go()

    def _let_go(self) -> None:
        """Send the message that is held back, if there is one."""
        if self._held is not None:
            header, arrays = self._held
            self._held = None
            self.send({"kind": "update"}, [pack(header, arrays)])

    def _same(self, name: str, array: np.ndarray) -> bool:
        last = self._sent.get(name)
        if last is None or last.dtype != array.dtype or last.shape != array.shape:
            return False
        return last is array or np.array_equal(_raw(last), _raw(array))

    def say(self, text: str) -> None:
        """Set `text`; during an answer when that has gone: before it, the browser would draw for the text alone."""
        with self._lock:
            answering = self._answering == threading.get_ident()
            self._said = text if answering else None  # what another thread says meanwhile is newer
            if not answering:
                self.text = text

    def later(self, work: Callable[[], None]) -> None:
        """Do `work`, such as an `update` that can wait: during an answer when that has gone, and the last one only."""
        if self._answering == threading.get_ident():
            self._later = work
        else:
            work()

    def fail(self, sentence: str | None) -> None:
        """Show `sentence` in the view as what went wrong (None takes it away)."""
        self.error = sentence
        self.update({"error": sentence})

    # ---- from the browser

    def receive(self, content: Mapping[str, Any], buffers: Iterable[Any] = ()) -> None:
        """Handle one message: {"kind": "hello", "number": n} or {"kind": "do", "action": name, "ticket": n, ...}."""
        if content.get("kind") == "hello":
            if content.get("number") != self._number:
                self.send({"kind": "update"}, [self.snapshot()])
            return
        action = str(content.get("action"))
        arguments = {k: v for k, v in content.items() if k not in ("kind", "action", "ticket")}
        buffers = list(buffers or ())
        if buffers:
            arguments["buffers"] = buffers
        # The last message of an answer also says that it is the answer. Sent after it, by itself, so small a message
        # would wait in the notebook server's socket for up to 40 ms (Nagle's algorithm and delayed acknowledgements).
        self._answering = threading.get_ident()
        try:
            if self.error:
                self.fail(None)
            self._attempt(lambda: getattr(self, f"on_{action}")(**arguments))
        finally:
            self._answering = None
            self._answer(content.get("ticket"))
            with self._lock:
                work, self._later = self._later, None
                if work is not None:
                    self._attempt(work)
                if self._said is not None:
                    self.text, self._said = self._said, None

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.fail(sentence(error))

    def _answer(self, ticket: Any) -> None:
        with self._lock:
            if self._held is None:
                self.update({"answered": ticket})
            else:
                self._held[0]["state"]["answered"] = ticket
                self._let_go()
            self.send({"kind": "push"}, [PUSH])

    def on_broken(self, message: str) -> None:
        """The browser's side failed: keep what it says where Python can read it, and show it."""
        self.fail(f"The picture could not be drawn: {message}")

    # ---- one run per view and cell

    def claim_cell(self) -> None:
        """Retire the views of this class that an earlier execution of the same notebook cell made."""
        cell, execution = _cell()
        if cell is None:
            return
        key = (self.asset, cell)  # not the class: traitlets derives one for each view
        last, views = _CELLS.get(key, (None, []))
        if last != execution:
            for reference in views:
                former = reference()
                if former is not None:
                    former.retire(self)
            views = []
        _CELLS[key] = (execution, [*views, weakref.ref(self)])

    def retire(self, successor: "View") -> None:
        """Stop and let go: the cell that made this view has been run again and shows `successor`."""
        self.close()


def _raw(array: np.ndarray) -> np.ndarray:
    """The bytes of an array, in which NaN equals NaN."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


# Nothing, but a full TCP segment of it, also on the loopback device.
PUSH = bytes(1 << 16)

_CELLS: dict[tuple[str, str], tuple[str, list["weakref.ref[View]"]]] = {}


def _cell() -> tuple[str | None, str]:
    """(what names the notebook cell that runs now, what names this execution); (None, "") outside of a notebook."""
    try:
        from IPython import get_ipython

        parent = get_ipython().kernel.get_parent("shell")
        metadata, content, header = parent.get("metadata", {}), parent.get("content", {}), parent["header"]
    except (ImportError, AttributeError, KeyError):
        return None, ""
    return metadata.get("cellId") or content.get("code"), header["msg_id"]


def sentence(error: BaseException) -> str:
    """An exception as one readable sentence; with the line that raised it where it is not the lab's own error."""
    from labkit.errors import LabkitError

    text = str(error).strip() or type(error).__name__
    if isinstance(error, LabkitError):
        return text
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename.rsplit('/', 1)[-1]}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}{where}"
