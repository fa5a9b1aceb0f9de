"""What survives a crash, and the two stores on it: the real SqliteStore over a disk that is slow and fails; and memory kept.

The thread and the file of the real store are all that is replaced: its jobs run later on one SQLite database in memory, some not at
all, and some that reported an error have been done.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

from formlock.commands import Decision
from formlock.errors import NotActive
from formlock.events import Event
from formlock.history import Keeping
from formlock.model import FormId, FormState
from formlock.stores import D, LockStore
from formlock.stores.memory import MemoryStore
from formlock.stores.sqlite import SqliteStore, _decode
from formlock.stores.states import States
from formlock.testing.clock import FakeClock
from formlock.testing.simulation.process import Process

Job: TypeAlias = Callable[[Any], None]


class Happening(NamedTuple):
    """A public event, the state right after it, and when it was decided (by the run's clock)."""

    event: Event
    state: FormState
    at: int


Noted: TypeAlias = dict[int, Happening]


class Witness(Protocol):
    """Told what is durable now: the state, and the public events that made it, by rev."""

    def committed(self, state: FormState, events: Noted) -> None: ...

    def check(self, holds: bool, otherwise: str) -> None: ...


class SimulatedStore(LockStore, Protocol):
    """A LockStore that can die, and be looked into."""

    def peek(self, form: FormId) -> FormState:
        """The state as the service has it, durable or not."""

    def die(self, *, reached: bool) -> None:
        """Its process is gone. `reached`: what was on its way had reached the disk."""


class Disk:
    """One for the whole run. `fails_until`: commits before that moment may fail."""

    def __init__(self, clock: FakeClock, random: Random, witness: Witness, *, sqlite: bool) -> None:
        self.clock = clock
        self.random = random
        self.witness = witness
        self.sqlite = sqlite
        self.fails_until = 0
        self.failed_at = 0
        self.instance = 0
        self.first_token = clock.wall()
        self.kept: dict[FormId, FormState] = {}
        self.connection = sqlite3.connect(":memory:", isolation_level=None)

    def open(self, process: Process) -> SimulatedStore:
        """By this process; whoever had it before is out."""
        return JournalStore.on(self, process) if self.sqlite else KeptStore(self, process)

    def fails(self) -> bool:
        if self.clock.now() >= self.fails_until or self.random.random() < 0.4:
            return False
        self.failed_at = self.clock.now()
        return True


class _Noting:
    """Keeps the public events of decisions until they are durable; a decision made again replaces its first version."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.noted: dict[FormId, Noted] = {}

    def deciding(self, decide: Callable[[Sequence[FormState]], Sequence[D]]) -> Callable[[Sequence[FormState]], Sequence[D]]:
        def noting(befores: Sequence[FormState]) -> Sequence[D]:
            outcomes = decide(befores)
            for before, outcome in zip(befores, outcomes, strict=True):
                noted = self.noted.setdefault(before.form, {})
                states = cast("Decision", outcome).states
                for event, state in zip(outcome.events, states, strict=True):
                    if event.public:
                        noted[event.rev] = Happening(event, state, self._clock.now())
            return outcomes

        return noting

    def taken(self, state: FormState) -> Noted:
        noted = self.noted.get(state.form, {})
        taken = {rev: event for rev, event in noted.items() if rev <= state.rev}
        self.noted[state.form] = {rev: event for rev, event in noted.items() if rev > state.rev}
        return taken


class JournalStore(SqliteStore):
    """The real one; see the head of this file."""

    @classmethod
    def on(cls, disk: Disk, process: Process) -> JournalStore:
        store, rows = cls._take_over(disk.connection, Path("simulated"), process, lambda: "e", Keeping())
        assert isinstance(store, JournalStore)
        store.writer = _Writer(disk, process, store)
        store._work = store.writer  # type: ignore[assignment]
        store.noting = _Noting(disk.clock)
        for state in rows:
            store._states.put(state)
        disk.instance = store._instance
        return store

    writer: _Writer
    noting: _Noting

    async def transact(self, forms: Sequence[FormId], decide: Callable[[Sequence[FormState]], Sequence[D]]) -> Sequence[D]:
        return await super().transact(forms, self.noting.deciding(decide))

    def peek(self, form: FormId) -> FormState:
        return self._states.get(form)

    def die(self, *, reached: bool) -> None:
        self.stepped_down = True
        self._states = States(0)
        self.writer.die(reached=reached)

    def closed(self) -> None:
        """What its thread does last."""
        if self._closing is not None:
            self._closing.keep(None)


class _Writer:
    """In place of the queue to the store's thread: each job in its turn, after as long as a disk takes."""

    def __init__(self, disk: Disk, process: Process, store: JournalStore) -> None:
        self._disk = disk
        self._process = process
        self._store = store
        self._jobs: list[Job | None] = []

    def put(self, job: Job | None) -> None:
        self._jobs.append(job)
        if len(self._jobs) == 1:
            self._later()

    def die(self, *, reached: bool) -> None:
        jobs, self._jobs = self._jobs, []
        if reached and jobs and jobs[0] is not None:
            jobs[0](_Connection(self._disk, self._store, sure=True))

    def _later(self) -> None:
        random = self._disk.random
        delay_ms = random.choice([0, 1, 1, 2, 5]) if random.random() < 0.97 else random.randrange(1_500)
        # The thread is the process's own: it is paused and dies with it.
        self._process.later(delay_ms, self._run)

    def _run(self) -> None:
        if not self._jobs:
            return
        job = self._jobs.pop(0)
        if job is None:
            self._store.closed()
        else:
            job(_Connection(self._disk, self._store, sure=False))
        if self._jobs:
            self._later()


class _Connection:
    """The database as the store's thread has it. A commit may fail, undone or done."""

    def __init__(self, disk: Disk, store: JournalStore, *, sure: bool) -> None:
        self._disk = disk
        self._store = store
        self._sure = sure
        self._rows: Sequence[tuple[str, bytes]] = ()

    @property
    def in_transaction(self) -> bool:
        return self._disk.connection.in_transaction

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        if statement != "COMMIT":
            return self._disk.connection.execute(statement, *parameters)
        fails = not self._sure and self._disk.fails()
        if fails and self._disk.random.random() < 0.7:
            raise sqlite3.OperationalError("disk I/O error")
        done = self._disk.connection.execute(statement)
        if self._rows and self._store._instance != self._disk.instance:
            self._disk.witness.check(False, "a store that another has taken over has written")
        for _, row in self._rows:
            state = _decode(row)
            self._disk.witness.committed(state, self._store.noting.taken(state))
        if fails:
            raise sqlite3.OperationalError("disk I/O error")
        return done

    def executemany(self, statement: str, rows: Sequence[tuple[str, bytes]]) -> sqlite3.Cursor:
        if "INTO form " in statement:
            self._rows = rows
        return self._disk.connection.executemany(statement, rows)


class KeptStore(MemoryStore):
    """The real MemoryStore, whose states outlive its process: a disk that is infinitely fast."""

    def __init__(self, disk: Disk, process: Process) -> None:
        super().__init__("e", disk.first_token)
        self._disk = disk
        self._noting = _Noting(disk.clock)
        disk.instance += 1
        self._instance = disk.instance
        for state in disk.kept.values():
            self._states.put(state.without_clock(process.now()))

    async def transact(self, forms: Sequence[FormId], decide: Callable[[Sequence[FormState]], Sequence[D]]) -> Sequence[D]:
        if self._instance != self._disk.instance:
            self.stepped_down = True
        if self.stepped_down:
            raise NotActive
        outcomes = await super().transact(forms, self._noting.deciding(decide))
        for outcome in outcomes:
            if any(event.changes for event in outcome.events):
                self._disk.kept[outcome.state.form] = outcome.state
                self._disk.witness.committed(outcome.state, self._noting.taken(outcome.state))
        return outcomes

    def peek(self, form: FormId) -> FormState:
        return self._states.get(form)

    def die(self, *, reached: bool) -> None:  # noqa: ARG002 (everything has)
        self.stepped_down = True
        self._states = States(0)
