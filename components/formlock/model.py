"""The values that the rules of locking speak of. All frozen: a new state is a new value.

Times named `*_at`, `*_until` or `deadline` are monotonic milliseconds of the clock that was passed in; `*_wall` times are
milliseconds since 1970. What must outlive the process is kept as wall time, and everything else begins anew after a restart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

Mode = Literal["exclusive", "shared"]


def overlap(one: str, other: str) -> bool:
    """Of two sections of one record: the whole, which is "", overlaps with all of them, each other only with itself."""
    return not one or not other or one == other


class FormId(NamedTuple):
    """One editable record, or a section of it. Its topic is made by `uris`."""

    type: str
    id: str
    section: str = ""

    @property
    def record(self) -> FormId:
        """The whole, whose state the sections are part of."""
        return self if not self.section else FormId(self.type, self.id)

    def overlaps(self, other: FormId) -> bool:
        """Whether two of one record have a part in common."""
        return overlap(self.section, other.section)

    def __str__(self) -> str:
        return ".".join(part for part in self if part)


class Owner(NamedTuple):
    """Who may hold a form: the user as the router authenticated it, and one browser tab of theirs.

    An empty tab means that the caller named none: then its session is its tab, and the lock ends with the session.
    """

    user: str
    tab: str


class Attempt(NamedTuple):
    """That an owner's call `rid` was answered with this token. Kept once the grant has ended, or the owner has called again: a late
    copy of the call must not begin another."""

    owner: Owner
    rid: str
    token: int
    at: int


class Probe(NamedTuple):
    """The holder's session was asked for a sign of life at `since`; silent until `until` means gone."""

    since: int
    until: int


class Ask(NamedTuple):
    """Somebody would like to have the form."""

    number: int
    owner: Owner
    name: str
    note: str
    wall: int


class Handover(Struct, frozen=True, gc=False):
    """A takeover that waits for the holder's page to bring its text into safety."""

    owner: Owner
    name: str
    session: int
    reason: str
    note: str
    machine: bool
    rid: str
    until: int
    section: str = ""
    mode: Mode = "exclusive"


class Contest(Struct, frozen=True, gc=False):
    """What others want of a lease. `ask_until`: unanswered until then, it ends; `kept_until`: the holder has said that it stays."""

    asks: tuple[Ask, ...] = ()
    ask_until: int | None = None
    kept_until: int | None = None
    handover: Handover | None = None


class Lease(Struct, frozen=True, gc=False):
    """The right to edit until `deadline`. Without a session it is in its grace: kept for the owner to come back.

    A lease that outlived the process that gave it has deadline None until `Recovered` sets one: the old clock means nothing.
    """

    owner: Owner
    name: str
    token: int
    session: int | None
    granted_wall: int
    deadline: int | None
    note: str = ""
    heard_at: int = 0
    probe: Probe | None = None
    silent: bool = False
    """The session was given up because a probe stayed unanswered: it may be asleep, and wake up believing that it holds the form."""
    section: str = ""
    mode: Mode = "exclusive"
    machine: bool = False
    """An import, a script, an agent: people may take over from it without asking."""
    idle_wall: int | None = None
    """Since when its owner has done nothing."""
    idle_until: int | None = None
    """When it ends for that."""
    long_wall: int | None = None
    """A deliberate long lock: it lasts until then, whoever is attached."""
    granted_at: int = 0
    max_hold_ms: int = 0
    """However it is renewed, it ends so long after it was granted; 0: never."""
    warn_ms: int = 0
    """So long before that its end is told; 0: it has been."""
    unclaimed: bool = False
    """Granted to a waiter that has not said yet that it is there."""
    contest: Contest | None = None
    earlier: tuple[int, ...] = ()
    """The sessions that its owner has come from, the latest first: what still arrives from them is late."""
    rid: str = ""
    """Of the call that was last answered with it."""

    @property
    def ends_at(self) -> int | None:
        """When the longest time is over."""
        return self.granted_at + self.max_hold_ms if self.max_hold_ms else None

    @property
    def warn_at(self) -> int | None:
        """When that is to be told."""
        return self.granted_at + self.max_hold_ms - self.warn_ms if self.max_hold_ms and self.warn_ms else None

    @property
    def due(self) -> int | None:
        """When this lease changes by itself, if ever."""
        due = self.deadline
        if self.max_hold_ms:
            # The warning comes first, if it has not been.
            ends = self.granted_at + self.max_hold_ms - self.warn_ms
            due = ends if due is None or ends < due else due
        if self.probe is None and self.contest is None and self.idle_until is None:
            return due
        return min((at for at in (due, *self.times()) if at is not None), default=None)

    def times(self) -> Iterator[int | None]:
        """Its rarer times."""
        yield self.probe.until if self.probe is not None else None
        yield self.idle_until
        if self.contest is not None:
            yield self.contest.ask_until
            yield self.contest.handover.until if self.contest.handover is not None else None


