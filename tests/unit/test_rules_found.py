"""What the simulator (formlock.testing.simulate) and the random walk (test_rules_machine) found in the rules, each made small."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from formlock.commands import AskFor, Freed, HandOver, InLine, Recovered, Refusal, Renew, SessionLost, Unlock, Wait, Yours
from formlock.errors import FormLocked, Lost
from formlock.events import Granted, HandoverEnded, Released, TakenOver
from formlock.policy import MAX_ATTEMPTS
from tests.unit.test_rules_wanting import ANN, BOB, CYD, FIRST, POLICY, SESSION, Form

HANDING = replace(POLICY, handover_ms=5_000)


def test_a_copy_of_the_tab_gets_no_section_of_what_the_tab_has() -> None:
    """U9: the tab's own page keeps the whole to itself, also from a page with the tab's id on another session."""
    form = Form()
    form.lock(ANN)
    assert form.lock(ANN, session=9, section="lines") == Refusal(FormLocked, same_user=True)
    assert form.lock(ANN, section="lines") == Yours(FIRST + 2, POLICY.ttl_ms)


def test_a_copy_of_the_tab_does_not_take_up_a_part_of_what_another_page_has() -> None:
    """U9: after a loss of the line two pages of one tab can't each come back to one of two parts that overlap."""
    form = Form()
    form.lock(ANN)
    form.lock(ANN, section="lines")
    form.do(SessionLost(SESSION[ANN]))
    assert form.lock(ANN, session=8) == Yours(FIRST + 1, POLICY.ttl_ms)
    assert form.lock(ANN, session=9, section="lines") == Refusal(FormLocked, same_user=True)


def test_nobody_joins_a_lease_that_is_being_handed_over() -> None:
    """Whoever takes over gets the form to himself: a shared lease given meanwhile would stand beside his."""
    form = Form(HANDING)
    form.lock(ANN, mode="shared")
    assert isinstance(form.takeover(BOB, right=True), Wait)
    assert form.lock(CYD, mode="shared") == Refusal(FormLocked)
    form.do(HandOver(ANN, FIRST + 1))
    assert form.holders == [BOB]


def test_a_hand_over_gives_what_was_asked_for() -> None:
    """The whole is taken over from the holder of a section: the taker has the whole, not the section."""
    form = Form(HANDING)
    form.lock(ANN, section="lines")
    form.takeover(BOB, right=True)
    form.do(HandOver(ANN, FIRST + 1))
    assert form.lease(BOB).section == ""


def test_who_shares_and_takes_over_has_one_lease() -> None:
    """What the taker shared so far goes up in the new grant, instead of two leases of one owner."""
    form = Form()
    form.lock(ANN, mode="shared")
    form.lock(BOB, mode="shared")
    assert form.takeover(BOB, FIRST + 1, right=True) == Yours(FIRST + 3, POLICY.ttl_ms)
    assert form.happened == [TakenOver, Released, Granted]
    assert [(lease.token, lease.mode) for lease in form.state.holds] == [(FIRST + 3, "exclusive")]


def test_a_shared_lease_is_not_taken_for_an_exclusive_one() -> None:
    """A takeover of what one shares oneself is a new, exclusive grant; its answer is never the shared token."""
    form = Form()
    form.lock(ANN, mode="shared")
    assert form.takeover(ANN) == Yours(FIRST + 2, POLICY.ttl_ms)
    assert form.lease(ANN).mode == "exclusive"


def test_a_reload_that_wants_it_exclusive_does_not_resume_a_shared_lease() -> None:
    """The page that comes back believes what it asked for."""
    form = Form()
    form.lock(ANN, mode="shared")
    form.unlock(ANN, leaving=True)
    assert form.lock(ANN) == Yours(FIRST + 2, POLICY.ttl_ms)
    assert form.lease(ANN).mode == "exclusive"


def test_a_wall_clock_set_forward_ends_no_lease_that_was_promised() -> None:
    """U1: max_hold and long locks are known by wall time after a restart; what a renewal was answered just before is kept."""
    for more in ({}, {"long_wall": 1_800_000_000_000 + 9 * 3_600_000}):
        form = Form()
        form.lock(ANN, **more)
        form.state = form.state.without_clock(form.now)
        form.state = replace(
            form.state, holds=tuple(replace(h, granted_wall=1, long_wall=h.long_wall and 1) for h in form.state.holds)
        )
        form.do(Recovered(frozenset({SESSION[ANN]}), 30_000))
        form.pass_time(POLICY.ttl_ms - 1)
        assert form.holders == [ANN]


