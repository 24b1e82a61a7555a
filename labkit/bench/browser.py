"""Live views in a real JupyterLab and a real browser: frames, first frame, pause, memory, and what a view costs."""

import json
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from textwrap import dedent

import nbformat
from playwright.sync_api import Locator, Page

from labkit.bench.jupyter import browser, kernel, open_notebook, run_all, server, start_cell
from labkit.errors import UnavailableError

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"

# As in notebook 00: real digits, and the pictures that are predicted beside the curves.
CNN = "labkit.models.LeNet(seed=0), *labkit.data.digits().split()"
# The playground's size: two inputs, two hidden layers of eight.
MLP = 'labkit.models.MLP(2, 2, (8, 8)), *labkit.data.toy("circle").split(test=0.5)'

SETUP = """
import time
import labkit
from labkit.train import Player, Trainer
from labkit.widgets import TrainingView
{probes}

class Watched(Trainer):
    def step(self):
        row = super().step()
        self.ended = time.time()
        return row

trainer = Watched({model}, batch_size=64)
trainer.step()
"""
CNN_PROBES = 'probes = {"pictures": labkit.train.probes.predictions(labkit.data.digits().split()[1], n=24)}'
MLP_PROBES = 'probes = {"weights": labkit.train.probes.weights("linear2")}'
VIEW = "player = Player(trainer, probes=probes)\nview = TrainingView(player)\nview"
BUSY = "end = time.time() + 1.0\nwhile time.time() < end:\n    sum(range(1000))"
VIEW_CELL, BUSY_CELL = 1, 2

DRAWN = """([cell, old]) => {
    const view = document.querySelectorAll('.jp-Notebook .jp-Cell')[cell]?.querySelector('.labkit-view');
    return Boolean(view) && view !== old && (view.labkit?.frames ?? 0) >= 1;
}"""
# Frames drawn a second, over two seconds.
RATE = """async () => {
    const view = document.querySelector('.labkit-view'), count = () => [view.labkit.frames, performance.now()];
    const [frames, start] = count();
    await new Promise(done => setTimeout(done, 2000));
    const [more, end] = count();
    return (more - frames) / (end - start) * 1000;
}"""
CLICK = "button => { const now = performance.timeOrigin + performance.now(); button.click(); return now; }"
STATUS = "status => document.querySelector('.labkit-view').labkit.status === status"


def lab(model: str, probes: str) -> AbstractContextManager[Page]:
    """A JupyterLab with a view of an untrained model; cell 1 makes the view anew, cell 2 computes for a second."""
    return with_view([SETUP.format(model=model, probes=probes).strip(), VIEW, BUSY])


@contextmanager
def with_view(cells: Sequence[str]) -> Iterator[Page]:
    """A JupyterLab in which these cells have run; cell 1 shows a view, which has drawn its first frame."""
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": kernelspec}, cells=[nbformat.v4.new_code_cell(cell) for cell in cells]
    )
    with tempfile.TemporaryDirectory() as root:
        nbformat.write(notebook, Path(root) / "bench.ipynb")
        with server(root) as address, browser() as tab:
            open_notebook(tab.page, address, "bench.ipynb")
            run_all(tab.page)
            tab.page.wait_for_function(DRAWN, arg=[VIEW_CELL, None])
            yield tab.page


def view_cnn() -> list[float]:
    with lab(CNN, CNN_PROBES) as page:
        return view_ratios(page)


def view_mlp() -> list[float]:
    with lab(MLP, MLP_PROBES) as page:
        return view_ratios(page)


def view_ratios(page: Page, rounds: int = 9) -> list[float]:
    """Seconds of the same number of steps with the view on the page over the bare trainer's, in turns."""
    code = f"""
    import json
    def seconds(call):
        start = time.perf_counter(); call(); return time.perf_counter() - start
    def bare(n):
        for _ in range(n): trainer.step()
    steps = int(500 * 1.5 / seconds(lambda: bare(500)))
    pairs = []
    for _ in range({rounds}):
        live = seconds(lambda: player.wait(steps=trainer.step_count + steps))
        pairs.append(live / seconds(lambda: bare(steps)))
    print(json.dumps(pairs))
    """
    page.context.set_default_timeout(300_000)
    return [float(ratio) for ratio in json.loads(kernel(page, dedent(code)))]


