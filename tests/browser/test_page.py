"""Whatever a page does around its forms: fields, banners and forms that come and go, unusual mark-up, scripts of its own."""

from __future__ import annotations

import pytest
from playwright.sync_api import WebSocket, expect

from tests.browser.conftest import Visitor
from tests.support.node import Node

pytestmark = [pytest.mark.browser, pytest.mark.node]


HEAD = (
    '<!doctype html><title>x</title><link rel="icon" href="/favicon.svg"><script type="module" src="/formlock/formlock.js"></script>'
)


def markup(form: str, attributes: str = "") -> str:
    return f'<form form-lock="{form}" {attributes}><input name="a"></form>'


def test_notes_and_names_as_templates_write_them(page_as: Visitor, form: str) -> None:
    """A note of several lines, or one too long, keeps nobody from editing; nor does a name of that kind (U26)."""
    note = "Correcting\n    the total " + "é" * 300
    ann = page_as.html("ann", "Ann\n  Weber " + "x" * 100, form, markup(form, f'lock-note="{note}"'))
    ann.lock()
    bob = page_as.html("bob", "Bob", form, markup(form))
    bob.sees("locked", "Correcting the total é")
    assert bob.tell("return lock.state.snapshot.holder.name") == "Ann Weber " + "x" * 90
    assert len(bob.tell("return lock.state.snapshot.note")) == 200


def test_fields_that_come_later_are_shut_too(page_as: Visitor, form: str) -> None:
    """A row that a script adds to a shut form is shut, and opens with the others."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    ann.sees("free")
    ann.page.evaluate("document.forms[0].insertAdjacentHTML('beforeend', '<input name=b>')")
    expect(ann.field("b")).not_to_be_editable()
    ann.lock()
    expect(ann.field("b")).to_be_editable()


def test_a_field_outside_its_form(page_as: Visitor, form: str) -> None:
    """A field that belongs to the form by its `form` attribute is shut, and typing in it asks for the lock."""
    outside = '<input form="f" name="b">'
    bob = page_as.html("bob", "Bob", form, markup(form, "id=f") + outside)
    bob.sees("free")
    expect(bob.page.locator("[name=b]")).not_to_be_editable()
    ann = page_as.html("ann", "Ann", form, markup(form, "id=f lock-on=input") + outside)
    ann.sees("free")
    ann.page.locator("[name=b]").press_sequentially("hello")
    ann.sees("mine")
    expect(ann.page.locator("[name=b]")).to_have_value("hello")


def test_a_cancelled_event_leaves_the_fields_to_the_page(page_as: Visitor, form: str) -> None:
    """Once the page has cancelled `formlock:free`, no later news about the same state shuts the fields."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    ann.lock()
    ann.page.evaluate("document.addEventListener('formlock:free', (event) => event.preventDefault())")
    ann.press("Done")
    ann.sees("free")
    ann.tell("await lock.status()")
    expect(ann.field("a")).to_be_editable()


def test_a_banner_that_comes_later(page_as: Visitor, form: str) -> None:
    """A banner that the page brings later takes over from the one that was made for it; one that goes is replaced."""
    ann = page_as.html("ann", "Ann", form, markup(form) + "<footer></footer>")
    ann.sees("free")
    ann.page.evaluate("form => document.querySelector('footer').innerHTML = `<form-lock for=\"${form}\"></form-lock>`", form)
    expect(ann.banner).to_have_count(1)
    ann.sees("free")
    ann.page.locator("footer").evaluate("e => e.replaceChildren()")
    ann.sees("free")
    ann.lock()


def test_a_form_that_goes(page_as: Visitor, form: str) -> None:
    """A form taken out of the page frees its lock and takes its banner along; put back, it works again."""
    ann, bob = page_as.html("ann", "Ann", form, markup(form)), page_as.html("bob", "Bob", form, markup(form))
    ann.lock()
    bob.sees("locked")
    ann.page.evaluate("window.gone = document.forms[0]; gone.remove()")
    bob.sees("free")
    expect(ann.banner).to_have_count(0)
    ann.page.evaluate("document.body.append(gone)")
    ann.lock()
    bob.sees("locked")


