"""The bridge on a real Crossbar node, pushed to by real PHP and real ZeroMQ."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import zmq
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from formlock.uris import Uris
from formlock_bridge.intake import Rejected, read
from formlock_push import Pusher
from tests.support.client import joined
from tests.support.node import ROOT, Node, without

# Some start a node again.
pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

TYPE = "com.example.form.bridge."
FOLDED = "com.example.form.folded."
WITHIN_S = 30
FLOOD = 20_000


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node of its own: it is flooded, killed, and its log is counted. Only updates of one type are folded, so that the others can
    be counted."""
    node = Node(tmp_path_factory.mktemp("bridge"), without("demo"))
    with (node.folder / "policy.toml").open("a", encoding="utf-8") as policy:
        policy.write('[forms."bridge"]\ncoalesce = "never"\n')
    node.start()
    yield node
    node.stop()


@pytest.fixture
def push(node: Node) -> Iterator[zmq.Socket[bytes]]:
    """A backend that sends whatever it likes, as much as it likes."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.SNDHWM, 0)
        socket.connect(node.zmq_url)
        yield socket


@pytest.mark.php
@ensureDeferred
async def test_php(node: Node) -> None:
    """A15, A16: what the article's PHP code pushes reaches everybody who has the form open, though the process ends right after."""
    form = TYPE + "php"
    ann, bob = await joined(node.ws_url, "ann"), await joined(node.ws_url, "bob")
    for client in (ann, bob):
        await client.subscribe(form)
    command = ["php", str(ROOT / "examples/php/push.php"), form, '{"amount": ["120.00", "140.00"]}']
    environment = {**os.environ, "FORMLOCK_PUSH": node.zmq_url}
    for _ in range(3):
        await deferToThread(subprocess.run, command, env=environment, timeout=WITHIN_S, check=True)
    for client in (ann, bob):
        await client.event("updated", seq=3)
        told = [event for event in client.events if event["status"] == "updated"]
        assert [event["seq"] for event in told] == [1, 2, 3]
        assert told[0] == {
            "form": form,
            "status": "updated",
            "reported": "ENTITY_UPDATED",
            "epoch": told[2]["epoch"],
            "seq": 1,
            "at": told[0]["at"],
            "change_set": {"amount": ["120.00", "140.00"]},
            "representation": {"amount": "140.00"},
        }
    for client in (ann, bob):
        await client.leave()


@ensureDeferred
async def test_python(node: Node) -> None:
    """A15, A17: one line of Python, with the new contents in it, as values or as a fragment of HTML."""
    form = TYPE + "python"
    ann = await joined(node.ws_url)
    await ann.subscribe(form)
    with Pusher(node.zmq_url) as pusher:
        pusher.push(form, {"a": [1, 2]}, version=7, origin="tab-1", actor="ann", representation={"a": 2}, id="x-1", source="test")
        pusher.push(form, representation="<p>2</p>")
    first, second = await ann.event("updated", seq=1), await ann.event("updated", seq=2)
    assert {key: first[key] for key in ("change_set", "version", "origin", "actor", "representation", "id", "source")} == {
        "change_set": {"a": [1, 2]},
        "version": 7,
        "origin": "tab-1",
        "actor": {"user": "ann", "name": "ann"},
        "representation": {"a": 2},
        "id": "x-1",
        "source": "test",
    }
    assert second["representation"] == "<p>2</p>"
    assert "change_set" not in second
    await ann.leave()


@ensureDeferred
async def test_updates(node: Node) -> None:
    """U38: who was away asks for what came after the last number it saw, and gets it as it was told to the others."""
    form = TYPE + "updates"
    ann = await joined(node.ws_url, "ann")
    await ann.subscribe(form)
    with Pusher(node.zmq_url) as pusher:
        for n in range(5):
            pusher.push(form, id=str(n))
    await ann.event("updated", seq=5)
    told = [event for event in ann.events if event["status"] == "updated"]
    answer = await ann.call("updates", form=form, since=2)
    assert answer == {"form": form, "epoch": told[0]["epoch"], "seq": 5, "complete": True, "updates": told[2:]}
    assert (await ann.call("updates", form))["seq"] == 5
    assert (await ann.refused("updates", form="bridge")).name == "invalid_form"
    assert (await ann.refused("updates", form=form, since="x")).name == "invalid_argument"
    await ann.leave()