def test_a_pause_moves_no_end_that_the_monotonic_clock_knows() -> None:
    """After a pause of the same process the longest time ends when it would have."""
    form = Form()
    form.lock(ANN)
    ends_at = form.lease(ANN).ends_at
    form.now += 60_000
    form.do(Recovered(None, 30_000))
    assert form.lease(ANN).ends_at == ends_at


def test_a_call_that_is_repeated_is_remembered_once() -> None:
    """A page that repeats one call for a while pushes no other call out of what is remembered."""
    form = Form()
    form.lock(ANN, rid="first")
    form.unlock(ANN)
    form.lock(BOB, rid="again")
    for _ in range(2 * MAX_ATTEMPTS):
        form.lock(BOB, rid="again")
    form.unlock(BOB)
    assert form.lock(ANN, rid="first") == Refusal(Lost)


def test_a_late_renewal_does_not_move_the_lease_back() -> None:
    """U1, U16: a page has gone on to a new line; a renewal that was stuck in the old one, and the old one's end, cost it nothing."""
    form = Form()
    form.lock(ANN)
    form.do(Renew(ANN, FIRST + 1, session=8))
    assert form.renew(ANN) == Yours(FIRST + 1, POLICY.ttl_ms)
    form.do(SessionLost(SESSION[ANN]))
    assert form.lease(ANN).session == 8


def test_a_late_renewal_after_an_unanswered_probe() -> None:
    """As above, where the service had given the old session up itself."""
    form = Form()
    form.lock(ANN)
    form.wait(BOB)
    form.pass_time(POLICY.contended_probe_ms)
    form.do(Renew(ANN, FIRST + 1, session=8))
    form.do(Renew(ANN, FIRST + 1, SESSION[ANN]))
    form.do(SessionLost(SESSION[ANN]))
    assert form.lease(ANN).session == 8


def test_a_hand_over_that_nobody_waits_for_any_more() -> None:
    """The holder is told that the form is still his, and can go on or give it back."""
    form = Form(HANDING)
    form.lock(ANN)
    form.takeover(BOB, right=True)
    form.do(SessionLost(SESSION[BOB]))
    assert form.happened == [HandoverEnded]
    assert form.do(HandOver(ANN, FIRST + 1)) == Yours(FIRST + 1, POLICY.ttl_ms)


def test_after_a_restart_nothing_is_handed_to_a_session_that_is_gone() -> None:
    """Nobody would ever say of that session that it has left, and the form would be locked for a whole ttl."""
    form = Form(HANDING)
    form.lock(ANN)
    form.takeover(BOB, right=True)
    form.state = form.state.without_clock(form.now)
    form.do(Recovered(frozenset({SESSION[ANN]}), 30_000))
    assert HandoverEnded in form.happened
    form.pass_time(60_000)
    assert form.holders == [ANN]


# -- what the random walk (test_rules_machine.py) found


def test_taking_over_what_one_has_is_no_way_to_a_silent_pages_token() -> None:
    """U9: the page that gave no sign of life may be asleep: as after a `lock` of its tab, it has lost when it wakes."""
    form = Form()
    form.lock(BOB)
    form.do(AskFor(ANN, "Ann"))
    form.pass_time(POLICY.contended_probe_ms)
    assert form.lease(BOB).silent
    assert form.takeover(BOB, session=8) == Yours(FIRST + 2, POLICY.ttl_ms)
    assert form.do(Renew(BOB, FIRST + 1, SESSION[BOB])) == Refusal(Lost)
    assert form.lease(BOB).session == 8


def test_a_copy_of_the_tab_does_not_take_over_a_part_of_what_another_page_has() -> None:
    """U9: nor does a takeover of one's own lease give two pages of one tab two parts that overlap."""
    form = Form()
    form.lock(ANN)
    form.lock(ANN, section="lines")
    form.do(SessionLost(SESSION[ANN]))
    form.lock(ANN, session=8)
    assert form.takeover(ANN, session=9, section="lines") == Refusal(FormLocked, same_user=True)


