"""How soon locks are answered again after a kill, with many sessions attached: `python -m tests.faults.recovery --sessions 2000`.

Both ways: the lock worker alone under its supervisor, and the whole node. Every session holds a form; afterwards each must have the
same lock with the same token. The same code is a test (test_recovery.py).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.crowd import Closed, Line, Refused
from tests.support.node import ROOT, Node, without
from tests.support.worker import Supervised, WorkerProcess

ASKED_EVERY_S = 0.02
WITHIN_S = 90


class Crowd:
    """The process of many pages."""

    def __init__(self, url: str, count: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.crowd", url, str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        )  # fmt: skip

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("the crowd has ended")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, command: str) -> dict[str, Any]:
        self.tell(command)
        return self.answer()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds since the kill. `first_s`: a status was answered; `all_s`: every page has renewed (or has its form again)."""

    sessions: int
    first_s: float
    all_s: float
    kept: int
    """Of the sessions: with the same token as before."""
    lines: int
    """Of the sessions: on the same line as before."""


class Scene:
    """A node, its lock worker as a process of its own, both under supervision, and the crowd."""

    def __init__(self, folder: Path, sessions: int) -> None:
        self.sessions = sessions
        self.node = Node(folder, without("bridge", "demo", "locks"))
        self.kept = Supervised(self._launch)
        self.node.wait_ready()
        self.worker = Supervised(lambda: WorkerProcess(self.node, self.node.folder).process)
        self.crowd = Crowd(self.node.ws_url, sessions)

    def _launch(self) -> subprocess.Popen[bytes]:
        self.node.launch()
        assert self.node.process is not None
        return self.node.process

    def settle(self) -> None:
        """Every page holds its form."""
        self.crowd.ask("held")

    def kill_worker(self) -> Recovery:
        """The lock worker only."""
        killed = time.monotonic()
        self.worker.process.kill()
        first_s = _in_a_loop_of_its_own(_answered(self.node.ws_url, killed))
        asked = time.monotonic()
        renewed = self.crowd.ask("renew")
        open_lines = self.crowd.ask("lines")["open"]
        return Recovery(self.sessions, first_s, asked - killed + renewed["last_s"], renewed["renewed"], open_lines)

    def kill_node(self) -> Recovery:
        """Everything but the lock worker, which has lost its router; and that one too, as a power cut would."""
        killed = time.monotonic()
        self.kept.signal_group(signal.SIGKILL)
        self.worker.process.kill()
        first_s = _in_a_loop_of_its_own(_answered(self.node.ws_url, killed))
        held = self.crowd.ask("held")
        return Recovery(self.sessions, first_s, time.monotonic() - killed, held["kept"], 0)

    def end(self) -> None:
        self.crowd.end()
        self.worker.end(lambda process: process.kill())
        self.kept.end(lambda _process: self.node.stop())


def _in_a_loop_of_its_own(work: Coroutine[Any, Any, float]) -> float:
    """On another thread: in a whole run of the tests Playwright's loop is on this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _answered(url: str, since: float) -> float:
    """Seconds until somebody who asks again and again is answered: a caller that is connected already, if it can be."""
    line: Line | None = None
    while time.monotonic() - since < WITHIN_S:
        try:
            line = line or await _joined(url)
            await line.call("status", form="com.example.form.crowd.0")
        except Refused:
            await asyncio.sleep(ASKED_EVERY_S)
        except (Closed, OSError, TimeoutError):
            line = None
            await asyncio.sleep(ASKED_EVERY_S)
        else:
            line.transport.abort()
            return time.monotonic() - since
    raise AssertionError(f"not answered within {WITHIN_S} s")


async def _joined(url: str) -> Line:
    host, _, path = url.removeprefix("ws://").partition("/")
    name, _, port = host.partition(":")
    _, line = await asyncio.get_running_loop().create_connection(lambda: Line(host, f"/{path}"), name, int(port))
    await line.join("asker")
    return line


def main() -> None:
    parser = argparse.ArgumentParser(prog="recovery", description="Time to answer again after a kill.")
    parser.add_argument("--sessions", type=int, default=2_000)
    parser.add_argument("--times", type=int, default=3, help="kills of each kind")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder), given.sessions)
        try:
            scene.settle()
            for _ in range(given.times):
                print("worker", scene.kill_worker())  # noqa: T201
            for _ in range(given.times):
                print("node  ", scene.kill_node())  # noqa: T201
            print((scene.node.folder / "worker.log").read_text()[-300:])  # noqa: T201
        finally:
            scene.end()


if __name__ == "__main__":
    main()
