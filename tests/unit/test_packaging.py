"""What is built and shipped: one wheel with three packages, an archive without secrets, and a pusher that stands alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.node import ROOT


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and sdist of this tree, with secrets lying about as after a start of the node."""
    folder = tmp_path_factory.mktemp("dist")
    copy = tmp_path_factory.mktemp("tree") / "formlock"
    names = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    for name in names:
        source, target = ROOT / name, copy / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    for secret in (
        ".crossbar/key.priv",
        ".crossbar/locks.sqlite",
        ".crossbar/credentials/locks",
        ".venv/x.py",
        "web/formlock/node_modules/x.js",
    ):
        path = copy / secret
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=copy, check=True, capture_output=True)
    return folder


def test_wheel(built: Path) -> None:
    """The three packages, typed, and nothing else."""
    wheel = zipfile.ZipFile(next(built.glob("*.whl")))
    names = wheel.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"formlock", "formlock_bridge", "formlock_push"}
    for package in ("formlock", "formlock_bridge", "formlock_push"):
        assert f"{package}/py.typed" in names
    (scripts,) = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
    assert b"formlock = formlock.__main__:run" in wheel.read(scripts)


def test_sdist_has_no_secrets(built: Path) -> None:
    """Keys, credentials and databases of the node that ran here stay here."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert {name for name in names if name.startswith(".crossbar")} == {
        ".crossbar/config.yaml",
        ".crossbar/router.yaml",
        ".crossbar/policy.toml",
    }
    assert "components/formlock/rules.py" in names
    assert "web/formlock/dist/formlock.js" in names
    assert not [name for name in names if "node_modules" in name or ".venv" in name]


def test_git_keeps_secrets_out() -> None:
    """Only configurations of .crossbar/ are ever tracked."""
    for secret in ("key.priv", "key.pub", "locks.sqlite", "locks.sqlite-wal", "router.sock", "credentials/locks", "node.pid"):
        ignored = subprocess.run(["git", "-C", str(ROOT), "check-ignore", "-q", f".crossbar/{secret}"], check=False)
        assert ignored.returncode == 0, secret
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", ".crossbar"], check=True, capture_output=True, text=True
    ).stdout.split()
    shipped = {f".crossbar/{name}" for name in ("config.yaml", "router.yaml", "production.yaml", "policy.toml")}
    assert set(tracked) <= shipped


def test_a_backend_loads_nothing_of_the_server() -> None:
    """`import formlock_push` needs pyzmq only."""
    code = "import sys, formlock_push; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "bridge")},
    ).stdout.split()
    assert "zmq" in loaded
    assert {"formlock", "formlock_bridge", "twisted", "autobahn", "crossbar", "msgspec"}.isdisjoint(loaded)
