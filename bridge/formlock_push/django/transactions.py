"""What a connection of Django's has still to commit.

`on_commit` forgets what a rolled-back savepoint had registered, at any depth: that is exactly what must not be told. But its
callbacks run one by one, none knows whether another follows, and one that raises takes those behind it along. So they are only
marks here, and `Watch` collects those that are left right at the commit: all of them, before anybody else's.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

from django.db.backends.base.base import BaseDatabaseWrapper

from formlock_push.changes import Change, Many

_WATCH = "_formlock_watch"


class Committer(Protocol):
    """Who is told what is committed. Neither may raise, but for what must make the commit fail."""

    def before_commit(self, connection: BaseDatabaseWrapper, entries: Sequence[Entry]) -> None: ...
    def after_commit(self, connection: BaseDatabaseWrapper, entries: Sequence[Entry]) -> None: ...


class Entry:
    """One change inside a transaction: pending, then committed; or else it has been rolled back."""

    __slots__ = ("_committer", "_connection", "change", "committed", "record")

    def __init__(self, committer: Committer, connection: BaseDatabaseWrapper, record: Hashable, change: Change | Many) -> None:
        self.record = record
        self.change = change
        self.committed = False
        self._committer = committer
        self._connection = connection

    def register(self) -> None:
        """With the savepoint that the connection is in now."""
        watch_of(self._connection)
        self._connection.on_commit(self.run, robust=True)

    def is_pending(self) -> bool:
        return not self.committed and watch_of(self._connection).has(self)

    def run(self) -> None:
        """Called by Django after the commit, when all is done, or by a test that plays the commit (`captureOnCommitCallbacks`)."""
        if self.committed:
            return
        pending = watch_of(self._connection).entries()
        # What such a test has not asked for, since it was there before, stays.
        entries = pending[pending.index(self) :] if self in pending else [self]
        self._committer.before_commit(self._connection, entries)
        done(self._committer, self._connection, entries)


class Watch:
    """Put into a connection with its first change, and there for as long as the connection's object."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._commit = connection.commit
        self._run_hooks = connection.run_and_clear_commit_hooks
        self._list: list[Any] | None = None
        self._looked_at = 0
        self._entries: list[Entry] = []
        self._set: set[Entry] = set()
        connection.commit = self.commit
        connection.run_and_clear_commit_hooks = self.run_and_clear_commit_hooks

    def commit(self) -> None:
        """In the connection's place: the last moment at which something can be written in the same transaction."""
        entries = self.entries()
        if entries:
            entries[0]._committer.before_commit(self._connection, entries)
        self._commit()

    def run_and_clear_commit_hooks(self) -> None:
        """In the connection's place: what is left at this moment has been committed."""
        entries = self.entries()
        if entries:
            done(entries[0]._committer, self._connection, entries)
        self._run_hooks()

    def entries(self) -> list[Entry]:
        """What has not been rolled back, in its order."""
        self._look()
        return [entry for entry in self._entries if not entry.committed]

    def has(self, entry: Entry) -> bool:
        self._look()
        return entry in self._set

    def _look(self) -> None:
        """Only at what is new: a rollback makes another list, everything else appends to it."""
        listed: list[Any] = self._connection.run_on_commit
        if self._list is None or listed is not self._list or len(listed) < self._looked_at:
            self._list, self._looked_at = listed, 0
            self._entries, self._set = [], set()
        for _, function, *_ in listed[self._looked_at :]:
            owner = getattr(function, "__self__", None)
            if isinstance(owner, Entry):
                self._entries.append(owner)
                self._set.add(owner)
        self._looked_at = len(listed)


def watch_of(connection: BaseDatabaseWrapper) -> Watch:
    """The connection's own, made when there is none."""
    watch: Watch | None = connection.__dict__.get(_WATCH)
    if watch is None:
        watch = connection.__dict__[_WATCH] = Watch(connection)
    return watch


def done(committer: Committer, connection: BaseDatabaseWrapper, entries: Sequence[Entry]) -> None:
    """They are committed, and told."""
    for entry in entries:
        entry.committed = True
    committer.after_commit(connection, entries)
