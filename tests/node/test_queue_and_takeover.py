"""Whoever wants a form that somebody else has, on a real node: lines, asks, takeovers, sections, shared and long locks, viewers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import DeferredList, ensureDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.support.client import Client, joined
from tests.support.node import Node, without, worker_of
from tests.support.worker import WorkerProcess, answered

# Some start a node again.
pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

QUICK = {
    "ttl_ms": 12_000,
    "renew_ms": 3_000,
    "grace_ms": 6_000,
    "reserve_ms": 500,
    "contended_probe_ms": 3_000,
    "contended_grace_ms": 3_000,
    "claim_ms": 3_000,
    "ask_ms": 2_500,
    "ask_idle_ms": 500,
    "max_waiters": 3,
    "max_waits_per_user": 2,
    "max_asks": 2,
    "handover_ms": 5_000,
}
EDITOR = {"*": ["view", "lock"]}


def quick(config: dict[str, Any]) -> None:
    """Times that a test sees the end of."""
    without("bridge")(config)
    worker_of(config, "locks")["components"][0]["extra"]["policy"] = QUICK


@pytest.fixture(scope="module")
def quick_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("quick"), quick)
    try:
        yield node.start()
    finally:
        node.stop()


_numbers = itertools.count(1)


@pytest.fixture
def form() -> str:
    """A form of the test's own."""
    return f"com.example.form.test.wanted-{next(_numbers)}"


async def people(node: Node, form: str, *users: str, rights: dict[str, list[str]] | None = None) -> list[Client]:
    """Joined, and with the form open."""
    clients = [await joined(node.ws_url, user, rights=rights) for user in users]
    for client in clients:
        await client.subscribe(form)
        await client.event("subscribed")
    return clients


async def leave(*clients: Client) -> None:
    for client in clients:
        await client.leave()


def statuses(client: Client) -> list[str]:
    return [event["status"] for event in client.events if event["status"] not in ("viewers", "subscribed", "locked")]


def users(people: list[dict[str, Any]]) -> list[str]:
    return [person["user"] for person in people]


async def renewed(client: Client, form: str, token: int, tab: str, **more: Any) -> dict[str, Any]:
    answer = await client.call("renew", locks=[{"form": form, "token": token}], tab=tab, **more)
    renewal: dict[str, Any] = answer["locks"][0]
    return renewal


# -- the line


@pytest_twisted.ensureDeferred
async def test_a_line(node: Node, form: str) -> None:
    """Whoever waits is told the position; everybody sees the line move; whose turn it is alone is told so, and confirms it."""
    ann, bob, cyd = await people(node, form, "ann", "bob", "cyd")
    got = await ann.call("lock", form=form, tab="a")
    first = await bob.call("lock", form=form, tab="b", wait=True)
    assert (first["event"], first["form"], first["position"]) == ("queued", form, 1)
    second = await cyd.call("lock", form=form, tab="c", wait=True)
    assert second["position"] == 2
    queued = await ann.event("queued", number=second["number"])
    assert users(queued["waiters"]) == ["bob", "cyd"]
    assert (queued["state"], queued["holder"]["user"]) == ("held", "ann")
    # Asking again is no second place.
    assert (await bob.call("lock", form=form, tab="b", wait=True))["number"] == first["number"]
    assert (await bob.call("leave_queue", form=form, tab="b"))["event"] == "released"
    left = await cyd.event("left_queue")
    assert (left["number"], left["cause"], users(left["waiters"])) == (first["number"], "left", ["cyd"])
    await ann.call("unlock", form=form, token=got["token"], tab="a")
    granted = await cyd.event("granted")
    assert (granted["number"], granted["token"], granted["holder"]["user"]) == (second["number"], got["token"] + 1, "cyd")
    assert (await bob.event("edit", token=granted["token"]))["rev"] == granted["rev"]
    await ann.event("edit", token=granted["token"])
    confirmed = await cyd.call("lock", form=form, tab="c")
    assert (confirmed["event"], confirmed["token"]) == ("lock", granted["token"])
    assert "granted" not in statuses(ann) + statuses(bob)
    assert "edit" not in statuses(cyd)[statuses(cyd).index("granted") :]
    await leave(ann, bob, cyd)


