"""What it costs the bridge to take a message in (pull, validate, decode), beside a bare pyzmq loop that pulls and calls json.loads.

Counted is the processor time of the thread that receives, in a process of its own, since a reactor runs once in a process. Ours is
the bridge's own socket in Twisted's reactor, with whatever the reactor does in between.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from typing import Any, cast

import zmq
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from bench.table import Line
from formlock.uris import Uris
from formlock_bridge.intake import Rejected, read
from formlock_bridge.ways.pull import Pull
from formlock_bridge.ways.sockets import Sockets
from formlock_push import Update

ROUNDS, QUICK_ROUNDS = 7, 1
COUNT = 20_000
WITHIN_S = 60
LOOPBACK = "tcp://127.0.0.1:*"

URIS = Uris()
MESSAGES = {
    "one field": Update(form="com.example.form.invoice.42", change_set={"total": ["120.00", "140.00"]}, id="7f3a", source="billing"),
    "twenty fields": Update(
        form="com.example.form.invoice.42",
        change_set={f"field_{number}": [f"old {number}", number] for number in range(20)},
        id="7f3a",
        source="billing",
        version=7,
        origin="tab-1",
        actor={"user": "ann", "name": "Ann Weber"},
    ),
}

_reactor = cast("Any", installed)


def measure(rounds: int) -> list[Line]:
    """Each message by both in turn, in each round. `ratios`: our rate to the bare one."""
    command = [sys.executable, "-m", "bench.intake", str(rounds)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [Line(**line) for line in json.loads(done.stdout)]


def bare(message: bytes) -> float:
    """Microseconds of processor time for one message: from the socket to the value."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    pull = context.socket(zmq.PULL)
    pull.setsockopt(zmq.RCVHWM, COUNT)
    pull.bind(LOOPBACK)
    # All there before we begin: a loop that never waits is as fast as one can be.
    push(address_of(pull), message).join()
    started = time.thread_time()
    for _ in range(COUNT):
        json.loads(pull.recv())
    spent = time.thread_time() - started
    pull.close()
    context.term()
    return spent * 1e6 / COUNT


async def ours(message: bytes) -> float:
    """As `bare`, by the bridge's socket and intake."""
    left = COUNT
    started = 0.0
    spent: Deferred[float] = Deferred()

    def received(frame: bytes, parts: int, _key: str) -> None:
        nonlocal left
        if isinstance(read(URIS, frame, parts), Rejected):
            spent.errback(Failure(ValueError(frame)))
        left -= 1
        if not left:
            # Not at once: whoever waits for it closes the socket that we are read from.
            _reactor.callLater(0, spent.callback, time.thread_time() - started)

    sockets = Sockets()
    pull = Pull(sockets, received)
    pull.socket.bind(LOOPBACK)
    started = time.thread_time()
    pusher = push(address_of(pull.socket), message)
    try:
        each = await spent.addTimeout(WITHIN_S, _reactor) * 1e6 / COUNT
        pusher.join()
        return each
    finally:
        sockets.close()


def push(address: str, message: bytes) -> threading.Thread:
    """Send it COUNT times."""

    def work() -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        connection = context.socket(zmq.PUSH)
        connection.connect(address)
        for _ in range(COUNT):
            connection.send(message)
        connection.close(-1)
        context.term()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def address_of(socket: zmq.Socket[bytes]) -> str:
    return socket.getsockopt_string(zmq.LAST_ENDPOINT)


async def lines(rounds: int) -> list[Line]:
    made = []
    for name, update in MESSAGES.items():
        message = update.encode()
        figures = [(await ours(message), bare(message)) for _ in range(rounds)]
        each = {
            "measured": statistics.median(figure for figure, _ in figures),
            "bare": statistics.median(figure for _, figure in figures),
        }
        made.append(Line("intake", f"{name}, {len(message)} bytes", each, [fast / slow for slow, fast in figures]))
    return made


def main(rounds: int) -> int:
    """Print the lines as JSON. Returns the exit code."""
    ended: list[int] = []

    async def work() -> None:
        try:
            print(json.dumps([asdict(line) for line in await lines(rounds)]))
            ended.append(0)
        except Exception:  # noqa: BLE001 (a Deferred would keep it to itself)
            Failure().printTraceback()
        finally:
            _reactor.stop()

    _reactor.callWhenRunning(lambda: ensureDeferred(work()))
    _reactor.run()
    return ended[0] if ended else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
