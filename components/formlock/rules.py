"""Every rule of locking, and nothing else. Pure: time, policy and sessions are arguments, a store may run `decide` again.

                          lock (token + 1)
              FREE ───────────────────────────────▶ HELD ──┐ renew, lock by the same tab
               ▲ ▲                                  │  ▲ ◀─┘
               │ └── unlock, page left, ttl over ───┘  │
               │                                       │ lock or renew by the same tab (same token)
               │                       session lost,   │
               │                       probe unanswered▼
               └──────── grace over ────────────── GRACE

HELD has an attached session, GRACE has none. A page that left frees its form at once; for `reserve_ms` only its own tab can take
it again, and as long as nobody else has, that tab gets the same token back (docs/adr/0001): a page can't tell whether it is being
closed or reloaded.

Time passes first: whatever is decided, decides on the state as it is at `now`, whether or not a timer has run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from formlock.errors import FormLocked, FormLockError, Lost, NotHolder
from formlock.events import Cause, Detached, Event, Granted, Reattached, Released
from formlock.model import Attempt, FormState, Lease, Left, Owner, Probe
from formlock.policy import MAX_ATTEMPTS, REPEAT_MS, Policy

# -- commands


@dataclass(frozen=True, slots=True)
class Lock:
    """An owner asks for the form. `probed_since` comes from the `Wait` that an earlier try of the same call got."""

    owner: Owner
    name: str
    session: int
    wall: int
    note: str = ""
    rid: str = ""
    probed_since: int | None = None


@dataclass(frozen=True, slots=True)
class Renew:
    """The owner lives, on this session, and knows its token: that no copy of its tab does."""

    owner: Owner
    token: int
    session: int


@dataclass(frozen=True, slots=True)
class Unlock:
    """The owner is done; `leaving`: its page is going away and may be coming back."""

    owner: Owner
    token: int
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The router says that this session is gone."""

    session: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing but time."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The service was away, or stood still: the clock that gave the deadlines means nothing any more.

    `alive`: the lease's session is still there. `grace_ms`: how long owners have to come back, more than usual after a mass return.
    """

    alive: bool
    grace_ms: int


Command = Lock | Renew | Unlock | SessionLost | Tick | Recovered

# -- replies


@dataclass(frozen=True, slots=True)
class Yours:
    """The owner holds the form until `lease_ms` after it asked."""

    token: int
    lease_ms: int


@dataclass(frozen=True, slots=True)
class Freed:
    """The owner does not hold the form (any more)."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again when `until` has come or something has changed; `probe` is a session to be asked for a sign of life now."""

    until: int
    probed_since: int | None = None
    probe: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """No, with the error that says why."""

    error: type[FormLockError]
    same_user: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """The command had no one to answer."""


Reply = Yours | Freed | Wait | Refusal | Done


@dataclass(frozen=True, slots=True)
class Decision:
    """The state after, what to answer, and what happened, in order; `states` are those right after each event."""

    state: FormState
    reply: Reply
    events: tuple[Event, ...] = ()
    states: tuple[FormState, ...] = ()


def decide(state: FormState, command: Command, now: int, policy: Policy) -> Decision:
    """The one entry. `now` is monotonic milliseconds; the same arguments always give the same decision."""
    if isinstance(command, Recovered):
        return _recovered(state, command, now, policy)
    elapsed = _elapse(state, now, policy)
    state = elapsed.state
    match command:
        case Lock():
            decision = _lock(state, command, now, policy)
        case Renew():
            decision = _renew(state, command, now, policy)
        case Unlock():
            decision = _unlock(state, command, now, policy)
        case SessionLost():
            decision = _session_lost(state, command, now, policy)
        case Tick():
            decision = Decision(state, Done())
    return replace(
        decision, events=(*elapsed.events, *decision.events), states=(*elapsed.states, *(decision.state for _ in decision.events))
    )


# -- what time does


