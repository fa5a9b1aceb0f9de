"""The rules of locking, one after the other; `test_rules_machine` walks them at random."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from formlock.commands import (
    Command,
    Decision,
    Done,
    Freed,
    HandOver,
    Lock,
    Recovered,
    Refusal,
    Renew,
    SessionLost,
    Takeover,
    Tick,
    Unlock,
    Wait,
    Yours,
)
from formlock.errors import FormLocked, FormLockError, Lost, NotHolder
from formlock.events import Detached, Granted, Queued, Reattached, Refused, Released
from formlock.model import FormId, FormState, Owner
from formlock.policy import MAX_ATTEMPTS, REPEAT_MS, Policy
from formlock.rules import decide, session_owner

POLICY = Policy()
FORM = FormId("invoice", "42")
ANN, ANN_2, BOB = Owner("ann", "tab-a"), Owner("ann", "tab-b"), Owner("bob", "tab-c")
FIRST = 100
WALL = 1_800_000_000_000


class Form:
    """One form, commands applied one after the other."""

    def __init__(self) -> None:
        self.state = FormState(FORM, token=FIRST)
        self.now = 1_000
        self.events: list[Any] = []

    def do(self, command: Command, after: int = 0) -> Decision:
        self.now += after
        decision = decide(self.state, command, self.now, WALL, POLICY)
        self.state = decision.state
        self.events.extend(decision.events)
        return decision

    def lock(self, owner: Owner = ANN, session: int = 1, after: int = 0, **more: Any) -> Any:
        return self.do(Lock(owner=owner, name=owner.user.title(), session=session, **more), after).reply

    def renew(self, owner: Owner = ANN, session: int = 1, token: int = FIRST + 1, after: int = 0, **more: Any) -> Any:
        return self.do(Renew(owner, token, session, **more), after).reply

    def unlock(
        self, owner: Owner = ANN, token: int = FIRST + 1, leaving: bool = False, after: int = 0, sessions: tuple[int, ...] = (1,)
    ) -> Any:
        return self.do(Unlock(owner, token, leaving, sessions), after).reply

    @property
    def holder(self) -> Owner | None:
        return self.state.lease.owner if self.state.lease is not None else None


@pytest.fixture
def form() -> Form:
    return Form()


def refused(reply: Any, error: type[FormLockError], same_user: bool = False) -> bool:
    return reply == Refusal(error, same_user)


def test_free_form_is_granted_with_the_next_token(form: Form) -> None:
    assert form.lock() == Yours(FIRST + 1, POLICY.ttl_ms)
    assert form.events == [Granted(FORM, ANN, FIRST + 1, 1, WALL, 1, name="Ann")]


def test_another_owner_is_refused(form: Form) -> None:
    form.lock()
    assert refused(form.lock(BOB, 2), FormLocked)
    assert form.holder == ANN


def test_same_user_in_another_tab_is_told_so(form: Form) -> None:
    """U11, U12: "locked by yourself" is another tab, and closing that one says nothing of this one."""
    form.lock()
    assert refused(form.lock(ANN_2, 2), FormLocked, same_user=True)
    form.do(SessionLost(2))
    assert form.state.lease is not None
    assert form.state.lease.session == 1


def test_locking_again_renews(form: Form) -> None:
    """A double click is no second grant."""
    form.lock()
    assert form.lock(after=5_000) == Yours(FIRST + 1, POLICY.ttl_ms)
    assert form.state.rev == 1
    assert form.state.deadline == form.now + POLICY.ttl_ms


def test_reload_after_the_session_is_gone_keeps_the_token(form: Form) -> None:
    """U8, U9: a blip or reload within the grace re-attaches."""
    form.lock()
    form.do(SessionLost(1), after=1_000)
    assert form.lock(session=2, after=POLICY.grace_ms - 1) == Yours(FIRST + 1, POLICY.ttl_ms)
    assert form.events[1:] == [
        Detached(FORM, ANN, FIRST + 1, 1, WALL, name="Ann"),
        Reattached(FORM, ANN, FIRST + 1, 1, WALL, 2, name="Ann"),
    ]


def test_renewal_re_attaches_too(form: Form) -> None:
    form.lock()
    form.do(SessionLost(1))
    assert form.renew(session=2, after=10) == Yours(FIRST + 1, POLICY.ttl_ms)
    assert form.state.lease is not None
    assert form.state.lease.session == 2


def test_grace_ends(form: Form) -> None:
    """U1, U5: somebody who is gone does not hold a form for longer than the grace."""
    form.lock()
    form.do(SessionLost(1))
    form.do(Tick(), after=POLICY.grace_ms - 1)
    assert form.holder == ANN
    form.do(Tick(), after=1)
    assert form.holder is None
    assert form.events[-1] == Released(FORM, ANN, FIRST + 1, 2, WALL, "session_lost", name="Ann")
    assert form.lock(BOB, 2) == Yours(FIRST + 2, POLICY.ttl_ms)


def test_grace_never_makes_a_lease_longer(form: Form) -> None:
    form.lock()
    form.do(SessionLost(1), after=POLICY.ttl_ms - 10)
    form.do(Tick(), after=10)
    assert form.holder is None


def test_silent_owner_expires(form: Form) -> None:
    """U4: an attached session that stops renewing loses the form at the deadline, not hours later."""
    form.lock()
    form.do(Tick(), after=POLICY.ttl_ms)
    assert form.events[-1] == Released(FORM, ANN, FIRST + 1, 2, WALL, "expired", name="Ann")
    assert refused(form.renew(), Lost)


def test_time_passes_without_a_timer(form: Form) -> None:
    """A deadline counts at its time, whether or not a timer has run."""
    form.lock()
    assert form.lock(BOB, 2, after=POLICY.ttl_ms) == Yours(FIRST + 2, POLICY.ttl_ms)
    assert [type(event) for event in form.events] == [Granted, Released, Granted]
    assert [event.rev for event in form.events] == [1, 2, 3]


def test_each_event_has_the_state_right_after_it(form: Form) -> None:
    """What is told of a release is the free form, although the same decision has given it to the next already."""
    form.lock()
    decision = form.do(Lock(owner=BOB, name="Bob", session=2), after=POLICY.ttl_ms)
    assert [type(event) for event in decision.events] == [Released, Granted]
    assert [state.rev for state in decision.states] == [event.rev for event in decision.events]
    assert [state.lease is None for state in decision.states] == [True, False]


def test_a_re_attachment_is_an_attempt_too(form: Form) -> None:
    """U16: its late copy, after Done, must not start another grant."""
    form.lock()
    form.do(SessionLost(1))
    form.lock(session=2, rid="r2")
    form.unlock()
    assert refused(form.lock(session=2, rid="r2"), Lost)


def test_renewal_extends_and_never_shortens(form: Form) -> None:
    """U16: late or repeated renewals never shorten a lease."""
    form.lock()
    form.renew(after=25_000)
    assert form.state.deadline == form.now + POLICY.ttl_ms
    early = decide(form.state, Renew(ANN, FIRST + 1, 1), form.now - 20_000, WALL, POLICY)
    assert early.state.deadline == form.state.deadline
    assert early.events == ()


@pytest.mark.parametrize(("owner", "token"), [(BOB, FIRST + 1), (ANN, FIRST + 2), (ANN, FIRST), (ANN_2, FIRST + 1)])
def test_renewal_of_somebody_elses_lock_is_lost(form: Form, owner: Owner, token: int) -> None:
    form.lock()
    assert refused(form.renew(owner, session=3, token=token), Lost)
    assert form.state.lease is not None
    assert form.state.lease.session == 1


def test_unlock_frees_and_can_be_repeated(form: Form) -> None:
    form.lock()
    assert form.unlock() == Freed()
    assert form.unlock() == Freed()
    assert [type(event) for event in form.events] == [Granted, Released]


def test_wrong_token_never_frees(form: Form) -> None:
    form.lock()
    form.unlock()
    form.lock(BOB, 2)
    assert form.unlock(ANN, FIRST + 1) == Freed()
    assert refused(form.unlock(ANN, FIRST + 2), NotHolder)
    assert refused(form.unlock(ANN, FIRST + 3), NotHolder)
    assert form.holder == BOB


def test_a_repeated_attempt_gets_the_same_grant(form: Form) -> None:
    """An answer that was lost on the way is asked for again by its rid."""
    first = form.lock(rid="r1")
    assert form.lock(rid="r1", after=1_000) == first
    assert form.state.rev == 1


def test_a_late_copy_of_an_attempt_grants_nothing(form: Form) -> None:
    """U16: the same call, delivered again after its grant has ended, must not take the form."""
    form.lock(rid="r1")
    form.unlock()
    assert refused(form.lock(rid="r1", after=REPEAT_MS - 1), Lost)
    form.lock(BOB, 2)
    assert refused(form.lock(rid="r1"), Lost)
    form.unlock(BOB, FIRST + 2)
    assert isinstance(form.lock(rid="r1", after=1), Yours), "after five minutes the rid is forgotten"


def test_anothers_rid_is_no_attempt_of_mine(form: Form) -> None:
    form.lock(rid="r1")
    form.unlock()
    assert isinstance(form.lock(BOB, 2, rid="r1"), Yours)


def test_attempts_are_bounded(form: Form) -> None:
    for number in range(3 * MAX_ATTEMPTS):
        form.lock(rid=f"r{number}")
        form.unlock(token=form.state.token)
    assert len(form.state.attempts) == MAX_ATTEMPTS


class TestDuplicatedTab:
    """U10: a duplicated tab has its original's id; which of the two lives, only a probe tells."""

    def test_the_old_session_is_probed(self, form: Form) -> None:
        form.lock()
        wait = form.lock(session=2, after=100)
        assert wait == Wait(form.now + POLICY.probe_ms, probed_since=form.now)

    def test_an_answer_refuses_the_copy(self, form: Form) -> None:
        form.lock()
        wait = form.lock(session=2, after=100)
        form.renew(after=500)
        assert refused(form.lock(session=2, probed_since=wait.probed_since, after=1), FormLocked, same_user=True)
        assert form.state.lease is not None
        assert form.state.lease.session == 1

    def test_silence_gives_the_form_with_a_new_token(self, form: Form) -> None:
        """The silent page may only be asleep: when it wakes, its token has lost (docs/adr/0005)."""
        form.lock(note="mine")
        wait = form.lock(session=2, after=100)
        reply = form.lock(session=2, probed_since=wait.probed_since, after=POLICY.probe_ms)
        assert reply == Yours(FIRST + 2, POLICY.ttl_ms)
        assert [type(event) for event in form.events] == [Granted, Detached, Granted]
        assert form.state.lease is not None
        assert form.state.lease.note == "mine"
        assert refused(form.renew(session=1, token=FIRST + 1), Lost)
        assert isinstance(form.renew(session=2, token=FIRST + 2), Yours)

    def test_a_silent_page_that_wakes_in_time_has_its_lock(self, form: Form) -> None:
        """As long as nobody took its place, proving the token is enough."""
        form.lock()
        form.lock(session=2, after=100)
        assert form.renew(session=1, after=POLICY.probe_ms + 1_000) == Yours(FIRST + 1, POLICY.ttl_ms)
        assert form.state.lease is not None
        assert not form.state.lease.silent

    def test_silence_alone_is_the_start_of_the_grace(self, form: Form) -> None:
        """A frozen tab that does not answer loses its session; the others get the form when its grace is over."""
        form.lock()
        wait = form.lock(session=2, after=100)
        form.do(Tick(), after=POLICY.probe_ms)
        assert form.state.lease is not None
        assert form.state.lease.session is None
        assert form.state.deadline == wait.until + POLICY.grace_ms

    def test_asking_too_early_waits_on(self, form: Form) -> None:
        form.lock()
        wait = form.lock(session=2)
        again = form.lock(session=2, probed_since=wait.probed_since, after=1)
        assert again == wait

    def test_a_renewal_needs_no_probe(self, form: Form) -> None:
        """Only the page itself knows its token: it goes on over a new line at once, without a probe."""
        form.lock()
        assert form.renew(session=2, after=100) == Yours(FIRST + 1, POLICY.ttl_ms)
        assert form.events[-1] == Reattached(FORM, ANN, FIRST + 1, 1, WALL, 2, name="Ann")
        form.do(SessionLost(1))
        assert form.state.lease is not None
        assert form.state.lease.session == 2

    def test_a_renewal_ends_the_probe(self, form: Form) -> None:
        form.lock()
        wait = form.lock(session=2)
        form.renew(session=3, after=10)
        assert refused(form.lock(session=2, probed_since=wait.probed_since, after=1), FormLocked, same_user=True)


