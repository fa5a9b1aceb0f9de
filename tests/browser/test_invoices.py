"""The example application in real browsers, over the whole way: service, claim, database, hook, bridge, and every open page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import FrameLocator, Locator, Page, expect

from tests.browser.conftest import Invoices, Tab, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.node]


def save(tab: Tab) -> None:
    tab.page.get_by_role("button", name="Save", exact=True).click()


def row(tab: Tab, number: int) -> Locator:
    return tab.page.locator(f'[form-lock-item="com.example.form.invoice.{number}"]')


def quiet(tab: Tab, status: int) -> None:
    """A page that was answered with an error status is an error in Chromium's console: expected here."""
    tab.excuse(f"status of {status}")


@pytest.mark.parametrize("query", ["", "?refresh=reload"])
def test_two_people_one_invoice(invoices: Invoices, query: str) -> None:
    """Ann edits and Bob sees it, she saves and he has her values, by filling them in or by a reload; then it is his turn, based on
    them (A9, A13, A14, A17, A22)."""
    number = 31 if query else 32
    ann, bob = invoices.form("ann", number), invoices.form("bob", number, query=query)
    bob.sees("free")
    expect(bob.page.get_by_text("has not loaded")).to_be_hidden()
    bob.page.evaluate("window.same = true")
    ann.lock()
    bob.sees("locked", "Ann Weber is editing")
    expect(bob.field("amount")).not_to_be_editable()
    ann.field("amount").fill("140")
    save(ann)
    expect(ann.page).to_have_url(re.compile(r"/invoices/ann/$"))
    expect(bob.field("amount")).to_have_value("140.00")
    bob.sees("free")
    assert bob.page.evaluate("window.same === true") is (query == "")
    bob.lock()
    bob.field("notes").fill("by Bob")
    save(bob)
    expect(row(bob, number)).to_contain_text("140.00")


def test_a_cancelled_edit_moves_nobody(invoices: Invoices) -> None:
    """Cancel frees the form at once and refreshes nothing (A14)."""
    ann, bob = invoices.form("ann", 33), invoices.form("bob", 33)
    ann.lock()
    bob.sees("locked")
    before = bob.field("amount").input_value()
    ann.field("amount").fill("999")
    ann.page.get_by_role("link", name="Cancel").click()
    bob.sees("free")
    expect(bob.field("amount")).to_have_value(before)
    expect(bob.banner).not_to_contain_text("Changed")
    bob.lock()
    expect(bob.field("amount")).to_have_value(before)


def test_mistakes_keep_text_and_turn(invoices: Invoices) -> None:
    """After a refused entry the text is there, the turn too, and what is sent next is saved (U8, U30)."""
    ann = invoices.form("ann", 34)
    ann.lock()
    token = ann.token
    ann.field("amount").fill("12,5")
    ann.field("notes").fill("half a sentence")
    save(ann)
    expect(ann.page.locator("#amount-problem")).to_contain_text("An amount like 120.00")
    quiet(ann, 422)
    ann.sees("mine")
    assert ann.token == token
    expect(ann.field("notes")).to_have_value("half a sentence")
    ann.field("amount").fill("12.5")
    save(ann)
    expect(row(ann, 34)).to_contain_text("12.50")


def test_a_late_save_keeps_the_text(invoices: Invoices) -> None:
    """A page whose turn has passed on, and that does not care, can't overwrite: its text stands beside what is stored (U14, U19)."""
    ann, bob = invoices.form("ann", 35), invoices.form("bob", 35)
    ann.lock()
    ann.field("notes").fill("Ann's half a sentence")
    receipt = ann.field("form_lock_receipt").input_value()
    # A program of hers gives the form back, keeps the receipt, which is still good, and sends what is on the page.
    ann.press("Done")
    bob.lock()
    ann.page.evaluate(
        "receipt => { const form = document.forms[0]; const field = document.createElement('input');"
        " Object.assign(field, {type: 'hidden', name: 'form_lock_receipt', value: receipt}); form.append(field);"
        " HTMLFormElement.prototype.submit.call(form) }",
        receipt,
    )
    expect(ann.page.get_by_role("heading", name="Invoice 35 was not saved")).to_be_visible()
    expect(ann.page.get_by_role("alert")).to_contain_text("Your turn to edit had ended")
    quiet(ann, 409)
    expect(ann.page.locator("#mine-notes")).to_have_text("Ann's half a sentence")
    bob.field("notes").fill("Bob's")
    save(bob)
    expect(bob.page).to_have_url(re.compile(r"/invoices/bob/$"))
    ann.page.get_by_role("link", name="Edit again").click()
    expect(ann.field("notes")).to_have_value("Bob's")


def test_the_list_is_live(invoices: Invoices) -> None:
    """Who edits what is marked in everybody's list; saved, new and deleted invoices change its rows without a reload (A13, A17)."""
    eva, ann = invoices.list("eva"), invoices.form("ann", 36)
    height = row(eva, 36).evaluate("row => row.offsetHeight")
    ann.lock()
    expect(row(eva, 36)).to_have_attribute("data-form-lock-state", "held")
    expect(row(eva, 36)).to_contain_text("Ann Weber is editing")
    assert row(eva, 36).evaluate("row => row.offsetHeight") == height, "nothing moves when somebody begins"
    ann.field("customer").fill("Somebody else")
    save(ann)
    expect(row(eva, 36)).to_contain_text("Somebody else")
    expect(row(eva, 36)).to_have_attribute("data-form-lock-state", "free")
    ann.page.get_by_role("link", name="New invoice").click()
    for name, value in {"customer": "Brand new", "amount": "1", "due": "2026-03-01"}.items():
        ann.page.fill(f"[name={name}]", value)
    save(ann)
    new = eva.page.locator("[form-lock-item]", has_text="Brand new")
    expect(new).to_be_visible()
    number = int(re.sub(r"\D", "", new.locator("th").inner_text()))
    own = invoices.form("ann", number)
    own.lock()
    own.page.get_by_role("button", name="Delete").click()
    expect(new).to_have_count(0)


