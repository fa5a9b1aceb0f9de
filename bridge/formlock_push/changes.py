"""What one transaction has done, folded into one change per record. Pure: no database, no clock, no network.

Each savepoint has a ledger of its own, which is added to the one around it when the savepoint is released and thrown away when it is
rolled back. So a change says what happened between two moments, and `fold` joins two that follow each other.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from formlock_push.message import UPDATED, Update
from formlock_push.scope import NOBODY, Acting

INSERTED = "inserted"
DELETED = "deleted"

Pairs = Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happened to one record.

    - `status`: "inserted", "updated" or "deleted"
    - `form`: the topic it names; None when it names none
    - `pairs`: `{field: (old, new)}`; None when it is not known which fields changed, or from what
    - `version`, `representation`: as in `Update`, after the change; None when not known
    - `acting`: who did it
    """

    status: str
    form: str | None
    pairs: Pairs | None = None
    version: int | str | None = None
    representation: Mapping[str, Any] | str | None = None
    acting: Acting = NOBODY

    @property
    def nothing(self) -> bool:
        """An update that has changed no field."""
        return self.status == UPDATED and self.pairs is not None and not self.pairs


def fold(first: Change, then: Change) -> Change | None:
    """Both as one, in this order; None when nothing is left of them. A field keeps its first old value and its last new one."""
    status = _status(first.status, then.status)
    if status is None:
        return None
    pairs: Pairs | None = None
    # What follows a deletion is a record of its own: which fields differ from the old one nobody has looked at.
    if status != DELETED and first.status != DELETED and first.pairs is not None and then.pairs is not None:
        pairs = _join(first.pairs, then.pairs)
    # A record that no longer names its form (or could not) is told of under the name it had.
    folded = replace(then, status=status, pairs=pairs, form=then.form or first.form)
    return None if folded.nothing else folded


class Ledger:
    """The changes of one transaction or savepoint, one per record, in the order of the first change."""

    def __init__(self) -> None:
        self._changes: dict[Hashable, Change] = {}

    def add(self, record: Hashable, change: Change) -> None:
        """`record`: whatever names the record within the session."""
        if change.nothing:
            return
        before = self._changes.get(record)
        folded = change if before is None else fold(before, change)
        if folded is None:
            del self._changes[record]
        else:
            self._changes[record] = folded

    def add_all(self, other: Ledger) -> None:
        """What a released savepoint has done."""
        for record, change in other._changes.items():
            self.add(record, change)

    def updates(self) -> Iterator[Update]:
        """What is to be told after the commit: one update per form (U37)."""
        forms: dict[str, list[Change]] = {}
        for change in self._changes.values():
            if change.form:
                forms.setdefault(change.form, []).append(change)
        for form, changes in forms.items():
            yield _update(form, changes[0] if len(changes) == 1 else _several(changes))


def same(first: object, then: object) -> bool:
    """Whether two values are equal; those that can't say so are not."""
    try:
        return first is then or bool(first == then)
    except Exception:  # noqa: BLE001 (an application's own type)
        return False


def kept(value: Any) -> Any:
    """The value as it is at this moment: what the application may still alter in place is copied."""
    if isinstance(value, (dict, list, set, bytearray)):
        try:
            return copy.deepcopy(value)
        except Exception:  # noqa: BLE001 (then it has to do as it is)
            return value
    return value


def _status(first: str, then: str) -> str | None:
    if then == DELETED:
        return None if first == INSERTED else DELETED
    if first == DELETED:
        return UPDATED
    return first


def _join(first: Pairs, then: Pairs) -> Pairs:
    joined = dict(first)
    for field, (old, new) in then.items():
        oldest = joined[field][0] if field in joined else old
        if same(oldest, new):
            joined.pop(field, None)
        else:
            joined[field] = (oldest, new)
    return joined


def _several(changes: list[Change]) -> Change:
    """More than one record names this form: that it changed is all that can be said."""
    return Change(status=UPDATED, form=changes[-1].form, acting=changes[-1].acting)


def _update(form: str, change: Change) -> Update:
    return Update(
        form=form,
        status=change.status,
        change_set=None if change.status == DELETED else change.pairs,
        version=change.version,
        representation=change.representation,
        origin=change.acting.origin,
        actor=change.acting.actor,
        source=change.acting.source,
    )
