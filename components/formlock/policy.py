"""How long things last and what is allowed, per form type. Checked when made, so that no rule has to doubt a number."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import fields

from formlock.claims import RIGHTS, Right
from formlock.model import FormId

# How long a repeated attempt (same owner, same rid) is recognised.
REPEAT_MS = 5 * 60_000
# How many recent attempts a form remembers at most; people make a few, this bounds a script gone wild.
MAX_ATTEMPTS = 16
# How many lines that its pages have given up a lease remembers. The router believes in each for 25 s, but a last word by HTTP comes
# for as long as its receipt is good, 90 s, and a page that gets no answer makes a new line every 8 s.
MAX_EARLIER = 16
# Of the times that may be 0, which means: never.
OPTIONAL = frozenset({"idle_release_ms", "max_hold_ms", "handover_ms", "coalesce_ms"})
# How the policy file says it.
NEVER = "never"
# The router gives up a line that is silent for so long (`auto_ping_timeout`), and the grace begins then, whatever the policy says.
LINE_MS = 10_000
# A page looks at its clock once a second, tries its line several times, and then needs a moment to shut its fields.
LEAST_SILENCE_MS = 6_000
# A year; whoever writes more has missed the unit.
MAX_MS = 366 * 86_400_000


class BrokenPolicy(ValueError):
    """The numbers don't go together; `names` are those that the sentence speaks of."""

    def __init__(self, sentence: str, *names: str) -> None:
        super().__init__(sentence)
        self.names = names


def may_be_never(name: str) -> bool:
    """Whether 0 means "never" for this time."""
    return name in OPTIONAL


class Policy(Struct, frozen=True, gc=False):
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
    # The bridge's: how long updates of one form gather into one event.
    coalesce_ms: int = 100
    # Which right a session needs; whoever holds a form keeps it without.
    lock_right: Right = "lock"
    takeover_right: Right = "takeover"
    reserve_right: Right = "reserve"

    @property
    def silence_ms(self) -> int:
        """After so much silence of its holder a form may be somebody else's: pages are told, and shut their fields before. Somebody
        has waited for the answer to a probe, and then for the grace; or for the grace only, where the router has given a line up, of
        which its page need not know (docs/explanation/browser-truth.md). Pages are not asked for what none can keep."""
        probed_ms = min(self.contended_probe_ms, LINE_MS) + self.contended_grace_ms
        return min(probed_ms, max(self.contended_grace_ms, LEAST_SILENCE_MS))

    def told(self) -> dict[str, str | bool]:
        """What pages have to know of it to offer nothing that would be refused: what is not as it mostly is."""
        rights = {"lock_right": self.lock_right, "takeover_right": self.takeover_right}
        usual = {"lock_right": "lock", "takeover_right": "takeover"}
        return {
            **{name: right for name, right in rights.items() if right != usual[name]},
            **({} if self.queue else {"queue": False}),
        }

    def of(self, form: FormId) -> Policy:  # noqa: ARG002 (see policies.Policies)
        """One policy for all forms."""
        return self

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, field.type, getattr(self, field.name))
        # A holder whose session is lost just before its next renewal but one must still find its grace whole.
        if 2 * self.renew_ms + self.grace_ms > self.ttl_ms:
            raise BrokenPolicy(
                "ttl_ms must be at least 2 * renew_ms + grace_ms, else a lost session's grace is cut short",
                "ttl_ms", "renew_ms", "grace_ms",
            )  # fmt: skip
        if self.reserve_ms > self.grace_ms:
            raise BrokenPolicy("reserve_ms must not be above grace_ms", "reserve_ms", "grace_ms")
        if self.contended_grace_ms > self.grace_ms:
            raise BrokenPolicy("contended_grace_ms must not be above grace_ms", "contended_grace_ms", "grace_ms")
        if self.silence_ms < LEAST_SILENCE_MS:
            raise BrokenPolicy(
                f"contended_probe_ms + contended_grace_ms must be at least {LEAST_SILENCE_MS}, "
                "else somebody else has a form before the page whose line is dead has shut its fields",
                "contended_probe_ms", "contended_grace_ms",
            )  # fmt: skip
        if self.max_hold_ms and self.warn_ms >= self.max_hold_ms:
            raise BrokenPolicy("warn_ms must be below max_hold_ms, else the warning comes with the lock", "warn_ms", "max_hold_ms")


def _check(name: str, kind: object, value: object) -> None:
    if kind is bool:
        if type(value) is not bool:
            raise BrokenPolicy(f"{name} is true or false", name)
    elif kind == Right:
        if value not in RIGHTS:
            raise BrokenPolicy(f"{name} is one of {', '.join(sorted(RIGHTS))}", name)
    elif type(value) is not int or value < 0 or (value == 0 and name not in OPTIONAL):
        raise BrokenPolicy(f"{name} must be a whole number above 0", name)
    elif value > MAX_MS:
        raise BrokenPolicy(f"{name} must not be above {MAX_MS} (366 days)", name)
