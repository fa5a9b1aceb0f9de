"""A backend reports a change through the real bridge, and the open forms follow."""

from __future__ import annotations

from itertools import count

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Tab, Visitor
from tests.support.node import Node

pytestmark = [pytest.mark.browser, pytest.mark.node]


def record(form: str, update: str = "replace") -> str:
    return (
        f'<form form-lock="{form}" update="{update}"><label>Amount <input name="amount" value="120.00"></label>'
        '<textarea name="note">old</textarea></form>'
    )


def test_values_replace_the_contents(node: Node, page_as: Visitor, form: str) -> None:
    """A representation fills the fields by name, and the banner says what has changed (A17)."""
    bob = page_as.html("bob", "Bob", form, record(form))
    bob.sees("free")
    node.push({"form": form, "change_set": {"amount": ["120.00", "140.00"]}, "representation": {"amount": "140.00"}})
    expect(bob.field("amount")).to_have_value("140.00")
    expect(bob.field("note")).to_have_value("old")
    expect(bob.banner).to_contain_text("Amount 120.00 → 140.00")
    expect(bob.field("amount")).not_to_be_editable()


def test_a_fragment_replaces_the_contents_but_runs_nothing(node: Node, page_as: Visitor, form: str) -> None:
    """An HTML fragment becomes the form's contents, without anything in it that could run (A17)."""
    bob = page_as.html("bob", "Bob", form, record(form))
    bob.sees("free")
    html = (
        '<form><input name="amount" value="150.00" onfocus="window.ran=1" autofocus><script>window.ran=1</script>'
        '<img src="x" onerror="window.ran=1"><iframe srcdoc="x"></iframe><a href=" java\tscript:window.ran=1">x</a></form>'
    )
    node.push({"form": form, "representation": html})
    expect(bob.field("amount")).to_have_value("150.00")
    expect(bob.field("amount")).not_to_be_editable()
    inside = bob.page.locator("form").inner_html()
    assert not any(word in inside for word in ("script", "onerror", "onfocus", "iframe", "srcdoc"))
    assert bob.page.evaluate("window.ran") is None
    # What Chromium says while it parses: the fragment's <img src="x"> isn't there, its handlers are blocked by the policy too.
    bob.errors[:] = [text for text in bob.errors if "404" not in text and "has been blocked" not in text]


def test_without_values_the_page_itself_is_asked(node: Node, page_as: Visitor, form: str) -> None:
    """Without a representation the form's values are taken from the page as the server gives it now."""
    loads = count(1)
    bob = page_as.html(
        "bob", "Bob", form, lambda: f'<form form-lock="{form}" update="replace"><input name="n" value="{next(loads)}"></form>'
    )
    bob.sees("free")
    bob.page.evaluate("window.same = true")
    node.push({"form": form})
    expect(bob.field("n")).to_have_value("2")
    assert bob.page.evaluate("window.same") is True, "not reloaded"


def test_reload_is_the_default(node: Node, page_as: Visitor, form: str) -> None:
    """With update="reload", which is the default, a form that nobody edits is loaded anew."""
    loads = count(1)
    bob = page_as.html("bob", "Bob", form, lambda: f'<form form-lock="{form}"><input name="n" value="{next(loads)}"></form>')
    bob.sees("free")
    node.push({"form": form})
    expect(bob.field("n")).to_have_value("2")
    bob.sees("free")


@pytest.fixture(params=["reload", "replace"])
def typing(request: pytest.FixtureRequest, page_as: Visitor, form: str) -> Tab:
    ann = page_as.html("ann", "Ann", form, record(form, request.param))
    ann.lock()
    ann.field("note").fill("half a sentence")
    return ann