class TestLeaving:
    """A page says goodbye and can't know whether it closes or reloads (docs/adr/0001)."""

    def test_the_form_is_free_at_once(self, form: Form) -> None:
        """U1, U5: a closed tab frees its form at once."""
        form.lock()
        form.unlock(leaving=True)
        assert form.holder is None
        assert form.events[-1] == Released(FORM, ANN, FIRST + 1, 2, WALL, "left", name="Ann")

    def test_a_reload_gets_its_token_back(self, form: Form) -> None:
        """U8: a reload loses neither lock nor token."""
        form.lock(note="urgent")
        granted = form.state.lease
        form.unlock(leaving=True)
        assert form.lock(session=2, after=400) == Yours(FIRST + 1, POLICY.ttl_ms)
        assert granted is not None
        assert form.state.lease == replace(granted, session=2, deadline=form.now + POLICY.ttl_ms, heard_at=form.now, earlier=(1,))
        assert form.events[-1] == Granted(FORM, ANN, FIRST + 1, 3, WALL, 2, resumed=True, name="Ann")

    def test_others_wait_a_moment_then_get_it(self, form: Form) -> None:
        form.lock()
        form.unlock(leaving=True)
        wait = form.lock(BOB, 2, after=100)
        assert wait == Wait(form.now - 100 + POLICY.reserve_ms)
        assert form.lock(BOB, 2, after=POLICY.reserve_ms - 100) == Yours(FIRST + 2, POLICY.ttl_ms)
        assert refused(form.lock(ANN, 3), FormLocked)

    def test_after_somebody_else_had_it_there_is_nothing_to_resume(self, form: Form) -> None:
        form.lock()
        form.unlock(leaving=True)
        form.lock(BOB, 2, after=POLICY.reserve_ms)
        form.unlock(BOB, FIRST + 2)
        assert form.lock(ANN, 3) == Yours(FIRST + 3, POLICY.ttl_ms)

    def test_it_ends_by_itself(self, form: Form) -> None:
        """A timer is due for it, so that nothing is kept of a tab that was closed."""
        form.lock()
        form.unlock(leaving=True)
        assert form.state.deadline == form.now + POLICY.grace_ms
        form.do(Tick(), after=POLICY.grace_ms)
        assert form.state.lefts == ()
        assert form.state.deadline is None

    def test_the_grace_bounds_it(self, form: Form) -> None:
        form.lock()
        form.unlock(leaving=True)
        assert form.lock(session=2, after=POLICY.grace_ms) == Yours(FIRST + 2, POLICY.ttl_ms)

    def test_done_after_leaving_is_done(self, form: Form) -> None:
        form.lock()
        form.unlock(leaving=True)
        form.unlock()
        assert form.lock(BOB, 2) == Yours(FIRST + 2, POLICY.ttl_ms)

    def test_said_twice(self, form: Form) -> None:
        """By HTTP and on its connection: what comes second changes nothing, not even how long the form is kept for the tab."""
        form.lock()
        form.unlock(leaving=True)
        left = form.state
        assert form.unlock(leaving=True, after=400) == Freed()
        assert form.state == left

    @pytest.mark.parametrize("sessions", [(1,), (9, 1)], ids=["the page's only one", "and one that the service has not seen"])
    def test_said_late(self, form: Form, sessions: tuple[int, ...]) -> None:
        """U8: what the page before it says comes when the reloaded page has the form again: the reload wins."""
        form.lock()
        form.unlock(leaving=True)
        form.lock(session=2, after=400)
        resumed = form.state
        assert form.unlock(leaving=True, sessions=sessions, after=100) == Freed()
        assert form.state == resumed

    def test_said_late_while_the_reloaded_page_has_lost_its_line(self, form: Form) -> None:
        form.lock()
        form.unlock(leaving=True)
        form.lock(session=2, after=400)
        form.do(SessionLost(2))
        form.unlock(leaving=True)
        assert form.state.lease is not None
        form.unlock(leaving=True, sessions=(2,))
        assert form.holder is None

    def test_said_only_late(self, form: Form) -> None:
        """Nothing was heard of the page that left but the end of its session, and it is back by now."""
        form.lock()
        form.do(SessionLost(1))
        form.lock(session=2, after=400)
        form.unlock(leaving=True)
        assert form.state.lease is not None

    @pytest.mark.parametrize("lost", [False, True], ids=["unnoticed", "noticed"])
    def test_said_by_a_page_that_has_lost_its_line(self, form: Form, lost: bool) -> None:
        """U1: it is the last page that had the form, whatever session it had last."""
        form.lock()
        if lost:
            form.do(SessionLost(1))
        form.unlock(leaving=True, sessions=(9, 1))
        assert form.holder is None

    def test_a_late_renewal_does_not_take_it_back(self, form: Form) -> None:
        """A renewal that the page sent before it left comes after the reloaded page has the form."""
        form.lock()
        form.unlock(leaving=True)
        form.lock(session=2, after=400)
        form.renew(session=1, after=10)
        assert form.state.lease is not None
        assert form.state.lease.session == 2

    def test_done_is_done_wherever_it_is(self, form: Form) -> None:
        """Saved or cancelled: whoever says so means it, on whatever session."""
        form.lock()
        form.unlock(leaving=True)
        form.lock(session=2, after=400)
        form.unlock()
        assert form.holder is None

    def test_a_late_copy_of_the_first_attempt_does_not_resume(self, form: Form) -> None:
        form.lock(rid="r1")
        form.unlock(leaving=True)
        assert refused(form.lock(rid="r1", after=10), Lost)
        assert isinstance(form.lock(rid="r2"), Yours)


