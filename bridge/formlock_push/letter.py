"""One update on its way to the bridge and what the bridge says to it. Pure: no network, no file, no clock."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What became of an update that was pushed. True when it will arrive: acknowledged or spooled.

    - ACKNOWLEDGED: it is in the bridge's journal
    - SPOOLED: it is in the local file, and goes to the bridge from there
    - REFUSED: the bridge won't ever take it; it was put aside with the reason
    - DROPPED: nobody has promised anything: it can't be sent at all, or neither bridge nor file took it in time
    """

    ACKNOWLEDGED = "acknowledged"
    SPOOLED = "spooled"
    REFUSED = "refused"
    DROPPED = "dropped"

    def __bool__(self) -> bool:
        return self in (Outcome.ACKNOWLEDGED, Outcome.SPOOLED)


@dataclass(frozen=True, slots=True)
class Answer:
    """The bridge's answer to one message.

    - `id`: the message's; None when the bridge could not read it
    - `error`, `message`: why it was refused, as a word and as a sentence; None when it is in the journal
    - `retry`: whether the same message may be taken later
    - `duplicate`: it was known already
    """

    id: str | None
    error: str | None = None
    message: str = ""
    retry: bool = False
    duplicate: bool = False

    @classmethod
    def decode(cls, data: bytes) -> Answer:
        """Raises ValueError when it is no answer."""
        try:
            found: Any = json.loads(data)
        except RecursionError:
            raise ValueError("nested too deep") from None
        if not isinstance(found, dict):
            raise ValueError("no object")
        name, error = found.get("id"), found.get("error")
        if error is None:
            seq = found.get("seq")
            if not isinstance(name, str) or not isinstance(seq, int) or isinstance(seq, bool):
                raise ValueError("neither a seq nor an error")
            return cls(name, duplicate=found.get("duplicate") is True)
        if not isinstance(error, str) or not (name is None or isinstance(name, str)):
            raise ValueError("an error that is no word")
        return cls(name, error, str(found.get("message", "")), found.get("retry") is True)

    @property
    def acknowledged(self) -> bool:
        """A duplicate counts too: it is there."""
        return self.error is None

    @property
    def final(self) -> bool:
        """Whether sending it again could change nothing."""
        return self.error is None or not self.retry


# What is known of a letter whose connection was lost: nothing. It may have arrived.
LOST = Answer(None, "lost", "the connection was lost before the bridge answered", retry=True)


class Letter:
    """An encoded update. `id` and `source` make it recognisable at the bridge, so it may be sent more than once.

    - `row`: its number in the spool, None as long as it is not there
    - `withdrawn`: whoever sent it waits no longer; where it was not sent yet it must not be any more
    - `abandoned`: nobody waits any more for the spool to have it, and it was said to be dropped
    - `spooling`: it is on its way into the spool, so that what comes after it has to follow it there
    - `turned`: set when the next one of the same form may go its way
    """

    __slots__ = (
        "abandoned", "answer", "answered", "data", "form", "id", "row", "source", "spooling", "turned", "withdrawn",
        "written", "wrote",
    )  # fmt: skip

    def __init__(self, form: str, source: str, id: str, data: bytes) -> None:  # noqa: A002
        self.form = form
        self.source = source
        self.id = id
        self.data = data
        self.row: int | None = None
        self.withdrawn = False
        self.abandoned = False
        self.spooling = False
        self.answer: Answer | None = None
        self.answered = threading.Event()
        self.turned = threading.Event()
        # None when the spool has it, else why it has not; known once `wrote` is set.
        self.written: str | None = None
        self.wrote = threading.Event()
