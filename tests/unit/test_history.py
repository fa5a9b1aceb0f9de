"""How refusals are folded, what the history keeps, and whose drafts somebody may read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from formlock.drafts import LATE_MS, MAX_PER_FORM, may_hand_in, readable, surplus
from formlock.events import Event, Granted, Refused, Released
from formlock.history import FOLD_MS, KINDS, MAX_FOLDED, MAX_UNWRITTEN, Keeping, Recorder, what
from formlock.model import Draft, FormId, FormState, Lease, Owner
from formlock.telling import STATUS, own_facts, told, verb

FORM = FormId("invoice", "42")
BASE = {field.name for field in fields(Event)}
ANN, BOB, EVA = Owner("ann", "a"), Owner("bob", "b"), Owner("eva", "e")


def refused(number: int, wall: int = 0) -> Refused:
    return Refused(FORM, Owner(f"user{number}", "t"), 0, 1, wall, "lock", "form_locked")


def granted(token: int, owner: Owner = ANN, section: str = "", wall: int = 0) -> Granted:
    return Granted(FORM._replace(section=section), owner, token, 1, wall, 1)


def draft(token: int, owner: Owner = ANN, section: str = "", wall: int = 1_000) -> Draft:
    return Draft(FORM._replace(section=section), owner, "", token, wall, b"1")


def held_by(owner: Owner, token: int, section: str = "") -> FormState:
    lease = Lease(owner, "", token, 1, granted_wall=0, deadline=None, section=section)
    return FormState(FORM, token, holds=(lease,))


def test_every_event_has_a_name_of_its_own() -> None:
    """Under which it is stored, told and logged; each public one but a grant has its status."""
    assert len(set(KINDS.values())) == len(KINDS) >= 15
    assert {kind for kind in KINDS.values() if kind.public} - set(STATUS) == {Granted}
    for name, kind in KINDS.items():
        event = kind(FORM, ANN, 0, 0, 0, **{field.name: None for field in fields(kind) if field.required and field.name not in BASE})
        assert (what(event), verb(event)) == (name, f"lock.{name}")
    assert {"granted", "taken_over", "left_queue", "became_idle"} <= set(KINDS)


def test_nothing_that_is_told_names_a_tab_or_a_session() -> None:
    """What people see of an event is who, why and how; a tab's id is as good as a password to its lock."""
    event = granted(5, Owner("ann", "secret-tab"))
    assert "secret-tab" not in repr(told(event))
    assert set(own_facts(event)) == {"resumed", "number"}


def test_a_flood_of_one_refusal_is_one_entry() -> None:
    recorder = Recorder(0)
    for wall in range(1_000):
        recorder.changes((refused(1, wall),))
    (entry,) = recorder.take()
    assert (entry.number, entry.times, entry.event.wall, entry.last_wall) == (1, 1_000, 0, 999)
    assert not recorder.waiting
    recorder.changes((refused(1, FOLD_MS - 1),))
    (again,) = recorder.take()
    assert (again.number, again.times) == (1, 1_001)
    recorder.changes((refused(1, FOLD_MS),))
    assert recorder.take()[0].number == 2


def test_a_flood_of_many_refusals_takes_bounded_room() -> None:
    """Until they are written, and to be recognised."""
    recorder = Recorder(0)
    for number in range(MAX_UNWRITTEN + 500):
        recorder.changes((refused(number),))
    assert len(recorder.take()) == MAX_UNWRITTEN
    for number in range(2 * MAX_FOLDED):
        recorder.changes((refused(number, 1),))
        recorder.take()
    assert len(recorder._folded) == MAX_FOLDED


def test_what_changes_something_is_never_folded() -> None:
    """The same event twice is two entries, and a flood of refusals has no part in them."""
    recorder = Recorder(7)
    events: tuple[Event, ...] = (granted(1), refused(1), Released(FORM, ANN, 1, 2, 0, "unlock"), granted(1))
    assert [(entry.number, entry.event) for entry in recorder.changes(events)] == [
        (8, events[0]), (10, events[2]), (11, events[3]),
    ]  # fmt: skip
    assert [(entry.number, entry.event) for entry in recorder.take()] == [(9, events[1])]


