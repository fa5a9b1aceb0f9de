"""History and drafts in the SQLite file: the statements, and how much one commit may throw away.

What is too old or too many is deleted in the commits of what comes, a bounded number of rows each, and once an hour; so the bounds
hold to within a few dozen rows, and no commit takes noticeably longer for it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from formlock.drafts import KEPT_MS, MAX_PER_USER, surplus
from formlock.events import Event
from formlock.history import KINDS, Asked, Entry, Keeping, Page, page, what
from formlock.model import Draft, FormId, Owner

SCHEMA = """
CREATE TABLE IF NOT EXISTS history (
    number INTEGER PRIMARY KEY,
    form TEXT NOT NULL,
    section TEXT NOT NULL,
    rev INTEGER NOT NULL,
    wall INTEGER NOT NULL,
    public INTEGER NOT NULL,
    changes INTEGER NOT NULL,
    what TEXT NOT NULL,
    event BLOB NOT NULL,
    times INTEGER NOT NULL,
    last_wall INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS history_form ON history (form, number);
CREATE INDEX IF NOT EXISTS history_refusals ON history (number) WHERE changes = 0;
CREATE TABLE IF NOT EXISTS draft (
    form TEXT NOT NULL,
    token INTEGER NOT NULL,
    section TEXT NOT NULL,
    user TEXT NOT NULL,
    tab TEXT NOT NULL,
    name TEXT NOT NULL,
    wall INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (form, token)
);
CREATE INDEX IF NOT EXISTS draft_user ON draft (user, wall);
CREATE INDEX IF NOT EXISTS draft_wall ON draft (wall);
"""

# A form is looked at again when so many entries have come to it.
LOOK_AGAIN = 64
FORMS_PER_COMMIT = 8
# Forms whose new entries are counted; with more, all begin at 0 again.
MAX_COUNTED = 50_000
# Rows that one commit deletes at least and, for each that it adds, more.
DELETE = 64
DELETE_PER_ROW = 4

_encode = msgspec.json.Encoder().encode


class Past:
    """On the writer's thread, within its transactions."""

    def __init__(self, keeping: Keeping) -> None:
        self._keeping = keeping
        # All, and the refusals among them; None: to be counted.
        self._kept: int | None = None
        self._refusals = 0
        self._since_look: Counter[str] = Counter()

    def recount(self) -> None:
        """After a commit that failed: who knows what the file holds."""
        self._kept = None

    def write(self, connection: sqlite3.Connection, entries: Sequence[Entry], wall: int) -> None:
        """Add these, and throw away what there is no room for."""
        if self._kept is None:
            (self._kept,) = connection.execute("SELECT COUNT(*) FROM history").fetchone()
            (self._refusals,) = connection.execute("SELECT COUNT(*) FROM history WHERE changes = 0").fetchone()
        if entries:
            connection.executemany(
                "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (number) DO UPDATE SET times = excluded.times, last_wall = excluded.last_wall",
                [_row(entry) for entry in entries],
            )
        # A refusal that came again has its row already.
        for entry in (entry for entry in entries if entry.times == 1):
            self._kept += 1
            self._refusals += not entry.event.changes
            self._since_look[str(entry.event.form.record)] += 1
        most = DELETE + DELETE_PER_ROW * len(entries)
        self._tidy_forms(connection, most)
        self._tidy_all(connection, most, wall)
        drafts = "DELETE FROM draft WHERE rowid IN (SELECT rowid FROM draft WHERE wall < ? ORDER BY wall LIMIT ?)"
        connection.execute(drafts, (wall - KEPT_MS, most))

    def _tidy_forms(self, connection: sqlite3.Connection, most: int) -> None:
        for form in [form for form, new in self._since_look.items() if new >= LOOK_AGAIN][:FORMS_PER_COMMIT]:
            del self._since_look[form]
            room = self._keeping.room(refusals=False)[0], self._keeping.room(refusals=True)[0]
            rows = "SELECT number FROM history WHERE form = ? AND changes = {} ORDER BY number DESC LIMIT ? OFFSET ?"
            self._delete(connection, rows.format(1), (form, most, room[0]))
            self._delete(connection, rows.format(0), (form, most, room[1]))
        if len(self._since_look) > MAX_COUNTED:
            self._since_look.clear()

    def _tidy_all(self, connection: sqlite3.Connection, most: int, wall: int) -> None:
        surplus_refusals = self._refusals - self._keeping.room(refusals=True)[1]
        if surplus_refusals > 0:
            # Written out, not bound: SQLite uses the index of refusals only when it sees that they are meant.
            oldest = "SELECT number FROM history WHERE changes = 0 ORDER BY number LIMIT ?"
            self._delete(connection, oldest, (min(surplus_refusals, most),))
        surplus_rows = (self._kept or 0) - self._keeping.in_all
        if surplus_rows > 0:
            self._delete(connection, "SELECT number FROM history ORDER BY number LIMIT ?", (min(surplus_rows, most),))
        oldest = "SELECT number FROM (SELECT number, wall FROM history ORDER BY number LIMIT ?) WHERE wall < ?"
        self._delete(connection, oldest, (most, wall - self._keeping.age_ms))

    def _delete(self, connection: sqlite3.Connection, numbers: str, values: tuple[object, ...]) -> None:
        gone = connection.execute(
            f"DELETE FROM history WHERE number IN ({numbers}) RETURNING changes",  # noqa: S608 (a text of above)
            values,
        ).fetchall()
        self._kept = (self._kept or 0) - len(gone)
        self._refusals -= sum(not changes for (changes,) in gone)


def last_number(connection: sqlite3.Connection) -> int:
    """The highest that an entry has; 0 when there is none."""
    number: int = connection.execute("SELECT COALESCE(MAX(number), 0) FROM history").fetchone()[0]
    return number


def read_page(connection: sqlite3.Connection, asked: Asked, rev: int) -> Page:
    """See LockStore.history; `rev` is the form's."""
    form, section = str(asked.form.record), asked.form.section
    (first_rev,) = connection.execute(
        "SELECT rev FROM history WHERE form = ? AND public ORDER BY number LIMIT 1", (form,)
    ).fetchone() or (None,)
    where = "form = ? AND (? = '' OR section IN ('', ?))"
    values: tuple[object, ...] = (form, section, section)
    if asked.since is None:
        order = "number DESC"
    else:
        where += " AND number > ? AND (rev > ? OR (rev = ? AND NOT public))"
        values += (asked.after, asked.since, asked.since)
        order = "number"
    rows = connection.execute(
        f"SELECT number, what, event, times, last_wall FROM history WHERE {where} ORDER BY {order} LIMIT ?",  # noqa: S608
        (*values, asked.limit + 1),
    ).fetchall()
    more, rows = len(rows) > asked.limit, rows[: asked.limit]
    if asked.since is None:
        rows.reverse()
    found = page(asked, [_entry(*row) for row in rows], rev + 1 if first_rev is None else first_rev, more)
    # What another version wrote, and this one can't read, is left out; its place in the pages stays.
    return Page(tuple(entry for entry in found.entries if type(entry.event) is not Event), found.after, found.complete)


def put_draft(connection: sqlite3.Connection, draft: Draft) -> None:
    """Keep it, and throw away what there is no room for."""
    connection.execute(
        "INSERT OR REPLACE INTO draft VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            str(draft.form.record), draft.token, draft.form.section, draft.owner.user, draft.owner.tab, draft.name, draft.wall,
            draft.content,
        ),
    )  # fmt: skip
    for gone in surplus(read_drafts(connection, draft.form), draft):
        connection.execute("DELETE FROM draft WHERE form = ? AND token = ?", (str(gone.form.record), gone.token))
    connection.execute(
        "DELETE FROM draft WHERE rowid IN (SELECT rowid FROM draft WHERE user = ? ORDER BY wall DESC, rowid DESC LIMIT -1 OFFSET ?)",
        (draft.owner.user, MAX_PER_USER),
    )