@pytest_twisted.ensureDeferred
async def test_a_turn_is_confirmed_or_passed_on(quick_node: Node, form: str) -> None:
    """Who does not say within `claim_ms` that it is there has had its turn; a renewal is as good a sign as `lock`."""
    ann, bob, cyd = await people(quick_node, form, "ann", "bob", "cyd")
    got = await ann.call("lock", form=form, tab="a")
    await bob.call("lock", form=form, tab="b", wait=True)
    await cyd.call("lock", form=form, tab="c", wait=True)
    await ann.call("unlock", form=form, token=got["token"], tab="a")
    await bob.event("granted")
    await ann.event("released", cause="unclaimed")
    granted = await cyd.event("granted")
    assert (await renewed(cyd, form, granted["token"], "c"))["event"] == "renewed"
    assert (await renewed(bob, form, granted["token"] - 1, "b"))["event"] == "lost"
    # Longer than the time to confirm, and it is there still.
    await deferLater(reactor, QUICK["claim_ms"] / 1000 + 0.3)
    assert (await ann.call("status", form))["holder"]["user"] == "cyd"
    await leave(ann, bob, cyd)


@pytest_twisted.ensureDeferred
async def test_a_waiter_that_is_away_is_passed_over(quick_node: Node, form: str) -> None:
    """U23: a turn goes only to whoever is there; who comes back within the grace has kept the place."""
    ann, bob, cyd = await people(quick_node, form, "ann", "bob", "cyd")
    got = await ann.call("lock", form=form, tab="a")
    first = await bob.call("lock", form=form, tab="b", wait=True)
    await cyd.call("lock", form=form, tab="c", wait=True)
    bob.drop()
    (bob,) = await people(quick_node, form, "bob")
    again = await bob.call("lock", form=form, tab="b", wait=True)
    assert (again["number"], again["position"]) == (first["number"], 1)
    bob.drop()
    # So that the router has noticed: it tells who has a form open.
    await ann.event("viewers", viewer_count=2)
    await ann.call("unlock", form=form, token=got["token"], tab="a")
    await cyd.event("granted")
    gone = await ann.event("left_queue")
    assert (gone["number"], gone["cause"]) == (first["number"], "session_lost")
    await leave(ann, cyd)


@pytest_twisted.ensureDeferred
async def test_a_line_has_an_end(quick_node: Node, form: str) -> None:
    """Limits of a line, and of one user's lines, answer `too_many`."""
    ann, bob = await people(quick_node, form, "ann", "bob")
    held = [form, f"{form}b", f"{form}c"]
    for name in held:
        await ann.call("lock", form=name, tab="a")
    for name in held[:2]:
        await bob.call("lock", form=name, tab="b", wait=True)
    refused = await bob.refused("lock", form=held[2], tab="b", wait=True)
    assert (refused.name, refused.sentence) == ("too_many", "Too many requests, please try again shortly")
    others = [await joined(quick_node.ws_url, user) for user in ("cyd", "dan", "eve")]
    for client in others[:2]:
        await client.call("lock", form=form, tab="x", wait=True)
    assert (await others[2].refused("lock", form=form, tab="x", wait=True)).name == "too_many"
    await leave(ann, bob, *others)


# -- asking


