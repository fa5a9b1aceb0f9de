"""Ports for what a test starts: from the moment it asks for one until its process ends nobody else is given the same."""

from __future__ import annotations

import itertools
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Browsers refuse some ports up to 10080.
FIRST = 11_000
# As Linux has it where nobody has changed it.
OUTGOING = (32_768, 60_999)
# Of one process: it begins again when it has used all of them.
BLOCK = 500


def free_port() -> int:
    """A loopback port that nobody listens on.

    Never one of those from which the system takes the near end of an outgoing connection. Between our asking and the listening
    another test's connection could have it; and a client that tries again and again to reach a port where nobody is would at last be
    given that very port as its own, and be connected with itself.
    """
    with _asking:
        for port in itertools.islice(_ports, BLOCK):
            with suppress(OSError), socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
                return port
    raise AssertionError(f"all of {BLOCK} ports are taken")


def _outgoing() -> tuple[int, int]:
    """The first and the last port that outgoing connections are given."""
    try:
        first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except OSError:
        return OUTGOING
    return int(first), int(last)


def _block() -> Iterator[int]:
    """The ports of this process, again and again. Other processes that test have other blocks: who has one holds its first port, of
    UDP, which nobody else uses here."""
    first, last = _outgoing()
    blocks = [*range(FIRST, first - BLOCK, BLOCK), *range(last + 1, 65_536 - BLOCK, BLOCK)]
    begin = os.getpid() % max(1, len(blocks))
    for block in blocks[begin:] + blocks[:begin]:
        held = socket.socket(type=socket.SOCK_DGRAM)
        try:
            held.bind(("127.0.0.1", block))
        except OSError:
            held.close()
        else:
            _held.append(held)
            yield from itertools.cycle(range(block, block + BLOCK))
    raise AssertionError("no block of ports is left")


# For as long as the process lives.
_held: list[socket.socket] = []
_ports = _block()
_asking = threading.Lock()
