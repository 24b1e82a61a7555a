"""What `import labkit` costs, in fresh interpreters."""

import subprocess
import sys

HEAVY = ("torch", "numpy", "matplotlib", "anywidget", "ipywidgets", "sklearn", "captum")


def milliseconds(rounds: int = 11) -> list[float]:
    """`python -X importtime -c "import labkit"`: the time of labkit and of all that only it imports."""
    return [cumulative(python("-X", "importtime", "-c", "import labkit").stderr) / 1000 for _ in range(rounds)]


def cumulative(importtime: str) -> int:
    """Microseconds in the line "import time: self | cumulative | labkit"."""
    lines = [line.split("|") for line in importtime.splitlines()]
    return next(int(columns[1]) for columns in lines if columns[-1].strip() == "labkit")


def heavy() -> list[float]:
    """How many of the HEAVY modules `import labkit` loads."""
    code = f"import sys, labkit; print(sum(name in sys.modules for name in {HEAVY}))"
    return [float(python("-c", code).stdout)]


def python(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
