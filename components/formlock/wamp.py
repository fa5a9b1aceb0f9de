"""The base of all our sessions: everything that Autobahn and Twisted need to be told, and the only file that corrects their types.

What it holds right, each with the trap that made it so (docs/explanation/traps.md):

- a handler goes on when its caller leaves in mid-call;
- a call whose caller is unknown is refused;
- what a caller sends can never become a Python keyword of a function that is not ours;
- nothing escapes a handler: callers get one of our errors, the log gets the reason;
- a session that can't start says so and ends, so that its supervisor starts it again.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from autobahn.exception import Disconnected
from autobahn.twisted.wamp import ApplicationSession
from autobahn.wamp import message
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.types import (
    CallDetails,
    ComponentConfig,
    PublishOptions,
    RegisterOptions,
    SubscribeOptions,
)
from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from txaio import make_logger  # type: ignore[attr-defined]

from formlock.claims import Claims, from_extra
from formlock.clock import Settled, Timer
from formlock.errors import FormLockError, InvalidArgument, NotActive
from formlock.uris import DEFAULT_PREFIX, Uris

# A dependency of Crossbar raises the limit to 100,000 while it is imported. With that, 20 kB of "[[[[" from a browser kills the
# process (signal 11) or freezes it in error formatting.
RECURSION_LIMIT = 1_000

# An empty or cut-off file must not become a password that is easy to guess.
MIN_SECRET_LENGTH = 32

# Of the file in the credentials folder; backends verify receipts with it.
RECEIPT_KEY = "receipts"
# The same for the key that applications sign their requests over plain HTTP with (plain.py).
HTTP_KEY = "http"

LISTENING_WITHIN_S = 30

_log = make_logger()

reactor = cast("Any", _reactor)


def cap_recursion() -> None:
    """Take back what Crossbar's dependencies did to the interpreter's recursion limit."""
    sys.setrecursionlimit(RECURSION_LIMIT)


def collect_garbage() -> None:
    """From now on, where startup/sitecustomize.py has turned it off for the imports; what they made is never looked at again."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


