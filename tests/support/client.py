"""A WAMP client as a page has one: joins as a development identity, keeps what it is sent, and waits with limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from autobahn.twisted.wamp import ApplicationSession
from autobahn.twisted.websocket import WampWebSocketClientFactory, connectWS
from autobahn.wamp import message
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.request import CallRequest
from autobahn.wamp.serializer import JsonSerializer
from autobahn.wamp.types import CallOptions, ComponentConfig, SubscribeOptions
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.error import ConnectionAborted

WITHIN_S = 20
ATTEMPTS = 3
P = "com.example.formlock."


class Refused(Exception):
    """A call's error: `name` is the last part of its URI."""

    def __init__(self, error: ApplicationError) -> None:
        self.uri = error.error
        self.name = error.error.rpartition(".")[2]
        self.sentence = error.args[0] if error.args else None
        self.facts = dict(error.kwargs or {})
        super().__init__(f"{self.uri}: {self.sentence}")


class Client:
    """Made by `joined`."""

    def __init__(self, session: ApplicationSession, connector: Any) -> None:
        self.session = session
        self._connector = connector
        self.session_id: int = session._session_id
        self.events: list[dict[str, Any]] = []
        # For who wants to do something at once.
        self.heard: Callable[[dict[str, Any]], None] = lambda _event: None
        self._waiting: list[tuple[Callable[[dict[str, Any]], bool], Deferred[dict[str, Any]]]] = []

    async def subscribe(self, topic: str, match: str | None = None) -> None:
        """What arrives is in `events`."""
        await self._limited(self.session.subscribe(self._received, topic, SubscribeOptions(match=match)))

    async def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """`lock` or a whole URI; raises Refused."""
        uri = name if re.search(r"[.-]", name) else P + name
        try:
            return await self._limited(self.session.call(uri, *args, **kwargs))
        except ApplicationError as error:
            raise Refused(error) from None

    async def caught_up(self, form: str, since: int = 0) -> dict[str, Any]:
        """What the bridge has of the form after this number, over all pages, as the last one says it; `complete` if all are."""
        pages = [await self.call("updates", form=form, since=since)]
        while "until" in pages[-1]:
            pages.append(await self.call("updates", form=form, since=pages[-1]["until"]))
        updates = [update for page in pages for update in page["updates"]]
        return {**pages[-1], "complete": all(page["complete"] for page in pages), "updates": updates}

    async def call_raw(self, uri: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """A call whose keywords Autobahn's own `call` would not let through."""
        request: int = self.session._request_id_gen.next()
        answer: Deferred[Any] = Deferred()
        self.session._call_reqs[request] = CallRequest(request, uri, answer, CallOptions())
        self.session._transport.send(message.Call(request, uri, args=args, kwargs=kwargs))
        try:
            return await self._limited(answer)
        except ApplicationError as error:
            raise Refused(error) from None

    async def refused(self, name: str, *args: Any, **kwargs: Any) -> Refused:
        """The error of a call that must be refused."""
        try:
            answer = await self.call(name, *args, **kwargs)
        except Refused as error:
            return error
        raise AssertionError(f"{name} was answered: {answer}")

    async def event(self, status: str, **facts: Any) -> dict[str, Any]:
        """The first event so far, or to come, with this status and these facts."""

        def fits(event: dict[str, Any]) -> bool:
            return event["status"] == status and all(event.get(key) == value for key, value in facts.items())

        for event in self.events:
            if fits(event):
                return event
        waiting: Deferred[dict[str, Any]] = Deferred()
        self._waiting.append((fits, waiting))
        return await self._limited(waiting)

    def _received(self, *args: Any, **kwargs: Any) -> None:
        self.events.append(kwargs)
        self.heard(kwargs)
        for fits, waiting in self._waiting[:]:
            if fits(kwargs):
                self._waiting.remove((fits, waiting))
                waiting.callback(kwargs)

    async def leave(self) -> None:
        """Say goodbye and wait until it is through."""
        if self.session.is_attached():
            gone: Deferred[None] = Deferred()
            self.session.on("disconnect", lambda *_, **__: gone.called or gone.callback(None))
            self.session.leave()
            await self._limited(gone)

    def drop(self) -> None:
        """Die without a word, as a killed browser does."""
        if self.session._transport is not None:
            self.session._transport.transport.abortConnection()

    def _limited(self, deferred: Deferred[Any]) -> Deferred[Any]:
        return deferred.addTimeout(WITHIN_S, reactor)


async def joined(
    ws_url: str, user: str = "ann", name: str | None = None, serializer: Any = None, rights: dict[str, list[str]] | None = None
) -> Client:
    """A client that has joined, with all rights, or with these by form pattern.

    As a page does, it tries again when its line is not answered: in three whole runs of these tests a router that had just opened
    its port left one unanswered for 20 s.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(ConnectionAborted, DeferredTimeoutError):
            return await _joined(ws_url, user, name, serializer, rights)
    return await _joined(ws_url, user, name, serializer, rights)


async def _joined(ws_url: str, user: str, name: str | None, serializer: Any, rights: Any) -> Client:
    ready: Deferred[ApplicationSession] = Deferred()
    identity = {"user": user, "name": name or user.title()} | ({"rights": rights} if rights is not None else {})

    class Page(ApplicationSession):
        def onConnect(self) -> None:
            self.join("formlock", authmethods=["anonymous"], authextra=identity)

        def onJoin(self, details: Any) -> None:
            if ready.called:
                # Nobody waits for it any more.
                self.disconnect()
            else:
                ready.callback(self)

        def onLeave(self, details: Any) -> None:
            if not ready.called:
                ready.errback(AssertionError(f"not let in: {details}"))
            self.disconnect()

        def onUserError(self, fail: Any, msg: Any) -> None:
            pass

    factory = WampWebSocketClientFactory(
        lambda: Page(ComponentConfig("formlock")), url=ws_url, serializers=[serializer or JsonSerializer()]
    )
    factory.setProtocolOptions(openHandshakeTimeout=WITHIN_S)
    # Else a refused or broken connection looks like silence.
    factory.clientConnectionFailed = factory.clientConnectionLost = lambda _connector, reason: ready.called or ready.errback(reason)
    connector = connectWS(factory, timeout=WITHIN_S)
    session = await ready.addTimeout(WITHIN_S, reactor)
    return Client(session, connector)


__all__ = ["Client", "P", "Refused", "ensureDeferred", "joined"]
