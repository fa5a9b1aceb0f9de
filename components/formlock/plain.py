"""Locks over plain HTTP, for pages without JavaScript or WebSocket: `lock`, `unlock` and `status` beside the browser package.

Embedded in the router worker. Each request becomes a session of its own with the claims of whom it speaks for, makes one call and
ends: guard, lock worker, rights and history see what they see of any page. What it gets is the deliberate long lock that there
is anyway (`until_ms`): it lives by its time alone, since there is no session to lose (docs/adr/0010).

- `lock` and `status` are the application's server's to ask, who says for which user: signed with the key `http`.
- `unlock` is anybody's who has the receipt: the page sends it with its last breath, when its socket is away.
"""

from __future__ import annotations

import json
import secrets
import time
from hmac import compare_digest
from typing import Annotated, Any, ClassVar, TypeVar, cast

import msgspec
from autobahn.exception import Disconnected
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.types import ComponentConfig
from msgspec import Meta, Struct
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from formlock.auth import BROWSER_ROLE
from formlock.claims import Claims, InvalidClaims, from_extra
from formlock.depth import deeper_than
from formlock.errors import FormLockError, InvalidArgument, NotActive
from formlock.wamp import Session, log_failure, reactor, read_http_key, read_receipt_key
from formlock.wire import MAX_NOTE_LENGTH, MAX_USER_LENGTH, Sessions
from formlock_push.plain_locks import SIGNATURE_HEADER, TIME_HEADER, signature
from formlock_push.verify import InvalidReceipt, Verifier

ROUTES = ("lock", "unlock", "status")
# How far the application's clock may be from ours; and for so long a copy of a request would be taken for another one.
SKEW_S = 60
MAX_BYTES = 16_384
MAX_DEPTH = 4
# The lock worker waits for a holder's sign of life.
ANSWER_WITHIN_S = 12
# Each is a session for as long as it lasts.
MAX_AT_ONCE = 50
# What a request may do with the one form it is about, unless it says so itself.
RIGHTS = ("view", "lock", "reserve")
HEADERS = {b"content-type": b"application/json", b"cache-control": b"no-store", b"x-content-type-options": b"nosniff"}
STATUS = {
    "not_allowed": 403, "invalid_form": 400, "invalid_argument": 400, "wrong_method": 404, "too_many": 503, "not_active": 503,
}  # fmt: skip
CONFLICT = 409

Text = Annotated[str, Meta(max_length=1_000)]


class LockBody(Struct, forbid_unknown_fields=True):
    """Of `lock`. `rid` names the attempt: a copy of the request never starts another. `until_ms`: for how long."""

    form: Text
    user: Annotated[str, Meta(min_length=1, max_length=MAX_USER_LENGTH)]
    rid: Text
    until_ms: Annotated[int, Meta(ge=1)]
    name: Text | None = None
    tab: Text | None = None
    note: Annotated[str, Meta(max_length=MAX_NOTE_LENGTH)] = ""
    rights: list[Text] | None = None


class UnlockBody(Struct, forbid_unknown_fields=True):
    """Of `unlock`. `leaving`: the page may come back in a moment, as at a reload. `sessions`: those of the page that leaves."""

    form: Text
    receipt: Annotated[str, Meta(max_length=2_000)]
    leaving: bool = False
    sessions: Sessions = []


class Unsigned(Exception):
    """Not sent by whoever has the key, or the receipt is none. The sentence is for whoever asked."""


class PlainComponent(Session):
    """`extra`: `credentials`, the folder with the keys. Crossbar starts it; the routes find it by `running`."""

    running: ClassVar[PlainComponent | None] = None

    async def started(self) -> None:
        """The keys are there: the auth component has made them."""
        folder = self.folder(self.extra.get("credentials", "credentials"))
        self._key, self._receipts = read_http_key(folder), Verifier(read_receipt_key(folder))
        self._visits = 0
        PlainComponent.running = self

    async def ended(self) -> None:
        """The router worker is shutting down."""
        PlainComponent.running = None

    async def lock(self, body: bytes, moment: str | None, mark: str | None) -> Any:
        """For the user that the application names."""
        self._check("lock", body, moment, mark)
        asked = _read(body, LockBody)
        tab = asked.tab or secrets.token_urlsafe(16)
        claims = self._claims(asked.form, asked.user, asked.name or asked.user, asked.rights)
        arguments = {"form": asked.form, "tab": tab, "note": asked.note, "rid": asked.rid, "until_ms": asked.until_ms}
        return {**await self._visit(claims, "lock", arguments), "tab": tab}

    async def unlock(self, body: bytes) -> Any:
        """For whoever the receipt was given to."""
        asked = _read(body, UnlockBody)
        try:
            receipt = self._receipts.verify(asked.receipt, form=asked.form)
        except InvalidReceipt as error:
            raise Unsigned(str(error)) from None
        claims = self._claims(asked.form, receipt.user, receipt.user, None)
        facts = {
            "form": asked.form,
            "token": receipt.token,
            "tab": receipt.tab,
            "leaving": asked.leaving,
            "sessions": asked.sessions,
        }
        return await self._visit(claims, "unlock", facts)

    async def status(self, form: str, user: str, query: bytes, moment: str | None, mark: str | None) -> Any:
        """What a user may see of a form."""
        self._check("status", query, moment, mark)
        return await self._visit(self._claims(form, user, user, None), "status", {"form": form})

    def _check(self, route: str, signed: bytes, moment: str | None, mark: str | None) -> None:
        """Raises Unsigned. All is looked at before anything is said, and the same is said of all."""
        given = moment if moment is not None and moment.isascii() and moment.isdecimal() and len(moment) <= 12 else "0"
        right = compare_digest(signature(self._key, given, route, signed).encode(), (mark or "").lower().encode())
        if not right or abs(time.time() - int(given)) > SKEW_S:
            self.note("plain.refused", route=route)
            raise Unsigned("This was not signed with the key of this node, or more than a minute ago")

    def _claims(self, topic: str, user: str, name: str, rights: list[str] | None) -> Claims:
        """No more than the one form that it is about."""
        form = self.uris.form(topic)
        try:
            return from_extra({"user": user, "name": name, "rights": {str(form): list(RIGHTS) if rights is None else rights}})
        except InvalidClaims:
            raise InvalidArgument(argument="user") from None

    async def _visit(self, claims: Claims, name: str, arguments: dict[str, Any]) -> Any:
        if self._visits >= MAX_AT_ONCE:
            raise NotActive
        self._visits += 1
        visitor = Visitor(ComponentConfig(realm=self.config.realm, extra={"prefix": self.uris.prefix}))
        try:
            visitor.enter(self.embedding_router(), claims)
            await visitor.inside
            call = Deferred.fromCoroutine(visitor.ask(self.uris.procedure(name), **arguments))
            return await call.addTimeout(ANSWER_WITHIN_S, reactor)
        except (TransportLost, Disconnected, DeferredTimeoutError):
            raise NotActive from None
        finally:
            self._visits -= 1
            if visitor.is_attached():
                visitor.leave()


