"""Pushes updates so that none is lost: acknowledged by the bridge, or kept in a local file until it is.

With the bridge there, a push is one round trip and touches no disk. With the bridge away it is one write to the spool, which a
thread in the background drains as soon as the bridge is back. At least once: an update whose answer got lost is sent again, and the
bridge knows it by its id and source.
"""

from __future__ import annotations

import atexit
import dataclasses
import logging
import os
import threading
import time
import uuid
import weakref
from pathlib import Path
from types import TracebackType
from typing import Self

from formlock_push.circuit import Circuit
from formlock_push.keeper import Counted, Keeper
from formlock_push.keys import Keys
from formlock_push.letter import Answer, Letter, Outcome
from formlock_push.line import Line
from formlock_push.message import Update
from formlock_push.pushing import Pushing
from formlock_push.spool import Bounds, Spool, Unusable

ACKNOWLEDGED_ADDRESS = "tcp://127.0.0.1:5556"
TIMEOUT_MS = 500
LINGER_MS = 500
# This part of the time-out is not waited for the bridge but kept for the spool's disk: an fsync takes 1-20 ms, on a busy disk more.
RESERVED = 0.25
LOG_EVERY_S = 10.0

_log = logging.getLogger("formlock_push")


class ReliablePusher(Pushing[Outcome]):
    """Make one per process and use it from any thread, also after a fork; several processes may share the spool.

    The counters say what became of what this process has pushed: `acknowledged` (at once), `spooled`, `refused`, `dropped`.
    `drained` is what it has brought from the spool to the bridge, others' too; `waiting` is what is in the spool now, whoever put it
    there.

    Making one starts nothing and touches nothing; that comes with the first push, or with `start`.
    """

    def __init__(
        self,
        address: str = ACKNOWLEDGED_ADDRESS,
        *,
        spool: str | Path,
        timeout_ms: int = TIMEOUT_MS,
        linger_ms: int = LINGER_MS,
        keys: Keys | None = None,
        source: str | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        """`spool`: a file on a local disk (SQLite's locks don't hold on a network's), its folder has to be there. `source`: this
        program's name, for updates that say none. `bounds`: how much may wait."""
        if timeout_ms < 1:
            raise ValueError("timeout_ms is 1 or more: a promise takes a moment")
        self.address = address
        self.acknowledged = 0
        self.spooled = 0
        self.drained = 0
        self.refused = 0
        self.dropped = 0
        self._spool = Spool(spool, bounds)
        self._timeout_s = timeout_ms / 1000
        self._linger_s = linger_ms / 1000
        self._keys = keys
        self._source = source
        self._office = _Office()
        self._quiet_until: dict[str, float] = {}
        _pushers.add(self)

    def send(self, update: Update) -> bool:
        """As `deliver`, for who only wants to know whether it will arrive: an ORM's hook."""
        return bool(self.deliver(update))

    def deliver(self, update: Update) -> Outcome:
        """Hand it over, within the time-out, and say what became of it. Never raises."""
        limit = time.monotonic() + self._timeout_s
        try:
            letter = self._letter(update)
            office = self._open_office()
            outcome, why = office.deliver(letter, limit, self._timeout_s)
        except Exception as error:  # noqa: BLE001 (whatever it is, the user's request goes on)
            outcome, why = Outcome.DROPPED, f"{type(error).__name__}: {error}"
        self._count(outcome)
        if not outcome:
            self._say(outcome, "update of %s %s: %s", update.form, outcome, why)
        return outcome

    @property
    def waiting(self) -> int:
        """How many are in the spool; -1 when it can't be read."""
        try:
            return self._spool.waiting().messages
        except Unusable:
            return -1

    def start(self) -> None:
        """Connect, and drain what a process before this one has left, without waiting for the first push."""
        self._open_office()

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is in the spool, of other processes neither, and that is counted; whether it was so in time."""
        limit = time.monotonic() + timeout_s
        self.start()
        while self.waiting != 0:
            if time.monotonic() >= limit:
                return False
            time.sleep(min(0.02, timeout_s))
        # The spool knows it a moment before the counters do.
        self._office.wait_counted(_left(limit))
        return True

    def close(self) -> None:
        """Let go of the connection and the spool, within LINGER. What waits stays there; a push after it begins anew."""
        office, self._office = self._office, _Office()
        office.stop(self._linger_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    # -- inside

    def _letter(self, update: Update) -> Letter:
        named = dataclasses.replace(
            update,
            id=update.id if update.id else uuid.uuid4().hex,
            source=update.source if update.source is not None else self._source,
        )
        # Raises for whatever the bridge would refuse, so that it costs no round trip and blocks nothing in the spool.
        data = named.encode()
        return Letter(named.form, named.source or "", named.id or "", data)

    def _open_office(self) -> _Office:
        office = self._office
        if not office.started:
            with office.lock:
                if not office.started:
                    office.open(self, self._spool, self.address, self._keys)
        return office

    def _count(self, outcome: Outcome, number: int = 1) -> None:
        with self._office.lock:
            name = outcome.value
            setattr(self, name, getattr(self, name) + number)

    def _count_drained(self, number: int) -> None:
        with self._office.lock:
            self.drained += number

    def _count_refused(self, letter: Letter, answer: Answer) -> None:
        self._count(Outcome.REFUSED)
        self._say(Outcome.REFUSED, "update of %s %s: %s", letter.form, Outcome.REFUSED, f"{answer.error}: {answer.message}")

    def _say(self, kind: str, line: str, *facts: object) -> None:
        now = time.monotonic()
        if now < self._quiet_until.get(kind, 0.0):
            return
        self._quiet_until[kind] = now + LOG_EVERY_S
        counts = f"{self.acknowledged} acknowledged, {self.spooled} spooled, {self.refused} refused, {self.dropped} dropped"
        _log.warning(f"{line} (so far %s)", *facts, counts)


class _Office:
    """What one process has of a pusher: its threads, its connection, and which forms are under way."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.started = False
        self._line: Line | None = None
        self._keeper: Keeper | None = None
        self._closer: weakref.finalize[[float], ReliablePusher] | None = None
        self._circuit = Circuit()
        self._under_way: dict[str, Letter] = {}
        self._turns = threading.Lock()

    def open(self, pusher: ReliablePusher, spool: Spool, address: str, keys: Keys | None) -> None:
        """Start both threads. They know the pusher only weakly: one that is forgotten ends them."""
        known = weakref.ref(pusher)

        def drained(number: int) -> None:
            if (pusher := known()) is not None:
                pusher._count_drained(number)

        def refused(letter: Letter, answer: Answer) -> None:
            # One that was refused while its caller was waiting has been counted by him.
            if letter.row is not None and (pusher := known()) is not None:
                pusher._count_refused(letter, answer)

        self._spool = spool
        self._line = Line(address, keys, answered=self._answered, connected=lambda _: self._wake())
        self._keeper = Keeper(spool, self._line, self._circuit, Counted(drained, refused))
        self._line.start()
        self._keeper.start()
        self._closer = weakref.finalize(pusher, self.stop, 0.0)
        # Not at the end of the process: `_end` does that, whatever others have registered with `weakref` (see pusher.py).
        self._closer.atexit = False
        self.started = True
        _offices.add(self)

    def deliver(self, letter: Letter, limit: float, timeout_s: float) -> tuple[Outcome, str]:
        """By the fast way when nothing of this form is ahead and the bridge is there, else through the spool."""
        assert self._line is not None  # noqa: S101 (opened before)
        with self._turns:
            ahead = self._under_way.get(letter.form)
            self._under_way[letter.form] = letter
        try:
            give_up_at = limit - RESERVED * timeout_s
            if ahead is not None:
                ahead.turned.wait(_left(give_up_at))
            behind = ahead is not None and (ahead.spooling or not ahead.turned.is_set())
            if not behind and not self._circuit.down and self._line.up is not False and self._spool.holds(letter.form) is False:
                answer = self._ask(letter, give_up_at)
                if answer is not None:
                    return answer
            return self._through_the_spool(letter, limit)
        finally:
            letter.turned.set()
            with self._turns:
                if self._under_way.get(letter.form) is letter:
                    del self._under_way[letter.form]

    def wait_counted(self, timeout_s: float) -> None:
        """Until the counters say what has become of what is no longer in the spool."""
        if self._keeper is not None:
            self._keeper.wait_counted(timeout_s)

    def stop(self, linger_s: float) -> None:
        """End both threads; waits for no longer than that."""
        if self._line is None or self._keeper is None or self in _inherited:
            return
        if self._closer is not None:
            self._closer.detach()
        limit = time.monotonic() + linger_s
        self._line.stop()
        self._keeper.stop()
        if linger_s:
            self._keeper.join(_left(limit))
            self._line.join(_left(limit))

    def _ask(self, letter: Letter, limit: float) -> tuple[Outcome, str] | None:
        """Directly; None when it has to go another way."""
        assert self._line is not None and self._keeper is not None  # noqa: S101, PT018 (opened before)
        self._line.submit(letter)
        letter.answered.wait(_left(limit))
        letter.withdrawn = True
        answer = letter.answer
        if answer is None:
            self._circuit.fail(time.monotonic())
            return None
        if answer.acknowledged:
            self._circuit.answered()
            self._circuit.recover(time.monotonic())
            return Outcome.ACKNOWLEDGED, ""
        if answer.final:
            self._circuit.answered()
            self._keeper.answered(letter, answer)  # which puts it aside
            return Outcome.REFUSED, f"{answer.error}: {answer.message}"
        if self._line.up is not False:
            # "busy". A connection that is gone says so itself.
            self._circuit.fail(time.monotonic())
        letter.answer = None
        return None

    def _through_the_spool(self, letter: Letter, limit: float) -> tuple[Outcome, str]:
        assert self._line is not None and self._keeper is not None  # noqa: S101, PT018 (opened before)
        asked = letter.withdrawn
        letter.spooling = True
        self._keeper.add(letter)
        # It has its place; what follows goes behind it.
        letter.turned.set()
        if not letter.wrote.wait(_left(limit)):
            letter.abandoned = True
            return Outcome.DROPPED, f"the spool {self._spool.path} was not written in time"
        if letter.written is None:
            return Outcome.SPOOLED, ""
        why = letter.written
        # No room, or no disk. Asking the bridge is what is left, where that does not get ahead of anything.
        if not asked and self._line.up and self._spool.holds(letter.form) is not True and self._circuit.may_ask(time.monotonic()):
            answer = self._ask(letter, limit)
            if answer is not None:
                return answer
        return Outcome.DROPPED, why

    def _answered(self, letter: Letter, answer: Answer) -> None:
        """In the line's thread."""
        if letter.row is None and not letter.withdrawn:
            letter.answer = answer
            letter.answered.set()
        elif self._keeper is not None:
            self._keeper.answered(letter, answer)

    def _wake(self) -> None:
        if self._keeper is not None:
            self._keeper.wake()


def _left(limit: float) -> float:
    return max(0.0, limit - time.monotonic())


@atexit.register
def _end() -> None:
    """The threads end with the process in any case; in order it is nicer, and takes milliseconds."""
    limit = time.monotonic() + LINGER_MS / 1000
    for office in list(_offices):
        office.stop(_left(limit))


def _in_child() -> None:
    """A fork's child has neither its parent's threads nor its connection, and must not touch what is left of them."""
    for pusher in list(_pushers):
        _inherited.append(pusher._office)
        pusher._office = _Office()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)

_pushers: weakref.WeakSet[ReliablePusher] = weakref.WeakSet()
_offices: weakref.WeakSet[_Office] = weakref.WeakSet()
# What a fork's child has from its parent. Kept, since it is not ours to close.
_inherited: list[_Office] = []
