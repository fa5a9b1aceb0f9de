"""Payload <-> model: what callers send, validated by msgspec, and what they are sent (docs/reference/wamp.md).

Past this file nothing is a dictionary.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from formlock.errors import FormLocked, FormLockError, InvalidArgument, InvalidForm, Lost
from formlock.model import FormState, Found, Lease, Query
from formlock.uris import Uris

MAX_NOTE_LENGTH = 200
MAX_USER_LENGTH = 100
# What a double of JavaScript counts exactly.
MAX_TOKEN = 2**53 - 1
# A tab that holds more forms renews them in several calls.
MAX_LOCKS_PER_CALL = 200
MAX_LIST = 200

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_:-]+\Z")]
Token = Annotated[int, Meta(ge=1, le=MAX_TOKEN)]
Note = Annotated[str, Meta(max_length=MAX_NOTE_LENGTH)]
Payload = dict[str, Any]


class LockRequest(Struct, forbid_unknown_fields=True):
    """Of `lock`, beside the form."""

    tab: Name | None = None
    note: Note = ""
    rid: Name | None = None


class UnlockRequest(Struct, forbid_unknown_fields=True):
    """Of `unlock`, beside the form."""

    token: Token
    tab: Name | None = None
    leaving: bool = False
    rid: Name | None = None


class HeldLock(Struct, forbid_unknown_fields=True):
    """One lock that the tab believes it has."""

    form: str
    token: Token


class RenewRequest(Struct, forbid_unknown_fields=True):
    """Of `renew`."""

    locks: Annotated[list[HeldLock], Meta(max_length=MAX_LOCKS_PER_CALL)]
    tab: Name | None = None


class StatusRequest(Struct, forbid_unknown_fields=True):
    """Of `status`, beside the form: nothing."""


class ListRequest(Struct, forbid_unknown_fields=True):
    """Of `list`."""

    type: Name | None = None
    user: Annotated[str, Meta(max_length=MAX_USER_LENGTH)] | None = None
    state: Literal["held", "grace"] | None = None
    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_LIST)] = 100

    def query(self, uris: Uris) -> Query:
        """InvalidArgument for an `after` that is no form."""
        try:
            after = uris.form(self.after) if self.after is not None else None
        except InvalidForm:
            raise InvalidArgument(argument="after") from None
        return Query(self.type, self.user, None if self.state is None else self.state == "held", after, self.limit)


Request = TypeVar("Request", LockRequest, UnlockRequest, RenewRequest, StatusRequest, ListRequest)


def request(kind: type[Request], arguments: Mapping[str, Any]) -> Request:
    """A call's arguments without its form; InvalidArgument names the first wrong one."""
    fields = {name: value for name, value in arguments.items() if name != "form"}
    try:
        parsed = msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise InvalidArgument(argument=_culprit(str(error))) from None
    if isinstance(parsed, LockRequest) and not is_one_line(parsed.note):
        raise InvalidArgument(argument="note")
    return parsed


def _culprit(message: str) -> str:
    """The argument that msgspec complains of: a path such as `$.locks[...].token`, or a name in backquotes."""
    path = re.search(r"\$\.([A-Za-z_]+)", message)
    named = re.search(r"field `([A-Za-z_]{1,32})`", message)
    found = path or named
    return found.group(1) if found else "args"


def is_one_line(text: str) -> bool:
    """No control characters and no lone surrogates: those can't be sent on to every client."""
    return all(unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp") for character in text)


# -- what is sent


def snapshot(uris: Uris, state: FormState, epoch: str, now: int, wall: int) -> Payload:
    """The whole public state of a form."""
    return {
        "form": uris.topic(state.form),
        "state": _state_name(state.lease),
        **_holder(state.lease, now, wall),
        "token": state.token,
        "epoch": epoch,
        "rev": state.rev,
    }


def list_answer(uris: Uris, found: Found, epoch: str, now: int, wall: int) -> Payload:
    """Of `list`."""
    return {
        "forms": [snapshot(uris, state, epoch, now, wall) for state in found.states],
        "after": uris.topic(found.after) if found.after is not None else None,
        "epoch": epoch,
    }


def lock_answer(uris: Uris, state: FormState, token: int, epoch: str, lease_ms: int, renew_ms: int, receipt: str) -> Payload:
    """Of `lock`; `renew` has the same for each lock, as event "renewed"."""
    return {
        "event": "lock",
        "form": uris.topic(state.form),
        "token": token,
        "epoch": epoch,
        "rev": state.rev,
        "lease_ms": lease_ms,
        "renew_ms": renew_ms,
        "receipt": receipt,
    }


def unlock_answer(uris: Uris, state: FormState) -> Payload:
    """Of `unlock`."""
    return {"event": "released", "form": uris.topic(state.form), "rev": state.rev}


def lost_answer(topic: str, state: FormState | None) -> Payload:
    """Of `renew`, for a lock that has ended; None for a form that never was one."""
    return {"event": "lost", "form": topic, "holder": _person(state.lease) if state is not None else None}


def refusal(
    uris: Uris, error: type[FormLockError], state: FormState, same_user: bool, epoch: str, now: int, wall: int
) -> FormLockError:
    """A refusal of the rules with the facts that its error carries."""
    topic = uris.topic(state.form)
    if error is FormLocked:
        facts = _holder(state.lease, now, wall)
        return error(form=topic, status="locked", same_user=same_user, epoch=epoch, rev=state.rev, **facts)
    if error is Lost:
        return error(form=topic, holder=_person(state.lease))
    return error(form=topic)


def _state_name(lease: Lease | None) -> str:
    if lease is None:
        return "free"
    return "held" if lease.session is not None else "grace"


def _person(lease: Lease | None) -> Payload | None:
    return {"user": lease.owner.user, "name": lease.name} if lease is not None else None


def _holder(lease: Lease | None, now: int, wall: int) -> Payload:
    if lease is None:
        return {"holder": None, "since_ms": None, "expires_in_ms": None, "note": ""}
    return {
        "holder": _person(lease),
        "since_ms": max(0, wall - lease.granted_wall),
        "expires_in_ms": max(0, lease.deadline - now) if lease.deadline is not None else None,
        "note": lease.note,
    }
