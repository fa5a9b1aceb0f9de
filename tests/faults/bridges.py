"""A router and the bridge as a process of its own beside it, both under supervision: what can be killed one by one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.node import Node, without
from tests.support.worker import Supervised, WorkerProcess

READY_WITHIN_S = 120
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Bridge:
    """Ready when it is made. `extra`: more of the bridge's configuration; `http`: with the signed way in, for which `prepare` has to
    make keys. Not `supervised`: the bridge's process is started again by `start` only."""

    def __init__(self, folder: Path, extra: Mapping[str, Any] | None = None, *, http: bool = False, supervised: bool = True) -> None:
        self.node = Node(folder, without("bridge", "demo", "locks"))
        self.keys = self.node.folder / "credentials" / "push"
        self.prepare()
        self.router = Supervised(self._launch)
        self.node.wait_ready()
        self._options = [
            "--pull", self.node.zmq_url, "--acknowledged", self.node.acknowledged_url,
            "--http", self.node.updates_url if http else "off", "--extra", json.dumps(dict(extra or {})),
        ]  # fmt: skip
        self._supervisor = Supervised(self._start) if supervised else None
        self._alone = None if supervised else self._start()
        self.wait_ready(0)

    def prepare(self) -> None:
        """Before the router starts: keys, for those who need some."""

    @property
    def journal(self) -> Path:
        return self.node.folder / "journal.sqlite"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The bridge's, as it is now."""
        found = self._supervisor.process if self._supervisor is not None else self._alone
        assert found is not None
        return found

    def start(self) -> None:
        """Start it again, if it has ended and nobody else does."""
        if self._alone is not None and self._alone.poll() is not None:
            before = self.said("bridge.ready")
            self._alone = self._start()
            self.wait_ready(before)

    def kill(self, what: str) -> None:
        """`bridge` or `router`, by kill -9; its supervisor starts it again at once. Returns when the bridge is ready again."""
        before = self.said("bridge.ready")
        if what == "bridge":
            self.process.kill()
        else:
            self.router.signal_group(signal.SIGKILL)
        self.wait_ready(before)

    def wait_ready(self, before: int) -> None:
        """Until it has been ready more often than `before`."""
        limit = time.monotonic() + READY_WITHIN_S
        while self.said("bridge.ready") <= before:
            if time.monotonic() > limit:
                raise AssertionError(f"the bridge was not ready within {READY_WITHIN_S} s:\n{self.log()[-3000:]}")
            time.sleep(0.05)

    def log(self) -> str:
        """All that the bridge has said, whichever of its processes."""
        path = self.node.folder / "worker.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def said(self, what: str) -> int:
        """How often."""
        return self.log().count(what)

    def rejections(self) -> Counter[str]:
        """By reason, as an operator reads them: the first of a kind has its line, the others are summed up every five seconds."""
        log = self.log()
        found = Counter(re.findall(r"bridge\.rejected reason=(\w+)", log))
        for line in re.findall(r"bridge\.more_of_these (.*)", log):
            found.update({kind: int(count) for kind, count in re.findall(r"(\w+)=(\d+)", line)})
        return found

    def resident(self) -> int:
        """Bytes of memory of the bridge's process."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE_BYTES

    def end(self) -> None:
        if self._supervisor is not None:
            self._supervisor.end(lambda process: process.kill())
        else:
            self.process.kill()
            self.process.wait(20)
        self.router.end(lambda _process: self.node.stop())

    def _start(self) -> subprocess.Popen[bytes]:
        return WorkerProcess(self.node, self.node.folder, *self._options, name="bridge").process

    def _launch(self) -> subprocess.Popen[bytes]:
        self.node.launch()
        assert self.node.process is not None
        return self.node.process