def test_a_form_that_becomes_another(page_as: Visitor, form: str) -> None:
    """When a script gives the form another name, the lock follows: the old one is free."""
    other = f"{form}-other"
    ann, bob = page_as.html("ann", "Ann", form, markup(form)), page_as.html("bob", "Bob", form, markup(form))
    ann.lock()
    ann.page.evaluate("name => document.forms[0].setAttribute('form-lock', name)", other)
    bob.sees("free")
    ann.form = other
    ann.lock()


def test_two_forms_of_one_record(page_as: Visitor, form: str) -> None:
    """Two forms of one record share its lock; when one of them goes the other goes on."""
    ann = page_as.html("ann", "Ann", form, f"{markup(form)}<hr>{markup(form)}")
    expect(ann.banner).to_have_count(2)
    ann.banner.first.get_by_role("button", name="Edit").click()
    for banner in ann.banner.all():
        expect(banner).to_have_attribute("state", "mine")
    ann.page.evaluate("document.forms[0].remove()")
    expect(ann.banner).to_have_count(1)
    ann.sees("mine")
    ann.press("Done")
    ann.sees("free")


def test_a_field_named_id(page_as: Visitor, form: str) -> None:
    """A banner finds its form by id, though a field named "id" hides the form's own property."""
    ann = page_as.html(
        "ann",
        "Ann",
        form,
        f'<form-lock for="f"></form-lock><hr><form id="f" form-lock="{form}"><input type="hidden" name="id" value="1"></form>',
    )
    expect(ann.page.locator("form-lock")).to_have_count(1)
    expect(ann.page.locator("form-lock")).to_have_attribute("state", "free")


def test_a_bad_name_is_said_once(page_as: Visitor, form: str) -> None:
    """A name that is none is an error on the console, once, however often the page changes."""
    ann = page_as.html("ann", "Ann", form, markup("no.form") + markup(form))
    ann.sees("free")
    ann.page.evaluate(
        "async () => { for (let i = 0; i < 3; i += 1) { document.body.append('x'); await new Promise(requestAnimationFrame) } }"
    )
    assert ann.errors == ['form-lock: "no.form" is not the name of a form']
    ann.excuse("is not the name of a form")


def test_a_page_without_forms_never_connects(page_as: Visitor, form: str) -> None:
    """The script may stand in every page's head: only a page with such a form opens a connection (U24)."""
    tab = page_as.watch(page_as.context().new_page(), form)
    sockets: list[WebSocket] = []
    tab.page.on("websocket", lambda socket: sockets.append(socket))
    tab.page.route("**/test.html", lambda route: route.fulfill(content_type="text/html", body=HEAD + "<form></form>"))
    tab.page.context.grant_permissions(["local-network-access"])
    tab.page.goto(f"{page_as.url}test.html")
    tab.page.evaluate("customElements.whenDefined('form-lock').then(() => null)")
    assert sockets == []
    tab.page.evaluate("form => document.forms[0].setAttribute('form-lock', form)", form)
    tab.sees("free")
    assert len(sockets) == 1


def test_done_with_lock_on_load(page_as: Visitor, form: str) -> None:
    """With lock-on="load" Done is the end of it, after a reload too."""
    ann = page_as.html("ann", "Ann", form, markup(form, "lock-on=load"))
    ann.sees("mine")
    ann.page.reload()
    ann.sees("mine")
    ann.press("Done")
    ann.sees("free")
    ann.tell("await lock.status()")
    ann.sees("free")


