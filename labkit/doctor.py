"""What the lab finds on this machine, whether it can run, and what to do about what does not work.

Nothing heavy is imported before it is examined, so that a missing or broken torch is a finding and no traceback.
"""

import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

PYTHONS = ((3, 11), (3, 13))  # first and last that labkit supports
GIGABYTE = 2**30
# What a kernel takes that has gone through notebook 00.
KERNEL_MEMORY = 0.7 * GIGABYTE

# (name, its package, first version that works, what to know)
FRONT_ENDS = (
    ("JupyterLab", "jupyterlab", "4", "make lab"),
    ("Notebook", "notebook", "7", "jupyter notebook"),
    ("VS Code, Colab", "ipykernel", "6.17.1", "choose this Python as the kernel"),
    ("Voilà", "voila", "0.5", "voila NOTEBOOK"),
)
CGROUP = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, whether it works, whether the lab needs it, and what to do."""

    group: str
    name: str
    value: str
    works: bool
    needed: bool = False
    advice: str = ""


def examine() -> list[Finding]:
    """Look at versions, machine, front ends and optional parts, in this order."""
    return [*versions(), *machine(), *front_ends(), *optional()]


def healthy(findings: list[Finding]) -> bool:
    """The lab can run: all that it needs works, and one front end at least."""
    front = [finding for finding in findings if finding.group == "front ends"]
    return all(f.works for f in findings if f.needed) and any(f.works for f in front)


def report(findings: list[Finding]) -> str:
    """The findings as text, with what to do at the end."""
    lines, group = [], ""
    for finding in findings:
        if finding.group != group:
            group = finding.group
            lines += ["", group]
        mark = "ok" if finding.works else "MISSING" if finding.needed else "-"
        lines.append(f"  {mark:8}{finding.name:18}{finding.value}")
    to_do = [f for f in findings if f.advice]
    lines += ["", "The lab can run." if healthy(findings) else "The lab cannot run yet."]
    lines += [f"  {f.name}: {f.advice}" for f in sorted(to_do, key=lambda f: not f.needed)]
    return "\n".join(lines[1:])


def as_data(findings: list[Finding]) -> dict[str, Any]:
    """The same for machines: {"works": bool, "findings": [...]}."""
    return {"works": healthy(findings), "findings": [asdict(finding) for finding in findings]}


def versions() -> Iterator[Finding]:
    """Python, labkit, and each package that labkit needs, against its lower bound."""
    first, last = PYTHONS
    fits = first <= sys.version_info[:2] <= last
    span = f"Python {first[0]}.{first[1]} to {last[0]}.{last[1]}"
    advice = "" if fits else f"labkit runs on {span}: install one of them"
    yield Finding("versions", "python", platform.python_version(), fits, needed=True, advice=advice)
    try:
        requirements = metadata.requires("labkit") or []
        yield Finding("versions", "labkit", metadata.version("labkit"), works=True, needed=True)
    except metadata.PackageNotFoundError:
        advice = "`make install` in the checkout, or `pip install -e .`"
        yield Finding("versions", "labkit", "not installed", works=False, needed=True, advice=advice)
        return
    for requirement in requirements:
        matched = re.fullmatch(r"([\w.-]+)>=([\d.]+)(; extra == .lab.)?", requirement)
        if matched is not None:
            package, lowest, extra = matched.groups()
            yield version_of(package, lowest, "versions", needed=extra is None)


def version_of(package: str, lowest: str, group: str, needed: bool = False, name: str = "") -> Finding:
    """A package's installed version against the lowest that works."""
    get = f'pip install "{package}>={lowest}"'
    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError:
        return Finding(group, name or package, "not installed", works=False, needed=needed, advice=get)
    if numbers(found) < numbers(lowest):
        value = f"{found}, too old: {lowest} or newer is needed"
        return Finding(group, name or package, value, works=False, needed=needed, advice=get)
    return Finding(group, name or package, found, works=True, needed=needed)


def numbers(version: str) -> tuple[int, ...]:
    """2.13.0+cpu -> (2, 13, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0]))


def machine() -> Iterator[Finding]:
    """The device with its reason, processor, and memory."""
    try:
        devices = import_module("labkit.device")
        chosen = devices.choose()
    except Exception as error:  # a broken torch raises anything: ImportError, OSError, AttributeError ...
        value = f"torch does not work: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        advice = "install torch again: `make install` in the checkout, or `pip install --force-reinstall torch`"
        yield Finding("machine", "device", value, works=False, needed=True, advice=advice)
        yield Finding("machine", "processor", f"{os.cpu_count()} cores", works=True)
    else:
        yield Finding("machine", "device", str(chosen), works=True, needed=True)
        threads = import_module("torch").get_num_threads()
        value = f"{devices.cores()} cores; torch uses {threads} threads, and 1 for tiny models"
        yield Finding("machine", "processor", value, works=True)
    yield memory_finding()


def memory_finding() -> Finding:
    try:
        total, available = memory()
    except ImportError:
        return Finding("machine", "memory", "unknown: psutil is not installed", works=False)
    value = f"{available / GIGABYTE:.1f} GB available of {total / GIGABYTE:.1f} GB"
    enough = available >= KERNEL_MEMORY
    advice = "" if enough else "a notebook takes about 0.7 GB: close other kernels and programs"
    return Finding("machine", "memory", value, works=enough, advice=advice)


def memory(cgroup: Path = Path("/sys/fs/cgroup")) -> tuple[int, int]:
    """(total, available) bytes; in a container its own limit counts, as on Binder."""
    import psutil

    system = psutil.virtual_memory()
    total, available = int(system.total), int(system.available)
    for limit, used in CGROUP:
        if (cgroup / limit).exists() and (text := (cgroup / limit).read_text().strip()).isdigit():
            total = min(total, int(text))
            available = min(available, max(0, int(text) - int((cgroup / used).read_text())))
    return total, available


def front_ends() -> Iterator[Finding]:
    """Where the notebooks open. One is enough."""
    for name, package, lowest, start in FRONT_ENDS:
        finding = version_of(package, lowest, "front ends", name=name)
        if finding.works:
            finding = Finding("front ends", name, f"{package} {finding.value}: {start}", works=True)
        yield finding
    kernel = version_of("ipykernel", "7", "front ends", name="live buttons")
    if kernel.works:
        yield Finding("optional", "live buttons", f"ipykernel {kernel.value}: also while a cell runs", works=True)
    else:
        value = "wait for the running cell (ipykernel 7 answers during it)"
        yield Finding("optional", "live buttons", value, works=False, advice=kernel.advice)


def optional() -> Iterator[Finding]:
    """What only `make test` and `labkit bench` need."""
    get = "`make install` in the checkout, or `pip install playwright`"
    try:
        jupyter = import_module("labkit.bench.jupyter")
    except ImportError:
        yield Finding("optional", "playwright", "not installed (browser tests)", works=False, advice=get)
        return
    yield Finding("optional", "playwright", metadata.version("playwright"), works=True)
    chromium = jupyter.chromium()
    advice = "" if chromium else "`make test` gets one; or Debian: apt-get install chromium"
    yield Finding("optional", "chromium", chromium or "none found (browser tests)", bool(chromium), advice=advice)
    node = jupyter.node()
    yield Finding("optional", "node", str(node), works=node.exists(), advice="" if node.exists() else get)
