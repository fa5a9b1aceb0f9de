"""An update as it can be told: without contents that the bridge would refuse, so that the form is at least reloaded."""

from __future__ import annotations

from dataclasses import replace

from formlock_push.message import MAX_BYTES, Update


def fitting(update: Update) -> tuple[Update, bytes]:
    """The update, without what is too long or can't be said in JSON, and its message.

    Raises TypeError or ValueError when not even its bare words can be said: a form that is no text, a lone surrogate in a name.
    """
    bare = replace(update, representation=None, change_set=None)
    for smaller in (update, replace(update, representation=None)):
        try:
            message = smaller.encode()
        except Exception:  # noqa: BLE001, S112 (a value's own `__str__` may raise anything)
            continue
        if len(message) <= MAX_BYTES:
            return smaller, message
    return bare, bare.encode()
