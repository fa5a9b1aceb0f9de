"""The bridge component without a router: order, answers, back pressure, rights, and what an operator is told."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

import pytest
import pytest_twisted
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.types import ComponentConfig
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater

from formlock.claims import Claims, Grant
from formlock.errors import InvalidArgument, InvalidForm, NotActive, NotAllowed
from formlock.policy import Policy
from formlock.wamp import Call
from formlock_bridge.component import MAX_ASKING, MAX_TOLD_BYTES, MAX_WAITING, BridgeComponent
from formlock_bridge.desk import BUSY
from formlock_bridge.journals import Arrival, Entry, Keeping, Page
from formlock_bridge.journals.memory import MemoryJournal
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

    def __init__(self, policy: Policy) -> None:
        super().__init__(ComponentConfig("formlock"))
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.unconfirmed: list[Deferred[None]] = []
        self.answers: list[dict[str, Any]] = []
        self.socket = self._ways = FakeWays()  # type: ignore[assignment]
        self._policies = policy
        self._keep(MemoryJournal("e", self._clock))

    async def tell_confirmed(self, topic: str, facts: Mapping[str, Any]) -> None:
        self.told.append((topic, dict(facts)))
        confirmed: Deferred[None] = Deferred()
        self.unconfirmed.append(confirmed)
        await confirmed

    def warn(self, verb: str, **facts: object) -> None:
        self.lines.append((verb, facts))

    note = fault = warn

    def comes(self, parts: int = 1, **message: Any) -> None:
        self._received(json.dumps(message).encode(), parts, None, Sender("pull"))

    def asks(self, sender: Sender | None = None, **message: Any) -> dict[str, Any]:
        """By an acknowledged way."""
        frame, sender = json.dumps(message).encode(), sender or Sender("acknowledged")
        self._received(frame, 1, lambda said: self.answers.append(dict(said)), sender)
        return self.answers[-1]

    def confirm(self, number: int = 1) -> None:
        for _ in range(number):
            self.unconfirmed.pop(0).callback(None)

    def confirm_all(self) -> None:
        while self.unconfirmed:
            self.confirm()

    def ask(self, *args: Any, rights: dict[str, set[str]] | None = None, **kwargs: Any) -> Any:
        """As user 7, who may see invoices."""
        granted = rights or {"invoice.*": {"view"}}
        grants = tuple(Grant(pattern, frozenset(names)) for pattern, names in granted.items())
        self._claims._known[7] = Claims("ann", "Ann", grants=grants)
        answers: list[Any] = []
        call = Call("com.example.formlock.updates", list(args), kwargs, 7)
        asked = ensureDeferred(self._updates(call))
        asked.addBoth(answers.append)
        if isinstance(answers[0], dict):
            return answers[0]
        raise answers[0].value


@pytest.fixture
def bridge() -> Any:
    """One that tells each update by itself."""
    bridge = Bridge(Policy(coalesce_ms=0))
    yield bridge
    bridge._publisher.stop()
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
        "epoch": "e",
        "seq": 1,
        "change_set": {"a": [1, 2]},
    }


def test_order(bridge: Bridge) -> None:
    """U38: updates leave in the order they came, each form's numbers without a gap, whatever was rejected in between."""
    for n in range(20):
        bridge.comes(form=f"{FORM}{n % 2}", id=n)
        bridge.comes(form="wrong")
    bridge.confirm_all()
    for form in (0, 1):
        told = [(event["seq"], event["id"]) for topic, event in bridge.told if topic == f"{FORM}{form}"]
        assert told == [(n + 1, str(2 * n + form)) for n in range(10)]


def test_back_pressure(bridge: Bridge) -> None:
    """U36: with so many not told yet the bridge stops reading, and goes on when half of them are through."""
    for n in range(MAX_WAITING - 1):
        bridge.comes(form=f"{FORM}{n}")
    assert not bridge.socket.paused
    bridge.comes(form=FORM)
    assert bridge.socket.paused
    assert bridge.asks(form=FORM, id="1") == {"id": "1", **BUSY}
    while bridge._publisher.waiting > MAX_WAITING // 2 + 1:
        bridge.confirm()
    assert bridge.socket.paused
    bridge.confirm()
    assert not bridge.socket.paused
    assert bridge.asks(form=FORM, id="1")["seq"] == 2


