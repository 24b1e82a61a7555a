"""What travels to the browser: a JSON header and numpy arrays in one block of bytes.

Layout: uint32 length of the header (little endian) | header (JSON) | the arrays. Each part begins at a multiple of 8.
static/frames.js takes it apart again.
"""

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

_KINDS = {"u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"}


def narrow(array: Any) -> np.ndarray:
    """`array`, contiguous, in a type that JavaScript has: bool as uint8, int64 as int32 (float64 if too large)."""
    array = np.ascontiguousarray(array).reshape(np.shape(array))
    kind = array.dtype.str[1:]
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if kind in ("i8", "u8"):
        fits = array.size == 0 or (array.min() >= -(2**31) and array.max() < 2**31)
        return array.astype(np.int32 if fits else np.float64)
    if kind not in _KINDS:
        raise TypeError(
            f"An array of {array.dtype} cannot be sent to a view. Convert it to a float or integer type first."
        )
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def pack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """One block of bytes with `header` (what JSON can say; NaN and infinity become null) and `arrays` of any shape.

    Raises TypeError for an array type that JavaScript cannot read (complex, object, text).
    """
    sendable = {name: narrow(array) for name, array in arrays.items()}
    fields = [[name, array.dtype.str[1:], array.shape] for name, array in sendable.items()]
    head = _json({**header, "arrays": fields})
    parts = [struct.pack("<I", len(head)), head, bytes(-(4 + len(head)) % 8)]
    for array in sendable.values():
        parts += [array.tobytes(), bytes(-array.nbytes % 8)]
    return b"".join(parts)


def unpack(block: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(header, arrays) of what `pack` made."""
    (length,) = struct.unpack_from("<I", block)
    header = json.loads(block[4 : 4 + length])
    at = 4 + length + -(4 + length) % 8
    arrays = {}
    for name, kind, shape in header.pop("arrays"):
        array = np.frombuffer(block, "<" + kind, math.prod(shape), at).reshape(shape)
        arrays[name] = array
        at += array.nbytes + -array.nbytes % 8
    return header, arrays


def _json(header: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(header, separators=(",", ":"), allow_nan=False, default=lambda value: value.item()).encode()
    except ValueError:  # NaN or infinity, seldom
        return json.dumps(_plain(header), separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    """`value` with numpy scalars as Python's, and with None for numbers that JSON does not have."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
