"""The banner on a telephone, in each of its languages and from right to left: every state says all, and nothing sticks out."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Tab, Visitor
from tests.browser.looks import NARROW, outside
from tests.browser.test_pictures import WAYS

pytestmark = [pytest.mark.browser, pytest.mark.node]

LANGUAGES = ("de", "es", "fr", "pl")
# A page that is read from right to left speaks English, for we have no language of those.
ALL = (*LANGUAGES, "ar")
UPDATE = {
    "actor": {"user": "eva", "name": "Eva Lindström"},
    "change_set": {"amount": ["120.00", "140.00"], "note": ["old", "Rechnung bezahlt"]},
}


def page(form: str) -> str:
    return (
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/page.css">'
        f'<main><form class="card" form-lock="{form}" lock-note="Am Telefon" update="merge">'
        '<label>A <input name="amount" value="120.00"></label><label>B <textarea name="note">old</textarea></label></form></main>'
    )


def speak(tab: Tab, language: str) -> None:
    """As if the page had been made in that language."""
    english = tab.banner.locator("[part=text]").inner_text()
    tab.page.evaluate(
        "async (language) => {"
        " const { texts } = await import('/formlock/formlock.js');"
        " document.documentElement.lang = language; document.documentElement.dir = language === 'ar' ? 'rtl' : 'ltr';"
        " texts({}); }",
        language,
    )
    if language in LANGUAGES:
        expect(tab.banner.locator("[part=text]")).not_to_have_text(english, use_inner_text=True)


def test_every_state(page_as: Visitor, form: str, screenshots: Path) -> None:
    """On a telephone every state of the banner, its questions, choices and drafts are whole in each language (U26, U31)."""
    small = {"viewport": {"width": NARROW[0], "height": 900}, "reduced_motion": "reduce"}
    ann, bob, eva = (
        page_as.html(name.split()[0].lower(), name, form, page(form), context=page_as.context(**small))
        for name in ("Ann Weber", "Bob Nowak-Wiśniewski", "Eva Lindström")
    )

    def look(tab: Tab, name: str, state: str, text: str = "") -> None:
        """In all languages and widths, then in English again."""
        tab.sees(state, text)
        for language in ALL:
            speak(tab, language)
            for width in NARROW:
                tab.page.set_viewport_size({"width": width, "height": 900})
                assert not (found := outside(tab.page)), f"{name}, {language}, {width}: {found}"
                tab.banner.screenshot(path=screenshots / f"language-{language}-{width}-{name}.png")
        tab.page.set_viewport_size({"width": NARROW[0], "height": 900})
        speak(tab, "en")
        tab.sees(state, text)

    look(ann, "free", "free")
    ann.lock()
    look(ann, "mine", "mine")
    look(bob, "locked", "locked", "Active now")
    bob.press("Ask to release")
    look(bob, "question", "locked")
    bob.page.keyboard.type("Nur die Adresse")
    bob.page.keyboard.press("Enter")
    look(ann, "asked", "asked", "Nur die Adresse")
    look(bob, "asking", "locked", "If nobody answers")
    bob.press("Wait for my turn")
    look(bob, "next", "queued", "You are next in line.")
    eva.press("Wait for my turn")
    look(eva, "queued", "queued", "You are 2nd in line.")
    ann.press("Keep 5 min more")
    ann.sees("mine")
    look(bob, "kept", "queued", "needs it for 5 min more")
    ann.field("amount").fill("130.00")
    ann.field("note").fill("Half a sentence that nobody has saved")
    ann.tell("lock.dispatchEvent(new CustomEvent('updated', {detail: {form: lock.form, ...argument}}))", UPDATE)
    look(ann, "choices", "mine", "you changed too")
    for state in ("stale", "offline"):
        ann.tell(WAYS[state])
        look(ann, state, state)
        ann.page.reload()
        ann.sees("mine")
    ann.field("note").fill("Half a sentence that nobody has saved")
    eva.press("Take over")
    look(eva, "taking-over", "queued")
    eva.page.keyboard.type("dringende Korrektur")
    eva.page.keyboard.press("Enter")
    eva.sees("mine")
    look(ann, "lost", "lost", "took over")
    ann.press("Show my changes")
    expect(ann.page.locator("form-lock-draft")).to_contain_text("Half a sentence")
    look(ann, "draft", "lost", "took over")
    eva.tell(WAYS["lost"])
    look(eva, "lost-by-itself", "lost")
    ann.tell("await lock.forgetDraft()")
