"""A random walk over a session: what is told at a commit is what differs in the database, whatever savepoints came and went."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from sqlalchemy import Engine, MetaData, create_engine, delete, event, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool

from formlock_push import Update
from formlock_push.sqlalchemy import Outbox, install
from tests.backends.support import Sent

NUMBERS = st.integers(1, 3)
VALUES = st.integers(0, 2)
FIELDS = ("a", "b")
Row = dict[str, int]
Table = dict[int, Row]


class Base(DeclarativeBase):
    """The application's own."""


class Thing(Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    a: Mapped[int]
    b: Mapped[int]

    def formlock_channel(self) -> str:
        return f"com.example.form.thing.{self.id}"


class Layer:
    """What has happened since a savepoint began, as a model that is not our own code's: the table itself, and what is not known."""

    def __init__(self, table: Table, unknown: set[int], reborn: set[int]) -> None:
        self.table = copy.deepcopy(table)
        # Changed by a bulk statement, or deleted and inserted again: that they changed is told, not how.
        self.unknown = set(unknown)
        self.reborn = set(reborn)


class Walk(RuleBasedStateMachine):
    """One session, a few records, savepoints at any depth."""

    @initialize()
    def begin(self) -> None:
        engine = create_engine("sqlite://", poolclass=StaticPool)
        # Python's own driver begins no transaction at a SAVEPOINT; so SQLAlchemy says BEGIN.
        event.listen(engine, "connect", lambda connection, _record: setattr(connection, "isolation_level", None))
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        Base.metadata.create_all(engine)
        self.engine = engine
        self.session = Session(engine)
        self.sent, sender = self.sender(engine)
        self.hook = install(self.session, sender, jobs=True)
        self.committed: Table = {}
        self.layers = [Layer({}, set(), set())]

    def sender(self, _engine: Engine) -> tuple[Any, Any]:
        """Where what is told is seen, and what is given to the hook."""
        sent = Sent()
        return sent, sent

    def teardown(self) -> None:
        if not hasattr(self, "hook"):
            return
        assert self.hook.failed == 0
        self.hook.remove()
        self.session.close()
        self.engine.dispose()

    @property
    def now(self) -> Layer:
        return self.layers[-1]

    @rule(number=NUMBERS, a=VALUES, b=VALUES)
    def insert(self, number: int, a: int, b: int) -> None:
        if number in self.now.table:
            return
        self.session.flush()  # else it could take the place of one that waits for its deletion
        self.session.add(Thing(id=number, a=a, b=b))
        self.session.flush()
        self.now.table[number] = {"a": a, "b": b}
        # One that was there before this savepoint and is inserted in it was deleted in between.
        if number in self.committed or any(number in layer.table for layer in self.layers[:-1]):
            self.now.reborn.add(number)

    @rule(number=NUMBERS, field=st.sampled_from(FIELDS), value=VALUES, flush=st.booleans())
    def change(self, number: int, field: str, value: int, flush: bool) -> None:
        if number not in self.now.table:
            return
        thing = self.session.get_one(Thing, number)
        assert getattr(thing, field) == self.now.table[number][field]
        setattr(thing, field, value)
        if flush:
            self.session.flush()
        self.now.table[number][field] = value

    @rule(number=NUMBERS, flush=st.booleans(), expire=st.booleans())
    def delete(self, number: int, flush: bool, expire: bool) -> None:
        if number not in self.now.table:
            return
        thing = self.session.get_one(Thing, number)
        if expire:
            self.session.flush()
            self.session.expire(thing)
        self.session.delete(thing)
        if flush:
            self.session.flush()
        del self.now.table[number]
        self.now.unknown.discard(number)

    @rule(value=VALUES)
    def bulk_update(self, value: int) -> None:
        affected = [number for number, row in self.now.table.items() if row["a"] == value]
        self.session.execute(update(Thing).where(Thing.a == value).values(b=value))
        for number in affected:
            self.now.table[number]["b"] = value
            self.now.unknown.add(number)

    @rule(value=VALUES)
    def bulk_delete(self, value: int) -> None:
        self.session.execute(delete(Thing).where(Thing.b == value))
        for number in [number for number, row in self.now.table.items() if row["b"] == value]:
            del self.now.table[number]
            self.now.unknown.discard(number)

    @rule()
    def flush(self) -> None:
        self.session.flush()

    @precondition(lambda self: len(self.layers) < 4)
    @rule()
    def savepoint(self) -> None:
        self.session.begin_nested()
        self.layers.append(Layer(self.now.table, self.now.unknown, self.now.reborn))

    @precondition(lambda self: len(self.layers) > 1)
    @rule()
    def release(self) -> None:
        nested: Any = self.session.get_nested_transaction()
        nested.commit()
        self.layers[-2:] = [self.layers[-1]]

    @precondition(lambda self: len(self.layers) > 1)
    @rule()
    def rollback_to_savepoint(self) -> None:
        nested: Any = self.session.get_nested_transaction()
        nested.rollback()
        del self.layers[-1]

    @rule()
    def rollback(self) -> None:
        self.session.rollback()
        self.layers = [Layer(self.committed, set(), set())]
        assert self.sent == []

    @rule()
    def close(self) -> None:
        self.session.close()
        self.layers = [Layer(self.committed, set(), set())]
        assert self.sent == []

    @rule(around=st.booleans())
    def commit(self, around: bool) -> None:
        assert self.sent == []
        outermost = self.session.get_transaction()
        # By the outermost transaction itself, around savepoints that are still open.
        if around and outermost is not None:
            outermost.commit()
        else:
            self.session.commit()
        before, after, last = self.committed, self.now.table, self.now
        rows = self.session.execute(select(Thing.id, Thing.a, Thing.b)).all()
        assert {row.id: {"a": row.a, "b": row.b} for row in rows} == after, "the model is wrong"
        told = {int(update.form.rpartition(".")[2]): update for update in self.sent}
        assert len(told) == len(self.sent), "a form was told twice"
        for number in range(1, 4):
            old, new, update_ = before.get(number), after.get(number), told.pop(number, None)
            blurred = number in last.unknown or number in last.reborn
            if old is None and new is None:
                assert update_ is None, "told of what never was"
            elif old is not None and new is None:
                assert update_ is not None
                assert (update_.status, update_.change_set) == ("deleted", None)
            elif new is not None and old is None:
                assert update_ is not None
                assert update_.status == "inserted"
                if not blurred:
                    assert update_.change_set == {"id": (None, number), **{field: (None, new[field]) for field in FIELDS}}
            elif new is not None and old is not None:
                pairs = {field: (old[field], new[field]) for field in FIELDS if old[field] != new[field]}
                if blurred:
                    assert update_ is not None
                    assert (update_.status, update_.change_set) == ("updated", None)
                elif pairs:
                    assert update_ is not None
                    assert (update_.status, update_.change_set) == ("updated", pairs)
                else:
                    assert update_ is None, "told of no change"
        self.sent.clear()
        self.committed = copy.deepcopy(after)
        self.layers = [Layer(after, set(), set())]
        self.session.expire_all()


class Written:
    """What is in the outbox, also in the transaction that is open: nothing may be until it is committed."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._seen = 0

    def __iter__(self) -> Iterator[Update]:
        for (message,) in self._connection.execute(
            "SELECT message FROM formlock_outbox WHERE id > ? ORDER BY id", (self._seen,)
        ).fetchall():
            told = json.loads(message)
            pairs = told.get("change_set")
            yield Update(
                form=told["form"],
                status=told["status"],
                change_set=None if pairs is None else {name: tuple(pair) for name, pair in pairs.items()},
            )

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __eq__(self, other: object) -> bool:
        return list(self) == other

    __hash__ = None  # type: ignore[assignment]

    def clear(self) -> None:
        """Not by deleting them: the session may be in its next transaction already, which may be rolled back."""
        ((self._seen,),) = self._connection.execute("SELECT coalesce(max(id), 0) FROM formlock_outbox").fetchall()


class OutboxWalk(Walk):
    """The same with an outbox: its rows are those that the transaction's own changes are committed with."""

    def sender(self, engine: Engine) -> tuple[Any, Any]:
        outbox = Outbox(MetaData())
        outbox.table.create(engine)
        # The session's own connection, looked at from below.
        connection = engine.raw_connection()
        return Written(connection.driver_connection), outbox


Walk.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestWalk = Walk.TestCase
OutboxWalk.TestCase.settings = Walk.TestCase.settings
TestOutboxWalk = OutboxWalk.TestCase
