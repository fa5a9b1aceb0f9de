"""500 kinds of bad frames, sent over the real ways in to the real bridge: each a counted rejection, and nothing else."""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from formlock_bridge.ways.keys import Handout, KeyFolder
from formlock_bridge.ways.signature import sign
from tests.bridge.bad_frames import FORM, kinds
from tests.bridge.ways import key_pair
from tests.faults.bridges import Bridge

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

WITHIN_S = 60
REPETITIONS = 10
GROWS_AT_MOST = 1.05


class Keyed(Bridge):
    """With one backend that may push everything over HTTP."""

    def prepare(self) -> None:
        keys = KeyFolder(self.keys)
        keys.init(key_pair())
        self.shop: Handout = keys.add("shop", key_pair(), ("*",))


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    made = Keyed(tmp_path_factory.mktemp("bad"), http=True)
    yield made
    made.end()


class Way:
    """One way in. `send` all these messages; `good` must be taken. `count`: how many rejections the log must have for the kinds."""

    kinds = [frames for _, frames in kinds()]  # noqa: RUF012 (the same for all)

    def send(self) -> None:
        raise NotImplementedError

    def good(self) -> None:
        raise NotImplementedError


class Pull(Way):
    def __init__(self, bridge: Keyed, context: zmq.Context[Any]) -> None:
        self._bridge = bridge
        self._socket = context.socket(zmq.PUSH)
        self._socket.connect(bridge.node.zmq_url)
        self._marks = 0

    def send(self) -> None:
        for frames in self.kinds:
            self._socket.send_multipart(frames)

    def good(self) -> None:
        """Nobody answers: the log says how many of one source are known already."""
        before = self._bridge.rejections()["duplicate"] + self._bridge.said("reason=duplicate")
        for _ in range(2):
            self._socket.send_json({"form": FORM, "id": f"good {self._marks}", "source": "pull"})
        self._marks += 1
        wait(lambda: self._bridge.rejections()["duplicate"] + self._bridge.said("reason=duplicate") > before)


class Acknowledged(Way):
    def __init__(self, bridge: Keyed, context: zmq.Context[Any]) -> None:
        self._socket = context.socket(zmq.DEALER)
        self._socket.connect(bridge.node.acknowledged_url)

    def send(self) -> None:
        for frames in self.kinds:
            self._socket.send_multipart(frames)
        answers = [self._answer() for _ in self.kinds]
        assert all(answer["error"] and answer["message"] and answer["retry"] is False for answer in answers)

    def good(self) -> None:
        self._socket.send_json({"form": FORM})
        assert self._answer()["seq"] > 0

    def _answer(self) -> Any:
        assert self._socket.poll(WITHIN_S * 1000)
        # A message behind an empty frame is a REQ's, and answered as one.
        return json.loads(self._socket.recv_multipart()[-1])


class Posted(Way):
    """A message in parts is nothing that HTTP knows."""

    kinds = [frames for frames in Way.kinds if len(frames) == 1]  # noqa: RUF012

    def __init__(self, bridge: Keyed, _context: zmq.Context[Any]) -> None:
        self._bridge = bridge
        self._at = bridge.node.updates_url.removeprefix("http://")
        self._nth = 0

    def send(self) -> None:
        statuses = Counter(self._post(frames[0])[0] for frames in self.kinds)
        assert set(statuses) == {400, 413}, statuses

    def good(self) -> None:
        self._nth += 1
        status, answer = self._post(json.dumps({"form": FORM, "id": f"good {self._nth}", "source": "posted"}).encode())
        assert (status, answer.get("error")) == (200, None)

    def _post(self, body: bytes) -> tuple[int, Any]:
        now = str(int(time.time()))
        headers = {
            "X-Form-Lock-Key": "shop",
            "X-Form-Lock-Time": now,
            "X-Form-Lock-Signature": sign(self._bridge.shop.http_secret, now, body),
        }
        connection = http.client.HTTPConnection(self._at, timeout=20)
        try:
            connection.request("POST", "/updates", body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


def wait(what: Any) -> None:
    limit = time.monotonic() + WITHIN_S
    while not what():
        assert time.monotonic() < limit
        time.sleep(0.05)


def refused(bridge: Keyed) -> int:
    """Everything that the log counts as not taken: rejected messages and, over HTTP, those that were too large to be read."""
    counted = bridge.rejections()
    return counted.total() - counted["duplicate"] + bridge.said("bridge.refused reason=")


@pytest.mark.parametrize("way", [Pull, Acknowledged, Posted])
def test_each_is_counted(bridge: Keyed, way: type[Any]) -> None:
    """All kinds are rejected, each counted with a reason, once a round; ten more rounds leave the process's memory within 5 %; and
    after each round the next good message works."""
    with zmq.Context() as context:
        given: Way = way(bridge, context)
        try:
            given.good()
            before = refused(bridge)
            # What it needs once, for the first of everything, is no growth.
            for _ in range(2):
                given.send()
                given.good()
            resident = bridge.resident()
            for _ in range(REPETITIONS):
                given.send()
                given.good()
            grown = bridge.resident() / resident
            wait(lambda: refused(bridge) - before >= (REPETITIONS + 2) * len(given.kinds))
            assert refused(bridge) - before == (REPETITIONS + 2) * len(given.kinds)
            assert grown < GROWS_AT_MOST, f"{resident} bytes have grown to {grown:.3f} of it"
        finally:
            context.destroy(linger=0)
    assert bridge.said("bridge.ready") == 1
    assert bridge.said("bridge.failed") == bridge.said("Traceback") == 0
