"""The hook for Django's ORM: what is committed is told, once for each form, with what changed; nothing else ever is."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core import serializers
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.db.models import F

from formlock_push.django import acting, bulk_create, bulk_update, muted, update
from formlock_push.django.hook import AlreadyInstalled, Hook, install
from tests.backends.django_app.models import Contract, Customer, Document, Invoice, Line, Plain, Tag
from tests.backends.django_support import Sent, databases


class Undo(Exception):
    """Rolls back what it passes through."""


@contextmanager
def undone(using: str = "default") -> Iterator[None]:
    """A transaction, or a savepoint within one, that is rolled back in the end."""
    with suppress(Undo), transaction.atomic(using):
        yield
        raise Undo


@pytest.fixture(autouse=True)
def tables(tmp_path: Path) -> Iterator[None]:
    with databases(tmp_path):
        yield


@pytest.fixture
def invoice(tables: None) -> Invoice:
    with muted():
        return Invoice.objects.get(pk=Invoice.objects.create(amount=120).pk)


@pytest.fixture
def sent(invoice: Invoice) -> Iterator[Sent]:
    """What a hook tells that reports everywhere; there is an invoice already."""
    sent = Sent()
    hook = install(sent, jobs=True)
    yield sent
    hook.remove()
    assert hook.failed == 0


def queries(count: int) -> Any:
    from django.test.utils import CaptureQueriesContext

    class Counted(CaptureQueriesContext):
        def __exit__(self, *error: Any) -> None:
            super().__exit__(*error)
            if error[0] is None:
                assert len(self) == count, self.captured_queries

    return Counted(connection)


# -- one save


def test_save(sent: Sent, invoice: Invoice) -> None:
    """What a save has changed is told, from what was loaded, and with no query of our own."""
    invoice.amount = "140.00"
    with queries(1):
        invoice.save()
    assert sent[0].version == 1
    assert sent.take() == [("invoice.1", "updated", {"amount": (Decimal(120), Decimal(140))})]
    invoice.state = "paid"
    invoice.save()
    assert sent.take() == [("invoice.1", "updated", {"state": ("open", "paid")})]
    invoice.save()
    assert sent.take() == []


def test_insert_and_delete(sent: Sent) -> None:
    """A new record says what is in it; a deleted one only that it is gone, under the name it had."""
    new = Invoice.objects.create(amount=5, secret="x", notes={"a": [1]})
    ((form, status, pairs),) = sent.take()
    assert (form, status, pairs["amount"], pairs["notes"]) == ("invoice.2", "inserted", (None, 5), (None, {"a": [1]}))
    assert not {"secret", "version", "lock_token", "customer"} & set(pairs)
    new.delete()
    assert sent.take() == [("invoice.2", "deleted", None)]
    new.save()
    assert [entry[1] for entry in sent.take()] == ["inserted"]


def test_values_of_the_moment(sent: Sent, invoice: Invoice) -> None:
    """What is told is what was saved, not what the object holds by the time of the commit."""
    invoice.notes = {"list": [1]}
    with transaction.atomic():
        invoice.save()
        invoice.notes["list"].append(2)
        invoice.amount = 7
    assert sent.take() == [("invoice.1", "updated", {"notes": (None, {"list": [1]})})]
    invoice.save()
    assert sent.take() == [("invoice.1", "updated", {"amount": (120, 7), "notes": ({"list": [1]}, {"list": [1, 2]})})]


def test_update_fields(sent: Sent, invoice: Invoice) -> None:
    """A save of some columns tells of these; the others are still to be told."""
    invoice.amount, invoice.state = 1, "paid"
    invoice.save(update_fields=["state"])
    assert sent.take() == [("invoice.1", "updated", {"state": ("open", "paid")})]
    invoice.save()
    assert sent.take() == [("invoice.1", "updated", {"amount": (120, 1)})]


def test_deferred(sent: Sent) -> None:
    """A column that was never loaded has no old value, and nobody loads it to find out; once it is looked at it has."""
    invoice = Invoice.objects.defer("memo").get()
    invoice.memo = "new"
    with queries(1):
        invoice.save()
    assert sent.take() == [("invoice.1", "updated", None)]
    invoice = Invoice.objects.only("amount").get()
    assert invoice.memo == "new"
    invoice.memo = "newer"
    invoice.save()
    assert sent.take() == [("invoice.1", "updated", {"memo": ("new", "newer")})]


def test_computed_by_the_database(sent: Sent, invoice: Invoice) -> None:
    """With an F expression nobody knows the new value: there is no change set, and none that is wrong later."""
    invoice.amount = F("amount") + 1
    invoice.save()
    assert sent.take() == [("invoice.1", "updated", None)]
    invoice.refresh_from_db()
    invoice.amount += 1
    invoice.save()
    assert sent.take() == [("invoice.1", "updated", {"amount": (121, 122)})]


def test_refresh(sent: Sent, invoice: Invoice) -> None:
    """What somebody else has written and this object has read again is what a later change starts from."""
    with muted():
        Invoice.objects.filter(pk=1).update(amount=50)
    invoice.refresh_from_db()
    invoice.amount = 60
    invoice.save()
    assert sent.take() == [("invoice.1", "updated", {"amount": (50, 60)})]


def test_select_for_update(sent: Sent) -> None:
    """As any other load."""
    with transaction.atomic():
        invoice = Invoice.objects.select_for_update().get(pk=1)
        invoice.amount = 3
        invoice.save()
    assert sent.take() == [("invoice.1", "updated", {"amount": (120, 3)})]


def test_unknown_old_values(sent: Sent, invoice: Invoice) -> None:
    """Saved over a row that it was not loaded from, or under another key, a record has no old values to tell."""
    Invoice(pk=1, amount=9).save()
    assert sent.take() == [("invoice.1", "updated", None)]
    other = Invoice.objects.create(amount=9)
    sent.clear()
    invoice.pk = other.pk
    invoice.save()
    assert sent.take() == [("invoice.2", "updated", None)]


def test_copies(sent: Sent, invoice: Invoice) -> None:
    """A copy, also one from a cache, knows what its original knew, and no more."""
    for duplicate in (copy.copy(invoice), copy.deepcopy(invoice), pickle.loads(pickle.dumps(invoice))):
        duplicate.amount += 1
        duplicate.save()
        assert sent.take() == [("invoice.1", "updated", {"amount": (120, 121)})]
    invoice.pk = None
    invoice._state.adding = True
    invoice.save()
    assert [entry[:2] for entry in sent.take()] == [("invoice.2", "inserted")]


def test_no_form(sent: Sent, invoice: Invoice) -> None:
    """A record that names no form is not told; one that ceases to name one is told a last time."""
    Customer.objects.create(name="Weber")
    Invoice.objects.create(state="draft")
    assert sent.take() == []
    with transaction.atomic():
        invoice.amount = 1
        invoice.save()
        invoice.state = "draft"
        invoice.save()
    assert [entry[:2] for entry in sent.take()] == [("invoice.1", "updated")]


# -- transactions


def test_one_update_per_transaction(sent: Sent, invoice: Invoice) -> None:
    """U37: five saves are one update, from the first old value to the last new one; what is back where it was is not told."""
    with transaction.atomic():
        for amount in (1, 2, 3, 4, 5):
            invoice.amount = amount
            invoice.save()
        assert sent == []
    assert sent.take() == [("invoice.1", "updated", {"amount": (120, 5)})]
    with transaction.atomic():
        for amount in (6, 5):
            invoice.amount = amount
            invoice.save()
    assert sent.take() == []


def test_rolled_back(sent: Sent, invoice: Invoice) -> None:
    """U35: what is rolled back is never told, and does not count as known afterwards: the same value saved again is a change."""
    invoice.amount = 5
    with undone():
        invoice.save()
    assert sent.take() == []
    invoice.save()
    assert sent.take() == [("invoice.1", "updated", {"amount": (120, 5)})]


def test_savepoints(sent: Sent, invoice: Invoice) -> None:
    """U35: of nested blocks, at any depth, only those that stay are told."""
    with transaction.atomic():
        invoice.amount = 1
        invoice.save()
        with undone():
            invoice.amount = 2
            invoice.save()
            with transaction.atomic():
                invoice.state = "paid"
                invoice.save()
        with transaction.atomic(), transaction.atomic():
            Line.objects.create(invoice=invoice, position=1, text="x")
        invoice.refresh_from_db()
        assert (invoice.amount, invoice.state) == (1, "open")
        invoice.memo = "kept"
        invoice.save()
    assert sent.take() == [("invoice.1", "updated", {"amount": (120, 1), "lines.1.text": (None, "x"), "memo": ("", "kept")})]


def test_the_last_thing_is_a_rolled_back_savepoint(sent: Sent, invoice: Invoice) -> None:
    """What came before it is told, although the newest change is gone."""
    with transaction.atomic():
        invoice.amount = 1
        invoice.save()
        with undone():
            invoice.amount = 2
            invoice.save()
    assert sent.take() == [("invoice.1", "updated", {"amount": (120, 1)})]


def test_failed_statement(sent: Sent) -> None:
    """A save that the database refuses is no change."""
    with pytest.raises(IntegrityError), transaction.atomic():
        Plain.objects.bulk_create([Plain(a=1, b=2), Plain(a=None, b=2)], batch_size=1)
    assert sent.take() == []


def test_others_callbacks(sent: Sent, invoice: Invoice) -> None:
    """Another `on_commit` that raises costs nobody his update."""

    def broken() -> None:
        raise Undo

    def commit() -> None:
        with transaction.atomic():
            transaction.on_commit(broken)
            invoice.save()

    invoice.amount = 1
    with pytest.raises(Undo):
        commit()
    assert sent.take() == [("invoice.1", "updated", {"amount": (120, 1)})]
    with transaction.atomic():
        invoice.amount = 2
        invoice.save()
    assert sent.take() == [("invoice.1", "updated", {"amount": (1, 2)})]


def test_a_sender_that_fails(invoice: Invoice) -> None:
    """Whatever the sender or a record's own method raises, the application's save is done."""

    class Broken:
        def send(self, update: object) -> bool:
            raise Undo

    hook = install(Broken(), jobs=True)
    try:
        invoice.amount = 1
        with transaction.atomic():
            invoice.save()
        assert Invoice.objects.get().amount == 1
        assert hook.failed == 1
    finally:
        hook.remove()


def test_a_record_that_fails(monkeypatch: pytest.MonkeyPatch, invoice: Invoice) -> None:
    """A form that can't be named is counted, and the record saved."""

    def broken(self: Invoice) -> str:
        raise Undo

    monkeypatch.setattr(Invoice, "formlock_channel", broken)
    sent = Sent()
    hook = install(sent, jobs=True)
    try:
        invoice.amount = 1
        invoice.save()
        invoice.delete()
        assert (hook.failed > 0, sent, Invoice.objects.count()) == (True, [], 0)
    finally:
        hook.remove()


