"""The relay: takes what is pending in an outbox to the bridge, acknowledged, and marks it. Whatever dies, it goes on where it was.

- At least once: a row is marked after its answer. What was acknowledged and not marked (the relay was killed in between) is sent
  again and is known to the bridge by (source, message_id), so it is told once.
- In order per form: of one form one row is on its way at a time, and the next one follows its answer. Many forms are on their way
  at once. A row that the bridge refuses for good is marked with the reason and holds nobody up.
- When the bridge is away or busy nothing is sent until a pause is over; nothing is lost by that, and the pauses grow to 5 s.
- One relay works, others wait to follow it. That is thrift: two would send the same rows in the same order, and the bridge would
  know the repetitions. One that was held up for so long that the bridge no longer would looks whether it still leads before it
  goes on.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from formlock_push.letter import Answer
from formlock_push.relay_databases import Database, Pending
from formlock_push.relay_line import Line

DAY_S = 86_400.0
# Rows that are read at once; forms that are on their way at once.
BATCH = 1_000
WINDOW = 256
# Acknowledged rows are marked together, but not much later than they could be.
MARK_EVERY_S = 0.1
# A row that was written while a transaction was open, or without NOTIFY, is found by looking.
POLL_S = 0.25
ANSWER_S = 5.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
FORGET_EVERY_S = 60.0

_log = logging.getLogger("formlock_push")


class Outcome(Enum):
    """What came of looking once."""

    DONE = "done"  # nothing was pending
    SENT = "sent"  # all that was read has been answered
    AWAY = "away"  # the bridge doesn't answer, or not yet
    BUSY = "busy"  # the bridge asks for patience
    FOLLOWS = "follows"  # another relay works


class Relay:
    """`run` until it is told to stop, or `run_once`. For one thread; the counters may be read by others.

    - `sent`: acknowledged by the bridge; `repeated`: of these, known to it already
    - `refused`: never to be taken, marked with the reason
    - `postponed`: the bridge asked for patience, or did not answer
    - `failures`: of the database
    """

    def __init__(
        self,
        connect: Callable[[], Database],
        line: Line,
        *,
        keep_s: float = DAY_S,
        poll_s: float = POLL_S,
        answer_s: float = ANSWER_S,
        window: int = WINDOW,
    ) -> None:
        """`connect`: see `relay_databases.connector`. `keep_s`: how long acknowledged rows are kept; 0: deleted at once."""
        self.sent = 0
        self.repeated = 0
        self.refused = 0
        self.postponed = 0
        self.failures = 0
        self._connect = connect
        self._line = line
        self._keep_s = keep_s
        self._poll_s = poll_s
        self._answer_s = answer_s
        self._whole_window = self._window = window
        self._database: Database | None = None
        self._forget_at = float("-inf")
        self._said: Outcome | None = None

    def run(self, stop: threading.Event) -> None:
        """Relay until `stop` is set; then finish what is on its way."""
        pause_s = FIRST_PAUSE_S
        while not stop.is_set():
            sent = self.sent
            try:
                outcome = self._step(stop)
                self._say(outcome)
                match outcome:
                    case Outcome.SENT:
                        pause_s = FIRST_PAUSE_S
                        continue
                    case Outcome.DONE:
                        pause_s = FIRST_PAUSE_S
                        self._forget()
                        self._open().wait(self._poll_s, stop)
                        continue
                    case Outcome.FOLLOWS:
                        self._open().wait(1.0, stop)
                        continue
            except Exception as error:  # noqa: BLE001 (a driver's own; whatever it is, the rows are still there)
                self._fail(error, pause_s)
            if self.sent > sent:
                # It takes some: then it is not away, and soon takes more.
                pause_s = FIRST_PAUSE_S
            stop.wait(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        self.close()

    def run_once(self) -> Outcome:
        """All that is pending now: DONE, or what stopped it. The database's errors pass."""
        try:
            while (outcome := self._step(threading.Event())) is Outcome.SENT:
                pass
            if outcome is Outcome.DONE:
                self._forget()
            return outcome
        finally:
            self.close()

    def close(self) -> None:
        """Let go of both connections; another relay may lead. The next `run` opens them again."""
        self._line.reset()
        if self._database is not None:
            try:
                self._database.close()
            except Exception as error:  # noqa: BLE001 (it is gone either way)
                _log.debug("closing the database: %s", error)
            self._database = None

    # -- inside

    def _open(self) -> Database:
        if self._database is None:
            self._database = self._connect()
        return self._database

    def _step(self, stop: threading.Event) -> Outcome:
        database = self._open()
        if not database.lead():
            return Outcome.FOLLOWS
        rows = database.pending(BATCH)
        if not rows:
            return Outcome.DONE
        return _Batch(self, database, rows).send(stop)

    def _forget(self) -> None:
        now = time.monotonic()
        if now < self._forget_at:
            return
        if self._open().forget(round((time.time() - self._keep_s) * 1000)) == 0:
            self._forget_at = now + FORGET_EVERY_S

    def _say(self, outcome: Outcome) -> None:
        """A change is one line in the log, not each attempt."""
        known = Outcome.SENT if outcome is Outcome.DONE else outcome
        if known is self._said:
            return
        self._said = known
        address = self._line.address
        match known:
            case Outcome.AWAY:
                _log.warning("the bridge at %s does not answer; the outbox waits", address)
            case Outcome.BUSY:
                _log.warning("the bridge at %s is busy; the outbox waits", address)
            case Outcome.FOLLOWS:
                _log.info("another relay works on this outbox; this one waits to follow it")
            case _:
                _log.info("relaying the outbox to %s", address)

    def _fail(self, error: Exception, pause_s: float) -> None:
        self.failures += 1
        _log.warning("the outbox's database failed: %s: %s; again in %.1f s", type(error).__name__, error, pause_s)
        self._said = None
        self.close()


