"""Whether a history of one form can have been. Pure; each check answers with what is wrong, in sentences, or with nothing.

`linearizable` looks for one order of all operations, each at one moment between its sending and its answer, in which the form
behaves as the rules say: a register that is free, or held by one owner with a token; every new grant has the next token. By itself
it may become free (a lease ends), and be granted to whoever waits. Its rev counts the changes. It is the search of Wing and Gong,
with a memory of what led nowhere.

How long a lease lasts is not its business: that an owner loses the form too early shows in `exclusive`, when another has it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from tests.faults.history import Cut, History, Operation, Tab

# Of the search; a correct history of a thousand operations needs a few thousand.
MAX_STATES = 300_000
GRANTS = ("granted", "renewed")
# Why a belief ends, if the service says that nobody has renewed it.
EXPIRED = "told: expired"


def faults(history: History, first_token: int) -> list[str]:
    """Everything that is wrong with one form's history. `first_token`: the highest token before it."""
    operations = history.operations
    early = too_early(operations, history.cuts)
    return [
        *exclusive(operations, history.cuts),
        *early,
        *rising(operations),
        *in_order(operations),
        *linearizable(operations, first_token),
    ]


# -- each holds by its own reckoning


@dataclass(frozen=True, slots=True)
class Span:
    """The owner believes that the form is its own, from the answer until its lease, counted from sending, is over."""

    owner: Tab
    token: int
    since: float
    until: float


def spans(operations: Iterable[Operation], cuts: Iterable[Cut]) -> list[Span]:
    """By the start."""
    operations = list(operations)
    ends: dict[Tab, list[float]] = {}
    for cut in cuts:
        ends.setdefault(cut.owner, []).append(cut.at)
    taken: dict[int, float] = {}
    for operation in operations:
        if operation.call == "takeover" and operation.outcome in ("granted", "unknown"):
            # Somebody is told that the form is another's now, and it takes a moment until they hear it: that is what tokens are for.
            taken[operation.token] = min(operation.sent, taken.get(operation.token, math.inf))
    found = []
    for operation in operations:
        if operation.outcome not in GRANTS or operation.got is None:
            continue
        own = [at for at in ends.get(operation.owner, []) if at >= operation.sent]
        until = min([operation.sent + operation.lease_ms / 1000, taken.get(operation.got, math.inf), *own])
        if until > operation.answered:
            found.append(Span(operation.owner, operation.got, operation.answered, until))
    return sorted(found, key=lambda span: span.since)


def exclusive(operations: Iterable[Operation], cuts: Iterable[Cut]) -> Iterator[str]:
    """Two owners never believe at one moment that the form is theirs."""
    last: Span | None = None
    for span in spans(operations, cuts):
        if last is not None and last.owner != span.owner and span.since < last.until:
            yield (
                f"two hold the form from {span.since:.3f} to {min(span.until, last.until):.3f}: {last.owner} with {last.token}, "
                f"{span.owner} with {span.token}"
            )
        if last is None or span.until > last.until:
            last = span


def too_early(operations: Iterable[Operation], cuts: Iterable[Cut]) -> Iterator[str]:
    """Nobody is told that a lease has expired before it is over by its owner's own reckoning."""
    operations = list(operations)
    for cut in cuts:
        if cut.why != EXPIRED:
            continue
        for op in operations:
            until = op.sent + op.lease_ms / 1000
            if op.outcome in GRANTS and op.owner == cut.owner and op.answered <= cut.at < until:
                yield f"{op.owner} was promised {op.got} until {until:.3f}, and told at {cut.at:.3f} that it had expired"


def rising(operations: Iterable[Operation]) -> Iterator[str]:
    """A grant that was asked for after another was answered has a higher token, or is the same owner's same grant."""
    grants = [op for op in operations if op.outcome in GRANTS and op.got is not None]
    owners: dict[int, Tab] = {}
    for op in grants:
        if owners.setdefault(op.got or 0, op.owner) != op.owner:
            yield f"token {op.got} was given to {owners[op.got or 0]} and to {op.owner}"
    for before, after in _after(grants, _token):
        if (before.got or 0) > (after.got or 0):
            yield f"token {after.got} at {after.sent:.3f}, after {before.got} at {before.answered:.3f}"


def in_order(operations: Iterable[Operation]) -> Iterator[str]:
    """No answer is older than one that was there before its call was sent; and one rev tells everybody the same."""
    told = [op for op in operations if op.rev is not None]
    for before, after in _after(told, _rev):
        if (before.rev or 0) > (after.rev or 0):
            yield f"rev {after.rev} at {after.sent:.3f}, after rev {before.rev} at {before.answered:.3f}"
    known: dict[int, tuple[object, ...]] = {}
    for op in told:
        fact = _public(op)
        if fact is not None and known.setdefault(op.rev or 0, fact) != fact:
            yield f"rev {op.rev} is {known[op.rev or 0]} and {fact}"


