"""What happened to a form. A decision without an event changed nothing but deadlines, and is not written anywhere.

A public event is told to the form's subscribers and has a rev of its own; the others are only stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from formlock.model import FormId, Owner

Cause = Literal["unlock", "left", "expired", "session_lost"]


@dataclass(frozen=True, slots=True)
class Event:
    """The root."""

    public: ClassVar[bool]

    form: FormId
    owner: Owner
    token: int
    rev: int


@dataclass(frozen=True, slots=True)
class Granted(Event):
    """The owner has the form now. `resumed`: its own ended lease goes on, nobody had the form in between."""

    public = True

    session: int
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Released(Event):
    """The form is free again."""

    public = True

    cause: Cause


@dataclass(frozen=True, slots=True)
class Detached(Event):
    """The owner's session is gone; the lease waits for the owner in its grace."""

    public = False


@dataclass(frozen=True, slots=True)
class Reattached(Event):
    """The owner is back, on another session, with the same token."""

    public = False

    session: int
