"""The memory store."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from formlock.history import Keeping
from formlock.stores import LockStore
from formlock.stores.memory import MemoryStore
from formlock.testing import FakeClock, StoreConformance

epochs = count()


class TestMemory(StoreConformance):
    durable = False

    def open(self, clock: FakeClock, tmp_path: Path, keeping: Keeping | None = None) -> LockStore:
        return MemoryStore(epoch=str(next(epochs)), first_token=clock.wall(), keeping=keeping)