class BridgeProcess:
    """`formlock worker bridge` beside a node that has none, with that node's addresses and journal."""

    def __init__(self, node: Node) -> None:
        command = [sys.executable, "-m", "formlock", "worker", "bridge", "--router", f"unix:{node.folder / 'router.sock'}"]
        options = ["--folder", str(node.folder), "--pull", node.zmq_url, "--acknowledged", node.acknowledged_url, "--http", "off"]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'components'}:{ROOT / 'bridge'}"}
        extra = ["--extra", json.dumps({"policy": {"coalesce_ms": 0}})]
        with (node.folder / "bridge.log").open("ab") as log:
            self.process = subprocess.Popen([*command, *options, *extra], stdout=log, stderr=subprocess.STDOUT, env=environment)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(WITHIN_S)


def bad_messages() -> list[list[bytes]]:
    """More than 200 kinds of messages, each wrong in a way of its own."""
    good = {
        "form": TYPE + "bad",
        "status": "saved",
        "change_set": {"a": [1, 2]},
        "id": "1",
        "source": "s",
        "version": 1,
        "origin": "o",
        "actor": {"user": "ann"},
        "representation": {"a": 1},
        "v": 0,
    }
    golden = json.loads((ROOT / "tests/contract/updates.json").read_text(encoding="utf-8"))
    wrong: list[Any] = [True, -1, 1.5, 2**70, "\0", "a\nb", "x" * 300, [1], [[]], {"": ""}, {"user": 1}, {"a": [1]}, {"a": 1}]
    frames = [one["raw"].encode() if "raw" in one else base64.b64decode(one["base64"]) for one in golden]
    frames += [json.dumps({**good, key: value}).encode() for key in good for value in wrong]
    whole = json.dumps(good).encode()
    frames += [whole[:end] for end in range(1, len(whole), 3)]
    frames += [b"\x00" * 100, b"\xff" * 100, b"x" * 65_537, b"x" * 1_000_000, b"[" * 60_000, b'{"a":' * 13_000, b"9" * 60_000]
    bad = [[frame] for frame in dict.fromkeys(frames) if isinstance(read(Uris(), frame), Rejected)]
    return [*bad, [whole, whole], [b"", whole], [whole] * 1_000]


def counted(log: str) -> Counter[str]:
    """Rejections by reason, as the log tells them."""
    found = Counter(re.findall(r"bridge\.rejected reason=(\w+)", log))
    for line in re.findall(r"bridge\.more_of_these (.*)", log):
        for reason, number in re.findall(r"(\w+)=(\d+)", line):
            found[reason] += int(number)
    return found


@ensureDeferred
async def test_bad_messages(node: Node, push: zmq.Socket[bytes]) -> None:
    """More than 200 kinds of bad messages, ten times over, cost nothing but a counted rejection each; the next good one works."""
    form = TYPE + "bad"
    ann = await joined(node.ws_url)
    await ann.subscribe(form)
    before = counted(node.log())
    bad = bad_messages()
    assert len(bad) > 200
    expected: Counter[str] = Counter()
    for _ in range(10):
        for frames in bad:
            push.send_multipart(frames)
            answer = read(Uris(), frames[0], len(frames))
            assert isinstance(answer, Rejected)
            expected[answer.reason] += 1
    push.send(json.dumps({"form": form, "id": "good"}).encode())
    assert (await ann.event("updated"))["id"] == "good"
    limit = time.monotonic() + WITHIN_S
    while (found := counted(node.log()) - before) != expected and time.monotonic() < limit:
        await deferLater(reactor, 0.1, lambda: None)
    assert found == expected
    lines = [line for line in node.log().splitlines() if "bridge.rejected" in line]
    assert len(lines) < 200
    await ann.leave()


