"""`formlock worker` beside a node that has none of its kind: a process of its own, and a supervisor that starts it again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.support.client import Client, Refused
from tests.support.node import ROOT, Node

# An interpreter's start, or a line that has to be noticed as lost, beside whatever else the machine does.
LOGGED_WITHIN_S = 90


class WorkerProcess:
    """One process; `name` says of which component, `options` are more of the command's, `policy` is for all its forms."""

    def __init__(self, node: Node, folder: Path, *options: str, policy: dict[str, int] | None = None, name: str = "locks") -> None:
        if policy is not None:
            options = (*options, "--extra", json.dumps({"policy": policy}))
        command = [sys.executable, "-m", "formlock", "worker", name, "--router", f"unix:{node.folder / 'router.sock'}"]
        self.log = folder / "worker.log"
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'components'}:{ROOT / 'bridge'}"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--folder", str(node.folder), *options],
                stdout=log, stderr=subprocess.STDOUT, env=environment,
            )  # fmt: skip

    def kill(self) -> None:
        """`kill -9`; harmless when it has ended."""
        self.process.kill()
        self.process.wait(20)

    async def logged(self, what: str, times: int = 1) -> None:
        """Until it has said so, so often: it answers a moment before it has written that it is ready."""
        limit = reactor.seconds() + LOGGED_WITHIN_S
        while self.log.read_text().count(what) < times:
            assert reactor.seconds() < limit, self.log.read_text()[-3000:]
            await deferLater(reactor, 0.05)

    def pause(self) -> None:
        """SIGSTOP: it is there, and does nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)


class Supervised:
    """Keeps one process running, as systemd or compose would: started again as soon as it has ended, whatever ended it.

    `start` makes the process and may be called on any thread; `process_of` tells which it is at the moment.
    """

    def __init__(self, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self._start = start
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self.starts = 0
        self.process = self._started()
        self._thread = threading.Thread(target=self._keep, name="supervisor", daemon=True)
        self._thread.start()

    def _started(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        return self._start()

    def _keep(self) -> None:
        while True:
            self.process.wait()
            with self._lock:
                if self._ending.is_set():
                    return
                self.process = self._started()

    def signal_group(self, number: int) -> None:
        """To the process that runs now and all that it has started (it leads its group); none is harmless."""
        with self._lock, suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def end(self, kill: Callable[[subprocess.Popen[bytes]], None]) -> None:
        """No more starts; `kill` ends the last process."""
        with self._lock:
            self._ending.set()
            if self.process.poll() is None:
                kill(self.process)
        self._thread.join(20)


async def answered(client: Client, form: str) -> dict[str, Any]:
    """`status` as a page asks it: again, while the worker behind it is away."""
    limit = reactor.seconds() + 60
    while True:
        try:
            answer: dict[str, Any] = await client.call("status", form)
        except Refused as error:
            if error.name not in ("not_active", "no_such_procedure", "canceled") or reactor.seconds() > limit:
                raise
            # The worker that is starting needs the processor more than we do.
            await deferLater(reactor, 0.05)
        else:
            return answer
