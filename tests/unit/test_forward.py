"""The path of the node's port that leads to an application beside it: what comes through, and what is said while nobody is there."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Site

from formlock.forward import Forward
from tests.support.node import free_port

reactor: Any = _reactor
WITHIN_S = 10


class Application(ThreadingHTTPServer):
    """Answers what `answer` says, and keeps what it was asked."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.asked: list[tuple[str, str, list[tuple[str, str]], bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            def __getattr__(handler, name: str) -> Callable[[], None]:  # noqa: N805
                """`do_GET` and the like: all are taken."""
                if not name.startswith("do_"):
                    raise AttributeError(name)
                return handler.take

            def take(handler) -> None:  # noqa: N805
                length = int(handler.headers.get("content-length") or 0)
                self.asked.append((handler.command, handler.path, handler.headers.items(), handler.rfile.read(length)))
                answer(handler)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


def says(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(303, "See there")
    for name, value in (("Location", "/invoices/ann/"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Length", "4")):
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(b"body")


class Through:
    """Asks through a Forward to `port`, and to `host` if it is not this machine's."""

    def __init__(self, port: int, **host: str) -> None:
        root = Resource()
        cast("Any", root).putChild(b"invoices", Forward({"port": port, **host}))
        self.listening = reactor.listenTCP(0, Site(root), interface="127.0.0.1")

    async def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        def blocking() -> tuple[http.client.HTTPResponse, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", self.listening.getHost().port, timeout=WITHIN_S)
            try:
                connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
                answer = connection.getresponse()
                return answer, answer.read()
            finally:
                connection.close()

        answered: tuple[http.client.HTTPResponse, bytes] = await deferToThread(blocking)
        return answered


@pytest.fixture
def application() -> Iterator[Application]:
    application = Application(says)
    yield application
    application.shutdown()
    application.server_close()


@pytest_twisted.async_yield_fixture
async def through(application: Application) -> Any:
    through = Through(application.server_port)
    yield through
    await through.listening.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_request_comes_as_it_was_sent(through: Through, application: Application) -> None:
    """Method, path with its own quoting, query, host, type and body are the application's to read; who asks is ours to say."""
    path = "/invoices/a%2Fb/%C3%BC/?keep=text&x=%26"
    body = b"notes=J%C3%B6rg\r\n\0"
    await through.ask(
        "POST", path, body, Host="127.0.0.1:8080", Content_Type="application/x-www-form-urlencoded",
        Sec_Fetch_Site="same-origin", X_Forwarded_For="1.2.3.4", X_Forwarded_Host="evil.example", Forwarded="for=1.2.3.4",
    )  # fmt: skip
    ((method, asked, headers, sent),) = application.asked
    assert (method, asked, sent) == ("POST", path, body)
    named = {name.lower(): value for name, value in headers}
    assert named["host"] == "127.0.0.1:8080"
    assert named["content-type"] == "application/x-www-form-urlencoded"
    assert named["sec-fetch-site"] == "same-origin"
    assert named["x-forwarded-for"] == "127.0.0.1"
    assert not {"x-forwarded-host", "forwarded"} & named.keys()


@pytest_twisted.ensureDeferred
async def test_an_answer_comes_as_it_was_given(through: Through) -> None:
    """Status, where it leads, every header of a name, body; for HEAD no body, and nobody waits for one."""
    for method, expected in (("GET", b"body"), ("POST", b"body"), ("HEAD", b"")):
        answer, body = await through.ask(method, "/invoices/")
        assert (answer.status, answer.reason, body) == (303, "See there", expected)
        assert answer.headers["location"] == "/invoices/ann/"
        assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
        assert answer.headers["content-length"] == "4"


@pytest_twisted.ensureDeferred
async def test_while_nobody_is_there(application: Application) -> None:
    """A reader gets a calm page that looks again by itself, a script a sentence and when to try again; both a 503."""
    through = Through(free_port())
    try:
        answer, body = await through.ask("GET", "/invoices/ann/", Accept="text/html,*/*")
        assert (answer.status, answer.headers["retry-after"]) == (503, "2")
        assert b'<meta http-equiv="refresh" content="2">' in body
        assert b"Just a moment" in body
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
        answer, body = await through.ask("POST", "/invoices/ann/42/claim", b"", Accept="application/json, text/html")
        assert (answer.status, body) == (503, b"The application does not answer at the moment.\n")
    finally:
        await through.listening.stopListening()


@pytest_twisted.ensureDeferred
async def test_an_application_elsewhere(application: Application) -> None:
    """It is reached by its name; a name that is not found, as of a container that is stopped, is an application that is away."""
    there, gone = Through(application.server_port, host="localhost"), Through(application.server_port, host="stopped.invalid")
    try:
        answer, _ = await there.ask("GET", "/invoices/")
        assert answer.status == 303
        answer, _ = await gone.ask("GET", "/invoices/")
        assert answer.status == 503
    finally:
        await there.listening.stopListening()
        await gone.listening.stopListening()


@pytest_twisted.ensureDeferred
async def test_an_answer_that_breaks_off() -> None:
    """An application killed in the middle of its answer is a 502, never half a page that looks whole."""

    def breaks(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        handler.close_connection = True

    application = Application(breaks)
    through = Through(application.server_port)
    try:
        answer, body = await through.ask("GET", "/invoices/", Accept="*/*")
        assert (answer.status, body) == (502, b"The application does not answer at the moment.\n")
    finally:
        await through.listening.stopListening()
        application.shutdown()
        application.server_close()


@pytest_twisted.ensureDeferred
async def test_a_reader_who_leaves() -> None:
    """It ends the exchange, the application sees it end, and the next reader is served."""
    begun, left = Event(), Event()

    def waits(handler: BaseHTTPRequestHandler) -> None:
        if handler.path != "/invoices/slow":
            says(handler)
            return
        begun.set()
        handler.connection.settimeout(WITHIN_S)
        try:
            handler.connection.recv(1)
        except ConnectionResetError:
            pass
        except TimeoutError:
            return
        left.set()

    application = Application(waits)
    through = Through(application.server_port)
    try:
        reader = socket.create_connection(("127.0.0.1", through.listening.getHost().port))
        reader.sendall(b"GET /invoices/slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await deferToThread(begun.wait, WITHIN_S)
        reader.close()
        assert await deferToThread(left.wait, WITHIN_S)
        answer, _ = await through.ask("GET", "/invoices/")
        assert answer.status == 303
    finally:
        await through.listening.stopListening()
        application.shutdown()
        application.server_close()
