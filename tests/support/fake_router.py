"""A router of a few lines in a thread, for clients without a reactor: answers as a test says, loses answers, breaks lines."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from formlock.errors import FormLockError
from formlock.uris import Uris
from tests.support.ports import free_port

# What a procedure returns that is never to answer.
SILENCE = object()
Procedure = Callable[[dict[str, Any]], Any]


class FakeRouter:
    """`procedures["lock"](facts)` answers, raises a FormLockError, or returns SILENCE. `calls` is what came in, in order."""

    def __init__(self) -> None:
        self.procedures: dict[str, Procedure] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.hellos: list[dict[str, Any]] = []
        self.welcome: Callable[[], list[Any]] = lambda: [2, next(self._numbers), {"roles": {}}]
        self.port = free_port()
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._lines: set[ServerConnection] = set()
        self._subscribed: dict[tuple[ServerConnection, int], str] = {}
        self._server: Server | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def start(self) -> None:
        """Listen; again on the same port after `stop`."""
        self._server = serve(self._attend, "127.0.0.1", self.port, subprotocols=[Subprotocol("wamp.2.json")], close_timeout=1)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Listen no more, and break every line."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None
        self.cut()

    def cut(self) -> None:
        """Break every line without a word."""
        with self._changed:
            lines = list(self._lines)
        for line in lines:
            # It may be ending by itself.
            with suppress(OSError):
                line.socket.shutdown(socket.SHUT_RDWR)

    def publish(self, topic: str, **facts: Any) -> None:
        """Tell whoever has subscribed."""
        with self._changed:
            found = [(line, number) for (line, number), known in self._subscribed.items() if known == topic]
        for line, number in found:
            line.send(json.dumps([36, number, next(self._numbers), {}, [], {"form": topic, **facts}]))

    def send(self, text: str | bytes) -> None:
        """Say this to every client, whatever it is."""
        with self._changed:
            lines = list(self._lines)
        for line in lines:
            line.send(text)

    def wait_for(self, fulfilled: Callable[[], bool], within_s: float = 10) -> None:
        """Until it is so, looked at after every message and every line's beginning or end."""
        with self._changed:
            assert self._changed.wait_for(fulfilled, within_s), f"not within {within_s} s: {self.calls}"

    def count(self, name: str) -> int:
        """How often a procedure was called."""
        return sum(called == name for called, _ in self.calls)

    @property
    def lines(self) -> int:
        """How many sessions there are."""
        return len(self._lines)

    def _attend(self, line: ServerConnection) -> None:
        try:
            for text in line:
                self._take(line, json.loads(text))
                with self._changed:
                    self._changed.notify_all()
        except ConnectionClosed:
            pass
        finally:
            with self._changed:
                self._lines.discard(line)
                self._subscribed = {key: topic for key, topic in self._subscribed.items() if key[0] is not line}
                self._changed.notify_all()

    def _take(self, line: ServerConnection, message: list[Any]) -> None:
        match message:
            case [1, _, details]:
                self.hellos.append(details)
                answer = self.welcome()
                if answer:
                    with self._changed:
                        self._lines.add(line)
                    line.send(json.dumps(answer))
            case [32, request, _, topic]:
                number = next(self._numbers)
                with self._changed:
                    self._subscribed[line, number] = topic
                line.send(json.dumps([33, request, number]))
            case [34, request, number]:
                with self._changed:
                    self._subscribed.pop((line, number), None)
                line.send(json.dumps([35, request]))
            case [48, request, _, uri, _, facts]:
                self._answer(line, request, uri, facts)
            case [6, *_]:
                line.send(json.dumps([6, {}, "wamp.close.goodbye_and_out"]))
                line.close()

    def _answer(self, line: ServerConnection, request: int, uri: str, facts: dict[str, Any]) -> None:
        name = uri.rpartition(".")[2]
        self.calls.append((name, facts))
        procedure = self.procedures.get(name)
        if procedure is None:
            line.send(json.dumps([8, 48, request, {}, "wamp.error.no_such_procedure", ["no such procedure"]]))
            return
        try:
            answer = procedure(facts)
        except FormLockError as error:
            line.send(json.dumps([8, 48, request, {}, Uris().error(error.name), [error.message], error.facts]))
        else:
            if answer is not SILENCE:
                line.send(json.dumps([50, request, {}, [answer]]))
