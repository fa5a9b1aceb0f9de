"""Starts the node in this terminal, as `make run` does: shows what the node itself says, and at last what to open.

    run.py [all]

Crossbar tells every step of its own start and every connection: hundreds of lines before anything is ready, and two for each page.
It has one level for its lines and for ours, so its own options can't tell them apart. `all` shows everything. Warnings and errors go
another way (the standard error), which is left as it is.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path

CROSSBAR = Path(sys.executable).with_name("crossbar")
# A line of the log begins so; one that does not goes on with the one before it.
HEAD = re.compile(r"\S+ \[(?P<process>\w+) +\d+\] (?P<text>.*)")
# A component of ours says what it did first: `lock.granted form=...`.
OURS = re.compile(r"[a-z_]+\.[a-z_]+( |$)")
READY = re.compile(r"formlock\.ready url=(\S+)")
LAST_LINES = 40

BEGIN = "Starting, which takes ten to twenty seconds. `make run LOG=all` shows everything that Crossbar says meanwhile."
OPEN = """
  {url}demo   two people side by side, in a small application with a database
  {url}       a bare page, to be opened in two windows

  Ctrl+C ends it.
"""
ENDED = "The node ended before it was ready. Its last lines:"


class Screen:
    """What of the log is shown. Pure."""

    def __init__(self) -> None:
        self.ready = False
        self.hidden: deque[str] = deque(maxlen=LAST_LINES)
        self._shows = False

    def lines(self, line: str) -> Iterator[str]:
        """What one line of the log adds, without line feeds."""
        head = HEAD.fullmatch(line)
        if head is not None:
            self._shows = head["process"] == "Guest" or OURS.match(head["text"]) is not None
        if not self._shows:
            self.hidden.append(line)
            return
        yield line
        ready = READY.match(head["text"]) if head is not None else None
        if ready is not None:
            self.ready = True
            yield OPEN.format(url=ready[1])


def show(log: int) -> None:
    """Until nobody writes any more."""
    # Ctrl+C is for the node; what it still says is shown.
    told: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: told.append(number))
    screen = Screen()
    say(BEGIN)
    with open(log, encoding="utf-8", errors="replace", newline="\n") as lines:
        for line in lines:
            for shown in screen.lines(line.rstrip("\n")):
                say(shown)
    if not screen.ready and not told:
        say(ENDED, *screen.hidden)


def say(*lines: str) -> None:
    """At once."""
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def main(arguments: list[str]) -> None:
    """This process becomes the node, so that signals and the exit status are its own; a child of it reads what it says."""
    command = [str(CROSSBAR), "start"]
    if arguments != ["all"]:
        # Else lines would come a block at a time.
        os.environ["PYTHONUNBUFFERED"] = "1"
        log, end = os.pipe()
        if os.fork() == 0:
            os.close(end)
            show(log)
            return
        os.dup2(end, sys.stdout.fileno())
        os.close(log)
        os.close(end)
    os.execv(command[0], command)  # noqa: S606 (there is no shell in it)


if __name__ == "__main__":
    main(sys.argv[1:])
