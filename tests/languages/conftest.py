"""The bridge that other languages push to: a node with every way in open, and a key for two types of forms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import zmq

from formlock_bridge.ways.keys import KeyFolder, KeyPair
from tests.support.node import Node, free_port, without, worker_of

TYPE = "com.example.form.languages."


class Bridge(NamedTuple):
    """A running node, the address that wants a key, and what a backend with a key has been given."""

    node: Node
    curve_url: str
    keys: dict[str, str]


def _pair() -> KeyPair:
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


@contextmanager
def open_bridge(folder: Path) -> Iterator[Bridge]:
    """A node with all ways in, and a key for the forms of `TYPE` and for invoices."""
    keys = KeyFolder(folder / "push")
    keys.init(_pair())
    handout = keys.add("shop", _pair(), ("languages.*", "invoice.*"))
    curve = f"127.0.0.1:{free_port()}"

    def change(config: dict[str, Any]) -> None:
        without("demo")(config)
        extra = worker_of(config, "bridge")["components"][0]["extra"]
        extra["push_keys"] = str(keys.path)
        extra["acknowledged"] += f", curve://{curve}"

    node = Node(folder / "node", change)
    try:
        yield Bridge(node.start(), f"tcp://{curve}", handout.facts())
    finally:
        node.stop()


@pytest.fixture(scope="package")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """One for all languages."""
    with open_bridge(tmp_path_factory.mktemp("languages")) as bridge:
        yield bridge