@pytest_twisted.ensureDeferred
async def test_asked_and_answered(node: Node, form: str) -> None:
    """U17, U18: both sides see the question and the answer: kept for a while, then given up."""
    ann, bob = await people(node, form, "ann", "bob")
    got = await ann.call("lock", form=form, tab="a")
    answer = await bob.call("ask", form=form, tab="b", note="customer on the phone")
    assert (answer["event"], answer["form"]) == ("asked", form)
    assert 0 < answer["answer_in_ms"] <= 60_000
    for client in (ann, bob):
        asked = await client.event("asked")
        assert (asked["by"], asked["note"], asked["number"]) == (
            {"user": "bob", "name": "Bob"}, "customer on the phone", answer["number"],
        )  # fmt: skip
        assert asked["asks"] == [{"number": answer["number"], "user": "bob", "name": "Bob", "note": "customer on the phone"}]
    # Is the holder there at all? It is.
    await ann.event("probe")
    await renewed(ann, form, got["token"], "a")
    kept = await ann.call("answer", form=form, token=got["token"], tab="a", answer="keep", keep_ms=60_000)
    assert kept["token"] == got["token"]
    told = await bob.event("answered", released=False)
    assert (told["keep_ms"], told["holder"]["user"], "asks" in told) == (60_000, "ann", False)
    assert (await ann.call("status", form))["kept_ms"] > 50_000
    assert (await bob.call("ask", form=form, tab="b"))["answer_in_ms"] > 60_000
    given = await ann.call("answer", form=form, token=got["token"], tab="a", answer="release")
    assert given["event"] == "released"
    await bob.event("answered", released=True)
    assert (await bob.event("released"))["cause"] == "asked"
    assert (await bob.call("ask", form=form, tab="b"))["event"] == "released"
    assert (await bob.call("lock", form=form, tab="b"))["token"] == got["token"] + 1
    late = await ann.refused("answer", form=form, token=got["token"], tab="a", answer="keep", keep_ms=1_000)
    assert (late.name, late.facts["holder"]["user"]) == ("lost", "bob")
    await leave(ann, bob)


@pytest_twisted.ensureDeferred
async def test_nobody_there_to_answer(node: Node, form: str) -> None:
    """U17: the holder's page is gone, so the form is free at once, not after a grace."""
    ann, bob = await people(node, form, "ann", "bob")
    await ann.call("lock", form=form, tab="a")
    ann.drop()
    while (await bob.call("status", form))["state"] != "grace":
        pass
    assert (await bob.call("ask", form=form, tab="b"))["event"] == "released"
    assert (await bob.event("released"))["cause"] == "asked"
    assert (await bob.call("lock", form=form, tab="b"))["event"] == "lock"
    await leave(bob)


@pytest_twisted.ensureDeferred
async def test_no_answer_is_an_answer(quick_node: Node, form: str) -> None:
    """U17: a page that is alive, and whose user does not answer in time, gives the form up. There is a limit to asking, too."""
    ann, bob, cyd, dan = await people(quick_node, form, "ann", "bob", "cyd", "dan")
    got = await ann.call("lock", form=form, tab="a")
    await bob.call("ask", form=form, tab="b")
    await cyd.call("ask", form=form, tab="c")
    assert (await dan.refused("ask", form=form, tab="d")).name == "too_many"
    await ann.event("probe")
    assert (await renewed(ann, form, got["token"], "a"))["event"] == "renewed"
    assert (await bob.event("released"))["cause"] == "asked"
    lost = await renewed(ann, form, got["token"], "a")
    assert (lost["event"], lost["cause"]) == ("lost", "asked")
    await leave(ann, bob, cyd, dan)


# -- taking over


