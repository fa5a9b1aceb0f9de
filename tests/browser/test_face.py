"""The banner between people: waiting, asking, taking over, moving; what it never does to somebody who types; its languages."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.node]


# As somebody who may do this from now on.
RIGHTS = "client.options.identity = () => ({ user: 'bob', name: 'Bob', rights: argument }); client.supervisor.restart({ now: true })"
# A page whose connection ends before it has heard where the bridge is may have missed something. This one does not load itself anew.
FOLLOWS = "update=event"


def markup(form: str, more: str = "") -> str:
    return f'<form form-lock="{form}" {more}><label>a <input name="a"></label><label>b <textarea name="b"></textarea></label></form>'


def test_three_people_and_one_form(page_as: Visitor, form: str) -> None:
    """A story: Eva waits, Bob asks with a note, Ann keeps it, then gives it up; Eva was first, and has it (U17, U18)."""
    page = markup(form, 'lock-note="On the phone"')
    ann, bob, eva = (page_as.html(name.lower(), name, form, page) for name in ("Ann", "Bob", "Eva"))
    ann.lock()
    eva.sees("locked", "Active now")
    eva.press("Wait for my turn")
    eva.sees("queued", "You are next in line.")
    bob.sees("locked", "“On the phone”")
    bob.press("Wait for my turn")
    bob.sees("queued", "You are 2nd in line.")
    bob.press("Ask to release")
    bob.page.keyboard.type("Just the address")
    bob.page.keyboard.press("Enter")
    expect(bob.banner).to_contain_text("You have asked Ann.")
    ann.sees("asked", "Bob would like to edit.")
    expect(ann.banner).to_contain_text("“Just the address”")
    expect(ann.banner).to_contain_text("it is theirs in")
    ann.press("Keep 5 min more")
    ann.sees("mine")
    expect(bob.banner).to_contain_text("Ann needs it for 5 min more.")
    ann.press("Done")
    eva.sees("mine")
    bob.sees("queued", "You are next in line.")
    bob.press("Leave the line")
    bob.sees("locked", "Eva is editing.")


def test_a_takeover_is_told_with_its_reason(page_as: Visitor, form: str) -> None:
    """Who loses the form learns at once by whom and why, keeps the text, and may ask for it back (U14, U19)."""
    ann, bob = page_as.html("ann", "Ann", form, markup(form)), page_as.html("bob", "Bob", form, markup(form))
    ann.lock()
    ann.field("a").fill("half a sentence")
    bob.sees("locked", "Active now")
    bob.press("Take over")
    bob.page.keyboard.type("urgent correction")
    bob.page.keyboard.press("Enter")
    bob.sees("mine")
    expect(bob.field("a")).to_be_focused()  # from the banner the way leads into the form
    ann.sees("lost", "Bob took over at")
    expect(ann.banner).to_contain_text("“urgent correction”")
    expect(ann.banner).to_contain_text("Your unsaved changes are kept")
    expect(ann.field("a")).to_have_value("half a sentence")
    ann.press("Show my changes")
    expect(ann.page.locator("form-lock-draft")).to_contain_text("half a sentence")
    ann.press("Ask for it back")
    ann.page.keyboard.press("Enter")
    bob.sees("asked", "Ann would like to edit.")
    bob.press("Release now")
    bob.sees("free")


def test_only_what_may_be_done_is_offered(patiently: Visitor, form: str) -> None:
    """Buttons follow the user's rights and the form's policy: nobody is offered what would be refused, after a refusal neither."""
    guarded = form.replace(".test.", ".guarded.")
    ann, bob = (patiently.html(name.lower(), name, guarded, markup(guarded, FOLLOWS)) for name in ("Ann", "Bob"))
    bob.sees("free")
    ann.lock()
    for rights, offered in (
        (["view", "lock", "admin"], ["Ask to release", "Take over"]),
        (["view", "lock", "takeover"], ["Ask to release"]),
        (["view", "admin"], []),
    ):
        bob.tell(RIGHTS, {"guarded.*": rights})
        bob.until(f"client.joined && lock.name === 'locked' && lock.state.rights?.length === {len(rights)}")
        expect(bob.banner.get_by_role("button")).to_have_text(offered)
        # Who had not heard of the holder yet, and asks, hears it by a refusal.
        bob.tell("const { holder } = lock.state.snapshot; await lock.lock().catch(() => {}); return holder")
        expect(bob.banner.get_by_role("button")).to_have_text(offered)


def test_who_may_only_read(page_as: Visitor, form: str) -> None:
    """Whoever lacks the right to lock is told so before typing, not after, and has no button that would be refused (U26, U28)."""
    bob = page_as.html("bob", "Bob", form, markup(form, f"lock-on=input {FOLLOWS}"))
    bob.sees("free", "Nobody is editing.")
    expect(bob.field("a")).to_be_editable()
    bob.tell(RIGHTS, {"*": ["view"]})
    bob.sees("free", "You may read this, but not edit it.")
    expect(bob.field("a")).not_to_be_editable()
    bob.page.evaluate("document.forms[0].removeAttribute('lock-on')")
    bob.tell(RIGHTS, {"*": ["view", "lock"]})
    expect(bob.banner.get_by_role("button")).to_have_text(["Edit"])
    bob.tell(RIGHTS, {"*": ["view"]})
    expect(bob.banner.get_by_role("button")).to_have_count(0)


def test_move_here(page_as: Visitor, form: str) -> None:
    """The same user goes on in another tab by one button, with the unsaved text; the first tab says where it went (U10, U11)."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    ann.lock()
    ann.field("a").fill("half a sentence")
    here = page_as.watch(ann.page.context.new_page(), form)
    here.page.goto(ann.page.url)
    here.sees("locked", "You are editing this in another tab.")
    here.until("lock.state.otherTab")  # only what is known to be in this browser is asked for its text
    here.press("Move here")
    here.sees("mine")
    expect(here.field("a")).to_have_value("half a sentence")
    ann.sees("lost", "You went on in another tab.")


