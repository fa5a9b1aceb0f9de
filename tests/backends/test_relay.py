"""The relay, against a bridge over real ZeroMQ that dies, is busy, refuses and repeats; outboxes in SQLite and in PostgreSQL."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, delete, func, insert, select, text
from sqlalchemy import update as update_
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from formlock_push import Update
from formlock_push.outbox import row_of
from formlock_push.relay import Outcome, Relay
from formlock_push.relay_command import run as command
from formlock_push.relay_databases import connector
from formlock_push.relay_line import Line
from formlock_push.sqlalchemy import Outbox, install
from tests.support.fake_bridge import FakeBridge, Message, made_keys
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.timeout(300)

# Only against hanging; thousands of rows take longer.
LIMIT_S, LONG_S = 30, 120
# For a machine with other work, beside what is promised.
SLACK_S = 10
# Shorter than it is, for who waits for a killed relay's to end; long enough for one that is alive on a machine with other work.
LEASE_S = 4.0
FORM = "com.example.form.thing"


class Base(DeclarativeBase):
    """The application's own."""


class Thing(Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    a: Mapped[int] = mapped_column(default=0)

    def formlock_channel(self) -> str:
        return f"{FORM}.{self.id}"


outbox = Outbox(Base.metadata)
columns = outbox.table.c


@dataclass
class World:
    """One application's database, and its relays' bridge."""

    url: str
    engine: Engine
    bridge: FakeBridge

    def write(self, count: int, *, forms: int = 3, first: int = 0, at_ms: int = 1_700_000_000_000) -> None:
        """Rows whose ids say where they are in the order of their forms."""
        updates = [Update(form=f"{FORM}.{number % forms}", id=f"{number}") for number in range(first, first + count)]
        with self.engine.begin() as connection:
            connection.execute(insert(outbox.table), [row_of(update, at_ms=at_ms).values() for update in updates])
            if self.engine.dialect.name == "postgresql":
                connection.execute(text("NOTIFY formlock_outbox"))

    def write_one(self, message_id: str, message: str, form: str = f"{FORM}.0") -> None:
        row = {"source": "s", "message_id": message_id, "form": form, "message": message, "created_at": 1}
        with self.engine.begin() as connection:
            connection.execute(insert(outbox.table), row)

    def count(self, what: str) -> int:
        """`pending`, `sent` or `refused`."""
        where = {
            "pending": columns.sent_at.is_(None) & columns.refused.is_(None),
            "sent": columns.sent_at.is_not(None),
            "refused": columns.refused.is_not(None),
        }[what]
        with self.engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(outbox.table).where(where)) or 0

    def has_taken(self, count: int) -> bool:
        return len(self.bridge.journal) >= count

    def relay(self, **options: Any) -> Relay:
        return Relay(connector(self.url, lease_s=LEASE_S), Line(self.bridge.address), **options)

    def once(self, *, within_s: float = LIMIT_S, **options: Any) -> tuple[Relay, Outcome]:
        relay = self.relay(**options)
        limit = time.monotonic() + within_s
        try:
            # PostgreSQL lets go of what an ended connection had a moment after its client has closed it.
            while (outcome := relay.run_once()) is Outcome.FOLLOWS and time.monotonic() < limit:
                time.sleep(0.02)
            return relay, outcome
        finally:
            relay._line.close()

    @contextmanager
    def relaying(self, **options: Any) -> Iterator[Relay]:
        """One that works in a thread until the block ends."""
        relay = self.relay(**options)
        stop = threading.Event()
        thread = threading.Thread(target=relay.run, args=(stop,))
        thread.start()
        try:
            yield relay
        finally:
            stop.set()
            thread.join(LIMIT_S)
            assert not thread.is_alive()
            relay._line.close()

    def process(self, *options: str) -> subprocess.Popen[bytes]:
        code = (
            "import sys; from formlock_push import relay_databases, relay_command;"
            f"relay_databases.connector.__kwdefaults__['lease_s'] = {LEASE_S};"
            "sys.exit(relay_command.run())"
        )
        return subprocess.Popen(
            [sys.executable, "-c", code, "--database", self.url, "--address", self.bridge.address, *options],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "bridge")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def check(self, count: int, *, forms: int = 3) -> None:
        """All have arrived, once and in the order of each form."""
        arrived = [int(message["id"]) for message in self.bridge.journal]
        assert sorted(arrived) == list(range(count))
        for form in range(forms):
            mine = [number for number in arrived if number % forms == form]
            assert mine == sorted(mine), f"form {form} out of order"


