"""Why nothing was written, in words for people and as a status for programs."""

from __future__ import annotations

from formlock_push.sqlalchemy import Late
from formlock_push.verify import InvalidReceipt


class Changed(Exception):
    """The record is not the one any more that the form was filled from."""


class Gone(Exception):
    """There is no such record any more."""


class Taken(Exception):
    """Somebody else has the form: the name, if it was told."""

    def __init__(self, name: str | None) -> None:
        super().__init__(name)
        self.name = name


class Unlockable(Exception):
    """The service can't be asked for a lock now."""


class Unverifiable(Exception):
    """No receipt can be verified now: the node's key is not there."""


# Everything that a write may end with instead of being done. Each of them leaves the database as it was.
REFUSALS = (InvalidReceipt, Late, Changed, Gone, Taken, Unlockable, Unverifiable)

_CONFLICT, _UNAVAILABLE = 409, 503

_LATE = "Your turn to edit had ended before this arrived, and somebody else may be editing now."

_RECEIPTS = {
    "missing": "This was sent without the lock that keeps others from changing the same invoice. Press Edit first.",
    "expired": _LATE,
}

# Pages that are not about a form.
HTTP = {
    403: "This was sent by the page of another site, so nothing was done.",
    404: "There is nothing at this address.",
    405: "This can't be done that way.",
    413: "This is more text than an invoice can have.",
    500: "Something went wrong here. Please try again.",
}


def sentence(refusal: Exception) -> str:
    """What happened. Who has the form now is not known here: the form's own page says it."""
    match refusal:
        case InvalidReceipt():
            return _RECEIPTS.get(refusal.reason, "This was not sent with a lock of yours on this invoice.")
        case Changed():
            return "The invoice was changed after you had opened it."
        case Gone():
            return "The invoice was deleted."
        case Taken(name=name):
            return f"{name or 'Somebody'} is editing this invoice now."
        case Unlockable():
            return "Nothing can be locked at the moment. Try again in a minute."
        case Unverifiable():
            return "Whether you may save can't be checked at the moment. Try again in a minute."
        case _:
            return _LATE


def status(refusal: Exception) -> int:
    """409, or 503 when it is nobody's fault and may work in a minute."""
    return _UNAVAILABLE if isinstance(refusal, (Unlockable, Unverifiable)) else _CONFLICT
