"""What real browsers do to a client that believes them: each line of the list of traps, in a real Chromium on a real node.

A policy of seconds makes leases end while one waits for them. Sleeping, freezing and hiding happen to a Chromium of the test's
own, for Playwright keeps its pages awake and visible.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, Route, expect

from tests.browser.conftest import ARGUMENTS, CHROMIUM, CSP, Tab, Visitor
from tests.browser.openings import NOTE, Openings, overlaps, spans
from tests.browser.own_chromium import OwnChromium, OwnTab
from tests.browser.proxy import Proxy
from tests.support import needs
from tests.support.node import START_WITHIN_S, Node
from tests.support.tickets import by_ticket

pytestmark = [pytest.mark.browser, pytest.mark.node]

# A lease of six seconds, renewed each second: what takes minutes in life takes seconds here.
BRISK = """
[forms."brisk"]
ttl = "6 s"
renew = "1 s"
grace = "4 s"
contended_grace = "4 s"

[forms."invoice"]
ttl = "6 s"
renew = "1 s"
grace = "4 s"
contended_grace = "4 s"

[forms."hasty"]
contended_probe = "2 s"
contended_grace = "4 s"
"""
LEASE_MS = 6000
_numbers = count(1)


@pytest.fixture(scope="module")
def brisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node whose leases are short. Some tests end it; it stands again for the next one."""
    node = Node(tmp_path_factory.mktemp("brisk"))
    with (node.folder / "policy.toml").open("a") as policy:
        policy.write(BRISK)
    node.start()
    yield node
    node.stop()


@pytest.fixture
def page_as(brisk: Node, browser: Browser) -> Iterator[Visitor]:
    visitor = Visitor(browser, brisk.url)
    yield visitor
    for context in visitor.contexts:
        context.close()


@pytest.fixture
def form() -> str:
    return f"com.example.form.brisk.{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnChromium]:
    with OwnChromium(needs(CHROMIUM), [*ARGUMENTS, "--headless=new"], tmp_path / "profile") as chromium:
        yield chromium


def markup(form: str) -> str:
    return f'<form form-lock="{form}"><label>A <input name="a"></label><button>Save</button></form>'


def noted(visitor: Visitor, user: str, form: str, url: str | None = None) -> Tab:
    """A page that notes when its fields are open."""
    context = visitor.context()
    context.add_init_script(NOTE)
    site = Visitor(visitor.browser, url or visitor.url)
    return site.html(user, user.title(), form, markup(form), context=context)


def openings(tab: Tab | OwnTab) -> Openings:
    script = "window.openings"
    found = tab.value(script) if isinstance(tab, OwnTab) else tab.page.evaluate(script)
    return [(when, is_open) for when, is_open in found]


def states(tab: OwnTab) -> list[str]:
    return [str(state) for state in tab.value("window.states")]


# A limit of half a second is for the hole: a machine that is busy otherwise may take longer to join.
PATIENCE = "client.supervisor.limitMs = 8000"


def waits(tab: Tab) -> None:
    """Stands in line, and is not kept waiting for by the test."""
    tab.tell("lock.lock({ wait: true }).catch(() => {})")
    tab.sees("queued")


# -- the line


def test_a_black_hole_is_never_two_people(brisk: Node, page_as: Visitor, form: str) -> None:
    """U7, U40: the line swallows everything and looks open. The next in line gets the form when the lease has ended, and by then
    whoever had it has been shut out, by her own clock alone; back on the line she is told who has it, and her text is still
    there."""
    with Proxy(brisk.port) as proxy:
        ann, bob = noted(page_as, "ann", form, proxy.url), noted(page_as, "bob", form)
        ann.lock()
        ann.field("a").fill("half a sentence")
        waits(bob)
        proxy.hole = True
        assert ann.tell("return client.supervisor.session !== null"), "it still looks open"
        bob.sees("mine")
        assert ann.banner.get_attribute("state") in ("stale", "offline")
        proxy.hole = False
        ann.sees("lost", "Bob is editing now.")
        expect(ann.field("a")).to_have_value("half a sentence")
        assert spans(openings(ann))
        assert spans(openings(bob))
        assert overlaps(openings(ann), openings(bob)) == []


