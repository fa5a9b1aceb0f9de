"""Who has which form open: our own map of subscriptions, since the router's word that one has ended is wrong in both directions.

Pure. A user with three tabs is one viewer; sessions of whom nobody knows a name are none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from formlock.model import FormId

# A form's viewers are told by name up to here; how many there are is told in any case.
MAX_NAMES = 50


@dataclass(slots=True)
class _Session:
    user: str = ""
    name: str = ""
    subscriptions: dict[int, FormId] = field(default_factory=dict)


class Viewers:
    """Each change answers with the forms whose viewers are others now."""

    def __init__(self) -> None:
        self._sessions: dict[int, _Session] = {}
        self._by_form: dict[FormId, dict[int, int]] = {}
        self._sections: dict[FormId, set[FormId]] = {}

    def subscribed(self, session: int, subscription: int, form: FormId) -> None:
        """The session has opened the form. It counts as soon as it is `known`."""
        entry = self._sessions.setdefault(session, _Session())
        if subscription in entry.subscriptions:
            return
        entry.subscriptions[subscription] = form
        counts = self._by_form.setdefault(form, {})
        counts[session] = counts.get(session, 0) + 1
        if form.section:
            self._sections.setdefault(form.record, set()).add(form)

    def known(self, session: int, user: str, name: str) -> set[FormId]:
        """Whose session it is."""
        entry = self._sessions.get(session)
        if entry is None or (entry.user, entry.name) == (user, name):
            return set()
        entry.user, entry.name = user, name
        return set(entry.subscriptions.values())

    def unsubscribed(self, session: int, subscription: int) -> set[FormId]:
        """The session has closed the form."""
        entry = self._sessions.get(session)
        form = entry.subscriptions.pop(subscription, None) if entry is not None else None
        if entry is None or form is None:
            return set()
        if not entry.subscriptions:
            del self._sessions[session]
        self._forget(form, session)
        return {form}

    def left(self, session: int) -> set[FormId]:
        """The session is gone."""
        entry = self._sessions.pop(session, None)
        if entry is None:
            return set()
        for form in entry.subscriptions.values():
            self._forget(form, session)
        return set(entry.subscriptions.values())

    def of(self, form: FormId) -> list[tuple[str, str]]:
        """User and name of each, in the order of coming, one entry a user."""
        users: dict[str, str] = {}
        for session in self._by_form.get(form, {}):
            entry = self._sessions.get(session)
            if entry is not None and entry.user:
                users.setdefault(entry.user, entry.name)
        return list(users.items())

    def sections(self, record: FormId) -> frozenset[FormId]:
        """The sections of a record that somebody has open by themselves."""
        return frozenset(self._sections.get(record, ()))

    def _forget(self, form: FormId, session: int) -> None:
        counts = self._by_form.get(form)
        if counts is None or session not in counts:
            return
        counts[session] -= 1
        if counts[session] == 0:
            del counts[session]
        if not counts:
            del self._by_form[form]
            sections = self._sections.get(form.record)
            if sections is not None:
                sections.discard(form)
                if not sections:
                    del self._sections[form.record]
