"""Several tabs of one user in one browser: each is known, none locks its user out, and work moves from one to the other."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.conftest import Tab, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.node]


def markup(form: str) -> str:
    return f'<form form-lock="{form}"><input name="a"></form>'


def duplicate(page_as: Visitor, tab: Tab) -> Tab:
    """A second tab with a copy of the first one's sessionStorage, as "Duplicate tab" makes it."""
    kept = tab.page.evaluate("JSON.stringify({...sessionStorage})")
    context: BrowserContext = tab.page.context
    copy = page_as.watch(context.new_page(), tab.form)
    copy.page.add_init_script(
        f"if (!sessionStorage.length) for (const [name, value] of Object.entries({kept})) sessionStorage.setItem(name, value)"
    )
    copy.page.goto(tab.page.url)
    return copy


def tab_id(tab: Tab) -> str:
    return str(tab.tell("return client.tab.id"))


def test_a_duplicated_tab_has_an_id_of_its_own(page_as: Visitor, form: str) -> None:
    """The copy takes another id before it asks anything, so the original keeps its lock, over its own reload too (U10)."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    ann.lock()
    token = ann.token
    copy = duplicate(page_as, ann)
    copy.sees("locked", "You are editing this in another tab.")
    assert tab_id(copy) != tab_id(ann)
    ann.page.reload()
    ann.sees("mine")
    assert ann.token == token
    copy.sees("locked", "You are editing this in another tab.")


def test_work_moves_to_another_tab_with_its_unsaved_text(page_as: Visitor, form: str) -> None:
    """The tab moved to has the lock and the other tab's text; the other one is told who has it now: oneself (U11)."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    ann.sees("free")
    # The page's own way, and so not that of the drafts, which are loaded with the lock.
    ann.tell("lock.unsaved = () => ({ a: document.forms[0].elements.a.value })")
    ann.lock()
    ann.field("a").fill("half a sentence")
    here = page_as.watch(ann.page.context.new_page(), form)
    here.page.goto(ann.page.url)
    here.sees("locked", "You are editing this in another tab.")
    here.until("lock.state.otherTab")
    assert here.tell("return lock.moveHere()") == {"draft": {"a": "half a sentence"}}
    here.sees("mine")
    ann.sees("lost")
    assert ann.tell("return lock.state.lost.by.user") == "ann"
    expect(ann.field("a")).to_have_value("half a sentence")


def test_closing_one_tab_says_nothing_about_the_other(page_as: Visitor, form: str) -> None:
    """A tab that only looked is closed: the other one goes on editing, and others still see who it is (U12)."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    ann.lock()
    looking = page_as.watch(ann.page.context.new_page(), form)
    looking.page.goto(ann.page.url)
    looking.sees("locked")
    bob = page_as.html("bob", "Bob", form, markup(form))
    bob.sees("locked", "Ann is editing.")
    looking.page.close()
    ann.tell("lock.input({ type: 'probe' })")
    page_as.tabs.remove(looking)
    assert ann.tell("return client.renewSoon(), lock.status().then(() => lock.name)") == "mine"
    bob.sees("locked", "Ann is editing.")
    ann.page.close()
    bob.sees("free")


def test_a_page_from_the_back_forward_cache_lets_go_of_its_id(page_as: Visitor, form: str) -> None:
    """A Web Lock would keep the page out of that cache: it is let go with the page, and had again with it (U8)."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    ann.lock()
    held = "navigator.locks.query().then(({ held }) => held.filter(({ name }) => name.startsWith('formlock.')).length)"
    assert ann.page.evaluate(held) == 1
    ann.tell("client.leave()")
    ann.until(f"(await {held}) === 0")
    ann.tell("client.comeBack()")
    ann.sees("mine")
    assert ann.page.evaluate(held) == 1
