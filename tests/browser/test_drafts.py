"""Nothing that was typed is lost: it is kept in the browser and, when the form passes to somebody else, at the service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Route, expect

from tests.browser.conftest import WITHIN_MS, Tab, Visitor
from tests.support.node import Node

pytestmark = [pytest.mark.browser, pytest.mark.node]

KEPT = (
    "return new Promise((resolve) => { const opening = indexedDB.open('formlock');"
    " opening.onupgradeneeded = () => opening.transaction.abort();"
    " opening.onerror = () => resolve([]);"
    " opening.onsuccess = () => { const all = opening.result.transaction('drafts').objectStore('drafts').getAll();"
    " all.onsuccess = () => { opening.result.close(); resolve(all.result) } } })"
)


def record(form: str, amount: str = "120.00", note: str = "old", extra: str = "", attributes: str = "") -> str:
    return (
        f'<form form-lock="{form}" update="merge" {attributes}><label>Amount <input name="amount" value="{amount}"></label>'
        f'<label>Note <textarea name="note">{note}</textarea></label>{extra}<button>Save</button></form>'
    )


def kept(tab: Tab, *fields: str) -> None:
    """Wait until this browser keeps just these fields of the form; none: nothing of an earlier visit either."""
    script = KEPT.removeprefix("return ")
    found = (
        f"async ([form, wanted]) => {{ for (const start = Date.now(); ;) {{ const all = await {script};"
        " const mine = all.filter((draft) => draft.form === form && (draft.slot === 'now' || !wanted));"
        " const names = mine.flatMap((draft) => Object.keys(draft.texts)).sort().join();"
        f" if (names === wanted) return true; if (Date.now() - start > {WITHIN_MS}) return names;"
        " await new Promise((go) => setTimeout(go, 20)) } }"
    )
    assert tab.page.evaluate(found, [tab.form, ",".join(sorted(fields))]) is True


def offer(tab: Tab) -> Locator:
    return tab.page.locator("form-lock-draft")


def press(tab: Tab, label: str) -> None:
    offer(tab).get_by_role("button", name=label, exact=True).click()


class Desk:
    """A browser profile at which somebody opens the form again and again."""

    def __init__(self, page_as: Visitor, form: str) -> None:
        self.page_as, self.form = page_as, form
        self.context: BrowserContext = page_as.context()
        self.markup: str | Callable[[], str] = record(form)

    def opens(self, user: str = "ann", name: str = "Ann Weber") -> Tab:
        self.context.unroute_all()
        return self.page_as.html(user, name, self.form, self.markup, context=self.context)

    def crashed(self, *, amount: str = "120.00", note: str = "half a sentence") -> None:
        """Somebody typed, and the tab was gone."""
        tab = self.opens()
        tab.lock()
        tab.field("amount").fill(amount)
        tab.field("note").fill(note)
        kept(tab, *(["amount", "note"] if amount != "120.00" else ["note"]))
        tab.page.close()


@pytest.fixture
def desk(page_as: Visitor, form: str) -> Desk:
    return Desk(page_as, form)


def test_after_a_crash_the_text_is_offered_and_can_be_used(desk: Desk) -> None:
    """U34: it is offered beside what is there now, with its time, and comes into the form only when I want it; then I edit."""
    desk.crashed(amount="150.00")
    ann = desk.opens()
    ann.sees("free")
    expect(offer(ann)).to_contain_text("Unsaved changes from ")
    expect(offer(ann)).to_contain_text("half a sentence")
    expect(ann.field("note")).to_have_value("old")
    press(ann, "Use")
    ann.sees("mine")
    expect(ann.field("note")).to_have_value("half a sentence")
    expect(ann.field("amount")).to_have_value("150.00")
    expect(offer(ann)).to_have_count(0)
    kept(ann, "amount", "note")
    ann.page.close()
    expect(offer(desk.opens())).to_contain_text("half a sentence")


def test_what_was_thrown_away_is_not_offered_again(desk: Desk) -> None:
    """ "Throw away" is once and for all, and leaves the form as it is."""
    desk.crashed()
    ann = desk.opens()
    press(ann, "Throw away")
    expect(offer(ann)).to_have_count(0)
    expect(ann.field("note")).to_have_value("old")
    kept(ann)
    again = desk.opens()
    again.lock()
    again.field("amount").fill("1")
    kept(again, "amount")
    expect(offer(again)).to_have_count(0)


def test_copying_needs_no_lock(desk: Desk, page_as: Visitor, form: str) -> None:
    """While somebody else edits, the text can be copied, and not be put into his form."""
    desk.context.grant_permissions(["clipboard-read", "clipboard-write"])
    desk.crashed(amount="150.00", note="two\nlines")
    bob = page_as.html("bob", "Bob Novak", form, record(form))
    bob.lock()
    ann = desk.opens()
    ann.sees("locked", "Bob Novak is editing")
    expect(offer(ann)).to_be_visible()
    expect(offer(ann).get_by_role("button", name="Use", exact=True)).to_be_hidden()
    desk.context.grant_permissions(["clipboard-read", "clipboard-write", "local-network-access"])
    press(ann, "Copy")
    expect(offer(ann)).to_contain_text("Copied.")
    assert ann.page.evaluate("navigator.clipboard.readText()") == "Amount: 150.00\nNote:\ntwo\nlines"
    bob.press("Done")
    expect(offer(ann).get_by_role("button", name="Use", exact=True)).to_be_visible()


def test_somebody_saved_since(desk: Desk, form: str) -> None:
    """U34: an old draft says where the record is another by now; used, it asks about just these fields and overwrites nothing."""
    desk.crashed(amount="150.00")
    desk.markup = record(form, note="Bob's own")
    ann = desk.opens()
    expect(offer(ann)).to_contain_text("changed since")
    expect(offer(ann)).to_contain_text("The record was saved by somebody since.")
    press(ann, "Use")
    ann.sees("mine")
    expect(ann.field("amount")).to_have_value("150.00")
    question = ann.page.locator("form-lock-choices").get_by_role("group", name="Note", exact=True)
    expect(question).to_contain_text("Bob's own")
    question.get_by_role("radio", name="Theirs").check()
    ann.page.locator("form-lock-choices").get_by_role("button").click()
    expect(ann.field("note")).to_have_value("Bob's own")


def test_what_is_saved_is_not_offered(desk: Desk, form: str) -> None:
    """The page after the save shows the values: the draft is done with."""
    desk.crashed()
    desk.markup = record(form, note="half a sentence")
    ann = desk.opens()
    ann.sees("free")
    kept(ann)
    expect(offer(ann)).to_have_count(0)


def test_a_mere_submit_proves_nothing(desk: Desk, form: str) -> None:
    """A save that ends in an error page leaves the draft where it is."""
    ann = desk.opens()
    ann.lock()
    ann.field("note").fill("half a sentence")
    kept(ann, "note")
    desk.context.route("**/test.html?*", lambda route: route.fulfill(status=500, body="broken"))
    ann.page.get_by_role("button", name="Save").click()
    ann.excuse("status of 500")
    ann.page.wait_for_url("**/test.html?*")
    again = desk.opens()
    expect(offer(again)).to_contain_text("half a sentence")


def test_what_is_typed_after_a_refused_save_is_kept(desk: Desk, form: str) -> None:
    """The page of a refused save shows the text again, not the record: what is typed there is kept with what was kept before."""
    desk.crashed(note="before the save")
    desk.markup = record(form, note="before the save", attributes="unsaved")
    again = desk.opens()
    again.lock()
    again.field("note").fill("after it")
    again.field("amount").fill("150.00")
    kept(again, "amount", "note")
    again.page.close()
    desk.markup = record(form)
    last = desk.opens()
    expect(offer(last)).to_contain_text("after it")
    expect(offer(last)).to_contain_text("150.00")


def test_what_is_typed_before_the_part_that_keeps_it_is_there(desk: Desk, form: str) -> None:
    """In the page of a refused save too: what it most likely was before is looked up while somebody types already."""
    desk.markup = record(form, note="before the save", attributes="unsaved")
    ann = desk.opens()
    held: list[Route] = []
    desk.context.route("**/formlock-drafts.js", lambda route: held.append(route))
    ann.lock()
    ann.field("note").fill("after it")
    while not held:
        ann.page.wait_for_timeout(10)
    held[0].continue_()
    kept(ann, "note")


def test_what_is_typed_last_is_kept_with_the_submit(desk: Desk, form: str) -> None:
    """A save that is refused costs nothing of what was typed in its last moment: no pause in typing is waited for."""
    never = "const later = setTimeout; globalThis.setTimeout = (act, ms, ...rest) => (ms === 400 ? 0 : later(act, ms, ...rest))"
    desk.context.add_init_script(never)  # as if the page had gone before the pause was over
    ann = desk.opens()
    ann.lock()
    ann.page.evaluate("document.addEventListener('submit', (event) => event.preventDefault())")
    ann.field("note").fill("half a sentence")
    ann.page.get_by_role("button", name="Save").click()
    kept(ann, "note")


def test_what_is_typed_last_is_kept_when_the_page_is_left(desk: Desk) -> None:
    """U34: the pause after typing is cut short, and the database has the text though the page is gone before it could answer."""
    ann = desk.opens()
    ann.lock()
    ann.field("note").fill("half a sentence")
    kept(ann, "note")
    ann.field("amount").fill("150.00")
    ann.page.goto("about:blank")
    expect(offer(desk.opens())).to_contain_text("150.00")


def test_what_was_sent_and_arrived_is_not_offered_when_somebody_goes_on(desk: Desk, form: str) -> None:
    """U34: my save went through and Bob has changed a part of it since: that is no unsaved text of mine, though it differs."""
    ann = desk.opens()
    ann.lock()
    ann.field("amount").fill("150.00")
    ann.field("note").fill("mine")
    kept(ann, "amount", "note")
    desk.context.route("**/test.html?*", lambda route: route.fulfill(body="saved"))
    ann.page.get_by_role("button", name="Save").click()
    ann.page.wait_for_url("**/test.html?*")
    desk.markup = record(form, amount="150.00", note="Bob's own")
    again = desk.opens()
    again.sees("free")
    kept(again)
    expect(offer(again)).to_have_count(0)


def test_a_save_that_arrived_clears_it(desk: Desk, node: Node) -> None:
    """The update of one's own tab says that it is saved: what was sent is kept no longer, what was typed since is."""
    ann = desk.opens()
    ann.lock()
    ann.page.evaluate("document.addEventListener('submit', (event) => event.preventDefault())")
    ann.field("note").fill("sent")
    kept(ann, "note")
    ann.page.get_by_role("button", name="Save").click()
    ann.field("amount").fill("typed since")
    node.push({"form": ann.form, "origin": ann.tell("return client.tab.id"), "change_set": {"note": ["old", "sent"]}})
    kept(ann, "amount")
    ann.tell("const { bindingOf } = await import('/formlock/formlock.js'); bindingOf(document.forms[0]).saved()")
    kept(ann)


