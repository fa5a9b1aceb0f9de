"""Every name on the wire: procedures, topics and errors, and the two ways between a form and its topic."""

from __future__ import annotations

import re
from dataclasses import dataclass

from formlock.errors import InvalidForm
from formlock.model import FormId

DEFAULT_PREFIX = "com.example"
MAX_TOPIC_LENGTH = 200
MAX_PART_LENGTH = 64

_PART = re.compile(rf"[A-Za-z0-9_:-]{{1,{MAX_PART_LENGTH}}}")
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def is_part(text: str) -> bool:
    """Whether this can be a type, an id or a section in a topic."""
    return _PART.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Uris:
    """The names under one configurable prefix (docs/reference/wamp.md)."""

    prefix: str = DEFAULT_PREFIX

    def procedure(self, name: str) -> str:
        """`lock` -> `com.example.formlock.lock`."""
        return f"{self.prefix}.formlock.{name}"

    @property
    def procedures(self) -> str:
        """The prefix of all our procedures, for the catch-all that answers "Wrong method called"."""
        return f"{self.prefix}.formlock."

    def error(self, name: str) -> str:
        """`form_locked` -> `com.example.formlock.error.form_locked`."""
        return f"{self.prefix}.formlock.error.{name}"

    @property
    def forms(self) -> str:
        """The prefix of all form topics."""
        return f"{self.prefix}.form."

    def forms_of(self, type: str | None) -> str:  # noqa: A002 (the form's own word)
        """The prefix of all topics of one type, or of all there are: what a prefix subscription names."""
        return f"{self.forms}{type}." if type is not None else self.forms

    def is_forms(self, uri: str) -> bool:
        """Whether this is such a prefix."""
        return uri == self.forms or self.type_of(uri) is not None

    def type_of(self, uri: str) -> str | None:
        """The type whose topics this prefix is of; None for anything else."""
        if not uri.startswith(self.forms) or not uri.endswith("."):
            return None
        type = uri[len(self.forms) : -1]  # noqa: A001
        return type if _PART.fullmatch(type) else None

    def bulk(self, type: str) -> str:  # noqa: A002
        """The topic of what happens to many records of a type at once. No form has it: an id has no asterisk."""
        return f"{self.forms}{type}.*"

    def bulk_type(self, topic: object) -> str | None:
        """The type behind such a topic; None for anything else."""
        if not isinstance(topic, str) or not topic.endswith(".*"):
            return None
        return self.type_of(topic[:-1])

    def topic(self, form: FormId) -> str:
        """The form's topic, which is what the wire calls `form`."""
        return f"{self.forms}{form}"

    def form(self, topic: object) -> FormId:
        """The form, or section of one, behind a topic; whatever is not exactly one's topic raises InvalidForm."""
        if isinstance(topic, str) and len(topic) <= MAX_TOPIC_LENGTH and topic.startswith(self.forms):
            parts = topic[len(self.forms) :].split(".")
            if len(parts) in (2, 3) and all(_PART.fullmatch(part) for part in parts):
                return FormId(*parts)
        raise InvalidForm


# The article's own name for the lock procedure; it has no prefix there.
ARTICLE_LOCK = "form-lock"


def escape(raw: str) -> str:
    """Any text as one part of a form's topic: UTF-8 bytes outside A-Z a-z 0-9 _ - become `:` and two upper-case hex digits.

    The colon, because a percent sign is no legal character of a part. JavaScript and PHP have the same function; all three read
    tests/contract/escape.json. A part that comes out empty or longer than 64 characters raises ValueError: shortening it would
    let two records share a lock.
    """
    part = "".join(chr(byte) if byte in _PLAIN else f":{byte:02X}" for byte in raw.encode("utf-8"))
    if not 1 <= len(part) <= MAX_PART_LENGTH:
        raise ValueError(f"an id has 1 to {MAX_PART_LENGTH} characters when escaped, this one has {len(part)}")
    return part


def unescape(part: str) -> str:
    """The text that `escape` was given; a part that no escape gives raises ValueError."""
    raw = bytearray()
    position = 0
    while position < len(part):
        if part[position] == ":":
            pair = part[position + 1 : position + 3]
            if not re.fullmatch("[0-9A-F]{2}", pair):
                raise ValueError(f"no two hex digits after the colon at {position} in {part!r}")
            raw.append(int(pair, 16))
            position += 3
        else:
            raw.append(ord(part[position]))
            position += 1
    return raw.decode("utf-8")
