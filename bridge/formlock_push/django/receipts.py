"""What a page posts with its form: the proof that the form was its own."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from formlock_push.django import conf
from formlock_push.scope import act
from formlock_push.verify import Receipt, Verifier

FIELD = "form_lock_receipt"
# Of a page that saves by a script, and not as a form.
HEADER = "X-Form-Lock-Receipt"


def receipt_of(request: HttpRequest, form: str, *, user: str | None = None) -> Receipt:
    """The receipt that was posted, or came as a header, verified for this form and for whoever is logged in (or `user`).

    From here on what the request changes is told as its tab's work, so that this tab alone is not told of its own save (U13). A tab
    is believed only by its receipt: a mere name could be anybody's. Raises InvalidReceipt; OSError or ValueError when the key can't
    be read, which is the operator's fault.
    """
    if user is None:
        user = request.user.get_username()
    receipt = _verifier(conf.read(getattr(settings, "FORMLOCK", None)).receipt_key).verify(
        request.POST.get(FIELD) or request.headers.get(HEADER), form=form, user=user
    )
    act(origin=receipt.tab)
    return receipt


@lru_cache(maxsize=1)
def _verifier(key: Any) -> Verifier:
    if key is None:
        raise ImproperlyConfigured("FORMLOCK needs a RECEIPT_KEY, the node's key or the Path of its file, to verify receipts.")
    return Verifier(key)