def test_a_save_that_arrived_with_nothing_typed_since_leaves_no_draft(desk: Desk, node: Node) -> None:
    """As soon as the update says that it is saved, nothing is kept; the page need not be loaded again for that."""
    ann = desk.opens()
    ann.lock()
    ann.page.evaluate("document.addEventListener('submit', (event) => event.preventDefault())")
    ann.field("note").fill("sent")
    ann.page.get_by_role("button", name="Save").click()
    kept(ann, "note")
    node.push({"form": ann.form, "origin": ann.tell("return client.tab.id"), "change_set": {"note": ["old", "sent"]}})
    kept(ann)


SECRETS = (
    '<input type="password" name="password"><input type="file" name="file"><input type="hidden" name="csrf" value="1">'
    '<input name="card" autocomplete="cc-number"><div data-form-lock-no-draft><input name="private"></div>'
)


def test_secrets_are_never_kept(desk: Desk, form: str) -> None:
    """Passwords, files, hidden fields, card numbers and whatever the page excludes are not written to the disk."""
    desk.markup = record(form, extra=SECRETS)
    ann = desk.opens()
    ann.lock()
    for name in ("password", "card", "private"):
        ann.field(name).fill("secret")
    ann.field("csrf").evaluate("(field) => { field.value = 'secret' }")
    ann.field("file").set_input_files({"name": "secret", "mimeType": "text/plain", "buffer": b"secret"})
    ann.field("note").fill("text")
    kept(ann, "note")
    assert "secret" not in str(ann.tell(KEPT))