def _public(op: Operation) -> tuple[object, ...] | None:
    if op.outcome in GRANTS:
        return op.owner.user, op.got
    return (op.holder, op.got) if op.outcome in ("seen", "locked") else None


def _token(op: Operation) -> int:
    return op.got or 0


def _rev(op: Operation) -> int:
    return op.rev or 0


def _after(operations: Iterable[Operation], number: Callable[[Operation], int]) -> Iterator[tuple[Operation, Operation]]:
    """Each operation with the one that had the highest number of all that were answered before it was sent."""
    answered = sorted(operations, key=lambda op: op.answered)
    highest = list(accumulate(answered, lambda best, op: op if number(op) >= number(best) else best))
    times = [op.answered for op in answered]
    for op in answered:
        before = bisect_left(times, op.sent)
        if before:
            yield highest[before - 1], op


# -- there is one order of all


@dataclass(frozen=True, slots=True)
class Register:
    """One moment. A free form remembers whose `token` was; `resumable`: that owner may go on with it."""

    token: int
    owner: Tab | None = None
    held: bool = False
    resumable: bool = False
    waiters: frozenset[Tab] = frozenset()
    used: int = 0
    """Which of the operations with an unknown outcome have happened: bits."""
    rev: int = 0
    """The last that an answer told."""

    def free(self, resumable: bool = False) -> Register:
        return replace(self, held=False, resumable=resumable)

    def held_by(self, user: str) -> bool:
        """Whichever of the user's tabs it is."""
        return self.held and self.owner is not None and self.owner.user == user

    def given(self, owner: Tab, used: int = 0) -> Register:
        """The next grant."""
        return Register(self.token + 1, owner, held=True, waiters=self.waiters - {owner}, used=self.used | used, rev=self.rev)

    def told(self, op: Operation, before: Register) -> Register | None:
        """After an answer with its rev, which rises by one at least with each grant; while it stays, nothing has changed."""
        if op.rev is None:
            return self
        same = (self.token, self.owner, self.held) == (before.token, before.owner, before.held)
        if op.rev < before.rev + self.token - before.token or (op.rev == before.rev and not same):
            return None
        return replace(self, rev=op.rev)


def linearizable(operations: Sequence[Operation], first_token: int) -> Iterator[str]:
    """One order explains everything."""
    search = _Search(operations, first_token)
    stuck = search.run()
    if stuck is not None:
        yield stuck


