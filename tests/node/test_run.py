"""`make run`'s own program with a real node: a screen of lines that ends with what to open, and the node's own end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.node import ROOT, START_WITHIN_S, STOP_WITHIN_S, Node

pytestmark = pytest.mark.node


def started(node: Node, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "tools/run.py"), *arguments]
    return subprocess.Popen(
        command, cwd=node.folder.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def test_the_last_lines_say_what_to_open(tmp_path: Path) -> None:
    """A newcomer sees at the end which pages there are, on one screen; Ctrl+C ends the node, and that is no failure."""
    node = Node(tmp_path)
    with started(node) as process:
        assert process.stdout is not None
        shown: list[str] = []
        while not shown or "Ctrl+C" not in shown[-1]:
            shown.append(process.stdout.readline())
            assert shown[-1], f"ended too early: {shown}"
        assert f"  {node.url}demo " in "".join(shown[-5:])
        assert f"  {node.url} " in "".join(shown[-5:])
        assert len(shown) < 24, "".join(shown)
        text = "".join(shown)
        assert "auth.development" in text
        assert "closed" not in text
        # As a terminal does it: to all that run there.
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=STOP_WITHIN_S)
        assert process.returncode == 0


def test_a_node_that_can_not_start(tmp_path: Path) -> None:
    """Then the last lines are those that say why."""
    node = Node(tmp_path, lambda config: config["workers"][0].update(type="rooter"))
    with started(node) as process:
        said, _ = process.communicate(timeout=START_WITHIN_S)
    assert process.returncode != 0
    assert "rooter" in said
    assert "  http://" not in said
