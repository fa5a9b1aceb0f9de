"""docker-compose.yml's services as real processes, by their own commands and health checks (support/composition.py)."""

from __future__ import annotations

import json
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
import pytest_twisted
from tools.run import ENDED
from twisted.internet.threads import deferToThread

from tests.support.client import joined
from tests.support.composition import Composition

# Four interpreters that import for seconds, and a test that starts two of them again.
pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

FORM = "com.example.form.test.composed"


@pytest.fixture(scope="module")
def composition(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composition]:
    """All services, healthy."""
    composition = Composition(tmp_path_factory.mktemp("composition"))
    try:
        yield composition.start()
    finally:
        composition.close()


@pytest_twisted.ensureDeferred
async def test_two_clients_and_a_killed_worker(composition: Composition) -> None:
    """A9, A10, U2: ann locks, bob sees it and is refused; the lock worker is killed and started again, and ann keeps her token."""
    ann, bob = await joined(composition.ws_url, "ann"), await joined(composition.ws_url, "bob")
    await bob.subscribe(FORM)
    token = (await ann.call("lock", form=FORM, tab="a"))["token"]
    assert (await bob.event("edit"))["holder"]["user"] == "ann"
    assert (await bob.refused("lock", form=FORM, tab="b")).name == "form_locked"
    locks = composition.services["locks"]
    await deferToThread(locks.kill)
    assert (await bob.refused("status", FORM)).name == "not_active"
    assert (await deferToThread(locks.checked)).returncode == 1, "a worker that is away is not healthy"
    assert (await deferToThread(composition.services["router"].checked)).returncode == 0, "the router does not depend on its workers"
    locks.start()
    await deferToThread(locks.wait_healthy)
    renewed = await ann.call("renew", locks=[{"form": FORM, "token": token}], tab="a")
    assert renewed["locks"][0]["event"] == "renewed"
    assert (await bob.refused("lock", form=FORM, tab="b")).name == "form_locked"
    await ann.call("unlock", form=FORM, token=token, tab="a")
    assert (await bob.call("lock", form=FORM, tab="b"))["token"] == token + 1
    await ann.leave()
    await bob.leave()


@pytest_twisted.ensureDeferred
async def test_a_push_from_the_host(composition: Composition) -> None:
    """A15: what a backend pushes to the bridge's published port arrives at everybody who has the form open."""
    form = "com.example.form.test.pushed"
    bob = await joined(composition.ws_url, "bob")
    await bob.subscribe(form)
    await deferToThread(composition.push, {"form": form, "change_set": {"amount": ["120.00", "140.00"]}, "id": "u1"})
    updated = await bob.event("updated", id="u1")
    assert (updated["seq"], updated["change_set"]) == (1, {"amount": ["120.00", "140.00"]})
    await bob.leave()


def asked(url: str, fields: dict[str, str] | None = None) -> tuple[int, str]:
    """What a page or a program gets: the status and the body, after redirects; with `fields` it is a POST."""
    try:
        with urllib.request.urlopen(url, urlencode(fields).encode() if fields is not None else None, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest_twisted.ensureDeferred
async def test_an_invoice_is_saved(composition: Composition) -> None:
    """Through all four services: the demo takes the lock's receipt for a claim and a save, and the change reaches bob's form."""
    _, listed = await deferToThread(asked, f"{composition.url}invoices/ann/")
    number = re.findall(r"com\.example\.form\.invoice\.(\d+)", listed)[0]
    form, page = f"com.example.form.invoice.{number}", f"{composition.url}invoices/ann/{number}"
    ann, bob = await joined(composition.ws_url, "ann"), await joined(composition.ws_url, "bob")
    await bob.subscribe(form)
    lock = await ann.call("lock", form=form, tab="a")
    receipt = {"form_lock_receipt": lock["receipt"]}
    status, claimed = await deferToThread(asked, f"{page}/claim", receipt)
    assert status == 200, claimed
    fields = {**json.loads(claimed), "notes": "through the composition"}
    status, saved = await deferToThread(asked, page, {**fields, **receipt})
    assert status == 200, saved
    assert (await bob.event("updated"))["change_set"]["notes"][1] == "through the composition"
    await ann.call("unlock", form=form, token=lock["token"], tab="a")
    await ann.leave()
    await bob.leave()


def test_the_demo_killed_and_started_again(composition: Composition) -> None:
    """While the demo is away the router says so calmly, and it is no less healthy; a new container of it has the same invoices."""
    demo, page = composition.services["demo"], f"{composition.url}invoices/"
    before = asked(page)
    assert before[0] == 200
    assert "com.example.form.invoice." in before[1]
    demo.kill()
    status, _ = asked(page)
    assert status == 503
    assert composition.services["router"].checked().returncode == 0
    demo.start()
    demo.wait_healthy()
    assert asked(page) == before


@pytest_twisted.ensureDeferred
async def test_the_router_started_again(composition: Composition) -> None:
    """U2: the router is killed and started again; the workers come back to it by themselves, and a lock survives with its token."""
    form = "com.example.form.test.routed"
    ann = await joined(composition.ws_url, "ann")
    token = (await ann.call("lock", form=form, tab="a"))["token"]
    router = composition.services["router"]
    await deferToThread(router.kill)
    # What its tmpfs is in a container: empty at every start. (The killed node's node.pid is there.)
    run = router.folder / "run"
    for left in run.iterdir():
        left.unlink()
    router.start()
    for name in ("router", "locks", "bridge"):
        await deferToThread(composition.services[name].wait_healthy)
    bob = await joined(composition.ws_url, "bob")
    assert (await bob.refused("lock", form=form, tab="b")).name == "form_locked"
    ann = await joined(composition.ws_url, "ann")
    assert (await ann.call("lock", form=form, tab="a"))["token"] == token
    await ann.leave()
    await bob.leave()


def test_only_what_it_must_is_written(composition: Composition) -> None:
    """No service writes outside its volumes and its tmpfs (`read_only`), and only the router writes credentials."""
    for name in composition.services:
        assert composition.written(name) == set(), name
    credentials = next(iter((composition.services["locks"].folder / "credentials").iterdir())).parent
    assert {path.name for path in credentials.iterdir()} >= {"locks", "bridge"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in credentials.iterdir())


def test_it_ends_when_it_is_told_to(composition: Composition) -> None:
    """`docker compose stop`: each service ends with 0 by its own stop signal within the engine's ten seconds."""
    assert composition.services["router"].stop_signal == signal.SIGINT
    assert "formlock.ready" in composition.services["router"].log()
    codes = {name: service.stop() for name, service in reversed(composition.services.items()) if service.process is not None}
    assert codes == dict.fromkeys(composition.services, 0)
    assert "Traceback" not in "".join(service.log() for service in composition.services.values())
    # Of Crossbar's own hundreds of lines none; and the end is one line.
    router = composition.services["router"].log()
    assert "crossbar" not in router.lower(), router
    assert router.endswith(f"{ENDED}\n")
