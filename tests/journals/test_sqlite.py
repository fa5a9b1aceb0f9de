"""The SQLite journal: conformance, and what only a file can do: fail, be taken over, outlive a crash."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from formlock.errors import NotActive
from formlock.testing import FakeClock
from formlock.testing.clock import Task
from formlock_bridge.journals import Arrival, JournalError, Keeping, open_journal, sqlite_rows
from formlock_bridge.journals.sqlite import FLUSH_MS, TIDY_MS, SqliteJournal
from formlock_bridge.testing import JournalConformance
from formlock_bridge.testing.conformance import FORM, PLENTY, arrivals, seqs
from tests.support.node import ROOT
from tests.support.sqlite import from_outside


def opened(clock: FakeClock, path: Path, keeping: Keeping | None = None) -> SqliteJournal:
    return clock.run(SqliteJournal.open(path / "journal.sqlite", clock, lambda: "epoch-1", keeping))


class TestSqlite(JournalConformance):
    def open(self, clock: FakeClock, tmp_path: Path, keeping: Keeping | None = None) -> SqliteJournal:
        return opened(clock, tmp_path, keeping)


def on_writer(journal: SqliteJournal, clock: FakeClock, work: Callable[[sqlite3.Connection], Any]) -> None:
    """Do something to the writer's own connection, and wait until it is done."""
    done = clock.promise()

    def job(connection: sqlite3.Connection) -> None:
        work(connection)
        clock.from_thread(lambda: done.keep(None))

    journal._work.put(job)

    async def wait() -> None:
        await done

    clock.run(wait())


def rows(path: Path, sql: str) -> list[Any]:
    """What another connection reads."""
    with closing(sqlite3.connect(path / "journal.sqlite")) as connection:
        return connection.execute(sql).fetchall()


def test_durable_before_the_answer(tmp_path: Path) -> None:
    """U38: when `append` has answered, another connection reads the update from the file."""
    clock = FakeClock()
    journal = opened(clock, tmp_path)
    task = Task(journal.append(arrivals(FORM)))
    assert not task.done, "answered before it was written"
    clock.settle(task)
    assert rows(tmp_path, "SELECT form, seq FROM entry") == [(FORM, 1)]
    clock.run(journal.close())


def test_somebody_looks_at_it(tmp_path: Path) -> None:
    """U38: another process may open the file and close it again, as `sqlite3 FILE` does: what is acknowledged afterwards is in the
    file that the next bridge will find."""
    clock = FakeClock()
    journal = opened(clock, tmp_path)
    for seq in (1, 2, 3):
        clock.run(journal.append(arrivals(FORM)))
        assert from_outside(tmp_path / "journal.sqlite", "SELECT max(seq) FROM entry") == [[seq]]
    clock.run(journal.close())


def test_a_full_disk(tmp_path: Path) -> None:
    """U38: a commit that does not fit is answered with an error and leaves nothing behind, no number and no name; when there is room
    again, the same message gets the next number, and marks that could not be written are not forgotten."""
    clock = FakeClock()
    journal = opened(clock, tmp_path)
    clock.run(journal.append(arrivals(FORM)))
    journal.published(FORM, 1)
    big = [Arrival(FORM, b"x" * 60_000, 0, "s", str(n)) for n in range(20)]

    def limit(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA cache_size = 1")
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 10}")

    on_writer(journal, clock, limit)
    with pytest.raises(NotActive):
        clock.run(journal.append(big))
    assert not journal.stepped_down
    assert clock.run(journal.after(FORM, 0, PLENTY)).seq == 1
    on_writer(journal, clock, lambda connection: connection.execute("PRAGMA max_page_count = 1000000"))
    assert seqs(clock.run(journal.append(big))) == list(range(2, 22))
    assert seqs(clock.run(journal.unpublished())) == list(range(2, 22))
    assert rows(tmp_path, "SELECT kept, kept_bytes, forms FROM journal") == [(21, 1_200_002, 1)]
    clock.run(journal.close())


