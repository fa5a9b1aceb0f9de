"""A process that leads a group of its own (`start_new_session`), and what it has started: killed together, and gone together."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

GONE_WITHIN_S = 20


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """`kill -9` of all of them. What they had is free when this returns: that the first one has ended says nothing of the others."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(GONE_WITHIN_S)
    wait_gone(process.pid)


def wait_gone(group: int) -> None:
    """Until nobody of the group lives."""
    limit = time.monotonic() + GONE_WITHIN_S
    while living := members(group):
        assert time.monotonic() < limit, f"still alive after {GONE_WITHIN_S} s: {living}"
        time.sleep(0.01)


def members(group: int) -> set[int]:
    """The living ones; who has ended and was not asked about yet (a zombie) has let go of ports and files."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _parent, its_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except (OSError, ValueError):
                continue
            if state not in "ZX" and int(its_group) == group:
                found.add(int(entry.name))
    return found
