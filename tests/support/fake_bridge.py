"""A bridge's acknowledged way in over real ZeroMQ, without a journal: it answers by the contract, or misbehaves as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import zmq

from tests.support.node import free_port

Message = dict[str, Any]
# What becomes of a message: None is silence, "" a normal answer, else the reason why it is refused ("busy": retry).
Judge = Callable[[Message], str | None]


@dataclass
class FakeBridge:
    """A ROUTER in a thread of its own. `taken` has each message once, in the order of their arrival; `repeated` counts the others.

    What it knows outlives `stop` and `start`, as a journal does.
    """

    port: int = 0
    judge: Judge = lambda _message: ""
    taken: list[Message] = field(default_factory=list)
    repeated: int = 0
    refused: int = 0

    def __post_init__(self) -> None:
        self.port = self.port or free_port()
        self._numbers: dict[tuple[str, str], int] = {}
        self._seqs: dict[str, int] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._stop.clear()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,))
        self._thread.start()
        assert ready.wait(10)

    def stop(self) -> None:
        """Its connections end; what was not answered never will be."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
            assert not self._thread.is_alive()
            self._thread = None

    def wait_for(self, what: Callable[[], bool], *, limit_s: float = 20) -> None:
        """Until this is so, looked at after each message."""
        with self._changed:
            assert self._changed.wait_for(what, limit_s), (
                f"{len(self.taken)} taken, {self.repeated} repeated, {self.refused} refused"
            )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()

    def _run(self, ready: threading.Event) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        router = context.socket(zmq.ROUTER)
        router.setsockopt(zmq.LINGER, 0)
        try:
            router.bind(self.address)
            ready.set()
            while not self._stop.is_set():
                if router.poll(10):
                    *envelope, frame = router.recv_multipart()
                    with self._changed:
                        answer = self._answer(frame)
                        self._changed.notify_all()
                    if answer is not None:
                        router.send_multipart([*envelope, json.dumps(answer).encode()])
        finally:
            router.close()
            context.term()

    def _answer(self, frame: bytes) -> Message | None:
        try:
            message = json.loads(frame)
            name = message["id"]
        except (ValueError, TypeError, KeyError):
            self.refused += 1
            return {"id": None, "error": "not_json", "message": "That is no message.", "retry": False}
        if not isinstance(name, str) or len(name) > 200:
            self.refused += 1
            return {"id": None, "error": "invalid_id", "message": "That is no id.", "retry": False}
        said = self.judge(message)
        if said is None:
            return None
        if said:
            self.refused += 1
            return {"id": name, "error": said, "message": "No.", "retry": said == "busy"}
        key = (message.get("source") or "", name)
        answer = {"id": name, "form": message["form"], "epoch": "e"}
        if key in self._numbers:
            self.repeated += 1
            return {**answer, "seq": self._numbers[key], "duplicate": True}
        seq = self._seqs[message["form"]] = self._seqs.get(message["form"], 0) + 1
        self._numbers[key] = seq
        self.taken.append(message)
        return {**answer, "seq": seq}