class _Batch:
    """The rows that were read at once. Each form has a queue, and its first row is on its way, or waits for room."""

    def __init__(self, relay: Relay, database: Database, rows: Sequence[Pending]) -> None:
        self._relay = relay
        self._line = relay._line
        self._database = database
        self._queues: dict[str, deque[Pending]] = {}
        for row in rows:
            self._queues.setdefault(row.form, deque()).append(row)
        self._ready = deque(self._queues)
        self._on_their_way: deque[Pending] = deque()
        self._acknowledged: list[int] = []
        self._mark_at = 0.0

    def send(self, stop: threading.Event) -> Outcome:
        try:
            return self._send(stop)
        finally:
            # Whatever stopped it: what was acknowledged need not be sent again.
            self._mark()

    def _send(self, stop: threading.Event) -> Outcome:
        outcome = Outcome.SENT
        answered_at = time.monotonic()
        while self._on_their_way or (self._ready and outcome is Outcome.SENT and not stop.is_set()):
            if outcome is Outcome.SENT and not stop.is_set():
                if not self._database.lead():
                    # This one was held up for long (stopped, or its machine was), and another one has followed it. What is left here
                    # that one may have sent so long ago that the bridge no longer knows it.
                    outcome = Outcome.FOLLOWS
                elif not self._fill():
                    outcome = Outcome.AWAY
            if not self._on_their_way:
                continue
            answers = self._line.answers(min(self._relay._answer_s, MARK_EVERY_S))
            now = time.monotonic()
            if answers:
                answered_at = now
            elif now >= answered_at + self._relay._answer_s:
                self._postpone(len(self._on_their_way))
                return Outcome.AWAY
            for answer in answers:
                if not self._settle(answer):
                    self._postpone(0)
                    return Outcome.SENT
                if answer.retry:
                    outcome = Outcome.BUSY
            if now >= self._mark_at:
                self._mark()
        if outcome is Outcome.SENT:
            self._relay._window = self._relay._whole_window
        return outcome

    def _fill(self) -> bool:
        """Send what there is room for. False when the bridge is not there."""
        while self._ready and len(self._on_their_way) < self._relay._window:
            row = self._queues[self._ready[0]][0]
            message = _message(row)
            if message is None:
                self._refuse(row, "not_json")
                self._ready.popleft()
                self._next(row)
                continue
            # With something on its way there is an answer to wait for, else only room.
            if not self._line.send(message, timeout_s=0 if self._on_their_way else min(1.0, self._relay._answer_s)):
                return bool(self._on_their_way)
            self._ready.popleft()
            self._on_their_way.append(row)
        return True

    def _settle(self, answer: Answer) -> bool:
        """What was said to a row. False when it can't be known to which one: then all are to be asked again, one by one."""
        way = self._on_their_way
        if answer.id is None and answer.retry:
            # It reads nothing at the moment.
            self._postpone(len(way))
            way.clear()
        elif answer.id is None:
            # The bridge could not even read the name. It can only be the one that is alone on a fresh line.
            if len(way) != 1 or self._relay._window != 1:
                self._relay._window = 1
                return False
        else:
            # Answers come in order: those before it were lost with a bridge that died. They are still pending, and read again.
            while way and way[0].message_id != answer.id:
                self._relay.postponed += 1
                way.popleft()
        if not way:
            return True
        row = way.popleft()
        if answer.error is None:
            self._acknowledged.append(row.id)
            self._relay.sent += 1
            self._relay.repeated += answer.duplicate
            self._next(row)
        elif answer.retry:
            self._relay.postponed += 1
        else:
            self._refuse(row, answer.error)
            self._next(row)
        return True

    def _next(self, row: Pending) -> None:
        """The form's next row may follow."""
        queue = self._queues[row.form]
        queue.popleft()
        if queue:
            self._ready.append(row.form)

    def _refuse(self, row: Pending, reason: str) -> None:
        self._relay.refused += 1
        self._database.refuse(row.id, reason)
        _log.warning("row %d of the outbox (%s) was refused: %s", row.id, row.form, reason)

    def _postpone(self, count: int) -> None:
        self._relay.postponed += count
        self._line.reset()

    def _mark(self) -> None:
        """Marks are gathered: each is a commit. The lease is renewed on the way."""
        if self._acknowledged:
            if self._relay._keep_s > 0:
                self._database.mark(self._acknowledged, round(time.time() * 1000))
            else:
                self._database.delete(self._acknowledged)
            self._acknowledged = []
        self._database.lead()
        self._mark_at = time.monotonic() + MARK_EVERY_S


def _message(row: Pending) -> bytes | None:
    """The row's message under the row's own name, whatever its writer has put in; None when it is no object of JSON."""
    try:
        said: Any = json.loads(row.message)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    if said.get("id") == row.message_id and (said.get("source") or "") == row.source:
        return row.message.encode("utf-8")
    said["id"] = row.message_id
    said["source"] = row.source or None
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
