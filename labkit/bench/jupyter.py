"""A real JupyterLab and a real headless Chromium: what the browser tests and the browser figures drive.

    with server(folder) as lab, browser() as tab:
        open_notebook(tab.page, lab, "nb.ipynb")
        run_all(tab.page)
        print(kernel(tab.page, "print(player.position)"))

Several tabs may share one Chromium: `with chrome() as started, tab(started) as first, tab(started) as second: ...`.

Everything waits for states, nothing sleeps. All hosts but this machine are blocked; `tab.blocked` says what was tried.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import playwright
from playwright.sync_api import Browser, Locator, Page, Request, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from labkit.errors import UnavailableError

TOKEN = "labkit"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No other host has an address. (Playwright's interception leaves sockets out, and costs a turn for each request.)
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
HERE = ("http://127.0.0.1:", "http://localhost:", "data:", "blob:", "file:")


class CellError(Exception):
    """A cell, or code sent to the kernel, raised."""


@dataclass
class Tab:
    """A page, with the outside addresses that it tried and its console's errors so far."""

    page: Page
    blocked: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)


def chromium() -> str | None:
    """The path of a Chromium: one on PATH, else Playwright's own, else None."""
    for name in CHROMIUM_NAMES:
        path = shutil.which(name)
        # A snap sees neither the profile that Playwright makes nor its pipe.
        if path and b"/snap/" not in Path(path).resolve().read_bytes()[:4096] and "snap" not in path:
            return path
    with sync_playwright() as driver:
        own = driver.chromium.executable_path
    return own if Path(own).exists() else None


def node() -> Path:
    """The Node that Playwright's wheel carries: what `node --test` runs with."""
    return Path(playwright.__file__).parent / "driver" / ("node.exe" if os.name == "nt" else "node")


@contextmanager
def server(
    root: str | Path,
    dark: bool = False,
    app: Literal["lab", "notebook"] = "lab",
    environment: dict[str, str] | None = None,
) -> Iterator[str]:
    """A Jupyter server on `root`, with settings, kernels and workspaces of its own. Yields its address.

    It asks no news and no updates, and saves nothing by itself. `environment` goes on to the kernels.
    """
    with tempfile.TemporaryDirectory(prefix="labkit-", ignore_cleanup_errors=True) as temporary, ExitStack() as stack:
        base, port = Path(temporary), free_port()
        settings = {
            "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
            "apputils-extension/themes": {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"},
            "docmanager-extension/plugin": {"autosave": False},
        }
        for name, value in settings.items():
            path = base / "settings/@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value))
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        variables = os.environ | {name: str(base / folder) for name, folder in folders.items()}
        expose = "LabApp" if app == "lab" else "JupyterNotebookApp"
        log = stack.enter_context(open(base / "log", "w"))
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab" if app == "lab" else "notebook"),
                *("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"),
                *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={Path(root).resolve()}"),
                *(f"--{expose}.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=variables | (environment or {}),
        )
        stack.callback(stop, process)
        address = f"http://127.0.0.1:{port}"
        wait_for(address, process, base / "log")
        yield address


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(address: str, process: "subprocess.Popen[bytes]", log: Path, timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/api/status?token={TOKEN}", timeout=2):
                return
        except OSError:
            time.sleep(0.05)  # there is no state to wait on before it answers
    raise UnavailableError(f"Expected a Jupyter server to answer; its log ends with:\n{log.read_text()[-2000:]}")


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends the server; it ends its kernels."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def chrome() -> Iterator[Browser]:
    """A headless Chromium that reaches no other machine. One at a time in a process."""
    path = chromium()
    if path is None:
        raise UnavailableError("Expected a Chromium, found none. Install one (Debian: apt-get install chromium).")
    with (
        sync_playwright() as driver,
        closing(driver.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))) as started,
    ):
        yield started


