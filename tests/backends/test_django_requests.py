"""Requests of a Django application: what they change is told as their user's work, and nobody asks for the user in vain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test import AsyncClient, Client, override_settings

from formlock.model import Owner
from formlock.receipts import Signer
from formlock_push import Pusher
from formlock_push.django import conf, muted
from formlock_push.django.hook import install
from formlock_push.django.outbox import Outbox
from tests.backends.django_app.models import Invoice
from tests.backends.django_support import Sent, databases

MIDDLEWARE = ["formlock_push.django.middleware.FormLockMiddleware"]
asked: list[str] = []


def who(request: Any) -> dict[str, str]:
    asked.append(request.path)
    return {"user": "ann", "name": "Ann"}


@pytest.fixture
def sent(tmp_path: Path) -> Iterator[Sent]:
    asked.clear()
    sent = Sent()
    with databases(tmp_path), override_settings(MIDDLEWARE=MIDDLEWARE, FORMLOCK={"ACTOR": who, "RECEIPT_KEY": "k" * 43}):
        with muted():
            Invoice.objects.create(amount=1)
        hook = install(sent)
        yield sent
        hook.remove()
        assert hook.failed == 0


def test_request(sent: Sent) -> None:
    """A22: a request is told, with who acts, who is asked once, and only by a request that changes something."""
    client = Client()
    client.get("/quiet")
    assert asked == []
    client.get("/change")
    assert asked == ["/change"]
    assert (sent[0].actor, sent[0].origin) == ({"user": "ann", "name": "Ann"}, None)
    assert sent.take() == [("invoice.1", "updated", {"amount": (1, 2)})]


def test_receipt(sent: Sent) -> None:
    """U13: the tab that saves is the one that its receipt names, which is posted or sent as a header."""
    receipt = Signer("k" * 43).sign("com.example.form.invoice.1", Owner("ann", "tab-1"), 1, round(time.time() * 1000), 90_000)
    Client().post("/change", {"form_lock_receipt": receipt})
    Client().post("/change", "{}", content_type="application/json", headers={"X-Form-Lock-Receipt": receipt})
    assert [update.origin for update in sent] == ["tab-1", "tab-1"]


def test_streamed(sent: Sent) -> None:
    """What is changed while the answer is being sent is the request's too."""
    answer = Client().get("/stream")
    assert sent == []
    assert b"".join(answer) == b"changingchanged"
    assert len(sent) == 1
    assert sent[0].actor == {"user": "ann", "name": "Ann"}


def test_asynchronous(sent: Sent) -> None:
    """A coroutine's request, with the asynchronous ORM, is told as any other."""

    async def ask() -> int:
        answer = await AsyncClient().get("/change_async")
        return int(answer.status_code)

    assert asyncio.run(ask()) == 200
    assert [entry[:2] for entry in sent.take()] == [("invoice.1", "updated")]


def test_streamed_asynchronously(sent: Sent) -> None:
    """What a coroutine's request changes while its answer is being sent is its own too."""

    async def ask() -> bytes:
        answer: Any = await AsyncClient().get("/stream_async")
        assert sent == []
        return b"".join([part async for part in answer.streaming_content])

    assert asyncio.run(ask()) == b"changingchanged"
    assert [update.actor for update in sent] == [{"user": "ann", "name": "Ann"}]


def test_atomic_requests(sent: Sent) -> None:
    """With ATOMIC_REQUESTS a view that fails has changed nothing, and nothing is told; another one is told after it."""
    client = Client(raise_request_exception=False)
    settings = connections["default"].settings_dict
    settings["ATOMIC_REQUESTS"] = True
    try:
        assert client.get("/fail").status_code == 500
        assert sent.take() == []
        assert client.get("/change").status_code == 200
        assert sent.take() == [("invoice.1", "updated", {"amount": (1, 2)})]
    finally:
        settings["ATOMIC_REQUESTS"] = False


def test_settings() -> None:
    """A key that is none is an error at the start, not silence; each way that an update can go is one setting."""
    for wrong in ({"PUHS": "x"}, {"push": "x"}, {"OUTBOX": True, "SENDER": Sent}):
        with pytest.raises(ImproperlyConfigured):
            conf.read(wrong)
    assert isinstance(conf.sender_of(conf.read(None)), Pusher)
    assert isinstance(conf.sender_of(conf.read({"OUTBOX": True})), Outbox)
    assert isinstance(conf.sender_of(conf.read({"SENDER": "tests.backends.django_support.Sent"})), Sent)
    assert conf.sender_of(conf.read({"PUSH": None})) is None
