"""What tests of the ways in share: waiting, with a limit, while the reactor has its turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

# Only against hanging.
WITHIN_S = 60


class Turns:
    """Something else that wants its turn (a lock call, say): `per_turn` has what `count` counted in each."""

    def __init__(self) -> None:
        self.per_turn = [0]
        self._until: tuple[Callable[[], object], Deferred[None]] | None = None
        self._ticking: Any = reactor.callLater(0, self._tick)

    def count(self) -> None:
        self.per_turn[-1] += 1

    def until(self, true: Callable[[], object]) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._until = (true, waiting)
        return waiting.addTimeout(WITHIN_S, reactor)

    def turns(self, number: int) -> Deferred[None]:
        """That many turns of the reactor."""
        end = len(self.per_turn) + number
        return self.until(lambda: len(self.per_turn) >= end)

    def stop(self) -> None:
        self._ticking.cancel()

    def _tick(self) -> None:
        self.per_turn.append(0)
        self._ticking = reactor.callLater(0, self._tick)
        if self._until is not None and self._until[0]():
            waiting, self._until = self._until[1], None
            waiting.callback(None)