def _elapse(state: FormState, now: int, policy: Policy) -> Decision:
    events: tuple[Event, ...] = ()
    states: tuple[FormState, ...] = ()
    lease = state.lease
    if lease is not None and lease.probe is not None and now >= lease.probe.until:
        # No sign of life: a frozen tab or a dead line. Its grace began when the answer was due, not when a timer ran.
        state, events = _detach(state, replace(lease, silent=True), lease.probe.until, policy)
        states = (state,)
        lease = state.lease
    if lease is not None and lease.deadline is not None and now >= lease.deadline:
        state, released = _release(state, lease, "expired" if lease.session is not None else "session_lost")
        events += released
        states += (state,)
    if state.left is not None and now >= state.left.resumable_until:
        state = replace(state, left=None)
    return Decision(state, Done(), events, states)


# -- commands, one by one


def _lock(state: FormState, command: Lock, now: int, policy: Policy) -> Decision:
    lease = state.lease
    attempt = _repeated(state, command, now)
    if attempt is not None and (lease is None or lease.token != attempt.token):
        # This very attempt was granted, and its grant has ended since: a late copy must not start another.
        return Decision(state, Refusal(Lost))
    if lease is None:
        return _grant(state, command, now, policy)
    if lease.owner == command.owner:
        return _lock_again(state, lease, command, now, policy)
    return Decision(state, Refusal(FormLocked, same_user=lease.owner.user == command.owner.user))


def _grant(state: FormState, command: Lock, now: int, policy: Policy) -> Decision:
    left = state.left
    if left is not None and left.lease.owner == command.owner:
        lease = replace(left.lease, session=command.session, deadline=now + policy.ttl_ms, heard_at=now)
        return _granted(state, command, lease, now, resumed=True)
    if left is not None and now < left.reserved_until:
        return Decision(state, Wait(left.reserved_until))
    lease = Lease(
        owner=command.owner,
        name=command.name,
        token=state.token + 1,
        session=command.session,
        granted_wall=command.wall,
        deadline=now + policy.ttl_ms,
        note=command.note,
        heard_at=now,
    )
    return _granted(state, command, lease, now)


def _granted(state: FormState, command: Lock, lease: Lease, now: int, resumed: bool = False) -> Decision:
    state = replace(state, token=lease.token, rev=state.rev + 1, lease=lease, left=None)
    state = _remember(state, command, lease.token, now)
    event = Granted(state.form, lease.owner, lease.token, state.rev, command.session, resumed)
    return Decision(state, Yours(lease.token, (lease.deadline or now) - now), (event,))


def _renew(state: FormState, command: Renew, now: int, policy: Policy) -> Decision:
    lease = state.lease
    if lease is None or lease.token != command.token or lease.owner != command.owner:
        return Decision(state, Refusal(Lost))
    return _attach(state, lease, command.session, now, policy)


def _lock_again(state: FormState, lease: Lease, command: Lock, now: int, policy: Policy) -> Decision:
    """The holder's own tab asks for the form: a double click, a page that is back, or a copy of the tab."""
    if lease.session is None and lease.silent:
        # The page that did not answer may only be asleep. A new token makes sure that it has lost when it wakes (docs/adr/0005).
        again = replace(
            lease, token=state.token + 1, session=command.session, deadline=now + policy.ttl_ms, heard_at=now, silent=False
        )
        return _granted(state, command, again, now)
    if lease.session is None or lease.session == command.session:
        return _attach(_remember(state, command, lease.token, now), lease, command.session, now, policy)
    # Its old session is still there: a duplicated tab, or a line that died without a word. Only a probe can tell.
    if lease.probe is None and command.probed_since is not None and lease.heard_at >= command.probed_since:
        return Decision(state, Refusal(FormLocked, same_user=True))
    probe = lease.probe or Probe(now, now + policy.probe_ms)
    state = replace(state, lease=replace(lease, probe=probe))
    return Decision(state, Wait(probe.until, probed_since=probe.since, probe=lease.session))


def _attach(state: FormState, lease: Lease, session: int, now: int, policy: Policy) -> Decision:
    """The holder itself is there, on this session."""
    events: tuple[Event, ...] = ()
    if lease.session != session:
        events = (Reattached(state.form, lease.owner, lease.token, state.rev, session),)
    # A lease never gets shorter by being renewed, not even by a renewal that was decided late.
    deadline = max(lease.deadline or 0, now + policy.ttl_ms)
    lease = replace(lease, session=session, deadline=deadline, heard_at=now, probe=None, silent=False)
    return Decision(replace(state, lease=lease), Yours(lease.token, policy.ttl_ms), events)


