"""Whether what was promised has arrived, once and in order: the checker of what delivered.py records. Pure, and it explains itself.

- Every promised message is in the journal once, under the number that its sender was told; nothing is there that nobody sent.
- The numbers of a form have no gap, and what one sender gave away earlier has the lower one.
- Who follows a form hears all of it. While a line stands and what came before it is known, no event leaves a number out.
- Events repeat only after a restart, and then they say the same as before. Whoever honours `seq` has each number once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.delivered import Heard, Journal, Kept, Sent

# Of each kind of fault, so that a run that is wrong everywhere can be read.
MOST = 20


@dataclass(slots=True)
class Verdict:
    """`faults` are sentences, none if all is well; the rest are figures for people."""

    faults: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)
    _kinds: Counter[str] = field(default_factory=Counter)

    def fault(self, kind: str, sentence: str) -> None:
        self._kinds[kind] += 1
        self.figures["faults"] += 1
        if self._kinds[kind] <= MOST:
            self.faults.append(f"{kind}: {sentence}")


def check(
    sent: Iterable[Sent], journal: Journal, heard: Iterable[Heard], follows: Mapping[int, Sequence[int]], restarts: int
) -> Verdict:
    """`follows`: each subscriber's forms. `restarts`: how often bridge or router were started again."""
    verdict = Verdict()
    kept = _kept(journal, verdict)
    _promises(sent, journal, verdict)
    _deliveries(heard, kept, follows, restarts, verdict)
    return verdict


def _kept(journal: Journal, verdict: Verdict) -> dict[int, list[Kept]]:
    """The journal by form, the number 1 first."""
    forms: dict[int, list[Kept]] = {}
    last: dict[tuple[str, int], int] = {}
    for row in journal.rows:
        rows = forms.setdefault(row.form, [])
        rows.append(row)
        if row.seq != len(rows):
            verdict.fault("numbering", f"form {row.form} has {row.seq} where {len(rows)} should be")
        before = last.get((row.sender, row.form), 0)
        if row.number <= before:
            verdict.fault("order", f"form {row.form}: {row.sender}'s {row.number} is behind its {before}, as {row.seq}")
        last[row.sender, row.form] = row.number
    if journal.parked:
        verdict.fault("parked", f"{journal.parked} were given up")
    if journal.untold:
        verdict.fault("untold", f"{journal.untold} are not marked as published")
    verdict.figures["kept"] = len(journal.rows)
    return forms


def _promises(sent: Iterable[Sent], journal: Journal, verdict: Verdict) -> None:
    places: dict[tuple[str, int, int], int] = {}
    for row in journal.rows:
        if places.setdefault((row.sender, row.form, row.number), row.seq) != row.seq:
            verdict.fault("doubled", f"form {row.form}: {row.sender}'s {row.number} is kept twice, the second time as {row.seq}")
    for message in sent:
        verdict.figures["sent"] += 1
        verdict.figures[message.outcome] += 1
        what = f"form {message.form}: {message.sender}'s {message.number}"
        seq = places.pop((message.sender, message.form, message.number), None)
        if message.outcome == "refused":
            verdict.fault("refused", what)
        elif message.outcome != "unknown" and seq is None:
            verdict.fault("lost", f"{what} was {message.outcome} and is not kept")
        elif message.seq and (message.seq, message.epoch) != (seq, journal.epoch):
            verdict.fault("told wrong", f"{what} was told {message.seq} of {message.epoch}, and is {seq} of {journal.epoch}")
    for sender, form, number in places:
        verdict.fault("invented", f"form {form}: {sender}'s {number} is kept, and nobody sent it")


