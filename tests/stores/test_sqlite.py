"""The SQLite store: conformance, and what only a file can do: fail, be taken over, outlive a crash."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from formlock.drafts import KEPT_MS
from formlock.errors import NotActive
from formlock.history import Asked, Keeping
from formlock.locks import LockComponent
from formlock.model import FormId
from formlock.stores import StoreError, open_store
from formlock.stores.sqlite import FLUSH_MS, TIDY_MS, SqliteStore
from formlock.testing import FakeClock, StoreConformance
from formlock.testing.clock import Task
from formlock.testing.conformance import ONE, TWO, draft, freed, given, granted, moved, one, refused, told
from tests.support.sqlite import from_outside


def opened(clock: FakeClock, path: Path, keeping: Keeping | None = None) -> SqliteStore:
    return clock.run(SqliteStore.open(path / "locks.sqlite", clock, lambda: "epoch-1", keeping))


class TestSqlite(StoreConformance):
    def open(self, clock: FakeClock, tmp_path: Path, keeping: Keeping | None = None) -> SqliteStore:
        return opened(clock, tmp_path, keeping)


def on_writer(store: SqliteStore, clock: FakeClock, work: Callable[[sqlite3.Connection], Any]) -> None:
    """Do something to the writer's own connection, and wait until it is done."""
    done = clock.promise()

    def job(connection: sqlite3.Connection) -> None:
        work(connection)
        clock.from_thread(lambda: done.keep(None))

    store._work.put(job)

    async def wait() -> None:
        await done

    clock.run(wait())


def test_durable_before_the_answer(tmp_path: Path) -> None:
    """When `transact` has answered, another connection reads the decision from the file."""
    clock = FakeClock()
    store = opened(clock, tmp_path)
    task = Task(one(store, ONE, given))
    assert not task.done, "answered before it was written"
    clock.settle(task)
    rows = sqlite3.connect(tmp_path / "locks.sqlite").execute("SELECT form FROM form").fetchall()
    assert rows == [(str(ONE),)]
    clock.run(store.close())


def test_somebody_looks_at_it(tmp_path: Path) -> None:
    """Another process may open the file and close it again, as `sqlite3 FILE` does: what is decided afterwards is in the file that
    the next worker will find."""
    clock = FakeClock()
    store = opened(clock, tmp_path)
    for form, count in ((ONE, 1), (TWO, 2)):
        clock.run(one(store, form, given))
        assert from_outside(tmp_path / "locks.sqlite", "SELECT count(*) FROM form") == [[count]]
    clock.run(store.close())


def test_reads_wait_for_durability(tmp_path: Path) -> None:
    """What builds on a decision in flight (a read, a renewal) is not answered before that decision is durable."""
    clock = FakeClock()
    store = opened(clock, tmp_path)
    write = Task(one(store, ONE, given))
    read, renewal = Task(store.read(ONE)), Task(one(store, ONE, moved(5)))  # type: ignore[arg-type]
    assert not read.done
    assert not renewal.done
    assert clock.settle(read).lease is not None
    assert write.done
    assert clock.settle(renewal).state.lease.deadline == 5
    clock.run(store.close())


def test_renewal_costs_no_write(tmp_path: Path) -> None:
    """A decision without events is answered at once and writes nothing."""
    clock = FakeClock()
    store = opened(clock, tmp_path)
    clock.run(one(store, ONE, given))
    before = (tmp_path / "locks.sqlite-wal").read_bytes()
    assert Task(one(store, ONE, moved(5))).done  # type: ignore[arg-type]
    clock.run(one(store, TWO, given))
    clock.run(store.close())
    store = opened(clock, tmp_path)
    assert before
    assert clock.run(store.read(ONE)).lease.deadline is None  # type: ignore[union-attr]
    clock.run(store.close())


def test_failed_commit_takes_everything_back(tmp_path: Path) -> None:
    """A commit that fails takes back its own batch and what was gathered behind it; the callers get NotActive, deadlines survive,
    and the next decision works."""
    clock = FakeClock()
    store = opened(clock, tmp_path)
    clock.run(one(store, ONE, given))
    clock.run(one(store, ONE, moved(77_000)))  # type: ignore[arg-type]
    before = clock.run(store.read(ONE))
    on_writer(store, clock, lambda connection: connection.execute("PRAGMA query_only = ON"))
    failing = [Task(one(store, ONE, freed)), Task(one(store, ONE, given)), Task(one(store, TWO, given))]
    waiting = Task(store.read(ONE))
    for task in [*failing, waiting]:
        with pytest.raises(NotActive):
            clock.settle(task)
    on_writer(store, clock, lambda connection: connection.execute("PRAGMA query_only = OFF"))
    assert clock.run(store.read(ONE)) == before
    assert clock.run(store.read(TWO)).lease is None
    assert clock.run(one(store, ONE, given)).state.token == before.token + 1
    clock.run(store.close())


