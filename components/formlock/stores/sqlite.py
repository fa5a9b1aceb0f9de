"""The default store: states live in memory, an SQLite file is their journal.

A decision changes memory at once, so the next one builds on it, and goes into the batch that is being gathered. One batch is in
flight at a time, in a writer thread; whoever decided in it, or read what it holds, is answered after its commit. A commit that
fails takes back everything not yet durable: the forms concerned are read again from the file, and their callers get NotActive.

`synchronous=FULL`: a token that left this process survives a power cut. Two processes on one file: each opening takes the file
over by raising `instance`; a batch of the one before fails, and that store refuses everything from then on.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import msgspec

from formlock.clock import Clock, Promise
from formlock.errors import NotActive
from formlock.model import FormId, FormState, Found, Query
from formlock.stores import D, StoreError
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

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(FormState).decode


class _SteppedDown(Exception):
    """Another process has opened the file since."""


class _Batch:
    def __init__(self, written: Promise[None]) -> None:
        self.states: dict[FormId, FormState] = {}
        self.written = written


class SqliteStore(StatesQueries):
    """See LockStore. Made by `open`."""

    def __init__(self, clock: Clock, path: Path, epoch: str, first_token: int, instance: int) -> None:
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
        self._work: queue.SimpleQueue[Callable[[sqlite3.Connection], None] | None] = queue.SimpleQueue()

    @classmethod
    async def open(cls, path: Path, clock: Clock, new_epoch: Callable[[], str]) -> SqliteStore:
        """Open or make the file, take it over, and load it. StoreError says why not."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = _connect(path)
            try:
                store, rows = cls._take_over(connection, path, clock, new_epoch)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"the lock store {path} can't be opened: {error}") from error
        except msgspec.MsgspecError as error:
            raise StoreError(f"the lock store {path} holds a state that this version can't read: {error}") from error
        for state in rows:
            store._states.put(state)
        thread = threading.Thread(target=store._run, args=(connection,), name="lock-store", daemon=True)
        thread.start()
        return store

    @classmethod
    def _take_over(
        cls, connection: sqlite3.Connection, path: Path, clock: Clock, new_epoch: Callable[[], str]
    ) -> tuple[SqliteStore, list[FormState]]:
        connection.executescript(SCHEMA)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO store VALUES (1, ?, ?, 0) ON CONFLICT DO NOTHING", (new_epoch(), clock.wall()))
        connection.execute("UPDATE store SET instance = instance + 1")
        epoch, first_token, instance = connection.execute("SELECT epoch, first_token, instance FROM store").fetchone()
        connection.execute("COMMIT")
        rows = [_restored(row, clock.now()) for (row,) in connection.execute("SELECT state FROM form")]
        return cls(clock, path, epoch, first_token, instance), rows

    async def transact(self, form: FormId, decide: Callable[[FormState], D]) -> D:
        """Decide now, answer when it is durable."""
        await self._usable()
        before = self._states.get(form)
        outcome = decide(before)
        self._states.put(outcome.state)
        if outcome.events:
            self._durable_states.setdefault(form, before)
            self._gather(outcome.state)
        await self._durable(form)
        return outcome

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

    async def close(self) -> None:
        """Write what is gathered, then let go of the file."""
        if self._closing is None:
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

    def _gather(self, state: FormState) -> None:
        if not self._gathering or len(self._gathering[-1].states) >= MAX_BATCH:
            self._gathering.append(_Batch(self._clock.promise()))
        batch = self._gathering[-1]
        batch.states[state.form] = state
        self._pending[state.form] = batch
        self._write_next()

    def _write_next(self) -> None:
        if self._in_flight is not None or self._reading is not None:
            return
        if not self._gathering:
            if self._closing is not None:
                self._work.put(None)
            return
        batch = self._in_flight = self._gathering.pop(0)
        self._work.put(lambda connection: self._write(connection, batch))

    def _written(self, batch: _Batch) -> None:
        self._in_flight = None
        for form, state in batch.states.items():
            if self._pending.get(form) is batch:
                del self._pending[form], self._durable_states[form]
            else:
                self._durable_states[form] = state
        self._write_next()
        batch.written.keep(None)

    def _failed(self, batch: _Batch, error: BaseException) -> None:
        """Take back everything that is not durable."""
        self._in_flight = None
        taken_back = [batch, *self._gathering]
        self._gathering = []
        self._pending = {}
        if isinstance(error, _SteppedDown):
            self._step_down(taken_back)
            return
        self._reading = self._clock.promise()
        forms = tuple(self._durable_states)
        self._work.put(lambda connection: self._read_again(connection, forms, taken_back))

    def _taken_back(self, rows: dict[FormId, FormState | None], batches: list[_Batch]) -> None:
        """`rows` is what the file holds. A commit may have succeeded although it reported an error, so the file decides."""
        attempted = batches[0].states
        for form, row in rows.items():
            before = self._durable_states[form]
            if row is None or _decided(row) == _decided(before):
                self._states.put(before)
            elif form in attempted and _decided(row) == _decided(attempted[form]):
                self._states.put(attempted[form])
            else:
                # Somebody else has written.
                self._step_down(batches)
                return
        self._durable_states = {}
        self._refuse(batches)
        self._go_on()

    def _step_down(self, batches: Iterable[_Batch]) -> None:
        """This store's word counts no more: another process has the file, or it can't be read."""
        self.stepped_down = True
        self._refuse(batches)
        self._go_on()

    def _go_on(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.keep(None)
        self._write_next()

    def _refuse(self, batches: Iterable[_Batch]) -> None:
        for batch in batches:
            batch.written.fail(NotActive())

    # -- on the writer's thread

    def _run(self, connection: sqlite3.Connection) -> None:
        while (job := self._work.get()) is not None:
            job(connection)
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
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except Exception as error:  # noqa: BLE001 (whatever it is, it is not durable)
            failure = error
            self._clock.from_thread(lambda: self._failed(batch, failure))
        else:
            self._clock.from_thread(lambda: self._written(batch))

    def _read_again(self, connection: sqlite3.Connection, forms: Iterable[FormId], batches: list[_Batch]) -> None:
        rows: dict[FormId, FormState | None] = {}
        try:
            for form in forms:
                row = connection.execute("SELECT state FROM form WHERE form = ?", (str(form),)).fetchone()
                rows[form] = _restored(row[0], self._clock.now()) if row is not None else None
        except Exception:  # noqa: BLE001 (unreadable, whatever the reason)
            self._clock.from_thread(lambda: self._step_down(batches))
        else:
            self._clock.from_thread(lambda: self._taken_back(rows, batches))


def _connect(path: Path) -> sqlite3.Connection:
    # It names users: for this account's eyes only, from the moment it exists.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _restored(row: bytes, now: int) -> FormState:
    """A state as the file has it, in the time of this process: what another clock said is forgotten or begins anew.

    A lease has no deadline until `Recovered` sets one; a page that had left is not waited for.
    """
    state = _decode(row)
    lease = replace(state.lease, deadline=None, heard_at=0, probe=None) if state.lease is not None else None
    attempts = tuple(attempt._replace(at=now) for attempt in state.attempts)
    return replace(state, lease=lease, left=None, attempts=attempts)


def _decided(state: FormState) -> tuple[object, ...]:
    """What only a decision with an event changes, so that it is in the file exactly as in memory."""
    lease = state.lease
    return state.token, state.rev, (lease.owner, lease.token, lease.session) if lease is not None else None
