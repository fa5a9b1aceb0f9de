"""What can be refused, and the sentence that people read.

    FormLockError
    ├── Refused              asking again unchanged gives the same answer until somebody else acts
    │   ├── FormLocked       form_locked       another owner holds the form
    │   ├── Lost             lost              the grant this call speaks of has ended
    │   ├── Conflict         conflict          what this call assumes is no longer so
    │   ├── NotHolder        not_holder        the token is not one of this owner's
    │   └── NotAllowed       not_allowed       the right is missing
    ├── Malformed            the call itself is wrong and never becomes right
    │   ├── InvalidForm      invalid_form
    │   ├── InvalidArgument  invalid_argument
    │   └── WrongMethod      wrong_method
    └── Unavailable          the same call may succeed in a moment: clients retry
        ├── TooMany          too_many
        └── NotActive        not_active

A class knows the last part of its URI (`name`), its sentence, and whether a retry can help. Facts travel as keywords beside the
sentence (docs/reference/wamp.md); nothing that Python itself wrote ever does.
"""

from __future__ import annotations

from typing import Any, ClassVar


class FormLockError(Exception):
    """The root. `facts` are JSON-able values for the caller's program; `sentence` is for people."""

    name: ClassVar[str]
    sentence: ClassVar[str]
    retry: ClassVar[bool] = False

    def __init__(self, sentence: str | None = None, **facts: Any) -> None:
        self.message = sentence or self.sentence
        self.facts = facts
        super().__init__(self.message)


class Refused(FormLockError):
    """The rules of locking say no."""


class FormLocked(Refused):
    """Facts: form, status "locked", holder, since_ms, expires_in_ms, same_user."""

    name = "form_locked"
    sentence = "Form was locked"


class Lost(Refused):
    """Facts: form, holder (who has it now, or null)."""

    name = "lost"
    sentence = "Your lock on this form has ended"


class Conflict(Refused):
    """Facts: form, holder, token (of the present grant, or null)."""

    name = "conflict"
    sentence = "The form has changed hands meanwhile"


class NotHolder(Refused):
    """Facts: form."""

    name = "not_holder"
    sentence = "You do not hold this form"


class NotAllowed(Refused):
    """Facts: form (or type), right."""

    name = "not_allowed"
    sentence = "You are not allowed to do this"


class Malformed(FormLockError):
    """The call is wrong in itself."""


class InvalidForm(Malformed):
    """No form id, or one that breaks the rules for ids."""

    name = "invalid_form"
    sentence = "You need to provide valid form id"


class InvalidArgument(Malformed):
    """Facts: argument (its name)."""

    name = "invalid_argument"
    sentence = "An argument is not valid"


class WrongMethod(Malformed):
    """Nothing is registered under this name. Facts: procedure."""

    name = "wrong_method"
    sentence = "Wrong method called"


class Unavailable(FormLockError):
    """Not now."""

    retry = True


class TooMany(Unavailable):
    """A limit of the service is reached. Facts: form."""

    name = "too_many"
    sentence = "Too many requests, please try again shortly"


class NotActive(Unavailable):
    """The worker behind a published name is away, starting, or could not store its decision."""

    name = "not_active"
    sentence = "The form lock service is not available right now, please try again"
