"""The relay's connection to the bridge's acknowledged way in: messages out, answers back in the order of the messages."""

from __future__ import annotations

import logging

import zmq

from formlock_push.dealer import Dealer, News
from formlock_push.keys import Keys
from formlock_push.letter import Answer

DEFAULT_ADDRESS = "tcp://127.0.0.1:5556"

_log = logging.getLogger("formlock_push")


class Line:
    """One DEALER. For one thread; the connection is made with the first message."""

    def __init__(self, address: str = DEFAULT_ADDRESS, keys: Keys | None = None) -> None:
        self.address = address
        self._keys = keys
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._dealer: Dealer | None = None
        self._ended = False

    def send(self, message: bytes, *, timeout_s: float) -> bool:
        """False when the bridge was not there, or did not read, within the time."""
        if self._ended and timeout_s > 0:
            # Not while something is on its way: its answers are waited for as long as ever.
            self.reset()
        connection = (self._dealer or self._open()).socket
        if not connection.poll(round(timeout_s * 1000), zmq.POLLOUT):
            self._missed()
            return False
        try:
            connection.send(message, zmq.DONTWAIT)
        except zmq.Again:
            return False
        return True

    def answers(self, timeout_s: float) -> list[Answer]:
        """Those that have come, as soon as there are some; none when there are none within the time."""
        if self._dealer is None:
            return []
        connection = self._dealer.socket
        if not connection.poll(round(timeout_s * 1000), zmq.POLLIN):
            return []
        came: list[Answer] = []
        while True:
            try:
                frames = connection.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return came
            try:
                came.append(Answer.decode(frames[-1]))
            except ValueError as error:
                _log.warning("the bridge at %s has answered something strange: %s", self.address, error)

    def reset(self) -> None:
        """Forget what was sent: what of it has not been answered never will be on this line. A new connection asks afresh."""
        if self._dealer is not None:
            self._dealer.close()
            self._dealer = None
        self._ended = False

    def close(self) -> None:
        """Let go of everything, at once."""
        self.reset()
        self._context.term()

    def _open(self) -> Dealer:
        self._dealer = Dealer(self._context, self.address, self._keys)
        return self._dealer

    def _missed(self) -> None:
        """The connection does not stand. If it never will, the next attempt makes another one."""
        for news in self._dealer.news() if self._dealer is not None else ():
            if news is News.ENDED or (news is News.DOUBTFUL and self._keys is not None):
                _log.warning("the bridge at %s has ended the connection before it stood: the keys may not be right", self.address)
            self._ended = self._ended or news is News.ENDED