def until(what: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    limit = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with FakeBridge() as bridge:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path}/application.sqlite"
            engine = create_engine(url)
            Base.metadata.create_all(engine)
            yield World(url, engine, bridge)
            engine.dispose()
            return
        server: PostgresServer = request.getfixturevalue("postgres_server")
        with server.database() as name:
            engine = create_engine(server.url(name, "+psycopg"))
            Base.metadata.create_all(engine)
            yield World(server.url(name), engine, bridge)
            engine.dispose()


# -- what it does when all is well


def test_in_order(world: World) -> None:
    """All pending rows arrive, in the order of each form, and are marked, each once."""
    world.write(2_500, forms=7)
    relay, outcome = world.once()
    assert outcome is Outcome.DONE
    world.check(2_500, forms=7)
    assert (relay.sent, relay.repeated, relay.refused) == (2_500, 0, 0)
    assert (world.count("pending"), world.count("sent")) == (0, 2_500)


def test_in_order_whatever_the_clock_says(world: World) -> None:
    """Rows of a program whose clock is slow, or was set back, keep their place: it is their id's."""
    for number in range(5):
        world.write(1, forms=1, first=number, at_ms=1_700_000_000_000 - number)
    world.once()
    world.check(5, forms=1)


def test_from_the_hook_to_the_bridge(world: World) -> None:
    """U38: what an application commits arrives by way of its outbox, with its contents; what it rolls back never does (U35)."""
    maker = sessionmaker(world.engine)
    hook = install(maker, outbox, jobs=True)
    with world.relaying(poll_s=0.05), maker() as session:
        session.add(Thing(id=1))
        session.commit()
        session.get_one(Thing, 1).a = 5
        session.flush()
        session.rollback()
        session.get_one(Thing, 1).a = 6
        session.commit()
        world.bridge.wait_for(lambda: len(world.bridge.journal) == 2)
    hook.remove()
    assert [message["change_set"].get("a") for message in world.bridge.journal] == [[None, 0], [0, 6]]
    assert [message["form"] for message in world.bridge.journal] == [f"{FORM}.1"] * 2


def test_deleted_or_kept(world: World) -> None:
    """Acknowledged rows are deleted at once, or kept for a time and then forgotten; a refused one stays."""
    world.bridge.doing = world.bridge.judged(lambda message: "not_allowed" if message["id"] == "0" else "")
    world.write(5)
    world.once(keep_s=0)
    assert (world.count("sent"), world.count("refused")) == (0, 1)
    world.write(5, first=5)
    world.once()
    assert world.count("sent") == 5
    too_long_ago = round(time.time() * 1000) - 3_700_000
    with world.engine.begin() as connection:
        old = (columns.message_id != "9") & columns.sent_at.is_not(None)
        connection.execute(update_(outbox.table).where(old).values(sent_at=too_long_ago))
    world.once(keep_s=3_600)
    assert (world.count("sent"), world.count("refused")) == (1, 1)


def test_woken_by_a_notification(postgres_server: PostgresServer) -> None:
    """PostgreSQL: a commit wakes the relay, long before it would have looked; a commit while it is at work too."""
    with FakeBridge() as bridge, postgres_server.database() as name:
        engine = create_engine(postgres_server.url(name, "+psycopg"))
        Base.metadata.create_all(engine)
        world = World(postgres_server.url(name), engine, bridge)
        with world.relaying(poll_s=60):
            until(lambda: leader_exists(world))
            for number in range(20):
                with Session(engine) as session:
                    outbox.add(session, Update(form=f"{FORM}.0", id=f"{number}"))
                    session.commit()
                if number % 2:
                    bridge.wait_for(partial(world.has_taken, number))
            bridge.wait_for(lambda: len(bridge.journal) == 20)
        engine.dispose()


def leader_exists(world: World) -> bool:
    with world.engine.connect() as connection:
        return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")))


# -- order and open transactions


def test_lower_id_is_committed_later(postgres_server: PostgresServer) -> None:
    """U38: a row whose transaction began first and committed last is not passed over, though higher ids were sent before it."""
    with FakeBridge() as bridge, postgres_server.database() as name:
        engine = create_engine(postgres_server.url(name, "+psycopg"))
        Base.metadata.create_all(engine)
        world = World(postgres_server.url(name), engine, bridge)
        with Session(engine) as early, Session(engine) as late:
            outbox.add(early, Update(form=f"{FORM}.1", id="early"))
            outbox.add(late, Update(form=f"{FORM}.2", id="late"))
            late.commit()
            world.once()
            assert [message["id"] for message in bridge.journal] == ["late"]
            early.commit()
            world.once()
        assert [message["id"] for message in bridge.journal] == ["late", "early"]
        with engine.connect() as connection:
            ids = list(connection.scalars(select(columns.message_id).order_by(columns.id)))
        assert ids == ["early", "late"], "the ids were not taken in the order that the test is about"
        engine.dispose()


