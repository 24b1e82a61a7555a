"""Runs every test there is, part by part, and says at the end what ran: `make test`, or `make test ARGS="unit js"`."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import nbformat

from labkit.bench.jupyter import chromium, node

ROOT = Path(__file__).resolve().parent.parent
PYTEST = [sys.executable, "-m", "pytest", "-q"]


def run(*command: str | Path, **environment: str) -> str | None:
    """Runs a command in the repository root. Returns what went wrong, or None."""
    code = subprocess.run([str(word) for word in command], cwd=ROOT, env=os.environ | environment).returncode
    return None if code == 0 else f"exit status {code}"


def lint() -> str | None:
    ruff = [sys.executable, "-m", "ruff"]
    checked, formatted = run(*ruff, "check", "."), run(*ruff, "format", "--check", ".")
    return checked or formatted


def types() -> str | None:
    return run(sys.executable, "-m", "mypy")


def unit() -> str | None:
    # Two workers on two cores: a second thread in each would only stand in the way.
    return run(*PYTEST, "-n", "2", "--dist", "worksteal", "--ignore=tests/browser", OMP_NUM_THREADS="1")


def js() -> str | None:
    files = sorted((ROOT / "tests/js").glob("*.test.mjs"))
    return run(node(), "--test", *files) if files else "no tests/js/*.test.mjs"


def notebooks(folder: Path = ROOT / "notebooks") -> str | None:
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary) / "report.xml"
        options = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=120", "-n", "2"]
        options += ["--dist", "loadscope", f"--junitxml={report}", "-o", "junit_family=xunit1"]
        return run(*PYTEST, *options, folder, OMP_NUM_THREADS="1") or uncounted(folder, report)


def uncounted(folder: Path, report: Path) -> str | None:
    """Says which notebooks have cells that did not run and pass: after a timeout they are mere xfails."""
    cells = {path.name: code_cells(path) for path in sorted(folder.glob("*.ipynb"))}
    passed = Counter(
        Path(case.attrib["file"]).name
        for case in ET.parse(report).iter("testcase")
        if not any(child.tag in ("skipped", "failure", "error") for child in case)
    )
    short = [f"{name}: {passed[name]} of {n} code cells passed" for name, n in cells.items() if passed[name] != n]
    print(f"{sum(passed.values())} code cells passed, of {sum(cells.values())} in {len(cells)} notebooks")
    return "; ".join(short) or (None if cells else f"no notebooks in {folder}")


def code_cells(path: Path) -> int:
    return sum(cell.cell_type == "code" for cell in nbformat.read(path, as_version=4).cells)


def browser() -> str | None:
    # Two thirds of a test are the starts of JupyterLab and of a kernel, one core each: two workers keep two cores busy.
    return need_chromium() or run(*PYTEST, "-n", "2", "--dist", "worksteal", "tests/browser", OMP_NUM_THREADS="1")


def need_chromium() -> str | None:
    """Gets a Chromium where there is none: Debian's package, else Playwright's own. Says what is missing."""
    if chromium() is None and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        print("No Chromium found: installing Debian's package ...", flush=True)
        _ = run("apt-get", "-qq", "update") or run(
            *("apt-get", "-qq", "install", "-y", "--no-install-recommends", "chromium"),
            DEBIAN_FRONTEND="noninteractive",
        )
    if chromium() is None:
        print("No Chromium found: asking Playwright for its own ...", flush=True)
        run(sys.executable, "-m", "playwright", "install", "chromium")
    if chromium() is None:
        return "no Chromium: install one (Debian: apt-get install chromium), then call again"
    return None


PARTS = {
    "lint": lint,
    "types": types,
    "unit": unit,
    "js": js,
    "notebooks": notebooks,
    "browser": browser,
}


def main(names: list[str]) -> int:
    unknown = set(names) - set(PARTS)
    if unknown:
        print(f"No part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    lines, failed = [], 0
    for name in names or PARTS:
        print(f"\n== {name} ==", flush=True)
        start = time.monotonic()
        problem = PARTS[name]()
        failed += problem is not None
        lines.append(f"{'ok    ' if problem is None else 'FAILED'} {name:9} {time.monotonic() - start:5.0f} s")
        if problem is not None:
            lines[-1] += f"  {problem}"
    print("\n== what ran ==", *lines, f"parts: {len(lines) - failed} passed, {failed} failed", sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
