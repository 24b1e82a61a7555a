"""A playground's settings as one short string that another person can paste.

playground1?data=xor&widths=4,2#1a2b3c4d: a version, what differs from the defaults, and a checksum, since a string that
lost its end would often still be read, as something else.
"""

import re
import zlib
from dataclasses import fields
from typing import Any

from labkit.errors import SettingError
from labkit.playground.settings import Settings

VERSION = 1
LONGEST = 100_000

_FORM = re.compile(r"playground(\d{1,9})\?([ -~]*)#([0-9a-f]{8})", re.ASCII)
_DEFAULTS = Settings()
_NUMBER = re.compile(r"-?\d{1,12}(\.\d{1,20})?(e-?\d{1,3})?", re.ASCII)


def to_string(settings: Settings) -> str:
    """One line of printable ASCII: "playground1?data=xor#5b0c1e6a"."""
    parts = []
    for field in fields(settings):
        value = getattr(settings, field.name)
        if value != getattr(_DEFAULTS, field.name):
            parts.append(f"{field.name}={_written(value)}")
    body = f"playground{VERSION}?{'&'.join(parts)}"
    return f"{body}#{_checksum(body)}"


def from_string(text: str) -> Settings:
    """The settings of a string made by `to_string`; SettingError for any other, with what is wrong with it."""
    if not isinstance(text, str) or len(text) > LONGEST:
        raise SettingError(f"Expected a playground's string of at most {LONGEST} characters, received {_what(text)}.")
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise SettingError(
            f'Expected a string such as "{to_string(_DEFAULTS)}", received {text.strip()[:60]!r}. Copy all of it, from '
            '"playground" to the eight characters after "#".'
        )
    version, body, checksum = int(found[1]), found[2], found[3]
    if version != VERSION:
        raise SettingError(
            f"Expected a string of version {VERSION}, received version {version}: it was made by "
            f"{'a newer' if version > VERSION else 'an older'} lab. Ask for one made by this version, or change yours."
        )
    if _checksum(f"playground{version}?{body}") != checksum:
        raise SettingError("Expected a whole string, received one that was changed or cut on the way. Copy it again.")
    given: dict[str, Any] = {}
    for part in body.split("&") if body else ():
        name, equals, value = part.partition("=")
        if not equals or name in given or name not in _READERS:
            raise SettingError(f"Expected each setting once, as name=value; received {part[:60]!r}.")
        given[name] = _READERS[name](value)
    return Settings(**given)


def _what(text: Any) -> str:
    return f"{len(text)} characters" if isinstance(text, str) else type(text).__name__


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def _written(value: Any) -> str:
    """Numbers and words as they are, lists with commas, rows of a list with semicolons, places in a row with dots."""
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return ";".join(",".join(_cell(cell) for cell in row) for row in value)
    return ",".join(map(_cell, value)) if isinstance(value, tuple) else _cell(value)


def _cell(value: Any) -> str:
    if isinstance(value, tuple):
        return ".".join(map(str, value))
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e12 else repr(value).replace("e-0", "e-")
    return str(value)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise SettingError(f"Expected a number, received {text[:60]!r}.")
    return float(text)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(_number(cell) for cell in _words(text))


def _rows(text: str) -> list[tuple[str, ...]]:
    return [tuple(row.split(",")) for row in text.split(";")]


def _points(text: str) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(_number, row)) for row in _rows(text))


def _place(text: str) -> tuple[float, ...]:
    return tuple(_number(cell) for cell in text.split("."))


def _entries(text: str) -> tuple[tuple[Any, ...], ...]:
    """Rows of a parameter's name, a place in it, and perhaps a number."""
    return tuple(
        (row[0], *(_place(cell) for cell in row[1:2]), *(_number(cell) for cell in row[2:])) for row in _rows(text)
    )


_READERS: dict[str, Any] = {
    field.name: str if isinstance(getattr(_DEFAULTS, field.name), str) else _number for field in fields(Settings)
} | {
    "points": _points,
    "features": _words,
    "widths": _numbers,
    "activations": _words,
    "start_weights": _entries,
    "frozen": _entries,
}
