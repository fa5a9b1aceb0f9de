"""One connection to the bridge's acknowledged way in, as the reliable pusher and the relay both make it, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

import zmq
from zmq.utils.monitor import parse_monitor_message

from formlock_push.keys import Keys

# ZeroMQ tries again after the first, and then after twice as long each time, up to the second.
RECONNECT_MS = 100
RECONNECT_MAX_MS = 1_000
# A machine that vanished without a word is noticed, and the connection made anew.
HEARTBEAT_MS = 5_000
HEARTBEAT_LIMIT_MS = 15_000


class News(Enum):
    """What has happened to the connection."""

    UP = "up"
    DOWN = "down"  # ZeroMQ tries again
    DOUBTFUL = "doubtful"  # ended before it stood; with keys, they may not be right
    ENDED = "ended"  # refused by its keys: ZeroMQ never tries again, only a new socket does


_NEWS = {
    zmq.Event.HANDSHAKE_SUCCEEDED: News.UP,
    zmq.Event.DISCONNECTED: News.DOWN,
    zmq.Event.CONNECT_RETRIED: News.DOWN,
    # A bridge that dies in mid-handshake looks the same as one that does not know our key.
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL: News.DOUBTFUL,
    zmq.Event.HANDSHAKE_FAILED_AUTH: News.ENDED,
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL: News.ENDED,
}


class Dealer:
    """For one thread. Messages are sent only over a connection that stands (IMMEDIATE): what ZeroMQ would queue for a bridge that is
    away, it would deliver minutes later, behind newer ones."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, keys: Keys | None) -> None:
        """Connects in the background. Raises zmq.ZMQError for an address that is none."""
        self.socket = context.socket(zmq.DEALER)
        self.monitor: zmq.Socket[bytes] | None = None
        try:
            self.socket.setsockopt(zmq.LINGER, 0)
            self.socket.setsockopt(zmq.IMMEDIATE, 1)
            self.socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
            self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
            self.socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
            self.socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_LIMIT_MS)
            if keys is not None:
                keys.apply(self.socket)
            self.monitor = self.socket.get_monitor_socket()
            self.socket.connect(address)
        except BaseException:
            self.close()
            raise

    def news(self) -> Iterator[News]:
        """What has happened since the last time, in its order."""
        while self.monitor is not None and self.monitor.poll(0):
            news = _NEWS.get(zmq.Event(parse_monitor_message(self.monitor.recv_multipart())["event"]))
            if news is not None:
                yield news

    def close(self) -> None:
        """At once."""
        if self.monitor is not None:
            self.socket.disable_monitor()
            # Else it keeps the context from ending.
            self.monitor.close(0)
            self.monitor = None
        self.socket.close(0)
