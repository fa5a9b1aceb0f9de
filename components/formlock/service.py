"""The lock service: clock + rules + store. Stores first, publishes second, answers last. Knows no socket and no reactor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, replace

from formlock.clock import Clock, Promise, Timer
from formlock.errors import NotActive
from formlock.events import Event
from formlock.model import FormId, FormState
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
        self._probing: dict[FormId, list[Promise[None]]] = {}
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
        while True:
            decision = await self._called(form, command, command.session)
            wait = decision.reply
            if not isinstance(wait, Wait):
                return decision
            changed = self._after(wait.until - self._clock.now())
            if wait.probe is not None:
                command = replace(command, probed_since=wait.probed_since)
                self._probing.setdefault(form, []).append(changed)
                self._probe(decision.state, wait.probe)
            await changed

    async def renew(self, form: FormId, command: Renew) -> Decision:
        """Say that the owner lives. The reply is Yours or a Refusal."""
        decision = await self._called(form, command, command.session)
        if isinstance(decision.reply, Yours):
            for answered in self._probing.pop(form, ()):
                answered.keep(None)
        return decision

    async def unlock(self, form: FormId, command: Unlock, caller: int) -> Decision:
        """Give the form back. The reply is Freed or a Refusal."""
        return await self._called(form, command, caller)

    async def read(self, form: FormId) -> FormState:
        """The form's state as of now, time applied."""
        await self._ready()
        state = await self._store.read(form)
        return decide(state, Tick(), self._clock.now(), self._policy).state

    async def session_lost(self, session: int) -> None:
        """The router says that the session has left."""
        caller = self._callers.get(session)
        if caller is not None:
            # What its calls still bring about is undone as they finish.
            caller.left = True
        await self._together(self._insist(form, SessionLost(session)) for form in self._store.of_session(session))

    # -- inside

    async def _called(self, form: FormId, command: Command, session: int) -> Decision:
        caller = self._callers.setdefault(session, _Caller())
        caller.calls += 1
        try:
            decision = await self._decide(form, command, session)
        finally:
            caller.calls -= 1
            if caller.calls == 0:
                del self._callers[session]
        if caller.left:
            await self._insist(form, SessionLost(session))
        return decision

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
        for event in decision.events:
            self._happened(event, decision.state, caller)
        self._arm()
        return decision

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
        finally:
            self._beat_at = self._clock.now()
            self._awake = None
            awake.keep(None)

    async def _recover(self, living: Collection[int] | None) -> None:
        grace = max(self._policy.grace_ms, RETURN_BASE_MS + len(living or ()) * 1_000 // RETURNS_PER_SECOND)
        await self._together(self._recover_form(form, living, grace) for form in self._store.held())

    async def _recover_form(self, form: FormId, living: Collection[int] | None, grace_ms: int) -> None:
        lease = (await self._store.read(form)).lease
        alive = lease is not None and lease.session is not None and (living is None or lease.session in living)
        await self._transact(form, Recovered(alive, grace_ms), None)

    # -- time and company

    def _after(self, delay_ms: int) -> Promise[None]:
        """Kept after the delay, or by whoever has news earlier."""
        promise: Promise[None] = self._clock.promise()
        self._clock.later(delay_ms, lambda: promise.keep(None))
        return promise

    async def _together(self, works: Iterable[Awaitable[object]]) -> None:
        """Side by side, so that their writes share commits. Waits for all; the first error is raised then."""
        waiting = list(works)
        if not waiting:
            return
        done: Promise[None] = self._clock.promise()
        open_works = len(waiting)
        first_error: Exception | None = None

        async def run(work: Awaitable[object]) -> None:
            nonlocal open_works, first_error
            try:
                await work
            except Exception as error:  # noqa: BLE001 (raised below, when all are through)
                first_error = first_error or error
            open_works -= 1
            if open_works == 0:
                done.keep(None)

        for work in waiting:
            self._clock.start(run(work))
        await done
        if first_error is not None:
            raise first_error
