"""Pictures of people, where the page has some: in the banner, in lists and in badges. Initials where it has none."""

from __future__ import annotations

import base64
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.browser.conftest import Tab, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.node]

DOT = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
META = '<meta name="form-lock-picture" content="/avatars/{user}.png">'


class Album:
    """Serves pictures of some, and notes of whom one was asked for."""

    def __init__(self, page_as: Visitor, form: str, meta: str = META) -> None:
        self.page_as, self.form, self.meta = page_as, form, meta
        self.asked: list[str] = []

    def open(self, user: str, name: str) -> Tab:
        context = self.page_as.context()
        context.route("**/avatars/*", self.serve)
        markup = (
            f'{self.meta}<form form-lock="{self.form}"><input name="x"></form><form-lock-badge for="{self.form}"></form-lock-badge>'
            f'<ul form-lock-list="test"><li form-lock-item="{self.form}"><span form-lock-mark></span></ul>'
        )
        return self.page_as.html(user, name, self.form, markup, context=context)

    def serve(self, route: Route) -> None:
        path = urlsplit(route.request.url).path
        self.asked.append(path)
        if "eva" in path:
            route.fulfill(status=404)
        else:
            route.fulfill(content_type="image/png", body=DOT)


def pictures(tab: Tab) -> list[Locator]:
    """In the banner, in the badge and in the list."""
    return [
        tab.banner.locator("[part=picture] img"),
        tab.page.locator("form-lock-badge img"),
        tab.page.locator("[form-lock-mark] img"),
    ]


def test_who_edits_is_shown_by_a_picture(page_as: Visitor, form: str) -> None:
    """U18: the address has the user's id in it, encoded; the picture says nothing of its own beside the name, and nobody
    else's is asked for."""
    album = Album(page_as, form)
    ann, bob = album.open("ann@example.com", "Ann Weber"), album.open("bob", "Bob Novak")
    ann.lock()
    bob.sees("locked", "Ann Weber is editing.")
    for picture in pictures(bob):
        expect(picture).to_have_attribute("data-shown", "")
        expect(picture).to_have_attribute("alt", "")
        expect(picture).to_have_attribute("src", "/avatars/ann%40example.com.png")
    expect(ann.banner.locator("[part=viewer] img")).to_have_attribute("src", "/avatars/bob.png")
    ann.press("Done")
    bob.sees("free")
    bob.lock()
    ann.sees("locked", "Bob Novak")
    for picture in pictures(ann):
        expect(picture).to_have_attribute("src", "/avatars/bob.png")
    assert set(album.asked) == {"/avatars/ann%40example.com.png", "/avatars/bob.png"}


def test_initials_where_there_is_no_picture(page_as: Visitor, form: str) -> None:
    """Somebody without a picture is shown by initials, in the colour that is theirs, and nothing broken is left."""
    album = Album(page_as, form)
    eva, bob = album.open("eva", "Eva Lind"), album.open("bob", "Bob Novak")
    with bob.page.expect_response("**/avatars/eva.png"):
        eva.lock()
    bob.sees("locked", "Eva Lind is editing.")
    for picture in pictures(bob):
        expect(picture).to_have_count(0)
    expect(bob.banner.locator("[part=picture]")).to_have_text("EL")
    for tab in (eva, bob):
        tab.excuse("status of 404")


def test_a_page_without_pictures_asks_for_none(page_as: Visitor, form: str) -> None:
    """Without the meta element there are initials, as ever, and no request."""
    album = Album(page_as, form, meta="")
    ann, bob = album.open("ann", "Ann Weber"), album.open("bob", "Bob Novak")
    ann.lock()
    bob.sees("locked", "Active now")
    expect(bob.banner.locator("[part=picture]")).to_have_text("AW")
    for picture in pictures(bob):
        expect(picture).to_have_count(0)
    assert album.asked == []
