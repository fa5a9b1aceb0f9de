"""Every rule of locking, and nothing else. Pure: time, policy and sessions are arguments, a store may run `decide` again.

                          lock (token + 1), or one's turn in the line
              FREE ───────────────────────────────▶ HELD ──┐ renew, lock by the same tab
               ▲ ▲                                  │  ▲ ◀─┘
               │ └── unlock, page left, ttl over,   │  │
               │     asked, idle, longest time over │  │ lock or renew by the same tab (same token)
               │                       session lost,│  │
               │                       probe unanswered▼
               └──────── grace over ────────────── GRACE

HELD has an attached session, GRACE has none. A takeover goes from one HELD to the next, with a higher token.

A state is that of a whole record. The record's sections are held one by one; the whole conflicts with each of them, and shared
leases only with exclusive ones. Whoever waits is served in the order of coming: a lease, or somebody earlier in line who is there,
keeps out whom it conflicts with; others pass.

A page that left frees its form at once; for `reserve_ms` only its own tab can take it again, and as long as nobody else has, that
tab gets the same token back (docs/adr/0001): a page can't tell whether it is being closed or reloaded.

Time passes first: whatever is decided, decides on the state as it is at `now`, whether or not a timer has run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from formlock.commands import (
    Answer,
    AskFor,
    Asking,
    Command,
    Decision,
    Done,
    Freed,
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
    Wish,
    Yours,
)
from formlock.errors import Conflict, FormLocked, Lost, NotAllowed, NotHolder, TooMany
from formlock.events import (
    Answered,
    Asked,
    BecameActive,
    BecameIdle,
    Cause,
    Detached,
    Ending,
    Event,
    Granted,
    HandoverBegan,
    HandoverEnded,
    LeftQueue,
    Queued,
    Reattached,
    Refused,
    Released,
    TakenOver,
)
from formlock.model import Ask, Attempt, Contest, FormId, FormState, Handover, Lease, Left, Owner, Probe, Waiter, overlap
from formlock.policy import MAX_ATTEMPTS, MAX_EARLIER, REPEAT_MS, Policy


def decide(state: FormState, command: Command, now: int, wall: int, policy: Policy) -> Decision:
    """The one entry. `now` is monotonic milliseconds, `wall` those since 1970; the same arguments always give the same decision."""
    case = _Case(state, now, wall, policy)
    if isinstance(command, Recovered):
        _recover(case, command)
        reply: Reply = Done()
    else:
        _elapse(case)
        _serve(case)
        reply = _HANDLERS[type(command)](case, command)
        if isinstance(reply, Refusal) and not isinstance(command, (Tick, SessionLost)):
            section, name = getattr(command, "section", ""), getattr(command, "name", "")
            case.happened(Refused, command.owner, 0, section, name, call=_CALLS[type(command)], error=reply.error.name)
    _serve(case)
    return Decision(case.state, reply, tuple(case.events), tuple(case.states), tuple(case.probes))


def decide_all(
    states: Sequence[FormState], commands: Sequence[Lock], now: int, wall: int, policies: Sequence[Policy]
) -> list[Decision]:
    """Several forms, all or none: unless each is granted, no state is changed but by time, and the replies say why.

    Nobody holds one of them while waiting for another, so two who want the same forms can't keep each other out for ever.
    """
    cases = list(zip(states, commands, policies, strict=True))
    wanted = [decide(state, command, now, wall, policy) for state, command, policy in cases]
    if all(isinstance(decision.reply, Yours) for decision in wanted):
        return wanted
    passed = [decide(state, Tick(), now, wall, policy) for state, _, policy in cases]
    return [
        # Who is being probed stays so: that is what the next try looks for.
        decision if isinstance(decision.reply, Wait | Refusal) else replace(time, reply=Done())
        for decision, time in zip(wanted, passed, strict=True)
    ]


class _Case:
    """One decision in the making: the state so far, and what has happened."""

    def __init__(self, state: FormState, now: int, wall: int, policy: Policy) -> None:
        self.state = state
        self.now = now
        self.wall = wall
        self.policy = policy
        self.events: list[Event] = []
        self.states: list[FormState] = []
        self.probes: list[int] = []

    def happened(self, kind: type[Event], owner: Owner, token: int = 0, section: str = "", name: str = "", **facts: Any) -> None:
        """An event, with the next rev if it is public."""
        if kind.public:
            self.state = replace(self.state, rev=self.state.rev + 1)
        form = self.state.form
        form = FormId(form.type, form.id, section) if section else form
        self.events.append(kind(form, owner, token, self.state.rev, self.wall, name=name, **facts))
        self.states.append(self.state)

    def told(self, kind: type[Event], lease: Lease, **facts: Any) -> None:
        """An event about a lease."""
        self.happened(kind, lease.owner, lease.token, lease.section, lease.name, **facts)

    def change(self, lease: Lease, **facts: Any) -> Lease:
        """The lease with these facts, in its place."""
        changed = replace(lease, **facts)
        self.state = replace(self.state, holds=tuple(changed if held is lease else held for held in self.state.holds))
        return changed

    def contest(self, lease: Lease, **facts: Any) -> Lease:
        """The lease with these facts of what others want of it."""
        contest = replace(lease.contest or Contest(), **facts)
        return self.change(lease, contest=contest if contest != Contest() else None)

    def of_token(self, token: int) -> Lease | None:
        """The lease of this grant, as long as it lasts."""
        return self.state.of_token(token)

    def number(self) -> int:
        """The next number of a waiter or an ask."""
        self.state = replace(self.state, number=self.state.number + 1)
        return self.state.number


# -- what time does


def _elapse(case: _Case) -> None:
    """Everything that has become due, in the order of its time: a grace began when an answer was due, not when a timer ran."""
    while (at := case.state.deadline) is not None and at <= case.now:
        for lease in case.state.holds:
            if lease.due == at:
                _lease_due(case, lease, at)
                break
        else:
            _others_due(case, at)
            if case.state.deadline == at:
                return  # the end of a reservation: `_serve` sees to it


def _lease_due(case: _Case, lease: Lease, at: int) -> None:
    contest = lease.contest
    if lease.probe is not None and lease.probe.until == at:
        # No sign of life: a frozen tab or a dead line.
        _detach(case, case.change(lease, silent=True), at)
    elif lease.warn_at == at:
        left_ms = (lease.ends_at or at) - at
        case.told(Ending, case.change(lease, warn_ms=0), in_ms=left_ms)
    elif contest is not None and contest.handover is not None and contest.handover.until == at:
        _move(case, lease, contest.handover)
    elif contest is not None and contest.ask_until == at:
        _release(case, lease, "asked")
    elif lease.idle_until == at:
        _release(case, lease, "idle")
    elif lease.ends_at == at:
        _release(case, lease, "max_hold")
    elif lease.long_wall is not None:
        _release(case, lease, "long_over")
    elif lease.unclaimed:
        _release(case, lease, "unclaimed")
    else:
        _release(case, lease, "expired" if lease.session is not None else "session_lost")


def _others_due(case: _Case, at: int) -> None:
    for waiter in case.state.waiters:
        if waiter.deadline == at:
            _forget(case, waiter, "session_lost")
    case.state = replace(case.state, lefts=tuple(left for left in case.state.lefts if left.resumable_until > at))
    lapsed = tuple(replace(left, reserved_until=0) if left.reserved_until <= at else left for left in case.state.lefts)
    case.state = replace(case.state, lefts=lapsed)


def _serve(case: _Case) -> None:
    """Whose turn it is: whoever is there, and meets neither a lease nor anybody earlier who is there."""
    for waiter in case.state.waiters:
        if waiter.session is None or _blockers(case.state, waiter, waiter.number) or _reserved(case, waiter) is not None:
            continue
        _give(case, waiter, waiter.session, case.policy.claim_ms, number=waiter.number)


# -- getting it


def _lock(case: _Case, command: Lock) -> Reply:
    if _repeated(case, command):
        # This very attempt was granted, and its grant has ended since: a late copy must not start another.
        return Refusal(Lost)
    own = _own(case.state, command)
    if own is not None:
        return _lock_again(case, own, command) if own.mode == command.mode else Refusal(Conflict)
    waiting = next((w for w in case.state.waiters if (w.owner, w.section) == (command.owner, command.section)), None)
    if waiting is not None and waiting.mode != command.mode:
        # Another wish: it goes to the end of the line, behind whoever that lets pass.
        _forget(case, waiting, "left")
        _serve(case)
        waiting = None
    back = next(
        (
            left
            for left in case.state.lefts
            if (left.lease.owner, left.lease.section, left.lease.mode) == (command.owner, command.section, command.mode)
        ),
        None,
    )
    # A page that reloads comes before the line.
    blockers = _blockers(case.state, command, 0 if back is not None else waiting.number if waiting is not None else None)
    if blockers:
        if command.wait:
            return _queue(case, command, waiting, blockers)
        return Refusal(FormLocked, same_user=all(b.owner.user == command.owner.user for b in blockers))
    if back is not None:
        return _resume(case, command, back)
    reserved = _reserved(case, command)
    if reserved is not None:
        return Wait(reserved)
    return _yours(case, _give(case, command, command.session, long_wall=command.long_wall))


def _give(
    case: _Case, wish: Wish | Waiter | Handover, session: int, claim_ms: int | None = None, *,
    long_wall: int | None = None, number: int | None = None,
) -> Lease:  # fmt: skip
    """A new grant, with a token that nobody had before. `claim_ms`: the owner has to say that it is there."""
    policy, now = case.policy, case.now
    lease = Lease(
        owner=wish.owner,
        name=wish.name,
        token=case.state.token + 1,
        session=session,
        granted_wall=case.wall,
        deadline=now + (policy.ttl_ms if claim_ms is None else claim_ms),
        note=wish.note,
        heard_at=now,
        section=wish.section,
        mode=wish.mode,
        machine=wish.machine,
        unclaimed=claim_ms is not None,
        rid=wish.rid,
    )
    if long_wall is not None:
        lease = replace(lease, long_wall=long_wall, deadline=now + long_wall - case.wall)
    elif policy.max_hold_ms:
        lease = replace(lease, granted_at=now, max_hold_ms=policy.max_hold_ms, warn_ms=policy.warn_ms)
    _hold(case, lease)
    case.told(Granted, lease, session=session, number=number)
    return lease


def _hold(case: _Case, lease: Lease) -> None:
    """The lease is one of the state's: its owner waits no more, and whoever left this part of the form can't come back to it."""
    lefts = tuple(left for left in case.state.lefts if not overlap(lease.section, left.lease.section))
    waiters = tuple(w for w in case.state.waiters if (w.owner, w.section) != (lease.owner, lease.section))
    holds = (*case.state.holds, lease)
    case.state = replace(case.state, token=max(case.state.token, lease.token), holds=holds, lefts=lefts, waiters=waiters)


def _resume(case: _Case, command: Lock, left: Left) -> Reply:
    """The page was only reloaded, and nobody else has had the form: its lease goes on."""
    facts = {"session": command.session, "deadline": _fresh(case, left.lease), "heard_at": case.now, "rid": command.rid}
    lease = replace(left.lease, earlier=_earlier(left.lease), **facts)
    _hold(case, lease)
    case.told(Granted, lease, session=command.session, resumed=True)
    return _yours(case, lease)


def _again(case: _Case, lease: Lease, command: Wish) -> Reply | None:
    """The holder's own tab wants what it has: a double click, or a page that is back. None: its old session is still there."""
    if any(held.session is not None and held.owner == lease.owner and _conflict(command, held) for held in case.state.holds):
        # Another page of the tab has a part of this.
        return Refusal(FormLocked, same_user=True)
    if lease.session is None and lease.silent:
        # The page that did not answer may only be asleep. A new token makes sure that it has lost when it wakes (docs/adr/0005).
        token = case.state.token + 1
        case.state = replace(case.state, token=token)
        _remember(case, lease)
        facts = {"session": command.session, "deadline": _fresh(case, lease), "heard_at": case.now, "silent": False}
        again = case.change(lease, token=token, rid=command.rid, **facts)
        case.told(Granted, again, session=command.session)
        return _yours(case, again)
    if lease.session is None or lease.session == command.session:
        if command.rid and command.rid != lease.rid:
            _remember(case, lease)
            lease = case.change(lease, rid=command.rid)
        return _attach(case, lease, command.session)
    return None


