"""No late save: the application's own row says whose token counts, whatever the clock, the receipt or the lock service say."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from formlock_push.sqlalchemy import Late, LockToken, claim, fence, install
from tests.backends.support import Sent

Sessions = sessionmaker[Session]
WITHIN_S = 20.0


class Base(DeclarativeBase):
    """The application's own."""


class Document(LockToken, Base):
    __tablename__ = "document"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(default="letter")
    title: Mapped[str] = mapped_column(default="")
    version: Mapped[int] = mapped_column(default=1)
    changed: Mapped[int] = mapped_column(default=0, onupdate=99)

    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "letter", "version_id_col": version}  # noqa: RUF012

    def formlock_channel(self) -> str:
        return f"com.example.form.document.{self.id}"


class Contract(Document):
    """In a table of its own, its token is in the other."""

    __tablename__ = "contract"
    number: Mapped[int] = mapped_column("id", primary_key=True)
    party: Mapped[str] = mapped_column(default="")

    __mapper_args__ = {"polymorphic_identity": "contract", "inherit_condition": number == Document.id}  # noqa: RUF012


class Page(LockToken, Base):
    __tablename__ = "page"
    book: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    # A writer that meets another one waits for 100 ms, so that a refusal is seen soon.
    engine = create_engine(f"sqlite:///{tmp_path}/application.sqlite", connect_args={"timeout": 0.1})
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine) -> Sessions:
    sessions = sessionmaker(engine)
    with sessions.begin() as session:
        session.add_all([Document(id=1, title="first"), Contract(id=2, number=2), Page(book="a/b", number=7)])
    return sessions


def token_of(sessions: Sessions, number: int = 1) -> int:
    with sessions() as session:
        return session.get_one(Document, number).lock_token


def save(sessions: Sessions, token: int, title: str, version: int | None = None) -> None:
    """As an application saves: the fence first, then the record, its version, the change."""
    with sessions.begin() as session:
        fence(session, Document, 1, token)
        record = session.get_one(Document, 1, populate_existing=True, with_for_update=True)
        if version is not None and record.version != version:
            raise Late("somebody saved meanwhile")
        record.title = title


def test_claim_and_save(sessions: Sessions) -> None:
    """Who has claimed may save, several times; claiming again with the same token is right."""
    for title in ("second", "third"):
        with sessions.begin() as session:
            claim(session, Document, 1, 5)
        save(sessions, 5, title)
    with sessions() as session:
        record = session.get_one(Document, 1)
        assert (record.title, record.lock_token, record.version) == ("third", 5, 3)


@pytest.mark.parametrize("winner_has_saved", [False, True])
def test_late_save(sessions: Sessions, winner_has_saved: bool) -> None:
    """U14, U21: after a takeover the loser's save is refused, before the winner's first save and after it."""
    with sessions.begin() as session:
        claim(session, Document, 1, 5)
    with sessions.begin() as session:
        claim(session, Document, 1, 6)
    if winner_has_saved:
        save(sessions, 6, "winner")
    with pytest.raises(Late):
        save(sessions, 5, "loser")
    with pytest.raises(Late), sessions.begin() as session:
        claim(session, Document, 1, 5)
    save(sessions, 6, "winner")
    with sessions() as session:
        assert session.get_one(Document, 1).title == "winner"
    assert token_of(sessions) == 6


def test_without_a_claim(sessions: Sessions) -> None:
    """A newer token that was never claimed may not save either: its holder has not read what it would overwrite."""
    with sessions.begin() as session:
        claim(session, Document, 1, 5)
    with pytest.raises(Late):
        save(sessions, 6, "unread")
    with pytest.raises(Late), sessions.begin() as session:
        fence(session, Document, 404, 5)


def test_no_such_record(sessions: Sessions) -> None:
    """A record that is not there can't be claimed, and that is another error than being late."""
    with pytest.raises(LookupError), sessions.begin() as session:
        claim(session, Document, 404, 5)


def test_claim_rolled_back(sessions: Sessions) -> None:
    """A claim counts when it is committed."""
    with sessions() as session:
        claim(session, Document, 1, 5)
        session.rollback()
    assert token_of(sessions) == 0
    with pytest.raises(Late):
        save(sessions, 5, "unclaimed")


