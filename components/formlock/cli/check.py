"""`formlock check`: does the node, or one part of it, answer a real call now? For health checks, and for people who wonder.

It asks the router's `/readyz` (ready.py), which asks each component. The router itself is well when it can ask, whatever it hears:
its health must not wait for workers that wait for it.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass

import click

from formlock.cli.common import DONE, NOT_REACHED, REFUSED, WRONG_USE, Failed, as_json

ROUTER = "router"
PARTS = (ROUTER, "locks", "bridge")
DEFAULT_URL = "http://127.0.0.1:8080/readyz"
# The router gives each component 2 s to answer.
ANSWER_WITHIN_S = 5


@dataclass(frozen=True, slots=True)
class Health:
    """What `/readyz` said: all that must answer do; which parts do."""

    ready: bool
    parts: dict[str, bool]


@click.command()
@click.argument("part", type=click.Choice(PARTS), required=False)
@click.option("--url", envvar="FORMLOCK_URL", default=DEFAULT_URL, show_default=True, show_envvar=True, help="The router's /readyz.")
@click.option("--json", "json_wanted", is_flag=True, help="Print what was found as one line of JSON.")
@click.pass_context
def check(context: click.Context, part: str | None, url: str, json_wanted: bool) -> None:
    """Ask whether the node, or one PART of it, answers a real call now.

    Exit code 0 when it does, 1 when it does not, 3 when the router is not reached.
    """
    try:
        health = ask(url)
    except Failed as failed:
        if json_wanted:
            as_json({"reached": False, "ready": False, "parts": {}})
        raise failed from None
    well = health.ready if part is None else health.parts.get(part, False)
    if json_wanted:
        as_json({"reached": True, "ready": health.ready, "parts": health.parts})
    elif well:
        click.echo(f"{part or 'The node'} answers.")
    else:
        raise Failed(_advice(part, health), REFUSED)
    context.exit(DONE if well else REFUSED)


def ask(url: str) -> Health:
    """Read `/readyz`; Failed (not reached) when nobody answers there, or somebody else does."""
    if not url.startswith(("http://", "https://")):
        # urllib would open files too.
        raise Failed(f"--url must begin with http:// or https://, not {url}.", WRONG_USE)
    # A proxy of the environment has no business between a check and what it checks.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=ANSWER_WITHIN_S) as answer:
            body: bytes = answer.read(65_536)
    except urllib.error.HTTPError as error:
        # 503: somebody does not answer; the body says who.
        body = error.read(65_536)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Failed(
            f"Nobody answers at {url} ({_why(error)}): is the router running, and is this its address?", NOT_REACHED
        ) from None
    health = _read(body)
    if health is None:
        raise Failed(f"What answers at {url} is not Form lock's router: give the address of its /readyz with --url.", NOT_REACHED)
    return health


def _why(error: Exception) -> object:
    reason = getattr(error, "reason", error)
    return getattr(reason, "strerror", None) or reason


def _read(body: bytes) -> Health | None:
    try:
        said = json.loads(body)
    except ValueError:
        return None
    if not isinstance(said, dict) or not all(isinstance(value, bool) for value in said.values()) or "ready" not in said:
        return None
    ready = said.pop("ready")
    # Without its own component, which does the asking, the router names nobody: it is starting or ending.
    return Health(ready, {ROUTER: ready or bool(said), **said})


def _advice(part: str | None, health: Health) -> str:
    if part is not None and part not in health.parts and health.parts[ROUTER]:
        return f"This router does not ask for {part}: see `components` of its `ready` component."
    silent = [name for name, answers in health.parts.items() if not answers] if part is None else [part]
    verb = "does" if len(silent) == 1 else "do"
    return f"{' and '.join(silent)} {verb} not answer: wait if it has just been started, else look at its log."
