"""The acknowledged way in with real ZeroMQ clients: envelopes, order, back pressure, and clients that are gone or do not listen."""

from __future__ import annotations

import json
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from pytest_twisted import async_yield_fixture, ensureDeferred

from formlock_bridge.ways.acknowledged import MAX_UNANSWERED, QUEUE_ANSWERS
from formlock_bridge.ways.sockets import MAX_FRAME_BYTES
from tests.bridge.ways import Opened, echo


@async_yield_fixture
async def bridge(tmp_path: Path) -> AsyncIterator[Opened]:
    bridge = Opened(tmp_path)
    await bridge.ways.open()
    yield bridge
    await bridge.close()


def answers(replies: list[list[bytes]]) -> list[Any]:
    return [json.loads(reply[-1]) for reply in replies]


@ensureDeferred
async def test_dealer_and_req(bridge: Opened) -> None:
    """A DEALER sends one frame, a REQ its own envelope; each gets its answer the same way, and the sender is told."""
    bridge.respond = echo
    dealer = bridge.client(zmq.DEALER, bridge.acknowledged)
    dealer.send(b"a")
    assert await bridge.heard(dealer) == [b'{"id":"a","parts":1}']
    req = bridge.client(zmq.REQ, bridge.acknowledged)
    req.send(b"b")
    assert await bridge.heard(req) == [b'{"id":"b","parts":1}']
    # A DEALER that speaks as a REQ does.
    dealer.send_multipart([b"", b"c"])
    assert await bridge.heard(dealer) == [b"", b'{"id":"c","parts":1}']
    senders = [sender for *_, sender in bridge.messages]
    assert [(sender.way, sender.key, sender.forms) for sender in senders] == [("acknowledged", "", ("*",))] * 3
    assert senders[0].connection == senders[2].connection != senders[1].connection


@pytest.mark.parametrize(
    ("sent", "first", "parts"),
    [
        ([b"a", b"b"], b"a", 2),
        ([b"a", b""], b"a", 2),
        ([b"", b"a", b"b"], b"a", 2),
        ([b"", b"", b"a"], b"", 2),
        ([b"x"] * 1_000, b"x", 1_000),
        ([b""], b"", 1),
        ([b"", b""], b"", 1),
    ],
)
@ensureDeferred
async def test_wrong_envelopes(bridge: Opened, sent: list[bytes], first: bytes, parts: int) -> None:
    """What is in several frames, or empty, is one message that can be refused: told with its parts, answered, no harm to others."""
    bridge.respond = echo
    dealer = bridge.client(zmq.DEALER, bridge.acknowledged)
    dealer.send_multipart(sent)
    dealer.send(b"next")
    replies = [await bridge.heard(dealer), await bridge.heard(dealer)]
    assert [message[:2] for message in bridge.messages] == [(first, parts), (b"next", 1)]
    assert answers(replies) == [{"id": first.decode(), "parts": parts}, {"id": "next", "parts": 1}]


@ensureDeferred
async def test_too_long(bridge: Opened) -> None:
    """A frame beyond the limit never gets in; its sender, cut off, comes back by itself and is answered again."""
    bridge.respond = lambda message: {"length": len(message[0])}
    dealer = bridge.client(zmq.DEALER, bridge.acknowledged)
    dealer.send(b"x" * MAX_FRAME_BYTES)
    assert answers([await bridge.heard(dealer)]) == [{"length": MAX_FRAME_BYTES}]
    monitor = dealer.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
    try:
        dealer.send(b"x" * 50_000_000)
        await bridge.heard(monitor)
        await bridge.heard(monitor)
    finally:
        dealer.disable_monitor()
    dealer.send(b"next")
    assert answers([await bridge.heard(dealer)]) == [{"length": 4}]
    assert len(bridge.messages) == 2


@ensureDeferred
async def test_order(bridge: Opened) -> None:
    """Answers of a connection leave in the order of its messages, in whatever order the bridge has them, and wait for no other
    connection's; a second answer to a message is none."""
    first, second = (bridge.client(zmq.DEALER, bridge.acknowledged) for _ in range(2))
    for n in range(5):
        first.send(b"%d" % n)
    second.send(b"9")
    await bridge.until(lambda: len(bridge.messages) == 6)
    waiting = {frame: answer for frame, _, answer, _ in bridge.messages if answer is not None}
    for frame in (b"4", b"2", b"1", b"2", b"9"):
        waiting[frame]({"n": int(frame)})
    assert answers([await bridge.heard(second)]) == [{"n": 9}]
    assert not first.poll(0)
    waiting[b"0"]({"n": 0})
    assert answers([await bridge.heard(first) for _ in range(3)]) == [{"n": 0}, {"n": 1}, {"n": 2}]
    waiting[b"3"]({"n": 3})
    assert answers([await bridge.heard(first) for _ in range(2)]) == [{"n": 3}, {"n": 4}]
    assert not first.poll(0)


@ensureDeferred
async def test_back_pressure(bridge: Opened) -> None:
    """So many messages without an answer, and nothing more is read until half of them have one: what comes waits with its sender."""
    dealer = bridge.client(zmq.DEALER, bridge.acknowledged, SNDHWM=0)
    number = 3 * MAX_UNANSWERED
    for n in range(number):
        dealer.send(b"%d" % n)
    await bridge.until(lambda: len(bridge.messages) == MAX_UNANSWERED)
    await bridge.turns(200)
    assert len(bridge.messages) == MAX_UNANSWERED
    # The last ones first: none of these can leave, so nothing is read.
    for _, _, answer, _ in bridge.messages[1:]:
        assert answer is not None
        answer({})
    await bridge.turns(200)
    assert len(bridge.messages) == MAX_UNANSWERED
    bridge.respond = echo
    assert bridge.messages[0][2] is not None
    bridge.messages[0][2]({})
    replies = [await bridge.heard(dealer) for _ in range(number)]
    assert [answer["id"] for answer in answers(replies[MAX_UNANSWERED:])] == [str(n) for n in range(MAX_UNANSWERED, number)]


