"""The lock service: clock + rules + store. Stores first, publishes second, answers last. Knows no socket and no reactor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from formlock.clock import Clock, Promise, Timer
from formlock.commands import (
    Command,
    Decision,
    HandOver,
    Lock,
    Recovered,
    Refusal,
    Renew,
    SessionLost,
    Takeover,
    Tick,
    Unlock,
    Wait,
    Yours,
)
from formlock.drafts import may_hand_in, readable
from formlock.errors import Lost, NotActive
from formlock.events import Event, Released, TakenOver
from formlock.history import Asked, Page, ending
from formlock.model import Draft, FormId, FormState, Found, Owner, Query
from formlock.policies import Policies
from formlock.policy import Policy
from formlock.rules import decide, decide_all
from formlock.stores import LockStore

T = TypeVar("T")

# Deadlines handled before the reactor gets its turn again.
DUE_PER_TURN = 100
# How often the service looks whether it stood still, and from which gap on it believes so.
BEAT_MS = 1_000
PAUSED_MS = 2_000
# How often a decision that could not be stored, and that nobody will repeat, is tried again.
RETRY_MS = 1_000
# So many events of a form are looked at to tell who had it.
PAST = 1_000
# And so many to tell somebody whose grant has ended how it did.
NEWEST = 50
# A mass return: what a router takes (200-300 returning clients a second were measured), with a margin.
RETURN_BASE_MS = 10_000
RETURNS_PER_SECOND = 150
# On a machine that is busy otherwise it takes longer (2,000 sessions: 36 s were measured, with a grace of 30). So before the grace
# of a return of so many is over, it begins anew if one in twenty of those still away has come back within the watch; three in all.
RETURN_MASS = 150
RETURN_WATCH_MS = 4_000
RETURN_SPARE_MS = 1_000
RETURN_SHARE = 20
RETURN_TIMES = 3


@dataclass(slots=True)
class _Caller:
    """A session with calls in progress."""

    calls: int = 0
    left: bool = False


class _Return(Struct, frozen=True):
    """Of a recovery, by its number: the forms whose owners are away, their grace, and how often it may begin anew."""

    away: list[FormId]
    grace_ms: int
    number: int
    times: int


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
        policies: Policies,
        happened: Callable[[Event, FormState, int | None], None],
        probe: Callable[[FormState, int], None],
        stepped_down: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._policies = policies
        self._happened = happened
        self._probe = probe
        self._stepped_down = stepped_down
        self._callers: dict[int, _Caller] = {}
        # In the order of coming (a set would have another order on each run).
        self._waiting: dict[FormId, dict[Promise[None], None]] = {}
        self._timer: Timer | None = None
        self._timer_at: int | None = None
        self._ticking = False
        self._beat: Timer | None = None
        self._beat_at = 0
        self._awake: Promise[None] | None = None
        self._stopped = False
        self._returns = 0

    @property
    def epoch(self) -> str:
        """See model: changes only when history was lost."""
        return self._store.epoch

    def policy(self, form: FormId) -> Policy:
        """How long things last for this form, as of now."""
        return self._policies.of(form)

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
        """Ask for the form. The reply is Yours, InLine or a Refusal."""
        (decision,) = await self.lock_all([(form, command)], command.session)
        return decision

    async def lock_all(self, wanted: Sequence[tuple[FormId, Lock]], session: int) -> Sequence[Decision]:
        """Ask for several forms, all or none (rules.decide_all), as patiently as the rules say: for a probe's answer, or for a page
        that may be coming back. If not all are Yours, those that stand in the way have a Refusal."""
        commands = [replace(command, waits=self._store.waits(command.owner.user)) for _, command in wanted]
        async with self._calling(session) as caller:
            while True:
                decisions = await self._all([form for form, _ in wanted], commands, session)
                waits = [decision.reply for decision in decisions if isinstance(decision.reply, Wait)]
                if not waits or any(isinstance(decision.reply, Refusal) for decision in decisions):
                    return decisions
                commands = [_again(command, decision) for command, decision in zip(commands, decisions, strict=True)]
                await self._changed([form for form, _ in wanted], min(wait.until for wait in waits))
                if caller.left:
                    # Nobody is there any more to be given anything.
                    raise NotActive

    async def takeover(self, form: FormId, command: Takeover) -> Decision:
        """Take the form from whoever has it. The reply is Yours, after the old holder's moment is over, or a Refusal."""
        async with self._calling(command.session) as caller:
            while True:
                decision = await self._decide(form, command, command.session)
                if not isinstance(decision.reply, Wait):
                    return decision
                await self._changed([form], decision.reply.until)
                if caller.left:
                    raise NotActive

    async def renew(self, renewals: Sequence[tuple[FormId, Renew]], session: int) -> list[Decision]:
        """Say that the owner of these forms lives. Each reply is Yours or a Refusal."""
        async with self._calling(session):
            return await self._together(self._decide(form, command, session) for form, command in renewals)

    async def tell(self, form: FormId, command: Command, session: int) -> Decision:
        """Any other command: Unlock, LeaveQueue, AskFor, Answer. The reply is theirs, or a Refusal."""
        async with self._calling(session):
            return await self._decide(form, command, session)

    async def unlock(self, form: FormId, command: Unlock, session: int) -> Decision:
        """Give the form back. The reply is Freed or a Refusal."""
        return await self.tell(form, command, session)

    async def read(self, form: FormId) -> FormState:
        """The state of the form's record as of now, time applied."""
        await self._ready()
        return await self._as_of_now(await self._store.read(form.record))

    async def find(self, query: Query) -> Found:
        """A page of locked forms as of now, time applied."""
        await self._ready()
        found = await self._store.find(query)
        states = [await self._as_of_now(state) for state in found.states]
        return replace(found, states=tuple(state for state in states if query.matches(state)))

    # -- what has been

    async def ending(self, form: FormId, owner: Owner, token: int) -> Released | TakenOver | None:
        """How this owner's grant has ended, where it is among the newest that is known of the form: for a page that was asleep."""
        await self._ready()
        page = await self._store.history(Asked(form.record, limit=NEWEST))
        return ending(reversed(page.entries), owner, token)

    async def history(self, asked: Asked) -> Page:
        """What happened to a form, with everything up to now."""
        await self._ready()
        return await self._store.history(asked)

    async def hand_over(self, form: FormId, command: HandOver, draft: Draft | None, session: int) -> tuple[FormState, bool]:
        """Bring the draft into safety, then let go of the form for whoever takes it over. Whoever has lost it a moment ago may still
        hand in the draft. Answers the state, and whether the form is another's now; Lost for a grant of somebody else, or of old."""
        async with self._calling(session):
            await self._ready()
            state = await self._store.read(form.record)
            held = state.of_token(command.token) is not None
            if not may_hand_in(command.owner, command.token, self._clock.wall(), state, () if held else await self._past(form)):
                raise Lost
            if draft is not None:
                await self._store.put_draft(draft)
            if held:
                state = (await self._decide(form, command, session)).state
            return state, state.of_token(command.token) is None

    async def drafts(self, form: FormId, user: str) -> Sequence[Draft]:
        """What this user may read, the newest first."""
        state = await self.read(form.record)
        share = self.policy(form).share_drafts
        past = await self._past(form) if share else ()
        return readable(await self._store.drafts(form), form, user, self._clock.wall(), state, past, share)

    async def forget_drafts(self, form: FormId, user: str, token: int | None) -> int:
        """Throw the user's own ones away, or the one of this grant; answers how many there were."""
        await self._ready()
        own = [
            draft.token
            for draft in await self._store.drafts(form)
            if draft.owner.user == user and form.overlaps(draft.form) and token in (None, draft.token)
        ]
        if own:
            await self._store.forget_drafts(form, own)
        return len(own)

    async def _past(self, form: FormId) -> Sequence[Event]:
        page = await self._store.history(Asked(form.record, limit=PAST))
        return [entry.event for entry in page.entries]

    async def _as_of_now(self, state: FormState) -> FormState:
        """What time has brought about is stored before it is told: else a crash could take back what somebody has seen."""
        passed = decide(state, Tick(), self._clock.now(), self._clock.wall(), self.policy(state.form))
        if not passed.events:
            return passed.state
        return (await self._transact(state.form, Tick(), None)).state

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

    async def _all(self, forms: Sequence[FormId], commands: Sequence[Lock], caller: int) -> Sequence[Decision]:
        if len(forms) == 1:
            return [await self._decide(forms[0], commands[0], caller)]
        await self._ready()
        return await self._commit(
            [form.record for form in forms],
            lambda states: decide_all(
                states, commands, self._clock.now(), self._clock.wall(), [self.policy(form) for form in forms]
            ),
            caller,
        )

    async def _transact(self, form: FormId, command: Command, caller: int | None) -> Decision:
        def decided(states: Sequence[FormState]) -> Sequence[Decision]:
            return [decide(states[0], command, self._clock.now(), self._clock.wall(), self.policy(form))]

        (decision,) = await self._commit([form.record], decided, caller)
        return decision

    async def _commit(
        self, forms: Sequence[FormId], decided: Callable[[Sequence[FormState]], Sequence[Decision]], caller: int | None
    ) -> Sequence[Decision]:
        try:
            decisions = await self._store.transact(forms, decided)
        except NotActive:
            if self._store.stepped_down and not self._stopped:
                self._stopped = True
                self._stepped_down()
            raise
        for form, decision in zip(forms, decisions, strict=True):
            for event, state in zip(decision.events, decision.states, strict=True):
                self._happened(event, state, caller)
            for session in decision.probes:
                self._probe(decision.state, session)
            if any(event.changes for event in decision.events) or isinstance(decision.reply, Yours):
                for changed in self._waiting.pop(form, ()):
                    changed.keep(None)
        self._arm()
        return decisions

    async def _changed(self, forms: Sequence[FormId], until: int) -> None:
        """Until something has happened to one of the forms, or the time has come."""
        changed = self._after(until - self._clock.now())
        records = dict.fromkeys(form.record for form in forms)
        for form in records:
            self._waiting.setdefault(form, {})[changed] = None
        await changed
        for form in records:
            waiting = self._waiting.get(form)
            if waiting is not None:
                waiting.pop(changed, None)
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
        while not self._stopped:
            if self._awake is not None:
                # Perhaps in vain: what could not be stored has been taken back, the deadlines too. So look again.
                await self._awake
            elif self._beat is not None and self._clock.now() - self._beat_at > BEAT_MS + PAUSED_MS:
                await self._wake()
            else:
                return
        raise NotActive

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
        forms = self._store.held()
        alive = frozenset(living) if living is not None else None
        returning, away = 0, []
        for form in forms:
            gone = [
                lease
                for lease in (await self._store.read(form)).holds
                if lease.session is None or (alive is not None and lease.session not in alive)
            ]
            returning += len(gone)
            if gone:
                away.append(form)
        # Each form's own grace, where its policy says a longer one, is the rules' to keep.
        grace = RETURN_BASE_MS + returning * 1_000 // RETURNS_PER_SECOND
        await self._together(self._transact(form, Recovered(alive, grace), None) for form in forms)
        self._returns += 1
        if returning >= RETURN_MASS:
            self._watch_return(_Return(away, grace, self._returns, RETURN_TIMES - 1))

    def _watch_return(self, mass: _Return) -> None:
        """As long as a mass return is in full swing, its grace does not end."""
        shortest_ms = min(max(mass.grace_ms, self.policy(form).grace_ms) for form in mass.away)
        begins_ms = shortest_ms - RETURN_WATCH_MS - RETURN_SPARE_MS
        self._clock.later(begins_ms, lambda: self._clock.start(self._begin_watch(mass)))

    async def _begin_watch(self, mass: _Return) -> None:
        watched = replace(mass, away=await self._still_away(mass))
        self._clock.later(RETURN_WATCH_MS, lambda: self._clock.start(self._end_watch(watched)))

    async def _end_watch(self, mass: _Return) -> None:
        away = await self._still_away(mass)
        if away and (len(mass.away) - len(away)) * RETURN_SHARE >= len(mass.away):
            await self._together(self._insist(form, Recovered(None, mass.grace_ms)) for form in away)
            if mass.times > 1:
                self._watch_return(replace(mass, away=away, times=mass.times - 1))

    async def _still_away(self, mass: _Return) -> list[FormId]:
        """The forms that still wait for somebody; none if there has been another recovery since."""
        found = []
        for form in mass.away:
            if self._stopped or mass.number != self._returns:
                return []
            try:
                state = await self._store.read(form)
            except NotActive:
                return []
            if any(lease.session is None for lease in state.holds):
                found.append(form)
        return found

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


def _again(command: Lock, decision: Decision) -> Lock:
    wait = decision.reply
    return replace(command, probed_since=wait.probed_since) if isinstance(wait, Wait) and wait.probed_since is not None else command
