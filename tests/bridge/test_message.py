"""What a record holds becomes JSON."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from formlock_push import MAX_BYTES, Update, escape, topic
from formlock_push.names import MAX_TOPIC_LENGTH

FORM = "com.example.form.invoice.42"
MANY = "com.example.form.invoice.*"


class Colour(Enum):
    RED = "red"


class Customer:
    def __str__(self) -> str:
        return "Weber Ltd."


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (Decimal("120.00"), "120.00"),
        (date(2026, 11, 23), "2026-11-23"),
        (datetime(2026, 11, 23, 8, 30, tzinfo=UTC), "2026-11-23T08:30:00+00:00"),
        (time(8, 30), "08:30:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        ({"b", "a"}, ["a", "b"]),
        (b"%PDF", "(4 bytes)"),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Customer(), "Weber Ltd."),
        ((1, 2), [1, 2]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values(value: Any, sent: Any) -> None:
    """Amounts, dates, ids and related records need no conversion by the caller."""
    assert json.loads(Update(form=FORM, change_set={"field": [None, value]}).encode())["change_set"] == {"field": [None, sent]}


def test_left_out() -> None:
    """What was not said is not sent."""
    assert json.loads(Update(form=FORM).encode()) == {"v": 1, "form": FORM, "status": "updated"}


class Size(int):
    def __repr__(self) -> str:
        return "large"


class Grade(IntEnum):
    A = 1


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (2**64 - 1, 2**64 - 1),
        (2**64, "18446744073709551616"),
        (-(2**63) - 1, "-9223372036854775809"),
        (Size(3), 3),
        (Grade.A, 1),
        ({1: "a", None: "b", False: "c", 1.5: "d"}, {"1": "a", "null": "b", "false": "c", "1.5": "d"}),
        ("a\0", "a\0"),
    ],
    ids=repr,
)
def test_odd_values(value: Any, sent: Any) -> None:
    """A number that not every client has is its digits, as an amount is; numbers of a class of their own are numbers."""
    message = json.loads(Update(form=FORM, representation={"field": value}).encode())
    assert message["representation"] == {"field": sent}


def nested(levels: int) -> Any:
    value: Any = "core"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"change_set": {"total": [None, float("nan")]}}, "change_set.total: nan is no number"),
        ({"change_set": {"total": [float("-inf"), None]}}, "change_set.total: -inf is no number"),
        ({"change_set": {"total": [None, 10**5000]}}, "change_set.total: a number of 16610 bits"),
        ({"change_set": {"note": [None, "\ud800"]}}, "change_set.note: half a character"),
        ({"change_set": {"\ud800": [1, 2]}}, "change_set: half a character"),
        ({"change_set": {"note": [None, "\0AA"]}}, "change_set.note: a text that begins with NUL"),
        ({"change_set": {"\0": [1, 2]}}, "change_set: a text that begins with NUL"),
        ({"change_set": {"lines": [None, nested(30)]}}, "nested deeper than 32 levels"),
        ({"change_set": {"total": [1]}}, "change_set.total: "),
        ({"change_set": {("a", "b"): [1, 2]}}, "change_set: ('a', 'b') is no field's name"),
        ({"representation": {"lines": [{"note": "\0"}]}}, "representation.lines[0].note: a text that begins with NUL"),
        ({"representation": "\0"}, "representation: a text that begins with NUL"),
        ({"representation": "é" * (MAX_BYTES // 2)}, f"bytes are more than {MAX_BYTES}"),
        ({"id": "x" * 201}, "id: one line of at most 200 characters"),
        ({"source": "a\nb"}, "source: one line"),
        ({"status": "\x1b"}, "status: one line"),
        ({"origin": "\u202e"}, "origin: one line"),
        ({"version": 2**53}, "version: 9007199254740992 is no whole number"),
        ({"version": True}, "version: True is no whole number"),
        ({"actor": {"name": "Ann"}}, "actor: no user"),
        ({"actor": {"user": "ann", "name": "\n"}}, "actor.name: one line"),
        ({"redact": {"margin": "Controlling"}}, "redact.margin: 'Controlling' is no name of a right"),
        ({"redact": dict.fromkeys(map(str, range(65)), "r")}, "redact: "),
        ({"count": 3}, "count: only of a bulk message"),
        ({"ids": ["1"]}, "ids: only of a bulk message"),
        ({"form": "invoice.42"}, "form: 'invoice.42' is no form's topic"),
        ({"form": FORM + "\n"}, "form: "),
        ({"form": MANY}, "count: how many records have changed is not said"),
        ({"form": MANY, "count": 0}, "count: 0 is no whole number from 1"),
        ({"form": MANY, "count": 1, "ids": ["1", "2"]}, "ids: 2 are more than the count"),
        ({"form": MANY, "count": 1, "ids": ["A/7"]}, "ids: 'A/7' is no id as in a topic"),
        ({"form": MANY, "count": 2000, "ids": list(map(str, range(1001)))}, "ids: 1001 are more than 1000"),
        ({"form": MANY, "count": 1, "version": 3}, "version: not of a bulk message"),
        ({"form": MANY, "count": 1, "representation": {}}, "representation: not of a bulk message"),
        (
            {"form": MANY, "count": 1, "change_set": {"paid": [False, True]}},
            "change_set: in a bulk message the old value is always None",
        ),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, str) else "",
)
def test_problems(facts: dict[str, Any], problem: str) -> None:
    """What the bridge would refuse is found by its sender, who is told where it is; and it is not sent."""
    update = Update(**{"form": FORM, **facts})
    (found,) = update.problems()
    assert problem in found
    with pytest.raises(ValueError, match=re.escape(problem)):
        update.encode()


def test_all_problems() -> None:
    """Whoever mends an update learns of everything at once."""
    update = Update(form=FORM, change_set={"a": [1, float("inf")]}, version=2**60, id="\n")
    assert [problem.partition(":")[0] for problem in update.problems()] == ["change_set.a", "id", "version"]


def test_cycle() -> None:
    """What contains itself ends at the depth, not at the end of the stack."""
    endless: dict[str, Any] = {}
    endless["self"] = [endless]
    (found,) = Update(form=FORM, representation=endless).problems()
    assert found.endswith("nested deeper than 32 levels")


def test_levels() -> None:
    """The depth that is allowed here is the bridge's: 32 with the message itself."""
    for levels, right in ((29, True), (30, False)):
        update = Update(form=FORM, change_set={"a": [None, nested(levels)]})
        assert (update.problems() == ()) == right


def test_no_problem() -> None:
    """Everything that can be said at once."""
    update = Update(
        form=FORM,
        change_set={"total": [Decimal("120.00"), Decimal("140.00")], "margin": [None, 14]},
        id="7f3a",
        source="billing",
        version="W/7",
        origin="tab-1",
        actor={"user": "ann", "name": "Ann Weber"},
        representation="<p>140</p>",
        redact={"margin": "controlling"},
    )
    assert update.problems() == ()
    assert Update(form=MANY, count=2, ids=["42", escape("A/7")], change_set={"paid": [None, True]}).problems() == ()
    assert Update(form=topic("invoice", "A/7", "lines")).problems() == ()


def test_long_topic() -> None:
    """U32: a topic is never cut: two records would share a lock. What is too long is an error."""
    assert len(topic("t" * 64, "i" * 64)) < MAX_TOPIC_LENGTH
    with pytest.raises(ValueError, match="at most 200 characters"):
        topic("t" * 64, "i" * 64, "s" * 64)