class TestWithoutTab:
    """No tab: the session is the tab, and nothing can re-attach."""

    owner = session_owner("ann", 1)

    def test_session_lost_frees_at_once(self, form: Form) -> None:
        form.lock(self.owner)
        form.do(SessionLost(1))
        assert form.events[-1] == Released(FORM, self.owner, FIRST + 1, 2, WALL, "session_lost", name="Ann")

    def test_leaving_reserves_nothing(self, form: Form) -> None:
        form.lock(self.owner)
        form.unlock(self.owner, leaving=True)
        assert form.lock(BOB, 2) == Yours(FIRST + 2, POLICY.ttl_ms)

    def test_two_sessions_are_two_owners(self, form: Form) -> None:
        form.lock(self.owner)
        assert refused(form.lock(session_owner("ann", 2), 2), FormLocked, same_user=True)


class TestRecovery:
    """U2: locks neither survive a restart for ever nor die in it."""

    def test_a_living_session_keeps_its_lock(self, form: Form) -> None:
        form.lock()
        form.do(Recovered(living=None, grace_ms=30_000), after=10 * POLICY.ttl_ms)
        assert form.state.lease is not None
        assert form.state.lease.session == 1
        assert form.state.deadline == form.now + POLICY.ttl_ms

    def test_a_lost_session_gets_a_full_grace(self, form: Form) -> None:
        form.lock()
        form.do(Recovered(living=frozenset(), grace_ms=44_000))
        assert form.state.deadline == form.now + 44_000
        assert isinstance(form.lock(session=9, after=43_999), Yours)
        assert form.state.token == FIRST + 1

    def test_a_lock_in_its_grace_gets_another(self, form: Form) -> None:
        form.lock()
        form.do(SessionLost(1))
        form.do(Recovered(living=frozenset(), grace_ms=30_000), after=29_000)
        assert form.state.deadline == form.now + 30_000
        assert [type(event) for event in form.events] == [Granted, Detached]

    def test_without_tab_it_ends(self, form: Form) -> None:
        form.lock(session_owner("ann", 1))
        form.do(Recovered(living=frozenset(), grace_ms=30_000))
        assert form.holder is None

    def test_a_pause_changes_nothing_for_a_page_that_left(self, form: Form) -> None:
        form.lock()
        form.unlock(leaving=True)
        form.do(Recovered(living=frozenset(), grace_ms=30_000), after=20_000)
        assert form.lock(session=2, after=10_000) == Yours(FIRST + 2, POLICY.ttl_ms)

    def test_a_free_form_stays_free(self, form: Form) -> None:
        assert form.do(Recovered(living=frozenset(), grace_ms=1)) == Decision(form.state, Done())