def test_a_black_hole_with_somebody_in_line(brisk: Node, page_as: Visitor, form: str) -> None:
    """U7, U14: with the policy that ships, a page that gives no sign of life to those who wait has 10 s or more until the form is
    the next one's, far less than its lease. It tries its line often enough to have shut the fields by then."""
    form = form.replace("brisk", "shipped")
    with Proxy(brisk.port) as proxy:
        ann, bob = noted(page_as, "ann", form, proxy.url), noted(page_as, "bob", form)
        ann.lock()
        proxy.hole = True
        waits(bob)
        expect(bob.banner).to_have_attribute("state", "mine", timeout=30_000)
        assert ann.banner.get_attribute("state") == "stale"
        assert overlaps(openings(ann), openings(bob)) == []
        proxy.hole = False
        ann.sees("lost", "Bob is editing now.")


def test_a_line_of_which_only_the_routers_half_has_ended(brisk: Node, page_as: Visitor, form: str) -> None:
    """U3, U7: with the policy that ships. The router knows at once that the line is dead, and the next in line gets the form 10 s
    later; the page's half looks open, and its fields are shut by then."""
    form = form.replace("brisk", "shipped")
    with Proxy(brisk.port) as proxy:
        ann, bob = noted(page_as, "ann", form, proxy.url), noted(page_as, "bob", form)
        ann.lock()
        waits(bob)
        proxy.end_behind()
        assert ann.tell("return client.supervisor.session !== null"), "it still looks open"
        expect(bob.banner).to_have_attribute("state", "mine", timeout=30_000)
        assert ann.banner.get_attribute("state") == "stale"
        assert overlaps(openings(ann), openings(bob)) == []
        proxy.hole = False
        ann.sees("lost", "Bob is editing now.")


def test_a_black_hole_under_a_hasty_policy(brisk: Node, page_as: Visitor, form: str) -> None:
    """U7, U14: the shortest silence that a policy can have is 6 s, and the lease is 90 s: the page counts with what it was told, and
    has shut its fields when the next one's open."""
    form = form.replace("brisk", "hasty")
    with Proxy(brisk.port) as proxy:
        ann, bob = noted(page_as, "ann", form, proxy.url), noted(page_as, "bob", form)
        ann.lock()
        ann.field("a").fill("half a sentence")
        proxy.hole = True
        waits(bob)
        bob.sees("mine")
        assert ann.banner.get_attribute("state") == "stale"
        assert spans(openings(ann))
        assert spans(openings(bob))
        assert overlaps(openings(ann), openings(bob)) == []
        proxy.hole = False
        ann.sees("lost", "Bob is editing now.")
        expect(ann.field("a")).to_have_value("half a sentence")


def test_a_takeover_that_was_not_heard(brisk: Node, page_as: Visitor, form: str) -> None:
    """U19: whoever was away when the form was taken over hears afterwards who it was, and why."""
    form = form.replace("brisk", "hasty")
    with Proxy(brisk.port) as proxy:
        ann, bob = noted(page_as, "ann", form, proxy.url), noted(page_as, "bob", form)
        ann.lock()
        bob.sees("locked")
        proxy.hole = True
        bob.tell("lock.takeover({ reason: 'customer on the phone' }).catch(() => {})")
        bob.sees("mine")
        ann.sees("stale")
        proxy.hole = False
        ann.sees("lost", "Bob took over at")
        expect(ann.banner).to_contain_text("customer on the phone")


