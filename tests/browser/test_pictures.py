"""Pictures of every state, for people to look at: light and dark, wide and narrow."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from tests.browser.conftest import Visitor

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
    """Every state is shown with an icon, a colour and a text."""
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}, "reduced_motion": "reduce"}
    ann, bob = page_as("ann", **options), page_as("bob", **options)

    def picture(state: str, name: str = "") -> None:
        tab = bob if state == "locked" else ann
        tab.sees(state)
        assert tab.banner.get_by_role("status").inner_text().strip()
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
        tab.page.screenshot(path=screenshots / f"{name or state}-{scheme}-{width}.png", full_page=True)

    ann.sees("free")
    picture("free")
    ann.tell("lock.dispatchEvent(new CustomEvent('updated', {detail: argument}))", UPDATE)
    picture("free", "updated")
    ann.lock()
    picture("mine")
    picture("locked")
    ann.tell(
        "lock.dispatchEvent(new CustomEvent('updated', {detail: argument}))",
        UPDATE | {"change_set": {"amount": ["140.00", "160.00"]}},
    )
    picture("mine", "mine-updated")
    for state, script in WAYS.items():
        ann.tell(script)
        picture(state)
        if state != "lost":
            ann.page.reload()
            ann.sees("mine")
