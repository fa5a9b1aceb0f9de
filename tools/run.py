"""Starts the node in this terminal, as `make run` does: shows what the node itself says, what to open, and that it has ended.

    run.py [all]
    run.py quiet|all OPTIONS      as the router's container does: with options of `crossbar start`, and without what to open

Crossbar tells every step of its own start and every connection: hundreds of lines before anything is ready, and two for each page.
It has one level for its lines and for ours, so its own options can't tell them apart. `all` shows everything. Warnings and errors go
another way (the standard error), which is shown as it is, but for those that Crossbar always has when it is told to end.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Thread
from typing import TextIO

CROSSBAR = Path(sys.executable).with_name("crossbar")
# A line of the log begins so; one that does not goes on with the one before it.
HEAD = re.compile(r"\S+ \[(?P<process>\w+) +\d+\] (?P<text>.*)")
# A component of ours says what it did first: `lock.granted form=...`.
OURS = re.compile(r"[a-z_]+\.[a-z_]+( |$)")
READY = re.compile(r"formlock\.ready url=(\S+)")
# Crossbar's answer to being told. In the middle of a line of its log it may miss that, and then it has to be told again.
HEARD = re.compile(r"Controller received SIGINT")
AGAIN_S = 2.0
# What Crossbar warns of at every end that was asked for, though nothing is wrong.
USUAL_AT_THE_END = re.compile(
    r"Controller received SIGINT"
    r"|Native worker received SIGTERM"
    r"|session closed with reason wamp\.close\.transport_lost"
    r"|Lost connection to component '[\w-]+' uncleanly"
    r"|cannot detach session \"\d+\": session not currently attached"
)
LAST_LINES = 40
# Who asks again after that does not want to wait; before it is an echo, of what signals a process and its group.
PATIENCE_S = 1.0
TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

BEGIN = "Starting, which takes ten to twenty seconds. `make run LOG=all` shows everything that Crossbar says meanwhile."
OPEN = """
  {url}demo   two people side by side, in a small application with a database
  {url}       a bare page, to be opened in two windows

  Ctrl+C ends it.
"""
NOT_READY = "The node ended before it was ready. Its last lines:"
NOT_WELL = "The node did not end well. Its last lines:"
ENDED = "The node has ended. What it knows is kept for its next start."


class Screen:
    """What of the log is shown. Pure."""

    def __init__(self, *, opens: bool = True) -> None:
        """`opens`: whether it is said what to open."""
        self.ready = False
        self.told = False
        self.heard = False
        self.hidden: deque[str] = deque(maxlen=LAST_LINES)
        self._opens = opens
        self._shows = False
        self._warns = True

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
            if self._opens:
                yield OPEN.format(url=ready[1])

    def warnings(self, line: str) -> Iterator[str]:
        """What one line of the standard error adds: all but what is usual once the node was told to end. What was interrupted in
        the middle of its start has only that to tell."""
        head = HEAD.fullmatch(line)
        if self.told and not self.ready:
            self._warns = False
        elif head is not None:
            self.heard = self.heard or HEARD.match(head["text"]) is not None
            self._warns = not (self.told and USUAL_AT_THE_END.match(head["text"]))
        if self._warns and line:  # each of Crossbar's processes begins with an empty one
            yield line
        elif line:
            self.hidden.append(line)

    def last(self, status: int) -> Iterator[str]:
        """What is said when the node has ended with that status."""
        if status == 0 if self.ready else self.told:
            yield ENDED
        else:
            yield NOT_WELL if self.ready else NOT_READY
            yield from self.hidden


def run(command: list[str], screen: Screen) -> int:
    """Runs the node until it ends. Its exit status, as a shell says it."""
    # Else lines would come a block at a time.
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    node = subprocess.Popen(  # noqa: S603 (it is what we were told to run)
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, encoding="utf-8", errors="replace", process_group=0 if in_terminal() else None,
    )  # fmt: skip

    first = 0.0

    def told(_: int, __: object) -> None:
        nonlocal first
        if not screen.told:
            screen.told, first = True, time.monotonic()
            # Any other signal is a failure to Crossbar.
            node.send_signal(signal.SIGINT)
        elif time.monotonic() - first > PATIENCE_S:
            node.kill()

    for number in TO_END:
        signal.signal(number, told)
    ways = ((node.stdout, screen.lines, sys.stdout), (node.stderr, screen.warnings, sys.stderr))
    readers = [Thread(target=show, args=way) for way in ways]
    for reader in readers:
        reader.start()
    # Until nobody writes any more.
    while any(reader.is_alive() for reader in readers):
        for reader in readers:
            reader.join(AGAIN_S / len(readers))
        if screen.told and screen.ready and not screen.heard and time.monotonic() - first > AGAIN_S:
            node.send_signal(signal.SIGINT)
    status = node.wait()
    say(screen.last(status), sys.stdout)
    return status if status >= 0 else 128 - status


def show(log: TextIO, lines: Callable[[str], Iterable[str]], where: TextIO) -> None:
    """Until the log ends."""
    for line in log:
        say(lines(line.rstrip("\n")), where)


def say(lines: Iterable[str], where: TextIO) -> None:
    """At once."""
    where.writelines(f"{line}\n" for line in lines)
    where.flush()


def in_terminal() -> bool:
    """Whether Ctrl+C reaches us from a terminal, and with us all that is in our group: the node would get it twice."""
    try:
        with open("/dev/tty", "rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


def main(arguments: list[str]) -> int:
    """The exit status is the node's."""
    log, options = (arguments[0] if arguments else ""), arguments[1:]
    command = [str(CROSSBAR), "start", *options]
    if log == "all":
        os.execv(command[0], command)  # noqa: S606 (there is no shell in it)
    if not options:
        say([BEGIN], sys.stdout)
    return run(command, Screen(opens=not options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
