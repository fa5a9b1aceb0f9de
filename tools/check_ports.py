"""Before the node starts: are its ports free? Crossbar itself says so only after half a minute, in the middle of a traceback."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path

CONFIG = Path(__file__).parents[1] / ".crossbar" / "config.yaml"


def ports(config: str) -> list[int]:
    """Every TCP port of loopback that the node or its demo listens on, as the configuration names them."""
    found = re.findall(
        r"(?:interface: 127\.0\.0\.1, port: |(?:pull|acknowledged|http): \"\w+://127\.0\.0\.1:|INVOICES_PORT: \")(\d+)",
        config,
    )
    return [int(port) for port in found]


def taken(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


if __name__ == "__main__":
    used = [port for port in ports(CONFIG.read_text(encoding="utf-8")) if taken(port)]
    for port in used:
        sys.stderr.write(f"127.0.0.1:{port} is in use. Does this node run already? Else change the port in .crossbar/config.yaml.\n")
    sys.exit(1 if used else 0)
