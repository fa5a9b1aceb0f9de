"""Over how long clients are asked to come back."""

from formlock.auth import spread


def test_many_are_spread_over_what_a_router_takes() -> None:
    """A few come back at once; thousands over as long as the router needs for them, at 150 a second."""
    assert spread(2) == {}
    assert spread(45) == {}
    assert spread(4_000) == {"return_ms": 26_666}
