"""What SQLAlchemy knows of a record at a flush, read without loading anything."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column
from sqlalchemy.orm import InstanceState, Mapper, SynonymProperty
from sqlalchemy.sql import ClauseElement

from formlock_push.changes import Pairs, kept, same
from formlock_push.fencing import TOKEN
from formlock_push.redact import Redact, redact_of


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a mapped class: its fields that are told, its many-to-many relationships (no column has their changes), its version, and
    which fields are for some only."""

    columns: tuple[str, ...]
    links: tuple[str, ...]
    version: str | None
    redact: Redact | None


def shape_of(mapper: Mapper[Any], only: Collection[str] | None) -> Shape:
    """`only`: the fields that may be told; None for all but those that the class leaves out."""
    version = mapper.get_property_by_column(mapper.version_id_col).key if mapper.version_id_col is not None else None
    left_out = {TOKEN, version, *getattr(mapper.class_, "formlock_leave_out", ())}

    def told(name: str) -> bool:
        return name not in left_out and (only is None or name in only)

    return Shape(
        # Without what is computed from other columns (column_property).
        columns=tuple(prop.key for prop in mapper.column_attrs if told(prop.key) and isinstance(prop.columns[0], Column)),
        links=tuple(
            prop.key for prop in mapper.relationships if told(prop.key) and prop.secondary is not None and not prop.viewonly
        ),
        version=version,
        redact=_redact(mapper),
    )


def _redact(mapper: Mapper[Any]) -> Redact | None:
    """The class's own. Who names a relationship, a composite or a column of the table means the fields that are told of it too."""
    redact = dict(redact_of(mapper.class_))
    for name, right in list(redact.items()):
        for prop in mapper.column_attrs:
            if not _columns(mapper, name).isdisjoint(prop.columns):
                redact.setdefault(prop.key, right)
    return redact or None


def _columns(mapper: Mapper[Any], name: str) -> set[Any]:
    prop = mapper.attrs.get(name)
    if isinstance(prop, SynonymProperty):
        return _columns(mapper, prop.name)
    if prop is None:
        return {
            column
            for each in mapper.column_attrs
            for column in each.columns
            if column.key == name or getattr(column, "name", None) == name
        }
    columns: Any = getattr(prop, "local_columns", None) or getattr(prop, "columns", ())
    return set(columns)


def provides(record_class: type[Any]) -> bool:
    """Whether its records name their forms (`ChannelProvider`)."""
    return callable(getattr(record_class, "formlock_channel", None))


def identity(state: InstanceState[Any]) -> Any:
    """A record's name within the session, also before it is persistent."""
    return state.key or state.mapper.identity_key_from_instance(state.obj())


def computes(state: InstanceState[Any]) -> bool:
    """Before a flush: whether the database is to compute a value (`invoice.amount = Invoice.amount + 1`).

    By the end of the flush SQLAlchemy has forgotten that such a field was changed.
    """
    return any(isinstance(value, ClauseElement) or hasattr(type(value), "__clause_element__") for value in state.dict.values())


def values_before(state: InstanceState[Any], columns: Collection[str]) -> dict[str, Any] | None:
    """All values before the running flush; None when not all of them are loaded."""
    values: dict[str, Any] = {}
    for name in columns:
        history = state.attrs[name].history
        if history.has_changes():
            if not history.deleted:
                return None
            values[name] = kept(history.deleted[0])
        elif name in state.dict:
            values[name] = kept(state.dict[name])
        else:
            return None
    return values


def values_now(state: InstanceState[Any], columns: Collection[str]) -> dict[str, Any] | None:
    """All values as they are; None when not all of them are loaded, or one is computed by the database."""
    if computes(state) or any(name not in state.dict for name in columns):
        return None
    return {name: kept(state.dict[name]) for name in columns}


def pairs_of(state: InstanceState[Any], columns: Collection[str]) -> Pairs | None:
    """`{field: (old, new)}` of the running flush; None when an old value was never loaded."""
    pairs: dict[str, tuple[Any, Any]] = {}
    for name in columns:
        history = state.attrs[name].history
        if not history.has_changes():
            continue
        if not (history.deleted and history.added):
            return None
        old, new = history.deleted[0], history.added[0]
        if not same(old, new):
            pairs[name] = (kept(old), kept(new))
    return pairs
