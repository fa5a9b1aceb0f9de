"""Names on the wire, escaping, claims and rights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formlock.claims import RIGHTS, Claims, Grant, InvalidClaims, development, from_extra
from formlock.errors import FormLockError, InvalidForm
from formlock.guard import may
from formlock.model import FormId
from formlock.uris import Uris, escape, unescape
from formlock_push import names
from formlock_push.message import is_line

URIS = Uris()
VECTORS = json.loads((Path(__file__).parents[1] / "contract" / "escape.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["raw"][:12] or "empty")
def test_escape_as_everywhere(vector: dict[str, Any]) -> None:
    """U32: any key can be a form's id, in the same way in Python, JavaScript and PHP."""
    if vector["part"] is None:
        with pytest.raises(ValueError, match="1 to 64 characters"):
            escape(vector["raw"])
    else:
        assert escape(vector["raw"]) == vector["part"]
        assert unescape(vector["part"]) == vector["raw"]
        assert URIS.form(f"com.example.form.x.{vector['part']}") == FormId("x", vector["part"])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["raw"][:12] or "empty")
def test_escape_at_the_backend(vector: dict[str, Any]) -> None:
    """U32: what a backend installs has the same function, and names whole topics by it."""
    if vector["part"] is None:
        with pytest.raises(ValueError, match="1 to 64 characters"):
            names.escape(vector["raw"])
    else:
        assert names.escape(vector["raw"]) == vector["part"]
        assert names.unescape(vector["part"]) == vector["raw"]
        assert URIS.form(names.topic("x", vector["raw"])) == FormId("x", vector["part"])
        assert URIS.form(names.topic("x", vector["raw"], "a.b")) == FormId("x", vector["part"], "a:2Eb")


@pytest.mark.parametrize("part", ["", ":", ":4", ":zz", ":4g", "a:e4", "a.b", "ä"])
def test_what_no_escape_gives_at_the_backend(part: str) -> None:
    with pytest.raises(ValueError, match="nothing that escape gives"):
        names.unescape(part)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8))
def test_escape_loses_nothing(raw: str) -> None:
    try:
        part = escape(raw)
    except ValueError:
        return
    assert unescape(part) == raw
    assert URIS.form(URIS.topic(FormId("t", part))).id == part


@pytest.mark.parametrize("part", [":", ":4", ":zz", ":4g", "a:e4"])
def test_what_no_escape_gives(part: str) -> None:
    with pytest.raises(ValueError, match="no two hex digits"):
        unescape(part)


@pytest.mark.parametrize(
    "topic",
    [
        "", "com.example.form.", "com.example.form.a", "com.example.form.a.", "com.example.form..b", "com.example.form.a.b.c.d",
        "com.example.form.a.b\n", "com.example.form.ä.b", "com.example.form." + "a" * 65 + ".b",
        "com.example.form." + "a" * 64 + "." + "b" * 150, "com.other.form.a.b", "COM.EXAMPLE.FORM.a.b", None, 5, ["a"], b"x",
    ],
)  # fmt: skip
def test_topics_that_are_no_form(topic: object) -> None:
    with pytest.raises(InvalidForm, match="You need to provide valid form id"):
        URIS.form(topic)


def test_another_prefix() -> None:
    """The prefix is configurable, and a form of one is none of another."""
    uris = Uris("org.acme.crm")
    assert uris.form("org.acme.crm.form.invoice.42") == FormId("invoice", "42")
    assert uris.procedure("lock") == "org.acme.crm.formlock.lock"
    with pytest.raises(InvalidForm):
        uris.form("com.example.form.invoice.42")


def test_rights_by_pattern() -> None:
    claims = Claims("ann", "Ann", grants=(Grant("invoice.*", frozenset({"view", "lock"})), Grant("order.7", frozenset({"view"}))))
    assert claims.allows("lock", FormId("invoice", "42"))
    assert not claims.allows("takeover", FormId("invoice", "42"))
    assert claims.allows("view", FormId("order", "7"))
    assert not claims.allows("view", FormId("order", "70"))
    assert not claims.allows_all("view")


def test_rights_on_sections() -> None:
    """U33: a right on a record is one on its sections; a right on a section is on nothing else."""
    claims = Claims("a", "A", grants=(Grant("invoice.42", frozenset({"lock"})), Grant("order.7.address", frozenset({"lock"}))))
    assert claims.allows("lock", FormId("invoice", "42", "address"))
    assert claims.allows("lock", FormId("order", "7", "address"))
    assert not claims.allows("lock", FormId("order", "7", "payment"))
    assert not claims.allows("lock", FormId("order", "7"))


def test_claims_travel() -> None:
    claims = development({"user": "ann", "name": "Ann Weber"}, guest="guest-1")
    assert from_extra(claims.to_extra()) == claims
    assert claims.allows_all("admin")
    assert all(claims.allows(right, FormId("invoice", "42")) for right in RIGHTS)


