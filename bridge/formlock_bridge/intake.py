"""What backends push, read: bytes in, an `Update` or a `Rejected` with its reason out. Pure; nothing that is sent can raise here.

The article's message is valid as it is: `{"status": ..., "channel": ..., "change_set": ...}`; `"v": 1` says that the sender knows
docs/reference/updates.md. Unknown keys are ignored, null and the empty text are as if left out, and of a key that is given twice the
last counts, as in PHP and JavaScript.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from formlock.depth import MAX_DEPTH, deeper_than
from formlock.errors import InvalidForm
from formlock.uris import Uris, is_part
from formlock_push.message import MAX_BYTES, MAX_IDS, UPDATED, VERSION, Update, is_line

MAX_TEXT_LENGTH = 200
MAX_REDACTED_FIELDS = 64
# Browsers count exactly up to here.
MAX_VERSION = 2**53 - 1

_RIGHT = re.compile(r"[a-z0-9_.-]{1,64}")

_decode = msgspec.json.Decoder().decode

# What `_check` looks for can't be spelt without one of these. To find them takes 1 us, to look at every value of 20 fields 12.
_NUL = b"\\u0000"
_DIGITS_ONLY = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_MANY_DIGITS = b"0" * len(str(2**63))


class Reason(StrEnum):
    """Why a message was rejected. A closed set: it is what counters are named by."""

    MULTIPART = "multipart"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    TOO_DEEP = "too_deep"
    NOT_JSON = "not_json"
    NUMBER_OUT_OF_RANGE = "number_out_of_range"
    NUL_TEXT = "nul_text"
    NOT_OBJECT = "not_object"
    UNKNOWN_VERSION = "unknown_version"
    NO_FORM = "no_form"
    TWO_FORMS = "two_forms"
    INVALID_FORM = "invalid_form"
    INVALID_CHANGE_SET = "invalid_change_set"
    INVALID_STATUS = "invalid_status"
    INVALID_ID = "invalid_id"
    INVALID_SOURCE = "invalid_source"
    INVALID_VERSION = "invalid_version"
    INVALID_ORIGIN = "invalid_origin"
    INVALID_ACTOR = "invalid_actor"
    INVALID_REPRESENTATION = "invalid_representation"
    INVALID_REDACT = "invalid_redact"
    INVALID_COUNT = "invalid_count"
    INVALID_IDS = "invalid_ids"
    NOT_BULK = "not_bulk"
    NOT_SINGLE = "not_single"
    NO_ID = "no_id"
    NOT_ALLOWED = "not_allowed"


SENTENCES: Mapping[Reason, str] = {
    Reason.MULTIPART: "A message is one frame.",
    Reason.EMPTY: "The message is empty.",
    Reason.TOO_LARGE: f"A message has at most {MAX_BYTES} bytes.",
    Reason.NOT_UTF8: "The message is not UTF-8.",
    Reason.TOO_DEEP: f"The message is nested more than {MAX_DEPTH} levels deep.",
    Reason.NOT_JSON: "The message is not JSON.",
    Reason.NUMBER_OUT_OF_RANGE: "A number is larger than every client can be sent.",
    Reason.NUL_TEXT: "A text begins with NUL, which WAMP keeps for itself.",
    Reason.NOT_OBJECT: "The message is not an object.",
    Reason.UNKNOWN_VERSION: f"Known versions of a message are 0 and {VERSION}.",
    Reason.NO_FORM: "The message names no form.",
    Reason.TWO_FORMS: "The message names two forms.",
    Reason.INVALID_FORM: "The form is not the topic of one, such as com.example.form.invoice.42.",
    Reason.INVALID_CHANGE_SET: "A change set is an object of pairs, {field: [old, new]}; of many forms {field: [null, new]}.",
    Reason.INVALID_STATUS: f"A status is a text of one line, {MAX_TEXT_LENGTH} characters at most.",
    Reason.INVALID_ID: f"An id is a text of one line, {MAX_TEXT_LENGTH} characters at most.",
    Reason.INVALID_SOURCE: f"A source is a text of one line, {MAX_TEXT_LENGTH} characters at most.",
    Reason.INVALID_VERSION: f"A version is a whole number of at most 53 bits, or a text of at most {MAX_TEXT_LENGTH} characters.",
    Reason.INVALID_ORIGIN: f"An origin is a text of one line, {MAX_TEXT_LENGTH} characters at most.",
    Reason.INVALID_ACTOR: "An actor is a user, or an object with user and name.",
    Reason.INVALID_REPRESENTATION: "A representation is an object of values, or a text of HTML.",
    Reason.INVALID_REDACT: f"redact is {{field: right}} of at most {MAX_REDACTED_FIELDS} fields; a right has a-z 0-9 _ . and -.",
    Reason.INVALID_COUNT: "A bulk message has a count of at least 1.",
    Reason.INVALID_IDS: f"ids is a list of at most {MAX_IDS} ids as in topics, no more than the count.",
    Reason.NOT_BULK: "count and ids belong to a form that ends in .*.",
    Reason.NOT_SINGLE: "version and representation belong to a single form.",
    Reason.NO_ID: "This way in needs an id.",
    Reason.NOT_ALLOWED: "This key may not push to this form.",
}


@dataclass(frozen=True, slots=True)
class Rejected:
    """`form` is what the message called its form, if it came that far; for the log only. `id` is its own, if that is one: whoever
    sent several tells by it which of them it was."""

    reason: Reason
    form: str = ""
    id: str | None = None


def read(uris: Uris, frame: bytes, parts: int = 1) -> Update | Rejected:
    """One message: its first frame, and how many frames it had."""
    try:
        message = _parse(frame, parts)
    except _NotValid as error:
        return Rejected(error.reason)
    try:
        return _update(uris, message)
    except _NotValid as error:
        return Rejected(error.reason, _named_form(message), _named_id(message))


def _named_form(message: Mapping[str, Any]) -> str:
    form = message.get("form") or message.get("channel")
    return form[:MAX_TEXT_LENGTH] if isinstance(form, str) else ""


def _named_id(message: Mapping[str, Any]) -> str | None:
    try:
        return _text(message.get("id"), "id")
    except _NotValid:
        return None


class _NotValid(Exception):
    def __init__(self, reason: Reason) -> None:
        self.reason = reason


# -- bytes to values


def _parse(frame: bytes, parts: int) -> dict[str, Any]:
    if parts != 1:
        raise _NotValid(Reason.MULTIPART)
    if not frame:
        raise _NotValid(Reason.EMPTY)
    if len(frame) > MAX_BYTES:
        raise _NotValid(Reason.TOO_LARGE)
    try:
        frame.decode("utf-8")
    except UnicodeDecodeError:
        raise _NotValid(Reason.NOT_UTF8) from None
    # Before anything recursive sees it: what Crossbar imports lifts Python's own limit to 100,000, and then a bomb is signal 11.
    if deeper_than(MAX_DEPTH, frame):
        raise _NotValid(Reason.TOO_DEEP)
    try:
        message = _decode(frame)
    except msgspec.ValidationError:
        # Valid by the grammar: 1e999, or an integer of thousands of digits.
        raise _NotValid(Reason.NUMBER_OUT_OF_RANGE) from None
    except ValueError:
        # NaN and lone surrogates (\ud800) too: neither is JSON that every client can read.
        raise _NotValid(Reason.NOT_JSON) from None
    if not isinstance(message, dict):
        raise _NotValid(Reason.NOT_OBJECT)
    if _NUL in frame or _MANY_DIGITS in frame.translate(_DIGITS_ONLY):
        _check(message)
    return message


def _check(value: object) -> None:
    """Whether every client can be sent this value; the depth is known to be small."""
    if isinstance(value, str):
        # WAMP's JSON spells binary as a text that begins with NUL: the router would try to decode the rest, and fail.
        if value.startswith("\0"):
            raise _NotValid(Reason.NUL_TEXT)
    elif isinstance(value, int):
        # What MessagePack and CBOR clients can be sent.
        if not -(2**63) <= value < 2**64:
            raise _NotValid(Reason.NUMBER_OUT_OF_RANGE)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check(key)
            _check(item)
    elif isinstance(value, list):
        for item in value:
            _check(item)


# -- values to an update


def _update(uris: Uris, message: Mapping[str, Any]) -> Update:
    # A later shape may ask for care that we don't know of, so we don't take it for this one.
    version = message.get("v")
    if version is not None and (isinstance(version, bool) or version not in (0, VERSION)):
        raise _NotValid(Reason.UNKNOWN_VERSION)
    form = _topic(message)
    facts: dict[str, Any] = {"form": form}
    # Most keys are not there in most messages.
    for name, read_one in _KEYS:
        if (given := message.get(name)) is not None:
            facts[name] = read_one(given, name)
    if not facts.get("status"):
        facts["status"] = UPDATED
    if version == VERSION and uris.bulk_type(form) is not None:
        _many(message, facts)
        return Update(**facts)
    try:
        uris.form(form)
    except InvalidForm:
        raise _NotValid(Reason.INVALID_FORM) from None
    # A message without a version may have any key of its own, also these two.
    if version == VERSION and (message.get("count") is not None or message.get("ids") is not None):
        raise _NotValid(Reason.NOT_BULK)
    return Update(**facts)


def _topic(message: Mapping[str, Any]) -> Any:
    """What it calls its form. The article's queue handler reads `form`, its entity subscriber sends `channel`: both are right."""
    given = [topic for key in ("form", "channel") if (topic := message.get(key)) is not None]
    if not given:
        raise _NotValid(Reason.NO_FORM)
    if len(given) == 2 and given[0] != given[1]:
        raise _NotValid(Reason.TWO_FORMS)
    return given[0]