@pytest_twisted.ensureDeferred
async def test_takeover(node: Node, form: str) -> None:
    """U14, U19: the loser is told at once, by whom and why, before anybody hears of the new holder, and its save carries an old
    token."""
    ann, bob, cyd = await people(node, form, "ann", "bob", "cyd")
    got = await ann.call("lock", form=form, tab="a")
    taken = await bob.call("takeover", form=form, expected_token=got["token"], tab="b", reason="vacation", note="urgent")
    assert (taken["event"], taken["token"]) == ("lock", got["token"] + 1)
    assert taken["receipt"] != got["receipt"]
    for client in (ann, cyd):
        edit = await client.event("edit", token=taken["token"])
        assert (edit["holder"]["user"], edit["note"]) == ("bob", "urgent")
        told = await client.event("takeover")
        assert (told["by"], told["reason"], told["rev"]) == ({"user": "bob", "name": "Bob"}, "vacation", edit["rev"] - 1)
        assert statuses(client)[-2:] == ["takeover", "edit"]
    assert "edit" not in statuses(bob)[1:]
    lost = await renewed(ann, form, got["token"], "a")
    assert 0 <= lost.pop("ended_ms") < 60_000
    bob_himself = {"user": "bob", "name": "Bob"}
    assert lost == {
        "event": "lost", "form": form, "holder": bob_himself, "cause": "takeover", "by": bob_himself, "reason": "vacation",
    }  # fmt: skip
    # "Done" is no fault of hers, and frees nothing of his.
    assert (await ann.call("unlock", form=form, token=got["token"], tab="a"))["event"] == "released"
    assert (await cyd.call("status", form))["holder"]["user"] == "bob"
    await leave(ann, bob, cyd)


@pytest_twisted.ensureDeferred
async def test_who_may_take_over(node: Node, form: str) -> None:
    """U10, U11: the own other tab needs no right, somebody else does; and nobody takes from another than the one they saw."""
    (ann, other) = await people(node, form, "ann", "ann", rights=EDITOR)
    (bob,) = await people(node, form, "bob", rights=EDITOR)
    (eve,) = await people(node, form, "eve")
    first = await ann.call("lock", form=form, tab="a1")
    refused = await bob.refused("takeover", form=form, expected_token=first["token"], tab="b")
    assert (refused.name, refused.facts) == ("not_allowed", {"form": form, "right": "takeover"})
    moved = await other.call("takeover", form=form, expected_token=first["token"], tab="a2", reason="other window")
    assert moved["token"] == first["token"] + 1
    assert (await ann.event("takeover"))["by"]["user"] == "ann"
    stale = await eve.refused("takeover", form=form, expected_token=first["token"], tab="e")
    assert (stale.name, stale.facts) == (
        "conflict", {"form": form, "holder": {"user": "ann", "name": "Ann"}, "token": moved["token"]},
    )  # fmt: skip
    assert (await eve.refused("takeover", form=form, tab="e")).facts == {"argument": "expected_token"}
    assert (await eve.call("takeover", form=form, expected_token=moved["token"], tab="e"))["token"] == moved["token"] + 1
    await leave(ann, other, bob, eve)


@pytest_twisted.ensureDeferred
async def test_no_renewal_undoes_a_takeover(node: Node, form: str) -> None:
    """U15, U16: renewals in flight, on whichever side of it they arrive, never bring the old holder back."""
    ann, bob = await people(node, form, "ann", "bob")
    holder, other, names = ann, bob, {ann: "a", bob: "b"}
    token = (await ann.call("lock", form=form, tab="a"))["token"]
    for _ in range(20):
        old = [{"form": form, "token": token}]
        calls = [holder.call("renew", locks=old, tab=names[holder]) for _ in range(3)]
        calls.insert(1, other.call("takeover", form=form, expected_token=token, tab=names[other]))
        done = await DeferredList([ensureDeferred(call) for call in calls])
        assert all(success for success, _ in done)
        token = done[1][1]["token"]
        assert (await ann.call("status", form))["token"] == token
        assert (await renewed(other, form, token, names[other]))["event"] == "renewed"
        holder, other = other, holder
    await leave(ann, bob)


