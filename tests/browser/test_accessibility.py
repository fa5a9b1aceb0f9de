"""What a checker finds wrong for people who see, hear or move otherwise: nothing, on every page and in every state of the banner."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Tab, Visitor
from tests.browser.looks import found
from tests.browser.test_pictures import WAYS

pytestmark = [pytest.mark.browser, pytest.mark.node]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_state(page_as: Visitor, form: str, scheme: Literal["light", "dark"]) -> None:
    """axe finds nothing in any state of the banner, its questions and its drafts, light and dark (U26, U31)."""
    markup = (
        '<meta name="color-scheme" content="light dark"><main><h1>Invoice</h1>'
        f'<form form-lock="{form}" update="merge"><label>Amount <input name="amount" value="1"></label>'
        "<label>Note <textarea name=note></textarea></label><button>Save</button></form></main>"
    )
    ann, bob, eva = (
        page_as.html(user, name, form, markup, context=page_as.context(color_scheme=scheme, reduced_motion="reduce"))
        for user, name in (("ann", "Ann Weber"), ("bob", "Bob Novak"), ("eva", "Eva Lind"))
    )

    def check(tab: Tab, state: str, text: str = "") -> None:
        tab.sees(state, text)
        assert found(tab.page) == [], state

    check(ann, "free")
    ann.lock()
    check(ann, "mine")
    check(bob, "locked", "Active now")
    bob.press("Ask to release")
    check(bob, "locked")
    bob.page.keyboard.type("Just the address")
    bob.page.keyboard.press("Enter")
    check(ann, "asked", "Just the address")
    eva.press("Wait for my turn")
    check(eva, "queued")
    eva.press("Leave the line")  # else it is her turn when the reload below takes more than a moment
    ann.press("Keep 5 min more")
    ann.sees("mine")
    ann.field("amount").fill("2")
    ann.tell("lock.dispatchEvent(new CustomEvent('updated', {detail: {form: lock.form, change_set: {amount: ['1', '3']}}}))")
    check(ann, "mine", "you changed too")
    ann.tell(WAYS["stale"])
    check(ann, "stale")
    ann.page.reload()
    ann.sees("mine")
    bob.press("Take over")
    bob.page.keyboard.type("urgent")
    bob.page.keyboard.press("Enter")
    bob.sees("mine")
    check(ann, "lost", "took over")
    bob.tell(WAYS["offline"])
    check(bob, "offline")


def test_the_demo_page_and_lists(page_as: Visitor) -> None:
    """axe finds nothing on the demo's page, and nothing in a list or badge of who is editing (U26)."""
    ann = page_as("ann")
    ann.lock()
    assert found(ann.page) == []
    topic = "com.example.form.invoice.42"
    page = page_as.html(
        "bob",
        "Bob",
        topic,
        "<main><h1>Invoices</h1><table form-lock-list=invoice><tr><th scope=col>No.<th scope=col>Now"
        f'<tr form-lock-item="{topic}"><td>42<td form-lock-mark></table><p><form-lock-badge for="{topic}"></form-lock-badge></main>',
    )
    expect(page.page.locator("form-lock-badge")).to_have_text("Ann Weber is editing")
    assert found(page.page) == []


def test_all_by_keyboard(page_as: Visitor, form: str) -> None:
    """Everything the banner offers is reached and used with keys alone; a dialogue gives its focus back (U26)."""
    markup = f'<form form-lock="{form}"><label>a <input name="a"></label></form>'
    ann, bob = page_as.html("ann", "Ann", form, markup), page_as.html("bob", "Bob", form, markup)
    ann.lock()
    bob.sees("locked", "Active now")
    reached = []
    for _ in range(3):
        bob.page.keyboard.press("Tab")
        reached.append(bob.banner.evaluate("e => e.shadowRoot.activeElement?.textContent"))
    assert reached == ["Ask to release", "Take over", "Wait for my turn"]
    bob.page.keyboard.press("Shift+Tab")
    bob.page.keyboard.press("Enter")
    expect(bob.page.locator("form-lock-say")).to_have_count(1)
    bob.page.keyboard.press("Escape")
    expect(bob.page.locator("form-lock-say")).to_have_count(0)
    assert bob.banner.evaluate("e => document.activeElement === e"), "the banner has the focus again"
