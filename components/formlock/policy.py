"""How long things last and what is allowed, per form type. Checked when made, so that no rule has to doubt a number."""

from __future__ import annotations

from dataclasses import dataclass, fields

# How long a repeated attempt (same owner, same rid) is recognised.
REPEAT_MS = 5 * 60_000
# How many recent attempts a form remembers at most; people make a few, this bounds a script gone wild.
MAX_ATTEMPTS = 16
# How many lines a page may have given up while the router still believes in them; it drops each within 25 s.
MAX_EARLIER = 3
# Of the times that may be 0, which means: never.
OPTIONAL = frozenset({"idle_release_ms", "max_hold_ms", "handover_ms"})


@dataclass(frozen=True, slots=True)
class Policy:
    """Milliseconds and numbers; docs/reference/policy.md tells what each is for."""

    ttl_ms: int = 90_000
    renew_ms: int = 25_000
    grace_ms: int = 30_000
    probe_ms: int = 2_000
    reserve_ms: int = 1_500
    # When somebody asks or waits.
    contended_probe_ms: int = 5_000
    contended_grace_ms: int = 10_000
    queue: bool = True
    claim_ms: int = 10_000
    max_waiters: int = 50
    max_waits_per_user: int = 20
    ask_ms: int = 60_000
    ask_idle_ms: int = 15_000
    max_asks: int = 10
    keep_ms: int = 15 * 60_000
    handover_ms: int = 0
    share_drafts: bool = False
    idle_ms: int = 5 * 60_000
    idle_release_ms: int = 0
    max_hold_ms: int = 8 * 3_600_000
    warn_ms: int = 5 * 60_000
    max_long_ms: int = 30 * 86_400_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "bool":
                if type(value) is not bool:
                    raise ValueError(f"{field.name} is true or false")
            elif type(value) is not int or value < 0 or (value == 0 and field.name not in OPTIONAL):
                raise ValueError(f"{field.name} must be a whole number above 0")
        # A holder whose session is lost just before its next renewal but one must still find its grace whole.
        if 2 * self.renew_ms + self.grace_ms > self.ttl_ms:
            raise ValueError("ttl_ms must be at least 2 * renew_ms + grace_ms, else a lost session's grace is cut short")
        if self.reserve_ms > self.grace_ms:
            raise ValueError("reserve_ms must not be above grace_ms")
        if self.contended_grace_ms > self.grace_ms:
            raise ValueError("contended_grace_ms must not be above grace_ms")
        if self.max_hold_ms and self.warn_ms >= self.max_hold_ms:
            raise ValueError("warn_ms must be below max_hold_ms, else the warning comes with the lock")
