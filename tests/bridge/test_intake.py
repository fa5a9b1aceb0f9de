"""What the bridge takes and what it rejects, and that nothing that can be sent does anything else."""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formlock.uris import Uris
from formlock_bridge.intake import SENTENCES, Reason, Rejected, read
from formlock_bridge.redaction import cut
from formlock_push import MAX_BYTES, Update
from formlock_push.message import MAX_IDS

FORM = "com.example.form.invoice.42"
MANY = "com.example.form.invoice.*"
URIS = Uris()
GOLDEN: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "contract" / "updates.json").read_text(encoding="utf-8"))


def frame(golden: dict[str, Any]) -> bytes:
    return golden["raw"].encode() if "raw" in golden else base64.b64decode(golden["base64"])


def taken(frame: bytes, parts: int = 1) -> Update:
    update = read(URIS, frame, parts)
    assert isinstance(update, Update), update
    return update


def rejected(frame: bytes, parts: int = 1) -> Reason:
    answer = read(URIS, frame, parts)
    assert isinstance(answer, Rejected), answer
    return answer.reason


def told(golden: dict[str, Any], rights: Sequence[str]) -> dict[str, Any]:
    """The golden message's event as whoever has these rights sees it."""
    update = taken(frame(golden))
    facts = cut(update.facts(), update.redact, rights.__contains__)
    status = facts.pop("status")
    return facts if status == "updated" else {**facts, "reported": status}


@pytest.mark.parametrize("golden", [one for one in GOLDEN if "event" in one], ids=lambda golden: golden["claim"])
def test_accepted(golden: dict[str, Any]) -> None:
    """A15: each golden message that is right is taken for exactly what it says, and everybody sees of it what everybody may."""
    assert told(golden, ()) == golden["event"]


@pytest.mark.parametrize(
    ("golden", "seen"),
    [(one, seen) for one in GOLDEN for seen in one.get("seen_by", ())],
    ids=lambda value: value["claim"] if "claim" in value else "+".join(value["rights"]),
)
def test_seen_by(golden: dict[str, Any], seen: dict[str, Any]) -> None:
    """Whoever has the right to a field sees it; all rights see all."""
    assert told(golden, seen["rights"]) == seen["event"]


@pytest.mark.parametrize("golden", [one for one in GOLDEN if "rejected" in one], ids=lambda golden: golden["claim"])
def test_rejected(golden: dict[str, Any]) -> None:
    """Each golden message that is wrong is rejected for exactly its reason."""
    assert rejected(frame(golden)) == golden["rejected"]


def test_every_reason_has_its_example() -> None:
    """The golden messages show every reason there is, but for those that lie not in the text; each has a sentence for the sender."""
    shown = {one["rejected"] for one in GOLDEN if "rejected" in one}
    assert shown | {Reason.MULTIPART, Reason.TOO_LARGE, Reason.NO_ID, Reason.NOT_ALLOWED} == set(Reason)
    assert set(SENTENCES) == set(Reason)


def test_size() -> None:
    """64 kB are taken, one byte more is not, whatever is in it."""
    start = b'{"form":"%s","representation":"' % FORM.encode()
    filling = MAX_BYTES - len(start) - 2
    assert len(str(taken(start + b"x" * filling + b'"}').representation)) == filling
    assert rejected(start + b"x" * (filling + 1) + b'"}') == Reason.TOO_LARGE


def test_parts() -> None:
    """A message of several frames is not put together, even if its first frame is right."""
    assert rejected(b'{"form":"%s"}' % FORM.encode(), parts=2) == Reason.MULTIPART


@pytest.mark.parametrize("bomb", [b"[", b'{"a":', b'["",', b"[{},]["])
def test_bombs(bomb: bytes) -> None:
    """64 kB of nesting are refused before anything recursive sees them, as deep as Python itself could not go."""
    assert rejected((bomb * MAX_BYTES)[:MAX_BYTES]) in (Reason.TOO_DEEP, Reason.NOT_JSON)


def test_unclosed_text() -> None:
    """Measuring the depth of a text that never ends takes no more than one pass."""
    assert rejected((b"[" * 33 + b'"' + b"\\" * MAX_BYTES)[:MAX_BYTES]) == Reason.TOO_DEEP


def test_log_gets_the_form() -> None:
    """A rejection says which form was meant, as far as it was said, and no more than a line of it."""
    assert read(URIS, b'{"form":"%s","version":1.5}' % FORM.encode()) == Rejected(Reason.INVALID_VERSION, FORM)
    assert read(URIS, b'{"channel":"%s"}' % (b"x" * 5_000)) == Rejected(Reason.INVALID_FORM, "x" * 200)
    assert read(URIS, b'{"form":{"a":1}}') == Rejected(Reason.INVALID_FORM)


def test_sender_gets_the_id() -> None:
    """Whoever sent several without waiting learns which of them was refused, if it has an id that is one."""
    assert read(URIS, b'{"id":"7f3a","v":2}') == Rejected(Reason.UNKNOWN_VERSION, "", "7f3a")
    assert read(URIS, b'{"id":17}') == Rejected(Reason.NO_FORM, "", "17")
    assert read(URIS, b'{"id":"a\\nb"}') == Rejected(Reason.NO_FORM)


