"""The PULL socket in Twisted's reactor, and the only file that knows txZMQ.

What txZMQ alone does not do: it reads until nothing is left (a burst of 100,000 messages kept the reactor from everything else for
2.3 s), and it can't stop reading. Here a turn is short, others get theirs in between, and a paused socket leaves what comes in the
senders' queues.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import zmq
from txzmq import ZmqConnection, ZmqEndpoint, ZmqEndpointType, ZmqFactory

# Of one turn: whichever comes first.
TURN_MESSAGES = 100
TURN_S = 0.005
# ZeroMQ drops a sender at the head of a longer frame, before it has any memory for it. Well above what intake accepts, so that what
# is merely too long is counted with its reason.
MAX_FRAME_BYTES = 1_048_576
# What waits on our side is lost when we die, what waits on a sender's side is not.
QUEUE_MESSAGES = 1_000

# The first frame of a message, and how many it had.
Received = Callable[[bytes, int], None]


class CannotBind(Exception):
    """The sentence names the address and says why."""


class Pull(ZmqConnection):  # type: ignore[misc] # (txZMQ has no types)
    """A bound PULL socket. `received` is called once for each message and must not raise."""

    socketType = zmq.PULL  # noqa: N815 (txZMQ's name)
    highWaterMark = QUEUE_MESSAGES  # noqa: N815

    def __init__(
        self,
        address: str,
        received: Received,
        *,
        turn_messages: int = TURN_MESSAGES,
        turn_s: float = TURN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._received = received
        self._turn_messages = turn_messages
        self._turn_s = turn_s
        self._clock = clock
        self._turn: Any = None
        self._paused = False
        self._first: bytes | None = None
        self._parts = 0
        # A factory is a ZeroMQ context. Our own, so that closing can wait until the port is free.
        self._own_factory = ZmqFactory()
        super().__init__(self._own_factory)
        self.socket.set(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        try:
            self.addEndpoints([ZmqEndpoint(ZmqEndpointType.bind, address)])
        except zmq.ZMQError as error:
            self.close()
            raise CannotBind(f"{address}: {error.strerror}") from None

    def pause(self) -> None:
        """Read nothing more until `resume`."""
        if not self._paused and self.factory is not None:
            self._paused = True
            self._cancel_turn()
            self.factory.reactor.removeReader(self)

    def resume(self) -> None:
        """Go on reading, in the reactor's next turn."""
        if self._paused and self.factory is not None:
            self._paused = False
            self.factory.reactor.addReader(self)
            # ZeroMQ's descriptor tells of changes only: what has been waiting would not be told again.
            self._next_turn()

    def close(self) -> None:
        """Stop, and wait until the port is free. May be repeated."""
        if self.factory is None:
            return
        self._cancel_turn()
        self.shutdown()
        self._own_factory.shutdown()

    def doRead(self) -> None:  # noqa: N802
        """From the reactor: something has changed. A turn that is due anyway will see it."""
        if self._turn is None and not self._paused:
            self._read()

    def _read(self) -> None:
        self._turn = None
        limit = self._clock() + self._turn_s
        for _ in range(self._turn_messages):
            if self._paused or self.factory is None:
                return
            try:
                frame = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._frame(frame, more=bool(self.socket.get(zmq.RCVMORE)))
            if self._clock() >= limit:
                break
        if not self._paused and self.factory is not None:
            self._next_turn()

    def _frame(self, frame: bytes, more: bool) -> None:
        """Of a message in parts only the first is kept: it will be refused, however many there are."""
        if self._first is None:
            self._first = frame
        self._parts += 1
        if not more:
            first, parts = self._first, self._parts
            self._first, self._parts = None, 0
            self._received(first, parts)

    def _next_turn(self) -> None:
        self._turn = self.factory.reactor.callLater(0, self._read)

    def _cancel_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
