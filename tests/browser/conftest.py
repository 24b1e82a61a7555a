"""Fixtures for tests in a real JupyterLab: `open_notebook(...)` gives a page whose kernel is ready."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect

from labkit.bench import jupyter

expect.set_options(timeout=60_000)  # as long as a page waits: a busy machine is no failure

KERNELSPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Jupyter server serves: notebooks are copied here, so that none in the checkout is changed."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="session")
def lab(folder: Path) -> Iterator[str]:
    """The address of a JupyterLab on `folder`."""
    with jupyter.server(folder) as address:
        yield address


@pytest.fixture(scope="session")
def chrome() -> Iterator[Browser]:
    """The Chromium that all tests share; each has a tab of its own, and what belongs to it."""
    with jupyter.chrome() as started:
        yield started


@pytest.fixture
def tab(lab: str, chrome: Browser, request: pytest.FixtureRequest) -> Iterator[jupyter.Tab]:
    """A page of its own. `@pytest.mark.parametrize("tab", [{"dark": True}], indirect=True)` sets its options.

    At the end nothing may have asked for an outside host, and no error may stand in the console; a test that
    provokes one clears `tab.console`.
    """
    try:
        with jupyter.tab(chrome, **getattr(request, "param", {})) as tab:
            yield tab
            assert tab.blocked == []
            assert tab.console == []
    finally:
        jupyter.end_kernels(lab)


@pytest.fixture
def open_notebook(lab: str, folder: Path, tab: jupyter.Tab, request: pytest.FixtureRequest) -> Callable[..., Page]:
    """open_notebook(path) opens a copy of a notebook, open_notebook(cells=[...]) one with these code cells."""

    def opened(path: Path | None = None, cells: list[str] | None = None) -> Page:
        name = f"{request.node.name.replace('[', '-').replace(']', '')}.ipynb"
        if path is not None:
            shutil.copy(path, folder / name)
        else:
            made = [nbformat.v4.new_code_cell(cell) for cell in cells or []]
            nbformat.write(nbformat.v4.new_notebook(metadata={"kernelspec": KERNELSPEC}, cells=made), folder / name)
        jupyter.open_notebook(tab.page, lab, name)
        return tab.page

    return opened
