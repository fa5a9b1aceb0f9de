"""The way in over HTTP with real requests: signatures, bounds, time-outs, and what each answer's status is."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import async_yield_fixture, ensureDeferred
from twisted.internet.threads import deferToThread

from formlock_bridge.ways import CannotBind
from formlock_bridge.ways.http import HttpWay
from formlock_bridge.ways.keybook import LOOK_MS
from formlock_bridge.ways.signature import MAX_SKEW_S, is_right, is_timely, sign
from formlock_push.message import MAX_BYTES
from tests.bridge.turns import Turns
from tests.bridge.ways import Opened, key_pair
from tests.support.node import free_port

BODY = b'{"form":"com.example.form.invoice.42","id":"1"}'
ACKNOWLEDGED = {"id": "1", "form": "com.example.form.invoice.42", "seq": 7, "epoch": "e"}


@async_yield_fixture
async def bridge(tmp_path: Path) -> AsyncIterator[Opened]:
    bridge = Opened(tmp_path)
    bridge.folder.init(key_pair())
    bridge.secret = bridge.folder.add("shop", key_pair(), ("invoice.*",)).http_secret  # type: ignore[attr-defined]
    bridge.respond = lambda message: ACKNOWLEDGED
    await bridge.ways.open()
    yield bridge
    await bridge.close()


class Slow(Turns):
    """The way alone, with bounds that a test can wait for."""

    def __init__(self, **bounds: Any) -> None:
        super().__init__()
        self.refused: list[str] = []
        self.way = HttpWay(lambda *_: None, lambda name: None, lambda kind, facts: self.refused.append(kind), **bounds)
        self.port = free_port()
        self.way.listen("127.0.0.1", self.port)

    async def close(self) -> None:
        self.stop()
        await self.way.close()


def signed(bridge: Any, body: bytes = BODY, **changed: str | None) -> dict[str, str]:
    """The headers of a right request, but for what is changed or left out (None)."""
    now = changed.pop("time", None) or str(int(time.time()))
    right = {"key": "shop", "time": now, "signature": sign(bridge.secret, now, body)} | changed
    return {f"X-Form-Lock-{name.title()}": value for name, value in right.items() if value is not None}


async def post(bridge: Opened, body: Any, headers: dict[str, str], method: str = "POST", path: str = "/updates") -> tuple[int, Any]:
    def request() -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", bridge.http_port, timeout=20)
        try:
            connection.request(method, path, body, headers, encode_chunked=not isinstance(body, bytes))
            answer = connection.getresponse()
            bridge.answered = {name.lower(): value for name, value in answer.headers.items()}  # type: ignore[attr-defined]
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    status, said = await deferToThread(request)
    return status, said


@ensureDeferred
async def test_acknowledged(bridge: Opened) -> None:
    """A signed message is handed on whole, with the name of its key and what that may push; the answer is the bridge's own."""
    assert await post(bridge, BODY, signed(bridge)) == (200, ACKNOWLEDGED)
    [(frame, parts, _, sender)] = bridge.messages
    assert (frame, parts, sender.way, sender.key, sender.forms, sender.needs_id) == (BODY, 1, "http", "shop", ("invoice.*",), True)
    assert bridge.answered["content-type"] == "application/json"  # type: ignore[attr-defined]
    assert bridge.refused == []


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"error": "not_json", "retry": False}, 400),
        ({"error": "no_id", "retry": False}, 400),
        ({"error": "not_allowed", "retry": False}, 403),
        ({"error": "too_large", "retry": False}, 413),
        ({"error": "busy", "retry": True}, 503),
    ],
)
@ensureDeferred
async def test_refused_by_the_bridge(bridge: Opened, said: dict[str, Any], status: int) -> None:
    """What the bridge refuses has the status that HTTP's own tools understand; what may be sent again says when."""
    bridge.respond = lambda message: said
    assert await post(bridge, BODY, signed(bridge)) == (status, said)
    assert ("retry-after" in bridge.answered) == (status == 503)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"key": None}, "unknown_key"),
        ({"key": "nobody"}, "unknown_key"),
        ({"key": "../server"}, "unknown_key"),
        ({"time": "0"}, "wrong_time"),
        ({"time": "9" * 30}, "wrong_time"),
        ({"time": "soon"}, "wrong_time"),
        ({"time": str(int(time.time()) - MAX_SKEW_S - 60)}, "wrong_time"),
        # Counted from when the tests are collected, which may be half an hour ago.
        ({"time": str(int(time.time()) + MAX_SKEW_S + 7_200)}, "wrong_time"),
        ({"signature": None}, "wrong_signature"),
        ({"signature": "00" * 32}, "wrong_signature"),
        ({"signature": "é"}, "wrong_signature"),
    ],
)
@ensureDeferred
async def test_not_signed(bridge: Opened, changed: dict[str, str | None], reason: str) -> None:
    """Without a key, a time and a signature that fit, nothing is handed on; the answer says which it was, and it is counted."""
    headers = {name: value.encode() if not value.isascii() else value for name, value in signed(bridge, **changed).items()}
    status, said = await post(bridge, BODY, headers)  # type: ignore[arg-type]
    assert (status, said["error"], said["retry"], bridge.messages) == (401, reason, False, [])
    assert bridge.kinds() == [reason]


