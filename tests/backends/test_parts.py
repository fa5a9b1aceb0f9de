"""Records that are shown in another record's form, and transactions that change very many records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, create_engine, delete, insert, update
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

from formlock_push.changes import Change, Ledger
from formlock_push.sqlalchemy import Hook, acting, install
from tests.backends.support import Sent

PREFIX = "com.example.form"


class Base(DeclarativeBase):
    """The application's own."""


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(default="open")
    items: Mapped[list[Item]] = relationship(cascade="all, delete-orphan", back_populates="order")

    def formlock_channel(self) -> str | None:
        return None if self.state == "draft" else f"{PREFIX}.order.{self.id}"

    def formlock_representation(self) -> dict[str, Any]:
        return {"amount": self.amount}


class Item(Base):
    """Shown in its order's form, by its position there; `memo` stays inside."""

    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    price: Mapped[int] = mapped_column(default=0)
    memo: Mapped[str | None]
    order: Mapped[Order] = relationship(back_populates="items")

    formlock_leave_out = ("id", "order_id", "memo")

    def formlock_channel(self) -> str:
        return f"{PREFIX}.order.{self.order_id}"

    def formlock_part(self) -> str:
        return f"items.{self.id}"


class Note(Base):
    """Names the form by its order itself."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    text: Mapped[str] = mapped_column(default="")
    order: Mapped[Order] = relationship()

    formlock_leave_out = ("id", "order_id")

    def formlock_channel(self) -> str | None:
        return self.order.formlock_channel()

    @property
    def called(self) -> str:
        return f"notes.{self.id}"

    def formlock_part(self) -> str:
        return self.called


class Label(Base):
    """Names its order's form as if it were its own, as was the only way before there were parts."""

    __tablename__ = "label"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int]

    def formlock_channel(self) -> str:
        return f"{PREFIX}.order.{self.order_id}"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/application.sqlite")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Order(id=number, amount=10 * number) for number in (1, 2)])
        session.add_all([Item(id=1, order_id=1, price=5), Item(id=2, order_id=1, price=6, memo="m")])
        session.add(Note(id=1, order_id=1, text="a"))
        session.add(Label(id=1, order_id=1))
        session.commit()
    yield engine
    engine.dispose()


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def hook(engine: Engine, sent: Sent) -> Iterator[Hook]:
    hook = install(sessionmaker(engine), sent, jobs=True, bulk_limit=5)
    yield hook
    assert hook.failed == 0
    hook.remove()


@pytest.fixture
def session(hook: Hook, engine: Engine) -> Iterator[Session]:
    maker: Any = hook._target()
    with maker(engine) as session:
        yield session


# -- parts


def test_one_update_for_a_form_and_its_parts(session: Session, sent: Sent) -> None:
    """U37: an order and several of its items changed in one transaction are one update of its form, with everybody's fields."""
    session.get_one(Order, 1).amount = 11
    session.get_one(Item, 1).price = 7
    session.flush()
    session.get_one(Item, 1).price = 8
    session.get_one(Item, 2).price = 9
    session.add(Item(id=3, order_id=1, price=4))
    session.commit()
    fields = {"amount": (10, 11), "items.1.price": (5, 8), "items.2.price": (6, 9), "items.3.price": (None, 4)}
    # The order's own representation was made before its items were changed.
    assert [told.representation for told in sent] == [None]
    assert sent.take() == [("order.1", "updated", fields)]


def test_only_parts(session: Session, sent: Sent) -> None:
    """An item that is changed, new or deleted is a change of the order, never an order inserted or deleted."""
    session.get_one(Item, 1).price = 8
    session.commit()
    assert sent.take() == [("order.1", "updated", {"items.1.price": (5, 8)})]
    session.add(Item(id=3, order_id=1, price=4))
    session.commit()
    assert sent.take() == [("order.1", "updated", {"items.3.price": (None, 4)})]
    session.delete(session.get_one(Item, 2))
    session.commit()
    assert sent.take() == [("order.1", "updated", {"items.2.price": (6, None)})]


def test_part_that_is_back(session: Session, sent: Sent) -> None:
    """An item that is deleted and inserted again as it was, or changed and changed back, is no change."""
    item = session.get_one(Item, 1)
    item.price = 9
    session.flush()
    item.price = 5
    session.delete(session.get_one(Item, 2))
    session.flush()
    session.add(Item(id=2, order_id=1, price=6))
    session.commit()
    assert sent == []
    session.delete(session.get_one(Item, 2))
    session.flush()
    session.add(Item(id=2, order_id=1, price=7))
    session.commit()
    assert sent.take() == [("order.1", "updated", {"items.2.price": (6, 7)})]


def test_part_unchanged_where_nobody_sees_it(session: Session, sent: Sent) -> None:
    """What is left out of a part is no change of the form either."""
    session.get_one(Item, 1).memo = "secret"
    session.commit()
    assert sent == []


