"""Claims in a real browser: a grant counts when the application has claimed it, and the fields show what was read behind that."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from playwright.sync_api import Route, expect

from formlock_push.verify import Verifier
from tests.browser.conftest import Tab, Visitor
from tests.support.node import Node

# The service knows that it was given back.
FREE = "(await lock.status(), lock.state.snapshot?.state) === 'free'"


def markup(form: str, attributes: str = "", amount: str = "120.00") -> str:
    return (
        f'<form form-lock="{form}" claim-url="/claim" {attributes}><input type="hidden" name="csrf" value="secret">'
        '<input type="hidden" name="version" value="3"><label>Customer <input name="customer" value="Miller"></label>'
        f'<label>Amount <input name="amount" value="{amount}"></label>'
        '<label>Paid <input type="checkbox" name="paid" value="yes"></label><button>Save</button></form>'
    )


class Application:
    """Answers claims as it is told, and keeps what was posted."""

    def __init__(self) -> None:
        self.posted: list[dict[str, list[str]]] = []
        self.answers: list[dict[str, Any]] = []

    def contents(self, **values: Any) -> Application:
        self.answers.append({"content_type": "application/json", "body": json.dumps(values)})
        return self

    def says(self, status: int) -> Application:
        self.answers.append({"status": status})
        return self

    def serve(self, route: Route) -> None:
        self.posted.append(parse_qs(route.request.post_data or ""))
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        route.fulfill(**answer)


def opened(page_as: Visitor, form: str, application: Application, page: str | Callable[[], str]) -> Tab:
    context = page_as.context()
    context.route("**/claim", application.serve)
    return page_as.html("ann", "Ann", form, page, context=context)


def test_a_grant_is_claimed_before_its_fields_open(page_as: Visitor, node: Node, form: str) -> None:
    """U14, U21: the claim carries the receipt and the form's hidden fields; its contents are there when they open."""
    application = Application().contents(version=4, amount="140.00", customer="Miller", paid=True)
    ann = opened(page_as, form, application, markup(form))
    ann.page.evaluate(
        "document.addEventListener('formlock:mine', () => { window.atOpening = document.forms[0].elements.amount.value })"
    )
    ann.lock()
    assert ann.page.evaluate("window.atOpening") == "140.00"
    expect(ann.field("version")).to_have_value("4")
    expect(ann.field("paid")).to_be_checked()
    expect(ann.field("amount")).to_be_editable()
    (posted,) = application.posted
    assert (posted["csrf"], posted["version"], posted["form_lock_token"]) == (["secret"], ["3"], [ann.token])
    verifier = Verifier.from_file(node.folder / "credentials" / "receipts")
    assert verifier.verify(posted["form_lock_receipt"][0], form=form, user="ann").token == int(ann.token)
    assert not ann.tell("const { bindingOf } = await import('/formlock/formlock.js'); return bindingOf(document.forms[0]).dirty")


def test_the_receipt_travels_with_the_form(page_as: Visitor, node: Node, form: str) -> None:
    """While the form is mine the newest receipt is in a hidden field, after it none is."""
    ann = opened(page_as, form, Application().says(204), markup(form, 'receipt-field="proof"'))
    ann.lock()
    receipt = ann.field("proof").input_value()
    ann.tell("client.renewSoon(); await new Promise((go) => lock.addEventListener('change', go, { once: true }))")
    verifier = Verifier.from_file(node.folder / "credentials" / "receipts")
    for text in (receipt, ann.field("proof").input_value()):
        assert verifier.verify(text, form=form, user="ann")
    ann.press("Done")
    ann.sees("free")
    expect(ann.field("proof")).to_have_count(0)


def test_contents_that_are_current_stay(page_as: Visitor, form: str) -> None:
    """204 means that the page shows the newest already: nothing is touched."""
    ann = opened(page_as, form, Application().says(204), markup(form))
    ann.lock()
    expect(ann.field("amount")).to_have_value("120.00")


