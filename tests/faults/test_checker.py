"""The checker of histories: what can have been is accepted, and each way of being wrong is found."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.faults.checker import exclusive, faults, linearizable
from tests.faults.history import Call, Cut, History, Operation, Outcome, Tab

ANN, BOB, EVE = Tab("ann", "a"), Tab("bob", "b"), Tab("eve", "e")
FORM = "com.example.form.t.1"
LEASE_MS = 6_000


def op(owner: Tab, call: Call, outcome: Outcome, sent: float, answered: float | None = None, **facts: Any) -> Operation:
    """Answered a tenth of a second later, unless said otherwise."""
    operation = Operation(owner, FORM, call, sent, outcome=outcome, **facts)
    if outcome != "unknown":
        operation.answered = answered if answered is not None else sent + 0.1
    if outcome in ("granted", "renewed"):
        operation.lease_ms = LEASE_MS
    return operation


def wrong(*operations: Operation, cuts: tuple[Cut, ...] = ()) -> list[str]:
    return faults(History(list(operations), list(cuts)), 100)


def gives_back(owner: Tab, sent: float, token: int) -> tuple[Operation, Cut]:
    return op(owner, "unlock", "freed", sent, token=token), Cut(owner, FORM, sent, "unlock")


ANN_HAS_IT = op(ANN, "lock", "granted", 1, got=101)


def test_one_after_the_other() -> None:
    """Lock, refusal, renewal, unlock, the next lock: accepted."""
    unlock, cut = gives_back(ANN, 4, 101)
    assert not wrong(
        op(EVE, "status", "seen", 0, got=100),
        ANN_HAS_IT,
        op(BOB, "lock", "locked", 2, got=101, holder="ann"),
        op(ANN, "renew", "renewed", 3, token=101, got=101),
        unlock,
        op(BOB, "lock", "granted", 5, got=102),
        op(ANN, "renew", "lost", 6, token=101),
        cuts=(cut,),
    )


def test_two_holders() -> None:
    """The second is given the form before the first has given it up, or its lease is over."""
    found = wrong(ANN_HAS_IT, op(BOB, "lock", "granted", 5, got=102))
    assert len(found) == 1
    assert found[0].startswith("two hold the form from 5.100 to 7.000: ann/a with 101, bob/b with 102")
    assert not wrong(ANN_HAS_IT, op(BOB, "lock", "granted", 7, got=102))


def test_a_lease_that_ended_too_early() -> None:
    """Told that it had expired, while by its own reckoning it had not."""
    assert wrong(ANN_HAS_IT, cuts=(Cut(ANN, FORM, 6, "told: expired"),))
    assert not wrong(ANN_HAS_IT, cuts=(Cut(ANN, FORM, 7, "told: expired"), Cut(ANN, FORM, 6, "told: takeover")))


@pytest.mark.parametrize("ends", ["unlock", "line lost", "told so"])
def test_whoever_has_given_up_holds_nothing(ends: str) -> None:
    """From the moment of the cut; a cut before the lock says nothing about it."""
    given = op(BOB, "lock", "granted", 3, got=102)
    assert not list(exclusive([ANN_HAS_IT, given], [Cut(ANN, FORM, 2.5, ends)]))
    assert list(exclusive([ANN_HAS_IT, given], [Cut(ANN, FORM, 0.5, ends)]))


def test_a_takeover_ends_the_other_hold() -> None:
    """From its sending, even if it was not answered."""
    assert not wrong(ANN_HAS_IT, op(BOB, "takeover", "granted", 3, token=101, got=102))
    assert not wrong(
        ANN_HAS_IT,
        op(BOB, "takeover", "unknown", 3, token=101, rid="r"),
        op(BOB, "takeover", "granted", 4, token=101, got=102, rid="r"),
    )


def test_a_token_twice() -> None:
    """Two lock workers that do not know of each other."""
    assert any("was given to" in fault for fault in wrong(ANN_HAS_IT, op(BOB, "lock", "granted", 9, got=101)))


def test_a_token_that_falls() -> None:
    """A restart that forgot."""
    found = wrong(op(ANN, "lock", "granted", 1, got=103), op(BOB, "lock", "granted", 9, got=102))
    assert any(fault.startswith("token 102 at 9.000, after 103") for fault in found)


def test_a_token_that_jumps() -> None:
    """A grant that nobody asked for."""
    assert list(linearizable([ANN_HAS_IT, op(BOB, "lock", "granted", 9, got=103)], 100))


def test_a_lock_that_came_back() -> None:
    """Seen free, then renewed: its end was answered and then forgotten."""
    assert list(
        linearizable([ANN_HAS_IT, op(BOB, "status", "seen", 8, got=101), op(ANN, "renew", "renewed", 9, token=101, got=101)], 100)
    )


def test_renewed_though_it_was_anothers() -> None:
    """A renewal that was decided on what another process had changed."""
    assert list(
        linearizable([ANN_HAS_IT, op(BOB, "lock", "granted", 8, got=102), op(ANN, "renew", "renewed", 9, token=101, got=101)], 100)
    )


def test_an_unlock_that_did_not_work() -> None:
    """Answered, and the form is still held."""
    unlock, _ = gives_back(ANN, 2, 101)
    assert list(linearizable([ANN_HAS_IT, unlock, op(BOB, "lock", "locked", 3, got=101, holder="ann")], 100))


def test_the_same_token_after_an_unlock() -> None:
    """A page that has left gets its token back, one that was done a new one."""
    back = op(ANN, "lock", "granted", 3, got=101)
    assert not list(linearizable([ANN_HAS_IT, op(ANN, "leaving", "freed", 2, token=101), back], 100))
    assert list(linearizable([ANN_HAS_IT, op(ANN, "unlock", "freed", 2, token=101), back], 100))


def test_a_call_without_an_answer() -> None:
    """It may have happened, once, at any time since; or not."""
    unknown = op(ANN, "lock", "unknown", 1, rid="r")
    assert not list(linearizable([unknown, op(BOB, "lock", "granted", 9, got=101)], 100))
    assert not list(linearizable([unknown, op(BOB, "lock", "granted", 9, got=102)], 100))
    assert list(linearizable([unknown, op(BOB, "lock", "granted", 9, got=103)], 100))
    assert list(linearizable([op(BOB, "lock", "granted", 0, got=102), unknown], 100))


def test_an_attempt_that_is_repeated() -> None:
    """However often it was sent without an answer, it was granted once."""
    tries = [op(ANN, "lock", "unknown", at, rid="r") for at in (1, 2, 3)]
    assert not list(linearizable([*tries, op(BOB, "lock", "granted", 9, got=102)], 100))
    assert list(linearizable([*tries, op(BOB, "lock", "granted", 9, got=103)], 100))


def test_whoever_waits_is_granted_without_a_call() -> None:
    """Once for its place in line."""
    waits = op(BOB, "wait", "queued", 2)
    assert not list(
        linearizable(
            [ANN_HAS_IT, waits, op(ANN, "unlock", "freed", 3, token=101), op(EVE, "status", "seen", 4, got=102, holder="bob")], 100
        )
    )
    assert list(linearizable([ANN_HAS_IT, waits, op(EVE, "lock", "granted", 9, got=104)], 100))
    assert list(linearizable([op(BOB, "wait", "queued", 2)], 100))


def test_one_rev_is_one_state() -> None:
    """Nothing changes without a new rev, and two grants need two."""
    freed = op(BOB, "status", "seen", 8, got=101, rev=2)
    assert not list(linearizable([op(ANN, "lock", "granted", 1, got=101, rev=1), freed], 100))
    freed.rev = 1
    assert list(linearizable([op(ANN, "lock", "granted", 1, got=101, rev=1), freed], 100))
    tries = [op(ANN, "lock", "unknown", 1, rid="r"), op(BOB, "lock", "granted", 9, got=102, rev=2)]
    assert not list(linearizable(tries, 100))
    tries[1].rev = 1
    assert list(linearizable(tries, 100))


def test_an_unlock_tells_whose_turn_it_is() -> None:
    """Its rev is that after the next in line has been given the form."""
    history = [
        op(ANN, "lock", "granted", 1, got=101, rev=1),
        op(BOB, "wait", "queued", 2, rev=2),
        op(ANN, "unlock", "freed", 3, token=101, rev=4),
        op(EVE, "lock", "locked", 4, got=102, holder="bob", rev=4),
    ]
    assert not list(linearizable(history, 100))
    history[-1].holder = "ann"
    assert list(linearizable(history, 100))


def test_whoever_leaves_the_line_tells_what_has_happened_meanwhile() -> None:
    """The answer's rev counts a lease that ended by itself and the turn that came, though it says nothing of either."""
    history = [
        op(ANN, "lock", "granted", 1, got=101, rev=1),
        op(BOB, "wait", "queued", 2, rev=2),
        op(EVE, "leave_queue", "freed", 9, rev=4),
        op(EVE, "lock", "locked", 10, got=102, holder="bob", rev=4),
    ]
    assert not list(linearizable(history, 100))
    free = [*history[:1], op(EVE, "leave_queue", "freed", 9, rev=2), op(EVE, "status", "seen", 10, got=101, rev=2)]
    assert not list(linearizable(free, 100))
    assert list(linearizable([*history[:3], op(EVE, "status", "seen", 10, got=101, holder="ann", rev=3)], 100)), "a rev that falls"


