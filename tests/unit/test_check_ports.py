"""`make run` says at once, in one sentence, that a port is taken."""

from __future__ import annotations

import socket

import yaml
from tools.check_ports import ports, taken

from invoices.settings import Settings
from tests.support.node import ROOT, free_port


def test_the_ports_of_the_configuration() -> None:
    """The ports of the pages, of the bridge and of the demo are found, each once."""
    assert ports((ROOT / ".crossbar" / "config.yaml").read_text()) == [8080, 5555, 5556, 5557, 8081]


def test_another_port() -> None:
    """Whoever changes 8080 each time that it stands in the configuration has changed all that names it, the demo's settings too."""
    text = (ROOT / ".crossbar" / "config.yaml").read_text().replace("8080", "8090")
    config = yaml.safe_load(text)
    router, demo = config["workers"][0], next(worker for worker in config["workers"] if worker["id"] == "demo")
    ready = next(component for component in router["components"] if component["id"] == "ready")
    assert ports(text)[0] == router["transports"][0]["endpoint"]["port"] == 8090
    assert ready["extra"]["url"] == "http://127.0.0.1:8090/"
    assert Settings.from_environment(demo["options"]["env"]["vars"]).http == "http://127.0.0.1:8090/formlock/"


def test_taken_and_free() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        assert taken(listening.getsockname()[1])
    assert not taken(free_port())