def _unlock(state: FormState, command: Unlock, now: int, policy: Policy) -> Decision:
    lease = state.lease
    if lease is not None and lease.token == command.token:
        if lease.owner != command.owner:
            return Decision(state, Refusal(NotHolder))
        state, events = _release(state, lease, "left" if command.leaving else "unlock")
        if command.leaving and not _ends_with_session(lease.owner):
            left = Left(replace(lease, probe=None, silent=False), now + policy.reserve_ms, now + policy.grace_ms)
            state = replace(state, left=left)
        return Decision(state, Freed(), events)
    if command.token > state.token:
        return Decision(state, Refusal(NotHolder))
    if state.left is not None and not command.leaving and state.left.lease.token == command.token:
        # "Done" after "leaving": it will not come back.
        state = replace(state, left=None)
    return Decision(state, Freed())


def _session_lost(state: FormState, command: SessionLost, now: int, policy: Policy) -> Decision:
    lease = state.lease
    if lease is None or lease.session != command.session:
        return Decision(state, Done())
    state, events = _detach(state, lease, now, policy)
    return Decision(state, Done(), events)


def _recovered(state: FormState, command: Recovered, now: int, policy: Policy) -> Decision:
    """Deadlines anew, never shorter than what was promised: nobody loses a lock because the service was away."""
    lease = state.lease
    if lease is None:
        return Decision(state, Done())
    if command.alive:
        deadline = max(lease.deadline or 0, now + policy.ttl_ms)
        lease = replace(lease, deadline=deadline, heard_at=now, probe=None)
        return Decision(replace(state, lease=lease), Done())
    if _ends_with_session(lease.owner):
        state, events = _release(state, lease, "session_lost")
        return Decision(state, Done(), events, (state,))
    events = () if lease.session is None else (Detached(state.form, lease.owner, lease.token, state.rev),)
    lease = replace(lease, session=None, probe=None, deadline=now + max(command.grace_ms, policy.grace_ms))
    state = replace(state, lease=lease)
    return Decision(state, Done(), events, tuple(state for _ in events))


# -- steps that several commands share


def _detach(state: FormState, lease: Lease, since: int, policy: Policy) -> tuple[FormState, tuple[Event, ...]]:
    """HELD to GRACE; an owner that can't come back (it named no tab) is released instead."""
    if _ends_with_session(lease.owner):
        return _release(state, lease, "session_lost")
    grace_end = since + policy.grace_ms
    deadline = grace_end if lease.deadline is None else min(lease.deadline, grace_end)
    lease = replace(lease, session=None, probe=None, deadline=deadline)
    return replace(state, lease=lease), (Detached(state.form, lease.owner, lease.token, state.rev),)


def _release(state: FormState, lease: Lease, cause: Cause) -> tuple[FormState, tuple[Event, ...]]:
    state = replace(state, rev=state.rev + 1, lease=None, left=None)
    return state, (Released(state.form, lease.owner, lease.token, state.rev, cause),)


def _repeated(state: FormState, command: Lock, now: int) -> Attempt | None:
    for attempt in state.attempts:
        if attempt.rid == command.rid and attempt.owner == command.owner and now - attempt.at < REPEAT_MS:
            return attempt
    return None


def _remember(state: FormState, command: Lock, token: int, now: int) -> FormState:
    recent = [attempt for attempt in state.attempts if now - attempt.at < REPEAT_MS]
    if command.rid:
        recent.append(Attempt(command.owner, command.rid, token, now))
    return replace(state, attempts=tuple(recent[-MAX_ATTEMPTS:]))


SESSION_TAB = "~"


def session_owner(user: str, session: int) -> Owner:
    """The owner of a call that names no tab: its session is its tab. `~` is no character of a tab's id, so none can claim it."""
    return Owner(user, f"{SESSION_TAB}{session}")


def _ends_with_session(owner: Owner) -> bool:
    return owner.tab.startswith(SESSION_TAB)
