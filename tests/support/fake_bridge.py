"""A bridge's acknowledged way in over real ZeroMQ, as the contract has it, that can be told to be silent, busy, slow or dead."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, Self

import zmq
from zmq.utils import z85

from formlock_push import Keys
from tests.support.node import free_port

Message = dict[str, Any]
# What it does with a message: an answer, or None for silence. It says itself whether the message is in the journal.
Doing = Callable[[Message], Message | None]


class FakeBridge:
    """A ROUTER in a thread of its own; what it knows outlives `stop` and `start`, as a journal does.

    - `journal`: what it has taken, each once, in order
    - `seen`: every message, repeated ones too; `repeated`, `refused`: so many of them were
    - `allowed`: the public keys that it lets in (with a `secret_key` only); None: everybody who knows its own
    """

    def __init__(self, address: str | None = None, *, secret_key: str | None = None, allowed: Collection[str] | None = None) -> None:
        self.address = address or f"tcp://127.0.0.1:{free_port()}"
        self.journal: list[Message] = []
        self.seen = 0
        self.repeated = 0
        self.refused = 0
        self.allowed = allowed
        self.doing: Doing = self.take
        self._secret_key = secret_key
        self._seqs: dict[tuple[str, str], tuple[str, int]] = {}
        self._last: dict[str, int] = {}
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        self._stopped.clear()
        bound = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(bound,))
        self._thread.start()
        assert bound.wait(10)
        return self

    def stop(self) -> None:
        """As a killed process: its connections end, and what was not answered never is."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(10)
            assert not self._thread.is_alive()
            self._thread = None

    def wait_for(self, what: Callable[[], bool], *, limit_s: float = 20) -> None:
        """Until this is so, looked at after each message."""
        with self._changed:
            assert self._changed.wait_for(what, limit_s), (
                f"{len(self.journal)} taken, {self.repeated} repeated, {self.refused} refused"
            )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()

    # -- what it may do

    def take(self, message: Message) -> Message:
        """Into the journal, unless it is known."""
        name = (message.get("source") or "", message["id"])
        known = self._seqs.get(name)
        if known is not None:
            self.repeated += 1
            return {"id": message["id"], "form": known[0], "seq": known[1], "epoch": "e", "duplicate": True}
        form = message["form"]
        seq = self._last[form] = self._last.get(form, 0) + 1
        self._seqs[name] = (form, seq)
        self.journal.append(message)
        return {"id": message["id"], "form": form, "seq": seq, "epoch": "e"}

    def ignore(self, message: Message) -> None:
        """Alive, and saying nothing."""

    def lose(self, message: Message) -> None:
        """Into the journal, and dead before the answer."""
        self.take(message)

    def busy(self, message: Message) -> Message:
        return {"id": message["id"], "error": "busy", "message": "The queue is full", "retry": True}

    def refuse(self, message: Message, reason: str = "not_allowed") -> Message:
        self.refused += 1
        return {"id": message["id"], "error": reason, "message": "This key may not push invoices", "retry": False}

    def judged(self, judge: Callable[[Message], str | None]) -> Doing:
        """What becomes of a message by a word: None is silence, "" takes it, else it is why it is refused ("busy": retry)."""

        def do(message: Message) -> Message | None:
            word = judge(message)
            if word is None:
                return None
            if word == "":
                return self.take(message)
            return self.busy(message) if word == "busy" else self.refuse(message, word)

        return do

    # -- inside

    def _run(self, bound: threading.Event) -> None:
        with zmq.Context() as context, context.socket(zmq.REP) as zap, context.socket(zmq.ROUTER) as router:
            zap.setsockopt(zmq.LINGER, 0)
            if self.allowed is not None:
                zap.bind("inproc://zeromq.zap.01")
                router.setsockopt(zmq.ZAP_DOMAIN, b"push")
            router.setsockopt(zmq.LINGER, 0)
            if self._secret_key is not None:
                router.setsockopt(zmq.CURVE_SERVER, 1)
                router.setsockopt(zmq.CURVE_SECRETKEY, self._secret_key.encode())
            router.bind(self.address)
            bound.set()
            poller = zmq.Poller()
            poller.register(router, zmq.POLLIN)
            poller.register(zap, zmq.POLLIN)
            while not self._stopped.is_set():
                ready = dict(poller.poll(10))
                if zap in ready:
                    self._let_in(zap)
                if router not in ready:
                    continue
                *envelope, frame = router.recv_multipart()
                with self._changed:
                    self.seen += 1
                    answer = self._answer(frame)
                    self._changed.notify_all()
                if answer is not None:
                    router.send_multipart([*envelope, json.dumps(answer).encode()])

    def _let_in(self, zap: zmq.Socket[bytes]) -> None:
        version, request, _domain, _address, _identity, _mechanism, key = zap.recv_multipart()
        word = b"200" if z85.encode(key).decode() in (self.allowed or ()) else b"400"
        zap.send_multipart([version, request, word, b"", b"", b""])

    def _answer(self, frame: bytes) -> Message | None:
        message = json.loads(frame)
        name = message.get("id")
        if not isinstance(name, str) or len(name) > 200:
            self.refused += 1
            return {"id": None, "error": "invalid_id", "message": "That is no id.", "retry": False}
        return self.doing(message)


def made_keys(name: str = "shop") -> tuple[Keys, str]:
    """A backend's keys, and the bridge's secret one."""
    server_public, server_secret = (key.decode() for key in zmq.curve_keypair())
    public, secret = (key.decode() for key in zmq.curve_keypair())
    return Keys(name=name, server_public_key=server_public, public_key=public, secret_key=secret), server_secret
