"""The demo beside the node: it may end at any time without taking the node along, and comes back by itself."""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.node import START_WITHIN_S, Node
from tests.support.processes import wait_gone

# Each test starts nodes of its own.
pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

# An interpreter that imports a web application, beside whatever else the machine does.
WITHIN_S = START_WITHIN_S


def status(node: Node, path: str = "invoices/health") -> int:
    request = urllib.request.Request(node.url + path, headers={"Accept": "text/html"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def until(true: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < limit, f"not within {WITHIN_S} s: {what}"
        time.sleep(0.05)


def processes(node: Node) -> dict[str, int]:
    """The demo's processes of this node, by their last argument but one: its keeper, and the application."""
    found: dict[str, int] = {}
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            place = (entry / "cwd").readlink()
        except OSError:
            continue
        if entry.name.isdigit() and b"invoices" in words and place == node.folder.parent.resolve():
            found["keeper" if any(word.endswith(b"keep.py") for word in words) else "application"] = int(entry.name)
    return found


def test_a_demo_that_ends_comes_back(node: Node) -> None:
    """Killed, it is away for a moment, the node says so, answers everything else, and has it back."""
    until(lambda: status(node) == 200, "the demo answers")
    first = processes(node)["application"]
    os.kill(first, signal.SIGKILL)
    until(lambda: processes(node).get("application") != first, "the application is gone")
    assert status(node, "readyz") == 200
    assert status(node, "invoices/ann/") in (200, 502, 503)
    until(lambda: status(node) == 200, "the demo is back")
    assert status(node, "invoices/ann/42") == 200, "with its database"


def test_nothing_of_the_demo_is_left_behind(tmp_path: Path) -> None:
    """Whatever is killed by `kill -9`, keeper or controller, nobody stays on the port unattended, and the next start has both again;
    a node that is told to stop takes them along."""
    node = Node(tmp_path).start()
    try:
        until(lambda: status(node) == 200, "the demo answers")
        first = processes(node)
        assert first.keys() == {"keeper", "application"}
        os.kill(first["keeper"], signal.SIGKILL)
        until(lambda: processes(node) == {}, "the application went with its keeper")
        until(lambda: status(node) == 503, "the node says so")
        assert status(node, "readyz") == 200, "and goes on"
        node.stop()

        node.start()
        until(lambda: status(node) == 200, "the demo answers again")
        assert node.process is not None
        node.process.kill()
        node.process.wait(WITHIN_S)
        until(lambda: processes(node) == {}, "both went with the controller")
        # The workers, which have the node's ports, end when they notice that it is gone.
        wait_gone(node.process.pid)

        node.start()
        until(lambda: status(node) == 200, "the demo answers at once")
        node.stop()
        until(lambda: processes(node) == {}, "both were told to stop")
    finally:
        node.stop()
