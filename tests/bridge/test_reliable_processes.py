"""Pushing reliably from real processes: killed at any moment, forked, sharing one spool, on a full disk, ending."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from formlock_push import Outcome, ReliablePusher
from formlock_push.spool import Spool
from tests.bridge.fake_bridge import FakeBridge
from tests.bridge.test_reliable import FORM, WITHIN_S, until, versions
from tests.support.node import free_port

BRIDGE = str(Path(__file__).parents[2] / "bridge")

# Pushes to a form for ever, and says each version when it is acknowledged or spooled.
PUSHES = """
import sys
from formlock_push import ReliablePusher
address, spool, form, first = sys.argv[1:]
pusher = ReliablePusher(address, spool=spool, timeout_ms=200)
version = int(first)
while True:
    assert pusher.push(form, version=version), version
    print(version, flush=True)
    version += 1
"""


@pytest.fixture
def bridge() -> Iterator[FakeBridge]:
    bridge = FakeBridge(f"tcp://127.0.0.1:{free_port()}")
    yield bridge
    bridge.stop()


def started(script: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, args)],
        env={**os.environ, "PYTHONPATH": BRIDGE},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(script: str, *args: object) -> tuple[int, str, str]:
    with started(script, *args) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def killed(process: subprocess.Popen[str]) -> list[int]:
    """Kill -9; what it had said by then."""
    process.send_signal(signal.SIGKILL)
    out, _ = process.communicate(timeout=60)
    # The last line may be torn.
    return [int(line) for line in out.split("\n")[:-1]]


@pytest.mark.timeout(180)
def test_killed(bridge: FakeBridge, tmp_path: Path) -> None:
    """U38: processes that are killed -9 in mid-push, with the bridge there and away: what `push` had promised is in the journal, once
    and in order."""
    spool = tmp_path / "spool"
    first = 0
    promised: list[int] = []
    for round in range(6):
        (bridge.stop if round % 2 else bridge.start)()
        with started(PUSHES, bridge.address, spool, FORM, first) as process:
            assert process.stdout is not None
            for _ in range(40 + 7 * round):
                promised.append(int(process.stdout.readline()))
            promised += killed(process)
        # One push may have been under way: whether it arrives is open.
        first = promised[-1] + 2
        bridge.stop()
    bridge.start()
    with ReliablePusher(bridge.address, spool=spool) as pusher:
        assert pusher.flush(WITHIN_S)
    arrived = versions(bridge)
    assert arrived == sorted(set(arrived))
    assert set(promised) <= set(arrived)
    assert len(promised) > 300
    assert len(arrived) <= len(promised) + 6


@pytest.mark.timeout(180)
def test_shared(bridge: FakeBridge, tmp_path: Path) -> None:
    """Three processes share a spool while the bridge goes and comes; the one that drains is killed, and another takes its place."""
    spool = tmp_path / "spool"
    processes = [started(PUSHES, bridge.address, spool, f"{FORM}-{n}", 0) for n in range(3)]
    try:
        until(lambda: Spool(spool).waiting().messages > 60)
        said = [killed(processes[0]), [], []]
        bridge.start()
        until(lambda: bridge.seen > 200)
        bridge.stop()
        until(lambda: Spool(spool).waiting().messages > 60)
        bridge.start()
        said[1] = killed(processes[1])
        until(lambda: len(versions(bridge, f"{FORM}-1")) > len(said[1]) - 1)
        said[2] = killed(processes[2])
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    with ReliablePusher(bridge.address, spool=spool) as pusher:
        assert pusher.flush(WITHIN_S)
    for n in range(3):
        arrived = versions(bridge, f"{FORM}-{n}")
        assert arrived == list(range(len(arrived)))
        assert len(said[n]) <= len(arrived) <= len(said[n]) + 1


FORKS = """
import os, sys, threading
from formlock_push import ReliablePusher
address, spool = sys.argv[1:]
pusher = ReliablePusher(address, spool=spool, timeout_ms=200)
form = "com.example.form.invoice."
stop = threading.Event()
def work(name):
    n = 0
    while not stop.is_set():
        assert pusher.push(form + name, version=n)
        n += 1