def test_events_of_other_sessions_change_nothing(form: Form) -> None:
    form.lock()
    before = form.state
    assert form.do(SessionLost(99)) == Decision(before, Done())


@pytest.mark.parametrize("wrong", [{"ttl_ms": 0}, {"grace_ms": 1.5}, {"ttl_ms": 79_999}, {"reserve_ms": 31_000}, {"probe_ms": -1}])
def test_a_policy_that_breaks_promises_is_refused(wrong: dict[str, int]) -> None:
    """25 + 25 + 30 <= 90: the grace of a session lost just before its renewal is always whole."""
    with pytest.raises(ValueError, match="must"):
        Policy(**wrong)


@pytest.mark.parametrize(
    ("probe_ms", "grace_ms", "silence_ms"),
    [(5_000, 10_000, 10_000), (20_000, 7_000, 7_000), (1_000, 5_000, 6_000), (20_000, 1_000, 6_000)],
)
def test_how_long_a_holder_may_be_silent(probe_ms: int, grace_ms: int, silence_ms: int) -> None:
    """What pages count with: where the router has given a line up, the grace alone. Less than 6 s no page can keep."""
    assert replace(POLICY, contended_probe_ms=probe_ms, contended_grace_ms=grace_ms).silence_ms == silence_ms


def test_a_silence_that_no_page_notices_in_time_is_refused() -> None:
    """Below 6 s a form would be the next one's before a page without a line has shut its fields."""
    with pytest.raises(ValueError, match="at least 6000") as caught:
        Policy(contended_probe_ms=1_500, contended_grace_ms=4_499)
    assert getattr(caught.value, "names", ()) == ("contended_probe_ms", "contended_grace_ms")