def test_without_javascript(invoices: Invoices, page_as: Visitor) -> None:
    """Without JavaScript the form stays shut until the server has locked it; then the others see who edits, a mistake keeps lock and
    text, a save gives the lock back, and so does Cancel (U21)."""
    eva, ann = invoices.form("eva", 37), page_as.context(java_script_enabled=False)
    eva.sees("free")
    tab = invoices.form("ann", 37, context=ann)
    page = tab.page
    expect(page.locator("form[inert]")).to_have_count(1)
    edit = page.get_by_role("button", name="Edit without JavaScript")
    edit.click()
    expect(page.get_by_text("You are editing, for 15 minutes")).to_be_visible()
    eva.sees("locked", "Ann Weber is editing")
    page.fill("[name=amount]", "much")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Nothing was saved yet")).to_be_visible()
    expect(page.locator("[name=amount]")).to_have_value("much")
    eva.sees("locked", "Ann Weber is editing")
    page.fill("[name=amount]", "3.70")
    page.get_by_role("button", name="Save").click()
    eva.sees("free")
    expect(eva.field("amount")).to_have_value("3.70")
    page.goto(f"{page.url.rpartition('/')[0]}/37")
    eva.lock()
    edit.click()
    expect(page.get_by_text("Eva Lind is editing this invoice now.")).to_be_visible()
    eva.press("Done")
    eva.sees("free")
    page.go_back()
    edit.click()
    eva.sees("locked", "Ann Weber is editing")
    page.get_by_role("button", name="Cancel").click()
    eva.sees("free")
    quiet(tab, 422)
    quiet(tab, 409)


def frame_of(page: Page, name: str) -> tuple[FrameLocator, Locator]:
    frame = page.frame_locator(f'iframe[title*="{name}"]')
    return frame, frame.locator("form-lock")


def test_side_by_side(invoices: Invoices) -> None:
    """Two users in frames of one page are two: each sees the other edit, and Bob's frame hears what Ann's has saved; the strip under
    them tells it, newest first (A17, U13)."""
    demo = invoices.page("demo")
    ann, anns_banner = frame_of(demo.page, "Ann Weber")
    bob, bobs_banner = frame_of(demo.page, "Bob Novak")
    expect(bobs_banner).to_have_attribute("state", "free")
    anns_banner.get_by_role("button", name="Edit", exact=True).click()
    expect(anns_banner).to_have_attribute("state", "mine")
    expect(bobs_banner).to_contain_text("Ann Weber is editing")
    old = ann.locator("[name=amount]").input_value()
    ann.locator("[name=amount]").fill("77.70")
    ann.get_by_role("button", name="Save", exact=True).click()
    expect(bob.locator("[name=amount]")).to_have_value("77.70")
    strip = demo.page.locator("#events li")
    expect(strip.filter(has_text=f"Ann Weber saved Invoice 42: Amount {old} → 77.70")).to_have_count(1)
    expect(strip.filter(has_text="Ann Weber has ended editing Invoice 42")).to_have_count(1)
    expect(strip.last).to_contain_text("Ann Weber is editing Invoice 42")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pictures(invoices: Invoices, page_as: Visitor, screenshots: Path, scheme: Literal["light", "dark"], width: int) -> None:
    """Every page fits its window, wide and narrow; pictures of them are for people to look at."""

    def open_as(path: str, number: int | None = None) -> Tab:
        context = page_as.context(color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce")
        return invoices.page(path, f"com.example.form.invoice.{number}", context)

    def picture(tab: Tab, name: str) -> None:
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
        tab.page.screenshot(path=screenshots / f"invoices-{name}-{scheme}-{width}.png", full_page=True)

    ann, bob, eva = open_as("invoices/ann/38", 38), open_as("invoices/bob/38", 38), open_as("invoices/eva/")
    ann.sees("free")
    picture(ann, "free")
    ann.lock()
    bob.sees("locked")
    expect(row(eva, 38)).to_contain_text("Ann Weber is editing")
    for tab, name in ((ann, "mine"), (bob, "locked"), (eva, "list")):
        picture(tab, name)
    ann.field("amount").fill("12,5")
    ann.field("customer").fill("")
    save(ann)
    expect(ann.page.locator(".problem").first).to_be_visible()
    ann.sees("mine")
    picture(ann, "mistakes")
    quiet(ann, 422)
    ann.field("amount").fill("12.5")
    ann.field("customer").fill("Kowalski Transport")
    ann.field("version").evaluate("field => { field.value = '0' }")
    save(ann)
    expect(ann.page.locator(".comparison")).to_be_visible()
    picture(ann, "refused")
    quiet(ann, 409)
    demo = open_as("demo")
    expect(frame_of(demo.page, "Bob Novak")[1]).to_have_attribute("state", "free")
    picture(demo, "demo")
