"""The values that the rules of locking speak of. All frozen: a new state is a new value.

Times named `*_at` or `deadline` are monotonic milliseconds of the clock that was passed in; `wall` times are milliseconds since
1970 and for display only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class FormId(NamedTuple):
    """One editable record. Its topic is made by `uris`."""

    type: str
    id: str

    def __str__(self) -> str:
        return f"{self.type}.{self.id}"


class Owner(NamedTuple):
    """Who may hold a form: the user as the router authenticated it, and one browser tab of theirs.

    An empty tab means that the caller named none: then its session is its tab, and the lock ends with the session.
    """

    user: str
    tab: str


class Attempt(NamedTuple):
    """That an owner's call `rid` was answered with this token: enough to answer a repetition, without keeping answers."""

    owner: Owner
    rid: str
    token: int
    at: int


class Probe(NamedTuple):
    """The holder's session was asked for a sign of life at `since`; silent until `until` means gone."""

    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Lease:
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


@dataclass(frozen=True, slots=True)
class Left:
    """A page said goodbye and could not know whether it closes or reloads.

    Until `reserved_until` only the same tab may take the form; until `resumable_until`, as long as nobody else has, that tab
    gets the same token back.
    """

    lease: Lease
    reserved_until: int
    resumable_until: int


@dataclass(frozen=True, slots=True)
class Query:
    """Which locked forms to list, in the order of their ids, beginning behind `after`. None: whatever."""

    type: str | None = None
    user: str | None = None
    attached: bool | None = None
    after: FormId | None = None
    limit: int = 100

    def matches(self, lease: Lease | None) -> bool:
        """Whether a form with this lease is asked for; type and place are the store's to see to."""
        if lease is None:
            return False
        if self.attached is not None and self.attached != (lease.session is not None):
            return False
        return self.user is None or self.user == lease.owner.user


@dataclass(frozen=True, slots=True)
class FormState:
    """All that is known of one form's locking. `token` is the highest ever granted and never falls."""

    form: FormId
    token: int
    rev: int = 0
    lease: Lease | None = None
    left: Left | None = None
    attempts: tuple[Attempt, ...] = ()

    @property
    def deadline(self) -> int | None:
        """When this state changes by itself, if ever."""
        if self.lease is not None:
            if self.lease.probe is not None and self.lease.deadline is not None:
                return min(self.lease.deadline, self.lease.probe.until)
            return self.lease.deadline
        return self.left.resumable_until if self.left is not None else None


@dataclass(frozen=True, slots=True)
class Found:
    """One page of the answer to a Query. `after`: where the next page begins; None when there is none."""

    states: tuple[FormState, ...]
    after: FormId | None
