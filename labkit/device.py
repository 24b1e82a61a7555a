"""Where the lab computes: which device, in which precision, on how many threads, and why."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from labkit.errors import DeviceError, SettingError

# Below this many floating-point operations in a forward pass, a second CPU thread costs more in contention than it
# computes (measured: 3 M, an 8 x 8 LeNet, gains nothing; 500 M, a wide MLP, gains 1.8 times on two free cores).
SMALL_FORWARD = 50_000_000

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Device:
    """A device that computes, the precision that suits it, and the reason in words."""

    device: torch.device
    dtype: torch.dtype
    reason: str

    def __str__(self) -> str:
        return f"{name(self.device)}, {str(self.dtype).removeprefix('torch.')}: {self.reason}"


def choose(prefer: str | torch.device | None = None) -> Device:
    """The best device that really computes: CUDA, then MPS, then the CPU.

    `prefer` is "cpu", "cuda", "cuda:1", "mps" ...; a device that does not compute raises DeviceError.
    """
    if prefer is not None:
        device = _parse(prefer)
        problem = failure(device)
        if problem is not None:
            raise DeviceError(
                f"Expected a device that computes, received {str(device)!r}: {problem}. "
                "Leave `prefer` out to get one that does."
            )
        dtype, why = precision(device)
        return Device(device, dtype, f"you asked for it; {why}")

    missing = []
    for kind, label in (("cuda", "CUDA"), ("mps", "MPS")):
        device = torch.device(kind)
        problem = failure(device)
        if problem is None:
            dtype, why = precision(device)
            return Device(device, dtype, f"{label} answers; {why}")
        missing.append(label if problem == "not found" else f"{label} ({problem})")
    dtype, why = precision(torch.device("cpu"))
    return Device(torch.device("cpu"), dtype, f"no {' or '.join(missing)} device here; {why}")


def _parse(prefer: str | torch.device) -> torch.device:
    try:
        return torch.device(prefer)
    except (RuntimeError, TypeError) as error:
        raise DeviceError(
            f'Expected a device such as "cpu", "cuda" or "mps", received {prefer!r}. Spell it as torch does.'
        ) from error


def failure(device: torch.device) -> str | None:
    """Why a device does not count, or None: it counts when it takes a tensor and computes with it."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(device.type, True):
        return "not found"
    try:
        result = (torch.ones(2, 2, device=device) @ torch.ones(2, 2, device=device)).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return str(error).splitlines()[0][:120]
    return None if result == 8.0 else f"computes wrongly, 8 expected, {result} received"


def precision(device: torch.device) -> tuple[torch.dtype, str]:
    """The fastest precision that is safe to train in on a device, with the reason.

    bfloat16 has float32's range and needs no scaling; float16 does (torch.amp.GradScaler).
    """
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16, "it multiplies bfloat16 in hardware"
        if torch.cuda.get_device_capability(device) >= (7, 0):
            return torch.float16, "it has float16 tensor cores but no bfloat16, so losses are scaled"
        return torch.float32, "it has no fast half precision"
    return torch.float32, "float32 is exact and fast enough there"


def name(device: torch.device) -> str:
    """What people call a device: "NVIDIA H200", "CPU with 2 cores"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU (MPS)"
    return f"CPU with {cores()} core{'s' if cores() != 1 else ''}"


def device_of(model: torch.nn.Module) -> torch.device:
    """Where a model's parameters are; the CPU for one without any."""
    held = next(model.parameters(), None)
    return torch.device("cpu") if held is None else held.device


def cores() -> int:
    """Processors that this process may use (a container's share, where the system tells)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_for(flops: float) -> int:
    """CPU threads for a forward pass of `flops` a batch: one for a small one, else all cores but one.

    The one is for the browser: threads that wait for a core that is taken make training many times slower.
    """
    return 1 if flops < SMALL_FORWARD else max(1, cores() - 1)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Run a block on `n` CPU threads, then go back to as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_core_spared() -> Iterator[None]:
    """Run a block (or, as a decorator, a function) on the threads that torch has, but leave one core to the browser.

    Threads that wait for a core that is taken take many times as long.
    """
    with threads(min(torch.get_num_threads(), max(1, cores() - 1))):
        yield


def parse_dtype(precision_name: str) -> torch.dtype:
    """ "float32", "bfloat16" or "float16" as torch's dtype."""
    if precision_name not in DTYPES:
        raise SettingError(
            f'Expected a precision of "auto", {", ".join(map(repr, DTYPES))}, received {precision_name!r}.'
        )
    return DTYPES[precision_name]


def free_memory(device: torch.device) -> tuple[int, int] | None:
    """(free, total) bytes on a CUDA device; None where the device does not tell."""
    return torch.cuda.mem_get_info(device) if device.type == "cuda" else None


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # the global generator is meant
    torch.manual_seed(seed)


def setup(seed: int = 0) -> None:
    """Seed everything, choose a device, and print in one line which and why."""
    seed_everything(seed)
    print(f"labkit on {choose()}. Seed {seed}.")
