"""The article's way in: a PULL socket. Nobody hears what became of a message (docs/reference/updates.md says what can be lost)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zmq

from formlock_bridge.ways.sockets import Socket, Sockets

# The first frame of a message, how many it had, and whose public key it came with.
Pulled = Callable[[bytes, int, str], None]


class Pull(Socket):
    """`pulled` is called once for each message and must not raise."""

    socketType = zmq.PULL  # noqa: N815 (txZMQ's name)

    def __init__(self, sockets: Sockets, pulled: Pulled, **options: Any) -> None:
        super().__init__(sockets, **options)
        self._pulled = pulled

    def message(self, frames: list[bytes], parts: int, public_key: str) -> None:
        """Of a message in parts only the first is kept: it will be refused, however many there are."""
        self._pulled(frames[0], parts, public_key)
