"""A line to the router that mends itself: one session after the other, on a thread of its own, until it is closed.

Whoever calls over it has a limit in time and need not know how many sessions that took: what a lost line or a starting worker left
open is asked again, until the limit. Every call that changes something carries a `rid`, so asking again is safe.
"""

from __future__ import annotations

import logging
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from formlock.errors import FormLockError, NotActive, NotAllowed
from formlock.uris import Uris
from formlock.wamp_client import CallFailed, LineLost, NotLetIn, Session, answer_within

JOIN_WITHIN_S = 5.0
# Longer than the service itself ever takes (it may wait 2 s for a holder's sign of life), short enough for several tries in a grace.
CALL_WITHIN_S = 5.0
# Between tries to connect: doubled from the first to the last, and spread, so that many who lost their router do not return at once.
FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 2.0
# A session that lasted so long makes the next pause a first one again.
GOOD_S = 5.0
# The line's thread looks at the clock at least so often; a longer gap means that the process stood still, or its machine slept.
BEAT_S = 1.0
STOOD_STILL_MS = 3_000
# Between two tries of a call that the service could not take.
RETRY_S = 0.2

# Answers that say "in a moment": a worker is starting, or died in mid-call.
COMING_BACK = frozenset({"wamp.error.no_such_procedure", "wamp.error.canceled"})
# What the router says at the door when it means it; anything else may be a node that is just starting.
FINAL = frozenset(
    {"wamp.error.authentication_failed", "wamp.error.not_authorized", "wamp.error.no_auth_method", "wamp.error.no_such_realm"}
)

_log = logging.getLogger("formlock.client")


