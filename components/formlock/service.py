"""The lock service: clock + rules + store. Stores first, publishes second, answers last. Knows no socket and no reactor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from formlock.clock import Clock, Promise, Timer
from formlock.errors import NotActive
from formlock.events import Event
from formlock.model import FormId, FormState, Found, Query
from formlock.policy import Policy
from formlock.rules import (
    Command,
    Decision,
    Lock,
    Recovered,
    Renew,
    SessionLost,
    Tick,
    Unlock,
    Wait,
    Yours,
    decide,
)
from formlock.stores import LockStore

T = TypeVar("T")

# Deadlines handled before the reactor gets its turn again.
DUE_PER_TURN = 100
# How often the service looks whether it stood still, and from which gap on it believes so.
BEAT_MS = 1_000
PAUSED_MS = 2_000
# How often a decision that could not be stored, and that nobody will repeat, is tried again.
RETRY_MS = 1_000
# A mass return: what a router takes (200-300 returning clients a second were measured), with a margin.
RETURN_BASE_MS = 10_000
RETURNS_PER_SECOND = 150


@dataclass(slots=True)
class _Caller:
    """A session with calls in progress."""

    calls: int = 0
    left: bool = False


class LockService:
    """All forms of one realm.

    `happened(event, state, caller)` is told each public and private event once it is durable, in order per form; `caller` is the
    session whose call made it, or None. `probe(state, session)` must ask the session for a sign of life. `stepped_down()` is
    called when the store has been taken over: whoever runs the service must end it.
    """

    def __init__(
        self,
        store: LockStore,
        clock: Clock,
        policy: Policy,
        happened: Callable[[Event, FormState, int | None], None],
        probe: Callable[[FormState, int], None],
        stepped_down: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._policy = policy
        self._happened = happened
        self._probe = probe
        self._stepped_down = stepped_down
        self._callers: dict[int, _Caller] = {}
        self._waiting: dict[FormId, set[Promise[None]]] = {}
        self._timer: Timer | None = None
        self._timer_at: int | None = None
        self._ticking = False
        self._beat: Timer | None = None
        self._beat_at = 0
        self._awake: Promise[None] | None = None
        self._stopped = False

    @property
    def epoch(self) -> str:
        """See model: changes only when history was lost."""
        return self._store.epoch

    @property
    def policy(self) -> Policy:
        """How long things last."""
        return self._policy

    # -- life

    async def start(self, living: Collection[int]) -> None:
        """After a start or a rejoin: `living` are the sessions that the router has now. Locks of all others wait in their grace."""
        await self._recover(living)
        self._beat_at = self._clock.now()
        self._beat = self._clock.later(BEAT_MS, self._on_beat)
        self._arm()

    async def stop(self) -> None:
        """Let go of timers and store. Nothing is released: the next start goes on from here."""
        self._stopped = True
        for timer in (self._timer, self._beat):
            if timer is not None:
                timer.cancel()
        await self._store.close()

    # -- commands

    async def lock(self, form: FormId, command: Lock) -> Decision:
        """Ask for the form, as patiently as the rules say: for a probe's answer, or for a page that may be coming back.

        The reply is Yours or a Refusal.
        """
        async with self._calling(command.session) as caller:
            while True:
                decision = await self._decide(form, command, command.session)
                wait = decision.reply
                if not isinstance(wait, Wait):
                    return decision
                if wait.probe is not None:
                    command = replace(command, probed_since=wait.probed_since)
                    self._probe(decision.state, wait.probe)
                await self._changed(form, wait.until)
                if caller.left:
                    # Nobody is there any more to be given anything.
                    raise NotActive

    async def renew(self, renewals: Sequence[tuple[FormId, Renew]], session: int) -> list[Decision]:
        """Say that the owner of these forms lives. Each reply is Yours or a Refusal."""
        async with self._calling(session):
            return await self._together(self._decide(form, command, session) for form, command in renewals)

    async def unlock(self, form: FormId, command: Unlock, session: int) -> Decision:
        """Give the form back. The reply is Freed or a Refusal."""
        async with self._calling(session):
            return await self._decide(form, command, session)

    async def read(self, form: FormId) -> FormState:
        """The form's state as of now, time applied."""
        await self._ready()
        state = await self._store.read(form)
        return decide(state, Tick(), self._clock.now(), self._policy).state

    async def find(self, query: Query) -> Found:
        """A page of locked forms as of now, time applied."""
        await self._ready()
        found = await self._store.find(query)
        now = self._clock.now()
        states = (decide(state, Tick(), now, self._policy).state for state in found.states)
        return replace(found, states=tuple(state for state in states if query.matches(state.lease)))

    async def session_lost(self, session: int) -> None:
        """The router says that the session has left."""
        caller = self._callers.get(session)
        if caller is not None:
            # What its calls still bring about is undone as they end.
            caller.left = True
        await self._detach(session)

    # -- inside

    @asynccontextmanager
    async def _calling(self, session: int) -> AsyncIterator[_Caller]:
        """For as long as a call of this session lasts: if the session leaves meanwhile, it ends with "session lost"."""
        caller = self._callers.setdefault(session, _Caller())
        caller.calls += 1
        try:
            yield caller
        finally:
            caller.calls -= 1
            if caller.calls == 0:
                del self._callers[session]
            if caller.left:
                await self._detach(session)

    async def _detach(self, session: int) -> None:
        await self._together(self._insist(form, SessionLost(session)) for form in self._store.of_session(session))

    async def _insist(self, form: FormId, command: Command) -> None:
        """For what nobody else would repeat."""
        while not self._stopped:
            try:
                await self._decide(form, command, None)
            except NotActive:
                if self._stopped or self._store.stepped_down:
                    return
                await self._after(RETRY_MS)
            else:
                return

    async def _decide(self, form: FormId, command: Command, caller: int | None) -> Decision:
        await self._ready()
        return await self._transact(form, command, caller)

    async def _transact(self, form: FormId, command: Command, caller: int | None) -> Decision:
        try:
            decision = await self._store.transact(form, lambda state: decide(state, command, self._clock.now(), self._policy))
        except NotActive:
            if self._store.stepped_down and not self._stopped:
                self._stopped = True
                self._stepped_down()
            raise
        for event, state in zip(decision.events, decision.states, strict=True):
            self._happened(event, state, caller)
        if decision.events or isinstance(decision.reply, Yours):
            for changed in self._waiting.pop(form, ()):
                changed.keep(None)
        self._arm()
        return decision

    async def _changed(self, form: FormId, until: int) -> None:
        """Until something has happened to the form, or the time has come."""
        changed = self._after(until - self._clock.now())
        self._waiting.setdefault(form, set()).add(changed)
        await changed
        waiting = self._waiting.get(form)
        if waiting is not None:
            waiting.discard(changed)
            if not waiting:
                del self._waiting[form]

    # -- deadlines

    def _arm(self) -> None:
        """One timer, for the earliest deadline."""
        due = self._store.next_due()
        if due is None or self._ticking or self._stopped or (self._timer_at is not None and self._timer_at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._clock.later(due - self._clock.now(), self._on_due)

    def _on_due(self) -> None:
        self._timer = self._timer_at = None
        self._ticking = True
        self._clock.start(self._tick())

    async def _tick(self) -> None:
        try:
            await self._ready()
            due = self._store.due(self._clock.now(), DUE_PER_TURN)
            await self._together(self._transact(form, Tick(), None) for form in due)
        except NotActive:
            await self._after(RETRY_MS)
        finally:
            self._ticking = False
            self._arm()

    # -- standing still

    async def _ready(self) -> None:
        """Answer nothing after a pause until the deadlines are set anew: renewals may be waiting behind it in the socket."""
        if self._stopped:
            raise NotActive
        if self._beat is not None and self._clock.now() - self._beat_at > BEAT_MS + PAUSED_MS and self._awake is None:
            await self._wake()
        elif self._awake is not None:
            await self._awake

    def _on_beat(self) -> None:
        self._beat = self._clock.later(BEAT_MS, self._on_beat)
        if self._clock.now() - self._beat_at > BEAT_MS + PAUSED_MS and self._awake is None:
            self._clock.start(self._wake())
        elif self._awake is None:
            self._beat_at = self._clock.now()

    async def _wake(self) -> None:
        awake = self._awake = self._clock.promise()
        try:
            # Sessions that left meanwhile are told by events that are still to come.
            await self._recover(None)
            self._beat_at = self._clock.now()
        finally:
            self._awake = None
            awake.keep(None)

    async def _recover(self, living: Collection[int] | None) -> None:
        alive: dict[FormId, bool] = {}
        for form in self._store.held():
            lease = (await self._store.read(form)).lease
            if lease is not None:
                alive[form] = lease.session is not None and (living is None or lease.session in living)
        returning = sum(not there for there in alive.values())
        grace = max(self._policy.grace_ms, RETURN_BASE_MS + returning * 1_000 // RETURNS_PER_SECOND)
        await self._together(self._transact(form, Recovered(there, grace), None) for form, there in alive.items())

    # -- time and company

    def _after(self, delay_ms: int) -> Promise[None]:
        """Kept after the delay, or by whoever has news earlier."""
        promise: Promise[None] = self._clock.promise()
        self._clock.later(delay_ms, lambda: promise.keep(None))
        return promise

    async def _together(self, works: Iterable[Awaitable[T]]) -> list[T]:
        """Side by side, so that their writes share commits. Waits for all; the first error is raised then."""
        waiting = list(works)
        results: dict[int, T] = {}
        errors: list[Exception] = []
        done: Promise[None] = self._clock.promise()

        async def run(number: int, work: Awaitable[T]) -> None:
            try:
                results[number] = await work
            except Exception as error:  # noqa: BLE001 (raised below, when all are through)
                errors.append(error)
            if len(results) + len(errors) == len(waiting):
                done.keep(None)

        for number, work in enumerate(waiting):
            self._clock.start(run(number, work))
        if waiting:
            await done
        if errors:
            raise errors[0]
        return [results[number] for number in range(len(waiting))]
