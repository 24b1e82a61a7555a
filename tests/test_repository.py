"""The repository as a whole: rooms and imports, versions, environments, notebooks, README."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import import_module, metadata
from pathlib import Path
from statistics import median

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import labkit

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ADDRESS = PROJECT["urls"]["Repository"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# The oldest patch release of each that is met: Debian 12 has 3.11.2.
PYTHONS = ("3.11.2", "3.12.0", "3.13.0")

# Who may import whom within labkit. Every room may import labkit.errors.
EVERYTHING = {"*"}
MAY_IMPORT: dict[str, set[str]] = {
    "device": set(),
    "data": set(),
    "models": set(),
    "plots": set(),
    "activations": set(),
    "train": {"device"},
    "features": {"activations", "device"},
    "saliency": {"activations", "device"},
    "playground": {"data", "device", "models", "train"},
    "zoo": {"models", "device", "data", "train"},  # the last two to make its models again
    "widgets": {"train", "activations", "features", "saliency", "plots", "data", "models", "playground", "device"},
    "exercises": EVERYTHING,  # the solutions; the checks themselves import nothing
    "doctor": EVERYTHING,
    "bench": EVERYTHING,
    "cli": EVERYTHING,
    "errors": set(),
    "": {
        "activations",
        "data",
        "device",
        "exercises",
        "features",
        "models",
        "playground",
        "plots",
        "saliency",
        "train",
        "widgets",
        "zoo",
    },
}

# The first code cell of every notebook, word for word. On Colab it installs the lab; elsewhere it is there.
SETUP_CELL = f"""\
try:
    import labkit
except ImportError:  # on Colab
    %pip install -q git+{ADDRESS}
    import labkit

labkit.setup(seed=0)"""


def tracked() -> list[Path]:
    """The files that git has or would take; in an export without git, all but what is made here."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        made = {".venv", ".git", "__pycache__", ".ipynb_checkpoints"}
        return [p for p in ROOT.rglob("*") if p.is_file() and not made & set(p.relative_to(ROOT).parts)]
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


# Rooms and imports


def room_of(path: Path) -> str:
    """labkit/data/points.py -> data, labkit/device.py -> device, labkit/__init__.py -> ''."""
    first = path.relative_to(ROOT / "labkit").parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imports_of(source: str, package: str) -> set[str]:
    """The labkit modules that a source imports anywhere in it, as dotted names below labkit."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names} if base == "labkit" else {base}
    return {name.removeprefix("labkit.") for name in found if name.startswith("labkit.")}


def rooms_imported() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for path in sorted((ROOT / "labkit").rglob("*.py")):
        room = room_of(path)
        package = ".".join(path.relative_to(ROOT).parent.parts)
        names = {name.split(".")[0] for name in imports_of(path.read_text(encoding="utf-8"), package)}
        graph.setdefault(room, set()).update(
            name for name in names if (ROOT / "labkit" / name).exists() or (ROOT / "labkit" / f"{name}.py").exists()
        )
        graph[room].discard(room)
    return graph


def test_imports_are_read_as_python_reads_them() -> None:
    source = "import labkit.device\nfrom labkit import data, setup\nfrom labkit.train.player import Player\n"
    source += "def f():\n    from labkit import plots\n    from . import probes\n    from ..errors import DataError\n"
    assert imports_of(source, "labkit.train") == {
        "device",
        "data",
        "setup",
        "train.player",
        "plots",
        "train",
        "errors",
    }


def test_each_room_imports_only_what_it_may() -> None:
    graph = rooms_imported()
    assert set(graph) <= set(MAY_IMPORT), "a new room: say here what it may import"
    wrong = {
        room: sorted(imported - MAY_IMPORT[room] - {"errors"})
        for room, imported in graph.items()
        if MAY_IMPORT[room] is not EVERYTHING and imported - MAY_IMPORT[room] - {"errors"}
    }
    assert wrong == {}


def test_no_cycle_between_modules() -> None:
    """Imports at the top of modules only: one inside a function or under TYPE_CHECKING closes no cycle."""
    paths = {}
    for path in (ROOT / "labkit").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {}
    for module, path in paths.items():
        graph[module] = targets = set()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                submodules = [f"{node.module}.{alias.name}" for alias in node.names]
                targets |= {name if name in paths else node.module for name in submodules}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"import cycle: {' -> '.join([*path[path.index(name) :], name])}"
        if name in done:
            return
        for target in sorted(graph[name] & graph.keys()):
            if target != "labkit":  # `from labkit import data` needs only the names, which come lazily
                visit(target, (*path, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_public_names() -> None:
    assert labkit.__all__ == sorted(labkit.__all__, key=lambda name: (name.islower(), name))
    for name in labkit.__all__:
        assert getattr(labkit, name) is not None
    assert dir(labkit) == labkit.__all__
    with pytest.raises(AttributeError, match="no 'dta'; its rooms are activations"):
        labkit.dta  # noqa: B018


def test_every_module_imports_alone() -> None:
    for path in sorted((ROOT / "labkit").rglob("*.py")):
        import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))


def test_import_is_light() -> None:
    heavy = ("torch", "numpy", "matplotlib", "anywidget", "ipywidgets", "sklearn", "captum", "PIL")
    code = f"import sys, labkit; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


# Versions and environments


def requirements(extras: tuple[str, ...] = ("lab", "test", "dev")) -> list[Requirement]:
    texts = [*PROJECT["dependencies"], *(t for extra in extras for t in PROJECT["optional-dependencies"][extra])]
    return [r for r in map(Requirement, texts) if r.name != "labkit"]


def lock(python: str = "3.11.2") -> dict[str, str]:
    """{package: version} for a Python on Linux."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all([bound.operator for bound in pin.specifier] == ["=="] for pin in pins)
    here = [pin for pin in pins if not pin.marker or pin.marker.evaluate(markers(python))]
    return {normal(pin.name): next(iter(pin.specifier)).version for pin in here}


