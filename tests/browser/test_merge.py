"""What others save is merged into a form that is being edited: what was not touched follows, what both have changed is asked."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.browser.conftest import Tab, Visitor
from tests.support.node import Node

pytestmark = [pytest.mark.browser, pytest.mark.node]

ANN = {"user": "ann", "name": "Ann Weber"}


def record(form: str, extra: str = "", amount: str = "120.00", note: str = "old", version: int = 3) -> str:
    return (
        f'<form form-lock="{form}" update="merge" version-field="version" action="/nowhere">'
        f'<input type="hidden" name="version" value="{version}">'
        f'<label>Amount <input name="amount" value="{amount}"></label>'
        f'<label>Note <textarea name="note">{note}</textarea></label>'
        f'<label>Paid <input type="checkbox" name="paid" value="1"></label>{extra}<button>Save</button></form>'
    )


class Editing:
    """Bob edits, and Ann saves by another way: a script, an import, an application that asks nobody."""

    def __init__(self, node: Node, tab: Tab) -> None:
        self.node, self.tab = node, tab

    def saves(self, changes: dict[str, tuple[Any, Any]], version: int | None = 4, **facts: Any) -> None:
        if version is not None:
            facts["version"] = version
        self.node.push(
            {"form": self.tab.form, "change_set": {name: list(pair) for name, pair in changes.items()}, "actor": ANN} | facts
        )

    @property
    def panel(self) -> Locator:
        return self.tab.page.locator("form-lock-choices")

    def question(self, label: str) -> Locator:
        return self.panel.get_by_role("group", name=label, exact=True)

    def choose(self, label: str, choice: str) -> None:
        self.question(label).get_by_role("radio", name=choice).check()

    def apply(self) -> None:
        self.panel.get_by_role("button", name="Use what I chose").click()


@pytest.fixture
def bob(node: Node, page_as: Visitor, form: str) -> Editing:
    editing = Editing(node, page_as.html("bob", "Bob Novak", form, record(form)))
    editing.tab.lock()
    return editing


def submitted(tab: Tab) -> dict[str, str]:
    """What a press on Save would send."""
    tab.page.evaluate(
        "window.sent = new Promise((resolve) => document.forms[0].addEventListener('submit',"
        " (event) => { event.preventDefault(); resolve(Object.fromEntries(new FormData(event.target))) }, {once: true})); null"
    )
    tab.page.get_by_role("button", name="Save", exact=True).click()
    sent: dict[str, str] = tab.page.evaluate("window.sent")
    return sent


def test_what_i_did_not_touch_follows_and_what_i_typed_stays(bob: Editing) -> None:
    """U28, U30: Ann's amount comes in place and is told; my half sentence, its caret and my focus stay; my save has the new
    version."""
    tab = bob.tab
    tab.field("note").fill("half a sentence")
    tab.field("note").evaluate("e => e.setSelectionRange(4, 7)")
    bob.saves({"amount": ("120.00", "140.00"), "paid": (False, True)})
    expect(tab.field("amount")).to_have_value("140.00")
    expect(tab.field("paid")).to_be_checked()
    tab.sees("mine", "Saved by Ann Weber: Amount 120.00 → 140.00, Paid no → yes")
    expect(tab.field("note")).to_have_value("half a sentence")
    expect(tab.field("note")).to_be_focused()
    assert tab.field("note").evaluate("e => [e.selectionStart, e.selectionEnd]") == [4, 7]
    expect(bob.panel).to_have_count(0)
    sent = submitted(tab)
    assert (sent["amount"], sent["note"], sent["version"]) == ("140.00", "half a sentence", "4")


def test_nothing_changes_under_the_caret(bob: Editing) -> None:
    """U28: a field that I stand in, untouched so far, gets its new contents when I leave it, and the version waits for that."""
    tab = bob.tab
    tab.field("amount").focus()
    bob.saves({"amount": ("120.00", "140.00")})
    tab.sees("mine", "Saved by Ann Weber: Amount 120.00 → 140.00")
    expect(tab.field("amount")).to_have_value("120.00")
    expect(tab.field("amount")).to_have_attribute("data-form-lock-pending", "")
    expect(tab.field("version")).to_have_value("3")
    tab.field("note").focus()
    expect(tab.field("amount")).to_have_value("140.00")
    expect(tab.field("amount")).not_to_have_attribute("data-form-lock-pending", "")
    expect(tab.field("version")).to_have_value("4")


def test_who_types_on_where_something_waits_is_asked(bob: Editing) -> None:
    """U28: typing in a field that would have followed makes it a question instead of throwing away what was typed."""
    tab = bob.tab
    tab.field("amount").focus()
    bob.saves({"amount": ("120.00", "140.00")})
    tab.sees("mine", "Saved by Ann Weber")
    tab.field("amount").press_sequentially("9")
    expect(bob.question("Amount")).to_contain_text("9120.00")
    expect(tab.field("amount")).to_be_focused()


def test_enter_in_a_field_that_waits_sends_the_newest(bob: Editing) -> None:
    """A submit from an untouched field with the caret in it takes in what waits for it: the record is not set back."""
    tab = bob.tab
    tab.field("amount").focus()
    bob.saves({"amount": ("120.00", "140.00")})
    tab.sees("mine", "Saved by Ann Weber")
    tab.page.evaluate(
        "window.sent = new Promise((resolve) => document.forms[0].addEventListener('submit',"
        " (event) => { event.preventDefault(); resolve(Object.fromEntries(new FormData(event.target))) })); null"
    )
    tab.field("amount").press("Enter")
    sent = tab.page.evaluate("window.sent")
    assert (sent["amount"], sent["version"]) == ("140.00", "4")


def test_both_changed_the_same(bob: Editing) -> None:
    """A real conflict shows what was there, theirs and mine for each field, in one notice, and my text is still in the field."""
    tab = bob.tab
    tab.field("amount").fill("150.00")
    tab.field("note").fill("old\nmine")
    bob.saves({"amount": ("120.00", "140.00"), "note": ("old", "old\nhers"), "paid": (False, True)})
    tab.sees("mine", "Ann Weber changed 2 fields you changed too. Choose below. Also changed: Paid no → yes")
    lines = [line for line in bob.question("Amount").inner_text().split("\n") if line]
    assert lines == ["Amount", "Was: 120.00", "Ann Weber", "140.00", "Yours", "150.00"]
    expect(bob.question("Amount").get_by_role("radio")).to_have_count(2)
    expect(bob.question("Note").get_by_role("radio", name="Both")).to_be_visible()
    expect(tab.field("amount")).to_have_value("150.00")
    expect(tab.field("paid")).to_be_checked()
    expect(tab.field("version")).to_have_value("3")


@pytest.mark.parametrize(
    ("choice", "value"),
    [("Ann Weber", "old\nhers"), ("Yours", "old\nmine"), ("Both", "old\nhers\nmine")],
    ids=["theirs", "mine", "both"],
)
def test_choices_work(bob: Editing, choice: str, value: str) -> None:
    """U29: what is chosen is in the field and in my next save, with the version that the application expects; the same update again,
    and the next one that leaves this field alone, ask nothing."""
    tab = bob.tab
    tab.field("note").fill("old\nmine")
    bob.saves({"note": ("old", "old\nhers")}, id="first")
    bob.choose("Note", choice)
    expect(tab.field("note")).to_have_value("old\nmine")
    bob.apply()
    expect(tab.field("note")).to_have_value(value)
    expect(bob.panel).to_have_count(0)
    tab.sees("mine", "Your next save has what you chose.")
    bob.saves({"note": ("old", "old\nhers")}, version=5)
    bob.saves({"amount": ("120.00", "140.00")}, version=6)
    expect(tab.field("amount")).to_have_value("140.00")
    expect(bob.panel).to_have_count(0)
    sent = submitted(tab)
    assert (sent["note"].replace("\r", ""), sent["version"]) == (value, "6")


def test_a_save_waits_for_the_choice(bob: Editing) -> None:
    """U29: with a question open nothing is sent, the banner says why and the focus is where the answer is given; then it is sent."""
    tab = bob.tab
    tab.field("amount").fill("150.00")
    bob.saves({"amount": ("120.00", "140.00")})
    expect(bob.question("Amount")).to_be_visible()
    tab.page.get_by_role("button", name="Save", exact=True).click()
    tab.sees("mine", "Not saved: choose first for Amount.")
    assert tab.page.url.endswith("test.html")
    expect(bob.question("Amount").get_by_role("radio").first).to_be_focused()
    # The keyboard is enough: arrows walk over the choices and change nothing, the button does.
    tab.page.keyboard.press("ArrowDown")
    expect(bob.question("Amount").get_by_role("radio", name="Yours")).to_be_checked()
    expect(tab.field("version")).to_have_value("3")
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Enter")
    expect(bob.panel).to_have_count(0)
    assert submitted(tab)["version"] == "4"


def test_nothing_moves_under_a_typing_hand(node: Node, page_as: Visitor, form: str) -> None:
    """U28: on a phone the questions come above the form, and go; the field with the caret stays where it is."""
    context = page_as.context(viewport={"width": 390, "height": 500})
    tab = page_as.html("bob", "Bob Novak", form, record(form) + "<p>C</p>" * 60, context=context)
    bob = Editing(node, tab)
    tab.lock()
    tab.field("note").fill("mine")
    tab.page.evaluate("scrollTo(0, 40)")
    place = (
        "e => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(()"
        " => done(Math.round(e.getBoundingClientRect().top)))))"
    )
    before = tab.field("note").evaluate(place)
    bob.saves({"note": ("old", "theirs")})
    expect(bob.question("Note")).to_be_attached()
    assert tab.field("note").evaluate(place) == before
    tab.field("note").evaluate("e => { e.value = 'theirs'; e.dispatchEvent(new Event('input', {bubbles: true})) }")
    expect(bob.panel).to_have_count(0)
    assert tab.field("note").evaluate(place) == before
    expect(tab.field("note")).to_be_focused()


def test_a_question_that_settles_itself_goes_away(bob: Editing) -> None:
    """Once I type what Ann has saved there is nothing left to ask; the version follows."""
    tab = bob.tab
    tab.field("amount").fill("150.00")
    bob.saves({"amount": ("120.00", "140.00")})
    expect(bob.question("Amount")).to_be_visible()
    tab.field("amount").fill("140.00")
    expect(bob.panel).to_have_count(0)
    expect(tab.field("version")).to_have_value("4")


def test_a_newer_update_renews_the_question_and_keeps_other_answers(bob: Editing) -> None:
    """One notice at a time (U29): the second conflict joins the first, and what is ticked already stays ticked."""
    tab = bob.tab
    tab.field("amount").fill("150.00")
    tab.field("note").fill("mine")
    bob.saves({"amount": ("120.00", "140.00")})
    bob.choose("Amount", "Yours")
    bob.saves({"note": ("old", "hers")}, version=5)
    expect(bob.question("Note")).to_be_visible()
    expect(bob.panel).to_have_count(1)
    expect(bob.question("Amount").get_by_role("radio", name="Yours")).to_be_checked()
    bob.saves({"amount": ("140.00", "160.00")}, version=6)
    expect(bob.question("Amount")).to_contain_text("160.00")
    expect(bob.question("Amount").get_by_role("radio", name="Yours")).not_to_be_checked()


def test_numbers_of_a_backend_are_the_texts_of_the_page(bob: Editing) -> None:
    """140 of a change set is "140.00" where the page writes it so, and no conflict with a 140 that I typed."""
    tab = bob.tab
    tab.field("note").focus()
    bob.saves({"amount": (120, 140)})
    expect(tab.field("amount")).to_have_value("140.00")
    tab.field("amount").fill("155")
    bob.saves({"amount": (140, 155), "note": ("old", "new")}, version=5)
    expect(tab.field("note")).to_have_value("new")
    expect(bob.panel).to_have_count(0)
    expect(tab.field("version")).to_have_value("5")


@pytest.mark.parametrize(
    "update", [{"change_set": {"customer_id": [1, 2]}}, {"redacted": ["salary"]}, {}], ids=["unknown", "redacted", "nothing"]
)
def test_what_the_update_does_not_tell_the_page_does(node: Node, page_as: Visitor, form: str, update: dict[str, Any]) -> None:
    """A change set with a name that the form has not, one that was cut, or none at all: values and version are the page's own."""
    pages = iter([record(form), record(form, amount="140.00", note="hers", version=4)])
    tab = page_as.html("bob", "Bob Novak", form, lambda: next(pages))
    tab.lock()
    tab.field("note").fill("mine")
    if "redacted" in update:
        detail = {"form": form, "change_set": {"amount": ["120.00", "130.00"]}, "version": 4} | update
        tab.tell("lock.dispatchEvent(new CustomEvent('updated', {detail: argument}))", detail)
    else:
        node.push({"form": form} | update)
    expect(tab.field("amount")).to_have_value("140.00")
    expect(tab.page.locator("form-lock-choices")).to_contain_text("hers")
    expect(tab.field("note")).to_have_value("mine")


