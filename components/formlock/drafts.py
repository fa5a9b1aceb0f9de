"""Texts that were not saved: a page that loses its form brings what was typed into safety first. Pure.

A draft belongs to its author. Where the policy says `share_drafts`, whoever holds the form now may also read that of the holder
before, marked with author and time, and nobody else's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from formlock.events import Event, Granted
from formlock.model import Draft, FormId, FormState, Owner

MAX_PER_FORM = 5
MAX_PER_USER = 100
KEPT_MS = 7 * 86_400_000
# So long after a grant has ended its owner may still hand in a draft.
LATE_MS = 10 * 60_000


def surplus(drafts: Sequence[Draft], newest: Draft) -> list[Draft]:
    """Of a record's drafts, the newest among them, those that must go. An author's own older ones go first: nobody can push out
    another's text by handing in many."""
    kept = sorted((draft for draft in drafts if draft != newest), key=lambda draft: (draft.wall, draft.token))
    gone = []
    while len(kept) >= MAX_PER_FORM:
        own = next((draft for draft in kept if draft.owner.user == newest.owner.user), kept[0])
        kept.remove(own)
        gone.append(own)
    return gone


def readable(
    drafts: Iterable[Draft], form: FormId, user: str, wall: int, state: FormState, grants: Sequence[Event], share: bool
) -> list[Draft]:
    """What this user may read of them, the newest first. `grants`: the form's history, the oldest first."""
    fresh = [draft for draft in drafts if draft.wall > wall - KEPT_MS and form.overlaps(draft.form)]
    before = _holder_before(state, form, user, grants) if share else None
    allowed = [
        draft
        for draft in fresh
        if draft.owner.user == user or (before is not None and (draft.token, draft.owner) == (before.token, before.owner))
    ]
    return sorted(allowed, key=lambda draft: (draft.wall, draft.token), reverse=True)


def _holder_before(state: FormState, form: FormId, user: str, grants: Sequence[Event]) -> Event | None:
    """The grant before this user's own present one; the user's own ones between are passed over (a tab that came back)."""
    lease = next((lease for lease in state.held(form.section) if lease.owner.user == user), None)
    if lease is None:
        return None
    part = form._replace(section=lease.section)
    earlier = (
        event
        for event in reversed(grants)
        if isinstance(event, Granted) and event.token < lease.token and event.owner.user != user and part.overlaps(event.form)
    )
    return next(earlier, None)


def may_hand_in(owner: Owner, token: int, wall: int, state: FormState, past: Sequence[Event]) -> bool:
    """Whether this owner has the grant, or had it until a moment ago. `past`: the form's history."""
    lease = state.of_token(token)
    if lease is not None:
        return lease.owner == owner
    return any(event.token == token and event.owner == owner and event.wall > wall - LATE_MS for event in past)
