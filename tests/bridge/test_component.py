"""The bridge component without a router: numbering, order, back pressure, and what an operator is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.types import ComponentConfig
from twisted.internet.defer import Deferred, ensureDeferred

from formlock.claims import Claims, Grant
from formlock.errors import InvalidArgument, InvalidForm, NotAllowed
from formlock.wamp import Call
from formlock_bridge.component import MAX_ANSWER_BYTES, MAX_IN_FLIGHT, BridgeComponent
from formlock_bridge.ways import Sender

FORM = "com.example.form.invoice.42"


class FakeWays:
    def __init__(self) -> None:
        self.paused = False

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    async def close(self) -> None:
        pass


class Bridge(BridgeComponent):
    """`told` is what the router was sent; it has confirmed what `confirm` was called for."""

    def __init__(self) -> None:
        super().__init__(ComponentConfig("formlock"))
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.unconfirmed: list[Deferred[None]] = []
        self.socket = self._ways = FakeWays()  # type: ignore[assignment]

    async def tell_confirmed(self, topic: str, facts: Mapping[str, Any]) -> None:
        self.told.append((topic, dict(facts)))
        confirmed: Deferred[None] = Deferred()
        self.unconfirmed.append(confirmed)
        await confirmed

    def warn(self, verb: str, **facts: object) -> None:
        self.lines.append((verb, facts))

    note = warn

    def comes(self, parts: int = 1, **message: Any) -> None:
        self._received(json.dumps(message).encode(), parts, None, Sender("pull"))

    def confirm(self, number: int = 1) -> None:
        for _ in range(number):
            self.unconfirmed.pop(0).callback(None)

    def ask(self, *args: Any, **kwargs: Any) -> Any:
        """As user 7, who may see invoices."""
        self._claims._known[7] = Claims("ann", "Ann", grants=(Grant("invoice.*", frozenset({"view"})),))
        answers: list[Any] = []
        call = Call("com.example.formlock.updates", list(args), kwargs, 7)
        asked = ensureDeferred(self._updates(call))
        asked.addBoth(answers.append)
        if isinstance(answers[0], dict):
            return answers[0]
        raise answers[0].value


@pytest.fixture
def bridge() -> Any:
    bridge = Bridge()
    yield bridge
    if bridge._summary is not None:
        bridge._summary.cancel()


def test_event(bridge: Bridge) -> None:
    """A15: an update is told on its form's topic, with its number and what the backend said, and nothing else."""
    bridge.comes(channel=FORM, status="ENTITY_UPDATED", change_set={"a": [1, 2]}, seq=9, epoch="x", options=1, topic="y")
    topic, event = bridge.told[0]
    assert topic == FORM
    assert event.pop("at") > 1_700_000_000_000
    assert event == {
        "form": FORM,
        "status": "updated",
        "reported": "ENTITY_UPDATED",
        "epoch": bridge._journal.epoch,
        "seq": 1,
        "change_set": {"a": [1, 2]},
    }


def test_order(bridge: Bridge) -> None:
    """U38: updates leave in the order they came, each form's numbers without a gap, whatever was rejected in between."""
    for n in range(20):
        bridge.comes(form=f"{FORM}{n % 2}", id=n)
        bridge.comes(form="wrong")
    assert [(event["form"][-1], event["seq"], event["id"]) for _, event in bridge.told] == [
        (str(n % 2), n // 2 + 1, str(n)) for n in range(20)
    ]


def test_back_pressure(bridge: Bridge) -> None:
    """U36: with so many publishes unconfirmed the bridge stops reading, and goes on when half of them are through."""
    for _ in range(MAX_IN_FLIGHT - 1):
        bridge.comes(form=FORM)
    assert not bridge.socket.paused
    bridge.comes(form=FORM)
    assert bridge.socket.paused
    bridge.confirm(MAX_IN_FLIGHT // 2 - 1)
    assert bridge.socket.paused
    bridge.confirm()
    assert not bridge.socket.paused


def test_not_published(bridge: Bridge) -> None:
    """What the router refuses or does not get is counted, stops nothing, and can still be asked for."""
    errors = [ApplicationError("wamp.error.not_authorized"), TransportLost()]
    for error in errors:
        bridge.comes(form=FORM)
        bridge.unconfirmed.pop().errback(error)
    assert bridge._tally.total == {"refused": 1, "router_lost": 1}
    assert [facts["reason"] for _, facts in bridge.lines] == ["refused", "router_lost"]
    assert bridge._in_flight == 0
    answer = bridge.ask(form=FORM, since=0)
    assert (answer["seq"], answer["complete"], len(answer["updates"])) == (2, True, 2)


def test_log(bridge: Bridge) -> None:
    """A flood of bad messages is one line for each kind and a sum; the counters have them all."""
    for n in range(1_000):
        bridge.comes(form="wrong")
        bridge.comes(parts=2)
        if n == 500:
            bridge._summarize()
    bridge._summarize()
    firsts = [(facts["reason"], facts["count"]) for verb, facts in bridge.lines if verb == "bridge.rejected"]
    assert firsts == [("invalid_form", 1), ("multipart", 1), ("invalid_form", 502), ("multipart", 502)]
    sums = [facts for verb, facts in bridge.lines if verb == "bridge.more_of_these"]
    assert sums == [{"invalid_form": 500, "multipart": 500}, {"invalid_form": 498, "multipart": 498}]
    assert bridge._tally.total == {"invalid_form": 1_000, "multipart": 1_000}


def test_updates(bridge: Bridge) -> None:
    """Who missed some gets them exactly as they were told; the form may be given as everywhere."""
    for n in range(5):
        bridge.comes(form=FORM, id=n, status="saved")
    answer = bridge.ask(form=FORM, since=3)
    told = [event for _, event in bridge.told]
    assert answer == {"form": FORM, "epoch": bridge._journal.epoch, "seq": 5, "complete": True, "updates": told[3:]}
    assert bridge.ask(FORM, since=3) == bridge.ask({"form": FORM, "since": 3}) == bridge.ask({"form": FORM}, since=3) == answer
    assert bridge.ask(FORM) == {**answer, "updates": []}


def test_updates_bounded(bridge: Bridge) -> None:
    """An answer never gets so long that the router would end the bridge for it: the newest that fit, and that some did not."""
    for _ in range(10):
        bridge.comes(form=FORM, representation="x" * 60_000)
    answer = bridge.ask(form=FORM, since=0)
    assert not answer["complete"]
    assert [update["seq"] for update in answer["updates"]] == [9, 10]
    assert len(json.dumps(answer)) < MAX_ANSWER_BYTES + 1_000


@pytest.mark.parametrize(
    ("args", "kwargs", "error"),
    [
        ([], {}, InvalidForm),
        ([], {"form": 7}, InvalidForm),
        ([FORM, FORM], {}, InvalidArgument),
        ([FORM], {"form": FORM}, InvalidArgument),
        ([], {"form": "com.example.form.invoice."}, InvalidForm),
        ([FORM], {"since": "1"}, InvalidArgument),
        ([FORM], {"since": -1}, InvalidArgument),
        ([FORM], {"since": True}, InvalidArgument),
        ([FORM], {"since": 1.0}, InvalidArgument),
        (["com.example.form.salary.42"], {}, NotAllowed),
    ],
)
def test_updates_refused(bridge: Bridge, args: list[Any], kwargs: dict[str, Any], error: type[Exception]) -> None:
    """Only who may view a form can ask what happened to it, and only in the right words."""
    with pytest.raises(error):
        bridge.ask(*args, **kwargs)
