"""One afternoon with one invoice: two people wait for Ann, Ann has two tabs and a laptop that sleeps, and nobody's work is lost."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Tab, Visitor
from tests.support.node import Node

pytestmark = [pytest.mark.browser, pytest.mark.node]


def invoice(form: str) -> str:
    return (
        f'<form form-lock="{form}" update="merge" version-field="version"><input type="hidden" name="version" value="3">'
        '<label>Amount <input name="amount" value="120.00"></label><label>Note <textarea name="note">old</textarea></label>'
        "<button>Save</button></form>"
    )


def says(tab: Tab, text: str) -> None:
    tab.page.keyboard.type(text)
    tab.page.keyboard.press("Enter")


def saves(tab: Tab) -> dict[str, Any]:
    """A press on Save: what is sent. The page stays, as with an application that saves by a script."""
    tab.page.evaluate(
        "window.sent = new Promise((resolve) => document.forms[0].addEventListener('submit',"
        " (event) => { event.preventDefault(); resolve(Object.fromEntries(new FormData(event.target))) }, {once: true})); null"
    )
    tab.page.get_by_role("button", name="Save", exact=True).click()
    sent: dict[str, Any] = tab.page.evaluate("window.sent")
    return sent


def saved(tab: Tab, version: str) -> None:
    """The application has answered: it is in its database, as this version."""
    tab.tell(
        "const { bindingOf } = await import('/formlock/formlock.js'); const binding = bindingOf(document.forms[0]);"
        " binding.saved({ version: argument }); binding.done()",
        version,
    )


def test_an_afternoon(node: Node, page_as: Visitor, form: str) -> None:
    """Two who want it, three tabs, a question, a sleep, a takeover, a save of somebody else's, and a move: every page tells the
    truth at each step, and the sentence that Ann began is in the record at the end (U7, U10-U14, U17-U19, U28, U30)."""
    # Ann edits, and has half a sentence when Bob comes and waits for his turn.
    ann = page_as.html("ann", "Ann Weber", form, invoice(form))
    ann.lock()
    ann.field("note").fill("half a sentence")
    first = int(ann.token)
    bob = page_as.html("bob", "Bob Novak", form, invoice(form))
    bob.sees("locked", "Ann Weber is editing.")
    bob.press("Wait for my turn")
    bob.sees("queued", "You are next in line.")

    # She opens the invoice a second time. That tab knows that it is herself, and takes nothing from the first one.
    second = page_as.watch(ann.page.context.new_page(), form)
    second.page.goto(ann.page.url)
    second.sees("locked", "You are editing this in another tab.")
    ann.sees("mine")

    # Bob asks. Her text, her focus and her caret stay while she is told; she keeps it, and he is told for how long.
    ann.page.bring_to_front()
    ann.field("note").focus()
    bob.press("Ask to release")
    says(bob, "Just the amount")
    ann.sees("asked", "Bob Novak would like to edit.")
    expect(ann.banner).to_contain_text("“Just the amount”")
    expect(ann.field("note")).to_be_focused()
    ann.page.keyboard.type(", and more")
    ann.press("Keep 5 min more")
    ann.sees("mine")
    expect(bob.banner).to_contain_text("Ann Weber needs it for 5 min more.")

    # Her laptop sleeps. Eva, who can't wait and may take over, does so with a reason.
    eva = page_as.html("eva", "Eva Lind", form, invoice(form))
    eva.sees("locked", "Ann Weber is editing.")
    for tab in (ann, second):
        tab.excuse("ERR_INTERNET_DISCONNECTED")  # the browser itself reports each attempt to connect
    ann.page.context.set_offline(True)
    ann.sees("offline", "Your text is kept")
    expect(ann.field("note")).not_to_be_editable()
    eva.press("Take over")
    says(eva, "The customer is on the phone")
    eva.sees("mine")
    assert int(eva.token) > first
    bob.sees("queued", "You are next in line.")

    # Ann opens the lid: nothing of hers is open any more, in neither tab, and her text is where she left it.
    ann.page.context.set_offline(False)
    ann.sees("lost", "Eva Lind")
    second.sees("locked", "Eva Lind is editing.")
    expect(ann.field("note")).to_have_value("half a sentence, and more")
    expect(ann.field("note")).not_to_be_editable()
    assert ann.page.locator("[name=form_lock_token]").count() == 0
    ann.press("Show my changes")
    expect(ann.page.locator("form-lock-draft")).to_contain_text("half a sentence, and more")
    ann.page.locator("form-lock-draft").get_by_role("button", name="Close").click()

    # Eva saves. The amount follows in every page, and Ann's note, which Eva did not touch, stays hers.
    eva.field("amount").fill("140.00")
    assert saves(eva)["version"] == "3"
    node.push(
        {
            "form": form,
            "change_set": {"amount": ["120.00", "140.00"]},
            "version": 4,
            "actor": {"user": "eva", "name": "Eva Lind"},
            "origin": eva.tell("return client.tab.id"),
        }
    )
    expect(ann.field("amount")).to_have_value("140.00")
    expect(ann.field("note")).to_have_value("half a sentence, and more")
    saved(eva, "4")

    # It is Bob's turn, without a click. He only looks at the amount, and gives it back.
    bob.sees("mine")
    expect(bob.field("amount")).to_have_value("140.00")
    ann.sees("lost", "Bob Novak")
    bob.press("Done")

    # Ann takes it up again, moves to her second tab with her text, and saves there: both changes are in what is sent.
    ann.press("Lock again")
    ann.sees("mine")
    expect(ann.field("note")).to_have_value("half a sentence, and more")
    second.sees("locked", "You are editing this in another tab.")
    second.until("lock.state.otherTab")  # only what is known to be in this browser is asked for its text
    second.page.bring_to_front()
    second.press("Move here")
    second.sees("mine")
    ann.sees("lost", "You went on in another tab.")
    expect(second.field("note")).to_have_value("half a sentence, and more")
    sent = saves(second)
    assert (sent["amount"], sent["note"], sent["version"]) == ("140.00", "half a sentence, and more", "4")
    assert int(sent["form_lock_token"]) > int(first)
    saved(second, "5")
    for tab in (bob, eva, second):
        tab.sees("free")


HELD_BACK = (
    "const handOver = lock.handOver.bind(lock); window.told = new Promise((tell) => {"
    " lock.handOver = async (draft) => {"
    " tell(draft); await new Promise((go) => { window.handOn = go }); return await handOver(draft) } })"
    ".then((draft) => draft.texts.note.mine); return null"
)


@pytest.mark.timeout(240)  # it starts a node
def test_handed_over(patiently: Visitor, form: str) -> None:
    """U18, U19: where the policy says so, a takeover waits until the old holder's text is in safety: before that nothing is open for
    the one who takes over, after it she knows by whom and why, and has her text beside what is there, here and in any browser."""
    ann = patiently.html("ann", "Ann Weber", form, invoice(form))
    ann.lock()
    first = int(ann.token)
    ann.tell(HELD_BACK)
    ann.field("note").fill("half a sentence")
    ann.until("lock.unsaved")  # the part that keeps drafts, which is loaded with the lock, is there
    bob = patiently.html("bob", "Bob Novak", form, invoice(form))
    bob.sees("locked", "Ann Weber is editing.")
    bob.page.evaluate("document.addEventListener('formlock:mine', () => { window.opened = Date.now() })")

    # Bob takes over with a reason. Ann is told who does and why; her text is on its way, and until it is there she has the form.
    bob.press("Take over")
    says(bob, "The customer is on the phone")
    ann.sees("mine", "Bob Novak is taking over.")
    expect(ann.banner).to_contain_text("“The customer is on the phone”")
    expect(ann.banner).to_contain_text("Your text is being kept safe.")
    assert ann.page.evaluate("window.told") == "half a sentence"
    assert int(ann.token) == first
    assert bob.tell("return (await lock.status(), lock.state.snapshot.holder.user)") == "ann"
    bob.sees("locked", "Ann Weber is editing.")
    expect(bob.field("note")).not_to_be_editable()
    assert bob.page.evaluate("window.opened") is None

    # It is in safety: now Bob has the form, and she sees it.
    ann.page.evaluate("window.handOn()")
    bob.sees("mine", "You are editing.")
    expect(bob.field("note")).to_be_editable()
    expect(bob.field("note")).to_have_value("old")
    assert int(bob.token) > first
    ann.sees("lost", "Bob Novak took over")
    expect(ann.banner).to_contain_text("“The customer is on the phone”")
    assert [draft["token"] for draft in ann.tell("return lock.drafts()")] == [first]
    expect(ann.field("note")).not_to_be_editable()
    expect(ann.field("note")).to_have_value("half a sentence")

    # What she has and what is there, side by side.
    ann.press("Show my changes")
    difference = ann.page.locator("form-lock-draft")
    expect(difference).to_contain_text("half a sentence")
    expect(difference).to_contain_text("old")
    difference.get_by_role("button", name="Close").click()

    # Bob is done, and in another browser her text is offered to her as soon as she edits there.
    bob.press("Done")
    elsewhere = patiently.html("ann", "Ann Weber", form, invoice(form))
    elsewhere.lock()
    offer = elsewhere.page.locator("form-lock-draft")
    expect(offer).to_contain_text("half a sentence")
    offer.get_by_role("button", name="Use", exact=True).click()
    expect(elsewhere.field("note")).to_have_value("half a sentence")
