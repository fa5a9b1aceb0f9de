"""The Django project of examples/django in a browser, beside a real node: two people, one invoice, and every page looked at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Tab, Visitor
from tests.browser.looks import Looks
from tests.support.node import Node
from tests.support.shop import Shop

pytestmark = [pytest.mark.browser, pytest.mark.node]


@pytest.fixture(scope="module")
def shop(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    variables = {
        "FORMLOCK_NODE": node.url.rstrip("/"),
        "FORMLOCK_PUSH": node.zmq_url,
        "FORMLOCK_RECEIPT_KEY_FILE": str(node.folder / "credentials/receipts"),
    }
    shop = Shop(tmp_path_factory.mktemp("django"), variables)
    yield shop
    shop.close()


def logged_in(page_as: Visitor, shop: Shop, user: str, number: int) -> Tab:
    """At the list of invoices. Name and password are the same."""
    tab = page_as.watch(page_as.context().new_page(), f"com.example.form.invoice.{number}")
    tab.page.goto(shop.url)
    tab.page.get_by_label("Username").fill(user)
    tab.page.get_by_label("Password").fill(user)
    tab.page.get_by_role("button", name="Log in").click()
    expect(tab.page.get_by_role("link", name=f"Invoice {number}")).to_be_visible()
    return tab


def test_two_people_one_invoice(page_as: Visitor, shop: Shop, looks: Looks) -> None:
    """A7, U21, U26: who is logged in is who edits, the other sees it, and what is saved is in both pages; no page has a flaw."""
    start = page_as.watch(page_as.context().new_page())
    start.page.goto(shop.url)
    looks.at(start.page, "django-login")
    ann, bob = logged_in(page_as, shop, "ann", 41), logged_in(page_as, shop, "bob", 41)
    looks.at(ann.page, "django-list")
    for tab in (ann, bob):
        tab.page.get_by_role("link", name="Invoice 41").click()
        tab.sees("free", "Nobody is editing.")
    looks.at(ann.page, "django-free")
    ann.lock()
    bob.sees("locked", "Ann Weber is editing.")
    looks.at(ann.page, "django-mine")
    looks.at(bob.page, "django-locked")
    ann.field("amount").fill("1234567890123")
    ann.page.get_by_role("button", name="Save").click()
    expect(ann.page.get_by_text("no more than 11 digits in total")).to_be_visible()
    ann.sees("mine")
    looks.at(ann.page, "django-mistakes")
    ann.field("amount").fill("95.00")
    ann.page.get_by_role("button", name="Save").click()
    expect(ann.page.get_by_text("North Mill, 95.00")).to_be_visible()
    bob.sees("free")
    expect(bob.field("amount")).to_have_value("95.00")
    bob.lock()
    bob.field("version").evaluate("field => { field.value = '0' }")
    bob.page.get_by_role("button", name="Save").click()
    expect(bob.page.get_by_role("heading", name="Not saved")).to_be_visible()
    looks.at(bob.page, "django-refused")
    for tab, status in ((ann, 422), (bob, 409)):
        tab.errors[:] = [text for text in tab.errors if f"status of {status}" not in text]