def test_calls_side_by_side() -> None:
    """In whichever order explains what they were answered."""
    assert not list(
        linearizable(
            [op(BOB, "lock", "locked", 1, 5, got=101, holder="ann"), op(ANN, "lock", "granted", 2, 4, got=101)],
            100,
        )
    )
    assert list(
        linearizable(
            [op(BOB, "lock", "locked", 1, 1.5, got=101, holder="ann"), op(ANN, "lock", "granted", 2, 4, got=101)],
            100,
        )
    )


def test_answers_that_are_older_than_others() -> None:
    """A second process that still answers from its memory."""
    found = wrong(
        op(EVE, "status", "seen", 1, got=102, holder="ann", rev=7), op(BOB, "status", "seen", 2, got=102, holder="ann", rev=5)
    )
    assert any(fault.startswith("rev 5 at 2.000, after rev 7") for fault in found)


def test_one_rev_two_stories() -> None:
    """Two processes that both went on from the same state."""
    assert any(
        fault.startswith("rev 8 is")
        for fault in wrong(op(ANN, "lock", "granted", 1, got=101, rev=8), op(BOB, "status", "seen", 9, got=101, holder="eve", rev=8))
    )


@pytest.mark.parametrize("seed", range(8))
def test_what_a_register_did_is_accepted(seed: int) -> None:
    """Long histories of a true register, with answers that are lost and calls that overlap, are accepted, and within the bound; with
    one token or one holder changed, they are not."""
    chance = random.Random(seed)
    operations, token, holder = [], 100, None
    for step in range(400):
        owner = chance.choice([ANN, BOB, EVE])
        # Each call happens in the middle of its time; the times of those next to each other overlap.
        sent, answered = step - chance.random(), step + 0.1 + chance.random()
        if holder == owner and chance.random() < 0.5:
            done, holder = op(owner, "unlock", "freed", sent, answered, token=token), None
        elif holder == owner:
            done = op(owner, "renew", "renewed", sent, answered, token=token, got=token)
        elif holder is None:
            token, holder = token + 1, owner
            done = op(owner, "lock", "granted", sent, answered, got=token, rid=str(step))
        else:
            done = op(owner, "lock", "locked", sent, answered, got=token, holder=holder.user, rid=str(step))
        if chance.random() < 0.05:
            done = op(owner, done.call, "unknown", sent, token=done.token, rid=done.rid)
        operations.append(done)
    assert not list(linearizable(operations, 100))
    changed = chance.choice([done for done in operations if done.outcome == "renewed"])
    changed.got = (changed.got or 0) + chance.choice([-1, 1])
    assert list(linearizable(operations, 100))