def test_a_form_may_keep_nothing(desk: Desk, form: str) -> None:
    """With `data-form-lock-no-draft` on the form the part that keeps drafts is not even loaded."""
    desk.markup = record(form, attributes="data-form-lock-no-draft")
    ann = desk.opens()
    asked: list[str] = []
    ann.page.on("request", lambda request: asked.append(request.url))
    # What merges is asked for in the same moment as what keeps drafts would be.
    with ann.page.expect_event("requestfinished", lambda request: request.url.endswith("formlock-merge.js")):
        ann.lock()
        ann.field("note").fill("x")
    assert not [url for url in asked if "drafts" in url]


def test_another_user_of_this_browser_never_sees_it(desk: Desk, form: str) -> None:
    """Drafts are the user's: whoever logs in after him is offered nothing, and he still is."""
    desk.crashed()
    bob = desk.opens("bob", "Bob Novak")
    bob.lock()
    bob.field("amount").fill("7")
    kept(bob, "amount", "note")  # of both, side by side
    expect(offer(bob)).to_have_count(0)
    bob.press("Done")
    bob.page.close()
    ann = desk.opens()
    expect(offer(ann)).to_contain_text("half a sentence")
    ann.tell("const { forgetDrafts } = await import('/formlock/formlock.js'); await forgetDrafts('ann')")
    assert {draft["user"] for draft in ann.tell(KEPT) if draft["form"] == form} == {"bob"}
    expect(offer(desk.opens("bob", "Bob Novak"))).to_contain_text("7")


