"""A random walk over all commands and times: what must hold of the rules after any history."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from formlock.commands import (
    Answer,
    AskFor,
    Command,
    HandOver,
    InLine,
    LeaveQueue,
    Lock,
    Recovered,
    Refusal,
    Renew,
    Reply,
    SessionLost,
    Takeover,
    Tick,
    Unlock,
    Wait,
    Yours,
)
from formlock.events import Refused, Released
from formlock.model import FormId, FormState, Handover, Lease, Owner, Waiter
from formlock.policy import Policy
from formlock.rules import SESSION_TAB, decide, session_owner

POLICY = Policy(idle_release_ms=40_000, max_hold_ms=300_000, warn_ms=20_000, ask_ms=20_000, ask_idle_ms=5_000, max_waiters=3)
HANDING = replace(POLICY, handover_ms=8_000)
TABS = [Owner("ann", "a1"), Owner("ann", "a2"), Owner("bob", "b1"), Owner("cyd", "c1"), session_owner("eva", 6)]
SESSIONS = list(range(1, 7))
TIMES = st.sampled_from([0, 1, 499, 1_500, 2_000, 5_000, 10_000, 25_000, 30_000, 89_999, 90_000, 400_000])
SECTIONS = st.sampled_from(["", "", "", "address", "lines"])
MODES = st.sampled_from(["exclusive", "exclusive", "exclusive", "shared"])
tabs, sessions = st.sampled_from(TABS), st.sampled_from(SESSIONS)
Wanted = Lease | Waiter | Handover
# Its end was known when it was renewed: nobody asked for it, no session was lost, no probe stayed unanswered.
OF_ITSELF = ("expired", "max_hold", "long_over", "unclaimed")


def of_tab(tab: Owner, session: int) -> int:
    """An owner that named no tab is on its own session, always."""
    return int(tab.tab[1:]) if tab.tab.startswith(SESSION_TAB) else session


def meets(one: Wanted, other: Wanted) -> bool:
    """Whether they want a part that they can't both have, whoever they are."""
    overlap = not one.section or not other.section or one.section == other.section
    return overlap and "exclusive" in (one.mode, other.mode)


def conflict(one: Lease, other: Lease) -> bool:
    return one.owner != other.owner and meets(one, other)


@dataclass
class Promise:
    """What an owner was told: it holds its part of the form with this token until then, whatever others do but take it over."""

    lease: Lease
    until: int


