"""How changes of one record fold, whatever they are and however savepoints group them."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from formlock_push.changes import Change, Ledger, fold, kept, same
from formlock_push.scope import Acting

FORM = "com.example.form.invoice.1"
FIELDS = ("a", "b")
Record = dict[str, int] | None


def change_between(before: Record, after: Record) -> Change | None:
    """What a flush reports that makes the one of the other."""
    if before is None and after is None:
        return None
    if before is None:
        assert after is not None
        return Change(status="inserted", form=FORM, pairs={field: (None, value) for field, value in after.items()})
    if after is None:
        return Change(status="deleted", form=FORM)
    pairs = {field: (before[field], after[field]) for field in FIELDS if before[field] != after[field]}
    return Change(status="updated", form=FORM, pairs=pairs)


def ledger_of(changes: list[Change | None]) -> Ledger:
    ledger = Ledger()
    for change in changes:
        if change is not None:
            ledger.add("record", change)
    return ledger


records: st.SearchStrategy[Record] = st.none() | st.fixed_dictionaries(dict.fromkeys(FIELDS, st.integers(0, 2)))


@given(st.lists(records, min_size=2, max_size=8), st.data())
def test_any_grouping(states: list[Record], data: st.DataObject) -> None:
    """However a record's history is cut into savepoints, what is told is what differs between its first and its last state."""
    changes = [change_between(before, after) for before, after in pairwise(states)]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(changes)))))
    whole = Ledger()
    for start, end in zip([0, *cuts], [*cuts, len(changes)], strict=True):
        whole.add_all(ledger_of(changes[start:end]))
    told = list(whole.updates())
    expected = change_between(states[0], states[-1])
    reborn = states[0] is not None and None in states[1:]
    if expected is None or (expected.nothing and not reborn):
        assert told == []
        return
    assert len(told) == 1
    assert told[0].status == expected.status
    if expected.status == "updated":
        assert told[0].change_set == (None if reborn else expected.pairs)


@given(st.lists(st.sampled_from(["inserted", "updated", "deleted"]), min_size=3, max_size=3), st.booleans())
def test_associative(statuses: list[str], known: bool) -> None:
    """Also of sequences that no record can have (a bulk statement and a flush may overlap), any grouping gives the same status."""

    def of(status: str) -> Change:
        return Change(status=status, form=FORM, pairs={"a": (1, 2)} if known and status != "deleted" else None)

    def join(first: Change | None, then: Change | None) -> Change | None:
        if first is None or then is None:
            return then or first
        return fold(first, then)

    one, two, three = map(of, statuses)
    if join(one, two) is None or join(two, three) is None:
        return
    left, right = reduce(join, [one, two, three]), join(one, join(two, three))
    assert (left and left.status) == (right and right.status)


def test_last_word() -> None:
    """Who acts, the version and the contents are the last change's; what is not known any more is not told."""
    first = Change(status="updated", form=FORM, pairs={"a": (1, 2)}, version=1, representation="<p>", acting=Acting("tab-1"))
    then = Change(status="updated", form=None, pairs=None, acting=Acting("tab-2"))
    ledger = ledger_of([first, then])
    (update,) = ledger.updates()
    assert update.form == FORM
    assert (update.version, update.representation, update.change_set, update.origin) == (None, None, None, "tab-2")


def test_many_by_several_people() -> None:
    """A message for a whole type names who did it only where it was one: the tab that is left out must have done all of it."""
    ledger = Ledger()
    for number in range(4):
        acting = Acting(f"tab-{number % 2}", "ann" if number % 2 else "bob")
        ledger.add(number, Change(status="updated", form=f"com.example.form.invoice.{number}", pairs=None, acting=acting))
    [update] = ledger.updates(3)
    assert (update.count, update.origin, update.actor) == (4, None, None)


def test_nameless() -> None:
    """What names no form is not told."""
    assert list(ledger_of([Change(status="inserted", form=None)]).updates()) == []


def test_values_that_cannot_be_compared() -> None:
    """A value whose comparison raises, or has no truth, has changed; one that can't be copied is kept as it is."""

    class Odd:
        def __eq__(self, other: object) -> bool:
            raise TypeError

        def __deepcopy__(self, memo: Any) -> Odd:
            raise TypeError

        __hash__ = None  # type: ignore[assignment]

    odd = Odd()
    assert same(odd, odd)
    assert not same(Odd(), odd)
    values = [odd]
    assert kept(values) is values
    assert kept({"a": [1]}) == {"a": [1]}