def _lock_again(case: _Case, lease: Lease, command: Lock) -> Reply:
    """As above; while its old session is there, only a probe can tell a duplicated tab from a line that died without a word."""
    reply = _again(case, lease, command)
    if reply is not None:
        return reply
    if lease.probe is None and command.probed_since is not None and lease.heard_at >= command.probed_since:
        return Refusal(FormLocked, same_user=True)
    probe = lease.probe or Probe(case.now, case.now + case.policy.probe_ms)
    case.change(lease, probe=probe)
    case.probes.append(lease.session or 0)
    return Wait(probe.until, probed_since=probe.since)


# -- keeping it


def _renew(case: _Case, command: Renew) -> Reply:
    lease = case.of_token(command.token)
    if lease is None or lease.owner != command.owner:
        return Refusal(Lost)
    reply = _attach(case, lease, command.session)
    if command.active is not None:
        _activity(case, case.of_token(command.token) or lease, command.active)
    return reply


def _attach(case: _Case, lease: Lease, session: int) -> Reply:
    """The holder itself is there, on this session."""
    if lease.session is not None and session in lease.earlier:
        # A renewal that was stuck in a line its page has given up: the lease stays where the page is now.
        session = lease.session
    back = lease.session != session
    claimed = lease.unclaimed
    earlier = _earlier(lease) if back else lease.earlier
    lease = case.change(
        lease, session=session, deadline=_fresh(case, lease), heard_at=case.now, probe=None, silent=False, unclaimed=False,
        earlier=earlier,
    )  # fmt: skip
    if back or claimed:
        case.told(Reattached, lease, session=session)
    return _yours(case, lease)


