"""`make test` itself: notebooks whose cells do not all run and pass make it fail, and so does any part."""

from pathlib import Path

import nbformat
import pytest
import run

KERNELSPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}


def write(path: Path, *cells: str) -> None:
    made = [nbformat.v4.new_markdown_cell("# title"), *map(nbformat.v4.new_code_cell, cells)]
    nbformat.write(nbformat.v4.new_notebook(metadata={"kernelspec": KERNELSPEC}, cells=made), path)


def test_cells_that_pass_are_counted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "good.ipynb", "x = 1", "assert x == 1")
    write(tmp_path / "other.ipynb", "print(2)")
    assert run.notebooks(tmp_path) is None
    assert "3 code cells passed, of 3 in 2 notebooks" in capfd.readouterr().out


def test_a_cell_that_raises_fails(tmp_path: Path) -> None:
    write(tmp_path / "bad.ipynb", "x = 1", "assert x == 2")
    assert run.notebooks(tmp_path) == "exit status 1"


def test_a_skipped_cell_fails(tmp_path: Path) -> None:
    write(tmp_path / "skipped.ipynb", "x = 1", "# NBVAL_SKIP\nassert x == 2")
    assert run.notebooks(tmp_path) == "skipped.ipynb: 1 of 2 code cells passed"


def test_cells_after_a_timeout_count_as_not_run(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    write(tmp_path / "slow.ipynb", "1", "2", "3")
    report.write_text(
        '<testsuites><testsuite><testcase file="slow.ipynb" name="0"/><testcase file="slow.ipynb" name="1">'
        '<skipped type="pytest.xfail" message=""/></testcase></testsuite></testsuites>'
    )
    assert run.uncounted(tmp_path, report) == "slow.ipynb: 1 of 3 code cells passed"


def test_no_notebook_at_all_fails(tmp_path: Path) -> None:
    assert run.notebooks(tmp_path) == "exit status 5"


def test_every_part_runs_and_one_failure_fails_all(monkeypatch, capsys) -> None:
    monkeypatch.setattr(run, "PARTS", {"a": lambda: None, "b": lambda: "exit status 1", "c": lambda: None})
    assert run.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[-4:-1]] == [["ok", "a"], ["FAILED", "b"], ["ok", "c"]]
    assert lines[-1] == "parts: 2 passed, 1 failed"
    assert run.main(["a"]) == 0


def test_unknown_part(capsys) -> None:
    assert run.main(["units"]) == 2
    assert "No part units; there are lint, types, unit, js, notebooks, browser." in capsys.readouterr().err


def test_chromium_is_asked_for_where_there_is_none(monkeypatch) -> None:
    called = []
    monkeypatch.setattr(run, "chromium", lambda: None)
    monkeypatch.setattr(run, "run", lambda *command, **environment: called.append(command[0:2]) or "exit status 1")
    monkeypatch.setattr(run.os, "geteuid", lambda: 0)
    monkeypatch.setattr(run.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert run.need_chromium() == "no Chromium: install one (Debian: apt-get install chromium), then call again"
    assert called == [("apt-get", "-qq"), (run.sys.executable, "-m")]
