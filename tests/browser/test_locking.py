"""Two people and one form, in real browsers on the real node."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Playwright, expect

from tests.browser.conftest import ARGUMENTS, CHROMIUM, Visitor
from tests.support.node import Node

pytestmark = [pytest.mark.browser, pytest.mark.node]


def test_one_edits_and_the_other_sees_who(page_as: Visitor) -> None:
    """Ann locks; Bob sees her name at once and can't edit or save; when she is done he can (A9, A13, U18, U21)."""
    ann, bob = page_as("ann"), page_as("bob")
    bob.sees("free", "Nobody is editing.")
    expect(ann.field("amount")).not_to_be_editable()
    ann.lock()
    expect(ann.field("amount")).to_be_editable()

    bob.sees("locked", "Ann Weber is editing.")
    expect(bob.banner.get_by_role("button")).to_have_text(["Ask to release", "Take over", "Wait for my turn"])
    expect(bob.field("amount")).not_to_be_editable()
    expect(bob.field("amount")).to_have_value("120.00")
    assert bob.page.locator("[name=form_lock_token]").count() == 0
    bob.field("amount").press("Enter")
    expect(bob.banner).to_contain_text("Not saved")

    ann.press("Done")
    bob.lock()
    ann.sees("locked", "Bob Novak is editing.")
    assert ann.page.locator("[name=form_lock_token]").count() == 0


def test_the_same_moment(page_as: Visitor, form: str) -> None:
    """Two ask in the same moment: exactly one gets the form, the other is told who (A10, U23)."""
    markup = f'<form form-lock="{form}"><input name="a"></form>'
    tabs = [page_as.html(user, user.title(), form, markup) for user in ("ann", "bob")]
    for tab in tabs:
        tab.sees("free")
    starts = "lock.lock().catch(() => {}); return null"
    for tab in tabs:
        tab.tell(starts)
    states = []
    for tab in tabs:
        expect(tab.banner).to_have_attribute("state", re.compile("mine|locked"))
        states.append(tab.banner.get_attribute("state"))
    assert sorted(map(str, states)) == ["locked", "mine"]


def test_a_closed_tab_frees_at_once(page_as: Visitor, form: str) -> None:
    """Closing the tab frees the form without any time-out (U1, U5)."""
    markup = f'<form form-lock="{form}"><input name="a"></form>'
    ann, bob = page_as.html("ann", "Ann", form, markup), page_as.html("bob", "Bob", form, markup)
    ann.lock()
    bob.sees("locked")
    ann.page.close(run_before_unload=False)
    bob.sees("free")


def test_a_reload_keeps_the_lock(page_as: Visitor, form: str) -> None:
    """A reload while editing loses neither the lock nor its token (U8)."""
    markup = f'<form form-lock="{form}"><input name="a"></form>'
    ann, bob = page_as.html("ann", "Ann", form, markup), page_as.html("bob", "Bob", form, markup)
    ann.lock()
    token = ann.token
    ann.page.reload()
    ann.sees("mine")
    assert ann.token == token
    bob.sees("locked", "Ann is editing.")


def test_a_look_is_not_an_edit(page_as: Visitor, form: str) -> None:
    """After Done, a reload doesn't lock again (U27)."""
    markup = f'<form form-lock="{form}"><input name="a"></form>'
    ann = page_as.html("ann", "Ann", form, markup)
    ann.lock()
    ann.press("Done")
    ann.sees("free")
    ann.page.reload()
    ann.sees("free")


def test_the_articles_markup(page_as: Visitor, form: str) -> None:
    """A form whose id is its topic and a button of class form-lock: a click locks, and then the fields open (A12)."""
    markup = f'<form id="{form}"><input name="a"><button class="form-lock">Edit</button><button>Save</button></form>'
    ann, bob = page_as.html("ann", "Ann", form, markup), page_as.html("bob", "Bob", form, markup)
    bob.sees("free")
    field = ann.page.locator("[name=a]")
    expect(field).not_to_be_editable()
    ann.page.locator(".form-lock").click()
    ann.sees("mine")
    expect(field).to_be_editable()
    bob.sees("locked", "Ann is editing.")
    expect(bob.page.locator(".form-lock")).to_be_disabled()
    assert "test.html?" not in ann.page.url, "the button did not submit"


def test_lock_on_input(page_as: Visitor, form: str) -> None:
    """With lock-on="input" the first keystroke locks, and nothing typed is lost (U27, U28)."""
    markup = f'<form form-lock="{form}" lock-on="input"><input name="a"></form>'
    ann, bob = page_as.html("ann", "Ann", form, markup), page_as.html("bob", "Bob", form, markup)
    ann.sees("free")
    bob.sees("free")
    ann.field("a").press_sequentially("hello")
    ann.sees("mine")
    bob.sees("locked")
    expect(ann.field("a")).to_have_value("hello")
    expect(ann.field("a")).to_be_focused()


def test_lock_on_load(page_as: Visitor, form: str) -> None:
    """With lock-on="load" opening the page locks."""
    ann = page_as.html("ann", "Ann", form, f'<form form-lock="{form}" lock-on="load"><input name="a"></form>')
    ann.sees("mine")


