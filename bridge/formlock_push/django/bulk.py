"""What Django's own signals are silent about: `update`, `bulk_update` and `bulk_create` of a QuerySet.

    class Invoice(models.Model):
        objects = FormLockQuerySet.as_manager()

or, for another manager's: `update(Invoice.objects.filter(...), amount=0)`. Which records are affected is read before, in the same
transaction: one query more. Of very many only the number is, and one message tells of all (U36). `delete` needs no help.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import DatabaseError, transaction
from django.db.models import Model, QuerySet

from formlock_push.changes import INSERTED, Change, Many, Pairs, type_of
from formlock_push.django import known as k
from formlock_push.django.hook import Hook, installed
from formlock_push.message import MAX_IDS, UPDATED
from formlock_push.scope import Acting, muted


class FormLockQuerySet(QuerySet[Any]):
    """Tells what it does."""

    def update(self, **values: Any) -> int:
        """As Django's."""
        return _update(self, values)

    update.alters_data = True  # type: ignore[attr-defined]  # no template may call it

    def bulk_update(self, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None) -> int:
        """As Django's."""
        return _bulk_update(self, objs, fields, batch_size=batch_size)

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **options: Any) -> list[Any]:
        """As Django's."""
        return _bulk_create(self, objs, *args, **options)


def update(queryset: QuerySet[Any], **values: Any) -> int:
    """As `queryset.update(**values)`, and told."""
    return _update(queryset, values)


def bulk_update(queryset: QuerySet[Any], objs: Iterable[Any], fields: Iterable[str], *, batch_size: int | None = None) -> int:
    """As `queryset.bulk_update(objs, fields)`, and told."""
    return _bulk_update(queryset, objs, fields, batch_size=batch_size)


def bulk_create(queryset: QuerySet[Any], objs: Iterable[Any], *args: Any, **options: Any) -> list[Any]:
    """As `queryset.bulk_create(objs)`, and told."""
    return _bulk_create(queryset, objs, *args, **options)


def _update(queryset: QuerySet[Any], values: Mapping[str, Any]) -> int:
    hook, who = _reporting(queryset.model)
    if hook is None or who is None:
        return int(QuerySet.update(queryset, **values))
    # The database that `update` itself will choose.
    queryset._for_write = True
    using = queryset.db
    with transaction.atomic(using, savepoint=False):
        _capture_update(hook, who, queryset, values, using)
        return int(QuerySet.update(queryset, **values))


def _capture_update(hook: Hook, who: Acting, queryset: QuerySet[Any], values: Mapping[str, Any], using: str) -> None:
    """Before the statement: afterwards its own condition may no longer find them."""
    model = queryset.model
    try:
        limit = max(hook.bulk_limit, MAX_IDS)
        affected = queryset.order_by().values("pk")
        records = list(QuerySet(model, using=using).filter(pk__in=affected)[: limit + 1])
        if len(records) > limit:
            _record_many(hook, who, records, using, UPDATED, affected.count())
            return
        for record in records:
            change = Change(status=UPDATED, form=None, pairs=_pairs(model, record, values), acting=who)
            if not change.nothing:
                hook.record_named(record, using, change)
    except DatabaseError:
        # In a transaction that is broken now the statement would fail too, and then the reason is this one.
        raise
    except Exception as error:  # noqa: BLE001 (whatever it is, the application's statement is run)
        hook.fail(f"what an update does to {model.__name__} was not captured", error)


def _pairs(model: type[Model], record: Model, values: Mapping[str, Any]) -> Pairs | None:
    """Of one record: what it has by what is set; None when the database computes that."""
    new: dict[str, Any] = {}
    for name, value in values.items():
        field = model._meta.pk if name == "pk" else model._meta.get_field(name)
        value = value.pk if isinstance(value, Model) else value
        new[field.attname] = value if k.is_unknown(value) else k.as_read(field, value)
    return k.pairs_of(model, k.values_of(record), new)


def _bulk_update(queryset: QuerySet[Any], objs: Iterable[Any], fields: Iterable[str], *, batch_size: int | None) -> int:
    hook, _ = _reporting(queryset.model)
    objs, names = list(objs), list(fields)
    if hook is None:
        return int(QuerySet.bulk_update(queryset, objs, names, batch_size=batch_size))
    queryset._for_write = True
    using = queryset.db
    with transaction.atomic(using, savepoint=False):
        with muted():
            # It is made of updates.
            done = int(QuerySet.bulk_update(queryset, objs, names, batch_size=batch_size))
        for instance in objs:
            hook.saved(instance, using, k.known_in(instance, using), created=False, only=names)
    return done


def _bulk_create(queryset: QuerySet[Any], objs: Iterable[Any], *args: Any, **options: Any) -> list[Any]:
    hook, who = _reporting(queryset.model)
    queryset._for_write = True
    using = queryset.db
    with transaction.atomic(using, savepoint=False):
        created: list[Any] = QuerySet.bulk_create(queryset, objs, *args, **options)
        if hook is None or who is None:
            return created
        # Of conflicts that were ignored or updated nobody can say what became of each; some databases don't tell the keys.
        certain = not options.get("ignore_conflicts") and not options.get("update_conflicts")
        if certain and all(instance.pk is not None for instance in created):
            for instance in created:
                hook.saved(instance, using, None, created=True, only=None)
        elif created:
            _record_many(hook, who, created, using, INSERTED if certain else UPDATED, len(created))
        return created


def _record_many(hook: Hook, who: Acting, samples: Sequence[Model], using: str, status: str, count: int) -> None:
    """One message for each type of form among these; all of them are counted for it."""
    for form in sorted({type_of(form) for sample in samples if (form := hook.name(sample).form) is not None}):
        hook.record(using, form, Many(form=form, status=status, count=count, acting=who))


def _reporting(model: type[Model]) -> tuple[Hook | None, Acting | None]:
    hook = installed()
    if hook is None or not k.provides(model):
        return None, None
    return hook, hook.who()
