"""The file in which updates wait, by itself: what is on the disk, in which order it is read, and who drains it."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from formlock_push import spool as spool_module
from formlock_push.letter import Letter
from formlock_push.spool import Bounds, Spool, Unusable
from tests.support.sqlite import from_outside

FORM = "com.example.form.invoice.42"
PLENTY = 1 << 20
BRIDGE = str(Path(__file__).parents[2] / "bridge")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(path: Path) -> Spool:
    return Spool(path)


def letter(name: str, size: int = 10) -> Letter:
    return Letter(FORM, "shop", name, b"x" * size)


def names(letters: Sequence[Letter]) -> list[str]:
    return [one.id for one in letters]


def elsewhere(path: Path, expression: str) -> str:
    """What another process says to this, with `spool` as its own."""
    script = f"import sys; from formlock_push.spool import Spool; spool = Spool(sys.argv[1]); print({expression})"
    environment = {**os.environ, "PYTHONPATH": BRIDGE}
    done = subprocess.run([sys.executable, "-c", script, path], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


# -- what is written


def test_on_the_disk(spool: Spool) -> None:
    """A promise outlives a power cut: what is added is flushed to the disk, also after something that need not be."""
    spool.add([letter("a")])
    spool.settle(spool.after(0, 1, PLENTY))
    spool.add([letter("b")])
    assert spool._writer is not None
    full = 2
    assert spool._writer.execute("PRAGMA synchronous").fetchone() == (full,)


def test_a_commit_that_fails(spool: Spool, path: Path) -> None:
    """A letter whose write failed as late as in the commit has no number: it will be another letter's, and so would the answer to
    it."""
    spool.add([letter("a")])
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    lost = letter("b", 500_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, kept[1]))
    try:
        with pytest.raises(Unusable):
            spool.add([lost])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
    assert lost.row is None
    next_one = letter("c")
    assert spool.add([next_one]) == [None]
    assert names(spool.after(0, 10, PLENTY)) == ["a", "c"]
    assert next_one.row == 2


def test_moved_while_it_is_written(spool: Spool, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that another process puts aside in mid-write is no promise: the letter is written into the one that is there then."""
    spool.add([letter("a")])
    original = Spool._add

    def moved(self: Spool, writer: sqlite3.Connection, letters: Sequence[Letter]) -> Any:
        added = original(self, writer, letters)
        if not path.with_name("moved").exists():
            path.rename(path.with_name("moved"))
        return added

    monkeypatch.setattr(Spool, "_add", moved)
    assert spool.add([letter("b")]) == [None]
    assert names(Spool(path).after(0, 10, PLENTY)) == ["b"]


def test_moved_meanwhile(spool: Spool, path: Path) -> None:
    """Who reads, reads the file that is there now, though he has had the one before open."""
    spool.add([letter("a")])
    path.rename(path.with_name("moved"))
    assert spool.waiting().messages == 0
    other = Spool(path)
    other.add([letter("b"), letter("c")])
    assert spool.waiting().messages == 2
    found = spool.after(0, 10, PLENTY)
    assert names(found) == ["b", "c"]
    assert spool.settle(found) == 2
    assert other.waiting().messages == 0


def test_put_aside_as_a_whole(spool: Spool, path: Path) -> None:
    """A broken file is put aside with what SQLite has beside it: the newest letters may be only there."""
    spool.add([letter("a")])
    spool._put_aside(spool._file, sqlite3.DatabaseError("broken"))
    [aside] = path.parent.glob("*.corrupt-*[0-9]")
    assert from_outside(aside, "SELECT id FROM waiting") == [["a"]]
    assert spool.add([letter("b")]) == [None]
    assert names(spool.after(0, 10, PLENTY)) == ["b"]


def test_put_aside_by_another_one_first(spool: Spool, path: Path) -> None:
    """Who finds a file broken that another process has replaced meanwhile leaves the new one alone."""
    spool.add([letter("a")])
    broken = (0, 0)
    spool._put_aside(broken, sqlite3.DatabaseError("broken"))
    assert names(Spool(path).after(0, 10, PLENTY)) == ["a"]
    assert list(path.parent.glob("*.corrupt-*")) == []


def test_what_has_gone_frees_its_room(path: Path) -> None:
    """Both bounds count what waits, whatever has been through the file before."""
    spool = Spool(path, Bounds(max_messages=2, max_bytes=100))
    for _ in range(3):
        assert spool.add([letter("a", 40), letter("b", 40)]) == [None, None]
        [why] = spool.add([letter("c", 1)])
        assert why is not None
        spool.settle(spool.after(0, 10, PLENTY))
        [why] = spool.add([letter("c", 101)])
        assert why is not None
    assert (spool.waiting().messages, spool.waiting().bytes, spool.waiting().since) == (0, 0, None)


