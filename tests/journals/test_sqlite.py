"""The SQLite journal: conformance, and what only a file can do: fail, be taken over, outlive a crash."""

from __future__ import annotations

from pathlib import Path

from formlock.testing import FakeClock
from formlock_bridge.journals import Keeping
from formlock_bridge.journals.sqlite import SqliteJournal
from formlock_bridge.testing import JournalConformance


def opened(clock: FakeClock, path: Path, keeping: Keeping | None = None) -> SqliteJournal:
    return clock.run(SqliteJournal.open(path / "journal.sqlite", clock, lambda: "epoch-1", keeping))


class TestSqlite(JournalConformance):
    def open(self, clock: FakeClock, tmp_path: Path, keeping: Keeping | None = None) -> SqliteJournal:
        return opened(clock, tmp_path, keeping)
