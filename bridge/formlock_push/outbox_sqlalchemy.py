"""The outbox as SQLAlchemy writes it: `install(Sessions, Outbox(Base.metadata))`. `outbox` says what the table is good for."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text, insert, text
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.orm import Session

from formlock_push.message import Update
from formlock_push.outbox import CHANNEL, PENDING, TABLE, Row, row_of

_log = logging.getLogger("formlock_push")


class Outbox:
    """In the place of a pusher for `install`, and for updates of one's own: `outbox.add(session, update)`.

    The table is added to the metadata, so that `create_all` and Alembic know it. `source`: who reports, where an update doesn't say
    it. Making two with the same metadata is right. `failed` counts updates that can't be said in JSON at all.
    """

    def __init__(self, metadata: MetaData, *, source: str | None = None, schema: str | None = None) -> None:
        self.failed = 0
        self._source = source
        known = metadata.tables.get(TABLE if schema is None else f"{schema}.{TABLE}")
        self.table: Table = _table(metadata, schema) if known is None else known

    def add(self, session: Session, update: Update) -> None:
        """Tell this if the session's transaction (or savepoint) is committed. Written at once: flush what it tells of before it, and
        the order of a form's updates is that of its changes.

        With an AsyncSession: `await session.run_sync(outbox.add, update)`. Raises what the database raises, and TypeError or
        ValueError for an update that can't be told.
        """
        self._insert(session, [self._row(update)])

    def write(self, session: Session, updates: Sequence[Update], /) -> int:
        """Called by the hook, before the commit. What the database raises stops the commit: then nothing has changed either."""
        rows: list[Row] = []
        for update in updates:
            try:
                rows.append(self._row(update))
            except (TypeError, ValueError) as error:
                # The record's own form can't be said; the application's commit has nothing to gain from failing for it.
                self.failed += 1
                _log.warning("an update of %r can't be told: %s", update.form, error)
        if rows:
            self._insert(session, rows)
        return len(rows)

    def _row(self, update: Update) -> Row:
        return row_of(update, at_ms=round(time.time() * 1000), source=self._source)

    def _insert(self, session: Session, rows: Sequence[Row]) -> None:
        # The session's own choice of a database for this table, if it has several.
        connection = session.connection(bind_arguments={"clause": self.table})
        connection.execute(insert(self.table), [row.values() for row in rows])
        # PostgreSQL can't prepare a transaction that has notified; then the relay finds the rows by looking.
        if connection.dialect.name == "postgresql" and not session.twophase:
            connection.execute(text(f"NOTIFY {CHANNEL}"))


def _table(metadata: MetaData, schema: str | None) -> Table:
    table = Table(
        TABLE,
        metadata,
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("source", Text, nullable=False),
        Column("message_id", Text, nullable=False),
        Column("form", Text, nullable=False),
        Column("message", Text().with_variant(MEDIUMTEXT, "mysql", "mariadb"), nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("sent_at", BigInteger),
        Column("refused", Text),
        schema=schema,
        # SQLite: an id is never given twice, not even that of the last row after its deletion.
        sqlite_autoincrement=True,
    )
    pending = text(PENDING)
    Index(f"{TABLE}_pending", table.c.id, postgresql_where=pending, sqlite_where=pending)
    return table
