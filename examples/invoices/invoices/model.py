"""The invoice as it is stored, and the two methods by which it tells Form lock what it is called and what it contains."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Dialect, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.types import TypeDecorator

from formlock_push.sqlalchemy import LockToken

STATUSES = ("draft", "sent", "paid")
CENT = Decimal("0.01")


class Money(TypeDecorator[Decimal]):
    """An exact amount with two decimals, kept in cents: SQLite has no decimals, only floating point numbers."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else int(value / CENT)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        return None if value is None else value * CENT


class Base(DeclarativeBase):
    """All that is stored."""


class Invoice(LockToken, Base):
    """One record, and one form.

    `version` rises with every change and is what a save compares; `lock_token` (from LockToken) is the newest lock that was claimed.
    """

    __tablename__ = "invoice"
    # A number is never given twice, not even after a deletion: it is the name of the form.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 (SQLAlchemy's own way)

    number: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(String(120))
    amount: Mapped[Decimal] = mapped_column(Money)
    due: Mapped[date]
    status: Mapped[str] = mapped_column(String(16), default="draft")
    address: Mapped[str] = mapped_column(Text, default="")
    notes: Mapped[str] = mapped_column(Text, default="")
    version: Mapped[int]

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.__table__.c.version}

    def formlock_channel(self) -> str:
        """The form that shows this record."""
        return form_of(self.number)

    def formlock_representation(self) -> dict[str, str]:
        """What open forms show after a change: the same that the claim answers."""
        return fields_of(self)


def form_of(number: int) -> str:
    """The name of an invoice's form, in mark-up, receipts and updates alike."""
    return f"com.example.form.invoice.{number}"


def fields_of(invoice: Invoice) -> dict[str, str]:
    """What the form's fields hold, by name; the version too, which is a hidden one."""
    return {
        "customer": invoice.customer,
        "amount": str(invoice.amount),
        "due": invoice.due.isoformat(),
        "status": invoice.status,
        "address": invoice.address,
        "notes": invoice.notes,
        "version": str(invoice.version),
    }