def test_other_rows_than_the_form_has_are_not_forced_into_it(node: Node, page_as: Visitor, form: str) -> None:
    """When the record has other fields by now, my text is kept and the newest waits until I want it (U30)."""
    pages = count(1)
    tab = page_as.html("bob", "Bob Novak", form, lambda: record(form, '<input name="line">' * next(pages)))
    tab.lock()
    tab.field("note").fill("mine")
    node.push({"form": form})
    tab.sees("mine", "This was changed elsewhere. Your text is kept.")
    expect(tab.field("note")).to_have_value("mine")


def test_rows_join(node: Node, page_as: Visitor, form: str) -> None:
    """Of several rows of one name hers and mine come together when they are different ones."""
    tab = page_as.html("bob", "Bob Novak", form, record(form, '<input name="line" value="a"><input name="line" value="b">'))
    tab.lock()
    tab.field("line").nth(1).fill("mine")
    tab.field("note").focus()
    node.push({"form": form, "change_set": {"line": [["a", "b"], ["hers", "b"]]}, "version": 4})
    expect(tab.field("line").first).to_have_value("hers")
    expect(tab.field("line").nth(1)).to_have_value("mine")


def test_the_record_was_deleted(bob: Editing) -> None:
    """Whoever is typing is told that the record is gone, and keeps the text."""
    bob.tab.field("note").fill("mine")
    bob.saves({}, status="deleted")
    bob.tab.sees("mine", "Ann Weber has deleted this. Your text is kept.")
    expect(bob.tab.field("note")).to_have_value("mine")


