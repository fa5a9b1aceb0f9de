"""History, drafts and the policy file on a real node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.support.client import WITHIN_S, Client, joined
from tests.support.node import Node, without

# Some start a node again.
pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

POLICY = """
[forms.shared]
handover = "10 s"
share_drafts = true
"""


@pytest.fixture(scope="module")
def past_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with a policy file of its own."""
    node = Node(tmp_path_factory.mktemp("past"), without("bridge"))
    (node.folder / "policy.toml").write_text(POLICY)
    try:
        yield node.start()
    finally:
        node.stop()


@pytest.fixture
def form(request: pytest.FixtureRequest) -> str:
    """A form of the test's own, whose policy is the default."""
    return f"com.example.form.test.{request.node.name[:60]}"


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> str:
    """One whose drafts are shared, and whose holder has a moment."""
    return f"com.example.form.shared.{request.node.name[:60]}"


def calling(page: Client, name: str, **arguments: Any) -> Deferred[Any]:
    """A call whose answer is waited for later."""
    return Deferred.fromCoroutine(page.call(name, **arguments))


@pytest_twisted.ensureDeferred
async def test_the_history(past_node: Node, form: str) -> None:
    """A21, U19: whoever may see a form reads who had it, who was refused, how it ended; nobody's tab or session is in it."""
    ann, bob = await joined(past_node.ws_url, "ann", "Ann Weber"), await joined(past_node.ws_url, "bob", "Bob Ray")
    got = await ann.call("lock", form=form, tab="tab-of-ann", note="the address")
    for _ in range(3):
        await bob.refused("lock", form=form, tab="tab-of-bob")
    await ann.call("unlock", form=form, token=got["token"], tab="tab-of-ann")
    answer = await bob.call("history", form, since=0)
    entries = answer["entries"]
    assert [(entry["what"], entry["user"], entry["name"], entry["rev"]) for entry in entries] == [
        ("granted", "ann", "Ann Weber", 1),
        ("refused", "bob", "Bob Ray", 1),
        ("released", "ann", "Ann Weber", 2),
    ]
    assert (entries[0]["token"], entries[0]["form"], entries[2]["cause"]) == (got["token"], form, "unlock")
    assert (entries[1]["call"], entries[1]["error"], entries[1]["times"]) == ("lock", "form_locked", 3)
    assert entries[0]["at"] <= entries[1]["at"] <= entries[1]["last_at"] <= entries[2]["at"]
    assert (answer["complete"], answer["after"], answer["epoch"]) == (True, None, got["epoch"])
    assert [entry["what"] for entry in (await bob.call("history", form, since=1))["entries"]] == ["refused", "released"]
    first = await bob.call("history", form, since=0, limit=2)
    rest = await bob.call("history", form, since=0, after=first["after"])
    assert first["entries"] + rest["entries"] == entries
    assert (await bob.call("history", form))["entries"] == entries
    told = json.dumps(answer)
    assert "tab-of" not in told
    assert str(ann.session_id) not in told
    await ann.leave()
    await bob.leave()


