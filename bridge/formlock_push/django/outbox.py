"""The outbox for Django: what a transaction has changed becomes rows of it, in the same transaction and by its last statement."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from formlock_push.message import Update
from formlock_push.outbox import CHANNEL, TABLE, Row, row_of

_log = logging.getLogger("formlock_push")


class Outbox:
    """In place of a pusher. The table belongs to the app `formlock_push.django_outbox`, in each database whose records are told.

    `failed` counts updates that can't be said in JSON at all.
    """

    def __init__(self) -> None:
        self.failed = 0

    def write(self, connection: BaseDatabaseWrapper, updates: Sequence[Update]) -> int:
        """In the connection's transaction. Raises what the database raises: then nothing of it is committed."""
        rows = list(self._rows(updates))
        if not rows:
            return 0
        names = tuple(Row.__slots__)
        quoted = ", ".join(connection.ops.quote_name(name) for name in names)
        table = connection.ops.quote_name(TABLE)
        statement = f"INSERT INTO {table} ({quoted}) VALUES ({', '.join(['%s'] * len(names))})"  # noqa: S608 (names of our own)
        with connection.cursor() as cursor:
            cursor.executemany(statement, [tuple(row.values().values()) for row in rows])
            if connection.vendor == "postgresql":
                cursor.execute(f"NOTIFY {CHANNEL}")
        return len(rows)

    def _rows(self, updates: Sequence[Update]) -> Iterator[Row]:
        for update in updates:
            try:
                yield row_of(update, at_ms=round(time.time() * 1000))
            except (TypeError, ValueError) as error:
                # The record's own form can't be said; the application's commit has nothing to gain from failing for it.
                self.failed += 1
                _log.warning("an update of %r can't be told: %s", update.form, error)
