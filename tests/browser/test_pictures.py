"""Pictures of every state, for people to look at: light and dark, wide and narrow, and one that is read from right to left."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Tab, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.node]

# From `mine` to the state, as the line or the service would bring it about.
WAYS = {
    "stale": "client.supervisor.stop(); lock.input({type: 'disconnected', silent: true})",
    "offline": "client.supervisor.stop(); lock.input({type: 'offline'}); lock.input({type: 'disconnected', silent: true})",
    "lost": "client.supervisor.send(client.uris.procedure('unlock'),"
    " {form: lock.form, token: lock.token, tab: client.tab.id, rid: 'x'})",
}
UPDATE = {"change_set": {"amount": ["120.00", "140.00"]}, "representation": {"amount": "140.00"}}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pictures(page_as: Visitor, screenshots: Path, scheme: Literal["light", "dark"], width: int) -> None:
    """Every state is shown with an icon, a colour and a text, and nothing sticks out of the page (U26, U31)."""
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}, "reduced_motion": "reduce"}
    ann, bob, eva = (page_as(user, **options) for user in ("ann", "bob", "eva"))

    def picture(tab: Tab, state: str, name: str = "") -> None:
        tab.sees(state)
        assert tab.banner.locator("[part=text]").inner_text().strip()
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
        tab.page.screenshot(path=screenshots / f"{name or state}-{scheme}-{width}.png", full_page=True)

    picture(ann, "free")
    ann.tell("lock.dispatchEvent(new CustomEvent('updated', {detail: argument}))", UPDATE)
    expect(ann.banner).to_contain_text("140.00")
    picture(ann, "free", "updated")
    ann.lock()
    picture(ann, "mine")
    bob.sees("locked", "Active now")
    picture(bob, "locked")
    ann.tell(
        "lock.dispatchEvent(new CustomEvent('updated', {detail: argument}))",
        UPDATE | {"change_set": {"amount": ["140.00", "160.00"]}},
    )
    expect(ann.banner).to_contain_text("Your text is kept")
    picture(ann, "mine", "mine-updated")
    for state in ("stale", "offline"):
        ann.tell(WAYS[state])
        picture(ann, state)
        ann.page.reload()
        ann.sees("mine")
    bob.sees("locked", "Active now")
    bob.press("Ask to release")
    picture(bob, "locked", "asking")
    bob.page.keyboard.type("Just the address")
    bob.page.keyboard.press("Enter")
    expect(ann.banner).to_contain_text("Just the address")
    picture(ann, "asked")
    eva.press("Wait for my turn")
    picture(eva, "queued")
    ann.press("Keep 5 min more")
    ann.sees("mine")
    ann.field("address").fill("Half a sentence that nobody has saved")
    bob.press("Take over")
    picture(bob, "locked", "taking-over")
    bob.page.keyboard.type("urgent correction")
    bob.page.keyboard.press("Enter")
    bob.sees("mine")
    expect(ann.banner).to_contain_text("urgent correction")
    picture(ann, "lost", "lost-taken-over")
    bob.tell(WAYS["lost"])
    picture(bob, "lost")
    ann.tell("await lock.forgetDraft()")  # else it is offered wherever Ann edits this form


def test_right_to_left(page_as: Visitor, form: str, screenshots: Path) -> None:
    """In a page that is read from right to left the icon stands on the right, the buttons on the left (U31)."""
    markup = f'<main dir="rtl"><form form-lock="{form}"><label>a <input name="a"></label></form></main>'
    ann, bob = page_as.html("ann", "Ann Weber", form, markup), page_as.html("bob", "Bob Novak", form, markup)
    ann.lock()
    bob.sees("locked", "Active now")
    bob.page.screenshot(path=screenshots / "right-to-left.png")
    icon, button = (bob.banner.locator(f"[part={part}]").first.bounding_box() for part in ("icon", "button"))
    assert icon
    assert button
    assert icon["x"] > button["x"]
