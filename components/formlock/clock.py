"""What the service asks of the world around it: time, timers, and values that are not there yet.

`wamp.py` fulfils it with Twisted, `testing.FakeClock` with nothing but a number. No other file knows a reactor.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Promise(Protocol[T]):
    """A value to come, kept once. Awaiting one that has been kept does not suspend."""

    def keep(self, value: T) -> None:
        """Give the value to whoever waits, now or later."""

    def fail(self, error: BaseException) -> None:
        """Raise at whoever waits, now or later."""

    def __await__(self) -> Generator[Any, Any, T]: ...


class Settled:
    """What every promise does, whoever waits for it: it is kept or failed once, and then tells those who wait."""

    def __init__(self) -> None:
        self._kept = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._waiting: list[Callable[[], None]] = []

    def keep(self, value: Any) -> None:
        self._settle(value, None)

    def fail(self, error: BaseException) -> None:
        self._settle(None, error)

    def _settle(self, value: Any, error: BaseException | None) -> None:
        if self._kept:
            return
        self._kept, self._value, self._error = True, value, error
        waiting, self._waiting = self._waiting, []
        for go_on in waiting:
            go_on()

    def _result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value


class Timer(Protocol):
    """A call to come."""

    def cancel(self) -> None:
        """Forget it; harmless when it has run."""


class Clock(Protocol):
    """Time and concurrency, passed in."""

    def now(self) -> int:
        """Monotonic milliseconds."""

    def wall(self) -> int:
        """Milliseconds since 1970, for display and for the first token of a new store."""

    def later(self, delay_ms: int, call: Callable[[], None]) -> Timer:
        """Call once after the delay, on the service's own thread."""

    def promise(self) -> Promise[Any]:
        """A new empty promise."""

    def from_thread(self, call: Callable[[], None]) -> None:
        """Call soon on the service's own thread; the one method that any thread may use."""

    def start(self, work: Awaitable[None]) -> None:
        """Run this beside whatever runs now; an error in it is logged, never raised."""
