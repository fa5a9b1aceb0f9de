"""The lock component: procedures and session events in, answers and lock events out. Every decision is a line in the log (A21)."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from formlock.audience import Audience
from formlock.claims import Claims, Right
from formlock.commands import (
    Answer,
    AskFor,
    Asking,
    Command,
    Decision,
    Freed,
    InLine,
    LeaveQueue,
    Lock,
    Refusal,
    Renew,
    Takeover,
    Unlock,
    Yours,
)
from formlock.drivers import driver_of
from formlock.errors import FormLockError, InvalidArgument, Lost, NotActive, NotAllowed
from formlock.events import Event as LockEvent
from formlock.events import Granted
from formlock.history import Keeping
from formlock.model import FormId, FormState, Owner
from formlock.past import Past, owner_of
from formlock.policies import PolicyBook
from formlock.policyfile import PolicyFile, policies
from formlock.ready import CLAIMS as READY_CLAIMS
from formlock.ready import ROLE as READY_ROLE
from formlock.receipts import Signer
from formlock.service import LockService
from formlock.stores import open_store
from formlock.telling import STATUS, own_facts, told, verb
from formlock.uris import ARTICLE_LOCK
from formlock.wamp import Call, ClaimsBook, Event, Session, TwistedClock, read_receipt_key
from formlock.wire import (
    AnswerRequest,
    AskRequest,
    LeaveQueueRequest,
    ListRequest,
    LockRequest,
    Payload,
    RenewRequest,
    StatusRequest,
    TakeoverRequest,
    UnlockRequest,
    ask_answer,
    list_answer,
    lock_answer,
    lost_answer,
    queue_answer,
    refusal,
    request,
    snapshot,
    unlock_answer,
)


class LockComponent(Session):
    """`extra`: `store` (URL); `policy_file` (docs/reference/policy.md), and `policy`, by the names of policy.Policy, for what it
    leaves out; `history`, what is kept of it, by the names of history.Keeping."""

    @classmethod
    def check_config(cls, personality: object, extra: dict[str, Any]) -> None:
        """What can never work, and a policy that breaks promises, is refused before anything is started."""
        driver_of(_store(extra), "store")
        policies(extra, changed=lambda _: None, wrong=lambda _: None)
        _keeping(extra)
        super().check_config(personality, extra)

    async def started(self) -> None:
        """Be the only one, load the store, hear of sessions, apply what is true now, and register last.

        So no call meets a half-loaded service; and a second lock worker, started by mistake, fails before it touches the store.
        """
        # Crossbar refuses a second registration of this name while the session that has it lives.
        await self.answer(self.uris.procedure("locks"), self._alive)
        self._clock = TwistedClock()
        self._claims = ClaimsBook(self, internal={READY_ROLE: READY_CLAIMS})
        self._signer = Signer(read_receipt_key(self.folder(self.extra.get("credentials", "credentials"))))
        self._audience = Audience(self, self._claims, self._clock, self._public, self._when_started)
        self._waiting: list[Callable[[], None]] | None = []
        url, keeping = _store(self.extra), _keeping(self.extra)
        store = await open_store(url, self._clock, lambda: secrets.token_hex(4), self.folder(), keeping)
        self._policies = policies(self.extra, changed=self._policy_changed, wrong=self._policy_wrong)
        self._service = LockService(
            store,
            self._clock,
            self._policies,
            happened=self._happened,
            probe=self._probe,
            stepped_down=self._step_down,
        )
        if isinstance(self._policies, PolicyFile):
            self._policies.watch(self._clock)
        await self.hear("wamp.session.on_join", self._on_join)
        await self.hear("wamp.session.on_leave", self._on_leave)
        await self._audience.listen()
        living = set(await self.ask("wamp.session.list"))
        await self._service.start(living)
        waiting, self._waiting = self._waiting, None
        for event in waiting:
            event()
        await self.answer(ARTICLE_LOCK, self._lock)
        for name, handler in self._procedures().items():
            await self.answer(self.uris.procedure(name), handler)
        self._clock.start(self._audience.look_around())
        self.note("locks.ready", epoch=self._service.epoch, sessions=len(living))

    async def ended(self) -> None:
        """Nothing is released: the next start goes on from here."""
        if hasattr(self, "_service"):
            self._audience.end()
            if isinstance(self._policies, PolicyFile):
                self._policies.stop()
            await self._service.stop()

    def _policy_changed(self, book: PolicyBook) -> None:
        self.note("policy.changed", tables=1 + len(book.records) + len(book.beginnings))

    def _policy_wrong(self, why: str) -> None:
        self.fault("policy.wrong", why=why, then="the policies of before go on")

    # -- procedures

    def _procedures(self) -> dict[str, Callable[[Call], Awaitable[Payload]]]:
        """By name, in the order in which they are registered: the last is what readiness asks (ready.py), so that none is missing
        when that is answered."""
        return {
            "lock": self._lock,
            "unlock": self._unlock,
            "renew": self._renew,
            "takeover": self._takeover,
            "ask": self._ask,
            "answer": self._answer_ask,
            "leave_queue": self._leave_queue,
            "list": self._list,
            **Past(self._service, self._clock, self.uris, self._allowed).procedures(),
            "status": self._status,
        }

    async def _alive(self, call: Call) -> Payload:
        """Who holds the store; the name is what counts (see `started`)."""
        await self._claims.of(call.caller)
        return {"epoch": self._service.epoch} if hasattr(self, "_service") else {"epoch": None}

    async def _lock(self, call: Call) -> Payload:
        arguments = call.arguments()
        asked = request(LockRequest, arguments)
        several = asked.forms is not None
        forms = self._forms(asked.forms) if asked.forms is not None else [self.uris.form(arguments.get("form"))]
        if several and ("form" in arguments or asked.wait):
            # Whoever holds nothing while waiting for several may wait for ever; nobody is promised that here.
            raise InvalidArgument(argument="wait" if asked.wait else "form")
        for form in forms:
            policy = self._service.policy(form)
            claims = await self._allowed(call, policy.lock_right, form)
            if asked.until_ms is not None:
                claims = await self._allowed(call, policy.reserve_right, form)
        owner = owner_of(claims, asked.tab, call.caller)
        wanted = [(form, self._wish(form, owner, claims, call.caller, asked)) for form in forms]
        decisions = await self._service.lock_all(wanted, call.caller)
        for form, decision in zip(forms, decisions, strict=True):
            if isinstance(decision.reply, Refusal):
                raise self._refused("lock", form, decision, claims)
        answers = [self._granted(form, decision, owner) for form, decision in zip(forms, decisions, strict=True)]
        return {"event": "lock", "locks": answers} if several else answers[0]

    def _wish(self, form: FormId, owner: Owner, claims: Claims, session: int, asked: LockRequest) -> Lock:
        long_wall = None
        if asked.until_ms is not None:
            long_wall = self._clock.wall() + min(asked.until_ms, self._service.policy(form).max_long_ms)
        return Lock(
            owner=owner,
            name=claims.name,
            session=session,
            section=form.section,
            mode=asked.mode,
            machine=asked.machine,
            note=asked.note,
            rid=asked.rid or "",
            wait=asked.wait,
            long_wall=long_wall,
        )

    def _forms(self, topics: Sequence[str]) -> list[FormId]:
        """In the order of their ids, whatever order was asked for: so stores that lock rows do it in one order."""
        forms = sorted({self.uris.form(topic) for topic in topics})
        if len({form.record for form in forms}) != len(topics):
            raise InvalidArgument(argument="forms")
        return forms

    async def _takeover(self, call: Call) -> Payload:
        arguments = call.arguments()
        form = self.uris.form(arguments.get("form"))
        asked = request(TakeoverRequest, arguments)
        policy = self._service.policy(form)
        claims = await self._allowed(call, policy.lock_right, form)
        owner = owner_of(claims, asked.tab, call.caller)
        command = Takeover(
            owner=owner,
            name=claims.name,
            session=call.caller,
            section=form.section,
            machine=asked.machine,
            note=asked.note,
            rid=asked.rid or "",
            expected_token=asked.expected_token,
            reason=asked.reason,
            right=claims.allows(policy.takeover_right, form),
        )
        decision = await self._service.takeover(form, command)
        if isinstance(decision.reply, Refusal):
            raise self._refused("takeover", form, decision, claims)
        return self._granted(form, decision, owner)

    async def _unlock(self, call: Call) -> Payload:
        arguments = call.arguments()
        form = self.uris.form(arguments.get("form"))
        asked = request(UnlockRequest, arguments)
        claims = await self._allowed(call, "lock", form)
        owner = owner_of(claims, asked.tab, call.caller)
        return await self._told(call, form, Unlock(owner, asked.token, asked.leaving, (call.caller, *asked.sessions)), claims)

    async def _leave_queue(self, call: Call) -> Payload:
        arguments = call.arguments()
        form = self.uris.form(arguments.get("form"))
        asked = request(LeaveQueueRequest, arguments)
        claims = await self._allowed(call, "lock", form)
        return await self._told(call, form, LeaveQueue(owner_of(claims, asked.tab, call.caller), form.section), claims)

    async def _ask(self, call: Call) -> Payload:
        arguments = call.arguments()
        form = self.uris.form(arguments.get("form"))
        asked = request(AskRequest, arguments)
        claims = await self._allowed(call, self._service.policy(form).lock_right, form)
        owner = owner_of(claims, asked.tab, call.caller)
        return await self._told(call, form, AskFor(owner, claims.name, asked.note, form.section), claims)

    async def _answer_ask(self, call: Call) -> Payload:
        arguments = call.arguments()
        form = self.uris.form(arguments.get("form"))
        asked = request(AnswerRequest, arguments)
        claims = await self._allowed(call, "lock", form)
        owner = owner_of(claims, asked.tab, call.caller)
        keep_ms = None if asked.answer == "release" else asked.keep_ms or 0
        return await self._told(call, form, Answer(owner, asked.token, keep_ms), claims)

    async def _told(self, call: Call, form: FormId, command: Command, claims: Claims) -> Payload:
        decision = await self._service.tell(form, command, call.caller)
        topic, rev = self.uris.topic(form), decision.state.rev
        match decision.reply:
            case Freed():
                return unlock_answer(topic, rev)
            case Asking(number, until):
                return ask_answer(topic, rev, number, max(0, until - self._clock.now()) if until is not None else None)
            case Yours() as reply:
                return self._yours(form, decision.state, reply, command.owner if isinstance(command, Answer) else Owner("", ""))
            case _:
                raise self._refused(call.procedure.rpartition(".")[2], form, decision, claims)

    async def _renew(self, call: Call) -> Payload:
        asked = request(RenewRequest, call.arguments())
        claims = await self._claims.of(call.caller)
        owner = owner_of(claims, asked.tab, call.caller)
        forms = [self.uris.form(held.form) for held in asked.locks]
        renewals = [
            (form, Renew(owner, held.token, call.caller, asked.active))
            for form, held in zip(forms, asked.locks, strict=True)
            if claims.allows("lock", form)
        ]
        decisions = await self._service.renew(renewals, call.caller)
        answers = {
            form: await self._renewed(form, renewal, decision, claims)
            for (form, renewal), decision in zip(renewals, decisions, strict=True)
        }
        return {"locks": [answers.get(form) or lost_answer(self.uris.topic(form), None) for form in forms]}

    async def _renewed(self, form: FormId, renewal: Renew, decision: Decision, claims: Claims) -> Payload:
        if isinstance(decision.reply, Yours):
            return {**self._yours(form, decision.state, decision.reply, renewal.owner), "event": "renewed"}
        self._refused("renew", form, decision, claims)
        leases = decision.state.held(form.section)
        ended = await self._service.ending(form, renewal.owner, renewal.token)
        facts: Payload = {}
        if ended is not None:
            facts = {"cause": "takeover", **told(ended), "ended_ms": max(0, self._clock.wall() - ended.wall)}
        return lost_answer(self.uris.topic(form), leases[0] if leases else None, facts)

    async def _status(self, call: Call) -> Payload:
        arguments = call.arguments()
        form = self.uris.form(arguments.get("form"))
        request(StatusRequest, arguments)
        await self._allowed(call, "view", form)
        return {**await self._public(form), **self._audience.viewing(form)}

    async def _list(self, call: Call) -> Payload:
        asked = request(ListRequest, call.arguments())
        claims = await self._claims.of(call.caller)
        if not claims.allows_all("list", asked.type):
            self.note("call.not_allowed", type=asked.type, user=claims.user, right="list")
            raise NotAllowed(type=asked.type, right="list")
        found = await self._service.find(asked.query(self.uris, self._clock.wall()))
        return list_answer(self.uris, found, self._service.epoch, self._clock.now(), self._clock.wall())

    async def _allowed(self, call: Call, right: Right, *forms: FormId) -> Claims:
        claims = await self._claims.of(call.caller)
        for form in forms:
            if not claims.allows(right, form):
                self.note("call.not_allowed", form=form, user=claims.user, right=right)
                raise NotAllowed(form=self.uris.topic(form), right=right)
        return claims

    # -- what the router tells of sessions and subscriptions

    def _on_join(self, event: Event) -> None:
        self._claims.joined(event.args[0])

    def _on_leave(self, event: Event) -> None:
        session: int = event.args[0]
        self._claims.left(session)
        self._audience.left(session)
        self._when_started(lambda: self._clock.start(self._service.session_lost(session)))

    def _when_started(self, work: Callable[[], None]) -> None:
        if self._waiting is None:
            work()
        else:
            self._waiting.append(work)

    async def _public(self, form: FormId) -> Payload:
        return self._snapshot(await self._service.read(form), form)

    # -- what the service tells

    def _happened(self, event: LockEvent, state: FormState, _caller: int | None) -> None:
        facts = {"form": event.form, "user": event.owner.user, "token": event.token, "rev": event.rev}
        self.note(verb(event), **facts, **own_facts(event))
        if isinstance(event, Granted):
            if event.number is not None:
                # Whose turn it is has not called just now: it is told, and asks for the rest.
                self._publish(event, state, "granted", only=event.session, number=event.number)
            # Whoever called is not always who got it: an unlock, too, gives the form to whoever is to take it over.
            self._publish(event, state, "edit", exclude=event.session)
        elif event.public:
            self._publish(event, state, STATUS[type(event)], **told(event))

    def _publish(
        self, event: LockEvent, state: FormState, status: str, *, exclude: int | None = None, only: int | None = None, **more: Any
    ) -> None:
        """On the topics of all who meet it: of the whole, and of the section, or of those that somebody has open."""
        record = state.form
        concerned = {record, event.form} if event.form.section else {record, *self._audience.sections(record)}
        for form in concerned:
            facts = {**self._snapshot(state, form), **more, "status": status, "at": event.wall}
            self.tell(self.uris.topic(form), facts, exclude=exclude, only=only)

    def _probe(self, state: FormState, session: int) -> None:
        for lease in state.holds:
            if lease.session == session:
                form = state.form._replace(section=lease.section)
                facts = {**self._snapshot(state, form), "status": "probe", "at": self._clock.wall()}
                self.tell(self.uris.topic(form), facts, only=session)

    def _step_down(self) -> None:
        self.warn("locks.stepped_down", why="another process has taken the store over, or it can't be read")
        self.leave()

    # -- shapes

    def _snapshot(self, state: FormState, form: FormId) -> Payload:
        facts = snapshot(self.uris, state, form, self._service.epoch, self._clock.now(), self._clock.wall())
        return {**facts, **self._service.policy(form).told()}

    def _granted(self, form: FormId, decision: Decision, owner: Owner) -> Payload:
        match decision.reply:
            case Yours() as reply:
                return self._yours(form, decision.state, reply, owner)
            case InLine(number, position):
                return queue_answer(self.uris.topic(form), decision.state.rev, self._service.epoch, number, position)
            case _:
                raise NotActive

    def _yours(self, form: FormId, state: FormState, reply: Yours, owner: Owner) -> Payload:
        topic, policy = self.uris.topic(form), self._service.policy(form)
        receipt = self._signer.sign(topic, owner, reply.token, self._clock.wall(), reply.lease_ms)
        return lock_answer(
            topic, state.rev, reply.token, self._service.epoch, reply.lease_ms, policy.renew_ms, policy.silence_ms, receipt
        )

    def _refused(self, what: str, form: FormId, decision: Decision, claims: Claims) -> FormLockError:
        reply, state = decision.reply, decision.state
        error, same_user = (reply.error, reply.same_user) if isinstance(reply, Refusal) else (Lost, False)
        self.note("lock.refused", call=what, form=form, user=claims.user, error=error.name, rev=state.rev)
        now, wall = self._clock.now(), self._clock.wall()
        return refusal(self.uris, error, state, form, same_user, self._service.epoch, now, wall)


def _store(extra: dict[str, Any]) -> Any:
    return extra.get("store", "memory:")


def _keeping(extra: dict[str, Any]) -> Keeping:
    given = extra.get("history", {})
    try:
        return Keeping(**given)
    except TypeError:
        known = ", ".join(Keeping.__slots__)
        raise ValueError(f"history: {given!r} is not made of whole numbers by the names {known}") from None
