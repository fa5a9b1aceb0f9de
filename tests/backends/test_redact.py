"""Fields for some only (`formlock_redact`), from SQLAlchemy's records to the message: what the bridge cuts by it shows nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, ForeignKey, create_engine, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.pool import StaticPool

from formlock_bridge.redaction import cut
from formlock_push import Update
from formlock_push.changes import Change, Ledger, fold
from formlock_push.fitting import fitting
from formlock_push.redact import InvalidRedact, redact_of
from formlock_push.sqlalchemy import install
from tests.backends.support import Sent

SECRET = "marker"
FORM = "com.example.form.offer"


class Base(DeclarativeBase):
    """The application's own."""


class Buyer(Base):
    __tablename__ = "buyer"
    id: Mapped[str] = mapped_column(primary_key=True)


class Offer(Base):
    """`margin` and the buyer are for some only; the representation shows both."""

    __tablename__ = "offer"
    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[int] = mapped_column(default=0)
    margin: Mapped[str] = mapped_column("margin_percent", default="")
    buyer_id: Mapped[str | None] = mapped_column(ForeignKey("buyer.id"))
    buyer: Mapped[Buyer | None] = relationship()

    formlock_redact: ClassVar[Mapping[str, str]] = {"margin_percent": "margins", "buyer": "buyers", "margin": "margins"}
    as_html: ClassVar[bool] = False

    def formlock_channel(self) -> str:
        return f"{FORM}.{self.id}"

    def formlock_representation(self) -> Mapping[str, Any] | str:
        if self.as_html:
            return f"<p>{self.margin} {self.buyer_id}</p>"
        return {"price": self.price, "margin": self.margin, "buyer": self.buyer_id}


class Line(Base):
    __tablename__ = "offer_line"
    id: Mapped[int] = mapped_column(primary_key=True)
    offer_id: Mapped[int] = mapped_column(ForeignKey("offer.id"))
    text: Mapped[str] = mapped_column(default="")
    margin: Mapped[str] = mapped_column(default="")

    formlock_leave_out = ("id", "offer_id")
    formlock_redact: ClassVar[Mapping[str, str]] = {"margin": "margins"}

    def formlock_channel(self) -> str:
        return f"{FORM}.{self.offer_id}"

    def formlock_part(self) -> str:
        return f"lines.{self.id}"


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine, expire_on_commit=False) as session:
        session.add(Offer(id=1))
        session.commit()
        yield session


@pytest.fixture
def sent(session: Session) -> Iterator[Sent]:
    sent = Sent()
    hook = install(session, sent, jobs=True)
    yield sent
    hook.remove()


def seen_without_rights(update: Update) -> str:
    """What the bridge lets everybody see of the message that is sent."""
    message = json.loads(fitting(update)[1])
    return json.dumps(cut(message, message.get("redact"), lambda _right: False))


def test_record_and_parts(session: Session, sent: Sent) -> None:
    """An update names the right of each redacted field, a part's under the part's name, whether or not the field has changed."""
    session.get_one(Offer, 1).price = 5
    session.add(Line(id=3, offer_id=1, text="Paint", margin=SECRET))
    session.commit()
    (update,) = sent
    assert update.change_set == {"price": (0, 5), "lines.3.text": (None, "Paint"), "lines.3.margin": (None, SECRET)}
    rights = {"margin_percent": "margins", "margin": "margins", "buyer": "buyers", "buyer_id": "buyers"}
    assert update.redact == {**rights, "lines.3.margin": "margins"}
    assert "lines.3.margin" not in seen_without_rights(update)
    assert "Paint" in seen_without_rights(update)


def test_other_names_of_a_field(session: Session, sent: Sent) -> None:
    """A right that is given to a relationship or to the table's column holds for the field that is told."""
    session.get_one(Offer, 1).buyer = Buyer(id=SECRET)
    session.get_one(Offer, 1).margin = SECRET
    session.commit()
    (update,) = sent
    assert update.change_set == {"margin": ("", SECRET), "buyer_id": (None, SECRET)}
    assert SECRET not in seen_without_rights(update)
    assert "buyer_id" not in seen_without_rights(update)


def test_nothing_to_hide(session: Session, sent: Sent) -> None:
    """What tells of no field needs no right: a bulk statement, a deletion."""
    session.execute(update(Offer).values(margin=SECRET))
    session.commit()
    session.delete(session.get_one(Offer, 1))
    session.commit()
    assert [(update.status, update.change_set, update.redact) for update in sent] == [
        ("updated", None, None),
        ("deleted", None, None),
    ]


def test_more_than_a_message_can_name(session: Session, sent: Sent) -> None:
    """With more than 64 redacted fields nothing is told of any field, rather than a secret."""
    session.add_all(Line(id=number, offer_id=1, margin=SECRET) for number in range(64))
    session.commit()
    session.add_all(Line(id=number, offer_id=1, margin=SECRET) for number in range(100, 165))
    session.commit()
    within, beyond = sent
    assert within.redact is not None
    assert len(within.redact) == 64
    assert (beyond.change_set, beyond.representation, beyond.redact) == (None, None, None)


