"""The PULL socket with real ZeroMQ senders: short turns, back pressure, and frames that would hurt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
import zmq
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from formlock_bridge.pull import MAX_FRAME_BYTES, QUEUE_MESSAGES, CannotBind, Pull
from tests.support.node import free_port

WITHIN_S = 30


class Bench:
    """A Pull, a sender, what arrived, and between which turns of the reactor."""

    def __init__(self, **options: Any) -> None:
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.messages: list[tuple[bytes, int]] = []
        self.per_turn: list[int] = [0]
        self._until: tuple[Callable[[], bool], Deferred[None]] | None = None
        self.pull = Pull(self.address, self._received, **options)
        self.context = zmq.Context()
        self.push = self.sender()
        self._ticking: Any = reactor.callLater(0, self._tick)

    def sender(self) -> zmq.Socket[bytes]:
        socket = self.context.socket(zmq.PUSH)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.SNDHWM, 0)
        socket.set(zmq.SNDTIMEO, WITHIN_S * 1000)
        socket.connect(self.address)
        return socket

    def _received(self, frame: bytes, parts: int) -> None:
        self.messages.append((frame, parts))
        self.per_turn[-1] += 1

    def _tick(self) -> None:
        """Something else that wants its turn: a lock call, say."""
        self.per_turn.append(0)
        self._ticking = reactor.callLater(0, self._tick)
        if self._until is not None and self._until[0]():
            waiting, self._until = self._until[1], None
            waiting.callback(None)

    def until(self, true: Callable[[], bool]) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._until = (true, waiting)
        return waiting.addTimeout(WITHIN_S, reactor)

    def turns(self, number: int) -> Deferred[None]:
        """That many turns of the reactor."""
        end = len(self.per_turn) + number
        return self.until(lambda: len(self.per_turn) >= end)

    def close(self) -> None:
        self._ticking.cancel()
        self.pull.close()
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


@pytest.mark.parametrize("bench", [{"turn_messages": 10, "turn_s": 3_600.0}], indirect=True)
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

    def one_at_a_time(frame: bytes, parts: int) -> None:
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

    bench.pull._received = one_at_a_time
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
        while sent < QUEUE_MESSAGES + 1_000 and push.poll(200, zmq.POLLOUT):
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
    with pytest.raises(CannotBind, match=rf"{bench.address}: Address already in use"):
        Pull(bench.address, bench._received)
    for _ in range(5):
        bench.pull.close()
        bench.pull.close()
        bench.pull.pause()
        bench.pull.resume()
        bench.pull = Pull(bench.address, bench._received)
    bench.push.send(b"x")
    await bench.until(lambda: len(bench.messages) == 1)


@ensureDeferred
async def test_close_within_turn(bench: Bench) -> None:
    """Closing from within the reading ends it, quietly."""
    taken: list[bytes] = []

    def last(frame: bytes, parts: int) -> None:
        taken.append(frame)
        bench.pull.close()

    bench.pull._received = last
    for _ in range(100):
        bench.push.send(b"x")
    await bench.until(lambda: bool(taken))
    await bench.turns(50)
    assert len(taken) == 1
