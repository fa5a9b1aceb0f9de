"""Who has which form open: greets whoever opens one, and tells the others who is there.

Fed by the router's meta events, by way of our own map (viewers): the router's word that a subscription has ended is wrong in both
directions.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from autobahn.exception import Disconnected
from autobahn.wamp.exception import ApplicationError, TransportLost

from formlock.clock import Clock, Timer
from formlock.errors import FormLockError, NotActive
from formlock.model import FormId
from formlock.viewers import MAX_NAMES, Viewers
from formlock.wamp import ClaimsBook, Event, Session
from formlock.wire import Payload

# Subscription ids and their topics. A cache: the least recently used go, and a miss is asked for.
MAX_TOPICS = 20_000
# Who has a form open is told this often at most.
VIEWERS_MS = 1_000


class Audience:
    """`public(form)` is the form's public state as of now; `soon(work)` runs the work when the service has started."""

    def __init__(
        self,
        session: Session,
        claims: ClaimsBook,
        clock: Clock,
        public: Callable[[FormId], Awaitable[Payload]],
        soon: Callable[[Callable[[], None]], None],
    ) -> None:
        self._session = session
        self._claims = claims
        self._clock = clock
        self._public = public
        self._soon = soon
        self._topics: OrderedDict[int, str] = OrderedDict()
        self._viewers = Viewers()
        self._changed: set[FormId] = set()
        self._due: Timer | None = None

    async def listen(self) -> None:
        """Subscribe to what the router tells of subscriptions."""
        await self._session.hear("wamp.subscription.on_create", self._on_create)
        await self._session.hear("wamp.subscription.on_subscribe", self._on_subscribe)
        await self._session.hear("wamp.subscription.on_unsubscribe", self._on_unsubscribe)

    def left(self, session: int) -> None:
        """The session is gone."""
        self._viewed(self._viewers.left(session))

    def end(self) -> None:
        """Tell nobody anything more."""
        if self._due is not None:
            self._due.cancel()

    def sections(self, record: FormId) -> frozenset[FormId]:
        """The sections of a record that somebody has open by themselves."""
        return self._viewers.sections(record)

    def viewing(self, form: FormId) -> Payload:
        """Who has it open, for an event or an answer."""
        viewers = self._viewers.of(form)
        return {"viewers": [{"user": user, "name": name} for user, name in viewers[:MAX_NAMES]], "viewer_count": len(viewers)}

    async def look_around(self) -> None:
        """After a start: who had what open before it. One question after the other, so that calls are answered between."""
        try:
            found = await self._session.ask("wamp.subscription.list")
            for subscription in found["exact"]:
                form = await self._form(subscription)
                if form is not None:
                    for session in await self._session.ask("wamp.subscription.list_subscribers", subscription):
                        await self._sees(session, subscription, form)
        except (ApplicationError, TransportLost, Disconnected):
            self._session.note("viewers.incomplete")

    # -- what the router tells

    def _on_create(self, event: Event) -> None:
        _, details = event.args
        self._know(details["id"], details["uri"] if details["match"] == "exact" else "")

    def _on_subscribe(self, event: Event) -> None:
        session, subscription = event.args
        self._soon(lambda: self._clock.start(self._greet(session, subscription)))

    def _on_unsubscribe(self, event: Event) -> None:
        session, subscription = event.args
        # For a session that has left this comes without one, after `left`.
        if session is not None:
            self._soon(lambda: self._viewed(self._viewers.unsubscribed(session, subscription)))

    async def _greet(self, session: int, subscription: int) -> None:
        """A new subscriber is told at once that it is one, and that the form is locked when it is (A7)."""
        form = await self._form(subscription)
        if form is None:
            return
        topic, at = self._session.uris.topic(form), self._clock.wall()
        facts = {**await self._public(form), **self.viewing(form), "at": at}
        self._session.tell(topic, {**facts, "status": "subscribed"}, only=session)
        if facts["holder"] is not None:
            self._session.tell(topic, {**facts, "status": "locked"}, only=session)
        await self._sees(session, subscription, form)

    async def _sees(self, session: int, subscription: int, form: FormId) -> None:
        self._viewers.subscribed(session, subscription, form)
        try:
            claims = await self._claims.of(session)
        except NotActive:
            self._viewers.left(session)
            return
        self._viewed(self._viewers.known(session, claims.user, claims.name))

    # -- what everybody is told

    def _viewed(self, forms: set[FormId]) -> None:
        """Once a second at most, however many come and go."""
        self._changed |= forms
        if self._changed and self._due is None:
            self._due = self._clock.later(VIEWERS_MS, lambda: self._clock.start(self._tell()))

    async def _tell(self) -> None:
        forms, self._changed, self._due = self._changed, set(), None
        for form in forms:
            try:
                facts = {**await self._public(form), **self.viewing(form)}
            except NotActive:
                continue
            self._session.tell(self._session.uris.topic(form), {**facts, "status": "viewers", "at": self._clock.wall()})

    # -- which form a subscription is of

    async def _form(self, subscription: int) -> FormId | None:
        try:
            return self._session.uris.form(await self._topic(subscription))
        except FormLockError:
            return None

    async def _topic(self, subscription: int) -> str:
        topic = self._topics.get(subscription)
        if topic is None:
            try:
                details = await self._session.ask("wamp.subscription.get", subscription)
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