def test_what_followed_is_not_unsaved(bob: Editing) -> None:
    """Contents that a backend writes with other line ends than a browser are the record all the same."""
    bob.tab.field("amount").focus()
    bob.saves({"note": ("old", "two\r\nlines")})
    expect(bob.tab.field("note")).to_have_value("two\nlines")
    bob.tab.press("Done")
    bob.tab.sees("free")
    expect(bob.tab.banner).not_to_contain_text("Not saved")


def test_a_part_of_the_package_that_does_not_come(node: Node, page_as: Visitor, form: str) -> None:
    """Without the part that merges, typed text stays, and the change is told (U30)."""
    context = page_as.context()
    context.route("**/formlock-merge.js", lambda route: route.abort())
    tab = page_as.html("bob", "Bob Novak", form, record(form), context=context)
    tab.lock()
    tab.field("note").fill("mine")
    Editing(node, tab).saves({"note": ("old", "hers")})
    tab.sees("mine", "This was changed elsewhere. Your text is kept.")
    expect(tab.field("note")).to_have_value("mine")
    tab.excuse("ERR_FAILED", "form-lock: ")  # the browser and we say that the part is missing, with each attempt to load it


def test_who_only_looks_follows(node: Node, page_as: Visitor, form: str) -> None:
    """A form that nobody edits shows what was saved, at once, and my next edit starts from its version."""
    tab = page_as.html("eva", "Eva Lind", form, record(form))
    tab.sees("free")
    tab.page.evaluate("window.same = true")
    Editing(node, tab).saves({"amount": ("120.00", "140.00")})
    expect(tab.field("amount")).to_have_value("140.00")
    expect(tab.field("version")).to_have_value("4")
    tab.sees("free", "Saved by Ann Weber: Amount 120.00 → 140.00")
    assert tab.page.evaluate("window.same") is True


