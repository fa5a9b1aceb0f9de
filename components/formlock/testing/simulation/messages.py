"""What pages and service say to each other: the contract of docs/reference/wamp.md, without its spelling."""

from __future__ import annotations

from dataclasses import dataclass

from formlock.commands import Command, Reply
from formlock.events import Event
from formlock.model import FormId, FormState


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call; `wanted` are its forms and the command for each."""

    number: int
    wanted: tuple[tuple[FormId, Command], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Replied:
    """The answer to a call, for each of its forms with the state that it was decided on; None: not active, try again."""

    number: int
    answers: tuple[tuple[FormId, Reply, FormState], ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """A lock event, with the public state behind it. `number`: of the waiter whose turn it is."""

    status: str
    form: FormId
    state: FormState
    event: Event | None = None
    number: int | None = None


Message = Replied | Told