def test_a_late_copy_of_a_takeover_gives_no_new_token() -> None:
    """U3: its grant has ended, and the form was locked again since: the page that has it now loses nothing by the late copy."""
    form = Form()
    form.lock(ANN)
    form.takeover(BOB, right=True, rid="late")
    form.unlock(BOB)
    form.lock(BOB, session=8)
    form.wait(ANN)
    form.pass_time(POLICY.contended_probe_ms)
    assert form.takeover(BOB, FIRST + 1, right=True, rid="late") == Refusal(Lost)
    assert form.do(Renew(BOB, FIRST + 3, session=8)) == Yours(FIRST + 3, POLICY.ttl_ms)


def test_a_renewal_from_a_line_given_up_is_late_however_the_page_came_back() -> None:
    """U16: the page has locked again over a new line; what was stuck in the old one is answered, and moves the lease nowhere."""
    form = Form()
    form.lock(ANN)
    form.do(SessionLost(SESSION[ANN]))
    assert form.lock(ANN, session=8) == Yours(FIRST + 1, POLICY.ttl_ms)
    assert form.renew(ANN) == Yours(FIRST + 1, POLICY.ttl_ms)
    assert form.lease(ANN).session == 8


def test_the_holder_of_a_section_waits_for_whoever_takes_it_over() -> None:
    """The whole goes to the taker first: until it has, the holder of a section who wants the whole stands in line for it."""
    form = Form(HANDING)
    form.lock(ANN, section="lines")
    form.takeover(BOB, right=True)
    assert form.wait(ANN) == InLine(1, 1)
    form.do(HandOver(ANN, FIRST + 1))
    assert form.holders == [BOB]
    form.unlock(BOB)
    assert form.holders == [ANN]


def test_another_wish_is_told_its_place_behind_whoever_it_lets_pass() -> None:
    """U3: a writer in line wants only to read: the reader behind him is served at once, and not counted as being before him."""
    form = Form()
    form.lock(ANN, section="lines")
    assert form.wait(CYD) == InLine(1, 1)
    assert form.wait(ANN, mode="shared") == InLine(2, 2)
    assert form.wait(CYD, mode="shared") == InLine(3, 1)
    assert form.holders == [ANN, ANN]


@pytest.mark.parametrize("grace_ms", [6_000, 10_000, 30_000])
@pytest.mark.parametrize("before_ms", [-1, 0, 4_000, 20_000])
def test_a_lost_session_keeps_its_form_for_as_long_as_its_page_was_told(before_ms: int, grace_ms: int) -> None:
    """U3: what only the router's end of a line has noticed, the page has not: it believes for as long as it was told, whenever
    somebody comes to wait. And nobody waits for longer than the grace of the policy."""
    policy = replace(POLICY, grace_ms=grace_ms, contended_grace_ms=min(10_000, grace_ms))
    form = Form(policy)
    form.lock(ANN)
    if before_ms < 0:
        form.wait(BOB)
        form.renew(ANN)
    form.do(SessionLost(SESSION[ANN]))
    lost = form.now
    while form.holders == [ANN]:
        if form.now - lost == before_ms:
            form.wait(BOB)
        form.pass_time(1_000)
    assert policy.silence_ms <= form.now - lost <= grace_ms


def test_a_copy_that_asks_and_leaves_shortens_nothing() -> None:
    """U3, U9: the probe for a tab's copy is a short one; whoever waits gets the form no sooner for it."""
    form = Form()
    form.lock(ANN)
    form.wait(BOB)
    form.renew(ANN)
    assert isinstance(form.lock(ANN, session=9), Wait)
    form.pass_time(POLICY.silence_ms)
    assert form.holders == [ANN]


def test_a_last_word_is_late_however_often_the_line_has_broken_since() -> None:
    """U5: said by HTTP it may come much later: the tab's next page may have made a new line every 8 s of 90."""
    form = Form()
    form.lock(ANN)
    first = SESSION[ANN]
    for session in range(100, 112):
        form.do(SessionLost(form.lease(ANN).session or 0))
        assert form.do(Renew(ANN, FIRST + 1, session)) == Yours(FIRST + 1, POLICY.ttl_ms)
    assert form.do(Unlock(ANN, FIRST + 1, leaving=True, sessions=(999, first))) == Freed()
    assert form.holders == [ANN]