@ensureDeferred
async def test_signature_is_of_this_body(bridge: Opened) -> None:
    """A signature is worth nothing for another body, another time or another key; an upper-case one is a signature too."""
    headers = signed(bridge)
    assert (await post(bridge, BODY.replace(b"42", b"43"), headers))[0] == 401
    later = str(int(headers["X-Form-Lock-Time"]) + 1)
    assert (await post(bridge, BODY, headers | {"X-Form-Lock-Time": later}))[0] == 401
    bridge.folder.add("other", key_pair(), ("*",))
    for _ in range(2):
        bridge.clock.advance(LOOK_MS)
    assert (await post(bridge, BODY, headers | {"X-Form-Lock-Key": "other"}))[0] == 401
    assert bridge.messages == []
    assert (await post(bridge, BODY, headers | {"X-Form-Lock-Signature": headers["X-Form-Lock-Signature"].upper()}))[0] == 200
    bridge.folder.remove("shop")
    bridge.clock.advance(LOOK_MS)
    assert (await post(bridge, BODY, headers))[0] == 401


def test_signature_vector() -> None:
    """HMAC-SHA256 of the time, a line feed and the body, in hex: what `openssl dgst -sha256 -hmac` says too."""
    expected = "346a8f68fec04c9eee008b1bb9797f79920c7c67fdc75c2c67108852e95a3505"
    assert sign("secret", "1700000000", b"{}") == expected
    assert is_right(expected, "secret", "1700000000", b"{}")
    assert not is_right(expected, "Secret", "1700000000", b"{}")
    right, wrong = ("700", "1300"), ("699", "1301", "", "-5", "1e3", " 1000")
    assert [said for said in right + wrong if is_timely(said, 1_000.0)] == list(right)


@ensureDeferred
async def test_other_requests(bridge: Opened) -> None:
    """Anything but a POST to /updates is told so."""
    assert (await post(bridge, BODY, signed(bridge), path="/"))[0] == 404
    assert (await post(bridge, BODY, signed(bridge), path="/updates/"))[0] == 404
    status, said = await post(bridge, BODY, signed(bridge), method="PUT")
    assert (status, said["error"], bridge.answered["allow"]) == (405, "wrong_method", "POST")  # type: ignore[attr-defined]
    assert bridge.messages == []


@pytest.mark.parametrize("chunked", [False, True])
@ensureDeferred
async def test_too_large(bridge: Opened, chunked: bool) -> None:
    """A body of 20 MB, told before or not, is refused with its reason and never kept; the longest that may be is taken."""
    body = b"x" * 20_000_000
    status, said = await post(bridge, iter([body]) if chunked else body, signed(bridge, body))
    assert (status, said["error"], bridge.messages) == (413, "too_large", [])
    longest = b"x" * MAX_BYTES
    assert await post(bridge, iter([longest]) if chunked else longest, signed(bridge, longest)) == (200, ACKNOWLEDGED)
    form = signed(bridge, longest) | {"Content-Type": "application/x-www-form-urlencoded"}
    assert await post(bridge, longest, form) == (200, ACKNOWLEDGED)
    assert bridge.frames() == [longest, longest]


