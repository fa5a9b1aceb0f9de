"""Who acts, and when: a request is a scope from its first step to its last, and nothing of it is left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from flask import Flask, Response, stream_with_context

from formlock.uris import Uris
from formlock_bridge.intake import Rejected, read
from formlock_push import Update
from formlock_push.scope import NOBODY, Acting, AsgiMiddleware, Middleware, Scope, act, acting, ask, inside, muted, reporting


def who() -> Acting | None:
    return reporting(jobs=False)


class Body:
    """A response that notes who acts at each of its steps."""

    def __init__(self, seen: list[Acting | None]) -> None:
        self.seen = seen
        self.left = 2

    def __iter__(self) -> Iterator[bytes]:
        self.seen.append(who())
        return self

    def __next__(self) -> bytes:
        self.seen.append(who())
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return b"x"

    def close(self) -> None:
        self.seen.append(who())


def start_response(*_: Any) -> None:
    """The server's."""


def test_outside() -> None:
    """A22: outside of a request nothing is reported, unless jobs are; saying who acts changes nothing there."""
    act(origin="tab-1")
    assert who() is None
    assert reporting(jobs=True) == NOBODY


def test_acting() -> None:
    """A block says who acts, inherits what it leaves out, and ends with what was before, after an error too."""
    with acting(actor="ann", source="billing"):
        with acting(origin="tab-1", actor="bob"):
            assert who() == Acting("tab-1", "bob", "billing")
            act(actor={"user": "eva", "name": "Eva"})
            assert who() == Acting("tab-1", {"user": "eva", "name": "Eva"}, "billing")
        assert who() == Acting(None, "ann", "billing")
        with pytest.raises(RuntimeError), acting(actor="bob"):
            raise RuntimeError
        assert who() == Acting(None, "ann", "billing")
    assert who() is None


def test_asked_once() -> None:
    """Who acts is asked once for each request, also where nobody does, or where it can't be told: it may be a query."""
    asked: list[int] = []

    def nobody() -> None:
        asked.append(1)

    def broken() -> None:
        asked.append(1)
        raise RuntimeError("no session")

    for question in (nobody, broken):
        asked.clear()
        with inside(Scope()):
            ask(question)
            assert who() == NOBODY
            assert who() == NOBODY
        assert len(asked) == 1


# With a joiner, which has no width, and a blank that keeps words together.
PERSIAN = "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627\u00a0W."


def test_texts_that_the_bridge_would_reject() -> None:
    """Whatever a browser or a user's own name says, the update is one that the bridge takes."""
    with acting(origin="\0" + "x" * 300, actor={"user": "a\nnn", "name": "\ud800", "mail": "a@b.c"}, source="\t"):
        assert who() == Acting("x" * 200, {"user": "ann"}, None)
        act(actor={"name": "nobody"})
        assert who() == Acting("x" * 200, None, None)
        act(actor=7)  # type: ignore[arg-type]
        assert who() == Acting("x" * 200, "7", None)
        act(actor={"user": "\u202eann", "name": PERSIAN})
        assert who() == Acting("x" * 200, {"user": "ann", "name": PERSIAN}, None)
    uris = Uris()
    update = Update(form="com.example.form.invoice.1", origin="x" * 200, actor={"user": "ann", "name": "é" * 200}, source="s")
    assert not isinstance(read(uris, update.encode()), Rejected)


def test_muted() -> None:
    """Muted is muted, in a request and in a job, and also when a block inside says who acts."""
    with acting(actor="ann"):
        with muted():
            assert who() is None
            assert reporting(jobs=True) is None
            with acting(actor="bob"):
                assert who() is None
        assert who() == Acting(None, "ann")


def test_request() -> None:
    """A request reaches from the application's call over each part of the response to its end, and the server between is outside."""
    seen: list[Acting | None] = []

    def application(environ: Any, start: Any) -> Iterable[bytes]:
        assert who() == NOBODY
        act(origin=environ["tab"])
        return Body(seen)

    middleware = Middleware(application)
    bodies = [middleware({"tab": tab}, start_response) for tab in ("tab-1", "tab-2")]
    assert who() is None
    # Two requests in turns, as an asynchronous server does it in one thread.
    for one, two in zip(*bodies, strict=True):
        assert (one, two) == (b"x", b"x")
        assert who() is None
    for body in bodies:
        body.close()  # type: ignore[attr-defined]
    assert who() is None
    assert seen.count(Acting("tab-1")) == seen.count(Acting("tab-2")) == 5
    assert len(seen) == 10


def test_response_in_another_thread() -> None:
    """A server may send the response from another thread."""
    seen: list[Acting | None] = []

    def application(environ: Any, start: Any) -> Iterable[bytes]:
        act(origin="tab-1")
        return Body(seen)

    body: Any = Middleware(application)({}, start_response)

    def send() -> None:
        list(body)
        body.close()

    thread = threading.Thread(target=send)
    thread.start()
    thread.join()
    assert set(map(str, seen)) == {str(Acting("tab-1"))}


def test_what_raises() -> None:
    """An application that raises leaves no request behind; its own error comes out."""

    def application(environ: Any, start: Any) -> Iterable[bytes]:
        raise KeyError("x")

    with pytest.raises(KeyError):
        Middleware(application)({}, start_response)
    assert who() is None


def test_lists_and_files_pass_through(tmp_path: Any) -> None:
    """What a server sends better as it is stays as it is."""
    with (tmp_path / "file").open("wb+") as file:
        for body in ([b"a"], (b"a",), FileWrapper(file)):
            middleware = Middleware(lambda _environ, _start, body=body: body)  # type: ignore[misc]
            assert middleware({"wsgi.file_wrapper": FileWrapper}, start_response) is body


def test_flask() -> None:
    """With Flask: in the view, in a stream, and when the application context is torn down."""
    seen: dict[str, Acting | None] = {}
    app = Flask("demo")
    app.wsgi_app = Middleware(app.wsgi_app)  # type: ignore[method-assign]

    @app.get("/")
    def view() -> Response:
        act(origin="tab-1")

        def stream() -> Iterator[str]:
            seen["stream"] = who()
            yield "x"

        seen["view"] = who()
        return Response(stream_with_context(stream()))

    @app.teardown_appcontext
    def teardown(_error: BaseException | None) -> None:
        seen["teardown"] = who()

    response = app.test_client().get("/")
    assert response.data == b"x"
    response.close()
    assert seen == dict.fromkeys(["view", "stream", "teardown"], Acting("tab-1"))
    assert who() is None


def test_asgi() -> None:
    """In an asynchronous application each request is its own, in threads that work for it too; the server's start is none."""
    seen: dict[str, Acting | None] = {}

    async def application(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] == "http":
            await asyncio.to_thread(act, origin=scope["tab"])
            await both.wait()
        seen[scope["tab"]] = who()

    both = asyncio.Barrier(2)

    async def nothing(*_: Any) -> Any:
        return {}

    async def serve() -> None:
        middleware = AsgiMiddleware(application)
        scopes = [{"type": "lifespan", "tab": "none"}, {"type": "http", "tab": "tab-1"}, {"type": "http", "tab": "tab-2"}]
        await asyncio.gather(*(middleware(scope, nothing, nothing) for scope in scopes))

    asyncio.run(serve())
    assert seen == {"none": None, "tab-1": Acting("tab-1"), "tab-2": Acting("tab-2")}
