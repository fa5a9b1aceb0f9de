"""`FORMLOCK` in Django's settings: read once, checked when read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from formlock_push.keys import InvalidKeys, Keys
from formlock_push.pusher import DEFAULT_ADDRESS, TIMEOUT_MS, Pusher
from formlock_push.reliable import ACKNOWLEDGED_ADDRESS, ReliablePusher
from formlock_push.reliable import TIMEOUT_MS as RELIABLE_TIMEOUT_MS

DEFAULT_BULK_LIMIT = 500

Actor = Mapping[str, str] | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """By the keys of `FORMLOCK`, in small letters.

    - `push`: the bridge's address, by default the development node's; None pushes nothing
    - `spool`: a file of this machine, in a folder that is there: updates are acknowledged by the bridge, or wait in it
    - `keys`: the file that `formlock keys` has handed out: what is sent is encrypted, and by whom is known
    - `timeout_ms`: how long a push may take
    - `outbox`: write updates to the outbox's table, in the transaction that they tell of, instead of pushing them
    - `sender`: a `Sender` of one's own, or where to import it from; then nothing is said by `push`
    - `source`: the program's name in its updates
    - `jobs`: report what happens outside of requests too
    - `bulk_limit`: of more records of one type in one transaction, one message tells instead of one each
    - `receipt_key`: the node's key, as text, or the Path of the file that has it
    - `actor`: a function of a request, or where to import it from: who acts; None stands for `request.user`
    """

    push: str | None = ""
    spool: str | Path | None = None
    keys: str | Path | None = None
    timeout_ms: int | None = None
    outbox: bool = False
    sender: Any = None
    source: str | None = None
    jobs: bool = False
    bulk_limit: int = DEFAULT_BULK_LIMIT
    receipt_key: str | Path | None = None
    actor: Callable[[Any], Actor] | str | None = None


def read(given: Mapping[str, Any] | None) -> Settings:
    """Raises ImproperlyConfigured for a key that is none: a misspelt one would be silence."""
    by_name = {key.lower(): value for key, value in (given or {}).items()}
    known = Settings.__slots__
    unknown = [key for key in given or {} if key.lower() not in known or key != key.upper()]
    if unknown:
        raise ImproperlyConfigured(f"FORMLOCK has no {unknown[0]!r}; it has {', '.join(sorted(name.upper() for name in known))}.")
    settings = Settings(**by_name)
    if settings.outbox and settings.sender is not None:
        raise ImproperlyConfigured("FORMLOCK has both OUTBOX and SENDER; an update goes one way.")
    if settings.spool is not None and (settings.outbox or settings.sender is not None or settings.push is None):
        raise ImproperlyConfigured("FORMLOCK has a SPOOL, and says by OUTBOX, SENDER or PUSH that it is not used.")
    if settings.timeout_ms is not None and (not isinstance(settings.timeout_ms, int) or settings.timeout_ms < 1):
        raise ImproperlyConfigured("FORMLOCK's TIMEOUT_MS is a whole number of milliseconds, 1 or more.")
    return settings


def sender_of(settings: Settings) -> Any | None:
    """What takes the updates; None when nothing does."""
    if settings.outbox:
        from formlock_push.django.outbox import Outbox

        return Outbox()
    if settings.sender is not None:
        sender = import_string(settings.sender) if isinstance(settings.sender, str) else settings.sender
        return sender() if isinstance(sender, type) else sender
    if settings.push is None:
        return None
    keys = keys_of(settings)
    if settings.spool is not None:
        timeout_ms = settings.timeout_ms or RELIABLE_TIMEOUT_MS
        return ReliablePusher(settings.push or ACKNOWLEDGED_ADDRESS, spool=settings.spool, timeout_ms=timeout_ms, keys=keys)
    return Pusher(settings.push or DEFAULT_ADDRESS, timeout_ms=settings.timeout_ms or TIMEOUT_MS, keys=keys)


def keys_of(settings: Settings) -> Keys | None:
    """Raises ImproperlyConfigured when the file is not there, or is something else."""
    if settings.keys is None:
        return None
    try:
        return Keys.read(settings.keys)
    except (OSError, InvalidKeys) as error:
        raise ImproperlyConfigured(f"FORMLOCK's KEYS can't be read: {error}") from None
