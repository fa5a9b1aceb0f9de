"""What happened to a form. A decision without an event changed nothing but deadlines, and is not written anywhere.

A public event is told to the form's subscribers and has a rev of its own; the others are only stored.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import Struct

from formlock.model import FormId, Owner

Cause = Literal["unlock", "left", "expired", "session_lost", "takeover", "unclaimed", "asked", "idle", "max_hold", "long_over"]


class _Named(Struct, frozen=True, gc=False, kw_only=True):
    name: str = ""


class Event(_Named, frozen=True, gc=False):
    """The root. `owner` is whom it is about: the holder, or whoever waits or was refused; `name` what people call them, as far as
    that is known."""

    public: ClassVar[bool]
    changes: ClassVar[bool] = True

    form: FormId
    owner: Owner
    token: int
    rev: int
    wall: int


class Granted(Event, frozen=True, gc=False):
    """The owner has the form now. `resumed`: its own ended lease goes on, nobody had the form in between; `number`: of the waiter
    whose turn it is."""

    public = True

    session: int
    resumed: bool = False
    number: int | None = None


class Released(Event, frozen=True, gc=False):
    """The owner does not have it any more."""

    public = True

    cause: Cause


class Detached(Event, frozen=True, gc=False):
    """The owner's session is gone; the lease, or the place in line, waits for the owner in its grace."""

    public = False


class Reattached(Event, frozen=True, gc=False):
    """The owner is back, on another session, with the same token."""

    public = False

    session: int


class TakenOver(Event, frozen=True, gc=False):
    """The owner loses the form to `by`; the grant to them follows."""

    public = True

    by: Owner
    by_name: str
    reason: str


class HandoverBegan(Event, frozen=True, gc=False):
    """The owner's page has a moment to bring its text into safety; then `by` has the form."""

    public = True

    by: Owner
    by_name: str
    reason: str


class HandoverEnded(Event, frozen=True, gc=False):
    """Whoever wanted to take over has left: the owner keeps the form."""

    public = True

    by: Owner


class Queued(Event, frozen=True, gc=False):
    """The owner waits in line."""

    public = True

    number: int


class LeftQueue(Event, frozen=True, gc=False):
    """The owner waits no more."""

    public = True

    number: int
    cause: Literal["left", "session_lost"]


class Asked(Event, frozen=True, gc=False):
    """Somebody asks the owner for the form."""

    public = True

    number: int
    by: Owner
    by_name: str
    note: str


class Answered(Event, frozen=True, gc=False):
    """The owner has answered all who asked: the form is given up, or kept for `keep_ms` more."""

    public = True

    released: bool
    keep_ms: int = 0


class BecameIdle(Event, frozen=True, gc=False):
    """The owner has done nothing for a while."""

    public = True


class BecameActive(Event, frozen=True, gc=False):
    """The owner is at work again."""

    public = True


class Ending(Event, frozen=True, gc=False):
    """The longest time that anybody may hold the form is over soon."""

    public = True

    in_ms: int


class Refused(Event, frozen=True, gc=False):
    """A call was refused, and changed nothing; for the history only."""

    public = False
    changes = False

    call: str
    error: str
