"""An update as it can be told: without contents that the bridge would refuse, so that the form is at least reloaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from formlock_push.message import MAX_BYTES, Update


def fitting(update: Update) -> tuple[Update, bytes]:
    """The update, without what is too long or can't be said to every client, and its message. What only those with a right are told
    goes with its `redact`, or not at all.

    Raises ValueError when not even its bare words can be said: a form that is no topic, an id of two lines.
    """
    for smaller in _smaller(update):
        try:
            message = smaller.encode()
        except Exception:  # noqa: BLE001, S112 (a value's own `__str__` may raise anything)
            continue
        if len(message) <= MAX_BYTES:
            return smaller, message
    bare = Update(form=update.form, status=update.status, id=update.id, source=update.source, count=update.count)
    return bare, bare.encode()


def _smaller(update: Update) -> Iterator[Update]:
    yield update
    yield (told := replace(update, representation=None))
    yield replace(told, change_set=None, ids=None, redact=None)
