"""What a record holds becomes JSON."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from formlock_push import Update

FORM = "com.example.form.invoice.42"


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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_unsayable(value: Any) -> None:
    """What is no JSON for every client is refused here already, and not by the bridge."""
    with pytest.raises(ValueError, match=r"."):
        Update(form=FORM, change_set={"field": [None, value]}).encode()