@contextmanager
def tab(
    started: Browser,
    width: int = 1280,
    height: int = 900,
    dark: bool = False,
    scale: float = 1,
    reduced_motion: bool = False,
    touch: bool = False,
) -> Iterator[Tab]:
    """A page with cookies, storage and cache of its own. `scale` is device pixels a CSS pixel."""
    with closing(
        started.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            device_scale_factor=scale,
            reduced_motion="reduce" if reduced_motion else "no-preference",
            has_touch=touch,
        )
    ) as context:
        context.set_default_timeout(60_000)
        tab = Tab(context.new_page())

        def asked(request: Request) -> None:
            if not request.url.startswith(HERE):
                tab.blocked.append(request.url)

        context.on("request", asked)
        tab.page.on("console", lambda said: tab.console.append(said.text) if said.type == "error" else None)
        tab.page.on("pageerror", lambda error: tab.console.append(str(error)))
        yield tab


@contextmanager
def browser(**options: Any) -> Iterator[Tab]:
    """A Chromium of its own with one page; `options` as of `tab`."""
    with chrome() as started, tab(started, **options) as opened:
        yield opened


PANEL = "window.jupyterapp?.shell?.currentWidget"
READY = f"""() => {{
    const panel = {PANEL}, kernel = panel?.sessionContext?.session?.kernel;
    return panel?.content?.widgets?.length && kernel?.status === 'idle' && kernel?.connectionStatus === 'connected';
}}"""
# Done: no cell waits or runs, and each has a count, or one failed (then JupyterLab drops those after it).
DONE = f"""() => {{
    const source = c => c.model.sharedModel.getSource().trim();
    const cells = {PANEL}.content.widgets.filter(c => c.model.type === 'code' && source(c));
    const failed = c => c.model.outputs.toJSON().some(o => o.output_type === 'error');
    const idle = {PANEL}.sessionContext.session?.kernel?.status === 'idle';
    const still = cells.every(c => (c.model.sharedModel.executionState ?? 'idle') === 'idle');
    return idle && still && (cells.every(c => c.model.executionCount !== null) || cells.some(failed));
}}"""
ERRORS = f"""() => {PANEL}.content.widgets.flatMap((cell, index) => cell.model.type !== 'code' ? [] :
    cell.model.outputs.toJSON().filter(o => o.output_type === 'error').map(o => [index, o.ename, o.evalue]))"""
EXECUTE = f"""async code => {{
    const future = {PANEL}.sessionContext.session.kernel.requestExecute({{code, store_history: false}});
    let text = '';
    future.onIOPub = message => {{
        const {{content, header}} = message;
        if (header.msg_type === 'stream') text += content.text;
        if (header.msg_type === 'execute_result') text += content.data['text/plain'];
    }};
    const reply = (await future.done).content;
    return {{text, error: reply.status === 'ok' ? null : `${{reply.ename}}: ${{reply.evalue}}`}};
}}"""


HOLD = """
import threading
gate, passes = threading.Condition(), lambda message: False
def receive(*message):
    with gate:
        gate.wait_for(lambda: passes(message[0]), 60)
    type({view}).receive({view}, *message)
{view}.receive = receive
"""
LET_GO = "passes = lambda message: True\nwith gate: gate.notify_all()"


def open_notebook(page: Page, address: str, path: str, app: Literal["lab", "notebook"] = "lab") -> None:
    """Opens a notebook (its path below the server's root) and waits until its kernel is idle."""
    where = f"lab/tree/{path}?reset&token={TOKEN}" if app == "lab" else f"notebooks/{path}?token={TOKEN}"
    page.goto(f"{address}/{where}")
    page.wait_for_function(READY)
    if app == "lab":
        page.evaluate("() => window.jupyterapp.shell.collapseLeft()")


def reload(page: Page) -> None:
    """Reloads the page and waits until the notebook is connected to its kernel again."""
    page.reload()
    page.wait_for_function(READY)


def run_all(page: Page, timeout: float = 180) -> None:
    """Runs all cells and waits until each has run. A cell that raises is a CellError. `timeout` in seconds."""
    clear = f"() => {PANEL}.content.widgets.forEach(c => c.model.type === 'code' && c.model.clearExecution())"
    page.evaluate(clear)
    page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    finish(page, timeout)


