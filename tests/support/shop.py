"""The Django project of examples/django, served by Django's own server on a free port, with a database of its own."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.support.node import ROOT, free_port

PROJECT = ROOT / "examples" / "django"
WITHIN_S = 30.0


class Shop:
    """Its two people and three invoices are there. `variables`: what its settings read from the environment."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        path = str(ROOT / "bridge")
        self.environment = {**os.environ, "PYTHONPATH": path, "SHOP_DATABASE": str(folder / "shop.sqlite"), **variables}
        self.manage("migrate", "-v", "0")
        self.manage("seed")
        number = free_port()
        self.url = f"http://127.0.0.1:{number}"
        self._server = subprocess.Popen(
            [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{number}"],
            cwd=PROJECT,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        limit = time.monotonic() + WITHIN_S
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", number, timeout=1)
                connection.request("GET", "/login")
                connection.getresponse().read()
                return
            except OSError:
                assert self._server.poll() is None, "the server has ended"
                assert time.monotonic() < limit
                time.sleep(0.05)

    def manage(self, *words: str) -> str:
        """One of its commands; what it says."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=WITHIN_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        """End its server."""
        self._server.terminate()
        self._server.wait(WITHIN_S)
