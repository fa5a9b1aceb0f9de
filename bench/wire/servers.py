"""The servers that are compared: our node as shipped, the same with its store in memory, and the rival."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tests.support.node import Node, worker_of

from bench.wire.errors import BenchError
from bench.wire.program import Program

HERE = Path(__file__).parent
NODE_PROCESSES = frozenset({"controller", "router", "locks", "bridge"})
RIVAL_WITHIN_S = 30


class Server(Protocol):
    """What the load generator and the pusher need to know of a server, and whose processor time is its."""

    name: str
    dialect: str

    @property
    def url(self) -> str: ...

    @property
    def zmq_url(self) -> str: ...

    def pids(self) -> Mapping[str, int]:
        """All processes of the server, by what they do."""


class Ours:
    """The shipped node with all four of its processes. `store` replaces the shipped SQLite file."""

    dialect = "wamp"

    def __init__(self, name: str, folder: Path, store: str | None = None) -> None:
        self.name = name

        def change(config: dict[str, Any]) -> None:
            if store is not None:
                worker_of(config, "locks")["components"][0]["extra"]["store"] = store

        self.node = Node(folder / name, change)

    @property
    def url(self) -> str:
        return self.node.ws_url

    @property
    def zmq_url(self) -> str:
        return self.node.zmq_url

    def pids(self) -> dict[str, int]:
        pids = self.node.pids()
        if pids.keys() != NODE_PROCESSES:
            raise BenchError(f"{self.name}: the node's processes are {sorted(pids)}, not {sorted(NODE_PROCESSES)}")
        return pids

    def end(self) -> None:
        """All its processes, whatever they are doing."""
        if self.node.process is not None:
            self.node.kill()


class Rival:
    """Socket.IO, one process."""

    name = "rival"
    dialect = "socketio"

    def __init__(self, program: Program) -> None:
        self._program = program
        listening = program.answer(RIVAL_WITHIN_S)
        self.url = f"ws://127.0.0.1:{listening['port']}/socket.io/?EIO=4&transport=websocket"
        self.zmq_url: str = listening["zmq"]

    def pids(self) -> dict[str, int]:
        return {"server": self._program.pid}

    @staticmethod
    def command() -> list[str]:
        return ["node", str(HERE / "socketio-server.mjs")]
