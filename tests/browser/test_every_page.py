"""Every page there is, wide and narrow, light and dark: a checker finds nothing wrong in it, and nothing sticks out."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Invoices, Open, Tab, Visitor
from tests.browser.looks import Looks
from tests.support.node import Node

# Each look at a page is four runs of the checker and five pictures.
pytestmark = [pytest.mark.browser, pytest.mark.node, pytest.mark.timeout(300)]

ANN = {"user": "ann", "name": "Ann Weber"}
LONG = "Dr. Maximiliane-Theodora von Hohenlohe-Waldenburg-Schillingsfürst, Außenstelle Nordrhein-Westfalen"


def dressed(content: str, attributes: str = "") -> str:
    """A page of a test's own in the style of the demo's."""
    return (
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f'<link rel="stylesheet" href="/page.css"><main {attributes}><h1>Invoice 42</h1>{content}</main>'
    )


def record(form: str, attributes: str = "") -> str:
    return dressed(
        f'<form class="card" form-lock="{form}" {attributes}><label>Amount <input name="amount" value="120.00"></label>'
        '<label>Paid <select name="paid"><option>no</option><option>yes</option></select></label>'
        '<label class="wide">Note <textarea name="note" rows="3">old</textarea></label>'
        '<p class="wide"><button>Save</button></p></form>'
    )


# -- the invoices


def test_invoices(invoices: Invoices, looks: Looks) -> None:
    """The invoices application: list, form, an entry with mistakes, a refused save, a new one, a page that is not there (U26)."""
    ann, bob, eva = invoices.form("ann", 39), invoices.form("bob", 39), invoices.list("eva")
    ann.sees("free")
    looks.at(ann.page, "invoices-free")
    ann.lock()
    bob.sees("locked", "Active now")
    expect(eva.page.locator("table")).to_contain_text("Ann Weber is editing")
    looks.at(ann.page, "invoices-mine")
    looks.at(bob.page, "invoices-locked")
    looks.at(eva.page, "invoices-list")
    ann.field("amount").fill("12,5")
    ann.field("customer").fill("")
    save(ann)
    expect(ann.page.locator(".problem").first).to_be_visible()
    ann.sees("mine")
    looks.at(ann.page, "invoices-mistakes")
    ann.field("amount").fill("12.5")
    ann.field("customer").fill("Kowalski Transport")
    ann.field("version").evaluate("field => { field.value = '0' }")
    save(ann)
    expect(ann.page.locator(".comparison")).to_be_visible()
    looks.at(ann.page, "invoices-refused")
    ann.page.get_by_role("link", name="Edit again").click()
    ann.sees("mine")
    ann.field("amount").fill("12.50")
    save(ann)
    expect(ann.page).to_have_url(re.compile(r"/invoices/ann/$"))
    looks.at(ann.page, "invoices-after-a-save")
    eva.page.get_by_role("link", name="New invoice").click()
    expect(eva.page).to_have_url(re.compile(r"/new$"))
    looks.at(eva.page, "invoices-new")
    eva.page.goto(eva.page.url.replace("/new", "/100000"))
    looks.at(eva.page, "invoices-not-there")
    forget(ann, 422, 409)
    forget(eva, 404)


def save(tab: Tab) -> None:
    tab.page.get_by_role("button", name="Save", exact=True).click()


def forget(tab: Tab, *statuses: int) -> None:
    """A page that was answered with an error status is an error in Chromium's console: expected here."""
    tab.excuse(*(f"status of {status}" for status in statuses))


def test_without_javascript(invoices: Invoices, page_as: Visitor, looks: Looks) -> None:
    """The page in a browser without JavaScript: free, edited, with a mistake, and refused because somebody else edits (U21, U26)."""
    context = page_as.context(java_script_enabled=False)
    ann, eva = invoices.form("ann", 40, context=context), invoices.form("eva", 40)
    page = ann.page

    def look(name: str) -> None:
        looks.at(page, name, scripts=False)

    eva.sees("free")
    look("plain-free")
    edit = page.get_by_role("button", name="Edit without JavaScript")
    edit.click()
    expect(page.get_by_text("You are editing, for 15 minutes")).to_be_visible()
    look("plain-mine")
    page.get_by_label("Amount").fill("12,5")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".problem")).to_be_visible()
    look("plain-mistakes")
    eva.sees("locked", "Ann Weber is editing")
    looks.at(eva.page, "locked-by-plain-http")
    page.get_by_role("button", name="Cancel").click()
    eva.lock()
    page.goto(f"{page.url.rpartition('/')[0]}/40")
    edit.click()
    expect(page.get_by_text("Eva Lind is editing this invoice now.")).to_be_visible()
    look("plain-refused")
    forget(ann, 409, 422)


