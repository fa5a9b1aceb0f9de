"""Scripts that hold forms, on a real node: what people and crashes do to them."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from formlock import wamp_client
from formlock.client import Client, FormLocked, Held, Lost, NotAllowed, hold
from formlock.line import STOOD_STILL_MS
from formlock_push.verify import Verifier
from tests.browser.proxy import Proxy
from tests.support.client import WITHIN_S, joined
from tests.support.node import ROOT, Node, without, worker_of

# Some start a node again.
pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

EDITOR = {"*": ["view", "lock"]}
PING_S, GRACE_S = 1, 6
# For the machine that runs the tests, on top of what is promised. The lease would last for longer.
SLACK_S = 10
T = TypeVar("T")


def quick(config: dict[str, Any]) -> None:
    """Short leases and pings, so that a test sees their end."""
    without("bridge")(config)
    policy = {
        # Nobody waits for its end: what ends sooner ends for another reason.
        "ttl_ms": 30_000,
        "renew_ms": 3_000,
        "grace_ms": GRACE_S * 1_000,
        "contended_probe_ms": 1_500,
        "contended_grace_ms": 4_500,
        "reserve_ms": 500,
    }
    worker_of(config, "locks")["components"][0]["extra"]["policy"] = policy
    options = config["workers"][0]["transports"][0]["paths"]["ws"]["options"]
    options |= {"auto_ping_interval": PING_S * 1_000, "auto_ping_timeout": PING_S * 1_000}


@pytest.fixture(scope="module")
def quick_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("quick"), quick)
    try:
        yield node.start()
    finally:
        node.stop()


@pytest.fixture
def form(request: pytest.FixtureRequest) -> str:
    return f"com.example.form.hold.{request.node.name[:60]}"


def eventually(fulfilled: Callable[[], object], within_s: float = WITHIN_S) -> None:
    limit = time.monotonic() + within_s
    while not fulfilled():
        assert time.monotonic() < limit
        time.sleep(0.005)


def aside(work: Callable[[], T]) -> Deferred[T]:
    """On a thread, as scripts are: the reactor is the test's own."""
    return deferToThread(work)


