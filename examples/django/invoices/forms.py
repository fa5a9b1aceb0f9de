"""What somebody may type."""

from __future__ import annotations

from typing import ClassVar

from django import forms

from invoices.models import Invoice


class InvoiceForm(forms.ModelForm):
    """All fields that are his."""

    class Meta:
        """As the model has them."""

        model = Invoice
        fields: ClassVar = ["customer", "amount", "notes"]
