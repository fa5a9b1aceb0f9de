"""A random walk over all commands and times: what must hold of the rules after any history."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from formlock.model import FormId, FormState, Owner
from formlock.policy import Policy
from formlock.rules import SESSION_TAB, Lock, Recovered, Renew, SessionLost, Tick, Unlock, Wait, Yours, decide, session_owner

POLICY = Policy()
TABS = [Owner("ann", "a1"), Owner("ann", "a2"), Owner("bob", "b1"), session_owner("eva", 6)]
SESSIONS = list(range(1, 7))
TIMES = st.sampled_from([0, 1, 499, 1_500, 2_000, 25_000, 30_000, 89_999, 90_000, 400_000])


def of_tab(tab: Owner, session: int) -> int:
    """An owner that named no tab is on its own session, always."""
    return int(tab.tab[1:]) if tab.tab.startswith(SESSION_TAB) else session


@dataclass
class Promise:
    """What an owner was told: it holds the form with this token until then."""

    owner: Owner
    token: int
    until: int


class Rules(RuleBasedStateMachine):
    """One form, several owners, sessions and retries, and a clock that jumps."""

    @initialize()
    def begin(self) -> None:
        self.state = FormState(FormId("t", "1"), token=1_000)
        self.now = 0
        self.promise: Promise | None = None
        self.highest = 1_000
        self.rev = 0
        # The token that each living session was last given, until it is told otherwise or leaves.
        self.believes: dict[int, int] = {}
        self.wait: tuple[Owner, int, int | None] | None = None

    def _do(self, command: object) -> object:
        decision = decide(self.state, command, self.now, POLICY)  # type: ignore[arg-type]
        again = decide(self.state, command, self.now, POLICY)  # type: ignore[arg-type]
        assert again == decision, "decide is not a function of its arguments"
        assert [event.rev for event in decision.events] == [state.rev for state in decision.states]
        for event in decision.events:
            if event.public:
                self.rev += 1
            assert event.rev == self.rev, "revs are not contiguous"
            assert event.token <= decision.state.token
        assert decision.state.rev == self.rev
        if not decision.events:
            before, after = self.state, decision.state
            assert (before.token, before.rev) == (after.token, after.rev), "a change that nobody hears of"
            assert (before.lease is None) == (after.lease is None)
            if before.lease is not None and after.lease is not None:
                assert before.lease.session == after.lease.session
        self.state = decision.state
        return decision.reply

    def _promised(self, owner: Owner, reply: object) -> None:
        if not isinstance(reply, Yours):
            return
        if self.promise is not None and self.promise.owner != owner:
            assert self.now >= self.promise.until, f"{owner} was granted what {self.promise} was promised"
        if reply.token > self.highest:
            assert reply.token == self.highest + 1
            self.highest = reply.token
        else:
            assert reply.token == self.highest, "a token fell"
        self.promise = Promise(owner, reply.token, self.now + reply.lease_ms)

    def _proven(self, session: int, reply: object, *, by_lock: bool) -> None:
        """Of the pages of one tab (a duplicated tab is two), `lock` gives none a token that a living other one has."""
        if isinstance(reply, Yours):
            others = {other for other, token in self.believes.items() if token == reply.token and other != session}
            assert not (by_lock and others), f"sessions {others} and {session} have the same token"
            # Who renews knows the token: it is the page that had it, on another line.
            for other in others:
                del self.believes[other]
            self.believes[session] = reply.token

    @rule(tab=st.sampled_from(TABS), session=st.sampled_from(SESSIONS), rid=st.sampled_from(["", "r1", "r2"]))
    def lock(self, tab: Owner, session: int, rid: str) -> None:
        session = of_tab(tab, session)
        reply = self._do(Lock(tab, tab.user, session, wall=self.now, rid=rid))
        self._promised(tab, reply)
        self._proven(session, reply, by_lock=True)
        self._probed(reply)
        if isinstance(reply, Wait):
            assert reply.until > self.now, "a wait that never ends"
            assert reply.until <= self.now + max(POLICY.probe_ms, POLICY.reserve_ms)
            self.wait = (tab, session, reply.probed_since)

    def _probed(self, reply: object) -> None:
        """A holder that is asked for a sign of life and gives none has its grace from then on."""
        if isinstance(reply, Wait) and reply.probe is not None and self.promise is not None:
            self.promise.until = min(self.promise.until, reply.until + POLICY.grace_ms)

    @precondition(lambda self: self.wait is not None)
    @rule()
    def ask_again(self) -> None:
        assert self.wait is not None
        tab, session, since = self.wait
        reply = self._do(Lock(tab, tab.user, session, wall=self.now, probed_since=since))
        self._promised(tab, reply)
        self._proven(session, reply, by_lock=True)
        self._probed(reply)

    @rule(tab=st.sampled_from(TABS), session=st.sampled_from(SESSIONS), back=st.integers(0, 2))
    def renew(self, tab: Owner, session: int, back: int) -> None:
        session = of_tab(tab, session)
        reply = self._do(Renew(tab, self.highest - back, session))
        self._promised(tab, reply)
        self._proven(session, reply, by_lock=False)
        self._probed(reply)

    @rule(tab=st.sampled_from(TABS), back=st.integers(-1, 2), leaving=st.booleans())
    def unlock(self, tab: Owner, back: int, leaving: bool) -> None:
        held_by = self.state.lease.owner if self.state.lease is not None else None
        self._do(Unlock(tab, self.highest - back, leaving))
        self.believes = {session: token for session, token in self.believes.items() if token != self.highest - back}
        if self.promise is not None and (tab, self.highest - back) == (self.promise.owner, self.promise.token):
            self.promise = None
        elif held_by is not None and held_by != tab and self.promise is not None and self.now < self.promise.until:
            assert self.state.lease is not None, "somebody else freed the form"

    @rule(session=st.sampled_from(SESSIONS))
    def session_lost(self, session: int) -> None:
        self._do(SessionLost(session))
        self.believes.pop(session, None)
        # Its holder is gone: what it was promised now is its grace, and without a tab nothing.
        self._shorten(session)

    def _shorten(self, session: int | None) -> None:
        lease = self.state.lease
        if self.promise is None:
            return
        if lease is None:
            self.promise = None
        elif lease.session is None and lease.deadline is not None:
            self.promise.until = min(self.promise.until, lease.deadline)

    @rule(by=TIMES)
    def time_passes(self, by: int) -> None:
        self.now += by

    @rule()
    def tick(self) -> None:
        self._do(Tick())
        if self.promise is not None and self.state.lease is not None and self.state.lease.session is None:
            # A probe that stayed unanswered.
            self._shorten(None)

    @rule(alive=st.booleans())
    def recovered(self, alive: bool) -> None:
        lease = self.state.lease
        alive = alive and lease is not None and lease.session is not None
        if lease is not None and lease.session is not None and not alive:
            self.believes.pop(lease.session, None)
        self._do(Recovered(alive, grace_ms=40_000))
        if lease is not None and self.state.lease is not None and self.state.lease.deadline is not None:
            assert self.state.lease.deadline >= self.now + 40_000
            self.promise = Promise(lease.owner, lease.token, self.state.lease.deadline)
        else:
            self.promise = None

    @invariant()
    def nothing_outlives_its_lease(self) -> None:
        """No lock outlives ttl or grace once time has been applied (U1, U4)."""
        if not hasattr(self, "state"):
            return
        state = decide(self.state, Tick(), self.now + POLICY.ttl_ms, POLICY).state
        assert state.lease is None

    @invariant()
    def a_deadline_is_watched(self) -> None:
        """Whoever holds a form has a deadline, so that a timer can be set."""
        if hasattr(self, "state") and self.state.lease is not None:
            assert self.state.deadline is not None
            assert self.state.token == self.state.lease.token

    @invariant()
    def free_or_one_holder(self) -> None:
        """A form that was left is free."""
        if hasattr(self, "state"):
            assert self.state.lease is None or self.state.left is None


TestRules = Rules.TestCase
TestRules.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
