"""History and drafts through the service, over both stores: a draft is safe before the form is another's, and private."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from formlock.commands import HandOver, Lock, Takeover, Unlock, Yours
from formlock.drafts import KEPT_MS, LATE_MS
from formlock.errors import Lost, NotActive
from formlock.events import HandoverBegan, Released, TakenOver
from formlock.history import Asked, what
from formlock.model import Draft, FormId, Owner
from formlock.policy import Policy
from formlock.service import NEWEST, LockService
from formlock.testing import FakeClock
from formlock.testing.clock import Task
from tests.service.test_service import ANN, BOB, FORM, World, opened

EVA = Owner("eva", "e")
HANDOVER_MS = 10_000


class PastWorld(World):
    """A World in which a takeover waits for the holder's text, and drafts may be shared."""

    share = True

    def start(self, *living: int) -> PastWorld:
        policy = Policy(handover_ms=HANDOVER_MS, share_drafts=self.share)
        self.service = LockService(self.store, self.clock, policy, happened=self._happened, probe=self._probe)
        super().start(*living)
        return self

    def token(self, owner: Owner = ANN, session: int = 1) -> int:
        reply = self.lock(owner, session).reply
        assert isinstance(reply, Yours)
        return reply.token

    def taking(self, token: int, owner: Owner = BOB, session: int = 2) -> Task:
        command = Takeover(
            owner=owner, name=owner.user.title(), session=session, expected_token=token, reason="month end", right=True
        )
        task = Task(self.service.takeover(FORM, command))
        # Until it is durable, and waits for the holder.
        self.clock.run(self.store.read(FORM))
        return task

    def handing_over(self, token: int, text: str | None = "my text", owner: Owner = ANN, session: int = 1) -> Task:
        draft = None
        if text is not None:
            draft = Draft(FORM, owner, owner.user.title(), token, self.clock.wall(), f'"{text}"'.encode())
        return Task(self.service.hand_over(FORM, HandOver(owner, token), draft, session))

    def hand_over(self, token: int, text: str | None = "my text", owner: Owner = ANN, session: int = 1) -> bool:
        state, moved = self.clock.settle(self.handing_over(token, text, owner, session))
        assert state.form == FORM
        return bool(moved)

    def texts(self, user: str, form: FormId = FORM) -> list[str]:
        return [draft.content.decode().strip('"') for draft in self.clock.run(self.service.drafts(form, user))]

    def pass_on(self, token: int, to: Owner, session: int, text: str | None = None, owner: Owner = ANN, of: int = 1) -> int:
        """The holder hands over to somebody; answers the new token."""
        task = self.taking(token, to, session)
        self.hand_over(token, text, owner, of)
        reply = self.clock.settle(task).reply
        assert isinstance(reply, Yours)
        return reply.token


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PastWorld]:
    clock = FakeClock()
    world = PastWorld(clock, opened(request.param, clock, tmp_path)).start()
    yield world
    clock.run(world.service.stop())


def test_the_text_is_safe_before_the_form_is_anothers(world: PastWorld) -> None:
    """U19: a takeover waits for the holder's page; when it has handed its text in, the form moves at once."""
    token = world.token()
    task = world.taking(token)
    assert isinstance(world.happened[-1][0], HandoverBegan)
    stored: list[list[str]] = []
    happened = world.service._happened

    def watched(event: Any, state: Any, caller: int | None) -> None:
        if isinstance(event, TakenOver):
            stored.append([draft.content.decode() for draft in list(world.clock.run(world.store.drafts(FORM)))])
        happened(event, state, caller)

    world.service._happened = watched
    assert world.hand_over(token)
    assert stored == [['"my text"']], "the form was another's before the text was safe"
    assert isinstance(world.clock.settle(task).reply, Yours)
    assert world.holder == "bob"
    assert world.texts("ann") == ["my text"]


