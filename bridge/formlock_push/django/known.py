"""What is known of a record's row in the database: taken when it is loaded, without a query, and right again after a rollback."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Field, Model
from django.db.models.fields.files import FieldFile

from formlock_push.changes import Pairs, kept, same
from formlock_push.django.fields import LockTokenField
from formlock_push.django.transactions import Entry
from formlock_push.redact import Redact, redact_of

# Whose values are no expressions, and nobody can alter them in place: most are, and then nothing has to be asked of them.
_SIMPLE = frozenset({type(None), bool, int, float, str, bytes, Decimal, date, datetime, time, timedelta, UUID})
# Where a record's `Known` lies, in its `_state`: Django makes one for each instance, and copies it with it.
_KNOWN = "formlock_known"


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a model: its columns, the names of those that are told, the one with the version, the table that names its records, and
    which fields are for some only."""

    fields: tuple[Field[Any, Any], ...]
    told: frozenset[str]
    version: str | None
    root: str
    redact: Redact | None

    def key(self, instance: Model) -> tuple[str, Any]:
        """What names the record in its database. A parent's row and its child's (multi-table inheritance) are one record."""
        return self.root, instance.pk


def provides(model: type[Any]) -> bool:
    """Whether its records name their forms (`ChannelProvider`)."""
    return callable(getattr(model, "formlock_channel", None))


def shape_of(model: type[Model]) -> Shape:
    """Kept with the model."""
    shape: Shape | None = model.__dict__.get("_formlock_shape")
    if shape is None:
        shape = _shape(model)
        model._formlock_shape = shape
    return shape


def told(model: type[Model]) -> Iterator[Field[Any, Any]]:
    """The columns whose changes are told."""
    shape = shape_of(model)
    return (field for field in shape.fields if field.name in shape.told)


def _shape(model: type[Model]) -> Shape:
    version = getattr(model, "formlock_version", None)
    left_out = {version, *getattr(model, "formlock_leave_out", ())}
    fields = [field for field in model._meta.concrete_fields if not _silent(field)]
    root = model._meta.concrete_model
    while root._meta.parents:
        root = next(iter(root._meta.parents))
    return Shape(
        fields=tuple(fields),
        told=frozenset(field.name for field in fields) - left_out,
        version=model._meta.get_field(version).attname if version else None,
        root=root._meta.label,
        redact=_redact(model, fields),
    )


def _redact(model: type[Model], fields: Collection[Field[Any, Any]]) -> Redact | None:
    """The model's own. A key of another record has two names, which mean the same."""
    redact = dict(redact_of(model))
    for field in fields:
        right = redact.get(field.name) or redact.get(field.attname)
        if right is not None:
            redact.setdefault(field.name, right)
            redact.setdefault(field.attname, right)
    return redact or None


def _silent(field: Field[Any, Any]) -> bool:
    """No change of the record: the token, what the database computes from other columns, and the link to a parent's row."""
    return (
        isinstance(field, LockTokenField)
        or getattr(field, "generated", False)
        or bool(field.remote_field and getattr(field.remote_field, "parent_link", False))
    )


class Known:
    """The values of one record by column, as they were at some moment.

    When that moment was a save inside a transaction, `entry` is that save's and `before` what was known earlier: a rollback
    (which Django tells nobody) makes that true again. Pickled (a cache, a copy) it is only the values.
    """

    __slots__ = ("before", "entry", "pk", "values")

    def __init__(self, pk: object, values: dict[str, Any], entry: Entry | None = None, before: Known | None = None) -> None:
        self.pk = pk
        self.values = values
        self.entry = entry
        self.before = before

    def __reduce__(self) -> tuple[type[Known], tuple[object, dict[str, Any]]]:
        true = self.true()
        return (Known, (true.pk, true.values))

    def true(self) -> Known:
        """This one, or what was known before the saves that have been rolled back since."""
        known = self
        while known.entry is not None:
            if known.entry.committed:
                known.entry = known.before = None
            elif known.entry.is_pending():
                break
            else:
                known = known.before or Known(None, {})
        return known


def remember(instance: Model, known: Known) -> None:
    """From now on this is what is known."""
    setattr(instance._state, _KNOWN, known)


def known_of(instance: Model) -> Known | None:
    """What is true of it by now; None when nothing was ever known."""
    known: Known | None = getattr(instance._state, _KNOWN, None)
    if known is not None and known.entry is not None:
        known = known.true()
        remember(instance, known)
    return known


def known_in(instance: Model, using: str) -> Known | None:
    """What is known of its row in this database: nothing of one that is new, comes from another, or was given another key."""
    known = known_of(instance)
    if instance._state.adding or instance._state.db != using or known is None or known.pk != instance.pk:
        return None
    return known


def written(instance: Model, only: Collection[str] | None = None) -> dict[str, Any]:
    """As `values_of` right after a save, in the types that the database gives: "140.00" was set, a Decimal is there."""
    values = values_of(instance, only)
    for field in shape_of(type(instance)).fields:
        value = values.get(field.attname)
        if value is not None and not is_unknown(value):
            values[field.attname] = as_read(field, value)
    return values


def values_of(instance: Model, only: Collection[str] | None = None) -> dict[str, Any]:
    """The columns that are loaded, by their attributes' names; `only`: the fields or attributes to look at."""
    data = instance.__dict__
    return {
        field.attname: value if type(value := data[field.attname]) in _SIMPLE else _kept(value)
        for field in shape_of(type(instance)).fields
        if field.attname in data and (only is None or field.name in only or field.attname in only)
    }


def is_unknown(value: object) -> bool:
    """Whether the database computes it (`F("amount") + 1`)."""
    return type(value) not in _SIMPLE and hasattr(value, "resolve_expression")


def pairs_of(model: type[Model], old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Pairs | None:
    """`{field: (old, new)}` of the columns that differ; None when one of the values is not known."""
    if old is None:
        return None
    pairs: dict[str, tuple[Any, Any]] = {}
    for field in told(model):
        name = field.attname
        if name not in new:
            continue
        if name not in old or is_unknown(new[name]) or is_unknown(old[name]):
            return None
        if not same(old[name], new[name]):
            pairs[field.name] = (old[name], new[name])
    return pairs


def inserted(model: type[Model], new: Mapping[str, Any]) -> Pairs:
    """Of a new record: what is not empty."""
    return {
        field.name: (None, new[field.attname])
        for field in told(model)
        if field.attname in new and new[field.attname] is not None and not is_unknown(new[field.attname])
    }


def removed(model: type[Model], old: Mapping[str, Any]) -> Pairs:
    """Of a record that is gone: what was not empty."""
    return {field.name: (old[field.attname], None) for field in told(model) if old.get(field.attname) is not None}


def version_of(instance: Model) -> int | str | None:
    """Never read from the database when it is made there."""
    name = shape_of(type(instance)).version
    value = instance.__dict__.get(name) if name is not None else None
    if value is None or isinstance(value, (int, str)):
        return value
    return None if is_unknown(value) else str(value)


def _kept(value: Any) -> Any:
    """As `kept`; a file is its name, which its object may still change."""
    return value.name if isinstance(value, FieldFile) else kept(value)


def as_read(field: Field[Any, Any], value: Any) -> Any:
    """What an application has set, in the type that the database gives."""
    try:
        return field.to_python(value)
    except Exception:  # noqa: BLE001 (it is saved, so it is something; then it is told as it is)
        return value
