"""Listens to sessions: what a transaction changes is gathered, and handed over at the commit. Made by `sqlalchemy.install`."""

from __future__ import annotations

import logging
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast, runtime_checkable

from sqlalchemy import Result, event
from sqlalchemy import inspect as inspect_
from sqlalchemy.orm import InstanceState, ORMExecuteState, Session, SessionTransaction, UOWTransaction

from formlock_push.changes import DELETED, INSERTED, Change, Ledger, Many, Pairs, kept, type_of
from formlock_push.fitting import fitting
from formlock_push.message import MAX_IDS, UPDATED, Update
from formlock_push.orm_ask import Asker, Name
from formlock_push.orm_bulk import Bulk, bulk_of
from formlock_push.orm_record import computes, identity, pairs_of, provides, values_before, values_now
from formlock_push.scope import Acting, reporting

# Something that fails at every flush is one line in this time, and counted.
LOG_EVERY_S = 10.0

_log = logging.getLogger("formlock_push")


class Sender(Protocol):
    """What takes the updates after the commit: a `Pusher`. Returns whether it has taken it."""

    def send(self, update: Update, /) -> bool: ...


@runtime_checkable
class Writer(Protocol):
    """What takes the updates before the commit, in the same transaction: an `Outbox`. What it raises stops the commit.

    Returns how many it has written.
    """

    def write(self, session: Session, updates: Sequence[Update], /) -> int: ...