@dataclass(frozen=True, slots=True)
class Call:
    """One invocation: what was sent, and by which session."""

    procedure: str
    args: list[Any]
    kwargs: dict[str, Any]
    caller: int

    def arguments(self) -> dict[str, Any]:
        """By name. The form may be the first positional argument, alone or, as the article sends it, in an object."""
        if len(self.args) > 1:
            raise InvalidArgument(argument="args")
        if not self.args:
            return self.kwargs
        first = self.args[0]
        given = first if isinstance(first, dict) else {"form": first}
        if not given.keys().isdisjoint(self.kwargs):
            raise InvalidArgument(argument="args")
        return {**given, **self.kwargs}


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a subscription."""

    args: list[Any]
    kwargs: dict[str, Any]


class Denied(ApplicationError):
    """What an authenticator raises: the sentence is told to whoever is at the door."""

    def __init__(self, sentence: str) -> None:
        super().__init__(ApplicationError.AUTHENTICATION_FAILED, sentence)  # type: ignore[no-untyped-call]


class Session(ApplicationSession):
    """A component of ours. Subclasses implement `started` and, to clean up, `ended`.

    `config.extra` (all optional): `prefix`; `authid` and `credentials` (the folder with its ticket) to log in with; `router_socket`,
    for containers that start beside their router. What starts a component (a container, the router worker, `worker.py`) makes no
    other difference to it.
    """

    log = make_logger()

    def __init__(self, config: ComponentConfig) -> None:
        super().__init__(config)
        cap_recursion()
        collect_garbage()
        self.extra: dict[str, Any] = dict(config.extra or {})
        self.uris = Uris(self.extra.get("prefix", DEFAULT_PREFIX))

    @classmethod
    def check_config(cls, personality: object, extra: dict[str, Any]) -> None:  # noqa: ARG003 (Crossbar passes it)
        """Crossbar's and the worker's hook: raise ValueError, with a sentence, for a configuration that can never work.

        Also the last that Crossbar asks before it connects a container's component, which it tries only once: so here it waits.
        """
        if "router_socket" in extra:
            wait_until_listening(Path(extra["cbdir"]) / extra["router_socket"])

    async def started(self) -> None:
        """Subscribe, then register. Returning means that calls are answered."""
        raise NotImplementedError

    async def ended(self) -> None:
        """The session is gone: stop timers, close stores."""

    def folder(self, name: str = ".") -> Path:
        """A path of the configuration, relative to the node's folder."""
        return Path(self.extra.get("cbdir", ".")) / name

    # -- Autobahn's hooks

    def onConnect(self) -> None:  # noqa: N802
        authid = self.extra.get("authid")
        if authid is None:
            self.join(self.config.realm)
        else:
            self.join(self.config.realm, authmethods=["ticket"], authid=authid)

    def onChallenge(self, challenge: object) -> str:  # noqa: ARG002, N802
        return read_credential(self.folder(self.extra.get("credentials", "credentials")), self.extra["authid"])

    def onJoin(self, details: object) -> Deferred[None]:  # noqa: ARG002, N802
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        try:
            await self.started()
        except Exception as error:  # noqa: BLE001 (whatever it is, a session that can't start must not stay half started)
            log_failure("component.start_failed", Failure(), component=type(self).__name__, why=error)
            if self.is_attached():
                self.leave()

    def onDisconnect(self) -> None:  # noqa: N802
        # Autobahn's own raises TransportLost at whatever still waits for an answer.
        super().onDisconnect()
        Deferred.fromCoroutine(self.ended()).addErrback(self._failed)

    def onUserError(self, fail: Failure, msg: object) -> None:  # noqa: ARG002, N802
        # Refusals are answers, and a caller that has left is cancelled by Autobahn: no faults. Real ones are logged by `_answer`.
        if fail.check(ApplicationError, CancelledError) is None:
            self._failed(fail)

    def onMessage(self, msg: Any) -> None:  # noqa: N802
        # Autobahn hands a caller's keywords to functions of its own as keywords (`txaio.as_future(fun, ...)`): a call with a
        # keyword named `fun` raised inside it and closed the whole session. Packed here, they are plain values.
        if isinstance(msg, (message.Invocation, message.Event)):
            msg.args = [list(msg.args or []), dict(msg.kwargs or {})]
            msg.kwargs = None
        super().onMessage(msg)

    # -- what subclasses use

    async def answer(self, procedure: str, handler: Callable[[Call], Awaitable[Any]], match: str | None = None) -> None:
        """Register a procedure. The handler returns the answer or raises a FormLockError."""

        def invoked(args: list[Any], kwargs: dict[str, Any], details: CallDetails) -> Deferred[Any]:
            # Autobahn cancels what we return here when the caller leaves, which is every `unlock` of a closing page; the work
            # itself is another Deferred, so it goes on.
            answer: Deferred[Any] = Deferred()
            caller: int | None = details.caller
            if caller is None:
                answer.errback(self._application_error(NotActive()))
                return answer
            call = Call(cast("str", details.procedure), args, kwargs, caller)
            work = Deferred.fromCoroutine(self._answer(handler, call))
            work.addCallbacks(answer.callback, answer.errback)
            return answer

        options = RegisterOptions(match=match, details_arg="details")
        await cast("Awaitable[Any]", self.register(invoked, procedure, options))

    async def hear(self, topic: str, handler: Callable[[Event], Awaitable[None] | None], match: str | None = None) -> None:
        """Subscribe; an error in the handler is logged and goes no further."""

        def received(args: list[Any], kwargs: dict[str, Any]) -> None:
            try:
                work = handler(Event(args, kwargs))
                if work is not None:
                    Deferred.fromCoroutine(cast("Coroutine[Any, Any, None]", work)).addErrback(self._failed)
            except Exception:  # noqa: BLE001 (Crossbar closes an embedded component that lets one out)
                log_failure("event.failed", Failure(), topic=topic)

        await cast("Awaitable[Any]", self.subscribe(received, topic, SubscribeOptions(match=match)))

    def tell(
        self,
        topic: str,
        facts: Mapping[str, Any],
        *,
        exclude: int | None = None,
        only: int | None = None,
    ) -> None:
        """Publish without waiting. A router that is away is no error here: its clients ask for the state when they are back."""
        options = PublishOptions(exclude=[exclude] if exclude is not None else None, eligible=[only] if only is not None else None)
        try:
            self.publish(topic, options=options, **facts)
        except (TransportLost, Disconnected):
            self.log.info("{line}", line=line("publish.lost", topic=topic))

    async def tell_confirmed(self, topic: str, facts: Mapping[str, Any]) -> None:
        """Publish and wait until the router has it; raises what Autobahn raises when it does not get it."""
        await cast("Awaitable[Any]", self.publish(topic, options=PublishOptions(acknowledge=True), **facts))

    async def ask(self, procedure: str, *args: Any, **kwargs: Any) -> Any:
        """Call another component or the router."""
        return await cast("Awaitable[Any]", self.call(procedure, *args, **kwargs))

    def note(self, verb: str, **facts: object) -> None:
        """One log line, key=value, the verb first."""
        self.log.info("{line}", line=line(verb, **facts))

    def warn(self, verb: str, **facts: object) -> None:
        """As `note`, for what an operator should look at."""
        self.log.warn("{line}", line=line(verb, **facts))

    def fault(self, verb: str, **facts: object) -> None:
        """As `warn`, for what is wrong and stays so until somebody puts it right."""
        self.log.error("{line}", line=line(verb, **facts))

    def embedding_router(self) -> Any:
        """Crossbar's router object, for a component that runs inside the router worker."""
        return cast("Any", self._transport)._router

    # -- inside

    async def _answer(self, handler: Callable[[Call], Awaitable[Any]], call: Call) -> Any:
        try:
            return await handler(call)
        except FormLockError as error:
            raise self._application_error(error) from None
        except Denied:
            raise
        except Exception:  # noqa: BLE001 (no Python text ever leaves the process)
            log_failure("call.failed", Failure(), procedure=call.procedure)
            raise self._application_error(NotActive()) from None

    def _application_error(self, error: FormLockError) -> ApplicationError:
        return ApplicationError(self.uris.error(error.name), error.message, **error.facts)

    def _failed(self, fail: Failure) -> None:
        log_failure("component.failed", fail, component=type(self).__name__)