def test_commit_that_succeeded_although_it_reported_an_error(tmp_path: Path) -> None:
    """The file decides: a batch that is in it counts, even if its commit raised, and is answered (and so told) as any other."""
    clock = FakeClock()
    store = opened(clock, tmp_path)

    class Lying:
        def __init__(self, real: sqlite3.Connection) -> None:
            self.real = real
            self.in_transaction = False

        def execute(self, sql: str, *args: Any) -> Any:
            answer = self.real.execute(sql, *args)
            if sql == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return answer

        def executemany(self, *args: Any) -> Any:
            return self.real.executemany(*args)

    write = store._write
    store._write = lambda connection, batch: write(Lying(connection), batch)  # type: ignore[assignment,arg-type,method-assign]
    assert clock.run(one(store, ONE, given)).state.lease is not None
    store._write = write  # type: ignore[method-assign]
    state = clock.run(store.read(ONE))
    assert state.lease is not None
    assert state.lease.deadline == 90_000
    clock.run(store.close())


def test_a_failed_commit_takes_back_no_renewal_that_was_answered(tmp_path: Path) -> None:
    """A renewal between two decisions is answered with the first one's commit; when the second one's fails, its deadline stays."""
    clock = FakeClock()
    store = opened(clock, tmp_path)
    write = store._write
    batches = 0

    def failing(connection: sqlite3.Connection, batch: Any) -> None:
        nonlocal batches
        batches += 1
        if batches == 2:
            clock.from_thread(lambda: store._failed(batch, sqlite3.OperationalError("disk I/O error")))
        else:
            write(connection, batch)

    store._write = failing  # type: ignore[method-assign]
    granted = Task(one(store, ONE, given))
    renewed = Task(one(store, ONE, moved(150_000)))  # type: ignore[arg-type]
    again = Task(one(store, ONE, given))
    clock.settle(granted)
    clock.settle(renewed)
    with pytest.raises(NotActive):
        clock.settle(again)
    lease = clock.run(store.read(ONE)).lease
    assert lease is not None
    assert lease.deadline == 150_000
    clock.run(store.close())


def test_taken_over(tmp_path: Path) -> None:
    """Two processes on one file: the first one's next write fails and it steps down; the second goes on with higher tokens."""
    clock = FakeClock()
    first = opened(clock, tmp_path)
    token = clock.run(one(first, ONE, given)).state.token
    second = opened(clock, tmp_path)
    with pytest.raises(NotActive):
        clock.run(one(first, ONE, given))
    assert first.stepped_down
    with pytest.raises(NotActive):
        clock.run(first.read(ONE))
    assert clock.run(one(second, ONE, given)).state.token == token + 1
    clock.run(first.close())
    clock.run(second.close())


def test_a_lost_file_is_another_epoch_with_higher_tokens(tmp_path: Path) -> None:
    """Tokens rise even when the whole file is deleted: the first one comes from the wall clock."""
    clock = FakeClock()
    store = opened(clock, tmp_path)
    token = clock.run(one(store, ONE, given)).state.token
    clock.run(store.close())
    for file in tmp_path.iterdir():
        file.unlink()
    clock.advance(1_000)
    store = clock.run(SqliteStore.open(tmp_path / "locks.sqlite", clock, lambda: "epoch-2"))
    assert store.epoch == "epoch-2"
    assert clock.run(one(store, ONE, given)).state.token > token
    clock.run(store.close())


def test_unusable_files(tmp_path: Path) -> None:
    """A file that is no database, and a folder that can't be made, are one clear sentence."""
    clock = FakeClock()
    (tmp_path / "locks.sqlite").write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(StoreError, match=r"locks\.sqlite can't be opened"):
        opened(clock, tmp_path)
    with pytest.raises(StoreError, match="can't be opened"):
        opened(clock, tmp_path / "locks.sqlite")


def test_state_of_another_version(tmp_path: Path) -> None:
    """A state that this version can't read is refused at the start, not guessed at."""
    clock = FakeClock()
    store = opened(clock, tmp_path)
    clock.run(one(store, ONE, given))
    clock.run(store.close())
    with sqlite3.connect(tmp_path / "locks.sqlite") as connection:
        connection.execute("UPDATE form SET state = '{\"future\": 1}'")
    connection.close()
    with pytest.raises(StoreError, match="can't read"):
        opened(clock, tmp_path)