@ensureDeferred
async def test_pause(bridge: Opened) -> None:
    """Paused, a request is told to come again soon instead of being kept; resumed, it is taken."""
    bridge.ways.pause()
    status, said = await post(bridge, BODY, signed(bridge))
    assert (status, said["error"], said["retry"]) == (503, "busy", True)
    assert bridge.answered["retry-after"] == "1"  # type: ignore[attr-defined]
    bridge.ways.resume()
    assert (await post(bridge, BODY, signed(bridge)))[0] == 200


@ensureDeferred
async def test_gone_before_the_answer(bridge: Opened) -> None:
    """U40: a client that has left hears nothing, and nothing breaks; nor does a second answer."""
    bridge.respond = lambda message: None
    head = "".join(f"{name}: {value}\r\n" for name, value in signed(bridge).items())
    with socket.create_connection(("127.0.0.1", bridge.http_port)) as client:
        client.sendall(f"POST /updates HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n{head}\r\n".encode() + BODY)
        await bridge.until(lambda: bridge.messages)
    assert bridge.ways._http is not None
    await bridge.until(lambda: not bridge.ways._http.connections)  # type: ignore[union-attr]
    answer = bridge.messages[0][2]
    assert answer is not None
    answer(ACKNOWLEDGED)
    answer(ACKNOWLEDGED)


@ensureDeferred
async def test_close_frees_the_port(bridge: Opened) -> None:
    """Closed in mid-request, the port is free at once; while somebody else has it, opening says so and opens nothing."""
    with socket.create_connection(("127.0.0.1", bridge.http_port)) as client:
        client.sendall(b"POST /updates HTTP/1.1\r\n")
        assert bridge.ways._http is not None
        await bridge.until(lambda: bridge.ways._http.connections)  # type: ignore[union-attr]
        await bridge.ways.close()
        with socket.create_server(("127.0.0.1", bridge.http_port)):
            with pytest.raises(CannotBind, match="Address already in use"):
                await bridge.ways.open()
            assert not bridge.ways._open
    await bridge.ways.open()
    assert (await post(bridge, BODY, signed(bridge)))[0] == 200


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /upda", b"POST /updates HTTP/1.1\r\nX: y\r\n", b"POST /updates HTTP/1.1\r\nContent-Length: 9\r\n\r\nx"],
    ids=["nothing", "half a line", "half of the headers", "half a body"],
)
@ensureDeferred
async def test_slow_client(sent: bytes) -> None:
    """Who sends a byte now and then is ended when a request's time is over, not when it pauses."""
    bridge = Slow(within_s=1)
    try:
        with socket.create_connection(("127.0.0.1", bridge.port)) as client:
            client.sendall(sent)
            client.setblocking(False)
            begun = time.monotonic()
            ended = False
            while not ended:
                await bridge.turns(200)
                try:
                    client.send(b"y" if sent else b"")
                    ended = client.recv(1) == b""
                except BlockingIOError:
                    pass
                except (ConnectionResetError, BrokenPipeError):
                    ended = True
                assert time.monotonic() - begun < 10
        assert time.monotonic() - begun > 0.5
    finally:
        await bridge.close()


@ensureDeferred
async def test_connections_are_counted() -> None:
    """No more than so many at once: the next is closed at once, and counted; when one has left, another may come."""
    bridge = Slow(max_connections=2)
    try:
        clients = [socket.create_connection(("127.0.0.1", bridge.port)) for _ in range(2)]
        await bridge.until(lambda: len(bridge.way.connections) == 2)
        with socket.create_connection(("127.0.0.1", bridge.port)) as third:
            await bridge.until(lambda: bridge.refused)
            third.settimeout(5)
            assert third.recv(1) == b""
        assert bridge.refused == ["too_many_connections"]
        clients[0].close()
        await bridge.until(lambda: len(bridge.way.connections) == 1)
        clients.append(socket.create_connection(("127.0.0.1", bridge.port)))
        await bridge.until(lambda: len(bridge.way.connections) == 2)
        for client in clients:
            client.close()
    finally:
        await bridge.close()
