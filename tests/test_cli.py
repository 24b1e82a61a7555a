"""`labkit doctor` and `labkit bench` as a person calls them, and what the doctor says when something is broken."""

import importlib
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import labkit
from labkit import bench, cli, doctor


def find(findings: list[doctor.Finding], name: str) -> doctor.Finding:
    return next(finding for finding in findings if finding.name == name)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """Put {package: version} here to pretend; None for one that is not installed."""
    pretended: dict[str, str | None] = {}
    real = metadata.version

    def version(package: str) -> str:
        found = pretended.get(package, "real")
        if found is None:
            raise metadata.PackageNotFoundError(package)
        return real(package) if found == "real" else found

    monkeypatch.setattr(metadata, "version", version)
    return pretended


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> dict[str, Exception]:
    """Put {module: error} here: importing it raises that."""
    errors: dict[str, Exception] = {}
    real = importlib.import_module

    def import_module(name: str) -> object:
        if name in errors:
            raise errors[name]
        return real(name)

    monkeypatch.setattr(doctor, "import_module", import_module)
    return errors


def test_doctor_in_a_fresh_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "labkit.cli", "doctor"]
    text = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (text.returncode, text.stderr) == (0, "")
    assert "\nThe lab can run.\n" in text.stdout + "\n"
    assert f"labkit            {labkit.__version__}" in text.stdout
    data = json.loads(subprocess.check_output([*command, "--json"], cwd=tmp_path))
    assert data["works"] is True
    groups = list(dict.fromkeys(finding["group"] for finding in data["findings"]))
    assert groups == ["versions", "machine", "front ends", "optional"]


def test_doctor_examines_all_that_labkit_needs() -> None:
    findings = doctor.examine()
    for package in ("torch", "numpy", "anywidget", "ipywidgets", "scikit-learn"):
        assert find(findings, package).needed
        assert find(findings, package).value == metadata.version(package)
    assert not find(findings, "jupyterlab").needed
    assert find(findings, "device").works
    assert "GB available of" in find(findings, "memory").value
    assert all(finding.works or finding.advice for finding in findings)


def test_torch_missing(installed, broken, capsys) -> None:
    installed["torch"] = None
    broken["labkit.device"] = ModuleNotFoundError("No module named 'torch'", name="torch")
    assert cli.main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "MISSING torch             not installed" in said
    assert 'torch: pip install "torch>=' in said
    assert "torch does not work: ModuleNotFoundError: No module named 'torch'" in said
    assert "The lab cannot run yet." in said


def test_torch_without_its_libraries(broken, capsys) -> None:
    broken["labkit.device"] = OSError("libtorch_cpu.so: cannot open shared object file\nmore")
    assert cli.main(["doctor", "--json"]) == 1
    device = next(f for f in json.loads(capsys.readouterr().out)["findings"] if f["name"] == "device")
    assert device["value"] == "torch does not work: OSError: libtorch_cpu.so: cannot open shared object file"
    assert "install torch again" in device["advice"]


def test_package_too_old(installed) -> None:
    installed["ipywidgets"] = "7.6.9"
    finding = find(doctor.examine(), "ipywidgets")
    assert (finding.works, finding.needed) == (False, True)
    assert finding.value == "7.6.9, too old: 7.7.1 or newer is needed"
    assert finding.advice == 'pip install "ipywidgets>=7.7.1"'


@pytest.mark.parametrize(
    ("version", "lowest", "fits"),
    [("2.13.0+cpu", "2.11", True), ("2.9.1", "2.11", False), ("10.0", "9", True), ("4", "4.0", False)],
)
def test_versions_compare_as_numbers(version: str, lowest: str, fits: bool) -> None:
    assert (doctor.numbers(version) >= doctor.numbers(lowest)) is fits


def test_labkit_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(package: str) -> list[str]:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "requires", requires)
    findings = doctor.examine()
    assert "pip install -e ." in find(findings, "labkit").advice
    assert not doctor.healthy(findings)


