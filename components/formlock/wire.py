"""Payload <-> model: what callers send, validated by msgspec, and what they are sent (docs/reference/wamp.md).

Past this file nothing is a dictionary.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from formlock.depth import deeper_than
from formlock.errors import Conflict, FormLocked, FormLockError, InvalidArgument, InvalidForm, Lost, NotAllowed
from formlock.model import Ask, Contest, Draft, FormId, FormState, Found, Handover, Lease, Mode, Query, Waiter, overlap
from formlock.uris import Uris

MAX_NOTE_LENGTH = 200
MAX_USER_LENGTH = 100
# What a double of JavaScript counts exactly.
MAX_TOKEN = 2**53 - 1
# A tab that holds more forms renews them in several calls.
MAX_LOCKS_PER_CALL = 200
MAX_LIST = 200
MAX_FORMS_PER_CALL = 50
MAX_HISTORY = 100
MAX_DRAFT_BYTES = 32_768
MAX_DRAFT_DEPTH = 16
# A page that has had more names its latest.
MAX_SESSIONS = 8

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_:-]+\Z")]
Token = Annotated[int, Meta(ge=1, le=MAX_TOKEN)]
Note = Annotated[str, Meta(max_length=MAX_NOTE_LENGTH)]
# A year is longer than any policy allows.
Milliseconds = Annotated[int, Meta(ge=0, le=366 * 86_400_000)]
# By their WAMP ids.
Sessions = Annotated[list[Annotated[int, Meta(ge=1, le=2**53)]], Meta(max_length=MAX_SESSIONS)]
Payload = dict[str, Any]


class LockRequest(Struct, forbid_unknown_fields=True):
    """Of `lock`, beside the form. `forms`: several, all or none. `until_ms`: a deliberate long lock."""

    tab: Name | None = None
    note: Note = ""
    rid: Name | None = None
    forms: Annotated[list[str], Meta(min_length=1, max_length=MAX_FORMS_PER_CALL)] | None = None
    wait: bool = False
    mode: Mode = "exclusive"
    machine: bool = False
    until_ms: Milliseconds | None = None


class TakeoverRequest(Struct, forbid_unknown_fields=True):
    """Of `takeover`, beside the form."""

    expected_token: Token
    tab: Name | None = None
    reason: Note = ""
    note: Note = ""
    machine: bool = False
    rid: Name | None = None


class AskRequest(Struct, forbid_unknown_fields=True):
    """Of `ask`, beside the form."""

    tab: Name | None = None
    note: Note = ""


class AnswerRequest(Struct, forbid_unknown_fields=True):
    """Of `answer`, beside the form."""

    token: Token
    answer: Literal["release", "keep"]
    tab: Name | None = None
    keep_ms: Milliseconds | None = None


class LeaveQueueRequest(Struct, forbid_unknown_fields=True):
    """Of `leave_queue`, beside the form."""

    tab: Name | None = None


class UnlockRequest(Struct, forbid_unknown_fields=True):
    """Of `unlock`, beside the form. `sessions`: those that the page has had, beside the one that calls."""

    token: Token
    tab: Name | None = None
    leaving: bool = False
    sessions: Sessions = []
    rid: Name | None = None


class HandOverRequest(Struct, forbid_unknown_fields=True):
    """Of `hand_over`, beside the form. `draft`: any JSON value, see `draft_content`."""

    token: Token
    tab: Name | None = None
    draft: Any = None


class DraftRequest(Struct, forbid_unknown_fields=True):
    """Of `draft`, beside the form. `token`: of the grant whose draft is wanted, if not the newest."""

    token: Token | None = None


class ForgetDraftRequest(Struct, forbid_unknown_fields=True):
    """Of `forget_draft`, beside the form. `token`: of one grant; without it, all of one's own."""

    token: Token | None = None


class HistoryRequest(Struct, forbid_unknown_fields=True):
    """Of `history`, beside the form."""

    since: Annotated[int, Meta(ge=0, le=MAX_TOKEN)] | None = None
    after: Annotated[int, Meta(ge=0, le=MAX_TOKEN)] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_HISTORY)] = 50


class HeldLock(Struct, forbid_unknown_fields=True):
    """One lock that the tab believes it has."""

    form: str
    token: Token


class RenewRequest(Struct, forbid_unknown_fields=True):
    """Of `renew`."""

    locks: Annotated[list[HeldLock], Meta(max_length=MAX_LOCKS_PER_CALL)]
    tab: Name | None = None
    active: bool | None = None


