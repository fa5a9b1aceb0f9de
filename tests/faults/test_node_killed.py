"""Real processes, really killed: what of a lock survives, and what must not."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.support.client import joined
from tests.support.node import Node, without, worker_of
from tests.support.worker import WorkerProcess, answered

# Each test starts nodes of its own.
pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

FORM, OTHER = "com.example.form.test.killed", "com.example.form.test.other"


def quick(config: dict[str, Any]) -> None:
    """A short grace and pings, so that a test sees their end."""
    without("bridge", "demo")(config)
    # Nobody waits for the lease's end: what ends sooner ends for another reason.
    policy = {"ttl_ms": 60_000, "renew_ms": 2_000, "grace_ms": 1_000, "reserve_ms": 500, "contended_grace_ms": 1_000}
    worker_of(config, "locks")["components"][0]["extra"]["policy"] = policy
    options = config["workers"][0]["transports"][0]["paths"]["ws"]["options"]
    options |= {"auto_ping_interval": 1_000, "auto_ping_timeout": 1_000}


@pytest.fixture(scope="module")
def quick_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node with short times, for the tests that kill browsers only."""
    node = Node(tmp_path_factory.mktemp("quick"), quick)
    try:
        yield node.start()
    finally:
        node.stop()


Make = Callable[[Callable[[dict[str, Any]], None]], Node]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes nodes, and stops them whatever happens."""
    made: list[Node] = []

    def make(change: Callable[[dict[str, Any]], None]) -> Node:
        made.append(Node(tmp_path / str(len(made)), change))
        return made[-1]

    yield make
    for node in made:
        node.stop()


@pytest.fixture
def workers() -> Iterator[list[WorkerProcess]]:
    """Workers of their own that are ended after the test."""
    started: list[WorkerProcess] = []
    yield started
    for worker in started:
        worker.kill()


@pytest_twisted.ensureDeferred
async def test_kill_9_of_the_whole_node(make: Make) -> None:
    """U2: after a power cut the holder gets its lock and token back within the grace, nobody else does before, and later tokens are
    higher."""
    node = make(without("bridge", "demo"))
    await deferToThread(node.start)
    ann = await joined(node.ws_url, "ann")
    token = (await ann.call("lock", form=FORM, tab="a", note="mine"))["token"]
    other = (await ann.call("lock", form=OTHER, tab="a"))["token"]
    await ann.call("unlock", form=OTHER, token=other, tab="a")
    epoch = (await ann.call("status", FORM))["epoch"]
    node.kill()
    await deferToThread(node.start)
    bob = await joined(node.ws_url, "bob")
    refused = await bob.refused("lock", form=FORM, tab="b")
    assert (refused.name, refused.facts["holder"]["user"], refused.facts["note"]) == ("form_locked", "ann", "mine")
    assert (await bob.call("status", FORM))["state"] == "grace"
    ann = await joined(node.ws_url, "ann")
    assert (await ann.call("lock", form=FORM, tab="a"))["token"] == token
    assert (await bob.call("lock", form=OTHER, tab="b"))["token"] == other + 1
    await ann.call("unlock", form=FORM, token=token, tab="a")
    again = await bob.call("lock", form=FORM, tab="b")
    assert again["token"] == token + 1
    assert again["epoch"] == epoch
    await ann.leave()
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_killed_browser_frees_its_form(quick_node: Node) -> None:
    """U1, U40: a page that dies without a word holds its form for the grace and no longer."""
    ann, bob = await joined(quick_node.ws_url, "ann"), await joined(quick_node.ws_url, "bob")
    await bob.subscribe(FORM)
    await ann.call("lock", form=FORM, tab="a")
    await bob.event("edit")
    lost_at = reactor.seconds()
    ann.drop()
    assert (await bob.event("released"))["cause"] == "session_lost"
    assert reactor.seconds() - lost_at >= 0.9
    assert (await bob.call("lock", form=FORM, tab="b"))["event"] == "lock"
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_silent_browser_is_noticed_by_the_ping(quick_node: Node) -> None:
    """U40: a line that is cut without a word is noticed within ping interval and time-out, and frees the form a grace later."""
    ann, bob = await joined(quick_node.ws_url, "ann"), await joined(quick_node.ws_url, "bob")
    await bob.subscribe(OTHER)
    await ann.call("lock", form=OTHER, tab="a")
    # Deaf and dumb, but its socket is open: what a black hole looks like from the router.
    ann.session._transport.transport.stopReading()
    assert (await bob.event("released"))["cause"] == "session_lost"
    ann.drop()
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_lock_worker_killed_and_started_again(make: Make, workers: list[WorkerProcess], tmp_path: Path) -> None:
    """The lock worker alone is killed: its callers are told to retry, the clients stay connected and keep locks and tokens."""
    node = make(without("bridge", "locks", "demo"))
    await deferToThread(node.start)
    workers.append(worker := WorkerProcess(node, tmp_path))
    ann = await joined(node.ws_url, "ann")
    await answered(ann, FORM)
    token = (await ann.call("lock", form=FORM, tab="a"))["token"]
    worker.kill()
    assert (await ann.refused("status", FORM)).name == "not_active"
    workers.append(WorkerProcess(node, tmp_path))
    assert (await answered(ann, FORM))["state"] == "held"
    renewed = await ann.call("renew", locks=[{"form": FORM, "token": token}], tab="a")
    assert renewed["locks"][0]["event"] == "renewed"
    await ann.leave()


@pytest_twisted.ensureDeferred
async def test_router_away_and_back(make: Make, workers: list[WorkerProcess], tmp_path: Path) -> None:
    """A worker of its own outlives its router, comes back to it by itself, and has lost no lock and no token."""
    node = make(without("bridge", "locks", "demo"))
    await deferToThread(node.start)
    workers.append(worker := WorkerProcess(node, tmp_path))
    ann = await joined(node.ws_url, "ann")
    await answered(ann, FORM)
    token = (await ann.call("lock", form=FORM, tab="a"))["token"]
    for _ in range(2):
        node.kill()
        await deferToThread(node.start)
        ann = await joined(node.ws_url, "ann")
        assert (await answered(ann, FORM))["state"] == "grace"
        assert (await ann.call("lock", form=FORM, tab="a"))["token"] == token
    assert worker.process.poll() is None
    await worker.logged("locks.ready", 3)
    assert worker.log.read_text().count("locks.ready") == 3
    await ann.leave()


@pytest_twisted.ensureDeferred
async def test_worker_in_the_container_killed(make: Make) -> None:
    """In the single-node configuration a killed worker ends the whole node, so that its supervisor starts it whole."""
    node = make(without("bridge", "demo"))
    await deferToThread(node.start)
    os.kill(node.pids()["locks"], signal.SIGKILL)
    assert node.process is not None
    assert await deferToThread(node.process.wait, 30) == 1
    node.process = None


@pytest_twisted.ensureDeferred
async def test_a_worker_says_why_it_can_not_start(make: Make, workers: list[WorkerProcess], tmp_path: Path) -> None:
    """A store that can't be opened is a sentence in the log, and the worker goes on trying."""
    node = make(without("bridge", "locks", "demo"))
    (node.folder / "locks.sqlite").write_bytes(b"no database" * 100)
    await deferToThread(node.start)
    workers.append(worker := WorkerProcess(node, tmp_path))
    ann = await joined(node.ws_url, "ann")
    limit = reactor.seconds() + 60
    while worker.log.read_text().count("component.start_failed") < 2:
        assert reactor.seconds() < limit
        assert (await ann.refused("status", FORM)).name == "not_active"
        await deferLater(reactor, 0.1)
    assert "locks.sqlite can't be opened: file is not a database" in worker.log.read_text()
    (node.folder / "locks.sqlite").unlink()
    assert (await answered(ann, FORM))["state"] == "free"
    await ann.leave()
