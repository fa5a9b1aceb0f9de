"""How long things last, per form type. Checked when made, so that no rule has to doubt a number."""

from __future__ import annotations

from dataclasses import dataclass

# How long a repeated attempt (same owner, same rid) is recognised.
REPEAT_MS = 5 * 60_000
# How many recent attempts a form remembers at most; people make a few, this bounds a script gone wild.
MAX_ATTEMPTS = 16


@dataclass(frozen=True, slots=True)
class Policy:
    """Milliseconds; docs/explanation/locks.md tells what each is for."""

    ttl_ms: int = 90_000
    renew_ms: int = 25_000
    grace_ms: int = 30_000
    probe_ms: int = 2_000
    reserve_ms: int = 1_500

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if type(value) is not int or value <= 0:
                raise ValueError(f"{name} must be a whole number above 0")
        # A holder whose session is lost just before its next renewal but one must still find its grace whole.
        if 2 * self.renew_ms + self.grace_ms > self.ttl_ms:
            raise ValueError("ttl_ms must be at least 2 * renew_ms + grace_ms, else a lost session's grace is cut short")
        if self.reserve_ms > self.grace_ms:
            raise ValueError("reserve_ms must not be above grace_ms")