def test_a_call_into_a_black_hole_ends(brisk: Node, page_as: Visitor, form: str) -> None:
    """No call stays pending for ever: it ends with its limit, the line is given up, and the same attempt goes on with the next
    one."""
    with Proxy(brisk.port) as proxy:
        ann = noted(page_as, "ann", form, proxy.url)
        ann.sees("free")
        ann.tell("client.supervisor.limitMs = 500")
        proxy.hole = True
        ann.press("Edit")
        expect(ann.banner).to_have_attribute("state", "connecting")
        proxy.hole = False
        ann.tell(PATIENCE)
        ann.sees("mine")


def test_who_only_looks_notices_a_black_hole_too(brisk: Node, page_as: Visitor, form: str) -> None:
    """U3, U40: a page that asks for nothing hears its own heartbeat, and does not go on saying that nobody is editing."""
    with Proxy(brisk.port) as proxy:
        bob, ann = noted(page_as, "bob", form, proxy.url), noted(page_as, "ann", form)
        bob.sees("free")
        bob.tell("client.heartbeatMs = client.supervisor.limitMs = 500")
        proxy.hole = True
        ann.lock()
        bob.sees("connecting")
        proxy.hole = False
        bob.tell(PATIENCE)
        bob.sees("locked", "Ann is editing.")


def test_offline_while_somebody_waits(page_as: Visitor, form: str) -> None:
    """U9, U14: offline the fields are shut at once, long before the next in line can have the form."""
    ann, bob = noted(page_as, "ann", form), noted(page_as, "bob", form)
    ann.lock()
    waits(bob)
    ann.page.context.set_offline(True)
    ann.sees("offline", "Your text is kept")
    bob.sees("mine")
    ann.page.context.set_offline(False)
    ann.sees("lost", "Bob is editing now.")
    assert overlaps(openings(ann), openings(bob)) == []


# -- the machine and the tab


def test_a_sleeping_laptop_believes_nothing(brisk: Node, own: OwnChromium, page_as: Visitor) -> None:
    """U7, U14: all of Ann's browser stops, as when the lid is shut. Bob gets the form when her lease has ended; she wakes up to shut
    fields, and no answer that waited in her socket opens them again."""
    ann = own.open(f"{brisk.url}?user=ann", NOTE)
    ann.lock()
    token = ann.token
    bob = page_as("bob")
    bob.sees("locked")
    own.sleep()
    bob.sees("free")
    bob.lock()
    own.wake()
    ann.sees("lost")
    assert states(ann)[-2:] in (["stale", "lost"], ["mine", "lost"])
    assert states(ann).count("mine") == 1
    assert int(bob.token) > int(token)
    assert openings(ann)[-1][1] is False


def test_who_wakes_up_in_time_goes_on(brisk: Node, own: OwnChromium) -> None:
    """U7, U9: a nap that is shorter than the lease costs nothing: the same token."""
    ann = own.open(f"{brisk.url}?user=ann", NOTE)
    ann.lock()
    token = ann.token
    own.sleep()
    time.sleep(2.5)  # two renewals are missed; there is nothing to wait for while everything sleeps
    own.wake()
    renewed = "({ state: { grant } }) => grant && grant.sent > window.woke && grant.proven"
    ann.value(
        "import('/formlock/formlock.js').then(({ pageClient }) => { window.client = pageClient(); window.woke = client.clock() })"
    )
    ann.becomes(f"({renewed})(client.form('com.example.form.invoice.42'))")
    assert ann.token == token
    ann.value("client.leave()")


def test_a_frozen_tab_loses_what_it_cannot_renew(brisk: Node, own: OwnChromium, page_as: Visitor) -> None:
    """U1, U6: a frozen tab answers the router's pings and runs no code. Its lease ends all the same, and thawed it shows no open
    field before it knows."""
    ann = own.open(f"{brisk.url}?user=ann", NOTE)
    ann.lock()
    bob = page_as("bob")
    bob.sees("locked")
    own.open("about:blank#other")
    ann.say("Page.setWebLifecycleState", state="frozen")
    bob.sees("free")
    bob.lock()
    ann.say("Page.setWebLifecycleState", state="active")
    ann.front()
    ann.sees("lost")
    assert states(ann).count("mine") == 1
    bob.press("Done")


