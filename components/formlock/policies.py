"""The policy file: which policy each form has. Pure: text in, a book of checked policies out (docs/reference/policy.md).

    [default]                   # what all forms have, unless something below says otherwise
    ttl = "90 s"

    [forms."invoice"]           # all records of the type
    [forms."inv*"]              # all records of types that begin so
    [forms."invoice.42"]        # one record
    [forms."invoice.2026-*"]    # records of the type whose ids begin so

Every table names the topics that begin in one way, so of two that name the same form one lies within the other: a form has each key
from the narrowest table that says it. All combinations there can be are checked when the file is read.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from msgspec.structs import fields

from formlock.model import FormId
from formlock.policy import NEVER, BrokenPolicy, Policy, may_be_never

# A file above this is not a policy, whatever it is.
MAX_FILE_BYTES = 256 * 1024

_UNITS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(rf"(\d{{1,12}}) ?({'|'.join(_UNITS)})")
_PATTERN = re.compile(r"[A-Za-z0-9_:-]{1,64}(?:\.[A-Za-z0-9_:-]{1,64})?|(?:[A-Za-z0-9_:-]{1,64}\.)?[A-Za-z0-9_:-]{0,64}\*")
_KINDS = {item.name: item.type for item in fields(Policy)}
# What a key may be called: `ttl_ms` with a number, `ttl` with a text that says its unit.
KEYS = {**{name: name for name in _KINDS}, **{name.removesuffix("_ms"): name for name in _KINDS if name.endswith("_ms")}}


class PolicyError(ValueError):
    """The file says something that can't hold; the sentence begins with file, line and key."""


class Policies(Protocol):
    """Whoever is asked for the policy of a form: a book, a file that is read again when it changes, or one policy for all."""

    def of(self, form: FormId) -> Policy:
        """The policy of the form's record; its sections have the same."""


@dataclass(frozen=True, slots=True)
class PolicyBook:
    """`records` by their own name, `beginnings` the narrowest first; made by `parse`."""

    default: Policy = field(default_factory=Policy)
    records: Mapping[str, Policy] = field(default_factory=dict)
    beginnings: tuple[tuple[str, Policy], ...] = ()

    def of(self, form: FormId) -> Policy:
        """See Policies."""
        if not self.records and not self.beginnings:
            return self.default
        name = f"{form.type}.{form.id}"
        policy = self.records.get(name)
        if policy is not None:
            return policy
        return next((policy for beginning, policy in self.beginnings if name.startswith(beginning)), self.default)


@dataclass(frozen=True, slots=True)
class _Table:
    """One table of the file. Its topics begin with `beginning`; `whole`: there is only this one."""

    path: tuple[str, ...]
    beginning: str
    whole: bool
    said: Mapping[str, Any]

    def within(self, other: _Table) -> bool:
        """Whether all of this one's forms are the other's too."""
        return self.beginning.startswith(other.beginning) and (not other.whole or self == other)


