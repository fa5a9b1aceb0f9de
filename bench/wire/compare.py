"""Starts everything, runs the rows by turns, and ends everything, whatever happens."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.wire.errors import BenchError
from bench.wire.program import Program
from bench.wire.rows import ROWS, Row, Run, Size, Tools, close, run
from bench.wire.servers import HERE, Ours, Rival, Server

FULL = Size(rounds=5, pairs=2_000, told=100, updates=10_000, memory=True)
QUICK = Size(rounds=1, pairs=100, told=5, updates=300, memory=False)

# A server that is started says nothing of itself: V8 compiles and CPython specializes what runs often.
WARM_UP_RUNS = 1


@dataclass(frozen=True, slots=True)
class Compared:
    """One row's runs, by server; the runs with one index were made one right after the other."""

    row: Row
    runs: Mapping[str, Sequence[Run]]


def compare(size: Size) -> list[Compared]:
    """All rows. Needs Linux, node, and `npm ci` in bench/."""
    need()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="formlock-bench-")))
        nodes = [Ours("ours", folder)]
        if size.memory:
            nodes.append(Ours("ours_memory", folder, store="memory:"))
        # All before any is waited for, side by side: most of a start is imports.
        for ours in nodes:
            # At once: nothing of it is needed afterwards, and a second Ctrl-C must find nothing left.
            stack.callback(ours.end)
            ours.node.launch()
        production = {"NODE_ENV": "production"}
        rival = Rival(stack.enter_context(Program("rival", Rival.command(), folder, production)))
        client = stack.enter_context(Program("client", ["node", str(HERE / "client.mjs")], folder, production))
        pusher = stack.enter_context(Program("pusher", [sys.executable, "-m", "bench.wire.pusher"], folder))
        for ours in nodes:
            ours.node.wait_ready()
        return [_row(row, Tools(client, pusher), [*(nodes if row.memory else nodes[:1]), rival], size) for row in ROWS]


def need() -> None:
    """What is missing is said before anything is started."""
    if not sys.platform.startswith("linux"):
        raise BenchError("the wire benchmark reads Linux's processor clocks: run it there")
    if shutil.which("node") is None:
        raise BenchError("node is not installed")
    if not (HERE.parent / "node_modules" / "socket.io").is_dir():
        raise BenchError("the rival is not installed: `make bench` does it (or: cd bench && npm ci --ignore-scripts)")


def _row(row: Row, tools: Tools, servers: Sequence[Server], size: Size) -> Compared:
    runs: dict[str, list[Run]] = {server.name: [] for server in servers}
    for server in servers:
        row.open(tools, server)
        for _ in range(WARM_UP_RUNS):
            run(row, tools, server, size)
    # By turns, so that the machine's mood hits all alike.
    for _ in range(size.rounds):
        for server in servers:
            runs[server.name].append(run(row, tools, server, size))
    for server in servers:
        close(row, tools, server)
    return Compared(row, runs)
