"""Pushing reliably from real processes: killed at any moment, forked, sharing one spool, on a full disk, ending."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from formlock_push import Outcome, ReliablePusher
from formlock_push.__main__ import main
from formlock_push.spool import Spool
from tests.bridge.test_reliable import FORM, SLACK_S, WITHIN_S, patient, until, versions
from tests.support.fake_bridge import FakeBridge
from tests.support.node import free_port

LINGER_S = 0.5
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "bridge")}

# Pushes to a form for ever, and says each version when it is acknowledged or spooled.
PUSHES = """
import sys
from formlock_push import ReliablePusher
address, spool, form, first = sys.argv[1:]
pusher = ReliablePusher(address, spool=spool, timeout_ms=20_000)
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


class Worker:
    """A process that pushes to a form for ever. `said`: the versions that it was promised so far."""

    def __init__(self, folder: Path, address: str, form: str, first: int = 0) -> None:
        # A file, since what is in a pipe's buffers is lost to whoever reads on after a kill.
        self._path = folder / f"said-{form}-{first}"
        with self._path.open("w") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-c", PUSHES, address, folder / "spool", form, str(first)], env=ENVIRONMENT, stdout=out
            )

    @property
    def said(self) -> list[int]:
        # The last line may be torn.
        return [int(line) for line in self._path.read_text().split("\n")[:-1]]

    def kill(self) -> list[int]:
        """-9; what it had said by then."""
        self._process.kill()
        self._process.wait(60)
        return self.said


def ended(script: str, *args: object) -> tuple[int, str, str]:
    """Exit code, output and errors."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, args)], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.timeout(180)
def test_killed(bridge: FakeBridge, tmp_path: Path) -> None:
    """U38: processes that are killed -9 in mid-push, with the bridge there and away: what `push` had promised is in the journal,
    once and in order."""
    promised: list[int] = []
    for turn in range(8):
        if turn % 2 == 0:
            bridge.start()
        # One push may have been under way when the one before was killed: whether it arrives is open.
        worker = Worker(tmp_path, bridge.address, FORM, promised[-1] + 2 if promised else 0)
        try:
            until(lambda: len(worker.said) > 40 + 7 * turn)  # noqa: B023 (called at once)
        finally:
            promised += worker.kill()
        bridge.stop()
    bridge.start()
    with ReliablePusher(bridge.address, spool=tmp_path / "spool") as pusher:
        assert pusher.flush(WITHIN_S)
    arrived = versions(bridge)
    assert arrived == sorted(set(arrived))
    assert set(promised) <= set(arrived)
    assert len(arrived) <= len(promised) + 8


@pytest.mark.timeout(180)
def test_shared(bridge: FakeBridge, tmp_path: Path) -> None:
    """Three processes share a spool while the bridge comes and goes; those that drain are killed, and another takes their place."""
    spool = tmp_path / "spool"
    workers = [Worker(tmp_path, bridge.address, f"{FORM}-{n}") for n in range(3)]
    try:
        until(lambda: Spool(spool).waiting().messages > 60)
        workers[0].kill()
        bridge.start()
        until(lambda: bridge.seen > 200)
        bridge.stop()
        until(lambda: Spool(spool).waiting().messages > 60)
        workers[1].kill()
        bridge.start()
        # By the last one, for all.
        until(lambda: len(versions(bridge, f"{FORM}-1")) >= len(workers[1].said))
    finally:
        for worker in workers:
            worker.kill()
    with ReliablePusher(bridge.address, spool=spool) as pusher:
        assert pusher.flush(WITHIN_S)
    for n, worker in enumerate(workers):
        arrived = versions(bridge, f"{FORM}-{n}")
        assert arrived == list(range(len(arrived)))
        assert len(worker.said) <= len(arrived) <= len(worker.said) + 1


FORKS = """
import os, sys, threading
from formlock_push import ReliablePusher
address, spool = sys.argv[1:]
pusher = ReliablePusher(address, spool=spool, timeout_ms=20_000)
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
    """A process forks while its threads push and its spool is open: parent and children all go on, and each one's updates are
    there once and in order."""
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