@pytest.mark.parametrize(
    ("name", "arguments", "argument"),
    [
        ("history", {"since": -1}, "since"),
        ("history", {"limit": 101}, "limit"),
        ("history", {"after": "x"}, "after"),
        ("history", {"user": "ann"}, "user"),
        ("hand_over", {}, "token"),
        ("hand_over", {"token": 1, "draft": "x" * 40_000}, "draft"),
        ("draft", {"token": 0}, "token"),
        ("forget_draft", {"tab": "a"}, "tab"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_nonsense(past_node: Node, form: str, name: str, arguments: dict[str, Any], argument: str) -> None:
    """The refusal names the argument that is wrong."""
    page = await joined(past_node.ws_url)
    form = "com.example.form.test.nonsense"
    refused = await page.refused(name, form=form, **arguments)
    assert (refused.name, refused.facts) == ("invalid_argument", {"argument": argument})
    assert (await page.refused(name, form="nonsense", **arguments)).name == "invalid_form"
    await page.leave()


@pytest_twisted.ensureDeferred
async def test_save_before_hand_over(past_node: Node, shared: str) -> None:
    """U14, U19, U20: the holder is told who wants the form and why, hands its text in, and loses the form then; its text stays its
    own, and whoever has the form now may read it, marked with whose it is."""
    ann, bob, eva = [await joined(past_node.ws_url, user) for user in ("ann", "bob", "eva")]
    await ann.subscribe(shared)
    token = (await ann.call("lock", form=shared, tab="a"))["token"]
    taking = calling(bob, "takeover", form=shared, expected_token=token, reason="month end", tab="b")
    began = await ann.event("handover")
    assert (began["by"], began["reason"], began["holder"]["user"]) == ({"user": "bob", "name": "Bob"}, "month end", "ann")
    draft = {"fields": {"amount": "12,50", "memo": "line one\nline two ☃"}, "at": 3}
    handed = await ann.call("hand_over", form=shared, token=token, tab="a", draft=draft)
    assert (handed["event"], handed["moved"]) == ("handed_over", True)
    got = await taking
    assert got["token"] == token + 1
    await ann.event("takeover", by={"user": "bob", "name": "Bob"})
    own = await ann.call("draft", form=shared)
    assert (own["draft"], own["token"]) == (draft, token)
    assert [(entry["user"], entry["own"]) for entry in own["drafts"]] == [("ann", True)]
    read = await bob.call("draft", form=shared)
    assert read["draft"] == draft
    (head,) = read["drafts"]
    assert (head["user"], head["name"], head["own"]) == ("ann", "Ann", False)
    assert (await eva.call("draft", form=shared))["drafts"] == []
    assert (await eva.call("forget_draft", form=shared))["forgotten"] == 0
    late = await ann.call("hand_over", form=shared, token=token, tab="a", draft="and one more")
    assert late["moved"]
    assert (await ann.call("draft", form=shared))["draft"] == "and one more"
    assert (await eva.refused("hand_over", form=shared, token=token, tab="a", draft="forged")).name == "lost"
    assert (await ann.call("forget_draft", form=shared, token=token))["forgotten"] == 1
    assert (await bob.call("draft", form=shared))["drafts"] == []
    for page in (ann, bob, eva):
        await page.leave()


@pytest_twisted.ensureDeferred
async def test_drafts_and_history_survive_a_kill(past_node: Node, form: str) -> None:
    """U19: `kill -9` of the whole node right after the answer loses neither the text nor what happened."""
    ann = await joined(past_node.ws_url, "ann")
    token = (await ann.call("lock", form=form, tab="a"))["token"]
    await ann.call("hand_over", form=form, token=token, tab="a", draft=["typed"])
    past_node.kill()
    await deferToThread(past_node.start)
    ann = await joined(past_node.ws_url, "ann")
    assert (await ann.call("draft", form=form))["draft"] == ["typed"]
    history = await ann.call("history", form, since=0)
    assert history["entries"][0]["what"] == "granted"
    assert history["complete"]
    await ann.call("hand_over", form=form, token=token, tab="a", draft=["typed", "more"])
    assert (await ann.call("draft", form=form))["draft"] == ["typed", "more"]
    await ann.leave()


def test_nothing_starts_with_a_wrong_policy(tmp_path: Path) -> None:
    """The node ends, and says with file, line and key what is wrong."""
    node = Node(tmp_path, without("bridge"))
    (node.folder / "policy.toml").write_text('[default]\n\nttl = "9 s"\n')
    try:
        with pytest.raises(AssertionError, match="the node ended"):
            node.start()
        node.logged(f"{node.folder}/policy.toml, line 3: default.ttl can't hold")
    finally:
        node.stop()


@pytest_twisted.ensureDeferred
async def test_the_policy_file_is_read_again(past_node: Node) -> None:
    """Without a restart: a changed file counts for the next lock; a wrong one is in the log with its line, and changes nothing."""
    path = past_node.folder / "policy.toml"
    ann = await joined(past_node.ws_url, "ann")
    changing = "com.example.form.changing"

    async def until_lease(number: int, lease_ms: int) -> None:
        for attempt in range(WITHIN_S * 4):
            got = await ann.call("lock", form=f"{changing}.{number}-{attempt}", tab="a")
            if got["lease_ms"] == lease_ms:
                return
            await deferLater(reactor, 0.25)
        raise AssertionError(f"no lease of {lease_ms} ms: {past_node.log()[-2000:]}")

    await until_lease(1, 90_000)
    path.write_text(POLICY + '[forms.changing]\nttl = "100 s"\nrenew = "20 s"\n')
    await until_lease(2, 100_000)
    assert (await ann.call("lock", form=f"{changing}.3", tab="a"))["renew_ms"] == 20_000
    path.write_text(POLICY + '[forms.changing]\nttl = "5 s"\n')
    wrong_line = POLICY.count("\n") + 2
    await deferToThread(past_node.logged, f"policy.toml, line {wrong_line}: forms.changing.ttl can't hold")
    assert (await ann.call("lock", form=f"{changing}.4", tab="a"))["lease_ms"] == 100_000
    assert past_node.log().count("policy.wrong") == 1
    path.write_text(POLICY)
    await until_lease(5, 90_000)
    await ann.leave()
