"""The outbox: what is committed is in it, what is not isn't, in SQLite and in PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, String, create_engine, delete, event, select, text
from sqlalchemy import inspect as inspect_
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from formlock.uris import Uris
from formlock_bridge.intake import read
from formlock_push import Update
from formlock_push.outbox import create_statements, row_of
from formlock_push.sqlalchemy import Hook, Outbox, acting, install
from tests.support.postgres import PostgresServer

FORM = "com.example.form.thing"


class Base(DeclarativeBase):
    """The application's own."""


class Thing(Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    a: Mapped[int] = mapped_column(default=0)
    name: Mapped[str | None] = mapped_column(String(20))

    def formlock_channel(self) -> str:
        return self.name or f"{FORM}.{self.id}"


outbox = Outbox(Base.metadata, source="shop")
Rows = list[tuple[str, Any]]


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path}/application.sqlite")
        Base.metadata.create_all(engine)
        yield engine
        engine.dispose()
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as name:
        engine = create_engine(server.url(name, "+psycopg"))
        Base.metadata.create_all(engine)
        yield engine
        engine.dispose()


@pytest.fixture
def sessions(engine: Engine) -> Iterator[sessionmaker[Session]]:
    sessions = sessionmaker(engine)
    hook = install(sessions, outbox, jobs=True)
    with sessions.begin() as session:
        session.add_all([Thing(id=1), Thing(id=2)])
    with engine.begin() as connection:
        connection.execute(delete(outbox.table))
    yield sessions
    assert hook.failed == 0
    hook.remove()


def take(engine: Engine) -> Rows:
    """`(form's id, change_set)` of each row, by id; the table is empty afterwards."""
    with engine.begin() as connection:
        rows = connection.execute(select(outbox.table).order_by(outbox.table.c.id)).all()
        connection.execute(delete(outbox.table))
    for row in rows:
        message = json.loads(row.message)
        assert (message["id"], message["form"]) == (row.message_id, row.form)
        assert (row.sent_at, row.refused) == (None, None)
        assert row.created_at > 1_700_000_000_000
    return [(row.form.removeprefix(f"{FORM}."), json.loads(row.message).get("change_set")) for row in rows]


def test_in_the_same_transaction(engine: Engine, sessions: sessionmaker[Session]) -> None:
    """U38: a row per form is committed with the change, folded over all flushes, under the name of who reports."""
    with acting(actor="ann", origin="tab-1"), sessions.begin() as session:
        thing = session.get_one(Thing, 1)
        thing.a = 1
        session.flush()
        thing.a = 2
        session.get_one(Thing, 2).a = 5
    with engine.connect() as connection:
        row = connection.execute(select(outbox.table)).first()
    assert row is not None
    assert row.source == "shop"
    assert {"v": 1, **json.loads(row.message), "id": ""} == {
        "v": 1,
        "id": "",
        "form": f"{FORM}.1",
        "status": "updated",
        "change_set": {"a": [0, 2]},
        "source": "shop",
        "origin": "tab-1",
        "actor": "ann",
    }
    assert take(engine) == [("1", {"a": [0, 2]}), ("2", {"a": [0, 5]})]


def test_rolled_back(engine: Engine, sessions: sessionmaker[Session]) -> None:
    """U35: what is rolled back, wholly or to a savepoint, leaves no row; also when it fails in the commit itself."""
    with sessions() as session:
        session.get_one(Thing, 1).a = 1
        session.flush()
        session.rollback()
        with session.begin_nested() as savepoint:
            session.get_one(Thing, 1).a = 2
            session.flush()
            savepoint.rollback()
        with session.begin_nested():
            session.get_one(Thing, 2).a = 3
        session.commit()
    assert take(engine) == [("2", {"a": [0, 3]})]

    def stop(_session: Session) -> None:
        raise RuntimeError("not today")

    with sessions() as session:
        event.listen(session, "before_commit", stop)
        session.get_one(Thing, 1).a = 4
        with pytest.raises(RuntimeError, match="not today"):
            session.commit()
        session.rollback()
    assert take(engine) == []


def test_savepoint_left_open(engine: Engine, sessions: sessionmaker[Session]) -> None:
    """A transaction that is committed around savepoints still open commits them, and its rows are written all the same."""
    with sessions() as session:
        with session.begin():
            session.begin_nested()
            session.get_one(Thing, 1).a = 1
            session.begin_nested()
            session.get_one(Thing, 2).a = 2
        assert take(engine) == [("1", {"a": [0, 1]}), ("2", {"a": [0, 2]})]
        session.begin_nested()
        session.get_one(Thing, 1).a = 3
        session.commit()
    assert take(engine) == [("1", {"a": [1, 3]})]


