"""Where the bridge listens: what leaves the machine comes with a key, and what can never work is said before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from formlock_bridge.ways.addresses import Address, is_loopback, listening


def test_defaults() -> None:
    """Without a word all three ways are open on loopback; the keys are in the folder of the credentials."""
    found = listening({"cbdir": "/node"})
    assert found.pull == (Address("tcp://127.0.0.1:5555", keyed=False),)
    assert found.acknowledged == (Address("tcp://127.0.0.1:5556", keyed=False),)
    assert (found.http, found.keys, found.keyed) == (("127.0.0.1", 5557), Path("/node/credentials/push"), False)


def test_several_and_none() -> None:
    """A way has one address, several, or is off."""
    found = listening({"pull": "tcp://127.0.0.1:1, curve://0.0.0.0:2,ipc:///run/x", "acknowledged": "off", "http": "off"})
    assert [str(address) for address in found.pull] == ["tcp://127.0.0.1:1", "curve://0.0.0.0:2", "ipc:///run/x"]
    assert found.pull[1].endpoint == "tcp://0.0.0.0:2"
    assert (found.acknowledged, found.http, found.keyed) == ((), None, True)
    assert listening({"push_keys": "/k", "credentials": "/c", "cbdir": "/node"}).keys == Path("/k")
    assert listening({"credentials": "/c", "cbdir": "/node"}).keys == Path("/c/push")


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"pull": "tcp://0.0.0.0:5555"}, r"pull: anybody who reaches tcp://0.0.0.0:5555 could push without a key: use curve://"),
        ({"pull": "tcp://*:5555"}, "without a key"),
        ({"pull": "tcp://[::]:5555"}, "without a key"),
        ({"acknowledged": "tcp://127.0.0.1:1,tcp://10.0.0.5:5556"}, "acknowledged: anybody who reaches tcp://10.0.0.5:5556"),
        ({"pull": "tcp://localhost.example.com:5555"}, "without a key"),
        ({"http": "http://0.0.0.0:5557"}, "could be read on its way"),
        ({"http": "https://127.0.0.1:5557"}, "http must be http://HOST:PORT"),
        ({"http": "http://127.0.0.1"}, "http must be http://HOST:PORT"),
        ({"http": "http://127.0.0.1:port"}, "http must be http://HOST:PORT"),
        ({"http": "http://127.0.0.1:1/updates"}, "http must be http://HOST:PORT"),
        ({"http": 5557}, "http must be an address"),
        ({"pull": "udp://127.0.0.1:5555"}, "pull must be tcp://HOST:PORT, curve://HOST:PORT or ipc://PATH, not udp"),
        ({"pull": "tcp://127.0.0.1:99999"}, "pull must be"),
        ({"pull": "ipc://"}, "pull must be"),
        ({"pull": 5555}, "pull must be an address"),
        ({"pull": "tcp://0.0.0.0:5555", "trusted_network": "yes"}, "without a key"),
    ],
)
def test_refused(extra: dict[str, Any], said: str) -> None:
    """An address that lets in anybody from elsewhere, or is none, is refused with a sentence that says what to do."""
    with pytest.raises(ValueError, match=said):
        listening(extra)


def test_a_trusted_network() -> None:
    """Who has secured the network by other means says so, and may open it."""
    found = listening({"pull": "tcp://0.0.0.0:1", "acknowledged": "tcp://*:2", "http": "http://0.0.0.0:3", "trusted_network": True})
    assert (found.keyed, found.http) == (False, ("0.0.0.0", 3))


def test_loopback() -> None:
    """Only an address of this machine's own is one."""
    own = ["127.0.0.1", "127.9.9.9", "localhost", "[::1]", "::1"]
    assert [host for host in [*own, "0.0.0.0", "*", "10.0.0.1", "eth0", "[::]", "127.0.0.1.example.com"] if is_loopback(host)] == own