def test_my_save_by_script_is_known_by_its_contents(bob: Editing) -> None:
    """U13: a page that saves by script and a backend that says nothing of tabs: the update with just what I sent is my own save."""
    tab = bob.tab
    tab.page.evaluate("window.told = 0; document.addEventListener('formlock:updated', () => { window.told += 1 }); null")
    tab.field("amount").fill("150")
    submitted(tab)
    tab.field("note").fill("typed on")
    bob.saves({"amount": ("120.00", 150), "updated_at": (1, 2)}, actor={"user": "bob", "name": "Bob Novak"})
    expect(tab.field("version")).to_have_value("4")
    bob.saves({"amount": (150, 160)}, version=5)
    expect(tab.field("amount")).to_have_value("160")
    assert tab.page.evaluate("window.told") == 1, "Ann's only"
    expect(bob.panel).to_have_count(0)
    expect(tab.field("note")).to_have_value("typed on")


def test_my_save_is_known_by_its_id(bob: Editing) -> None:
    """U13: the id that the application answered with, told by `saved({id})`, is my own whatever the update contains."""
    tab = bob.tab
    tab.field("amount").fill("150")
    bind = "const { bindingOf } = await import('/formlock/formlock.js'); const binding = bindingOf(document.forms[0]);"
    tab.tell(bind + "binding.saved({ id: 'my-save', version: 7 })")
    assert tab.field("version").input_value() == "7"
    tab.field("amount").fill("170")
    bob.saves({"amount": ("120.00", "150.00")}, version=8, id="my-save")
    expect(tab.field("version")).to_have_value("8")
    expect(bob.panel).to_have_count(0)
    assert tab.tell(bind + "return binding.dirty") is True
    expect(tab.field("amount")).to_have_value("170")


