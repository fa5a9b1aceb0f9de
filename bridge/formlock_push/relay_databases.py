"""What the relay asks of a database: the outbox's pending rows, marks on them, to be the only relay, and to be woken.

Plain SQL by the drivers that each database has (SQLite's is Python's own); no ORM. MySQL's is written by its manual and not tested.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from formlock_push.outbox import CHANNEL, PENDING, TABLE

LEASE_TABLE = "formlock_outbox_lease"
# A relay that was killed holds the others up for so long, where a row says who leads.
LEASE_S = 10.0
# PostgreSQL's advisory locks are numbers: the first eight bytes of SHA-256 of "formlock_outbox", without the sign.
ADVISORY_LOCK = 0x473F_DF79_F3F9_B89A
# Parameters of one statement.
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Pending:
    """A row that is to be sent."""

    id: int
    source: str
    message_id: str
    form: str
    message: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Of the whole table. `oldest_ms`: when the oldest pending row was written; None when none is pending."""

    pending: int
    sent: int
    oldest_ms: int | None
    refused: tuple[tuple[str, int], ...]


class Database(Protocol):
    """One connection, used by one thread. Its driver's errors pass; after one, the connection is closed and another one opened."""

    def lead(self) -> bool:
        """Whether this is the relay that works now; asked again and again. Two of them do no harm (see `relay.py`)."""

    def pending(self, limit: int) -> Sequence[Pending]:
        """The first pending rows, by id."""

    def mark(self, ids: Sequence[int], sent_at_ms: int) -> None:
        """These were acknowledged."""

    def delete(self, ids: Sequence[int]) -> None:
        """These were acknowledged, and are not to be kept."""

    def refuse(self, row_id: int, reason: str) -> None:
        """The bridge will never take this one."""

    def forget(self, before_ms: int) -> int:
        """Delete some of the rows that were sent before; how many."""

    def counts(self) -> Counts:
        """What is in the table."""

    def wait(self, timeout_s: float, stop: threading.Event) -> None:
        """Until there may be something to do; never longer than this."""

    def close(self) -> None:
        """Lead no longer."""


