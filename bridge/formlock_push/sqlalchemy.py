"""The hook for SQLAlchemy's ORM: what a session commits is pushed, one update per form; what it rolls back never is (U35, A22).

    Sessions = sessionmaker(engine)
    hook = install(Sessions, Pusher())

A flush is captured while the old values are known (`after_flush`), a bulk statement before it runs (`do_orm_execute`). What was
captured waits in a ledger per transaction and savepoint until the outermost commit. After that nothing touches the database.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

from sqlalchemy import Result, event
from sqlalchemy import inspect as inspect_
from sqlalchemy.orm import (
    InstanceState,
    Mapper,
    ORMExecuteState,
    Session,
    SessionTransaction,
    UOWTransaction,
    scoped_session,
    sessionmaker,
)

from formlock_push.changes import DELETED, INSERTED, Change, Ledger, Pairs, kept
from formlock_push.fencing import Late, LockToken, claim, fence
from formlock_push.message import MAX_BYTES, UPDATED, Update
from formlock_push.orm_bulk import Bulk, bulk_of
from formlock_push.orm_record import Shape, computes, identity, pairs_of, provides, shape_of
from formlock_push.scope import Acting, AsgiMiddleware, Middleware, act, acting, muted, reporting

__all__ = [
    "AlreadyInstalled",
    "AsgiMiddleware",
    "ChannelProvider",
    "Hook",
    "Late",
    "LockToken",
    "Middleware",
    "RepresentationProvider",
    "Sender",
    "act",
    "acting",
    "claim",
    "fence",
    "install",
    "muted",
]

DEFAULT_BULK_LIMIT = 500
# Something that fails at every flush is one line in this time, and counted.
LOG_EVERY_S = 10.0

_log = logging.getLogger("formlock_push")


class Sender(Protocol):
    """What takes the updates: a `Pusher`, an outbox. Returns whether it has taken it."""

    def send(self, update: Update, /) -> bool: ...


class ChannelProvider(Protocol):
    """A record that is reported: it names its form, `com.example.form.<type>.<id>`; None when this one is not to be.

    It is asked at each flush, so it should need nothing that is not loaded. The class may name fields that must not leave the
    application as `formlock_leave_out = ("password_hash",)`; `lock_token` and the version column never do.
    """

    def formlock_channel(self) -> str | None: ...


class RepresentationProvider(ChannelProvider, Protocol):
    """A record that also says its new contents, `{field: value}` or a fragment of HTML, so that open forms need not ask for them."""

    def formlock_representation(self) -> Mapping[str, Any] | str | None: ...


class AlreadyInstalled(Exception):
    """These sessions have a hook already; with two of them each change would be told twice."""


if TYPE_CHECKING:
    # Importing these needs greenlet, which an application with plain sessions has no reason to install.
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker

    Target = (
        type[Session]
        | Session
        | sessionmaker[Any]
        | scoped_session[Any]
        | type[AsyncSession]
        | AsyncSession
        | async_sessionmaker[Any]
        | async_scoped_session[Any]
    )


def install(
    target: Target,
    pusher: Sender,
    *,
    jobs: bool = False,
    bulk_limit: int = DEFAULT_BULK_LIMIT,
    fields: Mapping[type[Any], Collection[str]] | None = None,
) -> Hook:
    """Report what the sessions of this target commit, from now on and until `remove` of the hook.

    - `target`: a sessionmaker, a scoped_session, a Session class, one session, or the asynchronous ones of these. A plain
      async_sessionmaker is given a Session class of its own, so that it alone is reported.
    - `jobs`: report what happens outside of requests too
    - `bulk_limit`: of a bulk statement that affects more records, none is reported
    - `fields`: by class, the only fields whose changes are told; without an entry all columns are

    Raises AlreadyInstalled when any session of the target would have two hooks.
    """
    resolved = _resolve(target)
    with _installing:
        for other in list(_hooked):
            if _overlap(other, resolved):
                raise AlreadyInstalled(f"{resolved!r} has a hook already (on {other!r}); call its `remove` first.")
        hook = Hook(resolved, pusher, jobs=jobs, bulk_limit=bulk_limit, fields=fields or {})
        _hooked[resolved] = hook
    return hook


class Hook:
    """Made by `install`. Counts what became of the updates:

    - `pushed`: taken by the pusher
    - `dropped`: not taken, since it could not within its time
    - `failed`: lost by an error, of a record's own methods or of the pusher
    - `bulk_skipped`: bulk statements that affected too many records
    """

    def __init__(
        self,
        target: type[Session] | Session,
        pusher: Sender,
        *,
        jobs: bool,
        bulk_limit: int,
        fields: Mapping[type[Any], Collection[str]],
    ) -> None:
        self.pushed = 0
        self.dropped = 0
        self.failed = 0
        self.bulk_skipped = 0
        # The class's listeners are kept by SQLAlchemy for as long as the class lives, so it must not live by them.
        self._target = weakref.ref(target)
        self._pusher = pusher
        self._jobs = jobs
        self._bulk_limit = bulk_limit
        self._fields = fields
        self._shapes: weakref.WeakKeyDictionary[Mapper[Any], Shape] = weakref.WeakKeyDictionary()
        self._counting = threading.Lock()
        self._quiet_until = float("-inf")
        self._listeners: list[tuple[str, Callable[..., Any]]] = [
            ("before_flush", self._before_flush),
            ("after_flush", self._after_flush),
            ("after_flush_postexec", self._after_flush_postexec),
            ("do_orm_execute", self._on_execute),
            ("after_commit", self._after_commit),
            ("after_transaction_end", self._after_transaction_end),
        ]
        for name, listener in self._listeners:
            event.listen(target, name, listener)

    def remove(self) -> None:
        """Report nothing any more, not even what is flushed and not yet committed. May be repeated."""
        target = self._target()
        with _installing:
            if target is None or _hooked.get(target) is not self:
                return
            del _hooked[target]
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
                work.channels[inspect_(record)] = self._channel(record)
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
                change = self._gone(state, work, who) if gone else self._changed(state, work, who)
                if not change.nothing:
                    work.flushed.append((state.obj(), identity(state), change))
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
        for record, name, change in flushed:
            try:
                ledger.add(name, change if change.status == DELETED else self._completed(change, record))
            except Exception as error:  # noqa: BLE001 (as above)
                self._fail(f"a change of {type(record).__name__} was not captured", error)

    def _completed(self, change: Change, record: Any) -> Change:
        return replace(
            change,
            form=self._channel(record),
            version=self._version(record),
            representation=self._representation(record),
        )

    def _gone(self, state: InstanceState[Any], work: _Work, who: Acting) -> Change:
        form = work.channels[state] if state in work.channels else self._channel(state.obj())
        return Change(status=DELETED, form=form, acting=who)

    def _changed(self, state: InstanceState[Any], work: _Work, who: Acting) -> Change:
        shape = self._shape(state.mapper)
        if state.key is None:
            values = {name: kept(state.dict.get(name)) for name in shape.columns}
            pairs: Pairs | None = {name: (None, value) for name, value in values.items() if value is not None}
            return Change(status=INSERTED, form=None, pairs=pairs, acting=who)
        pairs = None if state in work.computed else pairs_of(state, shape.columns)
        if pairs == {} and any(state.attrs[name].history.has_changes() for name in shape.links):
            pairs = None
        return Change(status=UPDATED, form=None, pairs=pairs, acting=who)

    # -- what a record says

    def _channel(self, record: Any) -> str | None:
        try:
            channel = record.formlock_channel()
        except Exception as error:  # noqa: BLE001 (the application's own, but not worth its commit)
            self._fail(f"{type(record).__name__}.formlock_channel failed", error)
            return None
        return str(channel) if channel else None

    def _representation(self, record: Any) -> Mapping[str, Any] | str | None:
        say = getattr(record, "formlock_representation", None)
        if say is None:
            return None
        try:
            representation = say()
        except Exception as error:  # noqa: BLE001 (as above)
            self._fail(f"{type(record).__name__}.formlock_representation failed", error)
            return None
        return cast("Mapping[str, Any] | str | None", kept(representation))

    def _version(self, record: Any) -> int | str | None:
        state = inspect_(record)
        name = self._shape(state.mapper).version
        # Not read from the database when it is made there.
        value = state.dict.get(name) if name is not None else None
        if value is None or isinstance(value, (int, str)):
            return value
        return value.hex() if isinstance(value, bytes) else str(value)

    def _shape(self, mapper: Mapper[Any]) -> Shape:
        shape = self._shapes.get(mapper)
        if shape is None:
            only = next((self._fields[base] for base in mapper.class_.__mro__ if base in self._fields), None)
            shape = self._shapes[mapper] = shape_of(mapper, only)
        return shape

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
            records = bulk.records(self._bulk_limit)
            if records is None:
                self._skip_bulk(bulk)
                return
            ledger = self._work(session).ledger(_boundary(session))
            for record in records:
                if provides(type(record)):
                    ledger.add(identity(inspect_(record)), Change(status=bulk.status, form=self._channel(record), acting=who))
        except Exception as error:  # noqa: BLE001 (as above)
            self._fail(f"what a bulk statement does to {bulk.mapper.class_.__name__} was not captured", error)

    def _skip_bulk(self, bulk: Bulk) -> None:
        with self._counting:
            self.bulk_skipped += 1
        name = bulk.mapper.class_.__name__
        _log.warning("more than %d %s are %s by one statement: none of their forms is told", self._bulk_limit, name, bulk.status)

    # -- transactions

    def _after_commit(self, session: Session) -> None:
        """Fires for a released savepoint too, and then hands its changes to what is around it."""
        work = self._work_of(session)
        if work is None:
            return
        transaction = _boundary(session)
        ledger = work.ledgers.pop(transaction, None)
        if ledger is None:
            return
        if transaction.nested:
            work.ledger(_around(transaction)).add_all(ledger)
            return
        for update in ledger.updates():
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
        try:
            taken = self._pusher.send(_fitting(replace(update, id=uuid.uuid4().hex)))
        except Exception as error:  # noqa: BLE001 (the commit is done, nothing may look as if it was not)
            self._fail(f"the update of {update.form} was not pushed", error)
            return
        with self._counting:
            if taken:
                self.pushed += 1
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


_installing = threading.Lock()
_hooked: weakref.WeakKeyDictionary[type[Session] | Session, Hook] = weakref.WeakKeyDictionary()


@dataclass(slots=True)
class _Work:
    """What a hook knows of one session's transaction. It lies in `session.info` and is gone when the transaction ends."""

    ledgers: dict[SessionTransaction, Ledger] = field(default_factory=dict)
    # Of the flush that is running: channels of what it deletes, records with a value that the database computes, what it has done.
    channels: dict[InstanceState[Any], str | None] = field(default_factory=dict)
    computed: set[InstanceState[Any]] = field(default_factory=set)
    flushed: list[tuple[Any, Any, Change]] = field(default_factory=list)

    def begin_flush(self) -> None:
        """Forget the flush before, which may have failed half-way."""
        self.channels.clear()
        self.computed.clear()
        self.flushed.clear()

    def ledger(self, transaction: SessionTransaction) -> Ledger:
        return self.ledgers.setdefault(transaction, Ledger())


