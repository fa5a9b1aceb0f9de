"""Several updates of one form made one: from the first old values to the last new ones. Pure."""

from __future__ import annotations

from dataclasses import replace

from formlock_push.message import Update


def may_fold(first: Update, then: Update) -> bool:
    """Whether one event may stand for both: of the same person, tab and program, who say the same of it and hide the same of it."""
    return _kind(first) == _kind(then)


def fold(first: Update, then: Update) -> Update:
    """`then`, told from where `first` began; a field that is back at its first value has not changed."""
    if first.change_set is None or then.change_set is None:
        return replace(then, change_set=None)
    pairs = {field: (old, new) for field, (old, new) in first.change_set.items()}
    for field, (old, new) in then.change_set.items():
        pairs[field] = (pairs.get(field, (old,))[0], new)
    # 1 and true are equal in Python, and nowhere else.
    changed = {field: [old, new] for field, (old, new) in pairs.items() if old != new or type(old) is not type(new)}
    return replace(then, change_set=changed)


def _kind(update: Update) -> tuple[object, ...]:
    # What a bulk message counts can't be added up: the same records may be in both.
    return update.actor, update.origin, update.source, update.status, update.redact, update.count, update.ids