def test_a_commit_that_succeeded_although_it_reported_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file decides: what is in it has its number, and is told as any other."""
    clock = FakeClock()
    journal = opened(clock, tmp_path)

    class Lying:
        def __init__(self, real: sqlite3.Connection) -> None:
            self.real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def execute(self, sql: str, *args: Any) -> Any:
            answer = self.real.execute(sql, *args)
            if sql == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return answer

    write = sqlite_rows.write
    monkeypatch.setattr(sqlite_rows, "write", lambda connection, *rest: write(Lying(connection), *rest))  # type: ignore[arg-type]
    assert seqs(clock.run(journal.append(arrivals(FORM, FORM)))) == [1, 2]
    monkeypatch.undo()
    assert seqs(clock.run(journal.append(arrivals(FORM)))) == [3]
    clock.run(journal.close())


def test_taken_over(tmp_path: Path) -> None:
    """Two processes on one file: the first one's next commit fails, and it keeps nothing again; the second goes on counting."""
    clock = FakeClock()
    first = opened(clock, tmp_path)
    clock.run(first.append(arrivals(FORM)))
    second = opened(clock, tmp_path)
    with pytest.raises(NotActive):
        clock.run(first.append(arrivals(FORM)))
    assert first.stepped_down
    with pytest.raises(NotActive):
        clock.run(first.after(FORM, 0, PLENTY))
    assert seqs(clock.run(second.append(arrivals(FORM)))) == [2]
    clock.run(first.close())
    clock.run(second.close())


def test_marks_are_written_alone_within_a_second(tmp_path: Path) -> None:
    """Nothing else has to come; and the reason of what was parked is in the file."""
    clock = FakeClock()
    journal = opened(clock, tmp_path)
    clock.run(journal.append(arrivals(FORM, FORM, FORM)))
    journal.published(FORM, 1)
    journal.parked(FORM, 2, 2, "wamp.error.not_authorized")
    assert rows(tmp_path, "SELECT published FROM form") == [(0,)]
    clock.advance(FLUSH_MS)
    on_writer(journal, clock, lambda _: None)
    assert rows(tmp_path, "SELECT published FROM form") == [(2,)]
    assert rows(tmp_path, "SELECT seq, parked FROM entry") == [(1, None), (2, "wamp.error.not_authorized"), (3, None)]
    clock.run(journal.close())


def test_what_is_too_old_goes_although_nothing_comes(tmp_path: Path) -> None:
    """Within an hour of its age, so that nothing is kept for longer than was said."""
    clock = FakeClock()
    journal = opened(clock, tmp_path, Keeping(age_ms=1_000))
    clock.run(journal.append(arrivals(FORM, at=clock.wall())))
    journal.published(FORM, 1)
    clock.advance(TIDY_MS)
    on_writer(journal, clock, lambda _: None)
    assert rows(tmp_path, "SELECT COUNT(*) FROM entry") == [(0,)]
    clock.run(journal.close())


def test_a_lost_file_is_another_epoch(tmp_path: Path) -> None:
    """Numbers begin anew, and the epoch says so."""
    clock = FakeClock()
    clock.run(opened(clock, tmp_path).close())
    for file in tmp_path.iterdir():
        file.unlink()
    journal = clock.run(SqliteJournal.open(tmp_path / "journal.sqlite", clock, lambda: "epoch-2"))
    assert journal.epoch == "epoch-2"
    clock.run(journal.close())


def test_unusable_files(tmp_path: Path) -> None:
    """A file that is no database, or of a later version, and a folder that can't be made, are one clear sentence."""
    clock = FakeClock()
    clock.run(opened(clock, tmp_path).close())
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(JournalError, match="version that this one can't read"):
        opened(clock, tmp_path)
    (tmp_path / "journal.sqlite").write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(JournalError, match=r"journal\.sqlite can't be opened"):
        opened(clock, tmp_path)
    with pytest.raises(JournalError, match="can't be opened"):
        opened(clock, tmp_path / "journal.sqlite")


def test_only_for_this_account(tmp_path: Path) -> None:
    """The file holds what records contain: nobody else may read it."""
    clock = FakeClock()
    clock.run(opened(clock, tmp_path).close())
    assert stat.S_IMODE((tmp_path / "journal.sqlite").stat().st_mode) == 0o600


@pytest.mark.parametrize("url", ["", "sqlite", "sqlite:x", "sqlite:///", "postgres://x", "memory:x"])
def test_unknown_urls(url: str, tmp_path: Path) -> None:
    """A URL that means nothing is refused with what would."""
    clock = FakeClock()
    with pytest.raises(ValueError, match="memory: or sqlite:///FILE"):
        clock.run(open_journal(url, clock, lambda: "e", tmp_path))


