"""Shipped for whoever writes a journal: its conformance suite."""

from formlock_bridge.testing.conformance import JournalConformance

__all__ = ["JournalConformance"]
