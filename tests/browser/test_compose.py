"""The composition's services as processes, and two people in two browsers on them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Tab, Visitor
from tests.support.composition import Composition

pytestmark = [pytest.mark.browser, pytest.mark.node, pytest.mark.timeout(300)]


@pytest.fixture
def composition(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composition]:
    composition = Composition(tmp_path_factory.mktemp("composition"))
    try:
        yield composition.start()
    finally:
        composition.close()


def test_two_browsers_on_the_composition(composition: Composition, browser: Browser) -> None:
    """A9, A13, A17, A22, U2: Ann edits, Bob sees who, the lock worker dies and comes back, she saves and he has her values."""
    visitor = Visitor(browser, composition.url)

    def opened(user: str) -> Tab:
        tab = visitor.watch(visitor.context().new_page(), "com.example.form.invoice.42")
        tab.page.goto(f"{composition.url}invoices/{user}/42")
        return tab

    ann, bob = opened("ann"), opened("bob")
    bob.sees("free")
    ann.lock()
    bob.sees("locked", "Ann Weber is editing")
    token = ann.token
    locks = composition.services["locks"]
    locks.kill()
    locks.start()
    locks.wait_healthy()
    ann.tell("await lock.status()")
    ann.sees("mine")
    assert ann.token == token
    ann.field("amount").fill("140")
    ann.page.get_by_role("button", name="Save", exact=True).click()
    expect(ann.page).to_have_url(re.compile(r"/invoices/ann/$"))
    expect(bob.field("amount")).to_have_value("140.00")
    bob.sees("free")
    bob.lock()
    assert int(bob.token) > int(token)
    for context in visitor.contexts:
        context.close()
    assert not [error for tab in visitor.tabs for error in tab.wrong]