def test_changed_by_another_listener(engine: Engine, sessions: sessionmaker[Session]) -> None:
    """What another listener changes as late as before the commit is told too, whoever listened first."""

    def late(session: Session) -> None:
        session.get_one(Thing, 2).a += 1

    with sessions() as session:
        event.listen(session, "before_commit", late)
        session.get_one(Thing, 1).a = 1
        session.commit()
    assert sorted(take(engine)) == [("1", {"a": [0, 1]}), ("2", {"a": [0, 1]})]


def test_without_its_table(engine: Engine, sessions: sessionmaker[Session]) -> None:
    """When the outbox can't be written nothing is committed: neither is told without the other."""
    outbox.table.drop(engine)
    with sessions() as session:
        session.get_one(Thing, 1).a = 1
        with pytest.raises(DBAPIError):
            session.commit()
        session.rollback()
        assert session.get_one(Thing, 1).a == 0
    outbox.table.create(engine)


def test_explicit(engine: Engine, sessions: sessionmaker[Session]) -> None:
    """An update of one's own is written into the transaction or savepoint that it was added in."""
    with sessions() as session:
        outbox.add(session, Update(form=f"{FORM}.7", source="import", id="one"))
        with session.begin_nested() as savepoint:
            outbox.add(session, Update(form=f"{FORM}.8"))
            savepoint.rollback()
        session.commit()
        outbox.add(session, Update(form=f"{FORM}.9"))
        session.rollback()
    with engine.connect() as connection:
        row = connection.execute(select(outbox.table)).one()
    assert (row.source, row.message_id, row.form) == ("import", "one", f"{FORM}.7")


def test_odd_values(engine: Engine, sessions: sessionmaker[Session]) -> None:
    """What can't be said in JSON, or is too long, costs no commit: the row says that the form changed, or there is none, counted."""
    with sessions.begin() as session:
        outbox.add(session, Update(form=f"{FORM}.1", change_set={"a": [0, float("inf")]}))
        outbox.add(session, Update(form=f"{FORM}.2", representation="x" * 70_000, change_set={"a": [0, 1]}))
        outbox.add(session, Update(form=f"{FORM}.3", change_set={"a": ["", "nul \0 é 雪"]}))
        with pytest.raises(ValueError, match="surrogate|topic"):
            outbox.add(session, Update(form=f"{FORM}.\ud800"))
    with engine.connect() as connection:
        messages = [
            json.loads(message) for message in connection.scalars(select(outbox.table.c.message).order_by(outbox.table.c.id))
        ]
    assert [message.get("change_set") for message in messages] == [None, {"a": [0, 1]}, {"a": ["", "nul \0 é 雪"]}]
    failed = outbox.failed
    with sessions.begin() as session:
        with session.no_autoflush:
            session.get_one(Thing, 1).a = 1
        hooked: Any = session.get_one(Thing, 1)
        hooked.formlock_channel = lambda: f"{FORM}.\ud800"
    assert outbox.failed == failed + 1


ODD: dict[str, dict[str, Any]] = {
    "NUL": {"change_set": {"a": ["", "\0x"]}},
    "a number of 71 bits": {"change_set": {"a": [0, 2**70]}},
    "depth": {"representation": {"a": reduce(lambda inside, _: [inside], range(40), 0)}},
    "a field that may be seen by some": {"change_set": {"pay": [1, float("nan")]}, "redact": {"pay": "hr"}},
    "a version that browsers can't count": {"version": 2**60},
    "very many long ids": {"form": f"{FORM}.*", "count": 1_000, "ids": [f"{number:064}" for number in range(1_000)]},
}


@pytest.mark.parametrize("what", ODD)
def test_what_only_the_bridge_would_refuse(what: str) -> None:
    """A value that the bridge would refuse a whole update for is found before: the row's message is one that it takes."""
    row = row_of(Update(**{"form": f"{FORM}.1", **ODD[what]}), at_ms=1)
    taken = read(Uris(), row.message.encode())
    assert isinstance(taken, Update), taken
    assert (taken.form, taken.id) == (row.form, row.message_id)


def test_two_phases(engine: Engine, sessions: sessionmaker[Session]) -> None:
    """A two-phase commit has its rows from the first phase on; one that is rolled back after it has none."""
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no two phases")
    with sessions(twophase=True) as session:
        session.get_one(Thing, 1).a = 1
        session.prepare()
        assert take_nothing(engine)
        session.commit()
        assert take(engine) == [("1", {"a": [0, 1]})]
        session.get_one(Thing, 1).a = 2
        session.prepare()
        session.rollback()
        assert session.get_one(Thing, 1).a == 1
    assert take(engine) == []


def take_nothing(engine: Engine) -> bool:
    with engine.connect() as connection:
        return connection.execute(select(outbox.table)).first() is None