def _earlier(lease: Lease) -> tuple[int, ...]:
    return lease.earlier if lease.session is None else (lease.session, *lease.earlier)[:MAX_EARLIER]


def _activity(case: _Case, lease: Lease, active: bool) -> None:
    if active == (lease.idle_wall is None):
        return
    if active:
        case.told(BecameActive, case.change(lease, idle_wall=None, idle_until=None))
        return
    release_ms = case.policy.idle_release_ms
    lease = case.change(lease, idle_wall=case.wall, idle_until=case.now + release_ms if release_ms else None)
    contest = lease.contest
    if contest is not None and contest.ask_until is not None:
        # Whoever is away is not waited for so long.
        lease = case.contest(lease, ask_until=min(contest.ask_until, _ask_until(case, lease)))
    case.told(BecameIdle, lease)


# -- giving it back


def _unlock(case: _Case, command: Unlock) -> Reply:
    lease = case.of_token(command.token)
    if lease is not None:
        if lease.owner != command.owner:
            return Refusal(NotHolder)
        if command.leaving and _elsewhere(lease, command.sessions):
            return Freed()
        _release(case, lease, "left" if command.leaving else "unlock")
        if command.leaving and not _ends_with_session(lease.owner) and lease.long_wall is None:
            kept = replace(lease, probe=None, silent=False, unclaimed=False, contest=None)
            left = Left(kept, case.now + case.policy.reserve_ms, case.now + case.policy.grace_ms)
            case.state = replace(case.state, lefts=(*case.state.lefts, left))
        return Freed()
    if command.token > case.state.token:
        return Refusal(NotHolder)
    if not command.leaving:
        # "Done" after "leaving": it will not come back.
        case.state = replace(case.state, lefts=tuple(left for left in case.state.lefts if left.lease.token != command.token))
    return Freed()


