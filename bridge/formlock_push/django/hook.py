"""The hook for Django's ORM: what a transaction commits is pushed, one update per form; what it rolls back never is (U35, A22).

Django's signals say that something was saved, not what is different, and not whether it will be committed. So a record is
remembered when it is loaded (`known`), compared when it is saved, and what differs waits for the commit (`transactions`).
"""

from __future__ import annotations

import functools
import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, signals

from formlock_push.changes import DELETED, INSERTED, Change, Ledger, Many, kept, same
from formlock_push.django import known as k
from formlock_push.django.conf import DEFAULT_BULK_LIMIT
from formlock_push.django.transactions import Entry
from formlock_push.fitting import fitting
from formlock_push.message import UPDATED, Update
from formlock_push.redact import InvalidRedact, redact_of
from formlock_push.scope import Acting, reporting

# Something that fails at every save is one line in this time, and counted.
LOG_EVERY_S = 10.0
# Where what was known before a save waits until it is done, in the record's `_state`.
_BEFORE = "formlock_before"

_log = logging.getLogger("formlock_push")


class Sender(Protocol):
    """What takes the updates: a `Pusher`. Returns whether it has taken it. An `Outbox` is the other kind: it writes."""

    def send(self, update: Update, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class Name:
    """Where a record is shown: its form's topic (None: nowhere), and what it is called there when the form is another record's."""

    form: str | None
    part: str | None = None


def _name(instance: Any) -> Name:
    form = instance.formlock_channel()
    if not form:
        return Name(None)
    part = instance.formlock_part() if callable(getattr(type(instance), "formlock_part", None)) else None
    return Name(str(form), str(part) if part else None)


class AlreadyInstalled(Exception):
    """There is a hook already; with two of them each change would be told twice."""


def install(sender: Any, *, jobs: bool = False, bulk_limit: int = DEFAULT_BULK_LIMIT, source: str | None = None) -> Hook:
    """Report what is committed from now on, until `remove` of the hook. The app `formlock_push.django` does it at its start.

    - `sender`: a `Sender`, or an `Outbox`
    - `jobs`: report what happens outside of requests too
    - `bulk_limit`: of more records of one type in one transaction, one message tells
    - `source`: the program's name, where nobody has said another
    """
    global _hook
    with _installing:
        if _hook is not None:
            raise AlreadyInstalled("There is a hook already; call its `remove` first.")
        _hook = Hook(sender, jobs=jobs, bulk_limit=bulk_limit, source=source)
        return _hook


def installed() -> Hook | None:
    """The hook that reports now."""
    return _hook


class Hook:
    """Made by `install`. Counts what became of the updates:

    - `pushed`: taken by the pusher, or written to the outbox
    - `dropped`: not taken, since it could not within its time
    - `failed`: lost by an error, of a record's own methods or of the pusher
    """

    def __init__(self, sender: Any, *, jobs: bool, bulk_limit: int, source: str | None) -> None:
        self.pushed = 0
        self.dropped = 0
        self.failed = 0
        self.bulk_limit = bulk_limit
        self._sender = sender
        self._jobs = jobs
        self._source = source
        self._counting = threading.Lock()
        self._quiet_until = float("-inf")

    def remove(self) -> None:
        """Report nothing any more, not even what is not yet committed. May be repeated."""
        global _hook
        with _installing:
            if _hook is self:
                _hook = None

    @property
    def writes(self) -> bool:
        """Whether updates are written into the transaction that they tell of."""
        return hasattr(self._sender, "write")

    def who(self) -> Acting | None:
        """Who acts, if what is done at this moment is to be reported."""
        acting = reporting(jobs=self._jobs)
        if acting is None or self._source is None or acting.source is not None:
            return acting
        return replace(acting, source=self._source)

    def around(self, using: str) -> AbstractContextManager[Any]:
        """An outbox is of no use without a transaction: where Django needs none for a single statement, it gets one."""
        return transaction.atomic(using, savepoint=False) if self.writes and self.who() is not None else nullcontext()

    # -- what is saved

    def saved(self, instance: Model, using: str, before: k.Known | None, created: bool, only: Collection[str] | None) -> None:
        """After the statement, with what was known before it."""
        new = k.written(instance, only)
        old = None if before is None else before.values
        entry: Entry | None = None
        who = self.who()
        connection = connections[using]
        if who is not None:
            try:
                for change in self._changes(instance, old, new, created, who):
                    entry = self.record(using, k.shape_of(type(instance)).key(instance), change)
            except Exception as error:  # noqa: BLE001 (whatever it is, the application's save goes on)
                self.fail(f"a change of {type(instance).__name__} was not captured", error)
        now = {name: value for name, value in {**(old or {}), **new}.items() if not k.is_unknown(value)}
        if entry is None and connection.in_atomic_block:
            # Nobody can say later whether this was rolled back, so only what stayed as it was is still known.
            now = {name: value for name, value in (old or {}).items() if name not in new or same(value, new[name])}
        k.remember(instance, k.Known(instance.pk, now, entry, before))

    def _changes(
        self, instance: Model, old: Mapping[str, Any] | None, new: Mapping[str, Any], created: bool, who: Acting
    ) -> list[Change]:
        """What is told of a save; of a record that has moved to another form, what is told in each of the two."""
        model = type(instance)
        pairs = k.inserted(model, new) if created else k.pairs_of(model, old, new)
        redact = k.shape_of(model).redact
        change = Change(status=INSERTED if created else UPDATED, form=None, pairs=pairs, acting=who, redact=redact)
        # A column that is not told may still say where the record belongs.
        differs = {name for name, value in new.items() if old and name in old and not same(old[name], value)}
        if change.nothing and not differs:
            return []
        name = self.name(instance)
        before = self._name_before(instance, old or {}, differs) if differs and not created else None
        if before is None or before == name or before.form is None:
            return [] if change.nothing else [self._completed(change, name, instance)]
        if before.part is not None:
            left = replace(change, status=DELETED, form=before.form, part=before.part, pairs=k.removed(model, old or {}))
            arrived = replace(change, status=INSERTED, pairs=k.inserted(model, {**(old or {}), **new}))
            return [left, self._completed(arrived, name, instance)] if name.form is not None else [left]
        if name.form is None or before.form == name.form:
            return [] if change.nothing else [self._completed(change, name, instance)]
        return [self._completed(change, name, instance), replace(change, form=before.form, part="", pairs=None)]

    def _completed(self, change: Change, name: Name, instance: Model) -> Change:
        return replace(
            change,
            form=name.form,
            part=name.part,
            version=k.version_of(instance),
            representation=self._representation(instance) if name.part is None else None,
        )

    def _name_before(self, instance: Model, old: Mapping[str, Any], differs: Collection[str]) -> Name | None:
        """As the record was named with its old values, by attribute; None when it can't say."""
        # Not by `copy`, which for a model is a pickle.
        earlier: Model = object.__new__(type(instance))
        state = object.__new__(type(instance._state))
        state.__dict__.update(instance._state.__dict__, fields_cache=dict(instance._state.fields_cache))
        earlier.__dict__.update(instance.__dict__, _state=state)
        for field in k.shape_of(type(instance)).fields:
            if field.attname not in old:
                continue
            earlier.__dict__[field.attname] = old[field.attname]
            if field.is_relation and field.attname in differs and field.is_cached(earlier):
                field.delete_cached_value(earlier)
        try:
            return _name(earlier)
        except Exception:  # noqa: BLE001 (a guess on the way to an answer; then it is named as it is now)
            return None

    def gone(self, instance: Model, using: str) -> None:
        """Before its row is deleted, while it can still say what it was."""
        who = self.who()
        if who is None:
            return
        try:
            known = k.known_of(instance)
            values = known.values if known is not None and known.pk == instance.pk else {}
            # It is deleted as the database has it, whatever was set and not saved.
            name = self._name_before(instance, values, values) or self.name(instance)
            pairs = k.removed(type(instance), values) if name.part is not None else None
            shape = k.shape_of(type(instance))
            change = Change(status=DELETED, form=name.form, part=name.part, pairs=pairs, acting=who, redact=shape.redact)
            self.record(using, shape.key(instance), change)
        except Exception as error:  # noqa: BLE001 (as above)
            self.fail(f"a deletion of {type(instance).__name__} was not captured", error)

    def linked(self, instances: Iterable[Model], using: str) -> None:
        """Their many-to-many relationships have changed; no column has."""
        who = self.who()
        if who is None:
            return
        for instance in instances:
            try:
                self.record_named(instance, using, Change(status=UPDATED, form=None, acting=who))
            except Exception as error:  # noqa: BLE001 (as above)
                self.fail(f"a change of {type(instance).__name__} was not captured", error)

    def record_named(self, instance: Model, using: str, change: Change) -> None:
        """A change of a record about which only its name is asked."""
        name = self.name(instance)
        shape = k.shape_of(type(instance))
        self.record(using, shape.key(instance), replace(change, form=name.form, part=name.part, redact=shape.redact))

    def record(self, using: str, record: Any, change: Change | Many) -> Entry | None:
        """Told when the transaction is committed; at once when there is none, since then it is."""
        connection = connections[using]
        entry = Entry(self, connection, record, change)
        if connection.in_atomic_block:
            entry.register()
            return entry
        if not connection.get_autocommit():
            raise transaction.TransactionManagementError("Nobody can say what of a manual transaction is committed.")
        self.before_commit(connection, [entry])
        self.after_commit(connection, [entry])
        return None

    # -- what a record says

    def name(self, instance: Model) -> Name:
        """As the record is now."""
        try:
            return _name(instance)
        except Exception as error:  # noqa: BLE001 (the application's own, but not worth its save)
            self.fail(f"{type(instance).__name__} could not name its form", error)
            return Name(None)

    def _representation(self, instance: Model) -> Mapping[str, Any] | str | None:
        say = getattr(instance, "formlock_representation", None)
        if say is None:
            return None
        try:
            return cast("Mapping[str, Any] | str | None", kept(say()))
        except Exception as error:  # noqa: BLE001 (as above)
            self.fail(f"{type(instance).__name__}.formlock_representation failed", error)
            return None

    # -- commits

    def before_commit(self, connection: BaseDatabaseWrapper, entries: Sequence[Entry]) -> None:
        """An outbox's rows are a part of the transaction: what fails at them makes it fail."""
        if _hook is not self or not self.writes:
            return
        written = self._sender.write(connection, self._updates(entries))
        with self._counting:
            self.pushed += written

    def after_commit(self, connection: BaseDatabaseWrapper, entries: Sequence[Entry]) -> None:  # noqa: ARG002 (of the protocol)
        """From here on nothing may look as if it was not committed."""
        if _hook is not self or self.writes:
            return
        try:
            updates = self._updates(entries)
        except Exception as error:  # noqa: BLE001 (as above)
            self.fail("what was committed can't be told", error)
            return
        for update in updates:
            self._send(update)

    def _updates(self, entries: Sequence[Entry]) -> list[Update]:
        ledger = Ledger()
        for entry in entries:
            if isinstance(entry.change, Many):
                ledger.add_many(entry.change)
            else:
                ledger.add(entry.record, entry.change)
        return [replace(update, id=uuid.uuid4().hex) for update in ledger.updates(self.bulk_limit)]

    def _send(self, update: Update) -> None:
        try:
            taken = self._sender.send(fitting(update)[0])
        except Exception as error:  # noqa: BLE001 (as above)
            self.fail(f"the update of {update.form} was not pushed", error)
            return
        with self._counting:
            if taken:
                self.pushed += 1
            else:
                self.dropped += 1

    def fail(self, what: str, error: Exception) -> None:
        """Counted, and logged now and then."""
        with self._counting:
            self.failed += 1
            now = time.monotonic()
            if now < self._quiet_until:
                return
            self._quiet_until = now + LOG_EVERY_S
        _log.warning("%s: %s: %s (%d failures so far)", what, type(error).__name__, error, self.failed, exc_info=error)


_installing = threading.Lock()
_hook: Hook | None = None


# -- what Django calls


def listen() -> None:
    """To models as they are made, and to those that are there already. Before any of them is made our receivers are the first of
    each: a receiver that saves the record once more is then told of after the save that it reacts to."""
    signals.class_prepared.connect(_prepared, dispatch_uid="formlock_push")
    signals.m2m_changed.connect(_m2m_changed, dispatch_uid="formlock_push")


def _prepared(sender: type[Model], **_: Any) -> None:
    if not k.provides(sender) or sender._meta.abstract:
        return
    try:
        redact_of(sender)
    except InvalidRedact as error:
        # Here it stops the application's start; later it would be a model that can't be told.
        raise ImproperlyConfigured(str(error)) from None
    signals.post_init.connect(_loaded, sender=sender, dispatch_uid="formlock_push")
    signals.pre_save.connect(_before_save, sender=sender, dispatch_uid="formlock_push")
    signals.post_save.connect(_after_save, sender=sender, dispatch_uid="formlock_push")
    signals.pre_delete.connect(_before_delete, sender=sender, dispatch_uid="formlock_push")
    # There is no signal for these two.
    sender.refresh_from_db = _refreshing(sender.refresh_from_db)
    sender.save_base = _saving(sender.save_base)


def _refreshing(original: Callable[..., None]) -> Callable[..., None]:
    """Deferred fields come this way too, when they are first looked at."""

    @functools.wraps(original)
    def refresh_from_db(self: Model, using: str | None = None, fields: Collection[str] | None = None, **more: Any) -> None:
        fields = None if fields is None else list(fields)
        original(self, using, fields, **more)
        read = k.values_of(self, fields)
        before = k.known_of(self)
        if before is None or before.pk != self.pk:
            k.remember(self, k.Known(self.pk, read))
        else:
            before.values.update(read)

    return refresh_from_db


def _saving(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def save_base(self: Model, *args: Any, **options: Any) -> None:
        hook = _hook
        if hook is None or not hook.writes:
            original(self, *args, **options)
            return
        given = args[3] if len(args) > 3 else options.get("using")
        with hook.around(given or router.db_for_write(type(self), instance=self)):
            original(self, *args, **options)

    save_base.alters_data = True  # type: ignore[attr-defined]  # no template may call it
    return save_base


def _loaded(instance: Model, **_: Any) -> None:
    k.remember(instance, k.Known(instance.pk, k.values_of(instance)))


def _before_save(instance: Model, using: str, **_: Any) -> None:
    """What `save` is about to overwrite; `save` changes what says so."""
    setattr(instance._state, _BEFORE, k.known_in(instance, using))


def _after_save(instance: Model, created: bool, raw: bool, using: str, update_fields: Collection[str] | None, **_: Any) -> None:
    before = instance._state.__dict__.pop(_BEFORE, None)
    hook = _hook
    if hook is None or raw:
        # A fixture's record may point to others that are not there yet, so nobody asks it for its form.
        k.remember(instance, k.Known(instance.pk, {}))
        return
    hook.saved(instance, using, before, created, update_fields)


def _before_delete(instance: Model, using: str, **_: Any) -> None:
    if _hook is not None:
        _hook.gone(instance, using)


def _m2m_changed(
    sender: type[Model],
    instance: Any,
    action: str,
    reverse: bool,
    model: type[Model],
    pk_set: Collection[Any] | None,
    using: str,
    **_: Any,
) -> None:
    hook = _hook
    if hook is None or hook.who() is None:
        return
    if not reverse:
        if action in ("post_add", "post_remove", "post_clear") and k.provides(type(instance)):
            hook.linked([instance], using)
        return
    if not k.provides(model):
        return
    # From the other side: the records are those that were added, or are about to leave.
    try:
        if action in ("post_add", "post_remove") and pk_set:
            hook.linked(model._base_manager.using(using).filter(pk__in=pk_set), using)
        elif action == "pre_clear":
            hook.linked(_linked_through(sender, model, instance, using), using)
    except Exception as error:  # noqa: BLE001 (whatever it is, the application's change goes on)
        hook.fail(f"a change of {model.__name__} was not captured", error)


def _linked_through(through: type[Model], model: type[Model], instance: Model, using: str) -> Iterable[Model]:
    """The records whose relationship by this table has the instance on its other side."""
    for field in model._meta.many_to_many:
        if field.remote_field.through is through:
            return list(model._base_manager.using(using).filter(**{field.name: instance.pk}))
    return []
