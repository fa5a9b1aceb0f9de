"""The simulator finds what it is for: each rule that is broken here on purpose makes a run fail within a few seeds.

A mutation that survives means that a promise is not held against anything, so the seeds and steps are bounds, not hopes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from formlock import rules
from formlock.commands import HandOver, LeaveQueue, Lock, Recovered, Refusal, Renew, Takeover, Unlock, Yours
from formlock.errors import Lost
from formlock.policy import Policy
from formlock.testing.simulate import Failed, simulate
from formlock.testing.simulation.page import LATE_MS, Page
from formlock.testing.simulation.truth import Violation

Patch = pytest.MonkeyPatch

# Most are found within 14 runs, the rarest in the 81st.
SEEDS = 300
STEPS = 3_000


def renews_without_its_token(patch: Patch) -> None:
    """Whoever owns some lease keeps the first of them, whatever token it names."""

    def renew(case: Any, command: Renew) -> Any:
        lease = next((lease for lease in case.state.holds if lease.owner == command.owner), None)
        return rules._attach(case, lease, command.session) if lease is not None else Refusal(Lost)

    patch.setitem(rules._HANDLERS, Renew, renew)


def releases_past_the_line(patch: Patch) -> None:
    """Nobody in line is ever served."""
    patch.setattr(rules, "_serve", lambda case: None)


def forgets_the_grace(patch: Patch) -> None:
    """A lost session loses its lock at once."""

    def detach(case: Any, lease: Any, *_: int) -> None:
        rules._release(case, lease, "session_lost")

    patch.setattr(rules, "_detach", detach)


def takes_over_with_the_old_token(patch: Patch) -> None:
    """The new holder has the token of the old one."""

    def move(case: Any, lease: Any, handover: Any) -> Any:
        taken = case.change(lease, owner=handover.owner, name=handover.name, session=handover.session, contest=None)
        case.told(rules.TakenOver, lease, by=handover.owner, by_name=handover.name, reason=handover.reason)
        case.told(rules.Granted, taken, session=handover.session)
        return taken

    patch.setattr(rules, "_move", move)


def counts_by_the_wall_clock(patch: Patch) -> None:
    """A lease lasts until a time of day."""
    began: dict[str, int] = {}

    def fresh(case: Any, lease: Any) -> int:
        first = began.setdefault("wall", case.wall - case.now)
        drift = case.wall - case.now - first
        return int(case.now + case.policy.ttl_ms - drift)

    patch.setattr(rules, "_fresh", fresh)


def forgets_its_return(patch: Patch) -> None:
    """After a restart or a pause everybody has had their time."""

    def recover(case: Any, command: Recovered) -> None:
        for lease in case.state.holds:
            case.change(lease, deadline=lease.deadline or case.now + 500, session=None, probe=None)

    patch.setattr(rules, "_recover", recover)


def takes_over_whatever_was_seen(patch: Patch) -> None:
    """`expected_token` is not looked at, nor the right to take over: the click on an old picture takes the form from anybody."""

    def takeover(case: Any, command: Takeover) -> Any:
        held = case.state.held(command.section)
        if not held:
            return Refusal(rules.Conflict)
        return rules._take(case, held[0], command, same_user=True)

    patch.setitem(rules._HANDLERS, Takeover, takeover)


def forgets_who_left(patch: Patch) -> None:
    """A page that left comes back to its token although somebody else has had the form."""

    def hold(case: Any, lease: Any) -> None:
        waiters = tuple(w for w in case.state.waiters if (w.owner, w.section) != (lease.owner, lease.section))
        holds = (*case.state.holds, lease)
        case.state = replace(case.state, token=max(case.state.token, lease.token), holds=holds, waiters=waiters)

    patch.setattr(rules, "_hold", hold)


def forgets_repetitions(patch: Patch) -> None:
    """A late copy of a lock call starts a grant that nobody waits for."""
    patch.setattr(rules, "_remember", lambda case, lease: None)


def shortens_by_renewing(patch: Patch) -> None:
    """A renewal is answered with the time of the policy, and kept for less."""

    def fresh(case: Any, lease: Any) -> int:
        return int(case.now + case.policy.ttl_ms - 75_000)

    def yours(case: Any, lease: Any) -> Yours:
        return Yours(lease.token, min(case.policy.ttl_ms, (lease.ends_at or case.now + case.policy.ttl_ms) - case.now))

    patch.setattr(rules, "_fresh", fresh)
    patch.setattr(rules, "_yours", yours)


def serves_whoever_is_first(patch: Patch) -> None:
    """Shared leases and sections are not looked at: whoever meets nobody of the same section gets it."""

    def blockers(state: Any, wish: Any, number: int | None) -> list[Any]:
        return [lease for lease in state.holds if lease.section == wish.section and lease.owner != wish.owner]

    patch.setattr(rules, "_blockers", blockers)


def copies_share_a_token(patch: Patch) -> None:
    """A tab's copy is given what the tab's own page has, without a probe."""

    def lock_again(case: Any, lease: Any, command: Lock) -> Any:
        return rules._attach(case, lease, command.session)

    patch.setattr(rules, "_lock_again", lock_again)


def never_gives_up_the_silent(patch: Patch) -> None:
    """A lease that is due stays."""
    lease_due = rules._lease_due

    def due(case: Any, lease: Any, at: int) -> None:
        if lease.deadline == at and lease.long_wall is None:
            case.change(lease, deadline=at + 60_000)
        else:
            lease_due(case, lease, at)

    patch.setattr(rules, "_lease_due", due)


def unlocks_for_anybody(patch: Patch) -> None:
    """The token of an unlock is not looked at: a late one frees what its owner has got since."""
    unlock = rules._unlock

    def unlocked(case: Any, command: Unlock) -> Any:
        lease = next((lease for lease in case.state.holds if lease.owner == command.owner), None)
        return unlock(case, replace(command, token=lease.token) if lease is not None else command)

    patch.setitem(rules._HANDLERS, Unlock, unlocked)


def leaves_the_line_in_word_only(patch: Patch) -> None:
    """Whoever wants to hand over loses the form without anybody getting it; whoever leaves the line stays in it."""
    patch.setitem(rules._HANDLERS, HandOver, lambda case, command: rules.Freed())
    patch.setitem(rules._HANDLERS, LeaveQueue, lambda case, command: rules.Freed())
    patch.setattr(rules, "_detach_waiter", lambda case, waiter, grace_ms: None)


def hears_every_last_word(patch: Patch) -> None:
    """A last word that comes late, or twice, frees what the tab's next page has."""
    patch.setattr(rules, "_elsewhere", lambda lease, sessions: False)