def test_a_claim_that_is_refused(page_as: Visitor, form: str) -> None:
    """Where the application refuses, nothing opens, the form is given back, and the person may try again."""
    application = Application().says(409)
    ann = opened(page_as, form, application, markup(form))
    ann.excuse("the claim failed", "status of 409")
    ann.sees("free")
    with ann.page.expect_console_message(lambda message: "the claim failed" in message.text):
        ann.press("Edit")
    ann.sees("free", "Editing is not possible right now")
    expect(ann.field("amount")).not_to_be_editable()
    ann.until(FREE)
    application.answers[:] = []
    application.contents(version=5)
    ann.press("Edit")
    ann.sees("mine")


def test_a_claim_that_is_refused_while_somebody_types(page_as: Visitor, form: str) -> None:
    """With lock-on="input" the fields shut, and a button asks again: typing can't."""
    application = Application().says(409)
    ann = opened(page_as, form, application, markup(form, 'lock-on="input"'))
    ann.excuse("the claim failed", "status of 409")
    ann.sees("free")
    ann.field("customer").press_sequentially("x")
    ann.sees("free", "Editing is not possible right now")
    expect(ann.field("amount")).not_to_be_editable()
    ann.until(FREE)
    application.answers[:] = []
    application.says(204)
    ann.press("Edit")
    ann.sees("mine")
    expect(ann.field("customer")).to_have_value("xMiller")


def test_an_application_that_stumbles_is_asked_again(page_as: Visitor, form: str) -> None:
    """A restart of the application behind its proxy is not the end of a claim."""
    application = Application().says(503).says(502).contents(version=4)
    ann = opened(page_as, form, application, markup(form))
    ann.excuse("status of 50")  # Chromium itself writes a line for each
    ann.lock()
    assert len(application.posted) == 3


def test_typed_text_is_not_filled_over(page_as: Visitor, form: str) -> None:
    """U28, U30: with lock-on="input" the claim comes while somebody types; what is typed stays, the rest is fresh, what differs is
    said."""
    ann = opened(
        page_as, form, Application().contents(version=4, amount="140.00", customer="Harbour"), markup(form, "lock-on=input")
    )
    ann.sees("free")
    ann.field("amount").press_sequentially("7")
    ann.sees("mine", "Changed meanwhile: Amount. Your text is kept.")
    expect(ann.field("amount")).to_have_value("7120.00")
    expect(ann.field("customer")).to_have_value("Harbour")
    assert ann.page.evaluate("document.activeElement.name") == "amount"


def test_a_refused_save_shown_again_keeps_its_text(page_as: Visitor, form: str) -> None:
    """U30: a page marked `unsaved` holds text that is in no database; the claim after it fills in the version only."""
    application = Application().contents(version=4, amount="120.00", customer="Miller")
    ann = opened(page_as, form, application, markup(form, "unsaved", amount="abc"))
    ann.lock()
    expect(ann.field("amount")).to_have_value("abc")
    expect(ann.field("version")).to_have_value("4")
    ann.sees("mine", "Changed meanwhile: Amount.")


def test_a_reload_claims_again_and_keeps_the_token(page_as: Visitor, form: str) -> None:
    """U8: after a reload the same token is claimed once more, and the fields are as fresh as the claim."""
    application = Application().contents(version=4, amount="140.00")
    ann = opened(page_as, form, application, lambda: markup(form, amount=f"12{len(application.posted)}.00"))
    ann.lock()
    token = ann.token
    ann.page.reload()
    ann.sees("mine")
    assert [posted["form_lock_token"] for posted in application.posted] == [[token], [token]]
    expect(ann.field("amount")).to_have_value("140.00")


def test_an_answer_in_html(page_as: Visitor, form: str) -> None:
    """The claim may answer with the page, or the form, as it is now."""
    application = Application()
    fresh = markup(form, amount="140.00").replace('value="3"', 'value="4"')
    application.answers.append({"content_type": "text/html", "body": f"<!doctype html><main>{fresh}</main>"})
    ann = opened(page_as, form, application, markup(form))
    ann.lock()
    expect(ann.field("amount")).to_have_value("140.00")
    expect(ann.field("version")).to_have_value("4")
