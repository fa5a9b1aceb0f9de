"""Where what came in waits for its number: gathered, written to the journal in batches, answered in order, handed on to be told.

One batch is in flight while the next gathers. Whoever sent with an answer gets it after the commit, everybody in the order in which
they came, refusals too. A batch that could not be written is answered `busy`; what came without a way to answer is kept and tried
again, and meanwhile nothing more is read, so that it waits on the senders' side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from formlock.clock import Clock, Promise, Timer
from formlock.errors import NotActive
from formlock_bridge.journals import Arrival, Entry, Journal
from formlock_push.message import Update

# Of one commit.
MAX_BATCH = 512
# What gathers at most; nothing is read beyond it.
MAX_GATHERED = 2_048
MAX_GATHERED_BYTES = 8 * 2**20
RETRY_MS = 1_000

Answer = Callable[[Mapping[str, Any]], None]

BUSY: Mapping[str, Any] = {
    "error": "busy",
    "message": "The bridge can't take more right now: send it again in a moment.",
    "retry": True,
}


class _Item(Struct, gc=False):
    """What came: an update to be written, or (`said`) what its sender is told already."""

    answer: Answer | None
    arrival: Arrival | None = None
    update: Update | None = None
    said: Mapping[str, Any] | None = None


class Desk:
    """`taken(entry, update)` is told each that has its number, in their order; `duplicate(update)` each that was known;
    `changed()` whenever `full` may have; `lost(count)` how many of those without an answer were not written at the end."""

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        *,
        taken: Callable[[Entry, Update], None],
        duplicate: Callable[[Update], None],
        changed: Callable[[], None],
        lost: Callable[[int], None],
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._taken = taken
        self._duplicate = duplicate
        self._changed = changed
        self._lost = lost
        self._gathered: deque[_Item] = deque()
        self._bytes = 0
        self._working = False
        self._retry: Timer | None = None
        self._closing: Promise[None] | None = None

    @property
    def full(self) -> bool:
        """Whether nothing more should be read."""
        too_many = len(self._gathered) >= MAX_GATHERED or self._bytes >= MAX_GATHERED_BYTES
        return too_many or self._retry is not None or self._closing is not None

    def take(self, arrival: Arrival, update: Update, answer: Answer | None) -> None:
        """An update that is right."""
        if answer is not None and self._closing is not None:
            answer({"id": arrival.id or None, **BUSY})
            return
        self._gathered.append(_Item(answer, arrival, update))
        self._bytes += len(arrival.message)
        self._go_on()

    def say(self, answer: Answer, said: Mapping[str, Any]) -> None:
        """A refusal, behind the answers to what came before."""
        if self._working or self._gathered:
            self._gathered.append(_Item(answer, said=said))
            self._go_on()
        else:
            answer(said)

    async def close(self) -> None:
        """Write what is gathered; take nothing more."""
        if self._closing is None:
            self._closing = self._clock.promise()
            if self._retry is not None:
                self._retry.cancel()
                self._retry = None
            self._go_on()
            self._end()
        await self._closing

    def _go_on(self) -> None:
        if self._gathered and not self._working and self._retry is None:
            self._working = True
            self._clock.start(self._work())

    def _end(self) -> None:
        if self._closing is not None and not self._working:
            if self._gathered:
                self._lost(sum(item.arrival is not None for item in self._gathered))
                self._gathered.clear()
            self._closing.keep(None)

    async def _work(self) -> None:
        try:
            while self._gathered and self._retry is None:
                if not await self._write([self._gathered.popleft() for _ in range(min(len(self._gathered), MAX_BATCH))]):
                    break
        finally:
            self._working = False
            self._end()

    async def _write(self, batch: list[_Item]) -> bool:
        """Whether it was."""
        arrivals = [item.arrival for item in batch if item.arrival is not None]
        self._bytes -= sum(len(arrival.message) for arrival in arrivals)
        try:
            outcomes = iter(await self._journal.append(arrivals) if arrivals else ())
        except NotActive:
            self._not_written(batch)
            return False
        for item in batch:
            if item.arrival is None or item.update is None:
                self._tell(item, item.said or {})
                continue
            outcome = next(outcomes)
            said: dict[str, Any] = {"form": outcome.form, "seq": outcome.seq, "epoch": self._journal.epoch}
            if isinstance(outcome, Entry):
                self._taken(outcome, item.update)
            else:
                said["duplicate"] = True
                self._duplicate(item.update)
            self._tell(item, {"id": item.arrival.id, **said})
        self._changed()
        return True

    def _not_written(self, batch: list[_Item]) -> None:
        kept = []
        for item in batch:
            if item.arrival is None:
                self._tell(item, item.said or {})
            elif item.answer is not None:
                self._tell(item, {"id": item.arrival.id, **BUSY})
            else:
                kept.append(item)
                self._bytes += len(item.arrival.message)
        self._gathered.extendleft(reversed(kept))
        if self._closing is None:
            self._retry = self._clock.later(RETRY_MS, self._try_again)
        self._changed()

    def _try_again(self) -> None:
        self._retry = None
        self._go_on()
        self._changed()

    def _tell(self, item: _Item, said: Mapping[str, Any]) -> None:
        if item.answer is not None:
            item.answer(said)
