"""The lock worker: the real LockService, with what locks.py does around it (start, register, answer, publish)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from msgspec.structs import replace

from formlock.commands import Decision, Freed, Lock, Renew, Takeover, Unlock, Yours
from formlock.errors import NotActive
from formlock.events import Event, Granted
from formlock.model import FormId, FormState
from formlock.policy import Policy
from formlock.service import LockService
from formlock.telling import STATUS
from formlock.testing.simulation.disk import SimulatedStore
from formlock.testing.simulation.messages import Call, Replied, Told
from formlock.testing.simulation.network import Channel
from formlock.testing.simulation.process import Process

if TYPE_CHECKING:
    from formlock.testing.simulation.world import World


class _Service(LockService):
    """The real one, which notes when it set the deadlines anew."""

    recovered: Callable[[], None]
    """Called as it begins, and when it is done."""

    async def _recover(self, living: Collection[int] | None) -> None:
        self.recovered()
        await super()._recover(living)
        self.recovered()


class Server:
    """One process and one session of it with the router; after a router restart the session is another, the process the same."""

    def __init__(self, world: World, process: Process) -> None:
        self.world = world
        self.process = process
        random = world.random
        self.link_up = Channel(world.clock, lambda: random.randrange(4))
        self.link_down = Channel(world.clock, lambda: random.randrange(4))
        self.store: SimulatedStore | None = None
        self.service: _Service | None = None
        self.registered = False
        self.stepped_down = False
        self.resumed_at = self.recovered_at = self.recovery_began_at = 0
        self._recovering = False
        self.heard: dict[tuple[FormId, int], int] = {}
        """When the owner of each grant was last promised it."""
        self._early: list[int] | None = []

    async def start(self, policy: Policy) -> None:
        """As LockComponent.started: store, hear of sessions, apply what is true, register last."""
        world = self.world
        self.store = world.disk.open(self.process)
        self.service = _Service(self.store, self.process, policy, self._happened, self._probe, self._step_down)
        self.service.recovered = self._recovered
        world.router.listener = self
        living = set(world.router.sessions)
        await self._after(world.random.randrange(60))
        await self.service.start(living)
        early, self._early = self._early or [], None
        for session in early:
            self.process.start(self.service.session_lost(session))
        await self._after(world.random.randrange(60))
        if world.router.listener is self:
            world.router.callee = self
            self.registered = True
            world.note("server", "registered")

    async def _after(self, delay_ms: int) -> None:
        promise = self.process.promise()
        self.process.later(delay_ms, lambda: promise.keep(None))
        await promise

    def _recovered(self) -> None:
        self._recovering = not self._recovering
        self.recovered_at = self.world.clock.now()
        if self._recovering:
            self.recovery_began_at = self.recovered_at
        self.world.note("server", "recovers" if self._recovering else "has recovered")

    def end_link(self) -> None:
        """The router has given its session up: what it says is not heard any more."""
        self.link_up.cut = self.link_down.cut = True
        self.registered = False

    # -- what comes in

    def hears(self, session: int) -> None:
        """wamp.session.on_leave."""
        self.process.do(lambda: self._left(session))

    def _left(self, session: int) -> None:
        if self._early is not None:
            self._early.append(session)
        elif self.service is not None:
            self.process.start(self.service.session_lost(session))

    def answers(self, session: int, call: Call) -> None:
        """A call."""
        self.process.do(lambda: self.process.start(self._answer(session, call)))

    async def _answer(self, session: int, call: Call) -> None:
        for form, command in call.wanted:
            if self.store is not None:
                self.world.truth.overtaken(self.store.peek(form.record), command, session)
        try:
            decisions = await self._decided(session, call)
        except NotActive:
            self.world.router.say(self, session, Replied(call.number, None))
            return
        answers = []
        for (form, command), decision in zip(call.wanted, decisions, strict=True):
            if isinstance(decision.reply, Yours):
                self.heard[form.record, decision.reply.token] = self.world.clock.now()
                self.world.truth.promised(form, command, decision.reply)
            elif isinstance(decision.reply, Freed):
                self.world.truth.freed(command, session, decision.state)
            answers.append((form, decision.reply, decision.state))
        self.world.note("server", "answers", call, [decision.reply for decision in decisions])
        self.world.router.say(self, session, Replied(call.number, tuple(answers)))

    async def _decided(self, session: int, call: Call) -> list[Decision]:
        service = self.service
        assert service is not None
        locks = [(form, command) for form, command in call.wanted if isinstance(command, Lock)]
        renewals = [(form, command) for form, command in call.wanted if isinstance(command, Renew)]
        if locks:
            return list(await service.lock_all(locks, session))
        if renewals:
            return await service.renew(renewals, session)
        ((form, command),) = call.wanted
        if isinstance(command, Unlock):
            # As locks.py: whoever calls is one of the page's.
            command = replace(command, sessions=(session, *command.sessions))
        if isinstance(command, Takeover):
            return [await service.takeover(form, command)]
        return [await service.tell(form, command, session)]

    # -- what it says (as locks.py)

    def _happened(self, event: Event, state: FormState, caller: int | None) -> None:
        if not self.process.alive:
            return
        self.world.note("server", event)
        router = self.world.router
        self.world.truth.published(event, state, heard=not self.link_down.cut)
        if isinstance(event, Granted):
            if event.number is not None:
                router.publish(self, Told("granted", event.form, state, event, event.number), only=event.session, exclude=None)
                caller = event.session
            router.publish(self, Told("edit", event.form, state, event), only=None, exclude=caller)
        elif event.public:
            router.publish(self, Told(STATUS[type(event)], event.form, state, event), only=None, exclude=None)

    def _probe(self, state: FormState, session: int) -> None:
        for lease in state.holds:
            if lease.session == session:
                form = state.form._replace(section=lease.section)
                self.world.router.publish(self, Told("probe", form, state), only=session, exclude=None)

    def _step_down(self) -> None:
        self.stepped_down = True
        self.world.note("server", "stepped down")
        self.world.fell(self)