def test_the_page_may_ask_itself(bob: Editing) -> None:
    """`formlock:conflict` bubbles with what is asked; once cancelled, the page shows it and calls `choose`."""
    tab = bob.tab
    tab.page.evaluate(
        "document.addEventListener('formlock:conflict', (event) => { event.preventDefault(); window.asked = event.detail })"
    )
    tab.field("amount").fill("150.00")
    bob.saves({"amount": ("120.00", "140.00")})
    tab.until("window.asked")
    assert tab.page.evaluate("window.asked.conflicts.map(({name, old, theirs, mine}) => [name, old, theirs, mine])") == [
        ["amount", "120.00", "140.00", "150.00"]
    ]
    expect(bob.panel).to_have_count(0)
    tab.page.evaluate("window.asked.choose('amount', 'theirs')")
    expect(tab.field("amount")).to_have_value("140.00")
    expect(tab.field("version")).to_have_value("4")


def test_a_claim_that_brings_other_contents_asks(page_as: Visitor, form: str) -> None:
    """With lock-on="input" somebody may have saved what I have begun to change: the answer to the claim is merged like an update."""
    markup = record(form).replace("update=", 'lock-on="input" claim-url="/claims" update=')
    context = page_as.context()

    def claim(route: Route) -> None:
        route.fulfill(json={"amount": "140.00", "note": "hers", "version": 4})

    context.route("**/claims", claim)
    tab = page_as.html("bob", "Bob Novak", form, markup, context=context)
    tab.sees("free")
    tab.field("note").press_sequentially("x")
    tab.sees("mine")
    panel = tab.page.locator("form-lock-choices")
    expect(panel).to_contain_text("hers")
    expect(tab.field("amount")).to_have_value("140.00")
    expect(tab.field("version")).to_have_value("3")
    panel.get_by_role("radio", name="Theirs").check()
    panel.get_by_role("button").click()
    expect(tab.field("note")).to_have_value("hers")
    expect(tab.field("version")).to_have_value("4")


def test_a_fragment_is_cut_to_what_the_form_has(node: Node, page_as: Visitor, form: str) -> None:
    """A fragment may bring what a form is made of; what gives a framework orders, loads from elsewhere or opens another form stays
    out, unless just that stands in the form already."""
    known = '<my-field data-controller="sum"></my-field>'
    markup = record(form, known).replace('update="merge"', 'update="replace"')
    tab = page_as.html("bob", "Bob Novak", form, markup)
    tab.sees("free")
    html = (
        '<label for="amount" class="wide" hx-get="/x" data-hx-on:click="y" x-data="{}" data-action="click->pay"'
        ' @click="y">Amount</label>'
        '<input name="amount" id="amount" value="150.00" data-controller="other" formaction="/steal" form="other"'
        ' style="color:red" autofocus>'
        '<my-field data-controller="sum">kept</my-field><other-field>words stay</other-field><svg><script>1</script></svg>'
        '<img src="https://elsewhere.example/x.png" alt="x"><template><b>no</b></template><!-- no -->'
        '<p form-lock="x" data-form-lock="open">text</p>'
        '<a href="javascript:1">a</a><a href="/here">b</a><math><mtext></mtext></math>'
    )
    node.push({"form": form, "representation": html})
    expect(tab.field("amount")).to_have_value("150.00")
    inside = tab.page.locator("form").evaluate(
        "(form) => { const names = (e) => [...e.attributes].map((a) => a.name);"
        " const own = (n) => !n.startsWith('data-form-lock') && n !== 'readonly';"
        " return [...form.querySelectorAll('*:not([data-form-lock-token])')]"
        ".map((e) => [e.localName, ...names(e).filter(own).sort()].join(' ')) }"
    )
    wanted = ["label class for", "input id name value", "my-field data-controller", "img alt", "p", "a", "a href"]
    assert inside == wanted
    assert "words stay" in tab.page.locator("form").inner_text()
    # What Chromium says while it parses: handlers and styles of the fragment are blocked by the page's policy.
    tab.excuse("violates", "has been blocked")