# As Chromium does it to a page that was hidden for long: its own intervals fire once in 75 s.
SLOW = "const every = setInterval; window.setInterval = (act, ms, ...more) => every(act, Math.max(75_000, ms), ...more);"


def test_a_hidden_tab_keeps_its_lock(brisk: Node, own: OwnChromium, page_as: Visitor) -> None:
    """U6: behind another tab, with its timers throttled, the page renews on: for three times its lease nothing is lost."""
    ann = own.open(f"{brisk.url}?user=ann", NOTE + SLOW)
    ann.lock()
    token = ann.token
    bob = page_as("bob")
    bob.sees("locked")
    own.open("about:blank#other")
    ann.becomes("document.visibilityState === 'hidden'")
    started = int(ann.value("performance.now()"))
    ann.becomes(f"performance.now() > {started + 3 * LEASE_MS}", within_s=60)
    assert states(ann)[-1] == "mine"
    assert ann.token == token
    bob.sees("locked")
    ann.front()
    ann.value("import('/formlock/formlock.js').then(({ pageClient }) => pageClient().leave())")


def test_without_its_worker_a_page_ticks_by_itself(page_as: Visitor, form: str) -> None:
    """Where the worker's file does not come, the page's own timer takes its place: the lock is renewed past its lease."""
    context = page_as.context()
    context.route("**/formlock-ticker.js", lambda route: route.abort())
    ann = page_as.html("ann", "Ann", form, markup(form), context=context)
    ann.lock()
    past = "new Promise((done) => setTimeout(() => done(document.querySelector('form-lock').getAttribute('state')), 7000))"
    assert ann.page.evaluate(past) == "mine"
    assert ann.page.workers == []


def test_the_half_that_acts_comes_later(page_as: Visitor, form: str) -> None:
    """Where the network fails for a moment as the part is loaded that asks for forms, it is loaded again by another address (a
    browser may remember of the first that nothing came), and what was asked for meanwhile is done then."""
    context = page_as.context()
    context.route("**/formlock-acts.js", lambda route: route.abort())
    ann = page_as.html("ann", "Ann", form, markup(form), context=context)
    ann.lock()
    assert ann.token
    assert drop_refusals(ann), "the first address has failed"


def test_without_the_half_that_acts(page_as: Visitor, form: str) -> None:
    """Where it never comes, asking ends with an error, and the page goes on showing who has the form; once it comes, all is well."""
    context = page_as.context()
    context.route("**/formlock-acts.js*", lambda route: route.abort())
    ann, bob = page_as.html("ann", "Ann", form, markup(form), context=context), page_as.html("bob", "Bob", form, markup(form))
    ann.sees("free")
    assert ann.tell("return lock.lock().then(() => 'locked', ({ code }) => code)") == "closed"
    ann.until("lock.name === 'free' && lock.state.asking === null")
    bob.lock()
    ann.sees("locked", "Bob")
    bob.press("Done")
    context.unroute("**/formlock-acts.js*")
    ann.lock()
    assert drop_refusals(ann)


