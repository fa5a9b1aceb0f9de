"""What records hold, as JSON that every client can be sent; or why it can't be said.

The bridge refuses the whole update for one value that some client can't read. So it is found here, where somebody can still do
something about it, and named by where it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, time
from enum import Enum

# The bridge's own: objects and lists within each other, the message itself being the first.
MAX_DEPTH = 32


class UnsayableError(ValueError):
    """The sentence names the place and says what can't be said there."""


def plain(value: object, place: str, depth: int) -> object:
    """A copy of nothing but JSON's own types; UnsayableError when there is none.

    - `place`: where the value stands, for the error: `change_set.amount`
    - `depth`: how many objects and lists there are around it

    Dates are ISO texts; another object says itself what it is called (a model's `__str__`). An integer of more than 64 bits is its
    digits, as a Decimal is: not every client has a number for it.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):  # before int and str, which an Enum may also be
        return plain(value.value, place, depth)
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else text(str(int(value)), place)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UnsayableError(f"{place}: {value} is no number in JSON")
        return float(value)
    if isinstance(value, str):
        return text(str.__str__(value), place)
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        if depth >= MAX_DEPTH:
            raise UnsayableError(f"{place}: nested deeper than {MAX_DEPTH} levels")
        return _nested(value, place, depth + 1)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"({len(value)} bytes)"
    return text(value.isoformat() if isinstance(value, (date, time)) else str(value), place)


def text(value: str, place: str) -> str:
    """The text, if every client can be sent it."""
    # WAMP's JSON spells binary as a text that begins with NUL.
    if value.startswith("\0"):
        raise UnsayableError(f"{place}: a text that begins with NUL")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise UnsayableError(f"{place}: half a character (a lone surrogate)") from None
    return value


def name(key: object, place: str) -> str:
    """A field's name, as `json` spells those that are no texts."""
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return text(str.__str__(key), place)
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, (int, float)):
        return str(key)
    raise UnsayableError(f"{place}: {key!r} is no field's name")


def _nested(
    value: Mapping[object, object] | list[object] | tuple[object, ...] | set[object] | frozenset[object], place: str, depth: int
) -> object:
    if isinstance(value, Mapping):
        return {(field := name(key, place)): plain(item, f"{place}.{field}", depth) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=str)
    return [plain(item, f"{place}[{index}]", depth) for index, item in enumerate(value)]