def test_many_ids() -> None:
    """1,000 ids are taken, one more is not, however many records there are."""
    for number, right in ((MAX_IDS, True), (MAX_IDS + 1, False)):
        message = {"v": 1, "form": MANY, "count": 5_000, "ids": [str(each) for each in range(number)]}
        assert isinstance(read(URIS, json.dumps(message).encode()), Update) == right


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
KEYS = ("form", "channel", "status", "change_set", "id", "source", "version", "origin", "actor", "representation", "v", "x")
KEYS += ("redact", "count", "ids")


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(1, 3))
def test_any_bytes(data: bytes, parts: int) -> None:
    """Whatever bytes come, the answer is an update or a reason, never an exception."""
    assert isinstance(read(URIS, data, parts), Update | Rejected)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(KEYS), json_values | st.sampled_from([FORM, MANY, 0, 1])))
def test_any_message(message: dict[str, Any]) -> None:
    """Whatever values a message has, the answer is an update or a reason; and an update can be sent on as JSON that all can read."""
    answer = read(URIS, json.dumps(message).encode())
    if isinstance(answer, Update):
        assert json.loads(json.dumps(answer.facts(), allow_nan=False)) == answer.facts()
        assert answer.bulk or URIS.topic(URIS.form(answer.form)) == answer.form
        assert answer.bulk == (answer.count is not None)


# What a program may hold, right or wrong.
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**400])
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from(["\0", "\0a", "a\0", "\ud800"])
    | st.decimals()
    | st.dates()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.sets(st.integers())
        | st.dictionaries(st.text(st.characters(), max_size=5) | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=20,
)
names = st.sampled_from([*["a", "é", "x" * 200] * 5, "", "\0", "x" * 201, "a\nb", "\ud800", "\u00a0", 7, True])
pairs = st.dictionaries(
    st.text(st.characters(), max_size=5) | st.integers(), st.lists(values, min_size=2, max_size=2) | st.tuples(values, values)
)
deep = st.integers(28, 34).map(lambda levels: functools.reduce(lambda inner, _: [inner], range(levels), None))


@st.composite
def updates(draw: st.DrawFn) -> Update:
    """Of one form or of many; each key mostly right, so that often all of them are."""
    forms = [
        *[FORM, MANY, FORM + ".lines"] * 5,
        FORM + "\n",
        "com.example.form.*",
        "invoice.42",
        "x" * 201,
        "com.example.form.a.\ud800",
    ]
    form = draw(st.sampled_from(forms))
    news = st.dictionaries(st.text(max_size=3), st.tuples(st.none(), values))
    many: dict[str, Any] = {
        "count": st.sampled_from([*[3, 4] * 6, None, 0, True, 2**53]),
        "ids": st.none() | st.lists(st.sampled_from([*["1", "a:2E"] * 9, "a.b", ""]), max_size=4),
        "change_set": news | pairs,
    }
    one: dict[str, Any] = {
        "change_set": st.none() | pairs | st.dictionaries(st.just("a"), st.tuples(st.none(), deep)),
        "version": st.none() | names | st.integers() | st.sampled_from([2**53 - 1, 2**53, True]),
        "representation": st.none() | st.text(st.characters()) | st.dictionaries(st.text(max_size=3), values | deep),
    }
    keys = many if form.endswith(".*") else one
    if draw(st.integers(0, 9)) == 0:
        keys = {**one, **many}
    return draw(
        st.builds(
            Update,
            form=st.just(form),
            status=names,
            id=st.none() | names,
            source=st.none() | names,
            origin=st.none() | names,
            actor=st.none() | names | st.fixed_dictionaries({"user": names}, optional={"name": names, "mail": names}),
            redact=st.none()
            | st.dictionaries(
                names.filter(lambda name: isinstance(name, str)),
                st.sampled_from([*["r", "a.b-c_d", "r" * 64] * 5, "R", "", "r" * 65]),
            ),
            **keys,
        )
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(updates())
def test_whatever_can_be_said_is_taken(update: Update) -> None:
    """The sender finds all that the bridge would refuse: what has no `problems` is taken, for what was said."""
    if update.problems():
        with pytest.raises(ValueError, match=re.escape(update.problems()[0])):
            update.encode()
        return
    answer = taken(update.encode())
    assert (answer.form, answer.count) == (update.form, update.count)
    assert answer.status == (str(update.status) or "updated")
    assert [answer.id, answer.source, answer.origin] == [
        str(name or "") or None for name in (update.id, update.source, update.origin)
    ]
    assert (answer.redact or {}) == (update.redact or {})
    assert list(answer.ids or ()) == list(update.ids or ())
    assert (answer.change_set is None) == (update.change_set is None)
    assert taken(answer.encode()) == answer


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(KEYS), json_values | st.sampled_from([FORM, MANY, 0, 1])))
def test_whatever_is_taken_can_be_said(message: dict[str, Any]) -> None:
    """The sender is no stricter than the bridge: an update that was taken can be sent on as it is."""
    answer = read(URIS, json.dumps(message).encode())
    if isinstance(answer, Update):
        assert taken(answer.encode()) == answer
