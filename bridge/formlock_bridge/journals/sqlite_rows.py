"""The journal's rows in SQLite: the statements, one transaction for what came at once, and how much one commit may throw away.

What is too old or too many is deleted in the commits of what comes, a bounded number of rows each, and once an hour; what is not
published is never among it. The row in `journal` counts along in the same transactions, so nothing has to be counted at a start.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from formlock_bridge.journals import Arrival, Entry, Keeping, Known, Page
from formlock_bridge.journals.numbering import key, number, page

VERSION = 1

SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch TEXT NOT NULL,
    instance INTEGER NOT NULL,
    commits INTEGER NOT NULL,
    number INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    kept INTEGER NOT NULL,
    kept_bytes INTEGER NOT NULL,
    forms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS form (
    form TEXT PRIMARY KEY,
    last INTEGER NOT NULL,
    published INTEGER NOT NULL,
    number INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS form_unpublished ON form (form) WHERE published < last;
CREATE TABLE IF NOT EXISTS entry (
    number INTEGER PRIMARY KEY,
    form TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    id TEXT NOT NULL,
    message BLOB NOT NULL,
    parked TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS entry_form ON entry (form, seq);
CREATE TABLE IF NOT EXISTS name (
    number INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    form TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL
);
"""

# Rows that one commit deletes at least and, for each that it adds, more.
DELETE = 64
DELETE_PER_ROW = 4


class OtherVersionError(Exception):
    """A later version of Form lock has made this file."""


class NotWrittenError(Exception):
    """The commit failed, and nothing of it is in the file."""


class TakenOverError(Exception):
    """Another process has opened the file since, or it can't be read any more."""


@dataclass(slots=True)
class Marks:
    """How far each form's updates have been published, and which were parked: (reason, form, first, last)."""

    published: dict[str, int] = field(default_factory=dict)
    parked: list[tuple[str, str, int, int]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.published)

    def put_back(self, marks: Marks) -> None:
        """They are still to be written, with these."""
        for form, seq in marks.published.items():
            self.published[form] = max(seq, self.published.get(form, 0))
        self.parked[:0] = marks.parked


@dataclass(slots=True)
class _Counts:
    """The row in `journal` beside its names; `instance` and `commits` say whose and which state of the file it is."""

    instance: int
    commits: int
    number: int
    floor: int
    kept: int
    kept_bytes: int
    forms: int


def take_over(connection: sqlite3.Connection, new_epoch: Callable[[], str]) -> tuple[str, int]:
    """Make the tables if need be, and be the one that writes: (epoch, instance)."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise OtherVersionError(f"{version} > {VERSION}")
    connection.executescript(SCHEMA)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO journal VALUES (1, ?, 0, 0, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING", (new_epoch(),))
    connection.execute("UPDATE journal SET instance = instance + 1")
    epoch, instance = connection.execute("SELECT epoch, instance FROM journal").fetchone()
    connection.execute("COMMIT")
    return epoch, instance


def write(
    connection: sqlite3.Connection, instance: int, keeping: Keeping, arrivals: Sequence[Arrival], marks: Marks, wall: int
) -> list[Entry | Known]:
    """One commit: the marks, these arrivals, and some tidying. NotWrittenError, or TakenOverError for good."""
    commits = None
    try:
        connection.execute("BEGIN IMMEDIATE")
        counts = _counts(connection)
        if counts.instance != instance:
            raise TakenOverError
        commits = counts.commits = counts.commits + 1
        _mark(connection, marks)
        outcomes = _add(connection, arrivals, counts)
        _tidy(connection, keeping, {arrival.form for arrival in arrivals}, len(arrivals), counts, wall)
        connection.execute(
            "UPDATE journal SET commits = ?, number = ?, floor = ?, kept = ?, kept_bytes = ?, forms = ?",
            (counts.commits, counts.number, counts.floor, counts.kept, counts.kept_bytes, counts.forms),
        )
        connection.execute("COMMIT")
    except Exception as error:
        # A commit may have been made although it reported an error; then whoever waits for it has to be told its numbers.
        if not _is_made(connection, instance, commits):
            raise NotWrittenError from error
    return outcomes


def _is_made(connection: sqlite3.Connection, instance: int, commits: int | None) -> bool:
    """Whether that commit is in the file; TakenOverError when this process can't go on."""
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        counts = _counts(connection)
    except Exception as error:
        raise TakenOverError from error
    if counts.instance != instance:
        raise TakenOverError
    return counts.commits == commits


