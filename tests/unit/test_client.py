"""The client for scripts against a router that loses what it is told to lose."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from formlock import held as held_module
from formlock import line as line_module
from formlock.client import Asker, Client, FormLocked, InvalidArgument, InvalidForm, Lost, NotActive, NotAllowed, TooMany, hold
from formlock.errors import FormLockError, NotHolder
from formlock.wamp_client import LineLost, Session
from tests.support.fake_router import SILENCE, FakeRouter
from tests.support.node import ROOT, free_port

FORM, OTHER = "com.example.form.invoice.42", "com.example.form.invoice.43"
EPOCH = "e1"


class Service:
    """As much of the lock service as one script meets: grants everything, and forgets a token when told to."""

    def __init__(self, router: FakeRouter) -> None:
        self.router = router
        self.token = 10
        self.rev = 1
        self.lease_ms = 60_000
        self.renew_ms = 20_000
        self.silence_ms = 10_000
        self.lost: set[int] = set()
        self.ending: dict[str, Any] = {}
        router.procedures |= {"lock": self.lock, "renew": self.renew, "unlock": self.unlock, "answer": self.unlock}

    def yours(self, form: str, token: int, event: str = "lock") -> dict[str, Any]:
        facts = {"event": event, "form": form, "token": token, "epoch": EPOCH, "rev": self.rev, "receipt": f"receipt-{token}"}
        return {**facts, "lease_ms": self.lease_ms, "renew_ms": self.renew_ms, "silence_ms": self.silence_ms}

    def lock(self, facts: dict[str, Any]) -> Any:
        if "forms" in facts:
            return {"event": "lock", "locks": [self.yours(form, self.token + at) for at, form in enumerate(sorted(facts["forms"]))]}
        return self.yours(facts["form"], self.token)

    def renew(self, facts: dict[str, Any]) -> Any:
        return {
            "locks": [
                {"event": "lost", "form": held["form"], "holder": {"user": "bob", "name": "Bob"}, **self.ending}
                if held["token"] in self.lost
                else self.yours(held["form"], held["token"], "renewed")
                for held in facts["locks"]
            ]
        }

    def unlock(self, facts: dict[str, Any]) -> Any:
        return {"event": "released", "form": facts["form"], "rev": self.rev}

    def tell(self, status: str, token: int | None = None, **facts: Any) -> None:
        state = "free" if token is None else "held"
        self.rev += 1
        told = {"status": status, "state": state, "token": token or self.token, "epoch": EPOCH, "rev": self.rev, **facts}
        self.router.publish(FORM, **told)


@pytest.fixture
def router() -> Iterator[FakeRouter]:
    router = FakeRouter()
    yield router
    router.stop()


@pytest.fixture
def service(router: FakeRouter) -> Service:
    return Service(router)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again soon. No call is made again because the machine had other work."""
    monkeypatch.setattr(held_module, "RETRY_MS", 50)
    monkeypatch.setattr(line_module, "CALL_WITHIN_S", 20.0)
    monkeypatch.setattr(held_module, "CALL_WITHIN_S", 20.0)