def test_a_draft_that_can_not_be_kept_keeps_the_form(world: PastWorld) -> None:
    """If the text can't be brought into safety, the page is told so and keeps the form as long as it was going to."""
    token = world.token()
    task = world.taking(token)

    async def fails(draft: Draft) -> None:
        raise NotActive

    put, world.store.put_draft = world.store.put_draft, fails  # type: ignore[method-assign]
    with pytest.raises(NotActive):
        world.clock.settle(world.handing_over(token))
    assert world.holder == "ann"
    world.store.put_draft = put  # type: ignore[method-assign]
    assert world.hand_over(token, "again")
    assert isinstance(world.clock.settle(task).reply, Yours)


def test_without_a_takeover_the_form_stays(world: PastWorld) -> None:
    """A draft alone can be handed in at any time; nobody else has the form for that."""
    token = world.token()
    assert world.hand_over(token) is False
    assert (world.holder, world.texts("ann")) == ("ann", ["my text"])
    assert world.hand_over(token, "later") is False
    assert world.texts("ann") == ["later"]


def test_handing_over_can_be_repeated(world: PastWorld) -> None:
    """An answer that was lost on the way does no harm."""
    token = world.token()
    task = world.taking(token)
    assert world.hand_over(token, None)
    world.clock.settle(task)
    assert world.hand_over(token, None)
    assert world.holder == "bob"


def test_a_late_draft_is_taken_and_moves_nothing(world: PastWorld) -> None:
    """U19, U20: whoever lost the form may hand in the text for ten minutes more, under its own name; then no more."""
    token = world.token()
    task = world.taking(token)
    world.advance(HANDOVER_MS)
    assert isinstance(world.clock.settle(task).reply, Yours)
    world.advance(LATE_MS - 1)
    assert world.hand_over(token, "late")
    assert world.texts("ann") == ["late"]
    world.advance(1)
    with pytest.raises(Lost):
        world.clock.settle(world.handing_over(token, "too late"))
    assert world.texts("ann") == ["late"]


def test_a_late_draft_after_a_restart(tmp_path: Path) -> None:
    """Who had a grant is known from the history, not from memory."""
    clock = FakeClock()
    world = PastWorld(clock, opened("sqlite", clock, tmp_path)).start()
    token = world.token()
    world.clock.run(world.service.session_lost(1))
    world.advance(30_000)
    assert world.released == ["session_lost"]
    clock.run(world.service.stop())
    world = PastWorld(clock, opened("sqlite", clock, tmp_path)).start()
    assert world.hand_over(token, "found again", session=9)
    assert world.texts("ann") == ["found again"]
    clock.run(world.service.stop())


def test_nobody_hands_in_for_another(world: PastWorld) -> None:
    """Neither for a grant that is somebody else's, nor for one that never was."""
    token = world.token()
    for owner, claimed in ((BOB, token), (Owner("ann", "other"), token), (ANN, token + 1), (ANN, 1)):
        with pytest.raises(Lost):
            world.clock.settle(world.handing_over(claimed, "forged", owner, 2))
    task = world.taking(token)
    world.hand_over(token, None)
    world.clock.settle(task)
    with pytest.raises(Lost):
        world.clock.settle(world.handing_over(token, "forged", BOB, 2))
    assert world.texts("bob") == []


def test_drafts_are_private(world: PastWorld) -> None:
    """Only the author reads them; the present holder too, where the policy shares the draft of the holder before."""
    token = world.pass_on(world.token(), BOB, 2, "ann's")
    assert world.texts("ann") == ["ann's"]
    assert world.texts("eva") == []
    assert world.texts("bob") == ["ann's"], "the holder before's"
    world.pass_on(token, EVA, 3, None, BOB, 2)
    assert world.texts("bob") == [], "not the holder any more"
    assert world.texts("eva") == [], "not of two holders ago"
    assert world.texts("ann", FormId("invoice", "43")) == []


