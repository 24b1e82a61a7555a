"""How long FeatureView takes to open."""

from labkit.bench.browser import VIEW_CELL, with_view
from labkit.bench.jupyter import start_cell

SETUP = "import labkit\nds = labkit.data.objects(1000)"
VIEW = """model = labkit.zoo.load("objects_cnn")
view = labkit.widgets.FeatureView(model, ds, checkpoints=labkit.zoo.training("objects_cnn"))
view"""
# Drawn with a top patch for each unit, not only the frame around them.
SHOWS = """([cell, old]) => {
    const view = document.querySelectorAll('.jp-Notebook .jp-Cell')[cell]?.querySelector('.labkit-view');
    return Boolean(view) && view !== old && Boolean(view.labkit?.content);
}"""


def opened(rounds: int = 5) -> list[float]:
    """Seconds from running the cell that loads the model and makes the view to the first patches on its wall."""
    with with_view([SETUP, VIEW]) as page:
        samples = []
        for _ in range(rounds):
            old = page.query_selector(".labkit-view")
            start = page.evaluate("() => performance.now()")
            start_cell(page, VIEW_CELL)
            page.wait_for_function(SHOWS, arg=[VIEW_CELL, old], polling="raf")
            samples.append(float(page.evaluate("() => performance.now()") - start) / 1000)
        return samples