@pytest_twisted.ensureDeferred
async def test_people_take_over_from_machines(node: Node, form: str) -> None:
    """U22: an import never keeps a person out; machines among themselves need the right, as people do."""
    (script, other) = await people(node, form, "import", "agent", rights=EDITOR)
    (bob,) = await people(node, form, "bob", rights=EDITOR)
    got = await script.call("lock", form=form, tab="s", machine=True, note="nightly import")
    refused = await bob.refused("lock", form=form, tab="b")
    assert (refused.facts["machine"], refused.facts["note"]) == (True, "nightly import")
    assert (await other.refused("takeover", form=form, expected_token=got["token"], tab="o", machine=True)).name == "not_allowed"
    taken = await bob.call("takeover", form=form, expected_token=got["token"], tab="b")
    assert "machine" not in await bob.call("status", form)
    assert (await script.refused("takeover", form=form, expected_token=taken["token"], tab="s", machine=True)).name == "not_allowed"
    await leave(script, other, bob)


@pytest_twisted.ensureDeferred
async def test_hand_over(quick_node: Node, form: str) -> None:
    """U19: with `handover_ms` the loser's page has a moment to bring its text into safety; it may end that moment by saving and
    unlocking, and hears who has the form now."""
    ann, bob, cyd = await people(quick_node, form, "ann", "bob", "cyd")
    got = await ann.call("lock", form=form, tab="a")
    taking = ensureDeferred(bob.call("takeover", form=form, expected_token=got["token"], tab="b", reason="urgent"))
    told = await ann.event("handover")
    assert (told["by"], told["reason"], told["holder"]["user"]) == ({"user": "bob", "name": "Bob"}, "urgent", "ann")
    assert (told["handover"]["user"], 0 < told["handover"]["in_ms"] <= QUICK["handover_ms"]) == ("bob", True)
    # Nobody overtakes who takes over.
    assert (await cyd.refused("takeover", form=form, expected_token=got["token"], tab="c")).name == "conflict"
    assert (await renewed(ann, form, got["token"], "a"))["event"] == "renewed"
    assert not taking.called
    await ann.call("unlock", form=form, token=got["token"], tab="a")
    taken = await taking
    assert taken["token"] == got["token"] + 1
    assert (await ann.event("edit", token=taken["token"]))["holder"]["user"] == "bob"
    assert (await renewed(ann, form, got["token"], "a"))["event"] == "lost"
    await leave(ann, bob, cyd)


@pytest_twisted.ensureDeferred
async def test_hand_over_ends_by_itself(quick_node: Node, form: str) -> None:
    """The moment passes, whatever the loser's page does; and when whoever takes over leaves, the holder keeps the form."""
    ann, bob, cyd = await people(quick_node, form, "ann", "bob", "cyd")
    got = await ann.call("lock", form=form, tab="a")
    gone = ensureDeferred(bob.call("takeover", form=form, expected_token=got["token"], tab="b"))
    gone.addErrback(lambda _: None)
    await ann.event("handover")
    bob.drop()
    ended = await ann.event("handover_ended")
    assert (ended["by"], ended["holder"]["user"], "handover" in ended) == ("bob", "ann", False)
    # Without a name of the attempt (rid), and without the answer of the old page.
    taken = await cyd.call("takeover", form=form, expected_token=got["token"], tab="c")
    assert taken["token"] == got["token"] + 1
    assert (await ann.event("takeover"))["by"]["user"] == "cyd"
    await ann.event("edit", token=taken["token"])
    await leave(ann, cyd)


@pytest_twisted.ensureDeferred
async def test_bad_arguments_are_named(node: Node, form: str) -> None:
    """Every wrong argument gets one clear answer that names it, and no form is touched."""
    (ann,) = await people(node, form, "ann")
    got = await ann.call("lock", form=form, tab="a")
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("lock", {"mode": "half"}, "mode"),
        ("lock", {"wait": "yes"}, "wait"),
        ("lock", {"machine": 1}, "machine"),
        ("lock", {"until_ms": -1}, "until_ms"),
        ("takeover", {"expected_token": "1"}, "expected_token"),
        ("takeover", {"expected_token": 1, "reason": "two\nlines"}, "reason"),
        ("takeover", {"expected_token": 1, "reason": "x" * 201}, "reason"),
        ("ask", {"note": "x" * 201}, "note"),
        ("answer", {"token": 1, "answer": "perhaps"}, "answer"),
        ("answer", {"token": 1, "answer": "keep", "keep_ms": 10**12}, "keep_ms"),
        ("leave_queue", {"token": 1}, "token"),
    ]
    for name, arguments, culprit in wrong:
        refused = await ann.refused(name, form=form, **arguments)
        assert (refused.name, refused.facts) == ("invalid_argument", {"argument": culprit}), (name, arguments)
    for name in ("takeover", "ask", "answer", "leave_queue"):
        assert (await ann.refused(name, form="nonsense")).name == "invalid_form"
    assert (await ann.call("status", form))["token"] == got["token"]
    await leave(ann)