class _Search:
    def __init__(self, operations: Sequence[Operation], first_token: int) -> None:
        self.known = sorted((op for op in operations if op.outcome != "unknown"), key=lambda op: op.sent)
        self.unknown = _merged(op for op in operations if op.outcome == "unknown")
        self.first = Register(first_token)

    def run(self) -> str | None:
        """None, or how far it got and what could not follow."""
        whole = (1 << len(self.known)) - 1
        stack = [(0, self.first)]
        seen = {stack[0]}
        furthest = stack[0]
        while stack:
            done, register = stack.pop()
            if done == whole:
                return None
            if done.bit_count() >= furthest[0].bit_count():
                furthest = done, register
            for following in self._following(done, register):
                if following not in seen:
                    seen.add(following)
                    stack.append(following)
            if len(seen) > MAX_STATES:
                return f"undecided after {MAX_STATES} states; {self._told(*furthest)}"
        return self._told(*furthest)

    def _told(self, done: int, register: Register) -> str:
        names = "\n".join(f"    {self.known[number]}" for number in self._next(done))
        return f"no order explains it: after {done.bit_count()} operations the form is {register}, and none can follow of\n{names}"

    def _next(self, done: int) -> list[int]:
        """Operations that none of the others precedes."""
        first = (~done & (done + 1)).bit_length() - 1
        limit = math.inf
        found = []
        for number in range(first, len(self.known)):
            op = self.known[number]
            if op.sent > limit:
                break
            if not done >> number & 1:
                found.append(number)
                limit = min(limit, op.answered)
        return [number for number in found if self.known[number].sent <= limit]

    def _following(self, done: int, register: Register) -> list[tuple[int, Register]]:
        numbers = self._next(done)
        now = min(self.known[number].answered for number in numbers)
        # Whoever was told of an earlier rev comes first.
        rev = min((op.rev for op in map(self.known.__getitem__, numbers) if op.rev is not None), default=None)
        found = []
        for number in reversed(numbers):
            op = self.known[number]
            if op.rev is not None and op.rev != rev:
                continue
            for step in self._steps(register, op, now):
                after = step.told(op, register)
                if after is None:
                    continue
                if after == register:
                    # It changes nothing and can happen now: then it may as well.
                    return [(done | 1 << number, register)]
                found.append((done | 1 << number, after))
        return found

    def _steps(self, register: Register, op: Operation, now: float) -> Iterator[Register]:
        """The form after this operation, with what must have happened by itself before it."""
        match op.outcome:
            case "granted":
                yield from self._grants(register, op, now)
            case "renewed":
                yield from (r for r in self._reach(register, op.got, now) if r.held and r.owner == op.owner)
            case "lost":
                for r in self._reach(register, max(op.token, register.token), now):
                    yield r.free() if r.held and (r.owner, r.token) == (op.owner, op.token) else r
            case "seen" | "locked":
                for r in self._reach(register, op.got, now):
                    if op.holder is None:
                        yield r if not r.held else r.free()
                    elif r.held_by(op.holder) and (op.outcome == "seen" or op.same_user or r.owner != op.owner):
                        yield r
            case "conflict":
                if op.got is None:
                    yield register.free() if register.held else register
                else:
                    yield from (r for r in self._reach(register, op.got, now) if r.held)
            case "not_allowed":
                yield from (r for r in self._reach(register, op.token, now) if r.held)
            case "freed":
                for r in self._frees(register, op, now):
                    yield r
                    if not r.held:
                        # The same answer may tell of whose turn came by it.
                        yield from self._granted_silently(r, now)
            case "queued":
                for token in range(register.token, register.token + 3):
                    for r in self._reach(register, token, now):
                        if (r.held and r.owner != op.owner) or r.waiters - {op.owner}:
                            yield replace(r, waiters=r.waiters | {op.owner})

    def _grants(self, register: Register, op: Operation, now: float) -> Iterator[Register]:
        assert op.got is not None
        for r in self._reach(register, op.got, now):
            if r.owner == op.owner and (r.held or r.resumable):
                yield replace(r, held=True, resumable=False, waiters=r.waiters - {op.owner})
        for r in self._reach(register, op.got - 1, now):
            # A lease that was in the way has ended, or was taken.
            yield r.given(op.owner)

    def _frees(self, register: Register, op: Operation, now: float) -> Iterator[Register]:
        if op.call == "leave_queue":
            # Its answer has a rev and no token: what has happened by itself until then (a lease that ended, turns that came) shows
            # in the answers of the same rev that follow.
            for token in range(register.token, register.token + 3):
                for r in self._reach(register, token, now):
                    waits_no_more = replace(r, waiters=r.waiters - {op.owner})
                    yield waits_no_more
                    if r.held:
                        yield waits_no_more.free()
            return
        for r in self._reach(register, max(op.token, register.token), now):
            if r.token != op.token:
                yield r
            elif r.owner == op.owner:
                yield r.free(resumable=op.call == "leaving" and (r.held or r.resumable))

    def _reach(self, register: Register, token: int | None, now: float) -> Iterator[Register]:
        """The form with this token, after as many grants as that takes to whoever waits or has called without being answered; and
        perhaps left, or come back to, by a page whose call was not answered."""
        if token is None or token < register.token:
            return
        if token > register.token:
            for after in self._granted_silently(register, now):
                yield from self._reach(after, token, now)
            return
        yield register
        for bit, op in self._open(register, now):
            if op.call == "leaving":
                if register.held and (register.owner, register.token) == (op.owner, op.token):
                    yield replace(register.free(resumable=True), used=register.used | bit)
            elif op.call != "takeover" and not register.held and register.resumable and register.owner == op.owner:
                yield replace(register, held=True, resumable=False, used=register.used | bit)

    def _granted_silently(self, register: Register, now: float) -> Iterator[Register]:
        for waiter in register.waiters:
            yield register.given(waiter)
        for bit, op in self._open(register, now):
            if op.call in ("lock", "wait") or (op.call == "takeover" and register.held and register.token == op.token):
                yield register.given(op.owner, bit)

    def _open(self, register: Register, now: float) -> Iterator[tuple[int, Operation]]:
        for number, op in enumerate(self.unknown):
            if op.sent <= now and not register.used >> number & 1:
                yield 1 << number, op


def _merged(operations: Iterable[Operation]) -> list[Operation]:
    """Those that can matter, each attempt once: an unanswered renewal changes nothing, and such an `unlock` is as a lease's end."""
    found: dict[tuple[object, ...], Operation] = {}
    for op in sorted(operations, key=lambda op: op.sent):
        if op.call in ("lock", "wait", "takeover", "leaving"):
            found.setdefault((op.owner, op.call == "leaving", op.rid or op.sent), op)
    return list(found.values())
