"""The names of forms: any record's id as one part of a topic, and back (tests/contract/escape.json)."""

from __future__ import annotations

import re

DEFAULT_PREFIX = "com.example"
MAX_TOPIC_LENGTH = 200
MAX_PART_LENGTH = 64

PART = re.compile(rf"[A-Za-z0-9_:-]{{1,{MAX_PART_LENGTH}}}")
# Whatever the prefix is, what is behind `.form.` says whether it can be one: a record, a section of it, or all of a type.
TOPIC = re.compile(rf"\S+\.form\.{PART.pattern}\.(?:{PART.pattern}(?:\.{PART.pattern})?|\*)")

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_ESCAPED = re.compile(r"(?:[A-Za-z0-9_-]|:[0-9A-F]{2})+")
_PAIR = re.compile(rb":([0-9A-F]{2})")


def escape(raw: str) -> str:
    """Any text as one part of a form's topic: UTF-8 bytes outside A-Z a-z 0-9 _ - become `:` and two upper-case hex digits.

    A part that comes out empty or longer than 64 characters raises ValueError: shortened, two records could share a lock.
    """
    part = "".join(chr(byte) if byte in _PLAIN else f":{byte:02X}" for byte in raw.encode("utf-8"))
    if not 1 <= len(part) <= MAX_PART_LENGTH:
        raise ValueError(f"an id has 1 to {MAX_PART_LENGTH} characters when escaped, this one has {len(part)}")
    return part


def unescape(part: str) -> str:
    """The text that `escape` was given; a part that no escape gives raises ValueError."""
    if not _ESCAPED.fullmatch(part):
        raise ValueError(f"{part!r} is nothing that escape gives")
    return _PAIR.sub(lambda pair: bytes([int(pair[1], 16)]), part.encode("ascii")).decode("utf-8")


def topic(type: str, id: str | int, section: str | None = None, *, prefix: str = DEFAULT_PREFIX) -> str:  # noqa: A002 (the form's own words)
    """The topic of a record's form, or of a section of it: `topic("invoice", 42)` is `com.example.form.invoice.42`.

    Raises ValueError for a part as `escape` does, and when the whole is longer than 200 characters.
    """
    parts = [escape(type), escape(str(id))] + ([escape(section)] if section is not None else [])
    made = ".".join([prefix, "form", *parts])
    if len(made) > MAX_TOPIC_LENGTH:
        raise ValueError(f"a form's topic has at most {MAX_TOPIC_LENGTH} characters, this one has {len(made)}")
    return made


def topic_of_type(type: str, *, prefix: str = DEFAULT_PREFIX) -> str:  # noqa: A002
    """What a bulk message calls its form: `com.example.form.invoice.*`."""
    return f"{prefix}.form.{escape(type)}.*"
