"""The rules for whoever wants a form that somebody else has: lines, asks, takeovers, hand-overs, sections, shared leases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from formlock.commands import (
    Answer,
    AskFor,
    Asking,
    Command,
    Decision,
    Freed,
    HandOver,
    InLine,
    LeaveQueue,
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
from formlock.errors import Conflict, FormLocked, Lost, NotAllowed, TooMany
from formlock.events import (
    Answered,
    Asked,
    BecameActive,
    BecameIdle,
    Ending,
    Granted,
    HandoverBegan,
    HandoverEnded,
    LeftQueue,
    Queued,
    Released,
    TakenOver,
)
from formlock.model import FormId, FormState, Lease, Owner
from formlock.policy import Policy
from formlock.rules import decide, decide_all, session_owner

POLICY = Policy()
FORM = FormId("invoice", "42")
ANN, ANN_2, BOB, CYD, DAN = (Owner(tab.split("-")[0], tab) for tab in ("ann-1", "ann-2", "bob-1", "cyd-1", "dan-1"))
SESSION = {ANN: 1, ANN_2: 2, BOB: 3, CYD: 4, DAN: 5}
FIRST = 100
WALL = 1_800_000_000_000


class Form:
    """One record, and owners who are each on a session of their own."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.policy = policy
        self.state = FormState(FORM, token=FIRST)
        self.now = 1_000
        self.decision = Decision(self.state, Freed())

    def do(self, command: Command, after: int = 0) -> Any:
        self.now += after
        self.decision = decide(self.state, command, self.now, WALL + self.now, self.policy)
        self.state = self.decision.state
        return self.decision.reply

    def lock(self, owner: Owner, after: int = 0, **more: Any) -> Any:
        return self.do(Lock(owner=owner, name=owner.user.title(), session=more.pop("session", SESSION[owner]), **more), after)

    def wait(self, owner: Owner, **more: Any) -> Any:
        return self.lock(owner, wait=True, **more)

    def renew(self, owner: Owner, after: int = 0, **more: Any) -> Any:
        return self.do(Renew(owner, self.lease(owner).token, SESSION[owner], **more), after)

    def unlock(self, owner: Owner, after: int = 0, leaving: bool = False) -> Any:
        return self.do(Unlock(owner, self.lease(owner).token, leaving), after)

    def takeover(self, owner: Owner, expected: int | None = None, after: int = 0, **more: Any) -> Any:
        token = self.state.token if expected is None else expected
        name = owner.user.title()
        session = more.pop("session", SESSION[owner])
        return self.do(Takeover(owner=owner, name=name, session=session, expected_token=token, **more), after)

    def lease(self, owner: Owner) -> Lease:
        (lease,) = [lease for lease in self.state.holds if lease.owner == owner]
        return lease

    def pass_time(self, by: int) -> Sequence[Any]:
        """As the service does: a tick for each time that comes."""
        end, events = self.now + by, []
        while self.state.deadline is not None and self.state.deadline <= end:
            self.now = max(self.now, self.state.deadline)
            self.do(Tick())
            events += self.happened
        self.now = end
        return events

    @property
    def happened(self) -> list[Any]:
        return [type(event) for event in self.decision.events]

    @property
    def holders(self) -> list[Owner]:
        return [lease.owner for lease in self.state.holds]


@pytest.fixture
def form() -> Form:
    return Form()


def test_every_call_is_remembered_not_only_the_last(form: Form) -> None:
    """A second call of the owner is answered with the same grant; when that has ended, a late copy of either begins no other."""
    for rid in ("r1", "r2", "r1"):
        assert form.lock(ANN, rid=rid) == Yours(FIRST + 1, POLICY.ttl_ms)
    form.unlock(ANN)
    for rid in ("r1", "r2"):
        assert form.lock(ANN, rid=rid) == Refusal(Lost)
    assert form.lock(ANN, rid="r3") == Yours(FIRST + 2, POLICY.ttl_ms)
    assert form.lock(ANN, rid="r1") == Refusal(Lost), "of the grant before"


