"""The hook for SQLAlchemy on real files: what was committed is told once, and nothing else is."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, delete, event, func, insert, select, text, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from formlock.uris import Uris
from formlock_bridge.intake import read
from formlock_push import MAX_BYTES, Update
from formlock_push.sqlalchemy import AlreadyInstalled, Hook, act, acting, install, muted
from tests.backends.support import Base, Customer, Invoice, Line, Sent, Tag, form

Sessions = sessionmaker[Session]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/application.sqlite")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def sessions(engine: Engine) -> Sessions:
    return sessionmaker(engine)


@pytest.fixture
def hook(sessions: Sessions, sent: Sent) -> Iterator[Hook]:
    hook = install(sessions, sent, jobs=True)
    yield hook
    hook.remove()


@pytest.fixture
def session(hook: Hook, sessions: Sessions, sent: Sent) -> Iterator[Session]:
    """With the invoices 1 and 2, of which nothing is told any more."""
    with sessions() as session:
        session.add_all([Invoice(id=1, amount=100), Invoice(id=2, amount=200)])
        session.commit()
        sent.clear()
        yield session
    assert hook.failed == 0


def invoice(session: Session, number: int = 1) -> Invoice:
    found = session.get(Invoice, number)
    assert found is not None
    return found


def statements(engine: Engine) -> list[str]:
    """What is executed from now on."""
    executed: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_rest: executed.append(statement))
    return executed


# -- what is told


def test_committed(hook: Hook, session: Session, sent: Sent) -> None:
    """A22: an update is told after the commit, with its form, change set and version, and counts as pushed."""
    pushed = hook.pushed
    invoice(session).amount = 140
    session.flush()
    assert sent == []
    session.commit()
    assert len(sent) == 1
    assert sent[0].id
    assert sent[0].version == 2
    assert sent.take() == [("invoice.1", "updated", {"amount": (100, 140)})]
    assert hook.pushed == pushed + 1


def test_visible_when_told(engine: Engine, sessions: Sessions) -> None:
    """U35: whoever is told and reads at once, reads the new values."""
    seen: list[Any] = []

    class Reader:
        def send(self, update: Update) -> bool:
            with engine.connect() as other:
                seen.append(other.scalar(select(Invoice.amount)))
            return True

    hook = install(sessions, Reader(), jobs=True)
    with sessions.begin() as session:
        session.add(Invoice(id=1, amount=7))
    hook.remove()
    assert seen == [7]


def test_rolled_back(session: Session, sent: Sent) -> None:
    """U35: nothing of what is rolled back is ever told, also not with a later commit of the same session."""
    invoice(session).amount = 140
    session.add(Invoice(id=3))
    session.delete(invoice(session, 2))
    session.flush()
    session.rollback()
    session.commit()
    assert sent == []
    invoice(session).state = "paid"
    session.commit()
    assert sent.take() == [("invoice.1", "updated", {"state": ("open", "paid")})]


def test_closed_without_a_word(session: Session, sent: Sent) -> None:
    """A session that is closed or reset without a commit has changed nothing."""
    invoice(session).amount = 140
    session.flush()
    session.close()
    session.commit()
    assert sent == []


def test_commit_that_fails(engine: Engine, session: Session, sent: Sent) -> None:
    """U35: when the database refuses the commit, nothing is told."""

    def refuse(_connection: Any) -> None:
        raise RuntimeError("no")

    invoice(session).amount = 140
    session.flush()
    event.listen(engine, "commit", refuse)
    with pytest.raises(RuntimeError):
        session.commit()
    event.remove(engine, "commit", refuse)
    session.rollback()
    session.commit()
    assert sent == []


def test_flush_that_fails(session: Session, sent: Sent) -> None:
    """A flush that fails in a savepoint takes back only what was in it, also when nothing is reported after it."""
    invoice(session).amount = 140
    savepoint = session.begin_nested()
    session.add(Invoice(id=3))
    session.flush()
    session.expunge_all()
    session.add(Invoice(id=3))
    with pytest.raises(IntegrityError):
        session.flush()
    savepoint.rollback()
    with muted():
        invoice(session, 2).amount = 5
        session.flush()
    session.commit()
    assert sent.take() == [("invoice.1", "updated", {"amount": (100, 140)})]


def test_listener_that_fails(hook: Hook, session: Session, sent: Sent) -> None:
    """What was captured of a flush that another listener then refused is forgotten, also when nothing is reported after it."""

    def refuse(*_: Any) -> None:
        raise RuntimeError("no")

    invoice(session).amount = 140
    savepoint = session.begin_nested()
    invoice(session).state = "refused"
    event.listen(session, "after_flush", refuse)
    with pytest.raises(RuntimeError):
        session.flush()
    event.remove(session, "after_flush", refuse)
    savepoint.rollback()
    with muted():
        invoice(session, 2).amount = 5
        session.flush()
    session.commit()
    assert sent.take() == [("invoice.1", "updated", {"amount": (100, 140)})]


def test_memory_of_savepoints(hook: Hook, session: Session) -> None:
    """A transaction with very many savepoints keeps nothing of those that are over."""
    for number in range(10, 40):
        savepoint = session.begin_nested()
        session.add(Invoice(id=number))
        session.flush()
        savepoint.rollback()
    assert len(session.info[hook].ledgers) <= 1


def test_savepoints(session: Session, sent: Sent) -> None:
    """Released savepoints keep their changes and rolled-back ones lose theirs, at any depth."""
    with session.begin_nested():
        invoice(session).amount = 1
        with session.begin_nested() as inner:
            invoice(session).state = "lost"
            with session.begin_nested():
                invoice(session, 2).amount = 2
            inner.rollback()
        with session.begin_nested():
            invoice(session, 2).state = "kept"
    assert sent == []
    session.commit()
    assert sent.take() == [
        ("invoice.1", "updated", {"amount": (100, 1)}),
        ("invoice.2", "updated", {"state": ("open", "kept")}),
    ]


def test_commit_with_open_savepoints(session: Session, sent: Sent) -> None:
    """Committing the whole releases what is still open inside."""
    session.begin_nested()
    invoice(session).amount = 1
    session.begin_nested()
    invoice(session).state = "paid"
    session.commit()
    assert sent.take() == [("invoice.1", "updated", {"amount": (100, 1), "state": ("open", "paid")})]


def test_rollback_of_an_outer_savepoint(session: Session, sent: Sent) -> None:
    """Rolling back a savepoint takes along those inside it, released and open ones."""
    outer = session.begin_nested()
    with session.begin_nested():
        invoice(session).amount = 1
    session.begin_nested()
    invoice(session, 2).amount = 1
    session.flush()
    outer.rollback()
    session.commit()
    assert sent == []


def test_two_flushes(session: Session, sent: Sent) -> None:
    """U37: several flushes of one commit are one update, from the first old value to the last new one."""
    record = invoice(session)
    for amount in (120, 130, 140):
        record.amount = amount
        session.flush()
    record.state = "paid"
    session.commit()
    assert len(sent) == 1
    assert sent[0].version == 5
    assert sent.take() == [("invoice.1", "updated", {"amount": (100, 140), "state": ("open", "paid")})]


def test_back_again(session: Session, sent: Sent) -> None:
    """A field that is back at its first value has not changed, and an update of nothing is not told."""
    record = invoice(session)
    record.amount, record.state = 120, "paid"
    session.flush()
    record.amount = 100
    session.flush()
    record.state = "open"
    session.commit()
    assert sent == []


def test_inserted(session: Session, sent: Sent) -> None:
    """Insert and updates in one commit are one insert, with its key, and without what is empty."""
    record = Invoice(amount=5, secret="x")
    session.add(record)
    session.flush()
    record.amount = 6
    session.commit()
    assert sent.take() == [
        ("invoice.3", "inserted", {"id": (None, 3), "amount": (None, 6), "state": (None, "open"), "changed": (None, 0)})
    ]


def test_inserted_and_deleted(session: Session, sent: Sent) -> None:
    """A record that came and went within one transaction was never there."""
    record = Invoice(id=3)
    session.add(record)
    session.flush()
    record.amount = 1
    session.flush()
    session.delete(record)
    session.commit()
    assert sent == []


def test_deleted(session: Session, sent: Sent) -> None:
    """A deleted record's form is told, even if nothing of the record was loaded any more."""
    record = invoice(session)
    record.amount = 1
    session.flush()
    session.delete(record)
    session.expire(record)
    session.commit()
    assert sent.take() == [("invoice.1", "deleted", None)]


