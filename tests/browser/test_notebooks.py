"""The notebooks in a real JupyterLab, from top to bottom."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from labkit.bench.jupyter import kernel, run_all

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
# As many views have been drawn and pictures are there as the outputs of a cell say.
DRAWN = """index => {
    const cell = jupyterapp.shell.currentWidget.content.widgets[index];
    if (cell.model.type !== 'code') return true;
    const data = cell.model.outputs.toJSON().map(output => output.data ?? {});
    const views = data.filter(one => one['application/vnd.jupyter.widget-view+json']).length;
    const pictures = data.filter(one => String(one['text/html'] ?? '').startsWith('<img')).length;
    const drawn = [...cell.node.querySelectorAll('.labkit-view')].filter(view => view.labkit?.frames > 0);
    return drawn.length >= views && cell.node.querySelectorAll('.jp-OutputArea-output img').length >= pictures;
}"""


@pytest.mark.parametrize(
    ("name", "views", "asked", "true"),
    [
        (
            "00_start_here",
            {"training", "drawpad"},
            "player.trainer.step_count, faster.trainer.step_count, pad.prediction",
            "(300, 300, '3')",
        ),
        (
            "01_features_or_learning",
            {"training"},
            "player.trainer.step_count, bool(many['network'] > many['regression']), sorted(scores)",
            "(400, True, ['aggregates', 'last payment', 'network'])",
        ),
        (
            "02_neurons_and_layers",
            {"playground"},
            "[v.trainer.step_count for v in (one, single, hidden)], len(spiral.players), fast.player.status",
            "([500, 1000, 1000], 2, 'finished')",
        ),
        (
            "03_forward_and_backward",
            {"backprop"},
            "view.steps, view.minibatch, view.kind, view.losses[-1] < view.losses[0]",
            "(60, True, 'scalar', True)",
        ),
        (
            "04_gradient_descent",
            {"optimizers", "ensemble", "landscape"},
            "player.trainer.step_count, several.step_count, landscape.landscape.share > 0.8",
            "(1000, 400, True)",
        ),
        (
            "05_depth",
            {"flow"},
            "faded.trainer.step_count, player.trainer.step_count, len(ill), any(well.values())",
            "(100, 40, 4, False)",
        ),
        (
            "06_convolution",
            {"convolution", "layer"},
            "tuple(view.output.shape), things.classes[layers.probabilities.argmax()], len(numbers), plain, strided",
            "((1, 16, 16), 'boat', 9, (7, 7), (11, 11))",
        ),
        (
            "07_feature_hierarchy",
            {"features"},
            "wall.step, wall.layers, steps[-1], int(on_wheels.sum()), learning.shape",
            "(948, ['relu1_2', 'relu2_2', 'relu3_2'], 948, 3, (5, 3))",
        ),
        (
            "10_saliency",
            {"saliency"},
            "view.methods[:2], view.target == car, right['cheater', 'plain'], sorted(nets), len(board.methods)",
            "(['gradient', 'smoothgrad'], True, 0.0, ['A', 'B', 'C'], 6)",
        ),
    ],
)
def test_from_top_to_bottom(open_notebook, name, views, asked, true):
    page = open_notebook(NOTEBOOKS / f"{name}.ipynb")
    run_all(page)
    assert kernel(page, asked) == true
    # JupyterLab draws only the cells near the screen: go to each, and wait for what it is to show.
    seen: set[str] = set()
    alt: list[str] = []
    for index in range(page.evaluate("() => jupyterapp.shell.currentWidget.content.widgets.length")):
        page.evaluate("i => jupyterapp.shell.currentWidget.content.scrollToItem(i, 'start')", index)
        page.wait_for_function(DRAWN, arg=index)
        seen |= set(page.evaluate("() => [...document.querySelectorAll('.labkit-view')].map(v => v.dataset.view)"))
        alt += page.evaluate("() => [...document.querySelectorAll('.jp-OutputArea-output img')].map(i => i.alt)")
    assert seen == views
    expect(page.get_by_text("Not tried yet").first).to_be_visible()
    assert alt
    assert all(alt)