def test_side_by_side(invoices: Invoices, looks: Looks) -> None:
    """The demo with two frames (U26)."""
    demo = invoices.page("demo")
    for name in ("Ann Weber", "Bob Novak"):
        banner = demo.page.frame_locator(f'iframe[title*="{name}"]').locator("form-lock")
        expect(banner).to_have_attribute("state", "free")
    looks.at(demo.page, "side-by-side")


# -- the demo's page, and what stands under the banner


def test_start(page_as: Visitor, looks: Looks) -> None:
    """The page at `/`, free and edited, and with the questions open that go to somebody else (U26)."""
    ann, bob = page_as("ann"), page_as("bob")
    ann.sees("free")
    looks.at(ann.page, "start-free")
    ann.lock()
    bob.sees("locked", "Active now")
    looks.at(ann.page, "start-mine")
    for button in ("Ask to release", "Take over"):
        bob.press(button)
        expect(bob.page.locator("form-lock-say")).to_be_visible()
        looks.at(bob.page, f"start-{button.lower().replace(' ', '-')}")
        bob.page.keyboard.press("Escape")


def test_choices(node: Node, page_as: Visitor, form: str, looks: Looks) -> None:
    """The choice between what two people have changed (U26, U28)."""
    bob = page_as.html("bob", "Bob Novak", form, record(form, 'update="merge"'))
    bob.lock()
    bob.field("amount").fill("130.00")
    bob.field("note").fill("what I have written\nin two lines")
    node.push({"form": form, "change_set": {"amount": ["120.00", "140.00"], "note": ["old", "what Ann wrote"]}, "actor": ANN})
    expect(bob.page.locator("form-lock-choices")).to_contain_text("140.00")
    looks.at(bob.page, "choices")


def test_drafts(page_as: Visitor, form: str, looks: Looks) -> None:
    """The offer of text that was not saved, after a loss (U26, U34)."""
    ann, bob = (page_as.html(user, name, form, record(form)) for user, name in (("ann", "Ann Weber"), ("bob", "Bob Novak")))
    ann.lock()
    ann.field("note").fill("Half a sentence that nobody has saved")
    bob.sees("locked", "Active now")
    bob.press("Take over")
    bob.page.keyboard.type("urgent correction")
    bob.page.keyboard.press("Enter")
    bob.sees("mine")
    ann.sees("lost", "took over")
    ann.press("Show my changes")
    expect(ann.page.locator("form-lock-draft")).to_contain_text("Half a sentence")
    looks.at(ann.page, "draft")
    ann.tell("await lock.forgetDraft()")


def test_a_claim_that_fails(page_as: Visitor, form: str, looks: Looks) -> None:
    """What the banner says when the application gives the record to nobody (U26)."""
    context = page_as.context()
    context.route("**/claim", lambda route: route.fulfill(status=409))
    ann = page_as.html("ann", "Ann Weber", form, record(form, 'claim-url="/claim"'), context=context)
    ann.sees("free")
    ann.press("Edit")
    ann.sees("free", "try again")
    looks.at(ann.page, "claim-failed")
    ann.excuse("the claim failed", "status of 409")


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
def test_long_names_and_both_directions(page_as: Visitor, form: str, looks: Looks, direction: str) -> None:
    """Names that fill lines, and a page that is read from right to left: banner, list and badge (U26, U31)."""
    content = (
        f'<form class="card" form-lock="{form}"><label>Amount <input name="amount" value="1"></label></form>'
        '<table form-lock-list="test"><thead><tr><th scope="col">No.<th scope="col">Now<tbody>'
        f'<tr form-lock-item="{form}"><th scope="row">42<td><span form-lock-mark></span></table>'
        f'<p>Now: <form-lock-badge for="{form}"></form-lock-badge></p>'
    )
    markup = dressed(content, f'dir="{direction}"')
    ann, bob = page_as.html("ann", LONG, form, markup), page_as.html("bob", LONG.replace("Max", "Nax"), form, markup)
    ann.lock()
    bob.sees("locked", "Active now")
    expect(bob.page.locator("form-lock-badge")).to_contain_text("is editing")
    looks.at(bob.page, f"long-names-{direction}")


