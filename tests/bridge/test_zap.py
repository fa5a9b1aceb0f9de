"""CURVE with real ZeroMQ clients: who has a key is let in and known, nobody else is, and a key that is taken back ends."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import zmq
from pytest_twisted import async_yield_fixture, ensureDeferred

from formlock_bridge.ways import CannotBind
from formlock_bridge.ways.keybook import LOOK_MS
from formlock_bridge.ways.keys import Handout
from tests.bridge.ways import Opened, echo, key_pair
from tests.support.node import free_port

# https://rfc.zeromq.org/spec/23/: signature, version 3.0, mechanism, not a server, filler.
GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


@async_yield_fixture
async def bridge(tmp_path: Path) -> AsyncIterator[Opened]:
    """Each way is open without keys on one port and with keys on another."""
    push, acknowledged = free_port(), free_port()
    pulls, acknowledgeds = free_port(), free_port()
    bridge = Opened(
        tmp_path,
        pull=f"curve://127.0.0.1:{pulls}, tcp://127.0.0.1:{push}",
        acknowledged=f"curve://127.0.0.1:{acknowledgeds},tcp://127.0.0.1:{acknowledged}",
    )
    bridge.pull, bridge.acknowledged = f"tcp://127.0.0.1:{pulls}", f"tcp://127.0.0.1:{acknowledgeds}"
    bridge.plain_pull, bridge.plain_acknowledged = f"tcp://127.0.0.1:{push}", f"tcp://127.0.0.1:{acknowledged}"  # type: ignore[attr-defined]
    bridge.folder.init(key_pair())
    bridge.shop = bridge.folder.add("shop", key_pair(), ("invoice.*",))  # type: ignore[attr-defined]
    bridge.respond = echo
    await bridge.ways.open()
    yield bridge
    await bridge.close()


def stranger(handout: Handout) -> Handout:
    """A key pair that nobody knows."""
    pair = key_pair()
    return Handout("shop", handout.server_public_key, pair.public, pair.secret, handout.http_secret)


def nobodys(handout: Handout) -> Handout:
    """The right keys for another bridge."""
    return Handout("shop", key_pair().public, handout.public_key, handout.secret_key, handout.http_secret)


@ensureDeferred
async def test_right_key(bridge: Opened) -> None:
    """A backend with its key is let in on both ways; each of its messages comes with its name and what it may push."""
    dealer = bridge.client(zmq.DEALER, bridge.acknowledged, bridge.shop)
    dealer.send(b"0")
    assert await bridge.heard(dealer) == [b'{"id":"0","parts":1}']
    req = bridge.client(zmq.REQ, bridge.acknowledged, bridge.shop)
    req.send(b"1")
    assert await bridge.heard(req) == [b'{"id":"1","parts":1}']
    bridge.client(zmq.PUSH, bridge.pull, bridge.shop).send(b"2")
    await bridge.until(lambda: len(bridge.messages) == 3)
    senders = [(sender.way, sender.key, sender.forms) for *_, sender in bridge.messages]
    assert senders == [
        ("acknowledged", "shop", ("invoice.*",)),
        ("acknowledged", "shop", ("invoice.*",)),
        ("pull", "shop", ("invoice.*",)),
    ]
    assert bridge.refused == []


@ensureDeferred
async def test_with_and_without_keys(bridge: Opened) -> None:
    """The same way is open on loopback for anybody: the article's code goes on working beside a backend from elsewhere."""
    for client in (
        bridge.client(zmq.PUSH, bridge.plain_pull),
        bridge.client(zmq.PUSH, bridge.pull, bridge.shop),
        bridge.client(zmq.DEALER, bridge.plain_acknowledged),
        bridge.client(zmq.DEALER, bridge.acknowledged, bridge.shop),
    ):
        client.send(b"x")
    await bridge.until(lambda: len(bridge.messages) == 4)
    assert sorted((sender.way, sender.key, sender.forms) for *_, sender in bridge.messages) == [
        ("acknowledged", "", ("*",)),
        ("acknowledged", "shop", ("invoice.*",)),
        ("pull", "", ("*",)),
        ("pull", "shop", ("invoice.*",)),
    ]


@pytest.mark.parametrize("way", ["pull", "acknowledged"])
@ensureDeferred
async def test_wrong_keys(bridge: Opened, way: str) -> None:
    """A key that is not let in, one for another bridge, and no key at all: nothing comes in, and each is counted with its reason."""
    kind = zmq.PUSH if way == "pull" else zmq.DEALER
    address = getattr(bridge, way)
    for handout, counted in (
        (stranger(bridge.shop), {"unknown_key"}),
        (nobodys(bridge.shop), {"handshake_failed"}),
        # Client and bridge both see that the other speaks otherwise. When the client is faster, it is gone without a reason.
        (None, {"no_keys", "handshake_ended"}),
    ):
        bridge.refused.clear()
        client = bridge.client(kind, address, handout)
        client.send(b"bad")
        # The one before may have tried again meanwhile.
        await bridge.until(lambda counted=counted: counted.intersection(bridge.kinds()))  # type: ignore[misc]
        client.close()
    good = bridge.client(kind, address, bridge.shop)
    good.send(b"good")
    await bridge.until(lambda: bridge.messages)
    assert bridge.frames() == [b"good"]