def test_databases(sent: Sent) -> None:
    """Each database has its own transactions; the same key in another one is another record."""
    with undone("other"), transaction.atomic():
        Plain.objects.using("other").create(pk=1, a=1, b=1)
    with undone("other"):
        with transaction.atomic():
            plain = Plain.objects.create(pk=1, a=1, b=1)
        assert [entry[:2] for entry in sent.take()] == [("plain.1", "inserted")]
        Plain.objects.using("other").create(pk=2, a=1, b=1)
    assert sent.take() == []
    plain.a = 2
    plain.save(using="other")
    assert [entry[:2] for entry in sent.take()] == [("plain.1", "inserted")]
    moved = Plain.objects.get(pk=1)
    moved.a = 3
    moved.save(using="other")
    assert sent.take() == [("plain.1", "updated", None)]


def test_manual_transactions(sent: Sent, invoice: Invoice) -> None:
    """Without autocommit and without `atomic` nobody knows what is committed: nothing is told, and it is counted."""
    sent_hook = _installed()
    connection.set_autocommit(False)
    try:
        invoice.amount = 1
        invoice.save()
        connection.commit()
    finally:
        connection.set_autocommit(True)
    assert (sent.take(), sent_hook.failed) == ([], 1)
    sent_hook.failed = 0