@pytest.mark.parametrize(
    "name", ["\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "Ann\u00a0Weber", "\U0001f469\u200d\U0001f4bb", "\u00e9" * 100]
)
def test_names_of_people(name: str) -> None:
    """A joiner in a Persian name, or one that makes two pictures one, keeps nobody out."""
    assert development({"user": "ann", "name": name}, guest="guest-1").name == name


@pytest.mark.parametrize("name", ["a\nb", "\u202eann", "a\u2066", "an\u200bn", "\ufeffann", "\u2028", "\ud800", "\x9b", "x" * 101])
def test_names_that_are_none(name: str) -> None:
    """Nobody passes for another by what cannot be seen, or by turning the text around."""
    with pytest.raises(InvalidClaims):
        development({"user": "ann", "name": name}, guest="guest-1")


def test_names_are_the_same_for_whoever_pushes() -> None:
    """The pushing library can't use our code, and must not differ: each of the characters is let in by both, or by none."""
    for code in range(0x110000):
        try:
            claimed = development({"user": "ann", "name": f"a{chr(code)}"}, guest="guest-1").name is not None
        except InvalidClaims:
            claimed = False
        assert claimed == is_line(f"a{chr(code)}"), hex(code)


def test_the_development_identity_with_fewer_rights() -> None:
    """Whoever says which rights it has gets no other, so that a page can be seen as others see it."""
    claims = development({"user": "ann", "rights": {"invoice.*": ["view", "lock"]}}, guest="guest-1")
    assert claims.allows("lock", FormId("invoice", "42"))
    assert not claims.allows("takeover", FormId("invoice", "42"))
    with pytest.raises(InvalidClaims):
        development({"user": "ann", "rights": "all"}, guest="guest-1")


def test_a_guest_without_a_name() -> None:
    for nothing in (None, {}, {"user": ""}, []):
        assert development(nothing, guest="guest-1").name == "guest-1"


@pytest.mark.parametrize(
    "extra", [None, 5, {}, {"user": "a", "name": "b"}, {"user": "a", "name": "b", "rights": []}, {"rights": {}}]
)
def test_claims_that_are_none(extra: object) -> None:
    with pytest.raises(InvalidClaims):
        from_extra(extra)


def test_rights_of_the_application() -> None:
    """A right that is none of ours is kept: an update may have fields for those who have it. What can be no right's name is none."""
    form = FormId("invoice", "42")
    said = ["view", "see.salary", "", "SHOUTED", "x" * 65, "a b", 5, None]
    claims = from_extra({"user": "a", "name": "b", "rights": {"*": said, "x": "view"}})
    assert claims.grants == (Grant("*", frozenset({"view", "see.salary"})),)
    assert claims.allows("see.salary", form)
    assert not claims.allows("see.bonus", form)
    assert development({"user": "ann"}, guest="g").allows("see.bonus", form)
    assert not development({"user": "ann", "rights": {"*": ["view"]}}, guest="g").allows("see.bonus", form)


def test_many_at_once() -> None:
    """Who may view some form of a type may hear that many of it have changed, and nothing else by that topic."""
    one = Claims("a", "A", grants=(Grant("invoice.42", frozenset({"view"})), Grant("inv.*", frozenset({"view"}))))
    locker = Claims("a", "A", grants=(Grant("invoice.*", frozenset({"lock"})),))
    bulk = URIS.bulk("invoice")
    assert bulk == "com.example.form.invoice.*"
    assert URIS.bulk_type(bulk) == "invoice"
    assert may(one, URIS, bulk, "subscribe", None)
    assert may(development({"user": "a"}, "g"), URIS, bulk, "subscribe", "exact")
    assert not may(locker, URIS, bulk, "subscribe", None)
    for wrong in (
        "com.example.form.order.*",
        "com.example.form.*",
        "com.example.form..*",
        "com.example.form.invoice.42.*",
        "invoice.*",
    ):
        assert not may(one, URIS, wrong, "subscribe", None), wrong
    for match in ("prefix", "wildcard"):
        assert not may(one, URIS, bulk, "subscribe", match)
    assert not may(one, URIS, bulk, "publish", None)
    with pytest.raises(InvalidForm):
        URIS.form(bulk)


def test_what_a_page_may() -> None:
    """The authorizer: exact forms it may view, our procedures, and the prefix of all only with `list` on all."""
    some = Claims("a", "A", grants=(Grant("invoice.*", frozenset({"view"})),))
    everything = development({"user": "a"}, "g")
    form = "com.example.form.invoice.1"
    assert may(some, URIS, form, "subscribe", None)
    assert may(some, URIS, form, "subscribe", "exact")
    assert not may(some, URIS, form, "subscribe", "prefix")
    assert not may(some, URIS, form, "subscribe", "wildcard")
    assert not may(some, URIS, "com.example.form.order.1", "subscribe", None)
    assert not may(some, URIS, "com.example.form.", "subscribe", "prefix")
    assert may(everything, URIS, "com.example.form.", "subscribe", "prefix")
    assert not may(everything, URIS, "com.example.form", "subscribe", "prefix")
    lister = Claims("a", "A", grants=(Grant("invoice.*", frozenset({"list"})), Grant("order.7", frozenset({"list"}))))
    assert may(lister, URIS, "com.example.form.invoice.", "subscribe", "prefix")
    for not_all_of_these in ("", "order.", "order.7.", "invoice", "invoice.4", "invoice..", "invoice.4.", "inv"):
        assert not may(lister, URIS, f"com.example.form.{not_all_of_these}", "subscribe", "prefix"), not_all_of_these
    assert not may(lister, URIS, "com.example.form.invoice.", "subscribe", None)
    assert may(some, URIS, "com.example.formlock.lock", "call", None)
    assert may(some, URIS, "form-lock", "call", None)
    assert not may(everything, URIS, "com.example.formlock.authenticate", "call", None)
    for action in ("publish", "register"):
        assert not may(everything, URIS, form, action, None)


def _classes(root: type[FormLockError]) -> list[type[FormLockError]]:
    return [root, *(found for child in root.__subclasses__() for found in _classes(child))]


def test_errors_know_themselves() -> None:
    """Every error that can be raised has a name of its own, a sentence, and says whether a retry can help."""
    leaves = [error for error in _classes(FormLockError) if not error.__subclasses__()]
    assert len({error.name for error in leaves}) == len(leaves) == 10
    assert {error.name for error in leaves if error.retry} == {"too_many", "not_active"}
    assert all(error().message == error.sentence for error in leaves)