def _counts(connection: sqlite3.Connection) -> _Counts:
    return _Counts(*connection.execute("SELECT instance, commits, number, floor, kept, kept_bytes, forms FROM journal").fetchone())


def _mark(connection: sqlite3.Connection, marks: Marks) -> None:
    connection.executemany(
        "UPDATE form SET published = ? WHERE form = ? AND published < ?",
        [(seq, form, seq) for form, seq in marks.published.items()],
    )
    connection.executemany("UPDATE entry SET parked = ? WHERE form = ? AND seq BETWEEN ? AND ?", marks.parked)


def _add(connection: sqlite3.Connection, arrivals: Sequence[Arrival], counts: _Counts) -> list[Entry | Known]:
    if not arrivals:
        return []
    keys = [key(arrival) for arrival in arrivals]
    known: dict[bytes, Known] = {}
    for name in keys:
        found = name and connection.execute("SELECT form, seq FROM name WHERE key = ?", (name,)).fetchone()
        if name and found:
            known[name] = Known(*found)
    last: dict[str, int] = {}
    new_forms = []
    for arrival in arrivals:
        if arrival.form not in last:
            found = connection.execute("SELECT last FROM form WHERE form = ?", (arrival.form,)).fetchone()
            if found is None:
                new_forms.append(arrival.form)
            last[arrival.form] = counts.floor if found is None else found[0]
    outcomes = number(arrivals, keys, last, known)
    entries, names, numbers = [], [], {}
    for outcome, name in zip(outcomes, keys, strict=True):
        if isinstance(outcome, Entry):
            counts.number += 1
            counts.kept_bytes += len(outcome.message)
            numbers[outcome.form] = counts.number
            entries.append((counts.number, outcome.form, outcome.seq, outcome.at, outcome.id, outcome.message))
            if name is not None:
                names.append((name, outcome.form, outcome.seq, outcome.at))
    counts.kept += len(entries)
    new = [(form, counts.floor, counts.floor) for form in new_forms if form in numbers]
    counts.forms += len(new)
    connection.executemany("INSERT INTO form VALUES (?, ?, ?, 0)", new)
    connection.executemany(
        "UPDATE form SET last = ?, number = ? WHERE form = ?", [(last[form], numbers[form], form) for form in numbers]
    )
    connection.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, NULL)", entries)
    connection.executemany("INSERT INTO name (key, form, seq, at) VALUES (?, ?, ?, ?)", names)
    return outcomes


# -- what is thrown away


def _tidy(connection: sqlite3.Connection, keeping: Keeping, forms: set[str], added: int, counts: _Counts, wall: int) -> None:
    most = DELETE + DELETE_PER_ROW * added
    for form in forms:
        last, published = connection.execute("SELECT last, published FROM form WHERE form = ?", (form,)).fetchone() or (0, 0)
        upto = min(last - keeping.per_form, published)
        if upto > 0:
            found = "SELECT number, LENGTH(message) FROM entry WHERE form = ? AND seq <= ? ORDER BY seq LIMIT ?"
            _forget(connection, connection.execute(found, (form, upto, most)).fetchall(), counts)
    _forget(connection, list(_surplus(connection, keeping, counts, wall, most)), counts)
    _forget_names(connection, keeping, most, wall)
    if counts.forms > keeping.forms:
        _forget_forms(connection, keeping, counts)


