"""The lock component on a real Crossbar node, as pages use it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
import pytest_twisted
from autobahn.twisted.websocket import WampWebSocketClientFactory
from autobahn.wamp.serializer import JsonSerializer
from autobahn.wamp.types import ComponentConfig
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import UNIXClientEndpoint

from formlock.locks import LockComponent
from tests.support.client import WITHIN_S, joined
from tests.support.node import Node

pytestmark = pytest.mark.node


def form_of(request: pytest.FixtureRequest) -> str:
    """A form of the test's own."""
    return f"com.example.form.test.{request.node.name.replace('[', '-').replace(']', '')[:60]}"


@pytest.fixture
def form(request: pytest.FixtureRequest) -> str:
    return form_of(request)


@pytest_twisted.ensureDeferred
async def test_lock_refuse_release(node: Node, form: str) -> None:
    """A3, A6, A8, A9, A10: the caller gets the form, all others are told and it is not, the second is refused with who holds it,
    the release frees it."""
    ann, bob = await joined(node.ws_url, "ann", "Ann Weber"), await joined(node.ws_url, "bob")
    await ann.subscribe(form)
    await bob.subscribe(form)
    got = await ann.call("lock", form=form, tab="a", note="the address")
    assert (got["event"], got["form"], got["lease_ms"], got["renew_ms"]) == ("lock", form, 90_000, 25_000)
    assert got["silence_ms"] == 10_000
    edit = await bob.event("edit")
    assert edit["holder"] == {"user": "ann", "name": "Ann Weber"}
    assert (edit["token"], edit["rev"], edit["note"], edit["state"]) == (got["token"], got["rev"], "the address", "held")
    refused = await bob.refused("lock", form=form, tab="b")
    assert refused.uri == "com.example.formlock.error.form_locked"
    assert refused.sentence == "Form was locked"
    assert (refused.facts["form"], refused.facts["status"], refused.facts["same_user"]) == (form, "locked", False)
    assert refused.facts["holder"] == {"user": "ann", "name": "Ann Weber"}
    await ann.call("unlock", form=form, token=got["token"], tab="a")
    released = await bob.event("released")
    assert (released["cause"], released["rev"], released["holder"]) == ("unlock", got["rev"] + 1, None)
    assert (await bob.call("lock", form=form, tab="b"))["token"] == got["token"] + 1
    await ann.event("edit", rev=got["rev"] + 2)
    assert got["rev"] not in [event["rev"] for event in ann.events if event["status"] == "edit"]
    await bob.leave()
    await ann.leave()


@pytest_twisted.ensureDeferred
async def test_new_subscriber_is_greeted(node: Node, form: str) -> None:
    """A7: a new subscriber, and only it, is told `subscribed` at once, then `locked` when the form is held."""
    ann, bob = await joined(node.ws_url, "ann"), await joined(node.ws_url, "bob")
    await ann.subscribe(form)
    first = await ann.event("subscribed")
    assert (first["state"], first["holder"]) == ("free", None)
    await ann.call("lock", form=form, tab="a")
    await bob.subscribe(form)
    locked = await bob.event("locked")
    assert locked["holder"]["user"] == "ann"
    assert [event["status"] for event in bob.events] == ["subscribed", "locked"]
    assert [event["status"] for event in ann.events] == ["subscribed"]
    await bob.leave()
    await ann.leave()


@pytest.mark.parametrize("way", ["keyword", "positional", "object"])
@pytest_twisted.ensureDeferred
async def test_the_articles_own_procedure(node: Node, form: str, way: str) -> None:
    """A8: `form-lock` with `{form}`, as the article calls it; the lock ends with the session, since it names no tab."""
    ann, bob = await joined(node.ws_url, "ann"), await joined(node.ws_url, "bob")
    await bob.subscribe(form)
    args: list[Any] = {"keyword": [], "positional": [form], "object": [{"form": form}]}[way]
    got = await ann.call("form-lock", *args, **({"form": form} if way == "keyword" else {}))
    assert got["event"] == "lock"
    ann.drop()
    assert (await bob.event("released"))["cause"] == "session_lost"
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_sentences_of_the_article(node: Node, form: str) -> None:
    """A8, A11: no form and a wrong method are told in the article's own words."""
    ann = await joined(node.ws_url)
    for arguments in ({}, {"form": ""}, {"form": None}, {"form": 42}, {"form": {"form": form}}, {"form": "com.example.form.a"}):
        refused = await ann.refused("form-lock", **arguments)
        assert (refused.name, refused.sentence) == ("invalid_form", "You need to provide valid form id")
    for method in ("nonsense", "lock.now", "error.lost"):
        refused = await ann.refused(f"com.example.formlock.{method}")
        assert (refused.name, refused.sentence) == ("wrong_method", "Wrong method called")
    await ann.leave()