def taking(owner: Owner, session: int, expected: int, **more: Any) -> Takeover:
    return Takeover(owner=owner, name=owner.user, session=session, expected_token=expected, right=True, **more)


def test_a_takeover_of_the_whole_from_a_section(form: Form) -> None:
    """U33: whoever takes over the whole gets the whole, also after a hand-over, and nobody gets another section meanwhile."""
    policy = replace(POLICY, handover_ms=5_000)
    form.lock(section="address")
    command = taking(BOB, 2, FIRST + 1, rid="r")
    begun = decide(form.state, command, 1_000, WALL, policy)
    between = Lock(owner=Owner("cyd", "tab-d"), name="Cyd", session=3, section="payment")
    assert refused(decide(begun.state, between, 2_000, WALL, policy).reply, FormLocked)
    taken = decide(begun.state, command, 6_000, WALL, policy)
    assert isinstance(taken.reply, Yours)
    assert [(lease.owner, lease.section) for lease in taken.state.holds] == [(BOB, "")]


def test_a_takeover_that_waited_gets_what_has_come_about(form: Form) -> None:
    """The call asks again when the holder's moment is over: the form is its own by then, with or without a `rid` to know it by."""
    form.lock()
    handing_over = replace(POLICY, handover_ms=10_000)
    command = Takeover(owner=BOB, name="Bob", session=2, expected_token=FIRST + 1, right=True)
    waiting = decide(form.state, command, form.now, WALL, handing_over)
    assert waiting.reply == Wait(form.now + 10_000)
    moved = decide(waiting.state, HandOver(ANN, FIRST + 1), form.now, WALL, handing_over)
    assert [lease.owner for lease in moved.state.holds] == [BOB]
    again = decide(moved.state, command, form.now, WALL, handing_over)
    assert again.reply == Yours(FIRST + 2, POLICY.ttl_ms)
    assert again.state.rev == moved.state.rev


def test_events_know_the_names_of_those_they_are_about(form: Form) -> None:
    """For the history: whoever is gone can't be asked any more what people call them."""
    form.lock()
    form.lock(BOB, 2)
    form.lock(BOB, 2, wait=True)
    form.unlock()
    assert [(type(event), event.name) for event in form.events] == [
        (Granted, "Ann"), (Refused, "Bob"), (Queued, "Bob"), (Released, "Ann"), (Granted, "Bob"),
    ]  # fmt: skip
