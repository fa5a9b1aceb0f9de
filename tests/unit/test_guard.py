"""The guard's hardening of Crossbar's own classes, without a node."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from autobahn.exception import Disconnected
from autobahn.wamp import message
from autobahn.wamp.serializer import JsonObjectSerializer
from crossbar.router.router import Router

from formlock import guard
from formlock.depth import MAX_MESSAGE_DEPTH, deeper_than
from formlock.wamp import RECURSION_LIMIT, cap_recursion


def router() -> Any:
    """A router of which only `send` is used."""
    made = Router.__new__(Router)
    made._trace_traffic = False
    made._is_traced = False
    made.reset_stats()
    return made


class Closing:
    """The transport of a session that is in its closing handshake."""

    def send(self, msg: object) -> None:
        raise Disconnected("closing")


def test_an_event_reaches_those_behind_a_closing_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sending to a closing session raises in Crossbar, in the middle of its loop over the receivers; guarded, the loop goes on."""
    got: list[object] = []
    sessions: list[Any] = [
        SimpleNamespace(_transport=Closing(), _authrole="browser"),
        SimpleNamespace(_transport=SimpleNamespace(send=got.append), _authrole="browser"),
    ]
    event = message.Event(1, 2)
    # Whatever a test before has guarded: Crossbar's own method, which must raise, else the guard is no longer needed.
    original = getattr(Router.send, "formlock_guards", Router.send)
    monkeypatch.setattr(Router, "send", original)
    with pytest.raises(Disconnected):
        router().send(sessions[0], event)
    guard.deliver_past_closing_sessions()
    guard.deliver_past_closing_sessions()
    for session in sessions:
        router().send(session, event)
    assert got == [event]


@pytest.mark.parametrize(
    ("depth", "refused"), [(1, False), (30, False), (MAX_MESSAGE_DEPTH, False), (MAX_MESSAGE_DEPTH + 1, True), (30_000, True)]
)
def test_deep_messages_are_refused_before_they_are_parsed(depth: int, refused: bool) -> None:
    guard.refuse_deep_messages()
    nested = b"[" * (depth - 1) + b"]" * (depth - 1)
    payload = b'[48,1,{},"com.example.formlock.lock",[' + nested[1:-1] + b"]]" if depth > 2 else b'[48,1,{},"x"]'
    assert deeper_than(MAX_MESSAGE_DEPTH, payload) is refused
    if refused:
        # Autobahn makes a protocol error of it, which closes the sender's connection.
        with pytest.raises(ValueError, match="nested too deeply"):
            JsonObjectSerializer().unserialize(payload)
    else:
        assert JsonObjectSerializer().unserialize(payload)[0][0] == 48


def test_brackets_within_texts_are_no_nesting() -> None:
    text = b'["' + b"[" * 1_000 + b'\\"' + b"{" * 1_000 + b'"]'
    assert not deeper_than(2, text)


def test_the_recursion_limit_is_taken_back() -> None:
    """A dependency of Crossbar sets 100,000, and with that a deep value kills the process instead of raising RecursionError."""
    before = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(100_000)
        cap_recursion()
        assert sys.getrecursionlimit() == RECURSION_LIMIT == 1_000
    finally:
        sys.setrecursionlimit(before)
