"""Two lock workers alive at once, by mistake: one was stopped, another has taken over, the first goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.faults.checker import faults
from tests.faults.history import History, Operation, Tab
from tests.support.client import Client, Refused, joined
from tests.support.node import Node, without
from tests.support.worker import WorkerProcess

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

FORM, OTHER = "com.example.form.two.1", "com.example.form.two.2"


def soon(config: dict[str, Any]) -> None:
    """A router that notices a stopped worker sooner than after 20 s."""
    without("bridge", "locks", "demo")(config)
    internal = next(transport for transport in config["workers"][0]["transports"] if transport.get("id") == "internal")
    internal["options"] |= {"auto_ping_interval": 1_000, "auto_ping_timeout": 1_000}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path / "node", soon)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def workers() -> Iterator[list[WorkerProcess]]:
    """They are ended after the test, stopped or not."""
    started: list[WorkerProcess] = []
    yield started
    for worker in started:
        worker.kill()


def started(workers: list[WorkerProcess], node: Node, folder: Path) -> WorkerProcess:
    folder.mkdir()
    workers.append(worker := WorkerProcess(node, folder))
    return worker


async def answered(client: Client, name: str, **facts: Any) -> Any:
    """Again, while no worker is there."""
    limit = time.monotonic() + 60
    while True:
        try:
            return await client.call(name, **facts)
        except Refused as error:
            if error.name not in ("not_active", "no_such_procedure", "canceled") or time.monotonic() > limit:
                raise
            await deferLater(reactor, 0.05)


async def granted(history: History, client: Client, user: str, form: str = FORM, **facts: Any) -> int:
    """The token, after writing it down."""
    operation = Operation(Tab(user, user), form, "lock", time.monotonic())
    answer = await answered(client, "lock", form=form, tab=user, **facts)
    operation.outcome, operation.answered, operation.got = "granted", time.monotonic(), answer["token"]
    operation.rev, operation.lease_ms = answer["rev"], answer["lease_ms"]
    history.operations.append(operation)
    token: int = answer["token"]
    return token


@pytest_twisted.ensureDeferred
async def test_a_stopped_worker_that_goes_on_has_no_say(node: Node, workers: list[WorkerProcess], tmp_path: Path) -> None:
    """While the first is stopped, the second answers after ping and time-out, from the same store, with the same tokens. The first,
    when it goes on, answers nobody, writes nothing, and waits until it is needed."""
    history = History()
    first = started(workers, node, tmp_path / "first")
    ann, bob = await joined(node.ws_url, "ann"), await joined(node.ws_url, "bob")
    # It answers `lock` before it has registered everything.
    await first.logged("locks.ready")
    token = await granted(history, ann, "ann")
    first.pause()
    # On its way to the first: whether it comes about is open, but not twice, and not after what the second has decided.
    lost = bob.session.call("com.example.formlock.lock", form=OTHER, tab="bob", rid="r")
    lost.addBoth(lambda _: None)
    second = started(workers, node, tmp_path / "second")
    await second.logged("locks.ready")
    assert await granted(history, ann, "ann") == token
    await answered(ann, "unlock", form=FORM, token=token, tab="ann")
    taken = await granted(history, bob, "bob")
    assert taken == token + 1
    other = await granted(history, bob, "bob", OTHER, rid="r")
    first.go_on()
    await first.logged("component.start_failed")
    for _ in range(20):
        status = await bob.call("status", form=FORM)
        assert (status["token"], status["holder"]["user"]) == (taken, "bob")
        assert (await bob.call("status", form=OTHER))["token"] == other
    assert await granted(history, bob, "bob") == taken
    second.kill()
    # Now the first, which has tried again and again, is the one.
    assert (await answered(bob, "status", form=FORM))["holder"]["user"] == "bob"
    await first.logged("locks.ready", 2)
    assert await granted(history, bob, "bob") == taken
    await bob.call("unlock", form=FORM, token=taken, tab="bob")
    assert await granted(history, ann, "ann") == taken + 1
    assert not faults(history.forms()[OTHER], other - 1)
    await ann.leave()
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_a_worker_whose_store_was_taken_steps_down(node: Node, workers: list[WorkerProcess], tmp_path: Path) -> None:
    """Still registered, still asked, but its file is another's: its first write fails, nobody is answered what it has decided, and
    it comes back only by loading what the other has written."""
    worker = started(workers, node, tmp_path / "first")
    ann, bob = await joined(node.ws_url, "ann"), await joined(node.ws_url, "bob")
    token = (await answered(ann, "lock", form=FORM, tab="ann"))["token"]
    await ann.call("unlock", form=FORM, token=token, tab="ann")
    # Another router, the same folder: nothing but the store can keep these two apart.
    twin = Node(tmp_path / "twin", soon)
    try:
        await deferToThread(twin.start)
        workers.append(WorkerProcess(twin, twin.folder, "--store", f"sqlite:///{node.folder / 'locks.sqlite'}"))
        cho = await joined(twin.ws_url, "cho")
        taken = (await answered(cho, "lock", form=FORM, tab="cho"))["token"]
        assert taken == token + 1
        refused = await bob.refused("lock", form=FORM, tab="bob")
        assert refused.name in ("not_active", "canceled")
        await worker.logged("locks.stepped_down")
        await cho.leave()
    finally:
        await deferToThread(twin.stop)
    # The first takes the file back by loading it; the token that the twin gave is not given again.
    assert (await answered(bob, "status", form=FORM))["token"] == taken
    await ann.leave()
    await bob.leave()