def test_only_for_this_account(tmp_path: Path) -> None:
    """The file names users: nobody else may read it."""
    clock = FakeClock()
    clock.run(opened(clock, tmp_path).close())
    assert stat.S_IMODE((tmp_path / "locks.sqlite").stat().st_mode) == 0o600


def test_many_forms_in_few_commits(tmp_path: Path) -> None:
    """A thousand decisions at once share commits, and all are there afterwards."""
    clock = FakeClock()
    store = opened(clock, tmp_path)
    batches = []
    write = store._write
    store._write = lambda connection, batch: (batches.append(len(batch.states)), write(connection, batch))  # type: ignore[assignment,method-assign,func-returns-value]
    tasks = [Task(one(store, FormId("t", str(number)), given)) for number in range(1000)]
    for task in tasks:
        clock.settle(task)
    clock.run(store.close())
    assert sum(batches) == 1000
    assert len(batches) <= 4
    store = opened(clock, tmp_path)
    assert len(store.held()) == 1000
    clock.run(store.close())


@pytest.mark.parametrize("url", ["", "sqlite", "sqlite:x", "sqlite:///", "postgres://x", "memory:x"])
def test_unknown_urls(url: str, tmp_path: Path) -> None:
    """A store URL that means nothing is refused with what would."""
    clock = FakeClock()
    with pytest.raises(ValueError, match="memory: or sqlite:///FILE"):
        clock.run(open_store(url, clock, lambda: "e", tmp_path))
    # Before anything is started, and not again and again.
    with pytest.raises(ValueError, match="no store is known by"):
        LockComponent.check_config(None, {"store": url})


def test_urls(tmp_path: Path) -> None:
    """`sqlite:///file` is relative to the node's folder, `memory:` needs nothing."""
    clock = FakeClock()
    clock.run(clock.run(open_store("sqlite:///sub/x.sqlite", clock, lambda: "e", tmp_path)).close())
    assert (tmp_path / "sub" / "x.sqlite").exists()
    assert clock.run(open_store("memory:", clock, lambda: "e", tmp_path)).epoch == "e"


# -- history and drafts


def rows(path: Path, sql: str) -> list[Any]:
    """What another connection reads."""
    connection = sqlite3.connect(path / "locks.sqlite")
    found = connection.execute(sql).fetchall()
    connection.close()
    return found


def settled(store: SqliteStore, clock: FakeClock) -> None:
    """Until the writer has done what it has been given, and what has gathered behind it."""

    async def wait() -> None:
        while store._in_flight is not None:
            await store._in_flight.written

    clock.run(wait())


def test_the_history_is_in_the_same_commit(tmp_path: Path) -> None:
    """A decision and its entry are in the file together, or neither is: a commit that fails leaves no entry behind."""
    clock = FakeClock()
    store = opened(clock, tmp_path)
    clock.run(one(store, ONE, told(granted(1))))
    assert rows(tmp_path, "SELECT what, rev FROM history") == [("granted", 1)]
    on_writer(store, clock, lambda connection: connection.execute("PRAGMA query_only = ON"))
    with pytest.raises(NotActive):
        clock.run(one(store, ONE, told(granted(2))))
    on_writer(store, clock, lambda connection: connection.execute("PRAGMA query_only = OFF"))
    clock.run(one(store, ONE, told(granted(2))))
    assert rows(tmp_path, "SELECT rev FROM history ORDER BY number") == [(1,), (2,)]
    clock.run(store.close())


def test_refusals_alone_are_written_within_a_second(tmp_path: Path) -> None:
    """Nobody has to ask, and nothing else has to happen; a hundred of them are one row."""
    clock = FakeClock()
    store = opened(clock, tmp_path)
    for _ in range(100):
        clock.run(one(store, ONE, told(refused(0))))
    assert rows(tmp_path, "SELECT * FROM history") == []
    clock.advance(FLUSH_MS)
    settled(store, clock)
    assert rows(tmp_path, "SELECT what, times FROM history") == [("refused", 100)]
    clock.run(store.close())


def test_what_is_too_old_goes_although_nothing_happens(tmp_path: Path) -> None:
    """Within an hour of its age, so that nothing is kept for longer than was said."""
    clock = FakeClock()
    store = opened(clock, tmp_path, Keeping(days=8))
    clock.run(one(store, ONE, told(granted(1, clock.wall()))))
    clock.run(store.put_draft(draft(5, wall=clock.wall())))
    clock.advance(KEPT_MS + 2 * TIDY_MS)
    settled(store, clock)
    assert rows(tmp_path, "SELECT token FROM draft") == []
    assert rows(tmp_path, "SELECT rev FROM history") == [(1,)]
    clock.advance(86_400_000)
    settled(store, clock)
    assert rows(tmp_path, "SELECT rev FROM history") == []
    clock.run(store.close())


