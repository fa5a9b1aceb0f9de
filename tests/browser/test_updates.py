"""A backend reports a change through the real bridge, and the open forms follow."""

from __future__ import annotations

from itertools import count

import pytest
from playwright.sync_api import expect

from formlock_push import Pusher
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
    bob.excuse("404", "has been blocked")


def test_what_a_form_has_is_no_permission_to_run_or_lead_elsewhere(node: Node, page_as: Visitor, form: str) -> None:
    """Of a fragment, what runs or leads elsewhere is left out even where the form itself has the very same (A17)."""
    inside = (
        '<input name="amount" oninput="save()"><button formaction="https://elsewhere.example/">Save</button>'
        '<p data-kind="money" is="x-y">Text</p>'
    )
    bob = page_as.html("bob", "Bob", form, f'<form form-lock="{form}" update="replace">{inside}</form>')
    bob.sees("free")
    elsewhere = '<img alt="a" src="https://elsewhere.example/a.png"><a href="tel:1">Call</a><a href="data:text/html,x">No</a>'
    node.push({"form": form, "representation": f"<form>{inside.replace('Text', 'New')}{elsewhere}</form>"})
    expect(bob.page.locator("form p")).to_have_text("New")
    found = bob.page.evaluate("Array.from(document.forms[0].querySelectorAll('*'), (e) => e.getAttributeNames()).flat()")
    assert not {"oninput", "formaction", "is", "src"} & set(found)
    assert found.count("href") == 1
    assert "data-kind" in found, "what says something to the page only is its own"
    # The page's own handler is blocked by the policy, and Chromium says so.
    bob.excuse("inline event handler")


def test_without_values_the_page_itself_is_asked(node: Node, page_as: Visitor, form: str) -> None:
    """Without a representation the form's values are taken from the page as the server gives it now (A17)."""
    loads = count(1)
    bob = page_as.html(
        "bob", "Bob", form, lambda: f'<form form-lock="{form}" update="replace"><input name="n" value="{next(loads)}"></form>'
    )
    bob.sees("free")
    bob.page.evaluate("window.same = true")
    node.push({"form": form})
    expect(bob.field("n")).to_have_value("2")
    assert bob.page.evaluate("window.same") is True, "not reloaded"


def test_a_section_follows_its_record(node: Node, page_as: Visitor, form: str) -> None:
    """Applications report the record: the page of a section of it follows, and asks for what has another name there (U33)."""
    loads = count(1)
    section = f"{form}.address"

    def shown() -> str:
        fields = f'<input name="city" value="Rome"><input name="n" value="{next(loads)}">'
        return f'<form form-lock="{section}" update="merge">{fields}</form>'

    bob = page_as.html("bob", "Bob", section, shown)
    bob.sees("free")
    bob.until("client.sessions.length && lock.last")
    node.push({"form": form, "change_set": {"city": ["Rome", "Oslo"]}})
    expect(bob.field("city")).to_have_value("Oslo")
    expect(bob.field("n")).to_have_value("1")
    node.push({"form": form, "change_set": {"amount": ["1", "2"]}})
    expect(bob.field("n")).to_have_value("2")


def test_many_records_were_changed(node: Node, page_as: Visitor, form: str) -> None:
    """Of a change of many records an open form asks its own page, if it may be one of them; typed text stays (U30, U36)."""
    loads = count(1)
    kind, number = form.split(".")[-2:]
    topic = f"com.example.form.{kind}-{number}."

    def shown() -> str:
        return f'<form form-lock="{topic}1" update="replace"><input name="n" value="{next(loads)}"></form>'

    bob = page_as.html("bob", "Bob", f"{topic}1", shown)
    ann = page_as.html("ann", "Ann", f"{topic}2", record(f"{topic}2"))
    bob.sees("free")
    ann.lock()
    ann.field("note").fill("half a sentence")
    with Pusher(node.zmq_url) as pusher:
        assert pusher.bulk(f"{topic}*", 1, ["2"])
        expect(ann.banner).to_contain_text("This may have been changed elsewhere. Your text is kept.")
        assert pusher.bulk(f"{topic}*", 4_000, change_set={"n": [None, 99]})
    expect(bob.field("n")).to_have_value("2")
    expect(ann.field("note")).to_have_value("half a sentence")