def test_the_clock_is_looked_at_before_a_save(page_as: Visitor, form: str) -> None:
    """U7, U14: the first thing that happens after a sleep may be the key that saves: it finds the form shut, not a token that has
    run out."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    ann.lock()
    sent = ann.page.evaluate(
        "new Promise((resolve) => {"
        " document.forms[0].addEventListener('submit', (event) => { event.preventDefault(); resolve('sent') });"
        " const now = Date.now; Date.now = () => now() + 45_000;"
        " document.forms[0].requestSubmit(); resolve(document.querySelector('form-lock').getAttribute('state')) })"
    )
    assert sent == "stale"


def test_the_clock_is_looked_at_before_a_key(page_as: Visitor, form: str) -> None:
    """U7: nor does the first key after a sleep write into a form that may be somebody else's."""
    ann = page_as.html("ann", "Ann", form, markup(form))
    ann.lock()
    ann.field("a").focus()
    # In one step: a tick in between would see the sleep first, and the lock might be proved again before the key.
    open_at_key = ann.page.evaluate(
        "(() => { const field = document.forms[0].elements.a; let open = null;"
        " document.addEventListener('keydown', () => { open = !field.readOnly });"
        " const now = Date.now; Date.now = () => now() + 45_000;"
        " field.dispatchEvent(new KeyboardEvent('keydown', { key: 'x', bubbles: true })); return open })()"
    )
    assert open_at_key is False


# -- the router


@pytest.mark.timeout(240)  # it starts a node again
def test_a_router_that_is_killed(brisk: Node, page_as: Visitor, form: str) -> None:
    """U2, U9: all of the node dies at once. The fields shut within seconds, and when it stands again the same lock is proved."""
    form = form.replace("brisk", "shipped")  # the next attempt to connect comes within 10 s: as long as a grace of seconds lasts
    ann, bob = noted(page_as, "ann", form), noted(page_as, "bob", form)
    ann.lock()
    token = ann.token
    ann.field("a").fill("half a sentence")
    bob.sees("locked")
    brisk.kill()
    ann.sees("stale", "Connection interrupted.")
    bob.sees("connecting")
    expect(ann.field("a")).not_to_be_editable()
    brisk.start()
    expect(ann.banner).to_have_attribute("state", "mine", timeout=30_000)
    assert ann.token == token
    expect(ann.field("a")).to_have_value("half a sentence")
    expect(bob.banner).to_have_attribute("state", "locked", timeout=30_000)
    assert overlaps(openings(ann), openings(bob)) == []


class Application:
    """Gives out the tickets that the router takes at the moment."""

    def __init__(self) -> None:
        self.ticket = "the first"
        self.asked = 0

    def serve(self, route: Route) -> None:
        self.asked += 1
        route.fulfill(content_type="application/json", body=json.dumps({"token": self.ticket, "user": "ann", "name": "Ann"}))


@pytest.mark.timeout(240)  # it starts a node twice
def test_a_restart_with_other_tickets(browser: Browser, tmp_path: Path, form: str) -> None:
    """U2, U8: after a restart the router refuses the old ticket. The page fetches another one, is let in, and still has its lock."""
    node = Node(tmp_path / "tickets", by_ticket)
    application = Application()
    (node.folder / "ticket").write_text(application.ticket)
    node.start()
    visitor = Visitor(browser, node.url)
    try:
        context = visitor.context()
        context.route("**/ticket", application.serve)
        page = '<meta name="form-lock-token-url" content="/ticket">' + markup(form)
        ann = visitor.html("ann", "Ann", form, page, context=context)
        ann.lock()
        token = ann.token
        assert application.asked == 1
        node.kill()
        ann.sees("stale")
        application.ticket = "the second"
        (node.folder / "ticket").write_text(application.ticket)
        node.launch()  # nobody waits for it but the page: the address of its tickets is ours, and has to answer meanwhile
        expect(ann.banner).to_have_attribute("state", "mine", timeout=START_WITHIN_S * 1000)
        assert ann.token == token
        assert application.asked == 2, "only when the old one was refused"
    finally:
        for context in visitor.contexts:
            context.close()
        node.stop()


# -- the page


@pytest.fixture
def remembering(playwright: Playwright) -> Iterator[Browser]:
    """A Chromium with its back/forward cache, which Playwright turns off."""
    browser = playwright.chromium.launch(
        executable_path=needs(CHROMIUM), args=ARGUMENTS, ignore_default_args=["--disable-back-forward-cache"]
    )
    yield browser
    browser.close()


