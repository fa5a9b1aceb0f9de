"""Shipped for whoever writes a store or tests against the service: a clock to turn by hand, and the stores' conformance suite."""

from formlock.testing.clock import FakeClock
from formlock.testing.conformance import StoreConformance

__all__ = ["FakeClock", "StoreConformance"]
