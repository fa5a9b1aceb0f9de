"""The journal in memory."""

from __future__ import annotations

from pathlib import Path

from formlock.testing import FakeClock
from formlock_bridge.journals import Journal, Keeping
from formlock_bridge.journals.memory import MemoryJournal
from formlock_bridge.testing import JournalConformance


class TestMemory(JournalConformance):
    durable = False

    def open(self, clock: FakeClock, tmp_path: Path, keeping: Keeping | None = None) -> Journal:
        return MemoryJournal("e", clock, keeping)
