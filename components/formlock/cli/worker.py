"""`formlock worker`: one component as a process of its own, beside a router that runs elsewhere (worker.py does it)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from formlock.cli.common import WRONG_USE, Failed

LOG_LEVELS = ("critical", "error", "warn", "info", "debug", "trace")
DEFAULT_STORE = "sqlite:///locks.sqlite"
DEFAULT_PULL = "tcp://127.0.0.1:5555"
DEFAULT_JOURNAL = "sqlite:///journal.sqlite"
DEFAULT_ACKNOWLEDGED = "tcp://127.0.0.1:5556"
DEFAULT_HTTP = "http://127.0.0.1:5557"

Command = Callable[..., None]


@click.group()
def worker() -> None:
    """Run one component of the node as a process of its own.

    It joins the router, joins again for ever when the router was away, and ends only when it is told to (SIGINT or SIGTERM).
    """


def _common(command: Command) -> Command:
    """The options that every worker has."""
    options = [
        click.option(
            "--router",
            required=True,
            envvar="FORMLOCK_ROUTER",
            show_envvar=True,
            help="ws://HOST:PORT[/PATH], wss://..., or unix:PATH.",
        ),
        click.option(
            "--folder",
            required=True,
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            envvar="FORMLOCK_FOLDER",
            show_envvar=True,
            help="Holds the component's database; relative paths start here.",
        ),
        click.option(
            "--credentials",
            type=click.Path(file_okay=False, path_type=Path),
            default=Path("credentials"),
            show_default=True,
            envvar="FORMLOCK_CREDENTIALS",
            show_envvar=True,
            help="The folder with the ticket that the router made for this component.",
        ),
        click.option(
            "--loglevel",
            type=click.Choice(LOG_LEVELS),
            default="info",
            show_default=True,
            envvar="FORMLOCK_LOGLEVEL",
            show_envvar=True,
        ),
        click.option(
            "--extra",
            type=_Object(),
            default="{}",
            envvar="FORMLOCK_EXTRA",
            show_envvar=True,
            help="More of the component's configuration, as a JSON object.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


class _Object(click.ParamType[dict[str, Any]]):
    name = "json"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        try:
            found = json.loads(str(value))
        except ValueError as error:
            self.fail(f"is not JSON: {error}", param, ctx)
        if not isinstance(found, dict):
            self.fail("must be a JSON object", param, ctx)
        return found


@worker.command()
@_common
@click.option(
    "--store",
    default=DEFAULT_STORE,
    show_default=True,
    envvar="FORMLOCK_STORE",
    show_envvar=True,
    help="Where locks are kept.",
)
def locks(store: str, **common: Any) -> None:
    """Hold the locks."""
    _run("locks", {"store": store}, **common)


@worker.command()
@_common
@click.option(
    "--pull",
    default=DEFAULT_PULL,
    show_default=True,
    envvar="FORMLOCK_PULL",
    show_envvar=True,
    help="Where backends push without an answer: tcp:// on loopback, curve:// (with keys) anywhere; several with commas.",
)
@click.option(
    "--journal",
    default=DEFAULT_JOURNAL,
    show_default=True,
    envvar="FORMLOCK_JOURNAL",
    show_envvar=True,
    help="Where updates are kept.",
)
@click.option(
    "--acknowledged",
    default=DEFAULT_ACKNOWLEDGED,
    show_default=True,
    envvar="FORMLOCK_ACKNOWLEDGED",
    show_envvar=True,
    help="As --pull, where each message is answered.",
)
@click.option(
    "--http",
    default=DEFAULT_HTTP,
    show_default=True,
    envvar="FORMLOCK_HTTP",
    show_envvar=True,
    help="Where signed messages are posted; closed while there are no keys.",
)
@click.option(
    "--keys",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="FORMLOCK_KEYS",
    show_envvar=True,
    help="The folder that `formlock keys` has made.  [default: push, in the folder of the credentials]",
)
@click.option(
    "--trust-network",
    is_flag=True,
    envvar="FORMLOCK_TRUST_NETWORK",
    show_envvar=True,
    help="Whoever reaches an address may push without a key, from elsewhere too: for a private network.",
)
def bridge(pull: str, acknowledged: str, http: str, journal: str, keys: Path | None, trust_network: bool, **common: Any) -> None:
    """Take what backends push, and tell it to everybody who has the form open. `off` closes a way."""
    own: dict[str, Any] = {"pull": pull, "acknowledged": acknowledged, "http": http, "journal": journal}
    if keys is not None:
        own["push_keys"] = str(keys.resolve())
    if trust_network:
        own["trusted_network"] = True
    _run("bridge", own, **common)


def _run(
    name: str, own: dict[str, Any], *, router: str, folder: Path, credentials: Path, loglevel: str, extra: dict[str, Any]
) -> None:
    from formlock.worker import run

    configuration = {**own, "credentials": str(credentials), **extra, "cbdir": str(folder)}
    try:
        run(name, router, configuration, loglevel)
    except ValueError as error:
        raise Failed(f"{error}.", WRONG_USE) from None
