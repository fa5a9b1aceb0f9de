"""How events are told: as what on the wire, and with which facts in the log and in the history."""

from __future__ import annotations

from typing import Any

from msgspec.structs import fields

from formlock.events import (
    Answered,
    Asked,
    BecameActive,
    BecameIdle,
    Ending,
    Event,
    HandoverBegan,
    HandoverEnded,
    LeftQueue,
    Queued,
    Released,
    TakenOver,
)
from formlock.history import what
from formlock.model import Owner

_BASE = frozenset(field.name for field in fields(Event))

# Granted is told as two: `edit` to the others, and `granted` to a waiter whose turn it is.
STATUS: dict[type[Event], str] = {
    Released: "released",
    TakenOver: "takeover",
    HandoverBegan: "handover",
    HandoverEnded: "handover_ended",
    Queued: "queued",
    LeftQueue: "left_queue",
    Asked: "asked",
    Answered: "answered",
    BecameIdle: "idle",
    BecameActive: "active",
    Ending: "ending",
}


def told(event: Event) -> dict[str, Any]:
    """An event's own facts as they travel, beside the public state of the form. Nobody's tab is in them."""
    facts: dict[str, Any] = {}
    for name, value in own_facts(event).items():
        if name == "by_name":
            facts["by"] = {"user": facts["by"], "name": value}
        else:
            facts[name] = value
    return facts


def own_facts(event: Event) -> dict[str, Any]:
    """What this kind of event says beside form, owner, token, rev and time; an owner is its user."""
    facts = {field.name: getattr(event, field.name) for field in fields(event) if field.name not in _BASE}
    return {name: value.user if isinstance(value, Owner) else value for name, value in facts.items() if name != "session"}


def verb(event: Event) -> str:
    """Of its line in the log: `lock.granted`."""
    return f"lock.{what(event)}"