class Visitor(Session):
    """A page's stand-in in the router: the claims of whom it speaks for, for one call."""

    def __init__(self, config: ComponentConfig) -> None:
        super().__init__(config)
        self.inside: Deferred[None] = Deferred()

    def enter(self, router: Any, claims: Claims) -> None:
        """Join, as what the authenticator would have let in."""
        # Of Crossbar's own module, which only a router worker has loaded.
        from crossbar.router.session import RouterApplicationSession

        RouterApplicationSession(self, router, claims.user, BROWSER_ROLE, claims.to_extra())

    async def started(self) -> None:
        """It may call now."""
        self.inside.callback(None)


class PlainRoute(Resource):
    """One of ROUTES: its method, its body or query, and what the component says to it, as JSON."""

    isLeaf = True  # noqa: N815

    def __init__(self, route: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._route = route

    def render(self, request: Request) -> Any:
        """GET for `status`, POST for what changes something."""
        method = b"GET" if self._route == "status" else b"POST"
        if request.method != method:
            request.setHeader(b"allow", method)
            return _written(request, 405, {"error": "wrong_method", "message": f"Send a {method.decode('ascii')} request"})
        Deferred.fromCoroutine(self._render(request)).addErrback(lambda fail: log_failure("plain.failed", fail))
        return NOT_DONE_YET

    async def _render(self, request: Request) -> None:
        left: list[Failure] = []
        request.notifyFinish().addErrback(left.append)
        code, said = await self._said(request)
        if not left:
            request.write(_written(request, code, said))
            request.finish()

    async def _said(self, request: Request) -> tuple[int, Any]:
        """Status and body."""
        try:
            return 200, await self._asked(request)
        except Unsigned as error:
            return 401, {"error": "unsigned", "message": str(error)}
        except FormLockError as error:
            return STATUS.get(error.name, CONFLICT), {**error.facts, "error": error.name, "message": error.message}
        except ApplicationError as error:
            name = str(error.error).rpartition(".")[2]
            facts, (sentence, *_) = error.kwargs or {}, error.args or ("It was refused",)
            return STATUS.get(name, CONFLICT), {**facts, "error": name, "message": sentence}
        except Exception:  # noqa: BLE001 (no Python text ever leaves the process)
            log_failure("plain.failed", Failure(), route=self._route)
            return 503, {"error": NotActive.name, "message": NotActive.sentence}

    async def _asked(self, request: Request) -> Any:
        component = PlainComponent.running
        if component is None:
            raise NotActive
        body = _body(request)
        proof = (_header(request, TIME_HEADER), _header(request, SIGNATURE_HEADER))
        match self._route:
            case "lock":
                return await component.lock(body, *proof)
            case "unlock":
                return await component.unlock(body)
            case _:
                query = request.uri.partition(b"?")[2]
                return await component.status(_one(request, b"form"), _one(request, b"user"), query, *proof)


T = TypeVar("T")


def _read(body: bytes, shape: type[T]) -> T:
    if deeper_than(MAX_DEPTH, body):
        raise InvalidArgument(argument="body")
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidArgument(argument="body") from None


def _body(request: Request) -> bytes:
    """Crossbar's web transport has read it whole before it looks for who answers."""
    if request.content is None:
        return b""
    request.content.seek(0)
    body = cast("bytes", request.content.read(MAX_BYTES + 1))
    if len(body) > MAX_BYTES:
        raise InvalidArgument(argument="body")
    return body


def _one(request: Request, name: bytes) -> str:
    values = cast("dict[bytes, list[bytes]]", request.args or {}).get(name, [])
    if len(values) != 1 or len(values[0]) > 1_000:
        raise InvalidArgument(argument=name.decode("ascii"))
    try:
        return values[0].decode()
    except UnicodeDecodeError:
        raise InvalidArgument(argument=name.decode("ascii")) from None


def _header(request: Request, name: str) -> str | None:
    value = request.getHeader(name)
    return value if value is not None and value.isascii() else None


def _written(request: Request, code: int, said: Any) -> bytes:
    body = json.dumps(said).encode()
    request.setResponseCode(code)
    for name, value in HEADERS.items():
        request.setHeader(name, value)
    if code == 503:
        request.setHeader(b"retry-after", b"1")
    return body