class Rules(RuleBasedStateMachine):
    """One record, several owners, sessions and retries, and a clock that jumps."""

    @initialize(policy=st.sampled_from([POLICY, HANDING]))
    def begin(self, policy: Policy) -> None:
        self.policy = policy
        self.state = FormState(FormId("t", "1"), token=1_000)
        self.now = 0
        self.promises: dict[int, Promise] = {}
        self.tokens: set[int] = set()
        self.rev = 0
        # The token that each living session was last given, until it is told otherwise or leaves.
        self.believes: dict[tuple[int, str], int] = {}
        self.tries: list[Lock | Takeover] = []

    # -- every decision

    def _do(self, command: Command) -> Reply:
        before = self.state
        decision = decide(before, command, self.now, self.now, self.policy)
        assert decide(before, command, self.now, self.now, self.policy) == decision, "decide is not a function of its arguments"
        assert len(decision.events) == len(decision.states)
        for event, state in zip(decision.events, decision.states, strict=True):
            self.rev += event.public
            assert event.rev == state.rev == self.rev, "revs are not contiguous"
        after = self.state = decision.state
        assert after.rev == self.rev
        assert after.token >= before.token, "a token fell"
        if not any(event.changes for event in decision.events):
            assert isinstance(decision.reply, Refusal) == any(isinstance(event, Refused) for event in decision.events)
            assert (before.token, before.rev, before.number) == (after.token, after.rev, after.number), "a change nobody hears of"
            assert [(h.token, h.session) for h in before.holds] == [(h.token, h.session) for h in after.holds]
            assert [(w.number, w.session) for w in before.waiters] == [(w.number, w.session) for w in after.waiters]
        for lease in after.holds:
            if lease.token not in {held.token for held in before.holds} | self.tokens:
                assert lease.token > before.token, "a token that is not new"
            self.tokens.add(lease.token)
        for event in decision.events:
            if isinstance(event, Released) and event.cause in OF_ITSELF and event.token in self.promises:
                assert self.now >= self.promises[event.token].until, "U1: a lease ended before its owner was told it would"
        for session in decision.probes:
            assert any(session == lease.session and lease.probe for lease in after.holds), "somebody else is probed"
        return decision.reply

    def _answered(self, command: Lock | Takeover | Renew, reply: Reply) -> None:
        if isinstance(reply, Wait):
            assert self.now < reply.until <= self.now + max(POLICY.probe_ms, POLICY.reserve_ms, HANDING.handover_ms, 5_000)
            if isinstance(command, Lock):
                command = replace(command, probed_since=reply.probed_since)
            self.tries.append(command)  # type: ignore[arg-type]
        if not isinstance(reply, Yours):
            return
        (lease,) = [lease for lease in self.state.holds if lease.token == reply.token]
        assert lease.owner == command.owner
        if isinstance(command, Renew) and lease.session != command.session:
            # It was stuck in a line that its page has given up: what it is answered is read by nobody.
            assert command.session in lease.earlier
            return
        assert lease.session == command.session
        if not isinstance(command, Renew):
            pages = {other.session for other in self.state.holds if other.owner == lease.owner and meets(lease, other)}
            assert pages <= {None, lease.session}, "another page of the tab has a part of this"
        self.promises[reply.token] = Promise(lease, self.now + reply.lease_ms)
        key = (command.session, lease.section)
        others = {other for other, token in self.believes.items() if token == reply.token and other != key}
        # Of the pages of one tab (a duplicated tab is two), `lock` gives none a token that a living other one has. Who renews knows
        # the token: it is the page that had it, on another line.
        assert isinstance(command, Renew) or not others, f"sessions {others} and {key} have the same token"
        for other in others:
            del self.believes[other]
        self.believes[key] = reply.token

    # -- getting it

    @rule(
        tab=tabs, session=sessions, rid=st.sampled_from(["", "r1", "r2"]), section=SECTIONS, mode=MODES, wait=st.booleans(),
        machine=st.booleans(), long=st.sampled_from([None, None, None, 50_000]),
    )  # fmt: skip
    def lock(self, tab: Owner, session: int, rid: str, section: str, mode: str, wait: bool, machine: bool, long: int | None) -> None:
        command = Lock(
            owner=tab,
            name=tab.user,
            session=of_tab(tab, session),
            rid=rid,
            section=section,
            mode=mode,  # type: ignore[arg-type]
            wait=wait,
            machine=machine,
            long_wall=self.now + long if long is not None else None,
        )
        reply = self._do(command)
        self._answered(command, reply)
        if isinstance(reply, InLine):
            assert wait
            numbers = [waiter.number for waiter in self.state.waiters]
            assert numbers == sorted(numbers), "the line is not in the order of coming"
            assert numbers[reply.position - 1] == reply.number

    @precondition(lambda self: self.tries)
    @rule()
    def try_again(self) -> None:
        command = self.tries.pop()
        self._answered(command, self._do(command))

    @rule(tab=tabs, session=sessions, back=st.integers(0, 2), right=st.booleans(), section=SECTIONS, rid=st.sampled_from(["", "t1"]))
    def takeover(self, tab: Owner, session: int, back: int, right: bool, section: str, rid: str) -> None:
        command = Takeover(
            owner=tab,
            name=tab.user,
            session=of_tab(tab, session),
            expected_token=self.state.token - back,
            right=right,
            section=section,
            rid=rid,
        )
        before = {lease.token: lease for lease in self.state.holds}
        reply = self._do(command)
        self._answered(command, reply)
        if isinstance(reply, Yours) and reply.token not in before:
            loser = before.get(command.expected_token)
            if loser is not None and loser.owner.user != tab.user and not loser.machine:
                assert right, "somebody took over without the right to"

    # -- keeping it

    @rule(tab=tabs, session=sessions, back=st.integers(0, 3), active=st.sampled_from([None, True, False]))
    def renew(self, tab: Owner, session: int, back: int, active: bool | None) -> None:
        command = Renew(tab, self.state.token - back, of_tab(tab, session), active)
        deadlines = {lease.token: lease.deadline for lease in self.state.holds if not lease.unclaimed}
        reply = self._do(command)
        self._answered(command, reply)
        if isinstance(reply, Yours):
            (lease,) = [lease for lease in self.state.holds if lease.token == reply.token]
            assert (lease.deadline or 0) >= (deadlines.get(reply.token) or 0), "U16: a renewal shortened a lease"

    @rule(tab=tabs, back=st.integers(0, 2), keep=st.sampled_from([None, 0, 10_000]))
    def answer(self, tab: Owner, back: int, keep: int | None) -> None:
        self._do(Answer(tab, self.state.token - back, keep))

    # -- giving it back

    @rule(tab=tabs, back=st.integers(-1, 3), leaving=st.booleans(), said_by=st.lists(sessions, max_size=2))
    def unlock(self, tab: Owner, back: int, leaving: bool, said_by: list[int]) -> None:
        token = self.state.token - back
        mine = next((lease for lease in self.state.holds if (lease.owner, lease.token) == (tab, token)), None)
        others = {lease.token for lease in self.state.holds if lease.owner != tab or lease.token != token}
        due = {lease.token for lease in self.state.holds if lease.due is not None and lease.due <= self.now}
        self._do(Unlock(tab, token, leaving, tuple(said_by)))
        if leaving and mine is not None and token not in due and token in {lease.token for lease in self.state.holds}:
            # The page before it: whose session has it now, or had it last, is not among those of the page that left.
            last = mine.session if mine.session is not None else mine.earlier[0]
            assert last not in said_by, "U1: a page that left has kept the form"
            assert {*mine.earlier} & {*said_by}, "U1: who never had it was taken for late"
            return
        if leaving and mine is not None and token not in due and mine.session is not None and mine.session not in said_by:
            assert not {*mine.earlier} & {*said_by}, "U8: the page before it has freed the form of a page that was reloaded"
        self.believes = {key: known for key, known in self.believes.items() if known != token}
        assert others - due <= {lease.token for lease in self.state.holds}, "somebody else freed the form"

    @rule(tab=tabs, back=st.integers(0, 2))
    def hand_over(self, tab: Owner, back: int) -> None:
        self._do(HandOver(tab, self.state.token - back))

    # -- wanting it

    @rule(tab=tabs, section=SECTIONS)
    def leave_queue(self, tab: Owner, section: str) -> None:
        self._do(LeaveQueue(tab, section))
        assert not [w for w in self.state.waiters if (w.owner, w.section) == (tab, section)]

    @rule(tab=tabs, section=SECTIONS)
    def ask(self, tab: Owner, section: str) -> None:
        self._do(AskFor(tab, tab.user, section=section))

    # -- time and the world

    @rule(session=sessions)
    def session_lost(self, session: int) -> None:
        self._do(SessionLost(session))
        assert session not in self.state.sessions(), "a session that is gone holds, waits or takes over"
        self.believes = {key: token for key, token in self.believes.items() if key[0] != session}

    @rule(by=TIMES)
    def time_passes(self, by: int) -> None:
        self.now += by

    @rule()
    def tick(self) -> None:
        self._do(Tick())

    @rule(restart=st.booleans(), living=st.frozensets(sessions))
    def recovered(self, restart: bool, living: frozenset[int]) -> None:
        if restart:
            self.state = self.state.without_clock(self.now)
        held = {lease.token: lease for lease in self.state.holds}
        self._do(Recovered(living if restart else None, grace_ms=40_000))
        for token, lease in held.items():
            kept = next((other for other in self.state.holds if other.token == token), None)
            if lease.long_wall is not None or lease.unclaimed or lease.owner.tab.startswith(SESSION_TAB):
                continue
            assert kept is not None, "an absence of ours cost a lock"
            assert (kept.deadline or 0) >= self.now + 40_000
        if restart:
            self.believes = {key: token for key, token in self.believes.items() if key[0] in living}

    # -- what always holds

    @invariant()
    def holders_do_not_conflict(self) -> None:
        if hasattr(self, "state"):
            for number, lease in enumerate(self.state.holds):
                for other in self.state.holds[number + 1 :]:
                    assert not conflict(lease, other), f"{lease} and {other}"

    @invariant()
    def tokens_are_one_each(self) -> None:
        if hasattr(self, "state"):
            held = [lease.token for lease in self.state.holds]
            assert len(set(held)) == len(held)
            assert all(token <= self.state.token for token in held)

    @invariant()
    def nothing_outlives_its_lease(self) -> None:
        """U1, U4: when nobody says a word any more, everything is over within ttl, grace, claims and the longest line."""
        if not hasattr(self, "state"):
            return
        state, now = self.state, self.now
        for _ in range(40):
            if state.deadline is None:
                break
            now = max(now, state.deadline)
            state = decide(state, Tick(), now, now, self.policy).state
        longs = [lease.long_wall for lease in self.state.holds if lease.long_wall is not None]
        limit = max([self.now + 8 * POLICY.ttl_ms, *(long + 2 * POLICY.ttl_ms for long in longs)])
        assert now <= limit, "it took too long"
        assert not state.holds

    @invariant()
    def whoever_is_there_and_free_to_go_goes(self) -> None:
        """Nobody in line who is there waits for nothing."""
        if not hasattr(self, "state"):
            return
        for waiter in self.state.waiters:
            if waiter.session is None:
                continue
            ahead = [w for w in self.state.waiters if w.number < waiter.number and w.session is not None]
            # Whoever is about to take over comes before the line, also before those whom the holder himself would not keep out.
            takers = [held.contest.handover for held in self.state.holds if held.contest and held.contest.handover]
            in_the_way: list[Wanted] = [*self.state.holds, *takers, *ahead]
            reserved = [left for left in self.state.lefts if left.reserved_until > self.now]
            if not reserved and self.state.deadline is not None and self.state.deadline > self.now:
                assert any(
                    # A copy of one's own tab keeps one out as well.
                    (other.owner != waiter.owner or (not isinstance(other, Waiter) and other.session != waiter.session))
                    and meets(other, waiter)
                    for other in in_the_way
                ), f"{waiter} waits for nothing"

    @invariant()
    def a_deadline_is_watched(self) -> None:
        """Whoever holds a form or has lost its session has a deadline, so that a timer can be set."""
        if hasattr(self, "state"):
            assert all(lease.deadline is not None for lease in self.state.holds)
            assert all(waiter.deadline is not None for waiter in self.state.waiters if waiter.session is None)


TestRules = Rules.TestCase
TestRules.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