class StatusRequest(Struct, forbid_unknown_fields=True):
    """Of `status`, beside the form: nothing."""


class ListRequest(Struct, forbid_unknown_fields=True):
    """Of `list`."""

    type: Name | None = None
    user: Annotated[str, Meta(max_length=MAX_USER_LENGTH)] | None = None
    state: Literal["held", "grace"] | None = None
    idle: bool | None = None
    machine: bool | None = None
    waited_for: bool | None = None
    held_ms: Milliseconds | None = None
    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_LIST)] = 100

    def query(self, uris: Uris, wall: int) -> Query:
        """InvalidArgument for an `after` that is no form."""
        try:
            after = uris.form(self.after) if self.after is not None else None
        except InvalidForm:
            raise InvalidArgument(argument="after") from None
        return Query(
            type=self.type,
            user=self.user,
            attached=None if self.state is None else self.state == "held",
            idle=self.idle,
            machine=self.machine,
            waited_for=self.waited_for,
            since_wall=wall - self.held_ms if self.held_ms is not None else None,
            after=after,
            limit=self.limit,
        )


Request = TypeVar("Request", bound=Struct)


def request(kind: type[Request], arguments: Mapping[str, Any]) -> Request:
    """A call's arguments without its form; InvalidArgument names the first wrong one."""
    fields = {name: value for name, value in arguments.items() if name != "form"}
    try:
        parsed = msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise InvalidArgument(argument=_culprit(str(error))) from None
    for name in ("note", "reason"):
        if not is_one_line(getattr(parsed, name, "")):
            raise InvalidArgument(argument=name)
    return parsed


def _culprit(message: str) -> str:
    """The argument that msgspec complains of: a path such as `$.locks[...].token`, or a name in backquotes."""
    path = re.search(r"\$\.([A-Za-z_]+)", message)
    named = re.search(r"field `([A-Za-z_]{1,32})`", message)
    found = path or named
    return found.group(1) if found else "args"


def draft_content(value: Any) -> bytes | None:
    """A draft as it is kept; None for none. InvalidArgument for what is too large, too deep, or no JSON."""
    if value is None:
        return None
    try:
        # What JSON does not have (a text of bytes, a number that is none, half a surrogate pair) would come back as something else.
        content = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        raise InvalidArgument(argument="draft") from None
    if len(content) > MAX_DRAFT_BYTES or deeper_than(MAX_DRAFT_DEPTH, content):
        raise InvalidArgument(argument="draft")
    return content


