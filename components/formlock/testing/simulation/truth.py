"""What is durable, and the promises that must hold of it and of what pages believe, at every step.

| promise | held against |
|---|---|
| tokens rise for ever, one owner each | every durable grant |
| revs are contiguous, nothing is told before it is durable or twice | every durable and every told event |
| no two leases that conflict | every durable grant |
| no two pages believe in parts that conflict, by their own clocks | every step; `_excused` has all exceptions |
| a page never loses by silence what it believes in, by its own clock | every durable end |
| a page's last word frees what that page has, and nothing that a later page has | every such end and answer |
| whoever comes back within the grace after a restart or a pause finds the lock | every durable end |
| `lost` is true, `released` is true, one call gets one grant | every such answer |
| a session that has left is in no state | every step while the service runs |
| nothing outlives ttl + 1 s of silence, or its grace + 1 s; nobody waits for what is free | every step while the service runs |
| nobody saves over what they have not seen; no token of another's | every claim and save of the application |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from formlock.commands import Command, HandOver, LeaveQueue, Lock, Renew, Unlock, Yours
from formlock.events import Event, Granted, Released, TakenOver
from formlock.model import FormId, FormState, Handover, Lease, Owner, Waiter, overlap
from formlock.policy import MAX_ATTEMPTS, REPEAT_MS
from formlock.rules import SESSION_TAB
from formlock.testing.simulation.disk import Noted
from formlock.testing.simulation.page import BLIP_MS, LIMIT_MS, PAUSE_MS, TICK_MS
from formlock.testing.simulation.page import Grant as Believed

if TYPE_CHECKING:
    from formlock.testing.simulation.page import Page
    from formlock.testing.simulation.server import Server
    from formlock.testing.simulation.world import World

# A session that has left is told of within 3 s, and stored within seconds when the disk works: after that it is in no state.
TOLD_LATE_MS = 8_000
# A state that has not changed is looked at again so often, for what only time brings about.
LOOK_MS = 250
# Ends that the holder is told of and can't foresee by its own clock. "silent": its tab's copy asked, and it did not answer.
FORCED = frozenset({"takeover", "silent", "asked", "idle"})
# Ends that the holder's own clock, or its own hand, has come before.
FORESEEN = frozenset({"expired", "unclaimed", "long_over", "max_hold", "unlock", "left"})


class Violation(AssertionError):
    """A promise is broken."""


@dataclass(slots=True)
class Granting:
    """One grant, from its first to its last durable moment."""

    form: FormId
    owner: Owner
    lease: Lease
    at: int
    ended_at: int | None = None
    end_rev: int = 0
    cause: str = ""
    detached_at: int | None = None
    was_detached: bool = False
    last: int = 0
    """The session that it was last attached to."""

    def __str__(self) -> str:
        end = f", until {self.ended_at} by {self.cause}" if self.ended_at is not None else ""
        return f"{self.lease.mode} {self.lease.token} of {self.form} for {'/'.join(self.owner)} from {self.at}{end}"


@dataclass(slots=True)
class _Record:
    rev: int
    highest: int
    active: dict[int, Granting] = field(default_factory=dict)
    told: dict[int, Event] = field(default_factory=dict)
    """Public events that were sent to the pages, by rev."""


class _Called(NamedTuple):
    rid: str
    granting: Granting
    at: int


def _conflict(one: Lease | Waiter | Believed, part: FormId, other: Lease | Waiter | Believed, other_part: FormId) -> bool:
    return part.overlaps(other_part) and "exclusive" in (one.mode, other.mode)


class Truth:
    """The witness of the disk."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.records: dict[FormId, _Record] = {}
        self.grants: dict[tuple[FormId, int], Granting] = {}
        self.excuses: dict[str, int] = {}
        """How often each exception was needed, by its name."""
        self.ends: dict[str, int] = {}
        self.late_words = 0
        """Last words that came when a later page had the form."""
        self.doubled: set[tuple[FormId, int]] = set()
        """Tokens that two pages may have: a copy of a tab has locked while the tab's own page had no line, and the rules give it
        the same token, as to a page that comes back after a crash; or see `overtaken`. Of these, only saves are held against
        anything."""
        self._looked: dict[FormId, FormState] = {}
        self._look_at = 0
        self._promised_to: dict[tuple[FormId, int], set[Page]] = {}
        self._calls: dict[FormId, list[_Called]] = {}
        self._excused_now: set[tuple[int, int]] = set()

    def check(self, holds: bool, otherwise: str) -> None:
        """Remembered beside being raised: a coroutine may swallow what is raised in it."""
        if not holds:
            self.world.violation = self.world.violation or Violation(otherwise)
            raise self.world.violation

    # -- what is durable

    def committed(self, state: FormState, events: Noted) -> None:
        """A state has reached the disk."""
        record = self.records.setdefault(state.form, _Record(0, self.world.disk.first_token))
        self.check(state.rev >= record.rev, f"the rev of {state.form} fell from {record.rev} to {state.rev}")
        for rev in range(record.rev + 1, state.rev + 1):
            self.check(rev in events, f"no event has rev {rev} of {state.form}")
            event, after, at = events[rev]
            self._apply(record, event, after, at)
        record.rev = state.rev
        held = {lease.token for lease in state.holds}
        self.check(held == set(record.active), f"{state.form} has {held}, by its events {set(record.active)}")
        now = self.world.clock.now()
        for lease in state.holds:
            granting = record.active[lease.token]
            granting.last = _last(lease)
            if lease.session is not None:
                granting.detached_at = None
            elif granting.detached_at is None:
                granting.detached_at = now
                granting.was_detached = True

    def _apply(self, record: _Record, event: Event, after: FormState, at: int) -> None:
        if isinstance(event, Granted):
            self._granted(record, event, after, at)
        elif isinstance(event, Released):
            self._ended(record, event, event.cause, at)
        elif isinstance(event, TakenOver):
            self._ended(record, event, "takeover", at)

    def _granted(self, record: _Record, event: Granted, after: FormState, at: int) -> None:
        lease = next(lease for lease in after.holds if lease.token == event.token)
        key = after.form, event.token
        if event.resumed:
            self.check(key in self.grants and self.grants[key].owner == event.owner, f"{event} resumes what was not its owner's")
            self.check(self.grants[key].cause == "left", f"{event} resumes what had not been left")
        else:
            self.check(event.token > record.highest, f"{event} after token {record.highest}")
        record.highest = max(record.highest, event.token)
        for token, other in list(record.active.items()):
            if other.owner == event.owner and other.form == event.form:
                self._end(record, token, "silent", event.rev, at)
        granting = self.grants[key] = Granting(event.form, event.owner, lease, at)
        for other in record.active.values():
            if other.owner != event.owner:
                self.check(not _conflict(lease, event.form, other.lease, other.form), f"{granting} beside {other}")
        record.active[event.token] = granting

    def _ended(self, record: _Record, event: Event, cause: str, at: int) -> None:
        self.check(event.token in record.active, f"{event} ends what nobody has")
        self._end(record, event.token, cause, event.rev, at)

    def _end(self, record: _Record, token: int, cause: str, rev: int, at: int) -> None:
        granting = record.active.pop(token)
        granting.ended_at, granting.cause, granting.end_rev = self.world.clock.now(), cause, rev
        self.ends[cause] = self.ends.get(cause, 0) + 1
        if (granting.form.record, token) not in self.doubled:
            for page, believed in self._believers(granting.form.record, token):
                # A program without a tab has what it has for as long as its session lasts, and need not know that it has ended.
                foreseen = cause in FORESEEN or (cause == "session_lost" and page.tab != "")
                self.check(not foreseen, f"{page} believes in {token} of {believed.form} that has ended by {cause}")
            having = self.world.router.pages.get(granting.last)
            self.check(cause != "left" or having is None or having.closed, f"{having} has not left, and {granting}")
        self._kept_over_absence(granting, cause, at)

    def _kept_over_absence(self, granting: Granting, cause: str, at: int) -> None:
        """After a restart, or a pause that was noticed, silence counts anew."""
        policy, server = self.world.policy, self.world.server
        lease = granting.lease
        if cause not in ("expired", "session_lost") or server is None or granting.owner.tab.startswith(SESSION_TAB):
            return
        since = server.recovery_began_at
        if lease.long_wall is not None or granting.at > since or at < since:
            return
        least_ms = policy.ttl_ms if cause == "expired" else policy.contended_grace_ms
        self.check(at - since >= least_ms, f"{granting} has ended {at - since} ms after the return")

    # -- what is told

    def published(self, event: Event, state: FormState, *, heard: bool) -> None:
        """The service tells an event."""
        if not event.public:
            return
        record = self.records.get(state.form)
        self.check(record is not None and event.rev <= record.rev, f"{event} is told before it is durable")
        if record is not None and heard:
            self.check(event.rev not in record.told, f"{event} is told, and {record.told.get(event.rev)} was before")
            record.told[event.rev] = event

    def promised(self, form: FormId, command: Command, reply: Yours) -> None:
        """The service answers that the owner has the form."""
        owner = getattr(command, "owner", None)
        granting = self.grants.get((form.record, reply.token))
        self.check(granting is not None, f"{owner} is promised {reply} of {form}, which is not durable")
        self.check(granting is not None and granting.owner == owner, f"{owner} is promised {granting}")

        self._copied_token(form, command, reply)
        rid = getattr(command, "rid", "")
        if rid and granting is not None:
            self._one_call_one_grant(form, rid, granting)

    def _one_call_one_grant(self, form: FormId, rid: str, granting: Granting) -> None:
        calls = self._calls.setdefault(form.record, [])
        now = self.world.clock.now()
        for call in calls[-MAX_ATTEMPTS:]:
            if (call.rid, call.granting.form, call.granting.owner) != (rid, form, granting.owner) or now - call.at >= REPEAT_MS:
                continue
            # A page that did not answer a probe has its token changed, whoever asks; and a call may find what another page of its
            # tab has got since. What it must not do is to begin a second grant.
            same = call.granting.lease.token == granting.lease.token or call.granting.cause == "silent" or granting.lease.rid != rid
            self.check(same, f"one call, {rid}, has got {call.granting} and {granting}")
        calls[:] = [call for call in calls[-MAX_ATTEMPTS:] if call.rid != rid]
        calls.append(_Called(rid, granting, now))

    def _copied_token(self, form: FormId, command: Command, reply: Yours) -> None:
        """Whether one page's token is given to another, which is no reload that said goodbye."""
        line = self.world.router.sessions.get(getattr(command, "session", 0))
        if line is None:
            return
        key = form.record, reply.token
        pages = self._promised_to.setdefault(key, set())
        if isinstance(command, Lock) and any(page is not line.page and not page.closed for page in pages):
            self.doubled.add(key)
        pages.add(line.page)

    def freed(self, command: Command, session: int, state: FormState) -> None:
        """The service answers that the owner has not got the form, and does not wait for it; or that a later page has it."""
        if isinstance(command, LeaveQueue):
            waits = any((waiter.owner, waiter.section) == (command.owner, command.section) for waiter in state.waiters)
            self.check(not waits, f"{command} is answered, and in {state} it waits")
        elif isinstance(command, Unlock | HandOver):
            lease = state.of_token(command.token)
            later = lease is not None and isinstance(command, Unlock) and command.leaving and self._later(command, session, lease)
            self.late_words += later
            self.check(lease is None or later, f"{command} is answered, and in {state} it has it")

    def _later(self, command: Unlock, session: int, lease: Lease) -> bool:
        """Whether another page has the lease than the one that says that it leaves."""
        pages = self.world.router.pages
        return pages.get(_last(lease)) not in [pages[one] for one in (session, *command.sessions) if one in pages]

    def overtaken(self, state: FormState, command: Command, session: int) -> None:
        """Before a call is decided: a page that is left, on a line that the service has not heard of, speaks after the tab's next
        page. Which of the two came later nothing tells (docs/adr/0001)."""
        pages = self.world.router.pages
        page = pages.get(session)
        lease = state.of_token(command.token) if isinstance(command, Renew | Unlock) else None
        if page is None or not page.closed or lease is None or session in (lease.session, *lease.earlier):
            return
        if pages.get(_last(lease)) is not page:
            self.doubled.add((state.form, lease.token))

    def told_lost(self, page: Page, believed: Believed) -> None:
        """A page has been told that it has lost."""
        key = believed.form.record, believed.token
        granting = self.grants[key]
        # A copy of the tab may have left, and come back to it.
        self.check(
            granting.ended_at is not None or key in self.doubled, f"{page} was told that it had lost {granting}, which it has"
        )

    # -- what is saved

    def claims(self, form: FormId, token: int, user: str, tab: str) -> None:
        """The application accepts a claim."""
        granting = self.grants.get((form.record, token))
        right = granting is not None and granting.owner.user == user and (not tab or granting.owner.tab == tab)
        self.check(right, f"{user}/{tab} claims {token} of {form}: {granting}")

    def saves(self, form: FormId, token: int, page: Page) -> None:
        """The application accepts a save."""
        self.claims(form, token, page.user, page.tab)

    # -- what pages believe

    def _believers(self, record: FormId, token: int) -> list[tuple[Page, Believed]]:
        return [
            (page, grant)
            for page in self.world.pages
            for grant in page.believed()
            if grant.token == token and grant.form.record == record
        ]

    def beliefs(self) -> bool:
        """At most one, but for the exceptions; True while there is one."""
        having: dict[tuple[FormId, int], Page] = {}
        for page in self.world.pages:
            for key in page.having() if not page.closed else ():
                other_page = having.setdefault(key, page)
                if other_page is not page:
                    self.check((page.user, page.tab) == (other_page.user, other_page.tab), f"{page} and {other_page} have {key}")
                    self.doubled.add(key)
        believed = [(page, grant) for page in self.world.pages for grant in page.believed()]
        excused: set[tuple[int, int]] = set()
        for number, (page, grant) in enumerate(believed):
            for other_page, other in believed[number + 1 :]:
                if page is other_page or grant.form.record != other.form.record:
                    continue
                if _conflict(grant, grant.form, other, other.form):
                    excuse = self._excused(page, grant) or self._excused(other_page, other)
                    excuse = excuse or self._copied(page, grant, other_page, other)
                    if excuse is None:
                        self.check(False, f"two believe: {page} in {self._known(grant)}; {other_page} in {self._known(other)}")
                    pair = (page.number, other_page.number)
                    if pair not in self._excused_now:
                        self.excuses[excuse or ""] = self.excuses.get(excuse or "", 0) + 1
                    excused.add(pair)
        self._excused_now = excused
        return bool(excused)

    def _known(self, grant: Believed) -> Granting | None:
        return self.grants.get((grant.form.record, grant.token))

    def _copied(self, page: Page, grant: Believed, other_page: Page, other: Believed) -> str | None:
        """Two pages of one tab have parts that overlap: one has come back to what it had before its line was lost."""
        same_tab = page.tab != "" and (page.user, page.tab) == (other_page.user, other_page.tab)
        lost = any(known is not None and known.was_detached for known in (self._known(grant), self._known(other)))
        return "a copy of the tab came while the tab had no line" if same_tab and lost else None

    def _excused(self, page: Page, grant: Believed) -> str | None:
        """Why a page may still believe in what has ended. Each exception has its bound."""
        granting = self._known(grant)
        if (grant.form.record, grant.token) in self.doubled:
            return "a copy of the tab has its token"
        if granting is None or granting.ended_at is None:
            return None
        now, policy, line = self.world.clock.now(), self.world.policy, page.line
        messages = line.under_way if line is not None else []
        news = any(grant.token not in _tokens(message, granting.form.record) for message in messages)
        deaf_since = page.deaf_since if line is None else line.deaf_since
        # What a program without a tab has ends with its session, or an unanswered probe: it is told, and has no grace.
        if granting.cause in FORCED or (granting.cause == "session_lost" and not page.tab):
            if news:
                return "the news is under way"
            if deaf_since is not None and now - deaf_since <= policy.silence_ms:
                return "a forced end on a dead line"
            if line is not None and line.joined_at >= granting.ended_at and grant.renewing and now - line.joined_at <= BLIP_MS:
                return "back on a new line, the first renewal is under way"
            told = self.records[granting.form.record].told
            # Until its next renewal stays without an answer, and perhaps a freeze too short to be noticed.
            notice_ms = policy.renew_ms + LIMIT_MS + 2 * TICK_MS + PAUSE_MS
            if granting.end_rev not in told and now - granting.ended_at <= notice_ms:
                return "the service died before it told of a forced end"
        return None

    # -- what the service has

    def service(self) -> None:
        """While it runs: nothing outlives its owner's silence, and nobody waits for what is free."""
        server = self.world.server
        if server is None or not server.registered or not server.process.alive or server.process.paused:
            return
        store, now = server.store, self.world.clock.now()
        assert store is not None
        since_all = max(server.recovered_at, server.resumed_at, self.world.disk.failed_at)
        for form in self.world.records:
            state = store.peek(form)
            if state is self._looked.get(form) and now < self._look_at:
                continue
            self._looked[form] = state
            self._silence(server, state, since_all)
            process_now = server.process.now()
            overdue = state.deadline is not None and state.deadline <= process_now
            if state.waiters and not overdue and not self._reserved(server, state):
                self._waits(state)
        if now >= self._look_at:
            self._look_at = now + LOOK_MS

    # The sentences of these are only made when they are needed: they are looked at in every step.

    def _silence(self, server: Server, state: FormState, since_all: int) -> None:
        now = self.world.clock.now()
        for lease in state.holds:
            granting = self.grants.get((state.form, lease.token))
            if granting is None or lease.long_wall is not None:
                continue
            since = max(since_all, granting.at, server.heard.get((state.form, lease.token), 0))
            if now - since > self.world.policy.ttl_ms + 1_000:
                self.check(False, f"{lease} has outlived {now - since} ms of silence")
            lost_at = max(since_all, granting.detached_at or now)
            if lease.session is None and now - lost_at > self.world.policy.grace_ms + 1_000:
                self.check(False, f"{lease} has outlived its grace: {now - lost_at} ms")
        for session in state.sessions():
            left_at = self.world.router.left_at.get(session)
            if left_at is not None and now - max(since_all, left_at) > TOLD_LATE_MS:
                self.check(False, f"{session} left at {left_at}, and {state} has it")

    def _reserved(self, server: Server, state: FormState) -> bool:
        """Whether a page that has left may be coming back: for as long as is promised, and a second for a timer that is late."""
        now, lefts = self.world.clock.now(), [left for left in state.lefts if left.reserved_until > server.process.now()]
        for left in lefts:
            granting = self.grants.get((state.form, left.lease.token))
            since = max(server.resumed_at, granting.ended_at or now) if granting is not None else now
            if now - since > self.world.policy.reserve_ms + 1_000:
                self.check(False, f"{left} is kept for {now - since} ms")
        return bool(lefts)

    def _waits(self, state: FormState) -> None:
        for waiter in state.waiters:
            if waiter.session is None:
                continue
            ahead = [other for other in state.waiters if other.session is not None and other.number < waiter.number]
            takers = [lease.contest.handover for lease in state.holds if lease.contest and lease.contest.handover]
            others: list[Lease | Waiter | Handover] = [*state.holds, *ahead, *takers]
            blocked = any(
                # A copy of one's own tab keeps one out as well.
                (other.owner != waiter.owner or (not isinstance(other, Waiter) and other.session != waiter.session))
                and overlap(waiter.section, other.section)
                and "exclusive" in (waiter.mode, getattr(other, "mode", "exclusive"))
                for other in others
            )
            if not blocked:
                self.check(False, f"{waiter} waits for nothing: {state}")


def _last(lease: Lease) -> int:
    """The session that it is attached to, or was last."""
    return lease.session or next(iter(lease.earlier), 0)


def _tokens(message: object, record: FormId) -> set[int]:
    """The grants that a message shows to last; of other records it says nothing. An empty set would be news, so it is never that."""
    states = [state for _, _, state in getattr(message, "answers", None) or ()]
    states += [message.state] if hasattr(message, "state") else []
    mine = [state for state in states if state.form == record]
    return {lease.token for lease in mine[-1].holds} if mine else _Everything()


class _Everything(set[int]):
    def __contains__(self, token: object) -> bool:
        return True