def test_contents_with_more_than_a_message_can_name() -> None:
    """Then the record's own contents aren't told either: they show what nobody could cut out."""
    ledger = Ledger()
    redact = {f"field{number}": "some" for number in range(65)}
    shown = {"field1": "marker"}
    ledger.add(
        "record", Change(status="updated", form=f"{FORM}.1", pairs={"field1": ("", "marker")}, representation=shown, redact=redact)
    )
    [update] = ledger.updates()
    assert (update.change_set, update.representation, update.redact) == (None, None, None)


def test_too_long() -> None:
    """An update that is made shorter keeps its rights for as long as it tells of a field."""
    update = Update(form=f"{FORM}.1", change_set={"margin": [1, 2]}, representation="x" * 70_000)
    update = replace(update, redact={"margin": "margins"})
    told, message = fitting(update)
    assert (told.representation, told.change_set, told.redact) == (None, {"margin": [1, 2]}, {"margin": "margins"})
    assert json.loads(message)["redact"] == {"margin": "margins"}
    told, message = fitting(replace(update, change_set={"margin": [1, "x" * 70_000]}))
    assert (told.representation, told.change_set, told.redact) == (None, None, None)
    assert set(json.loads(message)) == {"v", "form", "status"}
    # Where the rights themselves can't be said, nothing is told that may need them.
    told, _ = fitting(replace(update, representation=None, redact={"margin": "no right"}))
    assert (told.change_set, told.redact) == (None, None)


def test_two_rights_for_one_field() -> None:
    """Where two records give one field different rights, an update can carry only one: then no field is told."""
    ledger = Ledger()
    for record, right in enumerate(("a", "b")):
        ledger.add(record, Change(status="updated", form=FORM, part="x", pairs={"m": (1, record)}, redact={"m": right}))
    (update,) = ledger.updates()
    assert (update.change_set, update.redact) == (None, None)
    first, then = (
        Change(status="updated", form=FORM, pairs={"m": pair}, redact={"m": right}) for pair, right in (((1, 2), "a"), ((2, 3), "b"))
    )
    folded = fold(first, then)
    assert folded is not None
    assert (folded.pairs, folded.redact) == (None, {"m": "b"})


def test_row_that_comes_back_as_another_class() -> None:
    """A part that is deleted and comes back as a record of another class keeps the rights of both."""
    gone = Change(status="deleted", form=FORM, part="x", pairs={"a": (1, None)}, redact={"a": "r"})
    back = Change(status="inserted", form=FORM, part="x", pairs={"b": (None, 2)}, redact={"b": "s"})
    folded = fold(gone, back)
    assert folded is not None
    assert folded.redact == {"a": "r", "b": "s"}


@pytest.mark.parametrize("wrong", ["margin", ["margin"], {"margin": "Margins"}, {"margin": None}, {3: "r"}, {"margin": "r" * 65}])
def test_no_rights(wrong: Any) -> None:
    """What is no `{field: right}` is found with the first record, not by whoever sees its fields."""
    with pytest.raises(InvalidRedact):
        redact_of(type("Offer", (), {"formlock_redact": wrong}))


DEEDS = st.lists(
    st.tuples(
        st.sampled_from(["offer", "buyer", "line", "move", "delete line", "bulk", "replace", "commit", "rollback", "savepoint"]),
        st.integers(1, 3),
        st.integers(1, 4),
        st.sampled_from([1, 70_000]),
    ),
    max_size=15,
)


@settings(deadline=None, max_examples=50)
@given(deeds=DEEDS, as_html=st.booleans(), bulk_limit=st.integers(1, 3))
def test_never_a_leak(deeds: list[tuple[str, int, int, int]], as_html: bool, bulk_limit: int) -> None:
    """Whatever a session does, in whatever order: what is sent, cut by its own `redact`, shows no value of a redacted field."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    sent = Sent()
    Offer.as_html = as_html
    with Session(engine) as session:
        hook = install(session, sent, jobs=True, bulk_limit=bulk_limit)
        session.add_all(Offer(id=number, margin=f"{SECRET} 0") for number in range(1, 4))
        session.add_all(Line(id=number, offer_id=number, margin=f"{SECRET} 0") for number in range(1, 3))
        session.commit()
        for step, (deed, number, line_id, length) in enumerate(deeds):
            secret = f"{SECRET} {step}"
            offer = session.get_one(Offer, number)
            line = session.get(Line, line_id)
            match deed:
                case "offer":
                    offer.margin, offer.price = secret, step
                case "buyer":
                    offer.buyer = Buyer(id=secret)
                case "line" if line is None:
                    session.add(Line(id=line_id, offer_id=number, margin=secret, text="x" * length))
                case "line" if line is not None:
                    line.margin, line.text = secret, "y" * length
                case "move" if line is not None:
                    line.offer_id = number
                case "delete line" if line is not None:
                    session.delete(line)
                case "replace" if line is not None:
                    session.delete(line)
                    session.flush()
                    session.add(Line(id=line_id, offer_id=number, margin=secret))
                case "bulk":
                    session.execute(update(Line).values(margin=secret))
                case "commit":
                    session.commit()
                case "rollback":
                    session.commit()
                    offer.margin = secret
                    session.rollback()
                case "savepoint":
                    with session.begin_nested():
                        offer.margin = secret
                case _:
                    continue
            session.flush()
        session.commit()
        hook.remove()
    engine.dispose()
    assert sent
    assert hook.failed == 0
    for told in sent:
        assert SECRET not in seen_without_rights(told)
