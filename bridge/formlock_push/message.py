"""The shape of an update: what a backend says when a record has changed, and what the bridge makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from formlock_push.plain import UnsayableError
from formlock_push.sayable import MAX_BYTES, MAX_IDS, VERSION, encoded, is_line, said

__all__ = ["MAX_BYTES", "MAX_IDS", "UPDATED", "VERSION", "Update", "is_line"]

UPDATED = "updated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One change of one form, or of many of a type at once. Everything but the form may be left out; None is never sent.

    - `form`: its topic, `com.example.form.<type>.<id>`; `com.example.form.<type>.*` is a bulk message
    - `change_set`: `{field: [old, new]}`; of a bulk message `{field: [None, new]}`, what all have in common now
    - `status`: what happened in the backend's own words
    - `id`, `source`: names of this update and of who reports it; together they make it recognisable
    - `version`: the record's version after the change
    - `origin`: the tab (or session) that saved; it need not be told what it did itself
    - `actor`: who did it: `{"user": ..., "name": ...}`, or only the user
    - `representation`: the new contents, `{field: value}` or a fragment of HTML
    - `redact`: `{field: right}`: nobody without the right sees the field, not even its name
    - `count`: of a bulk message: how many records have changed; `ids`: which ones, as in topics, 1,000 at most
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

    @property
    def bulk(self) -> bool:
        """Whether it is about many records of a type."""
        return self.form.endswith(".*")

    def facts(self) -> dict[str, Any]:
        """What was said, by name: no key for what was left out."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}

    def problems(self) -> tuple[str, ...]:
        """Why the bridge would refuse it, one sentence a key with its place (`change_set.amount: ...`); empty if it would not."""
        message, problems = said(self.facts())
        try:
            encoded(message)
        except UnsayableError as error:
            problems = (*problems, str(error))
        return problems

    def encode(self) -> bytes:
        """The message as JSON, such that the bridge takes it.

        Raises ValueError, with all that is wrong in its sentence, for what it would refuse: an endless float, a broken text or one
        that begins with NUL, more than 32 levels, more than 64 kB, a name that is no line of text. A value's own `__str__` may raise
        anything else.
        """
        message, problems = said(self.facts())
        if problems:
            raise UnsayableError("; ".join(problems))
        return encoded(message)