def test_replaced(session: Session, sent: Sent) -> None:
    """A record that replaces another one of the same key in one flush has changed, in ways nobody has looked at."""
    session.delete(invoice(session))
    session.add(Invoice(id=1, amount=7))
    session.commit()
    assert sent.take() == [("invoice.1", "updated", None)]


def test_orphans(session: Session, sent: Sent) -> None:
    """A record that is deleted because nobody has it any more is told, and one that takes its place is a change."""
    record = invoice(session)
    record.lines = [Line(position=1), Line(position=2)]
    session.commit()
    sent.clear()
    record.lines = [Line(position=2, text="new"), Line(position=3)]
    session.commit()
    assert sorted(sent.take(), key=lambda entry: entry[0]) == [
        ("line.1-1", "deleted", None),
        ("line.1-2", "updated", None),
        ("line.1-3", "inserted", {"invoice_id": (None, 1), "position": (None, 3), "text": (None, "")}),
    ]


def test_inserts_in_order(session: Session, sent: Sent) -> None:
    """Records are told in the order in which they were added."""
    session.add_all([Invoice(id=number) for number in (9, 3, 7)])
    session.commit()
    assert [update.form for update in sent] == [form(9), form(3), form(7)]


def test_relationships(session: Session, sent: Sent) -> None:
    """A many-to-one is told by its column; a many-to-many has none, so it is not said what changed. Who has no form is not told."""
    invoice(session).customer = Customer(id=5, name="Ann")
    session.commit()
    assert sent.take() == [("invoice.1", "updated", {"customer_id": (None, 5)})]
    record = invoice(session)
    record.tags.append(Tag(id=1))
    session.commit()
    assert sent.take() == [("invoice.1", "updated", None)]


