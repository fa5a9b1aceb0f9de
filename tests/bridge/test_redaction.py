"""What somebody may see of an update, and that nothing else ever leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formlock_bridge.redaction import cut

FACTS: dict[str, Any] = {
    "form": "com.example.form.invoice.42",
    "change_set": {"total": ["120", "140"], "margin": ["12", "14"], "rating": ["A", "B"]},
    "representation": {"total": "140", "margin": "14", "rating": "B"},
    "version": 3,
}
REDACT = {"margin": "controlling", "rating": "credit"}


def test_nobody_in_particular() -> None:
    """The event has neither name nor value of a hidden field, and says which rights see more."""
    assert cut(FACTS, REDACT, lambda _: False) == {
        "form": FACTS["form"],
        "change_set": {"total": ["120", "140"]},
        "representation": {"total": "140"},
        "version": 3,
        "redacted": ["controlling", "credit"],
    }


def test_with_one_right() -> None:
    """Whoever has one of the rights sees its field, and that there is more."""
    seen = cut(FACTS, REDACT, lambda right: right == "credit")
    assert seen["change_set"] == {"total": ["120", "140"], "rating": ["A", "B"]}
    assert seen["redacted"] == ["controlling"]


def test_with_all_rights() -> None:
    assert cut(FACTS, REDACT, lambda _: True) == FACTS


@pytest.mark.parametrize("redact", [None, {}])
def test_nothing_to_hide(redact: dict[str, str] | None) -> None:
    assert cut(FACTS, redact, lambda _: False) == FACTS


def test_who_may_see_what_is_secret_too() -> None:
    """`redact` names the fields: it never leaves, not even to those who may see all of them."""
    facts = {**FACTS, "redact": REDACT}
    for rights in ((), ("credit",), ("credit", "controlling")):
        assert "redact" not in cut(facts, REDACT, rights.__contains__)


def test_html_can_not_be_cut() -> None:
    """A fragment of HTML may show the field anywhere: whoever lacks a right gets none of it."""
    facts = {**FACTS, "representation": "<p>margin 14</p>"}
    assert "representation" not in cut(facts, REDACT, lambda right: right == "credit")
    assert cut(facts, REDACT, lambda _: True) == facts


def test_a_change_set_of_hidden_fields_only_is_still_an_event() -> None:
    """The version has risen: a save with the old one would be late."""
    facts = {"form": FACTS["form"], "change_set": {"margin": ["12", "14"]}, "version": 3}
    assert cut(facts, REDACT, lambda _: False)["change_set"] == {}


names = st.sampled_from(["total", "secret-a", "secret-b", "note"])
plain = st.one_of(st.none(), st.integers(), st.text(st.characters(exclude_characters="s"), max_size=5))


@given(st.data())
def test_never_a_leak(data: st.DataObject) -> None:
    """No name and no value of a field without the right is anywhere in what is told."""
    redact = data.draw(st.dictionaries(names.filter(lambda name: name.startswith("secret")), st.sampled_from(["r1", "r2"])))
    rights = data.draw(st.sets(st.sampled_from(["r1", "r2"])))
    fields = data.draw(st.lists(names, unique=True))

    def value(field: str) -> Any:
        return f"marker of {field}" if field.startswith("secret") else data.draw(plain)

    facts: dict[str, Any] = {"form": "f", "redact": redact, "change_set": {field: [value(field), value(field)] for field in fields}}
    kind = data.draw(st.sampled_from(["none", "values", "html"]))
    if kind == "values":
        facts["representation"] = {field: value(field) for field in fields}
    elif kind == "html":
        facts["representation"] = "".join(f"<i>{value(field)}</i>" for field in fields)
    told = json.dumps(cut(facts, redact, rights.__contains__))
    for field, right in redact.items():
        assert right in rights or field not in told