class Hook:
    """Made by `install`. Counts what became of the updates:

    - `pushed`: taken by the pusher; with an outbox: written and committed
    - `dropped`: not taken, since it could not within its time
    - `failed`: lost by an error, of a record's own methods or of the pusher
    - `bulk`: of the pushed ones, those that tell of a whole type instead of single records
    """

    def __init__(
        self,
        target: type[Session] | Session,
        pusher: Sender | Writer,
        *,
        jobs: bool,
        bulk_limit: int,
        fields: Mapping[type[Any], Collection[str]],
    ) -> None:
        self.pushed = 0
        self.dropped = 0
        self.failed = 0
        self.bulk = 0
        # The class's listeners are kept by SQLAlchemy for as long as the class lives, so it must not live by them.
        self._target = weakref.ref(target)
        self._writer = pusher if isinstance(pusher, Writer) else None
        self._sender = None if isinstance(pusher, Writer) else pusher
        self._jobs = jobs
        self._bulk_limit = bulk_limit
        self._ask = Asker(fields, self._fail)
        self._counting = threading.Lock()
        self._quiet_until = float("-inf")
        self._listeners: list[tuple[str, Callable[..., Any]]] = [
            ("before_flush", self._before_flush),
            ("after_flush", self._after_flush),
            ("after_flush_postexec", self._after_flush_postexec),
            ("do_orm_execute", self._on_execute),
            ("before_commit", self._before_commit),
            ("after_commit", self._after_commit),
            ("after_transaction_end", self._after_transaction_end),
        ]
        for name, listener in self._listeners:
            event.listen(target, name, listener)

    def remove(self) -> None:
        """Report nothing any more, not even what is flushed and not yet committed. May be repeated."""
        target = self._target()
        with installing:
            if target is None or hooked.get(target) is not self:
                return
            del hooked[target]
        for name, listener in self._listeners:
            event.remove(target, name, listener)

    # -- flushes

    def _before_flush(self, session: Session, _context: UOWTransaction, _objects: Sequence[Any] | None) -> None:
        if (before := self._work_of(session)) is not None:
            before.begin_flush()
        if reporting(jobs=self._jobs) is None:
            return
        work = self._work(session)
        for record in session.deleted:
            if provides(type(record)):
                # Afterwards there is no row from which an expired attribute could be read.
                work.names[inspect_(record)] = self._last_name(record)
        for record in session.dirty:
            if provides(type(record)) and computes(inspect_(record)):
                work.computed.add(inspect_(record))

    def _after_flush(self, session: Session, context: UOWTransaction) -> None:
        who = reporting(jobs=self._jobs)
        if who is None:
            return
        work = self._work(session)
        # All that this flush writes: `session.dirty` and `session.deleted` miss orphans and what relationships have set.
        states = [
            (state, gone)
            for state, (gone, _listed_only) in context.states.items()
            if state.obj() is not None and provides(state.class_)
        ]
        # Deletions first: a record that replaces one of the same key in the same flush is an update of that row. Then inserts, as
        # they were added.
        states.sort(key=lambda entry: (not entry[1], entry[0].insert_order or 0))
        for state, gone in states:
            try:
                work.flushed.append(self._gone(state, work, who) if gone else self._changed(state, work, who))
            except Exception as error:  # noqa: BLE001 (whatever it is, the application's flush goes on)
                self._fail(f"a change of {state.class_.__name__} was not captured", error)

    def _after_flush_postexec(self, session: Session, _context: UOWTransaction) -> None:
        """Ask the records only now: during the flush a new one can't load what its relationships point to."""
        work = self._work_of(session)
        if work is None:
            return
        flushed, work.flushed = work.flushed, []
        work.begin_flush()
        ledger = work.ledger(_boundary(session))
        for flushed_one in flushed:
            try:
                for change in self._told(flushed_one):
                    ledger.add(flushed_one.identity, change)
            except Exception as error:  # noqa: BLE001 (as above)
                self._fail(f"a change of {type(flushed_one.record).__name__} was not captured", error)
        self._write_late(session, work)

    def _gone(self, state: InstanceState[Any], work: _Work, who: Acting) -> _Flushed:
        record = state.obj()
        name = work.names[state] if state in work.names else self._last_name(record)
        pairs: Pairs | None = None
        if name.part is not None and (values := values_before(state, self._ask.shape(state.mapper).columns)) is not None:
            pairs = {field: (value, None) for field, value in values.items() if value is not None}
        return _Flushed(record, identity(state), Change(status=DELETED, form=name.form, part=name.part, pairs=pairs, acting=who))

    def _changed(self, state: InstanceState[Any], work: _Work, who: Acting) -> _Flushed:
        shape = self._ask.shape(state.mapper)
        record = state.obj()
        if state.key is None:
            values = {name: kept(state.dict.get(name)) for name in shape.columns}
            pairs: Pairs | None = {name: (None, value) for name, value in values.items() if value is not None}
            return _Flushed(record, identity(state), Change(status=INSERTED, form=None, pairs=pairs, acting=who))
        pairs = None if state in work.computed else pairs_of(state, shape.columns)
        if pairs == {} and any(state.attrs[name].history.has_changes() for name in shape.links):
            pairs = None
        change = Change(status=UPDATED, form=None, pairs=pairs, acting=who)
        # It may have moved: from another form, or under another name.
        before = self._ask.name_before(record) if state.committed_state else None
        values_then = values_before(state, shape.columns) if before is not None and before.part is not None else None
        return _Flushed(record, identity(state), change, before, values_then)

    def _told(self, flushed: _Flushed) -> list[Change]:
        """The flushed change with what the record itself says; of one that has moved, what is told in each of the two forms."""
        change, record, before = flushed.change, flushed.record, flushed.before
        if change.status == DELETED:
            return [change]
        name = self._ask.name(record)
        if before is not None and before.form is not None and before != name:
            if before.part is not None:
                return [self._left(change, before, flushed.values), *self._arrived(change, name, record)]
            if name.form is not None and before.form != name.form:
                return [self._completed(change, name, record), replace(change, form=before.form, part="", pairs=None)]
        return [] if change.nothing else [self._completed(change, name, record)]

    def _left(self, change: Change, before: Name, values: Mapping[str, Any] | None) -> Change:
        pairs = None if values is None else {field: (value, None) for field, value in values.items() if value is not None}
        return replace(change, status=DELETED, form=before.form, part=before.part, pairs=pairs)

    def _arrived(self, change: Change, name: Name, record: Any) -> list[Change]:
        if name.form is None:
            return []
        state = inspect_(record)
        values = values_now(state, self._ask.shape(state.mapper).columns)
        pairs = None if values is None else {field: (None, value) for field, value in values.items() if value is not None}
        return [self._completed(replace(change, status=INSERTED, pairs=pairs), name, record)]

    def _completed(self, change: Change, name: Name, record: Any) -> Change:
        return replace(
            change,
            form=name.form,
            part=name.part,
            version=self._ask.version(record),
            representation=self._ask.representation(record) if name.part is None else None,
        )

    def _last_name(self, record: Any) -> Name:
        """Of one that is deleted: as the database has it."""
        return self._ask.name_before(record) or self._ask.name(record)

    # -- bulk statements

    def _on_execute(self, state: ORMExecuteState) -> Result[Any] | None:
        if not (state.is_update or state.is_delete or state.is_insert):
            return None
        who = reporting(jobs=self._jobs)
        if who is None:
            return None
        try:
            bulk = bulk_of(state)
        except Exception as error:  # noqa: BLE001 (whatever it is, the application's statement is run)
            self._fail("a bulk statement was not understood", error)
            return None
        if bulk is None:
            return None
        if bulk.status == INSERTED:
            # What is new can be read only afterwards.
            result = state.invoke_statement()
            self._capture_bulk(bulk, who)
            return result
        # The statement would do this itself in a moment; here, so that what fails in it is the application's own error.
        if state.execution_options.get("autoflush", True):
            state.session._autoflush()
        self._capture_bulk(bulk, who)
        return None

    def _capture_bulk(self, bulk: Bulk, who: Acting) -> None:
        session = bulk.state.session
        try:
            # Reading may be what begins the transaction.
            records = bulk.records(max(self._bulk_limit, MAX_IDS))
            work = self._work(session)
            ledger = work.ledger(_boundary(session))
            if records is None:
                for form in self._types(bulk):
                    ledger.add_many(Many(form=form, status=bulk.status, count=bulk.count(), acting=who))
            for record in records or ():
                if provides(type(record)):
                    name = self._ask.name(record)
                    ledger.add(identity(inspect_(record)), Change(status=bulk.status, form=name.form, part=name.part, acting=who))
        except Exception as error:  # noqa: BLE001 (as above)
            self._fail(f"what a bulk statement does to {bulk.mapper.class_.__name__} was not captured", error)
            return
        self._write_late(session, work)

    def _types(self, bulk: Bulk) -> set[str]:
        """The types of forms that a statement on very many records touches, by some of them of each class."""
        records = [record for record in bulk.samples() if provides(type(record))]
        return {type_of(form) for record in records if (form := self._ask.name(record).form) is not None}

    # -- transactions

    def _before_commit(self, session: Session) -> None:
        """Where an outbox is written: after the last flush, in the outermost transaction. Fires for a savepoint's release too."""
        if self._writer is None:
            return
        # A transaction that is committed around savepoints still open releases them in a moment. The event doesn't say whose it is.
        while (nested := session.get_nested_transaction()) is not None and not _is_changing(nested):
            nested.commit()
        if nested is not None:
            return
        session.flush()
        work = self._work_of(session)
        if work is not None:
            # What other listeners still change is written at once, as an update of its own.
            work.committing = True
            self._write_late(session, work)

    def _write_late(self, session: Session, work: _Work) -> None:
        if self._writer is None or not work.committing:
            return
        ledger = work.ledgers.pop(_boundary(session), None)
        updates = [] if ledger is None else list(ledger.updates(self._bulk_limit))
        if not updates:
            return
        work.written += self._writer.write(session, [replace(update, id=uuid.uuid4().hex) for update in updates])
        work.written_bulk += sum(update.count is not None for update in updates)

    def _after_commit(self, session: Session) -> None:
        """Fires for a released savepoint too, and then hands its changes to what is around it."""
        work = self._work_of(session)
        if work is None:
            return
        transaction = _boundary(session)
        ledger = work.ledgers.pop(transaction, None)
        if transaction.nested:
            if ledger is not None:
                work.ledger(_around(transaction)).add_all(ledger)
            return
        if self._writer is not None:
            if ledger is not None and (late := list(ledger.updates(self._bulk_limit))):
                self._fail(f"{len(late)} updates were not written", RuntimeError("they came after the last moment to write them"))
            with self._counting:
                self.pushed += work.written
                self.bulk += work.written_bulk
            return
        for update in () if ledger is None else ledger.updates(self._bulk_limit):
            self._send(update)

    def _after_transaction_end(self, session: Session, transaction: SessionTransaction) -> None:
        """Rolled back, or closed with neither word: what is still here was not committed."""
        work = self._work_of(session)
        if work is None:
            return
        work.ledgers.pop(transaction, None)
        if transaction.parent is None:
            del session.info[self]

    def _send(self, update: Update) -> None:
        assert self._sender is not None  # noqa: S101 (it has the one or the other)
        try:
            told, _message = fitting(replace(update, id=uuid.uuid4().hex))
            taken = self._sender.send(told)
        except Exception as error:  # noqa: BLE001 (the commit is done, nothing may look as if it was not)
            self._fail(f"the update of {update.form} was not pushed", error)
            return
        with self._counting:
            if taken:
                self.pushed += 1
                self.bulk += update.count is not None
            else:
                self.dropped += 1

    # -- inside

    def _work(self, session: Session) -> _Work:
        return cast("_Work", session.info.setdefault(self, _Work()))

    def _work_of(self, session: Session) -> _Work | None:
        return session.info.get(self)

    def _fail(self, what: str, error: Exception) -> None:
        with self._counting:
            self.failed += 1
            now = time.monotonic()
            if now < self._quiet_until:
                return
            self._quiet_until = now + LOG_EVERY_S
        _log.warning("%s: %s: %s (%d failures so far)", what, type(error).__name__, error, self.failed, exc_info=error)