def _elsewhere(lease: Lease, sessions: Sequence[int]) -> bool:
    """Whether a page that has had the lease leaves it when the page after it has it already. A page says that it leaves on its
    connection and by HTTP: neither is waited for by the other, nor by the page that is loaded next (docs/adr/0001)."""
    last = lease.earlier[0] if lease.session is None and lease.earlier else lease.session
    return last not in sessions and any(session in lease.earlier for session in sessions)


def _session_lost(case: _Case, command: SessionLost) -> Reply:
    for lease in case.state.holds:
        handover = lease.contest.handover if lease.contest is not None else None
        if handover is not None and handover.session == command.session:
            lease = case.contest(lease, handover=None)
            case.told(HandoverEnded, lease, by=handover.owner)
        if lease.session == command.session:
            _detach(case, lease, case.now)
    for waiter in case.state.waiters:
        if waiter.session == command.session:
            _detach_waiter(case, waiter, case.policy.grace_ms)
    return Done()


def _detach(case: _Case, lease: Lease, since: int) -> None:
    """HELD to GRACE; an owner that can't come back (it named no tab) or has not come yet is released instead."""
    if lease.unclaimed:
        _release(case, lease, "unclaimed")
    elif _ends_with_session(lease.owner):
        _release(case, lease, "session_lost")
    else:
        grace_end = since + (case.policy.contended_grace_ms if _wanted(case.state, lease) else case.policy.grace_ms)
        deadline = grace_end if lease.deadline is None else min(lease.deadline, grace_end)
        if lease.long_wall is not None:
            deadline = lease.deadline or case.now + lease.long_wall - case.wall
        case.told(Detached, case.change(lease, session=None, probe=None, deadline=deadline, earlier=_earlier(lease)))