def test_an_offer_that_nobody_answered_is_not_lost(desk: Desk) -> None:
    """Typing beside an offer, and another crash: both texts are offered then."""
    desk.crashed()
    ann = desk.opens()
    expect(offer(ann)).to_be_visible()
    ann.lock()
    ann.field("amount").fill("150.00")
    kept(ann, "amount")
    ann.page.close()
    again = desk.opens()
    expect(offer(again)).to_contain_text("half a sentence")
    expect(offer(again)).to_contain_text("150.00")


def test_my_other_tab_is_no_crash(desk: Desk) -> None:
    """What I am typing in another tab of this browser is not offered to me as unsaved."""
    first = desk.opens()
    first.lock()
    first.field("note").fill("half a sentence")
    kept(first, "note")
    second = desk.opens()
    second.sees("locked", "You are editing this in another tab")
    second.tell("const { bindingOf } = await import('/formlock/formlock.js'); await bindingOf(document.forms[0]).incoming.drafts()")
    kept(second, "note")
    expect(offer(second)).to_have_count(0)


@pytest.mark.parametrize(
    "broken",
    [
        "indexedDB.open = () => { throw new DOMException('no', 'SecurityError') }",
        "indexedDB.open = () => ({})",
        "Object.defineProperty(window, 'indexedDB', { value: undefined })",
        "IDBObjectStore.prototype.put = () => { throw new DOMException('full', 'QuotaExceededError') }",
        "for (const name of ['localStorage', 'sessionStorage'])"
        " Object.defineProperty(window, name, { get() { throw new DOMException('no', 'SecurityError') } })",
    ],
    ids=["private", "blocked", "missing", "full", "no-storage"],
)
def test_a_browser_that_keeps_nothing_is_no_error(desk: Desk, node: Node, broken: str) -> None:
    """In a private window, with a full disk or a database that another tab blocks, the page works and its console stays silent."""
    desk.context.add_init_script(broken)
    ann = desk.opens()
    ann.lock()
    ann.field("note").fill("half a sentence")
    ann.field("amount").focus()
    node.push({"form": ann.form, "change_set": {"note": ["old", "theirs"]}})
    expect(ann.page.locator("form-lock-choices")).to_contain_text("half a sentence")
    ann.press("Done")
    ann.sees("free", "Not saved")


# -- when the form passes to somebody else


# The part that keeps drafts, which is loaded with the lock, is there.
KEEPING = "lock.unsaved"
TAKEOVER = (
    "await client.supervisor.call(client.uris.procedure('takeover'), {form, expected_token: lock.state.snapshot.token,"
    " tab: client.tab.id, reason: 'urgent correction', rid: 'take'})"
)
UNLOCK = (
    "const { value } = await client.supervisor.call(client.uris.procedure('status'), {form});"
    " await client.supervisor.call(client.uris.procedure('unlock'), {form, token: value.token, tab: client.tab.id, rid: 'u'})"
)


@pytest.mark.timeout(240)  # it starts a node
@pytest.mark.parametrize("waiting", [True, False], ids=["handover", "takeover"])
def test_my_text_is_at_the_service_before_the_form_is_another(request: pytest.FixtureRequest, form: str, waiting: bool) -> None:
    """U19, U20: whoever takes over gets the form as soon as my text is safe; I am offered it in any browser, when I edit again."""
    page_as: Visitor = request.getfixturevalue("patiently" if waiting else "page_as")
    ann = page_as.html("ann", "Ann Weber", form, record(form))
    ann.lock()
    ann.field("note").fill("half a sentence")
    ann.until(KEEPING)
    bob = page_as.html("bob", "Bob Novak", form, record(form))
    bob.sees("locked")
    bob.tell(TAKEOVER)
    ann.sees("lost")
    expect(ann.field("note")).to_have_value("half a sentence")
    ann.until("(await lock.drafts()).length")
    bob.tell(UNLOCK)
    ann.page.close()
    elsewhere = page_as.html("ann", "Ann Weber", form, record(form))
    elsewhere.lock()
    expect(offer(elsewhere)).to_contain_text("half a sentence")
    press(elsewhere, "Use")
    expect(elsewhere.field("note")).to_have_value("half a sentence")
    elsewhere.until("!(await lock.drafts()).length")  # not offered twice


