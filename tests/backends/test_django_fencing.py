"""No late save with Django: the application's own row says whose token counts, and `save` can't undo that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import OperationalError, connections, transaction
from django.db.migrations.writer import MigrationWriter

from formlock_push.django import Late, LockTokenField, claim, fence
from formlock_push.django.hook import install
from tests.backends.django_app import ALIASES
from tests.backends.django_app.models import Contract, Document, Plain
from tests.backends.django_support import Sent, databases

WITHIN_S = 20.0


@pytest.fixture(autouse=True)
def tables(tmp_path: Path) -> Iterator[None]:
    with databases(tmp_path):
        Document.objects.create(title="first")
        yield


def claimed(token: int, model: type[Document] = Document, pk: int = 1) -> None:
    with transaction.atomic():
        claim(model, pk, token)


def save(token: int, title: str) -> None:
    """As an application saves: the fence first, then the record, the change."""
    with transaction.atomic():
        fence(Document, 1, token)
        record = Document.objects.select_for_update().get(pk=1)
        record.title = title
        record.save()


def test_claim_and_save() -> None:
    """Who has claimed may save, several times; claiming again with the same token is right."""
    for title in ("second", "third"):
        claimed(5)
        save(5, title)
    record = Document.objects.get()
    assert (record.title, record.lock_token) == ("third", 5)


@pytest.mark.parametrize("winner_has_saved", [False, True])
def test_late_save(winner_has_saved: bool) -> None:
    """U14, U21: after a takeover the loser's save is refused, before the winner's first save and after it."""
    claimed(5)
    claimed(6)
    if winner_has_saved:
        save(6, "winner")
    with pytest.raises(Late):
        save(5, "loser")
    with pytest.raises(Late):
        claimed(5)
    save(6, "winner")
    assert Document.objects.get().title == "winner"


def test_without_a_claim() -> None:
    """A newer token that was never claimed may not save either; a record that is not there is not there."""
    claimed(5)
    with pytest.raises(Late):
        save(6, "unread")
    with pytest.raises(Document.DoesNotExist):
        claimed(5, pk=404)


def test_an_old_object_is_saved() -> None:
    """U22: a script that had loaded the record before a takeover writes all its columns, but not the old token back."""
    claimed(5)
    old = Document.objects.get()
    claimed(6)
    old.title = "by a script"
    old.save()
    assert Document.objects.get().lock_token == 6
    with pytest.raises(Late):
        save(5, "loser")
    Document.objects.bulk_update([old], ["title"])
    old.save(force_update=True)
    save(6, "winner")


def test_inheritance() -> None:
    """With multi-table inheritance the token is the parent's row's, by whichever class it is claimed."""
    contract = Contract.objects.create(title="a", party="b")
    claimed(7, Contract, contract.pk)
    old = Contract.objects.get()
    claimed(8, Document, contract.pk)
    old.party = "c"
    old.save()
    with pytest.raises(Late), transaction.atomic():
        fence(Contract, contract.pk, 7)
    with transaction.atomic():
        fence(Contract, contract.pk, 8)


def test_outside_of_a_transaction() -> None:
    """Where nothing would be fenced, it is an error, of the programmer's; so is a model without the column."""
    for one in (claim, fence):
        with pytest.raises(transaction.TransactionManagementError):
            one(Document, 1, 5)
    with pytest.raises(TypeError), transaction.atomic():
        claim(Plain, 1, 5)


def test_claim_rolled_back() -> None:
    """A claim counts when it is committed."""
    with transaction.atomic():
        claim(Document, 1, 5)
        transaction.set_rollback(True)
    assert Document.objects.get().lock_token == 0


@pytest.mark.parametrize("first", [claim, fence])
def test_row_is_locked(first: Callable[[type[Document], int, int], None]) -> None:
    """From the claim or the fence to the commit nobody else can claim: what was read in between is what is saved over."""
    claimed(5)
    refused: list[Exception] = []

    def other() -> None:
        try:
            claimed(6)
        except OperationalError as error:
            refused.append(error)
        finally:
            connections.close_all()

    with transaction.atomic():
        first(Document, 1, 5)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(WITHIN_S)
    assert len(refused) == 1
    claimed(6)


def test_save_and_takeover_race() -> None:
    """However a save and a takeover's claim meet, the winner reads what was saved, or the save is refused; never neither."""
    for alias in ALIASES:
        connections[alias].close()
        connections[alias].settings_dict["OPTIONS"]["timeout"] = WITHIN_S
    outcomes = set()
    try:
        for turn in range(1, 21):
            claimed(2 * turn - 1)
            together = threading.Barrier(2)
            saved, read = [False], [""]

            def loser(turn: int = turn, together: threading.Barrier = together, saved: list[bool] = saved) -> None:
                together.wait(WITHIN_S)
                try:
                    save(2 * turn - 1, f"turn {turn}")
                    saved[0] = True
                except Late:
                    pass
                finally:
                    connections.close_all()

            def winner(turn: int = turn, together: threading.Barrier = together, read: list[str] = read) -> None:
                together.wait(WITHIN_S)
                try:
                    with transaction.atomic():
                        claim(Document, 1, 2 * turn)
                        read[0] = Document.objects.get(pk=1).title
                finally:
                    connections.close_all()

            threads = [threading.Thread(target=one) for one in (loser, winner)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(WITHIN_S)
            assert saved[0] == (read[0] == f"turn {turn}")
            outcomes.add(saved[0])
    finally:
        for alias in ALIASES:
            connections[alias].settings_dict["OPTIONS"]["timeout"] = 0.1
    assert outcomes


def test_nobody_is_told() -> None:
    """A claim is no change of the record."""
    sent = Sent()
    hook = install(sent, jobs=True)
    try:
        claimed(5)
        with transaction.atomic():
            fence(Document, 1, 5)
        assert (sent, hook.failed) == ([], 0)
    finally:
        hook.remove()


def test_field_in_a_migration() -> None:
    """The column can be written into a migration, and read from it."""
    text, imports = MigrationWriter.serialize(LockTokenField())
    made = eval(text, {"formlock_push": __import__("formlock_push.django.fields")})
    assert isinstance(made, LockTokenField)
    assert (made.default, made.editable) == (0, False)
    assert imports