def test_nothing_happens_to_who_types(page_as: Visitor, form: str) -> None:
    """While others look on, wait, ask and leave, no key is lost, and focus, selection and scroll position stay (U28)."""
    narrow = page_as.context(viewport={"width": 390, "height": 800})  # here a question makes the banner higher
    ann = page_as.html("ann", "Ann", form, "<br>" * 20 + markup(form) + "<br>" * 60, context=narrow)
    ann.lock()
    field = ann.field("b")
    field.click()
    top = ann.page.evaluate("document.activeElement.getBoundingClientRect().top")
    typed = ""
    for name in ("Bob", "Eva"):
        other = page_as.html(name.lower(), name, form, markup(form))
        for text in ("while somebody looks on ", "or wants it "):
            ann.page.keyboard.type(text)
            typed += text
        other.sees("locked", "Active now")
        other.press("Ask to release")
        other.page.keyboard.press("Enter")
        ann.page.keyboard.type("asks ")
        typed += "asks "
        ann.sees("asked")
        assert abs(ann.page.evaluate("document.activeElement.getBoundingClientRect().top") - top) <= 1
        other.press("Wait for my turn")
        ann.page.keyboard.type("waits ")
        typed += "waits "
        other.sees("queued")
        other.page.close()
    ann.page.keyboard.type("goes")
    expect(field).to_have_value(typed + "goes")
    assert ann.page.evaluate("document.activeElement.name") == "b"
    assert field.evaluate("e => e.selectionStart === e.value.length")
    assert abs(ann.page.evaluate("document.activeElement.getBoundingClientRect().top") - top) <= 1


