"""The one record."""

from __future__ import annotations

from typing import Any

from django.db import models

from formlock_push.django import FormLockQuerySet, LockTokenField


class Invoice(models.Model):
    """Names its form; `version` is that of the row, whoever writes it."""

    customer = models.CharField(max_length=120)
    amount = models.DecimalField(max_digits=11, decimal_places=2)
    notes = models.TextField(blank=True)
    version = models.IntegerField(default=1, editable=False)
    lock_token = LockTokenField()

    objects = FormLockQuerySet.as_manager()

    formlock_version = "version"

    def __str__(self) -> str:
        return f"{self.customer}, {self.amount}"

    def save(self, *args: Any, **options: Any) -> None:
        """Each save of a row that is there is another version of it."""
        if not self._state.adding:
            self.version += 1
        super().save(*args, **options)

    def formlock_channel(self) -> str:
        """The form's topic."""
        return f"com.example.form.invoice.{self.pk}"
