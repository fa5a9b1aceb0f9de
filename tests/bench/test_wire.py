"""The benchmark over the wire: it runs, counts right, and gives no figure for work that was not done. Never how long it took."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from bench.wire.compare import need
from bench.wire.errors import BenchError
from bench.wire.program import Program
from bench.wire.rows import FORM, FanOut, LockCall, Push, Size, Tools, close, crew, run
from bench.wire.servers import HERE, Rival, Server

from tests.support.node import ROOT

pytestmark = [pytest.mark.node, pytest.mark.timeout(400)]

BENCH_WITHIN_S = 300
ENDED_WITHIN_S = 20
SMALL = Size(rounds=1, pairs=70, told=2, updates=50, memory=False)


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    """Without node or its packages this is skipped on a laptop; in CI it must run."""
    try:
        need()
    except BenchError as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture
def rival(tmp_path: Path) -> Iterator[tuple[Rival, Tools]]:
    """The rival alone, and the programs that make its load."""
    with ExitStack() as stack:

        def started(name: str, *command: str) -> Program:
            return stack.enter_context(Program(name, command, tmp_path))

        server = Rival(started("rival", *Rival.command()))
        client = started("client", "node", str(HERE / "client.mjs"))
        yield server, Tools(client, started("pusher", sys.executable, "-m", "bench.wire.pusher"))


@contextmanager
def bench(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m bench`, told to end what it started when the test is over."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(("components", "bridge"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=BENCH_WITHIN_S)


def descendants(pid: int) -> set[int]:
    """The living processes below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry.name))
    found: set[int] = set()
    todo = [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found.update(below)
        todo += below
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_every_row_has_figures_of_all_servers() -> None:
    """`python -m bench wire` measures ours beside the rival, each row on both."""
    with bench("wire", "--quick", "--json") as process:
        told, failed = process.communicate(timeout=BENCH_WITHIN_S)
    assert process.returncode == 0, failed
    lines: list[dict[str, Any]] = json.loads(told)["wire"]
    assert {line["row"] for line in lines} == {"lock call", "fan-out 100", "push"}
    compared = [line for line in lines if line["ratio"] is not None]
    assert len(compared) == 7
    for line in compared:
        assert {"ours", "rival"} <= line["figures"].keys()
        assert all(0 < figure < 10_000_000 for figure in line["figures"].values()), line
        assert line["ratio"] == pytest.approx(line["figures"]["ours"] / line["figures"]["rival"])
    # A call passes the router and the lock worker, an update the bridge and the router: so each of them must have worked for it.
    worked = {(line["row"], line["what"].split()[-1]): line["figures"]["ours"] for line in lines if line["ratio"] is None}
    for row, process in (("lock call", "router"), ("lock call", "locks"), ("push", "bridge"), ("push", "router")):
        assert worked[row, process] > 1, worked
    assert worked["lock call", "bridge"] < worked["lock call", "locks"] / 10


def test_nothing_is_left_of_an_interrupted_run() -> None:
    """Told to stop at any moment, it ends its node, the rival, the client and the pusher first."""
    with bench("wire", "--quick") as process:
        limit = time.monotonic() + BENCH_WITHIN_S
        # The node, its workers, rival, client and pusher.
        while len(started := descendants(process.pid)) < 5:
            assert process.poll() is None
            assert time.monotonic() < limit, started
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=BENCH_WITHIN_S)
    assert process.returncode == 128 + signal.SIGINT
    # A worker is gone a moment after its node.
    limit = time.monotonic() + ENDED_WITHIN_S
    while left := [pid for pid in started if alive(pid)]:
        assert time.monotonic() < limit, left
        time.sleep(0.02)


def test_counts(rival: tuple[Rival, Tools]) -> None:
    """Two calls for a pair, and each event once for each of a hundred receivers."""
    server, tools = rival
    for row, operations, told in ((LockCall(), 140, 0), (FanOut(), 400, 4), (Push(), 50, 0)):
        row.open(tools, server)
        for _ in range(2):
            measured = run(row, tools, server, SMALL)
            assert (measured.operations, len(measured.last_ms)) == (operations, told)
            assert measured.processor_s.keys() == {"server"}
            assert 0 < measured.processor_s["server"] < 30
        close(row, tools, server)


def test_a_wrong_count_gives_no_figure(rival: tuple[Rival, Tools]) -> None:
    """What the client counted must be what the row had to do."""
    server, tools = rival

    class OneMore(LockCall):
        def work(self, tools: Tools, server: Server, size: Size) -> tuple[int, dict[str, Any]]:
            operations, answer = super().work(tools, server, size)
            return operations + 1, answer

    row = OneMore()
    row.open(tools, server)
    with pytest.raises(BenchError, match="140 calls instead of 141"):
        run(row, tools, server, SMALL)


def test_a_lost_event_gives_no_figure(rival: tuple[Rival, Tools]) -> None:
    """An update that nobody is told of ends the benchmark, and with it every figure of the run."""
    server, tools = rival
    row = Push()
    row.open(tools, server)
    tools.client.send({"do": "updates", "crew": crew(row, server), "count": 3})
    tools.pusher.ask({"address": server.zmq_url, "form": FORM + "push", "count": 2}, 30)
    with pytest.raises(BenchError, match="did not answer within"):
        tools.client.answer(1)


def test_an_event_too_many_gives_no_figure(rival: tuple[Rival, Tools]) -> None:
    """An update that was not waited for is found, at the end at the latest."""
    server, tools = rival
    row = Push()
    row.open(tools, server)
    # A second page with the form open, told after the first: when it has all three, so has the first.
    page = {"dialect": server.dialect, "url": server.url, "form": FORM + "push", "callers": 0, "subscribers": 1}
    tools.client.ask({"do": "open", "crew": "second", **page}, 30)

    def push_three_for_two() -> None:
        tools.client.send({"do": "updates", "crew": crew(row, server), "count": 2})
        tools.pusher.ask({"address": server.zmq_url, "form": FORM + "push", "count": 3}, 30)
        tools.client.answer(30)
        tools.client.ask({"do": "updates", "crew": "second", "count": 3}, 30)
        close(row, tools, server)

    with pytest.raises(BenchError, match=r"of 2 updates came: 3|2 updates were pushed, told: 3"):
        push_three_for_two()


def test_a_refused_call_gives_no_figure(rival: tuple[Rival, Tools]) -> None:
    """A call that is answered by an error is not counted as work."""
    server, tools = rival
    page = {"dialect": server.dialect, "url": server.url, "form": FORM + "no id", "callers": 1, "subscribers": 0}
    tools.client.ask({"do": "open", "crew": "refused", **page}, 30)
    with pytest.raises(BenchError, match="invalid_form"):
        tools.client.ask({"do": "pairs", "crew": "refused", "count": 1, "together": 1}, 30)


def test_a_server_that_died_gives_no_figure(rival: tuple[Rival, Tools]) -> None:
    """The processor time of a server that is gone, or was replaced, is nobody's."""
    server, tools = rival
    row = LockCall()
    row.open(tools, server)
    os.kill(server.pids()["server"], 9)
    with pytest.raises(BenchError):
        run(row, tools, server, SMALL)
