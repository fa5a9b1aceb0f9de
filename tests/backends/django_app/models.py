"""Records of many kinds; tests/backends/django_support.py makes their tables."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from formlock_push.django import FormLockQuerySet, LockTokenField


class Customer(models.Model):
    """Has no form."""

    name = models.CharField(max_length=50)


class Tag(models.Model):
    name = models.CharField(max_length=50, default="")


class Invoice(models.Model):
    """Has a form unless it is a draft."""

    amount = models.DecimalField(max_digits=9, decimal_places=2, default=0)
    state = models.CharField(max_length=20, default="open")
    notes = models.JSONField(null=True)
    memo = models.TextField(default="")
    scan = models.FileField(blank=True)
    secret = models.CharField(max_length=50, default="")
    customer = models.ForeignKey(Customer, models.SET_NULL, null=True)
    tags = models.ManyToManyField(Tag)
    version = models.IntegerField(default=1)
    lock_token = LockTokenField()

    objects = FormLockQuerySet.as_manager()

    formlock_leave_out = ("secret",)
    formlock_version = "version"

    def formlock_channel(self) -> str | None:
        return None if self.state == "draft" else f"com.example.form.invoice.{self.pk}"


class Line(models.Model):
    """Part of its invoice's form."""

    invoice = models.ForeignKey(Invoice, models.CASCADE)
    position = models.IntegerField()
    text = models.CharField(max_length=50, default="")

    formlock_leave_out = ("id", "invoice", "position")

    def formlock_channel(self) -> str:
        return f"com.example.form.invoice.{self.invoice_id}"

    def formlock_part(self) -> str:
        return f"lines.{self.position}"


class Document(models.Model):
    """Its token is in its own table, also for the kind below."""

    title = models.CharField(max_length=50, default="")
    changed = models.DateTimeField(auto_now=True)
    lock_token = LockTokenField()

    formlock_leave_out: ClassVar = ("changed",)

    def formlock_channel(self) -> str:
        return f"com.example.form.document.{self.pk}"


class Contract(Document):
    party = models.CharField(max_length=50, default="")


class Plain(models.Model):
    """Two numbers, for the random walk."""

    a = models.IntegerField()
    b = models.IntegerField()

    objects = FormLockQuerySet.as_manager()

    def formlock_channel(self) -> str:
        return f"com.example.form.plain.{self.pk}"


class Offer(models.Model):
    """Some of its fields are for some only; its representation shows them."""

    price = models.IntegerField(default=0)
    margin = models.TextField(default="")
    customer = models.ForeignKey(Customer, models.SET_NULL, null=True)

    objects = FormLockQuerySet.as_manager()

    formlock_redact: ClassVar = {"margin": "margins", "customer_id": "buyers"}

    def formlock_channel(self) -> str:
        return f"com.example.form.offer.{self.pk}"

    def formlock_representation(self) -> dict[str, object]:
        return {"price": self.price, "margin": self.margin, "customer": self.customer_id}


class OfferLine(models.Model):
    """Part of its offer's form."""

    offer = models.ForeignKey(Offer, models.CASCADE)
    text = models.TextField(default="")
    margin = models.TextField(default="")

    objects = FormLockQuerySet.as_manager()

    formlock_leave_out = ("id", "offer")
    formlock_redact: ClassVar = {"margin": "margins"}

    def formlock_channel(self) -> str:
        return f"com.example.form.offer.{self.offer_id}"

    def formlock_part(self) -> str:
        return f"lines.{self.pk}"