# -- several forms, sections, shared


@pytest_twisted.ensureDeferred
async def test_several_all_or_none(node: Node, form: str) -> None:
    """Several forms in one call: each with its token and receipt, or, when one is taken, none of them and who has it."""
    ann, bob = await people(node, form, "ann", "bob")
    three = [f"{form}{name}" for name in "cab"]
    taken = await bob.call("lock", form=three[1], tab="b")
    refused = await ann.refused("lock", forms=three, tab="a")
    assert (refused.name, refused.facts["form"], refused.facts["holder"]["user"]) == ("form_locked", three[1], "bob")
    assert [(await ann.call("status", name))["state"] for name in three] == ["free", "held", "free"]
    await bob.call("unlock", form=three[1], token=taken["token"], tab="b")
    got = await ann.call("lock", forms=three, tab="a")
    assert got["event"] == "lock"
    assert [lock["form"] for lock in got["locks"]] == sorted(three)
    assert len({lock["receipt"] for lock in got["locks"]}) == 3
    locks = [{"form": lock["form"], "token": lock["token"]} for lock in got["locks"]]
    answer = await ann.call("renew", locks=locks, tab="a")
    assert [lock["event"] for lock in answer["locks"]] == ["renewed"] * 3
    for wrong in ({"forms": three, "wait": True}, {"forms": []}, {"forms": [form, form]}, {"forms": three, "form": form}):
        assert (await ann.refused("lock", tab="a", **wrong)).name == "invalid_argument"
    assert (await ann.refused("lock", tab="a", forms=[form, "nonsense"])).name == "invalid_form"
    await leave(ann, bob)


@pytest_twisted.ensureDeferred
async def test_sections(node: Node, form: str) -> None:
    """U33: two sections of a record are held side by side; the whole conflicts with each; events reach the whole's topic too."""
    address, payment = f"{form}.address", f"{form}.payment"
    ann, bob = await people(node, address, "ann", "bob")
    (cyd,) = await people(node, form, "cyd")
    await bob.subscribe(payment)
    first = await ann.call("lock", form=address, tab="a")
    second = await bob.call("lock", form=payment, tab="b")
    assert second["token"] > first["token"]
    refused = await cyd.refused("lock", form=form, tab="c")
    assert (refused.facts["form"], refused.facts["holder"]["user"]) == (form, "ann")
    assert [(held["form"], held["user"]) for held in refused.facts["holders"]] == [(address, "ann"), (payment, "bob")]
    assert (await bob.refused("lock", form=address, tab="b")).facts["holder"]["user"] == "ann"
    assert (await cyd.call("status", payment))["holder"]["user"] == "bob"
    for token in (first["token"], second["token"]):
        await cyd.event("edit", form=form)
        assert token in [held["token"] for event in cyd.events for held in event.get("holders", ())]
    # Whoever has only a section open hears of it, and of the whole, and not of the other sections.
    assert (await bob.event("edit", form=address))["token"] == first["token"]
    await ann.call("unlock", form=address, token=first["token"], tab="a")
    await bob.call("unlock", form=payment, token=second["token"], tab="b")
    whole = await cyd.call("lock", form=form, tab="c")
    told = await ann.event("edit", token=whole["token"])
    assert (told["form"], told["holder"]["user"]) == (address, "cyd")
    assert second["token"] not in [event["token"] for event in ann.events if event["status"] == "edit"]
    assert (await ann.refused("lock", form=address, tab="a")).facts["holder"]["user"] == "cyd"
    await leave(ann, bob, cyd)