def test_drafts(session: Session, sent: Sent) -> None:
    """A record that names no form is not told; when it stops naming it, that is told the last time."""
    session.add(Invoice(id=3, state="draft"))
    session.commit()
    assert sent == []
    record = invoice(session)
    record.amount = 1
    session.flush()
    record.state = "draft"
    session.commit()
    assert sent.take() == [("invoice.1", "updated", {"amount": (100, 1), "state": ("open", "draft")})]
    record.amount = 2
    session.commit()
    assert sent == []


def test_afresh(session: Session, sent: Sent) -> None:
    """Each transaction of a session is told by itself, and nothing is kept between them."""
    for amount in (1, 2):
        assert invoice(session).amount != amount
        invoice(session).amount = amount
        session.commit()
    assert sent.take() == [("invoice.1", "updated", {"amount": (100, 1)}), ("invoice.1", "updated", {"amount": (1, 2)})]
    assert session.info == {}


# -- what the change set says


def test_left_out(session: Session, sent: Sent) -> None:
    """What the class leaves out, the lock's token and the version never leave the application; alone they are no change."""
    record = invoice(session)
    record.secret, record.lock_token = "x", 9
    session.commit()
    assert sent == []
    assert record.amount == 100
    record.secret, record.amount = "y", 1
    session.commit()
    assert sent.take() == [("invoice.1", "updated", {"amount": (100, 1)})]


def test_only_these_fields(engine: Engine, sent: Sent) -> None:
    """The installer names the fields that may be told of a class it can't alter."""
    sessions = sessionmaker(engine)
    hook = install(sessions, sent, jobs=True, fields={Invoice: {"amount"}})
    with sessions() as session:
        session.add(Invoice(id=1, amount=1))
        session.commit()
        assert sent.take() == [("invoice.1", "inserted", {"amount": (None, 1)})]
        record = invoice(session)
        record.state, record.tags = "paid", [Tag(id=1)]
        session.commit()
    hook.remove()
    assert sent == []