@pytest.mark.parametrize("way", ["column", "relationship", "list"])
def test_moved(session: Session, sent: Sent, way: str) -> None:
    """An item that moves to another order is told in both: gone from the one, new in the other; however it was moved."""
    item = session.get_one(Item, 1)
    assert item.price == 5
    if way == "column":
        item.order_id = 2
    elif way == "relationship":
        item.order = session.get_one(Order, 2)
    else:
        other = session.get_one(Order, 2)
        other.items.append(item)
    session.commit()
    assert sent.take() == [
        ("order.1", "updated", {"items.1.price": (5, None)}),
        ("order.2", "updated", {"items.1.price": (None, 5)}),
    ]


def test_moved_and_changed_and_back(session: Session, sent: Sent) -> None:
    """A move folds like anything else: there and back is no change, there and deleted is gone from the first."""
    item = session.get_one(Item, 1)
    item.order_id, item.price = 2, 50
    session.flush()
    item.order_id = 1
    session.commit()
    assert sent.take() == [("order.1", "updated", {"items.1.price": (5, 50)})]
    item = session.get_one(Item, 1)
    assert item.price == 50
    item.order_id = 2
    session.flush()
    session.delete(item)
    session.commit()
    assert sent.take() == [("order.1", "updated", {"items.1.price": (50, None)})]


def test_moved_in_a_savepoint(session: Session, sent: Sent) -> None:
    """U35: a move that is rolled back is told in neither form; one in a released savepoint is told in both."""
    with session.begin_nested() as savepoint:
        session.get_one(Item, 1).order_id = 2
        session.flush()
        savepoint.rollback()
    session.commit()
    assert sent == []
    with session.begin_nested():
        item = session.get_one(Item, 1)
        assert item.price == 5
        item.order_id = 2
    session.commit()
    assert [form for form, *_ in sent.take()] == ["order.1", "order.2"]


def test_changed_and_deleted_at_once(session: Session, sent: Sent) -> None:
    """What a deleted item was, and where, is what the database had; not what was typed into it and never saved."""
    item = session.get_one(Item, 1)
    item.price, item.order_id = 99, 2
    session.delete(item)
    session.commit()
    assert sent.take() == [("order.1", "updated", {"items.1.price": (5, None)})]


def test_orphan(session: Session, sent: Sent) -> None:
    """An item that is taken out of its order and so deleted is told in the order that had it."""
    order = session.get_one(Order, 1)
    order.items.remove(order.items[0])
    session.commit()
    assert sent.take() == [("order.1", "updated", {"items.1.price": (5, None)})]


def test_deleted_with_its_parts(session: Session, sent: Sent) -> None:
    """An order that is deleted with its items is one deletion."""
    session.delete(session.get_one(Note, 1))
    session.delete(session.get_one(Order, 1))
    session.commit()
    assert sent.take() == [("order.1", "deleted", None)]


def test_inserted_with_its_parts(session: Session, sent: Sent) -> None:
    """A new order with its items is one insertion, whose keys the database has made."""
    session.add(Order(amount=3, items=[Item(price=1), Item(price=2)]))
    session.commit()
    ((form, status, fields),) = sent.take()
    assert (form, status) == ("order.3", "inserted")
    assert fields["items.3.price"] == (None, 1)
    assert fields["items.4.price"] == (None, 2)


def test_part_by_its_parent(session: Session, sent: Sent) -> None:
    """A part may name its form by the parent itself, and by properties; moved by the relationship, it is told in both."""
    note = session.get_one(Note, 1)
    assert (note.order.id, note.text) == (1, "a")
    note.order = session.get_one(Order, 2)
    session.commit()
    assert sent.take() == [
        ("order.1", "updated", {"notes.1.text": ("a", None)}),
        ("order.2", "updated", {"notes.1.text": (None, "a")}),
    ]


def test_part_with_a_value_nobody_knows(session: Session, sent: Sent) -> None:
    """When a part's value is computed by the database or was never loaded, the form is told without what changed."""
    item = session.get_one(Item, 1)
    item.price = Item.price + 1  # type: ignore[assignment]
    session.get_one(Order, 1).amount = 12
    session.commit()
    assert sent.take() == [("order.1", "updated", None)]
    session.execute(update(Item).where(Item.order_id == 1).values(price=1))
    session.commit()
    assert sent.take() == [("order.1", "updated", None)]
    session.execute(delete(Item).where(Item.id == 1))
    session.commit()
    assert sent.take() == [("order.1", "updated", None)]


def test_moved_without_parts(session: Session, sent: Sent) -> None:
    """A record that names another form than before is told under both names, though not how it differs in the old one."""
    label = session.get_one(Label, 1)
    assert label.order_id == 1
    label.order_id = 2
    session.commit()
    assert sorted(sent.take()) == [("order.1", "updated", None), ("order.2", "updated", {"order_id": (1, 2)})]


