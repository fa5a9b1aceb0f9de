"""What somebody typed into the form: kept as it was typed, read strictly, and said at the field when it can't be read. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from invoices.model import CENT, STATUSES, Invoice

LABELS = {
    "customer": "Customer",
    "amount": "Amount",
    "due": "Due date",
    "status": "Status",
    "address": "Address",
    "notes": "Notes",
}

_AMOUNT = re.compile(r"\d{1,9}(\.\d{1,2})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """`texts` by field as typed; `values` by field of those that could be read; `errors` by field, a sentence each."""

    texts: dict[str, str]
    values: dict[str, object]
    errors: dict[str, str]

    def write(self, invoice: Invoice) -> None:
        """Change the record; only for an entry without errors."""
        for name, value in self.values.items():
            setattr(invoice, name, value)


def read(posted: Mapping[str, str]) -> Entry:
    """Every field is read; one that was not sent counts as empty."""
    # Browsers send the line breaks of a text area as CR LF.
    texts = {name: posted.get(name, "").replace("\r\n", "\n") for name in LABELS}
    values: dict[str, object] = {}
    errors: dict[str, str] = {}
    for name, text in texts.items():
        try:
            values[name] = _READERS[name](text)
        except ValueError as error:
            errors[name] = str(error)
    return Entry(texts, values, errors)


def _customer(text: str) -> str:
    if not text.strip():
        raise ValueError("Say who the customer is.")
    return _at_most(120)(text.strip())


def _amount(text: str) -> Decimal:
    if not _AMOUNT.fullmatch(text.strip()):
        raise ValueError("An amount like 120.00, with two decimals at most.")
    return Decimal(text.strip()).quantize(CENT)


def _due(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise ValueError("A date like 2026-02-28.") from None


def _status(text: str) -> str:
    if text not in STATUSES:
        raise ValueError("Choose one of the list.")
    return text


def _at_most(length: int) -> Callable[[str], str]:
    def reader(text: str) -> str:
        if len(text) > length:
            raise ValueError(f"{length} characters at most; these are {len(text)}.")
        return text

    return reader


_READERS: dict[str, Callable[[str], object]] = {
    "customer": _customer,
    "amount": _amount,
    "due": _due,
    "status": _status,
    "address": _at_most(500),
    "notes": _at_most(2000),
}
