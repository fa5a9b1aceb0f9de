"""The ways in as a test has them: real sockets on free ports, real keys in a folder, and a bridge that only notes what comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import zmq

from formlock.testing.clock import FakeClock
from formlock_bridge.ways import Sender, Ways
from formlock_bridge.ways.addresses import listening
from formlock_bridge.ways.keys import Handout, KeyFolder, KeyPair
from formlock_bridge.ways.sender import Answer
from tests.bridge.turns import WITHIN_S, Turns
from tests.support.node import free_port

Message = tuple[bytes, int, Answer | None, Sender]


def key_pair() -> KeyPair:
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


class Opened(Turns):
    """`messages` has what came, in its order. `respond` may answer each at once."""

    def __init__(self, folder: Path, **extra: Any) -> None:
        super().__init__()
        self.folder = KeyFolder(folder / "push")
        self.messages: list[Message] = []
        self.refused: list[tuple[str, dict[str, object]]] = []
        self.told: list[tuple[str, dict[str, object]]] = []
        self.respond: Callable[[Message], Mapping[str, Any] | None] = lambda message: None
        self.clock = FakeClock()
        self.pull = f"tcp://127.0.0.1:{free_port()}"
        self.acknowledged = f"tcp://127.0.0.1:{free_port()}"
        self.http_port = free_port()
        addresses = {"pull": self.pull, "acknowledged": self.acknowledged, "http": f"http://127.0.0.1:{self.http_port}"}
        configuration = {"push_keys": str(self.folder.path), **addresses, **extra}
        self.ways = Ways(
            listening(configuration),
            self.clock,
            self._received,
            lambda kind, facts: self.refused.append((kind, dict(facts))),
            lambda verb, facts: self.told.append((verb, dict(facts))),
        )
        self.context = zmq.Context()
        self._clients: list[zmq.Socket[bytes]] = []

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.refused]

    def frames(self) -> list[bytes]:
        return [frame for frame, *_ in self.messages]

    def client(self, kind: int, address: str, handout: Handout | None = None, **options: int) -> zmq.Socket[bytes]:
        socket = self.context.socket(kind)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.SNDTIMEO, WITHIN_S * 1000)
        for name, value in options.items():
            socket.set(getattr(zmq, name), value)
        if handout is not None:
            socket.set(zmq.CURVE_SERVERKEY, handout.server_public_key.encode())
            socket.set(zmq.CURVE_PUBLICKEY, handout.public_key.encode())
            socket.set(zmq.CURVE_SECRETKEY, handout.secret_key.encode())
        socket.connect(address)
        # One that is forgotten closes itself, and what it has to send is gone.
        self._clients.append(socket)
        return socket

    async def heard(self, socket: zmq.Socket[bytes]) -> list[bytes]:
        """The next message to a client."""
        await self.until(lambda: socket.poll(0))
        return socket.recv_multipart()

    async def close(self) -> None:
        self.stop()
        await self.ways.close()
        await self.ways.close()
        self.context.destroy(0)

    def _received(self, frame: bytes, parts: int, answer: Answer | None, sender: Sender) -> None:
        message = (frame, parts, answer, sender)
        self.messages.append(message)
        self.count()
        said = self.respond(message)
        if said is not None and answer is not None:
            answer(said)


def echo(message: Message) -> Mapping[str, Any]:
    """An answer that names its message."""
    return {"id": message[0].decode(errors="replace"), "parts": message[1]}
