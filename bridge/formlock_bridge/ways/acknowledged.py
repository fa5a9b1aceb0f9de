"""The acknowledged way in: a ROUTER socket. Each message gets one answer; a connection's answers come in the order of its messages.

A client is a DEALER that sends one frame, or a REQ; the answer comes the same way. A peer that does not read its answers, or is
gone, loses them and costs nobody anything: it sends again, and is told that its message was known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import zmq

from formlock_bridge.ways.sender import Answer
from formlock_bridge.ways.sockets import Socket, Sockets

# Messages that are not answered yet, of all connections; full, nothing more is read until half of them are. ZeroMQ reads its
# connections in turn, so one that floods takes no more than its share.
MAX_UNANSWERED = 1_024
# Of one connection: messages that wait for us, and answers that wait for it. A client that reads loses none, since all that can be
# unanswered fits (a batch of the journal answers many at once). A client that does not read takes 0.4 MB, and its kernel's share.
QUEUE_MESSAGES = 200
QUEUE_ANSWERS = 2 * MAX_UNANSWERED

# The connection, the message, how many frames it had, whose public key it came with, and the way back.
Taken = Callable[[bytes, bytes, int, str, Answer], None]

_encode = msgspec.json.Encoder().encode


class Acknowledged(Socket):
    """`taken` is called once for each message; `undelivered(reason)` counts answers that nobody took. Neither may raise."""

    socketType = zmq.ROUTER  # noqa: N815 (txZMQ's name)
    highWaterMark = QUEUE_MESSAGES  # noqa: N815
    # The connection, perhaps an empty one, the message.
    kept_frames = 3

    def __init__(
        self,
        sockets: Sockets,
        taken: Taken,
        undelivered: Callable[[], None],
        *,
        max_unanswered: int = MAX_UNANSWERED,
        **options: Any,
    ) -> None:
        super().__init__(sockets, **options)
        self.socket.set(zmq.SNDHWM, QUEUE_ANSWERS)
        # Say so when an answer can't be delivered, instead of dropping it silently.
        self.socket.set(zmq.ROUTER_MANDATORY, 1)
        self._taken = taken
        self._undelivered = undelivered
        self._max_unanswered = max_unanswered
        self._unanswered = 0
        self._lines: dict[bytes, deque[_Place]] = {}

    def message(self, frames: list[bytes], parts: int, public_key: str) -> None:
        """A REQ puts an empty frame before its message."""
        connection = frames[0]
        empty = parts > 2 and not frames[1]
        place = _Place([connection, b""] if empty else [connection])
        self._lines.setdefault(connection, deque()).append(place)
        self._unanswered += 1
        if self._unanswered >= self._max_unanswered:
            self.pause("unanswered")
        before = len(place.envelope)
        self._taken(connection, frames[before], parts - before, public_key, lambda facts: self._answer(connection, place, facts))

    def _answer(self, connection: bytes, place: _Place, facts: Mapping[str, Any]) -> None:
        if place.answer is not None:
            return
        place.answer = _encode(facts)
        line = self._lines[connection]
        while line and line[0].answer is not None:
            first = line.popleft()
            self._unanswered -= 1
            if not self.send_now([*first.envelope, first.answer or b""]):
                self._undelivered()
        if not line:
            del self._lines[connection]
        if self._unanswered <= self._max_unanswered // 2:
            self.resume("unanswered")


class _Place:
    """A message's place among those of its connection."""

    __slots__ = ("answer", "envelope")

    def __init__(self, envelope: list[bytes]) -> None:
        self.envelope = envelope
        self.answer: bytes | None = None
