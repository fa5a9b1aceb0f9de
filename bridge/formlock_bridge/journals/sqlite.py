"""The default journal: an SQLite file, written by a thread of its own, one commit for all that is given at once.

Nothing of it is in memory: numbers, names of what has come, and counts are read and written in one transaction, so a commit that
fails leaves nothing to be taken back. Whether one that reported an error has been made all the same, the file itself says. What is
kept is read on another thread and connection, so that no reader delays a commit.

`synchronous=FULL`: what was acknowledged survives a power cut. Two processes on one file: each opening takes the file over by
raising `instance`; the next commit of the one before fails, and that journal refuses everything from then on.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from formlock.clock import Clock, Promise, Timer
from formlock.errors import NotActive
from formlock_bridge.journals import Arrival, Entry, JournalError, Keeping, Known, Page
from formlock_bridge.journals import sqlite_rows as rows

# Marks that nothing is written with are written alone when they have waited so long.
FLUSH_MS = 1_000
# How often what has become too old is thrown away when nothing happens.
TIDY_MS = 3_600_000

Job = Callable[[sqlite3.Connection], None]
R = TypeVar("R")


class SqliteJournal:
    """See Journal. Made by `open`."""

    def __init__(self, clock: Clock, path: Path, epoch: str, instance: int, keeping: Keeping) -> None:
        self.epoch = epoch
        self.stepped_down = False
        self._clock = clock
        self._path = path
        self._instance = instance
        self._keeping = keeping
        self._marks = rows.Marks()
        self._closing: Promise[None] | None = None
        self._work: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._flush: Timer | None = None
        self._tidy = clock.later(TIDY_MS, self._on_tidy)

    @classmethod
    async def open(cls, path: Path, clock: Clock, new_epoch: Callable[[], str], keeping: Keeping | None = None) -> SqliteJournal:
        """Open or make the file, and take it over. JournalError says why not."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = _connect(path)
            try:
                epoch, instance = rows.take_over(connection, new_epoch)
                reading = _connect(path)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"the journal {path} can't be opened: {error}") from error
        except rows.OtherVersionError as error:
            raise JournalError(f"the journal {path} is of a version that this one can't read: {error}") from error
        journal = cls(clock, path, epoch, instance, keeping or Keeping())
        reader = threading.Thread(target=_read_on, args=(reading, journal._reads), name="journal-reader", daemon=True)
        reader.start()
        threading.Thread(target=journal._run, args=(connection, reader), name="journal", daemon=True).start()
        return journal

    async def append(self, arrivals: Sequence[Arrival]) -> Sequence[Entry | Known]:
        """In one commit."""
        self._usable()
        return await self._write(arrivals)

    async def after(self, form: str, since: int | None, max_bytes: int) -> Page:
        """On the reader's thread: everything that has been answered is in it."""
        return await self._read(lambda connection: rows.after(connection, form, since, max_bytes))

    async def unpublished(self) -> Sequence[Entry]:
        """On the reader's thread."""
        return await self._read(rows.unpublished)

    def published(self, form: str, seq: int) -> None:
        """In the next commit, or alone in a second."""
        self._marks.published[form] = max(seq, self._marks.published.get(form, 0))
        self._flush_soon()

    def parked(self, form: str, first: int, seq: int, reason: str) -> None:
        """In the next commit, or alone in a second."""
        self._marks.parked.append((reason, form, first, seq))
        self.published(form, seq)

    async def close(self) -> None:
        """Write the marks, then let go of the file."""
        if self._closing is None:
            self._tidy.cancel()
            if self._flush is not None:
                self._flush.cancel()
            if self._marks and not self.stepped_down:
                self._clock.start(self._write_marks())
            self._closing = self._clock.promise()
            self._work.put(None)
        await self._closing

    # -- on the bridge's thread

    def _usable(self) -> None:
        if self._closing is not None or self.stepped_down:
            raise NotActive

    def _flush_soon(self) -> None:
        if self._flush is None and self._closing is None:
            self._flush = self._clock.later(FLUSH_MS, self._on_flush)

    def _on_flush(self) -> None:
        self._flush = None
        if self._marks and self._closing is None and not self.stepped_down:
            self._clock.start(self._write_marks())

    def _on_tidy(self) -> None:
        self._tidy = self._clock.later(TIDY_MS, self._on_tidy)
        if self._closing is None and not self.stepped_down:
            self._clock.start(self._write_marks())

    async def _write_marks(self) -> None:
        try:
            await self._write(())
        except NotActive:
            # They have been put back.
            self._flush_soon()

    async def _write(self, arrivals: Sequence[Arrival]) -> Sequence[Entry | Known]:
        marks, self._marks = self._marks, rows.Marks()
        written: Promise[list[Entry | Known]] = self._clock.promise()

        def job(connection: sqlite3.Connection) -> None:
            try:
                outcomes = rows.write(connection, self._instance, self._keeping, arrivals, marks, self._clock.wall())
            except rows.TakenOverError:
                self._clock.from_thread(lambda: self._failed(written, marks, for_good=True))
            except rows.NotWrittenError:
                self._clock.from_thread(lambda: self._failed(written, marks, for_good=False))
            else:
                self._clock.from_thread(lambda: written.keep(outcomes))

        self._work.put(job)
        return await written

    def _failed(self, written: Promise[list[Entry | Known]], marks: rows.Marks, for_good: bool) -> None:
        self.stepped_down = self.stepped_down or for_good
        self._marks.put_back(marks)
        written.fail(NotActive())

    async def _read(self, read: Callable[[sqlite3.Connection], R]) -> R:
        # Nothing may be asked of the reader behind its end, which the writer tells it: nobody would answer.
        self._usable()
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


def _read_on(connection: sqlite3.Connection, reads: queue.SimpleQueue[Job | None]) -> None:
    """The reader's thread."""
    connection.execute("PRAGMA query_only = ON")
    while (job := reads.get()) is not None:
        job(connection)
    connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    # It holds what records contain: for this account's eyes only, from the moment it exists. One that exists is left alone: to close
    # it here would end the locks of this process's other connections (POSIX), and whoever closes the file next, `sqlite3 FILE` by
    # hand, would take its log away from under us, with all that is committed from then on.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection
