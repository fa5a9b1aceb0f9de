"""The relay's connection to the bridge's acknowledged way in: messages out, answers back in the order of the messages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import zmq

DEFAULT_ADDRESS = "tcp://127.0.0.1:5556"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bridge says to one message.

    - `id`: the message's; None when the bridge could not read that far
    - `error`: why it was not taken, one word; None when it is in the journal
    - `retry`: whether the same message may be taken later
    - `duplicate`: it had been taken before
    """

    id: str | None
    error: str | None = None
    retry: bool = False
    duplicate: bool = False


class Line:
    """One DEALER. For one thread; the connection is made with the first message."""

    def __init__(self, address: str = DEFAULT_ADDRESS) -> None:
        self.address = address
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None

    def send(self, message: bytes, *, timeout_s: float) -> bool:
        """False when the bridge was not there, or did not read, within the time."""
        connection = self._socket or self._open()
        if not connection.poll(round(timeout_s * 1000), zmq.POLLOUT):
            return False
        try:
            connection.send(message, zmq.DONTWAIT)
        except zmq.Again:
            return False
        return True

    def answers(self, timeout_s: float) -> list[Answer]:
        """Those that have come, as soon as there are some; none when there are none within the time."""
        connection = self._socket
        if connection is None or not connection.poll(round(timeout_s * 1000), zmq.POLLIN):
            return []
        came: list[Answer] = []
        while True:
            try:
                frames = connection.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return came
            answer = _answer(frames[-1])
            if answer is not None:
                came.append(answer)

    def reset(self) -> None:
        """Forget what was sent: what of it has not been answered never will be on this line. A new connection asks afresh."""
        if self._socket is not None:
            self._socket.close(0)
            self._socket = None

    def close(self) -> None:
        """Let go of everything, at once."""
        self.reset()
        self._context.term()

    def _open(self) -> zmq.Socket[bytes]:
        connection = self._context.socket(zmq.DEALER)
        # Nothing is queued for a bridge that isn't there: its rows are safe where they are.
        connection.setsockopt(zmq.IMMEDIATE, 1)
        connection.setsockopt(zmq.LINGER, 0)
        # A machine that vanished without a word is noticed, and the connection made anew.
        connection.setsockopt(zmq.HEARTBEAT_IVL, 5_000)
        connection.setsockopt(zmq.HEARTBEAT_TIMEOUT, 15_000)
        connection.connect(self.address)
        self._socket = connection
        return connection


def _answer(frame: bytes) -> Answer | None:
    """None for what is no answer: then none has come."""
    try:
        said: Any = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    name, error = said.get("id"), said.get("error")
    if error is None and not isinstance(said.get("seq"), int):
        return None
    return Answer(
        id=name if isinstance(name, str) else None,
        error=None if error is None else str(error),
        retry=said.get("retry") is True,
        duplicate=said.get("duplicate") is True,
    )
