"""The ways in on a real node: with and without keys, numbered together, told in order; and the log says who was refused."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from pytest_twisted import ensureDeferred
from twisted.internet.threads import deferToThread

from formlock_bridge.ways.keys import Handout, KeyFolder
from formlock_bridge.ways.signature import sign
from tests.bridge.ways import key_pair
from tests.support.client import joined
from tests.support.node import Node, free_port, without, worker_of

pytestmark = pytest.mark.node

FORM = "com.example.form.ways."
WITHIN_MS = 20_000


class Keyed(Node):
    """A node with an address for backends with keys, and one backend that has some."""

    def __init__(self, folder: Path) -> None:
        self.curve_url = f"tcp://127.0.0.1:{free_port()}"
        super().__init__(folder, self._change)
        keys = KeyFolder(self.folder / "credentials" / "push")
        keys.init(key_pair())
        self.shop: Handout = keys.add("shop", key_pair(), ("ways.*",))

    def _change(self, config: dict[str, Any]) -> None:
        without("demo")(config)
        extra = worker_of(config, "bridge")["components"][0]["extra"]
        extra["acknowledged"] += "," + self.curve_url.replace("tcp:", "curve:")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    node = Keyed(tmp_path_factory.mktemp("ways"))
    node.start()
    yield node
    node.stop()


def ask(address: str, message: dict[str, Any], keys: Handout | None = None) -> Any:
    """What a REQ client is answered."""
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.set(zmq.LINGER, 0)
        if keys is not None:
            socket.curve_serverkey = keys.server_public_key.encode()
            socket.curve_publickey = keys.public_key.encode()
            socket.curve_secretkey = keys.secret_key.encode()
        socket.connect(address)
        socket.send_json(message)
        assert socket.poll(WITHIN_MS)
        return socket.recv_json()


def post(node: Keyed, message: dict[str, Any], secret: str) -> tuple[int, Any]:
    body = json.dumps(message).encode()
    now = str(int(time.time()))
    headers = {"X-Form-Lock-Key": "shop", "X-Form-Lock-Time": now, "X-Form-Lock-Signature": sign(secret, now, body)}
    connection = http.client.HTTPConnection(node.updates_url.removeprefix("http://"), timeout=20)
    try:
        connection.request("POST", "/updates", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@ensureDeferred
async def test_all_ways(node: Keyed) -> None:
    """U38: what comes by the acknowledged ways is numbered together, told in order, and known again when it is repeated."""
    form = FORM + "1"
    client = await joined(node.ws_url)
    await client.subscribe(form)
    first = await deferToThread(ask, node.acknowledged_url, {"form": form, "id": "a", "source": "s"})
    second = await deferToThread(ask, node.curve_url, {"form": form, "id": "a", "source": "s"}, node.shop)
    third = await deferToThread(post, node, {"form": form, "id": "b", "source": "s"}, node.shop.http_secret)
    assert (first["id"], first["seq"], second["seq"], third[0], third[1]["seq"]) == ("a", 1, 2, 200, 3)
    again = await deferToThread(post, node, {"form": form, "id": "a", "source": "s"}, node.shop.http_secret)
    assert (again[0], again[1]["seq"], again[1]["duplicate"]) == (200, 2, True)
    answer = await client.call("updates", form, since=0)
    assert [(update["seq"], update["id"]) for update in answer["updates"]] == [(1, "a"), (2, "a"), (3, "b")]
    # Told one by one, or the last ones as one.
    assert (await client.event("updated", seq=3))["id"] == "b"
    await client.leave()


@ensureDeferred
async def test_refused(node: Keyed) -> None:
    """A key pushes only the forms that it is for, over HTTP with an id and a right signature; each refusal is in the log."""
    other = {"form": "com.example.form.payroll.1", "id": "1"}
    assert (await deferToThread(ask, node.curve_url, other, node.shop))["error"] == "not_allowed"
    assert (await deferToThread(post, node, other, node.shop.http_secret))[0] == 403
    status, said = await deferToThread(post, node, {"form": FORM + "2"}, node.shop.http_secret)
    assert (status, said["error"]) == (400, "no_id")
    assert (await deferToThread(post, node, {"form": FORM + "2", "id": "1"}, "wrong" * 8))[0] == 401
    log = await deferToThread(node.logged, "bridge.refused reason=wrong_signature")
    assert re.search(r"bridge.rejected reason=not_allowed form=com.example.form.payroll.1 .*key=shop", log)
    assert node.shop.http_secret not in log
