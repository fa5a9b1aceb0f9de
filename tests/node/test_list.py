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
    # Who looks at it, only `status` says.
    more = {"since_ms": 0, "expires_in_ms": 0, "viewers": [], "viewer_count": 0}
    assert {**first["forms"][0], **more} == {**status, **more}
    assert [snapshot["form"] for snapshot in (await bob.call("list", type=kind, user="bob"))["forms"]] == forms[3:]
    ann.drop()
    while len((await bob.call("list", type=kind, state="grace"))["forms"]) != 3:
        pass
    assert [snapshot["form"] for snapshot in (await bob.call("list", type=kind, state="held"))["forms"]] == forms[3:]
    assert forms[3] in [snapshot["form"] for snapshot in (await bob.call("list", user="bob", limit=200))["forms"]]
    await bob.leave()


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
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