def test_settled_by_its_name(spool: Spool) -> None:
    """An answer to a letter of a file that was put aside takes nothing out of the new one, whose numbers have begun anew."""
    spool.add([letter("a")])
    old = letter("b")
    old.row = 1
    other_source = Letter(FORM, "import", "a", b"")
    other_source.row = 1
    assert spool.settle([old, other_source]) == 0
    assert names(spool.after(0, 10, PLENTY)) == ["a"]
    assert spool.waiting().messages == 1
    assert spool.settle(spool.after(0, 10, PLENTY)) == 1


def test_refused(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused waits no longer; of very many the newest are kept."""
    monkeypatch.setattr(spool_module, "MAX_REFUSED", 3)
    spool.add([letter(f"{number}") for number in range(5)])
    for one in spool.after(0, 10, PLENTY):
        spool.settle([], [(one, "not_allowed", "No.")])
    assert [one.id for one in spool.refused()] == ["2", "3", "4"]
    assert spool.waiting().messages == 0


def test_patience(spool: Spool, path: Path) -> None:
    """Another process's write is waited for."""
    spool.add([letter("a")])
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    done: list[list[str | None]] = []
    writing = threading.Thread(target=lambda: done.append(spool.add([letter("b")])))
    writing.start()
    writing.join(0.3)
    assert done == []
    other.execute("COMMIT")
    other.close()
    writing.join(10)
    assert done == [[None]]


# -- what is read


def test_order_is_that_of_the_commits(spool: Spool, path: Path) -> None:
    """A clock that is set back changes no order, and the numbers go on where everything has been drained."""
    spool.add([letter("a"), letter("b"), letter("c")])
    with sqlite3.connect(path) as database:
        database.execute("UPDATE waiting SET at = 10.0 - number")
    database.close()
    found = spool.after(0, 10, PLENTY)
    assert names(found) == ["a", "b", "c"]
    assert names(spool.after(found[0].row or 0, 10, PLENTY)) == ["b", "c"]
    spool.settle(found)
    spool.add([letter("d")])
    assert names(spool.after(found[-1].row or 0, 10, PLENTY)) == ["d"]


def test_a_long_one_is_not_passed_over(spool: Spool) -> None:
    """Where a long letter has no room in what is read at once, nothing behind it is read either; alone it always has."""
    spool.add([letter("a", 10), letter("b", 1_000), letter("c", 10)])
    first = spool.after(0, 10, 100)
    assert names(first) == ["a"]
    second = spool.after(first[0].row or 0, 10, 100)
    assert names(second) == ["b"]
    assert names(spool.after(0, 2, PLENTY)) == ["a", "b"]


def test_holds(spool: Spool, path: Path) -> None:
    """It says at once whether a form has something waiting, also while somebody writes; in another file than before too."""
    assert spool.holds(FORM) is False
    spool.add([letter("a")])
    assert spool.holds(FORM) is True
    assert spool.holds(f"{FORM}0") is False
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM waiting")
    assert spool.holds(FORM) is True
    other.execute("COMMIT")
    other.close()
    assert spool.holds(FORM) is False
    # As a process does that finds it broken.
    for end in ("-wal", "-shm", ""):
        Path(f"{path}{end}").rename(f"{path}-moved{end}")
    Spool(path).add([letter("a")])
    assert spool.holds(FORM) is True


def test_holds_does_not_know(path: Path) -> None:
    """What can't be read is not free: something may wait there."""
    path.write_bytes(b"no database at all" * 500)
    assert Spool(path).holds(FORM) is None


# -- who drains


def test_one_drains(spool: Spool, path: Path) -> None:
    """One process has the lease, however often it and others look; when it lets go, another one may have it."""
    assert spool.lease()
    assert spool.lease()
    # Another one in this process: looking must not end the lock that is there.
    assert not Spool(path).lease()
    assert elsewhere(path, "spool.lease()") == "False"
    spool.release()
    assert elsewhere(path, "spool.lease()") == "True"
    assert spool.lease()
    spool.close()
    assert elsewhere(path, "spool.lease()") == "True"


def test_looking_does_not_end_locks(spool: Spool, path: Path) -> None:
    """A file that is there is not opened a second time: closing it would end SQLite's own locks of this process on it."""
    spool.add([letter("a")])
    with spool._writing(durable=True):
        # A second spool in this process opens the same file, and closes it again.
        second = Spool(path)
        assert second.waiting().messages == 1
        second.close()
        script = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
        assert "database is locked" in done.stderr
