"""The same on PostgreSQL: nested blocks, the outbox in the same transaction, the fence that makes a takeover wait, and the relay."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connections, transaction

from formlock_push.django import acting, claim, fence
from formlock_push.django.hook import Hook, install
from formlock_push.django.outbox import Outbox
from tests.backends.django_app.models import Document, Plain
from tests.backends.django_support import Row
from tests.support.fake_bridge import FakeBridge
from tests.support.postgres import PostgresServer

WITHIN_S = 20.0
ALIAS = "postgresql"


@pytest.fixture
def hook(postgres_server: PostgresServer) -> Iterator[Hook]:
    with postgres_server.database() as name:
        connections.settings[ALIAS] = {**connections.settings["default"], **_address(postgres_server, name)}
        connection = connections[ALIAS]
        with connection.schema_editor() as editor:
            for label in ("django_app", "formlock_outbox"):
                for model in apps.get_app_config(label).get_models():
                    editor.create_model(model)
        hook = install(Outbox(), jobs=True)
        try:
            yield hook
        finally:
            hook.remove()
            connection.close()
            del connections[ALIAS]
            del connections.settings[ALIAS]


def _address(server: PostgresServer, name: str) -> dict[str, Any]:
    from psycopg.conninfo import conninfo_to_dict

    said = conninfo_to_dict(server.url(name))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": said["dbname"],
        "USER": said.get("user", ""),
        "PASSWORD": said.get("password", ""),
        "HOST": said.get("host", ""),
        "PORT": said.get("port", ""),
        "OPTIONS": {},
    }


def test_outbox_and_relay(hook: Hook) -> None:
    """U35, U37, U38: of nested blocks what stays is one row in the same transaction, and the relay takes it to the bridge."""
    with transaction.atomic(ALIAS):
        plain = Plain.objects.using(ALIAS).create(a=1, b=1)
        with suppress(KeyError), transaction.atomic(ALIAS):
            plain.a = 2
            plain.save()
            raise KeyError
        plain.b = 3
        plain.a = 1
        plain.save()
    assert list(Row.objects.using(ALIAS).values_list("form", flat=True)) == ["com.example.form.plain.1"]
    with FakeBridge() as bridge:
        call_command("formlock_relay", "--database", ALIAS, "--once", "--address", bridge.address, stdout=StringIO())
        (message,) = bridge.journal
    assert message["change_set"] == {"id": [None, 1], "a": [None, 1], "b": [None, 3]}
    assert hook.failed == 0


def test_wakes_the_relay(hook: Hook) -> None:
    """A commit with rows in it notifies whoever listens, with the commit and not before."""
    import psycopg

    given = connections[ALIAS].settings_dict
    with psycopg.connect(dbname=given["NAME"], user=given["USER"], host=given["HOST"], autocommit=True) as listening:
        listening.execute("LISTEN formlock_outbox")
        with transaction.atomic(ALIAS):
            Plain.objects.using(ALIAS).create(a=1, b=1)
            assert list(listening.notifies(timeout=0.1)) == []
        assert len(list(listening.notifies(timeout=WITHIN_S, stop_after=1))) == 1


def test_a_takeover_waits_for_a_save(hook: Hook) -> None:
    """U14: while a fenced save runs, a claim waits for its commit, and then reads what it has written."""
    with acting():
        document = Document.objects.using(ALIAS).create(title="first")
    with transaction.atomic(ALIAS):
        claim(Document, document.pk, 5, using=ALIAS)
    read: list[str] = []

    def takeover() -> None:
        try:
            with transaction.atomic(ALIAS):
                claim(Document, document.pk, 6, using=ALIAS)
                read.append(Document.objects.using(ALIAS).get().title)
        finally:
            connections[ALIAS].close()

    with transaction.atomic(ALIAS):
        fence(Document, document.pk, 5, using=ALIAS)
        thread = threading.Thread(target=takeover)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        assert read == []
        document.title = "saved"
        document.save()
    thread.join(WITHIN_S)
    assert read == ["saved"]
