"""What a session's bearer may do: user, tenant, and rights by form pattern. Pure; the same value in router and component."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from formlock.model import FormId

Right = Literal["view", "lock", "takeover", "list", "reserve", "admin"]
RIGHTS: frozenset[Right] = frozenset(get_args(Right))
# Every right there is, those of the application too (below); only the development node gives it.
EVERY = "*"
# An application's own right, by which it says who may see a field of an update (`redact`).
EXTRA_RIGHT = re.compile(r"[a-z0-9_.-]{1,64}")

# What nobody sees, and what turns the direction of all that follows.
_HIDDEN = frozenset("\u00ad\u180e\u200b\u202a\u202b\u202c\u202d\u202e\ufeff") | {chr(code) for code in range(0x2060, 0x206A)}

MAX_USER_LENGTH = 100
MAX_NAME_LENGTH = 100


class InvalidClaims(ValueError):
    """The sentence says what is wrong; it is safe to send to the bearer."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Rights on the forms that a pattern names: `invoice.42`, `invoice.*` or `*`."""

    pattern: str
    rights: frozenset[str]

    def gives(self, right: str) -> bool:
        """Whether the right is among them."""
        return right in self.rights or EVERY in self.rights

    def covers(self, form: FormId) -> bool:
        """Whether the pattern names this form; whoever may do something with the whole may with its sections."""
        return self.pattern in ("*", f"{form.type}.*", str(form), str(form.record))


@dataclass(frozen=True, slots=True)
class Claims:
    """Who is there and what they may do. Travels as the session's authextra, in the shape of `to_extra`."""

    user: str
    name: str
    tenant: str = ""
    grants: tuple[Grant, ...] = ()

    def allows(self, right: str, form: FormId) -> bool:
        """Whether the bearer has the right on this form: one of RIGHTS, or one of the application's own."""
        return any(grant.gives(right) and grant.covers(form) for grant in self.grants)

    def allows_all(self, right: str, type: str | None = None) -> bool:  # noqa: A002 (the form's own word)
        """Whether the bearer has the right on every form of the type, or on every form there is."""
        patterns = ("*", f"{type}.*") if type is not None else ("*",)
        return any(grant.gives(right) and grant.pattern in patterns for grant in self.grants)

    def allows_some(self, right: str, type: str) -> bool:  # noqa: A002
        """Whether the bearer has the right on at least one form of the type, as far as one can tell: there may be none."""
        return any(grant.gives(right) and (grant.pattern == "*" or grant.pattern.startswith(f"{type}.")) for grant in self.grants)

    def to_extra(self) -> dict[str, Any]:
        """JSON-able; `from_extra` reads it back."""
        return {
            "user": self.user,
            "name": self.name,
            "tenant": self.tenant,
            "rights": {grant.pattern: sorted(grant.rights) for grant in self.grants},
        }


def from_extra(extra: object) -> Claims:
    """The claims in an authextra that our authenticator wrote; InvalidClaims for anything else."""
    if not isinstance(extra, Mapping):
        raise InvalidClaims("no claims")
    rights = extra.get("rights")
    if not isinstance(rights, Mapping):
        raise InvalidClaims("claims without rights")
    grants = tuple(
        Grant(str(pattern), frozenset(right for right in granted if _is_right(right)))
        for pattern, granted in rights.items()
        if isinstance(granted, list)
    )
    return Claims(
        user=_text(extra.get("user"), "user", MAX_USER_LENGTH),
        name=_text(extra.get("name"), "name", MAX_NAME_LENGTH),
        tenant=str(extra.get("tenant", "")),
        grants=grants,
    )


def development(extra: object, guest: str) -> Claims:
    """The development node's identity: whoever the caller says, with every right, or with the `rights` it says (by form pattern), so
    that one can see what others see. `guest` is the user who says nothing."""
    said = extra if isinstance(extra, Mapping) else {}
    user = _text(said.get("user") or guest, "user", MAX_USER_LENGTH)
    name = _text(said.get("name") or user, "name", MAX_NAME_LENGTH)
    if said.get("rights") is not None:
        return from_extra({"user": user, "name": name, "rights": said["rights"]})
    return Claims(user=user, name=name, grants=(Grant("*", frozenset({*RIGHTS, EVERY})),))


def _is_right(right: object) -> bool:
    """RIGHTS are spelt as the application's own may be."""
    return isinstance(right, str) and (right == EVERY or EXTRA_RIGHT.fullmatch(right) is not None)


def _text(value: object, what: str, limit: int) -> str:
    """A string that can be shown in one line: no control characters, no lone surrogates, nothing hidden (one name could pass for
    another), not too long. Joiners are in many a Persian or Indian name."""
    if not isinstance(value, str) or not 1 <= len(value) <= limit:
        raise InvalidClaims(f"{what}: 1 to {limit} characters")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _HIDDEN for character in value):
        raise InvalidClaims(f"{what}: no control characters")
    return value
