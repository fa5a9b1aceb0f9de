"""A port that leads to another one: a bridge's address at which nobody listens until the test says so."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, suppress
from typing import Self


class Relay:
    """While it is entered, 127.0.0.1:`port` is 127.0.0.1:`to`."""

    def __init__(self, port: int, to: int) -> None:
        self._port = port
        self._to = to
        self._open = ExitStack()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        server = self._open.enter_context(socket.create_server(("127.0.0.1", self._port)))
        self._sockets.append(server)
        threading.Thread(target=self._accept, args=[server], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.close()

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._sockets += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=_copy, args=[source, target], daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