@pytest_twisted.ensureDeferred
async def test_bad_arguments_are_named(node: Node, form: str) -> None:
    """Every wrong argument gets one clear answer that names it, and the form stays free."""
    ann = await joined(node.ws_url)
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("lock", {"tab": "a b"}, "tab"),
        ("lock", {"tab": ""}, "tab"),
        ("lock", {"tab": "a\n"}, "tab"),
        ("lock", {"tab": "a" * 65}, "tab"),
        ("lock", {"tab": 7}, "tab"),
        ("lock", {"rid": ["r"]}, "rid"),
        ("lock", {"note": "x" * 201}, "note"),
        ("lock", {"note": "two\nlines"}, "note"),
        ("lock", {"surprise": 1}, "surprise"),
        ("unlock", {"tab": "a"}, "token"),
        ("unlock", {"token": 0}, "token"),
        ("unlock", {"token": "1"}, "token"),
        ("unlock", {"token": 2**60}, "token"),
        ("unlock", {"token": 1, "leaving": "yes"}, "leaving"),
        ("status", {"tab": "a"}, "tab"),
    ]
    for name, arguments, culprit in wrong:
        refused = await ann.refused(name, form=form, **arguments)
        assert (refused.name, refused.facts) == ("invalid_argument", {"argument": culprit}), (name, arguments)
    for locks, culprit in ((7, "locks"), ([{"form": form}], "locks"), ([{"form": form, "token": 1}] * 201, "locks")):
        assert (await ann.refused("renew", locks=locks, tab="a")).facts == {"argument": culprit}
    assert (await ann.refused("lock", form, "second")).name == "invalid_argument"
    assert (await ann.call("status", form))["state"] == "free"
    await ann.leave()


@pytest_twisted.ensureDeferred
async def test_python_keywords_of_others(node: Node, form: str) -> None:
    """A caller's keywords that happen to be names inside Autobahn are plain wrong arguments; the component lives on.

    Without the packing in wamp.Session.onMessage a single `fun` closes its session, and with it the whole node."""
    ann = await joined(node.ws_url)
    for keyword in ("fun", "self", "details", "f", "args", "kwargs", "procedure", "handler"):
        with pytest.raises(Exception, match="invalid_argument"):
            await ann.call_raw("com.example.formlock.lock", [], {"form": form, keyword: 1})
    assert (await ann.call("lock", form=form, tab="a"))["event"] == "lock"
    await ann.leave()


@pytest_twisted.ensureDeferred
async def test_renew(node: Node, form: str) -> None:
    """U14: one call renews all locks of a tab; a lock that has ended is `lost`, with who has the form now."""
    ann, bob = await joined(node.ws_url, "ann"), await joined(node.ws_url, "bob", "Bob Novak")
    mine, gone = f"{form}-mine"[:150], f"{form}-gone"[:150]
    held = {name: (await ann.call("lock", form=name, tab="a"))["token"] for name in (mine, gone)}
    await ann.call("unlock", form=gone, token=held[gone], tab="a")
    await bob.call("lock", form=gone, tab="b")
    answer = await ann.call("renew", locks=[{"form": name, "token": token} for name, token in held.items()], tab="a")
    kept, lost = answer["locks"]
    assert (kept["event"], kept["form"], kept["token"], kept["lease_ms"]) == ("renewed", mine, held[mine], 90_000)
    ended_ms = lost.pop("ended_ms")
    assert lost == {"event": "lost", "form": gone, "holder": {"user": "bob", "name": "Bob Novak"}, "cause": "unlock"}
    assert 0 <= ended_ms < 60_000
    await bob.leave()
    await ann.leave()


