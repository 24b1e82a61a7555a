"""Notebook 00 in a real JupyterLab, from top to bottom."""

from pathlib import Path

from playwright.sync_api import expect

from labkit.bench.jupyter import kernel, run_all

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks/00_start_here.ipynb"


def test_from_top_to_bottom(open_notebook):
    page = open_notebook(NOTEBOOK)
    run_all(page)
    assert kernel(page, "player.trainer.step_count, faster.trainer.step_count, pad.prediction") == "(300, 300, '3')"
    page.wait_for_function(
        "() => [...document.querySelectorAll('.labkit-view')].filter(v => v.labkit?.frames > 0).length >= 1"
    )
    # JupyterLab draws only the cells near the screen: go to each view.
    seen = set()
    for index in range(page.evaluate("() => jupyterapp.shell.currentWidget.content.widgets.length")):
        page.evaluate("i => jupyterapp.shell.currentWidget.content.scrollToItem(i, 'start')", index)
        seen |= set(page.evaluate("() => [...document.querySelectorAll('.labkit-view')].map(v => v.dataset.view)"))
    assert seen == {"training", "drawpad"}
    expect(page.get_by_text("Not tried yet").first).to_be_visible()
    alt = page.evaluate("() => [...document.querySelectorAll('.jp-OutputArea-output img')].map(i => i.alt)")
    assert alt
    assert all(alt)
