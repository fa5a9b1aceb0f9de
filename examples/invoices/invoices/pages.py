"""The pages: list, edit, new, and what becomes of what they send."""

from __future__ import annotations

from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any, cast

from flask import Blueprint, abort, current_app, g, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException, SecurityError

from formlock_push.scope import act
from invoices import refusals
from invoices.entry import LABELS, Entry, read
from invoices.locking import Locking
from invoices.model import STATUSES, Invoice, fields_of, form_of
from invoices.people import PEOPLE, Person

RECEIPT = "form_lock_receipt"

pages = Blueprint("pages", __name__, url_prefix="/invoices")


# -- what there is to see


@pages.get("/")
def start() -> ResponseReturnValue:
    """Somebody has to be somebody."""
    return redirect(url_for("pages.index", user="ann"))


@pages.get("/<user>/")
def index() -> ResponseReturnValue:
    """All invoices, the newest first."""
    with _session() as session:
        invoices = session.scalars(select(Invoice).order_by(Invoice.number.desc())).all()
        return render_template("list.html", invoices=invoices)


@pages.get("/<user>/<int:number>")
def edit(number: int) -> ResponseReturnValue:
    """The form of one invoice; `?refresh=reload` loads the page again after a change, instead of filling in the new values."""
    return _form(number, fields_of(_invoice(number)))


@pages.get("/<user>/new")
def new() -> ResponseReturnValue:
    """A form that nobody else can have open: nothing to lock."""
    return _form(None, {"status": STATUSES[0]})


# -- what changes something


@pages.post("/<user>/new")
def create() -> ResponseReturnValue:
    """A record without a form yet needs no lock."""
    entry = read(request.form)
    if entry.errors:
        return _form(None, entry.texts, entry.errors), 422
    with _locking().sessions.begin() as session:
        invoice = Invoice()
        entry.write(invoice)
        session.add(invoice)
    return redirect(url_for("pages.index"), 303)


@pages.post("/<user>/<int:number>/claim")
def claim(number: int) -> ResponseReturnValue:
    """Asked by the page as soon as it has the lock; its answer fills the fields before they open.

    After an entry with mistakes (`?keep=text`) they stay as they were typed, and so does the version that this was based on.
    """
    try:
        invoice = _locking().claim(_person(), number, request.form.get(RECEIPT))
    except refusals.REFUSALS as error:
        return jsonify(error=refusals.sentence(error)), refusals.status(error)
    return ("", 204) if request.args.get("keep") == "text" else jsonify(fields_of(invoice))


@pages.post("/<user>/<int:number>/lock")
def lock(number: int) -> ResponseReturnValue:
    """Edit, in a browser without JavaScript: the server locks, claims, and shows the form open."""
    locking = _locking()
    try:
        receipt = locking.lock(_person(), number)
        invoice = locking.claim(_person(), number, receipt)
    except refusals.REFUSALS as error:
        return render_template("message.html", sentence=refusals.sentence(error)), refusals.status(error)
    return _form(number, fields_of(invoice), receipt=receipt)


@pages.post("/<user>/<int:number>/unlock")
def unlock(number: int) -> ResponseReturnValue:
    """Cancel, in such a browser."""
    _locking().unlock(number, request.form.get(RECEIPT, ""))
    return redirect(url_for("pages.index"), 303)


@pages.post("/<user>/<int:number>")
def save(number: int) -> ResponseReturnValue:
    """Only whoever has the form, and only over what he has seen."""
    entry = read(request.form)
    try:
        with _writing(number) as (_, invoice):
            if entry.errors:
                return _form(number, entry.texts | {"version": str(invoice.version)}, entry.errors, _plain_receipt()), 422
            entry.write(invoice)
    except refusals.REFUSALS as error:
        return _refused(number, error, entry)
    if receipt := _plain_receipt():
        _locking().unlock(number, receipt)
    return redirect(url_for("pages.index"), 303)


@pages.post("/<user>/<int:number>/delete")
def delete(number: int) -> ResponseReturnValue:
    """As a save: only whoever has the form, and only what he has seen."""
    try:
        with _writing(number) as (session, invoice):
            session.delete(invoice)
    except refusals.REFUSALS as error:
        return _refused(number, error, read(request.form))
    return redirect(url_for("pages.index"), 303)


# -- for machines


@pages.get("/health")
def health() -> ResponseReturnValue:
    """Whether the database answers, and has what it should."""
    try:
        with _session() as session:
            session.execute(select(Invoice.number).limit(1))
    except SQLAlchemyError:
        return jsonify(healthy=False), 503
    return jsonify(healthy=True)


# -- for all of them


@pages.url_value_preprocessor
def take_user(endpoint: str | None, values: dict[str, Any] | None) -> None:  # noqa: ARG001 (Flask passes it)
    """Who is asking stands in the path. Everybody else is nobody."""
    if values is not None and "user" in values:
        g.person = PEOPLE.get(values.pop("user")) or abort(404)
        # Whatever this request changes is told as theirs.
        act(actor=_person().actor)


@pages.url_defaults
def give_user(endpoint: str, values: dict[str, Any]) -> None:
    """Links lead to the same user's pages."""
    if "user" not in values and "person" in g and current_app.url_map.is_endpoint_expecting(endpoint, "user"):
        values["user"] = _person().user


@pages.app_context_processor
def words() -> dict[str, Any]:
    """What all pages may say."""
    return {"person": g.get("person"), "people": PEOPLE.values(), "labels": LABELS, "statuses": STATUSES, "form_of": form_of}


@pages.app_template_filter()
def money(amount: Decimal) -> str:
    """1250 as people read it: 1,250.00."""
    return f"{amount:,.2f}"


@pages.app_errorhandler(HTTPException)
def explain(error: HTTPException) -> ResponseReturnValue:
    """A calm page for what could not be answered."""
    # A request by a name that is not ours can't even be answered with links.
    if error.response is not None or error.code is None or error.code < 400 or isinstance(error, SecurityError):
        return error.get_response()
    return render_template("message.html", code=error.code, sentence=refusals.HTTP.get(error.code, error.description)), error.code


def _form(number: int | None, texts: dict[str, str], errors: dict[str, str] | None = None, receipt: str | None = None) -> str:
    """`receipt`: of a page without JavaScript, which has the lock already."""
    refresh = "reload" if request.args.get("refresh") == "reload" else None
    return render_template("edit.html", number=number, texts=texts, errors=errors or {}, refresh=refresh, receipt=receipt)


def _plain_receipt() -> str | None:
    """What a page without JavaScript sends; any other gives its lock back itself."""
    return request.form.get(RECEIPT) if "plain" in request.form else None


def _refused(number: int, error: Exception, entry: Entry) -> ResponseReturnValue:
    """What was typed, beside what is stored: nothing of it is lost, and nothing is written."""
    with _session() as session:
        invoice = session.get(Invoice, number)
        stored = fields_of(invoice) if invoice is not None else None
    if stored is None:
        error = refusals.Gone()
    page = render_template("refused.html", number=number, sentence=refusals.sentence(error), mine=entry.texts, stored=stored)
    return page, refusals.status(error)


def _invoice(number: int) -> Invoice:
    with _session() as session:
        return session.get(Invoice, number) or abort(404)


def _person() -> Person:
    return cast("Person", g.person)


def _locking() -> Locking:
    return cast("Locking", current_app.extensions["locking"])


def _session() -> Session:
    return _locking().sessions()


def _writing(number: int) -> AbstractContextManager[tuple[Session, Invoice]]:
    return _locking().writing(_person(), number, request.form.get(RECEIPT), request.form.get("version"))
