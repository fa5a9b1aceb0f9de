"""Several updates of one form told as one."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formlock.uris import Uris
from formlock_bridge.folding import fold, may_fold
from formlock_bridge.intake import read
from formlock_push import Update

FORM = "com.example.form.invoice.42"
GOLDEN: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "contract" / "folding.json").read_text(encoding="utf-8"))

values = st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.sampled_from(["", "a"]))


def update(message: dict[str, Any]) -> Update:
    taken = read(Uris(), json.dumps({"v": 1, "form": FORM, **message}).encode())
    assert isinstance(taken, Update), taken
    return taken


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden["claim"])
def test_golden(golden: dict[str, Any]) -> None:
    """Neighbours that may be one are; the others stay apart (U36, U37)."""
    told: list[Update] = []
    for one in map(update, golden["updates"]):
        if told and may_fold(told[-1], one):
            told[-1] = fold(told[-1], one)
        else:
            told.append(one)
    assert told == [update(event) for event in golden["events"]]


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[str, Any], list[Update]]:
    """A record, and updates that really happened to it one after the other."""
    first = draw(st.dictionaries(st.sampled_from("abc"), values, min_size=3, max_size=3))
    now, updates = dict(first), []
    for _ in range(draw(st.integers(1, 6))):
        news = draw(st.dictionaries(st.sampled_from("abc"), values))
        updates.append(Update(form=FORM, change_set={field: [now[field], new] for field, new in news.items()}))
        now |= news
    return first, updates


def same(one: object, other: object) -> bool:
    return json.dumps(one) == json.dumps(other)


@given(histories(), st.integers(0, 5))
def test_as_one_by_one(history: tuple[dict[str, Any], list[Update]], at: int) -> None:
    """Whoever applies the fold has the record as whoever applied each; however they are grouped; and nothing is told to have changed
    that has not."""
    first, updates = history
    whole = reduce(fold, updates)
    now = dict(first)
    for one in updates:
        now |= {field: new for field, (_, new) in (one.change_set or {}).items()}
    assert whole.change_set is not None
    if len(updates) > 1:
        assert whole.change_set == {field: [first[field], now[field]] for field in now if not same(first[field], now[field])}
    if 0 < at < len(updates):
        assert fold(reduce(fold, updates[:at]), reduce(fold, updates[at:])) == whole


@given(histories(), st.integers(0, 5))
def test_what_nobody_knows_stays_unknown(history: tuple[dict[str, Any], list[Update]], at: int) -> None:
    """One update without a change set makes the fold one without."""
    _, updates = history
    updates.insert(min(at, len(updates)), Update(form=FORM))
    assert reduce(fold, updates).change_set is None
