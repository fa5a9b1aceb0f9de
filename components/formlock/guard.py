"""Hardening of the router worker, embedded in it: what Crossbar itself does not do, and without which a page could harm others.

- Delivery: Crossbar stops handing an event to the remaining subscribers when one of them is just closing (measured: 0.1-3 % of
  events lost to steady subscribers while one client loops join, subscribe, close). Sending to a closing session is made a no-op.
- Nesting: a message nested deeper than any of ours is refused before it is parsed; and see wamp.cap_recursion.
- Authorization: browsers get a role of our own, asked synchronously for every action, that sees claims and match policy, and whose
  answers are never cached (cached by URI, denied calls grow the router without bound).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.exception import Disconnected
from autobahn.wamp.exception import TransportLost
from autobahn.wamp.serializer import JsonObjectSerializer
from crossbar.router.role import RouterRole
from crossbar.router.router import Router

from formlock.auth import BROWSER_ROLE
from formlock.claims import Claims, InvalidClaims, from_extra
from formlock.depth import MAX_MESSAGE_DEPTH, deeper_than
from formlock.errors import FormLockError
from formlock.model import FormId
from formlock.uris import ARTICLE_LOCK, Uris
from formlock.wamp import Session

Authorization = dict[str, bool]

DENIED: Authorization = {"allow": False, "cache": False}
ALLOWED: Authorization = {"allow": True, "disclose": True, "cache": False}


class GuardComponent(Session):
    """Runs before the node's transports open, so no session ever meets an unguarded router."""

    async def started(self) -> None:
        """Harden this process and give browsers their role."""
        deliver_past_closing_sessions()
        refuse_deep_messages()
        router: Router = self.embedding_router()
        # Takes the place of the configured role of the same name, which allows nothing.
        router.add_role(BrowserRole(router, BROWSER_ROLE, self.uris))
        self.note("guard.ready", role=BROWSER_ROLE)


class BrowserRole(RouterRole):  # type: ignore[misc]
    """What a page may do: call our procedures, subscribe to forms it may view. Nothing else."""

    def __init__(self, router: Router, uri: str, uris: Uris) -> None:
        super().__init__(router, uri)
        self._uris = uris

    def authorize(self, session: Any, uri: str, action: str, options: Any) -> Authorization:
        """Crossbar's hook. Never raises: what it can't make sense of is denied."""
        try:
            claims = from_extra(session._authextra)
        except InvalidClaims:
            return DENIED
        return ALLOWED if may(claims, self._uris, uri, action, options.get("match")) else DENIED


def may(claims: Claims, uris: Uris, uri: str, action: str, match: str | None) -> bool:
    """Whether the bearer of these claims may do this to this URI; the lock component checks the right for the form again."""
    if action == "call":
        return uri == ARTICLE_LOCK or (uri.startswith(uris.procedures) and uri != uris.procedure("authenticate"))
    if action == "subscribe":
        if match == "prefix":
            # It sees every form under it, so it is for those who may list these: all forms, or all of one type.
            return uris.is_forms(uri) and claims.allows_all("list", uris.type_of(uri))
        return match in (None, "exact") and _may_view(claims, uris, uri)
    return False


def _may_view(claims: Claims, uris: Uris, topic: str) -> bool:
    bulk_type = uris.bulk_type(topic)
    if bulk_type is not None:
        # "Many of this type have changed" tells nothing of any one record that all who see some of them may not know.
        return claims.allows_some("view", bulk_type)
    try:
        form: FormId = uris.form(topic)
    except FormLockError:
        return False
    return claims.allows("view", form)


def deliver_past_closing_sessions() -> None:
    """Wrap `Router.send` once, so that a session in its closing handshake can't cut the others off from an event."""
    send: Callable[..., None] = Router.send
    if hasattr(send, "formlock_guards"):
        return

    def guarded(router: Router, session: Any, msg: Any) -> None:
        try:
            send(router, session, msg)
        except (Disconnected, TransportLost):
            router.log.debug("skip sending msg - transport is closing")

    guarded.formlock_guards = send  # type: ignore[attr-defined]
    Router.send = guarded


def refuse_deep_messages() -> None:
    """Wrap the JSON serializer once. For 2 kB of brackets Crossbar writes 180 kB of log: two tracebacks of a thousand frames."""
    unserialize: Callable[..., list[Any]] = JsonObjectSerializer.unserialize
    if hasattr(unserialize, "formlock_guards"):
        return

    def guarded(serializer: JsonObjectSerializer, payload: bytes) -> list[Any]:
        if deeper_than(MAX_MESSAGE_DEPTH, payload):
            raise ValueError("nested too deeply")
        return unserialize(serializer, payload)

    guarded.formlock_guards = unserialize  # type: ignore[attr-defined]
    JsonObjectSerializer.unserialize = guarded  # type: ignore[method-assign]