@pytest_twisted.ensureDeferred
async def test_shared(node: Node, form: str) -> None:
    """Readers side by side; who wants to write waits for all of them, and readers who come later wait for the writer."""
    ann, bob, cyd, dan = await people(node, form, "ann", "bob", "cyd", "dan")
    first = await ann.call("lock", form=form, tab="a", mode="shared")
    second = await bob.call("lock", form=form, tab="b", mode="shared")
    status = await cyd.call("status", form)
    assert [(held["user"], held["mode"]) for held in status["holders"]] == [("ann", "shared"), ("bob", "shared")]
    assert (await cyd.call("lock", form=form, tab="c", wait=True))["position"] == 1
    assert (await dan.refused("lock", form=form, tab="d", mode="shared")).name == "form_locked"
    assert (await dan.call("lock", form=form, tab="d", mode="shared", wait=True))["position"] == 2
    await ann.call("unlock", form=form, token=first["token"], tab="a")
    assert users((await bob.event("released"))["waiters"]) == ["cyd", "dan"]
    await bob.call("unlock", form=form, token=second["token"], tab="b")
    turn = await cyd.event("granted")
    await cyd.call("unlock", form=form, token=turn["token"], tab="c")
    assert (await dan.event("granted"))["holders"][0]["mode"] == "shared"
    await leave(ann, bob, cyd, dan)


# -- idle, long, listed


@pytest_twisted.ensureDeferred
async def test_idle(node: Node, form: str) -> None:
    """U18: everybody sees that the holder is away from the form, and that it is back."""
    ann, bob = await people(node, form, "ann", "bob")
    got = await ann.call("lock", form=form, tab="a")
    await renewed(ann, form, got["token"], "a", active=False)
    idle = await bob.event("idle")
    assert (idle["holder"]["user"], idle["idle_ms"] >= 0) == ("ann", True)
    rev = (await renewed(ann, form, got["token"], "a", active=False))["rev"]
    assert rev == idle["rev"]
    await renewed(ann, form, got["token"], "a", active=True)
    assert "idle_ms" not in await bob.event("active")
    await leave(ann, bob)


@pytest_twisted.ensureDeferred
async def test_list_filters(node: Node, form: str) -> None:
    """`list` finds who is idle, what machines hold, what others wait for, and what has been held for long."""
    kind = f"filters-{next(_numbers)}"
    idle, machine, wanted, plain = (f"com.example.form.{kind}.{name}" for name in ("idle", "machine", "wanted", "plain"))
    ann, bob = await people(node, form, "ann", "bob")
    tokens = {name: (await ann.call("lock", form=name, tab="a", machine=name == machine))["token"] for name in
              (idle, machine, wanted, plain)}  # fmt: skip
    await renewed(ann, idle, tokens[idle], "a", active=False)
    await bob.call("lock", form=wanted, tab="b", wait=True)

    async def listed(**filters: Any) -> list[str]:
        return [found["form"].rpartition(".")[2] for found in (await bob.call("list", type=kind, **filters))["forms"]]

    assert await listed() == ["idle", "machine", "plain", "wanted"]
    assert await listed(idle=True) == ["idle"]
    assert await listed(machine=True) == ["machine"]
    assert await listed(machine=False, idle=False) == ["plain", "wanted"]
    assert await listed(waited_for=True) == ["wanted"]
    assert await listed(held_ms=0) == ["idle", "machine", "plain", "wanted"]
    assert await listed(held_ms=3_600_000) == []
    await leave(ann, bob)


