"""The shape of an update: what a backend says when a record has changed, and what the bridge makes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from enum import Enum
from typing import Any

# Of one message, encoded. The bridge refuses more, so a longer one is not sent at all.
MAX_BYTES = 65_536

UPDATED = "updated"

# Of the shape below. The article's bare message, without a version, is taken for ever.
VERSION = 1
# Of one bulk message; more are only counted.
MAX_IDS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One change of one form. Everything but the form may be left out; None is never sent.

    - `form`: its topic, `com.example.form.<type>.<id>`
    - `change_set`: `{field: [old, new]}`
    - `status`: what happened in the backend's own words
    - `id`, `source`: names of this update and of who reports it; together they make it recognisable
    - `version`: the record's version after the change
    - `origin`: the tab (or session) that saved; it need not be told what it did itself
    - `actor`: who did it: `{"user": ..., "name": ...}`, or only the user
    - `representation`: the new contents, `{field: value}` or a fragment of HTML
    - `redact`: `{field: right}`: whoever lacks the right is told nothing of the field, not even its name
    - `count`, `ids`: of a bulk message, whose form is `com.example.form.<type>.*`: how many records of the type have changed, and
      which, as they are called in topics
    """

    form: str
    change_set: Mapping[str, Sequence[Any]] | None = None
    status: str = UPDATED
    id: str | None = None
    source: str | None = None
    version: int | str | None = None
    origin: str | None = None
    actor: Mapping[str, str] | str | None = None
    representation: Mapping[str, Any] | str | None = None
    redact: Mapping[str, str] | None = None
    count: int | None = None
    ids: Sequence[str] | None = None

    def facts(self) -> dict[str, Any]:
        """What was said, by name: no key for what was left out."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}

    def encode(self) -> bytes:
        """The message as JSON; raises TypeError or ValueError when a value has no form in it (an endless float, a broken text)."""
        text = json.dumps({"v": VERSION, **self.facts()}, default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")


def _plain(value: object) -> object:
    """What records hold beside JSON's own types; another object says itself what it is called (a model's `__str__`)."""
    match value:
        case date() | time():  # a datetime is a date
            return value.isoformat()
        case Enum():
            return value.value
        case set() | frozenset():
            return sorted(value, key=str)
        case bytes() | bytearray() | memoryview():
            return f"({len(value)} bytes)"
        case Mapping():
            return dict(value)
        case _:
            return str(value)