def test_urls(tmp_path: Path) -> None:
    """`sqlite:///file` is relative to the node's folder, `memory:` needs nothing."""
    clock = FakeClock()
    clock.run(clock.run(open_journal("sqlite:///sub/x.sqlite", clock, lambda: "e", tmp_path)).close())
    assert (tmp_path / "sub" / "x.sqlite").exists()
    assert clock.run(open_journal("memory:", clock, lambda: "e", tmp_path)).epoch == "e"


KILLED = """
import sys
from pathlib import Path
from formlock.testing import FakeClock
from formlock_bridge.journals import Arrival
from formlock_bridge.journals.sqlite import SqliteJournal

clock = FakeClock()
journal = clock.run(SqliteJournal.open(Path(sys.argv[1]), clock, lambda: "e"))
number = int(sys.argv[2])
while True:
    come = [Arrival("abc"[n % 3], b"x" * 200, 0, "s", f"{number}-{n}") for n in range(50)]
    for form in "abc":
        journal.published(form, number)
    for outcome in clock.run(journal.append(come)):
        print(outcome.form, outcome.seq, flush=True)
    number += 1
"""


@pytest.mark.parametrize("restarts", [4])
def test_killed(tmp_path: Path, restarts: int) -> None:
    """U38: killed with -9 in the middle of writing, again and again: everything that was answered is there, numbers go on without a
    gap, and the counts agree with what is in the file."""
    path = tmp_path / "journal.sqlite"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'components'}:{ROOT / 'bridge'}"}
    answered: dict[str, int] = {}
    for restart in range(restarts):
        command = [sys.executable, "-c", KILLED, str(path), str(restart * 1_000_000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            for _ in range(300 + 171 * restart):
                form, seq = process.stdout.readline().split()
                answered[form] = int(seq)
            process.kill()
            for line in process.stdout:
                if line.endswith("\n") and len(line.split()) == 2:
                    form, text = line.split()
                    answered[form] = int(text)
        clock = FakeClock()
        journal = opened(clock, tmp_path)
        for form, newest in answered.items():
            page = clock.run(journal.after(form, 0, PLENTY))
            assert page.seq >= newest
            assert seqs(page.entries) == list(range(page.seq - len(page.entries) + 1, page.seq + 1))
        counted = "SELECT kept, kept_bytes, forms FROM journal"
        assert rows(tmp_path, counted) == rows(
            tmp_path, "SELECT (SELECT COUNT(*) FROM entry), (SELECT SUM(LENGTH(message)) FROM entry), (SELECT COUNT(*) FROM form)"
        )
        clock.run(journal.close())


def test_no_commit_looks_at_the_whole_journal(tmp_path: Path) -> None:
    """Writing, throwing away and reading use an index, or the first rows, whatever the journal has grown to."""
    clock = FakeClock()
    journal = opened(clock, tmp_path, Keeping(per_form=10, in_all=20, ids=5, id_ms=0))
    said: list[str] = []
    on_writer(journal, clock, lambda connection: connection.set_trace_callback(said.append))
    for n in range(100):
        clock.run(journal.append([Arrival("abcdefgh"[n % 8], b"x", 0, "s", str(n))]))
        journal.published("abcdefgh"[n % 8], n // 8 + 1)
    clock.run(journal.append(()))
    on_writer(journal, clock, lambda connection: connection.set_trace_callback(None))
    statements = {
        statement
        for statement in said
        if "UPDATE journal" not in statement and any(table in statement for table in (" entry", " name", " form "))
    }
    assert any(statement.startswith("DELETE FROM name") for statement in statements)
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as connection:
        for statement in statements:
            for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
                first_rows = "ORDER BY number" in statement and step in ("SCAN entry", "SCAN name")
                assert first_rows or not step.startswith("SCAN") or "USING" in step, (statement, step)
                assert "TEMP B-TREE" not in step, (statement, step)
    assert rows(tmp_path, "SELECT COUNT(*) FROM entry") == [(20,)]
    assert rows(tmp_path, "SELECT COUNT(*) FROM name") == [(5,)]
    clock.run(journal.close())