def test_the_banner_has_its_place(page_as: Visitor) -> None:
    """Narrow and wide, nothing below the banner moves when somebody comes, edits, or waits in line (U26, U29)."""
    for width in (1280, 390):
        ann, bob = (page_as(user, viewport={"width": width, "height": 900}) for user in ("ann", "bob"))
        ann.sees("free", "")
        expect(ann.banner.locator("[part=viewer]")).to_have_count(1)
        heights = [height(ann)]
        ann.lock()
        heights.append(height(ann))
        bob.sees("locked", "Active now")
        heights.append(height(bob))
        bob.press("Wait for my turn")
        bob.sees("queued")
        heights.append(height(bob))
        assert len(set(heights)) == 1, (width, heights)
        bob.press("Leave the line")
        ann.press("Done")
        for tab in (ann, bob):
            tab.page.close()


def height(tab: Tab) -> float:
    box = tab.banner.locator("[part=banner]").bounding_box()
    assert box
    return box["height"]


def test_what_stands_in_the_banner_for_others(page_as: Visitor, form: str) -> None:
    """What a page has written into <form-lock> for browsers without scripts is seen neither beside the banner nor read out; what we
    put there ourselves is (U21)."""
    markup = f'<form-lock for="{form}"><p>The lock has not loaded.</p></form-lock>' + record(form)
    ann, bob = page_as.html("ann", "Ann Weber", form, markup), page_as.html("bob", "Bob Novak", form, markup)
    ann.lock()
    expect(ann.page.get_by_text("has not loaded")).to_be_hidden()
    bob.sees("locked", "Active now")
    bob.press("Ask to release")
    expect(bob.page.locator("form-lock-say")).to_be_visible()
    plain = page_as.html("ann", "Ann Weber", form, markup, context=page_as.context(java_script_enabled=False))
    expect(plain.page.get_by_text("has not loaded")).to_be_visible()


@pytest.mark.parametrize("width", [1280, 390])
def test_frames_show_the_form_whole(invoices: Invoices, page_as: Visitor, width: int) -> None:
    """In the demo with two frames the row with Save and Cancel is seen without scrolling in a frame, wide and narrow (U26)."""
    demo = invoices.page("demo", context=page_as.context(viewport={"width": width, "height": 4000}))
    for name in ("Ann Weber", "Bob Novak"):
        frame = demo.page.frame_locator(f'iframe[title*="{name}"]')
        expect(frame.get_by_role("button", name="Save", exact=True)).to_be_in_viewport(ratio=1)


# -- the examples with frameworks


@pytest.mark.parametrize("name", ["react", "stimulus"])
def test_components(example: Open, looks: Looks, name: str) -> None:
    """React and Stimulus: free, edited, and edited by somebody else (U26)."""
    ann, bob = example("ann", name), example("bob", name)
    for tab in (ann, bob):
        expect(tab.page.locator("[role=status]:visible")).to_contain_text("Nobody is editing")
    looks.at(ann.page, f"{name}-free")
    ann.page.get_by_role("button", name="Edit", exact=True).click()
    expect(ann.page.locator("[role=status]:visible")).to_contain_text("You are editing")
    expect(bob.page.locator("[role=status]:visible")).to_contain_text("Ann is editing")
    looks.at(ann.page, f"{name}-mine")
    looks.at(bob.page, f"{name}-locked")


@pytest.mark.parametrize("name", ["htmx", "turbo"])
def test_pages_that_are_swapped(example: Open, looks: Looks, name: str) -> None:
    """htmx and Turbo: the start, the form free and edited by somebody else (U26)."""
    ann, bob = example("ann", name), example("bob", name)
    looks.at(ann.page, f"{name}-start")
    for tab in (ann, bob):
        tab.page.get_by_text(re.compile(r"^(Open i|I)nvoice 42$")).click()
        tab.sees("free")
    looks.at(ann.page, f"{name}-free")
    ann.lock()
    bob.sees("locked", "Ann is editing")
    looks.at(ann.page, f"{name}-mine")
    looks.at(bob.page, f"{name}-locked")
