"""A backend's request is never harmed by what it reports: bounded in time, nothing raised, and a real socket gets it."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from formlock_push import MAX_BYTES, InvalidKeys, Keys, Pusher, Update
from tests.support.fake_bridge import made_keys
from tests.support.node import free_port

FORM = "com.example.form.invoice.42"
WITHIN_MS = 20_000
BRIDGE = str(Path(__file__).parents[2] / "bridge")
# Given in milliseconds to a slow machine, beside the bound that is tested.
SLACK_S = 5.0


@pytest.fixture
def address() -> str:
    """Where nobody listens yet."""
    return f"tcp://127.0.0.1:{free_port()}"


@pytest.fixture
def pull(address: str) -> Iterator[zmq.Socket[bytes]]:
    """Somebody who listens there."""
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        socket.set(zmq.RCVTIMEO, WITHIN_MS)
        socket.bind(address)
        yield socket


def received(pull: zmq.Socket[bytes]) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(pull.recv())
    return message


def python(script: str, *args: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": BRIDGE}
    return subprocess.run(
        [sys.executable, "-c", script, *args], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def full(pusher: Pusher) -> None:
    """Push until the queue is full."""
    while pusher.push(FORM):
        pass


def test_arrives(address: str, pull: zmq.Socket[bytes]) -> None:
    """A15: what was pushed arrives as it was said, and counts as sent."""
    with Pusher(address) as pusher:
        assert pusher.push(FORM, {"amount": ["120.00", "140.00"]}, version=7, origin="tab-1", actor="ann")
        message = received(pull)
        assert message.pop("id")
        assert message == {
            "v": 1,
            "form": FORM,
            "change_set": {"amount": ["120.00", "140.00"]},
            "status": "updated",
            "version": 7,
            "origin": "tab-1",
            "actor": "ann",
        }
        assert (pusher.sent, pusher.dropped) == (1, 0)


def test_bulk(address: str, pull: zmq.Socket[bytes]) -> None:
    """U36: what has happened to many records of a type is one message; more ids than the bridge takes are left out."""
    with Pusher(address) as pusher:
        assert pusher.bulk("invoice", 4_000, change_set={"status": [None, "sent"]}, redact={"status": "office"})
        assert pusher.bulk("org.shop.form.order.*", 2, ["7", "8"], source="shop", origin="tab-1", actor="ann", status="sent")
        assert pusher.bulk("invoice", 1_001, [str(n) for n in range(1_001)])
    first, second, third = (received(pull) for _ in range(3))
    assert (first["form"], first["count"], first["redact"]) == ("com.example.form.invoice.*", 4_000, {"status": "office"})
    assert (second["form"], second["count"], second["ids"]) == ("org.shop.form.order.*", 2, ["7", "8"])
    said = {"source": "shop", "origin": "tab-1", "actor": "ann", "status": "sent"}
    assert {name: second[name] for name in said} == said
    assert (third["count"], "ids" in third) == (1_001, False)


def test_event_loop(address: str) -> None:
    """U39: in a coroutine a push never waits, however full the queue is: it would hold up every other request."""

    async def request() -> float:
        began = time.monotonic()
        while pusher.push(FORM):
            pass
        return time.monotonic() - began

    # It would hang, not only be slow.
    with Pusher(address, linger_ms=0, timeout_ms=120_000) as pusher:
        assert asyncio.run(request()) < SLACK_S
        assert pusher.dropped == 1


def test_no_waiting(address: str) -> None:
    """U39: with a time-out of 0 it waits for nobody."""
    with Pusher(address, linger_ms=0, timeout_ms=0) as pusher:
        full(pusher)
        assert (pusher.sent, pusher.dropped) == (1_000, 1)


def test_keys(address: str, tmp_path: Path) -> None:
    """With keys what is pushed is encrypted, and the bridge is who it says."""
    keys, server_secret = made_keys()
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.set(zmq.RCVTIMEO, WITHIN_MS)
        pull.setsockopt(zmq.CURVE_SERVER, 1)
        pull.setsockopt(zmq.CURVE_SECRETKEY, server_secret.encode())
        pull.bind(address)
        with Pusher(address, keys=keys) as pusher:
            assert pusher.push(FORM, source="shop")
            assert received(pull)["source"] == "shop"


@pytest.mark.parametrize(
    "text", ["", "name = 1", 'name = "shop"\npublic_key = "short"', "<xml/>", 'name = "shop"\nserver_public_key = "x"']
)
def test_no_keys(tmp_path: Path, text: str) -> None:
    """A file that is none of `formlock keys` is refused with a sentence that says what is missing."""
    path = tmp_path / "shop.toml"
    path.write_text(text)
    with pytest.raises(InvalidKeys, match="shop.toml"):
        Keys.read(path)


def test_nobody_there(address: str, caplog: pytest.LogCaptureFixture) -> None:
    """U39: with the bridge down a push waits for its time-out once, the others not at all; the drops are counted and one line."""
    with Pusher(address, linger_ms=0) as pusher:
        began = time.monotonic()
        full(pusher)
        assert time.monotonic() - began < 0.2 + SLACK_S
        began = time.monotonic()
        for _ in range(500):
            assert not pusher.push(FORM)
        # Waiting each time would be 100 s.
        assert time.monotonic() - began < SLACK_S
        assert pusher.dropped == 501
        assert pusher.sent == 1_000
    lines = [record for record in caplog.records if record.name == "formlock_push"]
    assert len(lines) == 1
    assert lines[0].levelno == logging.WARNING
    assert FORM in lines[0].getMessage()
    assert "full" in lines[0].getMessage()


def test_room_in_time(address: str) -> None:
    """A burst that is longer than the queue waits for room, within its time-out: nothing is dropped while somebody reads."""
    with Pusher(address, linger_ms=0, timeout_ms=WITHIN_MS) as pusher:

        def burst() -> None:
            for _ in range(1_100):
                pusher.push(FORM)

        pushing = threading.Thread(target=burst)
        pushing.start()
        limit = time.monotonic() + WITHIN_MS / 1000
        while pusher.sent < 1_000:
            assert time.monotonic() < limit
            time.sleep(0.005)
        with zmq.Context() as context, context.socket(zmq.PULL) as pull:
            pull.set(zmq.RCVTIMEO, WITHIN_MS)
            pull.bind(address)
            for _ in range(1_100):
                received(pull)
            pushing.join()
        assert (pusher.sent, pusher.dropped) == (1_100, 0)


def test_back_again(address: str) -> None:
    """U38: what was queued while the bridge was away arrives when it is back, in order, and pushing goes on."""
    with Pusher(address, linger_ms=0) as pusher:
        full(pusher)
        with zmq.Context() as context, context.socket(zmq.PULL) as pull:
            pull.set(zmq.RCVTIMEO, WITHIN_MS)
            pull.bind(address)
            for _ in range(pusher.sent):
                received(pull)
            assert pusher.push(FORM, id="after")
            assert received(pull)["id"] == "after"


def test_never_raises(address: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is wrong with an update or the address, the caller's request goes on; the log says what it was."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no name")

    endless: dict[str, Any] = {}
    endless["a"] = endless
    wrong: list[dict[str, Any]] = [
        {"change_set": {"a": [None, float("nan")]}},
        {"change_set": {"a": [None, "\ud800"]}},
        {"change_set": {"a": [None, Broken()]}},
        {"change_set": {("a",): [1, 2]}},
        {"representation": endless},
        {"representation": "x" * MAX_BYTES},
    ]
    with Pusher(address) as pusher:
        for facts in wrong:
            assert not pusher.push(FORM, **facts)
        assert (pusher.sent, pusher.dropped) == (0, len(wrong))
    with Pusher("nowhere") as pusher:
        assert not pusher.push(FORM)
        # Nothing is left of the first attempt.
        assert "Invalid argument" in (pusher._try(Update(form=FORM)) or "")
    assert "Invalid argument" in caplog.text


def test_one_liner() -> None:
    """The README's line in a script of its own: the pusher is forgotten at once, the process ends, the update arrives."""
    address = f"tcp://127.0.0.1:{free_port()}"
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.set(zmq.RCVTIMEO, WITHIN_MS)
        pull.bind(address)
        script = (
            "import sys; from formlock_push import Pusher; Pusher(sys.argv[1]).push('com.example.form.invoice.42', {'a': [1, 2]})"
        )
        ended = python(script, address)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert received(pull)["change_set"] == {"a": [1, 2]}


