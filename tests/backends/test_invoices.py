"""The example application (examples/invoices), asked as browsers ask it, with receipts as the service signs them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from formlock.model import Owner
from formlock.receipts import Signer
from formlock_push import Update
from formlock_push.sqlalchemy import Hook
from invoices.app import create_app
from invoices.locking import Locking
from invoices.model import Base, Invoice, fields_of
from invoices.settings import Settings

KEY = "k" * 43
FORM = "com.example.form.invoice.42"
ANN, BOB = "ann", "bob"


@dataclass
class Pushed:
    """Takes what the hook reports."""

    updates: list[Update] = field(default_factory=list)

    def send(self, update: Update, /) -> bool:
        self.updates.append(update)
        return True


class Site:
    """The application on a database of its own."""

    def __init__(self, folder: Path) -> None:
        self.pushed = Pushed()
        self.key = folder / "receipts"
        self.key.write_text(KEY + "\n")
        settings = Settings(database=f"sqlite:///{folder}/invoices.sqlite", receipt_key=self.key)
        app = create_app(settings, self.pushed)
        app.config["TRUSTED_HOSTS"] = ["localhost"]
        self.locking: Locking = app.extensions["locking"]
        self.app = app
        self.client = app.test_client()
        self._hook: Hook = app.extensions["hook"]

    def close(self) -> None:
        self._hook.remove()
        self.locking.sessions.kw["bind"].dispose()

    def receipt(
        self, user: str, token: int, *, form: str = FORM, key: str = KEY, lease_ms: int = 90_000, tab: str | None = None
    ) -> str:
        return Signer(key).sign(form, Owner(user, tab or f"tab-{user}"), token, round(time.time() * 1000), lease_ms)

    def stored(self, number: int = 42) -> dict[str, str] | None:
        with self.locking.sessions() as session:
            invoice = session.get(Invoice, number)
            return fields_of(invoice) if invoice else None

    def claim(self, user: str, token: int, number: int = 42, **changed: Any) -> TestResponse:
        receipt = self.receipt(user, token, **changed)
        return self.client.post(f"/invoices/{user}/{number}/claim", data={"form_lock_receipt": receipt})

    def save(self, user: str, receipt: str | None, number: int = 42, path: str = "", **fields: str) -> TestResponse:
        stored = self.stored(number) or {}
        sent = stored | fields | ({"form_lock_receipt": receipt} if receipt is not None else {})
        return self.client.post(f"/invoices/{user}/{number}{path}", data=sent)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def text_of(answer: TestResponse) -> str:
    """What a person reads of a page."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.get_data(as_text=True))).split())


def value(answer: TestResponse, name: str) -> str:
    """What a field of the page holds."""
    page = answer.get_data(as_text=True)
    found = re.search(rf'<textarea[^>]* name="{name}"[^>]*>\n(.*?)</textarea>', page, re.DOTALL) or re.search(
        rf'<input[^>]* name="{name}"[^>]* value="([^"]*)"', page
    )
    assert found, f"the page has no field {name}"
    return unescape(found[1])


def refused(answer: TestResponse, says: str) -> None:
    assert answer.status_code == 409
    assert says in text_of(answer)


# -- a save, as it should be


def test_edit_claim_save(site: Site) -> None:
    """The claim answers the fresh values and their version, a save with both is written and leads to the list (A14)."""
    claimed = site.claim(ANN, 7)
    assert (claimed.status_code, claimed.content_type, claimed.json) == (200, "application/json", site.stored())
    saved = site.save(ANN, site.receipt(ANN, 7), amount="140", notes="a\r\nb")
    assert (saved.status_code, saved.location) == (303, "/invoices/ann/")
    stored = site.stored()
    assert stored is not None
    assert (stored["amount"], stored["notes"], stored["version"]) == ("140.00", "a\nb", "2")