def test_typed_text_is_never_thrown_away(node: Node, typing: Tab) -> None:
    """An update while somebody is typing changes none of his fields, his focus or his caret; it is told (U28, U30)."""
    typing.field("note").evaluate("e => e.setSelectionRange(4, 7)")
    node.push(
        {"form": typing.form, "change_set": {"amount": ["120.00", "999"]}, "representation": {"amount": "999", "note": "theirs"}}
    )
    expect(typing.banner).to_contain_text("changed elsewhere: Amount 120.00 → 999. Your text is kept.")
    typing.sees("mine")
    expect(typing.field("note")).to_have_value("half a sentence")
    expect(typing.field("amount")).to_have_value("120.00")
    expect(typing.field("note")).to_be_focused()
    assert typing.field("note").evaluate("e => [e.selectionStart, e.selectionEnd]") == [4, 7]


@pytest.mark.parametrize("scrolled", [0, 40])
def test_nothing_moves_under_a_typing_hand(node: Node, page_as: Visitor, form: str, scrolled: int) -> None:
    """On a phone the banner grows with what it has to say; the field with the caret stays where it is (U28)."""
    context = page_as.context(viewport={"width": 390, "height": 400})
    markup = f"<p>A</p><p>B</p>{record(form)}" + "<p>C</p>" * 30
    ann = page_as.html("ann", "Ann", form, markup, context=context)
    ann.lock()
    ann.field("note").fill("half a sentence")
    ann.page.evaluate("y => scrollTo(0, y)", scrolled)
    # Where it is after the next two frames: the browser's own scroll anchoring has had its turn.
    place = (
        "e => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(()"
        " => done(Math.round(e.getBoundingClientRect().top)))))"
    )
    before, height = ann.field("note").evaluate(place), ann.banner.evaluate("e => e.offsetHeight")
    node.push({"form": form, "change_set": {"amount": ["120.00", "999"], "note": ["old", "a much longer text than before"]}})
    expect(ann.banner).to_contain_text("Your text is kept.")
    assert ann.banner.evaluate("e => e.offsetHeight") > height
    assert ann.field("note").evaluate(place) == before


def test_unsaved_text_outlives_the_lock(node: Node, page_as: Visitor, form: str) -> None:
    """Text that was typed and not saved is kept when an update comes after the lock; the newest is there when it is wanted (U19)."""
    ann = page_as.html("ann", "Ann", form, record(form))
    ann.lock()
    ann.field("note").fill("mine")
    ann.press("Done")
    expect(ann.banner).to_contain_text("Not saved")
    node.push({"form": form, "representation": {"note": "theirs"}})
    expect(ann.banner).to_contain_text("Your text is kept.")
    expect(ann.field("note")).to_have_value("mine")
    ann.press("Show the newest")
    expect(ann.field("note")).to_have_value("theirs")


def test_my_own_save_is_no_news(node: Node, page_as: Visitor, form: str) -> None:
    """An update whose origin is this tab is not shown as somebody else's (U13)."""
    ann = page_as.html("ann", "Ann", form, record(form))
    ann.lock()
    tab = ann.tell("return client.tab.id")
    node.push({"form": form, "origin": tab, "representation": {"note": "my own save"}})
    node.push({"form": form, "change_set": {"amount": [1, 2]}})
    expect(ann.banner).to_contain_text("Amount 1 → 2")
    expect(ann.field("note")).to_have_value("old")


def test_the_page_may_do_it_itself(node: Node, page_as: Visitor, form: str) -> None:
    """`formlock:updated` bubbles with the update, and once it is cancelled the form is left alone."""
    bob = page_as.html("bob", "Bob", form, record(form))
    bob.sees("free")
    bob.page.evaluate(
        "window.told = new Promise((resolve) => document.addEventListener('formlock:updated',"
        " (event) => { event.preventDefault(); resolve(event.detail.update.representation.amount) })); null"
    )
    node.push({"form": form, "representation": {"amount": "7"}})
    assert bob.page.evaluate("window.told") == "7"
    expect(bob.field("amount")).to_have_value("120.00")