@pytest.mark.parametrize("wrong", [{"days": 0}, {"per_form": 9}, {"in_all": -1}, {"days": "30"}, {"per_form": True}])
def test_keeping_is_checked(wrong: dict[str, int]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"history: {name} must be a whole number"):
        Keeping(**wrong)


# -- drafts


def test_readable_by_its_author_alone() -> None:
    drafts = [draft(1, ANN), draft(2, BOB)]
    state = held_by(EVA, 3)
    grants = [granted(1, ANN), granted(2, BOB), granted(3, EVA)]
    assert readable(drafts, FORM, "ann", 1_000, state, grants, share=True) == [drafts[0]]
    assert readable(drafts, FORM, "nobody", 1_000, state, grants, share=True) == []


def test_readable_by_the_holder_of_now_from_the_holder_before() -> None:
    """Marked by whose it is; not without the policy, not by a holder of another section, not once it is not the holder any more."""
    drafts = [draft(2, BOB)]
    grants = [granted(1, ANN), granted(2, BOB), granted(3, EVA)]
    assert readable(drafts, FORM, "eva", 1_000, held_by(EVA, 3), grants, share=True) == drafts
    assert readable(drafts, FORM, "eva", 1_000, held_by(EVA, 3), grants, share=False) == []
    assert readable(drafts, FORM, "eva", 1_000, FormState(FORM, 3), grants, share=True) == []
    assert readable([draft(1, ANN)], FORM, "eva", 1_000, held_by(EVA, 3), grants, share=True) == []


def test_sections_have_holders_before_of_their_own() -> None:
    grants = [granted(1, ANN, "address"), granted(2, BOB, "lines"), granted(3, EVA, "address")]
    drafts = [draft(1, ANN, "address"), draft(2, BOB, "lines")]
    address = FORM._replace(section="address")
    assert readable(drafts, address, "eva", 1_000, held_by(EVA, 3, "address"), grants, share=True) == [drafts[0]]
    lines = FORM._replace(section="lines")
    assert readable(drafts, lines, "eva", 1_000, held_by(EVA, 3, "address"), grants, share=True) == []


def test_who_may_hand_in() -> None:
    """The owner of the grant, as long as it lasts, and ten minutes after the last that happened to it."""
    past = [granted(1, ANN, wall=0), Released(FORM, ANN, 1, 2, 1_000, "expired")]
    assert may_hand_in(ANN, 1, 10**9, held_by(ANN, 1), ())
    assert not may_hand_in(Owner("ann", "copy"), 1, 0, held_by(ANN, 1), past)
    assert may_hand_in(ANN, 1, 1_000 + LATE_MS - 1, FormState(FORM, 1), past)
    assert not may_hand_in(ANN, 1, 1_000 + LATE_MS, FormState(FORM, 1), past)
    assert not may_hand_in(BOB, 1, 1_000, FormState(FORM, 1), past)
    assert not may_hand_in(ANN, 2, 1_000, FormState(FORM, 1), past)


@given(st.lists(st.tuples(st.sampled_from([ANN, BOB, EVA]), st.integers(0, 10)), max_size=30))
def test_nobody_pushes_out_anothers_draft_by_handing_in_many(handed_in: list[tuple[Owner, int]]) -> None:
    """Never more than the number, the newest always kept, and another's goes only for somebody who has none of its own there."""
    kept: list[Draft] = []
    for token, (owner, wall) in enumerate(handed_in, start=1):
        newest = draft(token, owner, wall=wall)
        had_own = any(other.owner.user == owner.user for other in kept)
        kept.append(newest)
        gone = surplus(kept, newest)
        kept = [other for other in kept if other not in gone]
        assert newest in kept
        assert len(kept) <= MAX_PER_FORM
        if had_own:
            assert {other.owner.user for other in gone} <= {owner.user}