def _release(case: _Case, lease: Lease, cause: Cause) -> None:
    case.state = replace(case.state, holds=tuple(held for held in case.state.holds if held is not lease))
    _remember(case, lease)
    case.told(Released, lease, cause=cause)
    handover = lease.contest.handover if lease.contest is not None else None
    if handover is not None:
        # Whoever wanted to take it over has it without more ado.
        _hand(case, handover)


# -- the line


def _queue(case: _Case, command: Lock, waiting: Waiter | None, blockers: Sequence[Lease | Waiter | Handover]) -> Reply:
    policy = case.policy
    if not policy.queue:
        return Refusal(FormLocked)
    facts: dict[str, Any] = {
        "name": command.name, "session": command.session, "mode": command.mode, "machine": command.machine, "note": command.note,
        "rid": command.rid, "deadline": None,
    }  # fmt: skip
    if waiting is not None:
        changed = replace(waiting, **facts)
        case.state = replace(case.state, waiters=tuple(changed if other is waiting else other for other in case.state.waiters))
        if waiting.session != command.session:
            case.happened(Reattached, command.owner, 0, command.section, command.name, session=command.session)
        number = waiting.number
    elif len(case.state.waiters) >= policy.max_waiters or command.waits >= policy.max_waits_per_user:
        return Refusal(TooMany)
    else:
        number = case.number()
        waiter = Waiter(number=number, owner=command.owner, since_wall=case.wall, section=command.section, **facts)
        case.state = replace(case.state, waiters=(*case.state.waiters, waiter))
        case.happened(Queued, command.owner, 0, command.section, command.name, number=number)
    for blocker in blockers:
        if isinstance(blocker, Lease):
            _contend(case, blocker)
    return InLine(number, 1 + sum(other.number < number for other in case.state.waiters))


def _leave_queue(case: _Case, command: LeaveQueue) -> Reply:
    for waiter in case.state.waiters:
        if (waiter.owner, waiter.section) == (command.owner, command.section):
            _forget(case, waiter, "left")
    for lease in case.state.holds:
        if lease.unclaimed and (lease.owner, lease.section) == (command.owner, command.section):
            _release(case, lease, "unclaimed")
    return Freed()


def _forget(case: _Case, waiter: Waiter, cause: str) -> None:
    case.state = replace(case.state, waiters=tuple(other for other in case.state.waiters if other is not waiter))
    case.happened(LeftQueue, waiter.owner, 0, waiter.section, waiter.name, number=waiter.number, cause=cause)


def _detach_waiter(case: _Case, waiter: Waiter, grace_ms: int) -> None:
    if _ends_with_session(waiter.owner):
        _forget(case, waiter, "session_lost")
        return
    gone = replace(waiter, session=None, deadline=case.now + grace_ms)
    case.state = replace(case.state, waiters=tuple(gone if other is waiter else other for other in case.state.waiters))
    case.happened(Detached, waiter.owner, 0, waiter.section, waiter.name)


def _contend(case: _Case, lease: Lease) -> Lease:
    """Somebody else wants what this lease keeps: is its owner there at all?"""
    if lease.long_wall is not None:
        return lease
    if lease.session is None:
        return case.change(lease, deadline=min(lease.deadline or 0, case.now + case.policy.contended_grace_ms))
    if lease.probe is None and not lease.unclaimed:
        lease = case.change(lease, probe=Probe(case.now, case.now + case.policy.contended_probe_ms))
        case.probes.append(lease.session or 0)
    return lease


# -- asking for it


