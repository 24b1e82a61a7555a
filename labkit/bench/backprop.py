"""BackpropView: how soon a dragged number's effect on all others is seen."""

from labkit.bench.browser import with_view
from labkit.bench.playground import DONE, TOOK, WATCH

CELLS = [
    "import torch\nfrom torch import nn\nfrom labkit.widgets import BackpropView\ntorch.manual_seed(0)",
    "model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))\n"
    "view = BackpropView(model, torch.randn(8, 2), torch.randn(8))\nview.minibatch = True\nview",
]


def drag(rounds: int = 21) -> list[float]:
    """Milliseconds from a pointer's move to the drawn answer of the kernel, in a network of 18 weights, 8 examples."""
    with with_view(CELLS) as page:
        boxes = page.locator(".bp-node[data-moves=yes]")
        times = []
        for i in range(rounds):
            box = boxes.nth(i % boxes.count())
            box.scroll_into_view_if_needed()
            box.hover()
            place = box.bounding_box()
            assert place is not None
            x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
            page.mouse.down()
            page.evaluate(WATCH, "pointermove")
            page.mouse.move(x, y - 12 - i)
            page.wait_for_function(DONE)
            times.append(float(page.evaluate(TOOK)))
            page.mouse.up()
        return times
