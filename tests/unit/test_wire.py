"""What is taken from callers, and in which shape it goes back; no router."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formlock.errors import InvalidArgument
from formlock.model import Draft, FormId, Owner
from formlock.uris import Uris
from formlock.wire import MAX_DRAFT_BYTES, MAX_DRAFT_DEPTH, draft_answer, draft_content

FORM = FormId("invoice", "42")


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    ).filter(lambda value: value is not None)
)
def test_a_draft_comes_back_as_it_was(value: Any) -> None:
    """Whatever JSON has: numbers of any size, texts in any language, line ends and all."""
    content = draft_content(value)
    assert content is not None
    draft = Draft(FORM, Owner("ann", "a"), "Ann", 5, 9, content)
    assert draft_answer(Uris(), FORM, [draft], "ann", None)["draft"] == value


def test_the_largest_draft() -> None:
    """32 kB as it is kept, and sixteen levels; one more of either is refused."""
    assert draft_content("x" * (MAX_DRAFT_BYTES - 2)) is not None
    assert draft_content(nested(MAX_DRAFT_DEPTH)) is not None
    for value in ("x" * (MAX_DRAFT_BYTES - 1), "ä" * (MAX_DRAFT_BYTES // 2), nested(MAX_DRAFT_DEPTH + 1), nested(5_000)):
        with pytest.raises(InvalidArgument) as refused:
            draft_content(value)
        assert refused.value.facts == {"argument": "draft"}


@pytest.mark.parametrize("value", [b"bytes", "\ud800", float("nan"), float("inf"), {"a": ["\udfff"]}, {"a": object()}])
def test_what_json_does_not_have(value: Any) -> None:
    """It would come back as something else, or not at all."""
    with pytest.raises(InvalidArgument):
        draft_content(value)


def test_no_draft() -> None:
    assert draft_content(None) is None


def test_which_draft_is_shown() -> None:
    """The newest of one's own, before a newer one of somebody else's; another when its grant is named. No tab is told."""
    ann = Draft(FORM, Owner("ann", "secret-tab"), "Ann", 5, 9, b'"of ann"')
    older = Draft(FORM, Owner("ann", "secret-tab"), "Ann", 4, 8, b'"older"')
    bob = Draft(FORM, Owner("bob", "secret-tab"), "Bob", 6, 10, b'"of bob"')
    drafts = [bob, ann, older]
    answer = draft_answer(Uris(), FORM, drafts, "ann", None)
    assert (answer["draft"], answer["token"]) == ("of ann", 5)
    assert [(draft["token"], draft["user"], draft["own"]) for draft in answer["drafts"]] == [
        (6, "bob", False), (5, "ann", True), (4, "ann", True),
    ]  # fmt: skip
    assert draft_answer(Uris(), FORM, drafts, "ann", 6)["draft"] == "of bob"
    assert draft_answer(Uris(), FORM, drafts, "ann", 7)["draft"] is None
    assert draft_answer(Uris(), FORM, [], "ann", None) == {
        "form": "com.example.form.invoice.42", "drafts": [], "token": None, "draft": None,
    }  # fmt: skip
    assert "secret-tab" not in json.dumps(answer)