def _deliveries(
    heard: Iterable[Heard],
    kept: Mapping[int, Sequence[Kept]],
    follows: Mapping[int, Sequence[int]],
    restarts: int,
    verdict: Verdict,
) -> None:
    known = {(who, form): _Form(who, form, kept.get(form, ())) for who, forms in follows.items() for form in forms}
    for one in heard:
        if one.kind == "began":
            verdict.figures["lines"] += 1
            for form in follows[one.subscriber]:
                known[one.subscriber, form].begin()
        else:
            known[one.subscriber, one.form].hear(one, restarts, verdict)
    for form in known.values():
        form.end(verdict)


class _Form:
    """What one subscriber knows of one form, by the rule of docs/reference/wamp.md."""

    __slots__ = ("_applied", "_behind", "_held", "_kept", "_last", "_name", "_steps_back")

    def __init__(self, subscriber: int, form: int, kept: Sequence[Kept]) -> None:
        self._name = f"subscriber {subscriber}, form {form}"
        self._kept = kept
        # The last number that it has; what it has heard of an answer that is not complete yet; what waits for that answer.
        self._applied = 0
        self._behind = True
        self._held: list[Heard] = []
        # Of this line: the last number that was told on it, and how often one was told again.
        self._last = 0
        self._steps_back = 0

    def begin(self) -> None:
        self._behind, self._held, self._last, self._steps_back = True, [], 0, 0

    def hear(self, one: Heard, restarts: int, verdict: Verdict) -> None:
        if one.kind == "event":
            verdict.figures["events"] += 1
            verdict.figures["folded"] += one.first < one.seq
            self._same(one, verdict)
            self._in_order(one, restarts, verdict)
            if self._behind:
                self._held.append(one)
            else:
                self._apply(one, verdict)
        elif one.kind == "kept":
            verdict.figures["caught up"] += 1
            self._same(one, verdict)
            self._apply(one, verdict)
        elif one.kind == "cut":
            verdict.fault("cut", f"{self._name}: the answer since {one.first} left some out")
        else:
            if one.seq > self._applied:
                verdict.fault("short", f"{self._name}: the answer ends at {self._applied}, and says that {one.seq} is the newest")
            self._behind = False
            held, self._held = self._held, []
            for event in held:
                self._apply(event, verdict)

    def end(self, verdict: Verdict) -> None:
        # Whoever has just come back and has everything need not have been answered yet.
        if self._applied != len(self._kept):
            verdict.fault("not heard", f"{self._name}: knows {self._applied} of {len(self._kept)}")
        verdict.figures["applied"] += self._applied

    def _same(self, one: Heard, verdict: Verdict) -> None:
        """The number is the message that the journal has there; of several, it tells from where the first began."""
        if not 1 <= one.first <= one.seq <= len(self._kept):
            verdict.fault("unknown number", f"{self._name}: {one.kind} {one.first} to {one.seq}, kept are {len(self._kept)}")
            return
        first, last = self._kept[one.first - 1], self._kept[one.seq - 1]
        if (one.sender, one.before, one.number) != (last.sender, first.before, last.number):
            told = f"{one.sender}'s {one.before} to {one.number}"
            verdict.fault("another", f"{self._name}: {one.first} to {one.seq} came as {told}, kept are {first} to {last}")

    def _in_order(self, one: Heard, restarts: int, verdict: Verdict) -> None:
        """As it came over the line, before anything is dropped as known."""
        if self._last and one.first > self._last + 1:
            verdict.fault("skipped", f"{self._name}: {one.first} to {one.seq} came behind {self._last}")
        if self._last and one.first <= self._last:
            verdict.figures["repeated"] += 1
            self._steps_back += 1
            if self._steps_back > restarts:
                verdict.fault("out of order", f"{self._name}: {one.first} to {one.seq} came behind {self._last}, once too often")
        self._last = one.seq

    def _apply(self, one: Heard, verdict: Verdict) -> None:
        if one.seq <= self._applied:
            verdict.figures["known already"] += 1
        elif one.first > self._applied + 1:
            verdict.fault("gap", f"{self._name}: {one.first} to {one.seq} while {self._applied} was the last one known")
        else:
            self._applied = one.seq