@ensureDeferred
async def test_flood(node: Node, push: zmq.Socket[bytes]) -> None:
    """U36, U38: in the middle of 20,000 updates locks are granted and released, and the updates all arrive, in order, each within an
    event; and `updates` has the last of them one by one, page after page, through a router that hands on no long message."""
    form = FOLDED + "flood"
    ann, bob = await joined(node.ws_url, "ann"), await joined(node.ws_url, "bob")
    await ann.subscribe(form)
    for n in range(FLOOD):
        push.send(json.dumps({"form": form, "id": n, "change_set": {"amount": [n, n + 1]}}).encode())
    await ann.event("updated")
    meanwhile = 0
    while (await bob.call("updates", form=form))["seq"] < FLOOD:
        token = (await bob.call("lock", form=TYPE + "other"))["token"]
        await bob.call("unlock", form=TYPE + "other", token=token)
        meanwhile += 1
    # One behind the flood would be 1; each is six messages through the same router.
    assert meanwhile >= 5
    await ann.event("updated", seq=FLOOD)
    told = [event for event in ann.events if event["status"] == "updated"]
    reached = 0
    for event in told:
        assert event.get("first", event["seq"]) == reached + 1
        assert event["change_set"] == {"amount": [reached, event["seq"]]}
        reached = event["seq"]
    assert len(told) < FLOOD / 10
    page = await bob.call("updates", form=form, since=FLOOD - 900)
    assert (page["seq"], page["complete"]) == (FLOOD, True)
    assert page["until"] == page["updates"][-1]["seq"] < FLOOD
    answer = await bob.caught_up(form, FLOOD - 900)
    assert answer["complete"]
    assert [update["id"] for update in answer["updates"]] == [str(n) for n in range(FLOOD - 900, FLOOD)]
    for client in (ann, bob):
        await client.leave()


@ensureDeferred
async def test_one_by_one(node: Node, push: zmq.Socket[bytes]) -> None:
    """U37, U38: where the policy folds nothing, each update is an event of its own, in order, form by form."""
    forms = [f"{TYPE}each-{n}" for n in range(20)]
    ann = await joined(node.ws_url, "ann")
    for form in forms:
        await ann.subscribe(form)
    for n in range(100):
        for form in forms:
            push.send(json.dumps({"form": form, "id": n}).encode())
    for form in forms:
        await ann.event("updated", form=form, seq=100)
        told = [(event["seq"], event["id"]) for event in ann.events if event["form"] == form and event["status"] == "updated"]
        assert told == [(n + 1, str(n)) for n in range(100)]
    await ann.leave()


@ensureDeferred
async def test_restart(node: Node) -> None:
    """U38: after a `kill -9` of everything the bridge has its port again, a pusher that was there before goes on, and what it pushed
    meanwhile arrives, with the next number of the same epoch; what was before can still be asked for."""
    form = TYPE + "restart"
    ann = await joined(node.ws_url)
    await ann.subscribe(form)
    node.push({"form": form, "id": "before"})
    await ann.event("updated", seq=1)
    before = await ann.call("updates", form=form)
    ann.drop()
    with closing(Pusher(node.zmq_url)) as pusher:
        pusher.push(TYPE + "elsewhere")
        await deferToThread(node.kill)
        # The connection's end has to be noticed before: what is in it at that moment is lost, as the how-to says.
        monitor = pusher._line._socket.get_monitor_socket(zmq.EVENT_CONNECT_RETRIED)  # type: ignore[union-attr]
        assert monitor.poll(WITHIN_S * 1000)
        pusher._line._socket.disable_monitor()  # type: ignore[union-attr]
        pusher.push(form, id="meanwhile")
        await deferToThread(node.start)
        limit = time.monotonic() + WITHIN_S
        bob = await joined(node.ws_url)
        while len((answer := await bob.call("updates", form=form, since=0))["updates"]) < 2 and time.monotonic() < limit:
            await deferLater(reactor, 0.05, lambda: None)
    assert [(update["seq"], update["id"]) for update in answer["updates"]] == [(1, "before"), (2, "meanwhile")]
    assert answer["epoch"] == before["epoch"]
    await bob.leave()