class ClaimsBook:
    """The claims of the living sessions: told by `wamp.session.on_join`, asked for once where that was missed.

    Never fetched for all at once: after a restart with 10,000 sessions that would be 5 s of router time before the first answer.
    """

    def __init__(self, session: Session, internal: Mapping[str, Claims] | None = None) -> None:
        """`internal`: the claims of our own components that call others, by the role that the router gave them."""
        self._session = session
        self._internal = dict(internal or {})
        self._known: dict[int, Claims] = {}

    def joined(self, details: Mapping[str, Any]) -> None:
        """From `wamp.session.on_join`; sessions without claims (the router's own, other components) are none of ours."""
        try:
            self._known[details["session"]] = from_extra(details.get("authextra"))
        except (KeyError, ValueError):
            return

    def left(self, session: int) -> None:
        """From `wamp.session.on_leave`."""
        self._known.pop(session, None)

    async def of(self, session: int) -> Claims:
        """The claims of a caller; NotActive if the router no longer knows it."""
        known = self._known.get(session)
        if known is not None:
            return known
        try:
            details = await self._session.ask("wamp.session.get", session)
        except ApplicationError:
            raise NotActive from None
        try:
            claims = self._internal.get(details.get("authrole")) or from_extra(details.get("authextra"))
        except ValueError:
            raise NotActive from None
        self._known[session] = claims
        return claims