@pytest.mark.parametrize("first", [claim, fence])
def test_row_is_locked(sessions: Sessions, first: Any) -> None:
    """From the claim or the fence to the commit nobody else can claim: what was read in between is what is saved over."""
    with sessions.begin() as session:
        claim(session, Document, 1, 5)
    with sessions() as mine:
        first(mine, Document, 1, 5)
        with pytest.raises(OperationalError, match="locked"), sessions.begin() as other:
            claim(other, Document, 1, 6)
        mine.commit()
    with sessions.begin() as other:
        claim(other, Document, 1, 6)


def test_save_and_takeover_race(tmp_path: Path) -> None:
    """However a save and a takeover's claim meet, the winner reads what was saved, or the save is refused; never neither."""
    engine = create_engine(f"sqlite:///{tmp_path}/race.sqlite", connect_args={"timeout": WITHIN_S})
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    with sessions.begin() as session:
        session.add(Document(id=1))
    outcomes = set()
    for turn in range(1, 21):
        with sessions.begin() as session:
            claim(session, Document, 1, 2 * turn - 1)
        together, saved, read = threading.Barrier(2), [False], [""]

        def loser(turn: int = turn, together: threading.Barrier = together, saved: list[bool] = saved) -> None:
            together.wait(WITHIN_S)
            try:
                save(sessions, 2 * turn - 1, f"turn {turn}")
            except Late:
                return
            saved[0] = True

        def winner(turn: int = turn, together: threading.Barrier = together, read: list[str] = read) -> None:
            together.wait(WITHIN_S)
            with sessions.begin() as session:
                claim(session, Document, 1, 2 * turn)
                read[0] = session.get_one(Document, 1, populate_existing=True).title

        threads = [threading.Thread(target=loser), threading.Thread(target=winner)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WITHIN_S)
        assert saved[0] == (read[0] == f"turn {turn}")
        outcomes.add(saved[0])
    assert outcomes
    engine.dispose()


def test_not_a_change(sessions: Sessions) -> None:
    """A claim and a fence are no change of the record: nobody is told, its version and its own time of change stay."""
    sent = Sent()
    hook = install(sessions, sent, jobs=True)
    with sessions.begin() as session:
        claim(session, Document, 1, 5)
        fence(session, Document, 1, 5)
    hook.remove()
    assert sent == []
    with sessions() as session:
        record = session.get_one(Document, 1)
        assert (record.version, record.changed) == (1, 0)


def test_nothing_before_the_fence(engine: Engine, sessions: Sessions) -> None:
    """What waits in the session is not written before the fence has let it pass."""
    executed: list[str] = []
    with sessions() as session:
        session.get_one(Document, 1).title = "too early"
        event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_rest: executed.append(statement))
        with pytest.raises(Late):
            fence(session, Document, 1, 5)
    assert len(executed) == 1
    assert "title" not in executed[0]


def test_inherited(sessions: Sessions) -> None:
    """With joined inheritance the token is in the table that has it."""
    with sessions.begin() as session:
        claim(session, Contract, 2, 5)
    assert token_of(sessions, 2) == 5


def test_composite_keys(sessions: Sessions) -> None:
    """A key of several columns is a tuple, in the order of the columns; one of another length is a mistake."""
    with sessions.begin() as session:
        claim(session, Page, ("a/b", 7), 5)
        fence(session, Page, ("a/b", 7), 5)
        with pytest.raises(ValueError, match="2 values"):
            claim(session, Page, "a/b", 5)
        with pytest.raises(LookupError):
            claim(session, Page, ("a/b", 8), 5)


def test_tokens_are_large(sessions: Sessions) -> None:
    """Tokens start from the clock, in milliseconds and more (ADR 2): far above what four bytes hold."""
    token = 2**53 - 1
    with sessions.begin() as session:
        claim(session, Document, 1, token)
    save(sessions, token, "second")
    assert token_of(sessions) == token


def test_rows_that_were_there_before(engine: Engine) -> None:
    """The column can be added to a table with records: the database itself knows its default."""
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO page (book, number) VALUES ('old', 1)"))
    with Session(engine) as session:
        claim(session, Page, ("old", 1), 5)
        session.commit()
