"""Compares what a learner's function gave with what is right, and with what typical mistakes give."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from labkit.exercises.exercise import Mistake


def tensors(given: Any, *names: str) -> list[torch.Tensor]:
    """Several results, in the order of their names, as float64 tensors of any shape; numbers and arrays count."""
    if not isinstance(given, tuple | list) or len(given) != len(names):
        received = f"{len(given)} values" if isinstance(given, tuple | list) else type(given).__name__
        raise Mistake(f"Give {len(names)} results in this order: {', '.join(names)}; received {received}.")
    return [tensor(value, name) for value, name in zip(given, names, strict=True)]


def tensor(value: Any, name: str) -> torch.Tensor:
    """One result as a float64 tensor; a number becomes one without dimensions."""
    try:
        given = torch.as_tensor(value).detach()
    except (TypeError, ValueError, RuntimeError):
        raise Mistake(f"{name} should be a number or an array of numbers; received {type(value).__name__}.") from None
    if given.is_complex():
        raise Mistake(f"{name} should be real; received complex numbers.")
    return given.to("cpu", torch.float64)


def compare(name: str, given: torch.Tensor, expected: Any, mistakes: Iterable[tuple[Any, str]]) -> None:
    """Raises Mistake unless given is as expected: with the words of the first (wrong value, words) that it equals."""
    if _same(given, expected):
        return
    for wrong, words in mistakes:
        if _same(given, wrong):
            raise Mistake(words)
    right = torch.as_tensor(expected)
    if given.shape != right.shape and right.ndim == 0:
        raise Mistake(f"{name} should be one number; received an array of the shape {tuple(given.shape)}.")
    if given.shape != right.shape:
        raise Mistake(f"{name} should have the shape {tuple(right.shape)}; received {tuple(given.shape)}.")
    raise Mistake(f"{name} should be {_text(right)}; received {_text(given)}.")


def _same(given: torch.Tensor, value: Any) -> bool:
    value = torch.as_tensor(value, dtype=torch.float64)
    return given.shape == value.shape and torch.allclose(given, value, rtol=1e-4, atol=1e-6)


def _text(values: torch.Tensor) -> str:
    text = np.array2string(values.numpy(), precision=4, suppress_small=True, separator=", ")
    return re.sub(r"\.(?!\d)", "", text)  # 3, not 3.
