"""What is shown is never more optimistic than the lease: lost lines, black holes, offline, a sleeping machine."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor, workers_of
from tests.browser.proxy import Proxy
from tests.support.node import Node

pytestmark = [pytest.mark.browser, pytest.mark.node]


def markup(form: str) -> str:
    return f'<form form-lock="{form}"><input name="a"></form>'


def test_offline_shuts_and_comes_back(page_as: Visitor, form: str) -> None:
    """Offline: the fields shut within seconds, the text stays; back online the same lock is proved again (U9)."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    ann.lock()
    token = ann.token
    ann.field("a").fill("half a sentence")
    ann.page.context.set_offline(True)
    ann.sees("offline", "Your text is kept")
    expect(ann.field("a")).not_to_be_editable()
    ann.page.context.set_offline(False)
    ann.sees("mine")
    assert ann.token == token
    expect(ann.field("a")).to_have_value("half a sentence")
    ann.excuse(
        "ERR_INTERNET_DISCONNECTED", "WebSocket is closed before"
    )  # the browser itself reports each attempt to connect while offline


def test_a_black_hole_is_noticed(node: Node, page_as: Visitor) -> None:
    """A line that swallows everything still looks open; the form is stale long before its lease ends, and recovers (U40)."""
    with Proxy(node.port) as proxy:
        ann = page_as("ann", url=proxy.url)
        ann.lock()
        token = ann.token
        proxy.hole = True
        # A renewal that is due now, and a limit for its answer that suits a test (8 s by default).
        ann.tell("client.supervisor.limitMs = 700; lock.input({type: 'probe'})")
        ann.sees("stale", "Connection interrupted.")
        assert ann.tell("return lock.state.grant.until - client.clock() > 60_000"), "long before the end of the lease"
        expect(ann.field("amount")).not_to_be_editable()
        proxy.hole = False
        ann.tell("client.supervisor.limitMs = 8000")  # a machine that is busy otherwise may take longer to join than a test's limit
        ann.sees("mine")
        assert ann.token == token
        ann.press("Done")
        ann.excuse("WebSocket")


def test_whoever_slept_proves_it_first(page_as: Visitor, form: str) -> None:
    """After a sleep the fields are shut before anything else happens, and open again when the lock is proved (U7)."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    ann.lock()
    ann.page.evaluate(
        "document.title = ''; for (const state of ['stale', 'mine'])"
        " document.addEventListener(`formlock:${state}`, () => queueMicrotask(() => {"
        "  document.title += state + (document.forms[0].elements.a.readOnly ? ':shut,' : ':open') }));"
        "const now = Date.now; Date.now = () => now() + 45_000; null"
    )
    expect(ann.page).to_have_title("stale:shut,mine:open")


def test_a_lease_that_ended_during_the_sleep_is_not_believed(page_as: Visitor, form: str) -> None:
    """While the machine slept, somebody else got the form: it is lost, the text is kept and can't be saved (U7, U14, U19)."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    ann.lock()
    ann.field("a").fill("half a sentence")
    # The lock goes, unnoticed by the page, as if its lease had ended.
    ann.tell(
        "client.supervisor.send(client.uris.procedure('unlock'), {form: lock.form, token: lock.token, tab: client.tab.id, rid: 'x'})"
    )
    ann.sees("lost", "Your unsaved changes are kept on this page.")
    expect(ann.field("a")).to_have_value("half a sentence")
    assert ann.page.locator("[name=form_lock_token]").count() == 0
    ann.press("Lock again")
    ann.sees("mine")
    expect(ann.field("a")).to_have_value("half a sentence")


def test_timers_come_from_a_worker(page_as: Visitor, form: str) -> None:
    """The ticks come from a worker file, which the policy allows and hidden pages do not throttle (U6)."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    ann.sees("free")
    assert [worker.url.rpartition("/")[2] for worker in workers_of(ann.page)] == ["formlock-ticker.js"]
