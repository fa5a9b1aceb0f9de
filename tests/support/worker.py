"""A lock worker as a process of its own, which a test may kill and start again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.support.client import Client, Refused
from tests.support.node import ROOT, Node


class WorkerProcess:
    """`formlock worker locks` beside a node that has none."""

    def __init__(self, node: Node, folder: Path, policy: dict[str, int] | None = None) -> None:
        command = [sys.executable, "-m", "formlock", "worker", "locks", "--router", f"unix:{node.folder / 'router.sock'}"]
        extra = {"store": "sqlite:///locks.sqlite"} | ({"policy": policy} if policy is not None else {})
        self.log = folder / "worker.log"
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'components'}:{ROOT / 'bridge'}"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--folder", str(node.folder), "--extra", json.dumps(extra)],
                stdout=log, stderr=subprocess.STDOUT, env=environment,
            )  # fmt: skip

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)


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