def test_test_case(sent: Sent, invoice: Invoice) -> None:
    """An application's own tests: inside the transaction that is never committed, `captureOnCommitCallbacks` tells it."""
    from django.test import TestCase

    with transaction.atomic():
        invoice.amount = 1
        invoice.save()
        with TestCase.captureOnCommitCallbacks(execute=True):
            invoice.amount = 2
            invoice.save()
            invoice.state = "paid"
            invoice.save()
        assert sent.take() == [("invoice.1", "updated", {"amount": (1, 2), "state": ("open", "paid")})]
    assert sent.take() == [("invoice.1", "updated", {"amount": (120, 1)})]


def test_receiver_that_saves_again(sent: Sent) -> None:
    """A `post_save` of the application's own that saves the new record once more: it is still an insert, and one update."""
    from django.db.models.signals import post_save

    def again(instance: Plain, created: bool, **_: Any) -> None:
        if created:
            instance.b = 7
            instance.save()

    post_save.connect(again, sender=Plain)
    try:
        with transaction.atomic():
            Plain.objects.create(a=1, b=1)
    finally:
        post_save.disconnect(again, sender=Plain)
    assert sent.take() == [("plain.1", "inserted", {"id": (None, 1), "a": (None, 1), "b": (None, 7)})]


def test_too_long(sent: Sent, invoice: Invoice) -> None:
    """An update that is too long to be sent goes out without its contents, so that the form is reloaded."""
    invoice.memo = "x" * 70_000
    invoice.save()
    assert sent.take() == [("invoice.1", "updated", None)]


