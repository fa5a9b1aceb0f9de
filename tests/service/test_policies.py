"""The service asks for the policy of each form anew: forms differ, and a policy that changes breaks no promise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from formlock.commands import AskFor, InLine, Lock, Refusal, Takeover, Yours
from formlock.errors import FormLocked, TooMany
from formlock.model import FormId, Owner
from formlock.policies import PolicyBook, parse
from formlock.policy import Policy
from formlock.service import LockService
from formlock.stores.memory import MemoryStore
from formlock.testing import FakeClock
from formlock.testing.clock import Task
from tests.service.test_service import ANN, BOB, World

INVOICE, ORDER = FormId("invoice", "1"), FormId("order", "1")
SHORT = '[forms.order]\nttl = "12 s"\nrenew = "3 s"\ngrace = "5 s"\ncontended_grace = "5 s"\n'


class Changing:
    """Policies that change their mind, as a file does."""

    def __init__(self) -> None:
        self.book = PolicyBook()

    def of(self, form: FormId) -> Policy:
        return self.book.of(form)


class PolicyWorld(World):
    """A World whose policies can be written."""

    def __init__(self) -> None:
        clock = FakeClock()
        store = MemoryStore("e", clock.wall())
        super().__init__(clock, store)
        self.policies = Changing()
        self.service = LockService(store, clock, self.policies, happened=self._happened, probe=self._probe)

    def write(self, text: str) -> None:
        self.policies.book = parse(text)

    def lease_ms(self, form: FormId, owner: Owner = ANN, session: int = 1, **more: Any) -> Any:
        reply = self.clock.run(self.service.lock(form, Lock(owner=owner, name="", session=session, **more))).reply
        return reply.lease_ms if isinstance(reply, Yours) else reply

    def is_held(self, form: FormId) -> bool:
        return bool(self.clock.run(self.service.read(form)).holds)


@pytest.fixture
def world() -> Iterator[PolicyWorld]:
    world = PolicyWorld()
    world.start()
    yield world
    world.clock.run(world.service.stop())


def test_each_form_has_its_own(world: PolicyWorld) -> None:
    world.write(SHORT)
    assert (world.lease_ms(INVOICE), world.lease_ms(ORDER)) == (90_000, 12_000)
    world.advance(12_000)
    assert (world.is_held(INVOICE), world.is_held(ORDER)) == (True, False)


def test_several_forms_at_once_have_their_own(world: PolicyWorld) -> None:
    """All or none, and each by its own policy."""
    world.write(SHORT)
    command = Lock(owner=ANN, name="", session=1)
    decisions = world.clock.run(world.service.lock_all([(INVOICE, command), (ORDER, command)], 1))
    assert [decision.reply.lease_ms for decision in decisions if isinstance(decision.reply, Yours)] == [90_000, 12_000]


def test_old_leases_keep_what_they_were_promised(world: PolicyWorld) -> None:
    """A shorter ttl counts from the next lock on: whoever was told 90 s has 90 s, renewed or not."""
    assert world.lease_ms(ORDER) == 90_000
    world.write(SHORT)
    world.advance(1_000)
    assert world.lease_ms(ORDER) == 89_000, "renewed under the new policy it ended earlier than promised"
    world.advance(88_999)
    assert world.is_held(ORDER)
    world.advance(1)
    assert not world.is_held(ORDER)
    assert world.lease_ms(ORDER) == 12_000


def test_a_running_grace_and_the_longest_time_stay(world: PolicyWorld) -> None:
    """A lost session's lock waits as long as it was going to; what ends a lock in any case stays where it was."""
    world.lease_ms(ORDER)
    world.lease_ms(INVOICE)
    world.clock.run(world.service.session_lost(1))
    world.write(SHORT + '[default]\nmax_hold = "1 min"\nwarn = "10 s"\n')
    world.advance(29_000)
    assert world.is_held(ORDER)
    assert world.lease_ms(INVOICE) == 90_000
    for _ in range(3):
        world.advance(60_000)
        world.lease_ms(INVOICE)
    assert world.is_held(INVOICE), "held under a policy of 8 hours"


def test_a_queue_that_is_closed_keeps_who_waits(world: PolicyWorld) -> None:
    """Nobody new gets in line; whoever is has its turn."""
    world.lease_ms(ORDER)
    assert isinstance(world.lease_ms(ORDER, BOB, 2, wait=True), InLine)
    world.write("[forms.order]\nqueue = false\n")
    assert world.lease_ms(ORDER, Owner("eva", "e"), 3, wait=True) == Refusal(FormLocked)
    # The holder does not answer the probe, and its grace is short when somebody waits.
    world.advance(16_000)
    lease = world.clock.run(world.service.read(ORDER)).lease
    assert lease is not None
    assert lease.owner == BOB


def test_the_number_of_lines_is_of_the_form_that_is_wanted(world: PolicyWorld) -> None:
    world.write("[default]\nmax_waits_per_user = 1\n[forms.order]\nmax_waits_per_user = 2\n")
    for form in (INVOICE, ORDER, FormId("invoice", "2")):
        world.lease_ms(form)
    assert isinstance(world.lease_ms(INVOICE, BOB, 2, wait=True), InLine)
    assert world.lease_ms(FormId("invoice", "2"), BOB, 2, wait=True) == Refusal(TooMany)
    assert isinstance(world.lease_ms(ORDER, BOB, 2, wait=True), InLine)


def test_a_hand_over_that_runs_keeps_its_time(world: PolicyWorld) -> None:
    """The holder was told how long it has to bring its text into safety; whatever happens, and whatever the file says, it has it."""
    world.write('[forms.order]\nhandover = "10 s"\n')
    world.lease_ms(ORDER)
    token = world.clock.run(world.service.read(ORDER)).token
    takeover = Takeover(owner=BOB, name="Bob", session=2, expected_token=token, right=True)
    taking = Task(world.service.takeover(ORDER, takeover))
    world.write('[forms.order]\nhandover = "never"\n')
    world.advance(5_000)
    # Something happens, so that the call that waits looks again.
    world.clock.run(world.service.tell(ORDER, AskFor(Owner("eva", "e"), "Eva"), 3))
    world.advance(4_999)
    assert not taking.done
    lease = world.clock.run(world.service.read(ORDER)).lease
    assert lease is not None
    assert lease.owner == ANN
    world.advance(1)
    assert isinstance(world.clock.settle(taking).reply, Yours)


def test_an_ask_that_runs_keeps_its_time(world: PolicyWorld) -> None:
    """The holder was told how long it has to answer."""
    world.lease_ms(ORDER)
    world.clock.run(world.service.tell(ORDER, AskFor(BOB, "Bob"), 2))
    world.write('[forms.order]\nask = "1 s"\n')
    world.advance(3_000)
    world.lease_ms(ORDER)
    world.advance(50_000)
    assert world.is_held(ORDER)