def takes_every_last_word_for_late(patch: Patch) -> None:
    """A page whose line is lost says that it is left, and nobody listens."""
    patch.setattr(rules, "_elsewhere", lambda lease, sessions: lease.session not in sessions)


def forgets_where_its_owner_came_from(patch: Patch) -> None:
    """A lease knows its present session only."""
    patch.setattr(rules, "_earlier", lambda lease: ())


def forgets_its_reserve(patch: Patch) -> None:
    """A form that was left is kept for its tab until nobody comes back to it."""
    unlock = rules._unlock

    def kept(case: Any, command: Unlock) -> Any:
        reply = unlock(case, command)
        lefts = tuple(replace(left, reserved_until=left.resumable_until) for left in case.state.lefts)
        case.state = replace(case.state, lefts=lefts)
        return reply

    patch.setitem(rules._HANDLERS, Unlock, kept)


def counts_its_probe_twice(patch: Patch) -> None:
    """Pages are told a silence in which the router has to keep their lines."""
    told = Policy.silence_ms.fget
    assert told is not None
    patch.setattr(Policy, "silence_ms", property(lambda policy: told(policy) + policy.contended_probe_ms))


def hurries_its_probes(patch: Patch) -> None:
    """A holder has less time to answer than it was told."""
    contend = rules._contend

    def hurried(case: Any, lease: Any) -> Any:
        lease = contend(case, lease)
        if lease.probe is None:
            return lease
        return case.change(lease, probe=rules.Probe(lease.probe.since - 4_000, lease.probe.until - 4_000))

    patch.setattr(rules, "_contend", hurried)


def believes_a_silent_line(patch: Patch) -> None:
    """A page believes until its lease ends, as if nobody could have the form before."""

    def look(page: Page) -> None:
        now = page.world.clock.now()
        for grant in page.grants.values():
            if grant.proven and (now >= grant.until - LATE_MS or (grant.doubt is not None and now >= grant.doubt)):
                grant.proven = False

    patch.setattr(Page, "_look", look)


def believes_a_line_that_is_back(patch: Patch) -> None:
    """A page whose line is back takes its token for proved."""
    connected = Page._connected

    def sure(page: Page) -> None:
        connected(page)
        for grant in page.grants.values():
            grant.doubt, grant.proven = None, True

    patch.setattr(Page, "_connected", sure)


MUTATIONS: list[Callable[[Patch], None]] = [
    renews_without_its_token, releases_past_the_line, forgets_the_grace, takes_over_with_the_old_token, counts_by_the_wall_clock,
    forgets_its_return, takes_over_whatever_was_seen, forgets_who_left, forgets_repetitions, shortens_by_renewing,
    serves_whoever_is_first, copies_share_a_token, never_gives_up_the_silent, unlocks_for_anybody, leaves_the_line_in_word_only,
    hears_every_last_word, takes_every_last_word_for_late, forgets_where_its_owner_came_from, forgets_its_reserve,
    counts_its_probe_twice, hurries_its_probes, believes_a_silent_line,
    believes_a_line_that_is_back,
]  # fmt: skip


def failure_of(seed: int) -> Failed | None:
    try:
        simulate(seed, steps=STEPS)
    except Failed as failure:
        return failure
    return None


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_broken_rule_is_found(mutation: Callable[[Patch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """U1, U9, U16: a rule that is broken on purpose is found within a few runs."""
    mutation(monkeypatch)
    for seed in range(SEEDS):
        found = failure_of(seed)
        if found is not None:
            # Not because what is broken here can't be run.
            assert isinstance(found.__cause__, Violation), found
            return
    pytest.fail(f"{SEEDS} runs have not found that it {mutation.__name__}: {mutation.__doc__}")
