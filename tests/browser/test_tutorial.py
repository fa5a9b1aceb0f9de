"""The tutorial, done as it says: its program, started by its command, in two windows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Tab, Visitor
from tests.browser.looks import Looks
from tests.browser.shown import started
from tests.docs.markdown import blocks
from tests.docs.test_examples import with_addresses
from tests.support.node import ROOT, Node

pytestmark = [pytest.mark.browser, pytest.mark.node]

SHOWN = blocks(ROOT / "docs/tutorial/lock-your-first-form.md")
PROGRAMS = [block.text for block in SHOWN if block.language == "python" and "Flask(" in block.text]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The reader's own, just started: nobody else edits its invoice 42."""
    node = Node(tmp_path_factory.mktemp("tutorial"))
    node.start()
    yield node
    node.stop()


@pytest.fixture
def application(node: Node, tmp_path: Path) -> Iterator[str]:
    """The tutorial's last program, running."""
    (tmp_path / "first_form.py").write_text(with_addresses(PROGRAMS[-1], node), encoding="utf-8")
    with started(next(block.text for block in SHOWN if block.language == "sh"), tmp_path) as url:
        yield url


def opened(page_as: Visitor, application: str, user: str) -> Tab:
    context = page_as.context()
    context.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    tab = page_as.watch(context.new_page())
    tab.page.goto(application)
    tab.page.get_by_role("link", name=user).click()
    return tab


def test_two_people_one_form(page_as: Visitor, application: str) -> None:
    """A14, A17: what the tutorial promises of two windows, step by step. A lock that ends refreshes nobody, a save does."""
    ann, bob = opened(page_as, application, "Ann"), opened(page_as, application, "Bob")
    ann.sees("free", "Nobody is editing.")
    bob.sees("free", "Nobody is editing.")
    bob.page.evaluate("window.same = true")

    ann.press("Edit")
    ann.sees("mine")
    bob.sees("locked", "Ann is editing.")
    expect(bob.banner.get_by_role("button", name="Edit")).to_have_count(0)
    expect(bob.field("amount")).not_to_be_editable()

    ann.field("amount").fill("130.00")
    ann.press("Done")
    bob.sees("free")
    assert bob.page.evaluate("window.same") is True, "not reloaded"
    expect(bob.field("amount")).to_have_value("120.00")

    ann.press("Edit")
    ann.sees("mine")
    ann.field("amount").fill("140.00")
    ann.page.get_by_role("button", name="Save").click()
    expect(bob.field("amount")).to_have_value("140.00")
    assert bob.page.evaluate("window.same") is None, "loaded anew"
    bob.sees("free")
    bob.press("Edit")
    bob.sees("mine")


def test_its_pages(page_as: Visitor, application: str, looks: Looks) -> None:
    """U26: what a newcomer makes is sound from the start: nothing is found wrong in a page that is free, edited, or locked."""
    start = page_as.watch(page_as.context().new_page())
    start.page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    start.page.goto(application)
    looks.at(start.page, "tutorial-start")
    ann, bob = opened(page_as, application, "Ann"), opened(page_as, application, "Bob")
    ann.sees("free")
    looks.at(ann.page, "tutorial-free")
    ann.lock()
    bob.sees("locked", "Active now")
    looks.at(ann.page, "tutorial-mine")
    looks.at(bob.page, "tutorial-locked")


def test_lines_that_are_added() -> None:
    """Every line of mark-up that the tutorial adds to the first program is in the last one, and nowhere in the first."""
    first, last = PROGRAMS
    added = [line for block in SHOWN if block.language == "html" for line in block.text.splitlines()]
    assert len(added) == 3
    assert not [line for line in added if line not in last or line in first]
