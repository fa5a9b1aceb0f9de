"""The file in which updates wait for the bridge: SQLite, shared by all processes that push. It knows no network and no threads.

What `add` has returned for is on the disk (WAL, synchronous FULL). Numbers rise in the order of the commits, and that is the order
in which the updates go out.

Two things that SQLite asks of us. A connection must not be carried over a fork, not even unused (its locks are known per process and
file): so every file of this process is let go of before a fork, and opened again when it is next used. And a file that is moved away
under other processes goes on being written by them: so each write looks whether the file is still the one at its path.
"""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from formlock_push.letter import Letter

_log = logging.getLogger("formlock_push")

# In the file's head: what these tables are. A file of another kind is put aside as a corrupt one is.
KIND = 0x464C_5350
# How long a process waits for another one's write.
BUSY_S = 5.0
# Of those that the bridge has refused, the newest are kept.
MAX_REFUSED = 1_000

_TABLES = f"""
CREATE TABLE waiting (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, form TEXT NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL,
    data BLOB NOT NULL);
CREATE INDEX waiting_of_form ON waiting (form);
CREATE TABLE refused (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, form TEXT NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL,
    data BLOB NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL);
CREATE TABLE total (one INTEGER PRIMARY KEY CHECK (one = 1), messages INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO total VALUES (1, 0, 0);
PRAGMA application_id = {KIND};
"""  # noqa: S608 (a number)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait. At a bound what is new is not taken; what waits is never thrown away.

    `max_age_s`: when the oldest has been waiting for longer than that, somebody has to look: nothing new is taken.
    """

    max_messages: int = 100_000
    max_bytes: int = 256 * 1024 * 1024
    max_age_s: float = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is in the spool: how many, of how many bytes, and since when the oldest waits (seconds since 1970)."""

    messages: int
    bytes: int
    since: float | None


@dataclass(frozen=True, slots=True)
class Refused:
    """What the bridge would never take, and why."""

    at: float
    form: str
    source: str
    id: str
    data: bytes
    reason: str
    message: str


class Unusable(Exception):
    """The file can't be used at this moment: a full disk, a missing folder, no permission, a lock that somebody keeps."""


