"""Five hundred kinds of frames that the bridge must refuse, each in its own way; for tests of intake and of the real bridge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from formlock_push.message import MAX_BYTES

FORM = "com.example.form.invoice.42"
MANY = "com.example.form.invoice.*"
GOOD = json.dumps({"v": 1, "form": FORM, "change_set": {"total": ["120.00", "140.00"]}, "id": "7f3a", "source": "billing"}).encode()

# By what a value is.
NEVER_A_TEXT: dict[str, Any] = {"true": True, "false": False, "a fraction": 1.5, "a list": ["x"], "an object": {"x": 1}}
BAD_LINES = {
    "a line end": "a\nb",
    "a tab": "a\tb",
    "an escape": "a\x1bb",
    "a delete": "a\x7fb",
    "a zero-width space": "a\u200bb",
    "a text that runs backwards": "a\u202eb",
    "a line separator": "a\u2028b",
    "a byte order mark": "\ufeffa",
    "a soft hyphen": "a\u00adb",
    "a word joiner": "a\u2060b",
    "an isolate that is not ended": "a\u2066b",
    "a C1 control": "a\u0085b",
    "201 characters": "x" * 201,
    "20,000 characters": "x" * 20_000,
}
BAD_FORMS: dict[str, Any] = {
    "nothing": "",
    "a number": 42,
    "true": True,
    "a list": [FORM],
    "an object": {"type": "invoice"},
    "another prefix": "org.example.form.invoice.42",
    "a procedure": "com.example.formlock.lock",
    "no id": "com.example.form.invoice",
    "no type": "com.example.form",
    "an empty id": "com.example.form.invoice.",
    "an empty type": "com.example.form..42",
    "four parts": "com.example.form.invoice.42.lines.3",
    "an empty section": "com.example.form.invoice.42.",
    "a space": "com.example.form.invoice.4 2",
    "a space behind": FORM + " ",
    "a space before": " " + FORM,
    "a line end": FORM + "\n",
    "a hash": "com.example.form.invoice.#",
    "a star as type": "com.example.form.*.42",
    "a star for all": "com.example.form.*",
    "a slash": "com.example.form.invoice/42",
    "a percent sign": "com.example.form.invoice.4%32",
    "letters beyond ASCII": "com.example.form.invoice.ä",
    "digits beyond ASCII": "com.example.form.invoice.٤٢",
    "a full-width dot": "com.example.form.invoice\uff0e42",
    "a Cyrillic letter": "com.example.form.inv\u043eice.42",
    "an invisible character": "com.example.form.invoice.42\u200b",
    "65 characters of id": "com.example.form.invoice." + "4" * 65,
    "65 characters of type": "com.example.form." + "i" * 65 + ".42",
    "201 characters": "com.example.form." + "i" * 64 + "." + "4" * 64 + "." + "s" * 64,
    "capital letters": FORM.upper(),
    "a wamp name": "wamp.session.on_join",
    "an address": "https://example.com/invoice/42",
    "a quote": 'com.example.form.invoice.4"2',
    "a backslash": "com.example.form.invoice.4\\2",
}
BAD_PAIRS: dict[str, Any] = {
    "a text": "all",
    "a number": 7,
    "true": True,
    "a list": [1, 2],
    "a list of pairs": [["total", 1, 2]],
    "no pair": {"a": 1},
    "a text as pair": {"a": "12"},
    "null as pair": {"a": None},
    "an empty pair": {"a": []},
    "a pair of one": {"a": [1]},
    "a pair of three": {"a": [1, 2, 3]},
    "a pair that is true": {"a": True},
    "one good, one bad": {"a": [1, 2], "b": [1]},
}


def kinds() -> Iterator[tuple[str, list[bytes]]]:
    """A name and the frames of one message, for each kind: 500, all different."""
    seen: set[tuple[bytes, ...]] = set()
    for count, (name, frames) in enumerate(_all()):
        if count == 500:
            return
        assert tuple(frames) not in seen, name
        seen.add(tuple(frames))
        yield name, frames


def _all() -> Iterator[tuple[str, list[bytes]]]:
    for name, message in _messages():
        yield name, [message if isinstance(message, bytes) else json.dumps(message, ensure_ascii=False).encode()]
    for parts in (2, 3, 5, 50):
        yield f"a good message in {parts} frames", [GOOD, *[b"more"] * (parts - 1)]
    yield "a good message cut in two frames", [GOOD[:40], GOOD[40:]]
    yield "an empty frame before a good message and one behind", [b"", GOOD, b""]
    # Whatever is missing at the end, it is not a message.
    for end in range(1, len(GOOD)):
        yield f"a good message cut off after {end} bytes", [GOOD[:end]]
    # One byte that JSON has no place for, wherever it stands.
    for at in range(len(GOOD)):
        yield f"a good message with a broken byte at {at}", [GOOD[:at] + b"\xff" + GOOD[at + 1 :]]


def _messages() -> Iterator[tuple[str, Any]]:
    yield from _bytes()
    yield from _values()
    yield from _forms()
    for name, change_set in BAD_PAIRS.items():
        yield f"a change set: {name}", {"form": FORM, "change_set": change_set}
    for key in ("status", "id", "source", "origin", "version"):
        for name, value in NEVER_A_TEXT.items():
            yield f"{key}: {name}", {"form": FORM, key: value}
        for name, text in BAD_LINES.items():
            yield f"{key}: {name}", {"form": FORM, key: text}
    yield "a version of 54 bits", {"form": FORM, "version": 2**53}
    yield "a version far below zero", {"form": FORM, "version": -(2**53)}
    for name, actor in {
        "true": True,
        "a list": ["ann"],
        "no user": {"name": "Ann"},
        "an empty object": {},
        "a fraction": 0.5,
    }.items():
        yield f"actor: {name}", {"form": FORM, "actor": actor}
    for name, text in BAD_LINES.items():
        yield f"actor's name: {name}", {"form": FORM, "actor": {"user": "ann", "name": text}}
    for name, value in {"a number": 1, "true": True, "a list": [1], "a fraction": 1.5}.items():
        yield f"representation: {name}", {"form": FORM, "representation": value}
    yield from _secrets()
    yield from _bulk()
    for version in (2, 3, -1, 1.5, "1", "", True, False, [1], {"v": 1}, 10**12):
        yield f"version of the message: {version!r}", {"v": version, "form": FORM}


def _bytes() -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "a space", b" "
    yield "NUL", b"\0"
    yield "64 kB of NUL", bytes(MAX_BYTES)
    yield "one byte too long", (b'{"form":"%s","representation":"' % FORM.encode()).ljust(MAX_BYTES - 1, b"x") + b'"}'
    yield "a megabyte less one", b"[" * (2**20 - 1)
    yield "binary", bytes(range(256))
    yield "a picture", b"\x89PNG\r\n\x1a\n" + bytes(60)
    yield "gzip", b"\x1f\x8b\x08\x00" + bytes(40)
    yield "MessagePack", b"\x81\xa4form\xbbcom.example.form.invoice.42"
    yield "CBOR", b"\xa1dformx\x1bcom.example.form.invoice.42"
    yield "UTF-16", GOOD.decode().encode("utf-16")
    yield "UTF-32", GOOD.decode().encode("utf-32")
    yield "Latin-1", b'{"form":"%s","status":"\xe4"}' % FORM.encode()
    yield "an overlong encoding", b'{"form":"%s","status":"\xc0\xaf"}' % FORM.encode()
    yield "an encoded surrogate", b'{"form":"%s","status":"\xed\xa0\x80"}' % FORM.encode()
    yield "beyond Unicode", b'{"form":"%s","status":"\xf4\x90\x80\x80"}' % FORM.encode()
    yield "a byte order mark", b"\xef\xbb\xbf" + GOOD
    yield "HTTP", b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield "a form body", b"form=com.example.form.invoice.42&status=updated"
    yield "XML", b"<form>com.example.form.invoice.42</form>"
    yield "PHP's own", b'a:1:{s:4:"form";s:27:"com.example.form.invoice.42";}'
    yield "a pickle", b"\x80\x04\x95\x0f\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01a\x94K\x01s."
    yield "two messages", GOOD + GOOD
    yield "two messages in two lines", GOOD + b"\n" + GOOD
    yield "a rest", GOOD + b"x"
    yield "single quotes", GOOD.replace(b'"', b"'")
    yield "a comma too many", GOOD[:-1] + b",}"
    yield "a comment", b"// hello\n" + GOOD
    yield "keys without quotes", b"{form:1}"
    yield "a lone surrogate", b'{"form":"%s","change_set":{"a":["\\ud800",1]}}' % FORM.encode()
    yield "half a pair at the end", b'{"form":"%s","change_set":{"a":[1,"x\\udfff"]}}' % FORM.encode()
    yield "a raw control character", b'{"form":"%s","change_set":{"a":[1,"\x01"]}}' % FORM.encode()
    yield "NaN", b'{"form":"%s","change_set":{"a":[NaN,1]}}' % FORM.encode()
    yield "Infinity", b'{"form":"%s","change_set":{"a":[1,Infinity]}}' % FORM.encode()
    yield "an endless number", b'{"form":"%s","change_set":{"a":[1,1e999]}}' % FORM.encode()
    yield "10,000 digits", b'{"form":"%s","change_set":{"a":[1,%s]}}' % (FORM.encode(), b"9" * 10_000)
    yield "a number that begins with 0", b'{"form":"%s","version":007}' % FORM.encode()
    yield "a number with a plus", b'{"form":"%s","version":+7}' % FORM.encode()
    yield "hexadecimal", b'{"form":"%s","version":0x7}' % FORM.encode()
    for name, bomb in {"lists": b"[", "objects": b'{"a":', "pairs": b'["",', "broken lists": b"[{},][", "commas": b"[,"}.items():
        yield f"32 kB of nested {name}", (bomb * MAX_BYTES)[: MAX_BYTES // 2]
    yield "33 levels of lists", b'{"form":"%s","representation":{"a":%s%s}}' % (FORM.encode(), b"[" * 31, b"]" * 31)
    yield "33 levels of objects", b'{"form":"%s","representation":%s1%s}' % (FORM.encode(), b'{"a":' * 32, b"}" * 32)


def _values() -> Iterator[tuple[str, Any]]:
    yield from {"null": None, "true": True, "a number": 42, "a text": FORM, "a list": [{"form": FORM}], "an empty list": []}.items()
    yield "an empty object", {}
    yield "a NUL text", {"form": FORM, "change_set": {"a": ["\0AA", 1]}}
    yield "a NUL key", {"form": FORM, "change_set": {"\0": [1, 2]}}
    yield "a NUL text deep within", {"form": FORM, "representation": {"a": [[{"b": "\0"}]]}}
    yield "65 bits", {"form": FORM, "change_set": {"a": [2**64, 1]}}
    yield "65 bits below zero", {"form": FORM, "change_set": {"a": [-(2**63) - 1, 1]}}


def _forms() -> Iterator[tuple[str, Any]]:
    yield "no form", {"change_set": {"a": [1, 2]}}
    yield "no form but a null", {"form": None}
    yield "two forms", {"form": FORM, "channel": FORM[:-1]}
    for name, form in BAD_FORMS.items():
        yield f"form: {name}", {"form": form}
        yield f"channel: {name}", {"v": 1, "channel": form}


def _secrets() -> Iterator[tuple[str, Any]]:
    bad: dict[str, Any] = {
        "a text": "margin",
        "a list": ["margin"],
        "true": True,
        "a number": 1,
        "a right that is null": {"margin": None},
        "a right that is a number": {"margin": 1},
        "a right that is a list": {"margin": ["controlling"]},
        "an empty right": {"margin": ""},
        "a right in capitals": {"margin": "Controlling"},
        "a right with a space": {"margin": "a b"},
        "a right beyond ASCII": {"margin": "ä"},
        "a right of 65 characters": {"margin": "r" * 65},
        "65 fields": {f"f{number}": "r" for number in range(65)},
        "one good, one bad": {"a": "r", "b": "R"},
    }
    for name, redact in bad.items():
        yield f"redact: {name}", {"v": 1, "form": FORM, "redact": redact}
        yield f"redact without a version: {name}", {"form": FORM, "redact": redact}


def _bulk() -> Iterator[tuple[str, Any]]:
    for name, count in {
        "none": None,
        "0": 0,
        "below zero": -1,
        "true": True,
        "a text": "3",
        "a fraction": 1.5,
        "54 bits": 2**53,
    }.items():
        yield f"count: {name}", {"v": 1, "form": MANY, "count": count}
    ids: dict[str, Any] = {
        "a text": "1",
        "an object": {"1": 1},
        "true": True,
        "more than the count": ["1", "2", "3", "4"],
        "a dot": ["a.b"],
        "an empty one": [""],
        "null": [None],
        "a list": [["1"]],
        "true in it": [True],
        "a fraction": [1.5],
        "65 characters": ["x" * 65],
        "a star": ["*"],
        "beyond ASCII": ["ä"],
    }
    for name, value in ids.items():
        yield f"ids: {name}", {"v": 1, "form": MANY, "count": 3, "ids": value}
    yield "1,001 ids", {"v": 1, "form": MANY, "count": 5_000, "ids": [str(number) for number in range(1_001)]}
    yield "a count of one form", {"v": 1, "form": FORM, "count": 1}
    yield "ids of one form", {"v": 1, "form": FORM, "ids": ["1"]}
    yield "the contents of many", {"v": 1, "form": MANY, "count": 1, "representation": {"a": 1}}
    yield "the version of many", {"v": 1, "form": MANY, "count": 1, "version": 1}
    yield "a change of many from a value", {"v": 1, "form": MANY, "count": 1, "change_set": {"a": [1, 2]}}