def start_cell(page: Page, index: int) -> None:
    """Starts the cell at `index` (Markdown cells count) and does not wait for it."""
    page.evaluate(
        f"""index => {{
            const notebook = {PANEL}.content;
            notebook.deselectAll();
            notebook.activeCellIndex = index;
            notebook.activeCell.model.clearExecution?.();
            void window.jupyterapp.commands.execute('notebook:run-cell');
        }}""",
        index,
    )


def run_cell(page: Page, index: int, timeout: float = 60) -> None:
    """Runs the cell at `index` and waits until it has run. A CellError when it raises."""
    start_cell(page, index)
    page.wait_for_function(
        f"index => {PANEL}.content.widgets[index].model.executionCount !== null", arg=index, timeout=timeout * 1000
    )
    page.wait_for_function(READY, timeout=timeout * 1000)
    raise_errors([error for error in errors(page) if error[0] == index])


def finish(page: Page, timeout: float = 180) -> None:
    """Waits until every cell has run; raises a CellError when one raised."""
    try:
        page.wait_for_function(DONE, timeout=timeout * 1000)
    except PlaywrightTimeout as error:
        raise CellError(f"cells still run after {timeout} s; errors so far: {errors(page)}") from error
    raise_errors(errors(page))


def raise_errors(found: list[tuple[int, str, str]]) -> None:
    if found:
        raise CellError("; ".join(f"cell {index}: {name}: {text}" for index, name, text in found))


def errors(page: Page) -> list[tuple[int, str, str]]:
    """What the notebook's cells raised: (index, error's name, message)."""
    return [(index, name, text) for index, name, text in page.evaluate(ERRORS)]


def answered(page: Page) -> None:
    """Waits until the kernel has answered all that the page's views have asked it, also what they send with a frame."""
    page.evaluate("() => new Promise(requestAnimationFrame)")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.labkit-view')].every(view => !view.labkit?.unanswered)"
    )


def kernel(page: Page, code: str) -> str:
    """Runs code in the notebook's kernel and returns what it printed.

    It comes after the cell that runs now and all that the page's views have asked for: what a click does is done.
    """
    answered(page)
    return execute(page, code)


def execute(page: Page, code: str) -> str:
    """The same without waiting for the views."""
    reply: dict[str, Any] = page.evaluate(EXECUTE, code)
    if reply["error"]:
        raise CellError(f"{reply['error']}\n{code}")
    return str(reply["text"])


def eventually(page: Page, code: str, expected: str, timeout: float = 60) -> None:
    """Asks the kernel until it answers `expected`, as printed; a CellError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while (answer := kernel(page, code)) != expected:
        if time.monotonic() > deadline:
            raise CellError(f"expected the answer {expected} within {timeout} s, the last was {answer}\n{code}")


def press_at_once(locator: Locator, *keys: str) -> None:
    """Presses keys ("ArrowDown", "Shift+ArrowDown") on an element with no moment between them, as no hand can.

    The kernel cannot have answered one before the next. What the browser itself does with a key does not happen.
    """
    strokes = [{"key": key.removeprefix("Shift+"), "shiftKey": key.startswith("Shift+")} for key in keys]
    locator.evaluate(
        """(element, strokes) => {
            element.focus();
            const same = {bubbles: true, cancelable: true};
            for (const stroke of strokes) element.dispatchEvent(new KeyboardEvent('keydown', {...stroke, ...same}));
        }""",
        strokes,
    )


@contextmanager
def late(page: Page, view: str = "view") -> Iterator[None]:
    """Inside, the kernel's `view` leaves messages from the page unread, but those for which its `passes` is true.

    They wait in their own thread, so that they are read in their order.
    """
    execute(page, HOLD.format(view=view))
    yield
    execute(page, f"del {view}.receive\n{LET_GO}")
    answered(page)


def end_kernels(address: str) -> None:
    """Ends all kernels of a server. Call it when no page is open: an open one would complain."""
    with urllib.request.urlopen(f"{address}/api/sessions?token={TOKEN}") as reply:
        sessions = json.load(reply)
    for session in sessions:
        url = f"{address}/api/sessions/{session['id']}?token={TOKEN}"
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()