def _many(message: Mapping[str, Any], facts: dict[str, Any]) -> None:
    """Add how many records a bulk message is about, and which."""
    count, ids = message.get("count"), message.get("ids")
    if facts.get("version") is not None or facts.get("representation"):
        raise _NotValid(Reason.NOT_SINGLE)
    facts.pop("representation", None)
    # They had different values before.
    if any(old is not None for old, _ in (facts.get("change_set") or {}).values()):
        raise _NotValid(Reason.INVALID_CHANGE_SET)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAX_VERSION:
        raise _NotValid(Reason.INVALID_COUNT)
    facts["count"] = count
    if ids in (None, []):
        return
    if not isinstance(ids, list) or len(ids) > min(MAX_IDS, count):
        raise _NotValid(Reason.INVALID_IDS)
    names = [str(one) if isinstance(one, int) and not isinstance(one, bool) else one for one in ids]
    if not all(isinstance(name, str) and is_part(name) for name in names):
        raise _NotValid(Reason.INVALID_IDS)
    facts["ids"] = names


# Each is handed a value that is there, and its key.


def _change_set(given: object, name: str) -> dict[str, list[Any]]:
    if given == []:  # an empty array of PHP
        return {}
    if not isinstance(given, dict):
        raise _wrong(name)
    pairs: dict[str, list[Any]] = {}
    for field, pair in given.items():
        if isinstance(pair, dict):
            # Doctrine puts a to-many collection here, as an object, instead of a pair. It has no values to tell.
            continue
        if not isinstance(pair, list) or len(pair) != 2:
            raise _wrong(name)
        pairs[field] = pair
    return pairs


