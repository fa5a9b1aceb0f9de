"""Locks over plain HTTP on a real node: who may ask, what the others see, what ends them."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from formlock_push.plain_locks import SIGNATURE_HEADER, TIME_HEADER, PlainLocks, Refused, signature
from formlock_push.verify import Verifier
from tests.support.client import WITHIN_S, joined
from tests.support.client import Refused as CallRefused
from tests.support.node import Node

pytestmark = pytest.mark.node

P = "com.example.form.plain."
T = TypeVar("T")


def locks_of(node: Node) -> PlainLocks:
    return PlainLocks(node.folder / "credentials/http", node.url + "formlock/")


async def away(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """The test's own clients need the reactor meanwhile."""
    found: T = await deferToThread(work, *args, **kwargs)
    return found


def send(node: Node, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    connection.request(method, f"/formlock/{path}", body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    said: dict[str, Any] = json.loads(answer.read())
    connection.close()
    return answer.status, said


def key_of(node: Node) -> str:
    return (node.folder / "credentials/http").read_text()


@pytest_twisted.ensureDeferred
async def test_a_form_locked_by_the_server_for_a_page(node: Node) -> None:
    """Ann's page has no JavaScript: the server locks for her, with a receipt that any backend verifies, Bob's page shows her name at
    once, and it is free for him when the server gives the receipt back."""
    form, locks = P + "story", locks_of(node)
    bob = await joined(node.ws_url, "bob")
    await bob.subscribe(form)
    granted = await away(locks.lock, form, user="ann", name="Ann", lease_ms=600_000)
    assert 590_000 < granted["lease_ms"] <= 600_000
    receipt = Verifier.from_file(node.folder / "credentials/receipts").verify(granted["receipt"], form=form, user="ann")
    assert (receipt.token, receipt.tab) == (granted["token"], granted["tab"])
    event = await bob.event("edit", form=form)
    assert event["holder"]["name"] == "Ann"
    with pytest.raises(CallRefused, match="form_locked"):
        await bob.call("lock", form=form, tab="b")
    seen = await away(locks.status, form, user="bob")
    assert seen["holder"]["name"] == "Ann"
    await away(locks.unlock, form, granted["receipt"])
    await bob.event("released", form=form)
    assert (await bob.call("lock", form=form, tab="b"))["event"] == "lock"
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_who_has_it(node: Node) -> None:
    """A server that asks for a form which a page has is told who has it, in a sentence's own word."""
    form, locks = P + "taken", locks_of(node)
    bob = await joined(node.ws_url, "bob")
    await bob.call("lock", form=form, tab="b")
    with pytest.raises(Refused) as refused:
        await away(locks.lock, form, user="ann", name="Ann")
    assert (refused.value.error, refused.value.holder) == ("form_locked", "Bob")
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_it_lives_by_its_time_alone(node: Node) -> None:
    """No session keeps it and none can lose it: it is there without anybody renewing, is not had sooner by waiting, and ends when it
    was said to."""
    form, locks = P + "short", locks_of(node)
    bob = await joined(node.ws_url, "bob")
    await bob.subscribe(form)
    begun = time.monotonic()
    await away(locks.lock, form, user="ann", name="Ann", lease_ms=3_000)
    assert (await bob.call("lock", form=form, tab="b", wait=True))["event"] == "queued"
    granted = await bob.event("granted", form=form)
    assert 2.9 < time.monotonic() - begun < 3 + WITHIN_S
    assert granted["holder"]["user"] == "bob"
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_the_page_comes_again(node: Node) -> None:
    """A page that is sent with a mistake is made again with the same lock; a copy of an older request starts no new one."""
    form, locks = P + "again", locks_of(node)
    first = await away(locks.lock, form, user="ann", rid="one")
    again = await away(locks.lock, form, user="ann", tab=first["tab"], rid="two")
    assert again["token"] == first["token"]
    with pytest.raises(Refused, match="locked"):
        await away(locks.lock, form, user="ann", rid="three")
    await away(locks.unlock, form, again["receipt"])
    with pytest.raises(Refused) as refused:
        await away(locks.lock, form, user="ann", tab=first["tab"], rid="two")
    assert refused.value.error == "lost"


@pytest_twisted.ensureDeferred
async def test_the_last_goodbye(node: Node) -> None:
    """A page whose connection is gone gives its form back by its receipt alone, as `sendBeacon` sends it: no grace."""
    form = P + "beacon"
    ann, bob = await joined(node.ws_url, "ann"), await joined(node.ws_url, "bob")
    granted = await ann.call("lock", form=form, tab="a")
    await bob.subscribe(form)
    ann.drop()
    while (await bob.call("status", form))["state"] != "grace":
        pass
    body = json.dumps({"form": form, "receipt": granted["receipt"], "leaving": True}).encode()
    status, _ = await away(send, node, "POST", "unlock", body, content_type="text/plain;charset=UTF-8", origin="https://app.example")
    assert status == 200
    await bob.event("released", form=form)
    await bob.leave()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "lock", 405),
        ("GET", "unlock", 405),
        ("POST", "status", 405),
        ("POST", "lock", 401),
        ("POST", "unlock", 400),
        ("GET", "status", 400),
    ],
)
@pytest_twisted.ensureDeferred
async def test_nothing_said(node: Node, method: str, path: str, status: int) -> None:
    """Requests without anything in them change nothing and are told what they lack."""
    found, said = await away(send, node, method, path)
    assert (found, bool(said["message"])) == (status, True)