@pytest.mark.parametrize(("python", "fits"), [((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False)])
def test_python_out_of_range(monkeypatch: pytest.MonkeyPatch, python: tuple[int, int], fits: bool) -> None:
    monkeypatch.setattr(sys, "version_info", (*python, 0, "final", 0))
    finding = next(iter(doctor.versions()))
    assert finding.works is fits
    assert fits or finding.advice == "labkit runs on Python 3.11 to 3.13: install one of them"


def test_one_front_end_is_enough(installed) -> None:
    installed.update(jupyterlab=None, notebook=None, voila=None)
    assert doctor.healthy(doctor.examine())  # ipykernel is here: VS Code can open the notebooks
    installed.update(ipykernel=None)
    assert not doctor.healthy(doctor.examine())


def test_old_kernel_says_what_its_buttons_do(installed) -> None:
    installed["ipykernel"] = "6.17.1"
    finding = find(doctor.examine(), "live buttons")
    assert "wait for the running cell" in finding.value
    assert finding.advice == 'pip install "ipykernel>=7"'


def test_optional_parts_missing(broken, monkeypatch: pytest.MonkeyPatch) -> None:
    broken["labkit.bench.jupyter"] = ModuleNotFoundError("No module named 'playwright'")
    findings = doctor.examine()
    assert find(findings, "playwright").value == "not installed (browser tests)"
    assert doctor.healthy(findings)
    broken.clear()
    monkeypatch.setattr("labkit.bench.jupyter.chromium", lambda: None)
    findings = doctor.examine()
    assert "apt-get install chromium" in find(findings, "chromium").advice
    assert doctor.healthy(findings)


def test_a_containers_memory_counts(tmp_path: Path) -> None:
    total, available = doctor.memory(tmp_path)
    assert 0 < available <= total
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("900000\n")
    assert doctor.memory(tmp_path) == (1_000_000, 100_000)
    (tmp_path / "memory.max").write_text("max\n")
    assert doctor.memory(tmp_path)[0] == total


def test_little_memory_gets_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "memory", lambda: (2 * doctor.GIGABYTE, doctor.GIGABYTE // 2))
    finding = doctor.memory_finding()
    assert finding.value == "0.5 GB available of 2.0 GB"
    assert "close other kernels" in finding.advice


# bench


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What every figure measures now."""
    samples = [1.0, 30.0, 2.0]
    monkeypatch.setattr(bench, "measure", lambda name: bench.Result(bench.FIGURES[name], samples))
    return samples


def test_bench_prints_name_value_unit_target_met(measured, capsys) -> None:
    assert cli.main(["bench", "first_frame"]) == 0
    said = capsys.readouterr().out.split()
    assert said[:7] == ["first_frame", "2", "s", "(1", "to", "30)", "<="]
    assert said[7:10] == ["3", "s", "met"]


def test_bench_fails_when_a_target_is_missed(measured, capsys) -> None:
    assert cli.main(["bench", "--json", "first_frame", "frames_mlp"]) == 1
    first, frames = json.loads(capsys.readouterr().out)
    assert (first["name"], first["value"], first["unit"], first["target"]) == ("first_frame", 2.0, "s", "<= 3 s")
    assert (first["met"], first["low"], first["high"], first["samples"]) == (True, 1.0, 30.0, [1.0, 30.0, 2.0])
    assert (frames["target"], frames["met"]) == (">= 29 /s", False)


def test_bench_measures_all_when_none_is_named(measured, capsys) -> None:
    cli.main(["bench"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(bench.FIGURES)


def test_bench_lists_names(capsys) -> None:
    assert cli.main(["bench", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(bench.FIGURES)


def test_bench_names_the_figures_when_one_is_unknown(capsys) -> None:
    assert cli.main(["bench", "speed"]) == 2
    assert "No figure speed; there are import," in capsys.readouterr().err


def test_version_and_no_command(capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"labkit {labkit.__version__}\n"
    with pytest.raises(SystemExit, match="2"):
        cli.main([])
