"""No late save: the token of a lock is written into the record's own row, and only who wrote the newest one may save (U14, U21).

A receipt can't do this alone: it stays valid until it expires, while somebody else has taken over. So a grant is *claimed* in the
application's database before its fields are read, and each save is *fenced* by that row:

- when editing begins: `claim`, read the record, commit
- when it is saved: `fence` before anything else, read the record, compare its version, change it, commit

Plain SQL, the same on SQLite, PostgreSQL and MySQL. It counts the rows that were found: MySQL counts only those whose values change
unless its FOUND_ROWS flag is set, which SQLAlchemy's dialects do.
"""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import BigInteger, ColumnElement, CursorResult, and_, column, select, table, update
from sqlalchemy import inspect as inspect_
from sqlalchemy.orm import Mapped, Mapper, Session, mapped_column
from sqlalchemy.sql import Executable, TableClause

TOKEN = "lock_token"  # noqa: S105 (a column's name)


class Late(Exception):
    """Somebody else has claimed the record since; what was typed must not be saved over it."""


class LockToken:
    """For a mapped class: the newest token that was claimed for this record, 0 when none ever was."""

    lock_token: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0", nullable=False)


def claim(session: Session, record_class: type[Any], identity: object, token: int) -> None:
    """Make this the record's token. The row stays locked until the transaction ends: read the record now, and then commit.

    `identity` is what `session.get` takes: the primary key, a tuple when it has several columns. Claiming again with the same token
    is right. Raises Late when a newer token has claimed the record, LookupError when there is no such record.
    """
    row = _Row(session, record_class, identity)
    if row.update(row.token < token, to=token) or row.update(row.token == token, to=token):
        return
    if not row.exists():
        raise LookupError(f"There is no {record_class.__name__} {identity!r}.")
    raise Late(f"{record_class.__name__} {identity!r} has been claimed with a newer token than {token}.")


def fence(session: Session, record_class: type[Any], identity: object, token: int) -> None:
    """Lock the record's row until the transaction ends; raises Late unless this token is still the one that claimed it.

    Call it first in the transaction, and read the record after it. What the session had read before may be old, so
    `session.get(..., populate_existing=True, with_for_update=True)`: under MySQL's REPEATABLE READ a plain read still sees what was
    there when the transaction began.
    """
    row = _Row(session, record_class, identity)
    if not row.update(row.token == token, to=token):
        raise Late(f"{record_class.__name__} {identity!r} is not claimed with the token {token} (any more).")


class _Row:
    """One record's row in the table that has its token: of several (joined inheritance) that is the one with the mixin's column."""

    def __init__(self, session: Session, record_class: type[Any], identity: object) -> None:
        self._session = session
        self._mapper = cast("Mapper[Any]", inspect_(record_class))
        whole: Any = self._mapper.columns[TOKEN].table
        values = identity if isinstance(identity, tuple) else (identity,)
        # Made anew from names and types: an update of the Table itself would set its `onupdate` columns too; a claim is no change.
        keys: list[ColumnElement[Any]] = [column(key.name, key.type) for key in whole.primary_key]
        self.token: ColumnElement[int] = column(TOKEN, BigInteger)
        if len(keys) != len(values):
            raise ValueError(f"{record_class.__name__} is identified by {len(keys)} values, not {len(values)}.")
        self._table: TableClause = table(whole.name, *cast("Any", [*keys, self.token]), schema=whole.schema)
        self._is_it = and_(*(key == value for key, value in zip(keys, values, strict=True)))

    def update(self, condition: ColumnElement[bool], *, to: int) -> bool:
        """Whether the row was there and met the condition. It is written, and so locked, even where its value stays the same."""
        done = self._execute(update(self._table).where(self._is_it, condition).values({TOKEN: to}))
        return done.rowcount == 1

    def exists(self) -> bool:
        return self._execute(select(self.token).where(self._is_it)).first() is not None

    def _execute(self, statement: Executable) -> CursorResult[Any]:
        # Nothing of the caller's may be written before the fence has let him pass.
        with self._session.no_autoflush:
            return cast("CursorResult[Any]", self._session.execute(statement, bind_arguments={"mapper": self._mapper}))
