"""`make run` says at once, in one sentence, that a port is taken."""

from __future__ import annotations

import socket

from tools.check_ports import ports, taken

from tests.support.node import ROOT, free_port


def test_the_ports_of_the_configuration() -> None:
    """The ports of the pages, of the bridge and of the demo are found, each once."""
    assert ports((ROOT / ".crossbar" / "config.yaml").read_text()) == [8080, 5555, 5556, 5557, 8081]


def test_taken_and_free() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        assert taken(listening.getsockname()[1])
    assert not taken(free_port())