@dataclass(frozen=True, slots=True)
class _Flushed:
    """A record that a flush has written. `before`, `values`: its name and (of a part) values until then; None when not known."""

    record: Any
    identity: Any
    change: Change
    before: Name | None = None
    values: Mapping[str, Any] | None = None


@dataclass(slots=True)
class _Work:
    """What a hook knows of one session's transaction. It lies in `session.info` and is gone when the transaction ends."""

    ledgers: dict[SessionTransaction, Ledger] = field(default_factory=dict)
    # Of the flush that is running: names of what it deletes, records with a value that the database computes, what it has done.
    names: dict[InstanceState[Any], Name] = field(default_factory=dict)
    computed: set[InstanceState[Any]] = field(default_factory=set)
    flushed: list[_Flushed] = field(default_factory=list)
    # Of an outbox: whether the last flush is over, and what was written since the transaction began.
    committing: bool = False
    written: int = 0
    written_bulk: int = 0

    def begin_flush(self) -> None:
        """Forget the flush before, which may have failed half-way."""
        self.names.clear()
        self.computed.clear()
        self.flushed.clear()

    def ledger(self, transaction: SessionTransaction) -> Ledger:
        return self.ledgers.setdefault(transaction, Ledger())


def _boundary(session: Session) -> SessionTransaction:
    """The savepoint or transaction that the session is in now."""
    transaction = session.get_nested_transaction() or session.get_transaction()
    assert transaction is not None  # noqa: S101 (all that we hear of happens in one)
    return transaction


def _is_changing(transaction: SessionTransaction) -> bool:
    """Whether this very transaction is being committed. Nothing public says so: `is_active` is true until it is done."""
    return getattr(transaction, "_current_fn", True) is not None


def _around(transaction: SessionTransaction) -> SessionTransaction:
    """The savepoint or transaction around a savepoint; a flush's own one is neither."""
    parent = transaction.parent
    while parent is not None and parent.parent is not None and not parent.nested:
        parent = parent.parent
    assert parent is not None  # noqa: S101 (a savepoint is inside something)
    return parent


# What `install` and `remove` agree by.
installing = threading.Lock()
hooked: weakref.WeakKeyDictionary[type[Session] | Session, Hook] = weakref.WeakKeyDictionary()
