"""Starts a Flask program of our documents by the very command that its page says."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.node import ROOT, free_port

START_WITHIN_S = 60


@contextmanager
def started(shown: str, folder: Path) -> Iterator[str]:
    """The address of the program in `folder`, on a port of its own. `shown`: the command, as for the folder of this repository."""
    command = shlex.split(shown)
    assert command[:2] == ["PYTHONPATH=bridge", ".venv/bin/flask"]
    port = free_port()
    with (
        (folder / "flask.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "flask", *command[2:], "--port", str(port)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT / "bridge")},
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            limit = time.monotonic() + START_WITHIN_S
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > limit:
                    pytest.fail((folder / "flask.log").read_text())
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.send_signal(signal.SIGINT)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