def frames_cnn() -> list[float]:
    with lab(CNN, CNN_PROBES) as page:
        return frames(page)


def frames_mlp() -> list[float]:
    with lab(MLP, MLP_PROBES) as page:
        return frames(page)


def frames(page: Page, rounds: int = 5) -> list[float]:
    button(page, "Play").click()
    page.wait_for_function(STATUS, arg="playing")
    return [float(page.evaluate(RATE)) for _ in range(rounds)]


def first_frame(rounds: int = 5) -> list[float]:
    """Seconds from running the cell that makes player and view to the first frame that the view draws."""
    with lab(CNN, CNN_PROBES) as page:
        return [first_drawn(page) for _ in range(rounds)]


def first_drawn(page: Page) -> float:
    old = page.query_selector(".labkit-view")
    start = page.evaluate("() => performance.now()")
    start_cell(page, VIEW_CELL)
    page.wait_for_function(DRAWN, arg=[VIEW_CELL, old], polling="raf")
    return float(page.evaluate("() => performance.now()") - start) / 1000


def pause_idle(rounds: int = 9) -> list[float]:
    with lab(MLP, MLP_PROBES) as page:
        return [pause(page, busy=False) for _ in range(rounds)]


def pause_busy(rounds: int = 9) -> list[float]:
    """The other cell is a loop in Python, which holds the interpreter's lock as often as it can."""
    with lab(MLP, MLP_PROBES) as page:
        return [pause(page, busy=True) for _ in range(rounds)]


def pause(page: Page, busy: bool) -> float:
    """Milliseconds from the click to the end of the last step, both by this machine's clock."""
    button(page, "Play").click()
    page.wait_for_function(STATUS, arg="playing")
    if busy:
        start_cell(page, BUSY_CELL)
        page.wait_for_function("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'")
    clicked = float(button(page, "Pause").evaluate(CLICK))
    page.wait_for_function(STATUS, arg="paused")
    ended = float(kernel(page, "print(trainer.ended)"))
    return max(0.0, ended * 1000 - clicked)


def button(page: Page, name: str) -> Locator:
    return page.locator(".labkit-view").get_by_role("button", name=re.compile(f"^{name}\\b")).first


def memory() -> list[float]:
    """Megabytes that the kernel holds (resident) after all cells of notebook 00."""
    return [after_all_cells("00_start_here")[1]]


def hierarchy_memory() -> list[float]:
    """The same of notebook 07."""
    return [after_all_cells("07_feature_hierarchy")[1]]


def hierarchy_seconds() -> list[float]:
    """Seconds from the start of notebook 07's first cell to the end of its last, in a kernel that was just started."""
    return [after_all_cells("07_feature_hierarchy")[0]]


def saliency_memory() -> list[float]:
    """As `memory`, of notebook 10."""
    return [after_all_cells("10_saliency")[1]]


def saliency_seconds() -> list[float]:
    """As `hierarchy_seconds`, of notebook 10."""
    return [after_all_cells("10_saliency")[0]]


def after_all_cells(name: str) -> tuple[float, float]:
    """(seconds, the kernel's megabytes) that a notebook takes from top to bottom."""
    notebook = NOTEBOOKS / f"{name}.ipynb"
    if not notebook.exists():
        raise UnavailableError(f"Expected the notebook {notebook.name}, it is not here. Run this in a checkout.")
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / notebook.name).write_bytes(notebook.read_bytes())
        with server(root) as address, browser() as tab:
            open_notebook(tab.page, address, notebook.name)
            start = time.perf_counter()
            run_all(tab.page)
            seconds = time.perf_counter() - start
            return seconds, float(kernel(tab.page, "import psutil; print(psutil.Process().memory_info().rss / 1e6)"))
