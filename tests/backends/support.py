"""An application's records, and a pusher that keeps what it is given."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column, ForeignKey, String, Table, func
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, deferred, mapped_column, relationship

from formlock_push import Update
from formlock_push.sqlalchemy import LockToken


class Base(DeclarativeBase):
    """The application's own."""


tags = Table(
    "invoice_tag",
    Base.metadata,
    Column("invoice_id", ForeignKey("invoice.id"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)


class Customer(Base):
    """Has no form."""

    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))


class Tag(Base):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)


class Invoice(LockToken, Base):
    """Has a form unless it is a draft."""

    __tablename__ = "invoice"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(20), default="open")
    notes: Mapped[Any] = mapped_column(JSON, default=None, nullable=True)
    history: Mapped[str | None] = deferred(mapped_column(String(200)))
    secret: Mapped[str | None] = mapped_column(String(50))
    changed: Mapped[int] = mapped_column(default=0, onupdate=1)
    version: Mapped[int] = mapped_column(default=1)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id"))
    customer: Mapped[Customer | None] = relationship()
    tags: Mapped[list[Tag]] = relationship(secondary=tags)
    lines: Mapped[list[Line]] = relationship(cascade="all, delete-orphan")
    letters: Mapped[int] = column_property(func.length(state))

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 (SQLAlchemy's own way)
    formlock_leave_out = ("secret",)

    def formlock_channel(self) -> str | None:
        return None if self.state == "draft" else form(self.id)


class Line(Base):
    """A form of its own; belongs to one invoice, and is deleted when it is taken out of it."""

    __tablename__ = "line"
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoice.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(50), default="")

    def formlock_channel(self) -> str:
        return f"com.example.form.line.{self.invoice_id}-{self.position}"


def form(number: int) -> str:
    return f"com.example.form.invoice.{number}"


class Sent(list[Update]):
    """Takes everything."""

    def send(self, update: Update) -> bool:
        self.append(update)
        return True

    def take(self) -> list[tuple[str, str, Any]]:
        """`(form, status, change_set)` of what came since the last time."""
        taken = [(update.form.removeprefix("com.example.form."), update.status, update.change_set) for update in self]
        self.clear()
        return taken
