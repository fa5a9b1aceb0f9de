"""The benchmark over the wire: it runs, counts right, and gives no figure for work that was not done. Never how long it took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from bench.wire.compare import need
from bench.wire.errors import BenchError
from bench.wire.program import Program
from bench.wire.rows import FORM, FanOut, LockCall, Push, Size, Tools, close, crew, run
from bench.wire.servers import HERE, Rival

from tests.support.node import ROOT

pytestmark = pytest.mark.node

BENCH_WITHIN_S = 100
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


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m bench`, told to end what it started when it takes too long."""
    command = [sys.executable, "-m", "bench", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(("components", "bridge"))}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        told, failed = process.communicate(timeout=BENCH_WITHIN_S)
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=BENCH_WITHIN_S)
    return subprocess.CompletedProcess(command, process.returncode, told, failed)


def test_every_row_has_figures_of_all_servers() -> None:
    """`python -m bench wire` measures ours beside the rival, the same work, and ends all that it started."""
    ended = bench("wire", "--quick", "--json")
    assert ended.returncode == 0, ended.stderr
    lines: list[dict[str, Any]] = json.loads(ended.stdout)["wire"]
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