@pytest.mark.parametrize("way", ["pull", "acknowledged"])
@ensureDeferred
async def test_no_keys_at_all(bridge: Opened, way: str) -> None:
    """A client that speaks ZeroMQ, and waits for what the bridge says, is known for one without keys; who says nothing is not."""
    host, port = "127.0.0.1", int(getattr(bridge, way).rpartition(":")[2])
    with socket.create_connection((host, port)) as looking:
        looking.send(GREETING[:10])
    await bridge.until(lambda: bridge.refused)
    assert bridge.refused == [("handshake_ended", {"way": way})]
    with socket.create_connection((host, port)) as client:
        client.send(GREETING)
        await bridge.until(lambda: len(bridge.refused) == 2)
    assert bridge.refused[1:] == [("no_keys", {"way": way})]


@ensureDeferred
async def test_the_log_knows_who(bridge: Opened) -> None:
    """Who is refused is told with its address and its public key, so that an operator can tell whose key is missing."""
    unknown = stranger(bridge.shop)
    client = bridge.client(zmq.PUSH, bridge.pull, unknown)
    await bridge.until(lambda: bridge.refused)
    assert bridge.refused == [("unknown_key", {"address": "127.0.0.1", "public_key": unknown.public_key})]
    # Told so, ZeroMQ's client does not try again.
    await bridge.turns(3_000)
    assert len(bridge.refused) == 1
    client.close()


@ensureDeferred
async def test_a_key_is_added(bridge: Opened) -> None:
    """A backend that is added while the bridge runs is let in, without a restart."""
    other = bridge.folder.add("other", key_pair(), ("customer.*",))
    for _ in range(2):
        bridge.clock.advance(LOOK_MS)
    assert bridge.told == [("bridge.keys", {"backends": "other,shop"})]
    bridge.client(zmq.PUSH, bridge.pull, other).send(b"x")
    await bridge.until(lambda: bridge.messages)
    assert bridge.messages[0][3].forms == ("customer.*",)


@pytest.mark.parametrize("exchanged", [False, True])
@ensureDeferred
async def test_a_key_is_taken_back(bridge: Opened, exchanged: bool) -> None:
    """A connection that is open when its key is taken back, or exchanged for another, may push nothing from then on."""
    dealer = bridge.client(zmq.DEALER, bridge.acknowledged, bridge.shop)
    push = bridge.client(zmq.PUSH, bridge.pull, bridge.shop)
    dealer.send(b"0")
    push.send(b"1")
    await bridge.until(lambda: len(bridge.messages) == 2)
    assert all(sender.may_push("invoice.42") for *_, sender in bridge.messages)
    if exchanged:
        bridge.folder.add("shop", key_pair(), ("invoice.*",), replace=True)
    else:
        bridge.folder.remove("shop")
    for _ in range(2):
        bridge.clock.advance(LOOK_MS)
    dealer.send(b"2")
    push.send(b"3")
    await bridge.until(lambda: len(bridge.messages) == 4)
    for *_, sender in bridge.messages[2:]:
        assert not sender.may_push("invoice.42")
        assert sender.key == bridge.shop.public_key
    bridge.client(zmq.DEALER, bridge.acknowledged, bridge.shop).send(b"4")
    await bridge.until(lambda: "unknown_key" in bridge.kinds())
    assert len(bridge.messages) == 4


@ensureDeferred
async def test_what_a_connection_calls_itself(bridge: Opened) -> None:
    """A client can't take the place of another by calling itself as that one does: answers go to whom they belong."""
    other = bridge.folder.add("other", key_pair(), ("customer.*",))
    for _ in range(2):
        bridge.clock.advance(LOOK_MS)
    bridge.respond = lambda message: None
    first = bridge.client(zmq.DEALER, bridge.acknowledged)
    first.disconnect(bridge.acknowledged)
    for handout in (bridge.shop, other):
        client = bridge.context.socket(zmq.DEALER)
        client.set(zmq.LINGER, 0)
        client.set(zmq.ROUTING_ID, b"me")
        client.set(zmq.CURVE_SERVERKEY, handout.server_public_key.encode())
        client.set(zmq.CURVE_PUBLICKEY, handout.public_key.encode())
        client.set(zmq.CURVE_SECRETKEY, handout.secret_key.encode())
        monitor = client.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        client.connect(bridge.acknowledged)
        await bridge.heard(monitor)
        client.disable_monitor()
        client.send(handout.name.encode())
        if handout is bridge.shop:
            await bridge.until(lambda: bridge.messages)
            owner = client
    await bridge.turns(300)
    assert bridge.frames() == [b"shop"]
    answer = bridge.messages[0][2]
    assert answer is not None
    answer({"for": "shop"})
    assert await bridge.heard(owner) == [b'{"for":"shop"}']
    assert not client.poll(0)


@ensureDeferred
async def test_no_keys_yet(tmp_path: Path) -> None:
    """An address that wants keys is not opened without them: a sentence says what to do, and nothing stays open."""
    bridge = Opened(tmp_path, acknowledged=f"curve://127.0.0.1:{free_port()}")
    for _ in range(2):
        with pytest.raises(CannotBind, match="there are no keys yet: make them with `formlock keys init`"):
            await bridge.ways.open()
    bridge.folder.init(key_pair())
    await bridge.ways.open()
    await bridge.close()