def parse(text: str, source: str = "policy.toml", base: Policy | None = None) -> PolicyBook:
    """The book that the text describes, where it says nothing as `base` has it; PolicyError for the first thing that is wrong."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{source}: {error}") from None
    reader = _Reader(text, source)
    for name in document:
        if name not in ("default", "forms"):
            raise reader.error((name,), 'is not known here: a policy has [default] and [forms."TYPE"]')
    default = _Table(("default",), "", whole=False, said=reader.table(document.get("default", {}), ("default",)))
    tables = [default]
    for pattern, content in reader.mapping(document.get("forms", {}), ("forms",)).items():
        table = reader.forms(pattern, content)
        twin = next((other for other in tables if (other.beginning, other.whole) == (table.beginning, table.whole)), None)
        if twin is not None:
            raise reader.error(table.path, f"names the same forms as {_key(twin.path)}")
        tables.append(table)
    policies = {table.path: reader.policy(table, tables, base or Policy()) for table in tables}
    narrowest_first = sorted((table for table in tables[1:] if not table.whole), key=lambda table: -len(table.beginning))
    return PolicyBook(
        default=policies[default.path],
        records={table.beginning: policies[table.path] for table in tables if table.whole},
        beginnings=tuple((table.beginning, policies[table.path]) for table in narrowest_first),
    )


def _key(path: tuple[str, ...]) -> str:
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"' for part in path)


class _Reader:
    """The text, for the lines of what is wrong in it."""

    def __init__(self, text: str, source: str) -> None:
        self._lines = text.replace("\r\n", "\n").split("\n")
        self._source = source

    def error(self, path: tuple[str, ...], why: str) -> PolicyError:
        """An error that names file, line and key."""
        return PolicyError(f"{self._source}, line {self.line(path)}: {_key(path)} {why}")

    def line(self, path: tuple[str, ...]) -> int:
        """Where a key stands: tomllib does not say it, but it reads the beginning of a file as well as the whole. The first line
        from which on the key is there ends its statement, and that begins behind the last line that was whole without it."""
        end = bisect_left(range(len(self._lines) + 1), True, key=lambda count: _has(self._first(count)[1], path))
        return self._first(end - 1)[0] + 1

    def _first(self, count: int) -> tuple[int, dict[str, Any]]:
        """As many of the first `count` lines as are whole statements, and what they say."""
        while True:
            try:
                return count, tomllib.loads("\n".join(self._lines[:count]))
            except tomllib.TOMLDecodeError:
                count -= 1

    def mapping(self, value: Any, path: tuple[str, ...]) -> dict[str, Any]:
        """A table of the file."""
        if not isinstance(value, dict):
            raise self.error(path, "is a table")
        return value

    def forms(self, pattern: str, content: Any) -> _Table:
        """One table of `forms`."""
        path = ("forms", pattern)
        if pattern == "*":
            raise self.error(path, "names all forms: that is [default]")
        if not _PATTERN.fullmatch(pattern):
            raise self.error(path, 'names no forms: write "TYPE", "TYPE.ID", or the beginning of one with * behind it')
        whole = "." in pattern and not pattern.endswith("*")
        beginning = pattern.removesuffix("*") if whole or pattern.endswith("*") else f"{pattern}."
        return _Table(path, beginning, whole, self.table(self.mapping(content, path), path))

    def table(self, content: Any, path: tuple[str, ...]) -> dict[str, Any]:
        """The values by the names that Policy has."""
        said: dict[str, Any] = {}
        for key, value in self.mapping(content, path).items():
            here = (*path, key)
            if key not in KEYS:
                hint = ' (for one record write [forms."TYPE.ID"])' if isinstance(value, dict) else ""
                raise self.error(here, f"is not a key of a policy{hint}")
            name = KEYS[key]
            if name in said:
                raise self.error(here, f"says the same as {_other(key)}: keep one of them")
            said[name] = self._value(here, key, name, value)
        return said

    def _value(self, path: tuple[str, ...], key: str, name: str, value: Any) -> int | bool | str:
        kind = _KINDS[name]
        if key != name:
            return self._duration(path, name, value)
        if kind is bool:
            if not isinstance(value, bool):
                raise self.error(path, "is true or false")
        elif kind is int:
            if not isinstance(value, int) or isinstance(value, bool):
                also = f', or {_other(key)} = "90 s"' if key.endswith("_ms") else ""
                raise self.error(path, f"is a whole number{also}")
        elif not isinstance(value, str):
            raise self.error(path, "is the name of a right")
        return value  # type: ignore[no-any-return]

    def _duration(self, path: tuple[str, ...], name: str, value: Any) -> int:
        if value == NEVER and may_be_never(name):
            return 0
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            never = f', or "{NEVER}"' if may_be_never(name) else ""
            raise self.error(path, f'is a whole number with its unit (ms, s, min, h, d), such as "90 s"{never}; or {name} = 90000')
        return int(found.group(1)) * _UNITS[found.group(2)]

    def policy(self, table: _Table, tables: list[_Table], base: Policy) -> Policy:
        """What the table's forms have, all wider tables applied first."""
        wider = sorted((other for other in tables if table.within(other)), key=lambda other: (other.whole, len(other.beginning)))
        said: dict[str, Any] = {name: getattr(base, name) for name in _KINDS}
        for other in wider:
            said.update(other.said)
        try:
            return Policy(**said)
        except BrokenPolicy as error:
            raise self.error(self._culprit(error, wider[::-1], table), f"can't hold: {error}") from None

    def _culprit(self, error: BrokenPolicy, narrowest_first: list[_Table], table: _Table) -> tuple[str, ...]:
        """The key, in the narrowest table that says one of those that don't go together."""
        for other in narrowest_first:
            for name in error.names:
                if name in other.said:
                    return (*other.path, self._as_written(other, name))
        return table.path

    def _as_written(self, table: _Table, name: str) -> str:
        document = tomllib.loads("\n".join(self._lines))
        short = name.removesuffix("_ms")
        return name if _has(document, (*table.path, name)) else short


def _other(key: str) -> str:
    return key.removesuffix("_ms") if key.endswith("_ms") else f"{key}_ms"


def _has(document: Any, path: tuple[str, ...]) -> bool:
    for part in path:
        if not isinstance(document, dict) or part not in document:
            return False
        document = document[part]
    return True