class TwistedPromise(Settled):
    """`clock.Promise` on Deferreds; one for each that waits, since Twisted gives a Deferred's result to the first only."""

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self._kept:
            deferred: Deferred[None] = Deferred()
            self._waiting.append(lambda: deferred.callback(None))
            yield from deferred.__await__()
        return self._result()


class TwistedClock:
    """`clock.Clock` on the reactor."""

    def now(self) -> int:
        """Monotonic milliseconds."""
        return time.monotonic_ns() // 1_000_000

    def wall(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def later(self, delay_ms: int, call: Callable[[], None]) -> Timer:
        """Call once after the delay."""
        return _ReactorTimer(reactor.callLater(max(0, delay_ms) / 1000, call))

    def promise(self) -> TwistedPromise:
        """A new empty promise."""
        return TwistedPromise()

    def from_thread(self, call: Callable[[], None]) -> None:
        """Call soon on the reactor's thread."""
        reactor.callFromThread(call)

    def start(self, work: Awaitable[None]) -> None:
        """Run beside whatever runs now."""
        Deferred.fromCoroutine(cast("Coroutine[Any, Any, None]", work)).addErrback(
            lambda fail: log_failure("background.failed", fail)
        )


class _ReactorTimer:
    def __init__(self, delayed: Any) -> None:
        self._delayed = delayed

    def cancel(self) -> None:
        if self._delayed.active():
            self._delayed.cancel()


def line(verb: str, **facts: object) -> str:
    """`lock.granted form=... user=...`; a value with a space, a quote or a line end is JSON, so that a line stays a line."""
    parts = [verb]
    for key, value in facts.items():
        text = str(value)
        if not text or not text.isprintable() or any(character in text for character in ' "='):
            text = json.dumps(text)
        parts.append(f"{key}={text}")
    return " ".join(parts)


def wait_until_listening(path: Path) -> None:
    """Block until somebody accepts connections there; TimeoutError after half a minute. For a worker with nothing else to do yet."""
    # The reactor, whose way of ending us needs its turn, stands still meanwhile: a signal to end counts at once.
    ending = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        limit = time.monotonic() + LISTENING_WITHIN_S
        while time.monotonic() < limit:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                if probe.connect_ex(str(path)) == 0:
                    return
            time.sleep(0.02)
        raise TimeoutError(f"no router listens on {path}")
    finally:
        signal.signal(signal.SIGTERM, ending)


def log_failure(verb: str, fail: Failure, **facts: object) -> None:
    """A line that says why, and the traceback behind it. (txaio's own `failure` leaves it out when given a format.)"""
    facts.setdefault("why", fail.getErrorMessage())
    _log.error("{line}\n{traceback}", line=line(verb, error=type(fail.value).__name__, **facts), traceback=fail.getTraceback())


def read_credential(folder: Path, name: str) -> str:
    """An internal component's ticket: the environment's FORMLOCK_TICKET_<NAME>, else the file that the router worker made."""
    return _read_secret(f"FORMLOCK_TICKET_{name.upper()}", folder / name)


def read_receipt_key(folder: Path) -> str:
    """The key that receipts are signed with: the environment's FORMLOCK_RECEIPT_KEY, else the file that the router worker made."""
    return _read_secret("FORMLOCK_RECEIPT_KEY", folder / RECEIPT_KEY)


def read_http_key(folder: Path) -> str:
    """The key of plain.py: the environment's FORMLOCK_HTTP_KEY, else the file that the router worker made."""
    return _read_secret("FORMLOCK_HTTP_KEY", folder / HTTP_KEY)


def _read_secret(variable: str, path: Path) -> str:
    found = os.environ.get(variable) or path.read_text(encoding="ascii").strip()
    if len(found) < MIN_SECRET_LENGTH:
        raise ValueError(
            f"the secret {path.name} has fewer than {MIN_SECRET_LENGTH} characters: delete its file, and a new one is made"
        )
    return found
