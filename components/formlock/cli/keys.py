"""`formlock keys`: who may push from elsewhere, and what. It writes the folder that the bridge reads (formlock_bridge/ways/keys.py).

A backend's secret CURVE key is written into the one file that the backend gets, and is nowhere else. Secrets are printed only where
somebody asks for them in so many words.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from formlock.cli.common import REFUSED, WRONG_USE, Failed, as_json

if TYPE_CHECKING:
    from formlock_bridge.ways.keys import KeyFolder, KeyPair

DEFAULT_FOLDER = Path(".crossbar/credentials/push")

Command = Callable[..., None]


@click.group()
def keys() -> None:
    """Let backends push from elsewhere, each by a key of its own and for the forms that it is about."""


def _common(command: Command) -> Command:
    """The options that all have; what can't be read or written ends the command with a sentence."""

    @click.option(
        "--keys",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        default=DEFAULT_FOLDER,
        show_default=True,
        envvar="FORMLOCK_KEYS",
        show_envvar=True,
        help="The folder of the keys, which the bridge reads.",
    )
    @click.option("--json", "json_wanted", is_flag=True, help="Print one line of JSON.")
    @wraps(command)
    def guarded(folder: Path, **options: Any) -> None:
        from formlock_bridge.ways.keys import KeyFileError, KeyFolder

        try:
            command(KeyFolder(folder), **options)
        except KeyFileError as error:
            raise Failed(f"{error}.", REFUSED) from None
        except OSError as error:
            raise Failed(f"{error.filename or folder}: {error.strerror}.", REFUSED) from None

    return guarded


@keys.command()
@_common
def init(folder: KeyFolder, json_wanted: bool) -> None:
    """Make the folder, with the bridge's own keys."""
    try:
        folder.init(_pair())
    except FileExistsError:
        raise Failed(f"{folder.path} has the bridge's keys already: delete server.key to have new ones.", REFUSED) from None
    if json_wanted:
        as_json({"folder": str(folder.path), "server_public_key": folder.server().public})
    else:
        click.echo(f"The bridge's keys are in {folder.path}. Let a backend in: formlock keys add NAME --forms 'invoice.*'")
        click.echo("A bridge that is running now finds them when it is started again.")


@keys.command()
@click.argument("name")
@click.option("--forms", multiple=True, required=True, help="What it may push: invoice.42, 'invoice.*' or '*'. May be repeated.")
@click.option("--out", type=click.Path(path_type=Path), help="The file for the backend.  [default: NAME.secret.toml]")
@click.option("--replace", is_flag=True, help="New keys for a backend that has some: the old ones end within seconds.")
@click.option("--secrets", "secrets_wanted", is_flag=True, help="Print the backend's secrets, and write no file.")
@_common
def add(
    folder: KeyFolder, name: str, forms: tuple[str, ...], out: Path | None, replace: bool, secrets_wanted: bool, json_wanted: bool
) -> None:
    """Let the backend NAME in, and write the file that it needs."""
    from formlock_bridge.ways.keys import write_handout

    _check(name, forms)
    _initialized(folder)
    out = out or Path(f"{name}.secret.toml")
    if not secrets_wanted and not replace and out.exists():
        raise Failed(f"{out} exists: give another file with --out.", REFUSED)
    try:
        handout = folder.add(name, _pair(), forms, replace=replace)
    except FileExistsError:
        raise Failed(f"There is a backend {name}: give it new keys with --replace.", REFUSED) from None
    if not secrets_wanted:
        try:
            write_handout(handout, out, replace=replace)
        except OSError:
            # Keys that nobody has.
            if not replace:
                folder.remove(name)
            raise
    facts = handout.facts() if secrets_wanted else {"name": name, "public_key": handout.public_key, "file": str(out)}
    if json_wanted:
        as_json({**facts, "forms": list(forms)})
    elif secrets_wanted:
        _table(list(facts.items()))
    else:
        click.echo(f"{name} may push {', '.join(forms)}. Its keys are in {out}: move that file to the backend.")


@keys.command("list")
@_common
def list_(folder: KeyFolder, json_wanted: bool) -> None:
    """List the backends that are let in, and what they may push."""
    from formlock_bridge.ways.keys import KeyFileError

    _initialized(folder)
    found: list[tuple[str, list[str], str]] = []
    for name in folder.names():
        try:
            found.append((name, list(folder.backend(name).forms), ""))
        except KeyFileError as error:
            found.append((name, [], str(error)))
    if json_wanted:
        as_json({"backends": [{"name": name, "forms": forms, "wrong": wrong or None} for name, forms, wrong in found]})
    elif found:
        _table([(name, wrong or ", ".join(forms)) for name, forms, wrong in found])
    else:
        click.echo("No backend is let in. Let one in: formlock keys add NAME --forms 'invoice.*'")


@keys.command()
@click.argument("name")
@_common
def remove(folder: KeyFolder, name: str, json_wanted: bool) -> None:
    """Let the backend NAME in no more. What it has open is refused within seconds."""
    _known(folder, name)
    folder.remove(name)
    if json_wanted:
        as_json({"name": name, "removed": True})
    else:
        click.echo(f"{name} is let in no more.")


@keys.command()
@click.argument("name")
@click.option("--secrets", "secrets_wanted", is_flag=True, help="Print its HTTP secret too.")
@_common
def show(folder: KeyFolder, name: str, secrets_wanted: bool, json_wanted: bool) -> None:
    """Show what the bridge knows of the backend NAME."""
    _known(folder, name)
    backend = folder.backend(name)
    facts: dict[str, Any] = {
        "name": name,
        "forms": list(backend.forms),
        "public_key": backend.public_key,
        "server_public_key": folder.server().public,
    }
    if secrets_wanted:
        facts["http_secret"] = backend.http_secret
    if json_wanted:
        as_json(facts)
    else:
        _table([(word, ", ".join(value) if isinstance(value, list) else value) for word, value in facts.items()])


def _pair() -> KeyPair:
    import zmq

    from formlock_bridge.ways.keys import KeyPair

    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


def _check(name: str, forms: tuple[str, ...]) -> None:
    from formlock_bridge.ways.keys import is_name, is_pattern

    if not is_name(name):
        raise Failed(f"A backend's name has 1 to 64 of a-z, 0-9, _ and -, and begins with a letter or digit: not {name}.", WRONG_USE)
    for form in forms:
        if not is_pattern(form):
            raise Failed(f"--forms must be a form, all of a type or all: invoice.42, 'invoice.*' or '*', not {form}.", WRONG_USE)


def _initialized(folder: KeyFolder) -> None:
    if not folder.exists():
        raise Failed(f"There are no keys in {folder.path} yet: make them with formlock keys init.", REFUSED)


def _known(folder: KeyFolder, name: str) -> None:
    _initialized(folder)
    if name not in folder.names():
        raise Failed(f"There is no backend {name}: see formlock keys list.", REFUSED)


def _table(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        click.echo(f"{name:<{width}}  {value}")
