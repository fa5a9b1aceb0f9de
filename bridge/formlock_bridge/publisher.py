"""What is told when: each form's updates in their order, one at a time, many forms at once; what comes in quick succession folded.

- One publish of a form is in flight at a time, and the next goes when the router has confirmed it. All in all a bounded number is.
- The first update of a form goes out at once. What follows within the form's window (policy `coalesce`) goes at its end, neighbours
  that may be folded as one event (folding.py): a list that somebody types into is ten events a second at most, not a hundred.
- What the router refuses is tried again, a few times, and then parked with its reason: it is not told any more, and whoever sees the
  gap asks for `updates`. Until then nothing later of its form is told.
- A router that is lost ends it. What is not marked then is published by the next one, from the journal.

No reactor and no router: it is given a clock, and a function that publishes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from formlock.clock import Clock, Timer
from formlock_bridge.folding import fold, may_fold
from formlock_push.message import MAX_BYTES, Update

# Publishes that the router has not confirmed yet. Small, because a lock call that comes meanwhile waits behind them in the router.
MAX_IN_FLIGHT = 64
# What is tried again after so long; when there is no more, it is parked.
RETRIES_MS = (100, 500, 2_000)


class Waiting(Struct, frozen=True, gc=False):
    """One update on its way. `size` is that of its message."""

    form: str
    seq: int
    at: int
    update: Update
    size: int


class Telling(Struct, frozen=True, gc=False):
    """One event to come: it stands for the numbers from `first` to `seq`."""

    form: str
    first: int
    seq: int
    at: int
    update: Update


class RefusedError(Exception):
    """The router has this event and won't have it; the text says why, for the log."""


class LostError(Exception):
    """The router is gone; nobody knows whether it has told this event."""


class Marks(Protocol):
    """The journal, as far as the publisher knows it."""

    def published(self, form: str, seq: int) -> None: ...

    def parked(self, form: str, first: int, seq: int, reason: str) -> None: ...


class _Line(Struct, eq=False):
    """A form's updates that are not told yet. `upto`: those up to it may go; `opens_at`: when all the others may."""

    form: str
    waiting: deque[Waiting]
    upto: int = 0
    opens_at: int = 0
    folds: bool = False
    # Queued, in flight, or waiting to be tried again.
    busy: bool = False
    timer: Timer | None = None


class Publisher:
    """`publish(telling)` returns when the router has confirmed it, or raises RefusedError or LostError. `window_ms(form)` is the
    policy's. `relieved()` is called when fewer wait than before, `lost()` when the router is gone, `refused(telling, why, parked)`
    for each refusal."""

    def __init__(
        self,
        clock: Clock,
        marks: Marks,
        publish: Callable[[Telling], Awaitable[None]],
        window_ms: Callable[[str], int],
        *,
        relieved: Callable[[], None],
        refused: Callable[[Telling, str, bool], None],
    ) -> None:
        self.waiting = 0
        self.waiting_bytes = 0
        self.events = 0
        self._clock = clock
        self._marks = marks
        self._publish = publish
        self._window_ms = window_ms
        self._relieved = relieved
        self._refused = refused
        self._lines: dict[str, _Line] = {}
        # What may go as soon as there is room, in turn: (line, telling, how many updates it stands for, how often it was refused).
        self._ready: deque[tuple[_Line, Telling, list[Waiting], int]] = deque()
        self._in_flight = 0
        self._pumping = False
        self._stopped = False

    def add(self, waiting: Waiting) -> None:
        """The next of its form."""
        if self._stopped:
            return
        self.waiting += 1
        self.waiting_bytes += waiting.size
        line = self._lines.get(waiting.form)
        if line is None:
            line = self._lines[waiting.form] = _Line(waiting.form, deque())
        line.waiting.append(waiting)
        self._look(line)
        self._pump()

    def stop(self) -> None:
        """Tell nothing more; what is in flight is not marked any more."""
        self._stopped = True
        for line in self._lines.values():
            if line.timer is not None:
                line.timer.cancel()
        self._lines.clear()
        self._ready.clear()

    # -- a form's turn

    def _look(self, line: _Line) -> None:
        """Queue the line's next event, or wait until its window ends."""
        if line.busy or self._stopped:
            return
        now = self._clock.now()
        if now >= line.opens_at:
            if not line.waiting:
                del self._lines[line.form]
                return
            window = self._window_ms(line.form)
            line.folds = window > 0
            line.opens_at = now + window
            line.upto = line.waiting[-1].seq
        if line.waiting and line.waiting[0].seq <= line.upto:
            line.busy = True
            self._ready.append((line, *self._next(line), 0))
        elif line.timer is None:
            line.timer = self._clock.later(line.opens_at - now, lambda: self._opens(line))

    def _opens(self, line: _Line) -> None:
        line.timer = None
        self._look(line)
        self._pump()

    def _next(self, line: _Line) -> tuple[Telling, list[Waiting]]:
        """The next event: as many of those that may go as fold into one, and together are not longer than one may be."""
        first = line.waiting.popleft()
        together, update, size = [first], first.update, first.size
        while line.folds and line.waiting:
            then = line.waiting[0]
            size += then.size
            if then.seq > line.upto or size > MAX_BYTES or not may_fold(update, then.update):
                break
            update = fold(update, then.update)
            together.append(line.waiting.popleft())
        return Telling(line.form, first.seq, together[-1].seq, together[-1].at, update), together

    # -- in flight

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._ready and self._in_flight < MAX_IN_FLIGHT:
                self._in_flight += 1
                self._clock.start(self._send(*self._ready.popleft()))
        finally:
            self._pumping = False

    async def _send(self, line: _Line, telling: Telling, together: list[Waiting], refusals: int) -> None:
        try:
            await self._publish(telling)
        except RefusedError as error:
            self._in_flight -= 1
            if not self._stopped:
                self._again(line, telling, together, refusals, str(error))
        except LostError:
            self._in_flight -= 1
            self.stop()
            return
        else:
            self._in_flight -= 1
            if not self._stopped:
                self.events += 1
                self._marks.published(telling.form, telling.seq)
                self._done(line, together)
        self._pump()

    def _again(self, line: _Line, telling: Telling, together: list[Waiting], refusals: int, why: str) -> None:
        parked = refusals >= len(RETRIES_MS)
        self._refused(telling, why, parked)
        if parked:
            self._marks.parked(telling.form, telling.first, telling.seq, why)
            self._done(line, together)
            return

        def again() -> None:
            line.timer = None
            self._ready.append((line, telling, together, refusals + 1))
            self._pump()

        if line.timer is not None:
            line.timer.cancel()
        line.timer = self._clock.later(RETRIES_MS[refusals], again)

    def _done(self, line: _Line, together: list[Waiting]) -> None:
        self.waiting -= len(together)
        self.waiting_bytes -= sum(waiting.size for waiting in together)
        line.busy = False
        self._look(line)
        self._relieved()
