"""A PostgreSQL server of the tests' own: on a unix socket in a folder that is gone afterwards; an empty database for each test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

LIMIT_S = 30


@dataclass(frozen=True)
class PostgresServer:
    """`folder` has its socket."""

    folder: Path

    def url(self, database: str, driver: str = "") -> str:
        return f"postgresql{driver}://tests@/{database}?host={self.folder}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The name of an empty one."""
        name = f"test_{time.monotonic_ns()}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        yield name
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Absent is a skip on a laptop and a failure in CI. As root, which PostgreSQL refuses, it runs as `nobody`."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = shutil.which("initdb") or (programs and str(programs[-1] / "initdb"))
    if not found:
        message = "postgresql is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    programs_folder = Path(found).resolve().parent
    # A path of a socket has 107 bytes at most, and pytest's own folders are root's alone.
    folder = Path(tempfile.mkdtemp(prefix="formlock-pg-"))
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    try:
        subprocess.run(
            [
                programs_folder / "initdb",
                "-D",
                folder / "data",
                "-U",
                "tests",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            cwd=folder,
            **who,
        )
        options = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "off", "max_prepared_transactions": 10}
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs_folder / "postgres", "-D", folder / "data", *(f"-c{name}={value}" for name, value in options.items())],
                stdout=log,
                stderr=log,
                cwd=folder,
                **who,
            )
        try:
            answering = PostgresServer(folder)
            _wait(server, answering, folder / "log")
            yield answering
        finally:
            # Its quick end: every connection is closed.
            server.send_signal(signal.SIGINT)
            server.wait(LIMIT_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(server: subprocess.Popen[bytes], answering: PostgresServer, log: Path) -> None:
    limit = time.monotonic() + LIMIT_S
    while True:
        try:
            psycopg.connect(answering.url("postgres")).close()
            return
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < limit, log.read_text()
            time.sleep(0.05)