def test_reload_is_the_default(node: Node, page_as: Visitor, form: str) -> None:
    """With update="reload", which is the default, a form that nobody edits is loaded anew (A17)."""
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


def test_what_was_reported_while_offline_is_not_missed(node: Node, page_as: Visitor, form: str) -> None:
    """Updates that came while the line was down are brought in when it is back, as if they came now (U38)."""
    bob = page_as.html("bob", "Bob", form, record(form))
    bob.sees("free")
    # It knows where the bridge is: what comes later is brought in by itself; before, only that something may have changed.
    bob.until("lock.last")
    bob.page.context.set_offline(True)
    bob.sees("offline")
    node.push({"form": form, "change_set": {"amount": ["120.00", "140.00"]}, "representation": {"amount": "140.00"}})
    node.push({"form": form, "change_set": {"note": ["old", "new"]}, "representation": {"note": "new"}})
    bob.page.context.set_offline(False)
    expect(bob.field("amount")).to_have_value("140.00")
    expect(bob.field("note")).to_have_value("new")
    expect(bob.banner).to_contain_text("note old → new")
    bob.excuse("ERR_INTERNET_DISCONNECTED")  # the browser itself reports each attempt to connect while offline


def test_a_reload_does_not_cost_another_forms_text(node: Node, page_as: Visitor, form: str) -> None:
    """With update="reload" a page where something else is being typed isn't reloaded: the values come in place (U30)."""
    loads = count(1)
    other = f"{form}-other"
    bob = page_as.html(
        "bob",
        "Bob",
        form,
        lambda: (
            f'<form form-lock="{form}"><input name="n" value="{next(loads)}"></form>'
            f'<form form-lock="{other}"><input name="text"></form><input name="search">'
        ),
    )
    bob.sees("free")
    bob.page.locator("[name=search]").fill("half a word")
    node.push({"form": form})
    expect(bob.field("n")).to_have_value("2")
    expect(bob.page.locator("[name=search]")).to_have_value("half a word")
    bob.page.locator("[name=search]").fill("")
    second = Tab(bob.page, other)
    second.lock()
    second.field("text").fill("half a sentence")
    node.push({"form": form})
    expect(bob.field("n")).to_have_value("3")
    expect(second.field("text")).to_have_value("half a sentence")
    second.sees("mine")


ROWS = (
    '<input name="line" value="{}"><input name="line" value="{}">'
    '<input type="hidden" name="paid" value="0"><input type="checkbox" name="paid" value="1" {}>'
    '<label>Status <select name="status"><option>Draft<option {}>Sent</select></label>'
)


@pytest.mark.parametrize("pushed", [True, False])
def test_rows_and_boxes_get_their_own_values(node: Node, page_as: Visitor, form: str, pushed: bool) -> None:
    """Text fields of one name are rows, and the hidden field beside a box keeps what it says for an empty box."""
    pages = iter([ROWS.format("a", "b", "", ""), ROWS.format("A", "B", "checked", "selected")])
    bob = page_as.html("bob", "Bob", form, lambda: f'<form form-lock="{form}" update="replace">{next(pages)}</form>')
    bob.sees("free")
    update = {"form": form, "change_set": {"status": ["Draft", "Sent"]}}
    node.push(update | {"representation": {"line": ["A", "B"], "paid": True, "status": "Sent"}} if pushed else update)
    expect(bob.banner).to_contain_text("Changed: Status Draft → Sent")
    assert bob.page.evaluate("[...new FormData(document.forms[0])].join(' ')") == "line,A line,B paid,0 paid,1 status,Sent"


