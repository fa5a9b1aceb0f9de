"""Readiness: a real answer of each component, never a log line. Embedded in the router worker; shown by `pages` at `/readyz`."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from autobahn.exception import Disconnected
from autobahn.wamp.exception import ApplicationError, TransportLost
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from formlock.claims import Claims, Grant
from formlock.model import FormId
from formlock.wamp import Session, reactor

ROLE = "ready"
# What this component may do at the others: look at forms.
CLAIMS = Claims(user=ROLE, name=ROLE, grants=(Grant("*", frozenset({"view"})),))

# A form that nobody edits; reading it goes the whole way to the store.
PROBED = FormId("formlock", "ready")
# What each component is asked, about that form.
PROCEDURES = {"locks": "status", "bridge": "updates"}
ANSWER_WITHIN_S = 2
ASK_EVERY_S = 0.1


class ReadyComponent(Session):
    """`extra`: `url`, which is told in the log when everything answers; `components`, the names of those that must (all)."""

    running: ClassVar[ReadyComponent | None] = None

    async def started(self) -> None:
        """Tell once, as soon as it is true, that the node is ready."""
        ReadyComponent.running = self
        Deferred.fromCoroutine(self._announce()).addErrback(self._failed)

    async def ended(self) -> None:
        """A router worker that is shutting down is not ready."""
        ReadyComponent.running = None

    async def answers(self) -> dict[str, bool]:
        """By component: whether it answers a real call now."""
        asked = self.extra.get("components", list(PROCEDURES))
        answers = await DeferredList([Deferred.fromCoroutine(self._answers(PROCEDURES[name])) for name in asked])
        return {name: bool(answered) for name, (_, answered) in zip(asked, answers, strict=True)}

    async def _answers(self, name: str) -> bool:
        call = Deferred.fromCoroutine(self.ask(self.uris.procedure(name), self.uris.topic(PROBED)))
        try:
            await call.addTimeout(ANSWER_WITHIN_S, reactor)
        except (ApplicationError, TransportLost, Disconnected, DeferredTimeoutError):
            return False
        return True

    async def _announce(self) -> None:
        while self.is_attached():
            if all((await self.answers()).values()):
                self.note("formlock.ready", url=self.extra.get("url", ""))
                return
            pause: Deferred[None] = Deferred()
            reactor.callLater(ASK_EVERY_S, pause.callback, None)
            await pause


class ReadyPage(Resource):
    """200 when every component answers, else 503; the body names them."""

    isLeaf = True  # noqa: N815

    def render_GET(self, request: Request) -> Any:  # noqa: N802
        """Ask, then answer."""
        Deferred.fromCoroutine(_render(request)).addErrback(lambda _: None)
        return NOT_DONE_YET


async def _render(request: Request) -> None:
    component = ReadyComponent.running
    answers = await component.answers() if component is not None else {}
    ready = component is not None and all(answers.values())
    request.setResponseCode(200 if ready else 503)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    request.write(json.dumps({"ready": ready, **answers}).encode())
    request.finish()
