"""Many pages, each with a form that it holds: `python -m tests.faults.crowd ws://127.0.0.1:PORT/ws COUNT`, a process of its own.

Raw WebSocket and WAMP on asyncio: 2,000 sessions cost as little as they can. A page that loses its line comes back by itself, over
the browser package's jitter, and asks for its form as the same tab; it renews as the answer told it to.

Standard input: one command a line. Standard output: one JSON object for each.

    held     when every page holds its form: {held, kept, changed, joins}; kept and changed: by the token of the first time
    renew    all renew now, again until it is answered: {renewed, lost, first_s, last_s}
    lines    {open}: how many lines have never been lost since `held`
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import struct
import sys
import time
from typing import Any
from urllib.parse import urlsplit

JOINING_AT_ONCE = 40
FIRST_S, MOST_S = 0.3, 10.0
LIMIT_S = 8.0
FORM = "com.example.form.crowd."
P = "com.example.formlock."
RETRIED = ("not_active", "no_such_procedure", "canceled")


class Closed(Exception):
    """The line is gone."""


class Refused(Exception):
    """A call's error, by the last part of its URI."""


class Line(asyncio.Protocol):
    """One WebSocket that speaks WAMP in JSON."""

    def __init__(self, host: str, path: str) -> None:
        self._host, self._path = host, path
        self._buffer = bytearray()
        self._open = False
        self._next = 0
        self._answers: dict[object, asyncio.Future[list[Any]]] = {}
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answers["open"] = asyncio.get_running_loop().create_future()

    # -- asyncio's

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: wamp.2.json\r\n\r\n".encode()
        )

    def connection_lost(self, _error: Exception | None) -> None:
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Closed())
                answer.exception()
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.transport.abort()
                return
            self._open, self._buffer = True, bytearray(rest)
            self._answers["open"].set_result([])
        while self._frame():
            pass

    def _frame(self) -> bool:
        """One frame of the server's, which are not masked."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        length, start = buffer[1] & 0x7F, 2
        if length == 126 and len(buffer) >= 4:
            (length,), start = struct.unpack_from(">H", buffer, 2), 4
        elif length == 127 and len(buffer) >= 10:
            (length,), start = struct.unpack_from(">Q", buffer, 2), 10
        elif length >= 126:
            return False
        if len(buffer) < start + length:
            return False
        kind, payload = buffer[0] & 0x0F, bytes(buffer[start : start + length])
        del buffer[: start + length]
        if kind == 1:
            self._heard(payload)
        elif kind == 9:
            self._send(10, payload)
        elif kind == 8:
            self.transport.abort()
        return True

    def _send(self, kind: int, payload: bytes) -> None:
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else bytes([0xFE]) + struct.pack(">H", len(payload))
        # A mask of zeros is a mask.
        self.transport.write(bytes([0x80 | kind]) + length + b"\0\0\0\0" + payload)

    # -- WAMP

    def _heard(self, payload: bytes) -> None:
        """One message; who hears many of a kind reads them in a cheaper way."""
        self._received(json.loads(payload))

    def _received(self, message: list[Any]) -> None:
        match message[0]:
            case 2:
                self._answer("join", message)
            case 3 | 6:
                self.transport.abort()
            case 8:
                self._answer(message[2], Refused(str(message[4]).rpartition(".")[2]))
            case 33 | 50:
                self._answer(message[1], message)

    def _answer(self, request: object, answer: list[Any] | Exception) -> None:
        future = self._answers.pop(request, None)
        if future is not None and not future.done():
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def _ask(self, request: object, *message: object) -> list[Any]:
        if self.closed.done():
            raise Closed
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._answers[request] = future
        self._send(1, json.dumps(message).encode())
        return await asyncio.wait_for(future, LIMIT_S)

    async def join(self, user: str) -> None:
        await asyncio.wait_for(self._answers["open"], LIMIT_S)
        roles = {"caller": {}, "subscriber": {}}
        extra = {"user": user, "name": user.title()}
        await self._ask("join", 1, "formlock", {"roles": roles, "authmethods": ["anonymous"], "authextra": extra})

    async def subscribe(self, topic: str) -> None:
        self._next += 1
        await self._ask(self._next, 32, self._next, {}, topic)

    async def call(self, name: str, **facts: object) -> dict[str, Any]:
        self._next += 1
        answer = await self._ask(self._next, 48, self._next, {}, P + name, [], facts)
        found: dict[str, Any] = answer[3][0]
        return found


class Page:
    """One user, one tab, one form."""

    def __init__(self, number: int, url: str, door: asyncio.Semaphore) -> None:
        self.user, self.form = f"user-{number}", f"{FORM}{number}"
        self.joins = 0
        self.first_token: int | None = None
        self.token: int | None = None
        self.line: Line | None = None
        self.settled_line: Line | None = None
        self._url = urlsplit(url)
        self._door = door

    async def live(self) -> None:
        attempts = 0
        while True:
            try:
                async with self._door:
                    line = await self._lock()
                attempts = 0
                await self._hold(line)
            except (Closed, Refused, OSError, TimeoutError):
                pass
            if self.line is not None:
                self.line.transport.abort()
            self.line = self.token = None
            await asyncio.sleep(random.random() * min(MOST_S, FIRST_S * 2**attempts))
            attempts += 1

    async def _lock(self) -> Line:
        host, port = self._url.hostname or "", self._url.port or 0
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(lambda: Line(f"{host}:{port}", self._url.path), host, port)
        self.line = line
        await line.join(self.user)
        self.joins += 1
        await line.subscribe(self.form)
        answer = await retried(lambda: line.call("lock", form=self.form, tab="t"))
        self.token = answer["token"]
        self.first_token = self.first_token or self.token
        self.renew_s = answer["renew_ms"] / 1000
        return line

    async def _hold(self, line: Line) -> None:
        wait_s = random.random() * self.renew_s
        while not line.closed.done():
            await asyncio.wait([line.closed], timeout=wait_s)
            wait_s = self.renew_s
            if not line.closed.done():
                await self.renew()

    async def renew(self) -> bool:
        """Whether the form is still ours."""
        while True:
            try:
                answer = await retried(self._renew)
            except TimeoutError:
                continue
            except Closed:
                return False
            event: str = answer["locks"][0]["event"]
            return event == "renewed"

    async def _renew(self) -> dict[str, Any]:
        if self.line is None or self.token is None:
            raise Closed
        return await self.line.call("renew", tab="t", locks=[{"form": self.form, "token": self.token}])


async def retried(call: Any) -> dict[str, Any]:
    """Until the service is there."""
    wait_s = 0.1
    while True:
        try:
            answer: dict[str, Any] = await call()
        except Refused as error:
            if str(error) not in RETRIED:
                raise
            await asyncio.sleep(random.random() * wait_s)
            wait_s = min(1.0, wait_s * 2)
        else:
            return answer


async def held(pages: list[Page]) -> dict[str, Any]:
    while not all(page.token for page in pages):
        await asyncio.sleep(0.05)
    for page in pages:
        page.settled_line = page.line
    kept = sum(page.token == page.first_token for page in pages)
    return {"held": len(pages), "kept": kept, "changed": len(pages) - kept, "joins": sum(page.joins for page in pages)}


async def renew(pages: list[Page]) -> dict[str, Any]:
    begun = time.monotonic()
    times: list[float] = []

    async def one(page: Page) -> bool:
        renewed = await page.renew()
        times.append(time.monotonic() - begun)
        return renewed

    renewed = sum(await asyncio.gather(*(one(page) for page in pages)))
    return {"renewed": renewed, "lost": len(pages) - renewed, "first_s": min(times), "last_s": max(times)}


async def main(url: str, count: int) -> None:
    door = asyncio.Semaphore(JOINING_AT_ONCE)
    pages = [Page(number, url, door) for number in range(count)]
    lives = [asyncio.create_task(page.live()) for page in pages]
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while command := (await commands.readline()).decode().strip():
        if command == "held":
            answer = await held(pages)
        elif command == "renew":
            answer = await renew(pages)
        else:
            answer = {"open": sum(page.line is not None and page.line is page.settled_line for page in pages)}
        print(json.dumps(answer), flush=True)  # noqa: T201 (the answer)
    for life in lives:
        life.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