@ensureDeferred
async def test_killed_before_it_was_told(node: Node) -> None:
    """U38: what was acknowledged while the router stood still is told after a `kill -9` of the bridge, in order, once, and before
    anything newer; in this node a bridge that dies takes the node along, and the next start goes on from the journal."""
    forms = [f"{TYPE}untold-{n}" for n in range(3)]
    router = node.pids()["router"]
    os.kill(router, signal.SIGSTOP)
    with zmq.Context() as context, context.socket(zmq.DEALER) as backend:
        backend.set(zmq.LINGER, 0)
        backend.connect(node.acknowledged_url)
        for n in range(60):
            backend.send(json.dumps({"v": 1, "form": forms[n % 3], "id": str(n), "source": "untold"}).encode())
        answers = []
        while len(answers) < 60 and await deferToThread(backend.poll, WITHIN_S * 1000):
            answers.append(json.loads(backend.recv()))
        assert [(answer["id"], answer["seq"]) for answer in answers] == [(str(n), n // 3 + 1) for n in range(60)]
        os.kill(node.pids()["bridge"], signal.SIGKILL)
        os.kill(router, signal.SIGCONT)
        await deferToThread(node.kill)
        # Who hears what the next bridge tells first is there before the bridge is.
        config = node.folder / "config.json"
        whole = config.read_text(encoding="utf-8")
        try:
            without_bridge = json.loads(whole)
            without("bridge")(without_bridge)
            config.write_text(json.dumps(without_bridge), encoding="utf-8")
            await deferToThread(node.start)
            ann = await joined(node.ws_url)
            for form in forms:
                await ann.subscribe(form)
            bridge = BridgeProcess(node)
            try:
                backend.send(json.dumps({"v": 1, "form": forms[0], "id": "newer", "source": "untold"}).encode())
                backend.send(json.dumps({"v": 1, "form": forms[0], "id": "0", "source": "untold"}).encode())
                for n, form in enumerate(forms):
                    await ann.event("updated", form=form, seq=21 if n == 0 else 20)
                    told = [
                        (event["seq"], event["id"]) for event in ann.events if event["form"] == form and event["status"] == "updated"
                    ]
                    expected = [(m // 3 + 1, str(m)) for m in range(60) if m % 3 == n]
                    assert told == ([*expected, (21, "newer")] if n == 0 else expected)
                assert await deferToThread(backend.poll, WITHIN_S * 1000)
                assert json.loads(backend.recv())["seq"] == 21
                assert json.loads(backend.recv()) == {**answers[0], "duplicate": True}
            finally:
                bridge.end()
        finally:
            config.write_text(whole, encoding="utf-8")


@ensureDeferred
async def test_router_killed(tmp_path_factory: pytest.TempPathFactory) -> None:
    """U38: a bridge of its own lives through a `kill -9` of the router: what it has acknowledged before and after is told and can be
    asked for, in order; it has its ports and its journal again without being started anew."""
    node = Node(tmp_path_factory.mktemp("router"), without("demo", "bridge"))
    form = TYPE + "router"
    await deferToThread(node.start)
    bridge = BridgeProcess(node)
    answers: list[dict[str, Any]] = []
    with zmq.Context() as context, context.socket(zmq.DEALER) as backend:
        backend.set(zmq.LINGER, 0)
        backend.connect(node.acknowledged_url)

        async def push(first: int, last: int) -> None:
            """Again and again until it is acknowledged, as a client does whose message may have been lost with a connection."""
            missing = {str(n) for n in range(first, last)}
            limit = time.monotonic() + 60
            while missing and time.monotonic() < limit:
                for name in sorted(missing, key=int):
                    backend.send(json.dumps({"v": 1, "form": form, "id": name, "source": "r"}).encode())
                while missing and await deferToThread(backend.poll, 2_000):
                    answer = json.loads(backend.recv())
                    if "error" not in answer:
                        answers.append(answer)
                        missing.discard(answer["id"])
            assert not missing

        try:
            await push(0, 50)
            await deferToThread(node.kill)
            backend.send(json.dumps({"v": 1, "form": form, "id": "50", "source": "r"}).encode())
            await deferToThread(node.start)
            ann = await joined(node.ws_url)
            await ann.subscribe(form)
            await push(50, 100)
            assert bridge.process.poll() is None
            await ann.event("updated", seq=100)
            answer = await ann.call("updates", form, since=0)
            assert answer["complete"]
            assert [update["seq"] for update in answer["updates"]] == list(range(1, 101))
            assert sorted(int(update["id"]) for update in answer["updates"]) == list(range(100))
            assert {(one["id"], one["seq"]) for one in answers} == {(update["id"], update["seq"]) for update in answer["updates"]}
            told = [event["seq"] for event in ann.events if event["status"] == "updated"]
            assert sorted(set(told)) == list(range(told[0], 101))
            await ann.leave()
        finally:
            bridge.end()
            node.stop()