def test_a_save_is_reported_with_who_and_what(site: Site) -> None:
    """One update per save, after the commit: its change set, the new values and version, the saver and the tab not to be told
    (A17, A22, U13, U37). A claim is no change."""
    site.claim(ANN, 7)
    assert site.pushed.updates == []
    site.save(ANN, site.receipt(ANN, 7), amount="140.00")
    (told,) = site.pushed.updates
    assert (told.form, told.origin, told.actor) == (FORM, "tab-ann", {"user": "ann", "name": "Ann Weber"})
    assert {name: [str(one) for one in pair] for name, pair in (told.change_set or {}).items()} == {"amount": ["120.00", "140.00"]}
    assert (told.version, told.representation) == (2, site.stored())


def test_nothing_changed_is_nothing_told(site: Site) -> None:
    """A save without a change is written by nobody, told to nobody and costs no version."""
    site.claim(ANN, 7)
    assert site.save(ANN, site.receipt(ANN, 7)).status_code == 303
    assert site.pushed.updates == []


def test_a_claim_may_be_repeated(site: Site) -> None:
    """A reload, or an answer that was lost, claims again with the same token."""
    assert [site.claim(ANN, 7).status_code for _ in range(2)] == [200, 200]
    assert site.save(ANN, site.receipt(ANN, 7), amount="1").status_code == 303


def test_a_claim_that_keeps_the_text_answers_nothing(site: Site) -> None:
    """After an entry with mistakes the fields stay as they are; the claim counts all the same."""
    answer = site.client.post("/invoices/ann/42/claim?keep=text", data={"form_lock_receipt": site.receipt(ANN, 7)})
    assert (answer.status_code, answer.data) == (204, b"")
    assert site.save(ANN, site.receipt(ANN, 7), amount="1").status_code == 303


# -- no late save


def test_late_before_the_new_holders_first_write(site: Site) -> None:
    """U14, U21: whoever lost the form can't save any more, although his receipt is still good and nobody else has written yet."""
    site.claim(ANN, 7)
    site.claim(BOB, 8)
    before = site.stored()
    late = site.save(ANN, site.receipt(ANN, 7), amount="999.99", notes="half a sentence & <more>")
    refused(late, "Your turn to edit had ended")
    assert site.stored() == before
    assert site.pushed.updates == []


def test_late_after_the_new_holders_first_write(site: Site) -> None:
    """U14: nor after it, even if he sends the newest version along."""
    site.claim(ANN, 7)
    site.claim(BOB, 8)
    assert site.save(BOB, site.receipt(BOB, 8), amount="130.00").status_code == 303
    refused(site.save(ANN, site.receipt(ANN, 7), amount="999.99"), "Your turn to edit had ended")
    stored = site.stored()
    assert stored is not None
    assert stored["amount"] == "130.00"


def test_a_save_without_a_claim_is_refused(site: Site) -> None:
    """A receipt alone is not enough: between grant and claim another one may have written."""
    refused(site.save(ANN, site.receipt(ANN, 7), amount="1"), "Your turn to edit had ended")


def test_a_late_claim_is_refused(site: Site) -> None:
    """A claim that was on its way while somebody else got the form does not take it back."""
    site.claim(BOB, 8)
    late = site.claim(ANN, 7)
    assert (late.status_code, late.content_type) == (409, "application/json")
    assert site.save(BOB, site.receipt(BOB, 8), amount="1").status_code == 303


def test_what_was_typed_is_kept(site: Site) -> None:
    """A refused save shows every field as typed beside what is stored, and leads back to the form (U19, U30)."""
    site.claim(BOB, 8)
    answer = site.save(ANN, site.receipt(ANN, 7), amount="999.99", notes="half a\r\nsentence & <more>")
    page = answer.get_data(as_text=True)

    def shown(what: str, name: str) -> str:
        found = re.search(rf'id="{what}-{name}">(.*?)</span>', page, re.DOTALL)
        assert found
        return unescape(found[1])

    assert (shown("mine", "amount"), shown("stored", "amount")) == ("999.99", "120.00")
    assert (shown("mine", "notes"), shown("stored", "notes")) == ("half a\nsentence & <more>", "Spare parts")
    assert shown("mine", "customer") == shown("stored", "customer") == "Miller & Sons"
    assert page.count('class="differs"') == 2
    assert 'href="/invoices/ann/42"' in page