@pytest.mark.parametrize("closing", ["pusher.close()", "del pusher", "kept = pusher"])
def test_exit(address: str, closing: str) -> None:
    """U39: with nobody there a process ends after LINGER at the latest, however it treats its pusher."""
    script = f"""
import sys, time
from formlock_push import Pusher
pusher = Pusher(sys.argv[1], linger_ms=300)
while pusher.push("com.example.form.invoice.42"): pass
{closing}
print("done")
"""
    began = time.monotonic()
    ended = python(script, address)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "done\n"
    assert time.monotonic() - began < 0.3 + 0.2 + 2 * SLACK_S


def test_exit_after_others_have_ended(address: str) -> None:
    """U39: where a library that is loaded later ends `weakref`'s own work first, the process ends all the same."""
    script = """
import sys, warnings, weakref
warnings.simplefilter("error")
from formlock_push import Pusher
class Library: pass
library = Library()
weakref.finalize(library, print, "library")
kept = Pusher(sys.argv[1], linger_ms=300)
kept.push("com.example.form.invoice.42")
"""
    ended = python(script, address)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "library\n", "")


def test_threads(address: str, pull: zmq.Socket[bytes]) -> None:
    """One pusher serves many threads: nothing is lost, and each thread's updates keep their order."""
    # None of them waits for the bridge; one may for another that had the lock when the processor was taken from it.
    with Pusher(address, timeout_ms=WITHIN_MS) as pusher:

        def work(name: str) -> None:
            for n in range(100):
                assert pusher.push(FORM, source=name, version=n)

        threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        versions: dict[str, list[int]] = {}
        for _ in range(800):
            message = received(pull)
            versions.setdefault(message["source"], []).append(message["version"])
        for thread in threads:
            thread.join()
        assert pusher.sent == 800
    assert versions == {f"t{n}": list(range(100)) for n in range(8)}


