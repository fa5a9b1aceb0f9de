"""The procedures that look back, or keep something for later: `history`, `hand_over`, `draft`, `forget_draft`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from formlock.claims import Claims, Right
from formlock.clock import Clock
from formlock.commands import HandOver
from formlock.errors import Lost
from formlock.history import Asked, Entry, what
from formlock.model import Draft, FormId, Owner
from formlock.rules import session_owner
from formlock.service import LockService
from formlock.telling import told
from formlock.uris import Uris
from formlock.wamp import Call
from formlock.wire import (
    DraftRequest,
    ForgetDraftRequest,
    HandOverRequest,
    HistoryRequest,
    Payload,
    draft_answer,
    draft_content,
    hand_over_answer,
    request,
)


class Allowed(Protocol):
    """The caller's claims; NotAllowed without the right on the form."""

    def __call__(self, call: Call, right: Right, *forms: FormId) -> Awaitable[Claims]: ...


class Past:
    """Made by the lock component, which registers these and checks who calls."""

    def __init__(self, service: LockService, clock: Clock, uris: Uris, allowed: Allowed) -> None:
        self._service = service
        self._clock = clock
        self._uris = uris
        self._allowed = allowed

    def procedures(self) -> dict[str, Callable[[Call], Awaitable[Payload]]]:
        """By name."""
        return {
            "history": self._history,
            "hand_over": self._hand_over,
            "draft": self._draft,
            "forget_draft": self._forget_draft,
        }

    async def _history(self, call: Call) -> Payload:
        arguments = call.arguments()
        form = self._uris.form(arguments.get("form"))
        asked = request(HistoryRequest, arguments)
        await self._allowed(call, "view", form)
        page = await self._service.history(Asked(form, asked.since, asked.after, asked.limit))
        return {
            "form": self._uris.topic(form),
            "entries": [self._entry(entry) for entry in page.entries],
            "after": page.after,
            "complete": page.complete,
            "epoch": self._service.epoch,
        }

    def _entry(self, entry: Entry) -> Payload:
        """Who, what, when and why; nobody's tab or session."""
        event = entry.event
        facts: Payload = {
            "form": self._uris.topic(event.form),
            "what": what(event),
            "user": event.owner.user,
            "name": event.name or event.owner.user,
            "at": event.wall,
            "rev": event.rev,
            **told(event),
        }
        if event.token:
            facts["token"] = event.token
        if entry.times > 1:
            facts |= {"times": entry.times, "last_at": entry.last_wall}
        return facts

    async def _hand_over(self, call: Call) -> Payload:
        arguments = call.arguments()
        form = self._uris.form(arguments.get("form"))
        asked = request(HandOverRequest, arguments)
        content = draft_content(asked.draft)
        claims = await self._allowed(call, "lock", form)
        owner = owner_of(claims, asked.tab, call.caller)
        draft = Draft(form, owner, claims.name, asked.token, self._clock.wall(), content) if content is not None else None
        try:
            state, moved = await self._service.hand_over(form, HandOver(owner, asked.token), draft, call.caller)
        except Lost:
            raise Lost(form=self._uris.topic(form), holder=None) from None
        return hand_over_answer(self._uris.topic(form), state.rev, moved)

    async def _draft(self, call: Call) -> Payload:
        arguments = call.arguments()
        form = self._uris.form(arguments.get("form"))
        asked = request(DraftRequest, arguments)
        claims = await self._allowed(call, "view", form)
        drafts = await self._service.drafts(form, claims.user)
        return draft_answer(self._uris, form, drafts, claims.user, asked.token)

    async def _forget_draft(self, call: Call) -> Payload:
        arguments = call.arguments()
        form = self._uris.form(arguments.get("form"))
        asked = request(ForgetDraftRequest, arguments)
        claims = await self._allowed(call, "view", form)
        forgotten = await self._service.forget_drafts(form, claims.user, asked.token)
        return {"form": self._uris.topic(form), "forgotten": forgotten}


def owner_of(claims: Claims, tab: str | None, session: int) -> Owner:
    """Whose call it is: the user's, from this tab, or from a session that is its own tab."""
    return Owner(claims.user, tab) if tab is not None else session_owner(claims.user, session)