class Waiter(Struct, frozen=True, gc=False):
    """Somebody in line. Detached (no session) it keeps its place until `deadline`, and is passed over."""

    number: int
    owner: Owner
    name: str
    session: int | None
    since_wall: int
    section: str = ""
    mode: Mode = "exclusive"
    machine: bool = False
    note: str = ""
    rid: str = ""
    deadline: int | None = None


class Left(Struct, frozen=True, gc=False):
    """A page said goodbye and could not know whether it closes or reloads.

    Until `reserved_until` only the same tab may take the form; until `resumable_until`, as long as nobody else has, that tab
    gets the same token back.
    """

    lease: Lease
    reserved_until: int
    resumable_until: int


class FormState(Struct, frozen=True, gc=False):
    """All that is known of one record's locking. `token` is the highest ever granted and never falls; `number` the last that a
    waiter or an ask was given."""

    form: FormId
    token: int
    rev: int = 0
    holds: tuple[Lease, ...] = ()
    waiters: tuple[Waiter, ...] = ()
    lefts: tuple[Left, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    number: int = 0

    @property
    def lease(self) -> Lease | None:
        """The first, for those who think of one holder."""
        return self.holds[0] if self.holds else None

    @property
    def deadline(self) -> int | None:
        """When this state changes by itself, if ever."""
        if len(self.holds) == 1 and not self.waiters and not self.lefts:
            return self.holds[0].due
        times = [lease.due for lease in self.holds]
        times += [waiter.deadline for waiter in self.waiters]
        times += [left.reserved_until if self.waiters and left.reserved_until else left.resumable_until for left in self.lefts]
        return min((at for at in times if at is not None), default=None)

    def of_token(self, token: int) -> Lease | None:
        """The lease of this grant, as long as it lasts."""
        return next((lease for lease in self.holds if lease.token == token), None)

    def held(self, section: str) -> tuple[Lease, ...]:
        """The leases that somebody who wants this section meets."""
        return tuple(lease for lease in self.holds if overlap(section, lease.section))

    def sessions(self) -> set[int]:
        """All sessions that this state speaks of: when one of them is lost, something changes."""
        if len(self.holds) == 1 and not self.waiters and self.holds[0].contest is None:
            session = self.holds[0].session
            return {session} if session is not None else set()
        found = {lease.session for lease in self.holds} | {waiter.session for waiter in self.waiters}
        found |= {lease.contest.handover.session for lease in self.holds if lease.contest and lease.contest.handover}
        return {session for session in found if session is not None}

    def without_clock(self, now: int) -> FormState:
        """As a new process has it: what another clock said is forgotten or begins anew. `Recovered` sets the times again; a page
        that had left is not waited for."""
        holds = tuple(
            replace(lease, deadline=None, heard_at=0, probe=None, idle_until=None, contest=_calm(lease)) for lease in self.holds
        )
        waiters = tuple(replace(waiter, deadline=None) for waiter in self.waiters)
        attempts = tuple(attempt._replace(at=now) for attempt in self.attempts)
        return replace(self, holds=holds, waiters=waiters, lefts=(), attempts=attempts)


def _calm(lease: Lease) -> Contest | None:
    return replace(lease.contest, ask_until=None, kept_until=None) if lease.contest is not None else None


class Draft(Struct, frozen=True, gc=False):
    """What the owner of a grant had not saved when it lost the form; `content` is JSON. A grant has one: a later takes its place."""

    form: FormId
    owner: Owner
    name: str
    token: int
    wall: int
    content: bytes


class Query(Struct, frozen=True, gc=False):
    """Which locked forms to list, in the order of their ids, beginning behind `after`. None: whatever."""

    type: str | None = None
    user: str | None = None
    attached: bool | None = None
    idle: bool | None = None
    machine: bool | None = None
    waited_for: bool | None = None
    since_wall: int | None = None
    """Held since then or longer."""
    after: FormId | None = None
    limit: int = 100

    def matches(self, state: FormState) -> bool:
        """Whether a form with this state is asked for; type and place are the store's to see to."""
        if self.waited_for is not None and self.waited_for != bool(state.waiters):
            return False
        return any(self._matches(lease) for lease in state.holds)

    def _matches(self, lease: Lease) -> bool:
        return (
            (self.attached is None or self.attached == (lease.session is not None))
            and (self.user is None or self.user == lease.owner.user)
            and (self.idle is None or self.idle == (lease.idle_wall is not None))
            and (self.machine is None or self.machine == lease.machine)
            and (self.since_wall is None or lease.granted_wall <= self.since_wall)
        )


class Found(Struct, frozen=True, gc=False):
    """One page of the answer to a Query. `after`: where the next page begins; None when there is none."""

    states: tuple[FormState, ...]
    after: FormId | None
