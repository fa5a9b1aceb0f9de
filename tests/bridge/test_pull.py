"""The PULL socket with real ZeroMQ senders: short turns, back pressure, and frames that would hurt."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import zmq
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from formlock_bridge.ways.addresses import Address
from formlock_bridge.ways.pull import Pull
from formlock_bridge.ways.sockets import MAX_FRAME_BYTES, QUEUE_MESSAGES, CannotBind, Sockets
from tests.bridge.turns import WITHIN_S, Turns
from tests.support.node import free_port


class Bench(Turns):
    """A Pull, a sender, what arrived, and between which turns of the reactor."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.messages: list[tuple[bytes, int]] = []
        self.open(**options)
        self.context = zmq.Context()
        self.push = self.sender()

    def open(self, **options: Any) -> None:
        self.sockets = Sockets()
        self.pull = Pull(self.sockets, self._pulled, **options)
        self.pull.bind((Address(self.address, keyed=False),), None)

    def sender(self) -> zmq.Socket[bytes]:
        socket = self.context.socket(zmq.PUSH)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.SNDHWM, 0)
        socket.set(zmq.SNDTIMEO, WITHIN_S * 1000)
        socket.connect(self.address)
        return socket

    def _pulled(self, frame: bytes, parts: int, public_key: str) -> None:
        assert public_key == ""
        self.messages.append((frame, parts))
        self.count()

    def close(self) -> None:
        self.stop()
        self.pull.close()
        self.sockets.close()
        self.context.destroy(0)


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(**getattr(request, "param", {}))
    yield bench
    bench.close()


@ensureDeferred
async def test_order(bench: Bench) -> None:
    """U38: what one backend sends arrives whole and in its order."""
    for n in range(5_000):
        bench.push.send(b"%d" % n)
    await bench.until(lambda: len(bench.messages) == 5_000)
    assert bench.messages == [(b"%d" % n, 1) for n in range(5_000)]


@pytest.mark.parametrize("bench", [{"turn_frames": 10, "turn_s": 3_600.0}], indirect=True)
@ensureDeferred
async def test_flood_by_number(bench: Bench) -> None:
    """U36: in a flood everything else in the process has its turn after so many messages at most."""
    for _ in range(3_000):
        bench.push.send(b"x")
    await bench.until(lambda: len(bench.messages) == 3_000)
    # A turn that found nothing more can be followed by one that the socket itself asks for.
    assert max(bench.per_turn) <= 2 * 10


_seconds = count()


@pytest.mark.parametrize("bench", [{"turn_s": 3.0, "clock": lambda: float(next(_seconds))}], indirect=True)
@ensureDeferred
async def test_flood_by_time(bench: Bench) -> None:
    """U36: messages that take long end the turn before their number does."""
    for _ in range(300):
        bench.push.send(b"x")
    await bench.until(lambda: len(bench.messages) == 300)
    assert max(bench.per_turn) <= 2 * 3


@ensureDeferred
async def test_pause(bench: Bench) -> None:
    """Back pressure: paused, nothing is read and what comes waits with its sender; resumed, nothing is missing."""
    bench.push.send(b"0")
    await bench.until(lambda: len(bench.messages) == 1)
    bench.pull.pause()
    bench.pull.pause()
    for n in range(1, 5_000):
        bench.push.send(b"%d" % n)
    await bench.turns(200)
    assert len(bench.messages) == 1
    bench.pull.resume()
    bench.pull.resume()
    await bench.until(lambda: len(bench.messages) == 5_000)
    assert [int(frame) for frame, _ in bench.messages] == list(range(5_000))


