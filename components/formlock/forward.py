"""Forwards a path of the node's own port to an application beside it. A Crossbar `resource` path service.

Crossbar has one too (`reverseproxy`), but it writes every request with all its headers to the log, takes apart and quotes each path
anew, and answers "501 Gateway error" while the application is away.
"""

from __future__ import annotations

from typing import Any, cast

import txaio
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.python.failure import Failure
from twisted.web.client import Agent, FileBodyProducer, readBody
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from formlock.pages import HEADERS
from formlock.wamp import line
from formlock.wamp import reactor as _reactor

# Of one connection only, not of the message (RFC 9110, 7.6.1); the lengths are counted anew.
HOP_BY_HOP = (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
COUNTED_ANEW = (b"content-length", b"expect")
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


log = txaio.make_logger()  # type: ignore[attr-defined]


class Forward(Resource):
    """`extra`: `port` and `host` (loopback) where the application listens. It is sent each request as it came, its path and `Host`
    included.

    Answers are read whole before they are handed on: right for pages, not for streams.
    """

    isLeaf = True  # noqa: N815

    def __init__(self, extra: dict[str, Any], reactor: object = None) -> None:  # noqa: ARG002 (Crossbar passes it)
        super().__init__()  # type: ignore[no-untyped-call]
        self._address = b"http://%s:%d" % (str(extra.get("host", "127.0.0.1")).encode("ascii"), int(extra["port"]))
        self._agent = cast("Any", Agent)(_reactor, connectTimeout=CONNECT_WITHIN_S)
        self._waiting: set[Request] = set()

    def render(self, request: Request) -> Any:
        """Whatever the method is."""
        self._waiting.add(request)
        exchange = Deferred.fromCoroutine(self._exchange(request))

        def left(_: Failure) -> None:
            self._waiting.discard(request)
            exchange.cancel()

        request.notifyFinish().addCallbacks(lambda _: self._waiting.discard(request), left)
        return NOT_DONE_YET

    async def _exchange(self, request: Request) -> None:
        try:
            answer = await self._agent.request(request.method, self._address + request.uri, _headers(request), _body(request))
            content = await readBody(answer)
        except (ConnectError, DNSLookupError):
            # A container that is stopped has no name either.
            _away(request, 503)
            return
        except Exception as error:  # noqa: BLE001 (it ended in the middle of its answer, or that was none)
            if request not in self._waiting:
                return  # for the reader has left
            log.warn("{line}", line=line("forward.failed", path=request.path.decode("ascii", "replace"), error=type(error).__name__))
            _away(request, 502)
            return
        request.setResponseCode(answer.code, answer.phrase)
        for name, values in answer.headers.getAllRawHeaders():
            if name.lower() not in HOP_BY_HOP:
                request.responseHeaders.setRawHeaders(name, values)
        if content:
            # Twisted's agent keeps the length of what it reads to itself.
            request.setHeader(b"content-length", b"%d" % len(content))
            request.write(content)
        request.finish()


def _headers(request: Request) -> Headers:
    """As they came, but for who asks: that the application hears from us, not from whoever says so."""
    headers = request.requestHeaders.copy()
    for name in [name for name, _ in headers.getAllRawHeaders() if name.lower().startswith((b"x-forwarded-", b"forwarded"))]:
        headers.removeHeader(name)
    for name in (*HOP_BY_HOP, *COUNTED_ANEW):
        headers.removeHeader(name)
    headers.setRawHeaders(b"x-forwarded-for", [str(request.getClientAddress().host).encode("ascii")])
    return headers


def _body(request: Request) -> Any:
    """Crossbar's web transport has read it whole before it looks for who answers."""
    content = request.content
    if content is None:
        return None
    content.seek(0)
    return cast("Any", FileBodyProducer)(content)


def _away(request: Request, code: int) -> None:
    """A page that looks again for whoever reads it, a sentence for a script."""
    page = b"text/html" in (request.getHeader(b"accept") or b"") and request.method in (b"GET", b"HEAD")
    body = (AWAY if page else AWAY_FOR_PROGRAMS).encode()
    request.setResponseCode(code)
    for name, value in HEADERS.items():
        request.setHeader(name, value)
    request.setHeader(b"retry-after", b"2")
    request.setHeader(b"content-type", b"text/html; charset=utf-8" if page else b"text/plain; charset=utf-8")
    request.setHeader(b"content-length", str(len(body)).encode("ascii"))
    request.write(body)
    request.finish()
