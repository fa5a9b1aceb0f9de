"""What pushing has to do in every language: the same tests, by a driver of each (test_php.py, test_node.py, test_ruby.py)."""

from __future__ import annotations

import json
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.threads import deferToThread

from formlock.uris import Uris
from formlock_bridge.intake import read
from formlock_push.message import Update
from tests.languages.conftest import TYPE, Bridge
from tests.languages.driver import Driver, Language
from tests.languages.relay import Relay
from tests.support.client import joined
from tests.support.node import ROOT, free_port

ACKNOWLEDGED = ["acknowledged", "http"]
WITHIN_MS = 300
# What a loaded machine may add to a time-out before a test fails: far less than a hang, and than eight callers one after the other.
SLACK_MS = 1_500
LINGER_MS = 500
# Starting to end an interpreter is not free either. One that waits for its messages to be delivered would never end.
END_WITHIN_S = 10.0

# What only the article's bare message can say: with a version its key would mean something.
ONLY_BARE = "without a version any key is the sender's own"
GOLDEN = json.loads((ROOT / "tests/contract/updates.json").read_text(encoding="utf-8"))


class Pushes(ABC):
    """A subclass says its language, and what its numbers and texts can't keep (claims of golden messages)."""

    cannot_keep: frozenset[str] = frozenset()

    @pytest.fixture(scope="class")
    def language(self, tmp_path_factory: pytest.TempPathFactory) -> Language:
        return self.of(tmp_path_factory.mktemp("language"))

    @staticmethod
    @abstractmethod
    def of(folder: Path) -> Language:
        """The language; what it needs to be written goes into the folder."""

    @pytest.fixture
    def driver(self, language: Language) -> Iterator[Driver]:
        with language.driver() as driver:
            yield driver

    def test_escape(self, driver: Driver) -> None:
        """An id is escaped as in Python: all read the same examples."""
        for vector in json.loads((ROOT / "tests/contract/escape.json").read_text(encoding="utf-8")):
            assert driver.ask("escape", raw=vector["raw"]).answer == vector["part"], vector

    def test_golden(self, driver: Driver) -> None:
        """What every golden message says, this language says as well, in version 1, and the bridge reads the same."""
        said = 0
        for golden in GOLDEN:
            if "event" not in golden or golden["claim"] in {ONLY_BARE, *self.cannot_keep}:
                continue
            ours = read(Uris(), driver.ask("encode", raw=golden["raw"]).answer.encode())
            theirs = read(Uris(), golden["raw"].encode())
            assert isinstance(ours, Update), golden["claim"]
            assert isinstance(theirs, Update)
            facts, named = ours.facts(), theirs.facts()
            # Only the name is made.
            assert len(facts.pop("id")) >= 16 or "id" in named
            named.pop("id", None)
            assert facts == named, golden["claim"]
            said += 1
        assert said > 15

    @pytest.mark.parametrize("way", ACKNOWLEDGED)
    @ensureDeferred
    async def test_arrives(self, driver: Driver, bridge: Bridge, way: str) -> None:
        """U38: an update arrives, and its sender knows its number; sent again it counts once; refused it says why, and once."""
        form = f"{TYPE}{self.__class__.__name__}-{way}"
        ann = await joined(bridge.node.ws_url, "ann")
        await ann.subscribe(form)
        ask = open_way(driver, bridge, way, source="shop-tests")
        first = (await ask("push", update={"form": form, "id": "a", "change_set": {"amount": ["120.00", "140.00"]}})).answer
        second = (await ask("push", update={"form": form, "redact": {}})).answer
        again = (await ask("push", update={"form": form, "id": "a"})).answer
        assert (first["id"], first["form"], first["seq"], second["seq"]) == ("a", form, 1, 2)
        assert (again["seq"], again["duplicate"]) == (1, True)
        told = await ann.event("updated", seq=1)
        assert (told["change_set"], told["id"], told["source"]) == ({"amount": ["120.00", "140.00"]}, "a", "shop-tests")
        assert (await ann.event("updated", seq=2))["id"] == second["id"]
        refused = await ask("push", update={"form": "languages.42", "id": "b"})
        assert (refused.answer["error"], refused.answer["retry"]) == ("invalid_form", False)
        assert refused.answer["message"]
        large = (await ask("push", update={"form": form, "representation": "x" * 70_000})).answer
        assert (large["error"], large["retry"]) == ("too_large", False)
        endless = (await ask("nan")).answer
        assert (endless["error"], endless["retry"]) == ("not_json", False)
        assert (await ann.call("updates", form=form))["seq"] == 2
        await ann.leave()

    @pytest.mark.parametrize("way", ACKNOWLEDGED)
    @ensureDeferred
    async def test_many(self, driver: Driver, bridge: Bridge, way: str) -> None:
        """U38: many at once are answered one by one, each form's in their order, and a bad one among them holds up none."""
        forms = [f"{TYPE}many-{self.__class__.__name__}-{way}-{n}" for n in range(30)]
        updates: list[dict[str, Any]] = [{"form": form, "id": f"{form[-3:]} {n}"} for n in range(3) for form in forms]
        updates.insert(40, {"form": "nobody's", "id": "bad"})
        ask = open_way(driver, bridge, way, within_ms=20_000)
        answers = (await ask("push_all", updates=updates)).answer
        assert answers.pop(40)["error"] == "invalid_form"
        assert [(answer["form"], answer["seq"]) for answer in answers] == [(form, seq) for seq in (1, 2, 3) for form in forms]

    @ensureDeferred
    async def test_keys(self, driver: Driver, bridge: Bridge) -> None:
        """With its keys a backend pushes its own forms, and no others: encrypted by ZeroMQ, signed by HTTP."""
        own, other = {"form": f"{TYPE}keys"}, {"form": "com.example.form.customer.42"}
        for way, address in (("acknowledged", bridge.curve_url), ("http", bridge.node.updates_url)):
            ask = open_way(driver, bridge, way, address=address, keys=bridge.keys, within_ms=10_000)
            assert "seq" in (await ask("push", update=own)).answer
            assert (await ask("push", update=other)).answer["error"] == "not_allowed"
        wrong = {**bridge.keys, "http_secret": "x" * 40}
        ask = open_way(driver, bridge, "http", keys=wrong)
        answer = (await ask("push", update=own)).answer
        assert (answer["error"], answer["retry"]) == ("wrong_signature", False)

    @ensureDeferred
    async def test_best_effort(self, driver: Driver, bridge: Bridge) -> None:
        """A15: what is pushed and forgotten arrives although the process ends right after."""
        form = f"{TYPE}effort-{self.__class__.__name__}"
        ann = await joined(bridge.node.ws_url, "ann")
        await ann.subscribe(form)
        ask = open_way(driver, bridge, "best_effort")
        assert (await ask("push", update={"form": form, "id": "x"})).answer is True
        await deferToThread(driver.end)
        assert (await ann.event("updated", seq=1))["id"] == "x"
        await ann.leave()

    @pytest.mark.parametrize("way", ACKNOWLEDGED)
    @pytest.mark.parametrize("deaf", [False, True], ids=["dead", "deaf"])
    def test_dead(self, driver: Driver, way: str, deaf: bool) -> None:
        """U39: with nobody there, or somebody deaf, each of twenty pushes in a row ends with its time, and then the process ends."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1] if deaf else free_port()
            scheme = "http" if way == "http" else "tcp"
            start(driver, way, f"{scheme}://127.0.0.1:{port}", {"name": "shop", "http_secret": "x" * 40}, within_ms=WITHIN_MS)
            for n in range(20):
                said = driver.ask("push", update={"form": f"{TYPE}dead", "id": str(n)})
                assert (said.answer["id"], said.answer["error"], said.answer["retry"]) == (str(n), "no_answer", True)
                assert said.ms < WITHIN_MS + SLACK_MS
            assert driver.end() < END_WITHIN_S

    def test_full(self, driver: Driver) -> None:
        """U39: best effort with nobody there fills its queue, says so within its time, and does not keep the process."""
        start(driver, "best_effort", f"tcp://127.0.0.1:{free_port()}", None)
        assert driver.ask("flood", update={"form": f"{TYPE}full"}, most=5_000).answer == 1_000
        said = driver.ask("push", update={"form": f"{TYPE}full"})
        assert said.answer is False
        assert said.ms < WITHIN_MS + SLACK_MS
        assert driver.end() < LINGER_MS / 1000 + END_WITHIN_S

    @pytest.mark.parametrize("way", ACKNOWLEDGED)
    @ensureDeferred
    async def test_back(self, driver: Driver, bridge: Bridge, way: str) -> None:
        """U39: what found nobody is pushed by the same object as soon as somebody is there, with the same id, once."""
        form = f"{TYPE}back-{self.__class__.__name__}-{way}"
        url = bridge.node.updates_url if way == "http" else bridge.node.acknowledged_url
        port = free_port()
        address = f"{url.partition(':')[0]}://127.0.0.1:{port}"
        ask = open_way(driver, bridge, way, address=address, within_ms=WITHIN_MS)
        update = {"form": form, "id": "x"}
        assert (await ask("push", update=update)).answer["error"] == "no_answer"
        driver.tell("until", update=update)
        with Relay(port, int(url.rpartition(":")[2])):
            tries = (await deferToThread(driver.hear)).answer
            assert tries >= 1
            # In no hurry, to see that it counts once.
            ask = open_way(driver, bridge, way, address=address)
            answer = (await ask("push", update=update)).answer
            assert (answer["seq"], answer["duplicate"]) == (1, True)


def push_together_with_nobody_there(driver: Driver, way: str) -> None:
    """Eight callers of one pusher at once: the last one has waited no longer than the first."""
    scheme = "http" if way == "http" else "tcp"
    start(driver, way, f"{scheme}://127.0.0.1:{free_port()}", {"name": "shop", "http_secret": "x" * 40})
    said = driver.ask("together", updates=[{"form": f"{TYPE}dead"}] * 8)
    assert [answer["error"] for answer in said.answer] == ["no_answer"] * 8
    assert said.ms < WITHIN_MS + SLACK_MS


def start(driver: Driver, way: str, address: str, keys: dict[str, str] | None, **options: Any) -> None:
    """Have the driver open a way, without any traffic yet."""
    facts = {"way": way, "address": address, "within_ms": WITHIN_MS, "linger_ms": LINGER_MS, "source": "", **options}
    if keys is not None and (way == "http" or "public_key" in keys):
        facts["keys"] = keys
    assert driver.ask("open", **facts).answer is True


def open_way(driver: Driver, bridge: Bridge, way: str, **options: Any) -> Any:
    """Opens the way, and gives what asks the driver from a thread: our own client has to be heard meanwhile."""
    addresses = {
        "acknowledged": bridge.node.acknowledged_url,
        "http": bridge.node.updates_url,
        "best_effort": bridge.node.zmq_url,
    }
    address = options.pop("address", addresses[way])
    keys = options.pop("keys", bridge.keys if way == "http" else None)
    start(driver, way, address, keys, **{"within_ms": 10_000, **options})

    def ask(do: str, **facts: Any) -> Any:
        return deferToThread(driver.ask, do, **facts)

    return ask