class TestLine:
    """Whoever waits."""

    def test_first_come_first_served(self, form: Form) -> None:
        """U3, U23: whoever waits is next in the order of coming, and gets a token of his own."""
        form.lock(ANN)
        assert [form.wait(owner) for owner in (BOB, CYD)] == [InLine(1, 1), InLine(2, 2)]
        assert form.happened == [Queued]
        form.unlock(ANN)
        assert form.happened == [Released, Granted]
        granted = form.decision.events[-1]
        assert (granted.owner, granted.token, granted.session, granted.number) == (BOB, FIRST + 2, SESSION[BOB], 1)
        assert form.wait(CYD) == InLine(2, 1)
        assert form.lock(BOB) == Yours(FIRST + 2, POLICY.ttl_ms)
        form.unlock(BOB)
        assert form.holders == [CYD]

    def test_a_free_form_is_not_waited_for(self, form: Form) -> None:
        assert form.wait(ANN) == Yours(FIRST + 1, POLICY.ttl_ms)

    def test_nobody_jumps_the_line(self, form: Form) -> None:
        """Whoever asks without waiting does not pass somebody who waits."""
        form.lock(ANN)
        form.wait(BOB)
        form.do(Unlock(ANN, FIRST + 1))
        assert form.lock(CYD) == Refusal(FormLocked)
        assert form.holders == [BOB]

    def test_a_turn_has_to_be_taken(self, form: Form) -> None:
        """Whose turn it is says so within claim_ms, else the next one is served."""
        form.lock(ANN)
        form.wait(BOB)
        form.wait(CYD)
        form.unlock(ANN)
        assert form.pass_time(POLICY.claim_ms) == [Released, Granted]
        assert form.holders == [CYD]
        assert form.renew(CYD, after=POLICY.claim_ms - 1) == Yours(FIRST + 3, POLICY.ttl_ms)
        assert form.pass_time(POLICY.claim_ms) == []
        assert form.holders == [CYD]

    def test_whoever_is_not_there_is_passed_over_and_keeps_the_place(self, form: Form) -> None:
        form.lock(ANN)
        form.wait(BOB)
        form.wait(CYD)
        form.do(SessionLost(SESSION[BOB]))
        form.unlock(ANN)
        assert form.holders == [CYD]
        assert form.wait(BOB, session=33) == InLine(1, 1)
        form.renew(CYD)
        form.unlock(CYD)
        assert (form.holders, form.lease(BOB).session) == ([BOB], 33)

    def test_whoever_does_not_come_back_waits_no_more(self, form: Form) -> None:
        form.lock(ANN)
        form.wait(BOB)
        form.renew(ANN)
        form.do(SessionLost(SESSION[BOB]))
        form.renew(ANN)
        assert LeftQueue in form.pass_time(POLICY.grace_ms)
        assert form.state.waiters == ()

    def test_somebody_without_a_tab_waits_as_long_as_the_session(self, form: Form) -> None:
        eva = session_owner("eva", 9)
        form.lock(ANN)
        form.do(Lock(owner=eva, name="Eva", session=9, wait=True))
        form.do(SessionLost(9))
        assert form.state.waiters == ()

    def test_leaving_the_line(self, form: Form) -> None:
        form.lock(ANN)
        form.wait(BOB)
        assert form.do(LeaveQueue(BOB)) == Freed()
        assert form.happened == [LeftQueue]
        assert form.do(LeaveQueue(BOB)) == Freed()
        assert form.happened == []
        form.unlock(ANN)
        assert form.holders == []

    def test_leaving_the_line_at_ones_turn(self, form: Form) -> None:
        form.lock(ANN)
        form.wait(BOB)
        form.wait(CYD)
        form.unlock(ANN)
        form.do(LeaveQueue(BOB))
        assert form.holders == [CYD]

    def test_a_line_has_an_end(self) -> None:
        """Not more per form than the policy says, nor more lines per user."""
        form = Form(replace(POLICY, max_waiters=1))
        form.lock(ANN)
        assert form.wait(BOB, waits=POLICY.max_waits_per_user) == Refusal(TooMany)
        form.wait(BOB)
        assert form.wait(CYD) == Refusal(TooMany)
        assert form.wait(BOB) == InLine(1, 1), "who stands in it already stays"

    def test_a_policy_without_lines(self) -> None:
        form = Form(replace(POLICY, queue=False))
        form.lock(ANN)
        assert form.wait(BOB) == Refusal(FormLocked)

    def test_a_page_that_reloads_comes_before_the_line(self, form: Form) -> None:
        """U8: for the moment of a reload the form is kept for its own tab, whoever waits."""
        form.lock(ANN)
        form.wait(BOB)
        form.unlock(ANN, leaving=True)
        assert form.holders == []
        assert form.lock(ANN, after=POLICY.reserve_ms - 1, session=11) == Yours(FIRST + 1, POLICY.ttl_ms)
        form.unlock(ANN, leaving=True)
        form.pass_time(POLICY.reserve_ms)
        assert form.holders == [BOB]

    def test_waiters_outlive_a_restart(self, form: Form) -> None:
        form.lock(ANN)
        form.wait(BOB)
        form.wait(CYD)
        form.state = form.state.without_clock(form.now)
        form.do(Recovered(frozenset({SESSION[ANN], SESSION[CYD]}), POLICY.grace_ms))
        assert [(waiter.owner, waiter.session) for waiter in form.state.waiters] == [(BOB, None), (CYD, SESSION[CYD])]
        form.unlock(ANN)
        assert form.holders == [CYD]

    def test_a_holder_who_is_gone_is_found_out(self, form: Form) -> None:
        """U3, U6: somebody waits, the holder's page is asked for a sign of life, and a frozen one has only a short grace."""
        form.lock(ANN)
        form.renew(ANN, after=5_000)
        form.now += 3_000
        form.wait(BOB)
        assert form.decision.probes == (SESSION[ANN],)
        form.pass_time(POLICY.contended_probe_ms + POLICY.contended_grace_ms - 1)
        assert form.holders == [ANN]
        form.pass_time(1)
        assert form.holders == [BOB]

    def test_a_holder_who_answers_keeps_it(self, form: Form) -> None:
        form.lock(ANN)
        form.wait(BOB)
        form.renew(ANN, after=POLICY.contended_probe_ms - 1)
        form.pass_time(POLICY.contended_probe_ms + POLICY.contended_grace_ms)
        assert form.holders == [ANN]

    def test_a_grace_that_somebody_waits_for_is_short(self, form: Form) -> None:
        form.lock(ANN)
        form.do(SessionLost(SESSION[ANN]))
        form.wait(BOB)
        form.pass_time(POLICY.contended_grace_ms - 1)
        assert form.holders == [ANN]
        form.pass_time(1)
        assert form.holders == [BOB]