@pytest_twisted.ensureDeferred
async def test_a_script_holds_a_form(node: Node, form: str) -> None:
    """U22: others see who holds it, that it is a machine, and why; its receipt is good; afterwards the form is free."""
    bob = await joined(node.ws_url, "bob")
    await bob.subscribe(form)
    with Client(node.ws_url, user="import", name="Nightly import") as client:
        held: Held = await aside(lambda: client.lock(form, note="invoices of May"))
        edit = await bob.event("edit")
        assert (edit["holder"], edit["machine"], edit["note"]) == (
            {"user": "import", "name": "Nightly import"}, True, "invoices of May",
        )  # fmt: skip
        refused = await bob.refused("lock", form=form, tab="b")
        assert refused.facts["machine"] is True
        receipt = Verifier.from_file(node.folder / "credentials" / "receipts").verify(held.receipt, form=form, user="import")
        assert receipt.token == held.token == edit["token"]
        await aside(held.prove)
        await aside(lambda: client.release(held))
        assert (await bob.event("released"))["cause"] == "unlock"
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_a_person_takes_over(node: Node, form: str) -> None:
    """U14, U22: a person without any right takes over from a script, and the script's next check raises, with who and why."""
    bob = await joined(node.ws_url, "bob", rights=EDITOR)
    locked, taken = threading.Event(), threading.Event()
    writes: list[int] = []

    def script() -> Lost:
        try:
            with hold(form, user="import", url=node.ws_url) as held:
                for row in range(1_000_000):
                    held.check()
                    writes.append(row)
                    locked.set()
                    taken.wait(0.01)
        except Lost as error:
            return error
        raise AssertionError("it went on to the end")

    running = aside(script)
    await aside(lambda: locked.wait(WITHIN_S))
    token = (await bob.call("status", form))["token"]
    await bob.call("takeover", form=form, expected_token=token, tab="b", reason="customer on the phone")
    lost = await running.addTimeout(WITHIN_S, reactor)
    assert lost.facts["form"] == form
    assert (lost.facts["holder"], lost.facts["reason"]) == ({"user": "bob", "name": "Bob"}, "customer on the phone")
    assert (await bob.call("status", form))["holder"]["user"] == "bob"
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_an_agent_yields(node: Node, form: str) -> None:
    """U17: somebody asks; the agent notices, gives way, and whoever asked is answered."""
    bob = await joined(node.ws_url, "bob")
    await bob.subscribe(form)

    def agent() -> None:
        with hold(form, user="agent", url=node.ws_url) as held:
            eventually(held.release_if_asked)

    running = aside(agent)
    await bob.event("edit")
    await bob.call("ask", form=form, tab="b", note="please")
    assert (await bob.event("answered"))["released"] is True
    await running
    assert (await bob.call("lock", form=form, tab="b"))["event"] == "lock"
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_probes_are_answered(node: Node, form: str) -> None:
    """A script that somebody waits for shows that it is there, and is left its form until it is done."""
    bob = await joined(node.ws_url, "bob")
    await bob.subscribe(form)
    done = threading.Event()

    def script() -> None:
        with hold(form, user="import", url=node.ws_url) as held:
            done.wait(60)
            held.check()

    running = aside(script)
    await bob.event("edit")
    began = reactor.seconds()
    await bob.call("lock", form=form, tab="b", wait=True)
    # The probe has 5 s; unanswered, the script would be in its grace after that.
    while reactor.seconds() - began < 6:
        assert (await bob.call("status", form))["state"] == "held"
        await aside(lambda: time.sleep(0.2))
    done.set()
    await bob.event("granted")
    await running
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_waits_in_line(node: Node, form: str) -> None:
    """A script stands in line behind a person, gets its turn, and confirms it."""
    bob = await joined(node.ws_url, "bob")
    await bob.subscribe(form)
    got = await bob.call("lock", form=form, tab="b")

    def script() -> int:
        with hold(form, user="import", url=node.ws_url, wait=True, timeout_s=WITHIN_S) as held:
            held.prove()
            return held.token

    running = aside(script)
    queued = await bob.event("queued")
    assert [waiter["user"] for waiter in queued["waiters"]] == ["import"]
    await bob.call("unlock", form=form, token=got["token"], tab="b")
    assert await running == got["token"] + 1
    await bob.event("released", token=got["token"] + 1)
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_waits_in_vain(node: Node, form: str) -> None:
    """When the time is over it is in no line any more, and is told who has the form."""
    bob = await joined(node.ws_url, "bob")
    await bob.subscribe(form)
    await bob.call("lock", form=form, tab="b")

    def script() -> FormLocked:
        with Client(node.ws_url, user="import") as client:
            # So that the time is not over before it is let in.
            client.status(form)
            with pytest.raises(FormLocked) as refused, client.hold(form, wait=True, timeout_s=2):
                pytest.fail("bob had it all the time")
        return refused.value

    refused = await aside(script)
    assert refused.facts["holder"] == {"user": "bob", "name": "Bob"}
    assert "waiters" not in await bob.event("left_queue")
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_several_forms(node: Node, form: str) -> None:
    """All or none; two scripts that want the same forms in another order both get through."""
    forms = [f"{form}-{name}" for name in "abc"]
    bob = await joined(node.ws_url, "bob")
    taken = await bob.call("lock", form=forms[1], tab="b")

    def refused() -> str:
        with pytest.raises(FormLocked) as error, hold(forms, user="import", url=node.ws_url):
            pytest.fail("one of them was taken")
        return str(error.value.facts["form"])

    assert await aside(refused) == forms[1]
    assert (await bob.call("status", forms[0]))["state"] == "free"
    await bob.call("unlock", form=forms[1], token=taken["token"], tab="b")
    inside: list[int] = []

    def script(order: list[str]) -> None:
        for _ in range(3):
            with hold(order, user="import", url=node.ws_url, wait=True, timeout_s=60) as held:
                inside.append(1)
                assert sum(inside) == 1
                held.check()
                inside.append(-1)

    running = [aside(lambda: script(forms)), aside(lambda: script(forms[::-1]))]
    for one in running:
        await one
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_an_exception_frees(node: Node, form: str) -> None:
    """Whatever leaves the block, the form is free at once, and no grace is waited for."""
    bob = await joined(node.ws_url, "bob")
    await bob.subscribe(form)

    def script() -> None:
        with pytest.raises(KeyboardInterrupt), hold(form, user="import", url=node.ws_url):
            raise KeyboardInterrupt

    await aside(script)
    assert (await bob.event("released"))["cause"] == "unlock"
    await bob.leave()