def test_fork_carries_no_file(tmp_path: Path) -> None:
    """SQLite's locks are known per process and file: a child has no file of its parent's spools open, not even unused, and both go
    on, the parent with its lease."""
    script = """
import os, sys
from formlock_push.letter import Letter
from formlock_push.spool import Spool
spool = Spool(sys.argv[1])
assert spool.add([Letter("form", "", "parent", b"")]) == [None]
assert spool.holds("form")
assert spool.lease()
child = os.fork()
if child == 0:
    opened = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
    print([path for path in opened if path.startswith(sys.argv[1])], flush=True)
    assert spool.add([Letter("form", "", "child", b"")]) == [None]
    sys.exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert spool.lease()
print(code, [letter.id for letter in spool.after(0, 10, 1000)])
"""
    code, out, err = ended(script, tmp_path / "spool")
    assert (code, err) == (0, "")
    assert out == "[]\n0 ['parent', 'child']\n"


@pytest.mark.parametrize("closing", ["pusher.close()", "del pusher", "kept = pusher"])
@pytest.mark.parametrize("state", ["there", "silent", "away"])
def test_exit(bridge: FakeBridge, tmp_path: Path, closing: str, state: str) -> None:
    """U39: a process ends at once, however it treats its pusher and whatever the bridge does, and nothing is lost by it."""
    script = f"""
import sys, time
from formlock_push import ReliablePusher
pusher = ReliablePusher(sys.argv[1], spool=sys.argv[2], timeout_ms=4_000)
for n in range(20): assert pusher.push("{FORM}", version=n)
{closing}
print(time.monotonic())  # the machine's, for all processes
"""
    if state == "silent":
        bridge.doing = bridge.ignore
    if state != "away":
        bridge.start()
    code, out, err = ended(script, bridge.address, tmp_path / "spool")
    assert (code, err) == (0, "")
    assert time.monotonic() - float(out) < LINGER_S + SLACK_S
    waiting = Spool(tmp_path / "spool").waiting().messages
    assert waiting == (0 if state == "there" else 20)


def test_full_disk(bridge: FakeBridge, tmp_path: Path) -> None:
    """With no room for the spool, updates go to the bridge directly if it is there; else it is said that they are lost, and the
    request goes on. With room again it spools again."""
    script = f"""
import resource, sys
from formlock_push import ReliablePusher
pusher = ReliablePusher(sys.argv[1], spool=sys.argv[2], timeout_ms=20_000)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
kinds = []
for n in range(100):
    outcome = pusher.push("{FORM}", version=n, representation="x" * 10_000)
    if not kinds or kinds[-1] != outcome: kinds.append(outcome)
print(kinds[0], pusher.spooled > 2, pusher.dropped > 50, pusher.spooled + pusher.dropped)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(pusher.push("{FORM}", version=100))
"""
    code, out, err = ended(script, bridge.address, tmp_path / "spool")
    assert code == 0, err
    assert out == "spooled True True 100\nspooled\n", err
    assert "dropped" in err
    bridge.start()
    with ReliablePusher(bridge.address, spool=tmp_path / "spool") as pusher:
        assert pusher.flush(WITHIN_S)
    arrived = versions(bridge)
    assert arrived == sorted(set(arrived))
    assert arrived[-1] == 100


def test_import_is_light() -> None:
    """Importing it starts nothing, and asyncio is not loaded for it."""
    code, out, err = ended("import sys, threading, formlock_push; print(threading.active_count(), 'twisted' in sys.modules)")
    assert (code, out, err) == (0, "1 False\n", "")


def test_outcomes() -> None:
    """What is true arrives."""
    assert [bool(outcome) for outcome in Outcome] == [True, True, False, False]


def test_command(bridge: FakeBridge, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`status` tells what waits and what was refused, `drain` brings it to the bridge; the code says whether anything is left."""
    spool = str(tmp_path / "spool")
    assert main(["status", spool]) == 2
    with patient(bridge.address, spool) as pusher:
        for n in range(3):
            assert pusher.push(FORM, version=n)
    assert main(["status", spool]) == 1
    assert capsys.readouterr().out.startswith("3 waiting (")
    assert main(["drain", spool, "--address", bridge.address, "--timeout", "0.05"]) == 1
    bridge.doing = lambda message: bridge.refuse(message) if message["version"] == 1 else bridge.take(message)
    bridge.start()
    capsys.readouterr()
    assert main(["drain", spool, "--address", bridge.address, "--timeout", str(WITHIN_S)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("2 drained, 1 refused\n0 waiting (0 bytes)\n")
    assert "not_allowed: This key may not push invoices" in told
    assert versions(bridge) == [0, 2]