def is_one_line(text: str) -> bool:
    """No control characters and no lone surrogates: those can't be sent on to every client."""
    return all(unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp") for character in text)


# -- what is sent


def snapshot(uris: Uris, state: FormState, form: FormId, epoch: str, now: int, wall: int) -> Payload:
    """The whole public state of a form, or of one section, as somebody who wants it meets it."""
    leases = state.held(form.section)
    lease = leases[0] if leases else None
    return {
        "form": uris.topic(form),
        "state": _state_name(lease),
        **_holder(lease, now, wall),
        "token": lease.token if lease is not None else state.token,
        "epoch": epoch,
        "rev": state.rev,
        **_more(uris, state, form, leases, now, wall),
    }


def _more(uris: Uris, state: FormState, form: FormId, leases: Sequence[Lease], now: int, wall: int) -> Payload:
    """What is not the case is not said: most forms have one holder, and nobody who waits or asks."""
    facts: Payload = {}
    if len(leases) > 1 or any(lease.section != form.section or lease.mode != "exclusive" for lease in leases):
        facts["holders"] = [
            {**_somebody(lease), "form": uris.topic(_part(state, lease)), "mode": lease.mode, "token": lease.token}
            for lease in leases
        ]
    waiters = [waiter for waiter in state.waiters if overlap(form.section, waiter.section)]
    if waiters:
        facts["waiters"] = [{"number": waiter.number, **_somebody(waiter)} for waiter in waiters]
    for lease in leases[:1]:
        if lease.machine:
            facts["machine"] = True
        if lease.idle_wall is not None:
            facts["idle_ms"] = max(0, wall - lease.idle_wall)
        if lease.long_wall is not None:
            facts["until_ms"] = max(0, lease.long_wall - wall)
        if lease.contest is not None:
            facts |= _contest(lease.contest, now)
    return facts


def _contest(contest: Contest, now: int) -> Payload:
    facts: Payload = {}
    if contest.asks:
        facts["asks"] = [{"number": ask.number, **_somebody(ask), "note": ask.note} for ask in contest.asks]
        facts["answer_in_ms"] = max(0, contest.ask_until - now) if contest.ask_until is not None else None
    if contest.kept_until is not None and contest.kept_until > now:
        facts["kept_ms"] = contest.kept_until - now
    if contest.handover is not None:
        handover = contest.handover
        facts["handover"] = {**_somebody(handover), "reason": handover.reason, "in_ms": max(0, handover.until - now)}
    return facts


def _part(state: FormState, lease: Lease) -> FormId:
    return state.form._replace(section=lease.section)


def _somebody(who: Lease | Waiter | Ask | Handover) -> Payload:
    return {"user": who.owner.user, "name": who.name}


def list_answer(uris: Uris, found: Found, epoch: str, now: int, wall: int) -> Payload:
    """Of `list`."""
    return {
        "forms": [snapshot(uris, state, state.form, epoch, now, wall) for state in found.states],
        "after": uris.topic(found.after) if found.after is not None else None,
        "epoch": epoch,
    }


def lock_answer(
    topic: str, rev: int, token: int, epoch: str, lease_ms: int, renew_ms: int, silence_ms: int, receipt: str
) -> Payload:
    """Of `lock` and `takeover`; `renew` has the same for each lock, as event "renewed"."""
    return {
        "event": "lock",
        "form": topic,
        "token": token,
        "epoch": epoch,
        "rev": rev,
        "lease_ms": lease_ms,
        "renew_ms": renew_ms,
        "silence_ms": silence_ms,
        "receipt": receipt,
    }


def queue_answer(topic: str, rev: int, epoch: str, number: int, position: int) -> Payload:
    """Of `lock` with `wait`, when the form is not free."""
    return {"event": "queued", "form": topic, "number": number, "position": position, "epoch": epoch, "rev": rev}


def unlock_answer(topic: str, rev: int) -> Payload:
    """Of `unlock`, `leave_queue`, and of an answer that gives the form up."""
    return {"event": "released", "form": topic, "rev": rev}


def ask_answer(topic: str, rev: int, number: int, in_ms: int | None) -> Payload:
    """Of `ask`: the holder has been asked, and has so long to answer."""
    return {"event": "asked", "form": topic, "number": number, "answer_in_ms": in_ms, "rev": rev}


def hand_over_answer(topic: str, rev: int, moved: bool) -> Payload:
    """Of `hand_over`: the draft, if there was one, is safe; `moved`: the form is not the caller's any more."""
    return {"event": "handed_over", "form": topic, "rev": rev, "moved": moved}


def draft_answer(uris: Uris, form: FormId, drafts: Sequence[Draft], user: str, token: int | None) -> Payload:
    """Of `draft`: what there is, the newest first, and the contents of one: of `token`, else the newest own, else the newest."""
    own_first = sorted(drafts, key=lambda draft: draft.owner.user != user)
    shown = next((draft for draft in own_first if token in (None, draft.token)), None)
    return {
        "form": uris.topic(form),
        "drafts": [
            {
                "form": uris.topic(draft.form),
                "user": draft.owner.user,
                "name": draft.name,
                "token": draft.token,
                "at": draft.wall,
                "own": draft.owner.user == user,
            }
            for draft in drafts
        ],
        "token": shown.token if shown is not None else None,
        "draft": json.loads(shown.content) if shown is not None else None,
    }


def lost_answer(topic: str, holder: Lease | None, ending: Payload | None = None) -> Payload:
    """Of `renew`, for a lock that has ended, with who has the form now and, where that is known, how it has ended."""
    return {"event": "lost", "form": topic, "holder": _person(holder), **(ending or {})}


def refusal(
    uris: Uris, error: type[FormLockError], state: FormState, form: FormId, same_user: bool, epoch: str, now: int, wall: int
) -> FormLockError:
    """A refusal of the rules with the facts that its error carries."""
    topic = uris.topic(form)
    leases = state.held(form.section)
    lease = leases[0] if leases else None
    if error is FormLocked:
        facts = {**snapshot(uris, state, form, epoch, now, wall), "status": "locked", "same_user": same_user}
        return error(**facts)
    if error is Lost:
        return error(form=topic, holder=_person(lease))
    if error is Conflict:
        return error(form=topic, holder=_person(lease), token=lease.token if lease is not None else None)
    # What the rules themselves do not allow is a takeover; every other right is asked for before them.
    return error(form=topic, right="takeover") if error is NotAllowed else error(form=topic)


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