def _ask(case: _Case, command: AskFor) -> Reply:
    wanted = [lease for lease in case.state.held(command.section) if lease.owner != command.owner]
    if any(len((lease.contest or Contest()).asks) >= case.policy.max_asks for lease in wanted):
        return Refusal(TooMany)
    if not wanted:
        return Freed()
    ask = Ask(case.number(), command.owner, command.name, command.note, case.wall)
    for lease in wanted:
        if lease.session is None and lease.long_wall is None and not lease.silent:
            # There is nobody to answer (U17). Of who is only silent nobody knows: the page shuts before its grace is over.
            _release(case, lease, "asked")
        else:
            _asked(case, lease, ask)
    untils = [lease.contest.ask_until for lease in case.state.held(command.section) if lease.contest is not None]
    return Asking(ask.number, min((until for until in untils if until is not None), default=None)) if untils else Freed()


def _asked(case: _Case, lease: Lease, ask: Ask) -> None:
    contest = lease.contest or Contest()
    asks = (*(other for other in contest.asks if other.owner != ask.owner), ask)
    until = None
    if lease.long_wall is None:
        until = _ask_until(case, lease) if contest.ask_until is None else contest.ask_until
    lease = case.contest(lease, asks=asks, ask_until=until)
    lease = _contend(case, lease)
    case.told(Asked, lease, number=ask.number, by=ask.owner, by_name=ask.name, note=ask.note)


def _ask_until(case: _Case, lease: Lease) -> int:
    """Until when an answer is waited for: no sooner than the holder has been promised, sooner from somebody who is away."""
    kept = lease.contest.kept_until if lease.contest is not None else None
    return max(case.now, kept or 0) + (case.policy.ask_idle_ms if lease.idle_wall is not None else case.policy.ask_ms)


def _answer(case: _Case, command: Answer) -> Reply:
    lease = case.of_token(command.token)
    if lease is None or lease.owner != command.owner:
        return Refusal(Lost)
    if command.keep_ms is None:
        lease = case.contest(lease, asks=(), ask_until=None)
        case.told(Answered, lease, released=True)
        _release(case, lease, "asked")
        return Freed()
    keep_ms = min(command.keep_ms, case.policy.keep_ms)
    lease = case.contest(lease, asks=(), ask_until=None, kept_until=case.now + keep_ms)
    case.told(Answered, lease, released=False, keep_ms=keep_ms)
    return _yours(case, lease)


# -- taking it over


def _takeover(case: _Case, command: Takeover) -> Reply:
    if _repeated(case, command):
        return Refusal(Lost)
    own = _own(case.state, command)
    if own is not None and own.mode == "exclusive":
        # It has come about (the call that waited asks again), or was not needed.
        return _again(case, own, command) or Refusal(FormLocked, same_user=True)
    lease = case.of_token(command.expected_token)
    others = [
        held
        for held in case.state.holds
        if held is not lease and held.owner != command.owner and overlap(command.section, held.section)
    ]
    others += [held for held in case.state.holds if held is not lease and held.owner == command.owner and _conflict(command, held)]
    if lease is None or others or not overlap(lease.section, command.section):
        # Somebody else has it than the one who was seen: look again before you take it from them.
        return Refusal(Conflict)
    same_user = lease.owner.user == command.owner.user
    if not (command.right or same_user or (lease.machine and not command.machine)):
        return Refusal(NotAllowed)
    return _take(case, lease, command, same_user)


def _take(case: _Case, lease: Lease, command: Takeover, same_user: bool) -> Reply:
    underway = lease.contest.handover if lease.contest is not None else None
    if underway is not None and (underway.owner, underway.section) != (command.owner, command.section):
        return Refusal(Conflict)
    handover_ms = case.policy.handover_ms
    handover = underway or Handover(
        command.owner,
        command.name,
        command.session,
        command.reason,
        command.note,
        command.machine,
        command.rid,
        case.now + handover_ms,
        command.section,
    )
    # One that has begun lasts as long as the holder was told, whatever the policy says now.
    if (underway or handover_ms) and lease.session is not None and not same_user and not lease.machine and not lease.unclaimed:
        if underway is None:
            lease = case.contest(lease, handover=handover)
            case.told(HandoverBegan, lease, by=command.owner, by_name=command.name, reason=command.reason)
        return Wait(handover.until)
    return _yours(case, _move(case, lease, handover))


