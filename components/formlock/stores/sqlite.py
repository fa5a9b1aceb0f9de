"""The default store: states live in memory, an SQLite file is their journal.

A decision changes memory at once, so the next one builds on it, and goes into the batch that is being gathered. One batch is in
flight at a time, in a writer thread; whoever decided in it, or read what it holds, is answered after its commit. A commit that
fails takes back everything not yet durable: the forms concerned are read again from the file, and their callers get NotActive.
History and drafts go with the batches, and are read on a thread and a connection of their own, so that no reader delays a commit.

`synchronous=FULL`: a token that left this process survives a power cut. Two processes on one file: each opening takes the file
over by raising `instance`; a batch of the one before fails, and that store refuses everything from then on.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from formlock.clock import Clock, Promise, Timer
from formlock.errors import NotActive
from formlock.history import Asked, Entry, Keeping, Page, Recorder
from formlock.model import Draft, FormId, FormState, Found, Query
from formlock.stores import D, StoreError
from formlock.stores import sqlite_past as past
from formlock.stores.states import States, StatesQueries

SCHEMA = """
CREATE TABLE IF NOT EXISTS store (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch TEXT NOT NULL,
    first_token INTEGER NOT NULL,
    instance INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS form (
    form TEXT PRIMARY KEY,
    state BLOB NOT NULL
) WITHOUT ROWID;
"""

# Bounds one commit; what comes meanwhile gathers for the next.
MAX_BATCH = 512
# Refusals, which nobody waits for, are written alone when nothing else is for so long.
FLUSH_MS = 1_000
# How often what has become too old is thrown away when nothing happens.
TIDY_MS = 3_600_000

Job = Callable[[sqlite3.Connection], None]
R = TypeVar("R")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(FormState).decode


class _SteppedDown(Exception):
    """Another process has opened the file since."""


class _Batch:
    """`befores`: what each form was right before its first decision in this batch, with the renewals since the batch before."""

    def __init__(self, written: Promise[None]) -> None:
        self.befores: dict[FormId, FormState] = {}
        self.states: dict[FormId, FormState] = {}
        self.entries: list[Entry] = []
        self.jobs: list[Job] = []
        self.written = written


class SqliteStore(StatesQueries):
    """See LockStore. Made by `open`."""

    def __init__(
        self, clock: Clock, path: Path, epoch: str, first_token: int, instance: int, keeping: Keeping, last_number: int
    ) -> None:
        self.epoch = epoch
        self.stepped_down = False
        self._clock = clock
        self._path = path
        self._instance = instance
        self._states = States(first_token)
        self._in_flight: _Batch | None = None
        self._gathering: list[_Batch] = []
        # Of a form whose state is not durable yet: the batch that holds it, and the last state that is.
        self._pending: dict[FormId, _Batch] = {}
        self._durable_states: dict[FormId, FormState] = {}
        self._closing: Promise[None] | None = None
        self._reading: Promise[None] | None = None
        self._work: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        # Rises over restarts too, even if all entries have been thrown away meanwhile (as tokens do, docs/adr/0002).
        self._recorder = Recorder(max(last_number, clock.wall()))
        self._past = past.Past(keeping)
        self._flush: Timer | None = None
        self._tidy = clock.later(TIDY_MS, self._on_tidy)

    @classmethod
    async def open(cls, path: Path, clock: Clock, new_epoch: Callable[[], str], keeping: Keeping | None = None) -> SqliteStore:
        """Open or make the file, take it over, and load it. StoreError says why not."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = _connect(path)
            try:
                store, rows = cls._take_over(connection, path, clock, new_epoch, keeping or Keeping())
                reading = _connect(path)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"the lock store {path} can't be opened: {error}") from error
        except msgspec.MsgspecError as error:
            raise StoreError(f"the lock store {path} holds a state that this version can't read: {error}") from error
        for state in rows:
            store._states.put(state)
        reader = threading.Thread(target=_read_on, args=(reading, store._reads), name="lock-store-reader", daemon=True)
        reader.start()
        threading.Thread(target=store._run, args=(connection, reader), name="lock-store", daemon=True).start()
        return store

    @classmethod
    def _take_over(
        cls, connection: sqlite3.Connection, path: Path, clock: Clock, new_epoch: Callable[[], str], keeping: Keeping
    ) -> tuple[SqliteStore, list[FormState]]:
        connection.executescript(SCHEMA + past.SCHEMA)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO store VALUES (1, ?, ?, 0) ON CONFLICT DO NOTHING", (new_epoch(), clock.wall()))
        connection.execute("UPDATE store SET instance = instance + 1")
        epoch, first_token, instance = connection.execute("SELECT epoch, first_token, instance FROM store").fetchone()
        connection.execute("COMMIT")
        rows = [_restored(row, clock.now()) for (row,) in connection.execute("SELECT state FROM form")]
        return cls(clock, path, epoch, first_token, instance, keeping, past.last_number(connection)), rows

    async def transact(self, forms: Sequence[FormId], decide: Callable[[Sequence[FormState]], Sequence[D]]) -> Sequence[D]:
        """Decide now, answer when it is durable."""
        await self._usable()
        befores = [self._states.get(form) for form in forms]
        outcomes = decide(befores)
        changed, entries = [], []
        for before, outcome in zip(befores, outcomes, strict=True):
            self._states.put(outcome.state)
            entries += self._recorder.changes(outcome.events)
            if any(event.changes for event in outcome.events):
                self._durable_states.setdefault(before.form, before)
                changed.append((before, outcome.state))
        if changed:
            self._gather(changed, entries)
        elif self._recorder.waiting and self._flush is None:
            self._flush = self._clock.later(FLUSH_MS, self._on_flush)
        for form in forms:
            await self._durable(form)
        return outcomes

    def of_session(self, session: int) -> Sequence[FormId]:
        """As the states say it, and those that may be taken back to one that speaks of the session."""
        found = tuple(super().of_session(session))
        back = [form for form, state in self._durable_states.items() if form not in found and session in state.sessions()]
        return (*found, *back)

    async def read(self, form: FormId) -> FormState:
        """The state, once it is durable."""
        await self._usable()
        state = self._states.get(form)
        await self._durable(form)
        return state

    async def find(self, query: Query) -> Found:
        """The page, once everything it rests on is durable: that a form is not in it, too."""
        await self._usable()
        found = self._states.find(query)
        batch = self._gathering[-1] if self._gathering else self._in_flight
        if batch is not None:
            await batch.written
        return found

    async def history(self, asked: Asked) -> Page:
        """The page, with everything that had happened when it was asked for."""
        await self._usable()
        rev = self._states.get(asked.form.record).rev
        await self._durable(asked.form.record)
        if self._recorder.waiting:
            await self._gather((), ()).written
        return await self._read(lambda connection: past.read_page(connection, asked, rev))

    async def put_draft(self, draft: Draft) -> None:
        """Keep it; durable when this returns."""
        await self._usable()
        await self._gather((), (), lambda connection: past.put_draft(connection, draft)).written

    async def drafts(self, form: FormId) -> Sequence[Draft]:
        """All of the record."""
        await self._usable()
        return await self._read(lambda connection: past.read_drafts(connection, form))

    async def forget_drafts(self, form: FormId, tokens: Sequence[int]) -> None:
        """Throw them away; gone for good when this returns."""
        await self._usable()
        await self._gather((), (), lambda connection: past.forget_drafts(connection, form, tokens)).written

    async def close(self) -> None:
        """Write what is gathered, then let go of the file."""
        if self._closing is None:
            self._tidy.cancel()
            if self._recorder.waiting and not self.stepped_down:
                self._gather((), ())
            self._closing = self._clock.promise()
            if self._in_flight is None:
                self._work.put(None)
        await self._closing

    # -- on the service's thread

    async def _usable(self) -> None:
        while self._reading is not None:
            await self._reading
        if self._closing is not None or self.stepped_down:
            raise NotActive

    async def _durable(self, form: FormId) -> None:
        batch = self._pending.get(form)
        if batch is not None:
            await batch.written

    async def _read(self, read: Callable[[sqlite3.Connection], R]) -> R:
        """On the reader's thread."""
        # Nothing may be asked of the reader behind its end, which the writer tells it: nobody would answer.
        await self._usable()
        answer: Promise[R] = self._clock.promise()

        def job(connection: sqlite3.Connection) -> None:
            try:
                found = read(connection)
            except Exception:  # noqa: BLE001 (unreadable, whatever the reason)
                self._clock.from_thread(lambda: answer.fail(NotActive()))
            else:
                self._clock.from_thread(lambda: answer.keep(found))

        self._reads.put(job)
        return await answer

    def _on_flush(self) -> None:
        self._flush = None
        if self._recorder.waiting and self._closing is None and not self.stepped_down:
            self._gather((), ())

    def _on_tidy(self) -> None:
        self._tidy = self._clock.later(TIDY_MS, self._on_tidy)
        if self._closing is None and not self.stepped_down:
            self._gather((), ())

    def _gather(self, changes: Sequence[tuple[FormState, FormState]], entries: Sequence[Entry], *jobs: Job) -> _Batch:
        """Into one batch: what was decided together is written together."""
        if not self._gathering or len(self._gathering[-1].states) >= MAX_BATCH:
            self._gathering.append(_Batch(self._clock.promise()))
        batch = self._gathering[-1]
        for before, state in changes:
            batch.befores.setdefault(state.form, before)
            batch.states[state.form] = state
            self._pending[state.form] = batch
        batch.entries += entries
        batch.jobs += jobs
        self._write_next()
        return batch

    def _write_next(self) -> None:
        if self._in_flight is not None or self._reading is not None:
            return
        if not self._gathering:
            if self._closing is not None:
                self._work.put(None)
            return
        batch = self._in_flight = self._gathering.pop(0)
        batch.entries += self._recorder.take()
        self._work.put(lambda connection: self._write(connection, batch))

    def _written(self, batch: _Batch) -> None:
        self._in_flight = None
        for form in batch.states:
            if self._pending.get(form) is batch:
                del self._pending[form], self._durable_states[form]
            else:
                self._durable_states[form] = next(later.befores[form] for later in self._gathering if form in later.befores)
        self._write_next()
        batch.written.keep(None)

    def _failed(self, batch: _Batch, error: BaseException) -> None:
        """What the file holds now decides; nothing is decided upon until it has been read."""
        self._in_flight = None
        if isinstance(error, _SteppedDown):
            self._step_down(batch)
            return
        self._reading = self._clock.promise()
        forms = tuple(self._durable_states)
        self._work.put(lambda connection: self._read_again(connection, forms, batch))

    def _judge(self, rows: dict[FormId, FormState | None], batch: _Batch) -> None:
        """`rows` is what the file holds. A commit may have succeeded although it reported an error: then whoever decided has to tell
        it, and to ask whoever is to be probed. Otherwise everything that is not durable is taken back."""
        before = self._durable_states
        changed = any(not _same(state, before[form]) for form, state in batch.states.items())
        if changed and all(_same(rows[form], batch.states.get(form, before[form])) for form in rows):
            self._written(batch)
            self._go_on()
            return
        if not all(row is None or _same(row, before[form]) for form, row in rows.items()):
            # Somebody else has written.
            self._step_down(batch)
            return
        for state in before.values():
            self._states.put(state)
        self._refuse(batch)
        self._go_on()

    def _step_down(self, batch: _Batch) -> None:
        """This store's word counts no more: another process has the file, or it can't be read."""
        self.stepped_down = True
        self._refuse(batch)
        self._go_on()

    def _go_on(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.keep(None)
        self._write_next()

    def _refuse(self, failed: _Batch) -> None:
        batches = [failed, *self._gathering]
        self._gathering = []
        self._pending = {}
        self._durable_states = {}
        for batch in batches:
            batch.written.fail(NotActive())

    # -- on the writer's thread

    def _run(self, connection: sqlite3.Connection, reader: threading.Thread) -> None:
        while (job := self._work.get()) is not None:
            job(connection)
        self._reads.put(None)
        reader.join()
        connection.close()
        closing = self._closing
        if closing is not None:
            self._clock.from_thread(lambda: closing.keep(None))

    def _write(self, connection: sqlite3.Connection, batch: _Batch) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                (instance,) = connection.execute("SELECT instance FROM store").fetchone()
                if instance != self._instance:
                    raise _SteppedDown
                connection.executemany(
                    "INSERT INTO form VALUES (?, ?) ON CONFLICT (form) DO UPDATE SET state = excluded.state",
                    [(str(form), _encode(state)) for form, state in batch.states.items()],
                )
                self._past.write(connection, batch.entries, self._clock.wall())
                for job in batch.jobs:
                    job(connection)
                connection.execute("COMMIT")
            except BaseException:
                self._past.recount()
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except Exception as error:  # noqa: BLE001 (whatever it is, it is not durable)
            failure = error
            self._clock.from_thread(lambda: self._failed(batch, failure))
        else:
            self._clock.from_thread(lambda: self._written(batch))

    def _read_again(self, connection: sqlite3.Connection, forms: Iterable[FormId], batch: _Batch) -> None:
        rows: dict[FormId, FormState | None] = {}
        try:
            for form in forms:
                row = connection.execute("SELECT state FROM form WHERE form = ?", (str(form),)).fetchone()
                rows[form] = _restored(row[0], self._clock.now()) if row is not None else None
        except Exception:  # noqa: BLE001 (unreadable, whatever the reason)
            self._clock.from_thread(lambda: self._step_down(batch))
        else:
            self._clock.from_thread(lambda: self._judge(rows, batch))


def _read_on(connection: sqlite3.Connection, reads: queue.SimpleQueue[Job | None]) -> None:
    """The reader's thread."""
    connection.execute("PRAGMA query_only = ON")
    while (job := reads.get()) is not None:
        job(connection)
    connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    # It names users: for this account's eyes only, from the moment it exists. One that exists is left alone: closing it
    # here would end the locks of this process's other connections (POSIX), and whoever closes the file next, `sqlite3 FILE` by hand,
    # would take its log away from under us, with all that is committed from then on.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _restored(row: bytes, now: int) -> FormState:
    """A state as the file has it, in the time of this process."""
    return _decode(row).without_clock(now)


def _same(row: FormState | None, state: FormState) -> bool:
    return row is not None and _decided(row) == _decided(state)


def _decided(state: FormState) -> tuple[object, ...]:
    """What only a decision with an event changes, so that it is in the file exactly as in memory."""
    leases = [(lease.owner, lease.token, lease.session, lease.unclaimed) for lease in state.holds]
    waiters = [(waiter.number, waiter.session) for waiter in state.waiters]
    return state.token, state.rev, state.number, leases, waiters
