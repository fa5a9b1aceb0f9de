"""Runs one component as a process of its own: joins the router, and joins again for ever, with back-off, when it is away.

The same classes as in the node's containers. `formlock worker` (commands/worker.py) is its command line.
"""

from __future__ import annotations

import importlib
import random
from typing import Any

import txaio
from autobahn.twisted.component import Component
from autobahn.wamp.types import ComponentConfig
from autobahn.websocket.util import parse_url
from twisted.internet.defer import Deferred

from formlock.wamp import Session, cap_recursion, line, reactor

COMPONENTS = {
    "locks": "formlock.locks.LockComponent",
    "bridge": "formlock_bridge.component.BridgeComponent",
}

FIRST_DELAY_S = 0.1
MAX_DELAY_S = 5.0
# A session that has lasted this long was a success: the next loss starts with a short delay again.
STEADY_AFTER_S = 10.0

log = txaio.make_logger()  # type: ignore[attr-defined]


class Worker:
    """One component, its router, and the endless loop between them."""

    def __init__(self, name: str, router: str, extra: dict[str, Any]) -> None:
        module, _, class_name = COMPONENTS[name].rpartition(".")
        self._class: type[Session] = getattr(importlib.import_module(module), class_name)
        self._transport = _transport(router)
        self._extra = {"authid": name, **extra}
        self._class.check_config(None, self._extra)
        self._delay = FIRST_DELAY_S

    async def run(self) -> None:
        """Never returns. A fresh session object for each attempt, whatever ended the one before."""
        while True:
            started = reactor.seconds()
            reason = await self._session()
            if reactor.seconds() - started > STEADY_AFTER_S:
                self._delay = FIRST_DELAY_S
            # Half of it random, so that workers of many nodes do not come back in step.
            delay = self._delay * random.uniform(0.5, 1.0)  # noqa: S311 (no secret hangs on it)
            log.warn("{line}", line=line("worker.rejoin", in_s=f"{delay:.1f}", reason=reason))
            self._delay = min(self._delay * 2, MAX_DELAY_S)
            pause: Deferred[None] = Deferred()
            reactor.callLater(delay, pause.callback, None)
            await pause

    async def _session(self) -> str:
        component = Component(
            transports=[dict(self._transport)],
            realm="formlock",
            session_factory=lambda config: self._class(ComponentConfig(realm=config.realm, extra=dict(self._extra))),
        )
        try:
            await component.start(reactor)
        except Exception as error:  # noqa: BLE001 (whatever it is, the answer is to try again)
            return str(error) or type(error).__name__
        return "the session ended"


def _transport(router: str) -> dict[str, Any]:
    """`ws://host:port/ws`, or `unix:/path/router.sock`. One attempt: the loop above is the one that never gives up."""
    transport: dict[str, Any] = {
        "type": "websocket",
        "serializers": ["json"],
        "max_retries": 0,
        # A router that is paused or gone without a word is noticed by these.
        "options": {"openHandshakeTimeout": 5, "autoPingInterval": 10, "autoPingTimeout": 10},
    }
    if router.startswith("unix:"):
        return transport | {"url": "ws://localhost", "endpoint": {"type": "unix", "path": router.removeprefix("unix:")}}
    try:
        parse_url(router)
    except ValueError:
        raise ValueError(
            f"the router's address must be ws://HOST:PORT/PATH, wss://HOST:PORT/PATH or unix:PATH, not {router}"
        ) from None
    return transport | {"url": router}


def run(name: str, router: str, extra: dict[str, Any], loglevel: str) -> None:
    """Run a component until a signal ends it; ValueError, with a sentence, for a configuration that can never work."""
    cap_recursion()
    txaio.use_twisted()  # type: ignore[no-untyped-call]
    worker = Worker(name, router, extra)
    # From here on standard error is the log.
    txaio.start_logging(level=loglevel)  # type: ignore[attr-defined]
    Deferred.fromCoroutine(worker.run())
    reactor.run()
