"""Flask: requests say who acts, and receipts are verified. What is committed is pushed by the hook of `formlock_push.sqlalchemy`.

formlock = FormLock(app, receipt_key=Path("..."), user=lambda: current_user.name)

receipt = formlock.receipt("com.example.form.invoice.42")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from flask import Flask, request

from formlock_push.scope import Middleware, act, ask
from formlock_push.verify import Receipt, Verifier

RECEIPT = "form_lock_receipt"
# Of a page that saves by a script, and not as a form.
RECEIPT_HEADER = "X-Form-Lock-Receipt"

Actor = Mapping[str, str] | str | None


class FormLock:
    """One for the application, or without one and then `init_app` for each.

    - `receipt_key`: the node's key, as text, or the Path of the file that has it
    - `user`: who is logged in, as the router knows him; None when nobody is
    - `actor`: the same as `{"user": ..., "name": ...}`, if his name is to be told too. Neither is asked unless something is told
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        receipt_key: str | Path | None = None,
        user: Callable[[], str | None] | None = None,
        actor: Callable[[], Actor] | None = None,
    ) -> None:
        self._verifier = Verifier(receipt_key) if receipt_key is not None else None
        self._user = user
        self._actor = actor or user
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """What this application's requests change is told, and as their user's work."""
        if "formlock" in app.extensions:
            raise RuntimeError("This application has a FormLock already.")
        app.extensions["formlock"] = self
        app.wsgi_app = Middleware(app.wsgi_app)  # type: ignore[method-assign]  # Flask's own way
        if self._actor is not None:
            app.before_request(self._ask)

    def receipt(self, form: str, *, user: str | None = None) -> Receipt:
        """The receipt that this request has posted, or has as a header, verified for this form and whoever is logged in (or `user`).

        From here on what the request changes is told as its tab's work, so that this tab alone is not told of its own save (U13).
        Raises InvalidReceipt; OSError or ValueError when the key can't be read, which is the operator's fault.
        """
        if self._verifier is None:
            raise RuntimeError("FormLock needs a receipt_key, the node's key or the Path of its file, to verify receipts.")
        if user is None:
            user = self._user() if self._user is not None else None
            if user is None:
                raise RuntimeError("Nobody is logged in, and a receipt is somebody's.")
        said = request.form.get(RECEIPT) or request.headers.get(RECEIPT_HEADER)
        receipt = self._verifier.verify(said, form=form, user=user)
        act(origin=receipt.tab)
        return receipt

    def _ask(self) -> None:
        if self._actor is not None:
            ask(self._actor)
