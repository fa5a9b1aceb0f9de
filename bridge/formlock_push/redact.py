"""Which fields of a record are for some only: `formlock_redact = {"margin": "margins"}` on its class. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from formlock_push.sayable import MAX_REDACTED, RIGHT

Redact = Mapping[str, str]


class InvalidRedact(ValueError):
    """What a class says by `formlock_redact` is no `{field: right}`. Its records can't be told without the risk of a leak."""


def redact_of(record_class: type[Any]) -> Redact:
    """As the class has it. Raises InvalidRedact: a misspelt right must not be found by whoever may not see the field."""
    given = getattr(record_class, "formlock_redact", {})
    if not isinstance(given, Mapping) or not all(isinstance(field, str) for field in given):
        raise InvalidRedact(f"{record_class.__name__}.formlock_redact is to be {{field: right}}.")
    for field, right in given.items():
        if not isinstance(right, str) or RIGHT.fullmatch(right) is None:
            raise InvalidRedact(f"{record_class.__name__}.formlock_redact: {field!r} has {right!r}, which is no name of a right.")
    return given


def union(several: Iterable[tuple[str | None, Redact | None]]) -> Redact | None:
    """Of all records of one update, the fields of a part under its name. None when one update can't carry it: there are more than 64
    fields, or a field with two rights; then nothing may be told of any field."""
    joined: dict[str, str] = {}
    for part, redact in several:
        for field, right in (redact or {}).items():
            name = field if part is None else f"{part}.{field}"
            if joined.setdefault(name, right) != right:
                return None
    return joined if len(joined) <= MAX_REDACTED else None
