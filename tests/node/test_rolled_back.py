"""What is rolled back is never pushed: random transactions and savepoints of SQLAlchemy and Django, over the real wire, read back
from the real bridge."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, transaction
from pytest_twisted import ensureDeferred
from sqlalchemy import create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from formlock_push import ReliablePusher
from formlock_push.django.hook import install as install_django
from formlock_push.django.outbox import Outbox as DjangoOutbox
from formlock_push.relay import Relay
from formlock_push.relay_databases import connector
from formlock_push.relay_line import Line
from formlock_push.sqlalchemy import Outbox, install
from tests.backends.django_app.models import Invoice
from tests.backends.django_support import Row, databases
from tests.support.client import Client, joined
from tests.support.node import Node, without

pytestmark = [pytest.mark.node, pytest.mark.timeout(240)]

TRANSACTIONS = 60
WITHIN_S = 60


class Base(DeclarativeBase):
    """The application's own."""


class Thing(Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(default=0)

    def formlock_channel(self) -> str:
        return f"com.example.form.rolled.{self.id}"


outbox = Outbox(Base.metadata, source="shop")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    made = Node(tmp_path_factory.mktemp("rolled"), without("demo", "locks"))
    yield made.start()
    made.stop()


class Undo(Exception):
    """Rolls back what it leaves."""


class Story:
    """Random transactions with savepoints in savepoints, some of which fail: each writes a value that no other one writes.

    `begin` opens a transaction or, inside one, a savepoint, and rolls it back when an exception passes; `write` sets the amount.
    `wanted` has the changes of each committed transaction; `never` are the values that were rolled back.
    """

    def __init__(self, begin: Callable[[], Any], write: Callable[[int], None], seed: str) -> None:
        self.wanted: list[tuple[int, int]] = []
        self.never: set[int] = set()
        self._begin = begin
        self._write = write
        self._chance = random.Random(seed)
        self._value = 0
        self._amount = 0

    def tell(self) -> None:
        for nth in range(TRANSACTIONS):
            before = self._amount
            # The last one is committed: when it has arrived, so has everything before it.
            self._block(0, fails=self._chance.random() < 0.4 and nth < TRANSACTIONS - 1)
            if self._amount == before and nth == TRANSACTIONS - 1:
                with self._begin():
                    self._set()
            if self._amount != before:
                self.wanted.append((before, self._amount))

    def _block(self, depth: int, fails: bool) -> None:
        before, first = self._amount, self._value + 1
        try:
            with self._begin():
                for _ in range(self._chance.randrange(1, 4)):
                    if depth < 3 and self._chance.random() < 0.5:
                        self._block(depth + 1, fails=self._chance.random() < 0.5)
                    else:
                        self._set()
                if fails:
                    raise Undo
        except Undo:
            self._amount = before
            self.never.update(range(first, self._value + 1))

    def _set(self) -> None:
        self._value += 1
        self._amount = self._value
        self._write(self._value)


@contextmanager
def relayed(url: str, node: Node) -> Iterator[Relay]:
    """A relay that runs meanwhile."""
    stop = threading.Event()
    relay = Relay(connector(url), Line(node.acknowledged_url), poll_s=0.05)
    thread = threading.Thread(target=relay.run, args=(stop,))
    thread.start()
    try:
        yield relay
    finally:
        stop.set()
        thread.join()


async def told(client: Client, form: str, last: int) -> list[tuple[int, int]]:
    """Every change of the form, as soon as the one to this value is there."""
    limit = reactor.seconds() + WITHIN_S
    while True:
        answer = await client.caught_up(form)
        changes = [update["change_set"]["amount"] for update in answer["updates"] if "amount" in update.get("change_set", {})]
        # Django's amounts are decimals, which JSON tells as texts; SQLAlchemy's new record has nothing before.
        found = [(int(float(old or 0)), int(float(new))) for old, new in changes]
        if found and found[-1][1] == last:
            assert answer["complete"]
            return found
        assert reactor.seconds() < limit, found
        await deferLater(reactor, 0.1)


async def compare(node: Node, form: str, story: Story) -> None:
    """Exactly what was committed has arrived, and events were heard of nothing else."""
    client = await joined(node.ws_url, "ann")
    found = await told(client, form, story.wanted[-1][1])
    assert found == story.wanted
    assert story.never, "nothing was rolled back: the test proves nothing"
    assert not story.never & {new for _, new in found}
    await client.leave()


def sqlalchemy_story(folder: Path, number: int, sender: Any) -> Story:
    """One session; `begin` is `session.begin()` outside and `begin_nested()` inside."""
    # A relay may be writing.
    engine = create_engine(f"sqlite:///{folder}/application.sqlite", connect_args={"timeout": WITHIN_S})

    @event.listens_for(engine, "connect")
    def own_begin(connection: Any, _record: Any) -> None:
        # Python's driver begins too late for a savepoint that comes first; SQLAlchemy's manual says how to have it right. And one
        # that reads first and writes later is refused by SQLite when the relay has marked a row in between: IMMEDIATE.
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin_sql(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    with sessions.begin() as session:
        session.add(Thing(id=number))
    hook = install(sessions, sender, jobs=True)
    session: Session = sessions()

    def write(value: int) -> None:
        session.get_one(Thing, number).amount = value
        session.flush()

    story = Story(lambda: session.begin_nested() if session.in_transaction() else session.begin(), write, f"sqlalchemy {number}")
    story.tell()
    session.close()
    hook.remove()
    engine.dispose()
    assert hook.failed == 0
    return story


@ensureDeferred
async def test_sqlalchemy_pushes(node: Node, tmp_path: Path) -> None:
    """U35: through a reliable pusher exactly the committed changes arrive, in their order; nothing of a transaction or savepoint
    that was rolled back does."""
    with ReliablePusher(node.acknowledged_url, spool=tmp_path / "spool", timeout_ms=20_000) as pusher:
        story = await deferToThread(sqlalchemy_story, tmp_path, 1, pusher)
        assert await deferToThread(pusher.flush, WITHIN_S)
    await compare(node, "com.example.form.rolled.1", story)


@ensureDeferred
async def test_sqlalchemy_outbox(node: Node, tmp_path: Path) -> None:
    """U35: the same through an outbox and a relay that runs meanwhile."""
    url = f"sqlite:///{tmp_path}/application.sqlite"
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    engine.dispose()
    with relayed(url, node):
        story = await deferToThread(sqlalchemy_story, tmp_path, 2, outbox)
        await compare(node, "com.example.form.rolled.2", story)


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # A relay may be writing.
    monkeypatch.setitem(connections["default"].settings_dict["OPTIONS"], "timeout", WITHIN_S)
    with databases(tmp_path, "django_app", "formlock_outbox"):
        yield tmp_path


def django_story(number: int, sender: Any) -> Story:
    """`begin` is `atomic()`, in whatever depth."""
    from formlock_push.django import muted

    with muted():
        Invoice.objects.create(pk=number, amount=0)
    hook = install_django(sender, jobs=True, source="shop")
    # Read with the hook there: of what it has not seen being read it knows no old values.
    invoice = Invoice.objects.get(pk=number)

    def write(value: int) -> None:
        invoice.amount = value
        invoice.save()

    story = Story(transaction.atomic, write, f"django {number}")
    story.tell()
    hook.remove()
    assert hook.failed == 0
    return story


@ensureDeferred
async def test_django_pushes(node: Node, application: Path) -> None:
    """U35: through Django's hook and a reliable pusher exactly the committed changes arrive, in their order."""
    with ReliablePusher(node.acknowledged_url, spool=application / "spool", timeout_ms=20_000) as pusher:
        story = django_story(1, pusher)
        assert await deferToThread(pusher.flush, WITHIN_S)
    await compare(node, "com.example.form.invoice.1", story)


@ensureDeferred
async def test_django_outbox(node: Node, application: Path) -> None:
    """U35: the same through the outbox of Django's app and a relay that runs meanwhile, in another thread and connection."""
    with relayed(f"sqlite:///{application}/default.sqlite", node) as relay:
        story = django_story(2, DjangoOutbox())
        await compare(node, "com.example.form.invoice.2", story)
    assert (relay.sent, relay.refused) == (len(story.wanted), 0)
    # The last mark is made behind the answer, so it is the relay's end that says that all are made.
    assert Row.objects.filter(sent_at=None).count() == 0