@ensureDeferred
async def test_pause(bridge: Opened) -> None:
    """Paused, nothing is read on any way, and what was read can still be answered; resumed, nothing is missing."""
    dealer = bridge.client(zmq.DEALER, bridge.acknowledged)
    push = bridge.client(zmq.PUSH, bridge.pull)
    dealer.send(b"0")
    await bridge.until(lambda: bridge.messages)
    bridge.ways.pause()
    dealer.send(b"1")
    push.send(b"2")
    await bridge.turns(200)
    assert bridge.frames() == [b"0"]
    assert bridge.messages[0][2] is not None
    bridge.messages[0][2]({"n": 0})
    assert answers([await bridge.heard(dealer)]) == [{"n": 0}]
    await bridge.turns(200)
    assert bridge.frames() == [b"0"]
    bridge.ways.resume()
    await bridge.until(lambda: len(bridge.messages) == 3)
    assert sorted(bridge.frames()) == [b"0", b"1", b"2"]


@ensureDeferred
async def test_who_does_not_listen(bridge: Opened) -> None:
    """U40: a client that never reads its answers loses those beyond a bound, counted; others are answered, and memory stays."""
    bridge.respond = lambda message: {"id": "x" * 400}
    deaf = bridge.client(zmq.DEALER, bridge.acknowledged, RCVHWM=1, RCVBUF=4_096, SNDHWM=0)
    for _ in range(20_000):
        deaf.send(b"x")
    await bridge.until(lambda: len(bridge.messages) == 20_000)
    # What the two kernels and ZeroMQ's batches hold is far less than this.
    undelivered = bridge.kinds().count("unanswerable")
    assert undelivered > 5_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bridge.messages.clear()
    for _ in range(20_000):
        deaf.send(b"x")
    await bridge.until(lambda: len(bridge.messages) == 20_000)
    # 20,000 answers of 400 bytes would be 8 MB.
    assert bridge.kinds().count("unanswerable") > undelivered + 20_000 - 2 * QUEUE_ANSWERS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 12_000
    dealer = bridge.client(zmq.DEALER, bridge.acknowledged)
    dealer.send(b"next")
    assert answers([await bridge.heard(dealer)]) == [{"id": "x" * 400}]


@ensureDeferred
async def test_who_is_gone(bridge: Opened) -> None:
    """U40: a client that has left before its answers costs counts and nothing else."""
    dealer = bridge.client(zmq.DEALER, bridge.acknowledged)
    for n in range(500):
        dealer.send(b"%d" % n)
    await bridge.until(lambda: len(bridge.messages) == 500)
    dealer.close()
    # ZeroMQ notices in its own thread: until then an answer can still be handed over, and is lost with the connection.
    for _, _, answer, _ in bridge.messages:
        assert answer is not None
        answer({})
        if bridge.refused:
            break
        await bridge.turns(50)
    assert bridge.kinds() == ["unanswerable"]
    bridge.respond = echo
    other = bridge.client(zmq.DEALER, bridge.acknowledged)
    other.send(b"next")
    assert answers([await bridge.heard(other)]) == [{"id": "next", "parts": 1}]


@ensureDeferred
async def test_a_thousand_that_come_and_go(bridge: Opened) -> None:
    """U40: 1,000 clients that connect, send and leave without reading leave nothing behind in the bridge."""
    bridge.respond = echo
    for n in range(1_000):
        client = bridge.client(zmq.DEALER, bridge.acknowledged)
        client.send(b"%d" % n)
        await bridge.until(lambda n=n: len(bridge.messages) == n + 1)  # type: ignore[misc]
        client.close()
    acknowledged = bridge.ways._open[1]
    assert (acknowledged._lines, acknowledged._unanswered) == ({}, 0)  # type: ignore[attr-defined]
    assert len({sender.connection for *_, sender in bridge.messages}) == 1_000
    dealer = bridge.client(zmq.DEALER, bridge.acknowledged)
    dealer.send(b"next")
    assert answers([await bridge.heard(dealer)]) == [{"id": "next", "parts": 1}]


@ensureDeferred
async def test_taking_fails(bridge: Opened) -> None:
    """Whatever goes wrong inside, the socket's reader sees nothing of it: its sender may try again, and the next message works."""

    def broken(message: object) -> None:
        raise RuntimeError("planted")

    bridge.respond = broken
    dealer = bridge.client(zmq.DEALER, bridge.acknowledged)
    dealer.send(b"0")
    [refused] = answers([await bridge.heard(dealer)])
    assert (refused["error"], refused["retry"]) == ("busy", True)
    bridge.respond = echo
    dealer.send(b"1")
    assert answers([await bridge.heard(dealer)]) == [{"id": "1", "parts": 1}]
    push = bridge.client(zmq.PUSH, bridge.pull)
    bridge.respond = broken
    push.send(b"2")
    push.send(b"3")
    await bridge.until(lambda: len(bridge.messages) == 4)


@ensureDeferred
async def test_close_with_answers_due(bridge: Opened) -> None:
    """Closing frees the ports; an answer that comes after it is nobody's, and opening again works."""
    dealer = bridge.client(zmq.DEALER, bridge.acknowledged)
    dealer.send(b"0")
    await bridge.until(lambda: bridge.messages)
    await bridge.ways.close()
    assert bridge.messages[0][2] is not None
    bridge.messages[0][2]({})
    await bridge.ways.open()
    dealer.send(b"1")
    await bridge.until(lambda: len(bridge.messages) == 2)
