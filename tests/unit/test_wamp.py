"""The base of our sessions, without a router: the shield, the unknown caller, and what a log line looks like."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_twisted
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import ComponentConfig
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from formlock.auth import make_credentials
from formlock.errors import FormLocked
from formlock.wamp import Call, ClaimsBook, Session, TwistedPromise, line, log_failure, read_credential


class Component(Session):
    """A session that keeps what it would register."""

    def __init__(self) -> None:
        super().__init__(ComponentConfig("formlock", {}))
        self.invoked: Any = None

    async def register(self, handler: Any, procedure: str, options: Any) -> None:  # type: ignore[override]
        self.invoked = handler


async def invoking(handler: Any, caller: int | None = 7) -> Deferred[Any]:
    component = Component()
    await component.answer("com.example.formlock.lock", handler)
    answer: Deferred[Any] = component.invoked([], {}, SimpleNamespace(caller=caller, procedure="p"))
    return answer


@pytest_twisted.ensureDeferred
async def test_work_goes_on_when_its_caller_leaves() -> None:
    """Cancelling what Autobahn holds (it does when a caller leaves in mid-call) stops nothing."""
    done: list[str] = []
    step: Deferred[None] = Deferred()

    async def handler(call: Call) -> None:
        await step
        done.append("stored")

    answer = await invoking(handler)
    answer.cancel()
    with pytest.raises(CancelledError):
        await answer
    step.callback(None)
    assert done == ["stored"]


@pytest_twisted.ensureDeferred
async def test_unknown_caller_is_refused() -> None:
    """A call whose caller has left already (None) is not carried out."""
    called: list[Call] = []

    async def handler(call: Call) -> None:
        called.append(call)

    with pytest.raises(ApplicationError, match="not_active"):
        await (await invoking(handler, caller=None))
    assert called == []


@pytest_twisted.ensureDeferred
async def test_refusals_carry_their_facts() -> None:
    async def handler(call: Call) -> None:
        raise FormLocked(form="f", status="locked")

    with pytest.raises(ApplicationError) as refused:
        await (await invoking(handler))
    assert refused.value.error == "com.example.formlock.error.form_locked"
    assert refused.value.args == ("Form was locked",)
    assert refused.value.kwargs == {"form": "f", "status": "locked"}


@pytest_twisted.ensureDeferred
async def test_no_python_text_leaves_the_process() -> None:
    """A bug of ours is `not_active` for the caller and a traceback for the log."""

    async def handler(call: Call) -> None:
        raise LookupError("/etc/secret/path")

    with pytest.raises(ApplicationError) as refused:
        await (await invoking(handler))
    assert refused.value.error.endswith("not_active")
    assert "secret" not in str(refused.value)


@pytest_twisted.ensureDeferred
async def test_claims_are_asked_for_once() -> None:
    """What on_join told is not asked for; what it did not, once; a session that is gone is NotActive."""
    asked: list[int] = []

    class Router:
        async def ask(self, procedure: str, session: int) -> dict[str, Any]:
            asked.append(session)
            if session == 3:
                raise ApplicationError("wamp.error.no_such_session")
            return {"authextra": {"user": "bob", "name": "Bob", "rights": {}}} if session == 2 else {"authextra": None}

    book = ClaimsBook(Router())  # type: ignore[arg-type]
    book.joined({"session": 1, "authextra": {"user": "ann", "name": "Ann", "rights": {"*": ["view"]}}})
    book.joined({"session": 9, "authextra": None})
    assert (await book.of(1)).user == "ann"
    assert [(await book.of(2)).user, (await book.of(2)).user] == ["bob", "bob"]
    assert asked == [2]
    for gone in (3, 4):
        with pytest.raises(Exception, match="not available"):
            await book.of(gone)
    book.left(1)
    with pytest.raises(Exception, match="not available"):
        await book.of(1)


@pytest_twisted.ensureDeferred
async def test_promise_for_several() -> None:
    """Everyone who waits for a promise gets its value; waiting for a kept one does not suspend."""
    promise = TwistedPromise()
    got: list[Any] = []

    async def wait() -> None:
        got.append(await promise)

    waiting = [Deferred.fromCoroutine(wait()) for _ in range(3)]
    promise.keep(5)
    promise.keep(6)
    for deferred in waiting:
        await deferred
    assert await promise == 5
    assert got == [5, 5, 5]


def test_log_lines_stay_lines() -> None:
    """key=value, one line, whatever a user is called."""
    assert line("lock.granted", form="invoice.42", user="ann", rev=3) == "lock.granted form=invoice.42 user=ann rev=3"
    assert line("x", user="Ann Weber", note='a"b', empty="") == 'x user="Ann Weber" note="a\\"b" empty=""'
    assert "\n" not in line("x", user="two\nlines\u2028")


def test_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the file, or from the environment, which wins; an empty or cut-off one is refused, not used as a password."""
    (tmp_path / "locks").write_text("f" * 43 + "\n")
    assert read_credential(tmp_path, "locks") == "f" * 43
    monkeypatch.setenv("FORMLOCK_TICKET_LOCKS", "e" * 43)
    assert read_credential(tmp_path, "locks") == "e" * 43
    (tmp_path / "bridge").write_text("")
    with pytest.raises(ValueError, match="fewer than 32 characters"):
        read_credential(tmp_path, "bridge")


def test_missing_credentials_are_made_once(tmp_path: Path) -> None:
    """What a crash left half made is made anew; what is there stays."""
    (tmp_path / ".locks.new").write_text("half")
    make_credentials(tmp_path)
    made = {name: read_credential(tmp_path, name) for name in ("locks", "bridge")}
    assert made["locks"] != made["bridge"]
    make_credentials(tmp_path)
    assert {name: read_credential(tmp_path, name) for name in made} == made
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bridge", "http", "locks", "receipts"]


def test_failures_say_why() -> None:
    """One line with the reason, and the traceback behind it."""
    lines: list[str] = []
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr("formlock.wamp._log", SimpleNamespace(error=lambda text, **facts: lines.append(text.format(**facts))))
    try:
        raise LookupError("no such table")
    except LookupError:
        log_failure("component.start_failed", Failure(), component="Locks")
    monkeypatch.undo()
    first, _, rest = lines[0].partition("\n")
    assert first == 'component.start_failed error=LookupError component=Locks why="no such table"'
    assert "Traceback" in rest
