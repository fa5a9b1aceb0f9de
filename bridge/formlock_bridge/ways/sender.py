"""Who a message is from, as far as its way in can know it, and what that sender may push. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Way = Literal["pull", "acknowledged", "http"]

EVERY_FORM = ("*",)


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of one message.

    - `connection`: tells the connections of one way apart; empty where that can't be known (PULL)
    - `key`: the name of the key that it came with, empty without one: what came over loopback
    - `forms`: the forms that it may push, as patterns: `invoice.42`, `invoice.*` or `*`
    """

    way: Way
    connection: bytes = b""
    key: str = ""
    forms: tuple[str, ...] = EVERY_FORM

    def may_push(self, form: str) -> bool:
        """`form` without the prefix of all topics: `invoice.42`, `invoice.42.address`, or `invoice.*` for many of the type.

        As with rights (claims.py): who may push the whole may push its sections.
        """
        if self.forms == EVERY_FORM:
            return True
        type, _, rest = form.partition(".")  # noqa: A001 (the form's own word)
        record = f"{type}.{rest.partition('.')[0]}"
        return any(pattern in ("*", f"{type}.*", record, form) for pattern in self.forms)

    @property
    def needs_id(self) -> bool:
        """Whether a message without an id is refused: over HTTP a request may be repeated by anything in between, and without an
        id it would count twice."""
        return self.way == "http"


# Answers a message, once, with what the contract says (docs/reference/updates.md); it never raises and never blocks.
Answer = Callable[[Mapping[str, Any]], None]
# Takes a message: its first frame, how many frames it had, the way back (None: nobody waits for an answer), and who sent it.
Received = Callable[[bytes, int, Answer | None, Sender], None]
# Hears of who was not even let in: a kind for the counters, and facts for the log.
Refused = Callable[[str, Mapping[str, object]], None]
