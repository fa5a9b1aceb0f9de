"""The hook for SQLAlchemy's ORM: what a session commits is pushed, one update per form; what it rolls back never is (U35, A22).

    Sessions = sessionmaker(engine)
    hook = install(Sessions, Pusher())

A flush is captured while the old values are known (`after_flush`), a bulk statement before it runs (`do_orm_execute`). What was
captured waits in a ledger per transaction and savepoint until the outermost commit. After that nothing touches the database. An
outbox (`outbox_sqlalchemy`) in the place of the pusher is written before that commit, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from formlock_push.fencing import Late, LockToken, claim, fence
from formlock_push.orm_hook import Hook, Sender, Writer, hooked, installing
from formlock_push.orm_target import overlap, resolve
from formlock_push.outbox_sqlalchemy import Outbox
from formlock_push.scope import AsgiMiddleware, Middleware, act, acting, muted

if TYPE_CHECKING:
    from formlock_push.orm_target import Target

__all__ = [
    "AlreadyInstalled",
    "AsgiMiddleware",
    "ChannelProvider",
    "Hook",
    "Late",
    "LockToken",
    "Middleware",
    "Outbox",
    "PartProvider",
    "RepresentationProvider",
    "Sender",
    "Writer",
    "act",
    "acting",
    "claim",
    "fence",
    "install",
    "muted",
]

DEFAULT_BULK_LIMIT = 500


class ChannelProvider(Protocol):
    """A record that is reported: it names its form, `com.example.form.<type>.<id>`; None when this one is not to be.

    It is asked at each flush, so it should need nothing that is not loaded. The class may name fields that must not leave the
    application as `formlock_leave_out = ("password_hash",)`; `lock_token` and the version column never do. Fields for some only are
    named with the right that they need: `formlock_redact = {"margin": "margins"}`.
    """

    def formlock_channel(self) -> str | None: ...


class PartProvider(ChannelProvider, Protocol):
    """A record that is shown in another one's form, which it names by `formlock_channel`: a line of an invoice.

    `formlock_part` is what it is called there: `lines.3`. A change of its amount is told as the field `lines.3.amount` of that form,
    with `[null, new]` when the line is new and `[old, null]` when it is gone. Name both by the record's own columns
    (`self.invoice_id`): then a line that moves to another invoice is told in both.
    """

    def formlock_part(self) -> str | None: ...


class RepresentationProvider(ChannelProvider, Protocol):
    """A record that also says its new contents, `{field: value}` or a fragment of HTML, so that open forms need not ask for them."""

    def formlock_representation(self) -> Mapping[str, Any] | str | None: ...


class AlreadyInstalled(Exception):
    """These sessions have a hook already; with two of them each change would be told twice."""


def install(
    target: Target,
    pusher: Sender | Writer,
    *,
    jobs: bool = False,
    bulk_limit: int = DEFAULT_BULK_LIMIT,
    fields: Mapping[type[Any], Collection[str]] | None = None,
) -> Hook:
    """Report what the sessions of this target commit, from now on and until `remove` of the hook.

    - `target`: a sessionmaker, a scoped_session, a Session class, one session, or the asynchronous ones of these. A plain
      async_sessionmaker is given a Session class of its own, so that it alone is reported.
    - `pusher`: a `Pusher`, or an `Outbox`, which is written in the same transaction
    - `jobs`: report what happens outside of requests too
    - `bulk_limit`: when one transaction changes more records of one type, a single message tells of all of them
    - `fields`: by class, the only fields whose changes are told; without an entry all columns are

    Raises AlreadyInstalled when any session of the target would have two hooks.
    """
    resolved = resolve(target)
    with installing:
        for other in list(hooked):
            if overlap(other, resolved):
                raise AlreadyInstalled(f"{resolved!r} has a hook already (on {other!r}); call its `remove` first.")
        hook = Hook(resolved, pusher, jobs=jobs, bulk_limit=bulk_limit, fields=fields or {})
        hooked[resolved] = hook
    return hook