def _hand_over(case: _Case, command: HandOver) -> Reply:
    lease = case.of_token(command.token)
    if lease is None or lease.owner != command.owner:
        return Refusal(Lost)
    if lease.contest is None or lease.contest.handover is None:
        # Whoever wanted it has left: it is still the owner's, who may as well go on.
        return _yours(case, lease)
    _move(case, lease, lease.contest.handover)
    return Freed()


def _move(case: _Case, lease: Lease, handover: Handover) -> Lease:
    """The old holder is told before anybody hears of the new one."""
    case.state = replace(case.state, holds=tuple(held for held in case.state.holds if held is not lease))
    _remember(case, lease)
    case.told(TakenOver, lease, by=handover.owner, by_name=handover.name, reason=handover.reason)
    return _hand(case, handover)


def _hand(case: _Case, handover: Handover) -> Lease:
    """To whoever takes over. What they shared with others so far goes up in it."""
    for lease in case.state.holds:
        if (lease.owner, lease.section) == (handover.owner, handover.section):
            case.state = replace(case.state, holds=tuple(held for held in case.state.holds if held is not lease))
            _remember(case, lease)
            case.told(Released, lease, cause="takeover")
    return _give(case, handover, handover.session)


# -- after an absence


def _recover(case: _Case, command: Recovered) -> None:
    """Deadlines anew, never shorter than what was promised: nobody loses a lock because the service was away."""
    grace_ms = max(command.grace_ms, case.policy.grace_ms)
    for lease in case.state.holds:
        handover = lease.contest.handover if lease.contest is not None else None
        if handover is not None and command.living is not None and handover.session not in command.living:
            lease = case.contest(lease, handover=None)
            case.told(HandoverEnded, lease, by=handover.owner)
        alive = lease.session is not None and (command.living is None or lease.session in command.living)
        _recover_lease(case, _clock_again(case, lease), alive, grace_ms)
    for waiter in case.state.waiters:
        if waiter.session is None or (command.living is not None and waiter.session not in command.living):
            _detach_waiter(case, waiter, grace_ms)


def _clock_again(case: _Case, lease: Lease) -> Lease:
    """What is known by wall time only, by the clock of now; whoever is asked has the whole time again."""
    facts: dict[str, Any] = {}
    if lease.max_hold_ms and lease.deadline is None:
        # The wall clock may have been set: what was promised by a renewal just before is kept in any case.
        held_ms = min(max(0, case.wall - lease.granted_wall), lease.max_hold_ms - case.policy.ttl_ms)
        facts["granted_at"] = case.now - held_ms
    if lease.idle_wall is not None and case.policy.idle_release_ms:
        facts["idle_until"] = case.now + case.policy.idle_release_ms
    lease = case.change(lease, **facts) if facts else lease
    contest = lease.contest
    if contest is not None and contest.asks and lease.long_wall is None:
        lease = case.contest(lease, ask_until=_ask_until(case, lease))
    if contest is not None and contest.handover is not None:
        lease = case.contest(lease, handover=replace(contest.handover, until=case.now + case.policy.handover_ms))
    return lease


def _recover_lease(case: _Case, lease: Lease, alive: bool, grace_ms: int) -> None:
    if lease.long_wall is not None and lease.deadline is None:
        # As above: its owner's page may count on what it was last answered.
        lease = case.change(lease, deadline=case.now + max(case.policy.ttl_ms, lease.long_wall - case.wall))
    if alive:
        case.change(lease, deadline=_fresh(case, lease), heard_at=case.now, probe=None)
    elif _ends_with_session(lease.owner) or lease.unclaimed:
        _release(case, lease, "unclaimed" if lease.unclaimed else "session_lost")
    else:
        attached = lease.session is not None
        deadline = lease.deadline if lease.long_wall is not None else case.now + grace_ms
        lease = case.change(lease, session=None, probe=None, deadline=deadline, earlier=_earlier(lease))
        if attached:
            case.told(Detached, lease)


# -- what several of these ask


def _own(state: FormState, wish: Wish) -> Lease | None:
    return next((lease for lease in state.holds if (lease.owner, lease.section) == (wish.owner, wish.section)), None)