def test_not_let_in(node: Node, form: str) -> None:
    """A user that the router does not accept is told so at once, with the router's own sentence."""
    began = time.monotonic()
    with pytest.raises(NotAllowed, match="user: 1 to 100 characters"), hold(form, user="x" * 101, url=node.ws_url):
        pytest.fail("it was let in")
    assert time.monotonic() - began < WITHIN_S


@pytest_twisted.ensureDeferred
async def test_kill_9_of_the_whole_node(tmp_path: Path, form: str) -> None:
    """U2: the node is killed and started again within the grace: the script goes on with the same token, and releases it."""
    node = Node(tmp_path / "node", without("bridge"))
    try:
        await aside(node.start)
        with Client(node.ws_url, user="import") as client:
            held: Held = await aside(lambda: client.lock(form))
            token = held.token
            node.kill()
            await aside(lambda: eventually(lambda: held.in_doubt))
            checking = aside(held.check)
            await aside(node.start)
            await checking.addTimeout(WITHIN_S, reactor)
            assert (held.token, held.in_doubt) == (token, False)
            bob = await joined(node.ws_url, "bob")
            status = await bob.call("status", form)
            assert (status["state"], status["token"], status["holder"]["user"]) == ("held", token, "import")
            await aside(lambda: client.release(held))
            assert (await bob.call("lock", form=form, tab="b"))["token"] == token + 1
            await bob.leave()
    finally:
        await aside(node.stop)


@pytest_twisted.ensureDeferred
async def test_the_example(node: Node, tmp_path: Path) -> None:
    """examples/scripts/set_amounts.py waits for whoever is editing, writes under its tokens, and leaves what has a newer one."""
    path = tmp_path / "invoices.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE invoice (number INTEGER PRIMARY KEY, amount TEXT, version INTEGER, lock_token INTEGER)")
        database.executemany("INSERT INTO invoice VALUES (?, '1.00', 1, ?)", [(9001, 0), (9002, 0), (9003, 2**52)])
    amounts = tmp_path / "amounts.csv"
    amounts.write_text("9001,10.00\n9002,20.00\n9003,30.00\n", encoding="utf-8")
    bob = await joined(node.ws_url, "bob")
    form = "com.example.form.invoice.9002"
    await bob.subscribe(form)
    got = await bob.call("lock", form=form, tab="b")
    command = [sys.executable, str(ROOT / "examples/scripts/set_amounts.py"), str(amounts), str(path), node.ws_url]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "components")}
    running = aside(lambda: subprocess.run(command, env=environment, check=False, timeout=60, capture_output=True, text=True))
    assert (await bob.event("queued"))["waiters"][0]["name"] == "Import of amounts"
    await bob.call("unlock", form=form, token=got["token"], tab="b")
    done = await running
    assert (done.returncode, done.stderr) == (1, "9003: there is none, or it was edited under a newer lock\n")
    with sqlite3.connect(path) as database:
        found = database.execute("SELECT number, amount, version, lock_token FROM invoice").fetchall()
    assert [row[:3] for row in found] == [(9001, "10.00", 2), (9002, "20.00", 2), (9003, "1.00", 1)]
    assert found[1][3] == got["token"] + 1
    await bob.leave()


SCRIPT = """
import sys, time
from formlock.client import hold
with hold(sys.argv[2], user="import", url=sys.argv[1]) as held:
    print(held.token, flush=True)
    time.sleep(60)
"""

