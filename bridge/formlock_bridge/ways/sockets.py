"""A ZeroMQ socket in Twisted's reactor, and the only file that knows txZMQ.

What txZMQ alone does not do: it reads until nothing is left (a burst of 100,000 messages kept the reactor from everything else for
2.3 s), and it can't stop reading. Here a turn is short, others get theirs in between, and a paused socket leaves what comes in the
senders' queues.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import zmq
from txzmq import ZmqConnection, ZmqFactory

from formlock_bridge.ways.addresses import Address
from formlock_bridge.ways.keys import KeyPair

# Of one turn: whichever comes first. A message has a frame, or a few.
TURN_FRAMES = 100
TURN_S = 0.005
# ZeroMQ drops a sender at the head of a longer frame, before it has any memory for it. Well above what intake accepts, so that what
# is merely too long is counted with its reason.
MAX_FRAME_BYTES = 1_048_576
# Of one connection. What waits on our side is lost when we die, what waits on a sender's side is not.
QUEUE_MESSAGES = 1_000
# A peer that is gone without a word (a cable, a crashed machine) is noticed after 60 + 3 * 10 s. Not by ZeroMQ's own heartbeats,
# which clients before 4.2 take for a fault.
KEEPALIVE_IDLE_S, KEEPALIVE_COUNT, KEEPALIVE_INTERVAL_S = 60, 3, 10
# What the door (zap.py) is asked about.
DOMAIN = b"push"


class CannotBind(Exception):
    """The sentence names the address and says why."""


class Sockets:
    """A ZeroMQ context: its sockets are closed together, and then their ports are free."""

    def __init__(self) -> None:
        self.factory = ZmqFactory()

    def close(self) -> None:
        """Wait until everything is closed: what is still to be sent gets 0.1 s."""
        self.factory.shutdown()


class Socket(ZmqConnection):  # type: ignore[misc] # (txZMQ has no types)
    """A socket that reads in short turns. Subclasses say what kind of socket, and what becomes of a message."""

    socketType: int  # noqa: N815 (txZMQ's name)
    highWaterMark = QUEUE_MESSAGES  # noqa: N815
    # Of a message in more frames than these only the number is kept.
    kept_frames = 1
    # Whether each message has been told whose key it came with.
    keyed = False

    def __init__(
        self,
        sockets: Sockets,
        *,
        turn_frames: int = TURN_FRAMES,
        turn_s: float = TURN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._turn_frames = turn_frames
        self._turn_s = turn_s
        self._clock = clock
        self._turn: Any = None
        self._pauses: set[str] = set()
        self._frames: list[bytes] = []
        self._parts = 0
        super().__init__(sockets.factory)
        self.socket.set(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        self.socket.set(zmq.TCP_KEEPALIVE, 1)
        self.socket.set(zmq.TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S)
        self.socket.set(zmq.TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT)
        self.socket.set(zmq.TCP_KEEPALIVE_INTVL, KEEPALIVE_INTERVAL_S)

    def message(self, frames: list[bytes], parts: int, public_key: str) -> None:
        """The first frames of a message, the number of all, and whose key it came with; must not raise."""
        raise NotImplementedError

    def bind(self, addresses: tuple[Address, ...], keys: KeyPair | None) -> None:
        """CannotBind when one of them is taken, or wants keys that are not there."""
        # Options count for what is bound after them, so one socket has both kinds: first those that take anybody.
        for address in sorted(addresses, key=lambda address: address.keyed):
            if address.keyed and not self.keyed:
                self._demand_keys(address, keys)
            self._open(address.endpoint, self.socket.bind)

    def connect(self, endpoint: str) -> None:
        """As `bind`, for a socket within this process."""
        self._open(endpoint, self.socket.connect)

    def pause(self, why: str = "") -> None:
        """Read nothing more until `resume`, for as many reasons as there are."""
        if not self._pauses and self.factory is not None:
            self._cancel_turn()
            self.factory.reactor.removeReader(self)
        self._pauses.add(why)

    def resume(self, why: str = "") -> None:
        """Go on reading, in the reactor's next turn, unless there is another reason not to."""
        if why not in self._pauses:
            return
        self._pauses.discard(why)
        if not self._pauses and self.factory is not None:
            self.factory.reactor.addReader(self)
            # ZeroMQ's descriptor tells of changes only: what has been waiting would not be told again.
            self._next_turn()

    def close(self) -> None:
        """Stop. The port is free when the context is closed. May be repeated."""
        if self.factory is None:
            return
        self._cancel_turn()
        self.shutdown()

    def shutdown(self) -> None:
        """From the factory as well."""
        self._cancel_turn()
        super().shutdown()

    def send_now(self, frames: list[bytes]) -> bool:
        """Whether there was room, and somebody there."""
        if self.factory is None:
            return False
        try:
            self.socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                raise
            return False
        finally:
            self._look()
        return True

    def doRead(self) -> None:  # noqa: N802
        """From the reactor: something has changed. A turn that is due anyway will see it."""
        if self._turn is None and not self._pauses:
            self._read()

    def _read(self) -> None:
        self._turn = None
        limit = self._clock() + self._turn_s
        for _ in range(self._turn_frames):
            if self._pauses or self.factory is None:
                return
            try:
                # A frame knows itself whether there are more: 0.8 us, where the bytes and a question to the socket are 1.1.
                self._frame(self.socket.recv(zmq.NOBLOCK, copy=False))
            except zmq.Again:
                return
            if self._clock() >= limit:
                break
        self._look()

    def _frame(self, frame: zmq.Frame) -> None:
        if self._parts < self.kept_frames:
            self._frames.append(frame.bytes)
        self._parts += 1
        if not frame.more:
            frames, parts = self._frames, self._parts
            self._frames, self._parts = [], 0
            self.message(frames, parts, _user(frame) if self.keyed else "")

    def _demand_keys(self, address: Address, keys: KeyPair | None) -> None:
        if keys is None:
            raise CannotBind(f"{address}: there are no keys yet: make them with `formlock keys init`")
        self.keyed = True
        self.socket.set(zmq.CURVE_SERVER, 1)
        self.socket.set(zmq.CURVE_SECRETKEY, keys.secret.encode())
        # Without a domain that is enforced, a door that is missing would mean that any key fits.
        self.socket.set(zmq.ZAP_DOMAIN, DOMAIN)
        self.socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def _open(self, endpoint: str, open_: Callable[[str], object]) -> None:
        try:
            open_(endpoint)
        except zmq.ZMQError as error:
            raise CannotBind(f"{endpoint}: {error.strerror}") from None
        self._look()

    def _look(self) -> None:
        """What a call to ZeroMQ has noticed, its descriptor does not tell any more: so read soon."""
        if self._turn is None and not self._pauses and self.factory is not None:
            self._next_turn()

    def _next_turn(self) -> None:
        self._turn = self.factory.reactor.callLater(0, self._read)

    def _cancel_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None


def _user(frame: zmq.Frame) -> str:
    """What the door said who this is; nothing for what came by an address without keys."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""