def test_a_page_that_saves_by_script_is_stopped_too(page_as: Visitor, form: str) -> None:
    """A submit of a form that is not held reaches no listener of the page: many save by a script of their own (U21)."""
    bob = page_as.html("bob", "Bob", form, markup(form))
    bob.sees("free")
    bob.page.evaluate("document.forms[0].addEventListener('submit', (event) => { event.preventDefault(); window.saved = true })")
    bob.page.evaluate("document.forms[0].requestSubmit()")
    expect(bob.banner).to_contain_text("Not saved")
    assert bob.page.evaluate("window.saved") is None


def test_a_page_opened_long_ago_does_not_lock_by_itself(page_as: Visitor, form: str) -> None:
    """With lock-on="load" a page that found the form locked does not grab it when it is free at last (U3)."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    ann.lock()
    bob = page_as.html("bob", "Bob", form, markup(form, "lock-on=load"))
    bob.sees("locked")
    ann.press("Done")
    bob.sees("free")
    bob.tell("await lock.status()")
    bob.sees("free")


def test_the_articles_button_by_keyboard(node: Node, page_as: Visitor, form: str) -> None:
    """The page's own Edit button, pressed by keyboard, leads into the form (U31); and one that an update brought works alike."""
    page = f'<form id="{form}" update="replace"><button class="form-lock">Edit</button><input name="a" value="1"></form>'
    ann = page_as.html("ann", "Ann", form, page)
    ann.sees("free")
    node.push({"form": form, "representation": '<button class="form-lock">Edit</button><input name="a" value="2">'})
    expect(ann.page.locator("[name=a]")).to_have_value("2")
    ann.page.locator(".form-lock").focus()
    ann.page.keyboard.press("Enter")
    ann.sees("mine")
    expect(ann.page.locator("[name=a]")).to_be_focused()


def test_a_refused_button_gives_its_focus_to_the_banner(page_as: Visitor, form: str) -> None:
    """When the page's own button is shut under the focus, the banner that says why has it (U26, U31)."""
    page = f'<form id="{form}"><button class="form-lock">Edit</button><input name="a"></form>'
    ann, bob = page_as.html("ann", "Ann", form, page), page_as.html("bob", "Bob", form, page)
    bob.sees("free")
    bob.page.locator(".form-lock").focus()
    ann.sees("free")
    ann.page.locator(".form-lock").click()
    bob.sees("locked")
    expect(bob.banner).to_be_focused()


def test_a_ring_that_can_be_seen(page_as: Visitor, form: str) -> None:
    """The focus ring has the full accent, 6:1 on white: mixed with what is behind it, it had 2.7:1, and WCAG asks for 3:1 (U31)."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    ann.sees("free")
    ann.page.keyboard.press("Tab")
    ring = ann.banner.get_by_role("button").evaluate("e => getComputedStyle(e).outline")
    assert "rgb(29, 95, 191)" in ring
    assert "3px" in ring
    ann.banner.evaluate("e => e.rescueFocus()")
    assert ann.banner.get_by_role("status").evaluate("e => getComputedStyle(e).outlineStyle") == "solid", "in forced colours too"


def test_from_right_to_left(page_as: Visitor, form: str) -> None:
    """On a page written from right to left the banner is mirrored: coloured edge and its distance on the right."""
    ann = page_as.html("ann", "Ann", form, f'<div dir="rtl">{markup(form)}</div>')
    ann.sees("free")
    edges = ann.banner.get_by_role("status").evaluate(
        "e => { const style = getComputedStyle(e); return [style.borderRightWidth, style.paddingRight, style.paddingLeft] }"
    )
    assert edges == ["4px", "14px", "8px"]


def test_what_nobody_knows_is_said_as_such(page_as: Visitor, form: str) -> None:
    """When updates were missed and can't be had any more, the banner claims no change, only that there may be one."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    ann.lock()
    ann.tell("lock.dispatchEvent(new CustomEvent('updated', { detail: { form: lock.form, missed: true } }))")
    expect(ann.banner).to_contain_text("This may have been changed elsewhere. Your text is kept.")