def _surplus(connection: sqlite3.Connection, keeping: Keeping, counts: _Counts, wall: int, most: int) -> Iterator[tuple[int, int]]:
    """The oldest, as long as there are too many or they are too old: (number, bytes). Reads no further than that."""
    kept, kept_bytes = counts.kept, counts.kept_bytes
    published_upto = "SELECT published FROM form WHERE form.form = entry.form"
    found = connection.execute(
        f"SELECT number, at, LENGTH(message), seq <= ({published_upto}) FROM entry ORDER BY number"  # noqa: S608 (a text of above)
    )
    for number_, at, size, published in found:
        if (kept <= keeping.in_all and kept_bytes <= keeping.in_bytes and at >= wall - keeping.age_ms) or most == 0:
            return
        if published:
            yield number_, size
            kept, kept_bytes, most = kept - 1, kept_bytes - size, most - 1


def _forget(connection: sqlite3.Connection, gone: Sequence[tuple[int, int]], counts: _Counts) -> None:
    connection.executemany("DELETE FROM entry WHERE number = ?", [(number_,) for number_, _ in gone])
    counts.kept -= len(gone)
    counts.kept_bytes -= sum(size for _, size in gone)


def _forget_names(connection: sqlite3.Connection, keeping: Keeping, most: int, wall: int) -> None:
    (newest,) = connection.execute("SELECT MAX(number) FROM name").fetchone()
    gone = 0
    for number_, at in connection.execute("SELECT number, at FROM name ORDER BY number LIMIT ?", (most,)):
        left = newest - number_ + 1
        if left <= keeping.ids or (at >= wall - keeping.id_ms and left <= keeping.most_ids):
            break
        gone = number_
    if gone:
        connection.execute("DELETE FROM name WHERE number <= ?", (gone,))


def _forget_forms(connection: sqlite3.Connection, keeping: Keeping, counts: _Counts) -> None:
    """Those longest without an update, if nothing of them is kept; a tenth more than need be, since it takes a look at all forms."""
    many = counts.forms - keeping.forms + keeping.forms // 10
    (oldest,) = connection.execute("SELECT COALESCE(MIN(number), ?) FROM entry", (counts.number + 1,)).fetchone()
    gone = connection.execute(
        "SELECT form, last FROM form WHERE number < ? AND published = last ORDER BY number LIMIT ?", (oldest, many)
    ).fetchall()
    connection.executemany("DELETE FROM form WHERE form = ?", [(form,) for form, _ in gone])
    counts.forms -= len(gone)
    counts.floor = max(chain([counts.floor], (last for _, last in gone)))


# -- what is read


def after(connection: sqlite3.Connection, form: str, since: int | None, max_bytes: int) -> Page:
    """See Journal.after."""
    # One transaction: the number and the entries are of the same moment.
    connection.execute("BEGIN")
    try:
        found = connection.execute("SELECT last FROM form WHERE form = ?", (form,)).fetchone()
        (last,) = found or connection.execute("SELECT floor FROM journal").fetchone()
        oldest_first = _entries(connection, "form = ? AND seq > ? ORDER BY seq", (form, since or 0))
        return page(last, since, oldest_first, max_bytes)
    finally:
        connection.execute("COMMIT")


def unpublished(connection: sqlite3.Connection) -> list[Entry]:
    """See Journal.unpublished."""
    found: list[tuple[int, Entry]] = []
    waiting = "SELECT form, published FROM form WHERE published < last"
    for form, published in connection.execute(waiting).fetchall():
        rows = "SELECT number, form, seq, at, message, id FROM entry WHERE form = ? AND seq > ?"
        found += [(row[0], Entry(*row[1:])) for row in connection.execute(rows, (form, published))]
    return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]


def _entries(connection: sqlite3.Connection, where: str, values: tuple[object, ...]) -> Iterator[Entry]:
    rows = connection.execute(f"SELECT form, seq, at, message, id FROM entry WHERE {where}", values)  # noqa: S608 (texts of above)
    return (Entry(*row) for row in rows)
