"""Whether the bridge may be asked directly: a request pays the time-out once, not each one. Pure: the time is passed in."""

from __future__ import annotations

import threading

# After the first silence nobody asks for so long, then twice as long each time, up to the second.
REST_S = 0.25
MAX_REST_S = 10.0


class Circuit:
    """`down` after a time-out or a "busy": everything goes into the spool at once, and what drains it finds out.

    It comes up again when something has got through and it has rested. A bridge that answers, but always too late, makes it rest for
    longer each time; one direct answer in time ends that.
    """

    def __init__(self) -> None:
        self.down = False
        # When it may come up again, as the clock that is passed in.
        self.rests_until = 0.0
        self._failures = 0
        self._lock = threading.Lock()

    def fail(self, now: float) -> None:
        """Somebody has waited in vain. Others who were waiting at the same time say nothing new."""
        with self._lock:
            if self.down:
                return
            self.down = True
            self.rests_until = now + min(MAX_REST_S, REST_S * 2**self._failures)
            self._failures = min(self._failures + 1, 16)

    def may_ask(self, now: float) -> bool:
        """Whether somebody who has no other way may ask although it is down: once in each rest."""
        with self._lock:
            if not self.down:
                return True
            if now < self.rests_until:
                return False
            self.rests_until = now + min(MAX_REST_S, REST_S * 2**self._failures)
            self._failures = min(self._failures + 1, 16)
            return True

    def recover(self, now: float) -> None:
        """Something has got through."""
        with self._lock:
            if self.down and now >= self.rests_until:
                self.down = False

    def answered(self) -> None:
        """Somebody has not waited in vain."""
        if self._failures:
            with self._lock:
                self._failures = 0
