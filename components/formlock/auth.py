"""The authenticator, embedded in the router worker: turns a HELLO into claims. Also answers calls that nobody else does.

Two ways in:

- `anonymous`, the development node only: the caller is who it says, with every right (claims.development);
- `ticket` for our own components: each has its own secret, made at the node's first start in the credentials folder (mode 0600),
  or given by the environment. The keys that receipts, and requests over plain HTTP, are signed with are made beside them.
"""

from __future__ import annotations

import os
import secrets
from hmac import compare_digest
from pathlib import Path
from typing import Any

from formlock.claims import InvalidClaims, development
from formlock.errors import NotActive, WrongMethod
from formlock.wamp import HTTP_KEY, RECEIPT_KEY, Call, Denied, Session, read_credential

BROWSER_ROLE = "browser"
COMPONENTS = ("locks", "bridge")

# A router takes 200-300 returning clients a second (docs/explanation/traps.md); as in the service's grace after a mass return.
RETURNS_PER_S = 150
# What clients spread over anyway.
LEAST_RETURN_MS = 300

# What the workers register under our prefix: while one is away, its callers are told to come back instead of "Wrong method".
PUBLISHED = frozenset(
    {
        "lock", "unlock", "renew", "takeover", "hand_over", "ask", "answer", "leave_queue", "status", "list", "history", "draft",
        "forget_draft", "updates", "locks",
    }
)  # fmt: skip


class AuthComponent(Session):
    """`extra`: `credentials` (folder, relative to the node's), `development` (true: `anonymous` may be anybody)."""

    async def started(self) -> None:
        """Make missing credentials, then answer."""
        self._credentials = self.folder(self.extra.get("credentials", "credentials"))
        make_credentials(self._credentials)
        self._development = self.extra.get("development") is True
        if self._development:
            self.warn("auth.development", warning="anybody may be anybody here: keep this node on loopback")
        await self.answer(self.uris.procedure("authenticate"), self._authenticate)
        # Exact registrations win over this prefix, so it hears only what no worker answers.
        await self.answer(self.uris.procedures, self._unanswered, match="prefix")

    async def _authenticate(self, call: Call) -> dict[str, Any]:
        realm, authid, details = call.args
        method = details.get("authmethod")
        if method == "ticket":
            return {"realm": realm, "role": self._component(authid, details.get("ticket"))}
        if method == "anonymous" and self._development:
            try:
                claims = development(details.get("authextra"), guest=f"guest-{secrets.token_hex(3)}")
            except InvalidClaims as error:
                raise Denied(str(error)) from None
            return {"realm": realm, "authid": claims.user, "role": BROWSER_ROLE, "extra": {**claims.to_extra(), **self._spread()}}
        raise Denied("this node does not know that way to log in")

    def _spread(self) -> dict[str, int]:
        return spread(self.embedding_router()._attached)

    def _component(self, authid: object, ticket: object) -> str:
        if isinstance(authid, str) and authid in COMPONENTS and isinstance(ticket, str):
            expected = read_credential(self._credentials, authid)
            if compare_digest(ticket.encode(), expected.encode()):
                return authid
        self.warn("auth.refused", authid=authid)
        raise Denied("unknown component or wrong ticket")

    async def _unanswered(self, call: Call) -> None:
        name = call.procedure.removeprefix(self.uris.procedures)
        if name in PUBLISHED:
            raise NotActive
        # What can't be shown can't be sent back either: half a surrogate pair would leave the caller without an answer.
        raise WrongMethod(procedure=call.procedure[:200] if call.procedure.isprintable() else "")


def spread(sessions: int) -> dict[str, int]:
    """Over how many milliseconds clients shall come back after a loss, with so many sessions here; nothing for few."""
    return_ms = sessions * 1000 // RETURNS_PER_S
    return {"return_ms": return_ms} if return_ms > LEAST_RETURN_MS else {}


def make_credentials(folder: Path) -> None:
    """A random secret for each of our components and for each key, where there is none; whole or not at all, whatever happens."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (*COMPONENTS, RECEIPT_KEY, HTTP_KEY):
        path = folder / name
        if not path.exists():
            new = folder / f".{name}.new"
            new.unlink(missing_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(32))
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
