"""The way in for those without ZeroMQ: `POST /updates`, one signed message, answered when it is in the journal.

Bounded in every direction: a request has ten seconds from its first byte to its last, a body is kept as far as a message may be
long, and connections are counted. Nothing of a request is logged but the name of its key.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, cast

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, HTTPFactory, Request

from formlock.wamp import reactor
from formlock_bridge.ways.keys import Backend
from formlock_bridge.ways.sender import Answer
from formlock_bridge.ways.signature import MAX_SKEW_S, is_right, is_timely
from formlock_bridge.ways.sockets import CannotBind
from formlock_push.message import MAX_BYTES

PATH = b"/updates"
KEY, TIME, SIGNATURE = "X-Form-Lock-Key", "X-Form-Lock-Time", "X-Form-Lock-Signature"

REQUEST_WITHIN_S = 10
MAX_CONNECTIONS = 200
MAX_HEADERS = 50
RETRY_AFTER_S = 1

# What the bridge refuses a message with, where it isn't a plain 400.
STATUSES = {"busy": 503, "not_allowed": 403, "too_large": 413}

# The body, by whom it is signed, and the way back.
Posted = Callable[[bytes, Backend, Answer], None]


class HttpWay(HTTPFactory):
    """`posted` is called for each signed request; `refused(kind, facts)` hears of the others. Neither may raise."""

    def __init__(
        self,
        posted: Posted,
        backend: Callable[[str], Backend | None],
        refused: Callable[[str, Mapping[str, object]], None],
        *,
        now: Callable[[], float] = time.time,
        within_s: int = REQUEST_WITHIN_S,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        super().__init__()
        self._within_s = within_s
        self.posted = posted
        self.backend = backend
        self.refused = refused
        self.now = now
        self.paused = False
        self.connections: set[_Channel] = set()
        self._max_connections = max_connections
        self._port: Any = None

    def listen(self, host: str, port: int) -> None:
        """CannotBind when somebody else has it."""
        try:
            self._port = reactor.listenTCP(port, self, interface=host)
        except CannotListenError as error:
            raise CannotBind(f"http://{host}:{port}: {error.socketError.strerror or error.socketError}") from None

    def pause(self) -> None:
        """Answer `busy` until `resume`."""
        self.paused = True

    def resume(self) -> None:
        """Take messages again."""
        self.paused = False

    async def close(self) -> None:
        """Wait until the port is free. Whoever still waits for an answer gets none, and sends again. May be repeated."""
        port, self._port = self._port, None
        if port is not None:
            await port.stopListening()
        for channel in list(self.connections):
            channel.abort()

    # -- Twisted's hooks

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: ARG002, N802
        """None closes the connection at once."""
        if len(self.connections) >= self._max_connections:
            self.refused("too_many_connections", {"way": "http"})
            return None
        channel = _Channel()
        channel.factory = self
        channel.timeOut = self._within_s
        return channel

    def startFactory(self) -> None:  # noqa: N802
        """No access log, and so no clock for it."""

    def stopFactory(self) -> None:  # noqa: N802
        """As `startFactory`."""

    def log(self, request: Request) -> None:
        """Requests are counted with their messages, not logged one by one."""


class _Request(Request):
    """One request: read with bounds, checked, handed on, answered."""

    _length = 0

    def gotLength(self, length: int | None) -> None:  # noqa: ARG002, N802
        """Twisted would keep a long body in a file, and read one of a form as fields: it gets none."""
        self.content = BytesIO()
        self._body = bytearray()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        """What is too long is read to its end, or to the end of its time, so that its sender hears why; it is not kept."""
        self._length += len(data)
        if self._length <= MAX_BYTES:
            self._body += data

    def process(self) -> None:
        """The whole request is there."""
        factory: HttpWay = self.channel.factory
        if self.path != PATH:
            self._say(404, _refusal("not_found", "Updates are posted to /updates."))
        elif self.method != b"POST":
            self.setHeader(b"allow", b"POST")
            self._say(405, _refusal("wrong_method", "Updates are posted."))
        elif self._length > MAX_BYTES:
            self._refuse(factory, 413, "too_large", f"A message has at most {MAX_BYTES} bytes.")
        elif factory.paused:
            self._say(503, _refusal("busy", "The bridge has more to do than it can at the moment.", retry=True))
        else:
            self._check(factory, bytes(self._body))

    def _check(self, factory: HttpWay, body: bytes) -> None:
        name, said, signature = (self._header(header) for header in (KEY, TIME, SIGNATURE))
        backend = factory.backend(name)
        if backend is None:
            self._refuse(factory, 401, "unknown_key", f"There is no key of the name that {KEY} says.")
        elif not is_timely(said, factory.now()):
            self._refuse(factory, 401, "wrong_time", f"{TIME} must be the time in seconds, within {MAX_SKEW_S} s of the bridge's.")
        elif not is_right(signature, backend.http_secret, said, body):
            self._refuse(factory, 401, "wrong_signature", f"{SIGNATURE} is not the one of this time, body and key.")
        else:
            factory.posted(body, backend, self._answer)

    def _answer(self, facts: Mapping[str, Any]) -> None:
        error = facts.get("error")
        self._say(200 if error is None else STATUSES.get(error, 400), facts)

    def _refuse(self, factory: HttpWay, status: int, reason: str, sentence: str) -> None:
        name = self._header(KEY)
        factory.refused(reason, {"way": "http", "key": name if factory.backend(name) is not None else ""})
        self._say(status, _refusal(reason, sentence))

    def _say(self, status: int, facts: Mapping[str, Any]) -> None:
        if self.finished or self._disconnected:
            return
        body = json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()
        self.setResponseCode(status)
        self.setHeader(b"content-type", b"application/json")
        self.setHeader(b"content-length", b"%d" % len(body))
        self.setHeader(b"cache-control", b"no-store")
        if status == 503:
            self.setHeader(b"retry-after", b"%d" % RETRY_AFTER_S)
        self.write(body)
        self.finish()

    def _header(self, name: str) -> str:
        return self.getHeader(name) or ""


class _Channel(HTTPChannel):
    """One connection. From the answer before, or its beginning, a request has its time: not anew with every byte."""

    requestFactory = _Request  # noqa: N815
    maxHeaders = MAX_HEADERS  # noqa: N815
    factory: HttpWay

    def connectionMade(self) -> None:  # noqa: N802
        self.factory.connections.add(self)
        super().connectionMade()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802
        self.factory.connections.discard(self)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def resetTimeout(self) -> None:  # noqa: N802
        """Not from what comes in."""

    def timeoutConnection(self) -> None:  # noqa: N802
        self.abort()

    def abort(self) -> None:
        """End it at once."""
        cast("Any", self.transport).abortConnection()


def _refusal(reason: str, sentence: str, *, retry: bool = False) -> dict[str, Any]:
    return {"id": None, "error": reason, "message": sentence, "retry": retry}
