"""The door: ZeroMQ asks here whether a CURVE key may come in (ZAP, https://rfc.zeromq.org/spec/27/). And who failed before that.

In the reactor, and not pyzmq's authenticators, which want a thread or asyncio. Who is let in has its public key as User-Id: each
message is told it, and it is looked up each time, so that a key that is taken back, or exchanged, ends with the next message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import zmq
from zmq.utils import z85

from formlock_bridge.ways.sockets import DOMAIN, Socket, Sockets

ENDPOINT = "inproc://zeromq.zap.01"
VERSION = b"1.0"
# The envelope (two frames), version, request, domain, address, identity, mechanism, key.
REQUEST_FRAMES = 9


class Door(Socket):
    """`lets_in(public key)` decides; `refused(kind, facts)` hears of the others. Neither may raise."""

    socketType = zmq.ROUTER  # noqa: N815 (txZMQ's name)
    # Requests come from ZeroMQ's own thread, one for each handshake.
    highWaterMark = 0  # noqa: N815
    kept_frames = REQUEST_FRAMES

    def __init__(
        self, sockets: Sockets, lets_in: Callable[[str], bool], refused: Callable[[str, Mapping[str, object]], None]
    ) -> None:
        super().__init__(sockets)
        self._lets_in = lets_in
        self._refused = refused
        self._open(ENDPOINT, self.socket.bind)

    def message(self, frames: list[bytes], parts: int, public_key: str) -> None:  # noqa: ARG002 (nobody asks with a key)
        """Answer a request. What is not one can't come: ZeroMQ itself asks."""
        if parts != REQUEST_FRAMES or frames[2] != VERSION:
            return
        *envelope, version, request, domain, address, _identity, mechanism, key = frames
        user = z85.encode(key).decode() if mechanism == b"CURVE" and len(key) == 32 else ""
        if user and domain == DOMAIN and self._lets_in(user):
            self.send_now([*envelope, version, request, b"200", b"OK", user.encode(), b""])
            return
        # 400 tells the client, and ends its attempts; 300 would have it try again ten times a second for ever.
        self.send_now([*envelope, version, request, b"400", b"this key is not let in", b"", b""])
        self._refused("unknown_key", {"address": address.decode("ascii", "replace"), "public_key": user})


class Watch(Socket):
    """Counts those who fail before the door: a client with keys for another bridge, one without keys at an address that wants them,
    whoever leaves before it was known what he is, and connections that the system can't take.

    A client without keys sees as soon as we do that the two don't fit, and leaves: mostly it is known by then what it was.

    Not counted, since ZeroMQ tells nobody: a sender that is dropped for a frame longer than MAX_FRAME_BYTES looks like one that
    leaves.
    """

    socketType = zmq.PAIR  # noqa: N815 (txZMQ's name)
    # With a bound, a reactor that is busy would stop ZeroMQ's own thread.
    highWaterMark = 0  # noqa: N815
    kept_frames = 2

    KINDS: ClassVar = {
        int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL): "handshake_failed",
        int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL): "handshake_ended",
        int(zmq.EVENT_ACCEPT_FAILED): "not_accepted",
    }

    # What the first of them says of a client that speaks ZeroMQ, but not CURVE.
    OTHER_MECHANISM = int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)

    # Where nobody needs a key, only those who speak no ZeroMQ fail, and health checks that close at once.
    WITHOUT_KEYS: ClassVar = [int(zmq.EVENT_ACCEPT_FAILED)]

    def __init__(
        self, sockets: Sockets, watched: Socket, name: str, keyed: bool, refused: Callable[[str, Mapping[str, object]], None]
    ) -> None:
        super().__init__(sockets)
        self._watched = watched
        self._name = name
        self._refused = refused
        endpoint = f"inproc://watch-{name}"
        watched.socket.monitor(endpoint, sum(self.KINDS if keyed else self.WITHOUT_KEYS))
        self.connect(endpoint)

    def message(self, frames: list[bytes], parts: int, public_key: str) -> None:  # noqa: ARG002 (nobody comes with a key)
        """An event's number (two bytes) and value (four), and the address."""
        kind = self.KINDS.get(int.from_bytes(frames[0][:2], "little"))
        if kind == "handshake_failed" and int.from_bytes(frames[0][2:6], "little") == self.OTHER_MECHANISM:
            kind = "no_keys"
        if kind is not None:
            self._refused(kind, {"way": self._name})

    def close(self) -> None:
        """Before the watched socket is closed."""
        if self._watched.factory is not None:
            self._watched.socket.monitor(None, 0)
        super().close()
