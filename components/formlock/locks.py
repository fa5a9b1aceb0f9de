"""The lock component: procedures and session events in, answers and lock events out. Every decision is a line in the log (A21)."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from autobahn.wamp.exception import ApplicationError

from formlock.claims import Claims, Right
from formlock.errors import FormLockError, Lost, NotAllowed
from formlock.events import Event as LockEvent
from formlock.events import Granted, Released
from formlock.model import FormId, FormState, Owner
from formlock.policy import Policy
from formlock.ready import CLAIMS as READY_CLAIMS
from formlock.ready import ROLE as READY_ROLE
from formlock.receipts import Signer
from formlock.rules import Decision, Lock, Refusal, Renew, Unlock, Yours, session_owner
from formlock.service import LockService
from formlock.stores import open_store
from formlock.uris import ARTICLE_LOCK
from formlock.wamp import Call, ClaimsBook, Event, Session, TwistedClock, read_receipt_key
from formlock.wire import (
    ListRequest,
    LockRequest,
    Payload,
    RenewRequest,
    StatusRequest,
    UnlockRequest,
    list_answer,
    lock_answer,
    lost_answer,
    refusal,
    request,
    snapshot,
    unlock_answer,
)

# Subscription ids and their topics. A cache: the router's word that one is gone is wrong in both directions, so the least recently
# used go, and a miss is asked for.
MAX_TOPICS = 20_000


class LockComponent(Session):
    """`extra`: `store` (URL), `policy` (milliseconds by name, see policy.Policy)."""

    @classmethod
    def check_config(cls, personality: object, extra: dict[str, Any]) -> None:
        """A policy that breaks promises is refused before anything is started."""
        _policy(extra)
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
        self._topics: OrderedDict[int, str] = OrderedDict()
        self._waiting: list[Callable[[], None]] | None = []
        store = await open_store(self.extra.get("store", "memory:"), self._clock, lambda: secrets.token_hex(4), self.folder())
        self._service = LockService(
            store,
            self._clock,
            _policy(self.extra),
            happened=self._happened,
            probe=self._probe,
            stepped_down=self._step_down,
        )
        await self.hear("wamp.session.on_join", self._on_join)
        await self.hear("wamp.session.on_leave", self._on_leave)
        await self.hear("wamp.subscription.on_create", self._on_create)
        await self.hear("wamp.subscription.on_subscribe", self._on_subscribe)
        living = set(await self.ask("wamp.session.list"))
        await self._service.start(living)
        waiting, self._waiting = self._waiting, None
        for event in waiting:
            event()
        await self.answer(self.uris.procedure("lock"), self._lock)
        await self.answer(ARTICLE_LOCK, self._lock)
        await self.answer(self.uris.procedure("unlock"), self._unlock)
        await self.answer(self.uris.procedure("renew"), self._renew)
        await self.answer(self.uris.procedure("status"), self._status)
        await self.answer(self.uris.procedure("list"), self._list)
        self.note("locks.ready", epoch=self._service.epoch, sessions=len(living))

    async def ended(self) -> None:
        """Nothing is released: the next start goes on from here."""
        if hasattr(self, "_service"):
            await self._service.stop()

    # -- procedures

    async def _alive(self, call: Call) -> Payload:
        """Who holds the store; the name is what counts (see `started`)."""
        await self._claims.of(call.caller)
        return {"epoch": self._service.epoch} if hasattr(self, "_service") else {"epoch": None}

    async def _lock(self, call: Call) -> Payload:
        arguments = call.arguments()
        form = self.uris.form(arguments.get("form"))
        asked = request(LockRequest, arguments)
        claims = await self._allowed(call, "lock", form)
        owner = _owner(claims, asked.tab, call.caller)
        decision = await self._service.lock(
            form,
            Lock(
                owner=owner,
                name=claims.name,
                session=call.caller,
                wall=self._clock.wall(),
                note=asked.note,
                rid=asked.rid or "",
            ),
        )
        if isinstance(decision.reply, Yours):
            return self._yours(decision.state, decision.reply, owner)
        raise self._refused("lock", decision.state, decision.reply, claims)

    async def _unlock(self, call: Call) -> Payload:
        arguments = call.arguments()
        form = self.uris.form(arguments.get("form"))
        asked = request(UnlockRequest, arguments)
        claims = await self._allowed(call, "lock", form)
        owner = _owner(claims, asked.tab, call.caller)
        decision = await self._service.unlock(form, Unlock(owner, asked.token, asked.leaving), call.caller)
        if isinstance(decision.reply, Refusal):
            raise self._refused("unlock", decision.state, decision.reply, claims)
        return unlock_answer(self.uris, decision.state)

    async def _renew(self, call: Call) -> Payload:
        asked = request(RenewRequest, call.arguments())
        claims = await self._claims.of(call.caller)
        owner = _owner(claims, asked.tab, call.caller)
        forms = [self.uris.form(held.form) for held in asked.locks]
        renewals = [
            (form, Renew(owner, held.token, call.caller))
            for form, held in zip(forms, asked.locks, strict=True)
            if claims.allows("lock", form)
        ]
        decisions = await self._service.renew(renewals, call.caller)
        answers = {form: self._renewed(decision, claims, owner) for (form, _), decision in zip(renewals, decisions, strict=True)}
        return {"locks": [answers.get(form) or lost_answer(self.uris.topic(form), None) for form in forms]}

    def _renewed(self, decision: Decision, claims: Claims, owner: Owner) -> Payload:
        if isinstance(decision.reply, Yours):
            return {**self._yours(decision.state, decision.reply, owner), "event": "renewed"}
        self._refused("renew", decision.state, decision.reply, claims)
        return lost_answer(self.uris.topic(decision.state.form), decision.state)

    async def _status(self, call: Call) -> Payload:
        arguments = call.arguments()
        form = self.uris.form(arguments.get("form"))
        request(StatusRequest, arguments)
        await self._allowed(call, "view", form)
        return self._snapshot(await self._service.read(form))

    async def _list(self, call: Call) -> Payload:
        asked = request(ListRequest, call.arguments())
        claims = await self._claims.of(call.caller)
        if not claims.allows_all("list", asked.type):
            self.note("call.not_allowed", type=asked.type, user=claims.user, right="list")
            raise NotAllowed(type=asked.type, right="list")
        found = await self._service.find(asked.query(self.uris))
        return list_answer(self.uris, found, self._service.epoch, self._clock.now(), self._clock.wall())

    async def _allowed(self, call: Call, right: Right, form: FormId) -> Claims:
        claims = await self._claims.of(call.caller)
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
        self._when_started(lambda: self._clock.start(self._service.session_lost(session)))

    def _on_create(self, event: Event) -> None:
        _, details = event.args
        self._know(details["id"], details["uri"] if details["match"] == "exact" else "")

    def _on_subscribe(self, event: Event) -> None:
        session, subscription = event.args
        self._when_started(lambda: self._clock.start(self._greet(session, subscription)))

    def _when_started(self, work: Callable[[], None]) -> None:
        if self._waiting is None:
            work()
        else:
            self._waiting.append(work)

    async def _greet(self, session: int, subscription: int) -> None:
        """A new subscriber is told at once that it is one, and that the form is locked when it is (A7)."""
        topic = await self._topic(subscription)
        try:
            form = self.uris.form(topic)
        except FormLockError:
            return
        facts = self._snapshot(await self._service.read(form))
        at = self._clock.wall()
        self.tell(topic, {**facts, "status": "subscribed", "at": at}, only=session)
        if facts["holder"] is not None:
            self.tell(topic, {**facts, "status": "locked", "at": at}, only=session)

    async def _topic(self, subscription: int) -> str:
        topic = self._topics.get(subscription)
        if topic is None:
            try:
                details = await self.ask("wamp.subscription.get", subscription)
            except ApplicationError:
                return ""
            topic = details["uri"] if details["match"] == "exact" else ""
            self._know(subscription, topic)
        else:
            self._topics.move_to_end(subscription)
        return topic

    def _know(self, subscription: int, topic: str) -> None:
        self._topics[subscription] = topic
        if len(self._topics) > MAX_TOPICS:
            self._topics.popitem(last=False)

    # -- what the service tells

    def _happened(self, event: LockEvent, state: FormState, caller: int | None) -> None:
        facts = {"form": event.form, "user": event.owner.user, "token": event.token, "rev": event.rev}
        match event:
            case Granted():
                self.note("lock.granted", **facts, resumed=event.resumed)
                self._publish(state, "edit", exclude=caller)
            case Released():
                self.note("lock.released", **facts, cause=event.cause)
                self._publish(state, "released", cause=event.cause)
            case _:
                self.note(f"lock.{type(event).__name__.lower()}", **facts)

    def _publish(self, state: FormState, status: str, exclude: int | None = None, **more: Any) -> None:
        facts = {**self._snapshot(state), **more, "status": status, "at": self._clock.wall()}
        self.tell(self.uris.topic(state.form), facts, exclude=exclude)

    def _probe(self, state: FormState, session: int) -> None:
        facts = {**self._snapshot(state), "status": "probe", "at": self._clock.wall()}
        self.tell(self.uris.topic(state.form), facts, only=session)

    def _step_down(self) -> None:
        self.warn("locks.stepped_down", why="another process has taken the store over, or it can't be read")
        self.leave()

    # -- shapes

    def _snapshot(self, state: FormState) -> Payload:
        return snapshot(self.uris, state, self._service.epoch, self._clock.now(), self._clock.wall())

    def _yours(self, state: FormState, reply: Yours, owner: Owner) -> Payload:
        topic, renew_ms = self.uris.topic(state.form), self._service.policy.renew_ms
        receipt = self._signer.sign(topic, owner, reply.token, self._clock.wall(), reply.lease_ms)
        return lock_answer(self.uris, state, reply.token, self._service.epoch, reply.lease_ms, renew_ms, receipt)

    def _refused(self, what: str, state: FormState, reply: object, claims: Claims) -> FormLockError:
        error, same_user = (reply.error, reply.same_user) if isinstance(reply, Refusal) else (Lost, False)
        self.note("lock.refused", call=what, form=state.form, user=claims.user, error=error.name, rev=state.rev)
        now, wall = self._clock.now(), self._clock.wall()
        return refusal(self.uris, error, state, same_user, self._service.epoch, now, wall)


def _owner(claims: Claims, tab: str | None, session: int) -> Owner:
    return Owner(claims.user, tab) if tab is not None else session_owner(claims.user, session)


def _policy(extra: dict[str, Any]) -> Policy:
    given = extra.get("policy", {})
    try:
        return Policy(**given)
    except TypeError:
        known = ", ".join(Policy.__slots__)
        raise ValueError(f"policy: {given!r} is not made of whole milliseconds by the names {known}") from None