def _blockers(state: FormState, wish: Wish | Waiter, number: int | None) -> list[Lease | Waiter | Handover]:
    """The leases that keep this wish out, whoever takes one of them over, then whoever is earlier in line, there, and wants what it
    would keep."""
    takers = [lease.contest.handover for lease in state.holds if lease.contest is not None and lease.contest.handover is not None]
    earlier = [w for w in state.waiters if w.session is not None and (number is None or w.number < number)]
    others: list[Lease | Waiter | Handover] = [*state.holds, *takers, *earlier]
    return [other for other in others if _conflict(wish, other)]


def _conflict(wish: Wish | Waiter, other: Lease | Waiter | Handover) -> bool:
    """Whether one keeps the other out. A tab's own leases don't as long as they are one page's: a copy of it has another session."""
    if other.owner == wish.owner and (isinstance(other, Waiter) or other.section == wish.section or other.session == wish.session):
        return False
    return overlap(wish.section, other.section) and "exclusive" in (wish.mode, other.mode)


def _reserved(case: _Case, wish: Wish | Waiter) -> int | None:
    """Until when a page that has just left may come back to this part of the form before anybody else gets it."""
    untils = [
        left.reserved_until
        for left in case.state.lefts
        if left.lease.owner != wish.owner and left.reserved_until > case.now and overlap(wish.section, left.lease.section)
    ]
    return max(untils, default=None)


def _wanted(state: FormState, lease: Lease) -> bool:
    """Whether anybody waits or asks for what this lease keeps."""
    if lease.contest is not None and (lease.contest.asks or lease.contest.handover):
        return True
    return any(w.session is not None and overlap(lease.section, w.section) for w in state.waiters)


def _fresh(case: _Case, lease: Lease) -> int:
    """A lease never gets shorter by being renewed, not even by a renewal that was decided late. A long one has its own end."""
    if lease.long_wall is not None:
        return lease.deadline if lease.deadline is not None else case.now + lease.long_wall - case.wall
    return max((lease.deadline or 0) if not lease.unclaimed else 0, case.now + case.policy.ttl_ms)


def _yours(case: _Case, lease: Lease) -> Yours:
    deadline = lease.deadline or case.now
    # What ends it anyway ends the promise too.
    return Yours(lease.token, min(deadline, lease.ends_at or deadline) - case.now)


def _repeated(case: _Case, command: Wish) -> bool:
    """Whether this attempt was granted before, and that grant has ended."""
    return bool(command.rid) and any(
        attempt.rid == command.rid
        and attempt.owner == command.owner
        and case.now - attempt.at < REPEAT_MS
        and case.of_token(attempt.token) is None
        for attempt in case.state.attempts
    )


def _remember(case: _Case, lease: Lease) -> None:
    """The lease has ended, or another call is answered with it: a late copy of this one must not begin a new one."""
    if lease.rid:
        attempt = Attempt(lease.owner, lease.rid, lease.token, case.now)
        # One entry for each: calls that are repeated in turn push nothing else out.
        recent = [a for a in case.state.attempts if case.now - a.at < REPEAT_MS and a._replace(at=case.now) != attempt]
        recent.append(attempt)
        case.state = replace(case.state, attempts=tuple(recent[-MAX_ATTEMPTS:]))


SESSION_TAB = "~"


def session_owner(user: str, session: int) -> Owner:
    """The owner of a call that names no tab: its session is its tab. `~` is no character of a tab's id, so none can claim it."""
    return Owner(user, f"{SESSION_TAB}{session}")


def _ends_with_session(owner: Owner) -> bool:
    return owner.tab.startswith(SESSION_TAB)


_HANDLERS: dict[type[Any], Callable[[_Case, Any], Reply]] = {
    Lock: _lock,
    Takeover: _takeover,
    Renew: _renew,
    Unlock: _unlock,
    LeaveQueue: _leave_queue,
    AskFor: _ask,
    Answer: _answer,
    HandOver: _hand_over,
    SessionLost: _session_lost,
    Tick: lambda _case, _command: Done(),
}
_CALLS: dict[type[Any], str] = {
    Lock: "lock", Takeover: "takeover", Renew: "renew", Unlock: "unlock", LeaveQueue: "leave_queue", AskFor: "ask", Answer: "answer",
    HandOver: "hand_over",
}  # fmt: skip
