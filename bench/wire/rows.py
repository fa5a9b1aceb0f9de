"""The rows: each opens its connections to a server once, and is then run there again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bench.wire.errors import BenchError
from bench.wire.processor import at_rest
from bench.wire.program import Program
from bench.wire.servers import Server

LIMIT_S = 60.0
FORM = "com.example.form.bench."


@dataclass(frozen=True, slots=True)
class Size:
    """How much work one run of each row is, and how many runs each server gets."""

    rounds: int
    pairs: int
    """Of lock and unlock, in "lock call"."""
    told: int
    """Pairs of lock and unlock in "fan-out": twice as many events."""
    updates: int
    """Messages in "push"."""
    memory: bool
    """Whether our node is also run with its store in memory: one more start."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run cost the server. `processor_s` by process, user and system."""

    operations: int
    seconds: float
    processor_s: Mapping[str, float]
    last_ms: tuple[float, ...] = ()

    @property
    def each_us(self) -> float:
        """Processor time of all processes of the server, for each operation."""
        return sum(self.processor_s.values()) / self.operations * 1e6

    @property
    def rate(self) -> float:
        """Operations per second of wall clock."""
        return self.operations / self.seconds


@dataclass(frozen=True, slots=True)
class Tools:
    """The two programs that make the load."""

    client: Program
    pusher: Program


class Row(Protocol):
    """`name` and `operation` are for people; `memory`: whether our store in memory gets a line of its own."""

    name: str
    operation: str
    rate: str
    memory: bool

    def open(self, tools: Tools, server: Server) -> None: ...

    def work(self, tools: Tools, server: Server, size: Size) -> tuple[int, dict[str, Any]]:
        """Do it; the operations that there must have been, and the client's answer."""


def run(row: Row, tools: Tools, server: Server, size: Size) -> Run:
    """One measured run: rest, work, rest. BenchError when an operation is missing or one too many was counted."""
    before = at_rest(server.pids)
    expected, answer = row.work(tools, server, size)
    after = at_rest(server.pids)
    if answer["operations"] != expected:
        raise BenchError(f"{row.name}, {server.name}: {answer['operations']} {row.operation}s instead of {expected}")
    return Run(
        operations=expected,
        seconds=answer["seconds"],
        processor_s={name: after[name] - before[name] for name in after},
        last_ms=tuple(answer.get("last_ms", ())),
    )


def close(row: Row, tools: Tools, server: Server) -> None:
    """Ends the row's connections; BenchError when something came that was not waited for."""
    tools.client.ask({"do": "close", "crew": crew(row, server)}, LIMIT_S)


class LockCall:
    """lock and unlock from 8 connections, 64 calls in flight, each lane on its own form; nobody else has it open."""

    name = "lock call"
    operation = "call"
    rate = "calls/s, 64 in flight"
    memory = True
    callers = 8
    together = 64

    def open(self, tools: Tools, server: Server) -> None:
        _open(self, tools, server, form=FORM + "call", callers=self.callers, subscribers=0)

    def work(self, tools: Tools, server: Server, size: Size) -> tuple[int, dict[str, Any]]:
        command = {"do": "pairs", "crew": crew(self, server), "count": size.pairs, "together": self.together}
        return 2 * size.pairs, tools.client.ask(command, LIMIT_S)


class FanOut:
    """One form that 100 have open, locked and unlocked by one more; the next call follows when all have been told of the last."""

    name = "fan-out 100"
    operation = "delivery"
    rate = "deliveries/s, one event at a time"
    memory = True
    receivers = 100

    def open(self, tools: Tools, server: Server) -> None:
        _open(self, tools, server, form=FORM + "fan", callers=1, subscribers=self.receivers)

    def work(self, tools: Tools, server: Server, size: Size) -> tuple[int, dict[str, Any]]:
        answer = tools.client.ask({"do": "events", "crew": crew(self, server), "count": size.told}, LIMIT_S)
        return 2 * size.told * self.receivers, answer


class Push:
    """Updates over ZeroMQ as fast as they are taken, told to one who has the form open."""

    name = "push"
    operation = "message"
    rate = "messages/s"
    memory = False

    def open(self, tools: Tools, server: Server) -> None:
        _open(self, tools, server, form=FORM + "push", callers=0, subscribers=1)

    def work(self, tools: Tools, server: Server, size: Size) -> tuple[int, dict[str, Any]]:
        tools.client.send({"do": "updates", "crew": crew(self, server), "count": size.updates})
        sent = tools.pusher.ask({"address": server.zmq_url, "form": FORM + "push", "count": size.updates}, LIMIT_S)
        return sent["sent"], tools.client.answer(LIMIT_S)


ROWS: tuple[Row, ...] = (LockCall(), FanOut(), Push())


def crew(row: Row, server: Server) -> str:
    """What the client calls the row's connections to this server."""
    return f"{server.name}: {row.name}"


def _open(row: Row, tools: Tools, server: Server, *, form: str, callers: int, subscribers: int) -> None:
    command = {
        "do": "open",
        "crew": crew(row, server),
        "dialect": server.dialect,
        "url": server.url,
        "form": form,
        "callers": callers,
        "subscribers": subscribers,
    }
    tools.client.ask(command, LIMIT_S)