@pytest_twisted.ensureDeferred
async def test_reload_keeps_the_token(node: Node, form: str) -> None:
    """U8: same tab, new session: the same token, whether the page said goodbye or the line just broke."""
    bob = await joined(node.ws_url, "bob")
    await bob.subscribe(form)
    ann = await joined(node.ws_url, "ann")
    token = (await ann.call("lock", form=form, tab="a"))["token"]
    await ann.call("unlock", form=form, token=token, tab="a", leaving=True)
    await bob.event("released", cause="left")
    await ann.leave()
    ann = await joined(node.ws_url, "ann")
    assert (await ann.call("lock", form=form, tab="a"))["token"] == token
    ann.drop()
    ann = await joined(node.ws_url, "ann")
    assert (await ann.call("lock", form=form, tab="a"))["token"] == token
    assert (await bob.refused("lock", form=form, tab="b")).name == "form_locked"
    await ann.leave()
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_duplicated_tab(node: Node, form: str) -> None:
    """U10, U11: the original is asked for a sign of life; it answers by renewing, and the copy hears "same user"."""
    original, copy = await joined(node.ws_url, "ann"), await joined(node.ws_url, "ann")
    await original.subscribe(form)
    await copy.subscribe(form)
    token = (await original.call("lock", form=form, tab="a"))["token"]
    asking = ensureDeferred(copy.refused("lock", form=form, tab="a"))
    await original.event("probe")
    await original.call("renew", locks=[{"form": form, "token": token}], tab="a")
    refused = await asking
    assert (refused.name, refused.facts["same_user"]) == ("form_locked", True)
    assert "probe" not in [event["status"] for event in copy.events]
    await copy.leave()
    await original.leave()


@pytest_twisted.ensureDeferred
async def test_silent_session_gives_way_to_its_own_tab(node: Node, form: str) -> None:
    """U9, U10: the old session does not answer the probe: its tab goes on over the new one, with a new token, since the old page may
    only be asleep."""
    old, new = await joined(node.ws_url, "ann"), await joined(node.ws_url, "ann")
    token = (await old.call("lock", form=form, tab="a"))["token"]
    assert (await new.call("lock", form=form, tab="a"))["token"] == token + 1
    late = await old.call("renew", locks=[{"form": form, "token": token}], tab="a")
    assert late["locks"][0]["event"] == "lost"
    await old.leave()
    assert (await new.call("status", form))["state"] == "held"
    await new.leave()


def test_readiness_is_a_real_answer(node: Node) -> None:
    """`/readyz` asks every component."""
    with urllib.request.urlopen(node.url + "readyz") as answer:
        assert json.load(answer) == {"ready": True, "locks": True, "bridge": True}


def test_pages_are_served_with_their_headers(node: Node) -> None:
    """A1: pages and WebSocket come from the node itself, under a strict content security policy; nothing lists a folder."""
    with urllib.request.urlopen(node.url) as answer:
        assert answer.headers["content-security-policy"].startswith("default-src 'self';")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "text/html" in answer.headers["content-type"]
    for nothing in ("formlock/", "nothing.html", "..%2f..%2fMakefile", "formlock/../../../Makefile"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(node.url + nothing)
        assert refused.value.code in (403, 404)


@pytest_twisted.ensureDeferred
async def test_a_second_lock_worker_by_mistake(node: Node) -> None:
    """It fails before it touches the store: the healthy one serves on, with all it holds."""
    ann = await joined(node.ws_url, "ann")
    form = "com.example.form.test.second-worker"
    token = (await ann.call("lock", form=form, tab="a"))["token"]
    second = LockComponent(
        ComponentConfig("formlock", {"authid": "locks", "cbdir": str(node.folder), "store": "sqlite:///locks.sqlite"})
    )
    gone: Deferred[None] = Deferred()
    second.on("disconnect", lambda *_, **__: gone.called or gone.callback(None))
    factory = WampWebSocketClientFactory(lambda: second, url="ws://localhost", serializers=[JsonSerializer()])
    UNIXClientEndpoint(reactor, str(node.folder / "router.sock")).connect(factory)
    await gone.addTimeout(WITHIN_S, reactor)
    renewed = await ann.call("renew", locks=[{"form": form, "token": token}], tab="a")
    assert renewed["locks"][0]["event"] == "renewed"
    assert (await ann.call("unlock", form=form, token=token, tab="a"))["event"] == "released"
    await ann.leave()


def test_the_package_is_for_pages_of_any_origin(node: Node) -> None:
    """The application's own page, on another port, may load the module; the node's own pages are not offered to others."""
    asked = urllib.request.Request(node.url + "formlock/formlock.js", headers={"Origin": "http://localhost:8000"})
    with urllib.request.urlopen(asked) as answer:
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    with urllib.request.urlopen(node.url) as answer:
        assert answer.headers["access-control-allow-origin"] is None
