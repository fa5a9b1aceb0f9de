"""A TCP proxy that can swallow everything without closing anything: a black hole, as a dead radio link is one."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class Proxy:
    """Forwards a free loopback port to another one. `hole` swallows in both directions; what was swallowed is gone for ever."""

    def __init__(self, port: int) -> None:
        self.target = ("127.0.0.1", port)
        self.hole = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self._sockets: list[socket.socket] = []
        self._servers: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def end_behind(self) -> None:
        """Ends the other side's half of each connection, and says nothing to this side: from now on it is a hole."""
        self.hole = True
        for server in self._servers:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self.target)
                self._sockets += [client, server]
                self._servers.append(server)
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        swallowed = False
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                swallowed = swallowed or self.hole
                if not swallowed:  # after a gap the stream would be nonsense
                    sink.sendall(data)
            if not swallowed and not self.hole:
                sink.shutdown(socket.SHUT_WR)