@pytest.mark.parametrize("error", [TransportLost(), ApplicationError("wamp.close.transport_lost")])
def test_router_lost_in_flight(bridge: Bridge, error: Exception) -> None:
    """U38: what is in flight when the router dies is neither refused nor ever given up, however Autobahn says it: it stays untold,
    for the next session."""
    bridge.comes(form=FORM)
    bridge.unconfirmed.pop().errback(error)
    assert bridge._tally.total == {"router_lost": 1}
    # Nothing more is told by this session, not even the next form's.
    bridge.comes(form=FORM + "0")
    assert not bridge.unconfirmed


def test_reads_at_the_start_while_there_is_room(bridge: Bridge) -> None:
    """A bridge that finds more than half of what may wait reads all the same, until it is full."""
    for number in range(MAX_WAITING // 2 + 10):
        bridge.comes(form=f"{FORM}{number % 100}")
    bridge._pause()
    bridge._read_on()
    assert not bridge.socket.paused
    for number in range(MAX_WAITING // 2):
        bridge.comes(form=f"{FORM}{number % 100}")
    bridge._read_on()
    assert bridge.socket.paused


def test_not_published(bridge: Bridge) -> None:
    """What the router does not get is counted, is not marked as told, and can still be asked for."""
    bridge.comes(form=FORM)
    bridge.comes(form=FORM)
    bridge.unconfirmed.pop().errback(ApplicationError("wamp.error.not_authorized"))
    assert bridge._tally.total == {"refused": 1}
    bridge.comes(form=FORM + "0")
    bridge.unconfirmed.pop().errback(TransportLost())
    assert bridge._tally.total == {"refused": 1, "router_lost": 1}
    answer = bridge.ask(form=FORM, since=0)
    assert (answer["seq"], answer["complete"], len(answer["updates"])) == (2, True, 2)
    journal = bridge._journal
    assert journal is not None
    untold: list[Any] = []
    ensureDeferred(journal.unpublished()).addCallback(untold.extend)
    assert [(entry.form, entry.seq) for entry in untold] == [(FORM, 1), (FORM, 2), (FORM + "0", 1)]


def test_what_was_not_told_is_told_after_a_restart(bridge: Bridge) -> None:
    """U38: it goes out before anything newer of its form, with the number and time it had; what can't be read any more is parked."""
    bridge.comes(form=FORM, id="1")
    bridge.comes(form=FORM, id="2")
    again = Bridge(Policy(coalesce_ms=0))
    again._keep(bridge._journal)  # type: ignore[arg-type]
    ensureDeferred(bridge._journal.unpublished()).addCallback(lambda untold: [again._go_on_with(entry) for entry in untold])  # type: ignore[union-attr]
    again.comes(form=FORM, id="3")
    again.confirm_all()
    assert [(event["seq"], event["id"]) for _, event in again.told] == [(1, "1"), (2, "2"), (3, "3")]
    assert again.told[0] == bridge.told[0]
    again._go_on_with(Entry(FORM, 3, 0, b"not ours"))
    assert len(again.told) == 3


def test_answers(bridge: Bridge) -> None:
    """U38: who asks for it is told the number, once the journal has it: the same for a duplicate, and why for what is refused."""
    assert bridge.asks(form=FORM, id="x", source="s") == {"id": "x", "form": FORM, "seq": 1, "epoch": "e"}
    assert bridge.asks(form=FORM, id="x", source="s") == {"id": "x", "form": FORM, "seq": 1, "epoch": "e", "duplicate": True}
    assert bridge.asks(form=FORM, id="x", source="t")["seq"] == 2
    made = bridge.asks(form=FORM)
    assert (made["seq"], len(made["id"])) == (3, 16)
    refused = bridge.asks(form="wrong")
    assert (refused["id"], refused["error"], refused["retry"]) == (None, "invalid_form", False)
    bridge.confirm_all()
    assert [event["id"] for _, event in bridge.told] == ["x", "x", made["id"]]
    assert bridge.ask(form=FORM, since=2)["updates"][0]["id"] == made["id"]


@pytest_twisted.ensureDeferred
async def test_folded() -> None:
    """U36: what follows quickly is one event that says from where it counts; `updates` has each."""
    bridge = Bridge(Policy(coalesce_ms=5))
    for n in range(4):
        bridge.comes(form=FORM, id=n, change_set={"a": [n, n + 1]})
    bridge.confirm()
    limit = time.monotonic() + 10
    while len(bridge.told) < 2 and time.monotonic() < limit:
        await deferLater(reactor, 0.005)
    bridge._publisher.stop()
    event = bridge.told[1][1]
    assert (event["first"], event["seq"], event["id"], event["change_set"]) == (2, 4, "3", {"a": [1, 4]})
    assert "first" not in bridge.told[0][1]
    assert [update["change_set"] for update in bridge.ask(form=FORM, since=2)["updates"]] == [{"a": [2, 3]}, {"a": [3, 4]}]


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
    bridge.confirm_all()
    told = [event for _, event in bridge.told]
    assert answer == {"form": FORM, "epoch": "e", "seq": 5, "complete": True, "updates": told[3:]}
    assert bridge.ask(FORM, since=3) == bridge.ask({"form": FORM, "since": 3}) == bridge.ask({"form": FORM}, since=3) == answer
    assert bridge.ask(FORM) == {**answer, "updates": []}


def pages(bridge: Bridge, since: int = 0, form: str = FORM) -> list[dict[str, Any]]:
    """What somebody is answered who asks until there is no more."""
    answers = [bridge.ask(form=form, since=since)]
    while "until" in answers[-1]:
        answers.append(bridge.ask(form=form, since=answers[-1]["until"]))
    return answers


def seqs(answers: list[dict[str, Any]]) -> list[list[int]]:
    """The numbers in each answer."""
    return [[update["seq"] for update in answer["updates"]] for answer in answers]


def test_updates_in_pages(bridge: Bridge) -> None:
    """U38: an answer never gets so long that the router would not hand it on: the oldest that fit, and from where to go on; the last
    one does not say so. Nothing is missing because it was much."""
    for _ in range(10):
        bridge.comes(form=FORM, representation="x" * 25_000)
    answers = pages(bridge, since=1)
    assert seqs(answers) == [[2, 3], [4, 5], [6, 7], [8, 9], [10]]
    assert all((answer["seq"], answer["complete"]) == (10, True) for answer in answers)
    assert [answer.get("until") for answer in answers] == [3, 5, 7, 9, None]
    assert all(len(json.dumps(answer)) < MAX_TOLD_BYTES + 1_000 for answer in answers)


def test_updates_that_are_forgotten(bridge: Bridge) -> None:
    """What is no longer kept is said to be missing once; the next pages are complete."""
    bridge._keep(MemoryJournal("e", bridge._clock, Keeping(per_form=4)))
    for _ in range(6):
        bridge.comes(form=FORM, representation="x" * 25_000)
        bridge.confirm_all()
    answers = pages(bridge)
    assert seqs(answers) == [[3, 4], [5, 6]]
    assert [answer["complete"] for answer in answers] == [False, True]


def test_one_call_does_a_bounded_work(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is, no more is read of it than an answer takes."""
    for _ in range(1_000):
        bridge.comes(form=FORM)
    made = []
    event = bridge._event
    monkeypatch.setattr(bridge, "_event", lambda *given: (made.append(given[1]), event(*given))[1])
    answer = bridge.ask(form=FORM, since=0)
    assert 400 < len(answer["updates"]) < 700
    assert len(made) == len(answer["updates"]) + 1


def test_what_cannot_be_read_any_more_ends_no_page(bridge: Bridge) -> None:
    """What another version took, and this one refuses, is left out; who asks gets behind it, even when there is nothing else."""
    journal = bridge._journal
    assert journal is not None
    for message in (b"x" * 60_000, b"x" * 60_000, b"x" * 60_000, b"x" * 60_000, b"x" * 60_000, b'{"form":"%s"}' % FORM.encode()):
        ensureDeferred(journal.append([Arrival(FORM, message, 0)]))
    assert [answer.get("until") for answer in pages(bridge)] == [4, None]
    assert seqs(pages(bridge)) == [[], [6]]


def test_no_line_of_those_who_ask(bridge: Bridge) -> None:
    """A crowd that comes back at once is not lined up for longer than it waits: beyond a bound they are told at once to ask again,
    and whoever only asks for the newest number is answered in any case."""
    bridge.comes(form=FORM)
    journal = bridge._journal
    assert journal is not None
    reading: list[Deferred[None]] = []

    async def slowly(*asked: Any) -> Page:
        reading.append(Deferred())
        await reading[-1]
        return Page(1, complete=True, entries=())

    quick, journal.after = journal.after, slowly  # type: ignore[method-assign]
    bridge._claims._known[7] = Claims("ann", "Ann", grants=(Grant("*", frozenset({"view"})),))
    call = Call("com.example.formlock.updates", [FORM], {"since": 0}, 7)
    waiting = [ensureDeferred(bridge._updates(call)) for _ in range(MAX_ASKING)]
    with pytest.raises(NotActive):
        bridge.ask(form=FORM, since=0)
    journal.after = quick  # type: ignore[method-assign]
    assert bridge.ask(form=FORM)["seq"] == 1
    reading[0].callback(None)
    assert len(bridge.ask(form=FORM, since=0)["updates"]) == 1
    for one in reading[1:]:
        one.callback(None)
    assert all(answer.called for answer in waiting)


def test_who_is_refused_leaves_the_place_to_others(bridge: Bridge) -> None:
    """A crowd that may not see the form does not use up the places of those who may."""
    bridge.comes(form=FORM)
    for _ in range(MAX_ASKING + 1):
        with pytest.raises(NotAllowed):
            bridge.ask(form="com.example.form.salary.42", since=0)
    assert len(bridge.ask(form=FORM, since=0)["updates"]) == 1


def test_an_event_that_grows(bridge: Bridge) -> None:
    """A message far below the bound may be above it as an event: then it is told without its contents."""
    bridge._received(
        b'{"form":"%s","representation":{"a":[%s]}}' % (FORM.encode(), b",".join([b"1e15"] * 4_000)), 1, None, Sender("pull")
    )
    ((_, event),) = bridge.told
    assert "representation" not in event


def test_numbers_that_grow(bridge: Bridge) -> None:
    """What counts is the answer as it is sent: as an event JSON can be four times as long as in its message."""
    for _ in range(20):
        frame = b'{"form":"%s","representation":{"a":[%s]}}' % (FORM.encode(), b",".join([b"1e15"] * 2_000))
        bridge._received(frame, 1, None, Sender("pull"))
    answers = pages(bridge)
    assert [seq for page in seqs(answers) for seq in page] == list(range(1, 21))
    assert all(len(json.dumps(answer, separators=(",", ":"))) < MAX_TOLD_BYTES + 1_000 for answer in answers)


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ({"change_set": {"a": [1, 2]}, "representation": "x" * 60_000}, {"change_set": {"a": [1, 2]}}),
        ({"change_set": {"a": ["x" * 30_000, "y" * 31_000]}, "representation": "z"}, {}),
        ({"change_set": {"a": ["x" * 20_000, "y" * 20_000]}}, {"change_set": {"a": ["x" * 20_000, "y" * 20_000]}}),
    ],
)
def test_too_long_to_be_told(bridge: Bridge, message: dict[str, Any], left: dict[str, Any]) -> None:
    """The router sends pages no message above 64 kB: such an update is told without its contents, or without saying what has
    changed, as an event and by `updates`; so pages ask the application, and nobody is told nothing."""
    bridge.comes(form=FORM, id="1", version=3, **message)
    bridge.confirm_all()
    ((_, event),) = bridge.told
    assert {name: event[name] for name in ("change_set", "representation") if name in event} == left
    assert event["version"] == 3
    assert bridge.ask(form=FORM, since=0)["updates"] == [event]


def test_too_many_ids_to_be_told(bridge: Bridge) -> None:
    """Of many records: without their ids, so that it is about all of the type; and who asks is not stopped by it for ever."""
    topic = "com.example.form.invoice.*"
    bridge.comes(v=1, form=topic, count=1_000, ids=[f"{n:062}" for n in range(950)])
    bridge.comes(v=1, form=topic, count=2, ids=["1", "2"])
    bridge.confirm_all()
    assert [(event["count"], event.get("ids")) for _, event in bridge.told] == [(1_000, None), (2, ["1", "2"])]
    assert seqs(pages(bridge, form=topic)) == [[1, 2]]


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


def test_who_may_push_what(bridge: Bridge) -> None:
    """A key pushes the forms that it is for, and no other; over HTTP a message needs an id, since a request may be repeated."""
    shop = Sender("acknowledged", b"", "shop", ("order.*",))
    assert bridge.asks(shop, form=FORM, id="1")["error"] == "not_allowed"
    assert bridge.asks(shop, form="com.example.form.order.1", id="1")["seq"] == 1
    assert bridge.asks(Sender("http"), form=FORM)["error"] == "no_id"
    assert bridge.asks(Sender("http"), form=FORM, id="1")["seq"] == 1
    assert bridge._tally.total == {"not_allowed": 1, "no_id": 1}


def test_redacted(bridge: Bridge) -> None:
    """Nobody is told by an event what only some may see; who has the right gets it by `updates`, and who has not, does not."""
    secret = {"salary": "hr"}
    bridge.comes(form=FORM, v=1, change_set={"salary": [1, 2], "name": ["a", "b"]}, representation="<p>2</p>", redact=secret)
    event = bridge.told[0][1]
    assert (event["change_set"], event["redacted"]) == ({"name": ["a", "b"]}, ["hr"])
    assert "salary" not in json.dumps(event)
    assert "representation" not in event
    assert "redact" not in event
    assert bridge.ask(form=FORM, since=0)["updates"] == [event]
    (whole,) = bridge.ask(form=FORM, since=0, rights={"invoice.*": {"view", "hr"}})["updates"]
    assert (whole["change_set"]["salary"], whole["representation"]) == ([1, 2], "<p>2</p>")
    assert "redacted" not in whole


def test_many_at_once(bridge: Bridge) -> None:
    """U36: that many of a type have changed is one event on the type's own topic, and can be asked for by who sees some of it."""
    topic = "com.example.form.invoice.*"
    for count in (4_000, 7):
        bridge.comes(form=topic, v=1, count=count, actor="ann")
    bridge.confirm_all()
    told = [event for _, event in bridge.told]
    assert [(event["status"], event["seq"], event["count"], event["form"]) for event in told] == [
        ("bulk", 1, 4_000, topic),
        ("bulk", 2, 7, topic),
    ]
    assert bridge.ask(form=topic, since=0)["updates"] == told
    assert bridge.ask(form=topic, since=0, rights={"invoice.42": {"view"}})["updates"] == told
    with pytest.raises(NotAllowed):
        bridge.ask(form=topic, rights={"order.*": {"view"}})
    with pytest.raises(InvalidForm):
        bridge.ask(form="com.example.form.*")


def test_keys_have_names_of_their_own(bridge: Bridge) -> None:
    """No backend can have another's update taken for a duplicate, by using its source and id first."""
    shop, thief = Sender("http", key="shop"), Sender("acknowledged", b"2", "thief")
    assert bridge.asks(thief, form=FORM, id="1", source="shop")["seq"] == 1
    assert bridge.asks(shop, form=FORM, id="1", source="shop")["seq"] == 2
    assert bridge.asks(form=FORM, id="1", source="shop")["seq"] == 3
    # By whatever way the same key comes.
    assert bridge.asks(Sender("acknowledged", b"3", "shop"), form=FORM, id="1", source="shop")["duplicate"] is True


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ({"kept": {"age_ms": "1 d"}}, "kept: age_ms must be a whole number, at least 1"),
        ({"kept": {"ids": None}}, "kept: ids must be a whole number"),
        ({"kept": {"per_form": True}}, "kept: per_form must be a whole number"),
        ({"kept": {"in_all": 0}}, "kept: in_all must be a whole number, at least 1"),
        ({"kept": {"id_ms": -1}}, "kept: id_ms must be a whole number, at least 0"),
        ({"kept": {"days": 1}}, "by the names age_ms, per_form"),
        ({"kept": None}, "by the names age_ms, per_form"),
        ({"journal": "sqlite://journal.sqlite"}, "use memory: or sqlite:///FILE"),
        ({"journal": 5}, "use memory: or sqlite:///FILE"),
    ],
)
def test_a_configuration_that_can_never_work(extra: dict[str, Any], sentence: str) -> None:
    """It is refused before anything starts, and not found by the first update, which would be `busy` for ever."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        BridgeComponent.check_config(None, extra)
