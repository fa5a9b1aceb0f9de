"""Whose work is being done, and whether it is reported: during a request it is, in a job only if the job says so (A22)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from formlock_push.sayable import MAX_TEXT_LENGTH, NO_LINE

_log = logging.getLogger("formlock_push")


@dataclass(frozen=True, slots=True)
class Acting:
    """Who does what is reported; each may be unknown.

    - `origin`: the browser tab that saves; it is not told of its own save (U13)
    - `actor`: `{"user": ..., "name": ...}`, or only the user
    - `source`: the name of the program that reports
    """

    origin: str | None = None
    actor: Mapping[str, str] | str | None = None
    source: str | None = None

    def told(self, origin: str | None, actor: Mapping[str, str] | str | None, source: str | None) -> Acting:
        """The same with what is now known; None says nothing new."""
        return Acting(
            origin=self.origin if origin is None else _text(origin),
            actor=self.actor if actor is None else _person(actor),
            source=self.source if source is None else _text(source),
        )


def _text(given: object) -> str | None:
    """What the bridge takes of a text. It may come from a browser, and nobody may keep his own change from being told by it."""
    return NO_LINE.sub("", str(given))[:MAX_TEXT_LENGTH] or None


def _person(given: Mapping[str, str] | str) -> dict[str, str] | str | None:
    if not isinstance(given, Mapping):
        return _text(given)
    known = {key: text for key in ("user", "name") if given.get(key) is not None and (text := _text(given[key]))}
    return known if "user" in known else None


NOBODY = Acting()


class Scope:
    """One request or one `acting` block. The threads that work for one request share it, so `act` counts in all of them.

    `asking`: says who acts; called when that is needed for the first time, if nobody has said so before.
    """

    __slots__ = ("acting", "asking")

    def __init__(self, acting: Acting = NOBODY) -> None:
        self.acting = acting
        self.asking: Callable[[], Mapping[str, str] | str | None] | None = None

    def who(self) -> Acting:
        """Who acts, as far as it is known by now."""
        asking, self.asking = self.asking, None
        if asking is not None and self.acting.actor is None:
            try:
                self.acting = self.acting.told(None, asking(), None)
            except Exception as error:  # noqa: BLE001 (an application's own, but not worth the change that it is asked for)
                _log.warning("who acts in this request can't be told: %s: %s", type(error).__name__, error, exc_info=error)
        return self.acting


_scope: ContextVar[Scope | None] = ContextVar("formlock_push_scope", default=None)
_muted: ContextVar[bool] = ContextVar("formlock_push_muted", default=False)


def reporting(*, jobs: bool) -> Acting | None:
    """Who acts, if what is done at this moment is to be reported; else None. `jobs`: what is outside of every request counts too."""
    if _muted.get():
        return None
    scope = _scope.get()
    if scope is None:
        return NOBODY if jobs else None
    return scope.who()


def act(*, origin: str | None = None, actor: Mapping[str, str] | str | None = None, source: str | None = None) -> None:
    """Say who acts, from here to the end of the request (or of the `acting` block). Outside of them it does nothing.

    Call it when the request's user is known, before anything is flushed.
    """
    scope = _scope.get()
    if scope is not None:
        scope.acting = scope.acting.told(origin, actor, source)


def ask(who: Callable[[], Mapping[str, str] | str | None]) -> None:
    """As `act` with the actor that `who` answers; it is called only if this request changes something that is told.

    For a user whom it takes a query to know. Outside of requests it does nothing.
    """
    scope = _scope.get()
    if scope is not None:
        scope.asking = who


@contextmanager
def acting(*, origin: str | None = None, actor: Mapping[str, str] | str | None = None, source: str | None = None) -> Iterator[None]:
    """What is flushed inside is reported, in a job too, and as done by these. What is left out is as around the block."""
    around = _scope.get()
    token = _scope.set(Scope((around.who() if around else NOBODY).told(origin, actor, source)))
    try:
        yield
    finally:
        _scope.reset(token)


@contextmanager
def muted() -> Iterator[None]:
    """Nothing that is flushed or executed inside is reported, whenever it is committed: for imports and fixtures."""
    token = _muted.set(True)
    try:
        yield
    finally:
        _muted.reset(token)


# -- requests

Environ = dict[str, Any]
WsgiApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class Middleware:
    """Around a WSGI application: `app.wsgi_app = Middleware(app.wsgi_app)`. A request lasts until its response has been closed."""

    def __init__(self, application: WsgiApplication) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """As the application's own, with the request's scope around it."""
        scope = Scope()
        with inside(scope):
            body = self._application(environ, start_response)
        # Nothing of the application runs while these are sent, and servers treat them better than an iterator: a list tells its
        # length, a file is sent by the kernel.
        if isinstance(body, (list, tuple)) or _is_file(body, environ):
            return body
        return _Body(body, scope)


class _Body:
    """A response that is still being made: the scope is entered for each step of it, since the server's own code runs in between
    (and perhaps never closes it, or closes it in another thread)."""

    def __init__(self, body: Iterable[bytes], scope: Scope) -> None:
        self._body = body
        self._scope = scope
        with inside(scope):
            self._parts = iter(body)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with inside(self._scope):
            return next(self._parts)

    def close(self) -> None:
        """Many a framework commits or tears down here."""
        close = getattr(self._body, "close", None)
        if close is not None:
            with inside(self._scope):
                close()


AsgiMessage = MutableMapping[str, Any]
AsgiApplication = Callable[
    [AsgiMessage, Callable[[], Awaitable[AsgiMessage]], Callable[[AsgiMessage], Awaitable[None]]], Awaitable[None]
]


class AsgiMiddleware:
    """Around an ASGI application: each request and each WebSocket is a scope, the server's start and end are not."""

    def __init__(self, application: AsgiApplication) -> None:
        self._application = application

    async def __call__(
        self,
        scope: AsgiMessage,
        receive: Callable[[], Awaitable[AsgiMessage]],
        send: Callable[[AsgiMessage], Awaitable[None]],
    ) -> None:
        """As the application's own, with the request's scope around it."""
        if scope["type"] not in ("http", "websocket"):
            await self._application(scope, receive, send)
            return
        with inside(Scope()):
            await self._application(scope, receive, send)


@contextmanager
def inside(scope: Scope) -> Iterator[Scope]:
    """For a middleware of one's own: what is done inside is this scope's."""
    token = _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.reset(token)


def _is_file(body: object, environ: Environ) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)