def test_a_write_without_a_lock_is_noticed(site: Site) -> None:
    """U22: a script that changes the record between claim and save makes the save a conflict, though the lock was never lost."""
    site.claim(ANN, 7)
    before = site.stored()
    assert before is not None
    with site.locking.sessions.begin() as session:
        session.get_one(Invoice, 42).status = "paid"
    refused(site.save(ANN, site.receipt(ANN, 7), version=before["version"], amount="1"), "changed after you had opened it")
    stored = site.stored()
    assert stored is not None
    assert (stored["amount"], stored["status"]) == ("120.00", "paid")


def test_one_of_many_at_once(site: Site) -> None:
    """The same save sent eight times at once (an impatient finger, a proxy that repeats) is written once; the others are told."""
    site.claim(ANN, 7)
    sent = (site.stored() or {}) | {"form_lock_receipt": site.receipt(ANN, 7)}

    def save(number: int) -> int:
        return site.app.test_client().post("/invoices/ann/42", data=sent | {"notes": f"the {number}th"}).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(save, range(8))) == [303] + [409] * 7
    assert (site.stored() or {})["version"] == "2"
    assert len(site.pushed.updates) == 1


# -- receipts that are none


def test_no_receipt(site: Site) -> None:
    """U21: without JavaScript, or from a program, nothing is saved; the page says why, and keeps the text."""
    answer = site.save(ANN, None, notes="typed without a lock")
    refused(answer, "sent without the lock")
    assert "typed without a lock" in text_of(answer)
    site.claim(ANN, 7)
    refused(site.save(ANN, None, amount="1"), "sent without the lock")


@pytest.mark.parametrize(
    ("user", "changed", "says"),
    [
        (BOB, {}, "not sent with a lock of yours"),
        (ANN, {"form": "com.example.form.invoice.41"}, "not sent with a lock of yours"),
        (ANN, {"key": "x" * 43}, "not sent with a lock of yours"),
        (ANN, {"lease_ms": -60_000}, "Your turn to edit had ended"),
    ],
    ids=["somebody else's", "another form's", "signed by nobody", "expired"],
)
def test_foreign_and_expired_receipts(site: Site, user: str, changed: dict[str, Any], says: str) -> None:
    """A receipt counts for its user, its form and its time only, at the claim as at the save (U21)."""
    site.claim(ANN, 7)
    bad = site.receipt(user, 7, **changed)
    refused(site.save(ANN, bad, amount="1"), says)
    claimed = site.client.post("/invoices/ann/42/claim", data={"form_lock_receipt": bad})
    assert claimed.status_code == 409
    assert claimed.json is not None
    assert says in claimed.json["error"]
    assert (site.stored() or {})["amount"] == "120.00"


def test_before_the_node_has_made_its_key(site: Site) -> None:
    """An application that was started first says that it can't check, keeps the text, and works as soon as the key is there."""
    site.key.unlink()
    answer = site.save(ANN, site.receipt(ANN, 7), notes="typed early")
    assert answer.status_code == 503
    assert "Try again in a minute" in text_of(answer)
    assert "typed early" in text_of(answer)
    site.key.write_text(KEY)
    assert site.claim(ANN, 7).status_code == 200


# -- deletion, creation


def test_deletion_needs_the_lock(site: Site) -> None:
    """A deletion is a write like any other: refused without the lock and when it comes late, else done and told."""
    refused(site.save(ANN, None, path="/delete"), "sent without the lock")
    site.claim(ANN, 7)
    site.claim(BOB, 8)
    refused(site.save(ANN, site.receipt(ANN, 7), path="/delete"), "Your turn to edit had ended")
    refused(site.save(BOB, site.receipt(BOB, 8), path="/delete", version="0"), "changed after you had opened it")
    assert site.save(BOB, site.receipt(BOB, 8), path="/delete").status_code == 303
    assert site.stored() is None
    assert [(told.form, told.status, told.origin) for told in site.pushed.updates] == [(FORM, "deleted", "tab-bob")]


