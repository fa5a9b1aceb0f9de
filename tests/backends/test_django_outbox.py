"""The outbox of a Django application: rows in the same transaction, and the relay as a command of manage.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, connections, transaction

from formlock_push.django import muted
from formlock_push.django.hook import Hook, install
from formlock_push.django.outbox import Outbox
from formlock_push.outbox import create_statements
from tests.backends.django_app.models import Invoice, Line, Plain
from tests.backends.django_support import Row, databases
from tests.support.fake_bridge import FakeBridge


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[Hook]:
    with databases(tmp_path, "django_app", "formlock_outbox"):
        with muted():
            Invoice.objects.create(amount=1)
        hook = install(Outbox(), jobs=True, source="shop")
        yield hook
        hook.remove()


def rows() -> list[tuple[str, str]]:
    return [(row.form, json.loads(row.message)["status"]) for row in Row.objects.order_by("pk")]


def test_same_transaction(hook: Hook) -> None:
    """U35, U37: one row for a form, there when the change is, and gone with it."""
    invoice = Invoice.objects.get()
    with transaction.atomic():
        invoice.amount = 2
        invoice.save()
        Line.objects.create(invoice=invoice, position=1)
        assert rows() == []
        transaction.set_rollback(True)
    assert rows() == []
    with transaction.atomic():
        invoice.save()
        Line.objects.create(invoice=invoice, position=1)
    assert rows() == [("com.example.form.invoice.1", "updated")]
    assert Row.objects.get().source == "shop"
    assert (hook.pushed, hook.failed) == (1, 0)


def test_without_a_transaction(hook: Hook) -> None:
    """A single save gets a transaction, so that its row is in it: without the table neither is written."""
    invoice = Invoice.objects.get()
    invoice.amount = 2
    invoice.save()
    assert rows() == [("com.example.form.invoice.1", "updated")]
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE formlock_outbox")
    invoice.amount = 3
    with pytest.raises(DatabaseError):
        invoice.save()
    assert Invoice.objects.get().amount == 2
    with pytest.raises(DatabaseError):
        invoice.delete()
    assert Invoice.objects.count() == 1


def test_another_database(hook: Hook) -> None:
    """The row is in the transaction of the database that the record is in: without that one's table neither is written."""
    with connections["other"].cursor() as cursor:
        cursor.execute("DROP TABLE formlock_outbox")
    with pytest.raises(DatabaseError):
        Plain.objects.using("other").create(a=1, b=1)
    with pytest.raises(DatabaseError):
        Plain(a=1, b=1).save(using="other")
    assert Plain.objects.using("other").count() == 0
    assert rows() == []


def test_removed_in_mid_transaction(hook: Hook) -> None:
    """A removed hook writes nothing any more, not even what is committed later."""
    with transaction.atomic():
        Plain.objects.create(a=1, b=1)
        hook.remove()
    assert rows() == []


def test_what_cannot_be_told(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record whose form is no topic is saved all the same: there is no row, and it is counted."""
    monkeypatch.setattr(Plain, "formlock_channel", lambda _self: "com.example.form.plain.\ud800")
    Plain.objects.create(a=1, b=1)
    assert (Plain.objects.count(), rows(), hook._sender.failed, hook.failed) == (1, [], 1, 0)


def test_table(hook: Hook) -> None:
    """The app's table has the columns that the outbox's contract names, in its order."""
    (made, *_) = create_statements("sqlite")
    with connection.cursor() as cursor:
        ours = [column.name for column in connection.introspection.get_table_description(cursor, "formlock_outbox")]
        cursor.execute("DROP TABLE formlock_outbox")
        cursor.execute(made)
        contract = [column.name for column in connection.introspection.get_table_description(cursor, "formlock_outbox")]
    assert ours == contract


def test_migrations(tmp_path: Path) -> None:
    """The migration makes what the model says; nothing is left to be made."""
    with databases(tmp_path, "contenttypes"):
        call_command("makemigrations", "formlock_outbox", check=True, dry_run=True, stdout=StringIO())


def test_relay(hook: Hook) -> None:
    """The command takes what is pending, in the database that the settings name, to a bridge over real ZeroMQ."""
    invoice = Invoice.objects.get()
    for amount in (2, 3):
        invoice.amount = amount
        invoice.save()
    assert relay("--status").startswith("pending 2\n")
    with FakeBridge() as bridge:
        assert relay("--once", "--address", bridge.address) == "sent 2\nrefused 0\n"
        assert [message["change_set"]["amount"] for message in bridge.journal] == [["1.00", "2"], ["2", "3"]]
    assert relay("--status") == "pending 0\nsent 2\nrefused 0\n"


def relay(*words: str) -> str:
    told = StringIO()
    call_command("formlock_relay", *words, stdout=told)
    return told.getvalue()
