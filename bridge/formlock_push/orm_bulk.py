"""Which records a bulk statement of a session affects: `session.execute(update(Invoice).where(...))`, and its like.

Statements on a `Table`, text and the older `bulk_save_objects` name no entity, or don't pass here at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, Result, Select, and_, func, or_, select
from sqlalchemy import inspect as inspect_
from sqlalchemy.orm import Mapper, ORMExecuteState

from formlock_push.changes import DELETED, INSERTED
from formlock_push.message import UPDATED
from formlock_push.orm_record import provides

# SQLite takes no condition that is nested deeper than 1,000, and a chain of ORs is.
CHUNK = 200
SAMPLES = 10


@dataclass(frozen=True, slots=True)
class Bulk:
    """A statement, what becomes of the records, and which ones they are.

    - `condition`: the statement's own; None for all records
    - `keys`: the primary keys among its parameters, when it is run once for each of them; then there is no condition
    """

    state: ORMExecuteState
    mapper: Mapper[Any]
    status: str
    condition: ColumnElement[bool] | None = None
    keys: tuple[tuple[Any, ...], ...] | None = None

    def records(self, limit: int) -> Sequence[Any] | None:
        """The records as they are now; None when there are more than the limit. Read on the connection of the statement."""
        if self.keys is None:
            records = self._read(self.mapper.class_, self.condition, limit + 1)
            return None if len(records) > limit else records
        if len(self.keys) > limit:
            return None
        return [record for chunk in _chunks(self.keys) for record in self._read(self.mapper.class_, self._by_keys(chunk))]

    def samples(self) -> Sequence[Any]:
        """A few records of each class that is among them."""
        condition = self.condition if self.keys is None else self._by_keys(self.keys[:SAMPLES])
        return [
            record
            for sub in self.mapper.self_and_descendants
            if provides(sub.class_)
            for record in self._read(sub.class_, condition, SAMPLES)
        ]

    def count(self) -> int:
        """How many records there are; of a hierarchy of classes, all of them together."""
        if self.keys is not None:
            return len(self.keys)
        found = self._where(select(*self.mapper.primary_key).select_from(self.mapper.class_), self.condition).distinct()
        return int(self._execute(select(func.count()).select_from(found.subquery())).scalar_one())

    def _read(self, entity: type[Any], condition: ColumnElement[bool] | None, limit: int | None = None) -> Sequence[Any]:
        return self._execute(self._where(select(entity).limit(limit), condition)).scalars().unique().all()

    def _where(self, query: Select[Any], condition: ColumnElement[bool] | None) -> Select[Any]:
        return query if condition is None else query.where(condition)

    def _execute(self, query: Select[Any]) -> Result[Any]:
        state = self.state
        options: dict[str, Any] = {"autoflush": False}
        if "schema_translate_map" in state.execution_options:
            options["schema_translate_map"] = state.execution_options["schema_translate_map"]
        # These two name the statement itself; the others say which database. The entity says it too, where it has a say.
        binding = {name: value for name, value in state.bind_arguments.items() if name not in ("clause", "mapper")}
        # A parameter of the statement may occur in its condition.
        given = cast("dict[str, Any] | None", state.parameters) if self.keys is None else None
        binding.setdefault("mapper", self.mapper)
        return state.session.execute(query, given, execution_options=options, bind_arguments=binding)

    def _by_keys(self, keys: Sequence[tuple[Any, ...]]) -> ColumnElement[bool]:
        columns = self.mapper.primary_key
        return or_(*(and_(*(column == value for column, value in zip(columns, key, strict=True))) for key in keys))


def bulk_of(state: ORMExecuteState) -> Bulk | None:
    """None when no record that names its form can be affected, or when it can't be said which ones."""
    # RETURNING of whole records wraps the statement.
    statement: Any = cast("Any", state.statement).element if state.is_from_statement else state.statement
    entity = statement.entity_description.get("entity")
    if entity is None:
        return None
    mapper = cast("Mapper[Any]", inspect_(entity).mapper)
    if not any(provides(sub.class_) for sub in mapper.self_and_descendants):
        return None
    if state.is_insert or state.is_executemany:
        # What is new can be found again only when its keys are known beforehand; of an upsert it may even be old.
        keys = _keys(mapper, state.parameters)
        status = INSERTED if state.is_insert else UPDATED
        return Bulk(state, mapper, status, keys=keys) if keys else None
    return Bulk(state, mapper, DELETED if state.is_delete else UPDATED, condition=statement.whereclause)


def _keys(mapper: Mapper[Any], parameters: Any) -> tuple[tuple[Any, ...], ...] | None:
    """The primary keys among the parameters; None when a row has none."""
    rows = parameters if isinstance(parameters, list) else [parameters or {}]
    names = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    if any(row.get(name) is None for row in rows for name in names):
        return None
    return tuple(tuple(row[name] for name in names) for row in rows)


def _chunks(keys: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    return (keys[start : start + CHUNK] for start in range(0, len(keys), CHUNK))