class Spool:
    """Usable from any thread; one at a time, except that `holds` has a connection of its own and waits for no disk."""

    def __init__(self, path: str | Path, bounds: Bounds | None = None) -> None:
        """Touches nothing yet."""
        self.path = Path(path).absolute()
        self.bounds = bounds or Bounds()
        self._lock = threading.RLock()
        self._writer: sqlite3.Connection | None = None
        self._lease: sqlite3.Connection | None = None
        # How often it was opened: what was read before the last time may no longer be so (a fork, another file).
        self.opened = 0
        # Which file the writer has open.
        self._file: tuple[int, int] | None = None
        self._reading = threading.RLock()
        self._reader: sqlite3.Connection | None = None
        self._reads: tuple[int, int] | None = None
        _spools.add(self)

    # -- what is written

    def add(self, letters: Sequence[Letter]) -> list[str | None]:
        """In this order, at the end. For each: None when it is on the disk, else why there was no room. Raises Unusable."""
        with self._lock:
            for _ in range(3):
                try:
                    with self._writing(durable=True) as writer:
                        added = self._add(writer, letters)
                except _Renewed:
                    continue
                # Else it was put aside meanwhile, by a process that found it broken: what we have written is no longer looked at.
                if self._file == _file(self.path):
                    for letter, (number, _) in zip(letters, added, strict=True):
                        # Only now: the number of a write that fails in its commit is given to another letter.
                        letter.row = number
                    return [why for _, why in added]
                self._close_writer()
            raise Unusable(f"{self.path} has been replaced again and again")

    def settle(self, arrived: Iterable[Letter], refused: Iterable[tuple[Letter, str, str]] = ()) -> int:
        """What has been answered waits no longer; how many of those that arrived were still waiting.

        Those refused, each with reason and sentence, are put aside; one of them may never have waited here. Raises Unusable.
        """
        with self._lock, self._writing(durable=False) as writer:
            for letter, reason, message in refused:
                writer.execute(
                    "INSERT INTO refused (at, form, source, id, data, reason, message) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (time.time(), letter.form, letter.source, letter.id, letter.data, reason, message),
                )
                self._remove(writer, letter)
            writer.execute("DELETE FROM refused WHERE number <= (SELECT max(number) FROM refused) - ?", (MAX_REFUSED,))
            return sum(self._remove(writer, letter) for letter in arrived)

    # -- what is read

    def after(self, number: int, max_messages: int, max_bytes: int) -> list[Letter]:
        """The oldest ones behind this number, as letters with their rows; one at least, if there is any."""
        found: list[Letter] = []
        size = 0
        with self._lock, self._using() as writer:
            rows = writer.execute(
                "SELECT number, form, source, id, data FROM waiting WHERE number > ? ORDER BY number LIMIT ?", (number, max_messages)
            )
            for row, form, source, name, data in rows:
                size += len(data)
                if found and size > max_bytes:
                    break
                letter = Letter(form, source, name, data)
                letter.row = row
                found.append(letter)
            rows.close()
        return found

    def exists(self) -> bool:
        """Whether anything was ever written."""
        return _file(self.path) is not None

    def waiting(self) -> Waiting:
        """How much there is. A file that does not exist holds nothing. Raises Unusable."""
        with self._lock:
            if _file(self.path) is None:
                return Waiting(0, 0, None)
            with self._using() as writer:
                return _waiting(writer)

    def refused(self) -> list[Refused]:
        """Those put aside, oldest first."""
        with self._lock:
            if _file(self.path) is None:
                return []
            with self._using() as writer:
                rows = writer.execute("SELECT at, form, source, id, data, reason, message FROM refused ORDER BY number").fetchall()
        return [Refused(*row) for row in rows]

    def holds(self, form: str, timeout_s: float = 0.05) -> bool | None:
        """Whether anything of this form waits; None when that can't be found out in time.

        It is asked before each direct way, so it goes without the disk: it reads memory that the processes share.
        """
        if not self._reading.acquire(timeout=timeout_s):
            return None
        try:
            there = _file(self.path)
            if there is None:
                return False
            if self._reader is None or self._reads != there:
                self._close_reader()
                # Read only: it never tidies up when it is closed.
                self._reader = sqlite3.connect(
                    f"{self.path.as_uri()}?mode=ro", uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False
                )
                self._reads = there
            found = self._reader.execute("SELECT 1 FROM waiting WHERE form = ? LIMIT 1", (form,)).fetchone()
            return found is not None
        except (sqlite3.Error, OSError) as error:
            self._close_reader()
            # Another process is making it at this moment.
            return False if "no such table" in str(error) else None
        finally:
            self._reading.release()

    # -- who drains

    def lease(self) -> bool:
        """Whether this process is the one that drains, until `release` or its death. Asked each time: a fork ends it too."""
        with self._lock:
            if self._lease is not None:
                return True
            try:
                self._lease = self._exclusive("drainer", 0.0)
            except (sqlite3.Error, OSError):
                return False
            return True

    def release(self) -> None:
        """Let somebody else drain."""
        with self._lock:
            if self._lease is not None:
                self._lease.close()
                self._lease = None

    def close(self) -> None:
        """Let go of all of it; the next use opens it again."""
        with self._lock:
            self.release()
            self._close_writer()
        with self._reading:
            self._close_reader()

    # -- inside

    def _add(self, writer: sqlite3.Connection, letters: Sequence[Letter]) -> list[tuple[int | None, str | None]]:
        """For each its number, or why there was no room."""
        now = _waiting(writer)
        messages, size = now.messages, now.bytes
        too_old = now.since is not None and time.time() - now.since > self.bounds.max_age_s
        added: list[tuple[int | None, str | None]] = []
        for letter in letters:
            if too_old:
                added.append((None, f"the spool's oldest update has been waiting for more than {self.bounds.max_age_s:g} s"))
            elif messages >= self.bounds.max_messages or size + len(letter.data) > self.bounds.max_bytes:
                added.append((None, f"the spool is full ({messages} updates, {size} bytes)"))
            else:
                row = writer.execute(
                    "INSERT INTO waiting (at, form, source, id, data) VALUES (?, ?, ?, ?, ?)",
                    (time.time(), letter.form, letter.source, letter.id, letter.data),
                )
                messages += 1
                size += len(letter.data)
                added.append((row.lastrowid, None))
        writer.execute("UPDATE total SET messages = ?, bytes = ?", (messages, size))
        return added

    def _remove(self, writer: sqlite3.Connection, letter: Letter) -> bool:
        # By its name too: where a broken file was replaced the numbers have begun anew.
        which = (letter.row, letter.id, letter.source)
        size = writer.execute("SELECT length(data) FROM waiting WHERE number = ? AND id = ? AND source = ?", which).fetchone()
        if size is None:  # it has been settled already: it may have been answered twice
            return False
        writer.execute("DELETE FROM waiting WHERE number = ?", (letter.row,))
        writer.execute("UPDATE total SET messages = messages - 1, bytes = bytes - ?", size)
        return True

    @contextmanager
    def _writing(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """A transaction. What need not be durable may come back after a power cut: the bridge knows it then."""
        with self._using() as writer:
            writer.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            _begin(writer)
            try:
                yield writer
                writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    writer.execute("ROLLBACK")
                raise

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """The connection; what goes wrong with the disk is Unusable, and a file that is broken is put aside."""
        try:
            if self._writer is None or self._file != _file(self.path):
                self._close_writer()
                self._open_or_anew()
            if self._writer is None:
                raise Unusable(f"{self.path} can't be opened")
            yield self._writer
        except (sqlite3.Error, OSError) as error:
            broken = _broken(error)
            file = self._file
            self._close_writer()
            if broken:
                self._put_aside(file, error)
                raise _Renewed(f"{self.path}: {error}") from error
            raise Unusable(f"{self.path}: {error}") from error

    def _open_or_anew(self) -> None:
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            if not _broken(error):
                raise
            file = self._file
            self._close_writer()
            self._put_aside(file, error)
            self._open()

    def _open(self) -> None:
        _touch(self.path)
        self._file = _file(self.path)
        self.opened += 1
        writer = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        self._writer = writer
        if _kind(writer) == 0:
            # New, or another process is making it at this moment.
            with closing(self._exclusive("setup", BUSY_S)):
                if _kind(writer) == 0:
                    self._make(writer)
        if _kind(writer) != KIND:
            raise _OtherKind("it is a database of another kind")
        writer.execute("PRAGMA journal_size_limit = 1048576")

    def _make(self, writer: sqlite3.Connection) -> None:
        if writer.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise _OtherKind("it is a database of another kind")
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA synchronous = FULL")
        writer.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")

    def _put_aside(self, file: tuple[int, int] | None, error: Exception) -> None:
        """Under another name, so that somebody can look; unless another process was first."""
        try:
            with closing(self._exclusive("setup", BUSY_S)):
                if file is None or _file(self.path) != file:
                    return
                aside = f"{self.path}.corrupt-{time.time_ns()}"
                for end in ("-wal", "-shm"):
                    with suppress(FileNotFoundError):
                        os.rename(f"{self.path}{end}", f"{aside}{end}")
                os.rename(self.path, aside)
        except (sqlite3.Error, OSError) as second:
            raise Unusable(f"{self.path} is broken ({error}) and can't be moved away: {second}") from second
        _log.error("the spool %s is broken (%s): it was moved to %s, and a new one is begun", self.path, error, aside)

    def _exclusive(self, what: str, timeout_s: float) -> sqlite3.Connection:
        """A lock between processes that dies with its holder: SQLite's own, on an empty file beside ours."""
        path = Path(f"{self.path}-{what}")
        _touch(path)
        lock = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error:
            lock.close()
            raise
        return lock

    def _close_writer(self) -> None:
        if self._writer is not None:
            with suppress(sqlite3.Error):
                self._writer.close()
        self._writer = self._file = None

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = self._reads = None


class _OtherKind(sqlite3.DatabaseError):
    """A file that is none of ours."""


class _Renewed(Unusable):
    """The file was broken; it is out of the way, and the same once more will find a new one."""


def _begin(writer: sqlite3.Connection) -> None:
    """Wait for other processes' writes: SQLite's own waiting sleeps for up to 100 ms at once, which starves one among many."""
    limit = time.monotonic() + BUSY_S
    writer.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                writer.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > limit:
                    raise
            time.sleep(random.uniform(0.0002, 0.003))  # noqa: S311 (so that they don't wake up together)
    finally:
        writer.execute(f"PRAGMA busy_timeout = {round(1000 * BUSY_S)}")


def _kind(connection: sqlite3.Connection) -> int:
    kind: int = connection.execute("PRAGMA application_id").fetchone()[0]
    return kind


def _broken(error: Exception) -> bool:
    if isinstance(error, _OtherKind):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    # The extended codes have the plain one in their lowest byte.
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _waiting(connection: sqlite3.Connection) -> Waiting:
    messages, size = connection.execute("SELECT messages, bytes FROM total").fetchone()
    oldest = connection.execute("SELECT at FROM waiting ORDER BY number LIMIT 1").fetchone()
    return Waiting(messages, size, oldest[0] if oldest else None)


def _file(path: Path) -> tuple[int, int] | None:
    """Which file is at this path."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _touch(path: Path) -> None:
    """Make the file if there is none. What it holds is nobody else's business; SQLite gives its other files the same mode.

    One that is there must not be opened: closing it again would end every lock that this process has on it, SQLite's own too.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


# -- forks

_spools: weakref.WeakSet[Spool] = weakref.WeakSet()
_held: list[ExitStack] = []
_forking = threading.RLock()


def _before_fork() -> None:
    stack = ExitStack()
    stack.enter_context(_forking)  # two threads that fork at once
    for spool in list(_spools):
        stack.enter_context(spool._lock)
        stack.enter_context(spool._reading)
        spool.close()
    _held.append(stack)


def _after_fork() -> None:
    if _held:
        _held.pop().close()


if hasattr(os, "register_at_fork"):
    # In the child too: it is the thread that has forked that goes on there, and so the one that has these locks.
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