def test_statement_that_fails(sent: Sent, invoice: Invoice) -> None:
    """Of a statement that the database refuses the reason is the application's, and no failure of ours."""
    with pytest.raises(DatabaseError, match="nonsense"):
        update(Invoice.objects.extra(where=["nonsense"]), amount=1)
    assert sent.take() == []


def test_removed_in_mid_transaction(invoice: Invoice) -> None:
    """A removed hook tells nothing any more, not even what is committed later."""
    sent = Sent()
    hook = install(sent, jobs=True)
    with transaction.atomic():
        invoice.amount = 1
        invoice.save()
        hook.remove()
    assert sent == []


def test_fixtures(sent: Sent) -> None:
    """Nothing is asked or told of a record that is loaded from a fixture (those that it names may not be there yet), and nothing of
    its old values later."""
    [loaded] = serializers.deserialize("json", '[{"model": "django_app.plain", "pk": 5, "fields": {"a": 1, "b": 2}}]')
    loaded.save()
    assert sent.take() == []
    plain: Any = loaded.object
    plain.a = 7
    plain.save()
    assert sent.take() == [("plain.5", "updated", None)]


# -- more than one record


def test_lines(sent: Sent, invoice: Invoice) -> None:
    """U37: an invoice and its lines are one form: one update, with the lines' fields under their names."""
    with transaction.atomic():
        first = Line.objects.create(invoice=invoice, position=1, text="one")
        Line.objects.create(invoice=invoice, position=2, text="two")
        invoice.amount = 2
        invoice.save()
    changed = {"lines.1.text": (None, "one"), "lines.2.text": (None, "two"), "amount": (120, 2)}
    assert sent.take() == [("invoice.1", "updated", changed)]
    first.delete()
    assert sent.take() == [("invoice.1", "updated", {"lines.1.text": ("one", None)})]


def test_moved_line(sent: Sent, invoice: Invoice) -> None:
    """A line that goes to another invoice leaves the one and arrives in the other."""
    other = Invoice.objects.create()
    line = Line.objects.create(invoice=invoice, position=1, text="one")
    sent.clear()
    line = Line.objects.select_related("invoice").get()
    line.invoice = other
    line.save()
    assert sorted(sent.take()) == [
        ("invoice.1", "updated", {"lines.1.text": ("one", None)}),
        ("invoice.2", "updated", {"lines.1.text": (None, "one")}),
    ]


def test_changed_and_deleted_at_once(sent: Sent, invoice: Invoice) -> None:
    """What a deleted record was, and where, is what the database had; not what was typed into it and never saved."""
    line = Line.objects.create(invoice=invoice, position=1, text="one")
    sent.clear()
    line.position, line.text = 2, "two"
    line.delete()
    assert sent.take() == [("invoice.1", "updated", {"lines.1.text": ("one", None)})]