@pytest.mark.parametrize("driver", ["aiosqlite", "asyncpg", "psycopg"])
def test_asynchronous(driver: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """With asynchronous sessions of each driver: committed is written, rolled back is not, and updates of one's own too."""
    if driver == "aiosqlite":
        run_asynchronously(f"sqlite+aiosqlite:///{tmp_path}/application.sqlite")
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as name:
        run_asynchronously(server.url(name, f"+{driver}"))


def run_asynchronously(url: str) -> None:
    async def work() -> list[str]:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        maker = async_sessionmaker(engine)
        hook = install(maker, outbox, jobs=True)
        async with maker() as session:
            session.add(Thing(id=1))
            await session.commit()
            async with session.begin_nested():
                (await session.get_one(Thing, 1)).a = 1
            lost = await session.begin_nested()
            await session.execute(delete(Thing))
            await lost.rollback()
            await session.run_sync(outbox.add, Update(form=f"{FORM}.7"))
            await session.commit()
            (await session.get_one(Thing, 1)).a = 2
            await session.rollback()
        hook.remove()
        assert (hook.failed, hook.pushed) == (0, 2)
        async with engine.connect() as connection:
            forms = list(await connection.scalars(select(outbox.table.c.form).order_by(outbox.table.c.id)))
        await engine.dispose()
        return forms

    assert asyncio.run(work()) == [f"{FORM}.1", f"{FORM}.7", f"{FORM}.1"]


def test_counts(engine: Engine) -> None:
    """What the hook counts as pushed is what was committed, not what was written and rolled back."""
    maker = sessionmaker(engine)
    hook: Hook = install(maker, outbox, jobs=True, bulk_limit=3)
    with maker() as session:
        session.add(Thing(id=1))
        session.commit()
        session.add(Thing(id=2))
        event.listen(session, "before_commit", refuse := lambda _session: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            session.commit()
        session.rollback()
        event.remove(session, "before_commit", refuse)
        session.add_all([Thing(id=number) for number in range(10, 14)])
        session.commit()
    hook.remove()
    assert (hook.pushed, hook.bulk) == (2, 1)


def test_statements_agree(engine: Engine) -> None:
    """The table of the hand-written statements is the table of SQLAlchemy's metadata, and both take the same rows."""
    dialect: Any = engine.dialect.name
    table = inspect_(engine)
    made = [(column["name"], column["nullable"]) for column in table.get_columns("formlock_outbox")]
    indexes = [index["column_names"] for index in table.get_indexes("formlock_outbox")]
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE formlock_outbox"))
        for statement in create_statements(dialect):
            connection.execute(text(statement))
    table = inspect_(engine)
    assert [(column["name"], column["nullable"]) for column in table.get_columns("formlock_outbox")] == made
    assert [index["column_names"] for index in table.get_indexes("formlock_outbox")] == indexes
    with Session(engine) as session:
        outbox.add(session, Update(form=f"{FORM}.1"))
        session.commit()
    assert [form for form, _ in take(engine)] == ["1"]


def test_ids_are_never_given_twice(tmp_path: Path) -> None:
    """SQLite too: after the last row is deleted, its id is not that of the next one (order by id is order of writing)."""
    engine = create_engine(f"sqlite:///{tmp_path}/application.sqlite")
    Base.metadata.create_all(engine)
    ids = []
    for _ in range(2):
        with Session(engine) as session:
            outbox.add(session, Update(form=f"{FORM}.1"))
            session.commit()
            ids.append(session.scalar(select(outbox.table.c.id)))
            session.execute(delete(outbox.table))
            session.commit()
    engine.dispose()
    assert ids == [1, 2]


def test_plain_sql(tmp_path: Path) -> None:
    """Whoever writes the table by plain SQL needs nothing of ours but the statements."""
    connection = sqlite3.connect(tmp_path / "application.sqlite")
    for statement in create_statements("sqlite"):
        connection.execute(statement)
    row = row_of(Update(form=f"{FORM}.1"), at_ms=5)
    names = ", ".join(row.values())
    connection.execute(f"INSERT INTO formlock_outbox ({names}) VALUES (:{', :'.join(row.values())})", row.values())
    assert connection.execute("SELECT form, created_at, sent_at FROM formlock_outbox").fetchall() == [(f"{FORM}.1", 5, None)]
    connection.close()


def test_one_table_for_one_metadata() -> None:
    """Two outboxes of the same metadata share the table; a schema of its own is another table."""
    metadata = MetaData()
    assert Outbox(metadata).table is Outbox(metadata).table
    assert Outbox(metadata, schema="push").table.fullname == "push.formlock_outbox"


def test_locked_database(tmp_path: Path) -> None:
    """When another program holds SQLite's lock for too long, the commit fails as a whole."""
    path = tmp_path / "application.sqlite"
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 0.1})
    Base.metadata.create_all(engine)
    maker = sessionmaker(engine)
    hook = install(maker, outbox, jobs=True)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with maker() as session:
        session.add(Thing(id=1))
        with pytest.raises(OperationalError):
            session.commit()
        session.rollback()
    other.execute("ROLLBACK")
    other.close()
    with Session(engine) as session:
        assert session.get(Thing, 1) is None
    assert take(engine) == []
    hook.remove()
    engine.dispose()