def test_parts_asynchronously(engine: Engine, sent: Sent, tmp_path: Path) -> None:
    """With asynchronous sessions too, and nothing is loaded behind the application's back (that would raise there)."""

    async def work() -> None:
        asynchronous = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/application.sqlite")
        maker = async_sessionmaker(asynchronous)
        hook = install(maker, sent, jobs=True)
        async with maker() as session:
            (await session.get_one(Order, 1)).amount = 11
            item = await session.get_one(Item, 1)
            item.order_id = 2
            session.add(Item(order_id=1, price=3))
            await session.commit()
            await session.delete(await session.get_one(Order, 1))
            await session.rollback()
        hook.remove()
        assert hook.failed == 0
        await asynchronous.dispose()

    asyncio.run(work())
    assert sorted(sent.take()) == [
        ("order.1", "updated", {"amount": (10, 11), "items.1.price": (5, None), "items.3.price": (None, 3)}),
        ("order.2", "updated", {"items.1.price": (None, 5)}),
    ]


# -- very many records


def test_many_one_by_one(session: Session, sent: Sent) -> None:
    """U36: more records of one type than the limit are one message, with their ids."""
    session.get_one(Item, 1).price = 9
    session.add_all([Order(id=number) for number in range(10, 16)])
    with acting(actor="ann"):
        session.flush()
    session.commit()
    (bulk,) = [told for told in sent if told.count is not None]
    # The item belongs to one of the type's forms, which is thereby among those that the message stands for.
    assert (bulk.form, bulk.count, bulk.actor, bulk.change_set) == (f"{PREFIX}.order.*", 7, "ann", None)
    assert sorted(bulk.ids or ()) == ["1", "10", "11", "12", "13", "14", "15"]
    assert len(sent) == 1


def test_sections_of_many() -> None:
    """A section's form is of the same type as its record's: sections of one record count as one, and their ids are the records'."""
    ledger = Ledger()
    for number in range(4):
        for section in ("", ".address"):
            ledger.add((number, section), Change(status="updated", form=f"{PREFIX}.order.{number}{section}"))
    ledger.add("no topic", Change(status="updated", form="elsewhere"))
    told = list(ledger.updates(5))
    assert [(one.form, one.count, one.ids) for one in told] == [
        (f"{PREFIX}.order.*", 4, ["0", "1", "2", "3"]),
        ("elsewhere", None, None),
    ]


def test_at_the_limit(session: Session, sent: Sent) -> None:
    """As many as the limit are told one by one."""
    session.add_all([Order(id=number) for number in range(10, 15)])
    session.commit()
    assert [told.count for told in sent] == [None] * 5


def test_many_parts(session: Session, sent: Sent) -> None:
    """U37: very many items of one order are one update of its form."""
    session.add_all([Item(order_id=2, price=number) for number in range(50)])
    session.commit()
    assert [form for form, *_ in sent.take()] == ["order.2"]


def test_many_by_one_statement(session: Session, hook: Hook, sent: Sent) -> None:
    """U36: a bulk statement on more records than anybody would read is one message with their number, and is never silent."""
    session.execute(insert(Order), [{"id": number} for number in range(10, 1_300)])
    session.commit()
    (bulk,) = sent
    assert (bulk.form, bulk.status, bulk.count, bulk.ids) == (f"{PREFIX}.order.*", "inserted", 1_290, None)
    sent.clear()
    session.execute(update(Order).where(Order.id >= 10).values(amount=1))
    session.get_one(Order, 1).amount = 77
    session.commit()
    (bulk,) = sent
    assert (bulk.status, bulk.count, bulk.ids) == ("updated", 1_291, None)
    sent.clear()
    session.execute(update(Order), [{"id": number, "amount": 3} for number in range(10, 910)])
    session.commit()
    (bulk,) = sent
    assert (bulk.count, len(bulk.ids or ())) == (900, 900)
    assert hook.bulk == 3


def test_many_rolled_back(session: Session, sent: Sent) -> None:
    """U35: of very many records that are rolled back nothing is told, with a savepoint or the whole."""
    session.execute(insert(Order), [{"id": number} for number in range(10, 1_300)])
    session.commit()
    sent.clear()
    with session.begin_nested() as savepoint:
        session.execute(delete(Order).where(Order.id >= 10))
        savepoint.rollback()
    session.commit()
    session.execute(delete(Order).where(Order.id >= 10))
    session.rollback()
    assert sent == []
    with session.begin_nested():
        session.execute(delete(Order).where(Order.id >= 10))
    session.commit()
    assert [(told.status, told.count) for told in sent] == [("deleted", 1_290)]
