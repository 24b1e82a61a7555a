"""LayerView: how soon another picture, or a unit switched off, is seen in the whole network."""

from playwright.sync_api import Page

from labkit.bench.browser import with_view
from labkit.bench.playground import DONE, TOOK, WATCH

CELLS = [
    "import torch\nimport labkit\nds = labkit.data.objects(n=50, size=64, seed=0)",
    "model = labkit.models.TinyVGG((3, 64, 64), len(ds.classes), seed=0).eval()\n"
    "view = labkit.widgets.LayerView(model, ds)\nview",
]
READY = "() => document.querySelector('.labkit-view').labkit.fields"
OPEN = "() => document.querySelector('.labkit-view').labkit.page === 'unit'"


def change(rounds: int = 9) -> list[float]:
    """Milliseconds from a click to the drawn answer: in the overview another picture; at an opened unit, in turns, the

    unit switched off or on and another picture.
    """
    with with_view(CELLS) as page:
        page.wait_for_function(READY)  # receptive fields are found once, beside
        times = [_click(page, "Next picture") for _ in range(rounds + 1)][1:]
        page.locator(".ly-unit").nth(30).click()
        page.wait_for_function(OPEN)
        _click(page, "Next picture")
        for i in range(rounds):
            times.append(_click(page, "Switch on" if i % 2 else "Switch off"))
            times.append(_click(page, "Next picture"))
        return times


def _click(page: Page, name: str) -> float:
    button = page.get_by_role("button", name=name)
    button.hover()
    page.evaluate(WATCH, "click")
    button.click()
    page.wait_for_function(DONE)
    return float(page.evaluate(TOOK))