threads = [threading.Thread(target=work, args=(f"thread{n}",)) for n in range(2)]
for thread in threads: thread.start()
children = []
for n in range(8):
    assert pusher.push(form + "parent", version=n)
    child = os.fork()
    if child == 0:
        for version in range(5):
            assert pusher.push(f"{form}child{n}", version=version)
        sys.exit(0)  # with its exit handlers, as a web server's worker ends
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
stop.set()
for thread in threads: thread.join()
print(codes, pusher.dropped)
"""


@pytest.mark.parametrize("there", [True, False])
def test_fork(bridge: FakeBridge, tmp_path: Path, there: bool) -> None:
    """A process forks while its threads push and its spool is open: parent and children all go on, and each one's updates are there
    once and in order."""
    spool = tmp_path / "spool"
    if there:
        bridge.start()
    code, out, err = ended(FORKS, bridge.address, spool)
    assert (code, out) == (0, "[0, 0, 0, 0, 0, 0, 0, 0] 0\n"), err
    assert err == ""
    if not there:
        bridge.start()
    with ReliablePusher(bridge.address, spool=spool) as pusher:
        assert pusher.flush(WITHIN_S)
    prefix = "com.example.form.invoice."
    assert versions(bridge, f"{prefix}parent") == list(range(8))
    for n in range(8):
        assert versions(bridge, f"{prefix}child{n}") == list(range(5))
    for n in range(2):
        arrived = versions(bridge, f"{prefix}thread{n}")
        assert arrived == list(range(len(arrived)))
    assert list(tmp_path.glob("spool.corrupt*")) == []


@pytest.mark.parametrize("closing", ["pusher.close()", "del pusher", "kept = pusher"])
@pytest.mark.parametrize("state", ["there", "silent", "away"])
def test_exit(bridge: FakeBridge, tmp_path: Path, closing: str, state: str) -> None:
    """U39: a process ends at once, however it treats its pusher and whatever the bridge does, and nothing is lost by it."""
    script = f"""
import sys, time
from formlock_push import ReliablePusher
pusher = ReliablePusher(sys.argv[1], spool=sys.argv[2], timeout_ms=200)
for n in range(20): assert pusher.push("{FORM}", version=n)
ended = time.monotonic()
{closing}
import atexit
# Called last of all: what the exit took.
def told(): print(time.monotonic() - ended)
atexit._ncallbacks()
told()
"""
    if state == "silent":
        bridge.doing = bridge.ignore
    if state != "away":
        bridge.start()
    began = time.monotonic()
    code, out, err = ended(script, bridge.address, tmp_path / "spool")
    assert (code, err) == (0, "")
    assert float(out) < 1.0
    assert time.monotonic() - began < 10
    waiting = Spool(tmp_path / "spool").waiting().messages
    assert waiting == (0 if state == "there" else 20)


def test_full_disk(bridge: FakeBridge, tmp_path: Path) -> None:
    """With no room for the spool, updates go to the bridge directly if it is there; else it is said that they are lost, and the request
    goes on. With room again it spools again."""
    script = f"""
import resource, sys
from formlock_push import ReliablePusher
pusher = ReliablePusher(sys.argv[1], spool=sys.argv[2], timeout_ms=500)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
kinds = []
for n in range(100):
    outcome = pusher.push("{FORM}", version=n, representation="x" * 10_000)
    if not kinds or kinds[-1] != outcome: kinds.append(outcome)
print(*kinds, pusher.spooled + pusher.dropped)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(pusher.push("{FORM}", version=100))
"""
    code, out, err = ended(script, bridge.address, tmp_path / "spool")
    assert code == 0, err
    assert out == "spooled dropped 100\nspooled\n", err
    assert "dropped" in err
    bridge.start()
    with ReliablePusher(bridge.address, spool=tmp_path / "spool") as pusher:
        assert pusher.flush(WITHIN_S)
    arrived = versions(bridge)
    assert arrived == [*range(len(arrived) - 1), 100]
    assert len(arrived) > 5


def test_import_is_light() -> None:
    """Importing it starts nothing, and asyncio is not loaded for it."""
    code, out, err = ended("import sys, threading, formlock_push; print(threading.active_count(), 'twisted' in sys.modules)")
    assert (code, out, err) == (0, "1 False\n", "")


def test_outcomes() -> None:
    """What is true arrives."""
    assert [bool(outcome) for outcome in Outcome] == [True, True, False, False]