def test_cascade(sent: Sent, invoice: Invoice) -> None:
    """What Django deletes along is told: here as part of its invoice, which is gone."""
    Line.objects.create(invoice=invoice, position=1)
    sent.clear()
    with transaction.atomic():
        invoice.delete()
    assert sent.take() == [("invoice.1", "deleted", None)]


def test_many_to_many(sent: Sent, invoice: Invoice) -> None:
    """Links have no column: that they changed is told, from either side, with no change set."""
    tags = [Tag.objects.create() for _ in range(3)]
    changes: list[Any] = [
        lambda: invoice.tags.add(*tags),
        lambda: invoice.tags.remove(tags[0]),
        lambda: tags[0].invoice_set.add(invoice),
        lambda: tags[0].invoice_set.remove(invoice),
        lambda: tags[1].invoice_set.clear(),
        lambda: invoice.tags.set([tags[0], tags[1]]),
        lambda: invoice.tags.clear(),
    ]
    for change in changes:
        change()
        assert sent.take() == [("invoice.1", "updated", None)]
    with undone():
        invoice.tags.set(tags)
    assert sent.take() == []


def test_inheritance(sent: Sent) -> None:
    """Multi-table inheritance: two rows, one record, one update, whichever class it is loaded by."""
    contract = Contract.objects.create(title="a", party="b")
    assert [entry[:2] for entry in sent.take()] == [("document.1", "inserted")]
    with transaction.atomic():
        contract.title, contract.party = "c", "d"
        contract.save()
        document = Document.objects.get(pk=contract.pk)
        document.title = "e"
        document.save()
    assert sent.take() == [("document.1", "updated", {"title": ("a", "e"), "party": ("b", "d")})]
    contract.delete()
    assert sent.take() == [("document.1", "deleted", None)]


# -- bulk


def test_queryset_update(sent: Sent, invoice: Invoice) -> None:
    """`update` of a FormLockQuerySet, or by the helper, tells each record's old value and the new one; F() tells none."""
    Invoice.objects.create(amount=7, state="paid")
    Invoice.objects.create(amount=8)
    sent.clear()
    assert Invoice.objects.filter(state="open").update(amount="8.00") == 2
    assert sent.take() == [("invoice.1", "updated", {"amount": (120, 8)})]
    assert update(Invoice.objects.filter(pk=2), amount=F("amount") + 1) == 1
    assert sent.take() == [("invoice.2", "updated", None)]
    assert Invoice.objects.filter(pk=2).update(secret="not told", version=F("version") + 1) == 1
    assert sent.take() == []
    with undone():
        Invoice.objects.update(amount=0)
    assert sent.take() == []
    # The condition no longer finds them afterwards.
    Invoice.objects.filter(state="open").order_by("-pk").update(state="closed")
    assert [entry[0] for entry in sent.take()] == ["invoice.1", "invoice.3"]


def test_bulk_update_and_create(sent: Sent) -> None:
    """`bulk_update` tells what differs from what was loaded, `bulk_create` what is in the new ones; each record once."""
    made = Plain.objects.bulk_create([Plain(a=1, b=1), Plain(a=2, b=2)])
    assert [entry[:2] for entry in sent.take()] == [("plain.1", "inserted"), ("plain.2", "inserted")]
    for plain in made:
        plain.a = 5
    assert Plain.objects.bulk_update(made, ["a"]) == 2
    assert sent.take() == [("plain.1", "updated", {"a": (1, 5)}), ("plain.2", "updated", {"a": (2, 5)})]
    made[0].b = 9
    bulk_update(Plain.objects.all(), made, ["a", "b"])
    assert sent.take() == [("plain.1", "updated", {"b": (1, 9)})]
    bulk_create(Plain.objects.all(), [Plain(a=3, b=3)])
    assert [entry[:2] for entry in sent.take()] == [("plain.3", "inserted")]