def test_nothing_unsaved_keeps_nobody_waiting(patiently: Visitor, form: str) -> None:
    """A page without unsaved text hands over at once."""
    ann = patiently.html("ann", "Ann Weber", form, record(form))
    ann.lock()
    ann.until(KEEPING)
    bob = patiently.html("bob", "Bob Novak", form, record(form))
    bob.sees("locked")
    bob.tell(TAKEOVER)
    ann.sees("lost")
    assert ann.tell("return lock.drafts()") == []


def test_my_changes_can_be_shown_after_a_loss(page_as: Visitor, form: str) -> None:
    """U19: `showChanges` puts what I have beside what is there, to be copied."""
    ann = page_as.html("ann", "Ann Weber", form, record(form))
    ann.lock()
    ann.field("note").fill("half a sentence")
    bob = page_as.html("bob", "Bob Novak", form, record(form))
    bob.sees("locked")
    bob.tell(TAKEOVER)
    ann.sees("lost")
    ann.tell("const { bindingOf } = await import('/formlock/formlock.js'); bindingOf(document.forms[0]).incoming.showChanges()")
    expect(offer(ann)).to_contain_text("Your unsaved changes")
    expect(offer(ann)).to_contain_text("half a sentence")
    press(ann, "Close")
    expect(offer(ann)).to_have_count(0)
    expect(ann.field("note")).to_have_value("half a sentence")


def test_another_tab_goes_on_with_the_text(page_as: Visitor, form: str) -> None:
    """What one tab has unsaved (`lock.unsaved`) can go on in another one of the same user, merged with what is there."""
    first, second = page_as.html("ann", "Ann", form, record(form)), page_as.html("ann", "Ann", form, record(form, amount="140.00"))
    first.lock()
    first.field("note").fill("half a sentence")
    first.until(f"{KEEPING} && lock.unsaved()")
    text = first.tell("return lock.unsaved()")
    second.tell(
        "const { bindingOf } = await import('/formlock/formlock.js'); bindingOf(document.forms[0]).incoming.goOn(argument)", text
    )
    expect(second.field("note")).to_have_value("half a sentence")
    expect(second.field("amount")).to_have_value("140.00")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pictures(node: Node, page_as: Visitor, form: str, screenshots: Path, scheme: Any, width: int) -> None:
    """The questions and the offer, for people to look at; nothing sticks out, and only one of the two is there at a time (U29)."""
    context = page_as.context(color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce")
    body = (
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        '<link rel="stylesheet" href="/page.css"><main>'
    )
    choice = (
        '<label>Status <select name="status"><option value="1">Draft<option value="2">Sent<option value="3">Paid</select></label>'
    )
    page = record(form, extra=choice, attributes="class=card")
    ann = page_as.html("ann", "Ann Weber", form, lambda: body + page, context=context)
    ann.lock()
    ann.field("amount").fill("150.00")
    ann.field("note").fill("Please send it to the new address:\nMill Lane 4, Cambridge. And ask Miller about the terms of delivery.")
    kept(ann, "amount", "note")
    ann.page.close()

    ann = page_as.watch(context.new_page(), form)
    page = record(form, note="Bob's own", extra=choice, attributes="class=card")
    ann.page.goto(f"{page_as.url}test.html")
    expect(offer(ann)).to_be_visible()
    ann.page.screenshot(path=screenshots / f"draft-{scheme}-{width}.png", full_page=True)
    assert ann.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ann.lock()
    ann.field("note").fill("old\nmine")
    ann.field("amount").fill("155.00")
    ann.field("status").select_option("3")
    ann.field("status").focus()
    changes = {"amount": ["120.00", "140.00"], "note": ["Bob's own", "Bob's own\nsecond thoughts"], "status": ["1", "2"]}
    node.push({"form": form, "change_set": changes, "actor": {"user": "bob", "name": "Bob Novak"}})
    expect(ann.page.locator("form-lock-choices")).to_contain_text("second thoughts")
    expect(offer(ann)).to_be_hidden()
    ann.page.screenshot(path=screenshots / f"conflict-{scheme}-{width}.png", full_page=True)
    assert ann.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