@pytest_twisted.ensureDeferred
async def test_who_may_not_ask(node: Node) -> None:
    """Without the key, with another one, an old time, another route's or another body's signature nothing is locked, nor told."""
    form, now = P + "closed", str(int(time.time()))
    body = json.dumps({"form": form, "user": "eve", "rid": "r", "until_ms": 600_000}).encode()
    key = key_of(node)
    wrong = [
        {},
        {TIME_HEADER: now, SIGNATURE_HEADER: signature("k" * 43, now, "lock", body)},
        {TIME_HEADER: now, SIGNATURE_HEADER: signature(key, now, "status", body)},
        {TIME_HEADER: now, SIGNATURE_HEADER: signature(key, now, "lock", body + b" ")},
        {TIME_HEADER: "soon", SIGNATURE_HEADER: signature(key, "soon", "lock", body)},
        {TIME_HEADER: str(int(now) - 90), SIGNATURE_HEADER: signature(key, str(int(now) - 90), "lock", body)},
        {TIME_HEADER: str(int(now) + 90), SIGNATURE_HEADER: signature(key, str(int(now) + 90), "lock", body)},
    ]
    for headers in wrong:
        status, said = await away(send, node, "POST", "lock", body, **headers)
        assert (status, said["error"]) == (401, "unsigned")
        assert (await away(send, node, "GET", f"status?form={form}&user=eve", **headers))[0] == 401
    assert (await away(locks_of(node).status, form, user="ann"))["holder"] is None


@pytest_twisted.ensureDeferred
async def test_a_receipt_of_something_else(node: Node) -> None:
    """A receipt gives back its own form and nothing else, and a made up one nothing at all."""
    form, locks = P + "receipt", locks_of(node)
    granted = await away(locks.lock, form, user="ann")
    head, claims, mark = granted["receipt"].split(".")
    for receipt in ("", "a.b.c", f"{head}.{claims}.{mark[:-4]}AAAA"):
        with pytest.raises(Refused) as refused:
            await away(locks.unlock, form, receipt)
        assert refused.value.error == "unsigned"
    with pytest.raises(Refused):
        await away(locks.unlock, P + "other", granted["receipt"])
    assert (await away(locks.status, form, user="ann"))["holder"]["user"] == "ann"
    await away(locks.unlock, form, granted["receipt"])


@pytest_twisted.ensureDeferred
async def test_rights(node: Node) -> None:
    """The application may say less than everything: without `reserve` no lock that outlives its session is given."""
    with pytest.raises(Refused) as refused:
        await away(locks_of(node).lock, P + "rights", user="ann", rights=["view", "lock"])
    assert (refused.value.error, refused.value.facts["right"]) == ("not_allowed", "reserve")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{", b"[" * 20_000, b"\xff", b'{"form":"' + b"x" * 17_000 + b'"}',
        b'{"form":"com.example.form.plain.x","user":"a","rid":"r","until_ms":1,"more":1}',
        b'{"form":"com.example.form.plain.x","user":"a\\u0000","rid":"r","until_ms":1}',
        b'{"form":"com.example.form.plain.x","user":"a\\ud800","rid":"r","until_ms":1}',
        b'{"form":"com.example.form.plain.x","user":"a","rid":"r","until_ms":0}',
        b'{"form":"com.example.form.plain.x","user":"a","rid":"","until_ms":9000}',
        b'{"form":"nothing","user":"a","rid":"r","until_ms":9000}',
    ],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_what_is_no_request(node: Node, body: bytes) -> None:
    """Whatever a signed body has in it, it is answered, with a 400, and the node goes on."""
    now = str(int(time.time()))
    headers = {TIME_HEADER: now, SIGNATURE_HEADER: signature(key_of(node), now, "lock", body)}
    status, said = await away(send, node, "POST", "lock", body, **headers)
    assert (status, said["error"]) in {(400, "invalid_argument"), (400, "invalid_form")}