def test_a_save_of_what_was_deleted(site: Site) -> None:
    """Text for a record that is gone is shown once more, and nothing comes back to life."""
    site.claim(ANN, 7)
    with site.locking.sessions.begin() as session:
        session.delete(session.get_one(Invoice, 42))
    answer = site.save(ANN, site.receipt(ANN, 7), notes="too late", version="1")
    refused(answer, "The invoice was deleted")
    assert "too late" in text_of(answer)
    assert site.claim(ANN, 8).status_code == 409
    assert site.stored() is None


def test_a_new_invoice(site: Site) -> None:
    """What nobody can have open needs no lock; it is told, and its number was never another record's."""
    fields = {"customer": " New & Co ", "amount": "12.5", "due": "2026-03-01", "status": "sent"}
    assert site.client.post("/invoices/eva/new", data=fields).status_code == 303
    assert (site.stored(43) or {})["customer"] == "New & Co"
    assert [(told.form, told.status, told.actor) for told in site.pushed.updates] == [
        ("com.example.form.invoice.43", "inserted", {"user": "eva", "name": "Eva Lind"})
    ]
    with site.locking.sessions.begin() as session:
        session.delete(session.get_one(Invoice, 43))
    site.client.post("/invoices/eva/new", data=fields)
    assert site.stored(43) is None
    assert site.stored(44) is not None


# -- mistakes


MISTAKES = {
    "customer": ("  ", "Say who the customer is."),
    "amount": ("12,345", "An amount like 120.00"),
    "due": ("28.2.2026", "A date like 2026-02-28."),
    "status": ("lost", "Choose one of the list."),
    "notes": ("x" * 2001, "2000 characters at most"),
}


def test_mistakes_are_said_at_their_fields(site: Site) -> None:
    """Each mistake stands at its field, and all that was typed is still there; nothing is written, the version is the same one."""
    site.claim(ANN, 7)
    answer = site.save(ANN, site.receipt(ANN, 7), **{name: typed for name, (typed, _) in MISTAKES.items()}, address="kept")
    assert answer.status_code == 422
    page = answer.get_data(as_text=True)
    for name, (typed, says) in MISTAKES.items():
        assert re.search(rf'id="{name}"[^>]* aria-invalid="true" aria-describedby="{name}-problem"', page)
        assert re.search(rf'id="{name}-problem">{says}', page)
        if name != "status":
            assert value(answer, name) == typed
    assert (value(answer, "address"), value(answer, "version")) == ("kept", "1")
    assert 'id="address-problem"' not in page
    assert 'claim-url="/invoices/ann/42/claim?keep=text"' in page
    assert " unsaved" in page
    assert (site.stored() or {})["version"] == "1"
    assert site.save(ANN, site.receipt(ANN, 7), amount="1").status_code == 303, "and it may be sent again"


@pytest.mark.parametrize("amount", ["", "1.234", "-1", "1e3", "NaN", "١٢", "1 000", "9999999999"])
def test_amounts_that_are_none(site: Site, amount: str) -> None:
    """What is no exact amount is refused, never rounded or guessed."""
    fields = {"customer": "x", "amount": amount, "due": "2026-03-01", "status": "sent"}
    assert site.client.post("/invoices/ann/new", data=fields).status_code == 422
    assert site.stored(43) is None


@pytest.mark.parametrize("amount", ["0", "0.10", "0.07", "999999999.99"])
def test_amounts_are_exact(site: Site, amount: str) -> None:
    fields = {"customer": "x", "amount": amount, "due": "2026-03-01", "status": "sent"}
    site.client.post("/invoices/ann/new", data=fields)
    assert float((site.stored(43) or {})["amount"]) == float(amount)
    assert re.fullmatch(r"\d+\.\d\d", (site.stored(43) or {})["amount"])


# -- pages


def test_the_edit_page(site: Site) -> None:
    """What the browser package needs is in the page, and every field has a label (U31)."""
    answer = site.client.get("/invoices/ann/42")
    page = answer.get_data(as_text=True)
    for needed in (
        '<meta name="form-lock-user" content="ann">',
        '<meta name="form-lock-name" content="Ann Weber">',
        f'<form-lock for="{FORM}">',
        f'form-lock="{FORM}" required-lock inert update="replace"',
        'claim-url="/invoices/ann/42/claim"',
        'src="/formlock/formlock.js"',
    ):
        assert needed in page
    for name in ("customer", "amount", "due", "status", "address", "notes"):
        assert f'<label for="{name}">' in page
        assert f'id="{name}" name="{name}"' in page
    assert 'update="reload"' in site.client.get("/invoices/ann/42?refresh=reload").get_data(as_text=True)


