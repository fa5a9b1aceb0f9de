"""Forwards a path of the node's own port to an application beside it. A Crossbar `resource` path service.

Crossbar has one too (`reverseproxy`), but it writes every request with all its headers to the log, takes apart and quotes each path
anew, and answers "501 Gateway error" while the application is away.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IConnector, ITCPTransport
from twisted.python.failure import Failure
from twisted.web.proxy import ProxyClient, ProxyClientFactory
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from formlock.pages import HEADERS
from formlock.wamp import reactor

CONNECT_WITHIN_S = 3
AWAY = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta http-equiv="refresh" content="2">
  <title>Just a moment</title>
  <link rel="icon" href="/favicon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/page.css">
</head>
<body>
  <main>
    <h1>Just a moment</h1>
    <p>The application is starting, or starting again. This page looks for it by itself; locks and texts are not affected.</p>
  </main>
</body>
</html>
"""
AWAY_FOR_PROGRAMS = "The application does not answer at the moment.\n"


class Forward(Resource):
    """`extra`: `port` on loopback, where the application listens. It is sent each request as it came, its path and host included."""

    isLeaf = True  # noqa: N815

    def __init__(self, extra: dict[str, Any], reactor: object = None) -> None:  # noqa: ARG002 (Crossbar passes it)
        super().__init__()  # type: ignore[no-untyped-call]
        self._port = int(extra["port"])

    def render(self, request: Request) -> Any:
        """Whatever the method is."""
        headers = dict(request.getAllHeaders())
        # Who asks, and how, the application hears from us, not from whoever says so.
        for name in [name for name in headers if name == b"forwarded" or name.startswith(b"x-forwarded-")]:
            del headers[name]
        headers[b"x-forwarded-for"] = str(request.getClientAddress().host).encode("ascii")
        body = request.content
        assert body is not None  # noqa: S101 (Twisted sets it before it looks for a resource)
        body.seek(0)
        exchange = _Exchange(request.method, request.uri, request.clientproto, headers, body.read(), request)
        # A reader who leaves ends the exchange; writing to him would be an error then.
        request.notifyFinish().addErrback(exchange.abandon)
        reactor.connectTCP("127.0.0.1", self._port, exchange, timeout=CONNECT_WITHIN_S)
        return NOT_DONE_YET


class _Answer(ProxyClient):
    """Hands the application's answer on."""

    factory: _Exchange

    def connectionMade(self) -> None:  # noqa: N802
        self.factory.answer = self
        if self.factory.abandoned:
            self.abort()
            return
        super().connectionMade()

    def abort(self) -> None:
        """Nobody wants the answer any more."""
        if isinstance(self.transport, ITCPTransport):
            self.transport.abortConnection()

    def handleStatus(self, version: bytes, code: bytes, message: bytes) -> None:  # noqa: N802
        self.factory.answered = True
        super().handleStatus(version, code, message)

    def handleHeader(self, key: bytes, value: bytes) -> None:  # noqa: N802
        # This connection ends with the answer, the reader's need not.
        if key.lower() not in (b"connection", b"keep-alive"):
            super().handleHeader(key, value)

    def handleResponsePart(self, buffer: bytes) -> None:  # noqa: N802
        if not self.factory.abandoned:
            super().handleResponsePart(buffer)

    def handleResponseEnd(self) -> None:  # noqa: N802
        if self.factory.answered and not self.factory.abandoned:
            super().handleResponseEnd()

    def connectionLost(self, reason: Failure | None = None) -> None:  # noqa: N802
        super().connectionLost(reason)
        if not self.factory.answered:
            self.factory.away(502)


class _Exchange(ProxyClientFactory):
    """One request, and where it stands."""

    protocol = _Answer
    noisy = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.answer: _Answer | None = None
        self.answered = False
        self.abandoned = False

    def buildProtocol(self, address: Any) -> Any:  # noqa: N802
        answer = super().buildProtocol(address)
        answer.factory = self
        return answer

    def abandon(self, reason: Failure) -> None:  # noqa: ARG002 (Twisted passes it)
        """The reader has left."""
        self.abandoned = True
        if self.answer is not None:
            self.answer.abort()

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:  # noqa: ARG002, N802
        """Nobody listens there."""
        self.away(503)

    def away(self, code: int) -> None:
        """A page that looks again for whoever reads it, a sentence for a script."""
        request = self.father
        if self.abandoned or request.finished:
            return
        page = b"text/html" in (request.getHeader(b"accept") or b"") and request.method in (b"GET", b"HEAD")
        request.setResponseCode(code)
        for name, value in HEADERS.items():
            request.setHeader(name, value)
        request.setHeader(b"retry-after", b"2")
        request.setHeader(b"content-type", b"text/html; charset=utf-8" if page else b"text/plain; charset=utf-8")
        body = (AWAY if page else AWAY_FOR_PROGRAMS).encode()
        request.setHeader(b"content-length", str(len(body)).encode("ascii"))
        request.write(body)
        request.finish()