def test_two_that_change_one_record(postgres_server: PostgresServer) -> None:
    """Of two transactions that change one record the later one waits for the row, so its id is the higher one."""
    with FakeBridge() as bridge, postgres_server.database() as name:
        engine = create_engine(postgres_server.url(name, "+psycopg"))
        Base.metadata.create_all(engine)
        world = World(postgres_server.url(name), engine, bridge)
        maker = sessionmaker(engine)
        with maker.begin() as session:
            session.add(Thing(id=1))
        hook = install(maker, outbox, jobs=True)

        def change() -> None:
            with maker.begin() as session:
                session.execute(update_(Thing).where(Thing.id == 1).values(a=2))
                session.get_one(Thing, 1).a = 3

        with maker() as first:
            first.get_one(Thing, 1).a = 1
            first.flush()
            second = threading.Thread(target=change)
            second.start()
            until(lambda: waits_for_a_lock(engine))
            first.commit()
            second.join(LIMIT_S)
        hook.remove()
        world.once()
        assert [message.get("change_set") for message in bridge.journal] == [{"a": [0, 1]}, None]
        engine.dispose()


def waits_for_a_lock(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


# -- a bridge that is away, busy, or refuses


def test_bridge_away(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """U38: with the bridge down nothing is lost or marked; when it is back all arrives. The log says so once."""
    caplog.set_level(logging.INFO, logger="formlock_push")
    world.bridge.stop()
    world.write(10)
    _, outcome = world.once(answer_s=0.2)
    assert outcome is Outcome.AWAY
    assert world.count("pending") == 10
    with world.relaying(answer_s=0.1):
        until(lambda: "does not answer" in caplog.text)
        time.sleep(1)  # for more attempts, of which the log must say nothing
        world.bridge.start()
        world.bridge.wait_for(lambda: len(world.bridge.journal) == 10)
    world.check(10)
    assert caplog.text.count("does not answer") == 1


def test_bridge_that_dies_again_and_again(world: World) -> None:
    """U38: a bridge that is stopped in mid-stream, answers lost on the way, costs no row and no order."""
    dice = random.Random(5)
    silent = threading.Event()
    world.bridge.doing = world.bridge.judged(lambda _message: None if silent.is_set() else "")
    world.write(3_000, forms=5)
    with world.relaying(answer_s=0.3) as relay:
        for _ in range(5):
            wanted = min(3_000, len(world.bridge.journal) + dice.randrange(1, 400))
            world.bridge.wait_for(partial(world.has_taken, wanted))
            if dice.random() < 0.5:
                silent.set()
                until(lambda: relay.postponed > 0)
            world.bridge.stop()
            silent.clear()
            world.bridge.start()
        until(lambda: world.count("pending") == 0, LONG_S)
    world.check(3_000, forms=5)
    assert relay.postponed > 0


def test_busy(world: World) -> None:
    """A bridge that asks for patience, at any message, gets the same rows later, in order."""
    dice = random.Random(7)
    world.bridge.doing = world.bridge.judged(lambda _message: "busy" if dice.random() < 0.02 else "")
    world.write(500, forms=4)
    with world.relaying() as relay:
        until(lambda: world.count("pending") == 0, LONG_S)
    world.check(500, forms=4)
    assert relay.postponed > 0
    assert relay.refused == 0


def test_refused(world: World) -> None:
    """A row that is refused for good is marked with the reason, counted and logged, and holds nobody up, not even its own form."""
    world.bridge.doing = world.bridge.judged(lambda message: "invalid_form" if int(message["id"]) % 10 == 3 else "")
    world.write(100)
    relay, outcome = world.once()
    assert outcome is Outcome.DONE
    assert (relay.sent, relay.refused) == (90, 10)
    assert world.count("refused") == 10
    with world.engine.connect() as connection:
        assert set(connection.scalars(select(columns.refused).where(columns.refused.is_not(None)))) == {"invalid_form"}
    # Once its cause is gone, the operator may have it sent again.
    world.bridge.doing = world.bridge.judged(lambda _message: "")
    with world.engine.begin() as connection:
        connection.execute(update_(outbox.table).values(refused=None))
    world.once()
    assert len(world.bridge.journal) == 100


def test_refused_without_a_name(world: World) -> None:
    """An answer that names no message is never taken for another row's: only the bad row is refused, all others arrive."""
    unanswered = iter(["19"])

    def judge(message: Message) -> str | None:
        # The answer before the nameless one is lost, so it would be the next in turn.
        return None if message["id"] == "19" and next(unanswered, None) else ""

    world.bridge.doing = world.bridge.judged(judge)
    world.write(20, forms=20)
    world.write_one("x" * 300, "{}", form=f"{FORM}.x")
    world.write(20, forms=20, first=20)
    relay = world.relay(answer_s=1.0)
    outcome = relay.run_once()
    relay._line.close()
    assert outcome is Outcome.DONE
    world.check(40, forms=20)
    assert (world.count("sent"), world.count("refused"), relay.refused) == (40, 1, 1)


def test_several_without_a_name(world: World) -> None:
    """Of several bad rows each is refused by its own answer; no good one is by an answer to what was asked before."""
    relay = world.relay()

    def judge(_message: Message) -> str:
        # What comes behind the first answer without a name comes when all is being asked again.
        until(lambda: relay._window == 1)
        return ""

    world.bridge.doing = world.bridge.judged(judge)
    world.write_one("x" * 300, "{}", form=f"{FORM}.x")
    world.write(1, forms=10)
    world.write_one("y" * 300, "{}", form=f"{FORM}.y")
    world.write(9, forms=10, first=1)
    outcome = relay.run_once()
    relay._line.close()
    assert outcome is Outcome.DONE
    world.check(10, forms=10)
    assert (world.count("sent"), world.count("refused"), relay.refused) == (10, 2, 2)
    # And then many are asked at once again.
    assert relay._window > 1


def test_an_answer_that_never_comes(world: World) -> None:
    """A row whose answer is left out, since the bridge died before its journal had it, is sent again, though others were taken."""
    unanswered = iter(["1"])
    world.bridge.doing = world.bridge.judged(lambda message: None if message["id"] == "1" and next(unanswered, None) else "")
    world.write(3)
    relay, outcome = world.once()
    assert outcome is Outcome.DONE
    world.check(3)
    assert (relay.postponed, world.count("sent")) == (1, 3)


def test_messages_of_other_writers(world: World) -> None:
    """What is no JSON is refused here; a message without a name, or with another one, goes out under its row's."""
    world.write_one("one", "no json")
    world.write_one("two", json.dumps({"form": f"{FORM}.0"}))
    world.write_one("three", json.dumps({"form": f"{FORM}.0", "id": 3, "source": "else", "status": "é\ud83d\ude00"}))
    world.write_one("four", json.dumps({"form": f"{FORM}.0", "id": "four", "source": "else"}))
    world.once()
    assert [(message["id"], message["source"]) for message in world.bridge.journal] == [("two", "s"), ("three", "s"), ("four", "s")]
    assert world.count("refused") == 1


def test_strange_answers(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """What is no answer acknowledges nothing and ends nothing: the rows are sent again."""
    strange: Any = lambda _message: ["thanks"]  # noqa: E731
    world.bridge.doing = strange
    world.write(3)
    _, outcome = world.once(answer_s=0.2)
    assert (outcome, world.count("pending")) == (Outcome.AWAY, 3)
    assert "something strange" in caplog.text
    world.bridge.doing = world.bridge.take
    world.once()
    world.check(3)


# -- relays that die, and several of them


def test_killed_between_acknowledgement_and_mark(world: World) -> None:
    """U38: a relay is killed when the bridge has rows that it could not mark yet: the next one sends them again, the bridge
    knows them, and each is told once."""
    world.write(50, forms=50)
    asked, answer = threading.Event(), threading.Event()

    def judge(_message: Message) -> str:
        asked.set()
        assert answer.wait(LIMIT_S)
        return ""

    world.bridge.doing = world.bridge.judged(judge)
    with world.engine.connect() as blocker:
        killed = world.process()
        assert asked.wait(LIMIT_S)
        # From here it can't write its marks.
        if world.engine.dialect.name == "sqlite":
            blocker.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            blocker.execute(select(outbox.table).with_for_update())
        answer.set()
        world.bridge.wait_for(lambda: len(world.bridge.journal) == 50)
        killed.send_signal(signal.SIGKILL)
        killed.wait(LIMIT_S)
        if world.engine.dialect.name == "postgresql":
            # Else the server would still do what its client had asked for before it died.
            blocker.execute(text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"))
            until(lambda: not leader_exists(world))
        pending = world.count("pending")
    assert pending > 0, "it had marked all of them"
    with world.relaying() as relay:
        until(lambda: world.count("pending") == 0)
    assert (relay.sent, relay.repeated, world.bridge.repeated) == (pending, pending, pending)
    world.check(50, forms=50)


def test_killed_again_and_again(world: World) -> None:
    """Killed at any moment, ten times: nothing lost, nothing twice, nothing out of order."""
    dice = random.Random(11)
    world.write(4_000, forms=9)
    for _ in range(10):
        process = world.process()
        wanted = min(4_000, len(world.bridge.journal) + dice.randrange(200))
        world.bridge.wait_for(partial(world.has_taken, wanted))
        process.send_signal(signal.SIGKILL)
        process.wait(LIMIT_S)
        release_lease(world)
    with world.relaying():
        until(lambda: world.count("pending") == 0, LONG_S)
    world.check(4_000, forms=9)


def release_lease(world: World) -> None:
    """So that the test need not wait until the dead relay's lease is over (10 s, SQLite only)."""
    if world.engine.dialect.name == "sqlite":
        with world.engine.begin() as connection:
            connection.execute(text("DELETE FROM formlock_outbox_lease"))


def test_stopped_in_mid_batch(world: World) -> None:
    """A relay that is told to stop waits for the answers to what is on its way, and marks it; it sends nothing more."""
    asked, stop = threading.Event(), threading.Event()

    relay = world.relay(answer_s=LIMIT_S)
    thread = threading.Thread(target=relay.run, args=(stop,))

    def judge(_message: Message) -> str:
        asked.set()
        assert stop.wait(LIMIT_S)
        # Time to end without the answer, for one that would.
        thread.join(0.3)
        return ""

    world.bridge.doing = world.bridge.judged(judge)
    world.write(5, forms=1)
    thread.start()
    assert asked.wait(LIMIT_S)
    stop.set()
    thread.join(LIMIT_S)
    relay._line.close()
    assert (world.bridge.seen, relay.sent, world.count("sent"), world.count("pending")) == (1, 1, 1, 4)


def test_one_works_at_a_time(world: World) -> None:
    """Of several relays one works; when it ends, or is killed, another one follows."""
    first = world.process()
    world.write(10)
    world.bridge.wait_for(lambda: len(world.bridge.journal) == 10)
    with world.relaying() as second:
        until(lambda: second._said is Outcome.FOLLOWS)
        assert world.once(within_s=0)[1] is Outcome.FOLLOWS
        world.write(10, first=10)
        world.bridge.wait_for(lambda: len(world.bridge.journal) == 20)
        assert second.sent == 0
        first.send_signal(signal.SIGTERM)
        assert first.wait(LIMIT_S) == 0
        world.write(10, first=20)
        world.bridge.wait_for(lambda: len(world.bridge.journal) == 30)
        until(lambda: second.sent == 10)
    assert world.bridge.repeated == 0


def test_lease_of_a_killed_relay_ends(world: World) -> None:
    """Where a row says who works, a killed relay is followed when its lease is over; on PostgreSQL at once."""
    process = world.process()
    world.write(1)
    world.bridge.wait_for(lambda: len(world.bridge.journal) == 1)
    process.send_signal(signal.SIGKILL)
    process.wait(LIMIT_S)
    killed_at = time.monotonic()
    world.write(1, first=1)
    with world.relaying():
        world.bridge.wait_for(lambda: len(world.bridge.journal) == 2)
    assert time.monotonic() - killed_at < LEASE_S + SLACK_S


def test_followed_while_it_was_held_up(tmp_path: Path) -> None:
    """A relay that was stopped in mid-batch for longer than its lease sends nothing more of what it had read, when another one has
    followed: by then the bridge may no longer know the repetitions."""
    url = f"sqlite:///{tmp_path}/application.sqlite"
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    asked, answer = threading.Event(), threading.Event()

    def judge(_message: Message) -> str:
        asked.set()
        assert answer.wait(LIMIT_S)
        return ""

    with FakeBridge() as bridge:
        world = World(url, engine, bridge)
        bridge.doing = bridge.judged(judge)
        world.write(10, forms=10)
        with world.relaying(window=1, answer_s=LIMIT_S) as relay:
            assert asked.wait(LIMIT_S)
            held_up: Any = relay._database
            with engine.begin() as connection:
                connection.execute(text("UPDATE formlock_outbox_lease SET holder = 'another', until_ms = 9999999999999"))
            held_up._renew_at = float("-inf")
            answer.set()
            until(lambda: relay._said is Outcome.FOLLOWS)
        assert (bridge.seen, relay.sent, world.count("pending")) == (1, 1, 9)
    engine.dispose()


def test_database_that_goes_away(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A database that fails is opened again; the relay lives on."""
    with world.relaying(poll_s=0.05) as relay:
        world.write(5)
        world.bridge.wait_for(lambda: len(world.bridge.journal) == 5)
        until(lambda: world.count("pending") == 0)
        if world.engine.dialect.name == "postgresql":
            with world.engine.begin() as connection:
                connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"))
        else:
            with world.engine.begin() as connection:
                connection.execute(text("ALTER TABLE formlock_outbox RENAME TO elsewhere"))
            until(lambda: relay.failures > 0)
            with world.engine.begin() as connection:
                connection.execute(text("ALTER TABLE elsewhere RENAME TO formlock_outbox"))
        world.write(5, first=5)
        world.bridge.wait_for(lambda: len(world.bridge.journal) == 10)
        until(lambda: relay.failures > 0)
    world.check(10)
    assert "the outbox's database failed" in caplog.text


# -- keys


def test_keys(tmp_path: Path) -> None:
    """With keys that the bridge refuses nothing gets out; once it knows them all arrives, without a new relay, though ZeroMQ itself
    would never try again."""
    keys, server_secret = made_keys()
    url = f"sqlite:///{tmp_path}/application.sqlite"
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    with FakeBridge(secret_key=server_secret, allowed=set()) as bridge:
        world = World(url, engine, bridge)
        world.write(10)
        line = Line(bridge.address, keys)
        relay = Relay(connector(url), line, answer_s=0.3)
        assert relay.run_once() is Outcome.AWAY
        stop = threading.Event()
        thread = threading.Thread(target=relay.run, args=(stop,))
        thread.start()
        until(lambda: line._ended)
        bridge.allowed = {keys.public_key}
        bridge.wait_for(lambda: len(bridge.journal) == 10)
        stop.set()
        thread.join(LIMIT_S)
        line.close()
        world.check(10)
    engine.dispose()


# -- the command


def test_command_once(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """`--once` relays what is there and ends with 0, or 1 when not all was taken. `--status` says what is in the outbox."""
    world.bridge.doing = world.bridge.judged(lambda message: "invalid_form" if message["id"] == "1" else "")
    world.write(3)
    options = ["--database", world.url, "--address", world.bridge.address]
    assert command([*options, "--status"]) == 0
    assert capsys.readouterr().out.startswith("pending 3\noldest_pending_s ")
    assert command([*options, "--once"]) == 0
    assert capsys.readouterr().out == "sent 2\nrefused 1\n"
    assert command([*options, "--status"]) == 0
    assert capsys.readouterr().out == "pending 0\nsent 2\nrefused 1\nrefused_invalid_form 1\n"
    world.bridge.stop()
    world.write(1, first=3)
    assert command([*options, "--once"]) == 1
    assert "away" in capsys.readouterr().err
    with world.engine.begin() as connection:
        connection.execute(delete(outbox.table))


def test_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong word is answered with a sentence and 2, a database that is not there with 1; none is made by mistake."""
    monkeypatch.delenv("FORMLOCK_OUTBOX_DATABASE", raising=False)
    wrong = (
        [],
        ["--database", "oracle://x"],
        ["--database", "sqlite://"],
        ["--database", "sqlite:///x", "--keep", "7"],
        ["--database", "sqlite:///x", "--keep", "-1d"],
        ["--database", "sqlite:///x", "--once", "--status"],
    )
    for arguments in wrong:
        with pytest.raises(SystemExit) as ended:
            command(arguments)
        assert ended.value.code == 2
    missing = tmp_path / "missing.sqlite"
    assert command(["--database", f"sqlite:///{missing}", "--status"]) == 1
    assert "unable to open" in capsys.readouterr().err
    assert not missing.exists()


def test_without_sqlalchemy_and_drivers() -> None:
    """The relay of an outbox in SQLite needs pyzmq and Python."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['sqlalchemy', 'psycopg', 'pymysql', 'msgspec', 'formlock']));"
        "import formlock_push.relay_command, formlock_push.outbox"
    )
    bridge = str(Path(__file__).parents[2] / "bridge")
    ended = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": bridge}, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
