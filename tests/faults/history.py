"""What clients did and saw, as it is checked afterwards (checker.py). Plain values; times are monotonic seconds of one process."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Call = Literal["lock", "wait", "unlock", "leaving", "renew", "takeover", "leave_queue", "status"]
Outcome = Literal[
    # No answer, or one that leaves open whether it has happened: it may have, once, at any time after it was sent.
    "unknown",
    # lock, wait, takeover: the form is the caller's, with `got`; queued: the caller waits.
    "granted", "queued",
    # renew
    "renewed", "lost",
    # unlock, leave_queue
    "freed",
    # Refusals that say how things are.
    "locked", "conflict", "not_allowed",
    # status
    "seen",
    # What the rules never answer to these clients.
    "wrong",
]  # fmt: skip


class Tab(NamedTuple):
    """An owner."""

    user: str
    tab: str

    def __str__(self) -> str:
        return f"{self.user}/{self.tab}"


@dataclass(slots=True)
class Operation:
    """One call about one form: `token` is what it said (its own; of a takeover, the expected one), the rest what it was answered.

    `got` and `holder`: the token and the user that the answer names; a free form has no holder. `lease_ms` counts from `sent`.
    """

    owner: Tab
    form: str
    call: Call
    sent: float
    token: int = 0
    rid: str = ""
    outcome: Outcome = "unknown"
    answered: float = math.inf
    got: int | None = None
    holder: str | None = None
    rev: int | None = None
    lease_ms: int = 0
    same_user: bool = False

    def __str__(self) -> str:
        said = f" token={self.token}" if self.token else ""
        said += f" rid={self.rid}" if self.rid else ""
        until = f"{self.answered:9.3f}" if self.answered < math.inf else "        -"
        facts = "".join(
            f" {name}={value}"
            for name, value in (("got", self.got), ("holder", self.holder), ("rev", self.rev))
            if value is not None
        )
        return f"{self.sent:9.3f} {until}  {self.owner}  {self.call}{said}: {self.outcome}{facts}"


class Cut(NamedTuple):
    """From `at` on the owner does not believe any more that it has the form: it gave it back, lost its line, or was told so."""

    owner: Tab
    form: str
    at: float
    why: str


@dataclass(slots=True)
class History:
    """All that was done and seen."""

    operations: list[Operation] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)

    def answered(self) -> int:
        """How many operations have an answer that says something."""
        return sum(operation.outcome != "unknown" for operation in self.operations)

    def forms(self) -> dict[str, History]:
        """One history per form."""
        found: dict[str, History] = defaultdict(History)
        for operation in self.operations:
            found[operation.form].operations.append(operation)
        for cut in self.cuts:
            found[cut.form].cuts.append(cut)
        return dict(found)

    def told(self, marks: Sequence[str] = ()) -> str:
        """For people, in the order of sending; `marks` are more lines that begin with a time."""
        lines = [str(operation) for operation in self.operations]
        lines += [f"{cut.at:9.3f}            {cut.owner}  ends its belief: {cut.why}" for cut in self.cuts]
        return "\n".join(sorted([*lines, *marks], key=lambda line: float(line.split()[0])))
