"""What the bridge takes and what it rejects, and that nothing that can be sent does anything else."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formlock.uris import Uris
from formlock_bridge.intake import SENTENCES, Reason, Rejected, read
from formlock_push import MAX_BYTES, Update

FORM = "com.example.form.invoice.42"
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


@pytest.mark.parametrize("golden", [one for one in GOLDEN if "event" in one], ids=lambda golden: golden["claim"])
def test_accepted(golden: dict[str, Any]) -> None:
    """A15: each golden message that is right is taken for exactly what it says."""
    facts = taken(frame(golden)).facts()
    status = facts.pop("status")
    assert status == golden["event"].pop("reported", "updated")
    assert facts == golden["event"]


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


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
KEYS = ("form", "channel", "status", "change_set", "id", "source", "version", "origin", "actor", "representation", "v", "x")


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(1, 3))
def test_any_bytes(data: bytes, parts: int) -> None:
    """Whatever bytes come, the answer is an update or a reason, never an exception."""
    assert isinstance(read(URIS, data, parts), Update | Rejected)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(KEYS), json_values | st.just(FORM)))
def test_any_message(message: dict[str, Any]) -> None:
    """Whatever values a message has, the answer is an update or a reason; and an update can be sent on as JSON that all can read."""
    answer = read(URIS, json.dumps(message).encode())
    if isinstance(answer, Update):
        assert json.loads(json.dumps(answer.facts(), allow_nan=False)) == answer.facts()
        assert URIS.topic(URIS.form(answer.form)) == answer.form


plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text().filter(lambda text: not text.startswith("\0"))
)
fields = st.text().filter(lambda text: not text.startswith("\0"))


@settings(deadline=None)
@given(st.dictionaries(fields, st.lists(plain, min_size=2, max_size=2)), st.dictionaries(fields, plain))
def test_round_trip(change_set: dict[str, list[Any]], representation: dict[str, Any]) -> None:
    """What a backend says with `Update` is what the bridge understands."""
    update = Update(form=FORM, change_set=change_set, representation=representation, id="1", version=3, origin="a", source="b")
    assert taken(update.encode()) == update
