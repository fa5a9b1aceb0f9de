"""Several updates of one form made one: from the first old values to the last new ones. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formlock_push.message import Update


def may_fold(first: Update, then: Update) -> bool:
    """Whether one event may stand for both: of the same person, tab and program, who say the same of it."""
    return (first.actor, first.origin, first.source, first.status) == (then.actor, then.origin, then.source, then.status)


def fold(first: Update, then: Update) -> Update:
    """`then`, told from where `first` began; a field that is back at its first value has not changed."""
    if first.change_set is None or then.change_set is None:
        return replace(then, change_set=None)
    pairs: dict[str, list[Any]] = {field: list(pair) for field, pair in first.change_set.items()}
    for field, (old, new) in then.change_set.items():
        before = pairs.pop(field, [old])[0]
        if before != new or type(before) is not type(new):
            pairs[field] = [before, new]
    return replace(then, change_set=pairs)