def test_one_notice_at_a_time(page_as: Visitor, form: str) -> None:
    """A choice that is open hides the question one was about to ask, and a new notice takes the old one's place (U29)."""
    ann = page_as.html("ann", "Ann", form, markup(form, 'update="merge"'))
    ann.lock()
    ann.field("a").fill("mine")
    tell = "lock.dispatchEvent(new CustomEvent('updated', {detail: {form: lock.form, change_set: {a: ['', argument]}}}))"
    ann.tell(tell, "theirs")
    expect(ann.banner).to_contain_text("a field you changed too")
    ann.tell(tell, "theirs again")
    expect(ann.page.locator("form-lock-choices")).to_contain_text("theirs again")
    assert ann.banner.locator(".notice:visible").count() == 1
    assert ann.page.locator("form-lock-choices").count() == 1


@pytest.mark.parametrize(
    ("language", "free", "locked", "wait"),
    [
        ("de", "Niemand bearbeitet dies gerade.", "Ann bearbeitet dies gerade.", "Auf Freigabe warten"),
        ("fr", "Personne n’est en train de modifier.", "Ann est en train de modifier.", "Attendre mon tour"),
        ("es-MX", "Nadie está editando.", "Ann está editando.", "Esperar mi turno"),
        ("pl", "Nikt teraz nie edytuje.", "Ann teraz edytuje.", "Czekaj na moją kolej"),
    ],
)
def test_it_speaks_the_pages_language(page_as: Visitor, form: str, language: str, free: str, locked: str, wait: str) -> None:
    """The banner speaks the language of the page around its form, and the page's own words come before ours (U31)."""
    inside = f'<div lang="{language}">{markup(form)}</div>'
    ann = page_as.html("ann", "Ann", form, markup(form))
    bob = page_as.html("bob", "Bob", form, inside)
    bob.sees("free", free)
    ann.lock()
    bob.sees("locked", locked)
    expect(bob.banner.get_by_role("button", name=wait)).to_be_visible()
    bob.page.evaluate("async () => (await import('/formlock/formlock.js')).texts({ wait: 'OK?' })")
    expect(bob.banner.get_by_role("button", name="OK?")).to_be_visible()


def test_an_editor_of_ones_own(page_as: Visitor, form: str) -> None:
    """A rich editor is shut and opened by its own means, in the order of the states, and without them by ours (U26)."""
    more = '<form form-lock="{form}"><div id="rich"><p contenteditable>text</p></div><p id="plain" contenteditable>text</p></form>'
    ann = page_as.html("ann", "Ann", form, more.format(form=form))
    ann.sees("free")
    ann.page.evaluate(
        "async () => { const { useEditor } = await import('/formlock/formlock.js');"
        " window.told = []; const tell = (what) => () => told.push(what);"
        " useEditor(document.querySelector('#rich'), {shut: tell('shut'), open: tell('open')}); }"
    )
    assert ann.page.evaluate("told") == ["shut"]
    assert ann.page.locator("#plain").evaluate("e => e.inert")
    assert not ann.page.locator("#rich p").evaluate("e => e.inert"), "what the editor does by itself is not done twice"
    ann.lock()
    assert ann.page.evaluate("told") == ["shut", "open"]
    assert not ann.page.locator("#plain").evaluate("e => e.inert")
    ann.press("Done")
    ann.sees("free")
    assert ann.page.evaluate("told") == ["shut", "open", "shut"]


def test_a_badge(page_as: Visitor, form: str) -> None:
    """A badge anywhere on a page says who is editing a form, also when it comes later or names another one (U18)."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    bob = page_as.html("bob", "Bob", form, f'<p>Invoice <form-lock-badge for="{form}"></form-lock-badge>')
    badge = bob.page.locator("form-lock-badge")
    expect(badge).to_have_attribute("state", "free")
    ann.lock()
    expect(badge).to_have_text("Ann is editing")
    badge.evaluate("(e, form) => { e.setAttribute('for', form + 'x'); }", form)
    expect(badge).to_have_attribute("state", "free")
    badge.evaluate("(e, form) => { e.setAttribute('for', form); }", form)
    expect(badge).to_have_text("Ann is editing")