SLEEPER = """
import os, signal, sys
from formlock.client import Lost, hold
try:
    with hold(sys.argv[2], user="import", url=sys.argv[1]) as held:
        held.check()
        os.kill(os.getpid(), signal.SIGSTOP)
        held.check()
        print("believed")
except Lost as lost:
    holder = lost.facts.get("holder") or {}
    print("lost", holder.get("user", lost.facts.get("cause")))
"""


def script_process(url: str, form: str, source: str = SCRIPT) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "components")}
    return subprocess.Popen([sys.executable, "-c", source, url, form], stdout=subprocess.PIPE, env=environment)


@pytest_twisted.ensureDeferred
async def test_a_killed_script_frees_its_form(quick_node: Node, form: str) -> None:
    """U1, U40: SIGKILL, or a machine that hangs: the form is free within ping interval, time-out and grace."""
    bob = await joined(quick_node.ws_url, "bob")
    await bob.subscribe(form)
    for ending, limit_s in ((signal.SIGKILL, GRACE_S), (signal.SIGSTOP, 2 * PING_S + GRACE_S)):
        bob.events.clear()
        process = script_process(quick_node.ws_url, form)
        try:
            edit = await bob.event("edit")
            process.send_signal(ending)
            killed_at = reactor.seconds()
            released = await bob.event("released")
            assert (released["cause"], released["token"]) == ("session_lost", edit["token"])
            assert reactor.seconds() - killed_at < limit_s + SLACK_S
        finally:
            process.kill()
            process.communicate()
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_a_script_that_was_stopped(quick_node: Node, form: str) -> None:
    """U7: a process that stood still, and goes on, does not believe that it still holds what others have by now."""
    bob = await joined(quick_node.ws_url, "bob")
    await bob.subscribe(form)
    process = script_process(quick_node.ws_url, form, SLEEPER)
    try:
        await bob.event("edit")
        await bob.event("released", cause="session_lost")
        await bob.call("lock", form=form, tab="b")
        # Here lines are lost sooner than the script takes for having stood still; with the shipped pings (10 s) it is the other way.
        await deferLater(reactor, STOOD_STILL_MS / 1000)
        process.send_signal(signal.SIGCONT)
        said, _ = await aside(lambda: process.communicate(timeout=60))
        # Whose it is now is known to whom the service has answered; a line that is slow to come back leaves its own clock to say it.
        assert said.decode().split() in (["lost", "bob"], ["lost", "not_renewed"])
    finally:
        process.kill()
        process.communicate()
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_a_black_hole_with_somebody_in_line(quick_node: Node, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """U3, U15: a line that swallows everything, and somebody who waits: the script has its doubts before the other has the form."""
    # The pings would notice the hole as well, some time or other: here nothing but the silence tells.
    monkeypatch.setattr(wamp_client, "PING_S", 60)
    bob = await joined(quick_node.ws_url, "bob")
    await bob.subscribe(form)
    believed: list[float] = []

    def script(url: str) -> Lost:
        try:
            with hold(form, user="import", url=url) as held:
                while True:
                    held.check()
                    believed.append(time.monotonic())
                    time.sleep(0.005)
        except Lost as error:
            return error

    with Proxy(quick_node.port) as proxy:
        running = aside(lambda: script(f"ws://127.0.0.1:{proxy.port}/ws"))
        await bob.event("edit")
        # The others hear of it before the script has its answer.
        while not believed:
            await deferLater(reactor, 0.05)
        proxy.hole = True
        await bob.call("lock", form=form, tab="b", wait=True)
        await bob.event("granted")
        granted_at = time.monotonic()
        assert (await bob.call("lock", form=form, tab="b"))["event"] == "lock"
        # Until its lease is over, and what it gives back without an answer.
        lost = await running.addTimeout(3 * WITHIN_S, reactor)
    assert believed[-1] < granted_at
    assert lost.facts["cause"] == "not_renewed"
    await bob.leave()
