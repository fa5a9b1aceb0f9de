"""Whether the bridge will take an update, key by key: what it would refuse is found by its sender, who can still do something.

What the bridge takes stands in its intake.py; a test holds the two together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from formlock_push.names import MAX_TOPIC_LENGTH, PART, TOPIC
from formlock_push.plain import UnsayableError, plain
from formlock_push.plain import name as field_name

# Of the shape in docs/reference/updates.md. The article's bare message, without a version, is taken for ever.
VERSION = 1
# Of one message, encoded. The bridge refuses more.
MAX_BYTES = 65_536
MAX_TEXT_LENGTH = 200
# Browsers count exactly up to here.
MAX_NUMBER = 2**53 - 1
MAX_REDACTED = 64
# Of one bulk message; more are only counted.
MAX_IDS = 1_000
RIGHT = re.compile("[a-z0-9_.-]{1,64}")
# What no line of text has: control characters, halves of pairs, ends of lines and paragraphs; and what nobody sees, or what turns
# the direction of all that follows, by which one name could pass for another. Joiners and blanks that can be seen stay: names have
# them, in Persian and Hindi, and wherever somebody has kept two words together.
NO_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u180e\u200b\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")


def is_line(text: str) -> bool:
    """Whether a text may be a name, an id, a word for a status."""
    # The first is quicker, and is true of nearly all.
    return len(text) <= MAX_TEXT_LENGTH and (text.isprintable() or NO_LINE.search(text) is None)


def said(facts: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The message of nothing but JSON's own types, and a sentence for each key that the bridge would refuse: those are not in it.

    `facts` are an update's, by name.
    """
    message: dict[str, Any] = {"v": VERSION}
    problems: list[str] = []
    bulk = str(facts.get("form")).endswith(".*")
    for name, value in facts.items():
        try:
            message[name] = _of_many(name, value) if bulk else _of_one(name, value)
        except UnsayableError as error:
            problems.append(str(error))
    if bulk and "count" not in facts:
        problems.append("count: how many records have changed is not said")
    if bulk and len(message.get("ids", ())) > message.get("count", MAX_IDS):
        problems.append(f"ids: {len(message['ids'])} are more than the count")
    return message, tuple(problems)


def encoded(message: Mapping[str, Any]) -> bytes:
    """Raises UnsayableError when it is too long."""
    data = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    if len(data) > MAX_BYTES:
        raise UnsayableError(f"{len(data)} bytes are more than {MAX_BYTES}")
    return data


# -- one key each


def _form(given: object, name: str) -> str:
    if not isinstance(given, str) or len(given) > MAX_TOPIC_LENGTH or TOPIC.fullmatch(given) is None:
        raise UnsayableError(f"{name}: {given!r} is no form's topic")
    return str.__str__(given)


def _line(given: object, name: str) -> str:
    said = str(given)
    if isinstance(given, bool) or not isinstance(given, (str, int)) or not is_line(said):
        raise UnsayableError(f"{name}: one line of at most {MAX_TEXT_LENGTH} characters, not {said[:MAX_TEXT_LENGTH]!r}")
    return str.__str__(said)


def _number(given: object, name: str, least: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= MAX_NUMBER:
        raise UnsayableError(f"{name}: {given!r} is no whole number from {least} to {MAX_NUMBER}")
    return int(given)


def _version(given: object, name: str) -> int | str:
    return _number(given, name, -MAX_NUMBER) if isinstance(given, int) else _line(given, name)


def _actor(given: object, name: str) -> dict[str, str] | str:
    if not isinstance(given, Mapping):
        return _line(given, name)
    said = {key: _line(given[key], f"{name}.{key}") for key in ("user", "name") if given.get(key) not in (None, "")}
    if "user" not in said:
        raise UnsayableError(f"{name}: no user")
    return said


def _change_set(given: object, name: str) -> dict[str, list[object]]:
    if not isinstance(given, Mapping):
        raise UnsayableError(f"{name}: {{field: [old, new]}}")
    pairs: dict[str, list[object]] = {}
    for field, pair in given.items():
        place = f"{name}.{field}"
        if isinstance(pair, (str, bytes)) or len(pair) != 2:
            raise UnsayableError(f"{place}: [old, new]")
        # Around a value there are the message, the change set and the pair.
        pairs[field_name(field, name)] = [plain(value, place, 3) for value in pair]
    return pairs


def _representation(given: object, name: str) -> object:
    if not isinstance(given, (str, Mapping)):
        raise UnsayableError(f"{name}: {{field: value}}, or a fragment of HTML")
    return plain(given, name, 1)


def _redact(given: object, name: str) -> dict[str, str]:
    if not isinstance(given, Mapping) or len(given) > MAX_REDACTED:
        raise UnsayableError(f"{name}: {{field: right}} for at most {MAX_REDACTED} fields")
    for field, right in given.items():
        if not isinstance(right, str) or RIGHT.fullmatch(right) is None:
            raise UnsayableError(f"{name}.{field}: {right!r} is no name of a right")
    return {field_name(field, name): str.__str__(right) for field, right in given.items()}


def _ids(given: object, name: str) -> list[str]:
    if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
        raise UnsayableError(f"{name}: a list")
    ids = [str(one) for one in given]
    if len(ids) > MAX_IDS:
        raise UnsayableError(f"{name}: {len(ids)} are more than {MAX_IDS}")
    for one in ids:
        if PART.fullmatch(one) is None:
            raise UnsayableError(f"{name}: {one!r} is no id as in a topic (`escape` makes it one)")
    return ids


_KEYS: Mapping[str, Callable[[Any, str], object]] = {
    "form": _form,
    "change_set": _change_set,
    "status": _line,
    "id": _line,
    "source": _line,
    "version": _version,
    "origin": _line,
    "actor": _actor,
    "representation": _representation,
    "redact": _redact,
}


def _of_one(name: str, value: object) -> object:
    if name not in _KEYS:
        raise UnsayableError(f"{name}: only of a bulk message")
    return _KEYS[name](value, name)


def _of_many(name: str, value: object) -> object:
    if name == "count":
        return _number(value, name, 1)
    if name == "ids":
        return _ids(value, name)
    if name in ("representation", "version"):
        raise UnsayableError(f"{name}: not of a bulk message")
    checked = _KEYS[name](value, name)
    if name == "change_set" and any(pair[0] is not None for pair in _change_set(value, name).values()):
        raise UnsayableError(f"{name}: in a bulk message the old value is always None")
    return checked
