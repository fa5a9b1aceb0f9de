"""Runs one component as a process of its own: joins the router, and joins again for ever, with back-off, when it is away.

    python -m formlock.worker locks  --router ws://127.0.0.1:8080/ws --folder DIR [--extra JSON]

The same classes as in the node's containers. Exit codes: 2 wrong use or configuration; otherwise it ends only when it is told to.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import txaio
from autobahn.twisted.component import Component
from autobahn.wamp.types import ComponentConfig
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
        self._router = router
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
            transports=[_transport(self._router)],
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
        transport |= {"url": "ws://localhost", "endpoint": {"type": "unix", "path": router.removeprefix("unix:")}}
    else:
        transport["url"] = router
    return transport


def main(arguments: list[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="formlock.worker", description="Run one Form lock component.")
    parser.add_argument("component", choices=sorted(COMPONENTS))
    parser.add_argument("--router", required=True, help="ws://HOST:PORT/PATH or unix:PATH")
    parser.add_argument("--folder", required=True, type=Path, help="holds the component's database and credentials")
    parser.add_argument("--extra", default="{}", help="more configuration of the component, as JSON")
    given = parser.parse_args(arguments)
    try:
        extra = json.loads(given.extra)
    except json.JSONDecodeError as error:
        parser.error(f"--extra is not JSON: {error}")
    if not isinstance(extra, dict):
        parser.error("--extra must be a JSON object")
    cap_recursion()
    txaio.use_twisted()  # type: ignore[no-untyped-call]
    try:
        worker = Worker(given.component, given.router, {**extra, "cbdir": str(given.folder)})
    except ValueError as error:
        parser.error(str(error))
    # From here on standard error is the log.
    txaio.start_logging(level=os.environ.get("FORMLOCK_LOGLEVEL", "info"))  # type: ignore[attr-defined]
    Deferred.fromCoroutine(worker.run())
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