def test_an_entry_of_another_version_is_left_out(tmp_path: Path) -> None:
    """What this version can't read hides nothing else."""
    clock = FakeClock()
    store = opened(clock, tmp_path)
    for rev in (1, 2, 3):
        clock.run(one(store, ONE, told(granted(rev))))
    on_writer(store, clock, lambda connection: connection.execute("UPDATE history SET what = 'teleported' WHERE rev = 1"))
    on_writer(store, clock, lambda connection: connection.execute("UPDATE history SET event = '{}' WHERE rev = 2"))
    page = clock.run(store.history(Asked(ONE, since=0)))
    assert [entry.event.rev for entry in page.entries] == [3]
    clock.run(store.close())


def test_a_draft_is_durable_before_the_answer(tmp_path: Path) -> None:
    """A page closes when it hears that its text is safe."""
    clock = FakeClock()
    store = opened(clock, tmp_path)
    task = Task(store.put_draft(draft(5)))
    assert not task.done
    clock.settle(task)
    assert rows(tmp_path, "SELECT token, user FROM draft") == [(5, "ann")]
    on_writer(store, clock, lambda connection: connection.execute("PRAGMA query_only = ON"))
    with pytest.raises(NotActive):
        clock.run(store.put_draft(draft(6)))
    clock.run(store.close())


def test_reading_waits_for_no_writer(tmp_path: Path) -> None:
    """The history is read while a commit stands still, and a reader that stands still keeps no commit waiting."""
    clock = FakeClock()
    store = opened(clock, tmp_path)
    clock.run(one(store, ONE, told(granted(1))))
    write_on, read_on = threading.Event(), threading.Event()
    store._work.put(lambda _: write_on.wait(10) and None)
    assert len(clock.run(store.history(Asked(ONE, since=0))).entries) == 1
    write_on.set()
    store._reads.put(lambda _: read_on.wait(10) and None)
    clock.run(one(store, ONE, told(granted(2))))
    read_on.set()
    clock.run(store.close())


def test_no_commit_looks_at_the_whole_history(tmp_path: Path) -> None:
    """Writing and throwing away use an index, or the first rows, whatever the history has grown to."""
    clock = FakeClock()
    store = opened(clock, tmp_path, Keeping(days=1, per_form=10, in_all=100))
    clock.run(one(store, ONE, told(granted(1))))
    said: list[str] = []
    on_writer(store, clock, lambda connection: connection.set_trace_callback(said.append))
    for rev in range(2, 202):
        clock.run(one(store, ONE, told(granted(rev), refused(rev, user=f"user{rev}"))))
    clock.run(store.put_draft(draft(5)))
    clock.run(store.history(Asked(ONE, since=5)))
    on_writer(store, clock, lambda connection: connection.set_trace_callback(None))
    statements = {statement for statement in said if "history" in statement or "draft" in statement}
    assert any("DELETE FROM history" in statement and "form =" in statement for statement in statements)
    connection = sqlite3.connect(tmp_path / "locks.sqlite")
    for statement in statements:
        for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
            first_rows = "FROM history ORDER BY number LIMIT" in statement and (step == "SCAN history" or "subquery" in step)
            assert not step.startswith("SCAN") or first_rows or "USING" in step, (statement, step)
            assert "TEMP B-TREE" not in step, (statement, step)
    connection.close()
    clock.run(store.close())


def test_a_file_of_version_0_1(tmp_path: Path) -> None:
    """An update finds the file of before: its leases are forgotten, its tokens and revs go on, and it starts."""
    clock = FakeClock()
    clock.run(opened(clock, tmp_path).close())
    old = (
        b'{"form":["invoice","1"],"token":1764000000123,"rev":7,"lease":{"owner":["ann","a"],"name":"Ann","token":1764000000123,'
        b'"session":5,"granted_wall":1,"deadline":9,"note":"","heard_at":3,"probe":null,"silent":false},"left":null,'
        b'"attempts":[[["ann","a"],"r1",1764000000123,5]]}'
    )
    with closing(sqlite3.connect(tmp_path / "locks.sqlite")) as connection, connection:
        connection.execute("INSERT INTO form VALUES (?, ?)", (str(ONE), old))
    state = clock.run(opened(clock, tmp_path).read(ONE))
    assert (state.token, state.rev, state.holds) == (1764000000123, 7, ())
    assert [attempt.rid for attempt in state.attempts] == ["r1"]
