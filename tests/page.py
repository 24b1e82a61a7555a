"""What a browser's page would know of a view, without a browser."""

import numpy as np

from labkit.widgets import View
from labkit.widgets.wire import unpack


class Page:
    """What a browser's page would know: it takes in a view's messages as static/link.js does."""

    def __init__(self, view: View) -> None:
        self.state: dict = {}
        self.arrays: dict = {}
        self.messages = 0
        self.bytes = 0
        self.fresh: list[str] = []
        self.kinds: list[str] = []  # of all messages, in order
        with view._lock:  # what a thread of the view sends comes after its snapshot
            view.send = self.receive
            self.take(view.snapshot())

    def receive(self, content: dict, buffers: list) -> None:
        self.kinds.append(content["kind"])
        if content["kind"] == "update":
            self.take(buffers[0])

    def take(self, block: bytes) -> None:
        header, arrays = unpack(block)
        if header.get("whole"):
            self.state, self.arrays, self.number = {}, {}, header["number"] - 1
        assert header["number"] == self.number + 1
        self.number = header["number"]
        self.state.update(header["state"])
        self.fresh += [name for name in arrays if name not in header["append"]]
        for name, array in arrays.items():
            if name in header["append"] and not header.get("anew") and name in self.arrays:
                array = np.concatenate([self.arrays[name], array])
            self.arrays[name] = array
        self.messages += 1
        self.bytes += len(block)

    def columns(self, number: int) -> dict:
        return {k.split(".")[1]: v for k, v in self.arrays.items() if k.startswith(f"{number}.")}
