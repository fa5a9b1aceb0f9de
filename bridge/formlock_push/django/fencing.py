"""No late save (U14, U21): as `formlock_push.fencing`, for Django's ORM. docs/explanation/late-saves.md says why.

- when editing begins: `claim`, read the record, commit
- when it is saved: `fence` before anything else, read the record, compare its version, change it, commit
"""

from __future__ import annotations

from typing import Any

from django.db import connections, router, transaction
from django.db.models import Model, QuerySet

from formlock_push.django.fields import LockTokenField


class Late(Exception):
    """Somebody else has claimed the record since; what was typed must not be saved over it."""


def claim(model: type[Model], pk: object, token: int, *, using: str | None = None) -> None:
    """Make this the record's token. The row stays locked until the transaction ends: read the record now, and then commit.

    Claiming again with the same token is right. Raises Late when a newer token has claimed the record, `model.DoesNotExist` when
    there is no such record, TransactionManagementError outside of `transaction.atomic`.
    """
    row, name = _row(model, pk, using)
    if row.filter(**{f"{name}__lte": token}).update(**{name: token}):
        return
    if not row.exists():
        raise model.DoesNotExist(f"There is no {model.__name__} {pk!r}.")
    raise Late(f"{model.__name__} {pk!r} has been claimed with a newer token than {token}.")


def fence(model: type[Model], pk: object, token: int, *, using: str | None = None) -> None:
    """Lock the record's row until the transaction ends; raises Late unless this token is still the one that claimed it.

    Call it first in the transaction, and read the record after it: what was read before may be old. `select_for_update` on MySQL,
    where a plain read still sees what was there when the transaction began.
    """
    row, name = _row(model, pk, using)
    if not row.filter(**{name: token}).update(**{name: token}):
        raise Late(f"{model.__name__} {pk!r} is not claimed with the token {token} (any more).")


def _row(model: type[Model], pk: object, using: str | None) -> tuple[QuerySet[Any], str]:
    """The row in the table that has the token: with multi-table inheritance the parent's, else Django would ask before it writes.

    A QuerySet of its own: a model's manager may hide records, and tell of updates; a claim is no change.
    """
    field = next((field for field in model._meta.concrete_fields if isinstance(field, LockTokenField)), None)
    if field is None:
        raise TypeError(f"{model.__name__} has no LockTokenField.")
    using = using or router.db_for_write(model)
    if not connections[using].in_atomic_block:
        # Without one, the row is free again when this returns, and nothing is fenced.
        raise transaction.TransactionManagementError(
            "A claim and a fence hold until their transaction ends: use transaction.atomic()."
        )
    return QuerySet(field.model, using=using).filter(pk=pk), field.name