def test_old_value_unknown(engine: Engine, session: Session, sent: Sent) -> None:
    """An old value that was never loaded is not invented and not loaded: the form is told without a change set."""
    record = invoice(session)
    record.history = "new"
    executed = statements(engine)
    session.commit()
    assert len(executed) == 1
    assert sent.take() == [("invoice.1", "updated", None)]
    record.amount = 5  # expired by the commit
    session.commit()
    assert sent.take() == [("invoice.1", "updated", None)]


def test_computed_by_the_database(session: Session, sent: Sent) -> None:
    """A value that the database computes is a change whose result is not known."""
    record = invoice(session)
    record.amount = Invoice.amount + 1  # type: ignore[assignment]
    session.commit()
    assert sent.take() == [("invoice.1", "updated", None)]
    assert record.amount == 101


def test_values_as_they_were(session: Session, sent: Sent) -> None:
    """Values that the application alters in place later are told as they were when they were written."""
    notes = {"a": [1]}
    record = invoice(session)
    record.notes = notes
    session.flush()
    notes["a"].append(2)
    session.commit()
    assert sent.take() == [("invoice.1", "updated", {"notes": (None, {"a": [1]})})]


def test_nothing_after_the_commit(engine: Engine, session: Session, sent: Sent) -> None:
    """The database is asked nothing that it would not be asked without the hook: UPDATE and no more."""
    record = invoice(session)
    record.amount = 1
    executed = statements(engine)
    session.commit()
    assert [statement.split()[0] for statement in executed] == ["UPDATE"]
    assert len(sent) == 1


class Other(DeclarativeBase):
    """Records of another kind, each with its own trouble."""


