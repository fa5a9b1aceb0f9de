"""What Crossbar and Autobahn really do (docs/explanation/traps.md): each cure of ours, on a real node.

Each of these fails without its cure; which line that is stands in its docstring.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol, connectWS
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred

from tests.support.client import WITHIN_S, Client, Refused, joined
from tests.support.node import Node

pytestmark = pytest.mark.node


@pytest_twisted.ensureDeferred
async def test_a_closing_subscriber_cuts_nobody_off(node: Node) -> None:
    """Clients that join, subscribe and close in a loop take no event from those that stay. (The window is
    short: unit/test_guard.py opens it for certain.)"""
    form = "com.example.form.test.closing"
    steady = [await joined(node.ws_url, f"steady{number}") for number in range(4)]
    for client in steady:
        await client.subscribe(form)
    holder = await joined(node.ws_url, "holder")
    going = True

    async def churn(name: str) -> None:
        while going:
            client = await joined(node.ws_url, name)
            await client.subscribe(form)
            # Not waited for: the handshake of closing goes on while events are sent.
            client.session.leave()

    churning = [ensureDeferred(churn(f"churn{number}")) for number in range(4)]
    last = 0
    for _ in range(400):
        got = await holder.call("lock", form=form, tab="t")
        await holder.call("unlock", form=form, token=got["token"], tab="t")
        last = got["rev"] + 1
    going = False
    await DeferredList(churning, fireOnOneErrback=True).addTimeout(WITHIN_S, reactor)
    for client in steady:
        await client.event("released", rev=last)
        revs = [event["rev"] for event in client.events if event["status"] in ("edit", "released")]
        assert revs == list(range(1, last + 1))
        await client.leave()
    await holder.leave()


@pytest_twisted.ensureDeferred
async def test_order_at_300_subscribers(node: Node) -> None:
    """Every one of 300 subscribers sees every event, in order (config: event_dispatching_chunk_size; by default
    chunks of 100 overtake each other)."""
    form = "com.example.form.test.order"
    clients: list[Client] = []
    for start in range(0, 300, 50):
        joining = [ensureDeferred(joined(node.ws_url, f"user{start + number}")) for number in range(50)]
        clients += [client for _, client in await DeferredList(joining, fireOnOneErrback=True)]
    for client in clients:
        await client.subscribe(form)
    holder = clients[0]
    calls = []
    for _ in range(25):
        got = await holder.call("lock", form=form, tab="t")
        # Released and, without waiting, locked again: `edit` leaves one subscriber out, `released` none, so chunks differ.
        calls.append(ensureDeferred(holder.call("unlock", form=form, token=got["token"], tab="t")))
    await DeferredList(calls)
    last = (await holder.call("status", form=form))["rev"]
    for client in clients:
        await client.event("released", rev=last)
        revs = [event["rev"] for event in client.events if event["status"] in ("edit", "released")]
        expected = [rev for rev in range(1, last + 1) if client is not holder or rev % 2 == 0]
        assert revs == expected
    await DeferredList([ensureDeferred(client.leave()) for client in clients])


@pytest_twisted.ensureDeferred
async def test_an_unlock_outlives_its_caller(node: Node) -> None:
    """U1, U5: a page that calls unlock and is gone in the same moment has unlocked (wamp.Session.answer: the shield)."""
    watcher = await joined(node.ws_url, "watcher")
    forms = [f"com.example.form.test.leaving-{number}" for number in range(40)]
    for form in forms:
        await watcher.subscribe(form)
        page = await joined(node.ws_url, "ann")
        token = (await page.call("lock", form=form, tab="a"))["token"]
        ensureDeferred(page.call("unlock", form=form, token=token, tab="a")).addErrback(lambda _: None)
        page.session._transport.transport.loseConnection()
    for form in forms:
        assert (await watcher.event("released", form=form))["cause"] == "unlock"
    await watcher.leave()


class Raw(WebSocketClientProtocol):
    """A WebSocket without WAMP, to say what no library would."""

    def onOpen(self) -> None:
        self.closed: Deferred[None] = Deferred()
        self.received: list[Any] = []
        self.factory.opened.callback(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.received.append(json.loads(payload))

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        if hasattr(self, "closed"):
            self.closed.callback(None)


async def raw(node: Node) -> Raw:
    factory = WebSocketClientFactory(node.ws_url, protocols=["wamp.2.json"])
    factory.protocol = Raw
    factory.opened = Deferred()
    connectWS(factory)
    opened: Raw = await factory.opened.addTimeout(WITHIN_S, reactor)
    return opened


@pytest.mark.parametrize("depth", [40, 900, 20_000])
@pytest_twisted.ensureDeferred
async def test_bombs_of_brackets(node: Node, depth: int) -> None:
    """Deeply nested JSON, before and after HELLO, harms its sender only (guard.refuse_deep_messages: parsed,
    2 kB of brackets cost 180 kB of log, and more of them a frozen or dead router)."""
    page = await joined(node.ws_url)
    before = node.pids()
    written = len(node.log())
    bomb = b"[" * depth + b"]" * depth
    early = await raw(node)
    early.sendMessage(bomb)
    await early.closed.addTimeout(WITHIN_S, reactor)
    late = await joined(node.ws_url, "eva")
    call = b'[48,1,{},"com.example.formlock.lock",[],{"form":"com.example.form.test.bomb","note":' + bomb + b"}]"
    late.session._transport.sendMessage(call)
    assert (await page.call("status", form="com.example.form.test.bomb"))["state"] == "free"
    assert node.pids() == before
    assert len(node.log()) - written < 20_000, "a bomb costs a few lines of log, not a traceback of a thousand frames"
    late.drop()
    await page.leave()


@pytest_twisted.ensureDeferred
async def test_messages_over_64_kb(node: Node) -> None:
    """A page's messages are small; one that is not ends its connection and costs nobody else anything."""
    page, big = await joined(node.ws_url), await joined(node.ws_url, "big")
    gone: Deferred[None] = Deferred()
    big.session.on("disconnect", lambda *_, **__: gone.callback(None))
    ensureDeferred(big.call("lock", form="com.example.form.test.big", note="x" * 70_000)).addErrback(lambda _: None)
    await gone.addTimeout(WITHIN_S, reactor)
    assert (await page.call("status", form="com.example.form.test.big"))["state"] == "free"
    await page.leave()


