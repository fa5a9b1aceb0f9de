"""Asks records for what only they know: their form, their part of another's, their contents. What fails in them costs no commit."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import inspect as inspect_
from sqlalchemy.orm import InstanceState, Mapper

from formlock_push.changes import kept
from formlock_push.orm_record import Shape, shape_of

Fail = Callable[[str, Exception], None]


@dataclass(frozen=True, slots=True)
class Name:
    """Where a record is shown: its form's topic (None: nowhere), and what it is called there when the form is another record's."""

    form: str | None
    part: str | None = None


class Asker:
    """Of one hook. `fail` is told what an application's method has raised."""

    def __init__(self, fields: Mapping[type[Any], Collection[str]], fail: Fail) -> None:
        self._fields = fields
        self._fail = fail
        self._shapes: weakref.WeakKeyDictionary[Mapper[Any], Shape] = weakref.WeakKeyDictionary()

    def name(self, record: Any) -> Name:
        """As the record is now."""
        try:
            return _name(record, type(record))
        except Exception as error:  # noqa: BLE001 (the application's own, but not worth its commit)
            self._fail(f"{type(record).__name__} could not name its form", error)
            return Name(None)

    def name_before(self, record: Any) -> Name | None:
        """As the record was before it was changed; None when that can't be said, without anything being loaded for it."""
        try:
            return _name(_Before(record), type(record))
        except Exception:  # noqa: BLE001 (a guess on the way to an answer; then it is named as it is now)
            return None

    def representation(self, record: Any) -> Mapping[str, Any] | str | None:
        say = getattr(record, "formlock_representation", None)
        if say is None:
            return None
        try:
            representation = say()
        except Exception as error:  # noqa: BLE001 (as above)
            self._fail(f"{type(record).__name__}.formlock_representation failed", error)
            return None
        return cast("Mapping[str, Any] | str | None", kept(representation))

    def version(self, record: Any) -> int | str | None:
        state = inspect_(record)
        name = self.shape(state.mapper).version
        # Not read from the database when it is made there.
        value = state.dict.get(name) if name is not None else None
        if value is None or isinstance(value, (int, str)):
            return value
        return value.hex() if isinstance(value, bytes) else str(value)

    def shape(self, mapper: Mapper[Any]) -> Shape:
        shape = self._shapes.get(mapper)
        if shape is None:
            only = next((self._fields[base] for base in mapper.class_.__mro__ if base in self._fields), None)
            shape = self._shapes[mapper] = shape_of(mapper, only)
        return shape


def _name(record: Any, record_class: type[Any]) -> Name:
    channel = record.formlock_channel()
    if not channel:
        return Name(None)
    part = record.formlock_part() if callable(getattr(record_class, "formlock_part", None)) else None
    return Name(str(channel), str(part) if part else None)


class _Unknown(Exception):
    """An old value that was never loaded."""


class _Before:
    """Stands in for a record in its own methods, with the values that it had before it was changed."""

    def __init__(self, record: Any) -> None:
        self.__record = record

    def __getattr__(self, name: str) -> Any:
        record = self.__record
        state: InstanceState[Any] = inspect_(record)
        if name in state.mapper.attrs:
            if name in state.committed_state:
                history = state.attrs[name].history
                if not history.deleted:
                    if not history.has_changes():
                        return getattr(record, name)
                    raise _Unknown
                return history.deleted[0]
            return getattr(record, name)
        # The class's own methods and properties see the old values too.
        found = inspect.getattr_static(type(record), name, None)
        if hasattr(type(found), "__get__"):
            return found.__get__(self, type(record))
        return getattr(record, name)
