"""A bridge's acknowledged way in, as the contract has it, that can be told to be silent, busy or slow, or to die."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import zmq

from formlock_push import Keys

# What it does with a message: an answer, or None for silence. It says itself whether the message is in the journal.
Doing = Callable[[dict[str, Any]], dict[str, Any] | None]


class FakeBridge:
    """`journal` is what it has taken, each once, in order: it survives `stop`. `seen` counts every message, repeated ones too."""

    def __init__(self, address: str, *, secret_key: str | None = None) -> None:
        self.address = address
        self.journal: list[dict[str, Any]] = []
        self.seen = 0
        self.doing: Doing = self.take
        self._secret_key = secret_key
        self._seqs: dict[tuple[str, str], tuple[str, int]] = {}
        self._last: dict[str, int] = {}
        self._stopped = threading.Event()
        self._bound = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> FakeBridge:
        self._stopped.clear()
        self._bound.clear()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._bound.wait(10)
        return self

    def stop(self) -> None:
        """As a killed process: the connections are gone, what was not answered never is."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(10)
            self._thread = None

    def __enter__(self) -> FakeBridge:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- what it may do

    def take(self, message: dict[str, Any]) -> dict[str, Any]:
        """Into the journal, unless it is known."""
        name = (message.get("source", ""), message["id"])
        known = self._seqs.get(name)
        if known is not None:
            return {"id": message["id"], "form": known[0], "seq": known[1], "epoch": "e", "duplicate": True}
        form = message["form"]
        seq = self._last[form] = self._last.get(form, 0) + 1
        self._seqs[name] = (form, seq)
        self.journal.append(message)
        return {"id": message["id"], "form": form, "seq": seq, "epoch": "e"}

    def ignore(self, message: dict[str, Any]) -> None:
        """Alive, and saying nothing."""

    def lose(self, message: dict[str, Any]) -> None:
        """Into the journal, and dead before the answer."""
        self.take(message)

    def busy(self, message: dict[str, Any]) -> dict[str, Any]:
        return {"id": message["id"], "error": "busy", "message": "The queue is full", "retry": True}

    def refuse(self, message: dict[str, Any]) -> dict[str, Any]:
        return {"id": message["id"], "error": "not_allowed", "message": "This key may not push invoices", "retry": False}

    # -- inside

    def _run(self) -> None:
        with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
            router.setsockopt(zmq.LINGER, 0)
            if self._secret_key is not None:
                router.setsockopt(zmq.CURVE_SERVER, 1)
                router.setsockopt(zmq.CURVE_SECRETKEY, self._secret_key.encode())
            router.bind(self.address)
            self._bound.set()
            while not self._stopped.is_set():
                if not router.poll(10):
                    continue
                *envelope, frame = router.recv_multipart()
                self.seen += 1
                answer = self.doing(json.loads(frame))
                if answer is not None:
                    router.send_multipart([*envelope, json.dumps(answer).encode()])


def made_keys(name: str = "shop") -> tuple[Keys, str]:
    """A backend's keys, and the bridge's secret one."""
    server_public, server_secret = (key.decode() for key in zmq.curve_keypair())
    public, secret = (key.decode() for key in zmq.curve_keypair())
    return Keys(name=name, server_public_key=server_public, public_key=public, secret_key=secret), server_secret
