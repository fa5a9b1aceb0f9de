"""What the rules are asked, what they answer, and what they have decided: values only. The rules themselves are in `rules`."""

from __future__ import annotations

from msgspec import Struct

from formlock.errors import FormLockError
from formlock.events import Event
from formlock.model import FormState, Mode, Owner

# -- commands


class Wish(Struct, frozen=True, gc=False, kw_only=True):
    """Who wants which part of the record, how, and from which session."""

    owner: Owner
    name: str
    session: int
    section: str = ""
    mode: Mode = "exclusive"
    machine: bool = False
    note: str = ""
    rid: str = ""


class Lock(Wish, frozen=True, gc=False, kw_only=True):
    """An owner asks for the form. `wait`: in line, if need be; `waits`: in how many lines its user stands elsewhere; `long_wall`: a
    deliberate long lock until then. `probed_since` comes from the `Wait` that an earlier try of the same call got."""

    wait: bool = False
    waits: int = 0
    long_wall: int | None = None
    probed_since: int | None = None


class Takeover(Wish, frozen=True, gc=False, kw_only=True):
    """An owner wants the form now. `expected_token`: of the grant that it knows of; `right`: it may take over from anybody."""

    expected_token: int
    reason: str = ""
    right: bool = False


class Renew(Struct, frozen=True, gc=False):
    """The owner lives, on this session, and knows its token, which no copy of its tab does. `active`: whether it does something."""

    owner: Owner
    token: int
    session: int
    active: bool | None = None


class Unlock(Struct, frozen=True, gc=False):
    """The owner is done. `leaving`: its page is going away and may be coming back; `sessions`: those that the page has had."""

    owner: Owner
    token: int
    leaving: bool = False
    sessions: tuple[int, ...] = ()


class LeaveQueue(Struct, frozen=True, gc=False):
    """The owner waits no more."""

    owner: Owner
    section: str = ""


class AskFor(Struct, frozen=True, gc=False):
    """Somebody asks the holders for the form."""

    owner: Owner
    name: str
    note: str = ""
    section: str = ""


class Answer(Struct, frozen=True, gc=False):
    """The holder answers all who asked. `keep_ms`: how long it keeps the form at least; None: it gives it up."""

    owner: Owner
    token: int
    keep_ms: int | None = None


class HandOver(Struct, frozen=True, gc=False):
    """The holder's page has brought its text into safety: the takeover that waits for it may go on."""

    owner: Owner
    token: int


class SessionLost(Struct, frozen=True, gc=False):
    """The router says that this session is gone."""

    session: int


class Tick(Struct, frozen=True, gc=False):
    """Nothing but time."""


class Recovered(Struct, frozen=True, gc=False):
    """The service was away, or stood still: the clock that gave the deadlines means nothing any more.

    `living`: the sessions that are there; None: all of before. `grace_ms`: how long owners have to come back, more than usual after
    a mass return.
    """

    living: frozenset[int] | None
    grace_ms: int


Command = Lock | Takeover | Renew | Unlock | LeaveQueue | AskFor | Answer | HandOver | SessionLost | Tick | Recovered

# -- replies


class Yours(Struct, frozen=True, gc=False):
    """The owner holds the form until `lease_ms` after it asked."""

    token: int
    lease_ms: int


class InLine(Struct, frozen=True, gc=False):
    """The owner waits; `position` 1 is next."""

    number: int
    position: int


class Freed(Struct, frozen=True, gc=False):
    """The owner does not hold the form (any more), or wait for it."""


class Asking(Struct, frozen=True, gc=False):
    """The holders have been asked; they have until `until` (None: as long as they like)."""

    number: int
    until: int | None


class Wait(Struct, frozen=True, gc=False):
    """Ask again when `until` has come or something has changed."""

    until: int
    probed_since: int | None = None


class Refusal(Struct, frozen=True, gc=False):
    """No, with the error that says why."""

    error: type[FormLockError]
    same_user: bool = False


class Done(Struct, frozen=True, gc=False):
    """The command had no one to answer."""


Reply = Yours | InLine | Freed | Asking | Wait | Refusal | Done


class Decision(Struct, frozen=True, gc=False):
    """The state after, what to answer, and what happened, in order; `states` are those right after each event. `probes`: sessions to
    be asked for a sign of life now."""

    state: FormState
    reply: Reply
    events: tuple[Event, ...] = ()
    states: tuple[FormState, ...] = ()
    probes: tuple[int, ...] = ()