@pytest_twisted.ensureDeferred
async def test_denied_uris_are_not_remembered(node: Node) -> None:
    """Denied calls with ever new, long URIs do not grow the router (guard.DENIED is uncached: 2,000 such calls cost 101 MB)."""
    page = await joined(node.ws_url)
    router = node.pids()["router"]

    async def deny(count: int, start: int) -> None:
        for number in range(start, start + count):
            with pytest.raises(Refused, match="not_authorized"):
                await page.call(f"com.example.denied{number}.{'x' * 50_000}")

    await deny(60, 0)
    before = _rss_kb(router)
    await deny(500, 1_000)
    assert _rss_kb(router) - before < 8_000, "500 denied calls with URIs of 50 kB stayed in memory"
    await page.leave()


def _rss_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


@pytest_twisted.ensureDeferred
async def test_lone_surrogates(node: Node) -> None:
    """Half a surrogate pair, which the router can't send on, leaves its caller to its own time limit, and everybody else alone."""
    page = await joined(node.ws_url)
    odd = await joined(node.ws_url, "eva")
    call = rb'[48,1,{},"com.example.formlock.lock",[],{"form":"com.example.form.test.surrogate","note":"\ud800"}]'
    odd.session._transport.sendMessage(call)
    assert (await odd.call("status", form="com.example.form.test.surrogate"))["state"] == "free"
    assert (await page.call("status", form="com.example.form.test.surrogate"))["state"] == "free"
    await odd.leave()
    await page.leave()


def test_no_traceback_at_the_start(node: Node) -> None:
    """The node starts without a single traceback (numpy 2 would print `_ARRAY_API not found`)."""
    assert "_ARRAY_API" not in node.log()
    assert "Traceback" not in node.log().split("formlock.ready")[0]
