"""What it costs to take a message in (pull, validate, decode), beside a bare pyzmq loop that only pulls and calls json.loads."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable

import zmq

from bench.table import Line
from formlock.uris import Uris
from formlock_bridge.intake import Rejected, read
from formlock_push import Update

ROUNDS, QUICK_ROUNDS = 7, 1
COUNT = 20_000

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


def plain(frame: bytes) -> None:
    json.loads(frame)


def ours(frame: bytes) -> None:
    if isinstance(read(URIS, frame), Rejected):
        raise AssertionError(frame)


URIS = Uris()


def microseconds(message: bytes, take: Callable[[bytes], None]) -> float:
    """Processor time of the receiving thread for one message: from the socket to the value."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    pull = context.socket(zmq.PULL)
    pull.setsockopt(zmq.RCVHWM, COUNT)
    port = pull.bind_to_random_port("tcp://127.0.0.1")

    def push() -> None:
        connection = context.socket(zmq.PUSH)
        connection.connect(f"tcp://127.0.0.1:{port}")
        for _ in range(COUNT):
            connection.send(message)
        connection.close(-1)

    pusher = threading.Thread(target=push)
    pusher.start()
    pusher.join()
    started = time.thread_time()
    for _ in range(COUNT):
        take(pull.recv())
    spent = time.thread_time() - started
    pull.close()
    context.term()
    return spent * 1e6 / COUNT


def measure(rounds: int) -> list[Line]:
    """Both in turn, in each round."""
    lines = []
    for name, update in MESSAGES.items():
        message = update.encode()
        figures = [(microseconds(message, ours), microseconds(message, plain)) for _ in range(rounds)]
        ratios = [bare / taken for taken, bare in figures]
        lines.append(
            Line(
                "intake",
                f"{name}, {len(message)} bytes",
                {
                    "measured": statistics.median(taken for taken, _ in figures),
                    "bare": statistics.median(bare for _, bare in figures),
                },
                ratios,
            )
        )
    return lines