def markers(python: str) -> dict[str, str]:
    version = python.rpartition(".")[0]
    return {"python_version": version, "python_full_version": python, "sys_platform": "linux"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_metadata() -> None:
    assert PROJECT["version"] == labkit.__version__ == metadata.version("labkit")
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    assert PROJECT["license"] == "BSD-3-Clause"
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License")


def test_lower_bounds_only() -> None:
    for requirement in requirements():
        assert [bound.operator for bound in requirement.specifier] == [">="], requirement


# What Colab ships (FACTS of the day it was looked at): the lower bounds must admit it.
COLAB = {
    "torch": "2.11.0", "ipywidgets": "7.7.1", "ipykernel": "6.17.1", "traitlets": "5.7.1", "numpy": "2.1.0",
    "anywidget": "0.9.21", "matplotlib": "3.10.0",
}  # fmt: skip


def test_lower_bounds_admit_colab() -> None:
    bounds = {r.name: r.specifier for r in requirements()}
    assert [name for name, version in COLAB.items() if version not in bounds[name]] == []


def test_what_is_imported_is_required() -> None:
    """And nothing is required that no room imports."""
    distributions = {"PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn", "IPython": "ipykernel"}
    imported = set()
    for path in (ROOT / "labkit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            imported |= {name.split(".")[0] for name in names}
    imported = {distributions.get(name, name) for name in imported - sys.stdlib_module_names - {"labkit"}}
    assert imported <= {r.name for r in requirements()}
    # anywidget draws through ipywidgets, whose version decides where the views work.
    assert {r.name for r in requirements(())} - imported == {"ipywidgets"}


def test_lock_holds_every_requirement() -> None:
    pins = lock()
    assert pins["torch"] == "2.13.0"
    assert "+" not in "".join(pins.values())
    for requirement in requirements():
        assert pins.get(normal(requirement.name), "nothing") in requirement.specifier, requirement


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_is_complete(python: str) -> None:
    """What each pinned package asks for on Linux is pinned as well, in a version that it takes."""
    pins, missing = lock(python), []
    wanted = [(r.name, extra) for r in requirements() for extra in ("", *r.extras)]
    seen = set()
    while wanted:
        name, extra = wanted.pop()
        if (normal(name), extra) in seen:
            continue
        seen.add((normal(name), extra))
        for needed in map(Requirement, metadata.requires(name) or []):
            if needed.marker and not needed.marker.evaluate(markers(python) | {"extra": extra}):
                continue
            if not needed.specifier.contains(pins.get(normal(needed.name), "0"), prereleases=True):
                missing.append(f"{name} needs {needed}")
            else:
                wanted += [(needed.name, more) for more in ("", *needed.extras)]
    assert missing == []
    for name in pins:
        assert metadata.metadata(name)["Requires-Python"] is None or python in SpecifierSet(
            metadata.metadata(name)["Requires-Python"]
        ), name
    # Nothing else is pinned, but for the build backend.
    assert {name for name, _ in seen} | {"setuptools"} == set(pins)


def test_conda_environment_agrees_with_pyproject() -> None:
    text = (ROOT / "environment.yml").read_text()
    assert text == (ROOT / "binder/environment.yml").read_text()
    assert re.search(r"channels:\n  - conda-forge\n  - nodefaults\n", text)
    listed = {Requirement(line).name: Requirement(line) for line in re.findall(r"^  - (\S+[<>=]\S+)$", text, re.M)}
    assert listed.pop("python").specifier == Requirement(f"python{PROJECT['requires-python']}").specifier
    backend = Requirement(tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"][0])
    wanted = {r.name: r for r in [*requirements(("lab",)), backend]}
    names = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}
    assert {names.get(name, name): r.specifier for name, r in wanted.items()} == {
        name: r.specifier for name, r in listed.items()
    }


def test_binder_scripts_are_executable_and_end_well() -> None:
    post_build, start = ROOT / "binder/postBuild", ROOT / "binder/start"
    assert post_build.read_text().startswith("#!/bin/bash\nset -e\n")
    assert start.read_text().startswith("#!/bin/bash\n")
    assert start.read_text().endswith('exec "$@"\n')
    for script in (post_build, start, ROOT / ".ci/run"):
        assert script.stat().st_mode & 0o111 == 0o111, script
    run = subprocess.run([start, "sh", "-c", 'echo "$OMP_NUM_THREADS $0" "two words"'], capture_output=True, text=True)
    assert run.stdout == "1 sh two words\n"


# Files


def test_no_large_file() -> None:
    assert [path.name for path in tracked() if path.stat().st_size > 1_000_000] == []


# Notebooks


def test_notebooks_exist() -> None:
    assert NOTEBOOKS[0].name == "00_start_here.ipynb"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_is_stripped_and_names_its_kernel(self, path: Path) -> None:
        notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        nbformat.validate(notebook)
        assert notebook.metadata.kernelspec.name == "python3"
        assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                assert cell.outputs == []
                assert cell.execution_count is None
        assert "widgets" not in notebook.metadata

    def test_is_short(self, path: Path) -> None:
        cells = nbformat.read(path, as_version=4).cells
        lines = [len(cell.source.splitlines()) for cell in cells if cell.cell_type == "code"]
        assert len(lines) <= 30
        assert median(lines) <= 4
        assert min(lines) >= 1
        assert max(lines) <= 25
        assert len(" ".join(cell.source for cell in cells if cell.cell_type == "markdown").split()) <= 1600

    def test_begins_with_the_setup_cell(self, path: Path) -> None:
        cells = nbformat.read(path, as_version=4).cells
        assert next(cell.source for cell in cells if cell.cell_type == "code") == SETUP_CELL

    def test_keeps_the_cells_that_tests_would_pass_over(self, path: Path) -> None:
        """A cell marked so would pass without running, or pass because it fails."""
        for cell in nbformat.read(path, as_version=4).cells:
            tags = set(cell.metadata.get("tags", []))
            assert tags.isdisjoint({"nbval-skip", "nbval-raises-exception", "raises-exception", "skip-execution"})
            assert "NBVAL_" not in cell.source


# README


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_lists_exactly_the_notebooks_that_exist() -> None:
    listed = re.findall(r"^\| \[[^]]+\]\(notebooks/([^)]+)\) \|", readme(), re.M)
    assert listed == [path.name for path in NOTEBOOKS]


def test_readme_has_both_badges_for_each_notebook() -> None:
    owner = ADDRESS.removeprefix("https://github.com/")
    for path in NOTEBOOKS:
        row = next(
            line for line in readme().splitlines() if line.startswith("|") and f"({'notebooks/' + path.name})" in line
        )
        assert f"(https://mybinder.org/v2/gh/{owner}/HEAD?urlpath=lab/tree/notebooks/{path.name})" in row
        assert f"(https://colab.research.google.com/github/{owner}/blob/main/notebooks/{path.name})" in row


def test_readme_links_lead_somewhere() -> None:
    """Files are there, and every address of the repository is the one in pyproject.toml."""
    for target in re.findall(r"\]\(([^)#]+)\)", readme()):
        if not target.startswith("https://"):
            assert (ROOT / target).exists(), target
    owner = ADDRESS.removeprefix("https://github.com/")
    for found in re.findall(r"(?:github\.com|/gh|/github)/([\w-]+/[\w-]+)", readme()):
        assert found == owner


def test_readme_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The lines that show how to bring an own model, as they stand there."""
    blocks = re.findall(r"```python\n(.*?)```", readme(), re.S)
    assert blocks
    for block in blocks:
        names: dict[str, object] = {}
        exec(compile(block, "README.md", "exec"), names)
        assert names["player"].wait(steps=20) == 20  # type: ignore[attr-defined]


def test_the_lock_and_readme_name_no_path_and_no_host() -> None:
    for name in ("requirements.lock", "environment.yml", "Makefile", ".ci/run"):
        assert not re.search(
            r"https?://|file:|index-url|find-links|(?<![\w/])/(?:home|root|work|tmp|opt)\b", (ROOT / name).read_text()
        ), name
