"""Django: what is committed is pushed (`INSTALLED_APPS` and `FORMLOCK`), requests say who acts, and nobody saves too late.

    INSTALLED_APPS = ["formlock_push.django", ...]
    MIDDLEWARE = [..., "formlock_push.django.middleware.FormLockMiddleware"]
    FORMLOCK = {"PUSH": "tcp://127.0.0.1:5555", "RECEIPT_KEY": Path("...")}

docs/how-to/push-from-django.md shows all of it.
"""

from formlock_push.django.bulk import FormLockQuerySet, bulk_create, bulk_update, update
from formlock_push.django.fencing import Late, claim, fence
from formlock_push.django.fields import LockTokenField
from formlock_push.django.receipts import receipt_of
from formlock_push.scope import act, acting, muted
from formlock_push.verify import InvalidReceipt

__all__ = [
    "FormLockQuerySet",
    "InvalidReceipt",
    "Late",
    "LockTokenField",
    "act",
    "acting",
    "bulk_create",
    "bulk_update",
    "claim",
    "fence",
    "muted",
    "receipt_of",
    "update",
]
