"""The ways in: PULL, the acknowledged ROUTER, HTTP. They open, pause and close together, and hand on each message and its sender."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.python.failure import Failure

from formlock.clock import Clock
from formlock.wamp import log_failure
from formlock_bridge.ways.acknowledged import Acknowledged
from formlock_bridge.ways.addresses import Address, Listening
from formlock_bridge.ways.http import HttpWay
from formlock_bridge.ways.keybook import KeyBook
from formlock_bridge.ways.keys import Backend, KeyFileError, KeyFolder, KeyPair
from formlock_bridge.ways.pull import Pull
from formlock_bridge.ways.sender import Answer, Received, Refused, Sender, Way
from formlock_bridge.ways.sockets import CannotBind, Socket, Sockets
from formlock_bridge.ways.zap import Door, Watch

# What a message is answered with when taking it failed: it may be sent again.
FAILED = {"id": None, "error": "busy", "message": "The bridge could not take the message just now.", "retry": True}

Told = Callable[[str, Mapping[str, object]], None]


class Ways:
    """- `received`: takes each message. A way back is used once, in any order: a client hears in the order that it expects
    - `refused`: hears of who was not let in (`unknown_key`, `no_keys`, `handshake_failed`, `handshake_ended`, `not_accepted`,
      `too_many_connections`, `wrong_time`, `wrong_signature`, `too_large`), and of answers that nobody takes (`unanswerable`)
    - `told`: hears of the keys: `bridge.keys` (who is let in now), `bridge.wrong_key_file`, `bridge.without_http`
    """

    def __init__(self, listening: Listening, clock: Clock, received: Received, refused: Refused, told: Told) -> None:
        self._listening = listening
        self._clock = clock
        self._received = received
        self._refused = refused
        self._told = told
        self._sockets: Sockets | None = None
        self._watched: list[Socket] = []
        self._open: list[Socket] = []
        self._http: HttpWay | None = None
        self._book: KeyBook | None = None

    async def open(self) -> None:
        """Listen; CannotBind, with a sentence, when that can't be, and then nothing is open."""
        try:
            self._open_all()
        except (CannotBind, KeyFileError) as error:
            await self.close()
            raise CannotBind(str(error)) from None

    def pause(self) -> None:
        """Read nothing more until `resume`: what comes waits with its senders, or is answered `busy` over HTTP."""
        for socket in self._open:
            socket.pause()
        if self._http is not None:
            self._http.pause()

    def resume(self) -> None:
        """Go on reading."""
        for socket in self._open:
            socket.resume()
        if self._http is not None:
            self._http.resume()

    async def close(self) -> None:
        """Wait until every port is free. May be repeated."""
        if self._book is not None:
            self._book.stop()
        http, self._http = self._http, None
        if http is not None:
            await http.close()
        for socket in (*self._watched, *self._open):
            socket.close()
        self._watched, self._open = [], []
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None

    def addresses(self) -> dict[str, str]:
        """Where it listens, for the log."""
        here = self._listening
        open_ = {"pull": ",".join(map(str, here.pull)), "acknowledged": ",".join(map(str, here.acknowledged))}
        if self._http is not None and here.http is not None:
            open_["http"] = f"http://{here.http[0]}:{here.http[1]}"
        return {way: address for way, address in open_.items() if address}

    # -- inside

    def _open_all(self) -> None:
        self._sockets = Sockets()
        folder = KeyFolder(self._listening.keys)
        keys = folder.server() if folder.exists() else None
        if keys is not None:
            self._book = KeyBook(folder, self._keys_changed, lambda why: self._told("bridge.wrong_key_file", {"why": why}))
            self._book.watch(self._clock)
            if self._listening.keyed:
                self._watched.append(Door(self._sockets, lambda key: self._by_key(key) is not None, self._refused))
        if self._listening.pull:
            self._bind(Pull(self._sockets, self._pulled), "pull", self._listening.pull, keys)
        if self._listening.acknowledged:
            acknowledged = Acknowledged(self._sockets, self._taken, lambda: self._refused("unanswerable", {"way": "acknowledged"}))
            self._bind(acknowledged, "acknowledged", self._listening.acknowledged, keys)
        if self._listening.http is not None:
            if self._book is None:
                self._told("bridge.without_http", {"info": "it needs keys, and nobody has made any (formlock keys init)"})
            else:
                self._http = HttpWay(self._posted, self._book.by_name, self._refused)
                self._http.listen(*self._listening.http)

    def _bind(self, socket: Socket, name: str, addresses: tuple[Address, ...], keys: KeyPair | None) -> None:
        self._open.append(socket)
        assert self._sockets is not None  # noqa: S101 (for mypy)
        keyed = any(address.keyed for address in addresses)
        self._watched.append(Watch(self._sockets, socket, name, keyed, self._refused))
        socket.bind(addresses, keys)

    def _pulled(self, frame: bytes, parts: int, public_key: str) -> None:
        self._take(frame, parts, None, self._sender("pull", b"", public_key))

    def _taken(self, connection: bytes, frame: bytes, parts: int, public_key: str, answer: Answer) -> None:
        self._take(frame, parts, answer, self._sender("acknowledged", connection, public_key))

    def _posted(self, body: bytes, backend: Backend, answer: Answer) -> None:
        self._take(body, 1, answer, Sender("http", b"", backend.name, backend.forms))

    def _take(self, frame: bytes, parts: int, answer: Answer | None, sender: Sender) -> None:
        try:
            self._received(frame, parts, answer, sender)
        except Exception:  # noqa: BLE001 (Twisted stops reading from a socket whose reader raises)
            log_failure("bridge.failed", Failure())
            if answer is not None:
                answer(FAILED)

    def _sender(self, way: Way, connection: bytes, public_key: str) -> Sender:
        if not public_key:
            return Sender(way, connection)
        backend = self._by_key(public_key)
        # A key that was let in once and is no more: its connection lives on, and may push nothing.
        return (
            Sender(way, connection, backend.name, backend.forms) if backend is not None else Sender(way, connection, public_key, ())
        )

    def _by_key(self, public_key: str) -> Backend | None:
        return self._book.by_key(public_key) if self._book is not None else None

    def _keys_changed(self, names: list[str]) -> None:
        self._told("bridge.keys", {"backends": ",".join(names)})


__all__ = ["CannotBind", "Received", "Refused", "Sender", "Ways"]