@pytest.fixture
def impatient(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not answered is asked again soon, for tests that lose answers."""
    monkeypatch.setattr(line_module, "CALL_WITHIN_S", 0.3)
    monkeypatch.setattr(held_module, "CALL_WITHIN_S", 0.3)


def eventually(fulfilled: Any, within_s: float = 10) -> None:
    limit = time.monotonic() + within_s
    while not fulfilled():
        assert time.monotonic() < limit
        time.sleep(0.005)


def calls(router: FakeRouter, name: str) -> list[dict[str, Any]]:
    return [facts for called, facts in router.calls if called == name]


def test_held_and_given_back(router: FakeRouter, service: Service) -> None:
    """U22: a script says that it is a machine, has token and receipt, and gives the form back at the block's end."""
    with hold(FORM, user="import", name="Nightly import", url=router.url, note="invoices") as held:
        held.check()
        assert (held.token, held.receipt, held.lost) == (10, "receipt-10", False)
    (locked,) = calls(router, "lock")
    assert (locked["form"], locked["machine"], locked["note"], locked["wait"]) == (FORM, True, "invoices", False)
    assert calls(router, "unlock") == [{"form": FORM, "token": 10, "tab": locked["tab"]}]
    assert router.hellos[0]["authextra"] == {"user": "import", "name": "Nightly import"}
    with pytest.raises(NotHolder):
        held.check()
    router.wait_for(lambda: router.lines == 0)


def test_an_exception_gives_back_too(router: FakeRouter, service: Service) -> None:
    """Whatever leaves the block, the form is free, and what left it is what the caller sees."""
    with pytest.raises(ZeroDivisionError), hold(FORM, user="import", url=router.url):
        raise ZeroDivisionError
    assert router.count("unlock") == 1


def test_taken_over(router: FakeRouter, service: Service) -> None:
    """U14, U19: as soon as the takeover is told, `check` raises, with who and why; and so does leaving the block."""
    seen: list[Lost] = []
    with pytest.raises(Lost), hold(FORM, user="import", url=router.url) as held:  # noqa: PT012
        service.tell("takeover", by={"user": "bob", "name": "Bob"}, reason="customer on the phone")
        eventually(lambda: held.lost)
        try:
            held.check()
        except Lost as error:
            seen.append(error)
    facts = {"form": FORM, "holder": {"user": "bob", "name": "Bob"}, "cause": "takeover", "reason": "customer on the phone"}
    assert seen[0].facts == {**facts, "by": {"user": "bob", "name": "Bob"}}


def test_the_end_of_the_block_asks_once_more(router: FakeRouter, service: Service) -> None:
    """A block that ends without Lost had its form all the time: what no event told is asked for."""
    with pytest.raises(Lost) as lost, hold(FORM, user="import", url=router.url) as held:  # noqa: PT012
        service.lost.add(10)
        held.check()
    assert lost.value.facts == {"form": FORM, "holder": {"user": "bob", "name": "Bob"}}


def test_an_answer_says_how_it_was_lost(router: FakeRouter, service: Service) -> None:
    """What no event told, the service still knows: who took over, why, and when."""
    service.ending = {"cause": "takeover", "by": {"user": "bob", "name": "Bob"}, "reason": "month end", "ended_ms": 180_000}
    with pytest.raises(Lost) as lost, hold(FORM, user="import", url=router.url):
        service.lost.add(10)
    assert lost.value.facts == {"form": FORM, "holder": {"user": "bob", "name": "Bob"}, **service.ending}


def test_events_of_before_the_grant_take_nothing(router: FakeRouter, service: Service) -> None:
    """What was told late, of a rev that the grant is newer than, is no loss; nor is news of what is still ours."""
    service.rev = 5
    with hold(FORM, user="import", url=router.url) as held:
        router.publish(FORM, status="released", state="free", token=9, epoch=EPOCH, rev=4)
        router.publish(FORM, status="queued", state="held", token=10, epoch=EPOCH, rev=6, waiters=[{"number": 1}])
        eventually(lambda: held.waiting == 1)
        held.check()


def test_taken_over_before_the_answer_is_read(router: FakeRouter, service: Service) -> None:
    """What is told of the form before the script knows its grant counts, too."""

    def lock(facts: dict[str, Any]) -> Any:
        answer = service.lock(facts)
        service.tell("takeover", by={"user": "bob", "name": "Bob"}, reason="")
        return answer

    router.procedures["lock"] = lock
    with pytest.raises(Lost), hold(FORM, user="import", url=router.url) as held:  # noqa: PT012
        held.check()
        pytest.fail("it was lost before it was known")


def test_renewed_by_itself(router: FakeRouter, service: Service) -> None:
    """The lease is renewed in the background, by all tokens at once, and the newest receipt is there."""
    service.renew_ms = 60
    with hold([FORM, OTHER], user="import", url=router.url) as held:
        router.wait_for(lambda: router.count("renew") >= 3)
        assert held.tokens == {FORM: 10, OTHER: 11}
        assert held.receipts == {FORM: "receipt-10", OTHER: "receipt-11"}
        with pytest.raises(ValueError, match="unpack"):
            _ = held.token
    assert calls(router, "renew")[0]["locks"] == [{"form": FORM, "token": 10}, {"form": OTHER, "token": 11}]
    assert {facts["form"] for facts in calls(router, "unlock")} == {FORM, OTHER}


def test_a_probe_is_answered_at_once(router: FakeRouter, service: Service) -> None:
    """The service asks for a sign of life; a script that works is alive."""
    with hold(FORM, user="import", url=router.url):
        assert router.count("renew") == 0
        router.publish(FORM, status="probe", state="held", token=10, epoch=EPOCH, rev=service.rev)
        router.wait_for(lambda: router.count("renew") >= 1)


def test_gives_up_by_its_own_clock(router: FakeRouter, service: Service, impatient: None) -> None:
    """U7: without an answer the script gives up first: the lease counts from when it asked, by a clock that goes on in sleep."""
    now = [1_000]
    service.silence_ms = 2 * service.lease_ms
    router.procedures["renew"] = lambda facts: SILENCE
    with (  # noqa: PT012
        Client(router.url, user="import", clock=lambda: now[0]) as client,
        pytest.raises(Lost),
        client.hold(FORM) as held,
    ):
        now[0] += service.lease_ms - 1
        held.check()
        now[0] += 1
        with pytest.raises(Lost) as lost:
            held.check()
        assert lost.value.facts["cause"] == "not_renewed"
        # Lost is lost, whatever comes after.
        router.procedures["renew"] = service.renew
        now[0] -= 10_000
        held.check()


def test_a_silent_line_is_not_believed(router: FakeRouter, service: Service, impatient: None) -> None:
    """U3: a line that swallows everything looks open. After so much silence the form may be somebody else's, long before the lease
    ends: from then on, and counted from the sending of what was last answered, a check waits for a proof."""
    now = [1_000]
    router.procedures |= {"renew": lambda facts: SILENCE, "alive": lambda facts: SILENCE}
    with Client(router.url, user="import", clock=lambda: now[0]) as client, client.hold(FORM) as held:
        now[0] += service.silence_ms - held_module.LATE_MS - 1
        held.check()
        assert not held.in_doubt
        now[0] += 1
        assert held.in_doubt
        assert not held.lost
        checking = threading.Thread(target=held.check)
        checking.start()
        router.wait_for(lambda: router.count("renew") >= 1)
        assert checking.is_alive()
        router.procedures["renew"] = service.renew
        # The renewal of before is given up by the same clock, and another one is sent.
        now[0] += 1_000
        checking.join(10)
        assert not checking.is_alive()
        assert not held.in_doubt


def test_a_line_that_gives_signs_of_life_is_believed(router: FakeRouter, service: Service) -> None:
    """U3: a script tries its line, at no cost to the service, as often as it has to: any answer is a sign of life."""
    now = [1_000]
    with Client(router.url, user="import", clock=lambda: now[0]) as client, client.hold(FORM) as held:
        for _ in range(3):
            now[0] += service.silence_ms // held_module.SIGNS + 1_000
            eventually(lambda: router.calls[-1] == ("alive", {}) and client._line.session.alive_at == now[0])  # type: ignore[union-attr]
        held.check()
        assert not held.in_doubt
        assert router.count("renew") == 0


def test_behind_a_probe_only_a_renewal_counts(router: FakeRouter, service: Service, impatient: None) -> None:
    """U3: the service has asked for a renewal, and counts from there; that the router answers is no sign of life for it."""
    now = [1_000]
    router.procedures["renew"] = lambda facts: SILENCE
    with Client(router.url, user="import", clock=lambda: now[0]) as client, client.hold(FORM) as held:
        router.publish(FORM, status="probe", state="held", token=10, epoch=EPOCH, rev=service.rev)
        router.wait_for(lambda: router.count("renew") >= 1)
        now[0] += service.silence_ms - held_module.LATE_MS
        eventually(lambda: client._line.session.alive_at == now[0])  # type: ignore[union-attr]
        assert held.in_doubt
        router.procedures["renew"] = service.renew
        now[0] += 1_000
        held.check()


def test_in_doubt_for_as_long_as_the_lease(router: FakeRouter, service: Service) -> None:
    """A line that does not come back: the check waits as long as the own lease lasts, and then the form is lost."""
    service.lease_ms = 1_000
    with pytest.raises(Lost) as lost, hold(FORM, user="import", url=router.url) as held:  # noqa: PT012
        router.stop()
        eventually(lambda: held.in_doubt or held.lost)
        held.check()
        pytest.fail("nothing was proved")
    assert lost.value.facts["cause"] == "not_renewed"


def test_a_process_that_stood_still(router: FakeRouter, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """U7: after a stop or a sleep nothing is believed until it is proved, though no line has broken."""
    with pytest.raises(Lost), hold(FORM, user="import", url=router.url) as held:  # noqa: PT012
        service.lost.add(10)
        held.check()
        real = line_module.now_ms
        monkeypatch.setattr(line_module, "now_ms", lambda: real() + line_module.STOOD_STILL_MS + 1_000)
        held.check()
        pytest.fail("it was lost, and the check was to ask for that")


def test_lost_answers_are_asked_for_again(router: FakeRouter, service: Service, impatient: None) -> None:
    """An answer that never comes costs a second try of the same attempt: the same rid, so that it is the same grant."""
    first = [SILENCE]
    router.procedures["lock"] = lambda facts: first.pop() if first else service.lock(facts)
    with hold(FORM, user="import", url=router.url) as held:
        assert held.token == 10
    assert len({facts["rid"] for facts in calls(router, "lock")}) == 1
    # More often, when the machine lost some as well.
    assert router.count("lock") >= 2


def test_the_lease_counts_from_the_try_that_was_answered(router: FakeRouter, service: Service, impatient: None) -> None:
    """Tries that were not answered do not make the lease look older than it is."""
    now = [1_000]

    def late(facts: dict[str, Any]) -> Any:
        if router.count("lock") == 1:
            now[0] += 70_000
            return SILENCE
        return service.lock(facts)

    router.procedures["lock"] = late
    with Client(router.url, user="import", clock=lambda: now[0]) as client, client.hold(FORM) as held:
        held.check()


def test_a_broken_line_is_mended(router: FakeRouter, service: Service) -> None:
    """U9: the next session proves the same token for the same tab, and hears the form's events again."""
    with hold(FORM, user="import", url=router.url) as held:
        router.cut()
        router.wait_for(lambda: router.count("renew") >= 1)
        assert calls(router, "renew")[0]["tab"] == calls(router, "lock")[0]["tab"]
        held.check()
        service.tell("asked", 10, asks=[{"number": 1, "user": "bob", "name": "Bob", "note": "please"}])
        eventually(lambda: held.asked)
        assert held.asked == (Asker("bob", "Bob", "please"),)


def test_a_router_that_comes_back(router: FakeRouter, service: Service) -> None:
    """U2: away and started again on the same port: until the token is proved a check waits, and then the script goes on with it."""
    with hold(FORM, user="import", url=router.url) as held:
        router.stop()
        eventually(lambda: held.in_doubt)
        assert not held.lost
        starting = threading.Timer(0.3, router.start)
        starting.start()
        held.check()
        assert router.count("renew") >= 1
        assert not held.in_doubt
        starting.join()
    assert router.count("unlock") == 1


def test_lost_while_the_line_was_down(router: FakeRouter, service: Service) -> None:
    """U15, U20: after a break the token has to be proved, and is found to be lost."""
    with pytest.raises(Lost), hold(FORM, user="import", url=router.url) as held:  # noqa: PT012
        service.lost.add(10)
        router.cut()
        eventually(lambda: held.in_doubt or held.lost)
        held.check()
        pytest.fail("it was lost, and the check was to wait for that")


def test_yields_when_asked(router: FakeRouter, service: Service) -> None:
    """An agent can give way: the ask is answered, and the block ends in order."""
    with hold(FORM, user="agent", url=router.url) as held:
        assert not held.release_if_asked()
        service.tell("asked", 10, asks=[{"number": 1, "user": "bob", "name": "Bob", "note": ""}])
        eventually(held.release_if_asked)
    (answer,) = calls(router, "answer")
    assert (answer["answer"], answer["token"]) == ("release", 10)
    assert router.count("unlock") == 0


def test_yields_to_whoever_waits(router: FakeRouter, service: Service) -> None:
    with hold(FORM, user="agent", url=router.url) as held:
        service.tell("queued", 10, waiters=[{"number": 1, "user": "bob", "name": "Bob"}])
        eventually(held.release_if_asked)
    assert router.count("unlock") == 1


def test_keeps_when_asked(router: FakeRouter, service: Service) -> None:
    """Or it says for how long it still needs the form."""
    with hold(FORM, user="agent", url=router.url) as held:
        held.keep(60)
        assert router.count("answer") == 0
        service.tell("asked", 10, asks=[{"number": 1, "user": "bob", "name": "Bob", "note": ""}])
        eventually(lambda: held.asked)
        held.keep(60)
        service.tell("answered", 10)
        eventually(lambda: not held.asked)
    (answer,) = calls(router, "answer")
    assert (answer["answer"], answer["keep_ms"]) == ("keep", 60_000)


def test_waits_in_line(router: FakeRouter, service: Service) -> None:
    """`granted` is confirmed by the same attempt."""
    turn = threading.Event()

    def lock(facts: dict[str, Any]) -> Any:
        if turn.is_set():
            return service.lock(facts)
        return {"event": "queued", "form": FORM, "number": 7, "position": 1, "epoch": EPOCH, "rev": 1}

    router.procedures["lock"] = lock

    def grant() -> None:
        router.wait_for(lambda: router.count("lock") >= 1)
        turn.set()
        service.tell("granted", 10, number=7)

    threading.Thread(target=grant).start()
    with hold(FORM, user="import", url=router.url, wait=True) as held:
        assert held.token == 10
    assert len({facts["rid"] for facts in calls(router, "lock")}) == 1
    assert calls(router, "lock")[0]["wait"] is True


def test_waits_in_vain(router: FakeRouter, service: Service) -> None:
    """When the time is over it leaves the line, and says who has the form."""

    def lock(facts: dict[str, Any]) -> Any:
        # Told before the answer, as the service does.
        service.tell("queued", 9, number=7, holder={"user": "bob", "name": "Bob"})
        return {"event": "queued", "form": FORM, "number": 7, "position": 1, "epoch": EPOCH, "rev": 1}

    router.procedures |= {"lock": lock, "leave_queue": service.unlock}
    with Client(router.url, user="import") as client:
        # So that the time is not over before it is let in.
        router.wait_for(lambda: router.lines == 1)
        with pytest.raises(FormLocked) as refused, client.hold(FORM, wait=True, timeout_s=1):
            pytest.fail("it was never granted")
    assert (refused.value.facts["holder"], refused.value.facts["status"]) == ({"user": "bob", "name": "Bob"}, "locked")
    assert router.count("leave_queue") == 1


def test_a_turn_that_was_missed(router: FakeRouter, service: Service) -> None:
    """The attempt is over (`lost`): another one gets in line again."""
    answers: list[Any] = [Lost(form=FORM, holder=None)]

    def lock(facts: dict[str, Any]) -> Any:
        if answers:
            raise answers.pop()
        return service.lock(facts)

    router.procedures["lock"] = lock
    with hold(FORM, user="import", url=router.url, wait=True):
        pass
    first, second = calls(router, "lock")
    assert first["rid"] != second["rid"]


def test_several_wait_for_each_other(router: FakeRouter, service: Service) -> None:
    """Several forms have no line: all are tried again when one of them is free."""
    busy = [True]

    def lock(facts: dict[str, Any]) -> Any:
        if busy.pop() if busy else False:
            raise FormLocked(form=FORM, status="locked", holder=None)
        return service.lock(facts)

    router.procedures["lock"] = lock

    def free() -> None:
        router.wait_for(lambda: router.count("lock") >= 1)
        service.tell("released")

    threading.Thread(target=free).start()
    with hold([FORM, OTHER], user="import", url=router.url, wait=True, timeout_s=8) as held:
        assert sorted(held.tokens) == [FORM, OTHER]
    assert "wait" not in calls(router, "lock")[0]


@pytest.mark.parametrize(
    "error",
    [
        FormLocked(form=FORM, holder={"user": "bob", "name": "Bob"}),
        NotAllowed(form=FORM, right="lock"),
        TooMany(),
        InvalidArgument(argument="note"),
    ],
    ids=lambda error: error.name,
)
def test_refusals(router: FakeRouter, service: Service, error: FormLockError) -> None:
    """A refusal is raised as what it is, with its sentence and facts, at once; nothing is released that was not held."""

    def refuse(facts: dict[str, Any]) -> Any:
        raise error

    router.procedures["lock"] = refuse
    with pytest.raises(type(error)) as refused, hold(FORM, user="import", url=router.url):
        pytest.fail("it was refused")
    assert (refused.value.message, refused.value.facts) == (error.message, error.facts)
    assert (router.count("lock"), router.count("unlock")) == (1, 0)


def test_a_service_that_is_starting(router: FakeRouter, service: Service) -> None:
    """`not_active`, and a procedure that is not there yet, are tried again."""
    starting: list[FormLockError] = [NotActive(), NotActive()]

    def lock(facts: dict[str, Any]) -> Any:
        if starting:
            raise starting.pop()
        return service.lock(facts)

    del router.procedures["lock"]

    def come() -> None:
        router.wait_for(lambda: router.count("lock") >= 1)
        router.procedures["lock"] = lock

    coming = threading.Thread(target=come)
    coming.start()
    with hold(FORM, user="import", url=router.url):
        assert router.count("lock") > 3
    coming.join()


def test_time_limits() -> None:
    """Nobody there, or nobody who answers: NotActive when the time is over, not later."""
    began = time.monotonic()
    with pytest.raises(NotActive), hold(FORM, user="import", url=f"ws://127.0.0.1:{free_port()}/ws", timeout_s=0.3):
        pytest.fail("there is no service")
    assert time.monotonic() - began < 5


def test_a_call_that_is_never_answered(router: FakeRouter, service: Service, impatient: None) -> None:
    router.procedures["lock"] = lambda facts: SILENCE
    with pytest.raises(NotActive), hold(FORM, user="import", url=router.url, timeout_s=1):
        pytest.fail("there was no answer")


def test_not_let_in(router: FakeRouter) -> None:
    """What the router means for good is told at once; what it says while it starts is tried again."""
    answers = [[3, {"message": "unknown user"}, "wamp.error.authentication_failed"], [3, {}, "wamp.error.no_such_procedure"]]
    router.welcome = lambda: answers.pop()
    with pytest.raises(NotAllowed, match="unknown user"), hold(FORM, user="import", url=router.url):
        pytest.fail("it was not let in")
    assert len(router.hellos) == 2


@pytest.mark.parametrize("nonsense", ["[", "{}", "[]", '["a"]', "[50]", "[36, 1]", "[" * 100_000, b"\x00"])
def test_nonsense_ends_the_session(router: FakeRouter, service: Service, nonsense: str | bytes) -> None:
    """What no router says ends the session and not the script: the next one goes on."""
    with hold(FORM, user="import", url=router.url) as held:
        router.send(nonsense)
        router.wait_for(lambda: router.count("renew") >= 1)
        held.check()


def test_bad_input_is_refused_here() -> None:
    with Client(f"ws://127.0.0.1:{free_port()}/ws", user="import") as client:
        for forms, error in (("invoice.42", InvalidForm), ([], InvalidArgument), ([FORM, FORM], InvalidArgument)):
            with pytest.raises(error):
                client.lock(forms)
    with pytest.raises(ValueError, match="ws://"):
        Client("http://127.0.0.1:8080/", user="import")


def test_many_holds_from_many_threads(router: FakeRouter, service: Service) -> None:
    """One client, many holds at once: each is a tab of its own, over one session."""
    errors: list[BaseException] = []
    with Client(router.url, user="import") as client:

        def work(number: int) -> None:
            try:
                for _ in range(5):
                    with client.hold(f"com.example.form.invoice.{number}") as held:
                        held.check()
            except BaseException as error:  # noqa: BLE001 (shown below)
                errors.append(error)

        threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert not errors
    assert len({facts["tab"] for facts in calls(router, "lock")}) == router.count("unlock") == 40
    assert len(router.hellos) == 1


def test_many_holds_over_a_line_that_breaks(router: FakeRouter, service: Service) -> None:
    """Lines that break at any moment: every block is entered and left, nothing waits for ever, and nothing is lost by it."""
    service.lease_ms, service.renew_ms = 20_000, 30
    errors: list[BaseException] = []
    blocks: list[int] = []
    done = threading.Event()
    with Client(router.url, user="import") as client:

        def work(number: int) -> None:
            try:
                while len(router.hellos) < 5:
                    with client.hold(f"com.example.form.invoice.{number}", timeout_s=20) as held:
                        held.check()
                    blocks.append(number)
            except BaseException as error:  # noqa: BLE001 (shown below)
                errors.append(error)

        def cut() -> None:
            while not done.wait(0.07):
                router.cut()

        threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
        cutter = threading.Thread(target=cut)
        for thread in [*threads, cutter]:
            thread.start()
        for thread in threads:
            thread.join(60)
        done.set()
        cutter.join()
        assert not any(thread.is_alive() for thread in threads)
    assert not errors
    assert len({facts["tab"] for facts in calls(router, "lock")}) == len(blocks) >= 6


def test_the_session_alone(router: FakeRouter) -> None:
    """A session that is over fails whatever is asked of it, at once."""
    heard: list[Any] = []
    session = Session.join(router.url, "formlock", {}, 5, lambda *event: heard.append(event), lambda: None, lambda: 0)
    waiting = session.calling("com.example.formlock.nobody", {})
    router.cut()
    assert session.over.wait(10)
    with pytest.raises(LineLost):
        session.call("com.example.formlock.lock", {}, 5)
    assert waiting.exception(10) is not None
    session.leave()


def test_a_script_loads_nothing_of_the_server() -> None:
    """`import formlock.client` needs `websockets` and `msgspec` only: no reactor, no router, no ZeroMQ."""
    code = "import sys, formlock.client; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "components")},
    ).stdout.split()
    assert "websockets" in loaded
    assert {"twisted", "autobahn", "crossbar", "txaio", "zmq", "sortedcontainers"}.isdisjoint(loaded)