class Troubled(Other):
    __tablename__ = "troubled"
    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(default=0)
    text: Mapped[str] = mapped_column(default="")

    def formlock_channel(self) -> Any:
        return {1: form(1), 2: form(1), 3: ""}[self.id]

    def formlock_representation(self) -> Any:
        return {"size": 10 // self.size, "text": self.text}


class Named(Other):
    """Its form's name is loaded only when it is asked for."""

    __tablename__ = "named"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(deferred=True)

    def formlock_channel(self) -> str:
        return f"com.example.form.named.{self.name}"


@pytest.fixture
def troubled(tmp_path: Path, sent: Sent) -> Iterator[tuple[Hook, Session]]:
    engine = create_engine(f"sqlite:///{tmp_path}/troubled.sqlite")
    Other.metadata.create_all(engine)
    with Session(engine) as session:
        hook = install(session, sent, jobs=True)
        yield hook, session
    hook.remove()
    engine.dispose()


def test_deleted_and_not_loaded(troubled: tuple[Hook, Session], sent: Sent) -> None:
    """A record that is to be deleted is asked for its form while there still is a row from which it can be read."""
    hook, session = troubled
    session.add(Named(id=1, name="x"))
    session.commit()
    session.expunge_all()
    sent.clear()
    session.delete(session.get_one(Named, 1))
    session.commit()
    assert hook.failed == 0
    assert sent.take() == [("named.x", "deleted", None)]


def test_representation(troubled: tuple[Hook, Session], sent: Sent) -> None:
    """A17: a record may say its new contents; they are those of the last flush."""
    _, session = troubled
    record = Troubled(id=1, size=1)
    session.add(record)
    session.flush()
    record.size = 5
    session.commit()
    assert sent[0].representation == {"size": 2, "text": ""}


def test_errors_of_a_record(troubled: tuple[Hook, Session], sent: Sent, caplog: pytest.LogCaptureFixture) -> None:
    """What a record's own methods raise is logged and counted, and the commit goes on."""
    hook, session = troubled
    session.add(Troubled(id=1, size=0))
    session.add(Troubled(id=4, size=1))
    session.commit()
    assert session.scalar(select(func.count()).select_from(Troubled)) == 2
    assert sent[0].representation is None
    assert len(sent) == 1
    assert hook.failed == 2
    lines = [record for record in caplog.records if record.name == "formlock_push"]
    assert len(lines) == 1
    assert "Troubled.formlock_" in lines[0].getMessage()


@pytest.mark.parametrize("wrong", [{"text": "No Right"}, "text"])
def test_rights_that_are_none(
    troubled: tuple[Hook, Session], sent: Sent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, wrong: Any
) -> None:
    """What a class says wrongly about who may see its fields is logged and counted with each change; none of it is told, and the
    commits go on."""
    hook, session = troubled
    session.add(Named(id=1, name="x"))
    monkeypatch.setattr(Troubled, "formlock_redact", wrong, raising=False)
    record = Troubled(id=1, size=1, text="secret")
    session.add(record)
    session.commit()
    record.text = "secret too"
    session.commit()
    session.delete(record)
    session.commit()
    assert session.scalar(select(func.count()).select_from(Troubled)) == 0
    assert sent.take() == [("named.x", "inserted", {"id": (None, 1), "name": (None, "x")})]
    assert hook.failed == 3
    assert "Troubled.formlock_redact" in caplog.text


def test_two_records_of_one_form(troubled: tuple[Hook, Session], sent: Sent) -> None:
    """U37: a form that several records name is told once, without saying what changed."""
    _, session = troubled
    session.add_all([Troubled(id=1, size=1), Troubled(id=2, size=1), Troubled(id=3, size=1)])
    session.commit()
    assert sent.take() == [("invoice.1", "updated", None)]


def test_too_long(troubled: tuple[Hook, Session], sent: Sent) -> None:
    """An update that is too long to be sent goes out without its contents, so that the form is reloaded."""
    _, session = troubled
    record = Troubled(id=1, size=1, text="x" * (MAX_BYTES // 2))
    session.add(record)
    session.commit()
    assert sent[0].representation is None
    assert sent[0].change_set is not None
    assert record.text
    record.text = "x" * MAX_BYTES
    session.commit()
    assert (sent[1].representation, sent[1].change_set) == (None, None)


@pytest.mark.parametrize("error", [RuntimeError("down"), None])
def test_pusher_that_fails(sessions: Sessions, error: Exception | None) -> None:
    """U39: a pusher that refuses or raises is counted; the application's commit is done and looks so."""

    class Broken:
        def send(self, update: Update) -> bool:
            if error is not None:
                raise error
            return False

    hook = install(sessions, Broken(), jobs=True)
    with sessions() as session:
        session.add(Invoice(id=1))
        session.commit()
        assert invoice(session).amount == 0
    hook.remove()
    assert (hook.pushed, hook.dropped, hook.failed) == ((0, 0, 1) if error else (0, 1, 0))


# -- bulk statements


def test_bulk_update(engine: Engine, session: Session, sent: Sent) -> None:
    """Each record that a bulk update affects is told, without a change set; those it does not are not."""
    session.add(Invoice(id=3, amount=300))
    session.commit()
    sent.clear()
    executed = statements(engine)
    session.execute(update(Invoice).where(Invoice.amount >= 200).values(amount=Invoice.amount + 1))
    assert [statement.split()[0] for statement in executed] == ["SELECT", "UPDATE"]
    session.commit()
    assert sent.take() == [("invoice.2", "updated", None), ("invoice.3", "updated", None)]
    assert [invoice(session, number).amount for number in (1, 2, 3)] == [100, 201, 301]


def test_bulk_rolled_back(session: Session, sent: Sent) -> None:
    """U35: a bulk statement that is rolled back is not told."""
    with session.begin_nested() as savepoint:
        session.execute(delete(Invoice))
        savepoint.rollback()
    session.commit()
    assert sent == []


def test_bulk_delete(session: Session, sent: Sent) -> None:
    """A bulk delete tells each record as deleted, the older Query's too, and RETURNING is as without the hook."""
    session.query(Invoice).filter(Invoice.id == 1).delete()
    session.commit()
    assert sent.take() == [("invoice.1", "deleted", None)]
    assert session.scalars(delete(Invoice).returning(Invoice.amount)).all() == [200]
    session.commit()
    assert sent.take() == [("invoice.2", "deleted", None)]


def test_bulk_with_flushes(session: Session, sent: Sent) -> None:
    """Bulk statements and flushes of one commit fold as flushes do, and what is pending is flushed before as without the hook."""
    record = invoice(session)
    record.amount = 999
    session.add(Invoice(id=3, amount=999))
    session.execute(update(Invoice).where(Invoice.amount == 999).values(state="paid"))
    session.execute(delete(Invoice).where(Invoice.id == 2))
    session.commit()
    assert sorted(sent.take()) == [("invoice.1", "updated", None), ("invoice.2", "deleted", None), ("invoice.3", "inserted", None)]


def test_bulk_without_autoflush(session: Session, sent: Sent) -> None:
    """With autoflush off nothing is flushed for the hook's sake."""
    record = invoice(session)
    record.amount = 999
    statement = update(Invoice).where(Invoice.amount == 999).values(state="paid")
    with session.no_autoflush:
        session.execute(statement)
    session.execute(statement.execution_options(autoflush=False))
    assert record in session.dirty
    session.commit()
    assert sent.take() == [("invoice.1", "updated", {"amount": (100, 999)})]


def test_bulk_autoflush_that_fails(hook: Hook, session: Session) -> None:
    """What fails in the flush before a bulk statement is the application's own error."""
    session.add(Customer(id=1))
    with pytest.raises(IntegrityError):
        session.execute(update(Invoice).values(state="paid"))
    session.rollback()
    assert hook.failed == 0


def test_bulk_by_keys(session: Session, sent: Sent) -> None:
    """A bulk update by primary key tells the records it names; of composite keys too."""
    session.execute(update(Invoice), [{"id": 1, "version": 1, "amount": 5}, {"id": 2, "version": 1, "amount": 6}])
    session.commit()
    assert sent.take() == [("invoice.1", "updated", None), ("invoice.2", "updated", None)]
    session.add_all([Line(invoice_id=1, position=1), Line(invoice_id=1, position=2), Line(invoice_id=2, position=2)])
    session.commit()
    sent.clear()
    session.execute(update(Line), [{"invoice_id": 1, "position": 2, "text": "a"}, {"invoice_id": 2, "position": 2, "text": "b"}])
    session.commit()
    assert sent.take() == [("line.1-2", "updated", None), ("line.2-2", "updated", None)]


def test_bulk_insert(session: Session, sent: Sent) -> None:
    """A bulk insert tells the records whose keys it names; of others nobody can have a form open yet."""
    session.execute(insert(Invoice), [{"id": 8, "amount": 5}, {"id": 9, "amount": 6}])
    session.execute(insert(Invoice), [{"amount": 5}])
    assert session.scalar(select(func.count()).select_from(Invoice)) == 5
    session.commit()
    assert sent.take() == [("invoice.8", "inserted", None), ("invoice.9", "inserted", None)]
    statement = upsert(Invoice).on_conflict_do_update(index_elements=["id"], set_={"amount": 0}).returning(Invoice.id)
    assert session.scalars(statement, [{"id": 1, "amount": 5}]).all() == [1]
    session.commit()
    assert sent.take() == [("invoice.1", "inserted", None)]


def test_bulk_returning_records(session: Session, sent: Sent) -> None:
    """A statement that returns whole records is seen as well, and runs once."""
    statement = update(Invoice).where(Invoice.id == 1).values(amount=Invoice.amount + 1).returning(Invoice)
    wrapped = select(Invoice).from_statement(statement).execution_options(populate_existing=True)
    assert [record.amount for record in session.scalars(wrapped)] == [101]
    session.commit()
    assert sent.take() == [("invoice.1", "updated", None)]


def test_bulk_limit(engine: Engine, sent: Sent) -> None:
    """U36: a bulk statement on very many records floods nobody: one message tells of all of them."""
    sessions = sessionmaker(engine)
    hook = install(sessions, sent, jobs=True, bulk_limit=3)
    with muted(), sessions.begin() as session:
        session.add_all([Invoice(id=number) for number in range(1, 5)])
    with sessions.begin() as session:
        session.execute(update(Invoice).where(Invoice.id <= 3).values(amount=1))
    assert len(sent) == 3
    sent.clear()
    with sessions.begin() as session:
        session.execute(update(Invoice).values(amount=2))
        session.execute(update(Invoice), [{"id": number, "version": 1, "amount": 5} for number in range(1, 5)])
    hook.remove()
    assert [(told.form, told.count, told.ids) for told in sent] == [("com.example.form.invoice.*", 4, ["1", "2", "3", "4"])]
    assert hook.bulk == 1


def test_statements_that_are_not_seen(hook: Hook, session: Session, sent: Sent) -> None:
    """Text and statements on tables name no entity: they run as without the hook, and are not told."""
    session.execute(text("UPDATE invoice SET amount = 1"))
    session.execute(update(Invoice.__table__).values(amount=2))  # type: ignore[arg-type]
    session.execute(update(Customer).values(name="x"))
    session.commit()
    assert sent == []
    assert hook.failed == 0


# -- requests and jobs


def test_requests_only(sessions: Sessions, sent: Sent) -> None:
    """A22: outside of a request nothing is told, unless a job says who it is."""
    hook = install(sessions, sent)
    with sessions() as session:
        session.add(Invoice(id=1))
        session.commit()
        session.execute(update(Invoice).values(amount=1))
        session.commit()
        assert sent == []
        with acting(actor="night job", source="billing"):
            invoice(session).amount = 2
            act(origin="tab-1")
            session.commit()
    hook.remove()
    assert len(sent) == 1
    assert (sent[0].actor, sent[0].source, sent[0].origin) == ("night job", "billing", "tab-1")


def test_muted(session: Session, sent: Sent) -> None:
    """What is flushed or executed while muted is not told, whenever it is committed; and the reverse."""
    with muted():
        invoice(session).amount = 1
        session.flush()
        session.execute(update(Invoice).where(Invoice.id == 2).values(amount=1))
        session.delete(invoice(session, 2))
        session.flush()
    session.commit()
    assert sent == []
    invoice(session).state = "paid"
    session.flush()
    with muted():
        session.commit()
    assert len(sent) == 1


# -- installing


def test_targets(engine: Engine, sent: Sent) -> None:
    """Each way to make sessions can be the target, and only its sessions are heard."""

    class Own(Session):
        pass

    maker = sessionmaker(engine)
    scoped = scoped_session(sessionmaker(engine))
    single = Session(engine)
    targets: list[tuple[Any, Any]] = [(maker, maker), (scoped, scoped), (Own, lambda: Own(engine)), (single, lambda: single)]
    for number, (target, make) in enumerate(targets, 1):
        hook = install(target, sent, jobs=True)
        with make() as session:
            session.add(Invoice(id=number))
            session.commit()
        with Session(engine) as other:
            other.add(Invoice(id=100 + number))
            other.commit()
        assert sent.take()[0][:2] == (f"invoice.{number}", "inserted")
        hook.remove()
        hook.remove()
        with make() as session:
            session.add(Invoice(id=200 + number))
            session.commit()
        assert sent == []
    with pytest.raises(TypeError):
        install(engine, sent)  # type: ignore[arg-type]


def test_all_sessions(engine: Engine, sent: Sent) -> None:
    """The Session class itself means every session of the process; then none of them can have a hook of its own."""
    hook = install(Session, sent, jobs=True)
    with sessionmaker(engine).begin() as session:
        session.add(Invoice(id=1))
        with pytest.raises(AlreadyInstalled):
            install(session, sent)
    hook.remove()
    assert len(sent) == 1


def test_twice(sessions: Sessions, sent: Sent) -> None:
    """Two hooks on the same sessions would tell everything twice, so the second is refused, until the first is removed."""
    hook = install(sessions, sent)
    for target in (sessions, scoped_session(sessions), sessions.class_, sessions(), Session):
        with pytest.raises(AlreadyInstalled):
            install(target, sent)  # type: ignore[arg-type]
    hook.remove()
    install(sessions, sent).remove()


def test_removed_in_mid_transaction(hook: Hook, session: Session, sent: Sent) -> None:
    """A removed hook tells nothing any more, and the sessions go on."""
    invoice(session).amount = 1
    session.flush()
    hook.remove()
    session.commit()
    assert sent == []


def test_kept_by_nobody(engine: Engine, sent: Sent) -> None:
    """A hook on one session is gone with it."""
    session = Session(engine)
    hook = weakref.ref(install(session, sent))
    session.close()
    del session
    gc.collect()
    assert hook() is None


def test_two_phases(engine: Engine, sessions: Sessions, sent: Sent) -> None:
    """A two-phase commit is told after its second phase, and a prepared transaction that is rolled back is not."""
    # SQLite has no two phases; what is tested is SQLAlchemy's order of events.
    dialect: Any = engine.dialect
    dialect.do_begin_twophase = lambda connection, _xid: dialect.do_begin(connection.connection)
    dialect.do_prepare_twophase = lambda _connection, _xid: None
    dialect.do_commit_twophase = lambda connection, _xid, _prepared: dialect.do_commit(connection.connection)
    dialect.do_rollback_twophase = lambda connection, _xid, _prepared: dialect.do_rollback(connection.connection)
    hook = install(sessions, sent, jobs=True)
    with sessions(twophase=True) as session:
        session.add(Invoice(id=1, amount=1))
        session.prepare()
        assert sent == []
        session.commit()
        assert [entry[:2] for entry in sent.take()] == [("invoice.1", "inserted")]
        invoice(session).amount = 2
        session.prepare()
        session.rollback()
        assert invoice(session).amount == 1
    hook.remove()
    assert sent == []


def test_asynchronous_sessions(tmp_path: Path, sent: Sent) -> None:
    """Asynchronous sessions are heard like the others, and only those of the maker that was given."""

    async def work() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/asynchronous.sqlite")
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        maker = async_sessionmaker(engine)
        hook = install(maker, sent, jobs=True)
        with pytest.raises(AlreadyInstalled):
            install(maker, sent)
        async with maker() as session:
            session.add_all([Invoice(id=1, amount=100), Invoice(id=2)])
            await session.commit()
            sent.clear()
            async with session.begin_nested():
                record = await session.get(Invoice, 1)
                assert record is not None
                record.amount = 140
            lost = await session.begin_nested()
            await session.execute(delete(Invoice).where(Invoice.id == 2))
            await lost.rollback()
            await session.execute(update(Invoice).where(Invoice.id == 2).values(amount=1))
            await session.commit()
        async with AsyncSession(engine) as other:
            other.add(Invoice(id=3))
            await other.commit()
        hook.remove()
        assert hook.failed == 0
        await engine.dispose()

    asyncio.run(work())
    assert sent.take() == [("invoice.1", "updated", {"amount": (100, 140)}), ("invoice.2", "updated", None)]


def test_without_sqlalchemy() -> None:
    """A backend without SQLAlchemy imports formlock_push all the same."""
    code = "import sys; sys.modules['sqlalchemy'] = None; import formlock_push, formlock_push.scope, formlock_push.changes"
    bridge = str(Path(__file__).parents[2] / "bridge")
    ended = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": bridge}, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_the_bridge_takes_it(hook: Hook, session: Session, sent: Sent) -> None:
    """What the hook sends is what the bridge reads: each status, a version, odd values and who did it."""
    with acting(origin="tab-1", actor={"user": "ann", "name": "Ann Weber"}, source="billing"):
        session.add(Invoice(id=3, notes={"day": "é", "deep": [[1]]}))
        invoice(session).amount = 2**40
        session.delete(invoice(session, 2))
        session.commit()
    taken = [read(Uris(), told.encode()) for told in sent]
    assert sorted(one.status for one in taken if isinstance(one, Update)) == ["deleted", "inserted", "updated"]
    for one, told in zip(taken, sent, strict=True):
        assert isinstance(one, Update), one
        assert (one.form, one.version, one.id, one.origin) == (told.form, told.version, told.id, "tab-1")
        assert one.actor == {"user": "ann", "name": "Ann Weber"}


def test_log_is_silent(session: Session, sent: Sent, caplog: pytest.LogCaptureFixture) -> None:
    """When all is well there is nothing in the log."""
    with caplog.at_level(logging.DEBUG, logger="formlock_push"):
        invoice(session).amount = 1
        session.commit()
    assert [record for record in caplog.records if record.name == "formlock_push"] == []