def test_the_holders_own_grants_are_passed_over(world: PastWorld) -> None:
    """A page that has been reloaded has another grant, and still the same holder before."""
    token = world.pass_on(world.token(), BOB, 2, "ann's")
    world.clock.run(world.service.tell(FORM, Unlock(BOB, token), 2))
    assert world.texts("bob") == []
    world.token(Owner("bob", "b2"), 4)
    assert world.texts("bob") == ["ann's"]


class Unshared(PastWorld):
    share = False


def test_without_the_policy_nothing_is_shared() -> None:
    clock = FakeClock()
    world = Unshared(clock, opened("memory", clock, Path())).start()
    world.pass_on(world.token(), BOB, 2, "ann's")
    assert (world.texts("ann"), world.texts("bob")) == (["ann's"], [])


def test_forgetting(world: PastWorld) -> None:
    """An author throws away one or all of its own, and never another's."""
    token = world.token()
    world.hand_over(token, "ann's")
    second = world.pass_on(token, BOB, 2, "ann's", ANN)
    world.hand_over(second, "bob's", BOB, 2)
    run, service = world.clock.run, world.service
    assert run(service.forget_drafts(FORM, "bob", token)) == 0
    assert run(service.forget_drafts(FORM, "eva", None)) == 0
    assert world.texts("ann") == ["ann's"]
    assert run(service.forget_drafts(FORM, "ann", token)) == 1
    assert (world.texts("ann"), world.texts("bob")) == ([], ["bob's"])
    assert run(service.forget_drafts(FORM, "bob", None)) == 1
    assert world.texts("bob") == []


def test_a_week_later_nobody_reads_it(world: PastWorld) -> None:
    world.hand_over(world.token())
    world.clock.jump(KEPT_MS - 1)
    assert world.texts("ann") == ["my text"]
    world.clock.jump(1)
    assert world.texts("ann") == []


def test_the_history_tells_the_whole_story(world: PastWorld) -> None:
    """A21, U19: who had it, who was refused, who took it and why, with the names of those who were there."""
    token = world.token()
    world.clock.run(world.service.lock(FORM, Lock(owner=BOB, name="Bob Ray", session=2)))
    world.pass_on(token, BOB, 2)
    page = world.clock.run(world.service.history(Asked(FORM, since=0)))
    story = [(what(entry.event), entry.event.owner.user, entry.event.name, entry.event.rev) for entry in page.entries]
    assert story == [
        ("granted", "ann", "ann", 1),
        ("refused", "bob", "Bob Ray", 1),
        ("handover_began", "ann", "ann", 2),
        ("taken_over", "ann", "ann", 3),
        ("granted", "bob", "Bob", 4),
    ]
    taken = page.entries[3].event
    assert isinstance(taken, TakenOver)
    assert (taken.by, taken.by_name, taken.reason) == (BOB, "Bob", "month end")
    numbers = [entry.number for entry in page.entries]
    assert numbers == sorted(set(numbers))


def test_how_a_grant_has_ended(world: PastWorld) -> None:
    """U19: whoever was asleep learns who took the form and why; nobody else learns it, and not of a grant that goes on."""

    def ending(owner: Owner, token: int) -> Released | TakenOver | None:
        return world.clock.run(world.service.ending(FORM, owner, token))

    token = world.token()
    assert ending(ANN, token) is None
    second = world.pass_on(token, BOB, 2)
    taken = ending(ANN, token)
    assert isinstance(taken, TakenOver)
    assert (taken.by, taken.by_name, taken.reason) == (BOB, "Bob", "month end")
    assert (ending(BOB, token), ending(BOB, second), ending(ANN, second)) == (None, None, None)
    world.clock.run(world.service.unlock(FORM, Unlock(BOB, second), 2))
    freed = ending(BOB, second)
    assert isinstance(freed, Released)
    assert freed.cause == "unlock"
    for _ in range(NEWEST):
        world.clock.run(world.service.unlock(FORM, Unlock(BOB, world.token(BOB, 2)), 2))
    assert ending(ANN, token) is None, "a limited number of events is looked at"