def test_somebody_else_while_the_page_was_in_the_cache(brisk: Node, remembering: Browser, page_as: Visitor, form: str) -> None:
    """U1, U7: Ann left by a link and comes back with `history.back()`; meanwhile it is Bob's. Her fields, which the browser kept
    open, are shut before she can type, and her text is still there."""
    ann, bob = noted(Visitor(remembering, brisk.url), "ann", form), noted(page_as, "bob", form)
    ann.lock()
    ann.field("a").fill("half a sentence")
    ann.page.evaluate("addEventListener('pageshow', (event) => { window.persisted = event.persisted })")
    bob.sees("locked")
    ann.page.goto(f"{brisk.url}favicon.svg")
    bob.lock()
    ann.page.evaluate("history.back()")
    ann.sees("lost", "Bob is editing now.")
    assert ann.page.evaluate("window.persisted") is True, "this must test the back/forward cache"
    expect(ann.field("a")).to_have_value("half a sentence")
    expect(ann.field("a")).not_to_be_editable()
    assert overlaps(openings(ann), openings(bob)) == []


def test_nothing_breaks_the_policy(page_as: Visitor, form: str) -> None:
    """Under `default-src 'self'`, with not one word more, a whole life of a form breaks nothing: the styles, the worker, what is
    loaded later, the dialogues."""
    assert CSP.startswith("default-src 'self';")
    context = page_as.context()
    context.add_init_script(
        "window.broken = []; addEventListener('securitypolicyviolation', (event) => window.broken.push(event.violatedDirective))"
    )
    ann = page_as.html("ann", "Ann", form, markup(form), context=context)
    bob = page_as.html("bob", "Bob", form, markup(form), context=page_as.context())
    bob.lock()
    ann.sees("locked")
    ann.press("Take over")
    expect(ann.page.locator("form-lock-say")).to_be_visible()
    ann.press("Cancel")
    ann.press("Wait for my turn")
    ann.sees("queued")
    bob.press("Done")
    ann.sees("mine")
    ann.field("a").fill("half a sentence")
    bob.press("Ask to release")
    bob.press("Ask")
    ann.sees("asked")
    ann.press("Release now")
    ann.sees("free")
    assert ann.page.evaluate("[...document.querySelectorAll('form-lock')].every((e) => e.shadowRoot.adoptedStyleSheets.length)")
    assert len(ann.page.workers) == 1
    assert ann.page.evaluate("window.broken") == []
    assert ann.errors == []
    assert ann.page.locator("style").count() == 0


def test_a_closed_fieldset_stays_the_pages_own(page_as: Visitor, form: str) -> None:
    """`fieldset.disabled` would drop fields from the form's data and throw the focus away, so the lock never uses it; and a
    fieldset that the page itself has disabled is not opened by it."""
    page = (
        f'<form form-lock="{form}"><input name="a" value="1"><fieldset disabled><input name="b" value="2"></fieldset>'
        '<fieldset><select name="c"><option>3</select></fieldset></form>'
    )
    ann = page_as.html("ann", "Ann", form, page)
    ann.sees("free")
    assert ann.page.locator("fieldset:disabled").count() == 1
    assert ann.page.evaluate("[...new FormData(document.forms[0])].join(' ')") == "a,1 c,3"
    ann.lock()
    expect(ann.field("b")).to_be_disabled()
    expect(ann.field("c")).to_be_enabled()
    ann.field("c").focus()
    ann.page.context.set_offline(True)
    ann.sees("offline")
    assert ann.page.evaluate("document.activeElement.localName") == "form-lock", "not the body"
    assert "c,3" in ann.page.evaluate("[...new FormData(document.forms[0])].join(' ')")


def drop_refusals(tab: Tab) -> list[str]:
    """What the browser itself says in the console of files that a test keeps from it."""
    found = [text for text in tab.errors if "ERR_FAILED" in text]
    tab.errors = [text for text in tab.errors if text not in found]
    return found