def test_the_newest_is_shown_from_the_page_itself(node: Node, page_as: Visitor, form: str) -> None:
    """ "Show the newest" over one's own unsaved text works without a representation too (U29)."""
    loads = count(1)
    page = '<form form-lock="{}" update="replace"><input name="n" value="{}"><input name="note"></form>'
    ann = page_as.html("ann", "Ann", form, lambda: page.format(form, next(loads)))
    ann.lock()
    ann.field("note").fill("mine")
    ann.press("Done")
    node.push({"form": form})
    ann.press("Show the newest")
    expect(ann.field("n")).to_have_value("2")
    expect(ann.field("note")).to_have_value("")


def test_all_that_was_held_back_is_shown(node: Node, page_as: Visitor, form: str) -> None:
    """Of several updates that waited for a typing person, none is forgotten."""
    ann = page_as.html("ann", "Ann", form, record(form))
    ann.lock()
    ann.field("note").fill("half a sentence")
    node.push({"form": form, "representation": {"amount": "999"}})
    expect(ann.banner).to_contain_text("changed elsewhere")
    node.push({"form": form, "change_set": {"note": [1, 2]}, "representation": {"note": "theirs"}})
    expect(ann.banner).to_contain_text("1 → 2")
    ann.press("Done")
    ann.press("Show the newest")
    expect(ann.field("amount")).to_have_value("999")
    expect(ann.field("note")).to_have_value("theirs")


def test_text_that_the_browser_put_back_is_not_the_record(node: Node, page_as: Visitor, form: str) -> None:
    """After a reload the browser puts back what was typed: it is still unsaved, and kept as such (U30)."""
    ann = page_as.html("ann", "Ann", form, record(form))
    ann.lock()
    ann.field("note").fill("half a sentence")
    # Chromium does it for its own reload button, not for Playwright's.
    ann.page.add_init_script(
        "new MutationObserver((_, self) => { const field = document.querySelector('[name=note]');"
        " if (field) { field.value = 'half a sentence'; self.disconnect() } }).observe(document, {childList: true, subtree: true})"
    )
    ann.page.reload()
    ann.sees("mine")
    expect(ann.field("note")).to_have_value("half a sentence")
    ann.press("Done")
    expect(ann.banner).to_contain_text("Not saved")
    node.push({"form": form, "representation": {"note": "theirs"}})
    expect(ann.banner).to_contain_text("Your text is kept.")
    expect(ann.field("note")).to_have_value("half a sentence")


def test_who_reads_in_a_field_goes_on_there(node: Node, page_as: Visitor, form: str) -> None:
    """A fragment that replaces the field with the focus gives it to the field of the same name (U31)."""
    bob = page_as.html("bob", "Bob", form, record(form))
    bob.sees("free")
    bob.field("note").focus()
    node.push({"form": form, "representation": '<input name="amount" value="1"><textarea name="note">new</textarea>'})
    expect(bob.field("note")).to_have_value("new")
    expect(bob.field("note")).to_be_focused()


def test_a_value_that_a_field_cannot_show_is_not_shown_as_nothing(node: Node, page_as: Visitor, form: str) -> None:
    """A date in another form, or a choice the list lacks, would leave the field empty and be saved so: the page is asked instead."""
    page = '<input type="date" name="due" value="{}"><select name="status"><option>Draft<option {}>Sent</select>'
    pages = iter([page.format("2026-02-28", ""), page.format("2026-03-01", "selected"), page.format("2026-03-02", "")])
    bob = page_as.html("bob", "Bob", form, lambda: f'<form form-lock="{form}" update="replace">{next(pages)}</form>')
    bob.sees("free")
    node.push({"form": form, "representation": {"due": "1 March"}})
    expect(bob.field("due")).to_have_value("2026-03-01")
    expect(bob.field("status")).to_have_value("Sent")
    node.push({"form": form, "representation": {"status": "In draft"}})
    expect(bob.field("status")).to_have_value("Draft")
    expect(bob.field("due")).to_have_value("2026-03-02")
