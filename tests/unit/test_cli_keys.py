"""`formlock keys`: what it makes, what it says, and what it never prints unasked."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from formlock.cli import main
from formlock_bridge.ways.keys import KeyFolder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def keys(*arguments: str, code: int = 0, **environment: str) -> Result:
    result = CliRunner().invoke(main, ["keys", *arguments], env={"FORMLOCK_KEYS": "push", **environment})
    assert result.exit_code == code, result.output
    return result


def said(*arguments: str, code: int = 0) -> Any:
    return json.loads(keys(*arguments, "--json", code=code).stdout)


def test_a_backends_life(here: Path) -> None:
    """Made, let in, listed, shown, given new keys, and let in no more."""
    assert "formlock keys add" in keys("init").output
    assert keys("list").output.startswith("No backend is let in.")
    assert "shop.secret.toml: move that file" in keys("add", "shop", "--forms", "invoice.*", "--forms", "customer.7").output
    handout = tomllib.loads(Path("shop.secret.toml").read_text())
    assert set(handout) == {"name", "server_public_key", "public_key", "secret_key", "http_secret"}
    folder = KeyFolder(here / "push")
    assert (folder.backend("shop").public_key, folder.server().public) == (handout["public_key"], handout["server_public_key"])
    keys("add", "a-longer-name", "--forms", "*", "--out", "elsewhere.toml")
    assert keys("list").output == "a-longer-name  *\nshop           invoice.*, customer.7\n"
    assert keys("show", "shop").output.splitlines()[:2] == ["name               shop", "forms              invoice.*, customer.7"]
    keys("add", "shop", "--forms", "invoice.*", "--replace")
    again = tomllib.loads(Path("shop.secret.toml").read_text())
    assert again["public_key"] == folder.backend("shop").public_key != handout["public_key"]
    assert keys("remove", "shop").output == "shop is let in no more.\n"
    assert said("list") == {"backends": [{"name": "a-longer-name", "forms": ["*"], "wrong": None}]}


def test_for_machines(here: Path) -> None:
    """`--json` prints one line with the same facts."""
    assert said("init") == {"folder": "push", "server_public_key": KeyFolder(here / "push").server().public}
    added = said("add", "shop", "--forms", "invoice.*")
    assert added == {"name": "shop", "public_key": added["public_key"], "file": "shop.secret.toml", "forms": ["invoice.*"]}
    assert said("show", "shop")["forms"] == ["invoice.*"]
    assert said("remove", "shop") == {"name": "shop", "removed": True}


def test_secrets_only_when_asked_for(here: Path) -> None:
    """What is printed has no secret in it, unless `--secrets` says so; then nothing is left in a file of the backend's."""
    output = keys("init").output + keys("add", "shop", "--forms", "*").output + keys("list").output + keys("show", "shop").output
    output += json.dumps([said("show", "shop"), said("list"), said("add", "other", "--forms", "*")])
    folder = KeyFolder(here / "push")
    for secret in (
        tomllib.loads(Path("shop.secret.toml").read_text())["secret_key"],
        folder.backend("shop").http_secret,
        folder.backend("other").http_secret,
        folder.server().secret,
    ):
        assert secret not in output
    assert said("show", "shop", "--secrets")["http_secret"] == folder.backend("shop").http_secret
    third = said("add", "third", "--forms", "*", "--secrets")
    assert (third["http_secret"], len(third["secret_key"])) == (folder.backend("third").http_secret, 40)
    assert not Path("third.secret.toml").exists()
    assert stat.S_IMODE(Path("shop.secret.toml").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["add", "shop", "--forms", "*"], 1, "There is a backend shop: give it new keys with --replace."),
        (["add", "new", "--forms", "*", "--out", "shop.secret.toml"], 1, "shop.secret.toml exists: give another file with --out."),
        (["add", "new", "--forms", "*", "--out", "nowhere/x"], 1, "No such file or directory."),
        (["add", "../new", "--forms", "*"], 2, "A backend's name has 1 to 64 of"),
        (["add", "new", "--forms", "invoice"], 2, "--forms must be a form, all of a type or all"),
        (["add", "new"], 2, "Missing option '--forms'"),
        (["init"], 1, "push has the bridge's keys already: delete server.key to have new ones."),
        (["remove", "new"], 1, "There is no backend new: see formlock keys list."),
        (["show", "../server"], 1, "There is no backend ../server"),
        (["show", "broken"], 1, "push/backends/broken.toml: is not TOML."),
        (["list", "--keys", "elsewhere"], 1, "There are no keys in elsewhere yet: make them with formlock keys init."),
        (["add", "new", "--forms", "*", "--keys", "elsewhere"], 1, "There are no keys in elsewhere yet"),
    ],
)
def test_refused(here: Path, arguments: list[str], code: int, sentence: str) -> None:
    """One sentence that says what to do, the exit code that it is, and nothing is changed."""
    keys("init")
    keys("add", "shop", "--forms", "*", "--out", "kept")
    Path("shop.secret.toml").touch()
    Path("push/backends/broken.toml").write_text("broken")
    before = sorted((path, path.read_bytes()) for path in here.rglob("*") if path.is_file())
    if arguments[:2] == ["add", "shop"]:
        arguments = [*arguments, "--out", "new"]
    assert sentence in keys(*arguments, code=code).output
    assert sorted((path, path.read_bytes()) for path in here.rglob("*") if path.is_file()) == before
    assert "is not TOML" in keys("list").output
