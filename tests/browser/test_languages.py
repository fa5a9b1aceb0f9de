"""The banner on a telephone, in each of its languages and from right to left: every state says all, and nothing sticks out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import Tab, Visitor
from tests.browser.looks import NARROW, outside
from tests.browser.test_pictures import WAYS

pytestmark = [pytest.mark.browser, pytest.mark.node, pytest.mark.timeout(300)]

# What is pressed and waited for, in English; a page from right to left has these too, for we speak no language of those.
ENGLISH: dict[str, Any] = {
    "activeNow": "Active now.",
    "ask": "Ask to release",
    "edit": "Edit",
    "keep": "Keep 5 min more",
    "next": "You are next in line.",
    "showMine": "Show my changes",
    "takeOver": "Take over",
    "wait": "Wait for my turn",
}
UPDATE = {
    "actor": {"user": "eva", "name": "Eva Lindström"},
    "change_set": {"amount": ["120.00", "140.00"], "note": ["old", "Bezahlt, płatne, payé, pagado"]},
}


def page(form: str, language: str) -> str:
    direction = "rtl" if language == "ar" else "ltr"
    return (
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/page.css">'
        f'<main lang="{language}" dir="{direction}"><form class="card" form-lock="{form}" lock-note="+49 30 123456" update="merge">'
        '<label>A <input name="amount" value="120.00"></label><label>B <textarea name="note">old</textarea></label></form></main>'
    )


@pytest.mark.parametrize("language", ["de", "es", "fr", "pl", "ar"])
def test_every_state(page_as: Visitor, form: str, screenshots: Path, language: str) -> None:
    """Every state of the banner, its questions, choices and drafts are whole at the width of any telephone (U26, U31)."""
    ann, bob, eva = (
        page_as.html(
            name.split()[0].lower(),
            name,
            form,
            page(form, language),
            context=page_as.context(viewport={"width": NARROW[0], "height": 900}, reduced_motion="reduce"),
        )
        for name in ("Ann Weber", "Bob Nowak-Wiśniewski", "Eva Lindström")
    )
    words = ENGLISH
    if language != "ar":
        told = "async (language) => JSON.parse(JSON.stringify((await import(`/formlock/formlock-${language}.js`)).default))"
        words = ann.page.evaluate(told, language)
    wrong: list[str] = []

    def look(tab: Tab, name: str, state: str, word: str = "") -> None:
        tab.sees(state, words.get(word, word))
        for width in reversed(NARROW):
            tab.page.set_viewport_size({"width": width, "height": 900})
            wrong.extend(f"{name}, {width}: {found}" for found in outside(tab.page))
            tab.banner.screenshot(path=screenshots / f"language-{language}-{width}-{name}.png")

    look(ann, "free", "free")
    ann.press(words["edit"])
    look(ann, "mine", "mine")
    look(bob, "locked", "locked", "activeNow")
    bob.press(words["ask"])
    look(bob, "question", "locked")
    bob.page.keyboard.type("+49 30 7654321")
    bob.page.keyboard.press("Enter")
    look(ann, "asked", "asked", "7654321")
    bob.press(words["wait"])
    look(bob, "next", "queued", "next")
    eva.press(words["wait"])
    look(eva, "queued", "queued", "2")
    ann.press(words["keep"])
    ann.sees("mine")
    look(bob, "kept", "queued", "5")
    ann.field("amount").fill("130.00")
    ann.field("note").fill("Half a sentence that nobody has saved")
    ann.tell("lock.dispatchEvent(new CustomEvent('updated', {detail: {form: lock.form, ...argument}}))", UPDATE)
    expect(ann.page.locator("form-lock-choices")).to_contain_text("140.00")
    look(ann, "choices", "mine", "Eva Lindström")
    for state in ("stale", "offline"):
        ann.tell(WAYS[state])
        look(ann, state, state)
        ann.page.reload()
        ann.sees("mine")
    ann.field("note").fill("Half a sentence that nobody has saved")
    eva.press(words["takeOver"])
    look(eva, "taking-over", "queued")
    eva.page.keyboard.type("+49 30 123321")
    eva.page.keyboard.press("Enter")
    eva.sees("mine")
    look(ann, "lost", "lost", "123321")
    ann.press(words["showMine"])
    expect(ann.page.locator("form-lock-draft")).to_contain_text("Half a sentence")
    expect(ann.page.locator("form-lock-draft")).to_contain_text(words.get("merge", {"copy": "Copy"})["copy"])
    look(ann, "draft", "lost")
    eva.tell(WAYS["lost"])
    look(eva, "lost-by-itself", "lost")
    ann.tell("await lock.forgetDraft()")
    assert not wrong, "\n".join(wrong)


def test_words_that_come_late(page_as: Visitor, form: str) -> None:
    """Choices speak the page's language also when they are needed before its words have come (U31)."""
    context = page_as.context()
    held: list[Route] = []
    context.route("**/formlock-de*", lambda route: held.append(route))
    ann = page_as.html("ann", "Ann", form, page(form, "de"), context=context)
    with ann.page.expect_response("**/formlock-merge*"):
        ann.tell("lock.lock()")
        ann.sees("mine")
        ann.field("amount").fill("130.00")
        ann.tell("lock.dispatchEvent(new CustomEvent('updated', {detail: {form: lock.form, ...argument}}))", UPDATE)
    ann.page.evaluate("import('/formlock/formlock-merge.js').then(() => {})")
    for route in held:
        route.continue_()
    expect(ann.page.locator("form-lock-choices")).to_contain_text("Mein Stand")
    expect(ann.banner).to_contain_text("Wählen Sie unten.")


def test_a_language_that_is_not_ours(page_as: Visitor, form: str) -> None:
    """There it is English, and says so to what reads it out; its times are English too. The page's own words come before (U31)."""
    ann, bob = page_as.html("ann", "Ann", form, page(form, "ar")), page_as.html("bob", "Bob", form, page(form, "ar"))
    ann.lock()
    bob.sees("locked", "Active now")
    expect(bob.banner).to_have_attribute("lang", "en")
    # Sentences end on their own right, and stand on the page's side.
    for part in ("text", "note"):
        expect(bob.banner.locator(f"[part={part}]").first).to_have_css("text-align", "right")
        expect(bob.banner.locator(f"[part={part}]").first).to_have_css("unicode-bidi", "plaintext")
    bob.press("Ask to release")
    bob.page.keyboard.press("Enter")
    expect(bob.banner).to_contain_text("it is free in")
    expect(bob.banner).to_contain_text("sec.")
    bob.page.evaluate("async () => (await import('/formlock/formlock.js')).texts({ activeNow: 'نشط' }, 'ar')")
    expect(bob.banner).to_have_attribute("lang", "ar")
    expect(bob.banner).to_contain_text("نشط")
