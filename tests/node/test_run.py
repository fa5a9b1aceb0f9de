"""`make run`'s own program with a real node: a screen of lines that ends with what to open, and an end of one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tools.run import ENDED

from tests.support.node import ROOT, START_WITHIN_S, STOP_WITHIN_S, Node
from tests.support.processes import kill_group

pytestmark = pytest.mark.node

IN_TERMINAL = "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"


@contextmanager
def started(node: Node, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Nothing of it is left after a test, however that ends."""
    command = [sys.executable, str(ROOT / "tools/run.py"), *arguments]
    with subprocess.Popen(
        command, cwd=node.folder.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            kill_group(process)


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
        process.send_signal(signal.SIGTERM)  # an echo
        said, _ = process.communicate(timeout=STOP_WITHIN_S)
        assert process.returncode == 0
        # The bridge may still say how much it has published.
        assert [line for line in said.splitlines() if "bridge.ended" not in line] == [ENDED]


def test_ctrl_c_in_a_terminal(tmp_path: Path) -> None:
    """The key reaches all that runs in the terminal, and the node once; what is seen after it is one line."""
    node = Node(tmp_path)
    screen, inside = os.openpty()
    command = [sys.executable, "-c", IN_TERMINAL, str(inside), sys.executable, str(ROOT / "tools/run.py")]
    with subprocess.Popen(command, cwd=node.folder.parent, pass_fds=[inside]) as process:
        os.close(inside)
        read_until(screen, "Ctrl+C ends it.")
        os.write(screen, b"\x03")
        # The terminal itself shows the key.
        shown = read_until(screen, ENDED).replace("^C", "").splitlines()
        assert [line for line in shown if line.strip() and "bridge.ended" not in line] == [ENDED]
        assert process.wait(STOP_WITHIN_S) == 0
    os.close(screen)


def read_until(screen: int, text: str) -> str:
    """What a terminal shows, up to the text and what comes with it."""
    seen = ""
    while text not in seen:
        seen += os.read(screen, 65536).decode()
    return seen


def test_a_node_that_can_not_start(tmp_path: Path) -> None:
    """Then the last lines are those that say why."""
    node = Node(tmp_path, lambda config: config["workers"][0].update(type="rooter"))
    with started(node) as process:
        said, _ = process.communicate(timeout=START_WITHIN_S)
    assert process.returncode != 0
    assert "rooter" in said
    assert "  http://" not in said