def test_bulk_create_with_conflicts(sent: Sent) -> None:
    """Of ignored conflicts nobody knows which records are new: one message for the type."""
    Plain.objects.bulk_create([Plain(pk=1, a=1, b=1)])
    sent.clear()
    Plain.objects.bulk_create([Plain(pk=1, a=2, b=2), Plain(pk=2, a=2, b=2)], ignore_conflicts=True)
    assert [(told.form, told.status, told.count, told.ids) for told in sent] == [("com.example.form.plain.*", "updated", 2, None)]


@pytest.mark.parametrize("way", ["save", "update", "bulk_update", "bulk_create", "delete"])
def test_very_many(sent: Sent, way: str) -> None:
    """U36: 4,000 records that change in one transaction are one message for the type, not 4,000."""
    count = 1_200
    with muted():
        plains = Plain.objects.bulk_create([Plain(a=1, b=1) for _ in range(count if way != "bulk_create" else 0)])
        plains = list(Plain.objects.all())
    match way:
        case "save":
            with transaction.atomic():
                for plain in plains:
                    plain.a = 2
                    plain.save()
        case "update":
            Plain.objects.update(a=2)
        case "bulk_update":
            for plain in plains:
                plain.a = 2
            Plain.objects.bulk_update(plains, ["a"])
        case "bulk_create":
            Plain.objects.bulk_create([Plain(a=1, b=1) for _ in range(count)])
        case "delete":
            Plain.objects.all().delete()
    status = {"bulk_create": "inserted", "delete": "deleted"}.get(way, "updated")
    assert [(told.form, told.status, told.count) for told in sent] == [("com.example.form.plain.*", status, count)]


def test_bulk_ids(sent: Sent) -> None:
    """Up to 1,000 of them are named."""
    Plain.objects.bulk_create([Plain(a=1, b=1) for _ in range(700)])
    assert [(told.count, len(told.ids or ())) for told in sent] == [(700, 700)]


# -- who, and whether


def test_jobs(invoice: Invoice) -> None:
    """A22: outside of requests nothing is told unless the job says so, and then as whose work."""
    sent = Sent()
    hook = install(sent, source="billing")
    try:
        invoice.amount = 1
        invoice.save()
        assert sent.take() == []
        with acting(actor="ann", origin="tab-1"):
            invoice.amount = 2
            invoice.save()
        assert (sent[0].actor, sent[0].origin, sent[0].source) == ("ann", "tab-1", "billing")
        assert sent.take() == [("invoice.1", "updated", {"amount": (1, 2)})]
        with acting(), muted():
            invoice.amount = 3
            invoice.save()
        assert sent.take() == []
    finally:
        hook.remove()


def test_after_a_muted_transaction(sent: Sent, invoice: Invoice) -> None:
    """What was changed silently inside a transaction may have been rolled back: the next change of it has no old value to tell."""
    with undone(), muted():
        invoice.amount = 1
        invoice.save()
    invoice.save()
    assert sent.take() == [("invoice.1", "updated", None)]


def test_twice(sent: Sent) -> None:
    """Two hooks would tell everything twice."""
    with pytest.raises(AlreadyInstalled):
        install(Sent())


def test_ids(sent: Sent, invoice: Invoice) -> None:
    """Each update has a name of its own, by which the bridge knows a repetition."""
    for amount in (1, 2):
        invoice.amount = amount
        invoice.save()
    assert len({told.id for told in sent}) == 2


def test_threads(sent: Sent) -> None:
    """Each thread has its own connection, and its own transactions."""
    from concurrent.futures import ThreadPoolExecutor

    def work(number: int) -> None:
        try:
            with transaction.atomic():
                Plain.objects.create(pk=number, a=1, b=1)
                with undone():
                    Plain.objects.create(pk=number + 100, a=1, b=1)
        finally:
            connections.close_all()

    for alias in connections:
        connections[alias].settings_dict["OPTIONS"]["timeout"] = 20
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, range(1, 21)))
    finally:
        for alias in connections:
            connections[alias].settings_dict["OPTIONS"]["timeout"] = 0.1
    assert {entry[0] for entry in sent.take()} == {f"plain.{number}" for number in range(1, 21)}


def _installed() -> Hook:
    from formlock_push.django.hook import installed

    hook = installed()
    assert hook is not None
    return hook
