"""What goes wrong: kill -9, SIGSTOP and SIGCONT of the processes of one node, at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.support.node import Node
from tests.support.worker import Supervised

MIN_PAUSE_S, MAX_PAUSE_S = 0.5, 3.0
# Below and above what a service takes for a pause (2 s and a beat).
PAUSES_S = (0.2, 1.0, 2.5, 3.5, 6.0)

# After a kill it mostly waits until so many calls have been answered: what never works is never wrong.
ANSWERED_BETWEEN = 60
RECOVERS_WITHIN_S = 30
AT_ONCE = 0.2
LONGER_S = 120

LIKELY = {"kill worker": 5, "pause worker": 5, "pause router": 3, "kill router": 1, "kill node": 2}


class Nemesis:
    """`node` and `worker` are under supervision; without `worker` the lock worker is one of the node's own. `answered`: how many
    calls have been so far."""

    def __init__(
        self, node: Node, kept: Supervised, worker: Supervised | None, answered: Callable[[], int], chance: random.Random
    ) -> None:
        self.done: list[tuple[float, str]] = []
        self._node = node
        self._kept = kept
        self._worker = worker
        self._answered = answered
        self._chance = chance

    async def rage(self, until: float, enough: Callable[[], bool]) -> None:
        """Until this monotonic time, and for longer on a machine so slow that it is not enough. Whatever is paused goes on before
        this returns."""
        while True:
            await deferLater(reactor, self._chance.uniform(MIN_PAUSE_S, MAX_PAUSE_S))
            if time.monotonic() > until and (enough() or time.monotonic() > until + LONGER_S):
                return
            (what,) = self._chance.choices(list(LIKELY), list(LIKELY.values()))
            pause_s = self._chance.choice(PAUSES_S)
            self.done.append((time.monotonic(), f"{what}, {pause_s} s" if what.startswith("pause") else what))
            await self._do(what, pause_s)
            if self._chance.random() > AT_ONCE:
                await self._recovered()

    async def _recovered(self) -> None:
        limit, before = time.monotonic() + RECOVERS_WITHIN_S, self._answered()
        while self._answered() < before + ANSWERED_BETWEEN and time.monotonic() < limit:
            await deferLater(reactor, 0.1)

    async def _do(self, what: str, pause_s: float) -> None:
        if what == "kill node":
            self._kept.signal_group(signal.SIGKILL)
        elif what == "kill router":
            self._signal("router", signal.SIGKILL)
        elif what == "kill worker":
            self._signal("locks", signal.SIGKILL)
        else:
            name = "router" if what == "pause router" else "locks"
            signalled = self._signal(name, signal.SIGSTOP)
            await deferLater(reactor, pause_s)
            signalled(signal.SIGCONT)

    def _signal(self, name: str, number: int) -> Callable[[int], None]:
        """To the process of that name, if there is one now; the answer sends more to the very same."""
        if name == "locks" and self._worker is not None:
            pid: int | None = self._worker.process.pid
        else:
            pid = self._node.pids().get(name)

        def send(number: int) -> None:
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

        send(number)
        return send


def launched(node: Node) -> Callable[[], subprocess.Popen[bytes]]:
    """How a supervisor starts this node."""

    def start() -> subprocess.Popen[bytes]:
        node.launch()
        assert node.process is not None
        return node.process

    return start
