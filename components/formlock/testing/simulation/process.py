"""A process: the clock that its code is given, which stops when it is paused and is silent for ever when it dies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from formlock.errors import NotActive
from formlock.testing.clock import FakeClock, FakePromise, Task


class Timer:
    """A call to come; cancelled, it does nothing, even when it waits for its paused process."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None

    def run(self) -> None:
        if self.call is not None:
            self.call()


class Process:
    """See clock.Clock. Its monotonic time begins anywhere, as after each start of a machine."""

    def __init__(self, base: FakeClock, random: Random, wall_step: Callable[[], int]) -> None:
        self._base = base
        self._random = random
        self._offset = random.randrange(-900_000, 10_000_000)
        self._wall_step = wall_step
        self._tasks: list[Task] = []
        self._timers: list[Callable[[], None]] = []
        self._inbox: list[Callable[[], None]] = []
        self.alive = True
        self.paused = False
        self.errors: list[Exception] = []
        """What its work in the background raised, and nobody expected."""

    # -- clock.Clock

    def now(self) -> int:
        return self._base.now() + self._offset

    def wall(self) -> int:
        return self._base.wall() + self._wall_step()

    def later(self, delay_ms: int, call: Callable[[], None]) -> Timer:
        timer = Timer(call)
        self._base.later(delay_ms, lambda: self._due(timer))
        return timer

    def promise(self) -> FakePromise:
        return FakePromise()

    def from_thread(self, call: Callable[[], None]) -> None:
        self._base.later(0, lambda: self.do(call))

    def start(self, work: Awaitable[Any]) -> None:
        task = Task(work)
        if task.done:
            self._look(task)
            return
        self._tasks.append(task)
        if len(self._tasks) > 200:
            self._reap()

    # -- what happens to it

    def do(self, call: Callable[[], None]) -> None:
        """Something comes in: at once, after the pause, or never."""
        if not self.alive:
            return
        if self.paused:
            self._inbox.append(call)
        else:
            call()

    def resume(self) -> None:
        """It goes on. What came meanwhile waits in the socket, what is due in the timers; either may be looked at first."""
        self.paused = False
        timers, self._timers = self._timers, []
        inbox, self._inbox = self._inbox, []
        for call in [*timers, *inbox] if self._random.random() < 0.5 else [*inbox, *timers]:
            self.do(call)

    def die(self) -> None:
        """Nothing of it goes on."""
        self.alive = False
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.abandon()

    def _due(self, timer: Timer) -> None:
        if self.alive and self.paused:
            self._timers.append(timer.run)
        elif self.alive:
            timer.run()

    def _reap(self) -> None:
        for task in self._tasks:
            if task.done:
                self._look(task)
        self._tasks = [task for task in self._tasks if not task.done]

    def _look(self, task: Task) -> None:
        try:
            task.result()
        except NotActive:
            pass  # logged by the real one, and tried again
        except Exception as error:  # noqa: BLE001 (a defect of ours: the run fails with it)
            self.errors.append(error)

    def check(self) -> list[Exception]:
        """Unexpected errors so far."""
        if self.alive:
            self._reap()
        return self.errors
