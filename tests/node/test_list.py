"""Lists of locks, the one subscription for all of them, and receipts, on a real node."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from autobahn.wamp.exception import ApplicationError

from formlock_push.verify import Verifier
from tests.support.client import joined
from tests.support.node import Node

pytestmark = pytest.mark.node


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """A type of forms of the test's own."""
    return request.node.name.replace("[", "-").replace("]", "")[:60]


@pytest_twisted.ensureDeferred
async def test_list_in_pages(node: Node, kind: str) -> None:
    """U18: who holds what, page by page, as snapshots of the same shape as `status` answers."""
    ann, bob = await joined(node.ws_url, "ann", "Ann Weber"), await joined(node.ws_url, "bob")
    forms = [f"com.example.form.{kind}.{number}" for number in range(4)]
    for form in forms[:3]:
        await ann.call("lock", form=form, tab="a", note="all day")
    await bob.call("lock", form=forms[3], tab="b")
    first = await bob.call("list", type=kind, limit=2)
    assert [snapshot["form"] for snapshot in first["forms"]] == forms[:2]
    assert first["after"] == forms[1]
    rest = await bob.call("list", type=kind, after=first["after"])
    assert [snapshot["form"] for snapshot in rest["forms"]] == forms[2:]
    assert rest["after"] is None
    status = await bob.call("status", forms[0])
    # Who has it open is asked for one form at a time.
    del status["viewers"], status["viewer_count"]
    assert {**first["forms"][0], "since_ms": 0, "expires_in_ms": 0} == {**status, "since_ms": 0, "expires_in_ms": 0}
    assert [snapshot["form"] for snapshot in (await bob.call("list", type=kind, user="bob"))["forms"]] == forms[3:]
    ann.drop()
    while len((await bob.call("list", type=kind, state="grace"))["forms"]) != 3:
        pass
    assert [snapshot["form"] for snapshot in (await bob.call("list", type=kind, state="held"))["forms"]] == forms[3:]
    assert forms[3] in [snapshot["form"] for snapshot in (await bob.call("list", user="bob", limit=200))["forms"]]
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_list_by_what_is_going_on(node: Node, kind: str) -> None:
    """U18: what is idle, held by a machine, waited for, or held for long, each asked for alone and together."""
    ann, bob = await joined(node.ws_url, "ann"), await joined(node.ws_url, "bob")
    plain, idle, machine, waited = (f"com.example.form.{kind}.{name}" for name in ("1-plain", "2-idle", "3-machine", "4-waited"))
    tokens = {}
    for form in (plain, idle, machine, waited):
        tokens[form] = (await ann.call("lock", form=form, tab="a", machine=form == machine))["token"]
    await ann.call("renew", locks=[{"form": idle, "token": tokens[idle]}], tab="a", active=False)
    assert (await bob.call("lock", form=waited, tab="b", wait=True))["event"] == "queued"

    async def found(**filters: Any) -> list[str]:
        return [snapshot["form"] for snapshot in (await bob.call("list", type=kind, **filters))["forms"]]

    assert await found(idle=True) == [idle]
    assert await found(idle=False) == [plain, machine, waited]
    assert await found(machine=True) == [machine]
    assert await found(machine=False, waited_for=False) == [plain, idle]
    assert await found(waited_for=True) == [waited]
    assert await found(waited_for=True, idle=True) == []
    assert await found(held_ms=0, user="ann") == [plain, idle, machine, waited]
    assert await found(held_ms=3_600_000) == []
    (snapshot,) = (await bob.call("list", type=kind, idle=True))["forms"]
    assert snapshot["idle_ms"] >= 0
    for form in (plain, idle, machine, waited):
        await ann.call("unlock", form=form, token=tokens[form], tab="a")
    await ann.leave()
    await bob.leave()


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"idle": "yes"}, "idle"),
        ({"machine": 1}, "machine"),
        ({"waited_for": "no"}, "waited_for"),
        ({"held_ms": -1}, "held_ms"),
        ({"held_ms": True}, "held_ms"),
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"limit": "10"}, "limit"),
        ({"state": "free"}, "state"),
        ({"type": "a.b"}, "type"),
        ({"type": ""}, "type"),
        ({"after": "nonsense"}, "after"),
        ({"after": 5}, "after"),
        ({"user": ["ann"]}, "user"),
        ({"offset": 3}, "offset"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_list_of_nonsense(node: Node, arguments: dict[str, Any], argument: str) -> None:
    """The refusal names the argument that is wrong."""
    page = await joined(node.ws_url)
    refused = await page.refused("list", **arguments)
    assert (refused.name, refused.facts) == ("invalid_argument", {"argument": argument})
    await page.leave()


@pytest_twisted.ensureDeferred
async def test_one_subscription_for_a_whole_list(node: Node, kind: str) -> None:
    """Whoever may list a type hears of all its forms by one prefix; it gets no `subscribed`, and other types are not in it."""
    ann, watcher = await joined(node.ws_url, "ann"), await joined(node.ws_url, "eva")
    await watcher.subscribe(f"com.example.form.{kind}.", match="prefix")
    await ann.call("lock", form="com.example.form.other.1", tab="a")
    for number in (1, 2):
        await ann.call("lock", form=f"com.example.form.{kind}.{number}", tab="a")
    await watcher.event("edit", form=f"com.example.form.{kind}.2")
    assert [(event["status"], event["form"][-1]) for event in watcher.events] == [("edit", "1"), ("edit", "2")]
    for pattern in ("com.example.form.", "com.example.form.x."):
        await watcher.subscribe(pattern, match="prefix")
    for pattern in ("com.example.", "com.example.form", "com.example.form.a.b.", "wamp."):
        with pytest.raises(ApplicationError, match="not authorized"):
            await watcher.subscribe(pattern, match="prefix")
    await ann.leave()
    await watcher.leave()


@pytest_twisted.ensureDeferred
async def test_receipts(node: Node, kind: str) -> None:
    """U21: the answer to a lock carries a receipt that a backend verifies offline with the node's key; each renewal a fresh one."""
    form = f"com.example.form.{kind}.1"
    verifier = Verifier.from_file(node.folder / "credentials" / "receipts")
    ann = await joined(node.ws_url, "ann")
    got = await ann.call("lock", form=form, tab="a")
    receipt = verifier.verify(got["receipt"], form=form, user="ann")
    assert (receipt.token, receipt.tab) == (got["token"], "a")
    assert 89 <= receipt.expires_at - receipt.issued_at <= 92
    renewed = (await ann.call("renew", locks=[{"form": form, "token": got["token"]}], tab="a"))["locks"][0]
    assert verifier.verify(renewed["receipt"], form=form, user="ann").token == got["token"]
    bob = await joined(node.ws_url, "bob")
    assert "receipt" not in (await bob.refused("lock", form=form, tab="b")).facts
    assert "receipt" not in await bob.call("status", form)
    await ann.leave()
    await bob.leave()
