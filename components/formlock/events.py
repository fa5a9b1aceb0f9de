"""What happened to a form. A decision without an event changed nothing but deadlines, and is not written anywhere.

A public event is told to the form's subscribers and has a rev of its own; the others are only stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from formlock.model import FormId, Owner

Cause = Literal["unlock", "left", "expired", "session_lost", "unclaimed", "asked", "idle", "max_hold", "long_over"]


@dataclass(frozen=True, slots=True)
class Event:
    """The root. `owner` is whom it is about: the holder, or whoever waits or was refused."""

    public: ClassVar[bool]
    changes: ClassVar[bool] = True

    form: FormId
    owner: Owner
    token: int
    rev: int
    wall: int


@dataclass(frozen=True, slots=True)
class Granted(Event):
    """The owner has the form now. `resumed`: its own ended lease goes on, nobody had the form in between; `number`: of the waiter
    whose turn it is."""

    public = True

    session: int
    resumed: bool = False
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Released(Event):
    """The owner does not have it any more."""

    public = True

    cause: Cause


@dataclass(frozen=True, slots=True)
class Detached(Event):
    """The owner's session is gone; the lease, or the place in line, waits for the owner in its grace."""

    public = False


@dataclass(frozen=True, slots=True)
class Reattached(Event):
    """The owner is back, on another session, with the same token."""

    public = False

    session: int


@dataclass(frozen=True, slots=True)
class TakenOver(Event):
    """The owner loses the form to `by`; the grant to them follows."""

    public = True

    by: Owner
    by_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class HandoverBegan(Event):
    """The owner's page has a moment to bring its text into safety; then `by` has the form."""

    public = True

    by: Owner
    by_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class HandoverEnded(Event):
    """Whoever wanted to take over has left: the owner keeps the form."""

    public = True

    by: Owner


@dataclass(frozen=True, slots=True)
class Queued(Event):
    """The owner waits in line."""

    public = True

    number: int


@dataclass(frozen=True, slots=True)
class LeftQueue(Event):
    """The owner waits no more."""

    public = True

    number: int
    cause: Literal["left", "session_lost"]


@dataclass(frozen=True, slots=True)
class Asked(Event):
    """Somebody asks the owner for the form."""

    public = True

    number: int
    by: Owner
    by_name: str
    note: str


@dataclass(frozen=True, slots=True)
class Answered(Event):
    """The owner has answered all who asked: the form is given up, or kept for `keep_ms` more."""

    public = True

    released: bool
    keep_ms: int = 0


@dataclass(frozen=True, slots=True)
class BecameIdle(Event):
    """The owner has done nothing for a while."""

    public = True


@dataclass(frozen=True, slots=True)
class BecameActive(Event):
    """The owner is at work again."""

    public = True


@dataclass(frozen=True, slots=True)
class Ending(Event):
    """The longest time that anybody may hold the form is over soon."""

    public = True

    in_ms: int


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """A call was refused, and changed nothing; for the history only."""

    public = False
    changes = False

    call: str
    error: str