def read_drafts(connection: sqlite3.Connection, form: FormId) -> list[Draft]:
    """All of the record and its sections."""
    record = form.record
    rows = connection.execute(
        "SELECT section, user, tab, name, token, wall, content FROM draft WHERE form = ? ORDER BY token", (str(record),)
    )
    return [
        Draft(FormId(record.type, record.id, section), Owner(user, tab), name, token, wall, content)
        for section, user, tab, name, token, wall, content in rows
    ]


def forget_drafts(connection: sqlite3.Connection, form: FormId, tokens: Iterable[int]) -> None:
    """Throw these of the record away."""
    connection.executemany("DELETE FROM draft WHERE form = ? AND token = ?", [(str(form.record), token) for token in tokens])


def _row(entry: Entry) -> tuple[object, ...]:
    event = entry.event
    return (
        entry.number, str(event.form.record), event.form.section, event.rev, event.wall, event.public, event.changes, what(event),
        _encode(event), entry.times, entry.last_wall,
    )  # fmt: skip


def _entry(number: int, name: str, event: bytes, times: int, last_wall: int) -> Entry:
    try:
        return Entry(number, msgspec.json.decode(event, type=KINDS[name]), times, last_wall)
    except (KeyError, msgspec.MsgspecError):
        return Entry(number, Event(FormId("", ""), Owner("", ""), 0, 0, 0))
