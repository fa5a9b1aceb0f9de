"""Which right a form's policy asks for, in the component itself: no router, a fake clock, and claims of the test's own."""

from __future__ import annotations

from typing import Any

import pytest
from autobahn.wamp.types import ComponentConfig

from formlock.claims import Claims, Grant, Right
from formlock.errors import NotAllowed
from formlock.locks import LockComponent
from formlock.policies import parse
from formlock.ready import PROCEDURES
from formlock.receipts import Signer
from formlock.service import LockService
from formlock.stores.memory import MemoryStore
from formlock.testing import FakeClock
from formlock.wamp import Call

GUARDED, PLAIN = "com.example.form.guarded.1", "com.example.form.plain.1"
POLICY = """
[forms.guarded]
lock_right = "admin"
takeover_right = "admin"
reserve_right = "admin"
"""


class Book:
    """Instead of ClaimsBook: the sessions are the test's."""

    def __init__(self) -> None:
        self.claims: dict[int, Claims] = {}

    async def of(self, session: int) -> Claims:
        return self.claims[session]


class Component:
    """A LockComponent whose calls are made by hand; `rights` of each user on all forms."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.component = LockComponent(ComponentConfig("formlock", {}))
        self.book = Book()
        self.sessions = 0
        self.written = parse(POLICY)
        made: Any = self.component
        made._clock, made._claims, made._signer = self.clock, self.book, Signer("k" * 32)
        made.tell = lambda *_, **__: None
        store = MemoryStore("e", self.clock.wall())
        made._service = LockService(store, self.clock, self, lambda *_: None, lambda *_: None)
        self.clock.run(made._service.start(()))

    def of(self, form: Any) -> Any:
        """The policies, as the file has them at this moment."""
        return self.written.of(form)

    def user(self, name: str, *rights: Right) -> int:
        self.sessions += 1
        self.book.claims[self.sessions] = Claims(name, name.title(), grants=(Grant("*", frozenset(rights)),))
        return self.sessions

    def call(self, name: str, session: int, **arguments: Any) -> Any:
        call = Call(f"com.example.formlock.{name}", [], arguments, session)
        return self.clock.run(getattr(self.component, f"_{name}")(call))

    def refused(self, name: str, session: int, **arguments: Any) -> object:
        """The right that is missing."""
        with pytest.raises(NotAllowed) as error:
            self.call(name, session, **arguments)
        return error.value.facts["right"]


@pytest.fixture
def component() -> Component:
    return Component()


def test_readiness_asks_what_is_registered_last(component: Component) -> None:
    """So that none is missing when a node says that it is ready."""
    assert list(component.component._procedures())[-1] == PROCEDURES["locks"]


def test_locking_and_asking_need_what_the_policy_says(component: Component) -> None:
    """The right `lock` is enough for the forms whose policy says nothing else, also of several at once."""
    editor, chief = component.user("ann", "lock"), component.user("eva", "lock", "admin")
    assert component.call("lock", editor, form=PLAIN, tab="a")["event"] == "lock"
    assert component.refused("lock", editor, form=GUARDED, tab="a") == "admin"
    assert component.refused("lock", editor, forms=[PLAIN, GUARDED], tab="a") == "admin"
    assert component.refused("ask", editor, form=GUARDED, tab="a") == "admin"
    assert component.call("lock", chief, form=GUARDED, tab="e")["event"] == "lock"


def test_taking_over_and_reserving_need_what_the_policy_says(component: Component) -> None:
    chief, boss = component.user("eva", "lock", "admin"), component.user("max", "lock", "takeover", "reserve", "admin")
    deputy = component.user("tom", "lock", "takeover", "reserve")
    token = component.call("lock", boss, form=PLAIN, tab="m")["token"]
    with pytest.raises(NotAllowed):
        component.call("takeover", chief, form=PLAIN, expected_token=token, tab="e")
    component.call("takeover", deputy, form=PLAIN, expected_token=token, tab="t")
    assert component.refused("lock", chief, form="com.example.form.plain.2", tab="e", until_ms=86_400_000) == "reserve"
    component.call("lock", deputy, form="com.example.form.plain.2", tab="t", until_ms=86_400_000)
    token = component.call("lock", boss, form=GUARDED, tab="m")["token"]
    assert component.refused("takeover", deputy, form=GUARDED, expected_token=token, tab="t") == "admin"
    assert component.call("takeover", chief, form=GUARDED, expected_token=token, tab="e")["token"] == token + 1
    component.call("lock", chief, form="com.example.form.guarded.2", tab="e", until_ms=86_400_000)


def test_pages_are_told_what_the_policy_wants(component: Component) -> None:
    """With the public state, as far as it is not the usual: so that a page offers nothing that would be refused."""
    component.written = parse(POLICY + "queue = false\n")
    made = component.component

    def told(form: str) -> dict[str, Any]:
        public = component.clock.run(made._public(made.uris.form(form)))
        return {name: public[name] for name in ("lock_right", "takeover_right", "queue") if name in public}

    assert told(GUARDED) == {"lock_right": "admin", "takeover_right": "admin", "queue": False}
    assert told(PLAIN) == {}


def test_whoever_holds_it_keeps_it(component: Component) -> None:
    """A right that is asked for from now on takes nothing from somebody who has the form: it renews, and gives it back."""
    component.written = parse("")
    editor = component.user("ann", "lock")
    token = component.call("lock", editor, form=GUARDED, tab="a")["token"]
    component.written = parse(POLICY)
    (renewed,) = component.call("renew", editor, locks=[{"form": GUARDED, "token": token}], tab="a")["locks"]
    assert renewed["event"] == "renewed"
    assert component.call("unlock", editor, form=GUARDED, token=token, tab="a")["event"] == "released"
    assert component.refused("lock", editor, form=GUARDED, tab="a") == "admin"


def test_each_form_is_renewed_as_its_policy_says(component: Component) -> None:
    """The answer tells how often, form by form, and the longest reservation is the form's."""
    component.written = parse('[forms.guarded]\nrenew = "20 s"\nmax_long = "1 d"\n')
    chief = component.user("eva", "lock", "reserve")
    assert component.call("lock", chief, form=PLAIN, tab="e")["renew_ms"] == 25_000
    got = component.call("lock", chief, form=GUARDED, tab="e", until_ms=7 * 86_400_000)
    assert (got["renew_ms"], got["lease_ms"]) == (20_000, 86_400_000)


def test_each_form_says_how_long_its_page_may_be_silent(component: Component) -> None:
    """U7: with the grant and every renewal, for a page's clock has to shut the fields before somebody else can have the form."""
    component.written = parse('[forms.guarded]\ncontended_probe = "2 s"\ncontended_grace = "5 s"\n')
    editor = component.user("ann", "lock")
    assert component.call("lock", editor, form=PLAIN, tab="a")["silence_ms"] == 10_000
    got = component.call("lock", editor, form=GUARDED, tab="a")
    assert got["silence_ms"] == 6_000
    (renewed,) = component.call("renew", editor, locks=[{"form": GUARDED, "token": got["token"]}], tab="a")["locks"]
    assert renewed["silence_ms"] == 6_000
