"""One WAMP 2 session over one WebSocket, for programs without a reactor: JSON, calls and subscriptions, and nothing else of WAMP.

Strict: whatever a router should not have sent ends the session. What ended is not mended here; `line` opens the next.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoResult
from contextlib import suppress
from enum import IntEnum
from typing import Any, Self

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from formlock.depth import MAX_MESSAGE_DEPTH, deeper_than

# A dead line is noticed within twice this, well within any grace.
PING_S = 5.0
CLOSE_WITHIN_S = 1.0
# The largest answer is a page of `list`.
MAX_BYTES = 4 * 2**20


class Kind(IntEnum):
    """The messages of WAMP that we send or understand, by the number they begin with."""

    HELLO = 1
    WELCOME = 2
    ABORT = 3
    GOODBYE = 6
    ERROR = 8
    SUBSCRIBE = 32
    SUBSCRIBED = 33
    UNSUBSCRIBE = 34
    UNSUBSCRIBED = 35
    EVENT = 36
    CALL = 48
    RESULT = 50


# Told of each event by topic and facts, on the session's own thread.
Heard = Callable[[str, Mapping[str, Any]], None]


class LineLost(Exception):
    """The session has ended, or no answer came in time: whether the call was heard is not known."""


class NotLetIn(Exception):
    """The router has refused the session. `uri` says why to programs, the message to people."""

    def __init__(self, uri: str, sentence: str) -> None:
        self.uri = uri
        super().__init__(sentence)


class CallFailed(Exception):
    """The answer to a call is an error."""

    def __init__(self, uri: str, args: list[Any], facts: dict[str, Any]) -> None:
        self.uri = uri
        self.sentence = args[0] if args and isinstance(args[0], str) else None
        self.facts = facts
        super().__init__(f"{uri}: {self.sentence}")


class Session:
    """Made by `join`. Any thread may use it. `over` is set when it has ended, by whomever. `alive_at`: when the last request that
    was answered was sent, by the clock; what has happened to the line since then nobody knows."""

    def __init__(self, connection: ClientConnection, heard: Heard, ended: Callable[[], None], clock: Callable[[], int]) -> None:
        self._connection = connection
        self._clock = clock
        self.alive_at = clock()
        self._signing = False
        self._heard = heard
        self._ended = ended
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.over = threading.Event()
        # What was asked, by its number: the answer to come, for a subscription its topic, and when it was sent.
        self._asked: dict[int, tuple[Kind, Future[Any], str, int]] = {}
        self._topics: dict[int, str] = {}

    @classmethod
    def join(
        cls,
        url: str,
        realm: str,
        authextra: Mapping[str, Any],
        limit_s: float,
        heard: Heard,
        ended: Callable[[], None],
        clock: Callable[[], int],
    ) -> Self:
        """Connect and say hello, within the limit. Raises LineLost or NotLetIn. `ended` is told once, when the session is over."""
        try:
            connection = connect(
                url,
                subprotocols=[Subprotocol("wamp.2.json")],
                compression=None,
                open_timeout=limit_s,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                close_timeout=CLOSE_WITHIN_S,
                max_size=MAX_BYTES,
            )
        except (OSError, WebSocketException, ValueError) as error:
            raise LineLost(f"{url}: {error}") from None
        session = cls(connection, heard, ended, clock)
        try:
            session._hello(realm, authextra, limit_s)
        except BaseException:
            connection.close()
            raise
        # A daemon: an idle session never keeps a program from ending.
        threading.Thread(target=session._listen, name="formlock-session", daemon=True).start()
        return session

    def calling(self, procedure: str, facts: Mapping[str, Any]) -> Future[Any]:
        """Send a call; its answer is the first positional value of the result. Fails with LineLost or CallFailed."""
        return self._ask(Kind.CALL, {}, procedure, [], dict(facts))

    def call(self, procedure: str, facts: Mapping[str, Any], limit_s: float) -> Any:
        """Send a call and wait for its answer; raises LineLost or CallFailed."""
        return answer_within(self.calling(procedure, facts), limit_s)

    def subscribing(self, topic: str) -> Future[Any]:
        """Hear of a topic. Nothing that is told after the router has it is missed."""
        return self._ask(Kind.SUBSCRIBE, {}, topic, topic=topic)

    def unsubscribe(self, topic: str) -> None:
        """Hear of it no more; nobody waits for the answer."""
        with self._lock:
            found = [subscription for subscription, known in self._topics.items() if known == topic]
            for subscription in found:
                del self._topics[subscription]
        for subscription in found:
            self._ask(Kind.UNSUBSCRIBE, subscription)

    def sign(self, procedure: str) -> None:
        """Ask for a sign of life, unless one is under way: whatever the answer is, it is one."""
        with self._lock:
            if self._signing:
                return
            self._signing = True
        self.calling(procedure, {}).add_done_callback(self._signed)

    def _signed(self, _: Future[Any]) -> None:
        self._signing = False

    def leave(self) -> None:
        """Say goodbye and close. Returns within a second or two, whatever the line is like."""
        with suppress(LineLost):
            self._send([Kind.GOODBYE, {}, "wamp.close.close_realm"])
        self.drop()

    def drop(self) -> None:
        """Close without a word of WAMP."""
        self._connection.close()

    # -- inside

    def _hello(self, realm: str, authextra: Mapping[str, Any], limit_s: float) -> None:
        roles: dict[str, Any] = {"caller": {}, "subscriber": {}}
        self._send([Kind.HELLO, realm, {"roles": roles, "authmethods": ["anonymous"], "authextra": dict(authextra)}])
        try:
            match _parsed(self._connection.recv(timeout=limit_s)):
                case [Kind.ABORT, dict(details), str(reason), *_]:
                    raise NotLetIn(reason, str(details.get("message") or reason))
                case [Kind.WELCOME, int(), dict()]:
                    return
                case other:
                    raise LineLost(f"the router answered the hello by {str(other)[:100]}")
        except (OSError, WebSocketException) as error:
            raise LineLost(f"no welcome: {error}") from None

    def _ask(self, kind: Kind, *parts: Any, topic: str = "") -> Future[Any]:
        answer: Future[Any] = Future()
        number = next(self._numbers)
        with self._lock:
            if self.over.is_set():
                answer.set_exception(LineLost("the session has ended"))
                return answer
            self._asked[number] = (kind, answer, topic, self._clock())
        try:
            self._send([kind, number, *parts])
        except LineLost as error:
            with self._lock:
                self._asked.pop(number, None)
            if not answer.done():
                answer.set_exception(error)
        return answer

    def _send(self, message: list[Any]) -> None:
        # A send blocks when the socket is full: some hundred calls without an answer, long after the pings have ended the session.
        try:
            self._connection.send(json.dumps(message, separators=(",", ":")))
        except (OSError, WebSocketException) as error:
            raise LineLost(f"not sent: {error}") from None

    def _listen(self) -> None:
        try:
            with suppress(OSError, WebSocketException, LineLost):
                for text in self._connection:
                    if not self._take(_parsed(text)):
                        break
        finally:
            self._end()

    def _take(self, message: Any) -> bool:
        """False at the session's end."""
        match message:
            case [Kind.EVENT, int(subscription), int(), dict(), *rest]:
                topic = self._topics.get(subscription)
                facts = rest[1] if len(rest) > 1 else {}
                if topic is not None and isinstance(facts, dict):
                    self._heard(topic, facts)
            case [Kind.RESULT, int(number), dict(), *rest]:
                args = rest[0] if rest else []
                self._settle(Kind.CALL, number, args[0] if isinstance(args, list) and args else None)
            case [Kind.SUBSCRIBED, int(number), int(subscription)]:
                with self._lock:
                    asked = self._asked.get(number)
                    self._topics[subscription] = asked[2] if asked is not None else ""
                self._settle(Kind.SUBSCRIBE, number, subscription)
            case [Kind.UNSUBSCRIBED, int(number), *_]:
                self._settle(Kind.UNSUBSCRIBE, number, None)
            case [Kind.ERROR, int(kind), int(number), dict(), str(uri), *rest]:
                args = rest[0] if rest and isinstance(rest[0], list) else []
                facts = rest[1] if len(rest) > 1 and isinstance(rest[1], dict) else {}
                self._settle(kind, number, CallFailed(uri, args, facts))
            case _:
                # The router says goodbye, or something that no router says.
                return False
        return True

    def _settle(self, kind: int, number: int, result: Any) -> None:
        with self._lock:
            asked = self._asked.pop(number, None)
            if asked is None or asked[0] != kind:
                return
            self.alive_at = max(self.alive_at, asked[3])
        if isinstance(result, Exception):
            asked[1].set_exception(result)
        else:
            asked[1].set_result(result)

    def _end(self) -> None:
        with self._lock:
            self.over.set()
            asked, self._asked = self._asked, {}
        for _, answer, _, _ in asked.values():
            answer.set_exception(LineLost("the session has ended"))
        self._ended()
        self._connection.close()


def answer_within(answer: Future[Any], limit_s: float) -> Any:
    """The answer, or LineLost after the limit."""
    try:
        return answer.result(max(0.0, limit_s))
    except NoResult:
        raise LineLost("no answer in time") from None


def _parsed(text: str | bytes) -> Any:
    if not isinstance(text, str):
        raise LineLost("the router sent bytes, where it was to send JSON")
    try:
        raw = text.encode()
        # Where something has raised Python's recursion limit, json crashes on these.
        message = json.loads(raw) if not deeper_than(MAX_MESSAGE_DEPTH, raw) else None
    except (ValueError, RecursionError):
        raise LineLost("the router sent what is no JSON") from None
    if not isinstance(message, list):
        raise LineLost("the router sent JSON that is no message")
    return message