class _Sql:
    """What all databases do alike, by a connection as Python's DB-API has it, each statement a transaction of its own."""

    mark_of_parameter = "%s"

    def __init__(self, connection: Any, *, table: str = TABLE) -> None:
        self._connection = connection
        self._table = table

    def pending(self, limit: int) -> Sequence[Pending]:
        query = f"SELECT id, source, message_id, form, message FROM {self._table} WHERE {PENDING} ORDER BY id LIMIT ?"  # noqa: S608
        return [Pending(*row) for row in self._rows(query, (limit,))]

    def mark(self, ids: Sequence[int], sent_at_ms: int) -> None:
        for chunk in _chunks(ids):
            self._run(f"UPDATE {self._table} SET sent_at = ? WHERE id IN ({_marks(chunk)})", (sent_at_ms, *chunk))  # noqa: S608

    def delete(self, ids: Sequence[int]) -> None:
        for chunk in _chunks(ids):
            self._run(f"DELETE FROM {self._table} WHERE id IN ({_marks(chunk)})", chunk)  # noqa: S608

    def refuse(self, row_id: int, reason: str) -> None:
        self._run(f"UPDATE {self._table} SET refused = ? WHERE id = ?", (reason, row_id))  # noqa: S608

    def forget(self, before_ms: int) -> int:
        # A few at a time, so that nobody waits for the whole of a long history.
        query = f"SELECT id FROM {self._table} WHERE sent_at < ? ORDER BY sent_at LIMIT ?"  # noqa: S608
        ids = [row[0] for row in self._rows(query, (before_ms, CHUNK))]
        self.delete(ids)
        return len(ids)

    def counts(self) -> Counts:
        pending, oldest = self._rows(f"SELECT count(*), min(created_at) FROM {self._table} WHERE {PENDING}")[0]  # noqa: S608
        ((sent,),) = self._rows(f"SELECT count(*) FROM {self._table} WHERE sent_at IS NOT NULL")  # noqa: S608
        refused = self._rows(
            f"SELECT refused, count(*) FROM {self._table} WHERE refused IS NOT NULL GROUP BY refused ORDER BY refused"  # noqa: S608
        )
        return Counts(pending, sent, oldest, tuple((reason, count) for reason, count in refused))

    def wait(self, timeout_s: float, stop: threading.Event) -> None:
        stop.wait(timeout_s)

    def close(self) -> None:
        self._connection.close()

    def _run(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        cursor = self._connection.cursor()
        try:
            cursor.execute(statement.replace("?", self.mark_of_parameter), tuple(parameters))
            return int(cursor.rowcount)
        finally:
            cursor.close()

    def _rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        cursor = self._connection.cursor()
        try:
            cursor.execute(query.replace("?", self.mark_of_parameter), tuple(parameters))
            return list(cursor.fetchall())
        finally:
            cursor.close()


class _Leased(_Sql):
    """A row says which relay works, and until when. It is renewed while the relay works, and deleted when it ends."""

    upsert = ""
    make_table = ""

    def __init__(self, connection: Any, *, table: str = TABLE, lease_s: float = LEASE_S) -> None:
        super().__init__(connection, table=table)
        self._holder = uuid.uuid4().hex
        self._lease_s = lease_s
        self._renew_at = float("-inf")
        self._run(self.make_table)

    def lead(self) -> bool:
        now = time.monotonic()
        if now < self._renew_at:
            return True
        now_ms = round(time.time() * 1000)
        self._run(self.upsert, (self._holder, now_ms + round(self._lease_s * 1000), now_ms, self._holder))
        ((holder,),) = self._rows(f"SELECT holder FROM {LEASE_TABLE} WHERE name = 'relay'")  # noqa: S608
        leads = bool(holder == self._holder)
        self._renew_at = now + self._lease_s / 3 if leads else float("-inf")
        return leads

    def close(self) -> None:
        with contextlib.suppress(Exception):  # the lease ends by itself
            self._run(f"DELETE FROM {LEASE_TABLE} WHERE holder = ?", (self._holder,))  # noqa: S608
        super().close()


class Sqlite(_Leased):
    """`connection`: of `sqlite3`, with `isolation_level=None`."""

    mark_of_parameter = "?"
    make_table = f"CREATE TABLE IF NOT EXISTS {LEASE_TABLE} (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until_ms BIGINT NOT NULL)"
    upsert = (
        f"INSERT INTO {LEASE_TABLE} (name, holder, until_ms) VALUES ('relay', ?, ?)"  # noqa: S608
        f" ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms"
        f" WHERE {LEASE_TABLE}.until_ms < ? OR {LEASE_TABLE}.holder = ?"
    )


class Mysql(_Leased):
    """`connection`: of `pymysql`, with `autocommit=True`."""

    make_table = (
        f"CREATE TABLE IF NOT EXISTS {LEASE_TABLE}"
        " (name VARCHAR(20) PRIMARY KEY, holder VARCHAR(32) NOT NULL, until_ms BIGINT NOT NULL)"
    )
    # Assignments are done from left to right: `until_ms` sees the holder as it then is.
    upsert = (
        f"INSERT INTO {LEASE_TABLE} (name, holder, until_ms) SELECT 'relay', new.holder, new.until_ms"  # noqa: S608
        f" FROM (SELECT ? AS holder, ? AS until_ms, ? AS now_ms, ? AS me) AS new"
        f" ON DUPLICATE KEY UPDATE holder = IF({LEASE_TABLE}.until_ms < new.now_ms, new.me, {LEASE_TABLE}.holder),"
        f" until_ms = IF({LEASE_TABLE}.holder = new.me, new.until_ms, {LEASE_TABLE}.until_ms)"
    )


class Postgresql(_Sql):
    """`connection`: of `psycopg`, with `autocommit=True`.

    Who has the advisory lock leads, and it ends with its connection: a relay that is killed is followed at once. A pooler that hands
    connections on after each transaction can't be between.
    """

    def __init__(self, connection: Any, *, table: str = TABLE) -> None:
        super().__init__(connection, table=table)
        self._leads = False
        # Before the first look at the table: what is committed after it wakes us.
        self._run(f"LISTEN {CHANNEL}")

    def lead(self) -> bool:
        if not self._leads:
            ((self._leads,),) = self._rows("SELECT pg_try_advisory_lock(?)", (ADVISORY_LOCK,))
        return self._leads

    def wait(self, timeout_s: float, stop: threading.Event) -> None:
        if not self._leads:
            # Nothing that is committed concerns it until the one that leads has gone.
            stop.wait(timeout_s)
            return
        limit = time.monotonic() + timeout_s
        while not stop.is_set() and (left := limit - time.monotonic()) > 0:
            # In short waits, for `stop`'s sake.
            for _notified in self._connection.notifies(timeout=min(left, 0.5), stop_after=1):
                return


def connector(url: str, *, lease_s: float = LEASE_S) -> Callable[[], Database]:
    """What opens connections: `sqlite:///FILE` (`sqlite:////absolute/file`), `postgresql://...`, `mysql://...`; as SQLAlchemy's.

    `lease_s`: how long a relay that has died without a word holds the others up; not on PostgreSQL, which knows at once. A driver's
    name in the URL (`postgresql+psycopg://`) is ignored. Raises ValueError for another database, ImportError without its
    driver.
    """
    parts = urlsplit(url)
    kind = parts.scheme.partition("+")[0]
    if kind == "sqlite":
        path = unquote(parts.path[1:])
        if not path:
            raise ValueError("A database in memory belongs to the process that has it; a relay needs a file.")
        return lambda: _open_sqlite(path, lease_s)
    if kind in ("postgresql", "postgres"):
        import psycopg

        address = f"postgresql{url[len(parts.scheme) :]}"
        return lambda: Postgresql(psycopg.connect(address, autocommit=True, connect_timeout=10))
    if kind == "mysql":
        return _mysql(parts, lease_s)
    raise ValueError(f"{kind or url!r} is none of sqlite, postgresql, mysql.")


def _open_sqlite(path: str, lease_s: float) -> Database:
    import sqlite3
    from urllib.parse import quote

    # Only a file that is there: a slip of the pen must not make a new one and wait in it for ever.
    connection = sqlite3.connect(f"file:{quote(path)}?mode=rw", uri=True, timeout=10, isolation_level=None)
    return Sqlite(connection, lease_s=lease_s)


def _mysql(parts: Any, lease_s: float) -> Callable[[], Database]:
    import pymysql

    def connect() -> Database:
        connection = pymysql.connect(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 3306,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            database=unquote(parts.path[1:]),
            charset="utf8mb4",
            autocommit=True,
        )
        return Mysql(connection, lease_s=lease_s)

    return connect


def _marks(chunk: Sequence[Any]) -> str:
    return ", ".join("?" * len(chunk))


def _chunks(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
