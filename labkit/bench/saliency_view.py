"""SaliencyView: how soon a change of the picture is seen in all quick maps."""

from labkit.bench.browser import with_view
from labkit.bench.playground import DONE, TOOK, WATCH

CELLS = [
    "import torch\nimport labkit\nds = labkit.data.objects(n=50, size=64, seed=0)",
    "model = labkit.models.TinyVGG((3, 64, 64), len(ds.classes), seed=0).eval()\n"
    "view = labkit.widgets.SaliencyView(model, ds)\nview",
]
SETTLED = "() => document.querySelector('.labkit-view').labkit.settled"
PLACE = "paper => { const b = paper.getBoundingClientRect(); return [b.left, b.top + b.height / 2, b.width]; }"


def change(rounds: int = 9) -> list[float]:
    """Milliseconds from a click on the picture, which erases there, to the drawn answer with the quick maps.

    What takes longer is computed afterwards, and is waited for between two clicks.
    """
    times = []
    with with_view(CELLS) as page:
        page.wait_for_function(SETTLED)
        left, middle, width = page.locator(".sal-paper").evaluate(PLACE)
        for i in range(rounds + 2):  # the first show how long each method takes
            page.mouse.move(left + width * (0.2 + 0.06 * i), middle)
            page.evaluate(WATCH, "pointerdown")
            page.mouse.down()
            page.wait_for_function(DONE)
            times.append(float(page.evaluate(TOOK)))
            page.mouse.up()
            page.wait_for_function(SETTLED)
    return times[2:]