@ensureDeferred
async def test_pause_within_turn(bench: Bench) -> None:
    """Back pressure: pausing from within the reading takes effect with the very next message, again and again."""
    taken: list[int] = []
    pauses = 0

    def one_at_a_time(frame: bytes, parts: int, public_key: str) -> None:
        nonlocal pauses
        taken.append(int(frame))
        if len(taken) % 7 == 0:
            pauses += 1
            bench.pull.pause()
            length = len(taken)

            def later() -> None:
                assert len(taken) == length
                bench.pull.resume()

            reactor.callLater(0, later)

    bench.pull._pulled = one_at_a_time
    for n in range(700):
        bench.push.send(b"%d" % n)
    await bench.until(lambda: len(taken) == 700)
    assert (taken, pauses) == (list(range(700)), 100)


@ensureDeferred
async def test_queue_bound(bench: Bench) -> None:
    """While it does not read, the bridge holds no more than its queue: a sender with a bounded queue is told to wait."""
    bench.pull.pause()
    with bench.context.socket(zmq.PUSH) as push:
        push.set(zmq.LINGER, 0)
        push.set(zmq.SNDHWM, 10)
        # 64 MB in the queue; the kernel's buffers on both sides hold a few more.
        push.connect(bench.address)
        sent = 0
        # That no room comes any more is seen only by waiting; before the queue is full there will be some, however late.
        while sent < QUEUE_MESSAGES + 1_000 and push.poll(200 if sent >= QUEUE_MESSAGES else WITHIN_S * 1000, zmq.POLLOUT):
            push.send(b"x" * 65_536)
            sent += 1
        assert QUEUE_MESSAGES <= sent < QUEUE_MESSAGES + 1_000


@ensureDeferred
async def test_multipart(bench: Bench) -> None:
    """A message in parts is one message, told with its number of parts; the next one is itself again."""
    bench.push.send_multipart([b"a", b"b", b"c"])
    bench.push.send(b"d")
    bench.push.send_multipart([b"", b"e"])
    await bench.until(lambda: len(bench.messages) == 3)
    assert bench.messages == [(b"a", 3), (b"d", 1), (b"", 2)]


@ensureDeferred
async def test_too_long(bench: Bench) -> None:
    """A frame of 50 MB never gets in: its sender is cut off at the head of it, comes back by itself, and others notice nothing."""
    other = bench.sender()
    other.send(b"other")
    bench.push.send(b"x" * MAX_FRAME_BYTES)
    await bench.until(lambda: len(bench.messages) == 2)
    monitor = bench.push.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_CONNECTED)
    try:
        bench.push.send(b"x" * 50_000_000)
        await bench.until(lambda: bool(monitor.poll(0)))
        monitor.recv_multipart()
        await bench.until(lambda: bool(monitor.poll(0)))
    finally:
        bench.push.disable_monitor()
    bench.push.send(b"next")
    other.send(b"other")
    await bench.until(lambda: len(bench.messages) == 4)
    assert max(len(frame) for frame, _ in bench.messages) == MAX_FRAME_BYTES
    assert sorted(frame for frame, _ in bench.messages[2:]) == [b"next", b"other"]


@ensureDeferred
async def test_bind_again(bench: Bench) -> None:
    """Once closed the port is free at once; while it is taken, opening says so and leaves nothing behind."""
    other = Sockets()
    with pytest.raises(CannotBind, match=rf"{bench.address}: Address already in use"):
        Pull(other, bench._pulled).bind((Address(bench.address, keyed=False),), None)
    other.close()
    for _ in range(5):
        bench.pull.close()
        bench.pull.close()
        bench.pull.pause()
        bench.pull.resume()
        bench.sockets.close()
        bench.open()
    bench.push.send(b"x")
    await bench.until(lambda: len(bench.messages) == 1)


@ensureDeferred
async def test_close_within_turn(bench: Bench) -> None:
    """Closing from within the reading ends it, quietly."""
    taken: list[bytes] = []

    def last(frame: bytes, parts: int, public_key: str) -> None:
        taken.append(frame)
        bench.pull.close()

    bench.pull._pulled = last
    for _ in range(100):
        bench.push.send(b"x")
    await bench.until(lambda: bool(taken))
    await bench.turns(50)
    assert len(taken) == 1
