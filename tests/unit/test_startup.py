"""What a worker does before it imports anything: it may wait for the router, wherever the node was started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.support.node import ROOT

# Below the half minute after which a worker goes on in any case.
WITHIN_S = 20


def test_the_router_is_found_in_the_folder_of_the_node(tmp_path: Path) -> None:
    """`make run` starts the node from above its folder: a worker that waits for the router goes on as soon as it is there."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "components/startup"), "FORMLOCK_IMPORT_AFTER": "router.sock"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "router.sock"))
        listening.listen()
        command = [sys.executable, "-c", "print('goes on')", "--cbdir", str(tmp_path)]
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=True, timeout=WITHIN_S)
    assert done.stdout == "goes on\n"