@pytest_twisted.ensureDeferred
async def test_long_locks(node: Node, form: str) -> None:
    """A deliberate long lock needs the right `reserve`, and outlives the session; a line does not end it."""
    (bob,) = await people(node, form, "bob", rights=EDITOR)
    (ann,) = await people(node, form, "ann")
    refused = await bob.refused("lock", form=form, tab="b", until_ms=3_600_000)
    assert (refused.name, refused.facts) == ("not_allowed", {"form": form, "right": "reserve"})
    got = await ann.call("lock", form=form, tab="a", until_ms=3_600_000, note="year's end")
    assert 3_500_000 < got["lease_ms"] <= 3_600_000
    edit = await bob.event("edit")
    assert 3_500_000 < edit["until_ms"] <= 3_600_000
    await ann.leave()
    await bob.call("lock", form=form, tab="b", wait=True)
    assert (await bob.call("ask", form=form, tab="b"))["answer_in_ms"] is None
    status = await bob.call("status", form)
    assert (status["state"], status["holder"]["user"], status["until_ms"] > 3_500_000) == ("grace", "ann", True)
    ann = await joined(node.ws_url, "ann")
    assert (await renewed(ann, form, got["token"], "a"))["token"] == got["token"]
    await leave(ann, bob)


# -- viewers


@pytest_twisted.ensureDeferred
async def test_viewers(node: Node, form: str) -> None:
    """U12, U40: one entry a user however many tabs; closing one of two says nothing; who leaves or dies is gone; told in batches."""
    ann, again = await people(node, form, "ann", "ann")
    bob, cyd = await people(node, form, "bob", "cyd")
    three = await ann.event("viewers", viewer_count=3)
    assert three["viewers"] == [{"user": user, "name": user.title()} for user in ("ann", "bob", "cyd")]
    await again.leave()
    bob.drop()
    assert users((await ann.event("viewers", viewer_count=2))["viewers"]) == ["ann", "cyd"]
    status = await ann.call("status", form)
    assert (users(status["viewers"]), status["viewer_count"]) == (["ann", "cyd"], 2)
    # Four came, two left: each second at most one event tells of it, as the timer counts; what it tells is read after that.
    told = [event["at"] for event in ann.events if event["status"] == "viewers"]
    assert all(later - earlier >= 500 for earlier, later in itertools.pairwise(told))
    await leave(ann, cyd)


# -- a restart of the lock worker


@pytest_twisted.ensureDeferred
async def test_a_restart_keeps_the_line_and_the_viewers(tmp_path: Path) -> None:
    """U2, U12: a killed lock worker finds again who waits, in their order, and who has the form open."""
    node = Node(tmp_path / "node", without("bridge", "locks"))
    worker = None
    try:
        await deferToThread(node.start)
        worker = WorkerProcess(node, tmp_path)
        form = "com.example.form.test.restart"
        ann = await joined(node.ws_url, "ann")
        await answered(ann, form)
        await ann.subscribe(form)
        bob, cyd = await people(node, form, "bob", "cyd")
        got = await ann.call("lock", form=form, tab="a")
        first = await bob.call("lock", form=form, tab="b", wait=True)
        second = await cyd.call("lock", form=form, tab="c", wait=True)
        worker.kill()
        worker = WorkerProcess(node, tmp_path)
        status = await answered(ann, form)
        assert [waiter["number"] for waiter in status["waiters"]] == [first["number"], second["number"]]
        assert status["holder"]["user"] == "ann"
        assert users((await ann.event("viewers", viewer_count=3))["viewers"])
        await ann.call("unlock", form=form, token=got["token"], tab="a")
        granted = await bob.event("granted")
        assert (granted["number"], granted["token"]) == (first["number"], got["token"] + 1)
        assert (await bob.call("lock", form=form, tab="b"))["token"] == granted["token"]
        await leave(ann, bob, cyd)
    finally:
        if worker is not None:
            worker.kill()
        await deferToThread(node.stop)