def test_threads_nobody_there(address: str) -> None:
    """U39: waiting behind another thread counts as waiting: no thread is held for longer than the time-out."""
    with Pusher(address, linger_ms=0) as pusher:
        full(pusher)
        took: list[float] = []

        def work() -> None:
            began = time.monotonic()
            pusher.push(FORM)
            took.append(time.monotonic() - began)

        threads = [threading.Thread(target=work) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # One after another they would take 10 s.
        assert max(took) < 0.2 + SLACK_S
        assert pusher.dropped == 51


def test_behind_a_thread_that_hangs(address: str) -> None:
    """U39: a push waits no longer than its time-out for another thread that is sending, and that one counts against it."""
    with Pusher(address, timeout_ms=100) as pusher, pusher._line.lock:
        assert not pusher.push(FORM)
        assert pusher.dropped == 1


def test_one_time_out(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """U39: what was waited for another thread is not waited once more for the queue."""

    class Slow:
        def acquire(self, timeout: float) -> bool:
            time.sleep(timeout)
            return True

        def release(self) -> None:
            pass

    limits: list[float] = []
    pusher = Pusher(address, timeout_ms=200)
    monkeypatch.setattr(pusher._line, "lock", Slow())
    monkeypatch.setattr(pusher._line, "send", lambda _data, _pusher, limit: limits.append(limit - time.monotonic()))
    pusher.push(FORM)
    assert limits[0] <= 0.0


def _child(pusher: Pusher) -> None:
    assert not pusher.push(FORM, representation="x" * MAX_BYTES)
    pusher.push(FORM, source="child")
    # As a forked web worker ends, with its exit handlers; multiprocessing would skip them.
    import atexit

    atexit._run_exitfuncs()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_fork(address: str, pull: zmq.Socket[bytes]) -> None:
    """A web server that forks after the first push: parent and child both go on, each with its own connection, even if another
    thread of the parent was just pushing."""
    with Pusher(address) as pusher:
        pusher.push(FORM, source="before")
        assert received(pull)["source"] == "before"
        with pusher._line.lock, pusher._line.counting:
            child = multiprocessing.get_context("fork").Process(target=_child, args=(pusher,))
            child.start()
        assert received(pull)["source"] == "child"
        child.join(WITHIN_MS / 1000)
        assert child.exitcode == 0
        pusher.push(FORM, source="after")
        assert received(pull)["source"] == "after"
        assert pusher.sent == 2


def test_close_and_go_on(address: str, pull: zmq.Socket[bytes]) -> None:
    """Closing loses nothing, may be repeated, and a later push opens again."""
    pusher = Pusher(address)
    for n in range(3):
        pusher.push(FORM, version=n)
        pusher.close()
        pusher.close()
    assert sorted(received(pull)["version"] for _ in range(3)) == [0, 1, 2]


def test_light() -> None:
    """A backend that imports formlock_push loads none of the server's packages."""
    script = "import sys, formlock_push; print([m for m in sys.modules if m.split('.')[0] in sys.argv[1].split()])"
    ended = python(script, "twisted autobahn crossbar txzmq msgspec formlock formlock_bridge")
    assert ended.stdout == "[]\n", ended.stderr
