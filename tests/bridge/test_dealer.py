"""The connection to the acknowledged way in, by itself: nothing is queued for a bridge that is away."""

from __future__ import annotations

import zmq

from formlock_push.dealer import Dealer
from tests.support.fake_bridge import FakeBridge
from tests.support.node import free_port

WITHIN_MS = 20_000


def test_nothing_is_queued_for_nobody() -> None:
    """With nobody there it takes nothing, since ZeroMQ would deliver that minutes later, behind what is newer; with the bridge there
    it does."""
    address = f"tcp://127.0.0.1:{free_port()}"
    with zmq.Context() as context:
        dealer = Dealer(context, address, None)
        try:
            assert not dealer.socket.poll(50, zmq.POLLOUT)
            with FakeBridge(address):
                assert dealer.socket.poll(WITHIN_MS, zmq.POLLOUT)
        finally:
            dealer.close()
