"""Keeps a command running beside a node: starts it again when it ends, and goes when the node goes.

    keep.py [--after SOCKET] COMMAND...

Crossbar starts a guest worker once. A guest that ends takes nothing of the node along, but it never comes back either; and a node
that is killed leaves its guest behind, on a port that the next one needs.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

LOOK_EVERY_S = 0.2
FIRST_DELAY_S = 0.5
MAX_DELAY_S = 5.0
# A command that has lasted this long did well: the next start follows at once again.
STEADY_AFTER_S = 10.0
# What must answer first is given this long, then the command starts all the same.
AFTER_AT_MOST_S = 30.0
STOP_WITHIN_S = 3.0


class Told(BaseException):
    """To end, by a signal."""


def keep(command: list[str], after: str | None) -> None:
    """Until a signal says to end, or the parent is gone."""
    parent = os.getppid()
    limit = time.monotonic() + AFTER_AT_MOST_S
    while after and not listening(after) and time.monotonic() < limit and os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    delay = FIRST_DELAY_S
    while os.getppid() == parent:
        started = time.monotonic()
        status = once(command, parent)
        if os.getppid() != parent:
            return
        if time.monotonic() - started > STEADY_AFTER_S:
            delay = FIRST_DELAY_S
        sys.stderr.write(f"keep.again in_s={delay:.1f} status={status} command={command[-1]}\n")
        time.sleep(delay)
        delay = min(delay * 2, MAX_DELAY_S)


def once(command: list[str], parent: int) -> int | None:
    """The command's exit status; None when it did not end by itself."""
    running = subprocess.Popen(command)  # noqa: S603 (it is what we were told to run)
    try:
        while os.getppid() == parent:
            try:
                return running.wait(LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                continue
        return None
    finally:
        end(running)


def end(running: subprocess.Popen[bytes]) -> None:
    """Asked first, then made to."""
    if running.poll() is not None:
        return
    running.terminate()
    try:
        running.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()


def listening(path: str) -> bool:
    """Whether somebody answers at this unix socket; the file alone may be a dead one's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0


def told(number: int, frame: FrameType | None) -> None:
    """The first signal ends it; one that comes while it is ending must not interrupt that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Told(number, frame)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="keep.py", description="Keep a command running as long as the parent process lives.")
    parser.add_argument("--after", help="a unix socket at which somebody must listen first")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
    try:
        keep(given.command, given.after)
    except Told:
        sys.exit(0)