class TestAsk:
    """A polite request."""

    def test_asked_and_answered(self, form: Form) -> None:
        """Both sides see it: the holder is told who asks and why, and everybody what the answer is."""
        form.lock(ANN)
        assert form.do(AskFor(BOB, "Bob", "just the address")) == Asking(1, form.now + POLICY.ask_ms)
        asked = form.decision.events[-1]
        assert isinstance(asked, Asked)
        assert (asked.owner, asked.by, asked.by_name, asked.note) == (ANN, BOB, "Bob", "just the address")
        assert form.do(Answer(ANN, FIRST + 1)) == Freed()
        assert form.happened == [Answered, Released]
        assert form.holders == []

    def test_nobody_is_there_to_answer(self, form: Form) -> None:
        """U17: a holder whose session is gone is not asked in vain: the form is free at once."""
        form.lock(ANN)
        form.do(SessionLost(SESSION[ANN]))
        assert form.do(AskFor(BOB, "Bob")) == Freed()
        assert form.decision.events[-1].cause == "asked"

    def test_who_is_only_silent_has_the_grace(self, form: Form) -> None:
        """U3, U17: a page with a dead line may still be open: whoever asks again does not get the form before it has shut."""
        form.lock(ANN)
        form.do(AskFor(BOB, "Bob"))
        form.pass_time(POLICY.contended_probe_ms)
        assert form.do(AskFor(BOB, "Bob")) != Freed()
        form.pass_time(POLICY.contended_grace_ms - 1)
        assert form.holders == [ANN]
        form.pass_time(1)
        assert form.holders == []

    def test_no_answer(self, form: Form) -> None:
        """U17: a holder who is there and says nothing loses it after the policy's time."""
        form.lock(ANN)
        form.do(AskFor(BOB, "Bob"))
        for _ in range(POLICY.ask_ms // POLICY.renew_ms):
            form.renew(ANN)
            form.pass_time(POLICY.renew_ms)
        form.renew(ANN)
        form.pass_time(POLICY.ask_ms % POLICY.renew_ms)
        assert form.holders == []

    def test_somebody_away_is_not_waited_for_so_long(self, form: Form) -> None:
        """Whether away already when asked, or going away afterwards."""
        form.lock(ANN)
        form.renew(ANN, active=False)
        assert form.do(AskFor(BOB, "Bob")).until == form.now + POLICY.ask_idle_ms
        busy = Form()
        busy.lock(ANN)
        busy.do(AskFor(BOB, "Bob"))
        busy.renew(ANN, active=False)
        assert busy.lease(ANN).contest.ask_until == busy.now + POLICY.ask_idle_ms  # type: ignore[union-attr]

    def test_kept(self, form: Form) -> None:
        """The holder keeps it for a while; who asks again meanwhile has to wait for that while too."""
        form.lock(ANN)
        form.do(AskFor(BOB, "Bob"))
        assert isinstance(form.do(Answer(ANN, FIRST + 1, 300_000)), Yours)
        assert form.happened == [Answered]
        assert form.do(AskFor(BOB, "Bob"), after=1_000).until == form.now - 1_000 + 300_000 + POLICY.ask_ms
        assert form.do(Answer(ANN, FIRST + 1, 10**9))
        assert form.decision.events[-1].keep_ms == POLICY.keep_ms, "not longer than the policy allows"

    def test_who_asks_twice_is_one(self, form: Form) -> None:
        form.lock(ANN)
        first = form.do(AskFor(BOB, "Bob", "a"))
        form.renew(ANN, after=4_000)
        again = form.do(AskFor(BOB, "Bob", "b"), after=20_000)
        assert again.until == first.until, "asking again does not begin anew"
        assert [ask.note for ask in form.lease(ANN).contest.asks] == ["b"]  # type: ignore[union-attr]

    def test_too_many_asks(self) -> None:
        form = Form(replace(POLICY, max_asks=1))
        form.lock(ANN)
        form.do(AskFor(BOB, "Bob"))
        assert form.do(AskFor(CYD, "Cyd")) == Refusal(TooMany)

    def test_a_free_form_needs_no_asking(self, form: Form) -> None:
        assert form.do(AskFor(BOB, "Bob")) == Freed()

    def test_only_the_holder_answers(self, form: Form) -> None:
        form.lock(ANN)
        form.do(AskFor(BOB, "Bob"))
        assert form.do(Answer(BOB, FIRST + 1)) == Refusal(Lost)
        assert form.holders == [ANN]


class TestTakeover:
    """A forced change of owner."""

    def test_the_loser_is_told_before_anybody_hears_of_the_winner(self, form: Form) -> None:
        """U14, U19: by whom and why, and only then who has it now."""
        form.lock(ANN)
        assert form.takeover(BOB, right=True, reason="urgent") == Yours(FIRST + 2, POLICY.ttl_ms)
        taken, granted = form.decision.events
        assert isinstance(taken, TakenOver)
        assert (taken.owner, taken.by, taken.by_name, taken.reason) == (ANN, BOB, "Bob", "urgent")
        assert isinstance(granted, Granted)

    def test_a_renewal_in_flight_undoes_nothing(self, form: Form) -> None:
        """U15, U16: the old holder's renewal neither brings the lock back nor touches the new one's."""
        form.lock(ANN)
        form.takeover(BOB, right=True)
        deadline = form.lease(BOB).deadline
        assert form.do(Renew(ANN, FIRST + 1, SESSION[ANN]), after=100) == Refusal(Lost)
        assert form.do(Unlock(ANN, FIRST + 1)) == Freed()
        assert (form.holders, form.lease(BOB).deadline) == ([BOB], deadline)

    def test_the_right_is_needed(self, form: Form) -> None:
        form.lock(ANN)
        assert form.takeover(BOB) == Refusal(NotAllowed)
        assert form.holders == [ANN]

    @pytest.mark.parametrize("expected", [FIRST, FIRST + 2])
    def test_from_whom_it_was_seen_to_be(self, form: Form, expected: int) -> None:
        """Whoever takes over means a certain holder: not one who has come in the meantime."""
        form.lock(ANN)
        assert form.takeover(BOB, expected, right=True) == Refusal(Conflict)

    def test_of_a_free_form(self, form: Form) -> None:
        form.lock(ANN)
        form.unlock(ANN)
        assert form.takeover(BOB, FIRST + 1, right=True) == Refusal(Conflict)

    def test_move_here(self, form: Form) -> None:
        """U10, U11: one's own other tab needs no right, and is not handed over but left at once."""
        form = Form(replace(POLICY, handover_ms=5_000))
        form.lock(ANN)
        assert form.takeover(ANN_2) == Yours(FIRST + 2, POLICY.ttl_ms)
        assert form.holders == [ANN_2]

    def test_people_take_over_from_machines(self, form: Form) -> None:
        """U22: an import yields to a person, and not to another machine."""
        form.lock(ANN, machine=True)
        assert form.takeover(BOB, machine=True) == Refusal(NotAllowed)
        assert isinstance(form.takeover(BOB), Yours)

    def test_repeated(self, form: Form) -> None:
        """A retry of an attempt that has come about is answered with the same grant; of one that has ended, with `lost`."""
        form.lock(ANN)
        form.takeover(BOB, right=True, rid="t1")
        assert form.takeover(BOB, FIRST + 1, right=True, rid="t1", after=100) == Yours(FIRST + 2, POLICY.ttl_ms)
        form.unlock(BOB)
        form.lock(ANN)
        assert form.takeover(BOB, FIRST + 3, right=True, rid="t1") == Refusal(Lost)

    def test_whoever_waits_and_takes_over_waits_no_more(self, form: Form) -> None:
        form.lock(ANN)
        form.wait(BOB)
        form.takeover(BOB, right=True)
        assert form.state.waiters == ()


class TestHandOver:
    """The loser's page has a moment to bring its text into safety."""

    @pytest.fixture
    def form(self) -> Form:
        form = Form(replace(POLICY, handover_ms=5_000))
        form.lock(ANN)
        return form

    def test_it_moves_when_the_page_is_ready(self, form: Form) -> None:
        """U19: the text is safe first."""
        assert form.takeover(BOB, right=True, reason="urgent", rid="t") == Wait(form.now + 5_000)
        assert form.happened == [HandoverBegan]
        assert form.holders == [ANN]
        assert form.do(HandOver(ANN, FIRST + 1)) == Freed()
        assert form.happened == [TakenOver, Granted]
        assert form.takeover(BOB, FIRST + 1, right=True, rid="t") == Yours(FIRST + 2, POLICY.ttl_ms)

    def test_it_moves_in_any_case(self, form: Form) -> None:
        form.takeover(BOB, right=True, rid="t")
        form.renew(ANN, after=4_999)
        assert form.pass_time(1) == [TakenOver, Granted]
        assert form.holders == [BOB]

    def test_who_has_nobody_to_wait_for_takes_it_at_once(self, form: Form) -> None:
        form.do(SessionLost(SESSION[ANN]))
        assert form.takeover(BOB, right=True) == Yours(FIRST + 2, POLICY.ttl_ms)

    def test_a_holder_who_gives_it_up_meanwhile(self, form: Form) -> None:
        """It goes to whoever takes it over, also before those who wait."""
        form.wait(CYD)
        form.takeover(BOB, right=True)
        form.unlock(ANN)
        assert form.holders == [BOB]

    def test_whoever_takes_over_and_leaves_gets_nothing(self, form: Form) -> None:
        form.takeover(BOB, right=True)
        form.do(SessionLost(SESSION[BOB]))
        assert form.happened == [HandoverEnded]
        form.renew(ANN)
        form.pass_time(5_000)
        assert form.holders == [ANN]

    def test_one_at_a_time(self, form: Form) -> None:
        form.takeover(BOB, right=True)
        assert form.takeover(CYD, FIRST + 1, right=True) == Refusal(Conflict)

    def test_only_the_holder_hands_over(self, form: Form) -> None:
        form.takeover(BOB, right=True)
        assert form.do(HandOver(BOB, FIRST + 1)) == Refusal(Lost)
        assert form.holders == [ANN]


class TestSections:
    """U33: a section, not the page."""

    def test_sections_do_not_conflict_with_each_other(self, form: Form) -> None:
        assert form.lock(ANN, section="address") == Yours(FIRST + 1, POLICY.ttl_ms)
        assert form.lock(BOB, section="lines") == Yours(FIRST + 2, POLICY.ttl_ms)
        assert form.lock(CYD, section="lines") == Refusal(FormLocked)

    def test_the_whole_conflicts_with_its_sections(self, form: Form) -> None:
        form.lock(ANN, section="address")
        assert form.lock(BOB) == Refusal(FormLocked)
        form.unlock(ANN)
        form.lock(BOB)
        assert form.lock(ANN, section="address") == Refusal(FormLocked)

    def test_a_line_for_each(self, form: Form) -> None:
        """Who waits for a section is not held up by those who wait for another, but by whoever waits for the whole."""
        form.lock(ANN, section="address")
        form.lock(BOB, section="lines")
        form.wait(CYD, section="lines")
        form.wait(DAN)
        form.do(Unlock(BOB, FIRST + 2))
        assert form.holders == [ANN, CYD]
        assert form.lock(BOB, section="terms") == Refusal(FormLocked), "the whole is waited for"

    def test_ones_own_sections_do_not_stand_in_ones_way(self, form: Form) -> None:
        form.lock(ANN, section="address")
        assert form.lock(ANN) == Yours(FIRST + 2, POLICY.ttl_ms)

    def test_a_takeover_of_the_whole_from_two(self, form: Form) -> None:
        form.lock(ANN, section="address")
        form.lock(BOB, section="lines")
        assert form.takeover(CYD, FIRST + 1, right=True) == Refusal(Conflict)
        assert form.takeover(CYD, FIRST + 1, right=True, section="address") == Yours(FIRST + 3, POLICY.ttl_ms)
        assert form.lease(CYD).section == "address"


class TestShared:
    """Readers beside each other."""

    def test_readers_together_and_no_writer(self, form: Form) -> None:
        assert [type(form.lock(owner, mode="shared")) for owner in (ANN, BOB)] == [Yours, Yours]
        assert form.lock(CYD) == Refusal(FormLocked)
        form.unlock(ANN)
        form.unlock(BOB)
        assert isinstance(form.lock(CYD), Yours)
        assert form.lock(ANN, mode="shared") == Refusal(FormLocked)

    def test_a_waiting_writer_lets_no_later_reader_pass(self, form: Form) -> None:
        form.lock(ANN, mode="shared")
        form.wait(BOB)
        assert form.lock(CYD, mode="shared") == Refusal(FormLocked)
        form.wait(CYD, mode="shared")
        form.wait(DAN, mode="shared")
        form.unlock(ANN)
        assert form.holders == [BOB]
        form.renew(BOB)
        form.unlock(BOB)
        assert form.holders == [CYD, DAN], "readers who wait are served together"

    def test_another_mode_is_another_wish(self, form: Form) -> None:
        form.lock(ANN, mode="shared")
        assert form.lock(ANN) == Refusal(Conflict)


class TestEnds:
    """What ends a lease that is renewed."""

    def test_idle(self) -> None:
        """Away is told, and ends the lease only where the policy says so."""
        form = Form(replace(POLICY, idle_release_ms=60_000))
        form.lock(ANN)
        form.renew(ANN, active=False)
        assert form.happened == [BecameIdle]
        form.renew(ANN, active=False, after=20_000)
        assert form.happened == []
        form.renew(ANN, active=True, after=20_000)
        assert form.happened == [BecameActive]
        form.renew(ANN, active=False)
        form.renew(ANN, after=59_999)
        assert form.pass_time(1) == [Released]

    def test_idle_is_not_release(self, form: Form) -> None:
        form.lock(ANN)
        form.renew(ANN, active=False)
        for _ in range(20):
            form.renew(ANN, after=POLICY.renew_ms)
        assert form.holders == [ANN]

    def test_the_longest_time(self) -> None:
        """U4: however it is renewed, it ends; with a warning before, and no promise beyond."""
        form = Form(replace(POLICY, max_hold_ms=200_000, warn_ms=50_000))
        form.lock(ANN)
        events: list[Any] = []
        for _ in range(7):
            events += form.pass_time(25_000)
            form.renew(ANN)
        assert events == [Ending]
        assert form.decision.reply == Yours(FIRST + 1, 25_000)
        assert form.pass_time(25_000) == [Released]
        assert form.decision.events[-1].cause == "max_hold"

    def test_the_longest_time_outlives_a_restart(self) -> None:
        form = Form(replace(POLICY, max_hold_ms=200_000, warn_ms=50_000))
        form.lock(ANN)
        form.now += 60_000
        form.state = form.state.without_clock(form.now)
        form.do(Recovered(frozenset({SESSION[ANN]}), 30_000))
        assert form.lease(ANN).ends_at == form.now + 140_000

    def test_a_long_lock(self, form: Form) -> None:
        """Under review until Friday: nobody has to be there, no ask ends it, and a restart neither."""
        form.lock(ANN, long_wall=WALL + form.now + 1_000_000)
        form.do(SessionLost(SESSION[ANN]))
        assert form.do(AskFor(BOB, "Bob")) == Asking(1, None)
        form.wait(CYD)
        form.pass_time(500_000)
        form.state = form.state.without_clock(form.now)
        form.do(Recovered(frozenset(), 30_000))
        assert form.holders == [ANN]
        assert form.lock(ANN, session=9) == Yours(FIRST + 1, 500_000)
        form.state = replace(form.state, waiters=())
        form.pass_time(499_999)
        assert form.holders == [ANN]
        form.pass_time(1)
        assert form.decision.events[0].cause == "long_over"


class TestSeveral:
    """All or none."""

    def all(self, states: list[FormState], owner: Owner = ANN) -> list[Decision]:
        wish = Lock(owner=owner, name="N", session=SESSION[owner])
        return decide_all(states, [wish] * len(states), 1_000, WALL, [POLICY] * len(states))

    def test_all_or_none(self) -> None:
        one, two = FormState(FormId("t", "1"), 5), FormState(FormId("t", "2"), 5)
        held = decide(two, Lock(owner=BOB, name="Bob", session=3), 500, WALL, POLICY).state
        decisions = self.all([one, held])
        assert [decision.reply for decision in decisions][1] == Refusal(FormLocked)
        assert decisions[0].state == one
        assert decisions[0].events == ()
        assert [decision.reply for decision in self.all([one, two])] == [Yours(6, POLICY.ttl_ms)] * 2

    def test_time_passes_for_all_of_them(self) -> None:
        """Even where nothing is granted, what had expired has."""
        expired = decide(FormState(FormId("t", "1"), 5), Lock(owner=BOB, name="Bob", session=3), -99_000, WALL, POLICY).state
        held = decide(FormState(FormId("t", "2"), 5), Lock(owner=BOB, name="Bob", session=3), 900, WALL, POLICY).state
        decisions = self.all([expired, held])
        assert decisions[0].state.holds == ()
        assert [type(event) for event in decisions[0].events] == [Released]