def now_ms() -> int:
    """Milliseconds of a clock that also runs while the machine sleeps (U7): time.monotonic stands still then, on Linux and macOS."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    if sys.platform == "darwin":
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000
    return time.monotonic_ns() // 1_000_000


class Line:
    """`heard(topic, facts)` is told each event, on a thread of the session. `tend(joined)` is called on the line's own thread when a
    new session has begun (joined), after a `wake`, and when as many seconds have passed as it returned (None: any). `broke` is
    called, on any thread, when events may have been missed: a session has ended, or the process stood still."""

    def __init__(
        self,
        url: str,
        realm: str,
        authextra: Mapping[str, Any],
        uris: Uris,
        heard: Callable[[str, Mapping[str, Any]], None],
        tend: Callable[[bool], float | None],
        broke: Callable[[], None],
        clock: Callable[[], int] = now_ms,
    ) -> None:
        if not url.startswith(("ws://", "wss://")):
            raise ValueError(f"{url!r} is no address of a WebSocket: it begins with ws:// or wss://")
        self.url = url
        self.uris = uris
        self._realm = realm
        self._authextra = dict(authextra)
        self._heard = heard
        self._tend = tend
        self._broke = broke
        self._clock = clock
        self._beat = now_ms()
        self._changed = threading.Condition()
        self._session: Session | None = None
        self._topics: Counter[str] = Counter()
        self._refused: NotLetIn | None = None
        self._woken = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="formlock-line", daemon=True)
        self._thread.start()

    # -- for any thread

    @property
    def session(self) -> Session | None:
        """The present one, if there is one."""
        return self._session

    def call(self, name: str, limit: float, facts: Mapping[str, Any], sending: Callable[[], None] = lambda: None) -> Any:
        """The answer of `lock` or another of our procedures, before `limit` (of time.monotonic). `sending` is told before each try.
        Raises FormLockErrors: NotActive when no answer was to be had in that time."""
        procedure = self.uris.procedure(name)
        while True:
            session = self._wait_for_session(limit)
            sending()
            try:
                return session.call(procedure, facts, min(CALL_WITHIN_S, limit - time.monotonic()))
            except LineLost:
                self._pause(limit)
            except CallFailed as failed:
                error = self.error(failed)
                if not isinstance(error, NotActive):
                    raise error from None
                self._pause(limit, RETRY_S)

    def error(self, failed: CallFailed) -> FormLockError:
        """The error of ours that an answer means."""
        kind = _BY_NAME.get(failed.uri.removeprefix(self.uris.error("")))
        if kind is not None:
            return kind(failed.sentence, **failed.facts)
        if failed.uri in COMING_BACK:
            return NotActive()
        if failed.uri == "wamp.error.not_authorized":
            return NotAllowed()
        return FormLockError(str(failed))

    def subscribe(self, topic: str, limit: float) -> None:
        """Hear of a topic, over every session to come too. NotActive after the limit."""
        with self._changed:
            self._topics[topic] += 1
        try:
            self._subscribe(topic, limit)
        except BaseException:
            self.unsubscribe(topic)
            raise

    def _subscribe(self, topic: str, limit: float) -> None:
        while True:
            # A session that begins later subscribes by itself; to do it twice is to do it once.
            session = self._wait_for_session(limit)
            try:
                answer_within(session.subscribing(topic), min(CALL_WITHIN_S, limit - time.monotonic()))
            except LineLost:
                self._pause(limit)
            except CallFailed as failed:
                raise self.error(failed) from None
            else:
                return

    def unsubscribe(self, topic: str) -> None:
        """Hear of it no more, once for each `subscribe`."""
        with self._changed:
            self._topics[topic] -= 1
            if self._topics[topic] > 0:
                return
            del self._topics[topic]
            session = self._session
        if session is not None:
            session.unsubscribe(topic)

    def stood_still(self) -> bool:
        """Whether the process has just gone on after a while, so that not even the line's thread has noticed yet."""
        return self._session is not None and now_ms() - self._beat > STOOD_STILL_MS

    def wake(self) -> None:
        """Let the line's thread tend now."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Say goodbye. Whoever still calls is told NotActive."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        session = self._session
        if session is not None:
            session.leave()
        if threading.current_thread() is not self._thread:
            self._thread.join(JOIN_WITHIN_S)

    # -- inside

    def _wait_for_session(self, limit: float) -> Session:
        with self._changed:
            while self._session is None:
                if self._refused is not None:
                    raise NotAllowed(str(self._refused))
                left = limit - time.monotonic()
                if self._closed or left <= 0:
                    raise NotActive
                self._changed.wait(left)
            if time.monotonic() >= limit:
                raise NotActive
            return self._session

    def _pause(self, limit: float, seconds: float = 0.05) -> None:
        left = limit - time.monotonic()
        if left <= 0:
            raise NotActive
        time.sleep(min(seconds, left))

    def _run(self) -> None:
        pauses = _pauses()
        while not self._closed:
            try:
                session = self._join()
            except NotLetIn as error:
                _log.warning("not let in at %s: %s", self.url, error)
                with self._changed:
                    self._refused = error if error.uri in FINAL else None
                    self._changed.notify_all()
                self._idle(next(pauses))
            except LineLost as error:
                _log.info("no line: %s", error)
                self._idle(next(pauses))
            else:
                began = time.monotonic()
                self._attend(session)
                if time.monotonic() - began > GOOD_S:
                    pauses = _pauses()
                self._idle(next(pauses))

    def _join(self) -> Session:
        session = Session.join(self.url, self._realm, self._authextra, JOIN_WITHIN_S, self._heard, self._ended, self._clock)
        try:
            with self._changed:
                topics = list(self._topics)
            answers: list[Future[Any]] = [session.subscribing(topic) for topic in topics]
            limit = time.monotonic() + CALL_WITHIN_S
            for answer in answers:
                answer_within(answer, limit - time.monotonic())
        except (LineLost, CallFailed) as error:
            session.drop()
            raise LineLost(f"subscriptions: {error}") from None
        return session

    def _ended(self) -> None:
        self._broke()
        with self._changed:
            self._changed.notify_all()

    def _attend(self, session: Session) -> None:
        """For as long as the session lasts."""
        self._beat = now_ms()
        with self._changed:
            # Topics that somebody came to want since `_join` looked: whoever wants them waits for this session and subscribes then.
            self._session = session
            self._refused = None
            self._changed.notify_all()
        joined = True
        while True:
            due_s = min(BEAT_S, self._tend(joined) or BEAT_S)
            joined = False
            with self._changed:
                if not (self._woken or self._closed or session.over.is_set()):
                    self._changed.wait(due_s)
                self._woken = False
                before, self._beat = self._beat, now_ms()
                if self._closed or session.over.is_set():
                    self._session = None
                    break
            if self._beat - before > STOOD_STILL_MS:
                self._broke()
        session.drop()

    def _idle(self, seconds: float) -> None:
        """Between two tries: until the time has passed, or the line is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE_S
    while True:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311 (spreads load, guards nothing)
        pause = min(2 * pause, LAST_PAUSE_S)


def _by_name(kind: type[FormLockError] = FormLockError) -> Iterator[tuple[str, type[FormLockError]]]:
    for inner in kind.__subclasses__():
        if "name" in inner.__dict__:
            yield inner.name, inner
        yield from _by_name(inner)


_BY_NAME = dict(_by_name())