def test_the_list(site: Site) -> None:
    """Every invoice is a row of its own name, with a place for who is editing it."""
    page = site.client.get("/invoices/bob/").get_data(as_text=True)
    assert re.findall(r'form-lock-item="com\.example\.form\.invoice\.(\d+)"', page) == [str(number) for number in range(42, 30, -1)]
    assert page.count("<span form-lock-mark></span>") == 12
    assert '<table class="card" form-lock-list="invoice" update="rows">' in page


def test_names_of_customers_are_text(site: Site) -> None:
    """Whatever somebody typed is shown as he typed it."""
    site.claim(ANN, 7)
    site.save(ANN, site.receipt(ANN, 7), customer='<script>alert("1")</script>')
    for path in ("/invoices/ann/", "/invoices/ann/42"):
        assert "<script>alert" not in site.client.get(path).get_data(as_text=True)


@pytest.mark.parametrize("path", ["/invoices/joe/", "/invoices/joe/42", "/invoices/ann/99", "/invoices/ann/x", "/elsewhere"])
def test_what_is_not_there(site: Site, path: str) -> None:
    answer = site.client.get(path)
    assert answer.status_code == 404
    assert "There is nothing at this address." in text_of(answer)


def test_the_way_in(site: Site) -> None:
    assert site.client.get("/invoices/").location == "/invoices/ann/"


def test_health(site: Site) -> None:
    """It asks the database: a new, empty one in its place is not healthy."""
    assert site.client.get("/invoices/health").json == {"healthy": True}
    Base.metadata.drop_all(site.locking.sessions.kw["bind"])
    answer = site.client.get("/invoices/health")
    assert (answer.status_code, answer.json) == (503, {"healthy": False})


# -- other sites


@pytest.mark.parametrize("path", ["/invoices/ann/new", "/invoices/ann/42", "/invoices/ann/42/claim", "/invoices/ann/42/delete"])
@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://elsewhere.example"}, {"Origin": "null"}],
)
def test_other_sites_change_nothing(site: Site, path: str, headers: dict[str, str]) -> None:
    """A page of another site, or port, can't make a user's browser write (whatever it sends along)."""
    data = (site.stored() or {}) | {"form_lock_receipt": site.receipt(ANN, 7)}
    assert site.client.post(path, data=data, headers=headers).status_code == 403
    assert site.stored(43) is None


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}, {}])
def test_our_own_pages_may_write(site: Site, headers: dict[str, str]) -> None:
    data = {"customer": "x", "amount": "1", "due": "2026-03-01", "status": "sent"}
    assert site.client.post("/invoices/ann/new", data=data, headers=headers).status_code == 303


def test_every_answer_has_the_security_headers(site: Site) -> None:
    for path in ("/invoices/ann/", "/invoices/static/invoices.css", "/nothing"):
        headers = site.client.get(path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert site.client.get("/invoices/ann/42").headers["Cache-Control"] == "no-store", "old values never come from a cache"


def test_nothing_runs_or_is_styled_inline(site: Site) -> None:
    """The pages hold to their own policy: no script, style or handler inside the mark-up."""
    for path in ("/invoices/ann/", "/invoices/ann/42", "/invoices/ann/new"):
        page = site.client.get(path).get_data(as_text=True)
        assert not re.search(r"<style|<script(?![^>]* src=)| on\w+=| style=", page)


def test_a_name_that_is_not_ours(site: Site) -> None:
    """A site that makes its name point here (DNS rebinding) gets nothing."""
    answer = site.client.get("/invoices/ann/", headers={"Host": "rebound.example"})
    assert answer.status_code == 400
    assert "Miller" not in answer.get_data(as_text=True)


def test_too_long_is_not_read(site: Site) -> None:
    answer = site.client.post("/invoices/ann/new", data={"notes": "x" * 70_000})
    assert answer.status_code == 413