def test_a_duplicated_tab(page_as: Visitor, form: str) -> None:
    """A duplicated tab neither takes the lock from its original nor locks its user out of both (U10, U11)."""
    ann = page_as.html("ann", "Ann", form, f'<form form-lock="{form}"><input name="a"></form>')
    ann.lock()
    token = ann.token
    with ann.page.expect_popup() as popup:
        ann.page.evaluate("window.open(location.href)")
    copy = page_as.watch(popup.value, form)
    copy.sees("locked", "You are editing this in another tab.")
    ann.sees("mine")
    assert ann.token == token
    ann.press("Done")
    copy.lock()
    ann.sees("locked", "You are editing this in another tab.")


def test_shut_fields_stay_in_the_forms_data(page_as: Visitor, form: str) -> None:
    """Shut fields keep their values in the form's data, stay readable and can't be changed (U26)."""
    markup = (
        f'<form form-lock="{form}"><input name="a" value="1"><textarea name="b">2</textarea>'
        '<select name="c"><option>3<option>4</select><label><input type="checkbox" name="d" value="5" checked>five</label></form>'
    )
    ann = page_as.html("ann", "Ann", form, markup)
    ann.sees("free")
    assert ann.page.evaluate("[...new FormData(document.forms[0])].join(' ')") == "a,1 b,2 c,3 d,5"
    ann.page.get_by_text("five").click(force=True)
    assert ann.page.evaluate("[...new FormData(document.forms[0])].join(' ')") == "a,1 b,2 c,3 d,5"
    ann.lock()
    ann.page.get_by_text("five").click()
    # A renewal may bring another receipt at any time.
    data, receipt = ann.page.evaluate(
        "[[...new FormData(document.forms[0])].join(' '), document.querySelector('[name=form_lock_receipt]').value]"
    )
    assert receipt
    assert data == f"a,1 b,2 c,3 form_lock_token,{ann.token} form_lock_receipt,{receipt}"


def test_the_token_travels_with_the_submit(page_as: Visitor, form: str) -> None:
    """A submit carries the token and leaves; only then is the form free for others."""
    markup = f'<form form-lock="{form}" token-field="proof"><input name="a" value="1"><button>Save</button></form>'
    ann, bob = page_as.html("ann", "Ann", form, markup), page_as.html("bob", "Bob", form, markup)
    ann.lock()
    bob.sees("locked")
    ann.page.route("**/test.html?*", lambda route: route.fulfill(body="saved", content_type="text/plain"))
    with ann.page.expect_navigation():
        ann.page.get_by_role("button", name="Save").click()
    assert re.search(r"\?a=1&proof=\d+&form_lock_receipt=[\w.-]+$", ann.page.url)
    bob.sees("free")


def test_focus_leads_into_the_form_and_back(page_as: Visitor, form: str) -> None:
    """By keyboard alone: Edit leads into the first field, and a shut select gives its focus to the banner (U31)."""
    ann = page_as.html(
        "ann", "Ann", form, f'<form form-lock="{form}"><select name="c"><option>3<option>4</select><input name="a"></form>'
    )
    ann.sees("free")
    ann.page.keyboard.press("Tab")
    ann.page.keyboard.press("Enter")
    ann.sees("mine")
    expect(ann.field("c")).to_be_focused()
    ann.tell("lock.input({type: 'renewal lost', token: lock.token, holder: {user: 'eva', name: 'Eva Lind'}})")
    ann.sees("lost", "Eva Lind is editing now.")
    expect(ann.banner).to_be_focused()


def test_names_are_text(page_as: Visitor, form: str) -> None:
    """A name that looks like mark-up is shown, not run."""
    markup = f'<form form-lock="{form}"><input name="a"></form>'
    ann = page_as.html("mallory", "<img src=x onerror=alert(1)>", form, markup)
    bob = page_as.html("bob", "Bob", form, markup)
    ann.lock()
    bob.sees("locked", "<img src=x onerror=alert(1)> is editing.")


def test_no_jump(page_as: Visitor) -> None:
    """The banner has its height from the start: nothing below it moves from state to state."""
    ann, bob = page_as("ann"), page_as("bob")
    heights = set()
    bob.sees("free")
    heights.add(bob.banner.evaluate("e => e.offsetHeight"))
    ann.lock()
    heights.add(ann.banner.evaluate("e => e.offsetHeight"))
    bob.sees("locked")
    heights.add(bob.banner.evaluate("e => e.offsetHeight"))
    assert len(heights) == 1


@pytest.fixture
def remembering(playwright: Playwright) -> Browser:
    """A Chromium with its back/forward cache, which Playwright turns off."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, ignore_default_args=["--disable-back-forward-cache"])


def test_leaving_by_a_link_and_coming_back(node: Node, remembering: Browser, page_as: Visitor, form: str) -> None:
    """A page in the back/forward cache holds nothing; when it comes back it edits on, with the same token (U1, U5)."""
    visitor = Visitor(remembering, node.url)
    try:
        markup = f'<form form-lock="{form}"><input name="a"></form>'
        ann, bob = visitor.html("ann", "Ann", form, markup), page_as.html("bob", "Bob", form, markup)
        ann.lock()
        token = ann.token
        ann.page.evaluate("addEventListener('pageshow', (event) => { window.persisted = event.persisted })")
        bob.sees("locked")
        ann.page.goto(f"{node.url}favicon.svg")
        bob.sees("free")
        ann.page.evaluate("history.back()")
        ann.sees("mine")
        assert ann.page.evaluate("window.persisted") is True, "this must test the back/forward cache"
        assert ann.token == token
        bob.sees("locked")
        assert [text for text in ann.errors if "404" not in text] == []  # the picture has no favicon.ico
    finally:
        remembering.close()
