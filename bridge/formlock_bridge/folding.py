"""Several updates of one form made one: from the first old values to the last new ones. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from formlock_push.message import Update


def may_fold(first: Update, then: Update) -> bool:
    """Whether one event may stand for both: of the same person, tab and program, who say the same of it and hide the same of it.

    Bulk messages stay apart: what they count can't be added up, since the same records may be in both.
    """
    return first.count is None and _kind(first) == _kind(then)


def fold(first: Update, then: Update) -> Update:
    """`then`, told from where `first` began. A field that is back at its first value has not changed; if all of them are, the change
    set is empty, and still an event: the version has risen.

    Whoever folds many bounds what they are together: an event is no longer than its updates.
    """
    return replace(then, change_set=_changes(first, then), representation=_contents(first, then))


def _changes(first: Update, then: Update) -> dict[str, list[Any]] | None:
    if first.change_set is None or then.change_set is None:
        return None
    pairs = {field: (old, new) for field, (old, new) in first.change_set.items()}
    for field, (old, new) in then.change_set.items():
        pairs[field] = (pairs.get(field, (old,))[0], new)
    return {field: [old, new] for field, (old, new) in pairs.items() if not _same(old, new)}


def _contents(first: Update, then: Update) -> Mapping[str, Any] | str | None:
    """A fragment is the whole form. Values may be those of the changed fields only, so both are told; and where one update has none,
    the page has to read the record itself. The same rule as `folded` in web/formlock/update.js."""
    if isinstance(first.representation, Mapping) and isinstance(then.representation, Mapping):
        return {**first.representation, **then.representation}
    return then.representation if isinstance(then.representation, str) else None


def _kind(update: Update) -> tuple[object, ...]:
    return update.form, update.actor, update.origin, update.source, update.status, update.redact, update.count


def _same(one: object, other: object) -> bool:
    """Equal in JSON. In Python 1, 1.0 and true are equal too, and nowhere else."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    return one == other
