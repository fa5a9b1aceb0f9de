"""A clock that stands still until it is told to move: `clock.Clock` without a reactor, and the same outcome on every run."""

from __future__ import annotations

import heapq
import queue
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any, TypeVar, cast

from formlock.clock import Settled

T = TypeVar("T")
# What threads have to do (write to a disk, say) takes real time; longer than this it hangs.
WITHIN_S = 60.0


class FakePromise(Settled):
    """See clock.Promise."""

    def __await__(self) -> Generator[FakePromise, None, Any]:
        if not self._kept:
            yield self
        return self._result()

    def when_settled(self, go_on: Callable[[], None]) -> None:
        """For the task that waits."""
        self._waiting.append(go_on)


class Task:
    """A coroutine being driven. `result()` raises what it raised."""

    def __init__(self, work: Awaitable[Any]) -> None:
        self._steps = cast("Coroutine[FakePromise, None, Any]", work)
        self.done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._step()

    def abandon(self) -> None:
        """Its process has died: it goes no further, whatever it waits for."""
        if not self.done:
            self.done = True
            with suppress(BaseException):
                self._steps.close()

    def _step(self) -> None:
        if self.done:
            return
        try:
            promise = self._steps.send(None)
        except StopIteration as stop:
            self.done, self._value = True, stop.value
        except BaseException as error:  # noqa: BLE001 (raised by `result`)
            self.done, self._error = True, error
        else:
            promise.when_settled(self._step)

    def result(self) -> Any:
        """The coroutine's value; AssertionError if it still waits."""
        assert self.done, "still waiting"
        if self._error is not None:
            raise self._error
        return self._value


class _FakeTimer:
    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class FakeClock:
    """Time moves by `advance`; timers run in order of their time, then of their making."""

    def __init__(self, now: int = 1_000_000, wall: int = 1_000_000) -> None:
        self._now = now
        self._wall_offset = wall - now
        self._timers: list[tuple[int, int, _FakeTimer]] = []
        self._made = 0
        self._threads: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.background: list[Task] = []

    def now(self) -> int:
        return self._now

    def wall(self) -> int:
        return self._now + self._wall_offset

    def later(self, delay_ms: int, call: Callable[[], None]) -> _FakeTimer:
        timer = _FakeTimer(call)
        self._made += 1
        heapq.heappush(self._timers, (self._now + max(0, delay_ms), self._made, timer))
        return timer

    def promise(self) -> FakePromise:
        return FakePromise()

    def from_thread(self, call: Callable[[], None]) -> None:
        self._threads.put(call)

    def start(self, work: Awaitable[None]) -> None:
        task = Task(work)
        if task.done:
            task.result()
        else:
            self.background.append(task)

    def advance(self, by_ms: int) -> None:
        """Let time pass, timer by timer."""
        until = self._now + by_ms
        while self._timers and self._timers[0][0] <= until:
            at, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, at)
            if timer.call is not None:
                timer.call()
        self._now = until
        self._check()

    def step(self) -> bool:
        """Move to the next timer and run it, and nothing else; False: there is none."""
        while self._timers:
            at, _, timer = heapq.heappop(self._timers)
            if timer.call is not None:
                self._now = max(self._now, at)
                timer.call()
                return True
        return False

    def jump(self, by_ms: int) -> None:
        """Time passes and nothing runs meanwhile, as when the process was stopped; what is overdue runs with the next `advance`."""
        self._now += by_ms

    def run(self, work: Awaitable[T], within_s: float = WITHIN_S) -> T:
        """Drive the coroutine to its end, taking what threads hand in; time stands still. Limited in real time."""
        task = Task(work)
        limit = time.monotonic() + within_s
        while not task.done:
            self._take(limit)
        return cast("T", task.result())

    def settle(self, task: Task, within_s: float = WITHIN_S) -> Any:
        """As `run`, for a task that has been started."""
        limit = time.monotonic() + within_s
        while not task.done:
            self._take(limit)
        return task.result()

    def _take(self, limit: float) -> None:
        try:
            call = self._threads.get(timeout=max(0.0, limit - time.monotonic()))
        except queue.Empty:
            raise AssertionError("nothing more happens and the work still waits") from None
        call()

    def _check(self) -> None:
        """Errors of work in the background are the test's errors."""
        for task in self.background[:]:
            if task.done:
                self.background.remove(task)
                task.result()