def _boundary(session: Session) -> SessionTransaction:
    """The savepoint or transaction that the session is in now."""
    transaction = session.get_nested_transaction() or session.get_transaction()
    assert transaction is not None  # noqa: S101 (all that we hear of happens in one)
    return transaction


def _around(transaction: SessionTransaction) -> SessionTransaction:
    """The savepoint or transaction around a savepoint; a flush's own one is neither."""
    parent = transaction.parent
    while parent is not None and parent.parent is not None and not parent.nested:
        parent = parent.parent
    assert parent is not None  # noqa: S101 (a savepoint is inside something)
    return parent


def _fitting(update: Update) -> Update:
    """The update without its contents when they are too long or can't be said in JSON: then the form is at least reloaded."""
    for smaller in (update, replace(update, representation=None)):
        try:
            if len(smaller.encode()) <= MAX_BYTES:
                return smaller
        except Exception:  # noqa: BLE001, S112 (a value's own `__str__` may raise anything)
            continue
    return replace(update, representation=None, change_set=None)


def _resolve(target: Target) -> type[Session] | Session:
    """The class or session that SQLAlchemy's events are heard on."""
    if isinstance(target, scoped_session):
        return _resolve(cast("Any", target.session_factory))
    if isinstance(target, sessionmaker):
        return cast("type[Session]", target.class_)
    if isinstance(target, Session) or (isinstance(target, type) and issubclass(target, Session)):
        return target
    if "sqlalchemy.ext.asyncio" in sys.modules:
        return _resolve_asynchronous(target)
    raise _no_sessions(target)


def _resolve_asynchronous(target: Target) -> type[Session] | Session:
    """As `_resolve`, for whoever has loaded SQLAlchemy's asynchronous sessions: only he can have one."""
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker

    if isinstance(target, async_scoped_session):
        return _resolve(cast("Any", target.session_factory))
    if isinstance(target, async_sessionmaker):
        chosen = target.kw.get("sync_session_class") or target.class_.sync_session_class
        if chosen is Session:
            # Else every session of the process would be meant.
            chosen = type("Session", (Session,), {})
            target.configure(sync_session_class=chosen)
        return cast("type[Session]", chosen)
    if isinstance(target, AsyncSession):
        return target.sync_session
    if isinstance(target, type) and issubclass(target, AsyncSession):
        return target.sync_session_class
    raise _no_sessions(target)


def _no_sessions(target: object) -> TypeError:
    return TypeError(f"{target!r} makes no sessions of SQLAlchemy's ORM.")


def _overlap(one: type[Session] | Session, other: type[Session] | Session) -> bool:
    if isinstance(one, type):
        return issubclass(other, one) or issubclass(one, other) if isinstance(other, type) else isinstance(other, one)
    return one is other if not isinstance(other, type) else isinstance(one, other)