def _representation(given: object, name: str) -> dict[str, Any] | str:
    if isinstance(given, (dict, str)):
        return given
    if given == []:  # an empty array of PHP
        return {}
    raise _wrong(name)


def _actor(given: object, name: str) -> dict[str, str] | None:
    """As a lock's holder: `{user, name}`."""
    said = given if isinstance(given, dict) else {"user": given}
    user = _text(said.get("user"), name)
    if user is None:
        if given == "":
            return None
        raise _wrong(name)
    return {"user": user, "name": _text(said.get("name"), name) or user}


def _version(given: object, name: str) -> int | str | None:
    if isinstance(given, int) and not isinstance(given, bool):
        if abs(given) > MAX_VERSION:
            raise _wrong(name)
        return given
    return _text(given, name)


def _redact(given: object, name: str) -> dict[str, str] | None:
    """Without a version too: who forgets the `v` must not tell secrets by it."""
    if given in ([], {}):
        return None
    if not isinstance(given, dict) or len(given) > MAX_REDACTED_FIELDS:
        raise _wrong(name)
    if not all(isinstance(right, str) and _RIGHT.fullmatch(right) for right in given.values()):
        raise _wrong(name)
    return given


def _text(given: object, name: str) -> str | None:
    """A short text in one line. A whole number is its digits: many a backend's ids are numbers."""
    if given is None or given == "":
        return None
    if isinstance(given, str) and is_line(given):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    raise _wrong(name)


def _wrong(name: str) -> _NotValid:
    return _NotValid(Reason(f"invalid_{name}"))


_KEYS: tuple[tuple[str, Callable[[object, str], object]], ...] = (
    ("change_set", _change_set),
    ("status", _text),
    ("id", _text),
    ("source", _text),
    ("version", _version),
    ("origin", _text),
    ("actor", _actor),
    ("representation", _representation),
    ("redact", _redact),
)
