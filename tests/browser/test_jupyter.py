"""The helpers themselves: a cell has run when they say so, errors surface, outside hosts stay out."""

import pytest

from labkit.bench import jupyter
from labkit.bench.jupyter import CellError, errors, eventually, kernel, reload, run_all, run_cell


def test_runs_all_cells_to_their_end_every_time(open_notebook):
    page = open_notebook(
        cells=["import time; n = globals().get('n', 0) + 1", "", "time.sleep(0.3)", "time.sleep(0.3); m = n"]
    )
    for times in range(1, 7):
        run_all(page)
        assert kernel(page, "print(m)") == f"{times}\n"
    run_cell(page, 0)
    assert kernel(page, "(n, m)") == "(7, 6)"
    reload(page)
    assert kernel(page, "(n, m)") == "(7, 6)"


def test_a_failing_cell_is_an_error_that_names_it(open_notebook):
    page = open_notebook(cells=["x = 1", "x / 0", "x = 2"])
    with pytest.raises(CellError, match="cell 1: ZeroDivisionError: division by zero"):
        run_all(page)
    assert errors(page) == [(1, "ZeroDivisionError", "division by zero")]
    with pytest.raises(CellError, match="NameError"):
        kernel(page, "y")
    eventually(page, "x", "1")
    with pytest.raises(CellError, match="expected the answer 2 within 0 s, the last was 1"):
        eventually(page, "x", "2", timeout=0)


def test_a_cell_that_takes_too_long_is_an_error(open_notebook):
    page = open_notebook(cells=["import time; time.sleep(30)"])
    with pytest.raises(CellError, match="cells still run after 1 s"):
        run_all(page, timeout=1)


def test_a_widget_appears_and_answers(open_notebook):
    page = open_notebook(
        cells=["import ipywidgets as w\nb = w.Button(description='Go'); clicks = []\nb.on_click(clicks.append); b"]
    )
    run_all(page)
    page.get_by_role("button", name="Go").click()
    page.wait_for_function(jupyter.READY)
    assert kernel(page, "len(clicks)") == "1"


@pytest.mark.parametrize("tab", [{"dark": True, "scale": 2, "reduced_motion": True, "touch": True}], indirect=True)
def test_the_browsers_options_arrive(open_notebook, tab):
    page = open_notebook(cells=["1"])
    asked = ["(prefers-color-scheme: dark)", "(prefers-reduced-motion: reduce)", "(min-resolution: 2dppx)"]
    assert page.evaluate("queries => queries.map(q => matchMedia(q).matches)", asked) == [True] * 3
    assert page.evaluate("() => navigator.maxTouchPoints") > 0


def test_outside_hosts_are_blocked_and_recorded(open_notebook, tab):
    page = open_notebook(cells=["1"])
    assert page.evaluate("() => fetch('https://example.org/x').then(() => 'came', () => 'blocked')") == "blocked"
    assert tab.blocked == ["https://example.org/x"]
    assert len(tab.console) == 1
    tab.blocked.clear()
    tab.console.clear()
