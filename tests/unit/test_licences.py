"""The page of licences tells what the lock files name, and lets no unread licence pass."""

from __future__ import annotations

import json
from email.message import Message
from pathlib import Path

import pytest
from tools.licences import (
    ALLOWED,
    LOOKED_AT,
    NOT_HERE,
    PAGE,
    UNKNOWN,
    Locked,
    declared,
    is_allowed,
    main,
    package_lock,
    requirements,
)

LOCK = """\
pytest==0.0.1 \\
    --hash=sha256:00
    # via formlock (pyproject.toml)
colorful==2.0 ; sys_platform == 'win32' \\
    --hash=sha256:00
    # via
    #   pytest
    #   formlock (pyproject.toml)
other[extra]==1.0
    # via elsewhere
"""
NPM = {
    "packages": {
        "": {"dependencies": {"autobahn": "1"}},
        "node_modules/autobahn": {"version": "1.0.0", "license": "MIT"},
        "node_modules/autobahn/node_modules/inner": {"version": "2.0.0"},
        "node_modules/@tool/linux-x64": {"version": "3.0.0", "license": "(MIT OR X)", "dev": True, "os": ["linux"]},
        "node_modules/ours": {"link": True},
    }
}


def metadata(**headers: str | list[str]) -> Message:
    message = Message()
    for name, values in headers.items():
        for value in [values] if isinstance(values, str) else values:
            message[name.replace("_", "-")] = value
    return message


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with two locks and nothing of it installed but pytest, in another version."""
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["pytest>=0"]\n')
    (tmp_path / "requirements.lock").write_text("")
    (tmp_path / "requirements-dev.lock").write_text("")
    for folder in ("web/formlock", "docs/reference", "bench/peers", "bench/node_modules/foreign"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "web/formlock/package-lock.json").write_text('{"packages": {"": {}}}')
    return tmp_path


def row(root: Path, name: str, version: str, licence: str) -> None:
    (root / PAGE).write_text(f"| {name} | {version} | {licence} |\n")


def test_requirements() -> None:
    """Names, versions, who asks, and whether it is for every platform."""
    assert requirements(LOCK) == [
        Locked("pytest", "0.0.1", frozenset({"formlock"})),
        Locked("colorful", "2.0", frozenset({"pytest", "formlock"}), marker=True),
        Locked("other", "1.0", frozenset({"elsewhere"})),
    ]


def test_package_lock(tmp_path: Path) -> None:
    """Used and development packages apart; what the lock leaves out is in the installed package; platforms are folded."""
    inner = tmp_path / "node_modules/autobahn/node_modules/inner"
    inner.mkdir(parents=True)
    (inner / "package.json").write_text('{"license": "ISC"}')
    used, development = package_lock(json.dumps(NPM), tmp_path)
    assert used == [Locked("autobahn", "1.0.0", licence="MIT"), Locked("inner", "2.0.0", licence="ISC")]
    assert development == [Locked("@tool/*", "3.0.0", licence="(MIT OR X)")]


@pytest.mark.parametrize(
    ("headers", "licence"),
    [
        ({"License_Expression": "Apache-2.0 OR MIT", "License": "anything"}, "Apache-2.0 OR MIT"),
        ({"License": "Apache 2.0"}, "Apache-2.0"),
        ({"License": "Copyright ...\nPermission ...", "Classifier": ["License :: OSI Approved :: MIT License"]}, "MIT"),
        ({"License": "BSD-like", "Classifier": ["Topic :: X", "License :: OSI Approved :: BSD License"]}, "BSD"),
        ({"Classifier": ["License :: OSI Approved :: MIT License", "License :: OSI Approved :: Artistic License"]}, UNKNOWN),
        ({"License": "as you like"}, UNKNOWN),
        ({}, UNKNOWN),
    ],
)
def test_declared(headers: dict[str, str | list[str]], licence: str) -> None:
    """The expression wins, then a licence that is a name, then the only classifier; anything else is not guessed at."""
    assert declared(metadata(**headers)) == licence


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0", False),
        ("GPL-3.0 OR MIT", True),
        ("MIT AND GPL-3.0", False),
        ("(MIT OR CC0-1.0)", True),
        ("MIT AND PSF-2.0", True),
        ("", False),
        (UNKNOWN, False),
        (NOT_HERE, False),
    ],
)
def test_allowed(expression: str, allowed: bool) -> None:
    """All of one alternative must be allowed."""
    assert is_allowed(expression) is allowed


def test_looked_at() -> None:
    """Copyleft that reaches further than its own files is allowed for single packages only, each with a reason."""
    assert not [licence for licence in ALLOWED if "GPL" in licence]
    assert all(found.why for found in LOOKED_AT.values())


def test_unread_licences_fail(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A licence that nobody has looked at fails, when it is written as when it is checked."""
    lock = {"packages": {"": {}, "node_modules/strange": {"version": "1.0.0", "license": "SSPL-1.0", "dev": True}}}
    (root / "bench/peers/package-lock.json").write_text(json.dumps(lock))
    (root / "bench/node_modules/foreign/package-lock.json").write_text("not ours to read")
    assert main([], root) == 1
    assert main(["--check"], root) == 1
    assert "strange 1.0.0: SSPL-1.0" in capsys.readouterr().err
    assert "npm, `bench/peers/package-lock.json`:\n\n- SSPL-1.0: strange" in (root / PAGE).read_text()


def test_stale(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A version that has changed in the lock is stale on the page, and the difference is shown."""
    row(root, "colorful", "1.9", "MIT")
    (root / "requirements.lock").write_text("colorful==1.9\n")
    assert main([], root) == 0
    assert main(["--check"], root) == 0
    (root / "requirements.lock").write_text("colorful==2.0\n")
    assert main(["--check"], root) == 1
    said = capsys.readouterr().err
    assert "-| colorful | 1.9 | MIT |" in said
    assert "+| colorful | 2.0 | unknown |" in said


def test_other_platforms(root: Path) -> None:
    """A package that is not for this platform is said to be so, and keeps the licence that another platform has found."""
    (root / "requirements.lock").write_text("colorful==2.0 ; sys_platform == 'win32'\n")
    assert main([], root) == 0
    assert f"| colorful | 2.0 | {NOT_HERE} |" in (root / PAGE).read_text()
    row(root, "colorful", "2.0", "MIT")
    assert main([], root) == 0
    assert "| colorful | 2.0 | MIT |" in (root / PAGE).read_text()


def test_what_a_backend_installs(root: Path) -> None:
    """What `dependencies` name and what that asks for is apart from what a node needs."""
    row(root, "pytest", "0.0.1", "MIT")
    (root / "requirements.lock").write_text(LOCK)
    (root / PAGE).write_text("".join(f"| {name} | MIT |\n" for name in ("pytest | 0.0.1", "other | 1.0")))
    assert main([], root) == 0
    backend, node = (root / PAGE).read_text().partition("## What a node installs")[::2]
    assert "| pytest | 0.0.1 | MIT |" in backend
    assert "| colorful | 2.0 |" in backend
    assert "| other | 1.0 | MIT |" in node
